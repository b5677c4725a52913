/* Schemas as OpenAPI has them: references by name instead of shared members. See openapi.h. */
#include "localcluster/api/openapi.h"

#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/kinds.h"

struct naming {
    cJSON *out;         /* name -> schema */
    const cJSON *types; /* of kinds.h */
    const char *prefix;
};

static cJSON *convert(struct naming *n, const cJSON *schema);

bool api_is_served(const struct api_resource *r)
{
    return !api_resource_is(r, API_REMOVED) &&
           (!r->definition || json_bool(r->definition, "version.served", true));
}

/* "io.k8s.api.core.v1.PodSpec"; the caller frees it. */
static char *name_of_type(const char *type)
{
    static const char *const meta[] = {"ObjectMeta", "OwnerReference", "LabelSelector",
                                       "LabelSelectorRequirement", "Condition"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(meta); i++)
        if (strcmp(type, meta[i]) == 0)
            return mlt_asprintf("io.k8s.apimachinery.pkg.apis.meta.v1.%s", type);
    return mlt_asprintf("io.k8s.api.core.v1.%s", type);
}

/* "io.mltrain.v1alpha1.TrainingJob": the group turned round, as kube-apiserver names custom kinds.
 */
static char *name_of_resource(const struct api_resource *r)
{
    cleanup_free char *reversed = mlt_strdup("");
    const char *end = r->group + strlen(r->group);
    while (end > r->group) {
        const char *start = end;
        while (start > r->group && start[-1] != '.')
            start--;
        char *more =
            mlt_asprintf("%s%s%.*s", reversed, reversed[0] ? "." : "", (int)(end - start), start);
        free(reversed);
        reversed = more;
        end = start > r->group ? start - 1 : start;
    }
    return mlt_asprintf("%s%s%s.%s", reversed, reversed[0] ? "." : "io.k8s.api.core.", r->version,
                        r->kind);
}

/* {"$ref": ...}, with the type among the schemas. */
static cJSON *reference(struct naming *n, const char *type)
{
    cleanup_free char *name = name_of_type(type);
    if (!json_member(n->out, name)) {
        cJSON_AddItemToObject(n->out, name,
                              cJSON_CreateNull()); /* its place, so that it is made once */
        cJSON *schema = convert(n, json_member(n->types, type));
        cJSON_ReplaceItemInObjectCaseSensitive(n->out, name, schema);
    }
    cleanup_free char *target = mlt_asprintf("%s%s", n->prefix, name);
    cJSON *out = cJSON_CreateObject();
    cJSON_AddItemToObject(out, "$ref", cJSON_CreateString(target));
    return out;
}

static cJSON *convert_part(struct naming *n, const cJSON *schema)
{
    const char *type = json_string(schema, API_TYPE_MEMBER, NULL);
    return type ? reference(n, type) : convert(n, schema);
}

/* A copy of a schema whose parts are references where they are types. */
static cJSON *convert(struct naming *n, const cJSON *schema)
{
    cJSON *out = cJSON_CreateObject();
    const cJSON *member = cJSON_IsObject(schema) ? schema->child : NULL, *property;
    for (; member; member = member->next) {
        const char *name = member->string;
        if (strcmp(name, API_TYPE_MEMBER) == 0)
            continue;
        cJSON *value;
        if (strcmp(name, "properties") == 0 && cJSON_IsObject(member)) {
            value = cJSON_CreateObject();
            cJSON_ArrayForEach(property, member)
            {
                cJSON_AddItemToObject(value, property->string, convert_part(n, property));
            }
        } else if ((strcmp(name, "items") == 0 || strcmp(name, "additionalProperties") == 0) &&
                   cJSON_IsObject(member)) {
            value = convert_part(n, member);
        } else {
            value = json_copy(member);
        }
        cJSON_AddItemToObject(out, name, value);
    }
    return out;
}

static void describe(cJSON *properties, const char *name, const char *description)
{
    cJSON *schema = cJSON_CreateObject();
    json_set_string(schema, "type", "string");
    json_set_string(schema, "description", description);
    cJSON_DeleteItemFromObjectCaseSensitive(properties, name);
    cJSON_AddItemToObject(properties, name, schema);
}

static void add_resource(struct naming *n, const struct api_resource *r)
{
    cleanup_free char *name = name_of_resource(r);
    cJSON *schema = r->schema ? convert(n, r->schema) : cJSON_CreateObject();
    json_set_string(schema, "type", "object");
    cJSON *properties = json_set_object(schema, "properties");
    describe(properties, "apiVersion",
             "The version of the schema of this representation of an object, with its group.");
    describe(properties, "kind", "The kind of this object, in CamelCase.");
    cJSON_DeleteItemFromObjectCaseSensitive(properties, "metadata");
    cJSON_AddItemToObject(properties, "metadata", reference(n, "ObjectMeta"));
    cJSON *gvk = cJSON_CreateObject();
    json_set_string(gvk, "group", r->group);
    json_set_string(gvk, "kind", r->kind);
    json_set_string(gvk, "version", r->version);
    json_append(json_set_array(schema, "x-kubernetes-group-version-kind"), gvk);
    cJSON_DeleteItemFromObjectCaseSensitive(n->out, name);
    cJSON_AddItemToObject(n->out, name, schema);
}

cJSON *api_openapi_schemas(struct api_call *c, const char *group, const char *version,
                           const char *prefix)
{
    struct naming n = {.out = cJSON_CreateObject(), .types = c->server->types, .prefix = prefix};
    for (size_t i = 0; i < c->server->registry.count; i++) {
        const struct api_resource *r = c->server->registry.resources[i];
        if (api_is_served(r) &&
            (!group || (strcmp(r->group, group) == 0 && strcmp(r->version, version) == 0)))
            add_resource(&n, r);
    }
    return n.out;
}
