/* From which checkpoint the next attempt resumes, and when that costs steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "controller/checkpoint_choice.h"

static int64_t choose(const struct trainingjob_status *s,
                      const struct trainingjob_checkpoint *reports, unsigned count)
{
    return checkpoint_choose(s, reports, count, true).step;
}

static void test_the_newest_that_is_there_and_not_skipped_is_chosen(void **state)
{
    struct trainingjob_status s;
    struct trainingjob_checkpoint reports[] = {{.step = 30}, {.step = 20}, {.step = 10}};
    char first[] = "/a";
    struct trainingjob_checkpoint mixed[] = {{.step = 10}, {.step = 30}, {.step = 20}};
    (void)state;
    trainingjob_status_init(&s);
    assert_int_equal(choose(&s, reports, 3), 30);
    assert_int_equal(choose(&s, mixed, 3), 30);
    assert_int_equal(choose(&s, reports, 0), TRAININGJOB_NONE);
    trainingjob_skip_checkpoint(&s, 30);
    assert_int_equal(choose(&s, reports, 3), 20);
    assert_int_equal(choose(&s, mixed, 3), 20);
    struct trainingjob_checkpoint zero = {.step = 0};
    assert_int_equal(choose(&s, &zero, 1), 0);
    struct trainingjob_checkpoint from_zero[] = {{.step = 30}, {.step = 0}, {.step = 30}};
    assert_int_equal(choose(&s, from_zero, 3), 0);
    struct trainingjob_checkpoint twice[] = {{.step = 20, .path = first}, {.step = 20}};
    assert_ptr_equal(checkpoint_choose(&s, twice, 2, true).path, first);
    trainingjob_status_release(&s);
}

static void test_a_job_does_not_begin_anew_while_there_is_any(void **state)
{
    struct trainingjob_status s;
    struct trainingjob_checkpoint reports[] = {{.step = 30}, {.step = 20}};
    (void)state;
    trainingjob_status_init(&s);
    trainingjob_skip_checkpoint(&s, 20);
    trainingjob_skip_checkpoint(&s, 30);
    assert_int_equal(choose(&s, reports, 2), 30);
    struct trainingjob_checkpoint one = {.step = 20};
    assert_int_equal(choose(&s, &one, 1), 20);
    trainingjob_status_release(&s);
}

static void test_until_a_launcher_has_looked_the_status_is_believed(void **state)
{
    struct trainingjob_status s;
    (void)state;
    trainingjob_status_init(&s);
    assert_int_equal(checkpoint_choose(&s, NULL, 0, false).step, TRAININGJOB_NONE);
    s.checkpoint.step = 40;
    assert_int_equal(checkpoint_choose(&s, NULL, 0, false).step, 40);
    /* The folder is the truth: 40 is torn, and there is no other. */
    assert_int_equal(checkpoint_choose(&s, NULL, 0, true).step, TRAININGJOB_NONE);
    trainingjob_skip_checkpoint(&s, 40);
    assert_int_equal(checkpoint_choose(&s, NULL, 0, false).step, 40);
    trainingjob_status_release(&s);
}

static void test_older_means_before_and_not_skipped(void **state)
{
    struct trainingjob_status s;
    struct trainingjob_checkpoint reports[] = {{.step = 30}, {.step = 20}};
    (void)state;
    trainingjob_status_init(&s);
    assert_true(checkpoint_has_older(&s, reports, 2, 30));
    assert_false(checkpoint_has_older(&s, reports, 2, 20));
    assert_true(checkpoint_has_older(&s, reports, 2, 21));
    assert_false(checkpoint_has_older(&s, reports, 0, 30));
    trainingjob_skip_checkpoint(&s, 20);
    assert_false(checkpoint_has_older(&s, reports, 2, 30));
    trainingjob_status_release(&s);
}

static void test_lost_is_what_was_complete_and_is_not_chosen(void **state)
{
    struct trainingjob_status s;
    (void)state;
    trainingjob_status_init(&s);
    assert_int_equal(checkpoint_lost(&s, TRAININGJOB_NONE, TRAININGJOB_NONE), TRAININGJOB_NONE);
    assert_int_equal(checkpoint_lost(&s, 0, TRAININGJOB_NONE), 0);
    assert_int_equal(checkpoint_lost(&s, 40, 30), 40);
    assert_int_equal(checkpoint_lost(&s, 40, 40), TRAININGJOB_NONE);
    assert_int_equal(checkpoint_lost(&s, 40, 50), TRAININGJOB_NONE);
    s.recovery.resume_step = 35;
    assert_int_equal(checkpoint_lost(&s, TRAININGJOB_NONE, 30), 35);
    assert_int_equal(checkpoint_lost(&s, 40, 30), 40);
    assert_int_equal(checkpoint_lost(&s, 32, 30), 35);
    assert_int_equal(checkpoint_lost(&s, 35, 35), TRAININGJOB_NONE);
    trainingjob_skip_checkpoint(&s, 35);
    assert_int_equal(checkpoint_lost(&s, TRAININGJOB_NONE, 30), TRAININGJOB_NONE);
    assert_int_equal(checkpoint_lost(&s, 32, 30), 32);
    trainingjob_status_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_newest_that_is_there_and_not_skipped_is_chosen),
        cmocka_unit_test(test_a_job_does_not_begin_anew_while_there_is_any),
        cmocka_unit_test(test_until_a_launcher_has_looked_the_status_is_believed),
        cmocka_unit_test(test_older_means_before_and_not_skipped),
        cmocka_unit_test(test_lost_is_what_was_complete_and_is_not_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
