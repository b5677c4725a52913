/* JSON lines over a unix socket: bounded lines, bounded queue, one owner of the descriptor. */
#include "localcluster/shim/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "localcluster/shim/wire.h"

#define READ_SIZE 65536

struct shim_channel {
    uv_pipe_t pipe;
    const struct shim_channel_ops *ops;
    void *arg;
    struct mlt_text in;
    size_t scanned; /* bytes of `in` known to hold no newline */
    bool closed, ended;
    char buffer[READ_SIZE];
};

struct pending_write {
    uv_write_t request;
    char *text;
};

static void freed(uv_handle_t *handle)
{
    struct shim_channel *c = handle->data;
    mlt_text_release(&c->in);
    free(c);
}

static void end(struct shim_channel *c, const char *why)
{
    if (c->ended || c->closed)
        return;
    c->ended = true;
    (void)uv_read_stop((uv_stream_t *)&c->pipe);
    c->ops->ended(c->arg, why);
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct shim_channel *c = handle->data;
    *buf = uv_buf_init(c->buffer, READ_SIZE);
}

/* Takes complete lines out of the buffer. The owner may close the channel in a callback: the memory
 * stays until the loop's close callback, so `closed` can be looked at afterwards. */
static void take_lines(struct shim_channel *c)
{
    size_t done = 0;
    while (!c->closed && !c->ended) {
        const char *from = c->in.data + c->scanned;
        const char *newline = memchr(from, '\n', c->in.length - c->scanned);
        if (!newline) {
            c->scanned = c->in.length;
            break;
        }
        size_t stop = (size_t)(newline - c->in.data);
        struct mlt_error err;
        cleanup_json cJSON *object = NULL;
        if (json_parse(c->in.data + done, stop - done, &object, &err) < 0) {
            end(c, err.text);
            return;
        }
        done = c->scanned = stop + 1;
        c->ops->message(c->arg, object);
    }
    mlt_text_consume(&c->in, done);
    c->scanned -= done;
}

static void have_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buf)
{
    struct shim_channel *c = stream->data;
    if (c->closed || length == 0)
        return;
    if (length < 0) {
        end(c, length == UV_EOF ? "the other end has closed" : uv_strerror((int)length));
        return;
    }
    mlt_text_add(&c->in, buf->base, (size_t)length);
    if (c->in.failed)
        end(c, "a message is longer than its maximum");
    else
        take_lines(c);
}

int shim_channel_open(uv_loop_t *loop, int fd, const struct shim_channel_ops *ops, void *arg,
                      struct shim_channel **ret, struct mlt_error *err)
{
    struct shim_channel *c = mlt_calloc(1, sizeof *c);
    c->ops = ops;
    c->arg = arg;
    mlt_text_init(&c->in, SHIM_MESSAGE_MAX);
    int rc = uv_pipe_init(loop, &c->pipe, 0);
    if (rc < 0) {
        free(c);
        (void)close(fd);
        return mlt_fail(err, -rc, "%s", uv_strerror(rc));
    }
    c->pipe.data = c;
    rc = uv_pipe_open(&c->pipe, fd);
    if (rc < 0)
        (void)close(fd);
    else
        rc = uv_read_start((uv_stream_t *)&c->pipe, give_buffer, have_read);
    if (rc < 0) {
        shim_channel_close(c);
        return mlt_fail(err, -rc, "%s", uv_strerror(rc));
    }
    *ret = c;
    return 0;
}

/* A failure to write is not the end: what the other end had sent before it went is still to be
 * read, and the reading side reports the end after that. */
static void written(uv_write_t *request, int status)
{
    struct pending_write *w = request->data;
    (void)status;
    free(w->text);
    free(w);
}

/* What the kernel takes at once is written at once: nothing is lost when the channel closes next.
 */
void shim_channel_send(struct shim_channel *c, cJSON *object)
{
    char *text = json_print(object);
    cJSON_Delete(object);
    size_t length = strlen(text);
    if (c->closed || c->ended ||
        uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) > SHIM_CHANNEL_QUEUE_MAX) {
        free(text);
        return;
    }
    text[length++] = '\n';
    struct pending_write *w = mlt_calloc(1, sizeof *w);
    w->text = text;
    w->request.data = w;
    uv_buf_t buf = uv_buf_init(text, (unsigned)length);
    if (uv_write(&w->request, (uv_stream_t *)&c->pipe, &buf, 1, written) < 0) {
        free(text);
        free(w);
    }
}

void shim_channel_close(struct shim_channel *c)
{
    if (!c || c->closed)
        return;
    c->closed = true;
    uv_close((uv_handle_t *)&c->pipe, freed);
}
