/* A gang's beginning and end, and the events that change it. Each event first checks, then gets all
 * memory it will need, then changes the state: so a failure of either kind leaves everything as it
 * was. */
#include "gang/choice.h"
#include "gang/internal.h"
#include "gang/reserve.h"
#include "gang/turns.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void *host_realloc(void *arg, void *old, size_t size)
{
    (void)arg;
    return realloc(old, size);
}

static void host_free(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

struct gang *gang_new(const struct gang_config *config)
{
    const struct gang_memory memory = {.realloc = host_realloc, .free = host_free};
    return gang_new_with_memory(&memory, config);
}

static char *copy_name(struct gang *g, const char *name)
{
    char *copy = gang_alloc(g, strlen(name) + 1);
    if (copy)
        memcpy(copy, name, strlen(name) + 1);
    return copy;
}

static int copy_names(struct gang *g, const struct gang_config *config)
{
    for (uint32_t i = 0; i < config->devices; i++) {
        g->device_names[i] = copy_name(g, config->device_names[i]);
        if (!g->device_names[i])
            return -ENOMEM;
    }
    for (uint32_t l = 1; l <= config->levels; l++) {
        g->fits_topology.level[l].name = copy_name(g, config->level_names[l - 1]);
        if (!g->fits_topology.level[l].name)
            return -ENOMEM;
    }
    return 0;
}

struct gang *gang_new_with_memory(const struct gang_memory *memory,
                                  const struct gang_config *config)
{
    uint32_t devices = config->devices;
    if (devices > GANG_RESOURCES_MAX - GANG_DEVICE_0 || config->levels > GANG_LEVELS_MAX)
        return NULL;
    struct gang *g = memory->realloc(memory->arg, NULL, sizeof *g);
    if (!g)
        return NULL;
    memset(g, 0, sizeof *g);
    g->memory = *memory;
    g->resources = GANG_DEVICE_0 + devices;
    g->config = *config;
    g->lowest_priority = INT32_MAX;
    g->config.device_names = NULL; /* copied below */
    g->nodes_version = 1;
    g->gains = 1;
    g->job_pool.size = sizeof(struct gang_job);
    g->bucket_pool.size = sizeof(struct gang_bucket);
    g->preferred_until_ms = INT64_MAX;
    g->fits_topology.levels = config->levels;
    if (gang_topology_reserve(g, 0, NULL) < 0 || gang_columns_reserve(g, 0) < 0 ||
        copy_names(g, config) < 0) {
        gang_free(g);
        return NULL;
    }
    g->fits_topology.stale = true;
    g->fits.log[0].turn = g->fits.log[1].turn = 1;
    return g;
}

void gang_free(struct gang *g)
{
    if (!g)
        return;
    struct gang_bucket_walk walk = {0};
    for (struct gang_bucket *b; (b = gang_bucket_walk_next(g, &walk)) != NULL;)
        gang_bucket_free(g, b);
    for (uint32_t i = 0; i < g->table_size; i++)
        if (g->table[i])
            gang_job_free(g, gang_job_in(g, i));
    gang_pool_free(g, &g->bucket_pool);
    gang_pool_free(g, &g->job_pool);
    for (uint32_t i = 0; i < g->queues_count; i++)
        gang_release(g, g->queues[i].heap);
    for (uint32_t i = 0; i < GANG_RESERVATION_SLOTS; i++) {
        gang_release(g, g->reservations[i].claims);
        gang_release(g, g->reservations[i].short_of);
    }
    gang_ends_free(g);
    gang_choice_free(g);
    gang_turns_free(g);
    void *arrays[] = {
        g->classes,      g->open,         g->hidden,        g->marks,         g->queues,
        g->shapes,       g->bucket_table, g->avoiding.jobs, g->table,         g->wounded.jobs,
        g->left.jobs,    g->trials,       g->plan.entries,  g->plan.nodes,    g->plan.blockers,
        g->plan.touched, g->odd_ends,     g->given,         g->reserve_nodes, g->work,
        g->work_next,    g->victims,      g->plan.waits,    g->plan.holds,    g->plan.leavers,
        g->ending,       g->endings,      g->askable,       g->counted_free};
    for (size_t i = 0; i < GANG_BOARDS; i++)
        gang_release(g, g->boards[i]);
    gang_fits_free(g);
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        gang_release(g, arrays[i]);
    for (uint32_t i = 0; i < GANG_RESOURCES_MAX - GANG_DEVICE_0; i++)
        gang_release(g, g->device_names[i]);
    g->memory.free(g->memory.arg, g);
}

/* ---- nodes and queues ---- */

static int check_node_number(uint32_t node, struct mlt_error *err)
{
    if (node >= GANG_NODES_MAX)
        return mlt_fail(err, EINVAL, "node %u: numbers go up to %d", node, GANG_NODES_MAX - 1);
    return 0;
}

/* What all schedulable nodes have, with this one (sign 1) or without it. */
static void total_node(struct gang *g, uint32_t node, int sign)
{
    if (g->open[node] == GANG_CLASS_NONE)
        return;
    for (uint32_t r = 0; r < g->resources; r++)
        g->totals[r] += sign * gang_at(g, GANG_EMPTY, node)[r];
}

static int on_node_set(struct gang *g, const struct gang_event *e, int64_t now_ms,
                       struct mlt_error *err)
{
    int rc = check_node_number(e->node, err);
    if (rc < 0)
        return rc;
    if (e->node_class >= GANG_CLASSES_MAX)
        return mlt_fail(err, EINVAL, "node %u: class %u: classes go up to %d", e->node,
                        e->node_class, GANG_CLASSES_MAX - 1);
    for (uint32_t r = 0; r < g->resources; r++) {
        if (e->capacity[r] < 0 || e->capacity[r] > GANG_AMOUNT_MAX || e->used_by_others[r] < 0 ||
            e->used_by_others[r] > GANG_AMOUNT_MAX)
            return mlt_fail(err, EINVAL,
                            "node %u: resource %u: %" PRId64 " with %" PRId64
                            " used by others: expected 0 to %" PRId64,
                            e->node, r, e->capacity[r], e->used_by_others[r], GANG_AMOUNT_MAX);
        if (e->ending[r] < 0 || e->ending[r] > e->used_by_others[r])
            return mlt_fail(err, EINVAL,
                            "node %u: resource %u: %" PRId64 " of %" PRId64
                            " used by others end: expected 0 to all of that",
                            e->node, r, e->ending[r], e->used_by_others[r]);
    }
    rc = gang_topology_check(g, e->node, e->domains, err);
    if (rc < 0)
        return rc;
    if (gang_node_reserve(g, e->node, e->domains) < 0)
        return gang_no_memory(err);
    total_node(g, e->node, -1);
    gang_node_set(g, e);
    total_node(g, e->node, 1);
    g->gains++;
    g->impatient_ms = 0; /* who is wide may be another */
    gang_turns_nodes_changed(g);
    gang_reserve_node_changed(g, e->node);
    gang_queue_settle_all(g, now_ms);
    return 0;
}

static int on_node_removed(struct gang *g, const struct gang_event *e, int64_t now_ms,
                           struct mlt_error *err)
{
    if (e->node >= g->nodes || g->classes[e->node] == GANG_CLASS_NONE)
        return mlt_fail(err, EINVAL, "node %u is not known", e->node);
    total_node(g, e->node, -1);
    gang_node_remove(g, e->node);
    g->gains++;
    g->impatient_ms = 0; /* who is wide may be another */
    gang_turns_nodes_changed(g);
    gang_reserve_node_changed(g, e->node);
    gang_queue_settle_all(g, now_ms);
    return 0;
}

static int on_queue_set(struct gang *g, const struct gang_event *e, int64_t now_ms,
                        struct mlt_error *err)
{
    if (e->queue >= GANG_QUEUES_MAX)
        return mlt_fail(err, EINVAL, "queue %u: numbers go up to %d", e->queue,
                        GANG_QUEUES_MAX - 1);
    g->gains++;
    return gang_queue_set(g, e->queue, e->queue_config, now_ms, err);
}

static int on_queue_removed(struct gang *g, const struct gang_event *e, int64_t now_ms,
                            struct mlt_error *err)
{
    (void)now_ms;
    return gang_queue_remove(g, e->queue, err);
}

static int on_queue_usage(struct gang *g, const struct gang_event *e, int64_t now_ms,
                          struct mlt_error *err)
{
    if (!gang_queue_known(g, e->queue))
        return mlt_fail(err, EINVAL, "queue %u is not known", e->queue);
    if (e->usage < 0)
        return mlt_fail(err, EINVAL, "queue %u: a use of %" PRId64 " is below 0", e->queue,
                        e->usage);
    gang_usage_set(gang_queue_of(g, e->queue), e->usage, now_ms);
    gang_turns_queue_used(g, e->queue);
    gang_queue_changed(g, e->queue + 1);
    return 0;
}

/* ---- jobs ---- */

static void describe(struct gang_job *job, struct gang_shape *shape,
                     const struct gang_job_request *request)
{
    job->shape = shape;
    job->queue = request->queue;
    job->priority = request->priority;
    job->sequence = request->sequence;
    job->time_limit_ms = request->time_limit_ms;
    job->expected_ms = request->expected_ms;
    job->grace_ms = request->grace_ms;
    job->attained_ms = request->attained_ms;
    job->since_ms = request->since_ms;
    job->required_level = (uint8_t)request->required_level; /* GANG_LEVELS_MAX is small */
    job->preferred_level = (uint8_t)request->preferred_level;
    if (__builtin_add_overflow(request->since_ms, request->preferred_wait_ms,
                               &job->preferred_until_ms))
        job->preferred_until_ms = request->preferred_wait_ms > 0 ? INT64_MAX : INT64_MIN;
    job->never_preempted = request->never_preempted;
    job->was_preempted = request->was_preempted;
    job->saves = request->saves;
    job->never_preempts = request->never_preempts;
}

/* Takes `shape`; the one it had is given back. */
static void adopt_request(struct gang *g, struct gang_job *job, struct gang_shape *shape,
                          const struct gang_job_request *request)
{
    if (job->shape)
        gang_queue_of(g, job->queue)->jobs--;
    gang_shape_free(g, job->shape);
    describe(job, shape, request);
    gang_queue_of(g, job->queue)->jobs++;
}

/* NULL with the words set when there is none. */
static struct gang_job *find_job(const struct gang *g, uint64_t id, struct mlt_error *err)
{
    struct gang_job *job = gang_job_find(g, id);
    if (!job)
        (void)mlt_fail(err, EINVAL, "job %" PRIu64 " is not known", id);
    return job;
}

static void forget_reservation(struct gang *g, const struct gang_job *job)
{
    struct gang_reservation *r = gang_reservation_of(g, job);
    if (!r)
        return;
    gang_reservation_drop(g, r);
    g->gains++;
}

static int on_job_submitted(struct gang *g, const struct gang_event *e, int64_t now_ms,
                            struct mlt_error *err)
{
    (void)now_ms;
    struct gang_job *job = gang_job_find(g, e->job);
    if (job && job->nodes)
        return mlt_fail(err, EINVAL, "job %" PRIu64 " holds a place: release or remove it first",
                        e->job);
    int rc = gang_job_request_check(g, e->request, err);
    if (rc < 0)
        return rc;
    if (e->request->made_way && gang_reserve(g, &g->left.jobs, &g->left.capacity,
                                             (size_t)g->left.count + 1, sizeof job) < 0)
        return gang_no_memory(err);
    struct gang_shape *shape = gang_shape_copy(g, e->request);
    if (!shape)
        return gang_no_memory(err);
    /* What it will be, to find the bucket before anything changes. */
    struct gang_job as = job ? *job : (struct gang_job){.id = e->job};
    describe(&as, shape, e->request);
    struct gang_bucket *bucket = gang_bucket_for(g, &as, gang_avoid_count(&as) > 0);
    if (bucket && !job) {
        job = gang_job_add(g, e->job, NULL);
        if (!job)
            gang_bucket_release(g, bucket);
    }
    if (!bucket || !job) {
        gang_shape_free(g, shape);
        return gang_no_memory(err);
    }
    struct gang_bucket *old = gang_bucket_remove(g, job);
    if (old != bucket)
        gang_bucket_release(g, old);
    forget_reservation(g, job);
    adopt_request(g, job, shape, e->request);
    gang_bucket_insert(g, bucket, job);
    if (e->request->made_way && g->config.may_preempt)
        gang_job_told_left_for(g, job, e->request->made_way_for);
    job->asked_for = job->asked_for || gang_job_was_made_way_for(g, job);
    gang_turns_set(g, job->bucket);
    return 0;
}

static void charge(struct gang *g, const struct gang_job *job, uint32_t pod)
{
    if (job->nodes[pod] != GANG_NO_NODE)
        gang_room_take(g, job->nodes[pod], job->shape->roles[gang_job_role(job, pod)].request);
}

static void discharge(struct gang *g, const struct gang_job *job, uint32_t pod)
{
    if (job->nodes[pod] != GANG_NO_NODE)
        gang_room_give(g, job->nodes[pod], job->shape->roles[gang_job_role(job, pod)].request);
}

static void leave_place(struct gang *g, struct gang_job *job, int64_t now_ms)
{
    if (!job->nodes)
        return;
    g->gains++;
    gang_ends_remove(g, job);
    g->odd_jobs -= job->revocable || job->stopping;
    g->open_ended -= job->time_limit_ms <= 0 || job->was_preempted;
    gang_room_give_gang(g, job->shape, job->nodes);
    gang_reserve_job_left(g, job, now_ms);
    gang_queue_charge(g, job->queue, job->shape, -1);
    gang_queue_settle(g, job->queue, now_ms);
    gang_list_remove(&g->wounded, job);
    gang_nodes_free(g, job->nodes);
    job->nodes = NULL;
    job->revocable = job->saved = job->stopping = false;
    g->placed--;
}

/* It has its nodes, and has begun. */
static void take_place(struct gang *g, struct gang_job *job, int64_t now_ms)
{
    struct gang_stay *stay = gang_stay(job);
    gang_job_waits_no_more(g, job);
    job->asked_for = false;
    struct gang_reservation *own = gang_reservation_of(g, job);
    if (own)
        gang_reservation_drop(g, own);
    stay->end_ms = job->time_limit_ms > 0 && job->time_limit_ms < INT64_MAX - stay->started_ms
                       ? stay->started_ms + job->time_limit_ms
                       : INT64_MAX;
    gang_ends_insert(g, job);
    g->odd_jobs += job->revocable;
    g->open_ended += job->time_limit_ms <= 0 || job->was_preempted;
    g->lowest_priority = job->priority < g->lowest_priority ? job->priority : g->lowest_priority;
    gang_room_take_gang(g, job->shape, job->nodes);
    gang_reserve_job_came(g, job, now_ms);
    gang_queue_charge(g, job->queue, job->shape, 1);
    gang_queue_settle(g, job->queue, now_ms);
    for (uint32_t pod = 0; pod < job->shape->pods; pod++)
        stay->missing += job->nodes[pod] == GANG_NO_NODE;
    if (stay->missing)
        gang_list_insert(&g->wounded, job);
    g->placed++;
}

static int check_placed(const struct gang *g, const struct gang_event *e,
                        const struct gang_job *job, struct mlt_error *err)
{
    if (!job || e->request) {
        int rc = gang_job_request_check(g, e->request, err);
        if (rc < 0)
            return rc;
    }
    uint64_t pods = 0;
    for (uint32_t i = 0; e->request && i < e->request->roles_count; i++)
        pods += e->request->roles[i].pods;
    if (!e->request)
        pods = job->shape->pods;
    if (!e->nodes || e->nodes_count != pods)
        return mlt_fail(err, EINVAL, "job %" PRIu64 ": %u nodes for %" PRIu64 " pods", e->job,
                        e->nodes ? e->nodes_count : 0, pods);
    for (uint32_t i = 0; i < e->nodes_count; i++)
        if (e->nodes[i] != GANG_NO_NODE && check_node_number(e->nodes[i], err) < 0)
            return -EINVAL;
    return 0;
}

static int reserve_nodes_of(struct gang *g, const struct gang_event *e)
{
    uint32_t highest = 0;
    for (uint32_t i = 0; i < e->nodes_count; i++)
        if (e->nodes[i] != GANG_NO_NODE && e->nodes[i] > highest)
            highest = e->nodes[i];
    return gang_node_reserve(g, highest, NULL);
}

static int on_job_placed(struct gang *g, const struct gang_event *e, int64_t now_ms,
                         struct mlt_error *err)
{
    struct gang_job *job = gang_job_find(g, e->job);
    int rc = check_placed(g, e, job, err);
    if (rc < 0)
        return rc;
    struct gang_shape *shape = NULL;
    uint32_t *nodes = gang_nodes_new(g, e->nodes_count);
    if (!nodes || reserve_nodes_of(g, e) < 0 || gang_ends_reserve(g) < 0 ||
        gang_reserve(g, &g->wounded.jobs, &g->wounded.capacity, (size_t)g->placed + 1,
                     sizeof(struct gang_job *)) < 0)
        goto no_memory;
    memcpy(nodes, e->nodes, e->nodes_count * sizeof *nodes);
    if (e->request) {
        shape = gang_shape_copy(g, e->request);
        if (!shape)
            goto no_memory;
    }
    if (!job) {
        job = gang_job_add(g, e->job, NULL);
        if (!job)
            goto no_memory;
    }
    leave_place(g, job, now_ms);
    gang_bucket_release(g, gang_bucket_remove(g, job));
    if (e->request)
        adopt_request(g, job, shape, e->request);
    job->nodes = nodes;
    gang_stay(job)->started_ms = e->started_ms;
    job->revocable = e->revocable;
    gang_plan_committed(g, job, nodes);
    take_place(g, job, now_ms);
    return 0;
no_memory:
    gang_nodes_free(g, nodes);
    gang_shape_free(g, shape);
    return gang_no_memory(err);
}

/* The job of a member that may move; NULL with the words set when there is none. */
static struct gang_job *find_member(const struct gang *g, const struct gang_event *e,
                                    struct mlt_error *err)
{
    struct gang_job *job = find_job(g, e->job, err);
    if (!job)
        return NULL;
    if (job->nodes && e->pod < job->shape->pods)
        return job;
    if (!job->nodes)
        (void)mlt_fail(err, EINVAL, "job %" PRIu64 " holds no place", e->job);
    else
        (void)mlt_fail(err, EINVAL, "job %" PRIu64 ": pod %u of %u", e->job, e->pod,
                       job->shape->pods);
    return NULL;
}

static void move_member(struct gang *g, struct gang_job *job, uint32_t pod, uint32_t node)
{
    struct gang_stay *stay = gang_stay(job);
    uint32_t before = stay->missing;
    g->gains++;
    discharge(g, job, pod);
    stay->missing -= job->nodes[pod] == GANG_NO_NODE;
    stay->missing += node == GANG_NO_NODE;
    job->nodes[pod] = node;
    charge(g, job, pod);
    gang_reserve_pod_moved(g, job);
    if (!before && stay->missing)
        gang_list_insert(&g->wounded, job);
    if (before && !stay->missing)
        gang_list_remove(&g->wounded, job);
}

static int on_pod_moved(struct gang *g, const struct gang_event *e, int64_t now_ms,
                        struct mlt_error *err)
{
    (void)now_ms;
    struct gang_job *job = find_member(g, e, err);
    if (!job)
        return -EINVAL;
    int rc = check_node_number(e->node, err);
    if (rc < 0)
        return rc;
    if (gang_node_reserve(g, e->node, NULL) < 0)
        return gang_no_memory(err);
    move_member(g, job, e->pod, e->node);
    return 0;
}

static int on_pod_gone(struct gang *g, const struct gang_event *e, int64_t now_ms,
                       struct mlt_error *err)
{
    (void)now_ms;
    struct gang_job *job = find_member(g, e, err);
    if (!job)
        return -EINVAL;
    move_member(g, job, e->pod, GANG_NO_NODE);
    return 0;
}

/* As find_job(), and it holds a place. */
static struct gang_job *find_placed(const struct gang *g, uint64_t id, struct mlt_error *err)
{
    struct gang_job *job = find_job(g, id, err);
    if (job && !job->nodes) {
        (void)mlt_fail(err, EINVAL, "job %" PRIu64 " holds no place", id);
        return NULL;
    }
    return job;
}

static int on_job_released(struct gang *g, const struct gang_event *e, int64_t now_ms,
                           struct mlt_error *err)
{
    struct gang_job *job = find_placed(g, e->job, err);
    if (!job)
        return -EINVAL;
    struct gang_bucket *bucket = gang_bucket_for(g, job, gang_avoid_count(job) > 0);
    if (!bucket)
        return gang_no_memory(err);
    if (gang_reserve(g, &g->left.jobs, &g->left.capacity, (size_t)g->left.count + 1,
                     sizeof(struct gang_job *)) < 0) {
        gang_bucket_release(g, bucket);
        return gang_no_memory(err);
    }
    bool stopped = job->stopping && g->config.may_preempt;
    const struct gang_job *other = stopped ? gang_job_find(g, gang_stay(job)->for_job) : NULL;
    uint64_t left_for = other && other->bucket ? other->id : GANG_NO_JOB;
    leave_place(g, job, now_ms);
    gang_bucket_insert(g, bucket, job);
    gang_job_left_for(g, job, left_for);
    return 0;
}

static int on_job_removed(struct gang *g, const struct gang_event *e, int64_t now_ms,
                          struct mlt_error *err)
{
    struct gang_job *job = find_job(g, e->job, err);
    if (!job)
        return -EINVAL;
    leave_place(g, job, now_ms);
    gang_job_waits_no_more(g, job);
    forget_reservation(g, job);
    gang_bucket_release(g, gang_bucket_remove(g, job));
    gang_queue_of(g, job->queue)->jobs--;
    gang_job_drop(g, job);
    return 0;
}

static int on_job_saved(struct gang *g, const struct gang_event *e, int64_t now_ms,
                        struct mlt_error *err)
{
    struct gang_job *job = find_placed(g, e->job, err);
    if (!job)
        return -EINVAL;
    g->gains += !job->saved && job->was_preempted; /* it may be asked to leave again */
    job->saved = true;
    gang_stay(job)->saved_ms = now_ms;
    return 0;
}

/* Somebody is asked to leave for this job (NULL: one that is not known), if it still waits. */
static int ask_for(struct gang *g, struct gang_job *job)
{
    if (!job || !job->bucket || job->asked_for)
        return 0;
    if (g->config.patience_ms <= 0) {
        job->asked_for = true;
        return 0;
    }
    struct gang_job as = *job;
    as.asked_for = true;
    struct gang_bucket *bucket = gang_bucket_for(g, &as, gang_avoid_count(job) > 0);
    if (!bucket)
        return -ENOMEM;
    job->asked_for = true;
    if (bucket != job->bucket) {
        struct gang_bucket *old = gang_bucket_remove(g, job);
        gang_bucket_insert(g, bucket, job);
        gang_bucket_release(g, old);
    }
    g->impatient_ms = 0; /* it has its turn now */
    return 0;
}

static int on_job_stopping(struct gang *g, const struct gang_event *e, int64_t now_ms,
                           struct mlt_error *err)
{
    struct gang_job *job = find_placed(g, e->job, err);
    if (!job)
        return -EINVAL;
    if (ask_for(g, gang_job_find(g, e->for_job)) < 0)
        return gang_no_memory(err);
    if (!job->stopping)
        gang_stay(job)->stopping_ms = now_ms;
    g->odd_jobs += !job->stopping && !job->revocable;
    for (uint32_t i = 0; i < g->reservations_used; i++)
        g->reservations[i].freed += GANG_PODS_PER_JOB_MAX; /* worth a look: it leaves earlier */
    g->gains++;
    job->stopping = true;
    gang_ends_sort_out(g, job);
    gang_stay(job)->for_job = e->for_job;
    return 0;
}

/* A job that avoids nodes is equal to no other: it waits in a bucket of its own. */
static int on_job_avoid(struct gang *g, const struct gang_event *e, int64_t now_ms,
                        struct mlt_error *err)
{
    struct gang_job *job = find_job(g, e->job, err);
    if (!job)
        return -EINVAL;
    int rc = check_node_number(e->node, err);
    if (rc < 0)
        return rc;
    struct gang_bucket *bucket = job->bucket ? gang_bucket_for(g, job, true) : NULL;
    if (job->bucket && !bucket)
        return gang_no_memory(err);
    if (gang_job_avoid(g, job, e->node, e->until_ms, now_ms) < 0) {
        gang_bucket_release(g, bucket);
        return gang_no_memory(err);
    }
    g->gains++; /* it may be for less long than was said before */
    gang_reserve_holder_changed(g, job);
    if (bucket && bucket != job->bucket) {
        struct gang_bucket *old = gang_bucket_remove(g, job);
        gang_bucket_insert(g, bucket, job);
        gang_bucket_release(g, old);
    }
    return 0;
}

typedef int event_f(struct gang *g, const struct gang_event *e, int64_t now_ms,
                    struct mlt_error *err);

static event_f *const handlers[] = {
    [GANG_NODE_SET] = on_node_set,         [GANG_NODE_REMOVED] = on_node_removed,
    [GANG_QUEUE_SET] = on_queue_set,       [GANG_QUEUE_REMOVED] = on_queue_removed,
    [GANG_QUEUE_USAGE] = on_queue_usage,   [GANG_JOB_SUBMITTED] = on_job_submitted,
    [GANG_JOB_PLACED] = on_job_placed,     [GANG_JOB_SAVED] = on_job_saved,
    [GANG_JOB_STOPPING] = on_job_stopping, [GANG_POD_MOVED] = on_pod_moved,
    [GANG_POD_GONE] = on_pod_gone,         [GANG_JOB_RELEASED] = on_job_released,
    [GANG_JOB_REMOVED] = on_job_removed,   [GANG_JOB_AVOID] = on_job_avoid,
};

#define XX(name) +1
_Static_assert(sizeof handlers / sizeof handlers[0] == 0 GANG_EVENT_MAP(XX),
               "each event has a handler");
#undef XX

int gang_event(struct gang *g, const struct gang_event *event, int64_t now_ms,
               struct mlt_error *err)
{
    if ((unsigned)event->kind >= sizeof handlers / sizeof handlers[0])
        return mlt_fail(err, EINVAL, "event kind %d is not known", (int)event->kind);
    int rc = handlers[event->kind](g, event, now_ms, err);
    if (rc == 0) {
        gang_plan_forget(g);
        /* What a decision has placed is read by the next ones that need to know; nobody waits for
         * the end of the other events. */
        if (event->kind != GANG_JOB_PLACED)
            gang_fits_settle(g);
    }
    return rc;
}
