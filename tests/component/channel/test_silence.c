/* The channel over real sockets: a handshake that is never finished, and an address that never
 * answers. In a program of its own, because it waits for CHANNEL_HANDSHAKE_MS. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "world.h"

static void test_a_handshake_that_is_not_finished_in_time_is_refused(void **state)
{
    (void)state;
    struct world w;
    struct raw silent, slow;
    struct client good;
    world_init(&w, "127.0.0.1");
    raw_init(&silent, &w, "", 0);
    raw_init(&slow, &w, "\x16\x03\x01\x02", 4); /* the beginning of a record */
    uint64_t before = uv_hrtime();
    WORLD_RUN_UNTIL(&w, silent.connected && slow.connected);
    client_init(&good, &w, &w.loop, "127.0.0.1", "job-a", "job-a");
    WORLD_RUN_UNTIL(&w, good.opened == 1 && w.opened == 1);
    assert_int_equal(w.refused, 0);
    WORLD_RUN_UNTIL(&w, w.refused == 2 && silent.ended && slow.ended);
    uint64_t ms = (uv_hrtime() - before) / 1000000;
    assert_true(ms >= CHANNEL_HANDSHAKE_MS - 100);
    assert_string_equal(w.last_reason, "the handshake was not finished in time");
    assert_int_equal(good.closed, 0); /* an open connection may be silent */
    raw_close(&silent);
    raw_close(&slow);
    WORLD_RUN_UNTIL(&w, silent.gone && slow.gone);
    client_release(&good);
    world_release(&w);
}

/* A port whose queue is full: the kernel throws away what else comes, as the network does with what
 * is sent to a pod that is gone. */
struct black_hole {
    int listener, filler;
    uint16_t port;
};

static void black_hole_init(struct black_hole *b)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    b->filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(b->listener >= 0 && b->filler >= 0);
    assert_int_equal(bind(b->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(b->listener, 0), 0);
    assert_int_equal(getsockname(b->listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(connect(b->filler, (struct sockaddr *)&address, size), 0);
    b->port = ntohs(address.sin_port);
}

/* Not held up until the handshake's time is over, which begins with an answer: the Service may lead
 * to another controller by then. */
static void test_an_address_that_never_answers_is_given_up_soon(void **state)
{
    (void)state;
    struct world w;
    struct client lost;
    struct black_hole nowhere;
    _Static_assert(CHANNEL_CONNECT_MS * 4 <= CHANNEL_HANDSHAKE_MS, "soon");
    world_init(&w, "127.0.0.1");
    black_hole_init(&nowhere);
    uint16_t port = w.port;
    w.port = nowhere.port;
    client_init(&lost, &w, &w.loop, "127.0.0.1", "job-a", "job-a");
    WORLD_RUN_UNTIL(&w, lost.closed == 1);
    assert_string_equal(lost.reason, "the connection was not answered in time");
    w.port = port; /* it leads elsewhere now */
    client_release(&lost);
    client_init(&lost, &w, &w.loop, "127.0.0.1", "job-a", "job-a");
    WORLD_RUN_UNTIL(&w, lost.opened == 1 && w.opened == 1);
    client_release(&lost);
    assert_int_equal(close(nowhere.filler), 0);
    assert_int_equal(close(nowhere.listener), 0);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_that_never_answers_is_given_up_soon),
        cmocka_unit_test(test_a_handshake_that_is_not_finished_in_time_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
