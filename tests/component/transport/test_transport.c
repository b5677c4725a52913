/* The HTTP client against our HTTP server over TLS, and against servers that misbehave. */
#include "tests/component/httpd/exchange.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "lib/base/cleanup.h"
#include "lib/httpd/httpd.h"
#include "lib/kube/transport/internal.h"
#include "tests/component/httpd/pem.h"

/* Descriptors that whoever started the test left open. */
static bool fd_was_open[1024];

struct fixture {
    uv_loop_t loop;
    struct httpd *server;
    struct kube_transport *client;
    char url[100];
    struct httpd_stream *stream;
    bool asked, gone;
    size_t asked_count;
    char authorization[200], host[100], content_type[100];
};

static void on_gone(void *arg)
{
    struct fixture *f = arg;
    f->gone = true;
    f->stream = NULL;
}

static const struct httpd_stream_ops stream_ops = {.gone = on_gone};

static void remember(char *to, size_t size, const struct httpd_request *request, const char *name)
{
    const char *value = httpd_request_header(request, name);
    (void)snprintf(to, size, "%s", value ? value : "");
}

static void handler(void *arg, struct httpd_request *request, const struct httpd_message *m)
{
    struct fixture *f = arg;
    f->asked = true;
    f->asked_count++;
    remember(f->authorization, sizeof f->authorization, request, "Authorization");
    remember(f->host, sizeof f->host, request, "Host");
    remember(f->content_type, sizeof f->content_type, request, "Content-Type");
    if (strncmp(m->target, "/watch", 6) == 0) {
        f->stream = httpd_stream_begin(request, 200, "application/json", NULL, 0, &stream_ops, f);
    } else if (strncmp(m->target, "/status/", 8) == 0) {
        static const struct httpd_header retry = {"Retry-After", "3"};
        httpd_respond(request, (int)strtol(m->target + 8, NULL, 10), "application/json", &retry, 1,
                      m->body, m->body_length);
    } else {
        httpd_respond(request, 200, "application/json", NULL, 0, m->body, m->body_length);
    }
}

static struct kube_transport *new_client(struct fixture *f, const struct kube_config *config)
{
    struct kube_transport *t = NULL;
    struct mlt_error err = {0};
    if (kube_transport_new(&f->loop, config, &t, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

static void start(struct fixture *f)
{
    const struct httpd_config config = {.address = "127.0.0.1",
                                        .certificate_pem = pem_server_certificate,
                                        .key_pem = pem_server_key,
                                        .body_max = 64u * 1024 * 1024};
    struct mlt_error err = {0};
    *f = (struct fixture){0};
    uv_loop_init(&f->loop);
    if (httpd_new(&f->loop, &config, handler, f, &f->server, &err) < 0)
        fail_msg("%s", err.text);
    (void)snprintf(f->url, sizeof f->url, "https://127.0.0.1:%u", httpd_port(f->server));
}

static void start_with_client(struct fixture *f)
{
    start(f);
    struct kube_config config = {.server = f->url, .ca_data = (char *)(uintptr_t)pem_ca};
    f->client = new_client(f, &config);
}

static void stop(struct fixture *f)
{
    if (f->client)
        transport_end(&f->loop, f->client);
    bool closed = false;
    httpd_free(f->server, mark_true, &closed);
    assert_true(wait_for(&f->loop, &closed, WAIT_MAX_MS));
    assert_int_equal(uv_run(&f->loop, UV_RUN_NOWAIT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static void get(struct fixture *f, struct exchange *x, const char *path)
{
    exchange_send(x, f->client, "GET", path, NULL, 0, 0);
}

/* ---- answers ---- */

static void test_status_retry_after_and_body_arrive(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start_with_client(&f);
    exchange_send(&x, f.client, "PUT", "/status/429", "busy", 4, 0);
    exchange_wait(&f.loop, &x);
    assert_string_equal(x.error, "");
    assert_int_equal(x.status, 429);
    assert_int_equal(x.retry_after_ms, 3000);
    assert_string_equal(mlt_text_string(&x.body), "busy");
    assert_string_equal(f.content_type, "application/json");
    mlt_text_release(&x.body);
    stop(&f);
}

static void test_a_large_body_goes_up_and_comes_back(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    size_t length = 20u * 1024 * 1024;
    cleanup_free char *body = mlt_realloc(NULL, length, 1);
    for (size_t i = 0; i < length; i++)
        body[i] = (char)(i * 7 + i / 1000);
    start_with_client(&f);
    exchange_send(&x, f.client, "POST", "/echo", body, length, 0);
    exchange_wait(&f.loop, &x);
    assert_string_equal(x.error, "");
    assert_int_equal(x.body.length, length);
    assert_memory_equal(x.body.data, body, length);
    mlt_text_release(&x.body);
    stop(&f);
}

static void test_a_watch_is_delivered_as_it_comes(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start_with_client(&f);
    get(&f, &x, "/watch");
    assert_true(wait_for(&f.loop, &f.asked, WAIT_MAX_MS));
    for (size_t i = 1; i <= 50; i++) {
        assert_int_equal(httpd_stream_write(f.stream, "{}\n", 3), 0);
        for (int k = 0; k < 1000 && x.body.length < 3 * i; k++)
            uv_run(&f.loop, UV_RUN_ONCE);
        assert_int_equal(x.body.length, 3 * i);
    }
    httpd_stream_end(f.stream);
    exchange_wait(&f.loop, &x);
    assert_string_equal(x.error, "");
    mlt_text_release(&x.body);
    stop(&f);
}

static void test_an_idle_answer_is_cut_and_a_lively_one_is_not(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start_with_client(&f);
    exchange_send(&x, f.client, "GET", "/watch", NULL, 0, 200);
    assert_true(wait_for(&f.loop, &f.asked, WAIT_MAX_MS));
    for (int i = 0; i < 6; i++) {
        run_for(&f.loop, 100);
        assert_false(x.ended);
        assert_int_equal(httpd_stream_write(f.stream, "x", 1), 0);
    }
    uint64_t before_ns = uv_hrtime();
    exchange_wait(&f.loop, &x);
    assert_in_range((uv_hrtime() - before_ns) / 1000000, 100, 2000);
    assert_non_null(strstr(x.error, "no data"));
    assert_true(wait_for(&f.loop, &f.gone, 1000));
    mlt_text_release(&x.body);
    stop(&f);
}

/* ---- who may talk to whom ---- */

static void test_a_server_of_another_authority_is_refused_unless_told_otherwise(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    char *other = (char *)(uintptr_t)pem_other_ca, *good = (char *)(uintptr_t)pem_ca;
    char named[100], name[] = "api.test", wrong[] = "api.wrong";
    (void)snprintf(named, sizeof named, "https://localhost:%u/", httpd_port(f.server));
    const struct {
        const char *name;
        struct kube_config config;
        bool works;
    } rows[] = {
        {"the right CA", {.server = f.url, .ca_data = good}, true},
        {"another CA", {.server = f.url, .ca_data = other}, false},
        {"no CA: the system's", {.server = f.url}, false},
        {"another CA, unchecked",
         {.server = f.url, .ca_data = other, .insecure_skip_tls_verify = true},
         true},
        {"a name of the certificate",
         {.server = f.url, .ca_data = good, .tls_server_name = name},
         true},
        {"a name that it lacks",
         {.server = f.url, .ca_data = good, .tls_server_name = wrong},
         false},
        {"by name, with a slash at the end", {.server = named, .ca_data = good}, true},
        {"a CA that is no PEM", {.server = f.url, .ca_data = wrong}, false},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct exchange x;
        f.client = new_client(&f, &rows[i].config);
        get(&f, &x, "/x");
        exchange_wait(&f.loop, &x);
        if ((x.status == 200) != rows[i].works || (x.error[0] == '\0') != rows[i].works)
            fail_msg("%s: %d %s", rows[i].name, x.status, x.error);
        if (x.status == 200) /* also with tls_server_name, the host is the one that was asked for */
            assert_non_null(strstr(rows[i].config.server, f.host));
        mlt_text_release(&x.body);
        transport_end(&f.loop, f.client);
    }
    f.client = NULL;
    stop(&f);
}

static void test_tokens_and_passwords_are_sent(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    char token[] = "abc", user[] = "me", password[] = "pw";
    start(&f);
    struct kube_config config = {
        .server = f.url, .ca_data = (char *)(uintptr_t)pem_ca, .token = token};
    f.client = new_client(&f, &config);
    get(&f, &x, "/x");
    exchange_wait(&f.loop, &x);
    assert_string_equal(f.authorization, "Bearer abc");
    transport_end(&f.loop, f.client);
    config.token = NULL;
    config.username = user;
    config.password = password;
    f.client = new_client(&f, &config);
    get(&f, &x, "/x");
    exchange_wait(&f.loop, &x);
    assert_string_equal(f.authorization, "Basic bWU6cHc=");
    stop(&f);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_a_token_in_a_file_is_read_again_when_it_changes(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    char path[] = "/tmp/mltrain-token-XXXXXX";
    close(mkstemp(path));
    write_file(path, "first\n");
    start(&f);
    const struct kube_config config = {
        .server = f.url, .ca_data = (char *)(uintptr_t)pem_ca, .token_file = path};
    f.client = new_client(&f, &config);
    get(&f, &x, "/x");
    exchange_wait(&f.loop, &x);
    assert_string_equal(f.authorization, "Bearer first");
    write_file(path, "second\n");
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    f.client->token_checked_ms -= 61000; /* a minute later */
    get(&f, &x, "/x");
    exchange_wait(&f.loop, &x);
    assert_string_equal(f.authorization, "Bearer second");
    unlink(path);
    f.client->token_checked_ms -= 61000;
    get(&f, &x, "/x");
    exchange_wait(&f.loop, &x);
    assert_string_equal(f.authorization, "Bearer second"); /* better than none */
    stop(&f);
}

static void test_a_proxy_of_the_environment_is_not_asked_for_this_machine(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    start_with_client(&f);
    get(&f, &x, "/x");
    exchange_wait(&f.loop, &x);
    assert_int_equal(x.status, 200);
    transport_end(&f.loop, f.client);
    char proxy[] = "http://127.0.0.1:1";
    struct kube_config config = {
        .server = f.url, .ca_data = (char *)(uintptr_t)pem_ca, .proxy_url = proxy};
    f.client = new_client(&f, &config);
    get(&f, &x, "/x"); /* but one of the kubeconfig is */
    exchange_wait(&f.loop, &x);
    assert_string_not_equal(x.error, "");
    unsetenv("https_proxy");
    unsetenv("all_proxy");
    stop(&f);
}

/* The server asks for a certificate; `openssl s_server` is Debian's. */
static void test_a_client_certificate_is_shown(void **state)
{
    (void)state;
    char folder[] = "/tmp/mltrain-tls-XXXXXX", path[3][60], line[200] = "";
    static const char *const names[] = {"cert", "key", "ca"};
    const char *texts[] = {pem_server_certificate, pem_server_key, pem_ca};
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 3; i++) {
        (void)snprintf(path[i], sizeof path[i], "%s/%s", folder, names[i]);
        write_file(path[i], texts[i]);
    }
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(open("/dev/null", O_RDWR), STDERR_FILENO);
        execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", path[0], "-key",
               path[1], "-CAfile", path[2], "-Verify", "1", "-verify_return_error", "-www",
               (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    FILE *lines = fdopen(out[0], "r");
    int port = 0;
    while (port == 0 && fgets(line, sizeof line, lines))
        (void)sscanf(line, "ACCEPT 127.0.0.1:%d", &port);
    struct fixture f = {0};
    struct exchange x;
    uv_loop_init(&f.loop);
    (void)snprintf(f.url, sizeof f.url, "https://127.0.0.1:%d", port);
    struct kube_config config = {.server = f.url, .ca_data = (char *)(uintptr_t)pem_ca};
    if (port != 0) {
        f.client = new_client(&f, &config);
        get(&f, &x, "/");
        exchange_wait(&f.loop, &x);
        assert_string_not_equal(x.error, ""); /* without one it is refused */
        transport_end(&f.loop, f.client);
        config.client_certificate_data = (char *)(uintptr_t)pem_client_certificate;
        config.client_key_data = (char *)(uintptr_t)pem_client_key;
        f.client = new_client(&f, &config);
        get(&f, &x, "/");
        exchange_wait(&f.loop, &x);
        assert_string_equal(x.error, "");
        assert_int_equal(x.status, 200);
        mlt_text_release(&x.body);
        transport_end(&f.loop, f.client);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    (void)fclose(lines);
    for (int i = 0; i < 3; i++)
        unlink(path[i]);
    rmdir(folder);
    assert_int_equal(uv_loop_close(&f.loop), 0);
    if (port == 0) {
        print_message("openssl s_server is not there\n");
        skip();
    }
}

/* ---- callbacks that interfere ---- */

struct meddler {
    struct fixture *f;
    struct exchange x; /* embedded: its callbacks are extended below */
    const char *when, *what;
    struct exchange other, next;
    bool done, closed;
};

static void meddle(struct meddler *m, const char *when)
{
    if (strcmp(when, m->when) != 0 || m->done)
        return;
    m->done = true;
    if (strcmp(m->what, "cancel itself") == 0 && m->x.call)
        kube_call_cancel(m->x.call);
    else if (strcmp(m->what, "cancel another") == 0)
        kube_call_cancel(m->other.call);
    else if (strcmp(m->what, "send another") == 0)
        exchange_send(&m->next, m->f->client, "GET", "/x", NULL, 0, 0);
    else if (strcmp(m->what, "free the transport") == 0)
        kube_transport_free(m->f->client, mark_true, &m->closed);
}

static void meddler_status(void *arg, int http_status, int64_t retry_after_ms)
{
    struct meddler *m = arg;
    exchange_on_status(&m->x, http_status, retry_after_ms);
    meddle(m, "status");
}

static void meddler_body(void *arg, const char *data, size_t length)
{
    struct meddler *m = arg;
    exchange_on_body(&m->x, data, length);
    meddle(m, "body");
}

static void meddler_end(void *arg, const char *transport_error)
{
    struct meddler *m = arg;
    struct kube_call *call = m->x.call;
    exchange_on_end(&m->x, transport_error);
    m->x.call = call; /* a cancel from within `end` must do nothing */
    meddle(m, "end");
}

static void test_callbacks_may_cancel_send_and_free(void **state)
{
    (void)state;
    static const char *const when[] = {"status", "body", "end"};
    static const char *const what[] = {"cancel itself", "cancel another", "send another",
                                       "free the transport"};
    static const struct kube_call_ops meddler_ops = {
        .status = meddler_status, .body = meddler_body, .end = meddler_end};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(when); i++) {
        for (size_t k = 0; k < MLT_ARRAY_LENGTH(what); k++) {
            struct fixture f;
            start_with_client(&f);
            struct meddler m = {
                .f = &f, .when = when[i], .what = what[k], .x = {.body = MLT_TEXT_INIT(1000)}};
            get(&f, &m.other, "/watch");
            assert_true(wait_for(&f.loop, &f.asked, WAIT_MAX_MS));
            m.x.call =
                kube_transport_send(f.client, "PUT", "/x", NULL, "body", 4, 0, &meddler_ops, &m);
            assert_true(wait_for(&f.loop, &m.done, WAIT_MAX_MS));
            run_for(&f.loop, 30);
            bool ends = k == 1 || k == 2 || i == 2;
            if (m.x.ended != ends)
                fail_msg("%s, %s: ended %d", when[i], what[k], m.x.ended);
            if (k == 2) {
                exchange_wait(&f.loop, &m.next);
                assert_int_equal(m.next.status, 200);
            }
            if (k == 3) {
                assert_true(wait_for(&f.loop, &m.closed, WAIT_MAX_MS));
                f.client = NULL;
            }
            assert_false(m.other.ended);
            if (k == 1)
                assert_true(wait_for(&f.loop, &f.gone, 1000));
            mlt_text_release(&m.x.body);
            stop(&f);
        }
    }
}

static void test_a_call_may_be_cancelled_before_it_was_started(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x, y;
    start_with_client(&f);
    get(&f, &x, "/x");
    get(&f, &y, "/x");
    kube_call_cancel(x.call);
    exchange_wait(&f.loop, &y);
    assert_false(x.ended);
    assert_int_equal(f.asked_count, 1);
    stop(&f);
}

static void test_a_freed_transport_is_silent(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x, y;
    start_with_client(&f);
    get(&f, &x, "/watch");
    assert_true(wait_for(&f.loop, &f.asked, WAIT_MAX_MS));
    get(&f, &y, "/x");
    transport_end(&f.loop, f.client);
    f.client = NULL;
    run_for(&f.loop, 30);
    assert_false(x.ended || y.ended);
    kube_transport_free(NULL, NULL, NULL);
    stop(&f);
}

/* Programs that hold a transport or a server start other programs. */
static void test_no_descriptor_is_inherited_by_programs_that_are_started(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    struct dirent *entry;
    start_with_client(&f);
    get(&f, &x, "/watch");
    assert_true(wait_for(&f.loop, &f.asked, WAIT_MAX_MS));
    DIR *dir = opendir("/proc/self/fd");
    for (entry = readdir(dir); entry; entry = readdir(dir)) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] == '.' || fd <= STDERR_FILENO || fd_was_open[fd])
            continue;
        char path[300], target[300] = "";
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        (void)!readlink(path, target, sizeof target - 1);
        if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC))
            fail_msg("descriptor %d, %s", fd, target);
    }
    closedir(dir);
    kube_call_cancel(x.call);
    stop(&f);
}

/* ---- servers that misbehave ---- */

/* A process that answers one connection with these bytes and closes it. */
static pid_t serve_bytes(const char *bytes, int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    *ret_port = ntohs(address.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        char request[4096];
        int fd = accept(listener, NULL, NULL);
        if (recv(fd, request, sizeof request, 0) > 0)
            (void)send(fd, bytes, strlen(bytes), MSG_NOSIGNAL);
        _exit(0);
    }
    close(listener);
    return pid;
}

static void test_strange_answers_end_as_they_should(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        int status;
        int64_t retry_after_ms;
        const char *body;
        bool fails;
    } rows[] = {
        {"nothing", "", 0, 0, "", true},
        {"not HTTP", "hello\n", 0, 0, "", true},
        {"HTTP/1.0 without a length", "HTTP/1.0 200 OK\r\n\r\nabc", 200, 0, "abc", false},
        {"a body that is cut", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 200, 0, "abc",
         true},
        {"a chunk that is cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
         200, 0, "abc", true},
        {"chunks without their end",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 200, 0, "abc", true},
        {"trailers",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nRetry-After: 5\r\n"
         "\r\n",
         200, 0, "abc", false},
        {"100 Continue first",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 201, 0,
         "", false},
        {"a Retry-After in any case",
         "HTTP/1.1 503 X\r\nretry-AFTER:   12 \r\nContent-Length: 0\r\n\r\n", 503, 12000, "",
         false},
        {"a Retry-After that is a date",
         "HTTP/1.1 503 X\r\nRetry-After: Fri, 27 Nov 2026 20:00:00 GMT\r\nContent-Length: "
         "0\r\n\r\n",
         503, 0, "", false},
        {"a Retry-After beyond reason",
         "HTTP/1.1 503 X\r\nRetry-After: 99999999999\r\nContent-Length: 0\r\n\r\n", 503, 3600000,
         "", false},
        {"a negative Retry-After", "HTTP/1.1 503 X\r\nRetry-After: -4\r\nContent-Length: 0\r\n\r\n",
         503, 0, "", false},
        {"a redirect is not followed",
         "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302, 0,
         "", false},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct fixture f = {0};
        struct exchange x;
        int port = 0;
        pid_t pid = serve_bytes(rows[i].bytes, &port);
        uv_loop_init(&f.loop);
        (void)snprintf(f.url, sizeof f.url, "http://127.0.0.1:%d", port);
        const struct kube_config config = {.server = f.url};
        f.client = new_client(&f, &config);
        get(&f, &x, "/x");
        exchange_wait(&f.loop, &x);
        waitpid(pid, NULL, 0);
        if (x.status != rows[i].status || x.retry_after_ms != rows[i].retry_after_ms ||
            strcmp(mlt_text_string(&x.body), rows[i].body) != 0 ||
            (x.error[0] != '\0') != rows[i].fails)
            fail_msg("%s: %d %lld `%s` %s", rows[i].name, x.status, (long long)x.retry_after_ms,
                     mlt_text_string(&x.body), x.error);
        mlt_text_release(&x.body);
        transport_end(&f.loop, f.client);
        assert_int_equal(uv_loop_close(&f.loop), 0);
    }
}

static void test_a_server_that_is_not_there_is_an_error_from_the_loop(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct exchange x;
    char server[] = "https://127.0.0.1:1";
    const struct kube_config config = {.server = server};
    uv_loop_init(&f.loop);
    f.client = new_client(&f, &config);
    get(&f, &x, "/x");
    exchange_wait(&f.loop, &x);
    assert_int_equal(x.status, 0);
    assert_string_not_equal(x.error, "");
    transport_end(&f.loop, f.client);
    assert_int_equal(uv_loop_close(&f.loop), 0);
}

static void test_an_address_that_is_no_url_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"", "https://", "::", "https://a b/"};
    uv_loop_t loop;
    uv_loop_init(&loop);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_free char *server = mlt_strdup(rows[i]);
        const struct kube_config config = {.server = server};
        struct kube_transport *t = NULL;
        struct mlt_error err = {0};
        if (kube_transport_new(&loop, &config, &t, &err) != -EINVAL || !err.text[0])
            fail_msg("`%s` was accepted", rows[i]);
    }
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* ---- blocking ---- */

static void test_a_blocking_request_gives_the_answer(void **state)
{
    (void)state;
    struct fixture f;
    struct kube_answer a = {0};
    struct mlt_error err = {0};
    start_with_client(&f);
    assert_int_equal(kube_request(f.client, "PATCH", "/status/200", "application/merge-patch+json",
                                  "{}", &a, &err),
                     0);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{}");
    assert_string_equal(f.content_type, "application/merge-patch+json");
    kube_answer_release(&a);
    kube_answer_release(&a);
    stop(&f);
}

static void test_a_blocking_request_without_server_says_which(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct kube_answer a = {0};
    struct mlt_error err = {0};
    char server[] = "https://127.0.0.1:1";
    const struct kube_config config = {.server = server};
    uv_loop_init(&f.loop);
    f.client = new_client(&f, &config);
    assert_int_equal(kube_request(f.client, "GET", "/version", NULL, NULL, &a, &err), -EIO);
    assert_non_null(strstr(err.text, "https://127.0.0.1:1/version"));
    transport_end(&f.loop, f.client);
    assert_int_equal(uv_loop_close(&f.loop), 0);
}

static void test_refusals_become_errors_with_the_servers_words(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        int code;
        const char *words;
    } rows[] = {
        {200, "", 0, ""},
        {201, "{}", 0, ""},
        {404, "{\"message\":\"pods \\\"a\\\" not found\",\"reason\":\"NotFound\"}", -ENOENT,
         "pods \"a\" not found"},
        {409, "{\"message\":\"m\",\"reason\":\"AlreadyExists\"}", -EEXIST, "m"},
        {409, "{\"message\":\"m\",\"reason\":\"Conflict\"}", -EAGAIN, "m"},
        {409, "", -EAGAIN, "HTTP status 409"},
        {401, "", -EACCES, "HTTP status 401"},
        {403, "{\"message\":\"m\"}", -EACCES, "m"},
        {422, "{\"message\":\"m\"}", -EINVAL, "m"},
        {400, "plain words\nmore", -EINVAL, "HTTP status 400: plain words"},
        {500, "[]", -EIO, "HTTP status 500"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct mlt_error err = {0};
        const struct kube_answer a = {.status = rows[i].status,
                                      .body = (char *)(uintptr_t)rows[i].body,
                                      .length = strlen(rows[i].body)};
        int r = kube_answer_check(&a, &err);
        if (r != rows[i].code || !strstr(err.text, rows[i].words))
            fail_msg("%d %s: %d %s", rows[i].status, rows[i].body, r, err.text);
    }
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    for (int fd = 0; fd < (int)MLT_ARRAY_LENGTH(fd_was_open); fd++)
        fd_was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_retry_after_and_body_arrive),
        cmocka_unit_test(test_a_large_body_goes_up_and_comes_back),
        cmocka_unit_test(test_a_watch_is_delivered_as_it_comes),
        cmocka_unit_test(test_an_idle_answer_is_cut_and_a_lively_one_is_not),
        cmocka_unit_test(test_a_server_of_another_authority_is_refused_unless_told_otherwise),
        cmocka_unit_test(test_tokens_and_passwords_are_sent),
        cmocka_unit_test(test_a_token_in_a_file_is_read_again_when_it_changes),
        cmocka_unit_test(test_a_proxy_of_the_environment_is_not_asked_for_this_machine),
        cmocka_unit_test(test_a_client_certificate_is_shown),
        cmocka_unit_test(test_callbacks_may_cancel_send_and_free),
        cmocka_unit_test(test_a_call_may_be_cancelled_before_it_was_started),
        cmocka_unit_test(test_a_freed_transport_is_silent),
        cmocka_unit_test(test_no_descriptor_is_inherited_by_programs_that_are_started),
        cmocka_unit_test(test_strange_answers_end_as_they_should),
        cmocka_unit_test(test_a_server_that_is_not_there_is_an_error_from_the_loop),
        cmocka_unit_test(test_an_address_that_is_no_url_is_refused),
        cmocka_unit_test(test_a_blocking_request_gives_the_answer),
        cmocka_unit_test(test_a_blocking_request_without_server_says_which),
        cmocka_unit_test(test_refusals_become_errors_with_the_servers_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
