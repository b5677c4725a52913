/* By one clock: which of two members' ends was first, whatever was late on its way. */
#include "stage.h"

static void running(struct stage *s, uint32_t members, uint32_t nproc,
                    void (*change)(struct coordinator_config *))
{
    stage_init(s, members, nproc, change);
    stage_all_ready(s);
    stage_start(s);
    stage_forget(s);
}

static void pong(struct stage *s, uint32_t slot, uint64_t attempt, uint64_t since_start_ms)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_PONG,
                                   .attempt = attempt,
                                   .pong = {.nonce = 1, .since_start_ms = since_start_ms}};
    stage_say(s, slot, &m);
}

/* The PONG to the newest PING. */
static void answer(struct stage *s, uint32_t slot, uint64_t since_start_ms)
{
    const struct rendezvous_message *ping = stage_sent(s, slot, RENDEZVOUS_PING);
    assert_non_null(ping);
    struct rendezvous_message m = {
        .type = RENDEZVOUS_PONG,
        .attempt = ping->attempt,
        .pong = {.nonce = ping->ping.nonce, .since_start_ms = since_start_ms}};
    stage_say(s, slot, &m);
}

static void failed(struct stage *s, uint32_t slot, int32_t code, uint64_t after_ms)
{
    stage_exit(s, slot, 0, RENDEZVOUS_CAUSE_EXITED, code, 0, after_ms);
}

/* STOPPED of a member whose first rank has ended with `code`. */
static void stopped(struct stage *s, uint32_t slot, int32_t code, uint64_t after_ms,
                    uint64_t since_start_ms)
{
    struct rendezvous_exit e =
        stage_exit_of(s, slot, 0, RENDEZVOUS_CAUSE_EXITED, code, 0, after_ms);
    struct rendezvous_message m = {
        .type = RENDEZVOUS_STOPPED,
        .attempt = s->attempt,
        .stopped = {.exits = &e, .exits_count = 1, .since_start_ms = since_start_ms}};
    stage_say(s, slot, &m);
}

static void assert_blamed(struct stage *s, int64_t rank, int32_t code)
{
    const struct stage_output *v = stage_find(s, COORDINATOR_VERDICT, 0);
    assert_non_null(v);
    assert_int_equal(v->out.verdict.rank, rank);
    assert_int_equal(v->out.verdict.code, code);
}

static void test_a_start_that_reached_one_launcher_later_makes_no_echo_the_cause(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    stage_started(&s, 0, 1000);
    s.now_ms += 2000;
    stage_started(&s, 1, 1000); /* its clock of the attempt begins 2 s later */
    s.now_ms += 6000;
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 0, 11, 8000);
    s.now_ms += 300;
    stage_exit(&s, 1, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 6299);
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    assert_int_equal(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.rank, 0);
    stage_release(&s);
}

/* All words of one launcher came late and at once: what it has counted itself orders them. */
static void test_ends_of_one_pod_keep_their_order(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 1, 2, NULL);
    s.now_ms += 5000;
    stage_started(&s, 0, 1000);
    s.now_ms += 100;
    stage_exit(&s, 0, 1, RENDEZVOUS_CAUSE_EXITED, 76, 0, 3000);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 3200);
    stage_stopped(&s, 0);
    assert_int_equal(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.rank, 1);
    stage_release(&s);
}

/* STARTED itself was late: what it tells is at most so, and an end was before it was heard of. */
static void test_a_late_word_of_the_start_makes_no_cause_an_echo(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    stage_started(&s, 0, 1000);
    s.now_ms += 2000;
    stage_started(&s, 1, 1000);
    s.now_ms += 6000;
    stage_exit(&s, 1, 0, RENDEZVOUS_CAUSE_EXITED, 0, 11, 8000);
    s.now_ms += 300;
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 8299);
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    assert_int_equal(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.rank, 1);
    stage_release(&s);
}

/* STARTED and RANK_EXIT came seconds late; STOPPED, on time, tells when START was obeyed. */
static void test_stopped_dates_an_end_that_was_told_late(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    int64_t start_ms = s.now_ms;
    stage_started(&s, 1, 1000);
    s.now_ms = start_ms + 4720;
    failed(&s, 1, 1, 4719);
    stopped(&s, 1, 1, 4719, 4720);
    s.now_ms = start_ms + 5400;
    stage_started(&s, 0, 1000);
    s.now_ms = start_ms + 10050;
    failed(&s, 0, 3, 4470);
    s.now_ms = start_ms + 10250;
    stopped(&s, 0, 3, 4470, 10249);
    assert_blamed(&s, 0, 3);
    stage_release(&s);
}

/* The same, and the verdict names the one whose words were first late and are on time now. */
static void test_who_was_blamed_first_is_dated_again(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    int64_t start_ms = s.now_ms;
    s.now_ms = start_ms + 3000;
    stage_started(&s, 0, 1000);
    failed(&s, 0, 3, 1000); /* as if after 3000 */
    s.now_ms = start_ms + 3010;
    stage_started(&s, 1, 1000);
    failed(&s, 1, 1, 1290);
    stopped(&s, 1, 1, 1290, 3009); /* after 1291 */
    s.now_ms = start_ms + 3020;
    stopped(&s, 0, 3, 1000, 3019); /* after 1001 */
    assert_blamed(&s, 0, 3);
    stage_release(&s);
}

static void test_a_late_word_of_the_start_is_asked_about(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    int64_t start_ms = s.now_ms;
    s.now_ms = start_ms + 20;
    stage_started(&s, 0, 1000);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_PING)); /* nothing is doubtful */
    s.now_ms = start_ms + 1480;
    stage_started(&s, 1, 1000);
    assert_non_null(stage_sent(&s, 1, RENDEZVOUS_PING));
    s.now_ms = start_ms + 1485;
    answer(&s, 1, 1480); /* it was STARTED that was late */
    s.now_ms = start_ms + 11410;
    failed(&s, 0, 1, 11400);
    stopped(&s, 0, 1, 11400, 11410);
    s.now_ms = start_ms + 12390;
    failed(&s, 1, 2, 11204);
    stopped(&s, 1, 2, 11204, 11430);
    assert_blamed(&s, 1, 2);
    stage_release(&s);
}

static void test_a_start_that_was_late_stays_late_when_asked_about(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    int64_t start_ms = s.now_ms;
    stage_started(&s, 0, 1000);
    s.now_ms = start_ms + 2000;
    stage_started(&s, 1, 1000);
    s.now_ms = start_ms + 2010;
    answer(&s, 1, 10);
    s.now_ms = start_ms + 8000;
    failed(&s, 0, 2, 8000);
    s.now_ms = start_ms + 8300;
    failed(&s, 1, 1, 6299);
    stopped(&s, 0, 2, 8000, 8300);
    stopped(&s, 1, 1, 6299, 6299);
    assert_blamed(&s, 0, 2);
    stage_release(&s);
}

/* A day; one clock loses or gains 200 ppm, 17 s. */
static void test_clocks_that_run_apart_make_no_echo_the_cause(void **state)
{
    (void)state;
    for (int64_t ppm = -200; ppm <= 200; ppm += 400)
        for (uint32_t culprit = 0; culprit < 2; culprit++) {
            struct stage s;
            running(&s, 2, 1, NULL);
            int64_t start_ms = s.now_ms, day = 24 * 3600 * 1000, ends[2];
            stage_started(&s, 0, 1000);
            stage_started(&s, 1, 1000);
            for (int64_t t = 10000; t <= day; t += 10000) {
                s.now_ms = start_ms + t;
                coordinator_timer(s.c, s.now_ms); /* it pings who is silent */
                stage_drain(&s);
                s.now_ms += 2;
                if (stage_sent(&s, 0, RENDEZVOUS_PING))
                    answer(&s, 0, (uint64_t)(t + t * ppm / 1000000));
                if (stage_sent(&s, 1, RENDEZVOUS_PING))
                    answer(&s, 1, (uint64_t)t);
                stage_forget(&s);
            }
            ends[culprit] = day + 1000;
            ends[!culprit] = day + 1300;
            ends[0] += ends[0] * ppm / 1000000;
            s.now_ms = start_ms + day + 1500;
            failed(&s, 0, 1, (uint64_t)ends[0]);
            failed(&s, 1, 1, (uint64_t)ends[1]);
            stage_stopped(&s, 0);
            stage_stopped(&s, 1);
            assert_blamed(&s, culprit, 1);
            stage_release(&s);
        }
}

/* Nothing but what one launcher said in one breath: START goes to all at once. */
static void test_what_the_bounds_leave_open_is_decided_by_what_was_counted(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    int64_t start_ms = s.now_ms;
    stage_started(&s, 1, 1000);
    s.now_ms = start_ms + 3160;
    failed(&s, 1, 1, 3150);
    stopped(&s, 1, 1, 3150, 3160);
    s.now_ms = start_ms + 5710;
    stage_started(&s, 0, 1000);
    failed(&s, 0, 3, 2946);
    stopped(&s, 0, 3, 2946, 3170); /* between 2946 and 5486 */
    assert_blamed(&s, 0, 3);
    stage_release(&s);
}

/* Who reports progress is never silent, and yet its clock is asked for: bounds widen. */
static void test_bounds_that_have_widened_are_asked_for_anew(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 1, 1, NULL);
    stage_started(&s, 0, 1000);
    unsigned pings = 0;
    for (int64_t t = 1000; t <= 500 * 1000; t += 1000) {
        s.now_ms += 1000;
        stage_progress(&s, 0, t);
        coordinator_timer(s.c, s.now_ms);
        stage_drain(&s);
        const struct rendezvous_message *ping = stage_sent(&s, 0, RENDEZVOUS_PING);
        if (ping) {
            answer(&s, 0, (uint64_t)t);
            pings++;
        }
        stage_forget(&s);
    }
    assert_in_range(pings, 10, 100); /* every 20 s or so, and what every launcher gets */
    stage_release(&s);
}

/* An earlier release's PONG tells no clock: it is not asked again and again. */
static void test_who_tells_no_clock_is_asked_once(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 1, 1, NULL);
    s.now_ms += 3000;
    stage_started(&s, 0, 1000);
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_PING), 1);
    pong(&s, 0, 1, 0);
    for (int64_t t = 1; t <= 100; t++) {
        s.now_ms += 1000;
        stage_progress(&s, 0, t);
        coordinator_timer(s.c, s.now_ms);
        stage_drain(&s);
    }
    /* No more than every launcher gets. */
    unsigned due = 100 * 1000 / (COORDINATOR_PING_CHECKS * COORDINATOR_CHECK_MS);
    assert_in_range(stage_sent_count(&s, 0, RENDEZVOUS_PING), 1, 1 + due);
    stage_release(&s);
}

/* A pair of bounds that meets all others: who stands out by them alone. */
static void test_the_verdict_is_the_same_in_whatever_order_words_come(void **state)
{
    (void)state;
    static const struct {
        int64_t started;
        uint64_t after, since;
        int64_t stopped;
    } ends[] = {
        {2800, 2200, 2300, 5100}, /* START reached it late: at 5000 */
        {9000, 2250, 2400, 9000}, /* between 2250 and 8850 */
        {1, 2300, 2400, 2400},    /* at 2300 */
    };
    static const unsigned char orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                              {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        struct stage s;
        running(&s, 3, 1, NULL);
        int64_t start_ms = s.now_ms;
        for (size_t k = 0; k < 3; k++) {
            s.now_ms = start_ms + ends[k].started;
            if (k == 1)
                continue;
            stage_started(&s, (uint32_t)k, 1000);
            struct rendezvous_message m = {
                .type = RENDEZVOUS_PONG,
                .attempt = 1,
                .pong = {.nonce = (uint64_t)s.now_ms - 1, .since_start_ms = 1}};
            stage_say(&s, (uint32_t)k, &m);
        }
        s.now_ms = start_ms + 9000;
        for (size_t k = 0; k < 3; k++) {
            uint32_t slot = orders[i][k];
            failed(&s, slot, (int32_t)slot + 10, ends[slot].after);
        }
        for (size_t k = 0; k < 3; k++) {
            uint32_t slot = orders[i][k];
            stopped(&s, slot, (int32_t)slot + 10, ends[slot].after, ends[slot].since);
        }
        assert_blamed(&s, 1, 11);
        stage_release(&s);
    }
}

static void test_a_clock_of_another_attempt_says_nothing(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    int64_t start_ms = s.now_ms;
    stage_started(&s, 0, 1000);
    stage_started(&s, 1, 1000);
    s.now_ms = start_ms + 100;
    pong(&s, 1, 0, 90000);
    pong(&s, 1, 2, 90000);
    pong(&s, 1, 1, UINT64_MAX); /* and this is none */
    s.now_ms = start_ms + 8000;
    failed(&s, 0, 3, 7000);
    failed(&s, 1, 1, 7300);
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    assert_blamed(&s, 0, 3);
    stage_release(&s);
}

static void adopting(struct coordinator_config *config)
{
    config->attempt = 4;
    config->adopt = true;
}

/* The new leader did not see START; HELLO tells when it was, of launchers that tell it. */
static void test_an_adopted_attempt_is_dated_by_hello(void **state)
{
    (void)state;
    static const struct {
        uint64_t since[2], after[2];
    } rows[] = {
        {{60000, 58000}, {60900, 59200}}, /* START came 2 s later to the second */
        {{0, 0}, {60900, 61200}},         /* earlier releases: as they have counted */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stage s;
        stage_init(&s, 2, 1, adopting);
        s.digest = 4711;
        s.now_ms += 100;
        for (uint32_t slot = 0; slot < 2; slot++) {
            struct rendezvous_message m =
                stage_hello_message(&s, slot, RENDEZVOUS_STATE_RUNNING, 4);
            m.hello.since_start_ms = rows[i].since[slot];
            s.channels[slot] = s.next_channel++;
            stage_say(&s, slot, &m);
        }
        assert_int_equal(stage_count(&s, COORDINATOR_ADOPTED), 1);
        answer(&s, 0, rows[i].since[0]);
        answer(&s, 1, rows[i].since[1]);
        s.now_ms += 1300;
        failed(&s, 1, 1, rows[i].after[1]);
        failed(&s, 0, 3, rows[i].after[0]);
        stage_stopped(&s, 0);
        stage_stopped(&s, 1);
        assert_blamed(&s, 0, 3);
        stage_release(&s);
    }
}

static void test_what_no_launcher_counts_is_the_last(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    stage_started(&s, 0, 1000);
    s.now_ms += 1000;
    failed(&s, 0, 1, UINT64_MAX);
    failed(&s, 1, 3, 999);
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    assert_blamed(&s, 1, 3);
    stage_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_start_that_reached_one_launcher_later_makes_no_echo_the_cause),
        cmocka_unit_test(test_ends_of_one_pod_keep_their_order),
        cmocka_unit_test(test_a_late_word_of_the_start_makes_no_cause_an_echo),
        cmocka_unit_test(test_stopped_dates_an_end_that_was_told_late),
        cmocka_unit_test(test_who_was_blamed_first_is_dated_again),
        cmocka_unit_test(test_a_late_word_of_the_start_is_asked_about),
        cmocka_unit_test(test_a_start_that_was_late_stays_late_when_asked_about),
        cmocka_unit_test(test_clocks_that_run_apart_make_no_echo_the_cause),
        cmocka_unit_test(test_what_the_bounds_leave_open_is_decided_by_what_was_counted),
        cmocka_unit_test(test_bounds_that_have_widened_are_asked_for_anew),
        cmocka_unit_test(test_who_tells_no_clock_is_asked_once),
        cmocka_unit_test(test_the_verdict_is_the_same_in_whatever_order_words_come),
        cmocka_unit_test(test_a_clock_of_another_attempt_says_nothing),
        cmocka_unit_test(test_an_adopted_attempt_is_dated_by_hello),
        cmocka_unit_test(test_what_no_launcher_counts_is_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
