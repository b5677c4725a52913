/* Lives of jobs under --launcher-delivery auto: how the launcher comes into their pods, by what
 * nodes tell, and what happens when it cannot be mounted after all. */
#include <stdio.h>
#include <string.h>
#include "controller/delivery.h"
#include "controller/pod_build.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "world.h"
#include "world_internal.h"

static void tell_versions(struct world *w, unsigned node, const char *kubelet, const char *runtime)
{
    cleanup_free char *key = mlt_asprintf("nodes//node%03u", node);
    cleanup_free char *patch = mlt_asprintf("{\"status\":{\"nodeInfo\":{\"kubeletVersion\":\"%s\","
                                            "\"containerRuntimeVersion\":\"%s\"}}}",
                                            kubelet, runtime);
    world_patch(w, key, patch);
    world_run(w);
}

static void node_can(struct world *w, unsigned node)
{
    tell_versions(w, node, "v1.35.1-eks-1a2b", "containerd://2.1.4");
}

static void node_is_old(struct world *w, unsigned node)
{
    tell_versions(w, node, "v1.34.2", "containerd://2.1.4");
}

static void cordon(struct world *w, unsigned node, bool is_cordoned)
{
    cleanup_free char *key = mlt_asprintf("nodes//node%03u", node);
    world_patch(w, key,
                is_cordoned ? "{\"spec\":{\"unschedulable\":true}}"
                            : "{\"spec\":{\"unschedulable\":null}}");
    world_run(w);
}

/* All of whose nodes can. */
static void begin(struct world *w, unsigned nodes, unsigned gpus)
{
    world_init(w, nodes, gpus);
    for (unsigned i = 1; i <= nodes; i++)
        node_can(w, i);
    w->delivery = DELIVERY_AUTO;
    world_replace_controller(w);
    world_run(w);
}

static const cJSON *find_pod(struct world *w, const char *name)
{
    cleanup_free char *key = mlt_asprintf("pods/team/%s", name);
    const cJSON *pod = world_object(w, key);
    if (!pod)
        fail_msg("there is no pod %s", name);
    return pod;
}

static void assert_mounted(struct world *w, const char *name)
{
    const cJSON *pod = find_pod(w, name);
    assert_true(delivery_is_kept(pod));
    assert_null(json_find(pod, "spec.initContainers"));
}

static void assert_copied(struct world *w, const char *name)
{
    const cJSON *pod = find_pod(w, name);
    assert_false(delivery_is_kept(pod));
    assert_string_equal(json_string(pod, "spec.initContainers[0].name", ""), POD_BUILD_INIT);
}

/* The pod in which the launcher of a slot of job "a" lives. */
static const char *pod_of(struct world *w, uint32_t slot)
{
    const struct world_launcher *l = world_launcher(w, "a", slot);
    assert_non_null(l);
    return strrchr(l->pod, '/') + 1;
}

static void test_where_all_nodes_can_the_launcher_is_mounted(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 2, 2);
    assert_string_equal(w.delivery_told, "launcher delivery how=imageVolume nodes=2");
    world_submit(&w, "a", 4, NULL);
    assert_string_equal(world_phase(&w, "a"), "Running");
    for (int i = 0; i < 4; i++) {
        cleanup_free char *name = mlt_asprintf("a-worker-%d", i);
        assert_mounted(&w, name);
    }
    assert_int_equal(w.dry_runs, 1);
    assert_int_equal(w.deliveries_told, 1);
    world_release(&w);
}

static void test_where_a_node_cannot_it_is_copied_and_the_log_names_it_once(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 3, 2);
    node_is_old(&w, 2);
    assert_string_equal(w.delivery_told,
                        "launcher delivery how=initContainer node=node002 why=\"its kubelet is not "
                        "known to be Kubernetes 1.35 or newer\"");
    tell_versions(&w, 3, "v1.35.0", "cri-o://1.35.0");
    assert_int_equal(w.deliveries_told, 2); /* one more of them is no news */
    world_submit(&w, "a", 6, NULL);
    assert_string_equal(world_phase(&w, "a"), "Running");
    for (int i = 0; i < 6; i++) {
        cleanup_free char *name = mlt_asprintf("a-worker-%d", i);
        assert_copied(&w, name);
    }
    node_can(&w, 2);
    assert_int_equal(w.deliveries_told, 2);
    world_delete(&w, "nodes//node003");
    world_run(&w);
    assert_string_equal(w.delivery_told, "launcher delivery how=imageVolume nodes=2");
    assert_int_equal(w.deliveries_told, 3);
    world_release(&w);
}

static void test_a_node_that_is_not_ready_counts_and_a_cordoned_one_does_not(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 2, 2);
    world_node_ready(&w, "node002", false);
    node_is_old(&w, 2);
    assert_non_null(strstr(w.delivery_told, "how=initContainer node=node002"));
    cordon(&w, 2, true);
    assert_string_equal(w.delivery_told, "launcher delivery how=imageVolume nodes=1");
    cordon(&w, 1, true);
    assert_string_equal(w.delivery_told, "launcher delivery how=initContainer nodes=0");
    world_release(&w);
}

static void test_pods_that_exist_are_left_as_they_are_and_the_next_come_in_the_new_way(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1, 2);
    world_submit(&w, "a", 1, NULL);
    assert_mounted(&w, "a-worker-0");
    node_is_old(&w, 1);
    world_submit(&w, "b", 1, NULL);
    assert_mounted(&w, "a-worker-0");
    assert_copied(&w, "b-worker-0");
    assert_int_equal(w.pods_deleted, 0);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    node_can(&w, 1);
    world_job_ends_well(&w, "b");
    world_submit(&w, "c", 1, NULL);
    assert_mounted(&w, "c-worker-0");
    world_release(&w);
}

/* The dry run was of a pod that mounts it, when the old node was still out of use. */
static void test_a_pod_for_a_node_that_cannot_is_made_for_that_node(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 2, 1);
    node_is_old(&w, 2);
    cordon(&w, 2, true);
    world_submit(&w, "gang", 2, NULL);
    assert_string_equal(world_phase(&w, "gang"), "Queued");
    assert_int_equal(w.dry_runs, 1);
    cordon(&w, 2, false);
    world_run(&w);
    assert_string_equal(world_phase(&w, "gang"), "Running");
    assert_int_equal(w.dry_runs, 1);
    for (int i = 0; i < 2; i++) {
        cleanup_free char *name = mlt_asprintf("gang-worker-%d", i);
        if (strcmp(json_string(find_pod(&w, name), "spec.nodeName", ""), "node001") == 0)
            assert_mounted(&w, name);
        else
            assert_copied(&w, name);
    }
    world_release(&w);
}

static void test_an_api_server_that_takes_the_volume_away_gets_a_copy_at_once(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1, 2);
    w.drops_image_volumes = true;
    world_submit(&w, "a", 1, NULL);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_copied(&w, "a-worker-0");
    assert_int_equal(w.dry_runs, 2);
    assert_false(world_has_event(&w, "PodRefused"));
    assert_string_not_equal(world_reason(&w, "a", "Admitted"), "PodRefused");
    world_release(&w);
}

static void test_a_policy_against_the_volume_costs_many_jobs_one_more_dry_run(void **state)
{
    enum { JOBS = 20 };
    struct world w;
    (void)state;
    begin(&w, JOBS, 1);
    w.refuse_mounted = "admission webhook denied the request: the volume type image is not allowed";
    for (int i = 0; i < JOBS; i++) {
        cleanup_free char *name = mlt_asprintf("j%d", i);
        world_put_job(&w, name, 1, NULL);
    }
    world_run(&w);
    world_advance(&w, 1000);
    for (int i = 0; i < JOBS; i++) {
        cleanup_free char *name = mlt_asprintf("j%d", i);
        cleanup_free char *pod = mlt_asprintf("%s-worker-0", name);
        assert_string_equal(world_phase(&w, name), "Running");
        assert_copied(&w, pod);
    }
    assert_int_equal(w.dry_runs, 2);
    world_release(&w);
}

static void
test_what_is_refused_either_way_is_told_in_the_servers_words_and_asked_once_a_time(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1, 2);
    w.refuse_dry_run = "exceeded quota: tight, requested: pods=1";
    world_submit(&w, "a", 1, NULL);
    assert_int_equal(w.dry_runs, 2);
    assert_string_equal(world_reason(&w, "a", "Admitted"), "PodRefused");
    assert_string_equal(world_message(&w, "a", "Admitted"), w.refuse_dry_run);
    world_advance(&w, 61000);
    assert_int_equal(w.dry_runs, 2 + 4); /* every 15 s */
    w.refuse_dry_run = NULL;
    world_advance(&w, 16000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

static void test_a_server_that_fails_says_nothing_about_the_volume(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1, 2);
    w.refuse_dry_run = "failed calling webhook";
    w.fails_dry_run = true;
    world_submit(&w, "a", 1, NULL);
    assert_int_equal(w.dry_runs, 1);
    assert_string_equal(world_reason(&w, "a", "Admitted"), "PodRefused");
    w.refuse_dry_run = NULL;
    world_advance(&w, 16000);
    assert_mounted(&w, "a-worker-0");
    world_release(&w);
}

/* A kubelet whose gate is off, which no node tells. */
static void test_a_gang_that_does_not_come_to_run_in_time_is_made_with_copies(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1, 2);
    w.mounts_nothing = true;
    world_submit(&w, "a", 2, "{\"spec\":{\"failurePolicy\":{\"startTimeoutSeconds\":60}}}");
    assert_mounted(&w, "a-worker-0");
    world_advance(&w, 16000);
    assert_string_equal(world_reason(&w, "a", "PodsReady"), "PodsStarting");
    assert_non_null(strstr(world_message(&w, "a", "PodsReady"), "no volume plugin matched"));
    assert_non_null(
        strstr(world_message(&w, "a", "PodsReady"), "--launcher-delivery initContainer"));
    world_advance(&w, 120000);
    assert_true(world_has_event(&w, "Requeued"));
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_copied(&w, pod_of(&w, 0));
    assert_copied(&w, pod_of(&w, 1));
    world_release(&w);
}

/* A runtime that mounts it so that nothing in it can be executed. */
static void test_a_gang_whose_container_cannot_be_started_is_made_with_copies(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1, 2);
    w.mounts_nothing = true;
    world_submit(&w, "a", 1, NULL);
    assert_mounted(&w, "a-worker-0");
    world_patch(&w, "pods/team/a-worker-0",
                "{\"status\":{\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"trainer\","
                "\"state\":{\"terminated\":{\"exitCode\":128,\"reason\":\"StartError\","
                "\"message\":\"exec: permission denied\"}}}]}}");
    world_run(&w);
    world_advance(&w, 120000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_copied(&w, pod_of(&w, 0));
    world_release(&w);
}

/* By somebody who is not asked in dry runs. */
static void test_a_gang_whose_pods_are_refused_is_made_with_copies(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1, 2);
    w.refuse_pod = "no";
    world_submit(&w, "a", 1, NULL);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    w.refuse_pod = NULL;
    world_advance(&w, 16000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_copied(&w, pod_of(&w, 0));
    world_release(&w);
}

/* The place has come while the API server was being asked once more; the pod is there already. */
static void test_a_refusal_that_comes_late_counts_for_pods_that_are_still_to_be_made(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1, 1);
    world_submit(&w, "first", 1, NULL);
    world_submit(&w, "a", 1, NULL);
    w.unavailable = 1; /* it is asked again a little later */
    world_advance(&w, 5001);
    world_job_ends_well(&w, "first");
    world_run(&w);
    assert_mounted(&w, "a-worker-0");
    w.refuse_mounted = "not any more";
    world_advance(&w, 10000);
    world_pod_ends(&w, world_launcher(&w, "a", 0), 1);
    world_run(&w);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_copied(&w, pod_of(&w, 0));
    assert_false(world_has_event(&w, "PodRefused"));
    world_release(&w);
}

/* It has asked the API server nothing about this job, and a copy works in any case. */
static void test_another_leader_replaces_a_pod_of_a_gang_that_runs_with_a_copy(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_replace_controller(&w);
    world_run(&w);
    w.drops_image_volumes = true;
    world_pod_ends(&w, world_launcher(&w, "a", 1), 1);
    world_run(&w);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_mounted(&w, "a-worker-0");
    assert_copied(&w, pod_of(&w, 1));
    world_release(&w);
}

static void test_who_is_told_how_asks_no_node(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    node_can(&w, 1);
    world_submit(&w, "a", 1, NULL); /* initContainer */
    assert_copied(&w, "a-worker-0");
    node_is_old(&w, 1);
    w.delivery = DELIVERY_IMAGE_VOLUME;
    world_replace_controller(&w);
    world_submit(&w, "b", 1, NULL);
    assert_mounted(&w, "b-worker-0");
    assert_int_equal(w.deliveries_told, 0);
    world_release(&w);
}

static void test_an_image_that_has_the_launcher_elsewhere_is_not_mounted(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1, 2);
    w.launcher_command = "/opt/mltrain-launcher";
    world_replace_controller(&w);
    world_submit(&w, "a", 1, NULL);
    assert_copied(&w, "a-worker-0");
    assert_string_equal(
        json_string(find_pod(&w, "a-worker-0"), "spec.initContainers[0].command[0]", ""),
        "/opt/mltrain-launcher");
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_all_nodes_can_the_launcher_is_mounted),
        cmocka_unit_test(test_where_a_node_cannot_it_is_copied_and_the_log_names_it_once),
        cmocka_unit_test(test_a_node_that_is_not_ready_counts_and_a_cordoned_one_does_not),
        cmocka_unit_test(
            test_pods_that_exist_are_left_as_they_are_and_the_next_come_in_the_new_way),
        cmocka_unit_test(test_a_pod_for_a_node_that_cannot_is_made_for_that_node),
        cmocka_unit_test(test_an_api_server_that_takes_the_volume_away_gets_a_copy_at_once),
        cmocka_unit_test(test_a_policy_against_the_volume_costs_many_jobs_one_more_dry_run),
        cmocka_unit_test(
            test_what_is_refused_either_way_is_told_in_the_servers_words_and_asked_once_a_time),
        cmocka_unit_test(test_a_server_that_fails_says_nothing_about_the_volume),
        cmocka_unit_test(test_a_gang_that_does_not_come_to_run_in_time_is_made_with_copies),
        cmocka_unit_test(test_a_gang_whose_container_cannot_be_started_is_made_with_copies),
        cmocka_unit_test(test_a_gang_whose_pods_are_refused_is_made_with_copies),
        cmocka_unit_test(test_a_refusal_that_comes_late_counts_for_pods_that_are_still_to_be_made),
        cmocka_unit_test(test_another_leader_replaces_a_pod_of_a_gang_that_runs_with_a_copy),
        cmocka_unit_test(test_who_is_told_how_asks_no_node),
        cmocka_unit_test(test_an_image_that_has_the_launcher_elsewhere_is_not_mounted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
