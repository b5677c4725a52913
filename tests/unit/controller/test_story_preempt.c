/* Lives of jobs that make way for others. */
#include <stdio.h>
#include <string.h>
#include "world.h"

#define HIGH "{\"spec\":{\"priorityClassName\":\"high\"}}"
#define SAVES "{\"spec\":{\"checkpoint\":{\"path\":\"/c\",\"gracePeriodSeconds\":20}}}"

/* Two GPUs, and "a" of two pods runs on them. */
static void begin(struct world *w, const char *patch)
{
    world_init(w, 1, 2);
    world_priority(w, "high", 1000, "PreemptLowerPriority");
    world_priority(w, "polite", 1000, "Never");
    world_submit(w, "a", 2, patch);
    assert_string_equal(world_phase(w, "a"), "Running");
}

static void test_a_job_of_lower_priority_saves_makes_way_and_waits_again(void **state)
{
    struct world w;
    (void)state;
    begin(&w, SAVES);
    world_checkpoint(&w, world_launcher(&w, "a", 0), 40, -1);
    world_launcher(&w, "a", 0)->hold_stop = true;
    world_submit(&w, "b", 2, HIGH);
    assert_string_equal(world_phase(&w, "a"), "Preempting");
    assert_string_equal(world_status(&w, "a", "recovery.pendingStop.reason"), "Preempted");
    assert_string_equal(world_status(&w, "a", "preemption.by"), "team/b");
    assert_string_equal(world_status(&w, "a", "preemption.reason"), "InClusterQueue");
    assert_string_equal(world_condition(&w, "a", "Preempted"), "True");
    assert_string_equal(world_reason(&w, "a", "Preempted"), "InClusterQueue");
    assert_string_equal(world_condition(&w, "a", "Evicted"), "True");
    assert_string_equal(world_reason(&w, "a", "Evicted"), "Preempted");
    assert_int_equal(world_launcher(&w, "a", 0)->stop_grace_ms, 20000);
    assert_string_equal(world_phase(&w, "b"), "Queued");
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "b"), "Queued");
    world_checkpoint(&w, world_launcher(&w, "a", 0), 45, -1);
    world_stopped(&w, world_launcher(&w, "a", 0));
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_condition(&w, "a", "Admitted"), "False");
    assert_string_equal(world_condition(&w, "a", "Running"), "False");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "");
    assert_string_equal(world_status(&w, "a", "recovery.pendingStop.reason"), "");
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_job_ends_well(&w, "b");
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_condition(&w, "a", "Preempted"), "False");
    assert_string_equal(world_condition(&w, "a", "Evicted"), "False");
    assert_int_equal(world_launcher(&w, "a", 1)->resume_step, 45);
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    assert_int_equal(world_number(&w, "a", "failures[0].attempt"), 0);
    assert_int_equal(world_number(&w, "a", "preemption.count"), 1);
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_release(&w);
}

static void test_equal_priorities_and_polite_classes_wait(void **state)
{
    struct world w;
    (void)state;
    begin(&w, NULL);
    world_submit(&w, "b", 2, NULL);
    world_submit(&w, "c", 2, "{\"spec\":{\"priorityClassName\":\"polite\"}}");
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_phase(&w, "c"), "Queued");
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "c"), "Running");
    world_release(&w);
}

static void test_only_as_many_make_way_as_are_needed_and_those_who_lose_least(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 3);
    world_priority(&w, "high", 1000, "PreemptLowerPriority");
    world_submit(&w, "a", 1, SAVES);
    world_submit(&w, "b", 1, SAVES);
    world_submit(&w, "c", 1, SAVES);
    world_advance(&w, 60000);
    world_checkpoint(&w, world_launcher(&w, "b", 0), 7, -1);
    world_advance(&w, 20000);
    world_submit(&w, "d", 1, HIGH);
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_phase(&w, "b"), "Queued");
    assert_string_equal(world_phase(&w, "c"), "Running");
    assert_string_equal(world_phase(&w, "d"), "Running");
    world_release(&w);
}

static void test_one_that_has_no_ranks_yet_makes_way_at_once(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_priority(&w, "high", 1000, "PreemptLowerPriority");
    w.no_kubelet = true;
    world_submit(&w, "a", 2, NULL);
    assert_string_equal(world_phase(&w, "a"), "Admitted");
    world_submit(&w, "b", 2, HIGH);
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_phase(&w, "b"), "Admitted");
    assert_int_equal(w.pods_deleted, 2);
    assert_int_equal(world_number(&w, "a", "preemption.count"), 1);
    world_release(&w);
}

static void test_one_that_has_made_way_is_left_alone_until_it_has_run_and_saved(void **state)
{
    struct world w;
    (void)state;
    begin(&w, SAVES);
    world_submit(&w, "b", 2, HIGH);
    world_advance(&w, 1000);
    world_job_ends_well(&w, "b");
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_submit(&w, "c", 2, HIGH);
    world_advance(&w, 11 * 60 * 1000);
    assert_string_equal(world_phase(&w, "a"), "Running"); /* it has saved nothing */
    world_checkpoint(&w, world_launcher(&w, "a", 0), 7, -1);
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_phase(&w, "c"), "Running");
    assert_int_equal(world_number(&w, "a", "preemption.count"), 2);
    world_job_ends_well(&w, "c");
    world_advance(&w, 1000);
    world_checkpoint(&w, world_launcher(&w, "a", 0), 8, -1);
    world_submit(&w, "d", 2, HIGH);
    world_advance(&w, 9 * 60 * 1000);
    assert_string_equal(world_phase(&w, "a"), "Running"); /* it has not run for long */
    world_advance(&w, 61 * 1000);
    assert_string_equal(world_phase(&w, "d"), "Running");
    world_release(&w);
}

/* The pods of one that ends by itself while it is asked to leave are still there for a while:
 * nobody else is asked meanwhile. */
static void test_nobody_else_is_asked_while_one_is_leaving(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_priority(&w, "high", 1000, "PreemptLowerPriority");
    world_submit(&w, "a", 1, SAVES);
    world_submit(&w, "b", 1, SAVES);
    world_launcher(&w, "a", 0)->hold_stop = world_launcher(&w, "b", 0)->hold_stop = true;
    world_submit(&w, "c", 1, HIGH);
    const char *left = strcmp(world_phase(&w, "a"), "Preempting") == 0 ? "a" : "b";
    const char *other = left[0] == 'a' ? "b" : "a";
    assert_string_equal(world_phase(&w, left), "Preempting");
    world_launcher(&w, left, 0)->ignores_exit = true;
    world_stopped(&w, world_launcher(&w, left, 0));
    world_patch(&w, left[0] == 'a' ? "trainingjobs/team/a" : "trainingjobs/team/b",
                "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 8000);
    world_submit(&w, "e", 1, NULL); /* a plan */
    assert_string_equal(world_phase(&w, other), "Running");
    assert_string_equal(world_phase(&w, "c"), "Queued");
    world_advance(&w, 8000);
    assert_string_equal(world_phase(&w, "c"), "Running");
    assert_string_equal(world_phase(&w, other), "Running");
    world_release(&w);
}

static void test_the_next_controller_carries_on_wherever_the_first_was_killed(void **state)
{
    (void)state;
    int kills = 0;
    for (int at = 1; at < 60; at++) {
        struct world w;
        begin(&w, SAVES);
        world_checkpoint(&w, world_launcher(&w, "a", 0), 40, -1);
        world_run(&w);
        w.drop_after = at;
        world_submit(&w, "b", 2, HIGH);
        world_advance(&w, 40000);
        kills += w.drop_after == 0;
        assert_string_equal(world_phase(&w, "a"), "Queued");
        assert_string_equal(world_phase(&w, "b"), "Running");
        assert_int_equal(world_number(&w, "a", "preemption.count"), 1);
        assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
        assert_int_equal(world_number(&w, "a", "failures[0].attempt"), 0);
        world_job_ends_well(&w, "b");
        world_advance(&w, 1000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_int_equal(world_launcher(&w, "a", 0)->resume_step, 40);
        world_release(&w);
    }
    assert_true(kills > 20);
}

static void test_a_queue_takes_back_what_it_has_lent(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_queue(&w, "top", "{}");
    world_queue(&w, "lender",
                "{\"parent\":\"top\",\"preemption\":{\"reclaim\":\"Any\"},\"quota\":[{\"resource\":"
                "\"nvidia.com/gpu\",\"nominal\":2}]}");
    world_queue(&w, "borrower",
                "{\"parent\":\"top\",\"quota\":[{\"resource\":\"nvidia.com/gpu\",\"nominal\":0}]}");
    world_submit(&w, "a", 2, "{\"spec\":{\"queue\":\"borrower\"}}");
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_submit(&w, "b", 2, "{\"spec\":{\"queue\":\"lender\"}}");
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_status(&w, "a", "preemption.reason"), "InCohortReclamation");
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_advance(&w, 20 * 60 * 1000);
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_release(&w);
}

/* "a" has borrowed all; "c", of its queue and with a higher priority, waits for more of it when "b"
 * wants it back. */
static void test_the_lender_gets_its_place_wherever_the_controller_was_killed(void **state)
{
    (void)state;
    int kills = 0;
    for (int at = 0; at < 60; at++) {
        struct world w;
        world_init(&w, 1, 2);
        world_priority(&w, "high", 1000, "PreemptLowerPriority");
        world_queue(&w, "top", "{}");
        world_queue(&w, "lender",
                    "{\"parent\":\"top\",\"preemption\":{\"reclaim\":\"Any\"},\"quota\":[{"
                    "\"resource\":\"nvidia.com/gpu\",\"nominal\":2}]}");
        world_queue(&w, "borrower",
                    "{\"parent\":\"top\",\"quota\":[{\"resource\":\"nvidia.com/gpu\","
                    "\"nominal\":0}]}");
        world_submit(&w, "a", 2, "{\"spec\":{\"queue\":\"borrower\"}}");
        world_submit(&w, "c", 2,
                     "{\"spec\":{\"queue\":\"borrower\",\"priorityClassName\":\"high\"}}");
        world_run(&w);
        w.drop_after = at;
        world_submit(&w, "b", 2, "{\"spec\":{\"queue\":\"lender\"}}");
        world_advance(&w, 40000);
        kills += at && w.drop_after == 0;
        assert_string_equal(world_phase(&w, "b"), "Running");
        assert_string_equal(world_phase(&w, "a"), "Queued");
        assert_string_equal(world_phase(&w, "c"), "Queued");
        assert_int_equal(world_number(&w, "a", "preemption.count"), 1);
        assert_int_equal(world_number(&w, "c", "preemption.count"), 0);
        world_job_ends_well(&w, "b");
        world_advance(&w, 1000);
        assert_string_equal(world_phase(&w, "c"), "Running");
        world_release(&w);
    }
    assert_true(kills > 20);
}

static void test_a_queue_that_forbids_it_lets_nobody_make_way(void **state)
{
    struct world w;
    (void)state;
    begin(&w, NULL);
    world_queue(&w, "default", "{\"preemption\":{\"withinQueue\":\"Never\"}}");
    world_submit(&w, "b", 2, HIGH);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_queue(&w, "other", "{\"preemption\":{\"withinQueue\":\"LowerPriority\"}}");
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_of_lower_priority_saves_makes_way_and_waits_again),
        cmocka_unit_test(test_equal_priorities_and_polite_classes_wait),
        cmocka_unit_test(test_only_as_many_make_way_as_are_needed_and_those_who_lose_least),
        cmocka_unit_test(test_one_that_has_no_ranks_yet_makes_way_at_once),
        cmocka_unit_test(test_one_that_has_made_way_is_left_alone_until_it_has_run_and_saved),
        cmocka_unit_test(test_nobody_else_is_asked_while_one_is_leaving),
        cmocka_unit_test(test_the_next_controller_carries_on_wherever_the_first_was_killed),
        cmocka_unit_test(test_a_queue_takes_back_what_it_has_lent),
        cmocka_unit_test(test_the_lender_gets_its_place_wherever_the_controller_was_killed),
        cmocka_unit_test(test_a_queue_that_forbids_it_lets_nobody_make_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
