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
    uint32_t queues = t->used_capacity;
    if (gang_reserve(g, &t->turns, &t->capacity, (size_t)g->buckets_count + 1, sizeof *t->turns) <
            0 ||
        gang_reserve(g, &t->used, &t->used_capacity, g->queues_count, sizeof *t->used) < 0)
        return -ENOMEM;
    for (; queues + 1 < g->queues_count && queues < t->used_capacity; queues++) {
        const struct gang_queue *q = gang_queue_of(g, queues);
        t->used[queues] = q->usage || q->share || q->running;
    }
    return 0;
}

void gang_turns_free(struct gang *g)
{
    if (!g->turns)
        return;
    gang_release(g, g->turns->turns);
    gang_release(g, g->turns->used);
    gang_release(g, g->turns);
}

void gang_turns_set(struct gang *g, const struct gang_bucket *b)
{
    const struct gang_job *job = gang_bucket_head(b);
    struct gang_turns *t = g->turns;
    if (!t)
        return;
    t->end = b->at >= t->end ? b->at + 1 : t->end;
    t->turns[b->at] = (struct gang_turn){.since_ms = job->since_ms,
                                         .priority = job->priority,
                                         .width = (uint32_t)gang_share(g, job->shape->sum),
                                         .queue = job->queue,
                                         .waits = true,
                                         .has_limit = job->time_limit_ms > 0,
                                         .is_wide = gang_patience_is_wide(g, job->shape),
                                         .asked_for = job->asked_for};
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
    if (g->turns && queue < g->turns->used_capacity)
        g->turns->used[queue] = true;
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
