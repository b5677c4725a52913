/* The list of pod fields that a kubelet acts on and this agent does not, so that nothing is
 * silently ignored. Scheduling fields are not here: the pod is bound already. */
#include "localcluster/agent/pod_ignored.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/text.h"
#include "lib/json/json.h"

static const char *const of_pod[] = {
    "dnsConfig",        "ephemeralContainers",
    "hostAliases",      "hostIPC",
    "hostPID",          "overhead",
    "readinessGates",   "resourceClaims",
    "runtimeClassName", "shareProcessNamespace",
};
static const char *const of_container[] = {
    "envFrom[0].fileKeyRef", "lifecycle",    "livenessProbe",
    "readinessProbe",        "resizePolicy", "resources.claims",
    "startupProbe",          "stdin",        "tty",
    "volumeDevices",
};
static const char *const of_security[] = {
    "appArmorProfile", "capabilities.add",   "privileged", "procMount",
    "seLinuxOptions",  "supplementalGroups", "sysctls",    "windowsOptions",
};

static bool asks(const cJSON *node)
{
    return node && !cJSON_IsNull(node) && !cJSON_IsFalse(node) &&
           !((cJSON_IsArray(node) || cJSON_IsObject(node)) && !node->child);
}

static void add(struct mlt_text *out, const char *where, const char *field)
{
    if (out->length > 0)
        mlt_text_puts(out, ", ");
    mlt_text_printf(out, "%s%s", where, field);
}

static void look(struct mlt_text *out, const cJSON *object, const char *where,
                 const char *const *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (asks(json_find(object, fields[i])))
            add(out, where, fields[i]);
    }
}

static void look_at_ports(struct mlt_text *out, const cJSON *container, const char *where)
{
    const cJSON *port;
    cJSON_ArrayForEach(port, json_member(container, "ports"))
    {
        if (json_integer(port, "hostPort", 0) > 0) {
            add(out, where, "ports[].hostPort");
            return;
        }
    }
}

static void look_at_containers(struct mlt_text *out, const cJSON *pod, const char *list)
{
    const cJSON *item;
    size_t index = 0;
    cJSON_ArrayForEach(item, json_member(pod, list))
    {
        char where[96];
        (void)snprintf(where, sizeof where, "spec.%s[%zu].", list, index);
        look(out, item, where, of_container, sizeof of_container / sizeof *of_container);
        look_at_ports(out, item, where);
        if (asks(json_find(item, "resources.limits.cpu")))
            add(out, where, "resources.limits.cpu");
        (void)snprintf(where, sizeof where, "spec.%s[%zu].securityContext.", list, index++);
        look(out, json_member(item, "securityContext"), where, of_security,
             sizeof of_security / sizeof *of_security);
    }
}

static void look_at_volumes(struct mlt_text *out, const cJSON *pod)
{
    const cJSON *item;
    size_t index = 0;
    cJSON_ArrayForEach(item, json_member(pod, "volumes"))
    {
        char where[64];
        (void)snprintf(where, sizeof where, "spec.volumes[%zu].", index++);
        if (asks(json_find(item, "emptyDir.sizeLimit")))
            add(out, where, "emptyDir.sizeLimit");
    }
}

void pod_ignored_fields(const cJSON *pod, char *text, size_t size)
{
    struct mlt_text out = MLT_TEXT_INIT(256 * 1024);
    look(&out, pod, "spec.", of_pod, sizeof of_pod / sizeof *of_pod);
    look(&out, json_member(pod, "securityContext"), "spec.securityContext.", of_security,
         sizeof of_security / sizeof *of_security);
    look_at_containers(&out, pod, "initContainers");
    look_at_containers(&out, pod, "containers");
    look_at_volumes(&out, pod);
    (void)snprintf(text, size, "%s", mlt_text_string(&out));
    mlt_text_release(&out);
}
