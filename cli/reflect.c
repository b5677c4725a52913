/* A reflector on the CLI's loop: see reflect.h. */
#include "cli/reflect.h"

#include <stdlib.h>

#include "lib/base/alloc.h"
#include "lib/base/random.h"

struct reflect {
    struct cli *cli;
    struct mlt_random random;
    struct kube_reflector *reflector;
    struct kube_call *call;
    uv_timer_t timer;
    bool closing;
};

static void drive(struct reflect *r);

static void answer_status(void *arg, int http_status, int64_t retry_after_ms)
{
    struct reflect *r = arg;
    kube_reflector_status(r->reflector, (int64_t)uv_now(&r->cli->loop), http_status,
                          retry_after_ms);
}

static void answer_body(void *arg, const char *data, size_t length)
{
    struct reflect *r = arg;
    kube_reflector_body(r->reflector, (int64_t)uv_now(&r->cli->loop), data, length);
}

static void answer_end(void *arg, const char *transport_error)
{
    struct reflect *r = arg;
    r->call = NULL;
    kube_reflector_end(r->reflector, (int64_t)uv_now(&r->cli->loop), transport_error);
    drive(r);
}

static void wake(uv_timer_t *timer)
{
    drive(timer->data);
}

static void drive(struct reflect *r)
{
    static const struct kube_call_ops ops = {
        .status = answer_status, .body = answer_body, .end = answer_end};
    int64_t now_ms = (int64_t)uv_now(&r->cli->loop);
    struct kube_reflector_want want;
    kube_reflector_poll(r->reflector, now_ms, &want);
    if (want.cancel && r->call) {
        kube_call_cancel(r->call);
        r->call = NULL;
        kube_reflector_poll(r->reflector, now_ms, &want);
    }
    if (want.send)
        r->call = kube_transport_send(r->cli->transport, "GET", want.path, NULL, NULL, 0,
                                      want.is_watch ? KUBE_WATCH_SILENCE_MS : KUBE_LIST_TIMEOUT_MS,
                                      &ops, r);
    if (want.wake_ms != INT64_MAX)
        (void)uv_timer_start(&r->timer, wake,
                             want.wake_ms > now_ms ? (uint64_t)(want.wake_ms - now_ms) : 0, 0);
    else
        (void)uv_timer_stop(&r->timer);
}

struct reflect *reflect_new(struct cli *c, const char *collection, const char *selector,
                            const struct kube_reflector_ops *ops, void *arg)
{
    struct reflect *r = mlt_calloc(1, sizeof *r);
    r->cli = c;
    mlt_random_init(&r->random, uv_hrtime());
    r->reflector = kube_reflector_new(collection, selector, ops, arg, &r->random);
    (void)uv_timer_init(&c->loop, &r->timer);
    r->timer.data = r;
    drive(r);
    return r;
}

bool reflect_synced(const struct reflect *r)
{
    return kube_reflector_synced(r->reflector);
}

const char *reflect_trouble(const struct reflect *r)
{
    return kube_reflector_trouble(r->reflector);
}

static void timer_closed(uv_handle_t *handle)
{
    struct reflect *r = handle->data;
    kube_reflector_free(r->reflector);
    free(r);
}

void reflect_free(struct reflect *r)
{
    if (!r || r->closing)
        return;
    r->closing = true;
    if (r->call)
        kube_call_cancel(r->call);
    uv_close((uv_handle_t *)&r->timer, timer_closed);
}
