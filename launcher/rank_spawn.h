/* Forks and execs one rank.
 *
 * A fork and not a vfork: exec of a cold image layer or of a file on NFS can hang, and a vfork
 * would hang the launcher with it. What goes wrong before exec comes back over a status pipe that
 * all ranks of an attempt share: a record for each failure, end of file when all of them have
 * exec'd. */
#ifndef LAUNCHER_RANK_SPAWN_H
#define LAUNCHER_RANK_SPAWN_H

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include "launcher/rank_env.h"
#include "lib/base/error.h"

/* What was so when the launcher started, and is again for its ranks. */
struct rank_spawn_saved {
    struct rlimit limits[RLIM_NLIMITS];
};

/* Saves the limits, then raises the launcher's own soft limit of open files to the hard one: three
 * descriptors for each of up to 256 ranks. */
void rank_spawn_save(struct rank_spawn_saved *ret);

/* In the status pipe. */
struct rank_spawn_failure {
    uint32_t process;
    int32_t error; /* errno */
};

struct rank_spawn {
    const struct rank_spawn_saved *saved;
    char *const *command;             /* ends with NULL; $(RANK) and the like are expanded */
    const struct rank_env_input *env; /* built in the child */
    uint32_t process;                 /* told back in a failure */
    int out, err;                     /* write ends for stdout and stderr */
    int keep;                         /* inherited under its own number; -1: none */
    int in;                           /* for stdin; -1: /dev/null */
    bool verbatim;                    /* nothing of the command is expanded */
    int status;                       /* write end of the status pipe; -1: nobody is told */
};

/* Gives the child's pid, which leads its own session and group, dies with the launcher (SIGKILL),
 * has every signal at its default and none blocked, the limits saved, stdin from `in` or
 * /dev/null, and no other descriptor of ours but `keep`. -errno when fork fails. */
int rank_spawn(const struct rank_spawn *what, pid_t *ret_pid, struct mlt_error *err) MLT_MUST_USE;

#endif
