/* The Node and Lease objects that the agent writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include "lib/json/json.h"
#include "localcluster/agent/node_object.h"

static const struct node_facts facts = {
    .name = "node0",
    .machine_id = "m",
    .boot_id = "b",
    .kernel = "6.1",
    .os_image = "Debian",
    .gpu_model = "NVIDIA H100 80GB HBM3",
    .capacity = {.cpu_milli = 2500, .memory = INT64_C(3) << 30, .pods = 110, .gpus = 8},
};

static void expect(const cJSON *object, const char *path, const char *value)
{
    const char *got = json_string(object, path, "nothing");
    if (strcmp(got, value) != 0)
        fail_msg("%s: expected `%s`, got `%s`", path, value, got);
}

static void test_the_node_has_the_labels_that_selectors_ask_for(void **state)
{
    (void)state;
    cJSON *node = node_object(&facts);
    expect(node, "kind", "Node");
    expect(node, "metadata.labels[kubernetes.io/hostname]", "node0");
    expect(node, "metadata.labels[kubernetes.io/os]", "linux");
    expect(node, "metadata.labels[mltrain.io/one-machine]", "true");
    expect(node, "metadata.labels[nvidia.com/gpu.product]", "NVIDIA-H100-80GB-HBM3");
    expect(node, "metadata.labels[mltrain.io/rack]", "nothing");
    cJSON_Delete(node);
    struct node_facts racked = facts;
    racked.rack = "rack-1";
    node = node_labels_patch(&racked);
    expect(node, "metadata.labels[mltrain.io/rack]", "rack-1");
    cJSON_Delete(node);
}

static void test_the_status_has_exact_quantities_and_a_ready_condition(void **state)
{
    (void)state;
    cJSON *patch = node_status_patch(&facts, "2020-01-01T00:00:00Z", 1795809437092);
    expect(patch, "status.capacity.cpu", "2500m");
    expect(patch, "status.allocatable.memory", "3Gi");
    expect(patch, "status.allocatable.pods", "110");
    expect(patch, "status.allocatable[nvidia.com/gpu]", "8");
    expect(patch, "status.conditions[3].type", "Ready");
    expect(patch, "status.conditions[3].status", "True");
    expect(patch, "status.conditions[3].lastTransitionTime", "2020-01-01T00:00:00Z");
    expect(patch, "status.conditions[3].lastHeartbeatTime", "2026-11-27T19:57:17Z");
    expect(patch, "status.addresses[0].address", "127.0.0.1");
    cJSON_Delete(patch);
}

static void test_a_node_without_gpus_does_not_name_them(void **state)
{
    (void)state;
    struct node_facts plain = facts;
    plain.gpu_model = "";
    plain.capacity.gpus = 0;
    cJSON *patch = node_status_patch(&plain, "2020-01-01T00:00:00Z", 0),
          *node = node_object(&plain);
    assert_null(json_find(patch, "status.capacity[nvidia.com/gpu]"));
    assert_null(json_find(node, "metadata.labels[nvidia.com/gpu.product]"));
    cJSON_Delete(patch);
    cJSON_Delete(node);
}

static void test_the_lease_names_its_holder_and_a_time_in_microseconds(void **state)
{
    (void)state;
    cJSON *lease = node_lease("node0", 40, INT64_C(1795809437092123));
    expect(lease, "metadata.name", "node0");
    expect(lease, "spec.holderIdentity", "node0");
    expect(lease, "spec.renewTime", "2026-11-27T19:57:17.092123Z");
    assert_int_equal(json_integer(lease, "spec.leaseDurationSeconds", 0), 40);
    cJSON_Delete(lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_node_has_the_labels_that_selectors_ask_for),
        cmocka_unit_test(test_the_status_has_exact_quantities_and_a_ready_condition),
        cmocka_unit_test(test_a_node_without_gpus_does_not_name_them),
        cmocka_unit_test(test_the_lease_names_its_holder_and_a_time_in_microseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
