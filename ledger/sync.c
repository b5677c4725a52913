/* Makes the gang what the records say: by single events where numbers and classes stay as they are,
 * else anew. */
#include "ledger/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

int ledger_queue_number(struct ledger *l, const char *name, uint32_t *ret, struct mlt_error *err)
{
    uintptr_t found = (uintptr_t)ledger_map_find(&l->queues, name);
    if (!found && l->queues_count == GANG_QUEUES_MAX) {
        *ret = 0; /* so many queues share one count of positions; nothing else depends on it */
        return 0;
    }
    if (!found) {
        const struct gang_queue_config config = ledger_queue_of_name(l);
        const struct gang_event event = {
            .kind = GANG_QUEUE_SET, .queue = l->queues_count, .queue_config = &config};
        int rc = gang_event(l->gang, &event, l->now_ms, err);
        if (rc < 0)
            return rc;
        found = ++l->queues_count;
        ledger_map_put(&l->queues, name, (void *)found);
    }
    *ret = (uint32_t)(found - 1);
    return 0;
}

/* ---- numbers ---- */

/* First fit goes by number, so numbers follow names: a node that does not come last cannot just be
 * appended. */
static bool number_node(struct ledger *l, struct ledger_node *node)
{
    if (node->number != LEDGER_NO_NUMBER)
        return true;
    struct ledger_node *last = l->numbered_count ? l->numbered[l->numbered_count - 1] : NULL;
    if (l->numbered_count == GANG_NODES_MAX || (last && ledger_node_order(&last, &node) > 0))
        return false;
    MLT_GROW(l->numbered, l->numbered_count, l->numbered_capacity);
    node->number = l->numbered_count;
    l->numbered[l->numbered_count++] = node;
    return true;
}

static bool number_nodes_of(struct ledger *l, const struct ledger_job *job)
{
    bool numbered = true;
    for (uint32_t i = 0; job->nodes && i < job->request.pods; i++)
        numbered = numbered && (!job->nodes[i] || number_node(l, job->nodes[i]));
    for (uint32_t i = 0; i < job->avoided_count; i++)
        numbered = numbered && number_node(l, job->avoided[i].node);
    return numbered;
}

/* ---- events ---- */

static int tell_node(struct ledger *l, struct ledger_node *node, struct mlt_error *err)
{
    uint32_t domains[GANG_LEVELS_MAX];
    int rc = 0;
    if (node->in_gang && node->went) {
        const struct gang_event removed = {.kind = GANG_NODE_REMOVED, .node = node->number};
        rc = gang_event(l->gang, &removed, l->now_ms, err);
        node->in_gang = rc < 0;
    }
    if (rc == 0 && node->known) {
        struct gang_event set = {.kind = GANG_NODE_SET, .node = node->number};
        set.domains = ledger_topology_of(l, node, domains) ? domains : NULL;
        set.node_class = node->class_;
        set.schedulable = node->schedulable && !node->lost;
        ledger_node_capacity(l, node, set.capacity);
        ledger_node_others(l, node, set.used_by_others);
        ledger_node_ending(l, node, set.ending);
        rc = gang_event(l->gang, &set, l->now_ms, err);
        node->in_gang = rc == 0;
    }
    node->went = false;
    return rc;
}

static int tell_place(struct ledger *l, const struct ledger_job *job,
                      const struct gang_job_request *request, struct mlt_error *err)
{
    cleanup_free uint32_t *numbers = mlt_calloc(job->request.pods, sizeof *numbers);
    for (uint32_t i = 0; i < job->request.pods; i++)
        numbers[i] = job->nodes[i] ? job->nodes[i]->number : GANG_NO_NODE;
    const struct gang_event event = {
        .kind = GANG_JOB_PLACED,
        .job = job->id,
        .request = request,
        .nodes = numbers,
        .nodes_count = job->request.pods,
        .started_ms = job->started_ms,
        .revocable = job->revocable,
    };
    return gang_event(l->gang, &event, l->now_ms, err);
}

static int tell_state(struct ledger *l, struct ledger_job *job, struct mlt_error *err)
{
    struct gang_job_request request;
    uint32_t queue;
    int rc = ledger_queue_number(l, job->request.queue, &queue, err);
    if (rc < 0)
        return rc;
    ledger_request_fill(l, &job->request, queue, &request);
    ledger_job_fill_past(job, &request);
    request.made_way = ledger_job_gives_turn(l, job);
    request.made_way_for = request.made_way ? ledger_job_id(l, job->made_way_for) : GANG_NO_JOB;
    if (job->state == LEDGER_HOLDS) {
        job->saved_dirty = job->leaves_dirty = true; /* a place is told without them */
        return tell_place(l, job, &request, err);
    }
    if (job->in_gang == LEDGER_HOLDS) {
        const struct gang_event released = {.kind = GANG_JOB_RELEASED, .job = job->id};
        rc = gang_event(l->gang, &released, l->now_ms, err);
        if (rc < 0)
            return rc;
        job->in_gang = LEDGER_WAITS;
    }
    const struct gang_event submitted = {
        .kind = GANG_JOB_SUBMITTED, .job = job->id, .request = &request};
    return gang_event(l->gang, &submitted, l->now_ms, err);
}

static int tell_gone(struct ledger *l, struct ledger_job *job, struct mlt_error *err)
{
    if (job->in_gang != LEDGER_ABSENT && job->went) {
        const struct gang_event removed = {.kind = GANG_JOB_REMOVED, .job = job->id};
        int rc = gang_event(l->gang, &removed, l->now_ms, err);
        if (rc < 0)
            return rc;
        job->in_gang = LEDGER_ABSENT;
        job->avoided_sent = 0;
    }
    job->went = false;
    return 0;
}

static int tell_avoided(struct ledger *l, struct ledger_job *job, int64_t now_ms,
                        struct mlt_error *err)
{
    for (; job->avoided_sent < job->avoided_count; job->avoided_sent++) {
        const struct ledger_avoided *a = &job->avoided[job->avoided_sent];
        const struct gang_event avoid = {.kind = GANG_JOB_AVOID,
                                         .job = job->id,
                                         .node = a->node->number,
                                         .until_ms = a->until_ms};
        int rc = gang_event(l->gang, &avoid, now_ms, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int tell_job(struct ledger *l, struct ledger_job *job, int64_t now_ms, struct mlt_error *err)
{
    char text[GANG_REASON_MAX];
    bool refused = job->state == LEDGER_WAITS && ledger_queue_refuses(l, job, text);
    job->went = job->went || refused;
    int rc = tell_gone(l, job, err);
    if (rc < 0 || refused || job->state == LEDGER_ABSENT)
        return rc;
    if (job->place_dirty || job->in_gang != job->state)
        rc = tell_state(l, job, err);
    if (rc < 0)
        return rc;
    job->place_dirty = false;
    job->in_gang = job->state;
    if (job->state == LEDGER_HOLDS)
        rc = ledger_job_tell_place(l, job, err);
    if (rc < 0)
        return rc;
    return tell_avoided(l, job, now_ms, err);
}

/* ---- step by step ---- */

static int catch_up(struct ledger *l, int64_t now_ms, struct mlt_error *err)
{
    for (uint32_t i = 0; i < l->dirty_nodes_count && !l->stale; i++) {
        struct ledger_node *node = l->dirty_nodes[i];
        if (node->known) {
            uint32_t domains[GANG_LEVELS_MAX];
            node->class_ = ledger_class_find(l, node);
            if (node->class_ == LEDGER_NO_NUMBER || !number_node(l, node) ||
                !ledger_topology_of(l, node, domains)) {
                l->stale = true;
                return 0;
            }
        }
        int rc = tell_node(l, node, err);
        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < l->dirty_jobs_count && !l->stale; i++) {
        if (!number_nodes_of(l, l->dirty_jobs[i])) {
            l->stale = true;
            return 0;
        }
        int rc = tell_job(l, l->dirty_jobs[i], now_ms, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- anew ---- */

static bool is_idle(const struct ledger_node *node)
{
    return !node->known && !node->holders && !node->pods_count;
}

/* Records of nodes that nothing speaks of any more go; the others get numbers in the order of their
 * names. */
static int renumber(struct ledger *l, struct mlt_error *err)
{
    uint32_t count = 0;
    struct ledger_node *node, **all = mlt_calloc(l->nodes.count + 1, sizeof *all);
    LEDGER_MAP_EACH(&l->nodes, node)
    all[count++] = node;
    l->numbered_count = 0;
    qsort(all, count, sizeof(struct ledger_node *), ledger_node_order);
    bool numbered = true;
    for (uint32_t i = 0; i < count; i++) {
        all[i]->number = LEDGER_NO_NUMBER;
        all[i]->in_gang = false;
        if (is_idle(all[i])) {
            ledger_map_drop(&l->nodes, all[i]->name);
            ledger_node_release(all[i]);
        } else if (all[i]->known || all[i]->holders) {
            numbered = numbered && number_node(l, all[i]);
        }
    }
    free(all);
    return numbered ? 0 : mlt_fail(err, E2BIG, "more than %d nodes", GANG_NODES_MAX);
}

static int classify(struct ledger *l, struct mlt_error *err)
{
    ledger_classes_clear(l);
    ledger_keys_collect(l);
    for (uint32_t i = 0; i < l->numbered_count; i++) {
        struct ledger_node *node = l->numbered[i];
        node->class_ = node->known ? ledger_class_make(l, node) : LEDGER_NO_NUMBER;
        if (node->known && node->class_ == LEDGER_NO_NUMBER)
            return mlt_fail(err, E2BIG, "the nodes are of more than %d kinds", GANG_CLASSES_MAX);
    }
    struct ledger_constraints *c;
    LEDGER_MAP_EACH(&l->constraints, c)
    ledger_constraints_classify(l, c);
    return 0;
}

static void add_devices(struct ledger *l, const struct ledger_request *r)
{
    for (uint32_t i = 0; i < r->roles_count; i++)
        for (uint32_t k = 0; k < r->roles[i].use.others_count; k++) {
            const char *name = r->roles[i].use.others[k].name;
            uint32_t at = 0;
            while (at < l->devices_count && l->devices[at] != name)
                at++;
            if (at == l->devices_count && at < LEDGER_DEVICES_MAX)
                l->devices[l->devices_count++] = name;
        }
}

static int device_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Those of the configuration in its order, then what jobs ask for, by name. */
static void collect_devices(struct ledger *l)
{
    l->devices_count = 0;
    for (uint32_t i = 0; i < l->gpu_resources_count; i++)
        l->devices[l->devices_count++] = l->gpu_resources[i];
    const struct ledger_job *job;
    LEDGER_MAP_EACH(&l->jobs, job)
    {
        if (job->state != LEDGER_ABSENT)
            add_devices(l, &job->request);
    }
    if (l->trial)
        add_devices(l, l->trial);
    qsort(l->devices + l->gpu_resources_count, l->devices_count - l->gpu_resources_count,
          sizeof l->devices[0], device_order);
}

static int tell_all(struct ledger *l, int64_t now_ms, struct mlt_error *err)
{
    for (uint32_t i = 0; i < l->numbered_count; i++) {
        int rc = tell_node(l, l->numbered[i], err);
        if (rc < 0)
            return rc;
    }
    struct ledger_job *job;
    LEDGER_MAP_EACH(&l->jobs, job)
    {
        job->in_gang = LEDGER_ABSENT;
        job->avoided_sent = 0;
        int rc = tell_job(l, job, now_ms, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int build_anew(struct ledger *l, int64_t now_ms, struct mlt_error *err)
{
    int rc = renumber(l, err);
    if (rc == 0)
        rc = classify(l, err);
    if (rc == 0)
        rc = ledger_topology_number(l, err);
    if (rc < 0)
        return rc;
    collect_devices(l);
    ledger_map_release(&l->queues);
    l->queues_count = 0;
    ledger_queues_keep_usage(l, now_ms);
    gang_free(l->gang);
    const struct gang_config config = {.device_names = l->devices,
                                       .devices = l->devices_count,
                                       .level_names = l->level_names,
                                       .levels = l->levels_count,
                                       .reservations = l->reservations,
                                       .may_preempt = l->may_preempt,
                                       .min_run_ms = l->min_run_ms,
                                       .patience_ms = l->patience_ms,
                                       .usage_half_life_ms = LEDGER_USAGE_HALF_LIFE_MS};
    l->gang = gang_new(&config);
    if (!l->gang)
        return mlt_fail(err, ENOMEM, "gang: out of memory");
    rc = ledger_queues_tell(l, now_ms, err);
    if (rc == 0)
        rc = tell_all(l, now_ms, err);
    if (rc == 0)
        l->stale = false;
    return rc;
}

/* ---- both ---- */

static void clear_dirty(struct ledger *l)
{
    for (uint32_t i = 0; i < l->dirty_nodes_count; i++)
        l->dirty_nodes[i]->dirty = false;
    for (uint32_t i = 0; i < l->dirty_jobs_count; i++)
        l->dirty_jobs[i]->dirty = false;
    for (uint32_t i = 0; i < l->dirty_jobs_count; i++)
        ledger_job_drop_if_idle(l, l->dirty_jobs[i]);
    l->dirty_nodes_count = l->dirty_jobs_count = 0;
}

/* A failure in the middle leaves the gang half told: it is built anew the next time. */
int ledger_sync(struct ledger *l, int64_t now_ms, struct mlt_error *err)
{
    l->planned = false;
    l->now_ms = now_ms > l->now_ms ? now_ms : l->now_ms;
    ledger_pods_end(l);
    for (uint32_t i = 0; i < l->dirty_jobs_count; i++)
        ledger_job_cover(l, l->dirty_jobs[i]);
    int rc = 0;
    if (!l->stale)
        rc = catch_up(l, now_ms, err);
    if (rc == 0 && l->stale) {
        /* Idle records are freed while numbering: none may be left in a list. */
        for (uint32_t i = 0; i < l->dirty_nodes_count; i++)
            l->dirty_nodes[i]->dirty = false;
        l->dirty_nodes_count = 0;
        rc = build_anew(l, now_ms, err);
    }
    if (rc < 0) {
        l->stale = true;
        return rc;
    }
    clear_dirty(l);
    return 0;
}
