/* The yardsticks: FIFO, EASY backfill and shortest-job-first. Policies of their own over a list and
 * the simulator's account of free devices (pool.h); nothing of them is from the gang library.
 *
 * FIFO: strict order of submission; nobody overtakes.
 * EASY (Lifka 1995; Mu'alem and Feitelson 2001): the first that waits has a reservation, at the
 * time when enough devices are free if all who run end as their users said; others start if they
 * end before it, or use devices that are left over then. Devices are counted, not nodes. A job
 * without an estimate is taken to run for ever. An estimate that turns out to be too short counts
 * as the recorded run time, as simulators of the literature have it: this knows the future, to the
 * yardstick's advantage.
 * SJF: the one with the shortest recorded run time first, which no real scheduler knows; strict:
 * when it does not fit, nobody starts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/simulate/engine.h"
#include "lib/base/alloc.h"

#define NONE UINT32_MAX

/* Waiting jobs of one shape and estimate, in order: if the first cannot start, none can. */
struct bucket {
    uint32_t shape, first, last;
    int64_t limit_ms; /* SIM_NEVER: unknown */
    uint32_t failed;  /* the pass in which its first found no place */
    uint32_t active;  /* where it stands among the active; NONE */
};

struct expected_end {
    int64_t at_ms;
    uint32_t job;
};

struct list {
    struct sim *sim;
    uint32_t *pod_nodes;
    /* FIFO and EASY: all that wait, in order of submission. */
    uint32_t *next, *prev, first, last;
    /* EASY. */
    struct bucket *bucket;
    uint32_t buckets, buckets_capacity, *bucket_of, *bucket_next, *active, active_count;
    uint32_t *slot, slots;
    struct expected_end *ends; /* of those that run, latest first */
    size_t ends_count, ends_capacity;
    uint32_t pass;
    /* SJF: a heap of those that wait. */
    uint32_t *heap;
    size_t heap_count;
};

static int list_open(struct sim *sim, void **ret_self, struct mlt_error *err)
{
    (void)err;
    struct list *l = mlt_calloc(1, sizeof *l);
    size_t jobs = sim->trace->count + 1;
    l->sim = sim;
    l->pod_nodes = mlt_calloc(SIM_PODS_MAX, sizeof *l->pod_nodes);
    l->next = mlt_calloc(jobs, sizeof *l->next);
    l->prev = mlt_calloc(jobs, sizeof *l->prev);
    l->heap = mlt_calloc(jobs, sizeof *l->heap);
    l->first = l->last = NONE;
    *ret_self = l;
    return 0;
}

static void list_close(void *self)
{
    struct list *l = self;
    void *const owned[] = {l->pod_nodes, l->next,        l->prev,   l->heap, l->bucket,
                           l->bucket_of, l->bucket_next, l->active, l->slot, l->ends};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    free(l);
}

static void append(struct list *l, uint32_t job)
{
    l->next[job] = NONE;
    l->prev[job] = l->last;
    if (l->last == NONE)
        l->first = job;
    else
        l->next[l->last] = job;
    l->last = job;
}

static void take_out(struct list *l, uint32_t job)
{
    if (l->prev[job] == NONE)
        l->first = l->next[job];
    else
        l->next[l->prev[job]] = l->next[job];
    if (l->next[job] == NONE)
        l->last = l->prev[job];
    else
        l->prev[l->next[job]] = l->prev[job];
}

/* 1 when it was started, 0 when there is no room. */
static int try_start(struct list *l, uint32_t job, struct mlt_error *err)
{
    if (!sim_pool_find(&l->sim->pool, sim_shape_of(l->sim, job), l->pod_nodes))
        return 0;
    l->sim->counts.decisions++;
    int rc = sim_start(l->sim, job, l->pod_nodes, err);
    return rc < 0 ? rc : 1;
}

static int nothing(void *self, uint32_t job, struct mlt_error *err)
{
    (void)self;
    (void)job;
    (void)err;
    return 0;
}

/* ---- FIFO ---- */

static int fifo_submitted(void *self, uint32_t job, struct mlt_error *err)
{
    (void)err;
    append(self, job);
    return 0;
}

static int fifo_decide(void *self, struct mlt_error *err)
{
    struct list *l = self;
    while (l->first != NONE) {
        uint32_t job = l->first;
        int rc = try_start(l, job, err);
        if (rc <= 0)
            return rc;
        take_out(l, job);
    }
    return 0;
}

const struct sim_policy sim_policy_fifo = {
    .name = "fifo",
    .words = "strict order of submission, nobody overtakes (a list; not the library)",
    .open = list_open,
    .close = list_close,
    .submitted = fifo_submitted,
    .left = fifo_submitted,
    .ended = nothing,
    .decide = fifo_decide};

/* ---- SJF ---- */

static bool is_shorter(const struct list *l, uint32_t a, uint32_t b)
{
    const struct sim_job *jobs = l->sim->trace->jobs;
    return jobs[a].run_ms != jobs[b].run_ms ? jobs[a].run_ms < jobs[b].run_ms : a < b;
}

static int sjf_submitted(void *self, uint32_t job, struct mlt_error *err)
{
    (void)err;
    struct list *l = self;
    size_t at = l->heap_count++;
    for (; at > 0 && is_shorter(l, job, l->heap[(at - 1) / 2]); at = (at - 1) / 2)
        l->heap[at] = l->heap[(at - 1) / 2];
    l->heap[at] = job;
    return 0;
}

static void sjf_pop(struct list *l)
{
    uint32_t last = l->heap[--l->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= l->heap_count)
            break;
        if (child + 1 < l->heap_count && is_shorter(l, l->heap[child + 1], l->heap[child]))
            child++;
        if (!is_shorter(l, l->heap[child], last))
            break;
        l->heap[at] = l->heap[child];
        at = child;
    }
    l->heap[at] = last;
}

static int sjf_decide(void *self, struct mlt_error *err)
{
    struct list *l = self;
    while (l->heap_count > 0) {
        int rc = try_start(l, l->heap[0], err);
        if (rc <= 0)
            return rc;
        sjf_pop(l);
    }
    return 0;
}

const struct sim_policy sim_policy_sjf = {
    .name = "sjf",
    .words = "shortest recorded run time first, strict: knows the future (not the library)",
    .open = list_open,
    .close = list_close,
    .submitted = sjf_submitted,
    .left = sjf_submitted,
    .ended = nothing,
    .decide = sjf_decide};

/* ---- EASY ---- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t bucket_hash(uint32_t shape, int64_t limit_ms)
{
    return mix((uint64_t)limit_ms * 65537 + shape);
}

static void put_slot(struct list *l, uint32_t number)
{
    uint64_t at = bucket_hash(l->bucket[number].shape, l->bucket[number].limit_ms);
    while (l->slot[at & (l->slots - 1)])
        at++;
    l->slot[at & (l->slots - 1)] = number + 1;
}

static uint32_t bucket_for(struct list *l, uint32_t shape, int64_t limit_ms)
{
    uint64_t at = bucket_hash(shape, limit_ms);
    for (; l->slots && l->slot[at & (l->slots - 1)]; at++) {
        const struct bucket *b = &l->bucket[l->slot[at & (l->slots - 1)] - 1];
        if (b->shape == shape && b->limit_ms == limit_ms)
            return l->slot[at & (l->slots - 1)] - 1;
    }
    MLT_GROW(l->bucket, l->buckets, l->buckets_capacity);
    l->active = mlt_realloc(l->active, l->buckets_capacity, sizeof *l->active);
    if (l->buckets * 2 >= l->slots) {
        l->slots = l->slots ? l->slots * 2 : 256;
        free(l->slot);
        l->slot = mlt_calloc(l->slots, sizeof *l->slot);
        for (uint32_t i = 0; i < l->buckets; i++)
            put_slot(l, i);
    }
    l->bucket[l->buckets] = (struct bucket){
        .shape = shape, .limit_ms = limit_ms, .first = NONE, .last = NONE, .active = NONE};
    put_slot(l, l->buckets);
    return l->buckets++;
}

static int easy_open(struct sim *sim, void **ret_self, struct mlt_error *err)
{
    int rc = list_open(sim, ret_self, err);
    struct list *l = *ret_self;
    l->bucket_of = mlt_calloc(sim->trace->count + 1, sizeof *l->bucket_of);
    l->bucket_next = mlt_calloc(sim->trace->count + 1, sizeof *l->bucket_next);
    for (size_t i = 0; i < sim->trace->count; i++) {
        int64_t limit = sim_limit_ms(sim, (uint32_t)i), run = sim->trace->jobs[i].run_ms;
        if (limit > 0 && limit < run)
            limit = run;
        l->bucket_of[i] = bucket_for(l, sim->trace->jobs[i].shape, limit ? limit : SIM_NEVER);
    }
    return rc;
}

static int easy_submitted(void *self, uint32_t job, struct mlt_error *err)
{
    (void)err;
    struct list *l = self;
    struct bucket *b = &l->bucket[l->bucket_of[job]];
    append(l, job);
    l->bucket_next[job] = NONE;
    if (b->first == NONE) {
        b->first = job;
        b->active = l->active_count;
        l->active[l->active_count++] = l->bucket_of[job];
    } else {
        l->bucket_next[b->last] = job;
    }
    b->last = job;
    return 0;
}

static int64_t expected_end(const struct list *l, uint32_t job)
{
    int64_t limit = l->bucket[l->bucket_of[job]].limit_ms;
    return limit == SIM_NEVER ? SIM_NEVER : l->sim->state[job].start_ms + limit;
}

/* The first place in `ends` (latest first, then highest job) that is not before this one. */
static size_t find_end(const struct list *l, int64_t at_ms, uint32_t job)
{
    size_t low = 0, high = l->ends_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct expected_end *e = &l->ends[middle];
        if (e->at_ms > at_ms || (e->at_ms == at_ms && e->job > job))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first of a bucket has started: it leaves list and bucket, and its end is expected. */
static void has_started(struct list *l, uint32_t job)
{
    struct bucket *b = &l->bucket[l->bucket_of[job]];
    take_out(l, job);
    b->first = l->bucket_next[job];
    if (b->first == NONE) {
        uint32_t moved = l->active[--l->active_count];
        l->active[b->active] = moved;
        l->bucket[moved].active = b->active;
        b->active = NONE;
    }
    int64_t at_ms = expected_end(l, job);
    size_t at = find_end(l, at_ms, job);
    MLT_GROW(l->ends, l->ends_count, l->ends_capacity);
    memmove(&l->ends[at + 1], &l->ends[at], (l->ends_count - at) * sizeof *l->ends);
    l->ends[at] = (struct expected_end){at_ms, job};
    l->ends_count++;
}

static int easy_ended(void *self, uint32_t job, struct mlt_error *err)
{
    struct list *l = self;
    size_t at = find_end(l, expected_end(l, job), job);
    if (at == l->ends_count || l->ends[at].job != job)
        return mlt_fail(err, EBADMSG, "a job ended that was not expected to");
    l->ends_count--;
    memmove(&l->ends[at], &l->ends[at + 1], (l->ends_count - at) * sizeof *l->ends);
    return 0;
}

/* When the first that waits will find enough devices, and how many are left over then. */
static void reserve(const struct list *l, int64_t *ret_shadow_ms, int64_t *ret_extra)
{
    int64_t asked = sim_shape_of(l->sim, l->first)->devices, free_then = l->sim->pool.free;
    int64_t now_ms = l->sim->now_ms;
    *ret_shadow_ms = SIM_NEVER;
    *ret_extra = 0;
    for (size_t i = l->ends_count; i-- > 0;) {
        const struct expected_end *e = &l->ends[i];
        if (e->at_ms == SIM_NEVER)
            return;
        free_then += sim_shape_of(l->sim, e->job)->devices;
        if (free_then >= asked) {
            *ret_shadow_ms = e->at_ms > now_ms ? e->at_ms : now_ms;
            *ret_extra = free_then - asked;
            return;
        }
    }
}

/* The bucket whose first may start without delaying the reservation, the earliest submitted. */
static uint32_t choose(const struct list *l, int64_t shadow_ms, int64_t extra)
{
    uint32_t best = NONE;
    for (uint32_t i = 0; i < l->active_count; i++) {
        const struct bucket *b = &l->bucket[l->active[i]];
        int64_t asked = l->sim->trace->shapes[b->shape].devices;
        if (asked > l->sim->pool.free || b->failed == l->pass || b->first == l->first)
            continue;
        bool in_time = b->limit_ms != SIM_NEVER && l->sim->now_ms + b->limit_ms <= shadow_ms;
        if ((in_time || asked <= extra) && (best == NONE || b->first < l->bucket[best].first))
            best = l->active[i];
    }
    return best;
}

static int easy_decide(void *self, struct mlt_error *err)
{
    struct list *l = self;
    int64_t shadow_ms, extra;
    while (l->first != NONE) {
        uint32_t job = l->first;
        int rc = try_start(l, job, err);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        has_started(l, job);
    }
    if (l->first == NONE || l->sim->pool.free == 0)
        return 0;
    reserve(l, &shadow_ms, &extra);
    l->pass++;
    for (uint32_t best; best = choose(l, shadow_ms, extra), best != NONE;) {
        struct bucket *b = &l->bucket[best];
        uint32_t job = b->first;
        int rc = try_start(l, job, err);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            b->failed = l->pass;
            continue;
        }
        if (b->limit_ms == SIM_NEVER || l->sim->now_ms + b->limit_ms > shadow_ms)
            extra -= sim_shape_of(l->sim, job)->devices;
        has_started(l, job);
    }
    return 0;
}

const struct sim_policy sim_policy_easy = {.name = "easy",
                                           .words =
                                               "EASY backfill: a reservation for the first, by its "
                                               "users' estimates, corrected (not the library)",
                                           .open = easy_open,
                                           .close = list_close,
                                           .submitted = easy_submitted,
                                           .left = easy_submitted,
                                           .ended = easy_ended,
                                           .decide = easy_decide};
