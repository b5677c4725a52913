/* Versions of objects, buckets of present ones, the history window and the index of uids: see
 * server.h. */
#include "localcluster/api/server.h"

#include <assert.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

/* Trees of versions this far back in the history are dropped; the text stays. */
#define TREES_KEPT 256

/* ---- objects ---- */

struct api_object *api_object_new(struct api_bucket *bucket, uint64_t revision,
                                  const char *namespace_, const char *name, const char *text,
                                  size_t length)
{
    struct api_object *o = mlt_calloc(1, sizeof *o);
    o->references = 1;
    o->bucket = bucket;
    o->revision = revision;
    o->namespace_ = mlt_strdup(namespace_);
    o->name = mlt_strdup(name);
    o->text = mlt_strndup(text, length);
    o->length = length;
    return o;
}

struct api_object *api_object_hold(struct api_object *o)
{
    if (o)
        o->references++;
    return o;
}

void api_object_drop(struct api_object *o)
{
    if (!o || --o->references > 0)
        return;
    free(o->namespace_);
    free(o->name);
    free(o->text);
    cJSON_Delete(o->tree);
    free(o);
}

const cJSON *api_object_tree(struct api_object *o)
{
    if (!o->tree) {
        int rc = json_parse(o->text, o->length, &o->tree, NULL);
        assert(rc == 0); /* checked when it was loaded, else printed by us */
        (void)rc;
    }
    return o->tree;
}

/* ---- buckets ---- */

static int compare_key(const struct api_object *o, const char *namespace_, const char *name)
{
    int order = strcmp(o->namespace_, namespace_);
    return order ? order : strcmp(o->name, name);
}

size_t api_bucket_position(const struct api_bucket *b, const char *namespace_, const char *name)
{
    size_t low = 0, high = b->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_key(b->objects[middle], namespace_, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct api_object *api_bucket_find(const struct api_bucket *b, const char *namespace_,
                                   const char *name)
{
    size_t i = api_bucket_position(b, namespace_, name);
    return i < b->count && compare_key(b->objects[i], namespace_, name) == 0 ? b->objects[i] : NULL;
}

void api_bucket_put(struct api_bucket *b, struct api_object *o)
{
    size_t i = api_bucket_position(b, o->namespace_, o->name);
    o->current = true;
    if (i < b->count && compare_key(b->objects[i], o->namespace_, o->name) == 0) {
        b->objects[i]->current = false;
        api_object_drop(b->objects[i]);
        b->objects[i] = o;
        return;
    }
    MLT_GROW(b->objects, b->count, b->capacity);
    memmove(b->objects + i + 1, b->objects + i, (b->count - i) * sizeof *b->objects);
    b->objects[i] = o;
    b->count++;
}

void api_bucket_remove(struct api_bucket *b, struct api_object *o)
{
    size_t i = api_bucket_position(b, o->namespace_, o->name);
    assert(i < b->count && b->objects[i] == o);
    memmove(b->objects + i, b->objects + i + 1, (b->count - i - 1) * sizeof *b->objects);
    b->count--;
    o->current = false;
    api_object_drop(o);
}

/* ---- history ---- */

size_t api_history_after(const struct api_history *h, uint64_t revision)
{
    size_t low = h->first, high = h->first + h->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (h->changes[middle].revision <= revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void drop_tree(struct api_object *o)
{
    if (o && !o->current) {
        cJSON_Delete(o->tree);
        o->tree = NULL;
    }
}

static void forget_first(struct api_history *h)
{
    struct api_change *c = &h->changes[h->first];
    h->floor = c->revision;
    h->bytes -= c->object->length;
    api_object_drop(c->object);
    api_object_drop(c->previous);
    h->first++;
    h->count--;
}

void api_history_add(struct api_history *h, const struct api_change *change)
{
    size_t end = h->first + h->count;
    if (end == h->capacity && h->first > h->capacity / 2) {
        memmove(h->changes, h->changes + h->first, h->count * sizeof *h->changes);
        h->first = 0;
        end = h->count;
    }
    MLT_GROW(h->changes, end, h->capacity);
    h->changes[end] = *change;
    h->count++;
    h->bytes += change->object->length;
    if (h->count > TREES_KEPT) {
        drop_tree(h->changes[end - TREES_KEPT].object);
        drop_tree(h->changes[end - TREES_KEPT].previous);
    }
    while (h->count > h->count_max || (h->count > 1 && h->bytes > API_HISTORY_BYTES_MAX))
        forget_first(h);
}

void api_history_release(struct api_history *h)
{
    while (h->count)
        forget_first(h);
    free(h->changes);
    *h = (struct api_history){0};
}

/* ---- index of uids: open addressing, entries are never removed before the end ---- */

static size_t hash_text(const char *text)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return (size_t)(h ^ (h >> 29));
}

static struct api_uid_entry *probe(struct api_uid_entry *slots, size_t size, const char *uid)
{
    size_t i = hash_text(uid) & (size - 1);
    while (slots[i].uid && strcmp(slots[i].uid, uid) != 0)
        i = (i + 1) & (size - 1);
    return &slots[i];
}

static void release_entry(struct api_uid_entry *e)
{
    for (size_t i = 0; i < e->count; i++) {
        free(e->dependents[i].namespace_);
        free(e->dependents[i].name);
    }
    free(e->dependents);
    free(e->uid);
    *e = (struct api_uid_entry){0};
}

/* Makes room; what neither exists nor is waited for is left behind. */
static void rehash(struct api_uids *u)
{
    size_t living = 0;
    for (size_t i = 0; i < u->size; i++)
        living += u->slots[i].uid && (u->slots[i].object || u->slots[i].count) ? 1 : 0;
    size_t size = 64;
    while (size < living * 4)
        size *= 2;
    struct api_uid_entry *slots = mlt_calloc(size, sizeof *slots);
    for (size_t i = 0; i < u->size; i++) {
        struct api_uid_entry *e = &u->slots[i];
        if (e->uid && (e->object || e->count))
            *probe(slots, size, e->uid) = *e;
        else
            release_entry(e);
    }
    free(u->slots);
    *u = (struct api_uids){.slots = slots, .size = size, .used = living};
}

struct api_uid_entry *api_uids_get(struct api_uids *u, const char *uid, bool create)
{
    if (create && u->used * 2 >= u->size)
        rehash(u);
    if (!u->size)
        return NULL;
    struct api_uid_entry *e = probe(u->slots, u->size, uid);
    if (e->uid)
        return e;
    if (!create)
        return NULL;
    e->uid = mlt_strdup(uid);
    u->used++;
    return e;
}

void api_uids_release(struct api_uids *u)
{
    for (size_t i = 0; i < u->size; i++)
        release_entry(&u->slots[i]);
    free(u->slots);
    *u = (struct api_uids){0};
}
