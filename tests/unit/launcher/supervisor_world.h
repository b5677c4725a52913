/* A supervisor with pretended ranks and a pretended controller, for the tests of this folder: no
 * process, no clock. */
#ifndef TESTS_LAUNCHER_SUPERVISOR_WORLD_H
#define TESTS_LAUNCHER_SUPERVISOR_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include "launcher/supervisor.h"

#define KINDS 32

/* A supervisor and what it has asked for since the last look. */
struct world {
    struct supervisor *s;
    int64_t now_ms;
    unsigned asked[KINDS];            /* by enum supervisor_effect_kind */
    int64_t timer[SUPERVISOR_TIMERS]; /* its last delay; -1: stopped */
    int code, signal;
    struct rendezvous_message sent[256];
    size_t sent_count;
    bool running;
    uint64_t answered_save, answered_go; /* a bit for each of the first 64 ranks */
    uint64_t left_out;                   /* of the last SIGNAL_CATCHING */
};

/* Takes out what the supervisor asks for and checks it. */
void world_take_effects(struct world *w);
void world_forget(struct world *w);
void world_init_as(struct world *w, bool torchrun);
void world_init(struct world *w);
void world_release(struct world *w);
void world_step(struct world *w, struct supervisor_event event);
void world_happen(struct world *w, enum supervisor_event_kind kind);
void world_receive(struct world *w, const struct rendezvous_message *message);
struct rendezvous_message world_welcome(uint32_t nproc);
struct rendezvous_message world_start(uint64_t attempt);
void world_stop(struct world *w, uint64_t attempt, uint32_t grace_ms, uint32_t signal);
void world_prepared(struct world *w);
void world_make_ready(struct world *w, uint32_t nproc);
void world_make_running(struct world *w, uint32_t nproc);
void world_rank_ends(struct world *w, uint32_t process, int code, int signal);
const struct rendezvous_message *world_sent(const struct world *w, enum rendezvous_type type);

#endif
