/* The verb "start": the attempt is written, and only then START goes out. */
#include <inttypes.h>
#include "controller/checkpoint_choice.h"
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

/* A checkpoint that was complete is damaged or gone: this costs steps that were made already. */
static void tell_lost(struct job *job, int64_t chosen)
{
    int64_t lost = checkpoint_lost(&job->draft, job->lost_step, chosen);
    int64_t next = job->draft.attempt + 1;
    job->lost_step = TRAININGJOB_NONE;
    if (lost < 0)
        return;
    if (chosen < 0)
        event_record(job, true, "CheckpointLost",
                     "the checkpoint of step %" PRId64
                     " is damaged or gone, and there is no other: attempt %" PRId64
                     " begins at the beginning",
                     lost, next);
    else
        event_record(job, true, "CheckpointLost",
                     "the checkpoint of step %" PRId64 " is damaged or gone: attempt %" PRId64
                     " goes on from step %" PRId64 ", %" PRId64 " steps further back",
                     lost, next, chosen, lost - chosen);
}

void start_prepare(struct job *job)
{
    struct trainingjob_status *s = &job->draft;
    struct trainingjob_checkpoint from =
        checkpoint_choose(s, job->reports, job->reports_count, job->has_report);
    stop_tell_saved(job); /* when a pod of the attempt before was ended */
    tell_lost(job, from.step);
    if (job->torn_step > from.step)
        event_record(job, true, "CheckpointTorn",
                     "the checkpoint of step %" PRId64 " is not complete: attempt %" PRId64
                     " does not go on from it",
                     job->torn_step, s->attempt + 1);
    int64_t next = s->attempt + 1;
    if ((int64_t)job->ready_attempt > next)
        next = (int64_t)job->ready_attempt;
    s->attempt = next;
    s->recovery.resume_step = from.step;
    trainingjob_set_text(&s->recovery.resume_path, from.path, TRAININGJOB_PATH_MAX);
    s->recovery.next_attempt_ms = 0;
    job->next_attempt_ms = 0;
    creations_tell(job);
    job_set_phase(job, TRAININGJOB_PHASE_STARTING);
    job_gate(job);
}

void start_send(struct job *job)
{
    struct controller *c = job->controller;
    const struct trainingjob_recovery *r = &job->draft.recovery;
    uint64_t attempt = (uint64_t)job->draft.attempt;
    job->ready_attempt = 0;
    if (!coordinator_start(job->coordinator, attempt,
                           r->resume_step >= 0 ? r->resume_step : RENDEZVOUS_NO_STEP,
                           r->resume_path ? r->resume_path : "", c->now_ms)) {
        /* A member has gone, or is ready for a later attempt by now: the coordinator says when. */
        job_log(job, MLT_LOG_INFO, "start came too late attempt=%" PRIu64, attempt);
        return;
    }
    job->sent_attempt = attempt;
    job->completed = false;
    job->has_key = false; /* it may be deleted from now on: asked for with the next pod */
    c->metrics.count[METRIC_STARTS]++;
    job_log(job, MLT_LOG_INFO, "starting attempt=%" PRIu64, attempt);
    if (job->trigger_ms)
        job_log(job, MLT_LOG_INFO, "restart attempt=%" PRIu64 " failure_to_start_ms=%" PRId64,
                attempt, c->now_ms - job->trigger_ms);
    job->trigger_ms = 0;
}

void start_note_running(struct job *job)
{
    struct controller *c = job->controller;
    struct trainingjob_status *s = &job->draft;
    if (!s->start_ms)
        s->start_ms = c->wall_ms;
    job_set_phase(job, TRAININGJOB_PHASE_RUNNING);
    (void)trainingjob_set_condition(s, TRAININGJOB_CONDITION_RUNNING, true, "Started",
                                    START_RUNNING_WORDS, c->wall_ms);
    if (trainingjob_find_condition(s, TRAININGJOB_CONDITION_RESTARTING))
        (void)trainingjob_set_condition(s, TRAININGJOB_CONDITION_RESTARTING, false, "Started",
                                        START_RUNNING_WORDS, c->wall_ms);
    preempt_tell_ledger(job); /* its time has begun to count */
    (void)job_template(job);  /* says how many ranks */
    if (s->recovery.resume_step >= 0)
        event_record(job, false, "Started",
                     "attempt %" PRId64 ": %" PRId64 " ranks in %u pods, from step %" PRId64,
                     s->attempt, trainingjob_world_size(&job->tj), job->members_count,
                     s->recovery.resume_step);
    else
        event_record(job, false, "Started", "attempt %" PRId64 ": %" PRId64 " ranks in %u pods",
                     s->attempt, trainingjob_world_size(&job->tj), job->members_count);
    job_lazy(job, 0);
}
