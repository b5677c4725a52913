/* What the files of the supervisor share: its state, and the verbs that the table points to. */
#ifndef LAUNCHER_SUPERVISOR_INTERNAL_H
#define LAUNCHER_SUPERVISOR_INTERNAL_H

#include "launcher/supervisor.h"

/* One rank as the controller counts them. */
struct supervisor_rank {
    uint32_t pid; /* 0: never exec'd */
    bool alive;
    struct rendezvous_exit exit; /* when it has ended */
    char tail[RENDEZVOUS_TAIL_MAX + 1];
    /* libmltrain */
    int64_t step;  /* told last, or RENDEZVOUS_NO_STEP */
    int64_t asked; /* the step at which it asked last and was told to go on, or NO_STEP */
    bool asks;     /* it asks whether to save */
    bool waits;    /* for the answer, at `waits_at` */
    int64_t waits_at;
    bool strayed; /* it did not wait for its last answer: steps since may have gone unasked */
};

/* What must still be done before READY. */
enum supervisor_todo {
    SUPERVISOR_TODO_CLEAN = 1,
    SUPERVISOR_TODO_PORT = 2,
    SUPERVISOR_TODO_SCAN = 4,
};

struct supervisor {
    struct supervisor_identity identity;
    enum supervisor_state state;
    struct member member;
    bool connected;
    int64_t heard_ms;  /* when a controller that leads was heard last */
    int64_t opened_ms; /* when the channel was opened last */
    bool terminating;
    int terminating_signal;
    bool abandoned; /* the job is gone: nobody orders anything any more */
    bool seen;      /* some checkpoint, whole or torn, by this launcher */
    unsigned todo;  /* enum supervisor_todo */
    uint16_t port;  /* held, or 0 */
    struct rendezvous_message welcome_message, start_message; /* type 0 before the first */
    uint64_t frames_broken;
    char refused_words[128]; /* told last, so that each reason is told once */

    /* The attempt that runs or ran last. */
    uint64_t attempt;
    uint32_t ranks_count, processes, alive;
    bool one_process; /* for the ranks of the next attempt */
    int64_t started_ms;
    bool signalled, killed, unkillable, stopped;
    bool fenced; /* killed by its own fence */
    int sent_signal;
    int64_t grace_until_ms; /* 0: no grace runs */
    struct supervisor_rank *ranks;
    uint32_t ranks_capacity;
    int64_t step;

    /* The order to save, see supervisor_save.c. */
    struct {
        int64_t step; /* that is to be saved, or RENDEZVOUS_NO_STEP: none, or it was passed */
        int64_t proposed;
        bool confirmed; /* every member has agreed to it */
        bool signalled; /* ranks that do not ask have had their signal */
        bool answering; /* SAVE_STEP waits for CAUGHT */
        bool owed;      /* SAVE_STEP was not said yet: for that, or for a rank that has strayed */
        uint32_t caught;
        int64_t hold_until_ms; /* those that wait for the confirmation do so until then */
    } save;

    /* The newest report of the checkpoints, owned. */
    struct rendezvous_checkpoint_report checkpoints;
    struct rendezvous_checkpoint checkpoint_array[RENDEZVOUS_CHECKPOINTS_MAX];
    char *checkpoint_paths[RENDEZVOUS_CHECKPOINTS_MAX];

    int exit_code;

    struct exchange *exchange;        /* owned */
    struct exchange_output exchanged; /* what the effect taken last points to */

    struct supervisor_effect effects[SUPERVISOR_EFFECTS_MAX];
    size_t effects_first, effects_count;
    struct supervisor_effect taken;
};

typedef void supervisor_verb(struct supervisor *s, const struct supervisor_event *event);

/* supervisor.c */
struct supervisor_effect *supervisor_emit(struct supervisor *s, enum supervisor_effect_kind kind);
void supervisor_timer(struct supervisor *s, enum supervisor_timer timer, int64_t delay_ms);
void supervisor_log(struct supervisor *s, const char *format, ...) MLT_PRINTF(2, 3);
void supervisor_send(struct supervisor *s, const struct rendezvous_message *message);

/* supervisor_join.c: the channel, and everything before START. */
supervisor_verb supervisor_opened, supervisor_closed, supervisor_reconnect, supervisor_join_timeout;
supervisor_verb supervisor_exchange_time;
supervisor_verb supervisor_welcomed, supervisor_rewelcomed, supervisor_welcomed_running;
supervisor_verb supervisor_cleaned, supervisor_port_held, supervisor_scanned,
    supervisor_scanned_preparing, supervisor_pinged;
void supervisor_prepare(struct supervisor *s);

/* supervisor_run.c: START to the end of the ranks. */
supervisor_verb supervisor_started, supervisor_spawned, supervisor_exited_running,
    supervisor_exited_stopping, supervisor_exited_killing, supervisor_progressed,
    supervisor_noticed;
/* What this launcher has counted since the START that it obeyed last; 0: none. */
uint64_t supervisor_since_start_ms(const struct supervisor *s, int64_t now_ms);

/* supervisor_save.c: CHECKPOINT_NOW, EXAMINE and libmltrain. */
supervisor_verb supervisor_save_ordered, supervisor_caught, supervisor_reported, supervisor_asked,
    supervisor_asked_late, supervisor_unasked, supervisor_hold_over, supervisor_examine,
    supervisor_examined;
void supervisor_forget_save(struct supervisor *s);
/* SAVE_STEP, if it is owed and can be said now. */
void supervisor_answer_owed(struct supervisor *s);

/* supervisor_fence.c: without a controller for too long. */
supervisor_verb supervisor_fence_time, supervisor_silence_time;
/* Ranks run, and the controller has just been heard: from now on it is listened for. */
void supervisor_fence_begin(struct supervisor *s);

/* supervisor_stop.c: STOP, SIGTERM, EXIT and the kill. */
supervisor_verb supervisor_stop, supervisor_stop_sooner, supervisor_stop_again,
    supervisor_grace_over, supervisor_gone, supervisor_gone_leaving, supervisor_kill_timeout,
    supervisor_kill_timeout_leaving, supervisor_ordered_exit, supervisor_refused,
    supervisor_terminate_idle, supervisor_terminate_running, supervisor_terminate_noted,
    supervisor_linger_over, supervisor_alone_time;
/* SIGTERM came and the channel is gone: the next controller has a moment to order the save. */
void supervisor_terminate_wait(struct supervisor *s, int64_t now_ms);
void supervisor_kill(struct supervisor *s);
void supervisor_leave(struct supervisor *s, int code);
void supervisor_send_stopped(struct supervisor *s, int64_t now_ms);

#endif
