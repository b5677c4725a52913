/* What is known of one pod on this node: its sandbox and its containers. Plain data, kept in the
 * pod's folder so that it survives the agent. Pure (the file is read and written in pod_folder.h).
 */
#ifndef LOCALCLUSTER_AGENT_POD_KNOWN_H
#define LOCALCLUSTER_AGENT_POD_KNOWN_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "localcluster/agent/pod_spec.h"
#include "localcluster/shim/wire.h"

#define POD_REASON_MAX 64
#define POD_MESSAGE_MAX 512
#define POD_ADDRESS_MAX 16
#define POD_GPUS_MAX 64 /* on one node */

/* Waiting times of the kubelet's CrashLoopBackOff. */
#define POD_BACKOFF_FIRST_MS 10000
#define POD_BACKOFF_MAX_MS 300000
#define POD_BACKOFF_RESET_MS 600000
#define POD_CONFIG_RETRY_MS                                              \
    2000 /* a missing ConfigMap or Secret is looked for again after this \
          */

enum pod_container_state {
    POD_CONTAINER_WAITING,
    POD_CONTAINER_STARTING, /* asked of the shim */
    POD_CONTAINER_RUNNING,
    POD_CONTAINER_TERMINATED,
};

struct pod_container_known {
    enum pod_container_state state;
    int64_t restarts;
    struct shim_report current; /* running and terminated */
    bool has_last;
    struct shim_report last; /* the run before */
    char waiting_reason[POD_REASON_MAX], waiting_message[POD_MESSAGE_MAX];
    int64_t retry_ms;   /* monotonic: not started (again) before */
    int64_t backoff_ms; /* the next waiting time */
};

struct pod_known {
    char namespace_[POD_NAME_MAX], name[POD_NAME_MAX], uid[POD_UID_MAX];
    char address[POD_ADDRESS_MAX]; /* 127.x.y.z, "" before it is claimed */
    char boot[SHIM_BOOT_ID_MAX];   /* the boot in which the sandbox was made */
    bool failing; /* stopped by the agent: the pod ends as Failed with these words */
    char reason[POD_REASON_MAX], message[POD_MESSAGE_MAX];
    bool finished; /* the phase was Succeeded or Failed once, and stays so */
    bool foreign;  /* ended before this node's memory: its status is not ours to write */
    bool sandbox;  /* a shim was started and has not left */
    bool gone;     /* the API object does not exist any more */
    bool term_sent, kill_sent;
    int64_t kill_ms;  /* monotonic, with term_sent */
    int64_t start_ms; /* wall: the agent saw the pod */
    struct shim_process shim;
    size_t container_count; /* as in the spec, init containers first */
    struct pod_container_known containers[POD_CONTAINERS_MAX];
    size_t gpu_count;
    int gpus[POD_GPUS_MAX]; /* indexes on the node */
};

/* Fresh knowledge of a pod that was just seen. */
void pod_known_init(struct pod_known *known, const struct pod_spec *spec, int64_t wall_ms);

bool pod_known_running(const struct pod_known *known); /* any container starting or running */

/* Takes in what the shim says of the container of that name (an older run's report is ignored).
 * Returns whether anything changed. */
bool pod_known_report(struct pod_known *known, const struct shim_report *report, int64_t mono_ms);

/* Containers asked for that the shim does not know of: the agent ended between keeping the
 * intention and sending it. They wait again. `known_to_shim` is indexed like the containers. */
void pod_known_synced(struct pod_known *known, const bool *known_to_shim);

/* The sandbox is gone without saying how its containers ended: they count as killed. */
void pod_known_lost(struct pod_known *known, const char *why, int64_t wall_ms, int64_t mono_ms);

/* The start of container i is about to be asked for: counts a restart, keeps the last run. */
void pod_known_starting(struct pod_known *known, size_t i);

/* The start failed before the shim was asked: waits with a reason and is tried again. */
void pod_known_hold(struct pod_known *known, size_t i, const char *reason, const char *message,
                    int64_t mono_ms);

/* The container cannot run at all: it counts as ended with containerd's code for that. */
void pod_known_cannot_run(struct pod_known *known, size_t i, const char *message, int64_t wall_ms,
                          int64_t mono_ms);

cJSON *pod_known_to_json(const struct pod_known *known); /* the caller frees */
int pod_known_from_json(const cJSON *object, struct pod_known *ret,
                        struct mlt_error *err) MLT_MUST_USE;

#endif
