/* The reflector's states, and what each answer does to them.
 *
 *     waiting --(time)--> listing --(complete)--> waiting --> watching --(ends)--> waiting ...
 *
 * `version` decides what a waiting reflector sends next: none, a list; else a watch from it. A
 * failure keeps the version where going on from it can work, and drops it where only a new list
 * can. After k8s.io/client-go/tools/cache/reflector.go. */
#include "lib/kube/reflector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/backoff.h"
#include "lib/kube/list_scan.h"
#include "lib/kube/resource.h"

#define BACKOFF_BASE_MS 500
#define BACKOFF_MAX_MS (30 * 1000)
#define SHORT_WATCH_MS 1000      /* a watch that ends sooner is not followed by another at once */
#define REFUSAL_MAX (64u * 1024) /* bytes kept of an answer that is an error, for its words */
#define RETRY_AFTER_MAX_MS (3600 * 1000)

enum phase {
    WAITING,  /* for next_ms */
    LISTING,  /* a list is under way */
    WATCHING, /* a watch is under way */
    SPOILED,  /* the request under way is of no use any more: to be cancelled */
};

struct kube_reflector {
    char *collection, *selector;
    const struct kube_reflector_ops *ops;
    void *arg;
    struct mlt_random *random;
    struct kube_backoff backoff;

    enum phase phase;
    int64_t next_ms; /* while waiting: when to send */
    int64_t sent_ms; /* of the request under way */
    int64_t byte_ms; /* when its last byte came */
    int status;      /* its HTTP status, 0 before */
    int64_t retry_after_ms;
    size_t list_bytes;
    struct list_scan list;
    struct mlt_text line;    /* the watch event so far */
    struct mlt_text refusal; /* the body of an error */
    struct mlt_text path;

    char *page;         /* the list goes on with this token, or NULL */
    char *version;      /* to watch from, or NULL */
    bool version_fresh; /* no event came since the list: a server that refuses it may do so again */
    bool synced;
    char trouble[MLT_ERROR_TEXT_MAX];
};

struct kube_reflector *kube_reflector_new(const char *collection, const char *selector,
                                          const struct kube_reflector_ops *ops, void *arg,
                                          struct mlt_random *random)
{
    struct kube_reflector *r = mlt_calloc(1, sizeof *r);
    r->collection = mlt_strdup(collection);
    r->selector = mlt_strdup(selector);
    r->ops = ops;
    r->arg = arg;
    r->random = random;
    r->backoff = (struct kube_backoff)KUBE_BACKOFF_INIT(BACKOFF_BASE_MS, BACKOFF_MAX_MS);
    r->next_ms = INT64_MIN;
    mlt_text_init(&r->line, KUBE_WATCH_LINE_MAX);
    mlt_text_init(&r->refusal, REFUSAL_MAX);
    mlt_text_init(&r->path, strlen(collection) + (selector ? strlen(selector) : 0) + KUBE_PATH_MAX +
                                3 * KUBE_CONTINUE_MAX);
    return r;
}

void kube_reflector_free(struct kube_reflector *r)
{
    if (!r)
        return;
    list_scan_release(&r->list);
    mlt_text_release(&r->line);
    mlt_text_release(&r->refusal);
    mlt_text_release(&r->path);
    free(r->collection);
    free(r->selector);
    free(r->version);
    free(r->page);
    free(r);
}

/* ---- what next ---- */

static void set_version(struct kube_reflector *r, const char *version)
{
    free(r->version);
    r->version = mlt_strdup(version);
}

static void set_page(struct kube_reflector *r, const char *token)
{
    free(r->page);
    r->page = mlt_strdup(token && token[0] ? token : NULL);
}

/* The request under way is over, or is to be cut; `delay_ms` until the next one. */
static void leave(struct kube_reflector *r, int64_t now_ms, int64_t delay_ms, bool still_open)
{
    list_scan_release(&r->list);
    mlt_text_clear(&r->line);
    mlt_text_clear(&r->refusal);
    r->phase = still_open ? SPOILED : WAITING;
    r->next_ms = now_ms + delay_ms;
}

static void fail(struct kube_reflector *r, int64_t now_ms, int64_t retry_after_ms, bool still_open,
                 const char *words)
{
    (void)snprintf(r->trouble, sizeof r->trouble, "%s %.100s: %.380s",
                   r->phase == LISTING ? "list" : "watch", r->collection, words);
    leave(r, now_ms, kube_backoff_next(&r->backoff, r->random, retry_after_ms), still_open);
}

/* Only a new list helps. It is asked for at once, unless that has just been tried. */
static void expire(struct kube_reflector *r, int64_t now_ms, bool still_open, const char *words)
{
    bool again = r->version_fresh;
    set_version(r, NULL);
    fail(r, now_ms, 0, still_open, words);
    if (!again)
        r->next_ms = now_ms;
}

/* ---- the events of a watch ---- */

static void on_error_event(struct kube_reflector *r, int64_t now_ms, const cJSON *status)
{
    int64_t code = json_integer(status, "code", 0);
    int64_t retry_after_s = json_integer(status, "details.retryAfterSeconds", 0);
    const char *words = json_string(status, "message", "the server ended it with an error");
    if (retry_after_s < 0 || retry_after_s > RETRY_AFTER_MAX_MS / 1000)
        retry_after_s = 0;
    if (code == 410) {
        expire(r, now_ms, true, words);
        return;
    }
    if (code != 429)
        set_version(r, NULL); /* unknown trouble: start from the beginning, after a while */
    fail(r, now_ms, retry_after_s * 1000, true, words);
}

static void on_event(struct kube_reflector *r, int64_t now_ms, const cJSON *event)
{
    const char *type = json_string(event, "type", "");
    const cJSON *object = json_member(event, "object");
    if (strcmp(type, "ERROR") == 0) {
        on_error_event(r, now_ms, object);
        return;
    }
    if (!cJSON_IsObject(object))
        return;
    const char *version = json_string(object, "metadata.resourceVersion", "");
    if (version[0])
        set_version(r, version);
    r->version_fresh = false;
    kube_backoff_reset(&r->backoff);
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
        r->ops->changed(r->arg, object);
    else if (strcmp(type, "DELETED") == 0)
        r->ops->deleted(r->arg, object);
    /* A BOOKMARK is only a version; types of the future are passed over, as client-go does. */
}

static void on_line(struct kube_reflector *r, int64_t now_ms, const char *line, size_t length)
{
    struct mlt_error err = {0};
    cleanup_json cJSON *event = NULL;
    if (length == 0 || (length == 1 && line[0] == '\r'))
        return;
    if (json_parse(line, length, &event, &err) < 0) {
        set_version(r, NULL); /* from the same version the same line would come again */
        fail(r, now_ms, 0, true, err.text);
        return;
    }
    on_event(r, now_ms, event);
}

/* Lines that are whole within the piece are not copied. */
static void feed_watch(struct kube_reflector *r, int64_t now_ms, const char *data, size_t length)
{
    while (length > 0 && r->phase == WATCHING) {
        const char *end = memchr(data, '\n', length);
        size_t part = end ? (size_t)(end - data) : length;
        if (r->line.length == 0 && end) {
            on_line(r, now_ms, data, part);
        } else {
            mlt_text_add(&r->line, data, part);
            if (r->line.failed) {
                set_version(r, NULL);
                fail(r, now_ms, 0, true, "an event is too long");
                return;
            }
            if (end) {
                /* Taken out first: `leave` empties the buffer. */
                struct mlt_text whole = r->line;
                mlt_text_init(&r->line, KUBE_WATCH_LINE_MAX);
                on_line(r, now_ms, whole.data, whole.length);
                mlt_text_release(&whole);
            }
        }
        data += part + (end ? 1 : 0);
        length -= part + (end ? 1 : 0);
    }
}

/* ---- the items of a list ---- */

static void on_item(void *arg, const cJSON *object)
{
    struct kube_reflector *r = arg;
    r->ops->listed(r->arg, object);
}

static void feed_list(struct kube_reflector *r, int64_t now_ms, const char *data, size_t length)
{
    struct mlt_error err = {0};
    r->list_bytes += length;
    if (r->list_bytes > KUBE_LIST_BODY_MAX)
        fail(r, now_ms, 0, true, "the list is too long");
    else if (list_scan_feed(&r->list, data, length, &err) < 0)
        fail(r, now_ms, 0, true, err.text);
}

static void end_list(struct kube_reflector *r, int64_t now_ms)
{
    struct mlt_error err = {0};
    int rc = list_scan_finish(&r->list, &err);
    if (rc == 0 && r->list.next && strlen(r->list.next) > KUBE_CONTINUE_MAX)
        rc = mlt_fail(&err, E2BIG, "the token for the next page is too long");
    if (rc < 0) {
        fail(r, now_ms, 0, false, err.text);
        return;
    }
    set_page(r, r->list.next);
    if (r->page) {
        leave(r, now_ms, 0, false);
        return;
    }
    set_version(r, r->list.version);
    r->version_fresh = true;
    r->synced = true;
    r->trouble[0] = '\0';
    leave(r, now_ms, 0, false);
    r->ops->list_done(r->arg);
}

/* ---- requests ---- */

static void make_path(struct kube_reflector *r)
{
    mlt_text_clear(&r->path);
    mlt_text_puts(&r->path, r->collection);
    const char *separator = "?";
    if (r->selector && r->selector[0]) {
        mlt_text_printf(&r->path, "?%s", r->selector);
        separator = "&";
    }
    if (!r->version) {
        mlt_text_printf(&r->path, "%slimit=%d", separator, KUBE_LIST_PAGE);
        if (r->page) {
            mlt_text_puts(&r->path, "&continue=");
            kube_path_encode(&r->path, r->page);
        }
        return;
    }
    mlt_text_printf(&r->path,
                    "%swatch=1&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=",
                    separator, KUBE_WATCH_TIMEOUT_SECONDS);
    kube_path_encode(&r->path, r->version);
}

static void send(struct kube_reflector *r, int64_t now_ms, struct kube_reflector_want *ret)
{
    make_path(r);
    r->phase = r->version ? WATCHING : LISTING;
    r->sent_ms = r->byte_ms = now_ms;
    r->status = 0;
    r->retry_after_ms = 0;
    r->list_bytes = 0;
    ret->send = true;
    ret->is_watch = r->phase == WATCHING;
    ret->goes_on = r->phase == LISTING && r->page;
    ret->path = mlt_text_string(&r->path);
    if (r->phase == LISTING)
        list_scan_init(&r->list, KUBE_WATCH_LINE_MAX, on_item, r);
}

static int64_t silence_limit_ms(const struct kube_reflector *r)
{
    return r->phase == LISTING ? KUBE_LIST_TIMEOUT_MS : KUBE_WATCH_SILENCE_MS;
}

void kube_reflector_poll(struct kube_reflector *r, int64_t now_ms, struct kube_reflector_want *ret)
{
    *ret = (struct kube_reflector_want){.wake_ms = INT64_MAX};
    bool open = r->phase == LISTING || r->phase == WATCHING;
    if (open && now_ms - r->byte_ms >= silence_limit_ms(r))
        fail(r, now_ms, 0, true, "the server is silent");
    if (r->phase == SPOILED) {
        r->phase = WAITING;
        ret->cancel = true;
    } else if (r->phase == WAITING && now_ms >= r->next_ms) {
        send(r, now_ms, ret);
    }
    ret->wake_ms = r->phase == WAITING ? r->next_ms : r->byte_ms + silence_limit_ms(r);
}

void kube_reflector_status(struct kube_reflector *r, int64_t now_ms, int http_status,
                           int64_t retry_after_ms)
{
    if (r->phase != LISTING && r->phase != WATCHING)
        return;
    r->byte_ms = now_ms;
    r->status = http_status;
    r->retry_after_ms = retry_after_ms;
    if (http_status != 200)
        return;
    if (r->phase == WATCHING)
        r->trouble[0] = '\0';
    else if (!r->page)
        r->ops->list_begin(r->arg);
}

void kube_reflector_body(struct kube_reflector *r, int64_t now_ms, const char *data, size_t length)
{
    r->byte_ms = now_ms;
    if (r->phase != LISTING && r->phase != WATCHING)
        return;
    if (r->status != 200)
        mlt_text_add(&r->refusal, data, length);
    else if (r->phase == LISTING)
        feed_list(r, now_ms, data, length);
    else
        feed_watch(r, now_ms, data, length);
}

/* An answer that is an error, complete. */
static void end_refused(struct kube_reflector *r, int64_t now_ms)
{
    cleanup_json cJSON *status = NULL;
    char words[MLT_ERROR_TEXT_MAX];
    if (json_parse(mlt_text_string(&r->refusal), r->refusal.length, &status, NULL) < 0)
        status = NULL;
    (void)snprintf(words, sizeof words, "HTTP status %d: %s", r->status,
                   json_string(status, "message", "no reason given"));
    if (r->phase == WATCHING && r->status == 410) {
        expire(r, now_ms, false, words);
        return;
    }
    if (!kube_status_is_retryable(r->status)) {
        /* Perhaps the version is refused; the list will show the real reason. Or the token of a
         * page has expired (410): the list begins again. */
        set_version(r, NULL);
        set_page(r, NULL);
    }
    fail(r, now_ms, r->retry_after_ms, false, words);
}

static void end_watch(struct kube_reflector *r, int64_t now_ms)
{
    if (now_ms - r->sent_ms < SHORT_WATCH_MS)
        leave(r, now_ms, kube_backoff_next(&r->backoff, r->random, 0), false);
    else
        leave(r, now_ms, 0, false);
}

void kube_reflector_end(struct kube_reflector *r, int64_t now_ms, const char *transport_error)
{
    if (r->phase == SPOILED)
        r->phase = WAITING; /* nothing to cancel any more */
    if (r->phase == WAITING)
        return;
    if (transport_error)
        fail(r, now_ms, r->retry_after_ms, false, transport_error);
    else if (r->status != 200)
        end_refused(r, now_ms);
    else if (r->phase == LISTING)
        end_list(r, now_ms);
    else
        end_watch(r, now_ms);
}

bool kube_reflector_synced(const struct kube_reflector *r)
{
    return r->synced;
}

const char *kube_reflector_trouble(const struct kube_reflector *r)
{
    return r->trouble;
}
