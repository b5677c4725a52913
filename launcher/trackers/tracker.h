/* Trackers: how each checkpoint format names its steps and shows that one is complete.
 *
 * A tracker runs in a disposable child process (launcher/checkpoint_scan.h): it may block on a
 * hanging file system, and may take memory. It never changes anything in the folder.
 *
 * Most formats cannot be judged by names alone. What they prove themselves by is said at the head
 * of each tracker, with the source that it was read in. */
#ifndef LAUNCHER_TRACKERS_TRACKER_H
#define LAUNCHER_TRACKERS_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define TRACKER_PATH_MAX 512      /* bytes of a path under the folder, with the NUL */
#define TRACKER_FILES_MAX 65536   /* of one checkpoint; more and it counts as torn */
#define TRACKER_DEPTH_MAX 8       /* of folders within a checkpoint */
#define TRACKER_POINTER_MAX 255   /* bytes of a tracker file, as `latest` */
#define TRACKER_RANKS_MAX 1048576 /* that a name may count */

enum tracker_verdict {
    TRACKER_NOTHING,  /* not a checkpoint at all */
    TRACKER_TORN,     /* parts are missing or cut */
    TRACKER_SETTLING, /* nothing is missing, but only its rest can show that nobody is writing */
    TRACKER_COMPLETE,
};

struct tracker_result {
    enum tracker_verdict verdict;
    int64_t wall_ms;      /* the newest change of any part's content (mtime) */
    int64_t changed_ms;   /* the newest that any part's content can have been written: the older of
                             its mtime, which programs may set, and its ctime */
    uint64_t fingerprint; /* over inodes, sizes and times of all parts, in any order; 0: no part */
    uint64_t identity;    /* over inodes alone: the same files, though written to */
    uint64_t bytes;       /* of all parts */
    uint32_t parts;
    bool writing;       /* SETTLING: some process that /proc shows has a part open for writing */
    bool proves_itself; /* COMPLETE: without the word of a tracker file */
    char path[TRACKER_PATH_MAX]; /* what to resume from: under the folder, or absolute; ".": the
                                    folder itself; "": the entry */
};

/* The files that processes have open for writing, as /proc shows them: found out once in a look,
 * and only when some file has to be asked after. */
struct tracker_writers {
    bool known;
    struct {
        dev_t device;
        ino_t inode;
    } * files;
    size_t count, capacity;
};
void tracker_writers_release(struct tracker_writers *writers);

/* One look at a folder. */
struct tracker_look {
    const char *pattern;             /* the job's, or "" */
    int folder;                      /* open */
    uint32_t ranks;                  /* of the job's last START; 0: not known */
    struct tracker_writers *writers; /* NULL: nobody asks */
};

struct tracker {
    const char *format; /* TrainingJob's spec.checkpoint.format */
    /* The file of the folder that names the newest checkpoint that was saved to its end, or NULL.
     * A step above the one that it names is being saved. */
    const char *pointer;
    bool hidden; /* its entries begin with a dot; all others' do not */
    /* Is `name`, a path under the folder, a checkpoint of some step? */
    bool (*match)(const struct tracker_look *look, const char *name, int64_t *ret_step);
    void (*examine)(const struct tracker_look *look, const char *name, struct tracker_result *ret);
    /* May checkpoints lie in the folder `name` (a path, at `depth` folders below)? NULL: no. */
    bool (*descend)(const char *name, int depth);
};

#define TRACKER_MAP(XX)                                                                  \
    XX(LIBMLTRAIN, tracker_libmltrain) /* in the order in which `auto` asks them: those  \
                                          that other formats could be taken for first */ \
    XX(HUGGINGFACE, tracker_huggingface)                                                 \
    XX(MEGATRON, tracker_megatron)                                                       \
    XX(LIGHTNING, tracker_lightning)                                                     \
    XX(DEEPSPEED, tracker_deepspeed)                                                     \
    XX(DCP, tracker_dcp)                                                                 \
    XX(PATTERN, tracker_pattern)
enum tracker_format {
#define XX(name, variable) TRACKER_##name,
    TRACKER_MAP(XX)
#undef XX
        TRACKER_FORMATS
};
#define XX(name, variable) extern const struct tracker variable;
TRACKER_MAP(XX)
#undef XX

/* By its place in the map. */
const struct tracker *tracker_at(enum tracker_format format);

/* The formats that spec.checkpoint.format `format` looks for, as bits 1 << enum tracker_format; 0
 * for one that does not exist. */
uint32_t tracker_formats(const char *format, const char *pattern);

/* ---- what trackers share ---- */

/* Adds one file to a result: FNV-1a over inode, size and time of change. */
void tracker_add_part(struct tracker_result *result, const struct stat *st);

/* Opens `name` of a folder for reading, adds it to the result, and judges it: TORN when it is not
 * there, empty, a zip or safetensors file that was cut; COMPLETE when it proves to be whole,
 * SETTLING when such a file proves nothing, and then `writing` is told as well. */
enum tracker_verdict tracker_add_file(const struct tracker_look *look, int folder, const char *name,
                                      struct tracker_result *result);

/* Calls `each` for the names in a folder (but `.` and `..`) until it returns false; at most
 * TRACKER_FILES_MAX. -errno. */
int tracker_each_name(int folder, bool (*each)(void *user, int folder, const char *name),
                      void *user);

/* Reads a whole file of at most `max` bytes, to be freed by the caller, with a NUL behind. NULL
 * when it is not there, larger or cannot be read. */
char *tracker_read_file(int folder, const char *name, size_t max, size_t *ret_length);

bool tracker_ends_with(const char *name, const char *end);
bool tracker_is_temporary(const char *name); /* .tmp, .partial */

/* The bytes of a torch.save file up to its first tensor, where the pickle is: at most
 * CONTENT_PICKLE_MAX, to be freed by the caller; NULL when it cannot be read. */
unsigned char *tracker_read_pickle(int folder, const char *name, size_t *ret_length);

/* ---- pure parts, also fuzzed ---- */

/* The last run of digits in a name ("step-000120-final" gives 120); false when it has none or they
 * are too many for an int64_t. */
bool tracker_last_number(const char *name, int64_t *ret_step);

/* Takes digits off the front of a text: the rest, NULL when there are none or more than an int64_t
 * holds. */
const char *tracker_take_number(const char *text, int64_t *ret);

/* A name that repair gave ("checkpoint-7.torn-3"): never a checkpoint again. */
bool tracker_is_set_aside(const char *name);

/* Fits `name` to a form in which each `#` stands for a number, whose values it gives:
 * "zero_pp_rank_#_mp_rank_#_optim_states.pt". At most TRACKER_FORM_NUMBERS of them. */
#define TRACKER_FORM_NUMBERS 4
bool tracker_fit(const char *form, const char *name, int64_t numbers[TRACKER_FORM_NUMBERS]);

/* Which tuples of numbers were seen: whether a whole world of ranks is there. */
struct tracker_ranks {
    int64_t *seen; /* `dimensions` numbers each */
    size_t count, capacity;
    unsigned dimensions;
    bool failed; /* no memory */
};
void tracker_ranks_add(struct tracker_ranks *ranks, const int64_t *numbers, unsigned dimensions);
/* Are they all of 0 to `sizes`[i] - 1 in each dimension? A size of 0 is taken from the largest
 * number seen. An empty set is never whole. */
bool tracker_ranks_are_whole(const struct tracker_ranks *ranks,
                             const int64_t sizes[TRACKER_FORM_NUMBERS]);
void tracker_ranks_release(struct tracker_ranks *ranks);

/* The text of a tracker file without white space around it: a single line without '/'. False when
 * it is empty or something else. */
bool tracker_pointer_read(const char *text, size_t length, char ret[TRACKER_POINTER_MAX + 1]);

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

#define TRACKER_PATTERN_STARS_MAX 8

/* Does `name` match `pattern`, in which {step} stands for digits, `*` for any characters and `?`
 * for one? */
bool tracker_pattern_match(const char *pattern, const char *name, int64_t *ret_step);

/* Splits "dir/ckpt-{step}/model.pt" into the folder before, the component with {step} and the path
 * after. Each holds `size` bytes. False when there is not exactly one {step}, more stars than
 * TRACKER_PATTERN_STARS_MAX, or a part is too long. */
bool tracker_pattern_split(const char *pattern, char *before, char *component, char *after,
                           size_t size);

#endif
