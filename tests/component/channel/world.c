/* A channel server with its clients on one loop: see world.h. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

const unsigned char world_master[CHANNEL_KEY_SIZE] = "0123456789abcdef0123456789abcde";

static void on_limit(uv_timer_t *timer)
{
    struct world *w = timer->data;
    w->expired = true;
}

void world_arm(struct world *w)
{
    w->expired = false;
    assert_int_equal(uv_timer_start(&w->limit, on_limit, WORLD_WAIT_MS, 0), 0);
}

void world_disarm(struct world *w)
{
    (void)uv_timer_stop(&w->limit);
}

static void server_opened(void *arg, uint64_t id, const char *job_uid, const char *peer)
{
    struct world *w = arg;
    assert_non_null(strchr(peer, ':'));
    assert_true(w->opened < WORLD_CONNECTIONS_MAX);
    w->ids[w->opened++] = id;
    (void)snprintf(w->last_uid, sizeof w->last_uid, "%s", job_uid);
}

static void server_frame(void *arg, uint64_t id, const struct rendezvous_frame *frame)
{
    struct world *w = arg;
    w->frames++;
    w->bytes += frame->length;
    for (uint32_t i = 0; i < frame->length; i++)
        assert_int_equal(frame->payload[i], (unsigned char)i);
    if (w->echo)
        server_send(w, id, RENDEZVOUS_PING, 8);
}

static void server_closed(void *arg, uint64_t id, const char *reason)
{
    struct world *w = arg;
    (void)id;
    w->closed++;
    (void)snprintf(w->last_closed, sizeof w->last_closed, "%s", reason);
}

static void server_refused(void *arg, const char *peer, const char *reason)
{
    struct world *w = arg;
    (void)peer;
    w->refused++;
    (void)snprintf(w->last_reason, sizeof w->last_reason, "%s", reason);
}

static const struct channel_server_ops server_ops = {.opened = server_opened,
                                                     .frame = server_frame,
                                                     .closed = server_closed,
                                                     .refused = server_refused};

void world_start_server(struct world *w, const char *address, uint16_t port)
{
    struct mlt_error err = {0};
    int rc =
        channel_server_new(&w->loop, address, port, world_master, &server_ops, w, &w->server, &err);
    if (rc < 0)
        fail_msg("%s", err.text);
    w->port = channel_server_port(w->server);
    w->server_gone = false;
}

static void on_server_gone(void *arg)
{
    struct world *w = arg;
    w->server_gone = true;
}

void world_stop_server(struct world *w)
{
    channel_server_free(w->server, on_server_gone, w);
    w->server = NULL;
    WORLD_RUN_UNTIL(w, w->server_gone);
}

void world_init(struct world *w, const char *address)
{
    *w = (struct world){0};
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_timer_init(&w->loop, &w->limit), 0);
    w->limit.data = w;
    world_start_server(w, address, 0);
}

void world_release(struct world *w)
{
    if (w->server)
        world_stop_server(w);
    uv_close((uv_handle_t *)&w->limit, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
}

static void client_opened(void *arg)
{
    struct client *c = arg;
    c->opened++;
}

static void client_frame(void *arg, const struct rendezvous_frame *frame)
{
    struct client *c = arg;
    c->frames++;
    c->bytes += frame->length;
}

static void client_closed(void *arg, const char *reason)
{
    struct client *c = arg;
    c->closed++;
    (void)snprintf(c->reason, sizeof c->reason, "%s", reason);
    if (c->reconnect)
        channel_client_connect(c->channel);
}

static const struct channel_client_ops client_ops = {
    .opened = client_opened, .frame = client_frame, .closed = client_closed};

void client_init(struct client *c, struct world *w, uv_loop_t *loop, const char *address,
                 const char *uid, const char *key_uid)
{
    *c = (struct client){.world = w, .loop = loop};
    unsigned char key[CHANNEL_KEY_SIZE];
    channel_derive_key(world_master, key_uid, key);
    struct mlt_error err = {0};
    int rc =
        channel_client_new(loop, address, w->port, uid, key, &client_ops, c, &c->channel, &err);
    if (rc < 0)
        fail_msg("%s", err.text);
    channel_client_connect(c->channel);
}

static void on_client_gone(void *arg)
{
    struct client *c = arg;
    c->gone = true;
}

void client_release(struct client *c)
{
    c->reconnect = false;
    channel_client_free(c->channel, on_client_gone, c);
    if (c->loop != &c->world->loop)
        (void)uv_run(c->loop, UV_RUN_DEFAULT);
    WORLD_RUN_UNTIL(c->world, c->gone);
}

static void write_frame(struct mlt_text *out, enum rendezvous_type type, size_t length)
{
    unsigned char *payload = malloc(length + 1);
    assert_non_null(payload);
    for (size_t i = 0; i < length; i++)
        payload[i] = (unsigned char)i;
    rendezvous_frame_write(out, type, 1, payload, length);
    assert_false(out->failed);
    free(payload);
}

void client_send(struct client *c, enum rendezvous_type type, size_t length)
{
    struct mlt_text out = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    write_frame(&out, type, length);
    channel_client_send(c->channel, out.data, out.length);
    mlt_text_release(&out);
}

void server_send(struct world *w, uint64_t id, enum rendezvous_type type, size_t length)
{
    struct mlt_text out = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    write_frame(&out, type, length);
    channel_server_send(w->server, id, out.data, out.length);
    mlt_text_release(&out);
}

static void raw_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct raw *r = handle->data;
    (void)suggested;
    *ret = uv_buf_init(r->buffer, sizeof r->buffer);
}

static void raw_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
    struct raw *r = stream->data;
    if (length < 0) {
        r->ended = true;
        (void)uv_read_stop(stream);
        return;
    }
    for (ssize_t i = 0; i < length; i++, r->received++)
        if (r->received < sizeof r->head)
            r->head[r->received] = buffer->base[i];
}

static void raw_connected(uv_connect_t *request, int status)
{
    struct raw *r = request->handle->data;
    assert_int_equal(status, 0);
    r->connected = true;
    assert_int_equal(uv_read_start((uv_stream_t *)&r->tcp, raw_alloc, raw_read), 0);
    uv_buf_t buffer = {.base = (char *)(uintptr_t)r->data, .len = r->length};
    if (r->length)
        assert_int_equal(uv_write(&r->write, (uv_stream_t *)&r->tcp, &buffer, 1, NULL), 0);
}

void raw_init(struct raw *r, struct world *w, const void *data, size_t length)
{
    *r = (struct raw){.data = data, .length = length};
    assert_int_equal(uv_tcp_init(&w->loop, &r->tcp), 0);
    r->tcp.data = r;
    struct sockaddr_in address;
    assert_int_equal(uv_ip4_addr("127.0.0.1", w->port, &address), 0);
    assert_int_equal(
        uv_tcp_connect(&r->connect, &r->tcp, (struct sockaddr *)&address, raw_connected), 0);
}

static void raw_closed(uv_handle_t *handle)
{
    struct raw *r = handle->data;
    r->gone = true;
}

void raw_close(struct raw *r)
{
    uv_close((uv_handle_t *)&r->tcp, raw_closed);
}
