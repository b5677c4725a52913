/* The line relay: what ranks write to their pipes goes to our own stdout and stderr line by line,
 * each with its rank and attempt in front, nothing lost and no line mixed into another.
 *
 * A stream is one rank's pipe; a sink is one of our own descriptors. A line enters a sink whole or
 * not at all, so that two ranks cannot mix. A sink never blocks: when its reader is slow it fills
 * up, its streams are no longer read, and the ranks block on their pipes, but nothing else does.
 *
 * No event loop in here: the owner polls, and calls. */
#ifndef LAUNCHER_OUTPUT_H
#define LAUNCHER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"

#define OUTPUT_LINE_MAX                                                                           \
    (1024u * 1024)                     /* bytes of a line that stays whole; longer ones are split \
                                        */
#define OUTPUT_READ_SIZE (128u * 1024) /* of one read */
#define OUTPUT_PIPE_SIZE (256 * 1024)  /* asked of the kernel for a rank's pipe */
#define OUTPUT_PREFIX_MAX 64           /* bytes of "[r3 a1] " */
#define OUTPUT_SINK_SIZE (OUTPUT_LINE_MAX + 256u * 1024) /* bytes waiting for a slow reader */
#define OUTPUT_TAIL_SIZE 4096 /* bytes of last output kept for each rank */

/* ---- sinks ---- */

enum output_sink_kind {
    OUTPUT_SINK_FILE,    /* regular file: a write never waits for a reader */
    OUTPUT_SINK_PRIVATE, /* opened anew through /proc, so that O_NONBLOCK is ours alone */
    OUTPUT_SINK_SOCKET,  /* send() takes a flag instead */
    OUTPUT_SINK_SHARED,  /* could not be opened anew (another user's pipe): polled before each write
                            of at  most PIPE_BUF bytes, which a pipe that polls as writable always
                            takes */
};

struct output_sink {
    int fd; /* to write and to poll */
    bool owns_fd;
    enum output_sink_kind kind;
    bool broken; /* its reader is gone: what comes is dropped, and ranks run on */
    char *data;
    size_t first, length; /* of what waits */
};

/* `fd` stays the caller's. -ENOMEM. */
int output_sink_init(struct output_sink *sink, int fd, struct mlt_error *err) MLT_MUST_USE;
void output_sink_release(struct output_sink *sink);

/* Appends prefix, text and a newline; false, and nothing is added, when there is no room. */
bool output_sink_line(struct output_sink *sink, const char *prefix, const char *text,
                      size_t length);

/* Writes what the reader takes now. True when all is written (or dropped because the reader is
 * gone). */
bool output_sink_flush(struct output_sink *sink);

/* Bytes that wait. */
size_t output_sink_pending(const struct output_sink *sink);

/* ---- tails ---- */

/* The last bytes of a rank's output, both streams, for its RANK_EXIT. */
struct output_tail {
    char data[OUTPUT_TAIL_SIZE];
    size_t at; /* the next byte's place */
    bool full;
};

void output_tail_add(struct output_tail *tail, const char *text, size_t length);

/* As a string without control characters but newline and tab; `text` holds OUTPUT_TAIL_SIZE + 1
 * bytes. */
void output_tail_text(const struct output_tail *tail, char *text);

/* ---- streams ---- */

struct output_stream {
    int fd;     /* non-blocking; closed by release, because a loop may still watch it */
    bool ended; /* end of file was read */
    char prefix[OUTPUT_PREFIX_MAX];
    struct output_sink *sink;
    struct output_tail *tail;                                 /* may be NULL */
    void (*line)(void *arg, const char *text, size_t length); /* each line; may be NULL */
    void *arg;
    char *data;
    size_t start, length, capacity; /* the bytes from start to length wait for their line's end */
    size_t newline;                 /* no '\n' between start and here */
    size_t searched;                /* no '\r' either up to here */
    bool after_return;              /* a line ended with '\r': a '\n' that follows belongs to it */
};

/* Takes over `fd`. -ENOMEM. */
int output_stream_init(struct output_stream *stream, int fd, struct output_sink *sink,
                       struct mlt_error *err) MLT_MUST_USE;
/* Closes; what was read and not relayed is dropped. */
void output_stream_release(struct output_stream *stream);

/* Reads once. Bytes read, 0 at end of file (`ended` is set), -EAGAIN when there is nothing or the
 * buffer is full of lines that their sink does not take. */
int output_stream_read(struct output_stream *stream);

/* Hands whole lines to the sink; at end of file also an unfinished one. `\n`, `\r` and `\r\n` end a
 * line; an empty line is kept unless '\r' ended it (progress bars). False when the sink is full and
 * lines wait. */
bool output_stream_relay(struct output_stream *stream);

#endif
