/* How long it takes to decide whom to ask to leave: 2,000 nodes of 8 GPUs, full with 700 gangs of
 * low priority on 1 to 5 nodes each, and one of high priority that needs 16 to 512 nodes. Prints
 * one JSON object a line: name, value (the median of the processor time), unit, n. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "gang/gang.h"

#define NODES 2000
#define VICTIMS 700
#define TRIALS 101

static const uint64_t any_class = 1;

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int order(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void must(int rc, const struct mlt_error *err)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "bench_gang_preempt: %s\n", err->text);
    exit(1);
}

static void feed(struct gang *g, const struct gang_event *event)
{
    struct mlt_error err;
    must(gang_event(g, event, 0, &err), &err);
}

static void submit(struct gang *g, uint64_t job, uint32_t pods, int32_t priority)
{
    struct gang_job_request request = {
        .sequence = (int64_t)job, .priority = priority, .roles_count = 1};
    request.roles[0] = (struct gang_role){.pods = pods,
                                          .request = {8000, INT64_C(64) << 30, 1, 8},
                                          .node_classes = &any_class,
                                          .node_classes_words = 1};
    feed(g, &(struct gang_event){.kind = GANG_JOB_SUBMITTED, .job = job, .request = &request});
}

static struct gang *make_cluster(void)
{
    static const char *const devices[] = {"nvidia.com/gpu"};
    const struct gang_config config = {
        .device_names = devices, .devices = 1, .reservations = 1, .may_preempt = true};
    struct gang_queue_config queue = {
        .parent = GANG_NO_QUEUE, .weight = 1, .within_queue = GANG_PREEMPTION_LOWER_PRIORITY};
    for (int r = 0; r < GANG_RESOURCES_MAX; r++)
        queue.nominal[r] = queue.borrow_limit[r] = queue.lend_limit[r] = GANG_UNLIMITED;
    struct gang *g = gang_new(&config);
    if (!g)
        exit(1);
    feed(g, &(struct gang_event){.kind = GANG_QUEUE_SET, .queue_config = &queue});
    for (uint32_t n = 0; n < NODES; n++)
        feed(g, &(struct gang_event){.kind = GANG_NODE_SET,
                                     .node = n,
                                     .schedulable = true,
                                     .capacity = {128000, INT64_C(1) << 40, 110, 8}});
    uint32_t next = 0, nodes[5];
    for (uint64_t job = 1; job <= VICTIMS; job++) {
        uint32_t rest = NODES - next, left = (uint32_t)(VICTIMS - job + 1);
        uint32_t pods = left == 1 ? (rest < 5 ? rest : 5) : rest / left + (uint32_t)(job % 2);
        for (uint32_t i = 0; i < pods; i++)
            nodes[i] = next++;
        submit(g, job, pods, 0);
        feed(g, &(struct gang_event){.kind = GANG_JOB_PLACED,
                                     .job = job,
                                     .nodes = nodes,
                                     .nodes_count = pods,
                                     .started_ms = (int64_t)(job * 7919 % 100000)});
    }
    return g;
}

int main(void)
{
    static const uint32_t sizes[] = {16, 128, 512};
    struct gang *g = make_cluster();
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        int64_t ns[TRIALS];
        uint32_t asked = 0;
        for (int i = 0; i < TRIALS; i++) {
            struct mlt_error err;
            struct gang_decision d;
            submit(g, 100000 + (uint64_t)i, sizes[s], 1);
            int64_t begin = now_ns();
            must(gang_plan(g, 200000, &err), &err);
            ns[i] = now_ns() - begin;
            for (asked = 0; gang_action_next(g, &d); asked++)
                if (d.kind != GANG_PREEMPT)
                    exit(1);
            if (asked == 0)
                exit(1);
            feed(g, &(struct gang_event){.kind = GANG_JOB_REMOVED, .job = 100000 + (uint64_t)i});
        }
        qsort(ns, TRIALS, sizeof *ns, order);
        printf(
            "{\"name\": \"gang.preempt.%u_nodes_of_%u_jobs\", \"value\": %.2f, \"unit\": \"us\", "
            "\"n\": %d, \"asked\": %u}\n",
            sizes[s], VICTIMS, (double)ns[TRIALS / 2] / 1000, TRIALS, asked);
    }
    gang_free(g);
    return 0;
}
