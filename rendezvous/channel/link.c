/* One TLS connection over a libuv socket: see link.h. OpenSSL works on two memory buffers and never
 * sees the socket. */
#include "rendezvous/channel/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "lib/base/cleanup.h"

#define PLAIN_CHUNK (16u * 1024) /* a TLS record's content */

/* ---- the end ---- */

static void handle_closed(uv_handle_t *handle)
{
    struct link *l = handle->data;
    if (--l->handles > 0)
        return;
    if (l->reports_end)
        l->ops->ended(l, l->reason);
    SSL_free(l->ssl); /* with both BIOs */
    rendezvous_reader_release(&l->reader);
    l->ops->gone(l);
}

static void close_handles(struct link *l)
{
    if (l->state == LINK_CLOSING)
        return;
    l->state = LINK_CLOSING;
    uv_close((uv_handle_t *)&l->tcp, handle_closed);
    uv_close((uv_handle_t *)&l->timer, handle_closed);
}

static void flush(struct link *l);

/* The peer or the network is to blame. What TLS has to say about it (an alert) is still offered to
 * the socket. */
static void fail(struct link *l, bool refusable, const char *reason)
{
    if (l->state == LINK_CLOSING)
        return;
    if (l->state != LINK_DRAINING) {
        l->reports_end = true;
        l->refusable = refusable;
        (void)snprintf(l->reason, sizeof l->reason, "%s", reason);
    }
    char alert[1024];
    int length = l->to_peer ? BIO_read(l->to_peer, alert, sizeof alert) : 0;
    if (length > 0) {
        uv_buf_t buffer = uv_buf_init(alert, (unsigned)length);
        (void)uv_try_write((uv_stream_t *)&l->tcp, &buffer, 1);
    }
    close_handles(l);
}

static void fail_errno(struct link *l, int status)
{
    fail(l, l->state == LINK_HANDSHAKE, uv_strerror(status));
}

/* Words for the last failure in OpenSSL's queue. */
static void fail_tls(struct link *l, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *why = code ? ERR_reason_error_string(code) : NULL;
    char reason[LINK_REASON_MAX];
    (void)snprintf(reason, sizeof reason, "%s: %s", what, why ? why : "unexpected end");
    ERR_clear_error();
    fail(l, true, reason);
}

void link_abort(struct link *l)
{
    l->reports_end = false;
    close_handles(l);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct link *l = request->data;
    /* Now the peer has everything and knows that it was all. We go on reading until it closes too
     * (or the timer comes): closing with unread bytes would reset the connection and take our last
     * words with it. */
    if (status < 0)
        close_handles(l);
}

static void on_timer(uv_timer_t *timer)
{
    struct link *l = timer->data;
    if (l->state != LINK_HANDSHAKE)
        close_handles(l);
    else if (l->connected)
        fail(l, true, "the handshake was not finished in time");
    else
        fail(l, true, "the connection was not answered in time");
}

void link_close(struct link *l)
{
    if (l->state == LINK_HANDSHAKE) {
        link_abort(l);
        return;
    }
    if (l->state != LINK_OPEN)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(l->ssl);
    flush(l);
    if (l->state != LINK_OPEN) { /* the flush failed: nobody asked to hear of it any more */
        l->reports_end = false;
        return;
    }
    l->state = LINK_DRAINING;
    l->shutdown.data = l;
    if (uv_shutdown(&l->shutdown, (uv_stream_t *)&l->tcp, on_shutdown) < 0 ||
        uv_timer_start(&l->timer, on_timer, LINK_DRAIN_MS, 0) < 0)
        close_handles(l);
}

/* ---- sending ---- */

struct write {
    uv_write_t request;
    char data[];
};

static void on_written(uv_write_t *request, int status)
{
    struct link *l = request->handle->data;
    free(request); /* its first member */
    if (status < 0 && status != UV_ECANCELED)
        fail_errno(l, status);
}

/* Sends `data` when the socket has room again. */
static int write_later(struct link *l, const char *data, size_t length)
{
    struct write *w = malloc(sizeof *w + length);
    if (!w)
        return UV_ENOMEM;
    memcpy(w->data, data, length);
    uv_buf_t buffer = uv_buf_init(w->data, (unsigned)length);
    int rc = uv_write(&w->request, (uv_stream_t *)&l->tcp, &buffer, 1, on_written);
    if (rc < 0)
        free(w);
    return rc;
}

/* Hands what TLS wants to send to the socket: at once as far as it has room, because a request of
 * libuv's costs an epoll_ctl more. */
static void flush(struct link *l)
{
    char *data;
    long length = BIO_get_mem_data(l->to_peer, &data);
    if (length <= 0 || l->state == LINK_CLOSING)
        return;
    uv_buf_t buffer = uv_buf_init(data, (unsigned)length);
    int rc = uv_try_write((uv_stream_t *)&l->tcp, &buffer, 1);
    int sent = rc > 0 ? rc : 0;
    if (sent < length && (rc >= 0 || rc == UV_EAGAIN))
        rc = write_later(l, data + sent, (size_t)(length - sent));
    (void)BIO_reset(l->to_peer);
    if (rc < 0)
        fail_errno(l, rc);
}

void link_send(struct link *l, const void *data, size_t length)
{
    if (l->state != LINK_OPEN || length == 0)
        return;
    size_t queued = uv_stream_get_write_queue_size((uv_stream_t *)&l->tcp);
    if (length > CHANNEL_SEND_QUEUE_MAX || queued > CHANNEL_SEND_QUEUE_MAX - length) {
        fail(l, false, "the peer reads too slowly: the send queue is full");
        return;
    }
    size_t written;
    if (SSL_write_ex(l->ssl, data, length, &written) != 1) {
        fail_tls(l, "sending");
        return;
    }
    flush(l);
}

/* ---- receiving ---- */

static void deliver(struct link *l, const char *data, size_t length)
{
    struct mlt_error err = {0};
    if (rendezvous_reader_feed(&l->reader, data, length, &err) < 0) {
        fail(l, false, err.text);
        return;
    }
    while (l->state == LINK_OPEN) {
        struct rendezvous_frame frame;
        int rc = rendezvous_reader_next(&l->reader, &frame, &err);
        if (rc < 0)
            fail(l, true, err.text);
        if (rc <= 0)
            return;
        l->ops->frame(l, &frame);
    }
}

static void read_plain(struct link *l)
{
    char plain[PLAIN_CHUNK];
    while (l->state == LINK_OPEN || l->state == LINK_DRAINING) {
        ERR_clear_error();
        size_t length;
        if (SSL_read_ex(l->ssl, plain, sizeof plain, &length) == 1) {
            if (l->state == LINK_OPEN)
                deliver(l, plain, length);
            /* Mostly this was all, and a read that finds nothing costs half as much as one that
             * does. */
            if (!SSL_has_pending(l->ssl) && BIO_ctrl_pending(l->from_peer) == 0)
                return;
            continue;
        }
        int error = SSL_get_error(l->ssl, 0);
        if (error == SSL_ERROR_ZERO_RETURN)
            fail(l, false, "closed by the peer");
        else if (error != SSL_ERROR_WANT_READ)
            fail_tls(l, "TLS");
        return;
    }
}

static void shake_hands(struct link *l)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(l->ssl);
    if (rc == 1) {
        /* Without certificates nothing but the key can have led here; asserting it costs nothing.
         */
        if (!SSL_session_reused(l->ssl)) {
            fail(l, true, "the handshake ended without the pre-shared key");
            return;
        }
        /* What ends the handshake is sent with the owner's first words, at the latest by pump(). */
        l->state = LINK_OPEN;
        (void)uv_timer_stop(&l->timer);
        l->ops->opened(l);
        return;
    }
    if (SSL_get_error(l->ssl, rc) != SSL_ERROR_WANT_READ)
        fail_tls(l, "TLS handshake");
}

/* Received bytes are in from_peer: lets TLS work on them. */
static void pump(struct link *l)
{
    if (l->state == LINK_HANDSHAKE)
        shake_hands(l);
    read_plain(l);
    flush(l);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    struct link *l = handle->data;
    *ret = uv_buf_init(l->read_buffer, LINK_READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
    struct link *l = stream->data;
    if (l->state == LINK_CLOSING || length == 0)
        return;
    if (length == UV_EOF) {
        fail(l, l->state == LINK_HANDSHAKE, "closed by the peer");
        return;
    }
    if (length < 0) {
        fail_errno(l, (int)length);
        return;
    }
    if (BIO_write(l->from_peer, buffer->base, (int)length) != (int)length) {
        fail(l, false, "out of memory");
        return;
    }
    pump(l);
}

/* ---- the beginning ---- */

int link_make_tls(struct link *l, SSL_CTX *context)
{
    l->from_peer = BIO_new(BIO_s_mem());
    l->to_peer = BIO_new(BIO_s_mem());
    l->ssl = l->from_peer && l->to_peer ? SSL_new(context) : NULL;
    if (!l->ssl) {
        BIO_free(l->from_peer);
        BIO_free(l->to_peer);
        l->from_peer = l->to_peer = NULL;
        link_abort(l);
        return -ENOMEM;
    }
    /* An empty buffer means "later", not "end". */
    (void)BIO_set_mem_eof_return(l->from_peer, -1);
    (void)BIO_set_mem_eof_return(l->to_peer, -1);
    SSL_set_bio(l->ssl, l->from_peer, l->to_peer);
    (void)SSL_set_app_data(l->ssl, l);
    return 0;
}

void link_init(struct link *l, uv_loop_t *loop, enum rendezvous_direction peer_sends,
               const struct link_ops *ops, void *owner, char *read_buffer)
{
    *l = (struct link){
        .ops = ops, .owner = owner, .read_buffer = read_buffer, .state = LINK_HANDSHAKE};
    rendezvous_reader_init(&l->reader, peer_sends);
    (void)uv_tcp_init(loop, &l->tcp); /* without flags it makes no socket yet and cannot fail */
    (void)uv_timer_init(loop, &l->timer);
    l->tcp.data = l->timer.data = l;
    l->handles = 2;
}

/* A network that was cut for a while would be found well again only by a retransmission, up to two
 * minutes late: a new connection is quicker. */
static void limit_unacked(struct link *l)
{
    unsigned ms = LINK_UNACKED_MS;
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&l->tcp, &fd) == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

static void begin(struct link *l)
{
    l->connected = true;
    (void)uv_timer_start(&l->timer, on_timer, CHANNEL_HANDSHAKE_MS, 0);
    (void)uv_tcp_nodelay(&l->tcp, 1);
    (void)uv_tcp_keepalive(&l->tcp, 1, LINK_KEEPALIVE_S);
    limit_unacked(l);
    int rc = uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
    if (rc < 0) {
        fail_errno(l, rc);
        return;
    }
    pump(l); /* the client speaks first */
}

void link_accepted(struct link *l)
{
    SSL_set_accept_state(l->ssl);
    begin(l);
}

static void on_connect(uv_connect_t *request, int status)
{
    struct link *l = request->data;
    if (l->state == LINK_CLOSING)
        return;
    if (status < 0)
        fail_errno(l, status);
    else {
        SSL_set_connect_state(l->ssl);
        begin(l);
    }
}

/* An address that swallows what is sent to it (a pod that is gone) answers never. A Service leads
 * elsewhere meanwhile, but only new connections: who waits for an old one waits in vain. */
void link_connect(struct link *l, const struct sockaddr *address)
{
    (void)uv_timer_start(&l->timer, on_timer, CHANNEL_CONNECT_MS, 0);
    l->connect.data = l;
    int rc = uv_tcp_connect(&l->connect, &l->tcp, address, on_connect);
    if (rc < 0)
        fail_errno(l, rc);
}
