/* How long the ledger takes from a change of an object to decisions with names, on clusters of
 * 1,000 and 10,000 nodes of 8 GPUs with 5 pods of somebody on each, and gangs of 8 nodes on three
 * quarters of them:
 *
 * - ledger.job: a job of 4 nodes comes, is planned, and goes;
 * - ledger.pod: a pod of somebody ends, and all is planned again;
 * - ledger.restart: a new ledger, filled with parsed objects, makes its first plan.
 *
 * Prints one JSON object a line: name, value (the median), unit, n. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "ledger/ledger.h"
#include "lib/base/alloc.h"
#include "lib/json/json.h"

#define PODS_PER_NODE 5
#define GANG 8
#define TRIALS 101
#define RESTARTS 5

struct objects {
    uint32_t nodes_count, jobs_count;
    cJSON **nodes, **pods;
    struct trainingjob *jobs;
    char (*names)[16];
};

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
    (void)fprintf(stderr, "bench_ledger: %s\n", err->text);
    exit(1);
}

static cJSON *parse(const char *format, ...) MLT_PRINTF(1, 2);

static cJSON *parse(const char *format, ...)
{
    char text[2048];
    cJSON *node = NULL;
    struct mlt_error err;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    must(json_parse(text, (size_t)length, &node, &err), &err);
    return node;
}

static cJSON *make_node(const char *name)
{
    return parse(
        "{\"metadata\": {\"name\": \"%s\", \"labels\": {\"kubernetes.io/hostname\": \"%s\"}},"
        " \"status\": {\"conditions\": [{\"type\": \"Ready\", \"status\": \"True\"}], "
        "\"allocatable\":"
        " {\"cpu\": \"127500m\", \"memory\": \"1000Gi\", \"pods\": \"110\", \"nvidia.com/gpu\": "
        "\"8\"}}}",
        name, name);
}

static cJSON *make_pod(const char *node, uint32_t index)
{
    return parse(
        "{\"metadata\": {\"name\": \"daemon-%s-%u\", \"namespace\": \"kube-system\", \"uid\": "
        "\"%s-%u\"},"
        " \"spec\": {\"nodeName\": \"%s\", \"containers\": [{\"resources\": {\"requests\":"
        " {\"cpu\": \"100m\", \"memory\": \"128Mi\"}}}]}, \"status\": {\"phase\": \"Running\"}}",
        node, index, node, index, node);
}

static struct trainingjob make_job(uint32_t index, uint32_t pods)
{
    struct trainingjob job;
    struct mlt_error err;
    cJSON *object = parse(
        "{\"metadata\": {\"name\": \"job-%u\", \"namespace\": \"research\", \"uid\": \"uid-%u\","
        " \"creationTimestamp\": \"2026-11-24T10:00:00Z\"}, \"spec\": {\"workers\": {\"replicas\": "
        "%u,"
        " \"template\": {\"spec\": {\"containers\": [{\"name\": \"trainer\", \"command\": [\"a\"],"
        " \"resources\": {\"limits\": {\"nvidia.com/gpu\": 8}}}]}}}}}",
        index, index, pods);
    must(trainingjob_read(object, &job, &err), &err);
    cJSON_Delete(object);
    return job;
}

static struct objects make_objects(uint32_t nodes)
{
    struct objects o = {.nodes_count = nodes, .jobs_count = nodes / 4 * 3 / GANG};
    o.nodes = mlt_calloc(nodes, sizeof *o.nodes);
    o.pods = mlt_calloc(nodes * PODS_PER_NODE, sizeof *o.pods);
    o.jobs = mlt_calloc(o.jobs_count, sizeof *o.jobs);
    o.names = mlt_calloc(nodes, sizeof *o.names);
    for (uint32_t n = 0; n < nodes; n++) {
        (void)snprintf(o.names[n], sizeof o.names[n], "node%05u", n);
        o.nodes[n] = make_node(o.names[n]);
        for (uint32_t p = 0; p < PODS_PER_NODE; p++)
            o.pods[n * PODS_PER_NODE + p] = make_pod(o.names[n], p);
    }
    for (uint32_t j = 0; j < o.jobs_count; j++)
        o.jobs[j] = make_job(j, GANG);
    return o;
}

static void release_objects(struct objects *o)
{
    for (uint32_t n = 0; n < o->nodes_count; n++)
        cJSON_Delete(o->nodes[n]);
    for (uint32_t p = 0; p < o->nodes_count * PODS_PER_NODE; p++)
        cJSON_Delete(o->pods[p]);
    for (uint32_t j = 0; j < o->jobs_count; j++)
        trainingjob_release(&o->jobs[j]);
    free(o->nodes);
    free(o->pods);
    free(o->jobs);
    free(o->names);
}

static uint32_t plan(struct ledger *l)
{
    struct mlt_error err;
    struct ledger_decision d;
    uint32_t placed = 0;
    must(ledger_plan(l, 0, &err), &err);
    while (ledger_decision_next(l, &d))
        placed += d.kind == GANG_PLACE;
    return placed;
}

static struct ledger *fill(const struct objects *o)
{
    static const char *const gpus[] = {"nvidia.com/gpu"};
    struct ledger *l =
        ledger_new(&(struct ledger_config){.gpu_resources = gpus, .gpu_resources_count = 1});
    struct mlt_error err;
    for (uint32_t n = 0; n < o->nodes_count; n++)
        ledger_node(l, o->nodes[n], 0);
    for (uint32_t p = 0; p < o->nodes_count * PODS_PER_NODE; p++)
        ledger_pod(l, o->pods[p], NULL, 0);
    for (uint32_t j = 0; j < o->jobs_count; j++) {
        const char *nodes[GANG];
        for (uint32_t i = 0; i < GANG; i++)
            nodes[i] = o->names[j * GANG + i];
        must(ledger_job_holds(l, &o->jobs[j], NULL, nodes, GANG, 0, &err), &err);
    }
    return l;
}

static void measure(uint32_t nodes)
{
    struct objects o = make_objects(nodes);
    int64_t ns[TRIALS];
    struct mlt_error err;
    struct ledger *l = NULL;
    for (int i = 0; i < RESTARTS; i++) {
        ledger_free(l);
        int64_t begin = now_ns();
        l = fill(&o);
        (void)plan(l);
        ns[i] = now_ns() - begin;
    }
    report("ledger.restart", nodes, ns, RESTARTS);
    struct trainingjob job = make_job(1000000, 4);
    for (int i = 0; i < TRIALS; i++) {
        int64_t begin = now_ns();
        must(ledger_job_waits(l, &job, NULL, 0, &err), &err);
        uint32_t placed = plan(l);
        ns[i] = now_ns() - begin;
        if (placed != 1)
            exit(1);
        ledger_job_gone(l, job.metadata.uid, 0);
    }
    report("ledger.job", nodes, ns, TRIALS);
    for (int i = 0; i < TRIALS; i++) {
        const cJSON *pod = o.pods[i];
        int64_t begin = now_ns();
        ledger_pod_gone(l, "kube-system", json_string(pod, "metadata.name", ""),
                        json_string(pod, "metadata.uid", ""), 0);
        (void)plan(l);
        ns[i] = now_ns() - begin;
    }
    report("ledger.pod", nodes, ns, TRIALS);
    trainingjob_release(&job);
    ledger_free(l);
    release_objects(&o);
}

int main(void)
{
    measure(1000);
    measure(10000);
    return 0;
}
