/* What a training program and its launcher say to each other over MLTRAIN_SOCKET: lines of text,
 * words with one space between them, numbers in decimal digits. Pure, libc only: the launcher, the
 * C library and the fuzz driver share it; sdk/python/mltrain says the same by itself.
 *
 *   to the launcher                        meaning
 *   hello VERSION LOCAL_RANK ATTEMPT       first on each connection, once
 *   hello VERSION LOCAL_RANK ATTEMPT WORLD RANK SIZE LOCAL_SIZE
 *                                          the same of a rank that mpirun has started: of which
 * world (16 hexadecimal digits, not all 0; of the attempt), its number there, how many ranks that
 * has, and how many of them are in this pod
 *   report STEP TOTAL                      the rank is at this step; TOTAL 0: unknown; no answer
 *   ask STEP                               is this step to be saved? One answer, perhaps late
 *   committed STEP PATH                    a commit record was written (sdk/mltrain.h); no answer
 *   gather NAME TIME_MS HEX                this rank's part in the gather of this name, of all
 * ranks of the job; `data` or `failed` put NAME HEX                           a value for all ranks
 * of the attempt; `done` or `failed` get NAME TIME_MS                       waits until it is put;
 * `data` or `failed`
 *
 *   remote HOST                            where mltrain-launcher's `rsh` reaches a pod; `data`
 * (one line, launcher/remote.h) or `failed`
 *
 *   from the launcher
 *   save                                   to `ask`: save now, all ranks save this step
 *   go                                     to `ask`: go on
 *   data SEQUENCE LENGTH                   LENGTH bytes follow the line as they are: a value, or
 * the parts of a gather (below); SEQUENCE: which gather of its name it was, the same for all ranks;
 * 0 for a value done                                   to `put`: all ranks can get it failed ERRNO
 * WORDS                     Linux' number of the error, and why refused WORDS this connection is of
 * no use, and is closed: do not come back
 *
 * HEX: two lower-case digits a byte, `-` for no bytes. NAME: without spaces. One of gather, put and
 * get is on its way on a connection at a time, and a connection that is closed wants no answer any
 * more.
 *
 * The parts of a gather: for each rank that gave bytes, in the order of ranks, its number in the
 * world (4 bytes), how many they are (2 bytes), both big-endian, and the bytes.
 *
 * A connection that is closed without a word is one too many: come back later.
 * Several connections may speak for one rank. The one that asked last is the one that is answered;
 * as long as it is open, its rank counts as one that saves when it is told so. */
#ifndef SDK_SOCKET_MESSAGE_H
#define SDK_SOCKET_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SDK_VERSION 1
#define SDK_NUMBER_MAX                                                                       \
    INT64_C(1000000000000)                /* steps beyond are none: mltrain counts with them \
                                           */
#define SDK_PATH_MAX 4096                 /* bytes of a path */
#define SDK_DATA_MAX 4096                 /* bytes of a value, or of one rank's part */
#define SDK_NAME_MAX 100                  /* bytes of a name */
#define SDK_WORLD_MAX 1000000             /* ranks of mpirun */
#define SDK_TIME_MS_MAX INT64_C(86400000) /* a day */
#define SDK_LINE_MAX                                                            \
    (2 * SDK_DATA_MAX + SDK_NAME_MAX + 64) /* bytes of a line, with its newline \
                                            */
#define SDK_BODY_MAX (4u << 20)            /* bytes behind a `data` line */
#define SDK_PART_HEAD 6                    /* bytes before the bytes of a rank */
#define SDK_ANSWER_MAX 256                 /* bytes of a line from the launcher, with its newline */

enum sdk_message_kind {
    SDK_HELLO = 1,
    SDK_REPORT,
    SDK_ASK,
    SDK_COMMITTED,
    SDK_GATHER,
    SDK_PUT,
    SDK_GET,
    SDK_REMOTE,
};

struct sdk_message {
    enum sdk_message_kind kind;
    int64_t version, rank, attempt; /* HELLO; each 0 to SDK_NUMBER_MAX, as all numbers */
    uint64_t world;                 /* HELLO of a rank of mpirun; 0: of another */
    int64_t world_rank, world_size; /* ... its number and that of all; below SDK_WORLD_MAX */
    int64_t local_size;             /* ... those of this pod */
    int64_t step;                   /* the others */
    int64_t total;                  /* REPORT; 0: unknown */
    const char *path;               /* COMMITTED; not empty */
    const char *name;               /* GATHER, PUT, GET; REMOTE: the host */
    int64_t time_ms;                /* GATHER, GET: 1 to SDK_TIME_MS_MAX */
    const unsigned char *data;      /* GATHER, PUT: at most SDK_DATA_MAX bytes */
    size_t length;
};

/* A connection's bytes. Starts zeroed; whoever reads puts bytes at sdk_reader_space(). */
struct sdk_reader {
    char data[SDK_LINE_MAX + 1];
    size_t start, length; /* the bytes from start to length wait */
};

/* Where up to *ret_room bytes may be put; then add them to `length`. After sdk_reader_next() has
 * given 0 there is room for at least one. Ends what the last message's words pointed to. */
char *sdk_reader_space(struct sdk_reader *r, size_t *ret_room);

/* 1 and the next whole line's message, whose words point into the reader; 0 when no whole line is
 * there; -EPROTO for a line that is none of the above or too long: then the connection has to be
 * closed. */
int sdk_reader_next(struct sdk_reader *r, struct sdk_message *ret);

/* Writes the message's line with its newline, and a NUL. Gives its length; -EINVAL for a
 * number out of range, a path that is empty, too long or holds a newline, a name that is none or
 * data that is too long, -ENOBUFS. */
int sdk_message_write(const struct sdk_message *message, char *buffer, size_t size);

enum sdk_answer {
    SDK_ANSWER_NONE, /* no answer that this release knows */
    SDK_ANSWER_SAVE,
    SDK_ANSWER_GO,
    SDK_ANSWER_REFUSED,
    SDK_ANSWER_DATA,
    SDK_ANSWER_DONE,
    SDK_ANSWER_FAILED,
};

/* Of a line from the launcher without its newline. */
enum sdk_answer sdk_answer_of(const char *line);

/* What a `data` line says; false when it says nothing, or more than SDK_BODY_MAX. */
bool sdk_answer_data(const char *line, uint64_t *ret_sequence, size_t *ret_length);

/* What a `failed` line says: the error, 1 to 4095, and the words, which point into the line. */
bool sdk_answer_failed(const char *line, int *ret_error, const char **ret_words);

/* 1 to SDK_NAME_MAX printable ASCII characters, without spaces. */
bool sdk_name_is_valid(const char *name);

/* One rank's part of a gather. `data` points into what was read. */
struct sdk_part {
    uint32_t rank;
    uint16_t length;
    const unsigned char *data;
};

/* Reads the part at *at and moves on. 1; 0 at the end; -EPROTO for bytes that are no part, or whose
 * rank is not above `after` (-1: the first). */
int sdk_part_next(const unsigned char *bytes, size_t length, size_t *at, int64_t after,
                  struct sdk_part *ret);

/* Writes what stands before a rank's bytes. */
void sdk_part_head(unsigned char head[SDK_PART_HEAD], uint32_t rank, uint16_t length);

#endif
