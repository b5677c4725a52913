/* Defaults, unknown fields and unsupported fields of JSON objects, by the same tables that read
 * them. */
#include <errno.h>
#include <string.h>

#include "trainingjob/fields.h"

/* The name of the value that a field has when it is absent. */
static const char *absent_name(const struct field *f)
{
    for (int i = 0; f->names[i]; i++) {
        if ((f->values ? f->values[i] : i) == (int)f->absent)
            return f->names[i];
    }
    return NULL;
}

static void set_default(const struct field *f, cJSON *object)
{
    if (f->kind == FIELD_BOOL)
        json_set_bool(object, f->name, f->absent != 0);
    else if (f->kind == FIELD_INTEGER)
        json_set_integer(object, f->name, f->absent);
    else if (f->kind == FIELD_ENUM)
        json_set_string(object, f->name, absent_name(f));
}

void fields_default(const struct field_table *table, cJSON *object)
{
    if (!cJSON_IsObject(object))
        return;
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        cJSON *found = json_member(object, f->name), *item;
        if (f->has_default && (!found || cJSON_IsNull(found)))
            set_default(f, object);
        if (f->kind == FIELD_OBJECT)
            fields_default(f->table, found);
        if ((f->kind == FIELD_LIST || f->kind == FIELD_ARRAY) && cJSON_IsArray(found)) {
            cJSON_ArrayForEach(item, found) fields_default(f->table, item);
        }
    }
}

/* ---- walking tables and objects side by side ---- */

typedef int check_fn(const struct field_table *table, const cJSON *object, const char *where,
                     struct mlt_error *err);

/* Calls `check` for the objects inside `object` that have a table. */
static int for_inner(const struct field_table *table, const cJSON *object, const char *where,
                     check_fn *check, struct mlt_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < table->count && rc == 0; i++) {
        const struct field *f = &table->fields[i];
        const cJSON *found = json_member(object, f->name), *item;
        char path[FIELDS_PATH_MAX];
        size_t index = 0;
        fields_path(path, where, f->name);
        if (f->kind == FIELD_OBJECT && found)
            rc = check(f->table, found, path, err);
        if (f->kind != FIELD_LIST && f->kind != FIELD_ARRAY)
            continue;
        cJSON_ArrayForEach(item, found)
        {
            fields_item_path(path, where, f->name, index++);
            rc = check(f->table, item, path, err);
            if (rc < 0)
                return rc;
        }
    }
    return rc;
}

static bool is_known(const struct field_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->fields[i].name, name) == 0)
            return true;
    }
    return false;
}

int fields_refuse_unknown(const struct field_table *table, const cJSON *object, const char *where,
                          struct mlt_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        if (!is_known(table, item->string))
            return fields_fail(err, where, item->string, "unknown field");
    }
    return for_inner(table, object, where, fields_refuse_unknown, err);
}

/* ---- unsupported ---- */

static bool is_supported(const struct field *f, const cJSON *value)
{
    int64_t integer;
    if (!value || cJSON_IsNull(value))
        return true;
    switch (f->kind) {
    case FIELD_BOOL:
        return (bool)cJSON_IsTrue(value) == (f->absent != 0);
    case FIELD_INTEGER:
        return json_is_integer(value, &integer) && integer == f->absent;
    case FIELD_ENUM:
        return cJSON_IsString(value) && strcmp(value->valuestring, absent_name(f)) == 0;
    default:
        return json_size(value, "") == 0 && !cJSON_IsString(value);
    }
}

/* An enum of which only some names are supported. */
static int check_name(const struct field *f, const cJSON *value, const char *where,
                      struct mlt_error *err)
{
    if (!cJSON_IsString(value))
        return 0;
    for (int i = 0; f->names[i]; i++) {
        if (strcmp(f->names[i], value->valuestring) != 0 || (*f->supported >> i & 1) != 0)
            continue;
        char path[FIELDS_PATH_MAX];
        fields_path(path, where, f->name);
        return mlt_fail(err, EINVAL, "%s: `%s` is not supported yet", path, f->names[i]);
    }
    return 0;
}

int fields_refuse_unsupported(const struct field_table *table, const cJSON *object,
                              const char *where, struct mlt_error *err)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        const cJSON *value = json_member(object, f->name);
        if (f->unsupported && !is_supported(f, value))
            return fields_fail(err, where, f->name, "not supported yet");
        int rc = f->supported ? check_name(f, value, where, err) : 0;
        if (rc < 0)
            return rc;
    }
    return for_inner(table, object, where, fields_refuse_unsupported, err);
}
