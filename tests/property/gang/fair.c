/* Fair share under saturation: queues below one parent that always have enough waiting jobs get GPU
 * time in the proportion of their weights, within 2 % or one largest gang; and a queue that cuts
 * its work into smaller jobs, or hands in more of them, gains nothing. */
#include "tests/property/gang/properties.h"

#include <inttypes.h>
#include <string.h>

#define FAIR_QUEUES 3
#define FAIR_NODES 4
#define FAIR_GPUS 8
#define BACKLOG 12
#define RUNNING_MAX (FAIR_NODES * FAIR_GPUS)
#define END_MS INT64_C(40000000)

struct fair_job {
    uint64_t id;
    uint32_t queue, gpus;
    bool running;
    int64_t started_ms, ends_ms;
};

struct fair {
    const struct library *lib;
    struct gang *g;
    struct mlt_random random;
    int64_t now_ms;
    uint64_t next_id;
    uint32_t gpus_max[FAIR_QUEUES]; /* of its jobs */
    int64_t runs_max_ms[FAIR_QUEUES];
    struct fair_job jobs[FAIR_QUEUES * BACKLOG + RUNNING_MAX];
    int64_t got[FAIR_QUEUES]; /* GPU ms */
    char *failure;
    size_t failure_size;
};

static void say(struct fair *f, const char *words)
{
    if (!f->failure[0])
        (void)snprintf(f->failure, f->failure_size, "%s", words);
}

static void tell_fair(struct fair *f, const struct gang_event *e)
{
    struct mlt_error err = {0};
    if (f->lib->event(f->g, e, f->now_ms, &err) < 0)
        say(f, err.text);
}

static void begin_queues(struct fair *f, const uint32_t *weights)
{
    struct gang_queue_config c = {
        .parent = GANG_NO_QUEUE, .weight = 1, .order = GANG_ORDER_FAIR_SHARE};
    for (uint32_t r = 0; r < GANG_RESOURCES_MAX; r++)
        c.nominal[r] = c.borrow_limit[r] = c.lend_limit[r] = GANG_UNLIMITED;
    tell_fair(f, &(struct gang_event){.kind = GANG_QUEUE_SET, .queue = 0, .queue_config = &c});
    c.parent = 0;
    c.order = GANG_ORDER_FIFO;
    for (uint32_t q = 0; q < FAIR_QUEUES; q++) {
        c.weight = weights[q];
        tell_fair(f,
                  &(struct gang_event){.kind = GANG_QUEUE_SET, .queue = q + 1, .queue_config = &c});
    }
    for (uint32_t n = 0; n < FAIR_NODES; n++)
        tell_fair(f, &(struct gang_event){.kind = GANG_NODE_SET,
                                          .node = n,
                                          .schedulable = true,
                                          .capacity = {64000, 1 << 20, 110, FAIR_GPUS}});
}

static void submit_fair(struct fair *f, struct fair_job *job, uint32_t queue)
{
    static const uint64_t any = 1;
    *job = (struct fair_job){.id = f->next_id++, .queue = queue};
    job->gpus = 1 + (uint32_t)mlt_random_below(&f->random, f->gpus_max[queue]);
    struct gang_job_request q = {
        .queue = queue + 1, .sequence = f->now_ms, .roles_count = 1, .since_ms = f->now_ms};
    q.roles[0] = (struct gang_role){.pods = job->gpus,
                                    .request = {100, 1, 1, 1},
                                    .node_classes = &any,
                                    .node_classes_words = 1};
    tell_fair(f, &(struct gang_event){.kind = GANG_JOB_SUBMITTED, .job = job->id, .request = &q});
}

static void fill_up(struct fair *f)
{
    for (uint32_t queue = 0; queue < FAIR_QUEUES; queue++) {
        uint32_t waiting = 0;
        for (uint32_t i = 0; i < sizeof f->jobs / sizeof *f->jobs; i++)
            waiting += f->jobs[i].id && !f->jobs[i].running && f->jobs[i].queue == queue;
        for (uint32_t i = 0; waiting < BACKLOG && i < sizeof f->jobs / sizeof *f->jobs; i++)
            if (!f->jobs[i].id) {
                submit_fair(f, &f->jobs[i], queue);
                waiting++;
            }
    }
}

static void plan_fair(struct fair *f)
{
    struct mlt_error err = {0};
    static struct {
        uint64_t job;
        uint32_t nodes[FAIR_GPUS * FAIR_NODES], count;
    } placed[RUNNING_MAX];
    uint32_t count = 0;
    struct gang_decision d;
    if (f->lib->plan(f->g, f->now_ms, &err) < 0)
        say(f, err.text);
    while (f->lib->next(f->g, &d))
        if (d.kind == GANG_PLACE && count < RUNNING_MAX) {
            placed[count].job = d.job;
            placed[count].count = d.nodes_count;
            memcpy(placed[count++].nodes, d.nodes, d.nodes_count * sizeof *d.nodes);
        }
    for (uint32_t i = 0; i < count; i++) {
        tell_fair(f, &(struct gang_event){.kind = GANG_JOB_PLACED,
                                          .job = placed[i].job,
                                          .nodes = placed[i].nodes,
                                          .nodes_count = placed[i].count,
                                          .started_ms = f->now_ms});
        for (uint32_t j = 0; j < sizeof f->jobs / sizeof *f->jobs; j++) {
            struct fair_job *job = &f->jobs[j];
            if (job->id != placed[i].job)
                continue;
            job->running = true;
            job->started_ms = f->now_ms;
            job->ends_ms =
                f->now_ms + 1000 +
                (int64_t)mlt_random_below(&f->random, (uint64_t)f->runs_max_ms[job->queue]);
        }
    }
}

/* To the next end of a job. */
static void go_on(struct fair *f)
{
    int64_t to = INT64_MAX;
    for (uint32_t j = 0; j < sizeof f->jobs / sizeof *f->jobs; j++)
        if (f->jobs[j].running && f->jobs[j].ends_ms < to)
            to = f->jobs[j].ends_ms;
    if (to == INT64_MAX) {
        say(f, "nothing runs, though much waits");
        return;
    }
    f->now_ms = to;
    for (uint32_t j = 0; j < sizeof f->jobs / sizeof *f->jobs; j++) {
        struct fair_job *job = &f->jobs[j];
        if (!job->running || job->ends_ms > to)
            continue;
        f->got[job->queue] += job->gpus * (job->ends_ms - job->started_ms);
        tell_fair(f, &(struct gang_event){.kind = GANG_JOB_REMOVED, .job = job->id});
        *job = (struct fair_job){0};
    }
}

static void check_shares(struct fair *f, const uint32_t *weights)
{
    int64_t all = 0, weight = 0, largest = 0;
    for (uint32_t q = 0; q < FAIR_QUEUES; q++) {
        all += f->got[q];
        weight += weights[q];
        int64_t gang = f->gpus_max[q] * (f->runs_max_ms[q] + 1000);
        largest = gang > largest ? gang : largest;
    }
    for (uint32_t q = 0; q < FAIR_QUEUES && !f->failure[0]; q++) {
        int64_t due = all / weight * weights[q];
        int64_t off = f->got[q] > due ? f->got[q] - due : due - f->got[q];
        if (off > due / 50 + largest)
            (void)snprintf(f->failure, f->failure_size,
                           "queue %u of weight %u of %" PRId64 " got %" PRId64 " of %" PRId64
                           " GPU ms; %" PRId64 " were due",
                           q, weights[q], weight, f->got[q], all, due);
    }
}

void play_fair(const struct library *lib, uint64_t seed, char *failure, size_t size)
{
    static struct fair f;
    static const uint32_t choices[][FAIR_QUEUES] = {{1, 2, 4}, {1, 1, 1}, {3, 1, 1}};
    const uint32_t *weights = choices[seed % 3];
    static const char *const devices[] = {"nvidia.com/gpu"};
    const struct gang_config config = {
        .device_names = devices, .devices = 1, .usage_half_life_ms = seed % 2 ? 3600000 : 0};
    f = (struct fair){.lib = lib, .now_ms = 1000000, .next_id = 1, .failure = failure};
    f.failure_size = size;
    failure[0] = '\0';
    mlt_random_init(&f.random, seed);
    f.g = lib->new (&config);
    /* One of them has smaller, or shorter, jobs than the others. */
    for (uint32_t q = 0; q < FAIR_QUEUES; q++) {
        f.gpus_max[q] = q == seed % 5 ? 1 : 4;
        f.runs_max_ms[q] = q == seed % 7 ? 5000 : 30000;
    }
    begin_queues(&f, weights);
    while (f.now_ms < END_MS && !failure[0]) {
        fill_up(&f);
        plan_fair(&f);
        go_on(&f);
    }
    check_shares(&f, weights);
    gang_free(f.g);
}
