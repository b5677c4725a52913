/* Why a pod does not come to run, as far as its object says so. PURE.
 *
 * Kubelet and scheduler tell it in two places: a container that waits has a reason (ErrImagePull,
 * ImagePullBackOff, InvalidImageName, CreateContainerConfigError, CrashLoopBackOff ...:
 * k8s.io/kubernetes/pkg/kubelet/container and images), and a pod that no node takes has the
 * condition PodScheduled with the reason Unschedulable. Volumes that cannot be mounted stand in
 * events only. */
#ifndef CONTROLLER_POD_TROUBLE_H
#define CONTROLLER_POD_TROUBLE_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#define POD_TROUBLE_REASON_MAX 64 /* bytes, with the 0: a condition's reason */
#define POD_TROUBLE_WORDS_MAX 512

struct pod_trouble {
    char reason[POD_TROUBLE_REASON_MAX]; /* CamelCase; "Waiting" when the kubelet's is none */
    char words[POD_TROUBLE_WORDS_MAX];   /* "container trainer: ImagePullBackOff: Back-off ..." */
};

/* True when the pod (core/v1, any phase) says that it does not come on; *ret is set then. The first
 * container that waits for something is told, init containers before the others. */
bool pod_trouble_find(const cJSON *pod, struct pod_trouble *ret);

#endif
