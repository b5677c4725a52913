/* The simulated cluster: a clock, jobs that come, run, are asked to leave and end, and a policy
 * that says who runs where. Deterministic: equal traces, nodes and options give equal histories.
 *
 * A job that is asked to leave goes on holding its place for leave_ms. What it did before is kept
 * (all of it, or with save_every_ms all up to its last save); when it is placed again, its first
 * restart_ms bring nothing. */
#ifndef CLI_SIMULATE_ENGINE_H
#define CLI_SIMULATE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include "cli/simulate/nodes.h"
#include "cli/simulate/pool.h"
#include "cli/simulate/timeline.h"
#include "cli/simulate/trace.h"
#include "lib/base/error.h"

#define SIM_NEVER INT64_MAX
#define SIM_CLOCK_MAX INT64_C(1000000000000000) /* ms of simulated time */
#define SIM_NO_JOB UINT32_MAX
#define SIM_RESERVATIONS_MAX 32 /* as GANG_RESERVATIONS_MAX */

enum sim_phase { SIM_ABSENT, SIM_WAITS, SIM_RUNS, SIM_STOPS, SIM_ENDED, SIM_NOT_PLAYED };

struct sim_options {
    int64_t restart_ms, leave_ms;
    int64_t save_every_ms;  /* 0: a job saves when it is asked to leave */
    bool perfect_estimates; /* jobs say truly how long they run */
    /* Of policy gang. */
    const int64_t *weights; /* by queue of the trace; NULL: all 1 */
    bool fifo;              /* one line, no shares */
    bool shares_first;      /* shares come before patience */
    uint32_t reservations;
    bool preempts;
    int64_t time_slice_ms, half_life_ms, min_run_ms, patience_ms;
    bool predicts;       /* tells the library how long jobs like this one ran */
    bool rack_preferred; /* racks are a level that jobs prefer */
    bool rack_required;
};

struct sim_state {
    int64_t first_start_ms;   /* -1: not yet */
    int64_t start_ms, end_ms; /* of the last attempt */
    int64_t done_ms;          /* work that is kept */
    uint32_t attempts, asked; /* starts; how often it was asked to leave */
    uint32_t version;         /* events of an older one are void */
    uint32_t place;           /* where its pods' nodes are kept */
    uint8_t phase;            /* enum sim_phase */
};

struct sim_queue_state {
    int64_t devices, waiting, last_ms;
    int64_t served_ms;       /* device ms */
    int64_t backlog_ms;      /* how long jobs of it waited */
    int64_t backlog_held_ms; /* device ms that it held meanwhile */
};

struct sim_event {
    int64_t at_ms;
    uint32_t job, version : 30, kind : 2;
};

struct sim_counts {
    uint64_t starts, asked, decisions, events;
    int64_t lost_ms;   /* device ms that brought nothing: restarts, leaving, work not saved */
    int64_t useful_ms; /* device ms that did */
    /* Starts of jobs that need more than one node when the cluster is empty: nodes and racks that
     * they span, and the fewest possible. */
    uint64_t spread_starts, nodes_spanned, nodes_least, racks_spanned, racks_least;
    uint64_t racks_best; /* of these starts, those in the fewest racks possible */
};

struct sim;

/* How an attempt went, when it is over. */
typedef void sim_attempt_f(void *arg, const struct sim *sim, uint32_t job);

struct sim_policy {
    const char *name;
    const char *words; /* what it is, in one line */
    int (*open)(struct sim *sim, void **ret_self, struct mlt_error *err);
    void (*close)(void *self);
    int (*submitted)(void *self, uint32_t job, struct mlt_error *err);
    int (*saved)(void *self, uint32_t job, struct mlt_error *err); /* may be NULL */
    int (*left)(void *self, uint32_t job, struct mlt_error *err);  /* and waits again */
    int (*ended)(void *self, uint32_t job, struct mlt_error *err);
    int (*decide)(void *self, struct mlt_error *err);
    int64_t (*wake_ms)(void *self); /* SIM_NEVER; may be NULL */
};

struct sim {
    const struct sim_trace *trace;
    const struct sim_nodes *nodes;
    const struct sim_options *options;
    const struct sim_policy *policy;
    void *policy_self;
    sim_attempt_f *attempt;
    void *attempt_arg;
    int64_t now_ms;
    struct sim_state *state;
    struct sim_queue_state *queue;
    struct sim_pool pool;
    struct sim_timeline timeline;
    struct sim_level level;
    struct sim_counts counts;
    /* Inside. */
    struct sim_event *heap;
    size_t heap_count, heap_capacity, next_job, unfinished;
    uint32_t *arena;
    size_t arena_used, arena_capacity;
    uint32_t arena_free[32];
    uint32_t *node_seen, *rack_seen, seen;
    int64_t rack_devices; /* of the largest rack */
};

/* Opens the policy. Jobs whose shape does not even fit the empty cluster become SIM_NOT_PLAYED.
 * Everything given stays the caller's and must outlive it. */
int sim_init(struct sim *sim, const struct sim_trace *trace, const struct sim_nodes *nodes,
             const struct sim_options *options, const struct sim_policy *policy,
             struct mlt_error *err) MLT_MUST_USE;
void sim_release(struct sim *sim); /* twice is fine */
/* Plays the whole trace. -EBADMSG when the policy does what cannot be, -EDEADLK when it leaves jobs
 * waiting for ever, -ELOOP when it asks them to leave without end. */
int sim_run(struct sim *sim, struct mlt_error *err) MLT_MUST_USE;

/* ---- for policies ---- */

/* Starts a waiting job on these nodes, one for each pod. */
int sim_start(struct sim *sim, uint32_t job, const uint32_t *pod_nodes,
              struct mlt_error *err) MLT_MUST_USE;
/* Asks a running job to leave. */
int sim_ask_to_leave(struct sim *sim, uint32_t job, struct mlt_error *err) MLT_MUST_USE;
/* What a job's user says about its length: 0 when nothing. */
int64_t sim_limit_ms(const struct sim *sim, uint32_t job);
const struct sim_shape *sim_shape_of(const struct sim *sim, uint32_t job);
/* The nodes of a job's pods while it holds a place (and in sim_attempt_f). */
const uint32_t *sim_pod_nodes(const struct sim *sim, uint32_t job);

extern const struct sim_policy sim_policy_ledger, sim_policy_gang, sim_policy_fifo, sim_policy_easy,
    sim_policy_sjf;

#endif
