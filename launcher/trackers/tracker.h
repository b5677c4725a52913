/* Trackers: how each checkpoint format names its steps and shows that one is complete.
 *
 * A tracker runs in a disposable child process (launcher/checkpoint_scan.h): it may block on a
 * hanging file system, and may take memory. It never changes anything in the folder. */
#ifndef LAUNCHER_TRACKERS_TRACKER_H
#define LAUNCHER_TRACKERS_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum tracker_verdict {
    TRACKER_NOTHING,  /* not a checkpoint at all */
    TRACKER_TORN,     /* parts are missing or cut */
    TRACKER_SETTLING, /* nothing is missing, but only its rest can show that nobody is writing */
    TRACKER_COMPLETE,
};

struct tracker_result {
    enum tracker_verdict verdict;
    int64_t wall_ms;      /* the newest change of any part */
    uint64_t fingerprint; /* over sizes and times of all parts */
    bool writing;         /* SETTLING: some process that /proc shows has a part open for writing */
};

struct tracker {
    const char *format; /* TrainingJob's spec.checkpoint.format */
    /* Is `name`, an entry of the folder, a checkpoint of some step? `pattern` is the job's, or "".
     */
    bool (*match)(const char *pattern, const char *name, int64_t *ret_step);
    /* Examines the entry `name` of the open folder. */
    void (*examine)(const char *pattern, int folder, const char *name, struct tracker_result *ret);
};

extern const struct tracker tracker_auto, tracker_dcp, tracker_pattern;

/* NULL for a format without a tracker. */
const struct tracker *tracker_find(const char *format);

/* Adds one file to a result: FNV-1a over inode, size and time of change. */
void tracker_add_part(struct tracker_result *result, const struct stat *st);

/* ---- pure parts, also fuzzed ---- */

#define TRACKER_DCP_SHARDS_MAX (1u << 20) /* named by one .metadata */

/* Finds the names `__R_I.distcp` in the bytes of a pickle, which come in pieces. */
struct tracker_dcp_names {
    int state; /* of the name that is being read; 0: none */
    uint32_t rank, index;
    unsigned digits;
    uint64_t *set; /* an open hash table of (R << 32 | I) + 1 */
    size_t count, capacity;
    bool failed; /* too many, or no memory */
};
void tracker_dcp_feed(struct tracker_dcp_names *names, const unsigned char *data, size_t length);
void tracker_dcp_release(struct tracker_dcp_names *names);

/* The last run of digits in a name ("step-000120-final" gives 120); false when it has none or they
 * are too many for an int64_t. */
bool tracker_last_number(const char *name, int64_t *ret_step);

#define TRACKER_PATTERN_STARS_MAX 8

/* Does `name` match `pattern`, in which {step} stands for digits, `*` for any characters and `?`
 * for one? */
bool tracker_pattern_match(const char *pattern, const char *name, int64_t *ret_step);

/* Splits "dir/ckpt-{step}/model.pt" into the folder before, the component with {step} and the path
 * after. Each holds `size` bytes. False when there is not exactly one {step}, more stars than
 * TRACKER_PATTERN_STARS_MAX, or a part is too long. */
bool tracker_pattern_split(const char *pattern, char *before, char *component, char *after,
                           size_t size);

#define TRACKER_ZIP_TAIL                                                    \
    (65535 + 22 + 20 + 56) /* bytes from the end that hold every end record \
                            */

/* Is the end of a zip file there and does it agree with the file's size? `tail` are the last
 * `length` bytes (TRACKER_ZIP_TAIL, or all) of a file of `size` bytes. A torch.save file that was
 * cut anywhere fails. Format: APPNOTE.TXT 4.3.14 to 4.3.16. */
bool tracker_zip_is_whole(const unsigned char *tail, size_t length, uint64_t size);

#endif
