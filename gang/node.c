/* Nodes: three boards of amounts per node (see internal.h), kept in step by every event. */
#include "gang/internal.h"

#include <errno.h>
#include <string.h>

/* Each array is grown on its own; the common capacity moves only when all of them have grown. */
int gang_node_reserve(struct gang *g, uint32_t node)
{
    size_t count = (size_t)node + 1;
    uint32_t c[6] = {g->nodes_capacity, g->nodes_capacity, g->nodes_capacity,
                     g->nodes_capacity, g->nodes_capacity, g->nodes_capacity};
    if (gang_reserve(g, &g->empty, &c[0], count, sizeof *g->empty) < 0 ||
        gang_reserve(g, &g->own, &c[1], count, sizeof *g->own) < 0 ||
        gang_reserve(g, &g->free, &c[2], count, sizeof *g->free) < 0 ||
        gang_reserve(g, &g->classes, &c[3], count, sizeof *g->classes) < 0 ||
        gang_reserve(g, &g->open, &c[4], count, sizeof *g->open) < 0 ||
        gang_reserve(g, &g->marks, &c[5], count, sizeof *g->marks) < 0)
        return -ENOMEM;
    g->nodes_capacity = c[0];
    for (; g->nodes < count; g->nodes++)
        g->classes[g->nodes] = g->open[g->nodes] = GANG_CLASS_NONE;
    return 0;
}

void gang_node_set(struct gang *g, const struct gang_event *event)
{
    uint32_t n = event->node;
    for (uint32_t r = 0; r < g->resources; r++) {
        int64_t gangs = g->own[n][r] - g->free[n][r];
        g->empty[n][r] = event->capacity[r];
        g->own[n][r] = event->capacity[r] - event->used_by_others[r];
        g->free[n][r] = g->own[n][r] - gangs;
    }
    g->known_nodes += g->classes[n] == GANG_CLASS_NONE;
    g->classes[n] = event->node_class;
    g->open[n] = event->schedulable ? event->node_class : GANG_CLASS_NONE;
    g->nodes_version++;
}

/* What gangs hold there stays charged, against a node that has nothing. */
void gang_node_remove(struct gang *g, uint32_t n)
{
    for (uint32_t r = 0; r < g->resources; r++) {
        int64_t gangs = g->own[n][r] - g->free[n][r];
        g->empty[n][r] = g->own[n][r] = 0;
        g->free[n][r] = -gangs;
    }
    g->classes[n] = g->open[n] = GANG_CLASS_NONE;
    g->known_nodes--;
    g->nodes_version++;
    gang_avoid_forget_node(g, n);
}

void gang_node(const struct gang *g, uint32_t node, struct gang_node_view *ret)
{
    *ret = (struct gang_node_view){0};
    if (node >= g->nodes)
        return;
    for (uint32_t r = 0; r < g->resources; r++) {
        ret->capacity[r] = g->empty[node][r];
        ret->used_by_others[r] = g->empty[node][r] - g->own[node][r];
        ret->used_by_gangs[r] = g->own[node][r] - g->free[node][r];
    }
    ret->known = g->classes[node] != GANG_CLASS_NONE;
    ret->schedulable = g->open[node] != GANG_CLASS_NONE;
}
