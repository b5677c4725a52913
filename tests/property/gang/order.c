/* The order in which a plan goes through waiting jobs: gang/README.md, Queues. */
#include "tests/property/gang/properties.h"

#include <string.h>

/* For so long the share of now is counted beside past use. */
#define NOW_COUNTS_MS 60000
#define NOW_COUNTS_FIRST_MS 3600000 /* where shares come first */

struct line {
    const struct world *w;
    struct decision *const *all;
    uint32_t count;
    bool taken[DECISIONS];
    struct queue_sums sums[QUEUES], held[QUEUES]; /* held: kept for jobs that wait */
    uint32_t short_of[QUEUES];                    /* what one of it waits for */
    gang_amounts total;
    int64_t usage[QUEUES];
};

bool fair_is_used(const struct world *w)
{
    for (uint32_t q = 0; q < QUEUES; q++)
        if (w->queues[q].known && w->queues[q].config.order == GANG_ORDER_FAIR_SHARE)
            return true;
    return false;
}

static int64_t share_of(const struct line *l, uint32_t q)
{
    int64_t share = 0;
    for (uint32_t r = 0; r < RESOURCES; r++) {
        int64_t its = l->total[r]          ? l->sums[q].used[r] * GANG_SHARE_ONE / l->total[r]
                      : l->sums[q].used[r] ? GANG_SHARE_ONE
                                           : 0;
        its = its < GANG_SHARE_ONE ? its : GANG_SHARE_ONE; /* a node may have shrunk */
        share = its > share ? its : share;
    }
    return share;
}

/* How high up it borrows, of what `top` and those below it share. */
static uint32_t rank_of(const struct line *l, const struct decision *d, uint32_t top, bool fair)
{
    uint32_t level = borrow_level(l->w, l->sums, l->held, d->job, top);
    return fair ? level > queue_height(l->w, top) : level;
}

static __int128 counted(const struct line *l, uint32_t q)
{
    int64_t now_counts_ms = shares_come_first(l->w) ? NOW_COUNTS_FIRST_MS : NOW_COUNTS_MS;
    return (__int128)l->usage[q] + (__int128)share_of(l, q) * now_counts_ms;
}

/* Whether queue a has used less for its weight than b. */
static bool used_less(const struct line *l, uint32_t a, uint32_t b)
{
    __int128 one = counted(l, a) * l->w->queues[b].config.weight;
    __int128 other = counted(l, b) * l->w->queues[a].config.weight;
    return one < other || (one == other && a < b);
}

static uint32_t next_of(const struct line *l, uint32_t q);

/* DECISIONS: nobody. */
static uint32_t next_below(const struct line *l, uint32_t parent, bool fair)
{
    uint32_t best = DECISIONS, best_queue = 0, best_rank = 0;
    for (uint32_t q = 0; q < QUEUES; q++) {
        if (!l->w->queues[q].known || l->w->queues[q].config.parent != parent)
            continue;
        uint32_t its = next_of(l, q);
        if (its == DECISIONS)
            continue;
        uint32_t rank =
            parent == GANG_NO_QUEUE ? 0 : rank_of(l, l->all[its], fair ? q : parent, fair);
        bool first = best == DECISIONS || rank < best_rank;
        if (best != DECISIONS && rank == best_rank)
            first = fair ? used_less(l, q, best_queue)
                         : comes_before(l->all[its]->job, l->all[best]->job);
        if (first) {
            best = its;
            best_queue = q;
            best_rank = rank;
        }
    }
    return best;
}

static uint32_t next_of(const struct line *l, uint32_t q)
{
    uint32_t best = DECISIONS;
    for (uint32_t i = 0; i < l->count; i++)
        if (!l->taken[i] && l->all[i]->job->request.queue == q &&
            (best == DECISIONS || comes_before(l->all[i]->job, l->all[best]->job)))
            best = i;
    if (best != DECISIONS)
        return best;
    return next_below(l, q, l->w->queues[q].config.order == GANG_ORDER_FAIR_SHARE);
}

static void begin_line(struct line *l)
{
    const struct world *w = l->w;
    for (uint32_t n = 0; n < w->nodes_count; n++)
        for (uint32_t r = 0; w->nodes[n].schedulable && r < RESOURCES; r++)
            l->total[r] += w->nodes[n].capacity[r];
    for (uint32_t q = 0; q < QUEUES; q++) {
        struct gang_queue_view view = {.usage = 0};
        if (w->queues[q].known && gang_queue(w->g, q, w->now_ms, &view))
            l->usage[q] = view.usage;
    }
}

bool queue_used_less(const struct world *w, const struct queue_sums *sums, uint32_t a, uint32_t b)
{
    struct line l = {.w = w};
    memcpy(l.sums, sums, sizeof l.sums);
    begin_line(&l);
    return used_less(&l, a, b);
}

static bool has_waiting(const struct world *w, uint32_t queue)
{
    for (uint32_t j = 0; j < JOBS; j++)
        for (uint32_t q = w->jobs[j].request.queue;
             w->jobs[j].state == WAITING && q != GANG_NO_QUEUE; q = w->queues[q].config.parent)
            if (q == queue)
                return true;
    return false;
}

bool queue_is_due(const struct world *w, uint32_t queue)
{
    struct line l = {.w = w};
    queue_use(w, l.sums);
    begin_line(&l);
    for (; shares_come_first(w) && queue != GANG_NO_QUEUE; queue = w->queues[queue].config.parent) {
        uint32_t parent = w->queues[queue].config.parent;
        __int128 used = 0, weights = 0;
        for (uint32_t q = 0; q < QUEUES; q++)
            if (w->queues[q].known && w->queues[q].config.parent == parent && has_waiting(w, q)) {
                used += counted(&l, q);
                weights += w->queues[q].config.weight;
            }
        if (parent != GANG_NO_QUEUE && w->queues[parent].config.order == GANG_ORDER_FAIR_SHARE &&
            counted(&l, queue) * weights > used * w->queues[queue].config.weight)
            return false;
    }
    return true;
}

/* Somebody waits for what its branch has and others use: that is kept for it. */
static void hold_own(struct line *l, const struct decision *d)
{
    uint32_t queue = d->job->request.queue;
    bool fifo = l->w->queues[queue].config.order == GANG_ORDER_FIFO;
    if (holds_own(l->w, l->sums, l->held, d, l->short_of[queue]))
        queue_add(l->w, queue, d->job, 1, l->held);
    if (fifo && d->d.kind == GANG_WAIT && jobs_allowed(l->w, l->sums, d->job))
        l->short_of[queue] |= first_short(l->w, l->sums, l->held, d->job);
}

void sort_in_order(const struct world *w, struct decision **order, uint32_t count)
{
    struct decision *sorted[DECISIONS];
    struct line l = {.w = w, .all = order, .count = count};
    queue_use(w, l.sums);
    begin_line(&l);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t next = next_below(&l, GANG_NO_QUEUE, false);
        sorted[i] = order[next];
        l.taken[next] = true;
        if (order[next]->d.kind == GANG_PLACE)
            queue_add(w, order[next]->job->request.queue, order[next]->job, 1, l.sums);
        else
            hold_own(&l, l.all[next]);
    }
    memcpy(order, sorted, count * sizeof *order);
}

bool gives_way(struct world *w, const struct job *job)
{
    const struct job *other = job->gave_way ? job_by_id(w, job->gave_way) : NULL;
    return other && other->state == WAITING;
}
