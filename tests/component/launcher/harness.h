/* A little controller that drives the real launcher: a channel server with a queue of what came in,
 * and the launcher as a child process with its output in files or a pipe. */
#ifndef TESTS_COMPONENT_LAUNCHER_HARNESS_H
#define TESTS_COMPONENT_LAUNCHER_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <cmocka.h>
#include <uv.h>
#include "rendezvous/channel/channel.h"
#include "rendezvous/message.h"

#define HARNESS_MESSAGES_MAX 4096
#define HARNESS_WAIT_MS 20000 /* unless wait_ms says otherwise */

struct harness {
    uv_loop_t loop;
    struct channel_server *server;
    uint16_t port;
    unsigned char master[CHANNEL_KEY_SIZE];
    uint64_t connection; /* 0: none open */
    unsigned opened;     /* connections so far */
    unsigned refused;    /* connections and frames */
    bool silent;         /* do not answer HELLO with WELCOME */
    struct rendezvous_message *messages;
    bool taken[HARNESS_MESSAGES_MAX]; /* by harness_expect() */
    size_t count;
    char dir[64];
    pid_t pid; /* of the launcher; 0 when it was reaped */
    int wait_status;
    /* What it is told; a test may change it before harness_launch(). */
    struct rendezvous_welcome welcome;
    struct rendezvous_start start;
    const char *extra_environment[16];
    int out,
        err; /* descriptors for the launcher's stdout and stderr; -1: files dir/out and dir/err */
    const char *cgroup; /* a cgroup.procs file that it enters; NULL: none */
    int wait_ms;
    bool as_pid_1; /* in PID, mount and IPC namespaces of its own, with an empty /dev/shm */
};

/* A server on a free port, a folder, and a WELCOME for one rank of `plain`. */
void harness_begin(struct harness *h);
/* Tells a launcher that still runs to leave, kills it if it does not, and removes the folder. */
void harness_end(struct harness *h);
/* Closes the server (the launcher sees its channel close) and opens it again on the same port. */
void harness_restart_server(struct harness *h);
void harness_stop_server(struct harness *h);
void harness_start_server(struct harness *h);

/* Starts the launcher with this command (ends with NULL). */
void harness_launch(struct harness *h, const char *const *command);

/* The oldest unread message of this type, waiting for it; fails the test after wait_ms.
 * Valid until harness_end(). */
struct rendezvous_message *harness_expect(struct harness *h, enum rendezvous_type type);
/* Is there an unread message of this type within `ms`? It stays unread. */
bool harness_sees(struct harness *h, enum rendezvous_type type, int ms);
/* Runs the loop for a while. */
void harness_run(struct harness *h, int ms);

void harness_send(struct harness *h, const struct rendezvous_message *message);
void harness_send_start(struct harness *h, uint64_t attempt);
void harness_send_stop(struct harness *h, uint64_t attempt, uint32_t grace_ms, uint32_t signal);
void harness_send_exit(struct harness *h, int code);
/* READY, START, STARTED: gives the attempt. */
uint64_t harness_start_ranks(struct harness *h);

/* Waits for the launcher's end and gives its exit code (128 + n after a signal). */
int harness_exit_code(struct harness *h);

/* The launcher's stdout ("out") or stderr ("err") so far, or another file of the folder; freed by
 * the caller. */
char *harness_file(struct harness *h, const char *name, size_t *ret_length);
/* Waits until a file of the folder contains the text. */
void harness_await_text(struct harness *h, const char *name, const char *text);
/* Is this process still there and not a zombie? */
bool harness_is_alive(pid_t pid);
int64_t harness_now_ms(void);

#endif
