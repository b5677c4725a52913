/* The agent's files: made, written whole, read back, removed, bounded. */
#include "localcluster/agent/pod_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

#define LOG_FOLDERS_MAX 65536 /* looked at in one go */

int folder_make(const char *path, unsigned mode, struct mlt_error *err)
{
    char part[PATH_MAX];
    if (strlen(path) >= sizeof part)
        return mlt_fail(err, ENAMETOOLONG, "a path is too long: %.200s...", path);
    (void)snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(part, mode & 0755);
        *slash = '/';
    }
    if (mkdir(part, mode) < 0 && errno != EEXIST)
        return mlt_fail(err, errno, "cannot make %s: %s", path, strerror(errno));
    return chmod(part, mode) == 0 || errno == EPERM ? 0 : mlt_fail(err, errno, "chmod %s", path);
}

void folder_remove(const char *path)
{
    char *const roots[] = {(char *)(uintptr_t)path, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    for (FTSENT *entry = walk ? fts_read(walk) : NULL; entry; entry = fts_read(walk)) {
        if (entry->fts_info == FTS_D) /* its user may have made it unreadable, also for us */
            (void)chmod(entry->fts_accpath, 0700);
        else
            (void)remove(entry->fts_accpath);
    }
    if (walk)
        (void)fts_close(walk);
}

int file_read_json(const char *path, cJSON **ret, struct mlt_error *err)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return mlt_fail(err, errno, "cannot read %s: %s", path, strerror(errno));
    if (st.st_size > POD_OBJECT_MAX)
        return mlt_fail(err, EINVAL, "%s is larger than %u bytes", path, POD_OBJECT_MAX);
    cleanup_free char *text = mlt_calloc(1, (size_t)st.st_size + 1);
    size_t used = 0;
    while (used < (size_t)st.st_size) {
        ssize_t n = read(fd, text + used, (size_t)st.st_size - used);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    return json_parse(text, used, ret, err) < 0 ? mlt_fail_in(err, "%s", path) : 0;
}

int file_write(const char *path, const void *data, size_t length, unsigned mode,
               struct mlt_error *err)
{
    char beside[PATH_MAX];
    if (snprintf(beside, sizeof beside, "%s.tmp", path) >= (int)sizeof beside)
        return mlt_fail(err, ENAMETOOLONG, "a path is too long: %.200s...", path);
    cleanup_close int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    const char *at = data;
    size_t left = length;
    while (fd >= 0 && left > 0) {
        ssize_t n = write(fd, at, left);
        if (n < 0)
            break;
        at += n;
        left -= (size_t)n;
    }
    if (fd < 0 || left > 0 || fchmod(fd, mode) < 0 || rename(beside, path) < 0)
        return mlt_fail(err, errno, "cannot write %s: %s", path, strerror(errno));
    return 0;
}

int file_write_json(const char *path, const cJSON *object, struct mlt_error *err)
{
    cleanup_free char *text = json_print(object);
    return file_write(path, text, strlen(text), 0600, err);
}

int pod_known_load(const char *pod_folder, struct pod_known *ret, struct mlt_error *err)
{
    char path[PATH_MAX];
    cleanup_json cJSON *object = NULL;
    (void)snprintf(path, sizeof path, "%s/pod.json", pod_folder);
    int rc = file_read_json(path, &object, err);
    if (rc < 0)
        return rc;
    return pod_known_from_json(object, ret, err) < 0 ? mlt_fail_in(err, "%s", path) : 0;
}

int pod_known_save(const char *pod_folder, const struct pod_known *known, struct mlt_error *err)
{
    char path[PATH_MAX];
    cleanup_json cJSON *object = pod_known_to_json(known);
    (void)snprintf(path, sizeof path, "%s/pod.json", pod_folder);
    return file_write_json(path, object, err);
}

void pod_memory_folder(const char *uid, char *path, size_t size)
{
    (void)snprintf(path, size, "/dev/shm/mltrain-%s", uid);
}

int pod_memory_make(const char *uid, struct mlt_error *err)
{
    char path[128];
    pod_memory_folder(uid, path, sizeof path);
    return folder_make(path, 0700, err);
}

/* ---- logs of removed pods ---- */

struct log_folder {
    char *path;
    int64_t bytes;
    time_t changed;
};

static int64_t folder_bytes(const char *path)
{
    char *const roots[] = {(char *)(uintptr_t)path, NULL};
    int64_t bytes = 0;
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    for (const FTSENT *entry = walk ? fts_read(walk) : NULL; entry; entry = fts_read(walk)) {
        if (entry->fts_info == FTS_F)
            bytes += entry->fts_statp->st_size;
    }
    if (walk)
        (void)fts_close(walk);
    return bytes;
}

static bool is_alive(const char *name, const char *const *alive, size_t count)
{
    const char *uid = strrchr(name, '_');
    for (size_t i = 0; uid && i < count; i++) {
        if (strcmp(uid + 1, alive[i]) == 0)
            return true;
    }
    return false;
}

static int newest_first(const void *a, const void *b)
{
    const struct log_folder *x = a, *y = b;
    if (x->changed != y->changed)
        return x->changed > y->changed ? -1 : 1;
    return strcmp(x->path, y->path);
}

static size_t list_logs(const char *logs, const char *const *alive, size_t alive_count,
                        struct log_folder **ret)
{
    struct log_folder *list = NULL;
    size_t count = 0, capacity = 0;
    DIR *dir = opendir(logs);
    const struct dirent *entry;
    for (entry = dir ? readdir(dir) : NULL; entry && count < LOG_FOLDERS_MAX;
         entry = readdir(dir)) {
        struct stat st;
        if (entry->d_name[0] == '.' || is_alive(entry->d_name, alive, alive_count))
            continue;
        char *path = mlt_asprintf("%s/%s", logs, entry->d_name);
        if (stat(path, &st) < 0) {
            free(path);
            continue;
        }
        MLT_GROW(list, count, capacity);
        list[count++] = (struct log_folder){path, folder_bytes(path), st.st_mtime};
    }
    if (dir)
        (void)closedir(dir);
    *ret = list;
    return count;
}

void logs_prune(const char *logs, const char *const *alive, size_t alive_count, size_t max_count,
                int64_t max_bytes)
{
    struct log_folder *list = NULL;
    size_t count = list_logs(logs, alive, alive_count, &list);
    int64_t bytes = 0;
    if (count > 1)
        qsort(list, count, sizeof *list, newest_first);
    for (size_t i = 0; i < count; i++) {
        bytes += list[i].bytes;
        if (i >= max_count || bytes > max_bytes)
            folder_remove(list[i].path);
        free(list[i].path);
    }
    free(list);
}
