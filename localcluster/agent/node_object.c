/* Builds what the agent writes about its node. */
#include "localcluster/agent/node_object.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/clock_text.h"
#include "lib/base/number.h"
#include "lib/json/json.h"
#include "localcluster/agent/internal.h"

#if defined(__x86_64__)
#define ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#else
#define ARCHITECTURE "unknown"
#endif

static void set_labels(cJSON *object, const struct node_facts *f)
{
    json_set_string(object, "metadata.labels[kubernetes.io/hostname]", f->name);
    json_set_string(object, "metadata.labels[kubernetes.io/os]", "linux");
    json_set_string(object, "metadata.labels[kubernetes.io/arch]", ARCHITECTURE);
    json_set_string(object, "metadata.labels[mltrain.io/one-machine]", "true");
    if (f->rack)
        json_set_string(object, "metadata.labels[" NODE_RACK_LABEL "]", f->rack);
    if (f->gpu_model[0] == '\0')
        return;
    char label[64]; /* a label value: letters, digits, - _ . */
    (void)snprintf(label, sizeof label, "%.60s", f->gpu_model);
    for (char *c = label; *c; c++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *c))
            *c = '-';
    }
    json_set_string(object, "metadata.labels[nvidia.com/gpu.product]", label);
}

cJSON *node_object(const struct node_facts *f)
{
    cJSON *object = cJSON_CreateObject();
    json_set_string(object, "apiVersion", "v1");
    json_set_string(object, "kind", "Node");
    json_set_string(object, "metadata.name", f->name);
    set_labels(object, f);
    (void)json_set_object(object, "spec");
    return object;
}

cJSON *node_labels_patch(const struct node_facts *f)
{
    cJSON *object = cJSON_CreateObject();
    set_labels(object, f);
    return object;
}

static void set_resources(cJSON *status, const char *name, const struct node_resources *r)
{
    cJSON *object = json_set_object(status, name);
    char text[MLT_QUANTITY_TEXT_MAX];
    mlt_quantity_format_milli(r->cpu_milli, text);
    json_set_string(object, "cpu", text);
    mlt_quantity_format_bytes(r->memory, text);
    json_set_string(object, "memory", text);
    (void)snprintf(text, sizeof text, "%" PRId64, r->pods);
    json_set_string(object, "pods", text);
    (void)snprintf(text, sizeof text, "%" PRId64, r->gpus);
    if (r->gpus > 0)
        json_set_string(object, "[" NODE_GPU_RESOURCE "]", text);
}

static void add_condition(cJSON *list, const char *type, bool is_true, const char *reason,
                          const char *message, const char *since, const char *now)
{
    cJSON *c = cJSON_CreateObject();
    json_set_string(c, "type", type);
    json_set_string(c, "status", is_true ? "True" : "False");
    json_set_string(c, "lastHeartbeatTime", now);
    json_set_string(c, "lastTransitionTime", since);
    json_set_string(c, "reason", reason);
    json_set_string(c, "message", message);
    json_append(list, c);
}

static void add_address(cJSON *list, const char *type, const char *address)
{
    cJSON *a = cJSON_CreateObject();
    json_set_string(a, "type", type);
    json_set_string(a, "address", address);
    json_append(list, a);
}

static void set_info(cJSON *status, const struct node_facts *f)
{
    cJSON *info = json_set_object(status, "nodeInfo");
    json_set_string(info, "machineID", f->machine_id);
    json_set_string(info, "systemUUID", f->machine_id);
    json_set_string(info, "bootID", f->boot_id);
    json_set_string(info, "kernelVersion", f->kernel);
    json_set_string(info, "osImage", f->os_image);
    json_set_string(info, "containerRuntimeVersion", "mltrain://" MLTRAIN_VERSION);
    json_set_string(info, "kubeletVersion", "v1.34.0-mltrain-" MLTRAIN_VERSION);
    json_set_string(info, "kubeProxyVersion", "");
    json_set_string(info, "operatingSystem", "linux");
    json_set_string(info, "architecture", ARCHITECTURE);
}

cJSON *node_status_patch(const struct node_facts *f, const char *ready_since, int64_t wall_ms)
{
    char now[MLT_TIME_TEXT_MAX];
    cJSON *patch = cJSON_CreateObject(), *status = json_set_object(patch, "status");
    mlt_time_format(wall_ms, now);
    set_resources(status, "capacity", &f->capacity);
    set_resources(status, "allocatable", &f->capacity);
    cJSON *conditions = json_set_array(status, "conditions");
    add_condition(conditions, "MemoryPressure", false, "AgentHasSufficientMemory",
                  "the agent does not watch memory pressure", ready_since, now);
    add_condition(conditions, "DiskPressure", false, "AgentHasNoDiskPressure",
                  "the agent does not watch disk pressure", ready_since, now);
    add_condition(conditions, "PIDPressure", false, "AgentHasSufficientPID",
                  "the agent does not watch process ids", ready_since, now);
    add_condition(conditions, "Ready", true, "AgentReady", "the node agent runs pods", ready_since,
                  now);
    cJSON *addresses = json_set_array(status, "addresses");
    add_address(addresses, "InternalIP", AGENT_HOST_IP);
    add_address(addresses, "Hostname", f->name);
    set_info(status, f);
    return patch;
}

cJSON *node_lease(const char *node, int64_t seconds, int64_t wall_us)
{
    char now[MLT_TIME_TEXT_MAX];
    cJSON *lease = cJSON_CreateObject();
    mlt_time_format_micro(wall_us, now);
    json_set_string(lease, "apiVersion", "coordination.k8s.io/v1");
    json_set_string(lease, "kind", "Lease");
    json_set_string(lease, "metadata.name", node);
    json_set_string(lease, "spec.holderIdentity", node);
    json_set_integer(lease, "spec.leaseDurationSeconds", seconds);
    json_set_string(lease, "spec.renewTime", now);
    return lease;
}
