/* Lines out of streams: see output.h. Sinks stand in output_sink.c. */
#include "launcher/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAPACITY_FIRST OUTPUT_READ_SIZE
#define CAPACITY_MAX (OUTPUT_LINE_MAX + OUTPUT_READ_SIZE)

/* ---- tails ---- */

void output_tail_add(struct output_tail *tail, const char *text, size_t length)
{
    if (length > OUTPUT_TAIL_SIZE) {
        text += length - OUTPUT_TAIL_SIZE;
        length = OUTPUT_TAIL_SIZE;
    }
    size_t first = OUTPUT_TAIL_SIZE - tail->at;
    if (first > length)
        first = length;
    memcpy(tail->data + tail->at, text, first);
    memcpy(tail->data, text + first, length - first);
    tail->full = tail->full || tail->at + length >= OUTPUT_TAIL_SIZE;
    tail->at = (tail->at + length) % OUTPUT_TAIL_SIZE;
}

void output_tail_text(const struct output_tail *tail, char *text)
{
    size_t length = tail->full ? OUTPUT_TAIL_SIZE : tail->at;
    size_t start = tail->full ? tail->at : 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)tail->data[(start + i) % OUTPUT_TAIL_SIZE];
        bool plain = (c >= ' ' && c != 127) || c == '\n' || c == '\t';
        text[i] = plain ? (char)c : '?';
    }
    text[length] = '\0';
}

/* ---- streams ---- */

int output_stream_init(struct output_stream *stream, int fd, struct output_sink *sink,
                       struct mlt_error *err)
{
    *stream = (struct output_stream){.fd = fd, .sink = sink};
    stream->data = malloc(CAPACITY_FIRST);
    if (!stream->data)
        return mlt_fail(err, ENOMEM, "no memory for a rank's output");
    stream->capacity = CAPACITY_FIRST;
    return 0;
}

void output_stream_release(struct output_stream *stream)
{
    if (stream->fd >= 0)
        (void)close(stream->fd);
    free(stream->data);
    *stream = (struct output_stream){.fd = -1};
}

/* Room to read into: first what lines have left, then more memory. */
static size_t make_room(struct output_stream *s)
{
    if (s->start == s->length)
        s->start = s->length = s->newline = s->searched = 0;
    if (s->length < s->capacity)
        return s->capacity - s->length;
    if (s->start) {
        size_t kept = s->length - s->start;
        memmove(s->data, s->data + s->start, kept);
        s->newline -= s->start;
        s->searched -= s->start;
        s->length = kept;
        s->start = 0;
        return s->capacity - s->length;
    }
    size_t capacity = s->capacity * 2 > CAPACITY_MAX ? CAPACITY_MAX : s->capacity * 2;
    char *data = capacity > s->capacity ? realloc(s->data, capacity) : NULL;
    if (!data)
        return 0; /* relay() splits the line instead */
    s->data = data;
    s->capacity = capacity;
    return s->capacity - s->length;
}

int output_stream_read(struct output_stream *s)
{
    size_t room = make_room(s);
    if (room == 0 || s->ended)
        return -EAGAIN;
    if (room > OUTPUT_READ_SIZE)
        room = OUTPUT_READ_SIZE;
    ssize_t n = read(s->fd, s->data + s->length, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    if (n <= 0) {
        s->ended = true;
        return 0;
    }
    s->length += (size_t)n;
    return (int)n;
}

/* The place of the next line's end, or `length`. Each byte is looked at once for either character.
 */
static size_t find_end(struct output_stream *s)
{
    if (s->newline < s->start)
        s->newline = s->start;
    if (s->searched < s->start)
        s->searched = s->start;
    if (s->newline < s->length && s->data[s->newline] != '\n') {
        const char *found = memchr(s->data + s->newline, '\n', s->length - s->newline);
        s->newline = found ? (size_t)(found - s->data) : s->length;
    }
    const char *found = memchr(s->data + s->searched, '\r', s->newline - s->searched);
    s->searched = found ? (size_t)(found - s->data) : s->newline;
    return s->searched;
}

static bool emit(struct output_stream *s, size_t length)
{
    const char *text = s->data + s->start;
    if (!output_sink_line(s->sink, s->prefix, text, length))
        return false;
    if (s->tail) {
        output_tail_add(s->tail, text, length);
        output_tail_add(s->tail, "\n", 1);
    }
    if (s->line)
        s->line(s->arg, text, length);
    return true;
}

/* Gives back what one long line took. */
static void shrink(struct output_stream *s)
{
    if (s->capacity <= CAPACITY_FIRST || s->start != s->length)
        return;
    char *data = realloc(s->data, CAPACITY_FIRST);
    if (!data)
        return;
    s->data = data;
    s->capacity = CAPACITY_FIRST;
    s->start = s->length = s->newline = s->searched = 0;
}

bool output_stream_relay(struct output_stream *s)
{
    while (s->start < s->length) {
        if (s->after_return && s->data[s->start] == '\n') {
            s->start++;
            s->after_return = false;
            continue;
        }
        s->after_return = false;
        size_t end = find_end(s), line = end - s->start;
        bool ended = end < s->length, returned = ended && s->data[end] == '\r';
        bool split = line > OUTPUT_LINE_MAX ||
                     (!ended && s->start == 0 && s->length == s->capacity && make_room(s) == 0);
        if (line > OUTPUT_LINE_MAX)
            line = OUTPUT_LINE_MAX;
        if (!ended && !split && !s->ended)
            break; /* its end is still to come */
        if (!(returned && line == 0) && !emit(s, line))
            return false;
        s->start += line;
        if (ended && !split) {
            s->start++;
            s->after_return = returned;
        }
    }
    shrink(s);
    return true;
}
