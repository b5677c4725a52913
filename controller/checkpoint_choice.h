/* From which checkpoint the next attempt resumes. PURE. */
#ifndef CONTROLLER_CHECKPOINT_CHOICE_H
#define CONTROLLER_CHECKPOINT_CHOICE_H

#include <stdbool.h>
#include "trainingjob/status.h"

/* The newest complete checkpoint that is not skipped. `reports` (newest first) is what a launcher
 * last saw in the folder, `has_report` whether one has looked at all: the folder is the truth, the
 * status only its memory, so a checkpoint that is torn or gone by now is not chosen. Without a
 * report the status's checkpoint is. All ranks get one answer. NULL: from the beginning. The result
 * points into `reports` or `status`. */
const struct trainingjob_checkpoint *checkpoint_choose(const struct trainingjob_status *status,
                                                       const struct trainingjob_checkpoint *reports,
                                                       unsigned count, bool has_report);

#endif
