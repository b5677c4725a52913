/* The edge's relay: which pipe is read when, and what happens while our own reader is slow. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/edge_internal.h"

static void stream_readable(uv_poll_t *poll, int status, int events);
static void sink_writable(uv_poll_t *poll, int status, int events);

/* ---- streams ---- */

static void stream_closed(uv_handle_t *handle)
{
    struct edge_stream *s = handle->data;
    output_stream_release(&s->stream);
    free(s);
}

static void forget(struct edge_stream *s)
{
    struct edge *e = s->edge;
    for (struct edge_stream **at = &e->streams; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    e->streams_count--;
    s->closing = true;
    (void)uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, stream_closed);
}

static void set_polling(struct edge_stream *s, bool on)
{
    if (s->polling == on || s->closing)
        return;
    s->polling = on;
    if (on)
        (void)uv_poll_start(&s->poll, UV_READABLE, stream_readable);
    else
        (void)uv_poll_stop(&s->poll);
}

/* The reader is slow: its streams rest until it has taken what waits. */
static void block(struct edge_sink *sink)
{
    struct edge *e = sink->edge;
    if (sink->blocked || !sink->has_poll)
        return;
    sink->blocked = true;
    for (struct edge_stream *s = e->streams; s; s = s->next)
        set_polling(s, false);
    (void)uv_poll_start(&sink->poll, UV_WRITABLE, sink_writable);
}

/* False when the sink is full now. */
static bool flush(struct edge_sink *sink)
{
    if (output_sink_flush(&sink->sink))
        return true;
    block(sink);
    return false;
}

/* Relays all whole lines. False when the sink is full: block() has put its streams to rest then. */
static bool pump(struct edge_stream *s)
{
    bool relayed;
    do {
        relayed = output_stream_relay(&s->stream);
        if (!flush(&s->edge->sink))
            return false;
    } while (!relayed); /* an empty sink takes any line */
    return true;
}

static void stream_readable(uv_poll_t *poll, int status, int events)
{
    struct edge_stream *s = poll->data;
    (void)events;
    (void)status; /* read() tells */
    (void)output_stream_read(&s->stream);
    if (pump(s) && s->stream.ended)
        forget(s);
}

static void sink_writable(uv_poll_t *poll, int status, int events)
{
    struct edge_sink *sink = poll->data;
    struct edge *e = sink->edge;
    (void)status;
    (void)events;
    if (!output_sink_flush(&sink->sink))
        return;
    (void)uv_poll_stop(&sink->poll);
    sink->blocked = false;
    for (struct edge_stream *s = e->streams, *next; s && !sink->blocked; s = next) {
        next = s->next;
        if (pump(s) && s->stream.ended)
            forget(s);
    }
    for (struct edge_stream *s = e->streams; s && !sink->blocked; s = s->next)
        if (!s->stream.ended)
            set_polling(s, true);
    if (e->leaving)
        edge_output_leave(e);
}

static void heard_line(void *arg, const char *text, size_t length)
{
    const struct edge_stream *s = arg;
    s->edge->ranks[s->process].heard_ms = (int64_t)uv_now(&s->edge->loop);
    edge_watch_line(s->edge, text, length);
}

int edge_output_add(struct edge *e, int fd, int which, uint32_t process, uint64_t attempt)
{
    const struct rendezvous_start *start = supervisor_start(e->supervisor);
    struct edge_stream *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    int rc = output_stream_init(&s->stream, fd, &e->sink.sink, NULL);
    if (rc == 0)
        rc = uv_poll_init(&e->loop, &s->poll, fd);
    if (rc < 0) {
        s->stream.fd = -1; /* stays the caller's */
        output_stream_release(&s->stream);
        free(s);
        return rc;
    }
    (void)snprintf(s->stream.prefix, sizeof s->stream.prefix, "[r%u a%llu%s] ",
                   start->rank_base + process, (unsigned long long)attempt, which ? "!" : "");
    s->stream.tail = &e->ranks[process].tail;
    s->stream.line = heard_line;
    s->stream.arg = s;
    s->poll.data = s;
    s->edge = e;
    s->process = process;
    s->attempt = attempt;
    s->next = e->streams;
    e->streams = s;
    e->streams_count++;
    set_polling(s, !e->sink.blocked);
    return 0;
}

void edge_output_drain(struct edge *e, uint32_t process, uint64_t attempt)
{
    for (struct edge_stream *s = e->streams, *next; s; s = next) {
        next = s->next;
        if (s->process != process || s->attempt != attempt)
            continue;
        size_t bytes = 0;
        /* Not to end of file: a grandchild may hold the pipe open. */
        bool pumped = pump(s);
        while (pumped && bytes < EDGE_DRAIN_BYTES) {
            int n = output_stream_read(&s->stream);
            pumped = pump(s);
            if (n <= 0)
                break;
            bytes += (size_t)n;
        }
        if (pumped && s->stream.ended)
            forget(s);
    }
}

void edge_output_detach(struct edge *e)
{
    struct edge_stream *oldest = NULL;
    for (struct edge_stream *s = e->streams; s; s = s->next) {
        s->stream.tail = NULL;
        s->stream.line = NULL;
        oldest = s;
    }
    if (e->streams_count > EDGE_STREAMS_MAX && oldest) {
        edge_log(e, "the log is read too slowly: output of attempt %llu is dropped",
                 (unsigned long long)oldest->attempt);
        while (e->streams_count > EDGE_STREAMS_MAX) {
            for (oldest = e->streams; oldest->next;)
                oldest = oldest->next;
            forget(oldest);
        }
    }
}

/* ---- our own lines ---- */

void edge_output_say(struct edge *e, const char *text)
{
    struct edge_sink *sink = &e->sink;
    /* When the reader is so slow that there is no room, our words are the ones to lose. */
    if (output_sink_line(&sink->sink, "[launcher] ", text, strlen(text)))
        (void)flush(sink);
}

/* ---- the sink ---- */

/* One sink for all, our standard output; the prefix tells the streams apart. With two, a line of
 * standard error could come into the middle of a long line of standard output: container logs hold
 * long lines in pieces, and whoever puts them together again, kubelet included, does so in the
 * order of the file. */
int edge_output_init(struct edge *e, struct mlt_error *err)
{
    struct edge_sink *sink = &e->sink;
    (void)uv_timer_init(&e->loop, &e->leave_timer);
    e->leave_timer.data = e;
    sink->edge = e;
    int rc = output_sink_init(&sink->sink, STDOUT_FILENO, err);
    if (rc < 0)
        return rc;
    if (sink->sink.kind == OUTPUT_SINK_FILE || sink->sink.broken)
        return 0; /* never waits */
    if (uv_poll_init(&e->loop, &sink->poll, sink->sink.fd) < 0)
        return 0; /* a device that cannot be polled, as /dev/null: never waits either */
    sink->poll.data = sink;
    sink->has_poll = true;
    return 0;
}

/* ---- the end ---- */

static void leave_now(uv_timer_t *timer)
{
    struct edge *e = timer->data;
    uv_stop(&e->loop);
}

void edge_output_leave(struct edge *e)
{
    bool waits = false;
    for (struct edge_stream *s = e->streams, *next; s; s = next) {
        next = s->next;
        if (!e->sink.blocked)
            edge_output_drain(e, s->process, s->attempt);
        if (e->sink.blocked)
            waits = true;
    }
    if (output_sink_pending(&e->sink.sink) > 0 && !output_sink_flush(&e->sink.sink)) {
        block(&e->sink);
        waits = true;
    }
    if (!waits)
        uv_stop(&e->loop);
    else if (!uv_is_active((uv_handle_t *)&e->leave_timer))
        (void)uv_timer_start(&e->leave_timer, leave_now, EDGE_LEAVE_MS, 0);
}
