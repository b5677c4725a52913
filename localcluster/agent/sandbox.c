/* Builds the sandbox: what is visible, writable and hidden, in the order in which bubblewrap does
 * it. */
#include "localcluster/agent/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/agent/pod_folder.h"
#include "localcluster/agent/volumes.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define HOSTS_MAX (64 * 1024)

/* What a container may do as root, by containerd's defaults (oci/spec.go). */
static const char *const capabilities[] = {"CAP_CHOWN",
                                           "CAP_DAC_OVERRIDE",
                                           "CAP_FSETID",
                                           "CAP_FOWNER",
                                           "CAP_MKNOD",
                                           "CAP_NET_RAW",
                                           "CAP_SETGID",
                                           "CAP_SETUID",
                                           "CAP_SETFCAP",
                                           "CAP_SETPCAP",
                                           "CAP_NET_BIND_SERVICE",
                                           "CAP_SYS_CHROOT",
                                           "CAP_KILL",
                                           "CAP_AUDIT_WRITE",
                                           NULL};

static void find_program(const char *name, char *path)
{
    static const char *const folders[] = {"/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(folders); i++) {
        (void)snprintf(path, PATH_MAX, "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0)
            return;
    }
    path[0] = '\0';
}

void sandbox_host_find(struct sandbox_host *host, const char *cluster_dir)
{
    find_program("bwrap", host->bwrap);
    find_program("setpriv", host->setpriv);
    if (!realpath(cluster_dir, host->cluster))
        host->cluster[0] = '\0';
    ssize_t length = readlink("/proc/self/exe", host->programs, sizeof host->programs - 1);
    host->programs[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(host->programs, '/');
    if (slash)
        *slash = '\0';
    host->root = geteuid() == 0;
}

static bool below(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Places that are the container's own: mount points can be made there. */
static bool owned_place(const char *path)
{
    static const char *const places[] = {"/tmp", "/var/tmp", "/dev"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(places); i++) {
        if (below(path, places[i]))
            return true;
    }
    return false;
}

/* ---- files and folders ---- */

static void container_tmp(const struct sandbox_pod *pod, size_t container, const char *which,
                          char *path)
{
    (void)snprintf(path, PATH_MAX, "%.3700s/tmp/%s-%" PRId64 "/%s", pod->folder,
                   pod->spec->containers[container].name,
                   pod->known->containers[container].restarts, which);
}

static void pod_shm(const struct sandbox_pod *pod, char *path)
{
    char memory[128];
    pod_memory_folder(pod->spec->uid, memory, sizeof memory);
    (void)snprintf(path, PATH_MAX, "%s/shm", memory);
}

/* The host's own names stay known, since the network is the host's; ours come first. */
static int write_hosts(const struct sandbox_pod *pod, struct mlt_error *err)
{
    char path[PATH_MAX], line[512];
    struct mlt_text text = MLT_TEXT_INIT(HOSTS_MAX);
    mlt_text_puts(&text, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    mlt_text_printf(&text, "%s\t%s\n", pod->known->address, pod->spec->hostname);
    cleanup_file FILE *host = fopen("/etc/hosts", "re");
    while (host && text.length < HOSTS_MAX - sizeof line && fgets(line, sizeof line, host)) {
        if (line[0] != '#' && line[0] != '\n' && !strstr(line, "localhost"))
            mlt_text_puts(&text, line);
    }
    (void)snprintf(path, sizeof path, "%s/hosts", pod->folder);
    int rc = file_write(path, mlt_text_string(&text), text.length, 0644, err);
    mlt_text_release(&text);
    return rc;
}

int sandbox_prepare(const struct sandbox_pod *pod, size_t container, struct mlt_error *err)
{
    char path[PATH_MAX];
    container_tmp(pod, container, "tmp", path);
    int rc = folder_make(path, 01777, err);
    container_tmp(pod, container, "var-tmp", path);
    if (rc == 0)
        rc = folder_make(path, 01777, err);
    if (rc == 0)
        rc = pod_memory_make(pod->spec->uid, err);
    pod_shm(pod, path);
    if (rc == 0)
        rc = folder_make(path, 01777, err);
    return rc < 0 ? rc : write_hosts(pod, err);
}

/* ---- environment and user ---- */

static int64_t user_of(const struct sandbox_pod *pod, size_t container)
{
    int64_t asked = pod->spec->containers[container].run_as_user;
    return asked >= 0 ? asked : (int64_t)geteuid();
}

static void gpu_environment(const struct sandbox_host *host, const struct sandbox_pod *pod,
                            struct pod_env_list *env)
{
    struct mlt_text list = MLT_TEXT_INIT(POD_GPUS_MAX * DEVICE_TEXT_MAX);
    if (host->devices->pretended || host->devices->count == 0)
        return;
    for (size_t i = 0; i < pod->known->gpu_count; i++)
        mlt_text_printf(&list, "%s%s", i ? "," : "", host->devices->list[pod->known->gpus[i]].uuid);
    pod_env_set(env, "CUDA_VISIBLE_DEVICES", mlt_text_string(&list));
    pod_env_set(env, "NVIDIA_VISIBLE_DEVICES", list.length ? mlt_text_string(&list) : "void");
    mlt_text_release(&list);
}

void sandbox_environment(const struct sandbox_host *host, const struct sandbox_pod *pod,
                         size_t container, struct pod_env_list *env)
{
    struct passwd entry, *found = NULL;
    char buffer[4096];
    (void)getpwuid_r((uid_t)user_of(pod, container), &entry, buffer, sizeof buffer, &found);
    pod_env_set(env, "PATH", DEFAULT_PATH);
    pod_env_set(env, "HOSTNAME", pod->spec->hostname);
    pod_env_set(env, "HOME", found && found->pw_dir[0] == '/' ? found->pw_dir : "/");
    pod_env_set(env, "LANG", "C.UTF-8");
    gpu_environment(host, pod, env);
}

int sandbox_user_prefix(const struct sandbox_host *host, const struct sandbox_pod *pod,
                        size_t container, struct words *command, struct mlt_error *err)
{
    const struct pod_container *c = &pod->spec->containers[container];
    if (c->run_as_non_root && user_of(pod, container) == 0)
        return mlt_fail(err, EINVAL,
                        "container has runAsNonRoot and would run as root (the image here is the "
                        "host's file system): set runAsUser");
    bool change = c->run_as_user > 0 || c->run_as_group > 0;
    if (!host->root || !change)
        return 0;
    if (host->setpriv[0] == '\0')
        return mlt_fail(err, EINVAL, "runAsUser needs setpriv (Debian package util-linux)");
    char uid[24], gid[24], groups[24];
    int64_t group = c->run_as_group >= 0 ? c->run_as_group : 0;
    (void)snprintf(uid, sizeof uid, "%" PRId64, c->run_as_user >= 0 ? c->run_as_user : 0);
    (void)snprintf(gid, sizeof gid, "%" PRId64, group);
    (void)snprintf(groups, sizeof groups, "%" PRId64, pod->spec->fs_group);
    words_many(command, host->setpriv, "--reuid", uid, "--regid", gid);
    if (pod->spec->fs_group >= 0)
        words_many(command, "--groups", groups);
    else
        words_add(command, "--clear-groups");
    words_add(command, "--");
    return 0;
}

/* As an ordinary user the sandbox has a user namespace in which we can be any one user. */
static void user_options(const struct sandbox_host *host, const struct pod_container *c,
                         struct words *options)
{
    char number[24];
    if (host->root) {
        words_many(options, "--cap-drop", "ALL");
        for (size_t i = 0; capabilities[i]; i++)
            words_many(options, "--cap-add", capabilities[i]);
        return;
    }
    words_add(options, "--unshare-user");
    if (c->run_as_user >= 0) {
        (void)snprintf(number, sizeof number, "%" PRId64, c->run_as_user);
        words_many(options, "--uid", number);
    }
    if (c->run_as_group >= 0) {
        (void)snprintf(number, sizeof number, "%" PRId64, c->run_as_group);
        words_many(options, "--gid", number);
    }
}

/* ---- the file system ---- */

int sandbox_mount_point(const char *path, char *resolved, char *open, struct mlt_error *err)
{
    char part[PATH_MAX], real[PATH_MAX];
    struct stat st;
    open[0] = '\0';
    if (strlen(path) >= PATH_MAX / 2)
        return mlt_fail(err, ENAMETOOLONG, "mount path %.100s... is too long", path);
    (void)snprintf(part, sizeof part, "%s", path);
    for (size_t n = strlen(part); n > 1 && part[n - 1] == '/'; n--)
        part[n - 1] = '\0';
    (void)snprintf(resolved, PATH_MAX, "%s", part);
    if (owned_place(part))
        return 0;
    char *cut = part + strlen(part);
    while (!realpath(part, real)) {
        cut = strrchr(part, '/');
        if (cut == part)
            return 0; /* even the first component is missing: it is made in the root */
        *cut = '\0';
    }
    (void)snprintf(resolved, PATH_MAX, "%.2000s%.2000s", strcmp(real, "/") == 0 ? "" : real,
                   path + strlen(part));
    for (size_t n = strlen(resolved); n > 1 && resolved[n - 1] == '/'; n--)
        resolved[n - 1] = '\0';
    if (strlen(part) < strlen(path) && !owned_place(real) && strcmp(resolved, real) != 0) {
        if (stat(real, &st) == 0 && !S_ISDIR(st.st_mode))
            return mlt_fail(err, EINVAL, "mount path %s: %s is not a directory", path, real);
        (void)snprintf(open, PATH_MAX, "%s", real);
    }
    return 0;
}

/* Binds one entry of a folder of the host under the same name. */
static void show_entry(const char *path, struct words *options)
{
    struct stat st;
    char target[PATH_MAX];
    if (lstat(path, &st) < 0)
        return;
    if (S_ISLNK(st.st_mode)) {
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length > 0) {
            target[length] = '\0';
            words_many(options, "--symlink", target, path);
        }
    } else if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode)) {
        words_many(options, "--ro-bind-try", path, path);
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Shows every entry of a folder, in order of name, but for those in `without`. */
static int show_entries(const char *folder, const char *const *without, struct words *options,
                        struct mlt_error *err)
{
    struct words names = {0};
    DIR *dir = opendir(folder);
    if (!dir)
        return mlt_fail(err, EINVAL, "cannot make a mount point in %s: %s", folder,
                        strerror(errno));
    const struct dirent *entry;
    for (entry = readdir(dir); entry; entry = readdir(dir)) {
        bool skip = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        for (size_t i = 0; without && without[i]; i++)
            skip = skip || strcmp(entry->d_name, without[i]) == 0;
        if (!skip)
            words_add(&names, entry->d_name);
    }
    (void)closedir(dir);
    int rc = 0;
    if (names.count > SANDBOX_OPEN_ENTRIES_MAX)
        rc = mlt_fail(err, EINVAL,
                      "cannot make a mount point in %s: it has %zu entries (at most %d)", folder,
                      names.count, SANDBOX_OPEN_ENTRIES_MAX);
    if (rc == 0 && names.count > 0)
        qsort(names.list, names.count, sizeof *names.list, by_text);
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        cleanup_free char *path =
            mlt_asprintf("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, names.list[i]);
        show_entry(path, options);
    }
    words_release(&names);
    return rc;
}

struct mount_plan {
    struct words opened; /* folders laid open, parents first */
    struct bound {
        char *to, *from;
        bool read_only;
    } bounds[POD_MOUNTS_MAX];
    size_t count;
};

static void plan_release(struct mount_plan *plan)
{
    words_release(&plan->opened);
    for (size_t i = 0; i < plan->count; i++) {
        free(plan->bounds[i].to);
        free(plan->bounds[i].from);
    }
}

static int by_target(const void *a, const void *b)
{
    const struct bound *x = a, *y = b;
    return strcmp(x->to, y->to);
}

static void plan_open(struct mount_plan *plan, const char *folder)
{
    for (size_t i = 0; i < plan->opened.count; i++) {
        if (strcmp(plan->opened.list[i], folder) == 0)
            return;
    }
    /* Below a volume the mount point is made in the volume, and opening would cover it. */
    for (size_t i = 0; i < plan->count; i++) {
        if (below(folder, plan->bounds[i].to))
            return;
    }
    if (folder[0] != '\0' && plan->opened.count < SANDBOX_OPEN_MAX)
        words_add(&plan->opened, folder);
}

static int plan_mounts(const struct sandbox_pod *pod, size_t container, struct mount_plan *plan,
                       char *work, struct mlt_error *err)
{
    const struct pod_container *c = &pod->spec->containers[container];
    char resolved[PATH_MAX], open[PATH_MAX], source[PATH_MAX];
    struct words wanted = {0};
    for (size_t i = 0; i < c->mount_count; i++) {
        int rc = sandbox_mount_point(c->mounts[i].path, resolved, open, err);
        if (rc == 0)
            rc = volume_source(pod->spec, pod->folder, &c->mounts[i], source, err);
        if (rc < 0) {
            words_release(&wanted);
            return rc;
        }
        words_add(&wanted, open);
        plan->bounds[plan->count++] = (struct bound){mlt_strdup(resolved), mlt_strdup(source),
                                                     volume_is_read_only(pod->spec, &c->mounts[i])};
    }
    for (size_t i = 0; i < wanted.count; i++)
        plan_open(plan, wanted.list[i]);
    words_release(&wanted);
    if (plan->count > 1)
        qsort(plan->bounds, plan->count, sizeof *plan->bounds, by_target);
    work[0] = '\0';
    if (c->working_dir[0] == '\0')
        return 0;
    int rc = sandbox_mount_point(c->working_dir, work, open, err);
    for (size_t i = 0; rc == 0 && i < plan->count; i++) {
        if (below(work,
                  plan->bounds[i].to)) /* in a volume: nothing has to be made in the host's tree */
            return 0;
    }
    plan_open(plan, open);
    return rc;
}

static void gpu_options(const struct sandbox_host *host, const struct sandbox_pod *pod,
                        struct words *options)
{
    static const char *const common[] = {"/dev/nvidiactl", "/dev/nvidia-uvm",
                                         "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset",
                                         "/dev/nvidia-caps"};
    char path[64];
    if (host->devices->pretended || pod->known->gpu_count == 0)
        return;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(common); i++)
        words_many(options, "--dev-bind-try", common[i], common[i]);
    for (size_t i = 0; i < pod->known->gpu_count; i++) {
        (void)snprintf(path, sizeof path, "/dev/nvidia%d",
                       host->devices->list[pod->known->gpus[i]].minor);
        words_many(options, "--dev-bind", path, path);
    }
}

/* Our programs, which /tmp of the container hides. The folders on the way would be root's alone, and
 * a pod of another user could not read what lies beside the launcher. */
static void programs_in_tmp(const char *programs, struct words *options)
{
    char path[PATH_MAX];
    const char *slash = strchr(programs + 1, '/');
    while (slash && (slash = strchr(slash + 1, '/'))) {
        (void)snprintf(path, sizeof path, "%.*s", (int)(slash - programs), programs);
        words_many(options, "--perms", "0755");
        words_many(options, "--dir", path);
    }
    words_many(options, "--ro-bind", programs, programs);
}

static void own_places(const struct sandbox_host *host, const struct sandbox_pod *pod,
                       size_t container, struct words *options)
{
    char path[PATH_MAX];
    words_many(options, "--proc", "/proc", "--dev", "/dev");
    container_tmp(pod, container, "tmp", path);
    words_many(options, "--bind", path, "/tmp");
    if (access("/var/tmp", F_OK) == 0) {
        container_tmp(pod, container, "var-tmp", path);
        words_many(options, "--bind", path, "/var/tmp");
    }
    pod_shm(pod, path);
    words_many(options, "--bind", path, "/dev/shm");
    /* Tokens and keys of the cluster are nothing that a training script should stumble over. */
    if (host->cluster[0] != '\0' && !below(host->cluster, "/tmp"))
        words_many(options, "--tmpfs", host->cluster);
    if (host->programs[0] != '\0' && below(host->programs, "/tmp"))
        programs_in_tmp(host->programs, options);
    if (access("/etc/hosts", F_OK) == 0) {
        (void)snprintf(path, sizeof path, "%s/hosts", pod->folder);
        words_many(options, "--ro-bind", path, "/etc/hosts");
    }
    gpu_options(host, pod, options);
}

static int file_system(const struct sandbox_host *host, const struct sandbox_pod *pod,
                       size_t container, struct mount_plan *plan, struct words *options,
                       struct mlt_error *err)
{
    static const char *const not_from_host[] = {"proc", "dev", "tmp", NULL};
    char work[PATH_MAX];
    int rc = plan_mounts(pod, container, plan, work, err);
    if (rc == 0)
        rc = show_entries("/", not_from_host, options, err);
    if (plan->opened.count > 1)
        qsort(plan->opened.list, plan->opened.count, sizeof *plan->opened.list, by_text);
    for (size_t i = 0; rc == 0 && i < plan->opened.count; i++) {
        words_many(options, "--tmpfs", plan->opened.list[i]);
        rc = show_entries(plan->opened.list[i], NULL, options, err);
    }
    if (rc < 0)
        return rc;
    own_places(host, pod, container, options);
    for (size_t i = 0; i < plan->count; i++)
        words_many(options, plan->bounds[i].read_only ? "--ro-bind" : "--bind",
                   plan->bounds[i].from, plan->bounds[i].to);
    if (work[0] != '\0')
        words_many(options, "--dir", work, "--chdir", work);
    else
        words_many(options, "--chdir", "/");
    for (size_t i = 0; i < plan->opened.count; i++)
        words_many(options, "--remount-ro", plan->opened.list[i]);
    words_many(options, "--remount-ro", "/");
    return 0;
}

int sandbox_options(const struct sandbox_host *host, const struct sandbox_pod *pod,
                    size_t container, const struct pod_env_list *env, struct words *options,
                    struct mlt_error *err)
{
    struct mount_plan *plan = mlt_calloc(1, sizeof *plan);
    words_many(options, "--as-pid-1", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
               "--hostname", pod->spec->hostname, "--die-with-parent", "--new-session");
    user_options(host, &pod->spec->containers[container], options);
    int rc = file_system(host, pod, container, plan, options, err);
    words_add(options, "--clearenv");
    for (size_t i = 0; i < env->count; i++)
        words_many(options, "--setenv", env->pairs[i].name, env->pairs[i].value);
    plan_release(plan);
    free(plan);
    return rc;
}
