/* Everything of the controller that touches the world: sockets, curl, timers, signals, the clock.
 */
#include "controller/edge_uv.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>
#include "controller/edge_http.h"
#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/kube/transport/transport.h"

/* One request under way. */
struct edge_request {
    struct edge *edge;
    uint64_t id;
    struct kube_call *call;
    UT_hash_handle hh;
};

struct edge {
    uv_loop_t *loop;
    struct controller *controller;
    struct kube_transport *transport;
    struct channel_server *server;
    struct edge_http *http; /* NULL: none */
    struct edge_request *requests;
    uv_timer_t timer;
    uv_signal_t on_term, on_int;
    unsigned char master_key[CHANNEL_KEY_SIZE];
    char *channel_address;
    bool draining; /* effects are being carried out: events that come meanwhile only step */
    bool ending;
    int exit_status;
};

static void edge_end(struct edge *e, bool lost);

static int64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void edge_drain(struct edge *e);

/* Tells the controller what has happened and does what it wants. */
static void edge_event(struct edge *e, struct controller_event event)
{
    if (e->ending)
        return;
    event.now_ms = (int64_t)(uv_hrtime() / 1000000);
    event.wall_ms = wall_ms();
    uint64_t begin = uv_hrtime();
    controller_step(e->controller, &event);
    controller_took(e->controller, (int64_t)((uv_hrtime() - begin) / 1000));
    edge_drain(e);
}

/* ---- requests ---- */

static void request_free(struct edge_request *r)
{
    HASH_DEL(r->edge->requests, r);
    free(r);
}

static void on_status(void *arg, int http_status, int64_t retry_after_ms)
{
    const struct edge_request *r = arg;
    edge_event(r->edge, (struct controller_event){.kind = CONTROLLER_ANSWER_STATUS,
                                                  .id = r->id,
                                                  .status = http_status,
                                                  .retry_after_ms = retry_after_ms});
}

static void on_body(void *arg, const char *data, size_t length)
{
    const struct edge_request *r = arg;
    edge_event(r->edge,
               (struct controller_event){
                   .kind = CONTROLLER_ANSWER_BODY, .id = r->id, .data = data, .length = length});
}

static void on_end(void *arg, const char *transport_error)
{
    struct edge_request *r = arg;
    struct edge *e = r->edge;
    uint64_t id = r->id;
    request_free(r);
    edge_event(e, (struct controller_event){
                      .kind = CONTROLLER_ANSWER_END, .id = id, .error = transport_error});
}

static const struct kube_call_ops call_ops = {
    .status = on_status,
    .body = on_body,
    .end = on_end,
};

static void send_request(struct edge *e, const struct controller_effect *effect)
{
    struct edge_request *r = mlt_calloc(1, sizeof *r);
    r->edge = e;
    r->id = effect->id;
    HASH_ADD(hh, e->requests, id, sizeof r->id, r);
    /* Above the seam the reflectors watch over their own lists and watches. */
    int64_t idle = effect->is_watch ? 0 : EDGE_REQUEST_IDLE_MS;
    r->call = kube_transport_send(e->transport, effect->verb, effect->path, effect->content_type,
                                  effect->body, effect->length, idle, &call_ops, r);
}

static void cancel_request(struct edge *e, uint64_t id)
{
    struct edge_request *r;
    HASH_FIND(hh, e->requests, &id, sizeof id, r);
    if (!r)
        return;
    kube_call_cancel(r->call);
    request_free(r);
}

/* ---- channels ---- */

static void on_opened(void *arg, uint64_t id, const char *job_uid, const char *peer)
{
    mlt_log(MLT_LOG_DEBUG, "channel opened id=%" PRIu64 " peer=%s job_uid=%s", id, peer, job_uid);
    edge_event(arg, (struct controller_event){
                        .kind = CONTROLLER_CHANNEL_OPENED, .id = id, .job_uid = job_uid});
}

static void on_frame(void *arg, uint64_t id, const struct rendezvous_frame *frame)
{
    edge_event(
        arg, (struct controller_event){.kind = CONTROLLER_CHANNEL_FRAME, .id = id, .frame = frame});
}

static void on_closed(void *arg, uint64_t id, const char *reason)
{
    edge_event(arg, (struct controller_event){
                        .kind = CONTROLLER_CHANNEL_CLOSED, .id = id, .error = reason});
}

static void on_refused(void *arg, const char *peer, const char *reason)
{
    const struct edge *e = arg;
    controller_refused(e->controller);
    mlt_log(MLT_LOG_WARNING, "channel refused peer=%s reason=\"%s\"", peer, reason);
}

static const struct channel_server_ops server_ops = {
    .opened = on_opened,
    .frame = on_frame,
    .closed = on_closed,
    .refused = on_refused,
};

static void derive_key(void *arg, const char *job_uid, unsigned char ret_key[CONTROLLER_KEY_SIZE])
{
    const struct edge *e = arg;
    _Static_assert(CONTROLLER_KEY_SIZE == CHANNEL_KEY_SIZE, "one size of key");
    channel_derive_key(e->master_key, job_uid, ret_key);
}

/* ---- timer and signals ---- */

static void on_timer(uv_timer_t *timer)
{
    edge_event(timer->data, (struct controller_event){.kind = CONTROLLER_TIMER});
}

static void set_timer(struct edge *e, int64_t at_ms)
{
    int64_t delay = at_ms - (int64_t)(uv_hrtime() / 1000000);
    uv_update_time(e->loop);
    (void)uv_timer_start(&e->timer, on_timer, delay > 0 ? (uint64_t)delay : 0, 0);
}

static void on_signal(uv_signal_t *handle, int number)
{
    mlt_log(MLT_LOG_INFO, "stopping signal=%d", number);
    edge_event(handle->data, (struct controller_event){.kind = CONTROLLER_STOP});
}

/* ---- effects ---- */

static void carry_out(struct edge *e, const struct controller_effect *effect)
{
    switch (effect->kind) {
    case CONTROLLER_EFFECT_REQUEST:
        send_request(e, effect);
        break;
    case CONTROLLER_EFFECT_CANCEL:
        cancel_request(e, effect->id);
        break;
    case CONTROLLER_EFFECT_CHANNEL_SEND:
        channel_server_send(e->server, effect->id, effect->body, effect->length);
        break;
    case CONTROLLER_EFFECT_CHANNEL_CLOSE:
        channel_server_close(e->server, effect->id);
        break;
    case CONTROLLER_EFFECT_TIMER_SET:
        set_timer(e, effect->at_ms);
        break;
    case CONTROLLER_EFFECT_TIMER_CLEAR:
        (void)uv_timer_stop(&e->timer);
        break;
    case CONTROLLER_EFFECT_LOG:
        mlt_log(effect->level, "%s", effect->text);
        break;
    case CONTROLLER_EFFECT_EXITED:
        mlt_log(effect->lost ? MLT_LOG_ERROR : MLT_LOG_INFO, "exit reason=\"%s\"", effect->text);
        edge_end(e, effect->lost);
        break;
    }
}

static void edge_drain(struct edge *e)
{
    struct controller_effect effect;
    if (e->draining)
        return;
    e->draining = true;
    while (!e->ending && controller_next_effect(e->controller, &effect))
        carry_out(e, &effect);
    e->draining = false;
}

/* ---- end ---- */

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_end_timer(uv_timer_t *timer)
{
    struct edge *e = timer->data;
    struct edge_request *r, *next;
    kube_transport_free(e->transport, NULL, NULL);
    HASH_ITER(hh, e->requests, r, next)
    request_free(r);
    channel_server_free(e->server, NULL, NULL);
    edge_http_free(e->http);
    close_handle((uv_handle_t *)&e->timer);
    close_handle((uv_handle_t *)&e->on_term);
    close_handle((uv_handle_t *)&e->on_int);
}

/* Later from the loop: this may be called from within a callback of what has to be freed. */
static void edge_end(struct edge *e, bool lost)
{
    e->ending = true;
    e->exit_status = lost ? 1 : 0;
    (void)uv_timer_start(&e->timer, on_end_timer, 0, 0);
}

/* ---- start ---- */

static void tell_ready(int fd)
{
    if (fd < 0)
        return;
    ssize_t written = write(fd, "\n", 1);
    (void)written;
    (void)close(fd);
}

static int open_channel(struct edge *e, const struct edge_config *config, struct mlt_error *err)
{
    const char *advertise = config->advertise ? config->advertise : config->listen_address;
    int r = channel_server_new(e->loop, config->listen_address, config->listen_port, e->master_key,
                               &server_ops, e, &e->server, err);
    if (r < 0)
        return r;
    bool is_v6 = strchr(advertise, ':') != NULL;
    e->channel_address =
        mlt_asprintf(is_v6 ? "[%s]:%u" : "%s:%u", advertise, channel_server_port(e->server));
    return 0;
}

/* -EADDRINUSE is for the channel's port alone: only for that another one may be taken. */
static int open_http(struct edge *e, const struct edge_config *config, struct mlt_error *err)
{
    int r = edge_http_new(e->loop, config->http_address, config->http_port, &e->http, err);
    if (r < 0)
        r = mlt_fail_in(err, "--http");
    return r == -EADDRINUSE ? -EBUSY : r;
}

static void start_handles(struct edge *e)
{
    (void)uv_timer_init(e->loop, &e->timer);
    (void)uv_signal_init(e->loop, &e->on_term);
    (void)uv_signal_init(e->loop, &e->on_int);
    e->timer.data = e->on_term.data = e->on_int.data = e;
    (void)uv_signal_start(&e->on_term, on_signal, SIGTERM);
    (void)uv_signal_start(&e->on_int, on_signal, SIGINT);
}

int edge_new(uv_loop_t *loop, const struct edge_config *config, struct edge **ret,
             struct mlt_error *err)
{
    struct edge *e = mlt_calloc(1, sizeof *e);
    e->loop = loop;
    memcpy(e->master_key, config->master_key, sizeof e->master_key);
    int r = kube_transport_new(loop, config->kube, &e->transport, err);
    if (r < 0) {
        free(e);
        return r;
    }
    r = open_channel(e, config, err);
    if (r == 0 && config->http_address)
        r = open_http(e, config, err);
    if (r < 0) {
        channel_server_free(e->server, NULL, NULL);
        kube_transport_free(e->transport, NULL, NULL);
        (void)uv_run(loop, UV_RUN_DEFAULT);
        free(e->channel_address);
        free(e);
        return r;
    }
    start_handles(e);
    struct controller_config controller = config->controller;
    controller.channel_address = e->channel_address;
    controller.channel_port = channel_server_port(e->server);
    controller.derive_key = derive_key;
    controller.derive_arg = e;
    e->controller = controller_new(&controller);
    if (e->http)
        edge_http_controller(e->http, e->controller);
    tell_ready(config->ready_fd);
    *ret = e;
    edge_event(e, (struct controller_event){.kind = CONTROLLER_TIMER});
    return 0;
}

uint16_t edge_port(const struct edge *e)
{
    return channel_server_port(e->server);
}

int edge_exit_status(const struct edge *e)
{
    return e->exit_status;
}

void edge_free(struct edge *e)
{
    if (!e)
        return;
    controller_free(e->controller);
    explicit_bzero(e->master_key, sizeof e->master_key);
    free(e->channel_address);
    free(e);
}
