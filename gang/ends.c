/* Placed jobs in the order of their estimated ends: a list of short sorted pieces, so that coming
 * and going cost little however many there are; and which of them may not stay until then. */
#include "gang/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define PIECE 64

struct gang_ends_piece {
    uint32_t count;
    struct gang_job *jobs[PIECE];
};

static bool ends_before(const struct gang_job *a, const struct gang_job *b)
{
    return gang_stay(a)->end_ms != gang_stay(b)->end_ms
               ? gang_stay(a)->end_ms < gang_stay(b)->end_ms
               : a->id < b->id;
}

int gang_ends_reserve(struct gang *g)
{
    struct gang_ends *e = &g->ends;
    if (gang_reserve(g, &e->pieces, &e->capacity, (size_t)e->count + 1, sizeof *e->pieces) < 0)
        return -ENOMEM;
    if (!e->spare)
        e->spare = gang_alloc(g, sizeof *e->spare);
    if (!e->spare ||
        gang_reserve(g, &g->unsteady.jobs, &g->unsteady.capacity, (size_t)g->placed + 1,
                     sizeof(struct gang_job *)) < 0 ||
        (g->config.may_preempt && g->config.patience_ms > 0 &&
         gang_reserve(g, &g->askable, &g->askable_capacity, (size_t)g->placed + 1,
                      sizeof *g->askable) < 0))
        return -ENOMEM;
    return 0;
}

void gang_ends_free(struct gang *g)
{
    for (uint32_t i = 0; i < g->ends.count; i++)
        gang_release(g, g->ends.pieces[i]);
    gang_release(g, g->ends.pieces);
    gang_release(g, g->ends.spare);
    gang_release(g, g->unsteady.jobs);
}

/* The last piece that begins before this job, or the first. */
static uint32_t piece_of(const struct gang_ends *e, const struct gang_job *job)
{
    uint32_t low = 0, high = e->count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (ends_before(job, e->pieces[middle]->jobs[0]))
            high = middle;
        else
            low = middle;
    }
    return low;
}

static uint32_t position(const struct gang_ends_piece *p, const struct gang_job *job)
{
    uint32_t low = 0, high = p->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ends_before(p->jobs[middle], job))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A piece for what stands behind `at` pieces; the spare one is used up. */
static struct gang_ends_piece *open_piece(struct gang_ends *e, uint32_t at)
{
    struct gang_ends_piece *p = e->spare;
    e->spare = NULL;
    p->count = 0;
    memmove(e->pieces + at + 1, e->pieces + at, (e->count - at) * sizeof(struct gang_ends_piece *));
    e->pieces[at] = p;
    e->count++;
    return p;
}

static bool is_unsteady(const struct gang_job *job)
{
    return job->revocable || job->stopping || job->time_limit_ms <= 0 || job->was_preempted;
}

void gang_ends_sort_out(struct gang *g, struct gang_job *job)
{
    if (!is_unsteady(job) || gang_stay(job)->unsteady_at)
        return;
    g->unsteady.jobs[g->unsteady.count++] = job;
    gang_stay(job)->unsteady_at = g->unsteady.count;
}

/* The last one fills the gap. */
static void unsteady_remove(struct gang *g, const struct gang_job *job)
{
    uint32_t at = gang_stay(job)->unsteady_at;
    if (!at)
        return;
    struct gang_job *last = g->unsteady.jobs[--g->unsteady.count];
    g->unsteady.jobs[at - 1] = last;
    gang_stay(last)->unsteady_at = at;
    gang_stay(job)->unsteady_at = 0;
}

void gang_ends_insert(struct gang *g, struct gang_job *job)
{
    struct gang_ends *e = &g->ends;
    uint32_t i = e->count ? piece_of(e, job) : 0;
    struct gang_ends_piece *p = e->count ? e->pieces[i] : open_piece(e, 0);
    if (p->count == PIECE) {
        struct gang_ends_piece *half = open_piece(e, i + 1);
        half->count = PIECE / 2;
        p->count = PIECE - PIECE / 2;
        memcpy(half->jobs, p->jobs + p->count, half->count * sizeof(struct gang_job *));
        p = ends_before(job, half->jobs[0]) ? p : half;
    }
    uint32_t at = position(p, job);
    memmove(p->jobs + at + 1, p->jobs + at, (p->count - at) * sizeof(struct gang_job *));
    p->jobs[at] = job;
    p->count++;
    gang_ends_sort_out(g, job);
}

void gang_ends_remove(struct gang *g, const struct gang_job *job)
{
    struct gang_ends *e = &g->ends;
    uint32_t i = piece_of(e, job);
    struct gang_ends_piece *p = e->pieces[i];
    uint32_t at = position(p, job);
    unsteady_remove(g, job);
    p->count--;
    memmove(p->jobs + at, p->jobs + at + 1, (p->count - at) * sizeof(struct gang_job *));
    if (p->count)
        return;
    e->count--;
    memmove(e->pieces + i, e->pieces + i + 1, (e->count - i) * sizeof(struct gang_ends_piece *));
    if (e->spare)
        gang_release(g, p);
    else
        e->spare = p;
}

struct gang_job *gang_ends_next(const struct gang *g, struct gang_ends_at *at)
{
    const struct gang_ends *e = &g->ends;
    if (at->piece >= e->count)
        return NULL;
    struct gang_job *job = e->pieces[at->piece]->jobs[at->index++];
    if (at->index == e->pieces[at->piece]->count) {
        at->piece++;
        at->index = 0;
    }
    return job;
}

int gang_ends_check(const struct gang *g, struct mlt_error *err)
{
    struct gang_ends_at at = {0};
    uint32_t placed = 0, unsteady = 0;
    for (const struct gang_job *job; (job = gang_ends_next(g, &at)) != NULL; placed++) {
        uint32_t stands = gang_stay(job)->unsteady_at;
        if (is_unsteady(job) != (stands != 0) || stands > g->unsteady.count ||
            (stands && g->unsteady.jobs[stands - 1] != job))
            return mlt_fail(err, EBADMSG, "job %" PRIu64 ": whether it may leave early", job->id);
        unsteady += stands != 0;
    }
    if (placed != g->placed || unsteady != g->unsteady.count)
        return mlt_fail(err, EBADMSG, "%u placed jobs, %u may leave early; counted %u and %u",
                        g->placed, g->unsteady.count, placed, unsteady);
    return 0;
}
