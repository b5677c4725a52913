/* Checks of new pods: see pod_checks.h. Source of rules and words:
 * pkg/apis/core/validation/validation.go. */
#include "localcluster/api/pod_checks.h"

#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/name.h"
#include "lib/base/number.h"

#define FIELD_MAX 512

struct checks {
    const cJSON *pod;
    struct api_causes *causes;
    cJSON *names; /* of containers seen so far */
};

static void check_choice(struct checks *c, const cJSON *node, const char *field, const char *path,
                         const char *const *choices)
{
    const cJSON *value = json_find(node, path);
    cleanup_text struct mlt_text list = MLT_TEXT_INIT(256);
    for (size_t i = 0; choices[i]; i++) {
        if (cJSON_IsString(value) && strcmp(value->valuestring, choices[i]) == 0)
            return;
        mlt_text_printf(&list, "%s\"%s\"", i ? ", " : "", choices[i]);
    }
    api_cause_value(c->causes, API_CAUSE_UNSUPPORTED, field, value, "supported values: %s",
                    mlt_text_string(&list));
}

static void check_quantities(struct checks *c, const cJSON *container, const char *field,
                             const char *kind)
{
    const cJSON *limits = json_find(container, "resources.limits");
    const cJSON *quantity, *list = json_member(json_member(container, "resources"), kind);
    cJSON_ArrayForEach(quantity, list)
    {
        char where[FIELD_MAX];
        int64_t value, limit;
        struct mlt_error err = {0};
        (void)snprintf(where, sizeof where, "%s.resources.%s[%s]", field, kind, quantity->string);
        cleanup_free char *text =
            cJSON_IsString(quantity) ? mlt_strdup(quantity->valuestring) : json_print(quantity);
        if (mlt_quantity_parse_milli(text, &value, &err) < 0) {
            api_cause_value(c->causes, API_CAUSE_INVALID, where, quantity,
                            "quantities must match the regular expression "
                            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
            continue;
        }
        const cJSON *other =
            strcmp(kind, "requests") == 0 ? json_member(limits, quantity->string) : NULL;
        if (cJSON_IsString(other) &&
            mlt_quantity_parse_milli(other->valuestring, &limit, NULL) == 0 && value > limit)
            api_cause_value(c->causes, API_CAUSE_INVALID, where, quantity,
                            "must be less than or equal to %s limit of %s", quantity->string,
                            other->valuestring);
    }
}

/* Relaxed names since Kubernetes 1.30: printable ASCII without "=". */
static bool is_env_name(const char *name)
{
    for (const char *p = name; *p; p++)
        if (*p < ' ' || *p > '~' || *p == '=')
            return false;
    return name[0] != '\0';
}

static void check_env(struct checks *c, const cJSON *container, const char *field)
{
    const cJSON *env;
    size_t index = 0;
    cJSON_ArrayForEach(env, json_member(container, "env"))
    {
        char where[FIELD_MAX];
        const char *name = json_string(env, "name", "");
        (void)snprintf(where, sizeof where, "%s.env[%zu].name", field, index);
        if (!name[0])
            api_cause(c->causes, API_CAUSE_REQUIRED, where, "%s", "");
        else if (!is_env_name(name))
            api_cause_value(
                c->causes, API_CAUSE_INVALID, where, json_member(env, "name"),
                "a valid environment variable name must consist only of printable ASCII "
                "characters other than '='");
        (void)snprintf(where, sizeof where, "%s.env[%zu].valueFrom", field, index++);
        const cJSON *from = json_member(env, "valueFrom");
        if (!from || cJSON_IsNull(from))
            continue;
        if (json_string(env, "value", "")[0])
            api_cause(c->causes, API_CAUSE_INVALID, where,
                      "may not be specified when `value` is not empty");
        else if (cJSON_GetArraySize(from) != 1)
            api_cause(c->causes, API_CAUSE_INVALID, where,
                      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
                      "`secretKeyRef`");
    }
}

static bool has_volume(const cJSON *pod, const char *name)
{
    const cJSON *volume;
    cJSON_ArrayForEach(volume, json_find(pod, "spec.volumes"))
    {
        if (strcmp(json_string(volume, "name", ""), name) == 0)
            return true;
    }
    return false;
}

static void check_mounts(struct checks *c, const cJSON *container, const char *field)
{
    const cJSON *mount;
    size_t index = 0;
    cJSON_ArrayForEach(mount, json_member(container, "volumeMounts"))
    {
        char where[FIELD_MAX];
        const char *name = json_string(mount, "name", "");
        (void)snprintf(where, sizeof where, "%s.volumeMounts[%zu].name", field, index);
        if (!name[0])
            api_cause(c->causes, API_CAUSE_REQUIRED, where, "%s", "");
        else if (!has_volume(c->pod, name))
            api_cause(c->causes, API_CAUSE_NOT_FOUND, where, "\"%s\"", name);
        (void)snprintf(where, sizeof where, "%s.volumeMounts[%zu].mountPath", field, index);
        const char *path = json_string(mount, "mountPath", "");
        if (!path[0])
            api_cause(c->causes, API_CAUSE_REQUIRED, where, "%s", "");
        for (const cJSON *other = mount->prev; path[0] && other->next; other = other->prev)
            if (strcmp(json_string(other, "mountPath", ""), path) == 0) {
                api_cause_value(c->causes, API_CAUSE_INVALID, where,
                                json_member(mount, "mountPath"), "must be unique");
                break;
            }
        index++;
    }
}

static void check_ports(struct checks *c, const cJSON *container, const char *field)
{
    const cJSON *port;
    size_t index = 0;
    cJSON_ArrayForEach(port, json_member(container, "ports"))
    {
        char where[FIELD_MAX];
        int64_t number = json_integer(port, "containerPort", 0);
        (void)snprintf(where, sizeof where, "%s.ports[%zu].containerPort", field, index++);
        if (number == 0)
            api_cause(c->causes, API_CAUSE_REQUIRED, where, "%s", "");
        else if (number < 1 || number > 65535)
            api_cause_value(c->causes, API_CAUSE_INVALID, where, json_member(port, "containerPort"),
                            "must be between 1 and 65535, inclusive");
    }
}

static void check_container_name(struct checks *c, const cJSON *container, const char *field)
{
    char where[FIELD_MAX];
    const char *name = json_string(container, "name", "");
    (void)snprintf(where, sizeof where, "%s.name", field);
    if (!name[0]) {
        api_cause(c->causes, API_CAUSE_REQUIRED, where, "%s", "");
        return;
    }
    if (!mlt_is_dns_label(name, 63))
        api_cause_value(
            c->causes, API_CAUSE_INVALID, where, json_member(container, "name"),
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
            "'-', and must start and end with an alphanumeric character (e.g. 'my-name',  or "
            "'123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')");
    if (json_member(c->names, name))
        api_cause_value(c->causes, API_CAUSE_DUPLICATE, where, json_member(container, "name"), "%s",
                        "");
    else
        cJSON_AddItemToObject(c->names, name, cJSON_CreateTrue());
}

static void check_container(struct checks *c, const cJSON *container, const char *field)
{
    static const char *const policies[] = {"Always", "IfNotPresent", "Never", NULL};
    char where[FIELD_MAX];
    check_container_name(c, container, field);
    (void)snprintf(where, sizeof where, "%s.image", field);
    const char *image = json_string(container, "image", "");
    if (!image[0])
        api_cause(c->causes, API_CAUSE_REQUIRED, where, "%s", "");
    else if (strspn(image, " \t\n") || strchr(" \t\n", image[strlen(image) - 1]))
        api_cause_value(c->causes, API_CAUSE_INVALID, where, json_member(container, "image"),
                        "must not have leading or trailing whitespace");
    (void)snprintf(where, sizeof where, "%s.imagePullPolicy", field);
    check_choice(c, container, where, "imagePullPolicy", policies);
    check_quantities(c, container, field, "limits");
    check_quantities(c, container, field, "requests");
    check_env(c, container, field);
    check_mounts(c, container, field);
    check_ports(c, container, field);
}

static void check_volumes(struct checks *c)
{
    const cJSON *volume;
    size_t index = 0;
    cleanup_json cJSON *names = cJSON_CreateObject();
    cJSON_ArrayForEach(volume, json_find(c->pod, "spec.volumes"))
    {
        char where[FIELD_MAX];
        const char *name = json_string(volume, "name", "");
        (void)snprintf(where, sizeof where, "spec.volumes[%zu].name", index);
        if (!name[0])
            api_cause(c->causes, API_CAUSE_REQUIRED, where, "%s", "");
        else if (!mlt_is_dns_label(name, 63))
            api_cause_value(
                c->causes, API_CAUSE_INVALID, where, json_member(volume, "name"),
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters "
                "or '-'");
        else if (json_member(names, name))
            api_cause_value(c->causes, API_CAUSE_DUPLICATE, where, json_member(volume, "name"),
                            "%s", "");
        else
            cJSON_AddItemToObject(names, name, cJSON_CreateTrue());
        (void)snprintf(where, sizeof where, "spec.volumes[%zu]", index++);
        if (cJSON_GetArraySize(volume) > 2)
            api_cause(c->causes, API_CAUSE_FORBIDDEN, where,
                      "may not specify more than 1 volume type");
    }
}

void api_pod_check(const cJSON *pod, struct api_causes *causes)
{
    static const char *const restart[] = {"Always", "OnFailure", "Never", NULL};
    static const char *const dns[] = {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None",
                                      NULL};
    static const char *const lists[] = {"initContainers", "containers"};
    struct checks c = {.pod = pod, .causes = causes, .names = cJSON_CreateObject()};
    if (!json_size(pod, "spec.containers"))
        api_cause(causes, API_CAUSE_REQUIRED, "spec.containers", "%s", "");
    for (size_t l = 0; l < MLT_ARRAY_LENGTH(lists); l++) {
        const cJSON *container;
        size_t index = 0;
        cJSON_ArrayForEach(container, json_member(json_member(pod, "spec"), lists[l]))
        {
            char field[64];
            (void)snprintf(field, sizeof field, "spec.%s[%zu]", lists[l], index++);
            check_container(&c, container, field);
        }
    }
    cJSON_Delete(c.names);
    if (json_member(pod, "spec")) {
        check_choice(&c, pod, "spec.restartPolicy", "spec.restartPolicy", restart);
        check_choice(&c, pod, "spec.dnsPolicy", "spec.dnsPolicy", dns);
    }
    const char *hostname = json_string(pod, "spec.hostname", "");
    if (hostname[0] && !mlt_is_dns_label(hostname, 63))
        api_cause_value(
            causes, API_CAUSE_INVALID, "spec.hostname", json_find(pod, "spec.hostname"),
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'");
    if (json_integer(pod, "spec.terminationGracePeriodSeconds", 0) < 0)
        api_cause_value(causes, API_CAUSE_INVALID, "spec.terminationGracePeriodSeconds",
                        json_find(pod, "spec.terminationGracePeriodSeconds"),
                        "must be greater than or equal to 0");
    const char *node = json_string(pod, "spec.nodeName", "");
    if (node[0] && !mlt_is_dns_subdomain(node))
        api_cause_value(causes, API_CAUSE_INVALID, "spec.nodeName", json_find(pod, "spec.nodeName"),
                        "a lowercase RFC 1123 subdomain is expected");
    check_volumes(&c);
}
