/* The built-in types as schemas, in the form of CRD schemas (OpenAPI v3), so that one walker
 * (schema.h) serves both. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_KINDS_H
#define LOCALCLUSTER_API_KINDS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* "Pod: metadata:1=ObjectMeta spec:2=PodSpec ...", ends with NULL; kinds_table.c explains the
 * notation. */
extern const char *const api_kind_lines[];

/* One field of a line; pointers into the line. */
struct api_kind_field {
    const char *name, *type, *key; /* key: the merge key, NULL when patches replace */
    size_t name_length, type_length, key_length;
    unsigned number; /* in protobuf */
    bool optional;   /* absent and zero are different things */
    bool retain;     /* patches may name the keys to keep */
    bool inlined;    /* the field + */
};

/* The fields of a type (by the first `length` bytes of its name) as text for api_kind_next(); NULL.
 */
const char *api_kind_find(const char *name, size_t length);

/* Reads the next field; returns the text after it, or NULL at the end. */
const char *api_kind_next(const char *fields, struct api_kind_field *ret);

/* The member of each schema that says which type it is: {"x-mltrain-type": "PodSpec"}. Nodes that
 * use a type share its members, so no references have to be followed. */
#define API_TYPE_MEMBER "x-mltrain-type"

/* An object: type name -> schema. Freed with cJSON_Delete(). Aborts on a malformed table. */
cJSON *api_kinds_new(void);

#endif
