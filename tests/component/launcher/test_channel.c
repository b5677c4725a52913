/* The real launcher and its controller: joining, fencing, lost channels, the held port,
 * checkpoints. */
#include "tests/component/launcher/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

#define SH(text) ((const char *const[]){"/bin/sh", "-c", text, NULL})

static void test_hello_says_who_it_is(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_launch(&h, SH("true"));
    struct rendezvous_message *hello = harness_expect(&h, RENDEZVOUS_HELLO);
    assert_int_equal(hello->attempt, 0);
    assert_string_equal(hello->hello.role, "worker");
    assert_string_equal(hello->hello.node, "node001");
    assert_string_equal(hello->hello.address, "127.0.0.1");
    assert_int_equal(hello->hello.state, RENDEZVOUS_STATE_IDLE);
    assert_int_equal(harness_expect(&h, RENDEZVOUS_READY)->attempt, 1);
    harness_end(&h);
}

static void test_ranks_survive_a_lost_channel_and_hello_repairs_what_was_lost(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.welcome.nproc = 2;
    char script[256];
    (void)snprintf(
        script, sizeof script,
        "echo up; test $RANK = 1 && { until test -e %s/go; do sleep 0.02; done; exit 9; }; "
        "sleep 300",
        h.dir);
    harness_launch(&h, SH(script));
    (void)harness_expect(&h, RENDEZVOUS_HELLO);
    struct rendezvous_message *ready = harness_expect(&h, RENDEZVOUS_READY);
    h.start.world_size = 2;
    harness_send_start(&h, ready->attempt);
    struct rendezvous_message *started = harness_expect(&h, RENDEZVOUS_STARTED);
    harness_stop_server(&h);
    char go[128];
    (void)snprintf(go, sizeof go, "%s/go", h.dir);
    (void)close(open(go, O_CREAT | O_WRONLY, 0600));
    harness_run(&h, 500); /* rank 1 ends while nobody listens */
    assert_true(harness_is_alive((pid_t)started->started.pids[0]));
    harness_start_server(&h);
    struct rendezvous_message *hello = harness_expect(&h, RENDEZVOUS_HELLO);
    assert_int_equal(hello->attempt, 1);
    assert_int_equal(hello->hello.state, RENDEZVOUS_STATE_RUNNING);
    assert_int_equal(hello->hello.running, 1);
    assert_int_equal(hello->hello.exits_count, 1);
    assert_int_equal(hello->hello.exits[0].rank, 1);
    assert_int_equal(hello->hello.exits[0].code, 9);
    assert_true(hello->hello.start_digest != 0);
    assert_true(harness_is_alive((pid_t)started->started.pids[0]));
    harness_end(&h);
}

static void test_a_stale_start_is_refused_and_the_ranks_stay(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_launch(&h, SH("sleep 300; true"));
    (void)harness_start_ranks(&h);
    h.start.lease_transitions = 0; /* a controller that no longer leads */
    harness_send_start(&h, 2);
    h.start.lease_transitions = 1;
    harness_send_start(&h, 3); /* not stopped, so not ready */
    h.start.resume_step = 7;
    harness_send_start(&h, 1); /* another START for the same attempt */
    assert_false(harness_sees(&h, RENDEZVOUS_STARTED, 300));
    assert_false(harness_sees(&h, RENDEZVOUS_RANK_EXIT, 0));
    cleanup_free char *err = harness_file(&h, "out", NULL);
    const char *first = strstr(err, "refused START");
    assert_non_null(first);
    assert_null(strstr(first + 1, "refused")); /* told once, counted afterwards */
    harness_end(&h);
}

static void test_each_attempt_has_its_own_port_and_number_in_the_same_launcher(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.welcome.framework = "pytorch";
    harness_launch(&h,
                   SH("echo $MLTRAIN_ATTEMPT $TORCHELASTIC_RESTART_COUNT $MASTER_PORT; sleep 300"));
    uint16_t ports[5];
    for (uint64_t attempt = 1; attempt <= 5; attempt++) {
        assert_int_equal(harness_start_ranks(&h), attempt);
        ports[attempt - 1] = h.start.master_port;
        char line[64];
        (void)snprintf(line, sizeof line, "[r0 a%llu] %llu %llu %u\n", (unsigned long long)attempt,
                       (unsigned long long)attempt, (unsigned long long)attempt - 1,
                       h.start.master_port);
        harness_await_text(&h, "out", line);
        harness_send_stop(&h, attempt, 0, 0);
        (void)harness_expect(&h, RENDEZVOUS_STOPPED);
    }
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            assert_int_not_equal(ports[i], ports[j]);
    harness_end(&h);
}

static void test_a_final_refusal_ends_the_launcher_with_143(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.silent = true;
    harness_launch(&h, SH("true"));
    (void)harness_expect(&h, RENDEZVOUS_HELLO);
    struct rendezvous_message refused = {.type = RENDEZVOUS_REFUSED,
                                         .refused = {.reason = "another pod", .final = true}};
    harness_send(&h, &refused);
    assert_int_equal(harness_exit_code(&h), 143);
    harness_end(&h);
}

static int bind_port(int family, uint16_t port, bool reuse)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    assert_true(fd >= 0);
    if (reuse)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int rc = family == AF_INET6 ? bind(fd, (struct sockaddr *)&v6, sizeof v6)
                                : bind(fd, (struct sockaddr *)&v4, sizeof v4);
    if (rc == 0)
        return fd;
    (void)close(fd);
    return -errno;
}

static void test_the_held_port_is_nobody_elses_and_the_ranks_own(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.welcome.framework = "pytorch";
    harness_launch(&h, SH("sleep 300; true"));
    (void)harness_start_ranks(&h);
    uint16_t port = h.start.master_port;
    for (int i = 0; i < 5000; i++) {
        int fd = bind_port(i % 2 ? AF_INET6 : AF_INET, 0, false);
        struct sockaddr_in6 got;
        socklen_t length = sizeof got;
        assert_true(fd >= 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&got, &length), 0);
        assert_int_not_equal(ntohs(got.sin6_port), port); /* the same place in sockaddr_in */
        (void)close(fd);
    }
    assert_int_equal(bind_port(AF_INET, port, false), -EADDRINUSE);
    int fd = bind_port(AF_INET6, port, true); /* as TCPStore does it */
    assert_true(fd >= 0);
    assert_int_equal(listen(fd, 16), 0);
    (void)close(fd);
    harness_end(&h);
}

static void test_for_plain_ranks_the_port_is_free_when_they_run(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_launch(&h, SH("sleep 300; true"));
    (void)harness_start_ranks(&h);
    int fd = bind_port(AF_INET, h.start.master_port, false);
    assert_true(fd >= 0);
    (void)close(fd);
    harness_end(&h);
}

static void write_text(struct harness *h, const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", h->dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_an_images_openssl_configuration_does_not_reach_the_channel(void **state)
{
    (void)state;
    struct harness h;
    char variable[128];
    harness_begin(&h);
    write_text(&h, "openssl.cnf",
               "openssl_conf = c\n[c]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\n"
               "MaxProtocol = TLSv1.2\nCipherString = NULL\n");
    (void)snprintf(variable, sizeof variable, "OPENSSL_CONF=%s/openssl.cnf", h.dir);
    h.extra_environment[0] = variable;
    harness_launch(&h, SH("echo $OPENSSL_CONF"));
    (void)harness_start_ranks(&h);
    harness_await_text(&h, "out", "openssl.cnf\n"); /* but the ranks keep it */
    harness_end(&h);
}

static void make_dcp(struct harness *h, const char *step, bool torn)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/ckpt/%s", h->dir, step);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "ckpt/%s/__0_0.distcp", step);
    write_text(h, path, "shard");
    (void)snprintf(path, sizeof path, "ckpt/%s/.metadata", step);
    write_text(h, path, torn ? "\x80\x04 __0_0.distcp __1_0.distcp ." : "\x80\x04 __0_0.distcp .");
}

static void test_checkpoints_are_told_before_ready_and_while_ranks_run(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/ckpt", h.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    make_dcp(&h, "step-10", false);
    make_dcp(&h, "step-20", true);
    h.welcome.checkpoint_path = path;
    h.welcome.checkpoint_format = "dcp";
    h.welcome.watch_checkpoints = true;
    harness_launch(&h, SH("sleep 300; true"));
    struct rendezvous_message *first = harness_expect(&h, RENDEZVOUS_CHECKPOINT);
    assert_int_equal(first->checkpoint.checkpoints_count, 1);
    assert_int_equal(first->checkpoint.checkpoints[0].step, 10);
    assert_int_equal(first->checkpoint.torn_step, 20);
    uint64_t attempt = harness_start_ranks(&h);
    make_dcp(&h, "step-30", false);
    struct rendezvous_message *second = harness_expect(&h, RENDEZVOUS_CHECKPOINT);
    assert_int_equal(second->checkpoint.checkpoints[0].step, 30);
    /* One that is finished right before the stop is told before READY, without waiting for a tick.
     */
    make_dcp(&h, "step-40", false);
    harness_send_stop(&h, attempt, 0, 0);
    (void)harness_expect(&h, RENDEZVOUS_READY);
    struct rendezvous_message *last = harness_expect(&h, RENDEZVOUS_CHECKPOINT);
    assert_int_equal(last->checkpoint.checkpoints[0].step, 40);
    assert_int_equal(last->checkpoint.checkpoints_count, 3);
    harness_end(&h);
}

static void test_progress_is_read_from_the_output_and_told_once_a_second(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    h.welcome.progress_pattern = "step[ =:]+(?<step>\\d+)";
    h.welcome.total_steps = 500;
    harness_launch(&h,
                   SH("i=0; while test $i -lt 120; do i=$((i+1)); echo step $i; sleep 0.02; done"));
    (void)harness_start_ranks(&h);
    struct rendezvous_message *first = harness_expect(&h, RENDEZVOUS_PROGRESS);
    assert_in_range(first->progress.step, 1, 120);
    assert_int_equal(first->progress.total_steps, 500);
    (void)harness_expect(&h, RENDEZVOUS_RANK_EXIT);
    int64_t step = first->progress.step;
    int reports = 1;
    while (harness_sees(&h, RENDEZVOUS_PROGRESS, 0)) {
        struct rendezvous_message *more = harness_expect(&h, RENDEZVOUS_PROGRESS);
        assert_true(more->progress.step > step);
        step = more->progress.step;
        reports++;
    }
    assert_int_equal(step, 120); /* the last step is known when the rank's end is */
    assert_in_range(reports, 2, 6);
    harness_end(&h);
}

static void test_environment_that_is_missing_or_wrong_is_named_and_ends_with_64(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *words;
    } rows[] = {
        {"MLTRAIN_CHANNEL=controller:7070", "MLTRAIN_CHANNEL `controller:7070`: IP:port expected"},
        {"MLTRAIN_KEY_FILE=/no/such/key", "MLTRAIN_KEY_FILE `/no/such/key`: No such file"},
        {"MLTRAIN_SLOT=x", "MLTRAIN_SLOT: "},
        {"MLTRAIN_JOB=", "MLTRAIN_JOB is not set"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        char command[512];
        (void)snprintf(command, sizeof command,
                       "echo 01234567890123456789012345678901 | head -c 32 > /tmp/launcher-key-%d; "
                       "env -i MLTRAIN_CHANNEL=127.0.0.1:1 MLTRAIN_KEY_FILE=/tmp/launcher-key-%d "
                       "MLTRAIN_JOB=j MLTRAIN_NAMESPACE=n MLTRAIN_JOB_UID=u MLTRAIN_ROLE=w "
                       "MLTRAIN_POD_UID=p MLTRAIN_SLOT=0 '%s' %s/mltrain-launcher run -- true 2>&1",
                       (int)getpid(), (int)getpid(), rows[i].variable, MLTRAIN_BIN_DIR);
        FILE *pipe = popen(command, "r");
        char text[1024] = "";
        assert_non_null(pipe);
        size_t n = fread(text, 1, sizeof text - 1, pipe);
        text[n] = '\0';
        int status = pclose(pipe);
        assert_int_equal(WEXITSTATUS(status), 64);
        if (!strstr(text, rows[i].words))
            fail_msg("%s: %s", rows[i].variable, text);
    }
    char key[64];
    (void)snprintf(key, sizeof key, "/tmp/launcher-key-%d", (int)getpid());
    (void)unlink(key);
}

static void test_copy_makes_a_program_that_runs(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    char command[1280], text[64] = "";
    (void)snprintf(command, sizeof command,
                   "%s/mltrain-launcher copy %s/new/bin && cd %s/new/bin && "
                   "test \"$(stat -c %%a mltrain-launcher mltrain-helper | xargs)\" = '755 755' && "
                   "test \"$(find . -type f | sort | xargs)\" = "
                   "'./mltrain-helper ./mltrain-launcher ./python/mltrain/__init__.py "
                   "./python/mltrain/nccl.py' && "
                   "./mltrain-helper --version >/dev/null && "
                   "diff -r python/mltrain %s/sdk/python/mltrain -x __pycache__ && "
                   "./mltrain-launcher --version",
                   MLTRAIN_BIN_DIR, h.dir, h.dir, MLTRAIN_SOURCE_DIR);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(text, sizeof text, pipe));
    assert_int_equal(pclose(pipe), 0);
    assert_memory_equal(text, "mltrain-launcher ", 17);
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_says_who_it_is),
        cmocka_unit_test(test_ranks_survive_a_lost_channel_and_hello_repairs_what_was_lost),
        cmocka_unit_test(test_a_stale_start_is_refused_and_the_ranks_stay),
        cmocka_unit_test(test_each_attempt_has_its_own_port_and_number_in_the_same_launcher),
        cmocka_unit_test(test_a_final_refusal_ends_the_launcher_with_143),
        cmocka_unit_test(test_the_held_port_is_nobody_elses_and_the_ranks_own),
        cmocka_unit_test(test_for_plain_ranks_the_port_is_free_when_they_run),
        cmocka_unit_test(test_an_images_openssl_configuration_does_not_reach_the_channel),
        cmocka_unit_test(test_checkpoints_are_told_before_ready_and_while_ranks_run),
        cmocka_unit_test(test_progress_is_read_from_the_output_and_told_once_a_second),
        cmocka_unit_test(test_environment_that_is_missing_or_wrong_is_named_and_ends_with_64),
        cmocka_unit_test(test_copy_makes_a_program_that_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
