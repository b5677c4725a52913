/* The server's state over its store: loading, and the two ways in which anything changes. See
 * server.h. */
#include "localcluster/api/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/bootstrap.h"
#include "localcluster/api/kinds.h"
#include "localcluster/api/resources.h"

#define FORGET_BATCH 128 /* changes dropped from the store at a time */

void api_new_uid(struct mlt_random *random, char text[37])
{
    uint64_t a = mlt_random_next(random), b = mlt_random_next(random);
    (void)snprintf(text, 37, "%08" PRIx32 "-%04x-4%03x-%04x-%012" PRIx64, (uint32_t)(a >> 32),
                   (unsigned)(a >> 16) & 0xffffu, (unsigned)a & 0xfffu,
                   0x8000u | ((unsigned)(b >> 48) & 0x3fffu), b & 0xffffffffffffu);
}

void api_new_suffix(struct mlt_random *random, char text[6])
{
    /* Letters that make no words, from apimachinery/pkg/util/rand. */
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    for (int i = 0; i < 5; i++)
        text[i] = letters[mlt_random_below(random, sizeof letters - 1)];
    text[5] = '\0';
}

uint64_t api_server_revision(const struct api_server *s)
{
    return s->revision;
}

void api_server_touch(struct api_server *s, const char *uid)
{
    if (s->work_first > 1024 && s->work_first > s->work_count) {
        memmove(s->work, s->work + s->work_first, s->work_count * sizeof *s->work);
        s->work_first = 0;
    }
    size_t end = s->work_first + s->work_count;
    MLT_GROW(s->work, end, s->work_capacity);
    s->work[end].uid = mlt_strdup(uid);
    s->work_count++;
}

/* Notes an object under its own uid and as a dependent of its owners. */
static void index_object(struct api_server *s, struct api_object *o)
{
    const cJSON *tree = api_object_tree(o);
    const char *uid = json_string(tree, "metadata.uid", "");
    if (!uid[0])
        return;
    api_uids_get(&s->uids, uid, true)->object = o;
    const cJSON *owner;
    cJSON_ArrayForEach(owner, json_find(tree, "metadata.ownerReferences"))
    {
        const char *owner_uid = json_string(owner, "uid", "");
        struct api_uid_entry *e = api_uids_get(&s->uids, owner_uid, true);
        bool known = false;
        for (size_t i = e->count; i-- > 0 && !known;)
            known = e->dependents[i].bucket == o->bucket &&
                    strcmp(e->dependents[i].name, o->name) == 0 &&
                    strcmp(e->dependents[i].namespace_, o->namespace_) == 0;
        if (known)
            continue;
        MLT_GROW(e->dependents, e->count, e->capacity);
        e->dependents[e->count++] = (struct api_dependent){.bucket = o->bucket,
                                                           .namespace_ = mlt_strdup(o->namespace_),
                                                           .name = mlt_strdup(o->name)};
        if (!e->object)
            api_server_touch(s, uid); /* the owner is gone already */
    }
}

/* After any write: what may follow from it is looked at by api_server_work(). */
static void touch_after_write(struct api_server *s, const cJSON *tree)
{
    if (json_find(tree, "metadata.deletionTimestamp"))
        api_server_touch(s, json_string(tree, "metadata.uid", ""));
}

static int write_change(struct api_server *s, enum store_change_type type, struct api_object *o,
                        struct api_object *previous, struct mlt_error *err)
{
    const struct store_change change = {.revision = o->revision,
                                        .type = type,
                                        .bucket = o->bucket->name,
                                        .namespace_ = o->namespace_,
                                        .name = o->name,
                                        .text = o->text,
                                        .length = o->length};
    int rc = s->store->ops->commit(s->store, &change, err);
    if (rc < 0)
        return rc;
    s->revision = o->revision;
    api_history_add(&s->history, &(struct api_change){.revision = o->revision,
                                                      .type = type,
                                                      .object = api_object_hold(o),
                                                      .previous = api_object_hold(previous)});
    /* In batches, so that most writes are one statement less; a failure only leaves more history.
     */
    if (s->history.floor >= s->forgotten + FORGET_BATCH &&
        s->store->ops->forget(s->store, s->history.floor, NULL) == 0)
        s->forgotten = s->history.floor;
    return 0;
}

static struct api_object *new_version(struct api_server *s, struct api_bucket *bucket, cJSON *tree)
{
    char revision[24];
    (void)snprintf(revision, sizeof revision, "%" PRIu64, s->revision + 1);
    json_set_string(tree, "metadata.resourceVersion", revision);
    cleanup_free char *text = json_print(tree);
    struct api_object *o =
        api_object_new(bucket, s->revision + 1, json_string(tree, "metadata.namespace", ""),
                       json_string(tree, "metadata.name", ""), text, strlen(text));
    o->tree = tree;
    return o;
}

struct api_object *api_server_put(struct api_server *s, struct api_bucket *bucket, cJSON *tree,
                                  struct mlt_error *err)
{
    struct api_object *o = new_version(s, bucket, tree);
    struct api_object *previous = api_bucket_find(bucket, o->namespace_, o->name);
    if (write_change(s, previous ? STORE_MODIFIED : STORE_ADDED, o, previous, err) < 0) {
        api_object_drop(o);
        return NULL;
    }
    api_bucket_put(bucket, o);
    index_object(s, o);
    touch_after_write(s, o->tree);
    return o;
}

int api_server_remove(struct api_server *s, struct api_object *object, struct mlt_error *err)
{
    struct api_object *last = new_version(s, object->bucket, json_copy(api_object_tree(object)));
    int rc = write_change(s, STORE_DELETED, last, object, err);
    if (rc == 0) {
        const char *uid = json_string(last->tree, "metadata.uid", "");
        struct api_uid_entry *e = api_uids_get(&s->uids, uid, true);
        e->object = NULL;
        if (e->count)
            api_server_touch(s, uid); /* dependents have lost an owner */
        const cJSON *owner;
        cJSON_ArrayForEach(owner, json_find(last->tree, "metadata.ownerReferences"))
        {
            /* An owner that is deleted in the foreground waits for this. */
            api_server_touch(s, json_string(owner, "uid", ""));
        }
        if (last->namespace_[0]) {
            struct api_object *n =
                api_bucket_find(api_bucket_get(s, "namespaces"), "", last->namespace_);
            if (n && json_find(api_object_tree(n), "metadata.deletionTimestamp"))
                api_server_touch(s, json_string(api_object_tree(n), "metadata.uid", ""));
        }
        api_bucket_remove(object->bucket, object);
    }
    api_object_drop(last);
    return rc;
}

/* ---- loading ---- */

struct loading {
    struct api_server *server;
    struct api_bucket *shadows; /* the last version seen of each object while the history is read */
    size_t count, capacity;
};

static int load_object(void *arg, const struct store_change *change, struct mlt_error *err)
{
    struct loading *l = arg;
    struct api_object *o =
        api_object_new(api_bucket_get(l->server, change->bucket), change->revision,
                       change->namespace_, change->name, change->text, change->length);
    int rc = json_parse(o->text, o->length, &o->tree, err);
    if (rc < 0) {
        api_object_drop(o);
        return mlt_fail_in(err, "stored object %s %s/%s", change->bucket, change->namespace_,
                           change->name);
    }
    api_bucket_put(o->bucket, o);
    return 0;
}

static struct api_bucket *shadow_of(struct loading *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->shadows[i].name, name) == 0)
            return &l->shadows[i];
    MLT_GROW(l->shadows, l->count, l->capacity);
    l->shadows[l->count] = (struct api_bucket){.name = mlt_strdup(name)};
    return &l->shadows[l->count++];
}

static int load_change(void *arg, const struct store_change *change, struct mlt_error *err)
{
    struct loading *l = arg;
    (void)err;
    struct api_bucket *bucket = api_bucket_get(l->server, change->bucket);
    struct api_object *o = api_bucket_find(bucket, change->namespace_, change->name);
    if (change->type != STORE_DELETED && o && o->revision == change->revision)
        o = api_object_hold(o);
    else
        o = api_object_new(bucket, change->revision, change->namespace_, change->name, change->text,
                           change->length);
    struct api_bucket *shadow = shadow_of(l, change->bucket);
    struct api_object *previous = api_bucket_find(shadow, change->namespace_, change->name);
    if (!l->server->history.count)
        l->server->history.floor = change->revision - 1;
    api_history_add(&l->server->history,
                    &(struct api_change){.revision = change->revision,
                                         .type = change->type,
                                         .object = o,
                                         .previous = api_object_hold(previous)});
    bool current = o->current;
    api_bucket_put(shadow, api_object_hold(o));
    o->current = current;
    return 0;
}

static int load(struct api_server *s, struct mlt_error *err)
{
    struct loading l = {.server = s};
    uint64_t revision = 0;
    int rc = s->store->ops->load(s->store, load_object, load_change, &l, &revision, err);
    for (size_t i = 0; i < l.count; i++) {
        for (size_t j = 0; j < l.shadows[i].count; j++)
            api_object_drop(l.shadows[i].objects[j]);
        free(l.shadows[i].objects);
        free(l.shadows[i].name);
    }
    free(l.shadows);
    if (rc < 0)
        return rc;
    s->revision = revision;
    if (!s->history.count)
        s->history.floor = revision;
    return 0;
}

/* Everything derived from the objects: served CRDs, the index, and work that a kill has
 * interrupted. */
static void derive(struct api_server *s)
{
    const struct api_bucket *crds = api_bucket_get(s, "customresourcedefinitions");
    for (size_t i = 0; i < crds->count; i++)
        api_crd_register(s, crds->objects[i]->name, api_object_tree(crds->objects[i]));
    for (size_t i = 0; i < s->registry.bucket_count; i++) {
        const struct api_bucket *b = s->registry.buckets[i];
        for (size_t j = 0; j < b->count; j++)
            index_object(s, b->objects[j]);
    }
    for (size_t i = 0; i < s->registry.bucket_count; i++) {
        const struct api_bucket *b = s->registry.buckets[i];
        for (size_t j = 0; j < b->count; j++) {
            const cJSON *tree = api_object_tree(b->objects[j]);
            if (json_find(tree, "metadata.deletionTimestamp") ||
                json_find(tree, "metadata.ownerReferences"))
                api_server_touch(s, json_string(tree, "metadata.uid", ""));
        }
    }
}

int api_server_new(const struct api_server_config *config, int64_t now_ms, struct api_server **ret,
                   struct mlt_error *err)
{
    struct api_server *s = mlt_calloc(1, sizeof *s);
    s->store = config->store;
    s->random = config->random;
    s->token = mlt_strdup(config->token);
    s->history.count_max = config->history_events ? config->history_events : API_HISTORY_EVENTS_MAX;
    s->types = api_kinds_new();
    api_resources_register(s);
    int rc = load(s, err);
    if (rc == 0) {
        derive(s);
        rc = api_bootstrap(s, config, now_ms, err);
    }
    if (rc < 0) {
        api_server_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void api_server_free(struct api_server *s)
{
    if (!s)
        return;
    api_history_release(&s->history);
    api_registry_release(&s->registry);
    api_uids_release(&s->uids);
    for (size_t i = 0; i < s->work_count; i++)
        free(s->work[s->work_first + i].uid);
    free(s->work);
    cJSON_Delete(s->types);
    free(s->token);
    free(s);
}
