/* An HTTP/1.1 server on a libuv loop: libmicrohttpd without threads, TLS 1.2 and 1.3.
 *
 * The handler gets complete requests and answers each exactly once: at once or later with
 * httpd_respond(), or with a stream (httpd_stream_begin, _write ..., _end). One thread: everything
 * here is called from the loop's thread, and all callbacks come from the loop. Programs ignore
 * SIGPIPE.
 *
 * Lifetimes. A request belongs to the user from the handler's call until it is answered, also when
 * its client has left meanwhile (the answer is then dropped) and also across httpd_free(). A stream
 * belongs to the user until httpd_stream_end() or gone(), whichever comes first. */
#ifndef HTTPD_HTTPD_H
#define HTTPD_HTTPD_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "lib/base/error.h"

#define HTTPD_BODY_MAX_DEFAULT (4u * 1024 * 1024)         /* bytes of a request's body */
#define HTTPD_HEADER_MAX_DEFAULT (64u * 1024)             /* bytes of request line and headers */
#define HTTPD_CONNECTIONS_MAX_DEFAULT 1024                /* further clients wait in the backlog */
#define HTTPD_IDLE_TIMEOUT_DEFAULT 120                    /* seconds without a byte in or out */
#define HTTPD_STREAM_QUEUE_MAX_DEFAULT (8u * 1024 * 1024) /* bytes written and not yet sent */
#define HTTPD_DISCARD_MAX (64u * 1024 * 1024) /* bytes read and dropped so that a 413 arrives */
#define HTTPD_HEADERS_MAX 32                  /* extra headers of one answer */

struct httpd;
struct httpd_request;
struct httpd_stream;

/* A complete request. All pointers are owned by the request and valid until it is answered. */
struct httpd_message {
    const char *method; /* "GET" */
    const char *target; /* path and query exactly as sent, undecoded: "/api/v1/pods?watch=1" */
    const char *body;   /* NUL-terminated; "" when there is none */
    size_t body_length;
};

/* Zero means the default for each number. */
struct httpd_config {
    const char *address;         /* "127.0.0.1", "::1", "0.0.0.0" */
    uint16_t port;               /* 0: any free one, see httpd_port() */
    const char *certificate_pem; /* chain; NULL together with key_pem: plain HTTP. Not kept. */
    const char *key_pem;
    size_t body_max;   /* a longer body is answered with 413 */
    size_t header_max; /* longer headers are answered with 431 or 414 */
    unsigned connections_max;
    unsigned idle_timeout_s; /* does not count while a request waits for its answer or a stream for
                                data */
    size_t stream_queue_max;
};

/* Called for each complete request. `request` must be answered exactly once, now or later. */
typedef void httpd_handler_f(void *arg, struct httpd_request *request,
                             const struct httpd_message *message);

/* Binds, listens and serves as long as the loop runs. -EADDRINUSE and other errors of bind() with
 * the address in words, -EINVAL for an address or a certificate that cannot be used, -E2BIG for
 * limits out of range. The loop must outlive the server. */
int httpd_new(uv_loop_t *loop, const struct httpd_config *config, httpd_handler_f *handler,
              void *arg, struct httpd **ret, struct mlt_error *err) MLT_MUST_USE;

/* The port that it listens on. */
uint16_t httpd_port(const struct httpd *h);

/* Open connections now. */
unsigned httpd_connections(const struct httpd *h);

/* Stops serving. No handler is called any more; gone() comes for each open stream, then closed(arg)
 * (may be NULL), all from the loop. What was queued may not reach its client: end streams first and
 * give the loop a moment when that matters. NULL is fine (closed is then not called). May be called
 * from any callback of the server. */
void httpd_free(struct httpd *h, void (*closed)(void *arg), void *arg);

/* ---- the request ---- */

/* A header's value, name in any case; NULL when absent. Valid, and to be called, only during the
 * handler's call. */
const char *httpd_request_header(const struct httpd_request *request, const char *name);

/* Anything of the user's that travels with the request; NULL at first. */
void httpd_request_set_data(struct httpd_request *request, void *data);
void *httpd_request_data(const struct httpd_request *request);

/* ---- the answer ---- */

struct httpd_header {
    const char *name, *value;
};

/* Answers and gives the request up. `content_type` may be NULL; `headers` (may be NULL when count
 * is 0) are further headers, at most HTTPD_HEADERS_MAX; `body` is copied. Content-Length is written
 * here, and a HEAD request gets no body. */
void httpd_respond(struct httpd_request *request, int status, const char *content_type,
                   const struct httpd_header *headers, size_t header_count, const void *body,
                   size_t length);

struct httpd_stream_ops {
    /* The client has left, or the server stops: the stream is no longer valid after this call.
     * Never called after httpd_stream_end(), and never from within a function of this header. */
    void (*gone)(void *arg);
    /* May be NULL. All that was written has been handed to the socket: the place to write more of
     * something long (a log file) without filling the queue. Not called before the first write. */
    void (*drained)(void *arg);
};

/* Sends status and headers and turns the request into a stream (chunked). The request is given up.
 * `ops` must stay valid as long as the stream. Never NULL: for a client that has left already,
 * gone() follows from the loop. Only for a request that outlived its server (httpd_free) gone()
 * does not come: writes fail with -EPIPE, and the stream must be ended. */
struct httpd_stream *httpd_stream_begin(struct httpd_request *request, int status,
                                        const char *content_type,
                                        const struct httpd_header *headers, size_t header_count,
                                        const struct httpd_stream_ops *ops, void *arg);

/* Queues bytes (copied). -ENOBUFS when the queue would exceed its maximum, because the client does
 * not read: nothing is queued then, the stream is whole, and the user may wait for drained(), end
 * it, or abort it. -EPIPE when the client has left: nothing is queued, and gone() follows. */
int httpd_stream_write(struct httpd_stream *stream, const void *data, size_t length) MLT_MUST_USE;

/* Bytes queued and not yet handed to the socket. */
size_t httpd_stream_queued(const struct httpd_stream *stream);

/* Ends the stream properly after what is queued. gone() is not called any more. NULL is fine. */
void httpd_stream_end(struct httpd_stream *stream);

/* Ends the stream at once, without its proper end, so that the client sees an error. gone() is not
 * called any more. NULL is fine. */
void httpd_stream_abort(struct httpd_stream *stream);

#endif
