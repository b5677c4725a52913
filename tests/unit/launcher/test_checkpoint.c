/* Looking into a checkpoint folder: dcp, patterns, and what is common to all formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "launcher/trackers/content.h"
#include "lib/base/cleanup.h"

static void test_a_torn_dcp_checkpoint_is_told_from_a_complete_one(void **state)
{
    (void)state;
    static const char metadata[] = "\x80\x04 __0_0.distcp __1_0.distcp .";
    struct folder f;
    folder_init(&f);
    folder_put_dcp(&f, "step-1");
    folder_put_text(&f, "step-2/.metadata", metadata); /* a shard is missing */
    folder_put_text(&f, "step-2/__0_0.distcp", "x");
    folder_put_text(&f, "step-3/.metadata", metadata); /* a shard is empty */
    folder_put_text(&f, "step-3/__0_0.distcp", "x");
    folder_put_text(&f, "step-3/__1_0.distcp", "");
    folder_put_text(&f, "step-4/__0_0.distcp", "x");                   /* .metadata is to come */
    folder_put(&f, "step-5/.metadata", metadata, sizeof metadata - 2); /* the pickle is cut */
    folder_put_text(&f, "step-5/__0_0.distcp", "x");
    folder_put_text(&f, "step-5/__1_0.distcp", "x");
    folder_put_text(&f, "step-6/.metadata", "");                         /* empty */
    folder_put_text(&f, "step-7/.metadata", "\x80\x04 no names here ."); /* names nothing */
    folder_put_text(&f, "runs-8/events.log", "x"); /* another program's folder */
    folder_put_text(&f, "step-9", "x");            /* a file */
    assert_string_equal(folder_look(&f, "dcp", ""),
                        "7 step-7 dcp torn, 6 step-6 dcp torn, 5 step-5 dcp torn, "
                        "4 step-4 dcp torn, 3 step-3 dcp torn, 2 step-2 dcp torn, "
                        "1 step-1 dcp complete");
    folder_release(&f);
}

static void test_a_dcp_shard_that_is_shorter_than_its_pieces_is_torn(void **state)
{
    (void)state;
    /* Two pieces in one shard: up to 300 and up to 20. */
    static const char metadata[] =
        "\x80\4}\x94(\x8c\14__0_0.distcp\x94\x8c\6offset\x94K\0\x8c\6length\x94M\x2c\1"
        "h\1h\2K\12h\3K\12u.";
    char shard[301] = {0};
    struct folder f;
    folder_init(&f);
    folder_put(&f, "step-1/.metadata", metadata, sizeof metadata - 1);
    folder_put(&f, "step-1/__0_0.distcp", shard, 300);
    folder_put(&f, "step-2/.metadata", metadata, sizeof metadata - 1);
    folder_put(&f, "step-2/__0_0.distcp", shard, 299);
    folder_put(&f, "step-3/.metadata", metadata, sizeof metadata - 1);
    folder_put(&f, "step-3/__0_0.distcp", shard, 301);
    assert_string_equal(folder_look(&f, "dcp", ""),
                        "3 step-3 dcp complete, 2 step-2 dcp torn, 1 step-1 dcp complete");
    folder_release(&f);
}

static void test_a_zip_that_is_cut_anywhere_is_torn(void **state)
{
    (void)state;
    unsigned char zip[FOLDER_ZIP_MAX + 1] = {0};
    size_t length = folder_make_zip(zip, "\200\2.", 3);
    assert_true(content_zip_is_whole(zip, length, length));
    for (size_t cut = 0; cut < length; cut++)
        assert_false(content_zip_is_whole(zip, cut, cut));
    assert_false(content_zip_is_whole(zip, length + 1, length + 1));
}

static void test_files_and_folders_by_a_pattern(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    folder_put_torch(&f, "ckpt-1.pt", "");
    folder_put_torch(&f, "ckpt-2.pt", "");
    folder_cut(&f, "ckpt-2.pt", 1);
    folder_put_text(&f, "ckpt-3.pt", "");
    folder_put_text(&f, "ckpt-4.pt", "a format that proves nothing");
    folder_put_torch(&f, "ckpt-5.pt.tmp", "");
    folder_put_torch(&f, "ckpt-6.pt/a.pt", "");
    folder_put_torch(&f, "ckpt-6.pt/sub/b.pt", "");
    folder_put_torch(&f, "ckpt-7.pt/a.pt", "");
    folder_put_torch(&f, "ckpt-7.pt/b.pt", "");
    folder_cut(&f, "ckpt-7.pt/b.pt", 5);
    folder_put_torch(&f, "ckpt-8.pt/a.pt.tmp", "");
    folder_put_torch(&f, "other.pt", "");
    folder_put_safetensors(&f, "ckpt-9.pt/model.safetensors");
    folder_put_safetensors(&f, "ckpt-10.pt/model.safetensors");
    folder_cut(&f, "ckpt-10.pt/model.safetensors", 1);
    assert_string_equal(folder_look(&f, "pattern", "ckpt-{step}.pt"),
                        "10 ckpt-10.pt pattern torn, 9 ckpt-9.pt pattern settling, "
                        "8 ckpt-8.pt pattern torn, 7 ckpt-7.pt pattern torn, "
                        "6 ckpt-6.pt pattern complete, 4 ckpt-4.pt pattern settling, "
                        "3 ckpt-3.pt pattern torn, 2 ckpt-2.pt pattern torn, "
                        "1 ckpt-1.pt pattern complete");
    folder_put_torch(&f, "run/step-3/model.pt", "");
    assert_string_equal(folder_look(&f, "pattern", "run/step-{step}/model.pt"),
                        "3 run/step-3/model.pt pattern complete");
    folder_release(&f);
}

static void test_a_folder_by_a_pattern_with_fewer_files_than_before_has_to_rest(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    folder_put_torch(&f, "step-1/rank0.pt", "");
    folder_put_torch(&f, "step-1/rank1.pt", "");
    folder_put_torch(&f, "step-2/rank0.pt", "");
    assert_string_equal(folder_look(&f, "pattern", "step-{step}"),
                        "2 step-2 pattern settling, 1 step-1 pattern complete");
    folder_put_torch(&f, "step-2/rank1.pt", "");
    assert_string_equal(folder_look(&f, "pattern", "step-{step}"),
                        "2 step-2 pattern complete, 1 step-1 pattern complete");
    folder_release(&f);
}

static void test_auto_finds_dcp_folders_and_what_the_pattern_names(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    folder_put_dcp(&f, "step-10");
    folder_put_text(&f, "step-40/__0_0.distcp", "x"); /* .metadata is still to come */
    folder_put_torch(&f, "ckpt-20.pt", "");
    folder_put_torch(&f, "ckpt-30.pt", "");
    folder_cut(&f, "ckpt-30.pt", 1);
    folder_put_text(&f, "runs-50/events.log", "x"); /* another program's folder */
    assert_string_equal(folder_look(&f, "auto", ""),
                        "40 step-40 dcp torn, 10 step-10 dcp complete");
    assert_string_equal(folder_look(&f, "auto", "ckpt-{step}.pt"),
                        "40 step-40 dcp torn, 30 ckpt-30.pt pattern torn, "
                        "20 ckpt-20.pt pattern complete, 10 step-10 dcp complete");
    /* Named by the pattern and a dcp folder: the pattern's step, dcp's proof, told once. */
    folder_put_dcp(&f, "save-60-of-99");
    assert_string_equal(
        folder_look(&f, "auto", "save-{step}-of-99"),
        "60 save-60-of-99 dcp complete, 40 step-40 dcp torn, 10 step-10 dcp complete");
    folder_release(&f);
}

static void test_a_complete_checkpoint_is_found_behind_many_torn_ones(void **state)
{
    (void)state;
    struct folder f;
    char name[64];
    folder_init(&f);
    folder_put_dcp(&f, "step-1");
    for (int i = 0; i < 40; i++) {
        (void)snprintf(name, sizeof name, "step-%d/__0_0.distcp", 100 + i);
        folder_put_text(&f, name, "x");
    }
    const char *seen = folder_look(&f, "auto", "");
    assert_ptr_equal(strstr(seen, "139 step-139 dcp torn"), seen);
    assert_string_equal(strrchr(seen, ',') + 2, "1 step-1 dcp complete");
    folder_release(&f);
}

static void test_our_own_files_are_no_checkpoints(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    folder_put_dcp(&f, "step-10");
    folder_put_dcp(&f, "step-20.torn-3");
    folder_put_text(&f, CHECKPOINT_MARKER_PREFIX "5", "");
    assert_string_equal(folder_look(&f, "auto", "*{step}"), "10 step-10 dcp complete");
    folder_release(&f);
}

static void test_a_file_that_is_open_for_writing_is_told(void **state)
{
    (void)state;
    struct folder f;
    char path[128];
    folder_init(&f);
    folder_put_text(&f, "ckpt-1.bin", "abc");
    (void)snprintf(path, sizeof path, "%s/ckpt-1.bin", f.dir);
    for (int writes = 1; writes >= 0; writes--) {
        int fd = open(path, (writes ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
        assert_string_equal(folder_look(&f, "pattern", "ckpt-{step}.bin"),
                            "1 ckpt-1.bin pattern settling");
        assert_int_equal(folder_answer()->found[0].writing, writes);
        (void)close(fd);
    }
    folder_release(&f);
}

static void test_a_folder_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    struct checkpoint_answer answer = {0};
    struct checkpoint_scan_spec spec = {.path = "/no/such/folder", .format = "dcp", .pattern = ""};
    size_t count = 99;
    assert_int_equal(checkpoint_scan_look(&spec, &answer, &count), -ENOENT);
    spec.path = "/proc/self/status";
    assert_int_equal(checkpoint_scan_look(&spec, &answer, &count), -ENOTDIR);
    assert_int_equal(count, 99);
}

static void test_wrong_specifications_are_named(void **state)
{
    (void)state;
    static const struct {
        struct checkpoint_scan_spec spec;
        const char *words;
    } rows[] = {
        {{.path = "/c", .format = "zip", .pattern = ""}, "lightning or pattern expected"},
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

/* ---- the marker ---- */

static void look_with_marker(struct folder *f, const char *pattern, struct checkpoint_answer *ret)
{
    struct checkpoint_scan_spec spec = {
        .path = f->dir, .format = "auto", .pattern = pattern, .marker = "uid-1"};
    size_t count;
    *ret = (struct checkpoint_answer){0};
    assert_int_equal(checkpoint_scan_look(&spec, ret, &count), 0);
    assert_false(folder_has(f, CHECKPOINT_MARKER_PREFIX "uid-1"));
}

static void test_the_file_servers_time_is_asked_only_where_time_has_to_judge(void **state)
{
    (void)state;
    struct folder f;
    struct checkpoint_answer a;
    struct stat before, after;
    folder_init(&f);
    folder_put_torch(&f, "ckpt-1.bin", "");
    assert_int_equal(stat(f.dir, &before), 0);
    look_with_marker(&f, "ckpt-{step}.bin", &a);
    assert_int_equal(stat(f.dir, &after), 0);
    assert_int_equal(a.marker_ms, 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
    folder_put_text(&f, "ckpt-2.bin", "plain");
    look_with_marker(&f, "ckpt-{step}.bin", &a);
    assert_int_equal(a.marker_error, 0);
    assert_true(a.found[0].changed_ms > 0);
    assert_true(a.marker_ms >= a.found[0].changed_ms);
    folder_release(&f);
}

static void test_a_file_that_is_copied_with_its_time_or_given_to_another_user_is_old(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    folder_put_text(&f, "ckpt-1.bin", "plain");
    folder_age(&f, "ckpt-1.bin", 5000); /* as cp -p does; its ctime is of now */
    (void)folder_look(&f, "pattern", "ckpt-{step}.bin");
    assert_int_equal(folder_answer()->found[0].changed_ms, 5000);
    folder_age(&f, "ckpt-1.bin", INT64_C(4000000000000)); /* a time to come says nothing */
    (void)folder_look(&f, "pattern", "ckpt-{step}.bin");
    assert_true(folder_answer()->found[0].changed_ms < INT64_C(4000000000000));
    folder_release(&f);
}

static void test_a_marker_that_cannot_be_made_is_told(void **state)
{
    (void)state;
    struct folder f;
    struct checkpoint_answer a;
    char path[128];
    folder_init(&f);
    folder_put_text(&f, "ckpt-2.bin", "plain");
    (void)snprintf(path, sizeof path, "%s/" CHECKPOINT_MARKER_PREFIX "uid-1", f.dir);
    assert_int_equal(symlink("/nowhere/at-all", path), 0); /* root is not stopped by modes */
    struct checkpoint_scan_spec spec = {
        .path = f.dir, .format = "auto", .pattern = "ckpt-{step}.bin", .marker = "uid-1"};
    size_t count;
    a = (struct checkpoint_answer){0};
    assert_int_equal(checkpoint_scan_look(&spec, &a, &count), 0);
    assert_int_equal(a.marker_error, ELOOP);
    assert_int_equal(a.marker_ms, 0);
    assert_int_equal(count, 1);
    folder_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_torn_dcp_checkpoint_is_told_from_a_complete_one),
        cmocka_unit_test(test_a_dcp_shard_that_is_shorter_than_its_pieces_is_torn),
        cmocka_unit_test(test_a_zip_that_is_cut_anywhere_is_torn),
        cmocka_unit_test(test_files_and_folders_by_a_pattern),
        cmocka_unit_test(test_a_folder_by_a_pattern_with_fewer_files_than_before_has_to_rest),
        cmocka_unit_test(test_auto_finds_dcp_folders_and_what_the_pattern_names),
        cmocka_unit_test(test_a_complete_checkpoint_is_found_behind_many_torn_ones),
        cmocka_unit_test(test_our_own_files_are_no_checkpoints),
        cmocka_unit_test(test_a_file_that_is_open_for_writing_is_told),
        cmocka_unit_test(test_a_folder_that_cannot_be_read_is_told),
        cmocka_unit_test(test_wrong_specifications_are_named),
        cmocka_unit_test(test_the_file_servers_time_is_asked_only_where_time_has_to_judge),
        cmocka_unit_test(test_a_file_that_is_copied_with_its_time_or_given_to_another_user_is_old),
        cmocka_unit_test(test_a_marker_that_cannot_be_made_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
