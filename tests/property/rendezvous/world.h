/* A gang in one process, for the property test: a coordinator, its owner (who writes a status and
 * creates pods), launchers that follow rendezvous/member.h, and a network that delays, doubles and
 * loses. Everything is drawn from one seed. */
#ifndef TESTS_PROPERTY_RENDEZVOUS_WORLD_H
#define TESTS_PROPERTY_RENDEZVOUS_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/random.h"
#include "rendezvous/coordinator.h"
#include "rendezvous/member.h"

#define WORLD_SLOTS_MAX 4
#define WORLD_NPROC_MAX 2
#define WORLD_ATTEMPTS_MAX 512
#define WORLD_CHANNELS_MAX 64
#define WORLD_QUEUE_MAX 256

/* Deliberate mistakes, to see that the property notices them. */
enum world_bug {
    WORLD_BUG_NONE,
    WORLD_BUG_NO_FENCE,        /* a launcher obeys every START, also a repeated one */
    WORLD_BUG_READY_TOO_EARLY, /* a launcher says STOPPED and READY while its ranks still run */
    WORLD_BUG_LOST_EXITS,      /* a launcher's HELLO and STOPPED leave out the exits so far */
};

enum pod_state { POD_IDLE, POD_PREPARING, POD_READY, POD_RUNNING, POD_STOPPING };

/* A launcher in its pod. */
struct pod {
    bool alive, has_stopped;
    char uid[32];
    struct member member;
    enum pod_state state;
    uint64_t welcome_next, attempt; /* attempt: the one it runs or ran last */
    uint32_t rank_base;
    struct rendezvous_exit exits[WORLD_NPROC_MAX];
    bool ended[WORLD_NPROC_MAX];
    uint64_t channel; /* 0: none */
};

struct frame_queue {
    struct mlt_text frames[WORLD_QUEUE_MAX];
    unsigned first, count;
};

struct channel_model {
    uint64_t id; /* 0: free */
    uint32_t slot;
    unsigned generation; /* of the pod that opened it */
    bool cut;            /* for the launcher; the coordinator learns it when `up` is empty */
    struct frame_queue up, down;
};

struct slot_model {
    struct pod pod;
    unsigned generation;
    bool noticed;  /* the owner knows that the pod has died */
    bool expected; /* the coordinator was told of this pod */
};

/* What really happened in an attempt. */
struct history {
    bool started[WORLD_SLOTS_MAX];
    uint64_t digest;
    int ends[WORLD_SLOTS_MAX *
             WORLD_NPROC_MAX]; /* 0 not, 1 with code 0, 2 failed, 3 killed by us */
    bool pod_lost, requested, disturbed;
    unsigned verdicts, completions; /* of the coordinator of now */
};

struct world {
    struct mlt_random random;
    uint64_t seed;
    enum world_bug bug;
    bool healing; /* no more faults */
    bool rank0;   /* successPolicy Rank0 */
    bool trace;   /* says what happens, for people who look at one seed */
    uint32_t slots_count, nproc;
    struct slot_model slots[WORLD_SLOTS_MAX];
    struct channel_model channels[WORLD_CHANNELS_MAX];
    uint64_t next_channel;
    struct coordinator *c;
    uint64_t lease;
    int64_t now_ms;
    /* The owner's status. */
    uint64_t status_attempt, started_attempt; /* started: by the coordinator of now, 0 none */
    bool status_started, start_pending, completed;
    struct history history[WORLD_ATTEMPTS_MAX];
    /* What came of it. */
    const char *violation;
    unsigned starts, verdicts, adoptions, divergences, completions, refusals, restarts;
};

void world_init(struct world *w, uint64_t seed, enum world_bug bug);
void world_release(struct world *w);
/* One random thing happens; afterwards the invariants are checked. */
void world_step(struct world *w);
/* Faults end; true when the job completes. */
bool world_heal(struct world *w);

#endif
