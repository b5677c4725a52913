/* Ranks that end while others exchange, over launcher/sdk_exchange.h: pods of some ranks that all
 * make the same calls in the same order, some of which end well before the last of them, one way or
 * the other, and a pretended exchange between the pods whose results come late.
 *  - Whoever asks is answered once, and never by a time that is over: none is.
 *  - A round goes well for all when all ranks have come to it, and else fails for all, and the
 * words name a rank that had ended before it came. ENDED_SEED=n plays one seed, ENDED_SEEDS=n more
 * or fewer of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/sdk_exchange.h"
#include "lib/base/random.h"
#include "tests/property/seeds/seeds.h"

#define SEEDS 3000
#define PODS_MAX 4
#define RANKS_MAX 4 /* of a pod */
#define CALLS_MAX 12
#define NAMES 3
#define BLOB_MAX 512
#define ANSWERS_MAX (PODS_MAX * RANKS_MAX * CALLS_MAX)

enum bug { BUG_NONE, BUG_END_IS_NOT_TOLD, BUG_TOLD_TOO_EARLY };

/* One rank's call: its connection is its number + 1. */
struct call {
    unsigned pod, rank, name;
    uint64_t round;
    bool waits;
};

struct rank {
    unsigned calls, leaves_at; /* that it has made; before which it ends: calls_count, at its end */
    bool waits, ended;
    uint64_t rounds[NAMES]; /* that it has come to */
};

struct pod {
    struct sdk_exchange *exchange;
    unsigned number, ended;
    struct rank ranks[RANKS_MAX];
    /* Of each name: the pod's part in its next gather. */
    bool open[NAMES];
    uint64_t sequence[NAMES], tag[NAMES];
    unsigned char blob[NAMES][BLOB_MAX];
    size_t length[NAMES];
};

static struct {
    struct mlt_random random;
    unsigned pods_count, ranks_count, calls_count, script[CALLS_MAX], answered;
    struct pod pods[PODS_MAX];
    struct call calls[ANSWERS_MAX];
    unsigned asked;
    /* What each round came to; it may be known before all have been told. */
    enum { UNKNOWN, WELL, FAILED } outcome[NAMES][CALLS_MAX];
    unsigned well, failed;
    const char *violation;
} world;

static void violate(const char *words)
{
    if (!world.violation)
        world.violation = words;
}

/* ---- what the exchange is told, and says ---- */

static int gather(void *arg, uint64_t tag, const char *name, const void *data, size_t length,
                  int64_t time_ms, struct mlt_error *err)
{
    struct pod *p = arg;
    unsigned n = (unsigned)(name[0] - 'a');
    (void)time_ms;
    (void)err;
    if (p->open[n] || length > BLOB_MAX) {
        violate("two gathers of one name at a time");
        return -EBUSY;
    }
    p->open[n] = true;
    p->tag[n] = tag;
    p->length[n] = length;
    if (length > 0)
        memcpy(p->blob[n], data, length);
    return 0;
}

static int none(void *arg, uint64_t tag, const char *name, const void *data, size_t length,
                struct mlt_error *err)
{
    (void)arg, (void)tag, (void)name, (void)data, (void)length, (void)err;
    return -ENOSYS;
}

static int none_got(void *arg, uint64_t tag, const char *name, int64_t time_ms,
                    struct mlt_error *err)
{
    (void)arg, (void)tag, (void)name, (void)time_ms, (void)err;
    return -ENOSYS;
}

static void cancel(void *arg, uint64_t tag)
{
    (void)arg, (void)tag;
}

static void timer(void *arg, int64_t delay_ms)
{
    (void)arg, (void)delay_ms;
}

static bool came(const struct rank *r, unsigned name, uint64_t round)
{
    return r->rounds[name] > round;
}

/* Whether all have come, and whether one has ended without; the pretended exchange may end a round
 * before a slow rank has come to it. */
static bool all_came(unsigned name, uint64_t round, bool *ret_one_never_will)
{
    bool all = true;
    *ret_one_never_will = false;
    for (unsigned pod = 0; pod < world.pods_count; pod++)
        for (unsigned rank = 0; rank < world.ranks_count; rank++) {
            const struct rank *r = &world.pods[pod].ranks[rank];
            all &= came(r, name, round);
            *ret_one_never_will |= r->ended && !came(r, name, round);
        }
    return all;
}

/* The words name a rank of the world that has ended, or a pod whose ranks all have. */
static bool names_one(const struct call *c, const char *line)
{
    const char *pod = strstr(line, "worker "), *rank = strrchr(line, ':');
    if (pod)
        return world.pods[atoi(pod + 7)].ended == world.ranks_count;
    if (!rank)
        return false;
    unsigned number = (unsigned)atoi(rank + 2);
    const struct rank *r =
        &world.pods[number / world.ranks_count].ranks[number % world.ranks_count];
    return r->ended && !came(r, c->name, c->round);
}

static void answer(void *arg, uint64_t connection, const char *line, struct sdk_bytes *body)
{
    (void)arg, (void)body;
    struct call *c = &world.calls[connection - 1];
    bool never;
    bool all = all_came(c->name, c->round, &never), well = strncmp(line, "data ", 5) == 0;
    if (!c->waits)
        violate("an answer to nobody");
    c->waits = false;
    world.pods[c->pod].ranks[c->rank].waits = false;
    if (well && !all)
        violate("a round went well before all had come");
    if (!well && !never)
        violate("a round failed that all come to");
    if (!well && (strncmp(line, "failed 103 ", 11) != 0 || !names_one(c, line)))
        violate("other words");
    if (world.outcome[c->name][c->round] == (well ? FAILED : WELL))
        violate("a round went well for some only");
    world.outcome[c->name][c->round] = well ? WELL : FAILED;
    world.well += well;
    world.failed += !well;
}

/* ---- what happens ---- */

static void ask(struct pod *p, unsigned rank, int bug)
{
    struct rank *r = &p->ranks[rank];
    const char name[2] = {(char)('a' + world.script[r->calls % CALLS_MAX])};
    if (r->calls == r->leaves_at) {
        r->ended = true;
        p->ended++;
        if (bug != BUG_END_IS_NOT_TOLD)
            sdk_exchange_rank_ended(p->exchange, rank, 1);
        return;
    }
    unsigned n = world.script[r->calls++];
    uint64_t connection = world.asked + 1;
    world.calls[world.asked++] = (struct call){
        .pod = p->number, .rank = rank, .name = n, .round = r->rounds[n]++, .waits = true};
    r->waits = true;
    bool leaves = r->calls == r->leaves_at && mlt_random_below(&world.random, 2);
    if (leaves && bug == BUG_TOLD_TOO_EARLY)
        sdk_exchange_rank_ended(p->exchange, rank, 1);
    sdk_exchange_ask(p->exchange, connection, rank,
                     &(struct sdk_message){.kind = SDK_GATHER,
                                           .name = name,
                                           .time_ms = 1000,
                                           .data = (const unsigned char *)"x",
                                           .length = mlt_random_below(&world.random, 2)},
                     1);
    if (!leaves || !r->waits)
        return;
    /* It gives its part, and ends without waiting for the answer. */
    sdk_exchange_gone(p->exchange, connection);
    world.calls[connection - 1].waits = r->waits = false;
    r->ended = true;
    p->ended++;
    sdk_exchange_rank_ended(p->exchange, rank, 1);
}

/* Ends the gather of a name for all who wait in it. One that is told may begin the next one before
 * the others are told, so what they gave is taken first. */
static void end_gather(unsigned n, enum exchange_outcome outcome, const char *words)
{
    static struct pod given[PODS_MAX];
    struct exchange_entry entries[PODS_MAX];
    uint32_t count = 0;
    memcpy(given, world.pods, sizeof given);
    for (unsigned i = 0; i < world.pods_count && outcome == EXCHANGE_OK; i++)
        if (given[i].length[n] > 0)
            entries[count++] = (struct exchange_entry){
                .node_rank = i, .data = given[i].blob[n], .length = (uint32_t)given[i].length[n]};
    for (unsigned i = 0; i < world.pods_count; i++) {
        struct pod *p = &world.pods[i];
        if (!given[i].open[n])
            continue;
        p->open[n] = false;
        p->sequence[n]++;
        sdk_exchange_done(p->exchange,
                          &(struct exchange_output){.kind = EXCHANGE_DO_DONE,
                                                    .user = EXCHANGE_USER_SDK,
                                                    .tag = given[i].tag[n],
                                                    .outcome = outcome,
                                                    .words = words,
                                                    .entries = entries,
                                                    .entries_count = count,
                                                    .sequence = given[i].sequence[n]},
                          1);
    }
}

/* A pod whose ranks have all ended comes to nothing more. */
static bool exchange_step(void)
{
    char words[64];
    unsigned first = (unsigned)mlt_random_below(&world.random, NAMES);
    for (unsigned i = 0; i < NAMES; i++) {
        unsigned n = (first + i) % NAMES, open = 0, lost = PODS_MAX;
        for (unsigned pod = 0; pod < world.pods_count; pod++) {
            const struct pod *p = &world.pods[pod];
            open += p->open[n];
            if (!p->open[n] && p->ended == world.ranks_count)
                lost = pod;
        }
        if (open == 0 || (open < world.pods_count && lost == PODS_MAX))
            continue;
        (void)snprintf(words, sizeof words, "sdk/x: worker %u has ended", lost);
        if (open == world.pods_count)
            end_gather(n, EXCHANGE_OK, "");
        else
            end_gather(n, EXCHANGE_MEMBER_LOST, words);
        return true;
    }
    return false;
}

static bool rank_step(int bug)
{
    unsigned all = world.pods_count * world.ranks_count;
    unsigned first = (unsigned)mlt_random_below(&world.random, all);
    for (unsigned i = 0; i < all; i++) {
        unsigned number = (first + i) % all;
        struct pod *p = &world.pods[number / world.ranks_count];
        const struct rank *r = &p->ranks[number % world.ranks_count];
        if (r->waits || r->ended)
            continue;
        ask(p, number % world.ranks_count, bug);
        return true;
    }
    return false;
}

static void begin(uint64_t seed)
{
    static const struct sdk_exchange_ops ops = {.gather = gather,
                                                .put = none,
                                                .get = none_got,
                                                .cancel = cancel,
                                                .answer = answer,
                                                .timer = timer};
    memset(&world, 0, sizeof world);
    mlt_random_init(&world.random, seed);
    world.pods_count = 1 + (unsigned)mlt_random_below(&world.random, PODS_MAX);
    world.ranks_count = 1 + (unsigned)mlt_random_below(&world.random, RANKS_MAX);
    world.calls_count = 1 + (unsigned)mlt_random_below(&world.random, CALLS_MAX);
    for (unsigned i = 0; i < world.calls_count; i++)
        world.script[i] = (unsigned)mlt_random_below(&world.random, NAMES);
    for (unsigned pod = 0; pod < world.pods_count; pod++) {
        struct pod *p = &world.pods[pod];
        p->number = pod;
        p->exchange = sdk_exchange_new(&ops, p);
        assert_non_null(p->exchange);
        sdk_exchange_begin(p->exchange, world.ranks_count, pod * world.ranks_count);
        for (unsigned rank = 0; rank < world.ranks_count; rank++)
            p->ranks[rank].leaves_at =
                mlt_random_below(&world.random, 4) == 0
                    ? (unsigned)mlt_random_below(&world.random, world.calls_count + 1)
                    : world.calls_count;
    }
}

static unsigned all_well, all_failed;

static const char *run(uint64_t seed, int bug)
{
    begin(seed);
    for (bool more = true; more && !world.violation;) {
        bool ranks_first = mlt_random_below(&world.random, 3) > 0;
        more = ranks_first ? rank_step(bug) || exchange_step() : exchange_step() || rank_step(bug);
    }
    for (unsigned pod = 0; pod < world.pods_count; pod++) {
        if (world.pods[pod].ended < world.ranks_count)
            violate("somebody waits for ever");
        sdk_exchange_free(world.pods[pod].exchange);
    }
    all_well += world.well;
    all_failed += world.failed;
    return world.violation;
}

static void test_ranks_that_end_are_told_to_those_that_wait(void **state)
{
    (void)state;
    const struct seeds_range seeds = seeds_range("ENDED", SEEDS);
    uint64_t first = seeds.first, count = seeds.count;
    for (uint64_t seed = first; seed < first + count; seed++) {
        const char *violation = run(seed, BUG_NONE);
        if (violation)
            fail_msg("seed %llu: %s", (unsigned long long)seed, violation);
    }
    printf("%llu seeds: %u calls went well, %u failed\n", (unsigned long long)count, all_well,
           all_failed);
    if (count > 100)
        assert_true(all_well > count && all_failed > count);
}

static void test_deliberate_mistakes_are_caught(void **state)
{
    static const struct seeds_mistake mistakes[] = {
        {"an end that is not told", BUG_END_IS_NOT_TOLD},
        {"an end that is told before the last words are", BUG_TOLD_TOO_EARLY}};
    (void)state;
    seeds_catch_mistakes(mistakes, sizeof mistakes / sizeof mistakes[0], run, SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_that_end_are_told_to_those_that_wait),
        cmocka_unit_test(test_deliberate_mistakes_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
