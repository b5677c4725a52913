/* What the files of lib/json share. Not for other folders. */
#ifndef JSON_INTERNAL_H
#define JSON_INTERNAL_H

#include <stdlib.h>
#include "lib/base/text.h"
#include "lib/json/json.h"

#define JSON_NUMBER_MAX 256       /* characters of one number */
#define JSON_EXACT_DIGITS 15      /* decimal digits that a double keeps (DBL_DIG) */
#define JSON_PRINT_MAX (1u << 30) /* bytes of printed text; beyond it we abort */
#define JSON_NUMBER_TEXT_MAX 40   /* a printed double or int64_t with its NUL */
#define JSON_SORTED_CHECK 32      /* members from which duplicates are found by sorting */

/* A node that could not be allocated ends the program: see the promise in json.h. */
static inline cJSON *json_must(cJSON *node)
{
    if (!node)
        abort();
    return node;
}

/* Bytes of the UTF-8 sequence at `text`, 1 to 4, or 0 when it is not valid. `left` is at least 1.
 */
size_t json_utf8_length(const char *text, size_t left);

/* Appends `text` with U+FFFD in place of each byte that is not UTF-8. */
void json_utf8_clean(struct mlt_text *out, const char *text, size_t length);

/* Writes a code point as UTF-8 into `out` (4 bytes) and gives its length. */
size_t json_utf8_encode(unsigned int code, char *out);

/* A node for a number in JSON's grammar; NULL when it is beyond the range of a double. */
cJSON *json_number_node(const char *text, size_t length);

/* The text of a number node; `buffer` holds JSON_NUMBER_TEXT_MAX bytes. */
const char *json_number_text(const cJSON *node, char *buffer);

/* A string node or member name that takes ownership of bytes from cJSON_malloc(). */
char *json_text_alloc(size_t size);
cJSON *json_string_node(char *owned);

/* The first name that stands twice in an object, or NULL; O(n log n). */
const char *json_duplicate(const cJSON *object);

/* A member by the first `length` bytes of `name`. */
cJSON *json_member_n(const cJSON *object, const char *name, size_t length);

/* Replaces the member `name` where it stands, or appends it. Takes ownership of `value`. */
void json_put(cJSON *object, const char *name, cJSON *value);

/* Nesting of a tree (1 for a scalar) and what it costs: bytes of text, plus some for each node. */
int json_depth(const cJSON *node);
size_t json_cost(const cJSON *node);

#endif
