/* Plans, with names for numbers and words for reasons. */
#include "ledger/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"

#define HOUR_MS INT64_C(3600000)

bool ledger_needs_plan(const struct ledger *l)
{
    return l->changed;
}

int64_t ledger_next_wake_ms(const struct ledger *l, int64_t now_ms)
{
    int64_t wake = l->ending_until_ms > now_ms ? l->ending_until_ms : INT64_MAX;
    const struct ledger_job *job;
    LEDGER_MAP_EACH(&l->jobs, job)
    {
        for (uint32_t i = 0; i < job->avoided_count; i++)
            if (job->avoided[i].until_ms > now_ms && job->avoided[i].until_ms < wake)
                wake = job->avoided[i].until_ms;
        /* A preferred topology is waited for no longer. */
        int64_t over = job->since_ms + job->request.preferred_wait_ms;
        if (job->state == LEDGER_WAITS && job->request.preferred_level != GANG_NO_LEVEL &&
            over > now_ms && over < wake)
            wake = over;
    }
    if ((l->may_preempt || l->reservations) && l->gang && !l->stale) {
        int64_t gang = gang_next_wake_ms(l->gang, now_ms);
        wake = gang < wake ? gang : wake;
    }
    return wake;
}

static int by_id(const void *a, const void *b)
{
    const struct ledger_job *const *x = a, *const *y = b;
    return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

/* Jobs that the gang has not been told of. */
static void collect_refused(struct ledger *l)
{
    struct ledger_job *job;
    l->refused_count = l->refused_next = 0;
    if (!l->known_queues.count)
        return;
    LEDGER_MAP_EACH(&l->jobs, job)
    {
        if (job->state != LEDGER_WAITS || !ledger_queue_refuses(l, job, l->reason))
            continue;
        MLT_GROW(l->refused, l->refused_count, l->refused_capacity);
        l->refused[l->refused_count++] = job;
    }
    if (l->refused_count > 1)
        qsort(l->refused, l->refused_count, sizeof(struct ledger_job *), by_id);
}

int ledger_plan(struct ledger *l, int64_t now_ms, struct mlt_error *err)
{
    int rc = ledger_sync(l, now_ms, err);
    if (rc == 0)
        rc = gang_plan(l->gang, now_ms, err);
    if (rc < 0) {
        l->changed = true;
        return rc;
    }
    collect_refused(l);
    l->planned = true;
    l->changed = false;
    return 0;
}

/* ---- reasons ---- */

static const char *name_of_job(void *arg, uint64_t id)
{
    const struct ledger *l = arg;
    const struct ledger_job *job = ledger_map_get(&l->jobs_by_id, &id, sizeof id);
    return job ? job->label : NULL;
}

static const char *name_of_domain(void *arg, uint32_t level, uint32_t domain)
{
    return ledger_topology_name(arg, level, domain);
}

/* Not one of those that have a name only: no quota ends in them. */
static const char *name_of_queue(void *arg, uint32_t number)
{
    return ledger_queue_name(arg, number);
}

/* No node of any class may be used: which rule is in the way of how many. */
static void explain_unsuited(const struct ledger *l, const struct ledger_constraints *c, char *text)
{
    static const char *const rules[] = {
#define XX(name, text) [LEDGER_FIT_##name] = text,
        LEDGER_FIT_MAP(XX)
#undef XX
    };
    uint32_t counts[LEDGER_FIT_COUNT] = {0}, nodes = 0;
    for (uint32_t i = 0; i < l->numbered_count; i++) {
        const struct ledger_node *node = l->numbered[i];
        if (!node->known)
            continue;
        counts[ledger_constraints_fit(c, node->name, node->labels, node->taints,
                                      node->time_sliced)]++;
        nodes++;
    }
    size_t length =
        (size_t)snprintf(text, GANG_REASON_MAX, "none of the %u node%s may be used: ruled out are",
                         nodes, nodes == 1 ? "" : "s");
    const char *comma = "";
    for (int fit = LEDGER_FIT_SUITS + 1; fit < LEDGER_FIT_COUNT; fit++)
        if (counts[fit] && length < GANG_REASON_MAX) {
            length += (size_t)snprintf(text + length, GANG_REASON_MAX - length, "%s %u by %s",
                                       comma, counts[fit], rules[fit]);
            comma = ",";
        }
}

static void write_reason(struct ledger *l, const struct ledger_request *request,
                         const struct gang_why *why, char *text)
{
    if (why->kind == GANG_WHY_TOO_LARGE && why->nodes > 0 && why->nodes_allowed == 0)
        explain_unsuited(l, request->roles[why->role].constraints, text);
    else
        gang_why_write_named(
            l->gang, why,
            &(struct gang_names){
                .arg = l, .job = name_of_job, .domain = name_of_domain, .queue = name_of_queue},
            text);
    ledger_topology_explain(l, why, text);
}

/* Of a job whose turn has not come: until when it is passed. The sentence stays as it is while it
 * waits: each one is a write of its status. */
static void say_patience(struct ledger *l, const struct gang_decision *d)
{
    int64_t ms = d->kind == GANG_WAIT && d->pod == GANG_NO_POD
                     ? gang_patience_ms(l->gang, d->job, l->now_ms)
                     : 0;
    size_t length = strlen(l->reason);
    if (ms <= 0)
        return;
    static const char words[] = "; jobs with less work may start before it until it has waited";
    if (ms % HOUR_MS == 0)
        (void)snprintf(l->reason + length, sizeof l->reason - length, "%s %" PRId64 " h at most",
                       words, ms / HOUR_MS);
    else
        (void)snprintf(l->reason + length, sizeof l->reason - length, "%s %" PRId64 " s at most",
                       words, ms / 1000);
}

/* ---- decisions ---- */

static void name_nodes(struct ledger *l, const struct gang_decision *d)
{
    l->names_count = 0;
    for (uint32_t i = 0; i < d->nodes_count; i++) {
        MLT_GROW(l->names, l->names_count, l->names_capacity);
        l->names[l->names_count++] = l->numbered[d->nodes[i]]->name;
    }
}

static bool next_refused(struct ledger *l, struct ledger_decision *ret)
{
    while (l->planned && l->refused_next < l->refused_count) {
        const struct ledger_job *job = l->refused[l->refused_next++];
        if (job->state != LEDGER_WAITS || !ledger_queue_refuses(l, job, l->reason))
            continue;
        *ret = (struct ledger_decision){
            .kind = GANG_NEVER, .job_uid = job->uid, .pod = GANG_NO_POD, .reason = l->reason};
        return true;
    }
    return false;
}

bool ledger_decision_next(struct ledger *l, struct ledger_decision *ret)
{
    struct gang_decision d;
    while (l->planned && gang_decision_next(l->gang, &d)) {
        const struct ledger_job *job = ledger_map_get(&l->jobs_by_id, &d.job, sizeof d.job);
        if (!job || job->state == LEDGER_ABSENT)
            continue;
        name_nodes(l, &d);
        if (d.why)
            write_reason(l, &job->request, d.why, l->reason);
        if (d.why)
            say_patience(l, &d);
        const struct ledger_job *other =
            d.kind == GANG_PREEMPT ? ledger_map_get(&l->jobs_by_id, &d.for_job, sizeof d.for_job)
                                   : NULL;
        if (d.kind == GANG_PREEMPT && !other)
            continue;
        *ret = (struct ledger_decision){
            .kind = d.kind,
            .job_uid = job->uid,
            .pod = d.pod,
            .nodes = d.nodes_count ? l->names : NULL,
            .nodes_count = d.nodes_count,
            .position = d.position,
            .estimated_start_ms = d.estimated_start_ms,
            .revocable = d.revocable,
            .for_uid = other ? other->uid : NULL,
            .for_job = other ? other->label : NULL,
            .cause = d.cause,
            .nodes_avoided = d.why && d.why->kind != GANG_WHY_BEHIND ? d.why->nodes_avoided : 0,
            .reason = d.why ? l->reason : NULL,
            .why = d.why,
        };
        return true;
    }
    return next_refused(l, ret);
}

const char *ledger_job_uid(const struct ledger *l, uint64_t id)
{
    const struct ledger_job *job = ledger_map_get(&l->jobs_by_id, &id, sizeof id);
    return job ? job->uid : NULL;
}

const char *ledger_resource(const struct ledger *l, uint32_t resource)
{
    static const char *const names[GANG_DEVICE_0] = {"cpu", "memory", "pods"};
    if (resource < GANG_DEVICE_0)
        return names[resource];
    return resource - GANG_DEVICE_0 < l->devices_count ? l->devices[resource - GANG_DEVICE_0]
                                                       : NULL;
}

/* ---- could it ever fit ---- */

static int could_fit(struct ledger *l, const struct ledger_request *request, struct mlt_error *err)
{
    struct gang_job_request asked;
    struct gang_why why = {0};
    uint32_t queue;
    int rc = ledger_sync(l, 0, err);
    if (rc == 0)
        rc = ledger_queue_number(l, request->queue, &queue, err);
    if (rc < 0)
        return rc;
    ledger_request_fill(l, request, queue, &asked);
    rc = gang_could_fit(l->gang, &asked, &why, err);
    if (rc != -ENOSPC)
        return rc;
    char text[GANG_REASON_MAX];
    write_reason(l, request, &why, text);
    return mlt_fail(err, ENOSPC, "%s", text);
}

int ledger_could_fit(struct ledger *l, const struct trainingjob *job, struct mlt_error *err)
{
    struct ledger_request request;
    int rc = ledger_topology_check(l, &job->spec.scheduling, err);
    if (rc == 0)
        rc = ledger_request_read(l, job, NULL, NULL, &request, err);
    if (rc < 0)
        return rc;
    l->trial = &request;
    rc = could_fit(l, &request, err);
    l->trial = NULL;
    ledger_request_release(l, &request);
    return rc;
}
