/* Streams: answers that are written piece by piece.
 *
 * libmicrohttpd asks for bytes whenever the socket takes some. When there are none, the connection
 * is suspended, and the next write wakes it. A suspended connection is not watched by libmicrohttpd
 * at all, so it would never notice that its client left. Therefore each stream's socket is also a
 * member of an epoll set of our own, for hang-ups only (EPOLLRDHUP works with unread bytes before
 * the end, such as the last words of TLS). A client that shuts down only its sending side counts as
 * gone. */
#include "lib/httpd/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include "lib/base/alloc.h"

#define BLOCK_SIZE 32768 /* bytes asked for at once */
#define HANGUPS_MAX 64   /* hang-ups handled in one turn of the loop; the rest follow in the next */
#define COMPACT_AT 65536 /* sent bytes are dropped from the queue when they are so many */

static void unreference(struct httpd_stream *stream, unsigned count)
{
    stream->references -= count;
    if (stream->references > 0)
        return;
    mlt_text_release(&stream->queue);
    free(stream);
}

void httpd_stream_resume(struct httpd_stream *stream)
{
    if (!stream->suspended || !stream->connection)
        return;
    stream->suspended = false;
    MHD_resume_connection(stream->connection);
    httpd_wake(stream->h);
}

/* ---- libmicrohttpd asks for bytes ---- */

static ssize_t take(struct httpd_stream *stream, char *buffer, size_t max)
{
    size_t left = stream->queue.length - stream->offset;
    size_t length = left < max ? left : max;
    memcpy(buffer, stream->queue.data + stream->offset, length);
    stream->offset += length;
    if (stream->offset == stream->queue.length) {
        mlt_text_clear(&stream->queue);
        stream->offset = 0;
    } else if (stream->offset >= COMPACT_AT) {
        mlt_text_consume(&stream->queue, stream->offset);
        stream->offset = 0;
    }
    return (ssize_t)length;
}

static ssize_t on_wanted(void *arg, uint64_t position, char *buffer, size_t max)
{
    (void)position;
    struct httpd_stream *stream = arg;
    stream->suspended = false;
    if (stream->h)
        stream->h->activity++;
    if (!stream->broken && !stream->released && stream->queue.length == 0 && stream->wrote) {
        stream->wrote = false;
        if (stream->ops->drained)
            stream->ops->drained(stream->arg);
    }
    if (stream->broken)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (stream->queue.length > 0)
        return take(stream, buffer, max);
    if (stream->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    stream->suspended = true;
    MHD_suspend_connection(stream->connection);
    return 0;
}

static void on_response_freed(void *arg)
{
    unreference(arg, 1);
}

/* ---- clients that leave ---- */

void httpd_stream_watch(struct httpd *h, struct httpd_stream *stream,
                        struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = stream};
    if (info && epoll_ctl(h->hangup_fd, EPOLL_CTL_ADD, info->connect_fd, &event) == 0)
        stream->socket = info->connect_fd;
}

void httpd_stream_hangups(struct httpd *h)
{
    struct epoll_event events[HANGUPS_MAX];
    int count = epoll_wait(h->hangup_fd, events, HANGUPS_MAX, 0);
    /* Streams are freed only from within MHD_run(), so that all of these are still there. */
    for (int i = 0; i < count; i++) {
        struct httpd_stream *stream = events[i].data.ptr;
        stream->broken = true;
        httpd_stream_resume(stream);
    }
}

void httpd_stream_completed(struct httpd *h, struct httpd_stream *stream)
{
    if (stream->socket >= 0)
        (void)epoll_ctl(h->hangup_fd, EPOLL_CTL_DEL, stream->socket, NULL);
    stream->socket = -1;
    stream->connection = NULL;
    stream->h = NULL;
    stream->broken = true;
    unsigned references = 1; /* the request's */
    if (!stream->released) {
        stream->released = true;
        stream->ops->gone(stream->arg);
        references++; /* the user's */
    }
    unreference(stream, references);
}

/* ---- what the user sees ---- */

struct httpd_stream *httpd_stream_begin(struct httpd_request *request, int status,
                                        const char *content_type,
                                        const struct httpd_header *headers, size_t header_count,
                                        const struct httpd_stream_ops *ops, void *arg)
{
    struct httpd_stream *stream = mlt_calloc(1, sizeof *stream);
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_SIZE, on_wanted, stream, on_response_freed);
    assert(response);
    stream->socket = -1;
    stream->ops = ops;
    stream->arg = arg;
    stream->references = 2; /* the user and the response */
    stream->connection = request->connection;
    stream->h = request->h;
    httpd_response_headers(response, content_type, headers, header_count);
    if (request->connection) {
        mlt_text_init(&stream->queue, request->h->stream_queue_max);
        request->stream = stream;
        stream->references++;
        httpd_stream_watch(request->h, stream, request->connection);
    } else {
        stream->broken = true;
    }
    httpd_request_answer(request, status, response);
    return stream;
}

int httpd_stream_write(struct httpd_stream *stream, const void *data, size_t length)
{
    assert(!stream->released);
    if (stream->broken)
        return -EPIPE;
    if (length > stream->queue.max - (stream->queue.length - stream->offset))
        return -ENOBUFS;
    if (length > stream->queue.max - stream->queue.length) {
        mlt_text_consume(&stream->queue, stream->offset);
        stream->offset = 0;
    }
    mlt_text_add(&stream->queue, data, length);
    stream->wrote = true;
    httpd_stream_resume(stream);
    return 0;
}

size_t httpd_stream_queued(const struct httpd_stream *stream)
{
    return stream->queue.length - stream->offset;
}

static void release(struct httpd_stream *stream)
{
    assert(!stream->released);
    stream->released = true;
    httpd_stream_resume(stream);
    unreference(stream, 1);
}

void httpd_stream_end(struct httpd_stream *stream)
{
    if (!stream)
        return;
    stream->ended = true;
    release(stream);
}

void httpd_stream_abort(struct httpd_stream *stream)
{
    if (!stream)
        return;
    stream->broken = true;
    release(stream);
}
