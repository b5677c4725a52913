/* The rules that a plan keeps, looked at decision by decision on the oracle's own boards. */
#include "tests/property/gang/properties.h"

#include <inttypes.h>
#include <string.h>

/* What the plan has decided so far. */
struct progress {
    gang_amounts boards[NODES];                   /* free now, beside what the plan has placed */
    struct queue_sums used[QUEUES], held[QUEUES]; /* held: quota kept for jobs that wait */
    uint32_t short_of[QUEUES];    /* resources that somebody of it waits for to have quota */
    uint32_t short_first[QUEUES]; /* the one of each that is seen first */
    uint64_t kept;                /* strict order: nodes that somebody before waits for */
    bool somebody_waits;          /* a job before, for room */
    bool member_waits, members_placed;
    bool unclear;                      /* what a member keeps is not said by any rule */
    struct decision *order[DECISIONS]; /* whole jobs, in the order of the queue */
    uint32_t count;
};

/* R1: nothing is configured that lets a later one pass. */
bool strict_order(const struct world *w)
{
    return !w->config.f[C_RESERVATIONS] && !w->config.f[C_PREEMPT];
}

/* ---- each decision by itself ---- */

/* All pods of it lie in one domain of the level that it must share. */
static void check_domain(struct world *w, const struct job *job, const uint32_t *nodes,
                         uint32_t level)
{
    uint32_t domain = GANG_NO_DOMAIN;
    for (uint32_t pod = 0; level && pod < job->pods; pod++) {
        if (nodes[pod] == GANG_NO_NODE)
            continue;
        uint32_t its = w->nodes[nodes[pod]].domains[level - 1];
        if (its == GANG_NO_DOMAIN || (domain != GANG_NO_DOMAIN && its != domain))
            fail(w, "job %" PRIu64 ": pod %u is not in the one domain of level %u", job->id, pod,
                 level);
        domain = its;
    }
}

/* A pod on a node: nothing that it asks for may go below zero, counted with all before it. */
static void check_pod(struct world *w, struct progress *p, const struct job *job, uint32_t pod,
                      uint32_t n)
{
    const struct gang_role *role = role_of(job, pod);
    if (n >= w->nodes_count || !w->nodes[n].known || !w->nodes[n].schedulable ||
        !role_allows(role, &w->nodes[n]) || job_avoids(w, job, n)) {
        fail(w, "job %" PRIu64 " pod %u is put on node %u, which it may not use", job->id, pod, n);
        return;
    }
    for (uint32_t r = 0; r < RESOURCES; r++) {
        p->boards[n][r] -= role->request[r];
        if (role->request[r] > 0 && p->boards[n][r] < 0)
            fail(w,
                 "node %u is oversubscribed: resource %u has %" PRId64 ", others use %" PRId64
                 ", gangs would use %" PRId64,
                 n, r, w->nodes[n].capacity[r], w->nodes[n].others[r],
                 w->nodes[n].capacity[r] - w->nodes[n].others[r] - p->boards[n][r]);
    }
}

static void check_member(struct world *w, struct progress *p, struct decision *d, bool jobs_began)
{
    struct job *job = d->job;
    if (job->state != PLACED || d->d.pod >= job->pods || job->nodes[d->d.pod] != GANG_NO_NODE) {
        fail(w, "job %" PRIu64 " pod %u needs no new place", job->id, d->d.pod);
        return;
    }
    if (d->d.kind == GANG_REPLACE) {
        if (jobs_began)
            fail(w, "job %" PRIu64 ": a member is replaced after waiting jobs", job->id);
        if (d->d.nodes_count != 1)
            fail(w, "job %" PRIu64 ": a member on %u nodes", job->id, d->d.nodes_count);
        uint32_t other, anchor = anchor_of(w, job, d->d.pod, &other);
        if (d->nodes[0] < w->nodes_count && !(member_mask(w, job, anchor) >> d->nodes[0] & 1) &&
            !(other != GANG_NO_NODE && member_mask(w, job, other) >> d->nodes[0] & 1))
            fail(w, "job %" PRIu64 " pod %u leaves the one domain of its gang", job->id, d->d.pod);
        if (on(PROPERTY_NEAR) && anchor != GANG_NO_NODE && other == GANG_NO_NODE &&
            !p->member_waits && !p->members_placed && d->nodes[0] < w->nodes_count)
            check_near(w, job, d->d.pod, d->nodes[0], p->boards, anchor);
        check_pod(w, p, job, d->d.pod, d->nodes[0]);
        p->members_placed = true;
    }
}

static void check_each(struct world *w, struct progress *p)
{
    for (uint32_t i = 0; i < w->decisions_count; i++)
        p->member_waits = p->member_waits || (w->decisions[i].d.kind == GANG_WAIT &&
                                              w->decisions[i].d.pod != GANG_NO_POD);
    bool jobs_began = false, waits_began = false;
    uint32_t positions[QUEUES] = {0};
    for (uint32_t i = 0; i < w->decisions_count && !failed(w); i++) {
        struct decision *d = &w->decisions[i];
        bool waits = d->d.kind == GANG_WAIT || d->d.kind == GANG_NEVER;
        d->job->decisions += d->d.kind != GANG_PREEMPT;
        if (waits != d->has_why)
            fail(w, "job %" PRIu64 ": a reason is %s", d->job->id,
                 waits ? "missing" : "given for no wait");
        if (d->d.pod != GANG_NO_POD) {
            check_member(w, p, d, jobs_began);
            continue;
        }
        jobs_began = true;
        waits_began = waits_began || waits;
        if (waits_began && !waits && on(PROPERTY_ACTS_FIRST))
            fail(w, "job %" PRIu64 ": something to do comes after a job that waits", d->job->id);
        if (d->d.kind == GANG_PREEMPT)
            continue;
        if (d->job->state != WAITING)
            fail(w, "job %" PRIu64 " does not wait, but is decided", d->job->id);
        if (d->d.kind == GANG_PLACE && d->d.nodes_count != d->job->pods)
            fail(w, "job %" PRIu64 " of %u pods is placed on %u nodes", d->job->id, d->job->pods,
                 d->d.nodes_count);
        if (d->d.kind == GANG_WAIT && ++positions[d->job->request.queue] != d->d.position)
            fail(w, "job %" PRIu64 ": position %u, but %u wait in its queue up to it", d->job->id,
                 d->d.position, positions[d->job->request.queue]);
        if (d->d.kind == GANG_WAIT && d->d.estimated_start_ms &&
            d->d.estimated_start_ms < w->now_ms)
            fail(w, "job %" PRIu64 ": its estimated start %" PRId64 " is over", d->job->id,
                 d->d.estimated_start_ms);
        p->order[p->count++] = d;
    }
}

static void check_all_decided(struct world *w)
{
    for (uint32_t j = 0; j < JOBS && !failed(w); j++) {
        struct job *job = &w->jobs[j];
        uint32_t expected = job->state == WAITING;
        for (uint32_t pod = 0; job->state == PLACED && !job->stopping && pod < job->pods; pod++)
            expected += job->nodes[pod] == GANG_NO_NODE;
        if (job->state != NOBODY && !job->stopping && job->decisions != expected)
            fail(w, "job %" PRIu64 ": %u decisions, expected %u", job->id, job->decisions,
                 expected);
        job->decisions = 0;
    }
}

/* ---- whole jobs in order ---- */

static bool limit_too_long(const struct world *w, const struct job *job)
{
    for (uint32_t q = job->request.queue; q != GANG_NO_QUEUE; q = w->queues[q].config.parent) {
        int64_t most = w->queues[q].config.time_limit_max_ms;
        if (most && (!job->request.time_limit_ms || job->request.time_limit_ms > most))
            return true;
    }
    return false;
}

static uint32_t short_with_held(const struct world *w, const struct progress *p,
                                const struct job *job)
{
    struct queue_sums all[QUEUES];
    memcpy(all, p->used, sizeof all);
    for (uint32_t q = 0; q < QUEUES; q++)
        for (uint32_t r = 0; r < RESOURCES; r++)
            all[q].used[r] += p->held[q].used[r];
    return quota_short(w, all, job);
}

static void check_placed(struct world *w, struct progress *p, struct decision *d, bool exact)
{
    struct job *job = d->job;
    uint64_t mask = schedulable_mask(w) & allowed_mask(w, job, false) & ~p->kept;
    if (exact && on(PROPERTY_BEST_FIT) && job->request.roles_count == 1 && !level_now(w, job) &&
        !failed(w)) {
        for (uint32_t pod = 0; pod < job->pods; pod++)
            if (d->nodes[pod] >= w->nodes_count)
                return fail(w, "job %" PRIu64 ": node %u", job->id, d->nodes[pod]);
        check_best_fit(w, job, d->nodes, p->boards, mask);
    }
    for (uint32_t pod = 0; pod < job->pods && !failed(w); pod++) {
        check_pod(w, p, job, pod, d->nodes[pod]);
        if (!failed(w) && p->kept >> d->nodes[pod] & 1)
            fail(w, "job %" PRIu64 " takes node %u from a job before it", job->id, d->nodes[pod]);
    }
    if (!failed(w))
        check_domain(w, job, d->nodes, level_now(w, job));
    if (!failed(w) && on(PROPERTY_RANKS))
        check_ranks(w, job, d->nodes);
    if (!failed(w) && (exact ? short_with_held(w, p, job) : quota_short(w, p->used, job)))
        fail(w, "job %" PRIu64 " is placed beyond its quota", job->id);
    if (!failed(w) && !jobs_allowed(w, p->used, job))
        fail(w, "job %" PRIu64 " is placed beyond the jobs that its queue may run", job->id);
    if (!failed(w) && limit_too_long(w, job))
        fail(w, "job %" PRIu64 " is placed, but its queue lets no job be so long", job->id);
    queue_add(w, job->request.queue, job, 1, p->used);
    if (d->d.revocable && !w->config.f[C_PREEMPT])
        fail(w, "job %" PRIu64 " is revocable where nobody is preempted", job->id);
    if (on(PROPERTY_ESTIMATED_END) && job->request.time_limit_ms &&
        d->d.estimated_end_ms != w->now_ms + job->request.time_limit_ms)
        fail(w, "job %" PRIu64 ": its end is estimated at %" PRId64 ", by its limit it is %" PRId64,
             job->id, d->d.estimated_end_ms, w->now_ms + job->request.time_limit_ms);
    w->result.backfilled += p->somebody_waits;
}

static bool fits_kind(const struct world *w, const struct job *job, enum room_kind kind,
                      uint64_t mask, uint32_t level)
{
    gang_amounts boards[NODES];
    boards_of(w, kind, boards);
    return gang_fits(w, job, boards, mask, level);
}

/* NEVER is said of those, and only of those, that the empty cluster could not hold. */
static void check_never(struct world *w, struct decision *d)
{
    struct job *job = d->job;
    bool never = d->d.kind == GANG_NEVER;
    job->never = never;
    if (limit_too_long(w, job)) {
        if (!never)
            fail(w, "job %" PRIu64 ": its queue lets no job be so long, but it is not NEVER",
                 job->id);
        return;
    }
    const struct queue_sums none[QUEUES] = {{{0}, 0}};
    if (quota_short(w, none, job) && !never)
        fail(w, "job %" PRIu64 ": no quota is ever enough for it, but it is not NEVER", job->id);
    if (job->request.roles_count != 1 || d->why.kind == GANG_WHY_QUOTA ||
        d->why.kind == GANG_WHY_QUEUE)
        return;
    if (fits_kind(w, job, ROOM_EMPTY, UINT64_MAX, job->request.required_level) == never)
        fail(w, "job %" PRIu64 ": never is said of the wrong job", job->id);
    w->result.complete++;
}

/* What a blocked job keeps, in strict order: all that it could use, unless nothing that gangs do
 * helps it. */
static void keep(struct world *w, struct progress *p, const struct job *job)
{
    if (fits_kind(w, job, ROOM_WITHOUT_GANGS, schedulable_mask(w), job->request.required_level))
        p->kept |= could_use_mask(w, job->request.roles, job->request.roles_count);
    p->somebody_waits = true;
}

/* With several roles placement is a heuristic: what it says is taken for what is. */
static void keep_heuristic(struct world *w, struct progress *p, const struct decision *d)
{
    if (d->d.kind == GANG_WAIT && d->why.kind != GANG_WHY_OTHERS)
        p->kept |= could_use_mask(w, d->job->request.roles, d->job->request.roles_count);
}

static void keep_for_members(struct world *w, struct progress *p)
{
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        const struct decision *d = &w->decisions[i];
        if (d->d.kind != GANG_WAIT || d->d.pod == GANG_NO_POD)
            continue;
        struct job *job = d->job;
        const struct gang_role *role = role_of(job, d->d.pod);
        gang_amounts boards[NODES], empty[NODES];
        boards_of(w, ROOM_WITHOUT_GANGS, boards);
        boards_of(w, ROOM_EMPTY, empty);
        boards_take(job, job->nodes, boards, 1);
        boards_take(job, job->nodes, empty, 1);
        uint64_t could = 0, hopes = 0;
        uint32_t other, anchor = anchor_of(w, job, d->d.pod, &other);
        uint64_t may = member_mask(w, job, anchor);
        if ((other != GANG_NO_NODE && member_mask(w, job, other) != may) ||
            (job->request.required_level && (may == UINT64_MAX || !on(PROPERTY_MEMBER_DOMAIN))))
            p->unclear = true;
        for (uint32_t n = 0; n < w->nodes_count; n++) {
            bool allowed = may >> n & 1 && role_allows(role, &w->nodes[n]);
            could |= (uint64_t)(allowed && pods_that_fit(empty[n], role) > 0) << n;
            hopes |= (uint64_t)(allowed && pods_that_fit(boards[n], role) > 0) << n;
        }
        if (hopes & schedulable_mask(w))
            p->kept |= could;
    }
}

/* Somebody who is named as the one in the way waits before it. */
static void check_blocker(struct world *w, const struct decision *d)
{
    if (d->d.kind != GANG_WAIT ||
        (d->why.kind != GANG_WHY_BEHIND && d->why.kind != GANG_WHY_RESERVED))
        return;
    for (uint32_t i = 0; i < w->decisions_count; i++)
        if (w->decisions[i].d.job == d->why.blocked_by && w->decisions[i].d.kind == GANG_WAIT &&
            w->decisions[i].job != d->job)
            return;
    fail(w, "job %" PRIu64 " waits for job %" PRIu64 ", which does not wait itself", d->job->id,
         d->why.blocked_by);
}

/* R4: who waits for quota holds nothing, and holds up those behind it in its own queue that need
 * what its queue is short of. */
static bool waits_for_quota(struct world *w, struct progress *p, const struct decision *d)
{
    const struct job *job = d->job;
    uint32_t missing = short_with_held(w, p, job), queue = job->request.queue;
    bool behind = (p->short_of[queue] & needs_of(job)) != 0;
    if (holds_own(w, p->used, p->held, d, p->short_first[queue]))
        queue_add(w, queue, job, 1, p->held);
    if (d->d.kind == GANG_WAIT && w->queues[queue].config.order == GANG_ORDER_FIFO &&
        jobs_allowed(w, p->used, job) && missing)
        p->short_first[queue] |= UINT32_C(1) << (31 - __builtin_clz(missing));
    if (d->d.kind == GANG_WAIT && w->queues[queue].config.order == GANG_ORDER_FIFO)
        p->short_of[queue] |= missing;
    if (d->d.kind == GANG_NEVER && d->why.kind == GANG_WHY_QUOTA) {
        struct queue_sums none[QUEUES] = {{{0}, 0}};
        if (!quota_short(w, none, job))
            fail(w, "job %" PRIu64 " has room in its quota when nobody uses it, but never starts",
                 job->id);
        return true;
    }
    bool waits = missing || behind || !jobs_allowed(w, p->used, job);
    if (d->d.kind == GANG_WAIT && !waits &&
        (d->why.kind == GANG_WHY_QUOTA || d->why.kind == GANG_WHY_QUEUE))
        fail(w, "job %" PRIu64 " waits for quota, but has it", job->id);
    return waits;
}

/* R1, exactly: who has room on nodes that nobody before waits for is placed, and nobody else. */
static void check_strict(struct world *w, struct progress *p)
{
    keep_for_members(w, p);
    if (p->unclear)
        return;
    for (uint32_t i = 0; i < p->count && !failed(w); i++) {
        struct decision *d = p->order[i];
        if (d->d.kind == GANG_PLACE) {
            if (p->short_of[d->job->request.queue] & needs_of(d->job))
                fail(w, "job %" PRIu64 " overtakes one of its queue that waits for quota",
                     d->job->id);
            check_placed(w, p, d, true);
            continue;
        }
        uint64_t mask = schedulable_mask(w) & allowed_mask(w, d->job, false) & ~p->kept;
        check_never(w, d);
        check_blocker(w, d);
        if (d->job->request.roles_count > 1 && quota_is_used(w))
            return; /* whether gangs could make room for it is a heuristic */
        if (limit_too_long(w, d->job) || waits_for_quota(w, p, d))
            continue;
        if (d->job->request.roles_count > 1) {
            keep_heuristic(w, p, d);
            continue;
        }
        if (gang_fits(w, d->job, p->boards, mask, level_now(w, d->job)))
            fail(w, "job %" PRIu64 " waits though it fits", d->job->id);
        if (d->d.kind == GANG_WAIT)
            keep(w, p, d->job);
    }
}

/* ---- reservations ---- */

bool waits_for_room(const struct decision *d)
{
    return d->d.kind == GANG_WAIT &&
           (d->why.kind == GANG_WHY_NO_ROOM || d->why.kind == GANG_WHY_TOPOLOGY ||
            d->why.kind == GANG_WHY_STOPPING);
}

/* Before which a job must have ended to be no harm to any reserved start. 0 when one of those that
 * should have a reservation knows no start: it keeps all that it could use. */
static int64_t first_reserved_start(const struct world *w, const struct progress *p)
{
    int64_t first = INT64_MAX, blocked = 0;
    if (!w->config.f[C_RESERVATIONS])
        return 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct decision *d = p->order[i];
        if (d->d.kind != GANG_WAIT || d->why.kind == GANG_WHY_QUOTA ||
            d->why.kind == GANG_WHY_QUEUE || d->why.kind == GANG_WHY_OTHERS)
            continue;
        if (!d->d.estimated_start_ms && blocked < w->config.f[C_RESERVATIONS])
            return 0;
        blocked++;
        if (d->d.estimated_start_ms && d->d.estimated_start_ms < first)
            first = d->d.estimated_start_ms;
    }
    return first;
}

static bool somebody_stops(const struct world *w)
{
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == PLACED && w->jobs[j].stopping)
            return true;
    return false;
}

/* Whether somebody before it in its own queue waits for quota, and needs what it needs. */
static bool behind_quota(const struct progress *p, const struct job *job)
{
    for (uint32_t i = 0; i < p->count; i++) {
        const struct decision *d = p->order[i];
        if (d->d.kind == GANG_WAIT && d->why.kind == GANG_WHY_QUOTA && d->job != job &&
            d->job->request.queue == job->request.queue && comes_before(d->job, job) &&
            (needs_of(d->job) & needs_of(job)))
            return true;
    }
    return false;
}

/* Quota may be kept for somebody. */
static bool somebody_holds(const struct world *w)
{
    for (uint32_t i = 0; i < w->decisions_count; i++)
        if (w->decisions[i].d.kind == GANG_WAIT && (w->decisions[i].why.kind == GANG_WHY_QUOTA ||
                                                    w->decisions[i].why.kind == GANG_WHY_STOPPING))
            return true;
    return false;
}

/* Whether some queue that this job counts in has a limit that another job may have reached first.
 */
static bool held_by_quota(struct world *w, struct progress *p, const struct decision *d)
{
    bool allowed = !quota_short(w, p->used, d->job), jobs = jobs_allowed(w, p->used, d->job);
    bool behind = behind_quota(p, d->job);
    if (d->why.kind == GANG_WHY_QUOTA && allowed && !behind && !somebody_holds(w))
        fail(w, "job %" PRIu64 " waits for quota, but has it", d->job->id);
    if (d->why.kind == GANG_WHY_QUEUE && d->d.kind == GANG_WAIT && jobs && !behind)
        fail(w, "job %" PRIu64 " waits for its queue to run fewer jobs, but it may run more",
             d->job->id);
    return !allowed || !jobs || behind || d->why.kind == GANG_WHY_QUOTA;
}

/* Who waits though there is room waits for a named reason, and it holds. */
static void check_reason(struct world *w, struct progress *p, const struct decision *d, bool first,
                         int64_t reserved_ms)
{
    struct job *job = d->job;
    uint64_t mask = schedulable_mask(w) & allowed_mask(w, job, false);
    if (d->d.kind == GANG_NEVER || held_by_quota(w, p, d) || job->request.roles_count > 1 ||
        p->member_waits || somebody_stops(w))
        return;
    for (uint32_t i = 0; i < w->decisions_count; i++)
        if (w->decisions[i].d.kind == GANG_PREEMPT)
            return;
    if (!gang_fits(w, job, p->boards, mask, level_now(w, job)))
        return;
    int64_t end_ms = w->now_ms + job->request.time_limit_ms + job->request.grace_ms;
    if (first)
        fail(w, "job %" PRIu64 " is the first in order and fits, but waits", job->id);
    else if (d->why.kind != GANG_WHY_RESERVED && d->why.kind != GANG_WHY_BEHIND)
        fail(w, "job %" PRIu64 " fits and waits, and its reason is no reservation (%d)", job->id,
             (int)d->why.kind);
    else if (job->request.time_limit_ms && reserved_ms && end_ms <= reserved_ms &&
             !quota_is_used(w) && !gives_way(w, job) && queue_is_due(w, job->request.queue))
        fail(w,
             "job %" PRIu64 " fits and would have ended by %" PRId64
             ", before the first reserved start %" PRId64 ", but waits",
             job->id, end_ms, reserved_ms);
}

static bool is_first(const struct progress *p, const struct job *job)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (comes_before(p->order[i]->job, job))
            return false;
    return true;
}

static void check_general(struct world *w, struct progress *p)
{
    int64_t reserved_ms = first_reserved_start(w, p);
    /* Placements come in the order in which they were decided: all of them first. */
    bool first = !fair_is_used(w) && !p->member_waits && !quota_is_used(w), patient = is_patient(w);
    const struct job *urgent = patient && first ? patience_first(w) : NULL;
    for (uint32_t i = 0; i < p->count && !failed(w); i++)
        if (p->order[i]->d.kind == GANG_PLACE)
            check_placed(w, p, p->order[i],
                         first && !patient && i == 0 && is_first(p, p->order[i]->job) &&
                             !gives_way(w, p->order[i]->job));
    for (uint32_t i = 0; i < p->count && !failed(w); i++) {
        struct decision *d = p->order[i];
        if (d->d.kind == GANG_PLACE)
            continue;
        check_never(w, d);
        check_blocker(w, d);
        if (patient)
            first = d->job == urgent;
        check_reason(w, p, d, first, reserved_ms);
        if (!quota_is_used(w))
            check_promise(w, d, first);
        if (waits_for_room(d) || d->why.kind == GANG_WHY_BEHIND || d->why.kind == GANG_WHY_RESERVED)
            first = false;
    }
}

void check_rules(struct world *w)
{
    struct progress p = {.count = 0};
    boards_of(w, ROOM_NOW, p.boards);
    queue_use(w, p.used);
    check_each(w, &p);
    check_all_decided(w);
    if (failed(w))
        return;
    if (strict_order(w)) {
        sort_in_order(w, p.order, p.count);
        check_strict(w, &p);
    } else {
        check_general(w, &p);
        check_preemptions(w);
        check_due(w);
        if (!failed(w) && !fair_is_used(w) && !quota_is_used(w))
            check_starts(w);
    }
}
