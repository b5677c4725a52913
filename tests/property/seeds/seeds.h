/* What tests over many seeds share: settings from the environment, and the test of the test. */
#ifndef TESTS_PROPERTY_SEEDS_H
#define TESTS_PROPERTY_SEEDS_H

#include <stddef.h>
#include <stdint.h>

/* Which are to be played: only that of PREFIX_SEED where the environment has it, or from 1 on as many
 * as PREFIX_SEEDS says, else `otherwise`. What is no number fails the test. */
struct seeds_range {
    uint64_t first, count;
};
struct seeds_range seeds_range(const char *prefix, uint64_t otherwise);

/* A bug that a test can build in, in words. */
struct seeds_mistake {
    const char *sentence;
    int bug; /* what `run` knows it by */
};

/* The violation that this seed leads to with this bug, or NULL. */
typedef const char *seeds_run(uint64_t seed, int bug);

/* Each of them must be noticed with one of the seeds 1 to `max`; says with which, or fails. */
void seeds_catch_mistakes(const struct seeds_mistake *mistakes, size_t count, seeds_run *run,
                          uint64_t max);

#endif
