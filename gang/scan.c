/* Loops over arrays of numbers, in a form that compilers turn into vector instructions: no exit
 * inside, no calls. On x86-64 with gcc and glibc each exists for AVX-512, for AVX2 and for the
 * baseline, and the loader takes the best; elsewhere (arm64: NEON is baseline) the plain one is as
 * good. */
#include "gang/fits.h"

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTOR
#endif

#define CHUNK 64 /* a search looks at so many at once, then for the one among them */

/* What is left over above `least`, as an unsigned number: those below wrap around and are larger
 * than all that count. So the least of the differences is all that has to be found. */
VECTOR uint32_t gang_scan_least(const uint32_t *values, uint32_t count, uint32_t least)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t over = values[i] - least;
        best = over < best ? over : best;
    }
    return best + least < least ? UINT32_MAX : best + least;
}

VECTOR uint32_t gang_scan_most_below(const uint32_t *values, uint32_t count, uint32_t bound)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t under = bound - 1 - values[i];
        best = under < best ? under : best;
    }
    return best < bound ? bound - 1 - best : 0;
}

VECTOR uint32_t gang_scan_find(const uint32_t *values, uint32_t count, uint32_t value)
{
    uint32_t begin = 0;
    for (; begin + CHUNK <= count; begin += CHUNK) {
        uint32_t any = 0;
        for (uint32_t i = 0; i < CHUNK; i++)
            any |= values[begin + i] == value;
        if (any)
            break;
    }
    for (uint32_t i = begin; i < count; i++)
        if (values[i] == value)
            return i;
    return UINT32_MAX;
}

VECTOR uint32_t gang_scan_least16(const uint16_t *values, uint32_t count, uint32_t least)
{
    uint16_t best = UINT16_MAX, from = (uint16_t)least;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t over = (uint16_t)(values[i] - from);
        best = over < best ? over : best;
    }
    return (uint16_t)(best + from) < from ? UINT32_MAX : (uint16_t)(best + from);
}

VECTOR uint32_t gang_scan_most_below16(const uint16_t *values, uint32_t count, uint32_t bound)
{
    uint16_t best = UINT16_MAX, from = (uint16_t)(bound - 1);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t under = (uint16_t)(from - values[i]);
        best = under < best ? under : best;
    }
    return best < bound ? bound - 1 - best : 0;
}

/* Bytes of 0 and 1 become bits: the product moves the eight of a word into its highest byte. */
VECTOR uint64_t gang_scan_match16(const uint16_t *values, uint32_t low, uint32_t high)
{
    uint16_t from = (uint16_t)low, span = (uint16_t)(high - low);
    uint8_t hits[64];
    uint64_t bits = 0;
    for (uint32_t i = 0; i < 64; i++)
        hits[i] = (uint16_t)(values[i] - from) <= span;
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t eight = 0;
        for (uint32_t k = 0; k < 8; k++)
            eight |= (uint64_t)hits[i * 8 + k] << (k * 8);
        bits |= (eight * UINT64_C(0x0102040810204080) >> 56) << (i * 8);
    }
    return bits;
}

VECTOR uint64_t gang_scan_or(const uint64_t *words, uint32_t count)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < count; i++)
        all |= words[i];
    return all;
}
