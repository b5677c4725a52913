/* A whole cluster in one process, for the tests of this folder: an API server that keeps objects, a
 * kubelet that runs pods at once, launchers that answer as launchers do, and the controller between
 * them. Time stands still until a test moves it. The controller's invariants are checked after each
 * step; that no START goes out before its attempt stands in the status, and that no two live pods
 * hold one slot, is checked at every effect, and that every request stands in the
 * table of rights. */
#ifndef TESTS_CONTROLLER_WORLD_H
#define TESTS_CONTROLLER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <uthash.h>

#include "controller/controller.h"
#include "lib/json/json.h"
#include "rendezvous/message.h"

#define WORLD_LAUNCHERS_MAX 64
#define WORLD_WATCHES_MAX 16

struct world_object {
    char *key; /* plural/namespace/name */
    cJSON *json;
    UT_hash_handle hh;
};

struct world_event {
    struct controller_event e;
    char *data, *error, *uid;
    struct rendezvous_frame frame;
    /* A request on its way to the API server: served when its turn comes, after whatever the
     * controller does at once. `path` NULL: an event for the controller. */
    const char *verb;
    char *path, *body;
    struct world_event *next;
};

enum world_launcher_state { LAUNCHER_AWAY, LAUNCHER_READY, LAUNCHER_RUNNING, LAUNCHER_STOPPED };

struct world_launcher {
    bool used;
    char *pod, *uid, *job_uid; /* pod: plural/namespace/name */
    uint32_t slot, nproc;
    uint64_t channel;           /* 0: closed */
    uint64_t lease_transitions; /* of the latest leader that it has heard */
    enum world_launcher_state state;
    uint64_t ready_attempt, attempt, digest;
    uint32_t rank_base, world_size;
    int64_t resume_step;
    bool hold_stop; /* its ranks do not end when told to stop */
    bool stopping;
    uint32_t stop_grace_ms; /* of the last STOP */
    bool refused;           /* comes back after a while */
    bool told_gone;         /* that its job does not exist any more; its ranks have their grace */
    bool ignores_exit;
    bool deaf; /* its channel stands, and nothing passes */
    struct rendezvous_exit exits[8];
    uint32_t exits_count;
    struct rendezvous_checkpoint checkpoints[4]; /* newest first */
    uint32_t checkpoints_count;
    int64_t late_checkpoint; /* found by its look after the ranks' end; 0: none */
    int32_t exit_code;       /* of EXIT; -1: none */
    int64_t saves;           /* the step of the last confirmed order to save; 0: none */
};

/* Which pods a list or a watch is about: the selectors that the controller uses. */
enum world_selected { SELECTED_ALL, SELECTED_OWN, SELECTED_FOREIGN };

struct world {
    struct controller *c;
    struct world_object *objects;
    uint64_t version, uids, channels;
    int64_t now_ms, wall_ms, timer_ms;
    struct {
        uint64_t id; /* 0: free */
        char plural[64];
        enum world_selected selected;
    } watches[WORLD_WATCHES_MAX];
    struct world_event *first, **last;
    struct world_launcher launchers[WORLD_LAUNCHERS_MAX];
    bool no_kubelet;             /* pods stay pending */
    bool no_scheduler;           /* pods that ask for one stay unbound */
    const char *hidden;          /* lists lack it (a key), NULL: none */
    const char *slow_list;       /* the next list of this plural is long on its way; NULL: none */
    struct world_event *held;    /* that list */
    bool late_phase;             /* containers end, the pod's phase does not say so yet */
    bool takes_orders;           /* launchers know CHECKPOINT_NOW and EXAMINE ... */
    uint32_t asking, caught;     /* ... and answer so */
    char evidence_state;         /* of rank 0 of each; 0: 'S' */
    const char *refuse_dry_run;  /* message of a 422 */
    bool fails_dry_run;          /* of a 500, as a webhook that does not answer makes it */
    bool hangs_dry_run;          /* it gets no answer */
    enum delivery delivery;      /* of the next controllers */
    const char *launcher_command; /* the same; NULL: the usual one */
    bool drops_image_volumes;    /* as an API server does whose feature gate is off */
    const char *refuse_mounted;  /* message of a 403 for pods that mount the launcher */
    bool mounts_nothing;         /* pods that do stay pending */
    char delivery_told[256];     /* the last line of the log about it */
    unsigned deliveries_told;
    const char *dry_run_cpu;     /* a webhook makes the trainer ask for so much; NULL: none does */
    const char *refuse_pod;      /* message of a 422 for real creations, */
    bool fails_pod;              /* of a 500 */
    unsigned pods_refused;       /* with either */
    const char *pod_ip;          /* of the next controllers; NULL: the usual one */
    bool has_service;            /* the channel of the next controllers has a Service */
    uint64_t rights_used;        /* bit i: a request fell under api_right_at(i) */
    const char *channel_address; /* of the next controllers, NULL: the usual one */
    bool slow_garbage;           /* pods outlive their job */
    const char *tail;            /* last output of a rank that fails; NULL: an ordinary one */
    const char *reject_on;       /* the kubelet of this node rejects pods */
    bool leases;                 /* every node has a Lease, which its kubelet renews every 10 s */
    int64_t renewed_ms;          /* when they did so last */
    const char *dead_kubelets;   /* nodes whose kubelet does nothing, NULL: none */
    bool mute_leases;            /* questions for Leases of nodes get a 503 */
    unsigned leases_read;        /* of nodes */
    const char *refuse_volumes;  /* message of a 403 for claims, volumes and classes */
    unsigned volumes_read;       /* claims, volumes and classes */
    int64_t node_loss_ms;        /* of the next controllers; 0: the default */
    int64_t look_gap_us;         /* the same */
    int64_t patience_ms, time_slice_ms; /* the same; 0: none */
    int64_t min_run_ms;                 /* the same; 0: the default */
    bool strict;                        /* the same: without reservations */
    const char *refuse_delete;   /* message of a 403 for deletions */
    const char *refuse_status;   /* message of a 422 for status writes */
    uint32_t cause;              /* of the next failures; 0: by exit code and signal */
    int conflicts;               /* so many status writes meet a 409 */
    int unavailable;             /* so many requests get a 503 */
    const char *mute;            /* one request whose path ends so gets no answer at all */
    struct world_event *late;    /* requests of a dropped controller that are still on their way */
    int late_steps;              /* they arrive after so many steps of the next one */
    int late_choice;             /* that number when above 0; else it varies */
    int drop_after; /* the controller is dropped before its n-th effect from now on; 0: never */
    bool dropped;
    bool stop_at_drop;       /* world_run() comes back then */
    unsigned already_exists; /* creations of pods that met one of the same name, asked for by a
                                living controller */
    bool exited, exited_lost;
    unsigned dry_runs;
    unsigned writes_at_last_pod; /* of statuses, when the newest pod came */
    bool has_events;
    unsigned pods_at_first_event; /* that were there when the first event was written */
    unsigned pods_created, pods_deleted, status_writes, starts, effects, secrets_read;
    bool verbose;
};

void world_init(struct world *w, unsigned nodes, unsigned gpus_per_node);
void world_release(struct world *w);

/* Lets everything happen that can happen without time passing. */
void world_run(struct world *w);
/* Moves time on in the steps that the controller's timer asks for. */
void world_advance(struct world *w, int64_t ms);

/* Asks the controller to end, as SIGTERM does. */
void world_stop_controller(struct world *w);
/* Drops the controller as kill -9 does, and starts another one. Channels close; launchers come
 * back. */
void world_replace_controller(struct world *w);

/* ---- objects ---- */

/* A job "a" with so many pods of one GPU each; `patch` is merged into the object (JSON), or NULL.
 */
void world_put_job(struct world *w, const char *name, int replicas, const char *patch);
/* The same, and lets happen what follows from it. */
void world_submit(struct world *w, const char *name, int replicas, const char *patch);
/* A PriorityClass. */
void world_priority(struct world *w, const char *name, int value, const char *preemption_policy);
/* A TrainingQueue; `spec`: JSON. */
void world_queue(struct world *w, const char *name, const char *spec);
/* Merges into an object as kubectl patch does; spec changes raise the generation. */
void world_patch(struct world *w, const char *key, const char *patch);
void world_delete(struct world *w, const char *key);
cJSON *world_object(struct world *w, const char *key); /* NULL: none */
/* The list that was long on its way arrives, as it was when it was asked for. */
void world_list_arrives(struct world *w);
const char *world_phase(struct world *w, const char *job);
/* A string at a path of the job's status, "" when absent; integers by world_number(). */
const char *world_status(struct world *w, const char *job, const char *path);
int64_t world_number(struct world *w, const char *job, const char *path);
/* The status of a condition, "" when it is not there; its reason; its message. */
const char *world_condition(struct world *w, const char *job, const char *type);
const char *world_reason(struct world *w, const char *job, const char *type);
const char *world_message(struct world *w, const char *job, const char *type);
unsigned world_count(struct world *w, const char *plural);
bool world_has_event(struct world *w, const char *reason);
/* The message of an event with this reason; "" when there is none. */
const char *world_event_message(struct world *w, const char *reason);
int64_t world_events(struct world *w, const char *reason); /* how often it was told */

/* ---- launchers and pods ---- */

/* The living launcher of a slot, NULL when there is none. */
struct world_launcher *world_launcher(struct world *w, const char *job, uint32_t slot);
struct world_launcher *world_launcher_of_pod(struct world *w, const char *key);
void world_rank_exits(struct world *w, struct world_launcher *l, uint32_t local_rank, int code,
                      int signal, uint64_t after_ms);
/* All ranks of all launchers of a job end with code 0. */
void world_job_ends_well(struct world *w, const char *job);
void world_progress(struct world *w, struct world_launcher *l, int64_t step, int64_t total);
void world_checkpoint(struct world *w, struct world_launcher *l, int64_t step, int64_t torn);
/* The ranks that held out against STOP end now. */
void world_stopped(struct world *w, struct world_launcher *l);
/* The kubelet has sent SIGTERM. */
void world_terminating(struct world *w, struct world_launcher *l);
/* The trainer container ends with this code, launcher and all. */
void world_pod_ends(struct world *w, struct world_launcher *l, int code);
/* The kubelet ends a pod for a reason of its own (status.reason). */
void world_pod_stopped(struct world *w, struct world_launcher *l, const char *reason);
/* The kubelets of these nodes are dead (NULL: none is any more), their objects stay as they are. */
void world_kubelets_die(struct world *w, const char *nodes);
/* What the launcher says passes again. */
void world_launcher_hears(struct world *w, struct world_launcher *l);
void world_node_ready(struct world *w, const char *node, bool ready);
void world_channel_breaks(struct world *w, struct world_launcher *l);
void world_launcher_connects(struct world *w, struct world_launcher *l);

#endif
