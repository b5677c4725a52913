/* What a controller remembers on disk: its master key, its port, its identity. */
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
#include "controller/state_file.h"

static char folder[64], key_path[96], state_path[112];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/mltrain-state-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(key_path, sizeof key_path, "%s/master.key", folder);
    (void)snprintf(state_path, sizeof state_path, "%s.state", key_path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(key_path);
    (void)unlink(state_path);
    return rmdir(folder);
}

static void test_a_master_key_is_made_once_and_for_its_owner_only(void **state)
{
    unsigned char first[32], second[32];
    struct stat info;
    (void)state;
    assert_int_equal(master_key_load(key_path, first, NULL), 0);
    assert_int_equal(stat(key_path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(info.st_size, 32);
    assert_int_equal(master_key_load(key_path, second, NULL), 0);
    assert_memory_equal(first, second, 32);
}

static void test_a_key_of_the_wrong_size_is_refused(void **state)
{
    unsigned char key[32];
    struct mlt_error err = {0};
    (void)state;
    int fd = open(key_path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "short", 5), 5);
    (void)close(fd);
    assert_int_equal(master_key_load(key_path, key, &err), -EINVAL);
    assert_non_null(strstr(err.text, "32 bytes"));
}

static void test_port_and_identity_outlive_the_process(void **state)
{
    struct state_file s, again;
    (void)state;
    assert_int_equal(state_file_open(key_path, &s, NULL), 0);
    assert_int_equal(s.port, 0);
    assert_int_equal(state_file_keep(&s, 4321, NULL), 0);
    (void)close(s.fd);
    assert_int_equal(state_file_open(key_path, &again, NULL), 0);
    assert_int_equal(again.port, 4321);
    assert_string_equal(again.identity, s.identity);
    (void)close(again.fd);
}

static void test_two_controllers_do_not_share_one_identity(void **state)
{
    struct state_file s, other;
    struct mlt_error err = {0};
    (void)state;
    assert_int_equal(state_file_open(key_path, &s, NULL), 0);
    assert_int_equal(state_file_open(key_path, &other, &err), -EBUSY);
    (void)close(s.fd);
}

static void test_a_state_file_of_nonsense_counts_as_none(void **state)
{
    static const char *const texts[] = {
        "", "x", "99999 me\n", "12", "12 \n", "12 name-without-end", "a b\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct state_file s;
        int fd = open(state_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, texts[i], strlen(texts[i])), (int)strlen(texts[i]));
        (void)close(fd);
        assert_int_equal(state_file_open(key_path, &s, NULL), 0);
        assert_int_equal(s.port, 0);
        assert_true(strlen(s.identity) > 16);
        (void)close(s.fd);
    }
}

static void test_without_a_key_file_nothing_is_remembered(void **state)
{
    struct state_file s;
    (void)state;
    assert_int_equal(state_file_open(NULL, &s, NULL), 0);
    assert_int_equal(s.fd, -1);
    assert_int_equal(state_file_keep(&s, 1, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define FRESH(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
        FRESH(test_a_master_key_is_made_once_and_for_its_owner_only),
        FRESH(test_a_key_of_the_wrong_size_is_refused),
        FRESH(test_port_and_identity_outlive_the_process),
        FRESH(test_two_controllers_do_not_share_one_identity),
        FRESH(test_a_state_file_of_nonsense_counts_as_none),
        FRESH(test_without_a_key_file_nothing_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
