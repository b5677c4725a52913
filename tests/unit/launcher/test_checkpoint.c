/* Which checkpoints are complete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/checkpoint_scan.h"
#include "launcher/trackers/tracker.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"

/* ---- pure parts ---- */

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

/* ---- folders ---- */

struct folder {
    char dir[64];
};

static void folder_init(struct folder *f)
{
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/mltrain-ckpt-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
}

static void folder_release(struct folder *f)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
}

static void put(struct folder *f, const char *name, const void *data, size_t length)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    for (char *slash = path + strlen(f->dir) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void put_text(struct folder *f, const char *name, const char *text)
{
    put(f, name, text, strlen(text));
}

static size_t look(struct folder *f, const char *format, const char *pattern,
                   struct checkpoint_found *found)
{
    struct checkpoint_scan_spec spec = {.path = f->dir, .format = format, .pattern = pattern};
    size_t count = 0;
    assert_int_equal(checkpoint_scan_look(&spec, found, CHECKPOINT_SCAN_FOUND_MAX, &count), 0);
    return count;
}

static void test_a_torn_dcp_checkpoint_is_told_from_a_complete_one(void **state)
{
    (void)state;
    static const char metadata[] = "\x80\x04 __0_0.distcp __1_0.distcp .";
    struct folder f;
    struct checkpoint_found found[CHECKPOINT_SCAN_FOUND_MAX];
    folder_init(&f);
    put_text(&f, "step-1/.metadata", metadata);
    put_text(&f, "step-1/__0_0.distcp", "x");
    put_text(&f, "step-1/__1_0.distcp", "x");
    put_text(&f, "step-2/.metadata", metadata); /* a shard is missing */
    put_text(&f, "step-2/__0_0.distcp", "x");
    put_text(&f, "step-3/.metadata", metadata); /* a shard is empty */
    put_text(&f, "step-3/__0_0.distcp", "x");
    put_text(&f, "step-3/__1_0.distcp", "");
    put_text(&f, "step-4/__0_0.distcp", "x");                   /* .metadata is still to come */
    put(&f, "step-5/.metadata", metadata, sizeof metadata - 2); /* the pickle is cut */
    put_text(&f, "step-5/__0_0.distcp", "x");
    put_text(&f, "step-5/__1_0.distcp", "x");
    put_text(&f, "step-6/.metadata", "");                         /* empty */
    put_text(&f, "step-7/.metadata", "\x80\x04 no names here ."); /* names nothing */
    put_text(&f, "runs-8/events.log", "x");                       /* another program's folder */
    put_text(&f, "step-9", "x");                                  /* a file */
    static const struct {
        int64_t step;
        enum tracker_verdict verdict;
    } expected[] = {{7, TRACKER_TORN}, {6, TRACKER_TORN}, {5, TRACKER_TORN},    {4, TRACKER_TORN},
                    {3, TRACKER_TORN}, {2, TRACKER_TORN}, {1, TRACKER_COMPLETE}};
    size_t count = look(&f, "dcp", "", found);
    assert_int_equal(count, MLT_ARRAY_LENGTH(expected));
    for (size_t i = 0; i < count; i++)
        if (found[i].step != expected[i].step || found[i].verdict != (int)expected[i].verdict)
            fail_msg("%s: verdict %d", found[i].name, found[i].verdict);
    folder_release(&f);
}

/* The smallest zip: one stored file, its directory, the end. */
static size_t make_zip(unsigned char *zip)
{
    static const unsigned char local[] = {'P', 'K', 3, 4, 10, 0, 0, 0, 0,   0,   0,
                                          0,   0,   0, 0, 0,  0, 0, 2, 0,   0,   0,
                                          2,   0,   0, 0, 1,  0, 0, 0, 'a', 'h', 'i'};
    unsigned char central[47] = {'P', 'K', 1, 2, 10, 0, 10};
    unsigned char end[22] = {'P', 'K', 5, 6, 0, 0, 0, 0, 1, 0, 1, 0, 47, 0, 0, 0, 33};
    central[28] = 1;
    central[46] = 'a';
    memcpy(zip, local, 33);
    memcpy(zip + 33, central, 47);
    memcpy(zip + 80, end, 22);
    return 102;
}

static void test_a_zip_that_is_cut_anywhere_is_torn(void **state)
{
    (void)state;
    unsigned char zip[102];
    size_t length = make_zip(zip);
    assert_true(tracker_zip_is_whole(zip, length, length));
    for (size_t cut = 0; cut < length; cut++)
        assert_false(tracker_zip_is_whole(zip, cut, cut));
    unsigned char grown[110] = {0};
    memcpy(grown, zip, length);
    assert_false(tracker_zip_is_whole(grown, sizeof grown, sizeof grown));
}

static void test_files_and_folders_by_a_pattern(void **state)
{
    (void)state;
    unsigned char zip[102];
    size_t length = make_zip(zip);
    struct folder f;
    struct checkpoint_found found[CHECKPOINT_SCAN_FOUND_MAX];
    folder_init(&f);
    put(&f, "ckpt-1.pt", zip, length);
    put(&f, "ckpt-2.pt", zip, length - 1);
    put_text(&f, "ckpt-3.pt", "");
    put_text(&f, "ckpt-4.pt", "a format that proves nothing");
    put(&f, "ckpt-5.pt.tmp", zip, length);
    put(&f, "ckpt-6.pt/a.pt", zip, length);
    put(&f, "ckpt-6.pt/sub/b.pt", zip, length);
    put(&f, "ckpt-7.pt/a.pt", zip, length);
    put(&f, "ckpt-7.pt/b.pt", zip, length - 5);
    put(&f, "ckpt-8.pt/a.pt.tmp", zip, length);
    put(&f, "other.pt", zip, length);
    static const struct {
        int64_t step;
        enum tracker_verdict verdict;
    } expected[] = {{8, TRACKER_TORN},     {7, TRACKER_TORN}, {6, TRACKER_COMPLETE},
                    {4, TRACKER_SETTLING}, {3, TRACKER_TORN}, {2, TRACKER_TORN},
                    {1, TRACKER_COMPLETE}};
    size_t count = look(&f, "pattern", "ckpt-{step}.pt", found);
    assert_int_equal(count, MLT_ARRAY_LENGTH(expected));
    for (size_t i = 0; i < count; i++)
        if (found[i].step != expected[i].step || found[i].verdict != (int)expected[i].verdict)
            fail_msg("%s: verdict %d", found[i].name, found[i].verdict);
    put(&f, "run/step-3/model.pt", zip, length);
    count = look(&f, "pattern", "run/step-{step}/model.pt", found);
    assert_int_equal(count, 1);
    assert_string_equal(found[0].name, "run/step-3/model.pt");
    folder_release(&f);
}

static void check_found(struct folder *f, const char *pattern, const char *expected)
{
    static const char *const verdicts[] = {
        [TRACKER_TORN] = "torn", [TRACKER_SETTLING] = "settling", [TRACKER_COMPLETE] = "complete"};
    struct checkpoint_found found[CHECKPOINT_SCAN_FOUND_MAX];
    struct mlt_text seen = MLT_TEXT_INIT(4096);
    size_t count = look(f, "auto", pattern, found);
    for (size_t i = 0; i < count; i++)
        mlt_text_printf(&seen, "%s%lld %s %s", i ? ", " : "", (long long)found[i].step,
                        found[i].name, verdicts[found[i].verdict]);
    assert_string_equal(mlt_text_string(&seen), expected);
    mlt_text_release(&seen);
}

static void test_auto_finds_dcp_folders_and_what_the_pattern_names(void **state)
{
    (void)state;
    static const char metadata[] = "\x80\x04 __0_0.distcp .";
    unsigned char zip[102];
    size_t length = make_zip(zip);
    struct folder f;
    folder_init(&f);
    put_text(&f, "step-10/.metadata", metadata);
    put_text(&f, "step-10/__0_0.distcp", "x");
    put_text(&f, "step-40/__0_0.distcp", "x"); /* .metadata is still to come */
    put(&f, "ckpt-20.pt", zip, length);
    put(&f, "ckpt-30.pt", zip, length - 1);
    put_text(&f, "runs-50/events.log", "x"); /* another program's folder */
    check_found(&f, "", "40 step-40 torn, 10 step-10 complete");
    check_found(&f, "ckpt-{step}.pt",
                "40 step-40 torn, 30 ckpt-30.pt torn, 20 ckpt-20.pt complete, "
                "10 step-10 complete");
    /* Named by the pattern and a dcp folder: the pattern's step, dcp's proof, told once. */
    put_text(&f, "save-60-of-99/.metadata", metadata);
    put_text(&f, "save-60-of-99/__0_0.distcp", "x");
    check_found(&f, "save-{step}-of-99",
                "60 save-60-of-99 complete, 40 step-40 torn, 10 step-10 complete");
    folder_release(&f);
}

static void test_a_complete_checkpoint_is_found_behind_many_torn_ones(void **state)
{
    (void)state;
    struct folder f;
    struct checkpoint_found found[CHECKPOINT_SCAN_FOUND_MAX];
    char name[64];
    folder_init(&f);
    put_text(&f, "step-1/.metadata", "\x80\x04 __0_0.distcp .");
    put_text(&f, "step-1/__0_0.distcp", "x");
    for (int i = 0; i < 40; i++) {
        (void)snprintf(name, sizeof name, "step-%d/__0_0.distcp", 100 + i);
        put_text(&f, name, "x");
    }
    size_t count = look(&f, "auto", "", found);
    assert_int_equal(found[0].step, 139);
    assert_int_equal(found[count - 1].step, 1);
    assert_int_equal(found[count - 1].verdict, TRACKER_COMPLETE);
    folder_release(&f);
}

static void test_a_file_that_is_open_for_writing_is_told(void **state)
{
    (void)state;
    struct folder f;
    struct checkpoint_found found[CHECKPOINT_SCAN_FOUND_MAX];
    char path[128];
    folder_init(&f);
    put_text(&f, "ckpt-1.bin", "abc");
    (void)snprintf(path, sizeof path, "%s/ckpt-1.bin", f.dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(look(&f, "pattern", "ckpt-{step}.bin", found), 1);
    assert_true(found[0].writing);
    (void)close(fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(look(&f, "pattern", "ckpt-{step}.bin", found), 1);
    assert_false(found[0].writing);
    (void)close(fd);
    folder_release(&f);
}

static void test_a_folder_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    struct checkpoint_found found[CHECKPOINT_SCAN_FOUND_MAX];
    struct checkpoint_scan_spec spec = {.path = "/no/such/folder", .format = "dcp", .pattern = ""};
    size_t count = 99;
    assert_int_equal(checkpoint_scan_look(&spec, found, CHECKPOINT_SCAN_FOUND_MAX, &count),
                     -ENOENT);
    spec.path = "/proc/self/status";
    assert_int_equal(checkpoint_scan_look(&spec, found, CHECKPOINT_SCAN_FOUND_MAX, &count),
                     -ENOTDIR);
    assert_int_equal(count, 99);
}

static void test_wrong_specifications_are_named(void **state)
{
    (void)state;
    static const struct {
        struct checkpoint_scan_spec spec;
        const char *words;
    } rows[] = {
        {{.path = "/c", .format = "zip", .pattern = ""}, "auto, dcp or pattern expected"},
        {{.path = "c", .format = "dcp", .pattern = ""}, "absolute path expected"},
        {{.path = "/c", .format = "pattern", .pattern = "x.pt"}, "one {step}"},
        {{.path = "/c", .format = "auto", .pattern = "x.pt"}, "one {step}"},
        {{.path = "/c", .format = "auto", .pattern = "run/{step}.pt"}, "no `/` expected"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct mlt_error err = {0};
        assert_int_equal(checkpoint_scan_check(&rows[i].spec, &err), -EINVAL);
        assert_non_null(strstr(err.text, rows[i].words));
    }
}

/* ---- judging over time ---- */

static const struct checkpoint_scan_spec raw = {
    .path = "/c", .format = "pattern", .pattern = "ckpt-{step}.bin"};
static struct checkpoint_report report;

static bool judge_one(struct checkpoint_memory *m, uint64_t fingerprint, bool writing,
                      enum checkpoint_writers writers, int64_t now_ms, int64_t age_ms)
{
    struct checkpoint_found found = {.step = 5,
                                     .wall_ms = 1000000 - age_ms,
                                     .fingerprint = fingerprint,
                                     .verdict = TRACKER_SETTLING,
                                     .writing = writing,
                                     .name = "ckpt-5.bin"};
    checkpoint_scan_judge(m, &raw, &found, 1, writers, now_ms, 1000000, &report);
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
    struct checkpoint_found found[12];
    struct checkpoint_memory m = {0};
    for (int i = 0; i < 12; i++) {
        found[i] = (struct checkpoint_found){.step = 100 - i, .verdict = TRACKER_COMPLETE};
        (void)snprintf(found[i].name, sizeof found[i].name, "s%d", 100 - i);
    }
    found[0].verdict = found[1].verdict = found[4].verdict = TRACKER_TORN;
    checkpoint_scan_judge(&m, &raw, found, 12, CHECKPOINT_WRITERS_ALIVE, 0, 0, &report);
    assert_int_equal(report.report.checkpoints_count, 8);
    assert_int_equal(report.checkpoints[0].step, 98);
    assert_int_equal(report.report.torn_step, 100);
}

static void test_a_step_that_lies_there_twice_is_not_torn(void **state)
{
    (void)state;
    struct checkpoint_memory m = {0};
    struct checkpoint_found found[2] = {
        {.step = 7, .verdict = TRACKER_TORN, .name = "a-7"},
        {.step = 7, .verdict = TRACKER_COMPLETE, .name = "b-7"},
    };
    checkpoint_scan_judge(&m, &raw, found, 2, CHECKPOINT_WRITERS_ALIVE, 0, 0, &report);
    assert_int_equal(report.report.checkpoints_count, 1);
    assert_int_equal(report.report.torn_step, RENDEZVOUS_NO_STEP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shard_names_are_found_in_pickles_however_they_are_cut),
        cmocka_unit_test(test_thousands_of_shards_are_each_counted_once),
        cmocka_unit_test(test_patterns_match_names),
        cmocka_unit_test(test_many_stars_take_no_time),
        cmocka_unit_test(test_patterns_are_split_at_their_step),
        cmocka_unit_test(test_a_torn_dcp_checkpoint_is_told_from_a_complete_one),
        cmocka_unit_test(test_a_zip_that_is_cut_anywhere_is_torn),
        cmocka_unit_test(test_files_and_folders_by_a_pattern),
        cmocka_unit_test(test_auto_finds_dcp_folders_and_what_the_pattern_names),
        cmocka_unit_test(test_a_complete_checkpoint_is_found_behind_many_torn_ones),
        cmocka_unit_test(test_a_file_that_is_open_for_writing_is_told),
        cmocka_unit_test(test_a_folder_that_cannot_be_read_is_told),
        cmocka_unit_test(test_wrong_specifications_are_named),
        cmocka_unit_test(test_a_plain_file_is_complete_once_it_has_rested),
        cmocka_unit_test(test_a_plain_file_of_a_writer_that_was_killed_never_counts),
        cmocka_unit_test(test_a_plain_file_counts_at_once_when_its_writers_have_left_with_success),
        cmocka_unit_test(test_an_old_plain_file_counts_at_first_sight),
        cmocka_unit_test(test_the_newest_eight_are_told_and_what_is_torn_before_them),
        cmocka_unit_test(test_a_step_that_lies_there_twice_is_not_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
