/* Which checkpoints are complete, as time passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "launcher/checkpoint_scan.h"

static const struct checkpoint_scan_spec raw = {
    .path = "/c", .format = "pattern", .pattern = "ckpt-{step}.bin"};
static struct checkpoint_report report;

static void judge(struct checkpoint_memory *m, struct checkpoint_answer *answer, size_t count,
                  enum checkpoint_writers writers, int64_t now_ms)
{
    checkpoint_scan_judge(m, &raw, answer, count, writers, now_ms, 1000000, &report);
}

static bool judge_one(struct checkpoint_memory *m, uint64_t fingerprint, bool writing,
                      enum checkpoint_writers writers, int64_t now_ms, int64_t age_ms)
{
    struct checkpoint_answer answer = {.found[0] = {.step = 5,
                                                    .wall_ms = 1000000 - age_ms,
                                                    .fingerprint = fingerprint,
                                                    .parts = 1,
                                                    .verdict = TRACKER_SETTLING,
                                                    .format = TRACKER_PATTERN,
                                                    .writing = writing,
                                                    .name = "ckpt-5.bin",
                                                    .entry = 10}};
    judge(m, &answer, 1, writers, now_ms);
    return report.report.checkpoints_count == 1;
}

static void test_a_plain_file_is_complete_once_it_has_rested(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0};
    assert_false(judge_one(&m, 1, false, CHECKPOINT_WRITERS_ALIVE, 0, 0));
    assert_false(judge_one(&m, 1, false, CHECKPOINT_WRITERS_ALIVE, 500, 500));
    assert_true(judge_one(&m, 1, false, CHECKPOINT_WRITERS_ALIVE, 1000, 1000));
    assert_string_equal(report.checkpoints[0].path, "/c/ckpt-5.bin");
    assert_false(judge_one(&m, 2, false, CHECKPOINT_WRITERS_ALIVE, 2000, 0)); /* written again */
    assert_int_equal(report.report.torn_step, 5);
}

static void test_a_plain_file_of_a_writer_that_was_killed_never_counts(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0};
    assert_false(judge_one(&m, 1, true, CHECKPOINT_WRITERS_ALIVE, 0, 0));
    assert_false(judge_one(&m, 1, false, CHECKPOINT_WRITERS_KILLED, 900, 900)); /* after the kill */
    assert_false(judge_one(&m, 1, false, CHECKPOINT_WRITERS_ALIVE, 60000, 60000));
    assert_false(judge_one(&m, 2, false, CHECKPOINT_WRITERS_ALIVE, 61000,
                           0)); /* the next attempt writes it anew */
    assert_true(judge_one(&m, 2, false, CHECKPOINT_WRITERS_ALIVE, 62000, 1000));
    assert_true(
        judge_one(&m, 2, false, CHECKPOINT_WRITERS_KILLED, 63000, 2000)); /* and it stays so */
}

static void test_a_plain_file_counts_at_once_when_its_writers_have_left_with_success(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0};
    assert_false(judge_one(&m, 1, false, CHECKPOINT_WRITERS_ALIVE, 0, 0));
    assert_true(judge_one(&m, 2, false, CHECKPOINT_WRITERS_LEFT, 100, 0));
    struct checkpoint_memory cut = {0};
    assert_false(judge_one(&cut, 1, true, CHECKPOINT_WRITERS_KILLED, 0, 0));
    assert_false(
        judge_one(&cut, 1, false, CHECKPOINT_WRITERS_LEFT, 100, 0)); /* of an earlier attempt */
}

static void test_an_old_plain_file_counts_at_first_sight(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0}, fresh = {0};
    assert_true(judge_one(&m, 1, false, CHECKPOINT_WRITERS_KILLED, 0, 5000));
    assert_false(judge_one(&fresh, 1, true, CHECKPOINT_WRITERS_KILLED, 0,
                           5000)); /* but not one that is open */
}

static void test_the_newest_eight_are_told_and_what_is_torn_before_them(void **state)
{
    (void)state;
    struct checkpoint_answer answer = {0};
    struct checkpoint_found *found = answer.found;
    struct checkpoint_memory m = {0};
    for (int i = 0; i < 12; i++) {
        found[i] = (struct checkpoint_found){.step = 100 - i, .verdict = TRACKER_COMPLETE};
        found[i].entry = snprintf(found[i].name, sizeof found[i].name, "s%d", 100 - i);
    }
    found[0].verdict = found[1].verdict = found[4].verdict = TRACKER_TORN;
    judge(&m, &answer, 12, CHECKPOINT_WRITERS_ALIVE, 0);
    assert_int_equal(report.report.checkpoints_count, 8);
    assert_int_equal(report.checkpoints[0].step, 98);
    assert_int_equal(report.report.torn_step, 100);
}

static void test_a_step_that_lies_there_twice_is_not_torn(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0};
    struct checkpoint_answer answer = {
        .found = {
            {.step = 7, .verdict = TRACKER_TORN, .name = "a-7", .entry = 3},
            {.step = 7, .verdict = TRACKER_COMPLETE, .name = "b-7", .entry = 3},
            {.step = 7, .verdict = TRACKER_COMPLETE, .name = "c-7", .entry = 3, .wall_ms = 1},
        }};
    judge(&m, &answer, 3, CHECKPOINT_WRITERS_ALIVE, 0);
    assert_string_equal(report.checkpoints[0].path, "/c/c-7"); /* the newer of two */
    assert_int_equal(report.repair.torn_count, 0);
    assert_int_equal(report.report.checkpoints_count, 1);
    assert_int_equal(report.report.torn_step, RENDEZVOUS_NO_STEP);
}

/* ---- the file server's clock ---- */

/* A plain file that was changed at `changed_ms` and is looked at when the server's clock shows
 * `marker_ms`; ours shows 1000000 always. */
static bool judge_marked(struct checkpoint_memory *m, uint64_t fingerprint, int64_t marker_ms,
                         int64_t changed_ms, enum checkpoint_writers writers, int64_t now_ms)
{
    struct checkpoint_answer answer = {.marker_ms = marker_ms,
                                       .found[0] = {.step = 5,
                                                    .wall_ms = 999990, /* whatever utimes said */
                                                    .changed_ms = changed_ms,
                                                    .fingerprint = fingerprint,
                                                    .parts = 1,
                                                    .verdict = TRACKER_SETTLING,
                                                    .format = TRACKER_PATTERN,
                                                    .name = "ckpt-5.bin",
                                                    .entry = 10}};
    judge(m, &answer, 1, writers, now_ms);
    return report.report.checkpoints_count == 1;
}

#define DAY INT64_C(86400000)

static void test_a_server_whose_clock_is_a_day_off_changes_nothing(void **state)
{
    (void)state;
    static const int64_t server[] = {1000000, 1000000 + DAY, 1000000 + 2 * DAY};
    for (size_t i = 0; i < 3; i++) {
        struct checkpoint_memory m = {0}, old = {0}, killed = {0};
        int64_t s = server[i];
        /* Just written: it has to rest for a second. */
        assert_false(judge_marked(&m, 1, s, s - 10, CHECKPOINT_WRITERS_ALIVE, 0));
        assert_false(judge_marked(&m, 1, s + 900, s - 10, CHECKPOINT_WRITERS_ALIVE, 900));
        assert_true(judge_marked(&m, 1, s + 1000, s - 10, CHECKPOINT_WRITERS_ALIVE, 1000));
        /* Old at first sight, and one whose writer was killed a second after its last write. */
        assert_true(judge_marked(&old, 1, s, s - 2000, CHECKPOINT_WRITERS_KILLED, 0));
        assert_false(judge_marked(&killed, 1, s, s - 1000, CHECKPOINT_WRITERS_KILLED, 0));
        assert_false(judge_marked(&killed, 1, s + DAY, s - 1000, CHECKPOINT_WRITERS_ALIVE, 5000));
    }
}

static void test_rest_begins_with_a_marker_that_is_newer_than_the_file(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0};
    /* A server with a coarse clock: file and marker have one time, more writes may have it too. */
    assert_false(judge_marked(&m, 1, 5000, 5000, CHECKPOINT_WRITERS_ALIVE, 0));
    assert_false(judge_marked(&m, 1, 6000, 5000, CHECKPOINT_WRITERS_ALIVE, 1000));
    assert_true(judge_marked(&m, 1, 7000, 5000, CHECKPOINT_WRITERS_ALIVE, 2000));
}

static void test_a_servers_clock_that_jumps_does_not_shorten_the_rest(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0};
    assert_false(judge_marked(&m, 1, 5000, 4000, CHECKPOINT_WRITERS_ALIVE, 0));
    assert_false(judge_marked(&m, 1, 5000 + DAY, 4000, CHECKPOINT_WRITERS_ALIVE, 100));
    assert_true(judge_marked(&m, 1, 6000 + DAY, 4000, CHECKPOINT_WRITERS_ALIVE, 1000));
}

static void test_times_that_a_program_has_set_do_not_count(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0};
    struct checkpoint_answer answer = {.marker_ms = 1000000,
                                       .found[0] = {.step = 5,
                                                    .wall_ms = 1, /* copied with its old time */
                                                    .changed_ms = 999999,
                                                    .fingerprint = 1,
                                                    .parts = 1,
                                                    .verdict = TRACKER_SETTLING,
                                                    .name = "ckpt-5.bin",
                                                    .entry = 10}};
    judge(&m, &answer, 1, CHECKPOINT_WRITERS_ALIVE, 0);
    assert_int_equal(report.report.checkpoints_count, 0);
}

/* ---- damage ---- */

static bool judge_sized(struct checkpoint_memory *m, enum tracker_verdict verdict, uint64_t bytes,
                        uint32_t parts, uint64_t identity, int64_t now_ms)
{
    struct checkpoint_answer answer = {
        .found[0] = {.step = 5,
                     .fingerprint = bytes * 100 + parts * 10 + identity,
                     .identity = identity,
                     .bytes = bytes,
                     .parts = parts,
                     .verdict = (int32_t)verdict,
                     .name = "ckpt-5",
                     .entry = 6}};
    judge(m, &answer, 1, CHECKPOINT_WRITERS_KILLED, now_ms);
    return report.report.checkpoints_count == 1;
}

static void test_a_complete_checkpoint_that_shrinks_is_torn_until_it_is_written_to(void **state)
{
    (void)state;
    static const enum tracker_verdict verdicts[] = {TRACKER_SETTLING, TRACKER_COMPLETE};
    for (size_t i = 0; i < 2; i++) {
        struct checkpoint_memory m = {0};
        assert_true(judge_sized(&m, verdicts[i], 100, 4, 1, 0));
        assert_false(judge_sized(&m, verdicts[i], 99, 4, 1, 1000)); /* a shard was cut */
        assert_false(judge_sized(&m, verdicts[i], 99, 4, 1, 90000));
        assert_int_equal(report.report.torn_step, 5);
        struct checkpoint_memory n = {0};
        assert_true(judge_sized(&n, verdicts[i], 100, 4, 1, 0));
        assert_false(judge_sized(&n, verdicts[i], 75, 3, 2, 1000)); /* a shard is missing */
        assert_false(judge_sized(&n, verdicts[i], 75, 3, 2, 90000));
    }
    struct checkpoint_memory m = {0};
    assert_true(judge_sized(&m, TRACKER_COMPLETE, 100, 4, 1, 0));
    assert_false(judge_sized(&m, TRACKER_COMPLETE, 50, 4, 1, 1000));
    assert_true(judge_sized(&m, TRACKER_COMPLETE, 80, 4, 1, 2000)); /* saved anew */
    assert_true(judge_sized(&m, TRACKER_COMPLETE, 60, 4, 7, 3000)); /* by other files */
}

/* ---- what repair would change ---- */

static void test_what_may_still_be_being_copied_is_not_renamed(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0};
    assert_false(judge_one(&m, 1, false, CHECKPOINT_WRITERS_ALIVE, 0, 100));
    assert_int_equal(report.report.torn_step, 5);
    assert_false(checkpoint_repair_is_needed(&report.repair));
    assert_false(judge_one(&m, 1, false, CHECKPOINT_WRITERS_KILLED, 100, 200));
    assert_true(checkpoint_repair_is_needed(&report.repair));
}

static void test_only_what_is_newer_than_the_newest_complete_one_is_to_be_renamed(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0};
    struct checkpoint_answer answer = {
        .pointer = {.trouble = CHECKPOINT_POINTER_NOWHERE, .format = TRACKER_DEEPSPEED},
        .found = {
            {.step = 40, .verdict = TRACKER_TORN, .name = "run/s-40/x.pt", .entry = 8},
            {.step = 30, .verdict = TRACKER_TORN, .name = "s-30", .entry = 4},
            {.step = 20, .verdict = TRACKER_COMPLETE, .name = "s-20", .entry = 4},
            {.step = 10, .verdict = TRACKER_TORN, .name = "s-10", .entry = 4},
        }};
    answer.found[2].format = TRACKER_DEEPSPEED;
    judge(&m, &answer, 4, CHECKPOINT_WRITERS_KILLED, 0);
    assert_int_equal(report.repair.torn_count, 2);
    assert_string_equal(report.repair.torn[0], "run/s-40");
    assert_string_equal(report.repair.torn[1], "s-30");
    assert_true(report.repair.set_pointer);
    assert_string_equal(report.repair.text, "s-20");
    answer.pointer.trouble = CHECKPOINT_POINTER_FINE;
    judge(&m, &answer, 4, CHECKPOINT_WRITERS_KILLED, 0);
    assert_false(report.repair.set_pointer);
    answer.pointer.trouble = CHECKPOINT_POINTER_EMPTY;
    answer.found[2].verdict = TRACKER_TORN; /* nothing is complete: the tracker file has to go */
    judge(&m, &answer, 4, CHECKPOINT_WRITERS_KILLED, 0);
    assert_int_equal(report.repair.torn_count, 4);
    assert_true(report.repair.set_pointer);
    assert_string_equal(report.repair.text, "");
}

static void test_paths_are_what_the_formats_loaders_want(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0};
    struct checkpoint_answer answer = {
        .found = {
            {.step = 3, .verdict = TRACKER_COMPLETE, .name = "iter_0000003", .path = "."},
            {.step = 2, .verdict = TRACKER_COMPLETE, .name = ".mltrain-commit-2", .path = "two"},
            {.step = 1,
             .verdict = TRACKER_COMPLETE,
             .name = ".mltrain-commit-1",
             .path = "/nvme/one"}}};
    judge(&m, &answer, 3, CHECKPOINT_WRITERS_KILLED, 0);
    assert_string_equal(report.checkpoints[0].path, "/c");
    assert_string_equal(report.checkpoints[1].path, "/c/two");
    assert_string_equal(report.checkpoints[2].path, "/nvme/one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plain_file_is_complete_once_it_has_rested),
        cmocka_unit_test(test_a_plain_file_of_a_writer_that_was_killed_never_counts),
        cmocka_unit_test(test_a_plain_file_counts_at_once_when_its_writers_have_left_with_success),
        cmocka_unit_test(test_an_old_plain_file_counts_at_first_sight),
        cmocka_unit_test(test_the_newest_eight_are_told_and_what_is_torn_before_them),
        cmocka_unit_test(test_a_step_that_lies_there_twice_is_not_torn),
        cmocka_unit_test(test_a_server_whose_clock_is_a_day_off_changes_nothing),
        cmocka_unit_test(test_rest_begins_with_a_marker_that_is_newer_than_the_file),
        cmocka_unit_test(test_a_servers_clock_that_jumps_does_not_shorten_the_rest),
        cmocka_unit_test(test_times_that_a_program_has_set_do_not_count),
        cmocka_unit_test(test_a_complete_checkpoint_that_shrinks_is_torn_until_it_is_written_to),
        cmocka_unit_test(test_what_may_still_be_being_copied_is_not_renamed),
        cmocka_unit_test(test_only_what_is_newer_than_the_newest_complete_one_is_to_be_renamed),
        cmocka_unit_test(test_paths_are_what_the_formats_loaders_want),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
