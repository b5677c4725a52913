/* One request: set up for curl, its callbacks, and its end. */
#include "lib/kube/transport/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"

#define RETRY_AFTER_SECONDS_MAX 3600 /* more is taken as this */
#define STATUS_FINAL_MIN 200         /* below: 100 Continue and the like, another status follows */
/* Bytes of curl's two buffers, which each request has: what one TLS record and one frame of HTTP/2
 * hold at most. More is never filled at once, and dozens are under way. */
#define BUFFER 16384L

/* ---- curl's callbacks ---- */

static void read_retry_after(struct kube_call *call, const char *line, size_t length)
{
    static const char name[] = "retry-after:";
    size_t skip = sizeof name - 1;
    if (length <= skip || strncasecmp(line, name, skip) != 0)
        return;
    cleanup_free char *value = mlt_strndup(line + skip, length - skip);
    char *begin = value + strspn(value, " \t");
    begin[strcspn(begin, " \t\r\n")] = '\0';
    int64_t seconds = 0;
    /* A date, the other form that HTTP allows, is not used by API servers. */
    if (mlt_parse_integer(begin, 0, INT64_MAX, &seconds, NULL) < 0)
        return;
    call->retry_after_ms =
        (seconds < RETRY_AFTER_SECONDS_MAX ? seconds : RETRY_AFTER_SECONDS_MAX) * 1000;
}

static void tell_status(struct kube_call *call)
{
    long status = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < STATUS_FINAL_MIN)
        return;
    call->status_told = true;
    if (status == 401)
        call->t->credential_refused = true;
    if (call->ops.status)
        call->ops.status(call->arg, (int)status, call->retry_after_ms);
}

static size_t on_header(char *line, size_t size, size_t length, void *arg)
{
    struct kube_call *call = arg;
    length *= size;
    if (call->cancelled)
        return 0;
    call->active_ms = (int64_t)uv_now(call->t->loop);
    if (call->status_told)
        return length; /* trailers */
    read_retry_after(call, line, length);
    bool blank = length <= 2 && (line[0] == '\r' || line[0] == '\n');
    if (blank)
        tell_status(call);
    return call->cancelled ? 0 : length;
}

static size_t on_body(char *data, size_t size, size_t length, void *arg)
{
    struct kube_call *call = arg;
    length *= size;
    if (call->cancelled)
        return 0; /* anything but `length` makes curl end the transfer */
    call->active_ms = (int64_t)uv_now(call->t->loop);
    if (call->ops.body)
        call->ops.body(call->arg, data, length);
    return call->cancelled ? 0 : length;
}

/* ---- setting up ---- */

/* curl does not ask for descriptors that close on exec, and our users start other programs. */
static curl_socket_t open_socket(void *unused, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)unused, (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void set_tls(CURL *easy, const struct kube_config *c)
{
    struct curl_blob blob = {.flags = CURL_BLOB_NOCOPY}; /* the transport outlives its calls */
    if (c->insecure_skip_tls_verify) {
        (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    } else if (c->ca_data) {
        blob.data = c->ca_data;
        blob.len = strlen(c->ca_data);
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (c->client_certificate_data && c->client_key_data) {
        blob.data = c->client_certificate_data;
        blob.len = strlen(c->client_certificate_data);
        (void)curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &blob);
        (void)curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
        blob.data = c->client_key_data;
        blob.len = strlen(c->client_key_data);
        (void)curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &blob);
        (void)curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
    }
}

static void set_connection(struct kube_call *call)
{
    struct kube_transport *t = call->t;
    CURL *easy = call->easy;
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)KUBE_CONNECT_TIMEOUT_MS);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER);
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "mltrain/" MLTRAIN_VERSION);
    if (t->config.proxy_url)
        (void)curl_easy_setopt(easy, CURLOPT_PROXY, t->config.proxy_url);
    else if (t->loopback)
        (void)curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever https_proxy says */
    (void)curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (t->connect_to) {
        call->connect_to = curl_slist_append(NULL, t->connect_to);
        (void)curl_easy_setopt(easy, CURLOPT_CONNECT_TO, call->connect_to);
    }
    set_tls(easy, &t->config);
}

static void add_header(struct kube_call *call, const char *header)
{
    struct curl_slist *more = curl_slist_append(call->headers, header);
    if (more)
        call->headers = more;
    else
        call->early_error = "out of memory";
}

static void set_headers(struct kube_call *call, const char *content_type, bool has_body)
{
    const struct kube_transport *t = call->t;
    const struct kube_config *c = &t->config;
    add_header(call, "Accept: application/json");
    add_header(call,
               "Expect:"); /* waiting for 100 Continue costs a second with servers that ignore it */
    if (has_body) {
        cleanup_free char *type =
            mlt_asprintf("Content-Type: %s", content_type ? content_type : "application/json");
        add_header(call, type);
    }
    if (t->host_header)
        add_header(call, t->host_header);
    if (c->token && c->token[0]) {
        cleanup_free char *token = mlt_asprintf("Authorization: Bearer %s", c->token);
        add_header(call, token);
    } else if (c->username) {
        (void)curl_easy_setopt(call->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        (void)curl_easy_setopt(call->easy, CURLOPT_USERNAME, c->username);
        (void)curl_easy_setopt(call->easy, CURLOPT_PASSWORD, c->password ? c->password : "");
    }
    (void)curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
}

static bool carries_body(const char *verb)
{
    return strcmp(verb, "POST") == 0 || strcmp(verb, "PUT") == 0 || strcmp(verb, "PATCH") == 0;
}

static void set_request(struct kube_call *call, const char *verb, const char *path,
                        const char *body, size_t body_length)
{
    CURL *easy = call->easy;
    cleanup_free char *url = mlt_asprintf("%s%s", call->t->base_url, path);
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    if (body || carries_body(verb)) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_length);
        (void)curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body ? body : "");
    }
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, verb);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
}

struct kube_call *kube_transport_send(struct kube_transport *t, const char *verb, const char *path,
                                      const char *content_type, const char *body,
                                      size_t body_length, int64_t idle_timeout_ms,
                                      const struct kube_call_ops *ops, void *arg)
{
    assert(!t->closing);
    token_refresh(t);
    const char *no_credential = exec_plugin_refresh(t);
    struct kube_call *call = mlt_calloc(1, sizeof *call);
    call->t = t;
    call->ops = *ops;
    call->arg = arg;
    call->idle_timeout_ms = idle_timeout_ms;
    call->active_ms = (int64_t)uv_now(t->loop);
    LIST_INSERT_HEAD(&t->calls, call, link);
    call->easy = curl_easy_init();
    if (!call->easy) {
        call->early_error = "out of memory";
    } else if (no_credential) {
        call->early_error = no_credential;
    } else {
        set_connection(call);
        set_headers(call, content_type, carries_body(verb) || body);
        set_request(call, verb, path, body, body_length);
    }
    if (idle_timeout_ms > 0)
        transport_idle_arm(t, call->active_ms + idle_timeout_ms);
    /* Started from the loop, so that no callback comes from within this function. */
    transport_wake(t);
    return call;
}

/* ---- ending ---- */

void call_free(struct kube_call *call)
{
    LIST_REMOVE(call, link);
    if (call->easy) {
        if (call->place == CALL_RUNNING)
            (void)curl_multi_remove_handle(call->t->multi, call->easy);
        curl_easy_cleanup(call->easy);
    }
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->connect_to);
    free(call);
}

/* Frees the call after its last callback. `error` may be the call's own text. */
static void finish(struct kube_call *call, const char *error)
{
    if (call->place == CALL_RUNNING)
        (void)curl_multi_remove_handle(call->t->multi, call->easy);
    call->place = CALL_DONE;
    if (!call->cancelled) {
        call->cancelled = true; /* a cancel from within `end` is without effect */
        if (call->ops.end)
            call->ops.end(call->arg, error);
    }
    call_free(call);
}

void kube_call_cancel(struct kube_call *call)
{
    if (call->cancelled)
        return;
    call->cancelled = true;
    if (call->t->depth == 0)
        call_free(call);
    else
        transport_wake(call->t);
}

/* ---- after curl ---- */

static void start_waiting(struct kube_transport *t)
{
    struct kube_call *call;
    LIST_FOREACH(call, &t->calls, link)
    {
        if (call->place != CALL_WAITING || call->cancelled || call->early_error)
            continue;
        if (curl_multi_add_handle(t->multi, call->easy) == CURLM_OK)
            call->place = CALL_RUNNING;
        else
            call->early_error = "the HTTP client refused the request";
    }
}

/* One call that is over, or NULL. */
static struct kube_call *next_over(struct kube_transport *t, const char **ret_error)
{
    int left = 0;
    for (CURLMsg *m = curl_multi_info_read(t->multi, &left); m;
         m = curl_multi_info_read(t->multi, &left)) {
        struct kube_call *call = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode code = m->data.result;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
        const char *words = call->error[0] ? call->error : curl_easy_strerror(code);
        *ret_error = code == CURLE_OK ? NULL : words;
        return call;
    }
    struct kube_call *call;
    LIST_FOREACH(call, &t->calls, link)
    {
        *ret_error = call->early_error;
        if (t->marked && (call->cancelled || call->early_error))
            return call;
    }
    t->marked = false;
    return NULL;
}

void call_settle(struct kube_transport *t)
{
    /* `end` may send, cancel and free the transport, so nothing is remembered from one turn to the
     * next. */
    while (!t->closing) {
        const char *error = NULL;
        if (t->marked)
            start_waiting(t);
        struct kube_call *call = next_over(t, &error);
        if (!call)
            return;
        finish(call, error);
    }
}

void call_fail_idle(struct kube_transport *t)
{
    int64_t now_ms = (int64_t)uv_now(t->loop);
    int64_t next_ms = INT64_MAX;
    struct kube_call *call = LIST_FIRST(&t->calls);
    while (call && !t->closing) {
        int64_t due_ms = call->active_ms + call->idle_timeout_ms;
        if (call->idle_timeout_ms > 0 && due_ms <= now_ms) {
            (void)snprintf(call->error, sizeof call->error, "no data came for %lld ms",
                           (long long)call->idle_timeout_ms);
            finish(call, call->error);
            call = LIST_FIRST(&t->calls); /* `end` may have cancelled any of them */
            next_ms = INT64_MAX;
            continue;
        }
        if (call->idle_timeout_ms > 0 && due_ms < next_ms)
            next_ms = due_ms;
        call = LIST_NEXT(call, link);
    }
    if (!t->closing && next_ms < INT64_MAX)
        transport_idle_arm(t, next_ms);
}
