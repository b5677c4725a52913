/* Whether a pod that is bound here fits the node: the kubelet's last word, with its words. Pure. */
#ifndef LOCALCLUSTER_AGENT_ADMISSION_H
#define LOCALCLUSTER_AGENT_ADMISSION_H

#include <stdbool.h>
#include "localcluster/agent/pod_spec.h"

#define NODE_GPU_RESOURCE "nvidia.com/gpu"

struct node_resources {
    int64_t cpu_milli, memory, pods, gpus; /* memory in bytes */
};

/* Adds what a pod counts for. */
void node_resources_add(struct node_resources *used, const struct pod_spec *spec);

/* true, or false with reason ("OutOfcpu") and message, both cut at their sizes. Resources that the
 * node does not have are not looked at, as the kubelet does not. */
bool pod_admit(const struct pod_spec *spec, const struct node_resources *allocatable,
               const struct node_resources *used, char *reason, size_t reason_size, char *message,
               size_t message_size);

/* Picks the `count` lowest indexes below `total` that are not set in `taken` (bit i: device i) into
 * `ret`. false when there are not enough; `ret` is then untouched. total at most 64. */
bool devices_pick(int64_t total, uint64_t taken, size_t count, int *ret);

#endif
