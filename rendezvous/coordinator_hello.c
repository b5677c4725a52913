/* HELLO: a member's full snapshot. Whatever was lost before it (READY, RANK_EXIT, STOPPED, a START
 * or STOP that was on its way) is made good here, by comparing what the member says with what we
 * think of it. */
#include "rendezvous/coordinator_internal.h"

#include <inttypes.h>
#include <string.h>

/* What a HELLO says of the last START that the member obeyed. */
struct past {
    uint64_t attempt, digest; /* 0: none */
    bool alive;               /* its ranks are not all reaped */
};

static struct past past_of(const struct rendezvous_message *m)
{
    const struct rendezvous_hello *h = &m->hello;
    struct past p = {.attempt = h->start_attempt, .digest = h->start_digest};
    p.alive = h->state == RENDEZVOUS_STATE_RUNNING || h->state == RENDEZVOUS_STATE_STOPPING;
    if (p.attempt == 0 && p.digest)
        p.attempt = h->state == RENDEZVOUS_STATE_READY ? m->attempt - 1 : m->attempt;
    return p;
}

static void send_welcome(struct coordinator *c, const struct seat *s)
{
    struct rendezvous_message welcome = {
        .type = RENDEZVOUS_WELCOME, .attempt = c->attempt, .welcome = c->welcome.welcome};
    /* A member whose START of this attempt may still have to be sent must not become ready for a
     * later one. */
    bool may_start =
        c->phase == PHASE_ADOPTING || (c->phase == PHASE_STARTED && s->state == SEAT_RUNNING);
    welcome.welcome.lease_transitions = c->lease_transitions;
    welcome.welcome.next_attempt = may_start ? c->attempt : c->next_attempt;
    welcome.welcome.nproc = s->nproc;
    welcome.welcome.watch_checkpoints = s == c->seats;
    welcome.welcome.stop_signal = c->stop_signal;
    welcome.welcome.stop_grace_ms = c->stop_grace_ms;
    welcome.welcome.takes_notices = true;
    welcome.welcome.orders_saves = true;
    welcome.welcome.takes_exchange = true;
    output_send(c, s->channel, &welcome);
}

static void take_snapshot(struct coordinator *c, struct seat *s, const struct rendezvous_message *m,
                          const struct past *past)
{
    clock_told(c, s, m->hello.since_start_ms);
    clock_ask(c, s);
    if (!s->seen)
        seat_take_started(c, s, 0);
    if (m->hello.step > c->step) {
        stall_restart(c);
        c->step = m->hello.step;
        c->progress_seat = seat_index(c, s);
        struct output *o = output_add(c, COORDINATOR_PROGRESS);
        if (o) {
            o->out.step = c->step;
            o->out.total_steps = c->total_steps;
            o->out.steps_per_kilosecond = c->steps_per_kilosecond;
        }
    }
    for (uint32_t i = 0; i < m->hello.exits_count; i++)
        seat_take_exit(c, s, &m->hello.exits[i]);
    if (!past->alive)
        seat_take_stopped(c, s);
}

/* The member runs something that is not ours to keep: it is told to stop that, and becomes ready by
 * itself. */
static void stop_stray(struct coordinator *c, struct seat *s, const struct past *past)
{
    if (past->alive)
        seat_send_stop(c, s, past->attempt);
}

static void hello_while_started(struct coordinator *c, struct seat *s,
                                const struct rendezvous_message *m, const struct past *past,
                                int64_t now_ms)
{
    if (s->state != SEAT_RUNNING) {
        if (past->attempt != c->attempt)
            stop_stray(c, s, past);
        if (s->state == SEAT_AWAY || s->state == SEAT_LOST)
            seat_set_state(c, s, SEAT_JOINED);
        return;
    }
    if (past->attempt == c->attempt && past->digest == c->digest) {
        take_snapshot(c, s, m, past);
        return;
    }
    if (!s->seen && m->hello.state == RENDEZVOUS_STATE_READY && m->attempt <= c->attempt) {
        seat_send_start(c, s); /* the first one was lost on its way */
        return;
    }
    if (!s->seen && m->hello.terminating && !past->alive)
        seat_take_never_started(c, s, now_ms);
    else
        seat_take_launcher_lost(c, s, now_ms);
    stop_stray(c, s, past);
}

static void hello_while_adopting(struct coordinator *c, struct seat *s,
                                 const struct rendezvous_message *m, const struct past *past,
                                 int64_t now_ms)
{
    if (s->state != SEAT_UNKNOWN) { /* it has reported before */
        hello_while_started(c, s, m, past, now_ms);
        return;
    }
    if (past->attempt != c->attempt || past->digest == 0) {
        seat_set_state(c, s, SEAT_JOINED);
        stop_stray(c, s, past);
        c->incomplete = true;
        gang_diverge(c, "a member never got the START of the attempt before the change of leader");
        return;
    }
    if (c->digest == 0)
        c->digest = past->digest;
    bool same = c->digest == past->digest;
    seat_begin_running(c, s);
    take_snapshot(c, s, m, past);
    if (!same)
        gang_diverge(c, "members run different STARTs of the same attempt");
    else if (m->hello.state == RENDEZVOUS_STATE_STOPPING && !m->hello.terminating)
        gang_diverge(c, "the attempt was being stopped before the change of leader");
    else
        gang_check_adopted(c);
}

/* A stop is under way, or the job is complete. */
static void hello_while_stopping(struct coordinator *c, struct seat *s,
                                 const struct rendezvous_message *m, const struct past *past,
                                 int64_t now_ms)
{
    if (past->attempt == c->attempt && past->digest &&
        (s->state == SEAT_RUNNING || s->state == SEAT_UNKNOWN)) {
        if (s->state == SEAT_UNKNOWN)
            seat_begin_running(c, s);
        take_snapshot(c, s, m, past);
        if (s->state == SEAT_RUNNING)
            seat_send_stop(c, s, c->attempt);
        return;
    }
    if (s->state == SEAT_RUNNING && s->seen)
        seat_take_launcher_lost(c, s, now_ms);
    else if (s->state == SEAT_RUNNING)
        seat_end_running(c, s, SEAT_JOINED); /* its START was lost, and now it need not start */
    else if (s->state == SEAT_UNKNOWN || s->state == SEAT_AWAY || s->state == SEAT_LOST) {
        c->incomplete |= s->state == SEAT_UNKNOWN;
        seat_set_state(c, s, SEAT_JOINED);
    }
    stop_stray(c, s, past);
}

static void hello_while_gathering(struct coordinator *c, struct seat *s, const struct past *past)
{
    if (s->state != SEAT_STOPPED)
        seat_set_state(c, s, SEAT_JOINED);
    stop_stray(c, s, past);
    if (past->attempt >= c->next_attempt && past->attempt < COORDINATOR_ATTEMPT_MAX)
        c->next_attempt = past->attempt + 1;
}

static void compare(struct coordinator *c, struct seat *s, const struct rendezvous_message *m,
                    int64_t now_ms)
{
    struct past past = past_of(m);
    switch (c->phase) {
    case PHASE_GATHERING:
        hello_while_gathering(c, s, &past);
        break;
    case PHASE_ADOPTING:
        hello_while_adopting(c, s, m, &past, now_ms);
        break;
    case PHASE_STARTED:
        hello_while_started(c, s, m, &past, now_ms);
        break;
    case PHASE_STOPPING:
    case PHASE_COMPLETED:
        hello_while_stopping(c, s, m, &past, now_ms);
        break;
    }
    if (m->hello.state == RENDEZVOUS_STATE_READY)
        seat_take_ready(c, s, m->attempt, m->hello.port);
}

/* Whether the seat's own channel stands in the way of another one. Who holds the job's key and says
 * this pod's UID cannot be told from its launcher, and a launcher whose connection has broken
 * without our noticing cannot be told from a second one: the peer that is here is asked. What it
 * says by itself will do, but may have been on its way for long: it is asked anew the next time. */
static bool is_taken(struct coordinator *c, struct seat *s, uint64_t channel, int64_t now_ms)
{
    if (s->channel == 0 || s->channel == channel || s->suspect)
        return false;
    if (s->challenged)
        return now_ms - s->challenged_ms < COORDINATOR_CHALLENGE_MS;
    s->challenged = true;
    s->challenged_ms = now_ms;
    channel_ping(c, s);
    return true;
}

/* The seat that may speak on this channel, or NULL when the peer was refused. */
static struct seat *admit(struct coordinator *c, uint64_t channel, const struct rendezvous_hello *h,
                          int64_t now_ms)
{
    struct seat *s = seat_find(c, h->role, h->slot);
    if (!s) {
        channel_refuse(c, channel, true, "%s has no member %s %u", c->job, h->role, h->slot);
        return NULL;
    }
    if (h->lease_transitions > c->lease_transitions) {
        channel_refuse(c, channel, false,
                       "this controller (lease transition %" PRIu64 ") no longer leads",
                       c->lease_transitions);
        return NULL;
    }
    /* Final when it is known to be a former pod, or the slot's own is here. Otherwise our view of
     * the pods may lag behind this very pod. */
    if (strcmp(text_of(s->pod_uid), h->pod_uid) != 0 || !s->pod_uid) {
        bool final = strcmp(text_of(s->former_uid), h->pod_uid) == 0 || s->channel != 0;
        channel_refuse(c, channel, final, "pod %s does not hold %s %u%s", h->pod_uid, h->role,
                       h->slot, final ? " any more" : "");
        return NULL;
    }
    if (channel < s->newest_channel) {
        channel_refuse(c, channel, false, "%s %u has spoken on a later channel since", h->role,
                       h->slot);
        return NULL;
    }
    if (is_taken(c, s, channel, now_ms)) {
        channel_refuse(c, channel, false,
                       "%s %u is here on another channel, and is asked whether it still is",
                       h->role, h->slot);
        return NULL;
    }
    return s;
}

static void report_checkpoints(struct coordinator *c, struct rendezvous_message *m)
{
    if (m->hello.checkpoints_count == 0)
        return;
    save_note_checkpoints(c, m->hello.checkpoints, m->hello.checkpoints_count);
    struct output *o = output_add(c, COORDINATOR_CHECKPOINT);
    if (!o)
        return;
    o->out.checkpoints = m->hello.checkpoints;
    o->out.checkpoints_count = m->hello.checkpoints_count;
    o->out.torn_step = RENDEZVOUS_NO_STEP;
    o->held = *m;
    *m = (struct rendezvous_message){0};
}

static void take_channel(struct coordinator *c, struct seat *s, uint64_t channel, int64_t now_ms)
{
    bool was_present = s->channel != 0;
    struct seat *former = channel_seat(c, channel);
    if (s->channel == channel) {
        channel_heard(c, s, now_ms);
        return;
    }
    if (former) { /* one channel cannot hold two seats */
        output_member(c, COORDINATOR_MEMBER_ABSENT, former);
        channel_unbind(c, former);
    }
    if (was_present) {
        output_words(c, COORDINATOR_CLOSE, s->channel, "%s %u has come back on another channel",
                     s->role, s->slot);
        channel_unbind(c, s);
    }
    channel_bind(c, s, channel, now_ms);
    if (!was_present)
        output_member(c, COORDINATOR_MEMBER_JOINED, s);
}

void hello_handle(struct coordinator *c, uint64_t channel, struct rendezvous_message *m,
                  int64_t now_ms)
{
    struct seat *former = channel_seat(c, channel);
    struct seat *s = admit(c, channel, &m->hello, now_ms);
    if (!s && former) { /* who sat there is away: the channel is closed */
        output_member(c, COORDINATOR_MEMBER_ABSENT, former);
        channel_unbind(c, former);
    }
    if (!s)
        return;
    if (!seat_set_string(c, &s->node, m->hello.node) ||
        !seat_set_string(c, &s->address, m->hello.address)) {
        channel_refuse(c, channel, false, "out of memory");
        return;
    }
    take_channel(c, s, channel, now_ms);
    s->takes_orders = m->hello.takes_orders;
    s->takes_exchange = m->hello.takes_exchange;
    stall_restart_if_it_tells(c, s);
    bool told = s->terminating;
    s->terminating = m->hello.terminating;
    if (s->terminating && s->state == SEAT_READY) /* it was, before the kubelet came */
        seat_set_state(c, s, SEAT_JOINED);
    if (s->terminating && !told)
        output_member(c, COORDINATOR_TERMINATING, s);
    if (c->exiting && !(s->state == SEAT_RUNNING && c->phase != PHASE_STARTED)) {
        seat_send_exit(c, s);
        return;
    }
    send_welcome(c, s);
    compare(c, s, m, now_ms);
    exchange_joined(c, s);
    report_checkpoints(c, m);
    if (s->terminating)
        seat_take_terminating(c, s);
    gang_check_end(c);
    gang_check_ready(c);
}
