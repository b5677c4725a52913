/* Kubernetes objects -> gang events, and gang decisions -> names and words. Pure; sits between the
 * controller's view of the API server and gang/, and is rebuilt from nothing but objects after a
 * restart (equal to the one that was lost).
 *
 * It owns the struct gang, the numbering of nodes, jobs, queues and node classes (selectors, node
 * affinity, taints and cordon become classes), and the sum of what pods that are not mltrain's use
 * on each node. */
#ifndef LEDGER_LEDGER_H
#define LEDGER_LEDGER_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include "gang/gang.h"
#include "lib/base/error.h"
#include "trainingjob/trainingjob.h"

/* From the end of a job's grace until its pods are gone: ranks are killed, launchers look at the
 * checkpoints once more and exit, kubelets tell it. What takes longer is deleted. */
#define LEDGER_LEAVING_MS 15000

struct ledger;

/* A level of the network: nodes with equal values of `label`, and of those of all wider levels, lie
 * in one domain. */
struct ledger_topology_level {
    const char *name, *label; /* e.g. "rack", "example.com/rack" */
};

struct ledger_config {
    const char *const *gpu_resources; /* e.g. "nvidia.com/gpu", "amd.com/gpu"; at most
                                         GANG_RESOURCES_MAX - GANG_DEVICE_0 */
    uint32_t gpu_resources_count;
    const struct ledger_topology_level *levels; /* wide to narrow; at most GANG_LEVELS_MAX */
    uint32_t levels_count;
    /* As of struct gang_config. With may_preempt, queues that are only names (no TrainingQueue)
     * have withinQueue LowerPriority. */
    uint32_t reservations;
    bool may_preempt;
    int64_t min_run_ms;
    /* As of struct gang_config; 0: none. Then reservations must be above 0, and the ledger is to be
     * told ledger_job_had(). */
    int64_t patience_ms;
    /* As of struct gang_queue_config, of all queues with withinQueue LowerPriority; with may_preempt
     * only. 0: none. */
    int64_t time_slice_ms;
};

struct ledger *
ledger_new(const struct ledger_config *config); /* config is copied; aborts without memory */
void ledger_free(struct ledger *l);

/* ---- objects ---- each is idempotent: the same object again changes nothing ---- */

void ledger_node(struct ledger *l, const cJSON *node, int64_t now_ms);
void ledger_node_gone(struct ledger *l, const char *name, int64_t now_ms);
/* A known node that nobody hears of is not schedulable, whatever its object says. */
void ledger_node_lost(struct ledger *l, const char *name, bool lost);
/* Every pod of the cluster, ours and others'. Non-terminal pods bound to a node count as its use
 * (Terminating included, sidecars, init peaks, overhead); who waits for Terminating ones, or for
 * those of members that were replaced, keeps its turn for their grace and a while; pods of placed
 * gangs are already counted by the gang's placement. `job_uid`: the job whose pod the caller knows it
 * to be, NULL or "": none. What its labels say of that is not looked at: anybody can wear them. */
void ledger_pod(struct ledger *l, const cJSON *pod, const char *job_uid, int64_t now_ms);
void ledger_pod_gone(struct ledger *l, const char *namespace_, const char *name, const char *uid,
                     int64_t now_ms);
void ledger_priority_class(struct ledger *l, const cJSON *priority_class);
void ledger_priority_class_gone(struct ledger *l, const char *name);

/* A TrainingQueue. As long as there is none but `default`, names of queues are only names: queues
 * without limits, with a line of their own. As soon as there is one, a job that waits in a queue
 * that is not there (`default` always is), that cannot be used (its parent is not there, its spec
 * is not understood) or that is not for its namespace gets GANG_NEVER with words. What jobs hold
 * stays. */
void ledger_queue(struct ledger *l, const cJSON *training_queue);
void ledger_queue_gone(struct ledger *l, const char *name);
/* Past use of a queue counts half after so long (as Slurm's PriorityDecayHalfLife by default). */
#define LEDGER_USAGE_HALF_LIFE_MS (INT64_C(7) * 24 * 60 * 60 * 1000)
/* What gang_queue_view.usage said of a queue, as of now; and what becomes of it after a while in
 * which nothing is used. */
void ledger_queue_usage(struct ledger *l, const char *name, int64_t usage);
int64_t ledger_usage_aged(int64_t usage, int64_t age_ms);

struct ledger_queue_view {
    struct gang_queue_view sums;           /* as of the last plan; with the queues below it */
    uint32_t resources;                    /* that are counted */
    const char *names[GANG_RESOURCES_MAX]; /* of resources: "cpu" (amounts in thousandths),
                                              "memory", "pods", "nvidia.com/gpu" ...; borrowed */
    uint32_t refused_jobs;                 /* that wait in it and may not use it */
    bool shares;                           /* past use decides when it is its turn */
};
/* False for what is no TrainingQueue, and before the first plan. */
bool ledger_queue_look(const struct ledger *l, const char *name, int64_t now_ms,
                       struct ledger_queue_view *ret);

/* A job that wants a place (queued), holds one (placement nodes by pod index, NULL entries for
 * members to be replaced) or neither (suspended, finished, deleted). `effective_template` is the
 * pod template as the API server would complete it (dry run), or NULL for the job's own. -EINVAL
 * with words when the job cannot be understood (unknown priority class or topology level ...);
 * what a job that holds a place asks for is not judged. */
int ledger_job_waits(struct ledger *l, const struct trainingjob *job,
                     const cJSON *effective_template, int64_t now_ms,
                     struct mlt_error *err) MLT_MUST_USE;
int ledger_job_holds(struct ledger *l, const struct trainingjob *job,
                     const cJSON *effective_template, const char *const *nodes,
                     uint32_t nodes_count, int64_t now_ms, struct mlt_error *err) MLT_MUST_USE;
/* Since when it waits: what the wait for a preferred topology counts from. Kept until the job is
 * gone; 0 when it was never said. */
void ledger_job_since(struct ledger *l, const char *uid, int64_t since_ms);
/* With patience_ms. `waits_from_ms`: so much before it began to wait (ledger_job_since()) as it had
 * waited before its earlier places; of one that holds a place as it was when that was given.
 * `attained_ms`: how long it ran in earlier places. The wait for a preferred topology counts from
 * ledger_job_since() all the same. Kept until it is said anew or the job is gone. */
void ledger_job_had(struct ledger *l, const char *uid, int64_t waits_from_ms, int64_t attained_ms);
/* Of a job that holds a place, until it waits or is gone. When it was placed, or began to run: what
 * its time limit counts from. */
void ledger_job_started(struct ledger *l, const char *uid, int64_t started_ms);
/* The same: when the newest of what it has saved in this place became safe; LEDGER_NEVER: it has
 * saved nothing. */
#define LEDGER_NEVER INT64_MIN
void ledger_job_saved(struct ledger *l, const char *uid, int64_t saved_ms);
/* The same: its place was given by a decision that was revocable. */
void ledger_job_revocable(struct ledger *l, const char *uid);
/* The same: it was asked at `since_ms` to leave for the job with this UID (the answer to
 * GANG_PREEMPT). That one gets its place, and nobody else is asked for it meanwhile. */
void ledger_job_leaves(struct ledger *l, const char *uid, const char *for_uid, int64_t since_ms);
/* It was asked to leave, once: min_run_ms protects it from now on. Kept until the job is gone. */
void ledger_job_was_preempted(struct ledger *l, const char *uid);
/* Of a job that waits: it has left its last place for the job with this UID, which has its turn as
 * long as it waits, too. Kept until it holds a place or is gone. */
void ledger_job_made_way(struct ledger *l, const char *uid, const char *for_uid);
void ledger_job_gone(struct ledger *l, const char *uid, int64_t now_ms);
/* Where the volumes of a job's workers can be mounted: an array with one array of nodeSelectorTerms
 * (of PersistentVolume's spec.nodeAffinity.required) for each volume that not every node can mount;
 * NULL: none. Copied. To be said before ledger_job_waits() or _holds(), which take it up; it
 * stands until it is said anew or the job is gone. */
void ledger_job_volumes(struct ledger *l, const char *uid, const cJSON *volumes);
/* Whether placed gangs hold more of a node than it has. A plan never makes it so: a controller that
 * has just come finds it when a status that gave a place back was never stored, and the place was
 * given away; or the node has become smaller. What pods of others use is not looked at. */
bool ledger_node_is_overfull(struct ledger *l, const char *name, int64_t now_ms);
/* Whether one more pod of a role of a job may come to a node that holds a place for it: the node
 * has not been cordoned, tainted or relabelled since, which a kubelet does not look at (it admits
 * what is bound to it). True for what is not known. Room is not looked at. */
bool ledger_node_takes(const struct ledger *l, const char *uid, const char *role, const char *node);
/* This job's pods avoid a node until then (rejections, node trouble). */
void ledger_job_avoids(struct ledger *l, const char *uid, const char *node, int64_t until_ms,
                       int64_t now_ms);

/* ---- plan ---- */

struct ledger_decision {
    enum gang_decision_kind kind;
    const char *job_uid;
    uint32_t pod; /* REPLACE, and WAIT for a member without a new place; else GANG_NO_POD */
    const char *const *nodes; /* names in pod order */
    uint32_t nodes_count;
    uint32_t position;
    int64_t estimated_start_ms; /* WAIT: the start that is reserved for it; 0: none is */
    bool revocable;             /* PLACE: to be told by ledger_job_revocable() */
    /* PREEMPT: for whom (UID, and namespace/name) the job is to leave, and why. */
    const char *for_uid, *for_job;
    enum gang_cause cause;
    uint32_t nodes_avoided;     /* WAIT: nodes that it could use, did it not avoid them */
    const char *reason;         /* one sentence with numbers */
    const struct gang_why *why; /* the numbers; NULL: none, or its queue refuses it */
};
/* What the numbers of a decision stand for; NULL for what is not known. */
const char *ledger_job_uid(const struct ledger *l, uint64_t job);
const char *ledger_resource(const struct ledger *l, uint32_t resource); /* "cpu": thousandths */

/* Of a domain of a level (from 1): "zone-a/rack-3". */
const char *ledger_topology_name(const struct ledger *l, uint32_t level, uint32_t domain);

/* Whether anything changed since the last plan. */
bool ledger_needs_plan(const struct ledger *l);
/* The earliest time after now_ms at which a plan may differ though nothing changed (the end of a
 * ledger_job_avoids()); INT64_MAX: never. */
int64_t ledger_next_wake_ms(const struct ledger *l, int64_t now_ms);
/* Decides over all jobs; -ENOMEM, and the next call tries again. What is decided does not count
 * until the host says ledger_job_holds(), which it may do while it still takes decisions. */
int ledger_plan(struct ledger *l, int64_t now_ms, struct mlt_error *err) MLT_MUST_USE;
/* Replacements first, then placements and preemptions, then jobs that wait, in order; jobs that
 * were given up meanwhile are left out. False when all were taken. Valid until the next call on the
 * ledger. */
bool ledger_decision_next(struct ledger *l, struct ledger_decision *ret);

/* For `mltrain run` and submit: whether a job can ever fit the nodes known here, were they empty
 * and schedulable; needs no priority classes. -ENOSPC with the reason. */
int ledger_could_fit(struct ledger *l, const struct trainingjob *job,
                     struct mlt_error *err) MLT_MUST_USE;

/* For tests: the gang's sums, and that it says of each node what the records say (where nothing
 * waits to be told to it). -EBADMSG. */
int ledger_check(const struct ledger *l, struct mlt_error *err) MLT_MUST_USE;

#endif
