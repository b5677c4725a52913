/* Names of checkpoints and of their parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "launcher/trackers/tracker.h"
#include "lib/base/cleanup.h"

static size_t names_in(const char *data, size_t length, size_t piece)
{
    struct tracker_dcp_names names = {0};
    for (size_t at = 0; at < length; at += piece)
        tracker_dcp_feed(&names, (const unsigned char *)data + at,
                         piece < length - at ? piece : length - at);
    size_t count = names.count;
    tracker_dcp_release(&names);
    return count;
}

static void test_shard_names_are_found_in_pickles_however_they_are_cut(void **state)
{
    (void)state;
    static const struct {
        const char *what, *text;
        size_t count;
    } rows[] = {
        {"one", "\x80\x04X\x0e__0_0.distcp.", 1},
        {"two, and one again", "__0_0.distcp__1_0.distcp __0_0.distcp", 2},
        {"large numbers", "__16383_12.distcp", 1},
        {"three bars", "___7_1.distcp", 1},
        {"bars between", "__1__2_3.distcp", 1},
        {"one bar only", "_0_0.distcp", 0},
        {"another suffix", "__0_0.distcq", 0},
        {"cut", "__0_0.distc", 0},
        {"too many digits", "__1234567890_0.distcp", 0},
        {"no index", "__0_.distcp", 0},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++)
        for (size_t piece = 1; piece < 30; piece++)
            if (names_in(rows[i].text, strlen(rows[i].text), piece) != rows[i].count)
                fail_msg("%s, in pieces of %zu", rows[i].what, piece);
}

static void test_thousands_of_shards_are_each_counted_once(void **state)
{
    (void)state;
    struct tracker_dcp_names names = {0};
    char text[64];
    for (int round = 0; round < 2; round++)
        for (unsigned rank = 0; rank < 5000; rank++) {
            int n = snprintf(text, sizeof text, "__%u_%u.distcp", rank, rank % 3);
            tracker_dcp_feed(&names, (unsigned char *)text, (size_t)n);
        }
    assert_int_equal(names.count, 5000);
    assert_false(names.failed);
    tracker_dcp_release(&names);
}

static void test_patterns_match_names(void **state)
{
    (void)state;
    static const struct {
        const char *what, *pattern, *name;
        int64_t step;
    } rows[] = {
        {"plain", "ckpt-{step}.pt", "ckpt-120.pt", 120},
        {"with zeros", "ckpt-{step}.pt", "ckpt-000120.pt", 120},
        {"a star", "epoch=*-step={step}.ckpt", "epoch=3-step=900.ckpt", 900},
        {"stars and steps", "*{step}*", "run7-step", 7},
        {"one character", "ckpt?{step}", "ckpt_5", 5},
        {"another end", "ckpt-{step}.pt", "ckpt-120.pt.bak", -1},
        {"no digits", "ckpt-{step}.pt", "ckpt-.pt", -1},
        {"a sign", "ckpt-{step}.pt", "ckpt--1.pt", -1},
        {"being written", "ckpt-{step}*", "ckpt-5.pt.tmp", -1},
        {"half there", "ckpt-{step}*", "ckpt-5.pt.partial", -1},
        {"too large", "ckpt-{step}", "ckpt-99999999999999999999", -1},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        int64_t step = -1;
        bool matched = tracker_pattern_match(rows[i].pattern, rows[i].name, &step);
        if (matched != (rows[i].step >= 0) || step != rows[i].step)
            fail_msg("%s: %lld", rows[i].what, (long long)step);
    }
}

static void test_many_stars_take_no_time(void **state)
{
    (void)state;
    char name[250];
    int64_t step;
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (int i = 0; i < 1000; i++)
        assert_false(tracker_pattern_match("*a*a*a*a*a*a*b{step}", name, &step));
}

static void test_patterns_are_split_at_their_step(void **state)
{
    (void)state;
    char before[64], component[64], after[64];
    assert_true(tracker_pattern_split("a/b/ckpt-{step}/model.pt", before, component, after, 64));
    assert_string_equal(before, "a/b");
    assert_string_equal(component, "ckpt-{step}");
    assert_string_equal(after, "model.pt");
    assert_true(tracker_pattern_split("ckpt-{step}.pt", before, component, after, 64));
    assert_string_equal(before, "");
    assert_string_equal(after, "");
    assert_false(tracker_pattern_split("ckpt.pt", before, component, after, 64));
    assert_false(tracker_pattern_split("{step}-{step}", before, component, after, 64));
    assert_false(tracker_pattern_split("*********{step}", before, component, after, 64));
}

static void test_forms_fit_names(void **state)
{
    (void)state;
    int64_t n[TRACKER_FORM_NUMBERS];
    assert_true(tracker_fit("zero_pp_rank_#_mp_rank_#_optim_states.pt",
                            "zero_pp_rank_12_mp_rank_03_optim_states.pt", n));
    assert_int_equal(n[0], 12);
    assert_int_equal(n[1], 3);
    assert_false(tracker_fit("mp_rank_#", "mp_rank_01_002", n));
    assert_false(tracker_fit("mp_rank_#", "mp_rank_", n));
    assert_false(tracker_fit("mp_rank_#", "mp_rank_99999999", n)); /* above TRACKER_RANKS_MAX */
    assert_false(tracker_fit("#_#_#_#_#", "1_2_3_4_5", n));
}

static bool whole(const char *tuples, unsigned dimensions, int64_t first, int64_t second)
{
    struct tracker_ranks ranks = {0};
    const int64_t sizes[TRACKER_FORM_NUMBERS] = {first, second};
    for (; *tuples; tuples += dimensions) {
        int64_t numbers[2] = {tuples[0] - '0', dimensions > 1 ? tuples[1] - '0' : 0};
        tracker_ranks_add(&ranks, numbers, dimensions);
    }
    bool result = tracker_ranks_are_whole(&ranks, sizes);
    tracker_ranks_release(&ranks);
    return result;
}

static void test_a_world_of_ranks_is_whole_without_gaps(void **state)
{
    (void)state;
    static const struct {
        const char *what, *tuples;
        unsigned dimensions;
        int64_t first, second;
        bool whole;
    } rows[] = {
        {"all of one dimension", "201", 1, 0, 0, true},
        {"a gap", "02", 1, 0, 0, false},
        {"the first is missing", "12", 1, 0, 0, false},
        {"the last is missing, and nobody knows", "01", 1, 0, 0, true},
        {"the last is missing, and the size is known", "01", 1, 3, 0, false},
        {"one too many", "0123", 1, 3, 0, false},
        {"all of two dimensions", "00011011", 2, 0, 0, true},
        {"a corner is missing", "000110", 2, 0, 0, false},
        {"a column is missing", "0010", 2, 2, 2, false},
        {"one twice instead of another", "00010111", 2, 0, 0, false},
        {"none", "", 1, 0, 0, false},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++)
        if (whole(rows[i].tuples, rows[i].dimensions, rows[i].first, rows[i].second) !=
            rows[i].whole)
            fail_msg("%s", rows[i].what);
}

static void test_tracker_files_are_one_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name; /* NULL: not one */
    } rows[] = {
        {"global_step20", "global_step20"},
        {"  120\n", "120"},
        {"", NULL},
        {" \n", NULL},
        {"a/b", NULL},
        {"two\nlines", NULL},
        {"a\tb", NULL},
        {"a b", "a b"},
    };
    char name[TRACKER_POINTER_MAX + 1], text[TRACKER_POINTER_MAX + 2];
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        bool is_name = tracker_pointer_read(rows[i].text, strlen(rows[i].text), name);
        if (is_name != (rows[i].name != NULL) || (is_name && strcmp(name, rows[i].name) != 0))
            fail_msg("`%s`", rows[i].text);
    }
    memset(text, 'a', sizeof text);
    assert_true(tracker_pointer_read(text, TRACKER_POINTER_MAX, name));
    assert_false(tracker_pointer_read(text, TRACKER_POINTER_MAX + 1, name));
}

static void test_names_that_repair_gave_are_known(void **state)
{
    (void)state;
    assert_true(tracker_is_set_aside("checkpoint-20.torn-3"));
    assert_true(tracker_is_set_aside("a.torn-x.torn-12"));
    assert_false(tracker_is_set_aside("checkpoint-20.torn-"));
    assert_false(tracker_is_set_aside("checkpoint-20.torn-3x"));
    assert_false(tracker_is_set_aside("checkpoint-20"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shard_names_are_found_in_pickles_however_they_are_cut),
        cmocka_unit_test(test_thousands_of_shards_are_each_counted_once),
        cmocka_unit_test(test_patterns_match_names),
        cmocka_unit_test(test_many_stars_take_no_time),
        cmocka_unit_test(test_patterns_are_split_at_their_step),
        cmocka_unit_test(test_forms_fit_names),
        cmocka_unit_test(test_a_world_of_ranks_is_whole_without_gaps),
        cmocka_unit_test(test_tracker_files_are_one_name),
        cmocka_unit_test(test_names_that_repair_gave_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
