/* What follows from writes: owner references, finalizers of deletion, contents of namespaces and of
 * custom kinds, old events. Everything starts from a uid that was touched and is decided from the
 * present state, so it can be interrupted anywhere and asked for again. Model:
 * pkg/controller/garbagecollector in Kubernetes. */
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "localcluster/api/call.h"
#include "localcluster/api/metadata.h"

#define WORK_STEP 64 /* uids looked at by one call */
#define EXPIRE_INTERVAL_MS 60000
#define CRD_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

/* A call without a client, for the verbs' functions. */
struct inner {
    struct api_request request;
    struct api_answer answer;
    struct api_call call;
};

static void inner_init(struct inner *i, struct api_server *s, struct api_resource *r,
                       int64_t now_ms)
{
    *i =
        (struct inner){.request = {.method = "DELETE", .target = "", .body = "", .now_ms = now_ms}};
    api_answer_init(&i->answer);
    i->call = (struct api_call){.server = s,
                                .request = &i->request,
                                .answer = &i->answer,
                                .resource = r,
                                .namespace_ = "",
                                .validation = API_VALIDATION_IGNORE};
}

/* Deletes in the background, or in the foreground; false when the store refused. */
static bool delete_object(struct api_server *s, struct api_object *o, bool foreground,
                          int64_t now_ms)
{
    struct api_resource *r = api_resource_of_bucket(s, o->bucket);
    if (!r)
        return true;
    struct inner inner;
    inner_init(&inner, s, r, now_ms);
    cleanup_json cJSON *options = cJSON_CreateObject();
    cleanup_json cJSON *shown = NULL;
    json_set_string(options, "propagationPolicy", foreground ? "Foreground" : "Background");
    int rc = api_delete_object(&inner.call, o, options, &shown);
    bool refused_by_store = rc < 0 && inner.answer.status >= 500;
    api_answer_release(&inner.answer);
    return !refused_by_store;
}

/* Stores a changed copy; an object that nothing holds any more goes. */
static bool store(struct api_server *s, struct api_object *o, cJSON *tree)
{
    bool held = json_size(tree, "metadata.finalizers") ||
                json_integer(tree, "metadata.deletionGracePeriodSeconds", 0) > 0;
    if (json_find(tree, "metadata.deletionTimestamp") && !held) {
        cJSON_Delete(tree);
        return api_server_remove(s, o, NULL) == 0;
    }
    return api_server_put(s, o->bucket, tree, NULL) != NULL;
}

static struct api_object *object_of_uid(struct api_server *s, const char *uid)
{
    const struct api_uid_entry *e = api_uids_get(&s->uids, uid, false);
    return e ? e->object : NULL;
}

/* The dependents of a uid that still name it; the caller drops each and frees the array. */
static size_t dependents_of(struct api_server *s, const char *uid, struct api_object ***ret)
{
    const struct api_uid_entry *e = api_uids_get(&s->uids, uid, false);
    size_t count = 0, capacity = 0;
    struct api_object **found = NULL;
    for (size_t i = 0; e && i < e->count; i++) {
        const struct api_dependent *d = &e->dependents[i];
        struct api_object *o = api_bucket_find(d->bucket, d->namespace_, d->name);
        const cJSON *owner,
            *owners = o ? json_find(api_object_tree(o), "metadata.ownerReferences") : NULL;
        cJSON_ArrayForEach(owner, owners)
        {
            if (strcmp(json_string(owner, "uid", ""), uid) != 0)
                continue;
            MLT_GROW(found, count, capacity);
            found[count++] = api_object_hold(o);
            break;
        }
    }
    *ret = found;
    return count;
}

static bool is_blocking(const cJSON *tree, const char *uid)
{
    const cJSON *owner;
    cJSON_ArrayForEach(owner, json_find(tree, "metadata.ownerReferences"))
    {
        if (strcmp(json_string(owner, "uid", ""), uid) == 0)
            return json_bool(owner, "blockOwnerDeletion", false);
    }
    return false;
}

/* ---- foregroundDeletion and orphan ---- */

static bool delete_dependents(struct api_server *s, struct api_object *owner, int64_t now_ms)
{
    cleanup_free char *uid = mlt_strdup(json_string(api_object_tree(owner), "metadata.uid", ""));
    struct api_object **found;
    size_t count = dependents_of(s, uid, &found), blocking = 0;
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        bool blocks = is_blocking(api_object_tree(found[i]), uid);
        if (!json_find(api_object_tree(found[i]), "metadata.deletionTimestamp"))
            good = delete_object(s, found[i], blocks, now_ms) && good;
        struct api_object *still =
            api_bucket_find(found[i]->bucket, found[i]->namespace_, found[i]->name);
        blocking += blocks && still ? 1 : 0;
        api_object_drop(found[i]);
    }
    free(found);
    struct api_object *now = object_of_uid(s, uid);
    if (!good || blocking || !now)
        return good;
    cJSON *tree = json_copy(api_object_tree(now));
    api_remove_finalizer(tree, "foregroundDeletion");
    return store(s, now, tree);
}

static void remove_owner(cJSON *tree, const char *uid)
{
    cJSON *owners = json_find(tree, "metadata.ownerReferences"), *next = NULL;
    for (cJSON *owner = owners ? owners->child : NULL; owner; owner = next) {
        next = owner->next;
        if (strcmp(json_string(owner, "uid", ""), uid) == 0)
            cJSON_Delete(cJSON_DetachItemViaPointer(owners, owner));
    }
    if (owners && !owners->child)
        json_unset(tree, "metadata.ownerReferences");
}

static bool orphan_dependents(struct api_server *s, struct api_object *owner)
{
    cleanup_free char *uid = mlt_strdup(json_string(api_object_tree(owner), "metadata.uid", ""));
    struct api_object **found;
    size_t count = dependents_of(s, uid, &found);
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        cJSON *tree = json_copy(api_object_tree(found[i]));
        remove_owner(tree, uid);
        good = store(s, found[i], tree) && good;
        api_object_drop(found[i]);
    }
    free(found);
    struct api_object *now = object_of_uid(s, uid);
    if (!good || !now)
        return good;
    cJSON *tree = json_copy(api_object_tree(now));
    api_remove_finalizer(tree, "orphan");
    return store(s, now, tree);
}

/* ---- contents ---- */

/* Deletes the object at *index of a bucket, and moves the index on when it is still there. */
static bool delete_at(struct api_server *s, struct api_bucket *b, size_t *index, int64_t now_ms)
{
    struct api_object *o = api_object_hold(b->objects[*index]);
    bool good = json_find(api_object_tree(o), "metadata.deletionTimestamp") ||
                delete_object(s, o, false, now_ms);
    if (api_bucket_find(b, o->namespace_, o->name))
        (*index)++;
    api_object_drop(o);
    return good;
}

/* Deletes every object of a namespace; *ret_left says whether some are still there. */
static bool empty_namespace(struct api_server *s, const char *name, int64_t now_ms, bool *ret_left)
{
    *ret_left = false;
    for (size_t i = 0; i < s->registry.bucket_count; i++) {
        struct api_bucket *b = s->registry.buckets[i];
        size_t first = api_bucket_position(b, name, ""), j = first;
        while (j < b->count && strcmp(b->objects[j]->namespace_, name) == 0)
            if (!delete_at(s, b, &j, now_ms))
                return false;
        *ret_left = *ret_left || j > first;
    }
    return true;
}

static bool finish_namespace(struct api_server *s, struct api_object *o, int64_t now_ms)
{
    bool left;
    cleanup_free char *name = mlt_strdup(o->name);
    if (!empty_namespace(s, name, now_ms, &left))
        return false;
    struct api_object *now = api_bucket_find(o->bucket, "", name);
    if (left || !now || json_size(api_object_tree(now), "metadata.finalizers"))
        return true;
    return api_server_remove(s, now, NULL) == 0;
}

static bool finish_crd(struct api_server *s, struct api_object *o, int64_t now_ms)
{
    struct api_bucket *b = api_bucket_get(s, o->name);
    struct api_resource *r = api_resource_of_bucket(s, b);
    cleanup_free char *name = mlt_strdup(o->name);
    for (size_t i = 0; r && i < b->count;)
        if (!delete_at(s, b, &i, now_ms))
            return false;
    struct api_object *now = api_bucket_find(o->bucket, "", name);
    if (b->count || !now)
        return true;
    cJSON *tree = json_copy(api_object_tree(now));
    api_remove_finalizer(tree, CRD_FINALIZER);
    if (!store(s, now, tree))
        return false;
    if (!api_bucket_find(api_bucket_get(s, "customresourcedefinitions"), "", name))
        api_crd_register(s, name, NULL);
    return true;
}

/* ---- owners that are gone ---- */

static bool check_owners(struct api_server *s, struct api_object *o, int64_t now_ms)
{
    const cJSON *tree = api_object_tree(o), *owner;
    size_t there = 0, gone = 0;
    cJSON_ArrayForEach(owner, json_find(tree, "metadata.ownerReferences"))
    {
        if (object_of_uid(s, json_string(owner, "uid", "")))
            there++;
        else
            gone++;
    }
    if (!gone || json_find(tree, "metadata.deletionTimestamp"))
        return true;
    if (!there)
        return delete_object(s, o, false, now_ms);
    cJSON *copy = json_copy(tree);
    cJSON_ArrayForEach(owner, json_find(tree, "metadata.ownerReferences"))
    {
        const char *uid = json_string(owner, "uid", "");
        if (!object_of_uid(s, uid))
            remove_owner(copy, uid);
    }
    return store(s, o, copy);
}

static void touch_dependents(struct api_server *s, const char *uid)
{
    struct api_object **found;
    size_t count = dependents_of(s, uid, &found);
    for (size_t i = 0; i < count; i++) {
        api_server_touch(s, json_string(api_object_tree(found[i]), "metadata.uid", ""));
        api_object_drop(found[i]);
    }
    free(found);
    struct api_uid_entry *e = api_uids_get(&s->uids, uid, false);
    for (size_t i = 0; e && i < e->count; i++) {
        free(e->dependents[i].namespace_);
        free(e->dependents[i].name);
    }
    if (e)
        e->count = 0;
}

static bool look_at(struct api_server *s, const char *uid, int64_t now_ms)
{
    struct api_object *o = object_of_uid(s, uid);
    if (!o) {
        touch_dependents(s, uid);
        return true;
    }
    const cJSON *tree = api_object_tree(o);
    if (!json_find(tree, "metadata.deletionTimestamp"))
        return check_owners(s, o, now_ms);
    if (api_has_finalizer(tree, "orphan"))
        return orphan_dependents(s, o);
    if (api_has_finalizer(tree, "foregroundDeletion"))
        return delete_dependents(s, o, now_ms);
    if (strcmp(o->bucket->name, "namespaces") == 0)
        return finish_namespace(s, o, now_ms);
    if (strcmp(o->bucket->name, "customresourcedefinitions") == 0)
        return finish_crd(s, o, now_ms);
    return true;
}

/* ---- events ---- */

static int64_t last_seen(const cJSON *event)
{
    static const char *const paths[] = {"lastTimestamp", "series.lastObservedTime", "eventTime",
                                        "metadata.creationTimestamp"};
    int64_t newest = 0, ms;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(paths); i++) {
        const char *text = json_string(event, paths[i], "");
        if (text[0] && mlt_time_parse(text, &ms, NULL) == 0 && ms > newest)
            newest = ms;
    }
    return newest;
}

static void expire_events(struct api_server *s, int64_t now_ms)
{
    struct api_bucket *events = api_bucket_get(s, "events");
    for (size_t i = 0; i < events->count;) {
        struct api_object *o = events->objects[i];
        bool old = last_seen(api_object_tree(o)) + API_EVENT_TTL_MS < now_ms;
        if (old && api_server_remove(s, o, NULL) < 0)
            return;
        i += old ? 0 : 1;
    }
}

bool api_server_work(struct api_server *s, int64_t now_ms)
{
    if (now_ms >= s->expire_ms) {
        expire_events(s, now_ms);
        s->expire_ms = now_ms + EXPIRE_INTERVAL_MS;
    }
    for (int i = 0; i < WORK_STEP && s->work_count; i++) {
        cleanup_free char *uid = s->work[s->work_first].uid;
        s->work_first++;
        s->work_count--;
        if (!look_at(s, uid, now_ms)) {
            api_server_touch(s, uid); /* the store refused: again at the next tick, not at once */
            return false;
        }
    }
    return s->work_count > 0;
}
