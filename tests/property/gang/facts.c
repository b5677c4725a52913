/* What must depend on facts alone: not on the history that led to them, nor on names. */
#include "tests/property/gang/properties.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* How numbers are told to the library: in the same order, but others. */
struct names {
    uint32_t factor, offset;
};

static uint32_t name_of(const struct names *names, uint32_t number)
{
    return number == UINT32_MAX ? number : number * names->factor + names->offset;
}

static uint64_t id_of(const struct names *names, uint64_t id)
{
    return id == GANG_NO_JOB ? id : id * names->factor + names->offset;
}

struct rebuilt {
    const struct world *w;
    struct gang *g;
    struct names names;
    struct mlt_error err;
    bool refused;
};

static void tell(struct rebuilt *r, const struct gang_event *e, int64_t now_ms)
{
    if (!r->refused && feed_to(r->w, r->g, e, now_ms, &r->err) < 0)
        r->refused = true;
}

static void tell_nodes(struct rebuilt *r, int64_t now_ms)
{
    for (uint32_t n = 0; n < r->w->nodes_count; n++) {
        if (!r->w->nodes[n].known)
            continue;
        struct gang_event e;
        struct node node = r->w->nodes[n];
        for (uint32_t level = 0; level < LEVELS; level++)
            node.domains[level] = name_of(&r->names, node.domains[level]);
        node_event_of(&node, name_of(&r->names, n), &e);
        tell(r, &e, now_ms);
    }
}

static void tell_queues(struct rebuilt *r, int64_t now_ms)
{
    bool told[QUEUES] = {false};
    for (uint32_t round = 0; round < QUEUES; round++)
        for (uint32_t q = 0; q < QUEUES; q++) {
            const struct queue *queue = &r->w->queues[q];
            uint32_t parent = queue->config.parent;
            if (!queue->known || told[q] || (parent != GANG_NO_QUEUE && !told[parent]))
                continue;
            struct gang_queue_config c = queue->config;
            c.parent = name_of(&r->names, parent);
            told[q] = true;
            struct gang_event e = {
                .kind = GANG_QUEUE_SET, .queue = name_of(&r->names, q), .queue_config = &c};
            tell(r, &e, now_ms);
        }
}

/* What was written down of past use, as of now. */
static void tell_usage(struct rebuilt *r)
{
    for (uint32_t q = 0; q < QUEUES; q++) {
        struct gang_queue_view view;
        if (!on(PROPERTY_FAIR) || !r->w->queues[q].known ||
            !gang_queue(r->w->g, q, r->w->now_ms, &view))
            continue;
        const struct gang_event e = {
            .kind = GANG_QUEUE_USAGE, .queue = name_of(&r->names, q), .usage = view.usage};
        tell(r, &e, r->w->now_ms);
    }
}

/* Facts are told in the order in which they came to be, so that time never goes back. */
static void tell_job(struct rebuilt *r, const struct job *job, int64_t now_ms)
{
    uint32_t nodes[PODS];
    struct gang_job_request request = job->request;
    request.queue = name_of(&r->names, request.queue);
    request.made_way = job->state == WAITING && job->gave_way;
    request.made_way_for = id_of(&r->names, job->gave_way);
    struct gang_event e = {.kind = job->state == PLACED ? GANG_JOB_PLACED : GANG_JOB_SUBMITTED,
                           .job = id_of(&r->names, job->id),
                           .request = &request,
                           .nodes = nodes,
                           .nodes_count = job->state == PLACED ? job->pods : 0,
                           .started_ms = job->started_ms,
                           .revocable = job->revocable};
    for (uint32_t pod = 0; pod < e.nodes_count; pod++)
        nodes[pod] = name_of(&r->names, job->nodes[pod]);
    tell(r, &e, now_ms);
}

static void tell_avoids(struct rebuilt *r, const struct job *job)
{
    for (uint32_t i = 0; i < job->avoids_count; i++)
        if (job->avoids[i].until_ms > r->w->now_ms) {
            const struct gang_event avoid = {.kind = GANG_JOB_AVOID,
                                             .job = id_of(&r->names, job->id),
                                             .node = name_of(&r->names, job->avoids[i].node),
                                             .until_ms = job->avoids[i].until_ms};
            tell(r, &avoid, r->w->now_ms);
        }
}

static void tell_stop(struct rebuilt *r, const struct job *job)
{
    struct gang_event e = {
        .kind = GANG_JOB_STOPPING, .job = id_of(&r->names, job->id), .for_job = GANG_NO_JOB};
    for (uint32_t k = 0; k < JOBS; k++)
        if (r->w->jobs[k].state != NOBODY && r->w->jobs[k].id == job->for_job)
            e.for_job = id_of(&r->names, job->for_job);
    tell(r, &e, job->stop_ms);
}

enum fact { FACT_PLACED, FACT_SAVED, FACT_STOPPING, FACTS };

static int64_t fact_ms(const struct job *job, uint32_t fact)
{
    if (job->state != PLACED || (fact == FACT_SAVED && job->saved_ms < 0) ||
        (fact == FACT_STOPPING && !job->stopping))
        return INT64_MAX;
    return fact == FACT_PLACED  ? job->started_ms
           : fact == FACT_SAVED ? job->saved_ms
                                : job->stop_ms;
}

static void tell_fact(struct rebuilt *r, const struct job *job, uint32_t fact, int64_t at_ms)
{
    const struct gang_event saved = {.kind = GANG_JOB_SAVED, .job = id_of(&r->names, job->id)};
    if (fact == FACT_PLACED)
        tell_job(r, job, at_ms);
    else if (fact == FACT_SAVED)
        tell(r, &saved, at_ms);
    else
        tell_stop(r, job);
}

static void tell_placed(struct rebuilt *r)
{
    bool told[JOBS][FACTS] = {{false}};
    for (;;) {
        int64_t at_ms = INT64_MAX;
        uint32_t which = 0;
        for (uint32_t i = 0; i < JOBS * FACTS; i++) {
            int64_t its =
                told[i / FACTS][i % FACTS] ? INT64_MAX : fact_ms(&r->w->jobs[i / FACTS], i % FACTS);
            if (its < at_ms) {
                at_ms = its;
                which = i;
            }
        }
        if (at_ms == INT64_MAX)
            return;
        told[which / FACTS][which % FACTS] = true;
        tell_fact(r, &r->w->jobs[which / FACTS], which % FACTS, at_ms);
    }
}

static int64_t first_ms(const struct world *w)
{
    int64_t first = w->now_ms;
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == PLACED && w->jobs[j].started_ms < first)
            first = w->jobs[j].started_ms;
    return first;
}

/* A gang that is told facts alone; NULL after a failure. */
static struct gang *rebuild(struct world *w, struct names names)
{
    struct rebuilt r = {.w = w, .g = world_new_gang(w), .names = names};
    int64_t begin_ms = first_ms(w);
    tell_nodes(&r, begin_ms);
    tell_queues(&r, begin_ms);
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == WAITING)
            tell_job(&r, &w->jobs[j], begin_ms);
    tell_placed(&r);
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state != NOBODY)
            tell_avoids(&r, &w->jobs[j]);
    tell_usage(&r);
    if (!r.refused && gang_check(r.g, &r.err) < 0)
        r.refused = true;
    if (!r.refused)
        return r.g;
    fail(w, "a gang rebuilt from facts: %s", r.err.text);
    gang_free(r.g);
    return NULL;
}

/* ---- probes ---- */

static bool same_decision(const struct decision *a, const struct decision *b,
                          const struct names *names)
{
    if (a->d.kind != b->d.kind || id_of(names, a->d.job) != b->d.job || a->d.pod != b->d.pod ||
        a->d.nodes_count != b->d.nodes_count || a->d.revocable != b->d.revocable ||
        a->d.position != b->d.position)
        return false;
    for (uint32_t i = 0; i < a->d.nodes_count; i++)
        if (name_of(names, a->nodes[i]) != b->nodes[i])
            return false;
    return a->d.kind != GANG_PREEMPT ||
           (id_of(names, a->d.for_job) == b->d.for_job && a->d.cause == b->d.cause);
}

static void compare_plans(struct world *w, struct gang *one, struct gang *other,
                          const struct names *names, const char *what)
{
    static struct decision theirs[DECISIONS];
    uint32_t count = 0, ours_count = 0;
    take_decisions(w, one, w->decisions, &ours_count);
    take_decisions(w, other, theirs, &count);
    w->decisions_count = 0;
    for (uint32_t i = 0; i < count && i < ours_count && !failed(w); i++) {
        const struct decision *a = &w->decisions[i], *b = &theirs[i];
        if (!same_decision(a, b, names))
            fail(w,
                 "%s: decision %u is %d of job %" PRIu64 " (node %u), there %d of job %" PRIu64
                 " (node %u)",
                 what, i, (int)a->d.kind, a->d.job, a->d.nodes_count ? a->nodes[0] : 0,
                 (int)b->d.kind, b->d.job, b->d.nodes_count ? b->nodes[0] : 0);
        else if (a->has_why && b->has_why && a->why.kind != b->why.kind)
            fail(w, "%s: job %" PRIu64 " waits for another reason: %d, there %d", what, a->d.job,
                 (int)a->why.kind, (int)b->why.kind);
    }
    if (count != ours_count)
        fail(w, "%s: %u decisions, there %u", what, ours_count, count);
    w->result.probes++;
}

void probe_rebuild(struct world *w, bool adopt)
{
    const struct names same = {.factor = 1};
    if (!on(PROPERTY_REBUILD))
        return;
    struct gang *other = rebuild(w, same);
    if (!other)
        return;
    /* Reservations are kept between plans, and made anew by who knows facts alone: they may be
     * others, and with them what goes beside them. */
    if (!w->config.f[C_RESERVATIONS])
        compare_plans(w, w->g, other, &same, "a gang rebuilt from facts");
    w->result.rebuilds++;
    if (adopt) {
        struct gang *old = w->g;
        w->g = other;
        other = old;
        void_promises(w);
    }
    gang_free(other);
}

void probe_relabel(struct world *w)
{
    const struct names others = {.factor = 3, .offset = 2};
    if (!on(PROPERTY_RELABEL))
        return;
    struct gang *one = rebuild(w, (struct names){.factor = 1});
    struct gang *other = one ? rebuild(w, others) : NULL;
    if (other)
        compare_plans(w, one, other, &others, "with other numbers");
    gang_free(one);
    gang_free(other);
}

/* The first thing decided about a whole job. */
static const struct decision *first_placed(const struct world *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (w->decisions[i].d.pod != GANG_NO_POD && w->decisions[i].d.kind == GANG_WAIT)
            return NULL;
    for (uint32_t i = 0; i < count; i++)
        if (w->decisions[i].d.pod == GANG_NO_POD && w->decisions[i].d.kind == GANG_PLACE)
            return &w->decisions[i];
    return NULL;
}

/* Who is placed and released is given no turn any more by those that had left for it. */
static bool somebody_gives_way(struct world *w)
{
    bool any = false;
    for (uint32_t j = 0; j < JOBS; j++)
        any = any || (w->jobs[j].state == WAITING && gives_way(w, &w->jobs[j]));
    return any;
}

static bool is_placed(const struct decision *decisions, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (decisions[i].d.kind == GANG_PLACE && decisions[i].d.job == id)
            return true;
    return false;
}

static bool is_first_in_order(const struct world *w, const struct job *job)
{
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == WAITING && comes_before(&w->jobs[j], job))
            return false;
    return true;
}

/* The first in order is placed with a node more, too, if it is without. Where shares count, who is
 * first may be another then: they are parts of all there is. */
void probe_empty_node(struct world *w)
{
    static struct decision theirs[DECISIONS];
    uint32_t count = 0, ours_count = 0;
    if (!on(PROPERTY_EMPTY_NODE))
        return;
    struct gang *other = rebuild(w, (struct names){.factor = 1});
    if (!other)
        return;
    struct node node = {.known = true, .schedulable = true, .capacity = {9000, 90, 9, 8, 1}};
    for (uint32_t level = 0; level < LEVELS; level++)
        node.domains[level] = GANG_NO_DOMAIN;
    struct gang_event e;
    struct mlt_error err = {0};
    node_event_of(&node, w->nodes_count, &e);
    if (feed_to(w, other, &e, w->now_ms, &err) < 0)
        fail(w, "an empty node more is refused: %s", err.text);
    take_decisions(w, w->g, w->decisions, &ours_count);
    take_decisions(w, other, theirs, &count);
    const struct decision *first = first_placed(w, ours_count);
    struct job *job = first ? job_by_id(w, first->d.job) : NULL;
    if (job && strict_order(w) && !fair_is_used(w) && job->request.roles_count == 1 &&
        is_first_in_order(w, job) && !is_placed(theirs, count, job->id))
        fail(w, "job %" PRIu64 " is not placed any more with an empty node more", job->id);
    w->result.probes++;
    gang_free(other);
}

/* Place and release: what is used is as before. */
void probe_release(struct world *w)
{
    uint32_t count = 0;
    if (!on(PROPERTY_RELEASE))
        return;
    struct gang *other = rebuild(w, (struct names){.factor = 1});
    if (!other)
        return;
    take_decisions(w, other, w->decisions, &count);
    const struct decision *first = first_placed(w, count);
    if (first) {
        struct mlt_error err = {0};
        const struct gang_event placed = {.kind = GANG_JOB_PLACED,
                                          .job = first->d.job,
                                          .nodes = first->nodes,
                                          .nodes_count = first->d.nodes_count,
                                          .started_ms = w->now_ms};
        const struct gang_event released = {.kind = GANG_JOB_RELEASED, .job = first->d.job};
        if (feed_to(w, other, &placed, w->now_ms, &err) < 0 ||
            feed_to(w, other, &released, w->now_ms, &err) < 0 || gang_check(other, &err) < 0)
            fail(w, "placed and released: %s", err.text);
        for (uint32_t n = 0; n < w->nodes_count && !failed(w); n++) {
            struct gang_node_view a, b;
            gang_node(w->g, n, &a);
            gang_node(other, n, &b);
            if (memcmp(&a.used_by_gangs, &b.used_by_gangs, sizeof a.used_by_gangs) != 0)
                fail(w, "node %u is not as before after placed and released", n);
        }
        if (!failed(w) && !w->config.f[C_RESERVATIONS] && !somebody_gives_way(w))
            compare_plans(w, w->g, other, &(const struct names){.factor = 1},
                          "placed and released");
        w->result.probes++;
    }
    gang_free(other);
}

/* An event that contradicts the state is refused, and leaves everything as it was. */
void probe_wrong(struct world *w, const struct op *op)
{
    struct gang_event e = {.job = w->next_id + 1, .queue = QUEUES + 1, .for_job = GANG_NO_JOB};
    struct mlt_error err = {0};
    const struct job *job = NULL;
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state == WAITING)
            job = &w->jobs[j];
    switch (op->f[0] & 7) {
    case 0:
        e.kind = GANG_JOB_RELEASED;
        break;
    case 1:
        e.kind = GANG_JOB_REMOVED;
        break;
    case 2:
        e.kind = GANG_JOB_PLACED;
        break;
    case 3:
        e.kind = GANG_POD_GONE;
        break;
    case 4:
        e.kind = GANG_JOB_AVOID;
        break;
    case 5:
        e.kind = GANG_JOB_SUBMITTED;
        break;
    case 6:
        e.kind = GANG_JOB_RELEASED;
        e.job = job ? job->id : e.job;
        break;
    default:
        e.kind = GANG_POD_GONE;
        e.job = job ? job->id : e.job;
        break;
    }
    uint64_t before = gang_hash(w->g);
    if (w->lib->bug) /* a deaf one refuses nothing that it does not hear: that would be too easy */
        return;
    if (feed_to(w, w->g, &e, w->now_ms, &err) != -EINVAL)
        fail(w, "event %d that contradicts the state is not refused", (int)e.kind);
    else if (gang_hash(w->g) != before || !err.text[0])
        fail(w, "event %d was refused, but has changed the state, or without words", (int)e.kind);
}
