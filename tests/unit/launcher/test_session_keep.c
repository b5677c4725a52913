/* launcher/session_keep.c: Open MPI's session folders stay, and what is none is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/session_keep.h"

static char folder[64];

static const char *path(const char *name)
{
    static char text[256];
    (void)snprintf(text, sizeof text, "%s/%s", folder, name);
    return text;
}

static void make(const char *name)
{
    assert_int_equal(mkdir(path(name), 0700), 0);
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test-session-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int end(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void test_the_folders_that_ranks_share_stay(void **state)
{
    (void)state;
    assert_false(session_keep(folder));
    make("ompi.pod-1.0");
    make("ompi.pod-1.0/jf.1");
    make("ompi.pod-1.0/jf.1/7");
    make("ompi.pod-1.0/jf.1/7/2");
    assert_true(session_keep(folder));
    assert_true(session_keep(folder));
    assert_int_equal(rmdir(path("ompi.pod-1.0/jf.1/7/2")), 0); /* one rank's own */
    assert_int_equal(rmdir(path("ompi.pod-1.0/jf.1/7")), -1);
    assert_int_equal(rmdir(path("ompi.pod-1.0/jf.1/7/" SESSION_KEEP_NAME)), 0);
    assert_int_equal(rmdir(path("ompi.pod-1.0/jf.1/7")), 0);
    assert_int_equal(rmdir(path("ompi.pod-1.0/jf.1")), -1);
    assert_int_equal(rmdir(path("ompi.pod-1.0")), -1);
}

static void test_what_is_no_session_is_left_alone(void **state)
{
    (void)state;
    make("other");
    make("target");
    assert_int_equal(symlink(folder, path("ompi.link")), 0);
    assert_false(session_keep(folder));
    assert_int_equal(rmdir(path("other")), 0);
    make("ompi.pod-1.0");
    assert_int_equal(symlink("../target", path("ompi.pod-1.0/jf.1")), 0);
    assert_true(session_keep(folder));
    assert_int_equal(rmdir(path("target")), 0);
    assert_false(session_keep("/nowhere/at/all"));
}

static void test_many_folders_are_too_many(void **state)
{
    char name[64];
    (void)state;
    make("ompi.pod-1.0");
    for (int i = 0; i < 2 * SESSION_KEEP_FOLDERS_MAX; i++) {
        (void)snprintf(name, sizeof name, "ompi.pod-1.0/%d", i);
        make(name);
    }
    assert_true(session_keep(folder));
    int kept = 0;
    for (int i = 0; i < 2 * SESSION_KEEP_FOLDERS_MAX; i++) {
        (void)snprintf(name, sizeof name, "ompi.pod-1.0/%d/%s", i, SESSION_KEEP_NAME);
        kept += access(path(name), F_OK) == 0;
    }
    assert_int_equal(kept, SESSION_KEEP_FOLDERS_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_folders_that_ranks_share_stay, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_no_session_is_left_alone, begin, end),
        cmocka_unit_test_setup_teardown(test_many_folders_are_too_many, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
