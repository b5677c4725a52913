/* Reads spec.volumes into plain data. Pure; a part of pod_spec_read(). */
#ifndef LOCALCLUSTER_AGENT_POD_VOLUME_H
#define LOCALCLUSTER_AGENT_POD_VOLUME_H

#include "localcluster/agent/pod_spec.h"

/* `pod` is the object's spec. Also checks that each mount names a volume. -EINVAL with the path. */
int pod_volumes_read(const cJSON *pod, struct pod_spec *spec, struct mlt_error *err) MLT_MUST_USE;

/* Whether a path has a component "..". */
bool pod_path_climbs(const char *path);

#endif
