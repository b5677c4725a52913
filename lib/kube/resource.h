/* The resources that mltrain names, and the paths of requests to them. Pure. */
#ifndef KUBE_RESOURCE_H
#define KUBE_RESOURCE_H

#include <stdbool.h>
#include "lib/base/text.h"

#define KUBE_PATH_MAX 2048 /* bytes of a path with its query */

/* X(ENUM, group, version, plural, kind, namespaced); the core group is "". */
#define KUBE_RESOURCE_MAP(XX)                                                                      \
    XX(POD, "", "v1", "pods", "Pod", true)                                                         \
    XX(NODE, "", "v1", "nodes", "Node", false)                                                     \
    XX(SECRET, "", "v1", "secrets", "Secret", true)                                                \
    XX(CONFIGMAP, "", "v1", "configmaps", "ConfigMap", true)                                       \
    XX(NAMESPACE, "", "v1", "namespaces", "Namespace", false)                                      \
    XX(EVENT, "", "v1", "events", "Event", true)                                                   \
    XX(PERSISTENTVOLUMECLAIM, "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true)   \
    XX(PERSISTENTVOLUME, "", "v1", "persistentvolumes", "PersistentVolume", false)                 \
    XX(STORAGECLASS, "storage.k8s.io", "v1", "storageclasses", "StorageClass", false)              \
    XX(ENDPOINTSLICE, "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true)           \
    XX(LEASE, "coordination.k8s.io", "v1", "leases", "Lease", true)                                \
    XX(PRIORITYCLASS, "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", false)        \
    XX(CRD, "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", \
       false)                                                                                      \
    XX(TRAININGJOB, "mltrain.io", "v1alpha1", "trainingjobs", "TrainingJob", true)                 \
    XX(TRAININGQUEUE, "mltrain.io", "v1alpha1", "trainingqueues", "TrainingQueue", false)

enum kube_resource {
#define XX(name, group, version, plural, kind, namespaced) KUBE_##name,
    KUBE_RESOURCE_MAP(XX)
#undef XX
        KUBE_RESOURCE_COUNT
};

struct kube_resource_info {
    const char *group, *version, *plural, *kind;
    bool namespaced;
};

const struct kube_resource_info *kube_resource_info(enum kube_resource resource);

/* "v1" or "mltrain.io/v1alpha1"; owned by the table. */
const char *kube_api_version(enum kube_resource resource);

/* Appends /api/v1/namespaces/NS/pods/NAME/SUBRESOURCE?QUERY. namespace_, name, subresource and
 * query may be NULL (all namespaces, the collection, none); `query` is appended as it stands
 * (already encoded). */
void kube_path(struct mlt_text *out, enum kube_resource resource, const char *namespace_,
               const char *name, const char *subresource, const char *query);

/* Appends text percent-encoded for a path segment or a query value. */
void kube_path_encode(struct mlt_text *out, const char *text);

#endif
