/* An attempt that makes no step for too long: every member is asked what its ranks do, and the rank
 * that stands out is named. */
#include "rendezvous/coordinator_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define EXAMINE_MS 10000   /* for the answers; a launcher looks for about a second */
#define HUNG_GRACE_MS 5000 /* from SIGABRT to SIGKILL: for faulthandler's stacks */
#define HUNG_SIGNAL 6      /* SIGABRT, on every architecture of Linux */
#define HUNG_EXIT_CODE 124 /* as timeout(1) */
#define APART_TIMES \
    4 /* a rank computes, where another waits, when it uses so many times its CPU ... */
#define APART_PERMILLE 50     /* ... and so much of a CPU more: relative, for nodes may be loaded */
#define SILENT_MARGIN_MS 2000 /* more silent than all others by this much */

void stall_restart(struct coordinator *c)
{
    c->step_ms = c->now_ms;
    c->examining = false;
}

void stall_forget(struct coordinator *c)
{
    c->examining = false;
    for (uint32_t i = 0; i < c->seats_count; i++) {
        c->seats[i].examined = false;
        seat_forget_evidence(&c->seats[i]);
    }
}

static bool is_unheard(const struct seat *s)
{
    return s->channel == 0 || s->suspect;
}

/* The member that tells the steps; NULL: none has told any, or its ranks have ended. */
static const struct seat *teller(const struct coordinator *c)
{
    const struct seat *s = c->progress_seat != SEAT_NONE ? &c->seats[c->progress_seat] : NULL;
    return s && s->exited < s->nproc ? s : NULL;
}

/* Who tells the steps may have made some that we were not told, while nothing is heard of it; where
 * there is none, that is anybody: the others may be done. Of the others it is one more that they
 * are not heard. */
static bool is_heard(const struct coordinator *c)
{
    const struct seat *s = teller(c);
    if (c->phase != PHASE_STARTED)
        return false;
    return s ? !is_unheard(s) : c->connected == c->seats_count && c->suspects == 0;
}

void stall_restart_if_it_tells(struct coordinator *c, const struct seat *s)
{
    const struct seat *tells = teller(c);
    if (!tells || tells == s)
        stall_restart(c);
}

static int64_t due_ms(const struct coordinator *c)
{
    int64_t limit_ms = c->step == RENDEZVOUS_NO_STEP ? c->startup_ms : c->stall_ms;
    return limit_ms && is_heard(c) ? c->step_ms + limit_ms : INT64_MAX;
}

int64_t stall_wake_ms(const struct coordinator *c)
{
    return c->examining ? c->examine_until_ms : due_ms(c);
}

/* ---- whose fault it is ---- */

/* One rank's evidence, with whose it is. */
struct suspect {
    const struct rendezvous_evidence *e;
    uint32_t seat;
};

struct suspects {
    struct suspect *list;
    uint32_t count;
};

static struct suspects gather(const struct coordinator *c)
{
    struct suspects all = {.list = calloc(c->alive_ranks + 1u, sizeof *all.list)};
    for (uint32_t i = 0; all.list && i < c->seats_count; i++) {
        const struct seat *s = &c->seats[i];
        const struct rendezvous_evidence_report *r = s->evidence ? &s->evidence->evidence : NULL;
        for (uint32_t k = 0; r && k < r->ranks_count; k++)
            if (r->ranks[k].local_rank < s->nproc && all.count < c->alive_ranks)
                all.list[all.count++] = (struct suspect){.e = &r->ranks[k], .seat = i};
    }
    return all;
}

typedef bool trait(const struct rendezvous_evidence *e, int64_t limit);

static bool is_stopped(const struct rendezvous_evidence *e, int64_t limit)
{
    (void)limit;
    return e->state == 'T' || e->state == 't';
}

static bool is_uninterruptible(const struct rendezvous_evidence *e, int64_t limit)
{
    (void)limit;
    return e->state == 'D';
}

static bool is_behind(const struct rendezvous_evidence *e, int64_t limit)
{
    return e->step != RENDEZVOUS_NO_STEP && e->step < limit;
}

static bool is_apart(const struct rendezvous_evidence *busy, const struct rendezvous_evidence *idle)
{
    return busy->busy_permille > (uint64_t)idle->busy_permille * APART_TIMES + APART_PERMILLE;
}

/* Whether `a` uses more CPU than `b`, or less when the one that waits is meant. */
static bool is_further(const struct suspect *a, const struct suspect *b, bool computes)
{
    return computes ? a->e->busy_permille > b->e->busy_permille
                    : a->e->busy_permille < b->e->busy_permille;
}

/* The one rank that computes while all others wait, or the other way round; NULL: there is none. */
static const struct suspect *odd_one(const struct suspects *all, bool computes)
{
    const struct suspect *first = NULL, *second = NULL; /* by CPU use, from the end that is meant */
    for (uint32_t i = 0; i < all->count; i++) {
        const struct suspect *x = &all->list[i];
        if (!first || is_further(x, first, computes)) {
            second = first;
            first = x;
        } else if (!second || is_further(x, second, computes)) {
            second = x;
        }
    }
    bool apart =
        second && (computes ? is_apart(first->e, second->e) : is_apart(second->e, first->e));
    return apart ? first : NULL;
}

static bool is_silent(const struct rendezvous_evidence *e, int64_t limit)
{
    return e->silent_ms >= (uint64_t)limit;
}

static uint32_t count_with(const struct suspects *all, trait *has, int64_t limit,
                           const struct suspect **ret_first)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < all->count; i++)
        if (has(all->list[i].e, limit) && count++ == 0)
            *ret_first = &all->list[i];
    return count;
}

static int64_t highest_step(const struct suspects *all)
{
    int64_t highest = RENDEZVOUS_NO_STEP;
    for (uint32_t i = 0; i < all->count; i++)
        if (all->list[i].e->step > highest)
            highest = all->list[i].e->step;
    return highest;
}

static uint64_t second_most_silent(const struct suspects *all)
{
    uint64_t first = 0, second = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        uint64_t silent_ms = all->list[i].e->silent_ms;
        if (silent_ms > first) {
            second = first;
            first = silent_ms;
        } else if (silent_ms > second) {
            second = silent_ms;
        }
    }
    return second;
}

/* The rank most likely at fault, with the reason; NULL: none stands out. A peer that waits in a
 * collective looks like any other peer; the one they wait for is stopped, behind, or does something
 * else. Busy or idle says it only where it is one against several: waiting is a sleep in gloo and a
 * spin in NCCL. */
static const struct suspect *blame(const struct suspects *all, char *words, size_t size)
{
    const struct suspect *who = NULL;
    const struct suspect *idle = all->count > 2 ? odd_one(all, false) : NULL;
    const struct suspect *busy = odd_one(all, true);
    int64_t highest = highest_step(all);
    if (count_with(all, is_stopped, 0, &who) > 0) {
        (void)snprintf(words, size, "it is stopped (state %c)", who->e->state);
    } else if (count_with(all, is_behind, highest, &who) > 0) {
        (void)snprintf(words, size, "its last step is %" PRId64 ", others have made %" PRId64,
                       who->e->step, highest);
    } else if (count_with(all, is_uninterruptible, 0, &who) > 0) {
        (void)snprintf(words, size, "it waits in the kernel (state D%s%s)",
                       who->e->wait_channel[0] ? ", in " : "", who->e->wait_channel);
    } else if (idle) {
        who = idle;
        (void)snprintf(words, size, "it waits while all others compute");
    } else if (busy) {
        who = busy;
        (void)snprintf(words, size, "it computes while all others wait");
    } else if (all->count > 1 &&
               count_with(all, is_silent, (int64_t)second_most_silent(all) + SILENT_MARGIN_MS,
                          &who) == 1) {
        (void)snprintf(words, size, "it has been silent the longest, for %" PRIu64 " s",
                       who->e->silent_ms / 1000);
    } else {
        return NULL;
    }
    return who;
}

/* The one member that nothing is heard of; NULL: there is none, or more than one. */
static const struct seat *only_unheard(const struct coordinator *c)
{
    const struct seat *found = NULL;
    for (uint32_t i = 0; i < c->seats_count; i++)
        if (c->seats[i].state == SEAT_RUNNING && is_unheard(&c->seats[i])) {
            if (found)
                return NULL;
            found = &c->seats[i];
        }
    return found;
}

static void give_up(struct coordinator *c)
{
    struct suspects all = gather(c);
    char why[256] = "";
    const struct suspect *who = blame(&all, why, sizeof why);
    const struct seat *unheard = who ? NULL : only_unheard(c);
    struct failure f = {.class = FAILURE_HUNG,
                        .seat = who       ? who->seat
                                : unheard ? seat_index(c, unheard)
                                          : 0,
                        .rank = -1,
                        .code = HUNG_EXIT_CODE,
                        .cause = RENDEZVOUS_CAUSE_HUNG,
                        .after_ms = (uint64_t)(c->now_ms - c->started_ms)};
    const struct seat *s = &c->seats[f.seat];
    char what[128];
    int64_t seconds = (c->now_ms - c->step_ms) / 1000;
    if (c->step == RENDEZVOUS_NO_STEP)
        (void)snprintf(what, sizeof what, "no first step within %" PRId64 " s", seconds);
    else
        (void)snprintf(what, sizeof what, "no step for %" PRId64 " s after step %" PRId64, seconds,
                       c->step);
    if (who) {
        f.rank = (int64_t)s->rank_base + who->e->local_rank;
        (void)snprintf(f.node, sizeof f.node, "%s", text_of(s->node));
        (void)snprintf(f.words, sizeof f.words,
                       "hung: %s; rank %" PRId64 " (%s %u on %s) is most likely at fault: %s", what,
                       f.rank, s->role, s->slot, text_of(s->node), why);
    } else if (unheard) {
        (void)snprintf(f.node, sizeof f.node, "%s", text_of(s->node));
        (void)snprintf(f.words, sizeof f.words,
                       "hung: %s; %s %u on %s is most likely at fault: nothing is heard of its "
                       "launcher",
                       what, s->role, s->slot, text_of(s->node));
    } else {
        (void)snprintf(f.words, sizeof f.words, "hung: %s; no rank stands out", what);
    }
    free(all.list);
    stall_forget(c);
    gang_take_hung(c, &f, HUNG_GRACE_MS, HUNG_SIGNAL);
}

/* ---- the examination ---- */

static void examine(struct coordinator *c)
{
    stall_forget(c);
    c->examining = true;
    c->examine_until_ms = c->now_ms + EXAMINE_MS;
    output_words(c, COORDINATOR_EXAMINING, 0, "no step for %" PRId64 " s",
                 (c->now_ms - c->step_ms) / 1000);
    for (uint32_t i = 0; i < c->seats_count; i++) {
        const struct seat *s = &c->seats[i];
        struct rendezvous_message m = {.type = RENDEZVOUS_EXAMINE, .attempt = c->attempt};
        if (s->state == SEAT_RUNNING && s->takes_orders && s->channel)
            output_send(c, s->channel, &m);
    }
}

static bool all_examined(const struct coordinator *c)
{
    for (uint32_t i = 0; i < c->seats_count; i++) {
        const struct seat *s = &c->seats[i];
        if (s->state == SEAT_RUNNING && s->takes_orders && s->exited < s->nproc && !s->examined &&
            s->channel)
            return false;
    }
    return true;
}

void stall_take_evidence(struct coordinator *c, struct seat *s, struct rendezvous_message *m)
{
    if (!c->examining)
        return;
    seat_forget_evidence(s);
    s->evidence = malloc(sizeof *s->evidence);
    c->failed |= !s->evidence;
    if (s->evidence) {
        *s->evidence = *m;
        *m = (struct rendezvous_message){0};
    }
    s->examined = true;
    stall_check(c);
}

void stall_check(struct coordinator *c)
{
    if (c->examining && !is_heard(c))
        stall_restart(c);
    if (c->examining && (all_examined(c) || c->now_ms >= c->examine_until_ms))
        give_up(c);
    else if (!c->examining && c->now_ms >= due_ms(c))
        examine(c);
}
