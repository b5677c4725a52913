/* The pretended ranks and controller of a supervisor under test: see supervisor_world.h. */
#include "supervisor_world.h"

#include <stdlib.h>
#include <string.h>
#include "lib/base/cleanup.h"

static void take_frames(struct world *w, const struct supervisor_effect *effect)
{
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    rendezvous_reader_init(&reader, RENDEZVOUS_UP);
    assert_int_equal(rendezvous_reader_feed(&reader, effect->bytes, effect->length, NULL), 0);
    while (rendezvous_reader_next(&reader, &frame, NULL) == 1) {
        assert_true(w->sent_count < MLT_ARRAY_LENGTH(w->sent));
        assert_int_equal(rendezvous_message_read(&frame, &w->sent[w->sent_count++], NULL), 0);
    }
    rendezvous_reader_release(&reader);
}

void world_take_effects(struct world *w)
{
    struct supervisor_effect effect;
    while (supervisor_next(w->s, &effect)) {
        w->asked[effect.kind]++;
        if (effect.kind == SUPERVISOR_DO_SEND)
            take_frames(w, &effect);
        if (effect.kind == SUPERVISOR_DO_TIMER)
            w->timer[effect.timer] = effect.delay_ms;
        if (effect.kind == SUPERVISOR_DO_SIGNAL)
            w->signal = effect.signal;
        if (effect.kind == SUPERVISOR_DO_SIGNAL_CATCHING)
            w->left_out = effect.ranks[0];
        if (effect.kind == SUPERVISOR_DO_ANSWER)
            *(effect.save ? &w->answered_save : &w->answered_go) |= effect.ranks[0];
        if (effect.kind == SUPERVISOR_DO_LEAVE)
            w->code = effect.code;
    }
    supervisor_check(w->s);
}

void world_forget(struct world *w)
{
    for (size_t i = 0; i < w->sent_count; i++)
        rendezvous_message_release(&w->sent[i]);
    w->sent_count = 0;
    memset(w->asked, 0, sizeof w->asked);
    w->signal = 0;
}

void world_init_as(struct world *w, bool torchrun)
{
    const struct supervisor_identity identity = {.pod_uid = "pod",
                                                 .role = "worker",
                                                 .node = "node001",
                                                 .address = "10.0.0.1",
                                                 .version = "1",
                                                 .once_per_pod = torchrun,
                                                 .seed = 1};
    *w = (struct world){.now_ms = 1000, .code = -1};
    for (int i = 0; i < SUPERVISOR_TIMERS; i++)
        w->timer[i] = -1;
    w->s = supervisor_new(&identity);
    assert_non_null(w->s);
    world_take_effects(w);
}

void world_init(struct world *w)
{
    world_init_as(w, false);
}

void world_release(struct world *w)
{
    world_forget(w);
    supervisor_free(w->s);
}

void world_step(struct world *w, struct supervisor_event event)
{
    event.now_ms = ++w->now_ms;
    supervisor_step(w->s, &event);
    world_take_effects(w);
}

void world_happen(struct world *w, enum supervisor_event_kind kind)
{
    world_step(w, (struct supervisor_event){.kind = kind});
}

void world_receive(struct world *w, const struct rendezvous_message *message)
{
    struct mlt_text bytes = MLT_TEXT_INIT(1 << 20);
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    rendezvous_message_write(&bytes, message);
    assert_false(bytes.failed);
    rendezvous_reader_init(&reader, RENDEZVOUS_DOWN);
    assert_int_equal(rendezvous_reader_feed(&reader, bytes.data, bytes.length, NULL), 0);
    assert_int_equal(rendezvous_reader_next(&reader, &frame, NULL), 1);
    supervisor_frame(w->s, &frame, ++w->now_ms);
    world_take_effects(w);
    rendezvous_reader_release(&reader);
    mlt_text_release(&bytes);
}

struct rendezvous_message world_welcome(uint32_t nproc)
{
    return (struct rendezvous_message){.type = RENDEZVOUS_WELCOME,
                                       .welcome = {.lease_transitions = 1,
                                                   .next_attempt = 1,
                                                   .framework = "pytorch",
                                                   .nproc = nproc,
                                                   .checkpoint_path = "/c",
                                                   .checkpoint_format = "dcp",
                                                   .checkpoint_pattern = "",
                                                   .watch_checkpoints = true,
                                                   .progress_pattern = ""}};
}

struct rendezvous_message world_start(uint64_t attempt)
{
    return (struct rendezvous_message){.type = RENDEZVOUS_START,
                                       .attempt = attempt,
                                       .start = {.lease_transitions = 1,
                                                 .nodes = 1,
                                                 .world_size = 4,
                                                 .role_world_size = 4,
                                                 .master_address = "10.0.0.1",
                                                 .master_port = 4000,
                                                 .resume_step = RENDEZVOUS_NO_STEP,
                                                 .resume_path = ""}};
}

void world_stop(struct world *w, uint64_t attempt, uint32_t grace_ms, uint32_t signal)
{
    world_receive(w, &(struct rendezvous_message){
                         .type = RENDEZVOUS_STOP,
                         .attempt = attempt,
                         .stop = {.reason = "", .grace_ms = grace_ms, .signal = signal}});
}

void world_prepared(struct world *w)
{
    static const struct rendezvous_checkpoint_report none = {.torn_step = RENDEZVOUS_NO_STEP};
    world_happen(w, SUPERVISOR_ON_CLEANED);
    world_step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_PORT_HELD, .port = 4000});
    world_step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_SCANNED,
                                            .scanned = {.report = &none, .fresh = true}});
}

void world_make_ready(struct world *w, uint32_t nproc)
{
    struct rendezvous_message welcome = world_welcome(nproc);
    world_happen(w, SUPERVISOR_ON_OPENED);
    world_receive(w, &welcome);
    world_prepared(w);
    assert_int_equal(supervisor_state(w->s), SUPERVISOR_READY);
}

void world_make_running(struct world *w, uint32_t nproc)
{
    static const uint32_t pids[256] = {101, 102, 103, 104};
    world_make_ready(w, nproc);
    struct rendezvous_message start = world_start(1);
    world_receive(w, &start);
    world_step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_SPAWNED,
                                            .spawned = {.pids = pids,
                                                        .count = supervisor_processes(w->s),
                                                        .start_to_exec_us = 7}});
    assert_int_equal(supervisor_state(w->s), SUPERVISOR_RUNNING);
    world_forget(w);
}

void world_rank_ends(struct world *w, uint32_t process, int code, int signal)
{
    world_step(w, (struct supervisor_event){
                      .kind = SUPERVISOR_ON_RANK_EXITED,
                      .rank_exited = {
                          .process = process, .code = code, .signal = signal, .tail = "words"}});
}

const struct rendezvous_message *world_sent(const struct world *w, enum rendezvous_type type)
{
    for (size_t i = 0; i < w->sent_count; i++)
        if (w->sent[i].type == type)
            return &w->sent[i];
    return NULL;
}
