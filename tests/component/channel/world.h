/* A channel server with its clients on one loop, for the tests of this folder: everything that
 * happens is counted. */
#ifndef TESTS_CHANNEL_WORLD_H
#define TESTS_CHANNEL_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <uv.h>

#include "rendezvous/channel/channel.h"

#define WORLD_WAIT_MS \
    15000 /* no wait in these tests is longer; it ends as soon as its condition holds */
#define WORLD_CONNECTIONS_MAX 1024

struct world {
    uv_loop_t loop;
    uv_timer_t limit;
    struct channel_server *server;
    uint16_t port;
    unsigned opened, closed, refused, frames;
    size_t bytes; /* of payload */
    uint64_t ids[WORLD_CONNECTIONS_MAX];
    char last_uid[256], last_reason[256], last_closed[256];
    bool echo; /* answers each frame with PING */
    bool expired, server_gone;
};

struct client {
    struct world *world;
    struct channel_client *channel;
    uv_loop_t *loop;
    unsigned opened, closed, frames;
    size_t bytes;
    bool reconnect; /* at once, when it was closed */
    bool gone;
    char reason[256];
};

/* A plain socket that speaks no TLS of ours. */
struct raw {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    const void *data;
    size_t length;
    bool connected, ended, gone;
    size_t received;
    char head[64];
    char buffer[4096];
};

extern const unsigned char world_master[CHANNEL_KEY_SIZE];

void world_init(struct world *w, const char *address);
void world_release(struct world *w); /* fails when a handle is left */
void world_start_server(struct world *w, const char *address, uint16_t port);
void world_stop_server(struct world *w);

void client_init(struct client *c, struct world *w, uv_loop_t *loop, const char *address,
                 const char *uid, const char *key_uid);
void client_release(struct client *c);
/* Sends a frame of this type with `length` bytes of payload. */
void client_send(struct client *c, enum rendezvous_type type, size_t length);
void server_send(struct world *w, uint64_t id, enum rendezvous_type type, size_t length);

void raw_init(struct raw *r, struct world *w, const void *data, size_t length);
void raw_close(struct raw *r);

/* Runs the loop until `condition` holds; fails after WORLD_WAIT_MS. */
#define WORLD_RUN_UNTIL(w, condition)                           \
    do {                                                        \
        world_arm(w);                                           \
        while (!(condition)) {                                  \
            if ((w)->expired)                                   \
                fail_msg("in vain waited for: %s", #condition); \
            (void)uv_run(&(w)->loop, UV_RUN_ONCE);              \
        }                                                       \
        world_disarm(w);                                        \
    } while (0)
void world_arm(struct world *w);
void world_disarm(struct world *w);

#endif
