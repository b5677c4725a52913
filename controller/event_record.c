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

/* Thousands of jobs have one or two: its words stand behind it, in one piece of memory. */
struct event_entry {
    const char *uid, *reason, *message; /* in `words`; the first `key_length` bytes: the key */
    const char *namespace_, *job_name, *job_version;
    uint64_t name; /* of the object: that of the job, and this number */
    uint32_t key_length, count;
    int64_t last_ms, first_wall_ms, last_wall_ms;
    bool warning, is_unsent, is_created;
    int64_t unsent_since_ms;
    TAILQ_ENTRY(event_entry) link; /* of those that are not sent */
    UT_hash_handle hh;
    char words[];
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
    free(e);
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
static bool spend(struct job *job, int64_t reserve)
{
    struct event_budget *b = &job->event_budget;
    int64_t now_ms = job->controller->now_ms;
    if (!b->is_open)
        *b = (struct event_budget){.is_open = true, .left = EVENT_BURST, .filled_ms = now_ms};
    int64_t refill = (now_ms - b->filled_ms) / EVENT_REFILL_MS;
    b->filled_ms += refill * EVENT_REFILL_MS;
    b->left = (int)(b->left + refill < EVENT_BURST ? b->left + refill : EVENT_BURST);
    if (b->left <= reserve)
        return false;
    b->left--;
    return true;
}

/* ---- sending ---- */

/* Of the object; the caller frees it. */
static char *name_of(const struct event_entry *e)
{
    return mlt_asprintf("%s.%016" PRIx64, e->job_name, e->name);
}

static cJSON *creation_of(const struct controller *c, const struct event_entry *e, const char *name)
{
    char first[MLT_TIME_TEXT_MAX], last[MLT_TIME_TEXT_MAX];
    mlt_time_format(e->first_wall_ms, first);
    mlt_time_format(e->last_wall_ms, last);
    cJSON *event = cJSON_CreateObject();
    json_set_string(event, "apiVersion", kube_api_version(KUBE_EVENT));
    json_set_string(event, "kind", "Event");
    json_set_string(event, "metadata.name", name);
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
    cleanup_free char *name = name_of(e);
    cleanup_json cJSON *body = e->is_created ? patch_of(e) : creation_of(c, e, name);
    cleanup_free char *text = json_print(body);
    cleanup_free char *key = mlt_asprintf("event/%s/%s", e->namespace_, name);
    kube_path(&path, KUBE_EVENT, e->namespace_, e->is_created ? name : NULL, NULL, NULL);
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

#define WORDS 6 /* the first three are the key: the same again, whenever it comes, has the same */

/* All of it in one, each with its NUL. */
static struct event_entry *entry_new(const struct job *job, const char *reason, const char *message)
{
    const char *version = job->resource_version ? job->resource_version : "";
    const char *const parts[WORDS] = {job->uid,        reason,    message,
                                      job->namespace_, job->name, version};
    size_t sizes[WORDS], length = 0, key_length = 0;
    for (size_t i = 0; i < WORDS; i++) {
        sizes[i] = strlen(parts[i]) + 1;
        length += sizes[i];
        key_length += i < 3 ? sizes[i] : 0;
    }
    struct event_entry *e = mlt_calloc(1, sizeof *e + length);
    const char **const to[WORDS] = {&e->uid,        &e->reason,   &e->message,
                                    &e->namespace_, &e->job_name, &e->job_version};
    e->key_length = (uint32_t)key_length;
    char *at = e->words;
    for (size_t i = 0; i < WORDS; i++) {
        memcpy(at, parts[i], sizes[i]);
        *to[i] = at;
        at += sizes[i];
    }
    return e;
}

static void entry_add(struct controller *c, struct event_entry *e, bool warning)
{
    if (HASH_COUNT(c->events.entries) >= EVENT_ENTRIES_MAX) {
        c->metrics.count[METRIC_EVENTS_DROPPED] += c->events.entries->is_unsent;
        entry_free(&c->events, c->events.entries);
    }
    e->name = mlt_random_next(&c->random);
    e->warning = warning;
    e->first_wall_ms = c->wall_ms;
    HASH_ADD_KEYPTR(hh, c->events.entries, e->words, e->key_length, e);
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
    if (!spend(job, reserve_of(job, warning))) {
        c->metrics.count[METRIC_EVENTS_DROPPED]++;
        return;
    }
    struct event_entry *e, *made = entry_new(job, reason, message);
    HASH_FIND(hh, c->events.entries, made->words, made->key_length, e);
    if (e && c->now_ms - e->last_ms > EVENT_AGGREGATE_MS) {
        entry_free(&c->events, e);
        e = NULL;
    }
    if (e) {
        free(made);
    } else {
        e = made;
        entry_add(c, e, warning);
    }
    count_up(c, e);
}
