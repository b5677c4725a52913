/* Status from JSON, leniently: only controllers write it, and one that is newer or broken must not
 * keep this one from going on. What is malformed counts as absent; lists are cut at their limits.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "trainingjob/object.h"
#include "trainingjob/pod_creations.h"
#include "trainingjob/status.h"
#include "trainingjob/trainingjob.h"

static void *new_array(size_t count, size_t size)
{
    return count ? mlt_calloc(count, size) : NULL;
}

static void read_word(const cJSON *from, const char *path, char *word, size_t size)
{
    (void)snprintf(word, size, "%s", json_string(from, path, ""));
}

static void read_text(const cJSON *from, const char *path, char **field, size_t max)
{
    trainingjob_set_text(field, json_string(from, path, NULL), max);
}

static enum trainingjob_phase read_phase(const cJSON *from)
{
    const char *name = json_string(from, "phase", "");
    for (int phase = TRAININGJOB_PHASE_NONE; phase <= TRAININGJOB_PHASE_FAILED; phase++) {
        if (strcmp(trainingjob_phase_name((enum trainingjob_phase)phase), name) == 0)
            return (enum trainingjob_phase)phase;
    }
    return TRAININGJOB_PHASE_NONE;
}

/* A number that is counted up; what no counting can have reached is absent. */
static int64_t read_count(const cJSON *from, const char *name)
{
    int64_t value = json_integer(from, name, 0);
    return value < 0 || value > TRAININGJOB_COUNT_MAX ? 0 : value;
}

/* The objects of a list, at most `max`, the last ones when there are more; *ret_first is the first
 * of them. */
static size_t items_of(const cJSON *from, const char *path, size_t max, const cJSON **ret_first)
{
    const cJSON *list = json_find(from, path);
    size_t count = cJSON_IsArray(list) ? json_size(list, "") : 0;
    const cJSON *item = count > 0 ? list->child : NULL;
    for (; count > max; count--)
        item = item->next;
    *ret_first = item;
    return count;
}

static void read_conditions(const cJSON *from, struct trainingjob_status *s)
{
    const cJSON *item;
    size_t count = items_of(from, "conditions", TRAININGJOB_CONDITIONS_MAX, &item);
    s->conditions = new_array(count, sizeof *s->conditions);
    for (; item; item = item->next) {
        struct trainingjob_condition *c = &s->conditions[s->conditions_count++];
        read_word(item, "status", c->status, sizeof c->status);
        trainingjob_condition_write(c, json_string(item, "type", ""),
                                    json_string(item, "reason", ""),
                                    json_string(item, "message", ""));
        c->last_transition_ms = trainingjob_time(item, "lastTransitionTime");
        c->observed_generation = json_integer(item, "observedGeneration", 0);
    }
}

static void read_failures(const cJSON *from, struct trainingjob_status *s)
{
    const cJSON *item;
    size_t count = items_of(from, "failures", TRAININGJOB_FAILURES_MAX, &item);
    s->failures = new_array(count, sizeof *s->failures);
    for (; item; item = item->next) {
        struct trainingjob_failure *f = &s->failures[s->failures_count++];
        f->time_ms = trainingjob_time(item, "time");
        f->attempt = json_integer(item, "attempt", 0);
        f->rank = json_integer(item, "rank", TRAININGJOB_NONE);
        read_text(item, "node", &f->node, 253);
        read_text(item, "pod", &f->pod, 253);
        f->exit_code = json_integer(item, "exitCode", TRAININGJOB_NONE);
        f->signal = json_integer(item, "signal", 0);
        read_word(item, "cause", f->cause, sizeof f->cause);
        f->step = json_integer(item, "step", TRAININGJOB_NONE);
        f->steps_lost = json_integer(item, "stepsLost", TRAININGJOB_NONE);
        read_text(item, "message", &f->message, TRAININGJOB_MESSAGE_MAX);
    }
}

/* All of it or nothing: half a record would judge wrongly. */
static void read_poison(const cJSON *from, struct trainingjob_poison *p)
{
    const cJSON *item;
    int64_t checkpoint_step = json_integer(from, "checkpointStep", TRAININGJOB_NONE);
    if (checkpoint_step < 0)
        return;
    (void)items_of(from, "strikes", TRAININGJOB_STRIKES_MAX, &item);
    for (; item; item = item->next)
        trainingjob_add_strike(p, checkpoint_step, json_string(item, "node", ""),
                               json_integer(item, "step", TRAININGJOB_NONE));
    p->went_back = p->strikes_count > 0 && json_bool(from, "wentBack", false);
}

static void read_recovery(const cJSON *from, struct trainingjob_recovery *r)
{
    const cJSON *item;
    size_t count = items_of(from, "avoidNodes", TRAININGJOB_AVOID_MAX, &item);
    r->avoid = new_array(count, sizeof *r->avoid);
    for (; item; item = item->next) {
        if (!json_string(item, "node", NULL))
            continue;
        struct trainingjob_avoided *a = &r->avoid[r->avoid_count++];
        read_text(item, "node", &a->node, 253);
        a->until_ms = trainingjob_time(item, "until");
        a->faults = read_count(item, "faults");
    }
    count = items_of(from, "skippedCheckpoints", TRAININGJOB_SKIPPED_MAX, &item);
    r->skipped = new_array(count, sizeof *r->skipped);
    for (; item; item = item->next) {
        if (json_is_integer(item, &r->skipped[r->skipped_count]))
            r->skipped_count++;
    }
    read_poison(json_member(from, "poison"), &r->poison);
    r->charged_at_step = json_integer(from, "chargedAtStep", TRAININGJOB_NONE);
    r->highest_checkpoint_step = json_integer(from, "highestCheckpointStep", TRAININGJOB_NONE);
    r->in_place_failures = read_count(from, "inPlaceFailures");
    r->resume_step = json_integer(from, "resumeStep", TRAININGJOB_NONE);
    read_text(from, "resumePath", &r->resume_path, TRAININGJOB_PATH_MAX);
    r->next_attempt_ms = trainingjob_time(from, "nextAttemptTime");
    read_word(from, "pendingStop.reason", r->pending_stop, sizeof r->pending_stop);
    r->pending_stop_ms = trainingjob_time(from, "pendingStop.time");
}

static void read_preemption(const cJSON *from, struct trainingjob_preemption *p)
{
    p->revocable = json_bool(from, "revocable", false);
    p->count = read_count(from, "count");
    read_word(from, "reason", p->reason, sizeof p->reason);
    read_text(from, "by", &p->by, TRAININGJOB_MESSAGE_MAX);
    read_text(from, "byUID", &p->by_uid, TRAININGJOB_WORD_MAX);
    p->time_ms = trainingjob_time(from, "time");
    p->waited_s = read_count(from, "waitedSeconds");
    p->attained_s = read_count(from, "attainedSeconds");
}

static void read_progress(const cJSON *from, struct trainingjob_status *s)
{
    s->checkpoint.step = json_integer(from, "checkpoint.step", TRAININGJOB_NONE);
    read_text(from, "checkpoint.path", &s->checkpoint.path, TRAININGJOB_PATH_MAX);
    s->checkpoint.time_ms = trainingjob_time(from, "checkpoint.time");
    s->progress.step = json_integer(from, "progress.step", TRAININGJOB_NONE);
    s->progress.total_steps = json_integer(from, "progress.totalSteps", 0);
    s->progress.steps_per_second = json_number(from, "progress.stepsPerSecond", 0);
    s->progress.remaining_seconds =
        json_integer(from, "progress.estimatedRemainingSeconds", TRAININGJOB_NONE);
}

void trainingjob_status_read(const cJSON *from, struct trainingjob_status *ret_status)
{
    struct trainingjob_status *s = ret_status;
    trainingjob_status_init(s);
    if (!cJSON_IsObject(from))
        return;
    s->phase = read_phase(from);
    read_conditions(from, s);
    read_failures(from, s);
    read_recovery(json_member(from, "recovery"), &s->recovery);
    read_progress(from, s);
    s->queue.position = json_integer(from, "queue.position", 0);
    s->queue.estimated_start_ms = trainingjob_time(from, "queue.estimatedStartTime");
    read_word(from, "queue.reason", s->queue.reason, sizeof s->queue.reason);
    read_text(from, "queue.explanation", &s->queue.explanation, TRAININGJOB_MESSAGE_MAX);
    read_text(from, "queue.topologyLevels", &s->queue.topology_levels, TRAININGJOB_LEVELS_MAX);
    read_preemption(json_member(from, "preemption"), &s->preemption);
    read_text(from, "placement.workers", &s->placement, TRAININGJOB_PLACEMENT_MAX);
    read_text(from, "placement.podCreations", &s->pod_creations, TRAININGJOB_POD_CREATIONS_MAX);
    s->attempt = read_count(from, "attempt");
    s->restarts = read_count(from, "restarts");
    s->restarts_charged = read_count(from, "restartsCharged");
    read_text(from, "workers", &s->workers, TRAININGJOB_WORD_MAX);
    s->gpus = json_integer(from, "gpus", 0);
    s->replicas = json_integer(from, "replicas", 0);
    s->ready_replicas = json_integer(from, "readyReplicas", 0);
    read_text(from, "selector", &s->selector, TRAININGJOB_MESSAGE_MAX);
    s->start_ms = trainingjob_time(from, "startTime");
    s->completion_ms = trainingjob_time(from, "completionTime");
    s->observed_generation = json_integer(from, "observedGeneration", 0);
    read_text(from, "launcherImage", &s->launcher_image, TRAININGJOB_PATH_MAX);
}
