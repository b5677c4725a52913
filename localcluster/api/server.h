/* The state of the API server, private to localcluster/api: objects, resources, history, watches.
 *
 * Objects are kept as immutable versions (struct api_object), shared by the present state, the
 * history that watches read, and answers under way. Text is the truth; a tree is parsed from it
 * when it is needed. */
#ifndef LOCALCLUSTER_API_SERVER_H
#define LOCALCLUSTER_API_SERVER_H

#include "lib/json/json.h"
#include "localcluster/api/request.h"

/* ---- objects ---- */

struct api_bucket;

/* One version of one object. */
struct api_object {
    unsigned references;
    bool current; /* stored now; an old version's tree may be dropped */
    uint64_t revision;
    struct api_bucket *bucket;
    char *namespace_; /* "" for cluster-scoped objects */
    char *name;
    char *text; /* JSON, one line, with its resourceVersion */
    size_t length;
    cJSON *tree; /* NULL until asked for */
};

struct api_object *api_object_new(struct api_bucket *bucket, uint64_t revision,
                                  const char *namespace_, const char *name, const char *text,
                                  size_t length);
struct api_object *api_object_hold(struct api_object *o);
void api_object_drop(struct api_object *o); /* NULL is fine */

/* The parsed object, owned by it; never NULL (stored text was printed by us). */
const cJSON *api_object_tree(struct api_object *o);

/* All objects of one kind, sorted by namespace and name as etcd sorts keys. */
struct api_bucket {
    char *name;
    struct api_object **objects;
    size_t count, capacity;
};

struct api_object *api_bucket_find(const struct api_bucket *b, const char *namespace_,
                                   const char *name);
/* Index of the first object that is not before (namespace_, name). */
size_t api_bucket_position(const struct api_bucket *b, const char *namespace_, const char *name);
void api_bucket_put(struct api_bucket *b, struct api_object *o); /* takes a reference; replaces */
void api_bucket_remove(struct api_bucket *b, struct api_object *o); /* drops its reference */

/* ---- history ---- */

struct api_change {
    uint64_t revision;
    enum store_change_type type;
    struct api_object *object;
    struct api_object *previous; /* NULL when it was not kept */
};

struct api_history {
    struct api_change *changes; /* a window of `count` from `first` on, in order of revision */
    size_t first, count, capacity;
    size_t bytes;
    size_t count_max; /* changes */
    uint64_t floor;   /* every change after this revision is here */
};

/* Index (from `first`) of the first change after `revision`. */
size_t api_history_after(const struct api_history *h, uint64_t revision);
void api_history_add(struct api_history *h,
                     const struct api_change *change); /* takes two references */
void api_history_release(struct api_history *h);

/* ---- ids of objects ---- */

struct api_uid_entry {
    char *uid; /* NULL: free slot */
    struct api_object
        *object; /* the object of that uid now; NULL when it does not exist (any more) */
    struct api_dependent {
        struct api_bucket *bucket;
        char *namespace_, *name;
    } * dependents; /* objects that (once) named it as an owner */
    size_t count, capacity;
};

struct api_uids {
    struct api_uid_entry *slots;
    size_t used, size; /* size is a power of two */
};

struct api_uid_entry *api_uids_get(struct api_uids *u, const char *uid, bool create);
void api_uids_release(struct api_uids *u);

/* ---- the server ---- */

struct api_resource;

struct api_registry {
    struct api_resource **resources; /* in the order in which they were registered */
    size_t count, capacity;
    struct api_bucket **buckets;
    size_t bucket_count, bucket_capacity;
    uint64_t generation; /* moves with each change: ETags and caches */
};

struct api_work_item {
    char *uid;
};

struct api_server {
    struct store *store;
    struct mlt_random *random;
    char *token;
    uint64_t revision;
    uint64_t forgotten; /* changes up to here were dropped from the store */
    struct api_registry registry;
    struct api_history history;
    struct api_uids uids;
    cJSON *types; /* schemas of built-in types by name */
    size_t watch_count;
    /* Uids whose owner, finalizers or namespace have changed, to be looked at by api_server_work().
     */
    struct api_work_item *work;
    size_t work_first, work_count, work_capacity;
    int64_t expire_ms; /* when to look for expired events again */
};

/* Makes `tree` (taken over) the present state of an object: gives it a resourceVersion, writes it
 * through, adds it to the history. Returns the new version (borrowed from its bucket), or NULL with
 * err when the store refused: nothing has changed then. */
struct api_object *api_server_put(struct api_server *s, struct api_bucket *bucket, cJSON *tree,
                                  struct mlt_error *err);

/* Removes an object; the last state that watches see has the revision of the removal. */
int api_server_remove(struct api_server *s, struct api_object *object,
                      struct mlt_error *err) MLT_MUST_USE;

/* Queues an object's uid for api_server_work(). */
void api_server_touch(struct api_server *s, const char *uid);

/* Seeded ids: a version 4 UUID of 36 characters, and Kubernetes' five-letter suffixes. */
void api_new_uid(struct mlt_random *random, char text[37]);
void api_new_suffix(struct mlt_random *random, char text[6]);

#endif
