/* What follows from a verdict, as a table; and the delays of restarts; and the choice of a
 * checkpoint. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "controller/backoff.h"
#include "controller/checkpoint_choice.h"
#include "controller/failure_policy.h"
#include "lib/base/cleanup.h"
#include "trainingjob/trainingjob.h"

static const struct {
    const char *sentence;
    struct failure_facts facts; /* in_place, backoff_limit 6 and fruitless 1 unless set */
    bool fail, charged, counts;
    enum failure_where where;
    const char *reason;
} rows[] = {
    {"exit 1 restarts in place and is charged",
     {.code = 1, .rule = -1},
     false,
     true,
     true,
     FAILURE_IN_PLACE,
     NULL},
    {"a lost node is not charged",
     {.infrastructure = true, .rule = -1},
     false,
     false,
     false,
     FAILURE_IN_PLACE,
     NULL},
    {"a lost node is not charged whatever the rules say",
     {.infrastructure = true, .rule = TRAININGJOB_ACTION_FAIL_JOB},
     false,
     false,
     false,
     FAILURE_IN_PLACE,
     NULL},
    {"a stop by order is not charged",
     {.requested = true, .rule = -1},
     false,
     false,
     false,
     FAILURE_IN_PLACE,
     NULL},
    {"a change of controller is not charged",
     {.diverged = true, .rule = -1},
     false,
     false,
     false,
     FAILURE_IN_PLACE,
     NULL},
    {"75 restarts in place", {.code = 75, .rule = -1}, false, true, true, FAILURE_IN_PLACE, NULL},
    {"76 moves", {.code = 76, .rule = -1}, false, true, true, FAILURE_NEW_NODE, NULL},
    {"93 fails", {.code = 93, .rule = -1}, true, false, true, FAILURE_IN_PLACE, "RankAskedToFail"},
    {"a rule is stronger than 93",
     {.code = 93, .rule = TRAININGJOB_ACTION_RESTART},
     false,
     true,
     true,
     FAILURE_IN_PLACE,
     NULL},
    {"FailJob fails",
     {.code = 42, .rule = TRAININGJOB_ACTION_FAIL_JOB},
     true,
     false,
     true,
     FAILURE_IN_PLACE,
     "FailurePolicy"},
    {"Ignore restarts uncharged",
     {.code = 42, .rule = TRAININGJOB_ACTION_IGNORE},
     false,
     false,
     true,
     FAILURE_IN_PLACE,
     NULL},
    {"RestartOnNewNode moves",
     {.code = 42, .rule = TRAININGJOB_ACTION_RESTART_ON_NEW_NODE},
     false,
     true,
     true,
     FAILURE_NEW_NODE,
     NULL},
    {"the sixth charge is the last but one",
     {.code = 1, .rule = -1, .charged = 5},
     false,
     true,
     true,
     FAILURE_IN_PLACE,
     NULL},
    {"the seventh fails the job",
     {.code = 1, .rule = -1, .charged = 6},
     true,
     true,
     true,
     FAILURE_IN_PLACE,
     "BackoffLimitExceeded"},
    {"what is ignored does not spend the budget",
     {.code = 1, .rule = TRAININGJOB_ACTION_IGNORE, .charged = 6},
     false,
     false,
     true,
     FAILURE_IN_PLACE,
     NULL},
    {"the second without a step takes fresh pods",
     {.code = 1, .rule = -1, .fruitless = 2},
     false,
     true,
     true,
     FAILURE_NEW_PODS,
     NULL},
    {"the third stays in them",
     {.code = 1, .rule = -1, .fruitless = 3},
     false,
     true,
     true,
     FAILURE_IN_PLACE,
     NULL},
    {"the fourth goes to other nodes",
     {.code = 1, .rule = -1, .fruitless = 4},
     false,
     true,
     true,
     FAILURE_NEW_NODES,
     NULL},
};

static void test_each_row_of_the_policy(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct failure_facts facts = rows[i].facts;
        facts.in_place = true;
        facts.backoff_limit = 6;
        facts.fruitless = facts.fruitless ? facts.fruitless : 1;
        struct failure_decision d = failure_policy_decide(&facts);
        bool same_reason =
            rows[i].reason ? d.reason && strcmp(d.reason, rows[i].reason) == 0 : !d.reason;
        if (d.fail != rows[i].fail || d.charged != rows[i].charged || d.counts != rows[i].counts ||
            d.where != rows[i].where || !same_reason)
            fail_msg("%s: fail %d charged %d counts %d where %d reason %s", rows[i].sentence,
                     d.fail, d.charged, d.counts, (int)d.where, d.reason ? d.reason : "-");
    }
}

static void test_without_in_place_every_restart_takes_fresh_pods(void **state)
{
    struct failure_facts facts = {.code = 1, .rule = -1, .backoff_limit = 6, .fruitless = 1};
    (void)state;
    assert_int_equal(failure_policy_decide(&facts).where, FAILURE_NEW_PODS);
    facts.infrastructure = true;
    assert_int_equal(failure_policy_decide(&facts).where, FAILURE_NEW_PODS);
}

static void test_the_third_failure_from_one_checkpoint_skips_it(void **state)
{
    struct failure_facts facts = {.code = 1, .rule = -1, .in_place = true, .backoff_limit = 9};
    (void)state;
    for (facts.fruitless = 1; facts.fruitless <= 7; facts.fruitless++)
        assert_int_equal(failure_policy_decide(&facts).skip, facts.fruitless % 3 == 0);
}

static void test_the_first_restart_is_immediate_and_later_ones_wait_twice_as_long(void **state)
{
    (void)state;
    assert_int_equal(restart_backoff_ms(0), 0);
    assert_int_equal(restart_backoff_ms(1), 0);
    assert_int_equal(restart_backoff_ms(2), 1000);
    assert_int_equal(restart_backoff_ms(3), 2000);
    assert_int_equal(restart_backoff_ms(6), 16000);
    assert_int_equal(restart_backoff_ms(INT64_MAX), RESTART_BACKOFF_MAX_MS);
}

static void test_the_newest_checkpoint_that_is_there_and_not_skipped_is_chosen(void **state)
{
    struct trainingjob_status s;
    struct trainingjob_checkpoint reports[] = {{.step = 30}, {.step = 20}, {.step = 10}};
    (void)state;
    trainingjob_status_init(&s);
    assert_null(checkpoint_choose(&s, NULL, 0, false));
    s.checkpoint.step = 40;
    assert_int_equal(checkpoint_choose(&s, NULL, 0, false)->step, 40);
    /* The folder is the truth: 40 is torn or gone. */
    assert_int_equal(checkpoint_choose(&s, reports, 3, true)->step, 30);
    assert_null(checkpoint_choose(&s, reports, 0, true));
    trainingjob_skip_checkpoint(&s, 30);
    assert_int_equal(checkpoint_choose(&s, reports, 3, true)->step, 20);
    trainingjob_skip_checkpoint(&s, 20);
    trainingjob_skip_checkpoint(&s, 10);
    assert_null(checkpoint_choose(&s, reports, 3, true));
    trainingjob_status_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row_of_the_policy),
        cmocka_unit_test(test_without_in_place_every_restart_takes_fresh_pods),
        cmocka_unit_test(test_the_third_failure_from_one_checkpoint_skips_it),
        cmocka_unit_test(test_the_first_restart_is_immediate_and_later_ones_wait_twice_as_long),
        cmocka_unit_test(test_the_newest_checkpoint_that_is_there_and_not_skipped_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
