/* The plan: members to replace, then waiting jobs, in order, a bucket of equal ones at a time. Each
 * placement is taken from the `free` board at once and given back when the plan is complete, so
 * that a plan never oversubscribes and never changes the state. Who waits and why is worked out
 * later, by wait.c, when the host asks.
 *
 * A job that waits for other gangs marks every node that it could use: nobody behind it in order is
 * put there. So a blocked job is never delayed by one that came later, and what it cannot use is
 * not idle. */
#include "gang/internal.h"

#include <errno.h>
#include <string.h>

/* The numbers of plans, and of gains, begin again, once in 2^31: nobody remembers an old one. */
static void forget_numbers(struct gang *g)
{
    struct gang_bucket_walk walk = {0};
    for (struct gang_bucket *b; (b = gang_bucket_walk_next(g, &walk)) != NULL;)
        b->plan = b->refused = b->preempt_refused = b->least_refused = 0;
    for (uint32_t i = 0; i < g->queues_count; i++)
        g->queues[i].plan = g->queues[i].best_known = 0;
    for (uint32_t i = 0; i < g->fits.kinds_size; i++)
        if (g->fits.kinds[i])
            g->fits.kinds[i]->refusals_plan = g->fits.kinds[i]->nobody_plan = 0;
    g->askable_plan = 0;
    g->plan.number = g->gains = 1;
}

void gang_plan_forget(struct gang *g)
{
    struct gang_plan *p = &g->plan;
    p->count = p->next = 0;
    p->nodes_count = 0;
    p->blockers_count = p->to_mark = p->holds_count = p->leavers_count = 0;
    p->waits_begun = false;
    p->made = false;
    p->number++;
    if ((p->number | g->gains) >> 31)
        forget_numbers(g);
}

/* Room for one more decision with `nodes` nodes, one more that waits and one more bucket, so that
 * what follows cannot fail. */
int gang_plan_reserve(struct gang *g, uint32_t nodes)
{
    struct gang_plan *p = &g->plan;
    uint32_t nodes_capacity = (uint32_t)p->nodes_capacity;
    if (p->nodes_count + nodes >= UINT32_MAX ||
        gang_reserve(g, &p->entries, &p->capacity, (size_t)p->count + 1, sizeof *p->entries) < 0 ||
        gang_reserve(g, &p->blockers, &p->blockers_capacity, (size_t)p->blockers_count + 1,
                     sizeof *p->blockers) < 0 ||
        gang_reserve(g, &p->touched, &p->touched_capacity, (size_t)p->touched_count + 1,
                     sizeof(struct gang_bucket *)) < 0 ||
        gang_reserve(g, &p->holds, &p->holds_capacity, (size_t)p->holds_count + 1,
                     sizeof *p->holds) < 0 ||
        gang_reserve(g, &p->nodes, &nodes_capacity, p->nodes_count + nodes, sizeof *p->nodes) < 0)
        return -ENOMEM;
    p->nodes_capacity = nodes_capacity;
    return 0;
}

static struct gang_entry *plan_add(struct gang *g, enum gang_decision_kind kind,
                                   struct gang_job *job, uint32_t pod)
{
    struct gang_entry *e = &g->plan.entries[g->plan.count++];
    *e = (struct gang_entry){.kind = kind, .job = job, .pod = pod};
    e->first_node = (uint32_t)g->plan.nodes_count;
    return e;
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

/* Keeps for the blocker with this number every node that could hold one of its pods were it empty:
 * in the one domain where a member must stay, if `where` names one. */
static void mark_nodes(struct gang *g, uint32_t index, const struct gang_role *roles,
                       uint32_t roles_count, const struct gang_where *where)
{
    uint32_t open = 0;
    for (uint32_t n = 0; n < g->nodes; n++) {
        bool within = !where || where->within_level == GANG_NO_LEVEL ||
                      gang_topology_domain(g, n, where->within_level) == where->within_domain;
        if (!g->marks[n] && within && could_use(g, roles, roles_count, n)) {
            g->marks[n] = index + 1;
            gang_room_hide(g, n);
        }
        open += !g->marks[n] && g->open[n] != GANG_CLASS_NONE;
    }
    g->plan.marked = true;
    g->plan.open_nodes = open;
}

void gang_plan_mark(struct gang *g, const struct gang_blocker *blocker,
                    const struct gang_role *roles, uint32_t roles_count,
                    const struct gang_where *where)
{
    g->plan.blockers[g->plan.blockers_count++] = *blocker;
    mark_nodes(g, g->plan.blockers_count - 1, roles, roles_count, where);
}

/* The nodes are marked when somebody comes who could take them, or asks who waits for them: nobody
 * may come. */
static void mark_later(struct gang *g, const struct gang_blocker *blocker)
{
    g->plan.blockers[g->plan.blockers_count++] = *blocker;
    g->plan.to_mark = g->plan.blockers_count;
}

void gang_plan_mark_now(struct gang *g)
{
    if (!g->plan.to_mark)
        return;
    const struct gang_shape *shape = g->plan.blockers[g->plan.to_mark - 1].job->shape;
    mark_nodes(g, g->plan.to_mark - 1, shape->roles, shape->roles_count, NULL);
    g->plan.to_mark = 0;
}

/* It could use every node that there is: then none is left for anybody behind it, and there is no
 * need to mark them all. */
static bool keeps_every_node(struct gang *g, const struct gang_blocker *blocker)
{
    const struct gang_shape *shape = blocker->job->shape;
    for (uint32_t i = 0; i < shape->roles_count; i++)
        if (gang_column_get(g, shape->kinds[i], GANG_VIEW_EMPTY)->holding == g->known_nodes)
            return true;
    return false;
}

static bool anything_open(const struct gang *g)
{
    return !g->plan.marked || g->plan.open_nodes > 0;
}

uint32_t gang_plan_blocker(const struct gang *g, const struct gang_shape *shape, uint32_t before)
{
    for (uint32_t n = 0; g->plan.marked && n < g->nodes; n++)
        if (g->marks[n] && g->marks[n] - 1 < before && g->open[n] != GANG_CLASS_NONE &&
            could_use(g, shape->roles, shape->roles_count, n))
            return g->marks[n] - 1;
    return GANG_NO_BLOCKER;
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
static void keep_for_member(struct gang *g, struct gang_job *job, uint32_t pod, uint32_t role,
                            struct gang_where where)
{
    const struct gang_blocker blocker = {.job = job, .pod = pod, .role = role};
    where.board = GANG_OWN;
    where.avoiding = NULL;
    own_pods(g, job, gang_board_take);
    if (gang_place_pod(g, &where, job->shape, role) != GANG_NO_NODE)
        gang_plan_mark(g, &blocker, &job->shape->roles[role], 1, &where);
    own_pods(g, job, gang_board_give);
}

/* `also`: where another member of it will stand, or GANG_NO_NODE. */
static int decide_member(struct gang *g, struct gang_job *job, uint32_t pod, uint32_t *also,
                         int64_t now_ms)
{
    if (gang_plan_reserve(g, 1) < 0)
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
        g->reserve_verify = true; /* it may stand where somebody has a reservation */
        return 0;
    }
    plan_add(g, GANG_WAIT, job, pod)->role = role;
    keep_for_member(g, job, pod, role, where);
    return 0;
}

/* ---- waiting jobs ---- */

/* What jobs of this shape and level could hope for; kept until a node changes. In a byte: 1 + the
 * verdict, and the role that found no room. */
enum gang_verdict gang_plan_judge(struct gang *g, struct gang_bucket *b)
{
    const struct gang_job *job = gang_bucket_any(b);
    struct gang_shape *shape = job->shape;
    uint8_t *judged = &shape->judged[job->required_level];
    if (shape->judged_version != g->nodes_version)
        memset(shape->judged, 0, g->config.levels + 1);
    shape->judged_version = g->nodes_version;
    if (*judged)
        return (enum gang_verdict)(*judged % 4 - 1);
    const struct gang_where own = gang_where_ever(job, GANG_OWN),
                            empty = gang_where_ever(job, GANG_EMPTY);
    enum gang_verdict verdict = GANG_VERDICT_FITS;
    uint32_t role = 0, of_empty = 0;
    if (!gang_place(g, &own, shape, NULL, &role)) {
        bool ever = gang_place(g, &empty, shape, NULL, &of_empty);
        verdict = ever ? GANG_VERDICT_OTHERS : GANG_VERDICT_NEVER;
        role = ever ? role : of_empty;
    }
    *judged = (uint8_t)(role * 4 + verdict + 1);
    return verdict;
}

uint32_t gang_plan_judged_role(const struct gang_bucket *b)
{
    const struct gang_job *job = gang_bucket_any(b);
    return job->shape->judged[job->required_level] / 4;
}

/* Of this plan, whatever an older one knew. */
void gang_plan_touch(struct gang *g, struct gang_bucket *b)
{
    if (b->plan == g->plan.number)
        return;
    b->plan = g->plan.number;
    b->taken = 0;
    b->outcome = GANG_OUTCOME_OPEN;
    g->plan.touched[g->plan.touched_count++] = b;
}

/* No more of this bucket, which was touched, in this plan. */
void gang_plan_park(struct gang *g, struct gang_bucket *b)
{
    gang_heap_take(g, b);
}

struct gang_entry *gang_plan_take_turn(struct gang *g, struct gang_bucket *b)
{
    struct gang_job *job = gang_bucket_head(b);
    struct gang_entry *e = plan_add(g, GANG_PLACE, job, GANG_NO_POD);
    e->nodes_count = job->shape->pods;
    job->planned = g->plan.count - 1;
    job->in_plan = true;
    g->plan.nodes_count += job->shape->pods;
    gang_queue_charge(g, job->queue, job->shape, 1);
    b->taken++;
    if (b->cursor + 1 == b->count) {
        gang_plan_park(g, b); /* while it still has a head to be found by */
        b->cursor++;
    } else {
        b->cursor++;
        gang_heap_moved(g, b);
    }
    return e;
}

static int add_leaver(struct gang *g, const struct gang_job *v)
{
    struct gang_plan *p = &g->plan;
    if (gang_reserve(g, &p->leavers, &p->leavers_capacity, (size_t)p->leavers_count + 1, sizeof v) <
        0)
        return -ENOMEM;
    p->leavers[p->leavers_count++] = v;
    return 0;
}

/* Those that make way for this job, or are asked to by this plan. */
static int collect_leavers(struct gang *g, const struct gang_job *job)
{
    for (uint32_t i = 0; g->odd_jobs && i < g->unsteady.count; i++) {
        const struct gang_job *v = g->unsteady.jobs[i];
        if (v->stopping && gang_stay(v)->for_job == job->id && add_leaver(g, v) < 0)
            return -ENOMEM;
    }
    for (uint32_t i = 0; i < g->plan.count; i++)
        if (g->plan.entries[i].kind == GANG_PREEMPT && g->plan.entries[i].for_job == job &&
            add_leaver(g, g->plan.entries[i].job) < 0)
            return -ENOMEM;
    return 0;
}

/* It is counted in, and those that make way for it are counted as gone (sign 1), or not. */
static void swap(struct gang *g, const struct gang_hold *hold, int sign)
{
    gang_queue_hold(g, hold->job->queue, hold->job->shape, sign, true);
    for (uint32_t i = 0; i < hold->leavers; i++) {
        const struct gang_job *v = g->plan.leavers[hold->first_leaver + i];
        gang_queue_hold(g, v->queue, v->shape, -sign, false);
    }
}

static const struct gang_hold *hold_of(const struct gang *g, const struct gang_bucket *b)
{
    for (uint32_t i = 0; i < g->plan.holds_count; i++)
        if (g->plan.holds[i].bucket == b)
            return &g->plan.holds[i];
    return NULL;
}

int gang_plan_hold(struct gang *g, struct gang_bucket *b, bool stopping)
{
    struct gang_plan *p = &g->plan;
    const struct gang_job *job = gang_bucket_head(b);
    bool wants = stopping || (b->outcome == GANG_OUTCOME_QUOTA && !b->behind &&
                              gang_plan_judge(g, b) == GANG_VERDICT_FITS &&
                              gang_borrow_wants_own(g, job->queue, job->shape));
    if (!wants || !g->quotas || hold_of(g, b))
        return 0;
    struct gang_hold hold = {.bucket = b, .job = job, .first_leaver = p->leavers_count};
    if (stopping && collect_leavers(g, job) < 0)
        return -ENOMEM;
    hold.leavers = p->leavers_count - hold.first_leaver;
    p->holds[p->holds_count++] = hold;
    p->held = true;
    swap(g, &hold, 1);
    return 0;
}

void gang_plan_without_holds(struct gang *g, bool without)
{
    for (uint32_t i = 0; i < g->plan.holds_count; i++)
        swap(g, &g->plan.holds[i], without ? -1 : 1);
}

void gang_plan_own_hold(struct gang *g, struct gang_bucket *b, int sign)
{
    const struct gang_hold *own = hold_of(g, b);
    if (own)
        swap(g, own, sign);
}

/* It may not start now, wherever there is room. Who needs a resource that a job before it in a FIFO
 * queue may use no more of, waits behind that one. */
bool gang_plan_held_by_quota(struct gang *g, struct gang_bucket *b, struct gang_job *job)
{
    struct gang_queue *q = gang_queue_of(g, job->queue);
    if (q->plan != g->plan.number)
        q->blocked_resources = 0;
    q->plan = g->plan.number;
    b->outcome = gang_queue_gate(g, b);
    b->until_left = b->outcome == GANG_OUTCOME_OPEN && g->plan.leavers_count;
    if (b->until_left) {
        gang_plan_without_holds(g, true); /* those that make way use their quota still */
        b->outcome = (uint8_t)gang_queue_gate(g, b);
        gang_plan_without_holds(g, false);
        b->until_left = b->outcome != GANG_OUTCOME_OPEN;
    }
    b->behind = (q->blocked_resources & gang_shape_asks(g, job->shape)) != 0;
    if (b->outcome != GANG_OUTCOME_OPEN && gang_plan_judge(g, b) == GANG_VERDICT_NEVER) {
        b->outcome = GANG_OUTCOME_IDLE;
        return true;
    }
    if (b->outcome == GANG_OUTCOME_OPEN) {
        if (!b->behind)
            return false;
        b->outcome = GANG_OUTCOME_BEHIND;
        b->blocker = q->blocker;
        return true;
    }
    b->blocker = g->plan.blockers_count;
    g->plan.blockers[g->plan.blockers_count++] =
        (struct gang_blocker){.job = job, .bucket = b, .pod = GANG_NO_POD};
    if (b->outcome == GANG_OUTCOME_QUOTA && q->config.order == GANG_ORDER_FIFO) {
        if (!q->blocked_resources)
            q->blocker = b->blocker;
        q->blocked_resources |= UINT32_C(1) << b->blocked_resource;
    }
    return true;
}

/* Those that make way for it are asked for quota; what room it needs is kept, too: where it would
 * stand now, or else all that it could use. */
static int keep_room(struct gang *g, struct gang_bucket *b, struct gang_job *job, int64_t now_ms)
{
    const struct gang_where where = gang_where_now(job, now_ms);
    uint32_t role = b->role;
    if (gang_plan_reserve(g, job->shape->pods) < 0)
        return -ENOMEM;
    b->blocker = g->plan.blockers_count;
    bool fits = gang_place(g, &where, job->shape, g->plan.nodes + g->plan.nodes_count, &role);
    b->role = (uint8_t)role;
    const struct gang_blocker blocker = {
        .job = job, .bucket = b, .role = b->role, .pod = GANG_NO_POD};
    if (!fits) {
        mark_later(g, &blocker);
        return 0;
    }
    g->plan.blockers[g->plan.blockers_count++] = blocker;
    struct gang_hold *hold = &g->plan.holds[g->plan.holds_count - 1]; /* its own */
    hold->first_node = (uint32_t)g->plan.nodes_count;
    hold->has_nodes = true;
    g->plan.nodes_count += job->shape->pods;
    return 0;
}

static int decide_bucket(struct gang *g, struct gang_bucket *b, int64_t now_ms)
{
    struct gang_job *job = gang_bucket_head(b);
    if (gang_plan_reserve(g, job->shape->pods) < 0)
        return -ENOMEM;
    gang_plan_touch(g, b);
    if (gang_plan_held_by_quota(g, b, job)) {
        bool stopping = false;
        gang_plan_park(g, b);
        if (b->outcome == GANG_OUTCOME_QUOTA && !b->behind && !b->until_left &&
            gang_preempt(g, b, job, now_ms, &stopping) < 0)
            return -ENOMEM;
        if (gang_plan_hold(g, b, stopping) < 0)
            return -ENOMEM;
        if (!stopping)
            return 0;
        b->outcome = GANG_OUTCOME_STOPPING;
        return keep_room(g, b, job, now_ms);
    }
    const struct gang_where where = gang_where_now(job, now_ms);
    uint32_t role = b->role;
    bool placed = anything_open(g) &&
                  gang_place(g, &where, job->shape, g->plan.nodes + g->plan.nodes_count, &role);
    b->role = (uint8_t)role;
    if (placed) {
        (void)gang_plan_take_turn(g, b);
        return 0;
    }
    gang_plan_park(g, b);
    b->outcome = GANG_OUTCOME_IDLE;
    if (gang_plan_judge(g, b) != GANG_VERDICT_FITS)
        return 0;
    bool stopping;
    if (gang_preempt(g, b, job, now_ms, &stopping) < 0 || gang_plan_reserve(g, 0) < 0)
        return -ENOMEM;
    b->outcome = stopping ? GANG_OUTCOME_STOPPING : GANG_OUTCOME_ROOM;
    if (gang_plan_hold(g, b, stopping) < 0)
        return -ENOMEM;
    b->blocker = g->plan.blockers_count;
    const struct gang_blocker blocker = {
        .job = job, .bucket = b, .role = b->role, .pod = GANG_NO_POD};
    mark_later(g, &blocker);
    return 0;
}

/* ---- the whole ---- */

static void plan_begin(struct gang *g, int64_t now_ms)
{
    struct gang_plan *p = &g->plan;
    gang_plan_forget(g);
    g->gains += p->marked; /* what was kept may not be kept any more */
    g->gains += p->held;
    p->held = false;
    g->gains += p->promises > 0; /* what it had taken is free still */
    p->promises = 0;
    for (uint32_t n = 0; p->marked && n < g->nodes; n++)
        if (g->marks[n]) {
            g->marks[n] = 0;
            gang_room_show(g, n);
        }
    p->marked = false;
    p->now_ms = now_ms;
    if (g->slice_wake_ms <= now_ms)
        g->slice_wake_ms = INT64_MAX; /* whoever still minds says so again */
    p->touched_count = 0;
}

/* Room that is kept on definite nodes. */
static void held_room(struct gang *g, bool take)
{
    for (uint32_t i = 0; i < g->plan.holds_count; i++) {
        const struct gang_hold *h = &g->plan.holds[i];
        const uint32_t *nodes = g->plan.nodes + h->first_node;
        if (h->has_nodes && take)
            gang_room_take_gang(g, h->job->shape, nodes);
        else if (h->has_nodes)
            gang_place_undo(g, GANG_FREE, h->job->shape, nodes);
    }
}

void gang_plan_apply(struct gang *g)
{
    gang_plan_without_holds(g, false);
    held_room(g, true);
    for (uint32_t i = 0; i < g->plan.count; i++) {
        const struct gang_entry *e = &g->plan.entries[i];
        const uint32_t *nodes = g->plan.nodes + e->first_node;
        if (e->kind == GANG_PLACE) {
            gang_room_take_gang(g, e->job->shape, nodes);
            gang_queue_charge(g, e->job->queue, e->job->shape, 1);
            e->job->in_plan = true;
        } else if (e->kind == GANG_REPLACE) {
            gang_room_take(g, nodes[0],
                           e->job->shape->roles[gang_job_role(e->job, e->pod)].request);
        }
    }
}

void gang_plan_unapply(struct gang *g)
{
    gang_plan_without_holds(g, true);
    held_room(g, false);
    for (uint32_t i = 0; i < g->plan.count; i++) {
        const struct gang_entry *e = &g->plan.entries[i];
        const uint32_t *nodes = g->plan.nodes + e->first_node;
        if (e->kind == GANG_PLACE) {
            gang_place_undo(g, GANG_FREE, e->job->shape, nodes);
            gang_queue_charge(g, e->job->queue, e->job->shape, -1);
        } else if (e->kind == GANG_REPLACE) {
            gang_room_give(g, nodes[0],
                           e->job->shape->roles[gang_job_role(e->job, e->pod)].request);
        }
        e->job->in_plan = false;
    }
}

void gang_plan_committed(struct gang *g, struct gang_job *job, const uint32_t *nodes)
{
    struct gang_plan *p = &g->plan;
    if (!p->promises || job->planned >= p->promises_count)
        return;
    const struct gang_entry *e = &p->entries[job->planned];
    if (e->kind == GANG_PLACE && e->job == job && e->nodes_count == job->shape->pods &&
        memcmp(p->nodes + e->first_node, nodes, e->nodes_count * sizeof *nodes) == 0)
        p->promises--;
}

const uint32_t *gang_plan_nodes(const struct gang *g, const struct gang_job *job)
{
    return g->plan.nodes + g->plan.entries[job->planned].first_node;
}

/* Everything is again as it was before the plan. */
static void plan_end(struct gang *g)
{
    struct gang_plan *p = &g->plan;
    gang_timed_end(g);
    p->promises_count = p->count;
    for (uint32_t i = 0; i < p->count; i++)
        p->promises += p->entries[i].kind == GANG_PLACE;
    gang_plan_unapply(g);
    for (uint32_t i = 0; i < p->touched_count; i++) {
        struct gang_bucket *b = p->touched[i];
        bool placed = b->cursor > 0;
        b->cursor = 0;
        if (b->heap_at == UINT32_MAX)
            gang_heap_push(g, b);
        else if (placed)
            gang_heap_moved(g, b);
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
    if (g->config.reservations)
        return gang_timed_plan(g, now_ms);
    for (;;) {
        struct gang_bucket *b = gang_queue_next(g);
        if (!b)
            return 0;
        if (g->plan.to_mark && keeps_every_node(g, &g->plan.blockers[g->plan.to_mark - 1])) {
            g->plan.held = true;
            return 0;
        }
        gang_plan_mark_now(g);
        if (!anything_open(g))
            return 0;
        bool given;
        if (decide_bucket(g, gang_preempt_turn(g, b, now_ms, &given), now_ms) < 0)
            return -ENOMEM;
    }
}

int gang_plan(struct gang *g, int64_t now_ms, struct mlt_error *err)
{
    struct gang_plan *p = &g->plan;
    bool same_time = p->made && now_ms == p->now_ms;
    bool acts_on_nothing = p->made && !p->count && now_ms > p->now_ms && now_ms < p->wake_ms;
    if (same_time || acts_on_nothing) {
        p->now_ms = now_ms;
        p->next = 0;
        p->waits_begun = false;
        return 0;
    }
    if (now_ms < p->now_ms || now_ms >= p->wake_ms)
        g->gains++; /* time alone may let somebody in */
    plan_begin(g, now_ms);
    int rc = plan_all(g, now_ms);
    plan_end(g);
    if (rc < 0) {
        gang_plan_forget(g);
        return gang_no_memory(err);
    }
    g->preferred_until_ms = gang_bucket_preferred_until(g, now_ms);
    p->next_wake_ms = gang_next_wake_ms(g, now_ms);
    p->wake_ms = gang_queue_order_moves(g) ? now_ms + 1 : p->next_wake_ms;
    p->made = true;
    return 0;
}

static bool acts(const struct gang_entry *e)
{
    return e->kind == GANG_PLACE || e->kind == GANG_REPLACE || e->kind == GANG_PREEMPT;
}

bool gang_action_next(struct gang *g, struct gang_decision *ret)
{
    struct gang_plan *p = &g->plan;
    if (!p->made)
        return false;
    while (p->next < p->count && !acts(&p->entries[p->next]))
        p->next++;
    if (p->next == p->count)
        return false;
    const struct gang_entry *e = &p->entries[p->next++];
    *ret = (struct gang_decision){
        .kind = e->kind,
        .job = e->job->id,
        .pod = e->pod,
        .nodes = e->nodes_count ? p->nodes + e->first_node : NULL,
        .nodes_count = e->nodes_count,
        .for_job = e->for_job ? e->for_job->id : GANG_NO_JOB,
        .cause = e->cause,
        .revocable = e->revocable,
    };
    if (e->kind == GANG_PLACE && e->job->time_limit_ms > 0)
        ret->estimated_end_ms = p->now_ms + e->job->time_limit_ms;
    return true;
}

bool gang_decision_next(struct gang *g, struct gang_decision *ret)
{
    return gang_action_next(g, ret) || (g->plan.made && gang_wait_next(g, ret));
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
