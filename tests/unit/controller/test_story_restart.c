/* Lives of jobs in which something breaks. */
#include <stdio.h>
#include <string.h>
#include "world.h"
#include "world_internal.h"

static void
test_a_rank_that_dies_restarts_the_gang_in_the_same_pods_from_the_last_checkpoint(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 3, NULL);
    world_advance(&w, 2000);
    world_progress(&w, world_launcher(&w, "a", 0), 70, 100);
    world_checkpoint(&w, world_launcher(&w, "a", 0), 60, 70);
    world_advance(&w, 11000);
    unsigned writes = w.status_writes;
    world_rank_exits(&w, world_launcher(&w, "a", 2), 0, 1, 0, 13000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(w.pods_created, 3);
    assert_int_equal(w.starts, 6);
    /* One write between verdict and START, and one that says it runs. */
    assert_int_equal(w.status_writes - writes, 2);
    for (uint32_t slot = 0; slot < 3; slot++)
        assert_int_equal(world_launcher(&w, "a", slot)->resume_step, 60);
    assert_int_equal(world_number(&w, "a", "restarts"), 1);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    assert_int_equal(world_number(&w, "a", "recovery.chargedAtStep"), 60);
    assert_int_equal(world_number(&w, "a", "failures[0].rank"), 2);
    assert_int_equal(world_number(&w, "a", "failures[0].exitCode"), 1);
    assert_int_equal(world_number(&w, "a", "failures[0].step"), 70);
    assert_int_equal(world_number(&w, "a", "failures[0].stepsLost"), 10);
    assert_string_equal(world_status(&w, "a", "failures[0].cause"), "Exited");
    world_release(&w);
}

static void test_last_output_that_is_no_text_does_not_stop_the_restart(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    w.tail = "caf\xc3\xa9 \xff\xfe\xc3";
    world_submit(&w, "a", 1, NULL);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_non_null(strstr(world_status(&w, "a", "failures[0].message"), "caf\xc3\xa9 ???"));
    world_release(&w);
}

static void test_a_newer_checkpoint_gives_one_retry_back(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_rank_exits(&w, world_launcher(&w, "a", 1), 0, 1, 0, 10);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    world_checkpoint(&w, world_launcher(&w, "a", 0), 10, -1);
    world_advance(&w, 11000);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    assert_int_equal(world_number(&w, "a", "restarts"), 1);
    assert_int_equal(world_number(&w, "a", "checkpoint.step"), 10);
    world_release(&w);
}

static void test_a_torn_checkpoint_is_not_resumed_from(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 0);
    world_checkpoint(&w, l, 10, -1);
    world_checkpoint(&w, l, 20, -1);
    world_advance(&w, 11000);
    assert_int_equal(world_number(&w, "a", "checkpoint.step"), 20);
    /* Step 20 turns out to be torn: the launcher looks again before the next START. */
    l->checkpoints[0] = l->checkpoints[1];
    l->checkpoints_count = 1;
    world_checkpoint(&w, l, -1, 20);
    world_rank_exits(&w, l, 0, 1, 0, 10);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 10);
    world_release(&w);
}

static void test_the_budget_of_retries_ends_the_job_with_the_culprits_code(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, "{\"spec\":{\"backoffLimit\":1}}");
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 3, 0, 10);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_rank_exits(&w, world_launcher(&w, "a", 1), 0, 7, 0, 10);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_reason(&w, "a", "Failed"), "BackoffLimitExceeded");
    const cJSON *pod = world_object(&w, "pods/team/a-worker-0");
    assert_int_equal(json_integer(pod, "status.containerStatuses[0].state.terminated.exitCode", -1),
                     7);
    world_release(&w);
}

static void test_restarts_that_get_nowhere_slow_down_and_take_fresh_pods(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    assert_int_equal(w.pods_created, 1);
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    assert_string_equal(world_phase(&w, "a"), "Restarting");
    assert_true(*world_status(&w, "a", "recovery.nextAttemptTime") != 0);
    assert_int_equal(w.pods_created, 2);
    assert_non_null(world_object(&w, "pods/team/a-worker-0-r3")); /* above the attempt */
    world_advance(&w, 1100);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 3);
    world_release(&w);
}

static void test_only_the_pod_that_is_gone_is_created_again_and_nothing_is_charged(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 3, NULL);
    world_advance(&w, 2000);
    char node[64];
    (void)snprintf(node, sizeof node, "%s",
                   json_string(world_object(&w, "pods/team/a-worker-1"), "spec.nodeName", ""));
    world_delete(&w, "pods/team/a-worker-1");
    world_run(&w);
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.pods_created, 4);
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    const cJSON *again = world_object(&w, "pods/team/a-worker-1-r2");
    assert_string_equal(json_string(again, "spec.nodeName", ""), node);
    assert_string_equal(world_status(&w, "a", "failures[0].cause"), "Infrastructure");
    assert_string_equal(world_event_message(&w, "PodLost"), "pod a-worker-1 was deleted");
    world_release(&w);
}

static void delete_all_pods(struct world *w)
{
    for (struct world_object *o = w->objects, *next; o; o = next) {
        next = o->hh.next;
        if (strncmp(o->key, "pods/", 5) == 0)
            world_delete(w, o->key);
    }
}

/* As the garbage collector does while our watch does not tell that the job is gone. */
static void test_a_pod_that_is_deleted_again_and_again_comes_more_and_more_seldom(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    w.no_kubelet = true;
    delete_all_pods(&w);
    world_run(&w);
    assert_int_equal(w.pods_created, 2);
    for (int tenths = 0; tenths < 600; tenths++) {
        delete_all_pods(&w);
        world_advance(&w, 100);
    }
    assert_int_equal(w.pods_created, 7); /* after 1, 2, 4, 8 and 16 s; 32 s are not over */
    w.no_kubelet = false;
    world_advance(&w, 33000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.pods_created, 8);
    /* Ranks have run: the first is created at once, as ever. */
    delete_all_pods(&w);
    world_run(&w);
    assert_int_equal(w.pods_created, 9);
    world_release(&w);
}

static void test_a_launcher_that_dies_is_charged_and_its_pod_replaced(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 3, NULL);
    world_pod_ends(&w, world_launcher(&w, "a", 1), 137);
    world_run(&w);
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.pods_created, 4);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    assert_int_equal(world_number(&w, "a", "failures[0].exitCode"), 137);
    assert_non_null(world_object(&w, "pods/team/a-worker-1")); /* stays for its log */
    world_release(&w);
}

static void test_a_pod_rejected_before_the_first_start_undoes_the_whole_gang(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 3, 2);
    w.reject_on = "node002";
    world_submit(&w, "a", 3, NULL);
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[001,001,003]");
    assert_true(world_has_event(&w, "Requeued"));
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_int_equal(world_number(&w, "a", "restarts"), 0);
    assert_string_equal(world_status(&w, "a", "recovery.avoidNodes[0].node"), "node002");
    world_release(&w);
}

static void test_a_pod_of_a_drained_node_is_created_again_elsewhere(void **state)
{
    static const char *const closed[] = {
        "{\"spec\":{\"unschedulable\":true}}",
        "{\"spec\":{\"taints\":[{\"key\":\"repair\",\"effect\":\"NoSchedule\"}]}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++) {
        struct world w;
        world_init(&w, 3, 1);
        world_submit(&w, "a", 2, NULL);
        assert_string_equal(world_status(&w, "a", "placement.workers"), "node[001-002]");
        world_patch(&w, "nodes//node002", closed[i]);
        world_delete(&w, "pods/team/a-worker-1");
        world_advance(&w, 1000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_string_equal(world_status(&w, "a", "placement.workers"), "node[001,003]");
        assert_int_equal(world_number(&w, "a", "attempt"), 2);
        assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
        /* Now there is no other node: the gang gives everything back and waits as a whole. */
        world_patch(&w, "nodes//node003", closed[i]);
        world_delete(&w, "pods/team/a-worker-1-r2");
        world_advance(&w, 1000);
        assert_string_equal(world_phase(&w, "a"), "Queued");
        assert_string_equal(world_reason(&w, "a", "Admitted"), "NoPlace");
        world_release(&w);
    }
}

static void test_a_gang_that_is_undone_because_a_pod_was_deleted_says_so(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    w.no_kubelet = true;
    world_submit(&w, "a", 2, NULL);
    assert_string_equal(world_phase(&w, "a"), "Admitted");
    world_delete(&w, "pods/team/a-worker-1");
    world_delete(&w, "nodes//node001"); /* it cannot be placed again at once */
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_reason(&w, "a", "Admitted"), "PodLost");
    assert_string_equal(world_message(&w, "a", "Admitted"), "pod a-worker-1 was deleted");
    world_release(&w);
}

static void test_an_undone_gang_waits_until_its_node_may_be_tried_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    w.reject_on = "node001";
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_int_equal(w.pods_created, 1);
    assert_string_equal(world_reason(&w, "a", "Admitted"), "PodRejected");
    assert_non_null(
        strstr(world_message(&w, "a", "Admitted"), "thrown out by node node001 (OutOf"));
    w.reject_on = NULL;
    assert_non_null(strstr(world_status(&w, "a", "queue.explanation"),
                           "1 avoided after trouble for 30 s more"));
    /* There is no other node: it is tried again sooner. */
    world_advance(&w, 4000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    world_advance(&w, 1500);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.pods_created, 2);
    world_release(&w);
}

static void test_a_node_is_avoided_for_longer_when_another_one_takes_the_gang(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    w.reject_on = "node001";
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 20000);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node002");
    w.reject_on = NULL;
    world_delete(&w, "nodes//node002");
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    world_advance(&w, 10000);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node001");
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

static void test_a_node_that_shuts_down_is_not_blamed(void **state)
{
    static const char *const reasons[] = {"Terminated", "NodeShutdown"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        world_init(&w, 1, 2);
        world_submit(&w, "a", 2, NULL);
        world_pod_stopped(&w, world_launcher(&w, "a", 1), reasons[i]);
        world_advance(&w, 2000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_int_equal(world_number(&w, "a", "attempt"), 2);
        assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
        assert_null(json_find(world_job_object(&w, "a"), "status.recovery.avoidNodes"));
        assert_false(world_has_event(&w, "Requeued"));
        world_release(&w);
    }
}

static void test_a_node_that_throws_pods_out_for_its_own_trouble_is_blamed(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_submit(&w, "a", 1, NULL);
    world_pod_stopped(&w, world_launcher(&w, "a", 0), "Evicted");
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "recovery.avoidNodes[0].node"), "node001");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node002");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    world_release(&w);
}

static void test_a_cluster_that_was_stopped_and_started_has_its_job_back_at_once(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 2000);
    world_pod_stopped(&w, world_launcher(&w, "a", 0), "Terminated");
    world_pod_stopped(&w, world_launcher(&w, "a", 1), "Terminated");
    json_set_string(json_find(world_object(&w, "nodes//node001"), "status.conditions[0]"), "status",
                    "Unknown");
    world_changed(&w, "nodes//node001");
    world_replace_controller(&w);
    world_advance(&w, 4000);
    assert_int_equal(w.pods_created, 2); /* it would only wait there */
    world_node_ready(&w, "node001", true);
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_false(world_has_event(&w, "Requeued"));
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    world_release(&w);
}

static void test_a_node_that_does_not_come_back_is_given_up(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 2000);
    world_pod_stopped(&w, world_launcher(&w, "a", 0), "Terminated");
    world_node_ready(&w, "node001", false);
    world_advance(&w, 9000);
    assert_string_equal(world_phase(&w, "a"), "Restarting");
    world_advance(&w, 3000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node002");
    world_release(&w);
}

static void test_pods_that_know_another_channel_are_replaced(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 2000);
    w.channel_address = "127.0.0.1:8888";
    world_replace_controller(&w);
    world_advance(&w, 5000);
    assert_int_equal(w.pods_deleted, 0);
    world_advance(&w, 7000);
    assert_int_equal(w.pods_deleted, 2);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    world_release(&w);
}

static void test_a_pod_that_is_refused_by_quota_undoes_the_gang(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    w.refuse_pod = "exceeded quota";
    world_submit(&w, "a", 2, NULL);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_reason(&w, "a", "Admitted"), "PodRefused");
    assert_string_equal(world_condition(&w, "a", "Running"), ""); /* nor were they ever True */
    assert_string_equal(world_condition(&w, "a", "Restarting"), "");
    w.refuse_pod = NULL;
    world_advance(&w, 20000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

static void test_a_lost_node_moves_its_member_and_nobody_else(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 3, 1);
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 2000);
    world_node_ready(&w, "node002", false);
    /* The channel proves that the ranks live. */
    world_advance(&w, 60000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    json_set_bool(world_object(&w, "pods/team/a-worker-1"), "lost", true);
    world_channel_breaks(&w, world_launcher(&w, "a", 1));
    world_advance(&w, 11000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[001,003]");
    assert_string_equal(world_message(&w, "a", "Admitted"), "node[001,003]");
    assert_int_equal(w.pods_created, 3);
    world_release(&w);
}

static void test_a_gang_whose_lost_member_fits_nowhere_waits_as_a_whole(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 2000);
    world_channel_breaks(&w, world_launcher(&w, "a", 1));
    json_set_bool(world_object(&w, "pods/team/a-worker-1"), "lost", true);
    world_node_ready(&w, "node002", false);
    world_advance(&w, 15000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    /* One has ended, and stays for its log; of the other nobody says that it has. */
    assert_int_equal(world_count(&w, "pods"), 2);
    assert_int_equal(w.pods_deleted, 1);
    assert_null(world_launcher(&w, "a", 0));
    world_node_ready(&w, "node002", true);
    world_advance(&w, 40000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    world_release(&w);
}

static void test_exit_code_93_fails_the_job_at_once(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 93, 0, 10);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_reason(&w, "a", "Failed"), "RankAskedToFail");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    assert_int_equal(world_number(&w, "a", "failures[0].exitCode"), 93);
    const cJSON *pod = world_object(&w, "pods/team/a-worker-0");
    assert_int_equal(json_integer(pod, "status.containerStatuses[0].state.terminated.exitCode", -1),
                     93);
    world_release(&w);
}

static void test_exit_code_76_moves_the_member_to_another_node(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 3, 1);
    world_submit(&w, "a", 2, NULL);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 76, 0, 10);
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[003,002]");
    assert_int_equal(w.pods_created, 3);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    assert_non_null(world_object(&w, "pods/team/a-worker-0-r2"));
    assert_false(world_has_event(&w, "PodLost")); /* nobody else has taken it away */
    world_release(&w);
}

static void test_the_event_that_tells_the_end_is_sent_after_however_many(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, "{\"spec\":{\"backoffLimit\":40}}");
    for (int64_t n = 1; n <= 41; n++) {
        world_progress(&w, world_launcher(&w, "a", 0), n, 100);
        world_rank_exits(&w, world_launcher(&w, "a", 0), 0, (int32_t)n, 0, 1000);
        world_advance(&w, 200);
    }
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_true(world_has_event(&w, "BackoffLimitExceeded"));
    world_release(&w);
}

static void test_a_rule_of_the_user_fails_the_job(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1,
                 "{\"spec\":{\"failurePolicy\":{\"rules\":[{\"action\":\"FailJob\","
                 "\"onExitCodes\":{\"operator\":\"In\",\"values\":[42]}}]}}}");
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 42, 0, 10);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_reason(&w, "a", "Failed"), "FailurePolicy");
    world_release(&w);
}

static void test_members_that_never_come_release_the_gang(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    w.no_kubelet = true;
    world_submit(&w, "a", 1, NULL);
    assert_string_equal(world_phase(&w, "a"), "Admitted");
    world_advance(&w, 601000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_reason(&w, "a", "Admitted"), "StartTimeout");
    assert_int_equal(world_count(&w, "pods"), 0);
    world_release(&w);
}

static void test_a_gang_moves_on_though_its_pod_on_a_lost_node_never_ends(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 4, NULL);
    world_advance(&w, 2000);
    for (uint32_t slot = 2; slot < 4; slot++)
        world_channel_breaks(&w, world_launcher(&w, "a", slot));
    json_set_bool(world_object(&w, "pods/team/a-worker-2"), "lost", true);
    json_set_bool(world_object(&w, "pods/team/a-worker-3"), "lost", true);
    world_node_ready(&w, "node002", false);
    world_advance(&w, 15000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_non_null(
        json_find(world_object(&w, "pods/team/a-worker-2"), "metadata.deletionTimestamp"));
    json_set_string(world_object(&w, "nodes//node001"), "status.allocatable[nvidia.com/gpu]", "4");
    world_changed(&w, "nodes//node001");
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[001,001,001,001]");
    world_release(&w);
}

static void test_a_launcher_out_of_reach_does_not_hold_up_the_restart_for_ever(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_channel_breaks(&w, world_launcher(&w, "a", 1));
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    world_advance(&w, 50000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1); /* it may come back and stop */
    assert_int_equal(w.pods_deleted, 0);
    world_advance(&w, 15000);
    assert_int_equal(w.pods_deleted, 1);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_true(world_has_event(&w, "LauncherSilent"));
    world_release(&w);
}

static void test_a_deletion_that_is_refused_is_tried_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1,
                 "{\"spec\":{\"cleanPodPolicy\":\"All\",\"ttlSecondsAfterFinished\":30}}");
    w.refuse_delete = "not now";
    world_job_ends_well(&w, "a");
    world_advance(&w, 40000);
    assert_int_equal(world_count(&w, "pods"), 1);
    assert_true(world_has_event(&w, "DeletionRefused"));
    w.refuse_delete = NULL;
    world_advance(&w, 16000);
    assert_int_equal(world_count(&w, "pods"), 0);
    assert_int_equal(world_count(&w, "trainingjobs"), 0);
    world_release(&w);
}

static void test_an_errno_of_exec_is_not_taken_for_an_exit_code(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1,
                 "{\"spec\":{\"failurePolicy\":{\"rules\":[{\"action\":\"FailJob\","
                 "\"onExitCodes\":{\"operator\":\"In\",\"values\":[2,93]}}]}}}");
    w.cause = RENDEZVOUS_CAUSE_EXEC_FAILED;
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 2, 0, 10);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "failures[0].exitCode"), 127);
    world_release(&w);
}

static void test_a_failure_is_one_line_and_its_event_has_the_last_ten(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, "{\"spec\":{\"backoffLimit\":1}}");
    w.tail = "l1\nl2\nl3\nl4\nl5\nl6\nl7\nl8\nl9\nTraceback:\n  File x\n"
             "\x1b[31mAttributeError: no\tsuch thing\x1b[0m\n\n";
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    const char *line = "rank 0 (worker 0 on node001) exited with code 1: AttributeError: no such "
                       "thing";
    assert_string_equal(world_status(&w, "a", "failures[0].message"), line);
    assert_string_equal(
        world_event_message(&w, "Restarting"),
        "rank 0 (worker 0 on node001) exited with code 1\nl3\nl4\nl5\nl6\nl7\nl8\nl9"
        "\nTraceback:\n  File x\nAttributeError: no such thing");
    char huge[3000];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = 0;
    w.tail = huge;
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_int_equal(strlen(world_status(&w, "a", "failures[1].message")), 300);
    assert_true(strlen(world_event_message(&w, "AttemptFailed")) > 900);
    assert_true(strlen(world_event_message(&w, "AttemptFailed")) < 1024);
    world_release(&w);
}

static void test_ranks_that_take_their_time_to_stop_are_shown_as_restarting(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 12000);
    world_launcher(&w, "a", 1)->hold_stop = true;
    world_channel_breaks(&w, world_launcher(&w, "a", 1));
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_advance(&w, 150);
    assert_string_equal(world_phase(&w, "a"), "Restarting");
    assert_string_equal(world_reason(&w, "a", "Restarting"), "Stopping");
    assert_string_equal(world_condition(&w, "a", "Running"), "False");
    assert_int_equal(world_number(&w, "a", "restarts"), 0);
    world_launcher_connects(&w, world_launcher(&w, "a", 1));
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_condition(&w, "a", "Restarting"), "False");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    world_release(&w);
}

static void test_a_verdict_that_comes_at_once_costs_one_write(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 12000);
    unsigned writes = w.status_writes, starts = w.starts;
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    assert_int_equal(w.starts, starts + 2);
    assert_true(w.status_writes - writes <= 2); /* before START, and that it runs */
    world_release(&w);
}

static void test_exit_code_75_stays_in_its_pods_however_often_it_comes(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 3, 1);
    world_submit(&w, "a", 2, NULL);
    for (int i = 0; i < 5; i++) {
        world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 75, 0, 10);
        world_advance(&w, 20000);
        assert_string_equal(world_phase(&w, "a"), "Running");
    }
    assert_int_equal(w.pods_created, 2);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 5);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[001-002]");
    world_release(&w);
}

static void test_a_checkpoint_that_stays_torn_is_told_when_a_restart_passes_it_over(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_checkpoint(&w, world_launcher(&w, "a", 0), 10, 20);
    world_checkpoint(&w, world_launcher(&w, "a", 0), 20, -1); /* it was only young */
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 20);
    assert_false(world_has_event(&w, "CheckpointTorn"));
    world_checkpoint(&w, world_launcher(&w, "a", 0), -1, 30);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    world_advance(&w, 2000);
    assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 20);
    assert_non_null(strstr(world_event_message(&w, "CheckpointTorn"), "step 30"));
    world_release(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_a_rank_that_dies_restarts_the_gang_in_the_same_pods_from_the_last_checkpoint),
        cmocka_unit_test(test_last_output_that_is_no_text_does_not_stop_the_restart),
        cmocka_unit_test(test_a_newer_checkpoint_gives_one_retry_back),
        cmocka_unit_test(test_a_torn_checkpoint_is_not_resumed_from),
        cmocka_unit_test(test_the_budget_of_retries_ends_the_job_with_the_culprits_code),
        cmocka_unit_test(test_restarts_that_get_nowhere_slow_down_and_take_fresh_pods),
        cmocka_unit_test(test_a_pod_that_is_deleted_again_and_again_comes_more_and_more_seldom),
        cmocka_unit_test(test_only_the_pod_that_is_gone_is_created_again_and_nothing_is_charged),
        cmocka_unit_test(test_a_launcher_that_dies_is_charged_and_its_pod_replaced),
        cmocka_unit_test(test_a_pod_rejected_before_the_first_start_undoes_the_whole_gang),
        cmocka_unit_test(test_a_pod_of_a_drained_node_is_created_again_elsewhere),
        cmocka_unit_test(test_a_gang_that_is_undone_because_a_pod_was_deleted_says_so),
        cmocka_unit_test(test_an_undone_gang_waits_until_its_node_may_be_tried_again),
        cmocka_unit_test(test_a_pod_that_is_refused_by_quota_undoes_the_gang),
        cmocka_unit_test(test_a_lost_node_moves_its_member_and_nobody_else),
        cmocka_unit_test(test_a_gang_whose_lost_member_fits_nowhere_waits_as_a_whole),
        cmocka_unit_test(test_exit_code_93_fails_the_job_at_once),
        cmocka_unit_test(test_exit_code_76_moves_the_member_to_another_node),
        cmocka_unit_test(test_the_event_that_tells_the_end_is_sent_after_however_many),
        cmocka_unit_test(test_a_rule_of_the_user_fails_the_job),
        cmocka_unit_test(test_members_that_never_come_release_the_gang),
        cmocka_unit_test(test_a_failure_is_one_line_and_its_event_has_the_last_ten),
        cmocka_unit_test(test_ranks_that_take_their_time_to_stop_are_shown_as_restarting),
        cmocka_unit_test(test_a_verdict_that_comes_at_once_costs_one_write),
        cmocka_unit_test(test_exit_code_75_stays_in_its_pods_however_often_it_comes),
        cmocka_unit_test(test_a_checkpoint_that_stays_torn_is_told_when_a_restart_passes_it_over),
        cmocka_unit_test(test_a_node_is_avoided_for_longer_when_another_one_takes_the_gang),
        cmocka_unit_test(test_a_node_that_shuts_down_is_not_blamed),
        cmocka_unit_test(test_a_node_that_throws_pods_out_for_its_own_trouble_is_blamed),
        cmocka_unit_test(test_a_cluster_that_was_stopped_and_started_has_its_job_back_at_once),
        cmocka_unit_test(test_a_node_that_does_not_come_back_is_given_up),
        cmocka_unit_test(test_pods_that_know_another_channel_are_replaced),
        cmocka_unit_test(test_a_gang_moves_on_though_its_pod_on_a_lost_node_never_ends),
        cmocka_unit_test(test_a_launcher_out_of_reach_does_not_hold_up_the_restart_for_ever),
        cmocka_unit_test(test_a_deletion_that_is_refused_is_tried_again),
        cmocka_unit_test(test_an_errno_of_exec_is_not_taken_for_an_exit_code),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
