/* lib/json/find.c, read.c, build.c and equal.c: looking, checked reading, building, comparing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

static cJSON *parse(const char *text)
{
    struct mlt_error err = {0};
    cJSON *node = NULL;
    if (json_parse(text, strlen(text), &node, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    return node;
}

static void test_paths_find_members_items_and_names_with_dots(void **state)
{
    (void)state;
    cleanup_json cJSON *o =
        parse("{\"a\":{\"b\":[{\"c\":\"x\"},\"y\",true,1.5]},\"A\":2,"
              "\"l\":{\"m.io/n\":\"z\",\"0\":\"zero\"},\"big\":9007199254740993}");
    assert_string_equal(json_string(o, "a.b[0].c", "?"), "x");
    assert_string_equal(json_string(o, "a.b[1]", "?"), "y");
    assert_string_equal(json_string(o, "l[m.io/n]", "?"), "z");
    assert_string_equal(json_string(o, "l[0]", "?"), "zero");
    assert_string_equal(json_string(o, "l.0", "?"), "zero");
    assert_int_equal(json_integer(o, "A", 0), 2);
    assert_int_equal(json_integer(o, "big", 0), 9007199254740993);
    assert_true(json_number(o, "big", 0) > 9.0e15);
    assert_true(json_number(o, "a.b[3]", 0) > 1.4);
    assert_true(json_bool(o, "a.b[2]", false));
    assert_int_equal(json_size(o, "a.b"), 4);
    assert_int_equal(json_size(o, "a.b[1]"), 0);
    assert_ptr_equal(json_find(o, ""), o);
    static const char *const absent[] = {"b",      "a.B",   "a.b[4]",    "a.b[-1]",
                                         "a.b[x]", "a.b.c", "a.b[0].c.d"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(absent); i++)
        assert_null(json_find(o, absent[i]));
    assert_null(json_find(NULL, "a"));
    assert_string_equal(json_string(o, "A", "fallback"), "fallback");
    assert_int_equal(json_integer(o, "a.b[3]", 9), 9);
}

static void test_wrong_types_are_named_with_path_and_value(void **state)
{
    (void)state;
    cleanup_json cJSON *o =
        parse("{\"s\":5,\"i\":\"five\",\"f\":1.5,\"b\":1,\"o\":[],\"l\":{},\"n\":null,"
              "\"long\":\"0123456789\",\"high\":70,\"x.io/y\":false,"
              "\"list\":[1,2,3]}");
    struct mlt_error err = {0};
    const char *s = "kept";
    int64_t i = 7;
    bool b = true;
    const cJSON *tree = NULL;
    assert_int_equal(json_read_string(o, "spec", "s", 9, &s, &err), -EINVAL);
    assert_string_equal(err.text, "spec.s: expected a string, got 5");
    assert_int_equal(json_read_string(o, "", "long", 9, &s, &err), -EINVAL);
    assert_string_equal(err.text, "long: expected at most 9 characters, got 10");
    assert_int_equal(json_read_integer(o, "spec", "i", 1, 64, &i, &err), -EINVAL);
    assert_string_equal(err.text, "spec.i: expected a whole number from 1 to 64, got \"five\"");
    assert_int_equal(json_read_integer(o, "spec", "f", 1, 64, &i, &err), -EINVAL);
    assert_int_equal(json_read_integer(o, "spec", "high", 1, 64, &i, &err), -EINVAL);
    assert_string_equal(err.text, "spec.high: expected a whole number from 1 to 64, got 70");
    assert_int_equal(json_read_bool(o, "a", "b", &b, &err), -EINVAL);
    assert_string_equal(err.text, "a.b: expected true or false, got 1");
    assert_int_equal(json_read_object(o, "a", "o", &tree, &err), -EINVAL);
    assert_string_equal(err.text, "a.o: expected an object, got a list");
    assert_int_equal(json_read_array(o, "a", "l", 5, &tree, &err), -EINVAL);
    assert_string_equal(err.text, "a.l: expected a list, got an object");
    assert_int_equal(json_read_array(o, "a", "list", 2, &tree, &err), -EINVAL);
    assert_string_equal(err.text, "a.list: expected at most 2 items, got 3");
    assert_int_equal(json_read_string(o, "labels", "x.io/y", 9, &s, &err), -EINVAL);
    assert_string_equal(err.text, "labels[x.io/y]: expected a string, got false");
    assert_int_equal(json_read_string(cJSON_GetArrayItem(o, 0), "spec", "s", 9, &s, &err), -EINVAL);
    assert_string_equal(err.text, "spec: expected an object, got 5");
    assert_string_equal(s, "kept");
    assert_int_equal(i, 7);
    assert_null(tree);
    assert_int_equal(json_read_string(o, "", "n", 9, &s, &err), 0);
    assert_int_equal(json_read_string(o, "", "none", 9, &s, &err), 0);
    assert_int_equal(json_read_string(o, "", "long", 10, &s, &err), 1);
    assert_string_equal(s, "0123456789");
    assert_int_equal(json_read_integer(o, "", "high", 70, 70, &i, &err), 1);
    assert_int_equal(i, 70);
}

static void test_unknown_fields_are_named(void **state)
{
    (void)state;
    static const char *const known[] = {"a", "b"};
    struct mlt_error err = {0};
    cleanup_json cJSON *good = parse("{\"a\":1}");
    cleanup_json cJSON *bad = parse("{\"a\":1,\"aa\":2}");
    assert_int_equal(json_refuse_unknown(good, "spec", known, 2, &err), 0);
    assert_int_equal(json_refuse_unknown(NULL, "spec", known, 2, &err), 0);
    assert_int_equal(json_refuse_unknown(bad, "spec", known, 2, &err), -EINVAL);
    assert_string_equal(err.text, "spec.aa: unknown field");
}

static void test_values_are_set_at_paths(void **state)
{
    (void)state;
    cleanup_json cJSON *o = parse("{\"a\":1}");
    json_set_string(o, "b.c.d", "x");
    json_set_integer(o, "a.e", 5); /* replaces the number by an object */
    json_set_bool(o, "b.c.f", true);
    json_set_string(o, "metadata.labels[m.io/n]", "v");
    json_set_string(o, "never", NULL);
    json_set_null(o, "n");
    json_append_string(json_set_array(o, "list"), "1");
    json_append(json_set_array(o, "list"), json_new_integer(INT64_MAX));
    json_set_integer(json_set_object(o, "obj"), "k", 1);
    json_set_integer(json_set_object(o, "obj"), "l", 2);
    cleanup_free char *out = json_print(o);
    assert_string_equal(out, "{\"a\":{\"e\":5},\"b\":{\"c\":{\"d\":\"x\",\"f\":true}},"
                             "\"metadata\":{\"labels\":{\"m.io/n\":\"v\"}},\"n\":null,"
                             "\"list\":[\"1\",9223372036854775807],\"obj\":{\"k\":1,\"l\":2}}");
    json_unset(o, "b.c.d");
    json_unset(o, "metadata.labels[m.io/n]");
    json_unset(o, "no.such");
    json_unset(o, "a");
    cleanup_free char *less = json_print(o);
    assert_string_equal(less, "{\"b\":{\"c\":{\"f\":true}},\"metadata\":{\"labels\":{}},\"n\":null,"
                              "\"list\":[\"1\",9223372036854775807],\"obj\":{\"k\":1,\"l\":2}}");
}

static void test_equality_ignores_order_and_the_form_of_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        {"1", "1.0", true},
        {"1", "\"1\"", false},
        {"9007199254740993", "9007199254740992", false},
        {"100000000000000000", "1e17", true},
        {"{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2],\"a\":1}", true},
        {"{\"a\":1}", "{\"a\":1,\"b\":2}", false},
        {"{\"a\":1,\"b\":2}", "{\"a\":1}", false},
        {"{\"a\":1}", "{\"A\":1}", false},
        {"[1,2]", "[2,1]", false},
        {"[1]", "[1,2]", false},
        {"null", "false", false},
        {"true", "true", true},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_json cJSON *a = parse(rows[i].a), *b = parse(rows[i].b);
        if (json_equal(a, b) != rows[i].equal || json_equal(b, a) != rows[i].equal)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
    }
    assert_true(json_equal(NULL, NULL));
    assert_null(json_copy(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_find_members_items_and_names_with_dots),
        cmocka_unit_test(test_wrong_types_are_named_with_path_and_value),
        cmocka_unit_test(test_unknown_fields_are_named),
        cmocka_unit_test(test_values_are_set_at_paths),
        cmocka_unit_test(test_equality_ignores_order_and_the_form_of_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
