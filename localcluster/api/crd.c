/* CustomResourceDefinitions: their own rules, and the resources that they make. See resources.h. */
#include <errno.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/name.h"
#include "localcluster/api/answer.h"
#include "localcluster/api/metadata.h"
#include "localcluster/api/schema.h"

#define CRD_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

/* ---- the definition as an object ---- */

static void crd_defaults(struct api_server *s, cJSON *crd)
{
    (void)s;
    const char *kind = json_string(crd, "spec.names.kind", "");
    cleanup_free char *singular = mlt_strdup(kind);
    for (char *p = singular; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
    cleanup_free char *list = mlt_asprintf("%sList", kind);
    if (!kind[0])
        return;
    if (!json_string(crd, "spec.names.singular", "")[0])
        json_set_string(crd, "spec.names.singular", singular);
    if (!json_string(crd, "spec.names.listKind", "")[0])
        json_set_string(crd, "spec.names.listKind", list);
    if (!json_find(crd, "spec.conversion"))
        json_set_string(crd, "spec.conversion.strategy", "None");
}

static void add_condition(cJSON *conditions, const char *type, const char *reason,
                          const char *message, const char *time)
{
    cJSON *condition = cJSON_CreateObject();
    json_set_string(condition, "type", type);
    json_set_string(condition, "status", "True");
    json_set_string(condition, "lastTransitionTime", time);
    json_set_string(condition, "reason", reason);
    json_set_string(condition, "message", message);
    json_append(conditions, condition);
}

/* Names are accepted and the resource is served from the moment of the write. */
static int crd_prepare(struct api_server *s, cJSON *crd, struct api_answer *a)
{
    (void)s;
    (void)a;
    const char *time = json_string(crd, "metadata.creationTimestamp", "");
    api_add_finalizer(crd, CRD_FINALIZER);
    cJSON *conditions = json_set_array(crd, "status.conditions");
    add_condition(conditions, "NamesAccepted", "NoConflicts", "no conflicts found", time);
    add_condition(conditions, "Established", "InitialNamesAccepted",
                  "the initial names have been accepted", time);
    json_set(crd, "status.acceptedNames", json_copy(json_find(crd, "spec.names")));
    cJSON *stored = json_set_array(crd, "status.storedVersions");
    const cJSON *version;
    cJSON_ArrayForEach(version, json_find(crd, "spec.versions"))
    {
        if (json_bool(version, "storage", false))
            json_append_string(stored, json_string(version, "name", ""));
    }
    return 0;
}

/* Names and the history of stored versions follow the specification. */
static void crd_update(struct api_server *s, cJSON *crd, const cJSON *old)
{
    (void)s;
    (void)old;
    json_set(crd, "status.acceptedNames", json_copy(json_find(crd, "spec.names")));
    cJSON *stored = json_set_array(crd, "status.storedVersions");
    const cJSON *version;
    cJSON_ArrayForEach(version, json_find(crd, "spec.versions"))
    {
        const char *name = json_string(version, "name", "");
        bool known = !json_bool(version, "storage", false);
        for (const cJSON *item = stored->child; item && !known; item = item->next)
            known = strcmp(json_string(item, "", ""), name) == 0;
        if (!known)
            json_append_string(stored, name);
    }
}

static void require_text(const cJSON *crd, const char *path, struct api_causes *causes)
{
    if (!json_string(crd, path, "")[0])
        api_cause(causes, API_CAUSE_REQUIRED, path, "%s", "");
}

static void validate_versions(const cJSON *crd, struct api_causes *causes)
{
    const cJSON *version;
    size_t index = 0, storage = 0;
    cJSON_ArrayForEach(version, json_find(crd, "spec.versions"))
    {
        cleanup_free char *name = mlt_asprintf("spec.versions[%zu].name", index);
        cleanup_free char *schema =
            mlt_asprintf("spec.versions[%zu].schema.openAPIV3Schema", index);
        if (!mlt_is_dns_label(json_string(version, "name", ""), 63))
            api_cause_value(causes, API_CAUSE_INVALID, name, json_member(version, "name"),
                            "a version's name is a DNS label");
        const cJSON *tree = json_find(version, "schema.openAPIV3Schema");
        if (cJSON_IsObject(tree))
            api_schema_check(tree, schema, causes);
        else
            api_cause(causes, API_CAUSE_REQUIRED, schema, "schemas are required");
        storage += json_bool(version, "storage", false) ? 1 : 0;
        index++;
    }
    if (storage != 1)
        api_cause(causes, API_CAUSE_INVALID, "spec.versions",
                  "must have exactly one version marked as storage version");
}

static void crd_validate(struct api_server *s, const cJSON *crd, const cJSON *old,
                         struct api_causes *causes)
{
    static const char *const fixed[] = {"spec.group", "spec.scope", "spec.names.plural",
                                        "spec.names.kind"};
    const char *scope = json_string(crd, "spec.scope", ""),
               *group = json_string(crd, "spec.group", "");
    require_text(crd, "spec.group", causes);
    require_text(crd, "spec.names.plural", causes);
    require_text(crd, "spec.names.kind", causes);
    if (strcmp(scope, "Namespaced") != 0 && strcmp(scope, "Cluster") != 0)
        api_cause_value(causes, API_CAUSE_UNSUPPORTED, "spec.scope", json_find(crd, "spec.scope"),
                        "supported values: \"Cluster\", \"Namespaced\"");
    if (group[0] && (!mlt_is_dns_subdomain(group) || !strchr(group, '.')))
        api_cause_value(causes, API_CAUSE_INVALID, "spec.group", json_find(crd, "spec.group"),
                        "should be a domain with at least one dot");
    cleanup_free char *name =
        mlt_asprintf("%s.%s", json_string(crd, "spec.names.plural", ""), group);
    if (strcmp(name, json_string(crd, "metadata.name", "")) != 0)
        api_cause_value(causes, API_CAUSE_INVALID, "metadata.name", json_find(crd, "metadata.name"),
                        "must be spec.names.plural+\".\"+spec.group");
    for (size_t i = 0; old && i < MLT_ARRAY_LENGTH(fixed); i++)
        if (strcmp(json_string(crd, fixed[i], ""), json_string(old, fixed[i], "")) != 0)
            api_cause_value(causes, API_CAUSE_INVALID, fixed[i], json_find(crd, fixed[i]),
                            "field is immutable");
    validate_versions(crd, causes);
    const char *plural = json_string(crd, "spec.names.plural", "");
    for (size_t i = 0; i < s->registry.count; i++) {
        const struct api_resource *r = s->registry.resources[i];
        if (!api_resource_is(r, API_CUSTOM) && strcmp(r->group, group) == 0 &&
            strcmp(r->plural, plural) == 0)
            api_cause(causes, API_CAUSE_FORBIDDEN, "spec.names.plural", "%s is built in", name);
    }
}

const struct api_kind_hooks api_crd_hooks = {.set_defaults = crd_defaults,
                                             .prepare_create = crd_prepare,
                                             .prepare_update = crd_update,
                                             .validate = crd_validate};

/* ---- the resources of a definition ---- */

/* Kinds whose rules no schema can say and that this project brings: checked by its own validator.
 */
static const struct api_kind_hooks *hooks_of(const char *name)
{
    if (strcmp(name, "trainingjobs.mltrain.io") == 0)
        return &api_trainingjob_hooks;
    if (strcmp(name, "trainingqueues.mltrain.io") == 0)
        return &api_trainingqueue_hooks;
    return &api_no_hooks;
}

static char *join(const cJSON *list)
{
    cleanup_text struct mlt_text out = MLT_TEXT_INIT(4096);
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (cJSON_IsString(item))
            mlt_text_printf(&out, "%s%s", out.length ? "," : "", item->valuestring);
    }
    return mlt_strdup(mlt_text_string(&out));
}

/* What a resource is made from: a change of it makes a new resource. */
static cJSON *definition_of(const cJSON *crd, const cJSON *version)
{
    cJSON *definition = cJSON_CreateObject();
    json_set(definition, "version", json_copy(version));
    json_set(definition, "names", json_copy(json_find(crd, "spec.names")));
    json_set(definition, "scope", json_copy(json_find(crd, "spec.scope")));
    json_set(definition, "group", json_copy(json_find(crd, "spec.group")));
    return definition;
}

static struct api_resource *new_resource(struct api_server *s, const char *name, cJSON *definition)
{
    struct api_resource *r = mlt_calloc(1, sizeof *r);
    const cJSON *version = json_member(definition, "version"),
                *names = json_member(definition, "names");
    r->definition = definition;
    r->group = mlt_strdup(json_string(definition, "group", ""));
    r->version = mlt_strdup(json_string(version, "name", ""));
    r->plural = mlt_strdup(json_string(names, "plural", ""));
    r->singular = mlt_strdup(json_string(names, "singular", ""));
    r->kind = mlt_strdup(json_string(names, "kind", ""));
    r->list_kind = mlt_strdup(json_string(names, "listKind", ""));
    r->api_version = mlt_asprintf("%s/%s", r->group, r->version);
    r->short_names = join(json_member(names, "shortNames"));
    r->categories = join(json_member(names, "categories"));
    r->subresources = "";
    r->bucket = api_bucket_get(s, name);
    r->hooks = hooks_of(name);
    r->schema = json_find(version, "schema.openAPIV3Schema");
    r->columns = json_member(version, "additionalPrinterColumns");
    r->scale = json_find(version, "subresources.scale");
    r->storage = json_bool(version, "storage", false);
    r->has_cel = api_schema_has_cel(r->schema);
    r->flags = API_CUSTOM | API_GENERATION;
    if (strcmp(json_string(definition, "scope", ""), "Namespaced") == 0)
        r->flags |= API_NAMESPACED;
    if (json_find(version, "subresources.status"))
        r->flags |= API_HAS_STATUS;
    if (r->scale)
        r->flags |= API_HAS_SCALE;
    return r;
}

/* Whether a served resource is what the definition says. */
static struct api_resource *find_same(const struct api_server *s, const char *name,
                                      const cJSON *definition)
{
    for (size_t i = 0; i < s->registry.count; i++) {
        struct api_resource *r = s->registry.resources[i];
        if (!api_resource_is(r, API_REMOVED) && strcmp(r->bucket->name, name) == 0 &&
            r->definition && json_equal(r->definition, definition))
            return r;
    }
    return NULL;
}

static void remove_others(struct api_server *s, const char *name, struct api_resource **kept,
                          size_t count)
{
    for (size_t i = 0; i < s->registry.count; i++) {
        struct api_resource *r = s->registry.resources[i];
        bool keep = !api_resource_is(r, API_CUSTOM) || strcmp(r->bucket->name, name) != 0;
        for (size_t j = 0; j < count && !keep; j++)
            keep = kept[j] == r;
        if (keep || api_resource_is(r, API_REMOVED))
            continue;
        r->flags |= API_REMOVED;
        s->registry.generation++;
    }
}

void api_crd_register(struct api_server *s, const char *name, const cJSON *crd)
{
    size_t count = 0, capacity = 0;
    struct api_resource **kept = NULL;
    const cJSON *version;
    cJSON_ArrayForEach(version, json_find(crd, "spec.versions"))
    {
        if (!json_bool(version, "served", false) && !json_bool(version, "storage", false))
            continue;
        cJSON *definition = definition_of(crd, version);
        struct api_resource *r = find_same(s, name, definition);
        if (r) {
            cJSON_Delete(definition);
        } else if (s->registry.count < API_CUSTOM_RESOURCES_MAX) {
            r = new_resource(s, name, definition);
            api_resource_add(s, r);
        } else {
            cJSON_Delete(definition);
            continue;
        }
        MLT_GROW(kept, count, capacity);
        kept[count++] = r;
    }
    remove_others(s, name, kept, count);
    free(kept);
}
