/* A trace of a batch system played on the gang library alone: how long it takes, and how long jobs
 * wait. Reads Standard Workload Format (https://www.cs.huji.ac.il/labs/parallel/workload/swf.html),
 * gzipped or not, by the path in MLT_SWF; skipped, with words, without one.
 *
 * A job of p processors is p pods of one device, its limit is the time it asked for, and it runs as
 * long as it did, also beyond its limit. What is expected of a job is the mean of those that ended
 * before it with the same user, processors and limit, or else of that user (older ones count 0.9
 * each). Nodes have 8 devices.
 *
 * Prints one JSON object a line: name, value, unit, n. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "gang/gang.h"

#define DEVICES_PER_NODE 8
#define HOUR_MS INT64_C(3600000)
#define PATIENCE_HOURS 168
#define KEYS 65536
#define USERS 4096

static const uint64_t any_class = 1;

struct job {
    int64_t submit_ms, run_ms, limit_ms, start_ms;
    uint32_t pods, user, key;
};

/* Older ones count less, in 1/1024. */
struct mean {
    int64_t sum_ms, weight;
};

struct key {
    uint32_t user, pods;
    int64_t limit_ms;
    struct mean mean;
};

struct replay {
    struct job *jobs;
    uint32_t count, capacity;
    struct key *keys;
    struct mean users[USERS];
    uint64_t *heap; /* of jobs that run, by end: indices */
    uint32_t running;
    struct gang *g;
    uint32_t *nodes;
};

static void must(int rc, const struct mlt_error *err)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "bench_gang_replay: %s\n", err->text);
    exit(1);
}

/* Of this process: others on the machine do not count. */
static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- the trace ---- */

static uint32_t key_of(struct replay *r, const struct job *j)
{
    uint64_t hash = ((uint64_t)j->user << 40 ^ (uint64_t)j->pods << 20 ^ (uint64_t)j->limit_ms) *
                    0x9e3779b97f4a7c15u;
    uint32_t at = (uint32_t)(hash >> 48) % KEYS;
    while (r->keys[at].pods && (r->keys[at].user != j->user || r->keys[at].pods != j->pods ||
                                r->keys[at].limit_ms != j->limit_ms))
        at = (at + 1) % KEYS;
    r->keys[at].user = j->user;
    r->keys[at].pods = j->pods;
    r->keys[at].limit_ms = j->limit_ms;
    return at;
}

static void add_line(struct replay *r, const char *line)
{
    double v[18] = {0};
    char *at = NULL;
    for (int i = 0; i < 18; i++, line = at)
        v[i] = strtod(line, &at);
    struct job j = {
        .submit_ms = (int64_t)v[1] * 1000, .run_ms = (int64_t)v[3] * 1000, .start_ms = -1};
    j.pods = (uint32_t)(v[4] > 0 ? v[4] : v[7] > 0 ? v[7] : 0);
    j.limit_ms = (int64_t)(v[8] > 0 ? v[8] : v[3]) * 1000;
    j.user = (uint32_t)v[11] % USERS;
    if (j.run_ms <= 0 || j.pods == 0)
        return;
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 65536;
        r->jobs = realloc(r->jobs, r->capacity * sizeof *r->jobs);
        if (!r->jobs)
            exit(1);
    }
    j.key = key_of(r, &j);
    r->jobs[r->count++] = j;
}

static int by_submit(const void *a, const void *b)
{
    const struct job *x = a, *y = b;
    return (x->submit_ms > y->submit_ms) - (x->submit_ms < y->submit_ms);
}

/* The number of processors that the header names; 0: no such file. */
static uint32_t read_trace(struct replay *r, const char *path)
{
    char command[1024], line[1024];
    uint32_t procs = 0;
    FILE *there = fopen(path, "r");
    if (!there)
        return 0;
    (void)fclose(there);
    (void)snprintf(command, sizeof command, "gzip -dcf -- '%s'", path);
    FILE *f = popen(command, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (line[0] != ';')
            add_line(r, line);
        else if (strstr(line, "MaxProcs:"))
            procs = (uint32_t)strtoul(strstr(line, "MaxProcs:") + strlen("MaxProcs:"), NULL, 10);
    }
    if (f)
        (void)pclose(f);
    qsort(r->jobs, r->count, sizeof *r->jobs, by_submit);
    return procs;
}

/* ---- what is expected ---- */

static void learn(struct mean *m, int64_t ms)
{
    m->sum_ms = m->sum_ms * 9 / 10 + ms * 1024;
    m->weight = m->weight * 9 / 10 + 1024;
}

static int64_t expected(const struct replay *r, const struct job *j)
{
    const struct mean *own = &r->keys[j->key].mean, *user = &r->users[j->user];
    if (own->weight)
        return own->sum_ms / own->weight + 1;
    int64_t of_user = user->weight ? user->sum_ms / user->weight + 1 : j->limit_ms;
    return of_user < j->limit_ms ? of_user : j->limit_ms;
}

/* Two digits of the binary number: so that equal jobs stay equal for a while. */
static int64_t rounded(int64_t ms)
{
    int shift = 0;
    while (ms >> shift >= 16)
        shift++;
    return (ms >> shift) << shift;
}

/* ---- the run ---- */

static int64_t end_of(const struct replay *r, uint64_t job)
{
    return r->jobs[job].start_ms + r->jobs[job].run_ms;
}

static bool ends_before(const struct replay *r, uint64_t a, uint64_t b)
{
    return end_of(r, a) != end_of(r, b) ? end_of(r, a) < end_of(r, b) : a < b;
}

static void push(struct replay *r, uint64_t job)
{
    uint32_t at = r->running++;
    for (; at && ends_before(r, job, r->heap[(at - 1) / 2]); at = (at - 1) / 2)
        r->heap[at] = r->heap[(at - 1) / 2];
    r->heap[at] = job;
}

static uint64_t pop(struct replay *r)
{
    uint64_t first = r->heap[0], moved = r->heap[--r->running];
    uint32_t at = 0;
    for (uint32_t child = 1; child < r->running; child = 2 * at + 1) {
        if (child + 1 < r->running && ends_before(r, r->heap[child + 1], r->heap[child]))
            child++;
        if (!ends_before(r, r->heap[child], moved))
            break;
        r->heap[at] = r->heap[child];
        at = child;
    }
    r->heap[at] = moved;
    return first;
}

static void feed(struct replay *r, const struct gang_event *event, int64_t now_ms)
{
    struct mlt_error err;
    must(gang_event(r->g, event, now_ms, &err), &err);
}

static void submit(struct replay *r, uint64_t id, int64_t now_ms)
{
    const struct job *j = &r->jobs[id];
    struct gang_job_request request = {.sequence = (int64_t)id,
                                       .roles_count = 1,
                                       .time_limit_ms = j->limit_ms,
                                       .expected_ms = rounded(expected(r, j)),
                                       .since_ms = now_ms};
    request.roles[0] = (struct gang_role){.pods = j->pods,
                                          .request = {0, 0, 1, 1},
                                          .node_classes = &any_class,
                                          .node_classes_words = 1};
    feed(r, &(struct gang_event){.kind = GANG_JOB_SUBMITTED, .job = id, .request = &request},
         now_ms);
}

static void finish(struct replay *r, uint64_t id, int64_t now_ms)
{
    learn(&r->keys[r->jobs[id].key].mean, r->jobs[id].run_ms);
    learn(&r->users[r->jobs[id].user], r->jobs[id].run_ms);
    feed(r, &(struct gang_event){.kind = GANG_JOB_REMOVED, .job = id}, now_ms);
}

/* Plans, then commits: the nodes are copied, since the first commit makes the plan void. */
static uint32_t plan(struct replay *r, int64_t now_ms)
{
    static uint64_t ids[65536];
    static uint32_t counts[65536];
    struct mlt_error err;
    struct gang_decision d;
    uint32_t count = 0, used = 0;
    must(gang_plan(r->g, now_ms, &err), &err);
    while (count < 65536 && gang_action_next(r->g, &d)) {
        ids[count] = d.job;
        counts[count++] = d.nodes_count;
        memcpy(r->nodes + used, d.nodes, d.nodes_count * sizeof *d.nodes);
        used += d.nodes_count;
    }
    used = 0;
    for (uint32_t i = 0; i < count; i++) {
        r->jobs[ids[i]].start_ms = now_ms;
        push(r, ids[i]);
        feed(r,
             &(struct gang_event){.kind = GANG_JOB_PLACED,
                                  .job = ids[i],
                                  .nodes = r->nodes + used,
                                  .nodes_count = counts[i],
                                  .started_ms = now_ms},
             now_ms);
        used += counts[i];
    }
    return count;
}

static void play(struct replay *r, uint64_t *ret_events)
{
    uint32_t next = 0;
    while (next < r->count || r->running) {
        int64_t now_ms = next < r->count ? r->jobs[next].submit_ms : INT64_MAX;
        if (r->running && end_of(r, r->heap[0]) < now_ms)
            now_ms = end_of(r, r->heap[0]);
        for (; r->running && end_of(r, r->heap[0]) <= now_ms; ++*ret_events)
            finish(r, pop(r), now_ms);
        for (; next < r->count && r->jobs[next].submit_ms <= now_ms; next++, ++*ret_events)
            submit(r, next, now_ms);
        (void)plan(r, now_ms);
    }
}

/* ---- results ---- */

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(const char *name, double value, const char *unit, uint32_t n)
{
    printf("{\"name\": \"gang.replay.%s\", \"value\": %.3f, \"unit\": \"%s\", \"n\": %u}\n", name,
           value, unit, n);
}

static void results(const struct replay *r, uint32_t procs, int64_t ns, uint64_t events)
{
    int64_t *waits = calloc(r->count, sizeof *waits);
    double sum = 0, work = 0;
    int64_t last = 0;
    if (!waits)
        exit(1);
    for (uint32_t i = 0; i < r->count; i++) {
        waits[i] = r->jobs[i].start_ms - r->jobs[i].submit_ms;
        sum += (double)waits[i];
        work += (double)r->jobs[i].run_ms * r->jobs[i].pods;
        last = end_of(r, i) > last ? end_of(r, i) : last;
    }
    qsort(waits, r->count, sizeof *waits, by_value);
    report("mean_wait", sum / r->count / 1000, "s", r->count);
    report("p50_wait", (double)waits[r->count / 2] / 1000, "s", r->count);
    report("p99_wait", (double)waits[r->count / 100 * 99] / 1000, "s", r->count);
    report("longest_wait", (double)waits[r->count - 1] / (double)HOUR_MS, "h", r->count);
    report("utilisation", work / ((double)last * procs), "1", r->count);
    report("time", (double)ns / 1e9, "s", r->count);
    report("event", (double)ns / 1e3 / (double)events, "us", (uint32_t)events);
    free(waits);
}

static void begin(struct replay *r, uint32_t procs)
{
    static const char *const devices[] = {"processor"};
    const char *patience = getenv("MLT_PATIENCE_H");
    const struct gang_config config = {
        .device_names = devices,
        .devices = 1,
        .reservations = 1,
        .patience_ms = (patience ? strtol(patience, NULL, 10) : PATIENCE_HOURS) * HOUR_MS};
    r->g = gang_new(&config);
    r->heap = calloc(r->count, sizeof *r->heap);
    r->nodes = calloc(procs, sizeof *r->nodes);
    if (!r->g || !r->heap || !r->nodes)
        exit(1);
    feed(r, &(struct gang_event){.kind = GANG_QUEUE_SET}, 0);
    for (uint32_t n = 0; n < procs / DEVICES_PER_NODE; n++)
        feed(r,
             &(struct gang_event){.kind = GANG_NODE_SET,
                                  .node = n,
                                  .schedulable = true,
                                  .capacity = {0, 0, DEVICES_PER_NODE, DEVICES_PER_NODE}},
             0);
}

int main(void)
{
    static struct replay r;
    const char *path = getenv("MLT_SWF");
    if (!path) {
        printf("bench_gang_replay: MLT_SWF names no trace (RICC-2010-2.swf.gz): skipped\n");
        return 0;
    }
    r.keys = calloc(KEYS, sizeof *r.keys);
    uint32_t procs = r.keys ? read_trace(&r, path) : 0;
    if (!procs) {
        printf("bench_gang_replay: %s is not there, or names no MaxProcs: skipped\n", path);
        return 0;
    }
    begin(&r, procs);
    uint64_t events = 0;
    int64_t start = now_ns();
    play(&r, &events);
    int64_t ns = now_ns() - start;
    results(&r, procs, ns, events);
    gang_free(r.g);
    return 0;
}
