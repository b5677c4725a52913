/* Frames of the channel: see frame.h. The reader keeps what has arrived in one bounded buffer; a
 * frame's header is judged as soon as its 14 bytes are there, so that nobody makes us wait for, or
 * store, a payload that is too long. */
#include "rendezvous/frame.h"

#include <errno.h>
#include <stdbool.h>

#include "rendezvous/wire.h"

#define FEED_MAX                                                                    \
    (64u * 1024) /* bytes that one feed may add behind a frame that is almost whole \
                  */

struct type_facts {
    const char *name; /* NULL: no such type */
    enum rendezvous_direction direction;
    uint32_t payload_max;
};

static const struct type_facts facts_of_type[] = {
#define XX(name, number, direction, max) [number] = {#name, direction, max},
    RENDEZVOUS_TYPE_MAP(XX)
#undef XX
};

static const struct type_facts *type_facts(uint8_t type)
{
    if (type >= sizeof facts_of_type / sizeof facts_of_type[0] || !facts_of_type[type].name)
        return NULL;
    return &facts_of_type[type];
}

const char *rendezvous_type_name(uint8_t type)
{
    const struct type_facts *facts = type_facts(type);
    return facts ? facts->name : "?";
}

static bool may_send(enum rendezvous_direction peer, enum rendezvous_direction type)
{
    return peer == RENDEZVOUS_BOTH || type == RENDEZVOUS_BOTH || peer == type;
}

static uint32_t largest_payload(enum rendezvous_direction peer)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < sizeof facts_of_type / sizeof facts_of_type[0]; i++) {
        const struct type_facts *facts = &facts_of_type[i];
        if (facts->name && may_send(peer, facts->direction) && facts->payload_max > largest)
            largest = facts->payload_max;
    }
    return largest;
}

void rendezvous_reader_init(struct rendezvous_reader *r, enum rendezvous_direction direction)
{
    *r = (struct rendezvous_reader){.direction = direction};
    mlt_text_init(&r->buffer, RENDEZVOUS_HEADER_SIZE + largest_payload(direction) + FEED_MAX);
}

void rendezvous_reader_release(struct rendezvous_reader *r)
{
    mlt_text_release(&r->buffer);
    r->consumed = 0;
}

/* Forgets the frames that were taken out. A buffer that a large frame has blown up is given back
 * when it is empty, because thousands of connections idle most of the time. */
static void drop_consumed(struct rendezvous_reader *r)
{
    mlt_text_consume(&r->buffer, r->consumed);
    r->consumed = 0;
    if (r->buffer.length == 0 && r->buffer.capacity > FEED_MAX)
        mlt_text_release(&r->buffer);
}

int rendezvous_reader_feed(struct rendezvous_reader *r, const void *data, size_t length,
                           struct mlt_error *err)
{
    drop_consumed(r);
    if (length > r->buffer.max - r->buffer.length)
        return mlt_fail(err, ENOBUFS,
                        "%zu bytes do not fit behind the %zu that wait to be taken out", length,
                        r->buffer.length);
    mlt_text_add(&r->buffer, data, length);
    if (r->buffer.failed) {
        r->buffer.failed =
            false; /* the content is as it was; the caller may try again or give up */
        return mlt_fail(err, ENOMEM, "out of memory for %zu received bytes", length);
    }
    return 0;
}

static int judge_header(const struct rendezvous_reader *r, const struct rendezvous_frame *frame,
                        struct mlt_error *err)
{
    if (frame->version < RENDEZVOUS_VERSION_MIN || frame->version > RENDEZVOUS_VERSION)
        return mlt_fail(err, EPROTO, "frame of protocol version %u, this side speaks %d to %d",
                        frame->version, RENDEZVOUS_VERSION_MIN, RENDEZVOUS_VERSION);
    const struct type_facts *facts = type_facts(frame->type);
    if (!facts)
        return mlt_fail(err, EPROTO, "frame of unknown type %u", frame->type);
    if (!may_send(r->direction, facts->direction))
        return mlt_fail(err, EPROTO, "%s may not be sent in this direction", facts->name);
    if (frame->length > facts->payload_max)
        return mlt_fail(err, EPROTO, "%s of %u bytes, at most %u are allowed", facts->name,
                        frame->length, facts->payload_max);
    return 0;
}

int rendezvous_reader_next(struct rendezvous_reader *r, struct rendezvous_frame *ret,
                           struct mlt_error *err)
{
    struct wire_reader in = {.data =
                                 (const unsigned char *)mlt_text_string(&r->buffer) + r->consumed,
                             .length = r->buffer.length - r->consumed};
    if (wire_left(&in) < RENDEZVOUS_HEADER_SIZE)
        return 0;
    struct rendezvous_frame frame = {.length = (uint32_t)wire_take_number(&in, 4)};
    frame.version = (uint8_t)wire_take_number(&in, 1);
    frame.type = (uint8_t)wire_take_number(&in, 1);
    frame.attempt = wire_take_number(&in, 8);
    int rc = judge_header(r, &frame, err);
    if (rc < 0)
        return rc;
    if (wire_left(&in) < frame.length)
        return 0;
    frame.payload = wire_take(&in, frame.length);
    r->consumed += in.at;
    *ret = frame;
    return 1;
}

void rendezvous_frame_write(struct mlt_text *out, enum rendezvous_type type, uint64_t attempt,
                            const void *payload, size_t length)
{
    const struct type_facts *facts = type_facts((uint8_t)type);
    if (!facts || length > facts->payload_max || out->failed ||
        RENDEZVOUS_HEADER_SIZE + length > out->max - out->length) {
        out->failed = true;
        return;
    }
    size_t start = out->length;
    wire_add_number(out, length, 4);
    wire_add_number(out, RENDEZVOUS_VERSION, 1);
    wire_add_number(out, (uint64_t)type, 1);
    wire_add_number(out, attempt, 8);
    mlt_text_add(out, payload, length);
    if (out->failed && out->data) { /* out of memory: no half frame stays behind */
        out->length = start;
        out->data[start] = '\0';
    }
}
