/* A seeded generator: equal seeds give equal numbers on every machine. xoshiro256**, seeded by
 * splitmix64 (Blackman and Vigna, https://prng.di.unimi.it/). Not for secrets. */
#ifndef MLT_BASE_RANDOM_H
#define MLT_BASE_RANDOM_H

#include <stdint.h>

struct mlt_random {
    uint64_t state[4];
};

void mlt_random_init(struct mlt_random *r, uint64_t seed);
uint64_t mlt_random_next(struct mlt_random *r);

/* A number from 0 to bound - 1, without bias; bound 0 gives 0. */
uint64_t mlt_random_below(struct mlt_random *r, uint64_t bound);

/* A number from min to max, both included. */
int64_t mlt_random_between(struct mlt_random *r, int64_t min, int64_t max);

#endif
