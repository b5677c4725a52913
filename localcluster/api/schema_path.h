/* The path of the value that a schema walker is at: "spec.containers[0].name"; and the members of a
 * schema. Private to schema*.c. */
#ifndef LOCALCLUSTER_API_SCHEMA_PATH_H
#define LOCALCLUSTER_API_SCHEMA_PATH_H

#include <string.h>
#include "lib/base/text.h"
#include "lib/json/json.h"

#define SCHEMA_PATH_MAX 4096

/* Both return the length to go back to with schema_path_cut(). A name that is a map's key goes in
 * brackets. */
static inline size_t schema_path_member(struct mlt_text *path, const char *name, bool key)
{
    size_t length = path->length;
    if (key)
        mlt_text_printf(path, "[%s]", name);
    else
        mlt_text_printf(path, "%s%s", length ? "." : "", name);
    return length;
}

static inline size_t schema_path_item(struct mlt_text *path, size_t index)
{
    size_t length = path->length;
    mlt_text_printf(path, "[%zu]", index);
    return length;
}

static inline void schema_path_cut(struct mlt_text *path, size_t length)
{
    path->length = length;
    path->failed = false;
    if (path->data)
        path->data[length] = '\0';
}

/* The first of a schema's properties, each with its name; NULL for none. */
static inline const cJSON *schema_first_property(const cJSON *schema)
{
    const cJSON *properties = json_member(schema, "properties");
    return cJSON_IsObject(properties) ? properties->child : NULL;
}

#endif
