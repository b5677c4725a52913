/* Who is to blame for a failure after the first step: node, checkpoint, or data and code. The glue
 * between a job and the rule in poison.h. */
#ifndef CONTROLLER_SUSPECT_H
#define CONTROLLER_SUSPECT_H

#include <stdint.h>
#include "controller/failure_policy.h"
#include "controller/job.h"

#define FAILURE_MESSAGE_MAX 300 /* bytes of a failure's message */
#define FAILURE_MESSAGE_ROOM \
    (RENDEZVOUS_REASON_MAX + FAILURE_MESSAGE_MAX + 128) /* and before it is cut */

/* The last step that the judged attempt has told; TRAININGJOB_NONE: it made none. */
int64_t suspect_last_step(const struct job *job);

/* Judges the failure by the record in the draft. May change where the next attempt runs and from
 * what, or fail the job. */
void suspect_judge(struct job *job, struct failure_decision *decision);
/* Puts in front of a failed job's message why data or code are to blame, when they are. */
void suspect_explain(const struct job *job, const struct failure_decision *decision,
                     char message[FAILURE_MESSAGE_ROOM]);

#endif
