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

/* ---- who borrows ---- (jobs are in leaves) */

uint32_t queue_height(const struct world *w, uint32_t q)
{
    uint32_t height = 0;
    for (uint32_t c = 0; c < QUEUES; c++)
        if (w->queues[c].known && w->queues[c].config.parent == q &&
            queue_height(w, c) + 1 > height)
            height = queue_height(w, c) + 1;
    return height;
}

static bool limited_above(const struct tree *t, uint32_t q)
{
    while (q != GANG_NO_QUEUE && t->w->queues[q].config.nominal[t->r] == GANG_UNLIMITED)
        q = t->w->queues[q].config.parent;
    return q != GANG_NO_QUEUE;
}

/* The lowest queue up to `top` that has so much; GANG_NO_QUEUE: none. */
static uint32_t lowest_that_has(const struct tree *t, uint32_t q, uint32_t top, int64_t more)
{
    for (;; q = t->w->queues[q].config.parent) {
        bool limited = t->w->queues[q].config.nominal[t->r] != GANG_UNLIMITED;
        if (limited && usage(t, q) + more <= subtree(t, q))
            return q;
        if (q == top)
            return GANG_NO_QUEUE;
        int64_t own = guaranteed(t, q) - usage(t, q);
        more -= own > 0 ? own : 0;
    }
}

static void add_sums(const struct queue_sums *a, const struct queue_sums *b, struct queue_sums *ret)
{
    for (uint32_t q = 0; q < QUEUES; q++) {
        ret[q] = a[q];
        for (uint32_t r = 0; r < RESOURCES; r++)
            ret[q].used[r] += b[q].used[r];
    }
}

uint32_t borrow_level(const struct world *w, const struct queue_sums *sums,
                      const struct queue_sums *held, const struct job *job, uint32_t top)
{
    struct queue_sums all[QUEUES];
    uint32_t level = 0, queue = job->request.queue;
    gang_amounts more;
    job_amounts(job, more);
    add_sums(sums, held, all);
    for (uint32_t r = 0; r < RESOURCES; r++) {
        const struct tree t = {w, all, r};
        if (more[r] <= 0 || !limited_above(&t, queue))
            continue;
        uint32_t has = lowest_that_has(&t, queue, top, more[r]);
        uint32_t its = has == queue                                    ? 0
                       : has != GANG_NO_QUEUE                          ? queue_height(w, has)
                       : w->queues[top].config.parent == GANG_NO_QUEUE ? queue_height(w, top)
                                                                       : queue_height(w, top) + 1;
        level = its > level ? its : level;
    }
    return level;
}

bool within_branch(const struct world *w, const struct queue_sums *sums, const struct job *job,
                   uint32_t common)
{
    uint32_t top = job->request.queue;
    gang_amounts more;
    job_amounts(job, more);
    while (top != common && w->queues[top].config.parent != common)
        top = w->queues[top].config.parent;
    for (uint32_t r = 0; r < RESOURCES && top != common; r++) {
        const struct tree t = {w, sums, r};
        if (more[r] > 0 && limited_above(&t, job->request.queue) &&
            lowest_that_has(&t, job->request.queue, top, more[r]) == GANG_NO_QUEUE)
            return false;
    }
    return top != common;
}

bool borrows_from_above(const struct world *w, const struct queue_sums *sums, uint32_t q,
                        const gang_amounts more)
{
    for (uint32_t r = 0; r < RESOURCES; r++) {
        const struct tree t = {w, sums, r};
        uint32_t parent = w->queues[q].config.parent;
        bool limited = w->queues[q].config.nominal[r] != GANG_UNLIMITED;
        if (more[r] > 0 && usage(&t, q) > (limited ? subtree(&t, q) : 0) &&
            (limited || limited_above(&t, parent)))
            return true;
    }
    return false;
}

uint32_t first_short(const struct world *w, const struct queue_sums *sums,
                     const struct queue_sums *held, const struct job *job)
{
    struct queue_sums all[QUEUES];
    add_sums(sums, held, all);
    uint32_t missing = quota_short(w, all, job);
    for (uint32_t r = RESOURCES; r-- > 0;)
        if (missing >> r & 1)
            return 1u << r;
    return 0;
}

bool holds_own(const struct world *w, const struct queue_sums *sums, const struct queue_sums *held,
               const struct decision *d, uint32_t short_of)
{
    struct queue_sums all[QUEUES];
    gang_amounts boards[NODES];
    uint32_t root = d->job->request.queue;
    struct queue_sums none[QUEUES] = {{{0}, 0}};
    add_sums(sums, held, all);
    while (w->queues[root].config.parent != GANG_NO_QUEUE)
        root = w->queues[root].config.parent;
    if (d->d.kind != GANG_WAIT || (short_of & needs_of(d->job)) || !jobs_allowed(w, sums, d->job) ||
        !quota_short(w, all, d->job) ||
        quota_short(w, none, d->job) || /* it will never have that */
        !within_branch(w, all, d->job, root))
        return false;
    boards_of(w, ROOM_WITHOUT_GANGS, boards);
    return gang_fits(w, d->job, boards, schedulable_mask(w), d->job->request.required_level);
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
