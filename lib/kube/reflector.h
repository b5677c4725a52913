/* A reflector keeps a copy of one collection up to date: list in pages, then watch from the list's
 * resourceVersion with bookmarks; a cut watch goes on from the last version seen; 410 (as a status
 * or as an ERROR event) and a refused version list again; errors are retried with backoff. Pure:
 * the caller sends the requests that it asks for and feeds the answers back. One request is under
 * way at a time.
 *
 * The objects themselves are not kept here: `ops` tells the owner what changed. During a (re)list
 * the owner gets `listed` for each object of all its pages and then `list_done`; a page that fails
 * is asked for again, one whose token has expired begins the list anew; what the owner holds and
 * was not listed since `list_begin` no longer exists. */
#ifndef KUBE_REFLECTOR_H
#define KUBE_REFLECTOR_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/random.h"

#define KUBE_LIST_PAGE 500 /* objects asked for at a time, as client-go's pager does */
#define KUBE_LIST_BODY_MAX (512u * 1024 * 1024) /* bytes of one list answer */
#define KUBE_CONTINUE_MAX 8192                  /* bytes of the token for the next page */
#define KUBE_WATCH_LINE_MAX (16u * 1024 * 1024) /* bytes of one watch event */
#define KUBE_WATCH_TIMEOUT_SECONDS 290          /* asked of the server; a fresh watch follows */
#define KUBE_WATCH_SILENCE_MS (400 * 1000) /* a watch without any byte for so long is cut by us */
#define KUBE_LIST_TIMEOUT_MS (60 * 1000)   /* a list without any byte for so long is cut by us */

struct kube_reflector;

struct kube_reflector_ops {
    void (*list_begin)(void *arg);
    void (*listed)(void *arg, const cJSON *object); /* one object of the list */
    void (*list_done)(void *arg);
    void (*changed)(void *arg, const cJSON *object); /* ADDED or MODIFIED, or seen again */
    void (*deleted)(void *arg, const cJSON *object); /* its last state */
};

/* What the reflector wants now. At most one of send and cancel is set. */
struct kube_reflector_want {
    bool send;        /* send a GET for `path`; stream the answer back */
    bool cancel;      /* end the request under way; no further answers for it may be fed */
    bool is_watch;    /* the request to send ends late */
    bool goes_on;     /* it asks for a further page of a list: a snapshot of when that began */
    const char *path; /* owned by the reflector, valid until the next call */
    int64_t wake_ms;  /* monotonic time at which to ask again at the latest; INT64_MAX for never */
};

/* `collection` is a path without query ("/api/v1/pods"); `selector` an encoded query such as
 * "labelSelector=..." or NULL; both are copied. `random` is borrowed and must outlive the
 * reflector. */
struct kube_reflector *kube_reflector_new(const char *collection, const char *selector,
                                          const struct kube_reflector_ops *ops, void *arg,
                                          struct mlt_random *random);
void kube_reflector_free(struct kube_reflector *r);

/* What to do at `now_ms` (monotonic). A want that is returned counts as done: the next call does
 * not repeat it. Call after every answer and when wake_ms has come. */
void kube_reflector_poll(struct kube_reflector *r, int64_t now_ms, struct kube_reflector_want *ret);

/* The answer to the request under way: its status once (with Retry-After, 0 when absent), pieces of
 * its body, and its end (error NULL: complete). */
void kube_reflector_status(struct kube_reflector *r, int64_t now_ms, int http_status,
                           int64_t retry_after_ms);
void kube_reflector_body(struct kube_reflector *r, int64_t now_ms, const char *data, size_t length);
void kube_reflector_end(struct kube_reflector *r, int64_t now_ms, const char *transport_error);

/* Whether a first complete list has been delivered. */
bool kube_reflector_synced(const struct kube_reflector *r);

/* The last error in words, "" when the last request went well; owned by the reflector. */
const char *kube_reflector_trouble(const struct kube_reflector *r);

#endif
