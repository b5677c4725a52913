/* Where nodes lie: the domains that the host names become slots and cells (see fits.h), made anew
 * when a node comes or moves. A node that is removed keeps its slot, so that one that comes and
 * goes costs nothing here. */
#include "gang/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

uint32_t gang_topology_domain(const struct gang *g, uint32_t node, uint32_t level)
{
    const struct gang_topology *t = &g->fits_topology;
    return t->domains[(size_t)node * t->levels + level - 1];
}

/* ---- what the host says ---- */

static bool is_known(const struct gang *g, uint32_t node)
{
    return node < g->nodes && g->classes[node] != GANG_CLASS_NONE;
}

static const char *words_of(uint32_t domain, char *text, size_t size)
{
    if (domain == GANG_NO_DOMAIN)
        return "none";
    (void)snprintf(text, size, "%u", domain);
    return text;
}

static int check_wider(struct gang *g, uint32_t node, const uint32_t *domains, uint32_t level,
                       struct mlt_error *err)
{
    const struct gang_topology *t = &g->fits_topology;
    const struct gang_level *narrow = &t->level[level];
    uint32_t number = domains[level - 1];
    if (number >= narrow->domains_count)
        return 0; /* nobody lies in it yet */
    const struct gang_domain *domain = &narrow->domains[number];
    uint32_t others = domain->nodes;
    if (is_known(g, node) && gang_topology_domain(g, node, level) == number)
        others--;
    for (uint32_t l = 1; others && l < level; l++) {
        char there[16], here[16];
        if (domain->wider[l - 1] != domains[l - 1])
            return mlt_fail(err, EINVAL, "node %u: %s %u lies in %s %s for other nodes, here in %s",
                            node, narrow->name, number, t->level[l].name,
                            words_of(domain->wider[l - 1], there, sizeof there),
                            words_of(domains[l - 1], here, sizeof here));
    }
    return 0;
}

int gang_topology_check(struct gang *g, uint32_t node, const uint32_t *domains,
                        struct mlt_error *err)
{
    for (uint32_t l = 1; domains && l <= g->fits_topology.levels; l++) {
        uint32_t number = domains[l - 1];
        if (number == GANG_NO_DOMAIN)
            continue;
        if (number >= GANG_DOMAINS_MAX)
            return mlt_fail(err, EINVAL, "node %u: %s %u: numbers go up to %d", node,
                            g->fits_topology.level[l].name, number, GANG_DOMAINS_MAX - 1);
        int rc = check_wider(g, node, domains, l, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A level has a cell for each domain, and at most one loose cell in each cell of the next wider
 * level; and no more cells than nodes. */
static int reserve_cells(struct gang *g, size_t nodes, const uint32_t *domains)
{
    struct gang_topology *t = &g->fits_topology;
    size_t bound = 1, total = 1, counts = 1;
    for (uint32_t l = 0; l <= t->levels; l++) {
        struct gang_level *level = &t->level[l];
        size_t numbers = level->domains_count;
        if (l > 0) {
            uint32_t number = domains ? domains[l - 1] : GANG_NO_DOMAIN;
            if (number != GANG_NO_DOMAIN && number >= numbers)
                numbers = (size_t)number + 1;
            if (gang_reserve(g, &level->domains, &level->domains_capacity, numbers,
                             sizeof *level->domains) < 0)
                return -ENOMEM;
            bound = bound + numbers < nodes ? bound + numbers : nodes;
            total += bound;
        }
        counts = numbers > counts ? numbers : counts;
        if (gang_reserve(g, &level->cells, &level->capacity, bound + 1, sizeof *level->cells) < 0)
            return -ENOMEM;
    }
    if (gang_reserve(g, &t->counts, &t->counts_capacity, counts + 2, sizeof *t->counts) < 0)
        return -ENOMEM;
    if (total > t->cells_bound)
        t->cells_bound = (uint32_t)total;
    return 0;
}

int gang_topology_reserve(struct gang *g, size_t nodes, const uint32_t *domains)
{
    struct gang_topology *t = &g->fits_topology;
    if (nodes < g->nodes)
        nodes = g->nodes;
    if ((t->levels && gang_reserve(g, &t->domains, &t->domains_capacity, nodes,
                                   t->levels * sizeof *t->domains) < 0) ||
        gang_reserve(g, &t->slot_of, &t->slot_of_capacity, nodes, sizeof *t->slot_of) < 0 ||
        gang_reserve(g, &t->node_of, &t->node_of_capacity, nodes, sizeof *t->node_of) < 0 ||
        gang_reserve(g, &t->cell_of, &t->cell_of_capacity, nodes, sizeof *t->cell_of) < 0 ||
        gang_reserve(g, &t->sorting, &t->sorting_capacity, nodes, sizeof *t->sorting) < 0)
        return -ENOMEM;
    return reserve_cells(g, nodes, domains);
}

void gang_topology_add(struct gang *g, uint32_t node)
{
    struct gang_topology *t = &g->fits_topology;
    for (uint32_t l = 0; l < t->levels; l++)
        t->domains[(size_t)node * t->levels + l] = GANG_NO_DOMAIN;
    t->stale = true;
}

static void count_node(struct gang_topology *t, uint32_t *domains, uint32_t step)
{
    for (uint32_t l = 1; l <= t->levels; l++)
        if (domains[l - 1] != GANG_NO_DOMAIN)
            t->level[l].domains[domains[l - 1]].nodes += step;
}

void gang_topology_set(struct gang *g, uint32_t node, const uint32_t *domains)
{
    struct gang_topology *t = &g->fits_topology;
    uint32_t *own = t->domains + (size_t)node * t->levels;
    bool known = is_known(g, node);
    if (known)
        count_node(t, own, (uint32_t)-1);
    for (uint32_t l = 1; l <= t->levels; l++) {
        uint32_t number = domains ? domains[l - 1] : GANG_NO_DOMAIN;
        t->stale = t->stale || own[l - 1] != number || (!known && number == GANG_NO_DOMAIN);
        own[l - 1] = number;
        if (number == GANG_NO_DOMAIN)
            continue;
        struct gang_level *level = &t->level[l];
        for (; level->domains_count <= number; level->domains_count++)
            level->domains[level->domains_count] = (struct gang_domain){.cell = GANG_NO_CELL};
        for (uint32_t wide = 1; wide < l; wide++)
            level->domains[number].wider[wide - 1] = own[wide - 1];
    }
    count_node(t, own, 1);
}

void gang_topology_remove(struct gang *g, uint32_t node)
{
    struct gang_topology *t = &g->fits_topology;
    count_node(t, t->domains + (size_t)node * t->levels, (uint32_t)-1);
}

/* ---- slots and cells ---- */

/* A node that is not known may remember domains that lie elsewhere by now. */
static void forget_contradictions(struct gang *g)
{
    struct gang_topology *t = &g->fits_topology;
    for (uint32_t n = 0; t->levels && n < g->nodes; n++) {
        uint32_t *own = t->domains + (size_t)n * t->levels;
        bool wrong = false;
        for (uint32_t l = 2; !is_known(g, n) && l <= t->levels; l++)
            for (uint32_t wide = 1; own[l - 1] != GANG_NO_DOMAIN && wide < l; wide++)
                wrong = wrong || t->level[l].domains[own[l - 1]].wider[wide - 1] != own[wide - 1];
        for (uint32_t l = 1; wrong && l <= t->levels; l++)
            own[l - 1] = GANG_NO_DOMAIN;
    }
}

/* A stable counting sort by the domain of one level; those in none come last. */
static void sort_by_level(struct gang *g, uint32_t l, const uint32_t *from, uint32_t *to)
{
    struct gang_topology *t = &g->fits_topology;
    uint32_t none = t->level[l].domains_count;
    memset(t->counts, 0, ((size_t)none + 2) * sizeof *t->counts);
    for (uint32_t n = 0; n < g->nodes; n++) {
        uint32_t number = gang_topology_domain(g, n, l);
        t->counts[(number == GANG_NO_DOMAIN ? none : number) + 1]++;
    }
    for (uint32_t d = 1; d <= none; d++)
        t->counts[d] += t->counts[d - 1];
    for (uint32_t i = 0; i < g->nodes; i++) {
        uint32_t number = gang_topology_domain(g, from[i], l);
        to[t->counts[number == GANG_NO_DOMAIN ? none : number]++] = from[i];
    }
}

static void sort_nodes(struct gang *g)
{
    struct gang_topology *t = &g->fits_topology;
    uint32_t *from = t->levels % 2 ? t->sorting : t->node_of, *to;
    for (uint32_t n = 0; n < g->nodes; n++)
        from[n] = n;
    for (uint32_t l = t->levels; l >= 1; l--, from = to) {
        to = from == t->sorting ? t->node_of : t->sorting;
        sort_by_level(g, l, from, to);
    }
    for (uint32_t s = 0; s < g->nodes; s++)
        t->slot_of[t->node_of[s]] = s;
}

static bool holds_known(const struct gang *g, const struct gang_cell *cell)
{
    for (uint32_t s = cell->begin; s < cell->end; s++)
        if (is_known(g, g->fits_topology.node_of[s]))
            return true;
    return false;
}

static void cut_cell(struct gang *g, uint32_t l, uint32_t parent)
{
    struct gang_topology *t = &g->fits_topology;
    struct gang_level *level = &t->level[l];
    struct gang_cell *wide = &t->level[l - 1].cells[parent];
    wide->child = level->count;
    for (uint32_t s = wide->begin; s < wide->end;) {
        struct gang_cell *cell = &level->cells[level->count];
        *cell = (struct gang_cell){.begin = s, .parent = parent};
        cell->number = gang_topology_domain(g, t->node_of[s], l);
        while (s < wide->end && gang_topology_domain(g, t->node_of[s], l) == cell->number)
            s++;
        cell->end = s;
        if (cell->number != GANG_NO_DOMAIN)
            level->domains[cell->number].cell = level->count;
        else
            level->loose = level->loose || holds_known(g, cell);
        level->count++;
    }
}

static void cut_level(struct gang *g, uint32_t l)
{
    struct gang_topology *t = &g->fits_topology;
    struct gang_level *level = &t->level[l], *wide = &t->level[l - 1];
    level->count = 0;
    level->loose = false;
    level->first = wide->first + wide->count;
    for (uint32_t d = 0; d < level->domains_count; d++)
        level->domains[d].cell = GANG_NO_CELL;
    for (uint32_t parent = 0; parent < wide->count; parent++)
        cut_cell(g, l, parent);
    wide->cells[wide->count].child = level->count;
}

void gang_topology_refresh(struct gang *g)
{
    struct gang_topology *t = &g->fits_topology;
    if (!t->stale)
        return;
    t->stale = false;
    t->version++;
    forget_contradictions(g);
    sort_nodes(g);
    t->level[0].count = 1;
    t->level[0].cells[0] = (struct gang_cell){.end = g->nodes, .number = GANG_NO_DOMAIN};
    for (uint32_t l = 1; l <= t->levels; l++)
        cut_level(g, l);
    const struct gang_level *last = &t->level[t->levels];
    for (uint32_t c = 0; c < last->count; c++)
        for (uint32_t s = last->cells[c].begin; s < last->cells[c].end; s++)
            t->cell_of[s] = c;
}

void gang_topology_within(const struct gang *g, uint32_t wider, uint32_t cell, uint32_t level,
                          uint32_t *ret_begin, uint32_t *ret_end)
{
    uint32_t begin = cell, end = cell + 1;
    for (uint32_t l = wider; l < level; l++) {
        begin = g->fits_topology.level[l].cells[begin].child;
        end = g->fits_topology.level[l].cells[end].child;
    }
    *ret_begin = begin;
    *ret_end = end;
}

bool gang_topology_lies_in(const struct gang *g, uint32_t level, uint32_t cell, uint32_t required)
{
    const struct gang_topology *t = &g->fits_topology;
    if (t->level[level].cells[cell].number == GANG_NO_DOMAIN)
        return false;
    for (; required && level > required; level--)
        cell = t->level[level].cells[cell].parent;
    return t->level[level].cells[cell].number != GANG_NO_DOMAIN || !required;
}
