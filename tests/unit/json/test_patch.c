/* lib/json/merge.c and patch.c. The rows are the examples of RFC 7386 and RFC 6902, and what
 * attackers would try. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

static cJSON *parse(const char *text)
{
    struct mlt_error err = {0};
    cJSON *node = NULL;
    if (json_parse(text, strlen(text), &node, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    return node;
}

static void test_merge_patches_of_rfc_7386(void **state)
{
    (void)state;
    static const struct {
        const char *target, *patch, *result;
    } rows[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_json cJSON *target = parse(rows[i].target), *patch = parse(rows[i].patch);
        json_merge_patch(&target, patch);
        cleanup_free char *out = json_print(target);
        assert_string_equal(out, rows[i].result);
    }
}

static void test_the_difference_is_what_changed_only(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *patch;
    } rows[] = {
        {"{\"a\":1}", "{\"a\":1.0}", "{}"},
        {"{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1,\"c\":3}}", "{\"a\":{\"c\":3}}"},
        {"{\"a\":1,\"b\":2}", "{\"b\":2}", "{\"a\":null}"},
        {"{\"a\":[1,2]}", "{\"a\":[1,2,3]}", "{\"a\":[1,2,3]}"},
        {"{\"a\":{\"b\":1}}", "{\"a\":5}", "{\"a\":5}"},
        {"5", "{\"a\":1}", "{\"a\":1}"},
        {"{\"a\":1}", "6", "6"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_json cJSON *from = parse(rows[i].from), *to = parse(rows[i].to);
        cleanup_json cJSON *patch = json_merge_diff(from, to);
        cleanup_free char *out = json_print(patch);
        assert_string_equal(out, rows[i].patch);
    }
}

static const struct patch_row {
    const char *sentence, *target, *patch, *result; /* no result: the error's words in `words` */
    int rc;
    const char *words;
} patch_rows[] = {
    {"a member is added", "{\"foo\":\"bar\"}",
     "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]", "{\"foo\":\"bar\",\"baz\":\"qux\"}",
     0, NULL},
    {"an item is inserted", "{\"foo\":[\"bar\",\"baz\"]}",
     "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
     "{\"foo\":[\"bar\",\"qux\",\"baz\"]}", 0, NULL},
    {"an item is inserted at the front, and then the last one is still the last", "{\"foo\":[1,2]}",
     "[{\"op\":\"add\",\"path\":\"/foo/0\",\"value\":0},{\"op\":\"add\",\"path\":\"/foo/"
     "-\",\"value\":3}]",
     "{\"foo\":[0,1,2,3]}", 0, NULL},
    {"an item is appended", "{\"foo\":[1]}", "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[2]}]",
     "{\"foo\":[1,[2]]}", 0, NULL},
    {"a member is removed", "{\"baz\":1,\"foo\":2}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
     "{\"foo\":2}", 0, NULL},
    {"an item is removed", "{\"foo\":[1,2,3]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
     "{\"foo\":[1,3]}", 0, NULL},
    {"a value is replaced where it stands", "{\"baz\":1,\"foo\":[1,2]}",
     "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":{}},"
     "{\"op\":\"replace\",\"path\":\"/foo/0\",\"value\":9}]",
     "{\"baz\":{},\"foo\":[9,2]}", 0, NULL},
    {"a value is moved", "{\"foo\":{\"bar\":\"baz\",\"w\":1},\"q\":{\"c\":2}}",
     "[{\"op\":\"move\",\"from\":\"/foo/w\",\"path\":\"/q/t\"}]",
     "{\"foo\":{\"bar\":\"baz\"},\"q\":{\"c\":2,\"t\":1}}", 0, NULL},
    {"an item is moved", "{\"foo\":[1,2,3,4]}",
     "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]", "{\"foo\":[1,3,4,2]}", 0, NULL},
    {"a value is copied", "{\"a\":[1]}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"}]",
     "{\"a\":[1],\"b\":[1]}", 0, NULL},
    {"names are unescaped", "{\"a/b\":1,\"m~n\":2,\"\":3}",
     "[{\"op\":\"test\",\"path\":\"/a~1b\",\"value\":1},{\"op\":\"test\",\"path\":\"/"
     "m~0n\",\"value\":2},"
     "{\"op\":\"remove\",\"path\":\"/\"}]",
     "{\"a/b\":1,\"m~n\":2}", 0, NULL},
    {"the whole document is replaced", "{\"a\":1}",
     "[{\"op\":\"replace\",\"path\":\"\",\"value\":[1]}]", "[1]", 0, NULL},
    {"null is a value", "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":null}]",
     "{\"a\":null}", 0, NULL},
    {"a test compares numbers by value", "{\"a\":1}",
     "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1.0}]", "{\"a\":1}", 0, NULL},
    {"a failed test changes nothing", "{\"a\":1}",
     "[{\"op\":\"add\",\"path\":\"/b\",\"value\":1},{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]",
     NULL, -EBADMSG, "operation 1: `/a` does not have"},
    {"a missing member", "{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/b\"}]", NULL, -ENOENT,
     "operation 0: there is no `/b`"},
    {"a missing parent", "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b/c\",\"value\":1}]", NULL,
     -ENOENT, "operation 0: there is no `/b/c`"},
    {"replace needs the member", "{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":1}]",
     NULL, -ENOENT, "there is no `/b`"},
    {"an index beyond the end", "{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":1}]",
     NULL, -ENOENT, "expected an index from 0 to 1"},
    {"an index with a leading zero", "{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/01\"}]",
     NULL, -ENOENT, "there is no"},
    {"a pointer without a slash", "{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"a\"}]", NULL,
     -EINVAL, "is not a JSON pointer"},
    {"an unknown operation", "{}", "[{\"op\":\"spam\",\"path\":\"/a\"}]", NULL, -EINVAL,
     "`spam` is not one of"},
    {"no path", "{}", "[{\"op\":\"add\",\"value\":1}]", NULL, -EINVAL,
     "the strings `op` and `path`"},
    {"no value", "{}", "[{\"op\":\"add\",\"path\":\"/a\"}]", NULL, -EINVAL, "needs `value`"},
    {"no source", "{}", "[{\"op\":\"copy\",\"path\":\"/a\"}]", NULL, -EINVAL,
     "needs the string `from`"},
    {"a move into itself", "{\"a\":{\"b\":1}}",
     "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]", NULL, -EINVAL,
     "cannot be moved into itself"},
    {"the whole document is not removed", "{}", "[{\"op\":\"remove\",\"path\":\"\"}]", NULL,
     -EINVAL, "cannot be removed"},
    {"not a list", "{}", "{\"op\":\"add\"}", NULL, -EINVAL, "a list of operations"},
};

static void test_json_patches_of_rfc_6902(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(patch_rows); i++) {
        const struct patch_row *row = &patch_rows[i];
        struct mlt_error err = {0};
        cleanup_json cJSON *target = parse(row->target), *patch = parse(row->patch);
        int rc = json_patch(&target, patch, &err);
        if (rc != row->rc)
            fail_msg("%s: %d %s", row->sentence, rc, err.text);
        cleanup_free char *out = json_print(target);
        if (strcmp(out, row->result ? row->result : row->target) != 0)
            fail_msg("%s: %s", row->sentence, out);
        if (row->words && !strstr(err.text, row->words))
            fail_msg("%s: %s", row->sentence, err.text);
    }
}

static void test_copies_cannot_double_the_document_for_ever(void **state)
{
    (void)state;
    cleanup_json cJSON *target = parse("{\"a\":[\"0123456789\"]}");
    cleanup_text struct mlt_text text = MLT_TEXT_INIT(1 << 20);
    mlt_text_puts(&text, "[");
    for (int i = 0; i < 60; i++)
        mlt_text_printf(&text, "%s{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/-\"}",
                        i ? "," : "");
    mlt_text_puts(&text, "]");
    cleanup_json cJSON *patch = parse(mlt_text_string(&text));
    struct mlt_error err = {0};
    assert_int_equal(json_patch(&target, patch, &err), -E2BIG);
    assert_int_equal(json_size(target, "a"), 1);
}

static void test_the_number_of_operations_and_the_depth_have_limits(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    cleanup_json cJSON *target = parse("{\"a\":[]}");
    cleanup_json cJSON *many = cJSON_CreateArray();
    for (int i = 0; i <= JSON_PATCH_OPERATIONS_MAX; i++)
        json_append(many, parse("{\"op\":\"test\",\"path\":\"/a\",\"value\":[]}"));
    assert_int_equal(json_patch(&target, many, &err), -E2BIG);
    cleanup_json cJSON *deep = cJSON_CreateArray();
    cleanup_text struct mlt_text path = MLT_TEXT_INIT(4096);
    mlt_text_puts(&path, "/a");
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        cJSON *add = parse("{\"op\":\"add\",\"value\":[]}");
        mlt_text_puts(&path, "/0");
        json_set_string(add, "path", mlt_text_string(&path));
        json_append(deep, add);
    }
    assert_int_equal(json_patch(&target, deep, &err), -EINVAL);
    assert_non_null(strstr(err.text, "nested too deeply"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_patches_of_rfc_7386),
        cmocka_unit_test(test_the_difference_is_what_changed_only),
        cmocka_unit_test(test_json_patches_of_rfc_6902),
        cmocka_unit_test(test_copies_cannot_double_the_document_for_ever),
        cmocka_unit_test(test_the_number_of_operations_and_the_depth_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
