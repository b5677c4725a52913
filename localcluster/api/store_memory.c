/* The store in memory: see store.h. Keeps what a database would keep, so that a server over it can
 * be dropped at any point and started again. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/store.h"

struct row {
    uint64_t revision;
    enum store_change_type type;
    char *bucket, *namespace_, *name, *text;
    size_t length;
};

struct rows {
    struct row *items;
    size_t count, capacity;
};

struct store_memory {
    struct store base;
    struct rows objects, changes;
    uint64_t revision;
    int fail_after;
};

static void row_release(struct row *r)
{
    free(r->bucket);
    free(r->namespace_);
    free(r->name);
    free(r->text);
}

static struct row row_from(const struct store_change *c)
{
    return (struct row){.revision = c->revision,
                        .type = c->type,
                        .bucket = mlt_strdup(c->bucket),
                        .namespace_ = mlt_strdup(c->namespace_),
                        .name = mlt_strdup(c->name),
                        .text = mlt_strndup(c->text, c->length),
                        .length = c->length};
}

static struct row *find_row(struct rows *rows, const struct store_change *c)
{
    for (size_t i = 0; i < rows->count; i++) {
        struct row *r = &rows->items[i];
        if (strcmp(r->name, c->name) == 0 && strcmp(r->namespace_, c->namespace_) == 0 &&
            strcmp(r->bucket, c->bucket) == 0)
            return r;
    }
    return NULL;
}

static void add_row(struct rows *rows, const struct store_change *c)
{
    MLT_GROW(rows->items, rows->count, rows->capacity);
    rows->items[rows->count++] = row_from(c);
}

static int visit(const struct rows *rows, bool objects, store_visit_f *f, void *arg,
                 struct mlt_error *err)
{
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *r = &rows->items[i];
        const struct store_change c = {.revision = r->revision,
                                       .type = objects ? STORE_ADDED : r->type,
                                       .bucket = r->bucket,
                                       .namespace_ = r->namespace_,
                                       .name = r->name,
                                       .text = r->text,
                                       .length = r->length};
        int rc = f(arg, &c, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int memory_load(struct store *base, store_visit_f *object, store_visit_f *change, void *arg,
                       uint64_t *ret_revision, struct mlt_error *err)
{
    struct store_memory *s = (struct store_memory *)base;
    int rc = visit(&s->objects, true, object, arg, err);
    if (rc == 0)
        rc = visit(&s->changes, false, change, arg, err);
    if (rc == 0)
        *ret_revision = s->revision;
    return rc;
}

static int memory_commit(struct store *base, const struct store_change *c, struct mlt_error *err)
{
    struct store_memory *s = (struct store_memory *)base;
    if (s->fail_after == 0)
        return mlt_fail(err, EIO, "this store was told to fail");
    if (s->fail_after > 0)
        s->fail_after--;
    struct row *r = find_row(&s->objects, c);
    if (r)
        row_release(r);
    if (c->type == STORE_DELETED && r)
        *r = s->objects.items[--s->objects.count];
    else if (r)
        *r = row_from(c);
    else if (c->type != STORE_DELETED)
        add_row(&s->objects, c);
    add_row(&s->changes, c);
    s->revision = c->revision;
    return 0;
}

static int memory_forget(struct store *base, uint64_t revision, struct mlt_error *err)
{
    struct store_memory *s = (struct store_memory *)base;
    (void)err;
    size_t kept = 0;
    for (size_t i = 0; i < s->changes.count; i++) {
        if (s->changes.items[i].revision <= revision)
            row_release(&s->changes.items[i]);
        else
            s->changes.items[kept++] = s->changes.items[i];
    }
    s->changes.count = kept;
    return 0;
}

static void memory_free(struct store *base)
{
    struct store_memory *s = (struct store_memory *)base;
    for (size_t i = 0; i < s->objects.count; i++)
        row_release(&s->objects.items[i]);
    for (size_t i = 0; i < s->changes.count; i++)
        row_release(&s->changes.items[i]);
    free(s->objects.items);
    free(s->changes.items);
    free(s);
}

struct store *store_memory_new(void)
{
    static const struct store_ops ops = {
        .load = memory_load, .commit = memory_commit, .forget = memory_forget, .free = memory_free};
    struct store_memory *s = mlt_calloc(1, sizeof *s);
    s->base.ops = &ops;
    s->fail_after = -1;
    return &s->base;
}

void store_memory_fail_after(struct store *base, int commits)
{
    ((struct store_memory *)base)->fail_after = commits;
}
