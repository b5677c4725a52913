/* The controller's view of the API server: one reflector for each kind, and what is kept of pods
 * and nodes. TrainingJobs are handed to job.c as they come, TrainingQueues to queues.c; nodes, pods,
 * priority classes and queues to the ledger too. */
#ifndef CONTROLLER_VIEW_H
#define CONTROLLER_VIEW_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>
#include "controller/delivery.h"
#include "lib/kube/reflector.h"

/* Of the pods of others only those count that use a node: bound, and not at their end. */
#define VIEW_OWN_PODS "labelSelector=mltrain.io%2Fjob-uid"
#define VIEW_FOREIGN_PODS                                                        \
    "labelSelector=%21mltrain.io%2Fjob-uid&fieldSelector=spec.nodeName%21%3D%2C" \
    "status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"

/* What is listed and watched, and which of it. Planning waits until all of it is known. */
#define VIEW_MAP(XX)                            \
    XX(NODES, KUBE_NODE, NULL)                  \
    XX(PRIORITIES, KUBE_PRIORITYCLASS, NULL)    \
    XX(QUEUES, KUBE_TRAININGQUEUE, NULL)        \
    XX(PODS, KUBE_POD, VIEW_OWN_PODS)           \
    XX(OTHER_PODS, KUBE_POD, VIEW_FOREIGN_PODS) \
    XX(JOBS, KUBE_TRAININGJOB, NULL)

enum view_kind {
#define XX(name, resource, selector) VIEW_##name,
    VIEW_MAP(XX)
#undef XX
        VIEW_COUNT
};

struct controller;

enum view_pod_phase { VIEW_PENDING, VIEW_RUNNING, VIEW_SUCCEEDED, VIEW_FAILED };

/* One pod of the cluster. Those of TrainingJobs have job_uid, role and slot. */
struct view_pod {
    char *key; /* namespace/name */
    char *namespace_, *name, *uid, *node;
    char *job_uid; /* "" for pods that no TrainingJob owns */
    char *role;
    uint32_t slot;
    int64_t creation;      /* 1, 2 ... of its member */
    uint64_t version;      /* resourceVersion as a number, 0 when it is none */
    enum view_kind source; /* the list that holds it */
    enum view_pod_phase phase;
    bool seen_by_node; /* its kubelet has taken note of it */
    bool deleting;
    bool surplus;            /* it has ended, and so have enough newer ones of its member */
    bool delete_asked;       /* our deletion is under way or done */
    int64_t delete_again_ms; /* it was refused: not before */
    bool trainer_ended;      /* the trainer container has ended: its state decides, not the phase */
    bool others_run;         /* another container has not ended, and keeps the pod alive */
    bool rejected;           /* the kubelet or the eviction manager, not the program, ended it */
    bool blameless; /* that had nothing to do with the node's health: a shutdown, a preemption, a
                       deletion */
    bool elsewhere; /* its launcher knows another channel than ours: it can never come */
    int32_t exit_code;
    char *reason, *message;      /* why it ended, "" */
    struct pod_trouble *trouble; /* why it does not come to run; NULL: it does not say */
    int64_t running_since_ms;    /* since we saw it Running; 0: it is not */
    unsigned list_seen;          /* the list in which it was last seen */
    unsigned asked_in; /* lists that had been asked for when a creation's answer brought it; 0: a
                          list or a watch has confirmed it */
    struct view_pod *next_of_job, *previous_of_job;
    UT_hash_handle hh; /* by key */
};

/* The pods of one job, in no order. Kept for as long as there is one. */
struct view_job_pods {
    char *key; /* namespace/UID of the job: an owner counts in its own namespace only */
    struct view_pod *first;
    UT_hash_handle hh;
};

/* A node's Lease, which its kubelet renews every 10 s, as far as it was asked for: node_loss.c. */
struct view_lease {
    bool asking;
    const char *missing; /* words: why it tells nothing; NULL: it does */
    char *renewed;       /* its renewTime as text, which is only compared, never read as a time;
                            NULL: not known */
    bool counts;         /* it has been asked for without a gap since */
    int64_t since_ms;    /* the first answer that said so */
    int64_t asked_ms, ask_at_ms;
};

struct view_node {
    char *name;
    bool ready;
    bool cordoned;
    enum delivery_lack lacks; /* for the launcher to be mounted */
    int64_t gpus;             /* allocatable, of all configured resources together */
    bool lost;                /* its Lease has not been renewed while somebody there was silent */
    int64_t unready_since_ms; /* while it is not ready */
    struct view_lease lease;
    unsigned list_seen;
    UT_hash_handle hh;
};

struct view_name { /* priority classes: known only so that a list can tell which are gone */
    char *name;
    unsigned list_seen;
    UT_hash_handle hh;
};

struct view_source {
    struct controller *controller;
    enum view_kind kind;
    struct kube_reflector *reflector;
    uint64_t request;     /* under way, 0: none */
    unsigned list_round;  /* lists begun */
    unsigned lists_asked; /* lists requested */
    uint64_t version;     /* newest that a list or the watch has told; kept for pods */
    bool was_synced;
    const char *verb; /* of the request, for the metrics */
    int status;       /* of its answer, 0: none yet */
};

struct view {
    struct view_source sources[VIEW_COUNT];
    struct view_pod *pods;
    struct view_job_pods *job_pods;
    struct view_node *nodes;
    unsigned nodes_lost;
    struct view_name *priorities;
    struct queue *queues; /* queues.c */
};

void view_start(struct controller *c);
/* We lead from now on. A list of jobs that is still on its way was asked for while somebody else
 * did, and shows what that one has changed since as it was: it is asked for anew. */
void view_leads(struct controller *c);
void view_release(struct view *v);

/* Lets the reflectors send what they want; returns when to call again. */
int64_t view_pump(struct controller *c);

/* The answers; false when the request is not one of a reflector. */
bool view_status(struct controller *c, uint64_t id, int status, int64_t retry_after_ms);
bool view_body(struct controller *c, uint64_t id, const char *data, size_t length);
bool view_end(struct controller *c, uint64_t id, const char *error);

/* Whether every collection has been listed once. */
/* Of one collection: its plural name, whether it has been listed, why not. */
const char *view_source_name(enum view_kind kind);
bool view_source_synced(const struct view *v, enum view_kind kind);
const char *view_source_trouble(const struct view *v, enum view_kind kind);
bool view_synced(const struct view *v);

/* The first pod of a job, NULL when it has none; follow next_of_job. Pods are a job's when it is
 * their controller by their owner references: labels alone can be anybody's. */
struct view_pod *view_pods_of(const struct view *v, const char *namespace_, const char *job_uid);

/* The same of a pod's object, in the job's namespace. */
bool view_pod_is_of(const cJSON *pod, const char *job_uid);

/* Takes in a pod from the answer to our own request, ahead of the watch. */
void view_pod_answered(struct controller *c, const cJSON *pod);

/* A pod that the API server has told us does not exist (404 on deletion). */
void view_pod_missing(struct controller *c, const char *namespace_, const char *name);

struct view_node *view_node(const struct view *v, const char *name); /* NULL: unknown */

/* Whether its ranks cannot run any more. */
bool view_pod_ended(const struct view_pod *pod);
/* Whether the kubelet holds nothing for it any more. */
bool view_pod_terminal(const struct view_pod *pod);
/* Whether its containers have all ended, but the kubelet has not said so of the pod yet: it does a
 * second later. */
bool view_pod_ends_soon(const struct view_pod *pod);

/* resourceVersion as a number; 0 when it is not one. */
uint64_t view_version(const cJSON *object);

#endif
