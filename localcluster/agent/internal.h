/* The running agent: what its files share. Nothing outside localcluster/agent includes this. */
#ifndef LOCALCLUSTER_AGENT_INTERNAL_H
#define LOCALCLUSTER_AGENT_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include <uv.h>
#include "lib/base/random.h"
#include "lib/kube/backoff.h"
#include "lib/kube/reflector.h"
#include "lib/kube/transport/transport.h"
#include "localcluster/agent/admission.h"
#include "localcluster/agent/devices.h"
#include "localcluster/agent/pod_known.h"
#include "localcluster/agent/pod_spec.h"
#include "localcluster/agent/pod_sync.h"
#include "localcluster/agent/pod_value.h"
#include "localcluster/agent/sandbox.h"
#include "localcluster/shim/channel.h"

#define AGENT_PODS_DEFAULT 110
#define AGENT_HOST_IP "127.0.0.1"
#define AGENT_LEASE_SECONDS 40
#define AGENT_LEASE_RENEW_MS 10000
#define AGENT_NODE_STATUS_MS 300000
#define AGENT_LOGS_KEPT 200 /* folders of removed pods */
#define AGENT_LOGS_KEPT_BYTES (INT64_C(1) * 1024 * 1024 * 1024)
#define AGENT_ANSWER_MAX (16u * 1024 * 1024) /* bytes of one answer */
#define AGENT_OBJECTS_MAX 256                /* ConfigMaps and Secrets of one pod */
#define AGENT_OBJECT_FRESH_MS 10000          /* a fetched one is used this long */
#define AGENT_STEPS_MAX 64                   /* decisions on one pod in one go */
#define AGENT_EVENTS_QUEUED_MAX 512
#define AGENT_EVENTS_REMEMBERED 256
#define AGENT_EVENTS_PER_SECOND 20
#define AGENT_EVENTS_BURST 100
#define AGENT_OWNERS_TOLD 32 /* owners remembered for the event about ignored fields */

struct agent;
struct api_request;

/* status 0: transport error, `body` holds its words. */
typedef void api_answer_f(void *arg, int status, const char *body, size_t length);

/* ---- api.c: requests to the API server ---- */

/* Sends; `body` may be NULL and is copied. The callback comes once, from the loop, unless
 * cancelled. */
struct api_request *api_send(struct agent *a, const char *verb, const char *path,
                             const char *content_type, const cJSON *body, api_answer_f *answer,
                             void *arg);
void api_cancel(struct api_request *r); /* NULL is fine */

/* ---- one pod ---- */

struct pod_object {
    enum pod_source kind;
    char *name;
    cJSON *object;      /* NULL: does not exist */
    int64_t fetched_ms; /* 0: never */
    char trouble[200];  /* an answer that is neither the object nor 404 */
    struct api_request *request;
    struct pod *pod;
};

struct pod {
    struct agent *agent;
    struct pod *next;
    struct pod_spec *spec;
    struct pod_known known;
    char folder[PATH_MAX];
    struct shim_channel *shim;
    bool shim_reported[POD_CONTAINERS_MAX];
    bool adopting; /* connected to a shim that has not told all yet */
    bool listed;   /* the API server has confirmed it, or that it is gone, since the agent began */
    bool seen;     /* in the list that is being read */
    bool volumes_made;
    bool waits_for_gpus; /* that pods which are being killed still hold */
    struct pod_object *objects;
    size_t object_count;
    unsigned fetches; /* under way */
    uv_timer_t timer;
    struct api_request *push; /* the status patch or the deletion under way */
    struct kube_backoff push_backoff;
    int64_t push_after_ms; /* monotonic: not again before, after a failure */
    cJSON *pushed;         /* the last status that the API has taken */
    cJSON *pushing;        /* the one under way */
    bool object_deleted;   /* the final deletion was accepted */
    bool removed;          /* waits for its handle to close */
};

/* ---- the agent ---- */

struct agent_options {
    const char *dir, *node;
    const char *rack;          /* the value of the node's label NODE_RACK_LABEL; NULL: none */
    int64_t gpus;              /* -1: find real ones */
    int64_t cpu_milli, memory; /* 0: this machine's */
    int ready_fd;              /* -1: none */
    bool stop_pods;
};

struct agent {
    uv_loop_t loop;
    struct agent_options options;
    char node_dir[PATH_MAX]; /* DIR/nodes/NODE */
    char claims[PATH_MAX];
    struct mlt_random random;
    struct kube_transport *transport;
    struct devices devices;
    struct sandbox_host host;
    struct node_resources allocatable;
    struct pod *pods;
    /* pods.c */
    struct kube_reflector *reflector;
    struct kube_call *list_call;
    uv_timer_t reflector_timer;
    /* node.c */
    uv_timer_t lease_timer, node_timer;
    bool registered, ready_told;
    /* shim_link.c */
    int forker_fd; /* to the program that forks shims; -1: not started */
    /* events.c */
    struct event_recorder *events;
    bool image_told, limits_told; /* once per agent */
    char owners_told[AGENT_OWNERS_TOLD][POD_UID_MAX];
    size_t owners_next;
    uv_timer_t prune_timer;
    uv_signal_t on_term, on_int;
};

struct pod_now agent_now(const struct agent *a);

/* ---- events.c ---- */

struct event_recorder *events_new(struct agent *a);
void events_record(struct agent *a, const struct pod_spec *spec, const char *type,
                   const char *reason, const char *format, ...) MLT_PRINTF(5, 6);

/* ---- node.c ---- */

void node_start(struct agent *a);
void node_ready_when_synced(struct agent *a); /* tells the ready descriptor once */

/* ---- pods.c: the table ---- */

void pods_adopt(struct agent *a); /* what earlier agents left on disk */
void pods_watch(struct agent *a); /* starts the reflector */
struct pod *pod_new(struct agent *a, struct pod_spec *spec);
void pod_free(struct pod *p);

/* ---- pod_run.c: decisions carried out ---- */

void pod_step(struct pod *p); /* call after anything has changed */
void pod_save(struct pod *p);

/* ---- pod_start.c ---- */

bool pod_objects_ready(struct pod *p); /* false: fetches are under way, a step follows */
void pod_start_container(struct pod *p, size_t index);
void pod_objects_release(struct pod *p);

/* ---- pod_push.c ---- */

void pod_push(struct pod *p);          /* writes the status if it has changed */
void pod_push_deletion(struct pod *p); /* deletes the object once its last status is written */

/* ---- shim_link.c ---- */

void shim_prepare(struct agent *a); /* starts the program that forks shims */
int shim_take(struct pod *p, struct mlt_error *err) MLT_MUST_USE; /* gives the pod a shim */
int shim_adopt(struct pod *p,
               struct mlt_error *err) MLT_MUST_USE; /* connects to the one that runs */
int shim_connect(const char *pod_folder,
                 struct mlt_error *err) MLT_MUST_USE; /* a connected socket */
void shim_reports_from_file(struct pod *p);           /* what a dead shim had kept */
void shim_kill_strays(const struct pod *p);    /* the shim is dead: nothing of the pod may run */
void shim_forget_cgroups(const struct pod *p); /* those that a killed shim has left */

/* ---- stop_pods.c ---- */

int stop_pods(const char *node_dir); /* exit code */

#endif
