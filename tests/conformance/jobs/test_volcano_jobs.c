/* What Volcano's e2e suites expect of the life of a job (test/e2e/jobseq/job_error_handling.go and
 * jobp, as of November 2026): README.md says which case is which, and what differs. */
#include <stdio.h>
#include <string.h>
#include "tests/unit/controller/world.h"

/* "Event: PodFailed; Action: RestartJob" */
static void test_a_pod_that_fails_restarts_the_job(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 4, NULL);
    world_pod_ends(&w, world_launcher(&w, "a", 3), 1);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "restarts"), 1);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    world_release(&w);
}

/* "Event: PodFailed; Action: TerminateJob" (and AbortJob, which is suspend here) */
static void test_a_pod_that_fails_ends_a_job_that_has_no_retries(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 4, "{\"spec\":{\"backoffLimit\":0}}");
    world_pod_ends(&w, world_launcher(&w, "a", 3), 1);
    world_advance(&w, 20000);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    for (uint32_t slot = 0; slot < 4; slot++)
        assert_null(world_launcher(&w, "a", slot));
    world_release(&w);
}

/* "Event: PodEvicted; Action: RestartJob", "Event: Any; Action: RestartJob". Differs: a pod that is
 * deleted or evicted is nobody's failure, so no policy can make it one, and TerminateJob has no
 * counterpart. */
static void test_a_pod_that_is_deleted_or_evicted_costs_no_retry(void **state)
{
    (void)state;
    for (unsigned evicted = 0; evicted < 2; evicted++) {
        struct world w;
        world_init(&w, 3, 2);
        world_submit(&w, "a", 4, "{\"spec\":{\"backoffLimit\":0}}");
        if (evicted)
            world_pod_stopped(&w, world_launcher(&w, "a", 1), "Evicted");
        else
            world_delete(&w, "pods/team/a-worker-1");
        world_advance(&w, 20000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_int_equal(world_number(&w, "a", "attempt"), 2);
        assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
        assert_int_equal(w.pods_created, 5);
        world_release(&w);
    }
}

/* "Restart job when job is unschedulable" (and Abort): all nodes tainted, one pod killed, untainted
 */
static void test_a_member_without_a_node_makes_the_gang_wait_as_a_whole(void **state)
{
    static const char tainted[] =
        "{\"spec\":{\"taints\":[{\"key\":\"closed\",\"effect\":\"NoSchedule\"}]}}";
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_submit(&w, "a", 2, NULL);
    world_patch(&w, "nodes//node001", tainted);
    world_patch(&w, "nodes//node002", tainted);
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "a"), "Running"); /* what runs, runs on */
    world_delete(&w, "pods/team/a-worker-0");
    world_advance(&w, 20000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    world_patch(&w, "nodes//node001", "{\"spec\":{\"taints\":null}}");
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Queued"); /* no part of it comes back */
    world_patch(&w, "nodes//node002", "{\"spec\":{\"taints\":null}}");
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

/* "Event: TaskCompleted; Action: CompletedJob" */
static void test_one_that_completes_may_complete_the_job(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 4, "{\"spec\":{\"successPolicy\":\"Rank0\"}}");
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 0, 0, 5000);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_release(&w);
}

/* "error code: 3; Action: RestartJob", "Event: TaskFailed; Action: TerminateJob" by code */
static void test_an_exit_code_chooses_between_restart_and_end(void **state)
{
    static const struct {
        int code;
        const char *phase;
    } rows[] = {{3, "Running"}, {4, "Failed"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        world_init(&w, 1, 2);
        world_submit(
            &w, "a", 2,
            "{\"spec\":{\"failurePolicy\":{\"rules\":["
            "{\"action\":\"Restart\",\"onExitCodes\":{\"operator\":\"In\",\"values\":[3]}},"
            "{\"action\":\"FailJob\",\"onExitCodes\":{\"operator\":\"NotIn\","
            "\"values\":[3]}}]}}}");
        world_rank_exits(&w, world_launcher(&w, "a", 1), 0, rows[i].code, 0, 10000);
        world_advance(&w, 500);
        assert_string_equal(world_phase(&w, "a"), rows[i].phase);
        world_release(&w);
    }
}

/* jobp "Delete job that is pending state", "... Running state": nothing is left, and the place is
 * free */
static void test_a_deleted_job_leaves_nothing_and_its_place_is_free(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_submit(&w, "b", 2, NULL);
    world_submit(&w, "c", 2, NULL);
    assert_string_equal(world_phase(&w, "b"), "Queued");
    world_delete(&w, "trainingjobs/team/b");
    world_delete(&w, "trainingjobs/team/a");
    world_advance(&w, 60000);
    assert_int_equal(world_count(&w, "trainingjobs"), 1);
    assert_int_equal(world_count(&w, "pods"), 2);
    assert_string_equal(world_phase(&w, "c"), "Running");
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod_that_fails_restarts_the_job),
        cmocka_unit_test(test_a_pod_that_fails_ends_a_job_that_has_no_retries),
        cmocka_unit_test(test_a_pod_that_is_deleted_or_evicted_costs_no_retry),
        cmocka_unit_test(test_a_member_without_a_node_makes_the_gang_wait_as_a_whole),
        cmocka_unit_test(test_one_that_completes_may_complete_the_job),
        cmocka_unit_test(test_an_exit_code_chooses_between_restart_and_end),
        cmocka_unit_test(test_a_deleted_job_leaves_nothing_and_its_place_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
