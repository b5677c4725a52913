/* Requests to the API server: a window of them in flight (request_window.h), retries, one at a time
 * for each object.
 *
 * What nobody waits for (events, status writes that may wait) is sent only where apply_room()
 * says so, in a part of the window that nothing else wants: it delays no pod. It does not wait in
 * this queue, but where it is cheap to keep and may still change (event_record.h, lazy_writes.c).
 *
 * A request waits while the window is full, while another request with the same key is under way,
 * or while its backoff runs. It is sent again unchanged after errors that may pass (transport, 408,
 * 429, 5xx), honouring Retry-After, until an answer settles it; then `done` is called once. What
 * must not happen twice is safe to repeat: creations meet AlreadyExists, patches carry their
 * resourceVersion. */
#ifndef CONTROLLER_APPLY_H
#define CONTROLLER_APPLY_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include "controller/request_window.h"
#include "lib/kube/backoff.h"
#include "lib/kube/resource.h"

#define APPLY_BACKOFF_BASE_MS 100
#define APPLY_BACKOFF_MAX_MS (30 * 1000)
#define APPLY_KEY_MAX 640   /* bytes of kind/namespace/name */
#define APPLY_WORDS_MAX 512 /* bytes kept of a server's message */
#define APPLY_LAZY_PART 4   /* of the window: one part in so many is for what may wait */
/* Then one at a time goes, though the window is full; and what has no answer for so long holds no
 * other back. */
#define APPLY_LAZY_PATIENCE_MS 10000
#define APPLY_FAILING 2 /* tries in a row that met a 500: no longer a hiccup of the server */

struct controller;
struct apply_request;

struct apply_answer {
    int status;          /* HTTP; APPLY_UNSENT: see apply_written */
    const cJSON *object; /* the body when it is JSON, else NULL */
    const char *words;   /* the server's message when status >= 400, else "" */
    const char *reason;  /* Status.reason ("AlreadyExists"), "" */
};

struct apply_order;
typedef void apply_answered(struct controller *c, const struct apply_order *order,
                            const struct apply_answer *answer);
/* The body of a request whose turn has come; owned by the caller. NULL: it is not to be sent, and
 * `done` gets APPLY_UNSENT with the words of `err`, "" when it is only not wanted any more. */
typedef char *apply_written(struct controller *c, const struct apply_order *order,
                            struct mlt_error *err);
#define APPLY_UNSENT (-1) /* a status */

/* What is wanted; strings are copied by apply_send(). */
struct apply_order {
    const char *verb, *path, *content_type, *body; /* body NULL: none */
    apply_written *write; /* instead of a body: thousands of pods may wait, and are not kept */
    const char *key;      /* requests with equal keys go one after the other; NULL: no such order */
    const char
        *job_uid;   /* whose request it is, "" for none: for `done`, and to drop it with its job */
    uint32_t index; /* for `done`: a member, a slot */
    bool try_once;  /* an event: not worth a second try */
    bool is_lazy;   /* nobody waits for it: apply_room() was asked */
    bool tells_500; /* a 500 settles it: a webhook that fails is told, and who asks asks again */
    apply_answered *done;
    /* NULL, or called after each try that met a 500, from the APPLY_FAILING th in a row on: the
     * request goes on, and whoever waits for it can be told why it takes so long. */
    apply_answered *failing;
};

struct apply {
    struct apply_request *waiting, *waiting_tail; /* in order of arrival */
    struct apply_request *in_flight;              /* hash by id */
    struct apply_request *keys;                   /* hash by key, of those in flight */
    unsigned in_flight_count;
    unsigned waiting_count;
    TAILQ_HEAD(, apply_request) lazy; /* those that are, waiting or in flight, the oldest first */
    unsigned lazy_count;              /* 0: the list is not initialised */
    bool is_full; /* at the last look something waited for nothing but the window */
    struct request_window window;
};

void apply_send(struct controller *c, const struct apply_order *order);

/* What a request is about: an object in the job's namespace, or (name NULL) a new one there. */
struct apply_target {
    enum kube_resource resource;
    const char *name, *subresource, *query; /* NULL: none */
};
/* The same for a job: `path` and `job_uid` of the order are filled in. */
struct job;
void apply_for_job(struct job *job, struct apply_target target, struct apply_order order);

/* Forgets what still waits for this job; what is in flight goes on, and its `done` finds no job. */
void apply_drop_job(struct controller *c, const char *job_uid);

/* Sends what may be sent now; returns when to call again (INT64_MAX: never). */
int64_t apply_pump(struct controller *c);

/* How many orders with is_lazy may be sent now; the first of them has waited since `since_ms`. */
unsigned apply_room(const struct controller *c, int64_t since_ms);

/* The answers. False when no request has this id. */
bool apply_status(struct controller *c, uint64_t id, int status, int64_t retry_after_ms);
bool apply_body(struct controller *c, uint64_t id, const char *data, size_t length);
bool apply_end(struct controller *c, uint64_t id, const char *error);

void apply_release(struct apply *a);

#endif
