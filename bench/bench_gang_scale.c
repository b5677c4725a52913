/* How the gang library's cost grows with the cluster: 1,000, 10,000 and 100,000 nodes of 8 GPUs,
 * racks of 16 nodes, zones of 64 racks, kept 92 % full by jobs that leave at random. The load is
 * mixed: 70 % of the jobs are one pod of 1, 2, 4 or 8 GPUs, 30 % are gangs of 2 to 256 pods of 8
 * GPUs.
 *
 * - mixed: a job comes, is planned, and its place is committed (p50, p99, the longest);
 * - flat: the same without topology levels;
 * - big: only gangs of 2 to 256 nodes;
 * - nothing_fits: a gang that has no room comes, is planned, and leaves again; without its reason;
 * - behind: the same, and one of one GPU that comes behind it;
 * - node_bytes: memory for each node, with columns for the five kinds of pods here and no jobs.
 *
 * Prints one JSON object a line: name, value, unit, n. Inputs are seeded, so that only the times
 * differ. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "gang/internal.h"
#include "lib/base/random.h"

#define GPUS_PER_NODE 8
#define RACK 16
#define ZONE (64 * RACK)
#define DECISIONS 20000
#define JOBS_MAX 400000

static const uint64_t any_class = 1;
static int64_t bytes; /* that the library holds */

struct load {
    struct gang *g;
    struct mlt_random random;
    uint32_t nodes, jobs_count;
    int64_t used; /* GPUs */
    uint64_t next;
    bool only_gangs;
    struct {
        uint64_t id;
        uint32_t gpus;
    } jobs[JOBS_MAX];
};

static struct load load;
static int64_t times[DECISIONS];

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

static void say(const char *name, const char *part, uint32_t nodes, double value, const char *unit,
                int n)
{
    printf(
        "{\"name\": \"gang_scale.%s%s.%u_nodes\", \"value\": %.2f, \"unit\": \"%s\", \"n\": %d}\n",
        name, part, nodes, value, unit, n);
    (void)fflush(stdout);
}

static void report(const char *name, uint32_t nodes, int n)
{
    if (n == 0)
        return;
    qsort(times, (size_t)n, sizeof *times, order);
    say(name, ".p50", nodes, (double)times[n / 2] / 1000, "us", n);
    say(name, ".p99", nodes, (double)times[n - 1 - n / 100] / 1000, "us", n);
    say(name, ".max", nodes, (double)times[n - 1] / 1000, "us", n);
}

static void *counted_realloc(void *arg, void *old, size_t size)
{
    (void)arg;
    int64_t before = old ? (int64_t)malloc_usable_size(old) : 0;
    void *memory = realloc(old, size);
    if (memory)
        bytes += (int64_t)malloc_usable_size(memory) - before;
    return memory;
}

static void counted_free(void *arg, void *memory)
{
    (void)arg;
    bytes -= (int64_t)malloc_usable_size(memory);
    free(memory);
}

static void feed(struct gang *g, const struct gang_event *event)
{
    struct mlt_error err;
    if (gang_event(g, event, 0, &err) == 0)
        return;
    (void)fprintf(stderr, "bench_gang_scale: %s\n", err.text);
    exit(1);
}

static void submit(struct gang *g, uint64_t job, uint32_t pods, uint32_t gpus)
{
    struct gang_job_request request = {.sequence = (int64_t)job, .roles_count = 1};
    request.roles[0] = (struct gang_role){
        .pods = pods,
        .request = {gpus * INT64_C(1000), gpus * (INT64_C(8) << 30), 1, gpus},
        .node_classes = &any_class,
        .node_classes_words = 1,
    };
    feed(g, &(struct gang_event){.kind = GANG_JOB_SUBMITTED, .job = job, .request = &request});
}

static void remove_job(struct gang *g, uint64_t job)
{
    feed(g, &(struct gang_event){.kind = GANG_JOB_REMOVED, .job = job});
}

/* Plans and commits what is placed first; whether anything was. */
static bool plan(struct gang *g)
{
    struct mlt_error err;
    struct gang_decision d;
    if (gang_plan(g, 0, &err) < 0)
        exit(1);
    if (!gang_action_next(g, &d) || d.kind != GANG_PLACE)
        return false;
    feed(g, &(struct gang_event){.kind = GANG_JOB_PLACED,
                                 .job = d.job,
                                 .nodes = d.nodes,
                                 .nodes_count = d.nodes_count});
    return true;
}

static void make_nodes(uint32_t nodes, uint32_t levels)
{
    static const char *const devices[] = {"nvidia.com/gpu"}, *const names[] = {"zone", "rack"};
    const struct gang_memory memory = {.realloc = counted_realloc, .free = counted_free};
    const struct gang_config config = {
        .device_names = devices, .devices = 1, .level_names = names, .levels = levels};
    memset(&load, 0, sizeof load);
    mlt_random_init(&load.random, 1);
    load.nodes = nodes;
    load.g = gang_new_with_memory(&memory, &config);
    if (!load.g)
        exit(1);
    feed(load.g, &(struct gang_event){.kind = GANG_QUEUE_SET});
    for (uint32_t n = 0; n < nodes; n++) {
        const uint32_t domains[] = {n / ZONE, n / RACK};
        feed(load.g, &(struct gang_event){.kind = GANG_NODE_SET,
                                          .node = n,
                                          .domains = domains,
                                          .schedulable = true,
                                          .capacity = {128000, INT64_C(1) << 40, 110, 8}});
    }
}

static void measure_memory(void)
{
    static const uint32_t gpus[] = {1, 2, 4, 8, 3};
    for (uint32_t i = 0; i < 5; i++)
        submit(load.g, i + 1, 1, gpus[i]);
    while (plan(load.g))
        ;
    for (uint32_t i = 0; i < 5; i++)
        remove_job(load.g, i + 1);
    say("node_bytes", "", load.nodes, (double)bytes / load.nodes, "bytes", 1);
}

static void leave_at_random(void)
{
    uint32_t i = (uint32_t)mlt_random_below(&load.random, load.jobs_count);
    remove_job(load.g, load.jobs[i].id);
    load.used -= load.jobs[i].gpus;
    load.jobs[i] = load.jobs[--load.jobs_count];
}

/* One job of the mixed load; how long it took, or -1 when it found no place and left. */
static int64_t come(void)
{
    bool gang = load.only_gangs || mlt_random_below(&load.random, 10) < 3;
    uint32_t pods = gang ? 2u << mlt_random_below(&load.random, 8) : 1;
    uint32_t gpus = gang ? GPUS_PER_NODE : 1u << mlt_random_below(&load.random, 4);
    uint64_t id = 1000 + load.next++;
    int64_t begin = now_ns();
    submit(load.g, id, pods, gpus);
    bool placed = plan(load.g);
    int64_t took = now_ns() - begin;
    if (!placed) {
        remove_job(load.g, id);
        return -1;
    }
    if (load.jobs_count == JOBS_MAX)
        exit(1);
    load.jobs[load.jobs_count].id = id;
    load.jobs[load.jobs_count++].gpus = pods * gpus;
    load.used += pods * gpus;
    return took;
}

static void keep_92_percent(void)
{
    while (load.used * 100 > (int64_t)load.nodes * GPUS_PER_NODE * 92)
        leave_at_random();
}

static void fill(void)
{
    while (load.used * 100 <= (int64_t)load.nodes * GPUS_PER_NODE * 92)
        if (come() < 0)
            return;
    for (uint32_t i = 0; i < DECISIONS; i++) { /* until it looks as it always will */
        keep_92_percent();
        (void)come();
    }
}

static void measure_mixed(const char *name)
{
    int n = 0;
    uint32_t refused = 0;
    while (n < DECISIONS && refused < DECISIONS) {
        keep_92_percent();
        int64_t took = come();
        if (took >= 0)
            times[n++] = took;
        else
            refused++;
    }
    report(name, load.nodes, n);
}

/* `behind`: so many of one GPU, for which there is room, come after it. */
static void measure_nothing_fits(const char *name, uint32_t behind)
{
    struct gang_decision d;
    int n = 200;
    for (int i = 0; i < n; i++) {
        int64_t begin = now_ns();
        for (uint32_t id = 1; id <= 1 + behind; id++)
            submit(load.g, id, id == 1 ? load.nodes / 2 : 1, id == 1 ? GPUS_PER_NODE : 1);
        int rc = gang_plan(load.g, 0, NULL);
        times[i] = now_ns() - begin;
        if (rc < 0 || gang_action_next(load.g, &d))
            exit(1);
        for (uint32_t id = 1; id <= 1 + behind; id++)
            remove_job(load.g, id);
    }
    report(name, load.nodes, n);
}

int main(void)
{
    static const uint32_t sizes[] = {1000, 10000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (uint32_t flat = 0; flat < 2; flat++) {
            make_nodes(sizes[i], flat ? 0 : 2);
            if (!flat)
                measure_memory();
            fill();
            measure_mixed(flat ? "flat" : "mixed");
            if (!flat) {
                measure_nothing_fits("nothing_fits", 0);
                measure_nothing_fits("behind", 1);
            }
            load.only_gangs = true;
            measure_mixed(flat ? "flat_big" : "big");
            gang_free(load.g);
        }
    return 0;
}
