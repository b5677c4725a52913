/* The transport itself: what every request to one server has in common, and its end. */
#include "lib/kube/transport/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

static void cleanup_curl_url(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void cleanup_curl_text(char **text)
{
    curl_free(*text);
}

#define cleanup_url __attribute__((cleanup(cleanup_curl_url)))
#define cleanup_curl __attribute__((cleanup(cleanup_curl_text)))

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "[::1]") == 0;
}

/* The certificate is checked for tls_server_name when there is one. curl has no option for that;
 * but it has one to connect elsewhere than the URL says. */
static void use_server_name(struct kube_transport *t, CURLU *url, const char *host,
                            const char *port)
{
    cleanup_curl char *changed = NULL;
    const char *name = t->config.tls_server_name;
    if (!name || curl_url_set(url, CURLUPART_HOST, name, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_URL, &changed, 0) != CURLUE_OK)
        return;
    t->connect_to = mlt_asprintf("%s:%s:%s:%s", name, port, host, port);
    t->host_header = mlt_asprintf("Host: %s:%s", host, port);
    free(t->base_url);
    t->base_url = mlt_strdup(changed);
}

static int read_server(struct kube_transport *t, struct mlt_error *err)
{
    const char *server = t->config.server ? t->config.server : "";
    cleanup_url CURLU *url = curl_url();
    cleanup_curl char *host = NULL, *port = NULL;
    if (!url || curl_url_set(url, CURLUPART_URL, server, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return mlt_fail(err, EINVAL, "the server's address `%s` is not a URL", server);
    t->loopback = is_loopback(host);
    t->base_url = mlt_strdup(server);
    use_server_name(t, url, host, port);
    for (size_t i = strlen(t->base_url); i > 0 && t->base_url[i - 1] == '/'; i--)
        t->base_url[i - 1] = '\0';
    return 0;
}

int kube_transport_new(uv_loop_t *loop, const struct kube_config *config,
                       struct kube_transport **ret, struct mlt_error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return mlt_fail(err, ENOMEM, "start the HTTP client library");
    struct kube_transport *t = mlt_calloc(1, sizeof *t);
    t->loop = loop;
    t->epoll_fd = -1;
    LIST_INIT(&t->calls);
    kube_config_copy(config, &t->config);
    int r = config_read_files(&t->config, err);
    if (r >= 0)
        r = read_server(t, err);
    if (r >= 0)
        r = transport_start(t, err);
    if (r < 0) {
        kube_transport_free(t, NULL, NULL);
        return r;
    }
    token_refresh(t);
    *ret = t;
    return 0;
}

static void release(struct kube_transport *t)
{
    while (!LIST_EMPTY(&t->calls))
        call_free(LIST_FIRST(&t->calls));
    if (t->multi)
        (void)curl_multi_cleanup(t->multi);
    if (t->epoll_fd >= 0)
        (void)close(t->epoll_fd);
    free(t->connect_to);
    free(t->base_url);
    free(t->host_header);
    kube_config_release(&t->config);
    curl_global_cleanup();
    if (t->closed)
        t->closed(t->closed_arg);
    free(t);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct kube_transport *t = handle->data;
    if (--t->handles == 0)
        release(t);
}

/* curl may be at work further up the stack, so the calls are only silenced here and freed when
 * libuv has closed the handles. */
void kube_transport_free(struct kube_transport *t, void (*closed)(void *arg), void *arg)
{
    if (!t || t->closing)
        return;
    t->closing = true;
    t->closed = closed;
    t->closed_arg = arg;
    struct kube_call *call;
    LIST_FOREACH(call, &t->calls, link)
    call->cancelled = true;
    if (t->handles == 0) {
        release(t);
        return;
    }
    uv_close((uv_handle_t *)&t->poll, on_handle_closed);
    uv_close((uv_handle_t *)&t->curl_timer, on_handle_closed);
    uv_close((uv_handle_t *)&t->idle_timer, on_handle_closed);
    uv_close((uv_handle_t *)&t->wake_timer, on_handle_closed);
}
