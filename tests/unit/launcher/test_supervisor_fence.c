/* The fence: a launcher that hears nothing of a controller stops its ranks. */
#include <signal.h>
#include "supervisor_world.h"

#define FENCE_MS 60000

static void begin(struct world *w)
{
    struct rendezvous_message welcome = world_welcome(2), start = world_start(1);
    welcome.welcome.fence_ms = FENCE_MS;
    world_init(w);
    world_happen(w, SUPERVISOR_ON_OPENED);
    world_receive(w, &welcome);
    world_prepared(w);
    assert_int_equal(w->timer[SUPERVISOR_TIMER_FENCE], -1); /* nothing runs */
    world_receive(w, &start);
    assert_int_equal(w->timer[SUPERVISOR_TIMER_FENCE], FENCE_MS);
    uint32_t pids[2] = {101, 102};
    world_step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_SPAWNED,
                                            .spawned = {.pids = pids, .count = 2}});
    assert_int_equal(supervisor_state(w->s), SUPERVISOR_RUNNING);
    world_forget(w);
}

static void wait_and_look(struct world *w, int64_t ms)
{
    w->now_ms += ms;
    world_happen(w, SUPERVISOR_ON_FENCE_TIME);
}

static void ping(struct world *w)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_PING, .ping = {.nonce = 1}};
    world_receive(w, &m);
}

static void test_without_a_word_the_ranks_are_killed_and_it_is_ready_again(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    wait_and_look(&w, FENCE_MS);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_KILLING);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 1);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL], 0); /* no grace */
    /* The connection seemed to stand: a new one is made. */
    assert_int_equal(w.asked[SUPERVISOR_DO_DISCONNECT], 1);
    assert_true(w.timer[SUPERVISOR_TIMER_RECONNECT] >= 0);
    world_rank_ends(&w, 0, 0, SIGKILL);
    world_rank_ends(&w, 1, 0, SIGKILL);
    world_happen(&w, SUPERVISOR_ON_GONE);
    world_prepared(&w);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_READY);
    assert_int_equal(w.sent_count, 0); /* nobody is there to be told */
    world_happen(&w, SUPERVISOR_ON_RECONNECT_TIME);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    const struct rendezvous_message *hello = world_sent(&w, RENDEZVOUS_HELLO);
    assert_non_null(hello);
    assert_int_equal(hello->hello.state, RENDEZVOUS_STATE_READY);
    assert_int_equal(hello->attempt, 2);
    assert_int_equal(hello->hello.start_attempt, 1);
    assert_int_equal(hello->hello.exits_count, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(hello->hello.exits[i].cause, RENDEZVOUS_CAUSE_FENCED);
    /* The next attempt is listened for anew. */
    struct rendezvous_message welcome = world_welcome(2), start = world_start(2);
    welcome.welcome.fence_ms = FENCE_MS;
    world_receive(&w, &welcome);
    w.timer[SUPERVISOR_TIMER_FENCE] = -1;
    world_receive(&w, &start);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_FENCE], FENCE_MS);
    world_release(&w);
}

static void test_whatever_is_heard_in_time_puts_it_off(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    w.now_ms += 40000;
    ping(&w);
    int64_t heard_ms = w.now_ms;
    wait_and_look(&w, 20000);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_RUNNING);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_FENCE], heard_ms + FENCE_MS - w.now_ms);
    wait_and_look(&w, w.timer[SUPERVISOR_TIMER_FENCE]);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_KILLING);
    world_release(&w);
}

static void test_a_new_channel_in_time_puts_it_off_an_open_one_without_a_word_does_not(void **state)
{
    (void)state;
    for (int welcomed = 0; welcomed < 2; welcomed++) {
        struct world w;
        begin(&w);
        world_happen(&w, SUPERVISOR_ON_CLOSED);
        w.now_ms += 40000;
        world_happen(&w, SUPERVISOR_ON_OPENED);
        struct rendezvous_message welcome = world_welcome(2);
        welcome.welcome.fence_ms = FENCE_MS;
        struct rendezvous_message refused = {
            .type = RENDEZVOUS_REFUSED, .refused = {.reason = "this controller no longer leads"}};
        world_receive(&w, welcomed ? &welcome : &refused);
        wait_and_look(&w, 21000);
        assert_int_equal(supervisor_state(w.s), welcomed ? SUPERVISOR_RUNNING : SUPERVISOR_KILLING);
        world_release(&w);
    }
}

static void test_without_a_fence_no_silence_stops_a_rank(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    world_make_running(&w, 2);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_FENCE], -1);
    world_happen(&w, SUPERVISOR_ON_CLOSED);
    wait_and_look(&w, INT64_C(86400000));
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_RUNNING);
    world_release(&w);
}

static void test_the_ranks_of_a_job_that_is_gone_have_their_grace_for_themselves(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    struct rendezvous_message welcome = world_welcome(2);
    welcome.welcome.fence_ms = FENCE_MS;
    welcome.welcome.stop_signal = SIGTERM;
    welcome.welcome.stop_grace_ms = 3 * FENCE_MS;
    world_receive(&w, &welcome);
    world_receive(&w, &(struct rendezvous_message){
                          .type = RENDEZVOUS_REFUSED,
                          .refused = {.reason = "gone", .final = true, .gone = true}});
    world_happen(&w, SUPERVISOR_ON_CLOSED);
    wait_and_look(&w, FENCE_MS);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_STOPPING);
    world_release(&w);
}

/* A stopped controller closes nothing, and its kernel acknowledges what is sent. */
static void test_a_channel_on_which_nothing_is_heard_is_made_anew_and_the_ranks_run_on(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    world_make_running(&w, 2);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_SILENCE], SUPERVISOR_SILENCE_MS);
    w.now_ms += 9000;
    ping(&w);
    int64_t heard_ms = w.now_ms;
    w.now_ms += 6000;
    world_happen(&w, SUPERVISOR_ON_SILENCE_TIME);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_SILENCE],
                     heard_ms + SUPERVISOR_SILENCE_MS - w.now_ms);
    assert_int_equal(w.asked[SUPERVISOR_DO_DISCONNECT], 0);
    w.now_ms = heard_ms + SUPERVISOR_SILENCE_MS;
    world_happen(&w, SUPERVISOR_ON_SILENCE_TIME);
    assert_int_equal(w.asked[SUPERVISOR_DO_DISCONNECT], 1);
    assert_true(w.timer[SUPERVISOR_TIMER_RECONNECT] >= 0);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_RUNNING);
    world_happen(&w, SUPERVISOR_ON_SILENCE_TIME); /* of a channel that is not there any more */
    assert_int_equal(w.asked[SUPERVISOR_DO_DISCONNECT], 1);
    world_happen(&w, SUPERVISOR_ON_RECONNECT_TIME);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_SILENCE], SUPERVISOR_SILENCE_MS);
    world_release(&w);
}

static void test_ranks_that_save_by_order_are_killed_too_but_not_for_the_fences_sake(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    world_stop(&w, 1, 120000, SIGTERM);
    world_happen(&w, SUPERVISOR_ON_CLOSED);
    wait_and_look(&w, FENCE_MS);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_KILLING);
    world_rank_ends(&w, 0, 0, SIGKILL);
    world_rank_ends(&w, 1, 0, SIGKILL);
    world_happen(&w, SUPERVISOR_ON_GONE);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    assert_int_equal(world_sent(&w, RENDEZVOUS_HELLO)->hello.exits[0].cause,
                     RENDEZVOUS_CAUSE_KILLED_BY_US);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_word_the_ranks_are_killed_and_it_is_ready_again),
        cmocka_unit_test(test_whatever_is_heard_in_time_puts_it_off),
        cmocka_unit_test(
            test_a_new_channel_in_time_puts_it_off_an_open_one_without_a_word_does_not),
        cmocka_unit_test(test_without_a_fence_no_silence_stops_a_rank),
        cmocka_unit_test(test_the_ranks_of_a_job_that_is_gone_have_their_grace_for_themselves),
        cmocka_unit_test(
            test_a_channel_on_which_nothing_is_heard_is_made_anew_and_the_ranks_run_on),
        cmocka_unit_test(test_ranks_that_save_by_order_are_killed_too_but_not_for_the_fences_sake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
