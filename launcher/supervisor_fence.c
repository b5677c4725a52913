/* What the supervisor does when it hears nothing: it makes a new connection, and in the end there
 * is the fence (failurePolicy.fenceSeconds): a launcher that has heard nothing of a controller for
 * so long cannot know whether its member has been given to another pod, and stops its ranks. What
 * counts is that something is heard, not that a connection stands: a cut network closes none. The
 * controller's side: it sends a PING every COORDINATOR_CHECK_MS, and waits for longer than the
 * fence before it gives a member away (controller/node_loss.c). */
#include "launcher/supervisor_internal.h"

static int64_t fence_ms(const struct supervisor *s)
{
    return s->welcome_message.welcome.fence_ms;
}

void supervisor_fence_begin(struct supervisor *s)
{
    if (fence_ms(s))
        supervisor_timer(s, SUPERVISOR_TIMER_FENCE, fence_ms(s));
}

/* The connection, if one seems to stand, is dead: the next one tells what has happened. */
static void connect_anew(struct supervisor *s)
{
    if (!s->connected)
        return;
    (void)supervisor_emit(s, SUPERVISOR_DO_DISCONNECT);
    supervisor_closed(s, &(struct supervisor_event){.words = "nothing is heard on it"});
}

/* A controller that is stopped, or whose node is gone, closes nothing, and its kernel may go on
 * acknowledging: another one leads by now and waits. */
void supervisor_silence_time(struct supervisor *s, const struct supervisor_event *event)
{
    int64_t since_ms = s->heard_ms > s->opened_ms ? s->heard_ms : s->opened_ms;
    int64_t left_ms = since_ms + SUPERVISOR_SILENCE_MS - event->now_ms;
    if (!s->connected || s->state == SUPERVISOR_LEAVING)
        return;
    if (left_ms > 0)
        supervisor_timer(s, SUPERVISOR_TIMER_SILENCE, left_ms);
    else
        connect_anew(s);
}

void supervisor_fence_time(struct supervisor *s, const struct supervisor_event *event)
{
    int64_t left_ms = s->heard_ms + fence_ms(s) - event->now_ms;
    if (!fence_ms(s) || s->abandoned)
        return; /* a member of a job that is gone is given to nobody */
    if (left_ms > 0) {
        supervisor_timer(s, SUPERVISOR_TIMER_FENCE, left_ms);
        return;
    }
    supervisor_log(s, "nothing was heard of a controller for %lld s: the fence stops attempt %llu",
                   (long long)fence_ms(s) / 1000, (unsigned long long)s->attempt);
    s->fenced = s->state != SUPERVISOR_STOPPING; /* those are ended by order */
    supervisor_kill(s);
    connect_anew(s);
}
