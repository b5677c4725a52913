/* lib/json/yaml_print.c: the same bytes as kubectl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"

static void test_yaml_is_printed_as_kubectl_does(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *json, *yaml;
    } rows[] = {
        {"lists are not indented", "{\"a\":[{\"b\":1,\"c\":2},3]}", "a:\n- b: 1\n  c: 2\n- 3\n"},
        {"empty things", "{\"a\":{},\"b\":[],\"c\":null,\"d\":\"\"}",
         "a: {}\nb: []\nc: null\nd: \"\"\n"},
        {"strings that look like other types",
         "[\"true\",\"1\",\"1.5\",\"null\",\"~\",\"yes\",\"off\"]",
         "- \"true\"\n- \"1\"\n- \"1.5\"\n- \"null\"\n- \"~\"\n- \"yes\"\n- \"off\"\n"},
        {"a time is quoted", "{\"t\":\"2026-11-24T17:09:56Z\"}", "t: \"2026-11-24T17:09:56Z\"\n"},
        {"modes, dates and grouped digits are quoted",
         "[\"0400\",\"2026-11-24\",\"1_000\",\"0x1F\"]",
         "- \"0400\"\n- \"2026-11-24\"\n- \"1_000\"\n- \"0x1F\"\n"},
        {"names are quoted alike", "{\"on\":{\"y\":1},\"5\":2}", "\"on\":\n  \"y\": 1\n\"5\": 2\n"},
        {"versions and addresses are plain", "[\"1.2.3\",\"10.0.0.1\",\"10.0.0.1:80\",\"2026-11\"]",
         "- 1.2.3\n- 10.0.0.1\n- 10.0.0.1:80\n- \"2026-11\"\n"},
        {"base 60 is quoted", "[\"12:30\",\"1:20:30.5\",\"0b1\"]",
         "- \"12:30\"\n- \"1:20:30.5\"\n- \"0b1\"\n"},
        {"quantities and versions are plain", "[\"8Gi\",\"500m\",\"v1\",\"a b\"]",
         "- 8Gi\n- 500m\n- v1\n- a b\n"},
        {"a literal for several lines", "{\"a\":\"x\\ny\\n\",\"b\":\"x\\ny\"}",
         "a: |\n  x\n  y\nb: |-\n  x\n  y\n"},
        {"texts that would break the syntax", "[\"a: b\",\"# x\",\"- x\",\"*x\",\"{x\"]",
         "- 'a: b'\n- '# x'\n- '- x'\n- '*x'\n- '{x'\n"},
        {"long integers", "{\"big\":9007199254740993}", "big: 9007199254740993\n"},
        {"long lines are not folded",
         "{\"a\":\"x 1234567890 1234567890 1234567890 123456789x 1234567890 1234567890 1234567890 "
         "x\"}",
         "a: x 1234567890 1234567890 1234567890 123456789x 1234567890 1234567890 1234567890 x\n"},
        {"UTF-8 stays readable", "{\"a\":\"\xC3\xA9\"}", "a: \xC3\xA9\n"},
        {"a scalar alone", "5", "5\n"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_json cJSON *node = NULL;
        assert_int_equal(json_parse(rows[i].json, strlen(rows[i].json), &node, NULL), 0);
        cleanup_free char *out = json_print_yaml(node);
        if (strcmp(out, rows[i].yaml) != 0)
            fail_msg("%s: got\n%s", rows[i].sentence, out);
    }
}

static void test_bytes_that_are_not_utf8_are_repaired(void **state)
{
    (void)state;
    cleanup_json cJSON *node = cJSON_CreateString("a\xFFz");
    cleanup_free char *out = json_print_yaml(node);
    assert_string_equal(out, "a\xEF\xBF\xBDz\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml_is_printed_as_kubectl_does),
        cmocka_unit_test(test_bytes_that_are_not_utf8_are_repaired),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
