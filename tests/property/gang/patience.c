/* Patience, said a second time from gang/README.md: who has waited too long, whose turn comes first
 * of all that wait, and in which order equal jobs start. */
#include "tests/property/gang/properties.h"

#include <inttypes.h>
#include <string.h>

bool is_patient(const struct world *w)
{
    return w->config.f[C_PATIENCE] > 0 && w->config.f[C_RESERVATIONS] > 0;
}

bool shares_come_first(const struct world *w)
{
    return is_patient(w) && w->config.f[C_SHARES_FIRST];
}

static void totals_of(const struct world *w, gang_amounts ret)
{
    memset(ret, 0, sizeof(gang_amounts));
    for (uint32_t n = 0; n < w->nodes_count; n++)
        for (uint32_t r = 0; w->nodes[n].schedulable && r < RESOURCES; r++)
            ret[r] += w->nodes[n].capacity[r];
}

/* Time x devices, or x CPUs without any; NEVER_MS: unknown. */
static int64_t work_of(const struct world *w, const struct job *job)
{
    const struct gang_job_request *q = &job->request;
    int64_t slice = w->queues[q->queue].config.time_slice_ms, amount = 0;
    int64_t time = q->expected_ms ? q->expected_ms : q->time_limit_ms;
    gang_amounts all;
    job_amounts(job, all);
    for (uint32_t r = GANG_DEVICE_0; r < RESOURCES; r++)
        amount = all[r] > amount ? all[r] : amount;
    amount = amount ? amount : all[GANG_CPU_MILLI] / 1000;
    if (!time && slice)
        time = q->attained_ms > slice ? q->attained_ms : slice;
    return time ? time * (amount ? amount : 1) : NEVER_MS;
}

/* For how long all would be busy with what waits and says for how long. */
static int64_t backlog_ms(const struct world *w)
{
    int64_t waiting = 0, total = 0, most = w->config.f[C_PATIENCE];
    gang_amounts totals;
    totals_of(w, totals);
    for (uint32_t r = GANG_DEVICE_0; r < RESOURCES; r++)
        total += totals[r];
    total = total ? total : totals[GANG_CPU_MILLI] / 1000;
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == WAITING && w->jobs[j].request.time_limit_ms)
            waiting += work_of(w, &w->jobs[j]) / 1000;
    if (!total || waiting / total >= most / 1000)
        return most;
    return waiting / total * 1000 + waiting % total * 1000 / total;
}

static int64_t patience_ends_ms(const struct world *w, const struct job *job)
{
    int64_t patience = w->config.f[C_PATIENCE];
    bool wide = false;
    gang_amounts all, totals;
    job_amounts(job, all);
    totals_of(w, totals);
    for (uint32_t r = 0; r < RESOURCES; r++)
        wide = wide || (all[r] > 0 && all[r] >= totals[r] / 8);
    patience /= wide ? 4 : 1;
    if (job->request.time_limit_ms) {
        int64_t busy = 2 * backlog_ms(w) + w->config.f[C_PATIENCE] / 42;
        patience = busy < patience ? busy : patience;
    }
    return job->request.since_ms + patience;
}

bool is_impatient(const struct world *w, const struct job *job, int64_t at_ms)
{
    return is_patient(w) && patience_ends_ms(w, job) <= at_ms;
}

/* The largest part of any resource, in 1/GANG_SHARE_ONE. */
static int64_t width_of(const struct world *w, const struct job *job)
{
    gang_amounts all, totals;
    int64_t most = 0;
    job_amounts(job, all);
    totals_of(w, totals);
    for (uint32_t r = 0; r < RESOURCES; r++) {
        int64_t share = 0;
        if (all[r] > 0)
            share = all[r] >= totals[r] ? GANG_SHARE_ONE : all[r] * GANG_SHARE_ONE / totals[r];
        most = share > most ? share : most;
    }
    return most;
}

/* Of two whose turn it is, and for whom nobody was asked to leave. */
static bool is_more_urgent(const struct world *w, const struct job *a, const struct job *b)
{
    int64_t end_a = patience_ends_ms(w, a), end_b = patience_ends_ms(w, b);
    int64_t late = w->now_ms - w->config.f[C_PATIENCE] / 2;
    if (a->request.priority != b->request.priority)
        return a->request.priority > b->request.priority;
    if ((end_a <= w->now_ms) != (end_b <= w->now_ms))
        return end_a <= w->now_ms;
    if (end_a > w->now_ms) {
        int64_t work_a = work_of(w, a), work_b = work_of(w, b);
        return work_a != work_b ? work_a < work_b : comes_before(a, b);
    }
    if ((end_a <= late || end_b <= late) && end_a != end_b)
        return end_a < end_b;
    int64_t wide_a = width_of(w, a), wide_b = width_of(w, b);
    if (wide_a != wide_b)
        return wide_a > wide_b;
    if (a->request.since_ms != b->request.since_ms)
        return a->request.since_ms < b->request.since_ms;
    return comes_before(a, b);
}

/* Turns are given, or somebody leaves for one that waits. */
static bool turns_are_given(struct world *w)
{
    for (uint32_t j = 0; j < JOBS; j++) {
        const struct job *job = &w->jobs[j];
        if ((job->state == PLACED && job->stopping) ||
            (job->state == WAITING && (job->claims || job->asked || job->gave_way)))
            return true;
    }
    return false;
}

struct job *patience_first(struct world *w)
{
    struct job *first = NULL;
    int32_t lowest = INT32_MAX;
    if (fair_is_used(w) || turns_are_given(w))
        return NULL;
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == WAITING && w->jobs[j].request.priority < lowest)
            lowest = w->jobs[j].request.priority;
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        const struct decision *d = &w->decisions[i];
        if (d->d.kind == GANG_PREEMPT || (d->d.kind == GANG_WAIT && d->d.pod != GANG_NO_POD))
            return NULL;
        if (d->d.kind != GANG_WAIT || d->why.kind == GANG_WHY_QUOTA ||
            d->why.kind == GANG_WHY_QUEUE || d->why.kind == GANG_WHY_OTHERS)
            continue;
        if ((d->job->request.priority > lowest || is_impatient(w, d->job, w->now_ms)) &&
            (!first || is_more_urgent(w, d->job, first)))
            first = d->job;
    }
    return first;
}

bool patience_overtaken(struct world *w, const struct job *job)
{
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        const struct decision *d = &w->decisions[i];
        if (d->d.kind == GANG_PLACE && is_more_urgent(w, d->job, job))
            return true;
    }
    return false;
}

static bool others_leave_for(const struct world *w, const struct job *job)
{
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == PLACED && w->jobs[j].stopping && w->jobs[j].for_job == job->id)
            return true;
    for (uint32_t i = 0; i < w->decisions_count; i++)
        if (w->decisions[i].d.kind == GANG_PREEMPT && w->decisions[i].d.for_job == job->id)
            return true;
    return false;
}

void check_due(struct world *w)
{
    for (uint32_t i = 0; shares_come_first(w) && i < w->decisions_count; i++) {
        const struct decision *d = &w->decisions[i];
        if (d->d.kind == GANG_WAIT && d->d.estimated_start_ms && !d->job->asked &&
            !others_leave_for(w, d->job) && !queue_is_due(w, d->job->request.queue))
            fail(w,
                 "job %" PRIu64
                 " has a reserved start, though its branch has used more than is due",
                 d->job->id);
    }
}

/* ---- in which order they start ---- */

static bool same_roles(const struct job *a, const struct job *b)
{
    const struct gang_job_request *p = &a->request, *q = &b->request;
    if (p->roles_count != q->roles_count || p->queue != q->queue || p->priority != q->priority ||
        p->required_level != q->required_level || p->preferred_level || q->preferred_level ||
        p->grace_ms != q->grace_ms || p->never_preempted != q->never_preempted)
        return false;
    for (uint32_t i = 0; i < p->roles_count; i++)
        if (p->roles[i].pods != q->roles[i].pods || a->classes[i] != b->classes[i] ||
            memcmp(p->roles[i].request, q->roles[i].request, sizeof(gang_amounts)) != 0)
            return false;
    return true;
}

static bool is_plain(const struct world *w, const struct job *job)
{
    for (uint32_t i = 0; i < job->avoids_count; i++)
        if (job->avoids[i].until_ms > w->now_ms)
            return false;
    return !job->claims && !job->asked && !job->gave_way && !job->left_for;
}

/* Of two that ask for the same, the one that should start before the other: it is older, and as
 * long; or with patience, where neither has waited too long, it has less to do, and a limit that is
 * no longer. */
static bool should_come_first(const struct world *w, const struct job *a, const struct job *b)
{
    const struct gang_job_request *p = &a->request, *q = &b->request;
    bool shorter = p->time_limit_ms ? !q->time_limit_ms || p->time_limit_ms <= q->time_limit_ms
                                    : !q->time_limit_ms;
    if (p->time_limit_ms == q->time_limit_ms && p->expected_ms == q->expected_ms &&
        p->attained_ms == q->attained_ms && p->since_ms == q->since_ms)
        return comes_before(a, b);
    if (!is_patient(w) || is_impatient(w, a, w->now_ms) || is_impatient(w, b, w->now_ms))
        return false;
    return shorter && work_of(w, a) < work_of(w, b);
}

void check_starts(struct world *w)
{
    if (turns_are_given(w))
        return;
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        const struct decision *d = &w->decisions[i];
        for (uint32_t k = 0;
             d->d.kind == GANG_PLACE && is_plain(w, d->job) && k < w->decisions_count; k++) {
            const struct decision *waits = &w->decisions[k];
            if (waits->d.kind == GANG_WAIT && waits->d.pod == GANG_NO_POD &&
                is_plain(w, waits->job) && same_roles(waits->job, d->job) &&
                should_come_first(w, waits->job, d->job))
                return fail(w,
                            "job %" PRIu64 " waits, and job %" PRIu64
                            ", which asks for the same and comes after it, is placed",
                            waits->job->id, d->job->id);
        }
    }
}
