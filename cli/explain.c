/* mltrain explain: why a job waits, in full. The sentence is the controller's; the numbers come
 * from the cluster's objects by the controller's own ledger, as far as the user may list them. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/job_command.h"
#include "ledger/ledger.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/hostlist.h"
#include "lib/base/number.h"
#include "lib/json/json.h"

#define DURATION_TEXT_MAX 64

struct explain {
    struct cli *cli;
    const cJSON *job;
    struct ledger *ledger;
    cJSON *jobs; /* of all namespaces */
    int64_t now_ms;
};

/* ---- the cluster's objects ---- */

static int list(struct explain *x, enum kube_resource resource, cJSON **ret, struct mlt_error *err)
{
    struct mlt_text path cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX);
    kube_path(&path, resource, NULL, NULL, NULL, NULL);
    return cli_get(x->cli, mlt_text_string(&path), ret, err);
}

static int tell_list(struct explain *x, enum kube_resource resource, struct mlt_error *err)
{
    cJSON *answer cleanup_json = NULL;
    const cJSON *item;
    int rc = list(x, resource, &answer, err);
    if (rc < 0)
        return rc;
    cJSON_ArrayForEach(item, json_member(answer, "items"))
    {
        if (resource == KUBE_NODE)
            ledger_node(x->ledger, item, x->now_ms);
        else if (resource == KUBE_POD)
            ledger_pod(x->ledger, item,
                       json_string(item, "metadata.labels[mltrain.io/job-uid]", NULL), x->now_ms);
        else if (resource == KUBE_PRIORITYCLASS)
            ledger_priority_class(x->ledger, item);
        else
            ledger_queue(x->ledger, item);
    }
    return 0;
}

static int64_t time_at(const cJSON *object, const char *path)
{
    int64_t ms;
    const char *text = json_string(object, path, NULL);
    return text && mlt_time_parse(text, &ms, NULL) == 0 ? ms : 0;
}

static bool is_finished(const char *phase)
{
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0 ||
           strcmp(phase, "Suspended") == 0;
}

static void tell_job(struct explain *x, const cJSON *object)
{
    struct trainingjob job cleanup_trainingjob = {0};
    const char *phase = json_string(object, "status.phase", "");
    const char *placement = json_string(object, "status.placement.workers", NULL);
    char **nodes = NULL;
    size_t count = 0;
    if (is_finished(phase) || trainingjob_read(object, &job, NULL) < 0)
        return;
    /* Which topology levels there are only the controller knows. */
    job.spec.scheduling.topology_required = job.spec.scheduling.topology_preferred = NULL;
    if (!placement) {
        (void)!ledger_job_waits(x->ledger, &job, NULL, x->now_ms, NULL);
        return;
    }
    if (mlt_hostlist_expand(placement, TRAININGJOB_REPLICAS_MAX, &nodes, &count, NULL) < 0)
        return;
    (void)!ledger_job_holds(x->ledger, &job, NULL, (const char *const *)nodes, (uint32_t)count,
                            x->now_ms, NULL);
    mlt_hostlist_free(nodes);
}

static int tell_all(struct explain *x, struct mlt_error *err)
{
    static const enum kube_resource resources[] = {KUBE_NODE, KUBE_PRIORITYCLASS,
                                                   KUBE_TRAININGQUEUE, KUBE_POD};
    const cJSON *job;
    int rc = list(x, KUBE_TRAININGJOB, &x->jobs, err);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(resources) && rc == 0; i++)
        rc = tell_list(x, resources[i], err);
    if (rc < 0)
        return rc;
    cJSON_ArrayForEach(job, json_member(x->jobs, "items"))
    {
        tell_job(x, job);
    }
    return ledger_plan(x->ledger, x->now_ms, err);
}

/* ---- words ---- */

static const cJSON *job_of(const struct explain *x, uint64_t id)
{
    const char *uid = ledger_job_uid(x->ledger, id);
    const cJSON *job;
    cJSON_ArrayForEach(job, json_member(x->jobs, "items"))
    {
        if (uid && strcmp(json_string(job, "metadata.uid", ""), uid) == 0)
            return job;
    }
    return NULL;
}

static const char *amount(uint32_t resource, int64_t value, char text[MLT_QUANTITY_TEXT_MAX])
{
    if (resource == GANG_CPU_MILLI)
        mlt_quantity_format_milli(value, text);
    else if (resource == GANG_MEMORY)
        mlt_quantity_format_bytes(value, text);
    else
        (void)snprintf(text, MLT_QUANTITY_TEXT_MAX, "%" PRId64, value);
    return text;
}

static void print_asked(const struct explain *x, const struct gang_why *why)
{
    char text[MLT_QUANTITY_TEXT_MAX];
    const char *between = "";
    printf("Asked:         %u pod%s", why->pods_asked,
           why->pods_asked == 1 ? " of " : "s, each of ");
    for (uint32_t i = 0; i < GANG_RESOURCES_MAX; i++) {
        const char *name = ledger_resource(x->ledger, i);
        if (!name || i == GANG_PODS || why->request[i] <= 0)
            continue;
        printf("%s%s %s", between, amount(i, why->request[i], text), name);
        between = ", ";
    }
    printf("\n");
}

static void print_free(const struct explain *x, const struct gang_why *why)
{
    char a[MLT_QUANTITY_TEXT_MAX], b[MLT_QUANTITY_TEXT_MAX], c[MLT_QUANTITY_TEXT_MAX];
    uint32_t r = why->resource;
    printf("Free:          %s of %s %s on the %u of %u nodes that it may use\n",
           amount(r, why->free, a), amount(r, why->total, b), ledger_resource(x->ledger, r),
           why->nodes_allowed, why->nodes);
    printf("Largest hole:  %s on one node; %" PRIu64 " such pod%s fit%s now\n",
           amount(r, why->largest, c), why->pods_fit, why->pods_fit == 1 ? "" : "s",
           why->pods_fit == 1 ? "s" : "");
}

static void print_end(const struct explain *x, const cJSON *job)
{
    int64_t start_ms = time_at(job, "status.startTime");
    int64_t limit = json_integer(job, "spec.activeDeadlineSeconds", 0);
    char text[DURATION_TEXT_MAX];
    int64_t left = (start_ms - x->now_ms) / 1000 + limit;
    if (!limit || !start_ms) {
        printf(limit ? ", for %" PRId64 " s from its start\n" : ", without a time limit\n", limit);
        return;
    }
    mlt_duration_for_people(left > 0 ? left : 0, text);
    printf(", for %s more at most\n", text);
}

static void print_holders(const struct explain *x, const struct gang_why *why)
{
    char text[MLT_QUANTITY_TEXT_MAX];
    for (uint32_t i = 0; i < why->holders_count && i < GANG_HOLDERS_MAX; i++) {
        const cJSON *job = job_of(x, why->holders[i].job);
        printf("%s%s by %s/%s", i ? "               " : "Held:          ",
               amount(why->resource, why->holders[i].amount, text),
               json_string(job, "metadata.namespace", "?"), json_string(job, "metadata.name", "?"));
        print_end(x, job);
    }
    if (why->holders_count > GANG_HOLDERS_MAX)
        printf("               and by %u more jobs\n", why->holders_count - GANG_HOLDERS_MAX);
    if (why->held_by_others > 0)
        printf("%s%s by pods that are no job's\n",
               why->holders_count ? "               " : "Held:          ",
               amount(why->resource, why->held_by_others, text));
}

static void print_help(const struct explain *x, const struct gang_why *why)
{
    char text[MLT_QUANTITY_TEXT_MAX];
    const char *resource = ledger_resource(x->ledger, why->resource);
    printf("Would help:    ");
    if (why->pods_fit > 0 && why->pods_fit < why->pods_asked)
        printf("%" PRIu64 " pod%s instead of %u would fit now; ", why->pods_fit,
               why->pods_fit == 1 ? "" : "s", why->pods_asked);
    if (why->pods_fit == 0 && why->largest > 0 && why->largest < why->asked)
        printf("pods of at most %s %s would fit now; ", amount(why->resource, why->largest, text),
               resource);
    if (why->nodes_unschedulable)
        printf("%u of its nodes can take no pods (cordoned, or not ready); ",
               why->nodes_unschedulable);
    printf("%s\n", why->kind == GANG_WHY_TOO_LARGE ? "more or larger nodes, or to ask for less"
                   : why->holders_count            ? "the end of jobs that hold it"
                                                   : "more room on its nodes");
}

static void print_why(const struct explain *x, const struct gang_why *why)
{
    if (why->kind == GANG_WHY_BEHIND) {
        const cJSON *job = job_of(x, why->blocked_by);
        printf("Behind:        %s/%s, which comes before it; what follows is about that one\n",
               json_string(job, "metadata.namespace", "?"), json_string(job, "metadata.name", "?"));
        why = why->blocker;
    }
    if (!why || why->kind == GANG_WHY_QUOTA || why->kind == GANG_WHY_QUEUE ||
        why->kind == GANG_WHY_RESERVED || why->kind == GANG_WHY_STOPPING)
        return; /* the sentence has all the numbers */
    print_asked(x, why);
    if (why->kind != GANG_WHY_TOO_LARGE) {
        print_free(x, why);
        print_holders(x, why);
    }
    print_help(x, why);
}

static int print_numbers(struct explain *x)
{
    struct mlt_error err = {0};
    struct ledger_decision d;
    const char *uid = json_string(x->job, "metadata.uid", "");
    if (tell_all(x, &err) < 0) {
        printf("Numbers:       not without a look at the whole cluster: %s\n", err.text);
        return CLI_OK;
    }
    while (ledger_decision_next(x->ledger, &d)) {
        if (strcmp(d.job_uid, uid) != 0 || d.pod != GANG_NO_POD)
            continue;
        if (d.kind == GANG_PLACE)
            printf("Now:           there is a place for it\n");
        else if (d.why)
            print_why(x, d.why);
    }
    return CLI_OK;
}

/* A terminal would obey control characters. */
static void print_clean(const char *text)
{
    for (; *text; text++)
        (void)putchar(iscntrl((unsigned char)*text) ? '?' : *text);
}

static void print_queue(const struct explain *x)
{
    struct trainingjob job cleanup_trainingjob = {0};
    int64_t position = json_integer(x->job, "status.queue.position", 0);
    printf("Queue:         ");
    print_clean(trainingjob_read(x->job, &job, NULL) == 0 ? trainingjob_queue(&job) : "?");
    printf(position ? ", position %" PRId64 "\n" : "\n", position);
}

static void print_head(const struct explain *x)
{
    char text[DURATION_TEXT_MAX];
    int64_t created_ms = time_at(x->job, "metadata.creationTimestamp");
    const cJSON *words = json_find(x->job, "status.queue.explanation");
    mlt_duration_for_people((x->now_ms - created_ms) / 1000, text);
    printf("Job:           %s/%s, created %s ago\n", json_string(x->job, "metadata.namespace", "?"),
           json_string(x->job, "metadata.name", "?"), text);
    print_queue(x);
    printf("Waits because: ");
    print_clean(cJSON_IsString(words) ? words->valuestring : "it has not been planned yet");
    printf("\n");
    if (json_string(x->job, "status.queue.estimatedStartTime", NULL))
        printf("Starts:        %s, by what is known now\n",
               json_string(x->job, "status.queue.estimatedStartTime", ""));
}

static int explain(struct cli *c, const char *name)
{
    static const char *const gpus[] = {"nvidia.com/gpu", "amd.com/gpu"};
    struct mlt_error err = {0};
    cleanup_free char *path = cli_job_path(c->namespace_, name, NULL, NULL);
    cJSON *job cleanup_json = NULL;
    if (cli_get(c, path, &job, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    const char *phase = json_string(job, "status.phase", "Queued");
    if (strcmp(phase, "Queued") != 0) {
        printf("%s does not wait: it is %s; `mltrain describe %s` tells more\n", name, phase, name);
        return CLI_OK;
    }
    struct explain x = {.cli = c, .job = job, .now_ms = cli_wall_ms()};
    x.ledger = ledger_new(&(struct ledger_config){.gpu_resources = gpus, .gpu_resources_count = 2});
    print_head(&x);
    int code = print_numbers(&x);
    ledger_free(x.ledger);
    cJSON_Delete(x.jobs);
    return code;
}

int cli_explain(int argc, char **argv)
{
    return job_command(argc, argv,
                       "Shows why a job waits, in full: what it asks for, what is free and the "
                       "largest hole, who holds the rest and for how long, and what would help.",
                       "The numbers need the right to list nodes, pods, jobs and queues of the "
                       "whole cluster. Topology is not looked at in them.",
                       explain);
}
