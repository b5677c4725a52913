/* The launcher's decisions: the table, and the way in and out. The verbs stand in
 * supervisor_join.c, supervisor_run.c and supervisor_stop.c.
 *
 * Nothing here may look at a clock, a process, a file or a socket: the same object file is driven
 * by tests with pretended ones. */
#include "launcher/supervisor.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/supervisor_internal.h"

#define HELLO_BYTES_MAX (RENDEZVOUS_PAYLOAD_MAX + RENDEZVOUS_HEADER_SIZE)

/* For what means nothing in a state. */
static void supervisor_no(struct supervisor *s, const struct supervisor_event *event)
{
    (void)s;
    (void)event;
}

/* One row: what an event does in each state. The macro's arity keeps a row complete. */
#define ROW(event, joining, preparing, ready, starting, running, stopping, killing, stuck, ending, \
            leaving)                                                                               \
    [SUPERVISOR_ON_##event] = {[SUPERVISOR_JOINING] = supervisor_##joining,                        \
                               [SUPERVISOR_PREPARING] = supervisor_##preparing,                    \
                               [SUPERVISOR_READY] = supervisor_##ready,                            \
                               [SUPERVISOR_STARTING] = supervisor_##starting,                      \
                               [SUPERVISOR_RUNNING] = supervisor_##running,                        \
                               [SUPERVISOR_STOPPING] = supervisor_##stopping,                      \
                               [SUPERVISOR_KILLING] = supervisor_##killing,                        \
                               [SUPERVISOR_STUCK] = supervisor_##stuck,                            \
                               [SUPERVISOR_ENDING] = supervisor_##ending,                          \
                               [SUPERVISOR_LEAVING] = supervisor_##leaving}
#define SAME(event, verb) ROW(event, verb, verb, verb, verb, verb, verb, verb, verb, verb, verb)

_Static_assert(SUPERVISOR_STATES == 10, "a new state needs a column in ROW");

/* clang-format off */
/*      event, joining, preparing, ready, starting, running,
 *          stopping, killing, stuck, ending, leaving */
static supervisor_verb *const table[SUPERVISOR_EVENTS][SUPERVISOR_STATES] = {
    SAME(OPENED, opened),
    SAME(CLOSED, closed),
    SAME(RECONNECT_TIME, reconnect),
    SAME(PING, pinged),
    SAME(JOIN_TIME, join_timeout),
    SAME(NOTICED, noticed),
    ROW(WELCOME, welcomed, rewelcomed, rewelcomed, welcomed_running, welcomed_running,
        welcomed_running, welcomed_running, welcomed_running, welcomed_running, no),
    ROW(START, no, no, started, no, no,
        no, no, no, no, no),
    ROW(STOP, no, stop_again, stop_again, stop, stop,
        stop_sooner, no, stop_again, stop_again, no),
    ROW(EXIT, ordered_exit, ordered_exit, ordered_exit, ordered_exit, ordered_exit,
        ordered_exit, ordered_exit, ordered_exit, ordered_exit, no),
    ROW(REFUSED, refused, refused, refused, refused, refused,
        refused, refused, refused, refused, no),
    ROW(SPAWNED, no, no, no, spawned, no,
        no, no, no, no, no),
    ROW(RANK_EXITED, no, no, no, exited_running, exited_running,
        exited_stopping, exited_killing, exited_killing, no, exited_killing),
    ROW(GONE, no, no, no, no, no,
        no, gone, no, no, gone_leaving),
    ROW(CLEANED, no, cleaned, no, no, no,
        no, no, no, no, no),
    ROW(PORT_HELD, no, port_held, no, no, no,
        no, no, no, no, no),
    ROW(SCANNED, scanned, scanned_preparing, scanned, scanned, scanned,
        scanned, scanned, scanned, scanned, no),
    ROW(PROGRESSED, no, no, no, progressed, progressed,
        progressed, progressed, no, no, no),
    ROW(TERMINATE, terminate_idle, terminate_idle, terminate_idle,
        terminate_running, terminate_running,
        terminate_noted, terminate_noted, terminate_noted, terminate_noted, no),
    ROW(CHECKPOINT_NOW, no, no, no, save_ordered, save_ordered,
        no, no, no, no, no),
    ROW(CAUGHT, no, no, no, caught, caught,
        no, no, no, no, no),
    ROW(REPORTED, no, no, no, reported, reported,
        reported, no, no, no, no),
    ROW(ASKED, no, no, no, asked, asked,
        asked_late, asked_late, no, no, no),
    ROW(UNASKED, no, no, no, unasked, unasked,
        unasked, unasked, no, no, no),
    ROW(ALONE_TIME, no, no, no, alone_time, alone_time,
        no, no, no, no, no),
    ROW(HOLD_TIME, no, no, no, hold_over, hold_over,
        hold_over, no, no, no, no),
    ROW(EXAMINE, no, no, no, examine, examine,
        no, no, no, no, no),
    ROW(EXAMINED, no, no, no, examined, examined,
        no, no, no, no, no),
    ROW(GRACE_TIME, no, no, no, grace_over, grace_over,
        grace_over, no, no, no, no),
    ROW(KILL_TIME, no, no, no, no, no,
        no, kill_timeout, no, no, kill_timeout_leaving),
    ROW(LINGER_TIME, no, no, no, no, no,
        no, no, no, linger_over, no),
    ROW(FENCE_TIME, no, no, no, fence_time, fence_time,
        fence_time, no, no, no, no),
    SAME(SILENCE_TIME, silence_time),
    SAME(EXCHANGE_TIME, exchange_time),
};
/* clang-format on */

#define XX(name) _Static_assert(SUPERVISOR_ON_##name < SUPERVISOR_EVENTS, #name);
SUPERVISOR_EVENT_MAP(XX)
#undef XX

/* ---- effects ---- */

struct supervisor_effect *supervisor_emit(struct supervisor *s, enum supervisor_effect_kind kind)
{
    assert(s->effects_count < SUPERVISOR_EFFECTS_MAX);
    struct supervisor_effect *effect = &s->effects[s->effects_count++];
    *effect = (struct supervisor_effect){.kind = kind};
    return effect;
}

void supervisor_timer(struct supervisor *s, enum supervisor_timer timer, int64_t delay_ms)
{
    struct supervisor_effect *effect = supervisor_emit(s, SUPERVISOR_DO_TIMER);
    effect->timer = timer;
    effect->delay_ms = delay_ms;
}

void supervisor_log(struct supervisor *s, const char *format, ...)
{
    struct supervisor_effect *effect = supervisor_emit(s, SUPERVISOR_DO_LOG);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(effect->words, sizeof effect->words, format, args);
    va_end(args);
}

void supervisor_send(struct supervisor *s, const struct rendezvous_message *message)
{
    if (!s->connected)
        return; /* HELLO says it all when the channel is back */
    struct mlt_text frame = MLT_TEXT_INIT(HELLO_BYTES_MAX);
    rendezvous_message_write(&frame, message);
    size_t length = frame.length;
    char *bytes = mlt_text_take(&frame);
    mlt_text_release(&frame);
    if (!bytes) {
        supervisor_log(s,
                       "%s could not be sent: it has a field over its maximum, or memory is short",
                       rendezvous_type_name((uint8_t)message->type));
        return;
    }
    struct supervisor_effect *effect = supervisor_emit(s, SUPERVISOR_DO_SEND);
    effect->bytes = bytes;
    effect->length = length;
}

/* An output of the exchange, as an effect. Its bytes are its own. */
static bool next_exchanged(struct supervisor *s, struct supervisor_effect *ret)
{
    if (!exchange_next(s->exchange, &s->exchanged))
        return false;
    *ret = (struct supervisor_effect){.exchanged = &s->exchanged};
    switch (s->exchanged.kind) {
    case EXCHANGE_DO_SEND:
        ret->kind = SUPERVISOR_DO_SEND;
        ret->bytes = (char *)(uintptr_t)s->exchanged.data;
        ret->length = s->exchanged.length;
        break;
    case EXCHANGE_DO_TIMER:
        ret->kind = SUPERVISOR_DO_TIMER;
        ret->timer = SUPERVISOR_TIMER_EXCHANGE;
        ret->delay_ms = s->exchanged.delay_ms;
        break;
    case EXCHANGE_DO_DONE:
    case EXCHANGE_DO_QUESTION:
        ret->kind = SUPERVISOR_DO_EXCHANGED;
        break;
    }
    return true;
}

bool supervisor_next(struct supervisor *s, struct supervisor_effect *ret)
{
    free(s->taken.bytes);
    s->taken = (struct supervisor_effect){0};
    if (s->effects_first == s->effects_count) {
        s->effects_first = s->effects_count = 0;
        return next_exchanged(s, ret);
    }
    s->taken = s->effects[s->effects_first++];
    *ret = s->taken;
    return true;
}

/* ---- events ---- */

void supervisor_step(struct supervisor *s, const struct supervisor_event *event)
{
    assert(s->effects_first == s->effects_count);
    s->effects_first = s->effects_count = 0;
    assert(event->kind < SUPERVISOR_EVENTS && s->state < SUPERVISOR_STATES);
    table[event->kind][s->state](s, event);
}

static void refuse(struct supervisor *s, const char *what, const char *why)
{
    /* Whoever sends one such frame may send thousands: they are counted, and the first is told. */
    if (supervisor_refusals(s) == 1)
        supervisor_log(s, "refused %s: %s (later ones are only counted)", what, why);
}

/* The kind of event that a message from the controller is; false for messages of launchers. */
static bool event_of(enum rendezvous_type type, enum supervisor_event_kind *ret)
{
    switch (type) {
    case RENDEZVOUS_WELCOME:
        *ret = SUPERVISOR_ON_WELCOME;
        return true;
    case RENDEZVOUS_START:
        *ret = SUPERVISOR_ON_START;
        return true;
    case RENDEZVOUS_STOP:
        *ret = SUPERVISOR_ON_STOP;
        return true;
    case RENDEZVOUS_EXIT:
        *ret = SUPERVISOR_ON_EXIT;
        return true;
    case RENDEZVOUS_REFUSED:
        *ret = SUPERVISOR_ON_REFUSED;
        return true;
    case RENDEZVOUS_PING:
        *ret = SUPERVISOR_ON_PING;
        return true;
    case RENDEZVOUS_CHECKPOINT_NOW:
        *ret = SUPERVISOR_ON_CHECKPOINT_NOW;
        return true;
    case RENDEZVOUS_EXAMINE:
        *ret = SUPERVISOR_ON_EXAMINE;
        return true;
    default:
        return false;
    }
}

static bool is_exchange(enum rendezvous_type type)
{
    return type == RENDEZVOUS_GATHERED || type == RENDEZVOUS_VALUE || type == RENDEZVOUS_GET;
}

/* Keeps what START and WELCOME say for as long as it holds. */
static const struct rendezvous_message *keep(struct supervisor *s, struct rendezvous_message *m)
{
    struct rendezvous_message *place = NULL;
    if (m->type == RENDEZVOUS_WELCOME)
        place = &s->welcome_message;
    if (m->type == RENDEZVOUS_START)
        place = &s->start_message;
    if (!place)
        return m;
    if (place->type)
        rendezvous_message_release(place);
    *place = *m;
    *m = (struct rendezvous_message){0};
    return place;
}

void supervisor_frame(struct supervisor *s, const struct rendezvous_frame *frame, int64_t now_ms)
{
    assert(s->effects_first == s->effects_count);
    s->effects_first = s->effects_count = 0;
    struct rendezvous_message message;
    struct mlt_error err = {0};
    if (rendezvous_message_read(frame, &message, &err) < 0) {
        s->frames_broken++;
        refuse(s, rendezvous_type_name(frame->type), err.text);
        return;
    }
    struct supervisor_event event = {.now_ms = now_ms};
    const char *why = "";
    enum member_decision decision = MEMBER_REFUSE;
    if (message.type == RENDEZVOUS_START && s->state != SUPERVISOR_READY &&
        message.attempt != s->member.started_attempt) {
        /* member_consider() would note it as started. */
        s->member.refusals++;
        why = "START while this launcher is not ready";
    } else {
        decision = member_consider(&s->member, &message, &why);
    }
    if (decision != MEMBER_REFUSE && message.type != RENDEZVOUS_REFUSED)
        s->heard_ms = now_ms;
    if (decision == MEMBER_REFUSE) {
        refuse(s, rendezvous_type_name(frame->type), why);
    } else if (is_exchange(message.type)) {
        (void)exchange_message(s->exchange, &message); /* in whatever state: it knows its attempt */
    } else if (decision == MEMBER_OBEY && event_of(message.type, &event.kind)) {
        event.message = keep(s, &message);
        supervisor_step(s, &event);
    }
    if (message.type)
        rendezvous_message_release(&message);
}

/* ---- life and looks ---- */

struct supervisor *supervisor_new(const struct supervisor_identity *identity)
{
    struct supervisor *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->exchange = exchange_new();
    if (!s->exchange) {
        free(s);
        return NULL;
    }
    s->identity = *identity;
    s->state = SUPERVISOR_JOINING;
    s->step = RENDEZVOUS_NO_STEP;
    s->checkpoints.torn_step = RENDEZVOUS_NO_STEP;
    s->checkpoints.checkpoints = s->checkpoint_array;
    member_init(&s->member, identity->seed);
    supervisor_timer(s, SUPERVISOR_TIMER_JOIN, SUPERVISOR_JOIN_MS);
    (void)supervisor_emit(s, SUPERVISOR_DO_CONNECT);
    return s;
}

void supervisor_free(struct supervisor *s)
{
    if (!s)
        return;
    free(s->taken.bytes);
    for (size_t i = s->effects_first; i < s->effects_count; i++)
        free(s->effects[i].bytes);
    if (s->welcome_message.type)
        rendezvous_message_release(&s->welcome_message);
    if (s->start_message.type)
        rendezvous_message_release(&s->start_message);
    for (size_t i = 0; i < RENDEZVOUS_CHECKPOINTS_MAX; i++)
        free(s->checkpoint_paths[i]);
    exchange_free(s->exchange);
    free(s->ranks);
    free(s);
}

enum supervisor_state supervisor_state(const struct supervisor *s)
{
    return s->state;
}

const char *supervisor_state_words(enum supervisor_state state)
{
    static const char *const words[] = {
#define XX(name, text) [SUPERVISOR_##name] = text,
        SUPERVISOR_STATE_MAP(XX)
#undef XX
    };
    return words[state];
}

struct exchange *supervisor_exchange(struct supervisor *s)
{
    return s->exchange;
}

uint64_t supervisor_attempt(const struct supervisor *s)
{
    return s->attempt;
}

uint64_t supervisor_refusals(const struct supervisor *s)
{
    return s->member.refusals + s->frames_broken;
}

const struct rendezvous_welcome *supervisor_welcome(const struct supervisor *s)
{
    return s->welcome_message.type ? &s->welcome_message.welcome : NULL;
}

const struct rendezvous_start *supervisor_start(const struct supervisor *s)
{
    return s->start_message.type ? &s->start_message.start : NULL;
}

void supervisor_one_process(struct supervisor *s, bool one)
{
    s->one_process = one;
}

uint32_t supervisor_processes(const struct supervisor *s)
{
    return s->processes;
}

void supervisor_check(const struct supervisor *s)
{
    exchange_check(s->exchange);
    for (int event = 0; event < SUPERVISOR_EVENTS; event++)
        for (int state = 0; state < SUPERVISOR_STATES; state++)
            assert(table[event][state]);
    uint32_t alive = 0;
    for (uint32_t i = 0; i < s->ranks_count; i++)
        alive += s->ranks[i].alive;
    assert(alive == s->alive);
    assert(s->ranks_count <= s->ranks_capacity);
    bool may_run = s->state >= SUPERVISOR_STARTING && s->state != SUPERVISOR_ENDING;
    assert(may_run || s->alive == 0);
    assert(s->state != SUPERVISOR_STOPPING || s->alive > 0); /* nobody waits out a grace alone */
    assert(s->state != SUPERVISOR_READY || s->member.ready_attempt > s->attempt);
    assert(s->state == SUPERVISOR_JOINING || s->state >= SUPERVISOR_ENDING ||
           s->welcome_message.type == RENDEZVOUS_WELCOME);
}
