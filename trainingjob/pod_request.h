/* What a pod asks of its node, computed as Kubernetes does: containers, sidecars, init peaks,
 * pod-level resources, overhead. Works for a PodTemplateSpec and for a Pod (both have `spec`).
 * Pure. Source: k8s.io/component-helpers/resource/helpers.go, PodRequests(). */
#ifndef TRAININGJOB_POD_REQUEST_H
#define TRAININGJOB_POD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "lib/json/json.h"

#define POD_REQUEST_EXTENDED_MAX 16 /* extended resources of one pod */
#define POD_REQUEST_NAME_MAX 128    /* bytes of a resource's name, with the NUL */

struct pod_request_extended {
    char name[POD_REQUEST_NAME_MAX]; /* "nvidia.com/gpu" */
    int64_t count;
};

struct pod_request {
    int64_t cpu_milli;
    int64_t memory;                                                 /* bytes */
    int64_t ephemeral_storage;                                      /* bytes */
    struct pod_request_extended extended[POD_REQUEST_EXTENDED_MAX]; /* names with a domain */
    size_t extended_count;
};

/* Of a pod or a pod template. A resource with a limit and no request asks for its limit. -EINVAL
 * with the path of a malformed quantity. */
int pod_request_read(const cJSON *pod, struct pod_request *ret_request,
                     struct mlt_error *err) MLT_MUST_USE;

/* Of one container (or any object with `resources`); `where` is its path for messages. */
int pod_request_container(const cJSON *container, const char *where,
                          struct pod_request *ret_request, struct mlt_error *err) MLT_MUST_USE;

/* How much of an extended resource; 0 when it is not asked for. */
int64_t pod_request_extended(const struct pod_request *request, const char *name);

/* All GPUs: extended resources for which pod_request_is_gpu() holds. */
int64_t pod_request_gpus(const struct pod_request *request);

/* nvidia.com/gpu, nvidia.com/gpu.shared, nvidia.com/mig-..., amd.com/gpu. */
bool pod_request_is_gpu(const char *resource);

#endif
