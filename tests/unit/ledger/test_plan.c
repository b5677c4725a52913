/* From objects to decisions with names, and to reasons that a person can read. */
#include "tests/unit/ledger/objects.h"

static void test_a_job_is_placed_on_nodes_in_the_order_of_their_names(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "node10", 8, NULL, NULL);
    objects_node(l, "node9", 8, NULL, NULL);
    objects_node(l, "node2", 8, NULL, NULL);
    objects_waits(l, "a", 2, 8, 1, NULL);
    assert_true(ledger_needs_plan(l));
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place a: node2 node9");
    assert_string_equal(objects_next(l), "");
    ledger_free(l);
}

static void test_the_reason_names_who_holds_what_is_missing(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    objects_node(l, "n2", 8, NULL, NULL);
    objects_node(l, "n3", 8, NULL, NULL);
    objects_node(l, "n4", 8, NULL, NULL);
    objects_holds(l, "llama-8b", 2, 8, 1, "n1 n2");
    objects_holds(l, "bert", 1, 4, 2, "n3");
    objects_waits(l, "big", 4, 8, 3, NULL);
    objects_waits(l, "small", 1, 1, 4, NULL);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "wait big at 1");
    assert_string_equal(
        objects_reason(),
        "needs 4 pods x 8 nvidia.com/gpu; 12 of 32 free, at most 1 such pod fits now; "
        "20 held by 2 jobs (ns/llama-8b 16, ns/bert 4)");
    assert_string_equal(objects_next(l), "wait small at 2");
    assert_string_equal(
        objects_reason(),
        "waits behind ns/big (first in order), which needs 4 pods x 8 nvidia.com/gpu; 12 of 32 "
        "free, "
        "at most 1 such pod fits now; 20 held by 2 jobs (ns/llama-8b 16, ns/bert 4)");
    ledger_free(l);
}

static void test_two_jobs_that_need_most_of_the_cluster_run_one_after_the_other(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    for (int i = 1; i <= 4; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "n%d", i);
        objects_node(l, name, 8, NULL, NULL);
    }
    objects_waits(l, "b", 3, 8, 2, NULL);
    objects_waits(l, "a", 3, 8, 1, NULL);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place a: n1 n2 n3");
    objects_holds(l, "a", 3, 8, 1, "n1 n2 n3"); /* while decisions are still being taken */
    assert_string_equal(objects_next(l), "wait b at 1");
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "wait b at 1");
    ledger_job_gone(l, "a", 0);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place b: n1 n2 n3");
    ledger_free(l);
}

static void test_what_never_fits_says_why(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, "pool: red", "taints: [{key: maintenance, effect: NoSchedule}]");
    objects_node(l, "n2", 8, "pool: red, nvidia.com/gpu.replicas: '4'", NULL);
    objects_node(l, "n3", 8, "pool: blue", NULL);
    const struct {
        const char *what;
        int pods, gpus;
        const char *template_spec, *reason;
    } rows[] = {
        {"more than a node has", 1, 64, NULL,
         "needs 64 nvidia.com/gpu on one node; the largest node has 8"},
        {"more than the cluster has", 2, 8, NULL,
         "needs 2 pods x 8 nvidia.com/gpu; the empty cluster holds at most 1 such pod, it has 8"},
        {"a selector that matches nothing", 1, 1, "nodeSelector: {pool: green},",
         "none of the 3 nodes may be used: ruled out are 3 by nodeSelector"},
        {"everything in the way", 1, 1, "nodeSelector: {pool: red},",
         "none of the 3 nodes may be used: ruled out are 1 by nodeSelector, 1 by taints that its "
         "pods do not tolerate,"
         " 1 by time-sliced GPUs, since it asks for whole ones"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mlt_error err = {0};
        objects_waits(l, "a", rows[i].pods, rows[i].gpus, 1, rows[i].template_spec);
        objects_plan(l, 0);
        if (strcmp(objects_next(l), "never a") != 0 ||
            strcmp(objects_reason(), rows[i].reason) != 0)
            fail_msg("%s: %s", rows[i].what, objects_reason());
        cleanup_trainingjob struct trainingjob job =
            objects_job("trial", rows[i].pods, rows[i].gpus, 1, rows[i].template_spec);
        assert_int_equal(ledger_could_fit(l, &job, &err), -ENOSPC);
        assert_string_equal(err.text, rows[i].reason);
    }
    ledger_free(l);
}

static void test_could_fit_needs_no_job_in_the_ledger(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    struct mlt_error err = {0};
    cleanup_trainingjob struct trainingjob job =
        objects_job("a", 2, 8, 1, "nodeSelector: {pool: red},");
    assert_int_equal(ledger_could_fit(l, &job, &err), -ENOSPC);
    assert_string_equal(err.text, "no node is known yet");
    objects_node(l, "n1", 8, "pool: red", NULL);
    objects_node(l, "n2", 8, "pool: red", "unschedulable: true");
    assert_int_equal(ledger_could_fit(l, &job, &err), 0);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "");
    ledger_free(l);
}

static void test_priority_classes_order_jobs(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    struct mlt_error err = {0};
    objects_node(l, "n1", 8, NULL, NULL);
    cleanup_json cJSON *high = objects_yaml("metadata: {name: high}\nvalue: 1000\n");
    cleanup_json cJSON *normal =
        objects_yaml("metadata: {name: normal}\nvalue: 500\nglobalDefault: true\n");
    cleanup_trainingjob struct trainingjob b = objects_job("b", 1, 8, 2, NULL);
    b.spec.priority_class = "high";
    assert_int_equal(ledger_job_waits(l, &b, NULL, 0, &err), -EINVAL);
    assert_string_equal(err.text, "spec.priorityClassName: there is no PriorityClass `high`");
    ledger_priority_class(l, high);
    assert_int_equal(ledger_job_waits(l, &b, NULL, 0, &err), 0);
    objects_waits(l, "a", 1, 8, 1, NULL);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place b: n1");
    assert_string_equal(objects_next(l), "wait a at 1");
    json_set_integer(high, "value", 400);
    ledger_priority_class(l, high);
    ledger_priority_class(l, normal); /* a names no class: the default's 500 */
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place a: n1");
    ledger_priority_class_gone(l, "normal");
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place b: n1");
    ledger_free(l);
}

static void test_who_has_a_lower_priority_is_asked_to_leave_once_and_the_place_is_kept(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger_that_preempts(0, 600000);
    struct mlt_error err = {0};
    objects_priority(l, "high", 10, "PreemptLowerPriority");
    objects_node(l, "n1", 8, NULL, NULL);
    objects_holds(l, "a", 1, 4, 1, "n1");
    objects_holds(l, "b", 1, 4, 2, "n1");
    ledger_job_started(l, "a", 0);
    ledger_job_started(l, "b", 0);
    ledger_job_saved(l, "a", 50); /* b would lose more */
    cleanup_trainingjob struct trainingjob c = objects_job("c", 1, 4, 3, NULL);
    c.spec.priority_class = "high";
    assert_int_equal(ledger_job_waits(l, &c, NULL, 100, &err), 0);
    objects_waits(l, "d", 1, 4, 4, NULL);
    objects_plan(l, 100);
    assert_string_equal(objects_next(l), "preempt a for c");
    ledger_job_leaves(l, "a", "c", 100);
    objects_plan(l, 200);
    assert_string_equal(objects_next(l), "wait c at 1");
    assert_string_equal(objects_reason(), "1 job asked to leave for it has not left yet");
    assert_string_equal(objects_next(l), "wait d at 2");
    objects_waits(l, "a", 1, 4, 1, NULL);
    ledger_job_was_preempted(l, "a");
    objects_plan(l, 300);
    assert_string_equal(objects_next(l), "place c: n1");
    ledger_free(l);
}

static void test_nobody_leaves_for_a_class_that_preempts_never(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger_that_preempts(0, 600000);
    struct mlt_error err = {0};
    objects_priority(l, "polite", 10, "Never");
    objects_node(l, "n1", 8, NULL, NULL);
    objects_holds(l, "a", 1, 8, 1, "n1");
    cleanup_trainingjob struct trainingjob c = objects_job("c", 1, 4, 3, NULL);
    c.spec.priority_class = "polite";
    assert_int_equal(ledger_job_waits(l, &c, NULL, 0, &err), 0);
    objects_plan(l, 100);
    assert_string_equal(objects_next(l), "wait c at 1");
    objects_priority(l, "polite", 10, "PreemptLowerPriority");
    objects_plan(l, 200);
    assert_string_equal(objects_next(l), "preempt a for c");
    ledger_free(l);
}

static void
test_a_job_without_a_limit_starts_early_on_condition_where_a_start_is_reserved(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger_that_preempts(1, 600000);
    struct ledger_decision d;
    objects_node(l, "n1", 8, NULL, NULL);
    cleanup_trainingjob struct trainingjob a = objects_job("a", 1, 4, 1, NULL);
    const char *nodes[] = {"n1"};
    struct mlt_error err = {0};
    a.spec.active_deadline_seconds = 100;
    assert_int_equal(ledger_job_holds(l, &a, NULL, nodes, 1, 0, &err), 0);
    ledger_job_started(l, "a", 20000); /* its ranks: placed it was before */
    objects_waits(l, "b", 1, 8, 2, NULL);
    objects_waits(l, "c", 1, 4, 3, NULL);
    objects_plan(l, 30000);
    assert_string_equal(objects_next(l), "place c: n1 revocable");
    assert_true(ledger_decision_next(l, &d));
    assert_string_equal(d.job_uid, "b");
    assert_int_equal(d.estimated_start_ms, 120000);
    ledger_free(l);
}

static void test_a_lost_member_is_replaced_and_an_avoided_node_left_out(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    objects_node(l, "n2", 8, NULL, NULL);
    objects_node(l, "n3", 8, NULL, NULL);
    objects_holds(l, "a", 2, 8, 1, "n1 -");
    ledger_job_avoids(l, "a", "n2", 5000, 0);
    assert_int_equal(ledger_next_wake_ms(l, 0), 5000);
    objects_plan(l, 1);
    assert_string_equal(objects_next(l), "replace a.1: n3");
    objects_node(l, "n3", 8, NULL, "unschedulable: true");
    objects_plan(l, 2);
    assert_string_equal(objects_next(l), "wait a.1");
    objects_plan(l, 5000);
    assert_string_equal(objects_next(l), "replace a.1: n2");
    assert_true(ledger_next_wake_ms(l, 5000) == INT64_MAX);
    ledger_free(l);
}

static void test_the_same_object_again_changes_nothing(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    for (int i = 0; i < 2; i++) {
        objects_node(l, "n1", 8, "pool: red", NULL);
        objects_waits(l, "a", 1, 2, 1, "nodeSelector: {pool: red},");
        objects_holds(l, "b", 1, 4, 1, "n1");
        objects_pod(l, "x", "n1", "Running", "", "{name: c, resources: {requests: {cpu: 1}}}");
        objects_member(l, "b", 0, "n1", "Running", 4, "");
        ledger_job_avoids(l, "a", "n1", 100, 0);
        if (i == 0)
            objects_plan(l, 0);
    }
    assert_false(ledger_needs_plan(l));
    ledger_job_gone(l, "unknown", 0);
    ledger_node_gone(l, "unknown", 0);
    objects_pod_gone(l, "unknown");
    assert_false(ledger_needs_plan(l));
    ledger_free(l);
}

static void test_too_many_kinds_of_devices_are_refused_in_words(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    struct mlt_error err = {0};
    cleanup_json cJSON *template_ =
        objects_yaml("spec: {containers: [{name: trainer, resources: {limits: {a.b/c: 1, a.b/d: 1, "
                     "a.b/e: 1, a.b/f: 1}}}]}\n");
    cleanup_trainingjob struct trainingjob job = objects_job("a", 1, 1, 1, NULL);
    assert_int_equal(ledger_job_waits(l, &job, template_, 0, &err), -EINVAL);
    assert_string_equal(
        err.text,
        "asks for a.b/f: at most 5 kinds of devices (and ephemeral-storage) can be in use by"
        " training jobs at a time");
    ledger_free(l);
}

static void test_devices_that_only_a_job_names_are_counted(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    struct mlt_error err = {0};
    cleanup_json cJSON *template_ =
        objects_yaml("spec: {containers: [{name: trainer, resources: {limits: {rdma/hca: 1}}}]}\n");
    cleanup_trainingjob struct trainingjob job = objects_job("a", 1, 0, 1, NULL);
    objects_node(l, "n1", 8, NULL, NULL);
    assert_int_equal(ledger_job_waits(l, &job, template_, 0, &err), 0);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "never a");
    assert_string_equal(objects_reason(), "needs 1 rdma/hca on one node; the largest node has 0");
    cleanup_json cJSON *node =
        objects_yaml("metadata: {name: n0}\nstatus: {allocatable: {rdma/hca: 1}}\n");
    ledger_node(l, node, 0);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place a: n0");
    ledger_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_is_placed_on_nodes_in_the_order_of_their_names),
        cmocka_unit_test(test_the_reason_names_who_holds_what_is_missing),
        cmocka_unit_test(test_two_jobs_that_need_most_of_the_cluster_run_one_after_the_other),
        cmocka_unit_test(test_what_never_fits_says_why),
        cmocka_unit_test(test_could_fit_needs_no_job_in_the_ledger),
        cmocka_unit_test(test_priority_classes_order_jobs),
        cmocka_unit_test(
            test_who_has_a_lower_priority_is_asked_to_leave_once_and_the_place_is_kept),
        cmocka_unit_test(test_nobody_leaves_for_a_class_that_preempts_never),
        cmocka_unit_test(
            test_a_job_without_a_limit_starts_early_on_condition_where_a_start_is_reserved),
        cmocka_unit_test(test_a_lost_member_is_replaced_and_an_avoided_node_left_out),
        cmocka_unit_test(test_the_same_object_again_changes_nothing),
        cmocka_unit_test(test_too_many_kinds_of_devices_are_refused_in_words),
        cmocka_unit_test(test_devices_that_only_a_job_names_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
