/* Tables: see table.h. */
#include "localcluster/api/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/columns.h"
#include "localcluster/api/jsonpath.h"

static void add_definition(cJSON *list, const char *name, const char *type, const char *format,
                           const char *description, int64_t priority)
{
    cJSON *column = cJSON_CreateObject();
    json_set_string(column, "name", name);
    json_set_string(column, "type", type);
    json_set_string(column, "format", format);
    json_set_string(column, "description", description);
    json_set_integer(column, "priority", priority);
    json_append(list, column);
}

static bool is_custom(const struct api_resource *r)
{
    return api_resource_is(r, API_CUSTOM) && r->columns;
}

static void add_definitions(cJSON *table, const struct api_resource *r)
{
    cJSON *list = json_set_array(table, "columnDefinitions");
    if (!is_custom(r)) {
        for (const struct api_column *c = api_columns_of(r); c->name; c++)
            add_definition(list, c->name, c->type, c->format, c->name, c->priority);
        return;
    }
    add_definition(list, "Name", "string", "name", "Name", 0);
    const cJSON *column;
    cJSON_ArrayForEach(column, r->columns)
    {
        add_definition(list, json_string(column, "name", ""), json_string(column, "type", "string"),
                       json_string(column, "format", ""), json_string(column, "description", ""),
                       json_integer(column, "priority", 0));
    }
}

cJSON *api_table_new(const struct api_resource *r, uint64_t revision, bool columns)
{
    cJSON *table = cJSON_CreateObject();
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, revision);
    json_set_string(table, "kind", "Table");
    json_set_string(table, "apiVersion", "meta.k8s.io/v1");
    json_set_string(table, "metadata.resourceVersion", text);
    (void)json_set_array(table, "columnDefinitions");
    if (columns)
        add_definitions(table, r);
    (void)json_set_array(table, "rows");
    return table;
}

/* The cell of a printer column: as apiextensions-apiserver's tableconvertor makes it. */
static cJSON *custom_cell(const cJSON *column, const cJSON *tree, int64_t now_ms)
{
    const cJSON *value = api_jsonpath(tree, json_string(column, "jsonPath", ""));
    const char *type = json_string(column, "type", "string");
    int64_t whole;
    if (!value || cJSON_IsNull(value))
        return cJSON_CreateNull();
    if (strcmp(type, "date") == 0) {
        cleanup_free char *age = api_age(json_string(value, "", ""), now_ms);
        return cJSON_CreateString(age);
    }
    if (strcmp(type, "integer") == 0)
        return json_is_integer(value, &whole) ? json_new_integer(whole) : cJSON_CreateNull();
    if (strcmp(type, "number") == 0 || strcmp(type, "boolean") == 0)
        return json_copy(value);
    if (cJSON_IsString(value))
        return cJSON_CreateString(value->valuestring);
    cleanup_free char *text = json_print(value);
    return cJSON_CreateString(text);
}

void api_table_add(cJSON *table, const struct api_resource *r, const cJSON *tree,
                   enum api_include include, int64_t now_ms)
{
    cJSON *row = cJSON_CreateObject(), *cells = cJSON_CreateArray();
    if (is_custom(r)) {
        json_append_string(cells, json_string(tree, "metadata.name", ""));
        const cJSON *column;
        cJSON_ArrayForEach(column, r->columns)
        {
            json_append(cells, custom_cell(column, tree, now_ms));
        }
    } else {
        for (const struct api_column *c = api_columns_of(r); c->name; c++)
            json_append(cells, c->cell(tree, now_ms));
    }
    json_set(row, "cells", cells);
    if (include == API_INCLUDE_OBJECT)
        json_set(row, "object", json_copy(tree));
    else if (include == API_INCLUDE_METADATA)
        json_set(row, "object", api_partial_metadata(tree, true));
    json_append(json_member(table, "rows"), row);
}
