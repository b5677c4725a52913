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
            ret[n][r] = w->nodes[n].capacity[r] - (kind == ROOM_EMPTY ? 0 : w->nodes[n].others[r]) -
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

/* ---- best fit ---- */

/* All domains of a level, and nodes as a level below the last: the pods that each has room for. */
static int64_t room_of(const struct world *w, const struct job *job, gang_amounts *boards,
                       uint64_t mask)
{
    int64_t sum = 0;
    for (uint32_t n = 0; n < w->nodes_count; n++)
        if (mask >> n & 1 && role_allows(&job->request.roles[0], &w->nodes[n])) {
            int64_t count = INT32_MAX;
            for (uint32_t r = 0; r < RESOURCES; r++)
                if (job->request.roles[0].request[r] > 0) {
                    int64_t there = boards[n][r];
                    int64_t fit = there < 0 ? 0 : there / job->request.roles[0].request[r];
                    count = fit < count ? fit : count;
                }
            sum += count;
        }
    return sum;
}

/* The nodes of the domain of a level that node n lies in; level levels + 1 is the node itself, and
 * 0 all nodes. Nothing when it lies in none. */
static uint64_t part_of(const struct world *w, uint32_t level, uint32_t n)
{
    if (level == (uint32_t)w->config.f[C_LEVELS] + 1)
        return UINT64_C(1) << n;
    if (level && w->nodes[n].domains[level - 1] == GANG_NO_DOMAIN)
        return 0;
    return domain_mask(w, level, level ? w->nodes[n].domains[level - 1] : 0);
}

/* Of the parts of the next level in `part` (whose nodes all lie in one) no more are used than the
 * largest ones that together have room. */
static void check_fewest(struct world *w, const struct job *job, gang_amounts *boards,
                         uint64_t mask, uint64_t taken, uint64_t part, uint32_t level)
{
    int64_t rooms[NODES] = {0}, sum = 0;
    uint32_t count = 0, used = 0, least = 0;
    uint64_t seen = 0;
    for (uint32_t n = 0; n < w->nodes_count; n++) {
        if (!(part >> n & 1) || seen >> n & 1)
            continue;
        uint64_t child = part_of(w, level + 1, n) & part;
        if (!child)
            return;
        seen |= child;
        used += (taken & child) != 0;
        int64_t room = room_of(w, job, boards, child & mask);
        uint32_t at = count++;
        for (; at > 0 && rooms[at - 1] < room; at--)
            rooms[at] = rooms[at - 1];
        rooms[at] = room;
    }
    while (least < count && sum < (int64_t)job->pods)
        sum += rooms[least++];
    if (used > least)
        fail(w, "job %" PRIu64 ": is spread over %u parts of level %u, where %u would do", job->id,
             used, level + 1, least);
}

/* The job of one role is in the narrowest domain that could hold it, and in the one of these with
 * the least left over. */
void check_best_fit(struct world *w, const struct job *job, const uint32_t *nodes,
                    gang_amounts *boards, uint64_t mask)
{
    uint32_t narrowest = (uint32_t)w->config.f[C_LEVELS] + 1;
    uint64_t taken = 0;
    for (uint32_t pod = 0; pod < job->pods; pod++)
        taken |= UINT64_C(1) << nodes[pod];
    for (uint32_t level = narrowest;; level--) {
        int64_t least = INT64_MAX, its = -1;
        uint64_t its_part = 0;
        for (uint32_t n = 0; n < w->nodes_count; n++) {
            uint64_t part = w->nodes[n].known ? part_of(w, level, n) : 0;
            int64_t room = room_of(w, job, boards, part & mask);
            if (room < (int64_t)job->pods)
                continue;
            least = room < least ? room : least;
            if ((taken & ~part) == 0) {
                its = room;
                its_part = part;
            }
        }
        if (least == INT64_MAX && level > 0)
            continue;
        w->result.best_fits++;
        if (its < 0 && least < INT64_MAX)
            fail(w, "job %" PRIu64 ": there is room in one domain of level %u, but it is spread",
                 job->id, level);
        else if (its > least)
            fail(w,
                 "job %" PRIu64 ": in its domain of level %u %" PRId64
                 " of its pods have room, in another one only %" PRId64,
                 job->id, level, its, least);
        else if (its_part && level < narrowest)
            check_fewest(w, job, boards, mask, taken, its_part, level);
        return;
    }
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
                if (!part || part >> nodes[pod - 1] & 1)
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
