/* Nobody goes in circles: gang/README.md, "No circles". As long as nothing happens from outside,
 * the number of times that jobs are asked to leave is bounded. */
#include "tests/property/gang/properties.h"

#include <inttypes.h>
#include <string.h>

#define CALM_STEP_MS 60000
#define AT_ONCE_MAX (4 * JOBS) /* plans at one instant, each of which does something */

void circles_begin(struct world *w)
{
    w->circles = (struct circles){.since_ms = w->now_ms};
}

static uint32_t number_of(const struct world *w, const struct job *job)
{
    return (uint32_t)(job - w->jobs);
}

static void revoked(struct world *w, const struct job *job)
{
    bool *once = &w->circles.revoked[number_of(w, job)];
    if (*once)
        fail(w, "job %" PRIu64 " is revoked again, and nobody has started for keeps since", job->id);
    *once = true;
}

/* One that is asked again has run min_run_ms in between; for a time slice, that. Where no time is
 * to itself, priorities only rise and what was borrowed only comes back until the next slice. */
static void asked_otherwise(struct world *w, const struct job *job, enum gang_cause cause)
{
    int64_t slice = w->queues[job->request.queue].config.time_slice_ms;
    int64_t runs = w->config.f[C_MIN_RUN], passed = w->now_ms - w->circles.since_ms;
    uint32_t *asked = &w->circles.asked[cause == GANG_CAUSE_TIME_SLICE][number_of(w, job)];
    w->circles.slices += cause == GANG_CAUSE_TIME_SLICE;
    if (cause == GANG_CAUSE_TIME_SLICE && slice > runs)
        runs = slice;
    int64_t most = runs > 0 ? 1 + passed / runs : JOBS;
    if (cause != GANG_CAUSE_TIME_SLICE && runs == 0)
        most += JOBS * (int64_t)w->circles.slices;
    if (++*asked > most)
        fail(w, "job %" PRIu64 " was asked to leave %u times in %" PRId64 " ms", job->id, *asked,
             passed);
}

void circles_commit(struct world *w, const struct decision *d)
{
    if (!on(PROPERTY_CIRCLES))
        return;
    if (d->d.kind == GANG_PLACE && !d->d.revocable)
        memset(w->circles.revoked, 0, sizeof w->circles.revoked);
    else if (d->d.kind == GANG_PREEMPT && d->d.cause == GANG_CAUSE_REVOKED)
        revoked(w, d->job);
    else if (d->d.kind == GANG_PREEMPT)
        asked_otherwise(w, d->job, d->d.cause);
}

static bool acts(const struct world *w)
{
    bool any = false;
    for (uint32_t i = 0; i < w->decisions_count; i++)
        any = any || (w->decisions[i].d.kind != GANG_WAIT && w->decisions[i].d.kind != GANG_NEVER);
    return any;
}

void circles_calm(struct world *w, int64_t steps)
{
    for (int64_t i = 0; i < steps && !failed(w); i++) {
        uint32_t plans = 0;
        do {
            host_plan(w, 0);
            plans++;
        } while (acts(w) && plans < AT_ONCE_MAX && !failed(w));
        if (plans == AT_ONCE_MAX && on(PROPERTY_CIRCLES))
            fail(w, "%u plans at one instant, and still there is something to do", plans);
        if (!failed(w))
            world_apply(w, &(struct op){.kind = OP_TIME, .f = {CALM_STEP_MS}});
    }
}
