/* Wall clocks that are wrong: the next controller runs on a machine whose clock is off by a day. */
#include <string.h>
#include "world.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static void test_a_wait_that_a_faster_clock_wrote_down_is_no_longer_than_it_was(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    for (int i = 0; i < 3; i++) {
        struct world_launcher *l = world_launcher(&w, "a", 0);
        if (l && l->state == LAUNCHER_RUNNING)
            world_rank_exits(&w, l, 0, 1, 0, 10);
    }
    assert_string_equal(world_phase(&w, "a"), "Restarting");
    int64_t attempt = world_number(&w, "a", "attempt");
    w.wall_ms -= DAY_MS;
    world_replace_controller(&w);
    world_advance(&w, 4000); /* the second wait is below 2 s */
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), attempt + 1);
    world_release(&w);
}

static void test_a_stop_that_a_faster_clock_wrote_down_has_no_longer_grace(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1,
                 "{\"spec\":{\"checkpoint\":{\"path\":\"/c\",\"gracePeriodSeconds\":30}}}");
    world_launcher(&w, "a", 0)->hold_stop = true;
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_run(&w);
    w.wall_ms -= DAY_MS;
    world_replace_controller(&w);
    world_advance(&w, 1000);
    assert_in_range(world_launcher(&w, "a", 0)->stop_grace_ms, 1, 30000);
    world_release(&w);
}

static void test_a_day_forward_and_back_restarts_nothing(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    for (int i = 0; i < 4; i++) {
        w.wall_ms += i % 2 ? -DAY_MS : DAY_MS;
        world_advance(&w, 60000);
        if (i >= 2)
            world_replace_controller(&w);
        world_advance(&w, 60000);
    }
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_int_equal(w.starts, 2);
    assert_int_equal(w.pods_created, 2);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wait_that_a_faster_clock_wrote_down_is_no_longer_than_it_was),
        cmocka_unit_test(test_a_stop_that_a_faster_clock_wrote_down_has_no_longer_grace),
        cmocka_unit_test(test_a_day_forward_and_back_restarts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
