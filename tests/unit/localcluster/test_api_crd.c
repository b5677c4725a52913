/* Tests of localcluster/api/crd.c: kinds that users bring, and mltrain's own. */
#include "tests/unit/localcluster/api_client.h"

#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/resources.h"

#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define TOYS "/apis/example.com/v1/namespaces/default/toys"
#define JOBS "/apis/mltrain.io/v1alpha1/namespaces/default/trainingjobs"

static const char toy_crd[] =
    "apiVersion: apiextensions.k8s.io/v1\n"
    "kind: CustomResourceDefinition\n"
    "metadata: {name: toys.example.com}\n"
    "spec:\n"
    "  group: example.com\n"
    "  scope: Namespaced\n"
    "  names: {plural: toys, kind: Toy, shortNames: [ty]}\n"
    "  versions:\n"
    "  - name: v1\n"
    "    served: true\n"
    "    storage: true\n"
    "    subresources: {status: {}, scale: {specReplicasPath: .spec.count, statusReplicasPath: "
    ".status.count}}\n"
    "    additionalPrinterColumns:\n"
    "    - {name: Colour, type: string, jsonPath: .spec.colour}\n"
    "    - {name: Count, type: integer, jsonPath: .spec.count}\n"
    "    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}\n"
    "    schema:\n"
    "      openAPIV3Schema:\n"
    "        type: object\n"
    "        properties:\n"
    "          spec:\n"
    "            type: object\n"
    "            required: [colour]\n"
    "            x-kubernetes-validations: [{rule: 'self.count < 5'}]\n"
    "            properties:\n"
    "              colour: {type: string, enum: [red, blue]}\n"
    "              count: {type: integer, minimum: 0, default: 1}\n"
    "          status: {type: object, x-kubernetes-preserve-unknown-fields: true}\n"
    "  - name: v1beta1\n"
    "    served: true\n"
    "    storage: false\n"
    "    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}\n";

static void start(struct api_client *c)
{
    api_client_start(c, false);
    assert_int_equal(
        api_client_send(c, "POST", CRDS, "application/yaml", NULL, toy_crd, strlen(toy_crd)), 201);
}

static void test_a_custom_kind_is_served_at_once(void **state)
{
    struct api_client c;
    (void)state;
    start(&c);
    assert_string_equal(api_client_at(&c, "status.conditions[1].type"), "Established");
    assert_string_equal(api_client_at(&c, "spec.names.listKind"), "ToyList");
    assert_int_equal(
        api_client_post(&c, TOYS, "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"colour\":\"red\"}}"),
        201);
    assert_int_equal(json_integer(c.tree, "spec.count", 0), 1);
    assert_contains(c.warnings, "x-kubernetes-validations (CEL)");
    api_client_get(&c, TOYS);
    assert_string_equal(api_client_at(&c, "kind"), "ToyList");
    api_client_get(&c, "/apis/example.com/v1");
    assert_string_equal(api_client_at(&c, "resources[0].shortNames[0]"), "ty");
    assert_string_equal(api_client_at(&c, "resources[2].name"), "toys/scale");
    api_client_stop(&c);
}

static void test_custom_objects_are_validated_and_pruned(void **state)
{
    struct api_client c;
    (void)state;
    start(&c);
    assert_int_equal(
        api_client_post(&c, TOYS, "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"colour\":\"pink\"}}"),
        422);
    assert_string_equal(
        api_client_at(&c, "message"),
        "Toy.example.com \"t\" is invalid: spec.colour: Unsupported value: \"pink\": supported "
        "values: \"red\", \"blue\"");
    assert_string_equal(api_client_at(&c, "details.causes[0].field"), "spec.colour");
    assert_int_equal(
        api_client_post(&c, TOYS,
                        "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"colour\":\"red\",\"z\":1}}"),
        201);
    assert_null(json_find(c.tree, "spec.z"));
    assert_contains(c.warnings, "unknown field \\\"spec.z\\\"");
    api_client_stop(&c);
}

static void test_an_update_of_a_custom_object_needs_a_version(void **state)
{
    struct api_client c;
    (void)state;
    start(&c);
    api_client_post(&c, TOYS, "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"colour\":\"red\"}}");
    assert_int_equal(
        api_client_put(&c, TOYS "/t",
                       "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"colour\":\"red\"}}"),
        422);
    assert_contains(
        api_client_at(&c, "message"),
        "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update");
    api_client_stop(&c);
}

static void test_every_served_version_shows_the_same_objects(void **state)
{
    struct api_client c;
    (void)state;
    start(&c);
    assert_int_equal(
        api_client_post(&c, "/apis/example.com/v1beta1/namespaces/default/toys",
                        "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"colour\":\"red\"}}"),
        201);
    assert_string_equal(api_client_at(&c, "apiVersion"), "example.com/v1beta1");
    assert_int_equal(api_client_get(&c, TOYS "/t"), 200);
    assert_string_equal(api_client_at(&c, "apiVersion"), "example.com/v1");
    assert_int_equal(api_client_get(&c, "/apis/example.com/v1beta1/namespaces/default/toys"), 200);
    assert_string_equal(api_client_at(&c, "items[0].apiVersion"), "example.com/v1beta1");
    api_client_stop(&c);
}

static void test_printer_columns_make_the_table(void **state)
{
    struct api_client c;
    (void)state;
    start(&c);
    api_client_post(&c, TOYS, "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"colour\":\"red\"}}");
    c.now_ms += 5 * 60 * 1000;
    api_client_send(&c, "GET", TOYS, NULL, API_TABLE, NULL, 0);
    assert_string_equal(api_client_at(&c, "columnDefinitions[1].name"), "Colour");
    assert_contains(c.text, "\"cells\":[\"t\",\"red\",1,\"5m\"]");
    assert_string_equal(api_client_at(&c, "rows[0].object.kind"), "PartialObjectMetadata");
    api_client_stop(&c);
}

static void test_scale_is_a_view_of_the_object(void **state)
{
    struct api_client c;
    (void)state;
    start(&c);
    api_client_post(&c, TOYS, "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"colour\":\"red\"}}");
    assert_int_equal(api_client_get(&c, TOYS "/t/scale"), 200);
    assert_string_equal(api_client_at(&c, "kind"), "Scale");
    assert_int_equal(json_integer(c.tree, "spec.replicas", 0), 1);
    assert_int_equal(api_client_merge(&c, TOYS "/t/scale", "{\"spec\":{\"replicas\":3}}"), 200);
    api_client_get(&c, TOYS "/t");
    assert_int_equal(json_integer(c.tree, "spec.count", 0), 3);
    assert_int_equal(json_integer(c.tree, "metadata.generation", 0), 2);
    api_client_stop(&c);
}

static void test_a_deleted_definition_takes_its_objects_along(void **state)
{
    struct api_client c;
    (void)state;
    start(&c);
    api_client_post(&c, TOYS, "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"colour\":\"red\"}}");
    api_client_get(&c, TOYS "?watch=1");
    struct api_watch *w = c.watch;
    assert_int_equal(api_client_delete(&c, CRDS "/toys.example.com"), 200);
    assert_int_equal(api_client_get(&c, CRDS "/toys.example.com"), 404);
    assert_int_equal(api_client_get(&c, TOYS), 404);
    bool over;
    assert_contains(api_client_read(&c, w, &over), "\"type\":\"DELETED\"");
    assert_true(over);
    api_watch_free(w);
    api_client_stop(&c);
}

static void test_bad_definitions_are_refused(void **state)
{
    static const struct {
        const char *sentence, *body, *message;
    } rows[] = {
        {"the name must fit",
         "{metadata: {name: a.b.c}, spec: {group: example.com, scope: Cluster, names: {plural: x, "
         "kind: X}, versions: "
         "[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}}",
         "metadata.name: Invalid value: \"a.b.c\": must be spec.names.plural"},
        {"a schema is needed",
         "{metadata: {name: x.example.com}, spec: {group: example.com, scope: Cluster, names: "
         "{plural: x, kind: X}, "
         "versions: [{name: v1, served: true, storage: true}]}}",
         "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"},
        {"one version is stored",
         "{metadata: {name: x.example.com}, spec: {group: example.com, scope: Cluster, names: "
         "{plural: x, kind: X}, "
         "versions: []}}",
         "must have exactly one version marked as storage version"},
        {"a schema has the form of one",
         "{metadata: {name: x.example.com}, spec: {group: example.com, scope: Cluster, names: "
         "{plural: x, kind: X}, versions: [{name: v1, served: true, storage: true, schema: "
         "{openAPIV3Schema: {type: object, properties: [{default: 1}]}}}]}}",
         "spec.versions[0].schema.openAPIV3Schema.properties: Invalid value: [{\"default\":1}]: "
         "must be an object of schemas"},
    };
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        if (api_client_send(&c, "POST", CRDS, "application/yaml", NULL, rows[i].body,
                            strlen(rows[i].body)) != 422)
            fail_msg("%s: %d %s", rows[i].sentence, c.status, c.text);
        assert_contains(api_client_at(&c, "message"), rows[i].message);
    }
    api_client_stop(&c);
}

/* It may stand in a store from before schemas were checked. */
static void test_a_definition_with_an_odd_schema_does_no_harm(void **state)
{
    static const char crd[] =
        "{\"spec\": {\"group\": \"example.com\", \"scope\": \"Namespaced\", \"names\": "
        "{\"plural\": \"odds\", \"kind\": \"Odd\"}, \"versions\": [{\"name\": \"v1\", "
        "\"served\": true, \"storage\": true, \"schema\": {\"openAPIV3Schema\": {\"type\": "
        "\"object\", \"required\": [1], \"properties\": {\"spec\": {\"properties\": "
        "[{\"default\": 1}]}, \"x\": [1], \"y\": {\"items\": [1]}}}}}]}}";
    struct api_client c;
    cleanup_json cJSON *tree = NULL;
    (void)state;
    start(&c);
    assert_int_equal(json_parse(crd, strlen(crd), &tree, NULL), 0);
    api_crd_register(c.server, "odds.example.com", tree);
    api_client_post(&c, "/apis/example.com/v1/namespaces/default/odds",
                    "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"a\":1},\"x\":{},\"y\":[2]}");
    assert_int_equal(c.status, 201);
    assert_int_equal(api_client_get(&c, "/openapi/v3/apis/example.com/v1"), 200);
    assert_int_equal(api_client_send(&c, "GET", "/openapi/v2", NULL,
                                     "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
                                     NULL, 0),
                     200);
    api_client_stop(&c);
}

/* kubectl 1.20 refused a TrainingJob with a hostPath: an unknown field of a volume, where any are allowed. */
static void test_open_objects_have_no_members_in_swagger(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, true);
    assert_int_equal(api_client_get(&c, "/openapi/v2"), 200);
    const cJSON *job = json_member(json_find(c.tree, "definitions"), "io.mltrain.v1alpha1.TrainingJob");
    const cJSON *pod =
        json_find(job, "properties.spec.properties.workers.properties.template.properties.spec");
    assert_true(json_bool(pod, "x-kubernetes-preserve-unknown-fields", false));
    assert_null(json_member(pod, "properties"));
    assert_non_null(json_find(job, "properties.spec.properties.nprocPerNode"));
    api_client_stop(&c);
}

static void test_custom_kinds_are_there_after_a_restart(void **state)
{
    struct api_client c;
    (void)state;
    start(&c);
    api_client_post(&c, TOYS, "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"colour\":\"red\"}}");
    api_client_restart(&c);
    assert_int_equal(api_client_get(&c, TOYS "/t"), 200);
    api_client_stop(&c);
}

static void test_training_jobs_pass_the_projects_own_validator(void **state)
{
    static const char spares[] =
        "{\"metadata\":{\"name\":\"j\"},\"spec\":{\"scheduling\":{\"spares\":1},\"workers\":{"
        "\"template\":{\"spec\":{"
        "\"containers\":[{\"name\":\"trainer\",\"image\":\"i\",\"command\":[\"true\"]}]}}}}}";
    static const char good[] = "{\"metadata\":{\"name\":\"j\"},\"spec\":{\"workers\":{\"template\":"
                               "{\"spec\":{\"containers\":[{\"name\":"
                               "\"trainer\",\"image\":\"i\",\"command\":[\"true\"]}]}}}}}";
    struct api_client c;
    (void)state;
    api_client_start(&c, true);
    assert_int_equal(api_client_post(&c, JOBS, spares), 422);
    assert_contains(api_client_at(&c, "message"), "spec.scheduling.spares");
    assert_contains(api_client_at(&c, "message"), "not supported yet");
    assert_string_equal(api_client_at(&c, "details.causes[0].field"), "spec.scheduling.spares");
    assert_int_equal(api_client_post(&c, JOBS, good), 201);
    assert_string_equal(c.warnings, "");
    /* A running job's gang does not change under it. */
    api_client_merge(&c, JOBS "/j/status", "{\"status\":{\"phase\":\"Running\"}}");
    assert_int_equal(api_client_merge(&c, JOBS "/j", "{\"spec\":{\"framework\":\"plain\"}}"), 422);
    assert_int_equal(api_client_merge(&c, JOBS "/j", "{\"spec\":{\"suspend\":true}}"), 200);
    assert_int_equal(api_client_get(&c, "/apis/mltrain.io/v1alpha1/trainingqueues/default"), 200);
    api_client_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_custom_kind_is_served_at_once),
        cmocka_unit_test(test_custom_objects_are_validated_and_pruned),
        cmocka_unit_test(test_an_update_of_a_custom_object_needs_a_version),
        cmocka_unit_test(test_every_served_version_shows_the_same_objects),
        cmocka_unit_test(test_printer_columns_make_the_table),
        cmocka_unit_test(test_scale_is_a_view_of_the_object),
        cmocka_unit_test(test_a_deleted_definition_takes_its_objects_along),
        cmocka_unit_test(test_bad_definitions_are_refused),
        cmocka_unit_test(test_a_definition_with_an_odd_schema_does_no_harm),
        cmocka_unit_test(test_open_objects_have_no_members_in_swagger),
        cmocka_unit_test(test_custom_kinds_are_there_after_a_restart),
        cmocka_unit_test(test_training_jobs_pass_the_projects_own_validator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
