/* lib/json/yaml_read.c and yaml_scalar.c. */
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

static void test_yaml_becomes_json(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *yaml, *json;
    } rows[] = {
        {"an empty stream", "", "[]"},
        {"empty documents are dropped", "---\n---\na: 1\n---\n# nothing\n", "[{\"a\":1}]"},
        {"an explicit null is a document", "null\n", "[null]"},
        {"two documents", "a: 1\n---\nb: 2\n", "[{\"a\":1},{\"b\":2}]"},
        {"JSON is YAML", "{\"a\":[1,\"x\"],\"b\":{}}", "[{\"a\":[1,\"x\"],\"b\":{}}]"},
        {"JSON with tabs", "\t{\"a\":\t1}", "[{\"a\":1}]"},
        {"JSON with a surrogate pair", "{\"a\":\"\\ud83d\\ude00\"}",
         "[{\"a\":\"\xF0\x9F\x98\x80\"}]"},
        {"nulls", "[~, null, Null, NULL, ]", "[[null,null,null,null]]"},
        {"an empty value is null", "a:\nb: ''\n", "[{\"a\":null,\"b\":\"\"}]"},
        {"booleans of YAML 1.2", "[true, True, TRUE, false, False, FALSE]",
         "[[true,true,true,false,false,false]]"},
        {"booleans of YAML 1.1 stay strings", "[yes, no, on, off, y, n]",
         "[[\"yes\",\"no\",\"on\",\"off\",\"y\",\"n\"]]"},
        {"integers", "[0, -7, +7, 0x1F, 0o17]", "[[0,-7,7,31,15]]"},
        {"file modes are octal as in kubectl", "[0400, 0644, 089]", "[[256,420,89]]"},
        {"long integers", "[9007199254740993, -9223372036854775808]",
         "[[9007199254740993,-9223372036854775808]]"},
        {"floats", "[1.5, .5, 1., 1e3, -2.5E-1, +1.5]", "[[1.5,0.5,1,1000,-0.25,1.5]]"},
        {"what only looks like a number", "[1.2.3, 1_000, 2026-11-24, 12:30, e3, '1', \"2\"]",
         "[[\"1.2.3\",\"1_000\",\"2026-11-24\",\"12:30\",\"e3\",\"1\",\"2\"]]"},
        {"tags", "[!!str 1, !!int '5', !!float '1.5', !!bool 'true', !!null '']",
         "[[\"1\",5,1.5,true,null]]"},
        {"names are texts", "1: a\ntrue: b\n", "[{\"1\":\"a\",\"true\":\"b\"}]"},
        {"literals and folds", "a: |\n  x\n   y\nb: >-\n  x\n  y\n",
         "[{\"a\":\"x\\n y\\n\",\"b\":\"x y\"}]"},
        {"anchors", "a: &x {b: [1]}\nc: *x\nd: &x 2\ne: *x\n",
         "[{\"a\":{\"b\":[1]},\"c\":{\"b\":[1]},\"d\":2,\"e\":2}]"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct mlt_error err = {0};
        cleanup_json cJSON *documents = NULL;
        if (json_parse_yaml(rows[i].yaml, strlen(rows[i].yaml), &documents, &err) != 0)
            fail_msg("%s: %s", rows[i].sentence, err.text);
        cleanup_free char *out = json_print(documents);
        if (strcmp(out, rows[i].json) != 0)
            fail_msg("%s: got %s", rows[i].sentence, out);
    }
}

static void test_bad_yaml_is_refused_with_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *words;
    } rows[] = {
        {"a: 1\na: 2\n", "line 2, column 1: this name stands twice"},
        {"a: [1\n", "line 2, column 1: "},
        {"a: b: c\n", "line 1, column 5: "},
        {"a:\n\t- b\n", "line 2, column 1: "},
        {"a: *x\n", "line 1, column 4: an alias without its anchor"},
        {"a: &x [*x]\n", "an alias inside its own anchor"},
        {"x: &x {a: 1}\ny:\n  <<: *x\n", "line 3, column 3: merge keys"},
        {"? [a]\n: 1\n", "a name must be"},
        {"a: .inf\n", "a number that JSON cannot hold"},
        {"a: .NaN\n", "a number that JSON cannot hold"},
        {"a: 0xFFFFFFFFFFFFFFFF\n", "a number that JSON cannot hold"},
        {"a: !mine 5\n", "a tag that is not supported"},
        {"a: !!int x\n", "a tag that is not supported"},
        {"a: !!set {x}\n", "a tag that is not supported"},
        {"a: \"x\\0y\"\n", "a zero byte"},
        {"a: \xFF\n", "byte "},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct mlt_error err = {0};
        cJSON *documents = NULL;
        assert_int_equal(json_parse_yaml(rows[i].yaml, strlen(rows[i].yaml), &documents, &err),
                         -EINVAL);
        assert_null(documents);
        if (!strstr(err.text, rows[i].words))
            fail_msg("`%s`: got `%s`", rows[i].yaml, err.text);
    }
}

static void test_aliases_of_aliases_do_not_fill_the_memory(void **state)
{
    (void)state;
    cleanup_text struct mlt_text text = MLT_TEXT_INIT(1 << 20);
    mlt_text_puts(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        mlt_text_printf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            mlt_text_printf(&text, "*a%d,", i - 1);
        mlt_text_puts(&text, "]\n");
    }
    struct mlt_error err = {0};
    cJSON *documents = NULL;
    assert_int_equal(json_parse_yaml(text.data, text.length, &documents, &err), -E2BIG);
    assert_non_null(strstr(err.text, "too large"));
}

static void test_nesting_has_a_limit_also_through_aliases(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    cJSON *documents = NULL;
    cleanup_text struct mlt_text deep = MLT_TEXT_INIT(1 << 20);
    for (int i = 0; i <= JSON_DEPTH_MAX; i++)
        mlt_text_puts(&deep, "[ ");
    assert_int_equal(json_parse_yaml(deep.data, deep.length, &documents, &err), -EINVAL);
    assert_non_null(strstr(err.text, "nested too deeply"));
    mlt_text_clear(&deep);
    mlt_text_puts(&deep, "a: &a [[[[[[[[[[x]]]]]]]]]]\n");
    for (int i = 1; i < 12; i++)
        mlt_text_printf(&deep, "a%d: &a [[[[[[[[[*a]]]]]]]]]\n", i);
    assert_int_equal(json_parse_yaml(deep.data, deep.length, &documents, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml_becomes_json),
        cmocka_unit_test(test_bad_yaml_is_refused_with_line_and_column),
        cmocka_unit_test(test_aliases_of_aliases_do_not_fill_the_memory),
        cmocka_unit_test(test_nesting_has_a_limit_also_through_aliases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
