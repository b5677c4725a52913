/* checkpoint.repair: what is renamed, what is written, and that nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "folder.h"
#include "lib/base/cleanup.h"

static struct checkpoint_report report;

/* One round as before a start of attempt 3: look, judge, change. Returns how many were changed. */
static uint32_t round_of(struct folder *f, const char *format, struct checkpoint_memory *memory,
                         int *ret_error)
{
    struct checkpoint_scan_spec spec = {.path = f->dir, .format = format, .pattern = ""};
    *ret_error = 0;
    (void)folder_look(f, format, "");
    checkpoint_scan_judge(memory, &spec, folder_answer(), folder_answer_count(),
                          CHECKPOINT_WRITERS_KILLED, 0, INT64_MAX / 2, &report);
    if (!checkpoint_repair_is_needed(&report.repair))
        return 0;
    report.repair.attempt = 3;
    return checkpoint_repair_do(&spec, &report.repair, ret_error);
}

/* Until nothing is left to be changed. */
static void repair(struct folder *f, const char *format)
{
    struct checkpoint_memory memory = {0};
    for (int i = 0; i < CHECKPOINT_REPAIR_ROUNDS; i++) {
        int error;
        uint32_t changed = round_of(f, format, &memory, &error);
        assert_int_equal(error, 0);
        if (changed == 0)
            return;
    }
    fail_msg("no end to it");
}

static void put_huggingface(struct folder *f, int step, bool whole)
{
    char name[64], text[64];
    (void)snprintf(name, sizeof name, "checkpoint-%d/model.safetensors", step);
    folder_put_safetensors(f, name);
    (void)snprintf(name, sizeof name, "checkpoint-%d/trainer_state.json", step);
    (void)snprintf(text, sizeof text, "{\"global_step\": %d}", step);
    if (whole)
        folder_put_text(f, name, text);
}

static void test_the_trainer_finds_a_complete_checkpoint_when_it_looks_by_itself(void **state)
{
    (void)state;
    struct folder f;
    char name[64];
    folder_init(&f);
    put_huggingface(&f, 5, false); /* older than the newest complete one: in nobody's way */
    put_huggingface(&f, 10, true);
    for (int step = 20; step <= 220; step += 10) /* more than one look tells of */
        put_huggingface(&f, step, false);
    repair(&f, "auto");
    assert_true(folder_has(&f, "checkpoint-5"));
    assert_true(folder_has(&f, "checkpoint-10"));
    for (int step = 20; step <= 220; step += 10) {
        (void)snprintf(name, sizeof name, "checkpoint-%d", step);
        assert_false(folder_has(&f, name));
        (void)snprintf(name, sizeof name, "checkpoint-%d.torn-3/model.safetensors", step);
        assert_true(folder_has(&f, name));
    }
    folder_release(&f);
}

static void put_deepspeed(struct folder *f, const char *tag)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s/mp_rank_00_model_states.pt", tag);
    folder_put_torch(f, name, "dp_world_size 1, mp_world_size 1");
}

static void test_a_tracker_file_says_the_newest_complete_one(void **state)
{
    (void)state;
    static const struct {
        const char *what, *latest; /* NULL: missing */
        bool torn;
    } rows[] = {
        {"to nothing", "global_step40", false},
        {"to a torn one", "global_step30", true},
        {"empty", "", false},
        {"missing", NULL, false},
        {"no name", "a\nb", false},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct folder f;
        folder_init(&f);
        put_deepspeed(&f, "global_step10");
        put_deepspeed(&f, "global_step20");
        put_deepspeed(&f, "global_step30");
        folder_cut(&f, "global_step30/mp_rank_00_model_states.pt", 1);
        if (rows[i].latest)
            folder_put_text(&f, "latest", rows[i].latest);
        repair(&f, "deepspeed");
        assert_false(folder_has(&f, "global_step30"));
        assert_true(folder_has(&f, "global_step30.torn-3"));
        if (strcmp(folder_text(&f, "latest"), "global_step20") != 0)
            fail_msg("%s: %s", rows[i].what, folder_text(&f, "latest"));
        assert_string_equal(folder_text(&f, "latest.torn-3"), rows[i].latest ? rows[i].latest : "");
        assert_string_equal(folder_look(&f, "deepspeed", ""),
                            "20 global_step20 deepspeed complete, "
                            "10 global_step10 deepspeed complete");
        folder_release(&f);
    }
}

static void test_megatrons_tracker_file_says_an_iteration(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    folder_put_torch(&f, "iter_0000010/mp_rank_00/model_optim_rng.pt", "");
    folder_put_text(&f, "latest_checkpointed_iteration.txt", "20");
    repair(&f, "megatron");
    assert_string_equal(folder_text(&f, "latest_checkpointed_iteration.txt"), "10");
    assert_string_equal(folder_text(&f, "latest_checkpointed_iteration.txt.torn-3"), "20");
    folder_release(&f);
}

static void test_a_tracker_file_without_any_complete_checkpoint_gets_out_of_the_way(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    folder_put_text(&f, "latest", "global_step40");
    repair(&f, "deepspeed");
    assert_false(folder_has(&f, "latest"));
    assert_string_equal(folder_text(&f, "latest.torn-3"), "global_step40");
    folder_release(&f);
}

static void test_files_of_others_are_left_alone(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    folder_put_text(&f, "latest", "some/other thing");
    folder_put_text(&f, "runs-50/events.log", "x");
    folder_put_text(&f, "notes-7.txt", "x");
    folder_put_dcp(&f, "step-10");
    repair(&f, "auto");
    assert_string_equal(folder_text(&f, "latest"), "some/other thing");
    assert_true(folder_has(&f, "runs-50/events.log"));
    assert_true(folder_has(&f, "notes-7.txt"));
    assert_true(folder_has(&f, "step-10/.metadata"));
    folder_release(&f);
}

static void test_nothing_is_ever_overwritten(void **state)
{
    (void)state;
    struct folder f;
    struct checkpoint_memory memory = {0};
    int error;
    folder_init(&f);
    folder_put_text(&f, "step-10/__0_0.distcp", "new");
    folder_put_text(&f, "step-10.torn-3/__0_0.distcp", "old");
    assert_int_equal(round_of(&f, "dcp", &memory, &error), 0);
    assert_int_equal(error, EEXIST);
    assert_string_equal(folder_text(&f, "step-10/__0_0.distcp"), "new");
    assert_string_equal(folder_text(&f, "step-10.torn-3/__0_0.distcp"), "old");
    folder_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_trainer_finds_a_complete_checkpoint_when_it_looks_by_itself),
        cmocka_unit_test(test_a_tracker_file_says_the_newest_complete_one),
        cmocka_unit_test(test_megatrons_tracker_file_says_an_iteration),
        cmocka_unit_test(test_a_tracker_file_without_any_complete_checkpoint_gets_out_of_the_way),
        cmocka_unit_test(test_files_of_others_are_left_alone),
        cmocka_unit_test(test_nothing_is_ever_overwritten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
