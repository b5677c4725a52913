/* Events about pods: counted when they repeat, bounded in rate and in number, and never in the way
 * of the pods themselves: one request at a time. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/clock_text.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"
#include "localcluster/agent/internal.h"

#define MERGE_PATCH "application/merge-patch+json"
#define EVENT_NAME_MAX (POD_NAME_MAX + 24)
#define EVENT_MESSAGE_MAX 1024 /* as client-go's recorder cuts */

struct event {
    char namespace_[POD_NAME_MAX], name[EVENT_NAME_MAX], pod[POD_NAME_MAX], uid[POD_UID_MAX];
    char type[16], reason[POD_REASON_MAX], message[EVENT_MESSAGE_MAX];
    int64_t count, first_ms, last_ms;
    bool stored;  /* the API has it: from then on only count and time are patched */
    bool waiting; /* in the queue */
};

struct event_recorder {
    struct agent *agent;
    struct event remembered[AGENT_EVENTS_REMEMBERED]; /* a ring: the oldest is forgotten */
    size_t next;
    struct event
        *queue[AGENT_EVENTS_QUEUED_MAX]; /* owned copies are not needed: the ring outlives */
    size_t queue_head, queue_count;
    struct event *sending;
    double tokens;
    int64_t tokens_ms;
    int64_t dropped;
    uv_timer_t timer;
};

static void send_next(struct event_recorder *r);

static void timer_fired(uv_timer_t *timer)
{
    send_next(timer->data);
}

struct event_recorder *events_new(struct agent *a)
{
    struct event_recorder *r = mlt_calloc(1, sizeof *r);
    r->agent = a;
    r->tokens = AGENT_EVENTS_BURST;
    (void)uv_timer_init(&a->loop, &r->timer);
    r->timer.data = r;
    return r;
}

/* ---- sending ---- */

static void answered(void *arg, int status, const char *body, size_t length)
{
    struct event_recorder *r = arg;
    (void)length;
    if (status >= 200 && status < 300)
        r->sending->stored = true;
    else
        mlt_log(MLT_LOG_WARNING, "event not stored status=%d: %.200s", status, body);
    r->sending = NULL;
    send_next(r);
}

static cJSON *event_object(const struct agent *a, const struct event *e)
{
    char first[MLT_TIME_TEXT_MAX], last[MLT_TIME_TEXT_MAX];
    cJSON *o = cJSON_CreateObject();
    mlt_time_format(e->first_ms, first);
    mlt_time_format(e->last_ms, last);
    json_set_integer(o, "count", e->count);
    json_set_string(o, "lastTimestamp", last);
    if (e->stored)
        return o;
    json_set_string(o, "apiVersion", "v1");
    json_set_string(o, "kind", "Event");
    json_set_string(o, "metadata.name", e->name);
    json_set_string(o, "metadata.namespace", e->namespace_);
    json_set_string(o, "involvedObject.apiVersion", "v1");
    json_set_string(o, "involvedObject.kind", "Pod");
    json_set_string(o, "involvedObject.namespace", e->namespace_);
    json_set_string(o, "involvedObject.name", e->pod);
    json_set_string(o, "involvedObject.uid", e->uid);
    json_set_string(o, "type", e->type);
    json_set_string(o, "reason", e->reason);
    json_set_string(o, "message", e->message);
    json_set_string(o, "firstTimestamp", first);
    json_set_string(o, "source.component", "mltrain-agent");
    json_set_string(o, "source.host", a->options.node);
    json_set_string(o, "reportingComponent", "mltrain-agent");
    json_set_string(o, "reportingInstance", a->options.node);
    return o;
}

static bool take_token(struct event_recorder *r)
{
    int64_t now = agent_now(r->agent).mono_ms;
    r->tokens += (double)(now - r->tokens_ms) * AGENT_EVENTS_PER_SECOND / 1000.0;
    r->tokens_ms = now;
    if (r->tokens > AGENT_EVENTS_BURST)
        r->tokens = AGENT_EVENTS_BURST;
    if (r->tokens < 1) {
        (void)uv_timer_start(&r->timer, timer_fired, 1000 / AGENT_EVENTS_PER_SECOND, 0);
        return false;
    }
    r->tokens -= 1;
    return true;
}

static void send_next(struct event_recorder *r)
{
    if (r->sending || r->queue_count == 0 || !take_token(r))
        return;
    struct event *e = r->queue[r->queue_head];
    r->queue_head = (r->queue_head + 1) % AGENT_EVENTS_QUEUED_MAX;
    r->queue_count--;
    e->waiting = false;
    r->sending = e;
    cJSON *body = event_object(r->agent, e);
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    kube_path(&path, KUBE_EVENT, e->namespace_, e->stored ? e->name : NULL, NULL, NULL);
    (void)api_send(r->agent, e->stored ? "PATCH" : "POST", mlt_text_string(&path),
                   e->stored ? MERGE_PATCH : NULL, body, answered, r);
    cJSON_Delete(body);
    mlt_text_release(&path);
}

/* ---- recording ---- */

static struct event *same_event(struct event_recorder *r, const struct pod_spec *spec,
                                const char *reason, const char *message)
{
    for (size_t i = 0; i < AGENT_EVENTS_REMEMBERED; i++) {
        struct event *e = &r->remembered[i];
        if (e->count > 0 && strcmp(e->uid, spec->uid) == 0 && strcmp(e->reason, reason) == 0 &&
            strcmp(e->message, message) == 0)
            return e;
    }
    return NULL;
}

/* The oldest place that nobody waits for; NULL when all are in the queue: then the event is
 * dropped. */
static struct event *free_place(struct event_recorder *r)
{
    for (size_t tries = 0; tries < AGENT_EVENTS_REMEMBERED; tries++) {
        struct event *e = &r->remembered[r->next];
        r->next = (r->next + 1) % AGENT_EVENTS_REMEMBERED;
        if (!e->waiting && e != r->sending)
            return e;
    }
    return NULL;
}

static struct event *new_event(struct event_recorder *r, const struct pod_spec *spec,
                               const char *type, const char *reason, const char *message,
                               int64_t now_ms)
{
    struct event *e = free_place(r);
    if (!e)
        return NULL;
    *e = (struct event){.first_ms = now_ms};
    (void)snprintf(e->namespace_, sizeof e->namespace_, "%s", spec->namespace_);
    (void)snprintf(e->pod, sizeof e->pod, "%s", spec->name);
    (void)snprintf(e->uid, sizeof e->uid, "%s", spec->uid);
    (void)snprintf(e->type, sizeof e->type, "%s", type);
    (void)snprintf(e->reason, sizeof e->reason, "%s", reason);
    (void)snprintf(e->message, sizeof e->message, "%s", message);
    /* client-go's form of the name: the object's and a number that does not repeat */
    (void)snprintf(e->name, sizeof e->name, "%.230s.%016" PRIx64, spec->name,
                   mlt_random_next(&r->agent->random));
    return e;
}

void events_record(struct agent *a, const struct pod_spec *spec, const char *type,
                   const char *reason, const char *format, ...)
{
    struct event_recorder *r = a->events;
    char message[EVENT_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    int64_t now = agent_now(a).wall_ms;
    struct event *e = same_event(r, spec, reason, message);
    if (!e)
        e = new_event(r, spec, type, reason, message, now);
    if (!e || (!e->waiting && r->queue_count == AGENT_EVENTS_QUEUED_MAX)) {
        if (r->dropped++ == 0)
            mlt_log(MLT_LOG_WARNING,
                    "events come faster than they may be stored; some are dropped");
        return;
    }
    e->count++;
    e->last_ms = now;
    if (!e->waiting) {
        e->waiting = true;
        r->queue[(r->queue_head + r->queue_count++) % AGENT_EVENTS_QUEUED_MAX] = e;
    }
    send_next(r);
}
