/* The controller as a state machine: events in, effects out, and nothing else.
 *
 * Everything that decides lies above this header: reflectors, the lease, the ledger, one
 * coordinator per job, the reconcile table. Everything that touches the world lies below it, in
 * edge_uv.c. Above there is no clock, no file, no socket, no environment and no mutable static, so
 * that equal events give equal effects.
 *
 * Use: controller_new(), then for each event controller_step() and after it
 * controller_next_effect() until it gives none. The first event is a TIMER: it tells the time and
 * starts the work. Effects may be carried out, or lost with the controller, one by one: a new
 * controller finds its way from what the API server holds. */
#ifndef CONTROLLER_CONTROLLER_H
#define CONTROLLER_CONTROLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "controller/delivery.h"
#include "lib/base/log.h"
#include "rendezvous/frame.h"

#define CONTROLLER_KEY_SIZE 32 /* bytes of a job's pre-shared key, as CHANNEL_KEY_SIZE */

/* Limits of this module. */
#define CONTROLLER_ANSWER_MAX \
    (16u * 1024 * 1024) /* bytes of an answer that is not a list or a watch */
#define CONTROLLER_IN_FLIGHT_MAX                                  \
    64 /* requests under way at once, reflectors and lease aside; \
          how many of them, request_window.h finds out */
#define CONTROLLER_HELD_FRAMES_MAX \
    (1024 * 1024)                         /* bytes held for a channel whose job is not known yet */
#define CONTROLLER_NODE_LOSS_MS 20000     /* default of node_loss_ms */
#define CONTROLLER_NODE_LOSS_MS_MIN 16000 /* a kubelet renews its Lease every 10 s */
#define CONTROLLER_NODE_LOSS_MS_MAX (60 * 60 * 1000)
/* A look costs as much as its gang is large, about 0.2 us a member: so it takes a few percent of a
 * core, and a gang of 2,000 is looked at every 20 ms. */
#define CONTROLLER_LOOK_GAP_US 10
#define CONTROLLER_MIN_RUN_MS (10 * 60 * 1000)
#define CONTROLLER_RESERVATIONS 1 /* what the programs have unless told otherwise; as EASY backfill */
#define CONTROLLER_LOG_TEXT_MAX 2048 /* bytes of one log line */

struct controller;

struct controller_config {
    const char *identity; /* of this process in the lease, e.g. host name and a random suffix */
    const char *lease_namespace; /* where Lease `mltrain-controller` lives */
    const char *channel_address; /* "IP:port" that launchers connect to; stands in every pod */
    /* In a cluster: the Service whose address that is (in lease_namespace; NULL: none), and where
     * its EndpointSlice shall lead while we lead. */
    const char *channel_service, *pod_ip;
    uint16_t channel_port;
    enum delivery delivery;          /* how the launcher comes into the pods */
    const char *launcher_image;      /* of the init container, or the volume, that brings it */
    const char *launcher_command;    /* its path in that image, for the init container; AUTO mounts
                                        only an image that has it where ours has */
    const char *const *pull_secrets; /* with which that image is pulled, in the job's namespace */
    uint32_t pull_secrets_count;
    const char *version; /* of this program */
    const char *const *gpu_resources;
    uint32_t gpu_resources_count;
    const char *const *topology_levels; /* NAME=LABEL, wide to narrow, at most GANG_LEVELS_MAX */
    uint32_t topology_levels_count;
    bool never_preempts; /* no job is asked to leave for another */
    int64_t min_run_ms;  /* a job that was preempted before is left alone so long; 0: the default,
                            CONTROLLER_MIN_RUN_MS */
    uint32_t
        reservations;    /* of blocked jobs, past which others start early (the programs' default:
                            CONTROLLER_RESERVATIONS); 0: none, strict order */
    int64_t patience_ms; /* least expected work first, and who has waited so long has a reservation,
                            at least one job at a time; 0: no (struct gang_config) */
    int64_t time_slice_ms; /* with patience_ms: jobs without a limit that have run so long may be
                              asked to leave for one that has run less; 0: no */
    uint64_t seed;         /* of the one generator */
    int64_t rejoin_ms; /* how long members may take to come back to a new leader; 0: the default */
    int64_t node_loss_ms; /* from the last word of a launcher to the loss of its node, at least
                             CONTROLLER_NODE_LOSS_MS_MIN; 0: the default */
    int64_t look_gap_us;  /* between two looks at all of a gang while news of single members come,
                             for each member; 0: the default, CONTROLLER_LOOK_GAP_US */
    /* Gives a job's pre-shared key (the edge calls channel_derive_key()). */
    void (*derive_key)(void *arg, const char *job_uid, unsigned char ret_key[CONTROLLER_KEY_SIZE]);
    void *derive_arg;
};

/* `config` and its strings are copied. Never NULL: aborts when memory is exhausted. */
struct controller *controller_new(const struct controller_config *config);
void controller_free(struct controller *c);

/* X(NAME): what happened. */
#define CONTROLLER_EVENT_MAP(XX)                                                                 \
    XX(ANSWER_STATUS) /* id, status, retry_after_ms: once, before the body */                    \
    XX(ANSWER_BODY)   /* id, data, length: a piece of the body */                                \
    XX(ANSWER_END) /* id, error: NULL when the answer is complete, else the transport's words */ \
    XX(CHANNEL_OPENED) /* id, job_uid: a peer has proved the key of this job */                  \
    XX(CHANNEL_FRAME)  /* id, frame */                                                           \
    XX(CHANNEL_CLOSED) /* id, error: the reason; not after a CHANNEL_CLOSE effect */             \
    XX(TIMER)          /* the time of the last TIMER effect has come; too early does no harm */  \
    XX(STOP)           /* please end: the lease is given back and EXITED follows */

enum controller_event_kind {
#define XX(name) CONTROLLER_##name,
    CONTROLLER_EVENT_MAP(XX)
#undef XX
};

struct controller_event {
    enum controller_event_kind kind;
    int64_t now_ms;  /* monotonic; never less than in the event before */
    int64_t wall_ms; /* milliseconds since 1970 UTC */
    uint64_t id;     /* of a request or a channel */
    int status;
    int64_t retry_after_ms; /* 0: the server named none */
    const char *data;
    size_t length;
    const char *error;
    const char *job_uid;
    const struct rendezvous_frame *frame;
};

/* Nothing that the event points to is kept. */
void controller_step(struct controller *c, const struct controller_event *event);

/* X(NAME): what is to be done. */
#define CONTROLLER_EFFECT_MAP(XX)                                                \
    XX(REQUEST)       /* id, verb, path, content_type, body, length, is_watch */ \
    XX(CANCEL)        /* id: end this request; no further events for it */       \
    XX(CHANNEL_SEND)  /* id, body, length: whole frames */                       \
    XX(CHANNEL_CLOSE) /* id: after what was queued has been sent */              \
    XX(TIMER_SET)     /* at_ms (monotonic): replaces the one timer */            \
    XX(TIMER_CLEAR)   /* no timer is wanted */                                   \
    XX(LOG)           /* level, text */                                          \
    XX(EXITED)        /* text says why, lost: the lease was lost; close all channels and exit */

enum controller_effect_kind {
#define XX(name) CONTROLLER_EFFECT_##name,
    CONTROLLER_EFFECT_MAP(XX)
#undef XX
};

struct controller_effect {
    enum controller_effect_kind kind;
    uint64_t id;
    const char *verb, *path, *content_type; /* content_type NULL: application/json */
    const char *body;                       /* NULL: none */
    size_t length;
    bool is_watch; /* the answer ends late: no idle timeout */
    int64_t at_ms;
    enum mlt_log_level level;
    const char *text;
    bool lost;
};

/* Takes the next effect out; false when there is none. What it points to is valid until the next
 * call of this function; controller_step() in between does no harm. */
bool controller_next_effect(struct controller *c, struct controller_effect *ret);

/* Asserts what must hold between calls. Tests call it after each step. */
void controller_check(const struct controller *c);

/* Tells that a peer was refused below: it could not prove a job's key. Counted. */
void controller_refused(struct controller *c);

/* Tells how long the last step took, in microseconds: only the edge has a clock. */
void controller_took(struct controller *c, int64_t us);

/* Appends counters and gauges as Prometheus text. */
struct mlt_text;
void controller_metrics(const struct controller *c, struct mlt_text *out);

#endif
