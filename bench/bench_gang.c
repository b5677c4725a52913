/* How long the gang library takes to decide about one gang, on clusters of 1,000 and 10,000 nodes
 * of 8 GPUs each that are nine tenths full of gangs of 1 to 32 nodes:
 *
 * - gang.place: a gang of 4 nodes comes, is planned, and its place is committed;
 * - gang.wait: a gang that needs half of the cluster is planned, and the reason why it waits is
 * written;
 * - gang.queue: a plan over 1,000 waiting gangs, the first of which is blocked, with a reason for
 * each.
 *
 * Prints one JSON object a line: name, value (the median), unit, n. Inputs are seeded, so that only
 * the times differ. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "gang/gang.h"
#include "lib/base/random.h"

#define GPUS_PER_NODE 8
#define TRIALS 301
#define WAITING 1000

static const uint64_t any_class = 1;

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int order(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(const char *name, uint32_t nodes, int64_t *ns, int n)
{
    qsort(ns, (size_t)n, sizeof *ns, order);
    printf("{\"name\": \"%s.%u_nodes\", \"value\": %.2f, \"unit\": \"us\", \"n\": %d}\n", name,
           nodes, (double)ns[n / 2] / 1000, n);
    (void)fflush(stdout);
}

static void must(int rc, const struct mlt_error *err)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "bench_gang: %s\n", err->text);
    exit(1);
}

static void feed(struct gang *g, const struct gang_event *event)
{
    struct mlt_error err;
    must(gang_event(g, event, 0, &err), &err);
}

static void submit(struct gang *g, uint64_t job, uint32_t pods)
{
    struct gang_job_request request = {.sequence = (int64_t)job, .roles_count = 1};
    request.roles[0] = (struct gang_role){
        .pods = pods,
        .request = {8000, INT64_C(64) << 30, 1, GPUS_PER_NODE},
        .node_classes = &any_class,
        .node_classes_words = 1,
    };
    feed(g, &(struct gang_event){.kind = GANG_JOB_SUBMITTED, .job = job, .request = &request});
}

/* Plans once and commits what is placed; how many gangs were. */
static int plan(struct gang *g)
{
    struct mlt_error err;
    struct gang_decision d;
    int placed = 0;
    must(gang_plan(g, 0, &err), &err);
    while (gang_decision_next(g, &d)) {
        if (d.kind != GANG_PLACE)
            continue;
        feed(g, &(struct gang_event){.kind = GANG_JOB_PLACED,
                                     .job = d.job,
                                     .nodes = d.nodes,
                                     .nodes_count = d.nodes_count});
        placed++;
        break; /* the event has made the rest of the plan void */
    }
    return placed;
}

static void remove_job(struct gang *g, uint64_t job)
{
    feed(g, &(struct gang_event){.kind = GANG_JOB_REMOVED, .job = job});
}

/* Full but for the last tenth. */
static struct gang *make_cluster(uint32_t nodes)
{
    static const char *const devices[] = {"nvidia.com/gpu"};
    struct mlt_random random;
    mlt_random_init(&random, 1);
    const struct gang_config config = {.device_names = devices, .devices = 1};
    struct gang *g = gang_new(&config);
    if (!g)
        exit(1);
    feed(g, &(struct gang_event){.kind = GANG_QUEUE_SET});
    for (uint32_t n = 0; n < nodes; n++)
        feed(g, &(struct gang_event){.kind = GANG_NODE_SET,
                                     .node = n,
                                     .schedulable = true,
                                     .capacity = {128000, INT64_C(1) << 40, 110, GPUS_PER_NODE}});
    uint64_t job = 1;
    uint32_t used = 0;
    for (uint32_t pods; used < nodes / 10 * 9; used += pods) {
        pods = 1u << mlt_random_below(&random, 6);
        submit(g, job++, pods);
        (void)plan(g);
    }
    return g;
}

static void measure_place(struct gang *g, uint32_t nodes)
{
    int64_t ns[TRIALS];
    for (int i = 0; i < TRIALS; i++) {
        uint64_t job = 1000000 + (uint64_t)i;
        int64_t begin = now_ns();
        submit(g, job, 4);
        int placed = plan(g);
        ns[i] = now_ns() - begin;
        if (placed != 1)
            exit(1);
        remove_job(g, job);
    }
    report("gang.place", nodes, ns, TRIALS);
}

static void measure_wait(struct gang *g, uint32_t nodes)
{
    int64_t ns[TRIALS];
    for (int i = 0; i < TRIALS; i++) {
        uint64_t job = 2000000 + (uint64_t)i;
        int64_t begin = now_ns();
        submit(g, job, nodes / 2);
        int placed = plan(g);
        ns[i] = now_ns() - begin;
        if (placed != 0)
            exit(1);
        remove_job(g, job);
    }
    report("gang.wait", nodes, ns, TRIALS);
}

static void measure_queue(struct gang *g, uint32_t nodes)
{
    int64_t plans[TRIALS / 10], words[WAITING];
    char text[GANG_REASON_MAX];
    struct mlt_error err;
    struct gang_decision d;
    int said = 0;
    submit(g, 3000000, nodes / 2);
    for (uint64_t i = 1; i < WAITING; i++)
        submit(g, 3000000 + i, 1 + (uint32_t)i % 8);
    for (int i = 0; i < TRIALS / 10; i++) {
        int64_t begin = now_ns();
        must(gang_plan(g, 0, &err), &err);
        plans[i] = now_ns() - begin;
    }
    while (said < WAITING && gang_decision_next(g, &d)) {
        int64_t begin = now_ns();
        gang_why_write(g, d.why, NULL, NULL, text);
        words[said++] = now_ns() - begin;
    }
    report("gang.queue", nodes, plans, TRIALS / 10);
    report("gang.words", nodes, words, said);
}

int main(void)
{
    static const uint32_t sizes[] = {1000, 10000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct gang *g = make_cluster(sizes[i]);
        measure_place(g, sizes[i]);
        measure_wait(g, sizes[i]);
        measure_queue(g, sizes[i]);
        gang_free(g);
    }
    return 0;
}
