/* Seeded random numbers: see random.h. */
#include "lib/base/random.h"

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void mlt_random_init(struct mlt_random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->state[i] = z ^ (z >> 31);
    }
}

uint64_t mlt_random_next(struct mlt_random *r)
{
    uint64_t *s = r->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t mlt_random_below(struct mlt_random *r, uint64_t bound)
{
    if (bound == 0)
        return 0;
    uint64_t threshold = -bound % bound; /* numbers below it would make small results likelier */
    uint64_t x;
    do
        x = mlt_random_next(r);
    while (x < threshold);
    return x % bound;
}

int64_t mlt_random_between(struct mlt_random *r, int64_t min, int64_t max)
{
    return min + (int64_t)mlt_random_below(r, (uint64_t)(max - min) + 1);
}
