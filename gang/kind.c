/* Kinds of pods: equal requests that may use the same node classes are one kind, however many jobs
 * ask for it. */
#include "gang/internal.h"

#include <errno.h>
#include <string.h>

/* ---- the table ---- */

/* One step of a hash: splitmix64's finaliser (https://prng.di.unimi.it/splitmix64.c). */
static uint64_t step(uint64_t hash, uint64_t value)
{
    uint64_t z = (hash ^ value) + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Bitmaps are equal when they differ in trailing zeroes only. */
static uint32_t bitmap_words(const struct gang_role *role)
{
    uint32_t words = role->node_classes_words;
    while (words > 0 && role->node_classes[words - 1] == 0)
        words--;
    return words;
}

static uint64_t hash_role(const struct gang *g, const struct gang_role *role)
{
    uint64_t hash = 5;
    for (uint32_t r = 0; r < g->resources; r++)
        hash = step(hash, (uint64_t)role->request[r]);
    for (uint32_t w = 0; w < bitmap_words(role); w++)
        hash = step(hash, role->node_classes[w]);
    return hash;
}

static bool is_kind(const struct gang_kind *kind, const struct gang_role *role, uint64_t hash)
{
    return kind->hash == hash && kind->words == bitmap_words(role) &&
           memcmp(kind->request, role->request, sizeof kind->request) == 0 &&
           (kind->words == 0 ||
            memcmp(kind->classes, role->node_classes, kind->words * sizeof(uint64_t)) == 0);
}

/* Where this kind is, or would be. */
static uint32_t table_index(const struct gang_fits *f, const struct gang_role *role, uint64_t hash)
{
    uint32_t mask = f->kinds_size - 1, i = (uint32_t)hash & mask;
    while (f->kinds[i] && !is_kind(f->kinds[i], role, hash))
        i = (i + 1) & mask;
    return i;
}

static void put(struct gang_fits *f, struct gang_kind *kind)
{
    uint32_t mask = f->kinds_size - 1, i = (uint32_t)kind->hash & mask;
    while (f->kinds[i])
        i = (i + 1) & mask;
    f->kinds[i] = kind;
}

/* Keeps the table at most half full. */
static int reserve_kinds(struct gang *g)
{
    struct gang_fits *f = &g->fits;
    if ((f->kinds_count + 1) * 2 <= f->kinds_size)
        return 0;
    uint32_t old_size = f->kinds_size, size = old_size ? old_size * 2 : 16;
    struct gang_kind **old = f->kinds, **kinds = gang_alloc(g, size * sizeof(struct gang_kind *));
    if (!kinds)
        return -ENOMEM;
    f->kinds = kinds;
    f->kinds_size = size;
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i])
            put(f, old[i]);
    gang_release(g, old);
    return 0;
}

/* Moves back those that had stepped over its slot, so that no tombstones are needed. */
static void take_out(struct gang_fits *f, const struct gang_kind *kind)
{
    uint32_t mask = f->kinds_size - 1, hole = (uint32_t)kind->hash & mask;
    while (f->kinds[hole] != kind)
        hole = (hole + 1) & mask;
    for (uint32_t i = (hole + 1) & mask; f->kinds[i]; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)f->kinds[i]->hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            f->kinds[hole] = f->kinds[i];
            hole = i;
        }
    }
    f->kinds[hole] = NULL;
    f->kinds_count--;
}

static struct gang_kind *kind_new(struct gang *g, const struct gang_role *role, uint64_t hash)
{
    uint32_t words = bitmap_words(role);
    struct gang_kind *kind = gang_alloc(g, sizeof *kind + words * sizeof(uint64_t));
    if (!kind)
        return NULL;
    kind->hash = hash;
    kind->words = words;
    memcpy(kind->request, role->request, sizeof kind->request);
    if (words)
        memcpy(kind->classes, role->node_classes, words * sizeof(uint64_t));
    for (uint32_t v = 0; v < GANG_VIEWS; v++)
        kind->column[v] = GANG_NO_COLUMN;
    for (uint32_t i = 0; i < g->resources; i++) {
        uint32_t r = g->resources - 1 - i; /* devices first: they are what is scarce */
        if (kind->request[r] <= 0)
            continue;
        kind->inverse[r] = UINT64_MAX / (uint64_t)kind->request[r];
        kind->asked[kind->asked_count++] = r;
    }
    return kind;
}

static void kind_release(struct gang *g, struct gang_kind *kind)
{
    if (--kind->refs > 0)
        return;
    gang_columns_forget(g, kind);
    take_out(&g->fits, kind);
    gang_release(g, kind);
}

/* NULL for lack of memory. */
static struct gang_kind *kind_get(struct gang *g, const struct gang_role *role)
{
    if (reserve_kinds(g) < 0)
        return NULL;
    uint64_t hash = hash_role(g, role);
    struct gang_kind *kind = g->fits.kinds[table_index(&g->fits, role, hash)];
    if (!kind) {
        kind = kind_new(g, role, hash);
        if (!kind)
            return NULL;
        put(&g->fits, kind);
        g->fits.kinds_count++;
    }
    kind->refs++;
    return kind;
}

/* ---- shapes ---- */

static int reserve_picks(struct gang *g, uint32_t pods)
{
    struct gang_fits *f = &g->fits;
    if (gang_reserve(g, &f->picks, &f->picks_capacity, pods, sizeof *f->picks) < 0 ||
        gang_reserve(g, &f->picks_other, &f->picks_other_capacity, pods, sizeof *f->picks_other) <
            0 ||
        gang_reserve(g, &f->asked, &f->asked_capacity, pods, sizeof *f->asked) < 0)
        return -ENOMEM;
    return 0;
}

int gang_shape_bind(struct gang *g, struct gang_shape *shape)
{
    if (reserve_picks(g, shape->pods) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < shape->roles_count; i++) {
        shape->kinds[i] = kind_get(g, &shape->roles[i]);
        if (shape->kinds[i] && gang_columns_add(g) == 0)
            continue;
        if (shape->kinds[i])
            kind_release(g, shape->kinds[i]);
        while (i-- > 0)
            kind_release(g, shape->kinds[i]);
        return -ENOMEM;
    }
    return 0;
}

void gang_shape_unbind(struct gang *g, struct gang_shape *shape)
{
    for (uint32_t i = 0; i < shape->roles_count; i++)
        kind_release(g, shape->kinds[i]);
}

void gang_fits_free(struct gang *g)
{
    struct gang_fits *f = &g->fits;
    struct gang_topology *t = &g->fits_topology;
    gang_columns_free(g);
    for (uint32_t i = 0; i < f->kinds_size; i++)
        gang_release(g, f->kinds[i]);
    for (uint32_t l = 0; l <= GANG_LEVELS_MAX; l++) {
        gang_release(g, t->level[l].name);
        gang_release(g, t->level[l].cells);
        gang_release(g, t->level[l].domains);
    }
    void *arrays[] = {f->kinds,        f->log[0].nodes, f->log[1].nodes, f->log[0].added,
                      f->log[1].added, f->picks,        f->picks_other,  f->asked,
                      t->domains,      t->slot_of,      t->node_of,      t->cell_of,
                      t->sorting,      t->counts};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        gang_release(g, arrays[i]);
}
