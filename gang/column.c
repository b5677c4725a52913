/* Columns: for one kind of pods, how many each slot holds now, sums for every cell, and an index to
 * find slots by their value. A column is repaired from the log of changed nodes when it is used, or
 * made anew when that is cheaper. What a column says is exact, whenever it was made: it is no part
 * of the state. */
#include "gang/internal.h"

#include <errno.h>
#include <string.h>

#define LINEAR 128 /* a range of so many slots is looked through without the index */
#define LOG_MIN 1024

/* ---- buckets of values: exact below EXACT, then four to each power of two ---- */

#define EXACT 32

static uint32_t bucket_of(uint32_t value)
{
    if (value < EXACT)
        return value;
    uint32_t power = 31 - (uint32_t)__builtin_clz(value);
    return EXACT + (power - 5) * 4 + ((value >> (power - 2)) & 3);
}

static uint32_t bucket_low(uint32_t bucket)
{
    if (bucket < EXACT)
        return bucket;
    return (4 + (bucket - EXACT) % 4) << ((bucket - EXACT) / 4 + 3);
}

static uint32_t bucket_high(uint32_t bucket)
{
    return bucket_low(bucket + 1) - 1;
}

static uint64_t buckets(uint32_t low, uint32_t high)
{
    return (~UINT64_C(0) << bucket_of(low)) & (~UINT64_C(0) >> (63 - bucket_of(high)));
}

/* ---- what is in a column ---- */

static inline uint32_t count_pods(const struct gang *g, const struct gang_kind *kind,
                                  enum gang_view view, uint32_t node)
{
    static const enum gang_board boards[GANG_VIEWS] = {
        [GANG_VIEW_FREE] = GANG_FREE,
        [GANG_VIEW_OWN] = GANG_OWN,
        [GANG_VIEW_EMPTY] = GANG_EMPTY,
        [GANG_VIEW_ALL] = GANG_FREE,
    };
    uint32_t class = view == GANG_VIEW_EMPTY ? g->classes[node] : g->open[node];
    uint32_t word = class / 64; /* GANG_CLASS_NONE is beyond any bitmap */
    if (word >= kind->words || !(kind->classes[word] >> (class % 64) & 1) ||
        (view == GANG_VIEW_FREE && g->hidden[node]))
        return 0;
    return gang_kind_count(kind, gang_at(g, boards[view], node));
}

uint32_t gang_column_count(const struct gang *g, const struct gang_kind *kind, enum gang_view view,
                           uint32_t node)
{
    return count_pods(g, kind, view, node);
}

/* Adds to the sum of a cell and of all around it. */
static void add_to_sums(const struct gang *g, struct gang_column *c, uint32_t cell, uint32_t more)
{
    const struct gang_topology *t = &g->fits_topology;
    for (uint32_t l = t->levels;; l--) {
        c->sums[t->level[l].first + cell] += more;
        if (l == 0)
            return;
        cell = t->level[l].cells[cell].parent;
    }
}

/* All but the sums. */
static void set_fit(struct gang_column *c, uint32_t slot, uint32_t fit)
{
    uint64_t bucket = UINT64_C(1) << bucket_of(fit);
    c->holding += (fit > 0);
    c->holding -= (c->fit[slot] > 0);
    c->fit[slot] = (uint16_t)fit;
    c->blocks[slot / 64] |= bucket;
    c->groups[slot / 4096] |= bucket;
}

void gang_column_set(struct gang *g, struct gang_column *c, uint32_t slot, uint32_t fit)
{
    uint32_t old = c->fit[slot];
    if (old == fit)
        return;
    set_fit(c, slot, fit);
    add_to_sums(g, c, g->fits_topology.cell_of[slot], fit - old);
}

/* ---- the index ---- */

static void index_block(const struct gang *g, struct gang_column *c, uint32_t block)
{
    uint32_t begin = block * 64, end = begin + 64 < g->nodes ? begin + 64 : g->nodes;
    uint64_t values = 0;
    for (uint32_t s = begin; s < end; s++)
        values |= UINT64_C(1) << bucket_of(c->fit[s]);
    c->blocks[block] = values;
}

static void index_group(const struct gang *g, struct gang_column *c, uint32_t group)
{
    uint32_t blocks = (g->nodes + 63) / 64 - group * 64;
    c->groups[group] = gang_scan_or(c->blocks + group * 64, blocks < 64 ? blocks : 64);
}

static void rebuild(struct gang *g, struct gang_column *c)
{
    const struct gang_topology *t = &g->fits_topology;
    const struct gang_level *last = &t->level[t->levels];
    memset(c->sums, 0, ((size_t)last->first + last->count) * sizeof *c->sums);
    c->holding = 0;
    for (uint32_t s = 0; s < g->nodes; s++) {
        uint32_t fit = count_pods(g, c->kind, c->view, t->node_of[s]);
        c->fit[s] = (uint16_t)fit;
        c->holding += fit > 0;
        c->sums[last->first + t->cell_of[s]] += fit;
    }
    for (uint32_t l = t->levels; l >= 1; l--)
        for (uint32_t i = 0; i < t->level[l].count; i++)
            c->sums[t->level[l - 1].first + t->level[l].cells[i].parent] +=
                c->sums[t->level[l].first + i];
    for (uint32_t block = 0; block * 64 < g->nodes; block++)
        index_block(g, c, block);
    for (uint32_t group = 0; group * 4096 < g->nodes; group++)
        index_group(g, c, group);
    c->topology = t->version;
}

/* ---- repair ---- */

static uint32_t log_of(enum gang_view view)
{
    return view == GANG_VIEW_FREE || view == GANG_VIEW_ALL ? 0 : 1;
}

static void log_add(struct gang_log *log, uint32_t node)
{
    if (log->added[node] == log->turn)
        return;
    log->added[node] = log->turn;
    log->nodes[log->end++ & (log->capacity - 1)] = node;
}

static void count_free_devices(struct gang *g, uint32_t node)
{
    uint64_t devices = gang_free_devices_of(g, node);
    g->free_devices += devices - g->counted_free[node];
    g->counted_free[node] = devices;
}

void gang_fits_changed(struct gang *g, bool free_board, uint32_t node)
{
    if (g->counted_free)
        count_free_devices(g, node);
    log_add(&g->fits.log[0], node);
    if (!free_board)
        log_add(&g->fits.log[1], node);
}

/* A column has read all there is. */
static void was_read(struct gang *g, struct gang_column *c)
{
    struct gang_log *log = &g->fits.log[log_of(c->view)];
    c->position = log->end;
    if (++log->turn != 0)
        return;
    memset(log->added, 0, g->nodes * sizeof *log->added); /* once in 65,536 turns */
    log->turn = 1;
}

/* Nodes that follow each other in the log mostly lie in one cell: its sums are changed once. */
static void read_log(struct gang *g, struct gang_column *c, const struct gang_log *log)
{
    const struct gang_topology *t = &g->fits_topology;
    uint32_t cell = GANG_NO_CELL, more = 0, mask = log->capacity - 1;
    for (uint64_t at = c->position; at != log->end; at++) {
        uint32_t node = log->nodes[at & mask], slot = t->slot_of[node];
        uint32_t fit = count_pods(g, c->kind, c->view, node), old = c->fit[slot];
        if (fit == old)
            continue;
        set_fit(c, slot, fit);
        if (t->cell_of[slot] != cell) {
            if (more)
                add_to_sums(g, c, cell, more);
            cell = t->cell_of[slot];
            more = 0;
        }
        more += fit - old;
    }
    if (more)
        add_to_sums(g, c, cell, more);
}

static void repair(struct gang *g, struct gang_column *c)
{
    const struct gang_log *log = &g->fits.log[log_of(c->view)];
    uint64_t behind = log->end - c->position;
    if (c->topology != g->fits_topology.version || behind > log->capacity || behind > g->nodes / 2)
        rebuild(g, c);
    else if (behind == 0)
        return;
    else
        read_log(g, c, log);
    was_read(g, c);
}

#define SETTLE_AFTER 16 /* changes; fewer are read when somebody asks */
#define IN_USE 256      /* a column is, that was used in so many of the last uses of columns */

void gang_fits_settle(struct gang *g)
{
    struct gang_log *log = &g->fits.log[0];
    if (log->end - log->settled < SETTLE_AFTER)
        return;
    log->settled = log->end;
    for (uint32_t i = 0; !g->fits_topology.stale && i < g->fits.columns_count[0]; i++) {
        struct gang_column *c = &g->fits.columns[i];
        if (c->kind && c->used + IN_USE > g->fits.clock)
            repair(g, c);
    }
}

void gang_column_is_current(struct gang *g, struct gang_column *c)
{
    was_read(g, c);
}

/* ---- the cache ---- */

static struct gang_column *choose_column(struct gang *g, enum gang_view view)
{
    struct gang_column *pool = g->fits.columns + (view == GANG_VIEW_FREE ? 0 : GANG_COLUMNS_MAX);
    uint32_t count = g->fits.columns_count[view != GANG_VIEW_FREE];
    struct gang_column *best = pool;
    for (uint32_t i = 0; i < count; i++) {
        if (!pool[i].kind)
            return &pool[i];
        if (pool[i].used < best->used)
            best = &pool[i];
    }
    return best;
}

struct gang_column *gang_column_get(struct gang *g, struct gang_kind *kind, enum gang_view view)
{
    gang_topology_refresh(g);
    struct gang_column *c;
    if (kind->column[view] == GANG_NO_COLUMN) {
        c = choose_column(g, view);
        if (c->kind)
            c->kind->column[c->view] = GANG_NO_COLUMN;
        c->kind = kind;
        c->view = view;
        c->topology = 0;
        kind->column[view] = (uint32_t)(c - g->fits.columns);
    }
    c = &g->fits.columns[kind->column[view]];
    c->used = ++g->fits.clock;
    repair(g, c);
    return c;
}

void gang_columns_forget(struct gang *g, struct gang_kind *kind)
{
    for (uint32_t v = 0; v < GANG_VIEWS; v++)
        if (kind->column[v] != GANG_NO_COLUMN)
            g->fits.columns[kind->column[v]].kind = NULL;
}

/* ---- memory ---- */

static int reserve_column(struct gang *g, struct gang_column *c, size_t nodes)
{
    size_t blocks = (nodes + 63) / 64, groups = (blocks + 63) / 64;
    if (gang_reserve(g, &c->fit, &c->fit_capacity, blocks * 64, sizeof *c->fit) < 0 ||
        gang_reserve(g, &c->sums, &c->sums_capacity, g->fits_topology.cells_bound,
                     sizeof *c->sums) < 0 ||
        gang_reserve(g, &c->blocks, &c->blocks_capacity, blocks, sizeof *c->blocks) < 0 ||
        gang_reserve(g, &c->groups, &c->groups_capacity, groups, sizeof *c->groups) < 0)
        return -ENOMEM;
    return 0;
}

/* A log of a quarter of the nodes: when more have changed, making a column anew is cheaper. */
static int reserve_logs(struct gang *g, size_t nodes)
{
    uint32_t wanted = LOG_MIN;
    while (wanted < nodes / 4)
        wanted *= 2;
    for (int i = 0; i < 2; i++) {
        struct gang_log *log = &g->fits.log[i];
        if (gang_reserve(g, &log->added, &log->added_capacity, nodes, sizeof *log->added) < 0)
            return -ENOMEM;
        if (log->capacity >= wanted)
            continue;
        if (gang_reserve(g, &log->nodes, &log->capacity, wanted, sizeof *log->nodes) < 0)
            return -ENOMEM;
        log->end += (uint64_t)log->capacity *
                    2; /* what is in it lies elsewhere now: nobody is up to date */
    }
    return 0;
}

static struct gang_column *column_at(struct gang *g, uint32_t pool, uint32_t index)
{
    return &g->fits.columns[(pool ? GANG_COLUMNS_MAX : 0) + index];
}

int gang_columns_reserve(struct gang *g, size_t nodes)
{
    if (reserve_logs(g, nodes) < 0)
        return -ENOMEM;
    for (uint32_t pool = 0; pool < 2; pool++)
        for (uint32_t i = 0; i < g->fits.columns_count[pool]; i++)
            if (reserve_column(g, column_at(g, pool, i), nodes) < 0)
                return -ENOMEM;
    return 0;
}

int gang_columns_add(struct gang *g)
{
    const uint32_t wanted[2] = {g->fits.kinds_count < GANG_COLUMNS_MAX ? g->fits.kinds_count
                                                                       : GANG_COLUMNS_MAX,
                                GANG_COLUMNS_OTHER};
    for (uint32_t pool = 0; pool < 2; pool++)
        while (g->fits.columns_count[pool] < wanted[pool]) {
            struct gang_column *c = column_at(g, pool, g->fits.columns_count[pool]);
            if (reserve_column(g, c, g->nodes_capacity) < 0)
                return -ENOMEM;
            g->fits.columns_count[pool]++;
        }
    return 0;
}

void gang_columns_free(struct gang *g)
{
    for (size_t i = 0; i < sizeof g->fits.columns / sizeof g->fits.columns[0]; i++) {
        struct gang_column *c = &g->fits.columns[i];
        void *arrays[] = {c->fit, c->sums, c->blocks, c->groups};
        for (size_t k = 0; k < sizeof arrays / sizeof arrays[0]; k++)
            gang_release(g, arrays[k]);
    }
}

/* ---- looking for slots ---- */

/* Those slots of a block that lie in [begin, end). */
static uint64_t part_of_block(uint32_t block, uint32_t begin, uint32_t end)
{
    uint64_t bits = ~UINT64_C(0);
    if (begin > block * 64)
        bits <<= begin - block * 64;
    if (end < block * 64 + 64)
        bits &= ~UINT64_C(0) >> (block * 64 + 64 - end);
    return bits;
}

/* The matches in a block, as its set says; a block that was looked at in vain is indexed again. */
static uint64_t match_block(const struct gang *g, struct gang_column *c, uint32_t block,
                            uint32_t low, uint32_t high)
{
    if (!(c->blocks[block] & buckets(low, high)))
        return 0;
    uint32_t left = g->nodes - block * 64;
    uint64_t all = left < 64 ? ~UINT64_C(0) >> (64 - left) : ~UINT64_C(0);
    uint64_t found = gang_scan_match16(c->fit + (size_t)block * 64, low, high) & all;
    if (!found)
        index_block(g, c, block);
    return found;
}

/* The first block from `block` on with one of these values, perhaps; `last` if there is none. */
static uint32_t next_block(const struct gang *g, struct gang_column *c, uint32_t block,
                           uint32_t last, uint64_t wanted)
{
    while (block < last) {
        uint32_t group = block / 64, end = group * 64 + 64 < last ? group * 64 + 64 : last;
        if (!(c->groups[group] & wanted)) {
            block = end;
            continue;
        }
        bool whole = block % 64 == 0;
        for (; block < end; block++)
            if (c->blocks[block] & wanted)
                return block;
        if (whole)
            index_group(g, c, group);
    }
    return last;
}

uint32_t gang_column_find(const struct gang *g, struct gang_column *c, uint32_t begin, uint32_t end,
                          uint32_t low, uint32_t high)
{
    uint64_t wanted = buckets(low, high);
    if (begin >= end)
        return GANG_NO_SLOT;
    for (uint32_t block = begin / 64, last = (end + 63) / 64;; block++) {
        block = next_block(g, c, block, last, wanted);
        if (block >= last)
            return GANG_NO_SLOT;
        uint64_t found = match_block(g, c, block, low, high) & part_of_block(block, begin, end);
        if (found)
            return block * 64 + (uint32_t)__builtin_ctzll(found);
    }
}

struct gang_walk gang_column_walk(const struct gang_column *c, uint32_t begin, uint32_t end,
                                  uint32_t fit)
{
    struct gang_walk walk = {.block = begin / 64, .end = end, .fit = fit};
    if (begin < end)
        walk.found = gang_scan_match16(c->fit + (size_t)walk.block * 64, fit, fit) &
                     part_of_block(walk.block, begin, end);
    return walk;
}

uint32_t gang_column_walk_next(const struct gang *g, struct gang_column *c, struct gang_walk *walk)
{
    uint32_t last = (walk->end + 63) / 64;
    while (!walk->found) {
        walk->block = next_block(g, c, walk->block + 1, last, buckets(walk->fit, walk->fit));
        if (walk->block >= last)
            return GANG_NO_SLOT;
        walk->found = match_block(g, c, walk->block, walk->fit, walk->fit) &
                      part_of_block(walk->block, 0, walk->end);
    }
    uint32_t slot = walk->block * 64 + (uint32_t)__builtin_ctzll(walk->found);
    walk->found &= walk->found - 1;
    return slot;
}

/* The buckets of all values in a range, and perhaps some of its neighbours'. */
static uint64_t present(const struct gang_column *c, uint32_t begin, uint32_t end)
{
    uint32_t block = begin / 64, last = (end + 63) / 64;
    uint64_t values = 0;
    while (block < last) {
        if (block % 64 == 0 && last - block >= 64) {
            values |= c->groups[block / 64];
            block += 64;
        } else {
            values |= c->blocks[block++];
        }
    }
    return values;
}

/* The first slot with the least (or, from above, the largest) value from `low` to `high`, which all
 * lie in one bucket. */
static uint32_t best_in_bucket(const struct gang *g, struct gang_column *c, uint32_t begin,
                               uint32_t end, uint32_t low, uint32_t high, bool largest)
{
    uint32_t best = GANG_NO_SLOT;
    while (low <= high) {
        uint32_t slot = gang_column_find(g, c, begin, end, low, high);
        if (slot == GANG_NO_SLOT)
            break;
        best = slot;
        begin = slot + 1;
        if (largest)
            low = c->fit[slot] + 1u;
        else
            high = c->fit[slot] - 1u;
    }
    return best;
}

uint32_t gang_column_least(const struct gang *g, struct gang_column *c, uint32_t begin,
                           uint32_t end, uint32_t fit)
{
    if (fit > GANG_FIT_MAX)
        return GANG_NO_SLOT;
    if (end - begin <= LINEAR) {
        uint32_t value = gang_scan_least16(c->fit + begin, end - begin, fit);
        return value == UINT32_MAX ? GANG_NO_SLOT
                                   : gang_column_find(g, c, begin, end, value, value);
    }
    uint64_t left = present(c, begin, end) & buckets(fit, GANG_FIT_MAX);
    for (; left; left &= left - 1) {
        uint32_t bucket = (uint32_t)__builtin_ctzll(left), low = bucket_low(bucket);
        uint32_t slot =
            best_in_bucket(g, c, begin, end, low > fit ? low : fit, bucket_high(bucket), false);
        if (slot != GANG_NO_SLOT)
            return slot;
    }
    return GANG_NO_SLOT;
}

uint32_t gang_column_most_below(const struct gang *g, struct gang_column *c, uint32_t begin,
                                uint32_t end, uint32_t bound)
{
    if (end - begin <= LINEAR)
        return gang_scan_most_below16(c->fit + begin, end - begin, bound);
    if (bound <= 1)
        return 0;
    uint64_t left = present(c, begin, end) & buckets(1, bound - 1);
    while (left) {
        uint32_t bucket = 63 - (uint32_t)__builtin_clzll(left), high = bucket_high(bucket);
        uint32_t slot = best_in_bucket(g, c, begin, end, bucket_low(bucket),
                                       high < bound ? high : bound - 1, true);
        if (slot != GANG_NO_SLOT)
            return c->fit[slot];
        left &= ~(UINT64_C(1) << bucket);
    }
    return 0;
}

/* ---- check ---- */

static bool is_pending(const struct gang *g, const struct gang_column *c, uint32_t node)
{
    const struct gang_log *log = &g->fits.log[log_of(c->view)];
    for (uint64_t at = c->position; at != log->end; at++)
        if (log->nodes[at & (log->capacity - 1)] == node)
            return true;
    return false;
}

static int check_sums(const struct gang *g, const struct gang_column *c, struct mlt_error *err)
{
    const struct gang_topology *t = &g->fits_topology;
    for (uint32_t l = 0; l <= t->levels; l++)
        for (uint32_t i = 0; i < t->level[l].count; i++) {
            uint32_t sum = 0;
            for (uint32_t s = t->level[l].cells[i].begin; s < t->level[l].cells[i].end; s++)
                sum += c->fit[s];
            if (sum != c->sums[t->level[l].first + i])
                return mlt_fail(err, EBADMSG, "level %u, cell %u: %u pods fit, counted %u", l, i,
                                sum, c->sums[t->level[l].first + i]);
        }
    return 0;
}

static int check_column(const struct gang *g, const struct gang_column *c, struct mlt_error *err)
{
    uint32_t holding = 0;
    for (uint32_t s = 0; s < g->nodes; s++) {
        uint32_t node = g->fits_topology.node_of[s];
        uint32_t fit = gang_column_count(g, c->kind, c->view, node);
        holding += c->fit[s] > 0;
        if (c->fit[s] != fit && !is_pending(g, c, node))
            return mlt_fail(err, EBADMSG, "node %u: %u pods of a kind fit, counted %u", node, fit,
                            c->fit[s]);
        if (!(c->blocks[s / 64] >> bucket_of(c->fit[s]) & 1 &&
              c->groups[s / 4096] >> bucket_of(c->fit[s]) & 1))
            return mlt_fail(err, EBADMSG, "node %u: the index does not find it", node);
    }
    if (holding != c->holding)
        return mlt_fail(err, EBADMSG, "%u nodes have room for a kind, counted %u", holding,
                        c->holding);
    return check_sums(g, c, err);
}

int gang_columns_check(const struct gang *g, struct mlt_error *err)
{
    for (size_t i = 0; i < sizeof g->fits.columns / sizeof g->fits.columns[0]; i++) {
        const struct gang_column *c = &g->fits.columns[i];
        const struct gang_log *log = &g->fits.log[log_of(c->view)];
        if (!c->kind || g->fits_topology.stale || c->topology != g->fits_topology.version ||
            log->end - c->position > log->capacity)
            continue; /* it will be made anew */
        int rc = check_column(g, c, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
