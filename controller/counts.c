/* The numbers in a job's status that people and the scale subresource read: how many pods there
 * are, how many of them have joined, of how many, with how many GPUs. They are level-triggered:
 * taken from what is there, whatever the phase. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "controller/internal.h"

/* Pods that have ended are kept for their logs only. */
static int64_t count_pods(const struct job *job)
{
    int64_t count = 0;
    for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job)
        count += !view_pod_terminal(p);
    return count;
}

static int64_t count_joined(const struct job *job)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < job->members_count && !job->let_go && !job_has_ended(job); i++)
        count += job->members[i].joined;
    return count;
}

/* "3/4"; after the end it stays as it was then. */
static bool write_workers(struct job *job, int64_t joined)
{
    char text[TRAININGJOB_WORD_MAX];
    const char *old = job->draft.workers ? job->draft.workers : "";
    bool has_gang = job->members && !job->let_go;
    if (job_finished(job) && *old)
        return false;
    (void)snprintf(text, sizeof text, "%" PRId64 "/%" PRId64, joined,
                   has_gang      ? (int64_t)job->members_count
                   : job->has_tj ? job->tj.spec.workers.replicas
                                 : 0);
    if (strcmp(text, old) == 0)
        return false;
    trainingjob_set_text(&job->draft.workers, text, sizeof text);
    return true;
}

bool counts_refresh(struct job *job)
{
    struct trainingjob_status *s = &job->draft;
    int64_t pods = count_pods(job), joined = count_joined(job);
    int64_t gpus = job_gpus(job);
    bool changed = write_workers(job, joined);
    changed |= s->replicas != pods || s->ready_replicas != joined || s->gpus != gpus;
    s->replicas = pods;
    s->ready_replicas = joined;
    s->gpus = gpus;
    return changed;
}
