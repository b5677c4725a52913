/* Readiness, START, and the adoption of what runs already after a change of leader. */
#include "rendezvous/coordinator_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- ready ---- */

void seat_take_ready(struct coordinator *c, struct seat *s, uint64_t attempt, uint16_t port)
{
    if (attempt == 0 || attempt > COORDINATOR_ATTEMPT_MAX) {
        message_refuse(c, s->channel, "READY of %s %u for an attempt out of range", s->role,
                       s->slot);
        return;
    }
    if (s->terminating)
        return; /* a pod that the kubelet is about to end takes no new attempt */
    if (s->state == SEAT_RUNNING || s->state == SEAT_UNKNOWN || s->state == SEAT_LOST)
        return; /* it crossed our START */
    seat_set_state(c, s, SEAT_READY);
    s->ready_attempt = attempt;
    s->port = port;
    if (attempt > c->next_attempt)
        c->next_attempt = attempt;
}

void gang_check_ready(struct coordinator *c)
{
    if (c->phase != PHASE_GATHERING || c->exiting)
        return;
    if (c->counts[SEAT_READY] < c->seats_count) {
        c->ready_told = false;
        return;
    }
    /* A channel that comes and goes while everybody stays ready is no news. */
    if (c->ready_told || c->connected < c->seats_count)
        return;
    struct output *o = output_add(c, COORDINATOR_GANG_READY);
    if (!o)
        return;
    o->out.attempt = c->next_attempt;
    c->ready_told = true;
}

/* ---- start ---- */

void seat_send_start(struct coordinator *c, struct seat *s)
{
    clock_start(c, s);
    s->repeated = true; /* of this attempt it has said nothing yet that could be lost */
    struct rendezvous_message m = {
        .type = RENDEZVOUS_START, .attempt = c->attempt, .start = c->start};
    m.start.node_rank = seat_index(c, s);
    m.start.rank_base = s->rank_base;
    m.start.role_rank_base = s->role_rank_base;
    m.start.role_world_size = s->role_world_size;
    output_send(c, s->channel, &m);
}

void seat_take_started(struct coordinator *c, struct seat *s, uint64_t start_to_exec_us)
{
    if (s->seen)
        return;
    s->seen = true;
    c->started_count++;
    if (start_to_exec_us > c->start_us)
        c->start_us = start_to_exec_us;
    if (c->started_count < c->seats_count || c->started_told || c->phase != PHASE_STARTED)
        return;
    c->started_told = true;
    struct output *o = output_add(c, COORDINATOR_GANG_STARTED);
    if (o)
        o->out.start_us = c->start_us;
}

/* What an attempt remembers begins anew. */
static void begin_attempt(struct coordinator *c, uint64_t attempt, int64_t now_ms)
{
    c->attempt = attempt;
    c->next_attempt = attempt + 1;
    c->digest = 0;
    c->phase = PHASE_STARTED;
    c->adopted = c->ready_told = c->started_told = c->rank0_done = false;
    c->started_count = c->zero_exits = 0;
    c->start_us = 0;
    c->started_ms = now_ms;
    exchange_forget(c);
    c->requested = c->diverged = c->incomplete = c->ending_saves = false;
    culprit_forget(c);
    c->step = RENDEZVOUS_NO_STEP;
    c->saves_from = 0; /* this and the next were known of the attempt that was adopted */
    c->was_stopping = false;
    stall_forget(c);
    stall_restart(c);
    c->steps_per_kilosecond = 0;
    c->progress_seat = SEAT_NONE;
}

static bool make_start(struct coordinator *c, int64_t resume_step, const char *resume_path)
{
    const struct seat *first = c->seats;
    if (!seat_set_string(c, &c->start_address, text_of(first->address)) ||
        !seat_set_string(c, &c->start_path, text_of(resume_path)))
        return false;
    c->start = (struct rendezvous_start){
        .lease_transitions = c->lease_transitions,
        .nodes = c->seats_count,
        .world_size = c->world_size,
        .master_address = text_of(c->start_address),
        .master_port = first->port,
        .resume_step = resume_step,
        .resume_path = text_of(c->start_path),
    };
    return true;
}

bool coordinator_start(struct coordinator *c, uint64_t attempt, int64_t resume_step,
                       const char *resume_path, int64_t now_ms)
{
    assert(attempt <= COORDINATOR_ATTEMPT_MAX);
    c->now_ms = now_ms;
    if (attempt < c->next_attempt) {
        c->ready_told = false; /* a member has become ready for a later one meanwhile */
        gang_check_ready(c);
        return false;
    }
    if (c->phase != PHASE_GATHERING || c->exiting || c->counts[SEAT_READY] < c->seats_count)
        return false;
    if (!make_start(c, resume_step, resume_path))
        return false;
    begin_attempt(c, attempt, now_ms);
    save_note_start(c, resume_step);
    c->digest = rendezvous_start_digest(attempt, &c->start);
    for (uint32_t i = 0; i < c->seats_count; i++) {
        seat_begin_running(c, &c->seats[i]);
        seat_send_start(c, &c->seats[i]);
    }
    return true;
}

/* ---- adoption ---- */

void gang_check_adopted(struct coordinator *c)
{
    if (c->phase != PHASE_ADOPTING || c->counts[SEAT_UNKNOWN] > 0)
        return;
    c->phase = PHASE_STARTED;
    c->started_told = true; /* by the leader before us */
    stall_restart(c);
    (void)output_add(c, COORDINATOR_ADOPTED);
    for (uint32_t i = 0; i < c->seats_count; i++)
        if (c->seats[i].terminating)
            seat_take_terminating(c, &c->seats[i]);
}

void gang_diverge(struct coordinator *c, const char *words)
{
    if (c->phase != PHASE_ADOPTING)
        return;
    c->diverged = true;
    output_words(c, COORDINATOR_DIVERGED, 0, "%s", words);
    /* Some ranks may be in good health: they get the job's time to save. */
    gang_stop(c, c->stop_grace_ms, c->stop_signal, words);
    gang_check_end(c);
}
