/* Order and all or nothing: who gets a place, who waits for whom. */
#include "tests/unit/gang/small.h"

static void test_a_gang_of_8_waits_when_7_gpus_are_free(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 4));
    small_feed(g, small_node(1, 4));
    small_submit(g, 1, small_request(1, 1, 0, 1));
    small_placed(g, 1, 1, 0);
    small_submit(g, 2, small_request(8, 1, 0, 2));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "wait 2 at 1");
    assert_string_equal(small_next(g), "");
    small_remove(g, 1);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 2: 0 0 0 0 1 1 1 1");
    assert_string_equal(small_next(g), "");
    gang_free(g);
}

static void test_two_jobs_that_need_most_of_the_cluster_run_one_after_the_other(void **state)
{
    (void)state;
    struct gang *g = small_new();
    for (uint32_t n = 0; n < 4; n++)
        small_feed(g, small_node(n, 8));
    small_submit(g, 1, small_request(3, 8, 0, 1));
    small_submit(g, 2, small_request(3, 8, 0, 2));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 1: 0 1 2");
    assert_string_equal(small_next(g), "wait 2 at 1");
    assert_string_equal(small_reason(), "needs 3 pods x 8 nvidia.com/gpu; 8 of 32 free, at most 1 "
                                        "such pod fits now; 24 held by 1 job (job 1: 24)");
    small_placed(g, 1, 3, 0, 1, 2);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "wait 2 at 1");
    small_remove(g, 1);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 2: 0 1 2");
    gang_free(g);
}

static void test_a_host_that_only_acts_is_spared_those_that_wait(void **state)
{
    (void)state;
    struct gang *g = small_new();
    struct gang_decision d;
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(1, 8, 0, 1));
    small_submit(g, 2, small_request(1, 8, 0, 2));
    small_plan(g, 0);
    assert_true(gang_action_next(g, &d));
    assert_int_equal(d.kind, GANG_PLACE);
    assert_int_equal(d.job, 1);
    assert_false(gang_action_next(g, &d));
    assert_false(gang_action_next(g, &d));
    assert_string_equal(small_next(g), "wait 2 at 1"); /* who asks later is told still */
    assert_string_equal(small_next(g), "");
    gang_free(g);
}

static void test_a_small_job_does_not_pass_a_blocked_big_one(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(1, 4, 0, 1));
    small_placed(g, 1, 1, 0);
    small_submit(g, 2, small_request(1, 8, 0, 2));
    small_submit(g, 3, small_request(1, 1, 0, 3));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "wait 2 at 1");
    assert_string_equal(small_next(g), "wait 3 at 2");
    assert_string_equal(small_reason(),
                        "waits behind job 2 (first in order), which needs 1 pod x 8 nvidia.com/gpu;"
                        " 4 of 8 free, no such pod fits now; 4 held by 1 job (job 1: 4)");
    gang_free(g);
}

static void test_a_job_passes_on_nodes_that_the_blocked_one_could_never_use(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_feed(g, small_node(1, 4)); /* too small for a pod of job 2 */
    small_submit(g, 1, small_request(1, 8, 0, 1));
    small_placed(g, 1, 1, 0);
    small_submit(g, 2, small_request(1, 8, 0, 2));
    small_submit(g, 3, small_request(2, 2, 0, 3));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 3: 1 1");
    assert_string_equal(small_next(g), "wait 2 at 1");
    gang_free(g);
}

static void test_a_job_that_never_fits_blocks_nobody(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(1, 64, 9, 1));
    small_submit(g, 2, small_request(1, 8, 0, 2));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 2: 0");
    assert_string_equal(small_next(g), "never 1");
    assert_string_equal(small_reason(),
                        "needs 64 nvidia.com/gpu on one node; the largest node has 8");
    gang_free(g);
}

static void test_a_job_that_waits_for_pods_of_others_blocks_nobody(void **state)
{
    (void)state;
    struct gang *g = small_new();
    struct gang_event node = small_node(0, 8);
    node.used_by_others[GANG_DEVICE_0] = 2;
    small_feed(g, node);
    small_submit(g, 1, small_request(1, 8, 0, 1));
    small_submit(g, 2, small_request(1, 6, 0, 2));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 2: 0");
    assert_string_equal(small_next(g), "wait 1 at 1");
    assert_string_equal(small_reason(), "needs 1 pod x 8 nvidia.com/gpu; 0 of 8 free, no such pod "
                                        "fits now; 6 held by 1 job (job 2: 6); 2 used by other "
                                        "pods"); /* as if the plan were committed */
    gang_free(g);
}

static void test_a_node_that_is_not_schedulable_makes_a_job_wait_not_never(void **state)
{
    (void)state;
    struct gang *g = small_new();
    struct gang_event node = small_node(0, 8);
    node.schedulable = false;
    small_feed(g, node);
    small_submit(g, 1, small_request(1, 8, 0, 1));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "wait 1 at 1");
    assert_string_equal(small_reason(), "needs 1 pod x 8 nvidia.com/gpu; no node can be used now "
                                        "(of 1: 1 not schedulable, 0 avoided after trouble)");
    node.schedulable = true;
    small_feed(g, node);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 1: 0");
    gang_free(g);
}

static void test_order_is_priority_then_sequence_then_id(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_submit(g, 5, small_request(1, 1, 0, 10));
    small_submit(g, 4, small_request(1, 1, 0, 10));
    small_submit(g, 3, small_request(1, 1, 0, 9));
    small_submit(g, 6, small_request(1, 1, 7, 99));
    small_submit(g, 2, small_request(1, 1, -1, 1));
    small_feed(g, small_node(0, 8));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 6: 0");
    assert_string_equal(small_next(g), "place 3: 0");
    assert_string_equal(small_next(g), "place 4: 0");
    assert_string_equal(small_next(g), "place 5: 0");
    assert_string_equal(small_next(g), "place 2: 0");
    gang_free(g);
}

static void test_a_position_counts_within_the_queue(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(1, 8, 0, 1));
    small_placed(g, 1, 1, 0);
    for (uint64_t job = 2; job < 6; job++) {
        struct gang_job_request request = small_request(1, 8, 0, (int64_t)job);
        request.queue = job % 2;
        small_submit(g, job, request);
    }
    small_plan(g, 0);
    assert_string_equal(small_next(g), "wait 2 at 1");
    assert_string_equal(small_next(g), "wait 3 at 1");
    assert_string_equal(small_next(g), "wait 4 at 2");
    assert_string_equal(small_next(g), "wait 5 at 2");
    gang_free(g);
}

static void test_a_lost_member_is_replaced_before_waiting_jobs(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_feed(g, small_node(1, 8));
    small_feed(g, small_node(2, 8));
    small_submit(g, 1, small_request(2, 8, 0, 5));
    small_placed(g, 1, 2, 0, 1);
    small_submit(g, 2, small_request(1, 8, 100, 1));
    small_feed(g, (struct gang_event){.kind = GANG_NODE_REMOVED, .node = 1});
    small_feed(g, (struct gang_event){.kind = GANG_POD_GONE, .job = 1, .pod = 1});
    small_plan(g, 0);
    assert_string_equal(small_next(g), "replace 1.1: 2");
    assert_string_equal(small_next(g), "wait 2 at 1");
    small_feed(g, (struct gang_event){.kind = GANG_POD_MOVED, .job = 1, .pod = 1, .node = 2});
    assert_int_equal(small_free_gpus(g, 2), 0);
    gang_free(g);
}

static void test_a_member_without_a_place_waits_and_keeps_its_nodes(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_feed(g, small_node(1, 8));
    small_submit(g, 1, small_request(1, 8, 0, 1));
    small_placed(g, 1, 1, 0);
    small_submit(g, 2, small_request(1, 4, 0, 2));
    small_placed(g, 2, 1, 1);
    small_feed(g, (struct gang_event){.kind = GANG_POD_GONE, .job = 1, .pod = 0});
    struct gang_event node = small_node(0, 8);
    node.schedulable = false;
    small_feed(g, node);
    small_submit(g, 3, small_request(1, 4, 0, 3));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "wait 1.0");
    assert_string_equal(small_reason(), "a new place for pod 0: needs 1 pod x 8 nvidia.com/gpu; 4 "
                                        "of 8 free, no such pod fits now; 4 held by 1 job "
                                        "(job 2: 4); 1 of its 2 nodes is not schedulable now");
    assert_string_equal(small_next(g), "wait 3 at 1");
    gang_free(g);
}

static void test_a_member_that_could_stand_nowhere_holds_nobody_up(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_feed(g, small_node(1, 8));
    small_submit(g, 1, small_request(2, 6, 0, 1));
    small_placed(g, 1, 2, 0, 1);
    small_feed(g, (struct gang_event){.kind = GANG_NODE_REMOVED, .node = 1});
    small_feed(g, (struct gang_event){.kind = GANG_POD_GONE, .job = 1, .pod = 1});
    small_submit(g, 2, small_request(1, 2, 0, 2));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 2: 0");
    assert_string_equal(small_next(g), "wait 1.1");
    gang_free(g);
}

static void test_an_avoided_node_is_left_out_until_its_time(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(1, 8, 0, 1));
    small_feed(g,
               (struct gang_event){.kind = GANG_JOB_AVOID, .job = 1, .node = 0, .until_ms = 500});
    assert_int_equal(gang_next_wake_ms(g, 0), 500);
    small_plan(g, 499);
    assert_string_equal(small_next(g), "wait 1 at 1");
    assert_string_equal(small_reason(), "needs 1 pod x 8 nvidia.com/gpu; no node can be used now "
                                        "(of 1: 0 not schedulable, 1 avoided "
                                        "after trouble for 1 s more)");
    small_plan(g, 500);
    assert_string_equal(small_next(g), "place 1: 0");
    assert_true(gang_next_wake_ms(g, 500) == INT64_MAX);
    gang_free(g);
}

static void test_roles_with_fewer_nodes_look_first(void **state)
{
    (void)state;
    struct gang *g = small_new();
    struct gang_event special = small_node(0, 8);
    special.node_class = 1;
    small_feed(g, special);
    small_feed(g, small_node(1, 8));
    static const uint64_t both = 3, only_1 = 2;
    struct gang_job_request request = small_request(1, 8, 0, 1);
    request.roles_count = 2;
    request.roles[1] = request.roles[0];
    request.roles[0].node_classes = &both;
    request.roles[1].node_classes = &only_1;
    small_submit(g, 1, request);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 1: 1 0");
    gang_free(g);
}

static void test_a_plan_is_forgotten_by_the_next_event(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(1, 8, 0, 1));
    small_plan(g, 0);
    small_feed(g, small_node(1, 8));
    assert_string_equal(small_next(g), "");
    gang_free(g);
}

static void test_could_fit_looks_at_the_empty_cluster(void **state)
{
    (void)state;
    struct gang *g = small_new();
    struct mlt_error err = {0};
    struct gang_job_request request = small_request(2, 8, 0, 1);
    assert_int_equal(gang_could_fit(g, &request, NULL, &err), -ENOSPC);
    assert_string_equal(err.text, "no node is known yet");
    small_feed(g, small_node(0, 8));
    assert_int_equal(gang_could_fit(g, &request, NULL, &err), -ENOSPC);
    assert_string_equal(err.text, "needs 2 pods x 8 nvidia.com/gpu; the empty cluster holds at "
                                  "most 1 such pod, it has 8");
    struct gang_event node = small_node(1, 8);
    node.used_by_others[GANG_DEVICE_0] = 8;
    node.schedulable = false;
    small_feed(g, node);
    assert_int_equal(gang_could_fit(g, &request, NULL, &err), 0);
    gang_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gang_of_8_waits_when_7_gpus_are_free),
        cmocka_unit_test(test_two_jobs_that_need_most_of_the_cluster_run_one_after_the_other),
        cmocka_unit_test(test_a_host_that_only_acts_is_spared_those_that_wait),
        cmocka_unit_test(test_a_small_job_does_not_pass_a_blocked_big_one),
        cmocka_unit_test(test_a_job_passes_on_nodes_that_the_blocked_one_could_never_use),
        cmocka_unit_test(test_a_job_that_never_fits_blocks_nobody),
        cmocka_unit_test(test_a_job_that_waits_for_pods_of_others_blocks_nobody),
        cmocka_unit_test(test_a_node_that_is_not_schedulable_makes_a_job_wait_not_never),
        cmocka_unit_test(test_order_is_priority_then_sequence_then_id),
        cmocka_unit_test(test_a_position_counts_within_the_queue),
        cmocka_unit_test(test_a_lost_member_is_replaced_before_waiting_jobs),
        cmocka_unit_test(test_a_member_without_a_place_waits_and_keeps_its_nodes),
        cmocka_unit_test(test_a_member_that_could_stand_nowhere_holds_nobody_up),
        cmocka_unit_test(test_an_avoided_node_is_left_out_until_its_time),
        cmocka_unit_test(test_roles_with_fewer_nodes_look_first),
        cmocka_unit_test(test_a_plan_is_forgotten_by_the_next_event),
        cmocka_unit_test(test_could_fit_looks_at_the_empty_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
