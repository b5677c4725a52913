/* When the ends of different members were, by one clock. A launcher counts from when START reached
 * it, by its own clock. PONG, STOPPED and HELLO tell how far it has counted; so do STARTED and the
 * ends themselves. When START reached it is known between two bounds:
 *
 *     not later than: we heard it, less what it had counted when it said so;
 *     not earlier than: we sent START; or a PING, less what it had counted when it answered.
 *
 * The best of each is kept, so that words which are late on their way do no harm. Clocks run apart
 * (days are long, and peers die within 0.3 s of each other): bounds widen as time goes by, and are
 * asked for anew. */
#include "rendezvous/coordinator_internal.h"

#define MS_PER_MS_OF_DRIFT 2000 /* 500 ppm, the most that a kernel corrects: adjtimex(2) */
#define FOR_EVER_MS (INT64_MAX / 8)

static int64_t drift_ms(const struct coordinator *c, int64_t since_ms)
{
    return (c->now_ms - since_ms) / MS_PER_MS_OF_DRIFT;
}

static int64_t from_ms(const struct coordinator *c, const struct seat *s)
{
    return s->clock.from_ms - drift_ms(c, s->clock.from_heard_ms);
}

static int64_t until_ms(const struct coordinator *c, const struct seat *s)
{
    return s->clock.until_ms + drift_ms(c, s->clock.until_heard_ms);
}

static int64_t counted(uint64_t ms)
{
    return ms < FOR_EVER_MS ? (int64_t)ms : FOR_EVER_MS;
}

static void not_later(const struct coordinator *c, struct seat *s, int64_t ms)
{
    if (ms > until_ms(c, s))
        return;
    s->clock.until_ms = ms;
    s->clock.until_heard_ms = c->now_ms;
    if (from_ms(c, s) > ms) { /* by a rounding, or a clock that runs faster than it may */
        s->clock.from_ms = ms;
        s->clock.from_heard_ms = c->now_ms;
    }
}

static void not_earlier(const struct coordinator *c, struct seat *s, int64_t ms)
{
    if (ms < from_ms(c, s) || ms > until_ms(c, s)) /* the latter: no true answer to a PING */
        return;
    s->clock.from_ms = ms;
    s->clock.from_heard_ms = c->now_ms;
}

/* It has counted so far when it said what we have just heard. */
static void heard(const struct coordinator *c, struct seat *s, int64_t counted_ms)
{
    if (counted_ms < FOR_EVER_MS)
        not_later(c, s, c->now_ms - c->started_ms - counted_ms);
}

void clock_forget(struct seat *s)
{
    s->clock = (struct seat_clock){.from_ms = -FOR_EVER_MS, .until_ms = FOR_EVER_MS};
}

void clock_start(const struct coordinator *c, struct seat *s)
{
    clock_forget(s);
    not_earlier(c, s, c->now_ms - c->started_ms);
}

void clock_started(const struct coordinator *c, struct seat *s, uint64_t start_to_exec_us)
{
    heard(c, s, counted(start_to_exec_us / 1000));
}

void clock_told(const struct coordinator *c, struct seat *s, uint64_t since_start_ms)
{
    if (since_start_ms == 0)
        return;
    s->clock.told = true;
    heard(c, s, counted(since_start_ms));
}

void clock_answered(const struct coordinator *c, struct seat *s, const struct rendezvous_pong *pong)
{
    clock_told(c, s, pong->since_start_ms);
    s->clock.mute = pong->since_start_ms == 0;
    if (!s->clock.mute && pong->nonce <= (uint64_t)c->now_ms)
        not_earlier(c, s, (int64_t)pong->nonce - c->started_ms - counted(pong->since_start_ms));
}

void clock_ask(struct coordinator *c, const struct seat *s)
{
    if (clock_is_doubtful(c, s))
        channel_ping(c, s);
}

bool clock_is_doubtful(const struct coordinator *c, const struct seat *s)
{
    return !s->clock.mute && until_ms(c, s) - from_ms(c, s) > COORDINATOR_LATE_MS;
}

void clock_ended(const struct coordinator *c, struct seat *s, uint64_t after_ms)
{
    heard(c, s, counted(after_ms)); /* it was before it was told */
}

struct period clock_bounds(const struct coordinator *c, const struct seat *s, uint64_t after_ms)
{
    int64_t after = counted(after_ms);
    return (struct period){.from_ms = from_ms(c, s) + after, .until_ms = until_ms(c, s) + after};
}

struct period clock_guess(const struct coordinator *c, const struct seat *s, uint64_t after_ms)
{
    struct period period = clock_bounds(c, s, after_ms);
    bool adopted = s->clock.from_ms == -FOR_EVER_MS;
    if (!s->clock.told && !adopted)
        period.from_ms = period.until_ms;
    return period;
}
