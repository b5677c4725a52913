/* Delays between tries: how they grow, and what may be tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "lib/kube/backoff.h"

static void test_delays_double_to_the_maximum_and_keep_half_of_themselves(void **state)
{
    (void)state;
    static const int64_t whole[] = {100, 200, 400, 800, 1000, 1000, 1000};
    struct mlt_random random;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct kube_backoff b = KUBE_BACKOFF_INIT(100, 1000);
        mlt_random_init(&random, seed);
        for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
            int64_t delay_ms = kube_backoff_next(&b, &random, 0);
            assert_in_range(delay_ms, whole[i] / 2, whole[i]);
        }
    }
}

static void test_a_server_that_names_a_longer_delay_gets_it(void **state)
{
    (void)state;
    struct mlt_random random;
    struct kube_backoff b = KUBE_BACKOFF_INIT(100, 1000);
    mlt_random_init(&random, 1);
    assert_int_equal(kube_backoff_next(&b, &random, 7000), 7000);
    assert_in_range(kube_backoff_next(&b, &random, 50), 100, 200);
}

static void test_a_reset_begins_anew(void **state)
{
    (void)state;
    struct mlt_random random;
    struct kube_backoff b = KUBE_BACKOFF_INIT(100, 100000);
    mlt_random_init(&random, 1);
    for (int i = 0; i < 8; i++)
        (void)kube_backoff_next(&b, &random, 0);
    kube_backoff_reset(&b);
    assert_in_range(kube_backoff_next(&b, &random, 0), 50, 100);
}

static void test_very_many_failures_and_extreme_limits_do_not_overflow(void **state)
{
    (void)state;
    struct mlt_random random;
    struct kube_backoff b = KUBE_BACKOFF_INIT(3, INT64_MAX);
    mlt_random_init(&random, 1);
    for (int i = 0; i < 1000; i++)
        assert_true(kube_backoff_next(&b, &random, 0) > 0);
}

static void test_only_passing_trouble_may_be_sent_again(void **state)
{
    (void)state;
    static const int again[] = {0, 408, 429, 500, 502, 503, 504};
    static const int never[] = {200, 201, 301, 400, 401, 403, 404, 409, 410, 422, 501};
    for (size_t i = 0; i < sizeof again / sizeof again[0]; i++)
        assert_true(kube_status_is_retryable(again[i]));
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        assert_false(kube_status_is_retryable(never[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays_double_to_the_maximum_and_keep_half_of_themselves),
        cmocka_unit_test(test_a_server_that_names_a_longer_delay_gets_it),
        cmocka_unit_test(test_a_reset_begins_anew),
        cmocka_unit_test(test_very_many_failures_and_extreme_limits_do_not_overflow),
        cmocka_unit_test(test_only_passing_trouble_may_be_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
