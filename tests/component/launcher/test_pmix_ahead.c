/* The real launcher starts the real mltrain-helper before START, as the pod that its slot makes it.
 */
#include "tests/component/launcher/harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

static const char *const ranks[] = {"sh", "-c", "echo pmix rank $PMIX_RANK; exec sleep 100", NULL};

static bool has_pmix(void)
{
    static const char *const files[] = {"/usr/lib/x86_64-linux-gnu/libpmix.so.2",
                                        "/usr/lib/aarch64-linux-gnu/libpmix.so.2"};
    return access(files[0], R_OK) == 0 || access(files[1], R_OK) == 0;
}

/* The launcher's first child that is a helper; 0: none. */
static pid_t helper_of(const struct harness *h)
{
    char path[64], comm[32];
    int pid, found = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)h->pid, (int)h->pid);
    cleanup_file FILE *children = fopen(path, "re");
    while (!found && children && fscanf(children, "%d", &pid) == 1) {
        (void)snprintf(path, sizeof path, "/proc/%d/comm", pid);
        cleanup_file FILE *file = fopen(path, "re");
        if (file && fscanf(file, "%31s", comm) == 1 && strcmp(comm, "mltrain-helper") == 0)
            found = pid;
    }
    return found;
}

/* A launcher of slot 0 with 2 ranks that waits for START; gives its helper. */
static pid_t begin(struct harness *h)
{
    if (!has_pmix())
        skip();
    harness_begin(h);
    h->welcome.framework = "mpi";
    h->welcome.wireup = RENDEZVOUS_WIREUP_PMIX;
    h->welcome.nproc = 2;
    harness_launch(h, ranks);
    struct rendezvous_message *ready = harness_expect(h, RENDEZVOUS_READY);
    h->start.master_port = ready->ready.port;
    pid_t helper = 0;
    for (int64_t end = harness_now_ms() + h->wait_ms; !helper && harness_now_ms() < end;) {
        harness_run(h, 10);
        helper = helper_of(h);
    }
    assert_true(helper > 0);
    return helper;
}

static void start(struct harness *h, uint32_t node_rank)
{
    h->start.node_rank = node_rank;
    h->start.nodes = 2;
    h->start.rank_base = node_rank * 2;
    h->start.world_size = h->start.role_world_size = 4;
    harness_send_start(h, 1);
    (void)harness_expect(h, RENDEZVOUS_STARTED);
}

static void test_the_helper_that_was_there_before_start_serves(void **state)
{
    (void)state;
    struct harness h;
    pid_t helper = begin(&h);
    start(&h, 0);
    harness_await_text(&h, "out", "pmix rank 0");
    harness_await_text(&h, "out", "pmix rank 1");
    assert_int_equal(helper_of(&h), helper);
    harness_end(&h);
}

static void test_another_place_than_the_slots_gets_a_new_helper(void **state)
{
    (void)state;
    struct harness h;
    pid_t helper = begin(&h);
    start(&h, 1);
    harness_await_text(&h, "out", "pmix rank 2");
    harness_await_text(&h, "out", "pmix rank 3");
    while (harness_is_alive(helper)) /* it is told to end, and ends when it can */
        harness_run(&h, 10);
    assert_true(helper_of(&h) > 0);
    harness_end(&h);
}

static void test_a_helper_that_has_died_before_start_is_replaced(void **state)
{
    (void)state;
    struct harness h;
    pid_t helper = begin(&h);
    (void)kill(helper, SIGKILL);
    while (harness_is_alive(helper))
        harness_run(&h, 10);
    harness_run(&h, 200);
    start(&h, 0);
    harness_await_text(&h, "out", "pmix rank 1");
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_helper_that_was_there_before_start_serves),
        cmocka_unit_test(test_another_place_than_the_slots_gets_a_new_helper),
        cmocka_unit_test(test_a_helper_that_has_died_before_start_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
