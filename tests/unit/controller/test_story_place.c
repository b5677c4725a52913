/* A place is one gang's at a time, whatever a former controller has left behind: in statuses, in
 * pods that nobody can end, in requests on their way. */
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "world_internal.h"

/* The write that gave the place back was never stored, and the place was given away meanwhile. */
static void test_of_two_gangs_that_were_promised_one_node_one_makes_room(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_submit(&w, "a", 1, NULL);
    world_submit(&w, "b", 1, NULL);
    world_advance(&w, 2000);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node001");
    assert_string_equal(world_status(&w, "b", "placement.workers"), "node002");
    world_patch(&w, "trainingjobs/team/b",
                "{\"status\":{\"phase\":\"Restarting\",\"placement\":{\"workers\":\"node001\"}}}");
    world_delete(&w, "pods/team/b-worker-0");
    world_replace_controller(&w);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_string_equal(world_phase(&w, "b"), "Running");
    assert_string_equal(world_status(&w, "b", "placement.workers"), "node002");
    world_release(&w);
}

static void test_before_the_first_start_such_a_gang_is_undone(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_submit(&w, "a", 1, NULL);
    w.no_kubelet = true;
    world_submit(&w, "b", 1, NULL);
    assert_string_equal(world_phase(&w, "b"), "Admitted");
    world_patch(&w, "trainingjobs/team/b",
                "{\"status\":{\"placement\":{\"workers\":\"node001\"}}}");
    world_delete(&w, "pods/team/b-worker-0");
    w.no_kubelet = false;
    world_replace_controller(&w);
    world_advance(&w, 60000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_true(world_has_event(&w, "Requeued"));
    assert_string_equal(world_phase(&w, "b"), "Running");
    assert_string_equal(world_status(&w, "b", "placement.workers"), "node002");
    world_release(&w);
}

/* Its node does not say that it has ended: it has its place there until it does, and the gang that
 * counts on that place begins again. */
static void test_a_pod_that_is_stranded_on_the_members_node_is_not_joined_by_another(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_kubelets_die(&w, "node001");
    world_submit(&w, "a", 1, NULL);
    assert_string_equal(world_phase(&w, "a"), "Admitted");
    world_patch(&w, "pods/team/a-worker-0",
                "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}");
    world_node_ready(&w, "node001", false);
    world_replace_controller(&w);
    world_run(&w);
    assert_int_equal(w.pods_created, 1);
    world_node_ready(&w, "node001", true);
    world_run(&w);
    assert_true(world_has_event(&w, "Requeued")); /* instead of a second pod at once */
    world_release(&w);
}

/* That no slot gets two pods, the world looks at by itself. */
static void test_a_gang_that_begins_anew_waits_for_the_creations_of_the_one_before_it(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 2000);
    world_delete(&w, "pods/team/a-worker-0");
    w.unavailable = 3; /* the creation of the next pod is on its way for a while */
    world_run(&w);
    world_patch(&w, "trainingjobs/team/a", "{\"status\":{\"phase\":\"Restarting\",\"attempt\":7}}");
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.pods_created, 2);
    world_release(&w);
}

/* Neither the queue nor a new place is a way round the wait of a crash loop. */
static void test_a_gang_that_is_undone_while_it_backs_off_still_waits(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, "{\"spec\":{\"backoffLimit\":20}}");
    for (int i = 0; i < 7; i++) {
        world_advance(&w, 40000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 100);
    }
    world_advance(&w, 2000);
    int64_t attempt = world_number(&w, "a", "attempt");
    assert_string_equal(world_phase(&w, "a"), "Restarting"); /* for 16 to 32 s */
    world_pod_stopped(&w, world_launcher(&w, "a", 0), "Evicted");
    world_advance(&w, 10000);
    assert_true(world_has_event(&w, "Requeued"));
    assert_string_equal(world_phase(&w, "a"), "Admitted");
    assert_int_equal(world_number(&w, "a", "attempt"), attempt);
    world_advance(&w, 25000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

/* The pod that failed is kept for its logs, the one after it was deleted while nobody led. */
static void test_a_pod_that_was_blamed_for_an_earlier_attempt_is_not_blamed_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_pod_ends(&w, world_launcher(&w, "a", 0), 137);
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    assert_string_equal(world_status(&w, "a", "failures[0].pod"), "a-worker-0");
    assert_non_null(world_object(&w, "pods/team/a-worker-0"));
    world_delete(&w, "pods/team/a-worker-0-r2");
    world_replace_controller(&w);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    assert_string_equal(world_status(&w, "a", "failures[1].cause"), "Infrastructure");
    world_release(&w);
}

/* The watch of pods is behind: the attempt's pod is not in the list that a new leader has. */
static void test_a_pod_that_only_the_list_lacks_is_not_created_a_second_time(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 1, NULL);
    w.hidden = "pods/team/a-worker-0";
    world_replace_controller(&w);
    world_run(&w);
    assert_int_equal(w.pods_created, 1);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    w.hidden = NULL;
    world_delete(&w, "pods/team/a-worker-0");
    world_replace_controller(&w);
    world_advance(&w, 60000);
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(w.pods_created, 2);
    world_release(&w);
}

/* The status was to move it; who wanted that has gone before it deleted the pod. */
static void test_the_place_of_a_pod_is_where_it_is(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 2000);
    world_patch(&w, "trainingjobs/team/a",
                "{\"status\":{\"placement\":{\"workers\":\"node002\"}}}");
    world_replace_controller(&w);
    world_advance(&w, 12000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node001");
    world_submit(&w, "b", 1, NULL);
    assert_string_equal(world_status(&w, "b", "placement.workers"), "node002");
    world_release(&w);
}

/* The same while the attempt is already over: its pod is being ended, and the list lacks it. */
static void test_a_pod_that_the_list_lacks_is_waited_for_between_attempts_too(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_kubelets_die(&w, "node001");
    world_patch(&w, "trainingjobs/team/a", "{\"status\":{\"phase\":\"Restarting\"}}");
    world_patch(&w, "pods/team/a-worker-0",
                "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}");
    w.hidden = "pods/team/a-worker-0";
    world_replace_controller(&w);
    world_advance(&w, 3000);
    assert_int_equal(w.pods_created, 1);
    world_release(&w);
}

/* The attempt was started in a-worker-0-r3, which is gone; an older one has come late and runs. */
static void test_a_pod_of_before_has_to_go_before_another_is_created(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    w.no_kubelet = true;
    world_submit(&w, "a", 1, NULL);
    world_patch(&w, "trainingjobs/team/a",
                "{\"status\":{\"phase\":\"Restarting\",\"attempt\":2,"
                "\"placement\":{\"podCreations\":\"3\"}}}");
    world_kubelets_die(&w, "node001"); /* its deletion takes a while */
    world_replace_controller(&w);
    world_advance(&w, 3000);
    assert_int_equal(w.pods_created, 1);
    assert_non_null(
        json_find(world_object(&w, "pods/team/a-worker-0"), "metadata.deletionTimestamp"));
    world_release(&w);
}

/* A pod of so many GPUs on node001 that wears the labels of a's only member. */
static void put_lookalike(struct world *w, const char *name, const char *gpus)
{
    cJSON *pod = json_copy(world_object(w, "pods/team/a-worker-0"));
    cleanup_free char *key = mlt_asprintf("pods/team/%s", name);
    json_set_string(pod, "metadata.name", name);
    json_set_string(pod, "spec.containers[0].resources.limits[nvidia.com/gpu]", gpus);
    cJSON_DeleteItemFromObject(cJSON_GetObjectItem(pod, "metadata"), "ownerReferences");
    (void)world_put_new(w, key, pod);
    world_run(w);
}

static void test_a_strangers_pod_in_a_members_labels_counts_as_a_strangers(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 3);
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 2000);
    put_lookalike(&w, "mimic", "2");
    world_delete(&w, "pods/team/a-worker-0"); /* so that the member's pod is the younger one */
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_submit(&w, "b", 1, NULL);
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "b"), "Queued");
    world_delete(&w, "pods/team/mimic");
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_release(&w);
}

static void test_a_stranger_in_a_members_name_and_labels_does_not_stop_it(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 3);
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 2000);
    put_lookalike(&w, "a-worker-0-r2", "1");
    w.drop_after = 1000; /* of effects: it is not tried without end */
    world_delete(&w, "pods/team/a-worker-0");
    world_advance(&w, 5000);
    assert_false(w.dropped);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_non_null(world_object(&w, "pods/team/a-worker-0-r3"));
    world_release(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_strangers_pod_in_a_members_labels_counts_as_a_strangers),
        cmocka_unit_test(test_a_stranger_in_a_members_name_and_labels_does_not_stop_it),
        cmocka_unit_test(test_of_two_gangs_that_were_promised_one_node_one_makes_room),
        cmocka_unit_test(test_before_the_first_start_such_a_gang_is_undone),
        cmocka_unit_test(test_a_pod_of_before_has_to_go_before_another_is_created),
        cmocka_unit_test(test_a_pod_that_the_list_lacks_is_waited_for_between_attempts_too),
        cmocka_unit_test(test_the_place_of_a_pod_is_where_it_is),
        cmocka_unit_test(test_a_pod_that_only_the_list_lacks_is_not_created_a_second_time),
        cmocka_unit_test(test_a_pod_that_was_blamed_for_an_earlier_attempt_is_not_blamed_again),
        cmocka_unit_test(test_a_gang_that_is_undone_while_it_backs_off_still_waits),
        cmocka_unit_test(test_a_pod_that_is_stranded_on_the_members_node_is_not_joined_by_another),
        cmocka_unit_test(test_a_gang_that_begins_anew_waits_for_the_creations_of_the_one_before_it),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
