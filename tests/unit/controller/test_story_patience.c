/* Lives of jobs under --patience: least expected work first, time slices, and what of a job's past
 * the status keeps for the next controller. */
#include <string.h>
#include "world.h"

#define HOUR 3600000
#define SLICE 60000
#define LIMIT(seconds) "{\"spec\":{\"activeDeadlineSeconds\":" #seconds "}}"
#define SAVES "{\"spec\":{\"checkpoint\":{\"path\":\"/c\",\"gracePeriodSeconds\":20}}}"

static void begin(struct world *w, unsigned gpus, int64_t patience_ms, int64_t time_slice_ms)
{
    world_init(w, 1, gpus);
    w->patience_ms = patience_ms;
    w->time_slice_ms = time_slice_ms;
    w->min_run_ms = SLICE / 2; /* who has made way is to be sliced again */
    world_replace_controller(w);
    world_run(w);
}

static void test_the_least_expected_work_starts_first_and_only_with_patience(void **state)
{
    struct world w;
    (void)state;
    for (int patient = 0; patient < 2; patient++) {
        begin(&w, 2, patient ? 168 * (int64_t)HOUR : 0, 0);
        world_submit(&w, "a", 2, LIMIT(1000));
        world_submit(&w, "long", 2, LIMIT(3600));
        world_advance(&w, 2000);
        world_submit(&w, "short", 2, LIMIT(60));
        const char *words = world_status(&w, "long", "queue.explanation");
        /* All of the cluster is wide: a quarter of the patience. */
        assert_int_equal(strstr(words, "; jobs with less work may start before it until it has "
                                       "waited 42 h at most") != NULL,
                         patient);
        world_advance(&w, 1000);
        world_job_ends_well(&w, "a");
        assert_string_equal(world_phase(&w, "short"), patient ? "Running" : "Queued");
        assert_string_equal(world_phase(&w, "long"), patient ? "Queued" : "Running");
        assert_int_equal(world_number(&w, "a", "preemption.attainedSeconds"), 0);
        world_release(&w);
    }
}

/* Two jobs of two GPUs without a limit: "a" runs, "b" waits. */
static void begin_slices(struct world *w)
{
    begin(w, 2, 100 * (int64_t)HOUR, SLICE);
    world_submit(w, "a", 2, SAVES);
    assert_string_equal(world_phase(w, "a"), "Running");
    world_checkpoint(w, world_launcher(w, "a", 0), 40, -1);
    world_advance(w, 10000);
    world_submit(w, "b", 2, NULL);
}

static void test_who_has_had_a_slice_saves_and_makes_way_uncharged(void **state)
{
    struct world w;
    (void)state;
    begin_slices(&w);
    world_advance(&w, 40000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_launcher(&w, "a", 0)->hold_stop = true;
    world_advance(&w, 11000);
    assert_string_equal(world_phase(&w, "a"), "Preempting");
    assert_string_equal(world_reason(&w, "a", "Preempted"), "TimeSlice");
    assert_string_equal(world_status(&w, "a", "preemption.reason"), "TimeSlice");
    assert_string_equal(world_status(&w, "a", "recovery.pendingStop.reason"), "Preempted");
    assert_string_equal(world_phase(&w, "b"), "Queued");
    world_checkpoint(&w, world_launcher(&w, "a", 0), 45, -1);
    world_stopped(&w, world_launcher(&w, "a", 0));
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_phase(&w, "b"), "Running");
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 0);
    assert_in_range(world_number(&w, "a", "preemption.attainedSeconds"), 60, 66);
    assert_in_range(world_number(&w, "b", "preemption.waitedSeconds"), 50, 56);
    world_job_ends_well(&w, "b");
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_launcher(&w, "a", 1)->resume_step, 45);
    world_release(&w);
}

/* "b" has had twice what "a" had (one slice) after two, and "a" twice what "b" had after three more
 * (four, were it not for its first), whoever leads by then. */
static void test_what_a_job_has_had_counts_for_the_next_controller(void **state)
{
    struct world w;
    (void)state;
    for (int another = 0; another < 2; another++) {
        begin_slices(&w);
        world_advance(&w, 55000);
        assert_string_equal(world_phase(&w, "b"), "Running");
        assert_string_equal(world_phase(&w, "a"), "Queued");
        if (another)
            world_replace_controller(&w);
        world_advance(&w, 100000);
        assert_string_equal(world_phase(&w, "b"), "Running");
        world_advance(&w, 100000);
        assert_string_equal(world_phase(&w, "b"), "Queued");
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_string_equal(world_reason(&w, "b", "Preempted"), "TimeSlice");
        world_checkpoint(&w, world_launcher(&w, "a", 0), 50, -1);
        if (another)
            world_replace_controller(&w);
        world_advance(&w, 80000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        world_advance(&w, 35000);
        assert_string_equal(world_phase(&w, "b"), "Running");
        world_release(&w);
    }
}

static void test_a_job_with_a_limit_keeps_its_place(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 2, 100 * (int64_t)HOUR, SLICE);
    world_submit(&w, "a", 2, LIMIT(3000));
    world_submit(&w, "b", 2, NULL);
    world_advance(&w, 1200000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_phase(&w, "b"), "Queued");
    world_release(&w);
}

static void test_in_a_queue_whose_jobs_leave_for_nobody_there_are_no_slices(void **state)
{
    struct world w;
    (void)state;
    begin_slices(&w);
    world_queue(&w, "default", "{\"preemption\":{\"withinQueue\":\"Never\"}}");
    world_advance(&w, 600000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(world_number(&w, "a", "preemption.count"), 0);
    world_release(&w);
}

/* Short ones pass it until it has waited too long in all: 600 s before it made way, the others
 * since. Without that, or with another controller that did not know of it, it would be passed once
 * more. */
static void test_a_wait_goes_on_where_it_was_before_a_job_made_way(void **state)
{
    struct world w;
    (void)state;
    for (int another = 0; another < 2; another++) {
        begin(&w, 2, 4000000, 0); /* 1000 s for who asks for an eighth of all */
        world_priority(&w, "high", 1000, "PreemptLowerPriority");
        world_submit(&w, "first", 2, LIMIT(10000));
        world_submit(&w, "a", 2, NULL);
        world_advance(&w, 600000);
        world_job_ends_well(&w, "first");
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_in_range(world_number(&w, "a", "preemption.waitedSeconds"), 600, 602);
        world_submit(&w, "urgent", 2, "{\"spec\":{\"priorityClassName\":\"high\"}}");
        world_advance(&w, 2000);
        assert_string_equal(world_phase(&w, "urgent"), "Running");
        assert_string_equal(world_phase(&w, "a"), "Queued");
        if (another)
            world_replace_controller(&w);
        world_advance(&w, 450000); /* 1050 s in all */
        world_submit(&w, "short", 2, LIMIT(60));
        world_job_ends_well(&w, "urgent");
        world_advance(&w, 1000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_string_equal(world_phase(&w, "short"), "Queued");
        world_release(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_least_expected_work_starts_first_and_only_with_patience),
        cmocka_unit_test(test_who_has_had_a_slice_saves_and_makes_way_uncharged),
        cmocka_unit_test(test_what_a_job_has_had_counts_for_the_next_controller),
        cmocka_unit_test(test_a_job_with_a_limit_keeps_its_place),
        cmocka_unit_test(test_in_a_queue_whose_jobs_leave_for_nobody_there_are_no_slices),
        cmocka_unit_test(test_a_wait_goes_on_where_it_was_before_a_job_made_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
