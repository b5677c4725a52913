/* Whole lives of jobs, told to the controller event by event. */
#include <stdio.h>
#include <string.h>
#include "world.h"

static void test_a_job_runs_from_its_submission_to_success(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 3, NULL);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.pods_created, 3);
    assert_int_equal(w.starts, 3);
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    assert_string_equal(world_condition(&w, "a", "Complete"), "True");
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_runs_from_its_submission_to_success),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
