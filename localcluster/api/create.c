/* POST: a new object, from the client's text to the store. See call.h. */
#include "localcluster/api/call.h"

#include <errno.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "localcluster/api/metadata.h"
#include "localcluster/api/schema.h"

#define GENERATED_BASE_MAX \
    58                   /* characters of generateName that are used, as in names/generate.go */
#define GENERATE_TRIES 8 /* as kube-apiserver since 1.30 */

/* ---- the client's object against its type ---- */

static int report_unknown(struct api_call *c, const struct api_resource *r,
                          const struct api_fit *fit)
{
    if (!fit->unknown_count || c->validation == API_VALIDATION_IGNORE)
        return 0;
    cleanup_text struct mlt_text list = MLT_TEXT_INIT(3000);
    const cJSON *path;
    const char *separator = "";
    cJSON_ArrayForEach(path, fit->unknown)
    {
        if (c->validation == API_VALIDATION_WARN)
            api_warn(c->answer, "unknown field \"%s\"", path->valuestring);
        mlt_text_printf(&list, "%sunknown field \"%s\"", separator, path->valuestring);
        separator = ", ";
    }
    if (c->validation == API_VALIDATION_WARN)
        return 0;
    return api_refuse(c->answer, 400, "BadRequest",
                      "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
                      r->kind, r->version, r->kind, mlt_text_string(&list));
}

static int refuse_wrong(struct api_call *c, const struct api_resource *r, const char *wrong)
{
    return api_refuse(c->answer, 400, "BadRequest",
                      "%s in version \"%s\" cannot be handled as a %s: %s", r->kind, r->version,
                      r->kind, wrong);
}

int api_check_fields(struct api_call *c, const struct api_resource *r, cJSON *tree)
{
    const cJSON *object_meta = json_member(c->server->types, "ObjectMeta");
    cJSON *metadata = json_member(tree, "metadata");
    if (metadata && !cJSON_IsObject(metadata))
        return refuse_wrong(c, r, "metadata must be an object");
    json_unset(tree, "metadata.managedFields");
    struct api_fit fit = {.built_in = true, .prefix = "metadata"};
    if (metadata)
        api_schema_fit(object_meta, NULL, metadata, &fit);
    int rc = fit.wrong[0] ? refuse_wrong(c, r, fit.wrong) : report_unknown(c, r, &fit);
    api_fit_release(&fit);
    if (rc < 0 || !r->schema)
        return rc;
    fit = (struct api_fit){.built_in = !api_resource_is(r, API_CUSTOM)};
    api_schema_fit(r->schema, object_meta, tree, &fit);
    rc = fit.wrong[0] ? refuse_wrong(c, r, fit.wrong) : report_unknown(c, r, &fit);
    api_fit_release(&fit);
    return rc;
}

int api_check_values(struct api_call *c, const struct api_resource *r, const cJSON *tree,
                     const cJSON *old)
{
    cleanup_causes struct api_causes causes = {0};
    api_metadata_validate(r, tree, &causes);
    if (api_resource_is(r, API_CUSTOM) && r->schema)
        api_schema_validate(r->schema, tree, &causes);
    if (r->hooks->validate && (causes.count == 0 || !api_resource_is(r, API_CUSTOM)))
        r->hooks->validate(c->server, tree, old, &causes);
    if (!causes.count)
        return 0;
    return api_refuse_invalid(c->answer, r, json_string(tree, "metadata.name", ""), &causes);
}

/* ---- names and namespaces ---- */

static int check_type_meta(struct api_call *c, cJSON *tree)
{
    const struct api_resource *r = c->resource;
    const char *version = json_string(tree, "apiVersion", r->api_version);
    const char *kind = json_string(tree, "kind", r->kind);
    if (strcmp(version, r->api_version) != 0)
        return api_refuse(
            c->answer, 400, "BadRequest",
            "the API version in the data (%.100s) does not match the expected API version (%s)",
            version, r->api_version);
    if (strcmp(kind, r->kind) != 0)
        return api_refuse(c->answer, 400, "BadRequest",
                          "the kind in the data (%.100s) does not match the expected kind (%s)",
                          kind, r->kind);
    json_set_string(tree, "apiVersion", version);
    json_set_string(tree, "kind", kind);
    return 0;
}

static int check_namespace(struct api_call *c, cJSON *tree)
{
    const char *named = json_string(tree, "metadata.namespace", "");
    if (!api_resource_is(c->resource, API_NAMESPACED)) {
        json_unset(tree, "metadata.namespace");
        return 0;
    }
    if (!c->namespace_[0])
        return api_refuse(c->answer, 400, "BadRequest",
                          "an empty namespace may not be set during creation");
    if (named[0] && strcmp(named, c->namespace_) != 0)
        return api_refuse(
            c->answer, 400, "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the "
            "request");
    json_set_string(tree, "metadata.namespace", c->namespace_);
    const struct api_bucket *namespaces = api_bucket_get(c->server, "namespaces");
    struct api_object *n = api_bucket_find(namespaces, "", c->namespace_);
    if (!n)
        return api_refuse_not_found(c->answer, api_resource_of_bucket(c->server, namespaces),
                                    c->namespace_);
    if (json_find(api_object_tree(n), "metadata.deletionTimestamp")) {
        cleanup_free char *why = mlt_asprintf(
            "unable to create new content in namespace %s because it is being terminated",
            c->namespace_);
        return api_refuse_forbidden(c->answer, c->resource, json_string(tree, "metadata.name", ""),
                                    why);
    }
    return 0;
}

/* A free name from generateName. */
static int generate_name(struct api_call *c, cJSON *tree)
{
    const char *base = json_string(tree, "metadata.generateName", "");
    if (json_string(tree, "metadata.name", "")[0] || !base[0])
        return 0;
    for (int i = 0; i < GENERATE_TRIES; i++) {
        char suffix[6];
        api_new_suffix(c->server->random, suffix);
        cleanup_free char *name = mlt_asprintf("%.*s%s", GENERATED_BASE_MAX, base, suffix);
        if (api_bucket_find(c->resource->bucket, json_string(tree, "metadata.namespace", ""), name))
            continue;
        json_set_string(tree, "metadata.name", name);
        return 0;
    }
    return api_refuse_exists(c->answer, c->resource, base);
}

static void set_system_fields(struct api_call *c, cJSON *tree)
{
    char uid[37], now[MLT_TIME_TEXT_MAX];
    api_new_uid(c->server->random, uid);
    api_time_now(c, now);
    json_unset(tree, "metadata.deletionTimestamp");
    json_unset(tree, "metadata.deletionGracePeriodSeconds");
    json_unset(tree, "metadata.generation");
    json_set_string(tree, "metadata.uid", uid);
    json_set_string(tree, "metadata.creationTimestamp", now);
    if (api_resource_is(c->resource, API_GENERATION))
        json_set_integer(tree, "metadata.generation", 1);
    if (api_resource_is(c->resource, API_HAS_STATUS) &&
        !api_resource_is(c->resource, API_KEEP_STATUS))
        json_unset(tree, "status");
}

/* ---- creation ---- */

static int depth_of(const cJSON *tree)
{
    int deepest = 0;
    const cJSON *child;
    cJSON_ArrayForEach(child, tree)
    {
        int depth = depth_of(child);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

int api_check_size(struct api_call *c, const cJSON *tree)
{
    cleanup_free char *text = json_print(tree);
    if (strlen(text) > API_OBJECT_MAX)
        return api_refuse(c->answer, 413, "RequestEntityTooLarge",
                          "the object is larger than %u bytes", API_OBJECT_MAX);
    if (depth_of(tree) > JSON_DEPTH_MAX)
        return api_refuse(c->answer, 413, "RequestEntityTooLarge",
                          "the object has more than %d levels of nesting", JSON_DEPTH_MAX);
    return 0;
}

static int admit(struct api_call *c, cJSON *tree)
{
    const struct api_resource *r = c->resource;
    if (api_resource_is(r, API_CUSTOM) && r->schema)
        api_schema_default(r->schema, tree);
    if (r->hooks->set_defaults)
        r->hooks->set_defaults(c->server, tree);
    if (r->hooks->prepare_create && r->hooks->prepare_create(c->server, tree, c->answer) < 0)
        return -EINVAL;
    if (api_check_values(c, r, tree, NULL) < 0)
        return -EINVAL;
    if (api_bucket_find(r->bucket, json_string(tree, "metadata.namespace", ""),
                        json_string(tree, "metadata.name", "")))
        return api_refuse_exists(c->answer, r, json_string(tree, "metadata.name", ""));
    return api_check_size(c, tree);
}

int api_create_object(struct api_call *c, cJSON *tree, cJSON **ret_shown)
{
    cleanup_json cJSON *owned = tree;
    struct mlt_error err = {0};
    if (api_check_fields(c, c->resource, tree) < 0)
        return -EINVAL;
    if (api_resource_is(c->resource, API_EVENTS_VIEW))
        api_event_from_view(tree);
    (void)json_set_object(tree, "metadata");
    api_clean_metadata(tree);
    json_unset(tree, "metadata.resourceVersion");
    if (check_namespace(c, tree) < 0 || generate_name(c, tree) < 0)
        return -EINVAL;
    set_system_fields(c, tree);
    if (admit(c, tree) < 0)
        return -EINVAL;
    if (c->resource->has_cel && c->resource->hooks == &api_no_hooks)
        api_warn(c->answer,
                 "%s: x-kubernetes-validations (CEL) of its CustomResourceDefinition are not "
                 "evaluated by this server",
                 c->resource->kind);
    if (c->dry_run) {
        *ret_shown = steal_ptr(&owned);
        return 0;
    }
    if (!c->resource->storage && !api_resource_is(c->resource, API_EVENTS_VIEW)) {
        const struct api_resource *stored = api_resource_of_bucket(c->server, c->resource->bucket);
        if (stored)
            json_set_string(tree, "apiVersion", stored->api_version);
    }
    struct api_object *o = api_server_put(c->server, c->resource->bucket, steal_ptr(&owned), &err);
    if (!o)
        return api_refuse_store(c->answer, &err);
    if (strcmp(c->resource->bucket->name, "customresourcedefinitions") == 0)
        api_crd_register(c->server, o->name, api_object_tree(o));
    *ret_shown = json_copy(api_object_tree(o));
    return 0;
}

/* The names of the version that was asked for. */
static void show_as(struct api_call *c, cJSON *shown)
{
    if (api_resource_is(c->resource, API_EVENTS_VIEW))
        api_event_to_view(shown);
    else
        json_set_string(shown, "apiVersion", c->resource->api_version);
}

int api_create(struct api_call *c)
{
    cleanup_json cJSON *tree = NULL, *shown = NULL;
    if (api_read_body(c, &tree) < 0)
        return -EINVAL;
    if (!cJSON_IsObject(tree))
        return api_refuse(c->answer, 400, "BadRequest", "the request's body is not an object");
    if (check_type_meta(c, tree) < 0 || api_create_object(c, steal_ptr(&tree), &shown) < 0)
        return -EINVAL;
    show_as(c, shown);
    return api_answer_object(c, 201, shown);
}
