/* Looks at the checkpoint folder. The looking is done by a disposable child process, because the
 * folder may lie on a network file system that hangs: the launcher waits for it only as long as it
 * likes, and never itself. What the child found is judged here, with the memory of earlier looks.
 *
 * checkpoint_scan.c looks, checkpoint_judge.c judges (pure), checkpoint_repair.c changes names, and
 * only when the job asks for it.
 */
#ifndef LAUNCHER_CHECKPOINT_SCAN_H
#define LAUNCHER_CHECKPOINT_SCAN_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/base/error.h"
#include "launcher/trackers/tracker.h"
#include "rendezvous/message.h"

#define CHECKPOINT_SCAN_ENTRIES_MAX 100000 /* of the folder, that are looked at */
#define CHECKPOINT_SCAN_FOUND_MAX 16       /* newest ones told by the child */
#define CHECKPOINT_SCAN_NAME_MAX 256       /* bytes of an entry's name, with the NUL */
#define CHECKPOINT_SCAN_INTERVAL_MS 1000   /* between two looks while ranks run */
#define CHECKPOINT_SCAN_LIMIT_MS 30000     /* a look that takes longer is killed */
#define CHECKPOINT_SCAN_READY_MS 10000     /* READY waits no longer than this for its look */
#define CHECKPOINT_SCAN_SETTLE_MS 1000     /* a plain file must stay unchanged for this long */
#define CHECKPOINT_SCAN_OLD_MS 2000        /* one that is older at first sight is settled */
#define CHECKPOINT_SCAN_MEMORY 64          /* checkpoints remembered */
#define CHECKPOINT_REPAIR_ROUNDS 8         /* looks with repairs before one READY */
#define CHECKPOINT_MARKER_PREFIX ".mltrain-marker-"

struct checkpoint_scan_spec {
    const char *path, *format, *pattern; /* as in WELCOME */
    const char *marker; /* what tells this pod's marker file from others': its UID; NULL: none */
    uint32_t ranks;     /* of the job's last START; 0: not known */
};

/* One of them, newest step first. */
struct checkpoint_found {
    int64_t step, wall_ms;
    int64_t changed_ms; /* as in struct tracker_result, like the following */
    uint64_t fingerprint, identity, bytes;
    uint32_t parts;
    int32_t verdict; /* enum tracker_verdict: TORN, SETTLING or COMPLETE */
    int32_t writing;
    int32_t format; /* enum tracker_format */
    int32_t entry;  /* bytes of `name` that are the entry itself, without what the pattern adds */
    char name[CHECKPOINT_SCAN_NAME_MAX]; /* under the folder, with what the pattern adds before */
    char path[TRACKER_PATH_MAX];         /* as in struct tracker_result */
};

/* What is wrong with a tracker file, as `latest`. */
#define CHECKPOINT_POINTER_MAP(XX)                          \
    XX(FINE, "is fine")                                     \
    XX(MISSING, "is missing, though there are checkpoints") \
    XX(EMPTY, "is empty or not a name")                     \
    XX(NOWHERE, "names a checkpoint that is not there")     \
    XX(TORN, "names a checkpoint that is not complete")
enum checkpoint_pointer_trouble {
#define XX(name, words) CHECKPOINT_POINTER_##name,
    CHECKPOINT_POINTER_MAP(XX)
#undef XX
};

struct checkpoint_pointer {
    int32_t trouble;                    /* enum checkpoint_pointer_trouble */
    int32_t format;                     /* enum tracker_format, whose file it is */
    char text[TRACKER_POINTER_MAX + 1]; /* what it says */
};

/* What is to be changed in the folder before a start, by a child that then looks again. Nothing is
 * ever deleted. */
struct checkpoint_repair {
    uint64_t attempt;    /* that is about to start: part of the new names */
    uint32_t torn_count; /* entries that get the name NAME.torn-ATTEMPT */
    int64_t torn_steps[CHECKPOINT_SCAN_FOUND_MAX];
    char torn[CHECKPOINT_SCAN_FOUND_MAX][CHECKPOINT_SCAN_NAME_MAX];
    bool set_pointer; /* the tracker file of `format` is kept as FILE.torn-ATTEMPT, and says `text`
                         from now on; "": nothing takes its place */
    int32_t format;
    char text[TRACKER_POINTER_MAX + 1];
};

/* What the child writes into its pipe, in one piece: 0 or errno of the folder, then what it found.
 */
struct checkpoint_answer {
    int64_t error;
    int64_t marker_ms;    /* the file server's time after the look; 0: not needed, or not known */
    int32_t marker_error; /* errno of making the marker file */
    int32_t repair_error; /* errno of the first change that failed */
    uint32_t repaired;    /* changes made */
    struct checkpoint_pointer pointer;
    struct checkpoint_found found[CHECKPOINT_SCAN_FOUND_MAX];
};

/* Says what is wrong with a specification: -EINVAL. */
int checkpoint_scan_check(const struct checkpoint_scan_spec *spec,
                          struct mlt_error *err) MLT_MUST_USE;

/* Looks now, in this process, and fills the answer, with at most CHECKPOINT_SCAN_FOUND_MAX results,
 * counted in *ret_count. -errno of the folder: -ENOENT when there is none (yet). */
int checkpoint_scan_look(const struct checkpoint_scan_spec *spec, struct checkpoint_answer *ret,
                         size_t *ret_count) MLT_MUST_USE;

/* Makes the changes, in this process. Returns how many were made; *ret_error is 0 or errno of the
 * first that failed. */
uint32_t checkpoint_repair_do(const struct checkpoint_scan_spec *spec,
                              const struct checkpoint_repair *repair, int *ret_error);

/* Forks the child, which first makes the changes of `repair` (NULL: none): its pid, and the read
 * end (non-blocking) of a pipe with the answer (cut where no more was found) until end of file.
 * -errno. */
int checkpoint_scan_start(const struct checkpoint_scan_spec *spec,
                          const struct checkpoint_repair *repair, pid_t *ret_pid, int *ret_fd,
                          struct mlt_error *err) MLT_MUST_USE;

/* Checkpoints of earlier looks, each known by its name. */
struct checkpoint_memory {
    struct {
        int64_t step;
        uint64_t name; /* hash of it */
        uint64_t fingerprint;
        int64_t since_ms; /* of the first look whose marker was newer than all parts; -1: none */
        uint64_t identity, bytes; /* when it was complete last; no parts: never */
        uint32_t parts;
        bool writing; /* at the last look */
        bool settled; /* complete as long as it does not change */
        bool suspect; /* its writer was killed, or it has shrunk: torn as long as it does not change
                       */
    } entry[CHECKPOINT_SCAN_MEMORY];
    size_t count;
};

/* The report of a look, owned by the caller and filled in place. */
struct checkpoint_report {
    struct rendezvous_checkpoint_report report; /* .checkpoints points to `checkpoints` */
    struct rendezvous_checkpoint checkpoints[RENDEZVOUS_CHECKPOINTS_MAX];
    char paths[RENDEZVOUS_CHECKPOINTS_MAX][PATH_MAX];
    int32_t format;                  /* enum tracker_format of the newest complete one; -1: none */
    struct checkpoint_repair repair; /* what checkpoint.repair would change, if no rank ran */
};

/* What the ranks of this pod do while their checkpoints are looked at. */
enum checkpoint_writers {
    CHECKPOINT_WRITERS_ALIVE, /* what has not settled yet may still grow */
    CHECKPOINT_WRITERS_LEFT,  /* all ended with code 0, after saving: what they left is whole */
    CHECKPOINT_WRITERS_KILLED /* or failed: what has not settled yet may have been cut */
};

/* Judges a look: the `count` checkpoints of an answer. `now_ms` is monotonic, `wall_ms` our wall
 * clock, which is asked only when the file server's time is not known. Pure. */
void checkpoint_scan_judge(struct checkpoint_memory *memory,
                           const struct checkpoint_scan_spec *spec,
                           const struct checkpoint_answer *answer, size_t count,
                           enum checkpoint_writers writers, int64_t now_ms, int64_t wall_ms,
                           struct checkpoint_report *ret);

/* Is there anything to be changed? */
bool checkpoint_repair_is_needed(const struct checkpoint_repair *repair);

#endif
