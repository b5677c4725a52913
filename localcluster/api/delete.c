/* DELETE: grace, finalizers, propagation, preconditions. See call.h. */
#include "localcluster/api/call.h"

#include <errno.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/number.h"
#include "localcluster/api/metadata.h"
#include "localcluster/api/selection.h"

#define GRACE_MAX (10 * 365 * 86400) /* seconds */

enum propagation { PROPAGATE_BACKGROUND, PROPAGATE_FOREGROUND, PROPAGATE_ORPHAN };

static bool is_bucket(const struct api_call *c, const char *name)
{
    return strcmp(c->resource->bucket->name, name) == 0;
}

/* ---- options: the body, and query parameters of the same names ---- */

static int read_grace(struct api_call *c, const cJSON *options, int64_t *ret_grace)
{
    struct mlt_error err = {0};
    const char *text = api_query(c, "gracePeriodSeconds");
    int64_t grace = json_integer(options, "gracePeriodSeconds", -1);
    int rc = text && text[0] ? mlt_parse_integer(text, 0, GRACE_MAX, &grace, &err) : 0;
    if (rc < 0)
        return api_refuse(c->answer, 400, "BadRequest", "gracePeriodSeconds: %s", err.text);
    *ret_grace = grace > GRACE_MAX ? GRACE_MAX : grace;
    return 0;
}

static int read_propagation(struct api_call *c, const cJSON *options, enum propagation *ret)
{
    const char *policy = api_query(c, "propagationPolicy");
    if (!policy || !policy[0])
        policy = json_string(options, "propagationPolicy", "");
    bool orphan =
        api_query_is_true(c, "orphanDependents") || json_bool(options, "orphanDependents", false);
    if (strcmp(policy, "Foreground") == 0)
        *ret = PROPAGATE_FOREGROUND;
    else if (strcmp(policy, "Orphan") == 0 || orphan)
        *ret = PROPAGATE_ORPHAN;
    else if (!policy[0] || strcmp(policy, "Background") == 0)
        *ret = PROPAGATE_BACKGROUND;
    else
        return api_refuse(
            c->answer, 422, "Invalid",
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: "
            "\"%.64s\": supported values: \"Foreground\", \"Background\", \"Orphan\"",
            policy);
    return 0;
}

static int check_preconditions(struct api_call *c, const cJSON *options, const cJSON *tree)
{
    const char *uid = json_string(options, "preconditions.uid", "");
    const char *version = json_string(options, "preconditions.resourceVersion", "");
    const char *own_uid = json_string(tree, "metadata.uid", "");
    const char *own_version = json_string(tree, "metadata.resourceVersion", "");
    cleanup_free char *why = NULL;
    if (uid[0] && strcmp(uid, own_uid) != 0)
        why =
            mlt_asprintf("Precondition failed: UID in precondition: %.64s, UID in object meta: %s",
                         uid, own_uid);
    else if (version[0] && strcmp(version, own_version) != 0)
        why = mlt_asprintf(
            "Precondition failed: ResourceVersion in precondition: %.64s, ResourceVersion in "
            "object meta: %s",
            version, own_version);
    if (!why)
        return 0;
    return api_refuse_conflict(c->answer, c->resource, json_string(tree, "metadata.name", ""), why);
}

/* ---- grace ---- */

/* Pods that run (or may) are given time; everything else goes at once. k8s:
 * pkg/registry/core/pod/strategy.go */
static int64_t grace_of(const struct api_call *c, const cJSON *tree, int64_t asked)
{
    if (!is_bucket(c, "pods"))
        return 0;
    const char *phase = json_string(tree, "status.phase", "");
    int64_t grace =
        asked >= 0 ? asked : json_integer(tree, "spec.terminationGracePeriodSeconds", 30);
    if (!json_string(tree, "spec.nodeName", "")[0] || strcmp(phase, "Succeeded") == 0 ||
        strcmp(phase, "Failed") == 0)
        grace = 0;
    return grace < 0 ? 1 : grace;
}

static void mark_deleted(struct api_call *c, cJSON *tree, int64_t grace)
{
    char text[MLT_TIME_TEXT_MAX];
    mlt_time_format(c->request->now_ms + grace * 1000, text);
    json_set_string(tree, "metadata.deletionTimestamp", text);
    json_set_integer(tree, "metadata.deletionGracePeriodSeconds", grace);
    if (api_resource_is(c->resource, API_GENERATION))
        json_set_integer(tree, "metadata.generation",
                         json_integer(tree, "metadata.generation", 0) + 1);
    if (is_bucket(c, "namespaces"))
        json_set_string(tree, "status.phase", "Terminating");
}

static void set_propagation(cJSON *tree, enum propagation propagation)
{
    if (propagation == PROPAGATE_FOREGROUND)
        api_add_finalizer(tree, "foregroundDeletion");
    else
        api_remove_finalizer(tree, "foregroundDeletion");
    if (propagation == PROPAGATE_ORPHAN)
        api_add_finalizer(tree, "orphan");
    else
        api_remove_finalizer(tree, "orphan");
}

static int remove_now(struct api_call *c, struct api_object *object, cJSON **ret_shown)
{
    struct mlt_error err = {0};
    cJSON *shown = is_bucket(c, "pods") ? json_copy(api_object_tree(object)) : NULL;
    if (!c->dry_run && api_server_remove(c->server, object, &err) < 0) {
        cJSON_Delete(shown);
        return api_refuse_store(c->answer, &err);
    }
    *ret_shown = shown;
    return 0;
}

static int check_protected(struct api_call *c, const struct api_object *object)
{
    static const char *const names[] = {"default", "kube-system", "mltrain-system"};
    if (!is_bucket(c, "namespaces"))
        return 0;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(names); i++)
        if (strcmp(object->name, names[i]) == 0)
            return api_refuse_forbidden(c->answer, c->resource, object->name,
                                        "this namespace may not be deleted");
    return 0;
}

/* Whether contents stand behind the object, so that it cannot go before work was done (garbage.c).
 */
static bool holds_contents(const struct api_call *c)
{
    return is_bucket(c, "namespaces") || is_bucket(c, "customresourcedefinitions");
}

static int delete_with(struct api_call *c, struct api_object *object, int64_t asked_grace,
                       enum propagation propagation, cJSON **ret_shown)
{
    const cJSON *old = api_object_tree(object);
    cleanup_json cJSON *tree = json_copy(old);
    bool deleted = json_find(old, "metadata.deletionTimestamp") != NULL;
    int64_t grace = grace_of(c, old, asked_grace);
    int64_t old_grace = json_integer(old, "metadata.deletionGracePeriodSeconds", 0);
    if (!deleted) /* a repeated delete keeps the propagation of the first */
        set_propagation(tree, propagation);
    bool waits = json_size(tree, "metadata.finalizers") || holds_contents(c);
    if (!waits && grace == 0)
        return remove_now(c, object, ret_shown);
    if (!deleted || (asked_grace >= 0 && grace < old_grace))
        mark_deleted(c, tree, grace);
    if (!c->dry_run && !json_equal(tree, old)) {
        struct mlt_error err = {0};
        struct api_object *o =
            api_server_put(c->server, c->resource->bucket, steal_ptr(&tree), &err);
        if (!o)
            return api_refuse_store(c->answer, &err);
        tree = json_copy(api_object_tree(o));
    }
    *ret_shown = steal_ptr(&tree);
    return 0;
}

int api_delete_object(struct api_call *c, struct api_object *object, const cJSON *options,
                      cJSON **ret_shown)
{
    int64_t grace = -1;
    enum propagation propagation = PROPAGATE_BACKGROUND;
    const cJSON *dry_run = json_member(options, "dryRun");
    if (cJSON_GetArraySize(dry_run) > 0)
        c->dry_run = true;
    if (read_grace(c, options, &grace) < 0 || read_propagation(c, options, &propagation) < 0 ||
        check_preconditions(c, options, api_object_tree(object)) < 0 ||
        check_protected(c, object) < 0)
        return -EINVAL;
    return delete_with(c, object, grace, propagation, ret_shown);
}

/* ---- verbs ---- */

/* DeleteOptions; *ret is NULL without a body. */
static int read_options(struct api_call *c, cJSON **ret)
{
    *ret = NULL;
    if (!c->request->body_length)
        return 0;
    if (api_read_body(c, ret) < 0)
        return -EINVAL;
    const char *kind = json_string(*ret, "kind", "DeleteOptions");
    if (cJSON_IsObject(*ret) && strcmp(kind, "DeleteOptions") == 0)
        return 0;
    return api_refuse(c->answer, 400, "BadRequest",
                      "the body of a DELETE is a %.64s, expected DeleteOptions", kind);
}

static void answer_success(struct api_call *c, const char *name, const char *uid)
{
    cJSON *status = cJSON_CreateObject();
    json_set_string(status, "kind", "Status");
    json_set_string(status, "apiVersion", "v1");
    (void)json_set_object(status, "metadata");
    json_set_string(status, "status", "Success");
    json_set_string(status, "details.name", name);
    if (c->resource->group[0])
        json_set_string(status, "details.group", c->resource->group);
    json_set_string(status, "details.kind", c->resource->plural);
    json_set_string(status, "details.uid", uid);
    api_answer_tree(c->answer, 200, status);
}

int api_delete(struct api_call *c)
{
    cleanup_json cJSON *options = NULL, *shown = NULL;
    if (read_options(c, &options) < 0)
        return -EINVAL;
    struct api_object *object = api_call_object(c);
    if (!object)
        return -EINVAL;
    cleanup_free char *uid = mlt_strdup(json_string(api_object_tree(object), "metadata.uid", ""));
    if (api_delete_object(c, object, options, &shown) < 0)
        return -EINVAL;
    if (shown)
        return api_answer_object(c, 200, shown);
    answer_success(c, c->name, uid);
    return 0;
}

/* Deletes what a selection holds; objects are found first, because deleting moves the bucket. */
int api_delete_collection(struct api_call *c)
{
    struct api_selection selection;
    cleanup_json cJSON *options = NULL;
    if (read_options(c, &options) < 0 || api_selection_init(&selection, c) < 0)
        return -EINVAL;
    const struct api_bucket *b = c->resource->bucket;
    size_t i, end, count = 0, capacity = 0;
    struct api_object **found = NULL;
    for (api_selection_range(&selection, b, &i, &end); i < end; i++) {
        if (!api_selection_has(&selection, b->objects[i]))
            continue;
        MLT_GROW(found, count, capacity);
        found[count++] = api_object_hold(b->objects[i]);
    }
    int rc = 0;
    for (i = 0; i < count; i++) {
        cleanup_json cJSON *shown = NULL;
        if (rc == 0 && found[i]->current)
            rc = api_delete_object(c, found[i], options, &shown);
        api_object_drop(found[i]);
    }
    free(found);
    api_selection_release(&selection);
    if (rc < 0)
        return rc;
    cJSON *list = cJSON_CreateObject();
    json_set_string(list, "kind", c->resource->list_kind);
    json_set_string(list, "apiVersion", c->resource->api_version);
    json_set(list, "metadata", cJSON_CreateObject());
    (void)json_set_array(list, "items");
    api_answer_tree(c->answer, 200, list);
    return 0;
}
