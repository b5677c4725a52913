/* Messages of the channel: what the payload of each frame means. Pure.
 *
 * A message is a plain struct. `_write` appends a whole frame to a text; `_read` decodes a frame's
 * payload into the struct and returns 0 or -EPROTO with the field's name. Strings of a decoded
 * message point into the frame's payload copy held by the message (`storage`), arrays are owned by
 * it: rendezvous_message_release() frees both. Bytes after the last known field are ignored: a
 * later release may append fields. Fields that were appended since the first release ("appended"
 * below) are 0 when the payload ends before them: an earlier release has sent it. */
#ifndef RENDEZVOUS_MESSAGE_H
#define RENDEZVOUS_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include "rendezvous/frame.h"

#define RENDEZVOUS_RANKS_PER_MEMBER_MAX 256
#define RENDEZVOUS_CHECKPOINTS_MAX 8             /* newest complete ones told */
#define RENDEZVOUS_TAIL_MAX 4096                 /* bytes of last output in RANK_EXIT */
#define RENDEZVOUS_PATH_MAX 4096                 /* bytes of a path */
#define RENDEZVOUS_NAME_MAX 253                  /* bytes of a name, uid or address */
#define RENDEZVOUS_REASON_MAX 1024               /* bytes of words for people */
#define RENDEZVOUS_NOTICE_MAX 64                 /* bytes of a NOTICE's reason */
#define RENDEZVOUS_PATTERN_MAX 4096              /* bytes of a regular expression or file pattern */
#define RENDEZVOUS_ENVIRONMENT_MAX 1024          /* variables in WELCOME */
#define RENDEZVOUS_VARIABLE_MAX 32768            /* bytes of one NAME=value */
#define RENDEZVOUS_WAIT_CHANNEL_MAX 64           /* bytes of a kernel function's name */
#define RENDEZVOUS_EXCHANGE_NAME_MAX 160         /* bytes of a name in PUT, GET, GATHER */
#define RENDEZVOUS_CONTRIBUTION_MAX (64u * 1024) /* bytes in one PUT or GATHER */
#define RENDEZVOUS_VALUE_MAX (1024u * 1024)      /* bytes in one VALUE */
#define RENDEZVOUS_MEMBER_BITS_MAX (65536u / 8)  /* bytes: who takes part in a GATHER */
#define RENDEZVOUS_GATHERED_ENTRIES_MAX 65536
#define RENDEZVOUS_REMOTE_COMMAND_MAX (128u * 1024 - 1) /* bytes: the kernel takes no longer word \
                                                         */
#define RENDEZVOUS_REMOTE_DATA_MAX (16u * 1024) /* bytes in one REMOTE_INPUT or REMOTE_OUTPUT */
#define RENDEZVOUS_NO_STEP INT64_C(-1)

/* Why a rank ended, as far as its launcher can know. XX(NAME, wire number, words) */
#define RENDEZVOUS_CAUSE_MAP(XX)                                                               \
    XX(EXITED, 1, "exited")                      /* by itself, with `code` */                  \
    XX(SIGNAL_OUTSIDE, 2, "killed from outside") /* a signal that the launcher did not send */ \
    XX(KILLED_BY_US, 3, "stopped by mltrain")    /* after STOP */                              \
    XX(OUT_OF_MEMORY, 4, "out of memory")        /* cgroup says so */                          \
    XX(EXEC_FAILED, 5, "could not be started")   /* `code` is errno */                         \
    XX(LAUNCHER_LOST, 6, "lost with its launcher")                                             \
    XX(HUNG, 7, "hung")                   /* no step for too long; never said by a launcher */ \
    XX(FENCED, 8, "stopped by its fence") /* its launcher has heard nothing for fence_ms */

enum rendezvous_cause {
#define XX(name, number, words) RENDEZVOUS_CAUSE_##name = number,
    RENDEZVOUS_CAUSE_MAP(XX)
#undef XX
};
const char *rendezvous_cause_words(enum rendezvous_cause cause);

/* What a launcher is doing, in HELLO. */
#define RENDEZVOUS_STATE_MAP(XX)                                                           \
    XX(IDLE, 1, "idle")         /* nothing started, not ready yet */                       \
    XX(READY, 2, "ready")       /* READY stands for the frame's attempt */                 \
    XX(RUNNING, 3, "running")   /* ranks of the frame's attempt run */                     \
    XX(STOPPING, 4, "stopping") /* told to stop, or a rank failed and none was told yet */ \
    XX(STOPPED, 5, "stopped")   /* all ranks of the frame's attempt reaped */

enum rendezvous_state {
#define XX(name, number, words) RENDEZVOUS_STATE_##name = number,
    RENDEZVOUS_STATE_MAP(XX)
#undef XX
};

struct rendezvous_exit {
    uint32_t rank;       /* in the world */
    uint32_t local_rank; /* in the pod */
    int32_t code;        /* exit code, 0 when a signal ended it; errno for EXEC_FAILED */
    int32_t signal;      /* 0 when it exited */
    uint32_t cause;      /* enum rendezvous_cause */
    uint64_t after_ms;   /* since this launcher's START, monotonic */
    const char *tail; /* last output, at most RENDEZVOUS_TAIL_MAX bytes; "" unless the rank failed
                         by itself */
};

struct rendezvous_checkpoint {
    int64_t step;
    const char *path;
    int64_t wall_ms; /* when it became complete */
};

/* up. The frame's attempt is that of `state` (0 when IDLE before any READY). A full snapshot:
 * whatever else was lost, HELLO repairs. */
struct rendezvous_hello {
    uint64_t lease_transitions;                  /* highest seen in WELCOME or START; 0 at first */
    const char *pod_uid, *role, *node, *address; /* address: the pod's IP */
    uint32_t slot;
    const char *launcher_version;
    uint32_t state;         /* enum rendezvous_state */
    uint64_t start_digest;  /* of the START it runs or ran last; 0 for none */
    uint64_t start_attempt; /* attempt of that START; 0 for none. Once READY this is not the frame's
                               attempt */
    bool terminating;       /* the kubelet has sent SIGTERM */
    uint16_t port;          /* held for MASTER_PORT when READY, else 0 */
    uint32_t running;       /* ranks alive */
    struct rendezvous_exit
        *exits; /* all of start_attempt so far; kept after READY, until the next START */
    uint32_t exits_count;
    struct rendezvous_checkpoint *checkpoints; /* newest first */
    uint32_t checkpoints_count;
    int64_t step;            /* progress so far in this attempt, or RENDEZVOUS_NO_STEP */
    bool takes_orders;       /* appended: it knows CHECKPOINT_NOW and EXAMINE */
    uint64_t since_start_ms; /* appended: what it has counted since the START of start_attempt, the
                                same clock as after_ms of exits; 0: not told */
    bool takes_exchange;     /* appended: it takes GET, VALUE and GATHERED */
};

/* up. The frame's attempt is the one it is ready for: what it ran last + 1, at least WELCOME's
 * next_attempt. */
struct rendezvous_ready {
    uint16_t port; /* held for MASTER_PORT, used when this member has rank 0 */
};

struct rendezvous_started {
    uint32_t *pids; /* by local rank; 0 for one that could not be started (its RANK_EXIT follows) */
    uint32_t pids_count;
    uint64_t start_to_exec_us; /* from START received to the last exec */
};

struct rendezvous_rank_exit {
    struct rendezvous_exit exit;
};

/* up. Every rank of the frame's attempt and every descendant is reaped; lists all exits, so that
 * lost RANK_EXITs do no harm. unkillable: some process is still there 30 s after SIGKILL. */
struct rendezvous_stopped {
    bool unkillable;
    struct rendezvous_exit *exits;
    uint32_t exits_count;
    uint64_t since_start_ms; /* appended: see HELLO */
};

struct rendezvous_terminating {
    uint32_t signal;
};

struct rendezvous_progress {
    int64_t step;
    int64_t total_steps;           /* 0: unknown */
    uint64_t steps_per_kilosecond; /* over the last minute or so; 0: unknown */
};

struct rendezvous_checkpoint_report {
    struct rendezvous_checkpoint *checkpoints; /* complete ones, newest first */
    uint32_t checkpoints_count;
    int64_t torn_step; /* the newest one that is newer than those and not complete, or
                          RENDEZVOUS_NO_STEP */
};

struct rendezvous_ping {
    uint64_t nonce; /* PONG returns it; the coordinator's: when it was sent, by its own clock, ms */
};

/* up. The frame's attempt is PING's. */
struct rendezvous_pong {
    uint64_t nonce;
    uint64_t since_start_ms; /* appended: see HELLO; 0 when another attempt ran here last */
};

/* What a person should know and no decision depends on. XX(NAME, wire number) */
#define RENDEZVOUS_SEVERITY_MAP(XX) XX(NORMAL, 0) XX(WARNING, 1)

enum rendezvous_severity {
#define XX(name, number) RENDEZVOUS_SEVERITY_##name = number,
    RENDEZVOUS_SEVERITY_MAP(XX)
#undef XX
};

/* up. Told once, so that it may be lost; not fenced by the attempt. Only to a controller that takes
 * it: WELCOME. */
struct rendezvous_notice {
    uint8_t severity;   /* enum rendezvous_severity */
    const char *reason; /* one CamelCase word: rendezvous_is_reason() */
    const char *words;  /* for people, at most RENDEZVOUS_REASON_MAX bytes */
};

/* "InvalidProgressPattern": a letter from A to Z, then letters and digits, at most
 * RENDEZVOUS_NOTICE_MAX bytes. */
bool rendezvous_is_reason(const char *word);

/* up. The answer to a CHECKPOINT_NOW that is not confirmed. */
struct rendezvous_save_step {
    int64_t proposed; /* the step of that CHECKPOINT_NOW */
    bool passed;      /* a rank of this pod has been asked at this step or a later one already: it
                         cannot be saved any more, and nothing was saved */
    int64_t reached;  /* the highest step that a rank of this pod has reached, or
                         RENDEZVOUS_NO_STEP */
    uint32_t asking;  /* ranks that save when libmltrain tells them so */
    uint32_t caught;  /* other ranks with a process that catches the job's signal, which it got */
};

/* What one rank was doing when EXAMINE came: of the topmost process of its tree that is not a
 * shell waiting for its child. From /proc/PID/stat and /proc/PID/wchan, see proc(5). */
struct rendezvous_evidence {
    uint32_t local_rank;
    uint8_t state;            /* R S D T t Z, '?' when it could not be read */
    const char *wait_channel; /* kernel function that it sleeps in; "" : none or not told */
    uint64_t cpu_ms;          /* of its whole tree since START */
    uint32_t busy_permille; /* of one CPU, its whole tree, while it was examined; may exceed 1000 */
    int64_t step;           /* the last that it told, or RENDEZVOUS_NO_STEP */
    uint64_t silent_ms;     /* since its last line of output or step */
};

/* up. The answer to EXAMINE. */
struct rendezvous_evidence_report {
    struct rendezvous_evidence *ranks; /* those alive */
    uint32_t ranks_count;
};

/* How MPI ranks find each other (spec.mpi.wireup). Also what a controller before it has said: AUTO.
 * XX(NAME, wire number, name) */
#define RENDEZVOUS_WIREUP_MAP(XX)                                                      \
    XX(AUTO, 0, "auto") /* the launcher looks at the program: launcher/mpi_wireup.h */ \
    XX(PMIX, 1, "pmix")                                                                \
    XX(PMI1, 2, "pmi1")                                                                \
    XX(RSH, 3, "rsh")

enum rendezvous_wireup {
#define XX(name, number, words) RENDEZVOUS_WIREUP_##name = number,
    RENDEZVOUS_WIREUP_MAP(XX)
#undef XX
};
const char *rendezvous_wireup_name(enum rendezvous_wireup wireup);

/* down. What to run and watch; the same for each member of a role but for `watch_checkpoints`. */
struct rendezvous_welcome {
    uint64_t lease_transitions;
    uint64_t next_attempt;   /* READY must be for at least this one */
    const char *framework;   /* pytorch | mpi | plain */
    uint32_t nproc;          /* ranks of this pod */
    uint32_t max_restarts;   /* backoffLimit, for TORCHELASTIC_MAX_RESTARTS and PET_MAX_RESTARTS */
    int64_t cpu_limit_milli; /* of the container; 0: none */
    const char *checkpoint_path;    /* "" : none */
    const char *checkpoint_format;  /* a TrainingJob's spec.checkpoint.format */
    const char *checkpoint_pattern; /* "" : none; of format pattern, or what auto looks for too */
    bool watch_checkpoints;         /* this member scans the folder and reports */
    const char *progress_pattern;   /* PCRE2, "" : none */
    int64_t total_steps;            /* 0: unknown */
    const char **environment;       /* NAME=value, added for every rank */
    uint32_t environment_count;
    /* Appended: for a stop that the kubelet asks for. stop_signal 0: SIGTERM, and no end of the
     * grace. */
    uint32_t stop_signal, stop_grace_ms;
    bool takes_notices;     /* appended */
    bool checkpoint_repair; /* appended: torn checkpoints are renamed before a start */
    uint32_t fence_ms; /* appended: a launcher that has heard nothing for so long stops its ranks;
                          0: off */
    bool orders_saves; /* appended: TERMINATING is answered with CHECKPOINT_NOW or STOP */
    uint32_t wireup;   /* appended: enum rendezvous_wireup; of framework mpi, else not looked at */
    bool takes_exchange; /* appended: PUT, GET, GATHER and VALUE are taken */
};

/* down. The frame's attempt is the one to start. */
struct rendezvous_start {
    uint64_t lease_transitions;
    uint32_t node_rank; /* GROUP_RANK: place of this member */
    uint32_t nodes;     /* GROUP_WORLD_SIZE */
    uint32_t rank_base; /* RANK of local rank 0 */
    uint32_t world_size;
    uint32_t role_rank_base, role_world_size;
    const char *master_address; /* an IP */
    uint16_t master_port;
    int64_t resume_step; /* or RENDEZVOUS_NO_STEP */
    const char *resume_path;
};

struct rendezvous_stop {
    const char *reason;
    uint32_t grace_ms; /* from the signal to SIGKILL; 0: SIGKILL at once */
    uint32_t signal;   /* the job's checkpoint.signal; ignored when grace_ms is 0 */
};

/* down. Save, a stop follows. First a proposal goes to all members; each answers SAVE_STEP, and a
 * rank that reaches the step waits there until the proposal is confirmed or replaced by a later
 * one. So all ranks save the same step, and none saves one that another has passed. Ranks without
 * libmltrain get the signal, once per stop, if they catch it. Only to members that take orders
 * (HELLO). */
struct rendezvous_checkpoint_now {
    int64_t step;         /* that all ranks save; 0 or more */
    bool confirmed;       /* all members have agreed: save it */
    uint32_t deadline_ms; /* from now until the ranks are stopped in any case */
    uint32_t signal;      /* the job's checkpoint.signal */
    const char *reason;
};

struct rendezvous_exit_order {
    int32_t code; /* the launcher's own exit code; the launcher leaves only when told so */
    const char *reason;
};

struct rendezvous_refused {
    const char *reason;
    bool final; /* true: do not come back (wrong pod, finished job); false: try again */
    bool gone;  /* appended: final, because the job does not exist any more. Nobody else runs it:
                   ranks have the stop_signal and stop_grace_ms of WELCOME to save and end */
};

/* ---- the exchange between members of an attempt: rendezvous/collective.h ----
 *
 * Bytes are what `data` and `data_length` say, and may hold anything. The frame's attempt is that
 * of the ranks that run. */

/* How a put, get or gather ended. XX(NAME, wire number, words) */
#define RENDEZVOUS_OUTCOME_MAP(XX)                                 \
    XX(OK, 0, "done")                                              \
    XX(TIMED_OUT, 1, "the time was over")                          \
    XX(TOO_LARGE, 2, "the result is too large to be sent to all")  \
    XX(NO_ROOM, 3, "the controller has no room for it")            \
    XX(MEMBER_LOST, 4, "a member has ended without taking part")   \
    XX(DISAGREE, 5, "members disagree about who takes part")       \
    XX(EXISTS, 6, "another value stands under this name")          \
    XX(NOT_FOUND, 7, "there is no such value")                     \
    XX(OVER, 8, "it is over, and its result is not kept any more") \
    XX(REFUSED, 9, "refused")

enum rendezvous_outcome {
#define XX(name, number, words) RENDEZVOUS_OUTCOME_##name = number,
    RENDEZVOUS_OUTCOME_MAP(XX)
#undef XX
};
const char *rendezvous_outcome_words(enum rendezvous_outcome outcome); /* "?" for an unknown one */

/* up. Answered with VALUE. */
struct rendezvous_put {
    uint64_t token; /* the member's own; returned in VALUE */
    const char *name;
    const unsigned char *data; /* at most RENDEZVOUS_CONTRIBUTION_MAX */
    uint32_t data_length;
};

#define RENDEZVOUS_GET_MAP(XX)                          \
    XX(WAIT, 0)    /* until it is there */              \
    XX(NOW, 1)     /* what is not there is not found */ \
    XX(GIVE_UP, 2) /* the one with this token is not waited for any more: its words */

enum rendezvous_get_mode {
#define XX(name, number) RENDEZVOUS_GET_##name = number,
    RENDEZVOUS_GET_MAP(XX)
#undef XX
};

/* up: answered with VALUE. down: another member asks for what this one has; answered with VALUE,
 * up, perhaps later. */
struct rendezvous_get {
    uint64_t token; /* the asker's own; down: the coordinator's */
    const char *name;
    uint8_t mode;       /* enum rendezvous_get_mode; down: WAIT */
    bool of_member;     /* up: what member `node_rank` has; else what was PUT */
    uint32_t node_rank; /* down: who asks */
    uint64_t sequence; /* its part in this GATHER of that name; UINT64_MAX: what its programs say */
};

/* Both directions: the answer to PUT and GET. */
struct rendezvous_value {
    uint64_t token;
    uint8_t outcome;   /* enum rendezvous_outcome */
    const char *words; /* for people, "" with OK */
    const unsigned char *data;
    uint32_t data_length;
};

#define RENDEZVOUS_GATHER_MAP(XX)                                                        \
    XX(OPEN, 0)     /* GATHERED is waited for */                                         \
    XX(DONE, 1)     /* this member has the result; it is said for others who have not */ \
    XX(GIVEN_UP, 2) /* this member's time is over: fails for all, unless it is complete */

enum rendezvous_gather_state {
#define XX(name, number) RENDEZVOUS_GATHER_##name = number,
    RENDEZVOUS_GATHER_MAP(XX)
#undef XX
};

/* up. This member's part in a gather. Said again, it counts once. */
struct rendezvous_gather {
    const char *name;
    uint64_t sequence; /* of this name: 0, 1, 2 ... */
    uint8_t state;     /* enum rendezvous_gather_state */
    uint32_t stays;    /* not 0: so many bytes are not in `data`, but can be fetched by GET */
    const unsigned char *members; /* node rank n takes part: bit n % 8 of byte n / 8; none: all */
    uint32_t members_length;
    const unsigned char *data; /* at most RENDEZVOUS_CONTRIBUTION_MAX */
    uint32_t data_length;
};

struct rendezvous_gathered_entry {
    uint32_t node_rank;
    uint32_t stays; /* as in GATHER */
    const unsigned char *data;
    uint32_t data_length;
};

/* down. The same bytes to all who take part. */
struct rendezvous_gathered {
    const char *name;
    uint64_t sequence;
    uint8_t outcome; /* enum rendezvous_outcome */
    const char *words;
    struct rendezvous_gathered_entry *entries; /* by node rank; of those who gave something */
    uint32_t entries_count;
};

/* ---- a command in another pod: launcher/remote.h ---- the frame's attempt is that of the ranks */

/* up, first and once. */
struct rendezvous_remote_run {
    const char *command; /* for sh -c; not empty */
};

/* up: of the command's standard input. down: of its output. No bytes: there are no more. */
struct rendezvous_remote_bytes {
    uint8_t stream; /* 0: standard input; 1, 2: standard output, standard error */
    const unsigned char *data;
    uint32_t data_length;
};

/* Both directions: so many bytes of a stream have been passed on, and so many more may come. */
struct rendezvous_remote_taken {
    uint8_t stream;
    uint32_t bytes;
};

/* down, last. */
struct rendezvous_remote_ended {
    int32_t code;      /* the command's exit code, 0 when a signal ended it */
    int32_t signal;    /* 0 when it exited */
    const char *words; /* not "": it was not run, or not to its end, and why */
};

/* Any decoded message. */
struct rendezvous_message {
    enum rendezvous_type type;
    uint64_t attempt;
    union {
        struct rendezvous_hello hello;
        struct rendezvous_ready ready;
        struct rendezvous_started started;
        struct rendezvous_rank_exit rank_exit;
        struct rendezvous_stopped stopped;
        struct rendezvous_terminating terminating;
        struct rendezvous_progress progress;
        struct rendezvous_checkpoint_report checkpoint;
        struct rendezvous_ping ping;
        struct rendezvous_pong pong;
        struct rendezvous_notice notice;
        struct rendezvous_save_step save_step;
        struct rendezvous_evidence_report evidence;
        struct rendezvous_welcome welcome;
        struct rendezvous_start start;
        struct rendezvous_stop stop;
        struct rendezvous_exit_order exit;
        struct rendezvous_refused refused;
        struct rendezvous_checkpoint_now checkpoint_now; /* EXAMINE has no fields */
        struct rendezvous_put put;
        struct rendezvous_get get;
        struct rendezvous_gather gather;
        struct rendezvous_value value;
        struct rendezvous_gathered gathered;
        struct rendezvous_remote_run remote_run;
        struct rendezvous_remote_bytes remote_bytes; /* REMOTE_INPUT, REMOTE_OUTPUT */
        struct rendezvous_remote_taken remote_taken;
        struct rendezvous_remote_ended remote_ended;
    };
    char *storage; /* owned; strings point into it */
};

/* Decodes; -EPROTO names message and field ("HELLO.slot: ..."), -ENOMEM. On failure *ret is
 * untouched. */
int rendezvous_message_read(const struct rendezvous_frame *frame, struct rendezvous_message *ret,
                            struct mlt_error *err) MLT_MUST_USE;
void rendezvous_message_release(struct rendezvous_message *m);

/* Appends a whole frame with this message to *out. Something over its maximum or out of its range
 * is a sticky failure of the text, and nothing is appended; but of a `reason` that is too long the
 * beginning is sent, and of a `tail` the end (the exits of one HELLO or STOPPED share 128 KiB of
 * tails). NULL strings count as "". */
void rendezvous_message_write(struct mlt_text *out, const struct rendezvous_message *m);

/* What tells one START of an attempt from another: FNV-1a (64 bit) over attempt and every field
 * that is the same for all members, which is all but lease_transitions, node_rank, the two rank
 * bases and role_world_size. Never 0. */
uint64_t rendezvous_start_digest(uint64_t attempt, const struct rendezvous_start *start);

#endif
