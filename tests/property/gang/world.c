/* The random world and its oracle: see world.h. */
#include "tests/property/gang/world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct world_library world_real = {
    .new = gang_new,
    .free = gang_free,
    .event = gang_event,
    .plan = gang_plan,
    .next = gang_decision_next,
    .write = gang_why_write,
    .node = gang_node,
    .hash = gang_hash,
    .check = gang_check,
};

#define CLASSES 3
#define STEP_MS 1000

struct world_node {
    bool known, schedulable;
    uint32_t class;
    gang_amounts capacity, others, used;
};

enum job_state { NOBODY, WAITING, PLACED };

struct world_job {
    enum job_state state;
    uint64_t id;
    struct gang_job_request request;
    uint64_t classes[WORLD_ROLES]; /* the bitmaps that request.roles point at */
    uint32_t pods, nodes[WORLD_PODS];
    uint32_t decisions; /* of the plan being checked */
    bool never;         /* by the last plan */
    struct {
        uint32_t node;
        int64_t until_ms;
    } avoids[8];
    uint32_t avoids_count;
};

struct world {
    const struct world_library *lib;
    struct gang *g;
    struct mlt_random random;
    int64_t now_ms;
    uint64_t next_id;
    struct world_node nodes[WORLD_NODES];
    struct world_job jobs[WORLD_JOBS];
    const struct world_options *options;
    struct world_result *result;
};

/* A decision that outlives the plan. */
struct decision {
    struct gang_decision d;
    uint32_t nodes[WORLD_PODS];
    enum gang_why_kind why;
};

static bool failed(const struct world *w)
{
    return w->result->failure[0] != '\0';
}

static void fail(struct world *w, const char *format, ...) MLT_PRINTF(2, 3);

static void fail(struct world *w, const char *format, ...)
{
    if (failed(w))
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w->result->failure, sizeof w->result->failure, format, args);
    va_end(args);
}

static uint32_t below(struct world *w, uint32_t bound)
{
    return (uint32_t)mlt_random_below(&w->random, bound);
}

static bool chance(struct world *w, uint32_t percent)
{
    return below(w, 100) < percent;
}

static void digest(struct world *w, uint64_t value)
{
    w->result->digest = (w->result->digest ^ value) * 0x100000001b3u; /* FNV-1a, by words */
}

/* ---- the oracle's own arithmetic ---- */

static const struct gang_role *role_of(const struct world_job *job, uint32_t pod)
{
    uint32_t role = 0;
    while (pod >= job->request.roles[role].pods)
        pod -= job->request.roles[role++].pods;
    return &job->request.roles[role];
}

static int64_t free_of(const struct world_node *node, uint32_t r)
{
    return node->capacity[r] - node->others[r] - node->used[r];
}

static void use(struct world *w, const struct world_job *job, uint32_t pod, uint32_t node, int sign)
{
    if (node == GANG_NO_NODE)
        return;
    const struct gang_role *role = role_of(job, pod);
    for (uint32_t r = 0; r < WORLD_RESOURCES; r++)
        w->nodes[node].used[r] += sign * role->request[r];
}

static bool allows(const struct gang_role *role, const struct world_node *node)
{
    return node->known && (role->node_classes[0] >> node->class & 1);
}

static bool avoids(const struct world *w, const struct world_job *job, uint32_t node)
{
    for (uint32_t i = 0; i < job->avoids_count; i++)
        if (job->avoids[i].node == node && job->avoids[i].until_ms > w->now_ms)
            return true;
    return false;
}

static int64_t pods_that_fit(const struct world_node *node, const struct gang_role *role,
                             bool empty)
{
    int64_t count = WORLD_PODS;
    for (uint32_t r = 0; r < WORLD_RESOURCES; r++) {
        if (role->request[r] == 0)
            continue;
        int64_t there = empty ? node->capacity[r] : free_of(node, r);
        int64_t fit = there < 0 ? 0 : there / role->request[r];
        count = fit < count ? fit : count;
    }
    return count;
}

/* ---- events ---- */

static void check_state(struct world *w)
{
    struct mlt_error err = {0};
    if (w->options->only_oversubscription)
        return;
    if (w->result->events % w->options->full_check_every == 0 && w->lib->check(w->g, &err) < 0)
        fail(w, "gang_check: %s", err.text);
    for (uint32_t n = 0; n < WORLD_NODES; n++) {
        struct gang_node_view view;
        w->lib->node(w->g, n, &view);
        for (uint32_t r = 0; r < WORLD_RESOURCES; r++)
            if (view.used_by_gangs[r] != w->nodes[n].used[r])
                fail(w, "node %u resource %u: gangs use %" PRId64 ", the library says %" PRId64, n,
                     r, w->nodes[n].used[r], view.used_by_gangs[r]);
    }
}

static void feed(struct world *w, const struct gang_event *event)
{
    struct mlt_error err = {0};
    if (w->lib->event(w->g, event, w->now_ms, &err) < 0)
        fail(w, "event %d: %s", (int)event->kind, err.text);
    w->result->events++;
    check_state(w);
}

static void send_node(struct world *w, uint32_t n)
{
    const struct world_node *node = &w->nodes[n];
    struct gang_event e = {.kind = GANG_NODE_SET,
                           .node = n,
                           .node_class = node->class,
                           .schedulable = node->schedulable};
    memcpy(e.capacity, node->capacity, sizeof e.capacity);
    memcpy(e.used_by_others, node->others, sizeof e.used_by_others);
    feed(w, &e);
}

static void shape_node(struct world *w, struct world_node *node)
{
    static const int64_t devices[] = {0, 4, 8, 8};
    node->capacity[GANG_CPU_MILLI] = 1000 * mlt_random_between(&w->random, 8, 32);
    node->capacity[GANG_MEMORY] = mlt_random_between(&w->random, 16, 64) << 30;
    node->capacity[GANG_PODS] = mlt_random_between(&w->random, 3, 12);
    node->capacity[GANG_DEVICE_0] = devices[below(w, 4)];
    node->capacity[GANG_DEVICE_0 + 1] = below(w, 4) == 0 ? 2 : 0;
}

static void node_appears(struct world *w, uint32_t n)
{
    struct world_node *node = &w->nodes[n];
    shape_node(w, node);
    memset(node->others, 0, sizeof node->others);
    node->class = below(w, CLASSES);
    node->known = true;
    node->schedulable = chance(w, 90);
    send_node(w, n);
}

static void pod_gone(struct world *w, struct world_job *job, uint32_t pod)
{
    use(w, job, pod, job->nodes[pod], -1);
    job->nodes[pod] = GANG_NO_NODE;
    feed(w, &(struct gang_event){.kind = GANG_POD_GONE, .job = job->id, .pod = pod});
}

static void node_vanishes(struct world *w, uint32_t n, bool with_its_pods)
{
    struct world_node *node = &w->nodes[n];
    node->known = node->schedulable = false;
    memset(node->capacity, 0, sizeof node->capacity);
    memset(node->others, 0, sizeof node->others);
    for (uint32_t j = 0; j < WORLD_JOBS; j++)
        for (uint32_t i = 0; i < w->jobs[j].avoids_count; i++)
            if (w->jobs[j].avoids[i].node == n)
                w->jobs[j].avoids[i].until_ms = 0;
    feed(w, &(struct gang_event){.kind = GANG_NODE_REMOVED, .node = n});
    for (uint32_t j = 0; with_its_pods && j < WORLD_JOBS; j++)
        for (uint32_t pod = 0; w->jobs[j].state == PLACED && pod < w->jobs[j].pods; pod++)
            if (w->jobs[j].nodes[pod] == n)
                pod_gone(w, &w->jobs[j], pod);
}

static void node_event(struct world *w)
{
    uint32_t n = below(w, WORLD_NODES);
    struct world_node *node = &w->nodes[n];
    uint32_t what = below(w, 100);
    if (!node->known) {
        node_appears(w, n);
    } else if (what < 10) {
        node_vanishes(w, n, what < 6);
    } else if (what < 35) {
        node->schedulable = !node->schedulable || chance(w, 50);
        send_node(w, n);
    } else if (what < 45) {
        shape_node(w, node);
        send_node(w, n);
    } else {
        for (uint32_t r = 0; r < WORLD_RESOURCES; r++)
            node->others[r] =
                chance(w, 30) ? mlt_random_between(&w->random, 0, node->capacity[r] / 3) : 0;
        send_node(w, n);
    }
}

static void make_request(struct world *w, struct world_job *job)
{
    static const int64_t devices[] = {0, 1, 2, 4, 8, 8};
    struct gang_job_request *q = &job->request;
    *q = (struct gang_job_request){.queue = below(w, 2), .priority = (int32_t)below(w, 3)};
    q->sequence = w->now_ms / (5 * STEP_MS); /* several jobs share a number, so that ids decide */
    q->roles_count = chance(w, 70) ? 1 : 1 + below(w, WORLD_ROLES);
    job->pods = 0;
    for (uint32_t i = 0; i < q->roles_count; i++) {
        struct gang_role *role = &q->roles[i];
        role->pods = 1 + below(w, WORLD_PODS / q->roles_count);
        role->request[GANG_CPU_MILLI] = 500 * (int64_t)below(w, 16);
        role->request[GANG_MEMORY] = (int64_t)below(w, 12) << 30;
        role->request[GANG_PODS] = 1;
        role->request[GANG_DEVICE_0] = devices[below(w, 6)];
        role->request[GANG_DEVICE_0 + 1] = chance(w, 5);
        job->classes[i] = chance(w, 60) ? 7 : 1 + below(w, 7);
        role->node_classes = &job->classes[i];
        role->node_classes_words = 1;
        job->pods += role->pods;
    }
}

static void submit(struct world *w, struct world_job *job)
{
    make_request(w, job);
    job->state = WAITING;
    feed(w, &(struct gang_event){
                .kind = GANG_JOB_SUBMITTED, .job = job->id, .request = &job->request});
}

static void leave(struct world *w, struct world_job *job)
{
    for (uint32_t pod = 0; job->state == PLACED && pod < job->pods; pod++)
        use(w, job, pod, job->nodes[pod], -1);
}

static void take_place(struct world *w, struct world_job *job, const uint32_t *nodes)
{
    leave(w, job);
    job->never = false;
    job->state = PLACED;
    for (uint32_t pod = 0; pod < job->pods; pod++) {
        job->nodes[pod] = nodes[pod];
        use(w, job, pod, nodes[pod], 1);
    }
    feed(w, &(struct gang_event){
                .kind = GANG_JOB_PLACED, .job = job->id, .nodes = nodes, .nodes_count = job->pods});
}

static void avoid(struct world *w, struct world_job *job)
{
    if (job->avoids_count == 8)
        return;
    uint32_t n = below(w, WORLD_NODES), i = 0;
    while (i < job->avoids_count && job->avoids[i].node != n)
        i++;
    job->avoids_count += i == job->avoids_count;
    job->avoids[i].node = n;
    job->avoids[i].until_ms = w->now_ms + STEP_MS * (int64_t)below(w, 30);
    feed(w, &(struct gang_event){.kind = GANG_JOB_AVOID,
                                 .job = job->id,
                                 .node = n,
                                 .until_ms = job->avoids[i].until_ms});
}

/* A placement as a controller finds it after a restart: anywhere, full or not. */
static void found_placed(struct world *w, struct world_job *job)
{
    uint32_t nodes[WORLD_PODS];
    for (uint32_t pod = 0; pod < job->pods; pod++)
        nodes[pod] = chance(w, 10) ? GANG_NO_NODE : below(w, WORLD_NODES);
    take_place(w, job, nodes);
}

static void placed_event(struct world *w, struct world_job *job)
{
    uint32_t what = below(w, 100);
    if (what < 55) {
        leave(w, job);
        job->state = NOBODY;
        feed(w, &(struct gang_event){.kind = GANG_JOB_REMOVED, .job = job->id});
    } else if (what < 65) {
        leave(w, job);
        job->state = WAITING;
        feed(w, &(struct gang_event){.kind = GANG_JOB_RELEASED, .job = job->id});
    } else if (what < 90) {
        pod_gone(w, job, below(w, job->pods));
    } else if (what < 92) {
        found_placed(w, job);
    } else {
        avoid(w, job);
    }
}

static void waiting_event(struct world *w, struct world_job *job)
{
    uint32_t what = below(w, 100);
    if (what < 30) {
        job->state = NOBODY;
        feed(w, &(struct gang_event){.kind = GANG_JOB_REMOVED, .job = job->id});
    } else if (what < 60) {
        submit(w, job);
    } else if (what < 62) {
        found_placed(w, job);
    } else {
        avoid(w, job);
    }
}

/* Those that wait are mostly patient, unless they heard that they never fit. */
static void random_event(struct world *w)
{
    struct world_job *job = &w->jobs[below(w, WORLD_JOBS)];
    while (job->state == WAITING && !job->never && !chance(w, 25))
        job = &w->jobs[below(w, WORLD_JOBS)];
    if (chance(w, 20)) {
        node_event(w);
    } else if (job->state == PLACED) {
        placed_event(w, job);
    } else if (job->state == WAITING) {
        waiting_event(w, job);
    } else {
        *job = (struct world_job){.id = w->next_id++};
        submit(w, job);
    }
}

/* ---- plans ---- */

static struct world_job *job_of(struct world *w, uint64_t id)
{
    for (uint32_t j = 0; j < WORLD_JOBS; j++)
        if (w->jobs[j].state != NOBODY && w->jobs[j].id == id)
            return &w->jobs[j];
    fail(w, "a decision about job %" PRIu64 ", which does not exist", id);
    return NULL;
}

static void count_demand(const struct world_job *job, gang_amounts demand)
{
    for (uint32_t pod = 0; job->state != NOBODY && !job->never && pod < job->pods; pod++)
        if (job->state == WAITING || job->nodes[pod] == GANG_NO_NODE)
            for (uint32_t r = 0; r < WORLD_RESOURCES; r++)
                demand[r] += role_of(job, pod)->request[r];
}

/* Whether more is asked for than all schedulable nodes together have left; who never fits does not
 * count. */
static bool competes(const struct world *w)
{
    gang_amounts demand = {0}, left = {0};
    for (uint32_t j = 0; j < WORLD_JOBS; j++)
        count_demand(&w->jobs[j], demand);
    for (uint32_t n = 0; n < WORLD_NODES; n++)
        for (uint32_t r = 0; w->nodes[n].schedulable && r < WORLD_RESOURCES; r++)
            left[r] += free_of(&w->nodes[n], r) > 0 ? free_of(&w->nodes[n], r) : 0;
    for (uint32_t r = 0; r < WORLD_RESOURCES; r++)
        if (demand[r] > left[r])
            return true;
    return false;
}

static uint64_t could_use(const struct world *w, const struct world_job *job)
{
    uint64_t mask = 0;
    for (uint32_t n = 0; n < WORLD_NODES; n++)
        for (uint32_t i = 0; i < job->request.roles_count; i++)
            if (allows(&job->request.roles[i], &w->nodes[n]) &&
                pods_that_fit(&w->nodes[n], &job->request.roles[i], true) > 0)
                mask |= UINT64_C(1) << n;
    return mask;
}

/* One pod of a plan on one node: nothing that it asks for may go below zero, counted with all
 * before it in the plan. */
static void check_pod(struct world *w, const struct world_job *job, uint32_t pod, uint32_t n)
{
    if (n >= WORLD_NODES || !w->nodes[n].schedulable || !allows(role_of(job, pod), &w->nodes[n]) ||
        avoids(w, job, n)) {
        fail(w, "job %" PRIu64 " pod %u is put on node %u, which it may not use", job->id, pod, n);
        return;
    }
    use(w, job, pod, n, 1);
    for (uint32_t r = 0; r < WORLD_RESOURCES; r++)
        if (role_of(job, pod)->request[r] > 0 && free_of(&w->nodes[n], r) < 0)
            fail(w,
                 "node %u is oversubscribed: resource %u has %" PRId64 ", others use %" PRId64
                 ", gangs would use %" PRId64,
                 n, r, w->nodes[n].capacity[r], w->nodes[n].others[r], w->nodes[n].used[r]);
}

/* What the plan has decided so far, seen by the oracle. */
struct progress {
    uint64_t kept;     /* nodes that somebody before waits for */
    bool members_wait; /* then what is kept is not known exactly */
    bool jobs_began;
};

/* With one role, first fit is exact: the job is placed if and only if the sum over nodes is large
 * enough. */
static bool must_fit(const struct world *w, const struct world_job *job, uint64_t kept, bool empty)
{
    int64_t fit = 0;
    for (uint32_t n = 0; n < WORLD_NODES; n++)
        if (allows(&job->request.roles[0], &w->nodes[n]) &&
            (empty || (w->nodes[n].schedulable && !(kept >> n & 1) && !avoids(w, job, n))))
            fit += pods_that_fit(&w->nodes[n], &job->request.roles[0], empty);
    return fit >= (int64_t)job->pods;
}

static void check_placed(struct world *w, struct world_job *job, const struct decision *d,
                         const struct progress *p)
{
    if (job->state != WAITING || d->d.nodes_count != job->pods) {
        fail(w, "job %" PRIu64 " of %u pods is placed on %u nodes", job->id, job->pods,
             d->d.nodes_count);
        return;
    }
    for (uint32_t pod = 0; pod < job->pods && !failed(w); pod++) {
        check_pod(w, job, pod, d->nodes[pod]);
        if (!failed(w) && p->kept >> d->nodes[pod] & 1)
            fail(w, "job %" PRIu64 " takes node %u from a job before it", job->id, d->nodes[pod]);
    }
    w->result->placed++;
    w->result->overtakes += p->kept != 0;
}

static void check_waiting(struct world *w, struct world_job *job, const struct decision *d,
                          struct progress *p)
{
    bool single = job->request.roles_count == 1 && !w->options->only_oversubscription;
    if (single && !p->members_wait && must_fit(w, job, p->kept, false))
        fail(w, "job %" PRIu64 " waits though it fits", job->id);
    if (single && (d->d.kind == GANG_NEVER) == must_fit(w, job, 0, true))
        fail(w, "job %" PRIu64 ": never is said of the wrong job", job->id);
    if (d->d.kind == GANG_WAIT && d->why != GANG_WHY_OTHERS)
        p->kept |= could_use(w, job);
    job->never = d->d.kind == GANG_NEVER;
    w->result->waits += d->d.kind == GANG_WAIT;
    w->result->nevers += d->d.kind == GANG_NEVER;
}

static void check_member(struct world *w, struct world_job *job, const struct decision *d,
                         struct progress *p)
{
    if (p->jobs_began)
        fail(w, "job %" PRIu64 ": a member is decided after waiting jobs", job->id);
    if (job->state != PLACED || d->d.pod >= job->pods || job->nodes[d->d.pod] != GANG_NO_NODE) {
        fail(w, "job %" PRIu64 " pod %u needs no new place", job->id, d->d.pod);
        return;
    }
    if (d->d.kind == GANG_REPLACE) {
        check_pod(w, job, d->d.pod, d->nodes[0]);
        w->result->replaced++;
    }
    p->members_wait = p->members_wait || d->d.kind == GANG_WAIT;
}

static void check_decision(struct world *w, const struct decision *d, struct progress *p)
{
    struct world_job *job = job_of(w, d->d.job);
    if (!job)
        return;
    job->decisions++;
    if (d->d.pod != GANG_NO_POD) {
        check_member(w, job, d, p);
        return;
    }
    p->jobs_began = true;
    if (d->d.kind == GANG_PLACE)
        check_placed(w, job, d, p);
    else
        check_waiting(w, job, d, p);
}

static void check_all_decided(struct world *w)
{
    for (uint32_t j = 0; j < WORLD_JOBS && !failed(w); j++) {
        struct world_job *job = &w->jobs[j];
        uint32_t expected = job->state == WAITING;
        for (uint32_t pod = 0; job->state == PLACED && pod < job->pods; pod++)
            expected += job->nodes[pod] == GANG_NO_NODE;
        if (job->state != NOBODY && job->decisions != expected)
            fail(w, "job %" PRIu64 ": %u decisions, expected %u", job->id, job->decisions,
                 expected);
        job->decisions = 0;
    }
}

static void digest_words(struct world *w, const struct gang_why *why)
{
    char text[GANG_REASON_MAX];
    w->lib->write(w->g, why, NULL, NULL, text);
    for (const char *c = text; *c; c++)
        digest(w, (uint64_t)*c);
}

static uint32_t take_plan(struct world *w, struct decision *decisions, uint32_t max)
{
    struct mlt_error err = {0};
    uint32_t count = 0;
    if (w->lib->plan(w->g, w->now_ms, &err) < 0)
        fail(w, "plan: %s", err.text);
    for (struct gang_decision d; count < max && w->lib->next(w->g, &d); count++) {
        decisions[count] = (struct decision){.d = d, .why = d.why ? d.why->kind : GANG_WHY_NO_ROOM};
        digest(w, (uint64_t)d.kind);
        digest(w, d.job);
        for (uint32_t i = 0; i < d.nodes_count && i < WORLD_PODS; i++) {
            decisions[count].nodes[i] = d.nodes[i];
            digest(w, d.nodes[i]);
        }
        if (d.why)
            digest_words(w, d.why);
    }
    return count;
}

static void undo_use(struct world *w, const struct decision *d)
{
    struct world_job *job = job_of(w, d->d.job);
    for (uint32_t i = 0; job && i < d->d.nodes_count; i++)
        use(w, job, d->d.kind == GANG_REPLACE ? d->d.pod : i, d->nodes[i], -1);
}

static void commit(struct world *w, const struct decision *d)
{
    struct world_job *job = job_of(w, d->d.job);
    if (job && d->d.kind == GANG_PLACE)
        take_place(w, job, d->nodes);
    if (!job || d->d.kind != GANG_REPLACE)
        return;
    job->nodes[d->d.pod] = d->nodes[0];
    use(w, job, d->d.pod, d->nodes[0], 1);
    feed(w, &(struct gang_event){
                .kind = GANG_POD_MOVED, .job = job->id, .pod = d->d.pod, .node = d->nodes[0]});
}

static void plan_and_commit(struct world *w)
{
    struct decision decisions[WORLD_JOBS * WORLD_PODS];
    struct progress progress = {0};
    w->result->plans++;
    uint32_t count = take_plan(w, decisions, WORLD_JOBS * WORLD_PODS), checked = 0;
    for (; checked < count && !failed(w); checked++)
        check_decision(w, &decisions[checked], &progress);
    check_all_decided(w);
    if (failed(w))
        return;
    for (uint32_t i = 0; i < checked; i++)
        undo_use(w, &decisions[i]);
    w->result->competed += competes(w);
    check_state(w); /* a plan changes nothing */
    /* Now and then the host dies in the middle: the rest of the plan is never heard of again. */
    uint32_t committed = chance(w, 90) ? count : below(w, count + 1);
    for (uint32_t i = 0; i < committed && !failed(w); i++)
        commit(w, &decisions[i]);
}

static void begin(struct world *w)
{
    for (uint32_t q = 0; q < 2; q++)
        feed(w, &(struct gang_event){.kind = GANG_QUEUE_SET, .queue = q});
    for (uint32_t n = 0; n < WORLD_NODES; n++)
        node_appears(w, n);
}

void world_run(const struct world_library *library, const struct world_options *options,
               struct world_result *ret)
{
    static const char *const names[WORLD_DEVICES] = {"nvidia.com/gpu", "amd.com/gpu"};
    struct world w = {.lib = library, .next_id = 1, .options = options, .result = ret};
    *ret = (struct world_result){0};
    const struct gang_config config = {.device_names = names, .devices = WORLD_DEVICES};
    w.g = library->new (&config);
    mlt_random_init(&w.random, options->seed);
    begin(&w);
    while (ret->events < options->events && !failed(&w)) {
        w.now_ms += STEP_MS;
        random_event(&w);
        if (!failed(&w))
            plan_and_commit(&w);
    }
    digest(&w, library->hash(w.g));
    library->free(w.g);
}
