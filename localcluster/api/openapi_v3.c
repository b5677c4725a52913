/* /openapi/v3: an index, and a document for each group and version. kubectl reads schemas for
 * explain and for apply's patches, and the parameters of PATCH to learn that fieldValidation is
 * there. See call.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/kinds.h"
#include "localcluster/api/openapi.h"

static uint64_t hash_text(uint64_t h, const char *text)
{
    for (; *text; text++) /* FNV-1a */
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

/* Changes when the document of a group and version changes: clients cache it by this. */
static uint64_t hash_of(struct api_call *c, const char *group, const char *version)
{
    uint64_t h = hash_text(14695981039346656037u, MLTRAIN_VERSION);
    for (size_t i = 0; api_kind_lines[i]; i++)
        h = hash_text(h, api_kind_lines[i]);
    for (size_t i = 0; i < c->server->registry.count; i++) {
        const struct api_resource *r = c->server->registry.resources[i];
        if (!api_is_served(r) || strcmp(r->group, group) != 0 || strcmp(r->version, version) != 0)
            continue;
        h = hash_text(h, r->plural);
        cleanup_free char *text = r->definition ? json_print(r->definition) : NULL;
        h = text ? hash_text(h, text) : h;
    }
    return h;
}

static int answer_index(struct api_call *c)
{
    cJSON *out = cJSON_CreateObject(), *paths = json_set_object(out, "paths");
    for (size_t i = 0; i < c->server->registry.count; i++) {
        const struct api_resource *r = c->server->registry.resources[i];
        if (!api_is_served(r))
            continue;
        cleanup_free char *path =
            mlt_asprintf("%s/%s", r->group[0] ? "apis" : "api", r->api_version);
        if (json_member(paths, path))
            continue;
        cleanup_free char *url =
            mlt_asprintf("/openapi/v3/%s?hash=%016" PRIX64, path, hash_of(c, r->group, r->version));
        cJSON *entry = cJSON_CreateObject();
        json_set_string(entry, "serverRelativeURL", url);
        cJSON_AddItemToObject(paths, path, entry);
    }
    api_answer_tree(c->answer, 200, out);
    return 0;
}

static void add_parameter(cJSON *list, const char *name, const char *where, const char *description)
{
    cJSON *parameter = cJSON_CreateObject();
    json_set_string(parameter, "name", name);
    json_set_string(parameter, "in", where);
    json_set_string(parameter, "description", description);
    if (strcmp(where, "path") == 0)
        json_set_bool(parameter, "required", true);
    json_set_string(parameter, "schema.type", "string");
    json_append(list, parameter);
}

static cJSON *operation(const struct api_resource *r, const char *action)
{
    cJSON *out = cJSON_CreateObject();
    cleanup_free char *id = mlt_asprintf("%s%s%s", action, r->version, r->kind);
    json_set_string(out, "operationId", id);
    cJSON *parameters = json_set_array(out, "parameters");
    if (strcmp(action, "list") != 0 && strcmp(action, "get") != 0)
        add_parameter(parameters, "dryRun", "query",
                      "When present, nothing is stored. Valid: All.");
    if (strcmp(action, "post") == 0 || strcmp(action, "put") == 0 || strcmp(action, "patch") == 0)
        add_parameter(parameters, "fieldValidation", "query",
                      "What happens to unknown fields. Valid: Ignore, Warn, Strict.");
    json_set_string(out, "responses.200.description", "OK");
    json_set_string(out, "x-kubernetes-action", action);
    cJSON *gvk = cJSON_CreateObject();
    json_set_string(gvk, "group", r->group);
    json_set_string(gvk, "version", r->version);
    json_set_string(gvk, "kind", r->kind);
    cJSON_AddItemToObject(out, "x-kubernetes-group-version-kind", gvk);
    return out;
}

static void add_paths(cJSON *paths, const struct api_resource *r)
{
    bool namespaced = api_resource_is(r, API_NAMESPACED);
    cleanup_free char *collection =
        mlt_asprintf("/%s/%s%s/%s", r->group[0] ? "apis" : "api", r->api_version,
                     namespaced ? "/namespaces/{namespace}" : "", r->plural);
    cleanup_free char *object = mlt_asprintf("%s/{name}", collection);
    cJSON *of_collection = cJSON_CreateObject(), *of_object = cJSON_CreateObject();
    cJSON_AddItemToObject(of_collection, "get", operation(r, "list"));
    cJSON_AddItemToObject(of_collection, "post", operation(r, "post"));
    cJSON_AddItemToObject(of_object, "get", operation(r, "get"));
    cJSON_AddItemToObject(of_object, "put", operation(r, "put"));
    cJSON_AddItemToObject(of_object, "patch", operation(r, "patch"));
    cJSON_AddItemToObject(of_object, "delete", operation(r, "delete"));
    if (namespaced) {
        add_parameter(json_set_array(of_collection, "parameters"), "namespace", "path",
                      "A namespace's name.");
        add_parameter(json_set_array(of_object, "parameters"), "namespace", "path",
                      "A namespace's name.");
    }
    add_parameter(json_set_array(of_object, "parameters"), "name", "path", "The object's name.");
    cJSON_AddItemToObject(paths, collection, of_collection);
    cJSON_AddItemToObject(paths, object, of_object);
}

static int answer_document(struct api_call *c, const char *group, const char *version)
{
    cJSON *out = cJSON_CreateObject(), *paths = cJSON_CreateObject();
    json_set_string(out, "openapi", "3.0.0");
    json_set_string(out, "info.title", "mltrain");
    json_set_string(out, "info.version", MLTRAIN_VERSION);
    size_t count = 0;
    for (size_t i = 0; i < c->server->registry.count; i++) {
        const struct api_resource *r = c->server->registry.resources[i];
        if (!api_is_served(r) || strcmp(r->group, group) != 0 || strcmp(r->version, version) != 0)
            continue;
        add_paths(paths, r);
        count++;
    }
    json_set(out, "paths", paths);
    if (!count) {
        cJSON_Delete(out);
        return api_refuse_not_found(c->answer, NULL, NULL);
    }
    json_set(out, "components.schemas",
             api_openapi_schemas(c, group, version, "#/components/schemas/"));
    (void)snprintf(c->answer->etag, sizeof c->answer->etag, "\"%016" PRIX64 "\"",
                   hash_of(c, group, version));
    api_answer_tree(c->answer, 200, out);
    return 0;
}

int api_openapi_v3(struct api_call *c)
{
    if (c->segment_count == 2)
        return answer_index(c);
    if (c->segment_count == 4 && strcmp(c->segments[2], "api") == 0)
        return answer_document(c, "", c->segments[3]);
    if (c->segment_count == 5 && strcmp(c->segments[2], "apis") == 0)
        return answer_document(c, c->segments[3], c->segments[4]);
    return api_refuse_not_found(c->answer, NULL, NULL);
}
