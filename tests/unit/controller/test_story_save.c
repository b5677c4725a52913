/* Lives of jobs that save before they are stopped, and of jobs that hang. */
#include <string.h>
#include "controller/internal.h"
#include "lib/base/cleanup.h"
#include "world.h"

#define WITH_CHECKPOINTS \
    "{\"spec\":{\"checkpoint\":{\"path\":\"/checkpoints\",\"gracePeriodSeconds\":60}}}"

/* A job of two pods that has made 120 steps and saved the 100th. */
static void begin(struct world *w, const char *patch)
{
    world_init(w, 2, 2);
    w->takes_orders = true;
    w->asking = 1;
    world_submit(w, "a", 2, patch);
    world_progress(w, world_launcher(w, "a", 0), 100, 1000);
    world_checkpoint(w, world_launcher(w, "a", 0), 100, -1);
    world_progress(w, world_launcher(w, "a", 0), 120, 1000);
}

static void suspend(struct world *w, bool is)
{
    world_patch(w, "trainingjobs/team/a",
                is ? "{\"spec\":{\"suspend\":true}}" : "{\"spec\":{\"suspend\":false}}");
    world_run(w);
}

static void test_a_suspension_waits_for_the_step_that_all_ranks_save(void **state)
{
    struct world w;
    (void)state;
    begin(&w, WITH_CHECKPOINTS);
    suspend(&w, true);
    assert_int_equal(world_launcher(&w, "a", 0)->saves, 122);
    assert_int_equal(world_launcher(&w, "a", 1)->saves, 122);
    assert_string_equal(world_event_message(&w, "CheckpointNow"),
                        "all ranks save step 122 before the stop");
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_progress(&w, world_launcher(&w, "a", 0), 122, 1000);
    world_checkpoint(&w, world_launcher(&w, "a", 0), 122, -1);
    world_advance(&w, 4000);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    assert_string_equal(world_event_message(&w, "CheckpointSaved"),
                        "step 122 is saved: the ranks are stopped");
    assert_false(world_has_event(&w, "StepsLost"));
    suspend(&w, false);
    world_advance(&w, 4000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_launcher(&w, "a", 1)->resume_step, 122);
    world_release(&w);
}

static void test_when_nobody_saved_in_time_the_event_says_what_is_lost(void **state)
{
    struct world w;
    (void)state;
    begin(&w, WITH_CHECKPOINTS);
    suspend(&w, true);
    world_advance(&w, 59000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_advance(&w, 6000);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    assert_string_equal(
        world_event_message(&w, "StepsLost"),
        "stopped at step 120, the newest complete checkpoint is of step 100: 20 steps are lost "
        "(the grace is over)");
    world_release(&w);
}

/* It reads when the stop began from the status, which tells whole seconds. */
static void test_the_next_controller_does_not_cut_the_grace_short(void **state)
{
    struct world w;
    (void)state;
    begin(&w, WITH_CHECKPOINTS);
    world_advance(&w, 999 - w.wall_ms % 1000);
    suspend(&w, true);
    int64_t until_ms = w.now_ms + 60000;
    world_replace_controller(&w);
    world_advance(&w, until_ms - w.now_ms - 10);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_advance(&w, 6000);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    world_release(&w);
}

static void test_when_there_is_no_checkpoint_the_event_does_not_speak_of_one(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    w.takes_orders = true;
    world_submit(&w, "a", 2, WITH_CHECKPOINTS);
    world_progress(&w, world_launcher(&w, "a", 0), 120, 1000);
    suspend(&w, true);
    world_advance(&w, 65000);
    assert_string_equal(
        world_event_message(&w, "StepsLost"),
        "stopped at step 120, and there is no complete checkpoint: all steps are lost "
        "(the grace is over)");
    world_release(&w);
}

static void test_a_job_without_checkpoints_that_catches_nothing_is_stopped_at_once(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    w.takes_orders = true;
    world_submit(&w, "a", 2, NULL);
    suspend(&w, true);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    world_release(&w);
}

static void test_a_cancellation_now_saves_nothing(void **state)
{
    struct world w;
    (void)state;
    begin(&w, WITH_CHECKPOINTS);
    world_patch(&w, "trainingjobs/team/a",
                "{\"metadata\":{\"annotations\":{\"mltrain.io/cancel\":\"now\"}}}");
    world_advance(&w, 4000);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_int_equal(w.starts, 2);
    assert_false(world_has_event(&w, "CheckpointNow"));
    assert_true(world_has_event(&w, "StepsLost"));
    world_release(&w);
}

static void test_a_cancellation_turns_from_graceful_to_now(void **state)
{
    struct world w;
    (void)state;
    begin(&w, WITH_CHECKPOINTS);
    world_patch(&w, "trainingjobs/team/a",
                "{\"metadata\":{\"annotations\":{\"mltrain.io/cancel\":\"graceful\"}}}");
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_patch(&w, "trainingjobs/team/a",
                "{\"metadata\":{\"annotations\":{\"mltrain.io/cancel\":\"now\"}}}");
    world_advance(&w, 4000);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    world_release(&w);
}

static void test_the_next_controller_goes_on_with_the_save(void **state)
{
    struct world w;
    (void)state;
    begin(&w, WITH_CHECKPOINTS);
    suspend(&w, true);
    world_replace_controller(&w);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_true(world_launcher(&w, "a", 0)->saves > 0);
    world_checkpoint(&w, world_launcher(&w, "a", 0), world_launcher(&w, "a", 0)->saves + 200, -1);
    world_advance(&w, 4000);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_release(&w);
}

static void test_a_pod_that_is_ended_makes_the_gang_save_and_is_replaced_uncharged(void **state)
{
    struct world w;
    (void)state;
    begin(&w, WITH_CHECKPOINTS);
    world_terminating(&w, world_launcher(&w, "a", 1));
    assert_int_equal(world_launcher(&w, "a", 0)->saves, 122);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_checkpoint(&w, world_launcher(&w, "a", 0), 122, -1);
    world_delete(&w, "pods/team/a-worker-1");
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 122);
    world_release(&w);
}

/* They save and end: what is saved is known only when the launchers have looked again. */
static void test_ranks_that_end_by_themselves_while_a_pod_is_ended_have_saved(void **state)
{
    (void)state;
    for (int saves = 0; saves < 2; saves++) {
        struct world w;
        begin(&w, WITH_CHECKPOINTS);
        if (saves)
            world_launcher(&w, "a", 0)->late_checkpoint = 120;
        world_terminating(&w, world_launcher(&w, "a", 1));
        world_rank_exits(&w, world_launcher(&w, "a", 1), 0, 143, 0, 1);
        world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 143, 0, 2);
        world_delete(&w, "pods/team/a-worker-1");
        world_advance(&w, 5000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_int_equal(world_has_event(&w, "CheckpointSaved"), saves);
        assert_int_equal(world_has_event(&w, "StepsLost"), !saves);
        world_release(&w);
    }
}

static void test_a_hung_job_restarts_and_says_who_was_at_fault(void **state)
{
    struct world w;
    (void)state;
    begin(&w, "{\"spec\":{\"progress\":{\"stallTimeoutSeconds\":60}}}");
    w.evidence_state = 'D';
    world_advance(&w, 59000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_advance(&w, 2000);
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_string_equal(world_status(&w, "a", "failures[0].cause"), "Hung");
    assert_int_equal(world_number(&w, "a", "failures[0].exitCode"), 124);
    assert_int_equal(world_number(&w, "a", "failures[0].rank"), 0);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    assert_non_null(strstr(world_status(&w, "a", "failures[0].message"),
                           "no step for 60 s after step 120; rank 0 (worker 0 on node001) is most "
                           "likely at fault: it waits in the kernel"));
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

/* The object is gone, the pods are still there: garbage collection takes its time. */
static void test_the_ranks_of_a_job_that_is_deleted_save_and_are_stopped(void **state)
{
    struct world w;
    (void)state;
    begin(&w, WITH_CHECKPOINTS);
    w.slow_garbage = true;
    world_delete(&w, "trainingjobs/team/a");
    world_run(&w);
    struct world_launcher *l = world_launcher_of_pod(&w, "pods/team/a-worker-0");
    assert_int_equal(l->saves, 122);
    assert_int_equal(l->state, LAUNCHER_RUNNING);
    world_progress(&w, l, 122, 1000);
    world_checkpoint(&w, l, 122, -1);
    world_advance(&w, 4000);
    assert_string_equal(json_string(world_object(&w, "pods/team/a-worker-0"), "status.phase", ""),
                        "Failed");
    assert_string_equal(json_string(world_object(&w, "pods/team/a-worker-1"), "status.phase", ""),
                        "Failed");
    unsigned writes = w.status_writes;
    world_advance(&w, 60000);
    assert_int_equal(w.status_writes, writes);
    world_submit(&w, "b", 2, "{\"spec\":{\"workers\":{\"replicas\":2}}}");
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_release(&w);
}

/* The answer to the last status write comes after the deletion was told. */
static void test_a_job_that_is_gone_is_not_revived_by_an_answer_from_before(void **state)
{
    struct world w;
    (void)state;
    begin(&w, WITH_CHECKPOINTS);
    w.slow_garbage = true;
    cleanup_json cJSON *answer = json_copy(world_object(&w, "trainingjobs/team/a"));
    world_delete(&w, "trainingjobs/team/a");
    world_run(&w);
    json_set_string(answer, "metadata.resourceVersion", "999999");
    job_seen(w.c, answer, 0);
    world_advance(&w, 70000);
    assert_string_equal(json_string(world_object(&w, "pods/team/a-worker-0"), "status.phase", ""),
                        "Failed");
    world_submit(&w, "b", 4, NULL); /* wants all nodes */
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_release(&w);
}

static void
test_nobody_waits_longer_than_the_grace_for_the_ranks_of_a_job_that_is_gone(void **state)
{
    struct world w;
    (void)state;
    begin(&w, WITH_CHECKPOINTS);
    w.slow_garbage = true;
    world_delete(&w, "trainingjobs/team/a");
    world_advance(&w, 59000);
    assert_int_equal(world_launcher_of_pod(&w, "pods/team/a-worker-0")->state, LAUNCHER_RUNNING);
    world_advance(&w, 6000);
    assert_string_equal(json_string(world_object(&w, "pods/team/a-worker-0"), "status.phase", ""),
                        "Failed");
    world_release(&w);
}

static void test_a_controller_that_dies_in_that_save_leaves_the_ranks_their_grace(void **state)
{
    struct world w;
    (void)state;
    begin(&w, WITH_CHECKPOINTS);
    w.slow_garbage = true;
    world_delete(&w, "trainingjobs/team/a");
    world_run(&w);
    world_replace_controller(&w);
    world_advance(&w, 5000);
    for (int i = 0; i < 2; i++) {
        struct world_launcher *l =
            world_launcher_of_pod(&w, i ? "pods/team/a-worker-1" : "pods/team/a-worker-0");
        assert_true(l->told_gone);
        assert_int_equal(l->state, LAUNCHER_RUNNING);
    }
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ranks_of_a_job_that_is_deleted_save_and_are_stopped),
        cmocka_unit_test(test_a_job_that_is_gone_is_not_revived_by_an_answer_from_before),
        cmocka_unit_test(
            test_nobody_waits_longer_than_the_grace_for_the_ranks_of_a_job_that_is_gone),
        cmocka_unit_test(test_a_controller_that_dies_in_that_save_leaves_the_ranks_their_grace),
        cmocka_unit_test(test_a_suspension_waits_for_the_step_that_all_ranks_save),
        cmocka_unit_test(test_when_nobody_saved_in_time_the_event_says_what_is_lost),
        cmocka_unit_test(test_the_next_controller_does_not_cut_the_grace_short),
        cmocka_unit_test(test_when_there_is_no_checkpoint_the_event_does_not_speak_of_one),
        cmocka_unit_test(test_a_job_without_checkpoints_that_catches_nothing_is_stopped_at_once),
        cmocka_unit_test(test_a_cancellation_now_saves_nothing),
        cmocka_unit_test(test_a_cancellation_turns_from_graceful_to_now),
        cmocka_unit_test(test_the_next_controller_goes_on_with_the_save),
        cmocka_unit_test(test_a_pod_that_is_ended_makes_the_gang_save_and_is_replaced_uncharged),
        cmocka_unit_test(test_ranks_that_end_by_themselves_while_a_pod_is_ended_have_saved),
        cmocka_unit_test(test_a_hung_job_restarts_and_says_who_was_at_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
