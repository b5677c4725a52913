/* core/v1 Events: see event_record.h. Source of the habits: client-go,
 * tools/record/events_cache.go. */
#include "controller/event_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"

struct event_entry {
    char *key;
    char *name;
    int64_t count, last_ms;
    UT_hash_handle hh;
};

struct event_budget {
    char *job_uid;
    int64_t left, filled_ms;
    UT_hash_handle hh;
};

static void entry_free(struct event_recorder *recorder, struct event_entry *e)
{
    HASH_DEL(recorder->entries, e);
    free(e->key);
    free(e->name);
    free(e);
}

static void budget_free(struct event_recorder *recorder, struct event_budget *b)
{
    HASH_DEL(recorder->budgets, b);
    free(b->job_uid);
    free(b);
}

void event_forget_job(struct event_recorder *recorder, const char *job_uid)
{
    struct event_budget *b;
    HASH_FIND_STR(recorder->budgets, job_uid, b);
    if (b)
        budget_free(recorder, b);
}

void event_recorder_release(struct event_recorder *recorder)
{
    while (recorder->entries)
        entry_free(recorder, recorder->entries);
    while (recorder->budgets)
        budget_free(recorder, recorder->budgets);
}

/* How much of the budget is kept for what matters more: a job that fails in a loop must not use up
 * what tells how it ended. */
static int64_t reserve_of(const struct job *job, bool warning)
{
    if (job_finished(job))
        return 0;
    return warning ? EVENT_RESERVE_END : EVENT_RESERVE_WARNINGS;
}

/* Takes one event from the job's budget; false when no more than the reserve is left. */
static bool spend(struct controller *c, const char *job_uid, int64_t reserve)
{
    struct event_budget *b;
    HASH_FIND_STR(c->events.budgets, job_uid, b);
    if (!b) {
        b = mlt_calloc(1, sizeof *b);
        b->job_uid = mlt_strdup(job_uid);
        b->left = EVENT_BURST;
        b->filled_ms = c->now_ms;
        HASH_ADD_KEYPTR(hh, c->events.budgets, b->job_uid, strlen(b->job_uid), b);
    }
    int64_t refill = (c->now_ms - b->filled_ms) / EVENT_REFILL_MS;
    b->filled_ms += refill * EVENT_REFILL_MS;
    b->left = b->left + refill < EVENT_BURST ? b->left + refill : EVENT_BURST;
    if (b->left <= reserve)
        return false;
    b->left--;
    return true;
}

static void event_send(struct job *job, const char *verb, const char *name, const cJSON *body)
{
    bool create = strcmp(verb, "POST") == 0;
    cleanup_free char *text = json_print(body);
    cleanup_free char *key = mlt_asprintf("event/%s/%s", job->namespace_, name);
    apply_for_job(job, (struct apply_target){.resource = KUBE_EVENT, .name = create ? NULL : name},
                  (struct apply_order){
                      .verb = verb,
                      .content_type = create ? NULL : "application/merge-patch+json",
                      .body = text,
                      .key = key,
                      .try_once = true,
                  });
}

static cJSON *event_object(const struct job *job, const char *name, bool warning,
                           const char *reason, const char *message)
{
    const struct controller *c = job->controller;
    char time[MLT_TIME_TEXT_MAX];
    mlt_time_format(c->wall_ms, time);
    cJSON *event = cJSON_CreateObject();
    json_set_string(event, "apiVersion", kube_api_version(KUBE_EVENT));
    json_set_string(event, "kind", "Event");
    json_set_string(event, "metadata.name", name);
    json_set_string(event, "metadata.namespace", job->namespace_);
    json_set_string(event, "involvedObject.apiVersion", TRAININGJOB_API_VERSION);
    json_set_string(event, "involvedObject.kind", TRAININGJOB_KIND);
    json_set_string(event, "involvedObject.namespace", job->namespace_);
    json_set_string(event, "involvedObject.name", job->name);
    json_set_string(event, "involvedObject.uid", job->uid);
    json_set_string(event, "involvedObject.resourceVersion", job->resource_version);
    json_set_string(event, "type", warning ? "Warning" : "Normal");
    json_set_string(event, "reason", reason);
    json_set_string(event, "message", message);
    json_set_integer(event, "count", 1);
    json_set_string(event, "firstTimestamp", time);
    json_set_string(event, "lastTimestamp", time);
    json_set_string(event, "source.component", "mltrain-controller");
    json_set_string(event, "reportingComponent", "mltrain-controller");
    json_set_string(event, "reportingInstance", c->config.identity);
    return event;
}

static struct event_entry *entry_add(struct job *job, const char *key)
{
    struct controller *c = job->controller;
    if (HASH_COUNT(c->events.entries) >= EVENT_ENTRIES_MAX)
        entry_free(&c->events, c->events.entries);
    struct event_entry *e = mlt_calloc(1, sizeof *e);
    e->key = mlt_strdup(key);
    e->name = mlt_asprintf("%s.%016" PRIx64, job->name, mlt_random_next(&c->random));
    HASH_ADD_KEYPTR(hh, c->events.entries, e->key, strlen(e->key), e);
    return e;
}

static void count_up(struct job *job, struct event_entry *e)
{
    char time[MLT_TIME_TEXT_MAX];
    mlt_time_format(job->controller->wall_ms, time);
    cleanup_json cJSON *patch = cJSON_CreateObject();
    json_set_integer(patch, "count", e->count);
    json_set_string(patch, "lastTimestamp", time);
    event_send(job, "PATCH", e->name, patch);
}

void event_record(struct job *job, bool warning, const char *reason, const char *format, ...)
{
    struct controller *c = job->controller;
    char message[EVENT_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (!spend(c, job->uid, reserve_of(job, warning))) {
        c->metrics.count[METRIC_EVENTS_DROPPED]++;
        return;
    }
    cleanup_free char *key = mlt_asprintf("%s|%s|%s", job->uid, reason, message);
    struct event_entry *e;
    HASH_FIND_STR(c->events.entries, key, e);
    if (e && c->now_ms - e->last_ms > EVENT_AGGREGATE_MS) {
        entry_free(&c->events, e);
        e = NULL;
    }
    if (e) {
        e->count++;
        e->last_ms = c->now_ms;
        count_up(job, e);
        return;
    }
    e = entry_add(job, key);
    e->count = 1;
    e->last_ms = c->now_ms;
    cleanup_json cJSON *object = event_object(job, e->name, warning, reason, message);
    event_send(job, "POST", e->name, object);
}
