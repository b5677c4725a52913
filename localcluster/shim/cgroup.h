/* A memory cgroup for one container, so that a limit kills as it does in Kubernetes. Version 1 (the
 * memory controller) or version 2; where neither can be written the container runs without. */
#ifndef LOCALCLUSTER_SHIM_CGROUP_H
#define LOCALCLUSTER_SHIM_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/base/error.h"

#define SHIM_CGROUP_PATH_MAX 1024
#define SHIM_CGROUP_NAME_MAX 192

struct shim_cgroup {
    bool v2;
    char path[SHIM_CGROUP_PATH_MAX]; /* "": none */
};

/* The folder under which this process may make memory cgroups, from the texts of /proc/self/cgroup
 * and /proc/self/mountinfo. -ENOENT when there is no memory controller. Pure. */
int shim_cgroup_parent(const char *self_cgroup, const char *mountinfo, struct shim_cgroup *ret,
                       struct mlt_error *err) MLT_MUST_USE;

/* Makes the cgroup `name` with a limit in bytes (0: none, only counted). On failure the container
 * can still run: the error is for an event. */
int shim_cgroup_create(const char *name, int64_t limit, struct shim_cgroup *ret,
                       struct mlt_error *err) MLT_MUST_USE;

/* Moves the calling process in; async-signal-safe, for a child between fork and exec. 0 or -errno.
 */
int shim_cgroup_join(int procs_fd) MLT_MUST_USE;

/* Opens cgroup.procs for shim_cgroup_join(); -1 when there is no cgroup. */
int shim_cgroup_open_procs(const struct shim_cgroup *cgroup);

/* How many processes the kernel killed there for lack of memory. */
int64_t shim_cgroup_oom_kills(const struct shim_cgroup *cgroup);

/* The name of a container's cgroup: one for each (re)start. `name` holds SHIM_CGROUP_NAME_MAX
 * bytes. */
void shim_cgroup_name(const char *pod_uid, const char *container, int64_t restart, char *name);

/* Removes the cgroup that a shim which was killed has left; one with processes in it stays. */
void shim_cgroup_forget(const char *name);

/* Removes the cgroup; it must be empty. */
void shim_cgroup_remove(struct shim_cgroup *cgroup);

#endif
