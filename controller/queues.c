/* See queues.h. */
#include "controller/queues.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/number.h"
#include "lib/json/json.h"

#define SHARE_SECOND                                                            \
    ((double)GANG_SHARE_ONE * 1000) /* of usage: the whole cluster for a second \
                                     */
#define SHARE_SECONDS_MAX 8e9
#define QUEUE_TIME_NOISE_MS 5000

struct queue {
    char *name;
    char *version; /* resourceVersion of the object */
    cJSON *status; /* as it stands in the API server; NULL: none */
    bool writing;
    int64_t write_ms; /* not before */
    unsigned list_seen;
    UT_hash_handle hh;
};

static struct queue *queue_find(const struct controller *c, const char *name)
{
    struct queue *q;
    HASH_FIND_STR(c->view.queues, name, q);
    return q;
}

void queue_seen(struct view_source *s, const cJSON *object)
{
    struct controller *c = s->controller;
    const char *name = json_string(object, "metadata.name", "");
    struct queue *q = queue_find(c, name);
    if (!q) {
        q = mlt_calloc(1, sizeof *q);
        q->name = mlt_strdup(name);
        HASH_ADD_KEYPTR(hh, c->view.queues, q->name, strlen(q->name), q);
    }
    q->list_seen = s->list_round;
    free(q->version);
    q->version = mlt_strdup(json_string(object, "metadata.resourceVersion", ""));
    cJSON_Delete(q->status);
    q->status = json_copy(json_member(object, "status"));
    ledger_queue(c->ledger, object);
}

static void queue_free(struct view *v, struct queue *q)
{
    HASH_DEL(v->queues, q);
    cJSON_Delete(q->status);
    free(q->version);
    free(q->name);
    free(q);
}

static void queue_gone(struct controller *c, struct queue *q)
{
    ledger_queue_gone(c->ledger, q->name);
    queue_free(&c->view, q);
}

void queue_deleted(struct controller *c, const char *name)
{
    struct queue *q = queue_find(c, name);
    if (q)
        queue_gone(c, q);
}

void queues_listed(struct view_source *s)
{
    struct controller *c = s->controller;
    struct queue *q, *next;
    HASH_ITER(hh, c->view.queues, q, next)
    if (q->list_seen != s->list_round)
        queue_gone(c, q);
}

void queues_release(struct view *v)
{
    struct queue *q, *next;
    HASH_ITER(hh, v->queues, q, next)
    queue_free(v, q);
}

/* ---- past use ---- */

static int64_t usage_of(const struct queue *q, int64_t wall_ms)
{
    double seconds = json_number(q->status, "usageHistory.clusterSeconds", 0);
    int64_t age_ms = wall_ms - json_integer(q->status, "usageHistory.asOf", 0) * 1000;
    if (!(seconds > 0) || seconds > SHARE_SECONDS_MAX)
        return 0;
    return ledger_usage_aged((int64_t)(seconds * SHARE_SECOND + 0.5), age_ms);
}

void queues_restore(struct controller *c)
{
    if (c->queues_restored)
        return;
    c->queues_restored = true;
    c->queues_look_ms = c->now_ms + QUEUE_LOOK_MS; /* what was interrupted settles first */
    for (struct queue *q = c->view.queues; q; q = q->hh.next) {
        int64_t usage = usage_of(q, c->wall_ms);
        if (usage > 0)
            ledger_queue_usage(c->ledger, q->name, usage);
    }
}

/* ---- what a status says ---- */

static cJSON *amounts(const struct ledger_queue_view *v, const int64_t *of)
{
    cJSON *object = cJSON_CreateObject();
    for (uint32_t i = 0; i < v->resources; i++) {
        char text[MLT_QUANTITY_TEXT_MAX];
        if (of[i] <= 0)
            continue;
        if (i == GANG_CPU_MILLI)
            mlt_quantity_format_milli(of[i], text);
        else if (i == GANG_MEMORY)
            mlt_quantity_format_bytes(of[i], text);
        else
            (void)snprintf(text, sizeof text, "%" PRId64, of[i]);
        cJSON_AddStringToObject(object, v->names[i], text);
    }
    return object;
}

/* All but past use. */
static cJSON *status_of(const struct controller *c, const struct ledger_queue_view *v)
{
    cJSON *status = cJSON_CreateObject();
    json_set_integer(status, "pending", (int64_t)v->sums.pending_jobs + v->refused_jobs);
    json_set_integer(status, "running", v->sums.running_jobs);
    cJSON_AddItemToObject(status, "usage", amounts(v, v->sums.used));
    cJSON_AddItemToObject(status, "borrowed", amounts(v, v->sums.borrowed));
    cJSON_AddItemToObject(status, "lent", amounts(v, v->sums.lent));
    cJSON_AddItemToObject(status, "requested", amounts(v, v->sums.pending));
    if (v->sums.longest_wait_since_ms) {
        char text[MLT_TIME_TEXT_MAX];
        mlt_time_format(v->sums.longest_wait_since_ms - c->now_ms + c->wall_ms, text);
        json_set_string(status, "waitingSince", text);
    }
    return status;
}

/* What is there, ours, and not wanted any more, has to be named in a merge patch. */
static void add_nulls(cJSON *wanted, const cJSON *seen)
{
    const cJSON *old;
    cJSON_ArrayForEach(old, seen)
    {
        cJSON *now = cJSON_GetObjectItemCaseSensitive(wanted, old->string ? old->string : "");
        if (!now && old->string && strcmp(old->string, "usageHistory") != 0)
            cJSON_AddNullToObject(wanted, old->string);
        else if (cJSON_IsObject(now) && cJSON_IsObject(old))
            add_nulls(now, old);
    }
}

/* The clock's jumps move waitingSince by a moment: that is nothing new. */
static bool same_time(const char *a, const char *b)
{
    int64_t x, y;
    if (!a || !b || mlt_time_parse(a, &x, NULL) < 0 || mlt_time_parse(b, &y, NULL) < 0)
        return !a && !b;
    return x - y < QUEUE_TIME_NOISE_MS && y - x < QUEUE_TIME_NOISE_MS;
}

static bool is_as_seen(const cJSON *wanted, const cJSON *seen)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, wanted)
    {
        const cJSON *old = json_member(seen, item->string);
        bool same = old ? json_equal(item, old) : cJSON_IsObject(item) && json_size(item, "") == 0;
        if (!same && strcmp(item->string, "waitingSince") != 0)
            return false;
    }
    return same_time(json_string(wanted, "waitingSince", NULL),
                     json_string(seen, "waitingSince", NULL));
}

static void set_history(cJSON *status, const struct controller *c, int64_t usage)
{
    cJSON *history = json_set_object(status, "usageHistory");
    cJSON_AddNumberToObject(history, "clusterSeconds", (double)usage / SHARE_SECOND);
    json_set_integer(history, "asOf", c->wall_ms / 1000);
}

/* Whether the status does not let a next controller know it, a thousandth more or less. */
static bool history_is_new(const struct controller *c, const struct queue *q,
                           const struct ledger_queue_view *v)
{
    int64_t known = usage_of(q, c->wall_ms), usage = v->sums.usage;
    int64_t difference = known > usage ? known - usage : usage - known;
    return v->shares && difference > usage / 1000;
}

/* ---- writing ---- */

static void written(struct controller *c, const struct apply_order *order,
                    const struct apply_answer *answer)
{
    struct queue *q = queue_find(c, order->key);
    if (!q)
        return;
    q->writing = false;
    if (answer->status == 409)
        q->write_ms = c->now_ms + QUEUE_LOOK_MS; /* a newer object: it is on its way */
    else if (answer->status >= 400 && answer->status != 404)
        controller_log(c, MLT_LOG_WARNING, "status of a queue was refused queue=%s error=\"%s\"",
                       q->name, answer->words);
}

/* Takes `status`. */
static void write_status(struct controller *c, struct queue *q, cJSON *status)
{
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    cleanup_json cJSON *patch = cJSON_CreateObject();
    json_set_string(patch, "metadata.resourceVersion", q->version);
    add_nulls(status, q->status);
    cJSON_AddItemToObject(patch, "status", status);
    cleanup_free char *body = json_print(patch);
    kube_path(&path, KUBE_TRAININGQUEUE, NULL, q->name, "status", NULL);
    q->writing = true;
    q->write_ms = c->now_ms + QUEUE_WRITE_MS;
    apply_send(c, &(struct apply_order){.verb = "PATCH",
                                        .path = mlt_text_string(&path),
                                        .content_type = "application/merge-patch+json",
                                        .body = body,
                                        .key = q->name,
                                        .try_once = true,
                                        .done = written});
    mlt_text_release(&path);
}

/* Whether it wrote past use alone. */
static bool look(struct controller *c, struct queue *q, bool may_write_history)
{
    struct ledger_queue_view v;
    if (q->writing || q->write_ms > c->now_ms ||
        !ledger_queue_look(c->ledger, q->name, c->now_ms, &v))
        return false;
    cJSON *status = status_of(c, &v);
    bool same = is_as_seen(status, q->status);
    if (same && !(may_write_history && history_is_new(c, q, &v))) {
        cJSON_Delete(status);
        return false;
    }
    if (v.shares)
        set_history(status, c, v.sums.usage);
    write_status(c, q, status);
    return same;
}

int64_t queues_pump(struct controller *c)
{
    if (!c->view.queues)
        return INT64_MAX;
    if (c->queues_look_ms > c->now_ms)
        return c->queues_look_ms;
    c->queues_look_ms = c->now_ms + QUEUE_LOOK_MS;
    /* The one whose past use was written goes to the end of the line. */
    struct queue *q, *next, *last = NULL;
    HASH_ITER(hh, c->view.queues, q, next)
    if (look(c, q, !last))
        last = q;
    if (last) {
        HASH_DEL(c->view.queues, last);
        HASH_ADD_KEYPTR(hh, c->view.queues, last->name, strlen(last->name), last);
    }
    return c->queues_look_ms;
}
