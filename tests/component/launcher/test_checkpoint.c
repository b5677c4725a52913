/* The real launcher and a checkpoint folder: what it says of formats and tracker files, and what it
 * changes when the job asks for it. */
#include "tests/component/launcher/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

static char folder[128];

static void begin(struct harness *h)
{
    harness_begin(h);
    (void)snprintf(folder, sizeof folder, "%s/ckpt", h->dir);
    assert_int_equal(mkdir(folder, 0700), 0);
    h->welcome.checkpoint_path = folder;
    h->welcome.checkpoint_format = "auto";
    h->welcome.watch_checkpoints = true;
    h->welcome.takes_notices = true;
}

static void launch(struct harness *h)
{
    harness_launch(h, (const char *const[]){"/bin/sh", "-c", "sleep 300; true", NULL});
}

static void put(const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    cleanup_file FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
}

static bool exists(const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static void put_dcp(const char *step)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s/__0_0.distcp", step);
    put(name, "a whole shard");
    (void)snprintf(name, sizeof name, "%s/.metadata", step);
    put(name, "\x80\x04 __0_0.distcp .");
}

static void expect_notice(struct harness *h, const char *reason, const char *words)
{
    const struct rendezvous_notice *n = &harness_expect(h, RENDEZVOUS_NOTICE)->notice;
    if (strcmp(n->reason, reason) != 0 || !strstr(n->words, words))
        fail_msg("expected %s with `%s`, got %s: %s", reason, words, n->reason, n->words);
}

/* Waits for a report of these: earlier ones may be told again. */
static void expect_steps(struct harness *h, int64_t complete, int64_t torn)
{
    const struct rendezvous_checkpoint_report *r;
    do
        r = &harness_expect(h, RENDEZVOUS_CHECKPOINT)->checkpoint;
    while ((r->checkpoints_count ? r->checkpoints[0].step : RENDEZVOUS_NO_STEP) != complete ||
           r->torn_step != torn);
}

static void test_torn_checkpoints_are_renamed_before_a_start_when_the_job_asks(void **state)
{
    (void)state;
    struct harness h;
    begin(&h);
    h.welcome.checkpoint_repair = true;
    put_dcp("checkpoint-10");
    put("checkpoint-20/trainer_state.json", "{\"global_step\": ");
    put("checkpoint-30/__0_0.distcp", "its metadata never came");
    launch(&h);
    expect_notice(&h, "CheckpointFormat",
                  "/checkpoint-10` is taken for a checkpoint of format dcp");
    expect_notice(&h, "CheckpointRepaired", "`checkpoint-30.torn-1`");
    expect_notice(&h, "CheckpointRepaired", "`checkpoint-20.torn-1`");
    expect_steps(&h, 10, RENDEZVOUS_NO_STEP); /* what is there after it */
    assert_true(exists("checkpoint-10/.metadata"));
    assert_true(exists("checkpoint-20.torn-1/trainer_state.json"));
    assert_true(exists("checkpoint-30.torn-1/__0_0.distcp"));
    assert_false(exists("checkpoint-30"));
    uint64_t attempt = harness_start_ranks(&h);
    put("checkpoint-40/__0_0.distcp", "being saved"); /* while ranks run nothing is touched */
    expect_steps(&h, 10, 40);
    assert_true(exists("checkpoint-40"));
    harness_send_stop(&h, attempt, 0, 0);
    expect_notice(&h, "CheckpointRepaired", "`checkpoint-40.torn-2`");
    (void)harness_expect(&h, RENDEZVOUS_READY);
    assert_false(exists("checkpoint-40"));
    harness_end(&h);
}

static void test_without_repair_nothing_is_renamed_and_a_wrong_tracker_file_is_told(void **state)
{
    (void)state;
    struct harness h;
    begin(&h);
    h.welcome.checkpoint_format = "deepspeed";
    put("global_step20/mp_rank_00_model_states.pt", "no zip, as some engines write");
    put("latest", "global_step30");
    launch(&h);
    expect_notice(&h, "CheckpointTracker",
                  "the file `latest` names a checkpoint that is not there: `global_step30`");
    expect_steps(&h, 20, RENDEZVOUS_NO_STEP);
    (void)harness_start_ranks(&h);
    assert_true(exists("latest"));
    assert_false(exists("latest.torn-1"));
    harness_end(&h);
}

static void test_a_shard_that_was_cut_between_two_attempts_is_not_resumed_from(void **state)
{
    (void)state;
    struct harness h;
    char path[256];
    begin(&h);
    put_dcp("step-10");
    put_dcp("step-20");
    launch(&h);
    expect_steps(&h, 20, RENDEZVOUS_NO_STEP);
    uint64_t attempt = harness_start_ranks(&h);
    harness_send_stop(&h, attempt, 0, 0);
    attempt = harness_start_ranks(&h);
    (void)snprintf(path, sizeof path, "%s/step-20/__0_0.distcp", folder);
    assert_int_equal(truncate(path, 5), 0);
    harness_send_stop(&h, attempt, 0, 0);
    expect_steps(&h, 10, 20);
    harness_end(&h);
}

static void test_what_is_damaged_or_deleted_while_start_is_awaited_is_told(void **state)
{
    (void)state;
    struct harness h;
    char path[256];
    begin(&h);
    put_dcp("step-10");
    put_dcp("step-20");
    launch(&h);
    expect_steps(&h, 20, RENDEZVOUS_NO_STEP);
    (void)harness_expect(&h, RENDEZVOUS_READY);
    (void)snprintf(path, sizeof path, "%s/step-20/__0_0.distcp", folder);
    assert_int_equal(truncate(path, 5), 0);
    expect_steps(&h, 10, 20);
    (void)snprintf(path, sizeof path, "rm -r '%s'/step-*", folder);
    assert_int_equal(system(path), 0);
    expect_steps(&h, RENDEZVOUS_NO_STEP, RENDEZVOUS_NO_STEP);
    harness_end(&h);
}

static void test_a_plain_file_rests_by_a_marker_that_nobody_sees_afterwards(void **state)
{
    (void)state;
    struct harness h;
    char command[256];
    begin(&h);
    h.welcome.checkpoint_pattern = "ckpt-{step}.bin";
    launch(&h);
    uint64_t attempt = harness_start_ranks(&h);
    put("ckpt-7.bin", "it proves nothing");
    expect_steps(&h, 7, RENDEZVOUS_NO_STEP);
    harness_send_stop(&h, attempt, 0, 0);
    (void)harness_expect(&h, RENDEZVOUS_READY); /* it rests: no look makes a marker any more */
    (void)snprintf(command, sizeof command, "cd '%s' && test \"$(ls -A)\" = ckpt-7.bin", folder);
    assert_int_equal(system(command), 0);
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torn_checkpoints_are_renamed_before_a_start_when_the_job_asks),
        cmocka_unit_test(test_without_repair_nothing_is_renamed_and_a_wrong_tracker_file_is_told),
        cmocka_unit_test(test_a_shard_that_was_cut_between_two_attempts_is_not_resumed_from),
        cmocka_unit_test(test_what_is_damaged_or_deleted_while_start_is_awaited_is_told),
        cmocka_unit_test(test_a_plain_file_rests_by_a_marker_that_nobody_sees_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
