/* Saving before a stop: one step for all, agreed to before it is confirmed; and when the wait ends.
 */
#include "stage.h"

static void with_checkpoints(struct coordinator_config *config)
{
    config->has_checkpoints = true;
}

static void stop(struct stage *s, uint32_t grace_ms)
{
    coordinator_stop(s->c, grace_ms, "Suspended", s->now_ms);
    stage_drain(s);
}

static void answer(struct stage *s, uint32_t slot, struct rendezvous_save_step save_step)
{
    struct rendezvous_message m = {
        .type = RENDEZVOUS_SAVE_STEP, .attempt = s->attempt, .save_step = save_step};
    stage_say(s, slot, &m);
}

/* Newest first; a 0 ends them. */
static void checkpoints(struct stage *s, const int64_t *steps)
{
    struct rendezvous_checkpoint c[RENDEZVOUS_CHECKPOINTS_MAX];
    struct rendezvous_message m = {.type = RENDEZVOUS_CHECKPOINT, .attempt = s->attempt};
    m.checkpoint.checkpoints = c;
    for (uint32_t i = 0; steps[i]; i++)
        c[m.checkpoint.checkpoints_count++] =
            (struct rendezvous_checkpoint){.step = steps[i], .path = "/c", .wall_ms = 1};
    m.checkpoint.torn_step = RENDEZVOUS_NO_STEP;
    stage_say(s, 0, &m);
}

static void checkpoint(struct stage *s, int64_t step)
{
    checkpoints(s, (const int64_t[]){step, 0});
}

static void advance(struct stage *s, int64_t ms)
{
    s->now_ms += ms;
    coordinator_timer(s->c, s->now_ms);
    stage_drain(s);
}

static const struct rendezvous_checkpoint_now *ordered(const struct stage *s, uint32_t slot)
{
    const struct rendezvous_message *m = stage_sent(s, slot, RENDEZVOUS_CHECKPOINT_NOW);
    return m ? &m->checkpoint_now : NULL;
}

static void test_a_step_is_proposed_agreed_to_and_then_confirmed_to_all(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 2, with_checkpoints);
    stage_progress(&s, 0, 120);
    stop(&s, 30000);
    for (uint32_t i = 0; i < 2; i++) {
        assert_null(stage_sent(&s, i, RENDEZVOUS_STOP));
        assert_int_equal(ordered(&s, i)->step, 122);
        assert_false(ordered(&s, i)->confirmed);
        assert_int_equal(ordered(&s, i)->deadline_ms, 30000);
    }
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 122, .asking = 2});
    assert_false(ordered(&s, 0)->confirmed); /* one has not answered: it may have passed the step */
    assert_null(stage_find(&s, COORDINATOR_SAVE_ORDERED, 0));
    answer(&s, 1, (struct rendezvous_save_step){.proposed = 122, .asking = 2});
    assert_true(ordered(&s, 0)->confirmed && ordered(&s, 1)->confirmed);
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ORDERED, 0)->out.step, 122);
    checkpoint(&s, 100); /* an older one was found only now */
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    checkpoint(&s, 122);
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, 122);
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_STOP)->stop.grace_ms, 0);
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    assert_true(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.requested);
    stage_release(&s);
}

/* Of a gang whose lost member runs on without the others, and writes to the same folder. */
static void
test_a_step_that_was_complete_before_it_was_confirmed_is_saved_all_the_same(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 1, 1, with_checkpoints);
    checkpoint(&s, 100);
    stage_progress(&s, 0, 110);
    stop(&s, 30000);
    checkpoints(&s, (const int64_t[]){112, 100, 0});
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 112, .asking = 1});
    assert_true(ordered(&s, 0)->confirmed);
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)); /* the rank begins to write it */
    checkpoint(&s, 100);
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    checkpoints(&s, (const int64_t[]){112, 100, 0});
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, 112);
    stage_release(&s);
}

static void test_a_step_that_a_rank_has_passed_is_replaced_by_a_later_one(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, with_checkpoints);
    stage_progress(&s, 0, 120);
    stop(&s, 30000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 122, .asking = 1});
    answer(&s, 1,
           (struct rendezvous_save_step){
               .proposed = 122, .passed = true, .reached = 125, .asking = 1});
    assert_null(stage_find(&s, COORDINATOR_SAVE_ORDERED, 0));
    assert_int_equal(ordered(&s, 0)->step, 129); /* the lead has doubled */
    /* A word about the former proposal, on its way meanwhile, agrees to nothing. */
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 122, .asking = 1});
    answer(&s, 1, (struct rendezvous_save_step){.proposed = 129, .asking = 1});
    assert_null(stage_find(&s, COORDINATOR_SAVE_ORDERED, 0));
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 129, .asking = 1});
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ORDERED, 0)->out.step, 129);
    checkpoint(&s, 128); /* newer, but not the one that was agreed upon */
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    checkpoint(&s, 129);
    assert_non_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    stage_release(&s);
}

static void test_ranks_that_catch_the_signal_have_until_a_newer_checkpoint(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 1, 2, with_checkpoints);
    checkpoint(&s, 100);
    stage_progress(&s, 0, 110);
    stop(&s, 30000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 112, .caught = 2});
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    checkpoint(&s, 100); /* told again */
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    checkpoint(&s, 111);
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, 111);
    /* They were signalled and may be about to end by themselves. */
    assert_in_range(stage_sent(&s, 0, RENDEZVOUS_STOP)->stop.grace_ms, 1, 5000);
    stage_release(&s);
}

static void test_where_nobody_can_save_nobody_waits(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, NULL);
    stop(&s, 30000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 2});
    assert_null(stage_sent(&s, 0, RENDEZVOUS_STOP));
    answer(&s, 1, (struct rendezvous_save_step){.proposed = 2});
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_STOP)->stop.grace_ms, 0);
    stage_release(&s);
}

static void test_who_catches_nothing_runs_on_until_the_grace_is_over(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 1, 1, with_checkpoints);
    stop(&s, 30000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 2});
    assert_true(coordinator_wake_ms(s.c) <= s.now_ms + 30000);
    advance(&s, 29999);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_STOP));
    advance(&s, 1);
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_STOP)->stop.grace_ms, 0);
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, RENDEZVOUS_NO_STEP);
    stage_release(&s);
}

static void test_a_second_order_shortens_the_wait(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 1, 1, with_checkpoints);
    stop(&s, 30000);
    advance(&s, 100);
    stop(&s, 0);
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_STOP)->stop.grace_ms, 0);
    stage_release(&s);
}

static void test_when_all_ranks_have_ended_by_themselves_the_wait_ends(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 1, 2, with_checkpoints);
    stop(&s, 30000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 2, .caught = 2});
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 50);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_STOP));
    stage_exit(&s, 0, 1, RENDEZVOUS_CAUSE_KILLED_BY_US, 143, 0, 60);
    assert_non_null(stage_sent(&s, 0, RENDEZVOUS_STOP));
    assert_null(stage_find(&s, COORDINATOR_COMPLETED, 0)); /* they ended because they were told */
    stage_release(&s);
}

static void test_a_job_that_was_done_before_the_order_reached_it_is_complete(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 1, 1, with_checkpoints);
    stop(&s, 30000);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 50);
    assert_non_null(stage_find(&s, COORDINATOR_COMPLETED, 0));
    stage_release(&s);
}

static void test_a_rank_that_fails_during_the_save_ends_the_wait(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, with_checkpoints);
    stop(&s, 30000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 2, .asking = 1});
    answer(&s, 1, (struct rendezvous_save_step){.proposed = 2, .asking = 1});
    stage_exit(&s, 1, 0, RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE, 0, 9, 50);
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_STOP)->stop.grace_ms, 0);
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    assert_true(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.requested);
    stage_release(&s);
}

static void test_launchers_that_know_no_such_order_get_the_signal_and_the_grace(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, with_checkpoints);
    stage_all_ready(&s);
    stage_start(&s);
    stop(&s, 30000);
    assert_null(ordered(&s, 0));
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_STOP)->stop.grace_ms, 30000);
    stage_release(&s);
}

static void test_a_member_that_comes_back_is_told_again(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, with_checkpoints);
    stop(&s, 30000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 2, .asking = 1});
    stage_close(&s, 1);
    stage_forget(&s);
    s.now_ms += 4000;
    stage_hello(&s, 1, RENDEZVOUS_STATE_RUNNING, s.attempt);
    assert_int_equal(ordered(&s, 1)->step, 2);
    assert_true(ordered(&s, 1)->deadline_ms <= 26000); /* what is left */
    answer(&s, 1, (struct rendezvous_save_step){.proposed = 2, .asking = 1});
    assert_true(ordered(&s, 1)->confirmed && ordered(&s, 0)->confirmed);
    stage_forget(&s);
    stage_close(&s, 1); /* ... and what it has agreed to, it is not told before it agrees again */
    stage_hello(&s, 1, RENDEZVOUS_STATE_RUNNING, s.attempt);
    assert_int_equal(ordered(&s, 1)->step, 2);
    stage_release(&s);
}

static void test_a_pod_that_is_being_ended_makes_all_save_first(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, with_checkpoints);
    struct rendezvous_message m = {
        .type = RENDEZVOUS_TERMINATING, .attempt = s.attempt, .terminating = {.signal = 15}};
    stage_say(&s, 1, &m);
    assert_non_null(stage_find(&s, COORDINATOR_TRIGGER, 0));
    for (uint32_t i = 0; i < 2; i++) {
        assert_null(stage_sent(&s, i, RENDEZVOUS_STOP));
        answer(&s, i, (struct rendezvous_save_step){.proposed = 2, .asking = 1});
    }
    assert_true(ordered(&s, 0)->confirmed);
    checkpoint(&s, 2);
    assert_non_null(stage_sent(&s, 0, RENDEZVOUS_STOP));
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    const struct stage_output *v = stage_find(&s, COORDINATOR_VERDICT, 0);
    assert_true(v->out.verdict.infrastructure);
    assert_false(v->out.verdict.requested);
    assert_int_equal(v->out.verdict.slot, 1);
    assert_non_null(strstr(v->words, "its pod is being terminated"));
    stage_release(&s);
}

/* Its pod was deleted by force, or its node is lost. */
static void lose(struct stage *s, uint32_t slot)
{
    const struct coordinator_loss loss = {.infrastructure = true, .words = "it was deleted"};
    coordinator_pod_lost(s->c, "worker", slot, &loss, s->now_ms);
    stage_drain(s);
}

static void test_without_a_member_that_is_lost_nothing_is_confirmed(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 3, 1, with_checkpoints);
    struct rendezvous_message m = {
        .type = RENDEZVOUS_TERMINATING, .attempt = s.attempt, .terminating = {.signal = 15}};
    stage_say(&s, 2, &m);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 2, .asking = 1});
    lose(&s, 2);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_STOP)); /* the last one may have caught the signal */
    answer(&s, 1, (struct rendezvous_save_step){.proposed = 2, .asking = 1});
    assert_false(ordered(&s, 0)->confirmed || ordered(&s, 1)->confirmed);
    assert_null(stage_find(&s, COORDINATOR_SAVE_ORDERED, 0));
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, RENDEZVOUS_NO_STEP);
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_STOP)->stop.grace_ms, 0);
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    assert_true(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.infrastructure);
    stage_release(&s);
}

static void test_ranks_that_caught_the_signal_have_their_time_without_a_lost_member(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 3, 1, with_checkpoints);
    stop(&s, 30000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 2, .asking = 1});
    lose(&s, 2);
    answer(&s, 1, (struct rendezvous_save_step){.proposed = 2, .caught = 1});
    assert_false(ordered(&s, 0)->confirmed);
    advance(&s, 29999);
    assert_null(stage_sent(&s, 1, RENDEZVOUS_STOP));
    advance(&s, 1);
    assert_non_null(stage_sent(&s, 1, RENDEZVOUS_STOP));
    stage_release(&s);
}

static void test_a_member_that_is_lost_after_all_were_told_ends_no_save(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 1, with_checkpoints);
    stop(&s, 30000);
    for (uint32_t i = 0; i < 2; i++)
        answer(&s, i, (struct rendezvous_save_step){.proposed = 2, .asking = 1});
    assert_true(ordered(&s, 0)->confirmed);
    lose(&s, 1);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_STOP));
    checkpoint(&s, 2);
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, 2);
    stage_release(&s);
}

/* ---- the job has gone back: steps are made again that a checkpoint is told of ---- */

/* It resumes from step 1200, though 1206 is complete: that one cannot be used. */
static void go_back(struct stage *s)
{
    stage_init(s, 1, 1, with_checkpoints);
    s->takes_orders = true;
    stage_all_ready(s);
    checkpoints(s, (const int64_t[]){1206, 1200, 0});
    stage_start(s);
    stage_started(s, 0, 1);
    stage_forget(s);
}

static void test_after_going_back_what_is_saved_ends_the_wait(void **state)
{
    (void)state;
    struct stage s;
    go_back(&s);
    stage_progress(&s, 0, 1202);
    stop(&s, 30000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 1204, .asking = 1});
    assert_true(ordered(&s, 0)->confirmed);
    checkpoints(&s, (const int64_t[]){1206, 1200, 0});
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    checkpoints(&s, (const int64_t[]){1206, 1204, 1200, 0});
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, 1204);
    stage_release(&s);
}

static void test_after_going_back_the_very_step_that_was_given_up_can_be_saved(void **state)
{
    (void)state;
    struct stage s;
    go_back(&s);
    stage_progress(&s, 0, 1204);
    stop(&s, 30000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 1206, .asking = 1});
    checkpoints(&s, (const int64_t[]){1206, 1200, 0});
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    checkpoints(&s, (const int64_t[]){1200, 0}); /* it is being written */
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    checkpoints(&s, (const int64_t[]){1206, 1200, 0});
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, 1206);
    stage_release(&s);
}

static void test_after_going_back_ranks_that_are_signalled_are_not_waited_for_in_vain(void **state)
{
    (void)state;
    struct stage s;
    go_back(&s);
    checkpoints(&s, (const int64_t[]){1206, 1203, 1200, 0});
    stop(&s, 30000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 2, .caught = 1});
    checkpoints(&s, (const int64_t[]){1206, 1203, 1201, 1200, 0}); /* found late */
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    checkpoints(&s, (const int64_t[]){1206, 1204, 1203, 1201, 0});
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, 1204);
    stage_release(&s);
}

static void is_adopted(struct coordinator_config *config)
{
    config->has_checkpoints = config->adopt = config->was_stopping = true;
    config->attempt = 1;
    config->newest_checkpoint = 100;
}

/* A leader has died in the middle of a save; the next one knows from the status that there is one.
 * All members come back, having agreed to step 122. */
static void next_leader(struct stage *s, void (*change)(struct coordinator_config *config))
{
    stage_init(s, 2, 1, change);
    s->takes_orders = true;
    s->attempt = 1;
    s->digest = 7;
    stop(s, 20000);
    for (uint32_t i = 0; i < 2; i++)
        stage_hello(s, i, RENDEZVOUS_STATE_RUNNING, 1);
}

static void test_the_next_leader_takes_up_the_step_that_was_agreed_to(void **state)
{
    (void)state;
    struct stage s;
    next_leader(&s, is_adopted);
    checkpoint(&s, 118); /* it is not known yet that ranks ask, and wait for another one */
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 122, .reached = 118, .asking = 1});
    assert_int_equal(ordered(&s, 1)->step, 122);
    assert_false(ordered(&s, 1)->confirmed);
    answer(&s, 1, (struct rendezvous_save_step){.proposed = 122, .reached = 118, .asking = 1});
    assert_true(ordered(&s, 0)->confirmed && ordered(&s, 1)->confirmed);
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ORDERED, 0)->out.step, 122);
    assert_null(stage_find(&s, COORDINATOR_SAVE_ORDERED, 1));
    checkpoint(&s, 122);
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, 122);
    stage_release(&s);
}

/* It was asked, or even told, to save; so much the next leader cannot know. */
static void test_the_next_leader_confirms_nothing_without_a_lost_member(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, is_adopted);
    s.takes_orders = true;
    s.attempt = 1;
    s.digest = 7;
    stop(&s, 20000);
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 1);
    lose(&s, 1);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 122, .reached = 118, .asking = 1});
    assert_int_equal(ordered(&s, 0)->step, 122);
    assert_false(ordered(&s, 0)->confirmed);
    advance(&s, 19999);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_STOP)); /* it may be saving */
    advance(&s, 1);
    assert_non_null(stage_sent(&s, 0, RENDEZVOUS_STOP));
    stage_release(&s);
}

/* What a leader before us had ordered was over with the attempt that we adopted. */
static void test_the_attempt_after_an_adopted_one_waits_in_vain_for_nothing(void **state)
{
    (void)state;
    struct stage s;
    next_leader(&s, is_adopted);
    advance(&s, 20000);
    for (uint32_t i = 0; i < 2; i++)
        stage_stopped(&s, i);
    assert_non_null(stage_find(&s, COORDINATOR_VERDICT, 0));
    for (uint32_t i = 0; i < 2; i++)
        stage_ready(&s, i, 2);
    stage_start(&s);
    for (uint32_t i = 0; i < 2; i++)
        stage_started(&s, i, 1);
    stage_forget(&s);
    stop(&s, 20000);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 2, .asking = 1});
    lose(&s, 1);
    assert_non_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, RENDEZVOUS_NO_STEP);
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_STOP)->stop.grace_ms, 0);
    stage_release(&s);
}

static void knows_the_newest(struct coordinator_config *config)
{
    is_adopted(config);
    config->saves_from = 100;
}

/* It knows of the newest alone that it was there before. The first leader had no step to go by when
 * it proposed 2. */
static void test_an_older_checkpoint_is_not_taken_for_what_is_saved_now(void **state)
{
    (void)state;
    struct stage s;
    next_leader(&s, knows_the_newest);
    for (uint32_t i = 0; i < 2; i++)
        answer(&s, i, (struct rendezvous_save_step){.proposed = 2, .reached = 101, .asking = 1});
    assert_true(ordered(&s, 0)->confirmed);
    checkpoints(&s, (const int64_t[]){100, 50, 0});
    assert_null(stage_find(&s, COORDINATOR_SAVE_ENDED, 0));
    checkpoints(&s, (const int64_t[]){101, 100, 50, 0});
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, 101);
    stage_release(&s);
}

static void has_saved(struct coordinator_config *config)
{
    is_adopted(config);
    config->newest_checkpoint = 122;
}

static void test_what_was_saved_before_the_change_of_leader_is_not_waited_for_again(void **state)
{
    (void)state;
    struct stage s;
    next_leader(&s, has_saved);
    for (uint32_t i = 0; i < 2; i++)
        answer(&s, i, (struct rendezvous_save_step){.proposed = 122, .reached = 123, .asking = 1});
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ENDED, 0)->out.step, 122);
    stage_release(&s);
}

static void test_ranks_that_have_obeyed_a_former_leader_cut_nobody_short(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, is_adopted);
    s.takes_orders = true;
    s.attempt = 1;
    s.digest = 7;
    stop(&s, 20000);
    struct rendezvous_message m = stage_hello_message(&s, 1, RENDEZVOUS_STATE_RUNNING, 1);
    struct rendezvous_exit exit =
        stage_exit_of(&s, 1, 0, RENDEZVOUS_CAUSE_KILLED_BY_US, 143, 0, 5000);
    m.hello.exits = &exit;
    m.hello.exits_count = 1;
    s.channels[1] = ++s.next_channel;
    stage_say(&s, 1, &m);
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 1);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_STOP)); /* it may be in the middle of its save */
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 2, .caught = 1});
    assert_null(stage_sent(&s, 0, RENDEZVOUS_STOP));
    advance(&s, 20000);
    assert_non_null(stage_sent(&s, 0, RENDEZVOUS_STOP));
    stage_release(&s);
}

static void test_the_next_leader_names_another_step_when_a_rank_has_passed_the_first(void **state)
{
    (void)state;
    struct stage s;
    next_leader(&s, is_adopted);
    answer(&s, 0, (struct rendezvous_save_step){.proposed = 122, .reached = 122, .asking = 1});
    answer(&s, 1,
           (struct rendezvous_save_step){
               .proposed = 122, .passed = true, .reached = 122, .asking = 1});
    int64_t named = ordered(&s, 0)->step;
    assert_true(named > 122);
    for (uint32_t i = 0; i < 2; i++)
        answer(&s, i, (struct rendezvous_save_step){.proposed = named, .asking = 1});
    assert_int_equal(stage_find(&s, COORDINATOR_SAVE_ORDERED, 0)->out.step, named);
    stage_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_step_is_proposed_agreed_to_and_then_confirmed_to_all),
        cmocka_unit_test(
            test_a_step_that_was_complete_before_it_was_confirmed_is_saved_all_the_same),
        cmocka_unit_test(test_a_step_that_a_rank_has_passed_is_replaced_by_a_later_one),
        cmocka_unit_test(test_ranks_that_catch_the_signal_have_until_a_newer_checkpoint),
        cmocka_unit_test(test_after_going_back_what_is_saved_ends_the_wait),
        cmocka_unit_test(test_after_going_back_the_very_step_that_was_given_up_can_be_saved),
        cmocka_unit_test(test_after_going_back_ranks_that_are_signalled_are_not_waited_for_in_vain),
        cmocka_unit_test(test_where_nobody_can_save_nobody_waits),
        cmocka_unit_test(test_who_catches_nothing_runs_on_until_the_grace_is_over),
        cmocka_unit_test(test_a_second_order_shortens_the_wait),
        cmocka_unit_test(test_when_all_ranks_have_ended_by_themselves_the_wait_ends),
        cmocka_unit_test(test_a_job_that_was_done_before_the_order_reached_it_is_complete),
        cmocka_unit_test(test_a_rank_that_fails_during_the_save_ends_the_wait),
        cmocka_unit_test(test_launchers_that_know_no_such_order_get_the_signal_and_the_grace),
        cmocka_unit_test(test_a_member_that_comes_back_is_told_again),
        cmocka_unit_test(test_a_pod_that_is_being_ended_makes_all_save_first),
        cmocka_unit_test(test_without_a_member_that_is_lost_nothing_is_confirmed),
        cmocka_unit_test(test_ranks_that_caught_the_signal_have_their_time_without_a_lost_member),
        cmocka_unit_test(test_a_member_that_is_lost_after_all_were_told_ends_no_save),
        cmocka_unit_test(test_the_next_leader_confirms_nothing_without_a_lost_member),
        cmocka_unit_test(test_the_attempt_after_an_adopted_one_waits_in_vain_for_nothing),
        cmocka_unit_test(test_the_next_leader_takes_up_the_step_that_was_agreed_to),
        cmocka_unit_test(test_an_older_checkpoint_is_not_taken_for_what_is_saved_now),
        cmocka_unit_test(test_what_was_saved_before_the_change_of_leader_is_not_waited_for_again),
        cmocka_unit_test(test_ranks_that_have_obeyed_a_former_leader_cut_nobody_short),
        cmocka_unit_test(test_the_next_leader_names_another_step_when_a_rank_has_passed_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
