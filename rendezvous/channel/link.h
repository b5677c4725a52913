/* One TLS connection, the part that server and client have in common. Private to
 * rendezvous/channel/.
 *
 *     HANDSHAKE -> OPEN -> DRAINING -> CLOSING -> (memory freed by the owner in `gone`)
 *
 * The link never calls back from within a call of its owner; a failure is noted, the handles are
 * closed, and `ended` comes from the loop. Whatever a callback does to the link, its memory lasts
 * until `gone`. */
#ifndef RENDEZVOUS_CHANNEL_LINK_H
#define RENDEZVOUS_CHANNEL_LINK_H

#include <stdbool.h>
#include <openssl/ssl.h>
#include <uv.h>

#include "rendezvous/channel/channel.h"

#define LINK_READ_SIZE (64u * 1024)
#define LINK_DRAIN_MS 1000 /* from an orderly close to a hard one */
#define LINK_REASON_MAX 256
#define LINK_KEEPALIVE_S 30
#define LINK_UNACKED_MS 20000 /* what is not acknowledged by then: the connection is dead */

struct link;

struct link_ops {
    void (*opened)(struct link *l);
    void (*frame)(struct link *l, const struct rendezvous_frame *frame);
    /* The peer or the network ended it; not after link_close() or link_abort(). l->refusable says
     * that the peer never proved its key or broke the framing. */
    void (*ended)(struct link *l, const char *reason);
    void (*gone)(struct link *l); /* last of all: the owner frees the memory */
};

enum link_state { LINK_HANDSHAKE, LINK_OPEN, LINK_DRAINING, LINK_CLOSING };

struct link {
    const struct link_ops *ops;
    void *owner;
    char *read_buffer; /* LINK_READ_SIZE bytes of the owner's, used within one callback only */
    enum link_state state;
    bool connected; /* the peer has answered, as TCP */
    bool refusable, reports_end;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    unsigned handles; /* not yet closed */
    SSL *ssl;
    BIO *from_peer, *to_peer; /* owned by ssl */
    struct rendezvous_reader reader;
    char reason[LINK_REASON_MAX];
};

/* Prepares the handles. TLS comes with link_make_tls(). */
void link_init(struct link *l, uv_loop_t *loop, enum rendezvous_direction peer_sends,
               const struct link_ops *ops, void *owner, char *read_buffer);

/* Before the loop runs again. `context` decides the side. -ENOMEM: the link is closing then, and
 * `gone` follows. */
int link_make_tls(struct link *l, SSL_CTX *context) MLT_MUST_USE;

/* The server's side, after uv_accept() on l->tcp; the client's side, which may come before TLS is
 * made, so that the network works meanwhile. Results arrive in callbacks. */
void link_accepted(struct link *l);
void link_connect(struct link *l, const struct sockaddr *address);

/* Queues bytes; ignored unless OPEN. More than CHANNEL_SEND_QUEUE_MAX unsent bytes end the link. */
void link_send(struct link *l, const void *data, size_t length);

/* Sends what is queued, then closes, at most LINK_DRAIN_MS later. */
void link_close(struct link *l);
/* Closes at once. */
void link_abort(struct link *l);

#endif
