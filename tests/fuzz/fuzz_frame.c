/* rendezvous_reader: the same frames must come out of a stream wherever it is cut, and a broken
 * stream must break at the same place. First byte: direction and size of the pieces; the rest is
 * the stream. */
#include <stdint.h>
#include <stdlib.h>

#include "rendezvous/frame.h"

#define PIECE_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    uint64_t hash;
    int rc; /* of the last call of _next */
};

static void note(struct result *result, const struct rendezvous_frame *f)
{
    result->hash = (result->hash ^ f->type) * 31 + f->attempt;
    for (uint32_t i = 0; i < f->length; i++)
        result->hash = (result->hash ^ f->payload[i]) * 31;
}

static struct result take_apart(const uint8_t *data, size_t size,
                                enum rendezvous_direction direction, size_t piece)
{
    struct rendezvous_reader r;
    struct rendezvous_frame f;
    struct result result = {.hash = 1};
    rendezvous_reader_init(&r, direction);
    for (size_t at = 0; at < size && result.rc >= 0; at += piece) {
        size_t length = size - at < piece ? size - at : piece;
        if (rendezvous_reader_feed(&r, data + at, length, NULL) < 0)
            abort(); /* the reader is emptied after each piece, so there is always room */
        do {
            result.rc = rendezvous_reader_next(&r, &f, NULL);
            if (result.rc == 1)
                note(&result, &f);
        } while (result.rc == 1);
    }
    rendezvous_reader_release(&r);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum rendezvous_direction direction = (enum rendezvous_direction)(data[0] % 3);
    size_t piece = (size_t)data[0] / 3 % PIECE_MAX + 1;
    struct result pieces = take_apart(data + 1, size - 1, direction, piece);
    struct result larger = take_apart(data + 1, size - 1, direction, 65536);
    if (pieces.hash != larger.hash || pieces.rc != larger.rc)
        abort();
    return 0;
}
