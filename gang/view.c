/* What gang_queue() shows. */
#include "gang/internal.h"

__extension__ typedef unsigned __int128 wide;

static bool is_below(const struct gang *g, uint32_t index, uint32_t ancestor)
{
    while (index && index != ancestor)
        index = g->queues[index].parent;
    return index == ancestor;
}

static void add_pending(const struct gang *g, const struct gang_bucket *b,
                        struct gang_queue_view *ret)
{
    const int64_t *sum = gang_bucket_any(b)->shape->sum;
    for (uint32_t r = 0; r < g->resources; r++)
        ret->pending[r] += sum[r] * b->count;
    for (uint32_t i = 0; i < b->count; i++) {
        int64_t since = gang_bucket_job(b, i)->since_ms;
        if (since < ret->longest_wait_since_ms)
            ret->longest_wait_since_ms = since;
    }
}

static int64_t at_least_0(int64_t x)
{
    return x > 0 ? x : 0;
}

/* What the queues beside this one have borrowed, beyond what their parent itself has, is shared
 * among all that leave something unused, by what each leaves. */
static int64_t lent(const struct gang *g, const struct gang_queue *q, uint32_t r)
{
    int64_t over = 0, unused = 0, own = at_least_0(q->quota[r] - q->charged[r]);
    if (!q->parent || q->config.nominal[r] == GANG_UNLIMITED || own == 0)
        return 0;
    const struct gang_queue *p = &g->queues[q->parent];
    for (uint32_t c = p->first_child; c; c = g->queues[c].next_sibling) {
        over += at_least_0(g->queues[c].charged[r] - g->queues[c].quota[r]);
        unused += at_least_0(g->queues[c].quota[r] - g->queues[c].charged[r]);
    }
    over =
        at_least_0(over - (p->config.nominal[r] == GANG_UNLIMITED ? over : p->config.nominal[r]));
    over = over < unused ? over : unused;
    return unused ? (int64_t)((wide)own * (uint64_t)over / (uint64_t)unused) : 0;
}

bool gang_queue(const struct gang *g, uint32_t queue, int64_t now_ms, struct gang_queue_view *ret)
{
    if (!gang_queue_known(g, queue))
        return false;
    struct gang_queue *q = gang_queue_of(g, queue);
    *ret = (struct gang_queue_view){.running_jobs = q->running,
                                    .pending_jobs = q->waiting,
                                    .longest_wait_since_ms = INT64_MAX,
                                    .usage = gang_usage_at(g, q, now_ms)};
    for (uint32_t r = 0; r < g->resources; r++) {
        ret->nominal[r] = q->config.nominal[r];
        ret->used[r] = q->used[r];
        if (q->config.nominal[r] != GANG_UNLIMITED)
            ret->borrowed[r] = at_least_0(q->charged[r] - q->quota[r]);
        ret->lent[r] = lent(g, q, r);
    }
    for (uint32_t i = 1; i < g->queues_count; i++)
        for (uint32_t k = 0; g->queues[i].heap_count > k && is_below(g, i, queue + 1); k++)
            add_pending(g, gang_bucket_at(g, g->queues[i].heap[k]), ret);
    if (!q->waiting)
        ret->longest_wait_since_ms = 0;
    return true;
}
