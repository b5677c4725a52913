/* Lives of jobs whose controller is killed: at rest, and before each single effect. The world
 * checks that no START goes out before its attempt is stored and that no slot ever has two living
 * pods. */
#include <stdio.h>
#include <string.h>
#include "tests/unit/controller/world.h"

static void test_a_new_controller_adopts_running_ranks_as_they_are(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 3, NULL);
    world_advance(&w, 2000);
    unsigned starts = w.starts;
    world_replace_controller(&w);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.starts, starts);
    assert_int_equal(w.pods_created, 3);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_int_equal(world_number(&w, "a", "restarts"), 0);
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_release(&w);
}

static void test_a_rank_that_died_while_nobody_led_restarts_the_gang(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 3, NULL);
    world_advance(&w, 2000);
    struct world_launcher *l = world_launcher(&w, "a", 1);
    l->exits[l->exits_count++] = (struct rendezvous_exit){
        .rank = 1, .code = 9, .cause = RENDEZVOUS_CAUSE_EXITED, .after_ms = 1000, .tail = "x"};
    world_replace_controller(&w);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    assert_int_equal(w.pods_created, 3);
    world_release(&w);
}

static void test_a_pod_that_went_while_nobody_led_is_created_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 3, NULL);
    world_advance(&w, 2000);
    world_delete(&w, "pods/team/a-worker-2");
    world_replace_controller(&w);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    assert_int_equal(w.pods_created, 4);
    world_release(&w);
}

static void test_a_failure_that_was_judged_is_not_judged_again_by_the_next_controller(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, NULL);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 10);
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Restarting");
    int64_t charged = world_number(&w, "a", "restartsCharged");
    int64_t attempt = world_number(&w, "a", "attempt");
    world_replace_controller(&w);
    world_advance(&w, 300);
    /* The pause is kept too. */
    assert_string_equal(world_phase(&w, "a"), "Restarting");
    world_advance(&w, 40000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), charged);
    assert_int_equal(world_number(&w, "a", "attempt"), attempt + 1);
    world_release(&w);
}

static void test_a_controller_that_loses_its_lease_closes_all_channels_and_ends(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    uint64_t channels = w.channels;
    world_patch(&w, "leases/mltrain-system/mltrain-controller",
                "{\"spec\":{\"holderIdentity\":\"other\",\"leaseTransitions\":7}}");
    world_advance(&w, 15000);
    assert_true(w.exited);
    assert_true(w.exited_lost);
    for (uint32_t slot = 0; slot < 2; slot++) {
        /* Closed: it looks for the next leader on a new one. */
        assert_true(world_launcher(&w, "a", slot)->channel > channels);
        assert_int_equal(world_launcher(&w, "a", slot)->state, LAUNCHER_RUNNING);
    }
    world_release(&w);
}

static void
test_a_controller_that_is_stopped_gives_its_lease_back_and_leaves_ranks_alone(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_stop_controller(&w);
    assert_true(w.exited);
    assert_false(w.exited_lost);
    assert_string_equal(json_string(world_object(&w, "leases/mltrain-system/mltrain-controller"),
                                    "spec.holderIdentity", ""),
                        "");
    assert_int_equal(world_launcher(&w, "a", 0)->state, LAUNCHER_RUNNING);
    world_replace_controller(&w);
    world_advance(&w, 1000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_release(&w);
}

static void test_a_failure_whose_ranks_are_still_being_stopped_is_judged_once(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 2000);
    world_launcher(&w, "a", 1)->hold_stop = true;
    world_channel_breaks(&w, world_launcher(&w, "a", 1));
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 7, 0, 10);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Restarting");
    world_replace_controller(&w);
    world_advance(&w, 4000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    assert_int_equal(world_number(&w, "a", "failures[0].exitCode"), 7);
    assert_int_equal(w.pods_created, 2);
    world_release(&w);
}

/* One life with a failure in it; the controller is dropped before its n-th effect. */
static void live(struct world *w, int drop_after)
{
    world_init(w, 2, 2);
    w->drop_after = drop_after;
    world_submit(w, "a", 3, NULL);
    world_advance(w, 6000);
    struct world_launcher *l = world_launcher(w, "a", 1);
    if (l && l->state == LAUNCHER_RUNNING)
        world_rank_exits(w, l, 0, 1, 0, 5000);
    world_advance(w, 6000);
    assert_string_equal(world_phase(w, "a"), "Running");
    world_job_ends_well(w, "a");
    world_advance(w, 12000);
}

static void
test_a_controller_dropped_before_any_effect_neither_doubles_pods_nor_loses_the_job(void **state)
{
    unsigned effects;
    struct world w;
    (void)state;
    live(&w, 0);
    effects = w.effects;
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_release(&w);
    assert_true(effects > 60);
    for (unsigned n = 1; n <= effects; n++) {
        live(&w, (int)n);
        if (strcmp(world_phase(&w, "a"), "Succeeded") != 0)
            fail_msg("dropped before effect %u of %u: the job is %s", n, effects,
                     world_phase(&w, "a"));
        assert_true(world_number(&w, "a", "restartsCharged") <= 1);
        assert_int_equal(w.pods_created, 3);
        for (uint32_t slot = 0; slot < 3; slot++)
            assert_null(world_launcher(&w, "a", slot));
        world_release(&w);
    }
}

/* Drops the controller before its n-th effect; whether a creation of a pod is on its way then. */
static bool drop_with_creation_under_way(struct world *w, int n, int late_steps)
{
    world_init(w, 2, 2);
    w->late_choice = late_steps;
    w->drop_after = n;
    w->stop_at_drop = true;
    world_submit(w, "a", 3, NULL);
    w->stop_at_drop = false;
    for (const struct world_event *e = w->late; e; e = e->next)
        if (strcmp(e->verb, "POST") == 0 && strstr(e->path, "/pods") && !strchr(e->path, '?'))
            return true;
    return false;
}

static void test_a_creation_of_a_former_controller_that_arrives_late_doubles_nothing(void **state)
{
    struct world w;
    unsigned tried = 0, met = 0;
    (void)state;
    for (int n = 1; n < 80; n++) {
        for (int late = 1; late < 100; late += 3) {
            bool fits = drop_with_creation_under_way(&w, n, late);
            if (fits) {
                tried++;
                world_advance(&w, 3000);
                assert_string_equal(world_phase(&w, "a"), "Running");
                assert_int_equal(w.pods_created, 3);
                met += w.already_exists;
            }
            world_release(&w);
            if (!fits)
                break;
        }
    }
    assert_true(tried > 8);
    assert_true(met > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_controller_adopts_running_ranks_as_they_are),
        cmocka_unit_test(test_a_rank_that_died_while_nobody_led_restarts_the_gang),
        cmocka_unit_test(test_a_pod_that_went_while_nobody_led_is_created_again),
        cmocka_unit_test(test_a_controller_that_loses_its_lease_closes_all_channels_and_ends),
        cmocka_unit_test(
            test_a_controller_that_is_stopped_gives_its_lease_back_and_leaves_ranks_alone),
        cmocka_unit_test(test_a_failure_that_was_judged_is_not_judged_again_by_the_next_controller),
        cmocka_unit_test(test_a_failure_whose_ranks_are_still_being_stopped_is_judged_once),
        cmocka_unit_test(test_a_creation_of_a_former_controller_that_arrives_late_doubles_nothing),
        cmocka_unit_test(
            test_a_controller_dropped_before_any_effect_neither_doubles_pods_nor_loses_the_job),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
