/* The sandbox of a container as options for bubblewrap.
 *
 * The host's file system, read-only, is the image. The root itself is a small tmpfs into which
 * every entry of / is bound, so that mount points that the host lacks ("/mltrain") can be made; a
 * folder deeper down that lacks one is laid open the same way. /tmp, /var/tmp, /dev, /dev/shm and
 * /proc are the container's own; the cluster's folder (tokens, keys) is covered. */
#ifndef LOCALCLUSTER_AGENT_SANDBOX_H
#define LOCALCLUSTER_AGENT_SANDBOX_H

#include <limits.h>
#include <stdbool.h>
#include "lib/base/error.h"
#include "localcluster/agent/devices.h"
#include "localcluster/agent/pod_env.h"
#include "localcluster/agent/pod_known.h"
#include "localcluster/agent/pod_spec.h"
#include "localcluster/agent/words.h"

#define SANDBOX_OPEN_ENTRIES_MAX 4096 /* entries of a folder that is laid open */
#define SANDBOX_OPEN_MAX 64           /* folders laid open for one container */

/* What does not change from container to container. Paths are real paths, "" when absent. */
struct sandbox_host {
    char bwrap[PATH_MAX], setpriv[PATH_MAX];
    char cluster[PATH_MAX];  /* covered */
    char programs[PATH_MAX]; /* folder of our own executables: visible even below /tmp */
    bool root;               /* the agent runs as root: no user namespace is needed */
    const struct devices *devices;
};

/* Finds bubblewrap and setpriv in the usual places. */
void sandbox_host_find(struct sandbox_host *host, const char *cluster_dir);

/* Everything that depends on the pod. */
struct sandbox_pod {
    const struct pod_spec *spec;
    const struct pod_known *known;
    const char *folder; /* the pod's */
};

/* Makes the folders that the container needs (/tmp, shm, hosts). */
int sandbox_prepare(const struct sandbox_pod *pod, size_t container,
                    struct mlt_error *err) MLT_MUST_USE;

/* The environment before the container's own: PATH, HOME, HOSTNAME, LANG, GPUs. */
void sandbox_environment(const struct sandbox_host *host, const struct sandbox_pod *pod,
                         size_t container, struct pod_env_list *env);

/* Appends bubblewrap's options. -EINVAL with words when a mount cannot be made. */
int sandbox_options(const struct sandbox_host *host, const struct sandbox_pod *pod,
                    size_t container, const struct pod_env_list *env, struct words *options,
                    struct mlt_error *err) MLT_MUST_USE;

/* Appends what runs in front of the container's command (setpriv for runAsUser as root). -EINVAL
 * when the user that is asked for cannot be given. */
int sandbox_user_prefix(const struct sandbox_host *host, const struct sandbox_pod *pod,
                        size_t container, struct words *command,
                        struct mlt_error *err) MLT_MUST_USE;

/* Which existing folder must be laid open so that `path` can become a mount point: "" when it
 * exists or lies in a place that the container owns. Both hold PATH_MAX bytes; `resolved` gets the
 * path with the links of its existing part followed. Pure but for looking at the file system. */
int sandbox_mount_point(const char *path, char *resolved, char *open,
                        struct mlt_error *err) MLT_MUST_USE;

#endif
