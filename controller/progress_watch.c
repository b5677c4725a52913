/* `progress.stallTimeoutSeconds` counts from a step to the next one: a job that never tells any is
 * not watched by it. That is said once the time has passed without a first step, since it is rarely
 * meant so. Where `startupTimeoutSeconds` waits for the first step, that does it. */
#include <inttypes.h>
#include <stdio.h>
#include "controller/internal.h"

static bool is_unwatched(const struct job *job)
{
    const struct trainingjob_progress_spec *spec = &job->tj.spec.progress;
    return job->draft.phase == TRAININGJOB_PHASE_RUNNING && job->running_since_ms &&
           spec->stall_timeout_seconds && !spec->startup_timeout_seconds &&
           job->draft.progress.step < 0;
}

void progress_watch_note(struct job *job)
{
    struct controller *c = job->controller;
    char words[TRAININGJOB_MESSAGE_MAX];
    if (!job->has_tj || !is_unwatched(job))
        return;
    int64_t due_ms = job->running_since_ms + job->tj.spec.progress.stall_timeout_seconds * 1000;
    if (due_ms > c->now_ms) {
        job_wake_at(job, due_ms);
        return;
    }
    (void)snprintf(words, sizeof words,
                   START_RUNNING_WORDS
                   "; none has told a step in %" PRId64
                   " s, so that progress.stallTimeoutSeconds has no effect: it counts from the "
                   "first step on. Steps come from progress.pattern or libmltrain; "
                   "progress.startupTimeoutSeconds is for a job that does not get that far",
                   job->tj.spec.progress.stall_timeout_seconds);
    if (!trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_RUNNING, true, "Started",
                                   words, c->wall_ms))
        return;
    if (!job->told_unwatched)
        event_record(job, true, "NoProgress", "%s", words);
    job->told_unwatched = true;
    job_lazy(job, JOB_READY_WRITE_MS);
}

void progress_watch_stepped(struct job *job)
{
    if (trainingjob_condition_is_true(&job->draft, TRAININGJOB_CONDITION_RUNNING))
        (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_RUNNING, true, "Started",
                                        START_RUNNING_WORDS, job->controller->wall_ms);
}
