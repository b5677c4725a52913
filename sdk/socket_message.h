/* What a training program and its launcher say to each other over MLTRAIN_SOCKET: lines of text,
 * words with one space between them, numbers in decimal digits. Pure, libc only: the launcher, the
 * C library and the fuzz driver share it; sdk/python/mltrain says the same by itself.
 *
 *   to the launcher                        meaning
 *   hello VERSION LOCAL_RANK ATTEMPT       first on each connection, once
 *   report STEP TOTAL                      the rank is at this step; TOTAL 0: unknown; no answer
 *   ask STEP                               is this step to be saved? One answer, perhaps late
 *   committed STEP PATH                    a commit record was written (sdk/mltrain.h); no answer
 *
 *   from the launcher
 *   save                                   to `ask`: save now, all ranks save this step
 *   go                                     to `ask`: go on
 *   refused WORDS                          this connection is of no use, and is closed: do not come
 *                                          back
 *
 * A connection that is closed without a word is one too many: come back later.
 * Several connections may speak for one rank. The one that asked last is the one that is answered;
 * as long as it is open, its rank counts as one that saves when it is told so. */
#ifndef SDK_SOCKET_MESSAGE_H
#define SDK_SOCKET_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#define SDK_VERSION 1
#define SDK_NUMBER_MAX                                                                      \
    INT64_C(1000000000000)               /* steps beyond are none: mltrain counts with them \
                                          */
#define SDK_PATH_MAX 4096                /* bytes of a path */
#define SDK_LINE_MAX (SDK_PATH_MAX + 64) /* bytes of a line, with its newline */
#define SDK_ANSWER_MAX 256               /* bytes of a line from the launcher, with its newline */

enum sdk_message_kind {
    SDK_HELLO = 1,
    SDK_REPORT,
    SDK_ASK,
    SDK_COMMITTED,
};

struct sdk_message {
    enum sdk_message_kind kind;
    int64_t version, rank, attempt; /* HELLO; each 0 to SDK_NUMBER_MAX, as all numbers */
    int64_t step;                   /* the others */
    int64_t total;                  /* REPORT; 0: unknown */
    const char *path;               /* COMMITTED; not empty */
};

/* A connection's bytes. Starts zeroed; whoever reads puts bytes at sdk_reader_space(). */
struct sdk_reader {
    char data[SDK_LINE_MAX + 1];
    size_t start, length; /* the bytes from start to length wait */
};

/* Where up to *ret_room bytes may be put; then add them to `length`. After sdk_reader_next() has
 * given 0 there is room for at least one. Ends what the last message's path pointed to. */
char *sdk_reader_space(struct sdk_reader *r, size_t *ret_room);

/* 1 and the next whole line's message, whose path points into the reader; 0 when no whole line is
 * there; -EPROTO for a line that is none of the above or too long: then the connection has to be
 * closed. */
int sdk_reader_next(struct sdk_reader *r, struct sdk_message *ret);

/* Writes the message's line with its newline, and a NUL. Gives its length; -EINVAL for a
 * number out of range or a path that is empty, too long or holds a newline, -ENOBUFS. */
int sdk_message_write(const struct sdk_message *message, char *buffer, size_t size);

enum sdk_answer {
    SDK_ANSWER_NONE, /* no answer that this release knows */
    SDK_ANSWER_SAVE,
    SDK_ANSWER_GO,
    SDK_ANSWER_REFUSED,
};

/* Of a line from the launcher without its newline. */
enum sdk_answer sdk_answer_of(const char *line);

#endif
