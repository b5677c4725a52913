/* Where objects are kept: a vtable, so that the request handler is the same over SQLite
 * (store_sqlite.c) and over memory (store_memory.c: tests and the simulation).
 *
 * The server holds all objects in memory and writes each change through; the store is read once, at
 * the start. One change is one transaction: what was acknowledged is there after a kill. */
#ifndef LOCALCLUSTER_API_STORE_H
#define LOCALCLUSTER_API_STORE_H

#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"

enum store_change_type { STORE_ADDED, STORE_MODIFIED, STORE_DELETED };

/* One change. For STORE_DELETED the text is the object's last state. Pointers are borrowed. */
struct store_change {
    uint64_t revision; /* above all earlier ones */
    enum store_change_type type;
    const char *bucket;     /* "pods", "trainingjobs.mltrain.io" */
    const char *namespace_; /* "" for cluster-scoped objects */
    const char *name;
    const char *text; /* JSON */
    size_t length;
};

struct store;

/* Gets each stored object (type STORE_ADDED, revision of its last write) or each kept change. A
 * negative result ends the reading and is returned. */
typedef int store_visit_f(void *arg, const struct store_change *change, struct mlt_error *err);

struct store_ops {
    /* All objects, then all kept changes in order of revision; *ret_revision is the highest ever
     * written. */
    int (*load)(struct store *s, store_visit_f *object, store_visit_f *change, void *arg,
                uint64_t *ret_revision, struct mlt_error *err);
    /* Writes a change durably, as a whole or not at all. */
    int (*commit)(struct store *s, const struct store_change *change, struct mlt_error *err);
    /* Drops kept changes up to and including `revision`. */
    int (*forget)(struct store *s, uint64_t revision, struct mlt_error *err);
    void (*free)(struct store *s);
};

struct store {
    const struct store_ops *ops; /* first member of every implementation */
};

static inline void store_free(struct store *s)
{
    if (s)
        s->ops->free(s);
}

/* Opens or creates a database file. SQLite in WAL mode with synchronous=NORMAL: a killed process
 * loses nothing that was acknowledged; a machine that loses power may lose the last moments, never
 * its consistency. -EIO with SQLite's words; -EBUSY when another server has it open. */
int store_sqlite_open(const char *path, struct store **ret, struct mlt_error *err) MLT_MUST_USE;

/* An empty store in memory. It may outlive the server over it, so that a restart can be tried;
 * fail_after makes the n-th commit from now fail (-1: never). */
struct store *store_memory_new(void);
void store_memory_fail_after(struct store *s, int commits);

#endif
