/* Who runs, where, now or later, and why not. An event-sourced state machine: events in, plan out,
 * nothing else.
 *
 * Pure and integer-only: equal events give equal plans, bit for bit. It knows nodes, jobs, queues,
 * roles and node classes by number; ledger/ maps Kubernetes objects to them. Nothing here depends
 * on Kubernetes: the library can be lifted out. It never aborts for lack of memory: calls return
 * -ENOMEM and leave the state as it was.
 *
 * A gang is placed whole or not at all. Order: priority (higher first), then submission
 * (`sequence`, then id). What a job that must wait means for those behind it: gang/README.md. */
#ifndef GANG_GANG_H
#define GANG_GANG_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/base/error.h"

/* Resource kinds by index: 0 milli-CPU, 1 bytes of memory, 2 pods, 3... devices (whole numbers) by
 * the host's order. */
#define GANG_CPU_MILLI 0
#define GANG_MEMORY 1
#define GANG_PODS 2
#define GANG_DEVICE_0 3
#define GANG_RESOURCES_MAX 8
#define GANG_NODES_MAX 1000000
#define GANG_JOBS_MAX 4000000
#define GANG_PODS_PER_JOB_MAX 65536
#define GANG_ROLES_MAX 16
#define GANG_REASON_MAX 512
#define GANG_QUEUES_MAX 65536
#define GANG_CLASSES_MAX 65536
#define GANG_AVOID_MAX 64 /* nodes that one job avoids; when full, the one that ends first goes */
#define GANG_AMOUNT_MAX \
    (INT64_C(1) << 50)           /* of one resource in a request or on a node (memory: 1 PiB) */
#define GANG_HOLDERS_MAX 4       /* holders named in a reason */
#define GANG_LEVELS_MAX 8        /* topology levels, wide to narrow */
#define GANG_DOMAINS_MAX 1000000 /* per level */
#define GANG_QUEUE_DEPTH_MAX 8   /* a queue and its ancestors */
#define GANG_RESERVATIONS_MAX 32
#define GANG_NO_DOMAIN UINT32_MAX /* a node that lies in no domain of a level */
#define GANG_NO_LEVEL 0           /* levels are counted from 1, the widest */
#define GANG_NO_QUEUE UINT32_MAX
#define GANG_NO_JOB UINT64_MAX
#define GANG_UNLIMITED INT64_MAX          /* a limit that is none */
#define GANG_SHARE_ONE (INT64_C(1) << 20) /* the share of a queue that uses all there is */
#define GANG_NO_POD UINT32_MAX            /* a decision about the whole job */
#define GANG_NO_NODE UINT32_MAX           /* a pod that holds no node */

typedef int64_t gang_amounts[GANG_RESOURCES_MAX];

struct gang;

/* What holds for the life of a gang. Zeroes are a library that keeps strict order, knows no
 * topology and never asks a job to leave. */
struct gang_config {
    /* For words in reasons, e.g. "nvidia.com/gpu"; copied. At most GANG_RESOURCES_MAX -
     * GANG_DEVICE_0. */
    const char *const *device_names;
    uint32_t devices;
    /* Topology levels from wide to narrow, e.g. "zone", "rack", "nvlink"; copied. The domains of a
     * level are numbered by the host from 0; a domain lies wholly in one domain of each wider
     * level. */
    const char *const *level_names;
    uint32_t levels;
    /* Blocked jobs that get a reservation (at most GANG_RESERVATIONS_MAX). Those behind them may
     * start if no reserved start becomes later. 0: strict order, everything that a blocked job
     * could use is kept. */
    uint32_t reservations;
    /* 0: blocked jobs get reservations in order, at once, and those behind them that may start go
     * by least expected work. Else all jobs go by that, and a job gets a reservation when it has
     * waited so long (since_ms); one that asks for an eighth of all there is after a quarter of it,
     * one with a limit after twice the time that all waiting work would take, if that is less. The
     * whole rule: README.md, "Patience". */
    int64_t patience_ms;
    /* With patience_ms: shares come before patience. Below a FAIR_SHARE queue only those whose branch
     * has used no more than its due have a turn for having waited too long, and they may take slices
     * of jobs with a limit, too, from branches that have used more than theirs. Else patience comes
     * first: less waiting in all, shares as far as that leaves them. */
    bool shares_first;
    /* The host understands GANG_PREEMPT: jobs may be asked to leave for others. Else only jobs with
     * a time limit backfill, and nobody is preempted. */
    bool may_preempt;
    int64_t min_run_ms; /* a job that was preempted before is not preempted again before it has run
                           so long, and saved once if it saves at all */
    int64_t usage_half_life_ms; /* past use of a queue counts half after so long; 0: for ever */
};

/* NULL for lack of memory, or for a config beyond its maxima. */
struct gang *gang_new(const struct gang_config *config);
void gang_free(struct gang *g);

/* ---- events ---- */

#define GANG_EVENT_MAP(XX)                                                                         \
    XX(NODE_SET)      /* node, capacity, used_by_others, ending, node_class, schedulable, domains: \
                         add or change */                                                          \
    XX(NODE_REMOVED)  /* node */                                                                   \
    XX(QUEUE_SET)     /* queue, queue_config (NULL: all defaults): add or change */                \
    XX(QUEUE_REMOVED) /* queue: no job and no queue below it is left */                            \
    XX(QUEUE_USAGE)   /* queue, usage: its decayed past use as of now (found after a restart) */   \
    XX(JOB_SUBMITTED) /* job: a request that waits for a place; again: changed while waiting */    \
    XX(JOB_PLACED)    /* job + nodes, started_ms, revocable: the host has committed a plan, or     \
                         found it after a restart */                                               \
    XX(JOB_SAVED)     /* job: its work up to now is safe; until the first one nothing is */        \
    XX(JOB_STOPPING)  /* job, for_job: the host has asked a placed job to leave (or found so): its \
                         place is for `for_job` once it is released */                             \
    XX(POD_MOVED)     /* job, pod, node: one member of a placed gang now stands elsewhere */       \
    XX(POD_GONE)      /* job, pod: a member holds no node (to be replaced) */                      \
    XX(JOB_RELEASED)  /* job: holds nothing any more and waits again (suspended: remove it) */     \
    XX(JOB_REMOVED)   /* job: finished, suspended or deleted */                                    \
    XX(JOB_AVOID)     /* job, node, until: this job's pods are not put there before `until_ms` */

enum gang_event_kind {
#define XX(name) GANG_##name,
    GANG_EVENT_MAP(XX)
#undef XX
};

/* Pods of one role are equal. Their index in the gang runs over roles in order. */
struct gang_role {
    uint32_t pods;
    gang_amounts request; /* of one pod; GANG_PODS is 1 */
    const uint64_t
        *node_classes; /* bitmap: classes (of NODE_SET) that its pods may use; borrowed */
    uint32_t node_classes_words;
};

struct gang_job_request {
    uint32_t queue;
    int32_t priority;
    int64_t sequence; /* submission order, e.g. creation time in ms */
    uint32_t roles_count;
    struct gang_role roles[GANG_ROLES_MAX];
    int64_t time_limit_ms; /* of running, from started_ms on; the host ends the job then. 0: none */
    /* How long it will probably run: decides which of those that may backfill goes first, and
     * nothing else. 0: the time limit, and without one longer than all that say it. */
    int64_t expected_ms;
    int64_t grace_ms;    /* from being asked to leave until its place is free, at most */
    int64_t attained_ms; /* how long it ran in earlier placements */
    /* Topology: a level (from 1) or GANG_NO_LEVEL. Required: all pods in one domain of that level.
     * Preferred: so until `preferred_wait_ms` after since_ms, then in the lowest level that has
     * room. */
    uint32_t required_level, preferred_level;
    int64_t preferred_wait_ms;
    int64_t since_ms;     /* when it began to wait; so much earlier as it has waited before that */
    bool never_preempted; /* it is nobody's victim */
    bool was_preempted;   /* its last placement ended so: min_run_ms protects the next one */
    bool saves;           /* it will say JOB_SAVED */
    bool never_preempts;  /* nobody is asked to leave for it, but revocable jobs for its reserved
                             start */
    /* It has left its last place for that job, which may wait for it still: what JOB_RELEASED knows
     * of one that was stopping, for a gang that has not seen that. Nothing if that job holds a
     * place. */
    bool made_way;
    uint64_t made_way_for;
};

#define GANG_QUEUE_ORDER_MAP(XX)                                                              \
    XX(FIFO)       /* jobs of the queues below compete in one line: who borrows least high up \
                      first, then priority, sequence, id */                                   \
    XX(FAIR_SHARE) /* who does not borrow, then the queue below with the least weighted use */
enum gang_queue_order {
#define XX(name) GANG_ORDER_##name,
    GANG_QUEUE_ORDER_MAP(XX)
#undef XX
};

/* Whose gangs may be asked to leave for a job of this queue. */
#define GANG_QUEUE_PREEMPTION_MAP(XX)                \
    XX(NEVER)                                        \
    XX(LOWER_PRIORITY) /* those of lower priority */ \
    XX(ANY)            /* reclaim only: of any priority */
enum gang_queue_preemption {
#define XX(name) GANG_PREEMPTION_##name,
    GANG_QUEUE_PREEMPTION_MAP(XX)
#undef XX
};

/* Quota arithmetic is that of Kueue's hierarchical cohorts: a queue may use its nominal quota, and
 * what its siblings and ancestors have and do not use, up to borrow_limit beyond its own; it lends
 * at most lend_limit of its own. Amounts of a queue include those of the queues below it. */
struct gang_queue_config {
    uint32_t
        parent; /* GANG_NO_QUEUE: a root; the parent must be known, and no cycle may come to be */
    uint32_t weight; /* of its share beside its siblings; at least 1 */
    enum gang_queue_order order;
    gang_amounts nominal;                    /* GANG_UNLIMITED: that resource is not limited here */
    gang_amounts borrow_limit, lend_limit;   /* GANG_UNLIMITED: none */
    enum gang_queue_preemption within_queue; /* NEVER or LOWER_PRIORITY */
    /* What others of the tree have borrowed, when this one, or one above it below where the two
     * meet, stays within what it has. */
    enum gang_queue_preemption reclaim;
    /* A job that has run so long since its start may be asked to leave for a waiting job of the
     * same or a higher priority that has attained at most half of its GPU time: of the same queue,
     * or of another one below a common FAIR_SHARE queue, as long as neither its queue's nominal
     * quota nor its share is touched (README.md). With patience_ms: of any queue below a common
     * one, or of another tree, and only one without a time limit is asked. 0: never. */
    int64_t time_slice_ms;
    uint32_t running_jobs_max; /* 0: no limit */
    int64_t
        time_limit_max_ms; /* of a job; one without a limit, or a longer one, is NEVER. 0: none */
};

struct gang_event {
    enum gang_event_kind kind;
    uint32_t node, queue, node_class;
    uint64_t job;
    uint32_t pod;
    bool schedulable;
    gang_amounts capacity, used_by_others;
    /* Of used_by_others: what will be gone within moments, such as pods that end. It is not free yet,
     * but who waits for it waits as for gangs and keeps his turn. The host takes it back by another
     * NODE_SET when it lasts. */
    gang_amounts ending;
    const uint32_t *domains; /* one per level, or NULL: in none of any level */
    const struct gang_queue_config *queue_config;
    int64_t usage; /* as gang_queue_view.usage */
    const struct gang_job_request *request;
    int64_t started_ms;
    bool revocable; /* it was placed by a decision that was */
    uint64_t for_job;
    const uint32_t *nodes; /* JOB_PLACED: one per pod; GANG_NO_NODE: that pod holds none */
    uint32_t nodes_count;
    int64_t until_ms;
};

/* -EINVAL with words for an event that contradicts the state (unknown job or queue, a place
 * released twice ...); -ENOMEM; both leave everything as it was. Details: NODE_SET also changes a
 * node. Its number is the host's and stays with the node: a node may be removed and set again while
 *   gangs hold it (their members stay until POD_GONE), and may be named by JOB_PLACED before it was
 * ever set. -EINVAL when one of its domains lies elsewhere for the other known nodes in it.
 * JOB_SUBMITTED needs `request`, also when a waiting job changes; a job that holds a
 * place is released or removed first. JOB_PLACED needs `request` for an unknown job and may give
 * one for a known one; a second JOB_PLACED replaces the first. It is taken even when it
 * oversubscribes (it is a fact, found after a restart); GANG never plans so. */
int gang_event(struct gang *g, const struct gang_event *event, int64_t now_ms,
               struct mlt_error *err) MLT_MUST_USE;

/* ---- plan ---- */

#define GANG_DECISION_MAP(XX)                                                      \
    XX(PLACE)   /* job, nodes: start it there; the host answers with JOB_PLACED */ \
    XX(REPLACE) /* job, pod, node: a new place for one member of a placed gang */  \
    XX(PREEMPT) /* job, for_job, cause: ask it to leave; the host answers with     \
                   JOB_STOPPING, and JOB_RELEASED or JOB_REMOVED in the end */     \
    XX(WAIT)    /* job, reason: why not now */                                     \
    XX(NEVER)   /* job, reason: cannot fit even the empty cluster as it stands */

enum gang_decision_kind {
#define XX(name) GANG_##name,
    GANG_DECISION_MAP(XX)
#undef XX
};

#define GANG_CAUSE_MAP(XX)                                                     \
    XX(PRIORITY)   /* for one of higher priority in its own queue */           \
    XX(RECLAIM)    /* its queue has borrowed what another one wants back */    \
    XX(TIME_SLICE) /* it has had its slice, and one that has had less waits */ \
    XX(REVOKED)    /* it was let in before a blocked one, which can start without it */
enum gang_cause {
#define XX(name) GANG_CAUSE_##name,
    GANG_CAUSE_MAP(XX)
#undef XX
};

/* Why a job waits, in numbers; gang_why_write() makes words of them. */
#define GANG_WHY_MAP(XX)                                                                       \
    XX(BEHIND)    /* somebody before it in order waits for nodes that it would use */          \
    XX(NO_ROOM)   /* gangs hold what it needs */                                               \
    XX(OTHERS)    /* it needs what pods outside of gangs hold, or nodes not schedulable now */ \
    XX(TOO_LARGE) /* the empty cluster could not hold it */                                    \
    XX(TOPOLOGY)  /* there is room, but not in one domain of the level that it requires */     \
    XX(QUOTA)     /* its queue, or one above it, may use no more of a resource */              \
    XX(QUEUE)     /* its queue runs as many jobs as it may, or lets no job be so long */       \
    XX(RESERVED)  /* there is room, but a blocked job's reserved start would become later */   \
    XX(STOPPING)  /* those that were asked to leave for it have not left yet */

enum gang_why_kind {
#define XX(name) GANG_WHY_##name,
    GANG_WHY_MAP(XX)
#undef XX
};

struct gang_why {
    enum gang_why_kind kind;
    /* BEHIND */
    uint64_t blocked_by;            /* a job */
    bool first_in_order;            /* that job is the first of all that wait */
    const struct gang_why *blocker; /* why that job waits; NULL when it is itself BEHIND */
    /* The others: the role that found no place, and its scarcest resource there. All sums are over
     * the nodes that the role's node classes allow, without those the job avoids. */
    uint32_t pod; /* the member to be replaced, or GANG_NO_POD */
    uint32_t role, pods_asked;
    bool with_other_roles; /* the role alone would fit; not together with the others */
    bool together;         /* each resource alone would do; not all of them on the same nodes */
    uint32_t resource;
    int64_t asked;                /* of `resource`, by one pod */
    gang_amounts request;         /* all of one pod */
    int64_t free, total, largest; /* of `resource`: now, in all, and most on one node (TOO_LARGE: of
                                     an empty node) */
    uint64_t
        pods_fit; /* so many pods of the role would fit now (TOO_LARGE: in the empty cluster) */
    int64_t held_by_gangs, held_by_others;
    uint32_t holders_count; /* jobs that hold some of it; the largest (then lowest id) are named */
    struct {
        uint64_t job;
        int64_t amount;
        int64_t until_ms; /* its estimated end; 0: nobody knows */
    } holders[GANG_HOLDERS_MAX];
    /* TOPOLOGY: `level`, and the pods that the domain with the most room holds (of the role,
     * `largest_domain` its number; GANG_NO_DOMAIN: none holds any). QUOTA: `queue` (the one whose
     * quota ends), `resource`, `used`, `limit` (nominal and what it may borrow now) and
     * `asked_in_all`; of a job that is NEVER for that, `limit` is what the queue may use when nobody
     * else uses anything, and `never_enough` is set. QUEUE: `queue`, `used` jobs of `limit`; or, of
     * a job that is NEVER for that, its time_limit_max_ms. RESERVED: blocked_by and
     * `reserved_start_ms`. */
    uint32_t level, largest_domain, queue;
    uint64_t largest_domain_pods;
    int64_t used, limit, asked_in_all, reserved_start_ms, time_limit_max_ms;
    bool never_enough;
    uint32_t nodes, nodes_allowed, nodes_unschedulable,
        nodes_avoided;  /* all; of all; of the allowed; of the rest */
    int64_t avoided_ms; /* until the first of those may be used again; 0: none is avoided */
};

struct gang_decision {
    enum gang_decision_kind kind;
    uint64_t job;
    uint32_t pod; /* REPLACE, and WAIT for a member that finds no new place; else GANG_NO_POD */
    const uint32_t *nodes; /* PLACE: one per pod in pod order; REPLACE: one */
    uint32_t nodes_count;
    uint64_t for_job;      /* PREEMPT */
    enum gang_cause cause; /* PREEMPT */
    bool
        revocable; /* PLACE: it may be asked to leave for a blocked job; pass it on in JOB_PLACED */
    uint32_t position;          /* WAIT of a whole job: place in its queue, from 1 */
    int64_t estimated_start_ms; /* WAIT: the reserved start; 0 when unknown */
    int64_t estimated_end_ms;   /* PLACE: by its limit; 0 when unknown */
    const struct gang_why *why; /* WAIT and NEVER; gang_why_write() makes words of it */
};

/* Decides over all waiting jobs and members in order, as if each PLACE and REPLACE were committed
 * at once (a plan never oversubscribes by itself). Decisions are then taken with
 * gang_decision_next(); a plan is forgotten by the next event that changes anything, so the host
 * commits (JOB_PLACED / POD_MOVED) or plans again. -ENOMEM. */
int gang_plan(struct gang *g, int64_t now_ms, struct mlt_error *err) MLT_MUST_USE;
/* False when all were taken. Pointers are valid until the next call. What is to be done comes
 * first: replacements, then placements and preemptions in the order in which they were decided;
 * then the jobs that wait, in order. Those are worked out as they are taken: a host that only acts
 * pays nothing for them. */
bool gang_decision_next(struct gang *g, struct gang_decision *ret);
/* The same, and false as soon as only jobs that wait are left: for a host that only acts. Even the
 * first of those costs a look at all nodes, for its reason. */
bool gang_action_next(struct gang *g, struct gang_decision *ret);

/* One sentence for `why`, with numbers and the host's names for jobs:
 * "needs 4 pods x 8 nvidia.com/gpu; 12 of 32 free, at most 1 such pod fits now; 20 held by 2 jobs
 * (a 16, b 4)". `name` may be NULL ("job 7") or return NULL. `text` holds GANG_REASON_MAX bytes. */
typedef const char *gang_job_name_f(void *arg, uint64_t job);
void gang_why_write(const struct gang *g, const struct gang_why *why, gang_job_name_f *name,
                    void *arg, char *text);
/* The same with names for all that the host numbers; each of them, and what it returns, may be NULL
 * ("job 7", "rack 7", "queue 7"). */
struct gang_names {
    void *arg;
    gang_job_name_f *job;
    const char *(*domain)(void *arg, uint32_t level, uint32_t domain);
    const char *(*queue)(void *arg, uint32_t queue);
};
void gang_why_write_named(const struct gang *g, const struct gang_why *why,
                          const struct gang_names *names, char *text);

/* With patience_ms: for how long at most, from its since_ms on, others with less expected work may
 * start before a job that waits. 0: not any more as of now_ms, it is unknown or holds a place, or
 * there is no patience. */
int64_t gang_patience_ms(const struct gang *g, uint64_t job, int64_t now_ms);

/* The earliest time after now_ms at which a plan may differ without an event (the end of a
 * JOB_AVOID); INT64_MAX: never. */
int64_t gang_next_wake_ms(const struct gang *g, int64_t now_ms);

/* Would this request ever fit the cluster, were it empty and every node schedulable? -ENOSPC with
 * the reason in err (and the numbers in *ret_why unless NULL) when not; -EINVAL for a request that
 * is none; -ENOMEM. */
int gang_could_fit(struct gang *g, const struct gang_job_request *request, struct gang_why *ret_why,
                   struct mlt_error *err) MLT_MUST_USE;

/* ---- looking ---- */

struct gang_node_view {
    gang_amounts capacity, used_by_others, used_by_gangs;
    gang_amounts ending; /* of used_by_others */
    bool known, schedulable;
};
void gang_node(const struct gang *g, uint32_t node, struct gang_node_view *ret);

/* A queue with all below it. False for one that is not known. */
struct gang_queue_view {
    gang_amounts nominal, used;  /* nominal: its own; used: by placed jobs */
    gang_amounts borrowed, lent; /* used beyond its own nominal quota; used by others of its own */
    gang_amounts pending;        /* asked for by waiting jobs */
    uint32_t running_jobs, pending_jobs;
    int64_t longest_wait_since_ms; /* the least since_ms of those that wait; 0: nobody does */
    /* Past use: the dominant share (of all that schedulable nodes have, in 1/GANG_SHARE_ONE)
     * integrated over time in ms, halved every usage_half_life_ms. The host keeps it and gives it
     * back by QUEUE_USAGE. */
    int64_t usage;
};
bool gang_queue(const struct gang *g, uint32_t queue, int64_t now_ms, struct gang_queue_view *ret);
/* One hash over the whole state: equal histories give equal hashes. */
uint64_t gang_hash(const struct gang *g);
/* Recomputes all sums from scratch and compares; -EBADMSG with words on a difference. Tests call it
 * after each event. */
int gang_check(const struct gang *g, struct mlt_error *err) MLT_MUST_USE;

#endif
