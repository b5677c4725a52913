/* Counting within limits, and the text. */
#include "controller/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char *text_of(const struct metrics *m, struct mlt_text *out)
{
    mlt_text_clear(out);
    metrics_write(m, out);
    return mlt_text_string(out);
}

static void test_no_flood_of_codes_or_causes_grows_the_tables(void **state)
{
    struct metrics m = {0};
    struct mlt_text out = MLT_TEXT_INIT(METRICS_TEXT_MAX);
    char word[METRICS_WORD_MAX];
    uint64_t requests = 0, failures = 0;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(word, sizeof word, "cause%d", i);
        metrics_request(&m, "get", i);
        metrics_failure(&m, word);
    }
    for (size_t i = 0; i < m.requests_count; i++)
        requests += m.requests[i].count;
    for (size_t i = 0; i < m.causes_count; i++)
        failures += m.causes[i].count;
    assert_int_equal(requests, 1000);
    assert_int_equal(failures, 1000);
    assert_non_null(strstr(text_of(&m, &out), "{verb=\"get\",code=\"other\"} "));
    assert_non_null(strstr(text_of(&m, &out), "{cause=\"other\"} "));
    mlt_text_release(&out);
}

static void test_a_value_on_a_bound_counts_below_it(void **state)
{
    struct metrics m = {0};
    struct mlt_text out = MLT_TEXT_INIT(METRICS_TEXT_MAX);
    (void)state;
    metrics_waited(&m, 5000);
    metrics_waited(&m, 5001);
    metrics_waited(&m, INT64_C(700000) * 1000);
    metrics_waited(&m, -7);
    const char *text = text_of(&m, &out);
    assert_non_null(strstr(text, "mltrain_queue_wait_seconds_bucket{le=\"1\"} 1\n"));
    assert_non_null(strstr(text, "mltrain_queue_wait_seconds_bucket{le=\"5\"} 2\n"));
    assert_non_null(strstr(text, "mltrain_queue_wait_seconds_bucket{le=\"15\"} 3\n"));
    assert_non_null(strstr(text, "mltrain_queue_wait_seconds_bucket{le=\"604800\"} 3\n"));
    assert_non_null(strstr(text, "mltrain_queue_wait_seconds_bucket{le=\"+Inf\"} 4\n"));
    assert_non_null(strstr(text, "mltrain_queue_wait_seconds_count 4\n"));
    mlt_text_release(&out);
}

static void test_only_steps_that_planned_are_timed(void **state)
{
    struct metrics m = {0};
    (void)state;
    metrics_took(&m, 100);
    assert_int_equal(m.decision.count, 0);
    m.count[METRIC_PLANS] = 2;
    metrics_took(&m, 100);
    metrics_took(&m, 100);
    assert_int_equal(m.decision.count, 1);
}

static void test_labels_are_escaped(void **state)
{
    struct mlt_text out = MLT_TEXT_INIT(1024);
    (void)state;
    metrics_label(&out, "a\"b\\c\nd");
    assert_string_equal(mlt_text_string(&out), "a\\\"b\\\\c\\nd");
    mlt_text_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_flood_of_codes_or_causes_grows_the_tables),
        cmocka_unit_test(test_a_value_on_a_bound_counts_below_it),
        cmocka_unit_test(test_only_steps_that_planned_are_timed),
        cmocka_unit_test(test_labels_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
