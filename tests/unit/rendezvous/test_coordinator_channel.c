/* Who may speak: refusals, fences, silence, channels that change. */
#include "stage.h"

static void test_strangers_are_refused_with_words(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    static const struct {
        const char *sentence, *role, *pod;
        uint32_t slot;
        uint64_t lease;
        bool final;
        const char *words;
    } rows[] = {
        {"another role", "judge", "pod-0", 0, 0, true, "research/llama has no member judge 0"},
        {"a slot that the gang does not have", "worker", "pod-2", 2, 0, true,
         "research/llama has no member worker 2"},
        {"a pod that does not hold the slot", "worker", "pod-x", 1, 0, false,
         "pod pod-x does not hold worker 1"},
        {"a member that has seen a later leader", "worker", "pod-0", 0, 8, false,
         "this controller (lease transition 7) no longer leads"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rendezvous_message m = stage_hello_message(&s, 0, RENDEZVOUS_STATE_IDLE, 0);
        m.hello.role = rows[i].role;
        m.hello.slot = rows[i].slot;
        m.hello.pod_uid = rows[i].pod;
        m.hello.lease_transitions = rows[i].lease;
        s.channels[0] = s.next_channel++;
        stage_say(&s, 0, &m);
        const struct rendezvous_message *refused = stage_sent(&s, 0, RENDEZVOUS_REFUSED);
        assert_non_null(refused);
        assert_string_equal(refused->refused.reason, rows[i].words);
        assert_int_equal(refused->refused.final, rows[i].final);
        assert_string_equal(stage_find(&s, COORDINATOR_CLOSE, (unsigned)i)->words, rows[i].words);
        assert_int_equal(coordinator_refusals(s.c), i + 1);
    }
    assert_int_equal(stage_count(&s, COORDINATOR_MEMBER_JOINED), 0);
    stage_release(&s);
}

static void test_hello_comes_first(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    s.channels[0] = 5;
    stage_ready(&s, 0, 1);
    assert_string_equal(stage_find(&s, COORDINATOR_CLOSE, 0)->words, "READY before HELLO");
    assert_int_equal(coordinator_ready_count(s.c), 0);
    stage_release(&s);
}

static void test_a_broken_message_closes_only_its_channel(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    struct rendezvous_frame frame = {.version = 1, .type = RENDEZVOUS_PROGRESS, .attempt = 1};
    coordinator_frame(s.c, s.channels[1], &frame, s.now_ms);
    stage_drain(&s);
    assert_int_equal(stage_find(&s, COORDINATOR_MEMBER_ABSENT, 0)->out.slot, 1);
    assert_string_equal(stage_find(&s, COORDINATOR_CLOSE, 0)->words,
                        "PROGRESS.step: the payload ends before it");
    assert_int_equal(stage_count(&s, COORDINATOR_CLOSE), 1);
    stage_release(&s);
}

static void test_messages_of_another_attempt_are_refused_and_counted(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    stage_all_ready(&s);
    stage_start(&s);
    static const uint64_t attempts[] = {0, 2, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        s.attempt = attempts[i];
        stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 10);
        stage_stopped(&s, 0);
        stage_started(&s, 0, 1);
    }
    struct rendezvous_message m = {
        .type = RENDEZVOUS_PROGRESS, .attempt = 2, .progress = {.step = 5}};
    stage_say(&s, 0, &m);
    assert_int_equal(coordinator_refusals(s.c), 10);
    assert_int_equal(stage_count(&s, COORDINATOR_REFUSED), 10);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER) + stage_count(&s, COORDINATOR_PROGRESS),
                     0);
    assert_int_equal(coordinator_running_ranks(s.c), 1);
    assert_int_equal(stage_count(&s, COORDINATOR_CLOSE), 0);
    s.attempt = 1;
    stage_release(&s);
}

static void test_a_member_cannot_end_the_rank_of_another(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    stage_start(&s);
    struct rendezvous_message m = {.type = RENDEZVOUS_RANK_EXIT, .attempt = 1};
    m.rank_exit.exit = stage_exit_of(&s, 1, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 10);
    stage_say(&s, 0, &m);
    assert_int_equal(coordinator_refusals(s.c), 1);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 0);
    stage_release(&s);
}

static void check(struct stage *s)
{
    s->now_ms = coordinator_wake_ms(s->c);
    coordinator_timer(s->c, s->now_ms);
    stage_drain(s);
}

static void pong(struct stage *s, uint32_t slot)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_PONG, .attempt = 0};
    stage_say(s, slot, &m);
}

/* HELLO in the name of the only member on a channel of its own. */
static void somebody_says_hello(struct stage *s)
{
    uint64_t own = s->channels[0];
    stage_hello(s, 0, RENDEZVOUS_STATE_READY, 1);
    s->channels[0] = own;
}

static void test_a_member_that_answers_is_not_pushed_aside(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    stage_all_ready(&s);
    stage_start(&s);
    stage_forget(&s);
    for (int i = 1; i <= 20; i++) {
        uint64_t stranger = s.next_channel;
        somebody_says_hello(&s);
        assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_PING), i);
        assert_int_equal(stage_find(&s, COORDINATOR_CLOSE, (unsigned)i - 1)->out.channel, stranger);
        pong(&s, 0);
        s.now_ms += COORDINATOR_CHALLENGE_MS;
    }
    assert_int_equal(stage_count(&s, COORDINATOR_CLOSE), 20);
    assert_int_equal(stage_count(&s, COORDINATOR_MEMBER_ABSENT), 0);
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_WELCOME), 0);
    assert_int_equal(coordinator_running_ranks(s.c), 1);
    stage_release(&s);
}

static void test_whoever_is_asked_to_wait_is_told_so_and_may_come_again(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    stage_all_ready(&s);
    stage_hello(&s, 0, RENDEZVOUS_STATE_READY, 1);
    const struct rendezvous_message *refused = stage_sent(&s, 0, RENDEZVOUS_REFUSED);
    assert_non_null(refused);
    assert_false(refused->refused.final);
    assert_string_equal(refused->refused.reason,
                        "worker 0 is here on another channel, and is asked whether it still is");
    stage_release(&s);
}

/* Its connection has broken in a way that only it has noticed. */
static void test_a_member_that_does_not_answer_loses_its_channel_to_the_next_hello(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    stage_all_ready(&s);
    stage_start(&s);
    stage_forget(&s);
    uint64_t first = s.channels[0];
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 1);
    s.now_ms += COORDINATOR_CHALLENGE_MS - 1;
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 1); /* it has not had its time yet */
    assert_int_equal(stage_count(&s, COORDINATOR_CLOSE), 2);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_WELCOME));
    s.now_ms += 1;
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 1);
    assert_non_null(stage_sent(&s, 0, RENDEZVOUS_WELCOME));
    assert_int_equal(stage_find(&s, COORDINATOR_CLOSE, 2)->out.channel, first);
    assert_int_equal(stage_count(&s, COORDINATOR_MEMBER_ABSENT), 0);
    assert_int_equal(stage_count(&s, COORDINATOR_MEMBER_JOINED), 0); /* it has never been away */
    coordinator_closed(s.c, first, s.now_ms); /* of no interest any more */
    stage_drain(&s);
    assert_int_equal(stage_count(&s, COORDINATOR_MEMBER_ABSENT), 0);
    assert_int_equal(coordinator_running_ranks(s.c), 1);
    stage_release(&s);
}

static void test_a_question_that_was_answered_once_is_asked_anew(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    stage_all_ready(&s);
    somebody_says_hello(&s);
    pong(&s, 0);
    s.now_ms += 10 * COORDINATOR_CHALLENGE_MS;
    stage_forget(&s);
    somebody_says_hello(&s);
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_WELCOME), 0);
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_PING), 1);
    stage_release(&s);
}

static void test_a_member_that_is_silent_anyway_need_not_be_asked(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    stage_all_ready(&s);
    uint64_t first = s.channels[0];
    while (!stage_count(&s, COORDINATOR_SUSPECT))
        check(&s);
    stage_hello(&s, 0, RENDEZVOUS_STATE_READY, 1);
    assert_int_equal(stage_find(&s, COORDINATOR_CLOSE, 0)->out.channel, first);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_REFUSED));
    assert_int_equal(coordinator_ready_count(s.c), 1);
    stage_release(&s);
}

static void test_a_member_that_has_left_its_channel_comes_back_at_once(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    stage_all_ready(&s);
    somebody_says_hello(&s);
    stage_close(&s, 0);
    stage_forget(&s);
    stage_hello(&s, 0, RENDEZVOUS_STATE_READY, 1);
    assert_non_null(stage_sent(&s, 0, RENDEZVOUS_WELCOME));
    stage_forget(&s);
    somebody_says_hello(&s); /* what the former channel was asked does not count on this one */
    s.now_ms += COORDINATOR_CHALLENGE_MS - 1;
    somebody_says_hello(&s);
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_WELCOME), 0);
    stage_release(&s);
}

/* A channel that is refused is closed: whoever sat there is away. */
static void test_a_member_that_asks_for_another_seat_loses_its_own(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    struct rendezvous_message m = stage_hello_message(&s, 1, RENDEZVOUS_STATE_READY, 1);
    stage_forget(&s);
    stage_say(&s, 0, &m); /* worker 0's channel says that it is worker 1 */
    assert_int_equal(stage_find(&s, COORDINATOR_CLOSE, 0)->out.channel, s.channels[0]);
    assert_int_equal(stage_find(&s, COORDINATOR_MEMBER_ABSENT, 0)->out.slot, 0);
    assert_int_equal(stage_count(&s, COORDINATOR_MEMBER_ABSENT), 1);
    stage_release(&s);
}

/* A launcher on which nothing is heard makes its channel anew. */
static void test_a_launcher_that_talks_all_the_time_is_pinged_now_and_then(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    stage_all_ready(&s);
    for (int i = 1; i <= 3 * COORDINATOR_PING_CHECKS; i++) {
        check(&s);
        assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_PING), i / COORDINATOR_PING_CHECKS);
        pong(&s, 0);
    }
    stage_release(&s);
}

static void test_a_silent_channel_is_pinged_suspected_and_then_closed(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    assert_int_equal(coordinator_wake_ms(s.c), s.now_ms + COORDINATOR_CHECK_MS);
    check(&s); /* both have just been heard */
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_PING), 0);
    check(&s);
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_PING), 1);
    assert_int_equal(stage_sent_count(&s, 1, RENDEZVOUS_PING), 1);
    assert_int_equal(stage_count(&s, COORDINATOR_SUSPECT), 0);
    pong(&s, 0); /* the second does not answer */
    check(&s);
    assert_true(s.now_ms - 1000 < 5000); /* since the last word */
    assert_int_equal(stage_count(&s, COORDINATOR_SUSPECT), 1);
    assert_int_equal(stage_find(&s, COORDINATOR_SUSPECT, 0)->out.slot, 1);
    assert_int_equal(coordinator_heard_ms(s.c, "worker", 1), 1000);
    while (!stage_count(&s, COORDINATOR_CLOSE)) {
        pong(&s, 0);
        check(&s);
    }
    assert_int_equal(s.now_ms, 1000 + (COORDINATOR_CHECKS_MAX + 1) * COORDINATOR_CHECK_MS);
    assert_int_equal(stage_count(&s, COORDINATOR_SUSPECT), 1);
    assert_int_equal(stage_sent_count(&s, 1, RENDEZVOUS_PING), 1);
    assert_int_equal(stage_find(&s, COORDINATOR_CLOSE, 0)->out.channel, s.channels[1]);
    assert_int_equal(stage_find(&s, COORDINATOR_MEMBER_ABSENT, 0)->out.slot, 1);
    stage_release(&s);
}

static void test_whoever_is_heard_again_is_suspected_no_longer(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    stage_all_ready(&s);
    stage_start(&s);
    for (int i = 0; i < 3; i++)
        check(&s);
    assert_int_equal(stage_count(&s, COORDINATOR_SUSPECT), 1);
    pong(&s, 0);
    assert_int_equal(stage_count(&s, COORDINATOR_CLEARED), 1);
    for (int i = 0; i < 3; i++)
        check(&s);
    assert_int_equal(stage_count(&s, COORDINATOR_SUSPECT), 2);
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 1); /* it has come on another channel */
    assert_int_equal(stage_count(&s, COORDINATOR_CLEARED), 2);
    assert_int_equal(stage_count(&s, COORDINATOR_MEMBER_ABSENT), 0);
    assert_int_equal(coordinator_running_ranks(s.c), 1);
    stage_release(&s);
}

static void test_a_controller_that_was_held_up_suspects_nobody(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    check(&s);
    s.now_ms += 60000;
    coordinator_timer(s.c, s.now_ms);
    stage_drain(&s);
    assert_int_equal(stage_count(&s, COORDINATOR_SUSPECT) + stage_count(&s, COORDINATOR_CLOSE), 0);
    stage_release(&s);
}

static void test_a_launcher_with_a_fence_hears_from_us_however_much_it_says(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    struct rendezvous_welcome welcome = {.framework = "plain", .fence_ms = 10000};
    assert_true(coordinator_set_welcome(s.c, &welcome));
    stage_all_ready(&s);
    for (unsigned i = 1; i <= 10; i++) {
        pong(&s, 0);
        check(&s);
        assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_PING), i);
    }
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_WELCOME)->welcome.fence_ms, 10000);
    stage_release(&s);
}

static void test_a_lost_pod_is_refused_for_good_on_its_old_channel_and_on_a_new_one(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    stage_start(&s);
    uint64_t old = s.channels[1];
    const struct coordinator_loss loss = {.infrastructure = true, .words = "node002 is gone"};
    coordinator_pod_lost(s.c, "worker", 1, &loss, s.now_ms);
    stage_drain(&s);
    const struct rendezvous_message *refused = stage_sent(&s, 1, RENDEZVOUS_REFUSED);
    assert_non_null(refused);
    assert_true(refused->refused.final);
    assert_int_equal(stage_find(&s, COORDINATOR_CLOSE, 0)->out.channel, old);
    for (int again = 0; again < 2; again++) {
        stage_hello(&s, 1, RENDEZVOUS_STATE_RUNNING, 1);
        refused = stage_sent(&s, 1, RENDEZVOUS_REFUSED);
        assert_non_null(refused);
        assert_true(refused->refused.final);
        assert_string_equal(refused->refused.reason, "pod pod-1 does not hold worker 1 any more");
        coordinator_expect_pod(s.c, "worker", 1, "pod-1-r2"); /* its place is taken now */
        stage_drain(&s);
    }
    /* A list that did not hold it was wrong: it is the slot's own again. */
    coordinator_expect_pod(s.c, "worker", 1, "pod-1");
    stage_hello(&s, 1, RENDEZVOUS_STATE_IDLE, 0);
    assert_non_null(stage_sent(&s, 1, RENDEZVOUS_WELCOME));
    stage_release(&s);
}

static void test_a_stranger_is_refused_for_good_where_the_slots_own_pod_is_here(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    struct rendezvous_message m = stage_hello_message(&s, 0, RENDEZVOUS_STATE_RUNNING, 1);
    m.hello.pod_uid = "pod-x";
    uint64_t own = 0;
    for (int here = 0; here < 3; here++) {
        s.channels[0] = s.next_channel++;
        stage_say(&s, 0, &m);
        assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_REFUSED)->refused.final, here > 0);
        if (here == 0) { /* a new leader is told by the API server who was there before */
            coordinator_former_pod(s.c, "worker", 0, "pod-x");
        } else {
            coordinator_former_pod(s.c, "worker", 0, "pod-y");
            if (!own)
                stage_hello(&s, 0, RENDEZVOUS_STATE_IDLE, 0);
            own = own ? own : s.channels[0];
        }
    }
    coordinator_former_pod(s.c, "worker", 0, "pod-0"); /* never its own */
    s.channels[0] = own;
    stage_close(&s, 0);
    stage_hello(&s, 0, RENDEZVOUS_STATE_IDLE, 0);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_REFUSED));
    stage_release(&s);
}

static void test_steps_are_told_by_the_member_that_is_ahead(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    stage_start(&s);
    static const struct {
        uint32_t slot;
        int64_t step;
        bool told;
    } rows[] = {{1, 10, true}, {0, 10, false}, {0, 9, false},
                {1, 10, true}, {0, 11, true},  {1, 11, false}};
    unsigned told = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rendezvous_message m = {.type = RENDEZVOUS_PROGRESS,
                                       .attempt = 1,
                                       .progress = {.step = rows[i].step, .total_steps = 100}};
        stage_say(&s, rows[i].slot, &m);
        told += rows[i].told;
        assert_int_equal(stage_count(&s, COORDINATOR_PROGRESS), told);
    }
    assert_int_equal(stage_find(&s, COORDINATOR_PROGRESS, 2)->out.step, 11);
    assert_int_equal(stage_find(&s, COORDINATOR_PROGRESS, 2)->out.total_steps, 100);
    stage_release(&s);
}

static void test_checkpoints_are_handed_on_from_reports_and_hellos(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    struct rendezvous_checkpoint list[2] = {{.step = 40, .path = "/c/40"},
                                            {.step = 20, .path = "/c/20"}};
    struct rendezvous_message m = stage_hello_message(&s, 0, RENDEZVOUS_STATE_IDLE, 0);
    m.hello.checkpoints = list;
    m.hello.checkpoints_count = 2;
    s.channels[0] = 1;
    stage_say(&s, 0, &m);
    assert_int_equal(stage_find(&s, COORDINATOR_CHECKPOINT, 0)->out.checkpoints_count, 2);
    assert_int_equal(stage_find(&s, COORDINATOR_CHECKPOINT, 0)->first_checkpoint, 40);
    assert_int_equal(stage_find(&s, COORDINATOR_CHECKPOINT, 0)->out.torn_step, RENDEZVOUS_NO_STEP);
    m = (struct rendezvous_message){
        .type = RENDEZVOUS_CHECKPOINT,
        .attempt = 0,
        .checkpoint = {.checkpoints = list, .checkpoints_count = 1, .torn_step = 60}};
    stage_say(&s, 0, &m);
    assert_int_equal(stage_find(&s, COORDINATOR_CHECKPOINT, 1)->out.checkpoints_count, 1);
    assert_int_equal(stage_find(&s, COORDINATOR_CHECKPOINT, 1)->out.torn_step, 60);
    stage_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strangers_are_refused_with_words),
        cmocka_unit_test(test_hello_comes_first),
        cmocka_unit_test(test_a_broken_message_closes_only_its_channel),
        cmocka_unit_test(test_messages_of_another_attempt_are_refused_and_counted),
        cmocka_unit_test(test_a_member_cannot_end_the_rank_of_another),
        cmocka_unit_test(test_a_member_that_answers_is_not_pushed_aside),
        cmocka_unit_test(test_whoever_is_asked_to_wait_is_told_so_and_may_come_again),
        cmocka_unit_test(test_a_member_that_does_not_answer_loses_its_channel_to_the_next_hello),
        cmocka_unit_test(test_a_question_that_was_answered_once_is_asked_anew),
        cmocka_unit_test(test_a_member_that_is_silent_anyway_need_not_be_asked),
        cmocka_unit_test(test_a_member_that_has_left_its_channel_comes_back_at_once),
        cmocka_unit_test(test_a_member_that_asks_for_another_seat_loses_its_own),
        cmocka_unit_test(test_a_launcher_that_talks_all_the_time_is_pinged_now_and_then),
        cmocka_unit_test(test_a_silent_channel_is_pinged_suspected_and_then_closed),
        cmocka_unit_test(test_whoever_is_heard_again_is_suspected_no_longer),
        cmocka_unit_test(test_a_controller_that_was_held_up_suspects_nobody),
        cmocka_unit_test(test_a_launcher_with_a_fence_hears_from_us_however_much_it_says),
        cmocka_unit_test(test_a_lost_pod_is_refused_for_good_on_its_old_channel_and_on_a_new_one),
        cmocka_unit_test(test_a_stranger_is_refused_for_good_where_the_slots_own_pod_is_here),
        cmocka_unit_test(test_steps_are_told_by_the_member_that_is_ahead),
        cmocka_unit_test(test_checkpoints_are_handed_on_from_reports_and_hellos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
