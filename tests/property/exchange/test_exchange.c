/* Random orders, channels that break, changes of leader, members that end and attempts that end,
 * over both ends of the exchange; after each step:
 *  - whoever has begun something is told its end once, and what it is told of a gather that went
 *    well is exactly what all its members gave in this attempt, and only after all had come;
 *  - a value is the one that was put in this attempt;
 *  - nothing fails without a reason: a time that was over, a member that has ended or has gone on,
 *    the attempt's end;
 *  - both ends' own invariants.
 * When the faults end, what still waits comes to its end, and so does everything in one more
 * attempt, also across one more change of leader, without any time being over. EXCHANGE_SEED=n runs
 * one seed (EXCHANGE_TRACE=1 tells it), EXCHANGE_SEEDS=n more or fewer of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "gang.h"
#include "tests/property/seeds/seeds.h"

#define SEEDS 400
#define STEPS 3000

static struct gang gang;

/* The violation that this seed leads to, or NULL. */
static const char *run(uint64_t seed, int bug)
{
    struct gang *g = &gang;
    g->trace = getenv("EXCHANGE_TRACE") != NULL;
    gang_init(g, seed, (enum gang_bug)bug);
    for (int i = 0; i < STEPS && !g->violation; i++)
        gang_step(g);
    if (!g->violation && !gang_settle(g) && !g->violation)
        g->violation = "what was begun among faults is never answered";
    if (!g->violation && !gang_heal(g) && !g->violation)
        g->violation = "without faults somebody waits for ever";
    gang_release(g);
    return g->violation;
}

static void test_an_exchange_survives_whatever_happens(void **state)
{
    (void)state;
    const struct seeds_range seeds = seeds_range("EXCHANGE", SEEDS);
    uint64_t first = seeds.first, count = seeds.count;
    struct gang sum = {0};
    for (uint64_t seed = first; seed < first + count; seed++) {
        const char *violation = run(seed, GANG_BUG_NONE);
        if (violation)
            fail_msg("seed %llu: %s", (unsigned long long)seed, violation);
        sum.results += gang.results;
        sum.barriers += gang.barriers;
        sum.gets += gang.gets;
        sum.questions += gang.questions;
        sum.fetched += gang.fetched;
        sum.timeouts += gang.timeouts;
        sum.ended += gang.ended;
        sum.cuts += gang.cuts;
        sum.leaders += gang.leaders;
        sum.attempts += gang.attempts;
        sum.lost += gang.lost;
        sum.over += gang.over;
    }
    printf("%llu seeds from %llu: %u results, %u of gathers, %u of gets, %u of fetches, %u of what "
           "stays; %u times were over, %u had gone on, %u ended with their attempt; %u cuts, %u "
           "changes of leader, %u attempts, %u members lost\n",
           (unsigned long long)count, (unsigned long long)first, sum.results, sum.barriers,
           sum.gets, sum.questions, sum.fetched, sum.timeouts, sum.over, sum.ended, sum.cuts,
           sum.leaders, sum.attempts, sum.lost);
    if (count > 100) /* what never happens proves nothing */
        assert_true(sum.timeouts > count / 10 && sum.ended > count && sum.leaders > count &&
                    sum.lost > count && sum.over > 0 && sum.questions > count &&
                    sum.fetched > count && sum.barriers > 10 * count);
}

static const struct seeds_mistake bugs[] = {
    {"a launcher that does not repeat what others may lack", GANG_BUG_FORGETS_RESULTS},
    {"a controller that takes another attempt's words", GANG_BUG_MIXES_ATTEMPTS},
    {"a launcher that says nothing again", GANG_BUG_NEVER_REPEATS},
    {"a controller that forgets who has ended", GANG_BUG_FORGETS_ENDS},
    {"a controller that fails what one that has ended is about to say again",
     GANG_BUG_ENDS_TOO_EARLY},
};

static void test_deliberate_mistakes_are_caught(void **state)
{
    (void)state;
    seeds_catch_mistakes(bugs, sizeof bugs / sizeof bugs[0], run, SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_exchange_survives_whatever_happens),
        cmocka_unit_test(test_deliberate_mistakes_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
