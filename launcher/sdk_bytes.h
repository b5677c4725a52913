/* Bytes that many connections are sent: kept once, freed with the last of them. */
#ifndef LAUNCHER_SDK_BYTES_H
#define LAUNCHER_SDK_BYTES_H

#include <stdint.h>
#include <stdlib.h>

struct sdk_bytes {
    uint32_t references;
    size_t length;
    unsigned char data[];
};

/* With one reference, the caller's. NULL without memory. */
static inline struct sdk_bytes *sdk_bytes_new(size_t length)
{
    struct sdk_bytes *b = malloc(sizeof *b + length);
    if (b) {
        b->references = 1;
        b->length = length;
    }
    return b;
}

static inline struct sdk_bytes *sdk_bytes_ref(struct sdk_bytes *b)
{
    if (b)
        b->references++;
    return b;
}

/* NULL is fine. */
static inline void sdk_bytes_unref(struct sdk_bytes *b)
{
    if (b && --b->references == 0)
        free(b);
}

#endif
