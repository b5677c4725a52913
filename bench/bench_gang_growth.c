/* How the gang library grows: with the cluster (1,000 to 100,000 nodes of 8 GPUs), and with the
 * jobs that wait (1,000 to 1,000,000 on 1,000 full nodes). bench/growth makes a table and pictures
 * of it.
 *
 * nodes, nine tenths full of gangs of 1 to 32 nodes:
 * - place: a gang of 4 nodes comes, is planned, and its place is committed;
 * - restart: all nodes and gangs are told to a new library, which makes its first plan; for each
 * node;
 * - bytes: that the library holds, for each node; hot: of those, on pages that 5,000 decisions
 * touch. jobs, of 40 kinds ("alike") or each with a time limit of its own ("different"; "backfill":
 * that with a reservation and preemption, "patience": with patience, too, the others in strict
 * order):
 * - come: one more comes and is planned, without a place;
 * - start: a gang that runs ends, and the first in order is planned and placed;
 * - bytes: for each job that waits; hot: as above, on pages that 200 of each of these touch.
 *
 * Pages are what the kernel counts as referenced (proc(5), clear_refs): 4 KiB, so that "hot" is a
 * little more than what is read. Prints one JSON object a line: name, value, unit, n. Inputs are
 * seeded, so that only the times differ. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "gang/internal.h"
#include "lib/base/random.h"

#define GPUS_PER_NODE 8
#define RACK 16
#define DECISIONS 5000
#define STARTS 200
#define GANGS_MAX 100000
#define KINDS 40
#define WEEK_MS (INT64_C(7) * 24 * 3600000)
#define ARENA_BYTES (INT64_C(16) << 30) /* of addresses */
#define LARGE 65536                     /* bytes; whatever is smaller is the C library's */

static const uint64_t any_class = 1;
static char *arena;
static size_t arena_used;
static int64_t bytes; /* that the library holds */
static struct gang *g;
static struct mlt_random random_;
static uint64_t next_job;
static struct {
    uint64_t id;
    uint32_t nodes;
} gangs[GANGS_MAX]; /* that run */
static uint32_t gangs_count, nodes_used;
static int64_t times[DECISIONS];

/* ---- memory: large blocks stand in a mapping of their own, so that its pages can be told ---- */

struct large {
    struct large *next;
    char *at;
    size_t size;
};
static struct large *large_blocks;

static struct large **find_large(const void *memory)
{
    struct large **at = &large_blocks;
    while (*at && (*at)->at != memory)
        at = &(*at)->next;
    return at;
}

static bool is_large(const void *memory)
{
    return (const char *)memory >= arena && (const char *)memory < arena + ARENA_BYTES;
}

static void release(void *arg, void *memory)
{
    (void)arg;
    if (!memory)
        return;
    if (!is_large(memory)) {
        bytes -= (int64_t)malloc_usable_size(memory);
        free(memory);
        return;
    }
    struct large **at = find_large(memory), *gone = *at;
    *at = gone->next;
    bytes -= (int64_t)gone->size;
    (void)madvise(gone->at, gone->size, MADV_DONTNEED);
    free(gone);
}

static void *make_large(size_t size)
{
    struct large *made = malloc(sizeof *made);
    size_t whole = (size + 4095) & ~(size_t)4095;
    if (!made || arena_used + whole > (size_t)ARENA_BYTES)
        exit(1);
    *made = (struct large){.next = large_blocks, .at = arena + arena_used, .size = whole};
    large_blocks = made;
    arena_used += whole;
    bytes += (int64_t)whole;
    return made->at;
}

static void *reallocate(void *arg, void *old, size_t size)
{
    (void)arg;
    size_t had = !old ? 0 : is_large(old) ? (*find_large(old))->size : malloc_usable_size(old);
    if (size >= LARGE) {
        void *made = make_large(size);
        if (old)
            memcpy(made, old, had < size ? had : size);
        release(NULL, old);
        return made;
    }
    void *made = malloc(size);
    if (!made)
        return NULL;
    bytes += (int64_t)malloc_usable_size(made);
    if (old)
        memcpy(made, old, had < size ? had : size);
    release(NULL, old);
    return made;
}

static void forget_pages(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f)
        return;
    (void)fputs("1\n", f);
    (void)fclose(f);
}

/* Bytes of the arena, and of the heap, on pages that were touched since; -1: the kernel does not
 * say.
 */
static int64_t touched(bool with_heap)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool ours = false;
    int64_t sum = -1, kib;
    while (f && fgets(line, sizeof line, f)) {
        uint64_t from, to;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2)
            ours = (with_heap && strstr(line, "[heap]")) || is_large((const char *)(uintptr_t)from);
        else if (ours && sscanf(line, "Referenced: %" SCNd64 " kB", &kib) == 1)
            sum = (sum < 0 ? 0 : sum) + kib * 1024;
    }
    if (f)
        (void)fclose(f);
    return sum;
}

/* ---- what is told and asked ---- */

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

static void say(const char *name, uint32_t size, double value, const char *unit, int n)
{
    printf("{\"name\": \"gang_growth.%s.%u\", \"value\": %.2f, \"unit\": \"%s\", \"n\": %d}\n",
           name, size, value, unit, n);
    (void)fflush(stdout);
}

static void report(const char *name, uint32_t size, int n)
{
    char part[64];
    qsort(times, (size_t)n, sizeof *times, order);
    (void)snprintf(part, sizeof part, "%s.p50", name);
    say(part, size, (double)times[n / 2] / 1000, "us", n);
    (void)snprintf(part, sizeof part, "%s.p99", name);
    say(part, size, (double)times[n - 1 - n / 100] / 1000, "us", n);
}

static void feed(const struct gang_event *event)
{
    struct mlt_error err;
    if (gang_event(g, event, 0, &err) == 0)
        return;
    (void)fprintf(stderr, "bench_gang_growth: %s\n", err.text);
    exit(1);
}

static struct gang_job_request request_of(uint64_t job, uint32_t pods, int64_t limit_ms)
{
    struct gang_job_request request = {
        .sequence = (int64_t)job, .roles_count = 1, .time_limit_ms = limit_ms};
    request.roles[0] = (struct gang_role){
        .pods = pods,
        .request = {64000, INT64_C(512) << 30, 1, GPUS_PER_NODE},
        .node_classes = &any_class,
        .node_classes_words = 1,
    };
    return request;
}

static uint64_t submit(uint32_t pods, int64_t limit_ms)
{
    uint64_t job = ++next_job;
    const struct gang_job_request request = request_of(job, pods, limit_ms);
    feed(&(struct gang_event){.kind = GANG_JOB_SUBMITTED, .job = job, .request = &request});
    return job;
}

/* Plans, and commits what is placed first; how many nodes it took. */
static uint32_t plan(void)
{
    struct gang_decision d;
    if (gang_plan(g, 0, NULL) < 0)
        exit(1);
    if (!gang_action_next(g, &d) || d.kind != GANG_PLACE)
        return 0;
    uint32_t count = d.nodes_count;
    if (gangs_count == GANGS_MAX)
        exit(1);
    gangs[gangs_count].id = d.job;
    gangs[gangs_count++].nodes = count;
    nodes_used += count;
    feed(&(struct gang_event){
        .kind = GANG_JOB_PLACED, .job = d.job, .nodes = d.nodes, .nodes_count = count});
    return count;
}

static void one_ends(void)
{
    uint32_t i = (uint32_t)mlt_random_below(&random_, gangs_count);
    feed(&(struct gang_event){.kind = GANG_JOB_REMOVED, .job = gangs[i].id});
    nodes_used -= gangs[i].nodes;
    gangs[i] = gangs[--gangs_count];
}

/* How jobs wait. */
enum waiting { STRICT, BACKFILL, PATIENCE };

static void make_library(enum waiting how)
{
    static const char *const devices[] = {"nvidia.com/gpu"}, *const names[] = {"rack"};
    const struct gang_memory memory = {.realloc = reallocate, .free = release};
    g = gang_new_with_memory(&memory,
                             &(struct gang_config){.device_names = devices,
                                                   .devices = 1,
                                                   .level_names = names,
                                                   .levels = 1,
                                                   .reservations = how != STRICT,
                                                   .may_preempt = how != STRICT,
                                                   .patience_ms = how == PATIENCE ? WEEK_MS : 0});
    if (!g)
        exit(1);
    feed(&(struct gang_event){.kind = GANG_QUEUE_SET});
}

static void tell_node(uint32_t node)
{
    const uint32_t domain = node / RACK;
    feed(&(struct gang_event){.kind = GANG_NODE_SET,
                              .node = node,
                              .domains = &domain,
                              .schedulable = true,
                              .capacity = {128000, INT64_C(1) << 40, 110, GPUS_PER_NODE}});
}

static void make_cluster(uint32_t nodes, enum waiting how)
{
    mlt_random_init(&random_, 1);
    gangs_count = nodes_used = 0;
    next_job = 0;
    make_library(how);
    for (uint32_t n = 0; n < nodes; n++)
        tell_node(n);
}

/* ---- with the nodes ---- */

static void keep_nine_tenths(uint32_t nodes)
{
    while (nodes_used > nodes / 10 * 9)
        one_ends();
}

static void fill(uint32_t nodes)
{
    while (nodes_used < nodes / 10 * 9) {
        (void)submit(1 + (uint32_t)mlt_random_below(&random_, 32), 0);
        if (!plan())
            exit(1);
    }
}

static void measure_place(uint32_t nodes)
{
    for (int i = 0; i < DECISIONS; i++) {
        keep_nine_tenths(nodes);
        int64_t begin = now_ns();
        (void)submit(4, 0);
        if (!plan())
            exit(1);
        times[i] = now_ns() - begin;
    }
}

static void measure_restart(uint32_t nodes)
{
    int64_t begin = now_ns();
    make_library(false);
    for (uint32_t n = 0; n < nodes; n++)
        tell_node(n);
    for (uint32_t i = 0, at = 0; i < gangs_count; at += gangs[i++].nodes) {
        uint32_t places[32];
        const struct gang_job_request request = request_of(gangs[i].id, gangs[i].nodes, 0);
        for (uint32_t k = 0; k < gangs[i].nodes; k++)
            places[k] = at + k;
        feed(&(struct gang_event){.kind = GANG_JOB_PLACED,
                                  .job = gangs[i].id,
                                  .request = &request,
                                  .nodes = places,
                                  .nodes_count = gangs[i].nodes});
    }
    (void)plan();
    say("nodes.restart", nodes, (double)(now_ns() - begin) / 1000 / nodes, "us", 1);
}

static void grow_nodes(uint32_t nodes)
{
    make_cluster(nodes, STRICT);
    fill(nodes);
    measure_place(nodes); /* until it looks as it always will */
    forget_pages();
    measure_place(nodes);
    int64_t hot = touched(false);
    report("nodes.place", nodes, DECISIONS);
    say("nodes.bytes", nodes, (double)bytes / nodes, "bytes", 1);
    if (hot >= 0 && nodes >= 10000) /* else the arrays are too small to stand in the arena */
        say("nodes.hot", nodes, (double)hot / nodes, "bytes", 1);
    gang_free(g);
    measure_restart(nodes);
    gang_free(g);
}

/* ---- with the jobs that wait ---- */

#define FULL_NODES 1000

static uint64_t one_more(bool alike)
{
    uint64_t kind = alike ? mlt_random_below(&random_, KINDS) : next_job;
    return submit(4, 3600000 + (int64_t)kind);
}

static void cycle(bool alike, int64_t comes[STARTS], int64_t starts[STARTS])
{
    for (int i = 0; i < STARTS; i++) {
        int64_t begin = now_ns();
        (void)one_more(alike);
        if (plan())
            exit(1);
        comes[i] = now_ns() - begin;
        begin = now_ns();
        one_ends();
        if (!plan())
            exit(1);
        starts[i] = now_ns() - begin;
        (void)plan();
    }
}

static void report_times(const char *name, const char *what, uint32_t jobs, const int64_t *from)
{
    char part[64];
    memcpy(times, from, STARTS * sizeof *times);
    (void)snprintf(part, sizeof part, "%s.%s", name, what);
    report(part, jobs, STARTS);
}

static void grow_jobs(const char *name, bool alike, enum waiting how, uint32_t jobs)
{
    static int64_t comes[STARTS], starts[STARTS];
    char part[64];
    make_cluster(FULL_NODES, how);
    for (uint32_t i = 0; i < FULL_NODES / 4; i++) {
        (void)one_more(alike);
        if (!plan())
            exit(1);
    }
    cycle(alike, comes, starts);
    forget_pages();
    cycle(alike, comes, starts);
    int64_t hot_before = touched(true), bytes_before = bytes;
    for (uint32_t i = 0; i < jobs; i++)
        (void)one_more(alike);
    (void)plan();
    int64_t held = bytes - bytes_before;
    cycle(alike, comes, starts);
    forget_pages();
    cycle(alike, comes, starts);
    int64_t hot = touched(true);
    report_times(name, "come", jobs, comes);
    report_times(name, "start", jobs, starts);
    (void)snprintf(part, sizeof part, "%s.bytes", name);
    say(part, jobs, (double)held / jobs, "bytes", 1);
    (void)snprintf(part, sizeof part, "%s.hot", name);
    if (hot >= 0)
        say(part, jobs, (double)(hot - hot_before) / jobs, "bytes", 1);
    gang_free(g);
    (void)malloc_trim(0);
}

int main(void)
{
    static const uint32_t nodes[] = {1000, 3000, 10000, 30000, 100000};
    static const uint32_t jobs[] = {1000, 10000, 100000, 1000000};
    arena = mmap(NULL, (size_t)ARENA_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED)
        return 1;
    (void)madvise(arena, (size_t)ARENA_BYTES, MADV_NOHUGEPAGE);
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 30); /* all small ones in the heap */
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        grow_nodes(nodes[i]);
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        grow_jobs("jobs.alike", true, STRICT, jobs[i]);
        grow_jobs("jobs.different", false, STRICT, jobs[i]);
        grow_jobs("jobs.backfill", false, BACKFILL, jobs[i]);
        grow_jobs("jobs.patience", false, PATIENCE, jobs[i]);
    }
    return 0;
}
