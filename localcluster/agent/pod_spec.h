/* A pod as plain C data: what the agent acts on, read once from the API object. Pure.
 *
 * Fields that the agent does not act on are collected by name in `ignored`, for an event. A value
 * that cannot be acted on (a volume of an unknown kind) is an error, and the pod fails with its
 * words. */
#ifndef LOCALCLUSTER_AGENT_POD_SPEC_H
#define LOCALCLUSTER_AGENT_POD_SPEC_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "lib/base/text.h"

#define POD_CONTAINERS_MAX 64 /* containers and init containers together */
#define POD_VOLUMES_MAX 128
#define POD_MOUNTS_MAX 128   /* per container */
#define POD_ENV_MAX 4096     /* per container */
#define POD_WORDS_MAX 8192   /* command and args */
#define POD_ITEMS_MAX 1024   /* keys of one volume source */
#define POD_RESOURCES_MAX 16 /* named resources per container */
#define POD_IGNORED_MAX 4096 /* bytes of the list of ignored fields */
#define POD_NAME_MAX 256
#define POD_UID_MAX 64

/* Where the value of a variable, or of a file in a volume, comes from. */
enum pod_source {
    POD_SOURCE_VALUE,
    POD_SOURCE_FIELD,
    POD_SOURCE_RESOURCE,
    POD_SOURCE_CONFIGMAP,
    POD_SOURCE_SECRET,
};

struct pod_value {
    enum pod_source source;
    const char *text;    /* VALUE: the text; FIELD: fieldPath; RESOURCE: resource; else the key */
    const char *object;  /* CONFIGMAP, SECRET: name; RESOURCE: container name or NULL */
    const char *divisor; /* RESOURCE: quantity, NULL for 1 */
    bool optional;
};

struct pod_env {
    const char *name; /* NULL: everything from value.object, with `prefix` */
    const char *prefix;
    struct pod_value value;
};

struct pod_mount {
    const char *volume, *path, *sub_path;
    bool read_only;
};

struct pod_resource {
    const char *name;       /* "cpu", "memory", "nvidia.com/gpu" */
    int64_t request, limit; /* cpu in milli, everything else in base units; -1: not given */
};

struct pod_container {
    const char *name, *image, *working_dir;
    const char **command, **args; /* NULL-terminated; NULL when absent */
    struct pod_env *env;          /* envFrom first, then env: the order in which later ones win */
    size_t env_count;
    struct pod_mount *mounts;
    size_t mount_count;
    struct pod_resource resources[POD_RESOURCES_MAX];
    size_t resource_count;
    int64_t run_as_user, run_as_group; /* -1: not given */
    bool run_as_non_root;
    bool init;
    bool restart_always; /* an init container of the sidecar kind */
};

enum pod_volume_kind {
    POD_VOLUME_EMPTY,
    POD_VOLUME_HOST_PATH,
    POD_VOLUME_FILES, /* configMap, secret, downwardAPI, projected: files made by the agent */
};

/* One item of a volume of files. */
struct pod_file {
    struct pod_value value; /* CONFIGMAP and SECRET with text NULL: all keys */
    const char *path;       /* relative; NULL: each key is its own path */
    int mode;               /* -1: the volume's default */
};

struct pod_volume {
    const char *name;
    enum pod_volume_kind kind;
    bool memory;                       /* emptyDir */
    const char *host_path, *host_type; /* hostPath; type "" checks nothing */
    struct pod_file *files;
    size_t file_count;
    int default_mode;
};

enum pod_restart { POD_RESTART_ALWAYS, POD_RESTART_ON_FAILURE, POD_RESTART_NEVER };

struct pod_spec {
    cJSON *object; /* the API object; every string below is owned by it */
    const char *name, *namespace_, *uid, *resource_version, *node, *service_account;
    char hostname[64];
    const char *owner_uid;            /* "" without an owner */
    struct pod_container *containers; /* init containers first, in order */
    size_t container_count, init_count;
    struct pod_volume *volumes;
    size_t volume_count;
    enum pod_restart restart;
    int64_t grace_seconds;           /* terminationGracePeriodSeconds, default 30 */
    int64_t active_deadline_seconds; /* 0: none */
    int64_t fs_group;                /* -1: not given */
    bool deleting;                   /* deletionTimestamp is set */
    int64_t deletion_grace_seconds;
    int64_t created_ms;
    char ignored[POD_IGNORED_MAX]; /* "spec.containers[0].livenessProbe, ..." */
};

/* Reads a pod; takes ownership of `object` only on success. -EINVAL with the field's path. */
int pod_spec_read(cJSON *object, struct pod_spec **ret, struct mlt_error *err) MLT_MUST_USE;
void pod_spec_free(struct pod_spec *spec);

/* A container's resource by name, or NULL. */
const struct pod_resource *pod_resource_find(const struct pod_container *c, const char *name);

/* What the scheduler and the kubelet count for a pod: the larger of the sum of its containers (with
 * sidecars) and each init container's need. Absent requests are the limits; cpu in milli. */
int64_t pod_request(const struct pod_spec *spec, const char *resource);

/* Names of all resources that the pod asks for: *ret_count of them in `names`. */
void pod_resource_names(const struct pod_spec *spec, const char **names, size_t max,
                        size_t *ret_count);

/* Guaranteed, Burstable or BestEffort, by Kubernetes' rules. */
const char *pod_qos_class(const struct pod_spec *spec);

#endif
