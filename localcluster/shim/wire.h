/* What agent and shim say to each other: one JSON object per line over a unix socket.
 *
 * agent -> shim   {"do":"pod","dir":D}            first, on the inherited socket: whose shim you
 * are
 *                 {"do":"start",...}              struct shim_start
 *                 {"do":"signal","container":C,"signal":N}   C absent: all containers
 *                 {"do":"leave"}                  kill what runs, report it, then exit
 * shim -> agent   {"hello":true,"pid":N,"startTicks":N}      first: the shim's own identity
 *                 struct shim_report              one per container after a connection, one per
 * change
 *                 {"synced":true}                 after those of a new connection */
#ifndef LOCALCLUSTER_SHIM_WIRE_H
#define LOCALCLUSTER_SHIM_WIRE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "localcluster/shim/process.h"

#define SHIM_MESSAGE_MAX \
    (8u * 1024 * 1024)                 /* bytes of one line; environment and arguments are in it */
#define SHIM_ARGUMENTS_MAX 65536       /* options, or words of a command */
#define SHIM_NAME_MAX 64               /* a container's name is a DNS label */
#define SHIM_CONTAINERS_MAX 64         /* per pod */
#define SHIM_TEXT_MAX 400              /* bytes of a message in a report, cut at the end */
#define SHIM_SOCKET "shim.sock"        /* in the pod's folder, for agents that come later */
#define SHIM_STATUS_FILE "status.json" /* in the pod's folder: {"containers":[report...]} */
#define SHIM_START_ERROR_CODE 128      /* containerd's exit code when the command cannot start */

enum shim_state { SHIM_STARTING, SHIM_RUNNING, SHIM_TERMINATED };

/* What the shim knows of one container, by its latest (re)start. */
struct shim_report {
    char name[SHIM_NAME_MAX];
    int64_t restart; /* 0 for the first start */
    enum shim_state state;
    struct shim_process process;     /* process 1 of the container, as seen from outside */
    int64_t started_ms, finished_ms; /* wall clock, 0: not yet */
    int exit_code;                   /* 128+n when a signal ended it */
    int signal;                      /* 0 unless the shim knows which signal it was */
    bool out_of_memory;              /* the kernel killed in its cgroup */
    bool no_limit;                   /* a memory limit was asked for and cannot be enforced here */
    bool start_error;                /* the sandbox or the command could not be started */
    char message[SHIM_TEXT_MAX];
};

/* A container to start. Arrays are NULL-terminated and owned with everything else by shim_start. */
struct shim_start {
    char *container;
    int64_t restart;
    char *program;  /* bubblewrap */
    char **options; /* bubblewrap's, handed over by descriptor: they hold the environment */
    char **command; /* what runs inside */
    char *log;      /* file */
    char *cgroup;   /* name of the memory cgroup; NULL: none is tried */
    int64_t memory; /* limit in bytes, 0: none */
};

cJSON *shim_report_to_json(const struct shim_report *report); /* the caller frees */
int shim_report_from_json(const cJSON *object, struct shim_report *ret,
                          struct mlt_error *err) MLT_MUST_USE;

cJSON *shim_start_to_json(const struct shim_start *start);
int shim_start_from_json(const cJSON *object, struct shim_start *ret,
                         struct mlt_error *err) MLT_MUST_USE;
void shim_start_release(struct shim_start *start);

cJSON *shim_signal_to_json(const char *container, int signal_number); /* container NULL: all */

#endif
