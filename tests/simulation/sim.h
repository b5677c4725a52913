/* A whole cluster in one process: what its parts know of each other.
 *
 * Real, linked from the product's own libraries: the controller (controller/controller.h), the
 * launchers' supervisor (launcher/supervisor.h) with the judge of checkpoints, and the API server's
 * request handler over a store in memory. Pretended: network, kubelets, processes, checkpoint
 * folders, users, clocks. Everything happens in one queue ordered by (time, sequence), and every
 * choice comes from one seeded generator, so that a seed is a history. */
#ifndef TESTS_SIMULATION_SIM_H
#define TESTS_SIMULATION_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>
#include "controller/controller.h"
#include "launcher/checkpoint_scan.h"
#include "launcher/supervisor.h"
#include "lib/base/random.h"
#include "lib/json/json.h"
#include "localcluster/api/request.h"
#include "rendezvous/message.h"

#define SIM_NODES_MAX 8
#define SIM_JOBS_MAX 6
#define SIM_HOSTS 2 /* that can run a controller */
#define SIM_MEMBERS_MAX 8
#define SIM_NPROC_MAX 4
#define SIM_CHECKPOINTS_MAX 512 /* ever begun in one folder */
#define SIM_FAULTS_MAX 32       /* kinds */
#define SIM_HISTORY 4096        /* lines kept */
#define SIM_LINE_MAX 220
#define SIM_NAMESPACE "default"
#define SIM_WALL_START INT64_C(1800000000000)

struct sim;

/* ---- clock.c: time, queue, generator, history ---- */

/* What happens then. `data` is one block of memory, freed afterwards. */
typedef void sim_run_f(struct sim *s, uint64_t id, void *data);

struct sim_event {
    int64_t at_ms;
    uint64_t sequence;
    sim_run_f *run;
    uint64_t id;
    void *data;
};

void sim_after(struct sim *s, int64_t delay_ms, sim_run_f *run, uint64_t id, void *data);
/* Runs until the queue's next event lies after `until_ms`, or `done` says true. */
void sim_run(struct sim *s, int64_t until_ms, bool (*done)(struct sim *s));
int64_t sim_wall_ms(const struct sim *s); /* the API server's clock, which does not jump */

bool sim_chance(struct sim *s, unsigned per_mille);
int64_t sim_between(struct sim *s, int64_t min, int64_t max);

/* One line of the history, and of the seed's hash. */
void sim_say(struct sim *s, const char *who, const char *format, ...) MLT_PRINTF(3, 4);
/* Only of the hash. */
void sim_hash(struct sim *s, const void *data, size_t length);
/* A sentence of the oracle does not hold: prints the history and ends the process. */
void sim_violated(struct sim *s, const char *sentence, const char *format, ...) MLT_PRINTF(3, 4)
    __attribute__((noreturn));
void sim_print_history(struct sim *s);

/* ---- what goes wrong, chosen per seed ---- */

struct sim_rates {            /* per mille */
    unsigned refused;         /* 429, 500, 503, 504 instead of an answer */
    unsigned lost;            /* the request, or its answer after the write took effect */
    unsigned conflict;        /* somebody else writes the job just before a status write */
    unsigned forbidden;       /* 403 on the creation of a pod */
    unsigned slow;            /* an answer or a watch is late by seconds */
    unsigned watch_cut;       /* at each delivery */
    unsigned watch_gone;      /* 410 */
    unsigned watch_twice;     /* the last event comes again */
    unsigned stale_list;      /* a list comes late and shows the past */
    unsigned channel_cut;     /* at each frame */
    unsigned channel_slow;    /* a frame is late by seconds */
    unsigned controller_dies; /* before an effect is carried out */
    unsigned pod_rejected;    /* by the kubelet */
    unsigned exec_fails;
    unsigned scan_hangs;
};

/* ---- api.c: the API server and the network before it ---- */

/* One thing that waits for its answer at a controller. */
struct sim_call {
    uint64_t id, controller, request; /* controller: its incarnation; request: its own number */
    char *verb, *path, *type, *body;
    int64_t sent_ms;
    struct sim_call *next;
};

struct sim_watch {
    uint64_t id, controller, request;
    struct api_watch *watch;
    int64_t lag_ms;
    bool scheduled;
    char *last; /* the last line told */
    struct sim_watch *next;
};

struct sim_object {
    char *key; /* plural/namespace/name */
    cJSON *json;
    bool late;      /* made by a request that outlived its controller */
    int64_t leader; /* who led when it was made */
    UT_hash_handle hh;
};

struct sim_name {
    UT_hash_handle hh;
    char text[];
};

/* The API server with its first objects; made once for many seeds. */
void api_prepare(struct sim *s);
void api_begin(struct sim *s);
/* A request at once, without network: kubelets, users, and the test itself. Returns the status;
 * *ret (may be NULL) is the caller's. */
int api_now(struct sim *s, const char *verb, const char *path, const char *type, const char *body,
            cJSON **ret);
int api_patch(struct sim *s, const char *path, const cJSON *patch); /* merge patch; frees it not */
cJSON *sim_parse(const char *text); /* NULL when it is no JSON; the caller frees it */
/* A controller's request, through the network. */
void api_send(struct sim *s, uint64_t controller, const struct controller_effect *effect);
void api_cancel(struct sim *s, uint64_t controller, uint64_t request);
void api_forget_controller(struct sim *s, uint64_t controller);
/* Brings the mirror up to date and wakes the watches: after each event. */
void api_settle(struct sim *s);
/* The mirror: the store as it is now. */
cJSON *api_object(struct sim *s, const char *plural, const char *name); /* NULL: none */
#define API_EACH(s, o, plural_)                                             \
    for (struct sim_object *o = (s)->objects, *o##_n = NULL;                \
         o && ((o##_n = (struct sim_object *)o->hh.next), true); o = o##_n) \
        if (api_is(o, plural_))
int64_t api_leader(struct sim *s); /* changes with each change of leader; -1: none yet */
bool api_is(const struct sim_object *o, const char *plural);

/* ---- controllers.c ---- */

struct sim_inbox; /* events for a controller that is paused */

struct sim_host {
    struct controller *controller; /* NULL: not running */
    uint64_t id;                   /* of the incarnation; 0: none */
    char identity[32];
    int64_t wall_offset_ms;
    int64_t timer_ms; /* INT64_MAX: none */
    uint64_t timer_generation;
    bool paused, draining;
    struct sim_inbox *inbox, **inbox_last;
    uint64_t effects; /* carried out by this incarnation */
};

void controllers_begin(struct sim *s);
void controller_start(struct sim *s, int host);
void controller_kill(struct sim *s, int host, const char *why);
void controller_pause(struct sim *s, int host);
void controller_wake(struct sim *s, int host);
void controller_ask_to_stop(struct sim *s, int host);
/* By incarnation; NULL: it is gone. */
struct sim_host *controller_find(struct sim *s, uint64_t id);
/* `event` is copied, with all it points to when it has to wait. */
void controller_tell(struct sim *s, uint64_t id, const struct controller_event *event);
/* Where the network leads a launcher now; NULL: nowhere. */
struct sim_host *controller_for_launcher(struct sim *s);

/* ---- launchers.c and ranks.c ---- */

#define SIM_BACK_MS 20000 /* launchers and a leader have found each other again, and the ranks */

enum sim_rank_state { RANK_NONE, RANK_ALIVE, RANK_HUNG, RANK_GONE };

struct sim_rank {
    enum sim_rank_state state;
    bool told; /* its end */
    bool out_of_memory;
    int code, signal, exec_errno;
    /* libmltrain, see saves.c */
    bool asking; /* whether to save, and it waits for the answer */
    bool late;   /* it has waited too long and gone on: the answer is still to come */
    bool asks;   /* it has asked in this attempt */
    int64_t asked_ms, waited_ms;
    int64_t saved_step;  /* that it was told to save, the newest; 0: none */
    int64_t passed_step; /* at which it went on, the newest; 0: none */
};

/* What a launcher was told and has said of a save, for the oracle; of one attempt. */
struct sim_orders {
    uint64_t attempt;
    int64_t confirmed, agreed; /* steps; 0: none */
};

struct sim_launcher {
    uint64_t id;
    char *pod, *uid; /* pod: its name */
    int node;
    struct sim_job *job;
    uint32_t slot;
    struct supervisor *supervisor;
    uint64_t connection; /* 0: none */
    uint64_t timers[SUPERVISOR_TIMERS];
    struct supervisor_event posted[64];
    size_t posted_count;
    bool busy; /* effects are being carried out */
    bool left; /* told to leave, or killed */
    bool unkillable;
    /* the attempt that runs */
    uint64_t world; /* number of its gang's life; 0: none */
    uint32_t rank_base;
    struct sim_rank ranks[SIM_NPROC_MAX];
    uint32_t nproc;
    bool spawned;      /* SPAWNED was said */
    int64_t word_ms;   /* of what it has said since its START the fastest was on its way so long */
    int64_t asked_ms;  /* of its START and the PINGs since, the same ... */
    uint64_t asked_by; /* ... by this controller */
    bool watching, tick;
    struct checkpoint_memory memory;
    struct checkpoint_report report;
    bool fresh_wanted, ranks_left;
    struct rendezvous_evidence evidence[SIM_NPROC_MAX];
    int64_t frozen_ms, frozen_until_ms; /* SIGSTOP: nothing happens in it before; 0: never was */
    struct supervisor_event *held;      /* what its ranks have said meanwhile */
    size_t held_count, held_capacity;
    struct sim_orders orders;
    int64_t exchange_round; /* the newest that it has come to; 0: none */
    uint64_t exchange_tag;  /* what its program waits for; UINT64_MAX: nothing */
    bool late;              /* its program still begins something when that of the others is done */
    struct sim_launcher *next;
};

/* A connection between a launcher and a controller. Frames keep their order. */
struct sim_connection {
    uint64_t id, launcher, controller; /* controller: the incarnation; 0 until it is open */
    bool open, cut;                    /* cut: bytes vanish, and neither side knows */
    int64_t up_ms, down_ms;
    struct sim_connection *next;
};

void launcher_begin(struct sim *s, const char *pod, const char *uid, int node, struct sim_job *job,
                    uint32_t slot);
struct sim_launcher *launcher_find(struct sim *s, uint64_t id);
struct sim_launcher *launcher_of_pod(struct sim *s, const char *uid);
void launcher_terminate(struct sim *s, struct sim_launcher *l); /* SIGTERM */
/* SIGKILL to the container: launcher and ranks are gone at once. `silently`: with its host, so that
 * no connection is closed. */
void launcher_die(struct sim *s, struct sim_launcher *l, bool silently);
void launcher_post(struct sim *s, struct sim_launcher *l, const struct supervisor_event *event);
/* SIGSTOP, and SIGCONT so long after. */
void launcher_freeze(struct sim *s, struct sim_launcher *l, int64_t ms);
/* True when the launcher is frozen: `run` is called again when it wakes, with a copy of `data`. */
bool launcher_sleeps(struct sim *s, const struct sim_launcher *l, sim_run_f *run, uint64_t id,
                     const void *data, size_t size);
void connection_send_down(struct sim *s, uint64_t connection, const void *data, size_t length);
void connection_close_by_controller(struct sim *s, uint64_t connection);
void connection_controller_died(struct sim *s, uint64_t controller);
/* Open between a launcher and this controller, and not cut. */
bool connection_stands(struct sim *s, uint64_t connection, uint64_t controller);
void connection_cut(struct sim *s, uint64_t connection, bool silently);

/* The life of a gang between a START and its end: a world of ranks that wait for each other. */
/* A member is behind by as many rounds as were over in a row before it came. */
#define HASTY_ROUNDS_KEPT 32

struct sim_world {
    uint64_t number;
    struct sim_job *job;
    uint64_t attempt;
    uint16_t port;
    uint32_t size, joined;
    bool running; /* all ranks have met */
    bool broken;  /* a rank is gone: nobody steps any more */
    bool leaving; /* told to stop, or done */
    bool stepped; /* once, at least */
    int64_t step;
    int64_t poisoned_at; /* it dies at this step; 0: none */
    int checkpoint;      /* under way: its place in the folder; -1 */
    unsigned asked, answered,
        told_to_save;   /* ranks that ask libmltrain whether to save, in this step */
    bool saves_as_told; /* what is under way was ordered */
    bool hung;          /* a rank of it, once */
    bool done;          /* the program has come to its end */
    unsigned saves;     /* ordered ones that have become complete */
    unsigned shocks;    /* facts.shocks when it began */
    int64_t met_ms;     /* when all ranks had met */
    int64_t saved_ms;   /* when the newest checkpoint became complete; 0: none */
    int64_t saved_step;
    /* Exchanges for which somebody has little time, each at its number modulo the size; 0: none. */
    int64_t hasty_rounds[HASTY_ROUNDS_KEPT];
    int64_t newest_round; /* that a member has come to */
    struct sim_world *next;
};

void ranks_spawn(struct sim *s, struct sim_launcher *l);
void ranks_signal(struct sim *s, struct sim_launcher *l, int signal);
/* CHECKPOINT_NOW and EXAMINE: `but` and `whom` are sets of local ranks. */
void ranks_catch(struct sim *s, struct sim_launcher *l, int signal, const uint64_t *but);
void ranks_are_answered(struct sim *s, struct sim_launcher *l, const uint64_t *whom, bool save);
void ranks_go_on(struct sim *s, struct sim_world *w, bool told_to_save);
void ranks_look_at_themselves(struct sim *s, struct sim_launcher *l);
void ranks_kill_all(struct sim *s, struct sim_launcher *l);
void ranks_vanish(struct sim *s, struct sim_launcher *l); /* with their launcher */
/* A rank ends by itself, or by somebody who is not mltrain. */
void rank_exits(struct sim *s, struct sim_launcher *l, uint32_t local, int code, int signal,
                bool out_of_memory);
/* For a while. */
void rank_hangs(struct sim *s, struct sim_launcher *l, uint32_t local, int64_t ms);
void ranks_look_at_folder(struct sim *s, struct sim_launcher *l, bool fresh);
void ranks_look_on(struct sim *s, struct sim_launcher *l); /* once a second from now on */
struct sim_world *world_find(struct sim *s, uint64_t number);
/* saves.c: all ranks ask whether to save; ranks_go_on() when they have been answered. */
void ranks_ask(struct sim *s, struct sim_world *w);

/* ---- saves.c: histories that are about stops ---- */

bool stops_are_the_theme(const struct sim *s); /* of this seed */
void stops_choose_program(struct sim *s, struct sim_job *job);
void stops_begin(struct sim *s);

/* ---- exchanges.c: programs that exchange ---- */

bool exchanges_are_the_theme(const struct sim *s); /* of this seed */
/* The ranks of a launcher wait for the others; ranks_have_met() follows. */
void exchanges_meet(struct sim *s, struct sim_launcher *l);
/* Somebody waits for what all have come to: a program ends after it has been answered. */
bool exchanges_are_owed(struct sim *s, const struct sim_world *w);
/* The program is done; whether these ranks stay until they are told that the others have ended. */
bool exchanges_end_late(struct sim *s, struct sim_launcher *l, bool is_last);
void exchanges_told(struct sim *s, struct sim_launcher *l, const struct exchange_output *out);
void ranks_have_met(struct sim *s, struct sim_launcher *l, struct sim_world *w); /* ranks.c */
void ranks_leave(struct sim *s, struct sim_launcher *l);                         /* with code 0 */

/* ---- turns.c: histories that are about priorities and queues ---- */

bool turns_are_the_theme(const struct sim *s); /* of this seed */
/* Before the controllers start. */
void turns_choose(struct sim *s);
void turns_begin(struct sim *s);
void turns_create_classes(struct sim *s); /* PriorityClasses, for stories as well */
void turns_manifest(const struct sim_job *job, cJSON *manifest);
/* The oracle's part: who makes way, for whom, and what becomes of both. */
void turns_spawned(struct sim *s, struct sim_job *job, uint64_t attempt);
void turns_job_changed(struct sim *s, struct sim_job *job, const cJSON *before, const cJSON *now);
void turns_end(struct sim *s);

/* ---- jobs.c: what users do, and what their programs are like ---- */

enum sim_checkpoint_state { CHECKPOINT_WRITING, CHECKPOINT_COMPLETE, CHECKPOINT_TORN };

struct sim_checkpoint {
    int64_t step, wall_ms;
    int64_t complete_ms; /* by the simulation's own clock */
    enum sim_checkpoint_state state;
    uint64_t attempt, fingerprint;
    bool proves; /* its format proves completeness; else only its rest does */
    bool was_complete;
    bool poisoned; /* whoever resumes from it dies at the second step */
    bool deleted;
};

enum sim_wish { WISH_FINISH, WISH_CANCEL, WISH_DELETE, WISH_DEADLINE, WISH_CRASH, WISH_TTL };

struct sim_job {
    char name[24], uid[64]; /* uid "": not created yet, or gone */
    int replicas, nproc;
    const char *priority, *queue; /* priority: of turn_priorities; NULL: none */
    enum sim_wish wish;
    int64_t backoff_limit, deadline_s;
    int grace_s;
    /* the program */
    int64_t init_ms, pace_ms, save_every, save_ms, total_steps;
    int on_signal; /* 0: ignores it; 1: saves and exits with 0; 2: dies of it */
    bool proves;   /* its checkpoints */
    bool reports_progress;
    bool asks;        /* by libmltrain, at each step, whether to save */
    int64_t leave_ms; /* at most, from its last save to its end when it was told to stop */
    /* the folder */
    struct sim_checkpoint folder[SIM_CHECKPOINTS_MAX];
    int folder_count;
    /* what has happened, for the oracle */
    bool submitted, deleted, cancelled, suspended_once, poisoned_once;
    struct sim_facts {
        uint64_t started_attempt; /* newest in which ranks were spawned */
        int64_t started_resume;   /* from which step */
        uint64_t failed_attempt;  /* newest in which the job itself failed */
        unsigned failures;        /* attempts in which it did */
        uint64_t charged_attempt; /* newest that was charged */
        bool late_write;          /* the status is from a request that outlived its controller */
        int64_t late_row;         /* failures in a row as they were told before that one */
        int64_t late_charges;     /* what stood before it */
        int64_t late_credited;    /* credited_step before it */
        uint64_t echo_attempt;    /* newest in which survivors ended because a peer had */
        uint64_t echo_ranks;      /* their numbers, a bit each */
        int64_t spawn_skew_ms;    /* between the first and the last START of started_attempt */
        int64_t spawned_ms;
        int64_t excused_ms; /* when something else than a controller disturbed it; -1: never */
        unsigned excuses;
        uint64_t whole_attempt; /* newest of which a START was seen, and all members were ready */
        uint64_t spawned[SIM_MEMBERS_MAX]; /* the newest attempt whose ranks a slot has spawned */
        uint64_t ready[SIM_MEMBERS_MAX];   /* the newest attempt that a slot was ready for */
        int64_t credited_step;             /* checkpoints up to here have been given credit for */
        unsigned worlds;                   /* gangs whose ranks have all met */
        bool unverified;                   /* a look at its folder hung */
        unsigned shocks;                   /* excuses for which ranks may be killed at once */
        /* The stop that the user has asked for in this attempt. */
        int64_t stop_ms; /* -1: none */
        bool stop_now;   /* without grace */
        /* The order to save, of one attempt. */
        uint64_t order_attempt, order_by; /* by: the incarnation */
        int64_t order_ms, order_end_ms, disturbed_until_ms;
        bool order_disturbed; /* the controller, a launcher or a channel of it was, since */
        int64_t passed_step;  /* `order_by` has heard that a rank has passed this one */
        /* turns.c: since when all ranks have run where it has its place now; for whom it left. */
        int64_t runs_ms;   /* -1: they have not */
        int64_t placed_ms; /* as its status tells */
        int64_t leaves_ms; /* 0: it does not make way */
        bool leaves_ranks; /* its ranks had to be stopped for that */
        int64_t leaves_charges;
        unsigned admissions;
        char left_for[64];    /* UID, while it waits again; "" */
        int64_t forbidden_ms; /* a pod's creation was refused, and that was told; 0: no */
        uint64_t forbidden_to;
    } facts;
};

void jobs_begin(struct sim *s);
void job_submit(struct sim *s, struct sim_job *job);
void job_act(struct sim *s, struct sim_job *job,
             const char *what); /* suspend, resume, cancel, now, delete */
struct sim_job *job_of_uid(struct sim *s, const char *uid);
const char *job_phase(struct sim *s, const struct sim_job *job); /* "" when there is none */
bool job_is_over(struct sim *s, const struct sim_job *job);
int checkpoint_begin(struct sim *s, struct sim_job *job, int64_t step, uint64_t attempt);
void checkpoint_remove(struct sim_job *job, int64_t step);
bool checkpoint_is_last(const struct sim_job *job, int64_t step); /* there is no other */
const struct sim_checkpoint *checkpoint_find(const struct sim_job *job, int64_t step);

/* ---- kubelets.c ---- */

struct sim_pod; /* on a node */

struct sim_node {
    char name[16];
    int gpus;
    bool up;        /* the machine runs */
    bool reachable; /* by API server and controllers */
    bool ready;     /* as the API says */
    int64_t lease_ms, away_ms;
    uint64_t boot;
    struct sim_pod *pods;
};

void kubelets_begin(struct sim *s);
void kubelet_pod_changed(struct sim *s, const cJSON *pod, bool deleted);
void kubelet_container_ended(struct sim *s, const char *uid, int code);
void kubelet_renew_leases(struct sim *s); /* before somebody reads one */
/* Each finds a pod of its own; false when there is none. */
bool kubelet_evict(struct sim *s, struct sim_launcher *l);
void node_power_off(struct sim *s, int node);
void node_cut(struct sim *s, int node);
void node_back(struct sim *s, int node);
void node_say_ready(struct sim *s, int node, bool ready); /* in the API */
void kubelet_hold_ends(struct sim *s, bool hold);         /* pods stay in Terminating */

/* ---- faults.c ---- */

void faults_choose(struct sim *s);
void faults_begin(struct sim *s);
void faults_end(struct sim *s);

/* ---- oracle.c ---- */

void oracle_begin(struct sim *s);
void oracle_object_changed(struct sim *s, const char *key, const cJSON *before, const cJSON *now);
/* What a controller is about to do. */
void oracle_request(struct sim *s, const struct sim_host *host, const struct controller_effect *e);
void oracle_frame_down(struct sim *s, const struct sim_host *host, const struct sim_launcher *l,
                       const struct rendezvous_frame *frame);
void oracle_frame_up(struct sim *s, const struct sim_launcher *l,
                     const struct rendezvous_frame *frame);
void oracle_spawn(struct sim *s, const struct sim_launcher *l);
/* The launcher ends ranks of a world that ran. */
void oracle_ranks_stopped(struct sim *s, const struct sim_launcher *l);
void oracle_step(struct sim *s); /* after every event */
/* oracle_saves.c */
void oracle_save_frame(struct sim *s, const struct sim_host *host, struct sim_launcher *l,
                       const struct rendezvous_frame *frame); /* is sent down */
void oracle_save_frame_came(struct sim *s, struct sim_launcher *l,
                            const struct rendezvous_frame *frame); /* to the launcher */
void oracle_save_answer(struct sim *s, struct sim_launcher *l,
                        const struct rendezvous_frame *frame); /* is sent up */
void oracle_save_answer_came(struct sim *s, const struct sim_launcher *l,
                             const struct rendezvous_frame *frame); /* to the controller */
void oracle_rank_answered(struct sim *s, const struct sim_launcher *l, const struct sim_rank *rank,
                          bool save);
void oracle_all_answered(struct sim *s, const struct sim_world *w);
void oracle_saved(struct sim *s, struct sim_world *w);
void oracle_ranks_killed(struct sim *s, const struct sim_launcher *l);
void oracle_stop_asked(struct sim *s, struct sim_job *job, const char *what);
/* A controller, a launcher or a channel, for so long: what it does for a save may come late. */
void oracle_disturb(struct sim *s, struct sim_job *job, int64_t ms);
/* As oracle_excuse(), for what is no reason to kill ranks that have time to save. */
void oracle_excuse_mildly(struct sim *s, struct sim_job *job);
void oracle_end(struct sim *s);
/* Something else than a controller has disturbed the job's ranks. */
void oracle_excuse(struct sim *s, struct sim_job *job);
/* STARTs far apart, and of one member no word that came promptly since: when START reached it lies
 * between bounds that leave the order of ends open (docs/decisions/0009). */
bool oracle_order_is_open(struct sim *s, const struct sim_job *job);
void oracle_own_failure(struct sim_job *job, uint64_t attempt);
/* A rank has ended only because a peer had. */
void oracle_echo(struct sim_job *job, uint64_t attempt, uint32_t rank);

/* ---- all of it ---- */

struct sim {
    uint64_t seed;
    bool trace;
    int64_t now_ms;
    struct mlt_random random;
    struct sim_event *queue; /* a heap */
    size_t queue_count, queue_capacity;
    uint64_t sequence, ids;
    unsigned at_once; /* events since time has moved */
    uint64_t hash;
    char (*history)[SIM_LINE_MAX];
    size_t history_count; /* ever */

    struct sim_rates rates;
    bool faults; /* still happen */
    unsigned faults_count;
    int64_t fault_every_ms;
    int weights[SIM_FAULTS_MAX]; /* of the kinds of faults.c */

    struct mlt_random server_random;
    struct store *store;
    struct api_server *server;
    struct sim_call *calls;
    struct sim_watch *watches;
    struct sim_object *objects;
    struct sim_name *pod_names; /* job's uid/name: of all pods that ever were */
    struct api_watch *mirror[5];
    uint64_t revision; /* that the mirror shows */
    bool asker_gone;   /* the newest request is of a controller that is no more */
    bool work_scheduled;
    unsigned writes; /* of controllers that the API server took, leases and events aside */

    struct sim_host hosts[SIM_HOSTS];
    int hosts_count;
    int64_t min_run_ms; /* of the controllers; 0: the default */
    uint32_t reservations;
    bool patient; /* --patience: these are not 0 */
    int64_t patience_ms, time_slice_ms;
    unsigned preemptions; /* ever */
    struct sim_launcher *launchers;
    struct sim_connection *connections;
    struct sim_world *worlds;
    struct sim_job jobs[SIM_JOBS_MAX];
    int jobs_count;
    struct sim_node nodes[SIM_NODES_MAX];
    int nodes_count;
    bool hold_ends;

    /* stories.c */
    const struct sim_story *story;
    bool reject_next; /* the next pod, once */
    int64_t die_at;   /* the controller dies at its n-th effect of consequence, counted over all */
    bool die_after;   /* after it, else before */
    int64_t effects;  /* of consequence, so far */
};

#endif
