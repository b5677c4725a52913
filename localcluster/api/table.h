/* Tables (meta.k8s.io/v1): what kubectl get prints. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_TABLE_H
#define LOCALCLUSTER_API_TABLE_H

#include "localcluster/api/call.h"

/* A Table without rows; with `columns` its columnDefinitions. The caller frees it. */
cJSON *api_table_new(const struct api_resource *r, uint64_t revision, bool columns);

/* Adds the row of one object. */
void api_table_add(cJSON *table, const struct api_resource *r, const cJSON *tree,
                   enum api_include include, int64_t now_ms);

#endif
