/* The HTTP server with real sockets over TLS; kube_transport is the client on the same loop. */
#include "tests/component/httpd/exchange.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include "lib/base/cleanup.h"
#include "lib/httpd/httpd.h"
#include "tests/component/httpd/pem.h"

#define BODY_MAX 100000u
#define QUEUE_MAX 300000u
#define CROWD 200

/* What the handler does is told by the path. Streams and late requests are kept for the test. */
struct fixture {
    uv_loop_t loop;
    struct httpd *server;
    struct kube_transport *client;
    struct httpd_request *late[CROWD];
    size_t late_count;
    struct httpd_stream *stream, *streams[CROWD];
    size_t stream_count, gone_count, drained_count;
    bool gone, asked;
    char target[200], header[100];
};

static void on_gone(void *arg)
{
    struct fixture *f = arg;
    f->gone = true;
    f->gone_count++;
    f->stream = NULL;
}

static void on_drained(void *arg)
{
    struct fixture *f = arg;
    f->drained_count++;
}

static const struct httpd_stream_ops stream_ops = {.gone = on_gone, .drained = on_drained};

static void handler(void *arg, struct httpd_request *request, const struct httpd_message *m)
{
    struct fixture *f = arg;
    const struct httpd_header extra[] = {{"Retry-After", "7"}, {"X-Second", "two"}};
    f->asked = true;
    (void)snprintf(f->target, sizeof f->target, "%s", m->target);
    const char *header = httpd_request_header(request, "authorization");
    (void)snprintf(f->header, sizeof f->header, "%s", header ? header : "");
    if (strncmp(m->target, "/echo", 5) == 0) {
        httpd_respond(request, 200, "application/json", NULL, 0, m->body, m->body_length);
    } else if (strncmp(m->target, "/busy", 5) == 0) {
        httpd_respond(request, 429, "text/plain", extra, 2, "busy", 4);
    } else if (strncmp(m->target, "/late", 5) == 0) {
        f->late[f->late_count++] = request;
    } else if (strncmp(m->target, "/watch", 6) == 0) {
        f->stream = httpd_stream_begin(request, 200, "application/json", NULL, 0, &stream_ops, f);
        f->streams[f->stream_count++] = f->stream;
    } else {
        httpd_respond(request, 404, NULL, NULL, 0, m->method, strlen(m->method));
    }
}

static struct kube_transport *new_client(struct fixture *f)
{
    char server[100];
    (void)snprintf(server, sizeof server, "https://127.0.0.1:%u", httpd_port(f->server));
    cleanup_free char *ca = mlt_strdup(pem_ca);
    cleanup_free char *token = mlt_strdup("secret");
    const struct kube_config config = {.server = server, .ca_data = ca, .token = token};
    struct kube_transport *t = NULL;
    struct mlt_error err = {0};
    assert_int_equal(kube_transport_new(&f->loop, &config, &t, &err), 0);
    return t;
}

static void start(struct fixture *f, unsigned idle_timeout_s, unsigned connections_max)
{
    const struct httpd_config config = {.address = "127.0.0.1",
                                        .certificate_pem = pem_server_certificate,
                                        .key_pem = pem_server_key,
                                        .body_max = BODY_MAX,
                                        .connections_max = connections_max,
                                        .idle_timeout_s = idle_timeout_s,
                                        .stream_queue_max = QUEUE_MAX};
    struct mlt_error err = {0};
    *f = (struct fixture){0};
    uv_loop_init(&f->loop);
    if (httpd_new(&f->loop, &config, handler, f, &f->server, &err) < 0)
        fail_msg("%s", err.text);
    f->client = new_client(f);
}

static void stop_server(struct fixture *f)
{
    bool closed = false;
    httpd_free(f->server, mark_true, &closed);
    f->server = NULL;
    assert_true(wait_for(&f->loop, &closed, WAIT_MAX_MS));
}

static void stop(struct fixture *f)
{
    transport_end(&f->loop, f->client);
    if (f->server)
        stop_server(f);
    assert_int_equal(uv_run(&f->loop, UV_RUN_NOWAIT), 0); /* nothing is left behind */
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static void get(struct fixture *f, struct exchange *x, const char *path)
{
    exchange_send(x, f->client, "GET", path, NULL, 0, 0);
}

static void wait_body(struct fixture *f, struct exchange *x, size_t length)
{
    for (int i = 0; i < 2000 && x->body.length < length; i++)
        run_for(&f->loop, 5);
    assert_true(x->body.length >= length);
}

static void wait_asked(struct fixture *f)
{
    assert_true(wait_for(&f->loop, &f->asked, WAIT_MAX_MS));
    f->asked = false;
}

/* ---- requests ---- */

static void test_a_request_is_answered_with_its_target_undecoded_and_its_headers(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start(&f, 0, 0);
    exchange_send(&x, f.client, "POST", "/echo/a%2Fb?labelSelector=a%3Db&x=%20", "{\"a\":1}", 7, 0);
    exchange_wait(&f.loop, &x);
    assert_string_equal(x.error, "");
    assert_int_equal(x.status, 200);
    assert_string_equal(mlt_text_string(&x.body), "{\"a\":1}");
    assert_string_equal(f.target, "/echo/a%2Fb?labelSelector=a%3Db&x=%20");
    assert_string_equal(f.header, "Bearer secret");
    mlt_text_release(&x.body);
    stop(&f);
}

static void test_extra_headers_arrive(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start(&f, 0, 0);
    get(&f, &x, "/busy");
    exchange_wait(&f.loop, &x);
    assert_int_equal(x.status, 429);
    assert_int_equal(x.retry_after_ms, 7000);
    assert_string_equal(mlt_text_string(&x.body), "busy");
    mlt_text_release(&x.body);
    stop(&f);
}

static void test_every_method_reaches_the_handler(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    struct fixture f;
    start(&f, 0, 0);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(methods); i++) {
        struct exchange x;
        exchange_send(&x, f.client, methods[i], "/method", NULL, 0, 0);
        exchange_wait(&f.loop, &x);
        assert_int_equal(x.status, 404);
        assert_string_equal(mlt_text_string(&x.body), methods[i]);
        mlt_text_release(&x.body);
    }
    assert_int_equal(httpd_connections(f.server), 1); /* kept alive */
    stop(&f);
}

static void test_an_answer_may_come_later(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start(&f, 0, 0);
    get(&f, &x, "/late");
    wait_asked(&f);
    run_for(&f.loop, 50);
    assert_false(x.ended);
    httpd_respond(f.late[0], 201, NULL, NULL, 0, "now", 3);
    exchange_wait(&f.loop, &x);
    assert_int_equal(x.status, 201);
    assert_string_equal(mlt_text_string(&x.body), "now");
    mlt_text_release(&x.body);
    stop(&f);
}

static void test_a_late_answer_to_a_client_that_left_is_dropped(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start(&f, 0, 0);
    get(&f, &x, "/late");
    wait_asked(&f);
    kube_call_cancel(x.call);
    run_for(&f.loop, 50);
    httpd_respond(f.late[0], 200, NULL, NULL, 0, "nobody", 6);
    run_for(&f.loop, 50);
    assert_int_equal(httpd_connections(f.server), 0);
    stop(&f);
}

static void test_a_request_may_be_answered_after_its_server_was_freed(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x, y;
    start(&f, 0, 0);
    get(&f, &x, "/late");
    wait_asked(&f);
    get(&f, &y, "/late");
    wait_asked(&f);
    stop_server(&f);
    httpd_respond(f.late[0], 200, NULL, NULL, 0, "nobody", 6);
    struct httpd_stream *s = httpd_stream_begin(f.late[1], 200, NULL, NULL, 0, &stream_ops, &f);
    assert_int_equal(httpd_stream_write(s, "x", 1), -EPIPE);
    httpd_stream_end(s);
    exchange_wait(&f.loop, &x);
    assert_string_not_equal(x.error, "");
    assert_int_equal(f.gone_count, 0);
    stop(&f);
}

static void test_clients_are_served_again_after_descriptors_were_short(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange standing, x;
    struct rlimit before, none;
    start(&f, 0, 0);
    get(&f, &standing, "/watch"); /* a connection that stays, so that none closes meanwhile */
    wait_asked(&f);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(httpd_port(f.server))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int highest = dup(client);
    assert_true(client >= 0 && highest >= 0);
    (void)close(highest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)highest, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    run_for(&f.loop, 300);
    assert_int_equal(httpd_connections(f.server), 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    get(&f, &x, "/busy");
    exchange_wait(&f.loop, &x);
    assert_int_equal(x.status, 429);
    mlt_text_release(&x.body);
    (void)close(client);
    kube_call_cancel(standing.call);
    mlt_text_release(&standing.body);
    run_for(&f.loop, 50);
    stop(&f);
}

static void test_a_body_up_to_the_maximum_is_whole_and_a_longer_one_gets_413(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0, 0);
    static const struct {
        const char *name;
        size_t length;
        int status;
    } rows[] = {
        {"exactly the maximum", BODY_MAX, 200},
        {"one byte more", BODY_MAX + 1, 413},
        {"much more", BODY_MAX * 50, 413},
        {"so much more that it is not read", BODY_MAX + HTTPD_DISCARD_MAX + 1, 413},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct exchange x;
        cleanup_free char *body = mlt_realloc(NULL, rows[i].length, 1);
        memset(body, 'x', rows[i].length);
        exchange_send(&x, f.client, "POST", "/echo", body, rows[i].length, 0);
        exchange_wait(&f.loop, &x);
        if (x.status != rows[i].status)
            fail_msg("%s: status %d, %s", rows[i].name, x.status, x.error);
        if (x.status == 200)
            assert_memory_equal(x.body.data, body, rows[i].length);
        mlt_text_release(&x.body);
    }
    stop(&f);
}

static void test_two_hundred_clients_at_once_are_all_answered(void **state)
{
    (void)state;
    struct fixture f;
    static struct exchange x[CROWD];
    start(&f, 0, 0);
    for (size_t i = 0; i < CROWD; i++)
        get(&f, &x[i], "/late");
    for (int i = 0; i < 2000 && f.late_count < CROWD; i++)
        run_for(&f.loop, 5);
    assert_int_equal(f.late_count, CROWD);
    assert_int_equal(httpd_connections(f.server), CROWD);
    for (size_t i = 0; i < CROWD; i++)
        httpd_respond(f.late[i], 200, NULL, NULL, 0, "ok", 2);
    for (size_t i = 0; i < CROWD; i++) {
        exchange_wait(&f.loop, &x[i]);
        assert_string_equal(mlt_text_string(&x[i].body), "ok");
        mlt_text_release(&x[i].body);
    }
    stop(&f);
}

static void test_clients_beyond_the_connection_cap_wait_their_turn(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x, y, z;
    start(&f, 0, 2);
    get(&f, &x, "/late");
    wait_asked(&f);
    get(&f, &y, "/late");
    wait_asked(&f);
    get(&f, &z, "/echo");
    run_for(&f.loop, 200);
    assert_false(z.ended);
    kube_call_cancel(x.call);
    httpd_respond(f.late[0], 200, NULL, NULL, 0, "", 0);
    exchange_wait(&f.loop, &z);
    assert_int_equal(z.status, 200);
    httpd_respond(f.late[1], 200, NULL, NULL, 0, "", 0);
    exchange_wait(&f.loop, &y);
    stop(&f);
}

/* ---- streams ---- */

static void test_a_stream_delivers_each_write_at_once_and_ends(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start(&f, 0, 0);
    get(&f, &x, "/watch?x");
    wait_asked(&f);
    run_for(&f.loop, 50);
    assert_int_equal(x.status, 200); /* headers do not wait for the first write */
    for (int i = 0; i < 20; i++) {
        uint64_t before = uv_hrtime();
        assert_int_equal(httpd_stream_write(f.stream, "line\n", 5), 0);
        while (x.body.length < 5u * (size_t)(i + 1))
            uv_run(&f.loop, UV_RUN_ONCE);
        assert_true(uv_hrtime() - before < 30u * 1000 * 1000); /* no delay of 40 ms by Nagle */
    }
    httpd_stream_end(f.stream);
    exchange_wait(&f.loop, &x);
    assert_string_equal(x.error, "");
    assert_int_equal(x.body.length, 100);
    assert_int_equal(f.gone_count, 0);
    assert_true(f.drained_count > 0);
    mlt_text_release(&x.body);
    stop(&f);
}

static void test_an_aborted_stream_is_an_error_for_its_client(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start(&f, 0, 0);
    get(&f, &x, "/watch");
    wait_asked(&f);
    assert_int_equal(httpd_stream_write(f.stream, "half", 4), 0);
    wait_body(&f, &x, 4);
    httpd_stream_abort(f.stream);
    exchange_wait(&f.loop, &x);
    assert_string_not_equal(x.error, "");
    assert_int_equal(f.gone_count, 0);
    mlt_text_release(&x.body);
    stop(&f);
}

static void test_a_client_that_leaves_an_idle_stream_is_noticed_soon(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start(&f, 0, 0);
    get(&f, &x, "/watch");
    wait_asked(&f);
    assert_int_equal(httpd_stream_write(f.stream, "x", 1), 0);
    wait_body(&f, &x, 1);
    run_for(&f.loop, 50); /* suspended now */
    kube_call_cancel(x.call);
    assert_true(wait_for(&f.loop, &f.gone, 1000));
    run_for(&f.loop, 20);
    assert_int_equal(httpd_connections(f.server), 0);
    mlt_text_release(&x.body);
    stop(&f);
}

static void test_a_reader_that_stops_reading_fills_the_queue_and_nothing_else(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0, 0);
    /* A client on a loop of its own that does not run, while the server's does. */
    struct fixture slow = {.server = f.server};
    struct exchange x;
    uv_loop_init(&slow.loop);
    slow.client = new_client(&slow);
    get(&slow, &x, "/watch");
    while (!f.stream) {
        uv_run(&slow.loop, UV_RUN_NOWAIT);
        run_for(&f.loop, 1);
    }
    char piece[10000];
    memset(piece, 'p', sizeof piece);
    size_t written = 0;
    int r = 0;
    for (int i = 0; i < 20000 && r == 0; i++) {
        r = httpd_stream_write(f.stream, piece, sizeof piece);
        written += r == 0 ? sizeof piece : 0;
        if (i % 10 == 0)
            uv_run(&f.loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(r, -ENOBUFS);
    assert_true(httpd_stream_queued(f.stream) <= QUEUE_MAX);
    struct exchange other;
    get(&f, &other, "/echo"); /* others are served meanwhile */
    exchange_wait(&f.loop, &other);
    assert_int_equal(other.status, 200);
    httpd_stream_end(f.stream);
    while (!x.ended) {
        uv_run(&slow.loop, UV_RUN_NOWAIT);
        run_for(&f.loop, 1);
    }
    assert_string_equal(x.error, "");
    assert_int_equal(x.body.length, written);
    mlt_text_release(&x.body);
    transport_end(&slow.loop, slow.client);
    assert_int_equal(uv_loop_close(&slow.loop), 0);
    stop(&f);
}

static void
test_two_hundred_streams_each_get_everything_and_all_are_gone_when_the_server_stops(void **state)
{
    (void)state;
    struct fixture f;
    static struct exchange x[CROWD];
    start(&f, 0, 0);
    for (size_t i = 0; i < CROWD; i++)
        get(&f, &x[i], "/watch");
    for (int i = 0; i < 2000 && f.stream_count < CROWD; i++)
        run_for(&f.loop, 5);
    assert_int_equal(f.stream_count, CROWD);
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < CROWD; i++)
            assert_int_equal(httpd_stream_write(f.streams[i], "0123456789", 10), 0);
        uv_run(&f.loop, UV_RUN_NOWAIT);
    }
    for (size_t i = 0; i < CROWD; i++)
        wait_body(&f, &x[i], 500);
    stop_server(&f);
    assert_int_equal(f.gone_count, CROWD);
    for (size_t i = 0; i < CROWD; i++) {
        exchange_wait(&f.loop, &x[i]);
        assert_string_not_equal(x[i].error, ""); /* cut, not ended */
        assert_int_equal(x[i].body.length, 500);
        mlt_text_release(&x[i].body);
    }
    stop(&f);
}

static void test_a_large_stream_arrives_whole(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start(&f, 0, 0);
    get(&f, &x, "/watch");
    wait_asked(&f);
    unsigned number = 0;
    for (int turn = 0; turn < 100000 && number < 500000; turn++) {
        char line[16];
        int length = snprintf(line, sizeof line, "%08u\n", number);
        while (number < 500000 && httpd_stream_write(f.stream, line, (size_t)length) == 0)
            length = snprintf(line, sizeof line, "%08u\n", ++number);
        uv_run(&f.loop, UV_RUN_ONCE);
    }
    httpd_stream_end(f.stream);
    exchange_wait(&f.loop, &x);
    assert_int_equal(x.body.length, 500000u * 9);
    for (unsigned i = 0; i < 500000; i += 997) {
        char line[16];
        (void)snprintf(line, sizeof line, "%08u\n", i);
        assert_memory_equal(x.body.data + (size_t)i * 9, line, 9);
    }
    mlt_text_release(&x.body);
    stop(&f);
}

/* ---- bad and strange clients ---- */

static int connect_raw(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void test_a_client_that_is_silent_is_cut_off_after_the_idle_timeout(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 1, 0);
    int fd = connect_raw(httpd_port(f.server));
    run_for(&f.loop, 100);
    assert_int_equal(httpd_connections(f.server), 1);
    clock_t before = clock();
    run_for(&f.loop, 500);
    assert_true((clock() - before) * 1000 / CLOCKS_PER_SEC <
                100); /* and costs no processor meanwhile */
    for (int i = 0; i < 40 && httpd_connections(f.server) > 0; i++)
        run_for(&f.loop, 100);
    assert_int_equal(httpd_connections(f.server), 0);
    close(fd);
    stop(&f);
}

static void test_the_idle_timeout_does_not_end_a_quiet_stream(void **state)
{
    (void)state;
    struct fixture f;
    struct exchange x;
    start(&f, 1, 0);
    get(&f, &x, "/watch");
    wait_asked(&f);
    run_for(&f.loop, 2500);
    assert_false(f.gone);
    assert_int_equal(httpd_stream_write(f.stream, "still", 5), 0);
    wait_body(&f, &x, 5);
    httpd_stream_end(f.stream);
    exchange_wait(&f.loop, &x);
    assert_string_equal(x.error, "");
    mlt_text_release(&x.body);
    stop(&f);
}

/* Plain HTTP, so that the bytes can be written by hand. */
static void test_broken_requests_do_no_harm(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes, *answer;
    } rows[] = {
        {"not HTTP at all", "hello\r\n\r\n", ""},
        {"the start of a TLS hello", "\x16\x03\x01\x02", ""},
        {"half a request line", "GET /echo", ""},
        {"half the headers", "GET /echo HTTP/1.1\r\nHost: x\r\n", ""},
        {"half a body", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", ""},
        {"a negative length", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
         "400"},
        {"HTTP/1.0", "GET /echo HTTP/1.0\r\n\r\n", "200"},
        {"a chunked body",
         "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "3\r\nabc\r\n0\r\n\r\n",
         "200"},
        {"a body that waits to be asked for",
         "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
         "100 Continue"},
        {"a body too long that waits to be asked for",
         "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n",
         "413"},
        {"HEAD of a stream", "HEAD /watch HTTP/1.1\r\nHost: x\r\n\r\n", "200"},
    };
    struct fixture f = {0};
    struct mlt_error err = {0};
    const struct httpd_config config = {.address = "127.0.0.1", .body_max = BODY_MAX};
    uv_loop_init(&f.loop);
    assert_int_equal(httpd_new(&f.loop, &config, handler, &f, &f.server, &err), 0);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        char answer[4096];
        int fd = connect_raw(httpd_port(f.server));
        assert_true(send(fd, rows[i].bytes, strlen(rows[i].bytes), MSG_NOSIGNAL) > 0);
        run_for(&f.loop, 30);
        ssize_t got = recv(fd, answer, sizeof answer - 1, MSG_DONTWAIT);
        answer[got > 0 ? got : 0] = '\0';
        if (!strstr(answer, rows[i].answer))
            fail_msg("%s: `%s`", rows[i].name, answer);
        close(fd);
        run_for(&f.loop, 30);
        if (httpd_connections(f.server) != 0)
            fail_msg("%s: the connection is still there", rows[i].name);
    }
    assert_int_equal(f.gone_count, f.stream_count);
    stop_server(&f);
    assert_int_equal(uv_loop_close(&f.loop), 0);
}

/* By hand: a client that has not sent all of its headers does not look for an answer (curl). */
static void test_headers_beyond_the_maximum_are_refused(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct mlt_error err = {0};
    const struct httpd_config config = {.address = "127.0.0.1", .body_max = BODY_MAX};
    uv_loop_init(&f.loop);
    assert_int_equal(httpd_new(&f.loop, &config, handler, &f, &f.server, &err), 0);
    /* A few bytes at a time: what a server has not read when it closes would cost us its answer. */
    static const char start[] = "GET /";
    int fd = connect_raw(httpd_port(f.server));
    char bytes[1024], answer[4096] = "";
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, start, sizeof start - 1);
    for (int i = 0; i < 1000 && !*answer; i++) {
        assert_int_equal(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
        run_for(&f.loop, 2);
        ssize_t n = recv(fd, answer, sizeof answer - 1, MSG_DONTWAIT);
        answer[n > 0 ? n : 0] = '\0';
        memset(bytes, 'x', sizeof start - 1);
    }
    if (!strstr(answer, " 414 ") && !strstr(answer, " 431 "))
        fail_msg("`%s`", answer);
    assert_false(f.asked);
    close(fd);
    stop_server(&f);
    assert_int_equal(uv_loop_close(&f.loop), 0);
}

/* ---- starting and stopping ---- */

static size_t open_files(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void test_bad_configurations_are_refused_in_words_and_leave_nothing_open(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct httpd_config config;
        int code;
        const char *words;
    } rows[] = {
        {"no address", {.address = NULL}, -EINVAL, "not an IPv4 or IPv6 address"},
        {"a name", {.address = "localhost"}, -EINVAL, "`localhost`"},
        {"a foreign address", {.address = "192.0.2.1"}, -EADDRNOTAVAIL, "192.0.2.1 port 0"},
        {"a certificate without key",
         {.address = "127.0.0.1", .certificate_pem = pem_ca},
         -EINVAL,
         "together"},
        {"a key that is none",
         {.address = "127.0.0.1", .certificate_pem = pem_ca, .key_pem = "hello"},
         -EINVAL,
         "start the HTTP server"},
        {"headers too small", {.address = "127.0.0.1", .header_max = 10}, -E2BIG, "header_max 10"},
    };
    uv_loop_t loop;
    uv_loop_init(&loop);
    size_t before = open_files();
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct httpd *h = NULL;
        struct mlt_error err = {0};
        int r = httpd_new(&loop, &rows[i].config, handler, NULL, &h, &err);
        if (r != rows[i].code || !strstr(err.text, rows[i].words))
            fail_msg("%s: %d %s", rows[i].name, r, err.text);
        assert_null(h);
    }
    assert_int_equal(open_files(), before);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_a_port_in_use_is_said(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0, 0);
    struct httpd *h = NULL;
    struct mlt_error err = {0};
    const struct httpd_config config = {.address = "127.0.0.1", .port = httpd_port(f.server)};
    assert_int_equal(httpd_new(&f.loop, &config, handler, &f, &h, &err), -EADDRINUSE);
    stop(&f);
}

struct freed {
    struct httpd *server;
    bool closed;
};

static void freeing_handler(void *arg, struct httpd_request *request, const struct httpd_message *m)
{
    (void)m;
    struct freed *d = arg;
    httpd_free(d->server, mark_true, &d->closed);
    httpd_respond(request, 200, NULL, NULL, 0, "bye", 3);
}

static void test_freeing_from_within_the_handler_is_fine(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct freed d = {0};
    struct exchange x;
    const struct httpd_config config = {.address = "127.0.0.1",
                                        .certificate_pem = pem_server_certificate,
                                        .key_pem = pem_server_key};
    uv_loop_init(&f.loop);
    assert_int_equal(httpd_new(&f.loop, &config, freeing_handler, &d, &d.server, NULL), 0);
    f.server = d.server;
    f.client = new_client(&f);
    get(&f, &x, "/");
    assert_true(wait_for(&f.loop, &d.closed, WAIT_MAX_MS));
    exchange_wait(&f.loop, &x);
    f.server = NULL;
    mlt_text_release(&x.body);
    stop(&f);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_answered_with_its_target_undecoded_and_its_headers),
        cmocka_unit_test(test_extra_headers_arrive),
        cmocka_unit_test(test_every_method_reaches_the_handler),
        cmocka_unit_test(test_an_answer_may_come_later),
        cmocka_unit_test(test_a_late_answer_to_a_client_that_left_is_dropped),
        cmocka_unit_test(test_a_request_may_be_answered_after_its_server_was_freed),
        cmocka_unit_test(test_clients_are_served_again_after_descriptors_were_short),
        cmocka_unit_test(test_a_body_up_to_the_maximum_is_whole_and_a_longer_one_gets_413),
        cmocka_unit_test(test_two_hundred_clients_at_once_are_all_answered),
        cmocka_unit_test(test_clients_beyond_the_connection_cap_wait_their_turn),
        cmocka_unit_test(test_a_stream_delivers_each_write_at_once_and_ends),
        cmocka_unit_test(test_an_aborted_stream_is_an_error_for_its_client),
        cmocka_unit_test(test_a_client_that_leaves_an_idle_stream_is_noticed_soon),
        cmocka_unit_test(test_a_reader_that_stops_reading_fills_the_queue_and_nothing_else),
        cmocka_unit_test(
            test_two_hundred_streams_each_get_everything_and_all_are_gone_when_the_server_stops),
        cmocka_unit_test(test_a_large_stream_arrives_whole),
        cmocka_unit_test(test_a_client_that_is_silent_is_cut_off_after_the_idle_timeout),
        cmocka_unit_test(test_the_idle_timeout_does_not_end_a_quiet_stream),
        cmocka_unit_test(test_broken_requests_do_no_harm),
        cmocka_unit_test(test_headers_beyond_the_maximum_are_refused),
        cmocka_unit_test(test_bad_configurations_are_refused_in_words_and_leave_nothing_open),
        cmocka_unit_test(test_a_port_in_use_is_said),
        cmocka_unit_test(test_freeing_from_within_the_handler_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
