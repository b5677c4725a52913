/* Nodes: three boards of amounts per node (see internal.h), kept in step by every event. */
#include "gang/internal.h"

#include <errno.h>
#include <string.h>

/* Each array is grown on its own; the common capacity moves only when all of them have grown. */
int gang_node_reserve(struct gang *g, uint32_t node, const uint32_t *domains)
{
    size_t count = (size_t)node + 1;
    size_t amounts = g->resources * sizeof(int64_t);
    uint32_t c[GANG_BOARDS + 6];
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++)
        c[i] = g->nodes_capacity;
    for (size_t i = 0; i < GANG_BOARDS; i++)
        if (gang_reserve(g, &g->boards[i], &c[6 + i], count, amounts) < 0)
            return -ENOMEM;
    if (g->config.shares_first &&
        gang_reserve(g, &g->counted_free, &c[5], count, sizeof *g->counted_free) < 0)
        return -ENOMEM;
    if (gang_reserve(g, &g->classes, &c[0], count, sizeof *g->classes) < 0 ||
        gang_reserve(g, &g->open, &c[1], count, sizeof *g->open) < 0 ||
        gang_reserve(g, &g->hidden, &c[2], count, sizeof *g->hidden) < 0 ||
        gang_reserve(g, &g->marks, &c[3], count, sizeof *g->marks) < 0 ||
        gang_reserve(g, &g->ending, &c[4], count, sizeof *g->ending) < 0 ||
        gang_reserve(g, &g->endings, &g->endings_capacity, (size_t)g->endings_count + 1,
                     sizeof *g->endings) < 0)
        return -ENOMEM;
    if (gang_topology_reserve(g, count, domains) < 0 || gang_columns_reserve(g, c[0]) < 0)
        return -ENOMEM;
    g->nodes_capacity = c[0];
    for (; g->nodes < count; g->nodes++) {
        g->classes[g->nodes] = g->open[g->nodes] = GANG_CLASS_NONE;
        g->ending[g->nodes] = 0;
        gang_topology_add(g, g->nodes);
    }
    return 0;
}

const int64_t *gang_node_ending(const struct gang *g, uint32_t n)
{
    static const gang_amounts nothing;
    return g->ending[n] ? g->endings[g->ending[n] - 1].amounts : nothing;
}

/* Few nodes have any: those share a list, in which the last one fills a gap. */
static void set_ending(struct gang *g, uint32_t n, const int64_t *amounts)
{
    bool any = false;
    for (uint32_t r = 0; r < g->resources; r++)
        any = any || amounts[r];
    if (any && !g->ending[n])
        g->ending[n] = ++g->endings_count;
    if (any) {
        struct gang_ending *e = &g->endings[g->ending[n] - 1];
        *e = (struct gang_ending){.node = n};
        memcpy(e->amounts, amounts, g->resources * sizeof *amounts);
    } else if (g->ending[n]) {
        const struct gang_ending last = g->endings[--g->endings_count];
        g->endings[g->ending[n] - 1] = last;
        g->ending[last.node] = g->ending[n];
        g->ending[n] = 0;
    }
}

void gang_node_set(struct gang *g, const struct gang_event *event)
{
    uint32_t n = event->node;
    int64_t *empty = gang_at(g, GANG_EMPTY, n), *own = gang_at(g, GANG_OWN, n),
            *free = gang_at(g, GANG_FREE, n);
    const int64_t *ending = gang_node_ending(g, n);
    for (uint32_t r = 0; r < g->resources; r++) {
        int64_t gangs = own[r] - free[r] - ending[r];
        empty[r] = event->capacity[r];
        free[r] = event->capacity[r] - event->used_by_others[r] - gangs;
        own[r] = event->capacity[r] - event->used_by_others[r] + event->ending[r];
    }
    set_ending(g, n, event->ending);
    gang_topology_set(g, n, event->domains);
    g->known_nodes += g->classes[n] == GANG_CLASS_NONE;
    g->classes[n] = event->node_class;
    g->open[n] = event->schedulable ? event->node_class : GANG_CLASS_NONE;
    gang_fits_changed(g, false, n);
    g->nodes_version++;
}

/* What gangs hold there stays charged, against a node that has nothing. */
void gang_node_remove(struct gang *g, uint32_t n)
{
    int64_t *empty = gang_at(g, GANG_EMPTY, n), *own = gang_at(g, GANG_OWN, n),
            *free = gang_at(g, GANG_FREE, n);
    static const gang_amounts nothing;
    const int64_t *ending = gang_node_ending(g, n);
    for (uint32_t r = 0; r < g->resources; r++) {
        free[r] -= own[r] - ending[r];
        empty[r] = own[r] = 0;
    }
    set_ending(g, n, nothing);
    gang_topology_remove(g, n);
    g->classes[n] = g->open[n] = GANG_CLASS_NONE;
    gang_fits_changed(g, false, n);
    g->known_nodes--;
    g->nodes_version++;
    gang_avoid_forget_node(g, n);
}

void gang_node(const struct gang *g, uint32_t node, struct gang_node_view *ret)
{
    *ret = (struct gang_node_view){0};
    if (node >= g->nodes)
        return;
    const int64_t *empty = gang_at(g, GANG_EMPTY, node), *own = gang_at(g, GANG_OWN, node),
                  *free = gang_at(g, GANG_FREE, node), *ending = gang_node_ending(g, node);
    for (uint32_t r = 0; r < g->resources; r++) {
        ret->capacity[r] = empty[r];
        ret->ending[r] = ending[r];
        ret->used_by_others[r] = empty[r] - own[r] + ending[r];
        ret->used_by_gangs[r] = own[r] - free[r] - ending[r];
    }
    ret->known = g->classes[node] != GANG_CLASS_NONE;
    ret->schedulable = g->open[node] != GANG_CLASS_NONE;
}
