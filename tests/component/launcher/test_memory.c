/* The real launcher and the kernel's out-of-memory killer. Needs a writable cgroup version 1 memory
 * controller; version 2 is tested by fixtures (tests/unit/launcher/test_small.c). */
#include "tests/component/launcher/harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

#define CONTROLLER "/sys/fs/cgroup/memory"

static char cgroup[128];

static int write_to(const char *file, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", cgroup, file);
    cleanup_file FILE *f = fopen(path, "we");
    return f && fputs(text, f) >= 0 && fflush(f) == 0 ? 0 : -1;
}

static void test_a_rank_that_takes_too_much_memory_is_told_from_one_that_is_killed(void **state)
{
    (void)state;
    char procs[256];
    struct harness h;
    harness_begin(&h);
    (void)snprintf(procs, sizeof procs, "%s/cgroup.procs", cgroup);
    h.cgroup = procs;
    h.welcome.nproc = 2;
    harness_launch(&h, (const char *const[]){"/bin/sh", "-c",
                                             "test $RANK = 1 && exec sleep 300; "
                                             "exec python3 -c 'b = bytearray(1 << 30)'",
                                             NULL});
    struct rendezvous_message *ready = harness_expect(&h, RENDEZVOUS_READY);
    h.start.world_size = h.start.role_world_size = 2;
    harness_send_start(&h, ready->attempt);
    struct rendezvous_message *started = harness_expect(&h, RENDEZVOUS_STARTED);
    struct rendezvous_exit *exit = &harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
    assert_int_equal(exit->rank, 0);
    assert_int_equal(exit->signal, SIGKILL);
    assert_int_equal(exit->cause, RENDEZVOUS_CAUSE_OUT_OF_MEMORY);
    /* The same signal later, and the counter stands still. */
    assert_int_equal(kill((pid_t)started->started.pids[1], SIGKILL), 0);
    exit = &harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
    assert_int_equal(exit->rank, 1);
    assert_int_equal(exit->cause, RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE);
    harness_send_exit(&h, 0);
    assert_int_equal(harness_exit_code(&h), 0);
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rank_that_takes_too_much_memory_is_told_from_one_that_is_killed),
    };
    (void)snprintf(cgroup, sizeof cgroup, CONTROLLER "/mltrain-launcher-test-%d", (int)getpid());
    if (mkdir(cgroup, 0700) < 0 || write_to("memory.limit_in_bytes", "67108864") < 0) {
        (void)printf("skipped: no memory cgroup can be made in " CONTROLLER ": %s\n",
                     strerror(errno));
        (void)rmdir(cgroup);
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < 100 && rmdir(cgroup) < 0 && errno == EBUSY; i++)
        (void)usleep(20000);
    return failed;
}
