/* One request of a test, through kube_transport, and what came back. Shared by the tests of the
 * HTTP server and of the HTTP client. */
#ifndef TESTS_EXCHANGE_H
#define TESTS_EXCHANGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/text.h"
#include "lib/kube/transport/transport.h"

#define WAIT_MAX_MS 10000 /* a test that waits longer has failed */

struct exchange {
    struct kube_call *call;
    int status;
    int64_t retry_after_ms;
    struct mlt_text body;
    bool ended;
    char error[300]; /* "" when the answer was complete */
};

static inline void exchange_on_status(void *arg, int http_status, int64_t retry_after_ms)
{
    struct exchange *x = arg;
    assert_int_equal(x->status, 0); /* told once */
    x->status = http_status;
    x->retry_after_ms = retry_after_ms;
}

static inline void exchange_on_body(void *arg, const char *data, size_t length)
{
    struct exchange *x = arg;
    assert_int_not_equal(x->status, 0); /* told before the body */
    mlt_text_add(&x->body, data, length);
}

static inline void exchange_on_end(void *arg, const char *transport_error)
{
    struct exchange *x = arg;
    assert_false(x->ended);
    x->ended = true;
    x->call = NULL;
    (void)snprintf(x->error, sizeof x->error, "%s", transport_error ? transport_error : "");
}

static const struct kube_call_ops exchange_ops = {
    .status = exchange_on_status, .body = exchange_on_body, .end = exchange_on_end};

static inline void exchange_send(struct exchange *x, struct kube_transport *t, const char *verb,
                                 const char *path, const char *body, size_t body_length,
                                 int64_t idle_timeout_ms)
{
    *x = (struct exchange){.body = MLT_TEXT_INIT(256u * 1024 * 1024)};
    x->call = kube_transport_send(t, verb, path, NULL, body, body_length, idle_timeout_ms,
                                  &exchange_ops, x);
    assert_false(x->ended);
}

/* ---- waiting on a loop ---- */

static inline void wait_on_timer(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Runs the loop until *what, at most WAIT_MAX_MS; tells whether it came. */
static inline bool wait_for(uv_loop_t *loop, const bool *what, uint64_t max_ms)
{
    uv_timer_t timer;
    bool over = false;
    uv_timer_init(loop, &timer);
    timer.data = &over;
    uv_update_time(loop);
    uv_timer_start(&timer, wait_on_timer, max_ms, 0);
    while (!*what && !over)
        uv_run(loop, UV_RUN_ONCE);
    uv_timer_stop(&timer);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    return *what;
}

static inline void run_for(uv_loop_t *loop, uint64_t ms)
{
    bool never = false;
    (void)wait_for(loop, &never, ms);
}

static inline void exchange_wait(uv_loop_t *loop, struct exchange *x)
{
    assert_true(wait_for(loop, &x->ended, WAIT_MAX_MS));
}

static inline void mark_true(void *arg)
{
    *(bool *)arg = true;
}

static inline void transport_end(uv_loop_t *loop, struct kube_transport *t)
{
    bool closed = false;
    kube_transport_free(t, mark_true, &closed);
    assert_true(wait_for(loop, &closed, WAIT_MAX_MS));
}

#endif
