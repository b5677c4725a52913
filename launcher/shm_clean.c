/* Cleans up after an attempt: see shm_clean.h. */
#include "launcher/shm_clean.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

/* PROC_IPC_INIT_INO of the kernel's include/linux/proc_ns.h: the host's own IPC namespace. */
#define HOST_IPC_NAMESPACE "ipc:[4026531839]"
#define FOLDER_DEPTH_MAX 8

bool shm_clean_is_safe(void)
{
    char name[64] = "";
    if (getpid() != 1)
        return false;
    ssize_t n = readlink("/proc/self/ns/ipc", name, sizeof name - 1);
    return n > 0 && strcmp(name, HOST_IPC_NAMESPACE) != 0;
}

/* Files in use, by inode: all files that matter are on one device. */
struct used {
    dev_t device;
    ino_t *inodes;
    size_t count, capacity;
};

static int note(struct used *u, ino_t inode)
{
    if (u->count >= SHM_CLEAN_MAPPINGS_MAX)
        return -E2BIG;
    if (u->count == u->capacity) {
        size_t capacity = u->capacity ? u->capacity * 2 : 256;
        ino_t *inodes = realloc(u->inodes, capacity * sizeof *inodes);
        if (!inodes)
            return -ENOMEM;
        u->inodes = inodes;
        u->capacity = capacity;
    }
    u->inodes[u->count++] = inode;
    return 0;
}

static bool is_used(const struct used *u, ino_t inode)
{
    for (size_t i = 0; i < u->count; i++)
        if (u->inodes[i] == inode)
            return true;
    return false;
}

/* Device and inode of everything in a folder of links: /proc/PID/fd, /proc/PID/map_files. */
static int note_links(struct used *u, const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT || errno == ESRCH ? 0 : -errno;
    int rc = 0;
    for (struct dirent *entry = readdir(dir); entry && rc == 0; entry = readdir(dir)) {
        struct stat st;
        if (entry->d_name[0] != '.' && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 &&
            st.st_dev == u->device)
            rc = note(u, st.st_ino);
    }
    (void)closedir(dir);
    return rc;
}

/* Mappings by /proc/PID/maps, which needs no privilege: "... dev inode path". */
static int note_maps(struct used *u, const char *path)
{
    cleanup_file FILE *file = fopen(path, "re");
    if (!file)
        return errno == ENOENT || errno == ESRCH ? 0 : -errno;
    char line[PATH_MAX + 256];
    int rc = 0;
    while (rc == 0 && fgets(line, sizeof line, file)) {
        unsigned long inode = 0;
        if (sscanf(line, "%*s %*s %*s %*s %lu", &inode) == 1 && inode)
            rc = note(u, (ino_t)inode); /* of any device: one too many is only kept */
    }
    return rc;
}

static int note_processes(struct used *u)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return -errno;
    int rc = 0;
    for (struct dirent *entry = readdir(dir); entry && rc == 0; entry = readdir(dir)) {
        char path[64];
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        (void)snprintf(path, sizeof path, "/proc/%.20s/fd", entry->d_name);
        rc = note_links(u, path);
        (void)snprintf(path, sizeof path, "/proc/%.20s/maps", entry->d_name);
        if (rc == 0 || rc == -EACCES)
            rc = note_maps(u, path);
        if (rc == -EACCES || rc == -EPERM)
            rc = 0; /* another user's process: its files are not ours either */
    }
    (void)closedir(dir);
    return rc;
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

int shm_clean(const char *path, const struct timespec *since, size_t *ret_bytes)
{
    struct used used = {0};
    struct stat st;
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    int rc = fstat(dirfd(dir), &st) < 0 ? -errno : 0, removed = 0;
    used.device = st.st_dev;
    if (rc == 0)
        rc = note_processes(&used);
    size_t bytes = 0;
    int looked = 0;
    for (struct dirent *entry = readdir(dir); rc == 0 && entry; entry = readdir(dir)) {
        if (++looked > SHM_CLEAN_FILES_MAX)
            break;
        /* Times of change, not of birth: whatever was touched before the attempt is somebody
         * else's. */
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(st.st_mode) || st.st_uid != geteuid() || is_before(&st.st_ctim, since) ||
            is_used(&used, st.st_ino))
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) == 0) {
            removed++;
            bytes += (size_t)st.st_blocks * 512;
        }
    }
    (void)closedir(dir);
    free(used.inodes);
    if (rc < 0)
        return rc;
    if (ret_bytes)
        *ret_bytes = bytes;
    return removed;
}

static void remove_below(int parent, const char *name, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        (void)close(fd);
        return;
    }
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) < 0 && depth < FOLDER_DEPTH_MAX)
            remove_below(fd, entry->d_name, depth + 1);
    }
    (void)closedir(dir);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

void shm_clean_folder(const char *dir)
{
    remove_below(AT_FDCWD, dir, 0);
}
