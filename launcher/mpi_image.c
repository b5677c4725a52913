/* The container's files for the choice of the wire-up: see mpi_image.h. */
#include "launcher/mpi_image.h"

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

static ssize_t read_image(void *arg, const char *path, uint64_t offset, void *to, size_t size)
{
    (void)arg;
    struct stat status;
    if (offset > INT64_MAX)
        return -EINVAL;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EISDIR;
    size_t length = 0;
    while (length < size) {
        ssize_t n = pread(fd, (char *)to + length, size - length, (off_t)(offset + length));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    return (ssize_t)length;
}

static int list_image(void *arg, const char *folder, bool (*name)(void *, const char *),
                      void *context)
{
    (void)arg;
    DIR *dir = opendir(folder);
    if (!dir)
        return -errno;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (!name(context, entry->d_name))
            break;
    (void)closedir(dir);
    return 0;
}

static int resolve_image(void *arg, const char *path, char *to)
{
    (void)arg;
    char real[PATH_MAX];
    if (!realpath(path, real))
        return -errno;
    return snprintf(to, MPI_WIREUP_PATH_MAX, "%s", real) < MPI_WIREUP_PATH_MAX ? 0 : -ENAMETOOLONG;
}

struct mpi_files mpi_image_files(void)
{
    return (struct mpi_files){.read = read_image, .list = list_image, .resolve = resolve_image};
}

bool mpi_image_mapped(pid_t pid, char *ret, size_t size)
{
    char path[64], line[PATH_MAX + 128];
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    cleanup_file FILE *file = fopen(path, "re");
    for (size_t sum = 0; file && sum < MPI_IMAGE_MAPS_MAX && fgets(line, sizeof line, file);) {
        sum += strlen(line);
        line[strcspn(line, "\n")] = '\0';
        const char *name = strchr(line, '/');
        if (!name || mpi_family_of_library(name) == MPI_FAMILY_NONE)
            continue;
        (void)snprintf(ret, size, "%s", name);
        return true;
    }
    return false;
}
