/* The controller's side of the channel: listens, lets in who proves a job's key, and finds a
 * connection by its id.
 *
 * An id is (serial << SLOT_BITS | slot): the slot finds the connection without a search, the serial
 * makes sure that an id is never used again. */
#include "rendezvous/channel/channel.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "rendezvous/channel/address.h"
#include "rendezvous/channel/key.h"
#include "rendezvous/channel/link.h"

#define SLOT_BITS 16
/* A gang of 2048 may come at once; the kernel takes net.core.somaxconn where that is less. */
#define BACKLOG 4096
_Static_assert(CHANNEL_CONNECTIONS_MAX <= 1 << SLOT_BITS, "a slot has its bits in the id");

struct connection {
    struct link link; /* first: gone() frees the connection by it */
    uint64_t id;
    bool listed; /* in server->slots */
    bool opened; /* the owner knows its id */
    char job_uid[CHANNEL_IDENTITY_MAX + 1];
    char peer[CHANNEL_ADDRESS_TEXT_MAX];
};

struct channel_server {
    uv_loop_t *loop;
    uv_tcp_t listener;
    SSL_CTX *context;
    unsigned char master[CHANNEL_KEY_SIZE];
    const struct channel_server_ops *ops;
    void *arg;
    uint16_t port;
    uint64_t refusals, serial;
    struct connection **slots;
    uint32_t slots_count;
    uint32_t *free_slots;
    uint32_t free_count;
    uint32_t connections; /* memory not yet freed */
    uint32_t connections_max;
    bool closing, listener_gone;
    void (*closed)(void *arg);
    void *closed_arg;
    char read_buffer[LINK_READ_SIZE];
};

/* ---- the key ---- */

static bool is_identity(const unsigned char *identity, size_t length)
{
    if (length == 0 || length > CHANNEL_IDENTITY_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (identity[i] <= ' ' || identity[i] >= 0x7f)
            return false;
    return true;
}

/* Any well-formed identity has a key; a peer that does not know it fails at the binder. Whether
 * such a job exists is asked by the owner when the connection opens. */
static int find_session(SSL *ssl, const unsigned char *identity, size_t length, SSL_SESSION **ret)
{
    struct connection *connection = SSL_get_app_data(ssl);
    struct channel_server *s = connection->link.owner;
    *ret = NULL;
    if (!is_identity(identity, length))
        return 1; /* no such key: the handshake finds no common ground */
    memcpy(connection->job_uid, identity, length);
    connection->job_uid[length] = '\0';
    unsigned char key[CHANNEL_KEY_SIZE];
    if (channel_key_derive(s->master, connection->job_uid, key) < 0)
        return 0;
    *ret = channel_key_session(ssl, key);
    OPENSSL_cleanse(key, sizeof key);
    return *ret != NULL;
}

/* ---- connections ---- */

static struct connection *find(const struct channel_server *s, uint64_t id)
{
    uint64_t slot = id & ((1u << SLOT_BITS) - 1);
    struct connection *connection = slot < s->slots_count ? s->slots[slot] : NULL;
    return connection && connection->id == id ? connection : NULL;
}

static int make_slots(struct channel_server *s)
{
    uint32_t count = s->slots_count ? s->slots_count * 2 : 64;
    struct connection **slots = realloc(s->slots, count * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    s->slots = slots;
    uint32_t *free_slots = realloc(s->free_slots, count * sizeof *free_slots);
    if (!free_slots)
        return -ENOMEM;
    s->free_slots = free_slots;
    for (uint32_t i = count; i > s->slots_count; i--) {
        s->slots[i - 1] = NULL;
        s->free_slots[s->free_count++] = i - 1;
    }
    s->slots_count = count;
    return 0;
}

static void list(struct channel_server *s, struct connection *connection)
{
    uint32_t slot = s->free_slots[--s->free_count];
    connection->id = ++s->serial << SLOT_BITS | slot;
    connection->listed = true;
    s->slots[slot] = connection;
}

static void unlist(struct channel_server *s, struct connection *connection)
{
    if (!connection->listed)
        return;
    uint32_t slot = (uint32_t)(connection->id & ((1u << SLOT_BITS) - 1));
    s->slots[slot] = NULL;
    s->free_slots[s->free_count++] = slot;
    connection->listed = false;
}

static void on_opened(struct link *l)
{
    struct connection *connection = (struct connection *)l;
    struct channel_server *s = l->owner;
    connection->opened = true;
    s->ops->opened(s->arg, connection->id, connection->job_uid, connection->peer);
}

static void on_frame(struct link *l, const struct rendezvous_frame *frame)
{
    struct connection *connection = (struct connection *)l;
    struct channel_server *s = l->owner;
    s->ops->frame(s->arg, connection->id, frame);
}

static void on_ended(struct link *l, const char *reason)
{
    struct connection *connection = (struct connection *)l;
    struct channel_server *s = l->owner;
    uint64_t id = connection->id;
    unlist(s, connection);
    if (s->closing)
        return;
    if (l->refusable) {
        s->refusals++;
        if (s->ops->refused)
            s->ops->refused(s->arg, connection->peer, reason);
    }
    if (connection->opened && !s->closing)
        s->ops->closed(s->arg, id, reason);
}

static void release_when_empty(struct channel_server *s)
{
    if (!s->closing || !s->listener_gone || s->connections > 0)
        return;
    void (*closed)(void *arg) = s->closed;
    void *arg = s->closed_arg;
    SSL_CTX_free(s->context);
    OPENSSL_cleanse(s->master, sizeof s->master);
    free(s->slots);
    free(s->free_slots);
    free(s);
    if (closed)
        closed(arg);
}

static void on_gone(struct link *l)
{
    struct channel_server *s = l->owner;
    unlist(s, (struct connection *)l);
    free(l);
    s->connections--;
    release_when_empty(s);
}

static const struct link_ops link_ops = {
    .opened = on_opened, .frame = on_frame, .ended = on_ended, .gone = on_gone};

static void refuse(struct channel_server *s, struct connection *connection, const char *reason)
{
    s->refusals++;
    link_abort(&connection->link);
    if (s->ops->refused)
        s->ops->refused(s->arg, connection->peer, reason);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct channel_server *s = stream->data;
    struct connection *connection = status == 0 ? calloc(1, sizeof *connection) : NULL;
    if (!connection)
        return; /* libuv keeps listening; the peer tries again */
    s->connections++;
    link_init(&connection->link, s->loop, RENDEZVOUS_UP, &link_ops, s, s->read_buffer);
    if (link_make_tls(&connection->link, s->context) < 0 ||
        uv_accept(stream, (uv_stream_t *)&connection->link.tcp) < 0) {
        link_abort(&connection->link);
        return;
    }
    struct sockaddr_storage peer = {0};
    int length = sizeof peer;
    (void)uv_tcp_getpeername(&connection->link.tcp, (struct sockaddr *)&peer, &length);
    channel_address_format(&peer, connection->peer);
    if (s->connections > s->connections_max)
        refuse(s, connection, "too many connections");
    else if (s->free_count == 0 && make_slots(s) < 0)
        refuse(s, connection, "out of memory");
    else {
        list(s, connection);
        link_accepted(&connection->link);
    }
}

/* ---- the server ---- */

static void listener_closed(uv_handle_t *handle)
{
    struct channel_server *s = handle->data;
    s->listener_gone = true;
    release_when_empty(s);
}

static int start_listening(struct channel_server *s, const char *address, uint16_t port,
                           struct mlt_error *err)
{
    struct sockaddr_storage parsed;
    int rc = channel_address_parse(address, port, &parsed, err);
    if (rc < 0)
        return rc;
    rc = uv_tcp_bind(&s->listener, (struct sockaddr *)&parsed, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&s->listener, BACKLOG, on_connection);
    int length = sizeof parsed;
    if (rc == 0)
        rc = uv_tcp_getsockname(&s->listener, (struct sockaddr *)&parsed, &length);
    if (rc < 0)
        return mlt_fail(err, -rc, "listening on %s port %u: %s", address, (unsigned)port,
                        uv_strerror(rc));
    s->port = channel_address_port(&parsed);
    return 0;
}

int channel_server_new(uv_loop_t *loop, const char *address, uint16_t port,
                       const unsigned char master[CHANNEL_KEY_SIZE],
                       const struct channel_server_ops *ops, void *arg, struct channel_server **ret,
                       struct mlt_error *err)
{
    struct channel_server *s = calloc(1, sizeof *s);
    if (!s)
        return mlt_fail(err, ENOMEM, "out of memory");
    s->loop = loop;
    s->ops = ops;
    s->arg = arg;
    s->connections_max = CHANNEL_CONNECTIONS_MAX;
    memcpy(s->master, master, sizeof s->master);
    s->context = channel_key_context(TLS_server_method());
    if (!s->context) {
        free(s);
        return mlt_fail(err, ENOMEM, "OpenSSL could not be set up for TLS 1.3");
    }
    SSL_CTX_set_psk_find_session_callback(s->context, find_session);
    (void)uv_tcp_init(loop, &s->listener);
    s->listener.data = s;
    int rc = start_listening(s, address, port, err);
    if (rc < 0) {
        channel_server_free(s, NULL, NULL); /* the loop finishes it */
        return rc;
    }
    *ret = s;
    return 0;
}

void channel_server_limit(struct channel_server *s, uint32_t connections)
{
    s->connections_max =
        connections < CHANNEL_CONNECTIONS_MAX ? connections : CHANNEL_CONNECTIONS_MAX;
}

uint16_t channel_server_port(const struct channel_server *s)
{
    return s->port;
}

uint64_t channel_server_refusals(const struct channel_server *s)
{
    return s->refusals;
}

void channel_server_send(struct channel_server *s, uint64_t id, const void *data, size_t length)
{
    struct connection *connection = find(s, id);
    if (connection)
        link_send(&connection->link, data, length);
}

void channel_server_close(struct channel_server *s, uint64_t id)
{
    struct connection *connection = find(s, id);
    if (!connection)
        return;
    unlist(s, connection);
    link_close(&connection->link);
}

void channel_server_free(struct channel_server *s, void (*closed)(void *arg), void *arg)
{
    if (!s || s->closing)
        return;
    s->closing = true;
    s->closed = closed;
    s->closed_arg = arg;
    uv_close((uv_handle_t *)&s->listener, listener_closed);
    for (uint32_t i = 0; i < s->slots_count; i++)
        if (s->slots[i])
            link_abort(&s->slots[i]->link);
}
