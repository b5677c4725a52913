/* What the files of lib/httpd share: the server, its requests and its streams. Private to the
 * folder. */
#ifndef HTTPD_INTERNAL_H
#define HTTPD_INTERNAL_H

#include <microhttpd.h>
#include <stdbool.h>
#include <sys/queue.h>
#include "lib/base/text.h"
#include "lib/httpd/httpd.h"

struct httpd {
    uv_loop_t *loop;
    struct MHD_Daemon *daemon;
    uv_poll_t daemon_poll;   /* libmicrohttpd's epoll set */
    uv_poll_t listen_poll;   /* the listening socket, while clients may come */
    uv_timer_t accept_timer; /* after a client could not be taken for want of a descriptor */
    uv_poll_t hangup_poll;   /* our own epoll set of streams' sockets, see stream.c */
    uv_timer_t timer;        /* libmicrohttpd's next timeout */
    uv_idle_t again;         /* libmicrohttpd has more to do at once */
    unsigned activity;       /* counts callbacks of libmicrohttpd, see run_daemon() */
    unsigned idle_runs;      /* in a row that were asked for and moved nothing */
    int hangup_fd;           /* -1: none */
    int listen_fd;           /* -1: none */
    unsigned connections_max;
    unsigned handles; /* initialised and not yet closed */
    uint16_t port;

    httpd_handler_f *handler;
    void *arg;
    size_t body_max, stream_queue_max;
    LIST_HEAD(, httpd_request) requests; /* with an open connection */
    bool stopping;
    void (*closed)(void *arg);
    void *closed_arg;
    struct mlt_text start_messages; /* what libmicrohttpd said while it started */
    bool started;
};

/* One request, from its first line until it is answered and libmicrohttpd is done with it. */
struct httpd_request {
    LIST_ENTRY(httpd_request) link;    /* while the connection is open */
    struct httpd *h;                   /* NULL once the connection is gone */
    struct MHD_Connection *connection; /* NULL once the connection is gone */
    char *target, *method;
    struct mlt_text body;
    size_t body_seen; /* bytes that came, also those beyond the maximum */
    bool started;     /* headers were looked at */
    bool dispatched;  /* the handler has been called */
    bool in_handler;
    bool suspended;
    int status;                    /* set together with response */
    struct MHD_Response *response; /* the answer, until it has been queued */
    bool answered;
    struct httpd_stream *stream; /* the answer is this stream; one reference */
    void *data;
};

struct httpd_stream {
    struct httpd *h;     /* NULL once the connection is gone */
    unsigned references; /* the user, the request and libmicrohttpd's response: one each */
    struct MHD_Connection *connection; /* NULL once it is gone */
    int socket;                        /* watched for a hang-up; -1 when not */
    bool suspended;
    bool ended;    /* by the user, properly */
    bool broken;   /* the client has left, or the user aborts */
    bool released; /* the user has given the stream up, or was told gone() */
    bool wrote;    /* something was queued since drained() was called */
    struct mlt_text queue;
    size_t offset; /* bytes of the queue that libmicrohttpd has taken */
    const struct httpd_stream_ops *ops;
    void *arg;
};

/* httpd.c: lets libmicrohttpd run in the loop's next turn. MHD_resume_connection() alone wakes only
 * daemons that have a thread of their own. */
void httpd_wake(struct httpd *h);

/* request.c: callbacks of libmicrohttpd. */
void *httpd_on_request_line(void *h, const char *target, struct MHD_Connection *connection);
enum MHD_Result httpd_on_request(void *h, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_length, void **ret_request);
void httpd_on_completed(void *h, struct MHD_Connection *connection, void **request,
                        enum MHD_RequestTerminationCode why);

/* Wakes the connection of a request or of its stream, if it sleeps. */
void httpd_request_resume(struct httpd_request *request);

/* Hands a response to libmicrohttpd, now or, outside the handler, by waking the connection. */
void httpd_request_answer(struct httpd_request *request, int status, struct MHD_Response *response);
void httpd_response_headers(struct MHD_Response *response, const char *content_type,
                            const struct httpd_header *headers, size_t count);

/* stream.c */
void httpd_stream_watch(struct httpd *h, struct httpd_stream *stream,
                        struct MHD_Connection *connection);
void httpd_stream_completed(struct httpd *h,
                            struct httpd_stream *stream); /* drops the request's reference */
void httpd_stream_hangups(struct httpd *h);
void httpd_stream_resume(struct httpd_stream *stream);

#endif
