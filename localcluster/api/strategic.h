/* Strategic merge patches. PURE, and private to localcluster/api. Lists are merged by the keys that
 * the schema names (x-kubernetes-patch-merge-key). Source: apimachinery/pkg/util/strategicpatch. */
#ifndef LOCALCLUSTER_API_STRATEGIC_H
#define LOCALCLUSTER_API_STRATEGIC_H

#include "lib/json/json.h"

/* Applies `patch` to `tree` in place. -EINVAL for a malformed patch, or when one of the two is no
 * object. */
int api_strategic_patch(const cJSON *schema, cJSON *tree, const cJSON *patch,
                        struct mlt_error *err) MLT_MUST_USE;

#endif
