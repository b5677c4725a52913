/* Columns of built-in kinds: see columns.h. Source: pkg/printers/internalversion/printers.go. */
#include "localcluster/api/columns.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "localcluster/api/pod_summary.h"

char *api_age(const char *time, int64_t now_ms)
{
    int64_t ms;
    char text[MLT_TIME_TEXT_MAX];
    if (!time[0] || mlt_time_parse(time, &ms, NULL) < 0)
        return mlt_strdup("<unknown>");
    mlt_duration_for_people((now_ms - ms) / 1000, text);
    return mlt_strdup(text);
}

static cJSON *text_or(const cJSON *tree, const char *path, const char *fallback)
{
    const char *text = json_string(tree, path, "");
    return cJSON_CreateString(text[0] ? text : fallback);
}

static cJSON *age_of(const char *time, int64_t now_ms)
{
    cleanup_free char *text = api_age(time, now_ms);
    return cJSON_CreateString(text);
}

static cJSON *cell_name(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "metadata.name", "");
}

static cJSON *cell_age(const cJSON *tree, int64_t now_ms)
{
    return age_of(json_string(tree, "metadata.creationTimestamp", ""), now_ms);
}

/* ---- pods ---- */

static cJSON *cell_pod_ready(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    char text[48];
    struct api_pod_summary summary;
    api_pod_summarise(tree, &summary);
    (void)snprintf(text, sizeof text, "%d/%d", summary.ready, summary.total);
    return cJSON_CreateString(text);
}

static cJSON *cell_pod_status(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    struct api_pod_summary summary;
    api_pod_summarise(tree, &summary);
    return cJSON_CreateString(summary.reason);
}

static cJSON *cell_pod_restarts(const cJSON *tree, int64_t now_ms)
{
    struct api_pod_summary summary;
    api_pod_summarise(tree, &summary);
    if (!summary.restarts || !summary.last_restart[0]) {
        cleanup_free char *count = mlt_asprintf("%" PRId64, summary.restarts);
        return cJSON_CreateString(count);
    }
    cleanup_free char *age = api_age(summary.last_restart, now_ms);
    cleanup_free char *text = mlt_asprintf("%" PRId64 " (%s ago)", summary.restarts, age);
    return cJSON_CreateString(text);
}

static cJSON *cell_pod_ip(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "status.podIP", "<none>");
}

static cJSON *cell_pod_node(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "spec.nodeName", "<none>");
}

static cJSON *cell_pod_nominated(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "status.nominatedNodeName", "<none>");
}

static cJSON *cell_pod_gates(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    (void)tree;
    return cJSON_CreateString("<none>");
}

static const struct api_column pod_columns[] = {
    {"Name", "string", "name", 0, cell_name},
    {"Ready", "string", "", 0, cell_pod_ready},
    {"Status", "string", "", 0, cell_pod_status},
    {"Restarts", "string", "", 0, cell_pod_restarts},
    {"Age", "string", "", 0, cell_age},
    {"IP", "string", "", 1, cell_pod_ip},
    {"Node", "string", "", 1, cell_pod_node},
    {"Nominated Node", "string", "", 1, cell_pod_nominated},
    {"Readiness Gates", "string", "", 1, cell_pod_gates},
    {NULL, NULL, NULL, 0, NULL},
};

/* ---- nodes ---- */

static cJSON *cell_node_status(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    const char *status = "Unknown";
    const cJSON *condition;
    cJSON_ArrayForEach(condition, json_find(tree, "status.conditions"))
    {
        if (strcmp(json_string(condition, "type", ""), "Ready") == 0)
            status =
                strcmp(json_string(condition, "status", ""), "True") == 0 ? "Ready" : "NotReady";
    }
    cleanup_free char *text = mlt_asprintf(
        "%s%s", status, json_bool(tree, "spec.unschedulable", false) ? ",SchedulingDisabled" : "");
    return cJSON_CreateString(text);
}

static cJSON *cell_node_roles(const cJSON *tree, int64_t now_ms)
{
    static const char prefix[] = "node-role.kubernetes.io/";
    (void)now_ms;
    cleanup_text struct mlt_text roles = MLT_TEXT_INIT(1024);
    const cJSON *label;
    cJSON_ArrayForEach(label, json_find(tree, "metadata.labels"))
    {
        if (strncmp(label->string, prefix, sizeof prefix - 1) == 0)
            mlt_text_printf(&roles, "%s%s", roles.length ? "," : "",
                            label->string + sizeof prefix - 1);
    }
    return cJSON_CreateString(roles.length ? mlt_text_string(&roles) : "<none>");
}

static cJSON *cell_node_version(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "status.nodeInfo.kubeletVersion", "");
}

static cJSON *node_address(const cJSON *tree, const char *type)
{
    const cJSON *address;
    cJSON_ArrayForEach(address, json_find(tree, "status.addresses"))
    {
        if (strcmp(json_string(address, "type", ""), type) == 0)
            return text_or(address, "address", "<none>");
    }
    return cJSON_CreateString("<none>");
}

static cJSON *cell_node_internal(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return node_address(tree, "InternalIP");
}

static cJSON *cell_node_external(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return node_address(tree, "ExternalIP");
}

static cJSON *cell_node_os(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "status.nodeInfo.osImage", "<unknown>");
}

static cJSON *cell_node_kernel(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "status.nodeInfo.kernelVersion", "<unknown>");
}

static cJSON *cell_node_runtime(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "status.nodeInfo.containerRuntimeVersion", "<unknown>");
}

static const struct api_column node_columns[] = {
    {"Name", "string", "name", 0, cell_name},
    {"Status", "string", "", 0, cell_node_status},
    {"Roles", "string", "", 0, cell_node_roles},
    {"Age", "string", "", 0, cell_age},
    {"Version", "string", "", 0, cell_node_version},
    {"Internal-IP", "string", "", 1, cell_node_internal},
    {"External-IP", "string", "", 1, cell_node_external},
    {"OS-Image", "string", "", 1, cell_node_os},
    {"Kernel-Version", "string", "", 1, cell_node_kernel},
    {"Container-Runtime", "string", "", 1, cell_node_runtime},
    {NULL, NULL, NULL, 0, NULL},
};

/* ---- events: stored as core/v1, shown under either name ---- */

static const char *either(const cJSON *tree, const char *core, const char *view)
{
    const char *text = json_string(tree, core, "");
    return text[0] ? text : json_string(tree, view, "");
}

static cJSON *cell_event_last(const cJSON *tree, int64_t now_ms)
{
    const char *time = json_string(tree, "series.lastObservedTime", "");
    if (!time[0])
        time = either(tree, "lastTimestamp", "deprecatedLastTimestamp");
    if (!time[0])
        time = json_string(tree, "eventTime", "");
    if (!time[0])
        time = either(tree, "firstTimestamp", "deprecatedFirstTimestamp");
    return age_of(time, now_ms);
}

static cJSON *cell_event_type(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "type", "");
}

static cJSON *cell_event_reason(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "reason", "");
}

static cJSON *cell_event_object(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    cleanup_free char *kind = mlt_strdup(either(tree, "involvedObject.kind", "regarding.kind"));
    for (char *p = kind; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
    cleanup_free char *text =
        mlt_asprintf("%s/%s", kind, either(tree, "involvedObject.name", "regarding.name"));
    return cJSON_CreateString(text);
}

static cJSON *cell_event_message(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    const char *text = either(tree, "message", "note");
    cleanup_free char *trimmed = mlt_strdup(text);
    for (size_t n = strlen(trimmed); n && strchr(" \n\t", trimmed[n - 1]); n--)
        trimmed[n - 1] = '\0';
    return cJSON_CreateString(trimmed);
}

static cJSON *cell_event_count(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    int64_t count = json_integer(tree, "series.count", 0);
    if (!count)
        count = json_integer(tree, "count", json_integer(tree, "deprecatedCount", 1));
    return json_new_integer(count);
}

static const struct api_column event_columns[] = {
    {"Last Seen", "string", "", 0, cell_event_last},
    {"Type", "string", "", 0, cell_event_type},
    {"Reason", "string", "", 0, cell_event_reason},
    {"Object", "string", "", 0, cell_event_object},
    {"Message", "string", "", 0, cell_event_message},
    {"Count", "integer", "", 1, cell_event_count},
    {"Name", "string", "name", 1, cell_name},
    {NULL, NULL, NULL, 0, NULL},
};

/* ---- smaller ones ---- */

static cJSON *cell_phase(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "status.phase", "");
}

static cJSON *cell_secret_type(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "type", "");
}

static cJSON *cell_data_count(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return json_new_integer((int64_t)(json_size(tree, "data") + json_size(tree, "binaryData")));
}

static cJSON *cell_holder(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "spec.holderIdentity", "");
}

static cJSON *cell_value(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return json_new_integer(json_integer(tree, "value", 0));
}

static cJSON *cell_global_default(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return cJSON_CreateBool(json_bool(tree, "globalDefault", false));
}

static cJSON *cell_created_at(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "metadata.creationTimestamp", "");
}

static cJSON *cell_service_type(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "spec.type", "");
}

static cJSON *cell_service_ip(const cJSON *tree, int64_t now_ms)
{
    (void)now_ms;
    return text_or(tree, "spec.clusterIP", "<none>");
}

static const struct api_column namespace_columns[] = {{"Name", "string", "name", 0, cell_name},
                                                      {"Status", "string", "", 0, cell_phase},
                                                      {"Age", "string", "", 0, cell_age},
                                                      {NULL, NULL, NULL, 0, NULL}};
static const struct api_column secret_columns[] = {{"Name", "string", "name", 0, cell_name},
                                                   {"Type", "string", "", 0, cell_secret_type},
                                                   {"Data", "string", "", 0, cell_data_count},
                                                   {"Age", "string", "", 0, cell_age},
                                                   {NULL, NULL, NULL, 0, NULL}};
static const struct api_column configmap_columns[] = {{"Name", "string", "name", 0, cell_name},
                                                      {"Data", "string", "", 0, cell_data_count},
                                                      {"Age", "string", "", 0, cell_age},
                                                      {NULL, NULL, NULL, 0, NULL}};
static const struct api_column lease_columns[] = {{"Name", "string", "name", 0, cell_name},
                                                  {"Holder", "string", "", 0, cell_holder},
                                                  {"Age", "string", "", 0, cell_age},
                                                  {NULL, NULL, NULL, 0, NULL}};
static const struct api_column priorityclass_columns[] = {
    {"Name", "string", "name", 0, cell_name},
    {"Value", "integer", "", 0, cell_value},
    {"Global-Default", "boolean", "", 0, cell_global_default},
    {"Age", "string", "", 0, cell_age},
    {NULL, NULL, NULL, 0, NULL}};
static const struct api_column crd_columns[] = {{"Name", "string", "name", 0, cell_name},
                                                {"Created At", "string", "", 0, cell_created_at},
                                                {NULL, NULL, NULL, 0, NULL}};
static const struct api_column service_columns[] = {
    {"Name", "string", "name", 0, cell_name},
    {"Type", "string", "", 0, cell_service_type},
    {"Cluster-IP", "string", "", 0, cell_service_ip},
    {"Age", "string", "", 0, cell_age},
    {NULL, NULL, NULL, 0, NULL}};
static const struct api_column plain_columns[] = {{"Name", "string", "name", 0, cell_name},
                                                  {"Age", "string", "", 0, cell_age},
                                                  {NULL, NULL, NULL, 0, NULL}};

const struct api_column *api_columns_of(const struct api_resource *r)
{
    static const struct {
        const char *bucket;
        const struct api_column *columns;
    } kinds[] = {{"pods", pod_columns},
                 {"nodes", node_columns},
                 {"events", event_columns},
                 {"namespaces", namespace_columns},
                 {"secrets", secret_columns},
                 {"configmaps", configmap_columns},
                 {"leases", lease_columns},
                 {"priorityclasses", priorityclass_columns},
                 {"customresourcedefinitions", crd_columns},
                 {"services", service_columns}};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(kinds) && !api_resource_is(r, API_CUSTOM); i++)
        if (strcmp(r->bucket->name, kinds[i].bucket) == 0)
            return kinds[i].columns;
    return plain_columns;
}
