/* Memory cgroups of both versions, by the files of Documentation/admin-guide/cgroup-{v1,v2}. */
#include "localcluster/shim/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/cleanup.h"

#define PROC_TEXT_MAX (256 * 1024) /* bytes of /proc/self/mountinfo that are looked at */

static char *read_text(const char *path, size_t max)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = malloc(max + 1);
    size_t used = 0;
    while (text && fd >= 0 && used < max) {
        ssize_t n = read(fd, text + used, max - used);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    if (text)
        text[used] = '\0';
    return text;
}

static int write_text(const char *folder, const char *file, const char *text, struct mlt_error *err)
{
    char path[SHIM_CGROUP_PATH_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, file);
    cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return mlt_fail(err, errno, "cannot write %s: %s", path, strerror(errno));
    return 0;
}

static bool list_has(const char *list, size_t length, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; at < list + length;) {
        const char *comma = memchr(at, ',', (size_t)(list + length - at));
        size_t size = (size_t)((comma ? comma : list + length) - at);
        if (size == n && memcmp(at, word, n) == 0)
            return true;
        at += size + 1;
    }
    return false;
}

/* Looks for a line "ID:CONTROLLERS:PATH" whose controllers hold `controller` ("" for version 2). */
static bool find_path(const char *self_cgroup, const char *controller, char *ret, size_t size)
{
    for (const char *line = self_cgroup; line && *line;) {
        const char *end = strchrnul(line, '\n');
        const char *first = memchr(line, ':', (size_t)(end - line));
        const char *second = first ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;
        if (second) {
            size_t length = (size_t)(second - first - 1);
            bool here = *controller ? list_has(first + 1, length, controller) : length == 0;
            if (here && (size_t)(end - second) < size) {
                memcpy(ret, second + 1, (size_t)(end - second - 1));
                ret[end - second - 1] = '\0';
                return true;
            }
        }
        line = *end ? end + 1 : end;
    }
    return false;
}

/* Looks for a mount of `type` with the option `option` ("" for any); gives its root and mount
 * point. */
static bool find_mount(const char *mountinfo, const char *type, const char *option, char *root,
                       char *point, size_t size)
{
    for (const char *line = mountinfo; line && *line;) {
        const char *end = strchrnul(line, '\n');
        char text[4096], a[1024], b[1024], fstype[64], options[1024];
        size_t length = (size_t)(end - line);
        if (length < sizeof text) {
            memcpy(text, line, length);
            text[length] = '\0';
            const char *dash = strstr(text, " - ");
            if (dash && sscanf(text, "%*d %*d %*s %1023s %1023s", a, b) == 2 &&
                sscanf(dash, " - %63s %*s %1023s", fstype, options) == 2 &&
                strcmp(fstype, type) == 0 &&
                (!*option || list_has(options, strlen(options), option)) && strlen(b) < size &&
                strlen(a) < size) {
                (void)snprintf(root, size, "%s", a);
                (void)snprintf(point, size, "%s", b);
                return true;
            }
        }
        line = *end ? end + 1 : end;
    }
    return false;
}

int shim_cgroup_parent(const char *self_cgroup, const char *mountinfo, struct shim_cgroup *ret,
                       struct mlt_error *err)
{
    char path[512], root[512], point[512];
    bool v1 = find_path(self_cgroup, "memory", path, sizeof path) &&
              find_mount(mountinfo, "cgroup", "memory", root, point, sizeof root);
    bool v2 = !v1 && find_path(self_cgroup, "", path, sizeof path) &&
              find_mount(mountinfo, "cgroup2", "", root, point, sizeof root);
    if (!v1 && !v2)
        return mlt_fail(err, ENOENT, "no cgroup with a memory controller is mounted");
    /* In a container the mount shows a subtree: its root is a prefix of our path. */
    size_t prefix = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *below = strncmp(path, root, prefix) == 0 ? path + prefix : "";
    if (strcmp(below, "/") == 0)
        below = "";
    struct shim_cgroup found = {.v2 = v2};
    (void)snprintf(found.path, sizeof found.path, "%s%s", point, below);
    *ret = found;
    return 0;
}

/* Version 2 lets a cgroup have either processes or children with controllers. Our own cgroup has
 * processes, so the container's goes beside it, where the parent hands memory down. */
static int v2_parent(struct shim_cgroup *parent, struct mlt_error *err)
{
    char file[SHIM_CGROUP_PATH_MAX + 64];
    for (int level = 0; level < 8; level++) {
        (void)snprintf(file, sizeof file, "%s/cgroup.subtree_control", parent->path);
        cleanup_free char *text = read_text(file, 4096);
        if (text && strstr(text, "memory") && access(parent->path, W_OK) == 0)
            return 0;
        char *slash = strrchr(parent->path, '/');
        if (!slash || slash == parent->path)
            break;
        *slash = '\0';
    }
    return mlt_fail(err, EACCES, "no writable cgroup hands down the memory controller");
}

static int our_parent(struct shim_cgroup *parent, struct mlt_error *err)
{
    cleanup_free char *self = read_text("/proc/self/cgroup", 64 * 1024);
    cleanup_free char *mounts = read_text("/proc/self/mountinfo", PROC_TEXT_MAX);
    if (!self || !mounts)
        return mlt_fail(err, ENOMEM, "no memory");
    int rc = shim_cgroup_parent(self, mounts, parent, err);
    return rc == 0 && parent->v2 ? v2_parent(parent, err) : rc;
}

void shim_cgroup_name(const char *pod_uid, const char *container, int64_t restart, char *name)
{
    (void)snprintf(name, SHIM_CGROUP_NAME_MAX, "mltrain-%.63s-%.63s-%" PRId64, pod_uid, container,
                   restart);
}

void shim_cgroup_forget(const char *name)
{
    struct shim_cgroup parent;
    char path[SHIM_CGROUP_PATH_MAX + SHIM_CGROUP_NAME_MAX];
    if (our_parent(&parent, NULL) < 0)
        return;
    (void)snprintf(path, sizeof path, "%s/%s", parent.path, name);
    (void)rmdir(path);
}

int shim_cgroup_create(const char *name, int64_t limit, struct shim_cgroup *ret,
                       struct mlt_error *err)
{
    struct shim_cgroup parent, made;
    int rc = our_parent(&parent, err);
    if (rc < 0)
        return rc;
    made.v2 = parent.v2;
    if (snprintf(made.path, sizeof made.path, "%s/%s", parent.path, name) >= (int)sizeof made.path)
        return mlt_fail(err, ENAMETOOLONG, "the path of the cgroup is too long");
    if (mkdir(made.path, 0755) < 0 && errno != EEXIST)
        return mlt_fail(err, errno, "cannot make the cgroup %s: %s", made.path, strerror(errno));
    char number[32];
    (void)snprintf(number, sizeof number, "%" PRId64, limit);
    if (limit > 0)
        rc = write_text(made.path, made.v2 ? "memory.max" : "memory.limit_in_bytes", number, err);
    if (rc == 0 && made.v2) /* as the kubelet does since 1.28 */
        rc = write_text(made.path, "memory.oom.group", "1", err);
    if (rc < 0) {
        (void)rmdir(made.path);
        return rc;
    }
    *ret = made;
    return 0;
}

int shim_cgroup_open_procs(const struct shim_cgroup *cgroup)
{
    char path[SHIM_CGROUP_PATH_MAX + 64];
    if (cgroup->path[0] == '\0')
        return -1;
    (void)snprintf(path, sizeof path, "%s/cgroup.procs", cgroup->path);
    return open(path, O_WRONLY | O_CLOEXEC);
}

int shim_cgroup_join(int procs_fd)
{
    return write(procs_fd, "0", 1) == 1 ? 0 : -errno;
}

int64_t shim_cgroup_oom_kills(const struct shim_cgroup *cgroup)
{
    char path[SHIM_CGROUP_PATH_MAX + 64];
    if (cgroup->path[0] == '\0')
        return 0;
    (void)snprintf(path, sizeof path, "%s/%s", cgroup->path,
                   cgroup->v2 ? "memory.events" : "memory.oom_control");
    cleanup_free char *text = read_text(path, 4096);
    const char *found = text ? strstr(text, "oom_kill ") : NULL;
    return found ? strtoll(found + strlen("oom_kill "), NULL, 10) : 0;
}

void shim_cgroup_remove(struct shim_cgroup *cgroup)
{
    if (cgroup->path[0] != '\0')
        (void)rmdir(cgroup->path);
    cgroup->path[0] = '\0';
}
