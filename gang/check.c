/* What tests ask of the state: all sums recomputed from what the jobs hold, and one hash of
 * everything. */
#include "gang/internal.h"

#include <errno.h>
#include <inttypes.h>

/* ---- check ---- */

static int check_nodes(const struct gang *g, const gang_amounts *gangs, struct mlt_error *err)
{
    uint32_t known = 0;
    uint64_t free_devices = 0;
    for (uint32_t n = 0; n < g->nodes; n++) {
        known += g->classes[n] != GANG_CLASS_NONE;
        free_devices += g->config.shares_first ? gang_free_devices_of(g, n) : 0;
        if (g->open[n] != GANG_CLASS_NONE && g->open[n] != g->classes[n])
            return mlt_fail(err, EBADMSG, "node %u: open class %u, class %u", n, g->open[n],
                            g->classes[n]);
        for (uint32_t r = 0; r < g->resources; r++) {
            int64_t used = gang_at(g, GANG_OWN, n)[r] - gang_at(g, GANG_FREE, n)[r] -
                           gang_node_ending(g, n)[r];
            if (used != gangs[n][r])
                return mlt_fail(err, EBADMSG,
                                "node %u: resource %u: gangs use %" PRId64
                                ", their pods sum up to %" PRId64,
                                n, r, used, gangs[n][r]);
        }
    }
    if (known != g->known_nodes)
        return mlt_fail(err, EBADMSG, "%u nodes are known, counted %u", known, g->known_nodes);
    if (free_devices != g->free_devices)
        return mlt_fail(err, EBADMSG, "%" PRIu64 " devices are free, counted %" PRIu64,
                        free_devices, g->free_devices);
    return 0;
}

static bool list_holds(const struct gang_list *list, const struct gang_job *job)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->jobs[i] == job)
            return true;
    return false;
}

static int check_job(const struct gang *g, const struct gang_job *job, struct mlt_error *err)
{
    uint32_t missing = 0;
    for (uint32_t pod = 0; job->nodes && pod < job->shape->pods; pod++)
        missing += job->nodes[pod] == GANG_NO_NODE;
    if (job->nodes && missing != gang_stay(job)->missing)
        return mlt_fail(err, EBADMSG, "job %" PRIu64 ": %u pods hold no node, counted %u", job->id,
                        gang_stay(job)->missing, missing);
    if (!job->bucket != (job->nodes != NULL))
        return mlt_fail(err, EBADMSG, "job %" PRIu64 ": bucket and place contradict each other",
                        job->id);
    if (list_holds(&g->left, job) != (job->left_for != GANG_NO_JOB) ||
        (job->left_for != GANG_NO_JOB && !job->bucket))
        return mlt_fail(err, EBADMSG, "job %" PRIu64 ": list of those that left for others",
                        job->id);
    if (list_holds(&g->wounded, job) != (missing > 0))
        return mlt_fail(err, EBADMSG, "job %" PRIu64 ": list of wounded and %u missing pods",
                        job->id, missing);
    if (job->in_plan || (job->avoids && g->avoiding.jobs[job->avoids->at] != job))
        return mlt_fail(err, EBADMSG, "job %" PRIu64 ": planned, or not among those that avoid",
                        job->id);
    if (gang_job_find(g, job->id) != job)
        return mlt_fail(err, EBADMSG, "job %" PRIu64 ": the table does not find it", job->id);
    return 0;
}

static int check_list(const struct gang_list *list, const char *name, struct mlt_error *err)
{
    for (uint32_t i = 1; i < list->count; i++) {
        const struct gang_job *a = list->jobs[i - 1], *b = list->jobs[i];
        if (!gang_job_before(a, b))
            return mlt_fail(err, EBADMSG, "%s: job %" PRIu64 " stands before job %" PRIu64, name,
                            a->id, b->id);
    }
    return 0;
}

static void add_uses(const struct gang *g, const struct gang_job *job, gang_amounts *gangs)
{
    for (uint32_t role = 0, pod = 0; job->nodes && role < job->shape->roles_count; role++)
        for (uint32_t end = pod + job->shape->roles[role].pods; pod < end; pod++)
            if (job->nodes[pod] != GANG_NO_NODE)
                gang_board_give(g, gangs[job->nodes[pod]], job->shape->roles[role].request);
}

static int check_jobs(const struct gang *g, gang_amounts *gangs, struct mlt_error *err)
{
    uint32_t jobs = 0, avoids = 0;
    for (uint32_t i = 0; i < g->table_size; i++) {
        const struct gang_job *job = gang_job_in(g, i);
        if (!job)
            continue;
        int rc = check_job(g, job, err);
        if (rc < 0)
            return rc;
        add_uses(g, job, gangs);
        jobs++;
        avoids += gang_avoid_count(job);
    }
    if (jobs != g->jobs || avoids != g->avoids)
        return mlt_fail(err, EBADMSG, "%u jobs avoid %u nodes, counted %u and %u", g->jobs,
                        g->avoids, jobs, avoids);
    return 0;
}

int gang_check(const struct gang *g, struct mlt_error *err)
{
    size_t size = ((size_t)g->nodes + 1) * sizeof(gang_amounts);
    gang_amounts *gangs = g->memory.realloc(g->memory.arg, NULL, size);
    if (!gangs)
        return gang_no_memory(err);
    for (uint32_t n = 0; n < g->nodes; n++)
        for (uint32_t r = 0; r < GANG_RESOURCES_MAX; r++)
            gangs[n][r] = 0;
    int rc = check_jobs(g, gangs, err);
    if (rc == 0)
        rc = check_nodes(g, (const gang_amounts *)gangs, err);
    if (rc == 0)
        rc = gang_columns_check(g, err);
    if (rc == 0)
        rc = gang_check_queues(g, err);
    if (rc == 0)
        rc = check_list(&g->wounded, "wounded", err);
    if (rc == 0)
        rc = gang_ends_check(g, err);
    g->memory.free(g->memory.arg, gangs);
    return rc;
}

/* ---- hash ---- */

/* One step of a hash: splitmix64's finaliser (https://prng.di.unimi.it/splitmix64.c). */
static uint64_t mix(uint64_t hash, uint64_t value)
{
    uint64_t z = (hash ^ value) + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t hash_node(const struct gang *g, uint32_t n)
{
    uint64_t hash = mix(1, n);
    bool any = g->classes[n] != GANG_CLASS_NONE;
    for (uint32_t r = 0; r < g->resources; r++) {
        int64_t own = gang_at(g, GANG_OWN, n)[r], free = gang_at(g, GANG_FREE, n)[r];
        any = any || own != free;
        hash = mix(hash, (uint64_t)gang_at(g, GANG_EMPTY, n)[r]);
        hash = mix(mix(hash, (uint64_t)own), (uint64_t)free);
        hash = mix(hash, (uint64_t)gang_node_ending(g, n)[r]);
    }
    hash = mix(mix(hash, g->classes[n]), g->open[n]);
    for (uint32_t l = 1; g->classes[n] != GANG_CLASS_NONE && l <= g->fits_topology.levels; l++)
        hash = mix(hash, gang_topology_domain(g, n, l));
    return any ? hash : 0; /* a number that nobody uses is no state */
}

static uint64_t hash_job(const struct gang *g, const struct gang_job *job)
{
    uint64_t hash = mix(2, job->id), avoid = 0;
    hash = mix(mix(hash, job->queue), (uint64_t)(int64_t)job->priority);
    hash = mix(mix(hash, (uint64_t)job->sequence), (uint64_t)job->time_limit_ms);
    hash = mix(mix(hash, job->required_level), job->preferred_level);
    hash = mix(mix(hash, (uint64_t)job->preferred_until_ms), (uint64_t)job->expected_ms);
    hash = mix(mix(hash, (uint64_t)job->grace_ms), (uint64_t)job->attained_ms);
    hash = mix(mix(hash, (uint64_t)job->since_ms), job->never_preempted);
    hash = mix(mix(hash, job->was_preempted),
               (uint64_t)job->saves | (uint64_t)job->never_preempts << 1);
    if (job->nodes) {
        hash = mix(mix(hash, (uint64_t)gang_stay(job)->started_ms), job->revocable);
        hash = mix(mix(hash, job->saved), (uint64_t)gang_stay(job)->saved_ms);
        hash = mix(mix(hash, job->stopping), job->stopping ? gang_stay(job)->for_job : 0);
    }
    if (job->left_for != GANG_NO_JOB)
        hash = mix(hash, job->left_for);
    if (job->asked_for)
        hash = mix(hash, 3);
    for (uint32_t i = 0; i < job->shape->roles_count; i++) {
        const struct gang_role *role = &job->shape->roles[i];
        hash = mix(mix(hash, role->pods), role->node_classes_words);
        for (uint32_t r = 0; r < g->resources; r++)
            hash = mix(hash, (uint64_t)role->request[r]);
        for (uint32_t w = 0; w < role->node_classes_words; w++)
            hash = mix(hash, role->node_classes[w]);
    }
    for (uint32_t pod = 0; job->nodes && pod < job->shape->pods; pod++)
        hash = mix(hash, job->nodes[pod]);
    for (uint32_t i = 0; i < gang_avoid_count(job); i++)
        avoid += mix(mix(3, job->avoids->nodes[i].node), (uint64_t)job->avoids->nodes[i].until_ms);
    return mix(mix(hash, job->nodes != NULL), avoid);
}

/* Its configuration: past use depends on the moments at which it was summed up. */
static uint64_t hash_queue(const struct gang *g, uint32_t index)
{
    const struct gang_queue_config *c = &g->queues[index].config;
    uint64_t hash = mix(mix(4, index - 1), c->parent);
    hash = mix(mix(hash, c->weight), (uint64_t)c->order);
    for (uint32_t r = 0; r < g->resources; r++) {
        hash = mix(hash, (uint64_t)c->nominal[r]);
        hash = mix(mix(hash, (uint64_t)c->borrow_limit[r]), (uint64_t)c->lend_limit[r]);
    }
    hash = mix(mix(hash, (uint64_t)c->within_queue), (uint64_t)c->reclaim);
    hash = mix(mix(hash, (uint64_t)c->time_slice_ms), c->running_jobs_max);
    return mix(hash, (uint64_t)c->time_limit_max_ms);
}

/* Nodes, queues and jobs are summed, so that the layout of the table does not show. */
uint64_t gang_hash(const struct gang *g)
{
    uint64_t sum = mix(0, g->resources);
    for (uint32_t n = 0; n < g->nodes; n++)
        sum += hash_node(g, n);
    for (uint32_t q = 1; q < g->queues_count; q++)
        sum += g->queues[q].known ? hash_queue(g, q) : 0;
    for (uint32_t i = 0; i < g->table_size; i++)
        if (g->table[i])
            sum += hash_job(g, gang_job_in(g, i));
    return sum;
}
