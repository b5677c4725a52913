/* What --patience needs to know of a job's past: how long it waited before its places and ran in
 * them. Its status keeps both, in whole seconds as a status tells all times, so that the next
 * controller tells its ledger what this one has told: least attained service first, and a wait that
 * goes on where it was before a job made way. Without --patience nothing of it is kept. */
#include <string.h>
#include "controller/internal.h"

static int64_t added(int64_t sum_s, int64_t from_ms, int64_t to_ms)
{
    int64_t more = to_ms / 1000 - from_ms / 1000;
    sum_s += more > 0 ? more : 0;
    return sum_s < TRAININGJOB_COUNT_MAX ? sum_s : TRAININGJOB_COUNT_MAX;
}

void patience_wait_ends(struct job *job)
{
    const struct controller *c = job->controller;
    struct trainingjob_preemption *p = &job->draft.preemption;
    const struct trainingjob_condition *queued =
        trainingjob_find_condition(&job->draft, TRAININGJOB_CONDITION_QUEUED);
    if (c->config.patience_ms && queued && strcmp(queued->status, "True") == 0)
        p->waited_s = added(p->waited_s, queued->last_transition_ms, c->wall_ms);
}

void patience_run_ends(struct job *job)
{
    const struct controller *c = job->controller;
    struct trainingjob_status *s = &job->draft;
    if (c->config.patience_ms && s->start_ms)
        s->preemption.attained_s = added(s->preemption.attained_s, s->start_ms, c->wall_ms);
}

/* The condition Queued says when the wait began, or ended: then it is among those that count. */
void patience_tell_ledger(struct job *job)
{
    struct controller *c = job->controller;
    const struct trainingjob_preemption *p = &job->draft.preemption;
    const struct trainingjob_condition *queued =
        trainingjob_find_condition(&job->draft, TRAININGJOB_CONDITION_QUEUED);
    if (!c->config.patience_ms)
        return;
    int64_t from_ms = queued ? queued->last_transition_ms : job->tj.metadata.creation_ms;
    ledger_job_had(c->ledger, job->uid, job_now_of(c, from_ms / 1000 * 1000) - p->waited_s * 1000,
                   p->attained_s * 1000);
}
