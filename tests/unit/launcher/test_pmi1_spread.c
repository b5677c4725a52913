/* launcher/pmi1_spread.c: gangs of pods whose puts are too much to be sent to all, in random
 * orders, up to the largest that a job may have. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/pmi1_spread.h"
#include "lib/base/cleanup.h"
#include "lib/base/random.h"

#define SEQUENCE 7
#define PUT 4 /* bytes that a pod gives: its number */

enum asks { NOTHING, GATHER, GROUP, ONE };

struct pod {
    struct pmi1_spread *spread;
    uint32_t node;
    bool begun, over, large; /* large: more than a piece has room for */
    enum asks asks;          /* what is out */
    uint32_t whom, count;    /* of whom */
    bool answered;           /* GROUP: what came of it lies in `data` */
    enum exchange_outcome outcome;
    unsigned char *data;
    size_t length;
    unsigned asked, questions; /* of this pod by others; by this pod of others */
    uint32_t got_count;
    unsigned char *got; /* a bit for each pod */
    const char *words;
    char told[PMI1_SPREAD_WORDS_MAX];
};

static struct {
    struct mlt_random random;
    uint32_t nodes;
    struct pod *pods;
    uint32_t stays; /* each pod whose number divides by it keeps its puts to itself; 0: none */
    bool too_large; /* no group can gather */
} gang;

static uint64_t question_of(const struct pod *p)
{
    return p->node + 1;
}

static int gather(void *arg, uint32_t first, uint32_t count, const char *bytes, size_t length,
                  struct mlt_error *err)
{
    struct pod *p = arg;
    (void)err;
    assert_true(first <= p->node && p->node < first + count && first + count <= gang.nodes);
    if (length == 1) {
        assert_memory_equal(bytes, "\xff", 1);
        assert_true(p->large);
    } else {
        assert_int_equal(length, PUT);
        assert_memory_equal(bytes, &p->node, PUT);
    }
    p->asks = GATHER;
    p->whom = first;
    p->count = count;
    return 0;
}

static int fetch_group(void *arg, uint32_t node, uint64_t sequence, struct mlt_error *err)
{
    struct pod *p = arg;
    (void)err;
    assert_int_equal(sequence, SEQUENCE);
    assert_true(node < gang.nodes && p->asks == NOTHING);
    p->asks = GROUP;
    p->questions++;
    gang.pods[node].asked++;
    p->answered = false;
    pmi1_spread_asked(gang.pods[node].spread, question_of(p), sequence);
    return 0;
}

static int fetch_one(void *arg, uint32_t node, uint64_t sequence, struct mlt_error *err)
{
    struct pod *p = arg;
    (void)err;
    (void)sequence;
    assert_true(node < gang.nodes && node != p->node && p->asks == NOTHING);
    p->asks = ONE;
    p->whom = node;
    p->questions++;
    gang.pods[node].asked++;
    return 0;
}

static bool take(void *arg, const void *bytes, size_t length)
{
    struct pod *p = arg;
    assert_int_equal(length % PUT, 0);
    for (size_t at = 0; at < length; at += PUT) {
        uint32_t node;
        memcpy(&node, (const char *)bytes + at, PUT);
        assert_true(node < gang.nodes);
        if (p->got[node / 8] >> node % 8 & 1)
            fail_msg("pod %u got the puts of pod %u twice", p->node, node);
        p->got[node / 8] |= (unsigned char)(1 << node % 8);
        p->got_count++;
    }
    return true;
}

static void answer(void *arg, uint64_t question, enum exchange_outcome outcome, const void *bytes,
                   size_t length)
{
    struct pod *asker = &gang.pods[question - 1];
    (void)arg;
    assert_true(asker->asks == GROUP && !asker->answered);
    asker->answered = true;
    asker->outcome = outcome;
    asker->length = length;
    free(asker->data);
    asker->data = malloc(length + 1);
    assert_non_null(asker->data);
    if (length > 0)
        memcpy(asker->data, bytes, length);
}

static void done(void *arg, const char *words)
{
    struct pod *p = arg;
    assert_false(p->over);
    p->over = true;
    p->words = words;
    (void)snprintf(p->told, sizeof p->told, "%s", words ? words : "");
}

static const struct pmi1_spread_ops ops = {.gather = gather,
                                           .fetch_group = fetch_group,
                                           .fetch_one = fetch_one,
                                           .take = take,
                                           .answer = answer,
                                           .done = done};

static void begin(uint32_t nodes, uint64_t seed)
{
    memset(&gang, 0, sizeof gang);
    mlt_random_init(&gang.random, seed);
    gang.nodes = nodes;
    gang.pods = calloc(nodes, sizeof *gang.pods);
    assert_non_null(gang.pods);
    for (uint32_t i = 0; i < nodes; i++) {
        gang.pods[i].node = i;
        gang.pods[i].got = calloc(nodes / 8 + 1, 1);
        gang.pods[i].spread = pmi1_spread_new(nodes, i, &ops, &gang.pods[i]);
        assert_true(gang.pods[i].got && gang.pods[i].spread);
    }
}

static void end(void)
{
    for (uint32_t i = 0; i < gang.nodes; i++) {
        pmi1_spread_free(gang.pods[i].spread);
        free(gang.pods[i].got);
        free(gang.pods[i].data);
    }
    free(gang.pods);
}

static bool stays(uint32_t node)
{
    return gang.stays && node % gang.stays == 0;
}

/* A group's gather ends when all have come; here each of them hears it when it is looked at. */
static bool end_gather(struct pod *p)
{
    struct exchange_entry entries[PMI1_SPREAD_GROUP_MAX];
    struct exchange_output result = {.outcome = gang.too_large ? EXCHANGE_TOO_LARGE : EXCHANGE_OK,
                                     .words = "",
                                     .entries = entries};
    for (uint32_t i = p->whom; i < p->whom + p->count; i++) {
        if (!gang.pods[i].begun)
            return false;
        entries[result.entries_count++] = (struct exchange_entry){
            .node_rank = i,
            .data = stays(i)             ? NULL
                    : gang.pods[i].large ? (const unsigned char *)"\xff"
                                         : (const unsigned char *)&gang.pods[i].node,
            .length = gang.pods[i].large ? 1 : PUT};
    }
    if (gang.too_large)
        result.entries_count = 0;
    p->asks = NOTHING;
    pmi1_spread_gathered(p->spread, &result);
    return true;
}

static const char large[PMI1_SPREAD_PUTS_MAX + 1];

static bool step(struct pod *p)
{
    if (p->over)
        return false;
    if (!p->begun) {
        p->begun = true;
        if (p->large)
            pmi1_spread_begin(p->spread, SEQUENCE, large, sizeof large);
        else
            pmi1_spread_begin(p->spread, SEQUENCE, (const char *)&p->node, PUT);
        return true;
    }
    if (p->asks == GATHER)
        return end_gather(p);
    struct exchange_output result = {.outcome = EXCHANGE_OK, .words = ""};
    if (p->asks == ONE) {
        uint32_t node = p->whom;
        result.data = (const unsigned char *)&node;
        result.length = PUT;
        p->asks = NOTHING;
        pmi1_spread_fetched(p->spread, &result);
        return true;
    }
    if (!p->answered)
        return false;
    result.outcome = p->outcome;
    result.data = p->data;
    result.length = p->length;
    p->asks = NOTHING;
    p->data = NULL;
    pmi1_spread_fetched(p->spread, &result);
    free((void *)(uintptr_t)result.data);
    return true;
}

/* Returns the most that one pod asks, and *ret_asked the most that one is asked. */
static unsigned play(unsigned *ret_asked)
{
    unsigned questions = 0;
    *ret_asked = 0;
    for (bool more = true; more;) {
        more = false;
        uint32_t first = (uint32_t)mlt_random_below(&gang.random, gang.nodes);
        for (uint32_t i = 0; i < gang.nodes; i++)
            if (mlt_random_below(&gang.random, 4) > 0)
                more |= step(&gang.pods[(first + i) % gang.nodes]);
            else
                more |= !gang.pods[(first + i) % gang.nodes].over;
    }
    for (uint32_t i = 0; i < gang.nodes; i++) {
        const struct pod *p = &gang.pods[i];
        if (!p->over || p->words || p->got_count != gang.nodes - 1)
            fail_msg("pod %u of %u: over %d, %u got, %s", i, gang.nodes, p->over, p->got_count,
                     p->words ? p->words : "");
        questions = p->questions > questions ? p->questions : questions;
        *ret_asked = p->asked > *ret_asked ? p->asked : *ret_asked;
    }
    return questions;
}

static void test_each_pod_gets_the_puts_of_all_others_once(void **state)
{
    static const uint32_t sizes[] = {1, 2, 3, 4, 5, 9, 10, 17, 35, 36, 37, 100};
    unsigned asked;
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(sizes); i++)
        for (uint64_t seed = 1; seed <= 5; seed++)
            for (uint32_t keeps = 0; keeps <= 3; keeps++) {
                begin(sizes[i], seed);
                gang.stays = keeps * 5;
                gang.too_large = keeps == 3;
                for (uint32_t pod = 0; pod < sizes[i] && keeps == 1; pod += 7)
                    gang.pods[pod].large = true;
                (void)play(&asked);
                end();
            }
}

static void test_a_large_gang_asks_little(void **state)
{
    unsigned asked;
    (void)state;
    begin(2048, 1);
    unsigned questions = play(&asked);
    printf("2048 pods: each asks at most %u others and is asked at most %u times\n", questions,
           asked);
    assert_int_equal(questions, 2048 / PMI1_SPREAD_GROUP_MAX - 1);
    assert_in_range(asked, questions, questions + 8);
    end();
}

static void test_too_much_for_a_large_gang_ends_it_with_words(void **state)
{
    (void)state;
    begin(PMI1_SPREAD_ALONE_MAX + 1, 1);
    struct pod *p = &gang.pods[0];
    for (uint32_t i = 0; i < PMI1_SPREAD_GROUP_MAX; i++) {
        gang.pods[i].large = i == 3;
        assert_true(step(&gang.pods[i]));
    }
    assert_true(step(p));
    assert_true(p->over);
    assert_string_equal(p->told, "what all have put is too much for 513 pods by PMI-1 (4096 bytes "
                                 "of a pod): use Open MPI (PMIx), or fewer pods");
    end();
    begin(PMI1_SPREAD_PODS_MAX + 1, 1);
    p = &gang.pods[0];
    assert_true(step(p));
    assert_true(p->over);
    assert_non_null(strstr(p->told, "too much for 2049 pods"));
    end();
}

static void test_what_cannot_be_had_ends_it_with_words(void **state)
{
    (void)state;
    struct exchange_output lost = {.outcome = EXCHANGE_MEMBER_LOST, .words = "worker 3 has ended"};
    begin(4, 1);
    struct pod *p = &gang.pods[0];
    assert_true(step(p));
    p->asks = NOTHING;
    pmi1_spread_gathered(p->spread, &lost);
    assert_true(p->over);
    assert_string_equal(p->words, "worker 3 has ended");
    pmi1_spread_fetched(p->spread, &lost); /* nothing more is wanted */
    p = &gang.pods[2];
    assert_true(step(p));
    pmi1_spread_stop(p->spread);
    pmi1_spread_gathered(p->spread, &lost);
    assert_false(p->over);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_pod_gets_the_puts_of_all_others_once),
        cmocka_unit_test(test_a_large_gang_asks_little),
        cmocka_unit_test(test_too_much_for_a_large_gang_ends_it_with_words),
        cmocka_unit_test(test_what_cannot_be_had_ends_it_with_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
