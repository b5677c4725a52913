/* The free board: taking and giving room, nodes hidden for a while, and what-if with a journal.
 * Nothing else changes it but nodes that come, change and go (node.c). */
#include "gang/internal.h"

#include <errno.h>

void gang_room_take(struct gang *g, uint32_t node, const int64_t *request)
{
    gang_board_take(g, gang_at(g, GANG_FREE, node), request);
    gang_fits_changed(g, true, node);
}

void gang_room_give(struct gang *g, uint32_t node, const int64_t *request)
{
    gang_board_give(g, gang_at(g, GANG_FREE, node), request);
    gang_fits_changed(g, true, node);
}

/* Pods beside each other on one node are taken and given at once. */
static void change_gang(struct gang *g, const struct gang_shape *shape, const uint32_t *nodes,
                        void (*change)(const struct gang *, int64_t *, const int64_t *, uint32_t))
{
    for (uint32_t i = 0; i < shape->roles_count; i++) {
        const struct gang_role *role = &shape->roles[i];
        for (uint32_t k = 0, run; k < role->pods; k += run, nodes += run) {
            for (run = 1; k + run < role->pods && nodes[run] == nodes[0];)
                run++;
            if (*nodes == GANG_NO_NODE)
                continue;
            change(g, gang_at(g, GANG_FREE, *nodes), role->request, run);
            gang_fits_changed(g, true, *nodes);
        }
    }
}

void gang_room_take_gang(struct gang *g, const struct gang_shape *shape, const uint32_t *nodes)
{
    change_gang(g, shape, nodes, gang_board_take_pods);
}

void gang_room_give_gang(struct gang *g, const struct gang_shape *shape, const uint32_t *nodes)
{
    change_gang(g, shape, nodes, gang_board_give_pods);
}

void gang_room_hide(struct gang *g, uint32_t node)
{
    if (g->hidden[node]++ == 0)
        gang_fits_changed(g, true, node);
}

void gang_room_show(struct gang *g, uint32_t node)
{
    if (--g->hidden[node] == 0)
        gang_fits_changed(g, true, node);
}

/* ---- what if ---- */

static int trial_add(struct gang *g, const struct gang_shape *shape, const uint32_t *nodes,
                     bool give)
{
    if (gang_reserve(g, &g->trials, &g->trials_capacity, (size_t)g->trials_count + 1,
                     sizeof *g->trials) < 0)
        return -ENOMEM;
    g->trials[g->trials_count++] =
        (struct gang_trial){.shape = shape, .nodes = nodes, .give = give};
    return 0;
}

uint32_t gang_trial_begin(const struct gang *g)
{
    return g->trials_count;
}

int gang_trial_give(struct gang *g, const struct gang_shape *shape, const uint32_t *nodes)
{
    int rc = trial_add(g, shape, nodes, true);
    if (rc == 0)
        gang_room_give_gang(g, shape, nodes);
    return rc;
}

int gang_trial_take(struct gang *g, const struct gang_shape *shape, const uint32_t *nodes)
{
    int rc = trial_add(g, shape, nodes, false);
    if (rc == 0)
        gang_room_take_gang(g, shape, nodes);
    return rc;
}

void gang_trial_undo(struct gang *g, uint32_t begin)
{
    while (g->trials_count > begin) {
        const struct gang_trial *t = &g->trials[--g->trials_count];
        if (t->give)
            gang_room_take_gang(g, t->shape, t->nodes);
        else
            gang_room_give_gang(g, t->shape, t->nodes);
    }
}
