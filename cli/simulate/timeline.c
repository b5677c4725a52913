/* Sums over simulated time: see timeline.h. */
#include "cli/simulate/timeline.h"

#include <string.h>

void sim_timeline_init(struct sim_timeline *t)
{
    memset(t, 0, sizeof *t);
    t->bin_ms = SIM_BIN_MS;
}

static void add(struct sim_bin *bin, const struct sim_level *level, int64_t ms)
{
    sim_add_product(&bin->devices_ms, level->devices, ms);
    sim_add_product(&bin->waiting_ms, level->waiting, ms);
    sim_add_product(&bin->asked_ms, level->asked, ms);
    sim_add_product(&bin->partly_ms, level->partly, ms);
    if (level->waiting > bin->waiting_max)
        bin->waiting_max = level->waiting;
}

static void widen(struct sim_timeline *t)
{
    for (uint32_t i = 0; i < SIM_BINS_MAX / 2; i++) {
        struct sim_bin *to = &t->bin[i];
        const struct sim_bin *a = &t->bin[2 * i], *b = &t->bin[2 * i + 1];
        *to = (struct sim_bin){.devices_ms = a->devices_ms + b->devices_ms,
                               .waiting_ms = a->waiting_ms + b->waiting_ms,
                               .asked_ms = a->asked_ms + b->asked_ms,
                               .partly_ms = a->partly_ms + b->partly_ms,
                               .waiting_max = a->waiting_max > b->waiting_max ? a->waiting_max
                                                                              : b->waiting_max};
    }
    memset(&t->bin[SIM_BINS_MAX / 2], 0, sizeof t->bin / 2);
    t->bin_ms *= 2;
}

void sim_timeline_advance(struct sim_timeline *t, const struct sim_level *level, int64_t now_ms)
{
    if (now_ms <= t->now_ms)
        return;
    add(&t->total, level, now_ms - t->now_ms);
    while (now_ms > t->bin_ms * SIM_BINS_MAX)
        widen(t);
    while (t->now_ms < now_ms) {
        int64_t bin = t->now_ms / t->bin_ms, end = (bin + 1) * t->bin_ms;
        if (end > now_ms)
            end = now_ms;
        add(&t->bin[bin], level, end - t->now_ms);
        t->now_ms = end;
    }
}

uint32_t sim_timeline_bins(const struct sim_timeline *t)
{
    return (uint32_t)((t->now_ms + t->bin_ms - 1) / t->bin_ms);
}

int64_t sim_timeline_width(const struct sim_timeline *t, uint32_t bin)
{
    int64_t begin = bin * t->bin_ms, end = begin + t->bin_ms;
    return (end < t->now_ms ? end : t->now_ms) - begin;
}
