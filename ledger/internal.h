/* What the files of ledger/ share.
 *
 * The records (nodes, pods, jobs, priority classes) are the truth, copied from objects as they
 * come; struct gang is derived from them. Nothing is told to the gang at once: what changed is
 * marked, and ledger_sync() catches up before a plan, by single events where numbers stay as they
 * are, else by building the gang anew from the records. So a ledger that has lived long and one
 * that was filled a moment ago from the same objects cannot differ. */
#ifndef LEDGER_INTERNAL_H
#define LEDGER_INTERNAL_H

#include "ledger/ledger.h"
#include "ledger/map.h"
#include "trainingjob/pod_request.h"
#include "trainingjob/trainingqueue.h"

#define LEDGER_DEVICES_MAX (GANG_RESOURCES_MAX - GANG_DEVICE_0)
#define LEDGER_DEFAULT_PODS_PER_NODE 110   /* the kubelet's, for nodes that name no limit */
#define LEDGER_SIGNATURE_MAX (1024 * 1024) /* bytes: labels and taints of one node */
#define LEDGER_NO_NUMBER UINT32_MAX
#define LEDGER_QUOTA_MAX                                                    \
    GANG_AMOUNT_MAX /* of one resource: more is no limit that anybody meets \
                     */
/* Not an extended resource, but the kubelet counts it: planned like a device when a job asks for
 * it. */
#define LEDGER_STORAGE "ephemeral-storage"
#define LEDGER_WHOLE_GPU "nvidia.com/gpu"
#define LEDGER_GPU_REPLICAS_LABEL "nvidia.com/gpu.replicas"

/* ---- amounts by name of resource ---- */

struct ledger_resource {
    const char *name; /* interned: equal names are equal pointers */
    int64_t amount;
};

struct ledger_use {
    int64_t cpu_milli, memory;
    struct ledger_resource *others; /* storage and extended resources; owned */
    uint32_t others_count;
};

/* ---- nodes ---- */

struct ledger_pod;

struct ledger_node {
    char *name;
    bool known, schedulable, time_sliced;
    bool lost;                            /* nobody hears of it, whatever its object says */
    cJSON *labels, *taints, *allocatable; /* owned copies; NULL: none */
    struct ledger_pod **pods;             /* bound here and not terminal */
    uint32_t pods_count, pods_capacity;
    uint32_t holders; /* pods of placed gangs that name this node, avoided ones included */
    uint32_t number;  /* in the gang, or LEDGER_NO_NUMBER */
    uint32_t class_;  /* when known */
    bool in_gang;     /* as a NODE_SET node */
    bool went;        /* since the gang was told of it, be it back or not */
    bool dirty;
};

/* ---- constraints: which nodes a role's pods may use ---- */

#define LEDGER_FIT_MAP(XX)                                 \
    XX(SUITS, "nothing")                                   \
    XX(SELECTOR, "nodeSelector")                           \
    XX(AFFINITY, "required node affinity")                 \
    XX(TAINT, "taints that its pods do not tolerate")      \
    XX(VOLUMES, "volumes that only other nodes can mount") \
    XX(QUEUE, "nodeSelector of its queue")                 \
    XX(TIME_SLICED, "time-sliced GPUs, since it asks for whole ones")

enum ledger_fit {
#define XX(name, text) LEDGER_FIT_##name,
    LEDGER_FIT_MAP(XX)
#undef XX
        LEDGER_FIT_COUNT
};

struct kube_selector;

struct ledger_term {
    struct kube_selector *labels; /* NULL: no matchExpressions */
    const cJSON *fields;          /* matchFields, in the source; NULL: none */
};

/* nodeSelectorTerms: any of them; none matches nothing. */
struct ledger_terms {
    struct ledger_term *terms;
    uint32_t count;
};

struct ledger_constraints {
    char *key;     /* the printed source; equal keys are one object */
    cJSON *source; /* {nodeSelector, terms, volumes, tolerations, wholeGpus, queue} */
    struct kube_selector *selector; /* NULL: none */
    struct kube_selector *queue;    /* nodeSelector of the job's queue; NULL: none */
    struct ledger_terms terms;      /* when affinity */
    struct ledger_terms *volumes;   /* all of them; one for each volume */
    uint32_t volumes_count;
    bool affinity, whole_gpus;
    const cJSON *tolerations;
    uint32_t references;
    uint64_t *classes; /* bitmap of the classes that suit; of no use while the ledger is stale */
    uint32_t words;
};

/* What nodes with equal labels (those that anybody asks about), taints and the like have in common.
 */
struct ledger_class {
    char *name; /* of its first node; it has only that one when names matter */
    bool time_sliced;
    cJSON *labels, *taints;
};

/* ---- queues ---- */

struct ledger_queue {
    char *name;
    cJSON *source; /* its spec; NULL: none */
    struct trainingqueue spec;
    struct kube_selector *namespaces; /* NULL: all */
    char *refusal;                    /* why it cannot be used; NULL: it can */
    int64_t usage;                    /* its past use when it is told to the gang the next time */
    uint32_t number;
    uint32_t named; /* bits of the gang's resources that it, or a queue below it, has a quota of */
    bool in_gang;
};

/* ---- topology ---- */

struct ledger_level {
    char *name, *label;
    char **domains; /* paths, by number */
    uint32_t domains_count, domains_capacity;
    struct ledger_map numbers; /* 1 + number, by path */
};

/* ---- pods ---- */

struct ledger_job;

struct ledger_pod {
    char *key;                /* its UID */
    struct ledger_node *node; /* where it counts: bound and not terminal; else NULL */
    struct ledger_use use;
    struct ledger_job *job; /* NULL: not of ours */
    char *namespace_;       /* of ours; NULL: not of ours. A job's pods are in its namespace */
    char *role;             /* of ours, else "" */
    int64_t index;
    bool covered; /* counted by the gang's placement */
    bool deleted; /* it ends */
    bool left;    /* its member's place is not there any more: it is about to be deleted */
    int64_t grace_s;
    /* Until then it counts as ending; LEDGER_ENDED: it does not, or not any more. */
    int64_t ends_ms;
};
#define LEDGER_ENDED INT64_MIN
/* A pod that is deleted, or about to be, counts as ending for its grace, at most so long, and for a
 * while in which a kubelet and its runtime clean up: then it is as any pod that stays. */
#define LEDGER_ENDING_GRACE_MAX_S 600
#define LEDGER_ENDING_SLACK_MS 30000

/* ---- jobs ---- */

struct ledger_role {
    char *name;
    uint32_t pods;
    struct ledger_use use;
    struct ledger_constraints *constraints;
};

struct ledger_avoided {
    struct ledger_node *node;
    int64_t until_ms;
};

enum ledger_job_state { LEDGER_ABSENT, LEDGER_WAITS, LEDGER_HOLDS };

struct ledger_request {
    char *queue, *priority_class; /* priority_class: "" when the job names none */
    int32_t priority;
    bool never_preempts; /* as its class says */
    bool saves;          /* it has a checkpoint folder */
    int64_t sequence, time_limit_ms, grace_ms;
    uint32_t required_level, preferred_level;
    int64_t preferred_wait_ms;
    struct ledger_role *roles;
    uint32_t roles_count, pods;
};

struct ledger_job {
    char *uid, *label; /* label: namespace/name */
    uint64_t id;
    enum ledger_job_state state, in_gang;
    struct ledger_request request; /* when not absent */
    int64_t since_ms, started_ms;  /* when it began to wait, and to run */
    bool had;                      /* these two have been said: */
    int64_t waits_from_ms, attained_ms;
    bool was_preempted;
    char *made_way_for;     /* WAITS: the UID of the job for which it left its last place; NULL */
    uint64_t made_way_life; /* as long as that one lives this life; 0: it was not known then */
    uint64_t life;          /* another one with each place, and when it comes again */
    bool has_held;          /* a place */
    /* HOLDS: */
    bool revocable;
    int64_t saved_ms;  /* LEDGER_NEVER: it has saved nothing */
    char *for_uid;     /* for whom it was asked to leave; NULL: it was not */
    int64_t leaves_ms; /* since when */
    bool place_dirty;  /* more than these is to be told */
    bool saved_dirty, leaves_dirty;
    struct ledger_node **nodes;     /* HOLDS: one per pod, NULL: to be replaced */
    cJSON *volumes;                 /* of its workers: an array of nodeSelectorTerms; NULL: none */
    struct ledger_avoided *avoided; /* at most GANG_AVOID_MAX */
    uint32_t avoided_count, avoided_capacity;
    uint32_t avoided_sent;    /* so many are known to the gang */
    struct ledger_pod **pods; /* that are said to be its */
    uint32_t pods_count, pods_capacity;
    bool went; /* since the gang was told of it, be it back or not */
    bool dirty;
};

struct ledger {
    const char *gpu_resources[LEDGER_DEVICES_MAX];
    uint32_t gpu_resources_count;
    struct ledger_level levels[GANG_LEVELS_MAX]; /* wide to narrow; their domains are derived */
    const char *level_names[GANG_LEVELS_MAX];
    uint32_t levels_count;
    struct ledger_map resources; /* interned names */
    struct ledger_map nodes, pods, jobs, jobs_by_id, priorities, constraints;
    uint64_t lives;                 /* of all jobs */
    struct ledger_map known_queues; /* TrainingQueues by name */
    char *default_class;            /* the PriorityClass with globalDefault; NULL: none */
    uint32_t reservations;
    bool may_preempt;
    int64_t min_run_ms, patience_ms, time_slice_ms;

    /* Derived, as of the last rebuild. */
    struct gang *gang;
    const char *devices[LEDGER_DEVICES_MAX]; /* interned names of the gang's device kinds */
    uint32_t devices_count;
    struct ledger_node **numbered; /* by number, in the order of names */
    uint32_t numbered_count, numbered_capacity;
    struct ledger_class *classes;
    uint32_t classes_count, classes_capacity;
    struct ledger_map class_by_signature; /* 1 + number */
    struct ledger_map keys;               /* labels that constraints ask about */
    bool names_matter;                    /* constraints ask for node names */
    struct ledger_map queues;             /* 1 + number; first those of known_queues */
    uint32_t queues_count;
    struct ledger_job **refused; /* by their queue, in this plan: handed out last */
    uint32_t refused_count, refused_capacity, refused_next;

    int64_t now_ms;          /* of the last ledger_sync() or place told: it never goes back */
    int64_t ending_until_ms; /* no pod that is ending is so any more before then; INT64_MAX: none */
    bool stale;              /* numbers or classes are not right any more: build anew */
    bool changed;            /* something since the last plan */
    bool planned;            /* there are decisions to hand out */
    struct ledger_node **dirty_nodes;
    uint32_t dirty_nodes_count, dirty_nodes_capacity;
    struct ledger_job **dirty_jobs;
    uint32_t dirty_jobs_count, dirty_jobs_capacity;
    const struct ledger_request *trial; /* ledger_could_fit(): counts as if it were a job's */

    char reason[GANG_REASON_MAX];
    const char **names; /* of the decision handed out last */
    uint32_t names_count, names_capacity;
};

/* ---- ledger.c ---- */

const char *ledger_intern(struct ledger *l, const char *name);

/* ---- use.c ---- */

void ledger_use_read(struct ledger *l, const struct pod_request *request, struct ledger_use *ret);
void ledger_use_release(struct ledger_use *use);
bool ledger_use_equal(const struct ledger_use *a, const struct ledger_use *b);
int64_t ledger_use_of(const struct ledger_use *use, const char *interned_name);
/* Adds up into amounts of the gang's resources, at most GANG_AMOUNT_MAX each. */
void ledger_use_add(const struct ledger *l, const struct ledger_use *use, gang_amounts amounts);

/* ---- node.c ---- */

struct ledger_node *ledger_node_get(struct ledger *l, const char *name); /* made when new */
void ledger_node_release(struct ledger_node *node);
void ledger_node_mark(struct ledger *l, struct ledger_node *node);
void ledger_node_capacity(const struct ledger *l, const struct ledger_node *node, gang_amounts ret);
void ledger_node_others(const struct ledger *l, const struct ledger_node *node, gang_amounts ret);
/* Of that, what ends. */
void ledger_node_ending(const struct ledger *l, const struct ledger_node *node, gang_amounts ret);
int ledger_node_order(const void *a, const void *b); /* of struct ledger_node *, by name */

/* ---- class.c ---- */

uint32_t ledger_class_find(const struct ledger *l,
                           const struct ledger_node *node);                   /* LEDGER_NO_NUMBER */
uint32_t ledger_class_make(struct ledger *l, const struct ledger_node *node); /* finds or makes */
void ledger_classes_clear(struct ledger *l);
void ledger_keys_collect(struct ledger *l);

/* ---- topology.c ---- */

void ledger_topology_init(struct ledger *l, const struct ledger_config *config);
void ledger_topology_release(struct ledger *l);
/* A level that is not known here is read as none; ledger_topology_check() refuses it. */
void ledger_topology_read(const struct ledger *l, const struct trainingjob_scheduling *from,
                          struct ledger_request *r);
int ledger_topology_check(const struct ledger *l, const struct trainingjob_scheduling *s,
                          struct mlt_error *err) MLT_MUST_USE;
/* All domains of the numbered nodes. -E2BIG. */
int ledger_topology_number(struct ledger *l, struct mlt_error *err) MLT_MUST_USE;
/* The node's domain of each level. False when one is new and does not come last. */
bool ledger_topology_of(struct ledger *l, const struct ledger_node *node,
                        uint32_t ret[GANG_LEVELS_MAX]);
/* Adds to a reason that no node has the level's label. */
void ledger_topology_explain(const struct ledger *l, const struct gang_why *why,
                             char text[GANG_REASON_MAX]);

/* ---- constraints.c ---- */

/* `queue_selector`: the nodeSelector of the job's queue, or NULL. */
int ledger_constraints_get(struct ledger *l, const cJSON *template_, const cJSON *volumes,
                           bool whole_gpus, const cJSON *queue_selector,
                           struct ledger_constraints **ret, struct mlt_error *err) MLT_MUST_USE;
/* Exchanges *c for the same with another nodeSelector of the queue. */
void ledger_constraints_change_queue(struct ledger *l, struct ledger_constraints **c,
                                     const cJSON *queue_selector);
void ledger_constraints_put(struct ledger *l, struct ledger_constraints *c); /* NULL is fine */
void ledger_constraints_free(struct ledger_constraints *c);
void ledger_constraints_classify(const struct ledger *l, struct ledger_constraints *c);
/* Every label key is put into *keys. Whether node names matter. */
bool ledger_constraints_keys(const struct ledger_constraints *c, struct ledger_map *keys);
enum ledger_fit ledger_constraints_fit(const struct ledger_constraints *c, const char *name,
                                       const cJSON *labels, const cJSON *taints, bool time_sliced);

/* ---- queue.c ---- */

/* Of a queue that is only a name. */
struct gang_queue_config ledger_queue_of_name(const struct ledger *l);

void ledger_queue_release(struct ledger_queue *q);
const cJSON *ledger_queue_node_selector(const struct ledger *l, const char *name); /* NULL: none */
/* Whether a job that waits may not use the queue that it names, and why. */
bool ledger_queue_refuses(const struct ledger *l, const struct ledger_job *job,
                          char text[GANG_REASON_MAX]);
const char *ledger_queue_name(const struct ledger *l,
                              uint32_t number); /* of a TrainingQueue, or NULL */
/* Before the gang goes, and after the next one has come. */
void ledger_queues_keep_usage(struct ledger *l, int64_t now_ms);
int ledger_queues_tell(struct ledger *l, int64_t now_ms, struct mlt_error *err) MLT_MUST_USE;

/* ---- pod.c ---- */

void ledger_pod_release(struct ledger_pod *pod);
void ledger_pods_end(struct ledger *l); /* those that were to end by now and have not */
void ledger_job_cover(struct ledger *l, struct ledger_job *job); /* decides `covered` of its pods */

/* ---- request.c ---- */

int ledger_request_read(struct ledger *l, const struct trainingjob *job,
                        const cJSON *effective_template, const cJSON *volumes,
                        struct ledger_request *ret, struct mlt_error *err) MLT_MUST_USE;
void ledger_request_release(struct ledger *l, struct ledger_request *r);
bool ledger_request_equal(const struct ledger_request *a, const struct ledger_request *b);
/* What a PriorityClass says. */
struct ledger_priority {
    int32_t value;
    bool never_preempts;
};
/* -EINVAL when the class is not known. */
int ledger_request_priority(const struct ledger *l, const struct ledger_request *r,
                            struct ledger_priority *ret, struct mlt_error *err) MLT_MUST_USE;
/* For the gang; node classes are borrowed. */
void ledger_request_fill(const struct ledger *l, const struct ledger_request *r, uint32_t queue,
                         struct gang_job_request *ret);
/* The index in the gang of a role's pod; LEDGER_NO_NUMBER when there is none. */
uint32_t ledger_request_pod(const struct ledger_request *r, const char *role, int64_t index);

/* ---- leave.c: what the choice of whom to ask to leave depends on ---- */

/* What holds for a place only is forgotten. */
void ledger_job_forget_place(struct ledger_job *job);
/* The gang's id of a job that may not be known here. */
uint64_t ledger_job_id(const struct ledger *l, const char *uid);
/* What the gang does not know yet of a job whose place it knows. */
/* since_ms and what it has had before, of a request that is filled but for these. */
void ledger_job_fill_past(const struct ledger_job *job, struct gang_job_request *request);
bool ledger_job_gives_turn(const struct ledger *l, const struct ledger_job *job);
int ledger_job_tell_place(struct ledger *l, struct ledger_job *job,
                          struct mlt_error *err) MLT_MUST_USE;

/* ---- job.c ---- */

struct ledger_job *ledger_job_get(struct ledger *l, const char *uid); /* made when new */
void ledger_job_mark(struct ledger *l, struct ledger_job *job);
/* The same, when all but its place and request is to be told. */
void ledger_job_mark_lightly(struct ledger *l, struct ledger_job *job);
void ledger_job_release(struct ledger *l, struct ledger_job *job);
void ledger_jobs_forget_node(struct ledger *l, const struct ledger_node *node); /* none avoids it */
void ledger_job_drop_if_idle(struct ledger *l, struct ledger_job *job);

/* ---- sync.c ---- */

int ledger_sync(struct ledger *l, int64_t now_ms, struct mlt_error *err) MLT_MUST_USE;
int ledger_queue_number(struct ledger *l, const char *name, uint32_t *ret,
                        struct mlt_error *err) MLT_MUST_USE;

#endif
