/* One resume step for all ranks: see checkpoint_choice.h. PURE. */
#include "controller/checkpoint_choice.h"

/* Whether `a` is to be preferred to `b`. */
static bool is_better(const struct trainingjob_status *status,
                      const struct trainingjob_checkpoint *a,
                      const struct trainingjob_checkpoint *b)
{
    bool skipped = trainingjob_skips(status, a->step);
    if (a->step < 0 || b->step < 0 || skipped == trainingjob_skips(status, b->step))
        return a->step > b->step;
    return !skipped;
}

struct trainingjob_checkpoint checkpoint_choose(const struct trainingjob_status *status,
                                                const struct trainingjob_checkpoint *reports,
                                                unsigned count, bool has_report)
{
    struct trainingjob_checkpoint best = {.step = TRAININGJOB_NONE};
    if (!has_report)
        return status->checkpoint;
    for (unsigned i = 0; i < count; i++)
        if (is_better(status, &reports[i], &best))
            best = reports[i];
    return best;
}

bool checkpoint_has_older(const struct trainingjob_status *status,
                          const struct trainingjob_checkpoint *reports, unsigned count,
                          int64_t step)
{
    for (unsigned i = 0; i < count; i++)
        if (reports[i].step < step && !trainingjob_skips(status, reports[i].step))
            return true;
    return false;
}

int64_t checkpoint_lost(const struct trainingjob_status *status, int64_t known, int64_t chosen)
{
    const int64_t expected[] = {known, status->recovery.resume_step};
    int64_t lost = TRAININGJOB_NONE;
    for (unsigned i = 0; i < 2; i++)
        if (expected[i] > chosen && expected[i] > lost && !trainingjob_skips(status, expected[i]))
            lost = expected[i];
    return lost;
}
