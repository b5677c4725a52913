/* What jobs have waited and run before (ledger_job_had()), with patience. */
#include "lib/base/cleanup.h"
#include "tests/unit/ledger/objects.h"

#define HOUR INT64_C(3600000)

static struct ledger *new_ledger(int64_t slice_ms)
{
    struct ledger *l = objects_ledger_with_patience(1, 600000, 168 * HOUR, slice_ms);
    objects_node(l, "n1", 8, "zone: a", NULL);
    objects_node(l, "n2", 8, "zone: b", NULL);
    return l;
}

static void test_who_has_run_least_comes_first(void **state)
{
    (void)state;
    struct ledger *l = new_ledger(HOUR);
    objects_waits(l, "a", 1, 8, 1, NULL);
    objects_waits(l, "b", 1, 8, 2, NULL);
    objects_waits(l, "c", 1, 8, 3, NULL);
    ledger_job_had(l, "a", 0, 5 * HOUR);
    ledger_job_had(l, "b", 0, 3 * HOUR);
    ledger_job_had(l, "c", 0, 4 * HOUR);
    objects_plan(l, HOUR);
    assert_string_equal(objects_next(l), "place b: n1");
    assert_string_equal(objects_next(l), "place c: n2");
    assert_string_equal(objects_next(l), "wait a at 1");
    ledger_free(l);
}

/* Four of sixteen GPUs are more than an eighth, one is not. */
static void test_words_say_for_how_long_others_may_pass(void **state)
{
    static const char passed[] = "; jobs with less work may start before it until it has waited";
    (void)state;
    struct ledger *l = new_ledger(0);
    objects_holds(l, "x", 2, 8, 1, "n1 n2");
    objects_waits(l, "wide", 1, 4, 2, NULL);
    objects_waits(l, "narrow", 1, 1, 3, NULL);
    ledger_job_had(l, "wide", HOUR, 0);
    ledger_job_had(l, "narrow", HOUR, 0);
    objects_plan(l, 2 * HOUR);
    assert_string_equal(objects_next(l), "wait wide at 1");
    assert_non_null(strstr(objects_reason(), passed));
    assert_non_null(strstr(objects_reason(), " 42 h at most"));
    assert_string_equal(objects_next(l), "wait narrow at 2");
    assert_non_null(strstr(objects_reason(), " 168 h at most"));
    objects_plan(l, 43 * HOUR);
    assert_string_equal(objects_next(l), "wait wide at 1");
    assert_null(strstr(objects_reason(), passed));
    assert_string_equal(objects_next(l), "wait narrow at 2");
    assert_non_null(strstr(objects_reason(), passed));
    ledger_free(l);
}

/* It waits for one zone for 100 s from now on, though it has waited for hours before. */
static void test_earlier_waits_do_not_count_for_a_preferred_topology(void **state)
{
    (void)state;
    struct ledger *l = new_ledger(0);
    cleanup_trainingjob struct trainingjob a = objects_job("a", 2, 4, 1, NULL);
    struct mlt_error err = {0};
    int64_t now_ms = 10 * HOUR;
    objects_holds(l, "x", 1, 4, 2, "n1");
    objects_holds(l, "y", 1, 4, 3, "n2");
    a.spec.scheduling.topology_preferred = "zone";
    a.spec.scheduling.topology_max_wait_seconds = 100;
    assert_int_equal(ledger_job_waits(l, &a, NULL, now_ms, &err), 0);
    ledger_job_since(l, "a", now_ms);
    ledger_job_had(l, "a", now_ms - 5 * HOUR, 0);
    objects_plan(l, now_ms + 99000);
    assert_string_equal(objects_next(l), "wait a at 1");
    objects_plan(l, now_ms + 100000);
    assert_string_equal(objects_next(l), "place a: n1 n2");
    ledger_free(l);
}

static void test_the_same_again_makes_no_plan(void **state)
{
    (void)state;
    struct ledger *l = new_ledger(0);
    objects_waits(l, "a", 1, 9, 1, NULL);
    ledger_job_had(l, "a", 5, 7 * HOUR);
    objects_plan(l, HOUR);
    ledger_job_had(l, "a", 5, 7 * HOUR);
    assert_false(ledger_needs_plan(l));
    ledger_job_had(l, "a", 6, 7 * HOUR);
    assert_true(ledger_needs_plan(l));
    ledger_job_had(l, "nobody", 6, 7 * HOUR);
    ledger_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_has_run_least_comes_first),
        cmocka_unit_test(test_words_say_for_how_long_others_may_pass),
        cmocka_unit_test(test_earlier_waits_do_not_count_for_a_preferred_topology),
        cmocka_unit_test(test_the_same_again_makes_no_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
