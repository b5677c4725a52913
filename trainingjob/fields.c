/* Reads JSON into structs by tables of fields: see fields.h. */
#include "trainingjob/fields.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/number.h"
#include "lib/base/text.h"

/* A field of the struct at `base`, as the type that its kind has. */
#define AT(type, base, offset) ((type *)(void *)((char *)(base) + (offset)))

void fields_path(char path[FIELDS_PATH_MAX], const char *where, const char *name)
{
    (void)snprintf(path, FIELDS_PATH_MAX, "%s%s%s", where, where[0] ? "." : "", name);
}

void fields_item_path(char path[FIELDS_PATH_MAX], const char *where, const char *name, size_t index)
{
    (void)snprintf(path, FIELDS_PATH_MAX, "%s%s%s[%zu]", where, where[0] ? "." : "", name, index);
}

int fields_fail(struct mlt_error *err, const char *where, const char *name, const char *words)
{
    char path[FIELDS_PATH_MAX];
    fields_path(path, where, name);
    return mlt_fail(err, EINVAL, "%s: %s", path, words);
}

/* ---- absent ---- */

static void field_init(const struct field *f, void *base)
{
    switch (f->kind) {
    case FIELD_STRING:
        *AT(const char *, base, f->offset) = NULL;
        break;
    case FIELD_TREE:
        *AT(const cJSON *, base, f->offset) = NULL;
        break;
    case FIELD_BOOL:
        *AT(bool, base, f->offset) = f->absent != 0;
        break;
    case FIELD_INTEGER:
    case FIELD_QUANTITY:
        *AT(int64_t, base, f->offset) = f->absent;
        break;
    case FIELD_ENUM:
        *AT(int, base, f->offset) = (int)f->absent;
        break;
    case FIELD_OBJECT:
        fields_init(f->table, AT(char, base, f->offset));
        break;
    case FIELD_LIST:
        *AT(void *, base, f->offset) = NULL;
        *AT(size_t, base, f->count_offset) = 0;
        break;
    case FIELD_ARRAY:
    case FIELD_INTEGERS:
    case FIELD_ENUMS:
        *AT(size_t, base, f->count_offset) = 0;
        break;
    }
}

void fields_init(const struct field_table *table, void *base)
{
    for (size_t i = 0; i < table->count; i++)
        field_init(&table->fields[i], base);
}

void fields_release(const struct field_table *table, void *base)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        if (f->kind == FIELD_OBJECT)
            fields_release(f->table, AT(char, base, f->offset));
        if (f->kind == FIELD_LIST) {
            free(*AT(void *, base, f->offset));
            *AT(void *, base, f->offset) = NULL;
            *AT(size_t, base, f->count_offset) = 0;
        }
    }
}

/* ---- reading ---- */

/* The place of a name, or -1. */
static int place_of(const struct field *f, const char *name)
{
    for (int i = 0; f->names[i]; i++) {
        if (strcmp(f->names[i], name) == 0)
            return i;
    }
    return -1;
}

static int value_of(const struct field *f, int place)
{
    return f->values ? f->values[place] : place;
}

static int fail_name(const struct field *f, const char *path, const char *got,
                     struct mlt_error *err)
{
    struct mlt_text names = MLT_TEXT_INIT(300);
    for (int i = 0; f->names[i]; i++)
        mlt_text_printf(&names, "%s%s", i > 0 ? ", " : "", f->names[i]);
    int rc = mlt_fail(err, EINVAL, "%s: expected one of %s, got `%.60s`", path,
                      mlt_text_string(&names), got);
    mlt_text_release(&names);
    return rc;
}

/* 1 and the text, with its length checked. */
static int read_string(const struct field *f, const cJSON *object, const char *where,
                       const char **ret, struct mlt_error *err)
{
    const char *text = NULL;
    int rc = json_read_string(object, where, f->name, (size_t)f->max, &text, err);
    if (rc > 0 && strlen(text) < (size_t)f->min)
        return fields_fail(err, where, f->name, "expected a text that is not empty");
    if (rc > 0)
        *ret = text;
    return rc;
}

static int read_enum(const struct field *f, const cJSON *object, const char *where, int *ret,
                     struct mlt_error *err)
{
    const char *text = NULL;
    int rc = json_read_string(object, where, f->name, 255, &text, err);
    if (rc <= 0)
        return rc;
    int place = place_of(f, text);
    if (place < 0) {
        char path[FIELDS_PATH_MAX];
        fields_path(path, where, f->name);
        return fail_name(f, path, text, err);
    }
    *ret = value_of(f, place);
    return 1;
}

static int read_quantity(const struct field *f, const cJSON *object, const char *where,
                         int64_t *ret, struct mlt_error *err)
{
    struct mlt_error inner = {0};
    const cJSON *found = json_member(object, f->name);
    char number[32];
    int64_t value;
    if (!found || cJSON_IsNull(found))
        return 0;
    if (json_is_integer(found, &value))
        (void)snprintf(number, sizeof number, "%lld", (long long)value);
    else if (!cJSON_IsString(found))
        return fields_fail(err, where, f->name, "expected a quantity such as \"500m\" or \"8Gi\"");
    const char *text = cJSON_IsString(found) ? found->valuestring : number;
    if (mlt_quantity_parse_milli(text, &value, &inner) < 0)
        return fields_fail(err, where, f->name, inner.text);
    *ret = value;
    return 1;
}

/* The list's items, with their number checked. */
static int read_items(const struct field *f, const cJSON *object, const char *where,
                      const cJSON **ret_list, struct mlt_error *err)
{
    int rc = json_read_array(object, where, f->name, (size_t)f->max, ret_list, err);
    if (rc > 0 && json_size(*ret_list, "") < (size_t)f->min)
        return fields_fail(err, where, f->name, "expected at least one item");
    return rc;
}

static int read_list(const struct field *f, const cJSON *object, const char *where, void *base,
                     struct mlt_error *err)
{
    const cJSON *list = NULL, *item;
    int rc = read_items(f, object, where, &list, err);
    if (rc <= 0)
        return rc;
    char *items;
    if (f->kind == FIELD_LIST) {
        items = mlt_calloc(json_size(list, "") + 1, f->table->size);
        *AT(void *, base, f->offset) = items;
    } else {
        items = AT(char, base, f->offset);
    }
    size_t *count = AT(size_t, base, f->count_offset);
    cJSON_ArrayForEach(item, list)
    {
        char path[FIELDS_PATH_MAX];
        char *to = items + *count * f->table->size;
        fields_item_path(path, where, f->name, *count);
        if (!cJSON_IsObject(item))
            return json_refuse(item, path, "an object", err);
        fields_init(f->table, to);
        rc = fields_read(f->table, item, path, to, err);
        if (rc < 0)
            return rc;
        (*count)++;
    }
    return 1;
}

static int read_scalar_item(const struct field *f, const cJSON *item, const char *path, int *ret,
                            struct mlt_error *err)
{
    int64_t value;
    if (f->kind == FIELD_ENUMS) {
        if (!cJSON_IsString(item))
            return json_refuse(item, path, "a string", err);
        int place = place_of(f, item->valuestring);
        if (place < 0)
            return fail_name(f, path, item->valuestring, err);
        *ret = value_of(f, place);
        return 0;
    }
    /* Integers of lists are from 1 to 255: exit codes, the only ones there are. */
    if (!json_is_integer(item, &value) || value < 1 || value > 255)
        return json_refuse(item, path, "a whole number from 1 to 255", err);
    *ret = (int)value;
    return 0;
}

static int read_scalars(const struct field *f, const cJSON *object, const char *where, void *base,
                        struct mlt_error *err)
{
    const cJSON *list = NULL, *item;
    int rc = read_items(f, object, where, &list, err);
    if (rc <= 0)
        return rc;
    int *items = AT(int, base, f->offset);
    size_t *count = AT(size_t, base, f->count_offset);
    cJSON_ArrayForEach(item, list)
    {
        char path[FIELDS_PATH_MAX];
        int value = 0;
        fields_item_path(path, where, f->name, *count);
        rc = read_scalar_item(f, item, path, &value, err);
        if (rc < 0)
            return rc;
        for (size_t i = 0; i < *count; i++) {
            if (items[i] == value)
                return mlt_fail(err, EINVAL, "%s: this value stands twice in the list", path);
        }
        items[(*count)++] = value;
    }
    return 1;
}

static int field_read(const struct field *f, const cJSON *object, const char *where, void *base,
                      struct mlt_error *err)
{
    char path[FIELDS_PATH_MAX];
    const cJSON *tree = NULL;
    int rc;
    switch (f->kind) {
    case FIELD_STRING:
        return read_string(f, object, where, AT(const char *, base, f->offset), err);
    case FIELD_BOOL:
        return json_read_bool(object, where, f->name, AT(bool, base, f->offset), err);
    case FIELD_INTEGER:
        return json_read_integer(object, where, f->name, f->min, f->max,
                                 AT(int64_t, base, f->offset), err);
    case FIELD_QUANTITY:
        return read_quantity(f, object, where, AT(int64_t, base, f->offset), err);
    case FIELD_ENUM:
        return read_enum(f, object, where, AT(int, base, f->offset), err);
    case FIELD_TREE:
        return json_read_object(object, where, f->name, AT(const cJSON *, base, f->offset), err);
    case FIELD_OBJECT:
        rc = json_read_object(object, where, f->name, &tree, err);
        if (rc <= 0)
            return rc;
        fields_path(path, where, f->name);
        rc = fields_read(f->table, tree, path, AT(char, base, f->offset), err);
        return rc < 0 ? rc : 1;
    case FIELD_LIST:
    case FIELD_ARRAY:
        return read_list(f, object, where, base, err);
    case FIELD_INTEGERS:
    case FIELD_ENUMS:
        return read_scalars(f, object, where, base, err);
    }
    abort();
}

int fields_read(const struct field_table *table, const cJSON *object, const char *where, void *base,
                struct mlt_error *err)
{
    for (size_t i = 0; i < table->count; i++) {
        int rc = field_read(&table->fields[i], object, where, base, err);
        if (rc < 0)
            return rc;
        if (rc == 0 && table->fields[i].required)
            return fields_fail(err, where, table->fields[i].name, "is required");
    }
    return 0;
}
