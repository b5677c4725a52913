/* The scanner of lists: every form of list, in pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "lib/json/json.h"
#include "lib/kube/list_scan.h"

static void on_item(void *arg, const cJSON *object)
{
    struct mlt_text *seen = arg;
    mlt_text_printf(seen, "%s,", json_string(object, "metadata.name", "?"));
}

/* Feeds the text in pieces of `step` bytes. */
static int scan(const char *text, size_t step, size_t item_max, struct mlt_text *seen,
                char *version, struct mlt_error *err)
{
    struct list_scan s;
    size_t length = strlen(text);
    int r = 0;
    mlt_text_clear(seen);
    list_scan_init(&s, item_max, on_item, seen);
    for (size_t at = 0; at < length && r == 0; at += step)
        r = list_scan_feed(&s, text + at, length - at < step ? length - at : step, err);
    if (r == 0)
        r = list_scan_finish(&s, err);
    (void)snprintf(version, 50, "%s", s.version ? s.version : "");
    list_scan_release(&s);
    return r;
}

static void test_lists_are_cut_into_items_wherever_the_pieces_end(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *items, *version;
    } rows[] = {
        {"as an API server writes it",
         "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"42\"},"
         "\"items\":["
         "{\"metadata\":{\"name\":\"a\"}},{\"metadata\":{\"name\":\"b\"}}]}\n",
         "a,b,", "42"},
        {"empty", "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}", "", "1"},
        {"null items", "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":null}", "", "1"},
        {"no items at all", "{\"metadata\":{\"resourceVersion\":\"1\"}}", "", "1"},
        {"metadata last",
         "{\"items\":[{\"metadata\":{\"name\":\"a\"}}],\"metadata\":{\"resourceVersion\":\"7\"}}",
         "a,", "7"},
        {"indented",
         "{\n  \"metadata\": {\n    \"resourceVersion\": \"9\"\n  },\n  \"items\": [\n    {\n      "
         "\"metadata\": { \"name\": \"a\" }\n    },\n    { \"metadata\": { \"name\": \"b\" } }\n  "
         "]\n}\n",
         "a,b,", "9"},
        {"brackets and quotes within strings",
         "{\"x\":\"}]{[\\\"items\\\":[\",\"metadata\":{\"a\":\"\\\\\",\"resourceVersion\":\"3\"},"
         "\"items\":["
         "{\"metadata\":{\"name\":\"}\\\"]{\"}},{\"a\":\"\\\\\\\\\",\"metadata\":{\"name\":\"b\"}}]"
         "}",
         "}\"]{,b,", "3"},
        {"other members of every form",
         "{\"n\":-1.5e3,\"t\":true,\"z\":null,\"a\":[1,[2],{}],\"o\":{\"items\":[{}]},"
         "\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[{\"metadata\":{\"name\":\"a\"}}],"
         "\"last\":0}",
         "a,", "5"},
        {"letters of several bytes",
         "{\"metadata\":{\"resourceVersion\":\"6\"},\"items\":[{\"metadata\":{\"name\":"
         "\"\xc3\xa9\xe2\x82\xac"
         "\xf0\x9f\x98\x80\"}}]}",
         "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80,", "6"},
    };
    struct mlt_text seen = MLT_TEXT_INIT(1000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t step = 1; step <= strlen(rows[i].text); step++) {
            struct mlt_error err = {0};
            char version[50];
            int r = scan(rows[i].text, step, 10000, &seen, version, &err);
            if (r < 0 || strcmp(mlt_text_string(&seen), rows[i].items) != 0 ||
                strcmp(version, rows[i].version) != 0)
                fail_msg("%s, by %zu: %d %s, `%s`, `%s`", rows[i].name, step, r, err.text,
                         mlt_text_string(&seen), version);
        }
    }
    mlt_text_release(&seen);
}

static void test_every_list_that_is_cut_off_is_incomplete(void **state)
{
    (void)state;
    static const char whole[] =
        "{\"metadata\":{\"resourceVersion\":\"42\"},\"items\":[{\"metadata\":{\"name\":"
        "\"a\"}},{\"n\":[1,{}]}]}";
    struct mlt_text seen = MLT_TEXT_INIT(1000);
    for (size_t length = 0; length < sizeof whole - 1; length++) {
        char cut[sizeof whole], version[50];
        memcpy(cut, whole, length);
        cut[length] = '\0';
        if (scan(cut, 7, 1000, &seen, version, NULL) != -EINVAL)
            fail_msg("`%s` was taken for complete", cut);
    }
    mlt_text_release(&seen);
}

static void test_what_is_no_list_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        {"[]", -EINVAL},
        {"<html>", -EINVAL},
        {"{]", -EINVAL},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[1]}", -EINVAL},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"a\":}]}", -EINVAL},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{]}]}", -EINVAL},
        {"{\"metadata\":[,],\"items\":[]}", -EINVAL},
        {"{\"metadata\":{},\"items\":[]}", -EINVAL},
        {"{\"items\":[]}", -EINVAL},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]} x", -EINVAL},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"a\":"
         "\"0123456789012345678901234567890123456\"}]}",
         -E2BIG},
    };
    struct mlt_text seen = MLT_TEXT_INIT(1000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t step = 1; step < 100; step += 9) {
            char version[50];
            struct mlt_error err = {0};
            int r = scan(rows[i].text, step, 30, &seen, version, &err);
            if (r != rows[i].code)
                fail_msg("%s: %d %s", rows[i].text, r, err.text);
        }
    }
    mlt_text_release(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_are_cut_into_items_wherever_the_pieces_end),
        cmocka_unit_test(test_every_list_that_is_cut_off_is_incomplete),
        cmocka_unit_test(test_what_is_no_list_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
