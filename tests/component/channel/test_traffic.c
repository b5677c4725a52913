/* The channel over real sockets: peers that know their key. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#define CLIENTS 200

/* The key of RFC 5869's HKDF-SHA256 over the master key of these tests, computed once with Python's
 * hmac module. */
static void test_the_key_of_a_job_is_hkdf_of_the_master_key(void **state)
{
    (void)state;
    static const unsigned char expected[CHANNEL_KEY_SIZE] = {
        0xee, 0x74, 0x08, 0xfb, 0x49, 0x93, 0x51, 0x2d, 0x65, 0x1c, 0x2a,
        0x2a, 0xe7, 0xf5, 0x20, 0x15, 0x22, 0x5c, 0x38, 0x3b, 0x7b, 0x12,
        0xa7, 0xc3, 0xaa, 0x35, 0x81, 0xa8, 0x55, 0xc1, 0x4d, 0x30,
    };
    unsigned char key[CHANNEL_KEY_SIZE], other[CHANNEL_KEY_SIZE];
    channel_derive_key(world_master, "4711", key);
    assert_memory_equal(key, expected, sizeof key);
    channel_derive_key(world_master, "4712", other);
    assert_memory_not_equal(key, other, sizeof key);
}

static void frames_travel(const char *address)
{
    struct world w;
    world_init(&w, address);
    struct client c;
    client_init(&c, &w, &w.loop, address, "job-a", "job-a");
    WORLD_RUN_UNTIL(&w, w.opened == 1 && c.opened == 1);
    assert_string_equal(w.last_uid, "job-a");
    client_send(&c, RENDEZVOUS_READY, 2);
    client_send(&c, RENDEZVOUS_HELLO, 256 * 1024);
    server_send(&w, w.ids[0], RENDEZVOUS_WELCOME, 1024 * 1024);
    server_send(&w, w.ids[0], RENDEZVOUS_PING, 0);
    WORLD_RUN_UNTIL(&w, w.frames == 2 && c.frames == 2);
    assert_int_equal(w.bytes, 256 * 1024 + 2);
    assert_int_equal(c.bytes, 1024 * 1024);
    client_release(&c);
    WORLD_RUN_UNTIL(&w, w.closed == 1);
    assert_int_equal(w.refused, 0);
    world_release(&w);
}

static void test_frames_travel_both_ways_up_to_their_maxima(void **state)
{
    (void)state;
    frames_travel("127.0.0.1");
}

static void test_frames_travel_over_ipv6(void **state)
{
    (void)state;
    uv_tcp_t probe;
    uv_loop_t loop;
    struct sockaddr_in6 address;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_tcp_init(&loop, &probe), 0);
    assert_int_equal(uv_ip6_addr("::1", 0, &address), 0);
    int rc = uv_tcp_bind(&probe, (struct sockaddr *)&address, 0);
    uv_close((uv_handle_t *)&probe, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    if (rc < 0) {
        printf("skipped: this machine has no IPv6 loopback address\n");
        skip();
    }
    frames_travel("::1");
}

static void test_what_was_queued_arrives_before_the_server_closes(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "127.0.0.1");
    struct client c;
    client_init(&c, &w, &w.loop, "127.0.0.1", "job-a", "job-a");
    WORLD_RUN_UNTIL(&w, w.opened == 1 && c.opened == 1);
    for (int i = 0; i < 8; i++)
        server_send(&w, w.ids[0], RENDEZVOUS_WELCOME, 1024 * 1024);
    server_send(&w, w.ids[0], RENDEZVOUS_EXIT, 4);
    channel_server_close(w.server, w.ids[0]);
    server_send(&w, w.ids[0], RENDEZVOUS_EXIT, 4); /* too late: the id is no longer known */
    client_send(&c, RENDEZVOUS_HELLO, 1000);       /* unread bytes must not reset the connection */
    WORLD_RUN_UNTIL(&w, c.closed == 1);
    assert_int_equal(c.frames, 9);
    assert_int_equal(w.closed, 0); /* the owner closed it and knows */
    assert_int_equal(w.frames, 0);
    client_release(&c);
    world_release(&w);
}

static void test_two_hundred_clients_are_served_at_once(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "127.0.0.1");
    w.echo = true;
    struct client *clients = calloc(CLIENTS, sizeof *clients);
    assert_non_null(clients);
    for (int i = 0; i < CLIENTS; i++) {
        char uid[32];
        (void)snprintf(uid, sizeof uid, "job-%d", i % 7);
        client_init(&clients[i], &w, &w.loop, "127.0.0.1", uid, uid);
    }
    WORLD_RUN_UNTIL(&w, w.opened == CLIENTS);
    unsigned connected = 0;
    while (connected < CLIENTS) {
        WORLD_RUN_UNTIL(&w, clients[connected].opened == 1);
        connected++;
    }
    for (int i = 0; i < CLIENTS; i++)
        for (int n = 0; n < 10; n++)
            client_send(&clients[i], RENDEZVOUS_PROGRESS, 24);
    WORLD_RUN_UNTIL(&w, w.frames == CLIENTS * 10);
    for (int i = 0; i < CLIENTS; i++)
        WORLD_RUN_UNTIL(&w, clients[i].frames == 10);
    for (int i = 0; i < CLIENTS; i++)
        client_release(&clients[i]);
    WORLD_RUN_UNTIL(&w, w.closed == CLIENTS);
    assert_int_equal(w.refused, 0);
    free(clients);
    world_release(&w);
}

static void test_ids_are_never_used_again(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "127.0.0.1");
    for (unsigned i = 0; i < 20; i++) {
        struct client c;
        client_init(&c, &w, &w.loop, "127.0.0.1", "job-a", "job-a");
        WORLD_RUN_UNTIL(&w, w.opened == i + 1 && c.opened == 1);
        client_release(&c);
        WORLD_RUN_UNTIL(&w, w.closed == i + 1);
        for (unsigned earlier = 0; earlier < i; earlier++)
            assert_int_not_equal(w.ids[earlier], w.ids[i]);
    }
    world_release(&w);
}

static void test_a_client_comes_back_when_the_server_was_restarted(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "127.0.0.1");
    struct client c;
    client_init(&c, &w, &w.loop, "127.0.0.1", "job-a", "job-a");
    WORLD_RUN_UNTIL(&w, w.opened == 1 && c.opened == 1);
    world_stop_server(&w);
    WORLD_RUN_UNTIL(&w, c.closed == 1);
    channel_client_connect(c.channel); /* nobody listens */
    WORLD_RUN_UNTIL(&w, c.closed == 2);
    assert_string_equal(c.reason, "connection refused");
    client_send(&c, RENDEZVOUS_READY, 2); /* not connected: dropped */
    world_start_server(&w, "127.0.0.1", w.port);
    channel_client_connect(c.channel);
    WORLD_RUN_UNTIL(&w, c.opened == 2 && w.opened == 2);
    client_send(&c, RENDEZVOUS_READY, 2);
    WORLD_RUN_UNTIL(&w, w.frames == 1);
    client_release(&c);
    world_release(&w);
}

static void test_a_client_that_disconnects_hears_nothing_and_may_connect_again(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "127.0.0.1");
    struct client c;
    client_init(&c, &w, &w.loop, "127.0.0.1", "job-a", "job-a");
    WORLD_RUN_UNTIL(&w, w.opened == 1 && c.opened == 1);
    client_send(&c, RENDEZVOUS_STOPPED, 100);
    channel_client_disconnect(c.channel);
    channel_client_connect(c.channel);
    WORLD_RUN_UNTIL(&w, w.closed == 1 && w.opened == 2 && c.opened == 2);
    assert_int_equal(w.frames, 1); /* the farewell arrived */
    assert_int_equal(c.closed, 0);
    client_release(&c);
    world_release(&w);
}

static void test_a_server_that_cannot_listen_says_where(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "127.0.0.1");
    struct channel_server *second = NULL;
    struct mlt_error err = {0};
    static const struct channel_server_ops ops;
    assert_true(channel_server_new(&w.loop, "127.0.0.1", w.port, world_master, &ops, NULL, &second,
                                   &err) < 0);
    assert_null(second);
    assert_non_null(strstr(err.text, "127.0.0.1"));
    assert_true(
        channel_server_new(&w.loop, "localhost", 0, world_master, &ops, NULL, &second, &err) < 0);
    assert_string_equal(err.text, "`localhost` is not an IPv4 or IPv6 address");
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_key_of_a_job_is_hkdf_of_the_master_key),
        cmocka_unit_test(test_frames_travel_both_ways_up_to_their_maxima),
        cmocka_unit_test(test_frames_travel_over_ipv6),
        cmocka_unit_test(test_what_was_queued_arrives_before_the_server_closes),
        cmocka_unit_test(test_two_hundred_clients_are_served_at_once),
        cmocka_unit_test(test_ids_are_never_used_again),
        cmocka_unit_test(test_a_client_comes_back_when_the_server_was_restarted),
        cmocka_unit_test(test_a_client_that_disconnects_hears_nothing_and_may_connect_again),
        cmocka_unit_test(test_a_server_that_cannot_listen_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
