/* Who borrows from whom: what comes first of queues that share quota, what is kept for a job that
 * waits for its own, and whose jobs may be asked for it. After Kueue's classical preemption
 * (kueue/pkg/scheduler/preemption/classical/hierarchical_preemption.go) and the order of its
 * scheduling cycle (pkg/scheduler/scheduler.go): a queue borrows where more counts in it than it
 * has and its branch lends it. */
#include "gang/internal.h"

static bool is_limited(const struct gang_queue *q, uint32_t r)
{
    return q->config.nominal[r] != GANG_UNLIMITED;
}

/* Whether a limit of this resource stands in the way up to the root. */
static bool limited_above(const struct gang *g, uint32_t index, uint32_t r)
{
    for (; index; index = g->queues[index].parent)
        if (is_limited(&g->queues[index], r))
            return true;
    return false;
}

/* The lowest queue on the way from `index` up to `top` in which so much more stays within what it
 * has; 0: none. */
static uint32_t lowest_that_has(const struct gang *g, uint32_t index, uint32_t top, uint32_t r,
                                int64_t more)
{
    for (uint32_t i = index; i; i = g->queues[i].parent) {
        const struct gang_queue *q = &g->queues[i];
        if (is_limited(q, r) && q->charged[r] + more <= q->quota[r])
            return i;
        if (i == top)
            break;
        int64_t here = gang_queue_kept(q, r) - q->charged[r];
        more -= here > 0 ? here : 0;
    }
    return 0;
}

/* What the jobs of the queue itself use, without those of the queues below it. */
static int64_t own_use(const struct gang *g, const struct gang_queue *q, uint32_t r)
{
    int64_t used = q->used[r];
    for (uint32_t c = q->first_child; c; c = g->queues[c].next_sibling)
        used -= g->queues[c].used[r];
    return used;
}

/* Beyond its own nominal quota a queue with queues below it uses what those lend it. */
static uint32_t height_of(const struct gang *g, uint32_t index, uint32_t from, uint32_t r,
                          int64_t more)
{
    const struct gang_queue *q = &g->queues[index];
    if (index == from && (!q->first_child || own_use(g, q, r) + more <= q->config.nominal[r]))
        return 0;
    return q->height;
}

uint32_t gang_borrow_level(const struct gang *g, uint32_t queue, const struct gang_shape *shape,
                           uint32_t top)
{
    uint32_t level = 0;
    if (!g->quotas)
        return 0;
    const int64_t *sum = shape->sum;
    for (uint32_t r = 0; r < g->resources; r++) {
        if (sum[r] <= 0 || !limited_above(g, queue + 1, r))
            continue;
        uint32_t has = lowest_that_has(g, queue + 1, top, r, sum[r]);
        uint32_t its = height_of(g, has ? has : top, has ? queue + 1 : 0, r, sum[r]);
        its += !has && g->queues[top].parent; /* from above `top` */
        level = its > level ? its : level;
    }
    return level;
}

bool gang_borrow_within(const struct gang *g, uint32_t queue, const struct gang_shape *shape,
                        uint32_t common)
{
    uint32_t top = queue + 1;
    while (top != common && g->queues[top].parent != common)
        top = g->queues[top].parent;
    if (top == common)
        return false; /* it stands in that queue itself */
    const int64_t *sum = shape->sum;
    for (uint32_t r = 0; r < g->resources; r++)
        if (sum[r] > 0 && limited_above(g, queue + 1, r) &&
            !lowest_that_has(g, queue + 1, top, r, sum[r]))
            return false;
    return true;
}

static uint32_t root_of(const struct gang *g, uint32_t queue)
{
    uint32_t i = queue + 1;
    while (g->queues[i].parent)
        i = g->queues[i].parent;
    return i;
}

bool gang_borrow_wants_own(const struct gang *g, uint32_t queue, const struct gang_shape *shape)
{
    const int64_t *sum = shape->sum;
    for (uint32_t r = 0; r < g->resources; r++)
        if (sum[r] > 0 && gang_queue_potential(g, queue, r) < sum[r])
            return false; /* it will never have that */
    return gang_borrow_within(g, queue, shape, root_of(g, queue));
}

uint32_t gang_borrow_wanted(const struct gang *g, uint32_t queue, const struct gang_shape *shape)
{
    uint32_t asks = gang_shape_asks(g, shape), wanted = 0, devices = 0;
    const int64_t *sum = shape->sum;
    for (uint32_t r = 0; r < g->resources; r++) {
        if (sum[r] > 0 && gang_queue_available(g, queue, r) < sum[r])
            wanted |= UINT32_C(1) << r;
        if (r >= GANG_DEVICE_0)
            devices |= UINT32_C(1) << r;
    }
    if (wanted)
        return wanted;
    return asks & devices ? asks & devices : asks; /* it is room that it lacks */
}

/* What its own jobs use, without those that leave for a job that came before in this plan. */
static int64_t own_use_that_stays(const struct gang *g, uint32_t index, uint32_t r)
{
    int64_t used = own_use(g, &g->queues[index], r);
    for (uint32_t i = 0; i < g->plan.leavers_count; i++)
        if (g->plan.leavers[i]->queue + 1 == index)
            used -= g->plan.leavers[i]->shape->sum[r];
    return used;
}

/* More counts in it than it has; of what it has no quota, all that a limit above counts. What is
 * kept for jobs that wait nobody has borrowed yet. */
static bool borrows_any(const struct gang *g, const struct gang_queue *q, uint32_t resources)
{
    for (uint32_t r = 0; resources >> r; r++) {
        if (!(resources >> r & 1))
            continue;
        int64_t used = q->charged[r] - q->awaited[r];
        if (is_limited(q, r) ? used > q->quota[r] : used > 0 && limited_above(g, q->parent, r))
            return true;
    }
    return false;
}

/* Of these resources those of which the queue, or one above it below `common`, has a quota. */
static uint32_t of_own(const struct gang *g, uint32_t queue, uint32_t common, uint32_t resources)
{
    uint32_t own = 0;
    for (uint32_t i = queue + 1; i && i != common; i = g->queues[i].parent)
        for (uint32_t r = 0; resources >> r; r++)
            if ((resources >> r & 1) && is_limited(&g->queues[i], r))
                own |= UINT32_C(1) << r;
    return own;
}

bool gang_borrow_owes(const struct gang *g, uint32_t queue, uint32_t to, uint32_t resources)
{
    uint32_t theirs, own, common = gang_queue_common(g, queue, to, &theirs, &own);
    resources = of_own(g, to, common, resources);
    if (!common || !own || !resources)
        return false;
    if (!theirs) { /* it stands above: more than that one's own is what it was lent */
        for (uint32_t r = 0; resources >> r; r++)
            if ((resources >> r & 1) && is_limited(&g->queues[common], r) &&
                own_use_that_stays(g, common, r) > g->queues[common].config.nominal[r])
                return true;
        return false;
    }
    for (uint32_t i = queue + 1; i != common; i = g->queues[i].parent)
        if (!borrows_any(g, &g->queues[i], resources))
            return false;
    return true;
}
