/* What follows from a verdict: the tables of docs/failures.md are read and compared with the code,
 * so that neither can change without the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/backoff.h"
#include "controller/failure_policy.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "rendezvous/message.h"
#include "trainingjob/trainingjob.h"

#define ROWS_MAX 24
#define CELLS_MAX 6
#define LIMIT 6 /* backoffLimit of these tests */

struct table {
    char cells[ROWS_MAX][CELLS_MAX][64];
    unsigned rows;
};

/* The cells of one line, without blanks around them. */
static void read_row(const char *line, char cells[CELLS_MAX][64])
{
    for (unsigned i = 0; i < CELLS_MAX; i++) {
        line += strspn(line, "| ");
        size_t length = strcspn(line, "|\n");
        const char *next = line + length;
        while (length > 0 && line[length - 1] == ' ')
            length--;
        assert_in_range(length, 1, 63);
        memcpy(cells[i], line, length);
        cells[i][length] = 0;
        line = next;
    }
}

/* The table whose head begins so. */
static void read_table(const char *head, struct table *ret)
{
    cleanup_file FILE *file = fopen(MLTRAIN_SOURCE_DIR "/docs/failures.md", "r");
    char line[512];
    bool found = false;
    assert_non_null(file);
    *ret = (struct table){0};
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, head, strlen(head)) == 0) {
            found = true;
            assert_non_null(fgets(line, sizeof line, file)); /* the line below the head */
        } else if (found && line[0] == '|') {
            assert_true(ret->rows < ROWS_MAX);
            read_row(line, ret->cells[ret->rows++]);
        } else if (found) {
            break;
        }
    }
    assert_true(ret->rows > 0);
}

/* Ways to end, by the words of the page. */
static const struct ended {
    const char *words;
    bool requested, diverged, infrastructure;
    int32_t code;
} ends[] = {
    {"requested stop", true, false, false, 0},
    {"requested stop", true, true, true, 93},
    {"members that disagree", false, true, false, 1},
    {"members that disagree", false, true, true, 76},
    {"node or pod lost", false, false, true, 0},
    {"node or pod lost", false, false, true, 75},
    {"exit code 75", false, false, false, 75},
    {"exit code 76", false, false, false, 76},
    {"exit code 93", false, false, false, 93},
    {"other exit code", false, false, false, 1},
    {"other exit code", false, false, false, 74},
    {"other exit code", false, false, false, 77},
    {"other exit code", false, false, false, 92},
    {"other exit code", false, false, false, 94},
    {"other exit code", false, false, false, 255},
    {"signal", false, false, false, 0},
    {"out of memory", false, false, false, 0},
    {"hung", false, false, false, 124},
    {"command not executed", false, false, false, 127},
    {"command not executed", false, false, false, 126},
    {"launcher ended", false, false, false, 0},
};

static const int rules[] = {
    TRAININGJOB_NONE,           TRAININGJOB_ACTION_FAIL_JOB,
    TRAININGJOB_ACTION_RESTART, TRAININGJOB_ACTION_RESTART_ON_NEW_NODE,
    TRAININGJOB_ACTION_IGNORE,
};

static bool matches(const char (*row)[64], const struct ended *end, int rule)
{
    bool own_failure = !end->requested && !end->diverged && !end->infrastructure;
    const char *name = rule == TRAININGJOB_NONE ? "none" : trainingjob_action_name(rule);
    return (strcmp(row[0], end->words) == 0 ||
            (own_failure && strcmp(row[0], "anything else") == 0)) &&
           (strcmp(row[1], "any") == 0 || strcmp(row[1], name) == 0);
}

static void expect_text(const char *what, const char *expected, const char *got, int rule,
                        const struct ended *end)
{
    if (strcmp(expected, got) != 0)
        fail_msg("%s, code %d, rule %d: %s is %s on the page and %s in the code", end->words,
                 (int)end->code, rule, what, expected, got);
}

static const char *place_name(enum failure_where where)
{
    static const char *const names[] = {
        [FAILURE_IN_PLACE] = "same pods",
        [FAILURE_NEW_PODS] = "new pods",
        [FAILURE_NEW_NODE] = "other node",
        [FAILURE_NEW_NODES] = "new pods, other node",
    };
    return names[where];
}

/* As the page says about `inPlace: false`. */
static const char *place_in_fresh_pods(const char *place)
{
    if (strcmp(place, "same pods") == 0)
        return "new pods";
    return strcmp(place, "other node") == 0 ? "new pods, other node" : place;
}

/* The column of the second table for what follows by the first. */
static unsigned column_of(const char *follows)
{
    if (strcmp(follows, "move") == 0)
        return 3;
    return strcmp(follows, "stay") == 0 ? 4 : 2;
}

static void check_places(const struct table *in_a_row, struct failure_facts *facts, bool counts,
                         const char *follows, const struct ended *end)
{
    unsigned column = column_of(follows);
    for (unsigned n = 1; n <= in_a_row->rows; n++)
        for (unsigned in_place = 0; in_place < 2; in_place++) {
            facts->fruitless = n;
            facts->in_place = in_place != 0;
            const char *expected = in_a_row->cells[counts ? n - 1 : 0][column];
            if (!in_place)
                expected = place_in_fresh_pods(expected);
            struct failure_decision d = failure_policy_decide(facts);
            expect_text("the place", expected, place_name(d.where), facts->rule, end);
            bool skipped = counts && strcmp(in_a_row->cells[n - 1][5], "skipped") == 0;
            assert_int_equal(d.unloadable, skipped && column != 4);
            assert_int_equal(d.stays, column == 4);
            assert_false(d.fail);
        }
}

static const char *verdict_of(const struct failure_decision *d, char words[64],
                              const char *otherwise)
{
    assert_int_equal(d->fail, d->reason != NULL);
    (void)snprintf(words, 64, "Failed: %s", d->fail ? d->reason : "");
    return d->fail ? words : otherwise;
}

static void check_end(const struct table *what, const struct table *in_a_row,
                      const struct ended *end, int rule, unsigned *used)
{
    unsigned i = 0;
    char words[64];
    while (i < what->rows && !matches(what->cells[i], end, rule))
        i++;
    if (i == what->rows)
        fail_msg("%s, rule %d: no row on the page", end->words, rule);
    const char(*row)[64] = what->cells[i];
    *used |= 1u << i;
    bool counts = strcmp(row[3], "yes") == 0, fails = strncmp(row[4], "Failed", 6) == 0;
    struct failure_facts facts = {
        .requested = end->requested,
        .diverged = end->diverged,
        .infrastructure = end->infrastructure,
        .code = end->code,
        .rule = rule,
        .in_place = true,
        .charged = LIMIT - 1,
        .backoff_limit = LIMIT,
        .fruitless = 1,
    };
    struct failure_decision d = failure_policy_decide(&facts);
    expect_text("charged", row[2], d.charged ? "yes" : "no", rule, end);
    expect_text("in the row", row[3], d.counts ? "yes" : "no", rule, end);
    expect_text("what follows", row[4], verdict_of(&d, words, fails ? "-" : row[4]), rule, end);
    if (!fails)
        check_places(in_a_row, &facts, counts, row[4], end);
    for (facts.charged = LIMIT; facts.charged <= LIMIT + 1; facts.charged++) {
        d = failure_policy_decide(&facts);
        expect_text("the end of the retries", row[5], verdict_of(&d, words, row[4]), rule, end);
    }
}

static void test_the_first_table_of_the_page_is_what_the_code_decides(void **state)
{
    struct table what, in_a_row;
    unsigned used = 0;
    (void)state;
    read_table("| ended by | rule |", &what);
    read_table("| in a row |", &in_a_row);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(ends); i++)
        for (size_t k = 0; k < MLT_ARRAY_LENGTH(rules); k++)
            check_end(&what, &in_a_row, &ends[i], rules[k], &used);
    assert_int_equal(used, (1u << what.rows) - 1); /* no row that never decides */
}

static void test_the_second_table_counts_from_one_and_goes_on_by_fours(void **state)
{
    static const int32_t codes[] = {1, FAILURE_EXIT_IN_PLACE, FAILURE_EXIT_NEW_NODE};
    struct table in_a_row;
    (void)state;
    read_table("| in a row |", &in_a_row);
    for (unsigned i = 0; i < in_a_row.rows; i++)
        assert_int_equal(strtol(in_a_row.cells[i][0], NULL, 10), i + 1);
    assert_true(in_a_row.rows > 2 * FAILURE_RUNGS);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(codes); i++)
        for (int64_t n = FAILURE_RUNGS + 1; n < 50; n++) {
            struct failure_facts now = {.code = codes[i],
                                        .rule = TRAININGJOB_NONE,
                                        .in_place = true,
                                        .backoff_limit = LIMIT,
                                        .fruitless = n};
            struct failure_facts later = now;
            later.fruitless += FAILURE_RUNGS;
            struct failure_decision a = failure_policy_decide(&now);
            struct failure_decision b = failure_policy_decide(&later);
            assert_int_equal(a.where, b.where);
            assert_int_equal(a.unloadable, b.unloadable);
        }
}

static void test_the_wait_is_between_half_of_what_the_page_says_and_that(void **state)
{
    struct table in_a_row;
    (void)state;
    read_table("| in a row |", &in_a_row);
    for (unsigned i = 0; i < in_a_row.rows; i++) {
        int64_t n = i + 1, longest = strtol(in_a_row.cells[i][1], NULL, 10) * 1000;
        uint64_t half = (uint64_t)longest / 2;
        assert_int_equal(restart_backoff_ms(n, 0), half);
        assert_int_equal(restart_backoff_ms(n, half), longest);
        assert_int_equal(restart_backoff_ms(n, half + 1), half);
        assert_in_range(restart_backoff_ms(n, UINT64_MAX), half, longest);
    }
    assert_int_equal(restart_backoff_ms(0, 5), 0);
    assert_int_equal(restart_backoff_ms(INT64_MAX, RESTART_BACKOFF_MAX_MS / 2),
                     RESTART_BACKOFF_MAX_MS);
}

static void test_every_cause_has_a_word_of_its_own(void **state)
{
    static const uint32_t causes[] = {
#define XX(name, number, words) number,
        RENDEZVOUS_CAUSE_MAP(XX)
#undef XX
    };
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(causes); i++) {
        const char *word = failure_policy_cause_word(causes[i]);
        assert_string_not_equal(word, "Unknown");
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(word, failure_policy_cause_word(causes[j]));
    }
    assert_string_equal(failure_policy_cause_word(0), "Unknown");
    assert_string_equal(failure_policy_cause_word(99), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_table_of_the_page_is_what_the_code_decides),
        cmocka_unit_test(test_the_second_table_counts_from_one_and_goes_on_by_fours),
        cmocka_unit_test(test_every_cause_has_a_word_of_its_own),
        cmocka_unit_test(test_the_wait_is_between_half_of_what_the_page_says_and_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
