/* How long a job waits before its next attempt. PURE. */
#ifndef CONTROLLER_BACKOFF_H
#define CONTROLLER_BACKOFF_H

#include <stdint.h>

#define RESTART_BACKOFF_BASE_MS 1000
#define RESTART_BACKOFF_MAX_MS (5 * 60 * 1000)

/* `fruitless`: failures in a row without a step or a checkpoint in between, the last one included.
 * The first restart is immediate (0 ms). Then the delay is below 1 s, 2 s, 4 s ... 5 min, and never
 * below half of that: where in between, `random` says (any number), so that jobs that failed
 * together do not come back together. */
int64_t restart_backoff_ms(int64_t fruitless, uint64_t random);

#endif
