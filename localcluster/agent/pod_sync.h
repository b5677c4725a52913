/* The decision core of the agent: (pod, what is known of it, time) -> what to do next. Pure.
 *
 * Idempotent: an action that was carried out shows in what is known, and is not asked for again. */
#ifndef LOCALCLUSTER_AGENT_POD_SYNC_H
#define LOCALCLUSTER_AGENT_POD_SYNC_H

#include "localcluster/agent/pod_known.h"
#include "localcluster/agent/pod_spec.h"

#define POD_GONE_GRACE_MS \
    2000 /* a pod whose object was removed by force gets this long after SIGTERM */

/* XX(NAME, text) */
#define POD_ACTION_MAP(XX)                                                                       \
    XX(CREATE_SANDBOX, "create sandbox") /* address, folders, volumes, shim */                   \
    XX(START, "start")                   /* container `index` */                                 \
    XX(FAIL, "fail")                     /* note reason and message; the pod is being stopped */ \
    XX(TERMINATE, "terminate")           /* SIGTERM to all; SIGKILL follows at `at_ms` */        \
    XX(KILL, "kill")                     /* SIGKILL to all */                                    \
    XX(LEAVE, "leave")                   /* nothing runs any more: the shim may go */            \
    XX(DELETE_OBJECT, "delete object")   /* after the last status was written */                 \
    XX(REMOVE, "remove")                 /* folders and all knowledge */

enum pod_action_kind {
#define XX(name, text) POD_ACTION_##name,
    POD_ACTION_MAP(XX)
#undef XX
        POD_ACTION_COUNT
};

struct pod_action {
    enum pod_action_kind kind;
    size_t index;
    int64_t at_ms;                /* monotonic */
    const char *reason, *message; /* FAIL; static text */
};

struct pod_actions {
    struct pod_action list[POD_CONTAINERS_MAX + 4];
    size_t count;
    int64_t wake_ms; /* monotonic: ask again then at the latest; INT64_MAX for never */
};

struct pod_now {
    int64_t mono_ms, wall_ms;
};

const char *pod_action_text(enum pod_action_kind kind);

void pod_sync(const struct pod_spec *spec, const struct pod_known *known, struct pod_now now,
              struct pod_actions *ret);

/* Whether a container that has ended is started again under the pod's policy. */
bool pod_restarts(const struct pod_spec *spec, size_t index, const struct shim_report *ended);

enum pod_phase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED };

/* Kubernetes' phase (pkg/kubelet/kubelet_pods.go, getPhase). */
enum pod_phase pod_phase(const struct pod_spec *spec, const struct pod_known *known);

#endif
