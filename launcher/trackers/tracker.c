/* The list of trackers, and what they share: see tracker.h. */
#include "launcher/trackers/tracker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/trackers/content.h"
#include "lib/base/cleanup.h"

#define PIECE (64u * 1024) /* bytes read at once */

static const struct tracker *const all[TRACKER_FORMATS] = {
#define XX(name, variable) [TRACKER_##name] = &variable,
    TRACKER_MAP(XX)
#undef XX
};

const struct tracker *tracker_at(enum tracker_format format)
{
    return all[format];
}

uint32_t tracker_formats(const char *format, const char *pattern)
{
    if (strcmp(format, "auto") == 0)
        return ((1u << TRACKER_FORMATS) - 1) & ~(pattern[0] ? 0 : 1u << TRACKER_PATTERN);
    for (unsigned i = 0; i < TRACKER_FORMATS; i++)
        if (strcmp(all[i]->format, format) == 0)
            return 1u << i;
    return 0;
}

/* ---- writers ---- */

static void add_writer(struct tracker_writers *w, const struct stat *st)
{
    if (w->count == w->capacity) {
        size_t capacity = w->capacity ? w->capacity * 2 : 64;
        void *files = realloc(w->files, capacity * sizeof *w->files);
        if (!files)
            return;
        w->files = files;
        w->capacity = capacity;
    }
    w->files[w->count].device = st->st_dev;
    w->files[w->count++].inode = st->st_ino;
}

static void find_writers(struct tracker_writers *w)
{
    DIR *proc = opendir("/proc");
    w->known = true;
    for (struct dirent *p = proc ? readdir(proc) : NULL; p; p = readdir(proc)) {
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/%.20s/fd", p->d_name);
        DIR *fds = p->d_name[0] >= '0' && p->d_name[0] <= '9' ? opendir(path) : NULL;
        for (struct dirent *f = fds ? readdir(fds) : NULL; f; f = readdir(fds)) {
            struct stat st, link;
            /* The link's own mode says how it was opened: proc(5), /proc/pid/fd. */
            if (fstatat(dirfd(fds), f->d_name, &link, AT_SYMLINK_NOFOLLOW) == 0 &&
                (link.st_mode & S_IWUSR) && fstatat(dirfd(fds), f->d_name, &st, 0) == 0 &&
                S_ISREG(st.st_mode))
                add_writer(w, &st);
        }
        if (fds)
            (void)closedir(fds);
    }
    if (proc)
        (void)closedir(proc);
}

static bool is_open_for_writing(struct tracker_writers *w, const struct stat *file)
{
    if (!w->known)
        find_writers(w);
    for (size_t i = 0; i < w->count; i++)
        if (w->files[i].inode == file->st_ino && w->files[i].device == file->st_dev)
            return true;
    return false;
}

void tracker_writers_release(struct tracker_writers *w)
{
    free(w->files);
    *w = (struct tracker_writers){0};
}

/* ---- parts ---- */

static uint64_t hash(uint64_t value, uint64_t data)
{
    /* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
    for (int i = 0; i < 8; i++, data >>= 8)
        value = (value ^ (data & 0xff)) * UINT64_C(1099511628211);
    return value;
}

static int64_t milliseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

void tracker_add_part(struct tracker_result *result, const struct stat *st)
{
    uint64_t inode = hash(UINT64_C(14695981039346656037), (uint64_t)st->st_ino);
    uint64_t part = hash(inode, (uint64_t)st->st_size);
    part = hash(part, (uint64_t)st->st_mtim.tv_sec);
    part = hash(part, (uint64_t)st->st_mtim.tv_nsec);
    /* Sums: a folder may be listed in any order. */
    result->fingerprint += part;
    result->identity += inode;
    result->bytes += (uint64_t)st->st_size;
    result->parts++;
    int64_t content_ms = milliseconds(st->st_mtim), any_ms = milliseconds(st->st_ctim);
    if (content_ms > result->wall_ms)
        result->wall_ms = content_ms;
    /* A write sets both. Copying sets the first to an older time, chown only the second. */
    int64_t changed_ms = content_ms < any_ms ? content_ms : any_ms;
    if (changed_ms > result->changed_ms)
        result->changed_ms = changed_ms;
}

static enum tracker_verdict examine_zip(int fd, uint64_t size)
{
    size_t length = size < CONTENT_ZIP_TAIL ? (size_t)size : CONTENT_ZIP_TAIL;
    cleanup_free unsigned char *tail = malloc(length);
    if (!tail || pread(fd, tail, length, (off_t)(size - length)) != (ssize_t)length)
        return TRACKER_TORN;
    return content_zip_is_whole(tail, length, size) ? TRACKER_COMPLETE : TRACKER_TORN;
}

static enum tracker_verdict examine_safetensors(int fd, uint64_t size)
{
    unsigned char head[8];
    uint64_t length = 0, expected;
    if (pread(fd, head, sizeof head, 0) != sizeof head)
        return TRACKER_TORN;
    for (int i = 8; i-- > 0;)
        length = length << 8 | head[i];
    if (length > CONTENT_SAFETENSORS_HEADER_MAX || length > size - sizeof head)
        return TRACKER_TORN;
    cleanup_free char *text = malloc(length + 1);
    if (!text || pread(fd, text, length, sizeof head) != (ssize_t)length)
        return TRACKER_TORN;
    return content_safetensors_size(text, length, &expected) && expected == size ? TRACKER_COMPLETE
                                                                                 : TRACKER_TORN;
}

enum tracker_verdict tracker_add_file(const struct tracker_look *look, int folder, const char *name,
                                      struct tracker_result *result)
{
    struct stat st;
    unsigned char head[4];
    cleanup_close int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || result->parts == TRACKER_FILES_MAX)
        return TRACKER_TORN;
    tracker_add_part(result, &st);
    if (st.st_size == 0)
        return TRACKER_TORN;
    if (tracker_ends_with(name, ".safetensors"))
        return examine_safetensors(fd, (uint64_t)st.st_size);
    if (pread(fd, head, sizeof head, 0) == sizeof head && memcmp(head, "PK\3\4", 4) == 0)
        return examine_zip(fd, (uint64_t)st.st_size);
    if (look->writers && !result->writing)
        result->writing = is_open_for_writing(look->writers, &st);
    return TRACKER_SETTLING;
}

/* ---- reading ---- */

int tracker_each_name(int folder, bool (*each)(void *user, int folder, const char *name),
                      void *user)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (!dir) {
        int error = errno;
        if (copy >= 0)
            (void)close(copy);
        return -error;
    }
    int rc = 0, looked = 0;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (++looked > TRACKER_FILES_MAX)
            rc = -E2BIG;
        if (rc < 0 || !each(user, folder, entry->d_name))
            break;
    }
    (void)closedir(dir);
    return rc;
}

char *tracker_read_file(int folder, const char *name, size_t max, size_t *ret_length)
{
    struct stat st;
    cleanup_close int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
        return NULL;
    size_t length = (size_t)st.st_size, done = 0;
    cleanup_free char *text = malloc(length + 1);
    while (text && done < length) {
        ssize_t n = read(fd, text + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return NULL;
        done += (size_t)n;
    }
    if (!text)
        return NULL;
    text[length] = '\0';
    *ret_length = length;
    return steal_ptr(&text);
}

unsigned char *tracker_read_pickle(int folder, const char *name, size_t *ret_length)
{
    static const char header[] = "PK\3\4"; /* of the pickle's entry, and then of the next one */
    cleanup_close int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    cleanup_free unsigned char *data = NULL;
    size_t length = 0;
    while (fd >= 0 && length < CONTENT_PICKLE_MAX) {
        unsigned char *more = realloc(data, length + PIECE);
        if (!more)
            return NULL;
        data = more;
        ssize_t n = read(fd, data + length, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return NULL;
        size_t from = length > 4 ? length - 3 : 4; /* the header may lie across two pieces */
        length += (size_t)n;
        if (n == 0 || (length > from && memmem(data + from, length - from, header, 4)))
            break;
    }
    *ret_length = length;
    return steal_ptr(&data);
}
