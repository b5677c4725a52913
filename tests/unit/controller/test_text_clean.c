/* What is no UTF-8 does not get into a status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "controller/text_clean.h"

static const struct {
    const char *sentence, *text, *clean;
} rows[] = {
    {"ASCII stays", "step 1\n", "step 1\n"},
    {"two, three and four bytes stay", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
     "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"a lone start goes", "a\xc3", "a?"},
    {"a lone continuation goes", "\xa9z", "?z"},
    {"a cut character goes byte by byte", "\xe2\x82 x", "?? x"},
    {"an overlong slash goes", "\xc0\xaf", "??"},
    {"a surrogate goes", "\xed\xa0\x80", "???"},
    {"what is above U+10FFFF goes", "\xf4\x90\x80\x80", "????"},
    {"bytes that are never used go", "\xff\xfe", "??"},
};

static void test_each_row_is_cleaned(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%s", rows[i].text);
        text_clean(text);
        if (strcmp(text, rows[i].clean) != 0)
            fail_msg("%s: got `%s`", rows[i].sentence, text);
        assert_int_equal(text_is_utf8(rows[i].text), strcmp(rows[i].text, rows[i].clean) == 0);
        assert_true(text_is_utf8(text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_row_is_cleaned)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
