/* The supervisor when ranks must end: STOP, SIGTERM from the kubelet, EXIT, REFUSED, and the kill.
 */
#include "launcher/supervisor_internal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

void supervisor_send_stopped(struct supervisor *s, int64_t now_ms)
{
    struct rendezvous_exit exits[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    uint32_t exits_count = 0;
    for (uint32_t i = 0; i < s->ranks_count; i++)
        if (!s->ranks[i].alive)
            exits[exits_count++] = s->ranks[i].exit;
    struct rendezvous_message stopped = {
        .type = RENDEZVOUS_STOPPED,
        .attempt = s->attempt,
        .stopped = {.unkillable = s->unkillable,
                    .exits = exits,
                    .exits_count = exits_count,
                    .since_start_ms = supervisor_since_start_ms(s, now_ms)}};
    supervisor_send(s, &stopped);
}

/* SIGKILL to whatever the ranks have left behind; also the way to know that nothing is left. */
void supervisor_kill(struct supervisor *s)
{
    s->state = SUPERVISOR_KILLING;
    s->killed = true;
    s->grace_until_ms = 0;
    exchange_end(s->exchange, "the attempt has ended");
    supervisor_timer(s, SUPERVISOR_TIMER_GRACE, -1);
    supervisor_timer(s, SUPERVISOR_TIMER_HOLD, -1);
    supervisor_timer(s, SUPERVISOR_TIMER_KILL, SUPERVISOR_KILL_MS);
    (void)supervisor_emit(s, SUPERVISOR_DO_KILL_ALL);
}

void supervisor_leave(struct supervisor *s, int code)
{
    supervisor_kill(s);
    s->exit_code = code;
    s->state = SUPERVISOR_LEAVING;
}

static void signal_ranks(struct supervisor *s, int signal)
{
    if (s->sent_signal == signal)
        return; /* many programs take a second signal for impatience and drop what they save */
    s->sent_signal = signal;
    s->signalled = true;
    supervisor_emit(s, SUPERVISOR_DO_SIGNAL)->signal = signal;
}

/* ---- STOP ---- */

void supervisor_stop(struct supervisor *s, const struct supervisor_event *event)
{
    const struct rendezvous_stop *stop = &event->message->stop;
    if (stop->grace_ms == 0 || s->alive == 0) {
        supervisor_kill(s);
        return;
    }
    s->state = SUPERVISOR_STOPPING;
    signal_ranks(s, stop->signal ? (int)stop->signal : SIGTERM);
    s->grace_until_ms = event->now_ms + stop->grace_ms;
    supervisor_timer(s, SUPERVISOR_TIMER_GRACE, stop->grace_ms);
}

/* A second STOP, or the first after the kubelet's SIGTERM: the earlier end of the grace holds. */
void supervisor_stop_sooner(struct supervisor *s, const struct supervisor_event *event)
{
    int64_t until = event->now_ms + event->message->stop.grace_ms;
    if (s->alive && s->grace_until_ms && s->grace_until_ms < until &&
        event->message->stop.grace_ms) {
        signal_ranks(s, event->message->stop.signal ? (int)event->message->stop.signal : SIGTERM);
        return;
    }
    supervisor_stop(s, event);
}

/* STOP for an attempt that has stopped: our STOPPED was lost. */
void supervisor_stop_again(struct supervisor *s, const struct supervisor_event *event)
{
    if (s->stopped)
        supervisor_send_stopped(s, event->now_ms);
}

void supervisor_grace_over(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    supervisor_log(s, "the grace is over: killing %u rank%s of attempt %llu", s->alive,
                   s->alive == 1 ? "" : "s", (unsigned long long)s->attempt);
    supervisor_kill(s);
}

static void end_with_pod(struct supervisor *s)
{
    s->state = SUPERVISOR_ENDING;
    supervisor_timer(s, SUPERVISOR_TIMER_LINGER,
                     s->connected ? SUPERVISOR_LINGER_MS : SUPERVISOR_LINGER_ALONE_MS);
}

void supervisor_gone(struct supervisor *s, const struct supervisor_event *event)
{
    supervisor_timer(s, SUPERVISOR_TIMER_KILL, -1);
    s->stopped = true;
    supervisor_send_stopped(s, event->now_ms);
    if (s->terminating)
        end_with_pod(s);
    else
        supervisor_prepare(s);
}

void supervisor_kill_timeout(struct supervisor *s, const struct supervisor_event *event)
{
    supervisor_log(s, "some process is still there %d s after SIGKILL", SUPERVISOR_KILL_MS / 1000);
    s->unkillable = true;
    s->stopped = true;
    s->state = SUPERVISOR_STUCK;
    supervisor_send_stopped(s, event->now_ms);
}

/* ---- SIGTERM ---- */

void supervisor_terminate_noted(struct supervisor *s, const struct supervisor_event *event)
{
    if (s->terminating)
        return;
    s->terminating = true;
    s->terminating_signal = event->signal;
    supervisor_log(s, "signal %d: this pod is being ended", event->signal);
    struct rendezvous_message message = {.type = RENDEZVOUS_TERMINATING,
                                         .attempt = s->attempt,
                                         .terminating = {.signal = (uint32_t)event->signal}};
    supervisor_send(s, &message);
}

void supervisor_terminate_idle(struct supervisor *s, const struct supervisor_event *event)
{
    supervisor_terminate_noted(s, event);
    end_with_pod(s);
}

static void terminate_alone(struct supervisor *s)
{
    const struct rendezvous_welcome *welcome = &s->welcome_message.welcome;
    if (s->alive == 0) { /* they have saved and ended: the rest of the grace is nobody's */
        supervisor_kill(s);
        return;
    }
    s->state = SUPERVISOR_STOPPING;
    signal_ranks(s, welcome->stop_signal ? (int)welcome->stop_signal : SIGTERM);
}

/* The kubelet's SIGTERM is a requested stop as any other: the job's signal and grace, which the pod
 * outlives (its terminationGracePeriodSeconds is longer). The controller answers TERMINATING with
 * CHECKPOINT_NOW, so that the whole gang saves the same step; without a channel for a while, or
 * with a controller that knows no such order, the ranks here are told alone. A controller that has
 * not told signal and grace leaves SIGTERM and the kubelet's own end. STOP may shorten the grace.
 */
void supervisor_terminate_running(struct supervisor *s, const struct supervisor_event *event)
{
    bool told = s->terminating;
    supervisor_terminate_noted(s, event);
    const struct rendezvous_welcome *welcome = &s->welcome_message.welcome;
    if (told)
        return;
    if (s->alive == 0 || (welcome->stop_signal && welcome->stop_grace_ms == 0)) {
        supervisor_kill(s);
        return;
    }
    if (welcome->stop_signal) {
        s->grace_until_ms = event->now_ms + welcome->stop_grace_ms;
        supervisor_timer(s, SUPERVISOR_TIMER_GRACE, welcome->stop_grace_ms);
    }
    if (!welcome->orders_saves)
        terminate_alone(s);
    else if (!s->connected)
        supervisor_terminate_wait(s, event->now_ms);
}

/* Controllers are back within seconds; half of the grace is left to the ranks in any case. */
void supervisor_terminate_wait(struct supervisor *s, int64_t now_ms)
{
    int64_t left_ms = s->grace_until_ms - now_ms;
    int64_t wait_ms = left_ms / 2 < SUPERVISOR_ALONE_MS ? left_ms / 2 : SUPERVISOR_ALONE_MS;
    supervisor_timer(s, SUPERVISOR_TIMER_ALONE, wait_ms > 0 ? wait_ms : 0);
}

void supervisor_alone_time(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    if (s->terminating && !s->connected && !s->abandoned)
        terminate_alone(s);
}

void supervisor_linger_over(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    supervisor_leave(s, 128 + s->terminating_signal);
}

/* ---- leaving ---- */

void supervisor_ordered_exit(struct supervisor *s, const struct supervisor_event *event)
{
    if (s->alive)
        supervisor_log(s, "told to leave with %d: %s", event->message->exit.code,
                       event->message->exit.reason);
    supervisor_leave(s, event->message->exit.code);
}

/* The job was deleted, and its controller died or was away: as when the kubelet ends the pod. What
 * an order has begun goes on: ranks that save are not signalled. */
static void go_on_alone(struct supervisor *s, int64_t now_ms)
{
    s->abandoned = true;
    if (!s->terminating)
        s->terminating_signal = SIGTERM;
    s->terminating = true;
    if (s->state == SUPERVISOR_STOPPING)
        return; /* the grace of its order runs */
    if (!s->grace_until_ms) {
        s->grace_until_ms = now_ms + s->welcome_message.welcome.stop_grace_ms;
        supervisor_timer(s, SUPERVISOR_TIMER_GRACE, s->welcome_message.welcome.stop_grace_ms);
    }
    if (!s->save.signalled)
        terminate_alone(s);
}

void supervisor_refused(struct supervisor *s, const struct supervisor_event *event)
{
    const struct rendezvous_refused *refused = &event->message->refused;
    if (refused->final ||
        strncmp(s->refused_words, refused->reason, sizeof s->refused_words - 1) != 0)
        supervisor_log(s, "the controller refused this launcher: %s", refused->reason);
    (void)snprintf(s->refused_words, sizeof s->refused_words, "%s", refused->reason);
    bool runs = s->alive > 0 && (s->state == SUPERVISOR_RUNNING || s->state == SUPERVISOR_STOPPING);
    if (refused->gone && runs && s->welcome_message.welcome.stop_grace_ms > 0)
        go_on_alone(s, event->now_ms);
    /* As one that somebody has ended: nothing is wrong with what it was told to run. */
    else if (refused->final)
        supervisor_leave(s, SUPERVISOR_EXIT_TERMINATED);
}

void supervisor_gone_leaving(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    supervisor_timer(s, SUPERVISOR_TIMER_KILL, -1);
    supervisor_emit(s, SUPERVISOR_DO_LEAVE)->code = s->exit_code;
}

/* As PID 1 our end is the end of what SIGKILL could not end; otherwise nobody could do more. */
void supervisor_kill_timeout_leaving(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    supervisor_log(s, "leaving although some process is still there %d s after SIGKILL",
                   SUPERVISOR_KILL_MS / 1000);
    supervisor_emit(s, SUPERVISOR_DO_LEAVE)->code = s->exit_code;
}
