/* How many pods of each kind fit where, kept up to date: what placement reads instead of asking
 * every node. Private to gang/.
 *
 * Slots: nodes sorted by the domains they lie in (widest level first, then by number), so that each
 * domain is a range of slots. Cells: each level cuts the slots into cells, one per domain, and one
 * for those nodes of a wider cell that lie in no domain of this level (a loose cell). Level 0 is
 * one cell with all nodes. Kinds: pods with equal requests and node classes. Columns: a cache; for
 * one kind and one view of the nodes, how many such pods each slot holds, and sums for all cells. A
 * column is repaired when it is used: logs say which nodes have changed since. */
#ifndef GANG_FITS_H
#define GANG_FITS_H

#include <stddef.h>
#include "gang/gang.h"

#define GANG_FIT_MAX \
    4095 /* no node is taken to hold more pods of a kind, so that sums fit 32 bits */
#define GANG_COLUMNS_MAX 64  /* of kinds on the free board; further kinds share them */
#define GANG_COLUMNS_OTHER 4 /* for the other views together */
#define GANG_NO_CELL UINT32_MAX
#define GANG_NO_SLOT UINT32_MAX

/* What columns look at: the boards, and FREE without regard to hidden nodes. */
enum gang_view { GANG_VIEW_FREE, GANG_VIEW_OWN, GANG_VIEW_EMPTY, GANG_VIEW_ALL, GANG_VIEWS };

struct gang_cell {
    uint32_t begin, end;    /* slots */
    uint32_t parent, child; /* cells of the next wider and narrower level; children end where those
                               of the next cell begin */
    uint32_t number;        /* the domain; GANG_NO_DOMAIN: loose */
};

struct gang_domain {
    uint32_t nodes; /* known nodes that lie in it */
    uint32_t cell;
    uint32_t wider[GANG_LEVELS_MAX]; /* the domains that it lies in; by level - 1 */
};

struct gang_level {
    char *name;
    struct gang_cell *cells; /* and one behind the last, where children end */
    uint32_t count, capacity;
    struct gang_domain *domains;              /* by the host's number */
    uint32_t domains_capacity, domains_count; /* count: numbers in use are below it */
    uint32_t first;                           /* where the sums of its cells begin in a column */
    bool loose;                               /* it has loose cells */
};

struct gang_topology {
    uint32_t levels; /* [0]: all nodes; then those of the config, from 1 */
    struct gang_level level[GANG_LEVELS_MAX + 1];
    uint32_t *domains; /* per node and level, beside each other */
    uint32_t domains_capacity;
    uint32_t *slot_of, *node_of, *cell_of; /* cell_of: of the narrowest level, by slot */
    uint32_t slot_of_capacity, node_of_capacity, cell_of_capacity;
    uint32_t *sorting, *counts; /* for the sort */
    uint32_t sorting_capacity, counts_capacity;
    uint32_t cells_bound; /* there are never more cells than that, in all levels together */
    uint64_t version;     /* of slots and cells */
    bool stale;           /* they are to be made anew */
};

struct gang_kind {
    uint64_t hash;
    uint64_t refs;
    uint32_t column[GANG_VIEWS]; /* GANG_NO_COLUMN or an index */
    uint32_t waiting, work_at;   /* work.c: the tree of those that wait; where it is in g->work */
    /* timed.c: in that plan so many found no room beside claims; so many pods have what is
     * unclaimed, if that was counted. */
    uint32_t refusals_plan, refusals;
    uint64_t unclaimed;
    uint32_t nobody_plan; /* timed.c: the plan in which nobody of it can start any more */
    uint32_t asked_count, words;
    uint32_t asked[GANG_RESOURCES_MAX]; /* resources with a request, devices first */
    gang_amounts request;
    uint64_t inverse[GANG_RESOURCES_MAX]; /* about 2^64 / request */
    uint64_t classes[];                   /* bitmap */
};
#define GANG_NO_COLUMN UINT32_MAX

struct gang_column {
    struct gang_kind *kind; /* NULL: free */
    enum gang_view view;
    uint64_t position; /* in the log of its view: what came later is not in it yet */
    uint64_t used;     /* when, for the choice of the one to be given up */
    uint64_t topology; /* for this version of the slots */
    uint32_t holding;  /* slots with room */
    uint16_t *fit;     /* by slot; whole blocks of 64 */
    uint32_t *sums;    /* by cell of each level */
    /* Which values the fits have, as a set of 64 buckets: for each block of 64 slots, and each
     * group of 64 blocks. A value that has gone may stay in the set until somebody looks for it. */
    uint64_t *blocks, *groups;
    uint32_t fit_capacity, sums_capacity, blocks_capacity, groups_capacity;
};

struct gang_log {
    uint32_t *nodes; /* a ring of node numbers */
    uint32_t capacity;
    uint64_t end;
    /* A node that is in the ring already, and that no column has read since, need not be added. */
    uint16_t *added; /* by node: the turn in which it was added last */
    uint16_t turn;   /* from 1 */
    uint32_t added_capacity;
    uint64_t settled; /* where gang_fits_settle() was last */
};

struct gang_pick {
    uint32_t slot, pods;
};

struct gang_fits {
    struct gang_kind **kinds; /* open addressing by hash */
    uint32_t kinds_size, kinds_count;
    struct gang_column columns[GANG_COLUMNS_MAX + GANG_COLUMNS_OTHER];
    uint32_t columns_count[2]; /* made so far: of the free board, of other views */
    uint64_t clock;
    struct gang_log log[2];                /* changes of the free board; of the others */
    struct gang_pick *picks, *picks_other; /* nodes of a placement in the making */
    uint32_t picks_capacity, picks_other_capacity;
    uint32_t *asked; /* nodes of a placement that was only asked for */
    uint32_t asked_capacity;
};

struct gang_shape;
struct gang_where;

/* ---- topology.c ---- */

/* -EINVAL with words when these domains (one per level, NULL: in none) contradict those of other
 * nodes. */
int gang_topology_check(struct gang *g, uint32_t node, const uint32_t *domains,
                        struct mlt_error *err) MLT_MUST_USE;
int gang_topology_reserve(struct gang *g, size_t nodes, const uint32_t *domains) MLT_MUST_USE;
void gang_topology_add(struct gang *g, uint32_t node); /* a new number, which lies nowhere yet */
void gang_topology_set(struct gang *g, uint32_t node, const uint32_t *domains); /* was checked */
void gang_topology_remove(struct gang *g, uint32_t node); /* it is no longer known */
void gang_topology_refresh(struct gang *g);               /* slots and cells, if they are stale */
uint32_t gang_topology_domain(const struct gang *g, uint32_t node, uint32_t level);
/* The cells of `level` that lie in a cell of a wider one (or are it): [*ret_begin, *ret_end). */
void gang_topology_within(const struct gang *g, uint32_t wider, uint32_t cell, uint32_t level,
                          uint32_t *ret_begin, uint32_t *ret_end);

/* A cell is a domain, and lies in a domain of a wider, required level (or GANG_NO_LEVEL). */
bool gang_topology_lies_in(const struct gang *g, uint32_t level, uint32_t cell, uint32_t required);

/* ---- kind.c ---- */

/* Gives a shape its kinds, and sees to the memory that placing it will take; undone by _unbind. */
int gang_shape_bind(struct gang *g, struct gang_shape *shape) MLT_MUST_USE;
void gang_shape_unbind(struct gang *g, struct gang_shape *shape);
void gang_fits_free(struct gang *g); /* all of fits and topology */

/* value / request by a multiplication: the product with floor((2^64 - 1) / request) is at most one
 * too small, which the remainder shows. */
static inline uint64_t gang_divide(uint64_t value, uint64_t request, uint64_t inverse)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t count = (uint64_t)((wide)value * inverse >> 64);
    return count + (value - count * request >= request);
}

/* So many pods fit what is `there` on a node, at most GANG_FIT_MAX. */
static inline uint32_t gang_kind_count(const struct gang_kind *kind, const int64_t *there)
{
    uint64_t fit = GANG_FIT_MAX;
    for (uint32_t i = 0; i < kind->asked_count; i++) {
        uint32_t r = kind->asked[i];
        if (there[r] < kind->request[r])
            return 0;
        uint64_t count =
            gang_divide((uint64_t)there[r], (uint64_t)kind->request[r], kind->inverse[r]);
        fit = count < fit ? count : fit;
    }
    return (uint32_t)fit;
}

/* ---- column.c ---- */

int gang_columns_reserve(struct gang *g, size_t nodes) MLT_MUST_USE;
int gang_columns_add(struct gang *g) MLT_MUST_USE; /* one more, while there are fewer than kinds */
void gang_columns_forget(struct gang *g, struct gang_kind *kind);
void gang_columns_free(struct gang *g);
/* Something about this node has changed on that board (FREE, or any other). */
void gang_fits_changed(struct gang *g, bool free_board, uint32_t node);
/* After an event that has changed many nodes: columns in use are repaired now, while the nodes are
 * in the processor's cache, and not when somebody waits for a decision. */
void gang_fits_settle(struct gang *g);
/* Up to date. Valid until the next call with another kind or view. */
struct gang_column *gang_column_get(struct gang *g, struct gang_kind *kind, enum gang_view view);
void gang_column_set(struct gang *g, struct gang_column *c, uint32_t slot, uint32_t fit);
/* So many pods fit one slot now, from its node. */
uint32_t gang_column_count(const struct gang *g, const struct gang_kind *kind, enum gang_view view,
                           uint32_t node);
/* The caller has set what it has changed since gang_column_get(). */
void gang_column_is_current(struct gang *g, struct gang_column *c);
int gang_columns_check(const struct gang *g, struct mlt_error *err) MLT_MUST_USE;

/* The slot in [begin, end) with the least fit of at least `fit`, the first of those; GANG_NO_SLOT.
 */
uint32_t gang_column_least(const struct gang *g, struct gang_column *c, uint32_t begin,
                           uint32_t end, uint32_t fit);
/* The largest fit below `bound`; 0: none. */
uint32_t gang_column_most_below(const struct gang *g, struct gang_column *c, uint32_t begin,
                                uint32_t end, uint32_t bound);
/* The first slot with a fit from `low` to `high`; GANG_NO_SLOT. */
uint32_t gang_column_find(const struct gang *g, struct gang_column *c, uint32_t begin, uint32_t end,
                          uint32_t low, uint32_t high);

/* All slots of [begin, end) with that fit, one after the other; GANG_NO_SLOT at the end. The column
 * must not change in between. */
struct gang_walk {
    uint32_t block, end, fit;
    uint64_t found; /* in `block`, yet to be given */
};
struct gang_walk gang_column_walk(const struct gang_column *c, uint32_t begin, uint32_t end,
                                  uint32_t fit);
uint32_t gang_column_walk_next(const struct gang *g, struct gang_column *c, struct gang_walk *walk);

/* ---- scan.c ---- Loops over arrays that compilers make vectors of. */

uint32_t gang_scan_least(const uint32_t *values, uint32_t count,
                         uint32_t least); /* value; UINT32_MAX */
uint32_t gang_scan_most_below(const uint32_t *values, uint32_t count,
                              uint32_t bound); /* value; 0 */
uint32_t gang_scan_find(const uint32_t *values, uint32_t count,
                        uint32_t value); /* index; UINT32_MAX */
uint32_t gang_scan_least16(const uint16_t *values, uint32_t count, uint32_t least);
uint32_t gang_scan_most_below16(const uint16_t *values, uint32_t count, uint32_t bound);
/* Bit i: values[i] is from `low` to `high`. Reads 64 values. */
uint64_t gang_scan_match16(const uint16_t *values, uint32_t low, uint32_t high);
uint64_t gang_scan_or(const uint64_t *words, uint32_t count);

/* ---- pick.c ---- */

/* Chooses slots for `pods` pods of a column's kind, by the rules of README "Placement"; leaves them
 * in fits.picks in the order of slots, and takes nothing. How many picks; 0: there is no place. */
uint32_t gang_pick(struct gang *g, struct gang_column *c, const struct gang_where *where,
                   uint32_t scope_level, uint32_t scope, uint32_t pods);

/* Whether gang_pick() would find a place. */
bool gang_pick_possible(struct gang *g, struct gang_column *c, const struct gang_where *where,
                        uint32_t scope_level, uint32_t scope, uint32_t pods);

#endif
