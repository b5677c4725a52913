/* Lives of jobs that somebody stops. */
#include <stdio.h>
#include <string.h>
#include "world.h"

static void test_a_suspended_job_saves_gives_its_place_back_and_resumes_from_its_step(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_checkpoint(&w, world_launcher(&w, "a", 0), 40, -1);
    world_launcher(&w, "a", 0)->hold_stop = true;
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "recovery.pendingStop.reason"), "Suspended");
    world_checkpoint(&w, world_launcher(&w, "a", 0), 45, -1);
    world_advance(&w, 5000);
    world_stopped(&w, world_launcher(&w, "a", 0));
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    assert_string_equal(world_condition(&w, "a", "Suspended"), "True");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "");
    assert_string_equal(world_status(&w, "a", "placement.podCreations"), "1*2");
    assert_string_equal(world_condition(&w, "a", "Running"), "False");
    assert_string_equal(world_condition(&w, "a", "Admitted"), "False");
    assert_string_equal(world_condition(&w, "a", "Restarting"), "");
    assert_int_equal(world_number(&w, "a", "failures[0].attempt"), 0);
    assert_null(world_launcher(&w, "a", 0));
    world_submit(&w, "b", 2, NULL);
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    world_job_ends_well(&w, "b");
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(world_launcher(&w, "a", 1)->resume_step, 45);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_release(&w);
}

static void test_a_suspended_job_keeps_its_pods_for_their_logs(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 20000);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    assert_int_equal(w.pods_deleted, 0);
    assert_string_equal(json_string(world_object(&w, "pods/team/a-worker-1"), "status.phase", ""),
                        "Failed");
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_non_null(world_object(&w, "pods/team/a-worker-1"));
    assert_non_null(world_object(&w, "pods/team/a-worker-1-r2"));
    world_release(&w);
}

static void test_a_suspended_jobs_pod_that_does_not_end_is_deleted(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_launcher(&w, "a", 1)->ignores_exit = true;
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 9000);
    assert_int_equal(w.pods_deleted, 0);
    world_advance(&w, 2000);
    assert_int_equal(w.pods_deleted, 1);
    assert_null(world_object(&w, "pods/team/a-worker-1"));
    world_release(&w);
}

static void test_a_suspension_goes_on_under_the_next_controller(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    for (uint32_t slot = 0; slot < 2; slot++)
        world_launcher(&w, "a", slot)->ignores_exit = true;
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    for (uint32_t slot = 0; slot < 2; slot++)
        world_launcher(&w, "a", slot)->ignores_exit = false;
    w.channel_address = "127.0.0.1:1"; /* they need a while to come back */
    world_replace_controller(&w);
    world_advance(&w, 4000);
    w.channel_address = NULL;
    for (uint32_t slot = 0; slot < 2; slot++)
        world_launcher_connects(&w, world_launcher(&w, "a", slot));
    world_advance(&w, 2000);
    assert_null(world_launcher(&w, "a", 0));
    assert_int_equal(w.pods_deleted, 0);
    assert_int_equal(world_number(&w, "a", "replicas"), 0);
    world_release(&w);
}

/* Suspended and cancelled jobs: the ranks saved and ended with 0 while no controller listened. */
static void obeys_without_a_controller(const char *patch, const char *phase)
{
    struct world w;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    for (uint32_t slot = 0; slot < 2; slot++)
        world_launcher(&w, "a", slot)->hold_stop = true;
    world_patch(&w, "trainingjobs/team/a", patch);
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Running");
    for (uint32_t slot = 0; slot < 2; slot++) {
        struct world_launcher *l = world_launcher(&w, "a", slot);
        l->deaf = true;
        world_rank_exits(&w, l, 0, 0, 0, 5000);
        world_stopped(&w, l);
        l->deaf = false;
    }
    world_replace_controller(&w);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), phase);
    world_release(&w);
}

static void
test_ranks_that_obeyed_a_stop_are_not_taken_for_done_by_the_next_controller(void **state)
{
    (void)state;
    obeys_without_a_controller("{\"spec\":{\"suspend\":true}}", "Suspended");
    obeys_without_a_controller(
        "{\"metadata\":{\"annotations\":{\"mltrain.io/cancel\":\"graceful\"}}}", "Failed");
}

static void test_pods_kept_for_their_logs_are_bounded(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, "{\"spec\":{\"backoffLimit\":50}}");
    for (int i = 0; i < 8; i++) {
        world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
        world_advance(&w, 5000);
        world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
        world_advance(&w, 1000);
        assert_string_equal(world_phase(&w, "a"), "Running");
    }
    assert_int_equal(world_count(&w, "pods"), 2 * (5 + 1));
    assert_null(world_object(&w, "pods/team/a-worker-1-r3"));
    assert_non_null(world_object(&w, "pods/team/a-worker-1-r4"));
    assert_non_null(world_object(&w, "pods/team/a-worker-1-r9"));
    for (int i = 0; i < 8; i++) {
        world_pod_ends(&w, world_launcher(&w, "a", 1), 137);
        world_advance(&w, 120000);
    }
    world_replace_controller(&w);
    world_advance(&w, 1000);
    assert_true(world_count(&w, "pods") <= 2 * (5 + 1));
    world_release(&w);
}

static void test_a_suspended_job_that_is_scaled_shows_its_new_size(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 3);
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 1500);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 1500);
    assert_string_equal(world_status(&w, "a", "workers"), "0/2");
    assert_int_equal(world_number(&w, "a", "replicas"), 0);
    assert_int_equal(world_number(&w, "a", "readyReplicas"), 0);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"workers\":{\"replicas\":3}}}");
    world_advance(&w, 1500);
    assert_string_equal(world_status(&w, "a", "workers"), "0/3");
    assert_int_equal(world_number(&w, "a", "gpus"), 3);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_advance(&w, 1500);
    assert_string_equal(world_status(&w, "a", "workers"), "3/3");
    assert_int_equal(world_number(&w, "a", "replicas"), 3);
    world_release(&w);
}

static void test_a_job_submitted_suspended_waits_for_its_user(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, "{\"spec\":{\"suspend\":true}}");
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    assert_int_equal(world_count(&w, "pods"), 0);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

static void test_a_suspension_that_is_taken_back_restarts_in_place_uncharged(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_launcher(&w, "a", 0)->hold_stop = true;
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_run(&w);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_run(&w);
    world_stopped(&w, world_launcher(&w, "a", 0));
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    assert_int_equal(w.pods_created, 2);
    world_release(&w);
}

static void test_a_suspension_taken_back_before_the_ranks_were_told_leaves_no_trace(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_run(&w);
    assert_true(world_has_event(&w, "Stopping"));
    assert_true(world_has_event(&w, "StopTakenBack"));
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "recovery.pendingStop.reason"), "");
    world_replace_controller(&w);
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_int_equal(world_number(&w, "a", "restarts"), 0);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    world_release(&w);
}

static void test_a_cancelled_job_gets_its_grace_and_stays_as_failed(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_launcher(&w, "a", 1)->hold_stop = true;
    world_patch(&w, "trainingjobs/team/a",
                "{\"metadata\":{\"annotations\":{\"mltrain.io/cancel\":\"graceful\"}}}");
    world_advance(&w, 3000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    /* The second Ctrl-C: no grace any more. */
    world_patch(&w, "trainingjobs/team/a",
                "{\"metadata\":{\"annotations\":{\"mltrain.io/cancel\":\"now\"}}}");
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_reason(&w, "a", "Failed"), "Cancelled");
    const cJSON *pod = world_object(&w, "pods/team/a-worker-1");
    assert_int_equal(json_integer(pod, "status.containerStatuses[0].state.terminated.exitCode", -1),
                     143);
    world_release(&w);
}

static void test_a_queued_job_is_cancelled_at_once(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 2, NULL);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    world_patch(&w, "trainingjobs/team/a",
                "{\"metadata\":{\"annotations\":{\"mltrain.io/cancel\":\"graceful\"}}}");
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    world_release(&w);
}

static void test_a_deadline_counts_from_the_start_of_running(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "b", 1, NULL);
    world_submit(&w, "a", 1, "{\"spec\":{\"activeDeadlineSeconds\":30}}");
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    world_job_ends_well(&w, "b");
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_advance(&w, 29000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_reason(&w, "a", "Failed"), "DeadlineExceeded");
    world_release(&w);
}

static void test_a_conflict_reads_again_and_writes_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    w.conflicts = 2;
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.pods_created, 1);
    world_release(&w);
}

static void test_requests_that_fail_for_a_while_are_sent_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    w.unavailable = 5;
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 30000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.pods_created, 2);
    world_release(&w);
}

static void test_a_deleted_running_job_keeps_its_grace_to_save(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_launcher(&w, "a", 0)->hold_stop = true;
    w.slow_garbage = true;
    world_delete(&w, "trainingjobs/team/a");
    world_run(&w);
    struct world_launcher *l = world_launcher_of_pod(&w, "pods/team/a-worker-0");
    assert_non_null(l);
    assert_int_equal(l->state, LAUNCHER_RUNNING);
    assert_true(l->stopping);
    world_stopped(&w, l);
    world_run(&w);
    assert_string_equal(json_string(world_object(&w, "pods/team/a-worker-0"), "status.phase", ""),
                        "Failed");
    world_release(&w);
}

static void test_a_queued_job_that_is_changed_is_planned_anew(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 3, NULL);
    assert_string_equal(world_reason(&w, "a", "Queued"), "Unschedulable");
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"workers\":{\"replicas\":2}}}");
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.pods_created, 2);
    world_release(&w);
}

static void test_a_secret_that_went_during_a_suspension_is_made_again(void **state)
{
    struct world w;
    struct world_object *o, *next;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 5000);
    HASH_ITER(hh, w.objects, o, next)
    if (strncmp(o->key, "secrets/", 8) == 0)
        world_delete(&w, o->key);
    assert_int_equal(world_count(&w, "secrets"), 0);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_count(&w, "secrets"), 1);
    world_release(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_suspended_job_saves_gives_its_place_back_and_resumes_from_its_step),
        cmocka_unit_test(test_a_suspended_job_keeps_its_pods_for_their_logs),
        cmocka_unit_test(test_a_suspended_jobs_pod_that_does_not_end_is_deleted),
        cmocka_unit_test(test_a_suspension_goes_on_under_the_next_controller),
        cmocka_unit_test(
            test_ranks_that_obeyed_a_stop_are_not_taken_for_done_by_the_next_controller),
        cmocka_unit_test(test_pods_kept_for_their_logs_are_bounded),
        cmocka_unit_test(test_a_suspended_job_that_is_scaled_shows_its_new_size),
        cmocka_unit_test(test_a_job_submitted_suspended_waits_for_its_user),
        cmocka_unit_test(test_a_suspension_that_is_taken_back_restarts_in_place_uncharged),
        cmocka_unit_test(test_a_suspension_taken_back_before_the_ranks_were_told_leaves_no_trace),
        cmocka_unit_test(test_a_cancelled_job_gets_its_grace_and_stays_as_failed),
        cmocka_unit_test(test_a_queued_job_is_cancelled_at_once),
        cmocka_unit_test(test_a_deadline_counts_from_the_start_of_running),
        cmocka_unit_test(test_a_deleted_running_job_keeps_its_grace_to_save),
        cmocka_unit_test(test_a_queued_job_that_is_changed_is_planned_anew),
        cmocka_unit_test(test_a_conflict_reads_again_and_writes_again),
        cmocka_unit_test(test_a_secret_that_went_during_a_suspension_is_made_again),
        cmocka_unit_test(test_requests_that_fail_for_a_while_are_sent_again),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
