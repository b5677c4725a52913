/* Tests of localcluster/api/jsonpath.c. */
#include "tests/unit/localcluster/api_client.h"

#include <string.h>
#include "lib/base/cleanup.h"
#include "localcluster/api/jsonpath.h"

#define TREE                                                            \
    "{\"spec\": {\"replicas\": 3, \"list\": [\"a\", \"b\", \"c\"]},"    \
    " \"metadata\": {\"labels\": {\"a.b/c\": \"x\"}}, \"[0\": \"odd\"," \
    " \"conditions\": [{\"type\": \"Ready\", \"status\": \"True\"}, {}, 5]}"

static void test_paths_lead_to_the_first_value(void **state)
{
    static const struct {
        const char *path, *value; /* NULL: nowhere */
    } rows[] = {
        {".spec.replicas", "3"},
        {"$.spec.replicas", "3"},
        {".spec.list[1]", "\"b\""},
        {".spec.list[-1]", "\"c\""},
        {".spec.list[*]", "\"a\""},
        {".spec.list[3]", NULL},
        {".spec.list.0", NULL}, /* an index stands in brackets */
        {".spec.list[-4]", NULL},
        {".spec[0]", NULL},
        {".spec['replicas']", "3"},
        {".metadata.labels.a\\.b/c", "\"x\""},
        {".\\[0", "\"odd\""},
        {".conditions[?(@.type==\"Ready\")].status", "\"True\""},
        {".conditions[?(@.type=='Gone')].status", NULL},
        {".conditions[?)]", NULL},
        {".conditions[", NULL},
        {".conditions[]", "{\"type\":\"Ready\",\"status\":\"True\"}"},
    };
    cleanup_json cJSON *tree = NULL;
    (void)state;
    assert_int_equal(json_parse(TREE, strlen(TREE), &tree, NULL), 0);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        const cJSON *found = api_jsonpath(tree, rows[i].path);
        cleanup_free char *text = found ? json_print(found) : NULL;
        if (rows[i].value ? !text || strcmp(text, rows[i].value) != 0 : found != NULL)
            fail_msg("%s: got %s", rows[i].path, text ? text : "nothing");
    }
}

/* What is written at the plain path is found at the other. */
static void test_plain_paths_are_for_writing(void **state)
{
    static const struct {
        const char *path, *plain; /* NULL: more than plain names */
    } rows[] = {
        {".spec.replicas", "spec.replicas"},
        {".spec.0", "spec.0"},
        {".spec.a$b", "spec.a$b"},
        {".spec.a\\b", "spec.ab"},
        {"spec", NULL},
        {"", NULL},
        {".", NULL},
        {".spec..x", NULL},
        {".spec.list[0]", NULL},
        {".metadata.a\\.b", NULL},
        {".spec.a\\[0", NULL}, /* lib/json would take it for an index */
    };
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        char plain[API_JSONPATH_MAX];
        if (api_jsonpath_plain(rows[i].path, plain) != (rows[i].plain != NULL))
            fail_msg("%s", rows[i].path);
        if (!rows[i].plain)
            continue;
        assert_string_equal(plain, rows[i].plain);
        cleanup_json cJSON *tree = cJSON_CreateObject();
        json_set_integer(tree, plain, 7);
        assert_int_equal(json_integer(api_jsonpath(tree, rows[i].path), "", 0), 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_lead_to_the_first_value),
        cmocka_unit_test(test_plain_paths_are_for_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
