/* The facts about one job that the table of reconcile.c decides by, and the times at which they
 * change by themselves. */
#include <string.h>
#include "controller/internal.h"

#define SET_IF(condition, name) ((condition) ? RECONCILE_BIT(name) : UINT64_C(0))

static int64_t deadline_wall_ms(const struct job *job)
{
    if (!job->draft.start_ms || !job->tj.spec.active_deadline_seconds)
        return INT64_MAX;
    return job->draft.start_ms + job->tj.spec.active_deadline_seconds * 1000;
}

static int64_t expiry_wall_ms(const struct job *job)
{
    if (!job_finished(job) || !job->has_tj || job->tj.spec.ttl_seconds_after_finished < 0 ||
        job->deleting_job)
        return INT64_MAX;
    return job->draft.completion_ms + job->tj.spec.ttl_seconds_after_finished * 1000;
}

/* Whether a pod waits for the scheduler (binding `affinity`). */
static bool is_unbound(const struct job *job)
{
    for (uint32_t i = 0; i < job->members_count; i++)
        if (job->members[i].pod && !*job->members[i].pod->node)
            return true;
    return false;
}

bool job_waits_for_scheduler(const struct job *job)
{
    int64_t timeout = job->tj.spec.failure_policy.start_timeout_seconds * 1000;
    return is_unbound(job) && (!timeout || timeout > JOB_UNBOUND_MS);
}

static int64_t late_ms(const struct job *job)
{
    int64_t timeout = job->tj.spec.failure_policy.start_timeout_seconds * 1000;
    if (!job->waiting_since_ms)
        return INT64_MAX;
    if (job_waits_for_scheduler(job))
        timeout = JOB_UNBOUND_MS;
    return timeout ? job->waiting_since_ms + timeout : INT64_MAX;
}

static uint64_t write_facts(const struct job *job)
{
    bool writing = job->writing || job->save_again_ms > job->controller->now_ms;
    return SET_IF(job->gate_seq != job->gate_saved, GATE) | SET_IF(writing, WRITING) |
           SET_IF(job->write_by_ms <= job->controller->now_ms &&
                      apply_room(job->controller, job->write_by_ms),
                  DUE);
}

/* A graceful stop that was ordered is ordered again when somebody has lost patience. */
static bool stop_is_ordered(const struct job *job)
{
    const char *cancel = trainingjob_cancel(&job->tj);
    bool now = cancel && strcmp(cancel, TRAININGJOB_CANCEL_NOW) == 0;
    return job->stop_ordered && !(now && job->stop_grace_ms > 0);
}

static uint64_t wish_facts(const struct job *job)
{
    return SET_IF(job->tj.spec.suspend, SUSPEND) |
           SET_IF(trainingjob_cancel(&job->tj) != NULL, CANCEL) |
           SET_IF(deadline_wall_ms(job) <= job->controller->wall_ms, DEADLINE) |
           SET_IF(*job->draft.recovery.pending_stop, STOP_PENDING) |
           SET_IF(stop_is_ordered(job), STOP_ORDERED) |
           SET_IF(expiry_wall_ms(job) <= job->controller->wall_ms &&
                      job->delete_again_ms <= job->controller->now_ms,
                  EXPIRED);
}

static uint64_t queue_facts(struct job *job)
{
    int64_t now_ms = job->controller->now_ms;
    bool stale = job->planned_until_ms && job->planned_until_ms <= now_ms && !job->placed;
    bool probed = probe_is_known(job) && !stale;
    bool probing = job->probing || job->probe_again_ms > now_ms || job->queue_again_ms > now_ms ||
                   preempt_waits_for_others(job);
    return SET_IF(probing, PROBING) | SET_IF(probed, PROBED) |
           SET_IF(probed && !volumes_are_settled(job), VOLUMES_OPEN) |
           SET_IF(job->ledger == JOB_LEDGER_WAITS, IN_QUEUE) | SET_IF(job->placed, PLACED) |
           SET_IF(job->key_asked || job->key_again_ms > job->controller->now_ms, KEY_ASKED) |
           SET_IF(job->has_key, KEY);
}

bool job_has_pods(const struct job *job)
{
    for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job)
        if (!view_pod_terminal(p) && !node_loss_is_stranded(job->controller, p))
            return true;
    return job->creations > 0;
}

static uint64_t pod_facts(const struct job *job)
{
    uint64_t facts = SET_IF(job_has_pods(job), PODS_LEFT);
    for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job) {
        if (finish_pod_is_to_go(job, p))
            facts |= job_finished(job) ? RECONCILE_BIT(UNCLEAN) : RECONCILE_BIT(TO_DELETE);
    }
    for (uint32_t i = 0; i < job->members_count; i++)
        facts |= SET_IF(job->members[i].dead, DEAD) | SET_IF(job->members[i].silent, SILENT) |
                 SET_IF(member_to_create(job, &job->members[i]), TO_CREATE);
    return facts;
}

/* After the end each launcher looks at its checkpoints once more before it is ready again: that is
 * waited for, a moment, because the next life of the job resumes from what is told now. */
static bool is_settling(const struct job *job)
{
    uint32_t joined = 0;
    if (!job->coordinator || job->settle_until_ms <= job->controller->now_ms)
        return false;
    for (uint32_t i = 0; i < job->members_count; i++)
        joined += job->members[i].joined && !job->members[i].terminating;
    return coordinator_is_running(job->coordinator) ||
           coordinator_ready_count(job->coordinator) < joined;
}

static int64_t untold_at_ms(const struct job *job)
{
    return job->trigger_words ? job->trigger_ms + JOB_TRIGGER_SHOWN_MS : INT64_MAX;
}

bool job_is_active(const struct job *job)
{
    return job->coordinator && (job->adopting || coordinator_is_running(job->coordinator));
}

static uint64_t gang_facts(const struct job *job)
{
    const struct controller *c = job->controller;
    uint64_t attempt = (uint64_t)job->draft.attempt;
    bool active = job_is_active(job);
    bool ready = job->coordinator && job->ready_attempt && !active &&
                 coordinator_ready_count(job->coordinator) == job->members_count &&
                 members_are_whole(job);
    return SET_IF(active, ACTIVE) | SET_IF(ready, READY) |
           SET_IF(ready && job->ready_attempt > attempt, PAST) |
           SET_IF(attempt && job->sent_attempt == attempt, SENT) |
           SET_IF(attempt && job->execed_attempt == attempt, EXECED) |
           SET_IF(job->trigger_words != NULL, FAILING) |
           SET_IF(untold_at_ms(job) <= c->now_ms, UNTOLD) | SET_IF(job->verdict != NULL, VERDICT) |
           SET_IF(job->completed, COMPLETED) |
           SET_IF(job->next_attempt_ms > c->now_ms, BACKING_OFF) | SET_IF(job->no_place, NO_PLACE) |
           SET_IF(late_ms(job) <= c->now_ms, LATE) | SET_IF(is_settling(job), SETTLING) |
           SET_IF(job->let_go, LET_GO);
}

uint64_t job_facts(struct job *job)
{
    uint64_t facts = write_facts(job) | SET_IF(job->deleting, DELETING) |
                     SET_IF(job->refusal != NULL, REFUSED) | pod_facts(job) | gang_facts(job);
    if (job->has_tj)
        facts |= wish_facts(job) | queue_facts(job);
    return facts;
}

static void wake_at_wall(struct job *job, int64_t wall_ms)
{
    const struct controller *c = job->controller;
    if (wall_ms != INT64_MAX && wall_ms > c->wall_ms)
        job_wake_at(job, c->now_ms + (wall_ms - c->wall_ms));
}

static void wake_later(struct job *job, int64_t at_ms)
{
    if (at_ms > job->controller->now_ms)
        job_wake_at(job, at_ms);
}

void job_set_alarms(struct job *job)
{
    job->wake_ms = INT64_MAX;
    /* Only what can be done then: a time that has passed would wake us again and again. */
    if (job->write_by_ms != INT64_MAX && !job->writing && !job->deleting) {
        int64_t at_ms =
            job->write_by_ms > job->save_again_ms ? job->write_by_ms : job->save_again_ms;
        if (at_ms > job->controller->now_ms)
            job_wake_at(job, at_ms);
        else
            lazy_writes_wait(job);
    }
    wake_later(job, job->next_attempt_ms);
    wake_later(job, job->probe_again_ms);
    if (job->draft.phase == TRAININGJOB_PHASE_QUEUED)
        wake_later(job, job->planned_until_ms);
    wake_later(job, job->queue_again_ms);
    wake_later(job, job->precedence_look_ms);
    wake_later(job, job->key_again_ms);
    wake_later(job, job->save_again_ms);
    wake_later(job, job->settle_until_ms);
    if (job->trigger_words)
        wake_later(job, untold_at_ms(job));
    wake_later(job, job->delete_again_ms);
    for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job)
        wake_later(job, p->delete_again_ms);
    for (uint32_t i = 0; i < job->members_count; i++)
        wake_later(job, job->members[i].create_after_ms);
    if (job->let_go)
        wake_later(job, job->let_go_ms + JOB_EXIT_WAIT_MS);
    if (job->let_go && job->leaves_ledger)
        wake_later(job, job->let_go_ms + JOB_LEAVES_MS);
    if (job->coordinator)
        job_wake_at(job, coordinator_wake_ms(job->coordinator));
    if (!job->has_tj)
        return;
    wake_later(job, late_ms(job));
    wake_at_wall(job, expiry_wall_ms(job));
    if (!job_finished(job))
        wake_at_wall(job, deadline_wall_ms(job));
    node_loss_check_job(job);
}
