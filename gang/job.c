/* Jobs: their requests, the table that finds them by id, lists in order, and the nodes that they
 * avoid. */
#include "gang/internal.h"
#include "gang/turns.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- requests ---- */

static int role_check(const struct gang *g, const struct gang_role *role, uint32_t index,
                      struct mlt_error *err)
{
    for (uint32_t r = 0; r < GANG_RESOURCES_MAX; r++) {
        if (role->request[r] < 0 || role->request[r] > GANG_AMOUNT_MAX)
            return mlt_fail(err, EINVAL,
                            "role %u: resource %u: %" PRId64 " is not from 0 to %" PRId64, index, r,
                            role->request[r], GANG_AMOUNT_MAX);
        if (r >= g->resources && role->request[r] != 0)
            return mlt_fail(err, EINVAL, "role %u: resource %u: there are only %u resources", index,
                            r, g->resources);
    }
    if (role->request[GANG_PODS] != 1)
        return mlt_fail(err, EINVAL, "role %u: a pod counts as 1 pod, not %" PRId64, index,
                        role->request[GANG_PODS]);
    if (role->node_classes_words > GANG_CLASSES_MAX / 64)
        return mlt_fail(err, EINVAL, "role %u: %u words of node classes, at most %u", index,
                        role->node_classes_words, GANG_CLASSES_MAX / 64);
    if (role->node_classes_words && !role->node_classes)
        return mlt_fail(err, EINVAL, "role %u: node classes are missing", index);
    return 0;
}

int gang_job_request_check(const struct gang *g, const struct gang_job_request *request,
                           struct mlt_error *err)
{
    if (!request)
        return mlt_fail(err, EINVAL, "the request is missing");
    if (request->roles_count == 0 || request->roles_count > GANG_ROLES_MAX)
        return mlt_fail(err, EINVAL, "%u roles, expected 1 to %d", request->roles_count,
                        GANG_ROLES_MAX);
    if (!gang_queue_known(g, request->queue))
        return mlt_fail(err, EINVAL, "queue %u is not known", request->queue);
    uint64_t pods = 0;
    for (uint32_t i = 0; i < request->roles_count; i++) {
        int rc = role_check(g, &request->roles[i], i, err);
        if (rc < 0)
            return rc;
        pods += request->roles[i].pods;
    }
    uint32_t levels = g->fits_topology.levels;
    if (request->required_level > levels || request->preferred_level > levels)
        return mlt_fail(err, EINVAL, "level %u: there are %u levels",
                        request->required_level > levels ? request->required_level
                                                         : request->preferred_level,
                        levels);
    if (pods == 0 || pods > GANG_PODS_PER_JOB_MAX)
        return mlt_fail(err, EINVAL, "%" PRIu64 " pods, expected 1 to %d", pods,
                        GANG_PODS_PER_JOB_MAX);
    return 0;
}

uint32_t gang_job_role(const struct gang_job *job, uint32_t pod)
{
    uint32_t role = 0;
    while (pod >= job->shape->roles[role].pods)
        pod -= job->shape->roles[role++].pods;
    return role;
}

/* ---- the table ---- */

static uint32_t table_slot(const struct gang *g, uint64_t id)
{
    uint64_t x =
        id * 0x9e3779b97f4a7c15u; /* Fibonacci hashing: spreads ids that follow each other */
    return (uint32_t)(x >> 32) & (g->table_size - 1);
}

struct gang_job *gang_job_find(const struct gang *g, uint64_t id)
{
    struct gang_job *job = NULL;
    if (!g->table_size)
        return NULL;
    for (uint32_t i = table_slot(g, id); (job = gang_job_in(g, i)) != NULL && job->id != id;)
        i = (i + 1) & (g->table_size - 1);
    return job;
}

static void table_put(struct gang *g, uint64_t id, uint32_t value)
{
    uint32_t i = table_slot(g, id);
    while (g->table[i])
        i = (i + 1) & (g->table_size - 1);
    g->table[i] = value;
}

/* Keeps the table at most half full. */
static int table_reserve(struct gang *g)
{
    if ((g->jobs + 1) * 2 <= g->table_size)
        return 0;
    uint32_t old_size = g->table_size, size = old_size ? old_size * 2 : 64;
    uint32_t *old = g->table, *table = gang_alloc(g, size * sizeof *table);
    if (!table)
        return -ENOMEM;
    g->table = table;
    g->table_size = size;
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i]) {
            const struct gang_job *job = gang_pool_at(&g->job_pool, old[i] - 1);
            table_put(g, job->id, old[i]);
        }
    gang_release(g, old);
    return 0;
}

/* Takes a job out and moves back those that had stepped over its slot, so that no tombstones are
 * needed. Where in the pool it is. */
static uint32_t table_take(struct gang *g, const struct gang_job *job)
{
    uint32_t mask = g->table_size - 1, hole = table_slot(g, job->id);
    while (gang_job_in(g, hole) != job)
        hole = (hole + 1) & mask;
    uint32_t at = g->table[hole] - 1;
    for (uint32_t i = (hole + 1) & mask; g->table[i]; i = (i + 1) & mask) {
        uint32_t home = table_slot(g, gang_job_in(g, i)->id);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            g->table[hole] = g->table[i];
            hole = i;
        }
    }
    g->table[hole] = 0;
    return at;
}

/* ---- lists in order ---- */

bool gang_job_before(const struct gang_job *a, const struct gang_job *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence;
    return a->id < b->id;
}

static uint32_t list_position(const struct gang_list *list, const struct gang_job *job)
{
    uint32_t low = 0, high = list->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (gang_job_before(list->jobs[middle], job))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void gang_list_insert(struct gang_list *list, struct gang_job *job)
{
    uint32_t at = list_position(list, job);
    memmove(list->jobs + at + 1, list->jobs + at, (list->count - at) * sizeof *list->jobs);
    list->jobs[at] = job;
    list->count++;
}

void gang_list_remove(struct gang_list *list, const struct gang_job *job)
{
    uint32_t at = list_position(list, job);
    if (at >= list->count || list->jobs[at] != job)
        return;
    list->count--;
    memmove(list->jobs + at, list->jobs + at + 1, (list->count - at) * sizeof *list->jobs);
}

/* ---- for whom they have left ---- */

void gang_job_left_for(struct gang *g, struct gang_job *job, uint64_t other)
{
    if (job->left_for == GANG_NO_JOB && other != GANG_NO_JOB)
        g->left.jobs[g->left.count++] = job; /* the event has seen to the room */
    for (uint32_t i = 0; job->left_for != GANG_NO_JOB && other == GANG_NO_JOB; i++)
        if (g->left.jobs[i] == job) {
            g->left.jobs[i] = g->left.jobs[--g->left.count];
            break;
        }
    job->left_for = other;
}

void gang_job_told_left_for(struct gang *g, struct gang_job *job, uint64_t other)
{
    struct gang_job *o = gang_job_find(g, other);
    if (other == GANG_NO_JOB || other == job->id || (o && !o->bucket))
        return;
    for (const struct gang_job *i = o; i && i->left_for != GANG_NO_JOB;
         i = gang_job_find(g, i->left_for))
        if (i->left_for == job->id)
            return; /* no circles: turns are passed on along this */
    gang_job_left_for(g, job, other);
    if (o) {
        o->asked_for = true;
        gang_turns_set(g, o->bucket);
    }
}

bool gang_job_was_made_way_for(const struct gang *g, const struct gang_job *job)
{
    for (uint32_t i = 0; i < g->left.count; i++)
        if (g->left.jobs[i]->left_for == job->id)
            return true;
    return false;
}

void gang_job_waits_no_more(struct gang *g, struct gang_job *job)
{
    gang_job_left_for(g, job, GANG_NO_JOB);
    for (uint32_t i = g->left.count; i-- > 0;)
        if (g->left.jobs[i]->left_for == job->id)
            gang_job_left_for(g, g->left.jobs[i], GANG_NO_JOB);
}

/* ---- coming and going ---- */

struct gang_job *gang_job_add(struct gang *g, uint64_t id, struct gang_shape *shape)
{
    uint32_t at;
    if (g->jobs >= GANG_JOBS_MAX || table_reserve(g) < 0)
        return NULL;
    struct gang_job *job = gang_pool_take(g, &g->job_pool, &at);
    if (!job)
        return NULL;
    job->id = id;
    job->shape = shape;
    job->planned = GANG_NOT_PLANNED;
    job->left_for = GANG_NO_JOB;
    table_put(g, id, at + 1);
    g->jobs++;
    return job;
}

uint32_t *gang_nodes_new(struct gang *g, uint32_t pods)
{
    struct gang_stay *stay = gang_alloc(g, sizeof *stay + pods * sizeof(uint32_t));
    return stay ? (uint32_t *)(stay + 1) : NULL;
}

void gang_nodes_free(struct gang *g, uint32_t *nodes)
{
    if (nodes)
        gang_release(g, (struct gang_stay *)(void *)nodes - 1);
}

static void avoids_free(struct gang *g, struct gang_job *job)
{
    if (!job->avoids)
        return;
    struct gang_job *last = g->avoiding.jobs[--g->avoiding.count];
    g->avoiding.jobs[job->avoids->at] = last;
    last->avoids->at = job->avoids->at;
    gang_release(g, job->avoids);
    job->avoids = NULL;
}

void gang_job_free(struct gang *g, struct gang_job *job)
{
    gang_shape_free(g, job->shape);
    gang_nodes_free(g, job->nodes);
    avoids_free(g, job);
}

void gang_job_drop(struct gang *g, struct gang_job *job)
{
    uint32_t at = table_take(g, job);
    g->jobs--;
    g->avoids -= gang_avoid_count(job);
    gang_job_free(g, job);
    gang_pool_give(&g->job_pool, at);
}

/* ---- nodes that a job avoids ---- */

static void avoid_drop(struct gang *g, struct gang_avoids *a, uint32_t index)
{
    a->nodes[index] = a->nodes[--a->count];
    g->avoids--;
}

/* Makes room by dropping what is over, then the entry that ends first. */
static void avoid_prune(struct gang *g, struct gang_avoids *a, int64_t now_ms)
{
    uint32_t first = 0;
    for (uint32_t i = 0; i < a->count;) {
        if (a->nodes[i].until_ms <= now_ms)
            avoid_drop(g, a, i);
        else
            i++;
    }
    for (uint32_t i = 0; i < a->count; i++)
        if (a->nodes[i].until_ms < a->nodes[first].until_ms)
            first = i;
    if (a->count == GANG_AVOID_MAX)
        avoid_drop(g, a, first);
}

/* Room for one more. */
static int avoid_reserve(struct gang *g, struct gang_job *job)
{
    struct gang_avoids *old = job->avoids;
    if (old && old->count < old->capacity)
        return 0;
    if (!old && gang_reserve(g, &g->avoiding.jobs, &g->avoiding.capacity,
                             (size_t)g->avoiding.count + 1, sizeof(struct gang_job *)) < 0)
        return -ENOMEM;
    uint32_t capacity = old ? old->capacity * 2 : 4;
    struct gang_avoids *grown =
        g->memory.realloc(g->memory.arg, old, sizeof *grown + capacity * sizeof(struct gang_avoid));
    if (!grown)
        return -ENOMEM;
    job->avoids = grown;
    grown->capacity = capacity;
    if (old)
        return 0;
    grown->count = 0;
    grown->at = g->avoiding.count;
    g->avoiding.jobs[g->avoiding.count++] = job;
    return 0;
}

int gang_job_avoid(struct gang *g, struct gang_job *job, uint32_t node, int64_t until_ms,
                   int64_t now_ms)
{
    if (avoid_reserve(g, job) < 0)
        return -ENOMEM;
    struct gang_avoids *a = job->avoids;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->nodes[i].node == node) {
            a->nodes[i].until_ms = until_ms;
            return 0;
        }
    avoid_prune(g, a, now_ms);
    a->nodes[a->count++] = (struct gang_avoid){.node = node, .until_ms = until_ms};
    g->avoids++;
    return 0;
}

int64_t gang_job_avoids_ms(const struct gang_job *job, uint32_t node, int64_t now_ms)
{
    for (uint32_t i = 0; i < gang_avoid_count(job); i++)
        if (job->avoids->nodes[i].node == node && job->avoids->nodes[i].until_ms > now_ms)
            return job->avoids->nodes[i].until_ms - now_ms;
    return 0;
}

bool gang_job_avoids(const struct gang_job *job, uint32_t node, int64_t now_ms)
{
    return gang_job_avoids_ms(job, node, now_ms) > 0;
}

void gang_avoid_forget_node(struct gang *g, uint32_t node)
{
    for (uint32_t i = 0; g->avoids && i < g->avoiding.count; i++) {
        struct gang_avoids *a = g->avoiding.jobs[i]->avoids;
        for (uint32_t k = 0; k < a->count;) {
            if (a->nodes[k].node == node)
                avoid_drop(g, a, k);
            else
                k++;
        }
    }
}

int64_t gang_next_wake_ms(const struct gang *g, int64_t now_ms)
{
    if (g->plan.made && g->plan.now_ms <= now_ms && now_ms < g->plan.next_wake_ms)
        return g->plan.next_wake_ms;
    int64_t wake = g->config.reservations ? gang_timed_wake_ms(g, now_ms) : INT64_MAX;
    int64_t preempts = gang_preempt_wake_ms(g, now_ms);
    wake = preempts < wake ? preempts : wake;
    for (uint32_t i = 0; g->avoids && i < g->avoiding.count; i++) {
        const struct gang_avoids *a = g->avoiding.jobs[i]->avoids;
        for (uint32_t k = 0; k < a->count; k++)
            if (a->nodes[k].until_ms > now_ms && a->nodes[k].until_ms < wake)
                wake = a->nodes[k].until_ms;
    }
    int64_t preferred = gang_bucket_preferred_until(g, now_ms);
    return preferred < wake ? preferred : wake;
}
