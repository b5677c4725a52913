/* Tests of localcluster/api: create, read, update, delete, over the pure request handler. */
#include "tests/unit/localcluster/api_client.h"

#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

#define CONFIGMAPS "/api/v1/namespaces/default/configmaps"
#define JOBS "/apis/mltrain.io/v1alpha1/namespaces/default/trainingjobs"

static const char job[] =
    "{\"apiVersion\":\"mltrain.io/"
    "v1alpha1\",\"kind\":\"TrainingJob\",\"metadata\":{\"name\":\"j\"},\"spec\":{"
    "\"workers\":{\"replicas\":2,\"template\":{\"spec\":{\"containers\":[{\"name\":\"trainer\","
    "\"image\":\"i\","
    "\"command\":[\"true\"]}]}}}}}";

static void test_a_new_object_gets_uid_time_and_revision(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(
        api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}"),
        201);
    assert_int_equal(strlen(api_client_at(&c, "metadata.uid")), 36);
    assert_string_equal(api_client_at(&c, "metadata.creationTimestamp"), "2025-11-24T16:00:00Z");
    assert_string_equal(api_client_at(&c, "kind"), "ConfigMap");
    assert_string_equal(api_client_at(&c, "metadata.namespace"), "default");
    cleanup_free char *revision = mlt_strdup(api_client_at(&c, "metadata.resourceVersion"));
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 200);
    assert_string_equal(api_client_at(&c, "metadata.resourceVersion"), revision);
    assert_int_equal(api_client_get(&c, CONFIGMAPS), 200);
    assert_string_equal(api_client_at(&c, "kind"), "ConfigMapList");
    assert_string_equal(api_client_at(&c, "items[0].data.k"), "v");
    api_client_stop(&c);
}

static void test_the_same_name_twice_is_a_409_already_exists(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"}}");
    assert_int_equal(api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"}}"), 409);
    assert_string_equal(api_client_at(&c, "reason"), "AlreadyExists");
    assert_string_equal(api_client_at(&c, "message"), "configmaps \"a\" already exists");
    assert_string_equal(api_client_at(&c, "details.kind"), "configmaps");
    api_client_stop(&c);
}

static void test_generate_name_gives_different_names(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"generateName\":\"a-\"}}"),
                     201);
    cleanup_free char *first = mlt_strdup(api_client_at(&c, "metadata.name"));
    assert_int_equal(strlen(first), 7);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"generateName\":\"a-\"}}");
    assert_string_not_equal(api_client_at(&c, "metadata.name"), first);
    api_client_stop(&c);
}

static void test_an_update_of_an_old_version_is_a_conflict(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"}}");
    cleanup_free char *old = json_print(c.tree);
    assert_int_equal(api_client_merge(&c, CONFIGMAPS "/a", "{\"data\":{\"k\":\"1\"}}"), 200);
    assert_int_equal(api_client_put(&c, CONFIGMAPS "/a", old), 409);
    assert_string_equal(
        api_client_at(&c, "message"),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; "
        "please apply your changes to the latest version and try again");
    assert_int_equal(api_client_merge(&c, CONFIGMAPS "/a",
                                      "{\"metadata\":{\"resourceVersion\":\"1\"},\"data\":{}}"),
                     409);
    api_client_stop(&c);
}

static void test_an_update_without_a_change_keeps_the_revision(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\"}}");
    cleanup_free char *revision = mlt_strdup(api_client_at(&c, "metadata.resourceVersion"));
    api_client_merge(&c, CONFIGMAPS "/a", "{\"data\":{\"k\":\"1\"}}");
    assert_string_equal(api_client_at(&c, "metadata.resourceVersion"), revision);
    api_client_stop(&c);
}

static void test_uid_and_name_cannot_be_changed(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"}}");
    assert_int_equal(api_client_merge(&c, CONFIGMAPS "/a", "{\"metadata\":{\"uid\":\"x\"}}"), 409);
    assert_contains(api_client_at(&c, "message"), "Precondition failed: UID in precondition: x");
    assert_int_equal(api_client_merge(&c, CONFIGMAPS "/a", "{\"metadata\":{\"name\":\"b\"}}"), 400);
    api_client_stop(&c);
}

static void test_status_and_spec_keep_out_of_each_others_way(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, true);
    assert_int_equal(api_client_post(&c, JOBS, job), 201);
    assert_int_equal(json_integer(c.tree, "metadata.generation", 0), 1);
    assert_int_equal(api_client_merge(&c, JOBS "/j", "{\"status\":{\"phase\":\"Running\"}}"), 200);
    assert_string_equal(api_client_at(&c, "status.phase"), "");
    assert_int_equal(
        api_client_merge(&c, JOBS "/j/status",
                         "{\"spec\":{\"suspend\":true},\"status\":{\"phase\":\"Queued\"}}"),
        200);
    assert_string_equal(api_client_at(&c, "status.phase"), "Queued");
    assert_false(json_bool(c.tree, "spec.suspend", true));
    assert_int_equal(json_integer(c.tree, "metadata.generation", 0), 1);
    assert_int_equal(api_client_merge(&c, JOBS "/j", "{\"spec\":{\"suspend\":true}}"), 200);
    assert_int_equal(json_integer(c.tree, "metadata.generation", 0), 2);
    assert_string_equal(api_client_at(&c, "status.phase"), "Queued");
    api_client_stop(&c);
}

static void test_a_dry_run_stores_nothing(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    uint64_t revision = api_server_revision(c.server);
    assert_int_equal(
        api_client_post(&c, CONFIGMAPS "?dryRun=All", "{\"metadata\":{\"name\":\"a\"}}"), 201);
    assert_int_equal(strlen(api_client_at(&c, "metadata.uid")), 36);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 404);
    assert_int_equal(api_server_revision(c.server), revision);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"}}");
    assert_int_equal(api_client_delete(&c, CONFIGMAPS "/a?dryRun=All"), 200);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 200);
    api_client_stop(&c);
}

static void test_unknown_fields_are_refused_warned_of_or_ignored_as_asked(void **state)
{
    static const char body[] = "{\"metadata\":{\"name\":\"a\",\"nmae\":\"b\"},\"dta\":{}}";
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(api_client_post(&c, CONFIGMAPS "?fieldValidation=Strict", body), 400);
    assert_string_equal(
        api_client_at(&c, "message"),
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: "
        "unknown field \"metadata.nmae\"");
    assert_int_equal(api_client_post(&c, CONFIGMAPS "?fieldValidation=Warn", body), 201);
    assert_contains(c.warnings, "299 - \"unknown field \\\"dta\\\"\"");
    assert_null(json_find(c.tree, "dta"));
    api_client_delete(&c, CONFIGMAPS "/a");
    assert_int_equal(api_client_post(&c, CONFIGMAPS "?fieldValidation=Ignore", body), 201);
    assert_string_equal(c.warnings, "");
    api_client_stop(&c);
}

static void test_values_of_a_wrong_type_are_a_400_with_the_field(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(
        api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":1}}"), 400);
    assert_contains(api_client_at(&c, "message"),
                    "cannot unmarshal number into Go struct field data");
    assert_int_equal(
        api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\",\"labels\":{\"k\":true}}}"),
        400);
    assert_contains(api_client_at(&c, "message"),
                    "cannot unmarshal bool into Go struct field metadata.labels");
    assert_int_equal(api_client_post(&c, CONFIGMAPS, "[]"), 400);
    assert_int_equal(api_client_post(&c, CONFIGMAPS, "{\"metadata\":"), 400);
    api_client_stop(&c);
}

static void test_metadata_is_checked_in_the_servers_words(void **state)
{
    static const struct {
        const char *sentence, *body, *message;
    } rows[] = {
        {"a name is needed", "{\"metadata\":{}}",
         "metadata.name: Required value: name or generateName is required"},
        {"a name is a subdomain", "{\"metadata\":{\"name\":\"A_b\"}}",
         "metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain"},
        {"a label's value has rules", "{\"metadata\":{\"name\":\"a\",\"labels\":{\"k\":\"a b\"}}}",
         "metadata.labels: Invalid value: \"a b\": a valid label must be"},
        {"a label's key has rules", "{\"metadata\":{\"name\":\"a\",\"labels\":{\"a/b/c\":\"x\"}}}",
         "metadata.labels: Invalid value: \"a/b/c\": name part must consist of"},
        {"an owner has a uid",
         "{\"metadata\":{\"name\":\"a\",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":"
         "\"Pod\",\"name\":"
         "\"p\"}]}}",
         "metadata.ownerReferences[0].uid: Required value: must not be empty"},
    };
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        if (api_client_post(&c, CONFIGMAPS, rows[i].body) != 422)
            fail_msg("%s: status %d", rows[i].sentence, c.status);
        assert_contains(api_client_at(&c, "message"), rows[i].message);
        assert_string_equal(api_client_at(&c, "reason"), "Invalid");
        assert_string_equal(api_client_at(&c, "details.kind"), "ConfigMap");
    }
    api_client_stop(&c);
}

static void test_objects_need_their_namespace(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(api_client_post(&c, "/api/v1/namespaces/none/configmaps",
                                     "{\"metadata\":{\"name\":\"a\"}}"),
                     404);
    assert_string_equal(api_client_at(&c, "message"), "namespaces \"none\" not found");
    assert_int_equal(
        api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\"}}"),
        400);
    api_client_stop(&c);
}

static void test_an_object_with_a_finalizer_goes_with_its_last_finalizer(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, CONFIGMAPS,
                    "{\"metadata\":{\"name\":\"a\",\"finalizers\":[\"x.io/f\",\"x.io/g\"]}}");
    assert_int_equal(api_client_delete(&c, CONFIGMAPS "/a"), 200);
    assert_string_equal(api_client_at(&c, "metadata.deletionTimestamp"), "2025-11-24T16:00:00Z");
    assert_int_equal(
        api_client_merge(&c, CONFIGMAPS "/a", "{\"metadata\":{\"finalizers\":[\"x.io/h\"]}}"), 422);
    assert_int_equal(
        api_client_merge(&c, CONFIGMAPS "/a", "{\"metadata\":{\"finalizers\":[\"x.io/g\"]}}"), 200);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 200);
    assert_int_equal(api_client_merge(&c, CONFIGMAPS "/a", "{\"metadata\":{\"finalizers\":null}}"),
                     200);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 404);
    api_client_stop(&c);
}

static void test_deletion_obeys_preconditions(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"}}");
    cleanup_free char *good =
        mlt_asprintf("{\"preconditions\":{\"uid\":\"%s\"}}", api_client_at(&c, "metadata.uid"));
    static const char bad[] =
        "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{\"uid\":\"x\"}}";
    assert_int_equal(
        api_client_send(&c, "DELETE", CONFIGMAPS "/a", "application/json", NULL, bad, strlen(bad)),
        409);
    assert_string_equal(api_client_at(&c, "reason"), "Conflict");
    assert_int_equal(api_client_send(&c, "DELETE", CONFIGMAPS "/a", "application/json", NULL, good,
                                     strlen(good)),
                     200);
    assert_string_equal(api_client_at(&c, "status"), "Success");
    api_client_stop(&c);
}

static void test_a_collection_is_deleted_by_selector(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"1\"}}}");
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"b\",\"labels\":{\"x\":\"2\"}}}");
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"c\",\"labels\":{\"x\":\"1\"}}}");
    assert_int_equal(api_client_delete(&c, CONFIGMAPS "?labelSelector=x%3D1"), 200);
    api_client_get(&c, CONFIGMAPS);
    assert_int_equal(json_size(c.tree, "items"), 1);
    assert_string_equal(api_client_at(&c, "items[0].metadata.name"), "b");
    api_client_stop(&c);
}

static void test_selectors_choose_what_is_listed(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"1\"}}}");
    api_client_post(&c, "/api/v1/namespaces/kube-system/configmaps",
                    "{\"metadata\":{\"name\":\"a\"}}");
    api_client_get(&c, "/api/v1/configmaps");
    assert_int_equal(json_size(c.tree, "items"), 2);
    api_client_get(&c, "/api/v1/configmaps?labelSelector=x");
    assert_int_equal(json_size(c.tree, "items"), 1);
    api_client_get(&c, "/api/v1/configmaps?fieldSelector=metadata.namespace%3Dkube-system");
    assert_int_equal(json_size(c.tree, "items"), 1);
    assert_int_equal(api_client_get(&c, "/api/v1/configmaps?labelSelector=%28"), 400);
    api_client_stop(&c);
}

static void test_a_store_that_refuses_leaves_everything_as_it_was(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    uint64_t revision = api_server_revision(c.server);
    store_memory_fail_after(c.store, 0);
    assert_int_equal(api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"}}"), 500);
    assert_int_equal(api_server_revision(c.server), revision);
    store_memory_fail_after(c.store, -1);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 404);
    assert_int_equal(api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"}}"), 201);
    api_client_stop(&c);
}

static void test_a_restarted_server_knows_everything(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, true);
    api_client_post(&c, JOBS, job);
    cleanup_free char *before = mlt_strdup(c.text);
    uint64_t revision = api_server_revision(c.server);
    api_client_restart(&c);
    assert_int_equal(api_server_revision(c.server), revision);
    assert_int_equal(api_client_get(&c, JOBS "/j"), 200);
    assert_string_equal(c.text, before);
    api_client_stop(&c);
}

static void test_too_large_objects_are_refused(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    size_t size = API_OBJECT_MAX + 1000;
    cleanup_free char *text = mlt_calloc(1, size + 200);
    size_t length = strlen(strcat(text, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\""));
    memset(text + length, 'x', size);
    (void)strcat(text, "\"}}");
    assert_true(api_client_post(&c, CONFIGMAPS, text) == 413 || c.status == 422);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 404);
    api_client_stop(&c);
}

static void test_whole_numbers_of_any_size_come_back_as_they_went_in(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, true);
    api_client_post(&c, JOBS, job);
    api_client_merge(&c, JOBS "/j/status",
                     "{\"status\":{\"checkpoint\":{\"step\":1732406400000000}}}");
    assert_contains(c.text, "\"step\":1732406400000000");
    api_client_stop(&c);
}

/* What is stored must be readable at the next start, however it was put together. */
static void test_an_object_cannot_be_patched_too_deep_to_be_read_again(void **state)
{
    static const char target[] = "/apis/apps/v1/namespaces/default/controllerrevisions";
    enum { LEVELS = 80 };
    struct api_client c;
    cleanup_text struct mlt_text body = MLT_TEXT_INIT(4096), patch = MLT_TEXT_INIT(4096);
    (void)state;
    api_client_start(&c, false);
    mlt_text_puts(&body, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"x\":");
    mlt_text_puts(&patch, "[{\"op\":\"add\",\"path\":\"/data/x");
    for (int i = 0; i < LEVELS; i++) {
        mlt_text_puts(&body, "[");
        mlt_text_puts(&patch, i + 1 < LEVELS ? "/0" : "/-");
    }
    mlt_text_puts(&patch, "\",\"value\":");
    for (int i = 0; i < LEVELS; i++)
        mlt_text_puts(&patch, "[");
    for (int i = 0; i < LEVELS; i++) {
        mlt_text_puts(&body, "]");
        mlt_text_puts(&patch, "]");
    }
    mlt_text_puts(&body, "}}");
    mlt_text_puts(&patch, "}]");
    assert_int_equal(api_client_post(&c, target, mlt_text_string(&body)), 201);
    cleanup_free char *one = mlt_asprintf("%s/a", target);
    int status = api_client_send(&c, "PATCH", one, API_JSON_PATCH, NULL, mlt_text_string(&patch),
                                 patch.length);
    assert_true(status >= 400 && status < 500);
    api_client_restart(&c);
    assert_int_equal(api_client_get(&c, one), 200);
    api_client_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_object_gets_uid_time_and_revision),
        cmocka_unit_test(test_the_same_name_twice_is_a_409_already_exists),
        cmocka_unit_test(test_generate_name_gives_different_names),
        cmocka_unit_test(test_an_update_of_an_old_version_is_a_conflict),
        cmocka_unit_test(test_an_update_without_a_change_keeps_the_revision),
        cmocka_unit_test(test_uid_and_name_cannot_be_changed),
        cmocka_unit_test(test_status_and_spec_keep_out_of_each_others_way),
        cmocka_unit_test(test_a_dry_run_stores_nothing),
        cmocka_unit_test(test_unknown_fields_are_refused_warned_of_or_ignored_as_asked),
        cmocka_unit_test(test_values_of_a_wrong_type_are_a_400_with_the_field),
        cmocka_unit_test(test_metadata_is_checked_in_the_servers_words),
        cmocka_unit_test(test_objects_need_their_namespace),
        cmocka_unit_test(test_an_object_with_a_finalizer_goes_with_its_last_finalizer),
        cmocka_unit_test(test_deletion_obeys_preconditions),
        cmocka_unit_test(test_a_collection_is_deleted_by_selector),
        cmocka_unit_test(test_selectors_choose_what_is_listed),
        cmocka_unit_test(test_a_store_that_refuses_leaves_everything_as_it_was),
        cmocka_unit_test(test_a_restarted_server_knows_everything),
        cmocka_unit_test(test_too_large_objects_are_refused),
        cmocka_unit_test(test_an_object_cannot_be_patched_too_deep_to_be_read_again),
        cmocka_unit_test(test_whole_numbers_of_any_size_come_back_as_they_went_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
