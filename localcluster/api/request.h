/* The seam of the API server: one request in, one answer out. PURE.
 *
 * Nothing below this header reads a clock, a file or a socket: time comes with the request,
 * randomness from a generator given at the start, and storage through store.h. The program's edge
 * (edge.c) and the simulation call the same functions; the simulation does so over store_memory. */
#ifndef LOCALCLUSTER_API_REQUEST_H
#define LOCALCLUSTER_API_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "lib/base/random.h"
#include "lib/base/text.h"
#include "localcluster/api/store.h"

#define API_OBJECT_MAX (1536u * 1024)       /* bytes of one stored object, etcd's limit */
#define API_BODY_MAX (3u * 1024 * 1024)     /* bytes of a request's body, kube-apiserver's limit */
#define API_ANSWER_MAX (512u * 1024 * 1024) /* bytes of one answer */
#define API_TARGET_MAX (16u * 1024)         /* bytes of a path with its query */
#define API_WARNINGS_MAX 16                 /* Warning headers of one answer */
#define API_WATCHES_MAX 4096                /* open watches */
#define API_HISTORY_EVENTS_MAX 10000        /* changes kept for watches that resume */
#define API_HISTORY_BYTES_MAX (64u << 20)   /* bytes of their objects */
#define API_BOOKMARK_INTERVAL_MS 5000       /* also how soon a client that left is noticed */
#define API_WATCH_SECONDS_MAX 3600          /* a watch ends after so long at the latest */
#define API_EVENT_TTL_MS (3600 * 1000)      /* events (the kind) are kept so long */

struct api_server;
struct api_watch;

/* A request as it came. Header values are NULL when absent; all pointers are borrowed. */
struct api_request {
    const char *method;        /* "GET" */
    const char *target;        /* path and query, undecoded */
    const char *accept;        /* Accept */
    const char *content_type;  /* Content-Type */
    const char *authorization; /* Authorization */
    const char *if_none_match; /* If-None-Match */
    const char *body;
    size_t body_length;
    int64_t now_ms; /* wall clock, milliseconds since 1970 */
};

/* What to read when a container's log was asked for; the edge does it (pod_log.c). */
struct api_log_query {
    char *namespace_, *pod, *uid, *node, *container;
    int64_t restart; /* which run of the container: the number of the file */
    bool follow, timestamps;
    int64_t tail_lines;  /* -1: all */
    int64_t limit_bytes; /* -1: all */
    int64_t since_ms;    /* wall clock; INT64_MIN: all */
};

enum api_answer_kind { API_ANSWER_BODY, API_ANSWER_WATCH, API_ANSWER_LOG };

/* The answer; released by api_answer_release(). */
struct api_answer {
    enum api_answer_kind kind;
    int status;
    const char *content_type;         /* static text */
    struct mlt_text body;             /* for API_ANSWER_BODY */
    char *warnings[API_WARNINGS_MAX]; /* values of Warning headers */
    size_t warning_count;
    char etag[72];            /* "" for none */
    int retry_after_s;        /* 0 for none */
    struct api_watch *watch;  /* for API_ANSWER_WATCH: owned by the receiver, api_watch_free() */
    struct api_log_query log; /* for API_ANSWER_LOG */
};

void api_answer_init(struct api_answer *a);
void api_answer_release(struct api_answer *a);

struct api_server_config {
    struct store *store;       /* borrowed */
    struct mlt_random *random; /* borrowed; uids and name suffixes */
    const char *token;         /* bearer token; NULL: everybody may do everything (tests) */
    const char
        *crds_yaml; /* CustomResourceDefinitions to create or bring up to date; may be NULL */
    size_t crds_yaml_length;
    size_t history_events; /* changes kept for watches; 0: API_HISTORY_EVENTS_MAX */
};

/* Reads the store and creates what a cluster has from its first moment. Errors of the store;
 * -EINVAL for objects in it that cannot be read. */
int api_server_new(const struct api_server_config *config, int64_t now_ms, struct api_server **ret,
                   struct mlt_error *err) MLT_MUST_USE;
void api_server_free(struct api_server *s); /* watches must have been freed */

/* Answers one request. *ret is initialised here. Failures are answers too (a Status object). */
void api_request(struct api_server *s, const struct api_request *request, struct api_answer *ret);

/* Work that follows from writes: garbage collection, emptying of namespaces, expiry of events. Does
 * a bounded piece and returns whether more is left. To be called after each request and once a
 * second. */
bool api_server_work(struct api_server *s, int64_t now_ms);

/* The number of the last write: a watch has something to read when this has moved. */
uint64_t api_server_revision(const struct api_server *s);

/* Appends the events (one JSON object a line, bookmarks included) that are due to `out`, at most
 * about max_bytes. Returns false when the watch is over after what was appended. */
bool api_watch_read(struct api_watch *w, int64_t now_ms, size_t max_bytes, struct mlt_text *out);
void api_watch_free(struct api_watch *w); /* NULL is fine */

/* Whether the run of a container that a log query names is over (or its pod gone): the end of -f.
 */
bool api_log_is_complete(struct api_server *s, const struct api_log_query *q);

#endif
