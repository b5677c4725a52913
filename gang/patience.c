/* Whose turn it is where all jobs go by least expected work (gang_config.patience_ms): who has
 * waited too long, or comes before by priority; and which of the others is next. Below a queue that
 * shares fairly the branch that has used least for its weight comes first, whatever its jobs. */
#include "gang/patience.h"

/* A job as wide as this part of all there is loses patience early, after this part of the time. */
#define WIDE_PART 8
#define WIDE_PATIENCE 4
/* A job with a limit waits as long as the backlog lasts, so many times, and this part of the
 * patience (of a week, four hours). */
#define BACKLOGS 2
#define LEAST_PART 42
/* So much later than it had lost patience, age counts more than width. */
#define LATE_PART 2

static bool is_wide(const struct gang *g, const struct gang_shape *shape)
{
    gang_amounts sum;
    gang_shape_sum(g, shape, sum);
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

int64_t gang_patience_ends_ms(const struct gang *g, const struct gang_job *job)
{
    int64_t patience = g->config.patience_ms;
    if (is_wide(g, job->shape))
        patience /= WIDE_PATIENCE;
    if (job->time_limit_ms > 0) {
        int64_t busy = BACKLOGS * backlog_ms(g) + g->config.patience_ms / LEAST_PART;
        patience = busy < patience ? busy : patience;
    }
    return job->since_ms + patience;
}

int64_t gang_patience_ms(const struct gang *g, uint64_t id, int64_t now_ms)
{
    const struct gang_job *job = gang_job_find(g, id);
    if (g->config.patience_ms <= 0 || !job || !job->bucket || job->asked_for ||
        job->priority > g->waiting_lowest || gang_patience_ends_ms(g, job) <= now_ms)
        return 0;
    return g->config.patience_ms / (is_wide(g, job->shape) ? WIDE_PATIENCE : 1);
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

static void find_due_below(struct gang *g, const struct gang_queue *parent)
{
    gang_wide used = 0, weights = 0;
    for (uint32_t c = parent->first_child; c; c = g->queues[c].next_sibling)
        if (g->queues[c].waiting) {
            used += gang_queue_counted(g, &g->queues[c], g->plan.now_ms);
            weights += g->queues[c].config.weight;
        }
    for (uint32_t c = parent->first_child; c; c = g->queues[c].next_sibling)
        g->queues[c].due = gang_queue_counted(g, &g->queues[c], g->plan.now_ms) * weights <=
                           used * g->queues[c].config.weight;
}

void gang_patience_find_due(struct gang *g)
{
    for (uint32_t i = 1; i < g->queues_count; i++)
        if (g->queues[i].config.order == GANG_ORDER_FAIR_SHARE && g->queues[i].waiting)
            find_due_below(g, &g->queues[i]);
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

enum order { BY_URGENCY, BY_WORK };

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
    const struct gang_job *i = gang_bucket_head(a), *k = gang_bucket_head(b);
    int64_t end_i = gang_patience_ends_ms(g, i), end_k = gang_patience_ends_ms(g, k);
    bool over_i = end_i <= now_ms, over_k = end_k <= now_ms;
    gang_amounts x, y;
    if (i->asked_for != k->asked_for)
        return i->asked_for;
    if (over_i != over_k)
        return over_i;
    if (!over_i)
        return less_work(a, b);
    bool late = far_too_long(g, end_i) <= now_ms || far_too_long(g, end_k) <= now_ms;
    if (late && end_i != end_k)
        return end_i < end_k;
    gang_shape_sum(g, i->shape, x);
    gang_shape_sum(g, k->shape, y);
    int64_t wide_i = gang_share(g, x), wide_k = gang_share(g, y);
    if (wide_i != wide_k)
        return wide_i > wide_k;
    return i->since_ms != k->since_ms ? i->since_ms < k->since_ms : gang_job_before(i, k);
}

struct choice {
    struct gang *g;
    enum order order;
    int64_t now_ms;
    bool fair;
    struct gang_bucket *best; /* unless fair: then it stands in the queues */
};

static bool comes_before(const struct choice *c, const struct gang_bucket *a,
                         const struct gang_bucket *b)
{
    int32_t priority = gang_bucket_head(a)->priority, other = gang_bucket_head(b)->priority;
    if (priority != other)
        return priority > other;
    return c->order == BY_WORK ? less_work(a, b) : more_urgent(c->g, a, b, c->now_ms);
}

static struct choice begin(struct gang *g, enum order order, int64_t now_ms)
{
    g->choices++;
    return (struct choice){
        .g = g, .order = order, .now_ms = now_ms, .fair = gang_queue_order_moves(g)};
}

static void offer(struct choice *c, struct gang_bucket *b)
{
    struct gang_bucket **best = &c->best;
    if (c->fair) {
        struct gang_queue *queues = c->g->queues;
        uint32_t leaf = gang_bucket_head(b)->queue + 1, i = leaf;
        for (; queues[i].choice != c->g->choices; i = queues[i].parent) {
            queues[i].choice = c->g->choices;
            queues[i].chosen = NULL;
            if (!i)
                break;
        }
        best = &queues[leaf].chosen;
    }
    if (!*best || comes_before(c, b, *best))
        *best = b;
}

/* The next of a queue and all below it: as find_best() of queue.c, of those that were offered. */
static struct gang_bucket *best_below(const struct choice *c, uint32_t index)
{
    const struct gang *g = c->g;
    const struct gang_queue *q = &g->queues[index];
    struct gang_bucket *best = q->chosen;
    bool fair = index && q->config.order == GANG_ORDER_FAIR_SHARE;
    uint32_t first = 0;
    if (fair && best)
        return best;
    for (uint32_t i = q->first_child; i; i = g->queues[i].next_sibling) {
        if (g->queues[i].choice != g->choices)
            continue;
        struct gang_bucket *b = best_below(c, i);
        if (!best || (fair ? gang_queue_used_less(g, i, first) : comes_before(c, b, best))) {
            best = b;
            first = i;
        }
    }
    return best;
}

static struct gang_bucket *chosen(const struct choice *c)
{
    if (!c->fair)
        return c->best;
    return c->g->queues[0].choice == c->g->choices ? best_below(c, 0) : NULL;
}

/* Those that left may have been the last of their priority. */
static void find_priorities(struct gang *g)
{
    struct gang_bucket_walk walk = {0};
    g->waiting_lowest = INT32_MAX;
    g->waiting_highest = INT32_MIN;
    for (const struct gang_bucket *b; (b = gang_bucket_walk_next(g, &walk)) != NULL;) {
        int32_t priority = gang_bucket_any(b)->priority;
        g->waiting_lowest = priority < g->waiting_lowest ? priority : g->waiting_lowest;
        g->waiting_highest = priority > g->waiting_highest ? priority : g->waiting_highest;
    }
}

/* Where shares come first, patience counts while its queue has used no more than its due. */
static bool may_come_first(const struct choice *c, const struct gang_job *job)
{
    return !c->g->config.shares_first || job->asked_for || gang_patience_is_due(c->g, job->queue);
}

struct gang_bucket *gang_patience_turn(struct gang *g, int64_t now_ms)
{
    struct gang_bucket_walk walk = {0};
    int64_t next = INT64_MAX;
    if (now_ms < gang_patience_wake_ms(g) || !g->buckets_count)
        return NULL;
    if (g->turn_plan != g->plan.number) {
        find_priorities(g);
        g->turns_ms = INT64_MAX;
    }
    struct choice c = begin(g, BY_URGENCY, now_ms);
    for (struct gang_bucket *b; (b = gang_bucket_walk_next(g, &walk)) != NULL;) {
        int64_t from = has_turn_from(g, gang_bucket_head(b));
        int64_t changes = from > INT64_MIN ? from : gang_patience_ends_ms(g, gang_bucket_head(b));
        if (changes <= now_ms)
            changes = far_too_long(g, changes);
        next = from < next ? from : next;
        if (changes > now_ms && changes < g->turns_ms)
            g->turns_ms = changes;
        if (from <= now_ms && may_come_first(&c, gang_bucket_head(b)))
            offer(&c, b);
    }
    struct gang_bucket *best = chosen(&c);
    /* Whose turn it was in this plan, and who still waits, has it in the next one, too. */
    if (best || next <= now_ms)
        g->turn_plan = g->plan.number;
    g->impatient_ms = g->turn_plan == g->plan.number ? 0 : next;
    g->impatient_backlog_ms = backlog_ms(g);
    return best;
}

struct gang_bucket *gang_patience_next(struct gang *g, gang_patience_f *may, void *arg)
{
    struct choice c = begin(g, BY_WORK, 0);
    struct gang_bucket_walk walk = {0};
    for (struct gang_bucket *b; (b = gang_bucket_walk_next(g, &walk)) != NULL;)
        if (may(g, b, arg))
            offer(&c, b);
    return chosen(&c);
}

static void offer_each(void *choice, struct gang_bucket *b)
{
    offer(choice, b);
}

struct gang_bucket *gang_patience_next_fitting(struct gang *g, gang_patience_most_f *most,
                                               void *arg)
{
    struct choice c = begin(g, BY_WORK, 0);
    for (uint32_t i = 0; i < g->work_kinds; i++) {
        uint32_t root = g->work[i]->waiting;
        const struct gang_bucket *any = gang_bucket_at(g, root - 1);
        gang_work_each(g, root, most(g, gang_bucket_any(any)->shape, arg), offer_each, &c);
    }
    gang_work_each(g, g->work_mixed, UINT64_MAX, offer_each, &c);
    return chosen(&c);
}
