/* The verb "stop": suspension, cancellation and the deadline. The ranks get the job's signal and
 * its grace; what follows when they have stopped is decided by the table. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "controller/internal.h"

/* What is left of the grace; a cancellation "now" gives none. */
int64_t stop_grace_ms(const struct job *job)
{
    const char *cancel = trainingjob_cancel(&job->tj);
    int64_t grace = job->tj.spec.checkpoint.grace_period_seconds * 1000;
    if (cancel && strcmp(cancel, TRAININGJOB_CANCEL_NOW) == 0)
        return 0;
    if (!*job->draft.recovery.pending_stop)
        return grace;
    int64_t left = job->draft.recovery.pending_stop_ms + grace - job->controller->wall_ms;
    if (left > grace)
        left = grace; /* the clock of who wrote the time was ahead of ours */
    return left < 0 ? 0 : left;
}

static const char *stop_reason(const struct job *job)
{
    if (job->deleting)
        return "Deleted";
    if (trainingjob_cancel(&job->tj))
        return TRAININGJOB_REASON_CANCELLED;
    if (job->tj.spec.suspend)
        return "Suspended";
    return job->draft.phase == TRAININGJOB_PHASE_PREEMPTING ? JOB_REASON_PREEMPTED
                                                            : TRAININGJOB_REASON_DEADLINE;
}

void stop_order(struct job *job)
{
    struct controller *c = job->controller;
    struct trainingjob_recovery *r = &job->draft.recovery;
    int64_t grace = stop_grace_ms(job);
    const char *reason = stop_reason(job);
    if (!*r->pending_stop) {
        /* A status tells whole seconds: rounded up, so that a next controller does not kill too
         * early. */
        r->pending_stop_ms = (c->wall_ms + 999) / 1000 * 1000;
        event_record(job, false, "Stopping", "%s: the ranks have %" PRId64 " s to save and end",
                     reason, grace / 1000);
    }
    (void)snprintf(r->pending_stop, sizeof r->pending_stop, "%s", reason);
    if (!*job->saved.recovery.pending_stop && job->has_tj && !job->deleting) {
        job_gate(job); /* a next controller must not take ranks that obey for a job that is done */
        return;
    }
    job->stop_ordered = true;
    job->stop_saved = false;
    job->stop_untold = true;
    job->stop_why[0] = '\0';
    members_stopping(job, true);
    job->stop_grace_ms = grace;
    coordinator_stop(job_coordinator(job), (uint32_t)grace, reason, c->now_ms);
    job_lazy(job, 0);
}

void stop_take_back(struct job *job)
{
    struct trainingjob_recovery *r = &job->draft.recovery;
    event_record(job, false, "StopTakenBack", "%s: taken back before the ranks were told",
                 r->pending_stop);
    r->pending_stop[0] = 0;
    r->pending_stop_ms = 0;
    job_gate(job); /* a next controller must not stop them for it */
}

void stop_tell_saved(struct job *job)
{
    const struct trainingjob_status *s = &job->draft;
    int64_t kept = s->checkpoint.step >= 0 ? s->checkpoint.step : 0;
    if (!job->stop_untold)
        return;
    job->stop_untold = false;
    if (job->stop_saved || s->progress.step < 0)
        return;
    const char *open = *job->stop_why ? " (" : "", *close = *job->stop_why ? ")" : "";
    if (s->progress.step > kept && s->checkpoint.step < 0)
        event_record(job, true, "StepsLost",
                     "stopped at step %" PRId64
                     ", and there is no complete checkpoint: all steps are lost%s%s%s",
                     s->progress.step, open, job->stop_why, close);
    else if (s->progress.step > kept)
        event_record(job, true, "StepsLost",
                     "stopped at step %" PRId64
                     ", the newest complete checkpoint is of step %" PRId64 ": %" PRId64
                     " steps are lost%s%s%s",
                     s->progress.step, kept, s->progress.step - kept, open, job->stop_why, close);
    else
        event_record(job, false, "CheckpointSaved", "stopped at step %" PRId64 ", which is saved",
                     kept);
}

void stop_suspend(struct job *job)
{
    struct controller *c = job->controller;
    struct trainingjob_status *s = &job->draft;
    static const char words[] = "spec.suspend is true";
    job_set_phase(job, TRAININGJOB_PHASE_SUSPENDED);
    (void)trainingjob_set_condition(s, TRAININGJOB_CONDITION_SUSPENDED, true, "Suspended", words,
                                    c->wall_ms);
    patience_wait_ends(job);
    job_end_condition(job, TRAININGJOB_CONDITION_QUEUED, "Suspended", words);
    job_end_condition(job, TRAININGJOB_CONDITION_ADMITTED, "Suspended", words);
    job_give_back(job, "Suspended", words);
    trainingjob_forget_queue(s);
    s->recovery.pending_stop[0] = 0;
    s->recovery.pending_stop_ms = 0;
    s->recovery.in_place_failures = 0;
    s->recovery.next_attempt_ms = 0;
    job->settle_until_ms = c->now_ms + JOB_SETTLE_MS;
    job_forget_verdict(job);
    event_record(job, false, "Suspended",
                 "the job gives its nodes back until spec.suspend is false");
    job_gate(job);
}

void stop_resume(struct job *job)
{
    struct controller *c = job->controller;
    job_drop_gang(job);
    job_set_phase(job, TRAININGJOB_PHASE_QUEUED);
    (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_SUSPENDED, false, "Resumed",
                                    "spec.suspend is false", c->wall_ms);
    (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_QUEUED, true, "Resumed",
                                    "waits for a place", c->wall_ms);
    event_record(job, false, "Resumed", "the job is queued again");
    job_lazy(job, 0);
}

void stop_cancel(struct job *job)
{
    finish_fail(job, TRAININGJOB_REASON_CANCELLED, "the job was cancelled");
}

void stop_time_out(struct job *job)
{
    char words[128];
    (void)snprintf(words, sizeof words,
                   "the job ran longer than activeDeadlineSeconds (%" PRId64 ")",
                   job->tj.spec.active_deadline_seconds);
    finish_fail(job, TRAININGJOB_REASON_DEADLINE, words);
}
