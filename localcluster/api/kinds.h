/* The built-in types as schemas, in the form of CRD schemas (OpenAPI v3), so that one walker
 * (schema.h) serves both. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_KINDS_H
#define LOCALCLUSTER_API_KINDS_H

#include <cjson/cJSON.h>

/* "Pod: metadata=ObjectMeta spec=PodSpec ...", ends with NULL; kinds_table.c explains the notation.
 */
extern const char *const api_kind_lines[];

/* The member of each schema that says which type it is: {"x-mltrain-type": "PodSpec"}. Nodes that
 * use a type share its members, so no references have to be followed. */
#define API_TYPE_MEMBER "x-mltrain-type"

/* An object: type name -> schema. Freed with cJSON_Delete(). Aborts on a malformed table. */
cJSON *api_kinds_new(void);

#endif
