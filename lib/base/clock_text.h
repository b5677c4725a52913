/* Points in time as Kubernetes writes them (RFC 3339, UTC), and durations for people. Pure: no clock. */
#ifndef MLT_BASE_CLOCK_TEXT_H
#define MLT_BASE_CLOCK_TEXT_H

#include <stdint.h>
#include "lib/base/error.h"

#define MLT_TIME_TEXT_MAX 40

/* `wall_ms` is milliseconds since 1970 UTC; `text` holds MLT_TIME_TEXT_MAX bytes. */
void mlt_time_format(int64_t wall_ms, char *text);       /* metav1.Time: 2026-11-24T17:09:56Z */
void mlt_time_format_micro(int64_t wall_us, char *text); /* metav1.MicroTime: six digits */

/* Accepts fractions and offsets. -EINVAL. */
int mlt_time_parse(const char *text, int64_t *ret_wall_ms, struct mlt_error *err) MLT_MUST_USE;

/* kubectl's way: 45s, 3m12s, 5h, 2d4h. `text` holds MLT_TIME_TEXT_MAX bytes. */
void mlt_duration_for_people(int64_t seconds, char *text);

#endif
