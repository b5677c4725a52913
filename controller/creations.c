/* The numbers of pods: a member's first pod, second pod ..., as their names tell them. A controller
 * may die while the creation of a pod is on its way, and that pod comes into being after the next
 * one has found it missing: both must have given it the same name, whatever has become of older
 * pods meanwhile. So the number is the one after what the status tells, or after the attempt; a
 * creation further on waits until the status tells of the one before. */
#include <stdlib.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "trainingjob/pod_creations.h"

static bool is_first(const struct job *job)
{
    return job->draft.phase == TRAININGJOB_PHASE_ADMITTED;
}

/* The number after which a next controller goes on, if it sees no pod at all. */
static int64_t told(const struct job *job, const struct member *m)
{
    return !is_first(job) && job->draft.attempt > m->stored ? job->draft.attempt : m->stored;
}

int64_t creations_next(const struct job *job, const struct member *m)
{
    int64_t last = told(job, m);
    return (m->creation > last ? m->creation : last) + 1;
}

/* Before the first START a pod that is lost undoes the gang, and the next one's placement tells the
 * numbers. */
bool creations_are_untold(const struct job *job, const struct member *m)
{
    return !is_first(job) && m->creation > told(job, m);
}

static void put(struct job *job, const int64_t *creations, uint32_t count)
{
    struct mlt_text text = MLT_TEXT_INIT(TRAININGJOB_POD_CREATIONS_MAX);
    trainingjob_pod_creations_write(creations, count, &text);
    trainingjob_set_text(&job->draft.pod_creations, text.failed ? NULL : mlt_text_string(&text),
                         TRAININGJOB_POD_CREATIONS_MAX);
    mlt_text_release(&text);
}

void creations_tell(struct job *job)
{
    cleanup_free int64_t *creations = mlt_calloc(job->members_count + 1u, sizeof *creations);
    for (uint32_t i = 0; i < job->members_count; i++) {
        struct member *m = &job->members[i];
        int64_t newest = member_has_pod(m) ? m->pod->creation : m->creation;
        m->stored = creations[i] = newest > 0 ? newest : 1;
    }
    put(job, creations, job->members_count); /* too long a text is left out */
}

/* The job may have been given another size since (while it was suspended). Of whom no pod was ever
 * seen, 0: should its creation be on its way still, the next one has the same name. */
void creations_tell_former(struct job *job)
{
    uint32_t count = (uint32_t)job->tj.spec.workers.replicas;
    cleanup_free int64_t *creations = mlt_calloc(count + 1u, sizeof *creations);
    uint32_t told = trainingjob_pod_creations_read(job->draft.pod_creations, creations, count);
    bool known = told > 0;
    for (uint32_t i = told; i < count; i++)
        creations[i] = 0;
    for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job) {
        if (p->slot >= count || p->creation <= 0)
            continue;
        known = true;
        if (p->creation > creations[p->slot])
            creations[p->slot] = p->creation;
    }
    if (known)
        put(job, creations, count);
    else
        trainingjob_set_text(&job->draft.pod_creations, NULL, TRAININGJOB_POD_CREATIONS_MAX);
}

void creations_take_up(struct job *job)
{
    cleanup_free int64_t *creations = mlt_calloc(job->members_count + 1u, sizeof *creations);
    if (trainingjob_pod_creations_read(job->draft.pod_creations, creations, job->members_count) !=
        job->members_count)
        return;
    for (uint32_t i = 0; i < job->members_count; i++) {
        struct member *m = &job->members[i];
        m->creation = m->stored = creations[i];
        m->started = is_first(job) ? 0 : creations[i];
        m->former = is_first(job) ? creations[i] : creations[i] - 1;
    }
}
