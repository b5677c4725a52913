/* Status writes that may wait stand in a queue while the API server is busy with what nobody can go
 * on without: they are made from the draft as it is when their turn comes, so a job stands there
 * once, however often it changes. See apply_room(). */
#include "controller/internal.h"

void lazy_writes_wait(struct job *job)
{
    if (job->waits_for_room)
        return;
    job->waits_for_room = true;
    TAILQ_INSERT_TAIL(&job->controller->lazy_writes, job, lazy_link);
}

void lazy_writes_forget(struct job *job)
{
    if (!job->waits_for_room)
        return;
    job->waits_for_room = false;
    TAILQ_REMOVE(&job->controller->lazy_writes, job, lazy_link);
}

void lazy_writes_wake(struct controller *c)
{
    struct job *job, *next;
    unsigned woken = 0;
    for (job = TAILQ_FIRST(&c->lazy_writes); job; job = next) {
        next = TAILQ_NEXT(job, lazy_link);
        bool is_written = job->write_by_ms == INT64_MAX;
        if (!is_written && woken >= apply_room(c, job->write_by_ms))
            break;
        lazy_writes_forget(job);
        if (is_written)
            continue;
        job_touch(job);
        woken++;
    }
}
