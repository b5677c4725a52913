/* What the files of the edge share. */
#ifndef LAUNCHER_EDGE_INTERNAL_H
#define LAUNCHER_EDGE_INTERNAL_H

#include <limits.h>
#include <time.h>
#include <uv.h>
#include "launcher/cgroup_memory.h"
#include "launcher/checkpoint_scan.h"
#include "launcher/config.h"
#include "launcher/error_file.h"
#include "launcher/mpi_rank.h"
#include "launcher/nccl_env.h"
#include "launcher/output.h"
#include "launcher/pmi1.h"
#include "launcher/pmi1_spread.h"
#include "launcher/port_hold.h"
#include "launcher/progress.h"
#include "launcher/rank_spawn.h"
#include "launcher/reap.h"
#include "launcher/remote.h"
#include "launcher/sdk_exchange.h"
#include "launcher/sdk_socket.h"
#include "launcher/supervisor.h"
#include "rendezvous/channel/channel.h"

#define EDGE_EVENTS_MAX 1024        /* waiting for the effects of the one before them */
#define EDGE_NOTICES_MAX 8          /* of those, notices; one more overwrites the oldest's words */
#define EDGE_NAMES_MAX 400          /* bytes of names told in one line */
#define EDGE_STREAMS_MAX 2048       /* of this and former attempts whose output is not out yet */
#define EDGE_DRAIN_BYTES (4u << 20) /* of a dead rank's pipe, read before its end is told */
#define EDGE_LEAVE_MS 10000         /* for a slow log reader at the very end */
#define EDGE_KILL_WALK_MS_MIN 1     /* between two walks of /proc during a kill, at first */
#define EDGE_KILL_WALK_MS_MAX 50
#define EDGE_MPI_ABORT_MS 500 /* for a rank that has called MPI_Abort to end by itself */
#define EDGE_SDK_WORLDS_MAX \
    250                       /* of libmltrain in an attempt: one, and each mpirun makes one more */
#define EDGE_LOOK_MS 1000     /* between the two samples of what ranks do */
#define EDGE_TICK_MS                                                            \
    1000 /* progress, while ranks run; checkpoints, also while START is awaited \
          */

/* One process that the supervisor counts: a rank, or a torchrun. */
struct edge_rank {
    pid_t pid;      /* 0: not started or fork failed */
    bool running;   /* not reaped yet */
    bool ended;     /* its end is known */
    bool delivered; /* ... and told to the supervisor */
    bool left;      /* ... and a good one, which those that wait for it are to be told */
    int status;     /* as of waitpid() */
    int exec_errno;
    int64_t heard_ms; /* its last line of output, or its start */
    char error_file[PATH_MAX];
    struct output_tail tail;
    char tail_text[OUTPUT_TAIL_SIZE + ERROR_FILE_MESSAGE_MAX + MPI_RANK_WORDS_MAX +
                   1]; /* at most RENDEZVOUS_TAIL_MAX used */
};

/* A rank's pipe; lives on after its attempt until its last line is out. */
struct edge_stream {
    struct output_stream stream;
    uv_poll_t poll;
    struct edge *edge;
    struct edge_stream *next;
    uint32_t process;
    uint64_t attempt;
    bool polling, closing;
};

/* What a rank has told by libmltrain. By local rank: a torchrun is one process and several ranks.
 */
struct edge_told {
    int64_t step;     /* or RENDEZVOUS_NO_STEP */
    int64_t heard_ms; /* 0: nothing yet */
};

/* The answer to LOOK while it is made. */
struct edge_look {
    uv_timer_t timer;
    bool runs;
    uint64_t began_ns;
    struct edge_look_before {
        pid_t pid; /* 0: not there */
        uint64_t ticks;
    } before[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    struct rendezvous_evidence ranks[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    char wait_channels[RENDEZVOUS_RANKS_PER_MEMBER_MAX][RENDEZVOUS_WAIT_CHANNEL_MAX + 1];
};

/* One of our own descriptors. */
struct edge_sink {
    struct output_sink sink;
    uv_poll_t poll;
    struct edge *edge;
    bool blocked, has_poll;
};

/* A rank's connection to the PMI-1 server. */
struct edge_pmi1_client {
    struct edge *edge;
    int fd; /* -1: none */
    uv_poll_t *poll;
};

struct edge_helper;
struct edge_remote;
struct edge_sdk_world;
struct edge_world;

/* Of an MPI job whose command starts the ranks itself: launcher/remote.h, edge_rsh.c. */
struct edge_rsh {
    bool is_on;                 /* in the attempt that runs */
    struct edge_remote *remote; /* NULL: nobody can reach this pod */
    struct edge_world *world;   /* edge_world.c; NULL: nobody looks */
    bool has_started;           /* something was run here for another pod */
    bool is_over;               /* the job's command has ended */
    int32_t code;               /* with this code */
    char identity[REMOTE_IDENTITY_MAX + 1];
    char folder[PATH_MAX], shared[PATH_MAX];
    char agent[PATH_MAX], hosts[PATH_MAX], hydra_hosts[PATH_MAX];
    char interface[NCCL_ENV_NAME_MAX + 1];
    char own_path[PATH_MAX];
    char *keeper[4]; /* the command of those pods in which the job's own does not run */
};

/* Of a job with framework mpi. */
struct edge_mpi {
    bool is_on; /* it is one, and the wire-up is chosen */
    enum rendezvous_wireup asked;
    struct mpi_wireup wireup;
    struct mpi_rank *ranks; /* by process */
    uint32_t capacity;
    uv_timer_t abort_timer, look_timer;
    struct edge_helper *helper; /* PMIx's server: edge_helper.h; NULL: another wire-up */
    bool waits;                 /* the attempt's ranks are started when it is ready */
    /* edge_pmi1.c */
    struct pmi1 *pmi1; /* NULL: another wire-up, or no attempt */
    struct pmi1_spread *spread;
    struct edge_pmi1_client clients[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    uint64_t barriers;       /* begun so far */
    uint32_t fetching;       /* puts of other pods that are on their way */
    char barrier_words[128]; /* why the last could not begin; "" */
    struct edge_rsh rsh;
};

struct edge {
    uv_loop_t loop;
    const struct launcher_config *config;
    const struct rank_spawn_saved *saved;
    struct supervisor *supervisor;
    struct channel_client *channel;
    char closed_words[256]; /* for CLOSED, which may have to wait */
    uv_timer_t timers[SUPERVISOR_TIMERS];
    uv_signal_t on_child, on_term, on_int;

    char notices[EDGE_NOTICES_MAX][RENDEZVOUS_REASON_MAX]; /* a ring: words of NOTICED */
    unsigned notices_count;

    /* Events that arose while effects were being done. */
    struct supervisor_event events[EDGE_EVENTS_MAX];
    size_t events_first, events_count;
    bool draining;

    /* edge_ranks.c */
    struct edge_rank *ranks;
    uint32_t ranks_count, ranks_capacity;
    uint64_t spawn_began_ns;
    uint32_t
        spawned_pids[RENDEZVOUS_RANKS_PER_MEMBER_MAX]; /* for SPAWNED, which may have to wait */
    int status_fd; /* read end while ranks are being exec'd, else -1 */
    uv_poll_t *status_poll;
    struct reap reap;
    bool killing;
    uv_timer_t kill_timer;
    uint64_t kill_wait_ms;
    struct cgroup_memory cgroup;
    uint64_t oom_kills;
    struct timespec first_start; /* wall time; 0 before */
    struct port_hold port;
    char launcher_id[65];
    char python_path[PATH_MAX]; /* folder of libmltrain's Python module; "" for none */
    bool told_overrides, told_error_files, helped_nccl;
    char nccl_socket_ifname[NCCL_ENV_NAME_MAX + 1]; /* for the ranks; "" for none */

    /* edge_output.c */
    struct edge_sink sink; /* our standard output, for both streams of all ranks */
    struct edge_stream *streams;
    size_t streams_count;
    bool leaving;
    uv_timer_t leave_timer;
    int exit_code;

    /* edge_watch.c */
    uv_timer_t tick, scan_limit, ready_limit;
    struct progress *progress;
    char *progress_pattern;
    bool scan_valid;
    pid_t scan_pid; /* not 0: a child looks, or has been killed and is not reaped yet */
    uv_poll_t *scan_poll;
    int scan_fd;
    struct checkpoint_answer scan_answer;
    size_t scan_bytes;
    int64_t scan_error; /* errno told last, 0 when it could be read; ETIMEDOUT: did not answer */
    char *scan_told;    /* what was wrong with the specification, told last */
    bool scan_is_fresh, fresh_wanted;
    bool scan_wanted;                /* a rank has told of a checkpoint since the last look began */
    bool ranks_left;                 /* those of the ended attempt: see enum checkpoint_writers */
    struct checkpoint_repair repair; /* of the look that makes it, or is about to */
    bool repair_wanted, scan_repairs;
    unsigned repairs;                       /* since the attempt's ranks ended */
    bool told_marker;                       /* what was told already */
    uint32_t told_formats;                  /* bits 1 << enum tracker_format */
    struct checkpoint_pointer told_pointer; /* last */
    struct checkpoint_memory checkpoint_memory;
    struct checkpoint_report checkpoint_report;

    /* edge_save.c */
    struct sdk_socket *sdk;            /* NULL: could not be made */
    struct edge_sdk_world *sdk_worlds[EDGE_SDK_WORLDS_MAX]; /* edge_sdk.c; NULL: free */
    uint32_t told_count; /* ranks of this pod in this attempt */
    struct edge_told told[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    struct edge_look look;
    uv_prepare_t before_wait;
    int64_t turn_ms;      /* when the loop began to wait last */
    int64_t turn_wait_ms; /* and how long at most it meant to; more: this process was stopped */
    char refusal[128];    /* words for one who may not speak */

    struct edge_mpi mpi; /* edge_mpi.c, edge_pmi1.c */
};

/* edge_uv.c */
void edge_post(struct edge *e, const struct supervisor_event *event);
void edge_log(struct edge *e, const char *format, ...) MLT_PRINTF(2, 3);
/* Does the effects of calls of supervisor_exchange(): after each one, or after several. */
void edge_flush(struct edge *e);
/* Said in our log, and told to the controller, which makes an Event of it. `reason`: CamelCase. */
void edge_notice(struct edge *e, enum rendezvous_severity severity, const char *reason,
                 const char *format, ...) MLT_PRINTF(4, 5);
/* Whether this member tells what is the same in every pod of the gang. */
bool edge_speaks_for_all(const struct edge *e);
int64_t edge_now_ms(const struct edge *e);
/* A poll handle on the heap, freed when it is closed: its descriptor may be closed at once. */
uv_poll_t *edge_poll_new(struct edge *e, int fd, void *data);
void edge_poll_free(uv_poll_t **poll);

/* edge_ranks.c */
int edge_ranks_init(struct edge *e, struct mlt_error *err);
void edge_reserve_ranks(struct edge *e);
void edge_spawn(struct edge *e);
/* What a process of this pod finds in its environment, by what is known now. `pmi_fd`: -1 for none.
 */
struct rank_env_input edge_env_input(const struct edge *e, uint32_t process, int pmi_fd);
/* Starts the ranks that have waited for the server of their wire-up. */
void edge_spawn_ranks(struct edge *e);
/* ... or ends them before they were started, as if by SIGKILL. */
void edge_spawn_none(struct edge *e);
void edge_signal(struct edge *e, int signal);
void edge_kill_all(struct edge *e);
void edge_deliver_exits(struct edge *e);
void edge_clean_up(struct edge *e);

/* edge_sdk.c: what programs exchange by libmltrain */
void edge_sdk_init(struct edge *e);
void edge_sdk_restart(struct edge *e);
/* Notes the world of a rank that mpirun has started. False, with words, when it is none. */
bool edge_sdk_hello(struct edge *e, const struct sdk_message *m, char *words, size_t size);
void edge_sdk_ask(struct edge *e, uint64_t connection, uint64_t world, uint32_t rank,
                  const struct sdk_message *m);
void edge_sdk_gone(struct edge *e, uint64_t connection);
void edge_sdk_exchanged(struct edge *e, const struct exchange_output *out);
/* Local rank `rank` has ended well, and all that it said was read. */
void edge_sdk_left(struct edge *e, uint32_t rank);

/* edge_nccl.c */
/* Looks, once, what of NCCL's surroundings is to be chosen and what is to be said. */
void edge_help_nccl(struct edge *e);

/* edge_output.c */
int edge_output_init(struct edge *e, struct mlt_error *err);
/* Takes over the read end. -errno. */
int edge_output_add(struct edge *e, int fd, int which, uint32_t process, uint64_t attempt);
/* Reads and relays what a dead rank has left in its pipes, as far as the sink takes it. */
void edge_output_drain(struct edge *e, uint32_t process, uint64_t attempt);
/* The streams of former attempts no longer count as output of ranks. */
void edge_output_detach(struct edge *e);
void edge_output_say(struct edge *e, const char *text);
/* Ends the loop when everything is written, or EDGE_LEAVE_MS have passed. */
void edge_output_leave(struct edge *e);

/* edge_save.c */
void edge_save_init(struct edge *e);
/* Another attempt begins: what was told in the last one is forgotten. */
void edge_save_restart(struct edge *e);
/* To the topmost process that catches the signal in the tree of each rank that has no bit in
 * `except` (RENDEZVOUS_RANKS_PER_MEMBER_MAX bits); CAUGHT tells how many ranks got it. */
void edge_signal_catching(struct edge *e, int signal, const uint64_t *except);
/* Looks at what each living rank does, for EDGE_LOOK_MS; then EXAMINED. One look at a time: when
 * two are asked for, one answers both. */
void edge_look(struct edge *e);
/* Hears what ranks have said by libmltrain up to now. */
void edge_hear_ranks(struct edge *e);
/* The answer to a rank that asked by libmltrain whether to save. */
void edge_answer(struct edge *e, uint32_t rank, bool save);

/* edge_mpi.c: nothing of it does anything in a job of another framework. */
void edge_mpi_init(struct edge *e);
/* A WELCOME was obeyed: the wire-up is chosen, once. */
void edge_mpi_welcomed(struct edge *e);
/* Before the ranks of an attempt are started, and when the last of them is gone. */
void edge_mpi_begin(struct edge *e);
void edge_mpi_end(struct edge *e);
/* Before READY: starts the PMIx server of the next attempt, when its ranks will need one. */
void edge_mpi_prepare(struct edge *e, const struct rank_env_input *env);
/* Starts the attempt's PMIx server, when the ranks need one: then they are started when it is there
 * (edge_spawn_ranks()). `env`: of any rank. */
bool edge_mpi_serve(struct edge *e, const struct rank_env_input *env);
/* The attempt is to end: its server does not matter any more, and no rank waits for it. */
void edge_mpi_stop(struct edge *e);
/* What the servers (PMI-1, PMIx) know of a rank; NULL: no rank of an MPI job. */
struct mpi_rank *edge_mpi_rank(struct edge *e, uint32_t process);
/* It has called MPI_Abort: when it does not end by itself, it is killed. */
void edge_mpi_aborted(struct edge *e, uint32_t process, int32_t code, const char *words);
/* What its end means (launcher/mpi_rank.h), if it was not told to stop. */
void edge_mpi_judge(struct edge *e, uint32_t process, struct mpi_rank_end *end);
/* It has ended well: those that wait for it in a barrier or fence are told, or ended. */
void edge_mpi_left(struct edge *e, uint32_t process);

/* A variable as a rank will have it: the container's own, or what the job adds; NULL. */
const char *edge_mpi_value(const struct edge *e, const char *name);

/* Makes the folder DIR/attempts/N/NAME, which goes with the other leftovers of an attempt. -errno.
 */
int edge_mpi_folder(const struct edge *e, const char *name, char *path, size_t size,
                    struct mlt_error *err);
/* Another in memory, where /dev/shm is this pod's and goes with it; else `folder` itself. */
void edge_mpi_shared(const struct edge *e, const char *folder, char shared[PATH_MAX]);

/* edge_rsh.c: nothing of it does anything with another wire-up. */
void edge_rsh_begin(struct edge *e);
void edge_rsh_stop(struct edge *e);
void edge_rsh_end(struct edge *e);
/* What runs in place of the job's command in this pod; NULL: the command itself. */
char *const *edge_rsh_keeper(const struct edge *e);
/* The environment of the job's command here, or of what was asked for by other pods. */
struct rank_env_input edge_rsh_environment(const struct edge *e, enum rank_env_rsh_role role);
/* Is the one that keeps this pod's place to be left alone by this signal? */
bool edge_rsh_spares(struct edge *e, int signal);
/* Ends it when it is time. */
void edge_rsh_check(struct edge *e);
/* What the end of the pod's only process means; false with another wire-up. */
bool edge_rsh_judge(struct edge *e, struct mpi_rank_end *end);
/* A program asks where a pod is: sdk_socket_reply() follows, unless it is gone before. */
void edge_rsh_ask(struct edge *e, uint64_t connection, const char *host);
void edge_rsh_gone(struct edge *e, uint64_t connection);
void edge_rsh_exchanged(struct edge *e, const struct exchange_output *out);

/* edge_world.c: are the ranks that the command has started one MPI world? Nothing of it does
 * anything outside of _begin() and _end(). */
void edge_world_begin(struct edge *e);
void edge_world_end(struct edge *e);
/* The job's command has ended. */
void edge_world_over(struct edge *e);
/* What the end of the pod's only process means; false when this says nothing. */
bool edge_world_judge(struct edge *e, struct mpi_rank_end *end);
/* A command that another pod, or this one, has asked for was started: as a rule a daemon of MPI. */
void edge_world_daemon(struct edge *e);

/* edge_pmi1.c */
void edge_pmi1_begin(struct edge *e);
void edge_pmi1_end(struct edge *e);
/* Reads what a rank that has ended has said before. */
void edge_pmi1_hear(struct edge *e, uint32_t process);
void edge_pmi1_left(struct edge *e, uint32_t process);
/* What has come of its exchange. False: a question that is none. */
bool edge_pmi1_exchanged(struct edge *e, const struct exchange_output *out);
/* Gives the rank's end of a new connection, which the caller closes when it has forked. -errno. */
int edge_pmi1_add(struct edge *e, uint32_t process, int *ret_fd);

/* edge_exchange.c: a result goes to whoever has begun it, a question to whom it is for. */
void edge_exchanged(struct edge *e, const struct exchange_output *out);

/* edge_watch.c */
void edge_watch_init(struct edge *e);
void edge_watch(struct edge *e);
/* Between START and the end of the last rank. */
bool edge_ranks_may_run(const struct edge *e);
void edge_watch_start(struct edge *e);
void edge_watch_stop(struct edge *e);
void edge_watch_line(struct edge *e, const char *text, size_t length);
/* A rank has told its step. */
void edge_watch_told(struct edge *e, int64_t step, int64_t total);
/* A look at the checkpoints that begins from now on. */
void edge_scan_soon(struct edge *e);
void edge_watch_flush(struct edge *e);
void edge_scan_fresh(struct edge *e, bool ranks_left);
/* True when the reaped child was the scan's. */
bool edge_watch_reaped(struct edge *e, pid_t pid);

#endif
