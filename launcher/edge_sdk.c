/* What programs exchange by libmltrain (launcher/sdk_exchange.h) with the exchange of the pod and
 * with libmltrain's socket. */
#include "launcher/edge_internal.h"

static struct exchange_request request_of(uint64_t tag, const char *name, int64_t time_ms)
{
    return (struct exchange_request){
        .user = EXCHANGE_USER_SDK, .tag = tag, .name = name, .time_ms = time_ms};
}

static int gather(void *arg, uint64_t tag, const char *name, const void *data, size_t length,
                  int64_t time_ms, struct mlt_error *err)
{
    struct edge *e = arg;
    struct exchange_request request = request_of(tag, name, time_ms);
    return exchange_gather(supervisor_exchange(e->supervisor), &request, data, length, NULL, 0,
                           edge_now_ms(e), err);
}

static int put(void *arg, uint64_t tag, const char *name, const void *data, size_t length,
               struct mlt_error *err)
{
    struct edge *e = arg;
    struct exchange_request request = request_of(tag, name, 0);
    return exchange_put(supervisor_exchange(e->supervisor), &request, data, length, edge_now_ms(e),
                        err);
}

static int get(void *arg, uint64_t tag, const char *name, int64_t time_ms, struct mlt_error *err)
{
    struct edge *e = arg;
    struct exchange_request request = request_of(tag, name, time_ms);
    return exchange_get(supervisor_exchange(e->supervisor), &request, edge_now_ms(e), err);
}

static void cancel(void *arg, uint64_t tag)
{
    struct edge *e = arg;
    exchange_cancel(supervisor_exchange(e->supervisor), EXCHANGE_USER_SDK, tag);
}

static void answer(void *arg, uint64_t connection, const char *line, struct sdk_bytes *body)
{
    struct edge *e = arg;
    sdk_socket_reply(e->sdk, connection, line, body);
}

static void time_is_over(uv_timer_t *timer)
{
    struct edge *e = timer->data;
    sdk_exchange_timer(e->sdk_exchange, edge_now_ms(e));
    edge_flush(e);
}

static void set_timer(void *arg, int64_t delay_ms)
{
    struct edge *e = arg;
    if (delay_ms < 0)
        (void)uv_timer_stop(&e->sdk_timer);
    else
        (void)uv_timer_start(&e->sdk_timer, time_is_over, (uint64_t)delay_ms, 0);
}

/* ---- the edge's side ---- */

void edge_sdk_init(struct edge *e)
{
    static const struct sdk_exchange_ops ops = {.gather = gather,
                                                .put = put,
                                                .get = get,
                                                .cancel = cancel,
                                                .answer = answer,
                                                .timer = set_timer};
    (void)uv_timer_init(&e->loop, &e->sdk_timer);
    e->sdk_timer.data = e;
    e->sdk_exchange = sdk_exchange_new(&ops, e);
    if (!e->sdk_exchange)
        edge_log(e, "no memory for what programs exchange by libmltrain");
}

void edge_sdk_restart(struct edge *e)
{
    if (e->sdk_exchange)
        sdk_exchange_begin(e->sdk_exchange, e->told_count,
                           supervisor_start(e->supervisor)->rank_base);
}

void edge_sdk_ask(struct edge *e, uint64_t connection, uint32_t rank, const struct sdk_message *m)
{
    if (!e->sdk_exchange) {
        sdk_socket_reply(e->sdk, connection, "failed 12 the launcher has no memory\n", NULL);
        return;
    }
    sdk_exchange_ask(e->sdk_exchange, connection, rank, m, edge_now_ms(e));
    edge_flush(e);
}

void edge_sdk_gone(struct edge *e, uint64_t connection)
{
    if (!e->sdk_exchange)
        return;
    sdk_exchange_gone(e->sdk_exchange, connection);
    edge_flush(e);
}

void edge_sdk_exchanged(struct edge *e, const struct exchange_output *out)
{
    if (e->sdk_exchange && out->kind == EXCHANGE_DO_DONE)
        sdk_exchange_done(e->sdk_exchange, out, edge_now_ms(e));
}
