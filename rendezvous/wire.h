/* Numbers and bytes of the wire format, private to rendezvous/: big-endian integers, and bytes
 * behind a u32 length.
 *
 * The writer is an mlt_text, whose failure is sticky. The reader is bounded by the payload: what
 * would go past its end sets `failed`, gives zeros from then on, and never reads a byte beyond. */
#ifndef RENDEZVOUS_WIRE_H
#define RENDEZVOUS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/text.h"

struct wire_reader {
    const unsigned char *data;
    size_t length, at;
    bool failed; /* the payload ended within a field */
};

static inline size_t wire_left(const struct wire_reader *r)
{
    return r->length - r->at;
}

/* A pointer to the next `length` bytes, NULL when there are not so many. */
static inline const unsigned char *wire_take(struct wire_reader *r, size_t length)
{
    if (r->failed || length > wire_left(r)) {
        r->failed = true;
        return NULL;
    }
    const unsigned char *p = r->data + r->at;
    r->at += length;
    return p;
}

/* A big-endian unsigned number of `width` (1, 2, 4, 8) bytes. */
static inline uint64_t wire_take_number(struct wire_reader *r, unsigned width)
{
    const unsigned char *p = wire_take(r, width);
    uint64_t value = 0;
    for (unsigned i = 0; p && i < width; i++)
        value = value << 8 | p[i];
    return value;
}

static inline void wire_store(unsigned char *to, uint64_t value, unsigned width)
{
    for (unsigned i = width; i > 0; i--, value >>= 8)
        to[i - 1] = (unsigned char)(value & 0xff);
}

static inline void wire_add_number(struct mlt_text *out, uint64_t value, unsigned width)
{
    unsigned char bytes[8];
    wire_store(bytes, value, width);
    mlt_text_add(out, bytes, width);
}

#endif
