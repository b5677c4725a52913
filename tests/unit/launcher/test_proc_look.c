/* Texts of /proc, and questions about the tree below a process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/proc_look.h"

/* ---- texts ---- */

static void test_a_stat_line_is_read_whatever_the_program_is_called(void **state)
{
    (void)state;
    static const char rest[] =
        " 0 -1 4194304 212 0 0 0 100 23 7 5 20 0 1 0 85340 4464640 764 184467 "
        "94460171317248 0 0 0 0 0 65536 6 65536 1 0 0 17 0 0 0 0 0 0 0 0 0\n";
    static const char *const names[] = {"bash", "a b", "x) S 1 2 3 (y", ")", ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[512];
        struct proc_look_process p;
        (void)snprintf(text, sizeof text, "4694 (%s) T 4688 4690 4691%s", names[i], rest);
        assert_true(proc_look_parse_stat(text, &p));
        assert_int_equal(p.pid, 4694);
        assert_int_equal(p.parent, 4688);
        assert_int_equal(p.session, 4691);
        assert_int_equal(p.state, 'T');
        assert_int_equal(p.ticks, 100 + 23 + 7 + 5);
        assert_int_equal(p.start, 85340);
        assert_string_equal(p.name, names[i]);
    }
}

static void test_what_is_no_stat_line_is_not_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "12", "12 (", "12 )( S", "12 (a) S 1 2", "x (a) S 1 2 3", "12 (a)"};
    struct proc_look_process p;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_false(proc_look_parse_stat(texts[i], &p));
}

static void test_the_mask_of_caught_signals_is_read(void **state)
{
    (void)state;
    static const char status[] = "Name:\tSigCgt:\nSigIgn:\tffffffffffffffff\n"
                                 "SigCgt:\t8000000000000202\nCapInh:\t0000000000000000\n";
    assert_true(proc_look_parse_catches(status, SIGINT));
    assert_true(proc_look_parse_catches(status, SIGUSR1));
    assert_true(proc_look_parse_catches(status, 64));
    assert_false(proc_look_parse_catches(status, SIGTERM));
    assert_false(proc_look_parse_catches(status, SIGHUP));
    assert_false(proc_look_parse_catches(status, 0));
    assert_false(proc_look_parse_catches(status, 65));
    assert_false(proc_look_parse_catches("Name:\tx\n", SIGINT));
    assert_false(proc_look_parse_catches("", SIGINT));
}

static void test_a_variable_is_found_by_its_whole_name(void **state)
{
    (void)state;
    static const char text[] = "LOCAL_RANK_X=1\0XLOCAL_RANK=2\0noise\0LOCAL_RANK=3\0EMPTY=";
    assert_string_equal(proc_look_parse_variable(text, sizeof text - 1, "LOCAL_RANK"), "3");
    assert_string_equal(proc_look_parse_variable(text, sizeof text - 1, "EMPTY"), "");
    assert_null(proc_look_parse_variable(text, sizeof text - 1, "noise"));
    assert_null(proc_look_parse_variable(text, sizeof text - 1, "LOCAL"));
    assert_null(proc_look_parse_variable("", 0, "LOCAL_RANK"));
}

/* ---- trees ---- */

/* 100 sh, waits -> 101 env, waits -> 102 python -> 103, 104 loaders; 105 has left the tree, not the
 * session; 200 is somebody else; 1 and 300 claim each other as parents. */
static struct proc_look_process list[] = {
    {.pid = 1, .parent = 300, .session = 1, .ticks = 1000},
    {.pid = 100, .parent = 1, .session = 100, .ticks = 1},
    {.pid = 101, .parent = 100, .session = 100, .ticks = 2},
    {.pid = 103, .parent = 102, .session = 103, .ticks = 4},
    {.pid = 104, .parent = 102, .session = 100, .ticks = 8},
    {.pid = 102, .parent = 101, .session = 100, .ticks = 16},
    {.pid = 105, .parent = 1, .session = 100, .ticks = 32},
    {.pid = 200, .parent = 1, .session = 200, .ticks = 64},
    {.pid = 300, .parent = 1, .session = 300, .ticks = 128},
};
static const struct proc_look tree = {.list = list, .count = sizeof list / sizeof list[0]};

/* `arg`: pids that say yes, ends with 0. */
static bool is_one_of(void *arg, const struct proc_look_process *p)
{
    for (const pid_t *pid = arg; *pid; pid++)
        if (*pid == p->pid)
            return true;
    return false;
}

static pid_t topmost(pid_t root, pid_t *pids)
{
    const struct proc_look_process *p = proc_look_topmost(&tree, root, is_one_of, pids);
    return p ? p->pid : 0;
}

static void test_the_topmost_process_is_chosen_and_none_outside_the_tree(void **state)
{
    (void)state;
    assert_int_equal(topmost(100, (pid_t[]){103, 104, 102, 0}), 102);
    assert_int_equal(topmost(100, (pid_t[]){104, 103, 0}), 103); /* the first of one level */
    assert_int_equal(topmost(100, (pid_t[]){100, 102, 0}), 100);
    assert_int_equal(topmost(100, (pid_t[]){200, 105, 1, 0}), 0);
    assert_int_equal(topmost(102, (pid_t[]){100, 101, 104, 0}), 104);
    assert_int_equal(topmost(999, (pid_t[]){999, 0}), 0);
    assert_int_equal(topmost(300, (pid_t[]){999, 0}), 0); /* a circle ends */
}

/* Counts the asked; yes for those in the list. */
struct asking {
    const pid_t *yes;
    int asked;
};

static bool count_asked(void *arg, const struct proc_look_process *p)
{
    struct asking *a = arg;
    a->asked++;
    for (const pid_t *at = a->yes; *at; at++)
        if (*at == p->pid)
            return true;
    return false;
}

static void test_what_hangs_below_a_yes_is_not_asked(void **state)
{
    (void)state;
    struct asking all = {.yes = (pid_t[]){0}}, some = {.yes = (pid_t[]){101, 0}},
                  root = {.yes = (pid_t[]){100, 0}}, other = {.yes = (pid_t[]){0}};
    proc_look_each_topmost(&tree, 100, count_asked, &all);
    proc_look_each_topmost(&tree, 100, count_asked, &some);
    proc_look_each_topmost(&tree, 100, count_asked, &root);
    proc_look_each_topmost(&tree, 999, count_asked, &other);
    assert_true(all.asked > some.asked && some.asked >= 2);
    assert_int_equal(root.asked, 1);
    assert_int_equal(other.asked, 0);
}

static void test_cpu_time_is_of_the_tree_and_of_its_session(void **state)
{
    (void)state;
    assert_int_equal(proc_look_ticks(&tree, 100), 1 + 2 + 4 + 8 + 16 + 32);
    assert_int_equal(proc_look_ticks(&tree, 102), 16 + 4 + 8); /* leads no session */
    assert_int_equal(proc_look_ticks(&tree, 999), 0);
}

static pid_t worker(pid_t root, pid_t *waiting)
{
    const struct proc_look_process *p = proc_look_worker(&tree, root, is_one_of, waiting);
    return p ? p->pid : 0;
}

static void test_shells_that_wait_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(worker(100, (pid_t[]){100, 101, 0}), 102);
    assert_int_equal(worker(100, (pid_t[]){100, 101, 102, 0}), 102); /* two children: it works */
    assert_int_equal(worker(100, (pid_t[]){101, 0}), 100);           /* does not wait */
    assert_int_equal(worker(103, (pid_t[]){103, 0}), 103);           /* has no child */
    assert_int_equal(worker(999, (pid_t[]){0}), 0);
}

/* ---- this machine ---- */

static void nothing(int signal)
{
    (void)signal;
}

/* A child that catches SIGUSR1 and has a child of its own that does too; gives its pid when both
 * are there. */
static pid_t start_family(void)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)setsid();
        (void)signal(SIGUSR1, nothing);
        if (fork() == 0)
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)!write(ready[1], "x", 1);
        for (;;)
            (void)pause();
    }
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(read(ready[0], &c, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    return child;
}

static void test_processes_of_this_machine_are_seen(void **state)
{
    (void)state;
    pid_t child = start_family();
    struct proc_look l = {0};
    int signal = SIGUSR1;
    assert_int_equal(proc_look_walk(&l), 0);
    assert_int_equal(proc_look_find(&l, child)->parent, getpid());
    assert_int_equal(proc_look_find(&l, child)->session, child);
    assert_ptr_equal(proc_look_topmost(&l, child, proc_look_catches, &signal),
                     proc_look_find(&l, child));
    signal = SIGUSR2;
    assert_null(proc_look_topmost(&l, child, proc_look_catches, &signal));
    assert_int_equal(proc_look_local_rank(child), PROC_LOOK_LOCAL_RANK_NONE);

    struct proc_look_process *p = NULL;
    for (size_t i = 0; i < l.count; i++)
        if (l.list[i].pid == child)
            p = &l.list[i];
    assert_non_null(p);
    p->start++; /* now it is another process with the same number */
    assert_false(proc_look_signal(p, SIGKILL));
    p->start--;
    assert_true(proc_look_signal(p, SIGKILL));
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(proc_look_signal(p, SIGKILL));
    proc_look_release(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stat_line_is_read_whatever_the_program_is_called),
        cmocka_unit_test(test_what_is_no_stat_line_is_not_read),
        cmocka_unit_test(test_the_mask_of_caught_signals_is_read),
        cmocka_unit_test(test_a_variable_is_found_by_its_whole_name),
        cmocka_unit_test(test_the_topmost_process_is_chosen_and_none_outside_the_tree),
        cmocka_unit_test(test_what_hangs_below_a_yes_is_not_asked),
        cmocka_unit_test(test_cpu_time_is_of_the_tree_and_of_its_session),
        cmocka_unit_test(test_shells_that_wait_are_passed_over),
        cmocka_unit_test(test_processes_of_this_machine_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
