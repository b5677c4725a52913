/* Of the first job of each bucket that waits what says whether it has its turn: side by side, so
 * that a look at all of them costs little however many they are. Only with patience. Private to
 * gang/. */
#ifndef GANG_TURNS_H
#define GANG_TURNS_H

#include "gang/internal.h"

struct gang_turn {
    int64_t since_ms;
    int32_t priority;
    uint32_t width; /* its share of all there is */
    uint32_t queue;
    bool waits : 1; /* else nobody is here */
    bool has_limit : 1, is_wide : 1, asked_for : 1;
};

struct gang_turns {
    struct gang_turn *turns; /* by the bucket's number */
    uint32_t capacity, end;
    bool stale; /* nodes have come or gone: widths are to be found again */
    struct gang_turns_queue {
        uint64_t look; /* in which somebody of it was found whose turn it is */
        bool used;     /* something of it was placed once; else it has used nothing */
    } * queues;        /* by their numbers */
    uint32_t queues_capacity;
    uint64_t looks; /* counted */
    int64_t patience_ms[2][2]; /* as of the last gang_turns_begin(): with a limit, wide */
};

int gang_turns_reserve(struct gang *g) MLT_MUST_USE; /* room for one more bucket, all queues */
void gang_turns_free(struct gang *g);
void gang_turns_set(struct gang *g, const struct gang_bucket *bucket); /* what its first job is */
void gang_turns_clear(struct gang *g, const struct gang_bucket *bucket);
void gang_turns_nodes_changed(struct gang *g);
void gang_turns_queue_used(struct gang *g, uint32_t queue);
/* Widths are right, and patience is as the backlog is now. */
void gang_turns_begin(struct gang *g);
static inline const struct gang_turn *gang_turn_of(const struct gang *g,
                                                   const struct gang_bucket *bucket)
{
    return &g->turns->turns[bucket->at];
}
static inline int64_t gang_turn_ends_ms(const struct gang *g, const struct gang_turn *turn)
{
    return turn->since_ms + g->turns->patience_ms[turn->has_limit][turn->is_wide];
}
int gang_turns_check(const struct gang *g, struct mlt_error *err) MLT_MUST_USE;

#endif
