/* What the coordinator_*.c files share. Private to rendezvous/.
 *
 * A seat is one member's place: its rank never changes, the pod in it may. What a seat does is
 * seat_state; whether its channel is open is another matter (`channel`), because ranks run on
 * without it. The attempt's own life is `phase`:
 *
 *     GATHERING --start--> STARTED --failure, stop--> STOPPING --all stopped or lost: VERDICT-->
 * GATHERING ADOPTING --all report the same START--> STARTED        (else DIVERGED --> STOPPING)
 *     STARTED --success policy--> COMPLETED                  (final) */
#ifndef RENDEZVOUS_COORDINATOR_INTERNAL_H
#define RENDEZVOUS_COORDINATOR_INTERNAL_H

#include "rendezvous/coordinator.h"
#include "rendezvous/frame_bytes.h"

#define SEAT_STATE_MAP(XX)                                                        \
    XX(AWAY)    /* its pod has not said HELLO, or it has none */                  \
    XX(UNKNOWN) /* adoption: it may be running, it has not said HELLO yet */      \
    XX(JOINED)  /* welcomed, not ready */                                         \
    XX(READY)                                                                     \
    XX(RUNNING) /* START of c->attempt was sent to it, or it says that it runs */ \
    XX(STOPPED) /* everything of c->attempt is reaped, not ready again yet */     \
    XX(LOST)    /* its pod is gone */

enum seat_state {
#define XX(name) SEAT_##name,
    SEAT_STATE_MAP(XX)
#undef XX
        SEAT_STATES
};

enum phase { PHASE_GATHERING, PHASE_ADOPTING, PHASE_STARTED, PHASE_STOPPING, PHASE_COMPLETED };

#define SEAT_NONE UINT32_MAX
#define EXITED_WORDS (RENDEZVOUS_RANKS_PER_MEMBER_MAX / 64)

/* Between which bounds START reached a launcher, in ms since c->started_ms: coordinator_clock.c. */
struct seat_clock {
    int64_t from_ms, until_ms;
    int64_t from_heard_ms, until_heard_ms; /* when we learnt them */
    bool told;                             /* how far it has counted, at least once */
    bool mute; /* its PONG says nothing of it: an earlier release, or no START yet */
};

struct seat {
    char *role; /* owned; members of a role stand together */
    uint32_t role_order, slot, nproc;
    uint32_t rank_base, role_rank_base, role_world_size;
    uint32_t role_end; /* index behind the last seat of its role */
    enum seat_state state;
    bool terminating;    /* the kubelet has sent SIGTERM: it will not be ready again */
    bool seen;           /* it is known to have started c->attempt */
    bool takes_orders;   /* its launcher knows CHECKPOINT_NOW and EXAMINE */
    bool takes_exchange; /* ... and GET, VALUE and GATHERED */
    bool repeated;       /* what it says again of the exchange with a WELCOME has come */
    struct seat_clock clock;
    struct failure *failure; /* owned: of its failures the one that explains most, or NULL */
    uint64_t channel;        /* 0: none */
    uint64_t newest_channel; /* a HELLO that was read late must not pass for news */
    uint64_t ready_attempt;
    uint16_t port;
    char *pod_uid, *node, *address; /* owned, NULL for "" */
    char *former_uid;               /* owned: the pod that it had before, NULL: none known */
    uint32_t exited, zero;          /* ranks of c->attempt that ended; that ended with code 0 */
    uint64_t exited_bits[EXITED_WORDS];
    /* Its answer to the CHECKPOINT_NOW under way. */
    int64_t agreed_step; /* or RENDEZVOUS_NO_STEP */
    uint32_t asking, caught;
    /* Its answer to the EXAMINE under way. */
    bool examined;
    struct rendezvous_message *evidence; /* owned; NULL: none */
    /* Connected seats stand in a list by the time of their next check. */
    int64_t check_ms;
    uint32_t before, after;
    bool heard;            /* since the last check */
    bool suspect;          /* SUSPECT was told; counted in `suspects` */
    unsigned silent;       /* checks in a row without a word */
    unsigned unpinged;     /* checks in a row without a PING */
    int64_t heard_ms;      /* INT64_MIN: never */
    bool challenged;       /* pinged because of a HELLO on another channel, and not heard since */
    int64_t challenged_ms; /* then: when */
};

/* Classes of failures by precedence (design section 6, trigger and verdict). */
enum failure_class {
    FAILURE_NONE,
    FAILURE_STOPPED_ALONE, /* ranks stopped by their own launcher, nobody told it to */
    FAILURE_EXIT,
    FAILURE_HUNG,
    FAILURE_SIGNAL,
    FAILURE_OUT_OF_MEMORY,
    FAILURE_LOST,
};

struct failure {
    enum failure_class class;
    bool infrastructure;
    uint32_t seat;
    int64_t rank;
    int32_t code, signal;
    uint32_t cause;
    bool by_launcher;  /* after_ms is as its launcher has counted, else as we have */
    uint64_t after_ms; /* since START */
    char node[RENDEZVOUS_NAME_MAX + 1];
    char words[RENDEZVOUS_REASON_MAX];
    char tail[RENDEZVOUS_TAIL_MAX + 1]; /* the last member: coordinator_culprit.c */
};

struct output {
    struct coordinator_output out;
    char *bytes, *words;            /* owned, NULL for none */
    struct rendezvous_message held; /* owned: what out.checkpoints points into */
    /* Of a SEND to many: the channels, owned, how many of them have been told, and the frame. */
    uint64_t *to;
    uint32_t to_count, to_at;
    struct frame_bytes *shared;
    struct output *next;
};

struct channel_slot {
    uint64_t channel; /* 0: free */
    uint32_t seat;
};

/* Of checkpoints. */
struct steps {
    int64_t step[RENDEZVOUS_CHECKPOINTS_MAX];
    uint32_t count;
};

struct coordinator {
    char *job;
    uint64_t lease_transitions;
    int64_t now_ms, adopt_until_ms;      /* now: the latest that was told */
    uint32_t stop_grace_ms, stop_signal; /* of requested stops */
    bool rank0_decides, has_checkpoints, was_stopping;
    int64_t stall_ms, startup_ms; /* 0: for ever */
    bool failed;                  /* memory ran out for something that must not be lost */

    struct seat *seats; /* sorted by (role_order, role, slot) */
    uint32_t seats_count, world_size;
    uint32_t counts[SEAT_STATES];
    uint32_t connected, suspects, alive_ranks;

    struct channel_slot *channels; /* open addressing, a power of two of at least twice the seats */
    uint32_t channels_mask;
    uint32_t check_first, check_last; /* connected seats, the next one to check first */

    struct rendezvous_message welcome; /* a copy of the owner's; type 0 before it was set */

    enum phase phase;
    uint64_t attempt, next_attempt;
    uint64_t digest; /* 0: not known yet */
    bool adopted;    /* the attempt was begun under another leader */
    bool ready_told, started_told;
    bool rank0_done; /* rank 0 ended with code 0 */
    uint32_t started_count, zero_exits;
    uint64_t start_us;
    int64_t started_ms;
    struct rendezvous_start start; /* the part that all members share; strings are owned */
    char *start_address, *start_path;

    bool requested, diverged;
    bool incomplete;   /* a member never got the START of the attempt that was to be adopted */
    bool ending_saves; /* a pod's end was the trigger: that pod's ranks keep the job's grace */
    uint32_t order_grace_ms, order_signal; /* of the STOP that was sent */
    char *order_reason;                    /* owned, NULL for "" */
    enum failure_class worst;              /* class of the best explanation so far */
    int64_t first_until_ms;                /* the first failure of this class was not later */

    bool exiting;
    int32_t exit_code;
    char *exit_reason; /* owned, NULL for "" */

    struct {
        bool active;    /* STOPPING, and the ranks still have time to save */
        bool confirmed; /* all members agreed to `step` */
        bool told;      /* a rank has got the signal, or was told to save */
        bool torn;      /* a member was lost before all had agreed: nothing is confirmed any more */
        unsigned rounds; /* of proposals */
        int64_t step;    /* proposed */
        /* When the order came: the checkpoints that were complete, and still are; and the newest of
         * them that the job would have resumed from, or RENDEZVOUS_NO_STEP. */
        struct steps before;
        int64_t newest_before;
        int64_t deadline_ms;
    } save;
    int64_t saves_from;       /* of the attempt that was adopted, as the owner has it */
    struct steps complete;    /* checkpoints, as last told, newest first */
    struct steps passed_over; /* those that were newer than what the START resumes from */
    int64_t step_ms;          /* when the attempt started, was adopted, or made its last step */
    bool examining;
    int64_t examine_until_ms;

    int64_t step, total_steps;
    uint64_t steps_per_kilosecond;
    uint32_t progress_seat;

    struct collective *collective; /* owned: coordinator_exchange.c; NULL: nothing was exchanged */
    struct collective_budget *exchange_budget;

    uint64_t refusals;
    struct output *outputs, *outputs_last; /* owned: a queue */
    struct output *given;                  /* owned: what the last _next gave out; NULL: nothing */
};

/* coordinator.c */
void seat_set_state(struct coordinator *c, struct seat *s, enum seat_state state);
struct seat *seat_find(const struct coordinator *c, const char *role, uint32_t slot);
static inline uint32_t seat_index(const struct coordinator *c, const struct seat *s)
{
    return (uint32_t)(s - c->seats);
}
void seat_forget_evidence(struct seat *s);
bool seat_set_string(struct coordinator *c, char **to, const char *text);
/* The beginning of words for people, as much as a message takes. */
void reason_set(struct coordinator *c, char **to, const char *text);
static inline const char *text_of(const char *text)
{
    return text ? text : "";
}

/* coordinator_output.c: each adds one output; NULL when the queue cannot grow (c->failed is set).
 */
struct output *output_add(struct coordinator *c, enum coordinator_output_kind kind);
void output_member(struct coordinator *c, enum coordinator_output_kind kind, const struct seat *s);
void output_words(struct coordinator *c, enum coordinator_output_kind kind, uint64_t channel,
                  const char *format, ...) MLT_PRINTF(4, 5);
void output_send(struct coordinator *c, uint64_t channel, const struct rendezvous_message *message);
/* One frame on many channels; takes over `channels`, and a reference to the frame. */
void output_send_all(struct coordinator *c, uint64_t *channels, uint32_t count,
                     struct frame_bytes *frame);
void output_free(struct output *o); /* NULL is fine */

/* coordinator_channel.c */
struct seat *channel_seat(const struct coordinator *c, uint64_t channel);
void channel_bind(struct coordinator *c, struct seat *s, uint64_t channel, int64_t now_ms);
void channel_unbind(struct coordinator *c, struct seat *s);
/* Tells the peer that its pod is not the gang's any more, and closes. */
void channel_dismiss(struct coordinator *c, struct seat *s, const char *words);
void channel_heard(struct coordinator *c, struct seat *s, int64_t now_ms);
void channel_ping(struct coordinator *c, const struct seat *s);
/* Tells the peer why and closes; counted. */
void channel_refuse(struct coordinator *c, uint64_t channel, bool final, const char *format, ...)
    MLT_PRINTF(4, 5);
/* Counts a message that is not obeyed; the channel stays. */
void message_refuse(struct coordinator *c, uint64_t channel, const char *format, ...)
    MLT_PRINTF(3, 4);

/* coordinator_hello.c */
void hello_handle(struct coordinator *c, uint64_t channel, struct rendezvous_message *m,
                  int64_t now_ms);

/* coordinator_clock.c: when a launcher began to count, and with that, when its ranks ended. */
#define COORDINATOR_LATE_MS 20 /* bounds that lie further apart are asked for anew */
void clock_forget(struct seat *s);
void clock_start(const struct coordinator *c, struct seat *s); /* START is being sent to it */
/* What we have just heard: STARTED, another message that tells the clock (0: it does not), PONG,
 * an end. */
void clock_started(const struct coordinator *c, struct seat *s, uint64_t start_to_exec_us);
void clock_told(const struct coordinator *c, struct seat *s, uint64_t since_start_ms);
void clock_answered(const struct coordinator *c, struct seat *s,
                    const struct rendezvous_pong *pong);
void clock_ended(const struct coordinator *c, struct seat *s, uint64_t after_ms);
bool clock_is_doubtful(const struct coordinator *c, const struct seat *s); /* a PING would tell */
void clock_ask(struct coordinator *c, const struct seat *s);               /* by a PING, if so */
/* In ms since c->started_ms, which is our START or the adoption. */
struct period {
    int64_t from_ms, until_ms;
};
struct period clock_bounds(const struct coordinator *c, const struct seat *s, uint64_t after_ms);
/* The same; but of an earlier release's launcher, which tells STARTED alone, as if that had come
 * straight: it tells more often that START was late than it is late itself. */
struct period clock_guess(const struct coordinator *c, const struct seat *s, uint64_t after_ms);

/* coordinator_exchange.c */
void exchange_take(struct coordinator *c, struct seat *s, const struct rendezvous_message *m);
void exchange_joined(struct coordinator *c, const struct seat *s); /* on a new channel */
/* A PONG: what its launcher said before it has come as well. */
void exchange_ponged(struct coordinator *c, struct seat *s);
/* Its ranks may all have ended: what it will not come to any more fails as soon as it is known. */
void exchange_check_ended(struct coordinator *c, const struct seat *s);
/* Its launcher has reported that all is over, or is lost. */
void exchange_gone(struct coordinator *c, const struct seat *s);
void exchange_forget(struct coordinator *c); /* the attempt is over */

/* coordinator_culprit.c */
/* `f` may be what ended the attempt; copied. */
void culprit_note(struct coordinator *c, const struct failure *f);
/* The best explanation of all that was noted; NULL: none was. Valid until culprit_forget(). */
const struct failure *culprit_choose(const struct coordinator *c);
void culprit_forget(struct coordinator *c);

/* coordinator_start.c */
void seat_take_ready(struct coordinator *c, struct seat *s, uint64_t attempt, uint16_t port);
void seat_take_started(struct coordinator *c, struct seat *s, uint64_t start_to_exec_us);
void seat_send_start(struct coordinator *c, struct seat *s);
void gang_check_ready(struct coordinator *c);
void gang_diverge(struct coordinator *c, const char *words);
void gang_check_adopted(struct coordinator *c);

/* coordinator_verdict.c */
void seat_take_exit(struct coordinator *c, struct seat *s, const struct rendezvous_exit *e);
void seat_take_stopped(struct coordinator *c, struct seat *s);
void seat_take_lost(struct coordinator *c, struct seat *s, const struct coordinator_loss *loss,
                    int64_t now_ms);
void seat_take_launcher_lost(struct coordinator *c, struct seat *s, int64_t now_ms);
/* The kubelet ends its pod, and it comes back without ever having got the START: nobody's fault. */
void seat_take_never_started(struct coordinator *c, struct seat *s, int64_t now_ms);
/* Ends RUNNING: what is left of its ranks is gone. */
void seat_end_running(struct coordinator *c, struct seat *s, enum seat_state state);
void seat_begin_running(struct coordinator *c, struct seat *s);
void seat_send_stop(struct coordinator *c, const struct seat *s, uint64_t attempt);
void gang_stop(struct coordinator *c, uint32_t grace_ms, uint32_t signal, const char *reason);
/* Members that may still be at work for c->attempt. */
uint32_t gang_at_work(const struct coordinator *c);
/* COMPLETED or VERDICT, when it is time. */
void gang_check_end(struct coordinator *c);

/* coordinator_verdict.c: EXIT to one seat. */
void seat_send_exit(struct coordinator *c, const struct seat *s);

/* coordinator_save.c: the time to save before a requested stop. */
/* STOPPING begins; STOP follows by itself when the time is over. */
void save_begin(struct coordinator *c, uint32_t grace_ms, const char *reason, int64_t now_ms);
/* CHECKPOINT_NOW to one seat. */
void save_send(struct coordinator *c, const struct seat *s);
void save_take_answer(struct coordinator *c, struct seat *s,
                      const struct rendezvous_save_step *answer);
/* A rank has ended, and not well; `by_us`: as ranks do that are told to; `words` say how. */
void save_note_failure(struct coordinator *c, bool by_us, const char *words);
/* A member is lost that had ranks at work, or may have had. */
void save_note_loss(struct coordinator *c);
/* Ends the waiting when there is nothing to wait for any more. */
void save_check(struct coordinator *c);
void save_note_checkpoints(struct coordinator *c, const struct rendezvous_checkpoint *checkpoints,
                           uint32_t count);
void save_note_start(struct coordinator *c, int64_t resume_step);

/* coordinator_stall.c */
int64_t stall_wake_ms(const struct coordinator *c);
void stall_check(struct coordinator *c);
void stall_take_evidence(struct coordinator *c, struct seat *s, struct rendezvous_message *m);
/* A step, or a reason to count anew. */
void stall_restart(struct coordinator *c);
/* The same, if it is this member that tells the steps: its channel has closed, is silent, or is
 * heard again, and what it did meanwhile is not known. */
void stall_restart_if_it_tells(struct coordinator *c, const struct seat *s);
void stall_forget(struct coordinator *c);

/* coordinator_verdict.c: a failure that no member has told; the ranks get `signal` first. */
void gang_take_hung(struct coordinator *c, const struct failure *f, uint32_t grace_ms,
                    uint32_t signal);
void gang_send_stops(struct coordinator *c);
/* The kubelet ends this member's pod: all save, then the attempt ends. */
void seat_take_terminating(struct coordinator *c, struct seat *s);
void gang_set_order(struct coordinator *c, uint32_t grace_ms, uint32_t signal, const char *reason);

/* coordinator_words.c */
void failure_words(const struct coordinator *c, struct failure *f, const char *lost_words);

#endif
