/* Metrics: see metrics.h. */
#include "cli/simulate/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

#define SLOWDOWN_FLOOR_MS 10000
#define HOUR_MS 3600000.0

const int64_t sim_size_end[SIM_SIZES] = {1, 4, 8, 64, INT64_MAX};
const char *const sim_size_words[SIM_SIZES] = {"1", "2-4", "5-8", "9-64", "65 and more"};

/* By one byte after the other, the least first: a sort by comparisons of half a million times was a
 * tenth of a simulation. Bytes that all have in common cost one look. Times below 0 come first. */
static void sort_times(int64_t *times, size_t count)
{
    cleanup_free uint64_t *spare = mlt_calloc(count, sizeof *spare);
    uint64_t *from = (uint64_t *)times, *to = spare, negative = UINT64_C(1) << 63;
    for (size_t i = 0; i < count; i++)
        from[i] ^= negative;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        size_t begins[257] = {0};
        for (size_t i = 0; i < count; i++)
            begins[(from[i] >> shift & 255) + 1]++;
        if (begins[(from[0] >> shift & 255) + 1] == count)
            continue;
        for (size_t k = 1; k < 256; k++)
            begins[k] += begins[k - 1];
        for (size_t i = 0; i < count; i++)
            to[begins[from[i] >> shift & 255]++] = from[i];
        uint64_t *other = from;
        from = to;
        to = other;
    }
    for (size_t i = 0; i < count; i++)
        times[i] = (int64_t)(from[i] ^ negative);
}

/* The least value that at least `permille` of a thousand are not above. */
static int64_t rank(const int64_t *sorted, size_t count, uint64_t permille)
{
    size_t at = (count * permille + 999) / 1000;
    return sorted[at > 0 ? at - 1 : 0];
}

struct sim_spread sim_spread_of(int64_t *times, size_t count)
{
    struct sim_spread s = {.count = count};
    if (count == 0)
        return s;
    sort_times(times, count);
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)times[i];
    s.mean = sum / (double)count;
    s.p50 = rank(times, count, 500);
    s.p90 = rank(times, count, 900);
    s.p99 = rank(times, count, 990);
    s.p999 = rank(times, count, 999);
    s.max = times[count - 1];
    return s;
}

double sim_jain(const double *x, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    return squares > 0 ? sum * sum / ((double)count * squares) : 0;
}

static double slowdown(int64_t wait_ms, int64_t run_ms)
{
    int64_t floor_ms = run_ms > SLOWDOWN_FLOOR_MS ? run_ms : SLOWDOWN_FLOOR_MS;
    double s = (double)(wait_ms + run_ms) / (double)floor_ms;
    return s > 1 ? s : 1;
}

static int64_t queueing(const struct sim *sim, size_t job)
{
    const struct sim_job *j = &sim->trace->jobs[job];
    return sim->state[job].end_ms - j->submit_ms - j->run_ms;
}

static uint32_t size_of(int64_t devices)
{
    uint32_t size = 0;
    while (devices > sim_size_end[size])
        size++;
    return size;
}

/* ---- waits ---- */

static void measure_waits(const struct sim *sim, struct sim_result *r)
{
    const struct sim_trace *t = sim->trace;
    cleanup_free int64_t *times = mlt_calloc(t->count + 1, sizeof *times);
    size_t count = 0;
    double sum = 0;
    r->sorted = mlt_calloc(t->count + 1, sizeof *r->sorted);
    for (size_t i = 0; i < t->count; i++) {
        if (sim->state[i].phase != SIM_ENDED)
            continue;
        r->sorted[count] = queueing(sim, i);
        sum += slowdown(r->sorted[count++], t->jobs[i].run_ms);
        if (sim->state[i].end_ms > r->makespan_ms)
            r->makespan_ms = sim->state[i].end_ms;
    }
    r->jobs = count;
    r->not_played = t->count - count;
    r->slowdown = count ? sum / (double)count : 0;
    r->queueing = sim_spread_of(r->sorted, count);
    count = 0;
    for (size_t i = 0; i < t->count; i++)
        if (sim->state[i].phase == SIM_ENDED)
            times[count++] = sim->state[i].first_start_ms - t->jobs[i].submit_ms;
    r->first_start = sim_spread_of(times, count);
    count = 0;
    for (size_t i = 0; i < t->count; i++)
        if (sim->state[i].phase == SIM_ENDED)
            times[count++] = sim->state[i].end_ms - t->jobs[i].submit_ms;
    r->completion = sim_spread_of(times, count);
    for (uint32_t size = 0; size < SIM_SIZES; size++) {
        count = 0;
        for (size_t i = 0; i < t->count; i++)
            if (sim->state[i].phase == SIM_ENDED &&
                size_of(sim_shape_of(sim, (uint32_t)i)->devices) == size)
                times[count++] = queueing(sim, i);
        r->by_size[size] = sim_spread_of(times, count);
    }
}

/* Queueing by time of submission. Jobs are in order of submission already. */
static void measure_series(const struct sim *sim, struct sim_result *r)
{
    const struct sim_trace *t = sim->trace;
    if (t->count == 0)
        return;
    int64_t last_ms = t->jobs[t->count - 1].submit_ms;
    cleanup_free int64_t *times = mlt_calloc(t->count, sizeof *times);
    r->series_ms = last_ms / SIM_SERIES_MAX + 1;
    for (size_t i = 0; i < t->count; r->series_count++) {
        size_t count = 0;
        int64_t end = (r->series_count + 1) * r->series_ms;
        for (; i < t->count && t->jobs[i].submit_ms < end; i++)
            if (sim->state[i].phase == SIM_ENDED)
                times[count++] = queueing(sim, i);
        struct sim_spread s = sim_spread_of(times, count);
        r->series[r->series_count] = (struct sim_wait_point){count, s.p50, s.p90, s.max};
    }
}

/* ---- the cluster ---- */

static void measure_cluster(const struct sim *sim, struct sim_result *r)
{
    const struct sim_counts *c = &sim->counts;
    const struct sim_bin *total = &sim->timeline.total;
    double span = (double)sim->timeline.now_ms, devices = (double)sim->nodes->devices;
    int64_t arriving = sim->trace->count ? sim->trace->jobs[sim->trace->count - 1].submit_ms : 0;
    double held = 0, width = 0;
    r->timeline = sim->timeline;
    if (span > 0) {
        r->allocation = (double)total->devices_ms / (devices * span);
        r->fragmentation = (double)total->partly_ms / (sim->nodes->count * span);
    }
    for (uint32_t i = 0; i < sim_timeline_bins(&sim->timeline); i++) {
        if ((i + 1) * sim->timeline.bin_ms > arriving)
            break;
        held += (double)sim->timeline.bin[i].devices_ms;
        width += (double)sim_timeline_width(&sim->timeline, i);
    }
    r->allocation_arriving = width > 0 ? held / (devices * width) : r->allocation;
    if (c->nodes_least)
        r->nodes_ratio = (double)c->nodes_spanned / (double)c->nodes_least;
    if (c->racks_least) {
        r->racks_ratio = (double)c->racks_spanned / (double)c->racks_least;
        r->racks_best = (double)c->racks_best / (double)c->spread_starts;
    }
    r->starts = c->starts;
    r->asked = c->asked;
    r->decisions = c->decisions;
    r->events = c->events;
    r->lost_hours = (double)c->lost_ms / HOUR_MS;
    r->useful_hours = (double)c->useful_ms / HOUR_MS;
}

/* ---- queues ---- */

static int larger_first(const void *left, const void *right)
{
    const struct sim_queue_result *a = left, *b = right;
    if (a->device_hours != b->device_hours)
        return a->device_hours > b->device_hours ? -1 : 1;
    return a->queue < b->queue ? -1 : a->queue > b->queue;
}

static void measure_queues(const struct sim *sim, struct sim_result *r)
{
    const struct sim_trace *t = sim->trace;
    uint32_t count = t->queues.count;
    cleanup_free double *share = mlt_calloc((size_t)count + 1, sizeof *share);
    r->queues = mlt_calloc((size_t)count + 1, sizeof *r->queues);
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_queue_state *q = &sim->queue[i];
        struct sim_queue_result *to = &r->queues[i];
        to->queue = i;
        to->weight = sim->options->weights ? sim->options->weights[i] : 1;
        to->device_hours = (double)q->served_ms / HOUR_MS;
        to->backlogged_hours = (double)q->backlog_ms / HOUR_MS;
        if (q->backlog_ms > 0) {
            to->held = (double)q->backlog_held_ms / (double)q->backlog_ms;
            share[r->queues_waited++] = to->held / (double)to->weight;
        }
    }
    for (size_t i = 0; i < t->count; i++)
        if (sim->state[i].phase == SIM_ENDED) {
            r->queues[t->jobs[i].queue].jobs++;
            r->queues[t->jobs[i].queue].mean_wait_ms += (double)queueing(sim, i);
        }
    for (uint32_t i = 0; i < count; i++)
        if (r->queues[i].jobs)
            r->queues[i].mean_wait_ms /= (double)r->queues[i].jobs;
    r->jain = sim_jain(share, r->queues_waited);
    qsort(r->queues, count, sizeof *r->queues, larger_first);
    r->queues_count = count < SIM_QUEUES_SHOWN ? count : SIM_QUEUES_SHOWN;
}

void sim_measure(const struct sim *sim, double cpu_seconds, struct sim_result *ret)
{
    *ret = (struct sim_result){
        .policy = sim->policy->name, .words = sim->policy->words, .cpu_seconds = cpu_seconds};
    measure_waits(sim, ret);
    measure_series(sim, ret);
    measure_cluster(sim, ret);
    measure_queues(sim, ret);
}

void sim_result_release(struct sim_result *result)
{
    free(result->sorted);
    free(result->queues);
    result->sorted = NULL;
    result->queues = NULL;
}

bool sim_measure_recorded(const struct sim_trace *trace, struct sim_result *ret)
{
    int64_t *times = mlt_calloc(trace->count + 1, sizeof *times);
    size_t count = 0;
    double sum = 0;
    for (size_t i = 0; i < trace->count; i++) {
        const struct sim_job *j = &trace->jobs[i];
        if (j->recorded_wait_ms < 0)
            continue;
        sum += slowdown(j->recorded_wait_ms, j->run_ms);
        times[count++] = j->recorded_wait_ms;
    }
    if (count == 0) {
        free(times);
        return false;
    }
    *ret = (struct sim_result){.policy = "recorded",
                               .words = "what the trace says of its own time",
                               .recorded = true,
                               .jobs = count,
                               .queueing = sim_spread_of(times, count),
                               .slowdown = sum / (double)count,
                               .sorted = times};
    return true;
}
