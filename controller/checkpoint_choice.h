/* From which checkpoint the next attempt resumes. PURE. */
#ifndef CONTROLLER_CHECKPOINT_CHOICE_H
#define CONTROLLER_CHECKPOINT_CHOICE_H

#include <stdbool.h>
#include "trainingjob/status.h"

/* The newest complete checkpoint that is not skipped. `reports` is what a launcher last saw in the
 * folder, `has_report` whether one has looked at all: the folder is the truth, the status only its
 * memory, so a checkpoint that is torn or gone by now is not chosen. Without a report the status's
 * checkpoint is. When all are skipped, the newest of them: a suspect is better than to begin anew.
 * All ranks get one answer; its step is TRAININGJOB_NONE: from the beginning. Its path belongs to
 * `reports` or `status`. */
struct trainingjob_checkpoint checkpoint_choose(const struct trainingjob_status *status,
                                                const struct trainingjob_checkpoint *reports,
                                                unsigned count, bool has_report);

/* Whether there is a complete checkpoint before `step` that is not skipped. */
bool checkpoint_has_older(const struct trainingjob_status *status,
                          const struct trainingjob_checkpoint *reports, unsigned count,
                          int64_t step);

/* The checkpoint that the next attempt should have resumed from when it was complete once and is
 * damaged or gone: the newest of `known` (complete when it was last seen) and of what the last
 * attempt resumed from. TRAININGJOB_NONE when the next attempt goes back behind neither (`chosen`),
 * or only because they are skipped. */
int64_t checkpoint_lost(const struct trainingjob_status *status, int64_t known, int64_t chosen);

#endif
