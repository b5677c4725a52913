/* Defaults and light checks of built-in kinds other than pods. See resources.h. */
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/kube/base64.h"
#include "localcluster/api/answer.h"
#include "localcluster/api/metadata.h"

#define SECRET_DATA_MAX (1024u * 1024) /* bytes of all values, as in Kubernetes */
#define PRIORITY_USER_MAX 1000000000   /* highest value of a class that users make */

static void default_string(cJSON *object, const char *path, const char *value)
{
    if (!json_find(object, path))
        json_set_string(object, path, value);
}

/* ---- namespaces ---- */

static void namespace_defaults(struct api_server *s, cJSON *object)
{
    (void)s;
    json_set_string(object, "metadata.labels[kubernetes.io/metadata.name]",
                    json_string(object, "metadata.name", ""));
    if (!json_find(object, "spec.finalizers"))
        json_append_string(json_set_array(object, "spec.finalizers"), "kubernetes");
    default_string(object, "status.phase", "Active");
}

const struct api_kind_hooks api_namespace_hooks = {.set_defaults = namespace_defaults};

/* ---- nodes ---- */

static void node_defaults(struct api_server *s, cJSON *object)
{
    (void)s;
    (void)json_set_object(object, "spec");
    if (!json_find(object, "status.allocatable") && json_find(object, "status.capacity"))
        json_set(object, "status.allocatable", json_copy(json_find(object, "status.capacity")));
}

static void check_quantities(const cJSON *object, const char *path, struct api_causes *causes)
{
    const cJSON *quantity;
    cJSON_ArrayForEach(quantity, json_find(object, path))
    {
        int64_t milli;
        struct mlt_error err = {0};
        cleanup_free char *text =
            cJSON_IsString(quantity) ? mlt_strdup(quantity->valuestring) : json_print(quantity);
        cleanup_free char *field = mlt_asprintf("%s.%s", path, quantity->string);
        if (mlt_quantity_parse_milli(text, &milli, &err) < 0)
            api_cause_value(causes, API_CAUSE_INVALID, field, quantity, "%s", err.text);
    }
}

static void node_validate(struct api_server *s, const cJSON *object, const cJSON *old,
                          struct api_causes *causes)
{
    (void)s;
    (void)old;
    check_quantities(object, "status.capacity", causes);
    check_quantities(object, "status.allocatable", causes);
}

const struct api_kind_hooks api_node_hooks = {.set_defaults = node_defaults,
                                              .validate = node_validate};

/* ---- secrets and config maps ---- */

static bool is_base64(const char *text)
{
    size_t length = strlen(text), digits = 0;
    for (; digits < length; digits++) {
        char c = text[digits];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            break;
    }
    size_t padding = strspn(text + digits, "=");
    return digits + padding == length && length % 4 == 0 && padding <= 2;
}

static void secret_defaults(struct api_server *s, cJSON *object)
{
    (void)s;
    default_string(object, "type", "Opaque");
    const cJSON *plain = json_member(object, "stringData"), *item;
    cJSON *data = plain && plain->child ? json_set_object(object, "data") : NULL;
    cJSON_ArrayForEach(item, plain)
    {
        const char *value = cJSON_IsString(item) ? item->valuestring : "";
        cleanup_free char *encoded = kube_base64_encode(value, strlen(value));
        cJSON_DeleteItemFromObjectCaseSensitive(data, item->string);
        cJSON_AddItemToObject(data, item->string, cJSON_CreateString(encoded));
    }
    json_unset(object, "stringData");
}

static bool is_data_key(const char *key)
{
    size_t length = strlen(key);
    return length > 0 && length <= 253 && strcmp(key, ".") != 0 && strcmp(key, "..") != 0 &&
           strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
               length;
}

static size_t check_data(const cJSON *object, const char *member, bool base64,
                         struct api_causes *causes)
{
    size_t bytes = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, json_member(object, member))
    {
        cleanup_free char *field = mlt_asprintf("%s[%.253s]", member, item->string);
        cleanup_json cJSON *key = cJSON_CreateString(item->string);
        const char *value = cJSON_IsString(item) ? item->valuestring : "";
        if (!is_data_key(item->string))
            api_cause_value(
                causes, API_CAUSE_INVALID, field, key,
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.'");
        if (base64 && !is_base64(value))
            api_cause(causes, API_CAUSE_INVALID, field, "illegal base64 data");
        bytes += strlen(value);
    }
    return bytes;
}

static void check_immutable(const cJSON *object, const cJSON *old, struct api_causes *causes)
{
    static const char *const members[] = {"data", "binaryData"};
    if (!json_bool(old, "immutable", false))
        return;
    if (!json_bool(object, "immutable", false))
        api_cause(causes, API_CAUSE_FORBIDDEN, "immutable",
                  "field is immutable when `immutable` is set");
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(members); i++) {
        const cJSON *a = json_member(object, members[i]), *b = json_member(old, members[i]);
        if ((a || b) && (!a || !b || !json_equal(a, b)))
            api_cause(causes, API_CAUSE_FORBIDDEN, members[i],
                      "field is immutable when `immutable` is set");
    }
}

static void secret_validate(struct api_server *s, const cJSON *object, const cJSON *old,
                            struct api_causes *causes)
{
    (void)s;
    if (check_data(object, "data", true, causes) / 4 * 3 > SECRET_DATA_MAX)
        api_cause(causes, API_CAUSE_TOO_LONG, "data", "may not be more than %u bytes",
                  SECRET_DATA_MAX);
    check_immutable(object, old, causes);
    if (old && strcmp(json_string(object, "type", ""), json_string(old, "type", "")) != 0)
        api_cause_value(causes, API_CAUSE_INVALID, "type", json_member(object, "type"),
                        "field is immutable");
}

static void configmap_validate(struct api_server *s, const cJSON *object, const cJSON *old,
                               struct api_causes *causes)
{
    (void)s;
    size_t bytes =
        check_data(object, "data", false, causes) + check_data(object, "binaryData", true, causes);
    if (bytes > SECRET_DATA_MAX)
        api_cause(causes, API_CAUSE_TOO_LONG, "", "may not be more than %u bytes", SECRET_DATA_MAX);
    check_immutable(object, old, causes);
}

const struct api_kind_hooks api_secret_hooks = {.set_defaults = secret_defaults,
                                                .validate = secret_validate};
const struct api_kind_hooks api_configmap_hooks = {.validate = configmap_validate};

/* ---- leases ---- */

static void lease_validate(struct api_server *s, const cJSON *object, const cJSON *old,
                           struct api_causes *causes)
{
    (void)s;
    (void)old;
    const cJSON *duration = json_find(object, "spec.leaseDurationSeconds");
    const cJSON *transitions = json_find(object, "spec.leaseTransitions");
    if (duration && !cJSON_IsNull(duration) && json_integer(duration, "", 0) <= 0)
        api_cause_value(causes, API_CAUSE_INVALID, "spec.leaseDurationSeconds", duration,
                        "must be greater than 0");
    if (transitions && !cJSON_IsNull(transitions) && json_integer(transitions, "", -1) < 0)
        api_cause_value(causes, API_CAUSE_INVALID, "spec.leaseTransitions", transitions,
                        "must be greater than or equal to 0");
}

const struct api_kind_hooks api_lease_hooks = {.validate = lease_validate};

/* ---- priority classes ---- */

static void priorityclass_defaults(struct api_server *s, cJSON *object)
{
    (void)s;
    default_string(object, "preemptionPolicy", "PreemptLowerPriority");
}

static void priorityclass_validate(struct api_server *s, const cJSON *object, const cJSON *old,
                                   struct api_causes *causes)
{
    (void)s;
    const char *name = json_string(object, "metadata.name", "");
    bool system = strncmp(name, "system-", 7) == 0;
    bool known =
        strcmp(name, "system-cluster-critical") == 0 || strcmp(name, "system-node-critical") == 0;
    if (system && !known)
        api_cause(causes, API_CAUSE_FORBIDDEN, "metadata.name",
                  "priority class names with 'system-' prefix are reserved for system use only");
    if (!system && json_integer(object, "value", 0) > PRIORITY_USER_MAX)
        api_cause(causes, API_CAUSE_FORBIDDEN, "value",
                  "maximum allowed value of a user defined priority is %d", PRIORITY_USER_MAX);
    if (old && json_integer(object, "value", 0) != json_integer(old, "value", 0))
        api_cause(causes, API_CAUSE_FORBIDDEN, "value", "may not be changed in an update.");
}

const struct api_kind_hooks api_priorityclass_hooks = {.set_defaults = priorityclass_defaults,
                                                       .validate = priorityclass_validate};

/* ---- services: kept for clients that make them; no traffic is routed here ---- */

static void service_defaults(struct api_server *s, cJSON *object)
{
    (void)s;
    default_string(object, "spec.type", "ClusterIP");
    default_string(object, "spec.sessionAffinity", "None");
    cJSON *port;
    cJSON_ArrayForEach(port, json_find(object, "spec.ports"))
    {
        if (!json_find(port, "protocol"))
            json_set_string(port, "protocol", "TCP");
        if (!json_find(port, "targetPort") && json_find(port, "port"))
            json_set(port, "targetPort", json_copy(json_find(port, "port")));
    }
    (void)json_set_object(object, "status.loadBalancer");
}

const struct api_kind_hooks api_service_hooks = {.set_defaults = service_defaults};
