/* Relayed lines are taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cli/log_line.h"

static void test_lines_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *what, *line;
        int64_t rank, attempt;
        bool is_error;
        const char *text;
    } rows[] = {
        {"a line of standard output", "[r3 a1] step 5", 3, 1, false, "step 5"},
        {"a line of standard error", "[r12 a40!] oh no", 12, 40, true, "oh no"},
        {"an empty line", "[r0 a1] ", 0, 1, false, ""},
        {"an empty line whose blank was trimmed", "[r0 a1]", 0, 1, false, ""},
        {"a line that looks like a prefix again", "[r0 a1] [r1 a1] x", 0, 1, false, "[r1 a1] x"},
        {"the launcher's own", "[launcher] joined", LOG_LINE_LAUNCHER, 0, true, "joined"},
        {"no prefix at all", "exec format error", LOG_LINE_LAUNCHER, 0, true, "exec format error"},
        {"a broken prefix", "[r a1] x", LOG_LINE_LAUNCHER, 0, true, "[r a1] x"},
        {"nothing", "", LOG_LINE_LAUNCHER, 0, true, ""},
        {"a cut prefix", "[r1", LOG_LINE_LAUNCHER, 0, true, "[r1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct log_line line;
        log_line_parse(rows[i].line, strlen(rows[i].line), &line);
        if (line.rank != rows[i].rank || line.attempt != rows[i].attempt ||
            line.is_error != rows[i].is_error || line.length != strlen(rows[i].text) ||
            memcmp(line.text, rows[i].text, line.length) != 0)
            fail_msg("%s", rows[i].what);
    }
}

static void test_a_filter_chooses_rank_and_attempt(void **state)
{
    (void)state;
    struct log_line rank3 = {.rank = 3, .attempt = 2}, own = {.rank = LOG_LINE_LAUNCHER};
    assert_true(log_line_wanted(&rank3, &(struct log_line_filter){.rank = LOG_LINE_LAUNCHER}));
    assert_true(log_line_wanted(&rank3, &(struct log_line_filter){.rank = 3, .attempt = 2}));
    assert_false(log_line_wanted(&rank3, &(struct log_line_filter){.rank = 2}));
    assert_false(log_line_wanted(&rank3, &(struct log_line_filter){.rank = 3, .attempt = 1}));
    assert_false(log_line_wanted(&own, &(struct log_line_filter){.rank = LOG_LINE_LAUNCHER}));
    assert_true(log_line_wanted(
        &own, &(struct log_line_filter){.rank = LOG_LINE_LAUNCHER, .with_launcher = true}));
    assert_false(
        log_line_wanted(&own, &(struct log_line_filter){.rank = 0, .with_launcher = true}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_taken_apart),
        cmocka_unit_test(test_a_filter_chooses_rank_and_attempt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
