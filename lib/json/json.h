/* JSON and YAML as cJSON trees: exact, checked, with the path in the error.
 *
 * A tree is read and built with these functions and cJSON's own; cJSON_GetObjectItem (it ignores
 * case), valueint and cJSON_Parse/cJSON_Print (they lose large integers) are banned outside
 * lib/json; the structure test looks for them. Whole numbers of more than 15 digits are kept as
 * cJSON_Raw nodes, so that what was read is what is written. Functions that allocate abort when
 * memory is exhausted. */
#ifndef JSON_JSON_H
#define JSON_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"

#define JSON_DEPTH_MAX 100                /* nesting of objects and arrays */
#define JSON_SIZE_MAX (16u * 1024 * 1024) /* bytes of one document */
#define JSON_NODES_MAX 2000000            /* values in one document */
#define JSON_PATCH_OPERATIONS_MAX 10000   /* of one JSON patch, as in Kubernetes */

#define cleanup_json __attribute__((cleanup(json_cleanup)))
static inline void json_cleanup(cJSON **node)
{
    cJSON_Delete(*node);
}

/* ---- text in, text out ---- */

/* Parses one document; only white space may follow it. -EINVAL with line and column, -E2BIG.
 * Duplicate keys are an error. The caller frees *ret_node with cJSON_Delete(). */
int json_parse(const char *text, size_t length, cJSON **ret_node,
               struct mlt_error *err) MLT_MUST_USE;

/* Compact and indented text; the caller frees it. Integers are written as integers. */
char *json_print(const cJSON *node);
char *json_print_indented(const cJSON *node); /* two spaces, ends without a newline */

/* Parses a YAML stream of one or more documents into an array node (empty documents are dropped).
 * YAML 1.2's core schema (and yes/no/on/off stay strings), with one exception: 0400 is octal, as
 * kubectl reads it, because manifests write file modes so. Anchors and aliases are resolved, with a
 * limit on the result's size
 * (-E2BIG); merge keys (<<), .inf and .nan are refused; JSON is YAML. -EINVAL with line and column.
 */
int json_parse_yaml(const char *text, size_t length, cJSON **ret_documents,
                    struct mlt_error *err) MLT_MUST_USE;

/* Block-style YAML as kubectl prints it; the caller frees it. */
char *json_print_yaml(const cJSON *node);

/* Whether bytes are well-formed UTF-8 (RFC 3629), as JSON text has to be. */
bool json_is_utf8(const char *text, size_t length);

/* ---- looking ---- (all accept a NULL node and then find nothing) */

/* A member by its exact name, or NULL. */
cJSON *json_member(const cJSON *object, const char *name);

/* A descendant by a path of member names and indexes: "status.conditions[0].type". Member names
 * that themselves hold dots are written in brackets: "metadata.labels[mltrain.io/job-name]". NULL
 * when absent. */
cJSON *json_find(const cJSON *node, const char *path);

/* A value at a path ("" is the node itself) with a fallback when it is absent or of another type.
 */
const char *json_string(const cJSON *node, const char *path, const char *fallback);
int64_t json_integer(const cJSON *node, const char *path, int64_t fallback);
double json_number(const cJSON *node, const char *path, double fallback);
bool json_bool(const cJSON *node, const char *path, bool fallback);
size_t json_size(const cJSON *node, const char *path); /* members or items; 0 when absent */

/* Whether a node is a whole number that fits int64_t; *ret_value is set when it is. */
bool json_is_integer(const cJSON *node, int64_t *ret_value);

/* ---- checked reading, for input of users: where = the path so far, "" at the top ---- */

/* Each reads member `name` of `object` into *ret when present (absent or null: *ret keeps its
 * default, returns 0); returns 1 when it was read; -EINVAL with "where.name: ... expected ..., got
 * ...". */
int json_read_string(const cJSON *object, const char *where, const char *name, size_t max_length,
                     const char **ret, struct mlt_error *err) MLT_MUST_USE; /* owned by the tree */
int json_read_integer(const cJSON *object, const char *where, const char *name, int64_t min,
                      int64_t max, int64_t *ret, struct mlt_error *err) MLT_MUST_USE;
int json_read_bool(const cJSON *object, const char *where, const char *name, bool *ret,
                   struct mlt_error *err) MLT_MUST_USE;
int json_read_object(const cJSON *object, const char *where, const char *name, const cJSON **ret,
                     struct mlt_error *err) MLT_MUST_USE;
int json_read_array(const cJSON *object, const char *where, const char *name, size_t max_items,
                    const cJSON **ret, struct mlt_error *err) MLT_MUST_USE;

/* -EINVAL with "path: expected ..., got ...", of any node. */
int json_refuse(const cJSON *got, const char *path, const char *expected, struct mlt_error *err);

/* -EINVAL naming the first member of `object` that is not among the `count` known names. */
int json_refuse_unknown(const cJSON *object, const char *where, const char *const *known,
                        size_t count, struct mlt_error *err) MLT_MUST_USE;

/* ---- building ---- */

cJSON *json_new_integer(int64_t value);

/* Set a value at a path (as in json_find, indexes excepted), making the objects on the way and
 * replacing what stood there. json_set takes ownership of `value`. `root` must be an object. */
void json_set(cJSON *root, const char *path, cJSON *value);
void json_set_string(cJSON *root, const char *path,
                     const char *value); /* NULL value: nothing is done */
void json_set_integer(cJSON *root, const char *path, int64_t value);
void json_set_bool(cJSON *root, const char *path, bool value);
void json_set_null(cJSON *root, const char *path);
void json_unset(cJSON *root, const char *path);
cJSON *json_set_object(cJSON *root, const char *path); /* existing or new object at the path */
cJSON *json_set_array(cJSON *root, const char *path);  /* existing or new array at the path */
void json_append(cJSON *array, cJSON *value);          /* takes ownership */
void json_append_string(cJSON *array, const char *value);

cJSON *json_copy(const cJSON *node);             /* deep; NULL gives NULL */
bool json_equal(const cJSON *a, const cJSON *b); /* order of members does not count; 1 equals 1.0 */

/* ---- patches ---- */

/* RFC 7386. Applies `patch` to *target in place (a non-object target is replaced). */
void json_merge_patch(cJSON **target, const cJSON *patch);

/* The merge patch that turns `from` into `to`; {} when they are equal objects. A null inside an
 * object of `to` cannot be said in a merge patch: there the member is removed. The caller frees it.
 */
cJSON *json_merge_diff(const cJSON *from, const cJSON *to);

/* RFC 6902: all operations or none. -EINVAL with the operation's index; -ENOENT for a missing path;
 * -EBADMSG when a `test` operation fails. */
int json_patch(cJSON **target, const cJSON *operations, struct mlt_error *err) MLT_MUST_USE;

#endif
