/* The commit record: see commit_record.h. */
#include "sdk/commit_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/mltrain.h"

struct listing {
    FILE *record;
    int64_t count;
};

static int add_file(struct listing *l, const char *name, int64_t size)
{
    if (strchr(name, '\n'))
        return -EINVAL;
    if (++l->count > MLTRAIN_COMMIT_FILES_MAX)
        return -E2BIG;
    return fprintf(l->record, "file %lld %s\n", (long long)size, name) < 0 ? -EIO : 0;
}

static int add_folder(struct listing *l, int folder, const char *prefix, int depth);

/* One entry of an open folder. */
static int add_entry(struct listing *l, int folder, const char *prefix, const char *entry,
                     int depth)
{
    char name[MLTRAIN_COMMIT_NAME_MAX + 1];
    struct stat st, link;
    if (snprintf(name, sizeof name, "%s%s", prefix, entry) >= (int)sizeof name)
        return -ENAMETOOLONG;
    if (fstatat(folder, entry, &st, 0) < 0 ||
        fstatat(folder, entry, &link, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISREG(st.st_mode))
        return add_file(l, name, st.st_size);
    if (!S_ISDIR(link.st_mode))
        return 0;
    if (depth >= MLTRAIN_COMMIT_DEPTH_MAX)
        return -ELOOP;
    if (snprintf(name, sizeof name, "%s%s/", prefix, entry) >= (int)sizeof name)
        return -ENAMETOOLONG;
    int fd = openat(folder, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : add_folder(l, fd, name, depth + 1);
}

/* Takes over the descriptor. */
static int add_folder(struct listing *l, int folder, const char *prefix, int depth)
{
    DIR *dir = fdopendir(folder);
    if (!dir) {
        int error = errno;
        (void)close(folder);
        return -error;
    }
    int rc = 0;
    while (rc == 0) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            rc = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = add_entry(l, dirfd(dir), prefix, entry->d_name, depth);
    }
    (void)closedir(dir);
    return rc;
}

static int list(struct listing *l, const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    if (S_ISREG(st.st_mode))
        return add_file(l, ".", st.st_size);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : add_folder(l, fd, "", 0);
    return rc == 0 && l->count == 0 ? -ENOENT : rc;
}

static int write_record(int fd, int64_t step, const char *relative, const char *path)
{
    struct listing l = {.record = fdopen(fd, "w")};
    if (!l.record) {
        int error = errno;
        (void)close(fd);
        return -error;
    }
    (void)fprintf(l.record, "mltrain-commit 1\nstep %lld\npath %s\n", (long long)step, relative);
    int rc = list(&l, path);
    (void)fprintf(l.record, "end %lld\n", (long long)l.count);
    if (rc == 0 && (fflush(l.record) != 0 || fsync(fileno(l.record)) < 0))
        rc = -errno;
    if (rc == 0 && ferror(l.record))
        rc = -EIO;
    (void)fclose(l.record);
    return rc;
}

/* `path`, made absolute, below `folder`, made absolute: the rest of it. */
static int make_relative(const char *folder, const char *path, char *real_path, char *relative,
                         size_t size)
{
    char real_folder[PATH_MAX];
    if (!realpath(folder, real_folder) || !realpath(path, real_path))
        return -errno;
    size_t length = strcmp(real_folder, "/") == 0 ? 0 : strlen(real_folder);
    if (strncmp(real_path, real_folder, length) != 0 || real_path[length] != '/' ||
        !real_path[length + 1] || strchr(real_path + length, '\n'))
        return -EINVAL;
    if (snprintf(relative, size, "%s", real_path + length + 1) >= (int)size)
        return -ENAMETOOLONG;
    return 0;
}

int commit_record_write(const char *folder, int64_t step, const char *path, char *relative,
                        size_t size)
{
    char real_path[PATH_MAX], name[64], temporary[96];
    int rc = make_relative(folder, path, real_path, relative, size);
    if (rc < 0)
        return rc;
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    (void)snprintf(name, sizeof name, ".mltrain-commit-%lld", (long long)step);
    (void)snprintf(temporary, sizeof temporary, "%s.%d.tmp", name, (int)getpid());
    int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    rc = fd < 0 ? -errno : write_record(fd, step, relative, real_path);
    if (rc == 0 && (renameat(dir, temporary, dir, name) < 0 || fsync(dir) < 0))
        rc = -errno;
    if (rc < 0 && fd >= 0)
        (void)unlinkat(dir, temporary, 0);
    (void)close(dir);
    return rc;
}
