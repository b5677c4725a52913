/* Queues: a tree with quota, and the order in which the next job is taken from it. Quota is Kueue's
 * arithmetic for hierarchical cohorts (kueue/pkg/cache/scheduler/resource_node.go): a queue
 * guarantees itself what it does not lend, lends the rest to its parent, and borrows back what the
 * parent has. */
#include "gang/choice.h"
#include "gang/internal.h"
#include "gang/turns.h"
#include "gang/work.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

typedef gang_wide wide;

/* What a placement counts for beside past use, so that several placements of one plan do not all
 * come from the queue that had used least before it. */
#define CHARGE_MS 60000
/* The same where shares come first: what stands goes on standing for a while, so a queue that is
 * behind does not take all that comes free until it has caught up, and is far ahead a day later. */
#define AHEAD_MS 3600000

bool gang_queue_known(const struct gang *g, uint32_t queue)
{
    return queue < GANG_QUEUES_MAX && queue + 1 < g->queues_count && g->queues[queue + 1].known;
}

/* ---- quota ---- */

static int64_t add_limited(int64_t a, int64_t b)
{
    return b > 0 && a > GANG_UNLIMITED - b ? GANG_UNLIMITED : a + b; /* b may be overdrawn: < 0 */
}

int64_t gang_queue_kept(const struct gang_queue *q, uint32_t r)
{
    if (q->config.lend_limit[r] == GANG_UNLIMITED || q->quota[r] <= q->config.lend_limit[r])
        return 0;
    return q->quota[r] - q->config.lend_limit[r];
}

/* What of such a use counts at its parent. */
static int64_t beyond_own(const struct gang_queue *q, uint32_t r, int64_t use)
{
    int64_t own = gang_queue_kept(q, r);
    return use > own ? use - own : 0;
}

static int64_t above(const struct gang_queue *q, uint32_t r)
{
    return beyond_own(q, r, q->charged[r]);
}

/* `awaited` of the amount is for jobs that wait. */
static void charge_with(struct gang *g, uint32_t index, uint32_t r, int64_t amount, int64_t awaited)
{
    for (uint32_t i = index; i && (amount || awaited); i = g->queues[i].parent) {
        struct gang_queue *q = &g->queues[i];
        int64_t before = above(q, r), stood = beyond_own(q, r, q->charged[r] - q->awaited[r]);
        q->charged[r] += amount;
        q->awaited[r] += awaited;
        amount = above(q, r) - before;
        awaited = amount - (beyond_own(q, r, q->charged[r] - q->awaited[r]) - stood);
    }
}

static void charge(struct gang *g, uint32_t index, uint32_t r, int64_t amount)
{
    charge_with(g, index, r, amount, 0);
}

void gang_queue_charge(struct gang *g, uint32_t queue, const struct gang_shape *shape, int sign)
{
    const int64_t *sum = shape->sum;
    for (uint32_t r = 0; r < g->resources; r++)
        charge(g, queue + 1, r, sign * sum[r]);
    for (uint32_t i = queue + 1; i; i = g->queues[i].parent) {
        for (uint32_t r = 0; r < g->resources; r++)
            g->queues[i].used[r] += sign * sum[r];
        g->queues[i].running += (uint32_t)sign;
    }
    gang_turns_queue_used(g, queue);
    gang_queue_changed(g, queue + 1);
}

void gang_queue_hold(struct gang *g, uint32_t queue, const struct gang_shape *shape, int sign,
                     bool waits)
{
    const int64_t *sum = shape->sum;
    for (uint32_t r = 0; r < g->resources; r++)
        charge_with(g, queue + 1, r, sign * sum[r], waits ? sign * sum[r] : 0);
    gang_queue_changed(g, queue + 1);
}

static int64_t available(const struct gang *g, uint32_t index, uint32_t r)
{
    const struct gang_queue *q = &g->queues[index];
    bool limited = q->config.nominal[r] != GANG_UNLIMITED;
    if (!q->parent)
        return limited ? q->quota[r] - q->charged[r] : GANG_UNLIMITED;
    int64_t own = gang_queue_kept(q, r), from_above = available(g, q->parent, r);
    if (limited && q->config.borrow_limit[r] != GANG_UNLIMITED) {
        int64_t most = add_limited(q->quota[r] - own, q->config.borrow_limit[r]) - above(q, r);
        from_above = most < from_above ? most : from_above;
    }
    int64_t here = own > q->charged[r] ? own - q->charged[r] : 0;
    return add_limited(here, from_above);
}

int64_t gang_queue_available(const struct gang *g, uint32_t queue, uint32_t resource)
{
    return available(g, queue + 1, resource);
}

static int64_t potential(const struct gang *g, uint32_t index, uint32_t r)
{
    const struct gang_queue *q = &g->queues[index];
    bool limited = q->config.nominal[r] != GANG_UNLIMITED;
    if (!q->parent)
        return limited ? q->quota[r] : GANG_UNLIMITED;
    int64_t all = add_limited(potential(g, q->parent, r), gang_queue_kept(q, r));
    if (!limited || q->config.borrow_limit[r] == GANG_UNLIMITED)
        return all;
    int64_t most = add_limited(q->quota[r], q->config.borrow_limit[r]);
    return most < all ? most : all;
}

int64_t gang_queue_potential(const struct gang *g, uint32_t queue, uint32_t resource)
{
    return potential(g, queue + 1, resource);
}

uint32_t gang_shape_asks(const struct gang *g, const struct gang_shape *shape)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < shape->roles_count; i++)
        for (uint32_t r = 0; r < g->resources; r++)
            bits |= (uint32_t)(shape->roles[i].request[r] > 0) << r;
    return bits;
}

/* The queue nearest to the root that has not enough left. */
static bool quota_ends(const struct gang *g, struct gang_bucket *b, uint32_t r, int64_t asked)
{
    bool ends = false;
    uint32_t queue = gang_bucket_any(b)->queue;
    for (uint32_t i = queue + 1; i; i = g->queues[i].parent)
        if (available(g, i, r) < asked) {
            b->blocked_queue = i - 1;
            b->blocked_resource = (uint8_t)r;
            ends = true;
        }
    return ends && available(g, queue + 1, r) < asked;
}

/* It asks for more than its queue, or one above it, may use however long it waits. The one nearest
 * to the root is named. */
static bool asks_too_much(const struct gang *g, struct gang_bucket *b, const int64_t *sum)
{
    uint32_t r = g->resources, queue = gang_bucket_any(b)->queue; /* devices first */
    while (r-- > 0 && (sum[r] <= 0 || potential(g, queue + 1, r) >= sum[r]))
        ;
    if (r == UINT32_MAX)
        return false;
    for (uint32_t i = queue + 1; i; i = g->queues[i].parent)
        if (potential(g, i, r) < sum[r])
            b->blocked_queue = i - 1;
    b->blocked_resource = (uint8_t)r;
    return true;
}

enum gang_outcome gang_queue_gate(const struct gang *g, struct gang_bucket *b)
{
    bool full = false;
    const struct gang_job *job = gang_bucket_any(b);
    for (uint32_t i = job->queue + 1; i; i = g->queues[i].parent) {
        const struct gang_queue *q = &g->queues[i];
        int64_t longest = q->config.time_limit_max_ms;
        if (longest && (job->time_limit_ms <= 0 || job->time_limit_ms > longest)) {
            b->blocked_queue = i - 1;
            return GANG_OUTCOME_LIMIT;
        }
        if (q->config.running_jobs_max && q->running >= q->config.running_jobs_max) {
            b->blocked_queue = i - 1;
            full = true;
        }
    }
    const int64_t *sum = job->shape->sum;
    if (full)
        return asks_too_much(g, b, sum) ? GANG_OUTCOME_TOO_MUCH : GANG_OUTCOME_QUEUE;
    for (uint32_t r = g->resources; r-- > 0;) /* devices first */
        if (sum[r] > 0 && quota_ends(g, b, r, sum[r]))
            return asks_too_much(g, b, sum) ? GANG_OUTCOME_TOO_MUCH : GANG_OUTCOME_QUOTA;
    return GANG_OUTCOME_OPEN;
}

/* Its own nominal quota and what the queues below it lend; then what counts against that, and so up
 * to the root. */
static void sum_up(struct gang *g, uint32_t index)
{
    for (uint32_t i = index; i; i = g->queues[i].parent) {
        struct gang_queue *q = &g->queues[i];
        q->height = 0;
        for (uint32_t c = q->first_child; c; c = g->queues[c].next_sibling)
            q->height = g->queues[c].height >= q->height ? g->queues[c].height + 1 : q->height;
        for (uint32_t r = 0; r < g->resources; r++) {
            q->quota[r] = q->config.nominal[r] == GANG_UNLIMITED ? 0 : q->config.nominal[r];
            q->charged[r] = q->used[r];
            for (uint32_t c = q->first_child; c; c = g->queues[c].next_sibling) {
                const struct gang_queue *child = &g->queues[c];
                q->quota[r] = add_limited(q->quota[r], child->quota[r] - gang_queue_kept(child, r));
                q->charged[r] += above(child, r) - child->used[r];
            }
        }
    }
}

/* The same where a queue has come of which nobody uses anything: what it lends is all that is more.
 * A look at all its siblings for each would be quadratic. */
static void join_parents(struct gang *g, uint32_t index)
{
    struct gang_queue *q = &g->queues[index];
    gang_amounts more;
    for (uint32_t r = 0; r < g->resources; r++) {
        q->quota[r] = q->config.nominal[r] == GANG_UNLIMITED ? 0 : q->config.nominal[r];
        more[r] = q->quota[r] - gang_queue_kept(q, r);
    }
    for (uint32_t height = 1; (index = g->queues[index].parent) != 0; height++) {
        q = &g->queues[index];
        q->height = q->height > height ? q->height : height;
        for (uint32_t r = 0; r < g->resources; r++) {
            int64_t before = q->quota[r] - gang_queue_kept(q, r);
            int64_t counted = above(q, r);
            q->quota[r] = add_limited(q->quota[r], more[r]);
            more[r] = q->quota[r] - gang_queue_kept(q, r) - before;
            counted = above(q, r) - counted; /* it keeps more of what it has used already */
            if (counted && q->parent)
                charge(g, q->parent, r, counted);
        }
    }
}

int gang_queue_check_quota(const struct gang *g, uint32_t index, struct mlt_error *err)
{
    const struct gang_queue *q = &g->queues[index];
    for (uint32_t r = 0; r < g->resources; r++) {
        int64_t quota = q->config.nominal[r] == GANG_UNLIMITED ? 0 : q->config.nominal[r];
        int64_t charged = q->used[r];
        for (uint32_t c = q->first_child; c; c = g->queues[c].next_sibling) {
            const struct gang_queue *child = &g->queues[c];
            quota = add_limited(quota, child->quota[r] - gang_queue_kept(child, r));
            charged += above(child, r) - child->used[r];
        }
        if (quota != q->quota[r] || charged != q->charged[r] || q->awaited[r])
            return mlt_fail(
                err, EBADMSG,
                "queue %u: resource %u: quota %" PRId64 ", %" PRId64 " charged; counted %" PRId64
                " and %" PRId64 ", %" PRId64 " of it for jobs that wait",
                index - 1, r, quota, charged, q->quota[r], q->charged[r], q->awaited[r]);
    }
    return 0;
}

/* ---- coming, changing, going ---- */

static int check_amounts(const struct gang *g, const int64_t *amounts, const char *what,
                         struct mlt_error *err)
{
    for (uint32_t r = 0; r < g->resources; r++)
        if (amounts[r] < 0)
            return mlt_fail(err, EINVAL, "queue: %s of resource %u: %" PRId64 " is below 0", what,
                            r, amounts[r]);
    return 0;
}

static uint32_t depth_below(const struct gang *g, uint32_t index)
{
    uint32_t most = 0;
    for (uint32_t c = g->queues[index].first_child; c; c = g->queues[c].next_sibling) {
        uint32_t depth = depth_below(g, c);
        most = depth > most ? depth : most;
    }
    return most + 1;
}

static int check_parent(const struct gang *g, uint32_t queue, uint32_t parent,
                        struct mlt_error *err)
{
    if (parent == GANG_NO_QUEUE)
        return 0;
    if (!gang_queue_known(g, parent))
        return mlt_fail(err, EINVAL, "queue %u: its parent %u is not known", queue, parent);
    uint32_t depth = gang_queue_known(g, queue) ? depth_below(g, queue + 1) : 1;
    for (uint32_t i = parent + 1; i; i = g->queues[i].parent, depth++)
        if (i == queue + 1)
            return mlt_fail(err, EINVAL, "queue %u would be below itself", queue);
    if (depth > GANG_QUEUE_DEPTH_MAX)
        return mlt_fail(err, EINVAL, "queue %u: the tree would be deeper than %d", queue,
                        GANG_QUEUE_DEPTH_MAX);
    return 0;
}

static int check_config(const struct gang *g, uint32_t queue, const struct gang_queue_config *c,
                        struct mlt_error *err)
{
    if (c->weight == 0)
        return mlt_fail(err, EINVAL, "queue %u: its weight is 0, expected at least 1", queue);
    if ((unsigned)c->order > GANG_ORDER_FAIR_SHARE ||
        (unsigned)c->within_queue > GANG_PREEMPTION_ANY ||
        (unsigned)c->reclaim > GANG_PREEMPTION_ANY)
        return mlt_fail(err, EINVAL, "queue %u: order or preemption is not known", queue);
    if (c->time_slice_ms < 0 || c->time_limit_max_ms < 0)
        return mlt_fail(err, EINVAL, "queue %u: a time is below 0", queue);
    if (check_amounts(g, c->nominal, "nominal", err) < 0 ||
        check_amounts(g, c->borrow_limit, "borrow limit", err) < 0 ||
        check_amounts(g, c->lend_limit, "lend limit", err) < 0)
        return -EINVAL;
    return check_parent(g, queue, c->parent, err);
}

static bool shares(const struct gang_queue *q)
{
    return q->known && q->children && q->config.order == GANG_ORDER_FAIR_SHARE;
}

static void link_queue(struct gang *g, uint32_t index, uint32_t parent)
{
    struct gang_queue *q = &g->queues[index], *p = &g->queues[parent];
    q->parent = parent;
    q->previous_sibling = 0;
    q->next_sibling = p->first_child;
    if (p->first_child)
        g->queues[p->first_child].previous_sibling = index;
    p->first_child = index;
    g->sharing -= shares(p);
    p->children++;
    g->sharing += shares(p);
}

static void unlink_queue(struct gang *g, uint32_t index)
{
    struct gang_queue *q = &g->queues[index], *p = &g->queues[q->parent];
    if (q->previous_sibling)
        g->queues[q->previous_sibling].next_sibling = q->next_sibling;
    else
        p->first_child = q->next_sibling;
    if (q->next_sibling)
        g->queues[q->next_sibling].previous_sibling = q->previous_sibling;
    g->sharing -= shares(p);
    p->children--;
    g->sharing += shares(p);
    if (q->parent && (p->usage || p->share))
        gang_turns_queue_used(g, q->parent - 1); /* if only by those that were below it */
}

static bool limits_anything(const struct gang *g, const struct gang_queue *q)
{
    for (uint32_t r = 0; q->known && r < g->resources; r++)
        if (q->config.nominal[r] != GANG_UNLIMITED)
            return true;
    return false;
}

/* What stands below a queue, put on its ancestors (sign 1) or taken off. */
static void carry(struct gang *g, uint32_t from, const struct gang_queue *q, int sign)
{
    for (uint32_t i = from; i; i = g->queues[i].parent) {
        for (uint32_t r = 0; r < g->resources; r++)
            g->queues[i].used[r] += sign * q->used[r];
        g->queues[i].running += (uint32_t)sign * q->running;
        g->queues[i].waiting += (uint32_t)sign * q->waiting;
    }
}

static struct gang_queue_config all_defaults(void)
{
    struct gang_queue_config c = {.parent = GANG_NO_QUEUE, .weight = 1};
    for (uint32_t r = 0; r < GANG_RESOURCES_MAX; r++)
        c.nominal[r] = c.borrow_limit[r] = c.lend_limit[r] = GANG_UNLIMITED;
    return c;
}

int gang_queue_set(struct gang *g, uint32_t queue, const struct gang_queue_config *config,
                   int64_t now_ms, struct mlt_error *err)
{
    const struct gang_queue_config defaults = all_defaults();
    if (!config)
        config = &defaults;
    int rc = check_config(g, queue, config, err);
    if (rc < 0)
        return rc;
    if (gang_reserve(g, &g->queues, &g->queues_capacity, (size_t)queue + 2, sizeof *g->queues) < 0)
        return gang_no_memory(err);
    if (g->queues_count < queue + 2)
        g->queues_count = queue + 2;
    if (gang_choice_reserve(g) < 0 || gang_turns_reserve(g) < 0)
        return gang_no_memory(err);
    struct gang_queue *q = gang_queue_of(g, queue);
    uint32_t parent = config->parent + 1; /* GANG_NO_QUEUE: 0 */
    bool is_new = !q->known;
    if (is_new) {
        q->known = true;
        gang_usage_set(q, 0, now_ms);
    } else {
        gang_queue_settle_all(g, now_ms);
        g->quotas -= limits_anything(g, q);
        g->running_limits -= q->config.running_jobs_max > 0;
        g->sharing -= shares(q);
        unlink_queue(g, queue + 1);
        carry(g, q->parent, q, -1);
        sum_up(g, q->parent);
    }
    bool sliced_otherwise = q->config.time_slice_ms != config->time_slice_ms;
    q->config = *config;
    if (sliced_otherwise && g->config.patience_ms > 0)
        gang_heap_slice_changed(g, q);
    g->quotas += limits_anything(g, q);
    g->running_limits += q->config.running_jobs_max > 0;
    g->sharing += shares(q);
    link_queue(g, queue + 1, parent);
    if (is_new) {
        join_parents(g, queue + 1);
    } else {
        carry(g, parent, q, 1);
        sum_up(g, queue + 1);
        gang_queue_settle_all(g, now_ms);
    }
    gang_work_resort(g);
    return 0;
}

int gang_queue_remove(struct gang *g, uint32_t queue, struct mlt_error *err)
{
    if (!gang_queue_known(g, queue))
        return mlt_fail(err, EINVAL, "queue %u is not known", queue);
    struct gang_queue *q = gang_queue_of(g, queue);
    if (q->jobs || q->first_child)
        return mlt_fail(err, EINVAL, "queue %u: %u jobs and %u queues are left in it", queue,
                        q->jobs, q->children);
    uint32_t parent = q->parent;
    g->quotas -= limits_anything(g, q);
    g->running_limits -= q->config.running_jobs_max > 0;
    g->sharing -= shares(q);
    unlink_queue(g, queue + 1);
    gang_release(g, q->heap);
    *q = (struct gang_queue){0};
    sum_up(g, parent);
    gang_queue_changed(g, parent);
    gang_work_resort(g);
    return 0;
}

/* ---- order ---- */

/* Up to the root: also what is already unknown may have ancestors that believe to know. */
void gang_queue_changed(struct gang *g, uint32_t index)
{
    for (uint32_t i = index; i; i = g->queues[i].parent)
        g->queues[i].best_known = 0;
    g->queues[0].best_known = 0;
}

bool gang_use_is_less(const struct gang_use *a, uint32_t index, const struct gang_use *b,
                      uint32_t other)
{
    gang_wide of_a = a->amount * b->weight, of_b = b->amount * a->weight;
    return of_a < of_b || (of_a == of_b && index < other);
}

wide gang_queue_counted(const struct gang *g, struct gang_queue *q, int64_t now_ms)
{
    int64_t ahead_ms = g->config.shares_first ? AHEAD_MS : CHARGE_MS;
    return (wide)gang_usage_at(g, q, now_ms) + (wide)gang_share(g, q->used) * (uint64_t)ahead_ms;
}

struct gang_use gang_use_of(const struct gang *g, uint32_t index, int64_t now_ms)
{
    struct gang_queue *q = &g->queues[index];
    return (struct gang_use){.amount = gang_queue_counted(g, q, now_ms),
                             .weight = q->config.weight};
}

/* Whether the queue at a has used less for its weight than that at b; the lower number on a tie. */
static bool used_less(const struct gang *g, uint32_t a, uint32_t b, int64_t now_ms)
{
    const struct gang_use x = gang_use_of(g, a, now_ms), y = gang_use_of(g, b, now_ms);
    return gang_use_is_less(&x, a, &y, b);
}

bool gang_queue_used_less(const struct gang *g, uint32_t index, uint32_t other)
{
    return used_less(g, index, other, g->plan.now_ms);
}

static uint32_t depth_of(const struct gang *g, uint32_t index)
{
    uint32_t depth = 0;
    for (; index; index = g->queues[index].parent)
        depth++;
    return depth;
}

uint32_t gang_queue_common(const struct gang *g, uint32_t queue, uint32_t other,
                           uint32_t *ret_branch, uint32_t *ret_other_branch)
{
    uint32_t a = queue + 1, b = other + 1, deep_a = depth_of(g, a), deep_b = depth_of(g, b);
    *ret_branch = *ret_other_branch = 0;
    while (a != b) {
        bool up_a = deep_a >= deep_b, up_b = deep_b >= deep_a;
        if (up_a) {
            *ret_branch = a;
            a = g->queues[a].parent;
            deep_a--;
        }
        if (up_b) {
            *ret_other_branch = b;
            b = g->queues[b].parent;
            deep_b--;
        }
    }
    return a;
}

/* How what is first of a queue stands beside the others of a parent: whoever borrows less high up
 * comes first; where shares count, whoever does not borrow from that parent. Above the roots nobody
 * lends to anybody. */
static uint32_t rank_of(const struct gang *g, const struct gang_bucket *b, uint32_t parent,
                        uint32_t child, bool fair)
{
    if (!parent || !g->quotas)
        return 0;
    const struct gang_job *job = gang_bucket_any(b);
    if (!fair)
        return gang_borrow_level(g, job->queue, job->shape, parent);
    return gang_borrow_level(g, job->queue, job->shape, child) > g->queues[child].height;
}

static struct gang_bucket *find_best(struct gang *g, uint32_t index)
{
    struct gang_queue *q = &g->queues[index];
    if (q->best_known == g->plan.number)
        return q->best;
    uint32_t first = 0, rank = 0;
    q->best = q->heap_count ? gang_bucket_at(g, q->heap[0]) : NULL;
    if (q->best && q->first_child)
        rank = rank_of(g, q->best, index, index, false);
    bool fair = index && q->config.order == GANG_ORDER_FAIR_SHARE;
    for (uint32_t c = q->first_child; c && !(fair && q->heap_count);
         c = g->queues[c].next_sibling) {
        struct gang_bucket *b = g->queues[c].waiting ? find_best(g, c) : NULL;
        if (!b)
            continue;
        uint32_t its = rank_of(g, b, index, c, fair);
        bool before = !q->best || its < rank;
        if (q->best && its == rank)
            before = fair ? used_less(g, c, first, g->plan.now_ms)
                          : gang_job_before(gang_bucket_head(b), gang_bucket_head(q->best));
        if (before) {
            q->best = b;
            first = c;
            rank = its;
        }
    }
    q->best_known = g->plan.number;
    return q->best;
}

bool gang_queue_order_moves(const struct gang *g)
{
    uint32_t seen = 0;
    for (uint32_t i = 1; i < g->queues_count && seen < g->sharing; i++) {
        if (!shares(&g->queues[i]))
            continue;
        if (g->queues[i].waiting)
            return true;
        seen++;
    }
    return false;
}

struct gang_bucket *gang_queue_next(struct gang *g)
{
    return g->queues_count ? find_best(g, 0) : NULL;
}
