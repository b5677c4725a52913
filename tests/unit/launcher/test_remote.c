/* launcher/remote.c: hosts, tickets, flow, the agent's command line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "launcher/remote.h"
#include "lib/base/cleanup.h"

static void test_only_pods_of_this_gang_are_hosts(void **state)
{
    (void)state;
    uint32_t node = 77;
    char name[REMOTE_HOST_MAX];
    assert_true(remote_host_parse("pod-0", 1, &node));
    assert_int_equal(node, 0);
    assert_true(remote_host_parse("pod-2047", 2048, &node));
    assert_int_equal(node, 2047);
    const char *const others[] = {"pod-2048", "pod-",           "pod--1", "pod-01",
                                  "pod-1 ",   "Pod-1",          "pod",    "worker-1",
                                  "",         "pod-4294967296", "pod-1x"};
    node = 77;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(remote_host_parse(others[i], 2048, &node));
    assert_int_equal(node, 77);
    remote_host_name(65535, name);
    assert_true(remote_host_parse(name, 65536, &node));
    assert_int_equal(node, 65535);
}

static void test_each_starter_gets_its_own_list_of_hosts(void **state)
{
    (void)state;
    struct mlt_text open_mpi = MLT_TEXT_INIT(REMOTE_HOSTS_MAX),
                    hydra = MLT_TEXT_INIT(REMOTE_HOSTS_MAX);
    remote_hosts_write(&open_mpi, REMOTE_HOSTS_OPEN_MPI, 2, 8);
    remote_hosts_write(&hydra, REMOTE_HOSTS_HYDRA, 2, 8);
    assert_string_equal(mlt_text_string(&open_mpi), "pod-0 slots=8\npod-1 slots=8\n");
    assert_string_equal(mlt_text_string(&hydra), "pod-0:8\npod-1:8\n");
    mlt_text_clear(&open_mpi);
    remote_hosts_write(&open_mpi, REMOTE_HOSTS_OPEN_MPI, 65536, 256); /* the largest gang */
    assert_false(open_mpi.failed);
    mlt_text_release(&open_mpi);
    mlt_text_release(&hydra);
}

static void test_a_ticket_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct remote_ticket ticket = {.port = 65535}, got;
    char text[REMOTE_TICKET_MAX + 1];
    memset(ticket.address, '1', REMOTE_ADDRESS_MAX);
    memset(ticket.identity, 'u', REMOTE_IDENTITY_MAX);
    for (size_t i = 0; i < REMOTE_KEY_SIZE; i++)
        ticket.key[i] = (unsigned char)(i * 9);
    int length = remote_ticket_write(&ticket, text);
    assert_int_equal(length, strlen(text));
    assert_true(length <= REMOTE_TICKET_MAX);
    assert_true(remote_ticket_read(text, &got));
    assert_memory_equal(&got, &ticket, sizeof got);
    /* Cut anywhere, it is none. */
    for (int i = 0; i < length; i++) {
        char cut[REMOTE_TICKET_MAX + 1];
        (void)memcpy(cut, text, (size_t)i);
        cut[i] = '\0';
        assert_false(remote_ticket_read(cut, &got));
    }
    text[length - 1] = 'g';
    assert_false(remote_ticket_read(text, &got));
    assert_false(remote_ticket_read("1.2.3.4 0 id 00", &got));
}

static void test_an_identity_has_job_and_attempt_in_it(void **state)
{
    (void)state;
    char identity[REMOTE_IDENTITY_MAX + 1] = "before", uid[REMOTE_IDENTITY_MAX + 1];
    assert_int_equal(remote_identity("u-1", 12, identity), 0);
    assert_string_equal(identity, "u-1/rsh/12");
    memset(uid, 'u', sizeof uid - 1);
    uid[sizeof uid - 1] = '\0';
    assert_int_equal(remote_identity(uid, 1, identity), -ENAMETOOLONG);
    assert_string_equal(identity, "u-1/rsh/12");
}

static void test_no_more_than_the_window_is_on_its_way(void **state)
{
    (void)state;
    struct remote_window w = {0};
    size_t sent = 0, room;
    assert_int_equal(remote_window_room(&w), RENDEZVOUS_REMOTE_DATA_MAX);
    while ((room = remote_window_room(&w)) > 0) {
        size_t piece = room > 1000 ? 1000 : room;
        remote_window_sent(&w, piece);
        sent += piece;
    }
    assert_int_equal(sent, REMOTE_WINDOW);
    assert_false(remote_window_taken(&w, REMOTE_WINDOW + 1));
    assert_int_equal(remote_window_room(&w), 0);
    assert_true(remote_window_taken(&w, 10));
    assert_int_equal(remote_window_room(&w), 10);
    assert_true(remote_window_taken(&w, REMOTE_WINDOW - 10));
    assert_false(remote_window_taken(&w, 1));
}

#define PREFIX "export MLTRAIN_WORLD=w; "

static void expect_call(char *const *argv, const char *host, const char *command)
{
    struct remote_call call;
    struct mlt_error err = {0};
    if (remote_call_parse(argv, "w", &call, &err) < 0)
        fail_msg("%s: %s", command, err.text);
    assert_string_equal(call.host, host);
    assert_memory_equal(call.command, PREFIX, strlen(PREFIX));
    assert_string_equal(call.command + strlen(PREFIX), command);
    free(call.command);
}

static void test_it_is_called_as_rsh_and_ssh_are(void **state)
{
    (void)state;
    char x[] = "-x", host[] = "pod-1", empty[] = "", orted[] = "orted", mca[] = "-mca",
         quoted[] = "\"env\"", l[] = "-l", user[] = "root", o[] = "-o", batch[] = "BatchMode=yes",
         text[] = "cd /a && exec b";
    /* Open MPI's, with an empty word; Hydra's; a person's. */
    expect_call((char *[]){host, empty, orted, mca, quoted, NULL}, "pod-1", "orted -mca \"env\"");
    expect_call((char *[]){x, host, quoted, mca, NULL}, "pod-1", "\"env\" -mca");
    expect_call((char *[]){o, batch, l, user, x, host, text, NULL}, "pod-1", "cd /a && exec b");
}

static void test_what_cannot_be_run_is_said(void **state)
{
    (void)state;
    char host[] = "pod-1", l[] = "-l", empty[] = "";
    struct remote_call call = {.host = "before"};
    struct mlt_error err = {0};
    assert_int_equal(remote_call_parse((char *[]){NULL}, "w", &call, &err), -EINVAL);
    assert_int_equal(remote_call_parse((char *[]){l, NULL}, "w", &call, &err), -EINVAL);
    assert_non_null(strstr(err.text, "a host is missing"));
    assert_int_equal(remote_call_parse((char *[]){host, NULL}, "w", &call, &err), -EINVAL);
    assert_int_equal(remote_call_parse((char *[]){host, empty, empty, NULL}, "w", &call, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "a command is missing"));
    cleanup_free char *longest = malloc(RENDEZVOUS_REMOTE_COMMAND_MAX + 2);
    assert_non_null(longest);
    memset(longest, 'a', RENDEZVOUS_REMOTE_COMMAND_MAX + 1);
    longest[RENDEZVOUS_REMOTE_COMMAND_MAX + 1] = '\0';
    assert_int_equal(remote_call_parse((char *[]){host, longest, NULL}, "w", &call, &err), -E2BIG);
    assert_string_equal(call.host, "before");
    longest[RENDEZVOUS_REMOTE_COMMAND_MAX + 1 - strlen(PREFIX)] = '\0';
    assert_int_equal(remote_call_parse((char *[]){host, longest, NULL}, "w", &call, &err), -E2BIG);
    longest[RENDEZVOUS_REMOTE_COMMAND_MAX - strlen(PREFIX)] = '\0';
    expect_call((char *[]){host, longest, NULL}, "pod-1", longest);
}

static void test_a_signal_becomes_a_code_as_in_a_shell(void **state)
{
    (void)state;
    assert_int_equal(remote_exit_code(0, 0), 0);
    assert_int_equal(remote_exit_code(41, 0), 41);
    assert_int_equal(remote_exit_code(0, 9), 137);
}

static void test_a_run_has_a_name_that_no_shell_minds(void **state)
{
    char name[REMOTE_WORLD_MAX + 1];
    (void)state;
    remote_world_write("job-worker-0", 17, 4711, name);
    assert_string_equal(name, "job-worker-0-17-4711");
    assert_true(remote_world_is_valid(name));
    remote_world_write("a;b $(c)", 1, 2, name);
    assert_string_equal(name, "a_b___c_-1-2");
    assert_false(remote_world_is_valid("a;b"));
    assert_false(remote_world_is_valid(""));
    assert_true(remote_is_starter("mpiexec.hydra"));
    assert_true(remote_is_starter("prterun"));
    assert_false(remote_is_starter("orted"));
    assert_true(remote_is_daemon("hydra_pmi_proxy"));
    assert_false(remote_is_daemon("bash"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_run_has_a_name_that_no_shell_minds),
        cmocka_unit_test(test_only_pods_of_this_gang_are_hosts),
        cmocka_unit_test(test_each_starter_gets_its_own_list_of_hosts),
        cmocka_unit_test(test_a_ticket_is_read_as_it_was_written),
        cmocka_unit_test(test_an_identity_has_job_and_attempt_in_it),
        cmocka_unit_test(test_no_more_than_the_window_is_on_its_way),
        cmocka_unit_test(test_it_is_called_as_rsh_and_ssh_are),
        cmocka_unit_test(test_what_cannot_be_run_is_said),
        cmocka_unit_test(test_a_signal_becomes_a_code_as_in_a_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
