/* Tests of localcluster/api/{patch,strategic}.c. */
#include "tests/unit/localcluster/api_client.h"

#include <string.h>
#include "lib/base/cleanup.h"
#include "localcluster/api/kinds.h"
#include "localcluster/api/strategic.h"

/* Strategic merge patches of a pod's spec: what was, the patch, what is. */
static const struct {
    const char *sentence, *before, *patch, *after;
} rows[] = {
    {"containers are merged by name",
     "{\"containers\":[{\"name\":\"a\",\"image\":\"1\"},{\"name\":\"b\"}]}",
     "{\"containers\":[{\"name\":\"a\",\"image\":\"2\"}]}",
     "{\"containers\":[{\"name\":\"a\",\"image\":\"2\"},{\"name\":\"b\"}]}"},
    {"a new container is added at the end", "{\"containers\":[{\"name\":\"a\"}]}",
     "{\"containers\":[{\"name\":\"b\"}]}", "{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}"},
    {"$patch: delete removes an item", "{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
     "{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"}]}",
     "{\"containers\":[{\"name\":\"b\"}]}"},
    {"$patch: replace replaces a list", "{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
     "{\"containers\":[{\"name\":\"c\"},{\"$patch\":\"replace\"}]}",
     "{\"containers\":[{\"name\":\"c\"}]}"},
    {"$patch: replace replaces an object", "{\"securityContext\":{\"runAsUser\":1,\"fsGroup\":2}}",
     "{\"securityContext\":{\"$patch\":\"replace\",\"fsGroup\":3}}",
     "{\"securityContext\":{\"fsGroup\":3}}"},
    {"env is merged by name inside of containers",
     "{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"X\",\"value\":\"1\"},{\"name\":\"Y\","
     "\"value\":\"2\"}]}]}",
     "{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"Y\",\"value\":\"3\"}]}]}",
     "{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"X\",\"value\":\"1\"},{\"name\":\"Y\","
     "\"value\":\"3\"}]}]}"},
    {"command is replaced as a whole",
     "{\"containers\":[{\"name\":\"a\",\"command\":[\"x\",\"y\"]}]}",
     "{\"containers\":[{\"name\":\"a\",\"command\":[\"z\"]}]}",
     "{\"containers\":[{\"name\":\"a\",\"command\":[\"z\"]}]}"},
    {"tolerations are replaced: they have no merge key", "{\"tolerations\":[{\"key\":\"a\"}]}",
     "{\"tolerations\":[{\"key\":\"b\"}]}", "{\"tolerations\":[{\"key\":\"b\"}]}"},
    {"null removes a member", "{\"nodeName\":\"n\",\"hostname\":\"h\"}", "{\"hostname\":null}",
     "{\"nodeName\":\"n\"}"},
    {"maps are merged", "{\"nodeSelector\":{\"a\":\"1\",\"b\":\"2\"}}",
     "{\"nodeSelector\":{\"a\":null,\"c\":\"3\"}}", "{\"nodeSelector\":{\"b\":\"2\",\"c\":\"3\"}}"},
    {"$setElementOrder sorts", "{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
     "{\"$setElementOrder/"
     "containers\":[{\"name\":\"b\"},{\"name\":\"a\"}],\"containers\":[{\"name\":\"b\",\"tty\":"
     "true}]}",
     "{\"containers\":[{\"name\":\"b\",\"tty\":true},{\"name\":\"a\"}]}"},
    {"$retainKeys drops the other volume source",
     "{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}",
     "{\"volumes\":[{\"name\":\"v\",\"$retainKeys\":[\"name\",\"hostPath\"],\"hostPath\":{\"path\":"
     "\"/x\"}}]}",
     "{\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/x\"}}]}"},
    {"directives do not get into new objects", "{}",
     "{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"},{\"name\":\"b\",\"env\":[{\"name\":"
     "\"X\"}],"
     "\"$setElementOrder/env\":[{\"name\":\"X\"}]}]}",
     "{\"containers\":[{\"name\":\"b\",\"env\":[{\"name\":\"X\"}]}]}"},
};

static cJSON *parse(const char *text)
{
    cJSON *tree = NULL;
    struct mlt_error err = {0};
    if (json_parse(text, strlen(text), &tree, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return tree;
}

static void test_strategic_patches_know_the_merge_keys_of_pods(void **state)
{
    cleanup_json cJSON *types = api_kinds_new();
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_json cJSON *tree = parse(rows[i].before), *patch = parse(rows[i].patch);
        cleanup_json cJSON *after = parse(rows[i].after);
        struct mlt_error err = {0};
        if (api_strategic_patch(json_member(types, "PodSpec"), tree, patch, &err) < 0)
            fail_msg("%s: %s", rows[i].sentence, err.text);
        cleanup_free char *got = json_print(tree), *wanted = json_print(after);
        if (strcmp(got, wanted) != 0)
            fail_msg("%s: got %s, expected %s", rows[i].sentence, got, wanted);
    }
}

static void test_finalizers_are_a_set(void **state)
{
    cleanup_json cJSON *types = api_kinds_new();
    cleanup_json cJSON *tree = parse("{\"finalizers\":[\"a\",\"b\"]}");
    cleanup_json cJSON *patch =
        parse("{\"finalizers\":[\"b\",\"c\"],\"$deleteFromPrimitiveList/finalizers\":[\"a\"]}");
    (void)state;
    assert_int_equal(api_strategic_patch(json_member(types, "ObjectMeta"), tree, patch, NULL), 0);
    cleanup_free char *got = json_print(tree);
    assert_string_equal(got, "{\"finalizers\":[\"b\",\"c\"]}");
}

static void test_malformed_strategic_patches_are_refused(void **state)
{
    static const char *const bad[] = {"{\"containers\":[{\"image\":\"x\"}]}",
                                      "{\"containers\":[\"x\"]}", "{\"$patch\":\"burn\"}", "[1]",
                                      "\"text\""};
    cleanup_json cJSON *types = api_kinds_new();
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(bad); i++) {
        cleanup_json cJSON *tree = parse("{\"containers\":[{\"name\":\"a\"}]}"),
                           *patch = parse(bad[i]);
        assert_true(api_strategic_patch(json_member(types, "PodSpec"), tree, patch, NULL) < 0);
    }
}

#define CONFIGMAPS "/api/v1/namespaces/default/configmaps"

static int patch(struct api_client *c, const char *type, const char *body)
{
    return api_client_send(c, "PATCH", CONFIGMAPS "/a", type, NULL, body, strlen(body));
}

static void test_json_patches_apply_as_a_whole_or_not_at_all(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\"}}");
    assert_int_equal(
        patch(&c, API_JSON_PATCH, "[{\"op\":\"add\",\"path\":\"/data/x\",\"value\":\"2\"}]"), 200);
    assert_string_equal(api_client_at(&c, "data.x"), "2");
    assert_int_equal(
        patch(&c, API_JSON_PATCH,
              "[{\"op\":\"remove\",\"path\":\"/data/x\"},{\"op\":\"test\",\"path\":\"/data/k\","
              "\"value\":\"9\"}]"),
        422);
    assert_int_equal(patch(&c, API_JSON_PATCH, "[{\"op\":\"remove\",\"path\":\"/data/none\"}]"),
                     422);
    assert_int_equal(patch(&c, API_JSON_PATCH, "{}"), 400);
    api_client_get(&c, CONFIGMAPS "/a");
    assert_string_equal(api_client_at(&c, "data.x"), "2");
    api_client_stop(&c);
}

static void test_patch_types_that_are_not_spoken_are_415(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, true);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"}}");
    assert_int_equal(patch(&c, "application/apply-patch+yaml", "{}"), 415);
    assert_contains(api_client_at(&c, "message"), "server-side apply");
    assert_int_equal(patch(&c, "text/plain", "{}"), 415);
    assert_int_equal(api_client_send(&c, "PATCH",
                                     "/apis/mltrain.io/v1alpha1/trainingqueues/default",
                                     API_STRATEGIC, NULL, "{}", 2),
                     415);
    api_client_stop(&c);
}

static void test_a_patch_cannot_make_another_kind_of_it(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, CONFIGMAPS, "{\"metadata\":{\"name\":\"a\"}}");
    assert_int_equal(patch(&c, API_MERGE, "{\"kind\":\"Secret\"}"), 400);
    assert_int_equal(patch(&c, API_JSON_PATCH, "[{\"op\":\"replace\",\"path\":\"\",\"value\":7}]"),
                     400);
    api_client_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strategic_patches_know_the_merge_keys_of_pods),
        cmocka_unit_test(test_finalizers_are_a_set),
        cmocka_unit_test(test_malformed_strategic_patches_are_refused),
        cmocka_unit_test(test_json_patches_apply_as_a_whole_or_not_at_all),
        cmocka_unit_test(test_patch_types_that_are_not_spoken_are_415),
        cmocka_unit_test(test_a_patch_cannot_make_another_kind_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
