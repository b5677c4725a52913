/* Volumes: empty folders (on disk or in memory), host paths, and folders of files. */
#include "localcluster/agent/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/cleanup.h"
#include "localcluster/agent/pod_folder.h"

#define EMPTY_MODE 0777 /* as the kubelet's emptyDir */
#define FILES_FOLDER_MODE 0755

static void volume_folder(const struct pod_spec *spec, const char *pod_folder,
                          const struct pod_volume *v, char *path)
{
    char memory[PATH_MAX];
    pod_memory_folder(spec->uid, memory, sizeof memory);
    if (v->kind == POD_VOLUME_HOST_PATH)
        (void)snprintf(path, PATH_MAX, "%s", v->host_path);
    else if (v->kind == POD_VOLUME_EMPTY && v->memory)
        (void)snprintf(path, PATH_MAX, "%.200s/volume-%s", memory, v->name);
    else
        (void)snprintf(path, PATH_MAX, "%.3800s/volumes/%s", pod_folder, v->name);
}

/* The group of a volume is fsGroup where we may give files away; otherwise all is one user's
 * anyhow. */
static void give_to_group(const struct pod_spec *spec, const char *path)
{
    if (spec->fs_group >= 0 && geteuid() == 0)
        (void)!chown(path, (uid_t)-1, (gid_t)spec->fs_group);
}

/* ---- files ---- */

struct writer {
    const struct pod_spec *spec;
    const char *folder;
    int mode;
};

static int write_one(const struct writer *w, const char *name, const void *data, size_t length,
                     int mode, struct mlt_error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", w->folder, name) >= (int)sizeof path)
        return mlt_fail(err, ENAMETOOLONG, "a file of a volume has too long a path: %.200s", name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    int rc = folder_make(path, FILES_FOLDER_MODE, err);
    *slash = '/';
    if (rc == 0)
        rc = file_write(path, data, length, (unsigned)mode, err);
    if (rc == 0)
        give_to_group(w->spec, path);
    return rc;
}

static int write_key(void *arg, const char *key, const char *data, size_t length,
                     struct mlt_error *err)
{
    const struct writer *w = arg;
    if (strchr(key, '/') || strcmp(key, "..") == 0 || strcmp(key, ".") == 0)
        return mlt_fail(err, EINVAL, "`%s` is not a key", key);
    return write_one(w, key, data, length, w->mode, err);
}

static int write_file(const struct writer *w, const struct pod_file *file,
                      const struct pod_facts *facts, struct mlt_error *err)
{
    int mode = file->mode >= 0 ? file->mode : w->mode;
    if (!file->path) {
        struct writer all = *w;
        all.mode = mode;
        int rc = pod_value_each_key(w->spec, &file->value, facts, write_key, &all, err);
        return rc == -ENOENT ? 0 : rc;
    }
    struct mlt_text out = MLT_TEXT_INIT(POD_VALUE_MAX);
    int rc = pod_value_resolve(w->spec, NULL, &file->value, facts, &out, err);
    if (rc == 0)
        rc = write_one(w, file->path, mlt_text_string(&out), out.length, mode, err);
    mlt_text_release(&out);
    return rc == -ENOENT ? 0 : rc;
}

static int make_files(const struct pod_spec *spec, const struct pod_volume *v, const char *folder,
                      const struct pod_facts *facts, struct mlt_error *err)
{
    struct writer w = {.spec = spec, .folder = folder, .mode = v->default_mode};
    int rc = folder_make(folder, FILES_FOLDER_MODE, err);
    for (size_t i = 0; rc == 0 && i < v->file_count; i++)
        rc = write_file(&w, &v->files[i], facts, err);
    return rc;
}

/* ---- host paths ---- */

static int type_is(const struct pod_volume *v, bool right, const char *what, struct mlt_error *err)
{
    return right ? 0
                 : mlt_fail(err, EINVAL, "hostPath type check failed: %s is not a %s", v->host_path,
                            what);
}

/* Types: k8s.io/api/core/v1, HostPathType. */
static int check_host_path(const struct pod_volume *v, struct mlt_error *err)
{
    struct stat st;
    const char *type = v->host_type;
    bool there = stat(v->host_path, &st) == 0;
    if (strcmp(type, "DirectoryOrCreate") == 0 && !there)
        return folder_make(v->host_path, 0755, err);
    if (strcmp(type, "FileOrCreate") == 0 && !there) {
        cleanup_close int fd = open(v->host_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        return fd >= 0 ? 0
                       : mlt_fail(err, errno, "cannot make %s: %s", v->host_path, strerror(errno));
    }
    if (!there)
        return mlt_fail(err, EINVAL, "hostPath: %s: %s", v->host_path, strerror(errno));
    if (strcmp(type, "Directory") == 0 || strcmp(type, "DirectoryOrCreate") == 0)
        return type_is(v, S_ISDIR(st.st_mode), "directory", err);
    if (strcmp(type, "File") == 0 || strcmp(type, "FileOrCreate") == 0)
        return type_is(v, S_ISREG(st.st_mode), "file", err);
    if (strcmp(type, "Socket") == 0)
        return type_is(v, S_ISSOCK(st.st_mode), "socket", err);
    if (strcmp(type, "CharDevice") == 0)
        return type_is(v, S_ISCHR(st.st_mode), "character device", err);
    if (strcmp(type, "BlockDevice") == 0)
        return type_is(v, S_ISBLK(st.st_mode), "block device", err);
    return *type == '\0' ? 0 : mlt_fail(err, EINVAL, "hostPath: unknown type %s", type);
}

/* ---- all ---- */

int volumes_make(const struct pod_spec *spec, const char *pod_folder, const struct pod_facts *facts,
                 struct mlt_error *err)
{
    for (size_t i = 0; i < spec->volume_count; i++) {
        const struct pod_volume *v = &spec->volumes[i];
        char path[PATH_MAX];
        int rc = 0;
        volume_folder(spec, pod_folder, v, path);
        switch (v->kind) {
        case POD_VOLUME_EMPTY:
            if (v->memory)
                rc = pod_memory_make(spec->uid, err);
            if (rc == 0)
                rc = folder_make(path, EMPTY_MODE, err);
            if (rc == 0)
                give_to_group(spec, path);
            break;
        case POD_VOLUME_HOST_PATH:
            rc = check_host_path(v, err);
            break;
        case POD_VOLUME_FILES:
            rc = make_files(spec, v, path, facts, err);
            break;
        }
        if (rc < 0)
            return mlt_fail_in(err, "volume %s", v->name);
    }
    return 0;
}

/* A subPath may lead through links that a container made: the result must still lie in the volume.
 */
static int sub_path(const char *volume, const char *sub, char *path, struct mlt_error *err)
{
    char wanted[PATH_MAX], root[PATH_MAX];
    struct stat st;
    if (snprintf(wanted, sizeof wanted, "%s/%s", volume, sub) >= (int)sizeof wanted)
        return mlt_fail(err, ENAMETOOLONG, "subPath %s is too long", sub);
    if (stat(wanted, &st) < 0 && folder_make(wanted, 0755, err) < 0)
        return -EINVAL;
    if (!realpath(volume, root) || !realpath(wanted, path))
        return mlt_fail(err, errno, "subPath %s: %s", sub, strerror(errno));
    size_t length = strlen(root);
    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return mlt_fail(err, EINVAL, "subPath %s leads out of its volume", sub);
    return 0;
}

bool volume_is_read_only(const struct pod_spec *spec, const struct pod_mount *mount)
{
    for (size_t i = 0; i < spec->volume_count; i++)
        if (strcmp(spec->volumes[i].name, mount->volume) == 0)
            return mount->read_only || spec->volumes[i].kind == POD_VOLUME_FILES;
    return mount->read_only;
}

int volume_source(const struct pod_spec *spec, const char *pod_folder,
                  const struct pod_mount *mount, char *path, struct mlt_error *err)
{
    for (size_t i = 0; i < spec->volume_count; i++) {
        const struct pod_volume *v = &spec->volumes[i];
        if (strcmp(v->name, mount->volume) != 0)
            continue;
        char folder[PATH_MAX];
        volume_folder(spec, pod_folder, v, folder);
        if (mount->sub_path[0] != '\0')
            return sub_path(folder, mount->sub_path, path, err);
        (void)snprintf(path, PATH_MAX, "%s", folder);
        return 0;
    }
    return mlt_fail(err, EINVAL, "no volume `%s`", mount->volume);
}
