/* The rules of metadata. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_METADATA_H
#define LOCALCLUSTER_API_METADATA_H

#include "localcluster/api/call.h"

#define API_ANNOTATIONS_MAX \
    (256u * 1024) /* bytes of all annotations of an object, as in Kubernetes */

/* Adds causes for names, labels, annotations, owner references and finalizers that break the rules.
 */
void api_metadata_validate(const struct api_resource *r, const cJSON *tree,
                           struct api_causes *causes);

/* "a" or "example.com/a": a prefix that is a subdomain, and a name of at most 63 characters. */
bool api_is_qualified_name(const char *text);

/* Whether an object has the finalizer. */
bool api_has_finalizer(const cJSON *tree, const char *finalizer);
void api_add_finalizer(cJSON *tree, const char *finalizer);
void api_remove_finalizer(cJSON *tree, const char *finalizer);

#endif
