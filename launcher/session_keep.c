/* Makes session folders stay: see session_keep.h. */
#include "launcher/session_keep.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEVELS 3 /* ompi.HOST.UID, FAMILY, JOB */

/* Folders of ranks, below the last level, come and go. */
static void keep(int parent, const char *name, int level, int *left)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    (void)mkdirat(fd, SESSION_KEEP_NAME, 0700); /* without it all is as it was */
    --*left;
    const struct dirent *entry;
    while (level < LEVELS && *left > 0 && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, SESSION_KEEP_NAME) != 0)
            keep(fd, entry->d_name, level + 1, left);
    (void)closedir(dir);
}

bool session_keep(const char *folder)
{
    static const char start[] = "ompi.";
    int left = SESSION_KEEP_FOLDERS_MAX;
    const struct dirent *entry;
    DIR *dir = opendir(folder);
    while (dir && left > 0 && (entry = readdir(dir)) != NULL)
        if (strncmp(entry->d_name, start, sizeof start - 1) == 0)
            keep(dirfd(dir), entry->d_name, 1, &left);
    if (dir)
        (void)closedir(dir);
    return left < SESSION_KEEP_FOLDERS_MAX;
}
