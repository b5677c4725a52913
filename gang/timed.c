/* Plans with reservations. First those whose turn it is, in order: each is placed, or is blocked
 * and gets a reservation, until as many as may have one. Then all others by least expected work,
 * heeding the reserved starts. */
#include "gang/choice.h"
#include "gang/internal.h"
#include "gang/patience.h"
#include "gang/reserve.h"
#include "gang/work.h"

#include <errno.h>

/* So many jobs that nobody can be asked to leave for are tried in one plan. */
#define TRIES 4
/* After so many of a kind for which there is no room beside claims, it is worth a count. */
#define REFUSALS 8

/* What a walk over the buckets remembers of the board. */
struct walk {
    int64_t now_ms;
    uint32_t held;                /* blocked jobs so far that hold something */
    const struct gang_kind *kind; /* of pods of which so many would fit: see look_at() */
    struct gang_work_bound bound;
    struct gang_bucket *asked; /* the last one, and what was its first job */
    const struct gang_job *head;
    bool helps;   /* it looks for those whom others could leave for */
    bool exactly; /* nothing is withheld from a job but what it must leave alone */
};

/* Those whose job is not among the first any more. */
static void drop_inactive(struct gang *g)
{
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        struct gang_reservation *r = &g->reservations[i];
        if (!r->job || r->active)
            continue;
        gang_reservation_withhold(g, r, false);
        gang_reservation_drop(g, r);
    }
}

void gang_timed_end(struct gang *g)
{
    drop_inactive(g);
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        struct gang_reservation *r = &g->reservations[i];
        if (r->job)
            gang_reservation_withhold(g, r, false);
        r->active = false;
    }
    g->reserve_verify = false;
}

static int64_t end_if_placed(const struct gang_job *job, int64_t now_ms)
{
    if (job->time_limit_ms <= 0 || job->time_limit_ms > INT64_MAX / 2 - now_ms - job->grace_ms)
        return INT64_MAX;
    return now_ms + job->time_limit_ms + job->grace_ms;
}

/* Withholds on the board what a job that ends then must leave alone. */
static void heed(struct gang *g, int64_t end_ms)
{
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        struct gang_reservation *r = &g->reservations[i];
        if (r->job && (r->active || r->withheld))
            gang_reservation_withhold(g, r, r->active && end_ms > r->start_ms);
    }
}

/* Nothing is missing of what it must leave alone; more may be withheld. */
static bool heeds(const struct gang *g, int64_t end_ms)
{
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        const struct gang_reservation *r = &g->reservations[i];
        if (r->job && r->active && end_ms > r->start_ms && !r->withheld)
            return false;
    }
    return true;
}

/* More is withheld than it must leave alone. */
static bool heeds_too_much(const struct gang *g, int64_t end_ms)
{
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        const struct gang_reservation *r = &g->reservations[i];
        if (r->job && r->withheld && !(r->active && end_ms > r->start_ms))
            return true;
    }
    return false;
}

void gang_timed_heed(struct gang *g, const struct gang_job *job, int64_t start_ms)
{
    heed(g, end_if_placed(job, start_ms));
}

bool gang_timed_heeds(const struct gang *g, const struct gang_job *job, int64_t start_ms)
{
    return heeds(g, end_if_placed(job, start_ms));
}

static struct gang_reservation *first_active(struct gang *g)
{
    for (uint32_t i = 0; i < g->reservations_used; i++)
        if (g->reservations[i].job && g->reservations[i].active)
            return &g->reservations[i];
    return NULL;
}

static bool try_place(struct gang *g, struct gang_bucket *b, struct gang_job *job, int64_t now_ms,
                      bool kept_too)
{
    struct gang_where where = gang_where_now(job, now_ms);
    where.hidden_too = kept_too;
    if (!kept_too && gang_cannot_fit(g, job->shape)) {
        b->role = 0;
        return false;
    }
    uint32_t role = b->role;
    bool placed = gang_place(g, &where, job->shape, g->plan.nodes + g->plan.nodes_count, &role);
    b->role = (uint8_t)role;
    return placed;
}

/* Where it leaves alone what it must. What is withheld for others stays so, unless in the way, or
 * the walk is exact about it. */
static bool try_heeding(struct gang *g, struct gang_bucket *b, struct gang_job *job, int64_t end_ms,
                        const struct walk *w)
{
    if (w->exactly || !heeds(g, end_ms) || gang_cannot_fit(g, job->shape))
        heed(g, end_ms);
    if (try_place(g, b, job, w->now_ms, false))
        return true;
    if (!heeds_too_much(g, end_ms))
        return false;
    heed(g, end_ms);
    return try_place(g, b, job, w->now_ms, false);
}

/* Places the next job of the bucket if that leaves every reserved start as it is; one without a
 * limit may do so by promising to leave when it is asked; one with a limit, if it should not have
 * ended by then. */
static bool place_heeding(struct gang *g, struct gang_bucket *b, struct gang_job *job,
                          const struct walk *w)
{
    int64_t now_ms = w->now_ms;
    int64_t end_ms = end_if_placed(job, now_ms);
    bool may_leave = g->config.may_preempt && !job->never_preempted;
    bool may_promise =
        may_leave && end_ms == INT64_MAX && job->left_for == GANG_NO_JOB && !job->asked_for;
    if (!gang_patience_is_due(g, job->queue))
        end_ms = INT64_MAX; /* what is claimed is for who has had less, maybe before that */
    if (try_heeding(g, b, job, end_ms, w)) {
        bool counts = may_leave && gang_reserve_counts_on_end(g, end_ms);
        gang_plan_take_turn(g, b)->revocable = counts;
        return true;
    }
    if (!may_promise || (!first_active(g) && !g->plan.marked))
        return false;
    heed(g, gang_leaves_by(job, now_ms) + 1); /* it may not be due at once */
    if (!try_place(g, b, job, now_ms, g->plan.marked))
        return false;
    if (gang_preempt_stopping(g, job)) { /* told before it was known that the job waits */
        gang_place_undo(g, GANG_FREE, job->shape, g->plan.nodes + g->plan.nodes_count);
        return false;
    }
    gang_plan_take_turn(g, b)->revocable = true;
    return true;
}

/* It has left for one that still waits, and would fit now but for what is kept or claimed: then
 * it does not take its place again. */
static bool still_gives_way(struct gang *g, const struct gang_job *job, int64_t now_ms)
{
    if (job->left_for == GANG_NO_JOB)
        return false;
    heed(g, 0);
    return gang_preempt_gives_way(g, job, now_ms);
}

/* No start is known: then every node that it could use is kept for it. */
static void keep_all(struct gang *g, struct gang_bucket *b, struct gang_job *job)
{
    const struct gang_blocker blocker = {
        .job = job, .bucket = b, .role = b->role, .pod = GANG_NO_POD};
    gang_plan_mark(g, &blocker, job->shape->roles, job->shape->roles_count, NULL);
}

/* A reservation is looked at again when as many pods have left as it has, or it does not stand. */
static bool worth_a_look(struct gang *g, struct gang_reservation *r, int64_t now_ms)
{
    return !gang_reservation_stands(g, r, now_ms) || r->freed >= r->job->shape->pods;
}

static void name_blocker(struct gang *g, struct gang_bucket *b, struct gang_job *job)
{
    b->blocker = g->plan.blockers_count;
    g->plan.blockers[g->plan.blockers_count++] =
        (struct gang_blocker){.job = job, .bucket = b, .role = b->role, .pod = GANG_NO_POD};
}

/* Those let in on claimed room are asked so early that they have left by the reserved start. */
static int revoke_due(struct gang *g, struct gang_bucket *b, struct gang_reservation *r,
                      int64_t now_ms)
{
    bool stopping = false;
    heed(g, r->provisional ? 0 : INT64_MAX);
    r->active = true; /* from now on; of itself nothing is withheld yet */
    if (r->provisional)
        return 0; /* the next plan asks, when the host has done what this start relies on */
    int rc = gang_preempt_due(g, r, now_ms, &stopping);
    heed(g, 0);
    if (stopping)
        b->outcome = GANG_OUTCOME_STOPPING;
    return rc;
}

static int block(struct gang *g, struct gang_bucket *b, struct gang_job *job, struct walk *w)
{
    bool stopping;
    if (gang_preempt(g, b, job, w->now_ms, &stopping) < 0)
        return -ENOMEM;
    heed(g, 0);
    b->outcome = stopping ? GANG_OUTCOME_STOPPING : GANG_OUTCOME_ROOM;
    if (gang_plan_hold(g, b, stopping) < 0)
        return -ENOMEM;
    b->blocker = g->plan.blockers_count;
    if (gang_plan_reserve(g, 0) < 0)
        return -ENOMEM;
    if (stopping && gang_reservation_of(g, job) && gang_reservation_of(g, job)->active) {
        name_blocker(g, b, job);
        return 0;
    }
    w->held += !stopping;
    struct gang_reservation *r = gang_reservation_of(g, job);
    if (r)
        gang_preempt_missed(g, r, w->now_ms);
    if ((!r || worth_a_look(g, r, w->now_ms)) && gang_reserve_start(g, job, w->now_ms, &r) < 0)
        return -ENOMEM;
    if (!r) {
        if (first_active(g))
            name_blocker(g, b, job); /* its turn to keep something comes when it is first */
        else
            keep_all(g, b, job);
        return 0;
    }
    name_blocker(g, b, job);
    return revoke_due(g, b, r, w->now_ms);
}

/* Quota that others have borrowed may be wanted back. */
static int reclaim(struct gang *g, struct gang_bucket *b, struct gang_job *job, struct walk *w)
{
    bool stopping;
    if (gang_preempt(g, b, job, w->now_ms, &stopping) < 0)
        return -ENOMEM;
    heed(g, 0);
    if (gang_plan_hold(g, b, stopping) < 0)
        return -ENOMEM;
    if (!stopping)
        return 0;
    b->outcome = GANG_OUTCOME_STOPPING;
    struct gang_reservation *r = gang_reservation_of(g, job);
    if ((!r || !r->active) && gang_reserve_start(g, job, w->now_ms, &r) < 0)
        return -ENOMEM;
    if (r)
        r->active = true;
    return 0;
}

/* One whose turn it is. */
static int take_or_block(struct gang *g, struct gang_bucket *first, struct walk *w)
{
    bool given;
    struct gang_bucket *b = gang_preempt_turn(g, first, w->now_ms, &given);
    struct gang_job *job = gang_bucket_head(b);
    if (gang_plan_reserve(g, job->shape->pods) < 0)
        return -ENOMEM;
    gang_plan_touch(g, b);
    if (gang_plan_held_by_quota(g, b, job)) {
        gang_plan_park(g, b);
        bool asks = b->outcome == GANG_OUTCOME_QUOTA && !b->behind && !b->until_left;
        if (asks && reclaim(g, b, job, w) < 0)
            return -ENOMEM;
        struct gang_reservation *r = gang_reservation_of(g, job);
        if (r && b->outcome != GANG_OUTCOME_STOPPING)
            gang_reservation_drop(g, r); /* those behind it may be helped already in this plan */
        return 0;
    }
    if (!given && still_gives_way(g, job, w->now_ms)) {
        gang_plan_park(g, b);
        b->outcome = first_active(g) ? GANG_OUTCOME_RESERVED : GANG_OUTCOME_OPEN;
        return 0;
    }
    if (place_heeding(g, b, job, w)) {
        g->reserve_verify = true;
        return 0;
    }
    gang_plan_park(g, b);
    b->outcome = GANG_OUTCOME_IDLE;
    return gang_plan_judge(g, b) == GANG_VERDICT_FITS ? block(g, b, job, w) : 0;
}

int64_t gang_timed_wake_ms(const struct gang *g, int64_t now_ms)
{
    /* What has come already was looked at by the plan of now_ms, and is again after an event. */
    int64_t wake = INT64_MAX;
    for (uint32_t i = 0; i < g->reservations_used; i++)
        if (g->reservations[i].job && g->reservations[i].start_ms > now_ms &&
            g->reservations[i].start_ms < wake)
            wake = g->reservations[i].start_ms;
    int64_t impatient = g->config.patience_ms > 0 && g->waiting ? gang_patience_wake_ms(g) : 0;
    if (impatient > now_ms && impatient < wake)
        wake = impatient;
    if (g->config.patience_ms > 0 && g->waiting && g->turns_ms > now_ms && g->turns_ms < wake)
        wake = g->turns_ms;
    return wake;
}

/* ---- the others ---- */

static bool asked_before(const struct gang *g, const struct gang_bucket *b)
{
    return b->heap_at == UINT32_MAX || b->refused == g->gains;
}

/* The last start that somebody has reserved; now: nobody has. */
static int64_t last_start_ms(const struct gang *g, int64_t now_ms)
{
    int64_t last_ms = now_ms;
    for (uint32_t i = 0; i < g->reservations_used; i++)
        if (g->reservations[i].job && g->reservations[i].active &&
            g->reservations[i].start_ms > last_ms)
            last_ms = g->reservations[i].start_ms;
    return last_ms;
}

/* Of that kind no more than what was counted in this plan, or less, is unclaimed. */
static void bound_unclaimed(const struct gang *g, const struct gang_kind *kind, struct walk *w)
{
    w->bound.unclaimed = kind->unclaimed;
    w->bound.until_s = (last_start_ms(g, w->now_ms) - w->now_ms) / 1000;
}

/* How many pods of the role that is hardest to place fit with nothing withheld. Who may promise to
 * leave may stand on what is kept, too; as long as no quota is limited: whoever is short of that
 * has to be asked, for he may hold others up. */
static const struct gang_work_bound *look_at(struct gang *g, const struct gang_shape *shape,
                                             struct walk *w)
{
    bool kept_too = g->plan.marked && g->config.may_preempt;
    uint32_t role = shape->hardest;
    struct gang_kind *kind = shape->kinds[role];
    if (w->kind == kind)
        return &w->bound;
    heed(g, 0);
    w->kind = kind;
    w->bound = GANG_WORK_ANY;
    if (kind->refusals_plan == g->plan.number && kind->refusals >= REFUSALS)
        bound_unclaimed(g, kind, w);
    if (kept_too && !g->quotas)
        w->bound.pods = gang_fit_total_kept_too(g, shape, role);
    else if (!kept_too)
        w->bound.pods = gang_fit_total(g, shape, role, GANG_NO_LEVEL, 0);
    return &w->bound;
}

/* By the number of pods: most are told so without a closer look. */
static bool cannot(struct gang *g, struct gang_bucket *b, struct walk *w)
{
    const struct gang_shape *shape = gang_bucket_any(b)->shape;
    return gang_work_kind(g, b) && !gang_work_within(g, b, look_at(g, shape, w));
}

/* One of that kind was not placed though so many pods would fit but for claims. All that end too
 * late for the last claim have what is unclaimed. */
static void count_unclaimed(struct gang *g, const struct gang_shape *shape, struct walk *w)
{
    struct gang_kind *kind = shape->kinds[shape->hardest];
    if (kind->refusals_plan != g->plan.number)
        kind->refusals = 0;
    kind->refusals_plan = g->plan.number;
    if (w->kind != kind || g->quotas || kind->refusals >= REFUSALS || ++kind->refusals < REFUSALS)
        return;
    heed(g, INT64_MAX);
    kind->unclaimed = gang_fit_total(g, shape, shape->hardest, GANG_NO_LEVEL, 0);
    bound_unclaimed(g, kind, w);
}

/* Of what was counted. */
static void count_taken(const struct gang_job *job, struct walk *w)
{
    uint32_t pods = job->shape->pods;
    if (!w->kind || job->shape->roles_count > 1 || w->kind != job->shape->kinds[0])
        w->kind = NULL;
    if (w->bound.pods != UINT64_MAX)
        w->bound.pods -= pods <= w->bound.pods ? pods : w->bound.pods;
}

/* `given`: another one has given it its turn, and it gives that to nobody. */
static int ask(struct gang *g, struct gang_bucket *b, bool given, struct walk *w)
{
    struct gang_job *job = gang_bucket_head(b);
    int64_t now_ms = w->now_ms;
    if (cannot(g, b, w)) {
        gang_work_refuse(g, b);
        return 0;
    }
    if (gang_plan_reserve(g, job->shape->pods) < 0)
        return -ENOMEM;
    gang_plan_touch(g, b);
    if (gang_plan_held_by_quota(g, b, job)) {
        gang_plan_park(g, b);
        return 0;
    }
    if ((given || !still_gives_way(g, job, now_ms)) && place_heeding(g, b, job, w)) {
        count_taken(job, w);
        return 0;
    }
    count_unclaimed(g, job->shape, w);
    gang_work_refuse(g, b);
    b->outcome = first_active(g) ? GANG_OUTCOME_RESERVED : GANG_OUTCOME_OPEN;
    return 0;
}

/* It, or who has left for it. */
static int take_or_give(struct gang *g, struct gang_bucket *b, struct walk *w)
{
    bool given;
    struct gang_bucket *instead = gang_preempt_turn(g, b, w->now_ms, &given);
    if (asked_before(g, instead)) {
        instead = b;
        given = false;
    }
    w->asked = instead;
    w->head = gang_bucket_head(instead);
    return ask(g, instead, given, w);
}

static int by_least_work(struct gang *g, struct walk *w)
{
    gang_work_begin(g);
    for (struct gang_bucket *b; (b = gang_work_first(g)) != NULL;) {
        if (gang_bucket_head(b)->left_for == GANG_NO_JOB && cannot(g, b, w)) {
            gang_work_pass(g, &w->bound);
            continue;
        }
        if (take_or_give(g, b, w) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- what is offered: of each kind and queue the first one ---- */

/* Such a bucket may be looked for whom others could leave for. */
static bool may_be_helped(struct gang *g, struct gang_bucket *b)
{
    const struct gang_job *job = gang_bucket_head(b);
    return b->preempt_refused != g->gains && !job->never_preempts &&
           gang_preempt_may_help(g, job) && gang_plan_judge(g, b) == GANG_VERDICT_FITS;
}

static struct gang_work_bound bound_of(struct gang *g, struct gang_kind *kind, struct walk *w)
{
    struct gang_work_bound bound = GANG_WORK_ANY;
    if (!kind || !kind->waiting)
        return bound;
    if (!w->helps)
        return *look_at(g, gang_bucket_any(gang_bucket_at(g, kind->waiting - 1))->shape, w);
    bound.pods = gang_preempt_most_pods(g, kind);
    return bound;
}

/* Of the queue that comes next of a kind the first one that may fit, or may be helped. */
struct offering {
    struct walk *walk;
    struct gang_work_next *next;
};

static enum gang_work_seen offer_one(struct gang *g, struct gang_bucket *b, void *arg)
{
    const struct offering *o = arg;
    if (o->walk->helps && !may_be_helped(g, b))
        return GANG_WORK_NEXT;
    gang_choice_offer(g, b);
    o->next->head = gang_bucket_head(b);
    return gang_choice_pause(g, o->next->head->queue, (uint32_t)(o->next - g->work_next))
               ? GANG_WORK_FOUND
               : GANG_WORK_NEXT_QUEUE;
}

/* Of the queues behind those of which it has offered something. */
static void offer_more(struct gang *g, uint32_t offering, struct walk *w)
{
    struct offering o = {.walk = w, .next = &g->work_next[offering]};
    const struct gang_work_from from = {.head = o.next->head, .whole_queue = true};
    const struct gang_work_bound bound = bound_of(g, o.next->kind, w);
    (void)gang_work_behind(g, o.next->kind, &from, &bound, w->helps, offer_one, &o);
}

static void offer_all(struct gang *g, struct walk *w)
{
    gang_choice_begin(g, GANG_CHOICE_BY_WORK, w->now_ms);
    for (uint32_t i = 0; g->buckets_count && i <= g->work_kinds; i++) {
        g->work_next[i] = (struct gang_work_next){.kind = i < g->work_kinds ? g->work[i] : NULL};
        offer_more(g, i, w);
    }
}

static enum gang_work_seen find_one(struct gang *g, struct gang_bucket *b, void *arg)
{
    const struct walk *w = arg;
    return w->helps && !may_be_helped(g, b) ? GANG_WORK_NEXT : GANG_WORK_FOUND;
}

/* In place of the one that was asked the next of its kind, and of its queue, is offered. */
static void offer_next(struct gang *g, struct walk *w)
{
    struct gang_bucket *b = w->asked;
    const struct gang_work_from from = {.work = b->work, .head = w->head, .same_queue = true};
    uint32_t queue = w->head->queue;
    gang_choice_used(g, queue);
    if (gang_choice_has(g, b)) {
        struct gang_kind *kind = gang_work_kind(g, b);
        const struct gang_work_bound bound = bound_of(g, kind, w);
        gang_choice_take_back(g, b);
        b = gang_work_behind(g, kind, &from, &bound, w->helps, find_one, w);
        if (b)
            gang_choice_offer(g, b);
    }
    for (uint32_t i; (i = gang_choice_resume(g, queue)) != UINT32_MAX;)
        offer_more(g, i, w);
}

/* For want of room it cannot start, nor can anybody behind it: what fits only becomes less
 * meanwhile. But it may give its turn to one that can. */
static bool nobody_can(struct gang *g, struct gang_bucket *b, struct walk *w)
{
    if (g->left.count || g->work_mixed || !cannot(g, b, w))
        return false;
    struct gang_kind *kind = gang_work_kind(g, b);
    if (!gang_work_nobody(g, kind, &w->bound))
        return false;
    kind->nobody_plan = g->plan.number;
    for (uint32_t i = 0; i < g->work_kinds; i++)
        if (g->work[i]->nobody_plan != g->plan.number)
            return false;
    return true;
}

/* The same where queues have shares. */
static int by_share_and_work(struct gang *g, struct walk *w)
{
    w->exactly = true; /* what was withheld from another one is no reason to stand elsewhere */
    offer_all(g, w);
    for (struct gang_bucket *b; (b = gang_choice_first(g)) != NULL; offer_next(g, w)) {
        if (gang_bucket_head(b)->left_for != GANG_NO_JOB)
            heed(g, 0);
        if (nobody_can(g, b, w))
            return 0;
        if (take_or_give(g, b, w) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- making way for short work ---- */

/* Those that found no room, least work first: somebody may have had enough for now. */
static int have_others_leave(struct gang *g, struct walk *w)
{
    uint32_t tries = 0;
    if (!gang_preempt_look(g, w->now_ms))
        return 0;
    w->helps = true;
    offer_all(g, w);
    for (struct gang_bucket *b; tries < TRIES && (b = gang_choice_first(g)) != NULL;) {
        struct gang_job *job = gang_bucket_head(b);
        uint32_t gains = g->gains;
        bool stopping = false;
        w->asked = b;
        w->head = job;
        if (gang_plan_reserve(g, job->shape->pods) < 0)
            return -ENOMEM;
        gang_plan_touch(g, b);
        if (gang_preempt(g, b, job, w->now_ms, &stopping) < 0 || gang_plan_reserve(g, 0) < 0)
            return -ENOMEM;
        heed(g, 0);
        if (stopping) {
            b->outcome = GANG_OUTCOME_STOPPING;
            name_blocker(g, b, job);
            gang_plan_park(g, b);
        } else {
            b->preempt_refused = g->gains;
            tries++;
        }
        if (g->gains != gains)
            offer_all(g, w); /* those that were refused may be helped now */
        else
            offer_next(g, w);
    }
    return 0;
}

int gang_timed_plan(struct gang *g, int64_t now_ms)
{
    struct walk w = {.now_ms = now_ms};
    struct gang_bucket *b;
    bool patient = g->config.patience_ms > 0;
    if (g->config.shares_first)
        gang_patience_find_due(g);
    while (w.held < g->config.reservations &&
           (b = patient ? gang_patience_turn(g, now_ms) : gang_queue_next(g)) != NULL)
        if (take_or_block(g, b, &w) < 0)
            return -ENOMEM;
    drop_inactive(g); /* what they claimed is no reason to wait in this plan */
    if (g->work_by_queue ? by_share_and_work(g, &w) < 0 : by_least_work(g, &w) < 0)
        return -ENOMEM;
    return patient ? have_others_leave(g, &w) : 0;
}
