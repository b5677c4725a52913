/* What the controller's HTTP server answers: /metrics, /healthz and /readyz. Pure: the edge brings
 * the request's path and the time, and sends what comes back. */
#ifndef CONTROLLER_ENDPOINTS_H
#define CONTROLLER_ENDPOINTS_H

#include <stdint.h>
#include "lib/base/text.h"

#define ENDPOINTS_TIMER_LATE_MS \
    (30 * 1000) /* a timer that is so much overdue says that the loop does not turn */

struct controller;

/* Answers one request at `now_ms` (monotonic): the HTTP status, the body appended to `out`, its
 * type in `ret_content_type` (a constant).
 *
 * /healthz  200 while the loop turns and a lost lead has ended the process; 503 otherwise: the
 *           kubelet then starts the container again.
 * /readyz   200 when all collections have been listed, so that this controller could lead at once,
 *           and none is being asked to stop; a standby is ready too. 503 with what is missing.
 * /metrics  Prometheus text.
 * Others    404; methods other than GET and HEAD 405. */
int endpoints_answer(const struct controller *c, int64_t now_ms, const char *method,
                     const char *target, struct mlt_text *out, const char **ret_content_type);

#endif
