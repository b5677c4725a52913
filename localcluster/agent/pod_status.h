/* The status of a pod as Kubernetes' API shows it. Pure. */
#ifndef LOCALCLUSTER_AGENT_POD_STATUS_H
#define LOCALCLUSTER_AGENT_POD_STATUS_H

#include <cjson/cJSON.h>
#include "localcluster/agent/pod_known.h"
#include "localcluster/agent/pod_spec.h"
#include "localcluster/agent/pod_sync.h"

#define POD_IMAGE_ID "host" /* the host's file system, read-only, is every image */

/* The whole status that the agent answers for. Times of unchanged conditions, and conditions that
 * others own, are taken from `before` (the status in the API, may be NULL). The caller frees. */
cJSON *pod_status_build(const struct pod_spec *spec, const struct pod_known *known,
                        const cJSON *before, const char *host_ip, struct pod_now now);

/* "Completed", "Error", "OOMKilled" or "StartError", as containerd names them. */
const char *pod_end_reason(const struct shim_report *report);

#endif
