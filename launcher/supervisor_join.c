/* The supervisor before START: the channel, WELCOME, and what READY promises. */
#include "launcher/supervisor_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the channel ---- */

/* The controller's word for what this launcher does, and the attempt that it is about. */
static enum rendezvous_state wire_state(const struct supervisor *s, uint64_t *ret_attempt)
{
    *ret_attempt = s->attempt;
    switch (s->state) {
    case SUPERVISOR_READY:
        *ret_attempt = s->member.ready_attempt;
        return RENDEZVOUS_STATE_READY;
    case SUPERVISOR_STARTING:
    case SUPERVISOR_RUNNING:
        return RENDEZVOUS_STATE_RUNNING;
    case SUPERVISOR_STOPPING:
    case SUPERVISOR_KILLING:
        return RENDEZVOUS_STATE_STOPPING;
    default:
        return s->stopped ? RENDEZVOUS_STATE_STOPPED : RENDEZVOUS_STATE_IDLE;
    }
}

static void send_hello(struct supervisor *s, int64_t now_ms)
{
    struct rendezvous_exit exits[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    uint32_t exits_count = 0;
    uint64_t attempt;
    enum rendezvous_state state = wire_state(s, &attempt);
    for (uint32_t i = 0; i < s->ranks_count; i++)
        if (!s->ranks[i].alive)
            exits[exits_count++] = s->ranks[i].exit;
    struct rendezvous_message message = {
        .type = RENDEZVOUS_HELLO,
        .attempt = attempt,
        .hello = {.lease_transitions = s->member.lease_transitions,
                  .pod_uid = s->identity.pod_uid,
                  .role = s->identity.role,
                  .node = s->identity.node,
                  .address = s->identity.address,
                  .slot = s->identity.slot,
                  .launcher_version = s->identity.version,
                  .state = state,
                  .start_digest = s->member.started_digest,
                  .start_attempt = s->member.started_attempt,
                  .terminating = s->terminating,
                  .port = s->state == SUPERVISOR_READY ? s->port : 0,
                  .running = s->alive,
                  .exits = exits,
                  .exits_count = exits_count,
                  .checkpoints = s->checkpoints.checkpoints,
                  .checkpoints_count = s->checkpoints.checkpoints_count,
                  .step = s->step,
                  .takes_orders = true,
                  .takes_exchange = true,
                  .since_start_ms = supervisor_since_start_ms(s, now_ms)}};
    supervisor_send(s, &message);
}

void supervisor_opened(struct supervisor *s, const struct supervisor_event *event)
{
    s->connected = true;
    s->opened_ms = event->now_ms;
    supervisor_timer(s, SUPERVISOR_TIMER_JOIN, -1);
    supervisor_timer(s, SUPERVISOR_TIMER_SILENCE, SUPERVISOR_SILENCE_MS);
    send_hello(s, event->now_ms);
}

void supervisor_closed(struct supervisor *s, const struct supervisor_event *event)
{
    /* The ranks know nothing of it: no failure of the controller stops a running rank. */
    if (s->member.failures == 0)
        supervisor_log(s, "no channel to the controller (%s); trying again",
                       event->words ? event->words : "closed");
    if (s->connected && s->member.started_attempt == 0)
        supervisor_timer(s, SUPERVISOR_TIMER_JOIN, SUPERVISOR_JOIN_MS);
    if (s->connected && s->terminating && !s->abandoned &&
        (s->state == SUPERVISOR_STARTING || s->state == SUPERVISOR_RUNNING))
        supervisor_terminate_wait(s, event->now_ms);
    s->connected = false;
    exchange_closed(s->exchange);
    if (s->state != SUPERVISOR_LEAVING && !s->abandoned)
        supervisor_timer(s, SUPERVISOR_TIMER_RECONNECT, member_reconnect_delay_ms(&s->member));
}

void supervisor_reconnect(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    if (!s->connected && s->state != SUPERVISOR_LEAVING)
        (void)supervisor_emit(s, SUPERVISOR_DO_CONNECT);
}

void supervisor_exchange_time(struct supervisor *s, const struct supervisor_event *event)
{
    exchange_timer(s->exchange, event->now_ms);
}

void supervisor_join_timeout(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    if (s->connected || s->member.started_attempt != 0 || s->state == SUPERVISOR_LEAVING)
        return;
    supervisor_log(s, "no channel to the controller for %d s: leaving with %d",
                   SUPERVISOR_JOIN_MS / 1000, SUPERVISOR_EXIT_NO_CHANNEL);
    supervisor_leave(s, SUPERVISOR_EXIT_NO_CHANNEL);
}

void supervisor_pinged(struct supervisor *s, const struct supervisor_event *event)
{
    const struct rendezvous_message *ping = event->message;
    bool ours = ping->attempt == s->attempt;
    struct rendezvous_message pong = {
        .type = RENDEZVOUS_PONG,
        .attempt = ping->attempt,
        .pong = {.nonce = ping->ping.nonce,
                 .since_start_ms = ours ? supervisor_since_start_ms(s, event->now_ms) : 0}};
    supervisor_send(s, &pong);
}

/* ---- WELCOME ---- */

/* Takes what the ranks will need, while failing for lack of memory still does no harm. */
static int reserve(struct supervisor *s, uint32_t ranks)
{
    if (ranks <= s->ranks_capacity)
        return 0;
    struct supervisor_rank *more = calloc(ranks, sizeof *more);
    if (!more)
        return -ENOMEM;
    if (s->ranks_count)
        memcpy(more, s->ranks, s->ranks_count * sizeof *more);
    for (uint32_t i = 0; i < s->ranks_count; i++)
        more[i].exit.tail = more[i].tail;
    free(s->ranks);
    s->ranks = more;
    s->ranks_capacity = ranks;
    return 0;
}

static bool take_welcome(struct supervisor *s)
{
    if (reserve(s, s->welcome_message.welcome.nproc) < 0) {
        supervisor_log(s, "no memory for %u ranks: leaving with %d",
                       s->welcome_message.welcome.nproc, SUPERVISOR_EXIT_BAD_SPEC);
        supervisor_leave(s, SUPERVISOR_EXIT_BAD_SPEC);
        return false;
    }
    (void)supervisor_emit(s, SUPERVISOR_DO_WATCH);
    /* Only now: a controller that opens and refuses must not be asked again at once. */
    if (s->member.failures > 0)
        supervisor_log(s, "connected to the controller again");
    member_connected(&s->member);
    s->refused_words[0] = '\0';
    exchange_welcomed(s->exchange, s->welcome_message.welcome.takes_exchange,
                      s->welcome_message.welcome.lease_transitions);
    return true;
}

static bool watches_checkpoints(const struct supervisor *s)
{
    const struct rendezvous_welcome *w = &s->welcome_message.welcome;
    return w->watch_checkpoints && w->checkpoint_path[0];
}

static void say_ready(struct supervisor *s)
{
    uint64_t attempt = s->member.started_attempt + 1;
    if (attempt < s->welcome_message.welcome.next_attempt)
        attempt = s->welcome_message.welcome.next_attempt;
    s->member.ready_attempt = attempt;
    s->state = SUPERVISOR_READY;
    struct rendezvous_message ready = {
        .type = RENDEZVOUS_READY, .attempt = attempt, .ready = {.port = s->port}};
    supervisor_send(s, &ready);
}

/* That there is none any more is news, too: the only one that was deleted is not resumed from. But
 * who has never seen any says nothing: so looks a mount that is missing. */
static void send_checkpoints(struct supervisor *s)
{
    struct rendezvous_message message = {
        .type = RENDEZVOUS_CHECKPOINT, .attempt = s->attempt, .checkpoint = s->checkpoints};
    if (s->seen)
        supervisor_send(s, &message);
}

/* Asks for a look after the ranks' end. */
static void scan(struct supervisor *s)
{
    bool ranks_left = s->attempt > 0;
    for (uint32_t i = 0; i < s->ranks_count; i++)
        ranks_left = ranks_left && s->ranks[i].exit.code == 0 && s->ranks[i].exit.signal == 0;
    s->todo |= SUPERVISOR_TODO_SCAN;
    supervisor_emit(s, SUPERVISOR_DO_SCAN)->ranks_left = ranks_left;
}

/* READY promises that the last attempt's leftovers are gone, that a port is held, and that the
 * checkpoints were looked at after the last rank's end, so that the resume step is the newest. */
void supervisor_prepare(struct supervisor *s)
{
    s->state = SUPERVISOR_PREPARING;
    s->todo = SUPERVISOR_TODO_CLEAN | SUPERVISOR_TODO_PORT;
    s->port = 0;
    (void)supervisor_emit(s, SUPERVISOR_DO_CLEAN_UP);
    (void)supervisor_emit(s, SUPERVISOR_DO_HOLD_PORT);
    if (watches_checkpoints(s)) {
        scan(s);
    }
}

static void done(struct supervisor *s, enum supervisor_todo what)
{
    s->todo &= ~(unsigned)what;
    if (s->todo == 0)
        say_ready(s);
}

void supervisor_welcomed(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    if (take_welcome(s))
        supervisor_prepare(s);
}

/* Not the first WELCOME, and no rank runs: a READY that was lost on the way is said again. */
void supervisor_rewelcomed(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    bool watched = (s->todo & SUPERVISOR_TODO_SCAN) != 0;
    if (!take_welcome(s))
        return;
    if (s->state == SUPERVISOR_PREPARING) {
        if (watches_checkpoints(s) && !watched)
            scan(s);
        return;
    }
    if (watches_checkpoints(s))
        send_checkpoints(s); /* HELLO cannot say that there is none any more */
    say_ready(s);
}

/* WELCOME while ranks run, stop, or cannot run any more. */
void supervisor_welcomed_running(struct supervisor *s, const struct supervisor_event *event)
{
    if (!take_welcome(s))
        return;
    supervisor_fence_begin(s);
    if (s->unkillable)
        supervisor_send_stopped(s, event->now_ms); /* the one thing that HELLO cannot say */
}

/* ---- before READY ---- */

void supervisor_cleaned(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    done(s, SUPERVISOR_TODO_CLEAN);
}

void supervisor_port_held(struct supervisor *s, const struct supervisor_event *event)
{
    s->port = event->port;
    done(s, SUPERVISOR_TODO_PORT);
}

/* Copies a report; false when it says what was known already. */
static bool take_report(struct supervisor *s, const struct rendezvous_checkpoint_report *report)
{
    struct rendezvous_checkpoint_report *own = &s->checkpoints;
    s->seen |= report->checkpoints_count > 0 || report->torn_step != RENDEZVOUS_NO_STEP;
    bool same =
        own->checkpoints_count == report->checkpoints_count && own->torn_step == report->torn_step;
    for (uint32_t i = 0; same && i < own->checkpoints_count; i++)
        same = own->checkpoints[i].step == report->checkpoints[i].step &&
               own->checkpoints[i].wall_ms == report->checkpoints[i].wall_ms &&
               strcmp(own->checkpoints[i].path, report->checkpoints[i].path) == 0;
    if (same)
        return false;
    uint32_t count = 0;
    char *paths[RENDEZVOUS_CHECKPOINTS_MAX] = {NULL};
    for (; count < report->checkpoints_count && count < RENDEZVOUS_CHECKPOINTS_MAX; count++) {
        paths[count] = strdup(report->checkpoints[count].path);
        if (!paths[count])
            break; /* the newest are first: fewer are told, none is wrong */
    }
    for (uint32_t i = 0; i < RENDEZVOUS_CHECKPOINTS_MAX; i++) {
        free(s->checkpoint_paths[i]);
        s->checkpoint_paths[i] = paths[i];
        if (i < count) {
            s->checkpoint_array[i] = report->checkpoints[i];
            s->checkpoint_array[i].path = paths[i];
        }
    }
    own->checkpoints_count = count;
    own->torn_step = report->torn_step;
    return true;
}

void supervisor_scanned(struct supervisor *s, const struct supervisor_event *event)
{
    if (event->scanned.report && take_report(s, event->scanned.report))
        send_checkpoints(s);
}

void supervisor_scanned_preparing(struct supervisor *s, const struct supervisor_event *event)
{
    bool changed = event->scanned.report && take_report(s, event->scanned.report);
    /* Said even when nothing changed: an earlier report may have been lost, and START depends on
     * it. */
    if (changed || event->scanned.fresh)
        send_checkpoints(s);
    if (event->scanned.fresh && (s->todo & SUPERVISOR_TODO_SCAN))
        done(s, SUPERVISOR_TODO_SCAN);
}
