/* Tables of fields: one table of an object says how each of its fields is read, defaulted and
 * checked, so that the three cannot disagree. tests/unit/trainingjob compares the tables with the
 * CRD's schema. */
#ifndef TRAININGJOB_FIELDS_H
#define TRAININGJOB_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "lib/json/json.h"

#define FIELDS_PATH_MAX 256 /* bytes of a field's path in a message */

enum field_kind {
    FIELD_STRING,   /* const char *, owned by the tree */
    FIELD_BOOL,     /* bool */
    FIELD_INTEGER,  /* int64_t */
    FIELD_ENUM,     /* int: the name's place, or its value in `values` */
    FIELD_QUANTITY, /* int64_t, thousandths; text or a whole number in JSON */
    FIELD_TREE,     /* const cJSON *: an object that is not looked into here */
    FIELD_OBJECT,   /* a struct at `offset`, with `table` */
    FIELD_LIST,     /* pointer at `offset` to an array on the heap, count at `count_offset` */
    FIELD_ARRAY,    /* the same with the array itself at `offset` */
    FIELD_INTEGERS, /* int array at `offset` */
    FIELD_ENUMS     /* int array at `offset` */
};

struct field_table {
    const struct field *fields;
    size_t count;
    size_t size; /* of the struct; for items of lists */
};

struct field {
    const char *name;
    enum field_kind kind;
    bool required;
    bool has_default; /* the schema's default is `absent` */
    bool unsupported; /* a value other than `absent` is refused by this version */
    size_t offset, count_offset;
    int64_t min, max;          /* of integers; characters of strings; items of lists */
    int64_t absent;            /* what integers, enums and booleans are when they are absent */
    const char *const *names;  /* of enums, NULL-terminated */
    const int *values;         /* of enums; NULL: the place of the name */
    const uint32_t *supported; /* of enums: bits of the places that are supported; NULL: all */
    const struct field_table *table; /* of objects and of items of lists */
};

/* For writing tables. */
#define FIELD_TABLE(type, list)                                                         \
    {                                                                                   \
        .fields = (list), .count = sizeof(list) / sizeof(list)[0], .size = sizeof(type) \
    }
#define FIELD_AT(type, member) .offset = offsetof(type, member)
#define FIELD_COUNT_AT(type, member) .count_offset = offsetof(type, member)

/* Sets everything to what it is when absent. */
void fields_init(const struct field_table *table, void *base);

/* Reads an object into the struct at `base`, which was initialised. -EINVAL with the path. */
int fields_read(const struct field_table *table, const cJSON *object, const char *where, void *base,
                struct mlt_error *err) MLT_MUST_USE;

/* Frees the lists; the struct may be initialised again. */
void fields_release(const struct field_table *table, void *base);

/* Writes the schema's defaults into the JSON object, in the objects and lists that are there. */
void fields_default(const struct field_table *table, cJSON *object);

/* Refuses unknown fields. */
int fields_refuse_unknown(const struct field_table *table, const cJSON *object, const char *where,
                          struct mlt_error *err) MLT_MUST_USE;

/* Refuses what is not supported yet. */
int fields_refuse_unsupported(const struct field_table *table, const cJSON *object,
                              const char *where, struct mlt_error *err) MLT_MUST_USE;

/* "where.name", cut when too long. */
void fields_path(char path[FIELDS_PATH_MAX], const char *where, const char *name);
void fields_item_path(char path[FIELDS_PATH_MAX], const char *where, const char *name,
                      size_t index);

/* "is required" and the like with the path in front. */
int fields_fail(struct mlt_error *err, const char *where, const char *name, const char *words);

#endif
