/* Our own stdout and stderr, written without ever waiting: see output.h. */
#include "launcher/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_AT_ONCE (64u * 1024) /* lines are gathered up to this many bytes for one write */

/* O_NONBLOCK belongs to the open file, which others share with us (a shell, a container's runtime):
 * opened anew it is ours alone. */
static int open_anew(int fd)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

int output_sink_init(struct output_sink *sink, int fd, struct mlt_error *err)
{
    *sink = (struct output_sink){.fd = fd, .kind = OUTPUT_SINK_SHARED};
    sink->data = malloc(OUTPUT_SINK_SIZE);
    if (!sink->data)
        return mlt_fail(err, ENOMEM, "no memory for the output relay");
    struct stat st;
    if (fstat(fd, &st) < 0) {
        sink->broken = true;
        return 0;
    }
    if (S_ISREG(st.st_mode)) {
        sink->kind = OUTPUT_SINK_FILE;
    } else if (S_ISSOCK(st.st_mode)) {
        sink->kind = OUTPUT_SINK_SOCKET;
    } else {
        int own = open_anew(fd);
        if (own >= 0) {
            sink->fd = own;
            sink->owns_fd = true;
            sink->kind = OUTPUT_SINK_PRIVATE;
        }
    }
    return 0;
}

void output_sink_release(struct output_sink *sink)
{
    if (sink->owns_fd)
        (void)close(sink->fd);
    free(sink->data);
    *sink = (struct output_sink){.fd = -1, .broken = true};
}

size_t output_sink_pending(const struct output_sink *sink)
{
    return sink->length - sink->first;
}

bool output_sink_line(struct output_sink *sink, const char *prefix, const char *text, size_t length)
{
    if (sink->broken)
        return true;
    size_t prefix_length = strlen(prefix), need = prefix_length + length + 1;
    if (output_sink_pending(sink) >= WRITE_AT_ONCE)
        (void)output_sink_flush(sink);
    if (sink->length + need > OUTPUT_SINK_SIZE && sink->first) {
        memmove(sink->data, sink->data + sink->first, sink->length - sink->first);
        sink->length -= sink->first;
        sink->first = 0;
    }
    if (sink->length + need > OUTPUT_SINK_SIZE)
        return false;
    char *to = sink->data + sink->length;
    memcpy(to, prefix, prefix_length);
    memcpy(to + prefix_length, text, length);
    to[need - 1] = '\n';
    sink->length += need;
    return true;
}

static ssize_t write_some(const struct output_sink *sink, const char *data, size_t length)
{
    if (sink->kind == OUTPUT_SINK_SOCKET)
        return send(sink->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sink->kind == OUTPUT_SINK_SHARED) {
        struct pollfd p = {.fd = sink->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT)) {
            errno = p.revents & (POLLERR | POLLNVAL) ? EPIPE : EAGAIN;
            return -1;
        }
        length = length > PIPE_BUF ? PIPE_BUF : length;
    }
    return write(sink->fd, data, length);
}

bool output_sink_flush(struct output_sink *sink)
{
    while (sink->first < sink->length && !sink->broken) {
        ssize_t n = write_some(sink, sink->data + sink->first, sink->length - sink->first);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        /* A full disk loses these lines; a later write may succeed again. */
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT))
            n = (ssize_t)(sink->length - sink->first);
        if (n < 0)
            sink->broken = true;
        else
            sink->first += (size_t)n;
    }
    sink->first = sink->length = 0;
    return true;
}
