/* Commands in other pods of the gang: what `mltrain-launcher rsh`, the launcher beside it and the
 * launcher of the other pod have in common. Pure: no clock, socket or process.
 *
 * For scripts that call mpirun or mpiexec themselves (spec.mpi.wireup: rsh). MPI's own starter runs
 * its daemons by an agent, as it would by ssh:
 *
 *     mpirun -> mltrain-rsh HOST COMMAND...     (this program under another name)
 *               -> the launcher of its pod: where is HOST? (libmltrain's socket, "remote HOST")
 *               <- a ticket: address, port, and the key of this attempt for commands
 *               -> the launcher of that pod: TLS 1.3 with that key, then frames
 *
 *     up      REMOTE_RUN, then REMOTE_INPUT..., REMOTE_TAKEN...
 *     down    REMOTE_OUTPUT..., REMOTE_TAKEN..., REMOTE_ENDED
 *
 * The key is derived from the job's for each attempt, so that nobody of another job and nobody who
 * is left of a former attempt can start anything. A connection is a command: when it ends, what the
 * command has started is killed. Neither side sends more than REMOTE_WINDOW bytes of a stream that
 * the other has not passed on. */
#ifndef LAUNCHER_REMOTE_H
#define LAUNCHER_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "lib/base/text.h"
#include "rendezvous/message.h"

#define REMOTE_PROGRAM "mltrain-rsh" /* the name under which the launcher is such an agent */
#define REMOTE_WORLD_VARIABLE \
    "MLTRAIN_WORLD" /* of what it starts: which run of mpirun it is a part of; sdk/place.h */
#define REMOTE_WORLD_MAX 160
#define REMOTE_WINDOW (256u * 1024) /* bytes of one stream on their way */
#define REMOTE_STREAMS_MAX 64       /* commands at a time in one pod; more are refused */
#define REMOTE_CONNECTIONS_MAX 256  /* more are closed at accept: most of them know no key yet */
#define REMOTE_RUN_MS 10000         /* from an open connection to its REMOTE_RUN */
#define REMOTE_KEY_SIZE 32
#define REMOTE_IDENTITY_MAX 128
#define REMOTE_ADDRESS_MAX 63
#define REMOTE_TICKET_MAX (REMOTE_ADDRESS_MAX + REMOTE_IDENTITY_MAX + 2 * REMOTE_KEY_SIZE + 16)
#define REMOTE_HOST_MAX 16          /* bytes of "pod-65535" with its NUL, and some */
#define REMOTE_HOSTS_MAX (4u << 20) /* bytes of a list of hosts */
#define REMOTE_EXIT_FAILED 255      /* the agent's code for its own failures, as ssh(1) has it */

/* ---- hosts ---- A pod is "pod-N", N its node rank: no name that a network could know, so that MPI
 * takes none of them for the machine that it runs on, and starts its daemons everywhere alike. */

void remote_host_name(uint32_t node_rank, char to[REMOTE_HOST_MAX]);
/* False for what is no pod of this gang. */
bool remote_host_parse(const char *name, uint32_t nodes, uint32_t *ret_node_rank);

enum remote_hosts_form {
    REMOTE_HOSTS_OPEN_MPI, /* "pod-0 slots=2" */
    REMOTE_HOSTS_HYDRA,    /* "pod-0:2" */
};
void remote_hosts_write(struct mlt_text *to, enum remote_hosts_form form, uint32_t nodes,
                        uint32_t slots);

/* ---- tickets ---- */

struct remote_ticket {
    char address[REMOTE_ADDRESS_MAX + 1];
    uint16_t port;
    char identity[REMOTE_IDENTITY_MAX + 1]; /* whose key it is: remote_identity() */
    unsigned char key[REMOTE_KEY_SIZE];
};

/* "UID/rsh/ATTEMPT"; -ENAMETOOLONG. */
int remote_identity(const char *job_uid, uint64_t attempt, char to[REMOTE_IDENTITY_MAX + 1]);
/* One line of at most REMOTE_TICKET_MAX bytes, without a newline. Its length. */
int remote_ticket_write(const struct remote_ticket *ticket, char to[REMOTE_TICKET_MAX + 1]);
bool remote_ticket_read(const char *text, struct remote_ticket *ret);

/* ---- flow ---- */

/* The sender's side of one stream. */
struct remote_window {
    uint32_t in_flight;
};
/* Bytes that may go into the next message; 0: wait for REMOTE_TAKEN. */
size_t remote_window_room(const struct remote_window *w);
void remote_window_sent(struct remote_window *w, size_t bytes);
/* False: more than was sent. */
bool remote_window_taken(struct remote_window *w, uint32_t bytes);

/* ---- the agent's command line ---- */

struct remote_call {
    const char *host;
    char *command; /* for sh -c; freed by the caller */
};
/* Is a program of this name (comm) one by which MPI's own starter begins: mpirun, mpiexec.hydra? Or
 * one that continues a run in another pod, and calls the agent for more pods: orted, prted? */
bool remote_is_starter(const char *name);
bool remote_is_daemon(const char *name);

/* The name of a run: of the process that has begun it. Nothing in it means anything to a shell. */
void remote_world_write(const char *host, int64_t pid, uint64_t start,
                        char to[REMOTE_WORLD_MAX + 1]);
/* What this agent was given by its caller may be passed on. */
bool remote_world_is_valid(const char *world);

/* As rsh(1) and ssh(1) are called: [OPTIONS] HOST COMMAND..., the words joined by spaces. Options
 * of theirs that Open MPI and Hydra use, or people give (-x -n -q -T -l USER -o WORD ...), mean
 * nothing here. `world`: exported to the command. -EINVAL in words, -E2BIG, -ENOMEM. */
int remote_call_parse(char *const *argv, const char *world, struct remote_call *ret,
                      struct mlt_error *err) MLT_MUST_USE;

/* As a shell has it: the code, or 128 + the signal. */
int remote_exit_code(int code, int signal);

#endif
