/* PATCH: merge, JSON and strategic merge patches. Server-side apply is refused with 415, as by
 * servers without it, so that clients can fall back. See call.h. */
#include <errno.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/call.h"
#include "localcluster/api/strategic.h"

#define JSON_PATCH_OPERATIONS_MAX 10000 /* as kube-apiserver */

enum patch_type { PATCH_MERGE, PATCH_JSON, PATCH_STRATEGIC };

static int patch_type_of(struct api_call *c, enum patch_type *ret)
{
    const char *type = c->request->content_type ? c->request->content_type : "";
    size_t length = strcspn(type, "; ");
    static const struct {
        const char *name;
        enum patch_type type;
    } types[] = {{"application/merge-patch+json", PATCH_MERGE},
                 {"application/json-patch+json", PATCH_JSON},
                 {"application/strategic-merge-patch+json", PATCH_STRATEGIC}};
    bool custom = api_resource_is(c->resource, API_CUSTOM);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(types); i++) {
        if (strlen(types[i].name) != length || strncmp(type, types[i].name, length) != 0 ||
            (custom && types[i].type == PATCH_STRATEGIC))
            continue;
        *ret = types[i].type;
        return 0;
    }
    bool apply = strncmp(type, "application/apply-patch+yaml", length) == 0 && length > 0;
    return api_refuse(
        c->answer, 415, "UnsupportedMediaType",
        "%sthe body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json%s",
        apply ? "this server does not support server-side apply; " : "",
        custom ? "" : ", application/strategic-merge-patch+json");
}

static int apply_json_patch(struct api_call *c, cJSON **tree, const cJSON *patch)
{
    struct mlt_error err = {0};
    if (!cJSON_IsArray(patch))
        return api_refuse(c->answer, 400, "BadRequest", "a JSON patch is an array of operations");
    if (cJSON_GetArraySize(patch) > JSON_PATCH_OPERATIONS_MAX)
        return api_refuse(c->answer, 413, "RequestEntityTooLarge",
                          "The allowed maximum operations in a JSON patch is %d",
                          JSON_PATCH_OPERATIONS_MAX);
    int rc = json_patch(tree, patch, &err);
    if (rc == -EINVAL)
        return api_refuse(c->answer, 400, "BadRequest", "%s", err.text);
    if (rc < 0)
        return api_refuse(c->answer, 422, "Invalid",
                          "the server rejected our request due to an error in our request: %s",
                          err.text);
    return 0;
}

/* Applies the request's body to *tree. */
static int apply(struct api_call *c, enum patch_type type, cJSON **tree)
{
    cleanup_json cJSON *patch = NULL;
    struct mlt_error err = {0};
    if (api_read_body(c, &patch) < 0)
        return -EINVAL;
    if (type == PATCH_JSON)
        return apply_json_patch(c, tree, patch);
    if (!cJSON_IsObject(patch))
        return api_refuse(c->answer, 400, "BadRequest", "a patch of this type is an object");
    if (type == PATCH_STRATEGIC && api_strategic_patch(c->resource->schema, *tree, patch, &err) < 0)
        return api_refuse(c->answer, 400, "BadRequest", "%s", err.text);
    if (type == PATCH_MERGE)
        json_merge_patch(tree, patch);
    return 0;
}

static int check_patched(struct api_call *c, const cJSON *tree)
{
    const char *version = json_string(tree, "apiVersion", ""),
               *kind = json_string(tree, "kind", "");
    if (!cJSON_IsObject(tree) || strcmp(version, c->resource->api_version) != 0 ||
        strcmp(kind, c->resource->kind) != 0)
        return api_refuse(c->answer, 400, "BadRequest",
                          "a patch may not change apiVersion or kind of %s", c->name);
    return 0;
}

int api_patch_verb(struct api_call *c)
{
    enum patch_type type = PATCH_MERGE;
    if (patch_type_of(c, &type) < 0)
        return -EINVAL;
    struct api_object *old = api_call_object(c);
    if (!old)
        return -EINVAL;
    cleanup_json cJSON *owned = NULL, *shown = NULL;
    const cJSON *shape = api_tree_as(c->resource, old, &owned);
    cleanup_json cJSON *tree = json_copy(shape);
    if (apply(c, type, &tree) < 0 || check_patched(c, tree) < 0)
        return -EINVAL;
    if (api_update_object(c, old, steal_ptr(&tree), c->subresource, &shown) < 0)
        return -EINVAL;
    if (api_resource_is(c->resource, API_EVENTS_VIEW))
        api_event_to_view(shown);
    else
        json_set_string(shown, "apiVersion", c->resource->api_version);
    return api_answer_object(c, 200, shown);
}
