/* Pods: the defaults that clients expect, admission (priority, tolerations), checks, and what may
 * change. Sources: pkg/apis/core/v1/defaults.go, pkg/apis/core/validation, plugin/pkg/admission in
 * Kubernetes. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/name.h"
#include "localcluster/api/answer.h"
#include "localcluster/api/pod_checks.h"
#include "localcluster/api/resources.h"

#define NOT_READY_SECONDS                                                   \
    300 /* default tolerations of nodes that are not ready or not reachable \
         */

#define NODE_TERMS \
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"

static const char *const container_lists[] = {"spec.initContainers", "spec.containers"};

static void default_string(cJSON *object, const char *path, const char *value)
{
    if (!json_find(object, path))
        json_set_string(object, path, value);
}

static void default_integer(cJSON *object, const char *path, int64_t value)
{
    if (!json_find(object, path))
        json_set_integer(object, path, value);
}

/* ---- defaults ---- */

/* Always for :latest and images without a tag; by digest or tag IfNotPresent. */
static const char *pull_policy(const char *image)
{
    const char *name = strrchr(image, '/');
    name = name ? name + 1 : image;
    if (strchr(name, '@'))
        return "IfNotPresent";
    const char *tag = strchr(name, ':');
    return !tag || strcmp(tag, ":latest") == 0 ? "Always" : "IfNotPresent";
}

static void default_requests(cJSON *container)
{
    const cJSON *limit, *limits = json_find(container, "resources.limits");
    (void)json_set_object(container, "resources");
    cJSON_ArrayForEach(limit, limits)
    {
        cJSON *requests = json_set_object(container, "resources.requests");
        if (!json_member(requests, limit->string))
            cJSON_AddItemToObject(requests, limit->string, json_copy(limit));
    }
}

static void default_container(cJSON *container)
{
    cJSON *item;
    default_string(container, "imagePullPolicy", pull_policy(json_string(container, "image", "")));
    default_string(container, "terminationMessagePath", "/dev/termination-log");
    default_string(container, "terminationMessagePolicy", "File");
    default_requests(container);
    cJSON_ArrayForEach(item, json_member(container, "ports"))
    {
        default_string(item, "protocol", "TCP");
    }
    cJSON_ArrayForEach(item, json_member(container, "env"))
    {
        if (json_find(item, "valueFrom.fieldRef"))
            default_string(item, "valueFrom.fieldRef.apiVersion", "v1");
    }
}

static void default_volume(cJSON *volume)
{
    static const char *const with_mode[] = {"secret", "configMap", "projected", "downwardAPI"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(with_mode); i++) {
        cJSON *source = json_member(volume, with_mode[i]);
        if (cJSON_IsObject(source))
            default_integer(source, "defaultMode", 0644);
    }
    if (json_member(volume, "hostPath"))
        default_string(volume, "hostPath.type", "");
    if (cJSON_GetArraySize(volume) == 1)
        (void)json_set_object(volume, "emptyDir");
    cJSON *item;
    cJSON_ArrayForEach(item, json_find(volume, "downwardAPI.items"))
    {
        if (json_find(item, "fieldRef"))
            default_string(item, "fieldRef.apiVersion", "v1");
    }
}

/* Quality of service: k8s.io/kubernetes/pkg/apis/core/helper/qos. Only cpu and memory count. */
static const char *qos_class(const cJSON *pod)
{
    bool any = false, guaranteed = true;
    static const char *const names[] = {"cpu", "memory"};
    for (size_t l = 0; l < MLT_ARRAY_LENGTH(container_lists); l++) {
        const cJSON *container;
        cJSON_ArrayForEach(container, json_find(pod, container_lists[l]))
        {
            for (size_t i = 0; i < MLT_ARRAY_LENGTH(names); i++) {
                const cJSON *request =
                    json_member(json_find(container, "resources.requests"), names[i]);
                const cJSON *limit =
                    json_member(json_find(container, "resources.limits"), names[i]);
                any = any || request || limit;
                guaranteed = guaranteed && limit && request && json_equal(request, limit);
            }
        }
    }
    return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

static void pod_defaults(struct api_server *s, cJSON *pod)
{
    (void)s;
    if (!cJSON_IsObject(json_member(pod, "spec")))
        return;
    default_string(pod, "spec.restartPolicy", "Always");
    default_string(pod, "spec.dnsPolicy", "ClusterFirst");
    default_string(pod, "spec.schedulerName", "default-scheduler");
    default_integer(pod, "spec.terminationGracePeriodSeconds", 30);
    (void)json_set_object(pod, "spec.securityContext");
    if (!json_find(pod, "spec.enableServiceLinks"))
        json_set_bool(pod, "spec.enableServiceLinks", true);
    cJSON *item;
    for (size_t l = 0; l < MLT_ARRAY_LENGTH(container_lists); l++)
        cJSON_ArrayForEach(item, json_find(pod, container_lists[l]))
        {
            default_container(item);
        }
    cJSON_ArrayForEach(item, json_find(pod, "spec.volumes"))
    {
        default_volume(item);
    }
}

/* ---- admission ---- */

static int resolve_priority(struct api_server *s, cJSON *pod, struct api_answer *a)
{
    const struct api_bucket *classes = api_bucket_get(s, "priorityclasses");
    const char *name = json_string(pod, "spec.priorityClassName", "");
    struct api_object *found = name[0] ? api_bucket_find(classes, "", name) : NULL;
    if (name[0] && !found) {
        cleanup_free char *why = mlt_asprintf("no PriorityClass with name %.253s was found", name);
        return api_refuse_forbidden(a, api_resource_find(s, "", "v1", "pods"),
                                    json_string(pod, "metadata.name", ""), why);
    }
    for (size_t i = 0; !name[0] && !found && i < classes->count; i++)
        if (json_bool(api_object_tree(classes->objects[i]), "globalDefault", false))
            found = classes->objects[i];
    const cJSON *class_ = found ? api_object_tree(found) : NULL;
    if (found && !name[0])
        json_set_string(pod, "spec.priorityClassName", found->name);
    json_set_integer(pod, "spec.priority", json_integer(class_, "value", 0));
    json_set_string(pod, "spec.preemptionPolicy",
                    json_string(class_, "preemptionPolicy", "PreemptLowerPriority"));
    return 0;
}

static void add_toleration(cJSON *pod, const char *key)
{
    const cJSON *own;
    cJSON_ArrayForEach(own, json_find(pod, "spec.tolerations"))
    {
        const char *own_key = json_string(own, "key", ""), *effect = json_string(own, "effect", "");
        if ((!own_key[0] || strcmp(own_key, key) == 0) &&
            (!effect[0] || strcmp(effect, "NoExecute") == 0))
            return;
    }
    cJSON *toleration = cJSON_CreateObject();
    json_set_string(toleration, "key", key);
    json_set_string(toleration, "operator", "Exists");
    json_set_string(toleration, "effect", "NoExecute");
    json_set_integer(toleration, "tolerationSeconds", NOT_READY_SECONDS);
    json_append(json_set_array(pod, "spec.tolerations"), toleration);
}

/* There is no scheduler here. A pod that requires one node by its name, as the controller has it
 * with binding `affinity`, is bound to it at once. */
static void bind_where_required(cJSON *pod)
{
    const cJSON *term, *field;
    cJSON_ArrayForEach(term, json_find(pod, NODE_TERMS))
    {
        cJSON_ArrayForEach(field, json_member(term, "matchFields"))
        {
            const char *node = json_string(field, "values[0]", "");
            if (strcmp(json_string(field, "operator", ""), "In") == 0 &&
                json_size(field, "values") == 1 && !json_string(pod, "spec.nodeName", "")[0])
                json_set_string(pod, "spec.nodeName", node);
        }
    }
}

static int pod_prepare(struct api_server *s, cJSON *pod, struct api_answer *a)
{
    if (!cJSON_IsObject(json_member(pod, "spec")))
        return 0; /* validation says so */
    default_string(pod, "spec.serviceAccountName",
                   json_string(pod, "spec.serviceAccount", "default"));
    json_set_string(pod, "spec.serviceAccount",
                    json_string(pod, "spec.serviceAccountName", "default"));
    add_toleration(pod, "node.kubernetes.io/not-ready");
    add_toleration(pod, "node.kubernetes.io/unreachable");
    json_set_string(pod, "status.phase", "Pending");
    json_set_string(pod, "status.qosClass", qos_class(pod));
    bind_where_required(pod);
    return resolve_priority(s, pod, a);
}

/* ---- updates ---- */

/* The specification without what may change in place; the caller frees it. */
static cJSON *fixed_part(const cJSON *pod)
{
    cJSON *spec = json_copy(json_member(pod, "spec")), *container;
    static const char *const lists[] = {"initContainers", "containers"};
    static const char *const mutable_[] = {"activeDeadlineSeconds", "terminationGracePeriodSeconds",
                                           "tolerations"};
    for (size_t l = 0; l < MLT_ARRAY_LENGTH(lists); l++)
        cJSON_ArrayForEach(container, json_member(spec, lists[l]))
        {
            json_unset(container, "image");
            json_unset(container, "imagePullPolicy");
        }
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(mutable_); i++)
        json_unset(spec, mutable_[i]);
    return spec;
}

static void validate_update(const cJSON *pod, const cJSON *old, struct api_causes *causes)
{
    cleanup_json cJSON *a = fixed_part(pod), *b = fixed_part(old);
    if (!a || !b || json_equal(a, b))
        return;
    api_cause(causes, API_CAUSE_FORBIDDEN, "spec",
              "pod updates may not change fields other than `spec.containers[*].image`,"
              "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
              "(only additions "
              "to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
              "to 1 if it was "
              "previously negative)");
}

static void pod_validate(struct api_server *s, const cJSON *pod, const cJSON *old,
                         struct api_causes *causes)
{
    (void)s;
    if (old) {
        if (!json_equal(json_member(pod, "spec"), json_member(old, "spec")))
            validate_update(pod, old, causes);
        return;
    }
    api_pod_check(pod, causes);
}

const struct api_kind_hooks api_pod_hooks = {
    .set_defaults = pod_defaults, .prepare_create = pod_prepare, .validate = pod_validate};
