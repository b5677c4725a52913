/* Waiting buckets by least expected work, for plans with reservations. Those that ask for one kind
 * of pods stand in one tree, in the order in which they are asked: by work, then by their first
 * jobs. A tree knows how few pods anybody below asks for, and whether all of them were refused
 * since something was gained, so that a plan passes over whoever cannot fit without a look at each.
 *
 * The trees are treaps (Seidel and Aragon, Algorithmica 1996) with links to parents, since a bucket
 * has to be taken out after its first job is another one. */
#include "gang/patience.h"
#include "gang/work.h"

#include <errno.h>

static struct gang_bucket *at(const struct gang *g, uint32_t link)
{
    return link ? gang_bucket_at(g, link - 1) : NULL;
}

static uint32_t link_to(const struct gang_bucket *b)
{
    return b ? b->at + 1 : 0;
}

/* Whoever has more stands above. */
static uint32_t weight(const struct gang_bucket *b)
{
    uint32_t x = b->at * 0x9e3779b1u;
    return (x ^ x >> 15) * 0x85ebca77u;
}

/* The kind of the role that is hardest to place, by which a bucket can be passed over. Where quota
 * is limited those of several roles stand in a tree of their own, and each is asked: who is short
 * of quota may hold others up. */
static struct gang_kind *kind_of(const struct gang *g, const struct gang_bucket *b)
{
    const struct gang_shape *shape = gang_bucket_any(b)->shape;
    return shape->roles_count == 1 || !g->work_mixed_apart ? shape->kinds[shape->hardest] : NULL;
}

/* So many pods of that kind. */
static uint32_t pods_of(const struct gang_bucket *b)
{
    const struct gang_shape *shape = gang_bucket_any(b)->shape;
    return shape->roles[shape->hardest].pods;
}

static uint32_t *root_of(struct gang *g, struct gang_kind *kind)
{
    return kind ? &kind->waiting : &g->work_mixed;
}

/* ---- a tree ---- */

/* With patience the higher priority comes first; else it had its turn before anybody backfills. */
static bool work_before(const struct gang *g, int64_t a, const struct gang_job *head, int64_t b,
                        const struct gang_job *other)
{
    if (g->work_by_queue && head->queue != other->queue)
        return head->queue < other->queue;
    if (g->config.patience_ms > 0 && head->priority != other->priority)
        return head->priority > other->priority;
    return a != b ? a < b : gang_job_before(head, other);
}

static bool comes_before(const struct gang *g, const struct gang_bucket *a, int64_t work,
                         const struct gang_job *head)
{
    return work_before(g, a->work, gang_bucket_head(a), work, head);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* After so many seconds its place is free again, at the latest; rounded down. */
static uint32_t limit_s(const struct gang *g, const struct gang_bucket *b)
{
    const struct gang_job *job = gang_bucket_any(b);
    bool none = job->time_limit_ms <= 0 || job->time_limit_ms > INT64_MAX / 4;
    if (none)
        return g->config.may_preempt ? 0 : UINT32_MAX;
    int64_t s = (job->time_limit_ms + (job->grace_ms > 0 ? job->grace_ms : 0)) / 1000;
    return s < UINT32_MAX ? (uint32_t)s : UINT32_MAX;
}

/* From what is below. */
static void sum_up(const struct gang *g, struct gang_bucket *b)
{
    const struct gang_bucket *left = at(g, b->left), *right = at(g, b->right);
    b->least_pods = pods_of(b);
    b->least_refused = b->refused;
    b->least_limit_s = limit_s(g, b);
    if (left) {
        b->least_pods = least(b->least_pods, left->least_pods);
        b->least_refused = least(b->least_refused, left->least_refused);
        b->least_limit_s = least(b->least_limit_s, left->least_limit_s);
    }
    if (right) {
        b->least_pods = least(b->least_pods, right->least_pods);
        b->least_refused = least(b->least_refused, right->least_refused);
        b->least_limit_s = least(b->least_limit_s, right->least_limit_s);
    }
}

static void sum_up_above(const struct gang *g, struct gang_bucket *b)
{
    for (; b; b = at(g, b->parent))
        sum_up(g, b);
}

/* `b` takes the place of `old` below its parent. */
static void replace(const struct gang *g, uint32_t *root, const struct gang_bucket *old,
                    struct gang_bucket *b)
{
    struct gang_bucket *parent = at(g, old->parent);
    if (!parent)
        *root = link_to(b);
    else if (parent->left == link_to(old))
        parent->left = link_to(b);
    else
        parent->right = link_to(b);
    if (b)
        b->parent = old->parent;
}

/* A child goes above its parent. */
static void rotate_up(const struct gang *g, uint32_t *root, struct gang_bucket *b)
{
    struct gang_bucket *parent = at(g, b->parent);
    bool is_left = parent->left == link_to(b);
    struct gang_bucket *between = at(g, is_left ? b->right : b->left);
    replace(g, root, parent, b);
    if (is_left) {
        parent->left = link_to(between);
        b->right = link_to(parent);
    } else {
        parent->right = link_to(between);
        b->left = link_to(parent);
    }
    parent->parent = link_to(b);
    if (between)
        between->parent = link_to(parent);
    sum_up(g, parent);
}

static void insert(struct gang *g, uint32_t *root, struct gang_bucket *b)
{
    const struct gang_job *head = gang_bucket_head(b);
    struct gang_bucket *parent = NULL;
    bool left = false;
    for (uint32_t link = *root; link; link = left ? parent->left : parent->right) {
        parent = at(g, link);
        left = !comes_before(g, parent, b->work, head);
    }
    b->left = b->right = 0;
    b->parent = link_to(parent);
    if (!parent)
        *root = link_to(b);
    else if (left)
        parent->left = link_to(b);
    else
        parent->right = link_to(b);
    for (; parent && weight(b) > weight(parent); parent = at(g, b->parent))
        rotate_up(g, root, b);
    sum_up_above(g, b);
}

static void take_out(struct gang *g, uint32_t *root, struct gang_bucket *b)
{
    while (b->left && b->right) {
        struct gang_bucket *left = at(g, b->left), *right = at(g, b->right);
        rotate_up(g, root, weight(left) > weight(right) ? left : right);
    }
    replace(g, root, b, at(g, b->left ? b->left : b->right));
    sum_up_above(g, at(g, b->parent));
}

static const struct gang_bucket *neighbour(const struct gang *g, const struct gang_bucket *b,
                                           bool behind)
{
    const struct gang_bucket *next = at(g, behind ? b->right : b->left), *below = NULL;
    for (; next; next = at(g, behind ? next->left : next->right))
        below = next;
    while (!below && (next = at(g, b->parent)) != NULL) {
        if ((behind ? next->left : next->right) == link_to(b))
            return next;
        b = next;
    }
    return below;
}

/* Most have work like no other, and stay where they are with another first job. */
static bool stays(const struct gang *g, const struct gang_bucket *b)
{
    const struct gang_bucket *before = neighbour(g, b, false), *behind = neighbour(g, b, true);
    const struct gang_job *head = gang_bucket_head(b);
    return (!before || comes_before(g, before, b->work, head)) &&
           (!behind || !comes_before(g, behind, b->work, head));
}

/* ---- kinds that somebody waits for ---- */

int gang_work_reserve(struct gang *g)
{
    if (!g->config.reservations)
        return 0;
    size_t count = (size_t)g->fits.kinds_count + 1; /* and those of several kinds */
    if (gang_reserve(g, &g->work, &g->work_capacity, count, sizeof(struct gang_kind *)) < 0 ||
        gang_reserve(g, &g->work_next, &g->work_next_capacity, count, sizeof *g->work_next) < 0)
        return -ENOMEM;
    return 0;
}

void gang_work_push(struct gang *g, struct gang_bucket *b)
{
    struct gang_kind *kind = kind_of(g, b);
    uint32_t *root = root_of(g, kind);
    if (!g->config.reservations)
        return;
    if (!*root && kind) {
        kind->work_at = g->work_kinds;
        g->work[g->work_kinds++] = kind;
    }
    insert(g, root, b);
}

void gang_work_take(struct gang *g, struct gang_bucket *b)
{
    struct gang_kind *kind = kind_of(g, b);
    uint32_t *root = root_of(g, kind);
    if (!g->config.reservations)
        return;
    take_out(g, root, b);
    if (!*root && kind) {
        struct gang_kind *last = g->work[--g->work_kinds];
        g->work[kind->work_at] = last;
        last->work_at = kind->work_at;
    }
}

void gang_work_moved(struct gang *g, struct gang_bucket *b)
{
    uint32_t *root = root_of(g, kind_of(g, b));
    if (!g->config.reservations || stays(g, b))
        return;
    take_out(g, root, b);
    insert(g, root, b);
}

/* Upwards only as far as that makes a difference: in most trees somebody else was not refused. */
void gang_work_refuse(struct gang *g, struct gang_bucket *b)
{
    b->refused = g->gains;
    if (b->heap_at == UINT32_MAX)
        return;
    for (uint32_t before; b; b = at(g, b->parent)) {
        before = b->least_refused;
        sum_up(g, b);
        if (b->least_refused == before)
            return;
    }
}

void gang_work_resort(struct gang *g)
{
    bool by_queue = g->config.patience_ms > 0 && g->sharing > 0, apart = g->quotas > 0;
    struct gang_bucket_walk walk = {0};
    if (by_queue == g->work_by_queue && apart == g->work_mixed_apart)
        return;
    for (struct gang_bucket *b; (b = gang_bucket_walk_next(g, &walk)) != NULL;)
        gang_work_take(g, b);
    g->work_by_queue = by_queue;
    g->work_mixed_apart = apart;
    walk = (struct gang_bucket_walk){0};
    for (struct gang_bucket *b; (b = gang_bucket_walk_next(g, &walk)) != NULL;)
        gang_work_push(g, b);
}

/* ---- in order ---- */

static bool is_behind(const struct gang *g, const struct gang_work_from *from,
                      const struct gang_bucket *b)
{
    const struct gang_job *head = gang_bucket_head(b);
    if (from->whole_queue)
        return g->work_by_queue && head->queue > from->head->queue;
    return work_before(g, from->work, from->head, b->work, head);
}

static bool is_within(const struct gang_work_bound *bound, uint32_t pods, uint32_t limit)
{
    return pods <= bound->pods && (pods <= bound->unclaimed || limit <= bound->until_s);
}

bool gang_work_within(const struct gang *g, const struct gang_bucket *b,
                      const struct gang_work_bound *bound)
{
    return is_within(bound, pods_of(b), limit_s(g, b));
}

struct search {
    struct gang *g;
    struct gang_work_from from; /* without a head: all */
    const struct gang_work_bound *bound;
    bool refused_too;
    gang_work_see_f *see; /* NULL: the first one is it */
    void *arg;
    struct gang_bucket *found;
};

static bool comes_into_question(const struct search *s, const struct gang_bucket *b)
{
    return (!s->from.head || is_behind(s->g, &s->from, b)) &&
           (s->refused_too || b->refused != s->g->gains) && gang_work_within(s->g, b, s->bound);
}

/* True: it ends here. */
static bool see(struct search *s, struct gang_bucket *b)
{
    enum gang_work_seen seen = s->see ? s->see(s->g, b, s->arg) : GANG_WORK_FOUND;
    if (seen == GANG_WORK_FOUND)
        s->found = b;
    else if (seen == GANG_WORK_NEXT_QUEUE)
        s->from = (struct gang_work_from){.head = gang_bucket_head(b), .whole_queue = true};
    return seen == GANG_WORK_FOUND;
}

/* Neither it nor anybody below comes into question. */
static bool is_passed(const struct search *s, const struct gang_bucket *b)
{
    return !b || !is_within(s->bound, b->least_pods, b->least_limit_s) ||
           (!s->refused_too && b->least_refused == s->g->gains);
}

static bool is_beyond(const struct search *s, const struct gang_bucket *b)
{
    return s->from.same_queue && s->g->work_by_queue &&
           gang_bucket_any(b)->queue > s->from.head->queue;
}

/* Those behind `from` within a bound, that were not refused, in order; true: it ends here. */
static bool search_below(struct search *s, uint32_t link)
{
    struct gang_bucket *b = at(s->g, link);
    if (is_passed(s, b))
        return false;
    if (is_beyond(s, b))
        return search_below(s, b->left);
    bool behind = !s->from.head || is_behind(s->g, &s->from, b);
    if (behind && search_below(s, b->left))
        return true;
    if (behind && comes_into_question(s, b) && see(s, b))
        return true;
    return search_below(s, b->right);
}

struct gang_bucket *gang_work_behind(struct gang *g, struct gang_kind *kind,
                                     const struct gang_work_from *from,
                                     const struct gang_work_bound *bound, bool refused_too,
                                     gang_work_see_f *see_it, void *arg)
{
    struct search s = {.g = g,
                       .from = *from,
                       .bound = bound,
                       .refused_too = refused_too,
                       .see = see_it,
                       .arg = arg};
    (void)search_below(&s, *root_of(g, kind));
    return s.found;
}

bool gang_work_nobody(struct gang *g, struct gang_kind *kind, const struct gang_work_bound *bound)
{
    return is_passed(&(struct search){.g = g, .bound = bound}, at(g, *root_of(g, kind)));
}

struct gang_kind *gang_work_kind(const struct gang *g, const struct gang_bucket *b)
{
    return kind_of(g, b);
}

static bool is_stale(const struct gang *g, const struct gang_work_next *n)
{
    return n->bucket->heap_at == UINT32_MAX || n->bucket->refused == g->gains ||
           gang_bucket_head(n->bucket) != n->head;
}

static bool next_before(const struct gang *g, const struct gang_work_next *a,
                        const struct gang_work_next *b)
{
    return work_before(g, a->bucket->work, a->head, b->bucket->work, b->head);
}

/* Of the tree of each kind the next one; the first of all on top. */
static void sift_down(struct gang *g, uint32_t i)
{
    struct gang_work_next moved = g->work_next[i];
    for (uint32_t child = 2 * i + 1; child < g->work_next_count; child = 2 * i + 1) {
        if (child + 1 < g->work_next_count &&
            next_before(g, &g->work_next[child + 1], &g->work_next[child]))
            child++;
        if (!next_before(g, &g->work_next[child], &moved))
            break;
        g->work_next[i] = g->work_next[child];
        i = child;
    }
    g->work_next[i] = moved;
}

static bool find_next(struct gang *g, struct gang_work_next *n, const struct gang_work_from *from,
                      const struct gang_work_bound *bound)
{
    n->bucket = gang_work_behind(g, n->kind, from, bound, false, NULL, NULL);
    n->head = n->bucket ? gang_bucket_head(n->bucket) : NULL;
    return n->bucket != NULL;
}

void gang_work_begin(struct gang *g)
{
    g->work_next_count = 0;
    for (uint32_t i = 0; g->buckets_count && i <= g->work_kinds; i++) {
        struct gang_work_next *n = &g->work_next[g->work_next_count];
        n->kind = i < g->work_kinds ? g->work[i] : NULL;
        g->work_next_count += find_next(g, n, &(struct gang_work_from){0}, &GANG_WORK_ANY);
    }
    for (uint32_t i = g->work_next_count / 2; i-- > 0;)
        sift_down(g, i);
}

void gang_work_pass(struct gang *g, const struct gang_work_bound *bound)
{
    struct gang_work_next *n = &g->work_next[0];
    const struct gang_work_from from = {.work = n->bucket->work, .head = n->head};
    if (!find_next(g, n, &from, bound))
        *n = g->work_next[--g->work_next_count];
    if (g->work_next_count)
        sift_down(g, 0);
}

struct gang_bucket *gang_work_first(struct gang *g)
{
    while (g->work_next_count && is_stale(g, &g->work_next[0]))
        gang_work_pass(g, &GANG_WORK_ANY);
    return g->work_next_count ? g->work_next[0].bucket : NULL;
}

/* ---- check ---- */

/* How many stand there; UINT32_MAX: something is wrong. */
static uint32_t check_tree(const struct gang *g, const struct gang_bucket *b,
                           const struct gang_kind *kind, const struct gang_bucket **last)
{
    if (!b)
        return 0;
    const struct gang_bucket *left = at(g, b->left), *right = at(g, b->right);
    struct gang_bucket again = *b;
    sum_up(g, &again);
    if (kind_of(g, b) != kind || again.least_pods != b->least_pods ||
        again.least_refused != b->least_refused || again.least_limit_s != b->least_limit_s ||
        (left && at(g, left->parent) != b) || (right && at(g, right->parent) != b))
        return UINT32_MAX;
    uint32_t before = check_tree(g, left, kind, last);
    bool in_order = !*last || comes_before(g, *last, b->work, gang_bucket_head(b));
    *last = b;
    uint32_t behind = check_tree(g, right, kind, last);
    return before == UINT32_MAX || behind == UINT32_MAX || !in_order ? UINT32_MAX
                                                                     : before + 1 + behind;
}

int gang_work_check(const struct gang *g, struct mlt_error *err)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i <= g->work_kinds; i++) {
        const struct gang_kind *kind = i < g->work_kinds ? g->work[i] : NULL;
        const struct gang_bucket *last = NULL;
        uint32_t of = check_tree(g, at(g, kind ? kind->waiting : g->work_mixed), kind, &last);
        if (of == UINT32_MAX || (kind && (of == 0 || kind->work_at != i)))
            return mlt_fail(err, EBADMSG, "the tree of kind %u by work", i);
        count += of;
    }
    if (g->config.reservations && count != g->buckets_count)
        return mlt_fail(err, EBADMSG, "%u buckets by work, counted %u", g->buckets_count, count);
    return 0;
}
