/* Whom failures after the first step are held against: the rule of controller/poison.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "controller/poison.h"

/* A failure at step 25 of an attempt that resumed from 20, on n1, with other nodes and an older
 * checkpoint. */
static const struct poison_failure plain = {
    .charged = true,
    .step = 25,
    .resume_step = 20,
    .newest_checkpoint = 20,
    .node = "n1",
    .can_move = true,
    .has_older = true,
};

static struct trainingjob_poison record;

static int set_up(void **state)
{
    (void)state;
    record = (struct trainingjob_poison){.checkpoint_step = TRAININGJOB_NONE};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    trainingjob_clear_poison(&record);
    return 0;
}

static enum poison_verdict fails_on(const char *node, int64_t step)
{
    struct poison_failure f = plain;
    f.node = node;
    f.step = step;
    return poison_judge(&record, &f);
}

static void test_two_strikes_on_different_nodes_poison_the_checkpoint(void **state)
{
    (void)state;
    assert_int_equal(fails_on("n1", 25), POISON_NONE);
    assert_int_equal(record.checkpoint_step, 20);
    assert_int_equal(fails_on("n2", 27), POISON_GO_BACK);
    assert_true(record.went_back);
    assert_int_equal(record.strikes_count, 2);
    assert_string_equal(record.strikes[1].node, "n2");
    assert_int_equal(record.strikes[1].step, 27);
}

static void test_two_on_one_node_move_its_member_and_the_third_decides(void **state)
{
    (void)state;
    assert_int_equal(fails_on("n1", 25), POISON_NONE);
    assert_int_equal(fails_on("n1", 25), POISON_MOVE);
    assert_false(record.went_back);
    assert_int_equal(fails_on("n1", 25), POISON_GO_BACK); /* nobody else had room */
}

static void test_where_there_is_no_other_node_two_are_enough(void **state)
{
    struct poison_failure alone = plain;
    (void)state;
    alone.can_move = false;
    assert_int_equal(poison_judge(&record, &alone), POISON_NONE);
    assert_int_equal(poison_judge(&record, &alone), POISON_GO_BACK);
}

static void test_what_is_no_strike(void **state)
{
    struct poison_failure f[7];
    (void)state;
    for (int i = 0; i < 7; i++)
        f[i] = plain;
    f[0].charged = false;
    f[1].out_of_memory = true;
    f[2].step = TRAININGJOB_NONE;
    f[3].resume_step = TRAININGJOB_NONE;
    f[3].newest_checkpoint = TRAININGJOB_NONE;
    f[4].newest_checkpoint = 21;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(poison_judge(&record, &f[i]), POISON_NONE);
        assert_int_equal(record.strikes_count, 0);
    }
    /* But from the checkpoint of step 0, and at step 0, it is one. */
    f[5].resume_step = f[5].newest_checkpoint = f[5].step = 0;
    assert_int_equal(poison_judge(&record, &f[5]), POISON_NONE);
    assert_int_equal(record.strikes_count, 1);
    /* Also when the checkpoint has been damaged since. */
    f[6].newest_checkpoint = 10;
    assert_int_equal(poison_judge(&record, &f[6]), POISON_NONE);
    assert_int_equal(record.strikes_count, 1);
    assert_int_equal(record.checkpoint_step, 20);
}

static void test_strikes_against_another_checkpoint_are_forgotten(void **state)
{
    struct poison_failure newer = plain;
    (void)state;
    newer.resume_step = newer.newest_checkpoint = 30;
    newer.step = 35;
    newer.node = "n2";
    assert_int_equal(fails_on("n1", 25), POISON_NONE);
    assert_int_equal(poison_judge(&record, &newer), POISON_NONE);
    assert_int_equal(record.strikes_count, 1);
    assert_int_equal(record.checkpoint_step, 30);
}

static void poison(void)
{
    assert_int_equal(fails_on("n1", 25), POISON_NONE);
    assert_int_equal(fails_on("n2", 27), POISON_GO_BACK);
}

static enum poison_verdict older_ends_at(int64_t resume_step, int64_t step)
{
    struct poison_failure f = plain;
    f.resume_step = f.newest_checkpoint = resume_step;
    f.step = step;
    return poison_judge(&record, &f);
}

static void test_the_same_step_from_an_older_one_blames_data_or_code(void **state)
{
    (void)state;
    poison();
    assert_int_equal(older_ends_at(10, 26), POISON_NONE);
    assert_int_equal(older_ends_at(10, 0), POISON_NONE);
    assert_int_equal(older_ends_at(10, 27), POISON_DATA_OR_CODE);
    assert_int_equal(older_ends_at(10, 25), POISON_DATA_OR_CODE);
    /* From the beginning, or from one that was completed on the way: as good. */
    assert_int_equal(older_ends_at(TRAININGJOB_NONE, 25), POISON_DATA_OR_CODE);
    assert_int_equal(older_ends_at(22, 25), POISON_DATA_OR_CODE);
    /* Not from the suspect itself, which proves nothing. */
    assert_int_equal(older_ends_at(20, 25), POISON_NONE);
}

static void test_what_is_no_strike_blames_nobody(void **state)
{
    struct poison_failure f = plain;
    (void)state;
    poison();
    f.resume_step = 10;
    f.charged = false;
    assert_int_equal(poison_judge(&record, &f), POISON_NONE);
    f.charged = true;
    f.out_of_memory = true;
    assert_int_equal(poison_judge(&record, &f), POISON_NONE);
}

static void test_the_rule_goes_back_once(void **state)
{
    (void)state;
    poison();
    for (int64_t step = 30; step < 36; step++)
        assert_int_equal(older_ends_at(10, step), POISON_NONE);
    assert_int_equal(record.checkpoint_step, 20);
    assert_int_equal(record.strikes_count, 2);
}

static void test_without_an_older_one_it_goes_on_being_used(void **state)
{
    struct poison_failure only = plain;
    (void)state;
    only.has_older = only.can_move = false;
    assert_int_equal(poison_judge(&record, &only), POISON_NONE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(poison_judge(&record, &only), POISON_NO_OLDER);
    assert_false(record.went_back);
    assert_int_equal(record.strikes_count, TRAININGJOB_STRIKES_MAX);
}

static void test_a_checkpoint_after_all_strikes_clears_the_record(void **state)
{
    (void)state;
    poison();
    poison_note_checkpoint(&record, 26);
    poison_note_checkpoint(&record, 27);
    assert_int_equal(record.strikes_count, 2);
    poison_note_checkpoint(&record, 28);
    assert_int_equal(record.strikes_count, 0);
    assert_int_equal(record.checkpoint_step, TRAININGJOB_NONE);
    assert_false(record.went_back);
    poison(); /* it may happen again later */
    poison_note_checkpoint(&record, 28);
    for (int i = 0; i < 3; i++)
        (void)fails_on("n1", 25);
    assert_int_equal(record.strikes_count, 3);
    poison_note_checkpoint(&record, 26);
    assert_int_equal(record.strikes_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(test_two_strikes_on_different_nodes_poison_the_checkpoint),
        T(test_two_on_one_node_move_its_member_and_the_third_decides),
        T(test_where_there_is_no_other_node_two_are_enough),
        T(test_what_is_no_strike),
        T(test_strikes_against_another_checkpoint_are_forgotten),
        T(test_the_same_step_from_an_older_one_blames_data_or_code),
        T(test_what_is_no_strike_blames_nobody),
        T(test_the_rule_goes_back_once),
        T(test_without_an_older_one_it_goes_on_being_used),
        T(test_a_checkpoint_after_all_strikes_clears_the_record),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
