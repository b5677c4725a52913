/* The real launcher and real processes: how ranks start, end and are ended. */
#include "tests/component/launcher/harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/base/cleanup.h"

#define SH(text) ((const char *const[]){"/bin/sh", "-c", text, NULL})

static pid_t pid_in_file(struct harness *h, const char *name)
{
    harness_await_text(h, name, "\n");
    cleanup_free char *text = harness_file(h, name, NULL);
    return (pid_t)strtol(text, NULL, 10);
}

static void test_ranks_start_run_and_the_launcher_leaves_with_the_code_it_is_told(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.welcome.nproc = 3;
    harness_launch(&h, SH("echo rank $RANK of $WORLD_SIZE local $LOCAL_RANK"));
    uint64_t attempt = harness_start_ranks(&h);
    assert_int_equal(attempt, 1);
    for (int i = 0; i < 3; i++) {
        struct rendezvous_message *exit = harness_expect(&h, RENDEZVOUS_RANK_EXIT);
        assert_int_equal(exit->rank_exit.exit.code, 0);
        assert_int_equal(exit->rank_exit.exit.cause, RENDEZVOUS_CAUSE_EXITED);
        assert_string_equal(exit->rank_exit.exit.tail, "");
    }
    harness_send_exit(&h, 42);
    assert_int_equal(harness_exit_code(&h), 42);
    cleanup_free char *out = harness_file(&h, "out", NULL);
    assert_non_null(strstr(out, "[r0 a1] rank 0 of 3 local 0\n"));
    assert_non_null(strstr(out, "[r2 a1] rank 2 of 3 local 2\n"));
    harness_end(&h);
}

static void test_an_exit_code_and_the_last_output_are_told(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_launch(&h, SH("echo fine; echo broken >&2; exit 7"));
    (void)harness_start_ranks(&h);
    struct rendezvous_exit *exit = &harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
    assert_int_equal(exit->code, 7);
    assert_int_equal(exit->signal, 0);
    assert_int_equal(exit->cause, RENDEZVOUS_CAUSE_EXITED);
    assert_non_null(strstr(exit->tail, "fine\n"));
    assert_non_null(strstr(exit->tail, "broken\n"));
    cleanup_free char *err = harness_file(&h, "out", NULL);
    assert_non_null(strstr(err, "[r0 a1!] broken\n"));
    harness_end(&h);
}

static void test_the_message_in_an_error_file_comes_first(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_launch(&h, SH("echo '{\"message\": {\"message\": \"ValueError: no data\", "
                          "\"extraInfo\": {}}}' > $MLTRAIN_ERROR_FILE; echo last words; exit 1"));
    (void)harness_start_ranks(&h);
    struct rendezvous_exit *exit = &harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
    assert_string_equal(exit->tail, "ValueError: no data\nlast words\n");
    harness_end(&h);
}

static void test_signals_from_outside_are_told_from_a_programs_own(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        int signal;
        enum rendezvous_cause cause;
    } rows[] = {
        {"kill -9 $$", SIGKILL, RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE},
        {"kill -TERM $$", SIGTERM, RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE},
        {"kill -ABRT $$", SIGABRT, RENDEZVOUS_CAUSE_EXITED},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct harness h;
        harness_begin(&h);
        harness_launch(&h, SH(rows[i].command));
        (void)harness_start_ranks(&h);
        struct rendezvous_exit *exit = &harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
        assert_int_equal(exit->signal, rows[i].signal);
        assert_int_equal(exit->code, 0);
        assert_int_equal(exit->cause, rows[i].cause);
        harness_end(&h);
    }
}

static void test_a_command_that_does_not_exist_is_told_with_its_errno(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.welcome.nproc = 2;
    harness_launch(&h, (const char *const[]){"/no/such/program", NULL});
    struct rendezvous_message *ready = harness_expect(&h, RENDEZVOUS_READY);
    harness_send_start(&h, ready->attempt);
    struct rendezvous_message *started = harness_expect(&h, RENDEZVOUS_STARTED);
    assert_int_equal(started->started.pids[0], 0);
    for (int i = 0; i < 2; i++) {
        struct rendezvous_exit *exit = &harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
        assert_int_equal(exit->cause, RENDEZVOUS_CAUSE_EXEC_FAILED);
        assert_int_equal(exit->code, ENOENT);
    }
    harness_end(&h);
}

static void test_a_stop_with_grace_lets_ranks_save(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_launch(&h, SH("trap 'echo saved; exit 0' USR1; echo up; while :; do sleep 0.05; done"));
    uint64_t attempt = harness_start_ranks(&h);
    harness_await_text(&h, "out", "up");
    harness_send_stop(&h, attempt, 10000, SIGUSR1);
    struct rendezvous_message *stopped = harness_expect(&h, RENDEZVOUS_STOPPED);
    assert_false(stopped->stopped.unkillable);
    assert_int_equal(stopped->stopped.exits_count, 1);
    assert_int_equal(stopped->stopped.exits[0].code, 0);
    harness_await_text(&h, "out", "[r0 a1] saved\n");
    harness_end(&h);
}

static void test_after_the_grace_ranks_are_killed(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_launch(&h, SH("trap '' TERM; echo up; while :; do sleep 0.05; done"));
    uint64_t attempt = harness_start_ranks(&h);
    harness_await_text(&h, "out", "up");
    int64_t begun = harness_now_ms();
    harness_send_stop(&h, attempt, 300, SIGTERM);
    struct rendezvous_message *stopped = harness_expect(&h, RENDEZVOUS_STOPPED);
    assert_true(harness_now_ms() - begun >= 300);
    assert_int_equal(stopped->stopped.exits[0].signal, SIGKILL);
    assert_int_equal(stopped->stopped.exits[0].cause, RENDEZVOUS_CAUSE_KILLED_BY_US);
    /* And it is ready for the next attempt by itself, with another port. */
    struct rendezvous_message *ready = harness_expect(&h, RENDEZVOUS_READY);
    assert_int_equal(ready->attempt, attempt + 1);
    assert_int_not_equal(ready->ready.port, h.start.master_port);
    harness_end(&h);
}

static void test_grandchildren_in_their_own_sessions_are_killed_too(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    char script[512];
    /* A daemon that double-forks out of its session, and one that also drops its environment. */
    (void)snprintf(script, sizeof script,
                   "setsid sh -c 'sleep 300 & echo $! > %s/one; wait' & "
                   "setsid sh -c 'setsid env -i /bin/sleep 300 & echo $! > %s/two' & "
                   "sleep 300",
                   h.dir, h.dir);
    harness_launch(&h, SH(script));
    uint64_t attempt = harness_start_ranks(&h);
    pid_t one = pid_in_file(&h, "one"), two = pid_in_file(&h, "two");
    assert_true(harness_is_alive(one) && harness_is_alive(two));
    harness_send_stop(&h, attempt, 0, 0);
    (void)harness_expect(&h, RENDEZVOUS_STOPPED);
    assert_false(harness_is_alive(one));
    assert_false(harness_is_alive(two));
    harness_end(&h);
}

static void test_siblings_of_a_failed_rank_run_on_until_they_are_stopped(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.welcome.nproc = 2;
    harness_launch(&h, SH("test $RANK = 0 && exit 3; sleep 300"));
    uint64_t attempt = harness_start_ranks(&h);
    struct rendezvous_exit *exit = &harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
    assert_int_equal(exit->code, 3);
    assert_false(harness_sees(&h, RENDEZVOUS_RANK_EXIT, 300));
    harness_send_stop(&h, attempt, 0, 0);
    struct rendezvous_message *stopped = harness_expect(&h, RENDEZVOUS_STOPPED);
    assert_int_equal(stopped->stopped.exits_count, 2);
    assert_int_equal(stopped->stopped.exits[0].cause, RENDEZVOUS_CAUSE_EXITED);
    assert_int_equal(stopped->stopped.exits[1].cause, RENDEZVOUS_CAUSE_KILLED_BY_US);
    harness_end(&h);
}

static void test_ranks_die_with_a_launcher_that_is_killed(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.welcome.nproc = 4;
    harness_launch(&h, SH("sleep 300; true"));
    struct rendezvous_message *ready = harness_expect(&h, RENDEZVOUS_READY);
    harness_send_start(&h, ready->attempt);
    struct rendezvous_message *started = harness_expect(&h, RENDEZVOUS_STARTED);
    for (int i = 0; i < 4; i++)
        assert_true(harness_is_alive((pid_t)started->started.pids[i]));
    assert_int_equal(kill(h.pid, SIGKILL), 0);
    assert_int_equal(harness_exit_code(&h), 128 + SIGKILL);
    int64_t end = harness_now_ms() + 2000;
    for (int i = 0; i < 4; i++) {
        while (harness_is_alive((pid_t)started->started.pids[i]) && harness_now_ms() < end)
            harness_run(&h, 5);
        assert_false(harness_is_alive((pid_t)started->started.pids[i]));
    }
    harness_end(&h);
}

static void test_sigterm_reaches_the_ranks_and_the_launcher_waits_for_its_orders(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_launch(&h, SH("trap 'sleep 0.2; echo saved; exit 0' TERM; echo up; "
                          "while :; do sleep 0.05; done"));
    (void)harness_start_ranks(&h);
    harness_await_text(&h, "out", "up");
    assert_int_equal(kill(h.pid, SIGTERM), 0);
    struct rendezvous_message *terminating = harness_expect(&h, RENDEZVOUS_TERMINATING);
    assert_int_equal(terminating->terminating.signal, SIGTERM);
    (void)harness_expect(&h, RENDEZVOUS_STOPPED);
    harness_await_text(&h, "out", "saved");
    assert_false(harness_sees(&h, RENDEZVOUS_READY, 200)); /* this pod will not run again */
    harness_send_exit(&h, 0);
    assert_int_equal(harness_exit_code(&h), 0);
    harness_end(&h);
}

static void test_sigterm_gives_the_ranks_the_jobs_signal_and_grace(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.welcome.stop_signal = SIGUSR1;
    h.welcome.stop_grace_ms = 700;
    harness_launch(&h, SH("trap 'echo saving' USR1; trap 'echo wrong' TERM; echo up;"
                          "while :; do sleep 0.05; done"));
    (void)harness_start_ranks(&h);
    harness_await_text(&h, "out", "up\n");
    int64_t began = harness_now_ms();
    assert_int_equal(kill(h.pid, SIGTERM), 0);
    (void)harness_expect(&h, RENDEZVOUS_TERMINATING);
    harness_await_text(&h, "out", "saving\n");
    (void)harness_expect(&h, RENDEZVOUS_STOPPED); /* it does not end by itself */
    assert_in_range(harness_now_ms() - began, 690, 5000);
    cleanup_free char *out = harness_file(&h, "out", NULL);
    assert_null(strstr(out, "wrong"));
    harness_end(&h);
}

static void test_signal_mask_dispositions_limits_and_descriptors_are_clean(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.extra_environment[0] = "LC_ALL=C";
    /* grep and ls are execs of their own: what they see was inherited through the rank. */
    harness_launch(&h, SH("grep -E '^Sig(Blk|Ign)' /proc/self/status; ulimit -n; "
                          "readlink /proc/self/fd/0; ls /proc/self/fd | tr '\\n' ' '; echo"));
    (void)harness_start_ranks(&h);
    (void)harness_expect(&h, RENDEZVOUS_RANK_EXIT);
    char limit[64];
    FILE *own = popen("ulimit -n", "r");
    assert_non_null(own);
    assert_non_null(fgets(limit, sizeof limit, own));
    (void)pclose(own);
    cleanup_free char *out = harness_file(&h, "out", NULL);
    assert_non_null(strstr(out, "SigBlk:\t0000000000000000"));
    assert_non_null(strstr(out, "SigIgn:\t0000000000000000"));
    assert_non_null(strstr(out, limit));
    assert_non_null(strstr(out, "] /dev/null\n"));
    assert_non_null(strstr(out, "] 0 1 2 3 \n")); /* 3 is the folder that ls reads */
    harness_end(&h);
}

static void test_torchrun_is_started_once_and_stands_for_all_ranks(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.welcome.nproc = 4;
    h.welcome.framework = "pytorch";
    harness_launch(&h, (const char *const[]){"/bin/sh", "-c",
                                             "echo $PET_NPROC_PER_NODE $PET_NNODES; exit 5 # \n"
                                             "torchrun train.py",
                                             NULL});
    (void)harness_start_ranks(&h);
    for (int i = 0; i < 4; i++) {
        struct rendezvous_exit *exit = &harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
        assert_int_equal(exit->local_rank, i);
        assert_int_equal(exit->code, 5);
    }
    cleanup_free char *out = harness_file(&h, "out", NULL);
    assert_non_null(strstr(out, "[r0 a1] 4 1\n"));
    harness_end(&h);
}

static void test_references_the_kubelet_left_are_expanded(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.extra_environment[0] = "OUT=part-$(RANK)-of-$(WORLD_SIZE)";
    h.extra_environment[1] = "RANK=77";
    harness_launch(&h, (const char *const[]){"/bin/sh", "-c", "echo $OUT $0 $(echo sub)",
                                             "--rank=$(RANK)/$(NOT_OURS)", NULL});
    (void)harness_start_ranks(&h);
    (void)harness_expect(&h, RENDEZVOUS_RANK_EXIT);
    harness_await_text(&h, "out", "[r0 a1] part-0-of-1 --rank=0/$(NOT_OURS) sub\n");
    harness_await_text(&h, "out", "overridden: RANK\n");
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_start_run_and_the_launcher_leaves_with_the_code_it_is_told),
        cmocka_unit_test(test_an_exit_code_and_the_last_output_are_told),
        cmocka_unit_test(test_the_message_in_an_error_file_comes_first),
        cmocka_unit_test(test_signals_from_outside_are_told_from_a_programs_own),
        cmocka_unit_test(test_a_command_that_does_not_exist_is_told_with_its_errno),
        cmocka_unit_test(test_a_stop_with_grace_lets_ranks_save),
        cmocka_unit_test(test_after_the_grace_ranks_are_killed),
        cmocka_unit_test(test_grandchildren_in_their_own_sessions_are_killed_too),
        cmocka_unit_test(test_siblings_of_a_failed_rank_run_on_until_they_are_stopped),
        cmocka_unit_test(test_ranks_die_with_a_launcher_that_is_killed),
        cmocka_unit_test(test_sigterm_reaches_the_ranks_and_the_launcher_waits_for_its_orders),
        cmocka_unit_test(test_sigterm_gives_the_ranks_the_jobs_signal_and_grace),
        cmocka_unit_test(test_signal_mask_dispositions_limits_and_descriptors_are_clean),
        cmocka_unit_test(test_torchrun_is_started_once_and_stands_for_all_ranks),
        cmocka_unit_test(test_references_the_kubelet_left_are_expanded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
