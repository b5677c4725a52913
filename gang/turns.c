/* See turns.h. */
#include "gang/turns.h"
#include "gang/patience.h"

#include <errno.h>

int gang_turns_reserve(struct gang *g)
{
    if (g->config.patience_ms <= 0)
        return 0;
    if (!g->turns) {
        g->turns = gang_alloc(g, sizeof *g->turns);
        if (!g->turns)
            return -ENOMEM;
    }
    struct gang_turns *t = g->turns;
    uint32_t queues = t->queues_capacity;
    if (gang_reserve(g, &t->turns, &t->capacity, (size_t)g->buckets_count + 1, sizeof *t->turns) <
            0 ||
        gang_reserve(g, &t->queues, &t->queues_capacity, g->queues_count, sizeof *t->queues) < 0)
        return -ENOMEM;
    for (; queues + 1 < g->queues_count && queues < t->queues_capacity; queues++) {
        const struct gang_queue *q = gang_queue_of(g, queues);
        t->queues[queues].used = q->usage || q->share || q->running;
    }
    return 0;
}

void gang_turns_free(struct gang *g)
{
    if (!g->turns)
        return;
    gang_release(g, g->turns->turns);
    gang_release(g, g->turns->queues);
    gang_release(g, g->turns);
}

static struct gang_turn turn_of(const struct gang *g, const struct gang_bucket *b)
{
    const struct gang_job *job = gang_bucket_head(b);
    return (struct gang_turn){.since_ms = job->since_ms,
                              .priority = job->priority,
                              .width = (uint32_t)gang_share(g, job->shape->sum),
                              .queue = job->queue,
                              .waits = true,
                              .has_limit = job->time_limit_ms > 0,
                              .is_wide = gang_patience_is_wide(g, job->shape),
                              .asked_for = job->asked_for};
}

void gang_turns_set(struct gang *g, const struct gang_bucket *b)
{
    struct gang_turns *t = g->turns;
    if (!t)
        return;
    t->end = b->at >= t->end ? b->at + 1 : t->end;
    t->turns[b->at] = turn_of(g, b);
}

void gang_turns_clear(struct gang *g, const struct gang_bucket *b)
{
    struct gang_turns *t = g->turns;
    if (!t)
        return;
    t->turns[b->at].waits = false;
    while (t->end && !t->turns[t->end - 1].waits)
        t->end--;
}

void gang_turns_nodes_changed(struct gang *g)
{
    if (g->turns)
        g->turns->stale = true;
}

void gang_turns_queue_used(struct gang *g, uint32_t queue)
{
    if (g->turns && queue < g->turns->queues_capacity)
        g->turns->queues[queue].used = true;
}

void gang_turns_begin(struct gang *g)
{
    struct gang_turns *t = g->turns;
    for (uint32_t i = 0; t->stale && i < t->end; i++)
        if (t->turns[i].waits)
            gang_turns_set(g, gang_bucket_at(g, i));
    t->stale = false;
    for (int has_limit = 0; has_limit < 2; has_limit++)
        for (int is_wide = 0; is_wide < 2; is_wide++)
            t->patience_ms[has_limit][is_wide] = gang_patience_of_ms(g, has_limit, is_wide);
}

/* ---- check ---- */

/* Widths may be those of before nodes came or went. */
static bool are_equal(const struct gang_turns *t, const struct gang_turn *a,
                      const struct gang_turn *b)
{
    return a->since_ms == b->since_ms && a->priority == b->priority && a->queue == b->queue &&
           a->waits == b->waits && a->has_limit == b->has_limit && a->asked_for == b->asked_for &&
           (t->stale || (a->width == b->width && a->is_wide == b->is_wide));
}

/* One of which nothing was ever placed, and which has no use from before, has used nothing. */
static int check_used(const struct gang *g, struct mlt_error *err)
{
    const struct gang_turns *t = g->turns;
    for (uint32_t i = 0; i + 1 < g->queues_count; i++) {
        const struct gang_queue *q = gang_queue_of(g, i);
        if (q->known && i >= t->queues_capacity)
            return mlt_fail(err, EBADMSG, "queue %u has no room among those that used nothing", i);
        if (q->known && !q->first_child && !t->queues[i].used &&
            (q->usage || q->share || q->running))
            return mlt_fail(err, EBADMSG, "queue %u is taken for one that has used nothing", i);
    }
    return 0;
}

int gang_turns_check(const struct gang *g, struct mlt_error *err)
{
    const struct gang_turns *t = g->turns;
    struct gang_bucket_walk walk = {0};
    uint32_t waiting = 0;
    if (!t)
        return 0;
    for (const struct gang_bucket *b; (b = gang_bucket_walk_next(g, &walk)) != NULL;) {
        const struct gang_turn turn = turn_of(g, b);
        if (b->at >= t->end || t->end > t->capacity || !are_equal(t, &t->turns[b->at], &turn))
            return mlt_fail(err, EBADMSG, "bucket %u: what says whether it has its turn", b->at);
    }
    for (uint32_t i = 0; i < t->end; i++)
        waiting += t->turns[i].waits;
    if (waiting != g->buckets_count || (t->end && !t->turns[t->end - 1].waits))
        return mlt_fail(err, EBADMSG, "%u buckets wait, %u by turns, up to %u", g->buckets_count,
                        waiting, t->end);
    return check_used(g, err);
}
