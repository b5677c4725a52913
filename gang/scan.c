/* Loops over arrays of numbers, in a form that compilers turn into vector instructions: no exit
 * inside, no calls. On x86-64 with gcc and glibc each exists for AVX-512, AVX2 and the baseline,
 * and the loader takes the best; elsewhere (arm64: NEON is baseline) the plain one is as good. */
#include "gang/fits.h"

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTOR __attribute__((target_clones("arch=skylake-avx512", "avx2", "default")))
#else
#define VECTOR
#endif

#define CHUNK 64 /* a search looks at so many at once, then for the one among them */

VECTOR uint32_t gang_scan_least(const uint32_t *values, uint32_t count, uint32_t least)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = values[i] >= least ? values[i] : UINT32_MAX;
        best = value < best ? value : best;
    }
    return best;
}

VECTOR uint32_t gang_scan_most_below(const uint32_t *values, uint32_t count, uint32_t bound)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = values[i] < bound ? values[i] : 0;
        best = value > best ? value : best;
    }
    return best;
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
    uint16_t best = UINT16_MAX, bound = (uint16_t)least;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t value = values[i] >= bound ? values[i] : UINT16_MAX;
        best = value < best ? value : best;
    }
    return best == UINT16_MAX ? UINT32_MAX : best;
}

VECTOR uint32_t gang_scan_most_below16(const uint16_t *values, uint32_t count, uint32_t bound)
{
    uint16_t best = 0, limit = (uint16_t)bound;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t value = values[i] < limit ? values[i] : 0;
        best = value > best ? value : best;
    }
    return best;
}

VECTOR uint32_t gang_scan_find16(const uint16_t *values, uint32_t count, uint32_t low,
                                 uint32_t high)
{
    uint16_t from = (uint16_t)low, span = (uint16_t)(high - low);
    uint32_t begin = 0;
    for (; begin + CHUNK <= count; begin += CHUNK) {
        uint16_t any = 0;
        for (uint32_t i = 0; i < CHUNK; i++)
            any |= (uint16_t)(values[begin + i] - from) <= span;
        if (any)
            break;
    }
    for (uint32_t i = begin; i < count; i++)
        if ((uint16_t)(values[i] - from) <= span)
            return i;
    return UINT32_MAX;
}

VECTOR uint64_t gang_scan_or(const uint64_t *words, uint32_t count)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < count; i++)
        all |= words[i];
    return all;
}
