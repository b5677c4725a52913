/* What the choice of whom to ask to leave depends on: since when a job runs, and how long it has
 * run before, what it has saved, whether its place may be taken back, and for whom it is leaving.
 */
#include "ledger/internal.h"

#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

void ledger_job_forget_place(struct ledger_job *job)
{
    free(steal_ptr(&job->for_uid));
    job->started_ms = job->leaves_ms = 0;
    job->saved_ms = LEDGER_NEVER;
    job->revocable = job->saved_dirty = job->leaves_dirty = false;
}

uint64_t ledger_job_id(const struct ledger *l, const char *uid)
{
    const struct ledger_job *job = ledger_map_find(&l->jobs, uid);
    return job ? job->id : ledger_hash(uid, strlen(uid));
}

static struct ledger_job *holder(const struct ledger *l, const char *uid)
{
    struct ledger_job *job = ledger_map_find(&l->jobs, uid);
    return job && job->state == LEDGER_HOLDS ? job : NULL;
}

void ledger_job_started(struct ledger *l, const char *uid, int64_t started_ms)
{
    struct ledger_job *job = holder(l, uid);
    if (!job || job->started_ms == started_ms)
        return;
    job->started_ms = started_ms;
    ledger_job_mark(l, job);
}

/* No plan changes for it, unless it ends a protection: it is told with the next one. */
void ledger_job_saved(struct ledger *l, const char *uid, int64_t saved_ms)
{
    struct ledger_job *job = holder(l, uid);
    if (!job || job->saved_ms == saved_ms)
        return;
    bool first = job->saved_ms == LEDGER_NEVER;
    job->saved_ms = saved_ms;
    job->saved_dirty = true;
    if (saved_ms == LEDGER_NEVER) /* the place is told anew, without it */
        ledger_job_mark(l, job);
    else
        ledger_job_mark_lightly(l, job);
    l->changed |= first && job->was_preempted;
}

void ledger_job_revocable(struct ledger *l, const char *uid)
{
    struct ledger_job *job = holder(l, uid);
    if (!job || job->revocable)
        return;
    job->revocable = true;
    ledger_job_mark(l, job);
}

void ledger_job_leaves(struct ledger *l, const char *uid, const char *for_uid, int64_t since_ms)
{
    struct ledger_job *job = holder(l, uid);
    if (!job || (job->for_uid && strcmp(job->for_uid, for_uid) == 0 && job->leaves_ms == since_ms))
        return;
    free(job->for_uid);
    job->for_uid = mlt_strdup(for_uid);
    job->leaves_ms = since_ms;
    job->leaves_dirty = true;
    l->changed = true;
    if (job->in_gang == LEDGER_HOLDS)
        ledger_job_mark_lightly(l, job);
    else
        ledger_job_mark(l, job);
}

void ledger_job_was_preempted(struct ledger *l, const char *uid)
{
    struct ledger_job *job = ledger_map_find(&l->jobs, uid);
    if (!job || job->state == LEDGER_ABSENT || job->was_preempted)
        return;
    job->was_preempted = true;
    ledger_job_mark(l, job);
}

/* To four significant bits: jobs that have run about as long are equal to the gang then, and equal
 * jobs cost it one look. */
static int64_t rounded(int64_t ms)
{
    int shift = 0;
    while (ms >> shift >= 16)
        shift++;
    return ms >> shift << shift;
}

void ledger_job_had(struct ledger *l, const char *uid, int64_t waits_from_ms, int64_t attained_ms)
{
    struct ledger_job *job = ledger_map_find(&l->jobs, uid);
    int64_t attained = attained_ms > 0 ? rounded(attained_ms) : 0;
    if (!job || job->state == LEDGER_ABSENT ||
        (job->had && job->waits_from_ms == waits_from_ms && job->attained_ms == attained))
        return;
    job->had = true;
    job->waits_from_ms = waits_from_ms;
    job->attained_ms = attained;
    ledger_job_mark(l, job);
}

/* What a job has waited before counts for its patience, and not for a preferred topology. */
void ledger_job_fill_past(const struct ledger_job *job, struct gang_job_request *request)
{
    request->since_ms = job->since_ms;
    request->was_preempted = job->was_preempted;
    if (!job->had)
        return;
    request->attained_ms = job->attained_ms;
    request->since_ms = job->waits_from_ms;
    if (job->since_ms > job->waits_from_ms && request->preferred_wait_ms > 0)
        request->preferred_wait_ms += job->since_ms - job->waits_from_ms;
}

void ledger_job_made_way(struct ledger *l, const char *uid, const char *for_uid)
{
    struct ledger_job *job = ledger_map_find(&l->jobs, uid);
    if (!job || job->state != LEDGER_WAITS ||
        (job->made_way_for && strcmp(job->made_way_for, for_uid) == 0))
        return;
    const struct ledger_job *other = ledger_map_find(&l->jobs, for_uid);
    free(job->made_way_for);
    job->made_way_for = mlt_strdup(for_uid);
    job->made_way_life = other ? other->life : 0;
    ledger_job_mark(l, job);
}

/* That one still waits for the place, as far as is known. */
bool ledger_job_gives_turn(const struct ledger *l, const struct ledger_job *job)
{
    const struct ledger_job *other =
        job->made_way_for ? ledger_map_find(&l->jobs, job->made_way_for) : NULL;
    if (!other)
        return job->made_way_for && !job->made_way_life;
    return job->made_way_life ? other->life == job->made_way_life : !other->has_held;
}

/* With the times at which it happened, which a ledger that is built anew is told as well. */
int ledger_job_tell_place(struct ledger *l, struct ledger_job *job, struct mlt_error *err)
{
    int rc = 0;
    if (job->saved_dirty && job->saved_ms != LEDGER_NEVER) {
        const struct gang_event saved = {.kind = GANG_JOB_SAVED, .job = job->id};
        rc = gang_event(l->gang, &saved, job->saved_ms, err);
    }
    if (rc < 0)
        return rc;
    job->saved_dirty = false;
    if (job->leaves_dirty && job->for_uid) {
        const struct gang_event leaves = {
            .kind = GANG_JOB_STOPPING, .job = job->id, .for_job = ledger_job_id(l, job->for_uid)};
        rc = gang_event(l->gang, &leaves, job->leaves_ms, err);
    }
    if (rc == 0)
        job->leaves_dirty = false;
    return rc;
}
