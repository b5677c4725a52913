/* Queues, reservations, backfill and who is asked to leave. */
#include "tests/unit/gang/small.h"

#include <stdlib.h>

#define HOUR INT64_C(3600000)

static const char *const devices[] = {"nvidia.com/gpu", "amd.com/gpu"};

static struct gang *new_gang(uint32_t reservations, bool may_preempt)
{
    const struct gang_config config = {.device_names = devices,
                                       .devices = 2,
                                       .reservations = reservations,
                                       .may_preempt = may_preempt,
                                       .min_run_ms = 600000};
    struct gang *g = gang_new(&config);
    assert_non_null(g);
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET});
    return g;
}

static struct gang_queue_config open_queue(void)
{
    struct gang_queue_config c = {.parent = GANG_NO_QUEUE, .weight = 1};
    for (int r = 0; r < GANG_RESOURCES_MAX; r++)
        c.nominal[r] = c.borrow_limit[r] = c.lend_limit[r] = GANG_UNLIMITED;
    return c;
}

static void set_queue(struct gang *g, uint32_t queue, const struct gang_queue_config *c)
{
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET, .queue = queue, .queue_config = c});
}

static struct gang_job_request limited(int64_t gpus, int64_t sequence, int64_t limit_ms)
{
    struct gang_job_request request = small_request(1, gpus, 0, sequence);
    request.time_limit_ms = limit_ms;
    return request;
}

/* Job 1 has half of the only node for an hour; job 2 needs all of it. */
static struct gang *half_taken(bool may_preempt)
{
    struct gang *g = new_gang(1, may_preempt);
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, limited(4, 1, HOUR));
    small_start(g, 1, 0, 0);
    small_submit(g, 2, limited(8, 2, HOUR));
    return g;
}

static void
test_one_that_ends_before_the_reserved_start_is_let_in_and_a_longer_one_is_not(void **state)
{
    (void)state;
    struct gang *g = half_taken(false);
    small_submit(g, 3, limited(4, 3, HOUR + 1));
    small_submit(g, 4, limited(4, 4, HOUR));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 4: 0");
    assert_string_equal(small_next(g), "wait 2 at 1");
    assert_string_equal(small_next(g), "wait 3 at 2");
    gang_free(g);
}

static void test_the_reserved_start_is_told_and_does_not_move(void **state)
{
    (void)state;
    struct gang *g = half_taken(false);
    struct gang_decision d;
    small_plan(g, 0);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_WAIT && d.job == 2 && d.estimated_start_ms == HOUR);
    small_submit(g, 4, limited(4, 4, HOUR / 2));
    small_plan(g, 1000);
    assert_string_equal(small_next(g), "place 4: 0");
    small_start(g, 4, 0, 1000);
    small_plan(g, 2000);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_WAIT && d.job == 2 && d.estimated_start_ms == HOUR);
    gang_free(g);
}

static void test_a_job_past_its_limit_is_expected_to_take_a_fifth_of_that_again(void **state)
{
    (void)state;
    struct gang *g = half_taken(false);
    struct gang_decision d;
    small_plan(g, 2 * HOUR);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.job == 2 && d.estimated_start_ms == 2 * HOUR + 2 * HOUR / 5);
    gang_free(g);
}

static void test_a_job_past_its_limit_has_its_grace_to_end(void **state)
{
    (void)state;
    struct gang *g = new_gang(1, false);
    struct gang_job_request first = limited(4, 1, HOUR);
    struct gang_decision d;
    first.grace_ms = 60000;
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, first);
    small_start(g, 1, 0, 0);
    small_submit(g, 2, limited(8, 2, HOUR));
    small_plan(g, HOUR + 1000);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.job == 2 && d.estimated_start_ms == HOUR + 60000);
    small_plan(g, HOUR + 60000);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.job == 2 && d.estimated_start_ms == HOUR + 60000 + (HOUR + 60000) / 5);
    gang_free(g);
}

/* Two nodes of 4 GPUs. Job 1 ends its hour at HOUR, job 3 after two; job 2 needs all. Job 4 was let
 * in where job 3 will end, and has a grace of 5 minutes. When its time to leave comes, job 1 runs
 * still. */
static void test_nobody_leaves_for_a_start_that_a_late_job_makes_later(void **state)
{
    (void)state;
    struct gang *g = new_gang(1, true);
    struct gang_job_request big = limited(4, 2, HOUR), quick = limited(2, 4, 0);
    struct gang_decision d;
    const int64_t grace = 300000;
    quick.grace_ms = grace;
    small_feed(g, small_node(0, 4));
    small_feed(g, small_node(1, 4));
    small_submit(g, 1, limited(4, 1, HOUR));
    small_start(g, 1, 0, 0);
    small_submit(g, 3, limited(2, 3, 2 * HOUR));
    small_start(g, 3, 1, 0);
    big.roles[0].pods = 2;
    small_submit(g, 2, big);
    small_submit(g, 4, quick);
    small_plan(g, 0);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_PLACE && d.job == 4 && d.revocable && d.nodes[0] == 1);
    small_feed(g, (struct gang_event){.kind = GANG_JOB_PLACED,
                                      .job = 4,
                                      .nodes = (uint32_t[]){1},
                                      .nodes_count = 1,
                                      .revocable = true});
    small_plan(g, 10);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_WAIT && d.job == 2 && d.estimated_start_ms == 2 * HOUR);
    int64_t due = gang_next_wake_ms(g, HOUR + 1);
    assert_int_equal(due, 2 * HOUR - grace);
    small_plan(g, due);
    assert_true(
        gang_decision_next(g, &d)); /* a fifth of what job 1 has run is more than the grace */
    assert_true(d.kind == GANG_WAIT && d.job == 2 && d.estimated_start_ms == due + due / 5);
    small_feed_at(g, (struct gang_event){.kind = GANG_JOB_REMOVED, .job = 1}, due + 1000);
    small_plan(g, due + 1000); /* nobody is late any more: the start is as soon as can be */
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_PREEMPT && d.job == 4 && d.for_job == 2);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_WAIT && d.job == 2 && d.estimated_start_ms == due + 1000 + grace);
    gang_free(g);
}

static void begin(struct gang *g, uint64_t job, uint32_t node, int64_t at_ms)
{
    small_feed_at(g,
                  (struct gang_event){.kind = GANG_JOB_PLACED,
                                      .job = job,
                                      .nodes = &node,
                                      .nodes_count = 1,
                                      .started_ms = at_ms,
                                      .revocable = true},
                  at_ms);
}

/* Job 3 is to run for half an hour beside job 1, before job 2 has its reserved start at HOUR; its
 * ranks begin later. */
static struct gang *begun_late(int64_t by_ms)
{
    struct gang *g = half_taken(true);
    struct gang_job_request third = limited(4, 3, HOUR / 2);
    struct gang_decision d;
    third.grace_ms = 60000;
    small_submit(g, 3, third);
    small_plan(g, 0);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_PLACE && d.job == 3 && d.revocable);
    begin(g, 3, 0, 0);
    begin(g, 3, 0, by_ms);
    small_plan(g, by_ms);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_WAIT && d.job == 2 && d.estimated_start_ms == HOUR);
    return g;
}

static void
test_one_that_was_to_end_before_a_reserved_start_and_will_not_is_asked_to_leave(void **s)
{
    (void)s;
    struct gang *g = begun_late(HOUR / 2 + 1000);
    struct gang_decision d;
    assert_int_equal(gang_next_wake_ms(g, HOUR / 2 + 1000), HOUR - 60000);
    small_plan(g, HOUR - 60000);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_PREEMPT && d.job == 3 && d.for_job == 2 &&
                d.cause == GANG_CAUSE_REVOKED);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_WAIT && d.job == 2 && d.estimated_start_ms == HOUR);
    gang_free(g);
}

static void test_one_that_ends_before_a_reserved_start_is_never_asked_to_leave(void **state)
{
    (void)state;
    struct gang *g = begun_late(HOUR / 2 - 60000);
    assert_int_equal(gang_next_wake_ms(g, HOUR / 2), HOUR);
    small_remove(g, 1); /* now job 2 would fit without it */
    small_plan(g, HOUR - 60000);
    assert_string_equal(small_next(g), "wait 2 at 1");
    assert_string_equal(small_next(g), "");
    gang_free(g);
}

static void test_the_least_expected_work_goes_first(void **state)
{
    (void)state;
    struct gang *g = half_taken(false);
    struct gang_job_request quick = limited(4, 9, HOUR);
    quick.expected_ms = 1000;
    small_submit(g, 3, limited(2, 3, HOUR / 2));
    small_submit(g, 5, quick);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 5: 0");
    gang_free(g);
}

static void test_one_without_a_limit_is_let_in_if_it_may_be_asked_to_leave(void **state)
{
    (void)state;
    struct gang *g = half_taken(true);
    struct gang_decision d;
    small_submit(g, 3, limited(4, 3, 0));
    small_plan(g, 0);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_PLACE && d.job == 3 && d.revocable);
    uint32_t node = 0;
    small_feed(g, (struct gang_event){.kind = GANG_JOB_PLACED,
                                      .job = 3,
                                      .nodes = &node,
                                      .nodes_count = 1,
                                      .revocable = true});
    small_plan(g, 10);
    assert_string_equal(small_next(g), "wait 2 at 1"); /* job 1 is in its way, too */
    small_remove(g, 1);
    small_plan(g, 20);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_PREEMPT && d.job == 3 && d.for_job == 2 &&
                d.cause == GANG_CAUSE_REVOKED);
    small_feed(g, (struct gang_event){.kind = GANG_JOB_STOPPING, .job = 3, .for_job = 2});
    small_plan(g, 30);
    assert_string_equal(small_next(g), "wait 2 at 1");
    assert_string_equal(small_reason(), "1 job asked to leave for it has not left yet");
    small_feed(g, (struct gang_event){.kind = GANG_JOB_RELEASED, .job = 3});
    small_plan(g, 40);
    assert_string_equal(small_next(g), "place 2: 0");
    gang_free(g);
}

/* A host that starts again tells it, in any order; and tells nonsense, perhaps. */
static void test_who_has_made_way_is_not_let_in_on_condition_after_a_restart_either(void **state)
{
    (void)state;
    for (int turn = 0; turn < 4; turn++) {
        struct gang *g = new_gang(1, true);
        struct gang_job_request left = limited(4, 3, 0), other = limited(8, 2, HOUR);
        left.made_way = true;
        left.made_way_for = 2;
        other.made_way = turn >= 2; /* for each other: only what is told first is so */
        other.made_way_for = 3;
        small_feed(g, small_node(0, 8));
        small_submit(g, 1, limited(4, 1, HOUR));
        small_start(g, 1, 0, 0);
        small_submit(g, turn % 2 ? 2 : 3, turn % 2 ? other : left);
        small_submit(g, turn % 2 ? 3 : 2, turn % 2 ? left : other);
        small_plan(g, 0);
        if (turn == 3) { /* job 2 has said first that it has left for job 3 */
            assert_string_equal(small_next(g), "place 3: 0");
        } else {
            assert_string_equal(small_next(g), "wait 2 at 1");
            assert_string_equal(small_next(g), "wait 3 at 2");
        }
        gang_free(g);
    }
}

static void test_lower_priority_leaves_and_nobody_who_could_be_spared(void **state)
{
    (void)state;
    struct gang *g = new_gang(1, true);
    struct gang_queue_config c = open_queue();
    struct gang_decision d;
    c.within_queue = GANG_PREEMPTION_LOWER_PRIORITY;
    set_queue(g, 0, &c);
    small_feed(g, small_node(0, 8));
    static const int64_t gpus[] = {1, 4, 3};
    for (uint64_t job = 1; job <= 3; job++) {
        small_submit(g, job, small_request(1, gpus[job - 1], 0, (int64_t)job));
        small_start(g, job, 0, (int64_t)(10 - job)); /* job 1 is the youngest: it would go first */
    }
    small_submit(g, 4, small_request(1, 4, 5, 4));
    small_plan(g, 1000);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_PREEMPT && d.job == 2 && d.cause == GANG_CAUSE_PRIORITY);
    assert_string_equal(small_next(g), "wait 4 at 1");
    gang_free(g);
}

static void test_borrowed_quota_comes_back(void **state)
{
    (void)state;
    struct gang *g = new_gang(1, true);
    struct gang_queue_config top = open_queue(), half = open_queue();
    struct gang_decision d;
    half.parent = 1;
    half.nominal[GANG_DEVICE_0] = 4;
    half.reclaim = GANG_PREEMPTION_ANY;
    top.nominal[GANG_DEVICE_0] = 0;
    set_queue(g, 1, &top);
    set_queue(g, 2, &half);
    set_queue(g, 3, &half);
    small_feed(g, small_node(0, 16));
    struct gang_job_request request = small_request(1, 4, 0, 1);
    request.queue = 2;
    for (uint64_t job = 1; job <= 3; job++)
        small_submit(g, job, request);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 1: 0");
    assert_string_equal(small_next(g), "place 2: 0");
    assert_string_equal(small_next(g), "wait 3 at 1");
    assert_string_equal(small_reason(), "queue 1 uses 8 of 8 nvidia.com/gpu that it may use now; "
                                        "needs 4");
    small_start(g, 1, 0, 0);
    small_start(g, 2, 0, 5);
    request.queue = 3;
    small_submit(g, 4, request);
    small_plan(g, 1000);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_PREEMPT && d.job == 2 && d.for_job == 4 &&
                d.cause == GANG_CAUSE_RECLAIM);
    gang_free(g);
}

static void test_a_slice_ends_for_one_that_had_less(void **state)
{
    (void)state;
    struct gang *g = new_gang(1, true);
    struct gang_queue_config c = open_queue();
    struct gang_decision d;
    c.time_slice_ms = HOUR;
    set_queue(g, 0, &c);
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(1, 8, 0, 1));
    small_start(g, 1, 0, 0);
    small_submit(g, 2, small_request(1, 8, 0, 2));
    small_plan(g, HOUR - 1);
    assert_string_equal(small_next(g), "wait 2 at 1");
    assert_true(gang_next_wake_ms(g, HOUR - 1) == HOUR);
    small_plan(g, HOUR);
    assert_true(gang_decision_next(g, &d));
    assert_true(d.kind == GANG_PREEMPT && d.job == 1 && d.cause == GANG_CAUSE_TIME_SLICE);
    gang_free(g);
}

static void test_nobody_wakes_for_what_was_looked_at(void **state)
{
    (void)state;
    const struct gang_config config = {
        .device_names = devices, .devices = 2, .reservations = 1, .patience_ms = 1000};
    struct gang *g = gang_new(&config);
    assert_non_null(g);
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET});
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(1, 8, 0, 1));
    small_start(g, 1, 0, 0); /* without a limit: no start is known for those behind it */
    small_submit(g, 2, small_request(1, 8, 0, 2));
    small_plan(g, 5000); /* 2 has lost its patience long ago */
    assert_string_equal(small_next(g), "wait 2 at 1");
    assert_true(gang_next_wake_ms(g, 5000) == INT64_MAX);
    gang_free(g);
}

static void test_quota_blocks_only_its_own_queue(void **state)
{
    (void)state;
    struct gang *g = new_gang(0, false);
    struct gang_queue_config c = open_queue();
    c.nominal[GANG_DEVICE_0] = 4;
    c.running_jobs_max = 3;
    set_queue(g, 1, &c);
    small_feed(g, small_node(0, 16));
    struct gang_job_request request = small_request(1, 1, 0, 0);
    request.queue = 1;
    small_submit(g, 9, request);
    small_placed(g, 9, 1, 0);
    request = small_request(1, 5, 0, 0);
    request.queue = 1;
    small_submit(g, 7, request); /* no quota is ever enough for it */
    request = small_request(1, 4, 0, 1);
    request.queue = 1;
    small_submit(g, 1, request); /* beyond its quota */
    request.roles[0].request[GANG_DEVICE_0] = 1;
    small_submit(g, 2, request); /* behind it, for the same resource */
    request.roles[0].request[GANG_DEVICE_0] = 0;
    small_submit(g, 3, request);
    small_submit(g, 4, request);
    small_submit(g, 5, request); /* one job too many */
    small_submit(g, 6, small_request(1, 8, 0, 9));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 3: 0");
    assert_string_equal(small_next(g), "place 4: 0");
    assert_string_equal(small_next(g), "place 6: 0");
    assert_string_equal(small_next(g), "never 7");
    assert_string_equal(small_reason(),
                        "queue 1 may never use more than 4 nvidia.com/gpu; needs 5");
    assert_string_equal(small_next(g), "wait 1 at 1");
    assert_string_equal(small_next(g), "wait 2 at 2");
    assert_string_equal(small_next(g), "wait 5 at 3");
    assert_string_equal(small_reason(), "queue 1 runs 3 of at most 3 jobs");
    assert_string_equal(small_next(g), "");
    gang_free(g);
}

static void test_a_queue_lets_no_job_be_too_long(void **state)
{
    (void)state;
    struct gang *g = new_gang(0, false);
    struct gang_queue_config c = open_queue();
    c.time_limit_max_ms = HOUR;
    set_queue(g, 0, &c);
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, limited(1, 1, HOUR));
    small_submit(g, 2, limited(1, 2, HOUR + 1));
    small_submit(g, 3, limited(1, 3, 0));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 1: 0");
    assert_string_equal(small_next(g), "never 2");
    assert_string_equal(small_next(g), "never 3");
    assert_string_equal(small_reason(),
                        "queue 0 lets no job run longer than 3600 s; it has no limit");
    gang_free(g);
}

/* ---- shares ---- */

#define SLOTS 21
#define FAIR_JOBS 6000

struct running {
    uint64_t job;
    uint32_t queue;
    int64_t started_ms, end_ms;
};

/* Takes the first to end. */
static struct running next_end(struct running *running, uint32_t *count)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < *count; i++)
        if (running[i].end_ms < running[first].end_ms)
            first = i;
    struct running r = running[first];
    running[first] = running[--*count];
    return r;
}

static void event_at(struct gang *g, struct gang_event event, int64_t now_ms)
{
    struct mlt_error err = {0};
    if (gang_event(g, &event, now_ms, &err) < 0)
        fail_msg("%s", err.text);
}

static void start_all(struct gang *g, struct running *running, uint32_t *count, int64_t now_ms)
{
    struct mlt_error err = {0};
    struct gang_decision d;
    struct running found[SLOTS];
    uint32_t nodes[SLOTS], placed = 0;
    assert_int_equal(gang_plan(g, now_ms, &err), 0);
    while (gang_action_next(g, &d)) {
        nodes[placed] = d.nodes[0];
        found[placed++] = (struct running){.job = d.job, .queue = 1 + (uint32_t)(d.job % 3)};
    }
    for (uint32_t i = 0; i < placed; i++) {
        found[i].started_ms = now_ms;
        found[i].end_ms = now_ms + 100000 + (int64_t)(found[i].job * 7919 % 200000);
        event_at(g,
                 (struct gang_event){.kind = GANG_JOB_PLACED,
                                     .job = found[i].job,
                                     .nodes = &nodes[i],
                                     .nodes_count = 1,
                                     .started_ms = now_ms},
                 now_ms);
        running[(*count)++] = found[i];
    }
}

static void test_weights_1_2_4_get_gpu_time_1_2_4(void **state)
{
    (void)state;
    struct gang *g = new_gang(1, false);
    struct gang_queue_config top = open_queue(), below = open_queue();
    top.order = GANG_ORDER_FAIR_SHARE;
    set_queue(g, 0, &top);
    below.parent = 0;
    for (uint32_t q = 1; q <= 3; q++) {
        below.weight = 1u << (q - 1);
        set_queue(g, q, &below);
    }
    small_feed(g, small_node(0, SLOTS));
    struct running running[SLOTS];
    uint32_t count = 0;
    int64_t sums[4] = {0}, now_ms = 0;
    for (uint64_t job = 0; job < 3 * FAIR_JOBS; job++) {
        struct gang_job_request request = small_request(1, 1, 0, (int64_t)job);
        request.queue = 1 + (uint32_t)(job % 3);
        event_at(
            g, (struct gang_event){.kind = GANG_JOB_SUBMITTED, .job = job, .request = &request}, 0);
    }
    start_all(g, running, &count, now_ms);
    for (int i = 0; i < FAIR_JOBS; i++) { /* so long that no queue runs dry */
        struct running r = next_end(running, &count);
        now_ms = r.end_ms;
        sums[r.queue] += r.end_ms - r.started_ms;
        event_at(g, (struct gang_event){.kind = GANG_JOB_REMOVED, .job = r.job}, now_ms);
        start_all(g, running, &count, now_ms);
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
        cmocka_unit_test(
            test_one_that_ends_before_the_reserved_start_is_let_in_and_a_longer_one_is_not),
        cmocka_unit_test(test_the_reserved_start_is_told_and_does_not_move),
        cmocka_unit_test(test_a_job_past_its_limit_is_expected_to_take_a_fifth_of_that_again),
        cmocka_unit_test(test_a_job_past_its_limit_has_its_grace_to_end),
        cmocka_unit_test(test_nobody_leaves_for_a_start_that_a_late_job_makes_later),
        cmocka_unit_test(
            test_one_that_was_to_end_before_a_reserved_start_and_will_not_is_asked_to_leave),
        cmocka_unit_test(test_one_that_ends_before_a_reserved_start_is_never_asked_to_leave),
        cmocka_unit_test(test_the_least_expected_work_goes_first),
        cmocka_unit_test(test_one_without_a_limit_is_let_in_if_it_may_be_asked_to_leave),
        cmocka_unit_test(test_who_has_made_way_is_not_let_in_on_condition_after_a_restart_either),
        cmocka_unit_test(test_lower_priority_leaves_and_nobody_who_could_be_spared),
        cmocka_unit_test(test_borrowed_quota_comes_back),
        cmocka_unit_test(test_a_slice_ends_for_one_that_had_less),
        cmocka_unit_test(test_nobody_wakes_for_what_was_looked_at),
        cmocka_unit_test(test_quota_blocks_only_its_own_queue),
        cmocka_unit_test(test_a_queue_lets_no_job_be_too_long),
        cmocka_unit_test(test_weights_1_2_4_get_gpu_time_1_2_4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
