/* One request taken apart, and the verbs that answer it. Private to localcluster/api.
 *
 * A verb returns 0 when it has written its answer, and a negative value when it has written a
 * refusal; the difference matters only to callers in between. */
#ifndef LOCALCLUSTER_API_CALL_H
#define LOCALCLUSTER_API_CALL_H

#include "localcluster/api/answer.h"
#include "localcluster/api/resources.h"
#include "localcluster/api/server.h"

#define API_SEGMENTS_MAX 12

enum api_format { API_FORMAT_OBJECT, API_FORMAT_TABLE, API_FORMAT_METADATA };
enum api_include { API_INCLUDE_METADATA, API_INCLUDE_OBJECT, API_INCLUDE_NONE };
enum api_validation { API_VALIDATION_WARN, API_VALIDATION_STRICT, API_VALIDATION_IGNORE };

/* How objects are to be shown, from Accept and includeObject. */
struct api_view {
    enum api_format format;
    enum api_include include; /* of table rows */
    bool yaml;
};

struct api_call {
    struct api_server *server;
    const struct api_request *request;
    struct api_answer *answer;
    char *path; /* decoded in place; segments point into it */
    char *segments[API_SEGMENTS_MAX];
    size_t segment_count;
    cJSON *query; /* object of strings */
    struct api_view view;
    /* Of a request for a resource: */
    struct api_resource *resource;
    const char *namespace_;  /* "" for none or all */
    const char *name;        /* NULL for a collection */
    const char *subresource; /* NULL for none */
    bool dry_run;
    enum api_validation validation;
};

/* A query parameter, or NULL. */
const char *api_query(const struct api_call *c, const char *name);
bool api_query_is_true(const struct api_call *c, const char *name);

/* Reads the body as one JSON or YAML object; the caller frees it. 0, or a refusal (400, 415). */
int api_read_body(struct api_call *c, cJSON **ret_tree);

/* ---- verbs: one file each ---- */

int api_get(struct api_call *c);               /* read.c */
int api_list(struct api_call *c);              /* read.c */
int api_watch_begin(struct api_call *c);       /* watch.c */
int api_create(struct api_call *c);            /* create.c */
int api_update(struct api_call *c);            /* update.c */
int api_patch_verb(struct api_call *c);        /* patch.c */
int api_delete(struct api_call *c);            /* delete.c */
int api_delete_collection(struct api_call *c); /* delete.c */
int api_subresource(
    struct api_call *c); /* subresource.c: scale, log, binding, eviction, finalize */
int api_discovery(struct api_call *c,
                  bool *ret_found);     /* discovery.c: everything that is no resource */
int api_openapi_v2(struct api_call *c); /* openapi_v2.c */
int api_openapi_v3(struct api_call *c); /* openapi_v3.c */
int api_review(struct api_call *c, bool *ret_found); /* review.c: kubectl auth */

/* ---- what verbs share ---- */

/* Answers with one object as the client wants to see it. `tree` is borrowed. */
int api_answer_object(struct api_call *c, int status, const cJSON *tree);

/* The stored object that the call names; NULL after a 404 was written. */
struct api_object *api_call_object(struct api_call *c);

/* Creates `tree` (taken over) as a new object through every step of a POST, without an HTTP
 * request: the tree must be complete. Used by the verbs and by bootstrap. On success the stored
 * version (NULL for a dry run, with *ret_shown the object as it would be). */
int api_create_object(struct api_call *c, cJSON *tree, cJSON **ret_shown);

/* Replaces `old` by `tree` (taken over) through every step of a PUT; `subresource` is NULL,
 * "status" or "scale" (treated as the main resource). *ret_shown is the new state; the caller frees
 * it. */
int api_update_object(struct api_call *c, struct api_object *old, cJSON *tree,
                      const char *subresource, cJSON **ret_shown);

/* Deletes by the rules of grace, finalizers and propagation. `options` may be NULL. *ret_shown is
 * the object when it still exists (or existed, for pods), NULL when a Status is to be shown. */
int api_delete_object(struct api_call *c, struct api_object *object, const cJSON *options,
                      cJSON **ret_shown);

/* Unknown fields and wrong types of a client's object, by fieldValidation: drops, warns, or
 * refuses. */
int api_check_fields(struct api_call *c, const struct api_resource *r, cJSON *tree);

/* Schema and hooks; a refusal is 422. `old` is NULL for a new object. */
int api_check_values(struct api_call *c, const struct api_resource *r, const cJSON *tree,
                     const cJSON *old);

/* Whether an object can be stored and read again: its size and its depth. 0, or a refusal (413). */
int api_check_size(struct api_call *c, const cJSON *tree);

/* metadata that clients may not set, removed; empty members that Go would omit, removed. */
void api_clean_metadata(cJSON *tree);

/* Events are stored as core/v1: to and from the names of events.k8s.io/v1. In place. */
void api_event_to_view(cJSON *event);
void api_event_from_view(cJSON *event);

/* The tree of a stored object under the names of `r` (other version, events view); *ret_owned is a
 * copy to be freed, or NULL when the stored tree is returned. */
const cJSON *api_tree_as(const struct api_resource *r, struct api_object *o, cJSON **ret_owned);

/* Whether `r` shows a stored object with exactly the stored text. */
bool api_shows_text(const struct api_resource *r, const struct api_object *o);

/* A PartialObjectMetadata of an object; the caller frees it. */
cJSON *api_partial_metadata(const cJSON *tree, bool with_type);

/* The answer's time of the request as metav1.Time; 40 bytes. */
void api_time_now(const struct api_call *c, char *text);

#endif
