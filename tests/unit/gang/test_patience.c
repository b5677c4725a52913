/* Least expected work first, and who has waited too long (gang_config.patience_ms). */
#include "tests/unit/gang/small.h"

#include <stdlib.h>

#define HOUR INT64_C(3600000)
#define PATIENCE (10 * HOUR)

static const char *const devices[] = {"nvidia.com/gpu", "amd.com/gpu"};

static struct gang_queue_config sliced_queue(void)
{
    struct gang_queue_config c = {.parent = GANG_NO_QUEUE,
                                  .weight = 1,
                                  .time_slice_ms = HOUR,
                                  .within_queue = GANG_PREEMPTION_LOWER_PRIORITY};
    for (int r = 0; r < GANG_RESOURCES_MAX; r++)
        c.nominal[r] = c.borrow_limit[r] = c.lend_limit[r] = GANG_UNLIMITED;
    return c;
}

static struct gang *new_gang(void)
{
    const struct gang_config config = {.device_names = devices,
                                       .devices = 2,
                                       .reservations = 1,
                                       .may_preempt = true,
                                       .patience_ms = PATIENCE};
    struct gang *g = gang_new(&config);
    const struct gang_queue_config c = sliced_queue();
    assert_non_null(g);
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET, .queue_config = &c});
    small_feed(g, small_node(0, 8));
    return g;
}

/* Of 8 GPUs in all `gpus`; `limit_ms` 0: it says none. */
static struct gang_job_request work(int64_t gpus, int64_t sequence, int64_t limit_ms)
{
    struct gang_job_request r = small_request(1, gpus, 0, sequence);
    r.time_limit_ms = limit_ms;
    r.since_ms = sequence;
    return r;
}

static struct gang_decision first_action(struct gang *g, int64_t now_ms)
{
    struct gang_decision d;
    small_plan(g, now_ms);
    if (!gang_action_next(g, &d))
        d = (struct gang_decision){.kind = GANG_NEVER, .job = GANG_NO_JOB};
    return d;
}

static void test_a_job_with_a_limit_is_not_sliced_and_one_without_is(void **state)
{
    (void)state;
    for (int limited = 0; limited < 2; limited++) {
        struct gang *g = new_gang();
        small_submit(g, 1, work(8, 1, limited ? 100 * HOUR : 0));
        small_start(g, 1, 0, 0);
        small_submit(g, 2, work(8, 2, HOUR));
        struct gang_decision d = first_action(g, HOUR);
        if (limited)
            assert_int_equal(d.kind, GANG_NEVER); /* nothing is to be done */
        else
            assert_true(d.kind == GANG_PREEMPT && d.job == 1 && d.for_job == 2 &&
                        d.cause == GANG_CAUSE_TIME_SLICE);
        gang_free(g);
    }
}

static void test_who_has_attained_least_goes_first_of_those_without_a_limit(void **state)
{
    (void)state;
    struct gang *g = new_gang();
    struct gang_job_request much = work(8, 1, 0), little = work(8, 2, 0);
    much.attained_ms = 5 * HOUR;
    little.attained_ms = 2 * HOUR;
    small_submit(g, 1, much);
    small_submit(g, 2, little);
    small_submit(g, 3, work(8, 3, 3 * HOUR));
    small_plan(g, 10);
    assert_string_equal(small_next(g), "place 2: 0");
    small_start(g, 2, 0, 10);
    small_remove(g, 2);
    small_plan(g, 20); /* 3 says 3 h; 1 is expected to run as long again as it has */
    assert_string_equal(small_next(g), "place 3: 0");
    gang_free(g);
}

static void test_lines_of_queues_below_a_fifo_one_are_one_line_for_slices(void **state)
{
    (void)state;
    struct gang *g = new_gang();
    struct gang_queue_config c = sliced_queue();
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET, .queue = 1, .queue_config = &c});
    struct gang_job_request other = work(8, 2, 0);
    other.queue = 1;
    small_submit(g, 1, work(8, 1, 0));
    small_start(g, 1, 0, 0);
    small_submit(g, 2, other);
    struct gang_decision d = first_action(g, HOUR);
    assert_true(d.kind == GANG_PREEMPT && d.job == 1 && d.for_job == 2);
    gang_free(g);
}

static void test_who_has_waited_too_long_takes_a_slice_and_keeps_it(void **state)
{
    (void)state;
    struct gang *g = new_gang();
    struct gang_job_request old = work(1, 0, 0);
    old.attained_ms = 100 * HOUR; /* nobody here has had twice that */
    small_submit(g, 1, work(8, 1, 0));
    small_start(g, 1, 0, 0);
    small_submit(g, 2, old);
    /* It asks for an eighth of all: it loses patience after a quarter. */
    assert_int_equal(first_action(g, PATIENCE / 4 - 1).kind, GANG_NEVER);
    assert_int_equal(gang_next_wake_ms(g, PATIENCE / 4 - 1), PATIENCE / 4);
    struct gang_decision d = first_action(g, PATIENCE / 4);
    assert_true(d.kind == GANG_PREEMPT && d.job == 1 && d.for_job == 2);
    small_feed_at(g, (struct gang_event){.kind = GANG_JOB_STOPPING, .job = 1, .for_job = 2},
                  PATIENCE / 4);
    small_feed_at(g, (struct gang_event){.kind = GANG_JOB_RELEASED, .job = 1}, PATIENCE / 4);
    d = first_action(g, PATIENCE / 4);
    assert_true(d.kind == GANG_PLACE && d.job == 2);
    small_start(g, 2, 0, PATIENCE / 4);
    small_remove(g, 1);
    small_submit(g, 3, work(8, 3, 0));
    assert_int_equal(first_action(g, PATIENCE).kind, GANG_NEVER); /* 2 has paid */
    gang_free(g);
}

static void test_a_higher_priority_goes_first_though_its_work_is_more(void **state)
{
    (void)state;
    struct gang *g = new_gang();
    struct gang_job_request high = work(8, 2, 100 * HOUR);
    high.priority = 5;
    small_submit(g, 9, work(4, 0, 100 * HOUR));
    small_start(g, 9, 0, 0);
    small_submit(g, 1, work(4, 1, HOUR));
    high.never_preempts = true;
    small_submit(g, 2, high);
    small_plan(g, 10); /* 1 ends before 9 does: it may pass, without delaying 2 */
    assert_string_equal(small_next(g), "place 1: 0");
    small_start(g, 1, 0, 10);
    small_submit(g, 3, work(4, 3, 200 * HOUR));
    small_remove(g, 1);
    assert_int_equal(first_action(g, 20).kind, GANG_NEVER); /* 3 would delay 2 */
    small_remove(g, 2);
    small_plan(g, 30);
    assert_string_equal(small_next(g), "place 3: 0");
    gang_free(g);
}

static void test_a_higher_priority_has_a_lower_one_leave_at_once(void **state)
{
    (void)state;
    struct gang *g = new_gang();
    struct gang_job_request high = work(8, 2, 100 * HOUR);
    high.priority = 5;
    small_submit(g, 1, work(8, 1, HOUR));
    small_start(g, 1, 0, 0);
    small_submit(g, 2, high);
    struct gang_decision d = first_action(g, 10);
    assert_true(d.kind == GANG_PREEMPT && d.job == 1 && d.cause == GANG_CAUSE_PRIORITY);
    gang_free(g);
}

static void test_what_others_leave_for_a_job_is_for_nobody_else(void **state)
{
    (void)state;
    struct gang *g = new_gang();
    small_submit(g, 1, work(8, 1, 0));
    small_start(g, 1, 0, 0);
    small_submit(g, 2, work(8, 2, 2 * HOUR));
    small_submit(g, 3, work(8, 3, 2 * HOUR)); /* its equal */
    struct gang_decision d = first_action(g, HOUR);
    assert_true(d.kind == GANG_PREEMPT && d.for_job == 2);
    small_feed_at(g, (struct gang_event){.kind = GANG_JOB_STOPPING, .job = 1, .for_job = 2}, HOUR);
    small_submit(g, 4, work(1, 4, 60000)); /* far less work */
    small_feed_at(g, (struct gang_event){.kind = GANG_JOB_RELEASED, .job = 1}, HOUR + 10);
    d = first_action(g, HOUR + 10);
    assert_true(d.kind == GANG_PLACE && d.job == 2);
    gang_free(g);
}

static void test_a_job_with_a_limit_is_patient_for_two_backlogs_and_a_little(void **state)
{
    (void)state;
    struct gang *g = new_gang();
    small_submit(g, 9, work(1, 0, 100 * HOUR));
    small_start(g, 9, 0, 0);
    small_submit(g, 2, work(8, 0, HOUR)); /* all that waits: an hour of the whole cluster */
    small_plan(g, 0);
    assert_int_equal(gang_next_wake_ms(g, 0), 2 * HOUR + PATIENCE / 42);
    small_submit(g, 3,
                 work(1, 0, 200 * HOUR)); /* as much more work: so wide a job waits for 2.5 h */
    small_plan(g, 1);
    assert_string_equal(small_next(g), "place 3: 0");
    assert_string_equal(small_next(g), "wait 2 at 1");
    small_plan(g, PATIENCE / 4 - 1);
    assert_string_equal(small_next(g), "place 3: 0");
    /* From then on nobody is let in who would delay it, as 3 would. */
    assert_int_equal(first_action(g, PATIENCE / 4).kind, GANG_NEVER);
    gang_free(g);
}

/* Of queue 0, which shares fairly: 1 has weight 1, 2 has weight 2. */
static struct gang *new_shares(bool shares_first)
{
    const struct gang_config config = {.device_names = devices,
                                       .devices = 2,
                                       .reservations = 1,
                                       .may_preempt = true,
                                       .patience_ms = PATIENCE,
                                       .shares_first = shares_first};
    struct gang *g = gang_new(&config);
    struct gang_queue_config c = sliced_queue();
    assert_non_null(g);
    c.order = GANG_ORDER_FAIR_SHARE;
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET, .queue_config = &c});
    c.parent = 0;
    c.order = GANG_ORDER_FIFO;
    for (uint32_t q = 1; q <= 2; q++) {
        c.weight = q;
        small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET, .queue = q, .queue_config = &c});
    }
    small_feed(g, small_node(0, 8));
    return g;
}

static struct gang_job_request of_queue(uint32_t queue, struct gang_job_request r)
{
    r.queue = queue;
    return r;
}

/* Queue 1 has had 6 of 8 GPUs for long, and another job of it has waited for longer than any may.
 */
static void test_patience_does_not_come_before_shares_where_they_come_first(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct gang *g = new_shares(first);
        small_submit(g, 1, of_queue(1, work(6, 0, 100 * HOUR)));
        small_start(g, 1, 0, 0);
        small_submit(g, 2, of_queue(1, work(8, 1, HOUR)));
        /* It would end after the start of 2. */
        small_submit(g, 3, of_queue(2, work(2, PATIENCE - 1, 200 * HOUR)));
        struct gang_decision d = first_action(g, PATIENCE);
        if (first)
            assert_true(d.kind == GANG_PLACE && d.job == 3);
        else
            assert_int_equal(d.kind, GANG_NEVER); /* 2 has its reservation */
        gang_free(g);
    }
}

/* The same, but who has waited too long is of the queue that has had less. */
static void test_who_is_due_takes_the_slice_of_a_job_with_a_limit(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct gang *g = new_shares(first);
        small_submit(g, 1, of_queue(1, work(8, 0, 100 * HOUR)));
        small_start(g, 1, 0, 0);
        small_submit(g, 2, of_queue(1, work(8, 1, HOUR)));
        small_submit(g, 3, of_queue(2, work(8, 2, HOUR)));
        struct gang_decision d = first_action(g, PATIENCE);
        if (first)
            assert_true(d.kind == GANG_PREEMPT && d.job == 1 && d.for_job == 3 &&
                        d.cause == GANG_CAUSE_TIME_SLICE);
        else
            assert_int_equal(d.kind, GANG_NEVER);
        gang_free(g);
    }
}

#define SLOTS 21
#define JOBS 1200

static void commit(struct gang *g, int64_t now_ms, int64_t *ends_ms, int64_t *started_ms)
{
    struct gang_decision d;
    uint64_t placed[SLOTS];
    uint32_t count = 0;
    struct mlt_error err = {0};
    assert_int_equal(gang_plan(g, now_ms, &err), 0);
    while (gang_action_next(g, &d))
        placed[count++] = d.job;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t node = 0;
        const struct gang_event event = {.kind = GANG_JOB_PLACED,
                                         .job = placed[i],
                                         .nodes = &node,
                                         .nodes_count = 1,
                                         .started_ms = now_ms};
        assert_int_equal(gang_event(g, &event, now_ms, &err), 0);
        started_ms[placed[i]] = now_ms;
        ends_ms[placed[i]] = now_ms + HOUR + (int64_t)(placed[i] * 7919 % 1800000);
    }
}

/* The queue of the least weight has the least work: its jobs would all go first. */
static void test_weights_1_2_4_hold_though_work_is_unequal(void **state)
{
    (void)state;
    static int64_t ends_ms[3 * JOBS], started_ms[3 * JOBS];
    const struct gang_config config = {
        .device_names = devices, .devices = 2, .reservations = 1, .patience_ms = 168 * HOUR};
    struct gang *g = gang_new(&config);
    assert_non_null(g);
    struct gang_queue_config c = sliced_queue();
    c.order = GANG_ORDER_FAIR_SHARE;
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET, .queue_config = &c});
    c.parent = 0;
    c.order = GANG_ORDER_FIFO;
    for (uint32_t q = 1; q <= 3; q++) {
        c.weight = 1u << (q - 1);
        small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET, .queue = q, .queue_config = &c});
    }
    small_feed(g, small_node(0, SLOTS));
    int64_t sums[4] = {0}, now_ms = 0;
    for (uint64_t job = 0; job < sizeof ends_ms / sizeof ends_ms[0]; job++) {
        struct gang_job_request r = small_request(1, 1, 0, (int64_t)job);
        struct mlt_error err = {0};
        r.queue = 1 + (uint32_t)(job % 3);
        r.time_limit_ms = 2 * HOUR * r.queue;
        const struct gang_event event = {.kind = GANG_JOB_SUBMITTED, .job = job, .request = &r};
        assert_int_equal(gang_event(g, &event, 0, &err), 0);
        ends_ms[job] = INT64_MAX;
    }
    commit(g, now_ms, ends_ms, started_ms);
    for (int i = 0; i < JOBS; i++) { /* so long that no queue runs dry */
        uint64_t first = 0;
        struct mlt_error err = {0};
        for (uint64_t job = 1; job < sizeof ends_ms / sizeof ends_ms[0]; job++)
            first = ends_ms[job] < ends_ms[first] ? job : first;
        now_ms = ends_ms[first];
        ends_ms[first] = INT64_MAX;
        sums[1 + first % 3] += now_ms - started_ms[first];
        const struct gang_event event = {.kind = GANG_JOB_REMOVED, .job = first};
        assert_int_equal(gang_event(g, &event, now_ms, &err), 0);
        commit(g, now_ms, ends_ms, started_ms);
    }
    int64_t all = sums[1] + sums[2] + sums[3];
    for (int q = 1; q <= 3; q++) {
        int64_t fair = all * (1 << (q - 1)) / 7;
        if (llabs(sums[q] - fair) * 100 > fair * 2)
            fail_msg("queue %d: %" PRId64 " of %" PRId64 " ms, fair are %" PRId64, q, sums[q], all,
                     fair);
    }
    gang_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_with_a_limit_is_not_sliced_and_one_without_is),
        cmocka_unit_test(test_who_has_attained_least_goes_first_of_those_without_a_limit),
        cmocka_unit_test(test_lines_of_queues_below_a_fifo_one_are_one_line_for_slices),
        cmocka_unit_test(test_who_has_waited_too_long_takes_a_slice_and_keeps_it),
        cmocka_unit_test(test_a_higher_priority_goes_first_though_its_work_is_more),
        cmocka_unit_test(test_a_higher_priority_has_a_lower_one_leave_at_once),
        cmocka_unit_test(test_what_others_leave_for_a_job_is_for_nobody_else),
        cmocka_unit_test(test_a_job_with_a_limit_is_patient_for_two_backlogs_and_a_little),
        cmocka_unit_test(test_patience_does_not_come_before_shares_where_they_come_first),
        cmocka_unit_test(test_who_is_due_takes_the_slice_of_a_job_with_a_limit),
        cmocka_unit_test(test_weights_1_2_4_hold_though_work_is_unequal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
