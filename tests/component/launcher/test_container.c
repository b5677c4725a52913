/* The real launcher as PID 1 of a PID namespace, as in a container. Needs the right to make one. */
#include "tests/component/launcher/harness.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

#define SH(text) ((const char *const[]){"/bin/sh", "-c", text, NULL})

static pid_t pid_in(struct harness *h, const char *name)
{
    harness_await_text(h, name, "\n");
    cleanup_free char *text = harness_file(h, name, NULL);
    return (pid_t)strtol(text, NULL, 10);
}

static bool is_child_of_pid_1(pid_t pid)
{
    char path[64], text[512] = "";
    int parent = -1;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    cleanup_file FILE *file = fopen(path, "re");
    return file && fgets(text, sizeof text, file) &&
           sscanf(strrchr(text, ')') + 1, " %*c %d", &parent) == 1 && parent == 1;
}

static void test_pid_1_removes_what_its_ranks_leave_and_spares_exec_sessions(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.as_pid_1 = true;
    char script[512], command[512];
    (void)snprintf(script, sizeof script,
                   "echo x > /dev/shm/left; "
                   "setsid sh -c 'setsid sleep 300 & echo $! > %s/orphan' & sleep 300",
                   h.dir);
    harness_launch(&h, SH(script));
    assert_int_equal(system("echo x > /dev/shm/before && sleep 0.05"), 0);
    uint64_t attempt = harness_start_ranks(&h);
    pid_t doomed = pid_in(&h, "orphan");
    /* From now on our children are born into the launcher's PID namespace, and /proc shows it: just
     * as with kubectl exec. This one starts a process in a session of its own and ends. */
    (void)snprintf(command, sizeof command,
                   "setsid sleep 300 > /dev/null 2>&1 < /dev/null & echo $! > %s/session", h.dir);
    assert_int_equal(system(command), 0);
    pid_t spared = pid_in(&h, "session");
    harness_run(&h, 200);
    assert_true(is_child_of_pid_1(spared) && is_child_of_pid_1(doomed));
    harness_send_stop(&h, attempt, 0, 0);
    assert_false(harness_expect(&h, RENDEZVOUS_STOPPED)->stopped.unkillable);
    assert_false(harness_is_alive(doomed));
    assert_true(harness_is_alive(spared));
    /* And READY means that the attempt's shared memory is gone, but nobody else's. */
    (void)harness_expect(&h, RENDEZVOUS_READY);
    assert_int_equal(access("/dev/shm/left", F_OK), -1);
    assert_int_equal(access("/dev/shm/before", F_OK), 0);
    harness_send_exit(&h, 3);
    assert_int_equal(harness_exit_code(&h), 3);
    harness_end(&h);
}

static int may_make_namespaces(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC) == 0 &&
                      access("/usr/bin/nsenter", X_OK) == 0
                  ? 0
                  : 1);
    int status = 1;
    (void)waitpid(pid, &status, 0);
    return status == 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pid_1_removes_what_its_ranks_leave_and_spares_exec_sessions),
    };
    if (!may_make_namespaces()) {
        (void)printf("skipped: making a PID namespace is not allowed here\n");
        return 77;
    }
    /* In a child that ends by _exit(): once PID 1 is gone no process can be made any more, not even
     * the leak checker's own at exit. */
    pid_t pid = fork();
    if (pid == 0) {
        int failed = cmocka_run_group_tests(tests, NULL, NULL);
        (void)fflush(NULL);
        _exit(failed);
    }
    int status = 1;
    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
