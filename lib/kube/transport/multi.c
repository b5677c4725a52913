/* curl's multi handle on a libuv loop: the only place that enters curl while requests are under
 * way.
 *
 * curl tells which sockets it waits for; they are members of one private epoll set, and libuv
 * watches that set's descriptor alone. curl forbids to enter it from its callbacks, so callbacks
 * only leave marks, and call_settle() acts on them after each entry. */
#include "lib/kube/transport/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "lib/base/alloc.h"

#define EVENTS_MAX 64 /* sockets handled in one turn of the loop; the rest follow in the next */

static void enter(struct kube_transport *t, curl_socket_t socket, int flags)
{
    int running = 0;
    t->depth++;
    (void)curl_multi_socket_action(t->multi, socket, flags, &running);
    t->depth--;
}

static void on_sockets(uv_poll_t *poll, int status, int uv_events)
{
    (void)status, (void)uv_events;
    struct kube_transport *t = poll->data;
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(t->epoll_fd, events, EVENTS_MAX, 0);
    for (int i = 0; i < count && !t->closing; i++) {
        int flags = 0;
        if (events[i].events & EPOLLIN)
            flags |= CURL_CSELECT_IN;
        if (events[i].events & EPOLLOUT)
            flags |= CURL_CSELECT_OUT;
        if (events[i].events & (EPOLLERR | EPOLLHUP))
            flags |= CURL_CSELECT_ERR;
        enter(t, events[i].data.fd, flags);
    }
    call_settle(t);
}

static void on_curl_timer(uv_timer_t *timer)
{
    struct kube_transport *t = timer->data;
    if (t->closing)
        return;
    enter(t, CURL_SOCKET_TIMEOUT, 0);
    call_settle(t);
}

static void on_idle_timer(uv_timer_t *timer)
{
    struct kube_transport *t = timer->data;
    if (!t->closing)
        call_fail_idle(t);
}

/* curl wants to watch a socket, or not any more. */
static int on_socket_wanted(CURL *easy, curl_socket_t socket, int what, void *arg, void *unused)
{
    (void)easy, (void)unused;
    struct kube_transport *t = arg;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, socket, NULL);
        return 0;
    }
    struct epoll_event event = {.data.fd = socket};
    if (what & CURL_POLL_IN)
        event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        event.events |= EPOLLOUT;
    if (epoll_ctl(t->epoll_fd, EPOLL_CTL_MOD, socket, &event) == 0)
        return 0;
    return epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, socket, &event) == 0 ? 0 : -1;
}

/* A timer that fires before curl's own clock says so would be lost: curl then finds nothing to do
 * and does not ask again. The loop's time is therefore brought up to date, and a millisecond added.
 */
static int on_timeout_wanted(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct kube_transport *t = arg;
    if (t->closing)
        return 0;
    if (timeout_ms < 0)
        return uv_timer_stop(&t->curl_timer);
    uv_update_time(t->loop);
    uint64_t delay_ms = timeout_ms > 0 ? (uint64_t)timeout_ms + 1 : 0;
    return uv_timer_start(&t->curl_timer, on_curl_timer, delay_ms, 0);
}

static void on_wake(uv_timer_t *timer)
{
    struct kube_transport *t = timer->data;
    if (!t->closing)
        call_settle(t);
}

/* Not the timer of curl: that one must not be moved, curl does not set it again. */
void transport_wake(struct kube_transport *t)
{
    t->marked = true;
    if (!t->closing)
        (void)uv_timer_start(&t->wake_timer, on_wake, 0, 0);
}

void transport_idle_arm(struct kube_transport *t, int64_t due_ms)
{
    int64_t now_ms = (int64_t)uv_now(t->loop);
    uint64_t delay_ms = due_ms > now_ms ? (uint64_t)(due_ms - now_ms) : 0;
    if (!uv_is_active((uv_handle_t *)&t->idle_timer) ||
        uv_timer_get_due_in(&t->idle_timer) > delay_ms)
        (void)uv_timer_start(&t->idle_timer, on_idle_timer, delay_ms, 0);
}

/* curl's multi handle opens a pair of sockets (to be woken from other threads, which nobody does
 * here) that programs which we start would inherit. It does not tell their numbers; new descriptors
 * are the lowest free ones, so two probes do. */
static CURLM *init_multi(void)
{
    int probes[2] = {open("/dev/null", O_RDONLY | O_CLOEXEC),
                     open("/dev/null", O_RDONLY | O_CLOEXEC)};
    for (int i = 0; i < 2; i++) {
        if (probes[i] >= 0)
            (void)close(probes[i]);
    }
    CURLM *multi = curl_multi_init();
    for (int i = 0; i < 2; i++) {
        if (probes[i] >= 0)
            (void)fcntl(probes[i], F_SETFD, FD_CLOEXEC);
    }
    return multi;
}

int transport_start(struct kube_transport *t, struct mlt_error *err)
{
    t->multi = init_multi();
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!t->multi || t->epoll_fd < 0)
        return mlt_fail(err, ENOMEM, "start the HTTP client: %s", strerror(errno));
    (void)curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    (void)curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
    (void)curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted);
    (void)curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
    int r = uv_poll_init(t->loop, &t->poll, t->epoll_fd);
    if (r < 0)
        return mlt_fail(err, -r, "watch the HTTP client's sockets: %s", uv_strerror(r));
    (void)uv_timer_init(t->loop, &t->curl_timer);
    (void)uv_timer_init(t->loop, &t->idle_timer);
    (void)uv_timer_init(t->loop, &t->wake_timer);
    t->handles = 4;
    t->poll.data = t->curl_timer.data = t->idle_timer.data = t->wake_timer.data = t;
    return uv_poll_start(&t->poll, UV_READABLE, on_sockets);
}
