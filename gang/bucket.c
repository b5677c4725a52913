/* Buckets of equal waiting jobs: same queue, priority, shape and limits. When one job of a bucket
 * does not fit, none does, so a plan asks each bucket once. The buckets of a queue stand in a heap
 * by their first jobs. */
#include "gang/internal.h"

#include <errno.h>
#include <string.h>

#define NO_PLACE UINT32_MAX

/* ---- the heap of a queue ---- */

static void heap_put(struct gang_queue *q, uint32_t at, struct gang_bucket *bucket)
{
    q->heap[at] = bucket;
    bucket->heap_at = at;
}

static bool comes_first(const struct gang_bucket *a, const struct gang_bucket *b)
{
    return gang_job_before(gang_bucket_head(a), gang_bucket_head(b));
}

static void sift_up(struct gang_queue *q, struct gang_bucket *bucket, uint32_t at)
{
    for (; at > 0 && comes_first(bucket, q->heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap_put(q, at, q->heap[(at - 1) / 2]);
    heap_put(q, at, bucket);
}

static void sift_down(struct gang_queue *q, struct gang_bucket *bucket, uint32_t at)
{
    for (uint32_t child = 2 * at + 1; child < q->heap_count; child = 2 * at + 1) {
        if (child + 1 < q->heap_count && comes_first(q->heap[child + 1], q->heap[child]))
            child++;
        if (!comes_first(q->heap[child], bucket))
            break;
        heap_put(q, at, q->heap[child]);
        at = child;
    }
    heap_put(q, at, bucket);
}

void gang_heap_push(struct gang *g, struct gang_bucket *bucket)
{
    struct gang_queue *q = gang_queue_of(g, bucket->key.queue);
    sift_up(q, bucket, q->heap_count++);
    gang_queue_changed(g, bucket->key.queue + 1);
}

void gang_heap_take(struct gang *g, struct gang_bucket *bucket)
{
    struct gang_queue *q = gang_queue_of(g, bucket->key.queue);
    uint32_t at = bucket->heap_at;
    struct gang_bucket *last = q->heap[--q->heap_count];
    bucket->heap_at = NO_PLACE;
    if (last != bucket) {
        sift_up(q, last, at);
        sift_down(q, last, last->heap_at);
    }
    gang_queue_changed(g, bucket->key.queue + 1);
}

void gang_heap_moved(struct gang *g, struct gang_bucket *bucket)
{
    struct gang_queue *q = gang_queue_of(g, bucket->key.queue);
    sift_up(q, bucket, bucket->heap_at);
    sift_down(q, bucket, bucket->heap_at);
    gang_queue_changed(g, bucket->key.queue + 1);
}

/* ---- the table ---- */

static struct gang_bucket_key key_of(const struct gang_job *job)
{
    return (struct gang_bucket_key){
        .shape = job->shape,
        .alone = job->avoid_count ? job->id + 1 : 0,
        .time_limit_ms = job->time_limit_ms,
        .expected_ms = job->expected_ms,
        .grace_ms = job->grace_ms,
        .attained_ms = job->attained_ms,
        .preferred_until_ms = job->preferred_level ? job->preferred_until_ms : 0,
        .queue = job->queue,
        .required_level = job->required_level,
        .preferred_level = job->preferred_level,
        .priority = job->priority,
        .never_preempts = job->never_preempts,
    };
}

static uint64_t key_hash(const struct gang_bucket_key *key)
{
    const uint64_t words[] = {
        key->shape->hash,
        key->alone,
        (uint64_t)key->time_limit_ms,
        (uint64_t)key->expected_ms,
        (uint64_t)key->grace_ms,
        (uint64_t)key->attained_ms,
        (uint64_t)key->preferred_until_ms,
        (uint64_t)key->queue << 32 | (uint32_t)key->priority,
        (uint64_t)key->required_level << 32 | key->preferred_level,
    };
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

static bool keys_equal(const struct gang_bucket_key *a, const struct gang_bucket_key *b)
{
    return a->shape == b->shape && a->alone == b->alone && a->time_limit_ms == b->time_limit_ms &&
           a->expected_ms == b->expected_ms && a->grace_ms == b->grace_ms &&
           a->attained_ms == b->attained_ms && a->preferred_until_ms == b->preferred_until_ms &&
           a->queue == b->queue && a->required_level == b->required_level &&
           a->preferred_level == b->preferred_level && a->priority == b->priority &&
           a->never_preempts == b->never_preempts;
}

static int table_reserve(struct gang *g)
{
    if (g->buckets_count < g->bucket_table_size)
        return 0;
    uint32_t size = g->bucket_table_size ? g->bucket_table_size * 2 : 64;
    struct gang_bucket **table = gang_alloc(g, size * sizeof(struct gang_bucket *));
    if (!table)
        return -ENOMEM;
    for (uint32_t i = 0; i < g->buckets_count; i++) {
        struct gang_bucket *b = g->buckets[i];
        b->next = table[b->hash & (size - 1)];
        table[b->hash & (size - 1)] = b;
    }
    gang_release(g, g->bucket_table);
    g->bucket_table = table;
    g->bucket_table_size = size;
    return 0;
}

/* Room for one more bucket wherever a plan keeps them, so that it needs no memory for that. */
static int reserve_bucket(struct gang *g, struct gang_queue *q)
{
    struct gang_plan *p = &g->plan;
    size_t count = (size_t)g->buckets_count + 1, one = sizeof(struct gang_bucket *);
    if (table_reserve(g) < 0 ||
        gang_reserve(g, &g->buckets, &g->buckets_capacity, count, one) < 0 ||
        gang_reserve(g, &q->heap, &q->heap_capacity, (size_t)q->heap_count + 1, one) < 0 ||
        gang_reserve(g, &g->by_work, &g->by_work_capacity, count, one) < 0 ||
        gang_reserve(g, &p->parked, &p->parked_capacity, count, one) < 0 ||
        gang_reserve(g, &p->touched, &p->touched_capacity, count, one) < 0 ||
        gang_reserve(g, &p->waits, &p->waits_capacity, count, sizeof *p->waits) < 0)
        return -ENOMEM;
    return 0;
}

/* ---- by work ---- */

/* Expected time x the devices asked for in all, or the CPUs of a job without devices. */
static int64_t work_of(const struct gang *g, const struct gang_bucket_key *key)
{
    gang_amounts sum;
    int64_t amount = 0, time = key->expected_ms > 0 ? key->expected_ms : key->time_limit_ms;
    gang_shape_sum(g, key->shape, sum);
    for (uint32_t r = GANG_DEVICE_0; r < g->resources; r++)
        amount = sum[r] > amount ? sum[r] : amount;
    if (!amount)
        amount = sum[GANG_CPU_MILLI] / 1000;
    amount = amount > 0 ? amount : 1;
    return time <= 0 || time > INT64_MAX / amount ? INT64_MAX : time * amount;
}

static uint32_t place_by_work(const struct gang *g, const struct gang_bucket *b)
{
    uint32_t low = 0, high = g->buckets_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct gang_bucket *x = g->by_work[middle];
        if (x->work < b->work || (x->work == b->work && x->serial < b->serial))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert_by_work(struct gang *g, struct gang_bucket *b)
{
    b->serial = ++g->bucket_serial;
    uint32_t at = place_by_work(g, b);
    memmove(g->by_work + at + 1, g->by_work + at, (g->buckets_count - at) * sizeof *g->by_work);
    g->by_work[at] = b;
}

/* ---- preferred levels ---- */

static bool prefers(const struct gang_bucket *b)
{
    return b->key.preferred_level > b->key.required_level;
}

static void count_preferring(struct gang *g, const struct gang_bucket *b, int change)
{
    int64_t until = b->key.preferred_until_ms;
    if (!prefers(b))
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
    if (g->preferred_until_ms > now_ms)
        return g->preferred_until_ms;
    for (uint32_t i = 0; g->preferring && i < g->buckets_count; i++) {
        int64_t until = g->buckets[i]->key.preferred_until_ms;
        if (prefers(g->buckets[i]) && until > now_ms && until < first)
            first = until;
    }
    return first;
}

static struct gang_bucket *bucket_new(struct gang *g, const struct gang_bucket_key *key,
                                      uint64_t hash)
{
    if (reserve_bucket(g, gang_queue_of(g, key->queue)) < 0)
        return NULL;
    struct gang_bucket *bucket = gang_alloc(g, sizeof *bucket);
    if (!bucket)
        return NULL;
    if (gang_reserve(g, &bucket->jobs, &bucket->capacity, 1, sizeof *bucket->jobs) < 0) {
        gang_release(g, bucket);
        return NULL;
    }
    bucket->key = *key;
    bucket->hash = hash;
    bucket->heap_at = NO_PLACE;
    struct gang_bucket **slot = &g->bucket_table[hash & (g->bucket_table_size - 1)];
    bucket->next = *slot;
    *slot = bucket;
    bucket->at = g->buckets_count;
    bucket->work = work_of(g, key);
    insert_by_work(g, bucket);
    g->buckets[g->buckets_count++] = bucket;
    count_preferring(g, bucket, 1);
    return bucket;
}

/* Room for one more: what is free at the front first. */
static int reserve_job(struct gang *g, struct gang_bucket *b)
{
    if (b->first + b->count < b->capacity)
        return 0;
    if (b->first > b->count / 2) {
        memmove(b->jobs, b->jobs + b->first, b->count * sizeof *b->jobs);
        b->first = 0;
        return 0;
    }
    return gang_reserve(g, &b->jobs, &b->capacity, (size_t)b->first + b->count + 1,
                        sizeof *b->jobs);
}

struct gang_bucket *gang_bucket_for(struct gang *g, const struct gang_job *job)
{
    const struct gang_bucket_key key = key_of(job);
    uint64_t hash = key_hash(&key);
    struct gang_bucket *b =
        g->bucket_table_size ? g->bucket_table[hash & (g->bucket_table_size - 1)] : NULL;
    while (b && (b->hash != hash || !keys_equal(&b->key, &key)))
        b = b->next;
    if (!b)
        return bucket_new(g, &key, hash);
    struct gang_queue *q = gang_queue_of(g, key.queue);
    if (reserve_job(g, b) < 0 || gang_reserve(g, &q->heap, &q->heap_capacity,
                                              (size_t)q->heap_count + 1, sizeof *q->heap) < 0)
        return NULL;
    return b;
}

void gang_bucket_free(struct gang *g, struct gang_bucket *bucket)
{
    gang_release(g, bucket->jobs);
    gang_release(g, bucket);
}

void gang_bucket_release(struct gang *g, struct gang_bucket *bucket)
{
    if (!bucket || bucket->count)
        return;
    struct gang_bucket **at = &g->bucket_table[bucket->hash & (g->bucket_table_size - 1)];
    while (*at != bucket)
        at = &(*at)->next;
    *at = bucket->next;
    uint32_t by_work = place_by_work(g, bucket);
    memmove(g->by_work + by_work, g->by_work + by_work + 1,
            (g->buckets_count - by_work - 1) * sizeof *g->by_work);
    count_preferring(g, bucket, -1);
    g->buckets[bucket->at] = g->buckets[--g->buckets_count];
    g->buckets[bucket->at]->at = bucket->at;
    gang_bucket_free(g, bucket);
}

/* ---- jobs ---- */

static uint32_t position(const struct gang_bucket *b, const struct gang_job *job)
{
    uint32_t low = 0, high = b->count;
    if (high && gang_job_before(b->jobs[b->first + high - 1], job))
        return high; /* as a rule the newest comes last */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (gang_job_before(b->jobs[b->first + middle], job))
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
    memmove(b->jobs + at + 1, b->jobs + at, (b->first + b->count - at) * sizeof *b->jobs);
    b->jobs[at] = job;
    b->count++;
    job->bucket = b;
    gang_timed_joined(g, job);
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
    uint32_t at = b->first + position(b, job);
    job->bucket = NULL;
    count_waiting(g, job, -1);
    if (b->count == 1) {
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
