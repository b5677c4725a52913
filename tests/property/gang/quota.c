/* Quotas, said a second time: the arithmetic of Kueue's hierarchical cohorts in its recursive form
 * (https://kueue.sigs.k8s.io/docs/concepts/cohort/): what a queue has beyond what it lends is
 * guaranteed to it; the rest, and what of it is used, counts in its parent. */
#include "tests/property/gang/properties.h"

#include <inttypes.h>
#include <string.h>

#define BIG (INT64_C(1) << 50) /* no limit; sums of some of them do not overflow */

bool quota_is_used(const struct world *w)
{
    for (uint32_t q = 0; q < QUEUES; q++) {
        const struct gang_queue_config *c = &w->queues[q].config;
        if (w->queues[q].known &&
            (c->nominal[GANG_DEVICE_0] != GANG_UNLIMITED ||
             c->nominal[GANG_CPU_MILLI] != GANG_UNLIMITED || c->running_jobs_max))
            return true;
    }
    return false;
}

void job_amounts(const struct job *job, gang_amounts ret)
{
    memset(ret, 0, sizeof(gang_amounts));
    for (uint32_t i = 0; i < job->request.roles_count; i++)
        for (uint32_t r = 0; r < RESOURCES; r++)
            ret[r] += job->request.roles[i].pods * job->request.roles[i].request[r];
}

void queue_add(const struct world *w, uint32_t queue, const struct job *job, int sign,
               struct queue_sums *sums)
{
    gang_amounts more;
    job_amounts(job, more);
    for (; queue != GANG_NO_QUEUE; queue = w->queues[queue].config.parent) {
        for (uint32_t r = 0; r < RESOURCES; r++)
            sums[queue].used[r] += sign * more[r];
        sums[queue].jobs += (uint32_t)sign;
    }
}

void queue_use(const struct world *w, struct queue_sums *sums)
{
    memset(sums, 0, QUEUES * sizeof *sums);
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == PLACED)
            queue_add(w, w->jobs[j].request.queue, &w->jobs[j], 1, sums);
}

/* One resource of the tree. */
struct tree {
    const struct world *w;
    const struct queue_sums *sums;
    uint32_t r;
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t limit(int64_t value)
{
    return value == GANG_UNLIMITED ? BIG : value;
}

static int64_t guaranteed(const struct tree *t, uint32_t q);

/* All that a queue and those below it have together. */
static int64_t subtree(const struct tree *t, uint32_t q)
{
    int64_t sum = t->w->queues[q].config.nominal[t->r];
    if (sum == GANG_UNLIMITED) /* sets no limit and lends nothing: what is above decides */
        return 0;
    for (uint32_t c = 0; c < QUEUES; c++)
        if (t->w->queues[c].known && t->w->queues[c].config.parent == q)
            sum += subtree(t, c) - guaranteed(t, c);
    return least(sum, BIG);
}

static int64_t guaranteed(const struct tree *t, uint32_t q)
{
    int64_t lend = t->w->queues[q].config.lend_limit[t->r];
    int64_t all = lend == GANG_UNLIMITED ? 0 : subtree(t, q) - lend;
    return all > 0 ? all : 0;
}

static int64_t usage(const struct tree *t, uint32_t q)
{
    int64_t sum = 0;
    bool leaf = true;
    for (uint32_t c = 0; c < QUEUES; c++)
        if (t->w->queues[c].known && t->w->queues[c].config.parent == q) {
            int64_t beyond = usage(t, c) - guaranteed(t, c);
            sum += beyond > 0 ? beyond : 0;
            leaf = false;
        }
    return leaf ? t->sums[q].used[t->r] : sum;
}

static int64_t available(const struct tree *t, uint32_t q)
{
    const struct gang_queue_config *c = &t->w->queues[q].config;
    int64_t all = subtree(t, q), used = usage(t, q), own = guaranteed(t, q);
    if (c->nominal[t->r] == GANG_UNLIMITED)
        return c->parent == GANG_NO_QUEUE ? BIG : available(t, c->parent);
    if (c->parent == GANG_NO_QUEUE)
        return all - used;
    int64_t above = available(t, c->parent);
    int64_t beyond = used > own ? used - own : 0;
    if (c->borrow_limit[t->r] != GANG_UNLIMITED)
        above = least(above, all - own - beyond + c->borrow_limit[t->r]);
    return (own > used ? own - used : 0) + above;
}

uint32_t quota_short(const struct world *w, const struct queue_sums *sums, const struct job *job)
{
    gang_amounts more;
    uint32_t missing = 0;
    job_amounts(job, more);
    for (uint32_t r = 0; r < RESOURCES; r++) {
        const struct tree t = {w, sums, r};
        if (more[r] > 0 && available(&t, job->request.queue) < more[r])
            missing |= 1u << r;
    }
    return missing;
}

uint32_t needs_of(const struct job *job)
{
    gang_amounts all;
    uint32_t needs = 0;
    job_amounts(job, all);
    for (uint32_t r = 0; r < RESOURCES; r++)
        needs |= (uint32_t)(all[r] > 0) << r;
    return needs;
}

bool jobs_allowed(const struct world *w, const struct queue_sums *sums, const struct job *job)
{
    for (uint32_t q = job->request.queue; q != GANG_NO_QUEUE; q = w->queues[q].config.parent)
        if (w->queues[q].config.running_jobs_max &&
            sums[q].jobs >= w->queues[q].config.running_jobs_max)
            return false;
    return true;
}

bool within_nominal(const struct world *w, const struct queue_sums *sums, uint32_t queue,
                    const gang_amounts more)
{
    for (uint32_t r = 0; r < RESOURCES; r++)
        if (more[r] > 0 &&
            sums[queue].used[r] + more[r] > limit(w->queues[queue].config.nominal[r]))
            return false;
    return true;
}

/* ---- what the library shows of a queue ---- */

static void add_pending(const struct world *w, uint32_t q, struct gang_queue_view *expected)
{
    for (uint32_t j = 0; j < JOBS; j++) {
        const struct job *job = &w->jobs[j];
        uint32_t above = job->request.queue;
        while (job->state == WAITING && above != q && above != GANG_NO_QUEUE)
            above = w->queues[above].config.parent;
        if (job->state != WAITING || above != q)
            continue;
        gang_amounts more;
        job_amounts(job, more);
        for (uint32_t r = 0; r < RESOURCES; r++)
            expected->pending[r] += more[r];
        expected->pending_jobs++;
        if (!expected->longest_wait_since_ms ||
            job->request.since_ms < expected->longest_wait_since_ms)
            expected->longest_wait_since_ms = job->request.since_ms;
    }
}

static void check_view(struct world *w, uint32_t q, const struct queue_sums *sums)
{
    struct gang_queue_view view = {0}, expected = {.running_jobs = sums[q].jobs};
    if (gang_queue(w->g, q, w->now_ms, &view) != w->queues[q].known) {
        fail(w, "gang_queue: queue %u is %sknown", q, w->queues[q].known ? "not " : "");
        return;
    }
    if (!w->queues[q].known)
        return;
    add_pending(w, q, &expected);
    for (uint32_t r = 0; r < RESOURCES && !failed(w); r++)
        if (view.used[r] != sums[q].used[r] || view.pending[r] != expected.pending[r])
            fail(w,
                 "queue %u resource %u: used %" PRId64 " and asked for %" PRId64
                 ", the library says %" PRId64 " and %" PRId64,
                 q, r, sums[q].used[r], expected.pending[r], view.used[r], view.pending[r]);
    if (view.running_jobs != expected.running_jobs || view.pending_jobs != expected.pending_jobs ||
        view.longest_wait_since_ms != expected.longest_wait_since_ms)
        fail(w,
             "queue %u: %u jobs run and %u wait since %" PRId64
             ", the library says %u and %u since %" PRId64,
             q, expected.running_jobs, expected.pending_jobs, expected.longest_wait_since_ms,
             view.running_jobs, view.pending_jobs, view.longest_wait_since_ms);
    if (view.usage < 0)
        fail(w, "queue %u: past use %" PRId64, q, view.usage);
}

void check_queue_views(struct world *w)
{
    struct queue_sums sums[QUEUES];
    if (!on(PROPERTY_QUEUE_VIEWS))
        return;
    queue_use(w, sums);
    for (uint32_t q = 0; q < QUEUES && !failed(w); q++)
        check_view(w, q, sums);
}
