/* Copies this executable, and what it carries: see self_copy.h. */
#include "launcher/self_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/sdk_python.h"
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

/* What a file is to hold: everything of `from` (-1: none), then `data`. */
struct contents {
    int from;
    const char *data;
    size_t length;
};

static int write_all(int to, const char *data, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t written = write(to, data + done, length - done);
        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0)
            done += (size_t)written;
    }
    return 0;
}

static int write_contents(int to, const struct contents *contents)
{
    char buffer[128 * 1024];
    while (contents->from >= 0) {
        ssize_t n = read(contents->from, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        int rc = write_all(to, buffer, (size_t)n);
        if (rc < 0)
            return rc;
    }
    return write_all(to, contents->data, contents->length);
}

/* Makes DIR/NAME, whole or not at all: somebody may run, or import, what is there already. */
static int put_file(const char *dir, const char *name, mode_t mode, const struct contents *contents,
                    struct mlt_error *err)
{
    char temporary[PATH_MAX], final[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s/.%s.XXXXXX", dir, name) >= PATH_MAX ||
        snprintf(final, sizeof final, "%s/%s", dir, name) >= PATH_MAX)
        return mlt_fail(err, ENAMETOOLONG, "`%.64s...` is too long for a folder", dir);
    cleanup_close int to = mkostemp(temporary, O_CLOEXEC);
    if (to < 0)
        return mlt_fail(err, errno, "make a file in `%s`: %s", dir, strerror(errno));
    int rc = write_contents(to, contents);
    if (rc == 0 && fchmod(to, mode) < 0)
        rc = -errno;
    /* Closed before the rename: a file open for writing cannot be exec'd (ETXTBSY). */
    if (close(steal_fd(&to)) < 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temporary, final) < 0)
        rc = -errno;
    if (rc == 0)
        return 0;
    (void)unlink(temporary);
    return mlt_fail(err, -rc, "write `%s`: %s", final, strerror(-rc));
}

static int put_python(const char *dir, struct mlt_error *err)
{
    char package[PATH_MAX];
    struct sdk_python_file file;
    if (snprintf(package, sizeof package, "%s/" SDK_PYTHON_FOLDER "/" SDK_PYTHON_PACKAGE, dir) >=
        PATH_MAX)
        return mlt_fail(err, ENAMETOOLONG, "`%.64s...` is too long for a folder", dir);
    int rc = make_folders(package, err);
    for (size_t i = 0; rc == 0 && sdk_python_file(i, &file); i++)
        rc =
            put_file(package, file.name, 0644,
                     &(struct contents){.from = -1, .data = file.text, .length = file.length}, err);
    return rc;
}

/* The PMIx server's program, when it lies beside this one and can be read: without it MPI programs
 * that need it say so, and nothing else is missing. */
static int put_helper(const char *dir, struct mlt_error *err)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0)
        return mlt_fail(err, errno, "read /proc/self/exe: %s", strerror(errno));
    path[length] = '\0';
    char *name = strrchr(path, '/');
    size_t room = name ? sizeof path - (size_t)(name + 1 - path) : 0;
    if (!name || snprintf(name + 1, room, "%s", SELF_COPY_HELPER) >= (int)room)
        return mlt_fail(err, ENAMETOOLONG, "`%.64s...` is too long for a path", path);
    cleanup_close int from = open(path, O_RDONLY | O_CLOEXEC);
    /* Not there, or in a folder of somebody else's that another user of the pod may not enter. */
    if (from < 0 && (errno == ENOENT || errno == EACCES))
        return 0;
    if (from < 0)
        return mlt_fail(err, errno, "open `%s`: %s", path, strerror(errno));
    return put_file(dir, SELF_COPY_HELPER, 0755, &(struct contents){.from = from}, err);
}

int self_copy(const char *dir, struct mlt_error *err)
{
    int rc = make_folders(dir, err);
    if (rc < 0)
        return rc;
    cleanup_close int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return mlt_fail(err, errno, "open /proc/self/exe: %s", strerror(errno));
    /* First, so that a launcher that is there has its module and its helper beside it. */
    rc = put_python(dir, err);
    if (rc == 0)
        rc = put_helper(dir, err);
    return rc < 0 ? rc
                  : put_file(dir, "mltrain-launcher", 0755, &(struct contents){.from = from}, err);
}
