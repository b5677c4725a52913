/* The launcher's rules: what is obeyed, ignored, refused, and when to connect again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "rendezvous/member.h"

static struct rendezvous_message start_of(uint64_t attempt, uint64_t lease, uint16_t port)
{
    return (struct rendezvous_message){
        .type = RENDEZVOUS_START,
        .attempt = attempt,
        .start = {.lease_transitions = lease, .nodes = 1, .world_size = 1, .master_port = port}};
}

static const struct {
    const char *sentence;
    enum rendezvous_type type;
    uint64_t attempt, lease;
    uint16_t port;
    enum member_decision decision;
} rows[] = {
    /* A member that is ready for 3 and has seen lease 5; each row goes on from the one before. */
    {"a WELCOME of an older leader is refused", RENDEZVOUS_WELCOME, 0, 4, 0, MEMBER_REFUSE},
    {"a WELCOME of the same leader is obeyed", RENDEZVOUS_WELCOME, 0, 5, 0, MEMBER_OBEY},
    {"a STOP before any START is refused", RENDEZVOUS_STOP, 3, 0, 0, MEMBER_REFUSE},
    {"a START of an older leader is refused", RENDEZVOUS_START, 3, 4, 10, MEMBER_REFUSE},
    {"a START for an attempt before READY's is refused", RENDEZVOUS_START, 2, 5, 10, MEMBER_REFUSE},
    {"a START for READY's attempt is obeyed", RENDEZVOUS_START, 3, 5, 10, MEMBER_OBEY},
    {"its repetition is ignored", RENDEZVOUS_START, 3, 5, 10, MEMBER_IGNORE},
    {"its repetition by a newer leader is ignored, too", RENDEZVOUS_START, 3, 6, 10, MEMBER_IGNORE},
    {"and makes the former leader's refused", RENDEZVOUS_START, 3, 5, 10, MEMBER_REFUSE},
    {"a different START for the same attempt is refused", RENDEZVOUS_START, 3, 6, 11,
     MEMBER_REFUSE},
    {"a START for the next attempt, without READY in between, is refused", RENDEZVOUS_START, 4, 6,
     10, MEMBER_REFUSE},
    {"a STOP for another attempt is refused", RENDEZVOUS_STOP, 2, 0, 0, MEMBER_REFUSE},
    {"a STOP for this attempt is obeyed", RENDEZVOUS_STOP, 3, 0, 0, MEMBER_OBEY},
    {"a second STOP is obeyed: its grace may be shorter", RENDEZVOUS_STOP, 3, 0, 0, MEMBER_OBEY},
    {"PING is obeyed", RENDEZVOUS_PING, 0, 0, 0, MEMBER_OBEY},
    {"EXIT is obeyed", RENDEZVOUS_EXIT, 0, 0, 0, MEMBER_OBEY},
    {"REFUSED is obeyed", RENDEZVOUS_REFUSED, 0, 0, 0, MEMBER_OBEY},
    {"a launcher's message from a controller is refused", RENDEZVOUS_HELLO, 0, 0, 0, MEMBER_REFUSE},
};

static void test_a_member_obeys_only_what_fits(void **state)
{
    (void)state;
    struct member m;
    member_init(&m, 1);
    m.ready_attempt = 3;
    m.lease_transitions = 5;
    uint64_t refusals = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rendezvous_message message = {.type = rows[i].type, .attempt = rows[i].attempt};
        if (rows[i].type == RENDEZVOUS_START)
            message = start_of(rows[i].attempt, rows[i].lease, rows[i].port);
        else if (rows[i].type == RENDEZVOUS_WELCOME)
            message.welcome.lease_transitions = rows[i].lease;
        const char *why = NULL;
        enum member_decision decision = member_consider(&m, &message, &why);
        if (decision != rows[i].decision)
            fail_msg("%s: decided %d (%s)", rows[i].sentence, decision, why);
        assert_int_equal(decision == MEMBER_OBEY, why[0] == '\0');
        refusals += decision == MEMBER_REFUSE;
        assert_int_equal(m.refusals, refusals);
    }
    assert_int_equal(m.started_attempt, 3);
    assert_int_equal(m.lease_transitions, 6);
    m.ready_attempt = 5;
    struct rendezvous_message later =
        start_of(9, 6, 1); /* an attempt was used up without a START */
    assert_int_equal(member_consider(&m, &later, NULL), MEMBER_OBEY);
    assert_int_equal(m.started_attempt, 9);
}

static void test_delays_grow_to_a_ceiling_and_begin_anew_once_connected(void **state)
{
    (void)state;
    int64_t largest_first = 0, largest = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct member m;
        member_init(&m, seed);
        for (int i = 0; i < 100; i++) {
            int64_t delay = member_reconnect_delay_ms(&m);
            assert_true(delay >= 0 && delay <= MEMBER_RECONNECT_MS_MAX);
            if (i == 0 && delay > largest_first)
                largest_first = delay;
            if (delay > largest)
                largest = delay;
        }
        member_connected(&m);
        assert_true(member_reconnect_delay_ms(&m) <= MEMBER_RECONNECT_MS_MIN);
    }
    assert_true(largest_first <= MEMBER_RECONNECT_MS_MIN &&
                largest_first > MEMBER_RECONNECT_MS_MIN / 2);
    assert_true(largest > MEMBER_RECONNECT_MS_MAX * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_member_obeys_only_what_fits),
        cmocka_unit_test(test_delays_grow_to_a_ceiling_and_begin_anew_once_connected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
