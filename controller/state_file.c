/* Files of the controller: master key and state. See state_file.h. */
#include "controller/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"

#define KEY_SIZE 32
#define STATE_TEXT_MAX 256

static int new_identity(char identity[STATE_IDENTITY_MAX], struct mlt_error *err)
{
    char host[64] = "controller";
    uint64_t number;
    (void)gethostname(host, sizeof host - 1);
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return mlt_fail(err, EIO, "no random numbers: %s", strerror(errno));
    (void)snprintf(identity, STATE_IDENTITY_MAX, "%s_%016" PRIx64, host, number);
    return 0;
}

/* "port identity"; anything else counts as nothing. */
static void parse(struct state_file *s, char *text)
{
    int64_t port;
    char *space = strchr(text, ' ');
    if (!space)
        return;
    *space = 0;
    char *end = strchr(space + 1, '\n');
    if (!end || end == space + 1 || (size_t)(end - space) > STATE_IDENTITY_MAX ||
        mlt_parse_integer(text, 0, 65535, &port, NULL) < 0)
        return;
    *end = 0;
    s->port = (uint16_t)port;
    (void)snprintf(s->identity, sizeof s->identity, "%s", space + 1);
}

int state_file_open(const char *key_path, struct state_file *ret, struct mlt_error *err)
{
    struct state_file s = {.fd = -1};
    char text[STATE_TEXT_MAX + 1] = "";
    int r = new_identity(s.identity, err);
    if (r < 0)
        return r;
    if (!key_path) {
        *ret = s;
        return 0;
    }
    cleanup_free char *path = mlt_asprintf("%s.state", key_path);
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
            return mlt_fail(err, EBUSY, "%s: another controller uses this master key here", path);
        ssize_t got = pread(fd, text, STATE_TEXT_MAX, 0);
        if (got > 0)
            parse(&s, text);
        s.fd = steal_fd(&fd);
    }
    *ret = s;
    return 0;
}

int state_file_keep(struct state_file *s, uint16_t port, struct mlt_error *err)
{
    char text[STATE_TEXT_MAX];
    s->port = port;
    if (s->fd < 0)
        return 0;
    int length = snprintf(text, sizeof text, "%u %s\n", port, s->identity);
    if (pwrite(s->fd, text, (size_t)length, 0) != length || ftruncate(s->fd, length) < 0)
        return mlt_fail(err, errno ? errno : EIO, "state file: %s", strerror(errno));
    return 0;
}

/* Written beside and linked into place, so that a key is never seen half and never replaced. */
static int make_key(const char *path, struct mlt_error *err)
{
    unsigned char key[KEY_SIZE];
    cleanup_free char *temporary = mlt_asprintf("%s.new.%ld", path, (long)getpid());
    if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        return mlt_fail(err, EIO, "no random numbers: %s", strerror(errno));
    cleanup_close int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return mlt_fail(err, errno, "%s: %s", temporary, strerror(errno));
    bool whole = write(fd, key, sizeof key) == (ssize_t)sizeof key && fsync(fd) == 0;
    int code = errno;
    explicit_bzero(key, sizeof key);
    if (whole && link(temporary, path) < 0 && errno != EEXIST) {
        whole = false;
        code = errno;
    }
    (void)unlink(temporary);
    return whole ? 0 : mlt_fail(err, code ? code : EIO, "%s: %s", path, strerror(code));
}

int master_key_load(const char *path, unsigned char ret_key[32], struct mlt_error *err)
{
    unsigned char key[KEY_SIZE + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        int r = make_key(path, err);
        if (r < 0)
            return r;
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0)
        return mlt_fail(err, errno, "%s: %s", path, strerror(errno));
    ssize_t got = read(fd, key, sizeof key);
    (void)close(fd);
    if (got != KEY_SIZE)
        return mlt_fail(err, EINVAL, "%s: a master key has exactly %d bytes", path, KEY_SIZE);
    memcpy(ret_key, key, KEY_SIZE);
    explicit_bzero(key, sizeof key);
    return 0;
}
