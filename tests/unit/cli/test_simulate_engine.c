/* mltrain simulate: clock, yardsticks, what leaving and restarting cost, sums and metrics, on
 * traces so small that a person can reckon them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/simulate/chart.h"
#include "cli/simulate/engine.h"
#include "cli/simulate/metrics.h"
#include "cli/simulate/report.h"
#include "lib/base/cleanup.h"

struct job {
    int64_t submit_s, run_s, devices, limit_s;
};

static struct sim_trace trace_of(const struct job *jobs, size_t count)
{
    struct sim_trace t;
    sim_trace_init(&t);
    t.format = "test";
    for (size_t i = 0; i < count; i++) {
        struct sim_job job = {.submit_ms = jobs[i].submit_s * 1000,
                              .run_ms = jobs[i].run_s * 1000,
                              .limit_ms = jobs[i].limit_s * 1000,
                              .recorded_wait_ms = -1,
                              .number = (int64_t)i};
        assert_int_equal(sim_names_add(&t.queues, "q", 1, 9, &job.queue, NULL), 0);
        assert_int_equal(sim_trace_shape_of_devices(&t, jobs[i].devices, 4, &job.shape, NULL), 0);
        assert_int_equal(sim_trace_add(&t, &job, NULL, 0, NULL), 0);
    }
    sim_trace_finish(&t, INT64_MIN, INT64_MAX);
    return t;
}

static const struct sim_options plain = {.restart_ms = 60000, .leave_ms = 10000};

/* Plays on nodes of four devices; the caller releases the result. */
static struct sim_result play(const struct job *jobs, size_t count, const char *nodes_words,
                              const struct sim_policy *policy, int64_t *ret_starts)
{
    struct sim_trace t = trace_of(jobs, count);
    struct sim_nodes nodes;
    struct sim sim;
    struct sim_result result;
    struct mlt_error err = {0};
    assert_int_equal(sim_nodes_parse(nodes_words, &nodes, &err), 0);
    if (sim_init(&sim, &t, &nodes, &plain, policy, &err) < 0 || sim_run(&sim, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++)
        ret_starts[i] = sim.state[i].first_start_ms / 1000;
    sim_measure(&sim, 0, &result);
    assert_int_equal(sim.pool.free, nodes.devices); /* all was given back */
    assert_int_equal(sim.level.waiting, 0);
    sim_release(&sim);
    sim_trace_release(&t);
    sim_nodes_release(&nodes);
    return result;
}

static const struct job three[] = {{0, 100, 3, 100}, {1, 50, 4, 50}, {2, 10, 1, 10}};

static void test_fifo_lets_nobody_overtake(void **state)
{
    (void)state;
    int64_t starts[3];
    struct sim_result r = play(three, 3, "1x4", &sim_policy_fifo, starts);
    assert_int_equal(starts[1], 100);
    assert_int_equal(starts[2], 150);
    assert_int_equal(r.makespan_ms, 160000);
    assert_int_equal(r.queueing.max, 148000);
    assert_int_equal(r.queueing.p50, 99000);
    assert_true(r.queueing.mean == (99000.0 + 148000.0) / 3);
    /* 3*100 + 4*50 + 1*10 of 4*160 */
    assert_true(r.allocation > 0.796 && r.allocation < 0.798);
    sim_result_release(&r);
}

static void test_easy_fills_the_hole_and_keeps_the_reservation(void **state)
{
    (void)state;
    int64_t starts[4];
    struct sim_result r = play(three, 3, "1x4", &sim_policy_easy, starts);
    assert_int_equal(starts[1], 100);
    assert_int_equal(starts[2], 2);
    sim_result_release(&r);
    /* One that would end after the reserved start waits. */
    static const struct job late[] = {{0, 100, 3, 100}, {1, 50, 4, 50}, {2, 10, 1, 200}};
    r = play(late, 3, "1x4", &sim_policy_easy, starts);
    assert_int_equal(starts[1], 100);
    assert_int_equal(starts[2], 150);
    sim_result_release(&r);
    /* Unless devices are left over then. */
    static const struct job extra[] = {
        {0, 100, 3, 100}, {1, 50, 3, 50}, {2, 500, 1, 500}, {3, 500, 1, 500}};
    r = play(extra, 4, "1x4", &sim_policy_easy, starts);
    assert_int_equal(starts[1], 100);
    assert_int_equal(starts[2], 2);
    assert_int_equal(starts[3], 150);
    sim_result_release(&r);
}

static void test_sjf_takes_the_shortest_and_waits_for_it(void **state)
{
    (void)state;
    static const struct job jobs[] = {{0, 10, 4, 0}, {1, 50, 1, 0}, {2, 20, 4, 0}, {3, 60, 1, 0}};
    int64_t starts[4];
    struct sim_result r = play(jobs, 4, "1x4", &sim_policy_sjf, starts);
    assert_int_equal(starts[2], 10);
    assert_int_equal(starts[1], 30);
    assert_int_equal(starts[3], 30);
    sim_result_release(&r);
}

static void test_a_gang_larger_than_the_cluster_is_not_played(void **state)
{
    (void)state;
    static const struct job jobs[] = {{0, 10, 9, 0}, {1, 50, 8, 0}};
    int64_t starts[2];
    struct sim_result r = play(jobs, 2, "2x4", &sim_policy_fifo, starts);
    assert_int_equal(r.not_played, 1);
    assert_int_equal(r.jobs, 1);
    assert_int_equal(starts[1], 1);
    assert_true(r.nodes_ratio == 1.0);
    sim_result_release(&r);
}

/* ---- a policy that asks the first job to leave when the second one comes ---- */

struct bully {
    struct sim *sim;
    bool first_is_gone;
};

static int bully_open(struct sim *sim, void **ret_self, struct mlt_error *err)
{
    (void)err;
    struct bully *b = calloc(1, sizeof *b);
    b->sim = sim;
    *ret_self = b;
    return 0;
}

static int bully_submitted(void *self, uint32_t job, struct mlt_error *err)
{
    struct bully *b = self;
    const uint32_t node = 0;
    return job == 0 ? sim_start(b->sim, 0, &node, err) : sim_ask_to_leave(b->sim, 0, err);
}

static int bully_left(void *self, uint32_t job, struct mlt_error *err)
{
    (void)job;
    const uint32_t node = 0;
    return sim_start(((struct bully *)self)->sim, 1, &node, err);
}

static int bully_ended(void *self, uint32_t job, struct mlt_error *err)
{
    struct sim *sim = ((struct bully *)self)->sim;
    const uint32_t node = 0;
    return sim->state[!job].phase == SIM_WAITS ? sim_start(sim, !job, &node, err) : 0;
}

static int bully_decide(void *self, struct mlt_error *err)
{
    (void)self;
    (void)err;
    return 0;
}

static const struct sim_policy bully = {.name = "bully",
                                        .words = "asks to leave",
                                        .open = bully_open,
                                        .close = free,
                                        .submitted = bully_submitted,
                                        .left = bully_left,
                                        .ended = bully_ended,
                                        .decide = bully_decide};

static void run_bully(const struct job *jobs, const struct sim_options *options, struct sim *sim,
                      struct sim_trace *t, struct sim_nodes *nodes)
{
    struct mlt_error err = {0};
    *t = trace_of(jobs, 2);
    assert_int_equal(sim_nodes_parse("1x4", nodes, &err), 0);
    if (sim_init(sim, t, nodes, options, &bully, &err) < 0 || sim_run(sim, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_leaving_and_restarting_cost_what_the_options_say(void **state)
{
    (void)state;
    static const struct job jobs[] = {{0, 100, 2, 0}, {30, 50, 4, 0}};
    struct sim sim;
    struct sim_trace t;
    struct sim_nodes nodes;
    run_bully(jobs, &plain, &sim, &t, &nodes);
    /* 30 s of work, 10 s of leaving, 50 s of the other, 60 s of restart, the other 70 s. */
    assert_int_equal(sim.state[1].first_start_ms, 40000);
    assert_int_equal(sim.state[0].end_ms, 220000);
    assert_int_equal(sim.state[0].attempts, 2);
    assert_int_equal(sim.counts.asked, 1);
    assert_int_equal(sim.counts.lost_ms, 2 * (10 + 60) * 1000);
    assert_int_equal(sim.counts.useful_ms, 2 * 100000 + 4 * 50000);
    /* Held is useful or lost, to the millisecond. */
    assert_int_equal(sim.timeline.total.devices_ms, sim.counts.useful_ms + sim.counts.lost_ms);
    sim_release(&sim);
    sim_trace_release(&t);
    sim_nodes_release(&nodes);
}

static void test_work_since_the_last_save_is_lost_where_jobs_save_by_themselves(void **state)
{
    (void)state;
    static const struct job jobs[] = {{0, 100, 2, 0}, {30, 50, 4, 0}};
    const struct sim_options options = {
        .restart_ms = 60000, .leave_ms = 10000, .save_every_ms = 20000};
    struct sim sim;
    struct sim_trace t;
    struct sim_nodes nodes;
    run_bully(jobs, &options, &sim, &t, &nodes);
    assert_int_equal(sim.state[0].end_ms, 230000);
    assert_int_equal(sim.counts.lost_ms, 2 * (10 + 10 + 60) * 1000);
    assert_int_equal(sim.timeline.total.devices_ms, sim.counts.useful_ms + sim.counts.lost_ms);
    sim_release(&sim);
    sim_trace_release(&t);
    sim_nodes_release(&nodes);
}

static void test_a_job_that_ends_before_it_has_left_is_done(void **state)
{
    (void)state;
    static const struct job jobs[] = {{0, 35, 2, 0}, {30, 50, 4, 0}};
    struct sim sim;
    struct sim_trace t;
    struct sim_nodes nodes;
    run_bully(jobs, &plain, &sim, &t, &nodes);
    assert_int_equal(sim.state[0].end_ms, 35000);
    assert_int_equal(sim.state[1].first_start_ms, 35000);
    assert_int_equal(sim.counts.lost_ms, 0);
    sim_release(&sim);
    sim_trace_release(&t);
    sim_nodes_release(&nodes);
}

static void test_a_policy_that_gives_away_what_is_not_free_is_refused(void **state)
{
    (void)state;
    static const struct job jobs[] = {{0, 100, 3, 0}};
    struct sim_trace t = trace_of(jobs, 1);
    struct sim_nodes nodes;
    struct sim_pool pool;
    struct mlt_error err = {0};
    uint32_t places[] = {0};
    assert_int_equal(sim_nodes_parse("2x4", &nodes, &err), 0);
    sim_pool_init(&pool, &nodes);
    assert_int_equal(sim_pool_take(&pool, &t.shapes[0], places, &err), 0);
    assert_int_equal(sim_pool_take(&pool, &t.shapes[0], places, &err), -EBADMSG);
    assert_int_equal(pool.free, 5);
    assert_int_equal(pool.partly, 1);
    assert_true(sim_pool_find(&pool, &t.shapes[0], places));
    assert_int_equal(places[0], 1);
    places[0] = 7;
    assert_int_equal(sim_pool_take(&pool, &t.shapes[0], places, &err), -EBADMSG);
    sim_pool_release(&pool);
    sim_nodes_release(&nodes);
    sim_trace_release(&t);
}

/* ---- sums and metrics ---- */

static void test_bins_grow_wider_and_lose_nothing(void **state)
{
    (void)state;
    struct sim_timeline *t = malloc(sizeof *t);
    struct sim_level level = {.devices = 3, .waiting = 2};
    int64_t devices = 0, waiting = 0, width = 0;
    sim_timeline_init(t);
    for (int64_t i = 1; i <= 5000; i++) {
        sim_timeline_advance(t, &level, i * 100003);
        level.waiting = i % 7;
    }
    for (uint32_t i = 0; i < sim_timeline_bins(t); i++) {
        devices += t->bin[i].devices_ms;
        waiting += t->bin[i].waiting_ms;
        width += sim_timeline_width(t, i);
    }
    assert_true(sim_timeline_bins(t) <= SIM_BINS_MAX);
    assert_int_equal(devices, 3 * INT64_C(5000) * 100003);
    assert_int_equal(waiting, t->total.waiting_ms);
    assert_int_equal(width, INT64_C(5000) * 100003);
    free(t);
}

static void test_percentiles_are_the_nearest_rank(void **state)
{
    (void)state;
    int64_t times[1000];
    for (int i = 0; i < 1000; i++)
        times[i] = 1000 - i;
    struct sim_spread s = sim_spread_of(times, 1000);
    assert_int_equal(s.p50, 500);
    assert_int_equal(s.p90, 900);
    assert_int_equal(s.p99, 990);
    assert_int_equal(s.p999, 999);
    assert_int_equal(s.max, 1000);
    assert_true(s.mean == 500.5);
    s = sim_spread_of(times, 1);
    assert_int_equal(s.p50, 1);
    assert_int_equal(s.p999, 1);
    assert_int_equal(sim_spread_of(times, 0).max, 0);
}

static void test_jain_is_one_for_equals_and_one_nth_for_a_single_one(void **state)
{
    (void)state;
    const double equal[] = {2, 2, 2, 2}, single[] = {0, 8, 0, 0};
    assert_true(sim_jain(equal, 4) == 1.0);
    assert_true(sim_jain(single, 4) == 0.25);
    assert_true(sim_jain(single, 0) == 0);
}

static void test_numbers_and_durations_are_for_people(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(sim_number(1234567.8, 1, text), "1,234,567.8");
    assert_string_equal(sim_number(-1234, 0, text), "-1,234");
    assert_string_equal(sim_number(999, 0, text), "999");
    assert_string_equal(sim_duration(119000, text), "119 s");
    assert_string_equal(sim_duration(7100000, text), "118 min");
    assert_string_equal(sim_duration(36000000, text), "10.0 h");
    assert_true(sim_round_up(0.7) == 1 && sim_round_up(11) == 20 && sim_round_up(50) == 50);
}

static void test_names_of_strangers_do_not_become_markup(void **state)
{
    (void)state;
    struct mlt_text text cleanup_text = MLT_TEXT_INIT(256);
    sim_escape("<b>&\"\n", &text);
    assert_string_equal(mlt_text_string(&text), "&lt;b&gt;&amp;&quot; ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fifo_lets_nobody_overtake),
        cmocka_unit_test(test_easy_fills_the_hole_and_keeps_the_reservation),
        cmocka_unit_test(test_sjf_takes_the_shortest_and_waits_for_it),
        cmocka_unit_test(test_a_gang_larger_than_the_cluster_is_not_played),
        cmocka_unit_test(test_leaving_and_restarting_cost_what_the_options_say),
        cmocka_unit_test(test_work_since_the_last_save_is_lost_where_jobs_save_by_themselves),
        cmocka_unit_test(test_a_job_that_ends_before_it_has_left_is_done),
        cmocka_unit_test(test_a_policy_that_gives_away_what_is_not_free_is_refused),
        cmocka_unit_test(test_bins_grow_wider_and_lose_nothing),
        cmocka_unit_test(test_percentiles_are_the_nearest_rank),
        cmocka_unit_test(test_jain_is_one_for_equals_and_one_nth_for_a_single_one),
        cmocka_unit_test(test_numbers_and_durations_are_for_people),
        cmocka_unit_test(test_names_of_strangers_do_not_become_markup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
