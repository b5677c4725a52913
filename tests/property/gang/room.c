/* The oracle's own arithmetic of room: sums and exhaustive search, slow and plain. */
#include "tests/property/gang/properties.h"

#include <inttypes.h>
#include <string.h>

const struct gang_role *role_of(const struct job *job, uint32_t pod)
{
    uint32_t role = 0;
    while (pod >= job->request.roles[role].pods)
        pod -= job->request.roles[role++].pods;
    return &job->request.roles[role];
}

bool role_allows(const struct gang_role *role, const struct node *node)
{
    return node->known && (role->node_classes[0] >> node->class & 1);
}

bool job_avoids(const struct world *w, const struct job *job, uint32_t node)
{
    for (uint32_t i = 0; i < job->avoids_count; i++)
        if (job->avoids[i].node == node && job->avoids[i].until_ms > w->now_ms)
            return true;
    return false;
}

int64_t pods_that_fit(const gang_amounts there, const struct gang_role *role)
{
    int64_t count = PODS;
    for (uint32_t r = 0; r < RESOURCES; r++) {
        if (role->request[r] == 0)
            continue;
        int64_t fit = there[r] < 0 ? 0 : there[r] / role->request[r];
        count = fit < count ? fit : count;
    }
    return count;
}

void boards_of(const struct world *w, enum room_kind kind, gang_amounts *ret)
{
    for (uint32_t n = 0; n < w->nodes_count; n++)
        for (uint32_t r = 0; r < GANG_RESOURCES_MAX; r++)
            ret[n][r] = w->nodes[n].capacity[r] - (kind == ROOM_EMPTY ? 0 : w->nodes[n].others[r]) +
                        (kind == ROOM_WITHOUT_GANGS ? w->nodes[n].ending[r] : 0) -
                        (kind == ROOM_NOW ? w->nodes[n].used[r] : 0);
}

void boards_take(const struct job *job, const uint32_t *nodes, gang_amounts *boards, int sign)
{
    for (uint32_t pod = 0; pod < job->pods; pod++)
        for (uint32_t r = 0; nodes[pod] != GANG_NO_NODE && r < RESOURCES; r++)
            boards[nodes[pod]][r] -= sign * role_of(job, pod)->request[r];
}

uint64_t schedulable_mask(const struct world *w)
{
    uint64_t mask = 0;
    for (uint32_t n = 0; n < w->nodes_count; n++)
        mask |= (uint64_t)(w->nodes[n].known && w->nodes[n].schedulable) << n;
    return mask;
}

uint64_t allowed_mask(const struct world *w, const struct job *job, bool with_avoided)
{
    uint64_t mask = 0;
    for (uint32_t n = 0; n < w->nodes_count; n++)
        for (uint32_t i = 0; i < job->request.roles_count; i++)
            if (role_allows(&job->request.roles[i], &w->nodes[n]) &&
                (with_avoided || !job_avoids(w, job, n)))
                mask |= UINT64_C(1) << n;
    return mask;
}

uint64_t domain_mask(const struct world *w, uint32_t level, uint32_t domain)
{
    uint64_t mask = 0;
    for (uint32_t n = 0; n < w->nodes_count; n++)
        if (w->nodes[n].known && (level == 0 || w->nodes[n].domains[level - 1] == domain))
            mask |= UINT64_C(1) << n;
    return mask;
}

uint64_t could_use_mask(const struct world *w, const struct gang_role *roles, uint32_t count)
{
    uint64_t mask = 0;
    for (uint32_t n = 0; n < w->nodes_count; n++)
        for (uint32_t i = 0; i < count; i++)
            if (role_allows(&roles[i], &w->nodes[n]) &&
                pods_that_fit(w->nodes[n].capacity, &roles[i]) > 0)
                mask |= UINT64_C(1) << n;
    return mask;
}

/* best[a]: so many pods of the second role have room on the nodes seen so far beside `a` of the
 * first. A node takes each number of the first role in turn, and then what it can of the second. */
static void add_node(const gang_amounts board, const struct gang_role *first,
                     const struct gang_role *second, bool first_may, bool second_may, int64_t *best)
{
    int64_t next[PODS + 1];
    memcpy(next, best, sizeof next);
    gang_amounts left;
    memcpy(left, board, sizeof left);
    int64_t most = first_may ? pods_that_fit(board, first) : 0;
    for (int64_t x = 0; x <= most && x <= PODS; x++) {
        int64_t y = second && second_may ? pods_that_fit(left, second) : 0;
        for (int64_t a = 0; a <= PODS; a++) {
            int64_t to = a + x > PODS ? PODS : a + x;
            if (best[a] >= 0 && best[a] + y > next[to])
                next[to] = best[a] + y;
        }
        for (uint32_t r = 0; r < RESOURCES; r++)
            left[r] -= first->request[r];
    }
    memcpy(best, next, sizeof next);
}

static bool fits_on(const struct world *w, const struct job *job, gang_amounts *boards,
                    uint64_t mask)
{
    const struct gang_role *first = &job->request.roles[0];
    const struct gang_role *second = job->request.roles_count > 1 ? first + 1 : NULL;
    int64_t best[PODS + 1];
    for (uint32_t a = 0; a <= PODS; a++)
        best[a] = a ? -1 : 0;
    for (uint32_t n = 0; n < w->nodes_count; n++)
        if (mask >> n & 1)
            add_node(boards[n], first, second, role_allows(first, &w->nodes[n]),
                     second && role_allows(second, &w->nodes[n]), best);
    for (uint32_t a = first->pods; a <= PODS; a++)
        if (best[a] >= (second ? (int64_t)second->pods : 0))
            return true;
    return false;
}

bool gang_fits(const struct world *w, const struct job *job, gang_amounts *boards, uint64_t mask,
               uint32_t level)
{
    if (level == 0)
        return fits_on(w, job, boards, mask);
    for (uint32_t n = 0; n < w->nodes_count; n++) {
        uint32_t domain = w->nodes[n].domains[level - 1];
        if (!w->nodes[n].known || domain == GANG_NO_DOMAIN)
            continue;
        bool seen = false;
        for (uint32_t before = 0; before < n; before++)
            seen =
                seen || (w->nodes[before].known && w->nodes[before].domains[level - 1] == domain);
        if (!seen && fits_on(w, job, boards, mask & domain_mask(w, level, domain)))
            return true;
    }
    return false;
}

uint32_t level_now(const struct world *w, const struct job *job)
{
    const struct gang_job_request *q = &job->request;
    if (q->preferred_level > q->required_level && w->now_ms - q->since_ms < q->preferred_wait_ms)
        return q->preferred_level;
    return q->required_level;
}

bool comes_before(const struct job *a, const struct job *b)
{
    if (a->request.priority != b->request.priority)
        return a->request.priority > b->request.priority;
    if (a->request.sequence != b->request.sequence)
        return a->request.sequence < b->request.sequence;
    return a->id < b->id;
}

/* ---- where exactly: gang/README.md, Placement, for one role ---- */

/* How many pods of the first role have room on these nodes. */
static int64_t room_of(const struct world *w, const struct job *job, gang_amounts *boards,
                       uint64_t mask)
{
    const struct gang_role *role = &job->request.roles[0];
    int64_t sum = 0;
    for (uint32_t n = 0; n < w->nodes_count; n++) {
        if (!(mask >> n & 1) || !role_allows(role, &w->nodes[n]))
            continue;
        int64_t count = INT32_MAX;
        for (uint32_t r = 0; r < RESOURCES; r++)
            if (role->request[r] > 0) {
                int64_t fit = boards[n][r] < 0 ? 0 : boards[n][r] / role->request[r];
                count = fit < count ? fit : count;
            }
        sum += count;
    }
    return sum;
}

static uint32_t narrowest(const struct world *w)
{
    return (uint32_t)w->config.f[C_LEVELS] + 1; /* a node */
}

static uint32_t domain_of(const struct world *w, uint32_t level, uint32_t n)
{
    return level == 0 ? 0 : level == narrowest(w) ? n : w->nodes[n].domains[level - 1];
}

/* The nodes that are in the same domain as node n, or in none as it is. */
static uint64_t part_of(const struct world *w, uint32_t level, uint32_t n)
{
    if (level == narrowest(w))
        return UINT64_C(1) << n;
    return domain_mask(w, level, domain_of(w, level, n));
}

/* Nodes by the number of their domain of the widest level, then of the next, then their own; who is
 * in none comes last. */
static bool before_in_domain_order(const struct world *w, uint32_t a, uint32_t b)
{
    for (uint32_t level = 1; level <= narrowest(w); level++)
        if (domain_of(w, level, a) != domain_of(w, level, b))
            return domain_of(w, level, a) < domain_of(w, level, b);
    return false;
}

static void in_domain_order(const struct world *w, uint32_t *order)
{
    for (uint32_t n = 0; n < w->nodes_count; n++) {
        uint32_t at = n;
        for (; at > 0 && before_in_domain_order(w, n, order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = n;
    }
}

struct placing {
    const struct world *w;
    const struct job *job;
    gang_amounts *boards;
    uint64_t mask;
    uint32_t order[NODES];
    int64_t counts[NODES];
};

/* Fills `pods` into a part of a level, whose nodes have room for them. */
static void fill(struct placing *p, uint64_t part, uint32_t level, int64_t pods)
{
    uint64_t done = 0;
    if (level == narrowest(p->w)) {
        for (uint32_t n = 0; n < p->w->nodes_count; n++)
            if (part >> n & 1)
                p->counts[n] += pods;
        return;
    }
    while (pods > 0) {
        uint64_t most = 0, tight = 0;
        int64_t most_room = 0, tight_room = INT64_MAX;
        for (uint32_t i = 0; i < p->w->nodes_count; i++) {
            uint32_t n = p->order[i];
            if (!(part >> n & 1) || done >> n & 1)
                continue;
            uint64_t child = part_of(p->w, level + 1, n) & part;
            int64_t room = room_of(p->w, p->job, p->boards, child & p->mask);
            if (room > most_room) {
                most = child;
                most_room = room;
            }
            if (room >= pods && room < tight_room) {
                tight = child;
                tight_room = room;
            }
        }
        uint64_t child = tight ? tight : most;
        int64_t share = tight ? pods : most_room;
        if (!child)
            return;
        fill(p, child, level + 1, share);
        done |= child;
        pods -= share;
    }
}

/* The best domain of a level, or of no level, that has room for all; 0 for none. */
static uint64_t best_part(const struct placing *p, uint32_t level)
{
    uint64_t best = 0;
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < p->w->nodes_count; i++) {
        uint32_t n = p->order[i];
        if (!p->w->nodes[n].known || domain_of(p->w, level, n) == GANG_NO_DOMAIN)
            continue;
        uint64_t part = part_of(p->w, level, n);
        int64_t room = room_of(p->w, p->job, p->boards, part & p->mask);
        if (room >= (int64_t)p->job->pods && room < least) {
            least = room;
            best = part;
        }
    }
    return best;
}

void check_best_fit(struct world *w, const struct job *job, const uint32_t *nodes,
                    gang_amounts *boards, uint64_t mask)
{
    struct placing p = {.w = w, .job = job, .boards = boards, .mask = mask};
    uint32_t lowest = level_now(w, job), pod = 0;
    in_domain_order(w, p.order);
    for (uint32_t n = 0; n < w->nodes_count; n++)
        if (!w->nodes[n].known || domain_of(w, lowest, n) == GANG_NO_DOMAIN)
            p.mask &= ~(UINT64_C(1) << n);
    uint32_t level = narrowest(w);
    uint64_t part = 0;
    for (; !(part = best_part(&p, level)) && level > lowest; level--)
        ;
    fill(&p, part, level, job->pods);
    w->result.best_fits++;
    for (uint32_t i = 0; i < w->nodes_count; i++)
        for (int64_t k = 0; k < p.counts[p.order[i]]; k++, pod++)
            if (pod < job->pods && nodes[pod] != p.order[i])
                return fail(w,
                            "job %" PRIu64 " pod %u is on node %u; by the rules of placement it "
                            "belongs on node %u (in one domain of level %u)",
                            job->id, pod, nodes[pod], p.order[i], level);
}

/* Neighbours in rank are neighbours in the network: the pods of a role on one node, and in one
 * domain of each level, follow each other. */
void check_ranks(struct world *w, const struct job *job, const uint32_t *nodes)
{
    uint32_t first = 0;
    for (uint32_t role = 0; role < job->request.roles_count; role++) {
        uint32_t end = first + job->request.roles[role].pods;
        for (uint32_t level = 1; level <= (uint32_t)w->config.f[C_LEVELS] + 1; level++)
            for (uint32_t pod = first + 1; pod < end; pod++) {
                uint64_t part = part_of(w, level, nodes[pod]);
                if (domain_of(w, level, nodes[pod]) == GANG_NO_DOMAIN || part >> nodes[pod - 1] & 1)
                    continue;
                for (uint32_t before = first; before + 1 < pod && !failed(w); before++)
                    if (part >> nodes[before] & 1)
                        fail(w,
                             "job %" PRIu64 ": pods %u and %u are in one domain of level %u, but "
                             "not those between",
                             job->id, before, pod, level);
            }
        first = end;
    }
}

/* ---- a lost member ---- */

/* The member nearest in rank that stands on a known node: such a node, and whether there is another
 * one as near (then it may be either). */
uint32_t anchor_of(const struct world *w, const struct job *job, uint32_t pod, uint32_t *ret_other)
{
    *ret_other = GANG_NO_NODE;
    for (uint32_t far = 1; far < job->pods; far++) {
        uint32_t below = pod >= far ? job->nodes[pod - far] : GANG_NO_NODE;
        uint32_t above = pod + far < job->pods ? job->nodes[pod + far] : GANG_NO_NODE;
        bool has_below = below != GANG_NO_NODE && w->nodes[below].known;
        bool has_above = above != GANG_NO_NODE && w->nodes[above].known;
        if (has_below && has_above)
            *ret_other = above;
        if (has_below || has_above)
            return has_below ? below : above;
    }
    return GANG_NO_NODE;
}

/* Where a member may stand whose gang must share a domain; all nodes when it need not, or when its
 * neighbour stands in none (as the host may have found it). */
uint64_t member_mask(const struct world *w, const struct job *job, uint32_t anchor)
{
    uint32_t level = job->request.required_level;
    return level && anchor != GANG_NO_NODE && domain_of(w, level, anchor) != GANG_NO_DOMAIN
               ? part_of(w, level, anchor)
               : UINT64_MAX;
}

/* In the narrowest domain around the anchor that has room. */
void check_near(struct world *w, const struct job *job, uint32_t pod, uint32_t node,
                gang_amounts *boards, uint32_t anchor)
{
    const struct gang_role *role = role_of(job, pod);
    for (uint32_t level = narrowest(w); level > 0; level--) {
        if (domain_of(w, level, anchor) == GANG_NO_DOMAIN)
            continue;
        uint64_t part = part_of(w, level, anchor);
        bool has_room = false;
        for (uint32_t n = 0; n < w->nodes_count; n++)
            has_room = has_room || (part >> n & 1 && w->nodes[n].schedulable &&
                                    role_allows(role, &w->nodes[n]) && !job_avoids(w, job, n) &&
                                    pods_that_fit(boards[n], role) > 0);
        if (!has_room)
            continue;
        if (!(part >> node & 1))
            fail(w,
                 "job %" PRIu64 " pod %u is put on node %u, though there is room in the domain of "
                 "level %u of its neighbour on node %u",
                 job->id, pod, node, level, anchor);
        return;
    }
}
