/* What the controller may ask of the API server: one row for each verb on each resource, with the
 * reason. The table is the truth: tests hold every request that the controller sends against it,
 * and the chart's roles hold exactly what stands here (tests/chart). Pure. */
#ifndef CONTROLLER_API_RIGHT_H
#define CONTROLLER_API_RIGHT_H

#include <stdbool.h>
#include <stddef.h>

#define API_NODE_LEASE_NAMESPACE "kube-node-lease"

/* Where a right is needed. */
enum api_scope {
    API_ANYWHERE,   /* in every namespace, or for objects without one: a ClusterRole */
    API_HERE,       /* in the controller's own namespace */
    API_NODE_LEASE, /* in API_NODE_LEASE_NAMESPACE */
};

/* X(scope, group, resource, verb, named, why). The core group is "". `named`: the role can be
 * limited to objects known by name. */
#define API_RIGHT_MAP(XX)                                                                          \
    XX(ANYWHERE, "mltrain.io", "trainingjobs", "list", false, "which jobs there are")              \
    XX(ANYWHERE, "mltrain.io", "trainingjobs", "watch", false, "which jobs come, change and go")   \
    XX(ANYWHERE, "mltrain.io", "trainingjobs", "get", false, "a status write met a newer object")  \
    XX(ANYWHERE, "mltrain.io", "trainingjobs", "delete", false, "ttlSecondsAfterFinished")         \
    XX(ANYWHERE, "mltrain.io", "trainingjobs/status", "patch", false, "the status is ours")        \
    XX(ANYWHERE, "mltrain.io", "trainingjobs/finalizers", "update", false,                         \
       "blockOwnerDeletion in the owner reference of pods and Secrets")                            \
    XX(ANYWHERE, "mltrain.io", "trainingqueues", "list", false, "which queues there are")          \
    XX(ANYWHERE, "mltrain.io", "trainingqueues", "watch", false, "which queues come and go")       \
    XX(ANYWHERE, "mltrain.io", "trainingqueues/status", "patch", false,                            \
       "what a queue uses, and has used: the next controller goes on from it")                     \
    XX(ANYWHERE, "scheduling.k8s.io", "priorityclasses", "list", false, "the order of the queue")  \
    XX(ANYWHERE, "scheduling.k8s.io", "priorityclasses", "watch", false, "the order of the queue") \
    XX(ANYWHERE, "", "nodes", "list", false, "where gangs can run")                                \
    XX(ANYWHERE, "", "nodes", "watch", false, "where gangs can run from now on")                   \
    XX(ANYWHERE, "", "pods", "list", false, "what runs on the nodes: our pods and all others")     \
    XX(ANYWHERE, "", "pods", "watch", false, "what comes and goes on the nodes")                   \
    XX(ANYWHERE, "", "pods", "get", false, "whose pod it is that has the name of a new one")       \
    XX(ANYWHERE, "", "pods", "create", false, "the pods of a gang, and one to try (dryRun)")       \
    XX(ANYWHERE, "", "pods", "delete", false, "pods of gangs that have ended or are undone")       \
    XX(ANYWHERE, "", "persistentvolumeclaims", "get", false,                                       \
       "whether a claim that a job's pods mount is bound, and to what")                            \
    XX(ANYWHERE, "", "persistentvolumes", "get", false, "which nodes can mount a bound volume")    \
    XX(ANYWHERE, "storage.k8s.io", "storageclasses", "get", false,                                 \
       "whether an unbound claim waits for its first pod")                                         \
    XX(ANYWHERE, "", "secrets", "create", false, "the key of a job's channel; never read")         \
    XX(ANYWHERE, "", "events", "create", false, "what happens to a job, for people")               \
    XX(ANYWHERE, "", "events", "patch", false, "the same event again: its count")                  \
    XX(NODE_LEASE, "coordination.k8s.io", "leases", "get", false,                                  \
       "whether a silent node's kubelet still renews its Lease")                                   \
    XX(HERE, "coordination.k8s.io", "leases", "create", false, "leader election, the first time")  \
    XX(HERE, "coordination.k8s.io", "leases", "get", true, "leader election")                      \
    XX(HERE, "coordination.k8s.io", "leases", "patch", true, "leader election")                    \
    XX(HERE, "discovery.k8s.io", "endpointslices", "create", false,                                \
       "where the channel's Service leads, the first time")                                        \
    XX(HERE, "discovery.k8s.io", "endpointslices", "get", true, "where the Service leads now")     \
    XX(HERE, "discovery.k8s.io", "endpointslices", "patch", true, "the Service leads to the leader")

struct api_right {
    enum api_scope scope;
    const char *group, *resource, *verb;
    bool named;
    const char *why;
};

/* The i-th row; NULL behind the last. */
const struct api_right *api_right_at(size_t i);

/* "cluster", "namespace" or "kube-node-lease". */
const char *api_scope_name(enum api_scope scope);

/* The row that allows a request, NULL when there is none: `method` is GET, POST, PATCH or DELETE,
 * `path` has its query, `here` is the controller's own namespace. */
const struct api_right *api_right_find(const char *method, const char *path, const char *here);

/* Kubernetes' verb of a request: "get", "list", "watch", "create", "update", "patch", "delete". */
const char *api_verb(const char *method, const char *path);

#endif
