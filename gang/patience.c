/* Whose turn it is where all jobs go by least expected work (gang_config.patience_ms): who has
 * waited too long, or comes before by priority; and which of the others is next. Below a queue that
 * shares fairly the branch that has used least for its weight comes first, whatever its jobs. */
#include "gang/patience.h"
#include "gang/choice.h"
#include "gang/turns.h"

/* A job as wide as this part of all there is loses patience early, after this part of the time. */
#define WIDE_PART 8
#define WIDE_PATIENCE 4
/* A job with a limit waits as long as the backlog lasts, so many times, and this part of the
 * patience (of a week, four hours). */
#define BACKLOGS 2
#define LEAST_PART 42
/* So much later than it had lost patience, age counts more than width. */
#define LATE_PART 2

bool gang_patience_is_wide(const struct gang *g, const struct gang_shape *shape)
{
    const int64_t *sum = shape->sum;
    for (uint32_t r = 0; r < g->resources; r++)
        if (sum[r] > 0 && sum[r] >= g->totals[r] / WIDE_PART)
            return true;
    return false;
}

/* Device seconds; the sum over all jobs stays below 2^63. */
static int64_t work_for_backlog(const struct gang_bucket *b)
{
    return b->work / 1000 < INT64_C(1) << 40 ? b->work / 1000 : INT64_C(1) << 40;
}

static bool has_limit(const struct gang_bucket *b)
{
    return gang_bucket_any(b)->time_limit_ms > 0;
}

/* For how long the whole cluster would be busy with what waits, at most patience_ms: as far as it
 * is known, so without jobs that say no limit. */
static int64_t backlog_ms(const struct gang *g)
{
    int64_t total = 0, most = g->config.patience_ms;
    for (uint32_t r = GANG_DEVICE_0; r < g->resources; r++)
        total += g->totals[r];
    if (total <= 0)
        total = g->totals[GANG_CPU_MILLI] / 1000;
    if (total <= 0 || g->waiting_work / total >= most / 1000)
        return most;
    return g->waiting_work / total * 1000 + g->waiting_work % total * 1000 / total;
}

int64_t gang_patience_of_ms(const struct gang *g, bool has_limit, bool is_wide)
{
    int64_t patience = g->config.patience_ms;
    if (is_wide)
        patience /= WIDE_PATIENCE;
    if (has_limit) {
        int64_t busy = BACKLOGS * backlog_ms(g) + g->config.patience_ms / LEAST_PART;
        patience = busy < patience ? busy : patience;
    }
    return patience;
}

int64_t gang_patience_ends_ms(const struct gang *g, const struct gang_job *job)
{
    return job->since_ms +
           gang_patience_of_ms(g, job->time_limit_ms > 0, gang_patience_is_wide(g, job->shape));
}

int64_t gang_patience_ms(const struct gang *g, uint64_t id, int64_t now_ms)
{
    const struct gang_job *job = gang_job_find(g, id);
    if (g->config.patience_ms <= 0 || !job || !job->bucket || job->asked_for ||
        job->priority > g->waiting_lowest || gang_patience_ends_ms(g, job) <= now_ms)
        return 0;
    return g->config.patience_ms / (gang_patience_is_wide(g, job->shape) ? WIDE_PATIENCE : 1);
}

/* impatient_ms was found for another backlog. If that is less now, patience ends earlier. */
int64_t gang_patience_wake_ms(const struct gang *g)
{
    int64_t less = BACKLOGS * (g->impatient_backlog_ms - backlog_ms(g));
    return less > 0 && g->impatient_ms > INT64_MIN ? g->impatient_ms - less : g->impatient_ms;
}

/* Nobody of a lower priority passes it, and nobody at all takes what others leave for it. */
static int64_t has_turn_from(const struct gang *g, const struct gang_job *job)
{
    if (job->asked_for || job->priority > g->waiting_lowest)
        return INT64_MIN;
    return gang_patience_ends_ms(g, job);
}

void gang_patience_joined(struct gang *g, const struct gang_job *job)
{
    bool first = g->waiting == 0;
    if (first || job->priority < g->waiting_lowest) {
        g->waiting_lowest = job->priority;
        g->impatient_ms = 0; /* others may come before it */
    }
    if (first || job->priority > g->waiting_highest)
        g->waiting_highest = job->priority;
    g->waiting_work += has_limit(job->bucket) ? work_for_backlog(job->bucket) : 0;
    int64_t backlog = backlog_ms(g), early = has_turn_from(g, job);
    if (backlog > g->impatient_backlog_ms)
        g->impatient_backlog_ms = backlog;
    if (early > INT64_MIN)
        early += BACKLOGS * (g->impatient_backlog_ms - backlog);
    g->impatient_ms = early < g->impatient_ms ? early : g->impatient_ms;
}

void gang_patience_left(struct gang *g, const struct gang_bucket *from)
{
    g->waiting_work -= has_limit(from) ? work_for_backlog(from) : 0;
}

/* ---- what is due to queues ---- */

/* Whether that has changed for any of them. Where nobody waits, nobody has had more than its due.
 */
static bool find_due_below(struct gang *g, const struct gang_queue *parent)
{
    gang_wide used = 0, weights = 0;
    bool changed = false;
    for (uint32_t c = parent->first_child; c; c = g->queues[c].next_sibling)
        if (g->queues[c].waiting) {
            used += gang_queue_counted(g, &g->queues[c], g->plan.now_ms);
            weights += g->queues[c].config.weight;
        }
    for (uint32_t c = parent->first_child; c; c = g->queues[c].next_sibling) {
        struct gang_queue *q = &g->queues[c];
        bool due = !weights ||
                   gang_queue_counted(g, q, g->plan.now_ms) * weights <= used * q->config.weight;
        changed = changed || due != q->due;
        q->due = due;
    }
    return changed;
}

void gang_patience_find_due(struct gang *g)
{
    bool changed = false;
    for (uint32_t i = 1; g->waiting && i < g->queues_count; i++)
        if (g->queues[i].config.order == GANG_ORDER_FAIR_SHARE)
            changed = find_due_below(g, &g->queues[i]) || changed;
    g->gains += changed; /* claimed room, or the slices of others, may be for somebody now */
}

bool gang_patience_is_due(const struct gang *g, uint32_t queue)
{
    if (!g->config.shares_first || g->config.patience_ms <= 0)
        return true;
    for (uint32_t i = queue + 1; i; i = g->queues[i].parent) {
        uint32_t parent = g->queues[i].parent;
        if (parent && g->queues[parent].config.order == GANG_ORDER_FAIR_SHARE && !g->queues[i].due)
            return false;
    }
    return true;
}

/* ---- which is next ---- */

static bool less_work(const struct gang_bucket *a, const struct gang_bucket *b)
{
    if (a->work != b->work)
        return a->work < b->work;
    return gang_job_before(gang_bucket_head(a), gang_bucket_head(b));
}

/* From when on age counts more than width, for one that had waited too long then. */
static int64_t far_too_long(const struct gang *g, int64_t too_long_ms)
{
    return too_long_ms + g->config.patience_ms / LATE_PART;
}

/* Of equal priority: whom others leave for; who has waited far too long, the first to lose patience
 * first; who has waited too long, the wider first, then the older; then the least work. */
static bool more_urgent(const struct gang *g, const struct gang_bucket *a,
                        const struct gang_bucket *b, int64_t now_ms)
{
    const struct gang_turn *i = gang_turn_of(g, a), *k = gang_turn_of(g, b);
    int64_t end_i = gang_turn_ends_ms(g, i), end_k = gang_turn_ends_ms(g, k);
    bool over_i = end_i <= now_ms, over_k = end_k <= now_ms;
    if (i->asked_for != k->asked_for)
        return i->asked_for;
    if (over_i != over_k)
        return over_i;
    if (!over_i)
        return less_work(a, b);
    bool late = far_too_long(g, end_i) <= now_ms || far_too_long(g, end_k) <= now_ms;
    if (late && end_i != end_k)
        return end_i < end_k;
    if (i->width != k->width)
        return i->width > k->width;
    return i->since_ms != k->since_ms ? i->since_ms < k->since_ms
                                      : gang_job_before(gang_bucket_head(a), gang_bucket_head(b));
}

bool gang_patience_before(const struct gang *g, const struct gang_bucket *a,
                          const struct gang_bucket *b, bool by_work, int64_t now_ms)
{
    int32_t priority = by_work ? gang_bucket_head(a)->priority : gang_turn_of(g, a)->priority;
    int32_t other = by_work ? gang_bucket_head(b)->priority : gang_turn_of(g, b)->priority;
    if (priority != other)
        return priority > other;
    return by_work ? less_work(a, b) : more_urgent(g, a, b, now_ms);
}

/* Those that left may have been the last of their priority. */
static void find_priorities(struct gang *g)
{
    const struct gang_turns *t = g->turns;
    g->waiting_lowest = INT32_MAX;
    g->waiting_highest = INT32_MIN;
    for (uint32_t i = 0; i < t->end; i++) {
        if (!t->turns[i].waits)
            continue;
        int32_t priority = t->turns[i].priority;
        g->waiting_lowest = priority < g->waiting_lowest ? priority : g->waiting_lowest;
        g->waiting_highest = priority > g->waiting_highest ? priority : g->waiting_highest;
    }
}

/* Where shares come first, patience counts while its queue has used no more than its due. */
static bool may_come_first(const struct gang *g, const struct gang_turn *turn)
{
    return !g->config.shares_first || turn->asked_for || gang_patience_is_due(g, turn->queue);
}

/* As has_turn_from(). */
static int64_t comes_from(const struct gang *g, const struct gang_turn *turn)
{
    if (turn->asked_for || turn->priority > g->waiting_lowest)
        return INT64_MIN;
    return gang_turn_ends_ms(g, turn);
}

/* From when on it has its turn; *ret_next: when the next one has, and turns_ms when the order of
 * those that have it may be another. */
static int64_t note(struct gang *g, const struct gang_turn *turn, int64_t now_ms, int64_t *ret_next)
{
    int64_t from = comes_from(g, turn), changes = gang_turn_ends_ms(g, turn);
    if (changes <= now_ms)
        changes = far_too_long(g, changes);
    *ret_next = from < *ret_next ? from : *ret_next;
    if (changes > now_ms && changes < g->turns_ms)
        g->turns_ms = changes;
    return from;
}

/* The first one in its turn of all, where queues do not share; *ret_next: when the next one has
 * its turn. */
static struct gang_bucket *first_turn(struct gang *g, int64_t now_ms, int64_t *ret_next)
{
    const struct gang_turns *t = g->turns;
    struct gang_bucket *best = NULL;
    for (uint32_t i = 0; i < t->end; i++) {
        const struct gang_turn *turn = &t->turns[i];
        if (!turn->waits || note(g, turn, now_ms, ret_next) > now_ms || !may_come_first(g, turn))
            continue;
        struct gang_bucket *b = gang_bucket_at(g, i);
        if (!best || gang_patience_before(g, b, best, false, now_ms))
            best = b;
    }
    return best;
}

/* Where they do. */
static struct gang_bucket *first_turn_by_share(struct gang *g, int64_t now_ms, int64_t *ret_next)
{
    const struct gang_turns *t = g->turns;
    gang_choice_begin(g, GANG_CHOICE_BY_URGENCY, now_ms);
    for (uint32_t i = 0; i < t->end; i++) {
        const struct gang_turn *turn = &t->turns[i];
        if (turn->waits && note(g, turn, now_ms, ret_next) <= now_ms && may_come_first(g, turn))
            gang_choice_offer_best(g, gang_bucket_at(g, i));
    }
    return gang_choice_first(g);
}

static struct gang_bucket *most_urgent_of(struct gang *g, uint32_t queue, int64_t now_ms)
{
    const struct gang_queue *q = gang_queue_of(g, queue);
    struct gang_bucket *best = NULL;
    for (uint32_t i = 0; i < q->heap_count; i++) {
        struct gang_bucket *b = gang_bucket_at(g, q->heap[i]);
        const struct gang_turn *turn = gang_turn_of(g, b);
        if (comes_from(g, turn) <= now_ms && may_come_first(g, turn) &&
            (!best || gang_patience_before(g, b, best, false, now_ms)))
            best = b;
    }
    return best;
}

/* Where they do, and all that waits stands in queues side by side: then shares alone say which of
 * those is first. Many have used nothing, which needs no reckoning. */
static struct gang_bucket *first_turn_side_by_side(struct gang *g, int64_t now_ms,
                                                   int64_t *ret_next)
{
    const struct gang_turns *t = g->turns;
    struct gang_use least = {0};
    uint32_t first = GANG_NO_QUEUE;
    uint64_t look = ++g->turns->looks;
    for (uint32_t i = 0; i < t->end; i++) {
        const struct gang_turn *turn = &t->turns[i];
        bool has_it = turn->waits && note(g, turn, now_ms, ret_next) <= now_ms;
        struct gang_turns_queue *q = &t->queues[turn->queue];
        if (!has_it || q->look == look || !may_come_first(g, turn))
            continue;
        q->look = look;
        const struct gang_use use =
            q->used ? gang_use_of(g, turn->queue + 1, now_ms) : (struct gang_use){.weight = 1};
        if (first == GANG_NO_QUEUE || gang_use_is_less(&use, turn->queue, &least, first)) {
            least = use;
            first = turn->queue;
        }
    }
    return first == GANG_NO_QUEUE ? NULL : most_urgent_of(g, first, now_ms);
}

struct gang_bucket *gang_patience_turn(struct gang *g, int64_t now_ms)
{
    int64_t next = INT64_MAX;
    if (now_ms < gang_patience_wake_ms(g) || !g->buckets_count)
        return NULL;
    gang_turns_begin(g);
    if (g->turn_plan != g->plan.number) {
        find_priorities(g);
        g->turns_ms = INT64_MAX;
    }
    struct gang_bucket *best = !gang_queue_order_moves(g) ? first_turn(g, now_ms, &next)
                               : gang_choice_is_flat(g) ? first_turn_side_by_side(g, now_ms, &next)
                                                        : first_turn_by_share(g, now_ms, &next);
    /* Whose turn it was in this plan, and who still waits, has it in the next one, too. */
    if (best || next <= now_ms)
        g->turn_plan = g->plan.number;
    g->impatient_ms = g->turn_plan == g->plan.number ? 0 : next;
    g->impatient_backlog_ms = backlog_ms(g);
    return best;
}
