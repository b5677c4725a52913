/* checkpoint.repair: torn checkpoints and wrong tracker files get out of the way, so that programs
 * that look for the newest one by themselves find a complete one. Only names change: what was there
 * is kept as NAME.torn-ATTEMPT. Runs in the disposable child of a look, while no rank runs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/checkpoint_scan.h"
#include "lib/base/cleanup.h"

/* NFS has no RENAME_NOREPLACE; there only one member repairs, and nobody else has such names. */
static int move(int folder, const char *from, const char *to)
{
    struct stat st;
    if (renameat2(folder, from, folder, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (fstatat(folder, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    return renameat(folder, from, folder, to) < 0 ? -errno : 0;
}

static int set_aside(int folder, const char *name, uint64_t attempt)
{
    char aside[CHECKPOINT_SCAN_NAME_MAX + 32];
    (void)snprintf(aside, sizeof aside, "%s.torn-%" PRIu64, name, attempt);
    return move(folder, name, aside);
}

static int write_text(int folder, const char *name, const char *text)
{
    size_t length = strlen(text);
    cleanup_close int fd =
        openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, length);
    if (n >= 0 && (size_t)n < length)
        return -ENOSPC;
    return n < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* The new file is whole on the disk before the old one goes. */
static int set_pointer(int folder, const char *name, const struct checkpoint_repair *repair)
{
    char temporary[NAME_MAX + 1];
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", name);
    int rc = repair->text[0] ? write_text(folder, temporary, repair->text) : 0;
    if (rc == 0)
        rc = set_aside(folder, name, repair->attempt);
    if (rc == -ENOENT && repair->text[0])
        rc = 0; /* it was missing */
    if (rc == 0 && repair->text[0] && renameat(folder, temporary, folder, name) < 0)
        rc = -errno;
    if (rc < 0 && repair->text[0])
        (void)unlinkat(folder, temporary, 0);
    return rc;
}

uint32_t checkpoint_repair_do(const struct checkpoint_scan_spec *spec,
                              const struct checkpoint_repair *repair, int *ret_error)
{
    uint32_t done = 0;
    cleanup_close int folder = open(spec->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *ret_error = folder < 0 ? errno : 0;
    for (uint32_t i = 0; i < repair->torn_count && folder >= 0; i++) {
        int rc = set_aside(folder, repair->torn[i], repair->attempt);
        done += rc == 0;
        if (rc < 0 && *ret_error == 0)
            *ret_error = -rc;
    }
    if (repair->set_pointer && folder >= 0) {
        int rc =
            set_pointer(folder, tracker_at((enum tracker_format)repair->format)->pointer, repair);
        done += rc == 0;
        if (rc < 0 && *ret_error == 0)
            *ret_error = -rc;
    }
    if (done && fsync(folder) < 0 && *ret_error == 0)
        *ret_error = errno;
    return done;
}
