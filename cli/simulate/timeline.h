/* Sums over simulated time in at most SIM_BINS_MAX bins of equal width. The end is not known
 * before, so bins are made twice as wide whenever they run out. Whole numbers: exact. */
#ifndef CLI_SIMULATE_TIMELINE_H
#define CLI_SIMULATE_TIMELINE_H

#include <stdint.h>

#define SIM_BINS_MAX 2048u
#define SIM_BIN_MS INT64_C(60000) /* at first */

/* What holds from one event to the next. */
struct sim_level {
    int64_t devices; /* held by jobs */
    int64_t waiting; /* jobs */
    int64_t asked;   /* devices that waiting jobs ask for */
    int64_t partly;  /* nodes of which some devices are free, and some not */
};

struct sim_bin {
    int64_t devices_ms, waiting_ms, asked_ms, partly_ms;
    int64_t waiting_max;
};

struct sim_timeline {
    struct sim_bin bin[SIM_BINS_MAX];
    int64_t bin_ms, now_ms;
    struct sim_bin total;
};

/* *sum += amount * ms, at most INT64_MAX: only what no cluster does gets there. */
static inline void sim_add_product(int64_t *sum, int64_t amount, int64_t ms)
{
    int64_t product;
    if (__builtin_mul_overflow(amount, ms, &product) || __builtin_add_overflow(*sum, product, sum))
        *sum = INT64_MAX;
}

void sim_timeline_init(struct sim_timeline *t);
/* `level` held from the last call's time up to now_ms. */
void sim_timeline_advance(struct sim_timeline *t, const struct sim_level *level, int64_t now_ms);
/* Bins up to now: the last one may be cut. */
uint32_t sim_timeline_bins(const struct sim_timeline *t);
/* The width of a bin up to now, in ms. */
int64_t sim_timeline_width(const struct sim_timeline *t, uint32_t bin);

#endif
