/* Which nodes a job may use: selectors, affinity, taints, cordon, readiness, time-sliced GPUs. */
#include "lib/base/alloc.h"
#include "tests/unit/ledger/objects.h"

#define AFFINITY(terms)                                                          \
    "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: " \
    "{nodeSelectorTerms: " terms "}}},"

/* Of the nodes "red", "blue", "tainted", "sliced" and "big": which ones a one-pod job may use, by
 * asking for as many pods as there could be and looking at where they go. */
static void may_use(const char *what, const char *template_spec, const char *expected)
{
    struct ledger *l = objects_ledger();
    objects_node(l, "big", 1, "size: '64', pool: red", NULL);
    objects_node(l, "blue", 1, "pool: blue, size: '8'", NULL);
    objects_node(l, "red", 1, "pool: red, size: '8'", NULL);
    objects_node(l, "sliced", 1, "pool: red, nvidia.com/gpu.replicas: '4'", NULL);
    objects_node(
        l, "tainted", 1, "pool: red",
        "taints: [{key: team, value: a, effect: NoSchedule}, {key: x, effect: PreferNoSchedule}]");
    char used[256] = "";
    for (int pods = 1; pods <= 5; pods++) {
        objects_waits(l, "a", pods, 1, 1, template_spec);
        objects_plan(l, 0);
        const char *decision = objects_next(l);
        if (strncmp(decision, "place a: ", 9) == 0)
            (void)snprintf(used, sizeof used, "%s", decision + 9);
    }
    if (strcmp(used, expected) != 0)
        fail_msg("%s: `%s`, expected `%s`", what, used, expected);
    ledger_free(l);
}

static void test_a_job_uses_only_nodes_that_suit_it(void **state)
{
    (void)state;
    const struct {
        const char *what, *template_spec, *nodes;
    } rows[] = {
        {"no constraint: neither taints nor slices", "", "big blue red"},
        {"nodeSelector", "nodeSelector: {pool: red},", "big red"},
        {"nodeSelector with two labels", "nodeSelector: {pool: red, size: '8'},", "red"},
        {"a toleration of key and value",
         "tolerations: [{key: team, operator: Equal, value: a, effect: NoSchedule}],",
         "big blue red tainted"},
        {"a toleration without operator is Equal", "tolerations: [{key: team, value: a}],",
         "big blue red tainted"},
        {"a toleration of another value", "tolerations: [{key: team, value: b}],", "big blue red"},
        {"a toleration of another effect",
         "tolerations: [{key: team, operator: Exists, effect: NoExecute}],", "big blue red"},
        {"a toleration of everything", "tolerations: [{operator: Exists}],",
         "big blue red tainted"},
        {"affinity In",
         AFFINITY("[{matchExpressions: [{key: pool, operator: In, values: [blue, x]}]}]"), "blue"},
        {"affinity NotIn, absent matches too",
         AFFINITY("[{matchExpressions: [{key: size, operator: NotIn, values: ['8']}]}]"), "big"},
        {"affinity Gt",
         AFFINITY("[{matchExpressions: [{key: size, operator: Gt, values: ['10']}]}]"), "big"},
        {"one of two terms is enough",
         AFFINITY("[{matchExpressions: [{key: pool, operator: In, values: [blue]}]},"
                  " {matchExpressions: [{key: size, operator: Exists}, {key: pool, operator: In, "
                  "values: [red]}]}]"),
         "big blue red"},
        {"an empty term matches nothing", AFFINITY("[{}]"), ""},
        {"a node by name",
         AFFINITY("[{matchFields: [{key: metadata.name, operator: In, values: [red]}]}]"), "red"},
        {"all nodes but one by name",
         AFFINITY("[{matchFields: [{key: metadata.name, operator: NotIn, values: [red]}]}]"),
         "big blue"},
        {"a term's parts must all match",
         AFFINITY("[{matchFields: [{key: metadata.name, operator: NotIn, values: [red]}],"
                  " matchExpressions: [{key: pool, operator: In, values: [red]}]}]"),
         "big"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        may_use(rows[i].what, rows[i].template_spec, rows[i].nodes);
}

static void test_constraints_that_cannot_be_understood_are_refused(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    const struct {
        const char *template_spec, *words;
    } rows[] = {
        {AFFINITY("[{matchFields: [{key: metadata.uid, operator: In, values: [x]}]}]"),
         "worker: template: spec: affinity.nodeAffinity: nodeSelectorTerms[0]: matchFields: key "
         "`metadata.uid`, "
         "expected metadata.name"},
        {AFFINITY("[{}, {matchFields: [{key: metadata.name, operator: Gt, values: [x]}]}]"),
         "worker: template: spec: affinity.nodeAffinity: nodeSelectorTerms[1]: matchFields: "
         "operator `Gt`, expected "
         "In or NotIn"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mlt_error err = {0};
        cleanup_trainingjob struct trainingjob job =
            objects_job("a", 1, 1, 1, rows[i].template_spec);
        assert_int_equal(ledger_job_waits(l, &job, NULL, 0, &err), -EINVAL);
        assert_string_equal(err.text, rows[i].words);
    }
    ledger_free(l);
}

#define LOCAL_TO(node) \
    "[{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [" node "]}]}]"

/* Which of three nodes a pod of a job with these volumes comes to; "" none, then see the reason. */
static const char *place_with(struct ledger *l, const char *volumes, const char *template_spec)
{
    cleanup_json cJSON *said = objects_yaml("%s", volumes);
    objects_node(l, "n1", 1, "kubernetes.io/hostname: n1, zone: a", NULL);
    objects_node(l, "n2", 1, "kubernetes.io/hostname: n2, zone: a", NULL);
    objects_node(l, "n3", 1, "kubernetes.io/hostname: n3, zone: b", NULL);
    ledger_job_volumes(l, "a", said);
    objects_waits(l, "a", 1, 1, 1, template_spec);
    objects_plan(l, 0);
    const char *decision = objects_next(l);
    return strncmp(decision, "place a: ", 9) == 0 ? decision + 9 : "";
}

static void test_a_job_goes_where_all_its_volumes_can_be_mounted(void **state)
{
    (void)state;
    static const char zone_a[] = "nodeSelector: {zone: a},", zone_b[] = "nodeSelector: {zone: b},";
    const struct {
        const char *volumes, *template_spec, *node;
    } rows[] = {
        {"[" LOCAL_TO("n2") "]", "", "n2"},
        {"[" LOCAL_TO("n2") "]", zone_a, "n2"},
        {"[" LOCAL_TO("n2") "]", zone_b, ""},
        {"[" LOCAL_TO("n2, n3") ", " LOCAL_TO("n3") "]", "", "n3"},
        {"[" LOCAL_TO("n2") ", " LOCAL_TO("n3") "]", "", ""},
        {"[[{matchFields: [{key: metadata.name, operator: In, values: [n3]}]}]]", "", "n3"},
        {"[[{}, {matchExpressions: [{key: zone, operator: In, values: [b]}]}]]", "", "n3"},
        {"[[]]", "", ""}, /* no term: no node */
        {"[]", "", "n1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ledger *l = objects_ledger();
        assert_string_equal(place_with(l, rows[i].volumes, rows[i].template_spec), rows[i].node);
        ledger_free(l);
    }
}

static void test_a_volume_that_no_node_can_mount_is_named_as_the_reason(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    assert_string_equal(place_with(l, "[" LOCAL_TO("elsewhere") "]", ""), "");
    assert_string_equal(objects_reason(), "none of the 3 nodes may be used: ruled out are 3 by "
                                          "volumes that only other nodes can mount");
    ledger_free(l);
}

/* A volume is bound while the gang holds its place: whoever is replaced goes to where it is. */
static void test_a_member_is_replaced_where_the_volume_is(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    assert_string_equal(place_with(l, "[" LOCAL_TO("n1") "]", ""), "n1");
    cleanup_json cJSON *moved = objects_yaml("%s", "[" LOCAL_TO("n3") "]");
    ledger_job_volumes(l, "a", moved);
    objects_holds(l, "a", 1, 1, 1, "-");
    assert_true(ledger_node_takes(l, "a", "worker", "n3"));
    assert_false(ledger_node_takes(l, "a", "worker", "n1"));
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "replace a.0: n3");
    /* What was said goes with the job. */
    ledger_job_gone(l, "a", 0);
    objects_plan(l, 0);
    objects_waits(l, "a", 1, 1, 1, NULL);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place a: n1");
    ledger_free(l);
}

static void test_a_volume_that_cannot_be_understood_is_refused(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    struct ledger *l = objects_ledger();
    cleanup_json cJSON *said = objects_yaml(
        "[[{matchFields: [{key: metadata.uid, operator: In, values: [x]}]}]]");
    cleanup_trainingjob struct trainingjob job = objects_job("a", 1, 1, 1, NULL);
    ledger_job_volumes(l, "a", said);
    assert_int_equal(ledger_job_waits(l, &job, NULL, 0, &err), -EINVAL);
    assert_string_equal(err.text, "worker: template: spec: a bound PersistentVolume: "
                                  "spec.nodeAffinity.required: nodeSelectorTerms[0]: matchFields: "
                                  "key `metadata.uid`, expected metadata.name");
    ledger_free(l);
}

static void test_whole_gpus_only_matter_to_those_who_ask_for_them(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "sliced", 8, "nvidia.com/gpu.replicas: '2'", NULL);
    objects_waits(l, "a", 1, 0, 1, NULL);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place a: sliced");
    ledger_free(l);
}

static void test_a_node_counts_only_while_it_is_ready_and_not_cordoned(void **state)
{
    (void)state;
    const struct {
        const char *what, *spec, *conditions;
        bool usable;
    } rows[] = {
        {"ready", "", "[{type: Ready, status: 'True'}]", true},
        {"not ready", "",
         "[{type: MemoryPressure, status: 'False'}, {type: Ready, status: 'False'}]", false},
        {"not heard of", "", "[{type: Ready, status: Unknown}]", false},
        {"cordoned", "unschedulable: true", "[{type: Ready, status: 'True'}]", false},
        {"says nothing about it", "", "[]", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ledger *l = objects_ledger();
        cleanup_json cJSON *node =
            objects_yaml("metadata: {name: n1}\nspec: {%s}\n"
                         "status: {allocatable: {nvidia.com/gpu: 1}, conditions: %s}\n",
                         rows[i].spec, rows[i].conditions);
        ledger_node(l, node, 0);
        objects_waits(l, "a", 1, 1, 1, NULL);
        objects_plan(l, 0);
        if (strcmp(objects_next(l), rows[i].usable ? "place a: n1" : "wait a at 1") != 0)
            fail_msg("%s", rows[i].what);
        ledger_free(l);
    }
}

static void test_labels_that_change_change_what_may_be_used(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 1, "pool: blue", NULL);
    objects_waits(l, "a", 1, 1, 1, "nodeSelector: {pool: red},");
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "never a");
    objects_node(l, "n1", 1, "pool: red", NULL);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place a: n1");
    objects_node(l, "n1", 1, "pool: red", "taints: [{key: k, effect: NoExecute}]");
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "never a");
    ledger_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_uses_only_nodes_that_suit_it),
        cmocka_unit_test(test_constraints_that_cannot_be_understood_are_refused),
        cmocka_unit_test(test_a_job_goes_where_all_its_volumes_can_be_mounted),
        cmocka_unit_test(test_a_volume_that_no_node_can_mount_is_named_as_the_reason),
        cmocka_unit_test(test_a_member_is_replaced_where_the_volume_is),
        cmocka_unit_test(test_a_volume_that_cannot_be_understood_is_refused),
        cmocka_unit_test(test_whole_gpus_only_matter_to_those_who_ask_for_them),
        cmocka_unit_test(test_a_node_counts_only_while_it_is_ready_and_not_cordoned),
        cmocka_unit_test(test_labels_that_change_change_what_may_be_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
