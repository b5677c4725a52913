/* What tests ask of queues and buckets: sums recomputed from the jobs, and the order of the heaps.
 */
#include "gang/choice.h"
#include "gang/internal.h"
#include "gang/turns.h"
#include "gang/work.h"

#include <errno.h>
#include <inttypes.h>

static int check_bucket(const struct gang *g, const struct gang_bucket *b, struct mlt_error *err)
{
    const struct gang_job *any = gang_bucket_any(b);
    const struct gang_queue *q = gang_queue_of(g, any->queue);
    if (b->count == 0 || b->cursor || b->heap_at >= q->heap_count || q->heap[b->heap_at] != b->at)
        return mlt_fail(err, EBADMSG, "a bucket of queue %u: %u jobs, in the heap at %u of %u",
                        any->queue, b->count, b->heap_at, q->heap_count);
    for (uint32_t i = 0; i < b->count; i++) {
        const struct gang_job *job = gang_bucket_job(b, i);
        if (job->bucket != b || job->shape != any->shape || job->queue != any->queue ||
            job->priority != any->priority || job->time_limit_ms != any->time_limit_ms)
            return mlt_fail(err, EBADMSG, "job %" PRIu64 " is in a bucket of others", job->id);
        if (i > 0 && !gang_job_before(gang_bucket_job(b, i - 1), job))
            return mlt_fail(err, EBADMSG, "job %" PRIu64 " stands too late in its bucket", job->id);
    }
    if (b->heap_at > 0 &&
        gang_job_before(gang_bucket_head(b),
                        gang_bucket_head(gang_bucket_at(g, q->heap[(b->heap_at - 1) / 2]))))
        return mlt_fail(err, EBADMSG, "job %" PRIu64 " stands too late in its queue",
                        gang_bucket_head(b)->id);
    return 0;
}

struct sums {
    uint32_t jobs, waiting, running;
    gang_amounts used;
};

/* One queue against the jobs of it and of the queues below it. */
static int check_queue(const struct gang *g, uint32_t index, struct mlt_error *err)
{
    const struct gang_queue *q = &g->queues[index];
    struct sums s = {0};
    for (uint32_t i = 0; i < g->table_size; i++) {
        const struct gang_job *job = gang_job_in(g, i);
        uint32_t at = job ? job->queue + 1 : 0;
        while (at && at != index)
            at = g->queues[at].parent;
        if (!at)
            continue;
        const int64_t *sum = job->shape->sum;
        s.jobs += job->queue + 1 == index;
        s.waiting += job->nodes == NULL;
        s.running += job->nodes != NULL;
        for (uint32_t r = 0; job->nodes && r < g->resources; r++)
            s.used[r] += sum[r];
    }
    if (s.jobs != q->jobs || s.waiting != q->waiting || s.running != q->running)
        return mlt_fail(err, EBADMSG, "queue %u: %u jobs, %u wait, %u run; counted %u, %u and %u",
                        index - 1, s.jobs, s.waiting, s.running, q->jobs, q->waiting, q->running);
    for (uint32_t r = 0; r < g->resources; r++)
        if (s.used[r] != q->used[r])
            return mlt_fail(err, EBADMSG,
                            "queue %u: resource %u: %" PRId64 " used, counted %" PRId64, index - 1,
                            r, s.used[r], q->used[r]);
    int rc = gang_usage_check(g, index, err);
    return rc < 0 ? rc : gang_queue_check_quota(g, index, err);
}

/* What plans keep for queues with shares, and for turns. */
static int check_turns(const struct gang *g, struct mlt_error *err)
{
    int rc = gang_turns_check(g, err);
    if (rc == 0)
        rc = gang_choice_check_room(g, err);
    /* Each plan that goes by queue ends with a choice. */
    if (rc == 0 && g->plan.made && g->work_by_queue && g->choice && g->buckets_count)
        rc = gang_choice_check(g, err);
    return rc;
}

int gang_check_queues(const struct gang *g, struct mlt_error *err)
{
    uint32_t jobs = 0;
    int rc = 0;
    uint32_t buckets = 0;
    struct gang_bucket_walk walk = {0};
    for (const struct gang_bucket *b; rc == 0 && (b = gang_bucket_walk_next(g, &walk)) != NULL;) {
        jobs += b->count;
        buckets++;
        rc = check_bucket(g, b, err);
    }
    if (rc == 0 && buckets != g->buckets_count)
        rc = mlt_fail(err, EBADMSG, "%u buckets, counted %u", g->buckets_count, buckets);
    if (rc == 0 && (jobs != g->waiting || g->jobs - jobs != g->placed))
        rc = mlt_fail(err, EBADMSG, "%u jobs: %u wait and %u are placed, counted %u and %u",
                      g->jobs, jobs, g->jobs - jobs, g->waiting, g->placed);
    if (rc == 0)
        rc = gang_work_check(g, err);
    if (rc == 0)
        rc = check_turns(g, err);
    for (uint32_t i = 1; i < g->queues_count && rc == 0; i++)
        if (g->queues[i].known)
            rc = check_queue(g, i, err);
    return rc;
}
