/* Random messages, losses, deaths and changes of leader over a whole gang; after each step:
 *  - a place in an attempt is started at most once, all with the same START, and never while ranks
 * of another attempt run;
 *  - START goes out only when every live member is ready;
 *  - an attempt ends exactly once, with nothing of it still running, and names a rank that really
 * failed, a pod that was really lost, a stop that was really requested, or a change of leader;
 * COMPLETED only when all ranks ended well;
 *  - the coordinator's own invariants.
 * When the faults end, the job completes. RDV_SEED=n runs one seed, RDV_SEEDS=n more or fewer of
 * them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/property/seeds/seeds.h"
#include "world.h"

#define SEEDS 1500
#define STEPS 2000

static struct world world;

/* The violation that this seed leads to, or NULL. */
static const char *run(uint64_t seed, int bug)
{
    struct world *w = &world;
    world_init(w, seed, (enum world_bug)bug);
    w->trace = getenv("RDV_TRACE") != NULL;
    for (int i = 0; i < STEPS && !w->violation && !w->completed; i++)
        world_step(w);
    if (!w->violation && !w->completed && !world_heal(w) && !w->violation)
        w->violation = "without faults the job does not complete";
    const char *violation = w->violation;
    world_release(w);
    return violation;
}

static void test_a_gang_survives_whatever_happens(void **state)
{
    (void)state;
    const struct seeds_range seeds = seeds_range("RDV", SEEDS);
    uint64_t first = seeds.first, count = seeds.count;
    unsigned starts = 0, verdicts = 0, adoptions = 0, divergences = 0, completions = 0,
             restarts = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        const char *violation = run(seed, WORLD_BUG_NONE);
        if (violation)
            fail_msg("seed %llu: %s", (unsigned long long)seed, violation);
        starts += world.starts;
        verdicts += world.verdicts;
        adoptions += world.adoptions;
        divergences += world.divergences;
        completions += world.completions;
        restarts += world.restarts;
    }
    printf("%llu seeds from %llu: %u starts, %u verdicts, %u changes of leader, %u adopted, %u "
           "diverged, %u completed\n",
           (unsigned long long)count, (unsigned long long)first, starts, verdicts, restarts,
           adoptions, divergences, completions);
    if (count > 100) { /* what never happens proves nothing */
        assert_true(verdicts > count && adoptions > count / 20 && divergences > count / 20);
        assert_int_equal(completions, count);
    }
}

static const struct seeds_mistake bugs[] = {
    {"a launcher without the fence", WORLD_BUG_NO_FENCE},
    {"a launcher that says STOPPED while its ranks run", WORLD_BUG_READY_TOO_EARLY},
    {"a launcher whose snapshot leaves out exits", WORLD_BUG_LOST_EXITS},
};

static void test_deliberate_mistakes_are_caught(void **state)
{
    (void)state;
    seeds_catch_mistakes(bugs, sizeof bugs / sizeof bugs[0], run, SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gang_survives_whatever_happens),
        cmocka_unit_test(test_deliberate_mistakes_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
