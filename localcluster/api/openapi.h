/* OpenAPI documents of what is served. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_OPENAPI_H
#define LOCALCLUSTER_API_OPENAPI_H

#include "localcluster/api/call.h"

/* The schemas of the resources of one group and version (group NULL: of all), and of everything
 * that they refer to, by OpenAPI name. References begin with `prefix` ("#/definitions/"). The
 * caller frees it. */
cJSON *api_openapi_schemas(struct api_call *c, const char *group, const char *version,
                           const char *prefix);

/* Whether a resource is in discovery now. */
bool api_is_served(const struct api_resource *r);

#endif
