/* Placing a gang on a board of amounts: first fit by node number, roles that few nodes can hold
 * first, whole or not at all. Pods of a role are equal, so a node that did not hold one is not
 * asked again for the next. */
#include "gang/internal.h"

bool gang_role_allows(const struct gang_role *role, uint32_t node_class)
{
    uint32_t word = node_class / 64; /* GANG_CLASS_NONE is beyond any bitmap */
    return word < role->node_classes_words && (role->node_classes[word] >> (node_class % 64) & 1);
}

static bool node_suits(const struct gang *g, const struct gang_ground *ground,
                       const struct gang_role *role, uint32_t n)
{
    return gang_role_allows(role, ground->classes[n]) && !(ground->marks && ground->marks[n]) &&
           gang_board_fits(g, ground->board[n], role->request) &&
           !(ground->avoiding && ground->avoiding->avoid_count &&
             gang_job_avoids(ground->avoiding, n, ground->now_ms));
}

/* Places up to `pods` of a role, returns how many. */
static uint32_t place_role(const struct gang *g, const struct gang_ground *ground,
                           const struct gang_role *role, uint32_t *nodes)
{
    uint32_t placed = 0;
    for (uint32_t n = 0; placed < role->pods && n < g->nodes; n++)
        while (placed < role->pods && node_suits(g, ground, role, n)) {
            gang_board_take(ground->board[n], role->request);
            nodes[placed++] = n;
        }
    return placed;
}

static uint32_t nodes_that_hold(const struct gang *g, const struct gang_role *role)
{
    uint32_t count = 0;
    for (uint32_t n = 0; n < g->nodes; n++)
        count +=
            gang_role_allows(role, g->classes[n]) && gang_board_fits(g, g->empty[n], role->request);
    return count;
}

/* The order in which roles look for room: those that few nodes could hold first, then as written.
 */
static void order_roles(const struct gang *g, const struct gang_shape *shape, uint32_t *order)
{
    uint32_t holds[GANG_ROLES_MAX] = {0};
    for (uint32_t i = 0; i < shape->roles_count; i++) {
        holds[i] = shape->roles_count > 1 ? nodes_that_hold(g, &shape->roles[i]) : 0;
        uint32_t at = i;
        for (; at > 0 && holds[order[at - 1]] > holds[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static void undo_role(gang_amounts *board, const struct gang_role *role, const uint32_t *nodes,
                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        gang_board_give(board[nodes[i]], role->request);
}

bool gang_place(const struct gang *g, const struct gang_ground *ground,
                const struct gang_shape *shape, uint32_t *nodes, uint32_t *ret_role)
{
    uint32_t order[GANG_ROLES_MAX], first[GANG_ROLES_MAX] = {0};
    for (uint32_t i = 1; i < shape->roles_count; i++)
        first[i] = first[i - 1] + shape->roles[i - 1].pods;
    order_roles(g, shape, order);
    for (uint32_t i = 0; i < shape->roles_count; i++) {
        const struct gang_role *role = &shape->roles[order[i]];
        uint32_t placed = place_role(g, ground, role, nodes + first[order[i]]);
        if (placed == role->pods)
            continue;
        undo_role(ground->board, role, nodes + first[order[i]], placed);
        while (i-- > 0)
            undo_role(ground->board, &shape->roles[order[i]], nodes + first[order[i]],
                      shape->roles[order[i]].pods);
        *ret_role = (uint32_t)(role - shape->roles);
        return false;
    }
    return true;
}

void gang_place_undo(gang_amounts *board, const struct gang_shape *shape, const uint32_t *nodes)
{
    for (uint32_t i = 0; i < shape->roles_count; i++) {
        undo_role(board, &shape->roles[i], nodes, shape->roles[i].pods);
        nodes += shape->roles[i].pods;
    }
}

uint32_t gang_place_pod(const struct gang *g, const struct gang_ground *ground,
                        const struct gang_role *role)
{
    for (uint32_t n = 0; n < g->nodes; n++)
        if (node_suits(g, ground, role, n))
            return n;
    return GANG_NO_NODE;
}
