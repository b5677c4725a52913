/* Messages from members: decoded, fenced by their attempt, and handed to what they mean. */
#include "rendezvous/coordinator_internal.h"

#include <inttypes.h>
#include <string.h>

static void take_started(struct coordinator *c, struct seat *s, uint64_t start_to_exec_us)
{
    if (s->state != SEAT_RUNNING || s->seen)
        return;
    clock_started(c, s, start_to_exec_us);
    clock_ask(c, s); /* was START late on its way, or STARTED? */
    seat_take_started(c, s, start_to_exec_us);
}

static void take_progress(struct coordinator *c, const struct seat *s,
                          const struct rendezvous_progress *p)
{
    /* Every member counts the same steps; the one that is ahead speaks for all. */
    if (p->step < c->step || (p->step == c->step && c->progress_seat != seat_index(c, s)))
        return;
    if (p->step > c->step)
        stall_restart(c);
    c->step = p->step;
    c->total_steps = p->total_steps;
    c->steps_per_kilosecond = p->steps_per_kilosecond;
    c->progress_seat = seat_index(c, s);
    struct output *o = output_add(c, COORDINATOR_PROGRESS);
    if (!o)
        return;
    o->out.step = p->step;
    o->out.total_steps = p->total_steps;
    o->out.steps_per_kilosecond = p->steps_per_kilosecond;
}

static void take_checkpoints(struct coordinator *c, struct rendezvous_message *m)
{
    save_note_checkpoints(c, m->checkpoint.checkpoints, m->checkpoint.checkpoints_count);
    struct output *o = output_add(c, COORDINATOR_CHECKPOINT);
    if (!o)
        return;
    o->out.checkpoints = m->checkpoint.checkpoints;
    o->out.checkpoints_count = m->checkpoint.checkpoints_count;
    o->out.torn_step = m->checkpoint.torn_step;
    o->held = *m;
    *m = (struct rendezvous_message){0};
}

static void take_stopped(struct coordinator *c, struct seat *s,
                         const struct rendezvous_stopped *stopped)
{
    bool was_running = s->state == SEAT_RUNNING;
    clock_told(c, s, stopped->since_start_ms);
    for (uint32_t i = 0; i < stopped->exits_count; i++)
        seat_take_exit(c, s, &stopped->exits[i]);
    seat_take_stopped(c, s);
    if (stopped->unkillable && was_running)
        output_member(c, COORDINATOR_UNKILLABLE, s);
}

static void take_terminating(struct coordinator *c, struct seat *s)
{
    if (s->terminating)
        return;
    s->terminating = true;
    output_member(c, COORDINATOR_TERMINATING, s);
    if (s->state ==
        SEAT_READY) /* the next attempt must not be started on a pod that is being ended */
        seat_set_state(c, s, SEAT_JOINED);
    seat_take_terminating(c, s);
}

/* The reason becomes an Event's, which is a word; the words may be anything that people read. */
static void take_notice(struct coordinator *c, const struct seat *s, struct rendezvous_message *m)
{
    if (!rendezvous_is_reason(m->notice.reason)) {
        message_refuse(c, s->channel, "NOTICE of %s %u: a CamelCase word as reason expected",
                       s->role, s->slot);
        return;
    }
    struct output *o = output_add(c, COORDINATOR_NOTICE);
    if (!o)
        return;
    o->out.role = s->role;
    o->out.slot = s->slot;
    o->out.severity = (enum rendezvous_severity)m->notice.severity;
    o->out.reason = m->notice.reason;
    o->words = strdup(m->notice.words); /* NULL: the fact matters more than its words */
    o->held = *m;
    *m = (struct rendezvous_message){0};
}

/* Messages that belong to the attempt under way; from another attempt they are refused. */
static bool is_fenced(enum rendezvous_type type)
{
    return type == RENDEZVOUS_STARTED || type == RENDEZVOUS_RANK_EXIT ||
           type == RENDEZVOUS_STOPPED || type == RENDEZVOUS_PROGRESS ||
           type == RENDEZVOUS_SAVE_STEP || type == RENDEZVOUS_EVIDENCE || type == RENDEZVOUS_PUT ||
           type == RENDEZVOUS_GET || type == RENDEZVOUS_GATHER || type == RENDEZVOUS_VALUE;
}

static void dispatch(struct coordinator *c, struct seat *s, struct rendezvous_message *m)
{
    if (is_fenced(m->type) && (m->attempt != c->attempt || m->attempt == 0)) {
        message_refuse(
            c, s->channel, "%s of %s %u for attempt %" PRIu64 ", the attempt is %" PRIu64,
            rendezvous_type_name((uint8_t)m->type), s->role, s->slot, m->attempt, c->attempt);
        return;
    }
    switch (m->type) {
    case RENDEZVOUS_READY:
        if (s->state == SEAT_RUNNING && m->attempt > c->attempt)
            seat_take_stopped(c, s); /* it says no more of the attempt, so it is over there */
        seat_take_ready(c, s, m->attempt, m->ready.port);
        break;
    case RENDEZVOUS_STARTED:
        take_started(c, s, m->started.start_to_exec_us);
        break;
    case RENDEZVOUS_RANK_EXIT:
        seat_take_exit(c, s, &m->rank_exit.exit);
        exchange_check_ended(c, s);
        break;
    case RENDEZVOUS_STOPPED:
        take_stopped(c, s, &m->stopped);
        break;
    case RENDEZVOUS_TERMINATING:
        take_terminating(c, s);
        break;
    case RENDEZVOUS_PROGRESS:
        take_progress(c, s, &m->progress);
        break;
    case RENDEZVOUS_CHECKPOINT:
        take_checkpoints(c, m);
        break;
    case RENDEZVOUS_NOTICE:
        take_notice(c, s, m);
        break;
    case RENDEZVOUS_SAVE_STEP:
        save_take_answer(c, s, &m->save_step);
        break;
    case RENDEZVOUS_EVIDENCE:
        stall_take_evidence(c, s, m);
        break;
    case RENDEZVOUS_PUT:
    case RENDEZVOUS_GET:
    case RENDEZVOUS_GATHER:
    case RENDEZVOUS_VALUE:
        exchange_take(c, s, m);
        break;
    case RENDEZVOUS_PONG:
        if (m->attempt == c->attempt)
            clock_answered(c, s, &m->pong);
        exchange_ponged(c, s);
        break;
    default:
        break;
    }
}

void coordinator_frame(struct coordinator *c, uint64_t channel,
                       const struct rendezvous_frame *frame, int64_t now_ms)
{
    c->now_ms = now_ms;
    struct seat *s = channel_seat(c, channel);
    if (!s && frame->type != RENDEZVOUS_HELLO) {
        channel_refuse(c, channel, false, "%s before HELLO", rendezvous_type_name(frame->type));
        return;
    }
    struct rendezvous_message m = {0};
    struct mlt_error err = {0};
    if (rendezvous_message_read(frame, &m, &err) < 0) {
        if (s) {
            output_member(c, COORDINATOR_MEMBER_ABSENT, s);
            channel_unbind(c, s);
        }
        channel_refuse(c, channel, false, "%s", err.text);
        return;
    }
    if (frame->type == RENDEZVOUS_HELLO) {
        hello_handle(c, channel, &m, now_ms);
    } else {
        channel_heard(c, s, now_ms);
        dispatch(c, s, &m);
        gang_check_end(c);
        gang_check_ready(c);
    }
    rendezvous_message_release(&m);
}
