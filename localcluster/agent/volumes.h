/* Makes a pod's volumes on disk and finds where a mount comes from. */
#ifndef LOCALCLUSTER_AGENT_VOLUMES_H
#define LOCALCLUSTER_AGENT_VOLUMES_H

#include "localcluster/agent/pod_spec.h"
#include "localcluster/agent/pod_value.h"

/* Makes all volumes of the pod under its folder (existing ones stay). -EINVAL with words when a
 * ConfigMap, Secret, key or host path that must be there is not. */
int volumes_make(const struct pod_spec *spec, const char *pod_folder, const struct pod_facts *facts,
                 struct mlt_error *err) MLT_MUST_USE;

/* Mounts that say so, and volumes of files that the agent makes (configMap, secret, downwardAPI,
 * projected), as the kubelet mounts them. */
bool volume_is_read_only(const struct pod_spec *spec, const struct pod_mount *mount);

/* The path on the host behind one mount, its subPath made when missing and never outside the
 * volume. `path` holds PATH_MAX bytes. */
int volume_source(const struct pod_spec *spec, const char *pod_folder,
                  const struct pod_mount *mount, char *path, struct mlt_error *err) MLT_MUST_USE;

#endif
