/* lib/json/parse.c, print.c and number.c: what is read is what is written, and bad text is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

static void test_text_is_read_and_written_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *in, *out;
    } rows[] = {
        {"an empty object", " {} ", "{}"},
        {"an empty list", "[\n]", "[]"},
        {"words", "[null,true,false]", "[null,true,false]"},
        {"members keep their order", "{\"b\":1,\"a\":2}", "{\"b\":1,\"a\":2}"},
        {"names differ by case", "{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}"},
        {"an integer above 2^53", "9007199254740993", "9007199254740993"},
        {"microseconds are an integer", "1732406400000000", "1732406400000000"},
        {"the largest int64", "9223372036854775807", "9223372036854775807"},
        {"the smallest int64", "-9223372036854775808", "-9223372036854775808"},
        {"an integer beyond int64", "123456789012345678901234567890",
         "123456789012345678901234567890"},
        {"fifteen digits", "999999999999999", "999999999999999"},
        {"a fraction", "0.1", "0.1"},
        {"a fraction with many digits", "0.30000000000000004", "0.30000000000000004"},
        {"an exponent that is an integer", "1e3", "1000"},
        {"a large exponent", "1e300", "1e+300"},
        {"minus zero is zero", "-0", "0"},
        {"escapes", "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\"",
         "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\""},
        {"a code point", "\"\\u00e9\"", "\"\xC3\xA9\""},
        {"a surrogate pair", "\"\\uD83D\\ude00\"", "\"\xF0\x9F\x98\x80\""},
        {"UTF-8 stays", "\"\xE2\x82\xAC\"", "\"\xE2\x82\xAC\""},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct mlt_error err = {0};
        cleanup_json cJSON *node = NULL;
        if (json_parse(rows[i].in, strlen(rows[i].in), &node, &err) != 0)
            fail_msg("%s: %s", rows[i].sentence, err.text);
        cleanup_free char *out = json_print(node);
        if (strcmp(out, rows[i].out) != 0)
            fail_msg("%s: got %s", rows[i].sentence, out);
    }
}

static void test_bad_text_is_refused_with_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *in, *words;
    } rows[] = {
        {"", "line 1, column 1: expected a value, but the text ends"},
        {"{", "line 1, column 2: expected a name in quotes"},
        {"{\"a\" 1}", "line 1, column 6: expected `:`"},
        {"{\"a\":1,}", "line 1, column 8: expected a name"},
        {"[1,\n 2 3]", "line 2, column 4: expected `,` or `]`"},
        {"[1,]", "expected a value"},
        {"{\"a\":1 \"b\":2}", "expected `,` or `}`"},
        {"{\"a\":1,\n\"a\":2}", "line 2, column 4: the name `a` stands twice"},
        {"01", "a number with a leading zero"},
        {"1.", "expected a digit after the point"},
        {"1e", "expected a digit in the exponent"},
        {"-", "expected a digit"},
        {"+1", "expected a value"},
        {"1e999", "a number that is too large"},
        {"nul", "expected a value"},
        {"NaN", "expected a value"},
        {"1 2", "only white space may follow"},
        {"\"a", "a string without a closing quote"},
        {"\"a\\", "a string without a closing quote"},
        {"\"a\\\"", "a string without a closing quote"},
        {"\"a\nb\"", "a control character"},
        {"\"\\x\"", "an unknown escape"},
        {"\"\\u12\"", "four hexadecimal digits"},
        {"\"\\u0000\"", "\\u0000 cannot be"},
        {"\"\\ud800\"", "a high surrogate"},
        {"\"\\ud800\\u0041\"", "a high surrogate"},
        {"\"\\udc00\"", "a low surrogate"},
        {"\"\xC3\"", "not UTF-8"},
        {"\"\xED\xA0\x80\"", "not UTF-8"},
        {"\"\xC0\x80\"", "not UTF-8"},
        {"\"\xF5\x80\x80\x80\"", "not UTF-8"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct mlt_error err = {0};
        cJSON *node = NULL;
        /* A copy without the NUL, so that a sanitizer sees a read beyond the end. */
        size_t length = strlen(rows[i].in);
        cleanup_free char *exact = length > 0 ? mlt_memdup(rows[i].in, length) : NULL;
        assert_int_equal(json_parse(exact, length, &node, &err), -EINVAL);
        assert_null(node);
        if (!strstr(err.text, rows[i].words))
            fail_msg("`%s`: got `%s`", rows[i].in, err.text);
    }
}

static int parse_nested(int depth)
{
    cleanup_free char *text = mlt_calloc(2 * (size_t)depth + 2, 1);
    memset(text, '[', (size_t)depth);
    text[depth] = '1';
    memset(text + depth + 1, ']', (size_t)depth);
    cleanup_json cJSON *node = NULL;
    return json_parse(text, strlen(text), &node, NULL);
}

static void test_depth_and_size_have_limits(void **state)
{
    (void)state;
    assert_int_equal(parse_nested(JSON_DEPTH_MAX), 0);
    assert_int_equal(parse_nested(JSON_DEPTH_MAX + 1), -EINVAL);
    cJSON *node = NULL;
    size_t size = JSON_SIZE_MAX + 1;
    cleanup_free char *text = mlt_calloc(size + 1, 1);
    memset(text, ' ', size);
    assert_int_equal(json_parse(text, size, &node, NULL), -E2BIG);
}

static void test_a_duplicate_is_found_among_many_members(void **state)
{
    (void)state;
    cleanup_text struct mlt_text text = MLT_TEXT_INIT(1 << 20);
    mlt_text_puts(&text, "{");
    for (int i = 0; i < 1000; i++)
        mlt_text_printf(&text, "\"n%d\":1,", i);
    cleanup_free char *good = mlt_asprintf("%s\"n1000\":1}", mlt_text_string(&text));
    cleanup_free char *bad = mlt_asprintf("%s\"n500\":1}", mlt_text_string(&text));
    struct mlt_error err = {0};
    cleanup_json cJSON *node = NULL;
    assert_int_equal(json_parse(good, strlen(good), &node, &err), 0);
    cJSON *none = NULL;
    assert_int_equal(json_parse(bad, strlen(bad), &none, &err), -EINVAL);
    assert_non_null(strstr(err.text, "the name `n500` stands twice"));
}

static void test_indented_text_has_two_spaces(void **state)
{
    (void)state;
    cleanup_json cJSON *node = NULL;
    const char *in = "{\"a\":[1,{\"b\":null}],\"c\":{},\"d\":[]}";
    assert_int_equal(json_parse(in, strlen(in), &node, NULL), 0);
    cleanup_free char *out = json_print_indented(node);
    assert_string_equal(out, "{\n  \"a\": [\n    1,\n    {\n      \"b\": null\n    }\n  ],\n"
                             "  \"c\": {},\n  \"d\": []\n}");
}

static void test_text_that_is_not_utf8_is_repaired_when_printed(void **state)
{
    (void)state;
    cleanup_json cJSON *node = cJSON_CreateString("a\xFFz\xC3");
    cleanup_free char *out = json_print(node);
    assert_string_equal(out, "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\"");
}

static void test_integers_are_exact(void **state)
{
    (void)state;
    static const int64_t values[] = {
        0, 1, -1, 999999999999999, INT64_MAX, INT64_MIN, INT64_MAX - 1, 9007199254740993};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(values); i++) {
        int64_t back = 7;
        cleanup_json cJSON *node = json_new_integer(values[i]);
        assert_true(json_is_integer(node, &back));
        assert_int_equal(back, values[i]);
    }
    static const char *const others[] = {"1.5", "\"1\"", "9223372036854775808", "1e19", "true"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(others); i++) {
        int64_t back = 7;
        cleanup_json cJSON *node = NULL;
        assert_int_equal(json_parse(others[i], strlen(others[i]), &node, NULL), 0);
        assert_false(json_is_integer(node, &back));
        assert_int_equal(back, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_read_and_written_exactly),
        cmocka_unit_test(test_bad_text_is_refused_with_line_and_column),
        cmocka_unit_test(test_depth_and_size_have_limits),
        cmocka_unit_test(test_a_duplicate_is_found_among_many_members),
        cmocka_unit_test(test_indented_text_has_two_spaces),
        cmocka_unit_test(test_text_that_is_not_utf8_is_repaired_when_printed),
        cmocka_unit_test(test_integers_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
