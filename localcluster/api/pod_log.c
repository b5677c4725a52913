/* Log files of containers: see pod_log.h. */
#include "localcluster/api/pod_log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"

#define BLOCK 65536

struct pod_log {
    char *path; /* NULL: the query names nothing that can be a file */
    int fd;
    bool timestamps, middle, skipping;  /* middle: the last piece did not end its line */
    int64_t tail_lines, since_ms, left; /* left: bytes that may still be shown, -1: any number */
    struct mlt_text pending;            /* read and not yet shown */
};

static bool is_component(const char *name)
{
    return name && name[0] && name[0] != '.' && !strchr(name, '/');
}

struct pod_log *pod_log_new(const char *dir, const struct api_log_query *q)
{
    struct pod_log *l = mlt_calloc(1, sizeof *l);
    l->fd = -1;
    l->timestamps = q->timestamps;
    l->tail_lines = q->tail_lines;
    l->since_ms = q->since_ms;
    l->left = q->limit_bytes;
    mlt_text_init(&l->pending, POD_LOG_LINE_MAX + BLOCK);
    if (is_component(q->node) && is_component(q->namespace_) && is_component(q->pod) &&
        is_component(q->uid) && is_component(q->container))
        l->path = mlt_asprintf("%s/nodes/%s/logs/%s_%s_%s/%s/%" PRId64 ".log", dir, q->node,
                               q->namespace_, q->pod, q->uid, q->container, q->restart);
    return l;
}

void pod_log_free(struct pod_log *l)
{
    if (!l)
        return;
    if (l->fd >= 0)
        (void)close(l->fd);
    mlt_text_release(&l->pending);
    free(l->path);
    free(l);
}

const char *pod_log_path(const struct pod_log *l)
{
    return l->path ? l->path : "";
}

/* The offset at which the last `lines` lines of the file begin. */
static off_t find_tail(int fd, int64_t lines)
{
    struct stat st;
    char block[BLOCK];
    if (fstat(fd, &st) < 0)
        return 0;
    off_t end = st.st_size;
    bool last = true; /* the newline at the very end belongs to the last line */
    while (end > 0) {
        size_t size = end < BLOCK ? (size_t)end : BLOCK;
        ssize_t n = pread(fd, block, size, end - (off_t)size);
        if (n != (ssize_t)size)
            return 0;
        for (size_t i = size; i > 0; i--) {
            if (block[i - 1] != '\n' || last) {
                last = false;
                continue;
            }
            if (--lines <= 0)
                return end - (off_t)size + (off_t)i;
        }
        end -= (off_t)size;
    }
    return 0;
}

static bool open_file(struct pod_log *l)
{
    struct stat st;
    if (l->fd >= 0)
        return true;
    if (!l->path)
        return false;
    l->fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (l->fd < 0 || fstat(l->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    if (l->tail_lines == 0)
        (void)lseek(l->fd, 0, SEEK_END);
    else if (l->tail_lines > 0)
        (void)lseek(l->fd, find_tail(l->fd, l->tail_lines), SEEK_SET);
    return true;
}

static void show(struct pod_log *l, const char *data, size_t length, struct mlt_text *out)
{
    if (l->left >= 0 && (int64_t)length > l->left)
        length = (size_t)l->left;
    mlt_text_add(out, data, length);
    if (l->left >= 0)
        l->left -= (int64_t)length;
}

/* One line of the file, without its newline. What is not in the format is shown as it stands. */
static void show_line(struct pod_log *l, char *line, size_t length, struct mlt_text *out)
{
    char *stream = memchr(line, ' ', length);
    char *tag = stream ? memchr(stream + 1, ' ', length - (size_t)(stream + 1 - line)) : NULL;
    if (!tag || length < (size_t)(tag - line) + 2) {
        show(l, line, length, out);
        show(l, "\n", 1, out);
        return;
    }
    bool partial = tag[1] == 'P';
    const char *text = tag + 2 < line + length ? tag + 3 : tag + 2;
    size_t size = text < line + length ? (size_t)(line + length - text) : 0;
    if (!l->middle && l->since_ms != INT64_MIN) {
        int64_t ms;
        *stream = '\0';
        l->skipping = mlt_time_parse(line, &ms, NULL) == 0 && ms < l->since_ms;
        *stream = ' ';
    }
    if (!l->skipping) {
        if (l->timestamps && !l->middle)
            show(l, line, (size_t)(stream - line) + 1, out);
        show(l, text, size, out);
        if (!partial)
            show(l, "\n", 1, out);
    }
    l->middle = partial;
}

/* Shows the whole lines of what was read; a line beyond the maximum counts as whole. */
static void show_pending(struct pod_log *l, struct mlt_text *out)
{
    size_t start = 0;
    char *data = l->pending.data;
    while (start < l->pending.length && l->left != 0) {
        char *end = memchr(data + start, '\n', l->pending.length - start);
        if (!end && l->pending.length - start < POD_LOG_LINE_MAX)
            break;
        size_t length = end ? (size_t)(end - data) - start : l->pending.length - start;
        show_line(l, data + start, length, out);
        start += length + (end ? 1 : 0);
    }
    mlt_text_consume(&l->pending, start);
}

enum pod_log_state pod_log_read(struct pod_log *l, size_t max_bytes, struct mlt_text *out)
{
    char block[BLOCK];
    if (!open_file(l))
        return POD_LOG_END;
    while (l->left != 0) {
        if (out->length >= max_bytes)
            return POD_LOG_MORE;
        ssize_t n = read(l->fd, block, sizeof block);
        if (n <= 0)
            return POD_LOG_END;
        mlt_text_add(&l->pending, block, (size_t)n);
        show_pending(l, out);
    }
    return POD_LOG_DONE;
}
