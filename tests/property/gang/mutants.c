/* Deliberate bugs. Each is the library behind a face that is deaf to something that it is told, or
 * that says something else than it has decided: what the library would do if it had forgotten that
 * rule. They need nothing of the library's inside, so they outlive any change there. */
#include "tests/property/gang/properties.h"

#include <string.h>

static uint32_t counter;

const struct library library_real = {.name = "real",
                                     .new = gang_new,
                                     .event = gang_event,
                                     .plan = gang_plan,
                                     .next = gang_decision_next};

static struct gang *new_counted(const struct gang_config *config)
{
    counter = 0;
    return gang_new(config);
}

static struct gang *patience_too_long(const struct gang_config *config)
{
    struct gang_config c = *config;
    c.patience_ms *= 2;
    return new_counted(&c);
}

static struct gang *shares_after_patience(const struct gang_config *config)
{
    struct gang_config c = *config;
    c.shares_first = false;
    return new_counted(&c);
}

static int one_device_more(struct gang *g, const struct gang_event *event, int64_t now_ms,
                           struct mlt_error *err)
{
    struct gang_event e = *event;
    if (e.kind == GANG_NODE_SET && e.capacity[GANG_DEVICE_0])
        e.capacity[GANG_DEVICE_0]++;
    return gang_event(g, &e, now_ms, err);
}

static int ending_forgotten(struct gang *g, const struct gang_event *event, int64_t now_ms,
                            struct mlt_error *err)
{
    struct gang_event e = *event;
    memset(e.ending, 0, sizeof e.ending);
    return gang_event(g, &e, now_ms, err);
}

static int ending_is_gone(struct gang *g, const struct gang_event *event, int64_t now_ms,
                          struct mlt_error *err)
{
    struct gang_event e = *event;
    for (uint32_t r = 0; r < RESOURCES; r++)
        e.used_by_others[r] -= e.ending[r];
    memset(e.ending, 0, sizeof e.ending);
    return gang_event(g, &e, now_ms, err);
}

static int others_forgotten(struct gang *g, const struct gang_event *event, int64_t now_ms,
                            struct mlt_error *err)
{
    struct gang_event e = *event;
    e.used_by_others[GANG_CPU_MILLI] = 0;
    return gang_event(g, &e, now_ms, err);
}

static int unschedulable_forgotten(struct gang *g, const struct gang_event *event, int64_t now_ms,
                                   struct mlt_error *err)
{
    struct gang_event e = *event;
    e.schedulable = true;
    return gang_event(g, &e, now_ms, err);
}

static int avoid_forgotten(struct gang *g, const struct gang_event *event, int64_t now_ms,
                           struct mlt_error *err)
{
    return event->kind == GANG_JOB_AVOID && ++counter % 4 == 0 ? 0
                                                               : gang_event(g, event, now_ms, err);
}

static int gone_forgotten(struct gang *g, const struct gang_event *event, int64_t now_ms,
                          struct mlt_error *err)
{
    return event->kind == GANG_POD_GONE && ++counter % 4 == 0 ? 0
                                                              : gang_event(g, event, now_ms, err);
}

static int with_request(struct gang *g, const struct gang_event *event, int64_t now_ms,
                        struct mlt_error *err, void (*change)(struct gang_job_request *request))
{
    struct gang_event e = *event;
    struct gang_job_request request;
    if (e.request) {
        request = *e.request;
        change(&request);
        e.request = &request;
    }
    return gang_event(g, &e, now_ms, err);
}

static void to_any_class(struct gang_job_request *request)
{
    static const uint64_t all = UINT64_MAX;
    for (uint32_t i = 0; i < request->roles_count; i++)
        request->roles[i].node_classes = &all;
}

static void to_no_sequence(struct gang_job_request *request)
{
    request->sequence = 0;
}

static void to_no_priority(struct gang_job_request *request)
{
    request->priority = 0;
}

static void to_no_cpu(struct gang_job_request *request)
{
    request->roles[0].request[GANG_CPU_MILLI] /= 2;
}

static void to_no_level(struct gang_job_request *request)
{
    request->required_level = 0;
}

static void to_no_preference(struct gang_job_request *request)
{
    request->preferred_level = 0;
}

static void to_half_the_limit(struct gang_job_request *request)
{
    request->time_limit_ms = (request->time_limit_ms + 1) / 2;
}

static void to_no_limit(struct gang_job_request *request)
{
    request->time_limit_ms = 0;
}

static void to_a_victim(struct gang_job_request *request)
{
    request->never_preempted = false;
}

static void to_no_protection(struct gang_job_request *request)
{
    request->was_preempted = false;
}

#define DEAF(name, change)                                                          \
    static int name(struct gang *g, const struct gang_event *event, int64_t now_ms, \
                    struct mlt_error *err)                                          \
    {                                                                               \
        return with_request(g, event, now_ms, err, change);                         \
    }
DEAF(class_forgotten, to_any_class)
DEAF(sequence_forgotten, to_no_sequence)
DEAF(priority_forgotten, to_no_priority)
DEAF(half_the_cpu, to_no_cpu)

DEAF(level_forgotten, to_no_level)
DEAF(preference_forgotten, to_no_preference)
DEAF(half_the_limit, to_half_the_limit)
DEAF(limit_forgotten, to_no_limit)
DEAF(never_forgotten, to_a_victim)
DEAF(protection_forgotten, to_no_protection)

static int domains_forgotten(struct gang *g, const struct gang_event *event, int64_t now_ms,
                             struct mlt_error *err)
{
    struct gang_event e = *event;
    uint32_t domains[LEVELS];
    if (e.domains) {
        memcpy(domains, e.domains, sizeof domains);
        domains[0] = domains[1] = domains[2] = 0;
        e.domains = domains;
    }
    return gang_event(g, &e, now_ms, err);
}

static int with_queue(struct gang *g, const struct gang_event *event, int64_t now_ms,
                      struct mlt_error *err, void (*change)(struct gang_queue_config *c))
{
    struct gang_event e = *event;
    struct gang_queue_config c;
    if (e.queue_config) {
        c = *e.queue_config;
        change(&c);
        e.queue_config = &c;
    }
    return gang_event(g, &e, now_ms, err);
}

static void to_one_more(struct gang_queue_config *c)
{
    if (c->nominal[GANG_DEVICE_0] != GANG_UNLIMITED)
        c->nominal[GANG_DEVICE_0]++;
}

static void to_borrow_more(struct gang_queue_config *c)
{
    c->borrow_limit[GANG_DEVICE_0] = GANG_UNLIMITED;
}

static void to_lend_more(struct gang_queue_config *c)
{
    c->lend_limit[GANG_DEVICE_0] = GANG_UNLIMITED;
}

static void to_run_more(struct gang_queue_config *c)
{
    c->running_jobs_max += c->running_jobs_max != 0;
}

static void to_equal_weights(struct gang_queue_config *c)
{
    c->weight = 1;
}

static void to_no_slices(struct gang_queue_config *c)
{
    c->time_slice_ms /= 2;
}

static void to_reclaim_any(struct gang_queue_config *c)
{
    c->reclaim = GANG_PREEMPTION_ANY;
}

#define DEAF_QUEUE(name, change)                                                    \
    static int name(struct gang *g, const struct gang_event *event, int64_t now_ms, \
                    struct mlt_error *err)                                          \
    {                                                                               \
        return with_queue(g, event, now_ms, err, change);                           \
    }
DEAF_QUEUE(quota_one_more, to_one_more)
DEAF_QUEUE(borrow_forgotten, to_borrow_more)
DEAF_QUEUE(lend_forgotten, to_lend_more)
DEAF_QUEUE(runs_one_more, to_run_more)
DEAF_QUEUE(weight_forgotten, to_equal_weights)
DEAF_QUEUE(half_the_slice, to_no_slices)
DEAF_QUEUE(reclaims_any, to_reclaim_any)

static int claim_forgotten(struct gang *g, const struct gang_event *event, int64_t now_ms,
                           struct mlt_error *err)
{
    struct gang_event e = *event;
    if (e.kind == GANG_JOB_STOPPING)
        e.for_job = GANG_NO_JOB;
    return gang_event(g, &e, now_ms, err);
}

static int revocable_forgotten(struct gang *g, const struct gang_event *event, int64_t now_ms,
                               struct mlt_error *err)
{
    struct gang_event e = *event;
    e.revocable = false;
    return gang_event(g, &e, now_ms, err);
}

static bool asks_nobody(struct gang *g, struct gang_decision *ret)
{
    while (gang_decision_next(g, ret))
        if (ret->kind != GANG_PREEMPT)
            return true;
    return false;
}

static bool asks_one_less(struct gang *g, struct gang_decision *ret)
{
    if (!gang_decision_next(g, ret))
        return false;
    return ret->kind != GANG_PREEMPT || ++counter % 3 != 0 || gang_decision_next(g, ret);
}

static int plan_late(struct gang *g, int64_t now_ms, struct mlt_error *err)
{
    return gang_plan(g, now_ms - 5000, err);
}

static bool skips_a_decision(struct gang *g, struct gang_decision *ret)
{
    return gang_decision_next(g, ret) &&
           (ret->kind != GANG_PLACE || ++counter % 7 != 0 || gang_decision_next(g, ret));
}

static bool waits_instead(struct gang *g, struct gang_decision *ret)
{
    static const struct gang_why why = {.kind = GANG_WHY_NO_ROOM, .pod = GANG_NO_POD};
    if (!gang_decision_next(g, ret))
        return false;
    if (ret->kind == GANG_NEVER && ret->why->kind == GANG_WHY_TOO_LARGE) {
        ret->kind = GANG_WAIT;
        ret->position = 1;
        ret->why = &why;
    }
    return true;
}

static bool one_pod_beside(struct gang *g, struct gang_decision *ret)
{
    static uint32_t nodes[PODS];
    if (!gang_decision_next(g, ret))
        return false;
    if (ret->kind == GANG_PLACE && ret->nodes_count > 1 && ++counter % 5 == 0) {
        memcpy(nodes, ret->nodes, ret->nodes_count * sizeof *nodes);
        nodes[ret->nodes_count - 1] = nodes[0];
        ret->nodes = nodes;
    }
    return true;
}

#define MUTANT(function, words, hook)                     \
    {                                                     \
        .name = #function, .bug = words, .hook = function \
    }
#define WITH(property, function, words, hook)                                               \
    {                                                                                       \
        .name = #function, .bug = words, .hook = function, .needs = PROPERTY_##property + 1 \
    }

static const struct library mutants[] = {
    MUTANT(one_device_more, "a pod fits when one GPU is missing", event),
    MUTANT(ending_forgotten, "who waits for what ends keeps no turn", event),
    MUTANT(ending_is_gone, "what ends counts as free already", event),
    MUTANT(others_forgotten, "the CPU of pods outside of gangs counts as free", event),
    MUTANT(unschedulable_forgotten, "nodes that are not schedulable are used", event),
    MUTANT(avoid_forgotten, "a node to be avoided is now and then used", event),
    MUTANT(gone_forgotten, "a lost member now and then keeps its place", event),
    MUTANT(class_forgotten, "node classes are not asked for", event),
    MUTANT(sequence_forgotten, "order by priority and id alone", event),
    MUTANT(priority_forgotten, "order by submission alone", event),
    MUTANT(half_the_cpu, "the first role takes half of its CPU", event),
    MUTANT(plan_late, "a plan takes the time to be 5 s ago", plan),
    MUTANT(skips_a_decision, "one of seven placements is lost", next),
    MUTANT(waits_instead, "who can never fit waits for ever", next),
    MUTANT(one_pod_beside, "a last pod now and then stands by the first", next),
    WITH(LEVELS, level_forgotten, "a gang that must share a domain does not", event),
    WITH(LEVELS, preference_forgotten, "a gang that would wait for a domain does not", event),
    WITH(BEST_FIT, domains_forgotten, "all nodes lie in one domain", event),
    WITH(QUOTA, quota_one_more, "each queue may use a GPU more", event),
    WITH(QUOTA, borrow_forgotten, "borrowing has no limit", event),
    WITH(QUOTA, lend_forgotten, "lending has no limit", event),
    WITH(LIMITS, runs_one_more, "a queue runs one job more than it may", event),
    WITH(RESERVE, half_the_limit, "jobs are thought to end at half of their limit", event),
    WITH(ESTIMATED_END, limit_forgotten, "nobody knows when a job ends", event),
    WITH(PATIENCE, patience_too_long, "patience ends after twice the time", new),
    WITH(PATIENCE, shares_after_patience, "shares never come before patience", new),
    WITH(FAIR, weight_forgotten, "all queues weigh the same", event),
    WITH(PREEMPT, never_forgotten, "who is never to be preempted is", event),
    WITH(PREEMPT, protection_forgotten, "who was preempted before has no time to itself", event),
    WITH(PREEMPT, half_the_slice, "time slices are half as long", event),
    WITH(PREEMPT, reclaims_any, "reclaim does not look at priorities", event),
    WITH(PREEMPT, claim_forgotten, "who leaves leaves for nobody", event),
    WITH(PREEMPT, revocable_forgotten, "who was let in revocably is not revoked", event),
    WITH(PREEMPT, asks_nobody, "nobody is asked to leave", next),
    WITH(PREEMPT, asks_one_less, "one of three victims is not asked", next),
};

const uint32_t library_mutants_count = sizeof mutants / sizeof *mutants;

/* What a mutant does not alter is the real one's. */
const struct library *library_mutant(uint32_t index)
{
    static struct library lib;
    lib = mutants[index];
    lib.new = lib.new ? lib.new : new_counted;
    lib.event = lib.event ? lib.event : gang_event;
    lib.plan = lib.plan ? lib.plan : gang_plan;
    lib.next = lib.next ? lib.next : gang_decision_next;
    return &lib;
}
