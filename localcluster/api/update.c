/* PUT, and the common end of every change of an existing object. See call.h. */
#include "localcluster/api/call.h"

#include <errno.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/metadata.h"
#include "localcluster/api/schema.h"

static int check_preconditions(struct api_call *c, const cJSON *tree, const cJSON *old)
{
    const char *version = json_string(tree, "metadata.resourceVersion", "");
    const char *uid = json_string(tree, "metadata.uid", ""),
               *old_uid = json_string(old, "metadata.uid", "");
    const char *name = json_string(old, "metadata.name", "");
    if (uid[0] && strcmp(uid, old_uid) != 0) {
        cleanup_free char *why =
            mlt_asprintf("Precondition failed: UID in precondition: %.64s, UID in object meta: %s",
                         uid, old_uid);
        return api_refuse_conflict(c->answer, c->resource, name, why);
    }
    if (!version[0] && !api_resource_is(c->resource, API_UNCONDITIONAL)) {
        cleanup_causes struct api_causes causes = {0};
        api_cause(&causes, API_CAUSE_INVALID, "metadata.resourceVersion",
                  "0x0: must be specified for an update");
        return api_refuse_invalid(c->answer, c->resource, name, &causes);
    }
    if (version[0] && strcmp(version, json_string(old, "metadata.resourceVersion", "")) != 0)
        return api_refuse_conflict(
            c->answer, c->resource, name,
            "the object has been modified; please apply your changes to the latest "
            "version and try again");
    return 0;
}

static void take_from_old(cJSON *tree, const cJSON *old, const char *path)
{
    const cJSON *value = json_find(old, path);
    if (value)
        json_set(tree, path, json_copy(value));
    else
        json_unset(tree, path);
}

/* The part of `tree` that this request may change, on top of the old object. */
static cJSON *merge(struct api_call *c, cJSON *tree, const cJSON *old, bool status)
{
    static const char *const fixed[] = {"metadata.name",
                                        "metadata.namespace",
                                        "metadata.uid",
                                        "metadata.creationTimestamp",
                                        "metadata.deletionTimestamp",
                                        "metadata.deletionGracePeriodSeconds",
                                        "metadata.generation",
                                        "metadata.resourceVersion",
                                        "apiVersion"};
    if (status) {
        cJSON *merged = json_copy(old);
        take_from_old(merged, tree, "status");
        if (!api_resource_is(c->resource, API_CUSTOM)) {
            take_from_old(merged, tree, "metadata.labels");
            take_from_old(merged, tree, "metadata.annotations");
        }
        cJSON_Delete(tree);
        return merged;
    }
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(fixed); i++)
        take_from_old(tree, old, fixed[i]);
    if (api_resource_is(c->resource, API_HAS_STATUS))
        take_from_old(tree, old, "status");
    return tree;
}

/* Whether anything but metadata and status differs. */
static bool specification_differs(const cJSON *a, const cJSON *b, bool status_counts)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, a)
    {
        if (strcmp(member->string, "metadata") == 0 ||
            (!status_counts && strcmp(member->string, "status") == 0))
            continue;
        const cJSON *other = json_member(b, member->string);
        if (!other || !json_equal(member, other))
            return true;
    }
    cJSON_ArrayForEach(member, b)
    {
        if ((status_counts || strcmp(member->string, "status") != 0) &&
            !json_member(a, member->string))
            return true;
    }
    return false;
}

static int check_new_finalizers(struct api_call *c, const cJSON *tree, const cJSON *old)
{
    if (!json_find(old, "metadata.deletionTimestamp"))
        return 0;
    const cJSON *finalizer;
    cJSON_ArrayForEach(finalizer, json_find(tree, "metadata.finalizers"))
    {
        if (!cJSON_IsString(finalizer) || api_has_finalizer(old, finalizer->valuestring))
            continue;
        cleanup_causes struct api_causes causes = {0};
        api_cause(
            &causes, API_CAUSE_FORBIDDEN, "metadata.finalizers",
            "no new finalizers can be added if the object is being deleted, found new finalizers "
            "[]string{\"%.128s\"}",
            finalizer->valuestring);
        return api_refuse_invalid(c->answer, c->resource, json_string(old, "metadata.name", ""),
                                  &causes);
    }
    return 0;
}

/* An object that waits for its finalizers goes with the last of them. */
static bool is_released(const cJSON *tree, const struct api_resource *r)
{
    if (!json_find(tree, "metadata.deletionTimestamp") || json_size(tree, "metadata.finalizers"))
        return false;
    if (strcmp(r->bucket->name, "namespaces") == 0)
        return false; /* its contents go first: garbage.c */
    return json_integer(tree, "metadata.deletionGracePeriodSeconds", 0) == 0;
}

static int store_update(struct api_call *c, struct api_object *old, cJSON *tree, cJSON **ret_shown)
{
    cleanup_json cJSON *owned = tree;
    struct mlt_error err = {0};
    if (api_check_size(c, tree) < 0)
        return -EINVAL;
    if (c->dry_run || json_equal(tree, api_object_tree(old))) {
        *ret_shown = steal_ptr(&owned);
        return 0;
    }
    if (is_released(tree, c->resource)) {
        *ret_shown = steal_ptr(&owned);
        if (api_server_remove(c->server, old, &err) < 0)
            return api_refuse_store(c->answer, &err);
        return 0;
    }
    struct api_object *o = api_server_put(c->server, c->resource->bucket, steal_ptr(&owned), &err);
    if (!o)
        return api_refuse_store(c->answer, &err);
    if (strcmp(c->resource->bucket->name, "customresourcedefinitions") == 0)
        api_crd_register(c->server, o->name, api_object_tree(o));
    *ret_shown = json_copy(api_object_tree(o));
    return 0;
}

int api_update_object(struct api_call *c, struct api_object *old_object, cJSON *tree,
                      const char *subresource, cJSON **ret_shown)
{
    cleanup_json cJSON *owned = tree;
    const struct api_resource *r = c->resource;
    const cJSON *old = api_object_tree(old_object);
    bool status = subresource && strcmp(subresource, "status") == 0;
    const char *name = json_string(tree, "metadata.name", old_object->name);
    if (strcmp(name, old_object->name) != 0)
        return api_refuse(c->answer, 400, "BadRequest",
                          "the name of the object (%.253s) does not match the name on the URL (%s)",
                          name, old_object->name);
    const char *namespace_ = json_string(tree, "metadata.namespace", old_object->namespace_);
    if (namespace_[0] && strcmp(namespace_, old_object->namespace_) != 0)
        return api_refuse(
            c->answer, 400, "BadRequest",
            "the namespace of the object (%.253s) does not match the namespace on the URL (%s)",
            namespace_, old_object->namespace_);
    if (api_check_fields(c, r, tree) < 0)
        return -EINVAL;
    if (api_resource_is(r, API_EVENTS_VIEW))
        api_event_from_view(tree);
    api_clean_metadata(tree);
    if (check_preconditions(c, tree, old) < 0)
        return -EINVAL;
    tree = merge(c, tree, old, status);
    owned = tree;
    if (api_resource_is(r, API_CUSTOM) && r->schema)
        api_schema_default(r->schema, tree);
    if (r->hooks->set_defaults)
        r->hooks->set_defaults(c->server, tree);
    if (!status && r->hooks->prepare_update)
        r->hooks->prepare_update(c->server, tree, old);
    if (check_new_finalizers(c, tree, old) < 0 || api_check_values(c, r, tree, old) < 0)
        return -EINVAL;
    if (api_resource_is(r, API_GENERATION) && !status &&
        specification_differs(tree, old, !api_resource_is(r, API_HAS_STATUS)))
        json_set_integer(tree, "metadata.generation",
                         json_integer(old, "metadata.generation", 0) + 1);
    return store_update(c, old_object, steal_ptr(&owned), ret_shown);
}

int api_update(struct api_call *c)
{
    cleanup_json cJSON *tree = NULL, *shown = NULL;
    if (api_read_body(c, &tree) < 0)
        return -EINVAL;
    struct api_object *old = api_call_object(c);
    if (!old)
        return -EINVAL;
    const char *version = json_string(tree, "apiVersion", c->resource->api_version);
    const char *kind = json_string(tree, "kind", c->resource->kind);
    if (!cJSON_IsObject(tree) || strcmp(version, c->resource->api_version) != 0 ||
        strcmp(kind, c->resource->kind) != 0)
        return api_refuse(c->answer, 400, "BadRequest",
                          "the body is a %.100s of %.100s, expected a %s of %s", kind, version,
                          c->resource->kind, c->resource->api_version);
    json_set_string(tree, "kind", c->resource->kind);
    (void)json_set_object(tree, "metadata");
    if (api_update_object(c, old, steal_ptr(&tree), c->subresource, &shown) < 0)
        return -EINVAL;
    if (api_resource_is(c->resource, API_EVENTS_VIEW))
        api_event_to_view(shown);
    else
        json_set_string(shown, "apiVersion", c->resource->api_version);
    return api_answer_object(c, 200, shown);
}
