/* Jobs: what the controller says about each (waits, holds a place, neither), kept until it says
 * otherwise. */
#include "ledger/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

/* ---- records ---- */

/* The gang's id of a job, and with it the order among jobs of the same second, comes from the UID:
 * so it is the same after a restart. Two UIDs of one hash are told apart by the next number. */
static uint64_t id_for(const struct ledger *l, const char *uid)
{
    uint64_t id = ledger_hash(uid, strlen(uid));
    while (ledger_map_get(&l->jobs_by_id, &id, sizeof id))
        id++;
    return id;
}

struct ledger_job *ledger_job_get(struct ledger *l, const char *uid)
{
    struct ledger_job *job = ledger_map_find(&l->jobs, uid);
    if (job)
        return job;
    job = mlt_calloc(1, sizeof *job);
    job->uid = mlt_strdup(uid);
    job->label = mlt_strdup(uid);
    job->saved_ms = LEDGER_NEVER;
    job->life = ++l->lives;
    job->id = id_for(l, uid);
    ledger_map_put(&l->jobs, uid, job);
    ledger_map_set(&l->jobs_by_id, &job->id, sizeof job->id, job);
    return job;
}

void ledger_job_mark(struct ledger *l, struct ledger_job *job)
{
    l->changed = true;
    job->place_dirty = true;
    ledger_job_mark_lightly(l, job);
}

void ledger_job_mark_lightly(struct ledger *l, struct ledger_job *job)
{
    if (job->dirty)
        return;
    job->dirty = true;
    MLT_GROW(l->dirty_jobs, l->dirty_jobs_count, l->dirty_jobs_capacity);
    l->dirty_jobs[l->dirty_jobs_count++] = job;
}

static void set_nodes(struct ledger_job *job, struct ledger_node **nodes)
{
    for (uint32_t i = 0; job->nodes && i < job->request.pods; i++)
        if (job->nodes[i])
            job->nodes[i]->holders--;
    free(job->nodes);
    job->nodes = nodes;
}

static void forget_avoided(struct ledger_job *job)
{
    for (uint32_t i = 0; i < job->avoided_count; i++)
        job->avoided[i].node->holders--;
    job->avoided_count = job->avoided_sent = 0;
}

static void become_absent(struct ledger *l, struct ledger_job *job)
{
    set_nodes(job, NULL);
    forget_avoided(job);
    ledger_request_release(l, &job->request);
    cJSON_Delete(steal_ptr(&job->volumes));
    ledger_job_forget_place(job);
    job->state = LEDGER_ABSENT;
    job->since_ms = 0;
    job->was_preempted = job->has_held = job->had = false;
    job->waits_from_ms = job->attained_ms = 0;
    job->life = ++l->lives;
    free(steal_ptr(&job->made_way_for));
}

void ledger_job_release(struct ledger *l, struct ledger_job *job)
{
    become_absent(l, job);
    free(job->avoided);
    free(job->pods);
    free(job->uid);
    free(job->label);
    free(job);
}

/* A record that says nothing any more; the gang must have forgotten the job. */
void ledger_job_drop_if_idle(struct ledger *l, struct ledger_job *job)
{
    if (job->state != LEDGER_ABSENT || job->in_gang != LEDGER_ABSENT || job->pods_count ||
        job->avoided_count || job->dirty)
        return;
    ledger_map_remove(&l->jobs_by_id, &job->id, sizeof job->id);
    ledger_map_drop(&l->jobs, job->uid);
    ledger_job_release(l, job);
}

/* ---- what the controller says ---- */

static void set_label(struct ledger_job *job, const struct trainingjob *from)
{
    free(job->label);
    job->label = mlt_asprintf("%s/%s", from->metadata.namespace_, from->metadata.name);
}

/* Takes `request` and `nodes`; whether anything is different now. */
static bool set_state(struct ledger *l, struct ledger_job *job, enum ledger_job_state state,
                      struct ledger_request *request, struct ledger_node **nodes)
{
    bool same = job->state == state && ledger_request_equal(&job->request, request) &&
                !job->nodes == !nodes &&
                (!nodes || memcmp(job->nodes, nodes, request->pods * sizeof *nodes) == 0);
    for (uint32_t i = 0; nodes && i < request->pods; i++)
        if (nodes[i])
            nodes[i]->holders++;
    set_nodes(job, nodes);
    ledger_request_release(l, &job->request);
    job->request = *request;
    job->state = state;
    return !same;
}

static int read_request(struct ledger *l, const struct trainingjob *job,
                        const cJSON *effective_template, bool is_new, struct ledger_request *ret,
                        struct mlt_error *err)
{
    if (job->metadata.uid[0] == '\0')
        return mlt_fail(err, EINVAL, "metadata.uid: the job has none");
    const struct ledger_job *known = ledger_map_find(&l->jobs, job->metadata.uid);
    int rc =
        ledger_request_read(l, job, effective_template, known ? known->volumes : NULL, ret, err);
    if (rc < 0)
        return rc;
    struct ledger_priority priority = {0};
    rc = ledger_request_priority(l, ret, &priority, err);
    ret->priority = priority.value;
    ret->never_preempts = priority.never_preempts;
    if (rc == 0)
        rc = ledger_topology_check(l, &job->spec.scheduling, err);
    if (rc < 0 && is_new) {
        ledger_request_release(l, ret);
        return rc;
    }
    return 0;
}

int ledger_job_waits(struct ledger *l, const struct trainingjob *from,
                     const cJSON *effective_template, int64_t now_ms, struct mlt_error *err)
{
    (void)now_ms;
    struct ledger_request request;
    int rc = read_request(l, from, effective_template, true, &request, err);
    if (rc < 0)
        return rc;
    struct ledger_job *job = ledger_job_get(l, from->metadata.uid);
    set_label(job, from);
    if (set_state(l, job, LEDGER_WAITS, &request, NULL))
        ledger_job_mark(l, job);
    ledger_job_forget_place(job);
    return 0;
}

/* A place that is held is a fact, so a priority class or a topology level that has vanished does
 * not matter here. */
int ledger_job_holds(struct ledger *l, const struct trainingjob *from,
                     const cJSON *effective_template, const char *const *nodes,
                     uint32_t nodes_count, int64_t now_ms, struct mlt_error *err)
{
    struct ledger_request request;
    int rc = read_request(l, from, effective_template, false, &request, err);
    if (rc < 0)
        return rc;
    if (nodes_count != request.pods) {
        rc = mlt_fail(err, EINVAL, "%s/%s: a placement of %u nodes for %u pods",
                      from->metadata.namespace_, from->metadata.name, nodes_count, request.pods);
        ledger_request_release(l, &request);
        return rc;
    }
    struct ledger_node **placed = mlt_calloc(nodes_count, sizeof(struct ledger_node *));
    for (uint32_t i = 0; i < nodes_count; i++)
        placed[i] = nodes[i] ? ledger_node_get(l, nodes[i]) : NULL;
    struct ledger_job *job = ledger_job_get(l, from->metadata.uid);
    set_label(job, from);
    free(steal_ptr(&job->made_way_for));
    if (job->state != LEDGER_HOLDS)
        job->life = ++l->lives;
    job->has_held = true;
    l->now_ms = now_ms > l->now_ms ? now_ms : l->now_ms; /* its former pods end from now on */
    if (set_state(l, job, LEDGER_HOLDS, &request, placed))
        ledger_job_mark(l, job);
    return 0;
}

void ledger_job_since(struct ledger *l, const char *uid, int64_t since_ms)
{
    struct ledger_job *job = ledger_map_find(&l->jobs, uid);
    if (!job || job->state == LEDGER_ABSENT || job->since_ms == since_ms)
        return;
    job->since_ms = since_ms;
    ledger_job_mark(l, job);
}

void ledger_job_gone(struct ledger *l, const char *uid, int64_t now_ms)
{
    (void)now_ms;
    struct ledger_job *job = ledger_map_find(&l->jobs, uid);
    if (!job || (job->state == LEDGER_ABSENT && !job->avoided_count && !job->volumes))
        return;
    become_absent(l, job);
    job->went = true;
    ledger_job_mark(l, job);
}

void ledger_job_volumes(struct ledger *l, const char *uid, const cJSON *volumes)
{
    struct ledger_job *job =
        volumes ? ledger_job_get(l, uid) : (struct ledger_job *)ledger_map_find(&l->jobs, uid);
    if (!job ||
        (volumes && job->volumes ? json_equal(volumes, job->volumes) : !volumes && !job->volumes))
        return;
    cJSON_Delete(job->volumes);
    job->volumes = json_copy(volumes);
    ledger_job_mark(l, job); /* a record that says nothing more goes with the next plan */
}

/* The gang's own rule for a full list: what is over goes, then what ends first. */
static void make_room(struct ledger_job *job, int64_t now_ms)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < job->avoided_count; i++) {
        if (job->avoided[i].until_ms > now_ms)
            job->avoided[kept++] = job->avoided[i];
        else
            job->avoided[i].node->holders--;
    }
    job->avoided_count = kept;
    if (kept < GANG_AVOID_MAX)
        return;
    uint32_t first = 0;
    for (uint32_t i = 1; i < kept; i++)
        if (job->avoided[i].until_ms < job->avoided[first].until_ms)
            first = i;
    job->avoided[first].node->holders--;
    job->avoided[first] = job->avoided[--job->avoided_count];
}

bool ledger_node_takes(const struct ledger *l, const char *uid, const char *role, const char *node)
{
    const struct ledger_job *job = ledger_map_find(&l->jobs, uid);
    const struct ledger_node *n = ledger_map_find(&l->nodes, node);
    if (!job || job->state == LEDGER_ABSENT || !n || !n->known)
        return true;
    if (!n->schedulable)
        return false;
    for (uint32_t i = 0; i < job->request.roles_count; i++) {
        const struct ledger_role *r = &job->request.roles[i];
        if (strcmp(r->name, role) == 0)
            return ledger_constraints_fit(r->constraints, n->name, n->labels, n->taints,
                                          n->time_sliced) == LEDGER_FIT_SUITS;
    }
    return true;
}

void ledger_job_avoids(struct ledger *l, const char *uid, const char *node_name, int64_t until_ms,
                       int64_t now_ms)
{
    struct ledger_job *job = ledger_job_get(l, uid);
    struct ledger_node *node = ledger_node_get(l, node_name);
    for (uint32_t i = 0; i < job->avoided_count; i++)
        if (job->avoided[i].node == node) {
            if (job->avoided[i].until_ms == until_ms)
                return;
            job->avoided[i].until_ms = until_ms;
            job->avoided_sent = 0;
            ledger_job_mark(l, job);
            return;
        }
    make_room(job, now_ms);
    MLT_GROW(job->avoided, job->avoided_count, job->avoided_capacity);
    job->avoided[job->avoided_count++] =
        (struct ledger_avoided){.node = node, .until_ms = until_ms};
    job->avoided_sent = 0; /* all are told again: the same again changes nothing */
    node->holders++;
    ledger_job_mark(l, job);
}

void ledger_jobs_forget_node(struct ledger *l, const struct ledger_node *node)
{
    struct ledger_job *job;
    LEDGER_MAP_EACH(&l->jobs, job)
    {
        for (uint32_t i = 0; i < job->avoided_count; i++)
            if (job->avoided[i].node == node) {
                job->avoided[i].node->holders--;
                job->avoided[i] = job->avoided[--job->avoided_count];
                job->avoided_sent = 0;
                break;
            }
    }
}
