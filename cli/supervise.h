/* The supervisor of a one-machine cluster: API server, one agent per node, controller; each is
 * started again when it dies. */
#ifndef CLI_SUPERVISE_H
#define CLI_SUPERVISE_H

#include <stdbool.h>
#include <sys/types.h>
#include "cli/cluster_dir.h"
#include "lib/base/error.h"

#define SUPERVISE_READY_MS 30000     /* for `cluster up` to wait for all programs to be ready */
#define SUPERVISE_BACKOFF_MS_MIN 100 /* before a program that died is started again; doubles */
#define SUPERVISE_BACKOFF_MS_MAX 10000
#define SUPERVISE_STEADY_MS 30000    /* a program that lived so long starts again without delay */
#define SUPERVISE_EARLY_DEATHS_MAX 3 /* of a program that was never ready: then it is given up */
#define SUPERVISE_WORDS_MAX 400      /* bytes of the reason */
#define SUPERVISE_STOP_MS 15000      /* for a program to end after SIGTERM, then SIGKILL */

/* Starts a supervisor for the folder (which exists and holds cluster.json) as a process of its own
 * and waits until every program is ready. `name` is the cluster's. A temporary one ends with the
 * caller and takes its folder along. Returns the supervisor's process id, or negative with the
 * reason (a program that failed, and where its log is). */
pid_t supervise_start(const char *dir, const char *name, bool temporary,
                      struct mlt_error *err) MLT_MUST_USE;

/* Ends the supervisor with SIGTERM and waits for it; returns when nothing of the cluster runs any
 * more. */
int supervise_stop(const char *dir, struct mlt_error *err) MLT_MUST_USE;

/* The supervisor itself: what the hidden `mltrain cluster supervise` runs. Returns an exit code. */
int supervise_main(const char *dir, const char *name, bool temporary, int ready_fd);

#endif
