/* Two controllers, one leader; and what others may do to a job behind the leader's back. */
#include <stdio.h>
#include <string.h>
#include "lib/base/cleanup.h"
#include "world.h"
#include "world_internal.h"

#define LEASE "leases/mltrain-system/mltrain-controller"

/* The controller of the world stands by while another one leads. */
static void stand_by(struct world *w)
{
    world_stop_controller(w);
    world_patch(w, LEASE,
                "{\"spec\":{\"holderIdentity\":\"other\",\"leaseDurationSeconds\":15,"
                "\"renewTime\":\"2025-11-27T20:00:00.000000Z\",\"leaseTransitions\":5}}");
    world_replace_controller(w);
    world_run(w);
}

static void test_who_takes_over_goes_on_from_what_the_former_leader_stored(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    stand_by(&w);
    world_submit(&w, "a", 1, NULL);
    assert_string_equal(world_phase(&w, "a"), "");
    world_patch(&w, "trainingjobs/team/a", "{\"status\":{\"phase\":\"Starting\",\"attempt\":1}}");
    world_run(&w);
    world_patch(&w, "trainingjobs/team/a",
                "{\"status\":{\"phase\":\"Succeeded\",\"conditions\":[{\"type\":\"Complete\","
                "\"status\":\"True\",\"reason\":\"Completed\"}]}}");
    world_run(&w);
    world_advance(&w, 40000);
    assert_string_equal(json_string(world_object(&w, LEASE), "spec.holderIdentity", ""), "tester");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    assert_int_equal(w.pods_created, 0);
    world_release(&w);
}

static void test_a_launcher_that_meets_a_standby_is_sent_on(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    stand_by(&w);
    assert_int_equal(l->channel, 0);
    assert_true(l->refused); /* it tries again, elsewhere */
    assert_int_equal(l->state, LAUNCHER_RUNNING);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_release(&w);
}

static void test_a_list_from_the_time_of_the_former_leader_ends_nobody(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    w.slow_list = "trainingjobs";
    w.hidden = "trainingjobs/team/a"; /* it came, and was started, after the list was made */
    stand_by(&w);
    w.hidden = NULL;
    world_patch(&w, "trainingjobs/team/a", "{\"status\":{\"progress\":{\"step\":7}}}");
    world_advance(&w, 40000);
    assert_string_equal(json_string(world_object(&w, LEASE), "spec.holderIdentity", ""), "tester");
    world_list_arrives(&w);
    world_advance(&w, 5000);
    assert_false(l->told_gone);
    assert_int_equal(l->state, LAUNCHER_RUNNING);
    assert_int_not_equal(l->channel, 0);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_release(&w);
}

static void test_an_end_that_somebody_else_wrote_is_not_undone(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 2000);
    world_patch(&w, "trainingjobs/team/a",
                "{\"status\":{\"phase\":\"Failed\",\"conditions\":[{\"type\":\"Failed\","
                "\"status\":\"True\",\"reason\":\"Cancelled\"}]}}");
    world_run(&w);
    world_advance(&w, 30000);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_null(world_launcher(&w, "a", 0));
    world_release(&w);
}

static void test_a_timer_that_fires_too_early_is_set_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, "{\"spec\":{\"ttlSecondsAfterFinished\":2}}");
    world_job_ends_well(&w, "a");
    world_advance(&w, 500);
    for (int i = 0; i < 3; i++) {
        w.timer_ms = INT64_MAX;
        (void)world_push(&w, CONTROLLER_TIMER, 0);
        world_run(&w);
        assert_true(w.timer_ms != INT64_MAX);
    }
    world_release(&w);
}

static void put_pod(struct world *w, const char *key, const char *namespace_, const char *name,
                    const char *uid, bool owned)
{
    cJSON *pod = cJSON_CreateObject();
    json_set_string(pod, "metadata.name", name);
    json_set_string(pod, "metadata.namespace", namespace_);
    json_set_string(pod, "metadata.labels[mltrain.io/job-uid]", uid);
    json_set_string(pod, "metadata.labels[mltrain.io/job-name]", "a");
    json_set_string(pod, "metadata.labels[mltrain.io/role]", "worker");
    json_set_string(pod, "metadata.labels[mltrain.io/index]", "0");
    json_set_string(pod, "spec.nodeName", "node001");
    json_set_string(pod, "status.phase", "Running");
    if (owned) {
        cJSON *owner = cJSON_CreateObject();
        json_set_string(owner, "uid", uid);
        json_set_bool(owner, "controller", true);
        json_append(json_set_array(pod, "metadata.ownerReferences"), owner);
    }
    (void)world_put_new(w, key, pod);
    world_run(w);
}

static void test_pods_that_only_look_like_a_jobs_own_hold_no_slot_and_are_left_alone(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 1, NULL);
    const char *uid = json_string(world_job_object(&w, "a"), "metadata.uid", "");
    put_pod(&w, "pods/team/a-worker-0-r9", "team", "a-worker-0-r9", uid, false);
    put_pod(&w, "pods/other/a-worker-0-r8", "other", "a-worker-0-r8", uid, true);
    put_pod(&w, "pods/team/a-worker-0-r7", "team", "a-worker-0-r7", uid, true); /* without a key */
    world_advance(&w, 5000);
    assert_int_equal(w.pods_deleted, 0);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_channel_breaks(&w, world_launcher(&w, "a", 0));
    world_launcher_connects(&w, world_launcher(&w, "a", 0));
    world_run(&w);
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    assert_int_equal(w.pods_deleted, 0);
    world_release(&w);
}

static void
test_a_job_that_is_deleted_in_the_foreground_does_not_keep_the_controller_busy(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    l->hold_stop = true;
    world_patch(&w, "trainingjobs/team/a",
                "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}");
    world_run(&w); /* comes to rest */
    assert_true(l->stopping);
    world_advance(&w, 5000);
    world_stopped(&w, l);
    world_run(&w);
    assert_null(world_launcher(&w, "a", 0));
    world_release(&w);
}

static void test_a_status_that_the_api_server_refuses_is_not_tried_without_a_pause(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 11000);
    unsigned writes = w.status_writes;
    w.refuse_status = "no";
    world_progress(&w, world_launcher(&w, "a", 0), 5, 10);
    world_checkpoint(&w, world_launcher(&w, "a", 0), 3, -1);
    world_advance(&w, 4000);
    assert_true(w.status_writes - writes <= 2);
    w.refuse_status = NULL;
    world_advance(&w, 20000);
    assert_int_equal(world_number(&w, "a", "progress.step"), 5);
    world_release(&w);
}

static void test_a_status_with_numbers_out_of_range_ends_nobody(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_patch(&w, "trainingjobs/team/a",
                "{\"status\":{\"attempt\":9000000000000,\"restartsCharged\":-5,"
                "\"recovery\":{\"inPlaceFailures\":-9000000000000}}}");
    world_run(&w);
    world_advance(&w, 60000);
    world_replace_controller(&w);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

/* The lease goes back in the same step in which a write would have been tried again. */
static void test_who_gives_the_lease_back_writes_nothing_more(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_run(&w);
    w.unavailable = 1000;
    world_submit(&w, "a", 1, NULL);
    world_run(&w);
    assert_true(w.unavailable < 1000); /* a write waits for its second try */
    w.unavailable = 0;
    w.now_ms += 60000;
    world_stop_controller(&w);
    assert_int_equal(w.status_writes, 0);
    assert_string_equal(world_phase(&w, "a"), "");
    world_release(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_gives_the_lease_back_writes_nothing_more),
        cmocka_unit_test(test_who_takes_over_goes_on_from_what_the_former_leader_stored),
        cmocka_unit_test(test_a_launcher_that_meets_a_standby_is_sent_on),
        cmocka_unit_test(test_a_list_from_the_time_of_the_former_leader_ends_nobody),
        cmocka_unit_test(test_an_end_that_somebody_else_wrote_is_not_undone),
        cmocka_unit_test(test_a_timer_that_fires_too_early_is_set_again),
        cmocka_unit_test(test_pods_that_only_look_like_a_jobs_own_hold_no_slot_and_are_left_alone),
        cmocka_unit_test(
            test_a_job_that_is_deleted_in_the_foreground_does_not_keep_the_controller_busy),
        cmocka_unit_test(test_a_status_that_the_api_server_refuses_is_not_tried_without_a_pause),
        cmocka_unit_test(test_a_status_with_numbers_out_of_range_ends_nobody),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
