/* Forms CRI log records from the bytes that a container writes, and bounds the file they go to. */
#include "localcluster/shim/cri_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STAMP_MAX 48

static size_t stamp(int64_t wall_ns, enum cri_stream_name name, char *text)
{
    time_t seconds = (time_t)(wall_ns / 1000000000);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm);
    size_t used = strftime(text, STAMP_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    int more = snprintf(text + used, STAMP_MAX - used, ".%09" PRId64 "Z %s ", wall_ns % 1000000000,
                        name == CRI_STDOUT ? "stdout" : "stderr");
    return used + (size_t)more;
}

/* One record out of what is held of the line and `rest`. */
static void record(struct cri_stream *s, const char *prefix, size_t prefix_length, char tag,
                   const char *rest, size_t rest_length, struct mlt_text *out)
{
    mlt_text_add(out, prefix, prefix_length);
    mlt_text_putc(out, tag);
    mlt_text_putc(out, ' ');
    mlt_text_add(out, s->line, s->used);
    mlt_text_add(out, rest, rest_length);
    mlt_text_putc(out, '\n');
    s->used = 0;
}

void cri_stream_feed(struct cri_stream *s, const char *data, size_t length, int64_t wall_ns,
                     struct mlt_text *out)
{
    char prefix[STAMP_MAX];
    size_t prefix_length = stamp(wall_ns, s->name, prefix);
    while (length > 0) {
        size_t room = CRI_LINE_MAX - s->used;
        const char *newline = memchr(data, '\n', length < room + 1 ? length : room + 1);
        if (newline) {
            size_t piece = (size_t)(newline - data);
            record(s, prefix, prefix_length, 'F', data, piece, out);
            data += piece + 1;
            length -= piece + 1;
        } else if (length > room) {
            record(s, prefix, prefix_length, 'P', data, room, out);
            data += room;
            length -= room;
        } else {
            memcpy(s->line + s->used, data, length);
            s->used += length;
            length = 0;
        }
    }
}

void cri_stream_end(struct cri_stream *s, int64_t wall_ns, struct mlt_text *out)
{
    char prefix[STAMP_MAX];
    if (s->used > 0)
        record(s, prefix, stamp(wall_ns, s->name, prefix), 'F', "", 0, out);
}

int cri_log_open(struct cri_log *log, const char *path, int64_t maximum, struct mlt_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        return mlt_fail(err, errno, "cannot open the log %s: %s", path, strerror(errno));
    struct stat st;
    log->fd = fd;
    log->size = fstat(fd, &st) == 0 ? st.st_size : 0;
    log->maximum = maximum;
    log->full = log->size >= maximum;
    return 0;
}

void cri_log_close(struct cri_log *log)
{
    if (log->fd >= 0)
        (void)close(log->fd);
    log->fd = -1;
}

/* A full disk loses log lines, never the container: what cannot be written is dropped. */
static void write_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, data, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        data += written;
        length -= (size_t)written;
    }
}

static void write_last_line(struct cri_log *log, int64_t wall_ns)
{
    char line[256];
    size_t used = stamp(wall_ns, CRI_STDERR, line);
    int more = snprintf(line + used, sizeof line - used,
                        "F [mltrain] this log has reached its maximum of %" PRId64
                        " bytes; later output is not kept\n",
                        log->maximum);
    write_all(log->fd, line, used + (size_t)more);
    log->full = true;
}

void cri_log_write(struct cri_log *log, const char *records, size_t length, int64_t wall_ns)
{
    if (log->full || log->fd < 0 || length == 0)
        return;
    size_t fits = length;
    if (log->size + (int64_t)length > log->maximum) {
        int64_t room = log->maximum - log->size;
        const char *end = room > 0 ? memrchr(records, '\n', (size_t)room) : NULL;
        fits = end ? (size_t)(end - records) + 1 : 0;
    }
    write_all(log->fd, records, fits);
    log->size += (int64_t)fits;
    if (fits < length)
        write_last_line(log, wall_ns);
}
