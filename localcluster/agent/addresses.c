/* Claims on loopback addresses as files under a lock. */
#include "localcluster/agent/addresses.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/cleanup.h"

/* FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/). */
static uint64_t hash(const char *text, unsigned n)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (const char *at = text; *at; at++)
        h = (h ^ (unsigned char)*at) * UINT64_C(1099511628211);
    for (int i = 0; i < 4; i++)
        h = (h ^ ((n >> (8 * i)) & 0xff)) * UINT64_C(1099511628211);
    return h ^ (h >> 32);
}

void address_candidate(const char *uid, unsigned n, char address[POD_ADDRESS_MAX])
{
    uint64_t h = hash(uid, n);
    (void)snprintf(address, POD_ADDRESS_MAX, "127.%u.%u.%u", (unsigned)(h % 254) + 1,
                   (unsigned)((h >> 16) % 256), (unsigned)((h >> 32) % 254) + 1);
}

static int own_folder(const char *path, struct mlt_error *err)
{
    struct stat st;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return mlt_fail(err, errno, "cannot make %s: %s", path, strerror(errno));
    if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return mlt_fail(err, EACCES, "%s is not a folder of this user", path);
    return 0;
}

int addresses_folder(char *path, size_t size, struct mlt_error *err)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char base[PATH_MAX];
    if (runtime && runtime[0] == '/' && access(runtime, W_OK) == 0)
        (void)snprintf(base, sizeof base, "%s/mltrain", runtime);
    else
        (void)snprintf(base, sizeof base, "/tmp/mltrain-%u", (unsigned)geteuid());
    int rc = own_folder(base, err);
    if (rc < 0)
        return rc;
    if (snprintf(path, size, "%s/addresses", base) >= (int)size)
        return mlt_fail(err, ENAMETOOLONG, "the path of the address claims is too long");
    return own_folder(path, err);
}

/* Who holds a claim: the text of its file, or "" when there is none or its pod is gone. */
static void holder(const char *file, char *text, size_t size)
{
    cleanup_close int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, size - 1) : 0;
    text[length > 0 ? length : 0] = '\0';
    if (text[0] != '\0' && access(text, F_OK) < 0)
        text[0] = '\0';
}

static bool take(const char *file, const char *pod_folder)
{
    char owner[PATH_MAX];
    holder(file, owner, sizeof owner);
    if (owner[0] != '\0')
        return strcmp(owner, pod_folder) == 0;
    cleanup_close int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd >= 0 && write(fd, pod_folder, strlen(pod_folder)) == (ssize_t)strlen(pod_folder);
}

static int lock_claims(const char *claims, struct mlt_error *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/.lock", claims);
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return mlt_fail(err, errno, "cannot lock %s: %s", path, strerror(errno));
    return steal_fd(&fd);
}

int address_claim(const char *claims, const char *uid, const char *pod_folder,
                  char ret[POD_ADDRESS_MAX], struct mlt_error *err)
{
    cleanup_close int lock = lock_claims(claims, err);
    if (lock < 0)
        return lock;
    for (unsigned n = 0; n < ADDRESS_TRIES_MAX; n++) {
        char address[POD_ADDRESS_MAX], file[PATH_MAX];
        address_candidate(uid, n, address);
        (void)snprintf(file, sizeof file, "%s/%s", claims, address);
        if (take(file, pod_folder)) {
            memcpy(ret, address, sizeof address);
            return 0;
        }
    }
    return mlt_fail(err, EADDRNOTAVAIL,
                    "no free loopback address among %d candidates (claims in %s)",
                    ADDRESS_TRIES_MAX, claims);
}

void addresses_sweep(const char *claims)
{
    char file[PATH_MAX], owner[PATH_MAX];
    cleanup_close int lock = lock_claims(claims, NULL);
    DIR *dir = lock >= 0 ? opendir(claims) : NULL;
    if (!dir)
        return;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(file, sizeof file, "%.3800s/%s", claims, entry->d_name);
        holder(file, owner, sizeof owner);
        if (owner[0] == '\0')
            (void)unlink(file);
    }
    (void)closedir(dir);
}

void address_release(const char *claims, const char *address, const char *pod_folder)
{
    char file[PATH_MAX], owner[PATH_MAX];
    cleanup_close int lock = lock_claims(claims, NULL);
    if (lock < 0 || address[0] == '\0')
        return;
    (void)snprintf(file, sizeof file, "%s/%s", claims, address);
    cleanup_close int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, owner, sizeof owner - 1) : 0;
    owner[length > 0 ? length : 0] = '\0';
    if (strcmp(owner, pod_folder) == 0)
        (void)unlink(file);
}
