/* What the files of gang/ share. Not for hosts; tests include it to give the library a failing
 * allocator. */
#ifndef GANG_INTERNAL_H
#define GANG_INTERNAL_H

#include <stddef.h>
#include "gang/fits.h"
#include "gang/gang.h"

/* Everything that the library asks of its host: memory. */
struct gang_memory {
    void *(*realloc)(void *arg, void *old, size_t size); /* NULL: none left, old stays */
    void (*free)(void *arg, void *memory);
    void *arg;
};

struct gang *gang_new_with_memory(const struct gang_memory *memory,
                                  const struct gang_config *config);

#define GANG_CLASS_NONE UINT32_MAX /* of a node that is not known, or not open */
#define GANG_NOT_PLANNED UINT32_MAX

/* What a node has left, seen in three ways. Use by others is EMPTY - OWN, and use by gangs OWN -
 * FREE; what others use and is ending counts as the gangs' there. */
#define GANG_BOARD_MAP(XX)                                          \
    XX(FREE)  /* what gangs leave */                                \
    XX(OWN)   /* were all gangs gone, and what is ending */         \
    XX(EMPTY) /* what the node has: were all pods gone, and each node schedulable */
enum gang_board {
#define XX(name) GANG_##name,
    GANG_BOARD_MAP(XX)
#undef XX
        GANG_BOARDS
};

/* Many objects of one size, in blocks that never move: told by a number of 32 bits. */
#define GANG_POOL_BLOCK 64
struct gang_pool {
    char **blocks;
    uint32_t blocks_count, blocks_capacity;
    uint32_t size;  /* of one, in bytes */
    uint32_t fresh; /* from this number on none was ever taken */
    uint32_t given; /* 1 + the first of those that were given back; 0: none */
};

/* A request without its place in the order. Shared: equal ones are one object (shape.c). */
struct gang_shape {
    uint32_t pods, roles_count;
    uint32_t hardest; /* the role with the most devices in a pod; of equal ones the most pods */
    const struct gang_role *roles;
    struct gang_kind **kinds; /* one per role; the array belongs to whoever made the shape */
    uint32_t references;
    uint64_t hash;
    struct gang_shape *next; /* in its slot of the table */
    /* What plan.c found out for the nodes of this version, by required level: 0 nothing yet. */
    uint64_t judged_version;
    uint8_t *judged;
    int64_t sum[]; /* of all pods, by resource; not of a shape that was only asked about */
};

enum gang_verdict {
    GANG_VERDICT_FITS,   /* without other gangs there is room: it waits for gangs and holds its turn
                          */
    GANG_VERDICT_OTHERS, /* room only without pods of others, or with nodes that are not schedulable
                          */
    GANG_VERDICT_NEVER,
};

struct gang_avoid {
    uint32_t node;
    int64_t until_ms;
};

struct gang_avoids {
    uint32_t count, capacity;
    uint32_t at; /* the job's place in g->avoiding */
    struct gang_avoid nodes[];
};

/* A million of them may wait: what only a placed one needs is in its stay. */
struct gang_job {
    uint64_t id;
    int64_t sequence;
    struct gang_shape *shape;
    struct gang_bucket *bucket; /* where it waits; NULL: it holds a place */
    uint32_t *nodes;            /* one per pod when it holds a place, behind its stay; else NULL */
    struct gang_avoids *avoids; /* NULL: never avoided a node */
    int64_t time_limit_ms, expected_ms, grace_ms, attained_ms, since_ms;
    int64_t preferred_until_ms; /* from then on any domain will do */
    uint64_t left_for; /* waiting: whom it has given its place to, who still waits; GANG_NO_JOB */
    uint32_t queue;
    int32_t priority;
    uint32_t
        planned; /* its entry in the plan, or in the last one that was made; GANG_NOT_PLANNED */
    uint8_t required_level, preferred_level;
    bool in_plan : 1; /* the plan places it */
    bool never_preempted : 1, was_preempted : 1, saves : 1, never_preempts : 1;
    bool asked_for : 1; /* waiting: others were asked to leave for it, so it starts for keeps */
    bool revocable : 1, saved : 1, stopping : 1; /* of a placed one */
};

/* Of a placed job; its nodes follow. */
struct gang_stay {
    int64_t started_ms, saved_ms, stopping_ms;
    uint64_t for_job; /* stopping: who gets its place */
    int64_t end_ms;   /* where it stands in g->ends */
    uint64_t relied;  /* the reservations that count on its end, a bit for each */
    uint32_t missing; /* pods of it that hold no node */
    uint32_t unsteady_at; /* 1 + where it stands in g->unsteady; 0: it does not */
};

static inline struct gang_stay *gang_stay(const struct gang_job *job)
{
    return (struct gang_stay *)(void *)job->nodes - 1;
}

/* Jobs in order: priority, then sequence, then id. */
struct gang_list {
    struct gang_job **jobs;
    uint32_t count, capacity;
};

/* What the last plan found out about the first job of a bucket that it did not place. */
enum gang_outcome {
    GANG_OUTCOME_OPEN,     /* it was not asked */
    GANG_OUTCOME_ROOM,     /* no room: it waits for gangs, and something is kept for it */
    GANG_OUTCOME_IDLE,     /* no room that gangs could make */
    GANG_OUTCOME_QUOTA,    /* `blocked_queue` may use no more of `blocked_resource` */
    GANG_OUTCOME_QUEUE,    /* `blocked_queue` runs as many jobs as it may */
    GANG_OUTCOME_LIMIT,    /* `blocked_queue` lets no job be so long */
    GANG_OUTCOME_TOO_MUCH, /* `blocked_queue` may never use so much of `blocked_resource` */
    GANG_OUTCOME_STOPPING, /* those asked to leave for it have not left yet */
    GANG_OUTCOME_RESERVED, /* no room beside the claim of a reserved job, `blocker` */
    GANG_OUTCOME_BEHIND,   /* one before it in its queue may use no more of what it needs */
};

/* Equal waiting jobs of one queue: when one of them does not fit, none does. What makes them equal
 * is read from any of them; see bucket.c. A million of these may be there: g->bucket_pool. */
struct gang_bucket {
    union {
        struct gang_job **jobs; /* by sequence, then id: `count` of them from `first` on */
        struct gang_job *only;  /* when `capacity` is 1: see gang_bucket_job() */
    };
    int64_t work;             /* expected time x amount; INT64_MAX: unknown */
    uint32_t refused;         /* it did not fit when so many gains had been */
    uint32_t preempt_refused; /* and nobody could be asked to leave for it */
    uint32_t first, count, capacity;
    uint32_t hash;
    uint32_t next;    /* 1 + its neighbour in its slot of the table; 0: none */
    uint32_t at;      /* in the pool */
    uint32_t heap_at; /* in its queue's heap; UINT32_MAX: taken out of it by a plan */
    uint32_t cursor;  /* while a plan is made: so many of its jobs are placed by it */
    uint32_t told;    /* while those that wait are told: so many of its jobs are placed, or told */
    /* Of the plan with this number; older: nothing is known. */
    uint32_t plan;
    uint32_t taken, blocker, blocked_queue;
    uint8_t role, blocked_resource;
    uint8_t outcome;     /* enum gang_outcome */
    bool behind : 1;     /* one before it in its queue may use no more of what it needs */
    bool until_left : 1; /* it is short of quota only until others have left, who make way */
    bool alone : 1;      /* its job avoids nodes, or did: no other one is equal to it */
    /* In a tree of work.c, by 1 + where in the pool; and the least of it and all below it. */
    uint32_t left, right, parent;
    uint32_t least_pods, least_refused, least_limit_s;
};

_Static_assert(sizeof(struct gang_job) <= 120 && sizeof(struct gang_bucket) <= 112,
               "bench/README.md: at most 256 bytes for a job that waits, arrays and all");

struct gang_queue {
    bool known;
    bool due; /* of this plan: patience.c */
    uint32_t children, first_child, next_sibling, previous_sibling; /* indices, 0: none */
    uint32_t parent;                                                /* an index */
    struct gang_queue_config config;
    uint32_t *heap; /* of buckets: the first in order on top */
    uint32_t heap_count, heap_capacity;
    struct gang_bucket *best;  /* the next of it and all below it, */
    uint32_t best_known;       /* in the plan with this number */
    uint32_t jobs;             /* that name it */
    uint32_t waiting, running; /* with those below */
    gang_amounts used;         /* by placed jobs, with those below */
    /* Kueue's arithmetic: `quota` is its own nominal and what those below lend it, `charged` what
     * counts against that, `awaited` how much of it only because it is kept for jobs that wait. */
    gang_amounts quota, charged, awaited;
    uint32_t height;                /* queues below it, one below the other, at most */
    int64_t usage, usage_ms, share; /* up to usage_ms; the share from then on */
    int64_t known_usage, known_ms;  /* as gang_usage_at() has last told it, */
    bool usage_known;               /* and nothing has changed since */
    uint64_t pass;
    uint32_t position; /* of that pass over those that wait: so many came before */
    /* Of the plan with this number. */
    uint32_t plan;
    uint32_t blocked_resources, blocker; /* nobody behind that one gets those */
};

struct gang_ends_piece;
/* Placed jobs by end_ms, then id. */
struct gang_ends {
    struct gang_ends_piece **pieces, *spare;
    uint32_t count, capacity;
};
struct gang_ends_at {
    uint32_t piece, index;
};

/* An end that is not the one by which a job stands in g->ends; or, without a job, that of the job
 * of a reservation. */
struct gang_end {
    struct gang_job *job;
    uint32_t reservation;
    int64_t end_ms;
};

#define GANG_RESERVATION_SLOTS 64

/* What a blocked job will have on one node, and what of that comes from jobs that end before. */
struct gang_claim {
    uint32_t node;
    gang_amounts claim, ending;
};

struct gang_reservation {
    struct gang_job *job; /* NULL: nobody's */
    int64_t start_ms;
    struct gang_claim *claims; /* by node */
    uint32_t claims_count, claims_capacity;
    uint32_t *short_of; /* the claims of which something is withheld, unless stale */
    uint32_t short_of_count, short_of_capacity;
    bool short_of_stale;
    uint64_t freed;   /* pods that left anywhere since it was looked at */
    bool provisional; /* it relies on what is only planned: the next plan makes it anew */
    bool broken;      /* what it withholds is not there any more */
    bool active;      /* of the plan being made: those behind heed it */
    bool withheld;    /* from the free board, now */
    bool occupied;    /* while another one is made */
};

struct gang_entry {
    enum gang_decision_kind kind;
    struct gang_job *job;
    uint32_t pod;
    uint32_t first_node, nodes_count; /* in plan.nodes */
    uint32_t role;                    /* WAIT of a member: which found no room */
    struct gang_job *for_job;         /* PREEMPT */
    enum gang_cause cause;
    bool revocable;
};

#define GANG_WHYS_KEPT 8

struct gang_plan {
    uint32_t number;         /* never 0 once there is one */
    int64_t now_ms, wake_ms; /* as it stands it holds until wake_ms */
    int64_t next_wake_ms;    /* gang_next_wake_ms() when it was made */
    bool made;               /* there is one, and nothing has changed since */
    struct gang_entry *entries;
    uint32_t count, capacity, next;
    uint32_t *nodes;
    size_t nodes_count, nodes_capacity;
    uint32_t promises_count; /* entries of the last plan that was made */
    uint32_t promises;       /* its placements that the host has not committed (yet) */
    /* Those that wait for gangs, in order: what is kept is kept for them. */
    struct gang_blocker {
        struct gang_job *job;
        struct gang_bucket *bucket; /* NULL: a member */
        uint32_t role, pod;
    } * blockers;
    uint32_t blockers_count, blockers_capacity;
    struct gang_bucket **touched; /* those asked; some of them are out of the heaps */
    uint32_t touched_count, touched_capacity;
    uint32_t *waits; /* a heap of buckets, the first in order on top; room for all */
    uint32_t waits_count, waits_capacity;
    bool waits_begun;
    uint32_t members_next;              /* the entry of the next member that waits */
    const struct gang_job *first_waits; /* the first of those */
    uint64_t pass;                      /* of taking up those that wait */
    uint32_t open_nodes; /* schedulable and not marked; exact once something is marked */
    bool marked;
    /* What is kept for jobs that wait: their quota, as if they stood in for those that make way for
     * them; and room on definite nodes, which are in `nodes` from there on. */
    struct gang_hold {
        const struct gang_bucket *bucket;
        const struct gang_job *job;
        uint32_t first_node, first_leaver, leavers;
        bool has_nodes;
    } * holds;
    uint32_t holds_count, holds_capacity;
    const struct gang_job **leavers; /* those that make way, of all holds */
    uint32_t leavers_count, leavers_capacity;
    bool held; /* there were some in the last plan, or all nodes were kept and none was marked */
    uint32_t to_mark; /* 1 + the blocker whose nodes are not marked yet; 0: none */
    struct gang_why why, behind;
    struct {
        const void *of;
        struct gang_why why;
    } whys[GANG_WHYS_KEPT]; /* of this plan, by the object that they are about */
};

struct gang {
    struct gang_memory memory;
    struct gang_config config; /* its names are copied elsewhere */
    uint32_t resources;        /* kinds in use: GANG_DEVICE_0 + devices */
    char *device_names[GANG_RESOURCES_MAX - GANG_DEVICE_0];

    /* Nodes, by number. A board holds `resources` amounts per node: see gang_at(). */
    uint32_t nodes, nodes_capacity; /* numbers in use are below `nodes` */
    int64_t *boards[GANG_BOARDS];
    uint32_t *classes; /* GANG_CLASS_NONE: not known */
    uint32_t *open;    /* the class when also schedulable, else GANG_CLASS_NONE */
    uint16_t *hidden;  /* how often it was hidden; nothing is placed there now unless 0 */
    uint32_t *ending;  /* 1 + where its entry stands in endings; 0: nothing there is ending */
    uint32_t *marks;   /* plan: 1 + entry of the job that waits for this node; 0: nobody */
    struct gang_ending {
        uint32_t node;
        gang_amounts amounts;
    } * endings;
    uint32_t endings_count, endings_capacity;
    uint64_t *counted_free; /* where shares come first: of free_devices, what each node has */
    uint64_t free_devices;  /* of all kinds, on the FREE board as it stands */
    uint32_t known_nodes;
    uint64_t nodes_version;
    struct gang_topology fits_topology;
    struct gang_fits fits;

    gang_amounts totals; /* what all schedulable nodes have */

    struct gang_queue *queues; /* [0] is above all roots; queue q is [q + 1] */
    uint32_t queues_count, queues_capacity;
    uint32_t quotas; /* so many of them have a limit of some resource, */
    uint32_t running_limits; /* so many let only so many jobs run, */
    uint32_t sharing; /* so many share fairly between queues below them */

    struct gang_shape **shapes; /* chained by hash */
    uint32_t shapes_size, shapes_count;
    struct gang_pool bucket_pool, job_pool;
    uint32_t *bucket_table; /* chained by hash: 1 + where in the pool; 0: none */
    uint32_t bucket_table_size;
    uint32_t buckets_count;

    uint32_t *table; /* open addressing by id: 1 + where in the pool; 0: nobody */
    uint32_t table_size, jobs, placed, waiting;
    struct gang_list wounded;  /* has room for all placed jobs */
    struct gang_list left;     /* with a left_for, in no order */
    struct gang_list avoiding; /* jobs that have avoids, in no order */
    uint32_t avoids;           /* entries of all jobs */

    struct gang_ends ends;
    /* Placed jobs that may leave before their limit, or have none: those that are revocable or
     * stopping, have no limit, or were preempted before. In no order; has room for all placed. */
    struct gang_list unsteady;
    uint32_t odd_jobs; /* placed ones that are revocable or stopping */
    uint32_t open_ended;     /* placed ones without a limit, or that were preempted before */
    int32_t lowest_priority; /* no placed one has a lower one; INT32_MAX: there was none yet */
    struct gang_reservation reservations[GANG_RESERVATION_SLOTS];
    uint32_t reservations_used; /* slots from there on are empty */
    bool reserve_verify;        /* this plan may have broken one */
    struct gang_end *odd_ends;  /* scratch of reserve.c */
    uint32_t odd_ends_count, odd_ends_capacity;
    struct gang_job **given;
    uint32_t given_count, given_capacity;
    struct gang_victim {
        struct gang_job *job;
        enum gang_cause cause;
        bool off;      /* the board is as if it had left */
        bool rightful; /* RECLAIM: it owes what is the job's own as it is */
    } * victims;       /* scratch of preempt.c */
    bool all_rightful;
    uint32_t victims_count, victims_capacity;
    uint32_t wanted; /* resources that the job lacks for which they are looked for, a bit each */
    uint32_t *reserve_nodes;
    uint32_t reserve_nodes_capacity;
    struct gang_kind **work; /* kinds that somebody waits for; only with reservations */
    uint32_t work_kinds, work_capacity;
    uint32_t work_mixed; /* the tree of those of several kinds */
    bool work_by_queue;  /* the trees go by queue first */
    bool work_mixed_apart;
    struct gang_work_next {
        struct gang_kind *kind; /* NULL: several */
        struct gang_bucket *bucket;
        const struct gang_job *head; /* of that, when it was found */
        uint32_t paused;             /* choice.c: 1 + the next one that pauses at a queue */
    } * work_next;                   /* a heap, while a plan goes by work; or what it offers */
    uint32_t work_next_count, work_next_capacity;
    uint32_t preferring;        /* buckets that wait for a preferred level, or did */
    int64_t preferred_until_ms; /* the next of them ends then; INT64_MIN: not known */
    int64_t slice_wake_ms;      /* somebody may be sliced then who may not now */
    int64_t impatient_ms, impatient_backlog_ms; /* none has waited too long then, with that one */
    int64_t turns_ms; /* while somebody has: the order of turns may be another then */
    int64_t waiting_work;    /* of jobs with a limit, in device seconds; with patience */
    int32_t waiting_lowest, waiting_highest; /* no priority of those that wait is beyond these */
    uint32_t turn_plan; /* the last plan in which it was somebody's turn */
    struct gang_choice *choice; /* choice.c */
    struct gang_turns *turns;   /* turns.c */
    int64_t askable_devices; /* all but those of jobs that stay, for gang_preempt_may_help() */
    struct gang_job **askable; /* the other jobs, as of the plan with that number */
    uint32_t askable_count, askable_capacity, askable_plan;
    uint32_t gains;             /* counts what may let a job in that did not fit before */

    struct gang_trial *trials; /* what-if: what was changed, to be undone backwards */
    uint32_t trials_count, trials_capacity;
    struct gang_plan plan;
};

/* ---- memory.c ---- */

/* Grows *array to at least `count` elements of `size`. -ENOMEM, and nothing has changed then. */
int gang_reserve(struct gang *g, void *array, uint32_t *capacity, size_t count,
                 size_t size) MLT_MUST_USE;
void *gang_alloc(struct gang *g, size_t size); /* zeroed; NULL */
void gang_release(struct gang *g, void *memory);
int gang_no_memory(struct mlt_error *err);
/* A zeroed one, and its number; NULL for lack of memory. */
void *gang_pool_take(struct gang *g, struct gang_pool *pool, uint32_t *ret_at);
void gang_pool_give(struct gang_pool *pool, uint32_t at);
void gang_pool_free(struct gang *g, struct gang_pool *pool);
static inline void *gang_pool_at(const struct gang_pool *pool, uint32_t at)
{
    return pool->blocks[at / GANG_POOL_BLOCK] + (size_t)(at % GANG_POOL_BLOCK) * pool->size;
}

/* ---- job.c ---- */

struct gang_job *gang_job_find(const struct gang *g, uint64_t id);
/* The job in this slot of the table; NULL: it is empty. */
static inline struct gang_job *gang_job_in(const struct gang *g, uint32_t slot)
{
    return g->table[slot] ? gang_pool_at(&g->job_pool, g->table[slot] - 1) : NULL;
}
/* Nodes for so many pods, zeroed, behind a zeroed stay; NULL for lack of memory. */
uint32_t *gang_nodes_new(struct gang *g, uint32_t pods);
void gang_nodes_free(struct gang *g, uint32_t *nodes); /* NULL is fine */
static inline uint32_t gang_avoid_count(const struct gang_job *job)
{
    return job->avoids ? job->avoids->count : 0;
}
int gang_job_request_check(const struct gang *g, const struct gang_job_request *request,
                           struct mlt_error *err) MLT_MUST_USE;
/* In the table, and neither waiting nor placed yet; takes `shape`. NULL for lack of memory. */
struct gang_job *gang_job_add(struct gang *g, uint64_t id, struct gang_shape *shape);
void gang_job_drop(struct gang *g, struct gang_job *job); /* it neither waits nor holds a place */
void gang_job_free(struct gang *g, struct gang_job *job);
bool gang_job_before(const struct gang_job *a, const struct gang_job *b);
void gang_list_insert(struct gang_list *list, struct gang_job *job);       /* has room */
void gang_list_remove(struct gang_list *list, const struct gang_job *job); /* absent: nothing */
/* Whom it left for when it was asked to leave; nobody any more. */
void gang_job_left_for(struct gang *g, struct gang_job *job, uint64_t other);
/* The same as a host tells it: unless that one holds a place, or has left for this one itself. */
void gang_job_told_left_for(struct gang *g, struct gang_job *job, uint64_t other);
/* Somebody has left for it: it starts for keeps. */
bool gang_job_was_made_way_for(const struct gang *g, const struct gang_job *job);
/* It waits no more: nobody has left for it any more, nor it for anybody. */
void gang_job_waits_no_more(struct gang *g, struct gang_job *job);
uint32_t gang_job_role(const struct gang_job *job, uint32_t pod);
/* -ENOMEM; the caller sees to the job's bucket. */
int gang_job_avoid(struct gang *g, struct gang_job *job, uint32_t node, int64_t until_ms,
                   int64_t now_ms) MLT_MUST_USE;
bool gang_job_avoids(const struct gang_job *job, uint32_t node, int64_t now_ms);
/* For how much longer; 0: it does not. */
int64_t gang_job_avoids_ms(const struct gang_job *job, uint32_t node, int64_t now_ms);
void gang_avoid_forget_node(struct gang *g, uint32_t node);

/* ---- shape.c ---- */

/* The shape of a request, shared with all equal ones; each is given back by gang_shape_free().
 * NULL for lack of memory. */
struct gang_shape *gang_shape_copy(struct gang *g, const struct gang_job_request *request);
void gang_shape_free(struct gang *g, struct gang_shape *shape); /* NULL is fine */

/* ---- queue.c ---- (`index`: of g->queues) */

static inline struct gang_queue *gang_queue_of(const struct gang *g, uint32_t queue)
{
    return &g->queues[queue + 1];
}
bool gang_queue_known(const struct gang *g, uint32_t queue);
int gang_queue_set(struct gang *g, uint32_t queue, const struct gang_queue_config *config,
                   int64_t now_ms, struct mlt_error *err) MLT_MUST_USE;
int gang_queue_remove(struct gang *g, uint32_t queue, struct mlt_error *err) MLT_MUST_USE;
void gang_queue_changed(struct gang *g, uint32_t index); /* what comes first may be another */
/* A job of this queue takes its place (sign 1) or leaves it (-1): quota and running jobs. */
void gang_queue_charge(struct gang *g, uint32_t queue, const struct gang_shape *shape, int sign);
/* The use of the past up to now, with what is charged from now on. */
void gang_queue_settle(struct gang *g, uint32_t queue, int64_t now_ms);
void gang_queue_settle_all(struct gang *g, int64_t now_ms);
int64_t gang_usage_at(const struct gang *g, struct gang_queue *queue, int64_t now_ms);
void gang_usage_set(struct gang_queue *queue, int64_t usage, int64_t now_ms); /* up to then */
int gang_usage_check(const struct gang *g, uint32_t index, struct mlt_error *err) MLT_MUST_USE;
int64_t gang_share(const struct gang *g, const int64_t *used);
/* What the queue may still use of a resource; GANG_UNLIMITED: no limit. */
int64_t gang_queue_available(const struct gang *g, uint32_t queue, uint32_t resource);
/* The same if nobody used anything. */
int64_t gang_queue_potential(const struct gang *g, uint32_t queue, uint32_t resource);
/* Whether quota or a limit of its queues keeps the next job of a bucket from starting: OPEN, or
 * QUOTA, QUEUE, LIMIT or TOO_MUCH with blocked_queue and blocked_resource set. */
enum gang_outcome gang_queue_gate(const struct gang *g, struct gang_bucket *bucket);
uint32_t gang_shape_asks(const struct gang *g, const struct gang_shape *shape); /* a bit each */
int64_t gang_queue_kept(const struct gang_queue *queue,
                        uint32_t resource); /* what it never lends */
/* Quota of this queue is kept for a job that does not run yet (`waits`, sign 1), or no more (-1);
 * or one that holds a place counts as gone (-1), or no more. */
void gang_queue_hold(struct gang *g, uint32_t queue, const struct gang_shape *shape, int sign,
                     bool waits);
/* One queue's quota and charge against those of the queues below it; -EBADMSG. */
int gang_queue_check_quota(const struct gang *g, uint32_t index,
                           struct mlt_error *err) MLT_MUST_USE;
/* The nearest queue (an index, 0: none) above two, and which of those below it they stand in. */
uint32_t gang_queue_common(const struct gang *g, uint32_t queue, uint32_t other,
                           uint32_t *ret_branch, uint32_t *ret_other_branch);
/* Device time, past use and some of what is to come: what queues are compared by. */
__extension__ typedef unsigned __int128 gang_wide;
gang_wide gang_queue_counted(const struct gang *g, struct gang_queue *q, int64_t now_ms);
/* Whether the queue at this index has used less for its weight than the other one, now. */
bool gang_queue_used_less(const struct gang *g, uint32_t index, uint32_t other);
/* Whether jobs wait whose order changes with time alone. */
bool gang_queue_order_moves(const struct gang *g);
/* The next bucket of all that are in a heap, by the rules of order; NULL: none. */
struct gang_bucket *gang_queue_next(struct gang *g);

/* ---- borrow.c ---- (`top`, `common`: indices) */

/* From how high up a job of this queue would borrow: 0 within what the queue itself has, else the
 * height of the lowest queue above it, up to `top`, that has enough with all that its branch lends;
 * one more than the height of `top`, unless that is a root, when it has not enough either. */
uint32_t gang_borrow_level(const struct gang *g, uint32_t queue, const struct gang_shape *shape,
                           uint32_t top);
/* Whether it stays within what a queue between its own and `common`, without that one, has. */
bool gang_borrow_within(const struct gang *g, uint32_t queue, const struct gang_shape *shape,
                        uint32_t common);
/* The same for the root: it wants what others may have borrowed, but have no right to. */
bool gang_borrow_wants_own(const struct gang *g, uint32_t queue, const struct gang_shape *shape);
/* What it lacks: a bit for each resource of which its quota has not enough; if it lacks none, the
 * devices that it asks for, or else all that it asks for. */
uint32_t gang_borrow_wanted(const struct gang *g, uint32_t queue, const struct gang_shape *shape);
/* Whether jobs of this queue use what `to`, or a queue above that one, has lent: each queue from
 * where the two meet down to it borrows some of these resources, of which the other side has a
 * quota. */
bool gang_borrow_owes(const struct gang *g, uint32_t queue, uint32_t to, uint32_t resources);

/* ---- bucket.c ---- */

/* Where this job waits: a bucket with room for one more, a new one if it is to be `alone`. NULL for
 * lack of memory; an empty one goes by gang_bucket_release(). */
struct gang_bucket *gang_bucket_for(struct gang *g, const struct gang_job *job, bool alone);
static inline struct gang_bucket *gang_bucket_at(const struct gang *g, uint32_t at)
{
    return gang_pool_at(&g->bucket_pool, at);
}
/* All that are in a heap, in no order; begins with zeroes. NULL: no more. */
struct gang_bucket_walk {
    uint32_t queue, at;
};
struct gang_bucket *gang_bucket_walk_next(const struct gang *g, struct gang_bucket_walk *walk);
void gang_bucket_release(struct gang *g, struct gang_bucket *bucket); /* if empty; or NULL */
void gang_bucket_insert(struct gang *g, struct gang_bucket *bucket, struct gang_job *job);
/* Returns where it waited, to be released by the caller; NULL: it waited nowhere. */
struct gang_bucket *gang_bucket_remove(struct gang *g, struct gang_job *job);
void gang_bucket_free(struct gang *g, struct gang_bucket *bucket);
/* One of its jobs: the first is 0. */
static inline struct gang_job *gang_bucket_job(const struct gang_bucket *b, uint32_t index)
{
    return b->capacity == 1 ? b->only : b->jobs[b->first + index];
}
/* Any of its jobs, for what they have in common. */
static inline const struct gang_job *gang_bucket_any(const struct gang_bucket *b)
{
    return gang_bucket_job(b, 0);
}
static inline struct gang_job *gang_bucket_head(const struct gang_bucket *b)
{
    return gang_bucket_job(b, b->cursor);
}
/* The first time after now_ms from which a waiting job does without the level that it prefers;
 * INT64_MAX: there is none. Plans see to it that this is known. */
int64_t gang_bucket_preferred_until(const struct gang *g, int64_t now_ms);
void gang_heap_push(struct gang *g, struct gang_bucket *bucket);
void gang_heap_take(struct gang *g, struct gang_bucket *bucket);
void gang_heap_moved(struct gang *g, struct gang_bucket *bucket); /* its head has changed */
void gang_heap_slice_changed(struct gang *g, struct gang_queue *q);

/* ---- node.c ---- */

/* Makes the number usable, with these domains (or NULL). -ENOMEM. */
int gang_node_reserve(struct gang *g, uint32_t node, const uint32_t *domains) MLT_MUST_USE;
void gang_node_set(struct gang *g, const struct gang_event *event);
const int64_t *gang_node_ending(const struct gang *g, uint32_t node); /* zeroes: nothing is */
void gang_node_remove(struct gang *g, uint32_t node);

/* ---- board.c ---- (`there`: what is left on one node of a board; g->resources amounts) */

static inline int64_t *gang_at(const struct gang *g, enum gang_board board, uint32_t node)
{
    return g->boards[board] + (size_t)node * g->resources;
}

bool gang_board_fits(const struct gang *g, const int64_t *there, const int64_t *request);
void gang_board_take(const struct gang *g, int64_t *there, const int64_t *request);
void gang_board_give(const struct gang *g, int64_t *there, const int64_t *request);
uint64_t gang_free_devices_of(const struct gang *g, uint32_t node); /* of all kinds */
void gang_board_take_pods(const struct gang *g, int64_t *there, const int64_t *request,
                          uint32_t pods);
void gang_board_give_pods(const struct gang *g, int64_t *there, const int64_t *request,
                          uint32_t pods);
uint64_t gang_board_count(const struct gang *g, const int64_t *there, const int64_t *request);

/* ---- room.c ---- The free board changes by these calls (and those of node.c) alone, so that what
 * is derived from it stays right. */

void gang_room_take(struct gang *g, uint32_t node, const int64_t *request);
void gang_room_give(struct gang *g, uint32_t node, const int64_t *request);
/* A whole gang; `nodes` has one per pod, GANG_NO_NODE for a pod that holds none. */
void gang_room_take_gang(struct gang *g, const struct gang_shape *shape, const uint32_t *nodes);
void gang_room_give_gang(struct gang *g, const struct gang_shape *shape, const uint32_t *nodes);
/* A hidden node is not used by placements on the free board. Counted: shown as often as hidden. */
void gang_room_hide(struct gang *g, uint32_t node);
void gang_room_show(struct gang *g, uint32_t node);

/* What if: gangs taken off the free board or put on it, to be undone. Trials nest; nothing but
 * trials and placements that were undone may have changed the board in between, and no event may
 * come. */
struct gang_trial {
    const struct gang_shape *shape;
    const uint32_t *nodes; /* borrowed: they stay as they are until gang_trial_undo() */
    bool give;
};
uint32_t gang_trial_begin(const struct gang *g); /* where to go back to */
/* As if it had left, as if it stood there. -ENOMEM: nothing has changed. */
int gang_trial_give(struct gang *g, const struct gang_shape *shape,
                    const uint32_t *nodes) MLT_MUST_USE;
int gang_trial_take(struct gang *g, const struct gang_shape *shape,
                    const uint32_t *nodes) MLT_MUST_USE;
void gang_trial_undo(struct gang *g, uint32_t begin);

/* ---- place.c ---- */

/* Where a gang may stand. Zeroes: on any node, now. */
struct gang_where {
    enum gang_board
        board;       /* FREE without hidden nodes; OWN: schedulable nodes; EMPTY: known nodes */
    bool hidden_too; /* FREE: hidden nodes may be used, too (O(nodes)) */
    uint32_t level;  /* all pods in one domain of this level, or GANG_NO_LEVEL */
    /* All pods in this very domain; GANG_NO_LEVEL: no matter. */
    uint32_t within_level, within_domain;
    uint32_t beside;   /* gang_place_pod(): 1 + the node of a neighbour; 0: no matter */
    uint32_t together; /* gang_place_pod(): best where there is room for so many */
    const struct gang_job *avoiding; /* NULL, or a job whose avoided nodes are left out */
    int64_t now_ms;
};

/* Where this job may stand now: its required level, or the preferred one while it waits for that.
 */
struct gang_where gang_where_now(const struct gang_job *job, int64_t now_ms);
/* Where it could ever stand, on another board: its required level, and nothing avoided. */
struct gang_where gang_where_ever(const struct gang_job *job, enum gang_board board);

bool gang_role_allows(const struct gang_role *role, uint32_t node_class);
/* All pods, whole or not at all, by the rules of README "Placement": fills nodes[shape->pods] and
 * takes the room from where->board (undone by gang_place_undo()). nodes may be NULL: only asked,
 * nothing is taken. False: nothing was taken, *ret_role is the role that found no place. The shape
 * is bound (gang_shape_copy() has done so). */
bool gang_place(struct gang *g, const struct gang_where *where, const struct gang_shape *shape,
                uint32_t *nodes, uint32_t *ret_role);
void gang_place_undo(struct gang *g, enum gang_board board, const struct gang_shape *shape,
                     const uint32_t *nodes);
/* The node for one pod of a role, nothing taken; GANG_NO_NODE when there is none. */
uint32_t gang_place_pod(struct gang *g, const struct gang_where *where,
                        const struct gang_shape *shape, uint32_t role);
/* Where a lost member of a placed job may stand: in the domain of the required level that holds its
 * nearest neighbour in rank, and as near to that as there is room. `also`: the node planned for
 * another lost member, or GANG_NO_NODE. */
struct gang_where gang_where_member(const struct gang *g, const struct gang_job *job, uint32_t pod,
                                    uint32_t also, int64_t now_ms);
/* The domain of where->level with the most room for a role, and how many of its pods it holds;
 * GANG_NO_DOMAIN and 0 when none holds any. */
uint64_t gang_place_largest(struct gang *g, const struct gang_where *where,
                            const struct gang_shape *shape, uint32_t role, uint32_t *ret_domain);
/* How many pods of a role would fit now, one by one, on nodes not hidden: in the whole cluster
 * (GANG_NO_LEVEL), or in one domain. Exact for a role alone; avoided nodes count. */
uint64_t gang_fit_total(struct gang *g, const struct gang_shape *shape, uint32_t role,
                        uint32_t level, uint32_t domain);
/* The same on all nodes in the cluster, hidden or not. */
uint64_t gang_fit_total_kept_too(struct gang *g, const struct gang_shape *shape, uint32_t role);
/* True: no placement now by that count. False: unknown. */
bool gang_cannot_fit(struct gang *g, const struct gang_shape *shape);

/* ---- why.c ---- */

struct gang_question {
    const struct gang_shape *shape;
    const struct gang_job *job; /* NULL for a request that is no job */
    uint32_t level;             /* all pods in one domain of it, or GANG_NO_LEVEL */
    uint32_t role, pod, pods;
    enum gang_why_kind kind;
    int64_t now_ms;
};
void gang_why_find(struct gang *g, const struct gang_question *question, struct gang_why *ret);

/* ---- plan.c ---- */

#define GANG_NO_BLOCKER UINT32_MAX

void gang_plan_forget(struct gang *g);
/* Who waits for the first schedulable node that this shape could use, of the plan's blockers before
 * that one; GANG_NO_BLOCKER: nobody. */
uint32_t gang_plan_blocker(const struct gang *g, const struct gang_shape *shape, uint32_t before);
enum gang_verdict gang_plan_judge(struct gang *g, struct gang_bucket *bucket);
/* After that: the role that found no room, unless it FITS. */
uint32_t gang_plan_judged_role(const struct gang_bucket *bucket);
/* Where it places a job that is `in_plan`. */
const uint32_t *gang_plan_nodes(const struct gang *g, const struct gang_job *job);
/* Puts the plan's placements on the free board, takes them off again. */
void gang_plan_apply(struct gang *g);
void gang_plan_unapply(struct gang *g);

/* The host has placed this job: as the last plan had decided, or not. */
void gang_plan_committed(struct gang *g, struct gang_job *job, const uint32_t *nodes);
void gang_plan_touch(struct gang *g, struct gang_bucket *bucket);
void gang_plan_park(struct gang *g, struct gang_bucket *bucket);
/* The next job of the bucket is placed on the nodes at the end of plan.nodes. */
struct gang_entry *gang_plan_take_turn(struct gang *g, struct gang_bucket *bucket);
int gang_plan_reserve(struct gang *g, uint32_t nodes) MLT_MUST_USE;
bool gang_plan_held_by_quota(struct gang *g, struct gang_bucket *bucket, struct gang_job *job);
/* Quota is kept for the next job of this bucket for the rest of the plan: when others make way for
 * it (theirs counts as free, but for those that would start now), or it is short of quota of which
 * it has enough and others use it. */
int gang_plan_hold(struct gang *g, struct gang_bucket *bucket, bool stopping) MLT_MUST_USE;
/* The quota that is used now, without what is kept; and back. */
void gang_plan_without_holds(struct gang *g, bool without);
/* What is kept for this bucket itself is given back (sign -1) or kept again, while it is asked. */
void gang_plan_own_hold(struct gang *g, struct gang_bucket *bucket, int sign);
void gang_plan_mark(struct gang *g, const struct gang_blocker *blocker,
                    const struct gang_role *roles, uint32_t roles_count,
                    const struct gang_where *where); /* NULL, or the domain where it must stay */
void gang_plan_mark_now(struct gang *g);             /* what was put off */

/* ---- timed.c ---- (plans with reservations) */

int gang_timed_plan(struct gang *g, int64_t now_ms) MLT_MUST_USE;
/* Withholds on the board what this job must leave alone when it starts then; whether that is so. */
void gang_timed_heed(struct gang *g, const struct gang_job *job, int64_t start_ms);
bool gang_timed_heeds(const struct gang *g, const struct gang_job *job, int64_t start_ms);
int64_t gang_timed_wake_ms(const struct gang *g, int64_t now_ms);
void gang_timed_end(struct gang *g); /* nothing is withheld any more */

/* ---- ends.c ---- */

int gang_ends_reserve(struct gang *g) MLT_MUST_USE; /* room for one more */
void gang_ends_free(struct gang *g);
void gang_ends_insert(struct gang *g, struct gang_job *job);
void gang_ends_remove(struct gang *g, const struct gang_job *job);
void gang_ends_sort_out(struct gang *g, struct gang_job *job); /* it may have become unsteady */
int gang_ends_check(const struct gang *g, struct mlt_error *err) MLT_MUST_USE;
struct gang_job *gang_ends_next(const struct gang *g, struct gang_ends_at *at); /* NULL: no more */

/* ---- preempt.c ---- */

/* The blocked next job of a bucket: decides whom to ask to leave for it. *ret_stopping: somebody
 * is, or was asked before and has not left. */
int gang_preempt(struct gang *g, struct gang_bucket *bucket, struct gang_job *job, int64_t now_ms,
                 bool *ret_stopping) MLT_MUST_USE;
/* Breaks it: a revocable job that it relies on was not asked in time, or need not be yet. */
void gang_preempt_missed(struct gang *g, struct gang_reservation *r, int64_t now_ms);
/* Asks revocable jobs that the reservation needs gone by its start, and whose grace begins now. */
int gang_preempt_due(struct gang *g, struct gang_reservation *r, int64_t now_ms,
                     bool *ret_stopping) MLT_MUST_USE;
/* Whose turn it is when that of this bucket has come: if its next job has left for another one, and
 * that one fits now, or others are leaving for it still, that one's. */
struct gang_bucket *gang_preempt_turn(struct gang *g, struct gang_bucket *bucket, int64_t now_ms,
                                      bool *ret_given);
/* Whether it has left for one that still waits, and would fit now but for what is kept. */
bool gang_preempt_gives_way(struct gang *g, const struct gang_job *job, int64_t now_ms);
uint32_t gang_preempt_stopping(const struct gang *g, const struct gang_job *job); /* for it */
/* Sums up for gang_preempt_may_help() who could be asked now, within a plan; false: nobody. */
bool gang_preempt_look(struct gang *g, int64_t now_ms);
/* False: all of them together, with what is free, are not enough for this job. */
bool gang_preempt_may_help(const struct gang *g, const struct gang_job *job);
/* The same for all jobs of a kind of pods: no more than so many of them. */
uint64_t gang_preempt_most_pods(const struct gang *g, const struct gang_kind *kind);
/* When somebody may be asked who may not be asked now; INT64_MAX: never. */
int64_t gang_preempt_wake_ms(const struct gang *g, int64_t now_ms);

/* ---- check_queue.c ---- */

int gang_check_queues(const struct gang *g, struct mlt_error *err) MLT_MUST_USE;

/* ---- wait.c ---- */

bool gang_wait_next(struct gang *g, struct gang_decision *ret);

#endif
