/* Lives of large gangs, which are not looked at for each news of one member. A gang of a few pods
 * passes for one of thousands here: by config.look_gap_us. */
#include <string.h>
#include "world.h"

#define GAP_MS 3000 /* between two looks at a gang of three */

static void large_gang(struct world *w)
{
    world_init(w, 3, 1);
    w->look_gap_us = GAP_MS * 1000 / 3;
    world_replace_controller(w);
    world_submit(w, "a", 3, NULL);
    world_advance(w, 10 * GAP_MS);
    assert_string_equal(world_phase(w, "a"), "Running");
}

static void test_a_large_gang_starts_and_ends(void **state)
{
    struct world w;
    (void)state;
    large_gang(&w);
    assert_string_equal(world_status(&w, "a", "workers"), "3/3");
    world_job_ends_well(&w, "a");
    world_advance(&w, 10 * GAP_MS);
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_release(&w);
}

static void test_a_large_gang_is_stopped_and_started_again_without_a_wait(void **state)
{
    struct world w;
    (void)state;
    large_gang(&w);
    unsigned starts = w.starts;
    world_rank_exits(&w, world_launcher(&w, "a", 2), 0, 1, 0, 13000);
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(w.starts - starts, 3);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

static void test_news_of_one_member_waits_for_the_next_look(void **state)
{
    struct world w;
    (void)state;
    large_gang(&w);
    world_rank_exits(&w, world_launcher(&w, "a", 2), 0, 1, 0, 13000); /* brings a look */
    world_delete(&w, "pods/team/a-worker-1");
    world_run(&w);
    assert_false(world_has_event(&w, "PodLost"));
    world_advance(&w, GAP_MS);
    assert_true(world_has_event(&w, "PodLost"));
    assert_string_equal(world_status(&w, "a", "failures[1].cause"), "Infrastructure");
    world_release(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_large_gang_starts_and_ends),
        cmocka_unit_test(test_a_large_gang_is_stopped_and_started_again_without_a_wait),
        cmocka_unit_test(test_news_of_one_member_waits_for_the_next_look),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
