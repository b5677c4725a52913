/* The JSONPath of printer columns and scale paths: ".spec.x",
 * ".status.conditions[?(@.type=="Ready")].status",
 * ".metadata.labels.a\.b/c", "[0]", "[*]". PURE, private to localcluster/api. */
#ifndef LOCALCLUSTER_API_JSONPATH_H
#define LOCALCLUSTER_API_JSONPATH_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#define API_JSONPATH_MAX 1024 /* bytes of one path */

/* The first value that the path leads to, or NULL. Malformed paths lead nowhere. */
const cJSON *api_jsonpath(const cJSON *tree, const char *path);

/* "a.b" for ".a.b", as lib/json's paths have it, for writing; false when it is more than plain
 * names, without dots and brackets. `out` holds API_JSONPATH_MAX bytes. */
bool api_jsonpath_plain(const char *path, char *out);

#endif
