/* The real launcher and a rank that speaks PMI-1, in a gang of hundreds of pods that the test
 * plays: more was put than can be sent to all. Up to 512 pods it is fetched from each of them; in
 * larger gangs the barrier fails, in words, and nobody waits. Gangs with a real controller:
 * tests/system/test_mpi_pmi1.sh. */
#include "tests/component/launcher/harness.h"

#include <stdio.h>
#include <string.h>

#include "launcher/exchange.h"

#define FETCHES_MAX 512 /* launcher/edge_pmi1.c's */

/* A rank that puts, meets all others, and gets what the last pod has put. */
static const char program[] =
    "ask() { echo \"$1\" >&$PMI_FD; line=gone; read -r line <&$PMI_FD || line=gone; "
    "echo \"said $line\"; }\n"
    "ask 'cmd=init pmi_version=1 pmi_subversion=1'\n"
    "ask cmd=get_my_kvsname; name=${line#*kvsname=}\n"
    "ask \"cmd=put kvsname=$name key=k-1 value=v-1\"\n"
    "ask cmd=barrier_in\n"
    "[ \"$line\" = gone ] && exit $CODE\n"
    "ask \"cmd=get kvsname=$name key=k-$LAST\"\n"
    "ask cmd=finalize\n";

static const struct rendezvous_gather *begin(struct harness *h, uint32_t nodes, const char *last,
                                             const char *code)
{
    harness_begin(h);
    h->welcome.framework = "mpi";
    h->welcome.wireup = RENDEZVOUS_WIREUP_PMI1;
    h->welcome.takes_exchange = true;
    h->start.nodes = nodes;
    h->start.node_rank = 1;
    h->extra_environment[0] = last;
    h->extra_environment[1] = code;
    harness_launch(h, (const char *const[]){"bash", "-c", program, NULL});
    (void)harness_start_ranks(h);
    const struct rendezvous_message *m = harness_expect(h, RENDEZVOUS_GATHER);
    assert_string_equal(m->gather.name, "pmi1/barrier");
    assert_int_equal(m->gather.data_length, strlen("k-1") + 1 + strlen("v-1") + 1);
    return &m->gather;
}

static void send_too_large(struct harness *h, const struct rendezvous_gather *part)
{
    harness_send(h,
                 &(struct rendezvous_message){.type = RENDEZVOUS_GATHERED,
                                              .attempt = 1,
                                              .gathered = {.name = part->name,
                                                           .sequence = part->sequence,
                                                           .outcome = RENDEZVOUS_OUTCOME_TOO_LARGE,
                                                           .words = "the result has many bytes"}});
}

/* What a pod has put: key and value, each with its NUL. */
static void send_puts(struct harness *h, const struct rendezvous_get *get, bool whole)
{
    char puts[64];
    int length = snprintf(puts, sizeof puts, "k-%u%cv-%u", get->node_rank, 0, get->node_rank);
    assert_true(length > 0 && (size_t)length < sizeof puts);
    harness_send(h, &(struct rendezvous_message){
                        .type = RENDEZVOUS_VALUE,
                        .attempt = 1,
                        .value = {.token = get->token,
                                  .words = "",
                                  .data = (const unsigned char *)puts,
                                  .data_length = (uint32_t)length + (whole ? 1 : 0)}});
}

static void end(struct harness *h)
{
    harness_send_exit(h, 0);
    assert_int_equal(harness_exit_code(h), 0);
    harness_end(h);
}

static void test_what_is_too_large_is_fetched_from_each_of_512_pods(void **state)
{
    (void)state;
    struct harness h;
    bool asked[FETCHES_MAX] = {false};
    const struct rendezvous_gather *part = begin(&h, FETCHES_MAX, "LAST=511", "CODE=1");
    send_too_large(&h, part);
    for (uint32_t i = 0; i < FETCHES_MAX - 1; i++) {
        const struct rendezvous_message *m = harness_expect(&h, RENDEZVOUS_GET);
        assert_true(m->get.of_member && m->get.node_rank < FETCHES_MAX && m->get.node_rank != 1);
        assert_string_equal(m->get.name, "pmi1/barrier");
        assert_false(asked[m->get.node_rank]);
        asked[m->get.node_rank] = true;
        if (i == 0) { /* a few at a time: each is large */
            unsigned more = 0;
            harness_run(&h, 100);
            for (size_t n = 0; n < h.count; n++)
                more += h.messages[n].type == RENDEZVOUS_GET && !h.taken[n];
            assert_int_equal(more, EXCHANGE_FETCHES_MAX - 1);
        }
        send_puts(&h, &m->get, true);
    }
    harness_await_text(&h, "out", "said cmd=barrier_out");
    harness_await_text(&h, "out", "value=v-511");
    assert_int_equal(harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit.code, 0);
    end(&h);
}

static void test_in_larger_gangs_the_barrier_fails_at_once_in_words(void **state)
{
    (void)state;
    struct harness h;
    const struct rendezvous_gather *part = begin(&h, 2048, "LAST=2047", "CODE=9");
    send_too_large(&h, part);
    harness_await_text(&h, "out", "said gone");
    harness_await_text(&h, "out",
                       "the barrier of all ranks: what all have put is too much for 2048 pods by "
                       "PMI-1: use Open MPI (PMIx), or fewer pods of more ranks");
    assert_int_equal(harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit.code, 9);
    assert_false(harness_sees(&h, RENDEZVOUS_GET, 50));
    end(&h);
}

static void test_puts_that_are_none_fail_the_barrier(void **state)
{
    (void)state;
    struct harness h;
    const struct rendezvous_gather *part = begin(&h, 3, "LAST=2", "CODE=0");
    send_too_large(&h, part);
    send_puts(&h, &harness_expect(&h, RENDEZVOUS_GET)->get, false);
    harness_await_text(&h, "out", "said gone");
    harness_await_text(&h, "out", "the barrier of all ranks: ");
    /* It says that all is well, which it is not. */
    assert_int_equal(harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit.code, 1);
    end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_too_large_is_fetched_from_each_of_512_pods),
        cmocka_unit_test(test_in_larger_gangs_the_barrier_fails_at_once_in_words),
        cmocka_unit_test(test_puts_that_are_none_fail_the_barrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
