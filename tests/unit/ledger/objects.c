/* Kubernetes objects in few words: see objects.h. */
#include "tests/unit/ledger/objects.h"

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

static char text[4096], reason[GANG_REASON_MAX];
static enum gang_cause cause;

struct ledger *objects_ledger(void)
{
    static const char *const gpus[] = {"nvidia.com/gpu", "amd.com/gpu"};
    return ledger_new(&(struct ledger_config){.gpu_resources = gpus, .gpu_resources_count = 2});
}

struct ledger *objects_ledger_that_preempts(uint32_t reservations, int64_t min_run_ms)
{
    return objects_ledger_with_patience(reservations, min_run_ms, 0, 0);
}

struct ledger *objects_ledger_with_patience(uint32_t reservations, int64_t min_run_ms,
                                            int64_t patience_ms, int64_t time_slice_ms)
{
    static const char *const gpus[] = {"nvidia.com/gpu"};
    static const struct ledger_topology_level levels[] = {{"zone", "zone"},
                                                          {"rack", "example.com/rack"}};
    return ledger_new(&(struct ledger_config){.gpu_resources = gpus,
                                              .gpu_resources_count = 1,
                                              .levels = levels,
                                              .levels_count = 2,
                                              .may_preempt = true,
                                              .min_run_ms = min_run_ms,
                                              .patience_ms = patience_ms,
                                              .time_slice_ms = time_slice_ms,
                                              .reservations = reservations});
}

void objects_priority(struct ledger *l, const char *name, int value, const char *policy)
{
    cleanup_json cJSON *class_ = objects_yaml(
        "metadata: {name: %s}\nvalue: %d\npreemptionPolicy: %s\n", name, value, policy);
    ledger_priority_class(l, class_);
}

struct ledger *objects_ledger_with_levels(void)
{
    static const char *const gpus[] = {"nvidia.com/gpu"};
    static const struct ledger_topology_level levels[] = {{"zone", "zone"},
                                                          {"rack", "example.com/rack"}};
    return ledger_new(&(struct ledger_config){
        .gpu_resources = gpus, .gpu_resources_count = 1, .levels = levels, .levels_count = 2});
}

cJSON *objects_yaml(const char *format, ...)
{
    char yaml[8192];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(yaml, sizeof yaml, format, args);
    va_end(args);
    assert_in_range(length, 1, sizeof yaml - 1);
    cJSON *documents = NULL;
    struct mlt_error err = {0};
    if (json_parse_yaml(yaml, (size_t)length, &documents, &err) < 0)
        fail_msg("%s in\n%s", err.text, yaml);
    cJSON *object = cJSON_DetachItemFromArray(documents, 0);
    cJSON_Delete(documents);
    return object;
}

static void check(struct ledger *l)
{
    struct mlt_error err = {0};
    if (ledger_check(l, &err) < 0)
        fail_msg("%s", err.text);
}

void objects_node(struct ledger *l, const char *name, int gpus, const char *labels,
                  const char *spec)
{
    cleanup_json cJSON *node =
        objects_yaml("metadata: {name: %s, labels: {%s}}\n"
                     "spec: {%s}\n"
                     "status:\n"
                     "  allocatable: {cpu: '16', memory: 64Gi, pods: '110', nvidia.com/gpu: '%d'}\n"
                     "  conditions: [{type: Ready, status: 'True'}]\n",
                     name, labels ? labels : "", spec ? spec : "", gpus);
    ledger_node(l, node, 0);
}

void objects_pod(struct ledger *l, const char *name, const char *node, const char *phase,
                 const char *labels, const char *containers)
{
    cleanup_json cJSON *pod =
        objects_yaml("metadata: {name: %s, namespace: ns, uid: %s, labels: {%s}}\n"
                     "spec: {nodeName: '%s', containers: [%s]}\n"
                     "status: {phase: %s}\n",
                     name, name, labels, node, containers, phase);
    const char *job = json_string(pod, "metadata.labels[mltrain.io/job-uid]", "");
    ledger_pod(l, pod, job, 0);
}

void objects_member(struct ledger *l, const char *job, int index, const char *node,
                    const char *phase, int gpus, const char *suffix)
{
    char name[64], labels[256], containers[128];
    (void)snprintf(name, sizeof name, "%s-%d%s", job, index, suffix);
    (void)snprintf(labels, sizeof labels,
                   "mltrain.io/job-uid: %s, mltrain.io/role: worker, mltrain.io/index: '%d'", job,
                   index);
    (void)snprintf(containers, sizeof containers,
                   "{name: trainer, resources: {limits: {nvidia.com/gpu: '%d'}}}", gpus);
    objects_pod(l, name, node, phase, labels, containers);
}

void objects_pod_gone(struct ledger *l, const char *name)
{
    ledger_pod_gone(l, "ns", name, name, 0);
}

struct trainingjob objects_job(const char *name, int pods, int gpus, int sequence,
                               const char *template_spec)
{
    cleanup_json cJSON *object = objects_yaml("apiVersion: mltrain.io/v1alpha1\nkind: TrainingJob\n"
                                              "metadata: {name: %s, namespace: ns, uid: %s, "
                                              "creationTimestamp: '2026-11-24T10:%02d:%02dZ'}\n"
                                              "spec: {workers: {replicas: %d, template: {spec: {%s "
                                              "containers: [{name: trainer, command: [a],"
                                              " resources: {limits: {nvidia.com/gpu: %d}}}]}}}}\n",
                                              name, name, sequence / 60, sequence % 60, pods,
                                              template_spec ? template_spec : "", gpus);
    struct trainingjob job;
    struct mlt_error err = {0};
    if (trainingjob_read(object, &job, &err) < 0)
        fail_msg("%s", err.text);
    return job;
}

void objects_waits(struct ledger *l, const char *name, int pods, int gpus, int sequence,
                   const char *template_spec)
{
    cleanup_trainingjob struct trainingjob job =
        objects_job(name, pods, gpus, sequence, template_spec);
    struct mlt_error err = {0};
    if (ledger_job_waits(l, &job, NULL, 0, &err) < 0)
        fail_msg("%s", err.text);
}

/* `nodes`: names with a space after each; "-" for none. */
void objects_holds(struct ledger *l, const char *name, int pods, int gpus, int sequence,
                   const char *nodes)
{
    cleanup_trainingjob struct trainingjob job = objects_job(name, pods, gpus, sequence, NULL);
    const char *names[64] = {0};
    char copy[1024], *rest = copy;
    uint32_t count = 0;
    (void)snprintf(copy, sizeof copy, "%s", nodes);
    for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
        if (word[0])
            names[count++] = strcmp(word, "-") == 0 ? NULL : word;
    struct mlt_error err = {0};
    if (ledger_job_holds(l, &job, NULL, names, count, 0, &err) < 0)
        fail_msg("%s", err.text);
}

void objects_plan(struct ledger *l, int64_t now_ms)
{
    struct mlt_error err = {0};
    if (ledger_plan(l, now_ms, &err) < 0)
        fail_msg("%s", err.text);
    check(l);
    assert_false(ledger_needs_plan(l));
}

const char *objects_next(struct ledger *l)
{
    static const char *const kinds[] = {"place", "replace", "preempt", "wait", "never"};
    struct ledger_decision d;
    text[0] = reason[0] = '\0';
    if (!ledger_decision_next(l, &d))
        return text;
    size_t length = (size_t)snprintf(text, sizeof text, "%s %s", kinds[d.kind], d.job_uid);
    if (d.pod != GANG_NO_POD)
        length += (size_t)snprintf(text + length, sizeof text - length, ".%u", d.pod);
    if (d.position)
        length += (size_t)snprintf(text + length, sizeof text - length, " at %u", d.position);
    for (uint32_t i = 0; i < d.nodes_count; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s", i ? " " : ": ",
                                   d.nodes[i]);
    if (d.for_uid)
        length += (size_t)snprintf(text + length, sizeof text - length, " for %s", d.for_uid);
    if (d.kind == GANG_PREEMPT)
        cause = d.cause;
    if (d.revocable)
        (void)snprintf(text + length, sizeof text - length, " revocable");
    if (d.reason)
        (void)snprintf(reason, sizeof reason, "%s", d.reason);
    return text;
}

const char *objects_reason(void)
{
    return reason;
}

enum gang_cause objects_cause(void)
{
    return cause;
}
