/* Looks at the checkpoint folder. The looking is done by a disposable child process, because the
 * folder may lie on a network file system that hangs: the launcher waits for it only as long as it
 * likes, and never itself. What the child found is judged here, with the memory of earlier looks.
 */
#ifndef LAUNCHER_CHECKPOINT_SCAN_H
#define LAUNCHER_CHECKPOINT_SCAN_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/base/error.h"
#include "rendezvous/message.h"

#define CHECKPOINT_SCAN_ENTRIES_MAX 100000 /* of the folder, that are looked at */
#define CHECKPOINT_SCAN_FOUND_MAX 16       /* newest ones told by the child */
#define CHECKPOINT_SCAN_NAME_MAX 256       /* bytes of an entry's name, with the NUL */
#define CHECKPOINT_SCAN_INTERVAL_MS 1000   /* between two looks while ranks run */
#define CHECKPOINT_SCAN_LIMIT_MS 30000     /* a look that takes longer is killed */
#define CHECKPOINT_SCAN_READY_MS 10000     /* READY waits no longer than this for its look */
#define CHECKPOINT_SCAN_SETTLE_MS 1000     /* a plain file must stay unchanged for this long */
#define CHECKPOINT_SCAN_OLD_MS 2000        /* one that is older at first sight is settled */
#define CHECKPOINT_SCAN_MEMORY 64          /* settling checkpoints remembered */

struct checkpoint_scan_spec {
    const char *path, *format, *pattern; /* as in WELCOME */
};

/* One of them, newest step first. */
struct checkpoint_found {
    int64_t step, wall_ms;
    uint64_t fingerprint;
    int32_t verdict; /* enum tracker_verdict: TORN, SETTLING or COMPLETE */
    int32_t writing;
    char name[CHECKPOINT_SCAN_NAME_MAX]; /* under the folder, with what the pattern adds before */
};

/* What the child writes into its pipe, in one piece: 0 or errno of the folder, then what it found.
 */
struct checkpoint_answer {
    int64_t error;
    struct checkpoint_found found[CHECKPOINT_SCAN_FOUND_MAX];
};

/* Says what is wrong with a specification: -EINVAL. */
int checkpoint_scan_check(const struct checkpoint_scan_spec *spec,
                          struct mlt_error *err) MLT_MUST_USE;

/* Looks now, in this process: at most `max` results, counted in *ret_count. -errno of the folder:
 * -ENOENT when there is none (yet). */
int checkpoint_scan_look(const struct checkpoint_scan_spec *spec, struct checkpoint_found *found,
                         size_t max, size_t *ret_count) MLT_MUST_USE;

/* Forks the child: its pid, and the read end (non-blocking) of a pipe with the answer (cut where no
 * more was found) until end of file. -errno. */
int checkpoint_scan_start(const struct checkpoint_scan_spec *spec, pid_t *ret_pid, int *ret_fd,
                          struct mlt_error *err) MLT_MUST_USE;

/* Files that only time can judge. */
struct checkpoint_memory {
    struct {
        int64_t step, since_ms;
        uint64_t fingerprint;
        bool writing; /* at the last look */
        bool settled; /* complete as long as it does not change */
        bool suspect; /* its writer was killed: torn as long as it does not change */
    } entry[CHECKPOINT_SCAN_MEMORY];
    size_t count;
};

/* The report of a look, owned by the caller and filled in place. */
struct checkpoint_report {
    struct rendezvous_checkpoint_report report; /* .checkpoints points to `checkpoints` */
    struct rendezvous_checkpoint checkpoints[RENDEZVOUS_CHECKPOINTS_MAX];
    char paths[RENDEZVOUS_CHECKPOINTS_MAX][PATH_MAX];
};

/* What the ranks of this pod do while their checkpoints are looked at. */
enum checkpoint_writers {
    CHECKPOINT_WRITERS_ALIVE, /* what has not settled yet may still grow */
    CHECKPOINT_WRITERS_LEFT,  /* all ended with code 0, after saving: what they left is whole */
    CHECKPOINT_WRITERS_KILLED /* or failed: what has not settled yet may have been cut */
};

/* Judges a look. `now_ms` is monotonic, `wall_ms` the wall clock. Pure. */
void checkpoint_scan_judge(struct checkpoint_memory *memory,
                           const struct checkpoint_scan_spec *spec,
                           const struct checkpoint_found *found, size_t count,
                           enum checkpoint_writers writers, int64_t now_ms, int64_t wall_ms,
                           struct checkpoint_report *ret);

#endif
