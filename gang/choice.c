/* The next of the buckets that are offered. Where queues share (README "Queues"), each queue has a
 * heap of its own buckets and one of the queues below it; otherwise there is one heap of all. They
 * are pairing heaps (Fredman, Sedgewick, Sleator and Tarjan, Algorithmica 1986): links between what
 * is there anyway, so that a plan needs no memory for them, and whoever changes is taken out and
 * put back. */
#include "gang/choice.h"
#include "gang/patience.h"

#include <errno.h>

/* In a heap, by 1 + a number: of a bucket, or of a queue's index. */
struct link {
    uint32_t child, next;
    uint32_t previous; /* or, of the first child, the parent; 0: the root */
};

struct at_bucket {
    uint64_t choice; /* offered in the choice with this number */
    struct link link;
};

struct at_queue {
    uint64_t choice; /* with another number: all of the rest is nothing */
    struct link link;
    uint32_t own, below; /* roots of the heaps of its buckets, and of the queues below it */
    uint32_t best;       /* 1 + the first bucket of both */
    uint32_t dirty_next; /* 1 + the next that is to be looked at again */
    uint32_t paused;     /* 1 + the first of work_next that pauses here */
    bool dirty, in_heap;
    struct gang_use use; /* at the time of the choice */
};

struct gang_choice {
    uint64_t number;
    enum gang_choice_order order;
    int64_t now_ms;
    bool fair;
    struct at_bucket *buckets; /* by number */
    struct at_queue *queues;   /* by index */
    uint32_t buckets_capacity, queues_capacity;
    uint32_t dirty; /* 1 + the first of those */
};

int gang_choice_reserve(struct gang *g)
{
    if (!g->config.reservations || g->config.patience_ms <= 0)
        return 0;
    if (!g->choice) {
        g->choice = gang_alloc(g, sizeof *g->choice);
        if (!g->choice)
            return -ENOMEM;
    }
    struct gang_choice *c = g->choice;
    if (gang_reserve(g, &c->buckets, &c->buckets_capacity, (size_t)g->buckets_count + 1,
                     sizeof *c->buckets) < 0 ||
        gang_reserve(g, &c->queues, &c->queues_capacity, g->queues_count, sizeof *c->queues) < 0)
        return -ENOMEM;
    return 0;
}

void gang_choice_free(struct gang *g)
{
    if (!g->choice)
        return;
    gang_release(g, g->choice->buckets);
    gang_release(g, g->choice->queues);
    gang_release(g, g->choice);
}

/* ---- a heap ---- */

/* Of buckets, or of the queues below a parent. */
struct heap {
    const struct gang *g;
    bool of_queues, fair;
};

static struct link *link_of(const struct heap *h, uint32_t item)
{
    struct gang_choice *c = h->g->choice;
    return h->of_queues ? &c->queues[item - 1].link : &c->buckets[item - 1].link;
}

static bool bucket_before(const struct gang *g, uint32_t a, uint32_t b)
{
    const struct gang_choice *c = g->choice;
    return gang_patience_before(g, gang_bucket_at(g, a - 1), gang_bucket_at(g, b - 1),
                                c->order == GANG_CHOICE_BY_WORK, c->now_ms);
}

static bool before(const struct heap *h, uint32_t a, uint32_t b)
{
    const struct at_queue *queues = h->g->choice->queues;
    if (!h->of_queues)
        return bucket_before(h->g, a, b);
    if (!h->fair)
        return bucket_before(h->g, queues[a - 1].best, queues[b - 1].best);
    return gang_use_is_less(&queues[a - 1].use, a, &queues[b - 1].use, b);
}

static uint32_t meld(const struct heap *h, uint32_t a, uint32_t b)
{
    if (!a || !b)
        return a ? a : b;
    if (before(h, b, a)) {
        uint32_t other = a;
        a = b;
        b = other;
    }
    struct link *above = link_of(h, a), *below = link_of(h, b);
    below->next = above->child;
    below->previous = a;
    if (above->child)
        link_of(h, above->child)->previous = b;
    above->child = b;
    return a;
}

/* Children become one heap: two by two, then all of those from the last to the first. */
static uint32_t meld_all(const struct heap *h, uint32_t first)
{
    uint32_t pairs = 0, root = 0;
    while (first) {
        uint32_t a = first, b = link_of(h, a)->next;
        first = b ? link_of(h, b)->next : 0;
        link_of(h, a)->next = link_of(h, a)->previous = 0;
        if (b)
            link_of(h, b)->next = link_of(h, b)->previous = 0;
        a = meld(h, a, b);
        link_of(h, a)->next = pairs;
        pairs = a;
    }
    while (pairs) {
        uint32_t next = link_of(h, pairs)->next;
        link_of(h, pairs)->next = 0;
        root = meld(h, root, pairs);
        pairs = next;
    }
    return root;
}

static void put_in(const struct heap *h, uint32_t *root, uint32_t item)
{
    *link_of(h, item) = (struct link){0};
    *root = meld(h, *root, item);
}

static void take_out(const struct heap *h, uint32_t *root, uint32_t item)
{
    struct link *link = link_of(h, item);
    uint32_t rest = meld_all(h, link->child);
    if (*root == item) {
        *root = rest;
        return;
    }
    struct link *previous = link_of(h, link->previous);
    if (previous->child == item)
        previous->child = link->next;
    else
        previous->next = link->next;
    if (link->next)
        link_of(h, link->next)->previous = link->previous;
    *root = meld(h, *root, rest);
}

/* ---- queues ---- */

static bool is_fair(const struct gang *g, uint32_t index)
{
    return index && g->queues[index].config.order == GANG_ORDER_FAIR_SHARE;
}

static struct heap own_heap(const struct gang *g)
{
    return (struct heap){.g = g};
}

static struct heap below_heap(const struct gang *g, uint32_t index)
{
    return (struct heap){.g = g, .of_queues = true, .fair = is_fair(g, index)};
}

static struct at_queue *queue_at(struct gang *g, uint32_t index)
{
    struct at_queue *q = &g->choice->queues[index];
    if (q->choice != g->choice->number)
        *q = (struct at_queue){.choice = g->choice->number};
    return q;
}

/* The queue where it stands; all stand in one, unless queues share. */
static uint32_t index_of(const struct gang *g, const struct gang_bucket *b)
{
    return g->choice->fair ? gang_bucket_any(b)->queue + 1 : 0;
}

static void look_again(struct gang *g, uint32_t index)
{
    struct at_queue *q = queue_at(g, index);
    if (q->dirty)
        return;
    q->dirty = true;
    q->dirty_next = g->choice->dirty;
    g->choice->dirty = index + 1;
}

/* Of a queue that shares fairly its own buckets come before those of the queues below it. */
static uint32_t best_of(const struct gang *g, uint32_t index)
{
    const struct at_queue *queues = g->choice->queues, *q = &queues[index];
    uint32_t below = q->below ? queues[q->below - 1].best : 0;
    if (!q->own || !below)
        return q->own ? q->own : below;
    return is_fair(g, index) || bucket_before(g, q->own, below) ? q->own : below;
}

/* It and those above it take the places that they are due now. */
static void settle(struct gang *g, uint32_t index)
{
    for (;; index = g->queues[index].parent) {
        struct at_queue *q = queue_at(g, index);
        if (index && q->in_heap) {
            uint32_t parent = g->queues[index].parent;
            const struct heap h = below_heap(g, parent);
            take_out(&h, &queue_at(g, parent)->below, index + 1);
            q->in_heap = false;
        }
        q->best = best_of(g, index);
        if (!index)
            return;
        uint32_t parent = g->queues[index].parent;
        if (!q->best)
            continue;
        const struct heap h = below_heap(g, parent);
        if (h.fair)
            q->use = gang_use_of(g, index, g->choice->now_ms);
        q->in_heap = true;
        put_in(&h, &queue_at(g, parent)->below, index + 1);
    }
}

/* ---- a choice ---- */

void gang_choice_begin(struct gang *g, enum gang_choice_order order, int64_t now_ms)
{
    struct gang_choice *c = g->choice;
    c->number++;
    c->order = order;
    c->now_ms = now_ms;
    c->fair = gang_queue_order_moves(g);
    c->dirty = 0;
}

bool gang_choice_has(const struct gang *g, const struct gang_bucket *b)
{
    return g->choice->buckets[b->at].choice == g->choice->number;
}

void gang_choice_offer(struct gang *g, struct gang_bucket *b)
{
    uint32_t index = index_of(g, b);
    const struct heap h = own_heap(g);
    g->choice->buckets[b->at].choice = g->choice->number;
    put_in(&h, &queue_at(g, index)->own, b->at + 1);
    look_again(g, index);
}

void gang_choice_offer_best(struct gang *g, struct gang_bucket *b)
{
    uint32_t index = index_of(g, b);
    struct at_queue *q = queue_at(g, index);
    if (q->own && !bucket_before(g, b->at + 1, q->own))
        return;
    q->own = b->at + 1;
    look_again(g, index);
}

void gang_choice_take_back(struct gang *g, struct gang_bucket *b)
{
    if (!gang_choice_has(g, b))
        return;
    uint32_t index = index_of(g, b);
    const struct heap h = own_heap(g);
    g->choice->buckets[b->at].choice = 0;
    take_out(&h, &queue_at(g, index)->own, b->at + 1);
    look_again(g, index);
}

void gang_choice_used(struct gang *g, uint32_t queue)
{
    if (g->choice->fair)
        look_again(g, queue + 1);
}

static bool is_flat_below(const struct gang *g, uint32_t index)
{
    const struct gang_queue *q = &g->queues[index];
    return is_fair(g, index) && !q->parent && !q->heap_count && q->height == 1 &&
           q->waiting == g->waiting;
}

bool gang_choice_is_flat(const struct gang *g)
{
    for (uint32_t i = g->queues[0].first_child; i; i = g->queues[i].next_sibling)
        if (g->queues[i].waiting)
            return is_flat_below(g, i);
    return false;
}

/* It has something to offer, has used nothing, and all that waits stands in queues beside it: of
 * those with a higher number none comes before it. */
static bool comes_first(struct gang *g, uint32_t index)
{
    return queue_at(g, index)->own && is_flat_below(g, g->queues[index].parent) &&
           gang_use_of(g, index, g->choice->now_ms).amount == 0;
}

bool gang_choice_pause(struct gang *g, uint32_t queue, uint32_t offering)
{
    if (!g->choice->fair || !comes_first(g, queue + 1))
        return false;
    struct at_queue *q = queue_at(g, queue + 1);
    g->work_next[offering].paused = q->paused;
    q->paused = offering + 1;
    return true;
}

uint32_t gang_choice_resume(struct gang *g, uint32_t queue)
{
    if (!g->choice->fair)
        return UINT32_MAX;
    struct at_queue *q = queue_at(g, queue + 1);
    if (!q->paused || comes_first(g, queue + 1))
        return UINT32_MAX;
    uint32_t offering = q->paused - 1;
    q->paused = g->work_next[offering].paused;
    return offering;
}

struct gang_bucket *gang_choice_first(struct gang *g)
{
    struct gang_choice *c = g->choice;
    while (c->dirty) {
        uint32_t index = c->dirty - 1;
        c->dirty = c->queues[index].dirty_next;
        c->queues[index].dirty = false;
        settle(g, index);
    }
    uint32_t best = queue_at(g, 0)->best;
    return best ? gang_bucket_at(g, best - 1) : NULL;
}

/* ---- check ---- */

static bool is_of_now(const struct gang *g, uint32_t index)
{
    return g->choice->queues[index].choice == g->choice->number;
}

/* Links lead there and back. */
static bool is_linked(const struct heap *h, uint32_t item, uint32_t root)
{
    const struct link *link = link_of(h, item);
    if ((link->child && link_of(h, link->child)->previous != item) ||
        (link->next && link_of(h, link->next)->previous != item))
        return false;
    if (!link->previous)
        return root == item && !link->next;
    const struct link *previous = link_of(h, link->previous);
    return root != item && (previous->child == item || previous->next == item);
}

/* Whether its place can still be told: while a plan goes on the first job of a bucket is the one
 * that it stood there with, and a queue that is to be looked at again stands anywhere. */
static bool has_its_place(const struct heap *h, uint32_t item)
{
    const struct gang *g = h->g;
    if (h->of_queues)
        return h->fair || (!g->choice->queues[item - 1].dirty &&
                           has_its_place(&(struct heap){.g = g}, g->choice->queues[item - 1].best));
    const struct gang_bucket *b = gang_bucket_at(g, item - 1);
    return !g->plan.made || b->plan != g->plan.number || !b->taken;
}

static bool is_in_order(const struct heap *h, uint32_t item)
{
    for (uint32_t c = link_of(h, item)->child; c; c = link_of(h, c)->next)
        if (has_its_place(h, item) && has_its_place(h, c) && before(h, c, item))
            return false;
    return true;
}

static int check_buckets(const struct gang *g, struct mlt_error *err)
{
    const struct gang_choice *c = g->choice;
    const struct heap h = own_heap(g);
    for (uint32_t at = 0; at < g->bucket_pool.fresh && at < c->buckets_capacity; at++) {
        if (c->buckets[at].choice != c->number)
            continue;
        uint32_t index = index_of(g, gang_bucket_at(g, at));
        if (!is_of_now(g, index) || !is_linked(&h, at + 1, c->queues[index].own) ||
            !is_in_order(&h, at + 1))
            return mlt_fail(err, EBADMSG, "bucket %u: its place among those offered", at);
    }
    return 0;
}

static bool uses_so_much(const struct gang *g, uint32_t index)
{
    const struct gang_use now = gang_use_of(g, index, g->choice->now_ms);
    const struct gang_use *use = &g->choice->queues[index].use;
    return use->amount == now.amount && use->weight == now.weight;
}

static int check_queue(const struct gang *g, uint32_t index, struct mlt_error *err)
{
    const struct gang_choice *c = g->choice;
    const struct at_queue *q = &c->queues[index];
    const struct heap h = below_heap(g, g->queues[index].parent);
    bool placed = g->plan.made && g->plan.count; /* counted in the plan, but no more now */
    if (!c->dirty && !placed && q->best != best_of(g, index))
        return mlt_fail(err, EBADMSG, "queue %u: another one comes first", index - 1);
    if (index && !c->dirty && q->in_heap != (q->best != 0))
        return mlt_fail(err, EBADMSG, "queue %u: whether it offers anything", index - 1);
    if (!index || !q->in_heap)
        return 0;
    if (!is_linked(&h, index + 1, c->queues[g->queues[index].parent].below) ||
        !is_in_order(&h, index + 1))
        return mlt_fail(err, EBADMSG, "queue %u: its place among those beside it", index - 1);
    if (h.fair && !c->dirty && !placed && !uses_so_much(g, index))
        return mlt_fail(err, EBADMSG, "queue %u: it has used another amount", index - 1);
    return 0;
}

int gang_choice_check_room(const struct gang *g, struct mlt_error *err)
{
    const struct gang_choice *c = g->choice;
    struct gang_bucket_walk walk = {0};
    if (!c)
        return 0;
    for (const struct gang_bucket *b; (b = gang_bucket_walk_next(g, &walk)) != NULL;)
        if (b->at >= c->buckets_capacity)
            return mlt_fail(err, EBADMSG, "bucket %u has no room to be offered", b->at);
    for (uint32_t i = 0; i < g->queues_count; i++)
        if (g->queues[i].known && i >= c->queues_capacity)
            return mlt_fail(err, EBADMSG, "queue %u has no room to offer", i - 1);
    return 0;
}

int gang_choice_check(const struct gang *g, struct mlt_error *err)
{
    const struct gang_choice *c = g->choice;
    int rc = c->order == GANG_CHOICE_BY_WORK ? check_buckets(g, err) : 0;
    for (uint32_t i = 0; rc == 0 && i < g->queues_count && i < c->queues_capacity; i++)
        if (is_of_now(g, i))
            rc = check_queue(g, i, err);
    return rc;
}
