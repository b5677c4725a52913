/* The supervisor and the order to save: who is asked, who waits, who is signalled; and EXAMINE. */
#include <signal.h>

#include "supervisor_world.h"

static void order(struct world *w, int64_t step, bool confirmed)
{
    world_receive(w, &(struct rendezvous_message){.type = RENDEZVOUS_CHECKPOINT_NOW,
                                                  .attempt = 1,
                                                  .checkpoint_now = {.step = step,
                                                                     .confirmed = confirmed,
                                                                     .deadline_ms = 30000,
                                                                     .signal = SIGUSR1,
                                                                     .reason = "Suspended"}});
}

static void ask(struct world *w, uint32_t rank, int64_t step)
{
    world_step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_ASKED,
                                            .asked = {.rank = rank, .step = step}});
}

static void caught(struct world *w, uint32_t count)
{
    world_step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_CAUGHT, .caught = count});
}

/* Of the last ANSWERs: a bit per rank. */
static void expect_answers(struct world *w, uint64_t saves, uint64_t goes)
{
    assert_int_equal(w->answered_save, saves);
    assert_int_equal(w->answered_go, goes);
    w->answered_save = w->answered_go = 0;
}

static const struct rendezvous_save_step *answer_sent(const struct world *w)
{
    const struct rendezvous_message *m = world_sent(w, RENDEZVOUS_SAVE_STEP);
    return m ? &m->save_step : NULL;
}

static void test_without_an_order_a_rank_goes_on_at_once(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 2);
    ask(&w, 1, 7);
    expect_answers(&w, 0, 2);
    world_release(&w);
}

static void test_ranks_wait_at_the_proposed_step_until_it_is_confirmed(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 2);
    ask(&w, 0, 118);
    ask(&w, 1, 118);
    expect_answers(&w, 0, 3);
    order(&w, 120, false);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL_CATCHING], 1);
    assert_int_equal(w.left_out, 3); /* those that ask need no signal */
    assert_null(answer_sent(&w));    /* first it is seen who catches it */
    caught(&w, 0);
    assert_int_equal(answer_sent(&w)->proposed, 120);
    assert_int_equal(answer_sent(&w)->asking, 2);
    assert_int_equal(answer_sent(&w)->reached, 118);
    assert_false(answer_sent(&w)->passed);
    ask(&w, 0, 119);
    expect_answers(&w, 0, 1);
    ask(&w, 0, 120);
    expect_answers(&w, 0, 0);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_HOLD], SUPERVISOR_HOLD_MS);
    order(&w, 120, true);
    expect_answers(&w, 1, 0);
    ask(&w, 1, 119);
    expect_answers(&w, 0, 2);
    ask(&w, 1, 120);
    expect_answers(&w, 2, 0);
    ask(&w, 1, 121); /* saved once is enough */
    expect_answers(&w, 0, 2);
    world_release(&w);
}

static void
test_ranks_that_ask_now_and_then_save_at_their_first_question_behind_the_step(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    ask(&w, 0, 100);
    order(&w, 103, false);
    caught(&w, 0);
    order(&w, 103, true);
    expect_answers(&w, 0, 1);
    ask(&w, 0, 110);
    expect_answers(&w, 1, 0);
    world_release(&w);
}

static void test_a_step_that_was_passed_is_said_and_nothing_is_saved(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 2);
    ask(&w, 0, 120);
    ask(&w, 1, 119);
    expect_answers(&w, 0, 3);
    order(&w, 120, false);
    caught(&w, 0);
    assert_true(answer_sent(&w)->passed);
    assert_int_equal(answer_sent(&w)->reached, 120);
    ask(&w, 1, 120);
    expect_answers(&w, 0, 2);
    world_forget(&w);
    order(&w, 124, false);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL_CATCHING], 0); /* one signal per stop */
    assert_false(answer_sent(&w)->passed);
    world_release(&w);
}

static void test_a_later_proposal_lets_those_go_on_who_wait_before_it(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 2);
    ask(&w, 0, 1);
    order(&w, 10, false);
    caught(&w, 0);
    ask(&w, 0, 10);
    w.answered_go = 0;
    expect_answers(&w, 0, 0);
    order(&w, 14, false);
    expect_answers(&w, 0, 1);
    order(&w, 10, true); /* of the former one, late: it is void, and the rank has passed it */
    expect_answers(&w, 0, 0);
    ask(&w, 0, 14);
    expect_answers(&w, 0, 0);
    order(&w, 14, true);
    expect_answers(&w, 1, 0);
    world_release(&w);
}

static void test_nobody_waits_for_ever(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    ask(&w, 0, 1);
    order(&w, 10, false);
    caught(&w, 0);
    ask(&w, 0, 10);
    w.answered_go = 0;
    world_forget(&w);
    world_happen(&w, SUPERVISOR_ON_HOLD_TIME);
    expect_answers(&w, 0, 1);
    assert_true(answer_sent(&w)->passed); /* at once, lest the others are told to save it */
    assert_int_equal(answer_sent(&w)->reached, 10);
    world_forget(&w);
    order(&w, 10, true);
    assert_true(answer_sent(&w)->passed); /* so that a later one is named */
    expect_answers(&w, 0, 0);
    world_release(&w);
}

/* ---- a next controller, which does not know what was agreed to ---- */

/* A rank asks at step 8, and the launchers are asked to save step 10. */
static void begin_asked(struct world *w)
{
    world_init(w);
    world_make_running(w, 1);
    ask(w, 0, 8);
    order(w, 10, false);
    caught(w, 0);
}

static void test_to_a_next_controller_the_answer_is_what_was_agreed_to(void **state)
{
    (void)state;
    struct world w;
    begin_asked(&w);
    ask(&w, 0, 10);
    expect_answers(&w, 0, 1); /* of step 8: at step 10 it waits */
    world_forget(&w);
    order(&w, 2, false);
    assert_int_equal(answer_sent(&w)->proposed, 10);
    assert_false(answer_sent(&w)->passed);
    expect_answers(&w, 0, 0);
    order(&w, 10, true);
    expect_answers(&w, 1, 0);
    ask(&w, 0, 11);
    expect_answers(&w, 0, 1);
    world_forget(&w);
    order(&w, 2, false); /* and once more, when it is saved already */
    assert_int_equal(answer_sent(&w)->proposed, 10);
    assert_false(answer_sent(&w)->passed);
    order(&w, 10, false);
    order(&w, 10, true);
    assert_false(answer_sent(&w)->passed);
    ask(&w, 0, 12);
    expect_answers(&w, 0, 1); /* not saved a second time */
    world_release(&w);
}

/* ---- a launcher that was stopped for a while ---- */

static void report(struct world *w, uint32_t rank, int64_t step)
{
    world_step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_REPORTED,
                                            .asked = {.rank = rank, .step = step}});
}

static void ask_before(struct world *w, uint32_t rank, int64_t step, int64_t age_ms)
{
    world_step(w,
               (struct supervisor_event){.kind = SUPERVISOR_ON_ASKED,
                                         .asked = {.rank = rank, .step = step, .age_ms = age_ms}});
}

static void ask_long_ago(struct world *w, uint32_t rank, int64_t step)
{
    ask_before(w, rank, step, SUPERVISOR_PATIENCE_MS);
}

static void test_a_step_that_a_rank_has_reported_may_be_passed(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    ask(&w, 0, 8); /* then it waited for nobody any more */
    report(&w, 0, 13);
    order(&w, 12, false);
    caught(&w, 0);
    assert_true(answer_sent(&w)->passed);
    assert_int_equal(answer_sent(&w)->reached, 13);
    world_release(&w);
}

static void test_a_rank_that_reports_a_later_step_waits_no_longer(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 2);
    ask(&w, 0, 8);
    ask(&w, 1, 8);
    order(&w, 10, false);
    caught(&w, 0);
    expect_answers(&w, 0, 3);
    ask(&w, 0, 10);
    ask(&w, 1, 10);
    expect_answers(&w, 0, 0);
    world_forget(&w);
    report(&w, 0, 11);
    assert_true(answer_sent(&w)->passed);
    expect_answers(&w, 0, 3); /* the other need not wait, either */
    world_forget(&w);
    order(&w, 10, true);
    assert_true(answer_sent(&w)->passed);
    expect_answers(&w, 0, 0);
    world_release(&w);
}

static void test_a_confirmation_that_is_read_too_late_is_none(void **state)
{
    (void)state;
    struct world w;
    begin_asked(&w);
    ask(&w, 0, 10);
    expect_answers(&w, 0, 1);
    world_forget(&w);
    w.now_ms += SUPERVISOR_HOLD_MS; /* the timer's turn comes only after the channel's */
    order(&w, 10, true);
    assert_true(answer_sent(&w)->passed);
    expect_answers(&w, 0, 1);
    world_release(&w);
}

static void test_a_question_of_long_ago_is_of_a_rank_that_may_have_gone_on(void **state)
{
    (void)state;
    struct world w;
    begin_asked(&w);
    world_forget(&w);
    expect_answers(&w, 0, 1);
    ask_long_ago(&w, 0, 10);
    assert_true(answer_sent(&w)->passed);
    expect_answers(&w, 0, 1);
    /* Another one, agreed to, and again it was left unasked. */
    world_forget(&w);
    order(&w, 14, false);
    ask(&w, 0, 12);
    expect_answers(&w, 0, 1);
    assert_false(answer_sent(&w)->passed);
    ask_long_ago(&w, 0, 13);
    expect_answers(&w, 0, 1);
    order(&w, 14, true);
    world_forget(&w);
    ask(&w, 0, 15);
    assert_true(answer_sent(&w)->passed);
    expect_answers(&w, 0, 1);
    order(&w, 18, false);
    order(&w, 18, true);
    ask(&w, 0, 18);
    expect_answers(&w, 1, 0);
    world_release(&w);
}

static void test_a_rank_that_still_waits_saves_what_is_confirmed(void **state)
{
    (void)state;
    struct world w;
    begin_asked(&w);
    order(&w, 10, true); /* the others may be told to save by now */
    expect_answers(&w, 0, 1);
    ask_before(&w, 0, 10, SUPERVISOR_PATIENCE_MS - 1);
    expect_answers(&w, 1, 0);
    world_release(&w);
}

static void
test_a_rank_that_cannot_wait_for_the_confirmation_goes_on_and_has_not_strayed(void **state)
{
    (void)state;
    struct world w;
    begin_asked(&w);
    world_forget(&w);
    expect_answers(&w, 0, 1);
    ask_before(&w, 0, 10, SUPERVISOR_PATIENCE_MS - SUPERVISOR_HOLD_MS);
    expect_answers(&w, 0, 1);
    assert_true(answer_sent(&w)->passed);
    world_forget(&w);
    order(&w, 14, false);
    assert_false(answer_sent(&w)->passed);
    world_release(&w);
}

static void test_nothing_is_agreed_to_before_a_rank_that_has_strayed_asks_again(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    ask_long_ago(&w, 0, 32); /* it may be anywhere by now */
    expect_answers(&w, 0, 1);
    order(&w, 34, false);
    caught(&w, 0);
    assert_null(answer_sent(&w));
    order(&w, 36, false); /* another one, and the same again */
    order(&w, 36, false);
    assert_null(answer_sent(&w));
    ask(&w, 0, 38);
    expect_answers(&w, 0, 1);
    assert_true(answer_sent(&w)->passed);
    assert_int_equal(answer_sent(&w)->proposed, 36);
    assert_int_equal(answer_sent(&w)->reached, 38);
    world_forget(&w);
    order(&w, 46, false);
    assert_false(answer_sent(&w)->passed);
    order(&w, 46, true);
    ask(&w, 0, 46);
    expect_answers(&w, 1, 0);
    world_release(&w);
}

static void test_a_rank_that_has_strayed_and_is_not_there_yet_takes_part(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    ask_long_ago(&w, 0, 32);
    expect_answers(&w, 0, 1);
    order(&w, 36, false);
    caught(&w, 0);
    assert_null(answer_sent(&w));
    ask(&w, 0, 36);
    expect_answers(&w, 0, 0);
    assert_false(answer_sent(&w)->passed);
    order(&w, 36, true);
    expect_answers(&w, 1, 0);
    world_release(&w);
}

static void test_who_has_strayed_and_asks_no_more_is_not_waited_for(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 2);
    ask(&w, 0, 30);
    ask_long_ago(&w, 1, 32);
    order(&w, 34, false);
    caught(&w, 0);
    assert_null(answer_sent(&w));
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_UNASKED, .asked = {.rank = 1}});
    assert_int_equal(answer_sent(&w)->asking, 1);
    world_release(&w);

    world_init(&w);
    world_make_running(&w, 2);
    ask(&w, 0, 30);
    ask_long_ago(&w, 1, 32);
    order(&w, 34, false);
    caught(&w, 0);
    world_rank_ends(&w, 1, 0, 0);
    assert_int_equal(answer_sent(&w)->asking, 1);
    world_release(&w);
}

static void test_nobody_waits_longer_because_others_came_later(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 2);
    ask(&w, 0, 8);
    order(&w, 10, false);
    caught(&w, 0);
    ask(&w, 0, 10);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_HOLD], SUPERVISOR_HOLD_MS);
    w.timer[SUPERVISOR_TIMER_HOLD] = -1;
    ask(&w, 1, 10);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_HOLD], -1);
    world_release(&w);
}

static void test_a_timer_of_a_former_proposal_ends_nothing(void **state)
{
    (void)state;
    struct world w;
    begin_asked(&w);
    ask(&w, 0, 10);
    order(&w, 14, false);
    world_forget(&w);
    world_happen(&w, SUPERVISOR_ON_HOLD_TIME);
    assert_null(answer_sent(&w));
    order(&w, 14, true);
    assert_null(answer_sent(&w));
    w.answered_go = 0;
    ask(&w, 0, 14);
    expect_answers(&w, 1, 0);
    world_release(&w);
}

static void test_a_rank_that_asks_for_the_first_time_is_counted(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    order(&w, 10, false);
    caught(&w, 0);
    assert_int_equal(answer_sent(&w)->asking, 0);
    world_forget(&w);
    ask(&w, 0, 3);
    assert_int_equal(answer_sent(&w)->asking, 1);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_UNASKED, .asked = {.rank = 0}});
    world_forget(&w);
    order(&w, 12, false);
    assert_int_equal(answer_sent(&w)->asking, 0);
    world_release(&w);
}

static void
test_who_caught_the_signal_is_not_signalled_again_and_its_end_is_no_failure(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 2);
    order(&w, 10, false);
    caught(&w, 1);
    assert_int_equal(answer_sent(&w)->caught, 1);
    world_rank_ends(&w, 0, 3, 0);
    assert_int_equal(world_sent(&w, RENDEZVOUS_RANK_EXIT)->rank_exit.exit.cause,
                     RENDEZVOUS_CAUSE_KILLED_BY_US);
    world_stop(&w, 1, 5000, SIGUSR1);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL], 0);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], 5000);
    world_release(&w);
}

static void test_orders_of_another_attempt_are_refused(void **state)
{
    (void)state;
    struct world w;
    struct rendezvous_message old = {.type = RENDEZVOUS_CHECKPOINT_NOW,
                                     .attempt = 9,
                                     .checkpoint_now = {.step = 1, .signal = SIGTERM}};
    world_init(&w);
    world_make_running(&w, 1);
    world_receive(&w, &old);
    old.type = RENDEZVOUS_EXAMINE;
    world_receive(&w, &old);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL_CATCHING], 0);
    assert_int_equal(w.asked[SUPERVISOR_DO_LOOK], 0);
    assert_int_equal(supervisor_refusals(w.s), 2);
    world_release(&w);
}

static void test_what_ranks_do_is_looked_at_and_told(void **state)
{
    (void)state;
    struct world w;
    struct rendezvous_evidence one = {.local_rank = 1, .state = 'D', .wait_channel = "io_schedule"};
    world_init(&w);
    world_make_running(&w, 2);
    world_receive(&w, &(struct rendezvous_message){.type = RENDEZVOUS_EXAMINE, .attempt = 1});
    assert_int_equal(w.asked[SUPERVISOR_DO_LOOK], 1);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_EXAMINED,
                                             .examined = {.ranks = &one, .ranks_count = 1}});
    const struct rendezvous_message *m = world_sent(&w, RENDEZVOUS_EVIDENCE);
    assert_int_equal(m->evidence.ranks_count, 1);
    assert_int_equal(m->evidence.ranks[0].state, 'D');
    world_release(&w);
}

/* A controller that answers TERMINATING with an order to save. */
static void welcomed_by_one_that_orders_saves(struct world *w)
{
    struct rendezvous_message welcome = world_welcome(1);
    welcome.welcome.stop_signal = SIGUSR1;
    welcome.welcome.stop_grace_ms = 20000;
    welcome.welcome.orders_saves = true;
    world_receive(w, &welcome);
    world_forget(w);
}

static void test_when_the_job_is_gone_ranks_that_save_are_left_in_peace(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    welcomed_by_one_that_orders_saves(&w);
    ask(&w, 0, 3);
    order(&w, 5, false);
    caught(&w, 0);
    order(&w, 5, true);
    world_receive(&w, &(struct rendezvous_message){
                          .type = RENDEZVOUS_REFUSED,
                          .refused = {.reason = "gone", .final = true, .gone = true}});
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_CLOSED, .words = "closed"});
    world_happen(&w, SUPERVISOR_ON_ALONE_TIME);
    expect_answers(&w, 0, 1);
    ask(&w, 0, 5);
    expect_answers(&w, 1, 0);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL], 0);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 0);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], 20000);
    world_rank_ends(&w, 0, 0, 0);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 1);
    world_release(&w);
}

static void test_sigterm_waits_for_the_controllers_order(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    welcomed_by_one_that_orders_saves(&w);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_TERMINATE, .signal = SIGTERM});
    assert_non_null(world_sent(&w, RENDEZVOUS_TERMINATING));
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_RUNNING);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL], 0);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], 20000);
    order(&w, 4, false);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL_CATCHING], 1);
    world_happen(&w, SUPERVISOR_ON_GRACE_TIME); /* no STOP came */
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 1);
    world_release(&w);
}

/* A pod whose end was told to a controller that orders saves, and that has gone since. */
static void ended_and_alone(struct world *w)
{
    world_init(w);
    world_make_running(w, 1);
    welcomed_by_one_that_orders_saves(w);
    world_step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_TERMINATE, .signal = SIGTERM});
    world_step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_CLOSED, .words = "gone"});
}

static void
test_when_the_channel_breaks_meanwhile_the_next_controller_may_order_the_save(void **state)
{
    (void)state;
    struct world w;
    ended_and_alone(&w);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_ALONE], SUPERVISOR_ALONE_MS);
    w.timer[SUPERVISOR_TIMER_ALONE] = -1;
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_CLOSED, .words = "still gone"});
    assert_int_equal(w.timer[SUPERVISOR_TIMER_ALONE], -1); /* not put off by each attempt */
    world_happen(&w, SUPERVISOR_ON_OPENED);
    world_happen(&w, SUPERVISOR_ON_ALONE_TIME);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_RUNNING);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL], 0);
    world_release(&w);
}

static void test_when_nobody_comes_the_ranks_here_are_told_alone(void **state)
{
    (void)state;
    struct world w;
    ended_and_alone(&w);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_RUNNING);
    world_happen(&w, SUPERVISOR_ON_ALONE_TIME);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_STOPPING);
    assert_int_equal(w.signal, SIGUSR1);
    world_release(&w);
}

/* The next leader would take it for done. */
static void test_a_rank_that_obeys_in_a_pod_that_is_being_ended_has_not_finished(void **state)
{
    (void)state;
    struct world w;
    ended_and_alone(&w);
    world_happen(&w, SUPERVISOR_ON_ALONE_TIME);
    world_rank_ends(&w, 0, 0, 0);
    world_forget(&w);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    const struct rendezvous_message *hello = world_sent(&w, RENDEZVOUS_HELLO);
    assert_non_null(hello);
    assert_int_equal(hello->hello.exits_count, 1);
    assert_int_equal(hello->hello.exits[0].cause, RENDEZVOUS_CAUSE_KILLED_BY_US);
    assert_int_equal(hello->hello.exits[0].code, 0);
    world_release(&w);
}

/* Ended in the middle of an order whose controller has gone: nothing is left to wait for. */
static void test_a_pod_whose_ranks_have_ended_does_not_wait_out_its_grace(void **state)
{
    (void)state;
    struct world w;
    ended_and_alone(&w);
    world_rank_ends(&w, 0, 0, 0);
    world_happen(&w, SUPERVISOR_ON_ALONE_TIME);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL], 0);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 1);
    world_happen(&w, SUPERVISOR_ON_GONE);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_LINGER], SUPERVISOR_LINGER_ALONE_MS);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_an_order_a_rank_goes_on_at_once),
        cmocka_unit_test(test_ranks_wait_at_the_proposed_step_until_it_is_confirmed),
        cmocka_unit_test(
            test_ranks_that_ask_now_and_then_save_at_their_first_question_behind_the_step),
        cmocka_unit_test(test_a_step_that_was_passed_is_said_and_nothing_is_saved),
        cmocka_unit_test(test_a_later_proposal_lets_those_go_on_who_wait_before_it),
        cmocka_unit_test(test_nobody_waits_for_ever),
        cmocka_unit_test(test_to_a_next_controller_the_answer_is_what_was_agreed_to),
        cmocka_unit_test(test_a_step_that_a_rank_has_reported_may_be_passed),
        cmocka_unit_test(test_a_rank_that_reports_a_later_step_waits_no_longer),
        cmocka_unit_test(test_a_confirmation_that_is_read_too_late_is_none),
        cmocka_unit_test(test_a_question_of_long_ago_is_of_a_rank_that_may_have_gone_on),
        cmocka_unit_test(test_a_rank_that_still_waits_saves_what_is_confirmed),
        cmocka_unit_test(
            test_a_rank_that_cannot_wait_for_the_confirmation_goes_on_and_has_not_strayed),
        cmocka_unit_test(test_nothing_is_agreed_to_before_a_rank_that_has_strayed_asks_again),
        cmocka_unit_test(test_a_rank_that_has_strayed_and_is_not_there_yet_takes_part),
        cmocka_unit_test(test_who_has_strayed_and_asks_no_more_is_not_waited_for),
        cmocka_unit_test(test_nobody_waits_longer_because_others_came_later),
        cmocka_unit_test(test_a_timer_of_a_former_proposal_ends_nothing),
        cmocka_unit_test(test_a_rank_that_asks_for_the_first_time_is_counted),
        cmocka_unit_test(
            test_who_caught_the_signal_is_not_signalled_again_and_its_end_is_no_failure),
        cmocka_unit_test(test_orders_of_another_attempt_are_refused),
        cmocka_unit_test(test_what_ranks_do_is_looked_at_and_told),
        cmocka_unit_test(test_when_the_job_is_gone_ranks_that_save_are_left_in_peace),
        cmocka_unit_test(test_sigterm_waits_for_the_controllers_order),
        cmocka_unit_test(
            test_when_the_channel_breaks_meanwhile_the_next_controller_may_order_the_save),
        cmocka_unit_test(test_when_nobody_comes_the_ranks_here_are_told_alone),
        cmocka_unit_test(test_a_rank_that_obeys_in_a_pod_that_is_being_ended_has_not_finished),
        cmocka_unit_test(test_a_pod_whose_ranks_have_ended_does_not_wait_out_its_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
