/* The simulated cluster: see engine.h. */
#include "cli/simulate/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

/* In the order in which they happen at one instant. */
enum kind { KIND_END, KIND_LEFT, KIND_SAVED };

#define ASKED_MAX 200 /* times that a job is asked to leave, on the average */
#define VERSION_MASK ((UINT32_C(1) << 30) - 1)

/* ---- the heap of events: by time, kind, job ---- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    if (a->at_ms != b->at_ms)
        return a->at_ms < b->at_ms;
    if (a->kind != b->kind)
        return a->kind < b->kind;
    return a->job < b->job;
}

static void heap_put(struct sim *sim, int64_t at_ms, enum kind kind, uint32_t job)
{
    struct sim_event event = {.at_ms = at_ms,
                              .job = job,
                              .version = sim->state[job].version & VERSION_MASK,
                              .kind = kind};
    MLT_GROW(sim->heap, sim->heap_count, sim->heap_capacity);
    size_t at = sim->heap_count++;
    while (at > 0 && is_before(&event, &sim->heap[(at - 1) / 4])) {
        sim->heap[at] = sim->heap[(at - 1) / 4];
        at = (at - 1) / 4;
    }
    sim->heap[at] = event;
}

static struct sim_event heap_take(struct sim *sim)
{
    struct sim_event top = sim->heap[0], last = sim->heap[--sim->heap_count];
    size_t at = 0, count = sim->heap_count;
    for (;;) {
        size_t child = at * 4 + 1, least = child;
        if (child >= count)
            break;
        for (size_t i = child + 1; i < count && i < child + 4; i++)
            if (is_before(&sim->heap[i], &sim->heap[least]))
                least = i;
        if (!is_before(&sim->heap[least], &last))
            break;
        sim->heap[at] = sim->heap[least];
        at = least;
    }
    sim->heap[at] = last;
    return top;
}

/* ---- where pods stand: blocks of powers of two, reused ---- */

static uint32_t size_class(uint32_t pods)
{
    uint32_t class = 0;
    while (UINT32_C(1) << class < pods)
        class ++;
    return class;
}

static uint32_t arena_take(struct sim *sim, uint32_t pods)
{
    uint32_t class = size_class(pods), at = sim->arena_free[class];
    if (at) {
        sim->arena_free[class] = sim->arena[at];
        return at;
    }
    if (sim->arena_used == 0)
        sim->arena_used = 1; /* 0 is none */
    at = (uint32_t)sim->arena_used;
    sim->arena_used += (size_t)1 << class;
    while (sim->arena_used > sim->arena_capacity) {
        sim->arena_capacity = sim->arena_capacity ? sim->arena_capacity * 2 : 4096;
        sim->arena = mlt_realloc(sim->arena, sim->arena_capacity, sizeof *sim->arena);
    }
    return at;
}

static void arena_give(struct sim *sim, uint32_t at, uint32_t pods)
{
    uint32_t class = size_class(pods);
    sim->arena[at] = sim->arena_free[class];
    sim->arena_free[class] = at;
}

/* ---- what policies ask ---- */

const struct sim_shape *sim_shape_of(const struct sim *sim, uint32_t job)
{
    return &sim->trace->shapes[sim->trace->jobs[job].shape];
}

int64_t sim_limit_ms(const struct sim *sim, uint32_t job)
{
    const struct sim_job *j = &sim->trace->jobs[job];
    return sim->options->perfect_estimates ? j->run_ms : j->limit_ms;
}

const uint32_t *sim_pod_nodes(const struct sim *sim, uint32_t job)
{
    return &sim->arena[sim->state[job].place];
}

/* ---- changes of what holds ---- */

static void queue_changes(struct sim *sim, uint32_t job, int64_t devices, int64_t waiting)
{
    struct sim_queue_state *q = &sim->queue[sim->trace->jobs[job].queue];
    int64_t ms = sim->now_ms - q->last_ms;
    sim_add_product(&q->served_ms, q->devices, ms);
    if (q->waiting > 0) {
        q->backlog_ms += ms;
        sim_add_product(&q->backlog_held_ms, q->devices, ms);
    }
    q->last_ms = sim->now_ms;
    q->devices += devices;
    q->waiting += waiting;
}

static void begins_to_wait(struct sim *sim, uint32_t job)
{
    sim->state[job].phase = SIM_WAITS;
    sim->level.waiting++;
    sim->level.asked += sim_shape_of(sim, job)->devices;
    queue_changes(sim, job, 0, 1);
}

/* How wide a job that needs several nodes is spread. */
static void note_spread(struct sim *sim, const struct sim_shape *shape, const uint32_t *pod_nodes)
{
    uint64_t nodes = 0, racks = 0;
    if (shape->devices <= sim->nodes->largest)
        return;
    sim->seen++;
    for (uint32_t i = 0; i < shape->pods; i++) {
        uint32_t node = pod_nodes[i], rack = sim->nodes->node[node].rack;
        nodes += sim->node_seen[node] != sim->seen;
        sim->node_seen[node] = sim->seen;
        if (rack != SIM_NO_RACK) {
            racks += sim->rack_seen[rack] != sim->seen;
            sim->rack_seen[rack] = sim->seen;
        }
    }
    struct sim_counts *c = &sim->counts;
    c->spread_starts++;
    c->nodes_spanned += nodes;
    c->nodes_least += (uint64_t)((shape->devices + sim->nodes->largest - 1) / sim->nodes->largest);
    if (sim->nodes->racks == 0)
        return;
    uint64_t least = (uint64_t)((shape->devices + sim->rack_devices - 1) / sim->rack_devices);
    c->racks_spanned += racks;
    c->racks_least += least;
    c->racks_best += racks <= least;
}

int sim_start(struct sim *sim, uint32_t job, const uint32_t *pod_nodes, struct mlt_error *err)
{
    struct sim_state *s = &sim->state[job];
    const struct sim_shape *shape = sim_shape_of(sim, job);
    const struct sim_job *j = &sim->trace->jobs[job];
    if (s->phase != SIM_WAITS)
        return mlt_fail(err, EBADMSG, "a job was started that does not wait");
    int rc = sim_pool_take(&sim->pool, shape, pod_nodes, err);
    if (rc < 0)
        return rc;
    s->place = arena_take(sim, shape->pods);
    memcpy(&sim->arena[s->place], pod_nodes, shape->pods * sizeof *pod_nodes);
    s->phase = SIM_RUNS;
    s->start_ms = sim->now_ms;
    s->attempts++;
    if (s->first_start_ms < 0)
        s->first_start_ms = sim->now_ms;
    int64_t overhead = s->attempts > 1 ? sim->options->restart_ms : 0;
    s->end_ms = sim->now_ms + overhead + j->run_ms - s->done_ms;
    heap_put(sim, s->end_ms, KIND_END, job);
    if (sim->options->save_every_ms > 0)
        heap_put(sim, sim->now_ms + overhead + sim->options->save_every_ms, KIND_SAVED, job);
    sim->level.devices += shape->devices;
    sim->level.partly = sim->pool.partly;
    sim->level.waiting--;
    sim->level.asked -= shape->devices;
    queue_changes(sim, job, shape->devices, -1);
    sim->counts.starts++;
    note_spread(sim, shape, pod_nodes);
    return 0;
}

/* What the attempt of a job has brought up to now, without what is not saved. */
static int64_t kept_ms(const struct sim *sim, const struct sim_state *s)
{
    int64_t ran = sim->now_ms - s->start_ms;
    if (s->attempts > 1)
        ran -= sim->options->restart_ms;
    if (ran <= 0)
        return 0;
    return sim->options->save_every_ms > 0 ? ran - ran % sim->options->save_every_ms : ran;
}

int sim_ask_to_leave(struct sim *sim, uint32_t job, struct mlt_error *err)
{
    struct sim_state *s = &sim->state[job];
    if (s->phase != SIM_RUNS)
        return mlt_fail(err, EBADMSG, "a job was asked to leave that does not run");
    s->phase = SIM_STOPS;
    s->asked++;
    sim->counts.asked++;
    if (s->end_ms <= sim->now_ms + sim->options->leave_ms)
        return 0; /* it ends before it would have left */
    int64_t kept = kept_ms(sim, s);
    s->done_ms += kept;
    s->version++;
    s->end_ms = sim->now_ms + sim->options->leave_ms;
    heap_put(sim, s->end_ms, KIND_LEFT, job);
    int64_t devices = sim_shape_of(sim, job)->devices;
    sim_add_product(&sim->counts.useful_ms, devices, kept);
    sim_add_product(&sim->counts.lost_ms, devices, (s->end_ms - s->start_ms - kept));
    return 0;
}

/* The place of a job is free again. */
static void gives_back(struct sim *sim, uint32_t job)
{
    struct sim_state *s = &sim->state[job];
    const struct sim_shape *shape = sim_shape_of(sim, job);
    s->end_ms = sim->now_ms;
    if (sim->attempt)
        sim->attempt(sim->attempt_arg, sim, job);
    sim_pool_give(&sim->pool, shape, sim_pod_nodes(sim, job));
    arena_give(sim, s->place, shape->pods);
    s->place = 0;
    s->version++;
    sim->level.devices -= shape->devices;
    sim->level.partly = sim->pool.partly;
    queue_changes(sim, job, -shape->devices, 0);
}

/* ---- the clock ---- */

static int ends(struct sim *sim, uint32_t job, struct mlt_error *err)
{
    struct sim_state *s = &sim->state[job];
    int64_t devices = sim_shape_of(sim, job)->devices;
    int64_t work = sim->trace->jobs[job].run_ms - s->done_ms;
    sim_add_product(&sim->counts.useful_ms, devices, work);
    sim_add_product(&sim->counts.lost_ms, devices, (sim->now_ms - s->start_ms - work));
    s->done_ms += work;
    gives_back(sim, job);
    s->phase = SIM_ENDED;
    sim->unfinished--;
    return sim->policy->ended(sim->policy_self, job, err);
}

static int happens(struct sim *sim, const struct sim_event *event, struct mlt_error *err)
{
    uint32_t job = event->job;
    struct sim_state *s = &sim->state[job];
    if (event->version != (s->version & VERSION_MASK))
        return 0;
    sim->counts.events++;
    switch ((enum kind)event->kind) {
    case KIND_END:
        return ends(sim, job, err);
    case KIND_LEFT:
        gives_back(sim, job);
        begins_to_wait(sim, job);
        return sim->policy->left(sim->policy_self, job, err);
    case KIND_SAVED:
        if (s->phase == SIM_RUNS)
            heap_put(sim, sim->now_ms + sim->options->save_every_ms, KIND_SAVED, job);
        return sim->policy->saved ? sim->policy->saved(sim->policy_self, job, err) : 0;
    }
    return 0;
}

static int64_t next_ms(struct sim *sim)
{
    int64_t at = SIM_NEVER;
    while (sim->next_job < sim->trace->count && sim->state[sim->next_job].phase == SIM_NOT_PLAYED)
        sim->next_job++;
    if (sim->next_job < sim->trace->count)
        at = sim->trace->jobs[sim->next_job].submit_ms;
    if (sim->heap_count > 0 && sim->heap[0].at_ms < at)
        at = sim->heap[0].at_ms;
    if (sim->policy->wake_ms && sim->unfinished > 0) {
        int64_t wake = sim->policy->wake_ms(sim->policy_self);
        if (wake > sim->now_ms && wake < at)
            at = wake;
    }
    return at;
}

static int step(struct sim *sim, int64_t now_ms, struct mlt_error *err)
{
    int rc = 0;
    sim_timeline_advance(&sim->timeline, &sim->level, now_ms);
    sim->now_ms = now_ms;
    while (rc == 0 && sim->heap_count > 0 && sim->heap[0].at_ms <= now_ms) {
        struct sim_event event = heap_take(sim);
        rc = happens(sim, &event, err);
    }
    for (; rc == 0 && sim->next_job < sim->trace->count; sim->next_job++) {
        uint32_t job = (uint32_t)sim->next_job;
        if (sim->trace->jobs[job].submit_ms > now_ms)
            break;
        if (sim->state[job].phase == SIM_NOT_PLAYED)
            continue;
        sim->counts.events++;
        begins_to_wait(sim, job);
        rc = sim->policy->submitted(sim->policy_self, job, err);
    }
    return rc == 0 ? sim->policy->decide(sim->policy_self, err) : rc;
}

int sim_run(struct sim *sim, struct mlt_error *err)
{
    while (sim->unfinished > 0) {
        int64_t now_ms = next_ms(sim);
        if (now_ms == SIM_NEVER)
            return mlt_fail(err, EDEADLK, "%zu jobs wait for ever, though nothing else happens",
                            sim->unfinished);
        if (sim->counts.asked > ASKED_MAX * (uint64_t)sim->trace->count)
            return mlt_fail(err, ELOOP,
                            "policy %s: jobs were asked to leave %" PRIu64
                            " times, %zu are unfinished in second %" PRId64 ": it goes in circles",
                            sim->policy->name, sim->counts.asked, sim->unfinished, now_ms / 1000);
        if (now_ms > SIM_CLOCK_MAX)
            return mlt_fail(err, ERANGE, "the jobs run for more than 30,000 years");
        int rc = step(sim, now_ms, err);
        if (rc < 0)
            return mlt_fail_in(err, "policy %s, second %" PRId64, sim->policy->name, now_ms / 1000);
    }
    return 0;
}

/* ---- beginning and end ---- */

static void look_for_those_that_never_fit(struct sim *sim)
{
    const struct sim_trace *t = sim->trace;
    cleanup_free uint32_t *pod_nodes = mlt_calloc(SIM_PODS_MAX, sizeof *pod_nodes);
    cleanup_free bool *fits = mlt_calloc(t->shapes_count + 1, sizeof *fits);
    for (uint32_t i = 0; i < t->shapes_count; i++)
        fits[i] = sim_pool_find(&sim->pool, &t->shapes[i], pod_nodes);
    for (size_t i = 0; i < t->count; i++) {
        sim->state[i].first_start_ms = -1;
        if (fits[t->jobs[i].shape])
            sim->unfinished++;
        else
            sim->state[i].phase = SIM_NOT_PLAYED;
    }
}

static void measure_racks(struct sim *sim)
{
    if (sim->nodes->racks == 0)
        return;
    cleanup_free int64_t *devices = mlt_calloc(sim->nodes->racks, sizeof *devices);
    sim->rack_devices = 1;
    for (uint32_t i = 0; i < sim->nodes->count; i++) {
        uint32_t rack = sim->nodes->node[i].rack;
        if (rack == SIM_NO_RACK)
            continue;
        devices[rack] += sim->nodes->node[i].devices;
        if (devices[rack] > sim->rack_devices)
            sim->rack_devices = devices[rack];
    }
}

int sim_init(struct sim *sim, const struct sim_trace *trace, const struct sim_nodes *nodes,
             const struct sim_options *options, const struct sim_policy *policy,
             struct mlt_error *err)
{
    *sim = (struct sim){.trace = trace, .nodes = nodes, .options = options, .policy = policy};
    sim->state = mlt_calloc(trace->count + 1, sizeof *sim->state);
    sim->queue = mlt_calloc(trace->queues.count + 1, sizeof *sim->queue);
    sim->node_seen = mlt_calloc(nodes->count, sizeof *sim->node_seen);
    sim->rack_seen = mlt_calloc(nodes->racks + 1, sizeof *sim->rack_seen);
    sim_timeline_init(&sim->timeline);
    sim_pool_init(&sim->pool, nodes);
    look_for_those_that_never_fit(sim);
    measure_racks(sim);
    /* The pool is as new, whatever order the search has left its lists in. */
    sim_pool_release(&sim->pool);
    sim_pool_init(&sim->pool, nodes);
    int rc = policy->open(sim, &sim->policy_self, err);
    if (rc < 0)
        sim_release(sim);
    return rc;
}

void sim_release(struct sim *sim)
{
    if (sim->policy_self)
        sim->policy->close(sim->policy_self);
    free(sim->state);
    free(sim->queue);
    free(sim->node_seen);
    free(sim->rack_seen);
    free(sim->heap);
    free(sim->arena);
    sim_pool_release(&sim->pool);
    *sim = (struct sim){0};
}
