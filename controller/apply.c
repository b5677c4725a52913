/* The in-flight window over the API server: see apply.h. Decides nothing about jobs. */
#include "controller/apply.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

struct apply_request {
    struct apply_order order; /* its strings are owned */
    struct kube_backoff backoff;
    int64_t not_before_ms;
    int64_t sent_ms;
    int64_t lazy_ms;   /* is_lazy: when it came */
    unsigned failures; /* 500s in a row */
    uint64_t id;       /* 0 while it waits */
    int status;
    int64_t retry_after_ms;
    struct mlt_text body; /* of the answer */
    struct apply_request *next, *previous;
    TAILQ_ENTRY(apply_request) lazy; /* of those that are */
    UT_hash_handle hh;               /* in flight, by id */
    UT_hash_handle hh_key;           /* in flight, by key */
};

/* It is over, or it alone is waited for, its backoff or its answer: others have its place. */
static void stop_being_lazy(struct apply *a, struct apply_request *r)
{
    if (!r->order.is_lazy)
        return;
    TAILQ_REMOVE(&a->lazy, r, lazy);
    a->lazy_count--;
    r->order.is_lazy = false;
}

static void be_lazy(struct controller *c, struct apply_request *r)
{
    if (c->apply.lazy_count == 0)
        TAILQ_INIT(&c->apply.lazy);
    r->lazy_ms = c->now_ms;
    TAILQ_INSERT_TAIL(&c->apply.lazy, r, lazy);
    c->apply.lazy_count++;
}

/* Who is out for so long that it may never be answered holds nobody back any more. */
static bool is_aged(const struct controller *c, const struct apply_request *r)
{
    return c->now_ms - r->lazy_ms >= APPLY_LAZY_PATIENCE_MS;
}

/* Returns when the next of them is. */
static int64_t age_lazy(struct controller *c)
{
    struct apply *a = &c->apply;
    while (a->lazy_count > 0) {
        struct apply_request *oldest = TAILQ_FIRST(&a->lazy);
        if (!is_aged(c, oldest))
            return oldest->lazy_ms + APPLY_LAZY_PATIENCE_MS;
        stop_being_lazy(a, oldest);
    }
    return INT64_MAX;
}

static void request_free(struct apply *a, struct apply_request *r)
{
    stop_being_lazy(a, r);
    free((void *)(uintptr_t)r->order.path);
    free((void *)(uintptr_t)r->order.body);
    free((void *)(uintptr_t)r->order.key);
    free((void *)(uintptr_t)r->order.job_uid);
    mlt_text_release(&r->body);
    free(r);
}

static void waiting_add(struct apply *a, struct apply_request *r)
{
    r->next = NULL;
    r->previous = a->waiting_tail;
    if (a->waiting_tail)
        a->waiting_tail->next = r;
    else
        a->waiting = r;
    a->waiting_tail = r;
    a->waiting_count++;
}

static void waiting_remove(struct apply *a, struct apply_request *r)
{
    if (r->previous)
        r->previous->next = r->next;
    else
        a->waiting = r->next;
    if (r->next)
        r->next->previous = r->previous;
    else
        a->waiting_tail = r->previous;
    a->waiting_count--;
}

void apply_send(struct controller *c, const struct apply_order *order)
{
    struct apply_request *r = mlt_calloc(1, sizeof *r);
    r->order = *order;
    r->order.path = mlt_strdup(order->path);
    r->order.body = mlt_strdup(order->body);
    r->order.key = mlt_strdup(order->key);
    r->order.job_uid = mlt_strdup(order->job_uid ? order->job_uid : "");
    r->backoff =
        (struct kube_backoff)KUBE_BACKOFF_INIT(APPLY_BACKOFF_BASE_MS, APPLY_BACKOFF_MAX_MS);
    mlt_text_init(&r->body, CONTROLLER_ANSWER_MAX);
    waiting_add(&c->apply, r);
    if (order->is_lazy)
        be_lazy(c, r);
}

unsigned apply_room(const struct controller *c, int64_t since_ms)
{
    const struct apply *a = &c->apply;
    unsigned part = request_window_size(&a->window) / APPLY_LAZY_PART;
    if (a->is_full)
        part = c->now_ms - since_ms >= APPLY_LAZY_PATIENCE_MS;
    else if (part == 0)
        part = 1;
    unsigned lazy = a->lazy_count;
    for (const struct apply_request *r = TAILQ_FIRST(&a->lazy); lazy > 0 && is_aged(c, r);
         r = TAILQ_NEXT(r, lazy))
        lazy--;
    return lazy < part ? part - lazy : 0;
}

void apply_for_job(struct job *job, struct apply_target target, struct apply_order order)
{
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    kube_path(&path, target.resource, job->namespace_, target.name, target.subresource,
              target.query);
    order.path = mlt_text_string(&path);
    order.job_uid = job->uid;
    apply_send(job->controller, &order);
    mlt_text_release(&path);
}

void apply_drop_job(struct controller *c, const char *job_uid)
{
    struct apply_request *next;
    for (struct apply_request *r = c->apply.waiting; r; r = next) {
        next = r->next;
        if (strcmp(r->order.job_uid, job_uid) == 0 && !r->order.try_once) {
            waiting_remove(&c->apply, r);
            request_free(&c->apply, r);
        }
    }
}

static bool key_is_busy(const struct apply *a, const struct apply_request *r)
{
    struct apply_request *other = NULL;
    if (r->order.key)
        HASH_FIND(hh_key, a->keys, r->order.key, strlen(r->order.key), other);
    return other != NULL;
}

/* Its turn has come. False: there is nothing to send. */
static bool write_body(struct controller *c, struct apply_request *r, struct mlt_error *err)
{
    if (!r->order.body && r->order.write)
        r->order.body = r->order.write(c, &r->order, err);
    return r->order.body || !r->order.write;
}

static void fly(struct controller *c, struct apply_request *r)
{
    struct apply *a = &c->apply;
    r->id = ++c->next_id;
    r->sent_ms = c->now_ms;
    r->status = 0;
    r->retry_after_ms = 0;
    mlt_text_clear(&r->body);
    HASH_ADD(hh, a->in_flight, id, sizeof r->id, r);
    if (r->order.key)
        HASH_ADD_KEYPTR(hh_key, a->keys, r->order.key, strlen(r->order.key), r);
    a->in_flight_count++;
    effects_request(&c->effects, r->id, r->order.verb, r->order.path, r->order.content_type,
                    r->order.body, false);
}

static struct apply_request *find(struct apply *a, uint64_t id)
{
    struct apply_request *r;
    HASH_FIND(hh, a->in_flight, &id, sizeof id, r);
    return r;
}

bool apply_status(struct controller *c, uint64_t id, int status, int64_t retry_after_ms)
{
    struct apply_request *r = find(&c->apply, id);
    if (!r)
        return false;
    r->status = status;
    r->retry_after_ms = retry_after_ms;
    return true;
}

bool apply_body(struct controller *c, uint64_t id, const char *data, size_t length)
{
    struct apply_request *r = find(&c->apply, id);
    if (!r)
        return false;
    mlt_text_add(&r->body, data, length);
    return true;
}

/* Tells whoever asked the answer in words. */
static void tell(struct controller *c, struct apply_request *r, const char *error,
                 apply_answered *told)
{
    cleanup_json cJSON *object = NULL;
    struct mlt_error err = {0};
    if (r->body.length && json_parse(r->body.data, r->body.length, &object, &err) < 0)
        object = NULL;
    char words[APPLY_WORDS_MAX] = "";
    if (error || r->status >= 400)
        (void)snprintf(words, sizeof words, "%s",
                       error ? error : json_string(object, "message", mlt_text_string(&r->body)));
    struct apply_answer answer = {
        .status = r->status,
        .object = object,
        .words = words,
        .reason = r->status >= 400 ? json_string(object, "reason", "") : "",
    };
    if (told)
        told(c, &r->order, &answer);
}

/* Whoever asked may ask for something else: after the walk over what waits. */
static void settle_unsent(struct controller *c, struct apply_request *unsent)
{
    struct apply_request *next;
    for (struct apply_request *r = unsent; r; r = next) {
        next = r->next;
        tell(c, r, r->body.length ? mlt_text_string(&r->body) : NULL, r->order.done);
        request_free(&c->apply, r);
    }
}

int64_t apply_pump(struct controller *c)
{
    struct apply *a = &c->apply;
    int64_t wake = age_lazy(c);
    struct apply_request *next, *unsent = NULL, **unsent_end = &unsent;
    unsigned window = request_window_size(&a->window);
    a->is_full = false;
    for (struct apply_request *r = a->waiting; r && !a->is_full; r = next) {
        struct mlt_error err = {0};
        next = r->next;
        if (r->not_before_ms > c->now_ms) {
            if (r->not_before_ms < wake)
                wake = r->not_before_ms;
            continue;
        }
        if (key_is_busy(a, r))
            continue;
        a->is_full = a->in_flight_count >= window;
        if (a->is_full)
            break;
        waiting_remove(a, r);
        if (write_body(c, r, &err)) {
            fly(c, r);
            continue;
        }
        r->status = APPLY_UNSENT;
        mlt_text_puts(&r->body, err.text);
        r->next = NULL;
        *unsent_end = r;
        unsent_end = &r->next;
    }
    settle_unsent(c, unsent);
    return wake;
}

bool apply_end(struct controller *c, uint64_t id, const char *error)
{
    struct apply *a = &c->apply;
    struct apply_request *r = find(a, id);
    if (!r)
        return false;
    HASH_DELETE(hh, a->in_flight, r);
    if (r->order.key)
        HASH_DELETE(hh_key, a->keys, r);
    a->in_flight_count--;
    r->id = 0;
    if (error || r->body.failed)
        r->status = 0;
    request_window_answered(&a->window, r->status, c->now_ms - r->sent_ms, c->now_ms);
    metrics_request(&c->metrics, api_verb(r->order.verb, r->order.path), r->status);
    bool wanted = !*r->order.job_uid || job_find(c, r->order.job_uid);
    bool settles = r->order.tells_500 && r->status == 500;
    r->failures = r->status == 500 ? r->failures + 1 : 0;
    if (!r->order.try_once && !settles && wanted && kube_status_is_retryable(r->status)) {
        c->metrics.count[METRIC_RETRIES]++;
        r->not_before_ms =
            c->now_ms + kube_backoff_next(&r->backoff, &c->random, r->retry_after_ms);
        waiting_add(a, r);
        stop_being_lazy(a, r);
        if (r->failures >= APPLY_FAILING)
            tell(c, r, error, r->order.failing);
        return true;
    }
    tell(c, r, error, r->order.done);
    request_free(a, r);
    return true;
}

void apply_release(struct apply *a)
{
    struct apply_request *r, *next;
    HASH_CLEAR(hh_key, a->keys);
    HASH_ITER(hh, a->in_flight, r, next)
    {
        HASH_DELETE(hh, a->in_flight, r);
        request_free(a, r);
    }
    for (r = a->waiting; r; r = next) {
        next = r->next;
        request_free(a, r);
    }
    *a = (struct apply){0};
}
