/* /openapi/v2: one Swagger document of everything, as protobuf (gnostic's openapi.v2.Document), the
 * only form that kubectl asks for here; kubectl up to 1.26 needs it for explain and for apply's
 * patches. As JSON for people. Field numbers: google/gnostic-models, openapiv2/OpenAPIv2.proto. See
 * call.h. */
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/openapi.h"
#include "localcluster/api/protobuf_writer.h"

#define DOCUMENT_MAX (64u << 20) /* bytes */

/* The media type without the `@` of the real server's: with it, kubectl 1.20 to 1.33 refuse
 * (tried). */
#define PROTOBUF_TYPE "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

enum document_field {
    DOCUMENT_SWAGGER = 1,
    DOCUMENT_INFO = 2,
    DOCUMENT_PATHS = 8,
    DOCUMENT_DEFINITIONS = 9
};
enum info_field { INFO_TITLE = 1, INFO_VERSION = 2 };
enum paths_field { PATHS_PATH = 2 };
enum named_field {
    NAMED_NAME = 1,
    NAMED_VALUE = 2
}; /* NamedSchema, NamedPathItem, NamedAny, ... */
enum path_item_field { ITEM_GET = 2, ITEM_PUT = 3, ITEM_POST = 4, ITEM_DELETE = 5, ITEM_PATCH = 8 };
enum operation_field {
    OPERATION_ID = 5,
    OPERATION_PARAMETERS = 8,
    OPERATION_RESPONSES = 9,
    OPERATION_EXTENSION = 13
};
enum schema_field {
    SCHEMA_REF = 1,
    SCHEMA_FORMAT = 2,
    SCHEMA_DESCRIPTION = 4,
    SCHEMA_REQUIRED = 19,
    SCHEMA_ADDITIONAL = 21,
    SCHEMA_TYPE = 22,
    SCHEMA_ITEMS = 23,
    SCHEMA_PROPERTIES = 25,
    SCHEMA_EXTENSION = 31
};

#define PROTOBUF_BUFFER MLT_TEXT_INIT(DOCUMENT_MAX)

void protobuf_string(struct mlt_text *out, unsigned field, const char *text)
{
    if (text)
        protobuf_bytes(out, field, text, strlen(text));
}

void protobuf_message(struct mlt_text *out, unsigned field, struct mlt_text *inside)
{
    protobuf_bytes(out, field, mlt_text_string(inside), inside->length);
    out->failed = out->failed || inside->failed;
    mlt_text_clear(inside);
}

/* NamedAny: an extension with its value as YAML (JSON is YAML). */
static void write_extension(struct mlt_text *out, unsigned field, const char *name,
                            const cJSON *value)
{
    cleanup_text struct mlt_text any = PROTOBUF_BUFFER, named = PROTOBUF_BUFFER;
    cleanup_free char *json = json_print(value);
    cleanup_free char *yaml = mlt_asprintf("%s\n", json);
    protobuf_string(&any, 2, yaml);
    protobuf_string(&named, NAMED_NAME, name);
    protobuf_message(&named, NAMED_VALUE, &any);
    protobuf_message(out, field, &named);
}

static void write_schema(struct mlt_text *out, const cJSON *schema);

static void write_properties(struct mlt_text *out, const cJSON *properties)
{
    cleanup_text struct mlt_text list = PROTOBUF_BUFFER;
    const cJSON *property;
    cJSON_ArrayForEach(property, properties)
    {
        cleanup_text struct mlt_text named = PROTOBUF_BUFFER, schema = PROTOBUF_BUFFER;
        write_schema(&schema, property);
        protobuf_string(&named, NAMED_NAME, property->string);
        protobuf_message(&named, NAMED_VALUE, &schema);
        protobuf_message(&list, 1, &named);
    }
    protobuf_message(out, SCHEMA_PROPERTIES, &list);
}

/* ItemsItem {repeated Schema schema = 1}, AdditionalPropertiesItem {Schema schema = 1}. */
static void write_wrapped(struct mlt_text *out, unsigned field, const cJSON *schema)
{
    cleanup_text struct mlt_text inner = PROTOBUF_BUFFER, item = PROTOBUF_BUFFER;
    write_schema(&inner, schema);
    protobuf_message(&item, 1, &inner);
    protobuf_message(out, field, &item);
}

/* int-or-string has no type in Swagger; a string with that format, as the real document says. */
static void write_type(struct mlt_text *out, const cJSON *schema)
{
    cleanup_text struct mlt_text type = PROTOBUF_BUFFER;
    bool mixed = json_bool(schema, "x-kubernetes-int-or-string", false);
    const char *name = mixed ? "string" : json_string(schema, "type", NULL);
    if (!name)
        return;
    protobuf_string(&type, 1, name);
    protobuf_message(out, SCHEMA_TYPE, &type);
}

static void write_schema(struct mlt_text *out, const cJSON *schema)
{
    const cJSON *reference = json_member(schema, "$ref"), *member;
    if (cJSON_IsString(reference)) {
        protobuf_string(out, SCHEMA_REF, reference->valuestring);
        return;
    }
    bool mixed = json_bool(schema, "x-kubernetes-int-or-string", false);
    protobuf_string(out, SCHEMA_FORMAT,
                    mixed ? "int-or-string" : json_string(schema, "format", NULL));
    protobuf_string(out, SCHEMA_DESCRIPTION, json_string(schema, "description", NULL));
    cJSON_ArrayForEach(member, json_member(schema, "required"))
    {
        protobuf_string(out, SCHEMA_REQUIRED, member->valuestring);
    }
    const cJSON *additional = json_member(schema, "additionalProperties");
    const cJSON *items = json_member(schema, "items"),
                *properties = json_member(schema, "properties");
    if (cJSON_IsObject(additional))
        write_wrapped(out, SCHEMA_ADDITIONAL, additional);
    write_type(out, schema);
    if (cJSON_IsObject(items))
        write_wrapped(out, SCHEMA_ITEMS, items);
    if (cJSON_IsObject(properties))
        write_properties(out, properties);
    cJSON_ArrayForEach(member, schema)
    {
        if (strncmp(member->string, "x-kubernetes-", 13) == 0 &&
            strcmp(member->string, "x-kubernetes-validations") != 0)
            write_extension(out, SCHEMA_EXTENSION, member->string, member);
    }
}

/* Parameter > NonBodyParameter > QueryParameterSubSchema, each the one member of the other. */
static void write_query_parameter(struct mlt_text *operation, const char *name)
{
    cleanup_text struct mlt_text query = PROTOBUF_BUFFER, wrap = PROTOBUF_BUFFER,
                                 outer = PROTOBUF_BUFFER;
    protobuf_string(&query, 2, "query");
    protobuf_string(&query, 4, name);
    protobuf_string(&query, 6, "string");
    protobuf_message(&wrap, 3, &query);
    protobuf_message(&outer, 2, &wrap);
    protobuf_message(&wrap, 1, &outer);
    protobuf_message(operation, OPERATION_PARAMETERS, &wrap);
}

static void write_responses(struct mlt_text *operation)
{
    cleanup_text struct mlt_text response = PROTOBUF_BUFFER, value = PROTOBUF_BUFFER,
                                 named = PROTOBUF_BUFFER;
    protobuf_string(&response, 1, "OK");
    protobuf_message(&value, 1, &response);
    protobuf_string(&named, NAMED_NAME, "200");
    protobuf_message(&named, NAMED_VALUE, &value);
    protobuf_message(&response, 1, &named);
    protobuf_message(operation, OPERATION_RESPONSES, &response);
}

static void write_operation(struct mlt_text *item, unsigned field, const struct api_resource *r,
                            const char *action, bool validates)
{
    cleanup_text struct mlt_text operation = PROTOBUF_BUFFER;
    cleanup_json cJSON *gvk = cJSON_CreateObject(), *name = cJSON_CreateString(action);
    cleanup_free char *id = mlt_asprintf("%s%s%s%s", action, r->group, r->version, r->kind);
    protobuf_string(&operation, OPERATION_ID, id);
    if (validates) {
        write_query_parameter(&operation, "dryRun");
        write_query_parameter(&operation, "fieldValidation");
    }
    write_responses(&operation);
    json_set_string(gvk, "group", r->group);
    json_set_string(gvk, "version", r->version);
    json_set_string(gvk, "kind", r->kind);
    write_extension(&operation, OPERATION_EXTENSION, "x-kubernetes-action", name);
    write_extension(&operation, OPERATION_EXTENSION, "x-kubernetes-group-version-kind", gvk);
    protobuf_message(item, field, &operation);
}

static void write_path(struct mlt_text *paths, const struct api_resource *r, bool object)
{
    cleanup_text struct mlt_text item = PROTOBUF_BUFFER, named = PROTOBUF_BUFFER;
    cleanup_free char *path =
        mlt_asprintf("/%s/%s%s/%s%s", r->group[0] ? "apis" : "api", r->api_version,
                     api_resource_is(r, API_NAMESPACED) ? "/namespaces/{namespace}" : "", r->plural,
                     object ? "/{name}" : "");
    write_operation(&item, ITEM_GET, r, object ? "get" : "list", false);
    if (object) {
        write_operation(&item, ITEM_PUT, r, "put", true);
        write_operation(&item, ITEM_DELETE, r, "delete", false);
        write_operation(&item, ITEM_PATCH, r, "patch", true);
    } else {
        write_operation(&item, ITEM_POST, r, "post", true);
    }
    protobuf_string(&named, NAMED_NAME, path);
    protobuf_message(&named, NAMED_VALUE, &item);
    protobuf_message(paths, PATHS_PATH, &named);
}

static void write_document(struct api_call *c, const cJSON *schemas, struct mlt_text *out)
{
    cleanup_text struct mlt_text part = PROTOBUF_BUFFER, schema = PROTOBUF_BUFFER,
                                 named = PROTOBUF_BUFFER;
    protobuf_string(out, DOCUMENT_SWAGGER, "2.0");
    protobuf_string(&part, INFO_TITLE, "mltrain");
    protobuf_string(&part, INFO_VERSION, MLTRAIN_VERSION);
    protobuf_message(out, DOCUMENT_INFO, &part);
    for (size_t i = 0; i < c->server->registry.count; i++) {
        const struct api_resource *r = c->server->registry.resources[i];
        if (!api_is_served(r))
            continue;
        write_path(&part, r, false);
        write_path(&part, r, true);
    }
    protobuf_message(out, DOCUMENT_PATHS, &part);
    const cJSON *definition;
    cJSON_ArrayForEach(definition, schemas)
    {
        write_schema(&schema, definition);
        protobuf_string(&named, NAMED_NAME, definition->string);
        protobuf_message(&named, NAMED_VALUE, &schema);
        protobuf_message(&part, 1, &named);
    }
    protobuf_message(out, DOCUMENT_DEFINITIONS, &part);
}

/* Swagger cannot say "these members, and any others": an old kubectl's own validation refuses others
 * where it knows some, so it is told of none (as apiextensions-apiserver does for the same reason). */
static void leave_open(cJSON *schema)
{
    cJSON *part;
    if (json_bool(schema, "x-kubernetes-preserve-unknown-fields", false)) {
        cJSON_DeleteItemFromObjectCaseSensitive(schema, "items");
        cJSON_DeleteItemFromObjectCaseSensitive(schema, "properties");
    }
    cJSON_ArrayForEach(part, schema)
    {
        if (cJSON_IsObject(part))
            leave_open(part);
    }
}

int api_openapi_v2(struct api_call *c)
{
    cJSON *schemas = api_openapi_schemas(c, NULL, NULL, "#/definitions/");
    leave_open(schemas);
    const char *accept = c->request->accept ? c->request->accept : "";
    if (!strstr(accept, "protobuf")) {
        cJSON *document = cJSON_CreateObject();
        json_set_string(document, "swagger", "2.0");
        json_set_string(document, "info.title", "mltrain");
        json_set_string(document, "info.version", MLTRAIN_VERSION);
        (void)json_set_object(document, "paths");
        json_set(document, "definitions", schemas);
        api_answer_tree(c->answer, 200, document);
        return 0;
    }
    cleanup_text struct mlt_text out = PROTOBUF_BUFFER;
    write_document(c, schemas, &out);
    cJSON_Delete(schemas);
    if (out.failed)
        return api_refuse(c->answer, 500, "InternalError",
                          "the OpenAPI document is larger than %u bytes", DOCUMENT_MAX);
    api_answer_text(c->answer, 200, mlt_text_string(&out), out.length);
    c->answer->content_type = PROTOBUF_TYPE;
    return 0;
}
