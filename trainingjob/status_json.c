/* Status to JSON, and the merge patch that writes it. */
#include <string.h>

#include "lib/base/clock_text.h"
#include "trainingjob/status.h"
#include "trainingjob/trainingjob.h"

static void set_time(cJSON *to, const char *name, int64_t time_ms)
{
    char text[MLT_TIME_TEXT_MAX];
    if (time_ms == 0)
        return;
    mlt_time_format(time_ms, text);
    json_set_string(to, name, text);
}

/* Integers are left out when they have the value that means absent. */
static void set_integer(cJSON *to, const char *name, int64_t value, int64_t absent)
{
    if (value != absent)
        json_set_integer(to, name, value);
}

static void set_word(cJSON *to, const char *name, const char *word)
{
    if (word[0])
        json_set_string(to, name, word);
}

static void write_conditions(const struct trainingjob_status *s, cJSON *to)
{
    for (size_t i = 0; i < s->conditions_count; i++) {
        const struct trainingjob_condition *c = &s->conditions[i];
        cJSON *item = cJSON_CreateObject();
        json_append(json_set_array(to, "conditions"), item);
        json_set_string(item, "type", c->type);
        json_set_string(item, "status", c->status);
        json_set_string(item, "reason", c->reason);
        json_set_string(item, "message", c->message);
        char time[MLT_TIME_TEXT_MAX];
        mlt_time_format(c->last_transition_ms, time); /* required by metav1.Condition */
        json_set_string(item, "lastTransitionTime", time);
        set_integer(item, "observedGeneration", c->observed_generation, 0);
    }
}

static void write_failures(const struct trainingjob_status *s, cJSON *to)
{
    for (size_t i = 0; i < s->failures_count; i++) {
        const struct trainingjob_failure *f = &s->failures[i];
        cJSON *item = cJSON_CreateObject();
        json_append(json_set_array(to, "failures"), item);
        set_time(item, "time", f->time_ms);
        json_set_integer(item, "attempt", f->attempt);
        set_integer(item, "rank", f->rank, TRAININGJOB_NONE);
        json_set_string(item, "node", f->node);
        json_set_string(item, "pod", f->pod);
        set_integer(item, "exitCode", f->exit_code, TRAININGJOB_NONE);
        set_integer(item, "signal", f->signal, 0);
        set_word(item, "cause", f->cause);
        set_integer(item, "step", f->step, TRAININGJOB_NONE);
        set_integer(item, "stepsLost", f->steps_lost, TRAININGJOB_NONE);
        json_set_string(item, "message", f->message);
    }
}

static void write_poison(const struct trainingjob_poison *p, cJSON *to)
{
    set_integer(to, "recovery.poison.checkpointStep", p->checkpoint_step, TRAININGJOB_NONE);
    for (size_t i = 0; i < p->strikes_count; i++) {
        cJSON *item = cJSON_CreateObject();
        json_append(json_set_array(to, "recovery.poison.strikes"), item);
        json_set_string(item, "node", p->strikes[i].node);
        json_set_integer(item, "step", p->strikes[i].step);
    }
    if (p->went_back)
        json_set_bool(to, "recovery.poison.wentBack", true);
}

static void write_recovery(const struct trainingjob_recovery *r, cJSON *to)
{
    for (size_t i = 0; i < r->avoid_count; i++) {
        cJSON *item = cJSON_CreateObject();
        json_append(json_set_array(to, "recovery.avoidNodes"), item);
        json_set_string(item, "node", r->avoid[i].node);
        set_time(item, "until", r->avoid[i].until_ms);
        json_set_integer(item, "faults", r->avoid[i].faults);
    }
    for (size_t i = 0; i < r->skipped_count; i++)
        json_append(json_set_array(to, "recovery.skippedCheckpoints"),
                    json_new_integer(r->skipped[i]));
    write_poison(&r->poison, to);
    set_integer(to, "recovery.chargedAtStep", r->charged_at_step, TRAININGJOB_NONE);
    set_integer(to, "recovery.highestCheckpointStep", r->highest_checkpoint_step, TRAININGJOB_NONE);
    set_integer(to, "recovery.inPlaceFailures", r->in_place_failures, 0);
    set_integer(to, "recovery.resumeStep", r->resume_step, TRAININGJOB_NONE);
    json_set_string(to, "recovery.resumePath", r->resume_path);
    set_time(to, "recovery.nextAttemptTime", r->next_attempt_ms);
    set_word(to, "recovery.pendingStop.reason", r->pending_stop);
    set_time(to, "recovery.pendingStop.time", r->pending_stop_ms);
}

static void write_preemption(const struct trainingjob_preemption *p, cJSON *to)
{
    if (p->revocable)
        json_set_bool(to, "preemption.revocable", true);
    set_integer(to, "preemption.count", p->count, 0);
    set_word(to, "preemption.reason", p->reason);
    json_set_string(to, "preemption.by", p->by);
    json_set_string(to, "preemption.byUID", p->by_uid);
    set_time(to, "preemption.time", p->time_ms);
    set_integer(to, "preemption.waitedSeconds", p->waited_s, 0);
    set_integer(to, "preemption.attainedSeconds", p->attained_s, 0);
}

static void write_progress(const struct trainingjob_status *s, cJSON *to)
{
    set_integer(to, "checkpoint.step", s->checkpoint.step, TRAININGJOB_NONE);
    json_set_string(to, "checkpoint.path", s->checkpoint.path);
    set_time(to, "checkpoint.time", s->checkpoint.time_ms);
    set_integer(to, "progress.step", s->progress.step, TRAININGJOB_NONE);
    set_integer(to, "progress.totalSteps", s->progress.total_steps, 0);
    if (s->progress.steps_per_second > 0)
        json_set(to, "progress.stepsPerSecond", cJSON_CreateNumber(s->progress.steps_per_second));
    set_integer(to, "progress.estimatedRemainingSeconds", s->progress.remaining_seconds,
                TRAININGJOB_NONE);
}

cJSON *trainingjob_status_json(const struct trainingjob_status *s)
{
    cJSON *to = cJSON_CreateObject();
    set_word(to, "phase", trainingjob_phase_name(s->phase));
    write_conditions(s, to);
    set_integer(to, "queue.position", s->queue.position, 0);
    set_time(to, "queue.estimatedStartTime", s->queue.estimated_start_ms);
    set_word(to, "queue.reason", s->queue.reason);
    json_set_string(to, "queue.explanation", s->queue.explanation);
    json_set_string(to, "queue.topologyLevels", s->queue.topology_levels);
    write_preemption(&s->preemption, to);
    json_set_string(to, "placement.workers", s->placement);
    json_set_string(to, "placement.podCreations", s->pod_creations);
    set_integer(to, "attempt", s->attempt, 0);
    json_set_integer(to, "restarts", s->restarts); /* the column shows 0, not nothing */
    set_integer(to, "restartsCharged", s->restarts_charged, 0);
    write_failures(s, to);
    write_recovery(&s->recovery, to);
    write_progress(s, to);
    json_set_string(to, "workers", s->workers);
    json_set_integer(to, "gpus", s->gpus);
    json_set_integer(to, "replicas", s->replicas); /* read by the scale subresource */
    json_set_integer(to, "readyReplicas", s->ready_replicas);
    json_set_string(to, "selector", s->selector);
    set_time(to, "startTime", s->start_ms);
    set_time(to, "completionTime", s->completion_ms);
    set_integer(to, "observedGeneration", s->observed_generation, 0);
    json_set_string(to, "launcherImage", s->launcher_image);
    return to;
}

cJSON *trainingjob_status_patch(const struct trainingjob_status *old_status,
                                const struct trainingjob_status *new_status,
                                const char *resource_version)
{
    /* Nobody has written yet: what is 0 is written too, for columns show what is there. */
    bool is_first = old_status->phase == TRAININGJOB_PHASE_NONE;
    cleanup_json cJSON *before =
        is_first ? cJSON_CreateObject() : trainingjob_status_json(old_status);
    cleanup_json cJSON *after = trainingjob_status_json(new_status);
    cJSON *difference = json_merge_diff(before, after);
    if (!difference->child) {
        cJSON_Delete(difference);
        return NULL;
    }
    cJSON *patch = cJSON_CreateObject();
    json_set_string(patch, "metadata.resourceVersion", resource_version);
    json_set(patch, "status", difference);
    return patch;
}
