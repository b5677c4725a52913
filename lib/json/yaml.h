/* What the YAML reader and the YAML printer share. */
#ifndef JSON_YAML_H
#define JSON_YAML_H

#include "lib/json/internal.h"

enum yaml_kind {
    YAML_STRING, /* nothing else: *ret_node is untouched */
    YAML_NULL,
    YAML_BOOL,
    YAML_NUMBER,
    YAML_UNREPRESENTABLE /* infinite, not a number, or too large for JSON */
};

/* What a plain scalar is; makes the node for all but strings. */
enum yaml_kind yaml_resolve(const char *text, cJSON **ret_node);

#endif
