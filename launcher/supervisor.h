/* The launcher's decisions: a table of state x event, without clock, processes or sockets.
 *
 * What happens (a frame, a rank's end, a timer) goes in with supervisor_step(); what must be done
 * comes out of supervisor_next(), one effect at a time. launcher/edge_uv.c does the effects and
 * reports what came of them. Memory for every rank is taken at WELCOME, so that after START nothing
 * here can fail for lack of it but a frame, which the next HELLO repairs. */
#ifndef LAUNCHER_SUPERVISOR_H
#define LAUNCHER_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "launcher/exchange.h"
#include "rendezvous/frame.h"
#include "rendezvous/member.h"
#include "rendezvous/message.h"

#define SUPERVISOR_JOIN_MS                                                            \
    (10 * 60 * 1000)             /* without a channel before the first START: exit 69 \
                                  */
#define SUPERVISOR_KILL_MS 30000 /* after SIGKILL; what is left then is unkillable */
#define SUPERVISOR_LINGER_MS                                            \
    10000 /* after SIGTERM and the last rank, for the controller's EXIT \
           */
#define SUPERVISOR_LINGER_ALONE_MS 1000 /* the same without a channel */
#define SUPERVISOR_EFFECTS_MAX 32       /* of one step */
#define SUPERVISOR_ALONE_MS 5000        /* after SIGTERM, for a next controller's order to save */
/* A controller sends something every COORDINATOR_PING_CHECKS * COORDINATOR_CHECK_MS (6 s). A new
 * one leads at most 20 s after the last word of the one before it, and waits for 30 s. */
#define SUPERVISOR_SILENCE_MS 15000
#define SUPERVISOR_HOLD_MS 5000 /* ranks wait no longer for a save to be confirmed */
#define SUPERVISOR_PATIENCE_MS \
    9000 /* a rank waits so long for its answer: MLTRAIN_ASK_MS, less 1 s */
#define SUPERVISOR_RANK_WORDS (RENDEZVOUS_RANKS_PER_MEMBER_MAX / 64)
#define SUPERVISOR_WORDS_MAX 512 /* bytes of a log effect */

/* The launcher's own exit codes (design section 5); others come with EXIT. */
enum supervisor_exit {
    SUPERVISOR_EXIT_BAD_SPEC = 64,
    SUPERVISOR_EXIT_NO_CHANNEL = 69,
    SUPERVISOR_EXIT_TERMINATED = 128 + 15,
};

/* XX(NAME, words) */
#define SUPERVISOR_STATE_MAP(XX)                                                              \
    XX(JOINING, "joining")     /* no WELCOME yet */                                           \
    XX(PREPARING, "preparing") /* cleaning up, taking a port, looking for checkpoints */      \
    XX(READY, "ready")         /* READY was said; waits for START */                          \
    XX(STARTING, "starting")   /* ranks forked, not all of them known to be exec'd */         \
    XX(RUNNING, "running")                                                                    \
    XX(STOPPING, "stopping") /* ranks have been signalled and may still save */               \
    XX(KILLING, "killing")   /* SIGKILL sent to every descendant, until none is left */       \
    XX(STUCK, "stuck")       /* some process survives SIGKILL; only EXIT leads on */          \
    XX(ENDING, "ending")     /* the kubelet ends this pod and no rank runs; waits for EXIT */ \
    XX(LEAVING, "leaving")   /* the exit code is known; the last processes are killed */

enum supervisor_state {
#define XX(name, words) SUPERVISOR_##name,
    SUPERVISOR_STATE_MAP(XX)
#undef XX
        SUPERVISOR_STATES
};

/* The first eight come out of a FRAME; the owner sends the others. XX(NAME) */
#define SUPERVISOR_EVENT_MAP(XX)                                                              \
    XX(WELCOME)                                                                               \
    XX(START)                                                                                 \
    XX(STOP)                                                                                  \
    XX(EXIT)                                                                                  \
    XX(REFUSED)                                                                               \
    XX(PING)                                                                                  \
    XX(CHECKPOINT_NOW)                                                                        \
    XX(EXAMINE)                                                                               \
    XX(OPENED)      /* the channel is open */                                                 \
    XX(CLOSED)      /* the channel is closed, or could not be opened; `words` */              \
    XX(SPAWNED)     /* every rank was exec'd or could not be; `spawned` */                    \
    XX(RANK_EXITED) /* `rank_exited` */                                                       \
    XX(GONE)        /* after KILL_ALL: no descendant is left */                               \
    XX(CLEANED)     /* after CLEAN_UP */                                                      \
    XX(PORT_HELD)   /* after HOLD_PORT; `port`, 0 when none could be had */                   \
    XX(SCANNED)     /* what a scan found; `scanned` */                                        \
    XX(PROGRESSED)  /* `progress` */                                                          \
    XX(NOTICED)     /* something that people should know; `noticed` */                        \
    XX(REPORTED)    /* a rank has told its step by libmltrain; `asked` */                     \
    XX(ASKED)       /* a rank asks whether to save; `asked`; ANSWER follows, perhaps later */ \
    XX(UNASKED)     /* the rank that asked is gone; `asked.rank` */                           \
    XX(CAUGHT)      /* after SIGNAL_CATCHING: so many ranks have got it; `caught` */          \
    XX(EXAMINED)    /* after LOOK; `examined` */                                              \
    XX(TERMINATE)   /* SIGTERM to the launcher; `signal` */                                   \
    XX(RECONNECT_TIME)                                                                        \
    XX(JOIN_TIME)                                                                             \
    XX(GRACE_TIME)                                                                            \
    XX(KILL_TIME)                                                                             \
    XX(ALONE_TIME)                                                                            \
    XX(HOLD_TIME)                                                                             \
    XX(LINGER_TIME)                                                                           \
    XX(FENCE_TIME)                                                                            \
    XX(EXCHANGE_TIME)                                                                         \
    XX(SILENCE_TIME)

enum supervisor_event_kind {
#define XX(name) SUPERVISOR_ON_##name,
    SUPERVISOR_EVENT_MAP(XX)
#undef XX
        SUPERVISOR_EVENTS
};

#define SUPERVISOR_TIMER_MAP(XX)                                                       \
    XX(RECONNECT)                                                                      \
    XX(JOIN)                                                                           \
    XX(GRACE)                                                                          \
    XX(KILL)                                                                           \
    XX(HOLD) /* ranks wait for a save to be confirmed */                               \
    XX(LINGER)                                                                         \
    XX(EXCHANGE) /* somebody's time in launcher/exchange.h is over */                  \
    XX(ALONE)    /* SIGTERM came, and no channel brings the order to save */           \
    XX(FENCE)    /* nothing is heard of a controller, and the ranks must not run on */ \
    XX(SILENCE)  /* nothing is heard on a channel that seems to stand */

enum supervisor_timer {
#define XX(name) SUPERVISOR_TIMER_##name,
    SUPERVISOR_TIMER_MAP(XX)
#undef XX
        SUPERVISOR_TIMERS
};

struct supervisor_event {
    enum supervisor_event_kind kind;
    int64_t now_ms; /* monotonic */
    union {
        const struct rendezvous_message *message; /* of the first six; made by supervisor_frame() */
        const char *words;
        int signal;
        uint16_t port;
        struct {
            const uint32_t *pids; /* by process; 0 where exec failed */
            uint32_t count;
            uint64_t start_to_exec_us;
        } spawned;
        struct {
            uint32_t process; /* local rank; 0 in a pod that runs one torchrun for all ranks */
            int32_t code, signal;
            int32_t exec_errno; /* not 0: exec failed so */
            bool out_of_memory; /* the cgroup counted a kill since the last look */
            const char *tail;   /* last output; copied */
        } rank_exited;
        struct {
            const struct rendezvous_checkpoint_report *report; /* copied */
            bool fresh; /* began after the SCAN effect that asked for it */
        } scanned;
        struct rendezvous_progress progress;
        struct rendezvous_notice noticed; /* copied into the effects of this step */
        struct {
            uint32_t rank;  /* local */
            int64_t step;   /* 0 or more */
            int64_t age_ms; /* ASKED: for so long it may have lain unread, at most */
        } asked;
        uint32_t caught;
        struct rendezvous_evidence_report examined; /* copied into the effects of this step */
    };
};

/* XX(NAME) */
#define SUPERVISOR_EFFECT_MAP(XX)                                                               \
    XX(CONNECT)                                                                                 \
    XX(DISCONNECT)                                                                              \
    XX(SEND)      /* `bytes`, `length` */                                                       \
    XX(TIMER)     /* start `timer` anew with `delay_ms`; negative: stop it */                   \
    XX(WATCH)     /* a WELCOME was obeyed: patterns and folders to watch may have changed */    \
    XX(CLEAN_UP)  /* remove the last attempt's leftovers, then CLEANED */                       \
    XX(HOLD_PORT) /* take another port, then PORT_HELD */                                       \
    XX(RELEASE_PORT)                                                                            \
    XX(SCAN)            /* look at the checkpoints afresh, then SCANNED */                      \
    XX(SPAWN)           /* start the processes of supervisor_start() */                         \
    XX(SIGNAL)          /* `signal` to the process group of every rank */                       \
    XX(SIGNAL_CATCHING) /* `signal` to the topmost process that catches it in the tree of every \
                           rank that is not in `ranks`; then CAUGHT */                          \
    XX(LOOK)            /* what does each rank do? then EXAMINED */                             \
    XX(ANSWER)          /* to `ranks`, which asked: `save` or not */                            \
    XX(KILL_ALL)        /* SIGKILL to every descendant until none is left, then GONE */         \
    XX(EXCHANGED) /* `exchanged`: a result for, or a question to, one who uses the exchange */  \
    XX(LOG)       /* `words` */                                                                 \
    XX(LEAVE)     /* exit with `code` */

enum supervisor_effect_kind {
#define XX(name) SUPERVISOR_DO_##name,
    SUPERVISOR_EFFECT_MAP(XX)
#undef XX
};

struct supervisor_effect {
    enum supervisor_effect_kind kind;
    enum supervisor_timer timer;
    int64_t delay_ms;
    int signal, code;
    bool save;
    uint64_t ranks[SUPERVISOR_RANK_WORDS]; /* a bit for each local rank */
    bool ranks_left; /* SCAN: all ranks of the ended attempt exited with code 0 */
    char *bytes;     /* owned by the supervisor until the next call */
    const struct exchange_output *exchanged; /* DONE or QUESTION; owned in the same way */
    size_t length;
    char words[SUPERVISOR_WORDS_MAX];
};

/* Who this launcher is: copied into each HELLO, never changed. Strings belong to the caller. */
struct supervisor_identity {
    const char *pod_uid, *role, *node, *address, *version;
    uint32_t slot;
    bool once_per_pod; /* the command is torchrun or the like: one process for all ranks */
    uint64_t seed;     /* for the delays between attempts to connect */
};

struct supervisor;

/* NULL when memory is exhausted. The first effects (CONNECT) are ready to be taken. */
struct supervisor *supervisor_new(const struct supervisor_identity *identity);
void supervisor_free(struct supervisor *s);

/* A frame from the controller: decoded, judged (rendezvous/member.h) and turned into an event. A
 * frame that cannot be decoded is refused and counted. */
void supervisor_frame(struct supervisor *s, const struct rendezvous_frame *frame, int64_t now_ms);

/* What this pod says to others of its gang: never NULL. Its users call it at any time; what comes
 * of it is taken out by supervisor_next() as well, after the effects of a step, so that whoever has
 * called it outside of one takes effects out next. An attempt that is killed or over ends what is
 * open. */
struct exchange *supervisor_exchange(struct supervisor *s);

/* Any other event. Effects of the former step must have been taken out (asserted). */
void supervisor_step(struct supervisor *s, const struct supervisor_event *event);

/* The next effect; false when there is none. */
bool supervisor_next(struct supervisor *s, struct supervisor_effect *ret);

enum supervisor_state supervisor_state(const struct supervisor *s);
const char *supervisor_state_words(enum supervisor_state state);
uint64_t supervisor_attempt(const struct supervisor *s); /* that runs or ran last; 0 before */
uint64_t supervisor_refusals(const struct supervisor *s);
/* The last WELCOME and START obeyed; NULL before. Valid until the next frame. */
const struct rendezvous_welcome *supervisor_welcome(const struct supervisor *s);
const struct rendezvous_start *supervisor_start(const struct supervisor *s);
/* Whether from the next START on one process stands for all ranks of this pod, whatever the
 * command is: it starts them itself, as mpirun does. */
void supervisor_one_process(struct supervisor *s, bool one);
/* Processes that a SPAWN starts: one a rank, or one in all for torchrun and the like. */
uint32_t supervisor_processes(const struct supervisor *s);

/* Asserts what must hold between steps. */
void supervisor_check(const struct supervisor *s);

#endif
