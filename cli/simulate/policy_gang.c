/* Policy gang: the library itself (gang/gang.h), told what happens and asked what to do, as the
 * controller does it. A queue of the trace is a queue below one root; a shape's models are node
 * classes; racks are a topology level. The library knows no durations: only what users say
 * (estimates are time limits), and, as a controller might, how long jobs like this one ran before.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/simulate/engine.h"
#include "gang/gang.h"
#include "lib/base/alloc.h"

#define ROOT 0 /* the root queue; queue q of the trace is q + 1 */
#define LEVEL_RACK 1
/* A prediction is the mean of those that ended before, the newest counting most: each counts 0.9
 * of the one after it. Where less than one is known of this kind, those of its owner count. */
#define DECAY_IN 1024
#define DECAY_KEPT 922
#define WEIGHT_ONE 1024

/* Sum of run times and of weights. */
struct history {
    int64_t ms, weight;
};

struct policy {
    struct sim *sim;
    struct gang *gang;
    struct gang_job_request request; /* filled anew for each event */
    uint64_t *classes;               /* by shape: bitmap of the models */
    struct history *by_kind, *by_owner;
    uint32_t *kind_of; /* by job: its owner, shape and limit */
    /* Decisions of a plan, kept until it is over: a plan may be forgotten by the first event. */
    struct decided {
        enum gang_decision_kind kind;
        uint32_t job, for_job, nodes;
        bool revocable;
    } * decided;
    uint32_t *nodes;
    size_t decided_count, decided_capacity, nodes_count, nodes_capacity;
};

static int say(struct policy *p, const struct gang_event *event, struct mlt_error *err)
{
    return gang_event(p->gang, event, p->sim->now_ms, err);
}

/* ---- kinds of jobs: the same owner, shape and limit ---- */

struct kind {
    int64_t limit_ms;
    uint32_t owner, shape, job;
};

static int by_kind(const void *left, const void *right)
{
    const struct kind *a = left, *b = right;
    if (a->owner != b->owner)
        return a->owner < b->owner ? -1 : 1;
    if (a->limit_ms != b->limit_ms)
        return a->limit_ms < b->limit_ms ? -1 : 1;
    if (a->shape != b->shape)
        return a->shape < b->shape ? -1 : 1;
    return a->job < b->job ? -1 : a->job > b->job;
}

static void number_kinds(struct policy *p)
{
    const struct sim_trace *t = p->sim->trace;
    struct kind *kinds = mlt_calloc(t->count + 1, sizeof *kinds);
    uint32_t count = 0;
    for (size_t i = 0; i < t->count; i++)
        kinds[i] =
            (struct kind){t->jobs[i].limit_ms, t->jobs[i].owner, t->jobs[i].shape, (uint32_t)i};
    qsort(kinds, t->count, sizeof *kinds, by_kind);
    p->kind_of = mlt_calloc(t->count + 1, sizeof *p->kind_of);
    for (size_t i = 0; i < t->count; i++) {
        if (i > 0 &&
            (kinds[i].owner != kinds[i - 1].owner || kinds[i].shape != kinds[i - 1].shape ||
             kinds[i].limit_ms != kinds[i - 1].limit_ms))
            count++;
        p->kind_of[kinds[i].job] = count;
    }
    free(kinds);
    p->by_kind = mlt_calloc((size_t)count + 1, sizeof *p->by_kind);
    uint32_t owners = 0;
    for (size_t i = 0; i < t->count; i++)
        if (t->jobs[i].owner > owners)
            owners = t->jobs[i].owner;
    p->by_owner = mlt_calloc((size_t)owners + 1, sizeof *p->by_owner);
}

static void remember(struct history *h, int64_t ms)
{
    h->ms = h->ms / DECAY_IN * DECAY_KEPT + h->ms % DECAY_IN * DECAY_KEPT / DECAY_IN + ms;
    h->weight = h->weight * DECAY_KEPT / DECAY_IN + WEIGHT_ONE;
}

/* To four significant bits: jobs that are about as long are equal to the library then, and equal
 * jobs cost it one look. */
static int64_t rounded(int64_t ms)
{
    int shift = 0;
    while (ms >> shift >= 16)
        shift++;
    return ms >> shift << shift;
}

/* 0: nothing is known. Never more than the limit; of a job without one nothing is told. */
static int64_t predict(const struct policy *p, uint32_t job)
{
    const struct history *h = &p->by_kind[p->kind_of[job]];
    if (h->weight == 0)
        h = &p->by_owner[p->sim->trace->jobs[job].owner];
    if (!p->sim->options->predicts || h->weight == 0 || sim_limit_ms(p->sim, job) <= 0)
        return 0;
    int64_t ms = h->ms / h->weight * WEIGHT_ONE + h->ms % h->weight * WEIGHT_ONE / h->weight;
    int64_t limit = sim_limit_ms(p->sim, job);
    if (limit > 0 && ms > limit)
        ms = limit;
    return ms > 0 ? rounded(ms) : 1;
}

/* ---- telling ---- */

static const struct gang_job_request *request_of(struct policy *p, uint32_t job)
{
    struct gang_job_request *r = &p->request;
    const struct sim_options *o = p->sim->options;
    const struct sim_shape *shape = sim_shape_of(p->sim, job);
    const struct sim_job *j = &p->sim->trace->jobs[job];
    const struct sim_state *s = &p->sim->state[job];
    int64_t limit = sim_limit_ms(p->sim, job), expected = predict(p, job);
    r->queue = j->queue + 1;
    r->priority = j->priority;
    r->sequence = j->submit_ms;
    r->roles_count = shape->roles;
    for (uint32_t i = 0; i < shape->roles; i++) {
        struct gang_role *role = &r->roles[i];
        role->pods = shape->role[i].pods;
        role->request[GANG_CPU_MILLI] = shape->role[i].cpu_milli;
        role->request[GANG_MEMORY] = shape->role[i].memory;
        role->request[GANG_PODS] = 1;
        role->request[GANG_DEVICE_0] = shape->role[i].devices;
        role->node_classes = &p->classes[2 * (size_t)j->shape];
        role->node_classes_words = 2;
    }
    /* What is left of both, with the restart that is to come. */
    int64_t restart = s->attempts > 0 ? o->restart_ms : 0;
    r->time_limit_ms = limit > 0 ? (limit > s->done_ms ? limit - s->done_ms : 1) + restart : 0;
    r->expected_ms = expected > s->done_ms ? expected - s->done_ms + restart
                     : expected > 0        ? expected + restart
                                           : 0;
    r->grace_ms = o->leave_ms;
    r->attained_ms = rounded(s->done_ms);
    if (p->sim->nodes->racks > 0) {
        r->required_level = o->rack_required ? LEVEL_RACK : GANG_NO_LEVEL;
        r->preferred_level = o->rack_preferred ? LEVEL_RACK : GANG_NO_LEVEL;
    }
    r->since_ms = j->submit_ms + s->done_ms; /* now - what it has queued in all */
    r->was_preempted = s->asked > 0;
    r->saves = o->save_every_ms > 0;
    return r;
}

static int submitted(void *self, uint32_t job, struct mlt_error *err)
{
    struct policy *p = self;
    struct gang_event event = {
        .kind = GANG_JOB_SUBMITTED, .job = job, .request = request_of(p, job)};
    return say(p, &event, err);
}

static int left(void *self, uint32_t job, struct mlt_error *err)
{
    struct policy *p = self;
    struct gang_event event = {.kind = GANG_JOB_RELEASED, .job = job};
    int rc = say(p, &event, err);
    return rc < 0 ? rc : submitted(self, job, err);
}

static int saved(void *self, uint32_t job, struct mlt_error *err)
{
    struct gang_event event = {.kind = GANG_JOB_SAVED, .job = job};
    return say(self, &event, err);
}

static int ended(void *self, uint32_t job, struct mlt_error *err)
{
    struct policy *p = self;
    const struct sim_job *j = &p->sim->trace->jobs[job];
    struct gang_event event = {.kind = GANG_JOB_REMOVED, .job = job};
    remember(&p->by_kind[p->kind_of[job]], j->run_ms);
    remember(&p->by_owner[j->owner], j->run_ms);
    return say(p, &event, err);
}

/* ---- asking ---- */

static void note(struct policy *p, const struct gang_decision *d)
{
    MLT_GROW(p->decided, p->decided_count, p->decided_capacity);
    p->decided[p->decided_count++] = (struct decided){.kind = d->kind,
                                                      .job = (uint32_t)d->job,
                                                      .for_job = (uint32_t)d->for_job,
                                                      .nodes = (uint32_t)p->nodes_count,
                                                      .revocable = d->revocable};
    if (d->kind != GANG_PLACE)
        return;
    while (p->nodes_count + d->nodes_count > p->nodes_capacity) {
        p->nodes_capacity = p->nodes_capacity ? p->nodes_capacity * 2 : 4096;
        p->nodes = mlt_realloc(p->nodes, p->nodes_capacity, sizeof *p->nodes);
    }
    memcpy(&p->nodes[p->nodes_count], d->nodes, d->nodes_count * sizeof *d->nodes);
    p->nodes_count += d->nodes_count;
}

static int carry_out(struct policy *p, const struct decided *d, struct mlt_error *err)
{
    struct gang_event event = {.job = d->job};
    int rc;
    p->sim->counts.decisions++;
    if (d->kind == GANG_PREEMPT) {
        event.kind = GANG_JOB_STOPPING;
        event.for_job = d->for_job;
        rc = sim_ask_to_leave(p->sim, d->job, err);
        return rc < 0 ? rc : say(p, &event, err);
    }
    if (d->kind != GANG_PLACE)
        return mlt_fail(err, EBADMSG, "a decision that nobody here can carry out");
    event.kind = GANG_JOB_PLACED;
    event.nodes = &p->nodes[d->nodes];
    event.nodes_count = sim_shape_of(p->sim, d->job)->pods;
    event.started_ms = p->sim->now_ms;
    event.revocable = d->revocable;
    rc = sim_start(p->sim, d->job, event.nodes, err);
    return rc < 0 ? rc : say(p, &event, err);
}

static int decide(void *self, struct mlt_error *err)
{
    struct policy *p = self;
    struct gang_decision d;
    int rc = gang_plan(p->gang, p->sim->now_ms, err);
    p->decided_count = p->nodes_count = 0;
    while (rc == 0 && gang_action_next(p->gang, &d))
        note(p, &d);
    for (size_t i = 0; rc == 0 && i < p->decided_count; i++)
        rc = carry_out(p, &p->decided[i], err);
    return rc;
}

static int64_t wake_ms(void *self)
{
    struct policy *p = self;
    return gang_next_wake_ms(p->gang, p->sim->now_ms);
}

/* ---- beginning and end ---- */

static int tell_nodes(struct policy *p, struct mlt_error *err)
{
    const struct sim_nodes *nodes = p->sim->nodes;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < nodes->count; i++) {
        const struct sim_node *node = &nodes->node[i];
        uint32_t rack = node->rack == SIM_NO_RACK ? GANG_NO_DOMAIN : node->rack;
        struct gang_event event = {.kind = GANG_NODE_SET,
                                   .node = i,
                                   .schedulable = true,
                                   .node_class = node->model == SIM_NO_MODEL ? 0 : node->model + 1,
                                   .domains = nodes->racks ? &rack : NULL};
        event.capacity[GANG_CPU_MILLI] = node->cpu_milli;
        event.capacity[GANG_MEMORY] = node->memory;
        event.capacity[GANG_PODS] = SIM_PODS_MAX;
        event.capacity[GANG_DEVICE_0] = node->devices;
        rc = say(p, &event, err);
    }
    return rc;
}

static int tell_queues(struct policy *p, struct mlt_error *err)
{
    const struct sim_options *o = p->sim->options;
    struct gang_queue_config config = {.parent = GANG_NO_QUEUE,
                                       .weight = 1,
                                       .order = o->fifo ? GANG_ORDER_FIFO : GANG_ORDER_FAIR_SHARE};
    struct gang_event event = {.kind = GANG_QUEUE_SET, .queue = ROOT, .queue_config = &config};
    for (uint32_t i = 0; i < GANG_RESOURCES_MAX; i++)
        config.nominal[i] = config.borrow_limit[i] = config.lend_limit[i] = GANG_UNLIMITED;
    int rc = say(p, &event, err);
    config.parent = ROOT;
    config.order = GANG_ORDER_FIFO;
    if (o->preempts) {
        config.within_queue = GANG_PREEMPTION_LOWER_PRIORITY;
        config.time_slice_ms = o->time_slice_ms;
    }
    for (uint32_t i = 0; rc == 0 && i < p->sim->trace->queues.count; i++) {
        event.queue = i + 1;
        config.weight = o->weights ? (uint32_t)o->weights[i] : 1;
        rc = say(p, &event, err);
    }
    return rc;
}

static void policy_close(void *self)
{
    struct policy *p = self;
    gang_free(p->gang);
    free(p->classes);
    free(p->by_kind);
    free(p->by_owner);
    free(p->kind_of);
    free(p->decided);
    free(p->nodes);
    free(p);
}

static int policy_open(struct sim *sim, void **ret_self, struct mlt_error *err)
{
    static const char *const levels[] = {"rack"};
    const char *devices[] = {sim->trace->device_word};
    struct gang_config config = {.device_names = devices,
                                 .devices = 1,
                                 .level_names = levels,
                                 .levels = sim->nodes->racks ? 1 : 0,
                                 .reservations = sim->options->reservations,
                                 .may_preempt = sim->options->preempts,
                                 .min_run_ms = sim->options->min_run_ms,
                                 .usage_half_life_ms = sim->options->half_life_ms,
                                 .patience_ms = sim->options->patience_ms,
                                 .shares_first = sim->options->shares_first};
    struct policy *p = mlt_calloc(1, sizeof *p);
    p->sim = sim;
    p->gang = gang_new(&config);
    /* Class 0 is a node without a model, class m + 1 one of model m. */
    p->classes = mlt_calloc((size_t)sim->trace->shapes_count * 2 + 2, sizeof *p->classes);
    for (uint32_t i = 0; i < sim->trace->shapes_count; i++) {
        uint64_t models = sim->trace->shapes[i].models;
        p->classes[2 * (size_t)i] = models == SIM_ANY_MODEL ? UINT64_MAX : models << 1;
        p->classes[2 * (size_t)i + 1] = models == SIM_ANY_MODEL ? 1 : models >> 63;
    }
    number_kinds(p);
    int rc = p->gang ? tell_nodes(p, err) : mlt_fail(err, ENOMEM, "no memory for the library");
    if (rc == 0)
        rc = tell_queues(p, err);
    if (rc < 0) {
        policy_close(p);
        return mlt_fail_in(err, "policy gang");
    }
    *ret_self = p;
    return 0;
}

const struct sim_policy sim_policy_gang = {
    .name = "gang",
    .words = "mltrain's gang library: least expected work first, patience, time slices, reservations",
    .open = policy_open,
    .close = policy_close,
    .submitted = submitted,
    .saved = saved,
    .left = left,
    .ended = ended,
    .decide = decide,
    .wake_ms = wake_ms};
