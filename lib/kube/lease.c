/* Leader election: get or create the record, wait while somebody else keeps it alive, take it,
 * renew it. */
#include "lib/kube/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"

#define CONFLICT_SHARE 10         /* of a retry period is waited after a conflict */
#define TRANSITIONS_MAX INT32_MAX /* the record's field is an int32 */

enum request {
    REQUEST_NONE,
    REQUEST_GET,
    REQUEST_CREATE,
    REQUEST_TAKE,  /* write ourselves into a record that is free or has expired */
    REQUEST_RENEW, /* write a new renewTime */
    REQUEST_EMPTY, /* give the record up */
};

struct kube_lease {
    char *namespace_, *name, *identity;
    int64_t duration_ms, renew_deadline_ms, retry_period_ms;
    struct mlt_random *random;

    enum request request; /* under way */
    enum request next;    /* to be sent at next_ms */
    int64_t next_ms, sent_ms;

    /* The record as last seen. */
    char *version, *holder;
    char *renew_text; /* together with holder and version: tells whether it changed */
    int64_t record_transitions, record_duration_ms;
    int64_t changed_ms; /* when we saw it change */

    bool leading;
    bool giving_up;
    int64_t renewed_ms; /* when the last renewal that succeeded was sent */
    int64_t transitions;

    struct mlt_text path;
    char *body;
    char trouble[MLT_ERROR_TEXT_MAX];
};

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value ? value : fallback;
}

static int check_times(const struct kube_lease *l, struct mlt_error *err)
{
    if (l->retry_period_ms < 1 || l->duration_ms > KUBE_LEASE_DURATION_MAX_MS)
        return mlt_fail(err, EINVAL,
                        "lease: the retry period must be positive and the duration at most %d ms",
                        KUBE_LEASE_DURATION_MAX_MS);
    if (l->duration_ms <= l->renew_deadline_ms)
        return mlt_fail(err, EINVAL,
                        "lease: the duration (%lld ms) must exceed the renew deadline (%lld ms)",
                        (long long)l->duration_ms, (long long)l->renew_deadline_ms);
    if (l->renew_deadline_ms * 10 <= l->retry_period_ms * 12)
        return mlt_fail(
            err, EINVAL,
            "lease: the renew deadline (%lld ms) must exceed 1.2 retry periods (of %lld ms)",
            (long long)l->renew_deadline_ms, (long long)l->retry_period_ms);
    return 0;
}

int kube_lease_new(const struct kube_lease_config *config, struct mlt_random *random,
                   struct kube_lease **ret, struct mlt_error *err)
{
    if (!config->namespace_ || !config->namespace_[0] || !config->name || !config->name[0] ||
        !config->identity || !config->identity[0])
        return mlt_fail(err, EINVAL, "lease: expected a namespace, a name and an identity");
    struct kube_lease *l = mlt_calloc(1, sizeof *l);
    l->namespace_ = mlt_strdup(config->namespace_);
    l->name = mlt_strdup(config->name);
    l->identity = mlt_strdup(config->identity);
    l->random = random;
    l->duration_ms = or_default(config->duration_ms, KUBE_LEASE_DURATION_MS);
    l->renew_deadline_ms = or_default(config->renew_deadline_ms, KUBE_LEASE_RENEW_DEADLINE_MS);
    l->retry_period_ms = or_default(config->retry_period_ms, KUBE_LEASE_RETRY_PERIOD_MS);
    l->next = REQUEST_GET;
    l->next_ms = INT64_MIN;
    mlt_text_init(&l->path, KUBE_PATH_MAX);
    int r = check_times(l, err);
    if (r < 0) {
        kube_lease_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

void kube_lease_free(struct kube_lease *l)
{
    if (!l)
        return;
    mlt_text_release(&l->path);
    free(l->namespace_);
    free(l->name);
    free(l->identity);
    free(l->version);
    free(l->holder);
    free(l->renew_text);
    free(l->body);
    free(l);
}

/* ---- requests ---- */

static int64_t whole_seconds(int64_t ms)
{
    return (ms + 999) / 1000;
}

/* The spec that a request writes. A renewal writes only what changes. */
static void fill_spec(const struct kube_lease *l, enum request request, int64_t wall_us,
                      cJSON *object)
{
    char now[MLT_TIME_TEXT_MAX];
    mlt_time_format_micro(wall_us, now);
    json_set_string(object, "spec.renewTime", now);
    if (request == REQUEST_RENEW)
        return;
    if (request == REQUEST_EMPTY) {
        json_set_null(object, "spec.holderIdentity"); /* newer servers refuse an empty one */
        json_set_integer(object, "spec.leaseDurationSeconds", 1);
        return;
    }
    json_set_string(object, "spec.holderIdentity", l->identity);
    json_set_integer(object, "spec.leaseDurationSeconds", whole_seconds(l->duration_ms));
    json_set_integer(object, "spec.leaseTransitions", l->transitions);
    json_set_string(object, "spec.acquireTime", now);
}

/* A new term: higher than every term that we know of, also when the record was deleted meanwhile.
 */
static void choose_transitions(struct kube_lease *l, enum request request)
{
    if (request != REQUEST_CREATE && request != REQUEST_TAKE)
        return;
    if (l->transitions < l->record_transitions)
        l->transitions = l->record_transitions;
    if (l->transitions < TRANSITIONS_MAX)
        l->transitions++;
}

static char *make_body(struct kube_lease *l, enum request request, int64_t wall_us)
{
    if (request == REQUEST_GET)
        return NULL;
    cleanup_json cJSON *object = cJSON_CreateObject();
    if (request == REQUEST_CREATE) {
        json_set_string(object, "apiVersion", kube_api_version(KUBE_LEASE));
        json_set_string(object, "kind", kube_resource_info(KUBE_LEASE)->kind);
        json_set_string(object, "metadata.name", l->name);
        json_set_string(object, "metadata.namespace", l->namespace_);
    } else {
        json_set_string(object, "metadata.resourceVersion", l->version);
    }
    choose_transitions(l, request);
    fill_spec(l, request, wall_us, object);
    return json_print(object);
}

/* Changes are merge patches with the version that we saw: what others put into the object stays,
 * and whoever comes second is refused with 409. */
static void send(struct kube_lease *l, int64_t now_ms, int64_t wall_us, struct kube_lease_want *ret)
{
    bool creates = l->next == REQUEST_CREATE, gets = l->next == REQUEST_GET;
    mlt_text_clear(&l->path);
    kube_path(&l->path, KUBE_LEASE, l->namespace_, creates ? NULL : l->name, NULL, NULL);
    free(l->body);
    l->body = make_body(l, l->next, wall_us);
    l->request = l->next;
    l->next = REQUEST_NONE;
    l->sent_ms = now_ms;
    ret->send = true;
    ret->verb = gets ? "GET" : creates ? "POST" : "PATCH";
    ret->path = mlt_text_string(&l->path);
    ret->content_type = gets ? NULL : creates ? "application/json" : "application/merge-patch+json";
    ret->body = l->body;
}

static void schedule(struct kube_lease *l, enum request request, int64_t when_ms)
{
    l->next = l->giving_up ? REQUEST_NONE : request;
    l->next_ms = when_ms;
}

/* Those who wait spread their tries over 1 to 2.2 periods, as client-go does. */
static void schedule_try(struct kube_lease *l, int64_t now_ms)
{
    int64_t period_ms = l->retry_period_ms;
    schedule(l, REQUEST_GET,
             now_ms + mlt_random_between(l->random, period_ms, period_ms * 22 / 10));
}

/* A leader that failed tries again after a period, from what is stored now. */
static void retry(struct kube_lease *l, int64_t now_ms)
{
    if (l->leading)
        schedule(l, REQUEST_GET, now_ms + l->retry_period_ms);
    else
        schedule_try(l, now_ms);
}

static void notice_deadline(struct kube_lease *l, int64_t now_ms)
{
    if (!l->leading || kube_lease_leads(l, now_ms))
        return;
    l->leading = false;
    if (l->next == REQUEST_RENEW)
        l->next = REQUEST_GET; /* the lead must be taken anew, in a new term */
}

void kube_lease_poll(struct kube_lease *l, int64_t now_ms, int64_t wall_us,
                     struct kube_lease_want *ret)
{
    *ret = (struct kube_lease_want){.wake_ms = INT64_MAX};
    notice_deadline(l, now_ms);
    if (l->request != REQUEST_NONE && now_ms - l->sent_ms >= l->renew_deadline_ms) {
        (void)snprintf(l->trouble, sizeof l->trouble, "lease: no answer for %lld ms",
                       (long long)l->renew_deadline_ms);
        l->request = REQUEST_NONE;
        ret->cancel = true;
        retry(l, now_ms);
    } else if (l->request == REQUEST_NONE && l->next != REQUEST_NONE && now_ms >= l->next_ms) {
        send(l, now_ms, wall_us, ret);
    }
    if (l->request != REQUEST_NONE)
        ret->wake_ms = l->sent_ms + l->renew_deadline_ms;
    else if (l->next != REQUEST_NONE)
        ret->wake_ms = l->next_ms;
    if (l->leading && kube_lease_deadline_ms(l) < ret->wake_ms)
        ret->wake_ms = kube_lease_deadline_ms(l);
}

/* ---- answers ---- */

static void keep(char **field, const char *value)
{
    free(*field);
    *field = mlt_strdup(value);
}

/* Remembers a record; changed_ms moves only when it differs from the last one. */
static void observe(struct kube_lease *l, int64_t now_ms, const cJSON *object)
{
    const char *version = json_string(object, "metadata.resourceVersion", "");
    const char *holder = json_string(object, "spec.holderIdentity", "");
    const char *renewed = json_string(object, "spec.renewTime", "");
    bool changed = !l->version || !l->holder || !l->renew_text || strcmp(l->holder, holder) != 0 ||
                   strcmp(l->renew_text, renewed) != 0;
    if (changed)
        l->changed_ms = now_ms;
    int64_t seconds =
        json_integer(object, "spec.leaseDurationSeconds", whole_seconds(l->duration_ms));
    int64_t transitions = json_integer(object, "spec.leaseTransitions", 0);
    if (seconds < 0 || seconds > KUBE_LEASE_DURATION_MAX_MS / 1000)
        seconds = whole_seconds(l->duration_ms);
    l->record_duration_ms = seconds * 1000;
    l->record_transitions = transitions < 0 ? 0 : transitions;
    keep(&l->version, version);
    keep(&l->holder, holder);
    keep(&l->renew_text, renewed);
}

static bool is_ours(const struct kube_lease *l)
{
    return l->holder && strcmp(l->holder, l->identity) == 0;
}

static bool is_free(const struct kube_lease *l, int64_t now_ms)
{
    return !l->holder[0] || is_ours(l) || now_ms - l->changed_ms >= l->record_duration_ms;
}

static void on_got(struct kube_lease *l, int64_t now_ms)
{
    if (l->leading && !(is_ours(l) && l->record_transitions == l->transitions))
        l->leading = false; /* somebody took it from us */
    if (l->leading)
        schedule(l, REQUEST_RENEW, now_ms);
    else if (is_free(l, now_ms))
        schedule(l, REQUEST_TAKE, now_ms);
    else
        schedule_try(l, now_ms);
}

static void on_written(struct kube_lease *l, int64_t now_ms, enum request request)
{
    bool lost = request == REQUEST_RENEW && !l->leading; /* the deadline came before the answer */
    if (l->giving_up)
        return;
    if (lost) {
        schedule(l, REQUEST_GET, now_ms);
        return;
    }
    l->leading = true;
    l->renewed_ms = l->sent_ms;
    schedule(l, REQUEST_RENEW, l->sent_ms + l->retry_period_ms);
}

static void on_refused(struct kube_lease *l, int64_t now_ms, enum request request, int http_status,
                       const char *words)
{
    bool missing = http_status == 404, conflict = http_status == 409;
    if (missing && request == REQUEST_GET) {
        l->leading = false; /* who deletes the record ends the term */
        schedule(l, REQUEST_CREATE, now_ms);
    } else if (conflict && request == REQUEST_RENEW) {
        /* Somebody touched the record: see who holds it. Not at once, in case it is touched all the
         * time. */
        schedule(l, REQUEST_GET, now_ms + l->retry_period_ms / CONFLICT_SHARE);
    } else {
        retry(l, now_ms);
    }
    if (!missing && !conflict)
        (void)snprintf(l->trouble, sizeof l->trouble, "lease %s/%s: HTTP status %d: %s",
                       l->namespace_, l->name, http_status, words);
}

void kube_lease_answer(struct kube_lease *l, int64_t now_ms, int http_status, const char *body,
                       size_t length)
{
    enum request request = l->request;
    cleanup_json cJSON *object = NULL;
    struct mlt_error err = {0};
    bool good = http_status >= 200 && http_status < 300;
    if (request == REQUEST_NONE)
        return;
    l->request = REQUEST_NONE;
    l->trouble[0] = '\0';
    notice_deadline(l, now_ms);
    if (http_status == 0) {
        (void)snprintf(l->trouble, sizeof l->trouble, "lease %s/%s: %.*s", l->namespace_, l->name,
                       (int)length, body);
        retry(l, now_ms);
        return;
    }
    if (json_parse(body, length, &object, &err) < 0)
        object = NULL;
    if (!good) {
        on_refused(l, now_ms, request, http_status,
                   json_string(object, "message", "no reason given"));
        return;
    }
    if (!json_string(object, "metadata.resourceVersion", NULL)) {
        (void)snprintf(l->trouble, sizeof l->trouble, "lease %s/%s: the answer is not a Lease",
                       l->namespace_, l->name);
        retry(l, now_ms);
        return;
    }
    observe(l, now_ms, object);
    if (request == REQUEST_GET)
        on_got(l, now_ms);
    else
        on_written(l, now_ms, request);
    if (l->giving_up && request != REQUEST_EMPTY && is_ours(l)) {
        l->next = REQUEST_EMPTY;
        l->next_ms = now_ms;
    }
}

/* ---- what the caller asks ---- */

bool kube_lease_leads(const struct kube_lease *l, int64_t now_ms)
{
    return l->leading && now_ms < kube_lease_deadline_ms(l);
}

int64_t kube_lease_deadline_ms(const struct kube_lease *l)
{
    return l->renewed_ms + l->renew_deadline_ms;
}

int64_t kube_lease_transitions(const struct kube_lease *l)
{
    return l->transitions;
}

const char *kube_lease_holder(const struct kube_lease *l)
{
    return l->holder ? l->holder : "";
}

void kube_lease_give_up(struct kube_lease *l)
{
    if (l->giving_up)
        return;
    l->giving_up = true;
    l->next = l->leading && l->request == REQUEST_NONE ? REQUEST_EMPTY : REQUEST_NONE;
    l->next_ms = INT64_MIN;
    l->leading = false;
}

bool kube_lease_is_over(const struct kube_lease *l)
{
    return l->giving_up && l->request == REQUEST_NONE && l->next == REQUEST_NONE;
}

const char *kube_lease_trouble(const struct kube_lease *l)
{
    return l->trouble;
}
