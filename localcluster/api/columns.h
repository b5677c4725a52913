/* The columns of each kind: hand-made ones for built-in kinds, additionalPrinterColumns for custom
 * resources. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_COLUMNS_H
#define LOCALCLUSTER_API_COLUMNS_H

#include "localcluster/api/resources.h"

/* One column of a built-in kind; `cell` appends to the row's cells. Priority above 0: only with -o
 * wide. */
struct api_column {
    const char *name, *type, *format;
    int priority;
    cJSON *(*cell)(const cJSON *tree, int64_t now_ms);
};

/* The columns of a built-in kind (at least NAME and AGE), ended by a NULL name. */
const struct api_column *api_columns_of(const struct api_resource *r);

/* "5m12s" since a metav1.Time, "<unknown>" without one; the caller frees it. */
char *api_age(const char *time, int64_t now_ms);

#endif
