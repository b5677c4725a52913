/* The status of a TrainingJob as C data that its controller changes, and the patch that writes it.
 * Everything in it is owned: trainingjob_status_release() frees, trainingjob_status_copy() copies.
 */
#ifndef TRAININGJOB_STATUS_H
#define TRAININGJOB_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/json/json.h"

#define TRAININGJOB_NONE (-1)

#define TRAININGJOB_FAILURES_MAX 20
#define TRAININGJOB_CONDITIONS_MAX 16
#define TRAININGJOB_AVOID_MAX 64               /* nodes */
#define TRAININGJOB_COUNT_MAX 100000000        /* attempts, restarts, faults */
#define TRAININGJOB_SKIPPED_MAX 64             /* checkpoints */
#define TRAININGJOB_STRIKES_MAX 3              /* against one checkpoint; then it is decided */
#define TRAININGJOB_WORD_MAX 64                /* bytes of a reason or a cause, with the NUL */
#define TRAININGJOB_LEVELS_MAX 4096            /* bytes of status.queue.topologyLevels */
#define TRAININGJOB_MESSAGE_MAX 4096           /* bytes of a message or an explanation */
#define TRAININGJOB_PLACEMENT_MAX (256 * 1024) /* bytes of a host list */

#define TRAININGJOB_PHASE_MAP(XX)                     \
    XX(NONE, "") /* no controller has seen the job */ \
    XX(QUEUED, "Queued")                              \
    XX(ADMITTED, "Admitted")                          \
    XX(STARTING, "Starting")                          \
    XX(RUNNING, "Running")                            \
    XX(RESTARTING, "Restarting")                      \
    XX(PREEMPTING, "Preempting")                      \
    XX(SUSPENDED, "Suspended")                        \
    XX(SUCCEEDED, "Succeeded")                        \
    XX(FAILED, "Failed")

enum trainingjob_phase {
#define XX(name, text) TRAININGJOB_PHASE_##name,
    TRAININGJOB_PHASE_MAP(XX)
#undef XX
};

#define TRAININGJOB_CONDITION_MAP(XX)                                                    \
    XX(QUEUED, "Queued")                                                                 \
    XX(ADMITTED, "Admitted")                                                             \
    XX(RUNNING, "Running")                                                               \
    XX(RESTARTING, "Restarting")                                                         \
    XX(SUSPENDED, "Suspended")                                                           \
    XX(SUCCESS_CRITERIA_MET, "SuccessCriteriaMet") /* as in batch/v1: before Complete */ \
    XX(COMPLETE, "Complete") /* Complete and Failed as in batch/v1: they end the job */  \
    XX(FAILED, "Failed")                                                                 \
    XX(CHECKPOINT_NOT_DURABLE, "CheckpointNotDurable")                                   \
    XX(PODS_READY, "PodsReady") /* this and those below as Kueue's */                    \
    XX(EVICTED, "Evicted")                                                               \
    XX(PREEMPTED, "Preempted")

enum trainingjob_condition_type {
#define XX(name, text) TRAININGJOB_CONDITION_##name,
    TRAININGJOB_CONDITION_MAP(XX)
#undef XX
};

/* Reasons of Failed that other parts look for. */
#define TRAININGJOB_REASON_CANCELLED "Cancelled"
#define TRAININGJOB_REASON_DEADLINE "DeadlineExceeded"
#define TRAININGJOB_REASON_BACKOFF "BackoffLimitExceeded"
#define TRAININGJOB_REASON_RULE "FailurePolicy"
#define TRAININGJOB_REASON_RANK_ASKED "RankAskedToFail"
#define TRAININGJOB_REASON_POISONED "Poisoned"

const char *trainingjob_phase_name(enum trainingjob_phase phase);
const char *trainingjob_condition_name(enum trainingjob_condition_type type);

/* metav1.Condition. */
struct trainingjob_condition {
    const char *type, *reason, *message; /* never NULL; in `text` */
    char *text;                          /* owned: a job has several conditions, twice */
    char status[8];                      /* True, False, Unknown */
    int64_t last_transition_ms;
    int64_t observed_generation;
};

struct trainingjob_failure {
    int64_t time_ms;
    int64_t attempt;
    int64_t rank; /* TRAININGJOB_NONE: no rank (a pod or a node) */
    char *node;
    char *pod;         /* the culprit's, by name; NULL: unknown */
    int64_t exit_code; /* TRAININGJOB_NONE: none */
    int64_t signal;    /* 0: none */
    char cause[TRAININGJOB_WORD_MAX];
    int64_t step, steps_lost; /* TRAININGJOB_NONE: unknown */
    char *message;
};

struct trainingjob_avoided {
    char *node;
    int64_t until_ms;
    int64_t faults; /* how often in a row: the time doubles */
};

/* An attempt that failed after its first step. */
struct trainingjob_strike {
    char *node; /* of the culprit, "" when unknown */
    int64_t step;
};

/* status.recovery.poison: what is held against one checkpoint. See controller/poison.h. */
struct trainingjob_poison {
    int64_t checkpoint_step; /* TRAININGJOB_NONE: nothing is held against any */
    struct trainingjob_strike strikes[TRAININGJOB_STRIKES_MAX];
    size_t strikes_count;
    bool went_back; /* an older one is being used instead */
};

struct trainingjob_recovery {
    struct trainingjob_avoided *avoid; /* status.recovery.avoidNodes */
    size_t avoid_count;
    int64_t *skipped; /* steps of checkpoints that are not resumed from */
    size_t skipped_count;
    struct trainingjob_poison poison;
    int64_t charged_at_step;         /* TRAININGJOB_NONE: never charged */
    int64_t highest_checkpoint_step; /* that was ever complete; TRAININGJOB_NONE */
    int64_t in_place_failures;       /* without a step in between */
    int64_t resume_step;             /* of this attempt; TRAININGJOB_NONE: from the beginning */
    char *resume_path;
    int64_t next_attempt_ms;
    char pending_stop[TRAININGJOB_WORD_MAX]; /* why the gang is being stopped; "": it is not */
    int64_t pending_stop_ms;                 /* since when */
};

struct trainingjob_checkpoint {
    int64_t step; /* TRAININGJOB_NONE: none */
    char *path;
    int64_t time_ms;
};

struct trainingjob_progress {
    int64_t step;              /* TRAININGJOB_NONE: none yet */
    int64_t total_steps;       /* 0: unknown */
    double steps_per_second;   /* 0: unknown */
    int64_t remaining_seconds; /* status.progress.estimatedRemainingSeconds; TRAININGJOB_NONE */
};

struct trainingjob_queue_status {
    int64_t position; /* 0: none (only a queue's first 100 have one) */
    int64_t estimated_start_ms;
    char reason[TRAININGJOB_WORD_MAX];
    char *explanation;
    char *topology_levels; /* NAME=LABEL,... from wide to narrow, of a job that asks for a topology:
                              for who works out by himself why it waits; NULL: none */
};

/* status.preemption: of the last time that the job was asked to leave, and what bears on the next.
 */
struct trainingjob_preemption {
    bool revocable;                    /* the place that it holds was given until it is needed */
    int64_t count;                     /* how often it was asked to leave */
    char reason[TRAININGJOB_WORD_MAX]; /* as of the condition Preempted; "": never */
    char *by, *by_uid;                 /* namespace/name and UID of the job that it left for */
    int64_t time_ms;
    /* Over its life, as far as controllers with --patience have seen it: how long it waited in the
     * queue before each place, and ran in places that it has left; seconds, at most
     * TRAININGJOB_COUNT_MAX. */
    int64_t waited_s, attained_s;
};

struct trainingjob_status {
    enum trainingjob_phase phase;
    struct trainingjob_condition *conditions;
    size_t conditions_count;
    int64_t attempt, restarts, restarts_charged;
    struct trainingjob_failure *failures; /* oldest first */
    size_t failures_count;
    struct trainingjob_recovery recovery;
    struct trainingjob_checkpoint checkpoint;
    struct trainingjob_progress progress;
    struct trainingjob_queue_status queue;
    struct trainingjob_preemption preemption;
    char *placement;     /* host list of the workers, in index order (status.placement.workers) */
    char *pod_creations; /* of the pods that `attempt` was started in: pod_creations.h; NULL: none,
                            or too many different ones */
    char *workers;       /* "3/4" */
    int64_t gpus, replicas, ready_replicas;
    char *selector;
    int64_t start_ms, completion_ms;
    int64_t observed_generation;
    char *launcher_image;
};

void trainingjob_status_init(struct trainingjob_status *status); /* all absent */
/* What was true of a job that waited is not any more: all of status.queue goes. */
void trainingjob_forget_queue(struct trainingjob_status *status);
void trainingjob_status_release(struct trainingjob_status *status);
void trainingjob_status_copy(const struct trainingjob_status *from,
                             struct trainingjob_status *ret_status);

/* Reads status leniently: what is unknown or malformed counts as absent. `status` may be NULL. */
void trainingjob_status_read(const cJSON *status, struct trainingjob_status *ret_status);

/* status as JSON, absent fields left out; the caller frees it. */
cJSON *trainingjob_status_json(const struct trainingjob_status *status);

/* The merge patch that turns `old` into `new`, all of `new` when `old` has no phase yet:
 * {"metadata": {"resourceVersion": ...}, "status":
 * ...}, our own fields only; NULL when nothing differs. The caller frees it. */
cJSON *trainingjob_status_patch(const struct trainingjob_status *old_status,
                                const struct trainingjob_status *new_status,
                                const char *resource_version);

/* ---- changes ---- */

/* Replaces an owned text, cut at `max` bytes on a character's border; NULL clears it. */
void trainingjob_set_text(char **field, const char *text, size_t max);

/* Sets or adds a condition. The transition time changes only with the status, as in Kubernetes.
 * Returns whether anything changed. */
bool trainingjob_set_condition(struct trainingjob_status *status,
                               enum trainingjob_condition_type type, bool is_true,
                               const char *reason, const char *message, int64_t now_ms);
const struct trainingjob_condition *
trainingjob_find_condition(const struct trainingjob_status *status,
                           enum trainingjob_condition_type type); /* NULL: not set */
bool trainingjob_condition_is_true(const struct trainingjob_status *status,
                                   enum trainingjob_condition_type type);

/* Appends a copy of `failure`; the oldest goes above TRAININGJOB_FAILURES_MAX. */
void trainingjob_add_failure(struct trainingjob_status *status,
                             const struct trainingjob_failure *failure);

/* Avoids a node: until now + base_ms, doubled for each earlier fault in a row, at most max_ms. A
 * row ends when the node was not to be avoided for max_ms. The entry that ends first goes above
 * TRAININGJOB_AVOID_MAX. */
void trainingjob_avoid_node(struct trainingjob_status *status, const char *node, int64_t now_ms,
                            int64_t base_ms, int64_t max_ms);
/* Cuts what is left of each node's time to base_ms, doubled for each fault but the first. Returns
 * whether anything changed. */
bool trainingjob_avoid_at_most(struct trainingjob_status *status, int64_t now_ms, int64_t base_ms);
bool trainingjob_avoids(const struct trainingjob_status *status, const char *node, int64_t now_ms);

/* Marks a checkpoint as not to be resumed from; the lowest step goes above TRAININGJOB_SKIPPED_MAX.
 */
void trainingjob_skip_checkpoint(struct trainingjob_status *status, int64_t step);
bool trainingjob_skips(const struct trainingjob_status *status, int64_t step);

/* Holds a failed attempt against the checkpoint that it resumed from; what was held against another
 * one is forgotten, and above TRAININGJOB_STRIKES_MAX the oldest goes. */
void trainingjob_add_strike(struct trainingjob_poison *poison, int64_t checkpoint_step,
                            const char *node, int64_t step);
void trainingjob_clear_poison(struct trainingjob_poison *poison);

#endif
