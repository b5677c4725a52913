/* What is free on each node: see pool.h. */
#include "cli/simulate/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lib/base/alloc.h"

#define NONE UINT32_MAX

static void list_in(struct sim_pool *pool, uint32_t node)
{
    uint32_t *head = &pool->head[pool->devices[node]];
    pool->next[node] = *head;
    pool->prev[node] = NONE;
    if (*head != NONE)
        pool->prev[*head] = node;
    *head = node;
}

static void list_out(struct sim_pool *pool, uint32_t node)
{
    if (pool->prev[node] == NONE)
        pool->head[pool->devices[node]] = pool->next[node];
    else
        pool->next[pool->prev[node]] = pool->next[node];
    if (pool->next[node] != NONE)
        pool->prev[pool->next[node]] = pool->prev[node];
}

void sim_pool_init(struct sim_pool *pool, const struct sim_nodes *nodes)
{
    size_t count = nodes->count;
    *pool = (struct sim_pool){.nodes = nodes,
                              .devices = mlt_calloc(count, sizeof *pool->devices),
                              .cpu_milli = mlt_calloc(count, sizeof *pool->cpu_milli),
                              .memory = mlt_calloc(count, sizeof *pool->memory),
                              .next = mlt_calloc(count, sizeof *pool->next),
                              .prev = mlt_calloc(count, sizeof *pool->prev),
                              .head = mlt_calloc((size_t)nodes->largest + 1, sizeof *pool->head),
                              .free = nodes->devices};
    for (int64_t i = 0; i <= nodes->largest; i++)
        pool->head[i] = NONE;
    for (uint32_t i = nodes->count; i-- > 0;) { /* the lowest number comes first */
        pool->devices[i] = nodes->node[i].devices;
        pool->cpu_milli[i] = nodes->node[i].cpu_milli;
        pool->memory[i] = nodes->node[i].memory;
        list_in(pool, i);
    }
}

void sim_pool_release(struct sim_pool *pool)
{
    free(pool->devices);
    free(pool->cpu_milli);
    free(pool->memory);
    free(pool->next);
    free(pool->prev);
    free(pool->head);
    *pool = (struct sim_pool){0};
}

static bool is_partly(const struct sim_pool *pool, uint32_t node)
{
    return pool->devices[node] > 0 && pool->devices[node] < pool->nodes->node[node].devices;
}

/* Moves `pods` pods of a role onto a node, or (negative) off it. */
static void move(struct sim_pool *pool, const struct sim_role *role, uint32_t node, int64_t pods)
{
    pool->partly -= is_partly(pool, node);
    list_out(pool, node);
    pool->devices[node] -= pods * role->devices;
    pool->cpu_milli[node] -= pods * role->cpu_milli;
    pool->memory[node] -= pods * role->memory;
    pool->free -= pods * role->devices;
    list_in(pool, node);
    pool->partly += is_partly(pool, node);
}

static bool allows(const struct sim_pool *pool, const struct sim_shape *shape, uint32_t node)
{
    uint32_t model = pool->nodes->node[node].model;
    return shape->models == SIM_ANY_MODEL || (model != SIM_NO_MODEL && shape->models >> model & 1);
}

/* How many pods of a role, of `wanted`, find room on a node now. */
static int64_t room(const struct sim_pool *pool, const struct sim_role *role, uint32_t node,
                    int64_t wanted)
{
    int64_t fit = wanted;
    if (role->devices > 0 && pool->devices[node] / role->devices < fit)
        fit = pool->devices[node] / role->devices;
    if (role->cpu_milli > 0 && pool->cpu_milli[node] / role->cpu_milli < fit)
        fit = pool->cpu_milli[node] / role->cpu_milli;
    if (role->memory > 0 && pool->memory[node] / role->memory < fit)
        fit = pool->memory[node] / role->memory;
    return fit;
}

/* The pods of a role from `at` on that stand on one node beside each other in the list. */
static uint32_t run_of(const uint32_t *pod_nodes, uint32_t at, uint32_t end)
{
    uint32_t next = at + 1;
    while (next < end && pod_nodes[next] == pod_nodes[at])
        next++;
    return next - at;
}

/* Gives back what the first `pods` pods hold. */
static void give(struct sim_pool *pool, const struct sim_shape *shape, const uint32_t *pod_nodes,
                 uint32_t pods)
{
    uint32_t begin = 0;
    for (uint32_t i = 0; i < shape->roles && begin < pods; i++) {
        uint32_t end = begin + shape->role[i].pods < pods ? begin + shape->role[i].pods : pods;
        for (uint32_t at = begin, length; at < end; at += length) {
            length = run_of(pod_nodes, at, end);
            move(pool, &shape->role[i], pod_nodes[at], -(int64_t)length);
        }
        begin = end;
    }
}

int sim_pool_take(struct sim_pool *pool, const struct sim_shape *shape, const uint32_t *pod_nodes,
                  struct mlt_error *err)
{
    uint32_t begin = 0;
    for (uint32_t i = 0; i < shape->roles; i++) {
        const struct sim_role *role = &shape->role[i];
        uint32_t end = begin + role->pods;
        for (uint32_t at = begin, length; at < end; at += length) {
            uint32_t node = pod_nodes[at];
            length = run_of(pod_nodes, at, end);
            if (node >= pool->nodes->count || !allows(pool, shape, node) ||
                room(pool, role, node, length) < length) {
                give(pool, shape, pod_nodes, at);
                return mlt_fail(err, EBADMSG,
                                "%" PRIu32 " pods of %" PRId64 " devices do not fit node %" PRIu32,
                                length, role->devices, node);
            }
            move(pool, role, node, length);
        }
        begin = end;
    }
    return 0;
}

void sim_pool_give(struct sim_pool *pool, const struct sim_shape *shape, const uint32_t *pod_nodes)
{
    give(pool, shape, pod_nodes, shape->pods);
}

/* Places one role, taking the room; returns the pods that found some. */
static uint32_t place_role(struct sim_pool *pool, const struct sim_shape *shape,
                           const struct sim_role *role, uint32_t *pod_nodes)
{
    uint32_t placed = 0;
    for (int64_t devices = role->devices; devices <= pool->nodes->largest; devices++) {
        for (uint32_t node = pool->head[devices], next; node != NONE; node = next) {
            next = pool->next[node];
            if (!allows(pool, shape, node))
                continue;
            int64_t fit = room(pool, role, node, role->pods - placed);
            if (fit <= 0)
                continue;
            move(pool, role, node, fit);
            for (int64_t i = 0; i < fit; i++)
                pod_nodes[placed++] = node;
            if (placed == role->pods)
                return placed;
        }
    }
    return placed;
}

bool sim_pool_find(struct sim_pool *pool, const struct sim_shape *shape, uint32_t *ret_pod_nodes)
{
    if (shape->devices > pool->free)
        return false;
    uint32_t placed = 0, wanted = 0;
    for (uint32_t i = 0; i < shape->roles && placed == wanted; i++) {
        wanted += shape->role[i].pods;
        placed += place_role(pool, shape, &shape->role[i], ret_pod_nodes + placed);
    }
    give(pool, shape, ret_pod_nodes, placed);
    return placed == shape->pods;
}
