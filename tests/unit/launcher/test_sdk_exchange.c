/* Gathers and values of the ranks of one pod, with a pretended exchange. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "launcher/sdk_exchange.h"
#include "lib/base/cleanup.h"

#define RANKS 3
#define BASE 10 /* of the ranks' numbers in the world */

/* What the module has called last, and how it is answered. */
static struct {
    char log[4096]; /* of the answers, "CONNECTION LINE" each */
    char call[8], name[SDK_NAME_MAX + 1];
    unsigned calls;
    uint64_t tag, cancelled;
    unsigned char data[RENDEZVOUS_CONTRIBUTION_MAX];
    size_t length;
    int64_t time_ms, timer_ms;
    int result;
} world;

static struct sdk_exchange *x;

static int called(const char *call, uint64_t tag, const char *name, const void *data, size_t length,
                  int64_t time_ms, struct mlt_error *err)
{
    (void)snprintf(world.call, sizeof world.call, "%s", call);
    (void)snprintf(world.name, sizeof world.name, "%s", name);
    assert_true(length <= sizeof world.data);
    if (length > 0)
        memcpy(world.data, data, length);
    world.calls++;
    world.tag = tag;
    world.length = length;
    world.time_ms = time_ms;
    return world.result < 0 ? mlt_fail(err, -world.result, "not now") : 0;
}

static int gather(void *arg, uint64_t tag, const char *name, const void *data, size_t length,
                  int64_t time_ms, struct mlt_error *err)
{
    (void)arg;
    return called("gather", tag, name, data, length, time_ms, err);
}

static int put(void *arg, uint64_t tag, const char *name, const void *data, size_t length,
               struct mlt_error *err)
{
    (void)arg;
    return called("put", tag, name, data, length, 0, err);
}

static int get(void *arg, uint64_t tag, const char *name, int64_t time_ms, struct mlt_error *err)
{
    (void)arg;
    return called("get", tag, name, NULL, 0, time_ms, err);
}

static void cancel(void *arg, uint64_t tag)
{
    (void)arg;
    world.cancelled = tag;
}

static void answer(void *arg, uint64_t connection, const char *line, struct sdk_bytes *body)
{
    (void)arg;
    size_t at = strlen(world.log);
    assert_true(strlen(line) < SDK_ANSWER_MAX);
    assert_int_equal(strchr(line, '\n') - line, strlen(line) - 1);
    at += (size_t)snprintf(world.log + at, sizeof world.log - at, "%llu %s",
                           (unsigned long long)connection, line);
    for (size_t i = 0; body && i < body->length; i++)
        at += (size_t)snprintf(world.log + at, sizeof world.log - at, "%02x", body->data[i]);
    if (body && body->length)
        (void)snprintf(world.log + at, sizeof world.log - at, "\n");
}

static void timer(void *arg, int64_t delay_ms)
{
    (void)arg;
    world.timer_ms = delay_ms;
}

static int begin(void **state)
{
    static const struct sdk_exchange_ops ops = {.gather = gather,
                                                .put = put,
                                                .get = get,
                                                .cancel = cancel,
                                                .answer = answer,
                                                .timer = timer};
    (void)state;
    memset(&world, 0, sizeof world);
    x = sdk_exchange_new(&ops, NULL);
    assert_non_null(x);
    sdk_exchange_begin(x, RANKS, BASE);
    return 0;
}

static int end(void **state)
{
    (void)state;
    sdk_exchange_free(x);
    sdk_exchange_free(NULL);
    return 0;
}

/* A rank comes to a gather; the connection is 100 times the moment plus the rank. */
static void come(uint32_t rank, const char *name, const char *data, int64_t now_ms)
{
    const struct sdk_message m = {.kind = SDK_GATHER,
                                  .name = name,
                                  .time_ms = 1000,
                                  .data = (const unsigned char *)data,
                                  .length = strlen(data)};
    sdk_exchange_ask(x, (uint64_t)now_ms * 100 + rank, rank, &m, now_ms);
}

static void logged(const char *text)
{
    assert_string_equal(world.log, text);
    world.log[0] = '\0';
}

/* The gather that was begun last ends, with these blobs of two pods. */
static void gathered(enum exchange_outcome outcome, const char *first, size_t first_length,
                     const char *second, size_t second_length)
{
    const struct exchange_entry entries[] = {
        {.data = (const unsigned char *)first, .length = (uint32_t)first_length},
        {.node_rank = 1, .data = (const unsigned char *)second, .length = (uint32_t)second_length}};
    const struct exchange_output output = {.kind = EXCHANGE_DO_DONE,
                                           .user = EXCHANGE_USER_SDK,
                                           .tag = world.tag,
                                           .outcome = outcome,
                                           .words = outcome == EXCHANGE_OK ? "" : "pod 1 is away",
                                           .entries = entries,
                                           .entries_count = (first_length > 0 ? 1u : 0) +
                                                            (second_length > 0 ? 1u : 0),
                                           .sequence = 5};
    sdk_exchange_done(x, &output, 50);
}

static void test_the_pod_takes_part_when_its_last_rank_has_come(void **state)
{
    (void)state;
    come(2, "g", "yy", 1);
    come(0, "g", "x", 2);
    assert_int_equal(world.calls, 0);
    assert_int_equal(world.timer_ms, 999); /* of the first that came */
    come(1, "g", "", 3);
    assert_string_equal(world.call, "gather");
    assert_string_equal(world.name, "g");
    assert_int_equal(world.time_ms, 998);
    assert_int_equal(world.length, 1 + 7 + 8);
    assert_memory_equal(world.data, "\0\0\0\0\x0a\0\1x\0\0\0\x0c\0\2yy", 16);
    assert_int_equal(world.timer_ms, -1);
    logged("");
    gathered(EXCHANGE_OK, "\0\0\0\0\x0a\0\1x", 8, "\0\0\0\0\x0d\0\1z", 8);
    logged("200 data 5 14\n0000000a0001780000000d00017a\n"
           "301 data 5 14\n0000000a0001780000000d00017a\n"
           "102 data 5 14\n0000000a0001780000000d00017a\n");
}

static void test_a_barrier_gives_and_gets_nothing(void **state)
{
    (void)state;
    for (int64_t round = 0; round < 3; round++) {
        for (uint32_t rank = 0; rank < RANKS; rank++)
            come(rank, "b", "", 1);
        assert_int_equal(world.calls, round + 1);
        assert_int_equal(world.length, 0);
        gathered(EXCHANGE_OK, "", 0, "", 0);
        logged("100 data 5 0\n101 data 5 0\n102 data 5 0\n");
    }
}

static void test_a_missing_rank_is_named_to_all_ranks_of_the_job(void **state)
{
    (void)state;
    come(1, "g", "x", 1);
    sdk_exchange_timer(x, 1000);
    assert_int_equal(world.calls, 0);
    assert_int_equal(world.timer_ms, 1);
    sdk_exchange_timer(x, 1001);
    assert_int_equal(world.calls, 1);
    assert_int_equal(world.time_ms, SDK_EXCHANGE_LAST_MS);
    assert_int_equal(world.data[0], 1);
    assert_int_equal(world.data[1] << 8 | world.data[2], ETIMEDOUT);
    world.data[world.length] = '\0';
    assert_string_equal((char *)world.data + 3, "these ranks have not come: 10 12");
    come(0, "g", "late", 11); /* while the others are told */
    char blob[200];
    size_t length = world.length;
    memcpy(blob, world.data, length);
    gathered(EXCHANGE_OK, blob, length, "", 0);
    logged("1100 failed 110 these ranks have not come: 10 12\n"
           "101 failed 110 these ranks have not come: 10 12\n");
    /* Who comes later hears it, and is with the others the next time. */
    come(2, "g", "", 12);
    logged("1202 failed 110 this rank came when the time was over for those before it\n");
    for (uint32_t rank = 0; rank < RANKS; rank++)
        come(rank, "g", "", 13);
    assert_int_equal(world.calls, 2);
    assert_int_equal(world.length, 0);
}

static void test_ranks_of_mpirun_have_the_numbers_that_they_say(void **state)
{
    (void)state;
    sdk_exchange_begin_unnumbered(x, RANKS);
    assert_true(sdk_exchange_number(x, 0, 1));
    assert_true(sdk_exchange_number(x, 2, 7));
    assert_true(sdk_exchange_number(x, 2, 7));
    assert_false(sdk_exchange_number(x, 2, 8));
    come(2, "g", "yy", 1);
    come(0, "g", "x", 2);
    sdk_exchange_timer(x, 1001);
    world.data[world.length] = '\0';
    assert_string_equal((char *)world.data + 3, "these ranks have not come: local 1");
    gathered(EXCHANGE_TIMED_OUT, "", 0, "", 0);
    world.log[0] = '\0';
    assert_true(sdk_exchange_number(x, 1, 4));
    come(1, "g", "late", 1002); /* its first: that was the one before */
    world.log[0] = '\0';
    for (uint32_t rank = 0; rank < RANKS; rank++)
        come(rank, "g", rank == 1 ? "" : "x", 1100);
    assert_int_equal(world.length, 1 + 7 + 7);
    assert_memory_equal(world.data, "\0\0\0\0\1\0\1x\0\0\0\7\0\1x", 15);
    /* mpirun has dealt them out in turn: the answer is by number. */
    gathered(EXCHANGE_OK, "\0\0\0\0\1\0\1x\0\0\0\7\0\1x", 15, "\0\0\0\0\2\0\2yz", 9);
    logged("110000 data 5 22\n00000001000178000000020002797a00000007000178\n"
           "110001 data 5 22\n00000001000178000000020002797a00000007000178\n"
           "110002 data 5 22\n00000001000178000000020002797a00000007000178\n");
    for (uint32_t rank = 0; rank < RANKS; rank++)
        come(rank, "g", "x", 1200);
    gathered(EXCHANGE_OK, "\0\0\0\0\1\0\1x\0\0\0\7\0\1x", 15, "\0\0\0\0\7\0\1z", 8);
    logged("120000 failed 71 two ranks have one number, or there is no memory\n"
           "120001 failed 71 two ranks have one number, or there is no memory\n"
           "120002 failed 71 two ranks have one number, or there is no memory\n");
}

static const char ended_11[] = "\1\0\x67these ranks have ended, and come to nothing more: 11";

/* What the pod says of itself to the others. */
static void said_to_others(unsigned calls, const char *blob, size_t length)
{
    assert_int_equal(world.calls, calls);
    assert_int_equal(world.length, length);
    assert_memory_equal(world.data, blob, length);
    assert_int_equal(world.time_ms, EXCHANGE_TIME_MS_MAX); /* nobody here waits for it */
}

static void test_who_waits_for_a_rank_that_ends_is_told_at_once(void **state)
{
    (void)state;
    come(0, "g", "x", 1);
    come(0, "other", "x", 1);
    sdk_exchange_rank_ended(x, 1, 2);
    logged("100 failed 103 these ranks have ended, and come to nothing more: 11\n"
           "100 failed 103 these ranks have ended, and come to nothing more: 11\n");
    said_to_others(2, ended_11, sizeof ended_11 - 1);
    assert_int_equal(world.timer_ms, -1);
    come(2, "g", "late", 3); /* that round is over for the pod */
    logged("302 failed 103 these ranks have ended, and come to nothing more: 11\n");
    assert_int_equal(world.calls, 2);
    sdk_exchange_rank_ended(x, 1, 4); /* once is enough */
    sdk_exchange_rank_ended(x, RANKS, 4);
    assert_int_equal(world.calls, 2);
}

static void test_what_begins_after_a_rank_has_ended_fails_at_once(void **state)
{
    (void)state;
    sdk_exchange_rank_ended(x, 1, 1);
    assert_int_equal(world.calls, 0); /* nobody waits */
    come(0, "g", "x", 2);
    logged("200 failed 103 these ranks have ended, and come to nothing more: 11\n");
    said_to_others(1, ended_11, sizeof ended_11 - 1);
    come(0, "g", "x", 3);
    come(0, "g", "x", 4); /* while the others have not come to the first */
    logged("300 failed 103 these ranks have ended, and come to nothing more: 11\n"
           "400 failed 103 these ranks have ended, and come to nothing more: 11\n");
    assert_int_equal(world.calls, 1); /* one at a time */
    for (unsigned round = 2; round <= 3; round++) {
        gathered(EXCHANGE_OK, ended_11, sizeof ended_11 - 1, "\0", 1);
        said_to_others(round, ended_11, sizeof ended_11 - 1);
    }
    gathered(EXCHANGE_TIMED_OUT, "", 0, "", 0); /* another's time was over: that one counts, too */
    assert_int_equal(world.calls, 3);
    come(0, "g", "x", 5);
    assert_int_equal(world.calls, 4);
    for (int64_t round = 6; round < 10; round++)
        come(2, "g", "x", round); /* the rank that was slow meets the same four */
    world.log[0] = '\0';
    come(2, "g", "x", 10); /* the fifth, as its first one */
    logged("1002 failed 103 these ranks have ended, and come to nothing more: 11\n");
    come(1, "g", "x", 11); /* a child of the rank */
    logged("1101 failed 125 this rank has ended\n");
}

static void test_who_had_come_before_it_ended_counts(void **state)
{
    (void)state;
    come(1, "g", "x", 1);
    sdk_exchange_gone(x, 101);
    sdk_exchange_rank_ended(x, 1, 2);
    come(0, "g", "", 3);
    assert_int_equal(world.calls, 0);
    come(2, "g", "", 4);
    assert_int_equal(world.calls, 1);
    assert_int_equal(world.length, 8);
    gathered(EXCHANGE_OK, "\0\0\0\0\x0b\0\1x", 8, "", 0);
    logged("300 data 5 7\n0000000b000178\n402 data 5 7\n0000000b000178\n");
    come(0, "g", "", 5);
    logged("500 failed 103 these ranks have ended, and come to nothing more: 11\n");
}

static void test_a_round_that_is_under_way_does_not_fail_when_a_rank_ends(void **state)
{
    (void)state;
    for (uint32_t rank = 0; rank < RANKS; rank++)
        come(rank, "g", "", 1);
    come(0, "slow", "", 1);
    sdk_exchange_timer(x, 1001); /* its time is over, and the others are being told */
    sdk_exchange_rank_ended(x, 1, 1002);
    logged("");
    assert_int_equal(world.calls, 2);
    gathered(EXCHANGE_OK, "\1\0\x6ewords", 8, "", 0);
    logged("100 failed 110 words\n");
    come(2, "slow", "", 1003); /* to the one that timed out */
    logged("100302 failed 110 this rank came when the time was over for those before it\n");
}

static void test_ends_are_forgotten_with_the_attempt(void **state)
{
    (void)state;
    sdk_exchange_rank_ended(x, 1, 1);
    sdk_exchange_begin(x, RANKS, BASE);
    for (uint32_t rank = 0; rank < RANKS; rank++)
        come(rank, "g", "", 2);
    assert_int_equal(world.length, 0);
    gathered(EXCHANGE_OK, "", 0, "", 0);
    logged("200 data 5 0\n201 data 5 0\n202 data 5 0\n");
    /* An exchange that takes nothing harms nobody. */
    sdk_exchange_rank_ended(x, 0, 3);
    world.result = -ECANCELED;
    come(1, "g", "", 4);
    come(1, "g", "", 5);
    logged("401 failed 103 these ranks have ended, and come to nothing more: 10\n"
           "501 failed 103 these ranks have ended, and come to nothing more: 10\n");
}

static void test_of_many_missing_ranks_some_are_named(void **state)
{
    (void)state;
    sdk_exchange_begin(x, 256, 16128);
    come(0, "g", "x", 1);
    sdk_exchange_timer(x, 1001);
    world.data[world.length] = '\0';
    assert_string_equal((char *)world.data + 3,
                        "these ranks have not come: 16129 16130 16131 16132 16133 16134 16135 16136"
                        " and 247 more of their pod");
}

static void test_what_another_pod_says_is_passed_on(void **state)
{
    (void)state;
    for (uint32_t rank = 0; rank < RANKS; rank++)
        come(rank, "g", "", 1);
    gathered(EXCHANGE_OK, "\1\0\x6erank 3\nis away", 17, "", 0);
    logged("100 failed 110 rank 3 is away\n101 failed 110 rank 3 is away\n"
           "102 failed 110 rank 3 is away\n");
    const struct {
        enum exchange_outcome outcome;
        int error;
    } cases[] = {{EXCHANGE_TIMED_OUT, ETIMEDOUT},
                 {EXCHANGE_TOO_LARGE, EMSGSIZE},
                 {EXCHANGE_MEMBER_LOST, ECONNABORTED},
                 {EXCHANGE_ENDED, ECANCELED},
                 {EXCHANGE_OVER, ESTALE},
                 {EXCHANGE_DISAGREE, EPROTO}};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(cases); i++) {
        char expected[200];
        for (uint32_t rank = 0; rank < RANKS; rank++)
            come(rank, "g", "", 1);
        gathered(cases[i].outcome, "", 0, "", 0);
        (void)snprintf(expected, sizeof expected,
                       "100 failed %d pod 1 is away\n101 failed %d pod 1 is away\n"
                       "102 failed %d pod 1 is away\n",
                       cases[i].error, cases[i].error, cases[i].error);
        logged(expected);
    }
}

static void test_blobs_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const blobs[] = {"\2x", "\1", "\1\0"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(blobs); i++) {
        for (uint32_t rank = 0; rank < RANKS; rank++)
            come(rank, "g", "", 1);
        gathered(EXCHANGE_OK, "\0", 1, blobs[i], 1 + (i == 2));
        if (strncmp(world.log, "100 failed 71 pod 1 ", 20) != 0)
            fail_msg("%s", world.log);
        world.log[0] = '\0';
    }
}

static void test_too_much_together_is_told_to_all(void **state)
{
    (void)state;
    static char data[SDK_DATA_MAX + 1];
    memset(data, 'd', sizeof data - 1);
    sdk_exchange_begin(x, 16, 0);
    for (uint32_t rank = 0; rank < 16; rank++)
        come(rank, "g", data, 1);
    assert_int_equal(world.calls, 1);
    assert_int_equal(world.data[0], 1);
    assert_int_equal(world.data[2], EMSGSIZE);
    world.data[world.length] = '\0';
    assert_non_null(strstr((char *)world.data + 3, "ranks 0 to 15"));
}

static void test_an_exchange_that_says_no_ends_the_round(void **state)
{
    (void)state;
    world.result = -EOPNOTSUPP;
    for (uint32_t rank = 0; rank < RANKS; rank++)
        come(rank, "g", "", 1);
    logged("100 failed 95 not now\n101 failed 95 not now\n102 failed 95 not now\n");
    const struct sdk_message m = {.kind = SDK_PUT, .name = "v"};
    sdk_exchange_ask(x, 7, 0, &m, 1);
    logged("7 failed 95 not now\n");
}

static void test_a_rank_that_asks_twice_or_goes_does_no_harm(void **state)
{
    (void)state;
    come(0, "g", "x", 1);
    come(0, "g", "y", 2);
    logged("200 failed 16 the last one of this name is not over for this rank\n");
    sdk_exchange_gone(x, 100);
    come(1, "g", "", 3);
    come(2, "g", "", 3);
    assert_int_equal(world.calls, 1); /* what it gave stays given */
    gathered(EXCHANGE_OK, "", 0, "", 0);
    logged("301 data 5 0\n302 data 5 0\n");
    gathered(EXCHANGE_OK, "", 0, "", 0); /* of a round that is over */
    logged("");
    const struct sdk_message m = {.kind = SDK_GATHER, .name = "g", .time_ms = 1};
    sdk_exchange_ask(x, 9, RANKS, &m, 1);
    logged("9 failed 125 no rank runs\n");
}

static void test_values_are_put_and_got(void **state)
{
    (void)state;
    struct sdk_message m = {
        .kind = SDK_PUT, .name = "v", .data = (const unsigned char *)"ab", .length = 2};
    struct exchange_output o = {.kind = EXCHANGE_DO_DONE, .user = EXCHANGE_USER_SDK, .words = ""};
    sdk_exchange_ask(x, 7, 1, &m, 1);
    assert_string_equal(world.call, "put");
    assert_memory_equal(world.data, "ab", 2);
    o.tag = world.tag;
    sdk_exchange_done(x, &o, 1);
    logged("7 done\n");
    m = (struct sdk_message){.kind = SDK_GET, .name = "v", .time_ms = 5};
    sdk_exchange_ask(x, 8, 1, &m, 1);
    assert_string_equal(world.call, "get");
    assert_int_equal(world.time_ms, 5);
    o.tag = world.tag;
    o.data = (const unsigned char *)"ab";
    o.length = 2;
    sdk_exchange_done(x, &o, 1);
    logged("8 data 0 2\n6162\n");
    sdk_exchange_ask(x, 9, 1, &m, 1);
    uint64_t tag = world.tag;
    sdk_exchange_gone(x, 9);
    assert_int_equal(world.cancelled, tag);
    o.outcome = EXCHANGE_TIMED_OUT;
    o.words = "nobody has put it";
    o.tag = world.tag;
    sdk_exchange_done(x, &o, 1);
    logged("9 failed 110 nobody has put it\n"); /* the socket knows that 9 is gone */
}

static void test_names_have_a_maximum_and_are_forgotten_with_the_attempt(void **state)
{
    (void)state;
    char name[32];
    for (unsigned i = 0; i <= SDK_EXCHANGE_NAMES_MAX; i++) {
        (void)snprintf(name, sizeof name, "name-%u", i);
        come(0, name, "x", 1);
    }
    logged("100 failed 28 1024 names of gathers and barriers in one attempt: use one again\n");
    sdk_exchange_begin(x, RANKS, BASE);
    assert_int_equal(world.timer_ms, -1);
    come(0, "more", "x", 1);
    logged("");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_the_pod_takes_part_when_its_last_rank_has_come),
        TEST(test_a_barrier_gives_and_gets_nothing),
        TEST(test_a_missing_rank_is_named_to_all_ranks_of_the_job),
        TEST(test_ranks_of_mpirun_have_the_numbers_that_they_say),
        TEST(test_who_waits_for_a_rank_that_ends_is_told_at_once),
        TEST(test_what_begins_after_a_rank_has_ended_fails_at_once),
        TEST(test_who_had_come_before_it_ended_counts),
        TEST(test_a_round_that_is_under_way_does_not_fail_when_a_rank_ends),
        TEST(test_ends_are_forgotten_with_the_attempt),
        TEST(test_of_many_missing_ranks_some_are_named),
        TEST(test_what_another_pod_says_is_passed_on),
        TEST(test_blobs_that_are_none_are_refused),
        TEST(test_too_much_together_is_told_to_all),
        TEST(test_an_exchange_that_says_no_ends_the_round),
        TEST(test_a_rank_that_asks_twice_or_goes_does_no_harm),
        TEST(test_values_are_put_and_got),
        TEST(test_names_have_a_maximum_and_are_forgotten_with_the_attempt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
