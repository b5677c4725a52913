/* Trigger and verdict, requested stops, completion, exit. */
#include "stage.h"

static void running(struct stage *s, uint32_t members, uint32_t nproc,
                    void (*change)(struct coordinator_config *))
{
    stage_init(s, members, nproc, change);
    stage_all_ready(s);
    stage_start(s);
    stage_forget(s);
}

static void test_the_first_failure_stops_all_at_once(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 2, NULL);
    stage_exit(&s, 1, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 70);
    assert_string_equal(stage_find(&s, COORDINATOR_TRIGGER, 0)->words,
                        "rank 2 (worker 1 on node002) exited with code 1");
    for (uint32_t i = 0; i < 2; i++) { /* its own siblings too */
        const struct rendezvous_message *m = stage_sent(&s, i, RENDEZVOUS_STOP);
        assert_non_null(m);
        assert_int_equal(m->attempt, 1);
        assert_int_equal(m->stop.grace_ms, 0);
    }
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, 9, 80);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 1);
    stage_stopped(&s, 1);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 0);
    stage_stopped(&s, 0);
    const struct stage_output *v = stage_find(&s, COORDINATOR_VERDICT, 0);
    assert_non_null(v);
    assert_string_equal(v->words, "rank 2 (worker 1 on node002) exited with code 1");
    assert_int_equal(v->out.verdict.attempt, 1);
    assert_int_equal(v->out.verdict.rank, 2);
    assert_int_equal(v->out.verdict.slot, 1);
    assert_int_equal(v->out.verdict.code, 1);
    assert_int_equal(v->out.verdict.cause, RENDEZVOUS_CAUSE_EXITED);
    assert_int_equal(v->out.verdict.after_ms, 70);
    assert_string_equal(v->role, "worker");
    assert_string_equal(v->node, "node002");
    assert_string_equal(v->tail, "last words");
    assert_false(v->out.verdict.infrastructure || v->out.verdict.requested ||
                 v->out.verdict.diverged);
    assert_false(coordinator_is_running(s.c));
    stage_stopped(&s, 0); /* again: nothing comes of it */
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 1);
    stage_ready(&s, 0, 2);
    stage_ready(&s, 1, 2);
    assert_int_equal(stage_find(&s, COORDINATOR_GANG_READY, 0)->out.attempt, 2);
    stage_start(&s);
    assert_int_equal(coordinator_running_ranks(s.c), 4);
    stage_release(&s);
}

/* What each of three members (one rank each) reports, in this order, and who is to blame. A pod is
 * lost where cause is 0. */
struct report {
    uint32_t slot;
    uint32_t cause;
    int32_t code, signal;
    uint64_t after_ms;
};

static const struct {
    const char *sentence;
    struct report reports[3];
    int64_t rank; /* of the verdict, -1 for a pod */
    uint32_t slot;
    const char *words;
} verdicts[] = {
    {"an exit code before another is the cause, though it was told later",
     {{0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 500},
      {1, RENDEZVOUS_CAUSE_EXITED, 7, 0, 400},
      {2, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, 9, 510}},
     1,
     1,
     "rank 1 (worker 1 on node002) exited with code 7"},
    {"survivors' exit 1 is an echo of a signal from outside",
     {{0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 90},
      {1, RENDEZVOUS_CAUSE_EXITED, 1, 0, 91},
      {2, RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE, 0, 9, 100}},
     2,
     2,
     "rank 2 (worker 2 on node003) was killed by signal 9 (SIGKILL) from outside"},
    {"out of memory outranks a signal from outside",
     {{0, RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE, 0, 11, 90},
      {1, RENDEZVOUS_CAUSE_OUT_OF_MEMORY, 0, 9, 400},
      {2, RENDEZVOUS_CAUSE_EXITED, 1, 0, 80}},
     1,
     1,
     "rank 1 (worker 1 on node002) ran out of memory"},
    {"a lost pod outranks everything, though its loss is noticed last",
     {{0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 90},
      {1, RENDEZVOUS_CAUSE_OUT_OF_MEMORY, 0, 9, 40},
      {2, 0, 0, 0, 0}},
     -1,
     2,
     "worker 2 on node003 was lost: node node003 is not ready"},
    {"what ends after our stop is never the cause, even if it began earlier",
     {{0, RENDEZVOUS_CAUSE_EXITED, 5, 0, 300},
      {1, RENDEZVOUS_CAUSE_KILLED_BY_US, 143, 0, 10},
      {2, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, 15, 20}},
     0,
     0,
     "rank 0 (worker 0 on node001) exited with code 5"},
    {"of equals the lowest rank is named",
     {{2, RENDEZVOUS_CAUSE_EXITED, 1, 0, 300},
      {1, RENDEZVOUS_CAUSE_EXITED, 1, 0, 300},
      {0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 300}},
     0,
     0,
     "rank 0 (worker 0 on node001) exited with code 1"},
    {"a program that cannot be executed is a failure with the system's words",
     {{1, RENDEZVOUS_CAUSE_EXEC_FAILED, 2, 0, 1},
      {0, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, 9, 9},
      {2, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, 9, 9}},
     1,
     1,
     "rank 1 (worker 1 on node002) could not be started: No such file or directory"},
    {"a failure after others have ended well is still a failure",
     {{0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 100},
      {1, RENDEZVOUS_CAUSE_EXITED, 0, 0, 100},
      {2, RENDEZVOUS_CAUSE_EXITED, 3, 0, 200}},
     2,
     2,
     "rank 2 (worker 2 on node003) exited with code 3"},
    {"what a launcher out of reach has stopped by its fence counts as a lost pod",
     {{0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 90},
      {1, RENDEZVOUS_CAUSE_FENCED, 0, 9, 60000},
      {2, RENDEZVOUS_CAUSE_EXITED, 1, 0, 91}},
     1,
     1,
     "rank 1 (worker 1 on node002) was stopped by its fence: its launcher heard nothing of a "
     "controller for 60 s"},
};

static void test_the_verdict_names_the_cause_and_not_its_echo(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        struct stage s;
        const struct rendezvous_welcome welcome = {.framework = "plain", .fence_ms = 60000};
        bool fenced = verdicts[i].reports[1].cause == RENDEZVOUS_CAUSE_FENCED;
        running(&s, 3, 1, NULL);
        assert_true(coordinator_set_welcome(s.c, &welcome));
        for (int n = 0; n < 3; n++) {
            const struct report *r = &verdicts[i].reports[n];
            if (r->cause)
                stage_exit(&s, r->slot, 0, r->cause, r->code, r->signal, r->after_ms);
        }
        for (int n = 0; n < 3; n++) {
            const struct report *r = &verdicts[i].reports[n];
            assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 0);
            if (r->cause) {
                stage_stopped(&s, r->slot);
            } else {
                const struct coordinator_loss loss = {.infrastructure = true,
                                                      .node = "node003",
                                                      .words = "node node003 is not ready"};
                coordinator_pod_lost(s.c, "worker", r->slot, &loss, 90000);
                stage_drain(&s);
            }
        }
        const struct stage_output *v = stage_find(&s, COORDINATOR_VERDICT, 0);
        if (!v || strcmp(v->words, verdicts[i].words) != 0)
            fail_msg("%s: got `%s`", verdicts[i].sentence, v ? v->words : "no verdict");
        assert_int_equal(v->out.verdict.rank, verdicts[i].rank);
        assert_int_equal(v->out.verdict.slot, verdicts[i].slot);
        assert_int_equal(v->out.verdict.infrastructure, verdicts[i].rank < 0 || fenced);
        assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 1);
        stage_release(&s);
    }
}

static void test_a_lost_pod_is_the_trigger_and_only_its_member_is_missing(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 2, NULL);
    const struct coordinator_loss loss = {.words = "pod ended with exit code 137",
                                          .exit_code = 137};
    coordinator_pod_lost(s.c, "worker", 1, &loss, 61000);
    stage_drain(&s);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 1);
    assert_int_equal(stage_count(&s, COORDINATOR_CLOSE), 1);
    assert_non_null(stage_sent(&s, 0, RENDEZVOUS_STOP));
    stage_stopped(&s, 0);
    const struct coordinator_verdict *v = &stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict;
    assert_false(v->infrastructure);
    assert_int_equal(v->code, 137);
    assert_int_equal(v->after_ms, 60000);
    stage_ready(&s, 0, 2);
    assert_int_equal(stage_count(&s, COORDINATOR_GANG_READY), 0);
    coordinator_expect_pod(s.c, "worker", 1, "pod-1");
    stage_hello(&s, 1, RENDEZVOUS_STATE_IDLE, 0);
    stage_ready(&s, 1, 2);
    assert_int_equal(stage_count(&s, COORDINATOR_GANG_READY), 1);
    stage_release(&s);
}

/* On cgroup v2: the launcher dies with its ranks, and the survivors' exit 1 comes first. */
static void oom_kill(struct stage *s, uint32_t slot)
{
    const struct coordinator_loss loss = {
        .out_of_memory = true,
        .words = "pod job-worker-1 on node node002 ended with exit code 137 (OOMKilled)",
        .exit_code = 137};
    coordinator_pod_lost(s->c, "worker", slot, &loss, 61000);
    stage_drain(s);
}

static void test_a_container_that_was_oom_killed_is_out_of_memory_and_charged(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 3, 1, NULL);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 70);
    stage_exit(&s, 2, 0, RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE, 0, 9, 60);
    stage_stopped(&s, 0);
    stage_stopped(&s, 2);
    oom_kill(&s, 1);
    const struct stage_output *v = stage_find(&s, COORDINATOR_VERDICT, 0);
    assert_string_equal(v->words,
                        "worker 1 on node002 ran out of memory: pod job-worker-1 on node node002 "
                        "ended with exit code 137 (OOMKilled)");
    assert_int_equal(v->out.verdict.cause, RENDEZVOUS_CAUSE_OUT_OF_MEMORY);
    assert_int_equal(v->out.verdict.rank, -1);
    assert_int_equal(v->out.verdict.code, 137);
    assert_false(v->out.verdict.infrastructure);
    stage_release(&s);
}

static void test_a_lost_node_outranks_a_container_that_was_oom_killed(void **state)
{
    (void)state;
    const struct coordinator_loss node = {
        .infrastructure = true, .node = "node001", .words = "node node001 is not ready"};
    struct stage s;
    running(&s, 2, 1, NULL);
    oom_kill(&s, 1);
    coordinator_pod_lost(s.c, "worker", 0, &node, 99000);
    stage_drain(&s);
    const struct stage_output *v = stage_find(&s, COORDINATOR_VERDICT, 0);
    assert_string_equal(v->words, "worker 0 on node001 was lost: node node001 is not ready");
    assert_true(v->out.verdict.infrastructure);
    stage_release(&s);
}

static void test_a_pod_that_never_joined_is_lost_without_a_verdict(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_hello(&s, 0, RENDEZVOUS_STATE_READY, 1);
    const struct coordinator_loss loss = {
        .infrastructure = true, .node = "node002", .words = "rejected"};
    coordinator_pod_lost(s.c, "worker", 1, &loss, 5000);
    stage_drain(&s);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER) + stage_count(&s, COORDINATOR_VERDICT),
                     0);
    assert_false(coordinator_is_running(s.c));
    stage_release(&s);
}

static void test_a_pod_whose_ranks_ended_well_may_go(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    stage_exit(&s, 1, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 70);
    const struct coordinator_loss loss = {
        .infrastructure = true, .node = "node002", .words = "evicted"};
    coordinator_pod_lost(s.c, "worker", 1, &loss, 5000);
    stage_drain(&s);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 0);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 99);
    assert_int_equal(stage_count(&s, COORDINATOR_COMPLETED), 1);
    stage_release(&s);
}

static void test_a_launcher_that_is_cut_off_is_stopped_when_it_comes_back(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    stage_close(&s, 1);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 70);
    stage_stopped(&s, 0);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 0); /* its rank runs on */
    stage_hello(&s, 1, RENDEZVOUS_STATE_RUNNING, 1);
    assert_non_null(stage_sent(&s, 1, RENDEZVOUS_STOP));
    stage_stopped(&s, 1);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 1);
    stage_release(&s);
}

static void test_hello_repairs_lost_exits_and_stops(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 2, NULL);
    stage_close(&s, 1);
    struct rendezvous_exit exits[2] = {
        stage_exit_of(&s, 1, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 50),
        stage_exit_of(&s, 1, 1, RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE, 0, 9, 60),
    };
    /* RANK_EXIT, STOPPED and READY were all lost. */
    struct rendezvous_message m = stage_hello_message(&s, 1, RENDEZVOUS_STATE_READY, 2);
    m.hello.start_attempt = 1;
    m.hello.start_digest = s.digest;
    m.hello.exits = exits;
    m.hello.exits_count = 2;
    s.channels[1] = s.next_channel++;
    stage_say(&s, 1, &m);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 1);
    stage_stopped(&s, 0);
    assert_int_equal(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.rank, 3);
    assert_int_equal(coordinator_ready_count(s.c), 1);
    stage_ready(&s, 0, 2);
    assert_int_equal(stage_count(&s, COORDINATOR_GANG_READY), 1);
    stage_release(&s);
}

static void test_a_launcher_that_forgot_its_ranks_is_a_loss(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    stage_started(&s, 1, 100);
    stage_close(&s, 1);
    stage_hello(&s, 1, RENDEZVOUS_STATE_READY, 1); /* as if it had never got the START */
    assert_null(stage_sent(&s, 1, RENDEZVOUS_START));
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 1);
    stage_stopped(&s, 0);
    assert_int_equal(stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict.cause,
                     RENDEZVOUS_CAUSE_LAUNCHER_LOST);
    stage_release(&s);
}

static void test_a_terminated_pod_is_nobodys_fault(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    struct rendezvous_message m = {
        .type = RENDEZVOUS_TERMINATING, .attempt = 1, .terminating = {.signal = 15}};
    stage_say(&s, 1, &m);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 0); /* it only informs */
    stage_exit(&s, 1, 0, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, 15, 700);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 1);
    stage_stopped(&s, 1);
    stage_stopped(&s, 0);
    const struct stage_output *v = stage_find(&s, COORDINATOR_VERDICT, 0);
    assert_true(v->out.verdict.infrastructure);
    assert_string_equal(v->words, "worker 1 on node002 was lost: its pod is being terminated");
    stage_release(&s);
}

static void test_ranks_of_a_pod_that_is_being_ended_keep_the_jobs_grace(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 2, NULL);
    struct rendezvous_message m = {
        .type = RENDEZVOUS_TERMINATING, .attempt = 1, .terminating = {.signal = 15}};
    stage_say(&s, 1, &m);
    stage_exit(&s, 1, 1, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, 15, 700); /* rank 2 still saves */
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_STOP)->stop.grace_ms, 0);
    assert_int_equal(stage_sent(&s, 1, RENDEZVOUS_STOP)->stop.grace_ms, 30000);
    assert_int_equal(stage_sent(&s, 1, RENDEZVOUS_STOP)->stop.signal, 15);
    coordinator_stop(s.c, 0, "cancelled", s.now_ms); /* unless somebody is in a hurry */
    stage_drain(&s);
    assert_int_equal(stage_sent(&s, 1, RENDEZVOUS_STOP)->stop.grace_ms, 0);
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    stage_ready(&s, 0, 2);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 1);
    stage_release(&s);
}

static void test_unkillable_processes_are_told_and_do_not_hold_the_verdict_up(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 70);
    stage_stopped(&s, 0);
    struct rendezvous_message m = {
        .type = RENDEZVOUS_STOPPED, .attempt = 1, .stopped = {.unkillable = true}};
    stage_say(&s, 1, &m);
    assert_int_equal(stage_find(&s, COORDINATOR_UNKILLABLE, 0)->out.slot, 1);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 1);
    stage_release(&s);
}

/* ---- requested stops ---- */

static void test_a_requested_stop_gives_the_jobs_signal_and_grace(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, NULL);
    coordinator_stop(s.c, 120000, "suspended", s.now_ms);
    stage_drain(&s);
    const struct rendezvous_message *m = stage_sent(&s, 1, RENDEZVOUS_STOP);
    assert_int_equal(m->stop.grace_ms, 120000);
    assert_int_equal(m->stop.signal, 15);
    assert_string_equal(m->stop.reason, "suspended");
    coordinator_stop(s.c, 120000, "suspended", s.now_ms);
    stage_drain(&s);
    assert_int_equal(stage_sent_count(&s, 1, RENDEZVOUS_STOP), 1);
    coordinator_stop(s.c, 0, "cancelled", s.now_ms); /* the second Ctrl-C */
    stage_drain(&s);
    assert_int_equal(stage_sent(&s, 1, RENDEZVOUS_STOP)->stop.grace_ms, 0);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 70); /* too late to be a failure */
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 0);
    const struct stage_output *v = stage_find(&s, COORDINATOR_VERDICT, 0);
    assert_true(v->out.verdict.requested);
    assert_int_equal(v->out.verdict.rank, -1);
    assert_string_equal(v->words, "cancelled");
    stage_release(&s);
}

static void test_a_stop_that_is_requested_after_a_failure_is_a_failure(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 1, 1, NULL);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 9, 0, 70);
    coordinator_stop(s.c, 1000, "suspended", s.now_ms);
    stage_stopped(&s, 0);
    const struct coordinator_verdict *v = &stage_find(&s, COORDINATOR_VERDICT, 0)->out.verdict;
    assert_false(v->requested);
    assert_int_equal(v->code, 9);
    stage_release(&s);
}

static void test_a_requested_stop_of_nothing_does_nothing(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 1, 1, NULL);
    coordinator_stop(s.c, 0, "suspended", s.now_ms);
    stage_drain(&s);
    assert_int_equal(s.count, 0);
    stage_release(&s);
}

/* ---- completion and exit ---- */

static void test_all_ranks_must_end_well(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 2, NULL);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(stage_count(&s, COORDINATOR_COMPLETED), 0);
        stage_exit(&s, i / 2, i % 2, RENDEZVOUS_CAUSE_EXITED, 0, 0, 70 + i);
        stage_exit(&s, i / 2, i % 2, RENDEZVOUS_CAUSE_EXITED, 0, 0, 70 + i); /* repeated */
    }
    assert_int_equal(stage_count(&s, COORDINATOR_COMPLETED), 1);
    coordinator_exit(s.c, 0, "the job is complete");
    stage_drain(&s);
    assert_null(stage_sent(&s, 0, RENDEZVOUS_EXIT)); /* its ranks' children may still be reaped */
    stage_stopped(&s, 0);
    assert_int_equal(stage_sent(&s, 0, RENDEZVOUS_EXIT)->exit.code, 0);
    stage_stopped(&s, 1);
    assert_int_equal(stage_sent_count(&s, 1, RENDEZVOUS_EXIT), 1);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 0);
    assert_false(coordinator_is_running(s.c));
    stage_close(&s, 1);
    stage_hello(&s, 1, RENDEZVOUS_STATE_STOPPED, 1); /* EXIT was lost */
    assert_int_equal(stage_sent_count(&s, 1, RENDEZVOUS_EXIT), 1);
    assert_null(stage_sent(&s, 1, RENDEZVOUS_WELCOME));
    stage_release(&s);
}

static void rank0(struct coordinator_config *config)
{
    config->rank0_decides = true;
}

static void test_rank_0_decides_when_the_policy_says_so(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, rank0);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 70);
    assert_int_equal(stage_count(&s, COORDINATOR_COMPLETED), 1);
    assert_int_equal(stage_sent(&s, 1, RENDEZVOUS_STOP)->stop.grace_ms, 30000);
    stage_exit(&s, 1, 0, RENDEZVOUS_CAUSE_EXITED, 1, 0, 90);
    stage_stopped(&s, 1);
    stage_stopped(&s, 0);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER) + stage_count(&s, COORDINATOR_VERDICT),
                     0);
    stage_release(&s);
}

static void test_a_rank_0_policy_does_not_forgive_others_before_it_ends(void **state)
{
    (void)state;
    struct stage s;
    running(&s, 2, 1, rank0);
    stage_exit(&s, 1, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 10);
    assert_int_equal(stage_count(&s, COORDINATOR_COMPLETED), 0);
    stage_exit(&s, 0, 0, RENDEZVOUS_CAUSE_EXITED, 4, 0, 70);
    assert_int_equal(stage_count(&s, COORDINATOR_TRIGGER), 1);
    stage_release(&s);
}

static void test_exit_goes_to_idle_members_at_once(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 2, 1, NULL);
    stage_hello(&s, 0, RENDEZVOUS_STATE_READY, 1);
    coordinator_exit(s.c, 3, "cancelled");
    coordinator_exit(s.c, 3, "cancelled");
    stage_drain(&s);
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_EXIT), 1);
    stage_hello(&s, 1, RENDEZVOUS_STATE_READY, 1);
    assert_int_equal(stage_sent(&s, 1, RENDEZVOUS_EXIT)->exit.code, 3);
    assert_int_equal(stage_count(&s, COORDINATOR_GANG_READY), 0);
    stage_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_failure_stops_all_at_once),
        cmocka_unit_test(test_the_verdict_names_the_cause_and_not_its_echo),
        cmocka_unit_test(test_a_lost_pod_is_the_trigger_and_only_its_member_is_missing),
        cmocka_unit_test(test_a_pod_that_never_joined_is_lost_without_a_verdict),
        cmocka_unit_test(test_a_pod_whose_ranks_ended_well_may_go),
        cmocka_unit_test(test_a_launcher_that_is_cut_off_is_stopped_when_it_comes_back),
        cmocka_unit_test(test_hello_repairs_lost_exits_and_stops),
        cmocka_unit_test(test_a_launcher_that_forgot_its_ranks_is_a_loss),
        cmocka_unit_test(test_a_terminated_pod_is_nobodys_fault),
        cmocka_unit_test(test_ranks_of_a_pod_that_is_being_ended_keep_the_jobs_grace),
        cmocka_unit_test(test_a_container_that_was_oom_killed_is_out_of_memory_and_charged),
        cmocka_unit_test(test_a_lost_node_outranks_a_container_that_was_oom_killed),
        cmocka_unit_test(test_unkillable_processes_are_told_and_do_not_hold_the_verdict_up),
        cmocka_unit_test(test_a_requested_stop_gives_the_jobs_signal_and_grace),
        cmocka_unit_test(test_a_stop_that_is_requested_after_a_failure_is_a_failure),
        cmocka_unit_test(test_a_requested_stop_of_nothing_does_nothing),
        cmocka_unit_test(test_all_ranks_must_end_well),
        cmocka_unit_test(test_rank_0_decides_when_the_policy_says_so),
        cmocka_unit_test(test_a_rank_0_policy_does_not_forgive_others_before_it_ends),
        cmocka_unit_test(test_exit_goes_to_idle_members_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
