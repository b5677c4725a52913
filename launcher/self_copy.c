/* Copies this executable: see self_copy.h. */
#include "launcher/self_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

static int make_folders(const char *dir, struct mlt_error *err)
{
    char path[PATH_MAX];
    size_t length = strlen(dir);
    if (length == 0 || length >= sizeof path)
        return mlt_fail(err, ENAMETOOLONG, "`%.64s`: a path of 1 to %d bytes is needed", dir,
                        PATH_MAX - 1);
    for (size_t i = 1; i <= length; i++) {
        if (dir[i] != '/' && dir[i] != '\0')
            continue;
        memcpy(path, dir, i);
        path[i] = '\0';
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return mlt_fail(err, errno, "make folder `%s`: %s", path, strerror(errno));
    }
    return 0;
}

static int copy_bytes(int from, int to)
{
    char buffer[128 * 1024];
    for (;;) {
        ssize_t n = read(from, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        for (ssize_t done = 0; done < n;) {
            ssize_t written = write(to, buffer + done, (size_t)(n - done));
            if (written < 0 && errno != EINTR)
                return -errno;
            if (written > 0)
                done += written;
        }
    }
}

int self_copy(const char *dir, struct mlt_error *err)
{
    int rc = make_folders(dir, err);
    if (rc < 0)
        return rc;
    char temporary[PATH_MAX], final[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s/.mltrain-launcher.XXXXXX", dir) >= PATH_MAX ||
        snprintf(final, sizeof final, "%s/mltrain-launcher", dir) >= PATH_MAX)
        return mlt_fail(err, ENAMETOOLONG, "`%.64s...` is too long for a folder", dir);
    cleanup_close int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return mlt_fail(err, errno, "open /proc/self/exe: %s", strerror(errno));
    cleanup_close int to = mkostemp(temporary, O_CLOEXEC);
    if (to < 0)
        return mlt_fail(err, errno, "make a file in `%s`: %s", dir, strerror(errno));
    rc = copy_bytes(from, to);
    if (rc == 0 && fchmod(to, 0755) < 0)
        rc = -errno;
    /* Closed before the rename: a file open for writing cannot be exec'd (ETXTBSY). */
    if (close(steal_fd(&to)) < 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temporary, final) < 0)
        rc = -errno;
    if (rc == 0)
        return 0;
    (void)unlink(temporary);
    return mlt_fail(err, -rc, "copy the launcher to `%s`: %s", final, strerror(-rc));
}
