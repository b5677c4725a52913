/* One resume step for all ranks: see checkpoint_choice.h. PURE. */
#include "controller/checkpoint_choice.h"

#include <stddef.h>

const struct trainingjob_checkpoint *checkpoint_choose(const struct trainingjob_status *status,
                                                       const struct trainingjob_checkpoint *reports,
                                                       unsigned count, bool has_report)
{
    const struct trainingjob_checkpoint *best = NULL;
    if (!has_report) {
        reports = &status->checkpoint;
        count = 1;
    }
    for (unsigned i = 0; i < count; i++)
        if (reports[i].step >= 0 && !trainingjob_skips(status, reports[i].step) &&
            (!best || reports[i].step > best->step))
            best = &reports[i];
    return best;
}
