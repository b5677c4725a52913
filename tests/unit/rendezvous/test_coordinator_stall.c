/* An attempt without a step: when it is examined, who is blamed, and how it ends. */
#include <signal.h>

#include "stage.h"

static void with_timeouts(struct coordinator_config *config)
{
    config->stall_ms = 60000;
    config->startup_ms = 300000;
}

/* Time passes; every launcher is heard all the while, so that no channel is closed. */
static void advance(struct stage *s, int64_t ms)
{
    struct rendezvous_message pong = {.type = RENDEZVOUS_PONG};
    for (int64_t end_ms = s->now_ms + ms; s->now_ms < end_ms;) {
        s->now_ms += end_ms - s->now_ms < 1000 ? end_ms - s->now_ms : 1000;
        for (uint32_t i = 0; i < s->members; i++)
            if (s->channels[i])
                stage_say(s, i, &pong);
        coordinator_timer(s->c, s->now_ms);
        stage_drain(s);
    }
}

static void tell(struct stage *s, uint32_t slot, struct rendezvous_evidence *ranks, uint32_t count)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_EVIDENCE, .attempt = s->attempt};
    m.evidence.ranks = ranks;
    m.evidence.ranks_count = count;
    stage_say(s, slot, &m);
}

static void test_no_step_for_too_long_is_examined_and_ends_in_abort(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, with_timeouts);
    stage_progress(&s, 0, 11);
    advance(&s, 30000);
    stage_progress(&s, 0, 12);
    advance(&s, 59999);
    assert_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    advance(&s, 1);
    assert_non_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    assert_non_null(stage_sent(&s, 1, RENDEZVOUS_EXAMINE));
    struct rendezvous_evidence fine = {.state = 'S', .wait_channel = "ep_poll", .step = 12};
    struct rendezvous_evidence stopped = {.state = 'T', .wait_channel = "", .step = 12};
    tell(&s, 0, &fine, 1);
    assert_null(stage_find(&s, COORDINATOR_TRIGGER, 0));
    tell(&s, 1, &stopped, 1);
    static const char words[] = "hung: no step for 60 s after step 12; rank 1 (worker 1 on "
                                "node002) is most likely at fault: it is stopped (state T)";
    assert_string_equal(stage_find(&s, COORDINATOR_TRIGGER, 0)->words, words);
    const struct rendezvous_stop *stop = &stage_sent(&s, 0, RENDEZVOUS_STOP)->stop;
    assert_int_equal(stop->signal, SIGABRT);
    assert_int_equal(stop->grace_ms, 5000);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, SIGABRT, 99000);
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    const struct coordinator_verdict *v = &stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict;
    assert_string_equal(v->words, words);
    assert_int_equal(v->cause, RENDEZVOUS_CAUSE_HUNG);
    assert_int_equal(v->rank, 1);
    assert_int_equal(v->code, 124);
    assert_false(v->infrastructure || v->requested);
    stage_release(&s);
}

static void test_before_the_first_step_another_limit_holds(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 1, 1, with_timeouts);
    advance(&s, 299999);
    assert_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    advance(&s, 1);
    assert_non_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    tell(&s, 0, NULL, 0);
    assert_string_equal(stage_find(&s, COORDINATOR_TRIGGER, 0)->words,
                        "hung: no first step within 300 s; no rank stands out");
    stage_release(&s);
}

static void test_a_step_during_the_examination_ends_it(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, with_timeouts);
    stage_progress(&s, 0, 1);
    advance(&s, 60000);
    assert_non_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    stage_progress(&s, 0, 2);
    tell(&s, 0, NULL, 0);
    tell(&s, 1, NULL, 0);
    advance(&s, 50000);
    assert_null(stage_find(&s, COORDINATOR_TRIGGER, 0));
    stage_release(&s);
}

static void test_a_member_that_is_away_may_have_made_steps(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, with_timeouts);
    stage_progress(&s, 0, 1);
    stage_close(&s, 0);
    s.channels[0] = 0;
    advance(&s, 200000);
    assert_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, s.attempt);
    advance(&s, 59999);
    assert_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    advance(&s, 1);
    assert_non_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    stage_release(&s);
}

/* Time passes, and of this member nothing is heard, though its channel stands. */
static void advance_without(struct stage *s, uint32_t silent, int64_t ms)
{
    uint64_t channel = s->channels[silent];
    s->channels[silent] = 0;
    advance(s, ms);
    s->channels[silent] = channel;
}

static void test_a_member_of_which_nothing_is_heard_may_have_made_steps(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, with_timeouts);
    stage_progress(&s, 0, 1);
    advance(&s, 52000);
    advance_without(&s, 0, 10000);
    assert_non_null(stage_find(&s, COORDINATOR_SUSPECT, 0));
    assert_null(stage_find(&s, COORDINATOR_CLOSE, 0));
    assert_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    advance(&s, 59000);
    assert_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    advance(&s, 2000);
    assert_non_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    stage_release(&s);
}

/* The others' steps are told, and there are none. */
static void test_a_member_that_is_not_heard_while_the_others_stand_still_is_blamed(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 3, 1, with_timeouts);
    stage_progress(&s, 0, 7);
    stage_close(&s, 2);
    s.channels[2] = 0;
    advance(&s, 60000);
    assert_non_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    tell(&s, 0, NULL, 0);
    tell(&s, 1, NULL, 0);
    const struct stage_output *trigger = stage_find(&s, COORDINATOR_TRIGGER, 0);
    assert_non_null(trigger);
    assert_string_equal(trigger->words,
                        "hung: no step for 60 s after step 7; worker 2 on node003 is most likely "
                        "at fault: nothing is heard of its launcher");
    stage_release(&s);
}

/* The ranks that tell the steps are done, and so may be those that nothing is heard of. */
static void test_who_is_done_makes_no_step_and_does_not_hang(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, with_timeouts);
    stage_progress(&s, 0, 7);
    stage_close(&s, 1);
    s.channels[1] = 0;
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 99000);
    advance(&s, 200000);
    assert_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    stage_hello(&s, 1, RENDEZVOUS_STATE_RUNNING, s.attempt);
    advance(&s, 60000);
    assert_non_null(stage_find(&s, COORDINATOR_EXAMINING, 0)); /* it does not end */
    stage_release(&s);
}

static void test_who_does_not_answer_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, with_timeouts);
    stage_progress(&s, 0, 1);
    advance(&s, 60000);
    tell(&s, 0, NULL, 0);
    advance(&s, 9999);
    assert_null(stage_find(&s, COORDINATOR_TRIGGER, 0));
    advance(&s, 1);
    assert_non_null(stage_find(&s, COORDINATOR_TRIGGER, 0));
    stage_release(&s);
}

static void test_without_limits_nothing_is_a_stall(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 1, 1, NULL);
    advance(&s, 1000000);
    stage_progress(&s, 0, 1);
    advance(&s, 1000000);
    assert_null(stage_find(&s, COORDINATOR_EXAMINING, 0));
    stage_release(&s);
}

/* Four ranks in one pod, and whom it was. */
static const struct {
    const char *sentence;
    struct rendezvous_evidence ranks[4];
    int64_t rank; /* -1: nobody */
    const char *words;
} cases[] = {
    {"a stopped rank before anything else",
     {{.state = 'D', .step = 5},
      {.state = 'S', .step = 4},
      {.state = 't', .step = 5},
      {.state = 'S', .step = 5}},
     2,
     "it is stopped (state t)"},
    {"a rank that is behind before one that waits in the kernel",
     {{.state = 'D', .step = 5},
      {.state = 'S', .step = 5},
      {.state = 'R', .step = 5},
      {.state = 'S', .step = 4}},
     3,
     "its last step is 4, others have made 5"},
    {"a rank that waits in the kernel",
     {{.state = 'S', .step = -1},
      {.state = 'D', .wait_channel = "io_schedule", .step = -1},
      {.state = 'R', .step = -1},
      {.state = 'S', .step = -1}},
     1,
     "it waits in the kernel (state D, in io_schedule)"},
    {"the one that waits while all others spin",
     {{.state = 'R', .busy_permille = 990, .step = -1},
      {.state = 'R', .busy_permille = 990, .step = -1},
      {.state = 'S', .busy_permille = 99, .step = -1},
      {.state = 'R', .busy_permille = 501, .step = -1}},
     2,
     "it waits while all others compute"},
    {"the one that computes while all others wait",
     {{.state = 'R', .busy_permille = 501, .step = -1},
      {.state = 'S', .busy_permille = 0, .step = -1},
      {.state = 'S', .busy_permille = 99, .step = -1},
      {.state = 'S', .busy_permille = 0, .step = -1}},
     0,
     "it computes while all others wait"},
    {"... also on a node that is loaded",
     {{.state = 'R', .busy_permille = 83, .step = -1},
      {.state = 'S', .busy_permille = 8, .step = -1},
      {.state = 'S', .busy_permille = 0, .step = -1},
      {.state = 'S', .busy_permille = 0, .step = -1}},
     0,
     "it computes while all others wait"},
    {"nobody when the difference is small",
     {{.state = 'R', .busy_permille = 82, .step = -1},
      {.state = 'S', .busy_permille = 8, .step = -1},
      {.state = 'S', .busy_permille = 0, .step = -1},
      {.state = 'S', .busy_permille = 0, .step = -1}},
     -1,
     "no rank stands out"},
    {"neither when two do as the culprit does",
     {{.state = 'R', .busy_permille = 600, .step = -1},
      {.state = 'R', .busy_permille = 600, .step = -1},
      {.state = 'S', .busy_permille = 0, .step = -1},
      {.state = 'S', .busy_permille = 0, .step = -1}},
     -1,
     "no rank stands out"},
    {"the one that has been silent the longest, by a margin",
     {{.state = 'S', .step = -1, .silent_ms = 60000},
      {.state = 'S', .step = -1, .silent_ms = 60500},
      {.state = 'S', .step = -1, .silent_ms = 62500},
      {.state = 'S', .step = -1, .silent_ms = 60000}},
     2,
     "it has been silent the longest, for 62 s"},
    {"nobody when that margin is small",
     {{.state = 'S', .step = -1, .silent_ms = 60000},
      {.state = 'S', .step = -1, .silent_ms = 60500},
      {.state = 'S', .step = -1, .silent_ms = 62499},
      {.state = 'S', .step = -1, .silent_ms = 60000}},
     -1,
     "no rank stands out"},
};

static void test_the_rank_that_stands_out_is_blamed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stage s;
        struct rendezvous_evidence ranks[4];
        stage_run_with_orders(&s, 1, 4, with_timeouts);
        stage_progress(&s, 0, 1);
        advance(&s, 60000);
        memcpy(ranks, cases[i].ranks, sizeof ranks);
        for (uint32_t r = 0; r < 4; r++)
            ranks[r].local_rank = r;
        tell(&s, 0, ranks, 4);
        const struct stage_output *trigger = stage_find(&s, COORDINATOR_TRIGGER, 0);
        if (!trigger || !strstr(trigger->words, cases[i].words))
            fail_msg("%s: %s", cases[i].sentence, trigger ? trigger->words : "nothing");
        stage_stopped(&s, 0);
        assert_int_equal(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.rank, cases[i].rank);
        stage_release(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_step_for_too_long_is_examined_and_ends_in_abort),
        cmocka_unit_test(test_before_the_first_step_another_limit_holds),
        cmocka_unit_test(test_a_step_during_the_examination_ends_it),
        cmocka_unit_test(test_a_member_that_is_away_may_have_made_steps),
        cmocka_unit_test(test_who_is_done_makes_no_step_and_does_not_hang),
        cmocka_unit_test(test_a_member_of_which_nothing_is_heard_may_have_made_steps),
        cmocka_unit_test(test_a_member_that_is_not_heard_while_the_others_stand_still_is_blamed),
        cmocka_unit_test(test_who_does_not_answer_is_not_waited_for_for_ever),
        cmocka_unit_test(test_without_limits_nothing_is_a_stall),
        cmocka_unit_test(test_the_rank_that_stands_out_is_blamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
