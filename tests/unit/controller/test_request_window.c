/* How many requests are under way at once, against pretended servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "controller/request_window.h"

static void answers(struct request_window *w, int count, int status, int64_t took_ms,
                    int64_t *now_ms)
{
    for (int i = 0; i < count; i++)
        request_window_answered(w, status, took_ms, ++*now_ms);
}

static void test_a_fast_server_gets_more_and_more_at_once(void **state)
{
    struct request_window w = REQUEST_WINDOW_INIT;
    int64_t now_ms = 0;
    (void)state;
    assert_int_equal(request_window_size(&w), REQUEST_WINDOW_FIRST);
    answers(&w, REQUEST_WINDOW_FIRST + 1, 201, 5, &now_ms);
    assert_int_equal(request_window_size(&w), REQUEST_WINDOW_FIRST + 1);
    answers(&w, 5000, 201, 5, &now_ms);
    assert_int_equal(request_window_size(&w), REQUEST_WINDOW_MAX);
}

static void test_a_refusal_for_want_of_capacity_halves_it_once(void **state)
{
    static const int statuses[] = {0, 429, 503, 504};
    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct request_window w = REQUEST_WINDOW_INIT;
        int64_t now_ms = 0;
        answers(&w, 16, statuses[i], 5, &now_ms); /* all that was under way */
        assert_int_equal(request_window_size(&w), REQUEST_WINDOW_FIRST / 2);
        now_ms += REQUEST_WINDOW_CUT_MS;
        answers(&w, 8, statuses[i], 5, &now_ms);
        assert_int_equal(request_window_size(&w), REQUEST_WINDOW_FIRST / 4);
        for (int k = 0; k < 20; k++) {
            now_ms += REQUEST_WINDOW_CUT_MS;
            answers(&w, 1, statuses[i], 5, &now_ms);
        }
        assert_int_equal(request_window_size(&w), REQUEST_WINDOW_MIN);
        answers(&w, 2, 200, 5, &now_ms);
        assert_true(request_window_size(&w) > REQUEST_WINDOW_MIN);
    }
}

static void test_other_refusals_say_nothing_of_capacity(void **state)
{
    struct request_window w = REQUEST_WINDOW_INIT;
    int64_t now_ms = 0;
    (void)state;
    answers(&w, 8, 409, 5, &now_ms);
    answers(&w, 8, 403, 5, &now_ms);
    assert_true(request_window_size(&w) >= REQUEST_WINDOW_FIRST);
}

/* A server that works on so many at a time: the others wait in its queue. */
static unsigned settled_size(unsigned capacity, int64_t work_ms)
{
    struct request_window w = REQUEST_WINDOW_INIT;
    int64_t now_ms = 0;
    request_window_answered(&w, 200, work_ms, now_ms); /* there was a quiet time */
    for (int round = 0; round < 2000; round++) {
        unsigned size = request_window_size(&w);
        int64_t took_ms = work_ms * (1 + (size - 1) / capacity);
        now_ms += took_ms;
        for (unsigned i = 0; i < size; i++)
            request_window_answered(&w, 200, took_ms, now_ms);
        if (round % 50 == 0)
            request_window_answered(&w, 200, work_ms, now_ms); /* somebody was lucky */
    }
    return request_window_size(&w);
}

static void test_a_slow_servers_queue_does_not_grow(void **state)
{
    (void)state;
    assert_in_range(settled_size(2, 100), 2, REQUEST_WINDOW_FIRST);
    assert_in_range(settled_size(2, 500), 2, 10);
    assert_in_range(settled_size(1, 500), 1, 5);
    assert_in_range(settled_size(16, 5), 16, REQUEST_WINDOW_MAX);
}

/* Pods that pass webhooks beside a Lease that does not, or a machine with much other work: whoever
 * gave way to all of it would come to an end last. */
static void test_slow_answers_alone_leave_some_requests_at_once(void **state)
{
    struct request_window w = REQUEST_WINDOW_INIT;
    int64_t now_ms = 0;
    (void)state;
    answers(&w, 1, 200, 2, &now_ms);
    answers(&w, 2000, 201, 300, &now_ms);
    assert_int_equal(request_window_size(&w), REQUEST_WINDOW_FIRST);
    answers(&w, 1, 429, 300, &now_ms);
    assert_int_equal(request_window_size(&w), REQUEST_WINDOW_FIRST / 2);
    answers(&w, 200, 201, 300, &now_ms);
    assert_int_equal(request_window_size(&w), REQUEST_WINDOW_FIRST);
}

/* What had been won while the server was fast is given back. */
static void test_slow_answers_take_back_what_fast_ones_gave(void **state)
{
    struct request_window w = REQUEST_WINDOW_INIT;
    int64_t now_ms = 0;
    (void)state;
    answers(&w, 5000, 201, 5, &now_ms);
    assert_int_equal(request_window_size(&w), REQUEST_WINDOW_MAX);
    answers(&w, 5000, 201, 150, &now_ms);
    assert_int_equal(request_window_size(&w), REQUEST_WINDOW_FIRST);
}

static void test_an_overloaded_server_is_asked_less(void **state)
{
    struct request_window w = REQUEST_WINDOW_INIT;
    int64_t now_ms = 0;
    (void)state;
    answers(&w, 1, 200, 2, &now_ms);
    answers(&w, 2000, 201, REQUEST_WINDOW_OVERLOADED_MS + 1, &now_ms);
    assert_int_equal(request_window_size(&w), REQUEST_WINDOW_OVERLOADED_MIN);
    answers(&w, 2000, 201, REQUEST_WINDOW_OVERLOADED_MS, &now_ms);
    assert_int_equal(request_window_size(&w), REQUEST_WINDOW_FIRST);
}

/* What was fast an hour ago is no measure any more. */
static void test_the_fastest_answer_is_forgotten(void **state)
{
    struct request_window w = REQUEST_WINDOW_INIT;
    int64_t now_ms = 0;
    (void)state;
    answers(&w, 1, 200, 1, &now_ms);
    answers(&w, 100, 200, 1400, &now_ms);
    unsigned small = request_window_size(&w);
    assert_true(small < REQUEST_WINDOW_FIRST);
    now_ms += REQUEST_WINDOW_BEST_MS;
    answers(&w, 1, 200, 1400, &now_ms);
    now_ms += REQUEST_WINDOW_BEST_MS;
    answers(&w, 200, 200, 1400, &now_ms);
    assert_true(request_window_size(&w) > small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fast_server_gets_more_and_more_at_once),
        cmocka_unit_test(test_a_refusal_for_want_of_capacity_halves_it_once),
        cmocka_unit_test(test_other_refusals_say_nothing_of_capacity),
        cmocka_unit_test(test_a_slow_servers_queue_does_not_grow),
        cmocka_unit_test(test_slow_answers_alone_leave_some_requests_at_once),
        cmocka_unit_test(test_slow_answers_take_back_what_fast_ones_gave),
        cmocka_unit_test(test_an_overloaded_server_is_asked_less),
        cmocka_unit_test(test_the_fastest_answer_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
