/* What the launcher tells people through the controller, once each. */
#include "tests/component/launcher/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

static void begin(struct harness *h)
{
    harness_begin(h);
    h->welcome.takes_notices = true;
    h->welcome.watch_checkpoints = true; /* it speaks for all */
}

static void launch_sleeper(struct harness *h)
{
    harness_launch(h, (const char *const[]){"/bin/sh", "-c", "sleep 300; true", NULL});
}

static void expect_notice(struct harness *h, enum rendezvous_severity severity, const char *reason,
                          const char *words)
{
    const struct rendezvous_notice *n = &harness_expect(h, RENDEZVOUS_NOTICE)->notice;
    if (n->severity != severity || strcmp(n->reason, reason) != 0 || !strstr(n->words, words))
        fail_msg("expected %s with `%s`, got %s: %s", reason, words, n->reason, n->words);
    harness_await_text(h, "out", n->words); /* our own log has it too */
}

static void test_what_is_wrong_with_the_job_is_told_when_it_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *format, *pattern, *path, *progress;
        enum rendezvous_severity severity;
        const char *reason, *words;
    } rows[] = {
        {"a progress pattern that does not compile", "", "", "", "step (",
         RENDEZVOUS_SEVERITY_WARNING, "InvalidProgressPattern", "closing parenthesis"},
        {"an unknown checkpoint format", "zip", "", "/tmp", "", RENDEZVOUS_SEVERITY_WARNING,
         "CheckpointFormat", "checkpoint format `zip`: auto, libmltrain, dcp, deepspeed"},
        {"a folder that is not there yet", "auto", "", "/no/such/folder", "",
         RENDEZVOUS_SEVERITY_NORMAL, "CheckpointFolder", "`/no/such/folder` does not exist in this pod"},
        {"a folder that is a file", "auto", "", "/proc/self/status", "",
         RENDEZVOUS_SEVERITY_WARNING, "CheckpointFolder", "cannot be read: Not a directory"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct harness h;
        begin(&h);
        print_message("%s\n", rows[i].sentence);
        h.welcome.checkpoint_format = rows[i].format;
        h.welcome.checkpoint_pattern = rows[i].pattern;
        h.welcome.checkpoint_path = rows[i].path;
        h.welcome.progress_pattern = rows[i].progress;
        launch_sleeper(&h);
        expect_notice(&h, rows[i].severity, rows[i].reason, rows[i].words);
        (void)harness_start_ranks(&h); /* the ranks run all the same */
        harness_restart_server(&h);    /* another WELCOME, another look: nothing new */
        (void)harness_expect(&h, RENDEZVOUS_HELLO);
        assert_false(harness_sees(&h, RENDEZVOUS_NOTICE, 1300));
        harness_end(&h);
    }
}

static void test_names_that_had_to_give_way_are_told_once(void **state)
{
    (void)state;
    struct harness h;
    begin(&h);
    h.welcome.framework = "pytorch";
    h.extra_environment[0] = "RANK=99";
    h.extra_environment[1] = "SLURM_JOB_ID=7";
    launch_sleeper(&h);
    uint64_t attempt = harness_start_ranks(&h);
    expect_notice(&h, RENDEZVOUS_SEVERITY_WARNING, "ReservedEnvironment", "overridden: RANK");
    expect_notice(&h, RENDEZVOUS_SEVERITY_NORMAL, "ForeignEnvironment", ": SLURM_JOB_ID");
    harness_send_stop(&h, attempt, 0, 0);
    (void)harness_start_ranks(&h);
    assert_false(harness_sees(&h, RENDEZVOUS_NOTICE, 300));
    harness_end(&h);
}

static void test_a_progress_pattern_that_takes_too_long_is_given_up_and_told(void **state)
{
    (void)state;
    struct harness h;
    begin(&h);
    h.welcome.progress_pattern = "(a+)+b(?<step>\\d+)";
    harness_launch(&h, (const char *const[]){"/bin/sh", "-c",
                                             "i=0; while test $i -lt 150; do i=$((i+1));"
                                             "echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaacb; done;"
                                             "sleep 300; true",
                                             NULL});
    (void)harness_start_ranks(&h);
    expect_notice(&h, RENDEZVOUS_SEVERITY_WARNING, "ProgressPatternGivenUp", "it is given up");
    harness_end(&h);
}

static void test_what_is_the_same_everywhere_is_told_by_one_member(void **state)
{
    (void)state;
    struct harness h;
    begin(&h);
    h.welcome.watch_checkpoints = false;
    h.welcome.progress_pattern = "step (";
    h.extra_environment[0] = "RANK=99";
    launch_sleeper(&h);
    (void)harness_start_ranks(&h);
    harness_await_text(&h, "out", "closing parenthesis");
    harness_await_text(&h, "out", "overridden: RANK");
    assert_false(harness_sees(&h, RENDEZVOUS_NOTICE, 200));
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wrong_with_the_job_is_told_when_it_is_known),
        cmocka_unit_test(test_names_that_had_to_give_way_are_told_once),
        cmocka_unit_test(test_a_progress_pattern_that_takes_too_long_is_given_up_and_told),
        cmocka_unit_test(test_what_is_the_same_everywhere_is_told_by_one_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
