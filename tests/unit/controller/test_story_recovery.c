/* Lives of jobs in which the same thing breaks again: whom it is held against, and from where the
 * job goes on. */
#include <stdio.h>
#include <string.h>
#include "world.h"
#include "world_internal.h"

#define POISON "recovery.poison"

/* The checkpoints of steps 10 and 20 are complete. */
static void save_two(struct world *w)
{
    world_checkpoint(w, world_launcher(w, "a", 0), 10, -1);
    world_checkpoint(w, world_launcher(w, "a", 0), 20, -1);
}

/* A rank of this slot exits with 1 after its attempt has told a step. */
static void fail_at(struct world *w, uint32_t slot, int64_t step)
{
    world_progress(w, world_launcher(w, "a", 0), step, 100);
    world_rank_exits(w, world_launcher(w, "a", slot), 0, 1, 0, 1000);
    world_advance(w, 200);
}

/* And without a step; the wait before the next attempt passes. */
static void fail_early(struct world *w)
{
    world_rank_exits(w, world_launcher(w, "a", 0), 0, 1, 0, 10);
    world_advance(w, 40000);
}

static bool has(struct world *w, const char *path)
{
    char full[96];
    (void)snprintf(full, sizeof full, "status.%s", path);
    return json_find(world_job_object(w, "a"), full) != NULL;
}

static const char *failed_words(struct world *w)
{
    const cJSON *condition;
    cJSON_ArrayForEach(condition, json_find(world_job_object(w, "a"), "status.conditions"))
    {
        if (strcmp(json_string(condition, "type", ""), "Failed") == 0)
            return json_string(condition, "message", "");
    }
    return "";
}

/* "Warning" or "Normal"; "" when there is no event of this reason. */
static const char *event_type(struct world *w, const char *reason)
{
    for (struct world_object *o = w->objects; o; o = o->hh.next)
        if (strcmp(json_string(o->json, "reason", ""), reason) == 0)
            return json_string(o->json, "type", "");
    return "";
}

/* Up to the first attempt that resumes from the checkpoint of step 20. */
static void reach_twenty(struct world *w, int replicas, unsigned nodes, const char *patch)
{
    world_init(w, nodes, 1);
    world_submit(w, "a", replicas, patch);
    save_two(w);
    world_rank_exits(w, world_launcher(w, "a", 0), 0, 1, 0, 10);
    world_advance(w, 200);
    assert_int_equal(world_launcher(w, "a", 0)->resume_step, 20);
}

static void test_a_poisoned_checkpoint_gives_way_to_the_one_before_it_once(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 2, 3, NULL);
    fail_at(&w, 0, 25);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 20);
    assert_int_equal(world_number(&w, "a", POISON ".checkpointStep"), 20);
    assert_string_equal(world_status(&w, "a", POISON ".strikes[0].node"), "node001");
    assert_false(world_has_event(&w, "CheckpointPoisoned"));
    world_replace_controller(&w); /* the next one knows */
    world_run(&w);
    fail_at(&w, 1, 27);
    assert_int_equal(world_launcher(&w, "a", 1)->resume_step, 10);
    assert_int_equal(world_number(&w, "a", "recovery.resumeStep"), 10);
    assert_int_equal(world_number(&w, "a", "recovery.skippedCheckpoints[0]"), 20);
    assert_false(world_has_event(&w, "CheckpointLost"));
    assert_int_equal(world_number(&w, "a", "failures[1].stepsLost"), 5);
    assert_int_equal(world_number(&w, "a", "failures[2].stepsLost"), 17); /* 27, back to 10 */
    assert_int_equal(w.pods_created, 2);
    world_release(&w);
}

static void test_one_that_was_given_up_ends_no_save_under_the_next_controller(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    w.takes_orders = true;
    w.caught = 1;
    world_submit(&w, "a", 1,
                 "{\"spec\":{\"checkpoint\":{\"path\":\"/c\",\"gracePeriodSeconds\":60}}}");
    save_two(&w);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    world_advance(&w, 200);
    fail_at(&w, 0, 25);
    fail_at(&w, 0, 25);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_run(&w);
    world_replace_controller(&w); /* is told of the checkpoint of step 20 */
    world_advance(&w, 50000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_advance(&w, 15000);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    world_release(&w);
}

static void test_the_same_step_from_the_older_one_fails_the_job(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 1, NULL);
    fail_at(&w, 0, 25);
    fail_at(&w, 0, 25);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    assert_string_equal(world_event_message(&w, "CheckpointPoisoned"),
                        "2 attempts from the checkpoint of step 20 failed after their first step: "
                        "the one of step 10 is used instead, once");
    assert_string_equal(event_type(&w, "CheckpointPoisoned"), "Warning");
    assert_string_equal(event_type(&w, "Restarting"), "Warning");
    assert_int_equal(world_number(&w, "a", POISON ".strikes[1].step"), 25);
    world_replace_controller(&w);
    world_run(&w);
    world_delete(&w, "pods/team/a-worker-0"); /* not its fault: proves nothing */
    world_advance(&w, 200);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    fail_at(&w, 0, 24);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    fail_at(&w, 0, 25);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_reason(&w, "a", "Failed"), "Poisoned");
    assert_non_null(strstr(failed_words(&w),
                           "data or code: from the checkpoint of step 20 and from "
                           "before it alike, step 25 is the last: rank 0 "));
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 4); /* within the limit */
    world_release(&w);
}

static void test_a_node_is_suspected_before_the_checkpoint(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 2, NULL);
    fail_at(&w, 0, 25);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node001");
    fail_at(&w, 0, 25);
    assert_string_equal(world_event_message(&w, "NodeSuspected"),
                        "2 attempts from the checkpoint of step 20 failed after their first step, "
                        "each time on node node001: worker 0 moves");
    assert_string_equal(event_type(&w, "NodeSuspected"), "Warning");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node002");
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 20);
    /* The new pod's launcher has looked into the folder. */
    save_two(&w);
    fail_at(&w, 0, 25);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    assert_true(world_has_event(&w, "CheckpointPoisoned"));
    world_release(&w);
}

static void test_a_rank_that_asks_to_stay_is_not_moved_for_its_checkpoint(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 2, NULL);
    for (int i = 0; i < 2; i++) {
        world_progress(&w, world_launcher(&w, "a", 0), 25, 100);
        world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 75, 0, 1000);
    }
    assert_int_equal(w.pods_created, 1);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    world_release(&w);
}

static void test_nodes_that_are_not_ready_or_avoided_cannot_take_the_suspects_pod(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 2, NULL);
    world_node_ready(&w, "node002", false);
    fail_at(&w, 0, 25);
    fail_at(&w, 0, 25);
    assert_false(world_has_event(&w, "NodeSuspected"));
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    world_release(&w);

    reach_twenty(&w, 1, 2, NULL);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 76, 0, 10); /* node001 is avoided */
    world_advance(&w, 1500);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node002");
    save_two(&w);
    fail_at(&w, 0, 25);
    fail_at(&w, 0, 25);
    assert_false(world_has_event(&w, "NodeSuspected"));
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    world_release(&w);
}

static void test_a_newer_checkpoint_clears_the_record(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 1, NULL);
    fail_at(&w, 0, 25);
    world_checkpoint(&w, world_launcher(&w, "a", 0), 30, -1);
    fail_at(&w, 0, 35);
    assert_false(has(&w, POISON));
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 30);
    fail_at(&w, 0, 35);
    assert_int_equal(world_number(&w, "a", POISON ".checkpointStep"), 30);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 30);
    world_release(&w);
}

static void test_out_of_memory_and_ignored_failures_are_no_strikes(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 1,
                 "{\"spec\":{\"failurePolicy\":{\"rules\":[{\"action\":\"Ignore\","
                 "\"onExitCodes\":{\"operator\":\"In\",\"values\":[42]}}]}}}");
    for (int i = 0; i < 3; i++) {
        world_progress(&w, world_launcher(&w, "a", 0), 25, 100);
        w.cause = i == 1 ? RENDEZVOUS_CAUSE_OUT_OF_MEMORY : 0;
        world_rank_exits(&w, world_launcher(&w, "a", 0), 0, i == 1 ? 0 : 42, i == 1 ? 9 : 0, 1000);
    }
    assert_int_equal(world_number(&w, "a", "attempt"), 5);
    assert_false(has(&w, POISON));
    assert_string_equal(world_status(&w, "a", "failures[2].cause"), "OutOfMemory");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 2); /* the first, and the memory */
    world_release(&w);
}

static void test_without_an_older_checkpoint_the_budget_decides(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, "{\"spec\":{\"backoffLimit\":3}}");
    world_checkpoint(&w, world_launcher(&w, "a", 0), 20, -1);
    for (int i = 0; i < 3; i++) {
        fail_at(&w, 0, 25);
        assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 20);
    }
    assert_non_null(strstr(world_event_message(&w, "CheckpointPoisoned"), "there is none before"));
    assert_string_equal(event_type(&w, "CheckpointPoisoned"), "Warning");
    fail_at(&w, 0, 25);
    assert_string_equal(world_reason(&w, "a", "Failed"), "BackoffLimitExceeded");
    assert_false(has(&w, POISON ".wentBack"));
    world_release(&w);
}

static void test_a_job_that_fails_anyway_does_not_go_back(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 1, "{\"spec\":{\"backoffLimit\":2}}");
    fail_at(&w, 0, 25);
    fail_at(&w, 0, 25);
    assert_string_equal(world_reason(&w, "a", "Failed"), "BackoffLimitExceeded");
    assert_false(world_has_event(&w, "CheckpointPoisoned"));
    assert_false(has(&w, POISON ".wentBack"));
    world_release(&w);
}

static void test_a_checkpoint_that_cannot_be_loaded_is_skipped_after_pods_and_nodes(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_submit(&w, "a", 1, "{\"spec\":{\"backoffLimit\":9}}");
    save_two(&w);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10); /* it had made a checkpoint */
    world_advance(&w, 200);
    for (int n = 2; n <= 4; n++) {
        fail_early(&w);
        assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 20);
        assert_int_equal(world_number(&w, "a", "recovery.inPlaceFailures"), n);
    }
    assert_int_equal(w.pods_created, 3);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node002");
    assert_false(world_has_event(&w, "CheckpointSkipped"));
    save_two(&w); /* what the new launcher has seen: nothing new */
    assert_int_equal(world_number(&w, "a", "recovery.inPlaceFailures"), 4);
    fail_early(&w);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    assert_int_equal(w.pods_created, 3);
    assert_string_equal(world_event_message(&w, "CheckpointSkipped"),
                        "the checkpoint of step 20 is not used again: 5 attempts in a row ended "
                        "without a step, in new pods and elsewhere too; the job goes on from step "
                        "10");
    assert_string_equal(event_type(&w, "CheckpointSkipped"), "Warning");
    assert_int_equal(world_number(&w, "a", "checkpoint.step"), 10);
    /* That it is still there is no progress; a new one is. */
    save_two(&w);
    world_advance(&w, 11000);
    assert_int_equal(world_number(&w, "a", "recovery.inPlaceFailures"), 5);
    assert_int_equal(world_number(&w, "a", "checkpoint.step"), 10);
    world_checkpoint(&w, world_launcher(&w, "a", 0), 30, -1);
    world_advance(&w, 11000);
    assert_int_equal(world_number(&w, "a", "recovery.inPlaceFailures"), 0);
    world_release(&w);
}

static void test_the_only_checkpoint_is_not_skipped(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, "{\"spec\":{\"backoffLimit\":9}}");
    for (int n = 0; n < 7; n++) {
        world_checkpoint(&w, world_launcher(&w, "a", 0), 20, -1);
        fail_early(&w);
        assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 20);
    }
    assert_false(world_has_event(&w, "CheckpointSkipped"));
    world_release(&w);
}

static void test_a_damaged_checkpoint_costs_steps_and_an_event_says_how_many(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 1, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    l->checkpoints[0] = l->checkpoints[1];
    l->checkpoints_count = 1;
    world_checkpoint(&w, l, -1, 20);
    world_rank_exits(&w, l, 0, 1, 0, 10);
    world_advance(&w, 2000);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    assert_string_equal(world_event_message(&w, "CheckpointLost"),
                        "the checkpoint of step 20 is damaged or gone: attempt 3 goes on from step "
                        "10, 10 steps further back");
    assert_string_equal(event_type(&w, "CheckpointLost"), "Warning");
    /* And the last one: from the beginning, for there is nothing else. */
    l->checkpoints_count = 0;
    world_checkpoint(&w, l, -1, 20);
    fail_at(&w, 0, 5);
    assert_true(world_launcher(&w, "a", 0)->resume_step < 0);
    assert_int_equal(world_number(&w, "a", "failures[2].stepsLost"), 5);
    assert_false(has(&w, "checkpoint.step"));
    world_release(&w);
}

static void test_a_damage_before_the_first_resume_is_told_too(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    save_two(&w);
    l->checkpoints_count = 0;
    world_checkpoint(&w, l, -1, 20);
    world_rank_exits(&w, l, 0, 1, 0, 10);
    world_advance(&w, 200);
    assert_string_equal(world_event_message(&w, "CheckpointLost"),
                        "the checkpoint of step 20 is damaged or gone, and there is no other: "
                        "attempt 2 begins at the beginning");
    world_release(&w);
}

static void test_the_checkpoint_of_step_0_is_one_too(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    world_checkpoint(&w, l, 0, -1);
    world_checkpoint(&w, l, 10, -1);
    l->checkpoints[0] = l->checkpoints[1];
    l->checkpoints_count = 1;
    world_checkpoint(&w, l, -1, 10);
    world_rank_exits(&w, l, 0, 1, 0, 10);
    world_advance(&w, 200);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 0);
    assert_non_null(strstr(world_event_message(&w, "CheckpointLost"), "goes on from step 0, 10"));
    world_release(&w);

    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    l = world_launcher(&w, "a", 0);
    world_checkpoint(&w, l, 0, -1);
    l->checkpoints_count = 0;
    world_checkpoint(&w, l, -1, 0);
    fail_at(&w, 0, 0);
    assert_non_null(strstr(world_event_message(&w, "CheckpointLost"), "begins at the beginning"));
    assert_string_equal(event_type(&w, "CheckpointLost"), "Warning");
    assert_true(has(&w, "failures[0].step"));
    assert_true(has(&w, "failures[0].stepsLost"));
    world_release(&w);
}

static void test_a_checkpoint_that_was_only_being_written_again_is_not_lost(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 1, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    l->checkpoints[0] = l->checkpoints[1];
    l->checkpoints_count = 1;
    world_checkpoint(&w, l, -1, 20);
    world_checkpoint(&w, l, 20, -1);
    fail_at(&w, 0, 25);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 20);
    assert_false(world_has_event(&w, "CheckpointLost"));
    world_release(&w);
}

static void test_nothing_seen_is_no_news_and_never_leads_back(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 2, NULL);
    /* A new pod, whose launcher has not looked, has seen nothing, or whose folder does not answer.
     */
    world_delete(&w, "pods/team/a-worker-0");
    world_advance(&w, 200);
    assert_int_equal(world_launcher(&w, "a", 0)->checkpoints_count, 0);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 20);
    world_replace_controller(&w);
    world_run(&w);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    world_advance(&w, 2000);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 20);
    assert_false(world_has_event(&w, "CheckpointLost"));
    world_release(&w);
}

static void test_the_only_checkpoint_that_was_deleted_is_not_resumed_from(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 1, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    l->checkpoints_count = 0;
    world_checkpoint(&w, l, -1, -1);
    fail_at(&w, 0, 25);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, RENDEZVOUS_NO_STEP);
    assert_string_equal(world_event_message(&w, "CheckpointLost"),
                        "the checkpoint of step 20 is damaged or gone, and there is no other: "
                        "attempt 3 begins at the beginning");
    world_release(&w);
}

static void test_a_checkpoint_written_again_gives_no_retry_back(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 1, 1, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    assert_int_equal(world_number(&w, "a", "recovery.highestCheckpointStep"), 20);
    l->checkpoints_count = 1;
    l->checkpoints[0].step = 10;
    world_checkpoint(&w, l, -1, 20); /* torn: it is being written over */
    fail_at(&w, 0, 15);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 2);
    world_checkpoint(&w, l, 20, -1);
    world_replace_controller(&w);
    world_run(&w);
    world_checkpoint(&w, l, 20, 30);
    world_advance(&w, 11000);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 2);
    /* Each that is newer gives one, down to none; also several told at once. */
    world_checkpoint(&w, l, 30, -1);
    world_advance(&w, 11000);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    world_checkpoint(&w, l, 40, -1);
    world_checkpoint(&w, l, 50, -1);
    world_advance(&w, 11000);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    assert_int_equal(world_number(&w, "a", "recovery.highestCheckpointStep"), 50);
    world_release(&w);
}

static void test_several_checkpoints_told_at_once_give_one_back_each(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    for (int i = 0; i < 4; i++)
        fail_at(&w, 0, 5);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 4);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    for (uint32_t i = 0; i < 3; i++)
        l->checkpoints[i] =
            (struct rendezvous_checkpoint){.step = 30 - 10 * (int64_t)i, .path = "/c"};
    l->checkpoints_count = 3;
    world_checkpoint(&w, l, -1, -1);
    world_advance(&w, 11000);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    world_release(&w);
}

static void test_ten_minutes_are_progress_too(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    for (int i = 1; i <= 2; i++) {
        world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 600000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_int_equal(world_number(&w, "a", "recovery.inPlaceFailures"), 1);
    }
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 599999);
    assert_string_equal(world_phase(&w, "a"), "Restarting");
    assert_string_equal(world_condition(&w, "a", "Restarting"), "True");
    assert_int_equal(world_number(&w, "a", "recovery.inPlaceFailures"), 2);
    world_release(&w);
}

static void test_what_ended_the_attempt_stands_in_its_failure(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10); /* the first of a row */
    world_advance(&w, 200);
    assert_true(has(&w, "failures[0].rank"));
    assert_true(has(&w, "failures[0].exitCode"));
    assert_false(has(&w, "failures[0].step"));
    assert_false(has(&w, "failures[0].stepsLost"));
    /* A signal has no code, and none of a rank's asking. */
    world_rank_exits(&w, world_launcher(&w, "a", 1), 0, 93, 9, 10);
    world_advance(&w, 2000);
    assert_false(has(&w, "failures[1].exitCode"));
    assert_int_equal(world_number(&w, "a", "failures[1].signal"), 9);
    assert_int_equal(w.pods_created, 4); /* all of them anew */
    /* Nor has a launcher that ends with such a code. */
    world_pod_ends(&w, world_launcher(&w, "a", 1), 93);
    world_advance(&w, 10000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "failures[2].exitCode"), 93);
    assert_false(has(&w, "failures[2].rank"));
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 3);
    world_release(&w);
}

static void test_hung_is_124_to_a_rule_and_out_of_memory_is_sigkill(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(
        &w, "a", 1,
        "{\"spec\":{\"progress\":{\"stallTimeoutSeconds\":60},\"failurePolicy\":{\"rules\":["
        "{\"action\":\"Ignore\",\"onSignals\":{\"operator\":\"In\",\"values\":[\"SIGKILL\"]}},"
        "{\"action\":\"FailJob\",\"onExitCodes\":{\"operator\":\"In\",\"values\":[124]}}]}}}");
    w.cause = RENDEZVOUS_CAUSE_OUT_OF_MEMORY;
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 0, 9, 10);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    world_progress(&w, world_launcher(&w, "a", 0), 5, 100);
    world_advance(&w, 70000);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_reason(&w, "a", "Failed"), "FailurePolicy");
    assert_string_equal(world_status(&w, "a", "failures[1].cause"), "Hung");
    world_release(&w);
}

static void test_on_the_only_node_another_one_is_not_looked_for(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 76, 0, 10);
    world_advance(&w, 200);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.pods_created, 2);
    assert_false(has(&w, "recovery.avoidNodes"));
    world_delete(&w, "pods/team/a-worker-0-r2");
    world_advance(&w, 200);
    assert_string_equal(world_status(&w, "a", "failures[1].cause"), "Infrastructure");
    assert_false(has(&w, "failures[1].exitCode"));
    world_release(&w);
}

static void test_without_in_place_every_pod_is_created_again(void **state)
{
    struct world w;
    (void)state;
    reach_twenty(&w, 2, 3, "{\"spec\":{\"failurePolicy\":{\"inPlace\":false}}}");
    assert_int_equal(w.pods_created, 4);
    save_two(&w);
    fail_at(&w, 0, 25);
    assert_int_equal(w.pods_created, 6);
    save_two(&w);
    fail_at(&w, 0, 25);
    assert_true(world_has_event(&w, "NodeSuspected"));
    assert_int_equal(w.pods_created, 8);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[003,002]");
    world_release(&w);
}

static void
test_ignored_failures_with_progress_restart_at_once_and_the_last_twenty_stay(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1,
                 "{\"spec\":{\"backoffLimit\":0,\"failurePolicy\":{\"rules\":[{\"action\":"
                 "\"Ignore\",\"onExitCodes\":{\"operator\":\"In\",\"values\":[1]}}]}}}");
    for (int i = 1; i <= 23; i++) {
        world_progress(&w, world_launcher(&w, "a", 0), i, 100);
        world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
        assert_string_equal(world_phase(&w, "a"), "Running"); /* no time has passed */
    }
    world_advance(&w, 11000);
    assert_int_equal(world_number(&w, "a", "restarts"), 23);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    assert_int_equal(w.pods_created, 1);
    assert_int_equal(world_number(&w, "a", "failures[0].attempt"), 4);
    assert_int_equal(world_number(&w, "a", "failures[19].attempt"), 23);
    assert_false(has(&w, "failures[20]"));
    world_release(&w);
}

static void test_a_next_controller_keeps_the_wait(void **state)
{
    struct world w;
    int64_t waited = 0;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 999); /* the end of the wait lies between two seconds */
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    world_replace_controller(&w);
    for (; strcmp(world_phase(&w, "a"), "Running") != 0; waited++)
        world_advance(&w, 1);
    assert_in_range(waited, 500, 2000);
    world_release(&w);
}

static void test_crash_loops_wait_longer_and_not_all_equally_long(void **state)
{
    int64_t first[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world w;
        world_init(&w, 1, 1);
        world_submit(&w, "a", 1, NULL);
        world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
        if (i == 1) { /* the generator has moved on */
            world_progress(&w, world_launcher(&w, "a", 0), 1, 100);
            world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
        }
        world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
        for (first[i] = 0; strcmp(world_phase(&w, "a"), "Running") != 0; first[i]++)
            world_advance(&w, 1);
        assert_in_range(first[i], 500, 1000);
        world_release(&w);
    }
    assert_int_not_equal(first[0], first[1]);
}

#define WITH_CHECKPOINTS(volume)                                                           \
    "{\"spec\":{\"checkpoint\":{\"path\":\"/ck\"},\"workers\":{\"template\":{\"spec\":{"   \
    "\"volumes\":[{\"name\":\"v\"," volume "}],\"containers\":[{\"name\":\"trainer\","     \
    "\"image\":\"i\",\"command\":[\"x\"],\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":" \
    "\"/ck\"}],\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"1\"}}}]}}}}}"

static void test_checkpoints_that_go_with_their_pod_are_told(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, WITH_CHECKPOINTS("\"emptyDir\":{}"));
    assert_string_equal(world_phase(&w, "a"), "Running"); /* all the same */
    assert_string_equal(world_condition(&w, "a", "CheckpointNotDurable"), "True");
    assert_string_equal(world_reason(&w, "a", "CheckpointNotDurable"), "GoesWithPod");
    assert_non_null(strstr(world_event_message(&w, "CheckpointNotDurable"), "(emptyDir"));
    assert_string_equal(event_type(&w, "CheckpointNotDurable"), "Warning");
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 20000);
    world_patch(&w, "trainingjobs/team/a", WITH_CHECKPOINTS("\"hostPath\":{\"path\":\"/data\"}"));
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_advance(&w, 20000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_condition(&w, "a", "CheckpointNotDurable"), "False");
    world_release(&w);
}

static void test_a_durable_path_or_none_at_all_is_no_condition(void **state)
{
    static const char *const patches[] = {
        WITH_CHECKPOINTS("\"nfs\":{\"server\":\"s\",\"path\":\"/\"}"), NULL};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world w;
        world_init(&w, 1, 1);
        world_submit(&w, "a", 1, patches[i]);
        world_advance(&w, 1000);
        assert_string_equal(world_condition(&w, "a", "CheckpointNotDurable"), "");
        assert_false(world_has_event(&w, "CheckpointNotDurable"));
        world_release(&w);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_poisoned_checkpoint_gives_way_to_the_one_before_it_once),
        cmocka_unit_test(test_one_that_was_given_up_ends_no_save_under_the_next_controller),
        cmocka_unit_test(test_the_same_step_from_the_older_one_fails_the_job),
        cmocka_unit_test(test_a_node_is_suspected_before_the_checkpoint),
        cmocka_unit_test(test_a_rank_that_asks_to_stay_is_not_moved_for_its_checkpoint),
        cmocka_unit_test(test_nodes_that_are_not_ready_or_avoided_cannot_take_the_suspects_pod),
        cmocka_unit_test(test_a_newer_checkpoint_clears_the_record),
        cmocka_unit_test(test_out_of_memory_and_ignored_failures_are_no_strikes),
        cmocka_unit_test(test_without_an_older_checkpoint_the_budget_decides),
        cmocka_unit_test(test_a_job_that_fails_anyway_does_not_go_back),
        cmocka_unit_test(test_a_checkpoint_that_cannot_be_loaded_is_skipped_after_pods_and_nodes),
        cmocka_unit_test(test_the_only_checkpoint_is_not_skipped),
        cmocka_unit_test(test_a_damaged_checkpoint_costs_steps_and_an_event_says_how_many),
        cmocka_unit_test(test_a_damage_before_the_first_resume_is_told_too),
        cmocka_unit_test(test_the_checkpoint_of_step_0_is_one_too),
        cmocka_unit_test(test_several_checkpoints_told_at_once_give_one_back_each),
        cmocka_unit_test(test_ten_minutes_are_progress_too),
        cmocka_unit_test(test_what_ended_the_attempt_stands_in_its_failure),
        cmocka_unit_test(test_hung_is_124_to_a_rule_and_out_of_memory_is_sigkill),
        cmocka_unit_test(test_on_the_only_node_another_one_is_not_looked_for),
        cmocka_unit_test(test_without_in_place_every_pod_is_created_again),
        cmocka_unit_test(test_a_checkpoint_that_was_only_being_written_again_is_not_lost),
        cmocka_unit_test(test_nothing_seen_is_no_news_and_never_leads_back),
        cmocka_unit_test(test_the_only_checkpoint_that_was_deleted_is_not_resumed_from),
        cmocka_unit_test(test_a_checkpoint_written_again_gives_no_retry_back),
        cmocka_unit_test(
            test_ignored_failures_with_progress_restart_at_once_and_the_last_twenty_stay),
        cmocka_unit_test(test_a_next_controller_keeps_the_wait),
        cmocka_unit_test(test_crash_loops_wait_longer_and_not_all_equally_long),
        cmocka_unit_test(test_checkpoints_that_go_with_their_pod_are_told),
        cmocka_unit_test(test_a_durable_path_or_none_at_all_is_no_condition),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
