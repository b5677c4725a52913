/* The real launcher and programs that use libmltrain, in C and in Python: steps told become
 * progress, all ranks save one step, and nobody who connects can do harm. */
#include "tests/component/launcher/harness.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "sdk/mltrain.h"

#define STEP_PAUSE_US 10000

static char self[PATH_MAX]; /* this program, which is a rank too */

/* ---- ranks in C ---- */

static void save_mark(int64_t step)
{
    char name[PATH_MAX];
    (void)snprintf(name, sizeof name, "%s/saved-%s", getenv("MLTRAIN_DIR"), getenv("RANK"));
    cleanup_file FILE *file = fopen(name, "we");
    if (file)
        (void)fprintf(file, "step %lld.\n", (long long)step);
}

static int be_rank(const char *what)
{
    if (strcmp(what, "report") == 0) {
        char go[PATH_MAX];
        (void)snprintf(go, sizeof go, "%s/go", getenv("MLTRAIN_DIR"));
        mltrain_report(7, 100);
        while (access(go, F_OK) < 0)
            (void)usleep(STEP_PAUSE_US);
        (void)puts("step 900");
        (void)fflush(stdout);
        mltrain_report(8, 100);
        return 0;
    }
    if (strcmp(what, "commit") == 0) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/step-14.bin", getenv("MLTRAIN_CHECKPOINT_DIR"));
        FILE *file = fopen(path, "we");
        if (!file || fputs("weights", file) < 0 || fclose(file) != 0 ||
            mltrain_checkpoint_committed(14, path) != 0)
            return 1;
        for (;;)
            (void)pause();
    }
    if (strcmp(what, "ask") == 0)
        for (int64_t step = 1;; step++) {
            mltrain_report(step, 0);
            if (mltrain_should_save(MLTRAIN_LAST_STEP))
                save_mark(step);
            (void)usleep(STEP_PAUSE_US);
        }
    if (strcmp(what, "fork") == 0) { /* parent and child ask at once: each has its own answers */
        mltrain_report(1, 0);
        pid_t child = fork();
        for (int64_t step = 1; step < 200; step++)
            if (mltrain_should_save(step))
                _exit(1);
        int status = 0;
        if (child == 0)
            _exit(0);
        return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
    }
    return 2;
}

/* ---- the test's side ---- */

static const char *const python_path = "PYTHONPATH=" MLTRAIN_SOURCE_DIR "/sdk/python";

static void begin(struct harness *h, uint32_t nproc)
{
    harness_begin(h);
    h->extra_environment[0] = python_path;
    h->welcome.nproc = nproc;
}

static void launch_python(struct harness *h, const char *script)
{
    harness_launch(h, (const char *const[]){"python3", "-c", script, NULL});
}

static void launch_rank(struct harness *h, const char *what)
{
    harness_launch(h, (const char *const[]){self, what, NULL});
}

static void expect_clean_exits(struct harness *h, uint32_t ranks)
{
    for (uint32_t i = 0; i < ranks; i++) {
        const struct rendezvous_exit *exit =
            &harness_expect(h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
        if (exit->code || exit->signal)
            fail_msg("code %d, signal %d: %s", exit->code, exit->signal, exit->tail);
    }
}

static void await_progress(struct harness *h, int64_t step)
{
    for (;;) {
        const struct rendezvous_progress *progress =
            &harness_expect(h, RENDEZVOUS_PROGRESS)->progress;
        if (progress->step >= step)
            return;
    }
}

static void make_file(struct harness *h, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", h->dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static void order_save(struct harness *h, uint64_t attempt, int64_t step, bool confirmed,
                       int signal)
{
    struct rendezvous_message message = {.type = RENDEZVOUS_CHECKPOINT_NOW,
                                         .attempt = attempt,
                                         .checkpoint_now = {.step = step,
                                                            .confirmed = confirmed,
                                                            .deadline_ms = 60000,
                                                            .signal = (uint32_t)signal,
                                                            .reason = "test"}};
    harness_send(h, &message);
}

/* ---- steps ---- */

static void test_reports_are_progress_without_a_pattern_and_win_over_one(void **state)
{
    (void)state;
    static const char *const patterns[] = {"", "step (\\d+)"};
    for (size_t i = 0; i < 2; i++) {
        struct harness h;
        begin(&h, 1);
        h.welcome.progress_pattern = patterns[i];
        launch_rank(&h, "report");
        (void)harness_start_ranks(&h);
        await_progress(&h, 7);
        make_file(&h, "go");
        expect_clean_exits(&h, 1);
        int64_t last = RENDEZVOUS_NO_STEP, total = 0;
        for (size_t m = 0; m < h.count; m++)
            if (h.messages[m].type == RENDEZVOUS_PROGRESS) {
                last = h.messages[m].progress.step;
                total = h.messages[m].progress.total_steps;
            }
        assert_int_equal(last, 8);
        assert_int_equal(total, 100);
        harness_end(&h);
    }
}

static void test_python_reports_with_an_attempt_and_a_place_to_go_on_from(void **state)
{
    (void)state;
    struct harness h;
    begin(&h, 1);
    h.start.resume_step = 40;
    h.start.resume_path = "/ckpt/step-40";
    launch_python(&h, "import mltrain\n"
                      "assert mltrain.attempt() == 1, mltrain.attempt()\n"
                      "assert mltrain.resume() == (40, '/ckpt/step-40'), mltrain.resume()\n"
                      "assert not mltrain.should_save()\n"
                      "mltrain.report(41, 50)\n"
                      "assert not mltrain.should_save() and not mltrain.should_save(42)\n");
    (void)harness_start_ranks(&h);
    expect_clean_exits(&h, 1);
    await_progress(&h, 41);
    harness_end(&h);
}

/* ---- saving ---- */

/* Proposes later and later steps, as the controller does, until no rank has passed one. */
static int64_t agree(struct harness *h, uint64_t attempt, uint32_t asking, int64_t step)
{
    for (;;) {
        order_save(h, attempt, step, false, SIGUSR1);
        const struct rendezvous_save_step *answer =
            &harness_expect(h, RENDEZVOUS_SAVE_STEP)->save_step;
        if (answer->proposed != step || answer->asking < asking)
            continue;
        if (!answer->passed)
            return step;
        step = answer->reached + 2;
    }
}

/* Rank 0 in C and rank 1 in Python ask at each step; saved-R says at which one they were to save.
 */
static void launch_both(struct harness *h)
{
    char command[PATH_MAX + 1024];
    (void)snprintf(command, sizeof command,
                   "if test $RANK = 0; then exec %s ask; fi; exec python3 -c \""
                   "import mltrain, os, time\n"
                   "step = 0\n"
                   "while True:\n"
                   "    step += 1\n"
                   "    mltrain.report(step)\n"
                   "    if mltrain.should_save():\n"
                   "        open(os.environ['MLTRAIN_DIR'] + '/saved-1', 'w').write(f'step "
                   "{step}.')\n"
                   "    time.sleep(0.02)\n\"",
                   self);
    harness_launch(h, (const char *const[]){"/bin/sh", "-c", command, NULL});
}

static void expect_both_save(struct harness *h, int64_t step)
{
    harness_await_text(h, "saved-0", "."); /* the whole line */
    harness_await_text(h, "saved-1", ".");
    cleanup_free char *first = harness_file(h, "saved-0", NULL);
    cleanup_free char *second = harness_file(h, "saved-1", NULL);
    long long in_c = -1, in_python = -2;
    assert_int_equal(sscanf(first, "step %lld.", &in_c), 1);
    assert_int_equal(sscanf(second, "step %lld.", &in_python), 1);
    assert_int_equal(in_c, step);
    assert_int_equal(in_python, step);
}

static void test_all_ranks_save_one_step_whatever_they_are_written_in(void **state)
{
    (void)state;
    struct harness h;
    begin(&h, 2);
    launch_both(&h);
    uint64_t attempt = harness_start_ranks(&h);
    await_progress(&h, 3);
    int64_t step = agree(&h, attempt, 2, 5);
    order_save(&h, attempt, step, true, SIGUSR1);
    expect_both_save(&h, step);
    harness_end(&h);
}

/* Else the others would save, and wait for this launcher's ranks in vain. */
static void test_who_was_not_answered_asks_again_when_the_launcher_runs_again(void **state)
{
    (void)state;
    struct harness h;
    begin(&h, 2);
    launch_both(&h);
    uint64_t attempt = harness_start_ranks(&h);
    await_progress(&h, 3);
    assert_int_equal(kill(h.pid, SIGSTOP), 0);
    (void)usleep((MLTRAIN_ASK_MS + 1000) * 1000); /* the ranks wait no longer */
    assert_int_equal(kill(h.pid, SIGCONT), 0);
    await_progress(&h, 500); /* far above what had been told before */
    int64_t step = agree(&h, attempt, 2, 505);
    order_save(&h, attempt, step, true, SIGUSR1);
    expect_both_save(&h, step);
    harness_end(&h);
}

/* The newest complete step in a report that names it; its path below the folder in `path`. */
static void await_checkpoint(struct harness *h, int64_t step, const char *path)
{
    for (;;) {
        const struct rendezvous_checkpoint_report *report =
            &harness_expect(h, RENDEZVOUS_CHECKPOINT)->checkpoint;
        if (report->checkpoints_count == 0 || report->checkpoints[0].step != step)
            continue;
        size_t length = strlen(report->checkpoints[0].path);
        assert_true(length > strlen(path));
        assert_string_equal(report->checkpoints[0].path + length - strlen(path), path);
        return;
    }
}

static void test_a_committed_checkpoint_is_complete(void **state)
{
    (void)state;
    static const char script[] =
        "import mltrain, os, time\n"
        "path = os.environ['MLTRAIN_CHECKPOINT_DIR'] + '/runs/step-12'\n"
        "os.makedirs(path + '/parts')\n"
        "for name in 'a', 'parts/b c': open(path + '/' + name, 'w').write(name)\n"
        "mltrain.checkpoint_committed(12, path)\n"
        "time.sleep(300)\n";
    char folder[128];
    for (int in_python = 0; in_python < 2; in_python++) {
        struct harness h;
        begin(&h, 1);
        (void)snprintf(folder, sizeof folder, "%s/checkpoints", h.dir);
        assert_int_equal(mkdir(folder, 0700), 0);
        h.welcome.checkpoint_path = folder;
        h.welcome.checkpoint_format = "libmltrain";
        h.welcome.watch_checkpoints = true;
        if (in_python)
            launch_python(&h, script);
        else
            launch_rank(&h, "commit");
        (void)harness_start_ranks(&h);
        await_checkpoint(&h, in_python ? 12 : 14,
                         in_python ? "/checkpoints/runs/step-12" : "/checkpoints/step-14.bin");
        harness_await_text(&h, "out", "rank 0 has committed the checkpoint of step 1");
        harness_end(&h);
    }
}

/* ---- who may speak ---- */

static void test_a_program_of_another_attempt_or_rank_is_refused_in_words(void **state)
{
    (void)state;
    struct harness h;
    begin(&h, 1);
    harness_launch(
        &h, (const char *const[]){"/bin/sh", "-c",
                                  "for i in 'MLTRAIN_ATTEMPT=9' 'LOCAL_RANK=1'; do env $i python3 "
                                  "-c 'import mltrain\n"
                                  "mltrain.report(77)\n"
                                  "assert not mltrain.should_save()\n"
                                  "mltrain.report(78)'; done; exit 0",
                                  NULL});
    (void)harness_start_ranks(&h);
    expect_clean_exits(&h, 1);
    harness_await_text(&h, "out", "refused hello: attempt 9 (MLTRAIN_ATTEMPT): 1 runs");
    harness_await_text(&h, "out", "refused hello: rank 1 (LOCAL_RANK): 0 to 0 expected");
    assert_false(harness_sees(&h, RENDEZVOUS_PROGRESS, 0));
    harness_end(&h);
}

static void test_a_forked_child_has_a_connection_of_its_own(void **state)
{
    (void)state;
    struct harness h;
    begin(&h, 1);
    launch_rank(&h, "fork");
    (void)harness_start_ranks(&h);
    expect_clean_exits(&h, 1);
    harness_end(&h);

    begin(&h, 1);
    launch_python(&h, "import mltrain, os, sys\n"
                      "mltrain.ASK_SECONDS = 60\n"
                      "mltrain.report(1)\n"
                      "child = os.fork()\n"
                      "for step in range(1, 200):\n"
                      "    assert not mltrain.should_save(step)\n"
                      "    assert mltrain._client.socket is not None\n"
                      "if child:\n"
                      "    sys.exit(os.waitpid(child, 0)[1] != 0)\n");
    (void)harness_start_ranks(&h);
    expect_clean_exits(&h, 1);
    harness_end(&h);
}

static void test_threads_and_signal_handlers_may_call_at_any_moment(void **state)
{
    (void)state;
    struct harness h;
    begin(&h, 1);
    launch_python(&h, "import mltrain, signal, threading\n"
                      "mltrain.ASK_SECONDS = 60\n"
                      "calls = []\n"
                      "def arm(): signal.setitimer(signal.ITIMER_REAL, 0.001)\n"
                      "def handler(*_):\n" /* one at a time, or they would pile up */
                      "    mltrain.report(5); calls.append(mltrain.should_save(5)); arm()\n"
                      "signal.signal(signal.SIGALRM, handler)\n"
                      "arm()\n"
                      "def ask():\n"
                      "    for step in range(300): assert not mltrain.should_save(step)\n"
                      "threads = [threading.Thread(target=ask) for _ in range(4)]\n"
                      "for t in threads: t.start()\n"
                      "ask()\n"
                      "for t in threads: t.join()\n"
                      "while not calls: pass\n"
                      "signal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
                      "assert not any(calls) and mltrain._client.socket is not None\n");
    (void)harness_start_ranks(&h);
    expect_clean_exits(&h, 1);
    harness_end(&h);
}

/* ---- strangers ---- */

static int connect_to(struct harness *h)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/sdk.sock", h->dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* What the launcher says until it closes. */
static void expect_refusal(int fd, const char *words)
{
    char text[1024] = "";
    size_t length = 0;
    ssize_t n = 1;
    while (n > 0 && length < sizeof text - 1) {
        n = recv(fd, text + length, sizeof text - 1 - length, 0);
        length += n > 0 ? (size_t)n : 0;
    }
    text[length] = '\0';
    if (!strstr(text, "refused ") || !strstr(text, words))
        fail_msg("`refused %s` expected, got `%s`", words, text);
    (void)close(fd);
}

static void send_text(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, text, length, MSG_NOSIGNAL);
        if (n < 0)
            return; /* it was closed in the middle of it */
        text += n;
        length -= (size_t)n;
    }
}

static void test_strangers_on_the_socket_do_no_harm(void **state)
{
    (void)state;
    struct harness h;
    static char junk[1 << 20];
    int idle[600];
    begin(&h, 1);
    launch_python(&h, "import mltrain, time, os\n"
                      "while not os.path.exists(os.environ['MLTRAIN_DIR'] + '/go'):\n"
                      "    time.sleep(0.01)\n"
                      "mltrain.COME_BACK_SECONDS = 0\n"
                      "while not mltrain._client.socket:\n" /* open when it was answered */
                      "    mltrain.report(3)\n"
                      "    assert not mltrain.should_save()\n");
    (void)harness_start_ranks(&h);
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", "none of the protocol"},
        {"ask 1\n", "hello is the first line"},
        {"hello 2 0 1\n", "version"},
        {"hello 1 0 1\nhello 1 0 1\n", "second hello"},
        {"hello 1 0 1\nask x\n", "none of the protocol"},
        {"hello 1 0 2\n", "attempt 2"},
        {"hello 1 1 1\n", "rank 1"},
        {"hello 1 99999999999 1\n", "rank 99999999999"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = connect_to(&h);
        send_text(fd, rows[i].text, strlen(rows[i].text));
        expect_refusal(fd, rows[i].words);
    }
    memset(junk, 'x', sizeof junk);
    int fd = connect_to(&h);
    send_text(fd, junk, sizeof junk);
    expect_refusal(fd, "none of the protocol");
    for (size_t i = 0; i < 600; i++) { /* more than it takes */
        idle[i] = connect_to(&h);
        send_text(idle[i], "hel", 3);
    }
    fd = connect_to(&h);
    send_text(fd, "hello 1 0 1\n", 12);
    assert_int_equal(recv(fd, junk, sizeof junk, 0) > 0, false); /* closed without a word */
    (void)close(fd);
    make_file(&h, "go");
    for (size_t i = 0; i < 600; i++)
        (void)close(idle[i]);
    expect_clean_exits(&h, 1);
    await_progress(&h, 3);
    harness_end(&h);
}

static void test_a_launcher_that_stands_still_holds_up_nobody_who_reports(void **state)
{
    (void)state;
    struct harness h;
    begin(&h, 1);
    launch_python(&h, "import mltrain, os, time\n"
                      "folder = os.environ['MLTRAIN_DIR']\n"
                      "mltrain.ASK_SECONDS = 0.1\n"
                      "mltrain.report(1)\n"
                      "open(folder + '/first', 'w').write('x')\n"
                      "while not os.path.exists(folder + '/stopped'): time.sleep(0.01)\n"
                      "for step in range(100000): mltrain.report(step)\n"
                      "assert not mltrain.should_save()\n"
                      "open(folder + '/done', 'w').write('x')\n");
    (void)harness_start_ranks(&h);
    harness_await_text(&h, "first", "x");
    assert_int_equal(kill(h.pid, SIGSTOP), 0);
    make_file(&h, "stopped");
    harness_await_text(&h, "done", "x");
    assert_int_equal(kill(h.pid, SIGCONT), 0);
    expect_clean_exits(&h, 1);
    harness_end(&h);
}

/* The order was there first, and the rank, which waits no longer, has gone past its step. */
static void test_a_launcher_that_wakes_hears_its_ranks_before_it_agrees_to_a_save(void **state)
{
    (void)state;
    struct harness h;
    char go[4];
    begin(&h, 1);
    launch_python(&h, "import signal; signal.pause()\n");
    uint64_t attempt = harness_start_ranks(&h);
    int fd = connect_to(&h);
    send_text(fd, "hello 1 0 1\nask 3\n", 18);
    assert_int_equal(recv(fd, go, sizeof go, 0), 3);
    assert_int_equal(kill(h.pid, SIGSTOP), 0);
    order_save(&h, attempt, 4, false, SIGUSR1);
    harness_run(&h, 50);
    send_text(fd, "ask 4\nreport 5 0\nreport 6 0\n", 28);
    assert_int_equal(kill(h.pid, SIGCONT), 0);
    const struct rendezvous_save_step *answer =
        &harness_expect(&h, RENDEZVOUS_SAVE_STEP)->save_step;
    assert_int_equal(answer->proposed, 4);
    assert_true(answer->passed);
    assert_int_equal(answer->reached, 6);
    (void)close(fd);
    harness_end(&h);
}

static void test_without_a_socket_ranks_run_all_the_same(void **state)
{
    (void)state;
    struct harness h;
    begin(&h, 1);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/sdk.sock", h.dir);
    assert_int_equal(mkdir(path, 0700), 0); /* the name is taken by a folder */
    launch_python(&h, "import mltrain, os\n"
                      "assert os.environ['MLTRAIN_SOCKET'] == ''\n"
                      "mltrain.report(1)\n"
                      "assert not mltrain.should_save()\n");
    (void)harness_start_ranks(&h);
    expect_clean_exits(&h, 1);
    harness_await_text(&h, "out", "no socket for libmltrain");
    harness_end(&h);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reports_are_progress_without_a_pattern_and_win_over_one),
        cmocka_unit_test(test_python_reports_with_an_attempt_and_a_place_to_go_on_from),
        cmocka_unit_test(test_all_ranks_save_one_step_whatever_they_are_written_in),
        cmocka_unit_test(test_who_was_not_answered_asks_again_when_the_launcher_runs_again),
        cmocka_unit_test(test_a_committed_checkpoint_is_complete),
        cmocka_unit_test(test_a_program_of_another_attempt_or_rank_is_refused_in_words),
        cmocka_unit_test(test_a_forked_child_has_a_connection_of_its_own),
        cmocka_unit_test(test_threads_and_signal_handlers_may_call_at_any_moment),
        cmocka_unit_test(test_strangers_on_the_socket_do_no_harm),
        cmocka_unit_test(test_a_launcher_that_stands_still_holds_up_nobody_who_reports),
        cmocka_unit_test(test_a_launcher_that_wakes_hears_its_ranks_before_it_agrees_to_a_save),
        cmocka_unit_test(test_without_a_socket_ranks_run_all_the_same),
    };
    if (argc > 1)
        return be_rank(argv[1]);
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
