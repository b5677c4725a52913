/* Buckets of equal waiting jobs: same queue, priority, shape and limits. When one job of a bucket
 * does not fit, none does, so a plan asks each bucket once. The buckets of a queue stand in a heap
 * by their first jobs. */
#include "gang/choice.h"
#include "gang/internal.h"
#include "gang/patience.h"
#include "gang/turns.h"
#include "gang/work.h"

#include <errno.h>
#include <string.h>

#define NO_PLACE UINT32_MAX

/* ---- the heap of a queue ---- */

static void heap_put(struct gang_queue *q, uint32_t at, struct gang_bucket *bucket)
{
    q->heap[at] = bucket->at;
    bucket->heap_at = at;
}

static bool comes_first(const struct gang_bucket *a, const struct gang_bucket *b)
{
    return gang_job_before(gang_bucket_head(a), gang_bucket_head(b));
}

static struct gang_queue *queue_of(const struct gang *g, const struct gang_bucket *bucket)
{
    return gang_queue_of(g, gang_bucket_any(bucket)->queue);
}

static void sift_up(const struct gang *g, struct gang_queue *q, struct gang_bucket *bucket,
                    uint32_t at)
{
    while (at > 0) {
        struct gang_bucket *above = gang_bucket_at(g, q->heap[(at - 1) / 2]);
        if (!comes_first(bucket, above))
            break;
        heap_put(q, at, above);
        at = (at - 1) / 2;
    }
    heap_put(q, at, bucket);
}

static void sift_down(const struct gang *g, struct gang_queue *q, struct gang_bucket *bucket,
                      uint32_t at)
{
    for (uint32_t child = 2 * at + 1; child < q->heap_count; child = 2 * at + 1) {
        struct gang_bucket *first = gang_bucket_at(g, q->heap[child]);
        if (child + 1 < q->heap_count) {
            struct gang_bucket *other = gang_bucket_at(g, q->heap[child + 1]);
            first = comes_first(other, first) ? other : first;
        }
        if (!comes_first(first, bucket))
            break;
        child = first->heap_at;
        heap_put(q, at, first);
        at = child;
    }
    heap_put(q, at, bucket);
}

void gang_heap_push(struct gang *g, struct gang_bucket *bucket)
{
    struct gang_queue *q = queue_of(g, bucket);
    sift_up(g, q, bucket, q->heap_count++);
    gang_work_push(g, bucket);
    gang_turns_set(g, bucket);
    gang_queue_changed(g, gang_bucket_any(bucket)->queue + 1);
}

void gang_heap_take(struct gang *g, struct gang_bucket *bucket)
{
    struct gang_queue *q = queue_of(g, bucket);
    uint32_t at = bucket->heap_at;
    gang_work_take(g, bucket);
    gang_turns_clear(g, bucket);
    struct gang_bucket *last = gang_bucket_at(g, q->heap[--q->heap_count]);
    bucket->heap_at = NO_PLACE;
    if (last != bucket) {
        sift_up(g, q, last, at);
        sift_down(g, q, last, last->heap_at);
    }
    gang_queue_changed(g, gang_bucket_any(bucket)->queue + 1);
}

void gang_heap_moved(struct gang *g, struct gang_bucket *bucket)
{
    struct gang_queue *q = queue_of(g, bucket);
    sift_up(g, q, bucket, bucket->heap_at);
    sift_down(g, q, bucket, bucket->heap_at);
    gang_work_moved(g, bucket);
    gang_turns_set(g, bucket);
    gang_queue_changed(g, gang_bucket_any(bucket)->queue + 1);
}

struct gang_bucket *gang_bucket_walk_next(const struct gang *g, struct gang_bucket_walk *walk)
{
    for (; walk->queue < g->queues_count; walk->queue++, walk->at = 0)
        if (walk->at < g->queues[walk->queue].heap_count)
            return gang_bucket_at(g, g->queues[walk->queue].heap[walk->at++]);
    return NULL;
}

/* ---- the table ---- */

/* A preferred level that is none has no end. */
static int64_t preferred_until(const struct gang_job *job)
{
    return job->preferred_level ? job->preferred_until_ms : 0;
}

static uint32_t hash_of(const struct gang_job *job, bool alone)
{
    const uint64_t words[] = {
        job->shape->hash,
        alone ? job->id + 1 : 0,
        (uint64_t)job->time_limit_ms,
        (uint64_t)job->expected_ms,
        (uint64_t)job->grace_ms,
        (uint64_t)job->attained_ms,
        (uint64_t)preferred_until(job),
        (uint64_t)job->queue << 32 | (uint32_t)job->priority,
        (uint64_t)job->required_level << 32 | job->preferred_level,
    };
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static bool are_equal(const struct gang_job *a, const struct gang_job *b)
{
    return a->shape == b->shape && a->time_limit_ms == b->time_limit_ms &&
           a->expected_ms == b->expected_ms && a->grace_ms == b->grace_ms &&
           a->attained_ms == b->attained_ms && preferred_until(a) == preferred_until(b) &&
           a->queue == b->queue && a->required_level == b->required_level &&
           a->preferred_level == b->preferred_level && a->priority == b->priority &&
           a->never_preempts == b->never_preempts;
}

/* A job that avoids nodes has a bucket of its own; with patience one for which others leave comes
 * before its equals. */
static bool belongs_to(const struct gang *g, const struct gang_bucket *b,
                       const struct gang_job *job, bool alone)
{
    const struct gang_job *any = gang_bucket_any(b);
    return b->alone == alone && (!alone || any->id == job->id) && are_equal(any, job) &&
           (g->config.patience_ms <= 0 || any->asked_for == job->asked_for);
}

static void table_put(uint32_t *table, uint32_t size, struct gang_bucket *b)
{
    uint32_t *slot = &table[b->hash & (size - 1)];
    b->next = *slot;
    *slot = b->at + 1;
}

/* Keeps half as many slots as there are buckets. */
static int table_reserve(struct gang *g)
{
    uint32_t old_size = g->bucket_table_size, size = old_size ? old_size * 2 : 64;
    if (g->buckets_count / 2 < old_size)
        return 0;
    uint32_t *old = g->bucket_table, *table = gang_alloc(g, size * sizeof *table);
    if (!table)
        return -ENOMEM;
    for (uint32_t i = 0; i < old_size; i++)
        for (uint32_t at = old[i]; at;) {
            struct gang_bucket *b = gang_bucket_at(g, at - 1);
            at = b->next;
            table_put(table, size, b);
        }
    gang_release(g, old);
    g->bucket_table = table;
    g->bucket_table_size = size;
    return 0;
}

/* Room for one more bucket wherever a plan keeps them, so that it needs no memory for that. */
static int reserve_bucket(struct gang *g, struct gang_queue *q)
{
    struct gang_plan *p = &g->plan;
    size_t count = (size_t)g->buckets_count + 1;
    if (table_reserve(g) < 0 ||
        gang_reserve(g, &q->heap, &q->heap_capacity, (size_t)q->heap_count + 1, sizeof *q->heap) <
            0 ||
        gang_work_reserve(g) < 0 || gang_choice_reserve(g) < 0 || gang_turns_reserve(g) < 0 ||
        gang_reserve(g, &p->waits, &p->waits_capacity, count, sizeof *p->waits) < 0)
        return -ENOMEM;
    return 0;
}

/* Nobody knows how long a job without a limit runs: as long again as it has run, at least a slice
 * (least attained service first, as Tiresias has it; Gu et al., NSDI 2019). */
static int64_t time_of(const struct gang *g, const struct gang_job *job)
{
    int64_t slice = gang_queue_of(g, job->queue)->config.time_slice_ms;
    if (job->expected_ms > 0)
        return job->expected_ms;
    if (job->time_limit_ms > 0 || g->config.patience_ms <= 0 || slice <= 0)
        return job->time_limit_ms;
    return job->attained_ms > slice ? job->attained_ms : slice;
}

/* Expected time x the devices asked for in all, or the CPUs of a job without devices. */
static int64_t work_of(const struct gang *g, const struct gang_job *job)
{
    int64_t amount = 0, time = time_of(g, job);
    const int64_t *sum = job->shape->sum;
    for (uint32_t r = GANG_DEVICE_0; r < g->resources; r++)
        amount = sum[r] > amount ? sum[r] : amount;
    if (!amount)
        amount = sum[GANG_CPU_MILLI] / 1000;
    amount = amount > 0 ? amount : 1;
    return time <= 0 || time > INT64_MAX / amount ? INT64_MAX : time * amount;
}

/* What jobs without a limit are expected to run depends on it. */
void gang_heap_slice_changed(struct gang *g, struct gang_queue *q)
{
    for (uint32_t i = 0; i < q->heap_count; i++) {
        struct gang_bucket *b = gang_bucket_at(g, q->heap[i]);
        gang_work_take(g, b);
        b->work = work_of(g, gang_bucket_any(b));
        gang_work_push(g, b);
    }
}

/* ---- preferred levels ---- */

/* The first job of a bucket has come, or the last one goes. */
static void count_preferring(struct gang *g, const struct gang_job *job, int change)
{
    int64_t until = job->preferred_until_ms;
    if (job->preferred_level <= job->required_level)
        return;
    g->preferring += (uint32_t)change;
    if (change > 0 && until > g->plan.now_ms && until < g->preferred_until_ms)
        g->preferred_until_ms = until;
    if (change < 0 && until == g->preferred_until_ms)
        g->preferred_until_ms = g->preferring ? INT64_MIN : INT64_MAX;
}

int64_t gang_bucket_preferred_until(const struct gang *g, int64_t now_ms)
{
    int64_t first = INT64_MAX;
    struct gang_bucket_walk walk = {0};
    if (g->preferred_until_ms > now_ms)
        return g->preferred_until_ms;
    for (const struct gang_bucket *b;
         g->preferring && (b = gang_bucket_walk_next(g, &walk)) != NULL;) {
        const struct gang_job *job = gang_bucket_any(b);
        if (job->preferred_level > job->required_level && job->preferred_until_ms > now_ms &&
            job->preferred_until_ms < first)
            first = job->preferred_until_ms;
    }
    return first;
}

/* ---- coming and going ---- */

static struct gang_bucket *bucket_new(struct gang *g, const struct gang_job *job, bool alone)
{
    uint32_t at;
    if (reserve_bucket(g, gang_queue_of(g, job->queue)) < 0)
        return NULL;
    struct gang_bucket *bucket = gang_pool_take(g, &g->bucket_pool, &at);
    if (!bucket)
        return NULL;
    bucket->capacity = 1;
    bucket->at = at;
    bucket->alone = alone;
    bucket->hash = hash_of(job, alone);
    bucket->heap_at = NO_PLACE;
    table_put(g->bucket_table, g->bucket_table_size, bucket);
    bucket->work = work_of(g, job);
    g->buckets_count++;
    return bucket;
}

static int grow(struct gang *g, struct gang_bucket *b)
{
    struct gang_job *only = b->only;
    uint32_t capacity = b->capacity + b->capacity / 4 + 4;
    struct gang_job **jobs = g->memory.realloc(g->memory.arg, b->capacity == 1 ? NULL : b->jobs,
                                               capacity * sizeof *jobs);
    if (!jobs)
        return -ENOMEM;
    if (b->capacity == 1)
        *jobs = only;
    b->jobs = jobs;
    b->capacity = capacity;
    return 0;
}

/* Room for one more: what is free at the front first. */
static int reserve_job(struct gang *g, struct gang_bucket *b)
{
    if (b->first + b->count < b->capacity)
        return 0;
    if (b->capacity > 1 && b->first > b->count / 2) {
        memmove(b->jobs, b->jobs + b->first, b->count * sizeof *b->jobs);
        b->first = 0;
        return 0;
    }
    return grow(g, b);
}

struct gang_bucket *gang_bucket_for(struct gang *g, const struct gang_job *job, bool alone)
{
    uint32_t hash = hash_of(job, alone), mask = g->bucket_table_size - 1;
    uint32_t at = g->bucket_table_size ? g->bucket_table[hash & mask] : 0;
    struct gang_bucket *b = NULL;
    for (; at; at = b->next) {
        b = gang_bucket_at(g, at - 1);
        if (b->hash == hash && belongs_to(g, b, job, alone))
            break;
    }
    if (!at)
        return bucket_new(g, job, alone);
    struct gang_queue *q = gang_queue_of(g, job->queue);
    if (reserve_job(g, b) < 0 || gang_reserve(g, &q->heap, &q->heap_capacity,
                                              (size_t)q->heap_count + 1, sizeof *q->heap) < 0)
        return NULL;
    return b;
}

void gang_bucket_free(struct gang *g, struct gang_bucket *bucket)
{
    if (bucket->capacity > 1)
        gang_release(g, bucket->jobs);
}

void gang_bucket_release(struct gang *g, struct gang_bucket *bucket)
{
    if (!bucket || bucket->count)
        return;
    uint32_t *at = &g->bucket_table[bucket->hash & (g->bucket_table_size - 1)];
    while (*at != bucket->at + 1)
        at = &gang_bucket_at(g, *at - 1)->next;
    *at = bucket->next;
    g->buckets_count--;
    gang_bucket_free(g, bucket);
    gang_pool_give(&g->bucket_pool, bucket->at);
}

/* ---- jobs ---- */

static uint32_t position(const struct gang_bucket *b, const struct gang_job *job)
{
    uint32_t low = 0, high = b->count;
    if (high && gang_job_before(gang_bucket_job(b, high - 1), job))
        return high; /* as a rule the newest comes last */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (gang_job_before(gang_bucket_job(b, middle), job))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void count_waiting(struct gang *g, const struct gang_job *job, int change)
{
    g->waiting += (uint32_t)change;
    for (uint32_t q = job->queue + 1; q; q = g->queues[q].parent)
        g->queues[q].waiting += (uint32_t)change;
    g->queues[0].waiting += (uint32_t)change;
}

void gang_bucket_insert(struct gang *g, struct gang_bucket *b, struct gang_job *job)
{
    uint32_t at = b->first + position(b, job);
    if (b->capacity == 1) {
        b->only = job;
    } else {
        memmove(b->jobs + at + 1, b->jobs + at, (b->first + b->count - at) * sizeof *b->jobs);
        b->jobs[at] = job;
    }
    if (b->count++ == 0)
        count_preferring(g, job, 1);
    job->bucket = b;
    if (g->config.patience_ms > 0)
        gang_patience_joined(g, job);
    count_waiting(g, job, 1);
    if (b->heap_at == NO_PLACE)
        gang_heap_push(g, b);
    else if (at == b->first)
        gang_heap_moved(g, b);
}

struct gang_bucket *gang_bucket_remove(struct gang *g, struct gang_job *job)
{
    struct gang_bucket *b = job->bucket;
    if (!b)
        return NULL;
    if (g->config.patience_ms > 0)
        gang_patience_left(g, b);
    uint32_t at = b->first + position(b, job);
    job->bucket = NULL;
    count_waiting(g, job, -1);
    if (b->count == 1) {
        count_preferring(g, job, -1);
        gang_heap_take(g, b);
        b->count = 0;
        return b;
    }
    bool head = at == b->first;
    if (head)
        b->first++;
    else
        memmove(b->jobs + at, b->jobs + at + 1, (b->first + b->count - at - 1) * sizeof *b->jobs);
    b->count--;
    if (head)
        gang_heap_moved(g, b);
    return b;
}
