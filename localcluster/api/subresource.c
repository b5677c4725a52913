/* Subresources other than status: scale, and those of pods and namespaces. See call.h. */
#include <errno.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/number.h"
#include "localcluster/api/call.h"
#include "localcluster/api/jsonpath.h"
#include "localcluster/api/strategic.h"

static int not_allowed(struct api_call *c)
{
    return api_refuse(c->answer, 405, "MethodNotAllowed",
                      "the server does not allow this method on the requested resource");
}

static bool method_is(const struct api_call *c, const char *method)
{
    return strcmp(c->request->method, method) == 0;
}

/* ---- scale ---- */

static cJSON *scale_of(const struct api_resource *r, const cJSON *tree)
{
    static const char *const taken[] = {"metadata.name", "metadata.namespace", "metadata.uid",
                                        "metadata.resourceVersion", "metadata.creationTimestamp"};
    cJSON *scale = cJSON_CreateObject();
    json_set_string(scale, "kind", "Scale");
    json_set_string(scale, "apiVersion", "autoscaling/v1");
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(taken); i++)
        json_set_string(scale, taken[i], json_string(tree, taken[i], NULL));
    const cJSON *replicas = api_jsonpath(tree, json_string(r->scale, "specReplicasPath", ""));
    const cJSON *current = api_jsonpath(tree, json_string(r->scale, "statusReplicasPath", ""));
    const char *selector_path = json_string(r->scale, "labelSelectorPath", "");
    const cJSON *selector = selector_path[0] ? api_jsonpath(tree, selector_path) : NULL;
    json_set_integer(scale, "spec.replicas", json_integer(replicas, "", 0));
    json_set_integer(scale, "status.replicas", json_integer(current, "", 0));
    if (cJSON_IsString(selector))
        json_set_string(scale, "status.selector", selector->valuestring);
    return scale;
}

/* The Scale that the client wants: the body, or the present one with a patch applied. */
static int wanted_scale(struct api_call *c, const cJSON *tree, cJSON **ret)
{
    cleanup_json cJSON *body = NULL;
    struct mlt_error err = {0};
    if (api_read_body(c, &body) < 0)
        return -EINVAL;
    if (method_is(c, "PUT")) {
        *ret = steal_ptr(&body);
        return 0;
    }
    const char *type = c->request->content_type ? c->request->content_type : "";
    cleanup_json cJSON *scale = scale_of(c->resource, tree);
    if (strncmp(type, "application/json-patch+json", 27) == 0) {
        if (json_patch(&scale, body, &err) < 0)
            return api_refuse(c->answer, 422, "Invalid", "%s", err.text);
    } else if (strncmp(type, "application/merge-patch+json", 28) == 0 ||
               strncmp(type, "application/strategic-merge-patch+json", 38) == 0) {
        json_merge_patch(&scale, body);
    } else {
        return api_refuse(
            c->answer, 415, "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json");
    }
    *ret = steal_ptr(&scale);
    return 0;
}

static int set_scale(struct api_call *c, struct api_object *object)
{
    cleanup_json cJSON *scale = NULL, *shown = NULL;
    const cJSON *old = api_object_tree(object);
    char path[API_JSONPATH_MAX];
    if (wanted_scale(c, old, &scale) < 0)
        return -EINVAL;
    if (strcmp(json_string(scale, "kind", ""), "Scale") != 0 ||
        !api_jsonpath_plain(json_string(c->resource->scale, "specReplicasPath", ""), path))
        return api_refuse(c->answer, 400, "BadRequest",
                          "the body is not a Scale of autoscaling/v1");
    int64_t replicas = json_integer(scale, "spec.replicas", 0);
    if (replicas < 0 || replicas > INT32_MAX)
        return api_refuse(
            c->answer, 422, "Invalid",
            "Scale.autoscaling \"%s\" is invalid: spec.replicas: Invalid value: %lld: must be "
            "greater than or equal to 0",
            object->name, (long long)replicas);
    cJSON *tree = json_copy(old);
    json_set_integer(tree, path, replicas);
    json_set_string(tree, "metadata.resourceVersion",
                    json_string(scale, "metadata.resourceVersion", ""));
    if (!json_string(tree, "metadata.resourceVersion", "")[0])
        json_set_string(tree, "metadata.resourceVersion",
                        json_string(old, "metadata.resourceVersion", ""));
    if (api_update_object(c, object, tree, NULL, &shown) < 0)
        return -EINVAL;
    api_answer_tree(c->answer, 200, scale_of(c->resource, shown));
    return 0;
}

static int scale_verb(struct api_call *c, struct api_object *object)
{
    if (method_is(c, "GET")) {
        api_answer_tree(c->answer, 200, scale_of(c->resource, api_object_tree(object)));
        return 0;
    }
    return method_is(c, "PUT") || method_is(c, "PATCH") ? set_scale(c, object) : not_allowed(c);
}

/* ---- pods/binding ---- */

static int bind_pod(struct api_call *c, struct api_object *object)
{
    cleanup_json cJSON *binding = NULL;
    struct mlt_error err = {0};
    if (!method_is(c, "POST"))
        return not_allowed(c);
    if (api_read_body(c, &binding) < 0)
        return -EINVAL;
    const char *node = json_string(binding, "target.name", "");
    const cJSON *old = api_object_tree(object);
    const char *bound = json_string(old, "spec.nodeName", "");
    if (!node[0])
        return api_refuse(c->answer, 400, "BadRequest",
                          "target.name: Required value: the name of a node");
    if (bound[0]) {
        cleanup_free char *why =
            mlt_asprintf("pod %s is already assigned to node \"%s\"", object->name, bound);
        return api_refuse_conflict(c->answer, c->resource, object->name, why);
    }
    char now[MLT_TIME_TEXT_MAX];
    api_time_now(c, now);
    cJSON *tree = json_copy(old), *condition = cJSON_CreateObject();
    json_set_string(tree, "spec.nodeName", node);
    json_set_string(condition, "type", "PodScheduled");
    json_set_string(condition, "status", "True");
    json_set_string(condition, "lastTransitionTime", now);
    json_append(json_set_array(tree, "status.conditions"), condition);
    if (c->dry_run)
        cJSON_Delete(tree);
    else if (!api_server_put(c->server, c->resource->bucket, tree, &err))
        return api_refuse_store(c->answer, &err);
    static const char success[] =
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
        "\"Success\",\"code\":201}";
    api_answer_text(c->answer, 201, success, sizeof success - 1);
    return 0;
}

/* ---- pods/eviction: a deletion; there are no disruption budgets here ---- */

static int evict_pod(struct api_call *c, struct api_object *object)
{
    cleanup_json cJSON *eviction = NULL, *shown = NULL;
    if (!method_is(c, "POST"))
        return not_allowed(c);
    if (api_read_body(c, &eviction) < 0 ||
        api_delete_object(c, object, json_member(eviction, "deleteOptions"), &shown) < 0)
        return -EINVAL;
    static const char success[] =
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
        "\"Success\",\"code\":201}";
    api_answer_text(c->answer, 201, success, sizeof success - 1);
    return 0;
}

/* ---- pods/log ---- */

/* A container's spec by name over all lists, or NULL. */
static const cJSON *find_named(const cJSON *pod, const char *const *paths, const char *name)
{
    for (size_t i = 0; paths[i]; i++) {
        const cJSON *item;
        cJSON_ArrayForEach(item, json_find(pod, paths[i]))
        {
            if (strcmp(json_string(item, "name", ""), name) == 0)
                return item;
        }
    }
    return NULL;
}

static const char *const container_paths[] = {"spec.containers", "spec.initContainers", NULL};
static const char *const status_paths[] = {"status.containerStatuses",
                                           "status.initContainerStatuses", NULL};

static void names_of(const cJSON *pod, const char *path, struct mlt_text *out)
{
    const cJSON *container;
    cJSON_ArrayForEach(container, json_find(pod, path))
    {
        mlt_text_printf(out, "%s%s", out->length ? " " : "", json_string(container, "name", ""));
    }
}

static int choose_container(struct api_call *c, const cJSON *pod, const char **ret)
{
    const char *name = api_query(c, "container");
    if (!name || !name[0]) {
        if (json_size(pod, "spec.containers") != 1) {
            cleanup_text struct mlt_text names = MLT_TEXT_INIT(4096), init = MLT_TEXT_INIT(4096);
            names_of(pod, "spec.containers", &names);
            names_of(pod, "spec.initContainers", &init);
            return api_refuse(
                c->answer, 400, "BadRequest",
                "a container name must be specified for pod %s, choose one of: [%s]%s%s%s", c->name,
                mlt_text_string(&names), init.length ? " or one of the init containers: [" : "",
                mlt_text_string(&init), init.length ? "]" : "");
        }
        name = json_string(pod, "spec.containers[0].name", "");
    }
    if (!find_named(pod, container_paths, name))
        return api_refuse(c->answer, 400, "BadRequest", "container %.63s is not valid for pod %s",
                          name, c->name);
    *ret = name;
    return 0;
}

static int read_number(struct api_call *c, const char *parameter, int64_t *ret)
{
    const char *text = api_query(c, parameter);
    struct mlt_error err = {0};
    if (text && text[0] && mlt_parse_integer(text, 0, INT64_MAX / 2000, ret, &err) < 0)
        return api_refuse(c->answer, 400, "BadRequest", "%s: %s", parameter, err.text);
    return 0;
}

static int read_log_options(struct api_call *c, struct api_log_query *q)
{
    int64_t since = -1, ms;
    struct mlt_error err = {0};
    q->tail_lines = -1;
    q->limit_bytes = -1;
    q->since_ms = INT64_MIN;
    q->follow = api_query_is_true(c, "follow");
    q->timestamps = api_query_is_true(c, "timestamps");
    if (read_number(c, "tailLines", &q->tail_lines) < 0 ||
        read_number(c, "limitBytes", &q->limit_bytes) < 0 ||
        read_number(c, "sinceSeconds", &since) < 0)
        return -EINVAL;
    if (since >= 0)
        q->since_ms = c->request->now_ms - since * 1000;
    const char *time = api_query(c, "sinceTime");
    if (time && time[0]) {
        if (mlt_time_parse(time, &ms, &err) < 0)
            return api_refuse(c->answer, 400, "BadRequest", "sinceTime: %s", err.text);
        q->since_ms = ms;
    }
    return 0;
}

static int wait_for_start(struct api_call *c, const char *container, const char *reason)
{
    return api_refuse(c->answer, 400, "BadRequest",
                      "container \"%s\" in pod \"%s\" is waiting to start: %s", container, c->name,
                      reason);
}

static int pod_log(struct api_call *c, struct api_object *object)
{
    const cJSON *pod = api_object_tree(object);
    struct api_log_query *q = &c->answer->log;
    const char *container = NULL, *node = json_string(pod, "spec.nodeName", "");
    if (!method_is(c, "GET"))
        return not_allowed(c);
    if (choose_container(c, pod, &container) < 0 || read_log_options(c, q) < 0)
        return -EINVAL;
    const cJSON *status = find_named(pod, status_paths, container);
    bool previous = api_query_is_true(c, "previous");
    int64_t restarts = json_integer(status, "restartCount", 0);
    if (previous && restarts == 0)
        return api_refuse(c->answer, 400, "BadRequest",
                          "previous terminated container \"%s\" in pod \"%s\" not found", container,
                          c->name);
    const cJSON *waiting = json_find(status, "state.waiting");
    if (!node[0] || !status)
        return wait_for_start(c, container,
                              node[0] ? "ContainerCreating" : "the pod is not bound to a node");
    if (waiting && !previous && restarts == 0)
        return wait_for_start(c, container, json_string(waiting, "reason", "ContainerCreating"));
    q->namespace_ = mlt_strdup(object->namespace_);
    q->pod = mlt_strdup(object->name);
    q->uid = mlt_strdup(json_string(pod, "metadata.uid", ""));
    q->node = mlt_strdup(node);
    q->container = mlt_strdup(container);
    /* A container that waits for its next run has not begun that run's file. */
    q->restart = restarts - (previous || (waiting && restarts > 0) ? 1 : 0);
    c->answer->kind = API_ANSWER_LOG;
    return 0;
}

bool api_log_is_complete(struct api_server *s, const struct api_log_query *q)
{
    struct api_object *o = api_bucket_find(api_bucket_get(s, "pods"), q->namespace_, q->pod);
    const cJSON *pod = o ? api_object_tree(o) : NULL;
    if (!pod || strcmp(json_string(pod, "metadata.uid", ""), q->uid) != 0)
        return true;
    const cJSON *status = find_named(pod, status_paths, q->container);
    if (!status || json_integer(status, "restartCount", 0) > q->restart)
        return true;
    const char *phase = json_string(pod, "status.phase", "");
    return json_find(status, "state.terminated") || json_find(status, "state.waiting") ||
           strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

/* ---- routing ---- */

static bool pods_have(const struct api_call *c, const char *subresource)
{
    return c->resource->bucket == api_bucket_get(c->server, "pods") &&
           strcmp(c->subresource, subresource) == 0;
}

int api_subresource(struct api_call *c)
{
    bool scale =
        strcmp(c->subresource, "scale") == 0 && api_resource_is(c->resource, API_HAS_SCALE);
    bool finalize = strcmp(c->subresource, "finalize") == 0 &&
                    strcmp(c->resource->bucket->name, "namespaces") == 0;
    bool log = pods_have(c, "log"), binding = pods_have(c, "binding"),
         eviction = pods_have(c, "eviction");
    if (!scale && !finalize && !log && !binding && !eviction)
        return api_refuse_not_found(c->answer, NULL, NULL);
    struct api_object *object = api_call_object(c);
    if (!object)
        return -EINVAL;
    if (scale)
        return scale_verb(c, object);
    if (log)
        return pod_log(c, object);
    if (binding)
        return bind_pod(c, object);
    if (eviction)
        return evict_pod(c, object);
    return method_is(c, "PUT") ? api_update(c) : not_allowed(c);
}
