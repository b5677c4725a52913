/* How often the kernel has killed a process of this container for lack of memory. */
#ifndef LAUNCHER_CGROUP_MEMORY_H
#define LAUNCHER_CGROUP_MEMORY_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"

struct cgroup_memory {
    char file[PATH_MAX]; /* memory.events (v2) or memory.oom_control (v1); "" : none was found */
};

/* Finds the counter's file: `proc_cgroup` is /proc/self/cgroup, `mount` is /sys/fs/cgroup (tests
 * give others). A container without a cgroup namespace sees its host's path in proc_cgroup, but its
 * own cgroup at the mount, so both are tried. */
void cgroup_memory_find(struct cgroup_memory *m, const char *proc_cgroup, const char *mount);

/* The counter so far; -ENOENT without a file, -EINVAL for a file without the line. */
int cgroup_memory_kills(const struct cgroup_memory *m, uint64_t *ret_kills) MLT_MUST_USE;

/* The value of `oom_kill` in the text of either file. Pure. -EINVAL. */
int cgroup_memory_parse(const char *text, uint64_t *ret_kills) MLT_MUST_USE;

/* The cgroup's path of the memory controller in the text of /proc/self/cgroup: version 1's when
 * there is one, else version 2's. Pure. `path` holds `size` bytes. Gives the version, or -EINVAL.
 */
int cgroup_memory_path(const char *text, char *path, size_t size) MLT_MUST_USE;

#endif
