/* Which of many failures is to blame. By class first; then the earliest. When an end was is known
 * between two bounds only (coordinator_clock.c), and they narrow until all have reported: so every
 * failure that may have been the first is kept, one a member, and the choice falls at the end. What
 * the bounds leave open is decided by what launchers have counted since their own START, since
 * START goes to all at once; then by what is nobody's fault, then by the lowest rank, so that equal
 * reports give equal verdicts in whatever order they come. */
#include "rendezvous/coordinator_internal.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct period dating(const struct coordinator *c, const struct seat *s, uint64_t after_ms);

static struct period period_of(const struct coordinator *c, const struct failure *f, dating *date)
{
    if (f->by_launcher)
        return date(c, &c->seats[f->seat], f->after_ms);
    return (struct period){.from_ms = (int64_t)f->after_ms, .until_ms = (int64_t)f->after_ms};
}

static bool precedes(const struct failure *a, const struct failure *b)
{
    if (a->after_ms != b->after_ms)
        return a->after_ms < b->after_ms;
    if (a->infrastructure != b->infrastructure)
        return a->infrastructure;
    if (a->rank != b->rank)
        return a->rank < b->rank;
    return a->seat < b->seat;
}

/* Both of one member: by one clock, but for its pod's end, which is told last. */
static bool explains_more(const struct failure *a, const struct failure *b)
{
    if (a->class != b->class)
        return a->class > b->class;
    if (a->by_launcher != b->by_launcher)
        return a->by_launcher;
    return precedes(a, b);
}

/* The last string is as long as it has to be: in a large gang there may be many. */
static struct failure *copy_of(const struct failure *f)
{
    size_t size = offsetof(struct failure, tail) + strlen(f->tail) + 1;
    struct failure *copy = malloc(size);
    if (copy)
        memcpy(copy, f, size);
    return copy;
}

void culprit_note(struct coordinator *c, const struct failure *f)
{
    struct seat *s = &c->seats[f->seat];
    struct period period = period_of(c, f, clock_bounds);
    if (f->class < c->worst)
        return;
    if (f->class > c->worst || period.until_ms < c->first_until_ms)
        c->first_until_ms = period.until_ms;
    c->worst = f->class;
    if (period.from_ms > c->first_until_ms)
        return;
    if (s->failure && !explains_more(f, s->failure))
        return;
    free(s->failure);
    s->failure = copy_of(f);
    c->failed |= !s->failure;
}

const struct failure *culprit_choose(const struct coordinator *c)
{
    const struct failure *best = NULL;
    int64_t first_until_ms = INT64_MAX;
    for (uint32_t i = 0; i < c->seats_count; i++) {
        const struct failure *f = c->seats[i].failure;
        if (!f || f->class != c->worst)
            continue;
        struct period period = period_of(c, f, clock_guess);
        if (period.until_ms < first_until_ms)
            first_until_ms = period.until_ms;
    }
    for (uint32_t i = 0; i < c->seats_count; i++) {
        const struct failure *f = c->seats[i].failure;
        if (f && f->class == c->worst && period_of(c, f, clock_guess).from_ms <= first_until_ms &&
            (!best || precedes(f, best)))
            best = f;
    }
    return best;
}

void culprit_forget(struct coordinator *c)
{
    c->worst = FAILURE_NONE;
    for (uint32_t i = 0; i < c->seats_count; i++) {
        free(c->seats[i].failure);
        c->seats[i].failure = NULL;
    }
}
