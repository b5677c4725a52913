/* Who may be asked to leave, for whom, that it helps, and that nobody is asked in vain. */
#include "tests/property/gang/properties.h"

#include <inttypes.h>
#include <string.h>

static int64_t devices_of(const struct job *job)
{
    gang_amounts all;
    job_amounts(job, all);
    return all[GANG_DEVICE_0] + all[GANG_DEVICE_0 + 1];
}

/* A job that was preempted before has its next run to itself for a while, unless it runs revocably.
 */
static bool is_protected(const struct world *w, const struct job *job, bool revoked)
{
    return job->request.never_preempted || (!revoked && job->request.was_preempted &&
                                            (w->now_ms - job->started_ms < w->config.f[C_MIN_RUN] ||
                                             (job->request.saves && job->saved_ms < 0)));
}

static bool may_by_priority(const struct world *w, const struct job *victim,
                            const struct job *other)
{
    return victim->request.queue == other->request.queue &&
           w->queues[other->request.queue].config.within_queue != GANG_PREEMPTION_NEVER &&
           victim->request.priority < other->request.priority;
}

static bool is_above(const struct world *w, uint32_t above, uint32_t queue)
{
    while (queue != GANG_NO_QUEUE && queue != above)
        queue = w->queues[queue].config.parent;
    return queue == above;
}

/* Of two queues below one that shares fairly: the branch that has used less is not sliced for the
 * other, and nothing that is guaranteed on the way down. */
static bool queues_share(const struct world *w, const struct job *victim, const struct job *other,
                         const struct queue_sums *sums)
{
    uint32_t theirs = victim->request.queue, own = other->request.queue;
    if (is_above(w, theirs, own) || is_above(w, own, theirs))
        return false;
    for (; !is_above(w, w->queues[theirs].config.parent, own);
         theirs = w->queues[theirs].config.parent)
        if (w->queues[theirs].config.parent == GANG_NO_QUEUE)
            break;
    uint32_t common = w->queues[theirs].config.parent;
    while (w->queues[own].config.parent != common)
        own = w->queues[own].config.parent;
    bool fair = common != GANG_NO_QUEUE && w->queues[common].config.order == GANG_ORDER_FAIR_SHARE;
    if (fair ? queue_used_less(w, sums, theirs, own) : !is_patient(w))
        return false;
    gang_amounts more;
    job_amounts(other, more);
    for (uint32_t q = victim->request.queue; q != common; q = w->queues[q].config.parent)
        for (uint32_t r = 0; r < RESOURCES; r++) {
            int64_t nominal = w->queues[q].config.nominal[r], used = sums[q].used[r];
            if (more[r] > 0 && used > 0 && nominal != GANG_UNLIMITED && used <= nominal)
                return false;
        }
    return true;
}

/* Where shares come first, one that has waited too long takes what is due to its branch from one
 * that has used more than its due. */
static bool takes_its_due(const struct world *w, const struct job *victim, const struct job *other)
{
    return shares_come_first(w) && victim->request.queue != other->request.queue &&
           is_impatient(w, other, w->now_ms) && queue_is_due(w, other->request.queue) &&
           !queue_is_due(w, victim->request.queue);
}

/* With patience the queues below one that does not share fairly, and all roots, are one line;
 * slices are for those that know no limit, and had not waited too long when they started. */
static bool may_by_slice(const struct world *w, const struct job *victim, const struct job *other,
                         const struct queue_sums *sums)
{
    int64_t slice = w->queues[victim->request.queue].config.time_slice_ms;
    int64_t ran = w->now_ms - victim->started_ms;
    if (is_patient(w) && !takes_its_due(w, victim, other) &&
        (victim->request.time_limit_ms || is_impatient(w, victim, victim->started_ms)))
        return false;
    return slice && ran >= slice && other->request.priority >= victim->request.priority &&
           (victim->request.queue == other->request.queue ||
            queues_share(w, victim, other, sums)) &&
           /* Without devices it is CPUs that count, which is not looked at here. */
           (devices_of(victim) == 0 || devices_of(other) == 0 ||
            is_impatient(w, other, w->now_ms) ||
            (victim->request.attained_ms + ran) * devices_of(victim) >=
                2 * other->request.attained_ms * devices_of(other));
}

static uint32_t common_queue(const struct world *w, const struct job *victim,
                             const struct job *other)
{
    uint32_t common = victim->request.queue;
    while (common != GANG_NO_QUEUE && !is_above(w, common, other->request.queue))
        common = w->queues[common].config.parent;
    return common;
}

/* ---- those for whom others leave ----
 * Quota is kept for a job that others leave for: for all behind it those that leave count as gone,
 * and it as there. Which jobs come before another one is not looked at here: what is done must be
 * right for some of them. */

struct awaited {
    const struct job *jobs[JOBS];
    uint32_t count, asked; /* of the decisions only the first `asked` have been made */
    const struct job *but; /* the one that is looked at */
};

static bool makes_way(const struct world *w, const struct job *job, const struct job *other,
                      uint32_t asked)
{
    if (job->state == PLACED && job->stopping && job->for_job == other->id)
        return true;
    for (uint32_t i = 0; i < asked; i++)
        if (w->decisions[i].d.kind == GANG_PREEMPT && w->decisions[i].job == job &&
            w->decisions[i].d.for_job == other->id)
            return true;
    return false;
}

static void find_awaited(const struct world *w, const struct job *but, uint32_t asked,
                         struct awaited *ret)
{
    *ret = (struct awaited){.asked = asked, .but = but};
    for (uint32_t k = 0; k < JOBS; k++) {
        bool any = false;
        for (uint32_t j = 0; j < JOBS; j++)
            any = any || makes_way(w, &w->jobs[j], &w->jobs[k], asked);
        if (any && w->jobs[k].state == WAITING && &w->jobs[k] != but)
            ret->jobs[ret->count++] = &w->jobs[k];
    }
}

/* Bit k of `which`: the k-th of them is before the job that is looked at. `gone` (or NULL) is
 * without those that leave; in `there` those for whom they leave count, too. */
static void count_awaited(const struct world *w, const struct awaited *a, uint32_t which,
                          struct queue_sums *gone, struct queue_sums *there)
{
    for (uint32_t k = 0; k < a->count; k++) {
        if (!(which >> k & 1))
            continue;
        for (uint32_t j = 0; j < JOBS; j++) {
            if (!makes_way(w, &w->jobs[j], a->jobs[k], a->asked) ||
                makes_way(w, &w->jobs[j], a->but, w->decisions_count))
                continue;
            queue_add(w, w->jobs[j].request.queue, &w->jobs[j], -1, there);
            if (gone)
                queue_add(w, w->jobs[j].request.queue, &w->jobs[j], -1, gone);
        }
        queue_add(w, a->jobs[k]->request.queue, a->jobs[k], 1, there);
    }
}

/* Each queue on the way from the victim to `common` uses more than it has. */
static bool owes(const struct world *w, const struct job *victim, uint32_t common,
                 const struct queue_sums *sums, const gang_amounts more)
{
    for (uint32_t q = victim->request.queue; q != common; q = w->queues[q].config.parent)
        if (!borrows_from_above(w, sums, q, more))
            return false;
    return true;
}

/* Within what the branch of the job has, when those have left that are asked for it as well: only
 * what others have borrowed, each on the way down to the victim. */
static bool may_by_reclaim(const struct world *w, const struct job *victim, const struct job *other,
                           const struct queue_sums *sums, uint32_t asked)
{
    enum gang_queue_preemption reclaim = w->queues[other->request.queue].config.reclaim;
    uint32_t common = common_queue(w, victim, other);
    struct awaited a;
    gang_amounts more;
    job_amounts(other, more);
    if (common == GANG_NO_QUEUE || victim->request.queue == other->request.queue ||
        !(reclaim == GANG_PREEMPTION_ANY || (reclaim == GANG_PREEMPTION_LOWER_PRIORITY &&
                                             victim->request.priority < other->request.priority)))
        return false;
    for (uint32_t r = 0; r < RESOURCES; r++) {
        bool has_quota = false; /* the other branch */
        for (uint32_t q = other->request.queue; q != common; q = w->queues[q].config.parent)
            has_quota = has_quota || w->queues[q].config.nominal[r] != GANG_UNLIMITED;
        more[r] = has_quota ? more[r] : 0;
    }
    find_awaited(w, other, asked, &a);
    for (uint32_t which = 0; which >> a.count == 0; which++) {
        struct queue_sums gone[QUEUES], then[QUEUES];
        memcpy(gone, sums, sizeof gone);
        memcpy(then, sums, sizeof then);
        count_awaited(w, &a, which, gone, then);
        for (uint32_t j = 0; j < JOBS; j++)
            if (makes_way(w, &w->jobs[j], other, w->decisions_count))
                queue_add(w, w->jobs[j].request.queue, &w->jobs[j], -1, then);
        if (owes(w, victim, common, gone, more) && within_branch(w, then, other, common))
            return true;
    }
    return false;
}

static const struct decision *decision_about(const struct world *w, const struct job *job)
{
    for (uint32_t i = 0; i < w->decisions_count; i++)
        if (w->decisions[i].job == job && w->decisions[i].d.pod == GANG_NO_POD &&
            w->decisions[i].d.kind != GANG_PREEMPT)
            return &w->decisions[i];
    return NULL;
}

/* It has a limit, and will have ended by the reserved start that it was let in before. */
static bool would_end_in_time(const struct world *w, const struct job *victim,
                              const struct job *other)
{
    const struct decision *its = decision_about(w, other);
    const struct gang_job_request *q = &victim->request;
    return q->time_limit_ms && its && its->d.estimated_start_ms &&
           victim->started_ms + q->time_limit_ms + q->grace_ms <= its->d.estimated_start_ms;
}

static void check_victim(struct world *w, const struct decision *d, const struct job *other,
                         const struct queue_sums *sums)
{
    const struct job *victim = d->job;
    bool may = false;
    if (!w->config.f[C_PREEMPT])
        return fail(w, "job %" PRIu64 " is asked to leave, but nobody may be", victim->id);
    if (victim->state != PLACED || victim->stopping)
        return fail(w, "job %" PRIu64 " is asked to leave, but holds no place or leaves already",
                    victim->id);
    if (is_protected(w, victim, d->d.cause == GANG_CAUSE_REVOKED))
        return fail(w, "job %" PRIu64 " is asked to leave, but is protected", victim->id);
    switch (d->d.cause) {
    case GANG_CAUSE_PRIORITY:
        may = may_by_priority(w, victim, other);
        break;
    case GANG_CAUSE_RECLAIM:
        may = may_by_reclaim(w, victim, other, sums, (uint32_t)(d - w->decisions));
        break;
    case GANG_CAUSE_TIME_SLICE:
        may = may_by_slice(w, victim, other, sums);
        break;
    case GANG_CAUSE_REVOKED:
        may = victim->revocable && !would_end_in_time(w, victim, other);
        break;
    }
    if (!may)
        fail(w, "job %" PRIu64 " is asked to leave for job %" PRIu64 ", which the cause %d forbids",
             victim->id, other->id, (int)d->d.cause);
}

/* What is free, and what queues use, were some jobs gone. */
struct what_if {
    gang_amounts boards[NODES];
    struct queue_sums sums[QUEUES];
};

static void what_if_gone(const struct world *w, struct what_if *f, const struct job *job)
{
    boards_take(job, job->nodes, f->boards, -1);
    queue_add(w, job->request.queue, job, -1, f->sums);
}

static bool would_start(const struct world *w, struct what_if *f, const struct job *job)
{
    return gang_fits(w, job, f->boards, schedulable_mask(w) & allowed_mask(w, job, false),
                     level_now(w, job)) &&
           !quota_short(w, f->sums, job) && jobs_allowed(w, f->sums, job);
}

/* The same as far as its turn is concerned: for some of those before it whom others leave for. */
static bool would_start_then(const struct world *w, const struct what_if *f, const struct job *job,
                             uint32_t asked)
{
    struct awaited a;
    bool starts = false;
    find_awaited(w, job, asked, &a);
    for (uint32_t which = 0; !starts && which >> a.count == 0; which++) {
        struct what_if then = *f;
        count_awaited(w, &a, which, NULL, then.sums);
        for (uint32_t q = 0; q < QUEUES; q++) /* those that leave still run */
            then.sums[q].jobs = f->sums[q].jobs;
        starts = would_start(w, &then, job);
    }
    return starts;
}

static bool is_victim_of(const struct world *w, const struct job *job, uint64_t other)
{
    for (uint32_t i = 0; i < w->decisions_count; i++)
        if (w->decisions[i].d.kind == GANG_PREEMPT && w->decisions[i].job == job &&
            w->decisions[i].d.for_job == other)
            return true;
    return false;
}

static bool stops_for(const struct job *job, uint64_t other)
{
    return job->state == PLACED && job->stopping && job->for_job == other;
}

/* Revocable jobs asked at the last moment at which they will have left by its reserved start; then
 * those that end before are gone, too. */
static bool asked_in_time(struct world *w, const struct job *other, const struct what_if *all_gone)
{
    const struct decision *its = decision_about(w, other);
    int64_t start = its ? its->d.estimated_start_ms : 0;
    struct what_if then = *all_gone;
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        const struct decision *d = &w->decisions[i];
        if (d->d.kind == GANG_PREEMPT && d->d.for_job == other->id &&
            (d->d.cause != GANG_CAUSE_REVOKED ||
             w->now_ms + d->job->request.grace_ms + !d->job->request.grace_ms < start))
            return false;
    }
    for (uint32_t j = 0; j < JOBS; j++) {
        const struct job *job = &w->jobs[j];
        int64_t end = job->state == PLACED ? expected_end_ms(w, job) : INT64_MAX;
        if (end <= start && /* 0: nobody knows */ !stops_for(job, other->id) &&
            !is_victim_of(w, job, other->id))
            what_if_gone(w, &then, job);
    }
    int64_t now_ms = w->now_ms;
    w->now_ms = start > now_ms ? start : now_ms; /* what it avoids and prefers may be over then */
    bool starts = would_start(w, &then, other);
    w->now_ms = now_ms;
    return start && w->config.f[C_RESERVATIONS] && starts;
}

/* What others than this one give back is still the job's own when this one stays. */
static bool may_still_reclaim(const struct world *w, const struct job *stays,
                              const struct job *other, const struct what_if *f)
{
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        const struct decision *d = &w->decisions[i];
        if (d->d.kind == GANG_PREEMPT && d->d.for_job == other->id && d->job != stays &&
            d->d.cause == GANG_CAUSE_RECLAIM &&
            !within_branch(w, f->sums, other, common_queue(w, d->job, other)))
            return false;
    }
    return true;
}

/* With all gone that were asked to leave for it the job starts, and with any of them spared it does
 * not. The free room is that before the plan: what the plan has placed before is taken off. */
static void check_enough(struct world *w, const struct job *other, bool minimal)
{
    struct what_if gone;
    uint32_t asked = 0;
    boards_of(w, ROOM_NOW, gone.boards);
    queue_use(w, gone.sums);
    for (; asked < w->decisions_count; asked++) {
        const struct decision *d = &w->decisions[asked];
        if (d->d.kind == GANG_PREEMPT && d->d.for_job == other->id)
            break;
        if (d->d.kind == GANG_PLACE) {
            boards_take(d->job, d->nodes, gone.boards, 1);
            queue_add(w, d->job->request.queue, d->job, 1, gone.sums);
        }
    }
    if (minimal && other->request.roles_count == 1 && would_start(w, &gone, other))
        return fail(w, "jobs are asked to leave for job %" PRIu64 ", which has room without that",
                    other->id);
    for (uint32_t j = 0; j < JOBS; j++)
        if (stops_for(&w->jobs[j], other->id) || is_victim_of(w, &w->jobs[j], other->id))
            what_if_gone(w, &gone, &w->jobs[j]);
    if (other->request.roles_count > 1 || asked_in_time(w, other, &gone))
        return;
    if (!would_start_then(w, &gone, other, asked))
        return fail(w,
                    "jobs are asked to leave for job %" PRIu64 ", which does not fit then either",
                    other->id);
    for (uint32_t j = 0; minimal && j < JOBS && !failed(w); j++) {
        if (!is_victim_of(w, &w->jobs[j], other->id))
            continue;
        struct what_if spared = gone;
        boards_take(&w->jobs[j], w->jobs[j].nodes, spared.boards, 1);
        queue_add(w, w->jobs[j].request.queue, &w->jobs[j], 1, spared.sums);
        if (would_start(w, &spared, other) && may_still_reclaim(w, &w->jobs[j], other, &spared))
            fail(w, "job %" PRIu64 " is asked to leave for job %" PRIu64 ", but could be spared",
                 w->jobs[j].id, other->id);
    }
}

/* Quota may be kept for it, which others use. */
static bool may_hold(const struct world *w, const struct decision *d)
{
    struct queue_sums sums[QUEUES], none[QUEUES] = {{{0}, 0}};
    queue_use(w, sums);
    return d->why.kind == GANG_WHY_QUOTA && holds_own(w, sums, none, d, 0);
}

/* Whether nothing else could have a claim on room: it is the first for whom anything is done. */
static bool is_undisputed(const struct world *w, const struct job *other)
{
    for (uint32_t j = 0; j < JOBS; j++) {
        const struct job *job = &w->jobs[j];
        if (job->state == PLACED && job->stopping && job->for_job != other->id)
            return false;
        if (job->state == WAITING && job != other &&
            (fair_is_used(w) || quota_is_used(w) || comes_before(job, other))) {
            const struct decision *d = decision_about(w, job);
            if (!d || may_hold(w, d))
                return false;
            if ((d->d.kind == GANG_WAIT && d->why.kind != GANG_WHY_QUOTA &&
                 d->why.kind != GANG_WHY_QUEUE && d->why.kind != GANG_WHY_OTHERS))
                return false;
        }
        for (uint32_t pod = 0; job->state == PLACED && pod < job->pods; pod++)
            if (job->nodes[pod] == GANG_NO_NODE)
                return false;
    }
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        if (w->decisions[i].d.kind == GANG_PREEMPT)
            return w->decisions[i].d.for_job == other->id;
    }
    return true;
}

/* Whether this job could be asked to leave for the other one, by a rule that needs no quota. */
static bool could_be_asked(const struct world *w, const struct job *job, const struct job *other)
{
    const struct decision *its = decision_about(w, other);
    int64_t start = its ? its->d.estimated_start_ms : 0;
    int64_t leaves = w->now_ms + job->request.grace_ms + !job->request.grace_ms;
    return job->state == PLACED && !job->stopping && (!start || leaves <= start) &&
           ((is_on_call(job) && !is_protected(w, job, true)) ||
            (may_by_priority(w, job, other) && !is_protected(w, job, false)));
}

/* Somebody is asked to leave for the first in order if that can help it at all. */
static void check_helped(struct world *w, const struct decision *d)
{
    const struct job *other = d->job;
    struct what_if gone;
    if (other->request.roles_count > 1 || !waits_for_room(d) || is_patient(w) ||
        !is_undisputed(w, other))
        return;
    boards_of(w, ROOM_NOW, gone.boards);
    queue_use(w, gone.sums);
    for (uint32_t i = 0; i < w->decisions_count; i++)
        if (w->decisions[i].d.kind == GANG_PLACE) {
            boards_take(w->decisions[i].job, w->decisions[i].nodes, gone.boards, 1);
            queue_add(w, w->decisions[i].job->request.queue, w->decisions[i].job, 1, gone.sums);
        }
    if (would_start(w, &gone, other)) /* looked at elsewhere */
        return;
    for (uint32_t j = 0; j < JOBS; j++) {
        if (w->jobs[j].state == PLACED &&
            (w->jobs[j].stopping || is_victim_of(w, &w->jobs[j], other->id)))
            return;
        if (could_be_asked(w, &w->jobs[j], other))
            what_if_gone(w, &gone, &w->jobs[j]);
    }
    if (would_start(w, &gone, other))
        fail(w, "job %" PRIu64 " waits, though those that may be asked to leave for it hold it up",
             other->id);
}

static bool ends_by(const struct world *w, const struct job *job, int64_t start_ms)
{
    const struct gang_job_request *q = &job->request;
    return q->time_limit_ms && w->now_ms + q->time_limit_ms + q->grace_ms <= start_ms;
}

/* Those that were asked to leave for it have left, and it has room: then it is not passed over for
 * somebody behind it. */
static void check_claim(struct world *w, const struct decision *d)
{
    struct what_if now;
    bool passed = false;
    if (fair_is_used(w) || quota_is_used(w) || is_patient(w) || !on(PROPERTY_CLAIM))
        return;
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == PLACED && w->jobs[j].stopping)
            return;
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        const struct decision *other = &w->decisions[i];
        /* One before it has taken it, keeps what it could use, or has a reserved start since, or an
         * earlier one, that this one, which starts for keeps or not at all, would make later. */
        int64_t start = other->d.estimated_start_ms;
        int64_t heeded = d->job->heeded_ms[other->job - w->jobs];
        bool keeps = waits_for_room(other) &&
                     (!start || ((!heeded || start < heeded) && !ends_by(w, d->job, start)));
        if (other->d.kind == GANG_REPLACE)
            return; /* members come before all */
        if ((other->d.kind == GANG_PLACE || keeps) &&
            (comes_before(other->job, d->job) || other->job->id == d->job->gave_way))
            return;
        passed = passed || other->d.kind == GANG_PLACE;
    }
    boards_of(w, ROOM_NOW, now.boards);
    queue_use(w, now.sums);
    if (passed && d->job->claims && !d->job->excused && d->job->request.roles_count == 1 &&
        would_start(w, &now, d->job))
        fail(w, "job %" PRIu64 ": others have left for it, but somebody behind it is placed",
             d->job->id);
}

/* What is left beside all that the plan has placed but those that left for this one. */
static void what_if_placed(const struct world *w, struct what_if *f, const struct job *other)
{
    boards_of(w, ROOM_NOW, f->boards);
    queue_use(w, f->sums);
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        const struct decision *d = &w->decisions[i];
        for (uint32_t r = 0; d->d.kind == GANG_REPLACE && r < RESOURCES; r++)
            f->boards[d->nodes[0]][r] -= role_of(d->job, d->d.pod)->request[r];
        if (d->d.kind != GANG_PLACE || d->job->left_for == other->id)
            continue;
        boards_take(d->job, d->nodes, f->boards, 1);
        queue_add(w, d->job->request.queue, d->job, 1, f->sums);
    }
}

/* One before it in its own queue is short of quota that it needs, too: it does not start before. */
static bool is_behind_in_queue(const struct world *w, const struct job *job)
{
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        const struct decision *d = &w->decisions[i];
        if (d->d.kind == GANG_WAIT && d->d.pod == GANG_NO_POD && d->why.kind == GANG_WHY_QUOTA &&
            d->job->request.queue == job->request.queue && comes_before(d->job, job) &&
            (needs_of(job) >> d->why.resource & 1))
            return true;
    }
    return false;
}

/* It waits behind one that is short of quota; or in strict order, where what the one before both
 * could not use is free to all, and so is quota that is not kept. */
static bool is_behind(struct world *w, const struct decision *its)
{
    if (its->why.kind == GANG_WHY_QUOTA)
        return !w->config.f[C_RESERVATIONS] || is_behind_in_queue(w, its->job);
    if (its->why.kind != GANG_WHY_BEHIND)
        return false;
    const struct job *before = job_by_id(w, its->why.blocked_by);
    const struct decision *other = before ? decision_about(w, before) : NULL;
    return !w->config.f[C_RESERVATIONS] || (other && other->why.kind == GANG_WHY_QUOTA);
}

/* One that waits has left for it: it was given that one's turn, and passes it on to nobody. */
static bool may_be_given_a_turn(const struct world *w, const struct job *job)
{
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == WAITING && w->jobs[j].gave_way == job->id)
            return true;
    return false;
}

/* Who has left for another one does not take the place again while that one waits and could start.
 */
static void check_ping_pong(struct world *w)
{
    for (uint32_t i = 0; i < w->decisions_count && !failed(w); i++) {
        const struct decision *d = &w->decisions[i];
        const struct job *other = d->job->left_for ? job_by_id(w, d->job->left_for) : NULL;
        const struct decision *its = other ? decision_about(w, other) : NULL;
        struct what_if now;
        if (may_be_given_a_turn(w, d->job))
            continue;
        if (d->d.kind != GANG_PLACE || !its || its->d.kind != GANG_WAIT || !other->claims ||
            other->request.roles_count > 1 || is_behind(w, its))
            continue;
        what_if_placed(w, &now, other);
        if (would_start(w, &now, other))
            fail(w, "job %" PRIu64 " has left for job %" PRIu64 ", and is placed again before it",
                 d->job->id, other->id);
    }
}

void check_preemptions(struct world *w)
{
    struct queue_sums sums[QUEUES];
    uint64_t checked[JOBS] = {0};
    uint32_t checked_count = 0;
    queue_use(w, sums);
    if (on(PROPERTY_PING_PONG))
        check_ping_pong(w);
    for (uint32_t i = 0; i < w->decisions_count && !failed(w); i++) {
        const struct decision *d = &w->decisions[i];
        if (d->d.kind == GANG_PLACE)
            queue_add(w, d->job->request.queue, d->job, 1, sums);
        if (d->d.kind != GANG_PREEMPT)
            continue;
        struct job *other = job_by_id(w, d->d.for_job);
        const struct decision *its = other ? decision_about(w, other) : NULL;
        if (!other || !its || its->d.kind != GANG_WAIT)
            return fail(
                w, "job %" PRIu64 " is asked to leave for job %" PRIu64 ", which does not wait",
                d->job->id, d->d.for_job);
        check_victim(w, d, other, sums);
        bool again = false;
        for (uint32_t k = 0; k < checked_count; k++)
            again = again || checked[k] == other->id;
        if (again || failed(w))
            continue;
        checked[checked_count++] = other->id;
        check_enough(w, other, !is_patient(w) && is_undisputed(w, other));
    }
    for (uint32_t i = 0; i < w->decisions_count && !failed(w) && w->config.f[C_PREEMPT]; i++)
        if (w->decisions[i].d.kind == GANG_WAIT && w->decisions[i].d.pod == GANG_NO_POD) {
            check_helped(w, &w->decisions[i]);
            check_claim(w, &w->decisions[i]);
        }
}
