/* Requests: libmicrohttpd's callbacks collect one until it is complete, the handler gets it, and
 * the connection sleeps until it is answered.
 *
 * libmicrohttpd calls httpd_on_request() for the headers, for each piece of the body, once when the
 * body is complete, and again after each wake-up while no response has been queued. */
#include "lib/httpd/internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"

#define REFUSAL_TEXT_MAX 200
#define BLOCK_SIZE 32768 /* bytes of an answer that are sent at once */

static void request_free(struct httpd_request *request)
{
    if (request->response)
        MHD_destroy_response(request->response);
    mlt_text_release(&request->body);
    free(request->target);
    free(request->method);
    free(request);
}

/* ---- collecting ---- */

void *httpd_on_request_line(void *arg, const char *target, struct MHD_Connection *connection)
{
    struct httpd *h = arg;
    struct httpd_request *request = mlt_calloc(1, sizeof *request);
    request->h = h;
    request->connection = connection;
    request->target = mlt_strdup(target);
    mlt_text_init(&request->body, h->body_max);
    LIST_INSERT_HEAD(&h->requests, request, link);
    return request;
}

static enum MHD_Result queue(struct httpd_request *request)
{
    struct MHD_Response *response = steal_ptr(&request->response);
    enum MHD_Result r =
        MHD_queue_response(request->connection, (unsigned)request->status, response);
    MHD_destroy_response(response); /* libmicrohttpd holds its own reference */
    return r;
}

static enum MHD_Result refuse_body(struct httpd_request *request)
{
    char text[REFUSAL_TEXT_MAX];
    int length = snprintf(text, sizeof text, "the request body is longer than %zu bytes\n",
                          request->h->body_max);
    struct MHD_Response *response =
        MHD_create_response_from_buffer((size_t)length, text, MHD_RESPMEM_MUST_COPY);
    httpd_response_headers(response, "text/plain", NULL, 0);
    request->answered = true;
    request->status = MHD_HTTP_CONTENT_TOO_LARGE;
    request->response = response;
    return queue(request);
}

/* At the headers. A body that is much too long, or that the client has not begun to send because it
 * waits for 100 Continue, is refused at once; otherwise it is read and dropped, because a client
 * whose sending is cut off may never see the answer. */
static enum MHD_Result begin(struct httpd_request *request, const char *method)
{
    request->started = true;
    request->method = mlt_strdup(method);
    const char *length = httpd_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    int64_t announced = 0;
    if (!length || mlt_parse_integer(length, 0, INT64_MAX, &announced, NULL) < 0)
        return MHD_YES;
    size_t max = request->h->body_max;
    bool waits = httpd_request_header(request, MHD_HTTP_HEADER_EXPECT) != NULL;
    if ((size_t)announced > max && (waits || (size_t)announced - max > HTTPD_DISCARD_MAX))
        return refuse_body(request);
    return MHD_YES;
}

static enum MHD_Result add_body(struct httpd_request *request, const char *data, size_t *length)
{
    size_t max = request->h->body_max;
    request->body_seen += *length;
    if (request->body_seen <= max)
        mlt_text_add(&request->body, data, *length);
    else
        mlt_text_release(&request->body);
    *length = 0;
    return request->body_seen > max + HTTPD_DISCARD_MAX ? MHD_NO : MHD_YES;
}

static void suspend(struct httpd_request *request)
{
    request->suspended = true;
    MHD_suspend_connection(request->connection);
}

static enum MHD_Result dispatch(struct httpd_request *request)
{
    struct httpd *h = request->h;
    if (request->body_seen > h->body_max)
        return refuse_body(request);
    struct httpd_message message = {
        .method = request->method,
        .target = request->target,
        .body = mlt_text_string(&request->body),
        .body_length = request->body.length,
    };
    request->dispatched = true;
    request->in_handler = true;
    h->handler(h->arg, request, &message);
    request->in_handler = false;
    if (request->response)
        return queue(request);
    suspend(request);
    return MHD_YES;
}

enum MHD_Result httpd_on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_length, void **ret_request)
{
    (void)connection, (void)url, (void)version;
    struct httpd *h = arg;
    struct httpd_request *request = *ret_request;
    h->activity++;
    request->suspended = false;
    if (!request->started)
        return begin(request, method);
    if (*upload_length)
        return add_body(request, upload, upload_length);
    if (request->response)
        return queue(request);
    if (!request->dispatched)
        return dispatch(request);
    suspend(request);
    return MHD_YES;
}

/* The connection is done with this request, in whatever way. Without an answer yet, the request
 * stays with its user. */
void httpd_on_completed(void *arg, struct MHD_Connection *connection, void **ret_request,
                        enum MHD_RequestTerminationCode why)
{
    (void)connection, (void)why;
    struct httpd_request *request = *ret_request;
    if (!request)
        return;
    *ret_request = NULL;
    LIST_REMOVE(request, link);
    request->connection = NULL;
    request->h = NULL;
    if (request->stream)
        httpd_stream_completed(arg, steal_ptr(&request->stream));
    if (request->answered || !request->dispatched)
        request_free(request);
}

void httpd_request_resume(struct httpd_request *request)
{
    if (request->suspended) {
        request->suspended = false;
        MHD_resume_connection(request->connection);
        httpd_wake(request->h);
    }
    if (request->stream)
        httpd_stream_resume(request->stream);
}

/* ---- what the user sees ---- */

const char *httpd_request_header(const struct httpd_request *request, const char *name)
{
    return request->connection
               ? MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name)
               : NULL;
}

void httpd_request_set_data(struct httpd_request *request, void *data)
{
    request->data = data;
}

void *httpd_request_data(const struct httpd_request *request)
{
    return request->data;
}

void httpd_response_headers(struct MHD_Response *response, const char *content_type,
                            const struct httpd_header *headers, size_t count)
{
    assert(count <= HTTPD_HEADERS_MAX);
    if (content_type)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    for (size_t i = 0; i < count; i++)
        (void)MHD_add_response_header(response, headers[i].name, headers[i].value);
}

void httpd_request_answer(struct httpd_request *request, int status, struct MHD_Response *response)
{
    assert(!request->answered && request->dispatched);
    request->answered = true;
    request->status = status;
    request->response = response;
    if (!request->connection)
        request_free(request);
    else if (!request->in_handler)
        httpd_request_resume(request);
}

/* ---- long answers ---- */

struct long_body {
    struct httpd_request *request;
    size_t length;
    char data[];
};

static ssize_t on_wanted(void *arg, uint64_t position, char *buffer, size_t max)
{
    struct long_body *body = arg;
    size_t left = body->length - position;
    size_t length = left < max ? left : max;
    memcpy(buffer, body->data + position, length);
    if (body->request->h)
        body->request->h->activity++;
    return (ssize_t)length;
}

/* libmicrohttpd sends a buffer without calling us, and then run_daemon() could not see that it
 * moves. */
static struct MHD_Response *respond_long(struct httpd_request *request, const void *data,
                                         size_t length)
{
    struct long_body *body = mlt_calloc(1, sizeof *body + length);
    body->request = request;
    body->length = length;
    memcpy(body->data, data, length);
    return MHD_create_response_from_callback(length, BLOCK_SIZE, on_wanted, body, free);
}

void httpd_respond(struct httpd_request *request, int status, const char *content_type,
                   const struct httpd_header *headers, size_t header_count, const void *body,
                   size_t length)
{
    /* libmicrohttpd copies the body; its parameter is not const for other modes of this call. */
    struct MHD_Response *response =
        length > BLOCK_SIZE
            ? respond_long(request, body, length)
            : MHD_create_response_from_buffer(length, length ? (void *)(uintptr_t)body : NULL,
                                              MHD_RESPMEM_MUST_COPY);
    assert(response);
    httpd_response_headers(response, content_type, headers, header_count);
    httpd_request_answer(request, status, response);
}
