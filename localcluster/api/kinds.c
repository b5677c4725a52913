/* Turns the table of built-in types into schemas: see kinds.h. */
#include "localcluster/api/kinds.h"

#include <assert.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

static const cJSON *type_schema(cJSON *types, const char *name, size_t length);

static cJSON *scalar_schema(char letter)
{
    cJSON *schema = cJSON_CreateObject();
    switch (letter) {
    case 's':
        json_set_string(schema, "type", "string");
        break;
    case 'i':
        json_set_string(schema, "type", "integer");
        break;
    case 'b':
        json_set_string(schema, "type", "boolean");
        break;
    case 't':
        json_set_string(schema, "type", "string");
        json_set_string(schema, "format", "date-time");
        break;
    case 'q':
        json_set_bool(schema, "x-kubernetes-int-or-string", true);
        break;
    default:
        json_set_string(schema, "type", "object");
        json_set_bool(schema, "x-kubernetes-preserve-unknown-fields", true);
        break;
    }
    return schema;
}

/* A schema for "[]Container" and the like; `length` bytes of `text`. */
static cJSON *schema_of(cJSON *types, const char *text, size_t length)
{
    if (length > 2 && (strncmp(text, "[]", 2) == 0 || strncmp(text, "{}", 2) == 0)) {
        cJSON *schema = cJSON_CreateObject();
        bool list = text[0] == '[';
        json_set_string(schema, "type", list ? "array" : "object");
        json_set(schema, list ? "items" : "additionalProperties",
                 schema_of(types, text + 2, length - 2));
        return schema;
    }
    if (length == 1)
        return scalar_schema(text[0]);
    return cJSON_CreateObjectReference(type_schema(types, text, length)->child);
}

/* "containers=[]Container@name" */
static void add_field(cJSON *types, cJSON *properties, const char *field, size_t length)
{
    const char *equals = memchr(field, '=', length);
    assert(equals);
    cleanup_free char *name = mlt_strndup(field, (size_t)(equals - field));
    const char *type = equals + 1, *end = field + length;
    bool retain = end[-1] == '~';
    end -= retain ? 1 : 0;
    const char *at = memchr(type, '@', (size_t)(end - type));
    cJSON *schema = schema_of(types, type, (size_t)((at ? at : end) - type));
    if (at) {
        json_set_string(schema, "x-kubernetes-patch-strategy",
                        retain ? "merge,retainKeys" : "merge");
        if (at + 1 < end) {
            cleanup_free char *key = mlt_strndup(at + 1, (size_t)(end - at - 1));
            json_set_string(schema, "x-kubernetes-patch-merge-key", key);
        }
    }
    cJSON_AddItemToObject(properties, name, schema);
}

static const char *find_line(const char *name, size_t length)
{
    for (size_t i = 0; api_kind_lines[i]; i++)
        if (strncmp(api_kind_lines[i], name, length) == 0 && api_kind_lines[i][length] == ':')
            return api_kind_lines[i];
    return NULL;
}

/* The schema of a type, made when it is first asked for; what it uses is made before it. */
static const cJSON *type_schema(cJSON *types, const char *name, size_t length)
{
    cleanup_free char *copy = mlt_strndup(name, length);
    const cJSON *known = json_member(types, copy);
    if (known)
        return known;
    const char *line = find_line(name, length);
    assert(line);
    cJSON *schema = cJSON_CreateObject();
    json_set_string(schema, API_TYPE_MEMBER, copy);
    json_set_string(schema, "type", "object");
    cJSON *properties = json_set_object(schema, "properties");
    for (const char *p = line + length + 1; *p;) {
        p += strspn(p, " ");
        size_t size = strcspn(p, " ");
        if (size)
            add_field(types, properties, p, size);
        p += size;
    }
    cJSON_AddItemToObject(types, copy, schema);
    return schema;
}

cJSON *api_kinds_new(void)
{
    cJSON *types = cJSON_CreateObject();
    for (size_t i = 0; api_kind_lines[i]; i++)
        (void)type_schema(types, api_kind_lines[i], strcspn(api_kind_lines[i], ":"));
    return types;
}
