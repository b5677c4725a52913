/* Writes protobuf's wire format: https://protobuf.dev/programming-guides/encoding. Enough for one
 * document whose messages we know; nothing is read. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_PROTOBUF_WRITER_H
#define LOCALCLUSTER_API_PROTOBUF_WRITER_H

#include <stdint.h>
#include "lib/base/text.h"

static inline void protobuf_varint(struct mlt_text *out, uint64_t value)
{
    while (value >= 0x80) {
        mlt_text_putc(out, (char)(unsigned char)(value | 0x80));
        value >>= 7;
    }
    mlt_text_putc(out, (char)(unsigned char)value);
}

static inline void protobuf_bool(struct mlt_text *out, unsigned field, bool value)
{
    protobuf_varint(out, (uint64_t)field << 3);
    protobuf_varint(out, value ? 1 : 0);
}

static inline void protobuf_bytes(struct mlt_text *out, unsigned field, const char *data,
                                  size_t length)
{
    protobuf_varint(out, (uint64_t)field << 3 | 2);
    protobuf_varint(out, length);
    mlt_text_add(out, data, length);
}

void protobuf_string(struct mlt_text *out, unsigned field, const char *text); /* NULL: nothing */

/* A message inside a message: what was written into `inside` becomes the field; `inside` is
 * emptied. */
void protobuf_message(struct mlt_text *out, unsigned field, struct mlt_text *inside);

#endif
