/* The server itself: the listening socket, libmicrohttpd's daemon, and how it is driven by a libuv
 * loop.
 *
 * Clients are accepted here and handed to libmicrohttpd: by itself it stops listening when it meets
 * a full table of descriptors, until one of its connections happens to close.
 *
 * libmicrohttpd runs without threads. Its epoll descriptor is watched by a uv_poll_t and its next
 * timeout is kept by a uv_timer_t; MHD_run() is called from these two only, so that no callback of
 * ours ever runs inside another call of ours. The daemon is stopped from the close callback of the
 * last handle, for the same reason. */
#include "lib/httpd/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

#define START_MESSAGES_MAX 400 /* bytes kept of what libmicrohttpd says when it does not start */
#define CONNECTION_WRITE_ROOM \
    32768u /* bytes of a connection's memory beyond the headers: to send from */
#define HEADER_MIN 1024u
#define HEADER_MAX (16u * 1024 * 1024)
#define BODY_MAX (1024u * 1024 * 1024)
#define CONNECTIONS_MAX 65536u
#define BACKLOG 512
#define ACCEPTS_AT_ONCE 64  /* in one turn of the loop */
#define ACCEPT_AGAIN_MS 100 /* after one that failed for want of a descriptor or of memory */
/* Before runs that move nothing become rarer. Long headers, which libmicrohttpd reads by about
 * 1,500 bytes without calling us, need so many. */
#define IDLE_RUNS_AT_ONCE 64
#define IDLE_RUN_SHIFT_MAX 6 /* and the longest time between them: 64 ms */

/* ---- the loop ---- */

static void run_daemon(struct httpd *h);

static void on_timer(uv_timer_t *timer)
{
    run_daemon(timer->data);
}

static void on_again(uv_idle_t *idle)
{
    (void)uv_idle_stop(idle);
    run_daemon(idle->data);
}

/* How long to wait when libmicrohttpd says that it has something to do at once.
 *
 * It says so truly while it sends a long answer or holds decrypted bytes, and falsely during the
 * whole of a TLS handshake (0.9.75 does not note that the socket had nothing to read), so that a
 * client that connects and is silent would cost a processor. What it does truly shows in our
 * callbacks; without any, the runs become rarer. Nothing is lost by that, since real input also
 * makes the epoll descriptor readable. */
static uint64_t delay_for_run(struct httpd *h, unsigned activity_before)
{
    if (h->activity != activity_before)
        h->idle_runs = 0;
    else
        h->idle_runs++;
    if (h->idle_runs <= IDLE_RUNS_AT_ONCE)
        return 0;
    unsigned shift = h->idle_runs - IDLE_RUNS_AT_ONCE;
    return shift < IDLE_RUN_SHIFT_MAX ? 1u << shift : 1u << IDLE_RUN_SHIFT_MAX;
}

static void listen_if_room(struct httpd *h);

static void run_daemon(struct httpd *h)
{
    if (h->stopping)
        return;
    unsigned activity = h->activity;
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
    (void)MHD_run(h->daemon);
    if (h->stopping)
        return;
    if (!uv_is_active((uv_handle_t *)&h->listen_poll) &&
        !uv_is_active((uv_handle_t *)&h->accept_timer))
        listen_if_room(h); /* a connection may have gone */
    if (MHD_get_timeout(h->daemon, &timeout_ms) != MHD_YES) {
        (void)uv_timer_stop(&h->timer);
        return;
    }
    if (timeout_ms == 0)
        timeout_ms = delay_for_run(h, activity);
    if (timeout_ms == 0) {
        (void)uv_idle_start(&h->again,
                            on_again); /* a timer of 0 would keep libuv among its timers */
    } else {
        (void)uv_idle_stop(&h->again);
        (void)uv_timer_start(&h->timer, on_timer, timeout_ms, 0);
    }
}

void httpd_wake(struct httpd *h)
{
    h->idle_runs = 0;
    if (!h->stopping)
        (void)uv_idle_start(&h->again, on_again);
}

static void on_daemon_ready(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct httpd *h = poll->data;
    h->idle_runs = 0;
    run_daemon(h);
}

static void on_hangup_ready(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct httpd *h = poll->data;
    if (!h->stopping)
        httpd_stream_hangups(h);
}

/* ---- clients ---- */

static void on_client(uv_poll_t *poll, int status, int events);

/* Listens while there is room for one more connection. Those beyond it wait in the backlog. */
static void listen_if_room(struct httpd *h)
{
    if (h->stopping)
        return;
    if (httpd_connections(h) < h->connections_max)
        (void)uv_poll_start(&h->listen_poll, UV_READABLE, on_client);
    else
        (void)uv_poll_stop(&h->listen_poll);
}

static void on_accept_timer(uv_timer_t *timer)
{
    listen_if_room(timer->data);
}

static void on_client(uv_poll_t *poll, int status, int events)
{
    struct httpd *h = poll->data;
    (void)status, (void)events;
    for (int i = 0; i < ACCEPTS_AT_ONCE && httpd_connections(h) < h->connections_max; i++) {
        struct sockaddr_storage address;
        socklen_t length = sizeof address;
        int fd = accept4(h->listen_fd, (struct sockaddr *)&address, &length,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) /* closes it when it fails */
            (void)MHD_add_connection(h->daemon, fd, (struct sockaddr *)&address, length);
        else if (errno == EAGAIN)
            break;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            (void)uv_poll_stop(&h->listen_poll);
            (void)uv_timer_start(&h->accept_timer, on_accept_timer, ACCEPT_AGAIN_MS, 0);
            return;
        }
    }
    httpd_wake(h);
    listen_if_room(h);
}

/* ---- starting ---- */

static int parse_address(const char *text, uint16_t port, struct sockaddr_storage *ret,
                         socklen_t *ret_length, struct mlt_error *err)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&storage;
    if (text && inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        *ret_length = sizeof *four;
    } else if (text && inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        *ret_length = sizeof *six;
    } else {
        return mlt_fail(err, EINVAL, "`%s` is not an IPv4 or IPv6 address to listen on",
                        text ? text : "");
    }
    *ret = storage;
    return 0;
}

static int listen_on(const struct httpd_config *config, int *ret_fd, uint16_t *ret_port,
                     struct mlt_error *err)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int r = parse_address(config->address, config->port, &address, &length, err);
    if (r < 0)
        return r;
    cleanup_close int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return mlt_fail(err, errno, "open a socket: %s", strerror(errno));
    int one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0) {
        int code = errno; /* the words below may change errno */
        return mlt_fail(err, code, "listen on %s port %u: %s", config->address, config->port,
                        strerror(code));
    }
    length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return mlt_fail(err, errno, "ask for the chosen port: %s", strerror(errno));
    *ret_port = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                                   : ((struct sockaddr_in6 *)&address)->sin6_port);
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* libmicrohttpd tells only its log why it does not start. Later messages are about clients that
 * left in the middle of something, and are dropped. */
__attribute__((format(printf, 2, 0))) static void on_message(void *arg, const char *format,
                                                             va_list list)
{
    struct httpd *h = arg;
    if (h->started)
        return;
    char line[START_MESSAGES_MAX];
    (void)vsnprintf(line, sizeof line, format, list);
    line[strcspn(line, "\r\n")] = '\0';
    mlt_text_puts(&h->start_messages, h->start_messages.length ? "; " : "");
    mlt_text_puts(&h->start_messages, line);
}

/* There is room again, but libmicrohttpd counts the connection until its next run. */
static void on_connection(void *arg, struct MHD_Connection *connection, void **unused,
                          enum MHD_ConnectionNotificationCode what)
{
    (void)connection, (void)unused;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED)
        httpd_wake(arg);
}

static int start_daemon(struct httpd *h, const struct httpd_config *config, struct mlt_error *err)
{
    size_t header_max = config->header_max ? config->header_max : HTTPD_HEADER_MAX_DEFAULT;
    unsigned idle_s = config->idle_timeout_s ? config->idle_timeout_s : HTTPD_IDLE_TIMEOUT_DEFAULT;
    unsigned flags =
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, NULL},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, NULL},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    /* libmicrohttpd wants texts that it may write to, and copies what it keeps of them. */
    cleanup_free char *certificate = mlt_strdup(config->certificate_pem);
    cleanup_free char *key = mlt_strdup(config->key_pem);
    char priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
    if (certificate) {
        flags |= MHD_USE_TLS;
        tls[0].ptr_value = certificate;
        tls[1].ptr_value = key;
        tls[2].ptr_value = priorities;
    } else {
        tls[0] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    }
    h->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, httpd_on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_message, h,
        MHD_OPTION_URI_LOG_CALLBACK, httpd_on_request_line, h, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, h, MHD_OPTION_NOTIFY_COMPLETED, httpd_on_completed, h,
        MHD_OPTION_CONNECTION_LIMIT, h->connections_max, MHD_OPTION_CONNECTION_TIMEOUT, idle_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, header_max + CONNECTION_WRITE_ROOM, MHD_OPTION_ARRAY,
        tls, MHD_OPTION_END);
    h->started = true;
    if (!h->daemon)
        return mlt_fail(err, EINVAL, "start the HTTP server: %s",
                        h->start_messages.length ? mlt_text_string(&h->start_messages)
                                                 : "no reason given");
    return 0;
}

static int check_config(const struct httpd_config *config, struct mlt_error *err)
{
    if (!config->certificate_pem != !config->key_pem)
        return mlt_fail(err, EINVAL, "a certificate and its key must be given together");
    if (config->header_max && (config->header_max < HEADER_MIN || config->header_max > HEADER_MAX))
        return mlt_fail(err, E2BIG, "header_max %zu is not from %u to %u", config->header_max,
                        HEADER_MIN, HEADER_MAX);
    if (config->body_max > BODY_MAX || config->stream_queue_max > BODY_MAX)
        return mlt_fail(err, E2BIG, "body_max %zu and stream_queue_max %zu must be at most %u",
                        config->body_max, config->stream_queue_max, BODY_MAX);
    if (config->connections_max > CONNECTIONS_MAX)
        return mlt_fail(err, E2BIG, "connections_max %u is above %u", config->connections_max,
                        CONNECTIONS_MAX);
    return 0;
}

static int start_polls(struct httpd *h, struct mlt_error *err)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    h->hangup_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!info || h->hangup_fd < 0)
        return mlt_fail(err, errno, "make an epoll set: %s", strerror(errno));
    int r = uv_poll_init(h->loop, &h->daemon_poll, info->epoll_fd);
    if (r < 0)
        return mlt_fail(err, -r, "watch the server's sockets: %s", uv_strerror(r));
    h->handles++;
    r = uv_poll_init(h->loop, &h->hangup_poll, h->hangup_fd);
    if (r < 0)
        return mlt_fail(err, -r, "watch the streams' sockets: %s", uv_strerror(r));
    h->handles++;
    r = uv_poll_init(h->loop, &h->listen_poll, h->listen_fd);
    if (r < 0)
        return mlt_fail(err, -r, "watch the listening socket: %s", uv_strerror(r));
    h->handles++;
    (void)uv_timer_init(h->loop, &h->timer);
    (void)uv_timer_init(h->loop, &h->accept_timer);
    (void)uv_idle_init(h->loop, &h->again);
    h->handles += 3;
    h->daemon_poll.data = h->hangup_poll.data = h->listen_poll.data = h;
    h->timer.data = h->accept_timer.data = h->again.data = h;
    listen_if_room(h);
    (void)uv_poll_start(&h->daemon_poll, UV_READABLE, on_daemon_ready);
    (void)uv_poll_start(&h->hangup_poll, UV_READABLE, on_hangup_ready);
    return 0;
}

int httpd_new(uv_loop_t *loop, const struct httpd_config *config, httpd_handler_f *handler,
              void *arg, struct httpd **ret, struct mlt_error *err)
{
    int fd = -1;
    uint16_t port = 0;
    int r = check_config(config, err);
    if (r >= 0)
        r = listen_on(config, &fd, &port, err);
    if (r < 0)
        return r;
    struct httpd *h = mlt_calloc(1, sizeof *h);
    h->loop = loop;
    h->port = port;
    h->handler = handler;
    h->arg = arg;
    LIST_INIT(&h->requests);
    h->hangup_fd = -1;
    h->listen_fd = fd;
    h->connections_max =
        config->connections_max ? config->connections_max : HTTPD_CONNECTIONS_MAX_DEFAULT;
    h->body_max = config->body_max ? config->body_max : HTTPD_BODY_MAX_DEFAULT;
    h->stream_queue_max =
        config->stream_queue_max ? config->stream_queue_max : HTTPD_STREAM_QUEUE_MAX_DEFAULT;
    mlt_text_init(&h->start_messages, START_MESSAGES_MAX);
    r = start_daemon(h, config, err);
    if (r >= 0)
        r = start_polls(h, err);
    mlt_text_release(&h->start_messages);
    if (r < 0) {
        httpd_free(h, NULL, NULL);
        return r;
    }
    *ret = h;
    return 0;
}

uint16_t httpd_port(const struct httpd *h)
{
    return h->port;
}

unsigned httpd_connections(const struct httpd *h)
{
    const union MHD_DaemonInfo *info =
        h->stopping ? NULL : MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info ? info->num_connections : 0;
}

/* ---- stopping ---- */

/* libmicrohttpd panics when it is stopped with suspended connections. */
static void wake_all(struct httpd *h)
{
    struct httpd_request *request;
    LIST_FOREACH(request, &h->requests, link)
    httpd_request_resume(request);
}

static void stop(struct httpd *h)
{
    if (h->daemon) {
        wake_all(h);
        MHD_stop_daemon(h->daemon);
    }
    if (h->hangup_fd >= 0)
        (void)close(h->hangup_fd);
    if (h->listen_fd >= 0)
        (void)close(h->listen_fd);
    if (h->closed)
        h->closed(h->closed_arg);
    free(h);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct httpd *h = handle->data;
    if (--h->handles == 0)
        stop(h);
}

void httpd_free(struct httpd *h, void (*closed)(void *arg), void *arg)
{
    if (!h)
        return;
    h->stopping = true;
    h->closed = closed;
    h->closed_arg = arg;
    /* In the order of start_polls(). */
    uv_handle_t *handles[] = {(uv_handle_t *)&h->daemon_poll,  (uv_handle_t *)&h->hangup_poll,
                              (uv_handle_t *)&h->listen_poll,  (uv_handle_t *)&h->timer,
                              (uv_handle_t *)&h->accept_timer, (uv_handle_t *)&h->again};
    unsigned count = h->handles;
    if (count == 0)
        stop(h); /* only a server that never started has no handles */
    for (unsigned i = 0; i < count; i++) {
        handles[i]->data = h;
        uv_close(handles[i], on_handle_closed);
    }
}
