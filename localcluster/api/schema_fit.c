/* Unknown fields, wrong types of built-in kinds, and defaults: see schema.h. */
#include "localcluster/api/schema.h"

#include <stdio.h>
#include "lib/base/cleanup.h"
#include "localcluster/api/kinds.h"
#include "localcluster/api/schema_path.h"

struct walk {
    struct api_fit *fit;
    struct mlt_text path;
    const cJSON *metadata; /* schema of metadata */
};

void api_fit_release(struct api_fit *fit)
{
    cJSON_Delete(fit->unknown);
    fit->unknown = NULL;
}

static void note_unknown(struct walk *w, const char *name)
{
    w->fit->unknown_count++;
    if (w->fit->unknown_count > API_UNKNOWN_MAX)
        return;
    if (!w->fit->unknown)
        w->fit->unknown = cJSON_CreateArray();
    size_t mark = schema_path_member(&w->path, name, false);
    json_append_string(w->fit->unknown, mlt_text_string(&w->path));
    schema_path_cut(&w->path, mark);
}

static const char *type_of(const cJSON *node)
{
    if (cJSON_IsString(node))
        return "string";
    if (cJSON_IsBool(node))
        return "bool";
    if (cJSON_IsObject(node))
        return "object";
    if (cJSON_IsArray(node))
        return "array";
    return "number";
}

static const char *go_type(const cJSON *schema, const char *type)
{
    const char *name = json_string(schema, API_TYPE_MEMBER, NULL);
    if (name)
        return name;
    if (strcmp(type, "integer") == 0)
        return "int64";
    if (strcmp(type, "boolean") == 0)
        return "bool";
    if (strcmp(type, "array") == 0)
        return "[]";
    return strcmp(type, "object") == 0 ? "map" : "string";
}

/* "spec.containers[0].ports" without its indexes, as encoding/json names fields. */
static void note_wrong(struct walk *w, const cJSON *schema, const cJSON *node, const char *type)
{
    char path[256];
    size_t length = 0;
    bool inside = false;
    for (const char *p = mlt_text_string(&w->path); *p && length + 1 < sizeof path; p++) {
        inside = *p == '[' || (inside && *p != ']');
        if (!inside && *p != ']')
            path[length++] = *p;
    }
    path[length] = '\0';
    (void)snprintf(w->fit->wrong, sizeof w->fit->wrong,
                   "json: cannot unmarshal %s into Go struct field %s of type %s", type_of(node),
                   path, go_type(schema, type));
}

/* Whether a value has the type; of built-in kinds only, others are validated later. */
static bool check_type(struct walk *w, const cJSON *schema, const cJSON *node)
{
    const char *type = json_string(schema, "type", "");
    int64_t number;
    bool fits = true;
    if (!w->fit->built_in || cJSON_IsNull(node))
        return true;
    if (json_bool(schema, "x-kubernetes-int-or-string", false))
        fits = cJSON_IsString(node) || cJSON_IsNumber(node) || json_is_integer(node, &number);
    else if (strcmp(type, "string") == 0)
        fits = cJSON_IsString(node);
    else if (strcmp(type, "integer") == 0)
        fits = json_is_integer(node, &number);
    else if (strcmp(type, "boolean") == 0)
        fits = cJSON_IsBool(node);
    else if (strcmp(type, "array") == 0)
        fits = cJSON_IsArray(node);
    else if (strcmp(type, "object") == 0)
        fits = cJSON_IsObject(node) ||
               json_bool(schema, "x-kubernetes-preserve-unknown-fields", false); /* RawExtension */
    if (!fits && !w->fit->wrong[0])
        note_wrong(w, schema, node, type);
    return fits;
}

static void fit_node(struct walk *w, const cJSON *schema, cJSON *node, bool resource);

/* The schema of a member; NULL when anything goes; *ret_known says whether it may be there at all.
 */
static const cJSON *member_schema(const struct walk *w, const cJSON *schema, const char *name,
                                  bool resource, bool *ret_known, bool *ret_key)
{
    const cJSON *property = json_member(json_member(schema, "properties"), name);
    *ret_known = true;
    *ret_key = false;
    if (resource && strcmp(name, "metadata") == 0)
        return w->metadata ? w->metadata : property;
    if (property)
        return property;
    if (resource && (strcmp(name, "apiVersion") == 0 || strcmp(name, "kind") == 0))
        return NULL;
    const cJSON *additional = json_member(schema, "additionalProperties");
    *ret_key = cJSON_IsObject(additional);
    if (cJSON_IsObject(additional))
        return additional;
    *ret_known = cJSON_IsTrue(additional) ||
                 json_bool(schema, "x-kubernetes-preserve-unknown-fields", false);
    return NULL;
}

static void fit_object(struct walk *w, const cJSON *schema, cJSON *node, bool resource)
{
    cJSON *next = NULL;
    for (cJSON *member = node->child; member; member = next) {
        bool known, key;
        next = member->next;
        const cJSON *child = member_schema(w, schema, member->string, resource, &known, &key);
        if (!known) {
            note_unknown(w, member->string);
            cJSON_Delete(cJSON_DetachItemViaPointer(node, member));
        } else if (child) {
            size_t mark = schema_path_member(&w->path, member->string, key);
            fit_node(w, child, member, false);
            schema_path_cut(&w->path, mark);
        }
    }
}

static void fit_node(struct walk *w, const cJSON *schema, cJSON *node, bool resource)
{
    if (!check_type(w, schema, node))
        return;
    if (cJSON_IsArray(node)) {
        const cJSON *items = json_member(schema, "items");
        size_t index = 0;
        cJSON *item;
        cJSON_ArrayForEach(item, node)
        {
            size_t mark = schema_path_item(&w->path, index++);
            if (items)
                fit_node(w, items, item, false);
            schema_path_cut(&w->path, mark);
        }
    } else if (cJSON_IsObject(node)) {
        bool structural = json_member(schema, "properties") ||
                          json_member(schema, "additionalProperties") ||
                          strcmp(json_string(schema, "type", ""), "object") == 0;
        if (structural)
            fit_object(w, schema, node,
                       resource || json_bool(schema, "x-kubernetes-embedded-resource", false));
    }
}

void api_schema_fit(const cJSON *schema, const cJSON *metadata, cJSON *tree, struct api_fit *fit)
{
    struct walk w = {.fit = fit, .path = MLT_TEXT_INIT(SCHEMA_PATH_MAX), .metadata = metadata};
    if (fit->prefix)
        mlt_text_puts(&w.path, fit->prefix);
    fit_node(&w, schema, tree, !fit->prefix);
    mlt_text_release(&w.path);
}

/* ---- defaults ---- */

static void default_object(const cJSON *schema, cJSON *node)
{
    for (const cJSON *property = schema_first_property(schema); property;
         property = property->next) {
        const cJSON *value = json_member(property, "default");
        cJSON *member = json_member(node, property->string);
        if (member && cJSON_IsNull(member) && !json_bool(property, "nullable", false)) {
            cJSON_DeleteItemFromObjectCaseSensitive(node, property->string);
            member = NULL;
        }
        if (!member && value) {
            member = json_copy(value);
            cJSON_AddItemToObject(node, property->string, member);
        }
        if (member)
            api_schema_default(property, member);
    }
    const cJSON *additional = json_member(schema, "additionalProperties");
    if (!cJSON_IsObject(additional))
        return;
    cJSON *member;
    cJSON_ArrayForEach(member, node)
    {
        if (!json_member(json_member(schema, "properties"), member->string))
            api_schema_default(additional, member);
    }
}

void api_schema_default(const cJSON *schema, cJSON *tree)
{
    if (cJSON_IsObject(tree)) {
        default_object(schema, tree);
    } else if (cJSON_IsArray(tree)) {
        const cJSON *items = json_member(schema, "items");
        cJSON *item;
        cJSON_ArrayForEach(item, tree)
        {
            if (items)
                api_schema_default(items, item);
        }
    }
}

bool api_schema_has_cel(const cJSON *schema)
{
    if (cJSON_IsObject(schema) &&
        cJSON_GetArraySize(json_member(schema, "x-kubernetes-validations")) > 0)
        return true;
    const cJSON *child;
    cJSON_ArrayForEach(child, schema)
    {
        if (api_schema_has_cel(child))
            return true;
    }
    return false;
}
