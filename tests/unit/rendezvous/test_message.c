/* Messages: every type there and back, maxima, and bytes that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "rendezvous/message.h"

/* Frames written by `m`, decoded into *ret. The caller releases both. */
static int there_and_back(const struct rendezvous_message *m, struct mlt_text *bytes,
                          struct rendezvous_message *ret, struct mlt_error *err)
{
    struct rendezvous_reader r;
    struct rendezvous_frame f;
    rendezvous_message_write(bytes, m);
    if (bytes->failed)
        return -EMSGSIZE;
    rendezvous_reader_init(&r, RENDEZVOUS_BOTH);
    assert_int_equal(rendezvous_reader_feed(&r, bytes->data, bytes->length, err), 0);
    assert_int_equal(rendezvous_reader_next(&r, &f, err), 1);
    int rc = rendezvous_message_read(&f, ret, err);
    rendezvous_reader_release(&r);
    return rc;
}

static struct rendezvous_exit exits[2] = {
    {.rank = 8,
     .local_rank = 0,
     .code = 1,
     .cause = RENDEZVOUS_CAUSE_EXITED,
     .after_ms = 1234,
     .tail = "Traceback\n"},
    {.rank = 9,
     .local_rank = 1,
     .signal = 9,
     .cause = RENDEZVOUS_CAUSE_OUT_OF_MEMORY,
     .after_ms = UINT64_MAX,
     .tail = ""},
};
static struct rendezvous_checkpoint checkpoints[2] = {
    {.step = 4000, .path = "/c/4000", .wall_ms = 1732406400000},
    {.step = 0, .path = "", .wall_ms = -1}};
static uint32_t pids[3] = {17, 0, INT32_MAX};
static struct rendezvous_evidence evidence[2] = {
    {.local_rank = 0,
     .state = 'D',
     .wait_channel = "io_schedule",
     .cpu_ms = 1234,
     .busy_permille = 1000,
     .step = 12,
     .silent_ms = 30000},
    {.local_rank = 255, .state = '?', .wait_channel = "", .step = RENDEZVOUS_NO_STEP},
};
static const char *environment[2] = {"NCCL_DEBUG=INFO", "EMPTY="};

static const unsigned char any_bytes[4] = {0, 255, 0, 'x'};
static struct rendezvous_gathered_entry entries[2] = {
    {.node_rank = 0, .data = any_bytes, .data_length = 4}, {.node_rank = 2047, .stays = 70000}};

static const struct rendezvous_message samples[] = {
    {.type = RENDEZVOUS_HELLO,
     .attempt = 3,
     .hello = {.lease_transitions = 5,
               .pod_uid = "b1c2",
               .role = "worker",
               .node = "node001",
               .address = "10.0.0.1",
               .slot = 1,
               .launcher_version = "0.1.0",
               .state = RENDEZVOUS_STATE_STOPPED,
               .start_digest = 99,
               .start_attempt = 3,
               .terminating = true,
               .port = 65535,
               .running = 2,
               .exits = exits,
               .exits_count = 2,
               .checkpoints = checkpoints,
               .checkpoints_count = 2,
               .step = RENDEZVOUS_NO_STEP,
               .takes_orders = true,
               .since_start_ms = 76,
               .takes_exchange = true}},
    {.type = RENDEZVOUS_READY, .attempt = UINT64_MAX, .ready = {.port = 29500}},
    {.type = RENDEZVOUS_STARTED,
     .attempt = 1,
     .started = {.pids = pids, .pids_count = 3, .start_to_exec_us = 4711}},
    {.type = RENDEZVOUS_RANK_EXIT,
     .attempt = 2,
     .rank_exit = {.exit = {.rank = 8,
                            .code = -1,
                            .signal = 0,
                            .cause = RENDEZVOUS_CAUSE_EXEC_FAILED,
                            .tail = "x"}}},
    {.type = RENDEZVOUS_STOPPED,
     .attempt = 2,
     .stopped = {.unkillable = true, .exits = exits, .exits_count = 2, .since_start_ms = 75}},
    {.type = RENDEZVOUS_TERMINATING, .attempt = 2, .terminating = {.signal = 15}},
    {.type = RENDEZVOUS_PROGRESS,
     .attempt = 2,
     .progress = {.step = INT64_MAX, .total_steps = 10000, .steps_per_kilosecond = 1500}},
    {.type = RENDEZVOUS_CHECKPOINT,
     .attempt = 2,
     .checkpoint = {.checkpoints = checkpoints, .checkpoints_count = 1, .torn_step = 4100}},
    {.type = RENDEZVOUS_PONG, .pong = {.nonce = 77, .since_start_ms = 78}},
    {.type = RENDEZVOUS_PING, .ping = {.nonce = UINT64_MAX}},
    {.type = RENDEZVOUS_WELCOME,
     .attempt = 2,
     .welcome = {.lease_transitions = 1,
                 .next_attempt = 3,
                 .framework = "pytorch",
                 .nproc = 256,
                 .max_restarts = 10,
                 .cpu_limit_milli = 1500,
                 .checkpoint_path = "/c",
                 .checkpoint_format = "pattern",
                 .checkpoint_pattern = "ckpt-{step}.pt",
                 .watch_checkpoints = true,
                 .progress_pattern = "step (\\d+)",
                 .total_steps = 5,
                 .environment = environment,
                 .environment_count = 2,
                 .stop_signal = 10,
                 .stop_grace_ms = UINT32_MAX,
                 .takes_notices = true,
                 .checkpoint_repair = true,
                 .fence_ms = 60000,
                 .orders_saves = true,
                 .wireup = RENDEZVOUS_WIREUP_PMI1,
                 .takes_exchange = true}},
    {.type = RENDEZVOUS_START,
     .attempt = 3,
     .start = {.lease_transitions = 1,
               .node_rank = 1,
               .nodes = 2,
               .rank_base = 8,
               .world_size = 16,
               .role_rank_base = 8,
               .role_world_size = 16,
               .master_address = "fd00::1",
               .master_port = 40001,
               .resume_step = 4000,
               .resume_path = "/c/4000"}},
    {.type = RENDEZVOUS_STOP,
     .attempt = 3,
     .stop = {.reason = "rank 3 failed", .grace_ms = 30000, .signal = 15}},
    {.type = RENDEZVOUS_EXIT, .attempt = 3, .exit = {.code = 93, .reason = "done"}},
    {.type = RENDEZVOUS_REFUSED, .refused = {.reason = "wrong pod", .final = true}},
    {.type = RENDEZVOUS_REFUSED, .refused = {.reason = "no job", .final = true, .gone = true}},
    {.type = RENDEZVOUS_CHECKPOINT_NOW,
     .attempt = 3,
     .checkpoint_now = {.step = 122,
                        .confirmed = true,
                        .deadline_ms = 30000,
                        .signal = 10,
                        .reason = "the job was suspended"}},
    {.type = RENDEZVOUS_SAVE_STEP,
     .attempt = 3,
     .save_step = {.proposed = 122, .passed = true, .reached = 124, .asking = 8, .caught = 1}},
    {.type = RENDEZVOUS_EXAMINE, .attempt = 3},
    {.type = RENDEZVOUS_EVIDENCE, .attempt = 3, .evidence = {.ranks = evidence, .ranks_count = 2}},
    {.type = RENDEZVOUS_NOTICE,
     .attempt = 1,
     .notice = {.severity = RENDEZVOUS_SEVERITY_WARNING,
                .reason = "InvalidProgressPattern",
                .words = "missing closing parenthesis"}},
    {.type = RENDEZVOUS_PUT,
     .attempt = 3,
     .put = {.token = 7, .name = "pmi1/card", .data = any_bytes, .data_length = 4}},
    {.type = RENDEZVOUS_GET,
     .attempt = 3,
     .get = {.token = UINT64_MAX,
             .name = "pmix/0",
             .mode = RENDEZVOUS_GET_GIVE_UP,
             .of_member = true,
             .node_rank = 2047,
             .sequence = UINT64_MAX}},
    {.type = RENDEZVOUS_GATHER,
     .attempt = 3,
     .gather = {.name = "pmix/fence",
                .sequence = 2,
                .state = RENDEZVOUS_GATHER_DONE,
                .stays = 1024 * 1024,
                .members = any_bytes,
                .members_length = 1,
                .data = any_bytes,
                .data_length = 4}},
    {.type = RENDEZVOUS_GATHER, .attempt = 3, .gather = {.name = "barrier"}},
    {.type = RENDEZVOUS_REMOTE_RUN, .attempt = 3, .remote_run = {.command = "orted -mca a \"b\""}},
    {.type = RENDEZVOUS_REMOTE_INPUT,
     .attempt = 3,
     .remote_bytes = {.data = any_bytes, .data_length = 4}},
    {.type = RENDEZVOUS_REMOTE_TAKEN, .attempt = 3, .remote_taken = {.stream = 2, .bytes = 9}},
    {.type = RENDEZVOUS_REMOTE_OUTPUT,
     .attempt = 3,
     .remote_bytes = {.stream = 2, .data = any_bytes, .data_length = 4}},
    {.type = RENDEZVOUS_REMOTE_ENDED,
     .attempt = 3,
     .remote_ended = {.code = 255, .signal = 9, .words = "over"}},
    {.type = RENDEZVOUS_VALUE,
     .attempt = 3,
     .value = {.token = 7,
               .outcome = RENDEZVOUS_OUTCOME_REFUSED,
               .words = "no",
               .data = any_bytes,
               .data_length = 4}},
    {.type = RENDEZVOUS_GATHERED,
     .attempt = 3,
     .gathered = {.name = "pmix/fence",
                  .sequence = 2,
                  .outcome = RENDEZVOUS_OUTCOME_TIMED_OUT,
                  .words = "worker 3 has not come",
                  .entries = entries,
                  .entries_count = 2}},
};

/* Widths of the fields at the payload's end that an earlier release did not send, first to last. */
static const unsigned char *appended_widths(enum rendezvous_type type)
{
    static const unsigned char hello[] = {1, 8, 1, 0}, welcome[] = {4, 4, 1, 1, 4, 1, 4, 1, 0},
                               clock[] = {8, 0}, refused[] = {1, 0}, none[] = {0};
    switch (type) {
    case RENDEZVOUS_HELLO:
        return hello;
    case RENDEZVOUS_WELCOME:
        return welcome;
    case RENDEZVOUS_STOPPED:
    case RENDEZVOUS_PONG:
        return clock;
    case RENDEZVOUS_REFUSED:
        return refused;
    default:
        return none;
    }
}

static size_t appended_bytes(enum rendezvous_type type)
{
    size_t sum = 0;
    for (const unsigned char *width = appended_widths(type); *width; width++)
        sum += *width;
    return sum;
}

/* Whether a payload of this length ends before an appended field, and not within one. */
static bool ends_before_appended(enum rendezvous_type type, size_t length, size_t whole)
{
    size_t end = whole - appended_bytes(type);
    for (const unsigned char *width = appended_widths(type); *width; end += *width++)
        if (length == end)
            return true;
    return false;
}

/* Equal bytes after a second writing mean equal fields, as every field is written. */
static void test_every_message_survives_the_wire(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct mlt_text first = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX),
                        second = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
        struct rendezvous_message m;
        struct mlt_error err = {0};
        int rc = there_and_back(&samples[i], &first, &m, &err);
        if (rc != 0)
            fail_msg("%s: %s", rendezvous_type_name((uint8_t)samples[i].type), err.text);
        assert_int_equal(m.type, samples[i].type);
        assert_true(m.attempt == samples[i].attempt);
        rendezvous_message_write(&second, &m);
        assert_int_equal(first.length, second.length);
        assert_memory_equal(first.data, second.data, first.length);
        rendezvous_message_release(&m);
        rendezvous_message_release(&m); /* twice is fine */
        mlt_text_release(&first);
        mlt_text_release(&second);
    }
}

static void test_fields_arrive_as_they_were(void **state)
{
    (void)state;
    struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    struct rendezvous_message m;
    assert_int_equal(there_and_back(&samples[0], &bytes, &m, NULL), 0);
    assert_string_equal(m.hello.pod_uid, "b1c2");
    assert_string_equal(m.hello.address, "10.0.0.1");
    assert_int_equal(m.hello.slot, 1);
    assert_true(m.hello.terminating);
    assert_int_equal(m.hello.port, 65535);
    assert_int_equal(m.hello.exits_count, 2);
    assert_string_equal(m.hello.exits[0].tail, "Traceback\n");
    assert_int_equal(m.hello.exits[1].signal, 9);
    assert_int_equal(m.hello.checkpoints[0].step, 4000);
    assert_string_equal(m.hello.checkpoints[1].path, "");
    assert_true(m.hello.checkpoints[1].wall_ms == -1);
    assert_true(m.hello.step == RENDEZVOUS_NO_STEP);
    rendezvous_message_release(&m);
    mlt_text_release(&bytes);
}

static void test_bytes_arrive_whole_with_the_nuls_in_them(void **state)
{
    (void)state;
    struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    struct rendezvous_message m;
    const size_t last = sizeof samples / sizeof samples[0] - 1;
    assert_int_equal(samples[last].type, RENDEZVOUS_GATHERED);
    assert_int_equal(there_and_back(&samples[last], &bytes, &m, NULL), 0);
    assert_string_equal(m.gathered.name, "pmix/fence");
    assert_string_equal(m.gathered.words, "worker 3 has not come");
    assert_int_equal(m.gathered.entries_count, 2);
    assert_int_equal(m.gathered.entries[0].data_length, 4);
    assert_memory_equal(m.gathered.entries[0].data, any_bytes, 4);
    assert_int_equal(m.gathered.entries[1].data_length, 0);
    assert_int_equal(m.gathered.entries[1].stays, 70000);
    rendezvous_message_release(&m);
    mlt_text_release(&bytes);
}

/* Cuts the payload at every length: each cut is refused, or it is the whole. */
static void test_a_payload_that_ends_early_is_refused_wherever_it_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
        rendezvous_message_write(&bytes, &samples[i]);
        size_t whole = bytes.length - RENDEZVOUS_HEADER_SIZE;
        for (size_t length = 0; length < whole; length++) {
            /* Memory of its own, so that a sanitizer sees a byte read too far. */
            unsigned char *payload = malloc(length + 1);
            assert_non_null(payload);
            memcpy(payload, bytes.data + RENDEZVOUS_HEADER_SIZE, length);
            struct rendezvous_frame f = {.version = 1,
                                         .type = (uint8_t)samples[i].type,
                                         .payload = payload,
                                         .length = (uint32_t)length};
            struct rendezvous_message m = {.attempt = 4242};
            struct mlt_error err = {0};
            if (ends_before_appended(samples[i].type, length, whole)) {
                assert_int_equal(rendezvous_message_read(&f, &m, &err), 0);
                rendezvous_message_release(&m);
                free(payload);
                continue;
            }
            assert_int_equal(rendezvous_message_read(&f, &m, &err), -EPROTO);
            assert_int_equal(m.attempt, 4242); /* untouched */
            assert_non_null(strstr(err.text, "the payload ends"));
            free(payload);
        }
        mlt_text_release(&bytes);
    }
}

static void test_what_a_later_release_appends_is_ignored(void **state)
{
    (void)state;
    unsigned char payload[] = {0x13, 0x88, 'n', 'e', 'w'};
    struct rendezvous_frame f = {
        .version = 1, .type = RENDEZVOUS_READY, .payload = payload, .length = sizeof payload};
    struct rendezvous_message m;
    assert_int_equal(rendezvous_message_read(&f, &m, NULL), 0);
    assert_int_equal(m.ready.port, 5000);
    rendezvous_message_release(&m);
}

static void test_what_an_earlier_release_did_not_append_is_zero(void **state)
{
    (void)state;
    struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    rendezvous_message_write(&bytes, &samples[10]);
    size_t length = bytes.length - RENDEZVOUS_HEADER_SIZE - appended_bytes(RENDEZVOUS_WELCOME);
    struct rendezvous_frame f = {.version = 1,
                                 .type = RENDEZVOUS_WELCOME,
                                 .payload =
                                     (const unsigned char *)bytes.data + RENDEZVOUS_HEADER_SIZE,
                                 .length = (uint32_t)length};
    struct rendezvous_message m;
    assert_int_equal(rendezvous_message_read(&f, &m, NULL), 0);
    assert_int_equal(m.welcome.environment_count, 2);
    assert_int_equal(m.welcome.stop_signal, 0);
    assert_int_equal(m.welcome.stop_grace_ms, 0);
    assert_false(m.welcome.takes_notices);
    rendezvous_message_release(&m);
    mlt_text_release(&bytes);
}

static char *filled(size_t length, const char *end)
{
    char *text = malloc(length + 1);
    assert_non_null(text);
    memset(text, 'a', length);
    memcpy(text + length - strlen(end), end, strlen(end));
    text[length] = '\0';
    return text;
}

static void test_a_reason_is_one_camel_case_word(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        bool is_reason;
    } rows[] = {
        {"InvalidProgressPattern", true},
        {"Oom2", true},
        {"A", true},
        {"", false},
        {"invalid", false},
        {"9Lives", false},
        {"Two Words", false},
        {"Line\n", false},
        {"Caf\xc3\xa9", false},
    };
    char *longest = filled(RENDEZVOUS_NOTICE_MAX, "a"),
         *longer = filled(RENDEZVOUS_NOTICE_MAX + 1, "a");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rendezvous_is_reason(rows[i].word) != rows[i].is_reason)
            fail_msg("`%s`", rows[i].word);
    longest[0] = longer[0] = 'A';
    assert_true(rendezvous_is_reason(longest));
    assert_false(rendezvous_is_reason(longer));
    free(longest);
    free(longer);
}

static const struct {
    const char *sentence;
    uint8_t type;
    uint32_t length;
    unsigned char payload[40];
    const char *words;
} lies[] = {
    {"a count that would need gigabytes",
     RENDEZVOUS_STARTED,
     4,
     {255, 255, 255, 255},
     "STARTED.pids: 4294967295 entries, at most 256 are allowed"},
    {"a count above what is there",
     RENDEZVOUS_STARTED,
     8,
     {0, 0, 0, 200, 0, 0, 0, 1},
     "STARTED.pids: the payload ends within it"},
    {"a string longer than its maximum",
     RENDEZVOUS_STOP,
     8,
     {0, 0, 4, 1, 'a', 'b', 'c', 'd'},
     "STOP.reason: 1025 bytes, at most 1024 are allowed"},
    {"a string longer than the payload",
     RENDEZVOUS_STOP,
     6,
     {0, 0, 0, 9, 'a', 'b'},
     "STOP.reason: the payload ends within it"},
    {"a NUL within a string",
     RENDEZVOUS_REFUSED,
     8,
     {0, 0, 0, 3, 'a', 0, 'c', 1},
     "REFUSED.reason: it holds a NUL byte"},
    {"a boolean of 2", RENDEZVOUS_STOPPED, 5, {2}, "STOPPED.unkillable: 2 is not from 0 to 1"},
    {"a signal of 128",
     RENDEZVOUS_TERMINATING,
     4,
     {0, 0, 0, 128},
     "TERMINATING.signal: 128 is not from 0 to 127"},
    {"a severity of 2", RENDEZVOUS_NOTICE, 1, {2}, "NOTICE.severity: 2 is not from 0 to 1"},
    {"a notice's reason of 65 bytes",
     RENDEZVOUS_NOTICE,
     5,
     {1, 0, 0, 0, 65},
     "NOTICE.reason: 65 bytes, at most 64 are allowed"},
    {"a negative step",
     RENDEZVOUS_PROGRESS,
     24,
     {255, 255, 255, 255, 255, 255, 255, 254},
     "PROGRESS.step: -2 is not from -1 to 9223372036854775807"},
    {"an unknown cause",
     RENDEZVOUS_RANK_EXIT,
     32,
     {[19] = 9},
     "RANK_EXIT.cause: 9 is not from 1 to 8"},
};

static void test_lies_are_refused_and_the_field_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct rendezvous_frame f = {.version = 1,
                                     .type = lies[i].type,
                                     .payload = lies[i].payload,
                                     .length = lies[i].length};
        struct rendezvous_message m;
        struct mlt_error err = {0};
        int rc = rendezvous_message_read(&f, &m, &err);
        if (rc != -EPROTO || strcmp(err.text, lies[i].words) != 0)
            fail_msg("%s: %d, `%s`", lies[i].sentence, rc, err.text);
    }
}

static void test_of_a_tail_the_end_is_sent_and_of_a_reason_the_beginning(void **state)
{
    (void)state;
    struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    char *tail = filled(10000, "the end"), *reason = filled(5000, "the end");
    struct rendezvous_message m = {
        .type = RENDEZVOUS_RANK_EXIT,
        .rank_exit = {.exit = {.cause = RENDEZVOUS_CAUSE_EXITED, .tail = tail}}};
    struct rendezvous_message back;
    assert_int_equal(there_and_back(&m, &bytes, &back, NULL), 0);
    assert_int_equal(strlen(back.rank_exit.exit.tail), RENDEZVOUS_TAIL_MAX);
    assert_string_equal(back.rank_exit.exit.tail + RENDEZVOUS_TAIL_MAX - 7, "the end");
    rendezvous_message_release(&back);
    mlt_text_clear(&bytes);
    m = (struct rendezvous_message){.type = RENDEZVOUS_STOP, .stop = {.reason = reason}};
    assert_int_equal(there_and_back(&m, &bytes, &back, NULL), 0);
    assert_int_equal(strlen(back.stop.reason), RENDEZVOUS_REASON_MAX);
    assert_null(strstr(back.stop.reason, "the end"));
    rendezvous_message_release(&back);
    mlt_text_release(&bytes);
    free(tail);
    free(reason);
}

static void test_a_cut_never_leaves_half_a_character(void **state)
{
    (void)state;
    struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    char reason[RENDEZVOUS_REASON_MAX + 8];
    memset(reason, 'a', sizeof reason);
    memcpy(reason + RENDEZVOUS_REASON_MAX - 1, "\xe2\x82\xac",
           4); /* a euro sign across the maximum */
    struct rendezvous_message m = {.type = RENDEZVOUS_STOP, .stop = {.reason = reason}}, back;
    assert_int_equal(there_and_back(&m, &bytes, &back, NULL), 0);
    assert_int_equal(strlen(back.stop.reason), RENDEZVOUS_REASON_MAX - 1);
    rendezvous_message_release(&back);
    mlt_text_release(&bytes);
}

static void test_two_hundred_and_fifty_six_failed_ranks_fit_into_stopped_and_hello(void **state)
{
    (void)state;
    static struct rendezvous_exit all[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    struct rendezvous_checkpoint eight[RENDEZVOUS_CHECKPOINTS_MAX];
    char *tail = filled(RENDEZVOUS_TAIL_MAX, "the end"), *path = filled(RENDEZVOUS_PATH_MAX, "/");
    for (uint32_t i = 0; i < RENDEZVOUS_RANKS_PER_MEMBER_MAX; i++)
        all[i] = (struct rendezvous_exit){
            .rank = i, .local_rank = i, .code = 1, .cause = RENDEZVOUS_CAUSE_EXITED, .tail = tail};
    for (uint32_t i = 0; i < RENDEZVOUS_CHECKPOINTS_MAX; i++)
        eight[i] = (struct rendezvous_checkpoint){.step = i, .path = path};
    struct rendezvous_message m = samples[0], back;
    m.hello.exits = all;
    m.hello.exits_count = RENDEZVOUS_RANKS_PER_MEMBER_MAX;
    m.hello.checkpoints = eight;
    m.hello.checkpoints_count = RENDEZVOUS_CHECKPOINTS_MAX;
    struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    assert_int_equal(there_and_back(&m, &bytes, &back, NULL), 0);
    assert_string_equal(back.hello.exits[255].tail + strlen(back.hello.exits[255].tail) - 7,
                        "the end");
    rendezvous_message_release(&back);
    mlt_text_release(&bytes);
    free(tail);
    free(path);
}

static void test_what_the_peer_would_refuse_is_not_written(void **state)
{
    (void)state;
    char *path = filled(RENDEZVOUS_PATH_MAX + 1, "x");
    struct rendezvous_message bad[] = {
        {.type = RENDEZVOUS_START,
         .start = {.nodes = 1, .world_size = 1, .role_world_size = 1, .resume_path = path}},
        {.type = RENDEZVOUS_WELCOME, .welcome = {.nproc = 257}},
        {.type = RENDEZVOUS_STARTED, .started = {.pids = pids, .pids_count = 257}},
        {.type = RENDEZVOUS_EXIT, .exit = {.code = 256}},
        {.type = RENDEZVOUS_PUT,
         .put = {.name = "x", .data = any_bytes, .data_length = RENDEZVOUS_CONTRIBUTION_MAX + 1}},
        {.type = RENDEZVOUS_GET, .get = {.name = "x", .mode = 3}},
        {.type = RENDEZVOUS_VALUE, .value = {.outcome = 10}},
        {.type = (enum rendezvous_type)50},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
        rendezvous_message_write(&bytes, &bad[i]);
        assert_true(bytes.failed);
        assert_int_equal(bytes.length, 0);
        mlt_text_release(&bytes);
    }
    free(path);
}

static void test_the_digest_of_a_start_covers_what_all_members_share(void **state)
{
    (void)state;
    const struct rendezvous_start base = samples[11].start;
    uint64_t digest = rendezvous_start_digest(3, &base);
    assert_true(digest != 0);
    struct rendezvous_start other = base;
    other.lease_transitions++;
    other.node_rank++;
    other.rank_base++;
    other.role_rank_base++;
    other.role_world_size++;
    assert_true(rendezvous_start_digest(3, &other) == digest);
    assert_true(rendezvous_start_digest(4, &base) != digest);
    struct rendezvous_start changed[6] = {base, base, base, base, base, base};
    changed[0].nodes++;
    changed[1].world_size++;
    changed[2].master_address = "fd00::2";
    changed[3].master_port++;
    changed[4].resume_step = RENDEZVOUS_NO_STEP;
    changed[5].resume_path = NULL;
    for (size_t i = 0; i < 6; i++)
        assert_true(rendezvous_start_digest(3, &changed[i]) != digest);
}

static void test_causes_have_words(void **state)
{
    (void)state;
    assert_string_equal(rendezvous_cause_words(RENDEZVOUS_CAUSE_OUT_OF_MEMORY), "out of memory");
    assert_non_null(rendezvous_cause_words((enum rendezvous_cause)99));
    assert_string_equal(rendezvous_outcome_words(RENDEZVOUS_OUTCOME_TIMED_OUT),
                        "the time was over");
    assert_string_equal(rendezvous_outcome_words((enum rendezvous_outcome)99), "?");
    assert_string_equal(rendezvous_type_name(RENDEZVOUS_HELLO), "HELLO");
    assert_string_equal(rendezvous_type_name(50), "?");
    assert_string_equal(rendezvous_type_name(255), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_survives_the_wire),
        cmocka_unit_test(test_fields_arrive_as_they_were),
        cmocka_unit_test(test_bytes_arrive_whole_with_the_nuls_in_them),
        cmocka_unit_test(test_a_payload_that_ends_early_is_refused_wherever_it_ends),
        cmocka_unit_test(test_what_an_earlier_release_did_not_append_is_zero),
        cmocka_unit_test(test_a_reason_is_one_camel_case_word),
        cmocka_unit_test(test_what_a_later_release_appends_is_ignored),
        cmocka_unit_test(test_lies_are_refused_and_the_field_is_named),
        cmocka_unit_test(test_of_a_tail_the_end_is_sent_and_of_a_reason_the_beginning),
        cmocka_unit_test(test_a_cut_never_leaves_half_a_character),
        cmocka_unit_test(test_two_hundred_and_fifty_six_failed_ranks_fit_into_stopped_and_hello),
        cmocka_unit_test(test_what_the_peer_would_refuse_is_not_written),
        cmocka_unit_test(test_the_digest_of_a_start_covers_what_all_members_share),
        cmocka_unit_test(test_causes_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
