/* Reserved starts: no earlier than can be, and never later because of somebody let in before. */
#include "tests/property/gang/properties.h"

#include <inttypes.h>
#include <string.h>

/* One with a limit is let in because it ends before a reserved start, and asked to leave if not. */
bool is_on_call(const struct job *job)
{
    return job->revocable && !job->request.time_limit_ms;
}

/* When a placed job is expected to be gone; 0 when it has run over its limit (then nobody knows).
 */
int64_t expected_end_ms(const struct world *w, const struct job *job)
{
    int64_t end = INT64_MAX, soon = w->now_ms + job->request.grace_ms, leaves = INT64_MAX;
    if (job->request.time_limit_ms)
        end = job->started_ms + job->request.time_limit_ms;
    if (job->revocable && end > w->now_ms)
        leaves = on(PROPERTY_REVOKE_GRACE) ? soon : w->now_ms;
    for (uint32_t i = 0; i < w->decisions_count; i++)
        if (w->decisions[i].d.kind == GANG_PREEMPT && w->decisions[i].job == job &&
            leaves == INT64_MAX)
            leaves = soon;
    if (job->stopping && (!is_on_call(job) || on(PROPERTY_REVOKE_GRACE)))
        leaves = job->stop_ms + job->request.grace_ms;
    if (leaves <= w->now_ms)
        leaves = w->now_ms + 1; /* any moment now */
    if (leaves == INT64_MAX && end <= w->now_ms)
        return 0;
    return leaves < end || end <= w->now_ms ? leaves : end;
}

static bool fits_at(struct world *w, const struct job *job, gang_amounts *now, int64_t at_ms)
{
    gang_amounts boards[NODES];
    memcpy(boards, now, sizeof boards);
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == PLACED && expected_end_ms(w, &w->jobs[j]) <= at_ms)
            boards_take(&w->jobs[j], w->jobs[j].nodes, boards, -1);
    int64_t now_ms = w->now_ms;
    w->now_ms = at_ms; /* what it avoids, and the level that it prefers, end some time */
    bool fits = gang_fits(w, job, boards, schedulable_mask(w) & allowed_mask(w, job, false),
                          level_now(w, job));
    w->now_ms = now_ms;
    return fits;
}

/* The earliest time at which the job has room, by the expected ends of those placed; INT64_MAX for
 * never, 0 when nobody knows. */
static int64_t earliest_ms(struct world *w, const struct job *job)
{
    const struct gang_job_request *q = &job->request;
    int64_t times[JOBS + AVOIDS + 2], earliest = INT64_MAX;
    uint32_t count = 0;
    gang_amounts now[NODES];
    boards_of(w, ROOM_NOW, now);
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        const struct decision *d = &w->decisions[i];
        if ((d->d.kind == GANG_PLACE && (is_patient(w) || comes_before(d->job, job))) ||
            (d->d.kind == GANG_WAIT && d->d.pod != GANG_NO_POD))
            return 0;
        if (d->d.kind == GANG_REPLACE && !on(PROPERTY_RESERVE_FOUND))
            return 0;
        for (uint32_t r = 0; d->d.kind == GANG_REPLACE && r < RESOURCES; r++)
            now[d->nodes[0]][r] -= role_of(d->job, d->d.pod)->request[r];
    }
    times[count++] = w->now_ms;
    times[count++] = q->since_ms + q->preferred_wait_ms;
    for (uint32_t i = 0; i < job->avoids_count; i++)
        times[count++] = job->avoids[i].until_ms;
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == PLACED) {
            times[count] = expected_end_ms(w, &w->jobs[j]);
            if (times[count++] == 0)
                return 0;
        }
    for (uint32_t i = 0; i < count; i++)
        if (times[i] >= w->now_ms && times[i] < earliest && fits_at(w, job, now, times[i]))
            earliest = times[i];
    return earliest;
}

/* Whether somebody runs revocably whose grace is not reckoned in. */
static bool grace_is_open(const struct world *w)
{
    bool open = false;
    for (uint32_t j = 0; j < JOBS; j++)
        open = open || (w->jobs[j].state == PLACED && is_on_call(&w->jobs[j]));
    return open && !on(PROPERTY_REVOKE_GRACE);
}

/* Whoever was let in because it ends before a reserved start may have begun too late for it: that
 * start counts on it to leave, and others on its end. */
static bool somebody_may_be_late(const struct world *w)
{
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == PLACED && w->jobs[j].revocable && !is_on_call(&w->jobs[j]))
            return true;
    return false;
}

/* Somebody is asked to leave for another one: the next plan knows what that leaves to this one. */
static bool others_are_helped(const struct world *w, const struct job *job)
{
    for (uint32_t i = 0; i < w->decisions_count; i++)
        if (w->decisions[i].d.kind == GANG_PREEMPT && w->decisions[i].d.for_job != job->id)
            return true;
    return false;
}

static void check_earliest(struct world *w, const struct decision *d, bool first)
{
    const struct job *job = d->job;
    int64_t start = d->d.estimated_start_ms;
    if (job->request.roles_count > 1 || !first || (job->surprised && !on(PROPERTY_RESERVE_FOUND)))
        return;
    int64_t earliest = earliest_ms(w, job);
    if (earliest == 0)
        return;
    if (start && earliest == INT64_MAX)
        fail(w, "job %" PRIu64 " is to start at %" PRId64 ", but what it needs is never free",
             job->id, start);
    else if (start && start < earliest)
        fail(w, "job %" PRIu64 " is to start at %" PRId64 ", but has no room before %" PRId64,
             job->id, start, earliest);
    else if (!job->told && !grace_is_open(w) && !somebody_may_be_late(w) &&
             !others_are_helped(w, job) && !job->avoids_count &&
             level_now(w, job) == job->request.required_level && earliest != INT64_MAX &&
             start != earliest && d->why.kind == GANG_WHY_NO_ROOM)
        fail(w, "job %" PRIu64 " is to start at %" PRId64 ", but has room at %" PRId64 " already",
             job->id, start, earliest);
    w->result.promises++;
}

/* One with several roles is placed that comes before it. It may have been said never to find a
 * place: with several roles placement is a heuristic. */
static bool is_overtaken(const struct world *w, const struct job *job)
{
    for (uint32_t i = 0; i < w->decisions_count; i++)
        if (w->decisions[i].d.kind == GANG_PLACE && w->decisions[i].job->request.roles_count > 1 &&
            (is_patient(w) || comes_before(w->decisions[i].job, job)))
            return true;
    return false;
}

/* The reserved start of the first in order becomes no later, unless something happened that excuses
 * it, and it is kept. */
void check_promise(struct world *w, const struct decision *d, bool first)
{
    struct job *job = d->job;
    int64_t start = d->d.estimated_start_ms;
    if (!first || gives_way(w, job) || w->config.f[C_OVERRUN] ||
        (job->surprised && !on(PROPERTY_RESERVE_FOUND)) || !w->config.f[C_RESERVATIONS] ||
        d->d.kind != GANG_WAIT || !waits_for_room(d)) {
        job->promise_ms = NEVER_MS;
        return;
    }
    if (!failed(w))
        check_earliest(w, d, first);
    if (grace_is_open(w) || is_overtaken(w, job) || (is_patient(w) && patience_overtaken(w, job)))
        job->promise_ms = NEVER_MS;
    if (job->promise_ms != NEVER_MS) {
        w->result.promises++;
        if (job->promise_ms < w->now_ms)
            fail(w, "job %" PRIu64 " was to start at %" PRId64 ", and still waits at %" PRId64,
                 job->id, job->promise_ms, w->now_ms);
        if (!start || start > job->promise_ms)
            fail(w, "job %" PRIu64 " was to start at %" PRId64 ", now only at %" PRId64, job->id,
                 job->promise_ms, start);
    }
    /* What rests on a placement of this very plan holds only when the host has committed it. */
    for (uint32_t i = 0; i < w->decisions_count; i++)
        if (w->decisions[i].d.kind == GANG_PLACE &&
            (is_patient(w) || comes_before(w->decisions[i].job, job)))
            return;
    if (start && start < job->promise_ms)
        job->promise_ms = start;
}
