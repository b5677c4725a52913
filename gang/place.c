/* Placing a gang on a board of amounts: first fit by node number, roles that few nodes can hold
 * first, whole or not at all. Pods of a role are equal, so a node that did not hold one is not
 * asked again for the next. */
#include "gang/internal.h"

bool gang_role_allows(const struct gang_role *role, uint32_t node_class)
{
    uint32_t word = node_class / 64; /* GANG_CLASS_NONE is beyond any bitmap */
    return word < role->node_classes_words && (role->node_classes[word] >> (node_class % 64) & 1);
}

struct gang_where gang_where_now(const struct gang_job *job, int64_t now_ms)
{
    uint32_t level = job->required_level;
    if (now_ms < job->preferred_until_ms && job->preferred_level > level)
        level = job->preferred_level;
    return (struct gang_where){.level = level, .avoiding = job, .now_ms = now_ms};
}

struct gang_where gang_where_ever(const struct gang_job *job, enum gang_board board)
{
    return (struct gang_where){.board = board, .level = job->required_level};
}

bool gang_where_member(const struct gang *g, const struct gang_job *job, int64_t now_ms,
                       struct gang_where *ret)
{
    (void)g;
    *ret = (struct gang_where){.avoiding = job, .now_ms = now_ms};
    return true;
}

static bool node_suits(const struct gang *g, const struct gang_where *where,
                       const struct gang_role *role, uint32_t n)
{
    const uint32_t *classes = where->board == GANG_EMPTY ? g->classes : g->open;
    return gang_role_allows(role, classes[n]) &&
           !(where->board == GANG_FREE && !where->hidden_too && g->hidden[n]) &&
           gang_board_fits(g, gang_at(g, where->board, n), role->request) &&
           !(where->avoiding && where->avoiding->avoid_count &&
             gang_job_avoids(where->avoiding, n, where->now_ms));
}

/* Places up to `pods` of a role, returns how many. */
static uint32_t place_role(const struct gang *g, const struct gang_where *where,
                           const struct gang_role *role, uint32_t *nodes)
{
    uint32_t placed = 0;
    for (uint32_t n = 0; placed < role->pods && n < g->nodes; n++)
        while (placed < role->pods && node_suits(g, where, role, n)) {
            gang_board_take(g, gang_at(g, where->board, n), role->request);
            nodes[placed++] = n;
        }
    return placed;
}

static uint32_t nodes_that_hold(const struct gang *g, const struct gang_role *role)
{
    uint32_t count = 0;
    for (uint32_t n = 0; n < g->nodes; n++)
        count += gang_role_allows(role, g->classes[n]) &&
                 gang_board_fits(g, gang_at(g, GANG_EMPTY, n), role->request);
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

static void undo_role(struct gang *g, enum gang_board board, const struct gang_role *role,
                      const uint32_t *nodes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        gang_board_give(g, gang_at(g, board, nodes[i]), role->request);
}

bool gang_place(struct gang *g, const struct gang_where *where, const struct gang_shape *shape,
                uint32_t *nodes, uint32_t *ret_role)
{
    uint32_t order[GANG_ROLES_MAX], first[GANG_ROLES_MAX] = {0};
    for (uint32_t i = 1; i < shape->roles_count; i++)
        first[i] = first[i - 1] + shape->roles[i - 1].pods;
    order_roles(g, shape, order);
    for (uint32_t i = 0; i < shape->roles_count; i++) {
        const struct gang_role *role = &shape->roles[order[i]];
        uint32_t placed = place_role(g, where, role, nodes + first[order[i]]);
        if (placed == role->pods)
            continue;
        undo_role(g, where->board, role, nodes + first[order[i]], placed);
        while (i-- > 0)
            undo_role(g, where->board, &shape->roles[order[i]], nodes + first[order[i]],
                      shape->roles[order[i]].pods);
        *ret_role = (uint32_t)(role - shape->roles);
        return false;
    }
    return true;
}

void gang_place_undo(struct gang *g, enum gang_board board, const struct gang_shape *shape,
                     const uint32_t *nodes)
{
    for (uint32_t i = 0; i < shape->roles_count; i++) {
        undo_role(g, board, &shape->roles[i], nodes, shape->roles[i].pods);
        nodes += shape->roles[i].pods;
    }
}

uint32_t gang_place_pod(struct gang *g, const struct gang_where *where,
                        const struct gang_role *role)
{
    for (uint32_t n = 0; n < g->nodes; n++)
        if (node_suits(g, where, role, n))
            return n;
    return GANG_NO_NODE;
}

uint64_t gang_fit_total(struct gang *g, const struct gang_shape *shape, uint32_t role,
                        uint32_t level, uint32_t domain)
{
    const struct gang_where now = {.within_level = level, .within_domain = domain};
    uint64_t sum = 0;
    for (uint32_t n = 0; n < g->nodes; n++)
        if (node_suits(g, &now, &shape->roles[role], n))
            sum += gang_board_count(g, gang_at(g, GANG_FREE, n), shape->roles[role].request);
    return sum;
}

bool gang_cannot_fit(struct gang *g, const struct gang_shape *shape)
{
    for (uint32_t i = 0; i < shape->roles_count; i++)
        if (gang_fit_total(g, shape, i, GANG_NO_LEVEL, 0) < shape->roles[i].pods)
            return true;
    return false;
}
