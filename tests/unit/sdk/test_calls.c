/* The C calls without a launcher: what they do outside of mltrain, and the commit record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/mltrain.h"

static char folder[64]; /* of checkpoints */

static void make_file(const char *name, size_t size)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(fputc('x', file), 'x');
    assert_int_equal(fclose(file), 0);
}

static void make_folder(const char *name)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int commit(int64_t step, const char *name)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return mltrain_checkpoint_committed(step, path);
}

/* Content of a record; NULL when there is none. */
static const char *record(int64_t step)
{
    static char text[8192];
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/.mltrain-commit-%lld", folder, (long long)step);
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    return text;
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/mltrain-sdk-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(setenv("MLTRAIN_CHECKPOINT_DIR", folder, 1), 0);
    assert_int_equal(setenv("MLTRAIN_SOCKET", "", 1), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[PATH_MAX];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void test_without_mltrain_nothing_happens(void **state)
{
    (void)state;
    static const char *const names[] = {"MLTRAIN_SOCKET", "MLTRAIN_ATTEMPT", "MLTRAIN_RESUME_STEP",
                                        "MLTRAIN_RESUME_PATH"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(unsetenv(names[i]), 0);
    make_file("a", 1);
    mltrain_report(1, 10);
    assert_false(mltrain_should_save(1));
    assert_false(mltrain_should_save(MLTRAIN_LAST_STEP));
    assert_int_equal(commit(1, "a"), 0);
    assert_null(record(1));
    assert_false(mltrain_resume(NULL, NULL));
    assert_int_equal(mltrain_attempt(), 0);
}

static void test_a_launcher_that_is_gone_does_no_harm(void **state)
{
    (void)state;
    assert_int_equal(setenv("MLTRAIN_SOCKET", "/nowhere/sdk.sock", 1), 0);
    mltrain_report(1, 10);
    assert_false(mltrain_should_save(MLTRAIN_LAST_STEP));
    char path[300];
    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_int_equal(setenv("MLTRAIN_SOCKET", path, 1), 0);
    mltrain_report(2, 10);
    make_file("a", 1);
    assert_int_equal(commit(1, "a"), 0);
    assert_non_null(record(1));
}

static void test_the_place_to_go_on_from_is_told(void **state)
{
    (void)state;
    int64_t step = 0;
    const char *path = NULL;
    assert_int_equal(setenv("MLTRAIN_RESUME_STEP", "120", 1), 0);
    assert_false(mltrain_resume(&step, &path));
    assert_int_equal(setenv("MLTRAIN_RESUME_PATH", "/ckpt/step-120", 1), 0);
    assert_int_equal(setenv("MLTRAIN_ATTEMPT", "3", 1), 0);
    assert_true(mltrain_resume(&step, &path));
    assert_int_equal(step, 120);
    assert_string_equal(path, "/ckpt/step-120");
    assert_int_equal(mltrain_attempt(), 3);
    assert_int_equal(setenv("MLTRAIN_RESUME_STEP", "12x", 1), 0);
    assert_false(mltrain_resume(&step, &path));
}

static void test_a_file_is_recorded_with_its_size(void **state)
{
    (void)state;
    make_file("step 7.pt", 5);
    assert_int_equal(commit(7, "step 7.pt"), 0);
    assert_string_equal(record(7), "mltrain-commit 1\nstep 7\npath step 7.pt\nfile 5 .\nend 1\n");
    make_file("step 7.pt", 6);
    assert_int_equal(commit(7, "step 7.pt"), 0);
    assert_non_null(strstr(record(7), "file 6 ."));
}

static void test_a_folder_is_recorded_with_all_below_it(void **state)
{
    (void)state;
    char target[PATH_MAX], link[PATH_MAX];
    make_folder("runs");
    make_folder("runs/step-8");
    make_folder("runs/step-8/rank-0");
    make_file("runs/step-8/meta", 0);
    make_file("runs/step-8/rank-0/model", 3);
    make_file("other", 2);
    (void)snprintf(target, sizeof target, "%s/other", folder);
    (void)snprintf(link, sizeof link, "%s/runs/step-8/link", folder);
    assert_int_equal(symlink(target, link), 0);
    (void)snprintf(link, sizeof link, "%s/runs/step-8/round", folder);
    assert_int_equal(symlink("..", link), 0); /* not followed: it would never end */
    assert_int_equal(commit(8, "runs/step-8/"), 0);
    const char *text = record(8);
    const char *const lines[] = {"mltrain-commit 1\nstep 8\npath runs/step-8\n", "file 0 meta\n",
                                 "file 3 rank-0/model\n", "file 2 link\n", "\nend 3\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr(text, lines[i]))
            fail_msg("`%s` is missing in\n%s", lines[i], text);
}

static void test_what_cannot_be_recorded_leaves_no_record(void **state)
{
    (void)state;
    make_folder("empty");
    make_folder("odd");
    make_file("odd/a\nb", 1);
    make_file("a", 1);
    char deep[700];
    make_folder("deep");
    int n = snprintf(deep, sizeof deep, "deep");
    for (int i = 0; i < 3; i++) {
        deep[n++] = '/';
        memset(deep + n, 'd', 200);
        deep[n += 200] = '\0';
        make_folder(deep);
    }
    assert_int_equal(commit(1, deep), -ENAMETOOLONG);
    (void)strncat(deep, "/a", sizeof deep - strlen(deep) - 1);
    make_file(deep, 1);
    assert_int_equal(commit(1, "deep"), -ENAMETOOLONG);
    assert_int_equal(commit(1, "missing"), -ENOENT);
    assert_int_equal(commit(1, "empty"), -ENOENT);
    assert_int_equal(commit(1, "odd"), -EINVAL);
    assert_int_equal(commit(1, "odd/a\nb"), -EINVAL);
    assert_int_equal(commit(1, ""), -EINVAL); /* the folder itself */
    assert_int_equal(commit(1, "../../etc/passwd"), -EINVAL);
    assert_int_equal(commit(-1, "a"), -EINVAL);
    assert_int_equal(mltrain_checkpoint_committed(1, "/etc/passwd"), -EINVAL);
    assert_int_equal(mltrain_checkpoint_committed(1, NULL), -EINVAL);
    assert_null(record(1));
    char command[PATH_MAX];
    (void)snprintf(command, sizeof command, "test -z \"$(ls -A %s | grep mltrain)\"", folder);
    assert_int_equal(system(command), 0); /* no half either */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_mltrain_nothing_happens, begin, end),
        cmocka_unit_test_setup_teardown(test_a_launcher_that_is_gone_does_no_harm, begin, end),
        cmocka_unit_test_setup_teardown(test_the_place_to_go_on_from_is_told, begin, end),
        cmocka_unit_test_setup_teardown(test_a_file_is_recorded_with_its_size, begin, end),
        cmocka_unit_test_setup_teardown(test_a_folder_is_recorded_with_all_below_it, begin, end),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_recorded_leaves_no_record, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
