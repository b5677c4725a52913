/* Whole lives of jobs, told to the controller event by event: the good ones, and those that wait.
 */
#include <stdio.h>
#include <string.h>
#include "world.h"
#include "world_internal.h"

static void test_a_job_runs_from_its_submission_to_success(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 3, NULL);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[001,001-002]");
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_int_equal(world_number(&w, "a", "gpus"), 3);
    assert_string_equal(world_condition(&w, "a", "Running"), "True");
    assert_int_equal(w.pods_created, 3);
    assert_int_equal(w.starts, 3);
    world_advance(&w, 1500);
    assert_string_equal(world_status(&w, "a", "workers"), "3/3");
    struct world_launcher *l = world_launcher(&w, "a", 1);
    assert_int_equal(l->world_size, 3);
    assert_int_equal(l->rank_base, 1);
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    assert_string_equal(world_condition(&w, "a", "Complete"), "True");
    assert_string_equal(world_condition(&w, "a", "SuccessCriteriaMet"), "True");
    assert_string_equal(world_condition(&w, "a", "Running"), "False");
    assert_true(*world_status(&w, "a", "completionTime") != 0);
    assert_string_equal(json_string(world_object(&w, "pods/team/a-worker-0"), "status.phase", ""),
                        "Succeeded");
    assert_true(world_has_event(&w, "Completed"));
    assert_int_equal(w.secrets_read, 0);
    world_release(&w);
}

/* What `kubectl get` shows, as text; "" when the column would be blank. */
static void assert_columns(struct world *w, const char *job, const char *workers, int64_t gpus)
{
    const cJSON *status = json_member(world_job_object(w, job), "status");
    assert_string_equal(json_string(status, "workers", ""), workers);
    assert_int_equal(json_integer(status, "restarts", -1), 0);
    assert_int_equal(json_integer(status, "gpus", -1), gpus);
}

static void test_columns_are_filled_from_the_first_write_on(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 2, NULL);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_columns(&w, "a", "0/2", 2);
    world_submit(&w, "b", 1, "{\"spec\":{\"workers\":{\"replicas\":\"many\"}}}");
    assert_string_equal(world_phase(&w, "b"), "Failed");
    assert_columns(&w, "b", "0/0", 0);
    world_submit(&w, "c", 3, "{\"spec\":{\"suspend\":true}}");
    assert_columns(&w, "c", "0/3", 3);
    world_release(&w);
}

static void test_replicas_are_the_pods_that_exist(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_submit(&w, "b", 2, NULL);
    assert_int_equal(world_number(&w, "b", "replicas"), 0);
    world_advance(&w, 1500);
    assert_int_equal(world_number(&w, "a", "replicas"), 2);
    assert_int_equal(world_number(&w, "a", "readyReplicas"), 2);
    world_channel_breaks(&w, world_launcher(&w, "a", 1));
    world_advance(&w, 1500);
    assert_int_equal(world_number(&w, "a", "replicas"), 2);
    assert_int_equal(world_number(&w, "a", "readyReplicas"), 1);
    assert_string_equal(world_status(&w, "a", "workers"), "1/2");
    world_launcher_connects(&w, world_launcher(&w, "a", 1));
    world_advance(&w, 1500);
    world_job_ends_well(&w, "a");
    world_advance(&w, 1500);
    assert_int_equal(world_number(&w, "a", "replicas"), 0);
    assert_string_equal(world_status(&w, "a", "workers"), "2/2"); /* as it was in the end */
    world_release(&w);
}

static void test_rank_0_may_decide_alone(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, "{\"spec\":{\"successPolicy\":\"Rank0\"}}");
    world_launcher(&w, "a", 1)->hold_stop = true;
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 0, 0, 1000);
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_advance(&w, 4000);
    assert_non_null(world_launcher(&w, "a", 1)); /* it has its grace */
    world_stopped(&w, world_launcher(&w, "a", 1));
    world_run(&w);
    assert_null(world_launcher(&w, "a", 1));
    world_release(&w);
}

static void test_the_last_checkpoint_is_taken_in_after_the_end(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    world_checkpoint(&w, l, 50, -1);
    l->late_checkpoint = 60;
    world_rank_exits(&w, l, 0, 0, 0, 1000);
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    assert_int_equal(world_number(&w, "a", "checkpoint.step"), 60);
    world_release(&w);
}

static void test_progress_is_written_at_once_and_then_every_ten_seconds(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 3000);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    world_progress(&w, l, 1, 1000);
    assert_int_equal(world_number(&w, "a", "progress.step"), 1);
    unsigned writes = w.status_writes;
    for (int64_t s = 2; s <= 101; s++) {
        world_progress(&w, l, s, 1000);
        world_advance(&w, 100);
    }
    assert_true(w.status_writes - writes <= 2);
    world_advance(&w, 10000);
    assert_int_equal(world_number(&w, "a", "progress.step"), 101);
    assert_int_equal(world_number(&w, "a", "progress.estimatedRemainingSeconds"), 449);
    world_release(&w);
}

static void test_two_jobs_that_need_most_of_the_cluster_run_one_after_the_other(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 3, NULL);
    world_submit(&w, "b", 3, NULL);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_phase(&w, "b"), "Queued");
    assert_int_equal(w.pods_created, 3);
    assert_string_equal(world_status(&w, "b", "queue.reason"), "Waiting");
    assert_non_null(strstr(world_status(&w, "b", "queue.explanation"), "1 of 4"));
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    assert_string_equal(world_phase(&w, "b"), "Running");
    assert_string_equal(world_status(&w, "b", "queue.explanation"), "");
    world_release(&w);
}

static void test_a_job_that_can_never_fit_says_so_at_once_and_stays_queued(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 5, NULL);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_reason(&w, "a", "Queued"), "Unschedulable");
    assert_true(*world_status(&w, "a", "queue.explanation") != 0);
    assert_int_equal(world_count(&w, "pods"), 0);
    world_release(&w);
}

static void test_what_is_not_supported_fails_with_the_name_of_the_field(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 1, "{\"spec\":{\"scheduling\":{\"spares\":1}}}");
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_reason(&w, "a", "Failed"), "NotSupported");
    world_submit(&w, "b", 1, "{\"spec\":{\"workers\":{\"replicas\":\"many\"}}}");
    assert_string_equal(world_phase(&w, "b"), "Failed");
    assert_string_equal(world_reason(&w, "b", "Failed"), "InvalidSpec");
    world_release(&w);
}

static void test_a_refused_dry_run_is_shown_and_tried_again(void **state)
{
    (void)state;
    for (int fails = 0; fails < 2; fails++) { /* a 422 of the server, a 500 for a webhook */
        struct world w;
        world_init(&w, 1, 2);
        w.refuse_dry_run = "spec.containers[0].imagee: unknown field";
        w.fails_dry_run = fails;
        world_submit(&w, "a", 1, NULL);
        assert_string_equal(world_phase(&w, "a"), "Queued");
        assert_string_equal(world_condition(&w, "a", "Admitted"), "False");
        assert_string_equal(world_message(&w, "a", "Admitted"), w.refuse_dry_run);
        assert_true(world_has_event(&w, "PodRefused"));
        assert_int_equal(world_count(&w, "pods"), 0);
        w.refuse_dry_run = NULL;
        world_advance(&w, 16000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        world_release(&w);
    }
}

static void start_with_image_volumes(struct world *w, bool gate_is_off)
{
    world_init(w, 1, 2);
    w->delivery = DELIVERY_IMAGE_VOLUME;
    w->drops_image_volumes = gate_is_off;
    world_replace_controller(w);
    world_submit(w, "a", 1, NULL);
}

static void test_an_image_volume_that_the_api_server_takes_away_is_told_before_any_pod(void **state)
{
    struct world w;
    (void)state;
    start_with_image_volumes(&w, true);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_reason(&w, "a", "Admitted"), "PodRefused");
    assert_non_null(strstr(world_message(&w, "a", "Admitted"), "feature gate ImageVolume is off"));
    assert_non_null(strstr(world_message(&w, "a", "Admitted"), "--launcher-delivery"));
    assert_true(world_has_event(&w, "PodRefused"));
    assert_int_equal(world_count(&w, "pods"), 0);
    w.drops_image_volumes = false; /* somebody has switched it on */
    world_advance(&w, 16000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

static void test_with_an_image_volume_there_is_no_init_container(void **state)
{
    struct world w;
    (void)state;
    start_with_image_volumes(&w, false);
    assert_string_equal(world_phase(&w, "a"), "Running");
    const cJSON *pod = world_object(&w, "pods/team/a-worker-0");
    assert_non_null(pod);
    assert_true(delivery_is_kept(pod));
    assert_null(json_find(pod, "spec.initContainers"));
    world_release(&w);
}

static void test_a_finished_job_is_deleted_when_its_time_to_live_is_over(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, "{\"spec\":{\"ttlSecondsAfterFinished\":60}}");
    world_job_ends_well(&w, "a");
    world_advance(&w, 55000);
    assert_int_equal(world_count(&w, "trainingjobs"), 1);
    world_advance(&w, 10000);
    assert_int_equal(world_count(&w, "trainingjobs"), 0);
    assert_int_equal(world_count(&w, "pods"), 0);
    world_release(&w);
}

static void clean_pods(const char *policy, unsigned left)
{
    struct world w;
    char patch[128];
    world_init(&w, 1, 2);
    (void)snprintf(patch, sizeof patch, "{\"spec\":{\"cleanPodPolicy\":\"%s\"}}", policy);
    world_submit(&w, "a", 2, patch);
    world_job_ends_well(&w, "a");
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    assert_int_equal(world_count(&w, "pods"), left);
    world_release(&w);
}

static void test_pods_are_cleaned_up_by_policy(void **state)
{
    (void)state;
    clean_pods("None", 2);
    clean_pods("Running", 2);
    clean_pods("All", 0);
}

/* A kubelet tells of the containers first and of the pod a second later; what is deleted in between
 * takes its logs along. */
static void test_a_pod_whose_containers_have_ended_is_left_to_its_kubelet(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    w.late_phase = true;
    world_submit(&w, "a", 2, NULL);
    world_job_ends_well(&w, "a");
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    assert_int_equal(w.pods_deleted, 0);
    world_patch(&w, "pods/team/a-worker-0", "{\"status\":{\"phase\":\"Succeeded\"}}");
    world_advance(&w, 60000); /* the other one's kubelet never says so */
    assert_int_equal(w.pods_deleted, 1);
    assert_non_null(world_object(&w, "pods/team/a-worker-0"));
    world_release(&w);
}

static void test_a_deleted_job_lets_its_launchers_go_and_frees_its_place(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_submit(&w, "b", 1, NULL);
    assert_string_equal(world_phase(&w, "b"), "Queued");
    world_delete(&w, "trainingjobs/team/a");
    world_run(&w);
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_release(&w);
}

static void test_the_longest_fields_that_are_accepted_reach_the_launchers(void **state)
{
    struct world w;
    char path[1025], pattern[1025], progress[1025], patch[4096];
    (void)state;
    memset(path, 'p', 1024);
    path[0] = '/';
    memset(pattern, 'c', 1024);
    memcpy(pattern, "{step}", 6);
    memset(progress, 'x', 1024);
    memcpy(progress, "(?<step>[0-9]+)", 15);
    path[1024] = pattern[1024] = progress[1024] = 0;
    (void)snprintf(patch, sizeof patch,
                   "{\"spec\":{\"checkpoint\":{\"path\":\"%s\",\"format\":\"pattern\","
                   "\"pattern\":\"%s\"},\"progress\":{\"pattern\":\"%s\"},"
                   "\"backoffLimit\":1000000}}",
                   path, pattern, progress);
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, patch);
    assert_string_equal(world_phase(&w, "a"), "Running"); /* and nothing was logged as an error */
    world_release(&w);
}

static void test_the_pod_carries_what_the_contract_says(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    const cJSON *pod = world_object(&w, "pods/team/a-worker-0");
    assert_string_equal(json_string(pod, "spec.nodeName", ""), "node001");
    assert_string_equal(json_string(pod, "spec.restartPolicy", ""), "Never");
    assert_string_equal(json_string(pod, "spec.hostname", ""), "a-worker-0");
    assert_string_equal(json_string(pod, "spec.containers[0].command[0]", ""),
                        "/mltrain/bin/mltrain-launcher");
    assert_string_equal(json_string(pod, "spec.containers[0].command[3]", ""), "python3");
    assert_string_equal(json_string(pod, "metadata.ownerReferences[0].name", ""), "a");
    const char *uid = json_string(pod, "metadata.labels[mltrain.io/job-uid]", "");
    char secret[128];
    (void)snprintf(secret, sizeof secret, "secrets/team/a-mltrain-key-%.8s", uid);
    assert_non_null(world_object(&w, secret));
    assert_true(json_bool(world_object(&w, secret), "immutable", false));
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_runs_from_its_submission_to_success),
        cmocka_unit_test(test_columns_are_filled_from_the_first_write_on),
        cmocka_unit_test(test_replicas_are_the_pods_that_exist),
        cmocka_unit_test(test_rank_0_may_decide_alone),
        cmocka_unit_test(test_the_last_checkpoint_is_taken_in_after_the_end),
        cmocka_unit_test(test_progress_is_written_at_once_and_then_every_ten_seconds),
        cmocka_unit_test(test_two_jobs_that_need_most_of_the_cluster_run_one_after_the_other),
        cmocka_unit_test(test_a_job_that_can_never_fit_says_so_at_once_and_stays_queued),
        cmocka_unit_test(test_what_is_not_supported_fails_with_the_name_of_the_field),
        cmocka_unit_test(test_a_refused_dry_run_is_shown_and_tried_again),
        cmocka_unit_test(
            test_an_image_volume_that_the_api_server_takes_away_is_told_before_any_pod),
        cmocka_unit_test(test_with_an_image_volume_there_is_no_init_container),
        cmocka_unit_test(test_a_finished_job_is_deleted_when_its_time_to_live_is_over),
        cmocka_unit_test(test_pods_are_cleaned_up_by_policy),
        cmocka_unit_test(test_a_pod_whose_containers_have_ended_is_left_to_its_kubelet),
        cmocka_unit_test(test_a_deleted_job_lets_its_launchers_go_and_frees_its_place),
        cmocka_unit_test(test_the_longest_fields_that_are_accepted_reach_the_launchers),
        cmocka_unit_test(test_the_pod_carries_what_the_contract_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
