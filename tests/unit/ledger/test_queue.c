/* TrainingQueues: which jobs may use them, which nodes those may use, and what the gang is told. */
#include "ledger/internal.h"
#include "tests/unit/ledger/objects.h"

/* `spec`: YAML in one line. */
static void set_queue(struct ledger *l, const char *name, const char *spec)
{
    cleanup_json cJSON *queue =
        objects_yaml("apiVersion: mltrain.io/v1alpha1\nkind: TrainingQueue\n"
                     "metadata: {name: %s}\nspec: {%s}\n",
                     name, spec);
    ledger_queue(l, queue);
}

/* A job of one pod. */
static void waits_in(struct ledger *l, const char *name, const char *queue, int gpus, int sequence)
{
    struct mlt_error err = {0};
    cleanup_trainingjob struct trainingjob job = objects_job(name, 1, gpus, sequence, NULL);
    job.spec.queue = queue;
    if (ledger_job_waits(l, &job, NULL, 0, &err) < 0)
        fail_msg("%s", err.text);
}

static void expect(struct ledger *l, const char *decision, const char *reason)
{
    const char *got = objects_next(l);
    if (strcmp(got, decision) != 0 || (reason && strcmp(objects_reason(), reason) != 0))
        fail_msg("expected `%s` (%s), got `%s` (%s)", decision, reason ? reason : "", got,
                 objects_reason());
}

static void test_names_are_free_until_there_is_a_queue_besides_the_default_one(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    set_queue(l, "default", "");
    waits_in(l, "a", "team", 1, 1);
    objects_plan(l, 0);
    expect(l, "place a: n1", NULL);
    set_queue(l, "other", "");
    objects_plan(l, 0);
    expect(l, "never a", "there is no TrainingQueue team");
    expect(l, "", NULL);
    set_queue(l, "team", "");
    objects_plan(l, 0);
    expect(l, "place a: n1", NULL);
    ledger_queue_gone(l, "team");
    objects_plan(l, 0);
    expect(l, "never a", "there is no TrainingQueue team");
    ledger_queue_gone(l, "other");
    objects_plan(l, 0);
    expect(l, "place a: n1", NULL);
    ledger_free(l);
}

static void test_the_default_queue_is_always_there(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    set_queue(l, "team", "");
    waits_in(l, "a", NULL, 1, 1);
    objects_plan(l, 0);
    expect(l, "place a: n1", NULL);
    ledger_free(l);
}

static void test_a_queue_that_cannot_be_used_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *what, *queue, *reason;
    } rows[] = {
        {"no parent", "orphan",
         "TrainingQueue orphan: spec.parent: there is no TrainingQueue nobody"},
        {"a parent without one", "grandchild",
         "TrainingQueue orphan: spec.parent: there is no TrainingQueue nobody"},
        {"a circle", "egg",
         "TrainingQueue egg: spec.parent: more than 8 queues one above the other, or a circle"},
        {"a spec that is none", "wrong",
         "TrainingQueue wrong: spec.weight: expected a whole number from 1 to 1000000, got 0"},
        {"labels of namespaces", "labels",
         "TrainingQueue labels: spec.namespaceSelector.matchLabels: `team`: only "
         "kubernetes.io/metadata.name is supported yet"},
        {"a node selector of numbers", "numbers",
         "TrainingQueue numbers: spec.nodeSelector: expected texts"},
        {"another namespace", "elsewhere",
         "TrainingQueue elsewhere: spec.namespaceSelector: not for jobs of namespace ns"},
    };
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    set_queue(l, "orphan", "parent: nobody");
    set_queue(l, "grandchild", "parent: orphan");
    set_queue(l, "egg", "parent: hen");
    set_queue(l, "hen", "parent: egg");
    set_queue(l, "wrong", "weight: 0");
    set_queue(l, "labels", "namespaceSelector: {matchLabels: {team: a}}");
    set_queue(l, "numbers", "nodeSelector: {a: 1}");
    set_queue(l, "elsewhere",
              "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        waits_in(l, "a", rows[i].queue, 1, 1);
        objects_plan(l, 0);
        expect(l, "never a", rows[i].reason);
        expect(l, "", NULL);
    }
    ledger_free(l);
}

static void test_a_queue_may_be_for_some_namespaces(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    set_queue(l, "q",
              "namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: "
              "In, values: [x, ns]}]}");
    waits_in(l, "a", "q", 1, 1);
    objects_plan(l, 0);
    expect(l, "place a: n1", NULL);
    ledger_free(l);
}

static void test_the_nodes_of_a_queue_are_those_that_its_selector_names(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    struct mlt_error err = {0};
    objects_node(l, "n1", 8, "pool: red, disk: ssd", NULL);
    objects_node(l, "n2", 8, "pool: blue, disk: ssd", NULL);
    objects_node(l, "n3", 8, "pool: blue", NULL);
    cleanup_trainingjob struct trainingjob job =
        objects_job("a", 1, 8, 1, "nodeSelector: {disk: ssd},");
    job.spec.queue = "q";
    assert_int_equal(ledger_job_waits(l, &job, NULL, 0, &err), 0);
    objects_plan(l, 0);
    expect(l, "place a: n1", NULL);
    set_queue(l, "q", "nodeSelector: {pool: blue}"); /* the job's own selector stays */
    objects_plan(l, 0);
    expect(l, "place a: n2", NULL);
    assert_false(ledger_node_takes(l, "a", "worker", "n1"));
    assert_int_equal(ledger_job_waits(l, &job, NULL, 0, &err), 0); /* the same again */
    assert_false(ledger_needs_plan(l));
    set_queue(l, "q", "nodeSelector: {pool: green}");
    objects_plan(l, 0);
    expect(l, "never a",
           "none of the 3 nodes may be used: ruled out are 1 by nodeSelector, 2 by nodeSelector of "
           "its queue");
    set_queue(l, "q", "");
    objects_plan(l, 0);
    expect(l, "place a: n1", NULL);
    set_queue(l, "q", "nodeSelector: {pool: blue}");
    ledger_queue_gone(l, "q");
    objects_plan(l, 0);
    expect(l, "place a: n1", NULL);
    ledger_free(l);
}

static void test_a_place_stays_though_its_queue_goes(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    struct mlt_error err = {0};
    const char *const nodes[] = {"n1"};
    objects_node(l, "n1", 8, NULL, NULL);
    set_queue(l, "other", "");
    cleanup_trainingjob struct trainingjob job = objects_job("a", 1, 8, 1, NULL);
    job.spec.queue = "gone";
    assert_int_equal(ledger_job_holds(l, &job, NULL, nodes, 1, 0, &err), 0);
    waits_in(l, "b", "other", 8, 2);
    objects_plan(l, 0);
    expect(l, "wait b at 1", NULL);
    /* It waits again: then its queue has to be there. */
    assert_int_equal(ledger_job_waits(l, &job, NULL, 0, &err), 0);
    objects_plan(l, 0);
    expect(l, "place b: n1", NULL);
    expect(l, "never a", "there is no TrainingQueue gone");
    ledger_free(l);
}

static void test_the_same_queue_again_changes_nothing(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    set_queue(l, "q", "weight: 2");
    objects_plan(l, 0);
    set_queue(l, "q", "weight: 2");
    ledger_queue_gone(l, "another");
    assert_false(ledger_needs_plan(l));
    set_queue(l, "q", "weight: 3");
    assert_true(ledger_needs_plan(l));
    ledger_free(l);
}

static void holds_in(struct ledger *l, const char *name, const char *queue, int gpus,
                     const char *node)
{
    struct mlt_error err = {0};
    cleanup_trainingjob struct trainingjob job = objects_job(name, 1, gpus, 1, NULL);
    job.spec.queue = queue;
    if (ledger_job_holds(l, &job, NULL, &node, 1, 0, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_a_queue_borrows_up_to_its_limit_and_lends_up_to_its_own(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 16, NULL, NULL);
    set_queue(l, "root", "");
    set_queue(l, "a",
              "parent: root, quota: [{resource: nvidia.com/gpu, nominal: 4, borrowLimit: 2}]");
    set_queue(l, "b",
              "parent: root, quota: [{resource: nvidia.com/gpu, nominal: 8, lendLimit: 1}]");
    holds_in(l, "x", "a", 4, "n1");
    waits_in(l, "y", "a", 2, 2); /* b lends but one */
    objects_plan(l, 0);
    expect(l, "wait y at 1", "queue root uses 4 of 5 nvidia.com/gpu that it may use now; needs 2");
    set_queue(l, "b", "parent: root, quota: [{resource: nvidia.com/gpu, nominal: 8}]");
    waits_in(l, "z", "a", 3, 3); /* a borrows but two */
    objects_plan(l, 0);
    expect(l, "place y: n1", NULL);
    expect(l, "wait z at 1", NULL);
    holds_in(l, "y", "a", 2, "n1");
    objects_plan(l, 0);
    struct ledger_queue_view view;
    assert_true(ledger_queue_look(l, "a", 0, &view));
    assert_string_equal(view.names[GANG_DEVICE_0], "nvidia.com/gpu");
    assert_int_equal(view.sums.used[GANG_DEVICE_0], 6);
    assert_int_equal(view.sums.borrowed[GANG_DEVICE_0], 2);
    assert_int_equal(view.sums.pending[GANG_DEVICE_0], 3);
    assert_int_equal(view.sums.running_jobs, 2);
    assert_true(ledger_queue_look(l, "b", 0, &view));
    assert_int_equal(view.sums.lent[GANG_DEVICE_0], 2);
    assert_false(ledger_queue_look(l, "c", 0, &view));
    ledger_free(l);
}

static void test_quotas_are_in_the_units_of_their_resource(void **state)
{
    (void)state;
    static const struct {
        const char *quota, *decision;
    } rows[] = {
        {"resource: cpu, nominal: 500m", "place a: n1"},
        {"resource: cpu, nominal: 499m", "never a"},
        {"resource: memory, nominal: 1Gi", "place a: n1"},
        {"resource: memory, nominal: 1000Mi", "never a"},
        {"resource: pods, nominal: 1", "place a: n1"},
        {"resource: pods, nominal: 0", "never a"},
        {"resource: example.com/fpga, nominal: 0", "place a: n1"}, /* it asks for none */
        {"resource: nvidia.com/gpu, nominal: 999m", "never a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ledger *l = objects_ledger();
        struct mlt_error err = {0};
        char spec[128];
        objects_node(l, "n1", 8, NULL, NULL);
        (void)snprintf(spec, sizeof spec, "quota: [{%s}]", rows[i].quota);
        set_queue(l, "q", spec);
        cleanup_json cJSON *object = objects_yaml(
            "kind: TrainingJob\nmetadata: {name: a, namespace: ns, uid: a}\nspec: {queue: q, "
            "workers: {template: {spec: {containers: [{name: t, command: [a], resources: "
            "{requests: {cpu: 500m, memory: 1Gi}, limits: {nvidia.com/gpu: 1}}}]}}}}\n");
        struct trainingjob job cleanup_trainingjob;
        assert_int_equal(trainingjob_read(object, &job, &err), 0);
        assert_int_equal(ledger_job_waits(l, &job, NULL, 0, &err), 0);
        objects_plan(l, 0);
        if (strcmp(objects_next(l), rows[i].decision) != 0)
            fail_msg("%s: %s", rows[i].quota, objects_reason());
        ledger_free(l);
    }
}

static void test_limits_of_jobs_are_named_with_the_queue(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    objects_node(l, "n1", 8, NULL, NULL);
    set_queue(l, "q", "maxRunningJobs: 1");
    holds_in(l, "x", "q", 1, "n1");
    waits_in(l, "a", "q", 1, 2);
    objects_plan(l, 0);
    expect(l, "wait a at 1", "queue q runs 1 of at most 1 jobs");
    set_queue(l, "q", "maxTimeSeconds: 60");
    objects_plan(l, 0);
    expect(l, "never a", "queue q lets no job run longer than 60 s; it has no limit");
    ledger_free(l);
}

static void test_past_use_decides_and_outlives_changes_of_queues(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger();
    struct ledger_queue_view view;
    objects_node(l, "n1", 8, NULL, NULL);
    set_queue(l, "root", "order: FairShare");
    set_queue(l, "a", "parent: root");
    set_queue(l, "b", "parent: root");
    holds_in(l, "x", "a", 8, "n1");
    objects_plan(l, 0);
    waits_in(l, "y", "a", 8, 2); /* the elder */
    waits_in(l, "z", "b", 8, 3);
    ledger_job_gone(l, "x", 1000000);
    set_queue(l, "b", "parent: root, maxRunningJobs: 5"); /* all is made anew */
    objects_plan(l, 1000000);
    expect(l, "place z: n1", NULL);
    assert_true(ledger_queue_look(l, "a", 1000000, &view));
    int64_t used = view.sums.usage;
    assert_in_range(used, GANG_SHARE_ONE * 999000, GANG_SHARE_ONE * 1000000);
    assert_true(view.shares);
    assert_true(ledger_queue_look(l, "root", 1000000, &view));
    assert_false(view.shares);
    ledger_queue_usage(l, "b", used * 2);
    objects_plan(l, 1000000);
    expect(l, "place y: n1", NULL);
    ledger_free(l);
}

static void test_past_use_is_forgotten_by_half(void **state)
{
    (void)state;
    const int64_t half = LEDGER_USAGE_HALF_LIFE_MS, much = INT64_C(1) << 50;
    assert_int_equal(ledger_usage_aged(much, 0), much);
    assert_int_equal(ledger_usage_aged(much, -5), much);
    assert_int_equal(ledger_usage_aged(much, half), much / 2);
    assert_int_equal(ledger_usage_aged(much, 3 * half), much / 8);
    assert_int_equal(ledger_usage_aged(much, 100 * half), 0);
    /* 2^-0.5, and 2^-0.03125, which lies between two steps. */
    assert_in_range(ledger_usage_aged(1000000000, half / 2), 707106700, 707106800);
    assert_in_range(ledger_usage_aged(1000000000, half / 32), 978571000, 978850000);
    int64_t last = much;
    for (int64_t age = half / 100; age < 3 * half; age += half / 100) {
        int64_t now = ledger_usage_aged(much, age);
        assert_true(now < last);
        last = now;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_free_until_there_is_a_queue_besides_the_default_one),
        cmocka_unit_test(test_the_default_queue_is_always_there),
        cmocka_unit_test(test_a_queue_that_cannot_be_used_says_why),
        cmocka_unit_test(test_a_queue_may_be_for_some_namespaces),
        cmocka_unit_test(test_the_nodes_of_a_queue_are_those_that_its_selector_names),
        cmocka_unit_test(test_a_place_stays_though_its_queue_goes),
        cmocka_unit_test(test_the_same_queue_again_changes_nothing),
        cmocka_unit_test(test_a_queue_borrows_up_to_its_limit_and_lends_up_to_its_own),
        cmocka_unit_test(test_quotas_are_in_the_units_of_their_resource),
        cmocka_unit_test(test_limits_of_jobs_are_named_with_the_queue),
        cmocka_unit_test(test_past_use_decides_and_outlives_changes_of_queues),
        cmocka_unit_test(test_past_use_is_forgotten_by_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
