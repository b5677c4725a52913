/* Turns the table of built-in types into schemas: see kinds.h. */
#include "localcluster/api/kinds.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

static const cJSON *type_schema(cJSON *types, const char *name, size_t length);

const char *api_kind_find(const char *name, size_t length)
{
    for (size_t i = 0; api_kind_lines[i]; i++)
        if (strncmp(api_kind_lines[i], name, length) == 0 && api_kind_lines[i][length] == ':')
            return api_kind_lines[i] + length + 1;
    return NULL;
}

const char *api_kind_next(const char *fields, struct api_kind_field *ret)
{
    const char *p = fields + strspn(fields, " ");
    if (!*p)
        return NULL;
    const char *end = p + strcspn(p, " "), *colon = strchr(p, ':');
    char *equals = NULL;
    assert(colon && colon < end);
    *ret = (struct api_kind_field){.name = p, .name_length = (size_t)(colon - p)};
    ret->number = (unsigned)strtoul(colon + 1, &equals, 10);
    assert(*equals == '=');
    ret->inlined = *p == '+';
    ret->type = equals + 1;
    ret->optional = *ret->type == '*';
    ret->type += ret->optional ? 1 : 0;
    const char *stop = end;
    ret->retain = stop[-1] == '~';
    stop -= ret->retain ? 1 : 0;
    const char *at = memchr(ret->type, '@', (size_t)(stop - ret->type));
    if (at) {
        ret->key = at + 1;
        ret->key_length = (size_t)(stop - at - 1);
        stop = at;
    }
    ret->type_length = (size_t)(stop - ret->type);
    return end;
}

static cJSON *scalar_schema(char letter)
{
    cJSON *schema = cJSON_CreateObject();
    switch (letter) {
    case 's':
        json_set_string(schema, "type", "string");
        break;
    case 'y':
        json_set_string(schema, "type", "string");
        json_set_string(schema, "format", "byte");
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
    case 'x':
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

static void add_fields(cJSON *types, cJSON *properties, const char *fields)
{
    struct api_kind_field f;
    for (const char *p = api_kind_next(fields, &f); p; p = api_kind_next(p, &f)) {
        if (f.inlined) {
            const char *more = api_kind_find(f.type, f.type_length);
            assert(more);
            add_fields(types, properties, more);
            continue;
        }
        cleanup_free char *name = mlt_strndup(f.name, f.name_length);
        cJSON *schema = schema_of(types, f.type, f.type_length);
        if (f.key)
            json_set_string(schema, "x-kubernetes-patch-strategy",
                            f.retain ? "merge,retainKeys" : "merge");
        if (f.key_length) {
            cleanup_free char *key = mlt_strndup(f.key, f.key_length);
            json_set_string(schema, "x-kubernetes-patch-merge-key", key);
        }
        cJSON_AddItemToObject(properties, name, schema);
    }
}

/* The schema of a type, made when it is first asked for; what it uses is made before it. */
static const cJSON *type_schema(cJSON *types, const char *name, size_t length)
{
    cleanup_free char *copy = mlt_strndup(name, length);
    const cJSON *known = json_member(types, copy);
    if (known)
        return known;
    const char *fields = api_kind_find(name, length);
    assert(fields);
    cJSON *schema = cJSON_CreateObject();
    json_set_string(schema, API_TYPE_MEMBER, copy);
    json_set_string(schema, "type", "object");
    add_fields(types, json_set_object(schema, "properties"), fields);
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
