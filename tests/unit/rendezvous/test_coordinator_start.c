/* Readiness, START and its repetition, replaced pods, adoption. */
#include "stage.h"

static void test_start_goes_out_only_when_every_member_is_ready(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 3, 2, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(stage_count(&s, COORDINATOR_GANG_READY), 0);
        assert_false(coordinator_start(s.c, 1, RENDEZVOUS_NO_STEP, "", s.now_ms));
        stage_hello(&s, i, RENDEZVOUS_STATE_IDLE, 0);
        stage_ready(&s, i, 1);
        assert_int_equal(coordinator_ready_count(s.c), i + 1);
    }
    assert_int_equal(stage_count(&s, COORDINATOR_GANG_READY), 1);
    assert_int_equal(stage_find(&s, COORDINATOR_GANG_READY, 0)->out.attempt, 1);
    assert_int_equal(stage_count(&s, COORDINATOR_MEMBER_JOINED), 3);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_START));
    stage_start(&s);
    for (uint32_t i = 0; i < 3; i++) {
        const struct rendezvous_message *m = stage_sent(&s, i, RENDEZVOUS_START);
        assert_non_null(m);
        assert_int_equal(m->attempt, 1);
        assert_int_equal(m->start.lease_transitions, 7);
        assert_int_equal(m->start.node_rank, i);
        assert_int_equal(m->start.nodes, 3);
        assert_int_equal(m->start.rank_base, i * 2);
        assert_int_equal(m->start.world_size, 6);
        assert_int_equal(m->start.role_world_size, 6);
        assert_string_equal(m->start.master_address, "127.0.0.1");
        assert_int_equal(m->start.master_port, 5000);
        assert_int_equal(m->start.resume_step, 1200);
        assert_string_equal(m->start.resume_path, "/checkpoints/step-1200");
    }
    assert_true(coordinator_is_running(s.c));
    assert_int_equal(coordinator_running_ranks(s.c), 6);
    stage_started(&s, 0, 900);
    stage_started(&s, 1, 4000);
    assert_int_equal(stage_count(&s, COORDINATOR_GANG_STARTED), 0);
    stage_started(&s, 2, 1000);
    assert_int_equal(stage_find(&s, COORDINATOR_GANG_STARTED, 0)->out.start_us, 4000);
    stage_release(&s);
}

static void test_welcome_tells_the_next_attempt_and_who_watches_checkpoints(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 4, NULL);
    stage_hello(&s, 0, RENDEZVOUS_STATE_IDLE, 0);
    stage_hello(&s, 1, RENDEZVOUS_STATE_IDLE, 0);
    const struct rendezvous_message *m = stage_sent(&s, 0, RENDEZVOUS_WELCOME);
    assert_int_equal(m->welcome.next_attempt, 1);
    assert_int_equal(m->welcome.lease_transitions, 7);
    assert_int_equal(m->welcome.nproc, 4);
    assert_true(m->welcome.watch_checkpoints);
    assert_string_equal(m->welcome.framework, "pytorch");
    assert_string_equal(m->welcome.checkpoint_path, "/checkpoints");
    assert_false(stage_sent(&s, 1, RENDEZVOUS_WELCOME)->welcome.watch_checkpoints);
    stage_release(&s);
}

static void roles(struct coordinator_config *config)
{
    static const struct coordinator_member members[] = {
        {.role = "worker", .role_order = 0, .slot = 1, .nproc = 2},
        {.role = "evaluator", .role_order = 1, .slot = 0, .nproc = 1},
        {.role = "worker", .role_order = 0, .slot = 0, .nproc = 2},
    };
    config->members = members;
    config->members_count = 3;
}

static void test_ranks_follow_roles_and_slots_and_nothing_else(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 2, roles);
    coordinator_expect_pod(s.c, "evaluator", 0, "pod-e");
    stage_all_ready(&s);
    struct rendezvous_message hello = stage_hello_message(&s, 0, RENDEZVOUS_STATE_READY, 1);
    hello.hello.role = "evaluator";
    hello.hello.pod_uid = "pod-e";
    s.channels[2] = 99;
    stage_say(&s, 2, &hello);
    assert_int_equal(stage_count(&s, COORDINATOR_GANG_READY), 1);
    stage_start(&s);
    const struct rendezvous_message *m = stage_sent(&s, 2, RENDEZVOUS_START);
    assert_int_equal(m->start.node_rank, 2);
    assert_int_equal(m->start.rank_base, 4);
    assert_int_equal(m->start.world_size, 5);
    assert_int_equal(m->start.role_rank_base, 0);
    assert_int_equal(m->start.role_world_size, 1);
    /* All members tell one digest, though the sizes of their roles differ. */
    assert_true(rendezvous_start_digest(1, &m->start) == s.digest);
    stage_release(&s);
}

static void test_a_member_that_missed_its_start_gets_it_with_its_hello(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    stage_close(&s, 1); /* while the status is written */
    assert_int_equal(stage_count(&s, COORDINATOR_MEMBER_ABSENT), 1);
    stage_start(&s);
    stage_hello(&s, 1, RENDEZVOUS_STATE_READY, 1);
    assert_int_equal(stage_sent(&s, 1, RENDEZVOUS_WELCOME)->welcome.next_attempt, 1);
    const struct rendezvous_message *m = stage_sent(&s, 1, RENDEZVOUS_START);
    assert_non_null(m);
    assert_true(rendezvous_start_digest(m->attempt, &m->start) == s.digest);
    stage_close(&s, 1);
    stage_hello(&s, 1, RENDEZVOUS_STATE_RUNNING, 1);
    assert_int_equal(stage_sent_count(&s, 1, RENDEZVOUS_START), 0); /* it has it */
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 0);
    stage_release(&s);
}

static void test_a_channel_that_comes_and_goes_makes_no_second_gang_ready(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    stage_close(&s, 1);
    stage_hello(&s, 1, RENDEZVOUS_STATE_READY, 1);
    assert_int_equal(stage_count(&s, COORDINATOR_GANG_READY), 1);
    stage_release(&s);
}

static void test_a_replaced_member_makes_the_gang_ready_again(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    coordinator_expect_pod(s.c, "worker", 1, "pod-1b");
    stage_drain(&s);
    assert_int_equal(stage_count(&s, COORDINATOR_CLOSE), 1); /* the former pod's channel */
    assert_int_equal(coordinator_ready_count(s.c), 1);
    assert_false(coordinator_start(s.c, 1, RENDEZVOUS_NO_STEP, "", s.now_ms));
    stage_hello(&s, 1, RENDEZVOUS_STATE_READY, 1); /* the former pod again */
    assert_int_equal(stage_count(&s, COORDINATOR_REFUSED), 1);
    assert_true(stage_sent(&s, 1, RENDEZVOUS_REFUSED)->refused.final);
    struct rendezvous_message hello = stage_hello_message(&s, 1, RENDEZVOUS_STATE_IDLE, 0);
    hello.hello.pod_uid = "pod-1b";
    s.channels[1] = s.next_channel++;
    stage_say(&s, 1, &hello);
    stage_ready(&s, 1, 1);
    assert_int_equal(stage_count(&s, COORDINATOR_GANG_READY), 2);
    stage_start(&s);
    stage_release(&s);
}

static void test_a_pod_that_is_being_ended_is_not_ready(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    struct rendezvous_message m = {
        .type = RENDEZVOUS_TERMINATING, .attempt = 1, .terminating = {.signal = 15}};
    stage_say(&s, 1, &m);
    assert_int_equal(stage_find(&s, COORDINATOR_TERMINATING, 0)->out.slot, 1);
    assert_int_equal(coordinator_ready_count(s.c), 1);
    stage_ready(&s, 1, 1);
    assert_int_equal(coordinator_ready_count(s.c), 1);
    assert_false(coordinator_start(s.c, 1, RENDEZVOUS_NO_STEP, "", s.now_ms));
    stage_release(&s);
}

static void test_welcome_tells_how_the_kubelets_stop_is_obeyed(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    stage_hello(&s, 0, RENDEZVOUS_STATE_IDLE, 0);
    const struct rendezvous_welcome *w = &stage_sent(&s, 0, RENDEZVOUS_WELCOME)->welcome;
    assert_int_equal(w->stop_signal, 15);
    assert_int_equal(w->stop_grace_ms, 30000);
    assert_true(w->takes_notices);
    stage_release(&s);
}

static void test_a_notice_is_handed_on_with_who_said_it(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    struct rendezvous_message m = {.type = RENDEZVOUS_NOTICE,
                                   .attempt = 77, /* of whatever attempt */
                                   .notice = {.severity = RENDEZVOUS_SEVERITY_WARNING,
                                              .reason = "CheckpointFolder",
                                              .words = "it does not answer"}};
    stage_say(&s, 1, &m);
    const struct stage_output *o = stage_find(&s, COORDINATOR_NOTICE, 0);
    assert_int_equal(o->out.severity, RENDEZVOUS_SEVERITY_WARNING);
    assert_int_equal(o->out.slot, 1);
    assert_string_equal(o->role, "worker");
    assert_string_equal(o->reason, "CheckpointFolder");
    assert_string_equal(o->words, "it does not answer");
    m.notice.reason = "not one word";
    stage_say(&s, 1, &m);
    assert_int_equal(stage_count(&s, COORDINATOR_NOTICE), 1);
    assert_int_equal(coordinator_refusals(s.c), 1);
    stage_start(&s); /* and nothing else has come of it */
    stage_release(&s);
}

static void test_ready_for_a_later_attempt_moves_the_next_start(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_hello(&s, 0, RENDEZVOUS_STATE_READY, 5);
    stage_hello(&s, 1, RENDEZVOUS_STATE_READY, 1);
    assert_int_equal(stage_find(&s, COORDINATOR_GANG_READY, 0)->out.attempt, 5);
    assert_false(coordinator_start(s.c, 1, RENDEZVOUS_NO_STEP, "", s.now_ms));
    stage_drain(&s);
    assert_int_equal(stage_count(&s, COORDINATOR_GANG_READY), 2);
    stage_ready(&s, 1, COORDINATOR_ATTEMPT_MAX + UINT64_C(1));
    assert_int_equal(coordinator_refusals(s.c), 1);
    s.attempt = 4;
    stage_start(&s);
    assert_int_equal(stage_sent(&s, 1, RENDEZVOUS_START)->attempt, 5);
    stage_release(&s);
}

/* ---- a new leader ---- */

static void adopting(struct coordinator_config *config)
{
    config->attempt = 4;
    config->adopt = true;
}

static void test_members_of_one_start_are_adopted(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 3, 2, adopting);
    s.digest = 0xabc;
    stage_hello(&s, 2, RENDEZVOUS_STATE_RUNNING, 4);
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 4);
    assert_int_equal(stage_count(&s, COORDINATOR_ADOPTED), 0);
    stage_hello(&s, 1, RENDEZVOUS_STATE_RUNNING, 4);
    assert_int_equal(stage_find(&s, COORDINATOR_ADOPTED, 0)->out.attempt, 4);
    assert_int_equal(stage_count(&s, COORDINATOR_DIVERGED), 0);
    assert_int_equal(coordinator_running_ranks(s.c), 6);
    for (uint32_t i = 0; i < 3; i++)
        assert_null(stage_sent(&s, i, RENDEZVOUS_STOP));
    /* From here on it is an attempt as any other. */
    stage_exit(&s, 0, 1, RENDEZVOUS_CAUSE_EXITED, 3, 0, 99);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 1);
    stage_release(&s);
}

static void test_an_attempt_that_ended_well_without_a_leader_is_completed(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, adopting);
    s.digest = 0xabc;
    for (uint32_t i = 0; i < 2; i++) {
        struct rendezvous_exit e = stage_exit_of(&s, i, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 50);
        struct rendezvous_message m = stage_hello_message(&s, i, RENDEZVOUS_STATE_READY, 5);
        m.hello.start_digest = s.digest;
        m.hello.start_attempt = 4;
        m.hello.exits = &e;
        m.hello.exits_count = 1;
        s.channels[i] = s.next_channel++;
        stage_say(&s, i, &m);
    }
    assert_int_equal(stage_count(&s, COORDINATOR_COMPLETED), 1);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 0);
    assert_int_equal(stage_count(&s, COORDINATOR_GANG_READY), 0);
    stage_release(&s);
}

static void test_an_attempt_that_failed_without_a_leader_gets_its_verdict(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, adopting);
    s.digest = 0xabc;
    struct rendezvous_exit e = stage_exit_of(&s, 1, 0, RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE, 0, 9, 50);
    struct rendezvous_message m = stage_hello_message(&s, 1, RENDEZVOUS_STATE_STOPPED, 4);
    m.hello.exits = &e;
    m.hello.exits_count = 1;
    s.channels[1] = s.next_channel++;
    stage_say(&s, 1, &m);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 1);
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 4);
    assert_non_null(stage_sent(&s, 0, RENDEZVOUS_STOP));
    stage_stopped(&s, 0);
    const struct stage_output *v = stage_find(&s, COORDINATOR_VERDICT, 0);
    assert_non_null(v);
    assert_false(v->out.verdict.diverged);
    assert_int_equal(v->out.verdict.signal, 9);
    stage_release(&s);
}

static void test_different_starts_diverge(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, adopting);
    s.digest = 0xabc;
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 4);
    s.digest = 0xdef;
    stage_hello(&s, 1, RENDEZVOUS_STATE_RUNNING, 4);
    assert_int_equal(stage_count(&s, COORDINATOR_DIVERGED), 1);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(stage_sent(&s, i, RENDEZVOUS_STOP)->attempt, 4);
        assert_int_equal(stage_sent(&s, i, RENDEZVOUS_STOP)->stop.grace_ms, 30000);
        stage_stopped(&s, i);
    }
    assert_true(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.diverged);
    stage_ready(&s, 0, 5);
    stage_ready(&s, 1, 5);
    assert_int_equal(stage_find(&s, COORDINATOR_GANG_READY, 0)->out.attempt, 5);
    stage_release(&s);
}

static void test_nobody_waits_when_no_member_got_the_start(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, adopting);
    for (uint32_t i = 0; i < 2; i++) {
        struct rendezvous_message m = stage_hello_message(&s, i, RENDEZVOUS_STATE_READY, 4);
        m.hello.start_attempt = 3; /* what it ran before */
        m.hello.start_digest = 0x333;
        s.channels[i] = s.next_channel++;
        stage_say(&s, i, &m);
    }
    assert_int_equal(stage_count(&s, COORDINATOR_DIVERGED), 1);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 1);
    assert_true(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.diverged);
    assert_int_equal(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.attempt, 4);
    /* Ready for 4 is ready enough for 5, and 4 is used up. */
    assert_int_equal(stage_find(&s, COORDINATOR_GANG_READY, 0)->out.attempt, 5);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_START));
    stage_release(&s);
}

static void test_a_member_that_does_not_come_back_in_time_makes_the_attempt_diverge(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, adopting);
    s.digest = 0xabc;
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 4);
    assert_true(coordinator_wake_ms(s.c) <= 1000 + COORDINATOR_REJOIN_MS_DEFAULT);
    s.now_ms = 1000 + COORDINATOR_REJOIN_MS_DEFAULT;
    coordinator_timer(s.c, s.now_ms);
    stage_drain(&s);
    assert_int_equal(stage_count(&s, COORDINATOR_DIVERGED), 1);
    stage_stopped(&s, 0);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 0); /* the other one may still run */
    stage_hello(&s, 1, RENDEZVOUS_STATE_RUNNING, 4);
    assert_non_null(stage_sent(&s, 1, RENDEZVOUS_STOP));
    stage_stopped(&s, 1);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 1);
    stage_release(&s);
}

static void test_members_that_were_being_stopped_are_not_blamed(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, adopting);
    s.digest = 0xabc;
    struct rendezvous_exit e = stage_exit_of(&s, 0, 0, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, 15, 50);
    struct rendezvous_message m = stage_hello_message(&s, 0, RENDEZVOUS_STATE_STOPPED, 4);
    m.hello.exits = &e;
    m.hello.exits_count = 1;
    s.channels[0] = s.next_channel++;
    stage_say(&s, 0, &m);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 0);
    assert_true(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.diverged);
    stage_release(&s);
}

/* Its launcher had nobody to tell, and stopped the ranks by itself: they died of the signal, or
 * saved and left. */
static void ended_while_nobody_led(int32_t signal)
{
    struct stage s;
    stage_init(&s, 2, 1, adopting);
    s.digest = 0xabc;
    struct rendezvous_exit e =
        stage_exit_of(&s, 1, 0, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, signal, 50);
    struct rendezvous_message m = stage_hello_message(&s, 1, RENDEZVOUS_STATE_STOPPED, 4);
    m.hello.exits = &e;
    m.hello.exits_count = 1;
    m.hello.terminating = true;
    s.channels[1] = s.next_channel++;
    stage_say(&s, 1, &m);
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 4);
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_STOP)->stop.grace_ms, 30000);
    stage_stopped(&s, 0);
    const struct stage_output *v = stage_find(&s, COORDINATOR_VERDICT, 0);
    assert_non_null(v);
    assert_true(v->out.verdict.infrastructure);
    assert_false(v->out.verdict.diverged);
    assert_int_equal(v->out.verdict.slot, 1);
    assert_non_null(strstr(v->out.verdict.words, "its pod is being terminated"));
    stage_release(&s);
}

static void test_a_pod_that_was_ended_while_nobody_led_is_what_ended_the_attempt(void **state)
{
    (void)state;
    ended_while_nobody_led(15);
    ended_while_nobody_led(0);
}

static void adopting_rank0(struct coordinator_config *config)
{
    adopting(config);
    config->rank0_decides = true;
}

static void test_a_job_that_rank_0_completed_is_not_begun_again_by_a_new_leader(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, adopting_rank0);
    s.digest = 0xabc;
    stage_hello(&s, 1, RENDEZVOUS_STATE_STOPPING, 4); /* the former leader had told it to */
    assert_int_equal(stage_count(&s, COORDINATOR_DIVERGED), 1);
    struct rendezvous_exit e = stage_exit_of(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 50);
    struct rendezvous_message m = stage_hello_message(&s, 0, RENDEZVOUS_STATE_STOPPED, 4);
    m.hello.exits = &e;
    m.hello.exits_count = 1;
    s.channels[0] = s.next_channel++;
    stage_say(&s, 0, &m);
    stage_stopped(&s, 1);
    assert_int_equal(stage_count(&s, COORDINATOR_COMPLETED), 1);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 0);
    stage_release(&s);
}

/* Its channel was cut without a word, and then its pod was deleted: it had never begun. */
static void test_a_pod_that_is_ended_before_its_start_came_is_nobodys_fault(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    stage_start(&s);
    stage_started(&s, 0, 900);
    stage_close(&s, 1);
    struct rendezvous_message hello = stage_hello_message(&s, 1, RENDEZVOUS_STATE_IDLE, 0);
    hello.hello.terminating = true;
    s.channels[1] = ++s.next_channel;
    stage_say(&s, 1, &hello);
    const struct stage_output *trigger = stage_find(&s, COORDINATOR_TRIGGER, 0);
    assert_non_null(trigger);
    assert_non_null(strstr(trigger->words, "START had not reached it"));
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, 9, 100);
    stage_stopped(&s, 0);
    const struct stage_output *verdict = stage_find(&s, COORDINATOR_VERDICT, 0);
    assert_non_null(verdict);
    assert_true(verdict->out.verdict.infrastructure);
    stage_release(&s);
}

/* Its TERMINATING was lost with a channel that nobody noticed to be cut. */
static void test_a_pod_that_is_being_ended_is_not_ready_any_more_when_it_comes_back(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_all_ready(&s);
    stage_start(&s);
    stage_started(&s, 0, 900);
    stage_started(&s, 1, 900);
    stage_forget(&s);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 100);
    stage_stopped(&s, 1);
    stage_ready(&s, 1, 2);
    struct rendezvous_message hello = stage_hello_message(&s, 1, RENDEZVOUS_STATE_READY, 2);
    hello.hello.terminating = true;
    stage_close(&s, 1);
    s.channels[1] = ++s.next_channel;
    stage_say(&s, 1, &hello); /* and the coordinator's invariants hold */
    stage_stopped(&s, 0);
    stage_ready(&s, 0, 2);
    assert_null(stage_find(&s, COORDINATOR_GANG_READY, 0));
    stage_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod_that_is_being_ended_is_not_ready_any_more_when_it_comes_back),
        cmocka_unit_test(test_a_pod_that_is_ended_before_its_start_came_is_nobodys_fault),
        cmocka_unit_test(test_start_goes_out_only_when_every_member_is_ready),
        cmocka_unit_test(test_welcome_tells_the_next_attempt_and_who_watches_checkpoints),
        cmocka_unit_test(test_ranks_follow_roles_and_slots_and_nothing_else),
        cmocka_unit_test(test_a_member_that_missed_its_start_gets_it_with_its_hello),
        cmocka_unit_test(test_a_channel_that_comes_and_goes_makes_no_second_gang_ready),
        cmocka_unit_test(test_a_replaced_member_makes_the_gang_ready_again),
        cmocka_unit_test(test_a_pod_that_is_being_ended_is_not_ready),
        cmocka_unit_test(test_welcome_tells_how_the_kubelets_stop_is_obeyed),
        cmocka_unit_test(test_a_notice_is_handed_on_with_who_said_it),
        cmocka_unit_test(test_ready_for_a_later_attempt_moves_the_next_start),
        cmocka_unit_test(test_members_of_one_start_are_adopted),
        cmocka_unit_test(test_an_attempt_that_ended_well_without_a_leader_is_completed),
        cmocka_unit_test(test_an_attempt_that_failed_without_a_leader_gets_its_verdict),
        cmocka_unit_test(test_different_starts_diverge),
        cmocka_unit_test(test_nobody_waits_when_no_member_got_the_start),
        cmocka_unit_test(test_a_member_that_does_not_come_back_in_time_makes_the_attempt_diverge),
        cmocka_unit_test(test_a_job_that_rank_0_completed_is_not_begun_again_by_a_new_leader),
        cmocka_unit_test(test_members_that_were_being_stopped_are_not_blamed),
        cmocka_unit_test(test_a_pod_that_was_ended_while_nobody_led_is_what_ended_the_attempt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
