/* trainingjob/pod_request.c: what a pod asks of its node, as Kubernetes counts it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "jobs.h"
#include "lib/base/cleanup.h"
#include "trainingjob/pod_request.h"

#define R(list) "resources: {requests: {" list "}}"

static void test_requests_are_counted_as_kubernetes_does(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *spec;
        int64_t cpu_milli, memory, gpus;
    } rows[] = {
        {"nothing is asked for", "{containers: [{name: a}]}", 0, 0, 0},
        {"containers add up",
         "{containers: [{" R("cpu: 500m, memory: 1Ki") "}, {" R("cpu: '1.5'") "}]}", 2000, 1024, 0},
        {"a limit counts where there is no request",
         "{containers: [{resources: {limits: {cpu: 2, nvidia.com/gpu: 4}, requests: {cpu: 1}}}]}",
         1000, 0, 4},
        {"an init container's peak counts when it is larger",
         "{initContainers: [{" R("cpu: 3, memory: 1") "}, {" R("cpu: 1") "}], containers: [{" R(
             "cpu: 2") "}]}",
         3000, 1, 0},
        {"a sidecar adds to the containers",
         "{initContainers: [{restartPolicy: Always, " R("cpu: 1") "}], containers: [{" R(
             "cpu: 2") "}]}",
         3000, 0, 0},
        {"a sidecar runs beside the init containers after it, not before",
         "{initContainers: [{" R("cpu: 5") "}, {restartPolicy: Always, " R("cpu: 1") "}, {" R(
             "cpu: 6") "}], "
                       "containers: [{" R("cpu: 2") "}]}",
         7000, 0, 0},
        {"overhead comes on top",
         "{overhead: {cpu: 250m, memory: 10}, containers: [{" R("cpu: 1, memory: 5") "}]}", 1250,
         15, 0},
        {"pod-level resources replace cpu and memory, not GPUs",
         "{resources: {requests: {cpu: 8, memory: 100}}, containers: [{" R(
             "cpu: 1, amd.com/gpu: 2") "}]}",
         8000, 100, 2},
        {"all kinds of GPUs count",
         "{containers: [{" R(
             "nvidia.com/gpu: 1, nvidia.com/gpu.shared: 2, nvidia.com/mig-1g.5gb: 4, "
             "amd.com/gpu: 8, rdma/hca: 16") "}]}",
         0, 0, 15},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct pod_request r;
        struct mlt_error err = {0};
        cleanup_json cJSON *pod = cJSON_CreateObject();
        json_set(pod, "spec", parse_yaml(rows[i].spec));
        if (pod_request_read(pod, &r, &err) != 0)
            fail_msg("%s: %s", rows[i].sentence, err.text);
        if (r.cpu_milli != rows[i].cpu_milli || r.memory != rows[i].memory ||
            pod_request_gpus(&r) != rows[i].gpus)
            fail_msg("%s: cpu %lld, memory %lld, gpus %lld", rows[i].sentence,
                     (long long)r.cpu_milli, (long long)r.memory, (long long)pod_request_gpus(&r));
    }
}

static void test_extended_resources_are_kept_by_name(void **state)
{
    (void)state;
    struct pod_request r;
    cleanup_json cJSON *pod = parse_yaml("spec: {containers: [{" R(
        "rdma/hca: 1, hugepages-2Mi: 4Mi, ephemeral-storage: 1Gi") "}, "
                                                                   "{" R("rdma/hca: 2") "}]}");
    assert_int_equal(pod_request_read(pod, &r, NULL), 0);
    assert_int_equal(pod_request_extended(&r, "rdma/hca"), 3);
    assert_int_equal(pod_request_extended(&r, "nvidia.com/gpu"), 0);
    assert_int_equal(r.ephemeral_storage, 1 << 30);
    assert_int_equal(r.extended_count, 1);
}

static void test_bad_quantities_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *words;
    } rows[] = {
        {"{containers: [{}, {" R("cpu: two") "}]}", "spec.containers[1].resources.requests[cpu]: "},
        {"{containers: [{" R("cpu: 0.5") "}]}",
         "requests[cpu]: expected a quantity such as \"500m\""},
        {"{containers: [{" R("nvidia.com/gpu: \"1.5\"") "}]}",
         "requests[nvidia.com/gpu]: `1.5` must be a whole number"},
        {"{initContainers: [{" R("memory: [1]") "}]}",
         "spec.initContainers[0].resources.requests[memory]: expected a quantity"},
        {"{containers: [{resources: {limits: 5}}]}",
         "spec.containers[0].resources.limits: expected an object"},
        {"{overhead: {cpu: -1}, containers: []}", "spec.overhead[cpu]: "},
        {"{containers: [{" R(
             "a/0: 1, a/1: 1, a/2: 1, a/3: 1, a/4: 1, a/5: 1, a/6: 1, a/7: 1, a/8: 1, "
             "a/9: 1, a/10: 1, a/11: 1, a/12: 1, a/13: 1, a/14: 1, a/15: 1, a/16: 1") "}]}",
         "more than 16 extended resources"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct pod_request r;
        struct mlt_error err = {0};
        cleanup_json cJSON *pod = cJSON_CreateObject();
        json_set(pod, "spec", parse_yaml(rows[i].spec));
        assert_int_equal(pod_request_read(pod, &r, &err), -EINVAL);
        if (!strstr(err.text, rows[i].words))
            fail_msg("%s: %s", rows[i].spec, err.text);
    }
}

static void test_sums_do_not_wrap(void **state)
{
    (void)state;
    struct pod_request r;
    cleanup_json cJSON *pod = parse_yaml("spec: {containers: []}");
    cJSON *containers = json_find(pod, "spec.containers");
    for (int i = 0; i < 2000; i++)
        json_append(containers, parse_yaml("{" R("memory: 9000000000000000") "}"));
    assert_int_equal(pod_request_read(pod, &r, NULL), 0);
    assert_true(r.memory > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_counted_as_kubernetes_does),
        cmocka_unit_test(test_extended_resources_are_kept_by_name),
        cmocka_unit_test(test_bad_quantities_are_named),
        cmocka_unit_test(test_sums_do_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
