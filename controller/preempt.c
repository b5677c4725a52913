/* The verb "preempt": a job makes way for another. The phase Preempting and for whom are stored
 * first; then the ranks get the job's signal and its grace, as for a suspension (the stop's reason
 * is Preempted); then launchers exit. The job holds its place until its pods are gone, and is
 * queued again. Nothing is charged, and nothing is judged: the next attempt goes on from the newest
 * checkpoint. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/cleanup.h"

/* The reason of the condition Preempted, after Kueue's, and in words. */
static const struct {
    const char *reason, *words;
} causes[] = {
    [GANG_CAUSE_PRIORITY] = {"InClusterQueue", "it has a higher priority in the same queue"},
    [GANG_CAUSE_RECLAIM] = {"InCohortReclamation",
                            "its queue wants back what other queues have borrowed"},
    [GANG_CAUSE_TIME_SLICE] = {"TimeSlice", "this job has had its time slice"},
    [GANG_CAUSE_REVOKED] = {"BackfillRevoked",
                            "this job was let in before its turn, until its place is needed"},
};

bool preempt_has_stopped(const struct job *job)
{
    return job->draft.phase == TRAININGJOB_PHASE_PREEMPTING && !*job->draft.recovery.pending_stop;
}

/* When it began to run, or was placed; 0: right now. */
static int64_t began_ms(const struct trainingjob_status *s)
{
    const struct trainingjob_condition *admitted =
        trainingjob_find_condition(s, TRAININGJOB_CONDITION_ADMITTED);
    if (s->start_ms)
        return s->start_ms;
    return admitted && strcmp(admitted->status, "True") == 0 ? admitted->last_transition_ms : 0;
}

void preempt_tell_ledger(struct job *job)
{
    struct controller *c = job->controller;
    const struct trainingjob_status *s = &job->draft;
    int64_t began = began_ms(s);
    if (job->ledger != JOB_LEDGER_HOLDS)
        return;
    patience_tell_ledger(job);
    ledger_job_started(c->ledger, job->uid, began ? job_now_of(c, began) : c->now_ms);
    /* By the clock of the node that looked: one that is behind tells too little, never too much. */
    bool saved = s->checkpoint.step >= 0 && s->start_ms &&
                 s->checkpoint.time_ms / 1000 >= s->start_ms / 1000;
    ledger_job_saved(c->ledger, job->uid, saved ? job_now_of(c, s->checkpoint.time_ms) : LEDGER_NEVER);
    if (s->preemption.revocable)
        ledger_job_revocable(c->ledger, job->uid);
    if (s->preemption.count)
        ledger_job_was_preempted(c->ledger, job->uid);
    if (s->phase == TRAININGJOB_PHASE_PREEMPTING && s->preemption.by_uid) {
        ledger_job_leaves(c->ledger, job->uid, s->preemption.by_uid,
                          job_now_of(c, s->preemption.time_ms));
    }
}

/* Whether it has a place that it could give up; one that is leaving it anyway is not told. */
static bool is_there(const struct job *job)
{
    switch (job->draft.phase) {
    case TRAININGJOB_PHASE_ADMITTED:
    case TRAININGJOB_PHASE_STARTING:
    case TRAININGJOB_PHASE_RUNNING:
    case TRAININGJOB_PHASE_RESTARTING:
        return !job->deleting && !job->gone && !job->leaves_ledger && job->has_tj;
    default:
        return false;
    }
}

/* Nobody knows yet that it has a place, and no pod asks for it: it never had it. */
static bool is_untold(const struct job *job)
{
    return job->draft.phase == TRAININGJOB_PHASE_ADMITTED && !job->saved.placement &&
           !job_has_pods(job);
}

static void take_back(struct job *job, const struct preempt_order *order)
{
    char words[TRAININGJOB_MESSAGE_MAX];
    (void)snprintf(words, sizeof words, "%s goes first", order->for_job);
    trainingjob_set_text(&job->taken_back_for, order->for_uid, TRAININGJOB_WORD_MAX);
    job->precedence_until_ms = 0;
    job_set_phase(job, TRAININGJOB_PHASE_QUEUED);
    job_end_condition(job, TRAININGJOB_CONDITION_ADMITTED, JOB_REASON_PREEMPTED, words);
    (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_QUEUED, true,
                                    JOB_REASON_PREEMPTED, words, job->controller->wall_ms);
    job_give_back(job, JOB_REASON_PREEMPTED, words);
    job_drop_gang(job);
}

static void write_order(struct job *job, const struct preempt_order *order)
{
    struct trainingjob_status *s = &job->draft;
    int64_t now_ms = job->controller->wall_ms;
    char words[TRAININGJOB_MESSAGE_MAX];
    (void)snprintf(words, sizeof words, "makes way for %s: %s", order->for_job,
                   causes[order->cause].words);
    job_set_phase(job, TRAININGJOB_PHASE_PREEMPTING);
    s->preemption.count++;
    free(steal_ptr(&job->taken_back_for));
    (void)snprintf(s->preemption.reason, sizeof s->preemption.reason, "%s",
                   causes[order->cause].reason);
    trainingjob_set_text(&s->preemption.by, order->for_job, TRAININGJOB_MESSAGE_MAX);
    trainingjob_set_text(&s->preemption.by_uid, order->for_uid, TRAININGJOB_WORD_MAX);
    s->preemption.time_ms = now_ms;
    (void)trainingjob_set_condition(s, TRAININGJOB_CONDITION_EVICTED, true, JOB_REASON_PREEMPTED,
                                    words, now_ms);
    (void)trainingjob_set_condition(s, TRAININGJOB_CONDITION_PREEMPTED, true,
                                    causes[order->cause].reason, words, now_ms);
    if (job_is_active(job) && !*s->recovery.pending_stop) {
        (void)snprintf(s->recovery.pending_stop, sizeof s->recovery.pending_stop, "%s",
                       JOB_REASON_PREEMPTED);
        s->recovery.pending_stop_ms = (now_ms + 999) / 1000 * 1000; /* as stop_order() */
    } else if (!job_is_active(job)) {
        s->recovery.pending_stop[0] = 0;
        s->recovery.pending_stop_ms = 0;
    }
    event_record(job, false, JOB_REASON_PREEMPTED,
                 "%s; the ranks have %" PRId64 " s to save and end", words,
                 job_is_active(job) ? stop_grace_ms(job) / 1000 : 0);
}

void preempt_ask(struct job *job, const struct preempt_order *order)
{
    struct controller *c = job->controller;
    if (job->ledger != JOB_LEDGER_HOLDS || !order->for_uid)
        return;
    job_touch(job);
    if (!is_there(job)) {
        ledger_job_leaves(c->ledger, job->uid, order->for_uid, c->now_ms);
        return;
    }
    if (is_untold(job)) {
        ledger_job_leaves(c->ledger, job->uid, order->for_uid, c->now_ms);
        take_back(job, order);
        job_gate(job);
        return;
    }
    write_order(job, order);
    preempt_tell_ledger(job);
    c->metrics.count[METRIC_GANGS_PREEMPTED]++;
    job_gate(job);
}

void preempt_leave(struct job *job)
{
    struct trainingjob_recovery *r = &job->draft.recovery;
    r->pending_stop[0] = 0;
    r->pending_stop_ms = 0;
    job->settle_until_ms = job->controller->now_ms + JOB_SETTLE_MS;
    job_forget_verdict(job);
    job_gate(job); /* a next controller need not look for ranks */
}

void preempt_requeue(struct job *job)
{
    struct trainingjob_status *s = &job->draft;
    int64_t now_ms = job->controller->wall_ms;
    char words[TRAININGJOB_MESSAGE_MAX];
    (void)snprintf(words, sizeof words, "has made way for %s",
                   s->preemption.by ? s->preemption.by : "another job");
    job_set_phase(job, TRAININGJOB_PHASE_QUEUED);
    job_end_condition(job, TRAININGJOB_CONDITION_ADMITTED, JOB_REASON_PREEMPTED, words);
    (void)trainingjob_set_condition(s, TRAININGJOB_CONDITION_QUEUED, true, JOB_REASON_PREEMPTED,
                                    words, now_ms);
    job_give_back(job, JOB_REASON_PREEMPTED, words);
    s->recovery.next_attempt_ms = 0;
    job->precedence_until_ms = 0;
    volumes_forget(job); /* a claim may have been bound meanwhile */
    job_drop_gang(job);
    event_record(job, false, "Requeued", "%s, and waits again", words);
    job_gate(job);
}

/* For whom it has left the place that it had, or that it never was told of; NULL: for nobody who
 * waits still. */
static struct job *has_left_for(const struct job *job)
{
    const struct trainingjob_preemption *p = &job->draft.preemption;
    const char *uid = job->taken_back_for ? job->taken_back_for : p->by_uid;
    struct job *other =
        uid && job->draft.phase == TRAININGJOB_PHASE_QUEUED ? job_find(job->controller, uid) : NULL;
    bool waits = other && other->has_tj && other->draft.phase == TRAININGJOB_PHASE_QUEUED &&
                 !other->placed && !other->deleting && !other->tj.spec.suspend && !other->refusal;
    /* Or it has had that place, and has made way itself since then. */
    bool had_it = waits && !job->taken_back_for && other->draft.preemption.time_ms > p->time_ms;
    return waits && !had_it ? other : NULL;
}

void preempt_tell_made_way(struct job *job)
{
    const struct job *other = has_left_for(job);
    if (other)
        ledger_job_made_way(job->controller->ledger, job->uid, other->uid);
}

/* A leader that has just come finds some jobs before others. */
static bool is_to_be_queued(const struct job *other)
{
    return other->ledger == JOB_LEDGER_NONE && other->probe_again_ms <= other->controller->now_ms;
}

/* Whether somebody has left for a job that is not queued yet; looked at once in a step. */
static bool somebody_is_missing(struct controller *c)
{
    if (c->missing_look_ms == c->now_ms)
        return c->missing;
    c->missing_look_ms = c->now_ms;
    c->missing = false;
    for (const struct job *job = c->jobs; job; job = job->hh.next) {
        struct job *other = has_left_for(job);
        if (!other)
            continue;
        other->made_way_for_ms = c->now_ms;
        c->missing = c->missing || is_to_be_queued(other);
    }
    return c->missing;
}

bool preempt_waits_for_others(struct job *job)
{
    struct controller *c = job->controller;
    const struct job *other = has_left_for(job);
    bool fresh = c->now_ms < c->acts_since_ms + JOB_PRECEDENCE_MS;
    job->precedence_look_ms = 0;
    if (job->draft.phase != TRAININGJOB_PHASE_QUEUED || job->ledger != JOB_LEDGER_NONE)
        return false;
    bool own = other && is_to_be_queued(other);
    if (own && !job->precedence_until_ms)
        job->precedence_until_ms = c->now_ms + JOB_PRECEDENCE_MS;
    own = own && job->precedence_until_ms > c->now_ms;
    if (!own && !(fresh && somebody_is_missing(c) && job->made_way_for_ms != c->missing_look_ms))
        return false;
    job->precedence_look_ms = c->now_ms + JOB_PRECEDENCE_LOOK_MS;
    return true;
}

void preempt_end_conditions(struct job *job, const char *reason, const char *words)
{
    job_end_condition(job, TRAININGJOB_CONDITION_EVICTED, reason, words);
    job_end_condition(job, TRAININGJOB_CONDITION_PREEMPTED, reason, words);
}
