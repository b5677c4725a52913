/* Choosing the slots for equal pods: the narrowest domain that has room for all, of those the one
 * with the least left over; inside, the fullest-fitting children first and the last one tight.
 * Exact: it finds a place whenever there is one. Reads a column, takes nothing. */
#include "gang/internal.h"

struct picker {
    struct gang *g;
    struct gang_column *c;
    const struct gang_topology *t;
    uint32_t count;
};

static const uint32_t *sums_of(const struct picker *p, uint32_t level)
{
    return p->c->sums + p->t->level[level].first;
}

static void pick(struct picker *p, uint32_t slot, uint32_t pods)
{
    p->g->fits.picks[p->count++] = (struct gang_pick){.slot = slot, .pods = pods};
}

/* ---- inside a cell that has room ---- */

static void pick_everything(struct picker *p, uint32_t begin, uint32_t end)
{
    if (end - begin <= 64) {
        for (uint32_t s = begin; s < end; s++)
            if (p->c->fit[s])
                pick(p, s, p->c->fit[s]);
        return;
    }
    for (uint32_t s = begin; s < end; s++) {
        s = gang_column_find(p->g, p->c, s, end, 1, GANG_FIT_MAX);
        if (s == GANG_NO_SLOT)
            return;
        pick(p, s, p->c->fit[s]);
    }
}

/* Slots by what they hold, the most first, then as they come. */
static void pick_slots(struct picker *p, uint32_t begin, uint32_t end, uint32_t pods)
{
    uint32_t value = GANG_FIT_MAX + 1, slot = GANG_NO_SLOT;
    struct gang_walk walk = {.end = 0};
    while (pods > value || slot == GANG_NO_SLOT) {
        if (slot != GANG_NO_SLOT) {
            pick(p, slot, value);
            pods -= value;
        } else {
            value = gang_column_most_below(p->g, p->c, begin, end, value);
            walk = gang_column_walk(p->c, begin, end, value);
        }
        slot = gang_column_walk_next(p->g, p->c, &walk);
    }
    /* None of those that hold less than `value` is taken yet. */
    uint32_t tight = gang_column_least(p->g, p->c, begin, end, pods);
    pick(p, p->c->fit[tight] == value ? slot : tight, pods);
}

static void pick_cell(struct picker *p, uint32_t level, uint32_t cell, uint32_t pods);

/* The same with the children of a cell. */
static void pick_children(struct picker *p, uint32_t level, uint32_t begin, uint32_t end,
                          uint32_t pods)
{
    const uint32_t *sums = sums_of(p, level);
    const struct gang_cell *cells = p->t->level[level].cells;
    uint32_t value = UINT32_MAX, at = end;
    for (;;) {
        uint32_t next = at < end ? gang_scan_find(sums + at + 1, end - at - 1, value) : UINT32_MAX;
        if (next != UINT32_MAX) {
            at += 1 + next;
        } else {
            value = gang_scan_most_below(sums + begin, end - begin, value);
            at = begin + gang_scan_find(sums + begin, end - begin, value);
        }
        if (value >= pods)
            break;
        pick_everything(p, cells[at].begin, cells[at].end);
        pods -= value;
    }
    uint32_t least = gang_scan_least(sums + begin, end - begin, pods);
    if (least != value)
        at = begin + gang_scan_find(sums + begin, end - begin, least);
    pick_cell(p, level, at, pods);
}

static void pick_cell(struct picker *p, uint32_t level, uint32_t cell, uint32_t pods)
{
    const struct gang_cell *c = &p->t->level[level].cells[cell];
    if (sums_of(p, level)[cell] == pods)
        pick_everything(p, c->begin, c->end);
    else if (level == p->t->levels)
        pick_slots(p, c->begin, c->end, pods);
    else
        pick_children(p, level + 1, c->child, c[1].child, pods);
}

/* ---- which cell ---- */

static uint32_t least_cell(const struct picker *p, uint32_t level, uint32_t begin, uint32_t end,
                           uint32_t required, uint32_t pods)
{
    const uint32_t *sums = sums_of(p, level);
    if (!p->t->level[level].loose && !p->t->level[required].loose) {
        uint32_t value = gang_scan_least(sums + begin, end - begin, pods);
        return value == UINT32_MAX ? GANG_NO_CELL
                                   : begin + gang_scan_find(sums + begin, end - begin, value);
    }
    uint32_t best = GANG_NO_CELL;
    for (uint32_t i = begin; i < end; i++)
        if (sums[i] >= pods && (best == GANG_NO_CELL || sums[i] < sums[best]) &&
            gang_topology_lies_in(p->g, level, i, required))
            best = i;
    return best;
}

/* One node for all; with a required level only one that lies in a domain of it. */
static uint32_t least_slot(const struct picker *p, const struct gang_where *where,
                           uint32_t scope_level, uint32_t scope, uint32_t pods)
{
    const struct gang_cell *inside = &p->t->level[scope_level].cells[scope];
    if (where->level <= scope_level || !p->t->level[where->level].loose)
        return gang_column_least(p->g, p->c, inside->begin, inside->end, pods);
    uint32_t best = GANG_NO_SLOT, begin, end;
    const struct gang_cell *cells = p->t->level[where->level].cells;
    gang_topology_within(p->g, scope_level, scope, where->level, &begin, &end);
    for (uint32_t i = begin; i < end; i++) {
        uint32_t slot = cells[i].number == GANG_NO_DOMAIN
                            ? GANG_NO_SLOT
                            : gang_column_least(p->g, p->c, cells[i].begin, cells[i].end, pods);
        if (slot != GANG_NO_SLOT && (best == GANG_NO_SLOT || p->c->fit[slot] < p->c->fit[best]))
            best = slot;
    }
    return best;
}

static bool pick_narrowest(struct picker *p, const struct gang_where *where, uint32_t scope_level,
                           uint32_t scope, uint32_t pods)
{
    if (sums_of(p, scope_level)[scope] < pods)
        return false;
    uint32_t slot = least_slot(p, where, scope_level, scope, pods);
    if (slot != GANG_NO_SLOT) {
        pick(p, slot, pods);
        return true;
    }
    uint32_t widest = where->level > scope_level ? where->level : scope_level + 1;
    for (uint32_t level = p->t->levels; level >= widest; level--) {
        uint32_t begin, end;
        gang_topology_within(p->g, scope_level, scope, level, &begin, &end);
        uint32_t cell = least_cell(p, level, begin, end, where->level, pods);
        if (cell == GANG_NO_CELL)
            continue;
        pick_cell(p, level, cell, pods);
        return true;
    }
    if (where->level > scope_level)
        return false;
    pick_cell(p, scope_level, scope, pods);
    return true;
}

/* A domain of the required level has room if anything inside it has. */
bool gang_pick_possible(struct gang *g, struct gang_column *c, const struct gang_where *where,
                        uint32_t scope_level, uint32_t scope, uint32_t pods)
{
    const struct picker p = {.g = g, .c = c, .t = &g->fits_topology};
    uint32_t begin, end;
    if (where->level <= scope_level)
        return sums_of(&p, scope_level)[scope] >= pods;
    gang_topology_within(g, scope_level, scope, where->level, &begin, &end);
    return least_cell(&p, where->level, begin, end, where->level, pods) != GANG_NO_CELL;
}

/* ---- in the order of slots ---- */

static uint32_t run_end(const struct gang_pick *picks, uint32_t begin, uint32_t count)
{
    uint32_t end = begin + 1;
    while (end < count && picks[end - 1].slot < picks[end].slot)
        end++;
    return end < count ? end : count;
}

/* Picks come as a few runs that ascend: they are merged two by two until one is left. */
static void sort_picks(struct gang_fits *f, uint32_t count)
{
    while (run_end(f->picks, 0, count) < count) {
        struct gang_pick *from = f->picks, *to = f->picks_other;
        for (uint32_t begin = 0; begin < count;) {
            uint32_t middle = run_end(from, begin, count);
            uint32_t end = middle < count ? run_end(from, middle, count) : count;
            for (uint32_t i = begin, a = begin, b = middle; i < end; i++) {
                bool first = b == end || (a < middle && from[a].slot < from[b].slot);
                to[i] = first ? from[a++] : from[b++];
            }
            begin = end;
        }
        uint32_t capacity = f->picks_capacity;
        f->picks = to;
        f->picks_other = from;
        f->picks_capacity = f->picks_other_capacity;
        f->picks_other_capacity = capacity;
    }
}

uint32_t gang_pick(struct gang *g, struct gang_column *c, const struct gang_where *where,
                   uint32_t scope_level, uint32_t scope, uint32_t pods)
{
    struct picker p = {.g = g, .c = c, .t = &g->fits_topology};
    if (!pick_narrowest(&p, where, scope_level, scope, pods))
        return 0;
    sort_picks(&g->fits, p.count);
    return p.count;
}
