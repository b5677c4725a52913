/* No node is oversubscribed by a plan and every gang is placed whole or not at all, after each of
 * many random events. MLT_SEED and MLT_EVENTS choose another run. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/number.h"
#include "tests/property/gang/world.h"

#define EVENTS 1000000
#define FULL_CHECK_EVERY 16

static uint64_t from_environment(const char *name, int64_t fallback)
{
    int64_t value = fallback;
    const char *text = getenv(name);
    struct mlt_error err;
    if (text && mlt_parse_integer(text, 1, INT64_MAX, &value, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    return (uint64_t)value;
}

static uint64_t seed(void)
{
    return from_environment("MLT_SEED", 20261124);
}

static void test_no_plan_oversubscribes_a_node_or_splits_a_gang(void **state)
{
    (void)state;
    struct world_result r;
    const struct world_options o = {.seed = seed(),
                                    .events = from_environment("MLT_EVENTS", EVENTS),
                                    .full_check_every = FULL_CHECK_EVERY};
    world_run(&world_real, &o, &r);
    printf("seed %" PRIu64 ": %" PRIu64 " events, %" PRIu64 " plans, of which %" PRIu64 " (%" PRIu64
           " %%) had more demand than free space\n",
           seed(), r.events, r.plans, r.competed, r.plans ? 100 * r.competed / r.plans : 0);
    printf("%" PRIu64 " gangs placed (%" PRIu64 " beside a blocked one), %" PRIu64
           " members replaced, %" PRIu64 " times a job waited, %" PRIu64
           " times it could never fit\n",
           r.placed, r.overtakes, r.replaced, r.waits, r.nevers);
    if (r.failure[0])
        fail_msg("after %" PRIu64 " events of seed %" PRIu64 ": %s", r.events, seed(), r.failure);
    assert_true(r.competed * 5 >= r.plans);
    assert_true(r.placed > 0 && r.replaced > 0 && r.waits > 0 && r.nevers > 0 && r.overtakes > 0);
}

static void is_caught(enum world_mutation mutation, bool only_oversubscription)
{
    const struct world_options o = {.seed = seed(),
                                    .events = EVENTS,
                                    .full_check_every = FULL_CHECK_EVERY,
                                    .only_oversubscription = only_oversubscription};
    struct world_result r;
    world_mutate(mutation);
    world_run(&world_mutant, &o, &r);
    printf("seed %" PRIu64 ": caught after %" PRIu64 " events: %s\n", o.seed, r.events, r.failure);
    assert_true(r.failure[0] != '\0');
    if (only_oversubscription)
        assert_non_null(strstr(r.failure, "is oversubscribed"));
}

static void test_a_pod_that_fits_with_one_device_missing_is_caught(void **state)
{
    (void)state;
    is_caught(WORLD_FITS_WITH_ONE_MISSING, true);
    is_caught(WORLD_FITS_WITH_ONE_MISSING, false);
}

static void test_a_placed_pod_that_takes_nothing_is_caught(void **state)
{
    (void)state;
    is_caught(WORLD_FORGETS_TO_TAKE, true);
    is_caught(WORLD_FORGETS_TO_TAKE, false);
}

static void test_equal_events_give_equal_decisions_and_equal_states(void **state)
{
    (void)state;
    struct world_result a, b, other;
    struct world_options o = {
        .seed = seed(), .events = 20000, .full_check_every = FULL_CHECK_EVERY};
    world_run(&world_real, &o, &a);
    world_run(&world_real, &o, &b);
    o.seed++;
    world_run(&world_real, &o, &other);
    assert_string_equal(a.failure, "");
    assert_true(a.digest == b.digest);
    assert_false(a.digest == other.digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod_that_fits_with_one_device_missing_is_caught),
        cmocka_unit_test(test_a_placed_pod_that_takes_nothing_is_caught),
        cmocka_unit_test(test_equal_events_give_equal_decisions_and_equal_states),
        cmocka_unit_test(test_no_plan_oversubscribes_a_node_or_splits_a_gang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
