/* Whether a checkpoint, a node, or the data and the code are to blame when attempts fail after they
 * have made steps. A strike is a charged failure, not for want of memory, after the first step of
 * an attempt that resumed from a checkpoint and completed no newer one. Two strikes against one
 * checkpoint on different nodes, or a third, and it is poisoned: the one before it is used instead,
 * once. If what resumed from there ends at the step of a strike, it was not the checkpoint. Why so:
 * docs/decisions/0007. PURE. */
#ifndef CONTROLLER_POISON_H
#define CONTROLLER_POISON_H

#include <stdbool.h>
#include <stdint.h>
#include "trainingjob/status.h"

#define POISON_STRIKES 2 /* so many on different nodes; one more on whatever nodes */

enum poison_verdict {
    POISON_NONE,
    POISON_MOVE,         /* the node may be to blame: its member goes to another one first */
    POISON_GO_BACK,      /* the checkpoint is not used again, the one before it is */
    POISON_NO_OLDER,     /* it would be so, but there is none before it */
    POISON_DATA_OR_CODE, /* the job fails */
};

struct poison_failure {
    bool charged, out_of_memory;
    int64_t step;              /* the last one of this attempt; TRAININGJOB_NONE: it made none */
    int64_t resume_step;       /* TRAININGJOB_NONE: from the beginning */
    int64_t newest_checkpoint; /* complete by now; TRAININGJOB_NONE */
    const char *node;          /* of the culprit */
    bool can_move;             /* another node could take its member */
    bool has_older;            /* there is a complete checkpoint before resume_step */
};

/* Judges a failure by the record and writes it into the record. */
enum poison_verdict poison_judge(struct trainingjob_poison *record,
                                 const struct poison_failure *failure);

/* A checkpoint is complete: one that is newer than every strike clears the record. */
void poison_note_checkpoint(struct trainingjob_poison *record, int64_t step);

#endif
