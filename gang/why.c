/* Why a job waits, in numbers: which resource of which role is scarce, how much is free, and who
 * holds it. */
#include "gang/internal.h"

#include <string.h>

struct survey {
    int64_t free[GANG_RESOURCES_MAX], total[GANG_RESOURCES_MAX], largest[GANG_RESOURCES_MAX];
    int64_t others[GANG_RESOURCES_MAX];
    uint64_t fit[GANG_RESOURCES_MAX]; /* pods, if only this resource counted */
};

struct view {
    enum gang_board board;
    const uint32_t *classes;
};

static struct view view_of(const struct gang *g, enum gang_why_kind kind)
{
    if (kind == GANG_WHY_TOO_LARGE)
        return (struct view){.board = GANG_EMPTY, .classes = g->classes};
    return (struct view){.board = GANG_FREE, .classes = g->open};
}

static bool node_counts(const struct gang_question *q, const struct view *view, uint32_t n)
{
    return gang_role_allows(&q->shape->roles[q->role], view->classes[n]) &&
           !(q->job && gang_job_avoids(q->job, n, q->now_ms));
}

static void survey_node(const struct gang *g, const struct view *view, const int64_t *request,
                        uint32_t n, struct survey *s)
{
    const int64_t *there = gang_at(g, view->board, n), *empty = gang_at(g, GANG_EMPTY, n),
                  *own = gang_at(g, GANG_OWN, n), *ending = gang_node_ending(g, n);
    for (uint32_t r = 0; r < g->resources; r++) {
        int64_t free = there[r] > 0 ? there[r] : 0;
        s->free[r] += free;
        s->total[r] += empty[r];
        s->others[r] += empty[r] - own[r] + ending[r];
        s->largest[r] = free > s->largest[r] ? free : s->largest[r];
        s->fit[r] += request[r] > 0 ? (uint64_t)(free / request[r]) : 0;
    }
}

static void count_nodes(const struct gang *g, const struct gang_question *q, uint32_t n,
                        struct gang_why *ret)
{
    if (!gang_role_allows(&q->shape->roles[q->role], g->classes[n]))
        return;
    int64_t avoided_ms = q->job ? gang_job_avoids_ms(q->job, n, q->now_ms) : 0;
    ret->nodes_allowed++;
    if (g->open[n] == GANG_CLASS_NONE) {
        ret->nodes_unschedulable++;
    } else if (avoided_ms) {
        ret->nodes_avoided++;
        if (!ret->avoided_ms || avoided_ms < ret->avoided_ms)
            ret->avoided_ms = avoided_ms;
    }
}

/* The resource of which the fewest pods could be made; devices win ties. */
static uint32_t scarcest(const struct gang *g, const int64_t *request, const struct survey *s)
{
    uint32_t best = GANG_PODS;
    for (uint32_t r = 0; r < g->resources; r++)
        if (request[r] > 0 &&
            (s->fit[r] < s->fit[best] || (s->fit[r] == s->fit[best] && r > GANG_PODS)))
            best = r;
    return best;
}

/* ---- holders ---- */

static int64_t holds(const struct gang *g, const struct gang_question *q, const struct view *view,
                     const struct gang_job *job, uint32_t resource)
{
    const uint32_t *nodes = job->nodes;
    if (!nodes && job->in_plan)
        nodes = gang_plan_nodes(g, job);
    int64_t amount = 0;
    for (uint32_t role = 0, pod = 0; nodes && role < job->shape->roles_count; role++) {
        int64_t each = job->shape->roles[role].request[resource];
        for (uint32_t end = pod + job->shape->roles[role].pods; pod < end; pod++)
            if (each && nodes[pod] != GANG_NO_NODE && node_counts(q, view, nodes[pod]))
                amount += each;
    }
    return amount;
}

/* Keeps the largest, then the lowest id: the order of the table does not show. */
static void note_holder(struct gang_why *ret, uint64_t job, int64_t amount)
{
    ret->holders_count++;
    ret->held_by_gangs += amount;
    uint32_t at =
        ret->holders_count <= GANG_HOLDERS_MAX ? ret->holders_count - 1 : GANG_HOLDERS_MAX;
    for (; at > 0; at--) {
        bool stays = ret->holders[at - 1].amount > amount ||
                     (ret->holders[at - 1].amount == amount && ret->holders[at - 1].job < job);
        if (stays)
            break;
        if (at < GANG_HOLDERS_MAX)
            ret->holders[at] = ret->holders[at - 1];
    }
    if (at < GANG_HOLDERS_MAX) {
        ret->holders[at].job = job;
        ret->holders[at].amount = amount;
    }
}

static void find_holders(const struct gang *g, const struct gang_question *q,
                         const struct view *view, struct gang_why *ret)
{
    struct gang_ends_at at = {0};
    for (const struct gang_job *job; (job = gang_ends_next(g, &at)) != NULL;) {
        int64_t amount = holds(g, q, view, job, ret->resource);
        if (amount > 0)
            note_holder(ret, job->id, amount);
    }
    for (uint32_t i = 0; i < g->plan.count; i++) {
        const struct gang_job *job = g->plan.entries[i].job;
        bool placed = g->plan.entries[i].kind == GANG_PLACE && job->in_plan;
        int64_t amount = placed ? holds(g, q, view, job, ret->resource) : 0;
        if (amount > 0)
            note_holder(ret, job->id, amount);
    }
}

/* There is room for the role, but not in one domain: how much has the best of them? */
static void find_domain(struct gang *g, const struct gang_question *q, struct gang_why *ret)
{
    const struct gang_where where = {
        .board = q->kind == GANG_WHY_TOO_LARGE ? GANG_EMPTY : GANG_FREE,
        .hidden_too = true,
        .level = q->level,
        .avoiding = q->job,
        .now_ms = q->now_ms,
    };
    ret->level = q->level;
    ret->largest_domain_pods =
        gang_place_largest(g, &where, q->shape, q->role, &ret->largest_domain);
    if (q->kind == GANG_WHY_NO_ROOM && ret->largest_domain_pods < q->pods)
        ret->kind = GANG_WHY_TOPOLOGY;
}

void gang_why_find(struct gang *g, const struct gang_question *q, struct gang_why *ret)
{
    const struct gang_role *role = &q->shape->roles[q->role];
    const struct view view = view_of(g, q->kind);
    struct survey s = {0};
    *ret =
        (struct gang_why){.kind = q->kind, .pod = q->pod, .role = q->role, .pods_asked = q->pods};
    memcpy(ret->request, role->request, sizeof ret->request);
    for (uint32_t n = 0; n < g->nodes; n++) {
        count_nodes(g, q, n, ret);
        if (!node_counts(q, &view, n))
            continue;
        survey_node(g, &view, role->request, n, &s);
        ret->pods_fit += gang_board_count(g, gang_at(g, view.board, n), role->request);
    }
    uint32_t r = scarcest(g, role->request, &s);
    ret->resource = r;
    ret->asked = role->request[r];
    ret->free = s.free[r];
    ret->total = s.total[r];
    ret->largest = s.largest[r];
    ret->held_by_others = s.others[r];
    ret->with_other_roles = ret->pods_fit >= q->pods;
    ret->together = ret->pods_fit < q->pods && s.fit[r] >= q->pods;
    ret->nodes = g->known_nodes;
    if (q->level && ret->pods_fit >= q->pods)
        find_domain(g, q, ret);
    if (q->kind != GANG_WHY_TOO_LARGE)
        find_holders(g, q, &view, ret);
}
