/* The channel over real sockets: a handshake that is never finished. In a program of its own,
 * because it waits for CHANNEL_HANDSHAKE_MS. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_handshake_that_is_not_finished_in_time_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
