/* Shares and past use. A share is the largest part that a queue has of any resource of all
 * schedulable nodes (dominant resource fairness, Ghodsi et al., NSDI 2011); past use is its
 * integral over time, halved every usage_half_life_ms. Integers only. */
#include "gang/internal.h"

#include <errno.h>
#include <inttypes.h>

__extension__ typedef unsigned __int128 wide;

#define USAGE_MAX (INT64_MAX / 4)

int64_t gang_share(const struct gang *g, const int64_t *used)
{
    int64_t most = 0;
    for (uint32_t r = 0; r < g->resources; r++) {
        if (used[r] <= 0)
            continue;
        if (used[r] >= g->totals[r])
            return GANG_SHARE_ONE;
        /* What would overflow is divided by 2^20 first: 43 bits are left. */
        int64_t share = used[r] < INT64_C(1) << 43 ? used[r] * GANG_SHARE_ONE / g->totals[r]
                                                   : used[r] / (g->totals[r] >> 20);
        most = share > most ? share : most;
    }
    return most < GANG_SHARE_ONE ? most : GANG_SHARE_ONE;
}

/* 2^-(t / half) with 32 binary places, a factor for each binary place of the fraction. */
static uint64_t decay(int64_t t, int64_t half)
{
    static const uint32_t factors[] = {
        0xb504f334, 0xd744fccb, 0xeac0c6e8, 0xf5257d15, 0xfa83b2db, 0xfd3e0c0d, 0xfe9e115c,
        0xff4ecb59, 0xffa75652, 0xffd3a752, 0xffe9d2b3, 0xfff4e91c, 0xfffa747f, 0xfffd3a3b,
        0xfffe9d1d, 0xffff4e8e, 0xffffa747, 0xffffd3a3, 0xffffe9d2, 0xfffff4e9, 0xfffffa74,
        0xfffffd3a, 0xfffffe9d, 0xffffff4f, 0xffffffa7, 0xffffffd4, 0xffffffea, 0xfffffff5,
        0xfffffffa, 0xfffffffd, 0xffffffff, 0xffffffff,
    };
    int64_t whole = t / half;
    if (whole >= 32)
        return 0;
    uint32_t fraction = (uint32_t)(((wide)(uint64_t)(t % half) << 32) / (uint64_t)half);
    uint64_t result = UINT64_C(1) << 32;
    while (fraction) {
        uint32_t place = (uint32_t)__builtin_clz(fraction);
        result = result * factors[place] >> 32;
        fraction &= ~(0x80000000u >> place);
    }
    return result >> whole;
}

static int64_t limited(wide usage)
{
    return usage > (wide)USAGE_MAX ? USAGE_MAX : (int64_t)usage;
}

static int64_t usage_at(const struct gang *g, const struct gang_queue *queue, int64_t now_ms)
{
    int64_t t = now_ms - queue->usage_ms;
    if (t <= 0)
        return queue->usage;
    int64_t half = g->config.usage_half_life_ms;
    if (half <= 0)
        return limited((wide)queue->usage + (wide)queue->share * (uint64_t)t);
    uint64_t kept = decay(t, half);
    /* The integral of share x 2^-(s / half) from 0 to t: share x half / ln 2 x (1 - 2^-(t / half));
     * 1 / ln 2 is 1.4426950408889634, here with 32 binary places. */
    wide past = (wide)queue->usage * kept >> 32;
    wide span = ((wide)(uint64_t)half * UINT64_C(6196328019)) >> 32;
    wide recent = (span * ((UINT64_C(1) << 32) - kept) >> 32) * (uint64_t)queue->share;
    return limited(past + recent);
}

/* A plan asks for it many times. */
int64_t gang_usage_at(const struct gang *g, struct gang_queue *queue, int64_t now_ms)
{
    if (!queue->usage_known || queue->known_ms != now_ms) {
        queue->known_usage = usage_at(g, queue, now_ms);
        queue->known_ms = now_ms;
        queue->usage_known = true;
    }
    return queue->known_usage;
}

int gang_usage_check(const struct gang *g, uint32_t index, struct mlt_error *err)
{
    const struct gang_queue *q = &g->queues[index];
    int64_t usage = usage_at(g, q, q->known_ms);
    if (q->usage_known && q->known_usage != usage)
        return mlt_fail(err, EBADMSG, "queue %u: past use of %" PRId64 ", known as %" PRId64,
                        index - 1, usage, q->known_usage);
    return 0;
}

void gang_usage_set(struct gang_queue *queue, int64_t usage, int64_t now_ms)
{
    queue->usage = usage;
    queue->usage_ms = now_ms;
    queue->usage_known = false;
}

static void settle(const struct gang *g, struct gang_queue *q, int64_t now_ms)
{
    gang_usage_set(q, gang_usage_at(g, q, now_ms), now_ms > q->usage_ms ? now_ms : q->usage_ms);
    q->share = gang_share(g, q->used);
}

void gang_queue_settle(struct gang *g, uint32_t queue, int64_t now_ms)
{
    for (uint32_t i = queue + 1; i; i = g->queues[i].parent)
        settle(g, &g->queues[i], now_ms);
}

void gang_queue_settle_all(struct gang *g, int64_t now_ms)
{
    for (uint32_t i = 1; i < g->queues_count; i++) {
        struct gang_queue *q = &g->queues[i];
        if (q->known && (q->share || q->running))
            settle(g, q, now_ms);
    }
}
