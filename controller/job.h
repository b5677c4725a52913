/* One TrainingJob as the controller knows it: what the API server holds, what shall be written, and
 * what only lives in memory while its gang runs. */
#ifndef CONTROLLER_JOB_H
#define CONTROLLER_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uthash.h>
#include "controller/event_record.h"
#include "rendezvous/coordinator.h"
#include "trainingjob/trainingjob.h"

#define JOB_LAZY_WRITE_MS \
    10000 /* progress and queue position: at most one write per job in this time */
#define JOB_TRIGGER_SHOWN_MS \
    100 /* a failure whose verdict falls earlier is told together with it, by one write */
#define JOB_QUEUED_WRITE_MS \
    500 /* a job that finds its place sooner is told to be queued and placed by one write */
#define JOB_PHASE_WRITE_MS \
    200 /* a restart that takes longer than this is written while it goes on */
#define JOB_READY_WRITE_MS 1000 /* counts of ready members */
#define JOB_ACTIONS_PER_TURN_MAX \
    64 /* actions of one job in one step; more is a mistake in the table */
#define JOB_NODE_AVOID_BASE_MS 30000 /* a node to blame is avoided for so long, doubling */
#define JOB_NODE_AVOID_MAX_MS (60 * 60 * 1000)
#define JOB_NODE_AVOID_ALONE_MS 5000 /* the same, doubling, while the job fits nowhere else */
#define JOB_UNDONE_WAIT_MS 2000      /* a gang whose node shut down is placed again after it */
#define JOB_PROBE_RETRY_MS 15000     /* a refused dry run is tried again */
#define JOB_PROBE_ANEW_MS \
    (5 * 60 * 1000)          /* who waits for what no node could ever take is asked about again */
#define JOB_UNBOUND_MS 60000 /* the scheduler has not bound a pod by then: the gang is undone */
#define JOB_SETTLE_MS 3000   /* for the last look at the checkpoints */
#define JOB_REJECTIONS_MAX \
    3 /* by one node, before it is avoided: a former pod may still be there */
#define JOB_REJECTED_WAIT_MS 1000 /* before the next try there, doubling */
#define JOB_DELETED_WAIT_MS 1000  /* before a pod that was deleted again is created, doubling */
#define JOB_DELETED_DOUBLINGS_MAX 5
#define JOB_EXIT_WAIT_MS 10000 /* launchers told to exit: then what still runs is deleted */
#define JOB_ENDED_PODS_MAX 5   /* of one member, kept for their logs; older ones are deleted */
#define JOB_PRECEDENCE_MS 3000 /* so long a job waits for one for which a place was made, at most */
#define JOB_PRECEDENCE_LOOK_MS 200
#define JOB_LEAVES_MS 30000       /* after that, pods that still run count as those of others */
#define JOB_DELETE_AGAIN_MS 15000 /* a deletion that the API server has refused is tried again */
#define JOB_FRUITFUL_MS (10 * 60 * 1000) /* an attempt that ran so long counts as progress */

#define JOB_REASON_PREEMPTED "Preempted" /* of conditions, events and a pending stop */

struct controller;
struct view_pod;
struct folded_text;

/* One place in the gang. */
struct member {
    const char *role;
    uint32_t slot;
    char *node;           /* where its pod is or shall be; NULL: to be found by the ledger */
    int64_t creation;     /* of its newest pod that we know; 0: none yet */
    int64_t tried;        /* the creation under way */
    int64_t former;       /* pods up to this creation belonged to an earlier gang of the job */
    int64_t started;      /* the creation that the status's attempt was started in; 0: unknown */
    int64_t stored;       /* the creation that the status tells of it; 0: none */
    bool occupied;        /* by another pod of its slot that has not ended */
    bool asked, missing;  /* it is not in our list: the API server was asked for it; it has none */
    char *pod_uid;        /* of its pod, "" when it has none that can run ranks */
    char *pod_name;       /* of the newest pod, "" */
    char *lost_uid;       /* the pod that was lost with its node, "" */
    bool creating;        /* a creation is under way ... */
    bool creating_elsewhere; /* ... for a node that is not its own any more ... */
    char *creating_words; /* ... and the API server fails at it, saying so; NULL: it does not */
    bool renew;           /* its pod is to be replaced */
    bool silent;          /* its pod is to be deleted though ranks may run in it */
    unsigned rejections;  /* of its pods in a row, after the first START */
    unsigned deletions;   /* the same, by somebody else, without ranks that ran in between */
    int64_t create_after_ms; /* not before */
    bool dead;               /* it had a pod, which has ended or is gone */
    bool joined;             /* its channel is open */
    bool joined_once;        /* it has been, since this pod is known */
    uint64_t channel;        /* that channel */
    bool suspect;            /* it is open, and nothing is heard on it */
    bool terminating;        /* the kubelet ends its pod; its launcher waits for leave to go */
    int64_t absent_since_ms;
    struct view_pod *pod; /* newest pod; refreshed by members_refresh() */
};

enum job_ledger { JOB_LEDGER_NONE, JOB_LEDGER_WAITS, JOB_LEDGER_HOLDS };

/* What tells a status that somebody else has written from ours. */
struct job_mark {
    enum trainingjob_phase phase;
    int64_t attempt, restarts;
};

/* A coordinator's verdict with memory of its own. */
struct job_verdict {
    struct coordinator_verdict v;
    char *role, *node, *tail;
};

struct job {
    struct controller *controller;
    char *uid, *namespace_, *name;
    struct trainingjob tj; /* the newest object; unusable while `refusal` is set */
    bool has_tj;
    char *refusal; /* why the spec cannot be accepted, NULL when it can */
    char *resource_version;
    uint64_t version; /* the same as a number */
    unsigned list_seen;
    bool deleting;
    /* Lists of jobs that had been asked for when the API server said that it knows it no more; 0:
     * it has not said so. */
    unsigned unknown_since_list;
    bool gone; /* its object is; it stays until its ranks have saved and stopped */

    struct trainingjob_status saved; /* what the API server holds */
    struct trainingjob_status draft; /* what it shall hold */
    struct job_mark sent;            /* of the newest write, whether answered or not */
    bool writing;
    uint64_t gate_seq, gate_saved, gate_sent; /* changes that must be stored first */
    int64_t write_by_ms;                      /* lazy changes; INT64_MAX: none */
    bool waits_for_room;                      /* with lazy changes: in lazy_writes.c's queue */
    TAILQ_ENTRY(job) lazy_link;
    int64_t last_lazy_ms;  /* when the status was last written */
    int64_t save_again_ms; /* after a write that the API server refused */

    struct member *members;
    uint32_t members_count;
    bool members_stale; /* pods have changed since members_refresh() */

    enum job_ledger ledger;
    bool placed;   /* a place is reserved and not yet in the draft */
    bool no_place; /* the ledger found no node for a member */

    struct job_volumes *volumes;       /* volumes.c; NULL: not looked up */
    struct folded_text *template_text; /* the workers', as JSON */
    struct folded_text *planned_text;  /* a worker's pod as the API server would complete it, as
                                          JSON; NULL: not known yet */
    cJSON *template_, *planned;        /* the same, in a step that has asked for them: folded.c */
    bool parsed;                       /* on the list of those */
    struct job *next_parsed;
    int64_t gpus_per_pod;
    int64_t probed_generation;
    int64_t planned_until_ms; /* who still waits then is asked about again; 0: nobody is */
    bool probing;
    int64_t probe_generation; /* the spec's that the dry run under way is about */
    uint32_t probe_asks;  /* others share that dry run: their entry in probe_share; 0: none does */
    uint32_t probe_waits; /* for another job's dry run; 0: for none */
    bool probe_alone;     /* a shared one was refused */
    bool probe_renews;    /* there is an answer about this spec already */
    bool probe_mounts;    /* the dry run under way is of a pod that mounts the launcher */
    bool mounts;          /* the API server has left that in the pod of the last one */
    bool copies;          /* that did not work for this job: delivery_failed() */
    int64_t probe_again_ms; /* 0: no */
    int64_t queue_again_ms; /* the gang was undone by a shutdown: not before */
    bool key_asked, has_key;
    int64_t key_again_ms;
    const char *undo_reason; /* why the gang cannot start here and now, a condition's; NULL */
    char *undo_words;        /* the same in a sentence, NULL */
    unsigned creations;      /* of pods, under way */
    bool former_creations;   /* some of them are of a gang that was dropped meanwhile */
    bool leaves_ledger;      /* when these have ended, the status says so, and its pods are gone */
    char *taken_back_for;  /* UID of the job for which it lost a place that nobody knew of; NULL */
    int64_t made_way_for_ms; /* as of then, another job that is queued has left for it */
    int64_t precedence_until_ms, precedence_look_ms; /* preempt_waits_for_others(); 0: no */

    struct coordinator *coordinator; /* NULL: no gang, or none of its launchers has ever come */
    bool coordinator_stale;  /* has outputs to be taken */
    bool holds_frames;       /* channels of its launchers wait for a coordinator */
    bool adopting;           /* a new leader waits for the members of a running attempt */
    uint64_t ready_attempt;  /* of GANG_READY, 0: not ready */
    uint64_t sent_attempt;   /* of the last START that we sent or adopted */
    uint64_t execed_attempt; /* of GANG_STARTED or ADOPTED */
    uint64_t step_attempt;   /* the attempt that has made a step or a checkpoint */
    char *last_refusal;      /* logged */
    int64_t trigger_ms;      /* when the first failure came; for the time to restart */
    char *trigger_words;     /* of the failure for which the ranks are being stopped, NULL: none */
    bool completed;
    bool stopping; /* the ranks have been told to stop, and their verdict has not fallen */
    int64_t stopping_since_ms;
    bool stop_ordered;
    int64_t stop_grace_ms; /* of that order */
    bool stop_saved;       /* a newer checkpoint was completed before that stop */
    bool stop_untold;      /* what that stop saved or lost has not been told */
    char stop_why[64];     /* nothing more is waited for in that stop; "": not yet, or never was */
    bool let_go;
    int64_t let_go_ms;
    int64_t settle_until_ms; /* after the end: the launchers may tell their last checkpoints until
                                then */
    struct job_verdict *verdict; /* owned; NULL: none to be judged */

    /* Checkpoints as the launchers last told them. */
    struct trainingjob_checkpoint *reports; /* at most RENDEZVOUS_CHECKPOINTS_MAX */
    unsigned reports_count;
    bool has_report;
    int64_t torn_step;     /* of the last report; TRAININGJOB_NONE: nothing newer is incomplete */
    unsigned torn_reports; /* in a row that said so */
    int64_t lost_step; /* was complete and is no longer, since the last START; TRAININGJOB_NONE */

    int64_t waiting_since_ms; /* the gang waits for members since (monotonic), 0: it does not */
    int64_t next_attempt_ms;  /* monotonic; 0: at once */
    int64_t running_since_ms; /* its ranks were started, or adopted; 0: not yet */
    bool told_unwatched;      /* by us: it tells no steps, and was to be watched by them */
    bool deleting_job;        /* the deletion of the object is under way */
    int64_t delete_again_ms;  /* it, or that of a pod, was refused: not before */

    struct event_budget event_budget;
    int64_t wake_ms;
    int64_t looked_ms; /* the last look at all of it */
    bool touched;
    bool look; /* touched, and not only by news of one member */
    struct job *next_touched;
    UT_hash_handle hh; /* by uid */
};

struct job *job_find(struct controller *c, const char *uid); /* NULL: unknown */
struct view_pod *job_pods(const struct job *job);            /* the first; follow next_of_job */

/* An object from a list, a watch or an answer. */
void job_seen(struct controller *c, const cJSON *object, unsigned list_round);
/* An answer (404, or another object of its name) has said that the object is gone. What lists and
 * watches show from before that answer does not bring it back; a list that is asked for later does.
 */
void job_unknown(struct job *job);
void job_free(struct job *job);
/* The object is gone: its ranks are stopped, if any run, and then job_end() comes. */
void job_gone(struct controller *c, struct job *job);
/* What the launchers told of checkpoints is forgotten. */
void job_forget_reports(struct job *job);
/* Its launchers are told to exit, and everything is forgotten. */
void job_end(struct job *job);

/* Puts the job on the list of those that reconcile at the end of this step. */
void job_touch(struct job *job);
/* The same for news of one member among many (a pod that came, a launcher's word): what the
 * coordinator says is carried out in this step, but all of a large gang may be looked at a little
 * later, at once for what came until then. */
void job_touch_for_member(struct job *job);
/* When job_touch_for_member() leads to a look: now, or later. */
int64_t job_look_at_ms(const struct job *job);

/* Sizes the members by the spec and makes the coordinator, when the phase needs them; idempotent.
 */
void job_make_gang(struct job *job);
/* Of a job that has members; made now when it is not there yet. */
struct coordinator *job_coordinator(struct job *job);
bool job_finished(const struct job *job); /* by the draft's phase */
/* Finished, suspended, or stopped to make way: its launchers are to go, and nobody is to blame for
 * that. */
bool job_has_ended(const struct job *job);
void job_forget_verdict(struct job *job);
/* Forgets the gang: members, coordinator and what is known of the attempt. */
void job_drop_gang(struct job *job);

/* The draft has changed in a way that must be stored before anything else is done. */
void job_gate(struct job *job);
/* The draft has changed; it is written within `within_ms`, or with the next write. */
void job_lazy(struct job *job, int64_t within_ms);

/* Remembers what a write of the draft will look like when it comes back. */
void job_mark_sent(struct job *job);

void job_set_phase(struct job *job, enum trainingjob_phase phase);
void job_wake_at(struct job *job, int64_t at_ms);

/* Names of the members' nodes in slot order (NULL where there is none); the caller frees the array
 * only. */
const char **job_nodes(const struct job *job);
/* A condition that is True becomes False; one that never was is not made up. `reason`: a literal.
 */
void job_end_condition(struct job *job, enum trainingjob_condition_type type, const char *reason,
                       const char *words);
/* The draft says that the job has no place and no pods any more, and neither runs nor restarts; the
 * ledger is told. The phase and the condition Admitted are the caller's. */
void job_give_back(struct job *job, const char *reason, const char *words);
/* Writes the members' nodes into the draft, when every member has one. */
void job_write_placement(struct job *job);
/* The condition Admitted says where the gang is. */
void job_tell_placed(struct job *job);

/* Tells the ledger where the job stands now. */
void job_ledger_holds(struct job *job);
void job_ledger_none(struct job *job);
/* Does so, if it may now. */
void job_leave_ledger(struct job *job);

/* The exit code for launchers of a finished job. */
int32_t job_exit_code(const struct job *job);

void job_log(struct job *job, int level, const char *format, ...) MLT_PRINTF(3, 4);

#endif
