/* A coordinator with pretended members, for the tests of this folder: messages go in as frames,
 * everything that comes out is decoded and kept until stage_forget(). The coordinator's invariants
 * are checked after each step. */
#ifndef TESTS_RENDEZVOUS_STAGE_H
#define TESTS_RENDEZVOUS_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "rendezvous/coordinator.h"

#define STAGE_OUTPUTS_MAX 4096
#define STAGE_MEMBERS_MAX 64

struct stage_output {
    struct coordinator_output out; /* pointers are dead but for those below */
    char words[RENDEZVOUS_REASON_MAX], tail[RENDEZVOUS_TAIL_MAX + 1], role[64], node[256],
        reason[80];
    int64_t first_checkpoint;
    struct rendezvous_message sent; /* of SEND */
};

struct stage {
    struct coordinator *c;
    uint32_t members, nproc;
    uint64_t channels[STAGE_MEMBERS_MAX], next_channel, attempt;
    int64_t now_ms;
    uint64_t digest;
    bool takes_orders; /* HELLO says so */
    struct stage_output *outputs;
    size_t count;
};

/* `members` workers of `nproc` ranks; pods are named pod-<slot>. `change` (may be NULL) edits the
 * configuration. */
void stage_init(struct stage *s, uint32_t members, uint32_t nproc,
                void (*change)(struct coordinator_config *config));
void stage_release(struct stage *s);
void stage_forget(struct stage *s);

/* Takes out what the coordinator has to say and checks it. */
void stage_drain(struct stage *s);
/* The n-th output of this kind since the last stage_forget(), or NULL. */
const struct stage_output *stage_find(const struct stage *s, enum coordinator_output_kind kind,
                                      unsigned n);
unsigned stage_count(const struct stage *s, enum coordinator_output_kind kind);
/* The last message of this type sent to a member, or NULL. */
const struct rendezvous_message *stage_sent(const struct stage *s, uint32_t slot,
                                            enum rendezvous_type type);
unsigned stage_sent_count(const struct stage *s, uint32_t slot, enum rendezvous_type type);

/* Gives the message to the coordinator as a frame of this member's channel. */
void stage_say(struct stage *s, uint32_t slot, const struct rendezvous_message *m);
void stage_close(struct stage *s, uint32_t slot);

/* HELLO on a new channel. A state with an attempt behind it also tells its digest. */
struct rendezvous_message stage_hello_message(const struct stage *s, uint32_t slot,
                                              enum rendezvous_state state, uint64_t attempt);
void stage_hello(struct stage *s, uint32_t slot, enum rendezvous_state state, uint64_t attempt);
void stage_ready(struct stage *s, uint32_t slot, uint64_t attempt);
void stage_started(struct stage *s, uint32_t slot, uint64_t us);
void stage_exit(struct stage *s, uint32_t slot, uint32_t local_rank, enum rendezvous_cause cause,
                int32_t code, int32_t signal, uint64_t after_ms);
void stage_stopped(struct stage *s, uint32_t slot);

/* All members say HELLO and READY; then START is given. */
void stage_all_ready(struct stage *s);
void stage_start(struct stage *s);
/* All of that from the beginning, with launchers that take orders; what came out is forgotten. */
void stage_run_with_orders(struct stage *s, uint32_t members, uint32_t nproc,
                           void (*change)(struct coordinator_config *config));
void stage_progress(struct stage *s, uint32_t slot, int64_t step);
/* The exit of one rank, for lists. */
struct rendezvous_exit stage_exit_of(const struct stage *s, uint32_t slot, uint32_t local_rank,
                                     enum rendezvous_cause cause, int32_t code, int32_t signal,
                                     uint64_t after_ms);

#endif
