/* mltrain explain: why a job waits, in full. The sentence is the controller's; the numbers come
 * from the cluster's objects by the controller's own ledger, where the user may list them. Who may
 * not is told so, and what the job's own status says. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cell_text.h"
#include "cli/cli.h"
#include "cli/job_command.h"
#include "ledger/ledger.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/hostlist.h"
#include "lib/base/number.h"
#include "lib/json/json.h"

#define DURATION_TEXT_MAX 64
#define INDENT "               "

struct explain {
    struct cli *cli;
    const cJSON *job;
    struct trainingjob tj; /* the same; all zero when it cannot be read */
    struct ledger *ledger; /* NULL: not all was seen */
    cJSON *jobs;           /* of all namespaces */
    int64_t now_ms;
    struct ledger_topology_level levels[GANG_LEVELS_MAX]; /* point into level_text */
    uint32_t levels_count;
    char *level_text;
    cJSON *hidden; /* names of what the user may not list */
};

/* ---- topology levels ---- */

/* NAME=LABEL,... */
static void take_levels(struct explain *x, const char *text)
{
    char *rest = x->level_text = mlt_strdup(text), *one;
    while (x->levels_count < GANG_LEVELS_MAX && (one = strsep(&rest, ","))) {
        char *label = strchr(one, '=');
        if (!label)
            continue;
        *label++ = '\0';
        x->levels[x->levels_count++] = (struct ledger_topology_level){.name = one, .label = label};
    }
}

/* Only the controller knows them. It tells them in the status of jobs that wait and ask for one, so
 * that they are known where a plan depends on them. */
static void find_levels(struct explain *x)
{
    static const char path[] = "status.queue.topologyLevels";
    const char *text = json_string(x->job, path, NULL);
    const cJSON *job = json_member(x->jobs, "items");
    for (job = job ? job->child : NULL; job && !text; job = job->next)
        text = json_string(job, path, NULL);
    if (text)
        take_levels(x, text);
}

static bool is_known_level(const struct explain *x, const char *wanted)
{
    for (uint32_t i = 0; wanted && i < x->levels_count; i++)
        if (strcmp(wanted, x->levels[i].name) == 0 || strcmp(wanted, x->levels[i].label) == 0)
            return true;
    return !wanted;
}

/* ---- the cluster's objects ---- */

static int list(struct explain *x, enum kube_resource resource, cJSON **ret, struct mlt_error *err)
{
    struct mlt_text path cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX);
    kube_path(&path, resource, NULL, NULL, NULL, NULL);
    return cli_get(x->cli, mlt_text_string(&path), ret, err);
}

static void tell_object(struct explain *x, enum kube_resource resource, const cJSON *item)
{
    if (resource == KUBE_NODE)
        ledger_node(x->ledger, item, x->now_ms);
    else if (resource == KUBE_POD)
        ledger_pod(x->ledger, item, json_string(item, "metadata.labels[mltrain.io/job-uid]", NULL),
                   x->now_ms);
    else if (resource == KUBE_PRIORITYCLASS)
        ledger_priority_class(x->ledger, item);
    else
        ledger_queue(x->ledger, item);
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
    struct trainingjob_scheduling *s = &job.spec.scheduling;
    if (!is_known_level(x, s->topology_required))
        s->topology_required = NULL;
    if (!is_known_level(x, s->topology_preferred))
        s->topology_preferred = NULL;
    if (!placement) {
        (void)!ledger_job_waits(x->ledger, &job, NULL, x->now_ms, NULL);
        return;
    }
    if (mlt_hostlist_expand(placement, TRAININGJOB_REPLICAS_MAX, &nodes, &count, NULL) < 0)
        return;
    (void)!ledger_job_holds(x->ledger, &job, NULL, (const char *const *)nodes, (uint32_t)count,
                            x->now_ms, NULL);
    int64_t start_ms = cell_time(object, "status.startTime");
    ledger_job_started(x->ledger, job.metadata.uid, start_ms > 0 ? start_ms : x->now_ms);
    if (json_bool(object, "status.preemption.revocable", false))
        ledger_job_revocable(x->ledger, job.metadata.uid);
    mlt_hostlist_free(nodes);
}

/* What a plan depends on, jobs first. */
static const struct {
    enum kube_resource resource;
    const char *name;
} seen[] = {{KUBE_TRAININGJOB, "trainingjobs"},
            {KUBE_TRAININGQUEUE, "trainingqueues"},
            {KUBE_NODE, "nodes"},
            {KUBE_PRIORITYCLASS, "priorityclasses"},
            {KUBE_POD, "pods"}};

/* Lists all of it, so that whoever lacks a right learns of all that he lacks. */
static int list_all(struct explain *x, cJSON *lists[MLT_ARRAY_LENGTH(seen)], struct mlt_error *err)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(seen); i++) {
        int rc = list(x, seen[i].resource, &lists[i], err);
        if (rc == -EACCES)
            json_append_string(x->hidden, seen[i].name);
        else if (rc < 0)
            return rc;
    }
    return 0;
}

/* The controller's options are not known; what it says of other jobs is. */
static bool starts_are_reserved(const struct explain *x)
{
    const cJSON *job;
    cJSON_ArrayForEach(job, json_member(x->jobs, "items"))
    {
        if (json_string(job, "status.queue.estimatedStartTime", NULL))
            return true;
    }
    return false;
}

static int plan(struct explain *x, cJSON *const lists[MLT_ARRAY_LENGTH(seen)],
                struct mlt_error *err)
{
    static const char *const gpus[] = {"nvidia.com/gpu", "amd.com/gpu"};
    const cJSON *item;
    x->ledger = ledger_new(&(struct ledger_config){.gpu_resources = gpus,
                                                   .gpu_resources_count = 2,
                                                   .levels = x->levels,
                                                   .levels_count = x->levels_count,
                                                   .reservations = starts_are_reserved(x)});
    for (size_t i = 1; i < MLT_ARRAY_LENGTH(seen); i++)
        cJSON_ArrayForEach(item, json_member(lists[i], "items"))
        {
            tell_object(x, seen[i].resource, item);
        }
    cJSON_ArrayForEach(item, json_member(x->jobs, "items"))
    {
        tell_job(x, item);
    }
    return ledger_plan(x->ledger, x->now_ms, err);
}

/* x->ledger is planned with afterwards, unless something is hidden. */
static int see_all(struct explain *x, struct mlt_error *err)
{
    cJSON *lists[MLT_ARRAY_LENGTH(seen)] = {0};
    int rc = list_all(x, lists, err);
    x->jobs = steal_ptr(&lists[0]);
    find_levels(x);
    if (rc == 0 && cJSON_GetArraySize(x->hidden) == 0)
        rc = plan(x, lists, err);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(seen); i++)
        cJSON_Delete(lists[i]);
    return rc;
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
    int64_t start_ms = cell_time(job, "status.startTime");
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

static void print_roomiest(const struct explain *x, const struct gang_why *why)
{
    const char *name = ledger_topology_name(x->ledger, why->level, why->largest_domain);
    if (why->level == GANG_NO_LEVEL || why->level > x->levels_count)
        return;
    printf("In one %s:%*s", x->levels[why->level - 1].name,
           (int)(strlen(x->levels[why->level - 1].name) < 7
                     ? 7 - strlen(x->levels[why->level - 1].name)
                     : 1),
           "");
    if (name)
        printf("%s has the most room, for %" PRIu64 " such pod%s now\n", name,
               why->largest_domain_pods, why->largest_domain_pods == 1 ? "" : "s");
    else
        printf("no such pod fits now\n");
}

/* So many pods would fit where they have to be together. */
static uint64_t would_fit(const struct gang_why *why)
{
    return why->kind == GANG_WHY_TOPOLOGY ? why->largest_domain_pods : why->pods_fit;
}

static void print_help(const struct explain *x, const struct gang_why *why)
{
    uint64_t fit = would_fit(why);
    char text[MLT_QUANTITY_TEXT_MAX];
    const char *resource = ledger_resource(x->ledger, why->resource);
    printf("Would help:    ");
    if (fit > 0 && fit < why->pods_asked)
        printf("%" PRIu64 " pod%s instead of %u would fit now; ", fit, fit == 1 ? "" : "s",
               why->pods_asked);
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

/* There is room, but not for so long. */
static void print_reserved(const struct explain *x, const struct gang_why *why)
{
    const cJSON *job = job_of(x, why->blocked_by);
    int64_t starts_ms = cell_time(job, "status.queue.estimatedStartTime");
    int64_t grace_s = x->tj.spec.checkpoint.grace_period_seconds + LEDGER_LEAVING_MS / 1000;
    char text[DURATION_TEXT_MAX];
    if (starts_ms <= 0)
        starts_ms = why->reserved_start_ms;
    int64_t left_s = (starts_ms - x->now_ms) / 1000;
    mlt_duration_for_people(left_s > 0 ? left_s : 0, text);
    printf("Behind:        %s/%s, which is to start there in %s, by what is known now\n",
           json_string(job, "metadata.namespace", "?"), json_string(job, "metadata.name", "?"),
           text);
    if (left_s > grace_s)
        printf("Would help:    an activeDeadlineSeconds of at most %" PRId64
               ": then it would have ended by then\n",
               left_s - grace_s);
}

static void print_why(const struct explain *x, const struct gang_why *why)
{
    if (why->kind == GANG_WHY_BEHIND) {
        const cJSON *job = job_of(x, why->blocked_by);
        printf("Behind:        %s/%s, which comes before it; what follows is about that one\n",
               json_string(job, "metadata.namespace", "?"), json_string(job, "metadata.name", "?"));
        why = why->blocker;
    }
    if (why && why->kind == GANG_WHY_RESERVED)
        print_reserved(x, why);
    if (!why || why->kind == GANG_WHY_QUOTA || why->kind == GANG_WHY_QUEUE ||
        why->kind == GANG_WHY_RESERVED || why->kind == GANG_WHY_STOPPING)
        return; /* the sentence has all the numbers */
    print_asked(x, why);
    if (why->kind != GANG_WHY_TOO_LARGE) {
        print_free(x, why);
        if (why->kind == GANG_WHY_TOPOLOGY)
            print_roomiest(x, why);
        print_holders(x, why);
    }
    print_help(x, why);
}

/* A terminal would obey control characters. */
static void print_clean(const char *text)
{
    for (; *text; text++)
        (void)putchar(iscntrl((unsigned char)*text) ? '?' : *text);
}

/* Without the rest of the cluster. */
static void print_what_is_hidden(const struct explain *x)
{
    const cJSON *name;
    int64_t gpus = trainingjob_gpus_per_pod(&x->tj), pods = x->tj.spec.workers.replicas;
    const char *between = "";
    printf("Asked:         %" PRId64 " pod%s", pods, pods == 1 ? "" : "s");
    if (gpus)
        printf(pods == 1 ? " of %" PRId64 " GPU%s" : ", each of %" PRId64 " GPU%s", gpus,
               gpus == 1 ? "" : "s");
    printf("\nNot seen:      ");
    cJSON_ArrayForEach(name, x->hidden)
    {
        printf("%s%s", between, name->valuestring);
        between = ", ";
    }
    printf(" of the whole cluster, which you may not list\n" INDENT
           "(kubectl auth can-i list nodes). What is free, who holds the rest and what\n" INDENT
           "would help is left out; all of the above is the controller's own account.\n");
}

static void print_decision(struct explain *x)
{
    struct ledger_decision d;
    const char *uid = json_string(x->job, "metadata.uid", "");
    while (ledger_decision_next(x->ledger, &d)) {
        if (strcmp(d.job_uid, uid) != 0 || d.pod != GANG_NO_POD)
            continue;
        if (d.kind == GANG_PLACE)
            printf("Now:           there is a place for it\n");
        else if (d.why)
            print_why(x, d.why);
    }
}

static void print_topology(const struct explain *x)
{
    const struct trainingjob_scheduling *s = &x->tj.spec.scheduling;
    const char *level = s->topology_required ? s->topology_required : s->topology_preferred;
    if (!level)
        return;
    printf("Topology:      all pods in one ");
    print_clean(level);
    printf("%s\n", s->topology_required ? "" : ", if there is room in one");
    if (!is_known_level(x, level))
        printf(INDENT "(not looked at below: the job's status does not tell the levels)\n");
}

static void print_numbers(struct explain *x)
{
    struct mlt_error err = {0};
    int rc = see_all(x, &err);
    print_topology(x);
    if (rc < 0)
        printf("Numbers:       not without a look at the whole cluster: %s\n", err.text);
    else if (!x->ledger)
        print_what_is_hidden(x);
    else
        print_decision(x);
}

static void print_queue(const struct explain *x)
{
    int64_t position = json_integer(x->job, "status.queue.position", 0);
    printf("Queue:         ");
    print_clean(x->tj.object ? trainingjob_queue(&x->tj) : "?");
    printf(position ? ", position %" PRId64 "\n" : "\n", position);
}

/* It had a place, or its pods have been refused. */
static void print_last_try(const struct explain *x)
{
    const cJSON *condition;
    cJSON_ArrayForEach(condition, json_find(x->job, "status.conditions"))
    {
        const char *message = json_string(condition, "message", "");
        if (strcmp(json_string(condition, "type", ""), "Admitted") != 0 || !*message ||
            strcmp(json_string(condition, "status", ""), "False") != 0)
            continue;
        printf("Last try:      ");
        print_clean(json_string(condition, "reason", ""));
        printf(": ");
        print_clean(message);
        printf("\n");
    }
}

static void print_head(const struct explain *x)
{
    char text[DURATION_TEXT_MAX];
    int64_t created_ms = cell_time(x->job, "metadata.creationTimestamp");
    const cJSON *words = json_find(x->job, "status.queue.explanation");
    mlt_duration_for_people((x->now_ms - created_ms) / 1000, text);
    printf("Job:           %s/%s, created %s ago\n", json_string(x->job, "metadata.namespace", "?"),
           json_string(x->job, "metadata.name", "?"), text);
    print_queue(x);
    printf("Waits because: ");
    print_clean(cJSON_IsString(words) ? words->valuestring : "it has not been planned yet");
    printf("\n");
    print_last_try(x);
    if (json_string(x->job, "status.queue.estimatedStartTime", NULL))
        printf("Starts:        %s, by what is known now\n",
               json_string(x->job, "status.queue.estimatedStartTime", ""));
}

static int explain(struct cli *c, const char *name)
{
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
    struct explain x = {
        .cli = c, .job = job, .now_ms = cli_wall_ms(), .hidden = cJSON_CreateArray()};
    if (trainingjob_read(job, &x.tj, NULL) < 0)
        x.tj = (struct trainingjob){0};
    print_head(&x);
    print_numbers(&x);
    ledger_free(x.ledger);
    cJSON_Delete(x.jobs);
    cJSON_Delete(x.hidden);
    free(x.level_text);
    trainingjob_release(&x.tj);
    return CLI_OK;
}

int cli_explain(int argc, char **argv)
{
    return job_command(argc, argv,
                       "Shows why a job waits, in full: what it asks for, what is free and the "
                       "largest hole, who holds the rest and for how long, and what would help.",
                       "The numbers need the right to list nodes, pods, priority classes, jobs and "
                       "queues of the whole cluster. Without it the controller's words are shown.",
                       explain);
}
