/* What the parts of the controller share. Not for its users: they have controller.h. */
#ifndef CONTROLLER_INTERNAL_H
#define CONTROLLER_INTERNAL_H

#include "controller/api_right.h"
#include "controller/apply.h"
#include "controller/channel_service.h"
#include "controller/controller.h"
#include "controller/effects.h"
#include "controller/event_record.h"
#include "controller/job.h"
#include "controller/leader.h"
#include "controller/metrics.h"
#include "controller/pod_build.h"
#include "controller/pod_trouble.h"
#include "controller/probe_share.h"
#include "controller/reconcile.h"
#include "controller/view.h"
#include "controller/volumes.h"
#include "ledger/ledger.h"
#include "lib/base/random.h"
#include "rendezvous/collective.h"

/* One open channel. */
struct channel {
    uint64_t id;
    char *job_uid;
    struct mlt_text held; /* frames that came before the job was known */
    bool orphan;          /* its job is gone */
    UT_hash_handle hh;
};

struct controller {
    struct controller_config config; /* its strings are owned */
    struct mlt_random random;
    int64_t now_ms, wall_ms;
    uint64_t next_id; /* of requests */
    struct effects effects;
    struct apply apply;
    struct metrics metrics;
    struct view view;
    struct leader leader;
    struct channel_service channel_service;
    struct event_recorder events;
    struct probe_share probe_share;
    struct collective_budget exchange_budget; /* what members of all jobs exchange */
    struct ledger *ledger;
    enum delivery delivery; /* of dry runs: as configured, or as nodes tell; AUTO: not known yet */
    bool delivery_stale;    /* a node has come, changed or gone since that was chosen */
    struct job *jobs; /* hash by uid */
    struct job *touched;
    TAILQ_HEAD(lazy_writes, job) lazy_writes; /* due, in order of arrival */
    struct job *parsed;        /* whose trees were asked for in this step */
    unsigned parsed_count;
    struct folded_text *texts; /* hash: of all jobs */
    struct channel *channels;
    struct volume_claim *claims; /* hash by namespace/name: volumes.c */
    int64_t claims_wake_ms;      /* none of them is due before */
    bool started, exited;
    int64_t acts_since_ms;   /* it leads and knows all jobs since then; 0: not yet */
    int64_t missing_look_ms; /* whether a job for which a place was made is not queued, as of then */
    bool missing;
    bool channels_swept;    /* those of unknown jobs have been refused once */
    int64_t jobs_wake_ms;   /* no job wants to wake before */
    bool queues_restored;   /* their past use was taken up from their statuses */
    int64_t queues_look_ms; /* when their statuses are looked at again */
    int64_t plan_at_ms;     /* an avoided node may be used again then; INT64_MAX: none is avoided */
};

void controller_log(struct controller *c, enum mlt_log_level level, const char *format, ...)
    MLT_PRINTF(3, 4);

/* ---- config.c ---- */
void config_copy(struct controller_config *to, const struct controller_config *from);
struct ledger *config_ledger(const struct controller_config *config);
void config_release(struct controller_config *config);

/* ---- gauges.c ---- */
/* How long a job has waited in the queue. */
int64_t job_waited_ms(const struct job *job);
/* A wall time as the ledger counts, never later than now. */
int64_t job_now_of(const struct controller *c, int64_t wall_ms);
/* Appends what the controller is and holds now, as Prometheus text. */
void gauges_write(const struct controller *c, struct mlt_text *out);

/* ---- counts.c ---- */
/* Brings the draft's numbers of pods up to date; true when one has changed. */
bool counts_refresh(struct job *job);

/* ---- pods_ready.c ---- */
/* Brings the condition PodsReady up to date, and wakes the job when it may change by itself. */
void pods_ready_note(struct job *job);

/* ---- progress_watch.c ---- */
/* Tells of a running job whose limit between steps has no effect, or wakes the job for it. */
void progress_watch_note(struct job *job);
/* A step has been told: what was said of none is over. */
void progress_watch_stepped(struct job *job);

/* ---- folded.c: trees that are kept as text ---- */
/* The workers' template, also in job->tj until the end of the job's turn in this step. */
const cJSON *job_template(struct job *job);
/* A worker's pod as the API server would complete it; NULL: not known. As long. */
const cJSON *job_planned(struct job *job);
/* Takes `tj`. */
void job_set_spec(struct job *job, struct trainingjob *tj);
/* Takes `pod`; whether it is another than before. */
bool job_set_planned(struct job *job, cJSON *pod);
int64_t job_gpus(const struct job *job);           /* of the whole gang */
void job_folded_release(struct job *job);
/* At the end of a step. */
void jobs_fold(struct controller *c);
/* Between two jobs: what was asked for may be gone after it. */
void jobs_fold_surplus(struct controller *c);

/* ---- facts.c ---- */
uint64_t job_facts(struct job *job);
bool job_is_active(const struct job *job); /* ranks run, or may run */
/* A pod is not bound, and only JOB_UNBOUND_MS is waited for that. */
bool job_waits_for_scheduler(const struct job *job);
bool job_has_pods(const struct job *job);  /* that run or are being created; not stranded ones */
/* Sets the time at which a fact of this job will change by itself. */
void job_set_alarms(struct job *job);

/* ---- members.c: pods and members ---- */
void members_refresh(struct job *job);
/* The ranks have been told to stop, or have stopped. */
void members_stopping(struct job *job, bool stopping);
/* Launchers whose pods are being ended need not wait once their ranks have stopped. */
void members_dismiss(struct job *job);
/* Tells a coordinator that has just been made which pods there are. */
void members_introduce(struct job *job);
/* Pods that have ended before this gang came to be are not its own. */
void members_leave_former(struct job *job);
struct member *member_find(struct job *job, const char *role, uint32_t slot);
/* The member that a pod is the newest of; NULL: none. */
const struct member *member_of_pod(const struct job *job, const struct view_pod *pod);
/* Whether the member's pod can run ranks, now or soon. */
bool member_has_pod(const struct member *m);
/* Whether a pod is to be created for it: it has a node, and nothing of an earlier pod is left
 * there. */
bool member_to_create(const struct job *job, const struct member *m);
/* Whether every member has a pod that is to stay. */
bool members_are_whole(const struct job *job);
/* Takes the member's node away: the ledger finds another. */
void member_unplace(struct job *job, struct member *m);
/* The same, and the job keeps away from the node for a while. */
void member_avoid_node(struct job *job, struct member *m);
/* It has no pod, and the node that it shall have one on is not ready. */
void member_give_up_node(struct job *job, struct member *m);
void member_lost_with_node(struct job *job, struct member *m, const char *words);

/* ---- creations.c: the numbers in pods' names ---- */
/* Of a member's next pod. */
int64_t creations_next(const struct job *job, const struct member *m);
/* A next controller, from the status alone, would give the member's next pod a lower number. */
bool creations_are_untold(const struct job *job, const struct member *m);
/* Puts into the status which pod each member has, or had last. No creation may be on its way. */
void creations_tell(struct job *job);
/* The same for a gang that is placed: the pods that members of the job had before. */
void creations_tell_former(struct job *job);
/* What the status tells, by members that are new. */
void creations_take_up(struct job *job);

/* ---- channels.c ---- */
void channels_opened(struct controller *c, uint64_t id, const char *job_uid);
void channels_frame(struct controller *c, uint64_t id, const struct rendezvous_frame *frame);
void channels_closed(struct controller *c, uint64_t id);
/* EXIT to one launcher, as a process that SIGTERM has ended. */
void channels_send_exit(struct controller *c, uint64_t id, const char *reason);
/* Forgets a channel that the coordinator has closed. */
void channels_forget(struct controller *c, uint64_t id);
/* The job is gone: its launchers are let go when their ranks have stopped. */
void channels_orphan(struct controller *c, const char *job_uid);
/* Once all jobs are known: channels of others are refused. */
void channels_close_unknown(struct controller *c);
void channels_close_all(struct controller *c);
/* Those that came before it was known that another controller leads. */
void channels_leave_to_leader(struct controller *c);
/* Gives frames that were held to a job that has got its coordinator. */
void channels_replay(struct job *job);
/* Answers them where no coordinator will: the job has ended, or waits and has no pods. */
void channels_answer_late(struct job *job);
void channels_release(struct controller *c);

/* ---- gang_output.c: what the coordinator says ---- */
void gang_drain(struct job *job);

/* ---- preempt.c: a job makes way for another ---- */
/* What the ledger has decided: `for_uid` and `for_job` (namespace/name) get the place. */
struct preempt_order {
    const char *for_uid, *for_job;
    enum gang_cause cause;
};
void preempt_ask(struct job *job, const struct preempt_order *order);
/* Ranks were asked to make way, and have stopped: only pods are left. */
bool preempt_has_stopped(const struct job *job);
void preempt_leave(struct job *job);
/* Whether a job is not to be queued yet, because one for which a place was made is not: what a plan
 * does not know of it would give away. Until that one's pods have been tried, JOB_PRECEDENCE_MS at
 * most: for the one that has made way; and when the leader has just come, for all. */
bool preempt_waits_for_others(struct job *job);
/* For whom this job, which is queued now, has left its last place: that is its turn first. */
void preempt_tell_made_way(struct job *job);
void preempt_requeue(struct job *job);
/* The job has a place again, or has ended. */
void preempt_end_conditions(struct job *job, const char *reason, const char *words);
/* patience.c: with --patience, what a job waited and ran so far goes into the draft (before its
 * condition Queued, or its start time, changes) and from there to the ledger. */
void patience_wait_ends(struct job *job);
void patience_run_ends(struct job *job);
void patience_tell_ledger(struct job *job);
/* Tells the ledger of a job that holds a place what the choice of whom to ask depends on: since
 * when it runs, what it has saved, and that it is leaving. */
void preempt_tell_ledger(struct job *job);

/* ---- plan.c ---- */
void plan_run(struct controller *c);
/* Tells the ledger which nodes the job keeps away from, and until when. */
void plan_tell_avoided(struct job *job);

/* ---- status_patch.c ---- */
void status_save(struct job *job);

/* ---- probe.c ---- */
void probe_send(struct job *job);
/* What the API server makes of a pod of this spec has been asked. */
bool probe_is_known(const struct job *job);
/* The job waits for what no node could ever take: whoever has made so much of its pod may mend it.
 */
void probe_doubt(struct job *job);
/* The job is gone: nobody waits for its dry run. */
void probe_forget(struct job *job);

/* ---- delivery_choice.c: --launcher-delivery auto ---- */
/* Takes in what a node tells of itself. */
void delivery_note_node(struct controller *c, struct view_node *n, const cJSON *object);
/* Brings c->delivery up to date, and logs it when it has changed. */
void delivery_look(struct controller *c);
/* How the launcher comes into a pod that is made for this node (NULL: none). */
enum delivery delivery_of_pod(const struct job *job, const char *node);
/* The launcher could not be mounted, or that may be why the gang did not start: it is copied into
 * the job's next pods, if that is left to us. */
void delivery_failed(struct job *job, const char *words);

/* ---- lazy_writes.c ---- */
/* The job has changes to write that are due, and there was no room for them. */
void lazy_writes_wait(struct job *job);
void lazy_writes_forget(struct job *job);
/* Touches those that have waited longest, as many as there is room for. */
void lazy_writes_wake(struct controller *c);

/* ---- the verbs ---- */
#define SUBMIT_UNSCHEDULABLE "Unschedulable" /* status.queue.reason: no node could ever take it */
void submit_accept(struct job *job);
void submit_refuse(struct job *job);
void submit_enqueue(struct job *job);
/* The job cannot be planned or created as it is: it is tried again after a while. */
void submit_show_refusal(struct job *job, const char *reason, const char *words);
/* Shows why it waits; `estimated_start_ms`: 0: not known. */
void submit_note(struct job *job, bool never, const char *words, uint32_t position,
                 int64_t estimated_start_ms);

void admit_write(struct job *job);
void admit_make_key(struct job *job);
/* What all pods of a job are made from, for a dry run and for each member: the member's index, node
 * and binding are still to be set. Its strings are borrowed. */
struct pod_build admit_pod(struct job *job, int64_t creation, enum delivery delivery);
void admit_create_pods(struct job *job);
/* Why the gang is about to be undone; what is told first stands. `reason`: a literal. */
void admit_explain_undo(struct job *job, const char *reason, const char *words);
void admit_undo(struct job *job);

#define START_RUNNING_WORDS "all ranks run" /* the message of Running */
void start_prepare(struct job *job);
void start_send(struct job *job);
void start_note_running(struct job *job);

/* The status says that ranks are being stopped after a failure that has not been judged. */
bool restart_is_stopping(const struct job *job);
void restart_note(struct job *job);
void restart_judge(struct job *job);
/* Takes up what the launchers have told of checkpoints. */
void restart_refill(struct job *job);
/* What the last attempt resumed from is not used again, the checkpoint before it is. */
void restart_go_back(struct job *job);

void stop_order(struct job *job);
/* Of a stop that is written and was not ordered yet. */
void stop_take_back(struct job *job);
int64_t stop_grace_ms(const struct job *job);
/* An event of what a stop by order has saved or lost; once, when the launchers have looked again.
 */
void stop_tell_saved(struct job *job);
void stop_suspend(struct job *job);
void stop_resume(struct job *job);
void stop_cancel(struct job *job);
void stop_time_out(struct job *job);

void finish_complete(struct job *job);
void finish_fail(struct job *job, const char *reason, const char *message);
void finish_let_go(struct job *job);
/* Finds the pods that have ended and are not worth keeping: older than JOB_ENDED_PODS_MAX others.
 */
void finish_mark_surplus(struct job *job);
bool finish_pod_is_to_go(const struct job *job, const struct view_pod *pod);
void finish_delete_pods(struct job *job);
/* A finished job whose pods have all ended needs no members and no coordinator any more. */
void finish_retire(struct job *job);
void finish_delete_job(struct job *job);

/* ---- node_loss.c ---- */
/* Whether something new may run there: it is ready, and not lost. */
bool node_loss_is_well(const struct controller *c, const char *node);
/* A pod that is being deleted and whose node cannot say that it has ended. */
bool node_loss_is_stranded(const struct controller *c, const struct view_pod *pod);
void node_loss_check(struct controller *c, const char *node);
void node_loss_check_job(struct job *job);
/* Asks whether lost nodes are back; returns when to call again. */
int64_t node_loss_pump(struct controller *c);

#endif
