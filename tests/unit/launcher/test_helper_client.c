/* The launcher's end of mltrain-helper, with a helper and other pods that are pretended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/helper/pmix_abi.h"
#include "launcher/helper_client.h"

/* Pod 1 of 3, with 2 ranks each: ranks 2 and 3. */
static const struct helper_client_begin layout = {.job = "job",
                                                  .job_uid = "uid",
                                                  .attempt = 4,
                                                  .folder = "/tmp/pmix",
                                                  .node_rank = 1,
                                                  .nodes = 3,
                                                  .nproc = 2,
                                                  .world_size = 6,
                                                  .rank_base = 2};
static const char environments[] = "PMIX_RANK=2\0\0PMIX_RANK=3\0";

static void say(struct helper_client *c, const struct helper_message *m)
{
    int size = helper_message_size(m);
    size_t room;
    unsigned char *to = helper_client_space(c, &room);
    assert_true(size > 0 && (size_t)size <= room);
    helper_message_write(m, to);
    helper_client_received(c, (size_t)size);
}

static struct helper_client_output expect(struct helper_client *c,
                                          enum helper_client_output_kind kind)
{
    struct helper_client_output output;
    if (!helper_client_next(c, &output))
        fail_msg("nothing came out");
    assert_int_equal(output.kind, kind);
    return output;
}

static void expect_nothing(struct helper_client *c)
{
    struct helper_client_output output;
    assert_false(helper_client_next(c, &output));
}

/* What the helper gets; valid until the next call. */
static struct helper_message expect_sent(struct helper_client *c, enum helper_kind kind)
{
    static struct helper_reader r;
    struct helper_client_output output = expect(c, HELPER_CLIENT_SEND);
    struct helper_message m;
    size_t room;
    helper_reader_release(&r);
    unsigned char *to = helper_reader_space(&r, &room);
    assert_true(output.length <= room);
    memcpy(to, output.data, output.length);
    r.length = output.length;
    assert_int_equal(helper_reader_next(&r, &m), 1);
    assert_int_equal(m.kind, kind);
    return m;
}

static struct helper_client *begun(void)
{
    struct helper_client *c = helper_client_new();
    helper_client_begin(c, &layout);
    struct helper_message m = expect_sent(c, HELPER_BEGIN);
    assert_true(m.id == HELPER_VERSION && m.rank == 1);
    assert_string_equal(m.name, "job.uid.4");
    assert_string_equal(m.words, "/tmp/pmix");
    assert_int_equal(m.list_count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(helper_list_at(m.list, i), 2);
    assert_true(expect(c, HELPER_CLIENT_TIMER).delay_ms == HELPER_CLIENT_START_MS);
    return c;
}

static struct helper_client *serving(void)
{
    struct helper_client *c = begun();
    assert_null(helper_client_environment(c, 0));
    say(c, &(struct helper_message){.kind = HELPER_READY,
                                    .name = "OpenPMIx 9",
                                    .data = environments,
                                    .data_length = sizeof environments});
    assert_true(expect(c, HELPER_CLIENT_TIMER).delay_ms < 0);
    assert_string_equal(expect(c, HELPER_CLIENT_READY).words, "OpenPMIx 9");
    return c;
}

static void test_ranks_get_the_environment_that_the_helper_gives(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    assert_string_equal(helper_client_environment(c, 0), "PMIX_RANK=2");
    assert_string_equal(helper_client_environment(c, 1), "PMIX_RANK=3");
    assert_null(helper_client_environment(c, 2));
    helper_client_end(c);
    assert_null(helper_client_environment(c, 0));
    helper_client_free(c);
}

static void test_a_fence_of_all_is_gathered_and_joined_in_order(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    for (uint64_t id = 7; id <= 8; id++) { /* a second one takes the same name */
        say(c, &(struct helper_message){.kind = HELPER_FENCE,
                                        .id = id,
                                        .flags = HELPER_COLLECT,
                                        .data = "mine",
                                        .data_length = 4});
        struct helper_client_output gather = expect(c, HELPER_CLIENT_GATHER);
        assert_string_equal(gather.name, "fence");
        assert_null(gather.members);
        assert_int_equal(gather.length, 4);
        assert_memory_equal(gather.data, "mine", 4);
        const struct exchange_entry entries[] = {
            {.node_rank = 0, .data = (const unsigned char *)"first", .length = 5},
            {.node_rank = 1, .data = (const unsigned char *)"mine", .length = 4},
            {.node_rank = 2, .data = NULL, .length = 70000}, /* stays with its member */
        };
        helper_client_exchanged(c, &(struct exchange_output){.kind = EXCHANGE_DO_DONE,
                                                             .tag = gather.tag,
                                                             .outcome = EXCHANGE_OK,
                                                             .entries = entries,
                                                             .entries_count = 3});
        struct helper_message m = expect_sent(c, HELPER_FENCED);
        assert_true(m.id == id && m.status == PMIX_ABI_SUCCESS);
        assert_int_equal(m.data_length, 9);
        assert_memory_equal(m.data, "firstmine", 9);
    }
    expect_nothing(c);
    helper_client_free(c);
}

static void test_too_much_data_is_still_a_barrier_and_told_once(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    for (int i = 0; i < 2; i++) {
        say(c, &(struct helper_message){.kind = HELPER_FENCE, .id = 1});
        struct helper_client_output gather = expect(c, HELPER_CLIENT_GATHER);
        helper_client_exchanged(c, &(struct exchange_output){.kind = EXCHANGE_DO_DONE,
                                                             .tag = gather.tag,
                                                             .outcome = EXCHANGE_TOO_LARGE,
                                                             .words = "too large"});
        if (i == 0)
            assert_non_null(strstr(expect(c, HELPER_CLIENT_LOG).words, "too large"));
        struct helper_message m = expect_sent(c, HELPER_FENCED);
        assert_true(m.status == PMIX_ABI_SUCCESS && m.data_length == 0);
    }
    expect_nothing(c);
    helper_client_free(c);
}

static void set_list(unsigned char *list, const uint32_t *ranks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        helper_list_set(list, i, ranks[i]);
}

static void test_a_fence_of_some_ranks_is_one_of_their_pods(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    unsigned char list[12];
    set_list(list, (const uint32_t[]){1, 2, 3}, 3);
    say(c, &(struct helper_message){.kind = HELPER_FENCE, .id = 1, .list = list, .list_count = 3});
    struct helper_client_output first = expect(c, HELPER_CLIENT_GATHER);
    assert_int_equal(first.members_count, 2);
    assert_true(first.members[0] == 0 && first.members[1] == 1);
    assert_true(strncmp(first.name, "fence-", 6) == 0);
    set_list(list, (const uint32_t[]){3, 4}, 2);
    say(c, &(struct helper_message){.kind = HELPER_FENCE, .id = 2, .list = list, .list_count = 2});
    struct helper_client_output second = expect(c, HELPER_CLIENT_GATHER);
    assert_true(second.members[0] == 1 && second.members[1] == 2);
    assert_string_not_equal(second.name, first.name);
    assert_true(second.tag != first.tag);
    helper_client_free(c);
}

static void test_a_fence_within_the_pod_asks_nobody(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    unsigned char list[8];
    set_list(list, (const uint32_t[]){2, 3}, 2);
    say(c, &(struct helper_message){.kind = HELPER_FENCE,
                                    .id = 1,
                                    .list = list,
                                    .list_count = 2,
                                    .data = "here",
                                    .data_length = 4});
    struct helper_message m = expect_sent(c, HELPER_FENCED);
    assert_true(m.status == PMIX_ABI_SUCCESS && m.data_length == 4);
    expect_nothing(c);
    helper_client_free(c);
}

static void test_a_fence_of_ranks_that_are_not_ours_fails(void **state)
{
    (void)state;
    static const uint32_t lists[][2] = {{0, 1}, {2, 6}, {3, 2}, {2, 2}};
    struct helper_client *c = serving();
    unsigned char list[8];
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        set_list(list, lists[i], 2);
        say(c,
            &(struct helper_message){.kind = HELPER_FENCE, .id = 1, .list = list, .list_count = 2});
        (void)expect(c, HELPER_CLIENT_LOG);
        assert_int_equal(expect_sent(c, HELPER_FENCED).status, PMIX_ABI_ERROR);
    }
    helper_client_free(c);
}

static void test_a_fence_that_fails_is_told_in_words(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    say(c, &(struct helper_message){.kind = HELPER_FENCE, .id = 1});
    struct helper_client_output gather = expect(c, HELPER_CLIENT_GATHER);
    helper_client_exchanged(c, &(struct exchange_output){.kind = EXCHANGE_DO_DONE,
                                                         .tag = gather.tag,
                                                         .outcome = EXCHANGE_TIMED_OUT,
                                                         .words = "pod 2 has not come"});
    assert_non_null(strstr(expect(c, HELPER_CLIENT_LOG).words, "pod 2 has not come"));
    assert_int_equal(expect_sent(c, HELPER_FENCED).status, PMIX_ABI_ERR_TIMEOUT);
    /* One that could not even begin. */
    say(c, &(struct helper_message){.kind = HELPER_FENCE, .id = 2});
    gather = expect(c, HELPER_CLIENT_GATHER);
    helper_client_not_begun(c, gather.tag, "an earlier release");
    assert_non_null(strstr(expect(c, HELPER_CLIENT_LOG).words, "an earlier release"));
    assert_int_equal(expect_sent(c, HELPER_FENCED).status, PMIX_ABI_ERROR);
    /* The end of the attempt needs no words: the ranks end anyway. */
    say(c, &(struct helper_message){.kind = HELPER_FENCE, .id = 3});
    gather = expect(c, HELPER_CLIENT_GATHER);
    helper_client_exchanged(c, &(struct exchange_output){.kind = EXCHANGE_DO_DONE,
                                                         .tag = gather.tag,
                                                         .outcome = EXCHANGE_ENDED});
    expect_nothing(c);
    helper_client_free(c);
}

static void test_what_a_rank_elsewhere_has_published_is_fetched_there(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    say(c, &(struct helper_message){.kind = HELPER_FETCH, .id = 5, .rank = 4});
    struct helper_client_output fetch = expect(c, HELPER_CLIENT_FETCH);
    assert_int_equal(fetch.node_rank, 2);
    assert_string_equal(fetch.name, "modex/4");
    helper_client_exchanged(c, &(struct exchange_output){.kind = EXCHANGE_DO_DONE,
                                                         .tag = fetch.tag,
                                                         .outcome = EXCHANGE_OK,
                                                         .data = (const unsigned char *)"blob",
                                                         .length = 4});
    struct helper_message m = expect_sent(c, HELPER_FETCHED);
    assert_true(m.id == 5 && m.status == PMIX_ABI_SUCCESS && m.data_length == 4);
    /* No such rank, and one of this pod, whom the helper knows itself. */
    for (uint32_t rank = 3; rank <= 6; rank += 3) {
        say(c, &(struct helper_message){.kind = HELPER_FETCH, .id = 6, .rank = rank});
        assert_int_equal(expect_sent(c, HELPER_FETCHED).status, PMIX_ABI_ERR_NOT_FOUND);
    }
    helper_client_free(c);
}

static struct exchange_output asks(uint64_t question, const char *name)
{
    return (struct exchange_output){
        .kind = EXCHANGE_DO_QUESTION, .question = question, .name = name};
}

static void test_other_pods_get_what_ranks_here_have_published(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    struct exchange_output one = asks(70, "modex/2"), two = asks(71, "modex/3");
    helper_client_exchanged(c, &one);
    uint64_t first = expect_sent(c, HELPER_LOOK_UP).id;
    helper_client_exchanged(c, &two);
    struct helper_message m = expect_sent(c, HELPER_LOOK_UP);
    assert_true(m.id != first && m.rank == 3);
    say(c, &(struct helper_message){
               .kind = HELPER_LOOKED_UP, .id = m.id, .data = "blob", .data_length = 4});
    struct helper_client_output answer = expect(c, HELPER_CLIENT_ANSWER);
    assert_true(answer.tag == 71 && answer.outcome == EXCHANGE_OK && answer.length == 4);
    say(c, &(struct helper_message){.kind = HELPER_LOOKED_UP, .id = first, .status = -46});
    answer = expect(c, HELPER_CLIENT_ANSWER);
    assert_true(answer.tag == 70 && answer.outcome == EXCHANGE_NOT_FOUND);
    say(c, &(struct helper_message){.kind = HELPER_LOOKED_UP, .id = first}); /* once more */
    expect_nothing(c);
    static const char *const names[] = {"modex/1", "modex/4", "modex/", "modex/2x", "other"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct exchange_output other = asks(80, names[i]);
        helper_client_exchanged(c, &other);
        assert_int_equal(expect(c, HELPER_CLIENT_ANSWER).outcome, EXCHANGE_NOT_FOUND);
    }
    helper_client_free(c);
}

static void test_a_group_gets_the_number_of_its_first_pod(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    unsigned char list[8];
    set_list(list, (const uint32_t[]){0, 2}, 2);
    say(c, &(struct helper_message){.kind = HELPER_GROUP,
                                    .id = 1,
                                    .flags = HELPER_CONTEXT,
                                    .name = "g",
                                    .list = list,
                                    .list_count = 2,
                                    .data = "mine",
                                    .data_length = 4});
    struct helper_client_output gather = expect(c, HELPER_CLIENT_GATHER);
    assert_int_equal(gather.length, 12);
    const struct exchange_entry entries[] = {
        {.node_rank = 0, .data = (const unsigned char *)"\5\0\0\0\1\0\0\0first", .length = 13},
        {.node_rank = 1, .data = gather.data, .length = 12},
    };
    helper_client_exchanged(c, &(struct exchange_output){.kind = EXCHANGE_DO_DONE,
                                                         .tag = gather.tag,
                                                         .outcome = EXCHANGE_OK,
                                                         .entries = entries,
                                                         .entries_count = 2});
    struct helper_message m = expect_sent(c, HELPER_GROUPED);
    assert_true(m.context == UINT64_C(0x100000005));
    assert_int_equal(m.data_length, 9);
    assert_memory_equal(m.data, "firstmine", 9);
    helper_client_free(c);
}

static void test_ranks_are_told_by_their_local_number(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    say(c, &(struct helper_message){.kind = HELPER_CONNECTED, .rank = 3});
    assert_int_equal(expect(c, HELPER_CLIENT_CONNECTED).rank, 1);
    say(c, &(struct helper_message){.kind = HELPER_FINALIZED, .rank = 2});
    assert_int_equal(expect(c, HELPER_CLIENT_FINALIZED).rank, 0);
    say(c, &(struct helper_message){.kind = HELPER_ABORT, .rank = 3, .status = 7, .words = "why"});
    struct helper_client_output abort = expect(c, HELPER_CLIENT_ABORTED);
    assert_true(abort.rank == 1 && abort.code == 7);
    assert_string_equal(abort.words, "why");
    say(c, &(struct helper_message){.kind = HELPER_CONNECTED, .rank = 4}); /* of another pod */
    expect_nothing(c);
    helper_client_free(c);
}

/* How an attempt without a helper ends; `final`: it would end so everywhere. */
static void expect_failure(struct helper_client *c, bool final, const char *words)
{
    struct helper_client_output output;
    do {
        if (!helper_client_next(c, &output))
            fail_msg("no failure");
    } while (output.kind == HELPER_CLIENT_TIMER);
    assert_int_equal(output.kind, HELPER_CLIENT_FAILED);
    assert_int_equal(output.final, final);
    if (!strstr(output.words, words))
        fail_msg("no \"%s\" in \"%s\"", words, output.words);
    expect_nothing(c);
    helper_client_free(c);
}

static void test_a_refusal_is_told_with_the_helpers_words(void **state)
{
    (void)state;
    struct helper_client *c = begun();
    say(c, &(struct helper_message){
               .kind = HELPER_REFUSED, .status = HELPER_NO_LIBRARY, .words = "no libpmix.so.2"});
    helper_client_closed(c, "exit code 1", false); /* which is no second failure */
    expect_failure(c, true, "no libpmix.so.2");
}

static void test_a_helper_that_says_nothing_is_given_up(void **state)
{
    (void)state;
    struct helper_client *c = begun();
    helper_client_timer(c);
    expect_failure(c, false, "30 s");
    c = serving();
    helper_client_timer(c); /* ran late: it serves already */
    expect_nothing(c);
    helper_client_free(c);
}

static void test_a_helper_that_dies_is_a_failure_in_words(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    say(c, &(struct helper_message){.kind = HELPER_FENCE, .id = 1});
    struct helper_client_output gather = expect(c, HELPER_CLIENT_GATHER);
    helper_client_closed(c, "killed by signal 11", true);
    helper_client_exchanged(c, &(struct exchange_output){.kind = EXCHANGE_DO_DONE,
                                                         .tag = gather.tag,
                                                         .outcome = EXCHANGE_OK}); /* too late */
    expect_failure(c, false, "has ended: killed by signal 11");
    c = begun();
    helper_client_closed(c, "no glibc", true);
    expect_failure(c, true, "could not be started: no glibc");
    c = serving();
    helper_client_end(c);
    helper_client_closed(c, "killed by signal 9", false); /* as is to be expected */
    assert_true(expect(c, HELPER_CLIENT_TIMER).delay_ms < 0);
    expect_nothing(c);
    helper_client_free(c);
}

static void test_a_helper_that_talks_nonsense_is_given_up(void **state)
{
    (void)state;
    const struct helper_message wrong[] = {
        {.kind = HELPER_BEGIN, .list = (const unsigned char *)"", .list_count = 0},
        {.kind = HELPER_FENCED},
        {.kind = HELPER_READY, .data = environments, .data_length = sizeof environments},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct helper_client *c = serving();
        say(c, &wrong[i]);
        expect_failure(c, false, "no helper says");
    }
    struct helper_client *c = begun();
    say(c, &(struct helper_message){.kind = HELPER_READY, .data = "A=1", .data_length = 4});
    expect_failure(c, false, "no environment");
    c = begun();
    say(c, &(struct helper_message){.kind = HELPER_CONNECTED, .rank = 2});
    expect_failure(c, false, "before it was ready");
    c = serving();
    size_t room;
    memset(helper_client_space(c, &room), 255, 8);
    helper_client_received(c, 8);
    expect_failure(c, false, "no helper says");
}

static void test_pods_of_different_sizes_are_refused(void **state)
{
    (void)state;
    struct helper_client_begin uneven = layout;
    uneven.world_size = 7;
    struct helper_client *c = helper_client_new();
    helper_client_begin(c, &uneven);
    expect_failure(c, true, "same number of ranks");
}

static void test_the_next_attempt_begins_anew(void **state)
{
    (void)state;
    struct helper_client *c = serving();
    struct helper_client_begin next = layout;
    next.attempt = 5;
    say(c, &(struct helper_message){.kind = HELPER_FENCE, .id = 1});
    struct helper_client_output gather = expect(c, HELPER_CLIENT_GATHER);
    helper_client_end(c);
    (void)expect(c, HELPER_CLIENT_TIMER);
    helper_client_begin(c, &next);
    assert_string_equal(expect_sent(c, HELPER_BEGIN).name, "job.uid.5");
    (void)expect(c, HELPER_CLIENT_TIMER);
    helper_client_exchanged(c, &(struct exchange_output){.kind = EXCHANGE_DO_DONE,
                                                         .tag = gather.tag,
                                                         .outcome = EXCHANGE_OK});
    expect_nothing(c);
    helper_client_free(c);
}

static void test_a_prepared_helper_takes_the_place_it_was_prepared_for(void **state)
{
    (void)state;
    struct helper_client *c = helper_client_new();
    assert_false(helper_client_prepared(c, 0));
    helper_client_prepare(c, 1, "/tmp/pmix");
    struct helper_message m = expect_sent(c, HELPER_PREPARE);
    assert_true(m.id == HELPER_VERSION && m.rank == 1);
    assert_string_equal(m.words, "/tmp/pmix");
    expect_nothing(c); /* no time limit: START may be days away */
    assert_true(helper_client_prepared(c, 1));
    assert_false(helper_client_prepared(c, 0));
    helper_client_begin(c, &layout);
    (void)expect_sent(c, HELPER_BEGIN);
    assert_false(helper_client_prepared(c, 1));
    helper_client_free(c);
}

static void test_a_prepared_helper_that_fails_is_forgotten_without_a_word(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct helper_client *c = helper_client_new();
        helper_client_prepare(c, 1, "/tmp/pmix");
        (void)expect_sent(c, HELPER_PREPARE);
        if (how == 0)
            say(c, &(struct helper_message){.kind = HELPER_REFUSED, .words = "no library"});
        else if (how == 1)
            helper_client_closed(c, "exit code 1", false);
        else
            helper_client_end(c);
        if (how == 2)
            (void)expect(c, HELPER_CLIENT_TIMER);
        expect_nothing(c);
        assert_false(helper_client_prepared(c, 1));
        helper_client_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_get_the_environment_that_the_helper_gives),
        cmocka_unit_test(test_a_prepared_helper_takes_the_place_it_was_prepared_for),
        cmocka_unit_test(test_a_prepared_helper_that_fails_is_forgotten_without_a_word),
        cmocka_unit_test(test_a_fence_of_all_is_gathered_and_joined_in_order),
        cmocka_unit_test(test_too_much_data_is_still_a_barrier_and_told_once),
        cmocka_unit_test(test_a_fence_of_some_ranks_is_one_of_their_pods),
        cmocka_unit_test(test_a_fence_within_the_pod_asks_nobody),
        cmocka_unit_test(test_a_fence_of_ranks_that_are_not_ours_fails),
        cmocka_unit_test(test_a_fence_that_fails_is_told_in_words),
        cmocka_unit_test(test_what_a_rank_elsewhere_has_published_is_fetched_there),
        cmocka_unit_test(test_other_pods_get_what_ranks_here_have_published),
        cmocka_unit_test(test_a_group_gets_the_number_of_its_first_pod),
        cmocka_unit_test(test_ranks_are_told_by_their_local_number),
        cmocka_unit_test(test_a_refusal_is_told_with_the_helpers_words),
        cmocka_unit_test(test_a_helper_that_says_nothing_is_given_up),
        cmocka_unit_test(test_a_helper_that_dies_is_a_failure_in_words),
        cmocka_unit_test(test_a_helper_that_talks_nonsense_is_given_up),
        cmocka_unit_test(test_pods_of_different_sizes_are_refused),
        cmocka_unit_test(test_the_next_attempt_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
