/* What the parts of gang-properties share: histories of plain events, the books that the oracle
 * keeps by itself, and the face of the library under test. Written from gang/gang.h and
 * gang/README.md alone. */
#ifndef PROPERTY_GANG_PROPERTIES_H
#define PROPERTY_GANG_PROPERTIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "gang/gang.h"
#include "lib/base/random.h"

#define NODES 8
#define JOBS 12
#define PODS 8
#define ROLES 2
#define QUEUES 7
#define CLASSES 3
#define LEVELS 3
#define DEVICES 2
#define RESOURCES (GANG_DEVICE_0 + DEVICES)
#define AVOIDS 8
#define DECISIONS (JOBS * PODS + 2 * JOBS)
#define FIELDS 40
#define NEVER_MS INT64_MAX

/* ---- histories ---- */

/* An event, with the names of its numbers. A number that is 0 is not written. What cannot happen in
 * the state at hand is passed over, so that any part of a history is a history. */
#define OP_MAP(XX)                                                                                \
    XX(CONFIG, "config",                                                                          \
       "nodes levels reservations may_preempt min_run half_life overrun "                         \
       "patience shares_first")                                                                   \
    XX(NODE, "node",                                                                              \
       "node class schedulable cpu memory pods gpu nic others_cpu others_memory others_pods "     \
       "others_gpu others_nic domain1 domain2 domain3 ending")                                    \
    XX(NODE_GONE, "node-gone", "node with_pods")                                                  \
    XX(QUEUE, "queue",                                                                            \
       "queue parent weight fair nominal_gpu borrow_gpu lend_gpu nominal_cpu within reclaim "     \
       "slice running_max limit_max")                                                             \
    XX(QUEUE_GONE, "queue-gone", "queue")                                                         \
    XX(SUBMIT, "submit",                                                                          \
       "job queue priority sequence limit expected grace attained required preferred "            \
       "preferred_wait never_preempted was_preempted saves waited roles pods1 cpu1 memory1 gpu1 " \
       "nic1 "                                                                                    \
       "classes1 pods2 cpu2 memory2 gpu2 nic2 classes2")                                          \
    XX(FOUND, "found", "job base step started_ago revocable")                                     \
    XX(BEGUN, "begun", "job")                                                                     \
    XX(SAVED, "saved", "job")                                                                     \
    XX(STOP, "stop", "job for_job")                                                               \
    XX(MOVED, "moved", "job pod node")                                                            \
    XX(LOST, "lost", "job pod")                                                                   \
    XX(RELEASE, "release", "job preempted")                                                       \
    XX(REMOVE, "remove", "job")                                                                   \
    XX(AVOID, "avoid", "job node ms")                                                             \
    XX(TIME, "time", "ms")                                                                        \
    XX(PLAN, "plan", "refused")                                                                   \
    XX(REBUILD, "rebuild", "unused")                                                              \
    XX(PROBE, "probe", "what")                                                                    \
    XX(WRONG, "wrong", "what job node")                                                           \
    XX(CALM, "calm", "steps")

enum op_kind {
#define XX(name, text, fields) OP_##name,
    OP_MAP(XX)
#undef XX
        OP_KINDS
};

struct op {
    enum op_kind kind;
    int64_t f[FIELDS];
};

/* Where the numbers of an event stand, for those that code names. */
enum {
    C_NODES,
    C_LEVELS,
    C_RESERVATIONS,
    C_PREEMPT,
    C_MIN_RUN,
    C_HALF_LIFE,
    C_OVERRUN,
    C_PATIENCE,
    C_SHARES_FIRST
};
enum {
    N_NODE,
    N_CLASS,
    N_SCHEDULABLE,
    N_CAPACITY,
    N_OTHERS = N_CAPACITY + RESOURCES,
    N_DOMAINS = N_OTHERS + RESOURCES,
    N_ENDING = N_DOMAINS + LEVELS /* quarters of what others use */
};
enum {
    Q_QUEUE,
    Q_PARENT,
    Q_WEIGHT,
    Q_FAIR,
    Q_NOMINAL,
    Q_BORROW,
    Q_LEND,
    Q_NOMINAL_CPU,
    Q_WITHIN,
    Q_RECLAIM,
    Q_SLICE,
    Q_RUNNING_MAX,
    Q_LIMIT_MAX
};
enum {
    S_JOB,
    S_QUEUE,
    S_PRIORITY,
    S_SEQUENCE,
    S_LIMIT,
    S_EXPECTED,
    S_GRACE,
    S_ATTAINED,
    S_REQUIRED,
    S_PREFERRED,
    S_PREFERRED_WAIT,
    S_NEVER_PREEMPTED,
    S_WAS_PREEMPTED,
    S_SAVES,
    S_WAITED,
    S_ROLES,
    S_ROLE
};
enum { R_PODS, R_CPU, R_MEMORY, R_GPU, R_NIC, R_CLASSES, R_FIELDS };

struct history {
    struct op *ops;
    size_t count, capacity;
};
void history_add(struct history *h, const struct op *op);
void history_free(struct history *h);
void history_write(const struct history *h, FILE *out);
/* False, with words on stderr, for what is no history. Lines that begin with # are passed over. */
bool history_read(struct history *h, FILE *in);

/* ---- the library under test ---- */

struct library {
    const char *name, *bug; /* bug: NULL for the real one */
    uint32_t needs;         /* a property + 1: caught only where that is looked at; 0: none */
    struct gang *(*new)(const struct gang_config *config);
    int (*event)(struct gang *g, const struct gang_event *event, int64_t now_ms,
                 struct mlt_error *err);
    int (*plan)(struct gang *g, int64_t now_ms, struct mlt_error *err);
    bool (*next)(struct gang *g, struct gang_decision *ret);
};
extern const struct library library_real;
/* The real one behind a face that is deaf to something, or alters it. */
extern const uint32_t library_mutants_count;
const struct library *library_mutant(uint32_t index);

/* ---- the oracle's books ---- */

struct node {
    bool known, schedulable;
    uint32_t class, domains[LEVELS];
    gang_amounts capacity, others, ending, used; /* ending: of others */
};

struct queue {
    bool known;
    struct gang_queue_config config;
    int64_t usage; /* last read from the library */
};

enum job_state { NOBODY, WAITING, PLACED };

struct job {
    enum job_state state;
    uint64_t id;
    struct gang_job_request request;
    uint64_t classes[ROLES];
    uint32_t pods, nodes[PODS];
    int64_t started_ms, saved_ms; /* saved_ms: -1 when never in this placement */
    bool revocable, stopping, asked_by_plan;
    uint64_t left_for;       /* waiting: it was asked to leave for that one, and has left; 0: not */
    uint64_t gave_way;       /* the same, also when the host has asked it by itself */
    bool told;               /* waiting: a plan has seen it */
    bool surprised;          /* waiting: since then the host has put jobs where no plan had said */
    bool claims;             /* waiting: others were asked to leave for it */
    bool asked;              /* waiting: others were asked to leave for it, even as it was */
    int64_t heeded_ms[JOBS]; /* the reserved starts of others then; 0: none */
    bool excused;            /* since then something has happened that may keep it from its claim */
    uint64_t for_job;
    int64_t stop_ms;
    struct {
        uint32_t node;
        int64_t until_ms;
    } avoids[AVOIDS];
    uint32_t avoids_count;
    bool never;         /* said the last plan */
    uint32_t decisions; /* of the plan being checked */
    /* The earliest reserved start that it was told since something that may excuse a later one. */
    int64_t promise_ms;
};

struct decision {
    struct gang_decision d;
    uint32_t nodes[PODS];
    struct gang_why why; /* its `blocker` is gone */
    bool has_why;
    char text[GANG_REASON_MAX];
    struct job *job;
};

struct result {
    uint64_t events, plans, placed, replaced, waits, nevers, preempted, revocable, backfilled;
    uint64_t best_fits, complete, probes, rebuilds, promises;
    uint64_t digest;
    char failure[1024];
};

/* Since something has happened from outside. */
struct circles {
    int64_t since_ms;
    bool revoked[JOBS];      /* since somebody has started for keeps, too */
    uint32_t asked[2][JOBS]; /* by priority and reclaim; by time slices */
    uint64_t slices;
};

/* Which kinds of checks are made; see properties_list. */
struct world {
    const struct library *lib;
    struct gang *g;
    struct op config;
    int64_t now_ms;
    uint64_t next_id;
    uint32_t nodes_count;
    struct node nodes[NODES];
    struct queue queues[QUEUES];
    struct job jobs[JOBS];
    struct circles circles;
    bool prompt; /* everything since the last event was planned and committed */
    struct decision decisions[DECISIONS];
    uint32_t decisions_count;
    struct result result;
};

/* Everything that may be switched on in histories or looked at by the oracle. */
#define PROPERTY_MAP(XX)                                                                         \
    XX(LEVELS, "levels", "required and preferred levels, and best fit at the lowest")            \
    XX(QUOTA, "quota", "queue trees with nominal quota, borrowing and lending")                  \
    XX(LIMITS, "queue-limits", "running jobs and time limits of queues")                         \
    XX(FAIR, "fair-share", "queues in the order of their shares")                                \
    XX(RESERVE, "reservations", "reserved starts and backfill")                                  \
    XX(RESERVE_FOUND, "reserve-found", "reserved starts heed jobs that no plan has placed")      \
    XX(PATIENCE, "patience", "least work first, turns for who has waited too long")              \
    XX(PREEMPT, "preemption", "preemption, reclaim, time slices, revoked jobs")                  \
    XX(REVOKE_GRACE, "revoke-grace", "reserved starts do not slip by the grace of revoked jobs") \
    XX(CLAIM, "claim", "for whom others have left is not passed over")                           \
    XX(PING_PONG, "ping-pong", "who has left for another one does not take the place again")     \
    XX(CIRCLES, "circles", "without outside events the number of revocations is bounded")        \
    XX(STOPPING, "stopping", "the host asks jobs to leave by itself; saves")                     \
    XX(REBUILD, "rebuild", "a gang rebuilt from facts plans the same")                           \
    XX(RELABEL, "relabel", "other numbers in the same order give the same plan")                 \
    XX(EMPTY_NODE, "empty-node", "an empty node more never hurts the first in order")            \
    XX(RELEASE, "release", "released after placed: all counters are as before")                  \
    XX(QUEUE_VIEWS, "queue-views", "what gang_queue() shows is what the books say")              \
    XX(ACTS_FIRST, "acts-first", "what is to be done comes before what waits")                   \
    XX(ESTIMATED_END, "estimated-end", "placements say when they end by their limit")            \
    XX(RANKS, "ranks", "neighbours in rank are neighbours in the network")                       \
    XX(NEAR, "near", "a lost member is placed near its neighbour in rank")                       \
    XX(MEMBER_DOMAIN, "member-domain", "a lost member keeps nodes of its domain only")           \
    XX(BEST_FIT, "best-fit", "least left over at the lowest possible level")
enum property {
#define XX(name, text, words) PROPERTY_##name,
    PROPERTY_MAP(XX)
#undef XX
        PROPERTIES
};
struct property_row {
    const char *name, *words;
    const char *off; /* why it is switched off; NULL: on */
};
extern const struct property_row property_rows[PROPERTIES];
extern uint64_t properties_on; /* bit per property; from the table, or --with and --without */
bool on(enum property p);
void properties_choose(void); /* from the table, before single ones are switched */

/* world.c */
void world_begin(struct world *w, const struct library *lib);
void world_end(struct world *w);
void world_apply(struct world *w, const struct op *op);
bool failed(const struct world *w);
void fail(struct world *w, const char *format, ...) MLT_PRINTF(2, 3);
void world_digest(struct world *w, uint64_t value);
struct job *job_by_id(struct world *w, uint64_t id);
void void_promises(struct world *w);
void surprise(struct world *w);
void void_promises_behind(struct world *w, const struct job *job);
void leave_place(struct world *w, struct job *job);
void feed_job_event(struct world *w, const struct job *job, enum gang_event_kind kind);
void host_release(struct world *w, struct job *job, bool preempted);
void node_event_of(const struct node *node, uint32_t number, struct gang_event *ret);
int feed_to(const struct world *w, struct gang *g, const struct gang_event *e, int64_t now_ms,
            struct mlt_error *err);
void feed(struct world *w, const struct gang_event *e);
struct gang *world_new_gang(const struct world *w);
void take_place(struct world *w, struct job *job, const uint32_t *nodes, bool revocable,
                int64_t started_ms);

void move_pod(struct world *w, struct job *job, uint32_t pod, uint32_t node);

/* host.c: plans, checks and commits */
extern bool verbose; /* prints decisions */
void host_plan(struct world *w, uint64_t refused);
void take_decisions(struct world *w, struct gang *g, struct decision *decisions,
                    uint32_t *ret_count);

/* room.c: arithmetic of room */
const struct gang_role *role_of(const struct job *job, uint32_t pod);
bool role_allows(const struct gang_role *role, const struct node *node);
bool job_avoids(const struct world *w, const struct job *job, uint32_t node);
int64_t pods_that_fit(const gang_amounts there, const struct gang_role *role);
enum room_kind { ROOM_NOW, ROOM_WITHOUT_GANGS, ROOM_EMPTY };
/* Whether the whole gang has room on the nodes of `mask` within one domain of the level (0:
 * anywhere). `boards` are what is free on each node. Exact for any number of roles. */
bool gang_fits(const struct world *w, const struct job *job, gang_amounts *boards, uint64_t mask,
               uint32_t level);
void boards_of(const struct world *w, enum room_kind kind, gang_amounts *ret);
uint64_t schedulable_mask(const struct world *w);
uint64_t allowed_mask(const struct world *w, const struct job *job, bool with_avoided);
uint64_t domain_mask(const struct world *w, uint32_t level, uint32_t domain);
uint64_t could_use_mask(const struct world *w, const struct gang_role *roles, uint32_t count);
void boards_take(const struct job *job, const uint32_t *nodes, gang_amounts *boards, int sign);
/* The level that all pods must share now: the required one, or the preferred one while its wait
 * lasts. */
uint32_t level_now(const struct world *w, const struct job *job);
bool comes_before(const struct job *a, const struct job *b);
/* It has left for one that waits still: that one has its turn. */
bool gives_way(struct world *w, const struct job *job);
void check_best_fit(struct world *w, const struct job *job, const uint32_t *nodes,
                    gang_amounts *boards, uint64_t mask);

uint32_t anchor_of(const struct world *w, const struct job *job, uint32_t pod, uint32_t *ret_other);
uint64_t member_mask(const struct world *w, const struct job *job, uint32_t anchor);
void check_near(struct world *w, const struct job *job, uint32_t pod, uint32_t node,
                gang_amounts *boards, uint32_t anchor);
void check_ranks(struct world *w, const struct job *job, const uint32_t *nodes);

/* order.c */
void sort_in_order(const struct world *w, struct decision **order, uint32_t count);
bool fair_is_used(const struct world *w);
struct queue_sums;
/* Whether queue a has used less for its weight than b, with these sums as what they use now. */
bool queue_used_less(const struct world *w, const struct queue_sums *sums, uint32_t a, uint32_t b);

/* What all children of a parent that have waiting jobs have used, over their weights, is no less
 * than what this one has over its own; so for each parent above that shares fairly. True unless
 * shares come first. */
bool queue_is_due(const struct world *w, uint32_t queue);

/* patience.c */
bool is_patient(const struct world *w);
bool shares_come_first(const struct world *w);
bool is_impatient(const struct world *w, const struct job *job, int64_t at_ms);
/* Whose reservation comes first, of those that wait for room after the plan; NULL: nobody's, or it
 * is not as simple as that. */
struct job *patience_first(struct world *w);
bool patience_overtaken(struct world *w, const struct job *job); /* by one that this plan places */
void check_starts(struct world *w);
void check_due(struct world *w); /* who gets a reservation, where shares come first */

/* rules.c, reserve.c, quota.c, leave.c: one function per group of rules, over w->decisions */
void check_rules(struct world *w);
bool strict_order(const struct world *w);
bool waits_for_room(const struct decision *d);
int64_t expected_end_ms(const struct world *w, const struct job *job);
bool is_on_call(const struct job *job);
void check_promise(struct world *w, const struct decision *d, bool first);
struct queue_sums {
    gang_amounts used;
    uint32_t jobs;
};
/* By queue, with those below it. */
void queue_use(const struct world *w, struct queue_sums *sums);
void queue_add(const struct world *w, uint32_t queue, const struct job *job, int sign,
               struct queue_sums *sums);
/* A bit for each resource that its quota has too little of. */
uint32_t quota_short(const struct world *w, const struct queue_sums *sums, const struct job *job);
uint32_t needs_of(const struct job *job);
bool jobs_allowed(const struct world *w, const struct queue_sums *sums, const struct job *job);
/* The longest way down from a queue; how high up a job would borrow, as far as `top` (one more:
 * from above it); `held` is what is kept for jobs that wait. */
uint32_t queue_height(const struct world *w, uint32_t q);
uint32_t borrow_level(const struct world *w, const struct queue_sums *sums,
                      const struct queue_sums *held, const struct job *job, uint32_t top);
/* Some queue below `common` has enough for it. */
bool within_branch(const struct world *w, const struct queue_sums *sums, const struct job *job,
                   uint32_t common);
/* More counts in the queue than it has, of something that is asked for. */
bool borrows_from_above(const struct world *w, const struct queue_sums *sums, uint32_t q,
                        const gang_amounts more);
/* The resource whose lack is seen first, as a bit. */
uint32_t first_short(const struct world *w, const struct queue_sums *sums,
                     const struct queue_sums *held, const struct job *job);
/* It waits for quota that its branch has and others use: that is kept for it. `short_of`: what
 * others before it in its queue wait for. */
bool holds_own(const struct world *w, const struct queue_sums *sums, const struct queue_sums *held,
               const struct decision *d, uint32_t short_of);
void job_amounts(const struct job *job, gang_amounts ret);
bool quota_is_used(const struct world *w);
void check_preemptions(struct world *w);
void check_queue_views(struct world *w);

/* circles.c */
void circles_begin(struct world *w); /* something has happened from outside */
void circles_commit(struct world *w, const struct decision *d);
void circles_calm(struct world *w, int64_t steps); /* time passes, and nothing else happens */

/* facts.c: what must not depend on history or names */
void probe_rebuild(struct world *w, bool adopt);
void probe_relabel(struct world *w);
void probe_empty_node(struct world *w);
void probe_release(struct world *w);
void probe_wrong(struct world *w, const struct op *op);

/* fair.c: a saturated cluster; what failed, "" for nothing */
void play_fair(const struct library *lib, uint64_t seed, char *failure, size_t size);

/* generate.c */
struct generator {
    struct mlt_random random;
    uint32_t step, plan_next;
    bool levels, tree, quota, limits, fair, reserve, patience, preempt, stopping;
    uint32_t jobs;
};
void generator_begin(struct generator *gen, uint64_t seed);
void generate(struct generator *gen, const struct world *w, struct op *ret);

/* shrink.c */
#define PLAYED_TWICE "the same history twice gives other plans or another state"
/* Plays a history in a process of its own; what failed, "" for nothing. */
void play_apart(const struct library *lib, const struct history *h, char *failure, size_t size);
void shrink(const struct library *lib, struct history *h, uint32_t tries);

#endif
