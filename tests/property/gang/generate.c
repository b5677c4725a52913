/* Random histories. The generator sees the oracle's books, not the library: the next event is one
 * that can happen. A seed chooses what its history is about, then each event. */
#include "tests/property/gang/properties.h"

#include <string.h>

#define STEP_MS 1000

static uint32_t below(struct generator *gen, uint32_t bound)
{
    return (uint32_t)mlt_random_below(&gen->random, bound);
}

static bool chance(struct generator *gen, uint32_t percent)
{
    return below(gen, 100) < percent;
}

static int64_t between(struct generator *gen, int64_t low, int64_t high)
{
    return mlt_random_between(&gen->random, low, high);
}

void generator_begin(struct generator *gen, uint64_t seed)
{
    *gen = (struct generator){0};
    mlt_random_init(&gen->random, seed);
    gen->levels = on(PROPERTY_LEVELS) && chance(gen, 50);
    gen->tree = chance(gen, 50);
    gen->quota = on(PROPERTY_QUOTA) && chance(gen, 40);
    gen->limits = on(PROPERTY_LIMITS) && chance(gen, 20);
    gen->fair = on(PROPERTY_FAIR) && chance(gen, 30);
    gen->reserve = on(PROPERTY_RESERVE) && chance(gen, 60);
    gen->preempt = on(PROPERTY_PREEMPT) && chance(gen, 50);
    gen->stopping = on(PROPERTY_STOPPING) && chance(gen, 50);
    gen->patience = gen->reserve && on(PROPERTY_PATIENCE) && chance(gen, 40);
    gen->jobs = (uint32_t)between(gen, 3, JOBS);
}

static void make_config(struct generator *gen, struct op *op)
{
    op->kind = OP_CONFIG;
    op->f[C_NODES] = between(gen, 1, chance(gen, 50) ? 4 : NODES);
    op->f[C_LEVELS] = gen->levels ? between(gen, 1, LEVELS) : 0;
    op->f[C_RESERVATIONS] = gen->reserve ? between(gen, 1, 3) : 0;
    op->f[C_PREEMPT] = gen->preempt;
    op->f[C_MIN_RUN] = gen->preempt && chance(gen, 50) ? 20 * STEP_MS : 0;
    op->f[C_HALF_LIFE] = gen->fair && chance(gen, 50) ? 100 * STEP_MS : 0;
    op->f[C_OVERRUN] = chance(gen, 15);
    op->f[C_PATIENCE] =
        gen->patience ? between(gen, 10, chance(gen, 50) ? 100 : 1000) * STEP_MS : 0;
    /* No number is drawn for it: other histories stay what they were. */
    op->f[C_SHARES_FIRST] = gen->patience && gen->fair && op->f[C_PATIENCE] / STEP_MS % 2;
}

static void make_node(struct generator *gen, const struct world *w, uint32_t n, struct op *op)
{
    static const int64_t devices[] = {0, 2, 4, 4, 4};
    op->kind = OP_NODE;
    op->f[N_NODE] = n;
    op->f[N_CLASS] = chance(gen, 70) ? 0 : below(gen, CLASSES);
    op->f[N_SCHEDULABLE] = chance(gen, 92);
    op->f[N_CAPACITY + GANG_CPU_MILLI] = 1000 * between(gen, 2, 8);
    op->f[N_CAPACITY + GANG_MEMORY] = between(gen, 8, 32);
    op->f[N_CAPACITY + GANG_PODS] = between(gen, 2, 8);
    op->f[N_CAPACITY + GANG_DEVICE_0] = devices[below(gen, 5)];
    op->f[N_CAPACITY + GANG_DEVICE_0 + 1] = chance(gen, 20);
    for (uint32_t r = 0; chance(gen, 30) && r < RESOURCES; r++)
        op->f[N_OTHERS + r] = between(gen, 0, op->f[N_CAPACITY + r] / 2);
    for (uint32_t level = 0; level < w->config.f[C_LEVELS]; level++)
        op->f[N_DOMAINS + level] = chance(gen, 5) ? -1 : (int64_t)below(gen, level ? 2 : 3);
}

static void same_node(const struct world *w, uint32_t n, struct op *op)
{
    const struct node *node = &w->nodes[n];
    op->kind = OP_NODE;
    op->f[N_NODE] = n;
    op->f[N_CLASS] = node->class;
    op->f[N_SCHEDULABLE] = node->schedulable;
    for (uint32_t r = 0; r < RESOURCES; r++) {
        op->f[N_CAPACITY + r] = node->capacity[r];
        op->f[N_OTHERS + r] = node->others[r];
    }
    for (uint32_t level = 0; level < LEVELS; level++)
        op->f[N_DOMAINS + level] =
            node->domains[level] == GANG_NO_DOMAIN ? -1 : (int64_t)(node->domains[level] % 4);
}

/* Of what others use a quarter, a half ... is on its way out. No number is drawn for it: histories
 * without such pods stay what they were. */
static void some_end(struct op *op)
{
    op->f[N_ENDING] = (op->f[N_OTHERS + GANG_CPU_MILLI] + op->f[N_OTHERS + GANG_MEMORY]) % 5;
}

static void node_event(struct generator *gen, const struct world *w, struct op *op)
{
    uint32_t n = below(gen, w->nodes_count), what = below(gen, 100);
    if (!w->nodes[n].known) {
        make_node(gen, w, n, op);
        some_end(op);
    } else if (what < 12) {
        op->kind = OP_NODE_GONE;
        op->f[0] = n;
        op->f[1] = chance(gen, 60);
    } else if (what < 50) {
        same_node(w, n, op);
        op->f[N_SCHEDULABLE] = !w->nodes[n].schedulable || chance(gen, 30);
    } else if (what < 65) {
        make_node(gen, w, n, op);
        some_end(op);
    } else {
        same_node(w, n, op);
        for (uint32_t r = 0; r < RESOURCES; r++)
            op->f[N_OTHERS + r] =
                chance(gen, 40) ? between(gen, 0, w->nodes[n].capacity[r] / 2) : 0;
        some_end(op);
    }
}

/* Queue 0 is a root; 1 and 2 may be groups, and the rest lies below any of them. Without trees, all
 * are roots. */
static void make_queue(struct generator *gen, uint32_t q, struct op *op)
{
    op->kind = OP_QUEUE;
    op->f[Q_QUEUE] = q;
    bool tree = gen->tree || gen->quota || gen->fair;
    if (tree && q > 0)
        op->f[Q_PARENT] = 1 + (q < 3 || chance(gen, 40) ? 0 : between(gen, 1, 2));
    op->f[Q_WEIGHT] = 1 << below(gen, 3);
    op->f[Q_FAIR] = gen->fair && (q == 0 || chance(gen, 50));
    op->f[Q_NOMINAL] = op->f[Q_BORROW] = op->f[Q_LEND] = op->f[Q_NOMINAL_CPU] = -1;
    if (gen->quota && ((q != 0 && q < 3) || chance(gen, 85))) {
        op->f[Q_NOMINAL] = between(gen, 0, q ? 6 : 4);
        op->f[Q_BORROW] = chance(gen, 50) ? -1 : between(gen, 0, 4);
        op->f[Q_LEND] = chance(gen, 50) ? -1 : between(gen, 0, 4);
    }
    op->f[Q_WITHIN] = gen->preempt && chance(gen, 70);
    op->f[Q_RECLAIM] = gen->preempt ? between(gen, 0, 2) : 0;
    op->f[Q_SLICE] = gen->preempt && chance(gen, 40) ? between(gen, 5, 60) * STEP_MS : 0;
    op->f[Q_RUNNING_MAX] = gen->limits && chance(gen, 50) ? between(gen, 1, 3) : 0;
    op->f[Q_LIMIT_MAX] = gen->limits && chance(gen, 30) ? between(gen, 10, 90) * STEP_MS : 0;
}

static void make_role(struct generator *gen, int64_t *f, uint32_t roles)
{
    static const int64_t devices[] = {0, 0, 1, 1, 2, 4};
    uint32_t size = below(gen, 10);
    f[R_PODS] = 1 + below(gen, (size < 5 ? 2 : size < 9 ? 4 : PODS) / roles);
    f[R_CPU] = 500 * (int64_t)below(gen, 5);
    f[R_MEMORY] = below(gen, 6);
    f[R_GPU] = devices[below(gen, 6)];
    f[R_NIC] = chance(gen, 2);
    f[R_CLASSES] = chance(gen, 85) ? 7 : 1 + below(gen, 7);
}

static void make_job(struct generator *gen, const struct world *w, uint32_t j, struct op *op)
{
    op->kind = OP_SUBMIT;
    op->f[S_JOB] = j;
    op->f[S_QUEUE] = below(gen, QUEUES); /* which must be a leaf: else nothing happens */
    op->f[S_PRIORITY] = chance(gen, 60) ? 0 : between(gen, 0, 2);
    op->f[S_SEQUENCE] = w->now_ms / (5 * STEP_MS); /* some share a number, so that ids decide */
    op->f[S_LIMIT] = chance(gen, 60) ? between(gen, 1, 60) * STEP_MS : 0;
    op->f[S_EXPECTED] = chance(gen, 20) ? between(gen, 1, 60) * STEP_MS : 0;
    op->f[S_GRACE] = chance(gen, 50) ? between(gen, 0, 5) * STEP_MS : 0;
    op->f[S_ATTAINED] = chance(gen, 10) ? between(gen, 0, 60) * STEP_MS : 0;
    if (gen->levels && chance(gen, 40))
        op->f[chance(gen, 50) ? S_REQUIRED : S_PREFERRED] = between(gen, 1, w->config.f[C_LEVELS]);
    op->f[S_PREFERRED_WAIT] = op->f[S_PREFERRED] ? between(gen, 0, 30) * STEP_MS : 0;
    op->f[S_NEVER_PREEMPTED] = chance(gen, 10);
    op->f[S_SAVES] = chance(gen, 40);
    op->f[S_WAITED] = gen->patience && chance(gen, 20) ? between(gen, 0, 200) * STEP_MS : 0;
    op->f[S_ROLES] = chance(gen, 85) ? 1 : ROLES;
    for (uint32_t i = 0; i < op->f[S_ROLES]; i++)
        make_role(gen, &op->f[S_ROLE + i * R_FIELDS], (uint32_t)op->f[S_ROLES]);
}

static void placed_event(struct generator *gen, const struct world *w, uint32_t j, struct op *op)
{
    uint32_t what = below(gen, 100);
    op->f[0] = j;
    if (what < 46) {
        op->kind = OP_REMOVE;
    } else if (what < 50) {
        op->kind = OP_BEGUN;
    } else if (what < 58) {
        op->kind = OP_RELEASE;
    } else if (what < 70) {
        op->kind = OP_LOST;
        op->f[1] = below(gen, w->jobs[j].pods);
    } else if (what < 72) {
        op->kind = OP_FOUND;
        op->f[1] = below(gen, 100);
        op->f[2] = below(gen, 10);
        op->f[3] = between(gen, 0, 20) * STEP_MS;
    } else if (what < 78) {
        op->kind = OP_AVOID;
        op->f[1] = below(gen, w->nodes_count);
        op->f[2] = between(gen, 0, 30) * STEP_MS;
    } else if (what < 80) {
        op->kind = OP_MOVED;
        op->f[1] = below(gen, w->jobs[j].pods);
        op->f[2] = below(gen, w->nodes_count);
    } else if (what < 92) {
        op->kind = OP_SAVED;
    } else {
        op->kind = gen->stopping ? OP_STOP : OP_REMOVE;
        op->f[1] = below(gen, JOBS + 1);
    }
    if (op->kind == OP_SAVED && !on(PROPERTY_STOPPING))
        op->kind = OP_REMOVE;
}

static void waiting_event(struct generator *gen, const struct world *w, uint32_t j, struct op *op)
{
    uint32_t what = below(gen, 100);
    if (what < 30) {
        op->kind = OP_REMOVE;
        op->f[0] = j;
    } else if (what < 60) {
        make_job(gen, w, j, op);
    } else if (what < 63) {
        *op = (struct op){.kind = OP_FOUND, .f = {j, below(gen, 100), below(gen, 10)}};
    } else {
        *op = (struct op){.kind = OP_AVOID,
                          .f = {j, below(gen, w->nodes_count), between(gen, 0, 30) * STEP_MS}};
    }
}

static void job_event(struct generator *gen, const struct world *w, struct op *op)
{
    uint32_t j = below(gen, gen->jobs);
    for (uint32_t i = 0; i < gen->jobs; i++)
        if (w->jobs[i].never && chance(gen, 20)) {
            *op = (struct op){.kind = OP_REMOVE, .f = {i}};
            return;
        }
    /* Those that wait are mostly patient, unless they heard that they never fit. */
    for (uint32_t i = 0; i < 20 && w->jobs[j].state == WAITING && !w->jobs[j].never; i++) {
        if (chance(gen, 25))
            break;
        j = below(gen, gen->jobs);
    }
    if (w->jobs[j].state == PLACED)
        placed_event(gen, w, j, op);
    else if (w->jobs[j].state == WAITING)
        waiting_event(gen, w, j, op);
    else
        make_job(gen, w, j, op);
}

static void calm_event(struct generator *gen, struct op *op)
{
    uint32_t what = below(gen, 100);
    if (what < 80) {
        op->kind = OP_TIME;
        op->f[0] = between(gen, 1, chance(gen, 80) ? 10 : 60) * STEP_MS;
    } else if (what < 82) {
        op->kind = gen->preempt ? OP_CALM : OP_TIME;
        op->f[0] = gen->preempt ? between(gen, 1, 60) : STEP_MS;
    } else if (what < 84) {
        op->kind = OP_REBUILD;
    } else if (what < 92) {
        op->kind = OP_PROBE;
        op->f[0] = below(gen, 4);
    } else {
        op->kind = OP_WRONG;
        op->f[0] = below(gen, 8);
    }
}

void generate(struct generator *gen, const struct world *w, struct op *ret)
{
    uint32_t step = gen->step++;
    *ret = (struct op){.kind = OP_TIME};
    if (step == 0) {
        make_config(gen, ret);
    } else if (step <= QUEUES) {
        make_queue(gen, step - 1, ret);
    } else if (step <= QUEUES + w->nodes_count) {
        make_node(gen, w, step - 1 - QUEUES, ret);
    } else if (gen->plan_next) {
        gen->plan_next = 0;
        ret->kind = OP_PLAN;
        /* Now and then the host is too late with some, or with all after a certain one. */
        if (chance(gen, 10))
            ret->f[0] = (int64_t)below(gen, 256);
    } else {
        uint32_t what = below(gen, 100);
        if (what < 45)
            job_event(gen, w, ret);
        else if (what < 55)
            node_event(gen, w, ret);
        else if (what < 57)
            make_queue(gen, below(gen, QUEUES), ret);
        else if (what < 58 && on(PROPERTY_QUOTA))
            *ret = (struct op){.kind = OP_QUEUE_GONE, .f = {below(gen, QUEUES)}};
        else
            calm_event(gen, ret);
        gen->plan_next = chance(gen, 95);
    }
}
