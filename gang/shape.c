/* Shapes of requests. Equal ones are one object, so that a thousand equal jobs share it and
 * equality is one comparison of addresses. */
#include "gang/internal.h"

#include <errno.h>
#include <string.h>

static uint64_t mix(uint64_t hash, uint64_t value)
{
    uint64_t x = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return x ^ (x >> 29);
}

static uint64_t shape_hash(const struct gang *g, const struct gang_shape *shape)
{
    uint64_t hash = shape->roles_count;
    for (uint32_t i = 0; i < shape->roles_count; i++) {
        const struct gang_role *role = &shape->roles[i];
        hash = mix(mix(hash, role->pods), role->node_classes_words);
        for (uint32_t r = 0; r < g->resources; r++)
            hash = mix(hash, (uint64_t)role->request[r]);
        for (uint32_t w = 0; w < role->node_classes_words; w++)
            hash = mix(hash, role->node_classes[w]);
    }
    return hash;
}

static bool shapes_equal(const struct gang_shape *a, const struct gang_shape *b)
{
    if (a->hash != b->hash || a->roles_count != b->roles_count)
        return false;
    for (uint32_t i = 0; i < a->roles_count; i++) {
        const struct gang_role *x = &a->roles[i], *y = &b->roles[i];
        if (x->pods != y->pods || x->node_classes_words != y->node_classes_words ||
            memcmp(x->request, y->request, sizeof x->request) != 0 ||
            (x->node_classes_words && memcmp(x->node_classes, y->node_classes,
                                             x->node_classes_words * sizeof(uint64_t)) != 0))
            return false;
    }
    return true;
}

/* Keeps as many slots as there are shapes. */
static int table_reserve(struct gang *g)
{
    if (g->shapes_count < g->shapes_size)
        return 0;
    uint32_t old_size = g->shapes_size, size = old_size ? old_size * 2 : 64;
    struct gang_shape **old = g->shapes,
                      **table = gang_alloc(g, size * sizeof(struct gang_shape *));
    if (!table)
        return -ENOMEM;
    for (uint32_t i = 0; i < old_size; i++)
        for (struct gang_shape *s = old[i], *next = NULL; s; s = next) {
            next = s->next;
            s->next = table[s->hash & (size - 1)];
            table[s->hash & (size - 1)] = s;
        }
    gang_release(g, old);
    g->shapes = table;
    g->shapes_size = size;
    return 0;
}

static bool is_harder(const struct gang *g, const struct gang_role *a, const struct gang_role *b)
{
    int64_t of_a = 0, of_b = 0;
    for (uint32_t r = GANG_DEVICE_0; r < g->resources; r++) {
        of_a += a->request[r];
        of_b += b->request[r];
    }
    return of_a != of_b ? of_a > of_b : a->pods > b->pods;
}

static void sum_up(const struct gang *g, struct gang_shape *shape)
{
    for (uint32_t i = 0; i < shape->roles_count; i++)
        for (uint32_t r = 0; r < g->resources; r++)
            shape->sum[r] +=
                shape->roles[i].request[r] * shape->roles[i].pods; /* below 2^50 x 2^16 / 2^3 */
    for (uint32_t i = 1; i < shape->roles_count; i++)
        if (is_harder(g, &shape->roles[i], &shape->roles[shape->hardest]))
            shape->hardest = i;
}

/* One block: the shape, what it asks for in all, its roles and their kinds, the bitmaps of their
 * node classes, and a byte for each level. */
static struct gang_shape *shape_new(struct gang *g, const struct gang_shape *like)
{
    size_t words = 0;
    for (uint32_t i = 0; i < like->roles_count; i++)
        words += like->roles[i].node_classes_words;
    size_t roles_size = like->roles_count * (sizeof(struct gang_role) + sizeof(struct gang_kind *));
    size_t sum_size = g->resources * sizeof(int64_t);
    struct gang_shape *shape = gang_alloc(g, sizeof *shape + sum_size + roles_size +
                                                 words * sizeof(uint64_t) + g->config.levels + 1);
    if (!shape)
        return NULL;
    struct gang_role *roles = (struct gang_role *)(shape->sum + g->resources);
    struct gang_kind **kinds = (struct gang_kind **)(roles + like->roles_count);
    uint64_t *bitmap = (uint64_t *)(kinds + like->roles_count);
    *shape = *like;
    shape->roles = roles;
    shape->kinds = kinds;
    for (uint32_t i = 0; i < like->roles_count; i++) {
        roles[i] = like->roles[i];
        roles[i].node_classes = bitmap;
        if (roles[i].node_classes_words)
            memcpy(bitmap, like->roles[i].node_classes,
                   roles[i].node_classes_words * sizeof *bitmap);
        bitmap += roles[i].node_classes_words;
    }
    shape->judged = (uint8_t *)bitmap;
    sum_up(g, shape);
    if (gang_shape_bind(g, shape) < 0) {
        gang_release(g, shape);
        return NULL;
    }
    return shape;
}

struct gang_shape *gang_shape_copy(struct gang *g, const struct gang_job_request *request)
{
    struct gang_shape like = {.roles_count = request->roles_count, .roles = request->roles};
    for (uint32_t i = 0; i < request->roles_count; i++)
        like.pods += request->roles[i].pods;
    like.hash = shape_hash(g, &like);
    if (table_reserve(g) < 0)
        return NULL;
    struct gang_shape **slot = &g->shapes[like.hash & (g->shapes_size - 1)];
    for (struct gang_shape *s = *slot; s; s = s->next)
        if (shapes_equal(s, &like)) {
            s->references++;
            return s;
        }
    struct gang_shape *shape = shape_new(g, &like);
    if (!shape)
        return NULL;
    shape->references = 1;
    shape->next = *slot;
    *slot = shape;
    g->shapes_count++;
    return shape;
}

void gang_shape_free(struct gang *g, struct gang_shape *shape)
{
    if (!shape || --shape->references)
        return;
    struct gang_shape **at = &g->shapes[shape->hash & (g->shapes_size - 1)];
    while (*at != shape)
        at = &(*at)->next;
    *at = shape->next;
    g->shapes_count--;
    gang_shape_unbind(g, shape);
    gang_release(g, shape);
}
