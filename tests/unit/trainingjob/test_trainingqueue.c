/* trainingjob/trainingqueue.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "jobs.h"
#include "lib/base/cleanup.h"
#include "trainingjob/trainingqueue.h"

static cJSON *full_queue(void)
{
    return parse_yaml("apiVersion: mltrain.io/v1alpha1\n"
                      "kind: TrainingQueue\n"
                      "metadata: {name: research, uid: u, resourceVersion: '5', generation: 2}\n"
                      "spec:\n"
                      "  parent: root\n"
                      "  weight: 3\n"
                      "  quota: [{resource: nvidia.com/gpu, nominal: 8, lendLimit: 500m}]\n"
                      "  order: FairShare\n"
                      "  preemption: {withinQueue: LowerPriority, reclaim: Any}\n"
                      "  namespaceSelector: {matchLabels: {a: b}}\n"
                      "  maxRunningJobs: 4\n"
                      "  maxTimeSeconds: 60\n"
                      "  nodeSelector: {pool: a}\n");
}

static void test_every_field_of_a_queue_is_read(void **state)
{
    (void)state;
    struct trainingqueue q = {0};
    cleanup_json cJSON *object = full_queue();
    assert_int_equal(trainingqueue_read(object, &q, NULL), 0);
    assert_string_equal(q.name, "research");
    assert_string_equal(q.resource_version, "5");
    assert_int_equal(q.generation, 2);
    assert_string_equal(q.parent, "root");
    assert_int_equal(q.weight, 3);
    assert_int_equal(q.quota_count, 1);
    assert_int_equal(q.quota[0].nominal, 8000);
    assert_int_equal(q.quota[0].lend_limit, 500);
    assert_int_equal(q.quota[0].borrow_limit, TRAININGJOB_NONE);
    assert_int_equal(q.order, TRAININGQUEUE_ORDER_FAIR_SHARE);
    assert_int_equal(q.preemption_reclaim, TRAININGQUEUE_PREEMPTION_ANY);
    assert_int_equal(q.max_running_jobs, 4);
    assert_string_equal(json_string(q.node_selector, "pool", ""), "a");
    trainingqueue_release(&q);
    trainingqueue_release(&q);
}

static void test_a_queue_needs_only_a_name(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    cleanup_json cJSON *bare = parse_yaml("{kind: TrainingQueue, metadata: {name: a}}");
    assert_int_equal(trainingqueue_validate(bare, &err), 0);
    cleanup_json cJSON *object = parse_yaml("{metadata: {name: a}, spec: {preemption: {}}}");
    trainingqueue_default(object);
    cleanup_free char *text = json_print(json_member(object, "spec"));
    assert_string_equal(text, "{\"preemption\":{\"withinQueue\":\"Never\",\"reclaim\":\"Never\"},"
                              "\"weight\":1,\"order\":\"FIFO\"}");
    assert_int_equal(trainingqueue_validate(object, &err), 0);
}

static void test_wrong_and_unsupported_fields_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *pointer, *value, *message;
    } rows[] = {
        {"/kind", "\"Pod\"", "kind: expected TrainingQueue, got `Pod`"},
        {"/metadata/name", "\"A\"", "metadata.name: the name of a TrainingQueue has"},
        {"/spec/colour", "1", "spec.colour: unknown field"},
        {"/spec/parent", "\"A!\"", "spec.parent: expected the name of a TrainingQueue"},
        {"/spec/parent", "\"a\"", "spec.parent: a TrainingQueue cannot be its own parent"},
        {"/spec/weight", "0", "spec.weight: expected a whole number from 1 to 1000000, got 0"},
        {"/spec/quota", "[{\"nominal\":1}]", "spec.quota[0].resource: is required"},
        {"/spec/quota", "[{\"resource\":\"cpu\",\"nominal\":true}]",
         "spec.quota[0].nominal: expected a quantity"},
        {"/spec/quota", "[{\"resource\":\"cpu\",\"nominal\":\"x\"}]", "spec.quota[0].nominal: "},
        {"/spec/quota",
         "[{\"resource\":\"cpu\",\"nominal\":1},{\"resource\":\"cpu\",\"nominal\":2}]",
         "spec.quota[1].resource: `cpu` stands twice"},
        {"/spec/order", "\"LIFO\"", "spec.order: expected one of FIFO, FairShare, got `LIFO`"},
        {"/spec/preemption", "{\"withinQueue\":\"Any\"}",
         "spec.preemption.withinQueue: `Any` is not supported yet"},
        {"/spec/preemption", "{\"withinQueue\":\"x\"}",
         "spec.preemption.withinQueue: expected one of"},
        {"/spec/namespaceSelector", "{\"matchLabels\":{\"team\":\"a\"}}",
         "spec.namespaceSelector.matchLabels: `team`: only kubernetes.io/metadata.name is "
         "supported "
         "yet"},
        {"/spec/namespaceSelector",
         "{\"matchExpressions\":[{\"key\":\"team\",\"operator\":\"Exists\"}]}",
         "spec.namespaceSelector.matchExpressions: key `team`: only kubernetes.io/metadata.name is "
         "supported yet"},
        {"/spec/maxTimeSeconds", "0", "spec.maxTimeSeconds: expected a whole number from 1"},
        {"/spec/nodeSelector", "5", "spec.nodeSelector: expected an object, got 5"},
    };
    cleanup_json cJSON *bare =
        parse_yaml("{kind: TrainingQueue, metadata: {name: a}, spec: {weight: 1}}");
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct mlt_error err = {0};
        cleanup_json cJSON *bad = with(bare, rows[i].pointer, rows[i].value);
        assert_int_equal(trainingqueue_validate(bad, &err), -EINVAL);
        if (strncmp(err.text, rows[i].message, strlen(rows[i].message)) != 0)
            fail_msg("%s: %s", rows[i].pointer, err.text);
    }
}

static void test_what_the_scheduler_knows_is_accepted(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    cleanup_json cJSON *object = full_queue();
    json_set(object, "spec.namespaceSelector",
             parse_json("{\"matchLabels\":{\"kubernetes.io/metadata.name\":\"team\"}}"));
    if (trainingqueue_validate(object, &err) < 0)
        fail_msg("%s", err.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_of_a_queue_is_read),
        cmocka_unit_test(test_a_queue_needs_only_a_name),
        cmocka_unit_test(test_wrong_and_unsupported_fields_are_named),
        cmocka_unit_test(test_what_the_scheduler_knows_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
