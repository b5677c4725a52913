/* What stands on a node: pods of others, members of gangs (counted once), what is left behind. */
#include "ledger/internal.h"
#include "tests/unit/ledger/objects.h"

static int64_t others(struct ledger *l, const char *node, uint32_t resource)
{
    struct mlt_error err = {0};
    struct gang_node_view view;
    if (ledger_sync(l, 0, &err) < 0 || ledger_check(l, &err) < 0)
        fail_msg("%s", err.text);
    const struct ledger_node *n = ledger_map_find(&l->nodes, node);
    gang_node(l->gang, n->number, &view);
    return view.used_by_others[resource];
}

static int64_t free_gpus(struct ledger *l, const char *node)
{
    struct gang_node_view view;
    int64_t used = others(l, node, GANG_DEVICE_0);
    const struct ledger_node *n = ledger_map_find(&l->nodes, node);
    gang_node(l->gang, n->number, &view);
    return view.capacity[GANG_DEVICE_0] - used - view.used_by_gangs[GANG_DEVICE_0];
}

static void test_a_pod_asks_for_what_kubernetes_says_it_does(void **state)
{
    (void)state;
    const struct {
        const char *what, *spec;
        int64_t cpu_milli, memory_mib, gpus;
    } rows[] = {
        {"containers add up",
         "containers: [{resources: {requests: {cpu: 500m, memory: 1Gi}}},"
         " {resources: {requests: {cpu: 1}, limits: {nvidia.com/gpu: 2}}}]",
         1500, 1024, 2},
        {"an init container counts where it is the larger",
         "initContainers: [{resources: {requests: {cpu: 4}}}],"
         " containers: [{resources: {requests: {cpu: 1, memory: 2Gi}}}]",
         4000, 2048, 0},
        {"a sidecar stays beside containers and later init containers",
         "initContainers: [{restartPolicy: Always, resources: {requests: {cpu: 1}}},"
         " {resources: {requests: {cpu: 4}}}],"
         " containers: [{resources: {requests: {cpu: 2}}}]",
         5000, 0, 0},
        {"pod-level resources replace the sum",
         "resources: {requests: {cpu: 8}}, containers: [{resources: {requests: {cpu: 1, memory: "
         "1Gi}}}]",
         8000, 1024, 0},
        {"overhead comes on top",
         "overhead: {cpu: 250m, memory: 64Mi}, containers: [{resources: {requests: {cpu: 1}}}]",
         1250, 64, 0},
        {"a malformed quantity asks for nothing",
         "containers: [{resources: {requests: {cpu: lots}}}]", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ledger *l = objects_ledger();
        objects_node(l, "n1", 8, NULL, NULL);
        cleanup_json cJSON *pod =
            objects_yaml("metadata: {name: p, namespace: ns, uid: u}\n"
                         "spec: {nodeName: n1, %s}\nstatus: {phase: Running}\n",
                         rows[i].spec);
        ledger_pod(l, pod, NULL, 0);
        if (others(l, "n1", GANG_CPU_MILLI) != rows[i].cpu_milli ||
            others(l, "n1", GANG_MEMORY) != rows[i].memory_mib << 20 ||
            others(l, "n1", GANG_DEVICE_0) != rows[i].gpus || others(l, "n1", GANG_PODS) != 1)
            fail_msg("%s", rows[i].what);
        ledger_free(l);
    }
}

static void test_a_pod_counts_from_binding_to_its_end(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    const char *gpu = "{name: c, resources: {limits: {nvidia.com/gpu: 2}}}";
    objects_pod(l, "p", "n1", "Running", "", gpu); /* before its node is known */
    objects_node(l, "n1", 8, NULL, NULL);
    objects_node(l, "n2", 8, NULL, NULL);
    assert_int_equal(free_gpus(l, "n1"), 6);
    objects_pod(l, "p", "n1", "Succeeded", "", gpu);
    assert_int_equal(free_gpus(l, "n1"), 8);
    objects_pod(l, "q", "", "Pending", "", gpu);
    assert_int_equal(free_gpus(l, "n2"), 8);
    objects_pod(l, "q", "n2", "Pending", "", gpu);
    assert_int_equal(free_gpus(l, "n2"), 6);
    cleanup_json cJSON *terminating = objects_yaml(
        "metadata: {name: q, namespace: ns, uid: q, deletionTimestamp: '2026-11-24T10:00:00Z'}\n"
        "spec: {nodeName: n2, containers: [%s]}\nstatus: {phase: Running}\n",
        gpu);
    ledger_pod(l, terminating, NULL, 0);
    assert_int_equal(free_gpus(l, "n2"), 6);
    objects_pod_gone(l, "q");
    assert_int_equal(free_gpus(l, "n2"), 8);
    ledger_free(l);
}

static void test_two_pods_of_one_member_count_the_same_in_any_order(void **state)
{
    (void)state;
    static const char labels[] =
        "mltrain.io/job-uid: a, mltrain.io/role: worker, mltrain.io/index: '0'";
    static const char *const names[] = {"p", "q"};
    static const char *const containers[] = {"{name: c, resources: {limits: {nvidia.com/gpu: 1}}}",
                                             "{name: c, resources: {limits: {nvidia.com/gpu: 2}}}"};
    int64_t seen[2];
    for (int first = 0; first < 2; first++) {
        struct ledger *l = objects_ledger();
        objects_node(l, "n1", 8, NULL, NULL);
        objects_holds(l, "a", 1, 4, 1, "n1");
        objects_pod(l, names[first], "n1", "Running", labels, containers[first]);
        objects_pod(l, names[1 - first], "n1", "Running", labels, containers[1 - first]);
        seen[first] = others(l, "n1", GANG_DEVICE_0);
        ledger_free(l);
    }
    assert_int_equal(seen[0], seen[1]);
}

static void test_a_member_of_a_placed_gang_is_counted_once(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    objects_member(l, "a", 0, "n1", "Running", 4, "");
    assert_int_equal(free_gpus(l, "n1"), 4); /* its job is not known yet */
    objects_holds(l, "a", 1, 4, 1, "n1");
    assert_int_equal(free_gpus(l, "n1"), 4); /* now by its placement */
    assert_int_equal(others(l, "n1", GANG_DEVICE_0), 0);
    objects_pod_gone(l, "a-0");
    assert_int_equal(free_gpus(l, "n1"), 4); /* the place is held, pod or no pod */
    ledger_free(l);
}

static void test_a_member_that_is_left_behind_counts_until_it_is_gone(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    objects_node(l, "n2", 8, NULL, NULL);
    objects_holds(l, "a", 1, 8, 1, "n1");
    objects_member(l, "a", 0, "n1", "Running", 8, "");
    assert_int_equal(free_gpus(l, "n1"), 0);
    objects_holds(l, "a", 1, 8, 1, "n2"); /* replaced; the old pod is still terminating */
    objects_member(l, "a", 0, "n2", "Running", 8, "-r2");
    assert_int_equal(free_gpus(l, "n1"), 0);
    assert_int_equal(free_gpus(l, "n2"), 0);
    objects_pod_gone(l, "a-0");
    assert_int_equal(free_gpus(l, "n1"), 8);
    ledger_job_gone(l, "a", 0); /* stopped; its pods end by and by */
    assert_int_equal(free_gpus(l, "n2"), 0);
    objects_pod_gone(l, "a-0-r2");
    assert_int_equal(free_gpus(l, "n2"), 8);
    ledger_free(l);
}

static void test_two_pods_of_one_member_on_its_node_count_as_two(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    objects_holds(l, "a", 1, 2, 1, "n1");
    objects_member(l, "a", 0, "n1", "Running", 2, "");
    objects_member(l, "a", 0, "n1", "Pending", 2, "-r2");
    objects_member(l, "a", 7, "n1", "Running", 1, ""); /* no such member: somebody's own making */
    assert_int_equal(free_gpus(l, "n1"), 3);
    objects_member(l, "a", 0, "n1", "Failed", 2, "");
    assert_int_equal(free_gpus(l, "n1"), 5);
    ledger_free(l);
}

/* Anybody may put any labels on a pod, and name any owner in a namespace of his own. */
static void test_a_pod_that_only_looks_like_a_member_counts_as_a_strangers(void **state)
{
    (void)state;
    const struct {
        const char *namespace_, *job_uid;
    } rows[] = {{"ns", NULL}, {"ns", ""}, {"ns", "b"}, {"other", "a"}, {"n", "a"}, {"", "a"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ledger *l = objects_ledger();
        cleanup_json cJSON *pod = objects_yaml(
            "metadata: {name: 0, namespace: '%s', uid: 0, labels: {mltrain.io/job-uid: a,"
            " mltrain.io/role: worker, mltrain.io/index: '0'}}\n"
            "spec: {nodeName: n1, containers: [{name: c, resources: {limits: {nvidia.com/gpu: "
            "5}}}]}\n",
            rows[i].namespace_);
        objects_node(l, "n1", 8, NULL, NULL);
        objects_holds(l, "a", 1, 2, 1, "n1");
        ledger_pod(l, pod, rows[i].job_uid, 0);
        objects_member(l, "a", 0, "n1", "Running", 2, "");
        assert_int_equal(others(l, "n1", GANG_DEVICE_0), 5);
        assert_int_equal(free_gpus(l, "n1"), 1);
        ledger_pod(l, pod, "a", 0); /* what is known of it may change, with the API server's view */
        ledger_pod(l, pod, rows[i].job_uid, 0);
        assert_int_equal(free_gpus(l, "n1"), 1);
        ledger_free(l);
    }
}

static void test_a_node_that_is_gone_keeps_what_stands_on_it(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    objects_holds(l, "a", 1, 4, 1, "n1");
    objects_pod(l, "p", "n1", "Running", "", "{name: c, resources: {limits: {nvidia.com/gpu: 1}}}");
    assert_int_equal(free_gpus(l, "n1"), 3);
    ledger_node_gone(l, "n1", 0);
    assert_int_equal(free_gpus(l, "n1"), -4);
    objects_node(l, "n0", 8, NULL,
                 NULL); /* comes before it in order: everything is numbered anew */
    objects_node(l, "n1", 8, NULL, NULL);
    assert_int_equal(free_gpus(l, "n1"), 3);
    assert_int_equal(free_gpus(l, "n0"), 8);
    ledger_free(l);
}

/* A pod of somebody with so many GPUs on n1, as one that was deleted with this grace (below 0: was
 * not deleted). */
static void others_pod(struct ledger *l, const char *name, int gpus, int grace_s, int64_t now_ms)
{
    char deleted[128] = "";
    if (grace_s >= 0)
        (void)snprintf(
            deleted, sizeof deleted,
            ", deletionTimestamp: '2026-11-24T10:00:00Z', deletionGracePeriodSeconds: %d", grace_s);
    cleanup_json cJSON *pod = objects_yaml(
        "metadata: {name: %s, namespace: ns, uid: %s%s}\n"
        "spec: {nodeName: n1, containers: [{resources: {limits: {nvidia.com/gpu: %d}}}]}\n"
        "status: {phase: Running}\n",
        name, name, deleted, gpus);
    ledger_pod(l, pod, NULL, now_ms);
}

static void expect(struct ledger *l, int64_t now_ms, const char *first, const char *second)
{
    objects_plan(l, now_ms);
    assert_string_equal(objects_next(l), first);
    assert_string_equal(objects_next(l), second);
    assert_string_equal(objects_next(l), "");
}

static void test_who_waits_for_a_pod_that_ends_keeps_its_turn_for_a_while(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    objects_waits(l, "a", 1, 8, 1, NULL);
    objects_waits(l, "b", 1, 1, 2, NULL);
    others_pod(l, "p", 4, -1, 1000); /* it stays: nothing is kept for who waits for it */
    expect(l, 1000, "place b: n1", "wait a at 1");
    others_pod(l, "p", 4, 20, 2000);
    expect(l, 2000, "wait a at 1", "wait b at 2");
    assert_int_equal(free_gpus(l, "n1"), 4); /* it is not free yet */
    assert_int_equal(ledger_next_wake_ms(l, 2000), 52000);
    others_pod(l, "p", 4, 20, 40000); /* told again: no longer for that */
    expect(l, 51999, "wait a at 1", "wait b at 2");
    expect(l, 52000, "place b: n1", "wait a at 1"); /* it has not ended in its time */
    assert_true(ledger_next_wake_ms(l, 52000) == INT64_MAX);
    others_pod(l, "p", 4, 20, 53000);
    expect(l, 53000, "place b: n1", "wait a at 1");
    objects_pod_gone(l, "p");
    expect(l, 54000, "place a: n1", "wait b at 1");
    ledger_free(l);
}

static void test_no_pod_counts_as_ending_for_longer_than_ten_minutes(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    objects_waits(l, "a", 1, 8, 1, NULL);
    objects_waits(l, "b", 1, 1, 2, NULL);
    others_pod(l, "p", 3, 1000000, 0);
    others_pod(l, "q", 1, 5, 0);
    expect(l, 0, "wait a at 1", "wait b at 2");
    assert_int_equal(ledger_next_wake_ms(l, 0), 35000);
    expect(l, 35000, "place b: n1",
           "wait a at 1"); /* q stays, it seems: a does not fit beside it */
    objects_pod_gone(l, "q");
    expect(l, 36000, "wait a at 1", "wait b at 2");
    assert_int_equal(ledger_next_wake_ms(l, 36000), 630000);
    expect(l, 630000, "place b: n1", "wait a at 1");
    ledger_free(l);
}

/* Simulated seed 4115: a member was replaced elsewhere, its former pod still ends, and a job that
 * needs nearly everything waits. */
static void test_a_former_pod_that_ends_does_not_let_anybody_pass_a_wide_job(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    objects_node(l, "n2", 8, NULL, NULL);
    objects_holds(l, "x", 1, 4, 1, "n2");
    objects_waits(l, "wide", 2, 8, 2, NULL);
    objects_waits(l, "small", 1, 1, 3, NULL);
    cleanup_json cJSON *former = objects_yaml(
        "metadata: {name: x-0, namespace: ns, uid: x-0, labels: {mltrain.io/job-uid: x, "
        "mltrain.io/role: worker, mltrain.io/index: '0'}, deletionTimestamp: "
        "'2026-11-24T10:00:00Z', deletionGracePeriodSeconds: 30}\n"
        "spec: {nodeName: n1, containers: [{resources: {limits: {nvidia.com/gpu: 4}}}]}\n"
        "status: {phase: Running}\n");
    ledger_pod(l, former, "x", 0);
    expect(l, 0, "wait wide at 1", "wait small at 2");
    ledger_free(l);
}

/* The same, earlier: the member has just lost its place, and nobody has heard yet that its pod is
 * deleted. That is not waited for longer than for any other. */
static void test_the_pod_of_a_replaced_member_ends_before_that_is_heard(void **state)
{
    (void)state;
    static const char former[] =
        "metadata: {name: x-0, namespace: ns, uid: x-0, labels: {mltrain.io/job-uid: x, "
        "mltrain.io/role: worker, mltrain.io/index: '0'}%s}\n"
        "spec: {nodeName: n1, terminationGracePeriodSeconds: 40, "
        "containers: [{resources: {limits: {nvidia.com/gpu: 4}}}]}\n"
        "status: {phase: Running}\n";
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    objects_node(l, "n2", 8, NULL, NULL);
    objects_holds(l, "x", 1, 4, 1, "n1");
    cleanup_json cJSON *runs = objects_yaml(former, "");
    ledger_pod(l, runs, "x", 0);
    objects_waits(l, "wide", 2, 8, 2, NULL);
    objects_waits(l, "small", 1, 1, 3, NULL);
    expect(l, 1000, "wait wide at 1", "wait small at 2");
    assert_true(ledger_next_wake_ms(l, 1000) == INT64_MAX);
    objects_holds(l, "x", 1, 4, 1, "-");
    objects_plan(l, 2000);
    assert_string_equal(objects_next(l), "replace x.0: n1");
    assert_string_equal(objects_next(l), "wait wide at 1");
    assert_string_equal(objects_next(l), "wait small at 2");
    assert_int_equal(free_gpus(l, "n1"), 4); /* it is not free yet */
    objects_holds(l, "x", 1, 4, 1, "n2");
    expect(l, 3000, "wait wide at 1", "wait small at 2");
    assert_int_equal(ledger_next_wake_ms(l, 3000), 72000);
    ledger_pod(l, runs, "x", 4000); /* told again: no longer for that */
    expect(l, 71999, "wait wide at 1", "wait small at 2");
    expect(l, 72000, "place small: n1", "wait wide at 1"); /* nobody deletes it, it seems */
    cleanup_json cJSON *ends = objects_yaml(former, ", deletionTimestamp: '2026-11-24T10:00:00Z', "
                                                    "deletionGracePeriodSeconds: 10");
    ledger_pod(l, ends, "x", 80000);
    expect(l, 80000, "wait wide at 1", "wait small at 2");
    assert_int_equal(ledger_next_wake_ms(l, 80000), 120000);
    objects_pod_gone(l, "x-0");
    objects_plan(l, 81000);
    ledger_free(l);
}

/* What is not its job's any more, or stands in its place again, is not about to end. */
static void test_a_pod_that_got_its_place_back_does_not_end(void **state)
{
    (void)state;
    struct gang_node_view view;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    objects_node(l, "n2", 8, NULL, NULL);
    objects_holds(l, "x", 1, 4, 1, "n2");
    objects_member(l, "x", 0, "n1", "Running", 4, "");
    for (int round = 0; round < 2; round++) {
        objects_holds(l, "x", 1, 4, 1, "n2");
        objects_plan(l, 1000);
        gang_node(l->gang, 0, &view);
        assert_int_equal(view.ending[GANG_DEVICE_0], 4);
        if (round == 0)
            objects_holds(l, "x", 1, 4, 1, "n1");
        else
            objects_pod(l, "x-0", "n1", "Running", "",
                        "{name: c, resources: {limits: {nvidia.com/gpu: 4}}}");
        objects_plan(l, 1000);
        gang_node(l->gang, 0, &view);
        assert_int_equal(view.ending[GANG_DEVICE_0], 0);
    }
    assert_int_equal(free_gpus(l, "n1"), 4);
    ledger_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod_asks_for_what_kubernetes_says_it_does),
        cmocka_unit_test(test_a_pod_counts_from_binding_to_its_end),
        cmocka_unit_test(test_two_pods_of_one_member_count_the_same_in_any_order),
        cmocka_unit_test(test_a_member_of_a_placed_gang_is_counted_once),
        cmocka_unit_test(test_a_member_that_is_left_behind_counts_until_it_is_gone),
        cmocka_unit_test(test_two_pods_of_one_member_on_its_node_count_as_two),
        cmocka_unit_test(test_a_pod_that_only_looks_like_a_member_counts_as_a_strangers),
        cmocka_unit_test(test_a_node_that_is_gone_keeps_what_stands_on_it),
        cmocka_unit_test(test_who_waits_for_a_pod_that_ends_keeps_its_turn_for_a_while),
        cmocka_unit_test(test_no_pod_counts_as_ending_for_longer_than_ten_minutes),
        cmocka_unit_test(test_a_former_pod_that_ends_does_not_let_anybody_pass_a_wide_job),
        cmocka_unit_test(test_the_pod_of_a_replaced_member_ends_before_that_is_heard),
        cmocka_unit_test(test_a_pod_that_got_its_place_back_does_not_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
