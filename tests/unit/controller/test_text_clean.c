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

static const struct {
    const char *sentence, *text, *lines, *line;
} plain_rows[] = {
    {"newlines at the end go", "boom\n\n", "boom", "boom"},
    {"colours go", "\x1b[1;31mboom\x1b[0m", "boom", "boom"},
    {"an escape that is cut goes", "boom\x1b[3", "boom", "boom"},
    {"a lone escape goes with its letter", "\x1b(x", "x", "x"},
    {"bells and deletes go, tabs are spaces", "a\tb\a\x7f", "a b", "a b"},
    {"a progress bar is lines", "10%\r20%\r", "10%\n20%", "10% 20%"},
    {"bytes that are no text are marked", "x\xff", "x?", "x?"},
    {"nothing stays nothing", "", "", ""},
};

static void test_each_row_is_made_plain(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plain_rows / sizeof plain_rows[0]; i++) {
        char lines[64], line[64];
        (void)snprintf(lines, sizeof lines, "%s", plain_rows[i].text);
        (void)snprintf(line, sizeof line, "%s", plain_rows[i].text);
        text_plain(lines, true);
        text_plain(line, false);
        if (strcmp(lines, plain_rows[i].lines) != 0 || strcmp(line, plain_rows[i].line) != 0)
            fail_msg("%s: got `%s` and `%s`", plain_rows[i].sentence, lines, line);
    }
}

static void test_the_end_of_a_text_has_whole_characters(void **state)
{
    char text[] = "a\xe2\x82\xac";
    (void)state;
    assert_string_equal(text_last_lines("one\ntwo\nthree", 2, 100), "two\nthree");
    assert_string_equal(text_last_lines("one\ntwo\nthree", 9, 100), "one\ntwo\nthree");
    assert_string_equal(text_last_lines("one\ntwo\nthree", 1, 3), "ree");
    assert_string_equal(text_last_lines("a\xe2\x82\xacz", 1, 3), "z");
    assert_string_equal(text_last_lines("", 1, 3), "");
    assert_string_equal(text_last_lines("abc", 1, 0), "");
    text_cut(text, 4);
    assert_string_equal(text, "a\xe2\x82\xac");
    text_cut(text, 3);
    assert_string_equal(text, "a");
    text_cut(text, 0);
    assert_string_equal(text, "");
}

#define RULER "=================================================="
#define DASHES "--------------------------------------------------"

static void test_the_line_that_says_most_is_told(void **state)
{
    static const struct {
        const char *text, *line;
    } told[] = {
        {"", ""},
        {"one\ntwo", "two"},
        {"loss nan\nFatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n"
         "  File \"t.py\", line 3 in f\n\nExtension modules: numpy.core, torch._C",
         "Fatal Python error: Aborted"},
        {"terminate called after throwing an instance of 'std::runtime_error'\n  what():  no space "
         "left\nFatal Python error: Aborted\nExtension modules: torch._C",
         "what():  no space left"},
        {"Fatal Python error: first\nFatal Python error: last\nx", "Fatal Python error: last"},
        {"0123456789012345678901234567\xe2\x82\xac and more\nFatal Python error: Aborted at once",
         "Fatal Python error: Aborted at"},
        {"what(): 0123456789012345678901\xe2\x82\xac", "what(): 0123456789012345678901"},
        {"step 1\n" RULER "\nfirst box\n" RULER "\nstep 2\n" RULER "\nORTE was unable\nto start\n" RULER,
         "ORTE was unable"},
        {RULER "\n  torchrun FAILED\n" DASHES "\ndetails\n" RULER, "torchrun FAILED"},
        {"the beginning is cut off\nand the end\n\n" RULER, "and the end"},
        {"adjacent\n" RULER "\n" RULER, "adjacent"},
        {RULER, "=============================="},
        {"no ruler\n-------------------", "-------------------"},
        {"no ruler\n" DASHES "x", "-----------------------------x"},
        {RULER "\nin the middle\n" RULER "\nbehind", "behind"},
    };
    char line[31 + 1];
    (void)state;
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        text_telling_line(told[i].text, line, sizeof line - 1);
        assert_string_equal(line, told[i].line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row_is_cleaned),
        cmocka_unit_test(test_each_row_is_made_plain),
        cmocka_unit_test(test_the_end_of_a_text_has_whole_characters),
        cmocka_unit_test(test_the_line_that_says_most_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
