/* The log of one pod's trainer container, line by line, over the API server. */
#ifndef CLI_LOG_STREAM_H
#define CLI_LOG_STREAM_H

#include "cli/cli.h"

#define LOG_STREAM_LINE_MAX (4u * 1024 * 1024) /* longer lines are handed out in pieces */

struct log_stream;

struct log_stream_options {
    bool follow, timestamps;
    int64_t tail_lines; /* -1: all */
};

struct log_stream_ops {
    void (*line)(void *arg, const char *line, size_t length); /* without its newline */
    /* Once. error NULL: complete. `not_yet`: the container has not started; ask again later. */
    void (*end)(void *arg, bool not_yet, const char *error);
};

struct log_stream *log_stream_new(struct cli *c, const char *namespace_, const char *pod,
                                  const char *container, const struct log_stream_options *options,
                                  const struct log_stream_ops *ops, void *arg);
void log_stream_free(struct log_stream *s); /* no callbacks any more */

#endif
