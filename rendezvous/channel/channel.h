/* The channel's transport: TLS 1.3 with an external pre-shared key over TCP, on a libuv loop.
 * Carries whole frames (rendezvous/frame.h) and looks no deeper. TLS_AES_128_GCM_SHA256, no
 * certificates, no tickets, no early data, OPENSSL_INIT_NO_LOAD_CONFIG (an image's OPENSSL_CONF
 * must not break it). Peers are IP addresses: no name look-ups (the launcher is static). */
#ifndef RENDEZVOUS_CHANNEL_CHANNEL_H
#define RENDEZVOUS_CHANNEL_CHANNEL_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "lib/base/error.h"
#include "rendezvous/frame.h"

#define CHANNEL_KEY_SIZE 32
#define CHANNEL_IDENTITY_MAX 128      /* characters of a job UID */
#define CHANNEL_CONNECTIONS_MAX 16384 /* of a server; more are closed at accept */
#define CHANNEL_CONNECT_MS \
    1500 /* for an answer to a client's SYN; its first repetition comes at 1 s */
#define CHANNEL_HANDSHAKE_MS 10000 /* then: a peer that has not finished by then is closed */
#define CHANNEL_SEND_QUEUE_MAX \
    (16u * 1024 * 1024) /* bytes unsent per connection; above it is closed */

/* The PSK of a job: HKDF-SHA256(ikm = master key, salt = "mltrain channel psk v1", info = job UID).
 */
void channel_derive_key(const unsigned char master[CHANNEL_KEY_SIZE], const char *job_uid,
                        unsigned char ret_key[CHANNEL_KEY_SIZE]);

/* ---- server (controller) ---- */

struct channel_server;

struct channel_server_ops {
    /* A peer has proved the key of this job. `id` names the connection, never reused. */
    void (*opened)(void *arg, uint64_t id, const char *job_uid, const char *peer);
    void (*frame)(void *arg, uint64_t id, const struct rendezvous_frame *frame);
    void (*closed)(void *arg, uint64_t id,
                   const char *reason); /* once per opened; not after _close() */
    /* A connection that never opened (wrong key, plain text, timeout) or broke the framing: for
     * count and log. */
    void (*refused)(void *arg, const char *peer, const char *reason);
};

/* `master` is copied. Listens on address:port (numeric; port 0: any). */
int channel_server_new(uv_loop_t *loop, const char *address, uint16_t port,
                       const unsigned char master[CHANNEL_KEY_SIZE],
                       const struct channel_server_ops *ops, void *arg, struct channel_server **ret,
                       struct mlt_error *err) MLT_MUST_USE;
/* At most so many connections from now on, instead of CHANNEL_CONNECTIONS_MAX. */
void channel_server_limit(struct channel_server *s, uint32_t connections);
uint16_t channel_server_port(const struct channel_server *s);
uint64_t channel_server_refusals(const struct channel_server *s);

/* Queues bytes (whole frames) for a connection; unknown ids are ignored. */
void channel_server_send(struct channel_server *s, uint64_t id, const void *data, size_t length);
/* Closes after what was queued has been sent (at most 1 s). */
void channel_server_close(struct channel_server *s, uint64_t id);
/* Closes everything; `closed` (may be NULL) comes from the loop. */
void channel_server_free(struct channel_server *s, void (*closed)(void *arg), void *arg);

/* ---- client (launcher) ---- one standing connection; the owner decides when to connect again */

struct channel_client;

struct channel_client_ops {
    void (*opened)(void *arg);
    void (*frame)(void *arg, const struct rendezvous_frame *frame);
    void (*closed)(void *arg, const char *reason); /* also when the attempt to connect failed */
};

int channel_client_new(uv_loop_t *loop, const char *address, uint16_t port, const char *job_uid,
                       const unsigned char key[CHANNEL_KEY_SIZE],
                       const struct channel_client_ops *ops, void *arg, struct channel_client **ret,
                       struct mlt_error *err) MLT_MUST_USE;
/* Begins to connect; only when not connected. The result arrives in opened or closed, never from
 * within. */
void channel_client_connect(struct channel_client *c);
/* Queues bytes; dropped when not open (HELLO repairs). */
void channel_client_send(struct channel_client *c, const void *data, size_t length);
void channel_client_disconnect(struct channel_client *c); /* no callback */
void channel_client_free(struct channel_client *c, void (*closed)(void *arg), void *arg);

#endif
