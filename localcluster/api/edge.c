/* Loop, listener, clock and signals of the API server: see edge.h. Requests come from lib/httpd, go
 * through api_request(), and what is long (watches, logs) goes on in streams.c. */
#include "localcluster/api/edge.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/httpd/httpd.h"
#include "localcluster/api/cluster_files.h"
#include "localcluster/api/crd_files.h"
#include "localcluster/api/request.h"
#include "localcluster/api/streams.h"

#define TICK_MS 1000
#define LAST_TURN_MS 50 /* for the ends of streams to go out */

struct edge {
    const struct api_edge_config *config;
    uv_loop_t loop;
    uv_timer_t tick;
    uv_idle_t work;
    uv_signal_t terminate, interrupt;
    struct httpd *http;
    struct store *store;
    struct api_server *server;
    struct api_streams streams;
    struct mlt_random random;
    struct cluster_files files;
};

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- work that follows from requests ---- */

static void on_work(uv_idle_t *handle)
{
    struct edge *e = handle->data;
    bool more = api_server_work(e->server, now_ms());
    api_streams_wake(&e->streams, api_server_revision(e->server), now_ms());
    if (!more)
        (void)uv_idle_stop(handle);
}

static void on_tick(uv_timer_t *handle)
{
    struct edge *e = handle->data;
    (void)uv_idle_start(&e->work, on_work);
    api_streams_tick(&e->streams, now_ms());
}

/* ---- requests ---- */

#define HEADERS_MAX (API_WARNINGS_MAX + 4)

static size_t headers_of(const struct api_answer *a, char retry[16], struct httpd_header *headers)
{
    size_t count = 0;
    headers[count++] = (struct httpd_header){"Cache-Control", "no-cache, private"};
    for (size_t i = 0; i < a->warning_count; i++)
        headers[count++] = (struct httpd_header){"Warning", a->warnings[i]};
    if (a->etag[0])
        headers[count++] = (struct httpd_header){"ETag", a->etag};
    if (a->status == 401)
        headers[count++] = (struct httpd_header){"WWW-Authenticate", "Bearer"};
    if (a->retry_after_s) {
        (void)snprintf(retry, 16, "%d", a->retry_after_s);
        headers[count++] = (struct httpd_header){"Retry-After", retry};
    }
    return count;
}

static void on_request(void *arg, struct httpd_request *request, const struct httpd_message *m)
{
    struct edge *e = arg;
    struct api_answer a;
    const struct api_request q = {.method = m->method,
                                  .target = m->target,
                                  .accept = httpd_request_header(request, "Accept"),
                                  .content_type = httpd_request_header(request, "Content-Type"),
                                  .authorization = httpd_request_header(request, "Authorization"),
                                  .if_none_match = httpd_request_header(request, "If-None-Match"),
                                  .body = m->body,
                                  .body_length = m->body_length,
                                  .now_ms = now_ms()};
    api_request(e->server, &q, &a);
    struct httpd_header headers[HEADERS_MAX];
    char retry[16];
    size_t count = headers_of(&a, retry, headers);
    mlt_log(MLT_LOG_DEBUG, "request method=%s target=%.200s status=%d", m->method, m->target,
            a.status);
    switch (a.kind) {
    case API_ANSWER_WATCH:
        api_streams_watch(&e->streams, request, a.watch, headers, count, q.now_ms);
        break;
    case API_ANSWER_LOG:
        api_streams_log(&e->streams, request, e->server, e->config->dir, &a.log, headers, count);
        break;
    case API_ANSWER_BODY:
        httpd_respond(request, a.status, a.content_type, headers, count, mlt_text_string(&a.body),
                      a.body.length);
        break;
    }
    api_answer_release(&a);
    (void)uv_idle_start(&e->work, on_work);
}

/* ---- start and end ---- */

static void on_http_closed(void *arg)
{
    struct edge *e = arg;
    e->http = NULL;
    uv_close((uv_handle_t *)&e->tick, NULL);
    uv_close((uv_handle_t *)&e->work, NULL);
    uv_close((uv_handle_t *)&e->terminate, NULL);
    uv_close((uv_handle_t *)&e->interrupt, NULL);
}

/* Watches are ended first, so that their clients see a proper end, and are then given a turn to go
 * out. */
static void on_last_turn(uv_timer_t *handle)
{
    struct edge *e = handle->data;
    (void)uv_timer_stop(handle);
    if (e->http)
        httpd_free(e->http, on_http_closed, e);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct edge *e = handle->data;
    mlt_log(MLT_LOG_INFO, "stopping signal=%d", number);
    (void)uv_signal_stop(&e->terminate);
    (void)uv_signal_stop(&e->interrupt);
    (void)uv_idle_stop(&e->work);
    bool wait = api_streams_end(&e->streams);
    (void)uv_timer_start(&e->tick, on_last_turn, wait ? LAST_TURN_MS : 0, 0);
}

static int listen_on(struct edge *e, struct mlt_error *err)
{
    struct httpd_config config = {.address = "127.0.0.1",
                                  .port = e->files.port,
                                  .certificate_pem = e->files.certificate,
                                  .key_pem = e->files.key,
                                  .connections_max = 4096};
    int rc = httpd_new(&e->loop, &config, on_request, e, &e->http, err);
    if (rc == -EADDRINUSE && config.port) {
        mlt_log(MLT_LOG_WARNING,
                "port %u is taken by another program: a new one is chosen, and kubeconfig "
                "changes",
                config.port);
        config.port = 0;
        rc = httpd_new(&e->loop, &config, on_request, e, &e->http, err);
    }
    return rc;
}

static int open_store(struct edge *e, struct mlt_error *err)
{
    uint64_t seed;
    cleanup_free char *path = mlt_asprintf("%s/store.db", e->config->dir);
    if (RAND_bytes((unsigned char *)&seed, sizeof seed) != 1)
        return mlt_fail(err, EIO, "no random numbers");
    mlt_random_init(&e->random, seed);
    int rc = store_sqlite_open(path, &e->store, err);
    if (rc < 0)
        return rc;
    struct api_server_config config = {
        .store = e->store, .random = &e->random, .token = e->files.token};
    config.crds_yaml = api_crd_files(&config.crds_yaml_length);
    return api_server_new(&config, now_ms(), &e->server, err);
}

static int tell_port(struct edge *e, struct mlt_error *err)
{
    uint16_t port = httpd_port(e->http);
    int rc = 0;
    if (port != e->files.port)
        rc = cluster_files_save_port(e->config->dir, port, err);
    if (rc == 0)
        rc = cluster_files_save_kubeconfig(e->config->dir, e->config->name, &e->files, port, err);
    if (rc < 0)
        return rc;
    mlt_log(MLT_LOG_INFO, "serving url=https://127.0.0.1:%u revision=%" PRIu64, port,
            api_server_revision(e->server));
    if (e->config->ready_fd >= 0) {
        ssize_t n = write(e->config->ready_fd, "\n", 1);
        (void)n; /* nobody waits any more */
        (void)close(e->config->ready_fd);
    }
    return 0;
}

static void init_loop(struct edge *e)
{
    (void)uv_loop_init(&e->loop);
    (void)uv_timer_init(&e->loop, &e->tick);
    (void)uv_idle_init(&e->loop, &e->work);
    (void)uv_signal_init(&e->loop, &e->terminate);
    (void)uv_signal_init(&e->loop, &e->interrupt);
    e->tick.data = e;
    e->work.data = e;
    e->terminate.data = e;
    e->interrupt.data = e;
    api_streams_init(&e->streams, &e->loop);
}

static int serve(struct edge *e, struct mlt_error *err)
{
    /* First of all: who is told that we are ready may ask us to stop. */
    (void)uv_signal_start(&e->terminate, on_signal, SIGTERM);
    (void)uv_signal_start(&e->interrupt, on_signal, SIGINT);
    int rc = cluster_files_load(e->config->dir, &e->files, err);
    if (rc == 0)
        rc = open_store(e, err);
    if (rc == 0)
        rc = listen_on(e, err);
    if (rc == 0)
        rc = tell_port(e, err);
    if (rc < 0)
        return rc;
    (void)uv_timer_start(&e->tick, on_tick, 0, TICK_MS);
    return 0;
}

int api_edge_run(const struct api_edge_config *config, struct mlt_error *err)
{
    struct edge *e = mlt_calloc(1, sizeof *e);
    e->config = config;
    init_loop(e);
    int rc = serve(e, err);
    if (rc < 0) {
        if (e->http)
            httpd_free(e->http, on_http_closed, e);
        else
            on_http_closed(e);
    }
    (void)uv_run(&e->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&e->loop);
    api_server_free(e->server);
    store_free(e->store);
    cluster_files_release(&e->files);
    free(e);
    return rc;
}
