/* First objects of a cluster: see bootstrap.h. Everything goes through the same door as a client's
 * POST. */
#include "localcluster/api/bootstrap.h"

#include <errno.h>
#include <string.h>
#include "lib/base/cleanup.h"
#include "localcluster/api/call.h"

struct start {
    struct api_server *server;
    int64_t now_ms;
    struct mlt_error *err;
};

/* Creates or, with `update`, replaces the specification of an object that exists. Takes `tree`
 * over. */
static int ensure(struct start *b, cJSON *tree, bool update)
{
    cleanup_json cJSON *owned = tree, *shown = NULL;
    struct api_resource *r = api_resource_of_kind(b->server, json_string(tree, "apiVersion", ""),
                                                  json_string(tree, "kind", ""));
    const char *name = json_string(tree, "metadata.name", "");
    if (!r)
        return mlt_fail(b->err, EINVAL, "built-in object %s: kind %s is not served", name,
                        json_string(tree, "kind", ""));
    struct api_request request = {.method = "POST", .target = "", .body = "", .now_ms = b->now_ms};
    struct api_answer answer;
    api_answer_init(&answer);
    struct api_call call = {.server = b->server,
                            .request = &request,
                            .answer = &answer,
                            .resource = r,
                            .namespace_ = "",
                            .name = name,
                            .validation = API_VALIDATION_STRICT};
    struct api_object *old = api_bucket_find(r->bucket, "", name);
    int rc = 0;
    if (!old)
        rc = api_create_object(&call, steal_ptr(&owned), &shown);
    else if (update && !json_find(api_object_tree(old), "metadata.deletionTimestamp")) {
        cJSON *changed = json_copy(api_object_tree(old));
        json_set(changed, "spec", json_copy(json_member(tree, "spec")));
        rc = api_update_object(&call, old, changed, NULL, &shown);
    }
    if (rc < 0) {
        cleanup_json cJSON *status = NULL;
        const char *why = "refused";
        if (json_parse(mlt_text_string(&answer.body), answer.body.length, &status, NULL) == 0)
            why = json_string(status, "message", why);
        rc = mlt_fail(b->err, EINVAL, "built-in object: %.400s", why);
    }
    api_answer_release(&answer);
    return rc;
}

static cJSON *new_object(const char *api_version, const char *kind, const char *name)
{
    cJSON *tree = cJSON_CreateObject();
    json_set_string(tree, "apiVersion", api_version);
    json_set_string(tree, "kind", kind);
    json_set_string(tree, "metadata.name", name);
    return tree;
}

static int ensure_namespaces(struct start *b)
{
    static const char *const names[] = {"default", "kube-system", "mltrain-system"};
    int rc = 0;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(names) && rc == 0; i++)
        rc = ensure(b, new_object("v1", "Namespace", names[i]), false);
    return rc;
}

static int ensure_priority_classes(struct start *b)
{
    static const struct {
        const char *name;
        int64_t value;
    } classes[] = {{"system-cluster-critical", 2000000000}, {"system-node-critical", 2000001000}};
    int rc = 0;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(classes) && rc == 0; i++) {
        cJSON *tree = new_object("scheduling.k8s.io/v1", "PriorityClass", classes[i].name);
        json_set_integer(tree, "value", classes[i].value);
        json_set_string(tree, "description", "Used for system critical pods.");
        rc = ensure(b, tree, false);
    }
    return rc;
}

static int ensure_crds(struct start *b, const struct api_server_config *config)
{
    cleanup_json cJSON *documents = NULL;
    if (!config->crds_yaml || !config->crds_yaml_length)
        return 0;
    int rc = json_parse_yaml(config->crds_yaml, config->crds_yaml_length, &documents, b->err);
    if (rc < 0)
        return mlt_fail_in(b->err, "built-in CustomResourceDefinitions");
    while (rc == 0 && documents->child)
        rc = ensure(b, cJSON_DetachItemFromArray(documents, 0), true);
    return rc;
}

static int ensure_queue(struct start *b)
{
    if (!api_resource_of_kind(b->server, "mltrain.io/v1alpha1", "TrainingQueue"))
        return 0; /* a server without mltrain's CRDs (tests) */
    cJSON *queue = new_object("mltrain.io/v1alpha1", "TrainingQueue", "default");
    /* What a PriorityClass means in Kubernetes, unless it says preemptionPolicy Never. */
    json_set_string(queue, "spec.preemption.withinQueue", "LowerPriority");
    return ensure(b, queue, false);
}

int api_bootstrap(struct api_server *s, const struct api_server_config *config, int64_t now_ms,
                  struct mlt_error *err)
{
    struct start b = {.server = s, .now_ms = now_ms, .err = err};
    int rc = ensure_namespaces(&b);
    if (rc == 0)
        rc = ensure_priority_classes(&b);
    if (rc == 0)
        rc = ensure_crds(&b, config);
    if (rc == 0)
        rc = ensure_queue(&b);
    return rc;
}
