/* Watches and logs as streams: see streams.h. A stream that has more to say than its client reads
 * stops at STREAM_QUEUE_HIGH and goes on from drained(); nothing is lost, because a watch is a
 * cursor and a log a file. */
#include "localcluster/api/streams.h"

#include <string.h>
#include <time.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/pod_log.h"

struct watch_stream {
    struct watch_stream *next, **link;
    struct httpd_stream *http;
    struct api_watch *watch;
};

struct log_stream {
    struct log_stream *next, **link;
    struct httpd_stream *http;
    struct pod_log *log;
    struct api_server *server;
    struct api_log_query query; /* owned strings */
    uv_timer_t timer;
    uv_fs_event_t event;
    bool watching, closing;
    int open_handles;
};

void api_streams_init(struct api_streams *s, uv_loop_t *loop)
{
    *s = (struct api_streams){.loop = loop};
}

static int64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- watches ---- */

static void watch_release(struct watch_stream *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    api_watch_free(w->watch);
    free(w);
}

static void watch_gone(void *arg)
{
    watch_release(arg);
}

/* Writes what is due; the stream may be gone afterwards. */
static void watch_pump(struct watch_stream *w, int64_t now_ms)
{
    cleanup_text struct mlt_text out = MLT_TEXT_INIT(API_ANSWER_MAX);
    while (httpd_stream_queued(w->http) < STREAM_QUEUE_HIGH) {
        mlt_text_clear(&out);
        bool goes_on = api_watch_read(w->watch, now_ms, STREAM_PIECE, &out);
        if (out.failed || (out.length && httpd_stream_write(w->http, out.data, out.length) < 0)) {
            httpd_stream_abort(w->http);
            watch_release(w);
            return;
        }
        if (!goes_on) {
            httpd_stream_end(w->http);
            watch_release(w);
            return;
        }
        if (out.length < STREAM_PIECE)
            return;
    }
}

static void watch_drained(void *arg)
{
    watch_pump(arg, wall_ms());
}

void api_streams_watch(struct api_streams *s, struct httpd_request *request,
                       struct api_watch *watch, const struct httpd_header *headers, size_t count,
                       int64_t now_ms)
{
    static const struct httpd_stream_ops ops = {.gone = watch_gone, .drained = watch_drained};
    struct watch_stream *w = mlt_calloc(1, sizeof *w);
    w->watch = watch;
    w->next = s->watches;
    w->link = &s->watches;
    if (w->next)
        w->next->link = &w->next;
    s->watches = w;
    w->http = httpd_stream_begin(request, 200, "application/json", headers, count, &ops, w);
    watch_pump(w, now_ms);
}

static void pump_all(struct api_streams *s, int64_t now_ms)
{
    struct watch_stream *next = NULL;
    for (struct watch_stream *w = s->watches; w; w = next) {
        next = w->next;
        watch_pump(w, now_ms);
    }
}

void api_streams_wake(struct api_streams *s, uint64_t revision, int64_t now_ms)
{
    if (revision == s->seen)
        return;
    s->seen = revision;
    pump_all(s, now_ms);
}

void api_streams_tick(struct api_streams *s, int64_t now_ms)
{
    pump_all(s, now_ms);
}

/* ---- logs ---- */

static void log_handle_closed(uv_handle_t *handle)
{
    struct log_stream *l = handle->data;
    if (--l->open_handles > 0)
        return;
    pod_log_free(l->log);
    free(l->query.namespace_);
    free(l->query.pod);
    free(l->query.uid);
    free(l->query.container);
    free(l);
}

static void log_release(struct log_stream *l)
{
    if (l->closing)
        return;
    l->closing = true;
    *l->link = l->next;
    if (l->next)
        l->next->link = l->link;
    uv_close((uv_handle_t *)&l->timer, log_handle_closed);
    uv_close((uv_handle_t *)&l->event, log_handle_closed);
}

static void log_gone(void *arg)
{
    struct log_stream *l = arg;
    l->http = NULL;
    log_release(l);
}

static void log_end(struct log_stream *l)
{
    httpd_stream_end(l->http);
    l->http = NULL;
    log_release(l);
}

static void on_log_event(uv_fs_event_t *handle, const char *name, int events, int status);

/* inotify, once the file is there. */
static void watch_file(struct log_stream *l)
{
    if (!l->watching)
        l->watching = uv_fs_event_start(&l->event, on_log_event, pod_log_path(l->log), 0) == 0;
}

static void log_pump(struct log_stream *l)
{
    cleanup_text struct mlt_text out = MLT_TEXT_INIT(16u << 20);
    if (l->closing)
        return;
    while (httpd_stream_queued(l->http) < STREAM_QUEUE_HIGH) {
        /* Asked before reading: what was written before the end is read after it. */
        bool complete = !l->query.follow || api_log_is_complete(l->server, &l->query);
        mlt_text_clear(&out);
        enum pod_log_state state = pod_log_read(l->log, STREAM_PIECE, &out);
        if (out.failed || (out.length && httpd_stream_write(l->http, out.data, out.length) < 0)) {
            httpd_stream_abort(l->http);
            l->http = NULL;
            log_release(l);
            return;
        }
        if (state == POD_LOG_DONE || (state == POD_LOG_END && complete)) {
            log_end(l);
            return;
        }
        if (state == POD_LOG_END) {
            watch_file(l);
            return;
        }
    }
}

static void log_drained(void *arg)
{
    log_pump(arg);
}

static void on_log_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    (void)name;
    (void)events;
    (void)status;
    log_pump(handle->data);
}

static void on_log_timer(uv_timer_t *handle)
{
    log_pump(handle->data);
}

void api_streams_log(struct api_streams *s, struct httpd_request *request,
                     struct api_server *server, const char *dir, const struct api_log_query *query,
                     const struct httpd_header *headers, size_t count)
{
    static const struct httpd_stream_ops ops = {.gone = log_gone, .drained = log_drained};
    struct log_stream *l = mlt_calloc(1, sizeof *l);
    l->server = server;
    l->log = pod_log_new(dir, query);
    l->query = (struct api_log_query){.namespace_ = mlt_strdup(query->namespace_),
                                      .pod = mlt_strdup(query->pod),
                                      .uid = mlt_strdup(query->uid),
                                      .container = mlt_strdup(query->container),
                                      .restart = query->restart,
                                      .follow = query->follow};
    l->next = s->logs;
    l->link = &s->logs;
    if (l->next)
        l->next->link = &l->next;
    s->logs = l;
    (void)uv_timer_init(s->loop, &l->timer);
    (void)uv_fs_event_init(s->loop, &l->event);
    l->timer.data = l;
    l->event.data = l;
    l->open_handles = 2;
    if (query->follow)
        (void)uv_timer_start(&l->timer, on_log_timer, LOG_POLL_MS, LOG_POLL_MS);
    l->http = httpd_stream_begin(request, 200, "text/plain", headers, count, &ops, l);
    log_pump(l);
}

bool api_streams_end(struct api_streams *s)
{
    bool any = s->watches || s->logs;
    while (s->watches) {
        httpd_stream_end(s->watches->http);
        watch_release(s->watches);
    }
    while (s->logs)
        log_end(s->logs);
    return any;
}
