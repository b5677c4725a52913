/* The world of a history: events reach the library and the oracle's own books alike. The host that
 * is played here is a careful one: it submits a job again with what has changed after each
 * placement, and ends jobs at their limits and stops at the end of the grace. */
#include "tests/property/gang/properties.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool failed(const struct world *w)
{
    return w->result.failure[0] != '\0';
}

void fail(struct world *w, const char *format, ...)
{
    if (failed(w))
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w->result.failure, sizeof w->result.failure, format, args);
    va_end(args);
}

void world_digest(struct world *w, uint64_t value)
{
    w->result.digest = (w->result.digest ^ value) * 0x100000001b3u; /* FNV-1a, by words */
}

struct job *job_by_id(struct world *w, uint64_t id)
{
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state != NOBODY && w->jobs[j].id == id)
            return &w->jobs[j];
    return NULL;
}

/* ---- events to the library ---- */

int feed_to(const struct world *w, struct gang *g, const struct gang_event *e, int64_t now_ms,
            struct mlt_error *err)
{
    return w->lib->event(g, e, now_ms, err);
}

void feed(struct world *w, const struct gang_event *e)
{
    struct mlt_error err = {0};
    if (failed(w))
        return;
    if (feed_to(w, w->g, e, w->now_ms, &err) < 0)
        fail(w, "event %d is refused: %s", (int)e->kind, err.text);
    w->result.events++;
    w->prompt = false;
}

void feed_job_event(struct world *w, const struct job *job, enum gang_event_kind kind)
{
    feed(w, &(struct gang_event){.kind = kind, .job = job->id, .request = &job->request});
}

void void_promises(struct world *w)
{
    for (uint32_t j = 0; j < JOBS; j++) {
        w->jobs[j].promise_ms = NEVER_MS;
        w->jobs[j].excused = true;
    }
}

/* The host does what no plan has said. */
void surprise(struct world *w)
{
    void_promises(w);
    for (uint32_t j = 0; j < JOBS; j++)
        w->jobs[j].surprised = true;
}

/* It waits anew, or no longer. With patience that is nothing to one that has waited too long,
 * unless it has a higher priority. */
void void_promises_behind(struct world *w, const struct job *job)
{
    for (uint32_t j = 0; j < JOBS; j++)
        if (is_patient(w) ? w->jobs[j].state != WAITING ||
                                w->jobs[j].request.priority < job->request.priority ||
                                !is_impatient(w, &w->jobs[j], w->now_ms)
                          : !comes_before(&w->jobs[j], job)) {
            w->jobs[j].promise_ms = NEVER_MS;
            if (job->for_job != w->jobs[j].id) /* who leaves for it does not excuse it */
                w->jobs[j].excused = true;
        }
}

/* ---- nodes ---- */

void node_event_of(const struct node *node, uint32_t number, struct gang_event *ret)
{
    *ret = (struct gang_event){.kind = GANG_NODE_SET,
                               .node = number,
                               .node_class = node->class,
                               .schedulable = node->schedulable,
                               .domains = node->domains};
    memcpy(ret->capacity, node->capacity, sizeof ret->capacity);
    memcpy(ret->used_by_others, node->others, sizeof ret->used_by_others);
    memcpy(ret->ending, node->ending, sizeof ret->ending);
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static void domains_of(const struct world *w, const struct op *op, uint32_t *ret)
{
    /* A domain lies wholly in one domain of each wider level: its number begins with theirs. */
    uint32_t wider = 0;
    for (uint32_t level = 0; level < LEVELS; level++) {
        int64_t own = clamp(op->f[N_DOMAINS + level], -1, 3);
        bool known = level < (uint32_t)w->config.f[C_LEVELS] && wider != GANG_NO_DOMAIN && own >= 0;
        ret[level] = wider = known ? wider * 4 + (uint32_t)own : GANG_NO_DOMAIN;
    }
}

static void op_node(struct world *w, const struct op *op)
{
    if (op->f[N_NODE] < 0 || op->f[N_NODE] >= w->nodes_count)
        return;
    struct node *node = &w->nodes[op->f[N_NODE]];
    node->known = true;
    node->schedulable = op->f[N_SCHEDULABLE] != 0;
    node->class = (uint32_t)clamp(op->f[N_CLASS], 0, CLASSES - 1);
    for (uint32_t r = 0; r < RESOURCES; r++) {
        node->capacity[r] = clamp(op->f[N_CAPACITY + r], 0, 1000000);
        node->others[r] = clamp(op->f[N_OTHERS + r], 0, 1000000);
        node->ending[r] = node->others[r] * clamp(op->f[N_ENDING], 0, 4) / 4;
    }
    domains_of(w, op, node->domains);
    struct gang_event e;
    node_event_of(node, (uint32_t)op->f[N_NODE], &e);
    void_promises(w);
    feed(w, &e);
}

static void lose_pod(struct world *w, struct job *job, uint32_t pod);

static void op_node_gone(struct world *w, const struct op *op)
{
    if (op->f[0] < 0 || op->f[0] >= w->nodes_count || !w->nodes[op->f[0]].known)
        return;
    uint32_t n = (uint32_t)op->f[0];
    struct node *node = &w->nodes[n];
    gang_amounts used;
    memcpy(used, node->used, sizeof used);
    *node = (struct node){0};
    memcpy(node->used, used, sizeof used);
    for (uint32_t j = 0; j < JOBS; j++)
        for (uint32_t i = 0; i < w->jobs[j].avoids_count; i++)
            if (w->jobs[j].avoids[i].node == n)
                w->jobs[j].avoids[i].until_ms = 0;
    void_promises(w);
    feed(w, &(struct gang_event){.kind = GANG_NODE_REMOVED, .node = n});
    for (uint32_t j = 0; op->f[1] && j < JOBS; j++)
        for (uint32_t pod = 0; w->jobs[j].state == PLACED && pod < w->jobs[j].pods; pod++)
            if (w->jobs[j].nodes[pod] == n)
                lose_pod(w, &w->jobs[j], pod);
}

/* ---- queues ---- */

static int64_t limit_of(int64_t value)
{
    return value < 0 ? GANG_UNLIMITED : value;
}

static bool is_below(const struct world *w, uint32_t queue, uint32_t above)
{
    uint32_t depth = 0;
    for (; queue != GANG_NO_QUEUE && depth < QUEUES; depth++) {
        if (queue == above)
            return true;
        queue = w->queues[queue].config.parent;
    }
    return depth == QUEUES;
}

static bool queue_is_used(const struct world *w, uint32_t queue)
{
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state != NOBODY && w->jobs[j].request.queue == queue)
            return true;
    for (uint32_t q = 0; q < QUEUES; q++)
        if (w->queues[q].known && w->queues[q].config.parent == queue)
            return true;
    return false;
}

static void queue_config_of(const struct op *op, struct gang_queue_config *c)
{
    c->weight = (uint32_t)clamp(op->f[Q_WEIGHT], 1, 1000);
    c->order = op->f[Q_FAIR] ? GANG_ORDER_FAIR_SHARE : GANG_ORDER_FIFO;
    for (uint32_t r = 0; r < GANG_RESOURCES_MAX; r++)
        c->nominal[r] = c->borrow_limit[r] = c->lend_limit[r] = GANG_UNLIMITED;
    c->nominal[GANG_DEVICE_0] = limit_of(op->f[Q_NOMINAL]);
    c->borrow_limit[GANG_DEVICE_0] = limit_of(op->f[Q_BORROW]);
    c->lend_limit[GANG_DEVICE_0] = limit_of(op->f[Q_LEND]);
    c->nominal[GANG_CPU_MILLI] = limit_of(op->f[Q_NOMINAL_CPU]);
    c->within_queue = op->f[Q_WITHIN] ? GANG_PREEMPTION_LOWER_PRIORITY : GANG_PREEMPTION_NEVER;
    c->reclaim = (enum gang_queue_preemption)clamp(op->f[Q_RECLAIM], 0, 2);
    c->time_slice_ms = clamp(op->f[Q_SLICE], 0, 1000000000);
    c->running_jobs_max = (uint32_t)clamp(op->f[Q_RUNNING_MAX], 0, 1000);
    c->time_limit_max_ms = clamp(op->f[Q_LIMIT_MAX], 0, 1000000000);
}

static void op_queue(struct world *w, const struct op *op)
{
    if (op->f[Q_QUEUE] < 0 || op->f[Q_QUEUE] >= QUEUES || op->f[Q_PARENT] < 0 ||
        op->f[Q_PARENT] > QUEUES)
        return;
    uint32_t q = (uint32_t)op->f[Q_QUEUE];
    uint32_t parent = op->f[Q_PARENT] ? (uint32_t)op->f[Q_PARENT] - 1 : GANG_NO_QUEUE;
    if (parent != GANG_NO_QUEUE && (!w->queues[parent].known || is_below(w, parent, q)))
        return;
    /* A queue of jobs stays one: jobs are in leaves. */
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].state != NOBODY && w->jobs[j].request.queue == parent)
            return;
    struct gang_queue_config *c = &w->queues[q].config;
    c->parent = parent;
    queue_config_of(op, c);
    w->queues[q].known = true;
    void_promises(w);
    feed(w, &(struct gang_event){.kind = GANG_QUEUE_SET, .queue = q, .queue_config = c});
}

static void op_queue_gone(struct world *w, const struct op *op)
{
    if (op->f[0] < 0 || op->f[0] >= QUEUES || !w->queues[op->f[0]].known ||
        queue_is_used(w, (uint32_t)op->f[0]))
        return;
    w->queues[op->f[0]] = (struct queue){0};
    void_promises(w);
    feed(w, &(struct gang_event){.kind = GANG_QUEUE_REMOVED, .queue = (uint32_t)op->f[0]});
}

/* ---- jobs ---- */

static void use(struct world *w, const struct job *job, uint32_t pod, int sign)
{
    if (job->nodes[pod] == GANG_NO_NODE)
        return;
    for (uint32_t r = 0; r < RESOURCES; r++)
        w->nodes[job->nodes[pod]].used[r] += sign * role_of(job, pod)->request[r];
}

void leave_place(struct world *w, struct job *job)
{
    for (uint32_t pod = 0; job->state == PLACED && pod < job->pods; pod++)
        use(w, job, pod, -1);
    job->stopping = job->revocable = job->asked_by_plan = false;
}

void take_place(struct world *w, struct job *job, const uint32_t *nodes, bool revocable,
                int64_t started_ms)
{
    leave_place(w, job);
    job->state = PLACED;
    job->left_for = job->gave_way = 0;
    for (uint32_t j = 0; j < JOBS; j++) { /* whoever has left for it has done so */
        if (w->jobs[j].state == WAITING && w->jobs[j].gave_way == job->id)
            w->jobs[j].gave_way = 0;
        if (w->jobs[j].state == WAITING && w->jobs[j].left_for == job->id)
            w->jobs[j].left_for = 0;
    }
    job->never = job->claims = job->asked = false;
    job->revocable = revocable;
    job->started_ms = started_ms;
    job->saved_ms = -1;
    for (uint32_t pod = 0; pod < job->pods; pod++) {
        job->nodes[pod] = nodes[pod];
        use(w, job, pod, 1);
    }
    feed(w, &(struct gang_event){.kind = GANG_JOB_PLACED,
                                 .job = job->id,
                                 .nodes = job->nodes,
                                 .nodes_count = job->pods,
                                 .started_ms = started_ms,
                                 .revocable = revocable});
}

static void lose_pod(struct world *w, struct job *job, uint32_t pod)
{
    use(w, job, pod, -1);
    job->nodes[pod] = GANG_NO_NODE;
    void_promises(w);
    feed(w, &(struct gang_event){.kind = GANG_POD_GONE, .job = job->id, .pod = pod});
}

static void read_roles(const struct op *op, struct job *job)
{
    struct gang_job_request *q = &job->request;
    job->pods = 0;
    for (uint32_t i = 0; i < q->roles_count; i++) {
        const int64_t *f = &op->f[S_ROLE + i * R_FIELDS];
        struct gang_role *role = &q->roles[i];
        role->pods = (uint32_t)clamp(f[R_PODS], 1, PODS / q->roles_count);
        role->request[GANG_CPU_MILLI] = clamp(f[R_CPU], 0, 1000000);
        role->request[GANG_MEMORY] = clamp(f[R_MEMORY], 0, 1000000);
        role->request[GANG_PODS] = 1;
        role->request[GANG_DEVICE_0] = clamp(f[R_GPU], 0, 1000);
        role->request[GANG_DEVICE_0 + 1] = clamp(f[R_NIC], 0, 1000);
        job->classes[i] = f[R_CLASSES] ? (uint64_t)f[R_CLASSES] & 7 : 7;
        role->node_classes = &job->classes[i];
        role->node_classes_words = 1;
        job->pods += role->pods;
    }
}

static void read_request(const struct world *w, const struct op *op, struct job *job)
{
    int64_t levels = w->config.f[C_LEVELS];
    struct gang_job_request *q = &job->request;
    *q = (struct gang_job_request){
        .queue = (uint32_t)op->f[S_QUEUE],
        .priority = (int32_t)clamp(op->f[S_PRIORITY], -100, 100),
        .sequence = op->f[S_SEQUENCE],
        .roles_count = (uint32_t)clamp(op->f[S_ROLES], 1, ROLES),
        .time_limit_ms = clamp(op->f[S_LIMIT], 0, 1000000000),
        .expected_ms = clamp(op->f[S_EXPECTED], 0, 1000000000),
        .grace_ms = clamp(op->f[S_GRACE], 0, 1000000000),
        .attained_ms = clamp(op->f[S_ATTAINED], 0, 1000000000),
        .required_level = (uint32_t)clamp(op->f[S_REQUIRED], 0, levels),
        .preferred_level = (uint32_t)clamp(op->f[S_PREFERRED], 0, levels),
        .preferred_wait_ms = clamp(op->f[S_PREFERRED_WAIT], 0, 1000000000),
        .since_ms = w->now_ms - clamp(op->f[S_WAITED], 0, w->now_ms),
        .never_preempted = op->f[S_NEVER_PREEMPTED] != 0,
        .was_preempted = op->f[S_WAS_PREEMPTED] != 0,
        .saves = op->f[S_SAVES] != 0,
    };
    read_roles(op, job);
}

static void op_submit(struct world *w, const struct op *op)
{
    if (op->f[S_JOB] < 0 || op->f[S_JOB] >= JOBS || op->f[S_QUEUE] < 0 ||
        op->f[S_QUEUE] >= QUEUES || !w->queues[op->f[S_QUEUE]].known)
        return;
    for (uint32_t q = 0; q < QUEUES; q++) /* jobs are in leaves */
        if (w->queues[q].known && w->queues[q].config.parent == (uint32_t)op->f[S_QUEUE])
            return;
    struct job *job = &w->jobs[op->f[S_JOB]];
    if (job->state == PLACED)
        return;
    if (job->state == NOBODY)
        *job = (struct job){.id = w->next_id++, .state = WAITING};
    else
        void_promises_behind(w, job);
    job->never = job->claims = job->surprised = job->told = false;
    job->promise_ms = NEVER_MS;
    read_request(w, op, job);
    void_promises_behind(w, job);
    feed_job_event(w, job, GANG_JOB_SUBMITTED);
}

static void op_found(struct world *w, struct job *job, const struct op *op)
{
    uint32_t nodes[PODS];
    for (uint32_t pod = 0; pod < job->pods; pod++) {
        uint64_t n = ((uint64_t)op->f[1] + pod * (uint64_t)op->f[2]) % (w->nodes_count + 1);
        nodes[pod] = n == w->nodes_count ? GANG_NO_NODE : (uint32_t)n;
    }
    surprise(w);
    take_place(w, job, nodes, op->f[4] && !job->request.time_limit_ms,
               w->now_ms - clamp(op->f[3], 0, w->now_ms));
}

/* It has had its place for a while, and its time counts from now on only: its end is later than was
 * reckoned. If it was let in because that would be before a reserved start, it is asked to leave in
 * time, as long as its grace ends before. */
static void op_begun(struct world *w, struct job *job)
{
    int64_t leaves = w->now_ms + job->request.grace_ms + !job->request.grace_ms;
    uint32_t nodes[PODS];
    if (job->stopping || job->started_ms == w->now_ms)
        return;
    if (!job->revocable)
        void_promises(w);
    for (uint32_t j = 0; j < JOBS; j++)
        if (w->jobs[j].promise_ms < leaves)
            w->jobs[j].promise_ms = NEVER_MS;
    memcpy(nodes, job->nodes, sizeof nodes);
    take_place(w, job, nodes, job->revocable, w->now_ms);
}

void host_release(struct world *w, struct job *job, bool preempted)
{
    const struct job *other = job->stopping ? job_by_id(w, job->for_job) : NULL;
    job->gave_way = w->config.f[C_PREEMPT] && other && other->state == WAITING ? other->id : 0;
    job->left_for = job->stopping && job->asked_by_plan ? job->for_job : 0;
    leave_place(w, job);
    feed_job_event(w, job, GANG_JOB_RELEASED);
    job->state = WAITING;
    job->request.attained_ms += w->now_ms - job->started_ms;
    job->request.was_preempted = preempted;
    job->request.since_ms = w->now_ms;
    job->told = job->surprised = job->claims = false;
    job->promise_ms = NEVER_MS;
    void_promises_behind(w, job);
    feed_job_event(w, job, GANG_JOB_SUBMITTED);
}

static void op_remove(struct world *w, struct job *job)
{
    if (job->state == WAITING || job->stopping)
        void_promises_behind(w, job);
    leave_place(w, job);
    job->state = NOBODY;
    feed_job_event(w, job, GANG_JOB_REMOVED);
}

static void op_avoid(struct world *w, struct job *job, const struct op *op)
{
    if (op->f[1] < 0 || op->f[1] >= w->nodes_count || !w->nodes[op->f[1]].known)
        return;
    uint32_t i = 0;
    while (i < job->avoids_count && job->avoids[i].node != op->f[1])
        i++;
    if (i == AVOIDS)
        return;
    job->avoids_count += i == job->avoids_count;
    job->avoids[i].node = (uint32_t)op->f[1];
    job->avoids[i].until_ms = w->now_ms + clamp(op->f[2], 0, 1000000000);
    void_promises(w);
    job->surprised = true;
    feed(w, &(struct gang_event){.kind = GANG_JOB_AVOID,
                                 .job = job->id,
                                 .node = job->avoids[i].node,
                                 .until_ms = job->avoids[i].until_ms});
}

static void op_stop(struct world *w, struct job *job, const struct op *op)
{
    uint64_t for_job = GANG_NO_JOB;
    if (op->f[1] > 0 && op->f[1] <= JOBS && w->jobs[op->f[1] - 1].state == WAITING)
        for_job = w->jobs[op->f[1] - 1].id;
    if (job->stopping)
        return;
    job->stopping = true;
    job->stop_ms = w->now_ms;
    job->for_job = for_job;
    if (for_job != GANG_NO_JOB)
        w->jobs[op->f[1] - 1].asked = true;
    void_promises(w);
    feed(w, &(struct gang_event){.kind = GANG_JOB_STOPPING, .job = job->id, .for_job = for_job});
}

void move_pod(struct world *w, struct job *job, uint32_t pod, uint32_t node)
{
    use(w, job, pod, -1);
    job->nodes[pod] = node;
    use(w, job, pod, 1);
    feed(w, &(struct gang_event){.kind = GANG_POD_MOVED, .job = job->id, .pod = pod, .node = node});
}

static void op_moved(struct world *w, struct job *job, const struct op *op)
{
    if (op->f[1] < 0 || op->f[1] >= job->pods || op->f[2] < 0 || op->f[2] >= w->nodes_count)
        return;
    surprise(w);
    move_pod(w, job, (uint32_t)op->f[1], (uint32_t)op->f[2]);
}

static void op_saved(struct world *w, struct job *job)
{
    if (!job->request.saves)
        return;
    job->saved_ms = w->now_ms;
    feed_job_event(w, job, GANG_JOB_SAVED);
}

/* ---- time ---- */

static int64_t due_ms(const struct world *w, const struct job *job)
{
    if (job->state != PLACED)
        return INT64_MAX;
    int64_t due = INT64_MAX;
    if (job->request.time_limit_ms && !w->config.f[C_OVERRUN])
        due = job->started_ms + job->request.time_limit_ms;
    if (job->stopping && job->stop_ms + job->request.grace_ms < due)
        due = job->stop_ms + job->request.grace_ms;
    return due;
}

/* Time goes on until something is due: the end of a job, of a grace, or a moment that the library
 * has asked to be woken at. */
static void op_time(struct world *w, const struct op *op)
{
    int64_t to = w->now_ms + clamp(op->f[0], 0, 1000000000);
    int64_t wake = gang_next_wake_ms(w->g, w->now_ms);
    if (wake <= w->now_ms)
        fail(w, "gang_next_wake_ms: %" PRId64 " is not after %" PRId64, wake, w->now_ms);
    for (uint32_t j = 0; j < JOBS && !w->prompt; j++)
        w->jobs[j].promise_ms = NEVER_MS;
    to = wake < to ? wake : to;
    for (uint32_t j = 0; j < JOBS; j++)
        to = due_ms(w, &w->jobs[j]) < to ? due_ms(w, &w->jobs[j]) : to;
    w->now_ms = to > w->now_ms ? to : w->now_ms;
    for (uint32_t j = 0; j < JOBS && !failed(w); j++) {
        struct job *job = &w->jobs[j];
        if (due_ms(w, job) > w->now_ms)
            continue;
        if (!job->asked_by_plan || !job->stopping)
            circles_begin(w);
        if (job->stopping && job->stop_ms + job->request.grace_ms <= w->now_ms)
            host_release(w, job, job->asked_by_plan);
        else
            op_remove(w, job);
    }
    w->prompt = false;
}

/* ---- all ---- */

struct gang *world_new_gang(const struct world *w)
{
    static const char *const devices[] = {"nvidia.com/gpu", "rdma/nic"};
    static const char *const levels[] = {"zone", "rack", "nvlink"};
    const int64_t *f = w->config.f;
    const struct gang_config config = {
        .device_names = devices,
        .devices = DEVICES,
        .level_names = levels,
        .levels = (uint32_t)f[C_LEVELS],
        .reservations = (uint32_t)f[C_RESERVATIONS],
        .may_preempt = f[C_PREEMPT] != 0,
        .min_run_ms = f[C_MIN_RUN],
        .patience_ms = is_patient(w) ? f[C_PATIENCE] : 0,
        .shares_first = shares_come_first(w),
        .usage_half_life_ms = f[C_HALF_LIFE],
    };
    return w->lib->new (&config);
}

static void op_config(struct world *w, const struct op *op)
{
    if (w->result.events)
        return;
    w->config = *op;
    int64_t *f = w->config.f;
    f[C_NODES] = clamp(f[C_NODES], 1, NODES);
    f[C_LEVELS] = clamp(f[C_LEVELS], 0, LEVELS);
    f[C_RESERVATIONS] = clamp(f[C_RESERVATIONS], 0, GANG_RESERVATIONS_MAX);
    w->nodes_count = (uint32_t)f[C_NODES];
    gang_free(w->g);
    w->g = world_new_gang(w);
}

void world_begin(struct world *w, const struct library *lib)
{
    *w = (struct world){.lib = lib, .next_id = 1, .now_ms = 1000000};
    w->result.digest = UINT64_C(14695981039346656037);
    for (uint32_t j = 0; j < JOBS; j++)
        w->jobs[j].promise_ms = NEVER_MS;
    op_config(w, &(struct op){.kind = OP_CONFIG, .f = {[C_NODES] = NODES}});
}

void world_end(struct world *w)
{
    world_digest(w, gang_hash(w->g));
    gang_free(w->g);
    w->g = NULL;
}

static void apply_to_job(struct world *w, struct job *job, const struct op *op)
{
    if (job->state == NOBODY)
        return;
    if (op->kind == OP_REMOVE)
        op_remove(w, job);
    else if (op->kind == OP_AVOID)
        op_avoid(w, job, op);
    else if (op->kind == OP_FOUND)
        op_found(w, job, op);
    if (job->state != PLACED)
        return;
    if (op->kind == OP_BEGUN)
        op_begun(w, job);
    else if (op->kind == OP_SAVED)
        op_saved(w, job);
    else if (op->kind == OP_STOP)
        op_stop(w, job, op);
    else if (op->kind == OP_MOVED)
        op_moved(w, job, op);
    else if (op->kind == OP_LOST && op->f[1] >= 0 && op->f[1] < job->pods)
        lose_pod(w, job, (uint32_t)op->f[1]);
    else if (op->kind == OP_RELEASE)
        host_release(w, job, op->f[1] != 0);
}

static void apply_probe(struct world *w, const struct op *op)
{
    switch (op->f[0] & 3) {
    case 0:
        probe_rebuild(w, false);
        break;
    case 1:
        probe_relabel(w);
        break;
    case 2:
        probe_empty_node(w);
        break;
    default:
        probe_release(w);
        break;
    }
}

static void check_books(struct world *w)
{
    struct mlt_error err = {0};
    if (gang_check(w->g, &err) < 0)
        fail(w, "gang_check: %s", err.text);
    for (uint32_t n = 0; n < w->nodes_count && !failed(w); n++) {
        struct gang_node_view view;
        gang_node(w->g, n, &view);
        for (uint32_t r = 0; r < RESOURCES; r++)
            if (view.used_by_gangs[r] != w->nodes[n].used[r])
                fail(w, "node %u resource %u: gangs use %" PRId64 ", the library says %" PRId64, n,
                     r, w->nodes[n].used[r], view.used_by_gangs[r]);
    }
    check_queue_views(w);
}

void world_apply(struct world *w, const struct op *op)
{
    if (op->kind != OP_TIME && op->kind != OP_PLAN && op->kind != OP_PROBE && op->kind != OP_CALM)
        circles_begin(w);
    switch (op->kind) {
    case OP_CONFIG:
        op_config(w, op);
        break;
    case OP_NODE:
        op_node(w, op);
        break;
    case OP_NODE_GONE:
        op_node_gone(w, op);
        break;
    case OP_QUEUE:
        op_queue(w, op);
        break;
    case OP_QUEUE_GONE:
        op_queue_gone(w, op);
        break;
    case OP_SUBMIT:
        op_submit(w, op);
        break;
    case OP_TIME:
        op_time(w, op);
        break;
    case OP_PLAN:
        host_plan(w, (uint64_t)op->f[0]);
        break;
    case OP_CALM:
        circles_calm(w, clamp(op->f[0], 0, 1000));
        break;
    case OP_REBUILD:
        probe_rebuild(w, true);
        break;
    case OP_PROBE:
        apply_probe(w, op);
        break;
    case OP_WRONG:
        probe_wrong(w, op);
        break;
    default:
        if (op->f[0] >= 0 && op->f[0] < JOBS)
            apply_to_job(w, &w->jobs[op->f[0]], op);
    }
    if (!failed(w))
        check_books(w);
}
