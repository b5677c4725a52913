/* The launcher's end of the exchange: what it says, says again, and tells; alone, and as part of
 * the supervisor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/exchange.h"
#include "lib/base/cleanup.h"
#include "supervisor_world.h"

#define OUTPUTS_MAX 128
#define NOW 5000

struct seen {
    struct exchange_output out; /* pointers are dead but for those below */
    char words[RENDEZVOUS_REASON_MAX], name[RENDEZVOUS_EXCHANGE_NAME_MAX + 1];
    char data[256];
    struct exchange_entry entries[4];
    char entry_data[4][16];
    struct rendezvous_message sent; /* of SEND */
};

struct scene {
    struct exchange *x;
    struct seen *seen;
    size_t count;
    int64_t timer_ms; /* delay that was asked for last; -1: none */
    uint64_t tag;
};

static void read_sent(const struct exchange_output *out, struct rendezvous_message *ret)
{
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    rendezvous_reader_init(&reader, RENDEZVOUS_UP);
    for (size_t at = 0; at < out->length; at += 32768)
        assert_int_equal(rendezvous_reader_feed(&reader, out->data + at,
                                                out->length - at < 32768 ? out->length - at : 32768,
                                                NULL),
                         0);
    assert_int_equal(rendezvous_reader_next(&reader, &frame, NULL), 1);
    assert_int_equal(rendezvous_message_read(&frame, ret, NULL), 0);
    rendezvous_reader_release(&reader);
}

static void drain(struct scene *s)
{
    struct exchange_output out;
    exchange_check(s->x);
    while (exchange_next(s->x, &out)) {
        if (out.kind == EXCHANGE_DO_TIMER) {
            s->timer_ms = out.delay_ms;
            continue;
        }
        assert_true(s->count < OUTPUTS_MAX);
        struct seen *to = &s->seen[s->count++];
        *to = (struct seen){.out = out};
        (void)snprintf(to->words, sizeof to->words, "%s", out.words);
        (void)snprintf(to->name, sizeof to->name, "%s", out.name);
        if (out.kind == EXCHANGE_DO_SEND)
            read_sent(&out, &to->sent);
        else if (out.length > 0 && out.length < sizeof to->data)
            memcpy(to->data, out.data, out.length);
        for (uint32_t i = 0; i < out.entries_count && i < 4; i++) {
            to->entries[i] = out.entries[i];
            if (out.entries[i].data && out.entries[i].length < 16)
                memcpy(to->entry_data[i], out.entries[i].data, out.entries[i].length);
        }
    }
    exchange_check(s->x);
}

static void forget(struct scene *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->seen[i].sent.type)
            rendezvous_message_release(&s->seen[i].sent);
    s->count = 0;
}

/* Node rank 1 of three; the channel stands. */
static void init(struct scene *s)
{
    *s = (struct scene){.x = exchange_new(), .timer_ms = -1};
    s->seen = calloc(OUTPUTS_MAX, sizeof *s->seen);
    assert_non_null(s->x);
    assert_non_null(s->seen);
    exchange_welcomed(s->x, true, 1);
    exchange_begin(s->x, 4, 1, 3);
}

static void done(struct scene *s)
{
    drain(s);
    forget(s);
    exchange_free(s->x);
    free(s->seen);
}

static struct exchange_request request(struct scene *s, const char *name)
{
    return (struct exchange_request){
        .user = EXCHANGE_USER_PMIX, .tag = ++s->tag, .name = name, .time_ms = 1000};
}

static int gather(struct scene *s, const char *name, const void *data, size_t length)
{
    struct exchange_request r = request(s, name);
    int rc = exchange_gather(s->x, &r, data, length, NULL, 0, NOW, NULL);
    drain(s);
    return rc;
}

static int put(struct scene *s, const char *name, const char *data)
{
    struct exchange_request r = request(s, name);
    int rc = exchange_put(s->x, &r, data, strlen(data), NOW, NULL);
    drain(s);
    return rc;
}

static int get(struct scene *s, const char *name, int64_t time_ms)
{
    struct exchange_request r = request(s, name);
    r.time_ms = time_ms;
    int rc = exchange_get(s->x, &r, NOW, NULL);
    drain(s);
    return rc;
}

static int fetch(struct scene *s, const char *name, uint32_t node_rank, uint64_t sequence)
{
    struct exchange_request r = request(s, name);
    int rc = exchange_fetch(s->x, &r, node_rank, sequence, NOW, NULL);
    drain(s);
    return rc;
}

/* The content is taken over or released. */
static bool receive(struct scene *s, const struct rendezvous_message *message)
{
    struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX);
    rendezvous_message_write(&bytes, message);
    assert_false(bytes.failed);
    struct rendezvous_frame f = {.version = 1,
                                 .type = (uint8_t)message->type,
                                 .attempt = message->attempt,
                                 .payload = (unsigned char *)bytes.data + RENDEZVOUS_HEADER_SIZE,
                                 .length = (uint32_t)bytes.length - RENDEZVOUS_HEADER_SIZE};
    struct rendezvous_message m;
    assert_int_equal(rendezvous_message_read(&f, &m, NULL), 0);
    bool taken = exchange_message(s->x, &m);
    if (m.type)
        rendezvous_message_release(&m);
    mlt_text_release(&bytes);
    drain(s);
    return taken;
}

static bool receive_gathered(struct scene *s, const char *name, uint64_t sequence,
                             enum rendezvous_outcome outcome)
{
    struct rendezvous_gathered_entry entries[] = {
        {.node_rank = 0, .data = (const unsigned char *)"zero", .data_length = 4},
        {.node_rank = 2, .stays = 70000}};
    bool ok = outcome == RENDEZVOUS_OUTCOME_OK;
    return receive(s, &(struct rendezvous_message){.type = RENDEZVOUS_GATHERED,
                                                   .attempt = 4,
                                                   .gathered = {.name = name,
                                                                .sequence = sequence,
                                                                .outcome = (uint8_t)outcome,
                                                                .words = ok ? "" : "words",
                                                                .entries = entries,
                                                                .entries_count = ok ? 2 : 0}});
}

static bool receive_value(struct scene *s, uint64_t token, enum rendezvous_outcome outcome,
                          const char *data)
{
    bool ok = outcome == RENDEZVOUS_OUTCOME_OK;
    return receive(s,
                   &(struct rendezvous_message){.type = RENDEZVOUS_VALUE,
                                                .attempt = 4,
                                                .value = {.token = token,
                                                          .outcome = (uint8_t)outcome,
                                                          .words = ok ? "" : "words",
                                                          .data = (const unsigned char *)data,
                                                          .data_length = (uint32_t)strlen(data)}});
}

static void receive_question(struct scene *s, uint64_t token, const char *name, uint64_t sequence)
{
    (void)receive(
        s, &(struct rendezvous_message){
               .type = RENDEZVOUS_GET,
               .attempt = 4,
               .get = {.token = token, .name = name, .of_member = true, .sequence = sequence}});
}

static const struct seen *last(const struct scene *s, enum exchange_output_kind kind)
{
    for (size_t i = s->count; i > 0; i--)
        if (s->seen[i - 1].out.kind == kind)
            return &s->seen[i - 1];
    return NULL;
}

static unsigned count_sent(const struct scene *s, enum rendezvous_type type)
{
    unsigned n = 0;
    for (size_t i = 0; i < s->count; i++)
        n += s->seen[i].sent.type == type;
    return n;
}

static const struct rendezvous_message *sent(const struct scene *s)
{
    const struct seen *seen = last(s, EXCHANGE_DO_SEND);
    assert_non_null(seen);
    return &seen->sent;
}

static void is_done(const struct scene *s, enum exchange_outcome outcome, const char *words)
{
    const struct seen *seen = last(s, EXCHANGE_DO_DONE);
    assert_non_null(seen);
    assert_int_equal(seen->out.outcome, outcome);
    assert_int_equal(seen->out.user, EXCHANGE_USER_PMIX);
    if (words)
        assert_string_equal(seen->words, words);
}

/* ---- gathers ---- */

static void test_a_gather_is_said_and_its_result_told_once(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    assert_int_equal(gather(&s, "fence", "one", 3), 0);
    const struct rendezvous_message *said = sent(&s);
    assert_int_equal(said->type, RENDEZVOUS_GATHER);
    assert_int_equal(said->attempt, 4);
    assert_string_equal(said->gather.name, "pmix/fence");
    assert_int_equal(said->gather.sequence, 0);
    assert_int_equal(said->gather.members_length, 0);
    assert_memory_equal(said->gather.data, "one", 3);
    assert_int_equal(s.timer_ms, 1000);
    assert_int_equal(gather(&s, "fence", "", 0), -EBUSY);
    assert_null(last(&s, EXCHANGE_DO_DONE));
    assert_false(receive_gathered(&s, "pmix/fence", 1, RENDEZVOUS_OUTCOME_OK));
    assert_false(receive_gathered(&s, "fence", 0, RENDEZVOUS_OUTCOME_OK));
    assert_true(receive_gathered(&s, "pmix/fence", 0, RENDEZVOUS_OUTCOME_OK));
    is_done(&s, EXCHANGE_OK, "");
    const struct seen *result = last(&s, EXCHANGE_DO_DONE);
    assert_int_equal(result->out.tag, 1);
    assert_int_equal(result->out.entries_count, 2);
    assert_string_equal(result->entry_data[0], "zero");
    assert_int_equal(result->entries[1].node_rank, 2);
    assert_null(result->entries[1].data);
    assert_int_equal(result->entries[1].length, 70000);
    assert_false(receive_gathered(&s, "pmix/fence", 0, RENDEZVOUS_OUTCOME_OK)); /* again */
    assert_int_equal(gather(&s, "fence", "", 0), 0);
    assert_int_equal(sent(&s)->gather.sequence, 1);
    done(&s);
}

static void test_a_failure_is_told_in_words_though_some_data_came_with_it(void **state)
{
    (void)state;
    struct rendezvous_gathered_entry entry = {
        .node_rank = 0, .data = (const unsigned char *)"zero", .data_length = 4};
    struct scene s;
    init(&s);
    assert_int_equal(gather(&s, "fence", "one", 3), 0);
    assert_true(receive(&s, &(struct rendezvous_message){
                                .type = RENDEZVOUS_GATHERED,
                                .attempt = 4,
                                .gathered = {.name = "pmix/fence",
                                             .outcome = RENDEZVOUS_OUTCOME_OVER,
                                             .words = "two later ones have begun",
                                             .entries = &entry,
                                             .entries_count = 1}}));
    is_done(&s, EXCHANGE_OVER, "two later ones have begun");
    assert_int_equal(last(&s, EXCHANGE_DO_DONE)->out.entries_count, 0);
    done(&s);
}

static void test_the_members_are_told_as_bits(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    static const uint32_t some[] = {1, 2}, without_us[] = {0, 2}, twice[] = {1, 1},
                          beyond[] = {1, 3}, alone[] = {1};
    struct exchange_request r = request(&s, "some");
    assert_int_equal(exchange_gather(s.x, &r, NULL, 0, without_us, 2, NOW, NULL), -EINVAL);
    assert_int_equal(exchange_gather(s.x, &r, NULL, 0, twice, 2, NOW, NULL), -EINVAL);
    assert_int_equal(exchange_gather(s.x, &r, NULL, 0, beyond, 2, NOW, NULL), -EINVAL);
    assert_int_equal(exchange_gather(s.x, &r, NULL, 0, some, 2, NOW, NULL), 0);
    drain(&s);
    assert_int_equal(sent(&s)->gather.members_length, 1);
    assert_int_equal(sent(&s)->gather.members[0], 6);
    assert_int_equal(sent(&s)->gather.sequence, 0); /* what was refused does not count */
    forget(&s);
    r = request(&s, "alone");
    assert_int_equal(exchange_gather(s.x, &r, "mine", 4, alone, 1, NOW, NULL), 0);
    drain(&s);
    assert_null(last(&s, EXCHANGE_DO_SEND)); /* nobody else is needed */
    is_done(&s, EXCHANGE_OK, "");
    assert_int_equal(last(&s, EXCHANGE_DO_DONE)->out.entries_count, 1);
    assert_string_equal(last(&s, EXCHANGE_DO_DONE)->entry_data[0], "mine");
    done(&s);
}

static void test_what_may_not_be_begun_is_refused_with_words(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    cleanup_free char *large = calloc(1, EXCHANGE_VALUE_MAX + 1);
    char name[EXCHANGE_NAME_MAX + 2] = {0};
    memset(name, 'n', EXCHANGE_NAME_MAX + 1);
    struct mlt_error err;
    assert_int_equal(gather(&s, "", "", 0), -EINVAL);
    assert_int_equal(gather(&s, name, "", 0), -EINVAL);
    assert_int_equal(gather(&s, name + 1, "", 0), 0);
    struct exchange_request r = request(&s, "large");
    assert_int_equal(exchange_gather(s.x, &r, large, EXCHANGE_VALUE_MAX + 1, NULL, 0, NOW, &err),
                     -EMSGSIZE);
    assert_string_equal(err.text, "1048577 bytes for large: at most 1048576 are gathered");
    assert_int_equal(exchange_put(s.x, &r, large, EXCHANGE_PUT_MAX + 1, NOW, &err), -EMSGSIZE);
    assert_int_equal(exchange_fetch(s.x, &r, 3, 0, NOW, &err), -EINVAL);
    exchange_end(s.x, "over");
    drain(&s);
    is_done(&s, EXCHANGE_ENDED, "over");
    assert_int_equal(gather(&s, "fence", "", 0), -ECANCELED);
    exchange_welcomed(s.x, false, 2);
    exchange_begin(s.x, 5, 1, 3);
    assert_int_equal(gather(&s, "fence", "", 0), -EOPNOTSUPP);
    exchange_end(s.x, "over");
    exchange_begin(s.x, 6, 3, 3); /* a START that no coordinator sends */
    assert_int_equal(gather(&s, "fence", "", 0), -ECANCELED);
    done(&s);
}

static void test_what_is_open_is_said_again_when_the_channel_is_back(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    assert_int_equal(gather(&s, "fence", "one", 3), 0);
    assert_true(receive_gathered(&s, "pmix/fence", 0, RENDEZVOUS_OUTCOME_OK));
    exchange_closed(s.x);
    forget(&s);
    assert_int_equal(gather(&s, "fence", "two", 3), 0);
    assert_int_equal(put(&s, "key", "value"), 0);
    assert_int_equal(get(&s, "other", 1000), 0);
    assert_int_equal(s.count, 0); /* nothing is said without a channel */
    exchange_welcomed(s.x, true, 1);
    drain(&s);
    assert_int_equal(s.count, 3);
    assert_int_equal(s.seen[0].sent.type, RENDEZVOUS_PUT); /* before the gather */
    assert_int_equal(s.seen[1].sent.type, RENDEZVOUS_GATHER);
    assert_int_equal(s.seen[1].sent.gather.sequence, 1);
    assert_int_equal(s.seen[2].sent.type, RENDEZVOUS_GET);
    assert_true(receive_value(&s, s.seen[0].sent.put.token, RENDEZVOUS_OUTCOME_OK, ""));
    forget(&s);
    /* Another controller knows nothing: it hears what is stored and what was gathered, too. */
    exchange_closed(s.x);
    exchange_welcomed(s.x, true, 2);
    drain(&s);
    assert_int_equal(s.count, 4);
    assert_int_equal(s.seen[0].sent.type, RENDEZVOUS_PUT);
    assert_int_equal(s.seen[1].sent.gather.sequence, 0);
    assert_int_equal(s.seen[1].sent.gather.state, RENDEZVOUS_GATHER_DONE);
    assert_memory_equal(s.seen[1].sent.gather.data, "one", 3);
    assert_int_equal(s.seen[2].sent.gather.sequence, 1);
    assert_int_equal(s.seen[2].sent.gather.state, RENDEZVOUS_GATHER_OPEN);
    /* Once the next one is complete, everybody has had the one before. */
    assert_true(receive_gathered(&s, "pmix/fence", 1, RENDEZVOUS_OUTCOME_OK));
    forget(&s);
    exchange_welcomed(s.x, true, 3);
    drain(&s);
    assert_int_equal(count_sent(&s, RENDEZVOUS_GATHER), 1);
    assert_int_equal(s.seen[1].sent.gather.sequence, 1);
    done(&s);
}

/* What was said to the next controller may be lost with its channel. */
static void test_a_next_controller_is_told_until_it_has_it(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    assert_int_equal(put(&s, "key", "value"), 0);
    uint64_t token = sent(&s)->put.token;
    assert_true(receive_value(&s, token, RENDEZVOUS_OUTCOME_OK, ""));
    assert_int_equal(gather(&s, "fence", "one", 3), 0);
    assert_true(receive_gathered(&s, "pmix/fence", 0, RENDEZVOUS_OUTCOME_OK));
    for (int i = 0; i < 3; i++) {
        forget(&s);
        exchange_closed(s.x);
        exchange_welcomed(s.x, true, 2);
        drain(&s);
        assert_int_equal(s.count, 2);
        assert_int_equal(s.seen[0].sent.put.token, token);
        assert_int_equal(s.seen[1].sent.gather.sequence, 0);
        assert_int_equal(s.seen[1].sent.gather.state, RENDEZVOUS_GATHER_DONE);
    }
    /* Now it has the value, and has itself given a result: members that lack one can ask it. */
    assert_true(receive_value(&s, token, RENDEZVOUS_OUTCOME_OK, ""));
    assert_int_equal(gather(&s, "fence", "two", 3), 0);
    assert_true(receive_gathered(&s, "pmix/fence", 1, RENDEZVOUS_OUTCOME_OK));
    forget(&s);
    exchange_closed(s.x);
    exchange_welcomed(s.x, true, 2);
    drain(&s);
    assert_int_equal(s.count, 0);
    done(&s);
}

static void test_an_older_controller_ends_what_is_open(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    assert_int_equal(gather(&s, "fence", "one", 3), 0);
    assert_int_equal(get(&s, "key", 1000), 0);
    forget(&s);
    exchange_welcomed(s.x, false, 2);
    drain(&s);
    assert_int_equal(s.count, 2);
    is_done(&s, EXCHANGE_UNSUPPORTED,
            "the controller is of an earlier release, which knows no exchange");
    done(&s);
}

static void test_who_runs_out_of_time_asks_for_the_last_word(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    assert_int_equal(gather(&s, "fence", "one", 3), 0);
    assert_int_equal(s.timer_ms, 1000);
    exchange_timer(s.x, NOW + 999);
    drain(&s);
    assert_int_equal(s.timer_ms, 1);
    assert_null(last(&s, EXCHANGE_DO_DONE));
    exchange_timer(s.x, NOW + 1000);
    drain(&s);
    assert_int_equal(sent(&s)->gather.state, RENDEZVOUS_GATHER_GIVEN_UP);
    assert_int_equal(s.timer_ms, EXCHANGE_LAST_WORD_MS);
    assert_true(receive_gathered(&s, "pmix/fence", 0, RENDEZVOUS_OUTCOME_TIMED_OUT));
    is_done(&s, EXCHANGE_TIMED_OUT, "words");
    /* A next controller learns that it has failed; its data is of no use any more. */
    forget(&s);
    exchange_welcomed(s.x, true, 2);
    drain(&s);
    assert_int_equal(sent(&s)->gather.state, RENDEZVOUS_GATHER_GIVEN_UP);
    assert_int_equal(sent(&s)->gather.data_length, 0);
    done(&s);
    /* Nobody answers; and then there is nobody to ask. */
    for (int connected = 1; connected >= 0; connected--) {
        init(&s);
        assert_int_equal(gather(&s, "fence", "one", 3), 0);
        if (!connected)
            exchange_closed(s.x);
        exchange_timer(s.x, NOW + 1000);
        if (connected)
            exchange_timer(s.x, NOW + 1000 + EXCHANGE_LAST_WORD_MS);
        drain(&s);
        is_done(&s, EXCHANGE_TIMED_OUT,
                connected ? "the time is over, and the controller says nothing"
                          : "the time is over, and there is no channel to the controller");
        assert_false(receive_gathered(&s, "pmix/fence", 0, RENDEZVOUS_OUTCOME_OK)); /* too late */
        assert_int_equal(gather(&s, "fence", "two", 3), 0);
        done(&s);
    }
}

static void test_large_data_stays_and_is_given_when_asked_for(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    cleanup_free char *large = calloc(1, 70000);
    large[69999] = 'x';
    assert_int_equal(gather(&s, "fence", large, 70000), 0);
    assert_int_equal(sent(&s)->gather.stays, 70000);
    assert_int_equal(sent(&s)->gather.data_length, 0);
    receive_question(&s, 9, "pmix/fence", 0);
    assert_int_equal(sent(&s)->type, RENDEZVOUS_VALUE);
    assert_int_equal(sent(&s)->value.token, 9);
    assert_int_equal(sent(&s)->value.data_length, 70000);
    assert_int_equal(sent(&s)->value.data[69999], 'x');
    assert_true(receive_gathered(&s, "pmix/fence", 0, RENDEZVOUS_OUTCOME_OK));
    assert_int_equal(gather(&s, "fence", "small", 5), 0);
    receive_question(&s, 10, "pmix/fence", 0); /* others may be at it still */
    assert_int_equal(sent(&s)->value.data_length, 70000);
    assert_int_equal(fetch(&s, "fence", 1, 0), 0); /* our own */
    is_done(&s, EXCHANGE_OK, "");
    assert_int_equal(last(&s, EXCHANGE_DO_DONE)->out.length, 70000);
    assert_true(receive_gathered(&s, "pmix/fence", 1, RENDEZVOUS_OUTCOME_TOO_LARGE));
    is_done(&s, EXCHANGE_TOO_LARGE, "words");
    receive_question(&s, 11, "pmix/fence", 0);
    assert_int_equal(sent(&s)->value.outcome, RENDEZVOUS_OUTCOME_NOT_FOUND);
    receive_question(&s, 12, "pmix/fence", 1); /* too large for all together: each asks */
    assert_memory_equal(sent(&s)->value.data, "small", 5);
    done(&s);
}

static void test_old_parts_make_way_for_new_ones(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    cleanup_free char *large = calloc(1, RENDEZVOUS_CONTRIBUTION_MAX);
    char name[16], wire[32];
    for (int i = 0; i < 100; i++) { /* 6.25 MiB in all */
        (void)snprintf(name, sizeof name, "fence-%d", i);
        (void)snprintf(wire, sizeof wire, "pmix/%s", name);
        assert_int_equal(gather(&s, name, large, RENDEZVOUS_CONTRIBUTION_MAX), 0);
        assert_true(receive_gathered(&s, wire, 0, RENDEZVOUS_OUTCOME_OK));
        forget(&s);
    }
    exchange_welcomed(s.x, true, 2);
    drain(&s);
    assert_int_equal(count_sent(&s, RENDEZVOUS_GATHER),
                     EXCHANGE_KEPT_BYTES_MAX / RENDEZVOUS_CONTRIBUTION_MAX);
    forget(&s);
    /* Those that are open do not. */
    int rc = 0;
    for (int i = 100; i < 200 && rc == 0; i++) {
        (void)snprintf(name, sizeof name, "fence-%d", i);
        rc = gather(&s, name, large, RENDEZVOUS_CONTRIBUTION_MAX);
        forget(&s);
    }
    assert_int_equal(rc, -ENOSPC);
    done(&s);
}

static void test_a_cancelled_gather_still_counts_and_is_not_told(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    assert_int_equal(gather(&s, "fence", "one", 3), 0);
    exchange_cancel(s.x, EXCHANGE_USER_PMI1, 1); /* another user's number */
    exchange_cancel(s.x, EXCHANGE_USER_PMIX, 1);
    exchange_closed(s.x);
    exchange_welcomed(s.x, true, 1);
    drain(&s);
    assert_int_equal(count_sent(&s, RENDEZVOUS_GATHER), 2);
    assert_true(receive_gathered(&s, "pmix/fence", 0, RENDEZVOUS_OUTCOME_OK));
    assert_null(last(&s, EXCHANGE_DO_DONE));
    done(&s);
}

/* ---- values ---- */

static void test_a_put_is_done_when_the_controller_has_it(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    assert_int_equal(put(&s, "key", "value"), 0);
    assert_string_equal(sent(&s)->put.name, "pmix/key");
    assert_int_equal(put(&s, "key", "value"), -EBUSY);
    assert_int_equal(put(&s, "key", "other"), -EEXIST);
    uint64_t token = sent(&s)->put.token;
    assert_true(receive_value(&s, token, RENDEZVOUS_OUTCOME_OK, ""));
    is_done(&s, EXCHANGE_OK, "");
    forget(&s);
    assert_int_equal(put(&s, "key", "value"), 0); /* it is there */
    is_done(&s, EXCHANGE_OK, "");
    assert_null(last(&s, EXCHANGE_DO_SEND));
    assert_int_equal(put(&s, "taken", "value"), 0);
    assert_true(receive_value(&s, sent(&s)->put.token, RENDEZVOUS_OUTCOME_EXISTS, ""));
    is_done(&s, EXCHANGE_EXISTS, "words");
    assert_int_equal(put(&s, "taken", "other"), 0); /* that one is not ours to keep */
    exchange_timer(s.x, NOW + 1000);
    drain(&s);
    is_done(&s, EXCHANGE_TIMED_OUT,
            "the time is over, and the controller has not said that it has it");
    /* A next controller gets both: it may come later. */
    forget(&s);
    exchange_welcomed(s.x, true, 2);
    drain(&s);
    assert_int_equal(count_sent(&s, RENDEZVOUS_PUT), 2);
    done(&s);
}

static void test_a_get_waits_or_does_not(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    assert_int_equal(get(&s, "key", 1000), 0);
    assert_int_equal(sent(&s)->get.mode, RENDEZVOUS_GET_WAIT);
    uint64_t token = sent(&s)->get.token;
    assert_int_equal(get(&s, "key", -1), 0);
    assert_int_equal(sent(&s)->get.mode, RENDEZVOUS_GET_NOW);
    assert_true(receive_value(&s, token, RENDEZVOUS_OUTCOME_OK, "value"));
    is_done(&s, EXCHANGE_OK, "");
    assert_string_equal(last(&s, EXCHANGE_DO_DONE)->data, "value");
    assert_int_equal(last(&s, EXCHANGE_DO_DONE)->out.tag, 1);
    assert_false(receive_value(&s, token, RENDEZVOUS_OUTCOME_OK, "value")); /* again */
    assert_int_equal(get(&s, "late", 1000), 0);
    exchange_timer(s.x, NOW + 1000);
    drain(&s);
    assert_int_equal(sent(&s)->get.mode, RENDEZVOUS_GET_GIVE_UP);
    assert_true(receive_value(&s, sent(&s)->get.token, RENDEZVOUS_OUTCOME_TIMED_OUT, ""));
    is_done(&s, EXCHANGE_TIMED_OUT, "words");
    done(&s);
}

static void test_a_few_fetches_are_said_at_a_time(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    for (int i = 0; i < 10; i++)
        assert_int_equal(fetch(&s, "modex", 2, 0), 0);
    assert_int_equal(count_sent(&s, RENDEZVOUS_GET), EXCHANGE_FETCHES_MAX);
    assert_true(s.seen[0].sent.get.of_member);
    assert_int_equal(s.seen[0].sent.get.node_rank, 2);
    assert_true(receive_value(&s, s.seen[3].sent.get.token, RENDEZVOUS_OUTCOME_OK, "data"));
    assert_int_equal(count_sent(&s, RENDEZVOUS_GET), EXCHANGE_FETCHES_MAX + 1);
    exchange_cancel(s.x, EXCHANGE_USER_PMIX, 1); /* gives up, and makes room */
    drain(&s);
    assert_int_equal(count_sent(&s, RENDEZVOUS_GET), EXCHANGE_FETCHES_MAX + 3);
    forget(&s);
    exchange_closed(s.x);
    exchange_welcomed(s.x, true, 1);
    drain(&s);
    assert_int_equal(count_sent(&s, RENDEZVOUS_GET), EXCHANGE_FETCHES_MAX);
    done(&s);
}

static void test_a_question_goes_to_the_user_whose_name_it_has(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    receive_question(&s, 1, "pmi1/card", EXCHANGE_QUESTION_SEQUENCE);
    const struct seen *asked = last(&s, EXCHANGE_DO_QUESTION);
    assert_non_null(asked);
    assert_int_equal(asked->out.user, EXCHANGE_USER_PMI1);
    assert_string_equal(asked->name, "card");
    uint64_t question = asked->out.question;
    receive_question(&s, 1, "pmi1/card", EXCHANGE_QUESTION_SEQUENCE); /* again, after a cut */
    assert_int_equal(s.count, 1);
    exchange_answer(s.x, question, EXCHANGE_OK, "an answer", 9);
    exchange_answer(s.x, question, EXCHANGE_OK, "another", 7); /* was answered */
    drain(&s);
    assert_int_equal(s.count, 2);
    assert_int_equal(sent(&s)->value.token, 1);
    assert_memory_equal(sent(&s)->value.data, "an answer", 9);
    receive_question(&s, 2, "nobody/card", EXCHANGE_QUESTION_SEQUENCE);
    assert_int_equal(sent(&s)->value.outcome, RENDEZVOUS_OUTCOME_NOT_FOUND);
    /* A next controller counts from 1 again: what the last one has asked is not its question. */
    receive_question(&s, 3, "pmi1/card", EXCHANGE_QUESTION_SEQUENCE);
    question = last(&s, EXCHANGE_DO_QUESTION)->out.question;
    exchange_closed(s.x);
    exchange_welcomed(s.x, true, 2);
    forget(&s);
    exchange_answer(s.x, question, EXCHANGE_OK, "late", 4);
    drain(&s);
    assert_int_equal(s.count, 0);
    done(&s);
}

static void test_a_member_may_ask_itself(void **state)
{
    (void)state;
    struct scene s;
    init(&s);
    assert_int_equal(fetch(&s, "card", 1, EXCHANGE_QUESTION_SEQUENCE), 0);
    assert_null(last(&s, EXCHANGE_DO_SEND));
    const struct seen *asked = last(&s, EXCHANGE_DO_QUESTION);
    exchange_welcomed(s.x, true, 2); /* has nothing to do with it */
    drain(&s);
    assert_null(last(&s, EXCHANGE_DO_SEND));
    exchange_answer(s.x, asked->out.question, EXCHANGE_OK, "mine", 4);
    drain(&s);
    is_done(&s, EXCHANGE_OK, "");
    assert_string_equal(last(&s, EXCHANGE_DO_DONE)->data, "mine");
    assert_int_equal(fetch(&s, "card", 1, 7), 0); /* no such gather */
    is_done(&s, EXCHANGE_NOT_FOUND, NULL);
    assert_int_equal(fetch(&s, "card", 1, EXCHANGE_QUESTION_SEQUENCE), 0);
    exchange_end(s.x, "over");
    drain(&s);
    is_done(&s, EXCHANGE_ENDED, "over");
    done(&s);
}

/* ---- in the supervisor ---- */

static void test_the_supervisor_carries_it_from_start_to_kill(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct rendezvous_message welcome = world_welcome(2), start = world_start(1);
    welcome.welcome.takes_exchange = true;
    start.start.nodes = 2;
    struct exchange_request r = {.user = EXCHANGE_USER_SDK, .name = "b", .time_ms = 500};
    struct exchange *x = supervisor_exchange(w.s);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    assert_true(w.sent[0].hello.takes_exchange);
    assert_int_equal(exchange_gather(x, &r, "", 0, NULL, 0, w.now_ms, NULL), -ECANCELED);
    world_receive(&w, &welcome);
    world_happen(&w, SUPERVISOR_ON_CLEANED);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_PORT_HELD, .port = 4000});
    world_step(
        &w, (struct supervisor_event){.kind = SUPERVISOR_ON_SCANNED, .scanned = {.fresh = true}});
    world_receive(&w, &start);
    world_forget(&w);
    assert_int_equal(exchange_gather(x, &r, "", 0, NULL, 0, w.now_ms, NULL), 0);
    world_take_effects(&w);
    assert_int_equal(w.sent[0].type, RENDEZVOUS_GATHER);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_EXCHANGE], 500);
    assert_int_equal(w.asked[SUPERVISOR_DO_EXCHANGED], 0);
    uint64_t refusals = supervisor_refusals(w.s);
    struct rendezvous_message gathered = {
        .type = RENDEZVOUS_GATHERED, .attempt = 2, .gathered = {.name = "sdk/b"}};
    world_receive(&w, &gathered); /* of another attempt */
    assert_int_equal(supervisor_refusals(w.s), refusals + 1);
    gathered.attempt = 1;
    world_receive(&w, &gathered);
    assert_int_equal(w.asked[SUPERVISOR_DO_EXCHANGED], 1);
    assert_int_equal(exchange_gather(x, &r, "", 0, NULL, 0, w.now_ms, NULL), 0);
    world_happen(&w, SUPERVISOR_ON_CLOSED);
    world_forget(&w);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    assert_int_equal(w.sent_count, 1); /* HELLO comes first, and alone */
    world_receive(&w, &welcome);
    assert_int_equal(w.sent[w.sent_count - 1].type, RENDEZVOUS_GATHER);
    struct rendezvous_message stop = {.type = RENDEZVOUS_STOP, .attempt = 1};
    stop.stop.reason = "x";
    world_receive(&w, &stop); /* without grace: SIGKILL */
    assert_int_equal(w.asked[SUPERVISOR_DO_EXCHANGED], 1);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_EXCHANGE], -1);
    assert_int_equal(exchange_gather(x, &r, "", 0, NULL, 0, w.now_ms, NULL), -ECANCELED);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gather_is_said_and_its_result_told_once),
        cmocka_unit_test(test_a_failure_is_told_in_words_though_some_data_came_with_it),
        cmocka_unit_test(test_the_members_are_told_as_bits),
        cmocka_unit_test(test_what_may_not_be_begun_is_refused_with_words),
        cmocka_unit_test(test_what_is_open_is_said_again_when_the_channel_is_back),
        cmocka_unit_test(test_a_next_controller_is_told_until_it_has_it),
        cmocka_unit_test(test_an_older_controller_ends_what_is_open),
        cmocka_unit_test(test_who_runs_out_of_time_asks_for_the_last_word),
        cmocka_unit_test(test_large_data_stays_and_is_given_when_asked_for),
        cmocka_unit_test(test_old_parts_make_way_for_new_ones),
        cmocka_unit_test(test_a_cancelled_gather_still_counts_and_is_not_told),
        cmocka_unit_test(test_a_put_is_done_when_the_controller_has_it),
        cmocka_unit_test(test_a_get_waits_or_does_not),
        cmocka_unit_test(test_a_few_fetches_are_said_at_a_time),
        cmocka_unit_test(test_a_question_goes_to_the_user_whose_name_it_has),
        cmocka_unit_test(test_a_member_may_ask_itself),
        cmocka_unit_test(test_the_supervisor_carries_it_from_start_to_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
