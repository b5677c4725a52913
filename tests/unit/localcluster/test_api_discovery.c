/* Tests of localcluster/api: discovery, OpenAPI, negotiation, authentication, protobuf, malformed
 * requests. */
#include "tests/unit/localcluster/api_client.h"

#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/auth.h"
#include "localcluster/api/jsonpath.h"
#include "localcluster/api/protobuf_reader.h"

static void test_discovery_comes_in_one_piece_when_asked(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, true);
    static const char accept[] =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
        "application/json";
    api_client_send(&c, "GET", "/apis", NULL, accept, NULL, 0);
    assert_string_equal(c.content_type,
                        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    assert_string_equal(api_client_at(&c, "apiVersion"), "apidiscovery.k8s.io/v2");
    assert_contains(c.text, "\"resource\":\"trainingjobs\"");
    api_client_send(&c, "GET", "/api", NULL, accept + 72, NULL, 0);
    assert_string_equal(api_client_at(&c, "apiVersion"), "apidiscovery.k8s.io/v2beta1");
    assert_contains(c.text, "\"subresource\":\"log\"");
    api_client_get(&c, "/apis");
    assert_string_equal(api_client_at(&c, "kind"), "APIGroupList");
    api_client_get(&c, "/api/v1");
    assert_string_equal(api_client_at(&c, "kind"), "APIResourceList");
    assert_int_equal(api_client_get(&c, "/apis/none.example.com/v1"), 404);
    api_client_get(&c, "/version");
    assert_string_equal(api_client_at(&c, "gitVersion"), "v1.34.0+mltrain");
    api_client_stop(&c);
}

static void test_openapi_describes_jobs_and_pods(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, true);
    api_client_get(&c, "/openapi/v3");
    assert_non_null(json_find(c.tree, "paths[apis/mltrain.io/v1alpha1]"));
    api_client_get(&c, "/openapi/v3/apis/mltrain.io/v1alpha1");
    assert_string_equal(
        api_client_at(&c, "components.schemas[io.mltrain.v1alpha1.TrainingJob].properties.spec."
                          "properties.suspend.type"),
        "boolean");
    assert_contains(c.text, "\"name\":\"fieldValidation\"");
    api_client_get(&c, "/openapi/v3/api/v1");
    assert_string_equal(
        api_client_at(&c,
                      "components.schemas[io.k8s.api.core.v1.PodSpec].properties.containers.items."
                      "$ref"),
        "#/components/schemas/io.k8s.api.core.v1.Container");
    assert_string_equal(
        api_client_at(&c, "components.schemas[io.k8s.api.core.v1.PodSpec].properties.containers."
                          "x-kubernetes-patch-merge-key"),
        "name");
    assert_null(strstr(c.text, "x-mltrain-type"));
    api_client_send(&c, "GET", "/openapi/v2", NULL,
                    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", NULL, 0);
    assert_string_equal(c.content_type,
                        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert_memory_equal(c.text,
                        "\x0a\x03"
                        "2.0",
                        5);
    api_client_stop(&c);
}

static void test_answers_come_in_a_form_that_the_client_accepts(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    static const char pods[] = "/api/v1/pods";
    assert_int_equal(
        api_client_send(&c, "GET", pods, NULL, "application/vnd.kubernetes.protobuf", NULL, 0),
        406);
    assert_int_equal(api_client_send(&c, "GET", pods, NULL,
                                     "application/vnd.kubernetes.protobuf,application/json", NULL,
                                     0),
                     200);
    assert_int_equal(api_client_send(&c, "GET", pods, NULL, "*/*", NULL, 0), 200);
    assert_int_equal(
        api_client_send(&c, "GET", "/api/v1/namespaces/default", NULL, "application/yaml", NULL, 0),
        200);
    assert_string_equal(c.content_type, "application/yaml");
    assert_contains(c.text, "kind: Namespace\n");
    api_client_send(&c, "GET", "/api/v1/namespaces", NULL,
                    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", NULL, 0);
    assert_string_equal(api_client_at(&c, "kind"), "PartialObjectMetadataList");
    assert_null(json_find(c.tree, "items[0].spec"));
    api_client_send(&c, "GET", "/api/v1/namespaces?includeObject=Object", NULL, API_TABLE, NULL, 0);
    assert_string_equal(api_client_at(&c, "rows[0].object.kind"), "Namespace");
    api_client_send(&c, "GET", "/api/v1/namespaces?includeObject=None", NULL, API_TABLE, NULL, 0);
    assert_null(json_find(c.tree, "rows[0].object"));
    api_client_stop(&c);
}

static void test_only_the_tokens_holder_gets_in(void **state)
{
    static const struct {
        const char *sentence, *authorization;
        bool allowed;
    } rows[] = {
        {"the token", "Bearer secret", true},
        {"the scheme in any case", "bearer secret", true},
        {"no header", NULL, false},
        {"another token", "Bearer secres", false},
        {"a beginning of it", "Bearer secre", false},
        {"more than it", "Bearer secretx", false},
        {"another scheme", "Basic secret", false},
        {"nothing behind the scheme", "Bearer ", false},
    };
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++)
        if (api_auth_allows("secret", rows[i].authorization) != rows[i].allowed)
            fail_msg("%s", rows[i].sentence);
}

static void test_a_stranger_gets_a_401_for_everything_but_health(void **state)
{
    struct mlt_random random;
    struct store *store = store_memory_new();
    struct api_server *server = NULL;
    static const struct {
        const char *target;
        int status;
    } rows[] = {
        {"/api/v1/pods", 401}, {"/apis", 401},   {"/openapi/v3", 401}, {"/healthz", 200},
        {"/version", 200},     {"/readyz", 200}, {"/", 401},           {"/healthz/../api", 401}};
    (void)state;
    mlt_random_init(&random, 1);
    const struct api_server_config config = {.store = store, .random = &random, .token = "secret"};
    assert_int_equal(api_server_new(&config, API_TEST_START_MS, &server, NULL), 0);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct api_answer a;
        const struct api_request q = {
            .method = "GET", .target = rows[i].target, .body = "", .now_ms = 1};
        api_request(server, &q, &a);
        if (a.status != rows[i].status)
            fail_msg("%s: %d", rows[i].target, a.status);
        api_answer_release(&a);
    }
    api_server_free(server);
    store_free(store);
}

static void test_malformed_requests_are_refused(void **state)
{
    static const struct {
        const char *sentence, *method, *target;
        int status;
    } rows[] = {
        {"an unknown path", "GET", "/nothing", 404},
        {"an unknown resource", "GET", "/api/v1/namespaces/default/nothings", 404},
        {"a cluster-scoped kind in a namespace", "GET", "/api/v1/namespaces/default/nodes/x", 404},
        {"a method that is not there", "PUT", "/api/v1/namespaces/default/pods", 405},
        {"writing to discovery", "POST", "/apis", 405},
        {"a broken escape", "GET", "/api/v1/pods?labelSelector=%zz", 400},
        {"a NUL byte", "GET", "/api/v1/namespaces/a%00b", 404},
        {"a dryRun that is none", "POST", "/api/v1/namespaces?dryRun=Some", 422},
        {"a fieldValidation that is none", "POST", "/api/v1/namespaces?fieldValidation=x", 422},
        {"a continue token", "GET", "/api/v1/pods?continue=abc", 410},
        {"a subresource that is not there", "GET", "/api/v1/namespaces/default/configmaps/x/status",
         404},
        {"very many segments", "GET", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n", 404},
    };
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        api_client_send(&c, rows[i].method, rows[i].target, NULL, NULL, NULL, 0);
        if (c.status != rows[i].status)
            fail_msg("%s: %d %s", rows[i].sentence, c.status, c.text);
        assert_string_equal(api_client_at(&c, "kind"), "Status");
    }
    cleanup_free char *target = mlt_calloc(1, API_TARGET_MAX + 10);
    memset(target, '/', API_TARGET_MAX + 5);
    assert_int_equal(api_client_get(&c, target), 414);
    api_client_stop(&c);
}

static void test_kubectl_auth_is_answered(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                    "{\"apiVersion\":\"authorization.k8s.io/"
                    "v1\",\"kind\":\"SelfSubjectAccessReview\",\"spec\":{}}");
    assert_true(json_bool(c.tree, "status.allowed", false));
    api_client_post(&c, "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}");
    assert_string_equal(api_client_at(&c, "status.userInfo.username"), "mltrain-admin");
    api_client_stop(&c);
}

/* A Namespace as client-go sends it: kubectl create namespace foo. */
static const char namespace_protobuf[] = "k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x1b\n\x15\n\x03"
                                         "foo\x12\0\x1a\0\"\0*\0"
                                         "2\0008\0B\0\x12\0\x1a\x02\n\0\x1a\0\"\0";

static void test_protobuf_bodies_are_read(void **state)
{
    cleanup_json cJSON *tree = NULL;
    struct mlt_error err = {0};
    (void)state;
    if (api_protobuf_read(namespace_protobuf, sizeof namespace_protobuf - 1, &tree, &err) < 0)
        fail_msg("%s", err.text);
    cleanup_free char *text = json_print(tree);
    assert_string_equal(
        text, "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"foo\"}}");
}

static void test_every_cut_and_every_flipped_byte_of_a_protobuf_body_is_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof namespace_protobuf - 1; i++) {
        cleanup_json cJSON *cut = NULL, *flipped = NULL;
        cleanup_free char *copy = mlt_memdup(namespace_protobuf, sizeof namespace_protobuf - 1);
        copy[i] = (char)(copy[i] ^ 0x55);
        (void)!api_protobuf_read(copy, sizeof namespace_protobuf - 1, &flipped, NULL);
        cleanup_free char *exact = mlt_memdup(namespace_protobuf, i);
        (void)!api_protobuf_read(exact, i, &cut, NULL);
    }
}

static void test_json_paths_find_what_columns_name(void **state)
{
    static const struct {
        const char *path, *found;
    } rows[] = {
        {".spec.a", "1"},
        {".spec.list[1]", "\"y\""},
        {".spec.list[-1]", "\"z\""},
        {".metadata.labels.a\\.b/c", "\"dotted\""},
        {".metadata.labels['a.b/c']", "\"dotted\""},
        {".status.conditions[?(@.type==\"Ready\")].status", "\"True\""},
        {".status.conditions[?(@.type=='None')].status", NULL},
        {".spec.none.more", NULL},
        {".spec.list[9]", NULL},
        {".spec.list[", NULL},
        {"", "{"},
    };
    static const char text[] =
        "{\"metadata\":{\"labels\":{\"a.b/c\":\"dotted\"}},\"spec\":{\"a\":1,\"list\":[\"x\","
        "\"y\",\"z\"]},\"status\":{\"conditions\":[{\"type\":\"X\",\"status\":\"no\"},{\"type\":"
        "\"Ready\",\"status\":\"True\"}]}}";
    cleanup_json cJSON *tree = NULL;
    (void)state;
    assert_int_equal(json_parse(text, strlen(text), &tree, NULL), 0);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        const cJSON *node = api_jsonpath(tree, rows[i].path);
        cleanup_free char *got = node ? json_print(node) : NULL;
        if (rows[i].found ? !got || strncmp(got, rows[i].found, strlen(rows[i].found)) != 0
                          : node != NULL)
            fail_msg("%s: got %s", rows[i].path, got ? got : "nothing");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_discovery_comes_in_one_piece_when_asked),
        cmocka_unit_test(test_openapi_describes_jobs_and_pods),
        cmocka_unit_test(test_answers_come_in_a_form_that_the_client_accepts),
        cmocka_unit_test(test_only_the_tokens_holder_gets_in),
        cmocka_unit_test(test_a_stranger_gets_a_401_for_everything_but_health),
        cmocka_unit_test(test_malformed_requests_are_refused),
        cmocka_unit_test(test_kubectl_auth_is_answered),
        cmocka_unit_test(test_protobuf_bodies_are_read),
        cmocka_unit_test(test_every_cut_and_every_flipped_byte_of_a_protobuf_body_is_survived),
        cmocka_unit_test(test_json_paths_find_what_columns_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
