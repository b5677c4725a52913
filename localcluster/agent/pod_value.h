/* The bytes behind a reference of a pod: fields, resources, ConfigMap and Secret keys. Pure. */
#ifndef LOCALCLUSTER_AGENT_POD_VALUE_H
#define LOCALCLUSTER_AGENT_POD_VALUE_H

#include "localcluster/agent/pod_spec.h"

#define POD_VALUE_MAX (4u * 1024 * 1024) /* bytes; an API object is at most 3 MiB */

/* What a pod's references are resolved against. */
struct pod_facts {
    const char *pod_ip, *host_ip;
    int64_t node_cpu_milli, node_memory; /* stands in for a limit that is not given */
    /* A ConfigMap or Secret of the pod's namespace, or NULL when it does not exist. */
    const cJSON *(*find)(void *arg, enum pod_source kind, const char *name);
    void *arg;
};

/* Appends the value to *out. 0; -ENOENT when an optional object or key is absent (nothing
 * appended); -EINVAL with the kubelet's words when something that must be there is not. `c` may be
 * NULL (volumes: a resource then names its container). */
int pod_value_resolve(const struct pod_spec *spec, const struct pod_container *c,
                      const struct pod_value *value, const struct pod_facts *facts,
                      struct mlt_text *out, struct mlt_error *err) MLT_MUST_USE;

/* Calls `each` for every key of a ConfigMap or Secret with its decoded bytes, in the object's
 * order, until it returns nonzero, which is then the result. -ENOENT and -EINVAL as above. */
typedef int pod_key_f(void *arg, const char *key, const char *data, size_t length,
                      struct mlt_error *err);
int pod_value_each_key(const struct pod_spec *spec, const struct pod_value *value,
                       const struct pod_facts *facts, pod_key_f *each, void *arg,
                       struct mlt_error *err) MLT_MUST_USE;

#endif
