/* Frames of the channel between launcher and controller: the outermost layer of the wire format.
 *
 *     u32 payload length | u8 version | u8 type | u64 attempt | payload        (all big-endian)
 *
 * Compatibility within one version. A frame of a type that the receiver does not know is refused
 * and its stream with it, because nothing tells whether it may be skipped; so a new type is sent
 * only to a peer that has said that it takes it: NOTICE when WELCOME.takes_notices is set, which
 * controllers before it do not send, PUT to GATHERED when WELCOME and HELLO say takes_exchange. A
 * new field is appended to its message: a receiver ignores bytes after the last field it knows, and
 * takes an appended field that is not there as 0 (message.h).
 *
 * The attempt fences a frame: 0 where none applies. Pure: bytes in, frames out. Every length is
 * compared with its type's maximum before a byte of the payload is waited for; a broken stream
 * cannot be resumed. */
#ifndef RENDEZVOUS_FRAME_H
#define RENDEZVOUS_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "lib/base/text.h"

#define RENDEZVOUS_VERSION 1     /* spoken by this release */
#define RENDEZVOUS_VERSION_MIN 1 /* a controller also speaks the previous release's */
#define RENDEZVOUS_HEADER_SIZE 14
#define RENDEZVOUS_PAYLOAD_MAX (4u * 1024 * 1024) /* bytes, over all types */

enum rendezvous_direction { RENDEZVOUS_UP, RENDEZVOUS_DOWN, RENDEZVOUS_BOTH };

/* XX(NAME, number, direction, largest payload in bytes). Numbers are the wire's: never reused; 50
 * was set aside once and never sent. GET goes down to a member that has what another one asks for,
 * and its VALUE comes up. REMOTE_... are said between launchers, over connections of their own
 * (launcher/remote.h): UP from the one that asks for a command, DOWN from the pod in which it runs.
 */
#define RENDEZVOUS_TYPE_MAP(XX)                        \
    XX(HELLO, 1, RENDEZVOUS_UP, 256 * 1024)            \
    XX(READY, 2, RENDEZVOUS_UP, 256)                   \
    XX(STARTED, 3, RENDEZVOUS_UP, 64 * 1024)           \
    XX(RANK_EXIT, 4, RENDEZVOUS_UP, 8 * 1024)          \
    XX(STOPPED, 5, RENDEZVOUS_UP, 256 * 1024)          \
    XX(TERMINATING, 6, RENDEZVOUS_UP, 256)             \
    XX(PROGRESS, 7, RENDEZVOUS_UP, 256)                \
    XX(CHECKPOINT, 8, RENDEZVOUS_UP, 64 * 1024)        \
    XX(PONG, 9, RENDEZVOUS_UP, 64)                     \
    XX(NOTICE, 10, RENDEZVOUS_UP, 2 * 1024)            \
    XX(SAVE_STEP, 11, RENDEZVOUS_UP, 256)              \
    XX(EVIDENCE, 12, RENDEZVOUS_UP, 64 * 1024)         \
    XX(PUT, 16, RENDEZVOUS_UP, 68 * 1024)              \
    XX(GET, 17, RENDEZVOUS_BOTH, 256)                  \
    XX(GATHER, 18, RENDEZVOUS_UP, 80 * 1024)           \
    XX(REMOTE_RUN, 24, RENDEZVOUS_UP, 132 * 1024)      \
    XX(REMOTE_INPUT, 25, RENDEZVOUS_UP, 20 * 1024)     \
    XX(REMOTE_TAKEN, 26, RENDEZVOUS_BOTH, 64)          \
    XX(WELCOME, 32, RENDEZVOUS_DOWN, 1024 * 1024)      \
    XX(START, 33, RENDEZVOUS_DOWN, 16 * 1024)          \
    XX(STOP, 34, RENDEZVOUS_DOWN, 4 * 1024)            \
    XX(PING, 35, RENDEZVOUS_DOWN, 64)                  \
    XX(EXIT, 36, RENDEZVOUS_DOWN, 4 * 1024)            \
    XX(REFUSED, 37, RENDEZVOUS_DOWN, 4 * 1024)         \
    XX(CHECKPOINT_NOW, 38, RENDEZVOUS_DOWN, 4 * 1024)  \
    XX(EXAMINE, 39, RENDEZVOUS_DOWN, 64)               \
    XX(VALUE, 48, RENDEZVOUS_BOTH, 1028 * 1024)        \
    XX(GATHERED, 49, RENDEZVOUS_DOWN, 4 * 1024 * 1024) \
    XX(REMOTE_OUTPUT, 56, RENDEZVOUS_DOWN, 20 * 1024)  \
    XX(REMOTE_ENDED, 57, RENDEZVOUS_DOWN, 4 * 1024)

enum rendezvous_type {
#define XX(name, number, direction, max) RENDEZVOUS_##name = number,
    RENDEZVOUS_TYPE_MAP(XX)
#undef XX
};

/* One frame. The payload points into the reader's buffer and is valid until the next call on it. */
struct rendezvous_frame {
    uint8_t version;
    uint8_t type; /* an enum rendezvous_type value, checked */
    uint64_t attempt;
    const unsigned char *payload;
    uint32_t length;
};

/* "HELLO"; "?" for an unknown number. Owned by the table. */
const char *rendezvous_type_name(uint8_t type);

/* Takes a stream apart. `direction` is what the peer may send (UP on the controller). */
struct rendezvous_reader {
    enum rendezvous_direction direction;
    struct mlt_text buffer;
    size_t consumed; /* bytes of the buffer that the last frame used */
};

void rendezvous_reader_init(struct rendezvous_reader *r, enum rendezvous_direction direction);
void rendezvous_reader_release(struct rendezvous_reader *r);

/* Appends received bytes. -ENOBUFS when frames were not taken out (callers drain after each feed).
 */
int rendezvous_reader_feed(struct rendezvous_reader *r, const void *data, size_t length,
                           struct mlt_error *err) MLT_MUST_USE;

/* The next whole frame: 1 with *ret set, 0 when more bytes are needed, -EPROTO with words for an
 * unknown version, an unknown type, one that this side may not send, or a length above its type's
 * maximum. */
int rendezvous_reader_next(struct rendezvous_reader *r, struct rendezvous_frame *ret,
                           struct mlt_error *err) MLT_MUST_USE;

/* Appends one frame to *out. */
void rendezvous_frame_write(struct mlt_text *out, enum rendezvous_type type, uint64_t attempt,
                            const void *payload, size_t length);

#endif
