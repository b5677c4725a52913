/* Jobs that wait because of what the API server once made of their pod: whoever mends the webhook
 * or the limit range that did it need not touch the jobs. */
#include <stdio.h>
#include <string.h>
#include "world.h"
#include "world_internal.h"

#define TOO_MUCH "1000" /* processors; a node of the world has 64 */
#define CROWD 60

static void crowd(struct world *w)
{
    char name[16];
    for (int i = 0; i < CROWD; i++) {
        (void)snprintf(name, sizeof name, "j%d", i);
        world_put_job(w, name, 1, NULL);
    }
    world_run(w);
}

static unsigned count_phase(struct world *w, const char *phase)
{
    char name[16];
    unsigned count = 0;
    for (int i = 0; i < CROWD; i++) {
        (void)snprintf(name, sizeof name, "j%d", i);
        count += strcmp(world_phase(w, name), phase) == 0;
    }
    return count;
}

static void test_a_job_that_waits_for_anothers_answer_alone_is_asked_about_anew(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 8);
    w.dry_run_cpu = TOO_MUCH;
    world_submit(&w, "heavy", 1, NULL);
    assert_string_equal(world_status(&w, "heavy", "queue.reason"), "Unschedulable");
    w.dry_run_cpu = NULL; /* the webhook is gone, its answer is still believed */
    world_submit(&w, "a", 1, NULL);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_int_equal(w.dry_runs, 1);
    world_advance(&w, 5100);
    assert_int_equal(w.dry_runs, 2);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

/* The other way round: nobody who has to wait does so for a pod that is larger by now. */
static void test_what_a_pod_has_become_meanwhile_is_what_its_job_waits_for(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "first", 1, NULL);
    world_submit(&w, "a", 1, NULL);
    w.dry_run_cpu = TOO_MUCH;
    assert_string_equal(world_status(&w, "a", "queue.reason"), "Waiting");
    world_advance(&w, 20000);
    assert_string_equal(world_status(&w, "a", "queue.reason"), "Unschedulable");
    world_release(&w);
}

static void test_jobs_behind_a_full_cluster_are_asked_about_once_for_all(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    crowd(&w);
    assert_int_equal(w.dry_runs, 1);
    assert_int_equal(count_phase(&w, "Queued"), CROWD - 1);
    world_advance(&w, 10 * 60 * 1000);
    assert_int_equal(w.dry_runs, 2);
    assert_int_equal(count_phase(&w, "Queued"), CROWD - 1);
    world_release(&w);
}

/* What nobody has a place for is asked about now and then, once for all of its kind. */
static void test_jobs_that_no_node_could_ever_take_are_freed_by_who_mends_the_webhook(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 10, 8);
    w.dry_run_cpu = TOO_MUCH;
    crowd(&w);
    world_advance(&w, 20000);
    assert_string_equal(world_status(&w, "j7", "queue.reason"), "Unschedulable");
    unsigned asked = w.dry_runs;
    world_advance(&w, 2 * 60 * 60 * 1000);
    assert_true(w.dry_runs > asked);
    assert_true(w.dry_runs <= asked + 2 * 60 / 5 * 2);
    w.dry_run_cpu = NULL;
    world_advance(&w, 6 * 60 * 1000);
    assert_int_equal(count_phase(&w, "Running"), CROWD);
    world_release(&w);
}

/* It stands in the line; that its pods are refused is said when they are to be made. */
static void test_a_refusal_takes_nobody_out_of_the_line_and_is_no_storm(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "first", 1, NULL);
    crowd(&w);
    w.refuse_dry_run = "the quota is used up";
    world_advance(&w, 60000);
    assert_int_equal(count_phase(&w, "Queued"), CROWD);
    assert_int_equal(w.dry_runs, 2);
    assert_string_not_equal(world_reason(&w, "j7", "Admitted"), "PodRefused");
    world_job_ends_well(&w, "first");
    world_run(&w);
    assert_int_equal(count_phase(&w, "Running"), 1);
    world_release(&w);
}

/* The place may have come while the API server was being asked. */
static void test_a_job_that_gets_its_place_meanwhile_takes_no_heed_of_the_answer(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "first", 1, NULL);
    world_submit(&w, "a", 1, NULL);
    w.unavailable = 1; /* it is asked again a little later, and refused then */
    w.refuse_dry_run = "not any more";
    world_advance(&w, 5001);
    world_job_ends_well(&w, "first");
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_advance(&w, 10000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_condition(&w, "a", "Admitted"), "True");
    assert_int_equal(w.dry_runs, 2);
    world_release(&w);
}

/* The node had no room for the pod that it got. */
static void test_a_gang_that_could_not_start_is_asked_about_before_it_is_placed_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 8);
    w.reject_on = "node001";
    world_put_job(&w, "a", 1, NULL);
    world_run(&w);
    unsigned pods = w.pods_created;
    w.dry_run_cpu = TOO_MUCH;
    world_advance(&w, 60000);
    assert_string_equal(world_status(&w, "a", "queue.reason"), "Unschedulable");
    assert_true(w.pods_created - pods <= 2);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_that_waits_for_anothers_answer_alone_is_asked_about_anew),
        cmocka_unit_test(test_what_a_pod_has_become_meanwhile_is_what_its_job_waits_for),
        cmocka_unit_test(test_jobs_behind_a_full_cluster_are_asked_about_once_for_all),
        cmocka_unit_test(test_jobs_that_no_node_could_ever_take_are_freed_by_who_mends_the_webhook),
        cmocka_unit_test(test_a_refusal_takes_nobody_out_of_the_line_and_is_no_storm),
        cmocka_unit_test(test_a_job_that_gets_its_place_meanwhile_takes_no_heed_of_the_answer),
        cmocka_unit_test(test_a_gang_that_could_not_start_is_asked_about_before_it_is_placed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
