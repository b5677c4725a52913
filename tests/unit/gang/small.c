/* A small cluster in few words: see small.h. */
#include "tests/unit/gang/small.h"

static char text[1024], reason[GANG_REASON_MAX];
static const uint64_t class_0 = 1;

struct gang *small_new(void)
{
    static const char *const devices[] = {"nvidia.com/gpu", "amd.com/gpu"};
    const struct gang_config config = {.device_names = devices, .devices = 2};
    struct gang *g = gang_new(&config);
    assert_non_null(g);
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET, .queue = 0});
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET, .queue = 1});
    return g;
}

struct gang_event small_node(uint32_t node, int64_t gpus)
{
    return (struct gang_event){
        .kind = GANG_NODE_SET,
        .node = node,
        .schedulable = true,
        .capacity = {64000, 256 * GIB, 32, gpus},
    };
}

struct gang_job_request small_request(uint32_t pods, int64_t gpus, int32_t priority,
                                      int64_t sequence)
{
    struct gang_job_request request = {
        .priority = priority, .sequence = sequence, .roles_count = 1};
    request.roles[0] = (struct gang_role){
        .pods = pods,
        .request = {0, 0, 1, gpus},
        .node_classes = &class_0,
        .node_classes_words = 1,
    };
    return request;
}

void small_feed_at(struct gang *g, struct gang_event event, int64_t now_ms)
{
    struct mlt_error err = {0};
    if (gang_event(g, &event, now_ms, &err) < 0 || gang_check(g, &err) < 0)
        fail_msg("%s", err.text);
}

void small_start(struct gang *g, uint64_t job, uint32_t node, int64_t now_ms)
{
    small_feed_at(g,
                  (struct gang_event){.kind = GANG_JOB_PLACED,
                                      .job = job,
                                      .nodes = &node,
                                      .nodes_count = 1,
                                      .started_ms = now_ms},
                  now_ms);
}

void small_feed(struct gang *g, struct gang_event event)
{
    small_feed_at(g, event, 0);
}

void small_submit(struct gang *g, uint64_t job, struct gang_job_request request)
{
    small_feed(g, (struct gang_event){.kind = GANG_JOB_SUBMITTED, .job = job, .request = &request});
}

void small_placed(struct gang *g, uint64_t job, uint32_t nodes_count, ...)
{
    uint32_t nodes[16];
    va_list args;
    va_start(args, nodes_count);
    for (uint32_t i = 0; i < nodes_count; i++)
        nodes[i] = va_arg(args, uint32_t);
    va_end(args);
    small_feed(
        g, (struct gang_event){
               .kind = GANG_JOB_PLACED, .job = job, .nodes = nodes, .nodes_count = nodes_count});
}

void small_remove(struct gang *g, uint64_t job)
{
    small_feed(g, (struct gang_event){.kind = GANG_JOB_REMOVED, .job = job});
}

void small_plan(struct gang *g, int64_t now_ms)
{
    struct mlt_error err = {0};
    uint64_t before = gang_hash(g);
    if (gang_plan(g, now_ms, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(gang_hash(g) == before);
}

const char *small_next(struct gang *g)
{
    static const char *const kinds[] = {"place", "replace", "preempt", "wait", "never"};
    struct gang_decision d;
    text[0] = reason[0] = '\0';
    if (!gang_decision_next(g, &d))
        return text;
    int length = snprintf(text, sizeof text, "%s %" PRIu64, kinds[d.kind], d.job);
    if (d.pod != GANG_NO_POD)
        length += snprintf(text + length, sizeof text - (size_t)length, ".%u", d.pod);
    if (d.position)
        length += snprintf(text + length, sizeof text - (size_t)length, " at %u", d.position);
    for (uint32_t i = 0; i < d.nodes_count; i++)
        length += snprintf(text + length, sizeof text - (size_t)length, "%s%u", i ? " " : ": ",
                           d.nodes[i]);
    if (d.why)
        gang_why_write(g, d.why, NULL, NULL, reason);
    return text;
}

const char *small_reason(void)
{
    return reason;
}

int64_t small_free_gpus(struct gang *g, uint32_t node)
{
    struct gang_node_view v;
    gang_node(g, node, &v);
    return v.capacity[GANG_DEVICE_0] - v.used_by_others[GANG_DEVICE_0] -
           v.used_by_gangs[GANG_DEVICE_0];
}
