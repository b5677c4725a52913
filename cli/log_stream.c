/* The log of one container: see log_stream.h. */
#include "cli/log_stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

#define ERROR_BODY_MAX 8192

struct log_stream {
    struct kube_call *call;
    const struct log_stream_ops *ops;
    void *arg;
    int http_status;
    struct mlt_text partial; /* an unfinished line, or the body of a refusal */
};

static void on_status(void *arg, int http_status, int64_t retry_after_ms)
{
    (void)retry_after_ms;
    struct log_stream *s = arg;
    s->http_status = http_status;
}

static void emit_partial(struct log_stream *s)
{
    s->ops->line(s->arg, mlt_text_string(&s->partial), s->partial.length);
    mlt_text_clear(&s->partial);
}

static void on_body(void *arg, const char *data, size_t length)
{
    struct log_stream *s = arg;
    if (s->http_status >= 400) {
        mlt_text_add(&s->partial, data, length < ERROR_BODY_MAX ? length : ERROR_BODY_MAX);
        return;
    }
    while (length > 0) {
        const char *newline = memchr(data, '\n', length);
        size_t piece = newline ? (size_t)(newline - data) : length;
        if (newline && s->partial.length == 0) {
            s->ops->line(s->arg, data, piece);
        } else {
            if (s->partial.length + piece > LOG_STREAM_LINE_MAX)
                emit_partial(s);
            mlt_text_add(&s->partial, data, piece);
            if (newline)
                emit_partial(s);
        }
        piece += newline ? 1 : 0;
        data += piece;
        length -= piece;
    }
}

static void on_end(void *arg, const char *transport_error)
{
    struct log_stream *s = arg;
    s->call = NULL;
    if (s->http_status >= 400) {
        cJSON *status cleanup_json = NULL;
        (void)!json_parse(mlt_text_string(&s->partial), s->partial.length, &status, NULL);
        s->ops->end(s->arg, s->http_status == 400,
                    json_string(status, "message", "the API server refuses the log"));
        return;
    }
    if (s->partial.length)
        emit_partial(s);
    s->ops->end(s->arg, false, transport_error);
}

struct log_stream *log_stream_new(struct cli *c, const char *namespace_, const char *pod,
                                  const char *container, const struct log_stream_options *options,
                                  const struct log_stream_ops *ops, void *arg)
{
    static const struct kube_call_ops call_ops = {
        .status = on_status, .body = on_body, .end = on_end};
    struct log_stream *s = mlt_calloc(1, sizeof *s);
    s->ops = ops;
    s->arg = arg;
    mlt_text_init(&s->partial, LOG_STREAM_LINE_MAX);
    struct mlt_text query cleanup_text = MLT_TEXT_INIT(512),
                          path cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX);
    mlt_text_printf(&query, "container=");
    kube_path_encode(&query, container);
    if (options->follow)
        mlt_text_puts(&query, "&follow=true");
    if (options->timestamps)
        mlt_text_puts(&query, "&timestamps=true");
    if (options->tail_lines >= 0)
        mlt_text_printf(&query, "&tailLines=%" PRId64, options->tail_lines);
    kube_path(&path, KUBE_POD, namespace_, pod, "log", mlt_text_string(&query));
    s->call = kube_transport_send(c->transport, "GET", mlt_text_string(&path), NULL, NULL, 0, 0,
                                  &call_ops, s);
    return s;
}

void log_stream_free(struct log_stream *s)
{
    if (!s)
        return;
    if (s->call)
        kube_call_cancel(s->call);
    mlt_text_release(&s->partial);
    free(s);
}
