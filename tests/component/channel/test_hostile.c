/* The channel over real sockets: peers that do not know the key, or lie, or are slow. Each is
 * refused and counted once, and a good client that is connected all the while notices nothing.
 * OPENSSL_CONF names a file that would break TLS if it were read: it must not be. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/ssl.h>

struct scene {
    struct world w;
    struct client good;
};

static void scene_init(struct scene *s)
{
    world_init(&s->w, "127.0.0.1");
    s->w.echo = true;
    client_init(&s->good, &s->w, &s->w.loop, "127.0.0.1", "job-a", "job-a");
    WORLD_RUN_UNTIL(&s->w, s->w.opened == 1 && s->good.opened == 1);
}

/* The good client is served before and after. */
static void scene_release(struct scene *s, unsigned refusals)
{
    unsigned frames = s->good.frames;
    client_send(&s->good, RENDEZVOUS_PROGRESS, 24);
    WORLD_RUN_UNTIL(&s->w, s->good.frames == frames + 1);
    assert_int_equal(s->good.closed, 0);
    assert_int_equal(s->w.refused, refusals);
    assert_int_equal(channel_server_refusals(s->w.server), refusals);
    client_release(&s->good);
    world_release(&s->w);
}

static const struct {
    const char *sentence, *uid, *key_uid;
} strangers[] = {
    {"the key of another job", "job-a", "job-b"},
    {"an identity that is unknown, with a key that was never its own", "job-z", "job-a"},
    {"an identity with a space", "job a", "job a"},
    {"an identity that is not text", "job\x80", "job\x80"},
};

static void test_a_client_without_the_right_key_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        struct scene s;
        struct client c;
        scene_init(&s);
        client_init(&c, &s.w, &s.w.loop, "127.0.0.1", strangers[i].uid, strangers[i].key_uid);
        WORLD_RUN_UNTIL(&s.w, c.closed == 1 && s.w.refused == 1);
        if (c.opened || s.w.opened != 1 || !strstr(c.reason, "TLS handshake") ||
            !strstr(s.w.last_reason, "TLS handshake"))
            fail_msg("%s: client `%s`, server `%s`", strangers[i].sentence, c.reason,
                     s.w.last_reason);
        client_release(&c);
        scene_release(&s, 1);
    }
}

static void refused_raw(const void *data, size_t length, const char *reason)
{
    struct scene s;
    struct raw r;
    scene_init(&s);
    raw_init(&r, &s.w, data, length);
    WORLD_RUN_UNTIL(&s.w, s.w.refused == 1 && r.ended);
    if (!strstr(s.w.last_reason, reason))
        fail_msg("`%s`, expected `%s`", s.w.last_reason, reason);
    raw_close(&r);
    WORLD_RUN_UNTIL(&s.w, r.gone);
    scene_release(&s, 1);
}

static void test_plain_http_is_refused(void **state)
{
    (void)state;
    static const char request[] = "GET / HTTP/1.1\r\nHost: controller\r\n\r\n";
    refused_raw(request, sizeof request - 1, "TLS handshake: ");
}

static void test_random_bytes_are_refused(void **state)
{
    (void)state;
    unsigned char bytes[3000];
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < sizeof bytes; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (unsigned char)x;
    }
    refused_raw(bytes, sizeof bytes, "TLS handshake: ");
}

/* The ClientHello that OpenSSL makes for this version. */
static size_t client_hello(int version, char *to, size_t size)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    assert_non_null(context);
    assert_int_equal(SSL_CTX_set_min_proto_version(context, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(context, version), 1);
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    (void)SSL_do_handshake(ssl);
    int length = BIO_read(out, to, (int)size);
    assert_true(length > 0);
    SSL_free(ssl);
    SSL_CTX_free(context);
    return (size_t)length;
}

static void test_tls_1_2_is_refused(void **state)
{
    (void)state;
    char hello[4096];
    refused_raw(hello, client_hello(TLS1_2_VERSION, hello, sizeof hello), "unsupported protocol");
}

static void test_tls_1_3_without_a_key_is_refused(void **state)
{
    (void)state;
    char hello[4096];
    refused_raw(hello, client_hello(TLS1_3_VERSION, hello, sizeof hello), "TLS handshake: ");
}

static void test_a_peer_that_connects_and_goes_is_counted(void **state)
{
    (void)state;
    struct scene s;
    struct raw r;
    scene_init(&s);
    raw_init(&r, &s.w, "", 0);
    WORLD_RUN_UNTIL(&s.w, r.connected);
    raw_close(&r);
    WORLD_RUN_UNTIL(&s.w, s.w.refused == 1 && r.gone);
    assert_string_equal(s.w.last_reason, "closed by the peer");
    scene_release(&s, 1);
}

static const struct {
    const char *sentence;
    unsigned char header[RENDEZVOUS_HEADER_SIZE];
    const char *reason;
} frames[] = {
    {"a frame of 4 GiB",
     {255, 255, 255, 255, 1, 1},
     "HELLO of 4294967295 bytes, at most 262144 are allowed"},
    {"a READY of 257 bytes", {0, 0, 1, 1, 1, 2}, "READY of 257 bytes, at most 256 are allowed"},
    {"a frame of another version",
     {0, 0, 0, 0, 9, 1},
     "frame of protocol version 9, this side speaks 1 to 1"},
    {"a frame of an unknown type", {0, 0, 0, 0, 1, 50}, "frame of unknown type 50"},
    {"a START from a launcher", {0, 0, 0, 0, 1, 33}, "START may not be sent in this direction"},
};

static void test_a_broken_frame_closes_its_connection_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct scene s;
        struct client c;
        scene_init(&s);
        client_init(&c, &s.w, &s.w.loop, "127.0.0.1", "job-b", "job-b");
        WORLD_RUN_UNTIL(&s.w, s.w.opened == 2 && c.opened == 1);
        client_send(&c, RENDEZVOUS_PROGRESS, 24);
        channel_client_send(c.channel, frames[i].header, sizeof frames[i].header);
        client_send(&c, RENDEZVOUS_PROGRESS, 24); /* never looked at */
        WORLD_RUN_UNTIL(&s.w, s.w.refused == 1 && s.w.closed == 1 && c.closed == 1);
        if (strcmp(s.w.last_reason, frames[i].reason) != 0 ||
            strcmp(s.w.last_closed, frames[i].reason) != 0)
            fail_msg("%s: `%s`", frames[i].sentence, s.w.last_reason);
        assert_int_equal(s.w.frames, 1);
        client_release(&c);
        scene_release(&s, 1);
    }
}

static void test_a_client_refuses_a_broken_server(void **state)
{
    (void)state;
    struct scene s;
    scene_init(&s);
    static const unsigned char hello_down[RENDEZVOUS_HEADER_SIZE] = {0, 0, 0, 0, 1, 1};
    struct client c;
    client_init(&c, &s.w, &s.w.loop, "127.0.0.1", "job-b", "job-b");
    WORLD_RUN_UNTIL(&s.w, s.w.opened == 2 && c.opened == 1);
    channel_server_send(s.w.server, s.w.ids[1], hello_down, sizeof hello_down);
    WORLD_RUN_UNTIL(&s.w, c.closed == 1 && s.w.closed == 1);
    assert_string_equal(c.reason, "HELLO may not be sent in this direction");
    client_release(&c);
    scene_release(&s, 0);
}

/* The slow client has a loop of its own that nobody runs, so that it reads nothing. */
static void test_a_peer_that_does_not_read_is_closed_and_slows_nobody(void **state)
{
    (void)state;
    struct scene s;
    struct client slow;
    uv_loop_t loop;
    scene_init(&s);
    assert_int_equal(uv_loop_init(&loop), 0);
    client_init(&slow, &s.w, &loop, "127.0.0.1", "job-b", "job-b");
    while (s.w.opened < 2 || !slow.opened) {
        (void)uv_run(&s.w.loop, UV_RUN_NOWAIT);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    unsigned sent = 0;
    for (; s.w.closed == 0 && sent < 64; sent++) {
        unsigned frames_before = s.good.frames;
        server_send(&s.w, s.w.ids[1], RENDEZVOUS_WELCOME, 1024 * 1024);
        client_send(&s.good, RENDEZVOUS_PROGRESS, 24);
        WORLD_RUN_UNTIL(&s.w, s.good.frames > frames_before);
    }
    assert_true(sent >= 16 && sent < 64);
    assert_string_equal(s.w.last_closed, "the peer reads too slowly: the send queue is full");
    client_release(&slow);
    assert_int_equal(uv_loop_close(&loop), 0);
    scene_release(&s, 0);
}

static void write_breaking_configuration(char *path)
{
    static const char text[] =
        "openssl_conf = broken\n[broken]\nssl_conf = ssl\nproviders = none\n"
        "[ssl]\nsystem_default = limits\n[limits]\nMaxProtocol = TLSv1.2\n"
        "Ciphersuites = TLS_AES_256_GCM_SHA384\n[none]\nmissing = missing_section\n"
        "[missing_section]\nmodule = /nonexistent.so\nactivate = 1\n";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(setenv("OPENSSL_CONF", path, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_without_the_right_key_is_refused),
        cmocka_unit_test(test_plain_http_is_refused),
        cmocka_unit_test(test_random_bytes_are_refused),
        cmocka_unit_test(test_tls_1_2_is_refused),
        cmocka_unit_test(test_tls_1_3_without_a_key_is_refused),
        cmocka_unit_test(test_a_peer_that_connects_and_goes_is_counted),
        cmocka_unit_test(test_a_broken_frame_closes_its_connection_only),
        cmocka_unit_test(test_a_client_refuses_a_broken_server),
        cmocka_unit_test(test_a_peer_that_does_not_read_is_closed_and_slows_nobody),
    };
    char path[] = "/tmp/mltrain-openssl-XXXXXX";
    write_breaking_configuration(path);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    return failed;
}
