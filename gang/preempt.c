/* Whom to ask to leave so that a blocked job can start. Those that may be asked are taken off the
 * free board, the cheapest first, until the job fits; then each is tried to be spared, the dearest
 * first, so that no member of the set could be left out. */
#include "gang/internal.h"
#include "gang/patience.h"
#include "gang/reserve.h"

#include <errno.h>
#include <stdlib.h>

static int64_t devices_of(const struct gang *g, const struct gang_shape *shape)
{
    int64_t devices = 0;
    const int64_t *sum = shape->sum;
    for (uint32_t r = GANG_DEVICE_0; r < g->resources; r++)
        devices += sum[r];
    return devices > 0 ? devices : 1;
}

/* Until then a job that was preempted before is left alone; INT64_MAX: until it has saved. */
static int64_t protected_until(const struct gang *g, const struct gang_job *v)
{
    if (!v->was_preempted)
        return 0;
    if (v->saves && !v->saved)
        return INT64_MAX;
    return gang_stay(v)->started_ms + g->config.min_run_ms;
}

/* For whom somebody is to leave, and what of that is the same whoever is asked. */
struct seeker {
    const struct gang_job *job;
    int64_t now_ms, devices;
    int64_t starts_ms; /* its reserved start; INT64_MAX: none that stands */
    bool is_impatient; /* it takes its slice from whoever has had one */
};

/* With what it has run now it has had at least twice what the job that waits has had. */
static bool has_had_twice(const struct gang *g, const struct gang_job *v, int64_t ran,
                          const struct seeker *s)
{
    int64_t theirs = (v->attained_ms + ran) / 2, own = s->job->attained_ms;
    if (theirs <= 0 || own <= 0)
        return theirs > 0;
    return own <= theirs / s->devices * devices_of(g, v->shape);
}

/* With patience the work of jobs with a limit is known, and who has once waited too long has paid:
 * slices are for the others. */
static bool is_spared(const struct gang *g, const struct gang_job *v)
{
    return g->config.patience_ms > 0 &&
           (v->time_limit_ms > 0 || gang_patience_ends_ms(g, v) <= gang_stay(v)->started_ms);
}

/* Where shares come first: what is due to its queue, from one that has had more. */
static bool takes_its_due(const struct gang *g, const struct gang_job *v, const struct seeker *s)
{
    return g->config.shares_first && v->queue != s->job->queue && s->is_impatient &&
           gang_patience_is_due(g, s->job->queue) && !gang_patience_is_due(g, v->queue);
}

/* Queues share by slices where they stand below one that shares fairly; not what is guaranteed to
 * the queue of the one that runs, and not at the cost of a queue that has used less. */
static bool queues_share(const struct gang *g, const struct gang_job *v, const struct gang_job *job)
{
    uint32_t asks = gang_shape_asks(g, job->shape), theirs, own;
    uint32_t common = gang_queue_common(g, v->queue, job->queue, &theirs, &own);
    bool fair = common && g->queues[common].config.order == GANG_ORDER_FAIR_SHARE;
    bool line = !fair && g->config.patience_ms > 0; /* all of it goes by work */
    if (!theirs || !own || !(fair || line) || (fair && gang_queue_used_less(g, theirs, own)))
        return false;
    for (uint32_t i = v->queue + 1; i != common; i = g->queues[i].parent)
        for (uint32_t r = 0; r < g->resources; r++)
            if ((asks >> r & 1) && g->queues[i].used[r] > 0 &&
                g->queues[i].config.nominal[r] != GANG_UNLIMITED &&
                g->queues[i].used[r] <= g->queues[i].config.nominal[r])
                return false;
    return true;
}

/* It may be asked to leave because it has had its slices. Whole ones count, so that it is enough to
 * look when one ends. */
static bool may_be_sliced(struct gang *g, const struct gang_job *v, const struct seeker *s)
{
    int64_t slice = gang_queue_of(g, v->queue)->config.time_slice_ms;
    int64_t ran = s->now_ms - gang_stay(v)->started_ms;
    if (slice <= 0 || ran < slice || v->priority > s->job->priority ||
        (is_spared(g, v) && !takes_its_due(g, v, s)))
        return false;
    ran -= ran % slice;
    if ((s->is_impatient || has_had_twice(g, v, ran, s)) &&
        (v->queue == s->job->queue || queues_share(g, v, s->job)))
        return true;
    int64_t next = gang_stay(v)->started_ms + ran + slice;
    if (next < g->slice_wake_ms)
        g->slice_wake_ms = next;
    return false;
}

/* What its queue, and each one above it up to where they meet, has borrowed of what the job lacks.
 */
static bool owes(const struct gang *g, const struct gang_job *v, const struct gang_job *job)
{
    return gang_borrow_owes(g, v->queue, job->queue, g->wanted);
}

/* That is the job's own, once those of its own queue that were asked have left. */
static bool may_reclaim(const struct gang *g, const struct gang_job *v, const struct gang_job *job)
{
    uint32_t theirs, own, common = gang_queue_common(g, v->queue, job->queue, &theirs, &own);
    return gang_borrow_within(g, job->queue, job->shape, common);
}

static bool may_be_asked(struct gang *g, const struct gang_job *v, const struct seeker *s,
                         enum gang_cause *ret_cause)
{
    const struct gang_job *job = s->job;
    const struct gang_queue_config *c = &gang_queue_of(g, job->queue)->config;
    if (v->never_preempted || v->stopping)
        return false;
    *ret_cause = GANG_CAUSE_REVOKED;
    if (gang_is_on_call(v))
        return true;
    if (protected_until(g, v) > s->now_ms)
        return false;
    *ret_cause = GANG_CAUSE_PRIORITY;
    if (v->queue == job->queue && c->within_queue != GANG_PREEMPTION_NEVER &&
        v->priority < job->priority)
        return true;
    *ret_cause = GANG_CAUSE_RECLAIM;
    if (v->queue != job->queue && c->reclaim != GANG_PREEMPTION_NEVER &&
        (c->reclaim == GANG_PREEMPTION_ANY || v->priority < job->priority) && owes(g, v, job) &&
        (c->within_queue != GANG_PREEMPTION_NEVER || may_reclaim(g, v, job)))
        return true;
    *ret_cause = GANG_CAUSE_TIME_SLICE;
    return may_be_sliced(g, v, s);
}

/* ---- the candidates, cheapest first ---- */

/* Who was let in on condition first, then who gives back what it had borrowed. */
static int turn_of(enum gang_cause cause)
{
    return cause == GANG_CAUSE_REVOKED ? 0 : cause == GANG_CAUSE_RECLAIM ? 1 : 2;
}

static int cheaper_first(const void *a, const void *b)
{
    const struct gang_victim *x = a, *y = b;
    int order_x = turn_of(x->cause), order_y = turn_of(y->cause);
    if (order_x != order_y)
        return order_x < order_y ? -1 : 1;
    if (x->job->priority != y->job->priority)
        return x->job->priority < y->job->priority ? -1 : 1;
    int64_t lost_x = x->job->saved ? gang_stay(x->job)->saved_ms : gang_stay(x->job)->started_ms;
    int64_t lost_y = y->job->saved ? gang_stay(y->job)->saved_ms : gang_stay(y->job)->started_ms;
    if (lost_x != lost_y)
        return lost_x > lost_y ? -1 : 1; /* less is lost */
    if (gang_stay(x->job)->started_ms != gang_stay(y->job)->started_ms)
        return gang_stay(x->job)->started_ms > gang_stay(y->job)->started_ms ? -1 : 1;
    return (x->job->id > y->job->id) - (x->job->id < y->job->id);
}

static bool already_asked(const struct gang *g, const struct gang_job *v)
{
    for (uint32_t i = 0; i < g->plan.count; i++)
        if (g->plan.entries[i].kind == GANG_PREEMPT && g->plan.entries[i].job == v)
            return true;
    return false;
}

static int add_victim(struct gang *g, struct gang_job *v, enum gang_cause cause, bool rightful)
{
    if (gang_reserve(g, &g->victims, &g->victims_capacity, (size_t)g->victims_count + 1,
                     sizeof *g->victims) < 0)
        return -ENOMEM;
    g->victims[g->victims_count++] =
        (struct gang_victim){.job = v, .cause = cause, .rightful = rightful};
    return 0;
}

static struct seeker seeker_of(struct gang *g, const struct gang_job *job, int64_t now_ms)
{
    const struct gang_reservation *own = gang_reservation_of(g, job);
    bool stands = own && !own->broken && !own->provisional && own->start_ms > now_ms;
    return (struct seeker){
        .job = job,
        .now_ms = now_ms,
        .devices = devices_of(g, job->shape),
        .starts_ms = stands ? own->start_ms : INT64_MAX,
        .is_impatient = g->config.patience_ms > 0 && gang_patience_ends_ms(g, job) <= now_ms,
    };
}

/* Nobody of a lower priority holds a place, and nothing is taken back for it: only those come into
 * question that gang_preempt_look() has found in this plan. */
static bool only_slices(const struct gang *g, const struct gang_job *job)
{
    return !g->config.shares_first && g->askable_plan == g->plan.number &&
           job->priority <= g->lowest_priority &&
           gang_queue_of(g, job->queue)->config.reclaim == GANG_PREEMPTION_NEVER;
}

struct asked {
    bool sliced_only;
    uint32_t next;
    struct gang_ends_at at;
};

static struct gang_job *next_asked(const struct gang *g, struct asked *from)
{
    if (!from->sliced_only)
        return gang_ends_next(g, &from->at);
    return from->next < g->askable_count ? g->askable[from->next++] : NULL;
}

static int find_candidates(struct gang *g, const struct gang_job *job, int64_t now_ms)
{
    const struct seeker seeker = seeker_of(g, job, now_ms);
    enum gang_cause cause;
    struct asked from = {.sliced_only = only_slices(g, job)};
    g->victims_count = 0;
    g->all_rightful = true;
    g->wanted = gang_borrow_wanted(g, job->queue, job->shape);
    for (struct gang_job *v; (v = next_asked(g, &from)) != NULL;) {
        if (gang_leaves_by(v, now_ms) > seeker.starts_ms) /* it starts before this one has left */
            continue;
        if (!may_be_asked(g, v, &seeker, &cause) || already_asked(g, v))
            continue;
        bool rightful = cause != GANG_CAUSE_RECLAIM || may_reclaim(g, v, job);
        g->all_rightful = g->all_rightful && rightful;
        if (add_victim(g, v, cause, rightful) < 0)
            return -ENOMEM;
    }
    if (g->victims_count)
        qsort(g->victims, g->victims_count, sizeof *g->victims, cheaper_first);
    return 0;
}

/* ---- trying ---- */

static void put_off(struct gang *g, struct gang_victim *v, bool off)
{
    if (off)
        gang_room_give_gang(g, v->job->shape, v->job->nodes);
    else
        gang_room_take_gang(g, v->job->shape, v->job->nodes);
    if (g->quotas || g->running_limits || g->sharing) /* else nobody minds */
        gang_queue_charge(g, v->job->queue, v->job->shape, off ? -1 : 1);
    gang_reserve_what_if_left(g, v->job, off);
    v->off = off;
}

static bool passes_gate(struct gang *g, struct gang_bucket *b)
{
    enum gang_outcome outcome = b->outcome;
    uint32_t queue = b->blocked_queue;
    uint8_t resource = b->blocked_resource;
    bool open = gang_queue_gate(g, b) == GANG_OUTCOME_OPEN;
    b->outcome = (uint8_t)outcome;
    b->blocked_queue = queue;
    b->blocked_resource = resource;
    return open;
}

/* Quota and limits would let it start. */
static bool is_open(struct gang *g, struct gang_bucket *b)
{
    gang_plan_own_hold(g, b, -1);
    bool open = passes_gate(g, b);
    gang_plan_own_hold(g, b, 1);
    return open;
}

/* They would, were no quota kept for anybody. */
static bool is_open_but_for_holds(struct gang *g, struct gang_bucket *b)
{
    gang_plan_without_holds(g, true);
    bool open = passes_gate(g, b);
    gang_plan_without_holds(g, false);
    return open;
}

static bool has_room(struct gang *g, const struct gang_job *job, int64_t now_ms, bool kept_too)
{
    struct gang_where where = gang_where_now(job, now_ms);
    where.hidden_too = kept_too;
    uint32_t role;
    return (kept_too || !gang_cannot_fit(g, job->shape)) &&
           gang_place(g, &where, job->shape, NULL, &role);
}

static bool fits_now(struct gang *g, struct gang_bucket *b, const struct gang_job *job,
                     int64_t now_ms)
{
    return is_open(g, b) && has_room(g, job, now_ms, false);
}

/* It fits, and does not borrow itself what it has taken back from others. */
static bool is_served(struct gang *g, struct gang_bucket *b, const struct gang_job *job,
                      int64_t now_ms)
{
    if (!fits_now(g, b, job, now_ms))
        return false;
    for (uint32_t i = 0; i < g->victims_count; i++) {
        const struct gang_victim *v = &g->victims[i];
        if (v->off && v->cause == GANG_CAUSE_RECLAIM && !may_reclaim(g, v->job, job))
            return false;
    }
    return true;
}

/* Not if its queue has given back what it had borrowed, or has used no more than its part. */
static bool still_may(const struct gang *g, const struct gang_victim *v, const struct gang_job *job)
{
    if (v->cause == GANG_CAUSE_RECLAIM)
        return owes(g, v->job, job);
    return v->cause != GANG_CAUSE_TIME_SLICE || v->job->queue == job->queue ||
           queues_share(g, v->job, job);
}

/* Spares whom it can. One that is spared may let another one be spared that came before. */
static void spare(struct gang *g, struct gang_bucket *b, struct gang_job *job, int64_t now_ms)
{
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = g->victims_count; i-- > 0;) {
            if (!g->victims[i].off)
                continue;
            put_off(g, &g->victims[i], false);
            if (is_served(g, b, job, now_ms))
                again = true;
            else
                put_off(g, &g->victims[i], true);
        }
    }
}

static void put_back(struct gang *g)
{
    for (uint32_t i = 0; i < g->victims_count; i++)
        if (g->victims[i].off)
            put_off(g, &g->victims[i], false);
}

/* From whom something is taken back: from those who have borrowed what is the job's own as it is,
 * or will be when those of its own queue have left; or from nobody. */
enum lenders { LENDS_ITS_OWN, LENDS_THEN, NOBODY_LENDS };

/* Takes candidates off until the job fits. False: not with all of them. */
static bool take_off(struct gang *g, struct gang_bucket *b, struct gang_job *job, int64_t now_ms,
                     enum lenders lenders)
{
    for (uint32_t i = 0; i < g->victims_count; i++) {
        struct gang_victim *v = &g->victims[i];
        if ((v->cause == GANG_CAUSE_RECLAIM &&
             (lenders == NOBODY_LENDS || (lenders == LENDS_ITS_OWN && !v->rightful))) ||
            !still_may(g, v, job))
            continue;
        put_off(g, v, true);
        if (is_served(g, b, job, now_ms))
            return true;
    }
    put_back(g);
    return false;
}

/* Where it would borrow what it takes back, it may still fit without taking anything back. */
static bool choose(struct gang *g, struct gang_bucket *b, struct gang_job *job, int64_t now_ms)
{
    bool fits = take_off(g, b, job, now_ms, LENDS_ITS_OWN) ||
                (!g->all_rightful && take_off(g, b, job, now_ms, LENDS_THEN)) ||
                take_off(g, b, job, now_ms, NOBODY_LENDS);
    if (fits)
        spare(g, b, job, now_ms);
    return fits;
}

/* The longest grace of those that are off, or of all. */
static int64_t longest_grace(const struct gang *g, bool all)
{
    int64_t longest = 0;
    for (uint32_t i = 0; i < g->victims_count; i++)
        if ((all || g->victims[i].off) && g->victims[i].job->grace_ms > longest)
            longest = g->victims[i].job->grace_ms;
    return longest;
}

/* With what is free and all of them gone there may be devices for it: where jobs with a limit are
 * among them, there are many, and to try them one by one is dear. */
static bool are_enough(const struct gang *g, const struct gang_job *job)
{
    uint64_t most = g->free_devices;
    for (uint32_t i = 0; i < g->victims_count; i++)
        most += (uint64_t)devices_of(g, g->victims[i].job->shape);
    return (uint64_t)devices_of(g, job->shape) <= most + 1; /* 1: of one without devices */
}

/* It starts when they have left, and must leave reserved starts alone then. */
static bool choose_heeding(struct gang *g, struct gang_bucket *b, struct gang_job *job,
                           int64_t now_ms)
{
    gang_timed_heed(g, job, now_ms);
    if (g->config.shares_first && !are_enough(g, job))
        return false;
    if (!choose(g, b, job, now_ms))
        return false;
    if (gang_timed_heeds(g, job, now_ms + longest_grace(g, false)))
        return true;
    put_back(g);
    gang_timed_heed(g, job, now_ms + longest_grace(g, true));
    return choose(g, b, job, now_ms);
}

/* Not for one that has room, and only gives its turn to another one. */
static bool anybody_leaves(const struct gang *g)
{
    bool any = false;
    for (uint32_t i = 0; i < g->victims_count; i++)
        any = any || g->victims[i].off;
    return any;
}

static int ask_all(struct gang *g, struct gang_job *job)
{
    for (uint32_t i = 0; i < g->victims_count; i++) {
        if (!g->victims[i].off)
            continue;
        if (gang_plan_reserve(g, 0) < 0)
            return -ENOMEM;
        struct gang_entry *e = &g->plan.entries[g->plan.count++];
        *e = (struct gang_entry){.kind = GANG_PREEMPT,
                                 .job = g->victims[i].job,
                                 .pod = GANG_NO_POD,
                                 .for_job = job,
                                 .cause = g->victims[i].cause,
                                 .first_node = (uint32_t)g->plan.nodes_count};
    }
    return 0;
}

uint32_t gang_preempt_stopping(const struct gang *g, const struct gang_job *job)
{
    uint32_t count = 0;
    for (uint32_t i = 0; g->odd_jobs && i < g->unsteady.count; i++) {
        const struct gang_job *v = g->unsteady.jobs[i];
        count += v->stopping && gang_stay(v)->for_job == job->id;
    }
    return count;
}

/* Nobody who holds a place is one of those that are ever asked for such a job. */
static bool is_pointless(const struct gang *g, const struct gang_job *job)
{
    return g->config.patience_ms > 0 && !g->config.shares_first && !g->open_ended && !g->odd_jobs &&
           job->priority <= g->lowest_priority &&
           gang_queue_of(g, job->queue)->config.reclaim == GANG_PREEMPTION_NEVER;
}

bool gang_preempt_look(struct gang *g, int64_t now_ms)
{
    struct gang_ends_at at = {0};
    int64_t total = 0;
    if (!g->config.may_preempt || !g->waiting)
        return false;
    for (uint32_t r = GANG_DEVICE_0; r < g->resources; r++)
        total += g->totals[r];
    g->askable_devices = total;
    g->askable_count = 0;
    g->askable_plan = g->plan.number;
    for (struct gang_job *v; g->open_ended && (v = gang_ends_next(g, &at)) != NULL;) {
        int64_t slice = gang_queue_of(g, v->queue)->config.time_slice_ms;
        if (gang_is_on_call(v) || (slice > 0 && now_ms - gang_stay(v)->started_ms >= slice &&
                                   !v->stopping && !v->never_preempted && !is_spared(g, v)))
            g->askable[g->askable_count++] = v;
        else if (total > 0)
            g->askable_devices -= devices_of(g, v->shape);
    }
    return g->askable_count > 0 || g->waiting_highest > g->lowest_priority;
}

bool gang_preempt_may_help(const struct gang *g, const struct gang_job *job)
{
    return job->priority > g->lowest_priority || g->askable_devices == 0 ||
           devices_of(g, job->shape) <= g->askable_devices;
}

uint64_t gang_preempt_most_pods(const struct gang *g, const struct gang_kind *kind)
{
    int64_t devices = 0;
    for (uint32_t r = GANG_DEVICE_0; r < g->resources; r++)
        devices += kind->request[r];
    if (g->waiting_highest > g->lowest_priority || !g->askable_devices || !devices)
        return UINT64_MAX;
    return g->askable_devices > 0 ? (uint64_t)(g->askable_devices / devices) : 0;
}

int gang_preempt(struct gang *g, struct gang_bucket *b, struct gang_job *job, int64_t now_ms,
                 bool *ret_stopping)
{
    *ret_stopping = false;
    if (!g->config.may_preempt || job->never_preempts)
        return 0;
    if (gang_preempt_stopping(g, job)) {
        *ret_stopping = true;
        return 0;
    }
    if (b->preempt_refused == g->gains && g->plan.count == 0)
        return 0;
    if (is_pointless(g, job))
        return 0;
    if (find_candidates(g, job, now_ms) < 0)
        return -ENOMEM;
    bool chosen = choose_heeding(g, b, job, now_ms) && anybody_leaves(g);
    int rc = chosen ? ask_all(g, job) : 0;
    if (rc == 0 && chosen)
        rc = gang_reserve_after(g, job, now_ms);
    put_back(g);
    if (!chosen && g->plan.count == 0)
        b->preempt_refused = g->gains;
    *ret_stopping = chosen;
    return rc;
}

/* One that it relies on runs past its limit, and longer than was reckoned. */
static bool somebody_is_late(const struct gang *g, const struct gang_reservation *r, int64_t now_ms)
{
    struct gang_ends_at at = {0};
    uint64_t bit = UINT64_C(1) << (r - g->reservations);
    for (const struct gang_job *v;
         (v = gang_ends_next(g, &at)) != NULL && gang_stay(v)->end_ms <= now_ms;)
        if ((gang_stay(v)->relied & bit) && gang_end_of(v, now_ms) > r->start_ms)
            return true;
    return false;
}

void gang_preempt_missed(struct gang *g, struct gang_reservation *r, int64_t now_ms)
{
    uint64_t bit = UINT64_C(1) << (r - g->reservations);
    bool due = false;
    for (uint32_t i = 0; g->odd_jobs && i < g->unsteady.count; i++) {
        const struct gang_job *v = g->unsteady.jobs[i];
        if (!v->revocable || v->stopping || !(gang_stay(v)->relied & bit) ||
            gang_ends_in_time(v, r->start_ms))
            continue;
        due = due || gang_leaves_by(v, now_ms) >= r->start_ms;
        if (gang_leaves_by(v, now_ms) > r->start_ms && gang_stay(v)->end_ms > r->start_ms)
            r->broken = true;
    }
    /* Nobody leaves for a start that will not be. */
    if (due && !r->broken && somebody_is_late(g, r, now_ms))
        r->broken = true;
}

int gang_preempt_due(struct gang *g, struct gang_reservation *r, int64_t now_ms, bool *ret_stopping)
{
    uint64_t bit = UINT64_C(1) << (r - g->reservations);
    g->victims_count = 0;
    for (uint32_t i = 0; g->config.may_preempt && g->odd_jobs && i < g->unsteady.count; i++) {
        struct gang_job *v = g->unsteady.jobs[i];
        if (v->revocable && !v->stopping && (gang_stay(v)->relied & bit) &&
            !gang_ends_in_time(v, r->start_ms) && gang_leaves_by(v, now_ms) >= r->start_ms &&
            !already_asked(g, v) && add_victim(g, v, GANG_CAUSE_REVOKED, true) < 0)
            return -ENOMEM;
    }
    if (!g->victims_count)
        return 0;
    qsort(g->victims, g->victims_count, sizeof *g->victims, cheaper_first);
    for (uint32_t i = g->victims_count; i-- > 0;) {
        g->victims[i].off = gang_reservation_needs(g, r, g->victims[i].job);
        *ret_stopping = *ret_stopping || g->victims[i].off;
    }
    return ask_all(g, r->job);
}

/* When it must be asked to have left by the reserved starts that rely on it. */
static int64_t due_ms(const struct gang *g, const struct gang_job *v)
{
    int64_t due = INT64_MAX;
    for (uint32_t i = 0; v->revocable && !v->stopping && i < g->reservations_used; i++)
        if (g->reservations[i].job && g->reservations[i].provisional)
            return INT64_MIN; /* the next plan will know */
        else if ((gang_stay(v)->relied >> i & 1) &&
                 !gang_ends_in_time(v, g->reservations[i].start_ms) &&
                 g->reservations[i].start_ms - gang_leaves_by(v, 0) < due)
            due = g->reservations[i].start_ms - gang_leaves_by(v, 0);
    return due;
}

struct gang_bucket *gang_preempt_turn(struct gang *g, struct gang_bucket *bucket, int64_t now_ms,
                                      bool *ret_given)
{
    *ret_given = false;
    /* Each began to wait before the one that left for it did: the chain ends. Who could not start
     * anyway has no turn to give. */
    for (struct gang_job *job = gang_bucket_head(bucket);
         job->left_for != GANG_NO_JOB && is_open(g, bucket) &&
         gang_plan_judge(g, bucket) == GANG_VERDICT_FITS;) {
        job = gang_job_find(g, job->left_for);
        struct gang_bucket *its = job ? job->bucket : NULL;
        if (!its || its->heap_at == UINT32_MAX || its == bucket || /* its equal */
            !(fits_now(g, its, job, now_ms) || gang_preempt_stopping(g, job)))
            break;
        bucket = its;
        *ret_given = true;
    }
    return bucket;
}

/* One before it in its queue was short of what it needs, too, in this plan. */
static bool is_behind(const struct gang *g, const struct gang_job *job)
{
    const struct gang_queue *q = gang_queue_of(g, job->queue);
    return q->plan == g->plan.number && (q->blocked_resources & gang_shape_asks(g, job->shape));
}

bool gang_preempt_gives_way(struct gang *g, const struct gang_job *job, int64_t now_ms)
{
    const struct gang_job *other =
        job->left_for == GANG_NO_JOB ? NULL : gang_job_find(g, job->left_for);
    return other && other->bucket && other->bucket != job->bucket && !other->in_plan &&
           !is_behind(g, other) &&
           (is_open(g, other->bucket) || is_open_but_for_holds(g, other->bucket)) &&
           has_room(g, other, now_ms, g->plan.marked);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When this one may be asked to leave, or has to be, if not now. */
static int64_t may_be_asked_from(const struct gang *g, const struct gang_job *v, int64_t now_ms)
{
    int64_t due = due_ms(g, v), may = protected_until(g, v);
    int64_t slice = gang_queue_of(g, v->queue)->config.time_slice_ms;
    int64_t sliced = gang_stay(v)->started_ms + slice;
    due = due > INT64_MIN ? due : now_ms + 1;
    int64_t from = due > now_ms ? due : INT64_MAX;
    if (may > now_ms)
        from = earlier(from, may);
    if (slice > 0 && sliced > now_ms && sliced < from && !is_spared(g, v))
        from = sliced;
    return from;
}

int64_t gang_preempt_wake_ms(const struct gang *g, int64_t now_ms)
{
    struct gang_ends_at at = {0};
    int64_t wake = g->slice_wake_ms > now_ms && g->waiting ? g->slice_wake_ms : INT64_MAX;
    if (!g->config.may_preempt || !g->waiting)
        return wake;
    /* With patience those that end by their limits have no slices. */
    for (uint32_t i = 0; g->config.patience_ms > 0 && i < g->unsteady.count; i++)
        wake = earlier(wake, may_be_asked_from(g, g->unsteady.jobs[i], now_ms));
    for (const struct gang_job *v;
         g->config.patience_ms <= 0 && (v = gang_ends_next(g, &at)) != NULL;)
        wake = earlier(wake, may_be_asked_from(g, v, now_ms));
    return wake;
}
