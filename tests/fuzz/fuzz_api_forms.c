/* What the API server reads beside JSON: protobuf bodies, strategic merge patches, JSONPaths,
 * structural schemas of strangers, and bearer tokens. The first byte chooses; the trees come as one
 * JSON list. */
#include "tests/fuzz/fuzz.h"

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "localcluster/api/auth.h"
#include "localcluster/api/jsonpath.h"
#include "localcluster/api/protobuf_reader.h"
#include "localcluster/api/schema.h"
#include "localcluster/api/strategic.h"

static void protobuf(const char *text, size_t size)
{
    cleanup_json cJSON *tree = NULL, *again = NULL;
    struct mlt_error err = {0};
    if (api_protobuf_read(text, size, &tree, &err) < 0) {
        REQUIRE(err.text[0]);
        return;
    }
    REQUIRE(cJSON_IsObject(tree) && json_string(tree, "kind", NULL));
    cleanup_free char *printed = json_print(tree);
    if (json_parse(printed, strlen(printed), &again, NULL) == 0)
        REQUIRE(json_equal(tree, again));
}

/* [schema, tree, patch] */
static void strategic(const cJSON *list)
{
    struct mlt_error err = {0};
    cleanup_json cJSON *tree = json_copy(json_find(list, "[1]")), *before = json_copy(tree);
    cleanup_json cJSON *nothing = cJSON_CreateObject();
    if (!cJSON_IsObject(tree)) {
        REQUIRE(api_strategic_patch(json_find(list, "[0]"), tree, nothing, &err) < 0);
        return;
    }
    REQUIRE(api_strategic_patch(json_find(list, "[0]"), tree, nothing, &err) == 0);
    REQUIRE(json_equal(tree, before));
    if (api_strategic_patch(json_find(list, "[0]"), tree, json_find(list, "[2]"), &err) < 0)
        REQUIRE(err.text[0]);
    cleanup_free char *printed = json_print(tree);
    REQUIRE(printed);
}

/* [schema, value]: fitting and defaulting a second time change nothing. */
static void schema(const cJSON *list)
{
    const cJSON *rules = json_find(list, "[0]");
    cleanup_json cJSON *tree = json_copy(json_find(list, "[1]"));
    if (!cJSON_IsObject(tree) || !cJSON_IsObject(rules))
        return;
    struct api_fit fit = {0}, again = {0};
    api_schema_fit(rules, NULL, tree, &fit);
    api_schema_fit(rules, NULL, tree, &again);
    REQUIRE(again.unknown_count == 0);
    api_schema_default(rules, tree);
    cleanup_json cJSON *once = json_copy(tree);
    api_schema_default(rules, tree);
    REQUIRE(json_equal(once, tree));
    struct api_causes causes = {0}, faults = {0};
    api_schema_validate(rules, tree, &causes);
    api_schema_check(rules, "schema", &faults);
    api_causes_release(&causes);
    api_causes_release(&faults);
    (void)api_schema_has_cel(rules);
    api_fit_release(&fit);
    api_fit_release(&again);
}

/* [path, tree]; what is written at a plain path is found there. */
static void jsonpath(const cJSON *list)
{
    const char *path = json_string(list, "[0]", "");
    const cJSON *tree = json_find(list, "[1]");
    char plain[API_JSONPATH_MAX];
    (void)api_jsonpath(tree, path);
    if (!api_jsonpath_plain(path, plain))
        return;
    REQUIRE(strlen(plain) < sizeof plain);
    cleanup_json cJSON *changed = cJSON_IsObject(tree) ? json_copy(tree) : cJSON_CreateObject();
    json_set_string(changed, plain, "found");
    REQUIRE(strcmp(json_string(api_jsonpath(changed, path), "", ""), "found") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    cleanup_free char *text = fuzz_text(data + 1, size - 1);
    cleanup_json cJSON *list = NULL;
    if (data[0] == 'p') {
        protobuf(text, size - 1);
        return 0;
    }
    if (data[0] == 'a') {
        REQUIRE(!api_auth_allows("secret", text) || strstr(text, "secret"));
        return 0;
    }
    if (json_parse(text, size - 1, &list, NULL) < 0 || !cJSON_IsArray(list))
        return 0;
    if (data[0] == 's')
        strategic(list);
    else if (data[0] == 'v')
        schema(list);
    else
        jsonpath(list);
    return 0;
}
