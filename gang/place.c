/* Placing a gang: each role by pick.c, one after the other, whole or not at all. One role is exact.
 * Several roles look for a domain that holds them all; those that few nodes could hold look first,
 * and those that find none then look first once more. */
#include "gang/internal.h"

/* ---- where ---- */

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

static bool stands(const struct gang *g, uint32_t node)
{
    return node != GANG_NO_NODE && node < g->nodes && g->classes[node] != GANG_CLASS_NONE;
}

/* The node of the member nearest to `pod` in rank that stands on a known node; GANG_NO_NODE: nobody
 * does. */
static uint32_t neighbour(const struct gang *g, const struct gang_job *job, uint32_t pod)
{
    uint32_t pods = job->shape->pods;
    for (uint32_t far = 1; far < pods; far++) {
        if (far <= pod && stands(g, job->nodes[pod - far]))
            return job->nodes[pod - far];
        if (far < pods - pod && stands(g, job->nodes[pod + far]))
            return job->nodes[pod + far];
    }
    return GANG_NO_NODE;
}

struct gang_where gang_where_member(const struct gang *g, const struct gang_job *job, uint32_t pod,
                                    uint32_t also, int64_t now_ms)
{
    struct gang_where where = {.avoiding = job, .now_ms = now_ms, .level = job->required_level};
    uint32_t beside = neighbour(g, job, pod);
    if (beside == GANG_NO_NODE)
        beside = also;
    if (beside == GANG_NO_NODE) {
        where.together = gang_stay(job)->missing;
        return where;
    }
    if (where.level != GANG_NO_LEVEL) {
        where.within_domain = gang_topology_domain(g, beside, where.level);
        if (where.within_domain != GANG_NO_DOMAIN)
            where.within_level = where.level;
    }
    where.beside = beside + 1;
    return where;
}

static enum gang_view place_view(const struct gang_where *where)
{
    static const enum gang_view views[GANG_BOARDS] = {
        [GANG_FREE] = GANG_VIEW_FREE, [GANG_OWN] = GANG_VIEW_OWN, [GANG_EMPTY] = GANG_VIEW_EMPTY};
    return where->hidden_too && where->board == GANG_FREE ? GANG_VIEW_ALL : views[where->board];
}

/* The cell of a domain; GANG_NO_CELL when no node lies there. Slots must be fresh. */
static uint32_t domain_cell(const struct gang *g, uint32_t level, uint32_t domain)
{
    const struct gang_level *l = &g->fits_topology.level[level];
    if (level == GANG_NO_LEVEL)
        return 0;
    return domain < l->domains_count ? l->domains[domain].cell : GANG_NO_CELL;
}

bool gang_role_allows(const struct gang_role *role, uint32_t node_class)
{
    uint32_t word = node_class / 64; /* GANG_CLASS_NONE is beyond any bitmap */
    return word < role->node_classes_words && (role->node_classes[word] >> (node_class % 64) & 1);
}

/* ---- avoided nodes: as if they were full ---- */

struct left_out {
    uint32_t count;
    struct {
        uint32_t slot, fit;
    } slots[GANG_AVOID_MAX];
};

static void leave_out(struct gang *g, struct gang_column *c, const struct gang_where *where,
                      struct left_out *out)
{
    out->count = 0;
    for (uint32_t i = 0; where->avoiding && i < gang_avoid_count(where->avoiding); i++) {
        const struct gang_avoid *avoid = &where->avoiding->avoids->nodes[i];
        if (avoid->until_ms <= where->now_ms || avoid->node >= g->nodes)
            continue;
        uint32_t slot = g->fits_topology.slot_of[avoid->node];
        out->slots[out->count].slot = slot;
        out->slots[out->count++].fit = c->fit[slot];
        gang_column_set(g, c, slot, 0);
    }
}

static void put_back(struct gang *g, struct gang_column *c, const struct left_out *out)
{
    for (uint32_t i = 0; i < out->count; i++)
        gang_column_set(g, c, out->slots[i].slot, out->slots[i].fit);
}

/* ---- one role ---- */

static void take(struct gang *g, struct gang_column *c, enum gang_board board, uint32_t count,
                 uint32_t *nodes)
{
    const struct gang_kind *kind = c->kind;
    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        const struct gang_pick pick = g->fits.picks[i];
        uint32_t node = g->fits_topology.node_of[pick.slot], fit = c->fit[pick.slot];
        gang_board_take_pods(g, gang_at(g, board, node), kind->request, pick.pods);
        gang_fits_changed(g, board == GANG_FREE, node);
        fit = fit < GANG_FIT_MAX ? fit - pick.pods : gang_column_count(g, kind, c->view, node);
        gang_column_set(g, c, pick.slot, fit);
        for (uint32_t k = 0; k < pick.pods; k++)
            *nodes++ = node;
    }
    gang_column_is_current(g, c);
}

/* All pods of a role in one cell; nodes may be NULL: only asked. */
static bool place_role(struct gang *g, const struct gang_where *where,
                       const struct gang_shape *shape, uint32_t role, uint32_t scope_level,
                       uint32_t scope, uint32_t *nodes)
{
    struct gang_column *c = gang_column_get(g, shape->kinds[role], place_view(where));
    struct left_out out;
    if (shape->roles[role].pods == 0)
        return true;
    leave_out(g, c, where, &out);
    uint32_t pods = shape->roles[role].pods, count = 0;
    bool possible = gang_pick_possible(g, c, where, scope_level, scope, pods);
    if (possible && nodes)
        count = gang_pick(g, c, where, scope_level, scope, pods);
    put_back(g, c, &out);
    take(g, c, where->board, count, nodes);
    return nodes ? count > 0 : possible;
}

/* ---- several roles ---- */

#define CELLS_LOOKED_AT 64 /* of each level, those with the least left over for the first role */
#define CELLS_TRIED 8

struct roles {
    const struct gang_shape *shape;
    uint32_t order[GANG_ROLES_MAX], first[GANG_ROLES_MAX];
    uint32_t *nodes, failed;
};

static void give_role(struct gang *g, enum gang_board board, const struct gang_role *role,
                      const uint32_t *nodes)
{
    for (uint32_t i = 0, run; i < role->pods; i += run) {
        for (run = 1; i + run < role->pods && nodes[i + run] == nodes[i];)
            run++;
        gang_board_give_pods(g, gang_at(g, board, nodes[i]), role->request, run);
        gang_fits_changed(g, board == GANG_FREE, nodes[i]);
    }
}

/* In the order in which they look: those that few nodes have room for first, then as written. */
static void order_roles(struct gang *g, const struct gang_where *where, struct roles *roles)
{
    uint32_t holding[GANG_ROLES_MAX] = {0};
    for (uint32_t i = 0; i < roles->shape->roles_count; i++) {
        if (i > 0)
            roles->first[i] = roles->first[i - 1] + roles->shape->roles[i - 1].pods;
        holding[i] = gang_column_get(g, roles->shape->kinds[i], place_view(where))->holding;
        uint32_t at = i;
        for (; at > 0 && holding[roles->order[at - 1]] > holding[i]; at--)
            roles->order[at] = roles->order[at - 1];
        roles->order[at] = i;
    }
}

static bool place_in_order(struct gang *g, const struct gang_where *where, struct roles *roles,
                           uint32_t scope_level, uint32_t scope)
{
    struct gang_where inside = *where;
    inside.level = GANG_NO_LEVEL;
    for (uint32_t i = 0; i < roles->shape->roles_count; i++) {
        uint32_t role = roles->order[i];
        if (place_role(g, &inside, roles->shape, role, scope_level, scope,
                       roles->nodes + roles->first[role]))
            continue;
        roles->failed = role;
        while (i-- > 0)
            give_role(g, where->board, &roles->shape->roles[roles->order[i]],
                      roles->nodes + roles->first[roles->order[i]]);
        return false;
    }
    return true;
}

/* A role that finds no room beside those before it looks first the next time, as often as there are
 * roles. The one named is that of the first time. */
static bool place_all(struct gang *g, const struct gang_where *where, struct roles *roles,
                      uint32_t scope_level, uint32_t scope)
{
    if (place_in_order(g, where, roles, scope_level, scope))
        return true;
    struct roles again = *roles;
    for (uint32_t i = 1; i < roles->shape->roles_count && again.failed != again.order[0]; i++) {
        uint32_t at = 0;
        while (again.order[at] != again.failed)
            at++;
        for (; at > 0; at--)
            again.order[at] = again.order[at - 1];
        again.order[0] = again.failed;
        if (place_in_order(g, where, &again, scope_level, scope))
            return true;
    }
    return false;
}

static bool has_room_for_each(struct gang *g, const struct gang_where *where, struct roles *roles,
                              uint32_t level, uint32_t cell)
{
    for (uint32_t i = 0; i < roles->shape->roles_count; i++) {
        uint32_t role = roles->order[i];
        const struct gang_column *c =
            gang_column_get(g, roles->shape->kinds[role], place_view(where));
        if (c->sums[g->fits_topology.level[level].first + cell] < roles->shape->roles[role].pods) {
            roles->failed = role;
            return false;
        }
    }
    return true;
}

/* Tries the cells of one level, that with the least left over for the first role first. */
static bool place_in_level(struct gang *g, const struct gang_where *where, struct roles *roles,
                           uint32_t level, uint32_t begin, uint32_t end)
{
    uint32_t lead = roles->order[0], value = roles->shape->roles[lead].pods, at = begin, tried = 0;
    for (uint32_t looked = 0; looked < CELLS_LOOKED_AT && tried < CELLS_TRIED; looked++) {
        const uint32_t *sums =
            gang_column_get(g, roles->shape->kinds[lead], place_view(where))->sums +
            g->fits_topology.level[level].first;
        uint32_t next = gang_scan_find(sums + at, end - at, value);
        if (next == UINT32_MAX) {
            value = gang_scan_least(sums + begin, end - begin, value + 1);
            if (value == UINT32_MAX)
                return false;
            at = begin;
            next = gang_scan_find(sums + at, end - at, value);
        }
        uint32_t cell = at + next;
        at = cell + 1;
        if (!gang_topology_lies_in(g, level, cell, where->level) ||
            !has_room_for_each(g, where, roles, level, cell))
            continue;
        tried++;
        if (place_all(g, where, roles, level, cell))
            return true;
    }
    return false;
}

static bool place_roles(struct gang *g, const struct gang_where *where, struct roles *roles,
                        uint32_t scope_level, uint32_t scope)
{
    order_roles(g, where, roles);
    if (!has_room_for_each(g, where, roles, scope_level, scope))
        return false;
    uint32_t widest = where->level > scope_level ? where->level : scope_level + 1;
    for (uint32_t level = g->fits_topology.levels; level >= widest; level--) {
        uint32_t begin, end;
        gang_topology_within(g, scope_level, scope, level, &begin, &end);
        if (place_in_level(g, where, roles, level, begin, end))
            return true;
    }
    return where->level <= scope_level && place_all(g, where, roles, scope_level, scope);
}

/* ---- the whole ---- */

bool gang_place(struct gang *g, const struct gang_where *where, const struct gang_shape *shape,
                uint32_t *nodes, uint32_t *ret_role)
{
    gang_topology_refresh(g);
    uint32_t scope = domain_cell(g, where->within_level, where->within_domain);
    *ret_role = 0;
    if (scope == GANG_NO_CELL)
        return false;
    if (shape->roles_count == 1)
        return place_role(g, where, shape, 0, where->within_level, scope, nodes);
    struct roles roles = {.shape = shape, .nodes = nodes ? nodes : g->fits.asked};
    if (!place_roles(g, where, &roles, where->within_level, scope)) {
        *ret_role = roles.failed;
        return false;
    }
    if (!nodes)
        gang_place_undo(g, where->board, shape, roles.nodes);
    return true;
}

void gang_place_undo(struct gang *g, enum gang_board board, const struct gang_shape *shape,
                     const uint32_t *nodes)
{
    for (uint32_t i = 0; i < shape->roles_count; i++) {
        give_role(g, board, &shape->roles[i], nodes);
        nodes += shape->roles[i].pods;
    }
}

/* On its neighbour's node, or in the narrowest cell around that which has room. */
static uint32_t pick_beside(struct gang *g, struct gang_column *c, const struct gang_where *where,
                            uint32_t scope_level)
{
    const struct gang_topology *t = &g->fits_topology;
    struct gang_where inside = *where;
    inside.level = GANG_NO_LEVEL;
    uint32_t slot = t->slot_of[where->beside - 1], cell = t->cell_of[slot];
    if (c->fit[slot] &&
        (where->within_level == GANG_NO_LEVEL ||
         gang_topology_domain(g, where->beside - 1, where->within_level) == where->within_domain))
        return slot;
    for (uint32_t level = t->levels; level > scope_level; level--) {
        if (gang_pick(g, c, &inside, level, cell, 1))
            return g->fits.picks[0].slot;
        cell = t->level[level].cells[cell].parent;
    }
    return GANG_NO_SLOT;
}

uint32_t gang_place_pod(struct gang *g, const struct gang_where *where,
                        const struct gang_shape *shape, uint32_t role)
{
    struct left_out out;
    struct gang_column *c = gang_column_get(g, shape->kinds[role], place_view(where));
    uint32_t scope = domain_cell(g, where->within_level, where->within_domain), slot = GANG_NO_SLOT;
    if (scope == GANG_NO_CELL)
        return GANG_NO_NODE;
    leave_out(g, c, where, &out);
    if (where->beside)
        slot = pick_beside(g, c, where, where->within_level);
    if (slot == GANG_NO_SLOT && ((where->together > 1 && gang_pick(g, c, where, where->within_level,
                                                                   scope, where->together)) ||
                                 gang_pick(g, c, where, where->within_level, scope, 1)))
        slot = g->fits.picks[0].slot;
    put_back(g, c, &out);
    return slot == GANG_NO_SLOT ? GANG_NO_NODE : g->fits_topology.node_of[slot];
}

uint64_t gang_fit_total(struct gang *g, const struct gang_shape *shape, uint32_t role,
                        uint32_t level, uint32_t domain)
{
    const struct gang_column *c = gang_column_get(g, shape->kinds[role], GANG_VIEW_FREE);
    uint32_t cell = domain_cell(g, level, domain);
    return cell == GANG_NO_CELL ? 0 : c->sums[g->fits_topology.level[level].first + cell];
}

uint64_t gang_fit_total_kept_too(struct gang *g, const struct gang_shape *shape, uint32_t role)
{
    return gang_column_get(g, shape->kinds[role], GANG_VIEW_ALL)->sums[0];
}

bool gang_cannot_fit(struct gang *g, const struct gang_shape *shape)
{
    for (uint32_t i = 0; i < shape->roles_count; i++)
        if (gang_fit_total(g, shape, i, GANG_NO_LEVEL, 0) < shape->roles[i].pods)
            return true;
    return false;
}

/* ---- for reasons ---- */

uint64_t gang_place_largest(struct gang *g, const struct gang_where *where,
                            const struct gang_shape *shape, uint32_t role, uint32_t *ret_domain)
{
    struct left_out out;
    struct gang_column *c = gang_column_get(g, shape->kinds[role], place_view(where));
    const struct gang_level *level = &g->fits_topology.level[where->level];
    uint64_t most = 0;
    *ret_domain = GANG_NO_DOMAIN;
    leave_out(g, c, where, &out);
    for (uint32_t i = 0; i < level->count; i++)
        if (level->cells[i].number != GANG_NO_DOMAIN && c->sums[level->first + i] > most) {
            most = c->sums[level->first + i];
            *ret_domain = level->cells[i].number;
        }
    put_back(g, c, &out);
    return most;
}
