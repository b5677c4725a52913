/* A coordinator with pretended members: see stage.h. */
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>

static const char *pod_of(uint32_t slot)
{
    static char name[32];
    (void)snprintf(name, sizeof name, "pod-%u", slot);
    return name;
}

void stage_init(struct stage *s, uint32_t members, uint32_t nproc,
                void (*change)(struct coordinator_config *config))
{
    *s = (struct stage){.members = members, .nproc = nproc, .next_channel = 100, .now_ms = 1000};
    struct coordinator_member list[STAGE_MEMBERS_MAX];
    assert_true(members <= STAGE_MEMBERS_MAX);
    for (uint32_t i = 0; i < members; i++) /* given in disorder */
        list[i] =
            (struct coordinator_member){.role = "worker", .slot = members - 1 - i, .nproc = nproc};
    struct coordinator_config config = {.job = "research/llama",
                                        .lease_transitions = 7,
                                        .members = list,
                                        .members_count = members,
                                        .rejoin_ms = COORDINATOR_REJOIN_MS_DEFAULT,
                                        .stop_grace_ms = 30000,
                                        .stop_signal = 15};
    if (change)
        change(&config);
    s->attempt = config.attempt;
    s->outputs = calloc(STAGE_OUTPUTS_MAX, sizeof *s->outputs);
    s->c = coordinator_new(&config, s->now_ms);
    assert_non_null(s->outputs);
    assert_non_null(s->c);
    struct rendezvous_welcome welcome = {.framework = "pytorch", .checkpoint_path = "/checkpoints"};
    assert_true(coordinator_set_welcome(s->c, &welcome));
    for (uint32_t i = 0; i < members; i++)
        coordinator_expect_pod(s->c, "worker", i, pod_of(i));
    stage_drain(s);
}

void stage_forget(struct stage *s)
{
    for (size_t i = 0; i < s->count; i++)
        rendezvous_message_release(&s->outputs[i].sent);
    s->count = 0;
}

void stage_release(struct stage *s)
{
    stage_forget(s);
    assert_false(coordinator_failed(s->c));
    coordinator_free(s->c);
    free(s->outputs);
}

static void decode(struct stage_output *to, const struct coordinator_output *out)
{
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    struct mlt_error err = {0};
    rendezvous_reader_init(&reader, RENDEZVOUS_DOWN);
    assert_int_equal(rendezvous_reader_feed(&reader, out->bytes, out->length, &err), 0);
    assert_int_equal(rendezvous_reader_next(&reader, &frame, &err), 1);
    assert_int_equal(rendezvous_message_read(&frame, &to->sent, &err), 0);
    assert_int_equal(rendezvous_reader_next(&reader, &frame, &err), 0);
    rendezvous_reader_release(&reader);
}

void stage_drain(struct stage *s)
{
    coordinator_check(s->c);
    struct coordinator_output out;
    while (coordinator_next(s->c, &out)) {
        assert_true(s->count < STAGE_OUTPUTS_MAX);
        struct stage_output *to = &s->outputs[s->count++];
        *to = (struct stage_output){.out = out};
        bool verdict = out.kind == COORDINATOR_VERDICT;
        (void)snprintf(to->words, sizeof to->words, "%s", verdict ? out.verdict.words : out.words);
        (void)snprintf(to->tail, sizeof to->tail, "%s", out.verdict.tail);
        (void)snprintf(to->node, sizeof to->node, "%s", out.verdict.node);
        (void)snprintf(to->role, sizeof to->role, "%s", verdict ? out.verdict.role : out.role);
        (void)snprintf(to->reason, sizeof to->reason, "%s", out.reason);
        to->first_checkpoint = out.checkpoints_count ? out.checkpoints[0].step : -1;
        if (out.kind == COORDINATOR_SEND)
            decode(to, &out);
    }
    coordinator_check(s->c);
}

const struct stage_output *stage_find(const struct stage *s, enum coordinator_output_kind kind,
                                      unsigned n)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->outputs[i].out.kind == kind && n-- == 0)
            return &s->outputs[i];
    return NULL;
}

unsigned stage_count(const struct stage *s, enum coordinator_output_kind kind)
{
    unsigned n = 0;
    while (stage_find(s, kind, n))
        n++;
    return n;
}

const struct rendezvous_message *stage_sent(const struct stage *s, uint32_t slot,
                                            enum rendezvous_type type)
{
    for (size_t i = s->count; i > 0; i--) {
        const struct stage_output *o = &s->outputs[i - 1];
        if (o->out.kind == COORDINATOR_SEND && o->out.channel == s->channels[slot] &&
            o->sent.type == type)
            return &o->sent;
    }
    return NULL;
}

unsigned stage_sent_count(const struct stage *s, uint32_t slot, enum rendezvous_type type)
{
    unsigned n = 0;
    for (size_t i = 0; i < s->count; i++)
        n += s->outputs[i].out.kind == COORDINATOR_SEND &&
             s->outputs[i].out.channel == s->channels[slot] && s->outputs[i].sent.type == type;
    return n;
}

void stage_say(struct stage *s, uint32_t slot, const struct rendezvous_message *m)
{
    struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    struct mlt_error err = {0};
    rendezvous_message_write(&bytes, m);
    assert_false(bytes.failed);
    rendezvous_reader_init(&reader, RENDEZVOUS_UP);
    assert_int_equal(rendezvous_reader_feed(&reader, bytes.data, bytes.length, &err), 0);
    assert_int_equal(rendezvous_reader_next(&reader, &frame, &err), 1);
    coordinator_frame(s->c, s->channels[slot], &frame, s->now_ms);
    rendezvous_reader_release(&reader);
    mlt_text_release(&bytes);
    stage_drain(s);
}

void stage_close(struct stage *s, uint32_t slot)
{
    coordinator_closed(s->c, s->channels[slot], s->now_ms);
    s->channels[slot] = 0;
    stage_drain(s);
}

struct rendezvous_message stage_hello_message(const struct stage *s, uint32_t slot,
                                              enum rendezvous_state state, uint64_t attempt)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_HELLO, .attempt = attempt};
    static char node[32], address[32];
    (void)snprintf(node, sizeof node, "node%03u", slot + 1);
    (void)snprintf(address, sizeof address, "127.0.0.%u", slot + 1);
    m.hello = (struct rendezvous_hello){.pod_uid = pod_of(slot),
                                        .role = "worker",
                                        .node = node,
                                        .address = address,
                                        .slot = slot,
                                        .state = state,
                                        .step = RENDEZVOUS_NO_STEP,
                                        .takes_orders = s->takes_orders,
                                        .takes_exchange = true};
    if (state == RENDEZVOUS_STATE_READY)
        m.hello.port = (uint16_t)(5000 + slot);
    else if (state != RENDEZVOUS_STATE_IDLE) {
        m.hello.start_attempt = attempt;
        m.hello.start_digest = s->digest;
        m.hello.running = state == RENDEZVOUS_STATE_STOPPED ? 0 : s->nproc;
    }
    return m;
}

void stage_hello(struct stage *s, uint32_t slot, enum rendezvous_state state, uint64_t attempt)
{
    struct rendezvous_message m = stage_hello_message(s, slot, state, attempt);
    s->channels[slot] = s->next_channel++;
    stage_say(s, slot, &m);
}

void stage_ready(struct stage *s, uint32_t slot, uint64_t attempt)
{
    struct rendezvous_message m = {
        .type = RENDEZVOUS_READY, .attempt = attempt, .ready = {.port = (uint16_t)(5000 + slot)}};
    stage_say(s, slot, &m);
}

void stage_started(struct stage *s, uint32_t slot, uint64_t us)
{
    struct rendezvous_message m = {
        .type = RENDEZVOUS_STARTED, .attempt = s->attempt, .started = {.start_to_exec_us = us}};
    stage_say(s, slot, &m);
}

struct rendezvous_exit stage_exit_of(const struct stage *s, uint32_t slot, uint32_t local_rank,
                                     enum rendezvous_cause cause, int32_t code, int32_t signal,
                                     uint64_t after_ms)
{
    return (struct rendezvous_exit){.rank = slot * s->nproc + local_rank,
                                    .local_rank = local_rank,
                                    .code = code,
                                    .signal = signal,
                                    .cause = cause,
                                    .after_ms = after_ms,
                                    .tail = code || signal ? "last words" : ""};
}

void stage_exit(struct stage *s, uint32_t slot, uint32_t local_rank, enum rendezvous_cause cause,
                int32_t code, int32_t signal, uint64_t after_ms)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_RANK_EXIT, .attempt = s->attempt};
    m.rank_exit.exit = stage_exit_of(s, slot, local_rank, cause, code, signal, after_ms);
    stage_say(s, slot, &m);
}

void stage_stopped(struct stage *s, uint32_t slot)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_STOPPED, .attempt = s->attempt};
    stage_say(s, slot, &m);
}

void stage_all_ready(struct stage *s)
{
    for (uint32_t i = 0; i < s->members; i++) {
        stage_hello(s, i, RENDEZVOUS_STATE_IDLE, 0);
        stage_ready(s, i, s->attempt + 1);
    }
}

void stage_start(struct stage *s)
{
    s->attempt++;
    assert_true(coordinator_start(s->c, s->attempt, 1200, "/checkpoints/step-1200", s->now_ms));
    stage_drain(s);
    const struct rendezvous_message *start = stage_sent(s, 0, RENDEZVOUS_START);
    assert_non_null(start);
    s->digest = rendezvous_start_digest(s->attempt, &start->start);
}

void stage_run_with_orders(struct stage *s, uint32_t members, uint32_t nproc,
                           void (*change)(struct coordinator_config *))
{
    stage_init(s, members, nproc, change);
    s->takes_orders = true;
    stage_all_ready(s);
    stage_start(s);
    for (uint32_t i = 0; i < members; i++)
        stage_started(s, i, 1);
    stage_forget(s);
}

void stage_progress(struct stage *s, uint32_t slot, int64_t step)
{
    struct rendezvous_message m = {
        .type = RENDEZVOUS_PROGRESS, .attempt = s->attempt, .progress = {.step = step}};
    stage_say(s, slot, &m);
}
