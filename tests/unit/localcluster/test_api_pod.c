/* Tests of localcluster/api: pods, their defaults, checks, subresources and summary. */
#include "tests/unit/localcluster/api_client.h"

#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/pod_summary.h"

#define PODS "/api/v1/namespaces/default/pods"

static cJSON *parse(const char *yaml)
{
    cJSON *documents = NULL, *tree;
    struct mlt_error err = {0};
    if (json_parse_yaml(yaml, strlen(yaml), &documents, &err) < 0)
        fail_msg("%s: %s", yaml, err.text);
    tree = cJSON_DetachItemFromArray(documents, 0);
    cJSON_Delete(documents);
    return tree;
}

static int post(struct api_client *c, const char *yaml)
{
    return api_client_send(c, "POST", PODS, "application/yaml", NULL, yaml, strlen(yaml));
}

static void test_a_pod_gets_the_defaults_that_clients_expect(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(
        post(&c, "{metadata: {name: p}, spec: {containers: [{name: c, image: 'a/b:1', ports: "
                 "[{containerPort: 80}]}, {name: d, image: a}], volumes: [{name: v}, {name: s, "
                 "secret: {secretName: x}}]}, status: {phase: Running}}"),
        201);
    assert_string_equal(api_client_at(&c, "spec.restartPolicy"), "Always");
    assert_string_equal(api_client_at(&c, "spec.dnsPolicy"), "ClusterFirst");
    assert_int_equal(json_integer(c.tree, "spec.terminationGracePeriodSeconds", 0), 30);
    assert_string_equal(api_client_at(&c, "spec.containers[0].imagePullPolicy"), "IfNotPresent");
    assert_string_equal(api_client_at(&c, "spec.containers[1].imagePullPolicy"), "Always");
    assert_string_equal(api_client_at(&c, "spec.containers[0].ports[0].protocol"), "TCP");
    assert_int_equal(json_integer(c.tree, "spec.volumes[1].secret.defaultMode", 0), 420);
    assert_non_null(json_find(c.tree, "spec.volumes[0].emptyDir"));
    assert_string_equal(api_client_at(&c, "status.phase"), "Pending");
    assert_string_equal(api_client_at(&c, "status.qosClass"), "BestEffort");
    assert_int_equal(json_size(c.tree, "spec.tolerations"), 2);
    assert_int_equal(json_integer(c.tree, "spec.priority", -1), 0);
    api_client_stop(&c);
}

static void test_a_pod_has_the_value_of_its_priority_class(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(post(&c, "{metadata: {name: p}, spec: {priorityClassName: high, containers: "
                              "[{name: c, image: a}]}}"),
                     403);
    assert_contains(api_client_at(&c, "message"), "no PriorityClass with name high was found");
    api_client_post(&c, "/apis/scheduling.k8s.io/v1/priorityclasses",
                    "{\"metadata\":{\"name\":\"high\"},\"value\":7}");
    assert_int_equal(post(&c, "{metadata: {name: p}, spec: {priorityClassName: high, containers: "
                              "[{name: c, image: a}]}}"),
                     201);
    assert_int_equal(json_integer(c.tree, "spec.priority", 0), 7);
    api_client_stop(&c);
}

static void test_bad_pods_are_refused_in_the_servers_words(void **state)
{
    static const struct {
        const char *sentence, *yaml, *message;
    } rows[] = {
        {"containers are needed", "{metadata: {name: p}, spec: {}}",
         "spec.containers: Required value"},
        {"a container has an image", "{metadata: {name: p}, spec: {containers: [{name: c}]}}",
         "spec.containers[0].image: Required value"},
        {"a container's name is a label",
         "{metadata: {name: p}, spec: {containers: [{name: C_, image: a}]}}",
         "spec.containers[0].name: Invalid value: \"C_\": a lowercase RFC 1123 label"},
        {"no name twice",
         "{metadata: {name: p}, spec: {containers: [{name: c, image: a}, {name: c, image: a}]}}",
         "spec.containers[1].name: Duplicate value: \"c\""},
        {"restartPolicy has choices",
         "{metadata: {name: p}, spec: {restartPolicy: Never2, containers: [{name: c, image: a}]}}",
         "spec.restartPolicy: Unsupported value: \"Never2\": supported values: \"Always\", "
         "\"OnFailure\", \"Never\""},
        {"mounts need their volume",
         "{metadata: {name: p}, spec: {containers: [{name: c, image: a, volumeMounts: [{name: v, "
         "mountPath: /x}]}]}}",
         "spec.containers[0].volumeMounts[0].name: Not found: \"v\""},
        {"a request is not above its limit",
         "{metadata: {name: p}, spec: {containers: [{name: c, image: a, resources: {requests: "
         "{cpu: '2'}, limits: "
         "{cpu: '1'}}}]}}",
         "spec.containers[0].resources.requests[cpu]: Invalid value: \"2\": must be less than or "
         "equal to cpu limit"},
        {"a quantity is one",
         "{metadata: {name: p}, spec: {containers: [{name: c, image: a, resources: {limits: {cpu: "
         "lots}}}]}}",
         "spec.containers[0].resources.limits[cpu]: Invalid value: \"lots\": quantities must "
         "match"},
        {"a volume has one source",
         "{metadata: {name: p}, spec: {containers: [{name: c, image: a}], volumes: [{name: v, "
         "emptyDir: {}, hostPath: "
         "{path: /x}}]}}",
         "spec.volumes[0]: Forbidden: may not specify more than 1 volume type"},
    };
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        if (post(&c, rows[i].yaml) != 422)
            fail_msg("%s: %d %s", rows[i].sentence, c.status, c.text);
        assert_contains(api_client_at(&c, "message"), rows[i].message);
    }
    api_client_stop(&c);
}

static const char bound[] =
    "{metadata: {name: p}, spec: {nodeName: n, terminationGracePeriodSeconds: 20, containers: "
    "[{name: c, image: a}]}}";

static void test_a_bound_pod_is_given_its_grace(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    post(&c, bound);
    assert_int_equal(api_client_delete(&c, PODS "/p"), 200);
    assert_string_equal(api_client_at(&c, "metadata.deletionTimestamp"), "2025-11-24T16:00:20Z");
    assert_int_equal(json_integer(c.tree, "metadata.deletionGracePeriodSeconds", 0), 20);
    /* The agent's status writes do not end it; a shorter grace shortens it; grace 0 removes it. */
    api_client_merge(&c, PODS "/p/status", "{\"status\":{\"phase\":\"Failed\"}}");
    assert_int_equal(c.status, 200);
    api_client_delete(&c, PODS "/p?gracePeriodSeconds=0");
    assert_int_equal(api_client_get(&c, PODS "/p"), 404);
    api_client_stop(&c);
}

static void test_a_shorter_grace_shortens_and_a_longer_one_does_not_prolong(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    post(&c, bound);
    api_client_delete(&c, PODS "/p");
    api_client_delete(&c, PODS "/p?gracePeriodSeconds=5");
    assert_string_equal(api_client_at(&c, "metadata.deletionTimestamp"), "2025-11-24T16:00:05Z");
    api_client_delete(&c, PODS "/p?gracePeriodSeconds=60");
    assert_string_equal(api_client_at(&c, "metadata.deletionTimestamp"), "2025-11-24T16:00:05Z");
    api_client_stop(&c);
}

static void test_a_pod_that_is_not_bound_goes_at_once(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    post(&c, "{metadata: {name: p}, spec: {containers: [{name: c, image: a}]}}");
    api_client_delete(&c, PODS "/p");
    assert_int_equal(api_client_get(&c, PODS "/p"), 404);
    api_client_stop(&c);
}

static void test_binding_binds_once(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    post(&c, "{metadata: {name: p}, spec: {containers: [{name: c, image: a}]}}");
    assert_int_equal(
        api_client_post(&c, PODS "/p/binding", "{\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}"),
        201);
    api_client_get(&c, PODS "/p");
    assert_string_equal(api_client_at(&c, "spec.nodeName"), "n");
    assert_int_equal(
        api_client_post(&c, PODS "/p/binding", "{\"target\":{\"kind\":\"Node\",\"name\":\"m\"}}"),
        409);
    api_client_stop(&c);
}

static void test_a_pod_that_requires_one_node_is_bound_there(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
#define TERMS(fields)                                                     \
    "spec: {containers: [{name: c, image: a}], affinity: {nodeAffinity: " \
    "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [" fields "]}}}}}"
    post(&c, "{metadata: {name: one}, " TERMS(
                 "{matchFields: [{key: metadata.name, operator: In, values: [n]}]}"));
    api_client_get(&c, PODS "/one");
    assert_string_equal(api_client_at(&c, "spec.nodeName"), "n");
    post(&c, "{metadata: {name: two}, " TERMS(
                 "{matchFields: [{key: metadata.name, operator: In, values: [n, m]}]}"));
    api_client_get(&c, PODS "/two");
    assert_string_equal(api_client_at(&c, "spec.nodeName"), "");
    post(&c, "{metadata: {name: not}, " TERMS(
                 "{matchFields: [{key: metadata.name, operator: NotIn, values: [n]}]}"));
    api_client_get(&c, PODS "/not");
    assert_string_equal(api_client_at(&c, "spec.nodeName"), "");
#undef TERMS
    api_client_stop(&c);
}

static void test_an_eviction_deletes(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    post(&c, bound);
    assert_int_equal(
        api_client_post(&c, PODS "/p/eviction", "{\"deleteOptions\":{\"gracePeriodSeconds\":3}}"),
        201);
    api_client_get(&c, PODS "/p");
    assert_string_equal(api_client_at(&c, "metadata.deletionTimestamp"), "2025-11-24T16:00:03Z");
    api_client_stop(&c);
}

static void test_a_pods_spec_is_mostly_fixed(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    post(&c, bound);
    assert_int_equal(api_client_merge(&c, PODS "/p", "{\"spec\":{\"nodeName\":\"m\"}}"), 422);
    assert_contains(api_client_at(&c, "message"), "pod updates may not change fields other than");
    assert_int_equal(api_client_merge(&c, PODS "/p", "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}"),
                     200);
    api_client_stop(&c);
}

static void test_a_log_query_names_the_file(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    post(&c, bound);
    assert_int_equal(api_client_get(&c, PODS "/p/log"), 400);
    assert_contains(api_client_at(&c, "message"), "is waiting to start");
    api_client_merge(&c, PODS "/p/status",
                     "{\"status\":{\"containerStatuses\":[{\"name\":\"c\",\"restartCount\":2,"
                     "\"state\":{\"running\":"
                     "{}}}]}}");
    assert_int_equal(
        api_client_get(&c, PODS "/p/log?follow=true&tailLines=5&sinceSeconds=10&limitBytes=7"),
        200);
    assert_int_equal(c.kind, API_ANSWER_LOG);
    assert_string_equal(c.log.node, "n");
    assert_string_equal(c.log.container, "c");
    assert_int_equal(c.log.restart, 2);
    assert_int_equal(c.log.tail_lines, 5);
    assert_int_equal(c.log.limit_bytes, 7);
    assert_int_equal(c.log.since_ms, API_TEST_START_MS - 10000);
    assert_true(c.log.follow);
    assert_false(api_log_is_complete(c.server, &c.log));
    api_client_get(&c, PODS "/p/log?previous=true");
    assert_int_equal(c.log.restart, 1);
    assert_true(api_log_is_complete(c.server, &c.log));
    assert_int_equal(api_client_get(&c, PODS "/p/log?container=x"), 400);
    assert_int_equal(api_client_get(&c, PODS "/p/log?tailLines=-1"), 400);
    api_client_stop(&c);
}

static void test_the_words_of_kubectl_get_pods(void **state)
{
    static const struct {
        const char *sentence, *pod, *reason;
        int ready;
    } rows[] = {
        {"a new pod", "{spec: {containers: [{}]}, status: {phase: Pending}}", "Pending", 0},
        {"a running one",
         "{spec: {containers: [{}]}, status: {phase: Running, containerStatuses: [{ready: true, "
         "state: {running: {}}}]}}",
         "Running", 1},
        {"one that waits for its second init container",
         "{spec: {initContainers: [{}, {}], containers: [{}]}, status: {phase: Pending, "
         "initContainerStatuses: [{state: "
         "{terminated: {exitCode: 0}}}, {state: {running: {}}}]}}",
         "Init:1/2", 0},
        {"one whose init container failed",
         "{spec: {initContainers: [{}], containers: [{}]}, status: {phase: Failed, "
         "initContainerStatuses: [{state: "
         "{terminated: {exitCode: 3}}}]}}",
         "Init:ExitCode:3", 0},
        {"one that crashes again and again",
         "{spec: {containers: [{}]}, status: {phase: Running, containerStatuses: [{state: "
         "{waiting: {reason: "
         "CrashLoopBackOff}}}]}}",
         "CrashLoopBackOff", 0},
        {"one that has ended",
         "{spec: {containers: [{}]}, status: {phase: Succeeded, containerStatuses: [{state: "
         "{terminated: {exitCode: 0, "
         "reason: Completed}}}]}}",
         "Completed", 0},
        {"one that was killed by a signal",
         "{spec: {containers: [{}]}, status: {phase: Failed, containerStatuses: [{state: "
         "{terminated: {exitCode: 137, "
         "signal: 9}}}]}}",
         "Signal:9", 0},
        {"one that is being deleted",
         "{metadata: {deletionTimestamp: x}, spec: {containers: [{}]}, status: {phase: Running}}",
         "Terminating", 0},
        {"one that its node refused",
         "{spec: {containers: [{}]}, status: {phase: Failed, reason: 'OutOfnvidia.com/gpu'}}",
         "OutOfnvidia.com/gpu", 0},
    };
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct api_pod_summary summary;
        cleanup_json cJSON *pod = parse(rows[i].pod);
        api_pod_summarise(pod, &summary);
        if (strcmp(summary.reason, rows[i].reason) != 0 || summary.ready != rows[i].ready)
            fail_msg("%s: got %s %d", rows[i].sentence, summary.reason, summary.ready);
    }
}

static void test_secrets_take_plain_text_and_stay_immutable(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(
        api_client_post(
            &c, "/api/v1/namespaces/default/secrets",
            "{\"metadata\":{\"name\":\"s\"},\"stringData\":{\"a\":\"b\"},\"immutable\":true}"),
        201);
    assert_string_equal(api_client_at(&c, "data.a"), "Yg==");
    assert_null(json_find(c.tree, "stringData"));
    assert_string_equal(api_client_at(&c, "type"), "Opaque");
    assert_int_equal(
        api_client_merge(&c, "/api/v1/namespaces/default/secrets/s", "{\"data\":{\"a\":\"Yw==\"}}"),
        422);
    assert_int_equal(api_client_post(&c, "/api/v1/namespaces/default/secrets",
                                     "{\"metadata\":{\"name\":\"t\"},\"data\":{\"a\":\"b\"}}"),
                     422);
    api_client_stop(&c);
}

static void test_events_have_two_faces(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(
        api_client_post(
            &c, "/apis/events.k8s.io/v1/namespaces/default/events",
            "{\"metadata\":{\"name\":\"e\"},\"note\":\"hello\",\"regarding\":{\"kind\":\"Pod\","
            "\"name\":"
            "\"p\"},\"reportingController\":\"x\",\"eventTime\":\"2025-11-24T16:00:00.000000Z\"}"),
        201);
    assert_string_equal(api_client_at(&c, "note"), "hello");
    assert_string_equal(api_client_at(&c, "apiVersion"), "events.k8s.io/v1");
    api_client_get(&c, "/api/v1/namespaces/default/events/e");
    assert_string_equal(api_client_at(&c, "message"), "hello");
    assert_string_equal(api_client_at(&c, "involvedObject.name"), "p");
    assert_string_equal(api_client_at(&c, "reportingComponent"), "x");
    api_client_get(&c, "/api/v1/events?fieldSelector=involvedObject.name%3Dp");
    assert_int_equal(json_size(c.tree, "items"), 1);
    api_client_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod_gets_the_defaults_that_clients_expect),
        cmocka_unit_test(test_a_pod_has_the_value_of_its_priority_class),
        cmocka_unit_test(test_bad_pods_are_refused_in_the_servers_words),
        cmocka_unit_test(test_a_bound_pod_is_given_its_grace),
        cmocka_unit_test(test_a_shorter_grace_shortens_and_a_longer_one_does_not_prolong),
        cmocka_unit_test(test_a_pod_that_is_not_bound_goes_at_once),
        cmocka_unit_test(test_binding_binds_once),
        cmocka_unit_test(test_a_pod_that_requires_one_node_is_bound_there),
        cmocka_unit_test(test_an_eviction_deletes),
        cmocka_unit_test(test_a_pods_spec_is_mostly_fixed),
        cmocka_unit_test(test_a_log_query_names_the_file),
        cmocka_unit_test(test_the_words_of_kubectl_get_pods),
        cmocka_unit_test(test_secrets_take_plain_text_and_stay_immutable),
        cmocka_unit_test(test_events_have_two_faces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
