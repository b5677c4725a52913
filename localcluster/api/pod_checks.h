/* Checks of a new pod's specification. PURE, private to localcluster/api. */
#ifndef LOCALCLUSTER_API_POD_CHECKS_H
#define LOCALCLUSTER_API_POD_CHECKS_H

#include "localcluster/api/answer.h"

/* Adds a cause, in the API server's words, for each value that Kubernetes would refuse and that is
 * looked at here: names, images, policies, quantities, environment, volumes and mounts. */
void api_pod_check(const cJSON *pod, struct api_causes *causes);

#endif
