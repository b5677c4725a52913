/* The verb "submit": a job that nobody has seen yet is refused or queued, and when its pods have
 * been tried by a dry run (probe.c) it is handed to the ledger, whose words about the wait are
 * shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/durable.h"
#include "controller/internal.h"

#define SHOWN_MAX 100 /* of a queue: the position and the start of those behind are not told */

/* What stands in the status from the first moment on. */
static void fill_status(struct job *job)
{
    struct trainingjob_status *s = &job->draft;
    char selector[TRAININGJOB_SELECTOR_MAX];
    trainingjob_selector(job->name, selector);
    trainingjob_set_text(&s->selector, selector, sizeof selector);
    trainingjob_set_text(&s->launcher_image, job->controller->config.launcher_image,
                         TRAININGJOB_MESSAGE_MAX);
    (void)counts_refresh(job);
}

void submit_accept(struct job *job)
{
    struct controller *c = job->controller;
    fill_status(job);
    if (job->tj.spec.suspend) {
        job_set_phase(job, TRAININGJOB_PHASE_SUSPENDED);
        (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_SUSPENDED, true,
                                        "Suspended", "spec.suspend is true", c->wall_ms);
        job_lazy(job, 0);
    } else {
        job_set_phase(job, TRAININGJOB_PHASE_QUEUED);
        (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_QUEUED, true,
                                        "Submitted", "waits for a place", c->wall_ms);
        job_lazy(job, JOB_QUEUED_WRITE_MS);
    }
    const char *reserved = pod_build_reserved(job_template(job));
    if (reserved)
        event_record(job, true, "ReservedVariable",
                     "the template sets %s, which mltrain sets itself: its value is not used",
                     reserved);
}

void submit_refuse(struct job *job)
{
    fill_status(job);
    const char *reason = strstr(job->refusal, "not supported yet") ? "NotSupported" : "InvalidSpec";
    finish_fail(job, reason, job->refusal);
}

void submit_show_refusal(struct job *job, const char *reason, const char *words)
{
    struct controller *c = job->controller;
    if (trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_ADMITTED, false, reason, words,
                                  c->wall_ms))
        event_record(job, true, reason, "%s", words);
    job->probe_again_ms = c->now_ms + JOB_PROBE_RETRY_MS;
    job_lazy(job, 0);
}

/* ---- waiting ---- */

/* As of this version of the spec: checkpoints that go with their pod are no help to the next one.
 */
static void note_durable(struct job *job)
{
    static const enum trainingjob_condition_type type =
        TRAININGJOB_CONDITION_CHECKPOINT_NOT_DURABLE;
    const char *path = job->tj.spec.checkpoint.path;
    char words[DURABLE_WORDS_MAX];
    if (path && !durable_path(job_planned(job), path, words)) {
        if (trainingjob_set_condition(&job->draft, type, true, "GoesWithPod", words,
                                      job->controller->wall_ms))
            event_record(job, true, "CheckpointNotDurable", "%s", words);
    } else if (trainingjob_find_condition(&job->draft, type)) {
        (void)trainingjob_set_condition(&job->draft, type, false, "Stays", "",
                                        job->controller->wall_ms);
    }
}

void submit_enqueue(struct job *job)
{
    struct controller *c = job->controller;
    struct mlt_error err = {0};
    job_drop_gang(job);
    fill_status(job);
    note_durable(job);
    volumes_tell_ledger(job);
    (void)job_template(job);
    if (ledger_job_waits(c->ledger, &job->tj, job_planned(job), c->now_ms, &err) < 0) {
        submit_show_refusal(job, "CannotPlan", err.text);
        job->planned_until_ms =
            c->now_ms; /* what cannot be understood may be of a webhook's making */
        return;
    }
    ledger_job_since(c->ledger, job->uid, c->now_ms - job_waited_ms(job));
    patience_tell_ledger(job);
    if (job->draft.preemption.count)
        ledger_job_was_preempted(c->ledger, job->uid);
    preempt_tell_made_way(job);
    job->ledger = JOB_LEDGER_WAITS;
    job->leaves_ledger = false;
    plan_tell_avoided(job);
}

/* A person who asks why it waits has no other way to know them. */
static void tell_levels(struct job *job)
{
    const struct controller_config *config = &job->controller->config;
    const struct trainingjob_scheduling *s = &job->tj.spec.scheduling;
    struct mlt_text text = MLT_TEXT_INIT(TRAININGJOB_LEVELS_MAX);
    bool asks = s->topology_required || s->topology_preferred;
    for (uint32_t i = 0; asks && i < config->topology_levels_count; i++)
        mlt_text_printf(&text, "%s%s", i ? "," : "", config->topology_levels[i]);
    trainingjob_set_text(&job->draft.queue.topology_levels,
                         text.length && !text.failed ? mlt_text_string(&text) : NULL,
                         TRAININGJOB_LEVELS_MAX);
    mlt_text_release(&text);
}

/* A status tells whole seconds, and two clocks never agree to the millisecond. */
static bool differs(int64_t a_ms, int64_t b_ms)
{
    return (a_ms == 0) != (b_ms == 0) || a_ms - b_ms > 1500 || b_ms - a_ms > 1500;
}

void submit_note(struct job *job, bool never, const char *words, uint32_t position,
                 int64_t estimated_start_ms)
{
    struct controller *c = job->controller;
    struct trainingjob_queue_status *q = &job->draft.queue;
    const char *reason = never ? SUBMIT_UNSCHEDULABLE : "Waiting";
    if (never)
        probe_doubt(job);
    bool first = !q->explanation || strcmp(q->reason, reason) != 0;
    bool shown = position <= SHOWN_MAX;
    int64_t starts_ms =
        estimated_start_ms && shown ? estimated_start_ms - c->now_ms + c->wall_ms : 0;
    if (!first && strcmp(q->explanation, words) == 0 && q->position == (shown ? position : 0) &&
        !differs(starts_ms, q->estimated_start_ms))
        return;
    (void)snprintf(q->reason, sizeof q->reason, "%s", reason);
    trainingjob_set_text(&q->explanation, words, TRAININGJOB_MESSAGE_MAX);
    tell_levels(job);
    q->position = shown ? position : 0;
    q->estimated_start_ms = starts_ms;
    (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_QUEUED, true, reason, words,
                                    c->wall_ms);
    if (first) {
        event_record(job, never, reason, "%s", words);
        job_lazy(job, 0);
    } else {
        int64_t next = job->last_lazy_ms + JOB_LAZY_WRITE_MS - c->now_ms;
        job_lazy(job, next > 0 ? next : 0);
    }
}
