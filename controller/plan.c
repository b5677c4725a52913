/* Plans: the ledger decides over all jobs at once, its decisions are taken up one by one. */
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/hostlist.h"
#include "lib/base/text.h"

/* A decision is valid only until the next call on the ledger, so the whole plan is copied first. */
struct decision {
    struct ledger_decision d;
    char *job_uid, *reason, *for_uid, *for_job;
    char **nodes;
};

static struct decision decision_copy(const struct ledger_decision *d)
{
    struct decision copy = {.d = *d};
    copy.job_uid = mlt_strdup(d->job_uid);
    copy.reason = mlt_strdup(d->reason ? d->reason : "");
    copy.for_uid = mlt_strdup(d->for_uid);
    copy.for_job = mlt_strdup(d->for_job);
    copy.nodes = mlt_calloc(d->nodes_count + 1u, sizeof *copy.nodes);
    for (uint32_t i = 0; i < d->nodes_count; i++)
        copy.nodes[i] = mlt_strdup(d->nodes[i]);
    return copy;
}

static void decision_release(struct decision *d)
{
    for (uint32_t i = 0; i < d->d.nodes_count; i++)
        free(d->nodes[i]);
    free(d->nodes);
    free(d->job_uid);
    free(d->reason);
    free(d->for_uid);
    free(d->for_job);
}

static void take_place(struct job *job, const struct decision *d)
{
    struct controller *c = job->controller;
    struct mlt_error err = {0};
    struct mlt_text list = MLT_TEXT_INIT(TRAININGJOB_PLACEMENT_MAX);
    const char *const *nodes = (const char *const *)d->nodes;
    if (job->ledger != JOB_LEDGER_WAITS || job->draft.phase != TRAININGJOB_PHASE_QUEUED)
        return;
    (void)job_template(job);
    if (ledger_job_holds(c->ledger, &job->tj, job_planned(job), nodes, d->d.nodes_count, c->now_ms,
                         &err) < 0) {
        job_log(job, MLT_LOG_ERROR, "ledger refused its own place error=\"%s\"", err.text);
        return;
    }
    job->ledger = JOB_LEDGER_HOLDS;
    job->leaves_ledger = false;
    job->draft.preemption.revocable = d->d.revocable;
    preempt_tell_ledger(job);
    job->placed = true;
    metrics_waited(&c->metrics, job_waited_ms(job));
    mlt_hostlist_compress(nodes, d->d.nodes_count, &list);
    trainingjob_set_text(&job->draft.placement, mlt_text_string(&list), TRAININGJOB_PLACEMENT_MAX);
    mlt_text_release(&list);
}

static void take_replacement(struct job *job, const struct decision *d)
{
    if (d->d.pod >= job->members_count || !d->d.nodes_count || job->members[d->d.pod].node ||
        job->leaves_ledger) /* it has ended meanwhile, and only that is not stored yet */
        return;
    struct member *m = &job->members[d->d.pod];
    m->node = mlt_strdup(d->nodes[0]);
    job->no_place = false;
    job_ledger_holds(job);
    job_write_placement(job);
    event_record(job, false, "Replaced", "%s %u goes to node %s", m->role, m->slot, m->node);
    job_gate(job);
}

/* Without the nodes that it avoids there is no place: they are tried again sooner. */
static void shorten_avoidance(struct job *job)
{
    struct controller *c = job->controller;
    if (!trainingjob_avoid_at_most(&job->draft, c->wall_ms, JOB_NODE_AVOID_ALONE_MS))
        return;
    plan_tell_avoided(job);
    job_lazy(job, JOB_READY_WRITE_MS);
}

static void take_wait(struct job *job, const struct decision *d)
{
    if (d->d.nodes_avoided)
        shorten_avoidance(job);
    if (job->ledger == JOB_LEDGER_WAITS) {
        submit_note(job, d->d.kind == GANG_NEVER, d->reason, d->d.position,
                    d->d.estimated_start_ms);
        return;
    }
    for (uint32_t i = 0; i < job->members_count; i++)
        if (!job->members[i].node)
            job->no_place = true;
}

static void take(struct controller *c, const struct decision *d)
{
    struct job *job = job_find(c, d->job_uid);
    if (job && d->d.kind == GANG_PREEMPT)
        preempt_ask(job, &(struct preempt_order){d->for_uid, d->for_job, d->d.cause});
    /* What still holds its place only until the status says so, or makes way, wants no other. */
    if (!job || job->leaves_ledger || job->draft.phase == TRAININGJOB_PHASE_PREEMPTING)
        return;
    job_touch(job);
    switch (d->d.kind) {
    case GANG_PLACE:
        take_place(job, d);
        break;
    case GANG_REPLACE:
        take_replacement(job, d);
        break;
    case GANG_WAIT:
    case GANG_NEVER:
        take_wait(job, d);
        break;
    case GANG_PREEMPT: /* done above */
        break;
    }
}

void plan_tell_avoided(struct job *job)
{
    struct controller *c = job->controller;
    for (size_t i = 0; i < job->draft.recovery.avoid_count; i++) {
        const struct trainingjob_avoided *a = &job->draft.recovery.avoid[i];
        if (a->until_ms > c->wall_ms)
            ledger_job_avoids(c->ledger, job->uid, a->node, c->now_ms + a->until_ms - c->wall_ms,
                              c->now_ms);
    }
}

void plan_run(struct controller *c)
{
    bool due = c->plan_at_ms <= c->now_ms; /* an avoided node may be used again */
    c->plan_at_ms = INT64_MAX;
    struct mlt_error err = {0};
    struct ledger_decision next;
    struct decision *all = NULL;
    size_t count = 0, capacity = 0;
    if (!due && !ledger_needs_plan(c->ledger))
        return;
    c->metrics.count[METRIC_PLANS]++;
    if (ledger_plan(c->ledger, c->now_ms, &err) < 0) {
        controller_log(c, MLT_LOG_ERROR, "plan failed error=\"%s\"", err.text);
        return;
    }
    while (ledger_decision_next(c->ledger, &next)) {
        MLT_GROW(all, count, capacity);
        all[count++] = decision_copy(&next);
    }
    for (size_t i = 0; i < count; i++) {
        take(c, &all[i]);
        decision_release(&all[i]);
        jobs_fold_surplus(c);
    }
    free(all);
}
