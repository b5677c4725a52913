/* launcher/pmi1.c and pmi1_kvs.c: conversations as MPICH 4.0 has them, and others. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/pmi1.h"
#include "launcher/pmi1_kvs.h"
#include "lib/base/cleanup.h"

#define RANKS_MAX 8

/* One pod. What the server says is noted here. */
struct pod {
    struct pmi1 *p;
    char said[RANKS_MAX][PMI1_ANSWER_MAX];
    char broken[RANKS_MAX][PMI1_WORDS_MAX];
    char aborted[RANKS_MAX][PMI1_LINE_MAX + 16];
    unsigned connected, finalized;
    unsigned barriers;
    char *puts;
    size_t puts_length;
};

static void answer(void *arg, uint32_t rank, const char *bytes, size_t length)
{
    struct pod *pod = arg;
    assert_true(length <= PMI1_ANSWER_MAX && length > 0 && bytes[length - 1] == '\n');
    assert_string_equal(pod->said[rank], ""); /* one answer to one question */
    (void)snprintf(pod->said[rank], sizeof pod->said[rank], "%.*s", (int)length, bytes);
}

static void connected(void *arg, uint32_t rank)
{
    (void)rank;
    ((struct pod *)arg)->connected++;
}

static void finalized(void *arg, uint32_t rank)
{
    (void)rank;
    ((struct pod *)arg)->finalized++;
}

static void aborted(void *arg, uint32_t rank, int32_t code, const char *words)
{
    struct pod *pod = arg;
    (void)snprintf(pod->aborted[rank], sizeof pod->aborted[rank], "%d %s", code, words);
}

static void broken(void *arg, uint32_t rank, const char *words)
{
    struct pod *pod = arg;
    assert_string_equal(pod->broken[rank], "");
    (void)snprintf(pod->broken[rank], sizeof pod->broken[rank], "%s", words);
}

static void barrier(void *arg, const char *bytes, size_t length)
{
    struct pod *pod = arg;
    pod->barriers++;
    free(pod->puts);
    pod->puts = malloc(length + 1);
    assert_non_null(pod->puts);
    memcpy(pod->puts, bytes, length);
    pod->puts_length = length;
}

static void pod_init(struct pod *pod, uint32_t local_ranks, uint32_t nodes, uint32_t node_rank)
{
    static const struct pmi1_ops ops = {.answer = answer,
                                        .connected = connected,
                                        .finalized = finalized,
                                        .aborted = aborted,
                                        .broken = broken,
                                        .barrier = barrier};
    const struct pmi1_config config = {.local_ranks = local_ranks,
                                       .nodes = nodes,
                                       .node_rank = node_rank,
                                       .world_size = local_ranks * nodes,
                                       .rank_base = node_rank * local_ranks,
                                       .name = "uid-7.2"};
    *pod = (struct pod){0};
    pod->p = pmi1_new(&config, &ops, pod);
    assert_non_null(pod->p);
}

static void pod_release(struct pod *pod)
{
    pmi1_free(pod->p);
    free(pod->puts);
}

static void say(struct pod *pod, uint32_t rank, const char *line)
{
    pod->said[rank][0] = '\0';
    pmi1_bytes(pod->p, rank, line, strlen(line));
}

static void expect(struct pod *pod, uint32_t rank, const char *line, const char *expected)
{
    say(pod, rank, line);
    assert_string_equal(pod->said[rank], expected);
    assert_string_equal(pod->broken[rank], "");
}

static void test_each_question_has_its_answer(void **state)
{
    (void)state;
    struct pod pod;
    pod_init(&pod, 2, 3, 1);
    expect(&pod, 0, "cmd=init pmi_version=1 pmi_subversion=1\n",
           "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
    assert_int_equal(pod.connected, 1);
    expect(&pod, 0, "cmd=get_maxes\n",
           "cmd=maxes rc=0 kvsname_max=256 keylen_max=64 vallen_max=1024\n");
    expect(&pod, 0, "cmd=get_appnum\n", "cmd=appnum rc=0 appnum=0\n");
    expect(&pod, 0, "cmd=get_universe_size\n", "cmd=universe_size rc=0 size=6\n");
    expect(&pod, 0, "cmd=get_my_kvsname\n", "cmd=my_kvsname rc=0 kvsname=uid-7.2\n");
    expect(&pod, 0, "cmd=get kvsname=uid-7.2 key=PMI_process_mapping\n",
           "cmd=get_result rc=0 msg=success value=(vector,(0,3,2))\n");
    expect(&pod, 0, "cmd=put kvsname=uid-7.2 key=bc-2 value=a=b#c\n",
           "cmd=put_result rc=0 msg=success\n");
    expect(&pod, 1, "cmd=get key=bc-2\n", "cmd=get_result rc=0 msg=success value=a=b#c\n");
    expect(&pod, 0, "cmd=get kvsname=uid-7.2 key=bc-9\n",
           "cmd=get_result rc=-1 msg=key_not_found value=unknown\n");
    expect(&pod, 0, "cmd=finalize\n", "cmd=finalize_ack rc=0\n");
    assert_int_equal(pod.finalized, 1);
    pod_release(&pod);
}

static void test_who_waits_for_a_rank_that_has_ended_is_broken_with_its_name(void **state)
{
    (void)state;
    static const char words[] = "the barrier of all ranks: rank 7 has ended well: does each rank "
                                "run the same MPI programs?";
    struct pod pod;
    pod_init(&pod, 3, 3, 2);
    say(&pod, 0, "cmd=barrier_in\n");
    say(&pod, 1, "cmd=barrier_in\n"); /* ... and has closed its connection since */
    pmi1_closed(pod.p, 1);
    pmi1_left(pod.p, 1); /* it had come: that counts */
    say(&pod, 2, "cmd=barrier_in\n");
    assert_int_equal(pod.barriers, 1);
    pmi1_barrier_over(pod.p);
    assert_string_equal(pod.said[0], "cmd=barrier_out rc=0\n");
    assert_string_equal(pod.broken[0], "");
    say(&pod, 0, "cmd=barrier_in\n"); /* from now on it is missing */
    assert_string_equal(pod.broken[0], words);
    say(&pod, 2, "cmd=barrier_in\n");
    assert_string_equal(pod.broken[2], words);
    assert_int_equal(pod.barriers, 1);
    pod_release(&pod);
    pod_init(&pod, 3, 3, 2);
    say(&pod, 0, "cmd=barrier_in\n");
    pmi1_left(pod.p, 1); /* while somebody waits */
    assert_string_equal(pod.broken[0], words);
    pmi1_left(pod.p, 2);
    pod_release(&pod);
}

static void test_what_is_not_offered_is_refused_in_the_protocol_s_own_way(void **state)
{
    (void)state;
    struct pod pod;
    pod_init(&pod, 1, 1, 0);
    expect(&pod, 0, "cmd=init pmi_version=2 pmi_subversion=0\n",
           "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=-1\n");
    assert_int_equal(pod.connected, 0);
    expect(&pod, 0, "cmd=publish_name service=a port=b\n",
           "cmd=publish_result rc=-1 msg=not_supported\n");
    expect(&pod, 0, "cmd=lookup_name service=a\n", "cmd=lookup_result rc=-1 msg=not_supported\n");
    expect(&pod, 0, "cmd=unpublish_name service=a\n",
           "cmd=unpublish_result rc=-1 msg=not_supported\n");
    expect(&pod, 0, "cmd=put kvsname=other key=a value=b\n",
           "cmd=put_result rc=-1 msg=kvsname_not_found\n");
    expect(&pod, 0, "cmd=get kvsname=other key=PMI_process_mapping\n",
           "cmd=get_result rc=-1 msg=key_not_found value=unknown\n");
    /* Two programs in one spawn: one answer. */
    expect(&pod, 0,
           "mcmd=spawn\nnprocs=1\nexecname=a\ntotspawns=2\nspawnssofar=1\narg1=cmd=abort\nendcmd\n",
           "");
    expect(&pod, 0, "mcmd=spawn\nnprocs=1\nexecname=b\ntotspawns=2\nspawnssofar=2\nendcmd\n",
           "cmd=spawn_result rc=-1 msg=not_supported\n");
    expect(&pod, 0, "cmd=get_appnum\n", "cmd=appnum rc=0 appnum=0\n");
    pod_release(&pod);
}

static void test_a_barrier_brings_the_puts_of_all_pods(void **state)
{
    (void)state;
    struct pod pods[2];
    for (uint32_t i = 0; i < 2; i++)
        pod_init(&pods[i], 2, 2, i);
    for (int round = 0; round < 3; round++) {
        char line[128], expected[128];
        for (uint32_t i = 0; i < 4; i++) {
            (void)snprintf(line, sizeof line, "cmd=put kvsname=uid-7.2 key=bc-%u value=v%u.%d\n", i,
                           i, round);
            expect(&pods[i / 2], i % 2, line, "cmd=put_result rc=0 msg=success\n");
        }
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(pods[i / 2].barriers, round);
            expect(&pods[i / 2], i % 2, "cmd=barrier_in\n", "");
        }
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(pods[i].barriers, round + 1);
            assert_int_equal(pmi1_gathered(pods[i].p, pods[!i].puts, pods[!i].puts_length, NULL),
                             0);
            pmi1_barrier_over(pods[i].p);
            assert_string_equal(pods[i].said[0], "cmd=barrier_out rc=0\n");
            assert_string_equal(pods[i].said[1], "cmd=barrier_out rc=0\n");
        }
        for (uint32_t i = 0; i < 4; i++) {
            (void)snprintf(line, sizeof line, "cmd=get kvsname=uid-7.2 key=bc-%u\n", 3 - i);
            (void)snprintf(expected, sizeof expected,
                           "cmd=get_result rc=0 msg=success value=v%u.%d\n", 3 - i, round);
            expect(&pods[i / 2], i % 2, line, expected);
        }
    }
    /* Each round told only its own: "bc-0" NUL "v0.0" NUL and the same of its neighbour. */
    assert_int_equal(pods[0].puts_length, 20);
    for (uint32_t i = 0; i < 2; i++)
        pod_release(&pods[i]);
}

static void test_a_barrier_that_fails_breaks_the_connections_that_wait(void **state)
{
    (void)state;
    struct pod pod;
    pod_init(&pod, 2, 2, 0);
    say(&pod, 0, "cmd=barrier_in\n");
    say(&pod, 1, "cmd=barrier_in\n");
    pmi1_barrier_failed(pod.p, "pod 1 is missing");
    for (int i = 0; i < 2; i++) {
        assert_string_equal(pod.said[i], "");
        assert_string_equal(pod.broken[i], "the barrier of all ranks: pod 1 is missing");
    }
    pod_release(&pod);
}

static void test_an_abort_is_told_with_its_code_and_words(void **state)
{
    (void)state;
    struct pod pod;
    pod_init(&pod, 3, 1, 0);
    say(&pod, 0, "cmd=abort exitcode=7\n");
    assert_string_equal(pod.aborted[0], "7 ");
    say(&pod, 1, "cmd=abort exitcode=-3 message=out of paper\n");
    assert_string_equal(pod.aborted[1], "-3 out of paper");
    say(&pod, 2, "cmd=abort exitcode=99999999999999999999\n");
    assert_string_equal(pod.aborted[2], "1 ");
    assert_string_equal(pod.said[0], "");
    pod_release(&pod);
}

static void test_what_is_no_question_ends_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *words;
        size_t length; /* 0: a string */
    } rows[] = {
        {"cmd=fly\n", "this line is none of PMI-1: `cmd=fly`", 0},
        {"\n", "this line is none of PMI-1", 0},
        {"GET / HTTP/1.1\r\n", "none of PMI-1", 0},
        {"cmd=get\0key=a\n", "a NUL byte", 14},
        {"cmd=barrier_in\ncmd=get_maxes\n", "from within the barrier", 0},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct pod pod;
        pod_init(&pod, 2, 1, 0);
        pmi1_bytes(pod.p, 0, rows[i].bytes,
                   rows[i].length ? rows[i].length : strlen(rows[i].bytes));
        assert_non_null(strstr(pod.broken[0], rows[i].words));
        say(&pod, 0, "cmd=get_appnum\n"); /* nothing more is taken */
        assert_string_equal(pod.said[0], "");
        expect(&pod, 1, "cmd=get_appnum\n", "cmd=appnum rc=0 appnum=0\n");
        pod_release(&pod);
    }
}

static void test_everything_has_its_maximum(void **state)
{
    (void)state;
    struct pod pod;
    static char line[PMI1_LINE_MAX + 64];
    char value[PMI1_VALUE_MAX + 2], key[PMI1_KEY_MAX + 2];
    memset(value, 'v', sizeof value);
    memset(key, 'k', sizeof key);
    pod_init(&pod, 2, 1, 0);
    const int sizes[][3] = {{PMI1_KEY_MAX, PMI1_VALUE_MAX, 0},
                            {PMI1_KEY_MAX + 1, 1, -1},
                            {1, PMI1_VALUE_MAX + 1, -1},
                            {0, 1, -1}};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(sizes); i++) {
        (void)snprintf(line, sizeof line, "cmd=put kvsname=uid-7.2 key=%.*s value=%.*s\n",
                       sizes[i][0], key, sizes[i][1], value);
        say(&pod, 0, line);
        assert_non_null(strstr(pod.said[0], sizes[i][2] ? "rc=-1" : "rc=0"));
    }
    (void)snprintf(line, sizeof line, "cmd=get key=%.*s\n", PMI1_KEY_MAX, key);
    say(&pod, 0, line);
    assert_int_equal(strlen(pod.said[0]),
                     strlen("cmd=get_result rc=0 msg=success value=\n") + PMI1_VALUE_MAX);
    unsigned refused = 0;
    for (unsigned i = 0; i < 1200 && !refused; i++) {
        (void)snprintf(line, sizeof line, "cmd=put key=k%u value=%.1000s\n", i, value);
        say(&pod, 0, line);
        refused = strstr(pod.said[0], "no_room") ? i : 0;
    }
    assert_in_range(refused, 1000, 1100); /* PMI1_PUTS_MAX is 1 MiB */
    memset(line, 'x', sizeof line);
    pmi1_bytes(pod.p, 1, line, sizeof line);
    assert_non_null(strstr(pod.broken[1], "a line of more than 4096 bytes"));
    pod_release(&pod);
}

static void test_bytes_may_come_in_any_pieces(void **state)
{
    (void)state;
    struct pod pod;
    const char *line = "cmd=get key=PMI_process_mapping\n";
    pod_init(&pod, 1, 1, 0);
    for (size_t i = 0; line[i]; i++)
        pmi1_bytes(pod.p, 0, line + i, 1);
    assert_non_null(strstr(pod.said[0], "(vector,(0,1,1))"));
    pod_release(&pod);
}

static void test_values_of_another_pod_that_are_none_are_refused(void **state)
{
    (void)state;
    struct pod pod;
    struct mlt_error err;
    static char bytes[2048] = "key";
    memset(bytes + 4, 'v', sizeof bytes - 5);
    pod_init(&pod, 1, 2, 0);
    assert_int_equal(pmi1_gathered(pod.p, "key", 3, &err), -EPROTO);
    assert_int_equal(pmi1_gathered(pod.p, "key", 4, &err), -EPROTO);
    assert_int_equal(pmi1_gathered(pod.p, "key\0value", 9, &err), -EPROTO);
    assert_int_equal(pmi1_gathered(pod.p, bytes, sizeof bytes, &err), -EPROTO); /* too long */
    assert_int_equal(pmi1_gathered(pod.p, "key\0value", 10, &err), 0);
    expect(&pod, 0, "cmd=get key=key\n", "cmd=get_result rc=0 msg=success value=value\n");
    assert_int_equal(pmi1_gathered(pod.p, "", 0, &err), 0);
    pod_release(&pod);
}

static void test_a_world_that_is_no_grid_has_no_mapping(void **state)
{
    (void)state;
    struct pod pod = {0};
    static const struct pmi1_ops ops = {.answer = answer, .broken = broken};
    const struct pmi1_config config = {
        .local_ranks = 2, .nodes = 2, .world_size = 3, .name = "uid-7.2"};
    pod.p = pmi1_new(&config, &ops, &pod);
    assert_non_null(pod.p);
    expect(&pod, 0, "cmd=get key=PMI_process_mapping\n",
           "cmd=get_result rc=-1 msg=key_not_found value=unknown\n");
    pod_release(&pod);
}

static void test_the_table_holds_many_and_replaces(void **state)
{
    (void)state;
    struct pmi1_kvs k = {0};
    char key[32], value[32];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 5000; i++) {
            (void)snprintf(key, sizeof key, "key-%d", i);
            (void)snprintf(value, sizeof value, "value-%d-%d", i, round);
            assert_int_equal(pmi1_kvs_put(&k, key, value), 0);
        }
    assert_int_equal(k.count, 5000);
    size_t bytes = 0;
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        (void)snprintf(value, sizeof value, "value-%d-1", i);
        assert_string_equal(pmi1_kvs_get(&k, key), value);
        bytes += strlen(key) + strlen(value) + 2;
    }
    assert_int_equal(k.bytes, bytes);
    assert_null(pmi1_kvs_get(&k, "key-5000"));
    pmi1_kvs_release(&k);
    assert_null(pmi1_kvs_get(&k, "key-0"));
    pmi1_kvs_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_question_has_its_answer),
        cmocka_unit_test(test_who_waits_for_a_rank_that_has_ended_is_broken_with_its_name),
        cmocka_unit_test(test_what_is_not_offered_is_refused_in_the_protocol_s_own_way),
        cmocka_unit_test(test_a_barrier_brings_the_puts_of_all_pods),
        cmocka_unit_test(test_a_barrier_that_fails_breaks_the_connections_that_wait),
        cmocka_unit_test(test_an_abort_is_told_with_its_code_and_words),
        cmocka_unit_test(test_what_is_no_question_ends_the_connection),
        cmocka_unit_test(test_everything_has_its_maximum),
        cmocka_unit_test(test_bytes_may_come_in_any_pieces),
        cmocka_unit_test(test_values_of_another_pod_that_are_none_are_refused),
        cmocka_unit_test(test_a_world_that_is_no_grid_has_no_mapping),
        cmocka_unit_test(test_the_table_holds_many_and_replaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
