/* The real launcher looks at its ranks: who gets a signal that asks for a save, and what each rank
 * is found doing. */
#include "tests/component/launcher/harness.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"

/* Each program that catches a signal writes a file named after it, and says so when it is ready. */
static const char *const catcher =
    "import os, signal, subprocess, sys, time\n"
    "folder = os.environ['MLTRAIN_DIR']\n"
    "def mark(name): open(folder + '/' + name + '-' + os.environ['RANK'], 'w').write('x')\n"
    "def catch(name, *signals):\n"
    "    for s in signals: signal.signal(s, lambda *_: mark(name + '-got'))\n"
    "    mark(name + '-ready')\n"
    "    while True: time.sleep(0.01)\n";

static void begin(struct harness *h, uint32_t nproc)
{
    harness_begin(h);
    h->extra_environment[0] = "PYTHONPATH=" MLTRAIN_SOURCE_DIR "/sdk/python";
    h->welcome.nproc = nproc;
}

static void write_script(struct harness *h, const char *name, const char *text)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", h->dir, name);
    {
        cleanup_file FILE *file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fprintf(file, "%s%s", strcmp(name, "catcher.py") == 0 ? catcher : "", text) >
                    0);
    }
    assert_int_equal(chmod(path, 0700), 0);
}

static const struct rendezvous_save_step *order_save(struct harness *h, uint64_t attempt,
                                                     int signal)
{
    struct rendezvous_message message = {
        .type = RENDEZVOUS_CHECKPOINT_NOW,
        .attempt = attempt,
        .checkpoint_now = {
            .step = 5, .deadline_ms = 60000, .signal = (uint32_t)signal, .reason = "test"}};
    harness_send(h, &message);
    return &harness_expect(h, RENDEZVOUS_SAVE_STEP)->save_step;
}

/* Files of the folder whose name begins so. */
static int files(struct harness *h, const char *start)
{
    int count = 0;
    DIR *dir = opendir(h->dir);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += strncmp(entry->d_name, start, strlen(start)) == 0;
    (void)closedir(dir);
    return count;
}

static void await_files(struct harness *h, const char *start, int count)
{
    int64_t end = harness_now_ms() + HARNESS_WAIT_MS;
    while (files(h, start) < count && harness_now_ms() < end)
        harness_run(h, 10);
    assert_int_equal(files(h, start), count);
}

/* ---- the signal ---- */

static void test_the_topmost_process_that_catches_the_signal_gets_it_and_no_loader(void **state)
{
    (void)state;
    struct harness h;
    char command[PATH_MAX];
    begin(&h, 3);
    write_script(&h, "catcher.py",
                 "if len(sys.argv) > 1:\n"
                 "    catch('loader', signal.SIGUSR1)\n"
                 "loader = subprocess.Popen([sys.executable, __file__, 'loader'],\n"
                 "                          start_new_session=os.environ['RANK'] == '1')\n"
                 "catch('rank', signal.SIGUSR1)\n");
    /* Below a shell that waits; rank 2 has nobody who catches it, and runs on. */
    (void)snprintf(command, sizeof command,
                   "if test $RANK = 2; then sleep 300; else python3 %s/catcher.py; fi; true",
                   h.dir);
    harness_launch(&h, (const char *const[]){"/bin/sh", "-c", command, NULL});
    uint64_t attempt = harness_start_ranks(&h);
    await_files(&h, "rank-ready", 2);
    await_files(&h, "loader-ready", 2);
    const struct rendezvous_save_step *answer = order_save(&h, attempt, SIGUSR1);
    assert_int_equal(answer->caught, 2);
    assert_int_equal(answer->asking, 0);
    await_files(&h, "rank-got", 2);
    assert_int_equal(files(&h, "loader-got"), 0);
    assert_false(harness_sees(&h, RENDEZVOUS_RANK_EXIT, 0));
    harness_end(&h);
}

static void test_a_rank_that_asks_by_libmltrain_gets_no_signal(void **state)
{
    (void)state;
    struct harness h;
    char script[PATH_MAX];
    begin(&h, 2);
    write_script(&h, "catcher.py",
                 "import mltrain\n"
                 "if os.environ['RANK'] == '0': mltrain.should_save(1)\n"
                 "catch('rank', signal.SIGTERM)\n");
    (void)snprintf(script, sizeof script, "%s/catcher.py", h.dir);
    harness_launch(&h, (const char *const[]){"python3", script, NULL});
    uint64_t attempt = harness_start_ranks(&h);
    await_files(&h, "rank-ready", 2);
    const struct rendezvous_save_step *answer = order_save(&h, attempt, SIGTERM);
    assert_int_equal(answer->caught, 1);
    assert_int_equal(answer->asking, 1);
    await_files(&h, "rank-got-1", 1);
    assert_int_equal(files(&h, "rank-got-0"), 0);
    harness_end(&h);
}

/* What torch's own does: a handler that ends the workers, and a marker in their environment. */
static const char *const torchrun =
    "#!/usr/bin/env python3\n"
    "import os, signal, subprocess, sys, time\n"
    "workers = []\n"
    "def end(*_):\n"
    "    open(os.environ['MLTRAIN_DIR'] + '/torchrun-got', 'w')\n"
    "    for w in workers: w.kill()\n"
    "    sys.exit(1)\n"
    "signal.signal(signal.SIGTERM, end)\n"
    "for i in range(int(os.environ['PET_NPROC_PER_NODE'])):\n"
    "    env = dict(os.environ, LOCAL_RANK=str(i), RANK=str(i), "
    "TORCHELASTIC_USE_AGENT_STORE='False')\n"
    "    workers.append(subprocess.Popen([sys.executable, sys.argv[1]], env=env))\n"
    "for w in workers: w.wait()\n";

static void test_the_ranks_below_torchrun_get_the_signal_and_torchrun_does_not(void **state)
{
    (void)state;
    struct harness h;
    char command[PATH_MAX], script[PATH_MAX];
    begin(&h, 3);
    h.welcome.framework = "pytorch";
    write_script(&h, "torchrun", torchrun);
    write_script(&h, "catcher.py",
                 "import mltrain\n"
                 "if os.environ['RANK'] == '2': mltrain.report(12)\n"
                 "catch('rank', signal.SIGTERM)\n");
    (void)snprintf(command, sizeof command, "%s/torchrun", h.dir);
    (void)snprintf(script, sizeof script, "%s/catcher.py", h.dir);
    harness_launch(&h, (const char *const[]){command, script, NULL});
    uint64_t attempt = harness_start_ranks(&h);
    await_files(&h, "rank-ready", 3);
    assert_int_equal(order_save(&h, attempt, SIGTERM)->caught, 3);
    await_files(&h, "rank-got", 3);
    assert_int_equal(files(&h, "torchrun-got"), 0);

    harness_send(&h, &(struct rendezvous_message){.type = RENDEZVOUS_EXAMINE, .attempt = attempt});
    const struct rendezvous_evidence_report *report =
        &harness_expect(&h, RENDEZVOUS_EVIDENCE)->evidence;
    assert_int_equal(report->ranks_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(report->ranks[i].local_rank, i);
        assert_int_equal(report->ranks[i].step, i == 2 ? 12 : RENDEZVOUS_NO_STEP);
    }
    harness_end(&h);
}

/* ---- looking ---- */

static void test_a_rank_is_found_doing_what_it_does(void **state)
{
    (void)state;
    struct harness h;
    begin(&h, 4);
    /* 0 stands still, 1 computes, 2 sleeps below a shell that waits, 3 is gone. */
    harness_launch(&h, (const char *const[]){"/bin/sh", "-c",
                                             "case $RANK in\n"
                                             "0) exec python3 -c 'import mltrain, os, signal\n"
                                             "mltrain.report(12, 100)\n"
                                             "os.kill(os.getpid(), signal.SIGSTOP)';;\n"
                                             "1) while :; do :; done;;\n"
                                             "2) sleep 300; true;;\n"
                                             "3) exit 0;;\n"
                                             "esac",
                                             NULL});
    uint64_t attempt = harness_start_ranks(&h);
    (void)harness_expect(&h, RENDEZVOUS_RANK_EXIT);
    (void)harness_expect(&h, RENDEZVOUS_PROGRESS);
    const struct rendezvous_evidence_report *report;
    do { /* until rank 0 has stopped itself */
        harness_send(&h,
                     &(struct rendezvous_message){.type = RENDEZVOUS_EXAMINE, .attempt = attempt});
        report = &harness_expect(&h, RENDEZVOUS_EVIDENCE)->evidence;
        assert_int_equal(report->ranks_count, 3);
    } while (report->ranks[0].state != 'T');
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(report->ranks[i].local_rank, i);
    assert_int_equal(report->ranks[0].step, 12);
    assert_int_equal(report->ranks[0].busy_permille, 0);
    assert_int_equal(report->ranks[1].state, 'R');
    assert_int_equal(report->ranks[1].step, RENDEZVOUS_NO_STEP);
    assert_in_range(report->ranks[1].busy_permille, 1, 1500);
    assert_true(report->ranks[1].cpu_ms > 0);
    assert_int_equal(report->ranks[2].state, 'S');
    assert_string_not_equal(report->ranks[2].wait_channel,
                            "do_wait");              /* the sleep, not its shell */
    assert_true(report->ranks[2].silent_ms >= 1000); /* it was looked at for so long */
    harness_await_text(&h, "out", "rank 0: state T, waits in ");
    harness_await_text(&h, "out", "0 % busy, last step 12, silent for ");
    harness_await_text(&h, "out", "last step none told");
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_topmost_process_that_catches_the_signal_gets_it_and_no_loader),
        cmocka_unit_test(test_a_rank_that_asks_by_libmltrain_gets_no_signal),
        cmocka_unit_test(test_the_ranks_below_torchrun_get_the_signal_and_torchrun_does_not),
        cmocka_unit_test(test_a_rank_is_found_doing_what_it_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
