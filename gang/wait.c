/* Who waits and why, worked out as the host takes it: members of running gangs first, then jobs in
 * order, out of a heap of buckets. A reason is found once for a bucket and kept while others refer
 * to it. */
#include "gang/internal.h"
#include "gang/reserve.h"

#include <string.h>

/* ---- in order ---- */

static const struct gang_job *first_of(const struct gang_bucket *b)
{
    return gang_bucket_job(b, b->told);
}

static void sift_down(const struct gang *g, uint32_t at)
{
    const struct gang_plan *p = &g->plan;
    uint32_t moved = p->waits[at];
    const struct gang_job *job = first_of(gang_bucket_at(g, moved));
    for (uint32_t child = 2 * at + 1; child < p->waits_count; child = 2 * at + 1) {
        const struct gang_job *first = first_of(gang_bucket_at(g, p->waits[child]));
        if (child + 1 < p->waits_count) {
            const struct gang_job *other = first_of(gang_bucket_at(g, p->waits[child + 1]));
            child += gang_job_before(other, first);
            first = gang_job_before(other, first) ? other : first;
        }
        if (!gang_job_before(first, job))
            break;
        p->waits[at] = p->waits[child];
        at = child;
    }
    p->waits[at] = moved;
}

static uint32_t taken_of(const struct gang *g, const struct gang_bucket *b)
{
    return b->plan == g->plan.number ? b->taken : 0;
}

static void begin(struct gang *g)
{
    struct gang_plan *p = &g->plan;
    gang_plan_mark_now(g);
    p->waits_begun = true;
    p->waits_count = 0;
    p->members_next = 0;
    p->first_waits = NULL;
    p->pass++;
    for (uint32_t i = 0; i < GANG_WHYS_KEPT; i++)
        p->whys[i].of = NULL;
    struct gang_bucket_walk walk = {0};
    for (struct gang_bucket *b; (b = gang_bucket_walk_next(g, &walk)) != NULL;) {
        b->told = taken_of(g, b);
        if (b->told < b->count)
            p->waits[p->waits_count++] = b->at;
    }
    for (uint32_t i = p->waits_count / 2; i-- > 0;)
        sift_down(g, i);
}

/* ---- why ---- */

static struct gang_why *remember(struct gang_plan *p, const void *of, bool *ret_known)
{
    size_t slot = ((uintptr_t)of >> 6) % GANG_WHYS_KEPT;
    *ret_known = p->whys[slot].of == of;
    p->whys[slot].of = of;
    return &p->whys[slot].why;
}

/* Somebody else's claim is all that is in its way. */
static bool only_reserved(struct gang *g, const struct gang_job *job, struct gang_why *ret)
{
    struct gang_where where = gang_where_now(job, g->plan.now_ms);
    where.hidden_too = true;
    const struct gang_reservation *first = NULL;
    uint32_t role;
    for (uint32_t i = 0; i < g->reservations_used; i++) {
        const struct gang_reservation *r = &g->reservations[i];
        if (r->job && r->job != job && (!first || r->start_ms < first->start_ms))
            first = r;
    }
    if (!first || !gang_place(g, &where, job->shape, NULL, &role))
        return false;
    *ret = (struct gang_why){.kind = GANG_WHY_RESERVED,
                             .pod = GANG_NO_POD,
                             .blocked_by = first->job->id,
                             .reserved_start_ms = first->start_ms};
    return true;
}

static void find(struct gang *g, const struct gang_question *question, struct gang_why *ret)
{
    gang_plan_apply(g);
    if (question->kind != GANG_WHY_NO_ROOM || question->pod != GANG_NO_POD ||
        !only_reserved(g, question->job, ret))
        gang_why_find(g, question, ret);
    for (uint32_t i = 0; i < ret->holders_count && i < GANG_HOLDERS_MAX; i++) {
        const struct gang_job *holder = gang_job_find(g, ret->holders[i].job);
        int64_t end_ms = holder && holder->nodes ? gang_end_of(holder, g->plan.now_ms) : 0;
        ret->holders[i].until_ms = end_ms == INT64_MAX ? 0 : end_ms;
    }
    gang_plan_unapply(g);
}

static const struct gang_why *why_of_member(struct gang *g, const struct gang_job *job,
                                            uint32_t pod, uint32_t role)
{
    const struct gang_question question = {
        .shape = job->shape,
        .job = job,
        .role = role,
        .pod = pod,
        .pods = 1,
        .kind = GANG_WHY_NO_ROOM,
        .now_ms = g->plan.now_ms,
    };
    bool known;
    struct gang_why *why = remember(&g->plan, &job->nodes[pod], &known);
    if (!known)
        find(g, &question, why);
    return why;
}

/* That of a bucket's first job that waits; the others are behind it, or wait for the same. */
static const struct gang_why *why_of_bucket(struct gang *g, struct gang_bucket *b)
{
    enum gang_verdict verdict = gang_plan_judge(g, b);
    const struct gang_job *job = gang_bucket_any(b);
    uint32_t role = verdict == GANG_VERDICT_FITS ? b->role : gang_plan_judged_role(b);
    struct gang_question question = {
        .shape = job->shape,
        .job = verdict == GANG_VERDICT_NEVER ? NULL : job,
        .level = verdict == GANG_VERDICT_NEVER ? job->required_level
                                               : gang_where_now(job, g->plan.now_ms).level,
        .role = role,
        .pod = GANG_NO_POD,
        .pods = job->shape->roles[role].pods,
        .kind = verdict == GANG_VERDICT_FITS     ? GANG_WHY_NO_ROOM
                : verdict == GANG_VERDICT_OTHERS ? GANG_WHY_OTHERS
                                                 : GANG_WHY_TOO_LARGE,
        .now_ms = g->plan.now_ms,
    };
    bool known;
    struct gang_why *why = remember(&g->plan, b, &known);
    if (!known)
        find(g, &question, why);
    return why;
}

/* What the queue that ends may still use: what is kept for others is not there, but for itself. */
static int64_t left_for(struct gang *g, struct gang_bucket *b, uint32_t resource)
{
    if (b->until_left)
        gang_plan_without_holds(g, true);
    else
        gang_plan_own_hold(g, b, -1);
    int64_t left = gang_queue_available(g, b->blocked_queue, resource);
    if (b->until_left)
        gang_plan_without_holds(g, false);
    else
        gang_plan_own_hold(g, b, 1);
    return left;
}

/* By a limit of its queue, as if the plan were committed. */
static const struct gang_why *why_of_queue(struct gang *g, struct gang_bucket *b,
                                           enum gang_outcome outcome)
{
    const struct gang_queue *q = gang_queue_of(g, b->blocked_queue);
    bool known;
    struct gang_why *why = remember(&g->plan, b, &known);
    if (known)
        return why;
    *why = (struct gang_why){
        .kind = outcome == GANG_OUTCOME_QUOTA || outcome == GANG_OUTCOME_TOO_MUCH ? GANG_WHY_QUOTA
                                                                                  : GANG_WHY_QUEUE,
        .pod = GANG_NO_POD,
        .queue = b->blocked_queue,
        .never_enough = outcome == GANG_OUTCOME_TOO_MUCH};
    gang_plan_apply(g);
    if (why->kind == GANG_WHY_QUOTA) {
        uint32_t r = b->blocked_resource;
        int64_t left = left_for(g, b, r);
        const int64_t *sum = gang_bucket_any(b)->shape->sum;
        why->resource = r;
        why->asked_in_all = sum[r];
        why->used = q->used[r];
        why->limit =
            why->never_enough ? gang_queue_potential(g, b->blocked_queue, r) : q->used[r] + left;
    } else if (outcome == GANG_OUTCOME_QUEUE) {
        why->used = q->running;
        why->limit = q->config.running_jobs_max;
    } else {
        why->asked_in_all = gang_bucket_any(b)->time_limit_ms;
        why->time_limit_max_ms = q->config.time_limit_max_ms;
    }
    gang_plan_unapply(g);
    return why;
}

/* Its queue lets it start never. */
static bool for_ever(enum gang_outcome outcome)
{
    return outcome == GANG_OUTCOME_LIMIT || outcome == GANG_OUTCOME_TOO_MUCH;
}

/* What the plan found out; a limit of its queue holds whether it was asked or not. */
static enum gang_outcome outcome_of(struct gang *g, struct gang_bucket *b)
{
    enum gang_outcome outcome = b->plan == g->plan.number ? b->outcome : GANG_OUTCOME_OPEN;
    if (outcome != GANG_OUTCOME_OPEN)
        return outcome;
    outcome = gang_queue_gate(g, b);
    return for_ever(outcome) ? outcome : GANG_OUTCOME_OPEN;
}

static bool held_by_queue(enum gang_outcome outcome)
{
    return outcome == GANG_OUTCOME_QUOTA || outcome == GANG_OUTCOME_QUEUE || for_ever(outcome);
}

static const struct gang_why *why_stopping(struct gang *g, struct gang_bucket *b)
{
    const struct gang_job *job = gang_bucket_job(b, taken_of(g, b));
    uint64_t count = gang_preempt_stopping(g, job);
    for (uint32_t i = 0; i < g->plan.count; i++)
        count += g->plan.entries[i].kind == GANG_PREEMPT && g->plan.entries[i].for_job == job;
    bool known;
    struct gang_why *why = remember(&g->plan, b, &known);
    *why = (struct gang_why){.kind = GANG_WHY_STOPPING, .pod = GANG_NO_POD, .pods_fit = count};
    return why;
}

static uint32_t own_blocker(const struct gang *g, const struct gang_bucket *b)
{
    bool blocked = b->plan == g->plan.number &&
                   (b->outcome == GANG_OUTCOME_ROOM || b->outcome == GANG_OUTCOME_STOPPING);
    return blocked ? b->blocker : GANG_NO_BLOCKER;
}

/* Who of the plan's blockers holds this job up; GANG_NO_BLOCKER: none but the room itself. */
static uint32_t blocker_of(struct gang *g, struct gang_bucket *b, uint32_t index)
{
    if (gang_plan_judge(g, b) != GANG_VERDICT_FITS)
        return GANG_NO_BLOCKER;
    uint32_t own = own_blocker(g, b);
    uint32_t other = gang_plan_blocker(g, gang_bucket_any(b)->shape, own);
    return other == GANG_NO_BLOCKER && index > taken_of(g, b) ? own : other;
}

static const struct gang_why *behind(struct gang *g, uint32_t index)
{
    struct gang_plan *p = &g->plan;
    const struct gang_blocker *blocker = &p->blockers[index];
    const struct gang_why *why = NULL;
    if (!blocker->bucket)
        why = why_of_member(g, blocker->job, blocker->pod, blocker->role);
    else if (blocker->bucket->outcome == GANG_OUTCOME_STOPPING)
        why = why_stopping(g, blocker->bucket);
    else if (held_by_queue(blocker->bucket->outcome))
        why = why_of_queue(g, blocker->bucket, blocker->bucket->outcome);
    else if (blocker_of(g, blocker->bucket, taken_of(g, blocker->bucket)) == GANG_NO_BLOCKER)
        why = why_of_bucket(g, blocker->bucket);
    p->behind = (struct gang_why){
        .kind = GANG_WHY_BEHIND,
        .pod = GANG_NO_POD,
        .blocked_by = blocker->job->id,
        .first_in_order = blocker->job == p->first_waits,
        .blocker = why,
    };
    return &p->behind;
}

/* ---- decisions ---- */

static bool member_next(struct gang *g, struct gang_decision *ret)
{
    struct gang_plan *p = &g->plan;
    for (; p->members_next < p->count; p->members_next++) {
        const struct gang_entry *e = &p->entries[p->members_next];
        if (e->kind != GANG_WAIT)
            continue;
        p->members_next++;
        if (!p->first_waits)
            p->first_waits = e->job;
        *ret = (struct gang_decision){
            .kind = GANG_WAIT,
            .job = e->job->id,
            .pod = e->pod,
            .for_job = GANG_NO_JOB,
            .why = why_of_member(g, e->job, e->pod, e->role),
        };
        return true;
    }
    return false;
}

static uint32_t next_position(struct gang *g, uint32_t queue)
{
    struct gang_queue *q = gang_queue_of(g, queue);
    if (q->pass != g->plan.pass)
        q->position = 0;
    q->pass = g->plan.pass;
    return ++q->position;
}

bool gang_wait_next(struct gang *g, struct gang_decision *ret)
{
    struct gang_plan *p = &g->plan;
    if (!p->waits_begun)
        begin(g);
    if (member_next(g, ret))
        return true;
    if (!p->waits_count)
        return false;
    struct gang_bucket *b = gang_bucket_at(g, p->waits[0]);
    const struct gang_job *job = first_of(b);
    uint32_t index = b->told++;
    if (b->told == b->count)
        p->waits[0] = p->waits[--p->waits_count];
    if (p->waits_count)
        sift_down(g, 0);
    *ret = (struct gang_decision){
        .kind = GANG_NEVER, .job = job->id, .pod = GANG_NO_POD, .for_job = GANG_NO_JOB};
    enum gang_outcome outcome = outcome_of(g, b);
    const struct gang_reservation *own = gang_reservation_of(g, job);
    ret->estimated_start_ms = own ? own->start_ms : 0;
    if (!for_ever(outcome) && gang_plan_judge(g, b) != GANG_VERDICT_NEVER) {
        ret->kind = GANG_WAIT;
        ret->position = next_position(g, job->queue);
        if (!p->first_waits)
            p->first_waits = job;
    }
    if (ret->kind == GANG_WAIT && outcome == GANG_OUTCOME_STOPPING && index == taken_of(g, b)) {
        ret->why = why_stopping(g, b);
    } else if (ret->kind == GANG_WAIT && outcome == GANG_OUTCOME_BEHIND) {
        ret->why = behind(g, b->blocker);
    } else if (held_by_queue(outcome) && (ret->kind == GANG_WAIT || for_ever(outcome))) {
        ret->why = why_of_queue(g, b, outcome);
    } else {
        uint32_t blocker = blocker_of(g, b, index);
        ret->why = blocker == GANG_NO_BLOCKER ? why_of_bucket(g, b) : behind(g, blocker);
    }
    return true;
}
