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
    char *key; /* the job's UID, reason and message, each with its NUL */
    size_t key_length;
    const char *uid, *reason, *message; /* in it */
    char *name, *namespace_, *job_name, *job_version;
    bool warning;
    int64_t count, last_ms;
    int64_t first_wall_ms, last_wall_ms;
    bool is_unsent, is_created;
    int64_t unsent_since_ms;
    TAILQ_ENTRY(event_entry) link; /* of those that are not sent */
    UT_hash_handle hh;
};

struct event_budget {
    char *job_uid;
    int64_t left, filled_ms;
    UT_hash_handle hh;
};

static struct event_queue *queue_of(struct event_recorder *recorder, const struct event_entry *e)
{
    return &recorder->unsent[e->warning ? 0 : 1];
}

static void entry_free(struct event_recorder *recorder, struct event_entry *e)
{
    HASH_DEL(recorder->entries, e);
    if (e->is_unsent)
        TAILQ_REMOVE(queue_of(recorder, e), e, link);
    free(e->key);
    free(e->name);
    free(e->namespace_);
    free(e->job_name);
    free(e->job_version);
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

void event_recorder_init(struct event_recorder *recorder)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(recorder->unsent); i++)
        TAILQ_INIT(&recorder->unsent[i]);
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

/* ---- sending ---- */

static cJSON *creation_of(const struct controller *c, const struct event_entry *e)
{
    char first[MLT_TIME_TEXT_MAX], last[MLT_TIME_TEXT_MAX];
    mlt_time_format(e->first_wall_ms, first);
    mlt_time_format(e->last_wall_ms, last);
    cJSON *event = cJSON_CreateObject();
    json_set_string(event, "apiVersion", kube_api_version(KUBE_EVENT));
    json_set_string(event, "kind", "Event");
    json_set_string(event, "metadata.name", e->name);
    json_set_string(event, "metadata.namespace", e->namespace_);
    json_set_string(event, "involvedObject.apiVersion", TRAININGJOB_API_VERSION);
    json_set_string(event, "involvedObject.kind", TRAININGJOB_KIND);
    json_set_string(event, "involvedObject.namespace", e->namespace_);
    json_set_string(event, "involvedObject.name", e->job_name);
    json_set_string(event, "involvedObject.uid", e->uid);
    json_set_string(event, "involvedObject.resourceVersion", e->job_version);
    json_set_string(event, "type", e->warning ? "Warning" : "Normal");
    json_set_string(event, "reason", e->reason);
    json_set_string(event, "message", e->message);
    json_set_integer(event, "count", e->count);
    json_set_string(event, "firstTimestamp", first);
    json_set_string(event, "lastTimestamp", last);
    json_set_string(event, "source.component", "mltrain-controller");
    json_set_string(event, "reportingComponent", "mltrain-controller");
    json_set_string(event, "reportingInstance", c->config.identity);
    return event;
}

static cJSON *patch_of(const struct event_entry *e)
{
    char time[MLT_TIME_TEXT_MAX];
    mlt_time_format(e->last_wall_ms, time);
    cJSON *patch = cJSON_CreateObject();
    json_set_integer(patch, "count", e->count);
    json_set_string(patch, "lastTimestamp", time);
    return patch;
}

static void event_send(struct controller *c, struct event_entry *e)
{
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    cleanup_json cJSON *body = e->is_created ? patch_of(e) : creation_of(c, e);
    cleanup_free char *text = json_print(body);
    cleanup_free char *key = mlt_asprintf("event/%s/%s", e->namespace_, e->name);
    kube_path(&path, KUBE_EVENT, e->namespace_, e->is_created ? e->name : NULL, NULL, NULL);
    apply_send(c, &(struct apply_order){
                      .verb = e->is_created ? "PATCH" : "POST",
                      .path = mlt_text_string(&path),
                      .content_type = e->is_created ? "application/merge-patch+json" : NULL,
                      .body = text,
                      .key = key,
                      .try_once = true,
                      .is_lazy = true,
                  });
    mlt_text_release(&path);
    e->is_created = true;
}

void event_pump(struct controller *c)
{
    struct event_recorder *recorder = &c->events;
    struct event_entry *e, *next;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(recorder->unsent); i++)
        for (e = TAILQ_FIRST(&recorder->unsent[i]); e; e = next) {
            next = TAILQ_NEXT(e, link);
            if (apply_room(c, e->unsent_since_ms) == 0)
                break;
            TAILQ_REMOVE(&recorder->unsent[i], e, link);
            e->is_unsent = false;
            event_send(c, e);
        }
}

/* ---- recording ---- */

/* The same again, whenever it comes, has the same key. */
static char *key_of(const struct job *job, const char *reason, const char *message,
                    size_t *ret_length)
{
    const char *const parts[] = {job->uid, reason, message};
    size_t length = 0;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(parts); i++)
        length += strlen(parts[i]) + 1;
    char *key = mlt_calloc(1, length), *at = key;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(parts); i++) {
        size_t size = strlen(parts[i]) + 1;
        memcpy(at, parts[i], size);
        at += size;
    }
    *ret_length = length;
    return key;
}

/* Takes the key. */
static struct event_entry *entry_add(struct job *job, bool warning, char *key, size_t key_length)
{
    struct controller *c = job->controller;
    if (HASH_COUNT(c->events.entries) >= EVENT_ENTRIES_MAX) {
        c->metrics.count[METRIC_EVENTS_DROPPED] += c->events.entries->is_unsent;
        entry_free(&c->events, c->events.entries);
    }
    struct event_entry *e = mlt_calloc(1, sizeof *e);
    e->key = key;
    e->key_length = key_length;
    e->uid = key;
    e->reason = e->uid + strlen(e->uid) + 1;
    e->message = e->reason + strlen(e->reason) + 1;
    e->name = mlt_asprintf("%s.%016" PRIx64, job->name, mlt_random_next(&c->random));
    e->namespace_ = mlt_strdup(job->namespace_);
    e->job_name = mlt_strdup(job->name);
    e->job_version = mlt_strdup(job->resource_version);
    e->warning = warning;
    e->first_wall_ms = c->wall_ms;
    HASH_ADD_KEYPTR(hh, c->events.entries, e->key, e->key_length, e);
    return e;
}

static void count_up(struct controller *c, struct event_entry *e)
{
    e->count++;
    e->last_ms = c->now_ms;
    e->last_wall_ms = c->wall_ms;
    if (e->is_unsent)
        return;
    e->is_unsent = true;
    e->unsent_since_ms = c->now_ms;
    TAILQ_INSERT_TAIL(queue_of(&c->events, e), e, link);
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
    size_t key_length;
    char *key = key_of(job, reason, message, &key_length);
    struct event_entry *e;
    HASH_FIND(hh, c->events.entries, key, key_length, e);
    if (e && c->now_ms - e->last_ms > EVENT_AGGREGATE_MS) {
        entry_free(&c->events, e);
        e = NULL;
    }
    if (e)
        free(key);
    else
        e = entry_add(job, warning, key, key_length);
    count_up(c, e);
}
