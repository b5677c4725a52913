/* The real launcher and a rank that speaks PMI-1, in a gang of 2,048 pods that the test plays: more
 * was put than can be sent to all. It is gathered in groups and fetched from one pod of each other
 * group, or from each of its pods where that has not all of it. Gangs with a real controller:
 * tests/system/test_mpi_pmi1.sh. */
#include "tests/component/launcher/harness.h"

#include <stdio.h>
#include <string.h>

#include "launcher/exchange.h"

#define PODS 2048
#define GROUP 8 /* pods: PMI1_SPREAD_GROUP_MAX */
#define PUT_MAX 64

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
static size_t make_put(char *to, uint32_t node)
{
    int length = snprintf(to, PUT_MAX, "k-%u%cv-%u", node, 0, node);
    assert_true(length > 0 && length < PUT_MAX);
    return (size_t)length + 1;
}

static void send_value(struct harness *h, const struct rendezvous_get *get, uint8_t outcome,
                       const char *bytes, size_t length)
{
    harness_send(h, &(struct rendezvous_message){.type = RENDEZVOUS_VALUE,
                                                 .attempt = 1,
                                                 .value = {.token = get->token,
                                                           .outcome = outcome,
                                                           .words = "",
                                                           .data = (const unsigned char *)bytes,
                                                           .data_length = (uint32_t)length}});
}

/* The puts of pods `first` to `first` + `count` - 1, or without the last byte of them. */
static void send_puts(struct harness *h, const struct rendezvous_get *get, uint32_t first,
                      uint32_t count, bool whole)
{
    static char puts[GROUP * PUT_MAX];
    size_t length = 0;
    for (uint32_t i = 0; i < count; i++)
        length += make_put(puts + length, first + i);
    send_value(h, get, RENDEZVOUS_OUTCOME_OK, puts, length - (whole ? 0 : 1));
}

/* The launcher gathers with its neighbours; they come. */
static void gather_group(struct harness *h, uint32_t count)
{
    static char puts[GROUP][PUT_MAX];
    struct rendezvous_gathered_entry entries[GROUP];
    const struct rendezvous_message *m = harness_expect(h, RENDEZVOUS_GATHER);
    assert_string_equal(m->gather.name, "pmi1/barrier-group-0");
    assert_int_equal(m->gather.members_length, (count + 7) / 8);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(m->gather.members[i / 8] >> i % 8 & 1);
        entries[i] =
            (struct rendezvous_gathered_entry){.node_rank = i,
                                               .data = (const unsigned char *)puts[i],
                                               .data_length = (uint32_t)make_put(puts[i], i)};
    }
    harness_send(h, &(struct rendezvous_message){.type = RENDEZVOUS_GATHERED,
                                                 .attempt = 1,
                                                 .gathered = {.name = m->gather.name,
                                                              .sequence = m->gather.sequence,
                                                              .words = "",
                                                              .entries = entries,
                                                              .entries_count = count}});
}

static void end(struct harness *h)
{
    harness_send_exit(h, 0);
    assert_int_equal(harness_exit_code(h), 0);
    harness_end(h);
}

/* Another pod asks for the puts of our group. */
static void ask_us(struct harness *h, uint64_t token)
{
    harness_send(h, &(struct rendezvous_message){.type = RENDEZVOUS_GET,
                                                 .attempt = 1,
                                                 .get = {.name = "pmi1/group/0",
                                                         .token = token,
                                                         .of_member = true,
                                                         .node_rank = 1,
                                                         .sequence = EXCHANGE_QUESTION_SEQUENCE}});
}

static void expect_our_puts(struct harness *h, uint64_t token)
{
    char put[PUT_MAX];
    const struct rendezvous_value *value = &harness_expect(h, RENDEZVOUS_VALUE)->value;
    assert_int_equal(value->token, token);
    assert_int_equal(value->outcome, RENDEZVOUS_OUTCOME_OK);
    assert_memory_equal(value->data, put, make_put(put, 0));
    size_t last = make_put(put, GROUP - 1);
    assert_memory_equal(value->data + value->data_length - last, put, last);
}

static void test_what_is_too_large_comes_by_groups(void **state)
{
    (void)state;
    struct harness h;
    const struct rendezvous_gather *part = begin(&h, PODS, "LAST=2047", "CODE=1");
    ask_us(&h, 70); /* before we know that it is too large */
    send_too_large(&h, part);
    assert_false(harness_sees(&h, RENDEZVOUS_VALUE, 100));
    gather_group(&h, GROUP);
    expect_our_puts(&h, 70);
    ask_us(&h, 71);
    expect_our_puts(&h, 71);
    for (uint32_t group = 1; group * GROUP < PODS; group++) {
        uint32_t first = group * GROUP, count = PODS - first < GROUP ? PODS - first : GROUP;
        const struct rendezvous_message *m = harness_expect(&h, RENDEZVOUS_GET);
        assert_string_equal(m->get.name, "pmi1/group/0");
        assert_true(m->get.of_member && m->get.sequence == EXCHANGE_QUESTION_SEQUENCE);
        assert_in_range(m->get.node_rank, first, first + count - 1);
        send_puts(&h, &m->get, first, count, true);
    }
    harness_await_text(&h, "out", "said cmd=barrier_out");
    harness_await_text(&h, "out", "value=v-2047");
    assert_int_equal(harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit.code, 0);
    end(&h);
}

static void test_a_pod_that_is_gone_fails_the_barrier_at_once_in_words(void **state)
{
    (void)state;
    struct harness h;
    const struct rendezvous_gather *part = begin(&h, PODS, "LAST=2047", "CODE=9");
    send_too_large(&h, part);
    gather_group(&h, GROUP);
    send_value(&h, &harness_expect(&h, RENDEZVOUS_GET)->get, RENDEZVOUS_OUTCOME_MEMBER_LOST, "", 0);
    harness_await_text(&h, "out", "said gone");
    harness_await_text(&h, "out", "the barrier of all ranks: ");
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
    gather_group(&h, 2);
    send_puts(&h, &harness_expect(&h, RENDEZVOUS_GET)->get, 2, 1, false);
    harness_await_text(&h, "out", "said gone");
    harness_await_text(&h, "out", "the barrier of all ranks: ");
    /* It says that all is well, which it is not. */
    assert_int_equal(harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit.code, 1);
    end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_too_large_comes_by_groups),
        cmocka_unit_test(test_a_pod_that_is_gone_fails_the_barrier_at_once_in_words),
        cmocka_unit_test(test_puts_that_are_none_fail_the_barrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
