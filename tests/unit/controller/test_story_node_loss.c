/* Nodes that die, seem to die, or come back: the launcher's silence and the node's Lease decide. */
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "world.h"

/* A gang of two on node001 and node002; node003 is free. */
static void begin(struct world *w, const char *patch)
{
    world_init(w, 3, 1);
    w->leases = true;
    world_submit(w, "a", 2, patch);
    world_advance(w, 12000);
    assert_string_equal(world_phase(w, "a"), "Running");
    assert_int_equal(w->leases_read, 0); /* nobody is suspected */
}

/* Power is cut on node002: nothing there says anything any more, and its Node object stays Ready.
 */
static struct world_launcher *node002_dies(struct world *w)
{
    struct world_launcher *l = world_launcher(w, "a", 1);
    l->deaf = true;
    world_kubelets_die(w, "node002");
    return l;
}

static void assert_moved(struct world *w)
{
    assert_string_equal(world_phase(w, "a"), "Running");
    assert_int_equal(world_number(w, "a", "attempt"), 2);
    assert_int_equal(world_number(w, "a", "restartsCharged"), 0);
    assert_string_equal(world_status(w, "a", "placement.workers"), "node[001,003]");
    assert_int_equal(w->pods_created, 3);
    assert_string_equal(world_status(w, "a", "failures[0].cause"), "Infrastructure");
    assert_string_equal(world_status(w, "a", "failures[0].node"), "node002");
}

static void test_a_dead_node_is_lost_within_20_seconds_and_only_its_slot_moves(void **state)
{
    struct world w;
    (void)state;
    begin(&w, NULL);
    cleanup_free char *uid =
        mlt_strdup(json_string(world_object(&w, "pods/team/a-worker-0"), "metadata.uid", ""));
    (void)node002_dies(&w);
    world_advance(&w, 15000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_advance(&w, 5000);
    assert_moved(&w);
    assert_string_equal(json_string(world_object(&w, "pods/team/a-worker-0"), "metadata.uid", ""),
                        uid);
    assert_non_null(
        json_find(world_object(&w, "pods/team/a-worker-1"), "metadata.deletionTimestamp"));
    assert_non_null(strstr(world_event_message(&w, "NodeLost"),
                           "node002 is lost: its launcher is silent, and its Lease was not renewed "
                           "for 15 s"));
    assert_true(w.leases_read <= 4);
    world_release(&w);
}

static void test_a_launcher_whose_channel_is_closed_and_stays_away_is_lost_as_soon(void **state)
{
    struct world w;
    (void)state;
    begin(&w, NULL);
    world_channel_breaks(&w, node002_dies(&w));
    world_advance(&w, 15000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_advance(&w, 5000);
    assert_moved(&w);
    world_release(&w);
}

static void test_a_later_timeout_is_kept(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 3, 1);
    w.leases = true;
    w.node_loss_ms = 60000;
    world_replace_controller(&w);
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 12000);
    (void)node002_dies(&w);
    world_advance(&w, 54000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_advance(&w, 6000);
    assert_moved(&w);
    world_release(&w);
}

static void test_a_launcher_that_only_cannot_be_heard_is_not_lost(void **state)
{
    struct world w;
    (void)state;
    begin(&w, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 1);
    l->deaf = true;
    for (int i = 0; i < 6; i++) {
        world_advance(&w, 20000); /* the channel is closed in between */
        w.wall_ms += (i % 2 ? 1 : -1) * INT64_C(86400000);
    }
    assert_true(w.leases_read > 10);
    world_launcher_hears(&w, l);
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_int_equal(w.pods_created, 2);
    unsigned read = w.leases_read;
    world_advance(&w, 60000);
    assert_int_equal(w.leases_read, read); /* it is heard: nobody asks any more */
    world_release(&w);
}

static void test_a_kubelet_that_is_dead_beside_ranks_that_speak_is_nobodys_loss(void **state)
{
    struct world w;
    (void)state;
    begin(&w, NULL);
    world_kubelets_die(&w, "node002");
    world_advance(&w, 120000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_int_equal(w.leases_read, 0);
    world_release(&w);
}

static void test_no_node_is_lost_while_the_api_server_does_not_answer(void **state)
{
    struct world w;
    (void)state;
    begin(&w, NULL);
    struct world_launcher *l = node002_dies(&w); /* its kubelet cannot reach the API server */
    world_advance(&w, 12000);
    w.mute_leases = true;
    world_advance(&w, 120000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    w.mute_leases = false;
    world_advance(&w, 14000); /* it has time to renew its Lease */
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_kubelets_die(&w, NULL);
    world_advance(&w, 30000);
    world_launcher_hears(&w, l);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_int_equal(w.pods_created, 2);
    world_release(&w);
}

static void test_a_controller_that_was_held_up_itself_counts_anew(void **state)
{
    struct world w;
    (void)state;
    begin(&w, NULL);
    (void)node002_dies(&w);
    while (!w.leases_read)
        world_advance(&w, 100);
    world_advance(&w, 4500); /* the next question is nearly due */
    /* SIGSTOP and SIGCONT: nobody knows what the node did meanwhile. */
    w.now_ms += 7000;
    w.wall_ms += 7000;
    world_advance(&w, 12000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_advance(&w, 5000);
    assert_moved(&w);
    world_release(&w);
}

static void test_a_lost_node_is_used_again_when_its_lease_is_renewed(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    w.leases = true;
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 12000);
    (void)node002_dies(&w);
    world_advance(&w, 25000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    unsigned created = w.pods_created;
    world_advance(&w, 600000);
    assert_string_equal(world_phase(&w, "a"), "Queued"); /* its object says Ready all the time */
    assert_int_equal(w.pods_created, created);
    world_kubelets_die(&w, NULL);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    world_release(&w);
}

static void test_a_lost_node_that_is_not_ready_yet_is_still_avoided(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    w.leases = true;
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 12000);
    (void)node002_dies(&w);
    world_node_ready(&w, "node002", false);
    world_advance(&w, 25000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    world_kubelets_die(&w, NULL);
    world_advance(&w, 120000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    world_node_ready(&w, "node002", true);
    world_advance(&w, 10000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

static void test_a_replacement_that_another_dead_node_never_sees_moves_on(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 4, 1);
    w.leases = true;
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 12000);
    world_launcher(&w, "a", 1)->deaf = true;
    world_kubelets_die(&w, "node002 node003"); /* a rack */
    world_advance(&w, 21000);
    assert_non_null(world_object(&w, "pods/team/a-worker-1-r2"));
    assert_string_not_equal(world_phase(&w, "a"), "Running");
    world_advance(&w, 20000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[001,004]");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    world_release(&w);
}

static void test_pods_that_pull_their_image_are_not_asked_for(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    w.leases = true;
    w.no_kubelet = true;
    world_submit(&w, "a", 1, NULL);
    json_set_string(world_object(&w, "pods/team/a-worker-0"), "status.startTime",
                    "2026-01-01T00:00:00Z");
    world_patch(&w, "pods/team/a-worker-0", "{\"status\":{\"phase\":\"Pending\"}}");
    world_advance(&w, 120000);
    assert_int_equal(w.leases_read, 0);
    world_release(&w);
}

static void test_an_old_launcher_that_is_heard_again_is_told_to_end(void **state)
{
    (void)state;
    for (int replaced = 0; replaced < 2; replaced++) {
        struct world w;
        begin(&w, NULL);
        struct world_launcher *l = node002_dies(&w);
        world_advance(&w, 20000);
        assert_moved(&w);
        if (replaced)
            world_replace_controller(&w);
        world_advance(&w, 5000);
        assert_int_equal(l->state, LAUNCHER_RUNNING); /* nobody has told it */
        world_launcher_hears(&w, l);
        assert_string_equal(
            json_string(world_object(&w, "pods/team/a-worker-1"), "status.phase", ""), "Failed");
        assert_false(l->used);
        world_advance(&w, 10000);
        assert_moved(&w);
        world_release(&w);
    }
}

static void test_a_refused_launcher_does_not_fail_the_gang_that_has_to_wait(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    w.leases = true;
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 12000);
    struct world_launcher *l = node002_dies(&w);
    world_advance(&w, 15000);
    l->deaf = false; /* it hears that it is refused, in the moment of the loss */
    world_advance(&w, 10000);
    assert_false(l->used);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    world_release(&w);
}

static void test_the_fence_is_waited_for(void **state)
{
    struct world w;
    (void)state;
    begin(&w, "{\"spec\":{\"failurePolicy\":{\"fenceSeconds\":60}}}");
    (void)node002_dies(&w);
    world_advance(&w, 63000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_advance(&w, 5000);
    assert_moved(&w);
    world_release(&w);
}

static void test_the_fence_is_waited_for_by_the_next_controller_too(void **state)
{
    struct world w;
    (void)state;
    begin(&w, "{\"spec\":{\"failurePolicy\":{\"fenceSeconds\":60}}}");
    (void)node002_dies(&w);
    world_advance(&w, 30000);
    world_replace_controller(&w); /* it does not know when the launcher was heard last */
    world_advance(&w, 63000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_int_equal(w.pods_created, 2);
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[001,003]");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    world_release(&w);
}

static void
test_ranks_that_their_own_fence_has_stopped_restart_in_place_without_a_charge(void **state)
{
    struct world w;
    (void)state;
    begin(&w, "{\"spec\":{\"failurePolicy\":{\"fenceSeconds\":60}}}");
    struct world_launcher *l = world_launcher(&w, "a", 1);
    world_channel_breaks(&w, l);
    world_advance(&w, 62000); /* its node is well */
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    l->exits[l->exits_count++] = (struct rendezvous_exit){
        .rank = 1, .signal = 9, .cause = RENDEZVOUS_CAUSE_FENCED, .after_ms = 60000, .tail = ""};
    l->state = LAUNCHER_READY;
    l->ready_attempt = 2;
    world_launcher_hears(&w, l);
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    assert_int_equal(w.pods_created, 2);
    assert_string_equal(world_status(&w, "a", "failures[0].cause"), "Infrastructure");
    assert_string_equal(world_status(&w, "a", "failures[0].message"),
                        "rank 1 (worker 1 on node002) was stopped by its fence: its launcher heard "
                        "nothing of a controller for 60 s");
    world_release(&w);
}

static void test_a_node_without_a_lease_is_judged_by_its_condition_and_that_is_said(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 3, 1);
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 12000);
    (void)node002_dies(&w);
    world_advance(&w, 60000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_node_ready(&w, "node002", false);
    world_advance(&w, 2000);
    assert_moved(&w);
    assert_non_null(strstr(world_event_message(&w, "NodeLost"), "has no Lease"));
    world_release(&w);
}

static void test_a_suspended_job_is_resumed_though_a_lost_node_holds_its_pod(void **state)
{
    struct world w;
    (void)state;
    begin(&w, NULL);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    struct world_launcher *l = node002_dies(&w);
    world_advance(&w, 30000);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_advance(&w, 40000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[001,003]");
    (void)l;
    world_release(&w);
}

/* The loss is the end of what was to be stopped anyway: nothing is put in the lost pod's place. */
static void test_a_job_that_is_cancelled_when_its_node_is_lost_holds_nothing(void **state)
{
    struct world w;
    (void)state;
    begin(&w, NULL);
    (void)node002_dies(&w);
    world_patch(&w, "trainingjobs/team/a",
                "{\"metadata\":{\"annotations\":{\"mltrain.io/cancel\":\"now\"}}}");
    world_advance(&w, 60000);
    assert_string_equal(world_reason(&w, "a", "Failed"), "Cancelled");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[001-002]");
    world_kubelets_die(&w, NULL);
    world_advance(&w, 60000);
    world_submit(&w, "b", 3, NULL);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_dead_node_is_lost_within_20_seconds_and_only_its_slot_moves),
        cmocka_unit_test(test_a_launcher_whose_channel_is_closed_and_stays_away_is_lost_as_soon),
        cmocka_unit_test(test_a_later_timeout_is_kept),
        cmocka_unit_test(test_a_launcher_that_only_cannot_be_heard_is_not_lost),
        cmocka_unit_test(test_a_kubelet_that_is_dead_beside_ranks_that_speak_is_nobodys_loss),
        cmocka_unit_test(test_no_node_is_lost_while_the_api_server_does_not_answer),
        cmocka_unit_test(test_a_controller_that_was_held_up_itself_counts_anew),
        cmocka_unit_test(test_a_lost_node_is_used_again_when_its_lease_is_renewed),
        cmocka_unit_test(test_a_lost_node_that_is_not_ready_yet_is_still_avoided),
        cmocka_unit_test(test_a_replacement_that_another_dead_node_never_sees_moves_on),
        cmocka_unit_test(test_pods_that_pull_their_image_are_not_asked_for),
        cmocka_unit_test(test_an_old_launcher_that_is_heard_again_is_told_to_end),
        cmocka_unit_test(test_a_refused_launcher_does_not_fail_the_gang_that_has_to_wait),
        cmocka_unit_test(test_the_fence_is_waited_for),
        cmocka_unit_test(test_the_fence_is_waited_for_by_the_next_controller_too),
        cmocka_unit_test(
            test_ranks_that_their_own_fence_has_stopped_restart_in_place_without_a_charge),
        cmocka_unit_test(test_a_node_without_a_lease_is_judged_by_its_condition_and_that_is_said),
        cmocka_unit_test(test_a_suspended_job_is_resumed_though_a_lost_node_holds_its_pod),
        cmocka_unit_test(test_a_job_that_is_cancelled_when_its_node_is_lost_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
