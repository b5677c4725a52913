/* The Secret that holds a job's pre-shared key for the channel. PURE. */
#ifndef CONTROLLER_JOB_KEY_H
#define CONTROLLER_JOB_KEY_H

#include "controller/controller.h"
#include "trainingjob/trainingjob.h"

/* Immutable and owned by the job; the controller creates it and never reads it. The caller frees
 * the result. */
cJSON *job_key_secret(const struct trainingjob *tj, const unsigned char key[CONTROLLER_KEY_SIZE]);

#endif
