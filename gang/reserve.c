/* Reservations: the earliest time at which a blocked job fits on definite nodes, going by the
 * estimated ends of placed jobs. A reservation claims amounts on its nodes; of those it withholds
 * from jobs that would run beyond its start what is not covered by jobs that end before it. */
#include "gang/reserve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT32_MAX /* in place of a reservation: only time passes */

/* Without a grace: any moment later. */
int64_t gang_leaves_by(const struct gang_job *job, int64_t asked_ms)
{
    return asked_ms + (job->grace_ms > 0 ? job->grace_ms : 1);
}

bool gang_is_on_call(const struct gang_job *job)
{
    return job->revocable && job->time_limit_ms <= 0;
}

bool gang_ends_in_time(const struct gang_job *job, int64_t start_ms)
{
    return !gang_is_on_call(job) && gang_stay(job)->end_ms <= start_ms - job->grace_ms;
}

int64_t gang_end_of(const struct gang_job *job, int64_t now_ms)
{
    int64_t leaves = INT64_MAX, more = (now_ms - gang_stay(job)->started_ms) / 5;
    if (job->stopping)
        leaves = gang_stay(job)->stopping_ms + job->grace_ms;
    else if (gang_is_on_call(job))
        leaves = now_ms + job->grace_ms;
    if (leaves <= now_ms)
        leaves = now_ms + 1; /* any moment now */
    int64_t end = gang_stay(job)->end_ms;
    if (end <= now_ms && !job->stopping)
        end += job->grace_ms; /* it is being ended */
    if (end > now_ms)
        return leaves < end ? leaves : end;
    return leaves < INT64_MAX ? leaves : now_ms + (more > 0 ? more : 1);
}

static struct gang_claim *claim_of(const struct gang_reservation *r, uint32_t node)
{
    uint32_t low = 0, high = r->claims_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (r->claims[middle].node < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->claims_count && r->claims[low].node == node ? &r->claims[low] : NULL;
}

/* What of a claim must be free now, and stay so. */
static bool withheld_of(const struct gang *g, const struct gang_claim *c, int64_t *ret)
{
    bool any = false;
    for (uint32_t r = 0; r < g->resources; r++) {
        ret[r] = c->claim[r] > c->ending[r] ? c->claim[r] - c->ending[r] : 0;
        any = any || ret[r];
    }
    return any;
}

/* Has room for all of its claims. */
static void find_short(const struct gang *g, struct gang_reservation *r)
{
    gang_amounts amounts;
    r->short_of_count = 0;
    r->short_of_stale = false;
    for (uint32_t i = 0; i < r->claims_count; i++)
        if (withheld_of(g, &r->claims[i], amounts))
            r->short_of[r->short_of_count++] = i;
}

void gang_reservation_withhold(struct gang *g, struct gang_reservation *r, bool withhold)
{
    gang_amounts amounts = {0};
    if (r->withheld == withhold)
        return;
    r->withheld = withhold;
    if (r->short_of_stale)
        find_short(g, r);
    for (uint32_t i = 0; i < r->short_of_count; i++) {
        const struct gang_claim *c = &r->claims[r->short_of[i]];
        (void)withheld_of(g, c, amounts);
        if (withhold)
            gang_room_take(g, c->node, amounts);
        else
            gang_room_give(g, c->node, amounts);
    }
}

/* Whether what it claims is free now, or will be by its start. It withholds nothing on the board
 * now. */
bool gang_reservation_holds(const struct gang *g, const struct gang_reservation *r)
{
    for (uint32_t i = 0; i < r->claims_count; i++) {
        const struct gang_claim *c = &r->claims[i];
        const int64_t *there = gang_at(g, GANG_FREE, c->node);
        if (g->open[c->node] == GANG_CLASS_NONE)
            return false;
        for (uint32_t k = 0; k < g->resources; k++)
            if (c->claim[k] > 0 && there[k] + c->ending[k] < c->claim[k])
                return false;
    }
    return true;
}

bool gang_reserve_counts_on_end(const struct gang *g, int64_t end_ms)
{
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        const struct gang_reservation *r = &g->reservations[i];
        if (r->job && r->active && !r->withheld && end_ms <= r->start_ms &&
            !gang_reservation_holds(g, r))
            return true;
    }
    return false;
}

bool gang_reservation_stands(const struct gang *g, struct gang_reservation *r, int64_t now_ms)
{
    if (!r->broken && g->reserve_verify && !gang_reservation_holds(g, r))
        r->broken = true;
    return !r->broken && !r->provisional && r->start_ms > now_ms;
}

static bool share_a_node(const struct gang_reservation *a, const struct gang_reservation *b)
{
    for (uint32_t i = 0, k = 0; i < a->claims_count && k < b->claims_count;) {
        uint32_t x = a->claims[i].node, y = b->claims[k].node;
        if (x == y)
            return true;
        i += x < y;
        k += y < x;
    }
    return false;
}

/* Those that stood behind it there may start earlier. */
static void let_others_look(struct gang *g, const struct gang_reservation *gone)
{
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        struct gang_reservation *r = &g->reservations[i];
        if (r->job && r != gone && r->freed < r->job->shape->pods && share_a_node(r, gone))
            r->freed = r->job->shape->pods;
    }
}

void gang_reservation_drop(struct gang *g, struct gang_reservation *r)
{
    uint64_t bit = UINT64_C(1) << (r - g->reservations);
    struct gang_ends_at at = {0};
    if (r->job)
        let_others_look(g, r);
    for (struct gang_job *job; r->job && (job = gang_ends_next(g, &at)) != NULL;)
        gang_stay(job)->relied &= ~bit;
    g->gains += r->job != NULL;
    r->job = NULL;
    r->claims_count = 0;
    r->active = r->broken = r->withheld = r->provisional = false;
}

struct gang_reservation *gang_reservation_of(struct gang *g, const struct gang_job *job)
{
    for (uint32_t i = 0; i < g->reservations_used; i++)
        if (g->reservations[i].job == job)
            return &g->reservations[i];
    return NULL;
}

/* ---- what events change ---- */

static void count_ending(struct gang *g, struct gang_reservation *r, const struct gang_job *job,
                         const uint32_t *nodes, int sign)
{
    r->short_of_stale = true;
    for (uint32_t role = 0, pod = 0; role < job->shape->roles_count; role++)
        for (uint32_t end = pod + job->shape->roles[role].pods; pod < end; pod++) {
            struct gang_claim *c = nodes[pod] == GANG_NO_NODE ? NULL : claim_of(r, nodes[pod]);
            for (uint32_t k = 0; c && k < g->resources; k++)
                c->ending[k] += sign * job->shape->roles[role].request[k];
        }
}

static bool touches(const struct gang_reservation *r, const struct gang_job *job)
{
    for (uint32_t pod = 0; pod < job->shape->pods; pod++)
        if (job->nodes[pod] != GANG_NO_NODE && claim_of(r, job->nodes[pod]))
            return true;
    return false;
}

bool gang_reservation_needs(struct gang *g, struct gang_reservation *r, struct gang_job *job)
{
    uint64_t bit = UINT64_C(1) << (r - g->reservations);
    if (!(gang_stay(job)->relied & bit))
        return false;
    count_ending(g, r, job, job->nodes, -1);
    if (!gang_reservation_holds(g, r)) {
        count_ending(g, r, job, job->nodes, 1);
        return true;
    }
    gang_stay(job)->relied &= ~bit;
    return false;
}

void gang_reserve_what_if_left(struct gang *g, const struct gang_job *job, bool left)
{
    if (!gang_stay(job)->relied)
        return;
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        struct gang_reservation *r = &g->reservations[i];
        bool withheld = r->withheld;
        if (!r->job || !(gang_stay(job)->relied >> i & 1))
            continue;
        gang_reservation_withhold(g, r, false);
        count_ending(g, r, job, job->nodes, left ? -1 : 1);
        gang_reservation_withhold(g, r, withheld);
    }
}

void gang_reserve_holder_changed(struct gang *g, const struct gang_job *job)
{
    struct gang_reservation *r = gang_reservation_of(g, job);
    if (r)
        r->broken = true;
}

void gang_reserve_job_left(struct gang *g, struct gang_job *job, int64_t now_ms)
{
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        struct gang_reservation *r = &g->reservations[i];
        if (!r->job)
            continue;
        bool relied = gang_stay(job)->relied >> i & 1;
        if (relied)
            count_ending(g, r, job, job->nodes, -1);
        /* What was reckoned for one past its limit was a guess. */
        r->freed +=
            relied && gang_stay(job)->end_ms < now_ms ? r->job->shape->pods : job->shape->pods;
    }
    gang_stay(job)->relied = 0;
}

void gang_reserve_job_came(struct gang *g, struct gang_job *job, int64_t now_ms)
{
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        struct gang_reservation *r = &g->reservations[i];
        if (!r->job || r->provisional)
            continue;
        bool ends = gang_end_of(job, now_ms) <= r->start_ms && gang_stay(job)->end_ms > now_ms;
        /* It was let in because it ends before: else it is asked to leave by then. */
        bool leaves = job->revocable && gang_leaves_by(job, now_ms) <= r->start_ms;
        if (ends || leaves) {
            gang_stay(job)->relied |= UINT64_C(1) << i;
            count_ending(g, r, job, job->nodes, 1);
        } else if (!r->broken && touches(r, job) && !gang_reservation_holds(g, r)) {
            r->broken = true;
        }
    }
}

void gang_reserve_pod_moved(struct gang *g, const struct gang_job *job)
{
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        struct gang_reservation *r = &g->reservations[i];
        if (r->job && !r->broken &&
            ((gang_stay(job)->relied >> i & 1) ||
             (touches(r, job) && !gang_reservation_holds(g, r))))
            r->broken = true;
    }
}

void gang_reserve_node_changed(struct gang *g, uint32_t node)
{
    for (uint32_t i = 0; i < g->reservations_used; i++)
        if (g->reservations[i].job && claim_of(&g->reservations[i], node))
            g->reservations[i].broken = true;
}

/* ---- making one ---- */

static int by_end(const void *a, const void *b)
{
    const struct gang_end *x = a, *y = b;
    if (x->end_ms != y->end_ms)
        return x->end_ms < y->end_ms ? -1 : 1;
    uint64_t ix = x->job ? x->job->id : x->reservation, iy = y->job ? y->job->id : y->reservation;
    return (ix > iy) - (ix < iy);
}

static int add_end(struct gang *g, struct gang_job *job, uint32_t reservation, int64_t end_ms)
{
    if (gang_reserve(g, &g->odd_ends, &g->odd_ends_capacity, (size_t)g->odd_ends_count + 1,
                     sizeof *g->odd_ends) < 0)
        return -ENOMEM;
    g->odd_ends[g->odd_ends_count++] =
        (struct gang_end){.job = job, .reservation = reservation, .end_ms = end_ms};
    return 0;
}

/* When nobody ends, but the job itself may stand elsewhere: what it avoids or prefers is over. */
static int add_turning_points(struct gang *g, const struct gang_job *job, int64_t now_ms)
{
    if (job->preferred_level > job->required_level && job->preferred_until_ms > now_ms &&
        add_end(g, NULL, NOBODY, job->preferred_until_ms) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < gang_avoid_count(job); i++) {
        int64_t until = job->avoids->nodes[i].until_ms;
        if (until > now_ms && add_end(g, NULL, NOBODY, until) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Those that do not end as they stand in g->ends: overdue, revocable, stopping; and the jobs that
 * have reservations before this one, which hold their claims until they end themselves; and those
 * that this plan has placed. */
static int collect_odd_ends(struct gang *g, const struct gang_job *job_itself, int64_t now_ms)
{
    struct gang_ends_at at = {0};
    g->odd_ends_count = 0;
    for (struct gang_job *job;
         (job = gang_ends_next(g, &at)) != NULL && gang_stay(job)->end_ms <= now_ms;)
        if (add_end(g, job, 0, gang_end_of(job, now_ms)) < 0)
            return -ENOMEM;
    for (uint32_t i = 0; g->odd_jobs && i < g->unsteady.count; i++) {
        struct gang_job *job = g->unsteady.jobs[i];
        if ((job->revocable || job->stopping) && gang_stay(job)->end_ms > now_ms &&
            add_end(g, job, 0, gang_end_of(job, now_ms)) < 0)
            return -ENOMEM;
    }
    if (add_turning_points(g, job_itself, now_ms) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < g->plan.count; i++) {
        const struct gang_entry *e = &g->plan.entries[i];
        int64_t limit = e->job->time_limit_ms;
        int64_t lasts = e->revocable && limit <= 0 ? e->job->grace_ms : limit;
        if (e->revocable && lasts <= 0)
            lasts = 1; /* any moment now */
        if (e->kind == GANG_PLACE && lasts > 0 && add_end(g, e->job, 0, now_ms + lasts) < 0)
            return -ENOMEM;
    }
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        const struct gang_reservation *r = &g->reservations[i];
        if (r->job && r->active && r->job->time_limit_ms > 0 &&
            add_end(g, NULL, i, r->start_ms + r->job->time_limit_ms) < 0)
            return -ENOMEM;
    }
    if (g->odd_ends_count)
        qsort(g->odd_ends, g->odd_ends_count, sizeof *g->odd_ends, by_end);
    return 0;
}

/* A whole claim, as if its job stood there. */
static void occupy(struct gang *g, const struct gang_reservation *r, bool there)
{
    for (uint32_t i = 0; i < r->claims_count; i++)
        if (there)
            gang_room_take(g, r->claims[i].node, r->claims[i].claim);
        else
            gang_room_give(g, r->claims[i].node, r->claims[i].claim);
}

struct future {
    struct gang_ends_at at;
    struct gang_job *next; /* of g->ends, none of the odd ones */
    uint32_t odd;
};

static void skip_odd(struct gang *g, struct future *f, int64_t now_ms)
{
    do
        f->next = gang_ends_next(g, &f->at);
    while (f->next &&
           (f->next->revocable || f->next->stopping || gang_stay(f->next)->end_ms <= now_ms));
    if (f->next && gang_stay(f->next)->end_ms == INT64_MAX)
        f->next = NULL;
}

/* The next end; false: nobody else ends. */
static bool next_end(struct gang *g, struct future *f, int64_t now_ms, struct gang_end *ret)
{
    const struct gang_end *odd = f->odd < g->odd_ends_count ? &g->odd_ends[f->odd] : NULL;
    if (odd && (!f->next || odd->end_ms <= gang_stay(f->next)->end_ms)) {
        *ret = *odd;
        f->odd++;
        return true;
    }
    if (!f->next)
        return false;
    *ret = (struct gang_end){.job = f->next, .end_ms = gang_stay(f->next)->end_ms};
    skip_odd(g, f, now_ms);
    return true;
}

static int by_node(const void *a, const void *b)
{
    const struct gang_claim *x = a, *y = b;
    return (x->node > y->node) - (x->node < y->node);
}

/* The claims of a gang on these nodes, by node; `claims` has room for all its pods. */
static uint32_t make_claims(const struct gang *g, const struct gang_shape *shape,
                            const uint32_t *nodes, struct gang_claim *claims)
{
    uint32_t count = 0, merged = 0;
    for (uint32_t role = 0, pod = 0; role < shape->roles_count; role++)
        for (uint32_t end = pod + shape->roles[role].pods; pod < end; pod++) {
            if (!count || claims[count - 1].node != nodes[pod])
                claims[count++] = (struct gang_claim){.node = nodes[pod]};
            for (uint32_t r = 0; r < g->resources; r++)
                claims[count - 1].claim[r] += shape->roles[role].request[r];
        }
    qsort(claims, count, sizeof *claims, by_node);
    for (uint32_t i = 1; i < count; i++) {
        if (claims[i].node != claims[merged].node) {
            claims[++merged] = claims[i];
            continue;
        }
        for (uint32_t r = 0; r < g->resources; r++)
            claims[merged].claim[r] += claims[i].claim[r];
    }
    return count ? merged + 1 : 0;
}

static const uint32_t *nodes_of(const struct gang *g, const struct gang_job *job)
{
    return job->nodes ? job->nodes : gang_plan_nodes(g, job);
}

static int give_end(struct gang *g, struct gang_job *job)
{
    if (gang_reserve(g, &g->given, &g->given_capacity, (size_t)g->given_count + 1,
                     sizeof *g->given) < 0 ||
        gang_trial_give(g, job->shape, nodes_of(g, job)) < 0)
        return -ENOMEM;
    g->given[g->given_count++] = job;
    return 0;
}

/* Has jobs end one after the other until this one fits: its nodes, and when. False: it never does.
 * The board is as before, but for those that were given: they end at g->trials. */
static int find_start(struct gang *g, struct gang_job *job, int64_t now_ms, int64_t *ret_start)
{
    struct future f = {0};
    uint32_t role;
    struct gang_where where;
    skip_odd(g, &f, now_ms);
    *ret_start = 0;
    g->given_count = 0;
    for (struct gang_end e; next_end(g, &f, now_ms, &e);) {
        if (e.job && give_end(g, e.job) < 0)
            return -ENOMEM;
        if (!e.job && e.reservation != NOBODY) {
            occupy(g, &g->reservations[e.reservation], false);
            g->reservations[e.reservation].occupied = false;
        }
        bool more_then = (f.next && gang_stay(f.next)->end_ms == e.end_ms) ||
                         (f.odd < g->odd_ends_count && g->odd_ends[f.odd].end_ms == e.end_ms);
        where = gang_where_now(job, e.end_ms);
        if (more_then || gang_cannot_fit(g, job->shape) ||
            !gang_place(g, &where, job->shape, g->reserve_nodes, &role))
            continue;
        gang_place_undo(g, GANG_FREE, job->shape, g->reserve_nodes);
        *ret_start = e.end_ms;
        return 0;
    }
    return 0;
}

static void occupy_all(struct gang *g, bool there)
{
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        struct gang_reservation *r = &g->reservations[i];
        if (!r->job || !r->active || (there == r->occupied))
            continue;
        occupy(g, r, there);
        r->occupied = there;
    }
}

static struct gang_reservation *slot_for(struct gang *g, struct gang_job *job)
{
    struct gang_reservation *r = gang_reservation_of(g, job);
    for (uint32_t i = 0; !r && i < GANG_RESERVATION_SLOTS; i++)
        if (i >= g->reservations_used || !g->reservations[i].job)
            r = &g->reservations[i];
    return r;
}

static int reserve_slot(struct gang *g, struct gang_reservation *r, uint32_t pods)
{
    if (gang_reserve(g, &g->reserve_nodes, &g->reserve_nodes_capacity, pods,
                     sizeof *g->reserve_nodes) < 0 ||
        gang_reserve(g, &r->claims, &r->claims_capacity, pods, sizeof *r->claims) < 0 ||
        gang_reserve(g, &r->short_of, &r->short_of_capacity, pods, sizeof *r->short_of) < 0)
        return -ENOMEM;
    return 0;
}

static void take_slot(struct gang *g, struct gang_reservation *r, struct gang_job *job,
                      int64_t start_ms)
{
    gang_reservation_drop(g, r);
    if (r - g->reservations >= g->reservations_used)
        g->reservations_used = (uint32_t)(r - g->reservations) + 1;
    r->job = job;
    r->short_of_stale = true;
    r->start_ms = start_ms;
    r->claims_count = make_claims(g, job->shape, g->reserve_nodes, r->claims);
}

/* By when the job of a reservation has left again; INT64_MAX: it has no limit. */
static int64_t ends_by(const struct gang_reservation *r, int64_t grace_ms)
{
    int64_t limit = r->job->time_limit_ms;
    if (limit <= 0 || limit > INT64_MAX / 2 - r->start_ms - grace_ms)
        return INT64_MAX;
    return r->start_ms + limit + grace_ms;
}

/* This one has been made, or made anew: of those behind it, which were made when it stood elsewhere
 * or at another time, each that would be on its nodes at the same time is made anew, too. */
static void break_behind(struct gang *g, const struct gang_reservation *made)
{
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        struct gang_reservation *r = &g->reservations[i];
        if (!r->job || r == made || r->active || r->broken)
            continue;
        bool apart = ends_by(made, 0) <= r->start_ms ||
                     ends_by(r, r->job->grace_ms) <= made->start_ms || !share_a_node(made, r);
        r->broken = !apart;
    }
}

/* Its start is not known any more, and nobody knows what those behind it may count on. */
static void break_all_behind(struct gang *g)
{
    for (uint32_t i = 0; i < g->reservations_used; i++)
        if (g->reservations[i].job && !g->reservations[i].active)
            g->reservations[i].broken = true;
}

int gang_reserve_after(struct gang *g, struct gang_job *job, int64_t now_ms)
{
    struct gang_reservation *r = slot_for(g, job);
    struct gang_where where = gang_where_now(job, now_ms);
    uint32_t role;
    int64_t start_ms = now_ms + 1;
    if (!r || !g->config.reservations)
        return 0;
    if (reserve_slot(g, r, job->shape->pods) < 0)
        return -ENOMEM;
    if (!gang_place(g, &where, job->shape, g->reserve_nodes, &role))
        return 0;
    gang_place_undo(g, GANG_FREE, job->shape, g->reserve_nodes);
    take_slot(g, r, job, start_ms);
    r->provisional = true;
    for (uint32_t i = 0; i < g->victims_count; i++) {
        const struct gang_job *v = g->victims[i].job;
        if (!g->victims[i].off)
            continue;
        count_ending(g, r, v, v->nodes, 1);
        int64_t leaves = now_ms + v->grace_ms;
        if (gang_stay(v)->end_ms > now_ms && gang_stay(v)->end_ms < leaves)
            leaves = gang_stay(v)->end_ms; /* by its limit */
        if (leaves > r->start_ms)
            r->start_ms = leaves;
    }
    break_behind(g, r);
    r->active = true;
    return 0;
}

int gang_reserve_start(struct gang *g, struct gang_job *job, int64_t now_ms,
                       struct gang_reservation **ret)
{
    struct gang_reservation *r = slot_for(g, job);
    int64_t start = 0;
    *ret = NULL;
    if (!r)
        return 0;
    if (reserve_slot(g, r, job->shape->pods) < 0 || collect_odd_ends(g, job, now_ms) < 0)
        return -ENOMEM;
    bool keep = r->job == job && gang_reservation_stands(g, r, now_ms);
    int64_t before = r->start_ms;
    uint32_t begin = gang_trial_begin(g);
    occupy_all(g, true);
    int rc = find_start(g, job, now_ms, &start);
    occupy_all(g, false);
    if (rc == 0 && start && (!keep || start < before)) {
        uint64_t bit = UINT64_C(1) << (r - g->reservations);
        take_slot(g, r, job, start);
        for (uint32_t i = 0; i < g->given_count; i++) {
            if (g->given[i]->nodes)
                gang_stay(g->given[i])->relied |= bit;
            else
                r->provisional = true;
            count_ending(g, r, g->given[i], nodes_of(g, g->given[i]), 1);
        }
        break_behind(g, r);
        keep = true;
    }
    gang_trial_undo(g, begin);
    if (rc < 0)
        return rc;
    r->freed = 0;
    if (keep) {
        *ret = r;
    } else if (r->job == job) {
        gang_reservation_drop(g, r);
        break_all_behind(g);
    }
    return 0;
}
