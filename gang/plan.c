/* The plan: members to replace, then waiting jobs, in order. Each placement is taken from the
 * `free` board at once and given back when the plan is complete, so that a plan never
 * oversubscribes and never changes the state.
 *
 * A job that waits for other gangs marks every node that it could use: nobody behind it in order is
 * put there. So a blocked job is never delayed by one that came later, and what it cannot use is
 * not idle. */
#include "gang/internal.h"

#include <errno.h>
#include <string.h>

#define NO_WHY UINT32_MAX
#define NO_ENTRY UINT32_MAX

void gang_plan_forget(struct gang *g)
{
    g->plan.count = g->plan.next = 0;
    g->plan.nodes_count = 0;
    g->plan.whys_count = 0;
}

/* Room for one more decision with `nodes` nodes and one why, so that what follows cannot fail. */
static int plan_reserve(struct gang *g, uint32_t nodes)
{
    struct gang_plan *p = &g->plan;
    uint32_t nodes_capacity = (uint32_t)p->nodes_capacity;
    if (p->nodes_count + nodes >= UINT32_MAX ||
        gang_reserve(g, &p->entries, &p->capacity, (size_t)p->count + 1, sizeof *p->entries) < 0 ||
        gang_reserve(g, &p->whys, &p->whys_capacity, (size_t)p->whys_count + 1, sizeof *p->whys) <
            0 ||
        gang_reserve(g, &p->nodes, &nodes_capacity, p->nodes_count + nodes, sizeof *p->nodes) < 0)
        return -ENOMEM;
    p->nodes_capacity = nodes_capacity;
    return 0;
}

static struct gang_entry *plan_add(struct gang *g, enum gang_decision_kind kind,
                                   struct gang_job *job, uint32_t pod)
{
    struct gang_entry *e = &g->plan.entries[g->plan.count++];
    *e = (struct gang_entry){
        .kind = kind, .job = job, .pod = pod, .why = NO_WHY, .blocked_by = NO_ENTRY};
    e->first_node = (uint32_t)g->plan.nodes_count;
    if (kind == GANG_WAIT && g->plan.first_wait == NO_ENTRY)
        g->plan.first_wait = g->plan.count - 1;
    return e;
}

static void explain(struct gang *g, struct gang_entry *entry, const struct gang_question *question)
{
    entry->why = g->plan.whys_count;
    gang_why_find(g, question, &g->plan.whys[g->plan.whys_count++]);
}

/* ---- marks ---- */

static bool could_use(const struct gang *g, const struct gang_role *roles, uint32_t roles_count,
                      uint32_t n)
{
    for (uint32_t i = 0; i < roles_count; i++)
        if (gang_role_allows(&roles[i], g->classes[n]) &&
            gang_board_fits(g, gang_at(g, GANG_EMPTY, n), roles[i].request))
            return true;
    return false;
}

/* Keeps for the job of `entry` every node that could hold one of its pods were it empty. */
static void mark(struct gang *g, uint32_t entry, const struct gang_role *roles,
                 uint32_t roles_count)
{
    uint32_t open = 0;
    for (uint32_t n = 0; n < g->nodes; n++) {
        if (!g->marks[n] && could_use(g, roles, roles_count, n)) {
            g->marks[n] = entry + 1;
            gang_room_hide(g, n);
        }
        open += !g->marks[n] && g->open[n] != GANG_CLASS_NONE;
    }
    g->plan.marked = true;
    g->plan.open_nodes = open;
}

static bool anything_open(const struct gang *g)
{
    return !g->plan.marked || g->plan.open_nodes > 0;
}

/* The entry that waits for the first schedulable node that this job could use; NO_ENTRY when there
 * is none. */
static uint32_t who_blocks(const struct gang *g, const struct gang_shape *shape)
{
    for (uint32_t n = 0; g->plan.marked && n < g->nodes; n++)
        if (g->marks[n] && g->open[n] != GANG_CLASS_NONE &&
            could_use(g, shape->roles, shape->roles_count, n))
            return g->marks[n] - 1;
    return NO_ENTRY;
}

/* ---- members of running gangs ---- */

static void own_pods(struct gang *g, const struct gang_job *job,
                     void (*change)(const struct gang *, int64_t *, const int64_t *))
{
    for (uint32_t role = 0, pod = 0; role < job->shape->roles_count; role++)
        for (uint32_t end = pod + job->shape->roles[role].pods; pod < end; pod++)
            if (job->nodes[pod] != GANG_NO_NODE) {
                change(g, gang_at(g, GANG_OWN, job->nodes[pod]), job->shape->roles[role].request);
                change(g, gang_at(g, GANG_EMPTY, job->nodes[pod]), job->shape->roles[role].request);
                gang_fits_changed(g, false, job->nodes[pod]);
            }
}

/* Whether this member could stand anywhere if all other gangs were gone; if so the nodes are kept
 * for it, beside what its own gang holds. If not, there is nothing to wait for, and nobody is held
 * up. */
static void keep_for_member(struct gang *g, uint32_t entry, const struct gang_job *job,
                            uint32_t role, struct gang_where where)
{
    where.board = GANG_OWN;
    where.avoiding = NULL;
    own_pods(g, job, gang_board_take);
    if (gang_place_pod(g, &where, job->shape, role) != GANG_NO_NODE)
        mark(g, entry, &job->shape->roles[role], 1);
    own_pods(g, job, gang_board_give);
}

/* `also`: where another member of it will stand, or GANG_NO_NODE. */
static int decide_member(struct gang *g, struct gang_job *job, uint32_t pod, uint32_t *also,
                         int64_t now_ms)
{
    if (plan_reserve(g, 1) < 0)
        return -ENOMEM;
    uint32_t role = gang_job_role(job, pod);
    const struct gang_where where = gang_where_member(g, job, pod, *also, now_ms);
    uint32_t node = gang_place_pod(g, &where, job->shape, role);
    if (node != GANG_NO_NODE) {
        struct gang_entry *e = plan_add(g, GANG_REPLACE, job, pod);
        gang_room_take(g, node, job->shape->roles[role].request);
        g->plan.nodes[g->plan.nodes_count++] = node;
        e->nodes_count = 1;
        *also = node;
        return 0;
    }
    struct gang_entry *e = plan_add(g, GANG_WAIT, job, pod);
    const struct gang_question question = {
        .shape = job->shape,
        .job = job,
        .role = role,
        .pod = pod,
        .pods = 1,
        .kind = GANG_WHY_NO_ROOM,
        .now_ms = now_ms,
    };
    explain(g, e, &question);
    keep_for_member(g, g->plan.count - 1, job, role, where);
    return 0;
}

/* ---- waiting jobs ---- */

/* What the job could hope for; kept until a node changes. */
static enum gang_verdict judge(struct gang *g, struct gang_job *job, int64_t now_ms)
{
    if (job->verdict_version == g->nodes_version)
        return job->verdict;
    uint32_t role = 0;
    const struct gang_where own = gang_where_ever(job, GANG_OWN),
                            empty = gang_where_ever(job, GANG_EMPTY);
    if (gang_place(g, &own, job->shape, NULL, &job->verdict_role)) {
        job->verdict = GANG_VERDICT_FITS;
    } else if (gang_place(g, &empty, job->shape, NULL, &role)) {
        job->verdict = GANG_VERDICT_OTHERS;
    } else {
        job->verdict = GANG_VERDICT_NEVER;
        const struct gang_question question = {
            .shape = job->shape,
            .level = job->required_level,
            .role = role,
            .pod = GANG_NO_POD,
            .pods = job->shape->roles[role].pods,
            .kind = GANG_WHY_TOO_LARGE,
            .now_ms = now_ms,
        };
        gang_why_find(g, &question, &job->verdict_why);
    }
    job->verdict_version = g->nodes_version;
    return job->verdict;
}

static void explain_wait(struct gang *g, struct gang_entry *entry, uint32_t role, int64_t now_ms)
{
    const struct gang_job *job = entry->job;
    const struct gang_question question = {
        .shape = job->shape,
        .job = job,
        .level = gang_where_now(job, now_ms).level,
        .role = role,
        .pod = GANG_NO_POD,
        .pods = job->shape->roles[role].pods,
        .kind = job->verdict == GANG_VERDICT_FITS ? GANG_WHY_NO_ROOM : GANG_WHY_OTHERS,
        .now_ms = now_ms,
    };
    explain(g, entry, &question);
}

static void wait_for_turn(struct gang *g, struct gang_job *job, uint32_t role, int64_t now_ms)
{
    uint32_t blocker = job->verdict == GANG_VERDICT_FITS ? who_blocks(g, job->shape) : NO_ENTRY;
    struct gang_entry *e = plan_add(g, GANG_WAIT, job, GANG_NO_POD);
    e->position = ++g->plan.positions[job->queue];
    if (blocker != NO_ENTRY)
        e->blocked_by = blocker;
    else
        explain_wait(g, e, job->verdict == GANG_VERDICT_FITS ? role : job->verdict_role, now_ms);
    if (job->verdict == GANG_VERDICT_FITS && anything_open(g))
        mark(g, g->plan.count - 1, job->shape->roles, job->shape->roles_count);
}

static int decide_job(struct gang *g, struct gang_job *job, int64_t now_ms)
{
    uint32_t pods = job->shape->pods, role = 0;
    if (plan_reserve(g, pods) < 0)
        return -ENOMEM;
    const struct gang_where where = gang_where_now(job, now_ms);
    if (anything_open(g) &&
        gang_place(g, &where, job->shape, g->plan.nodes + g->plan.nodes_count, &role)) {
        struct gang_entry *e = plan_add(g, GANG_PLACE, job, GANG_NO_POD);
        job->planned = e->first_node;
        e->nodes_count = pods;
        g->plan.nodes_count += pods;
        return 0;
    }
    if (judge(g, job, now_ms) == GANG_VERDICT_NEVER) {
        struct gang_entry *e = plan_add(g, GANG_NEVER, job, GANG_NO_POD);
        e->why = g->plan.whys_count;
        g->plan.whys[g->plan.whys_count++] = job->verdict_why;
        return 0;
    }
    wait_for_turn(g, job, role, now_ms);
    return 0;
}

/* ---- the whole ---- */

static void plan_begin(struct gang *g)
{
    gang_plan_forget(g);
    for (uint32_t n = 0; g->plan.marked && n < g->nodes; n++)
        if (g->marks[n]) {
            g->marks[n] = 0;
            gang_room_show(g, n);
        }
    g->plan.marked = false;
    g->plan.first_wait = NO_ENTRY;
    if (g->queues_capacity)
        memset(g->plan.positions, 0, g->queues_capacity * sizeof *g->plan.positions);
}

/* Gives back what the plan took from the free board. */
static void plan_undo(struct gang *g)
{
    for (uint32_t i = 0; i < g->plan.count; i++) {
        const struct gang_entry *e = &g->plan.entries[i];
        const uint32_t *nodes = g->plan.nodes + e->first_node;
        if (e->kind == GANG_PLACE)
            gang_place_undo(g, GANG_FREE, e->job->shape, nodes);
        else if (e->kind == GANG_REPLACE)
            gang_room_give(g, nodes[0],
                           e->job->shape->roles[gang_job_role(e->job, e->pod)].request);
        e->job->planned = GANG_NOT_PLANNED;
    }
}

static int plan_all(struct gang *g, int64_t now_ms)
{
    for (uint32_t i = 0; i < g->wounded.count; i++) {
        struct gang_job *job = g->wounded.jobs[i];
        uint32_t also = GANG_NO_NODE;
        for (uint32_t pod = 0; pod < job->shape->pods; pod++)
            if (job->nodes[pod] == GANG_NO_NODE && decide_member(g, job, pod, &also, now_ms) < 0)
                return -ENOMEM;
    }
    for (uint32_t i = 0; i < g->waiting.count; i++)
        if (decide_job(g, g->waiting.jobs[i], now_ms) < 0)
            return -ENOMEM;
    return 0;
}

int gang_plan(struct gang *g, int64_t now_ms, struct mlt_error *err)
{
    plan_begin(g);
    int rc = plan_all(g, now_ms);
    plan_undo(g);
    if (rc < 0) {
        gang_plan_forget(g);
        return gang_no_memory(err);
    }
    return 0;
}

static const struct gang_why *why_of(struct gang *g, const struct gang_entry *e)
{
    struct gang_plan *p = &g->plan;
    if (e->why != NO_WHY)
        return &p->whys[e->why];
    if (e->blocked_by == NO_ENTRY)
        return NULL;
    const struct gang_entry *blocker = &p->entries[e->blocked_by];
    p->behind = (struct gang_why){
        .kind = GANG_WHY_BEHIND,
        .pod = GANG_NO_POD,
        .blocked_by = blocker->job->id,
        .first_in_order = e->blocked_by == p->first_wait,
        .blocker = blocker->why != NO_WHY ? &p->whys[blocker->why] : NULL,
    };
    return &p->behind;
}

bool gang_decision_next(struct gang *g, struct gang_decision *ret)
{
    struct gang_plan *p = &g->plan;
    if (p->next >= p->count)
        return false;
    const struct gang_entry *e = &p->entries[p->next++];
    *ret = (struct gang_decision){
        .kind = e->kind,
        .job = e->job->id,
        .pod = e->pod,
        .nodes = e->nodes_count ? p->nodes + e->first_node : NULL,
        .nodes_count = e->nodes_count,
        .position = e->position,
        .why = why_of(g, e),
    };
    return true;
}

static int ask(struct gang *g, const struct gang_job_request *request,
               const struct gang_shape *shape, struct gang_why *ret_why, struct mlt_error *err)
{
    uint32_t role = 0;
    const struct gang_where empty = {.board = GANG_EMPTY, .level = request->required_level};
    if (gang_place(g, &empty, shape, NULL, &role))
        return 0;
    const struct gang_question question = {
        .shape = shape,
        .level = request->required_level,
        .role = role,
        .pod = GANG_NO_POD,
        .pods = shape->roles[role].pods,
        .kind = GANG_WHY_TOO_LARGE,
    };
    struct gang_why why;
    gang_why_find(g, &question, &why);
    char text[GANG_REASON_MAX];
    gang_why_write(g, &why, NULL, NULL, text);
    if (ret_why)
        *ret_why = why;
    return mlt_fail(err, ENOSPC, "%s", text);
}

int gang_could_fit(struct gang *g, const struct gang_job_request *request, struct gang_why *ret_why,
                   struct mlt_error *err)
{
    int rc = gang_job_request_check(g, request, err);
    if (rc < 0)
        return rc;
    struct gang_kind *kinds[GANG_ROLES_MAX];
    struct gang_shape shape = {
        .roles_count = request->roles_count, .roles = request->roles, .kinds = kinds};
    for (uint32_t i = 0; i < request->roles_count; i++)
        shape.pods += request->roles[i].pods;
    if (gang_shape_bind(g, &shape) < 0)
        return gang_no_memory(err);
    rc = ask(g, request, &shape, ret_why, err);
    gang_shape_unbind(g, &shape);
    return rc;
}
