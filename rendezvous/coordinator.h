/* The controller's side of one job's channel: membership, readiness, start, trigger and verdict.
 * Pure: messages and facts come in with the time, outputs are taken out one at a time.
 *
 * Life of an attempt:  members HELLO and get WELCOME -> each is READY for the attempt -> output
 * GANG_READY -> the owner writes attempt and charge into the job's status, then calls _start() ->
 * START to every member -> output GANG_STARTED -> ... -> the first failure is the trigger: output
 * TRIGGER, STOP to all at once -> when every member has STOPPED or was declared lost: output
 * VERDICT -> members become READY for the next attempt by themselves. Ranks are a pure function of
 * members sorted by (role, slot) and nothing else.
 *
 * Each started attempt ends with exactly one VERDICT, or with COMPLETED (then no VERDICT comes).
 *
 * A requested stop saves first: CHECKPOINT_NOW proposes a step to all members, is confirmed when
 * all agree (output SAVE_ORDERED), and STOP follows when a newer checkpoint is complete, when
 * nobody is left who could save, or when the grace is over (output SAVE_ENDED).
 *
 * An attempt that makes no step for too long is examined: EXAMINE asks every member what its ranks
 * do, then the rank most likely at fault is the cause of the verdict, and the ranks get SIGABRT, so
 * that Python's faulthandler prints where they hang.
 *
 * A new leader creates a coordinator with the status's attempt and adopt set. Members that report
 * the same START of that attempt, all of them, within rejoin_ms are adopted (output ADOPTED). At
 * the first sign that this cannot be (a member that never got this START, another digest, a member
 * that was being stopped, rejoin_ms over): DIVERGED, all are told to stop with the job's grace, and
 * a VERDICT with `diverged` follows when all have reported or are lost. Where nobody got the START
 * (the former leader died between the status write and START), that is when the last one has said
 * HELLO, and GANG_READY follows for attempt + 1: a START is never made up for an attempt of another
 * leader, and the attempt in the status counts as used. A failure that members report while being
 * adopted is a verdict as any other: it may be one that the former leader has charged already, so
 * owners compare verdict.attempt with what the status says.
 *
 * Calls that take no memory for granted: when a frame cannot be made, its channel is closed, and
 * the next HELLO repairs; see coordinator_failed(). */
#ifndef RENDEZVOUS_COORDINATOR_H
#define RENDEZVOUS_COORDINATOR_H

#include <stdbool.h>
#include <stdint.h>
#include "rendezvous/message.h"

#define COORDINATOR_MEMBERS_MAX 65536
/* Each open channel is looked at so often. Without a word since the last look its peer is pinged,
 * after two looks it is suspected (SUSPECT, 3.0 to 4.5 s after the last word), after so many the
 * channel is closed. */
#define COORDINATOR_CHECK_MS 1500
#define COORDINATOR_PING_CHECKS \
    4 /* launchers, too, have to hear something; SUPERVISOR_SILENCE_MS */
#define COORDINATOR_CHECKS_MAX 20
/* A HELLO for a member that is here on another channel does not push it aside: that channel is
 * pinged, and the newcomer is refused, not for good. Only who has not said a word for so long after
 * the PING, or is suspected, loses its channel to the next HELLO. */
#define COORDINATOR_CHALLENGE_MS 1000
#define COORDINATOR_CHECK_EARLY_MS 200 /* checks are done early, so that many are done at once */
#define COORDINATOR_REJOIN_MS_DEFAULT 30000
#define COORDINATOR_ATTEMPT_MAX 1000000000 /* READY for a later one is refused */

struct coordinator;
struct collective_budget; /* rendezvous/collective.h */
struct frame_bytes;       /* rendezvous/frame_bytes.h */

/* One pod of the gang. `role_order` sorts roles (worker: 0). */
struct coordinator_member {
    const char *role;
    uint32_t role_order, slot, nproc;
};

struct coordinator_config {
    const char *job; /* namespace/name, for words */
    uint64_t lease_transitions;
    const struct coordinator_member *members; /* copied */
    uint32_t members_count;
    uint64_t attempt; /* the status's attempt: 0 before any START */
    bool adopt;       /* the status says that this attempt may be running */
    int64_t rejoin_ms;
    uint32_t stop_grace_ms,
        stop_signal;    /* for requested stops (checkpoint.gracePeriodSeconds, .signal) */
    bool rank0_decides; /* successPolicy Rank0 */
    bool was_stopping; /* with `adopt`: a former controller has ordered a stop, and the owner orders
                          it again at once; ranks that have ended with 0 may have obeyed */
    bool has_checkpoints; /* checkpoint.path is set: a newer one may come by itself */
    int64_t
        newest_checkpoint; /* with `adopt`: the step of the newest that is known; 0 or less: none */
    int64_t saves_from;    /* with `adopt`: no checkpoint of a lower step is saved in that attempt;
                              0 or less: not known, after going back */
    int64_t stall_ms;      /* without a newer step, after the attempt's first; 0: for ever */
    int64_t startup_ms;    /* from START to the first step; 0: for ever */
    struct collective_budget *exchange_budget; /* of all jobs, outlives them; NULL: none */
};

/* `config` and what it points to are copied. NULL when memory is exhausted. */
struct coordinator *coordinator_new(const struct coordinator_config *config, int64_t now_ms);
void coordinator_free(struct coordinator *c);

/* The WELCOME of this job: everything but lease_transitions, next_attempt, nproc,
 * watch_checkpoints, stop_signal, stop_grace_ms, takes_notices, orders_saves and
 * takes_exchange, which the coordinator fills in.
 * Copied. Must be set before the first frame. False, and nothing changed, when something in it is
 * over its maximum (message.h). */
bool coordinator_set_welcome(struct coordinator *c, const struct rendezvous_welcome *welcome);

/* ---- facts ---- */

/* The pod that holds a slot now (its UID), "" for none yet: a HELLO from another pod is REFUSED. A
 * changed UID means that the former pod is lost. */
void coordinator_expect_pod(struct coordinator *c, const char *role, uint32_t slot,
                            const char *pod_uid);
/* A pod that held this slot once and never will again: its HELLO is REFUSED for good, so that it
 * stops what it may still run. Pods that were lost, or replaced by _expect_pod(), are known. */
void coordinator_former_pod(struct coordinator *c, const char *role, uint32_t slot,
                            const char *pod_uid);
/* How a pod was lost. */
struct coordinator_loss {
    bool infrastructure; /* not the job's fault: node lost, evicted, deleted, rejected */
    bool out_of_memory; /* the kubelet says OOMKilled: the job's own fault, and ranks' exits are its
                           echo. On cgroup v2 the whole container is killed when one rank runs out
                           of memory, launcher included */
    const char *node;   /* "" or NULL: the one that its launcher told */
    const char *words;  /* for people: "node node003 is not ready" */
    int32_t exit_code;  /* of the container; 0: none */
};

/* The pod is gone, or its container ended: its ranks are lost with it. Should its launcher be heard
 * all the same, now or later, it is REFUSED for good. */
void coordinator_pod_lost(struct coordinator *c, const char *role, uint32_t slot,
                          const struct coordinator_loss *loss, int64_t now_ms);
/* `channel`: not 0; ids grow in the order in which channels were opened (as channel_server gives
 * them), so that a HELLO that is read late is known as old news. */
void coordinator_frame(struct coordinator *c, uint64_t channel,
                       const struct rendezvous_frame *frame, int64_t now_ms);
void coordinator_closed(struct coordinator *c, uint64_t channel, int64_t now_ms);
void coordinator_timer(struct coordinator *c,
                       int64_t now_ms);                   /* when the time of _wake_ms has come */
int64_t coordinator_wake_ms(const struct coordinator *c); /* INT64_MAX: never */

/* ---- orders ---- */

/* Sends START for `attempt` (the one in GANG_READY or a later one) to all members. Members whose
 * channel is closed at the moment get it with their next HELLO. resume_step may be
 * RENDEZVOUS_NO_STEP. False, and nothing happened, when a member is no longer ready (its pod was
 * lost while the status was written) or has become ready for a later attempt: GANG_READY will come
 * again. */
bool coordinator_start(struct coordinator *c, uint64_t attempt, int64_t resume_step,
                       const char *resume_path, int64_t now_ms);
/* A requested stop (suspend, cancel, deadline): the ranks have `grace_ms` to save, 0: none; then
 * STOP to all. VERDICT follows with `requested` set unless a failure came first. Nothing happens
 * when no attempt is under way. Idempotent; a shorter grace may follow a longer one. */
void coordinator_stop(struct coordinator *c, uint32_t grace_ms, const char *reason, int64_t now_ms);
/* EXIT to all members, with `code` (0 to 255). They close. Members that are being stopped get it
 * when they have stopped, members that are away with their next HELLO. Final: GANG_READY never
 * comes again. Idempotent. */
void coordinator_exit(struct coordinator *c, int32_t code, const char *reason);

/* ---- what came of it ---- */

#define COORDINATOR_OUTPUT_MAP(XX)                                                                 \
    XX(SEND)          /* send `bytes` on `channel` */                                              \
    XX(CLOSE)         /* close `channel`; `words` says why */                                      \
    XX(REFUSED)       /* a message was refused and counted; `words` */                             \
    XX(MEMBER_JOINED) /* role, slot */                                                             \
    XX(MEMBER_ABSENT) /* role, slot: its channel is closed, its ranks may run on */                \
    XX(SUSPECT)       /* role, slot: nothing is heard on its open channel, not even a PONG */      \
    XX(CLEARED)       /* role, slot: it is heard again */                                          \
    XX(GANG_READY)    /* all members are ready for `attempt` */                                    \
    XX(GANG_STARTED) /* all ranks of `attempt` were exec'd; start_us: the slowest START to exec */ \
    XX(ADOPTED)      /* all members run `attempt`, same digest */                                  \
    XX(DIVERGED)     /* not all do: members were told to stop; VERDICT follows, not charged */     \
    XX(TRIGGER)      /* first failure of `attempt`: `words` */                                     \
    XX(VERDICT)      /* every member stopped or lost: `verdict` */                                 \
    XX(COMPLETED)    /* by the success policy the job is done; members have been told to stop what \
                        still runs */                                                              \
    XX(PROGRESS)     /* step, total_steps, steps_per_kilosecond */                                 \
    XX(CHECKPOINT)   /* `checkpoints` complete, newest first; torn_step */                         \
    XX(TERMINATING)  /* role, slot: the kubelet ends this pod */                                   \
    XX(UNKILLABLE)   /* role, slot: the pod must be replaced on another node */                    \
    XX(SAVE_ORDERED) /* all ranks with libmltrain save `step` */                                   \
    XX(SAVE_ENDED)   /* no longer waited for; `words` say why; `step`: saved, or no step */        \
    XX(EXAMINING)    /* no step for too long: members are asked what their ranks do; `words` */    \
    XX(NOTICE)       /* role, slot, severity, reason, words: for people, as an Event */

enum coordinator_output_kind {
#define XX(name) COORDINATOR_##name,
    COORDINATOR_OUTPUT_MAP(XX)
#undef XX
};

/* What ended an attempt. Precedence: node or pod lost > out of memory > signal from outside > hung
 * > exit code; then the earliest, by one clock: that START reached one launcher later than another
 * is taken out (coordinator_clock.c); where that cannot tell, by ms since each launcher's own
 * START. An exit that follows our STOP is never the cause. */
struct coordinator_verdict {
    uint64_t attempt;
    bool requested;      /* a stop was asked for, and no failure came before it */
    bool infrastructure; /* the pod was lost through no fault of the job: not charged */
    bool diverged;       /* after a change of leader: not charged */
    const char *role, *node;
    uint32_t slot;
    int64_t rank; /* -1: none (pod lost) */
    int32_t code, signal;
    uint32_t cause;    /* enum rendezvous_cause */
    uint64_t after_ms; /* since its launcher's START; of a pod that was lost, since ours */
    const char *tail;  /* last output of the culprit */
    char words[RENDEZVOUS_REASON_MAX]; /* "rank 3 (worker 1 on node002) was killed by signal 9
                                          (SIGKILL) from outside" */
};

struct coordinator_output {
    enum coordinator_output_kind kind;
    uint64_t channel, attempt;
    const char *bytes;
    size_t length;
    struct frame_bytes *shared; /* what `bytes` are of; who keeps them takes a reference. Or NULL */
    const char *words, *role;
    uint32_t slot;
    uint64_t start_us;
    int64_t step, total_steps, torn_step;
    uint64_t steps_per_kilosecond;
    const struct rendezvous_checkpoint *checkpoints;
    uint32_t checkpoints_count;
    enum rendezvous_severity severity;
    const char *reason;
    struct coordinator_verdict verdict;
};

/* The next output; false when there is none. What it points to is valid until the next call on the
 * coordinator. */
bool coordinator_next(struct coordinator *c, struct coordinator_output *ret);

bool coordinator_has_output(const struct coordinator *c);

/* ---- looking ---- */

/* When a member was last heard; INT64_MIN: never, or there is no such member. */
int64_t coordinator_heard_ms(const struct coordinator *c, const char *role, uint32_t slot);

uint64_t coordinator_attempt(const struct coordinator *c);
uint32_t coordinator_ready_count(const struct coordinator *c); /* members ready or running */
uint32_t coordinator_running_ranks(const struct coordinator *c);
uint64_t coordinator_refusals(const struct coordinator *c);
bool coordinator_is_running(
    const struct coordinator *c); /* an attempt is under way: started or being adopted, no
                                     verdict yet; after COMPLETED: ranks still run */
/* Memory ran out for something that may not be lost: the owner should end itself and start again.
 */
bool coordinator_failed(const struct coordinator *c);

/* Asserts what must hold between calls (tests call it after each step). */
void coordinator_check(const struct coordinator *c);

#endif
