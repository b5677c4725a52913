/* Training steps: told by the ranks (libmltrain), else found in their output by the job's pattern.
 * No clock: times come in. */
#ifndef LAUNCHER_PROGRESS_H
#define LAUNCHER_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "rendezvous/message.h"

#define PROGRESS_LINE_MAX 4096                      /* bytes of a line that are searched */
#define PROGRESS_PATTERN_MAX RENDEZVOUS_PATTERN_MAX /* bytes */
#define PROGRESS_NEST_MAX 100                       /* parentheses inside parentheses */
#define PROGRESS_MATCH_LIMIT \
    5000 /* PCRE2 match limit, for each place of a line at which it tries */
#define PROGRESS_DEPTH_LIMIT 1000   /* PCRE2 depth limit */
#define PROGRESS_HEAP_KIB 512       /* PCRE2 heap limit */
#define PROGRESS_LIMIT_HITS_MAX 100 /* lines over a limit, after which the pattern is given up */
#define PROGRESS_SHARE 4         /* searching gets one part in so many of the launcher's time ... */
#define PROGRESS_BURST_US 200000 /* ... and so many microseconds ahead */
#define PROGRESS_SKIPPED_MAX 100 /* lines left out, after which that is told */
#define PROGRESS_STEP_MAX INT64_C(1000000000000) /* a larger number is none; as totalSteps */
#define PROGRESS_SAMPLES 60       /* one a second: the rate is over the last minute */
#define PROGRESS_INTERVAL_MS 1000 /* between two reports */

struct progress;

/* `pattern` is PCRE2, or empty for none; its group `step`, else its first group, else the whole
 * match is the step; a group `total` is optional. -EINVAL with PCRE2's words and the place,
 * -ENOMEM. */
int progress_new(const char *pattern, int64_t total_steps, struct progress **ret,
                 struct mlt_error *err) MLT_MUST_USE;
void progress_free(struct progress *p);

/* A new attempt: steps begin anew. */
void progress_restart(struct progress *p);

/* The limits on one line bound a search of it to some 50 ms, which is too much for each of the
 * lines of a rank that prints many. So the owner measures: it asks before a line whether there is
 * time for it, and tells after it how long it took. A line that is not searched does no harm:
 * another one tells the next step. */
bool progress_has_time(struct progress *p, int64_t now_us);
void progress_took(struct progress *p, int64_t us);

/* Searches one line of any rank. */
void progress_line(struct progress *p, const char *text, size_t length);

/* A rank has told its step, and of how many (0: unknown): from then on, until the next attempt,
 * lines count no more. */
void progress_told(struct progress *p, int64_t step, int64_t total);

/* When a step newer than the last report's is known and the last report is an interval ago (or
 * `now` is wanted, at a rank's end), fills *ret and gives true. */
bool progress_report(struct progress *p, int64_t now_ms, bool at_once,
                     struct rendezvous_progress *ret);

/* True once, when lines have hit a limit so often that the pattern was given up. */
bool progress_gave_up(struct progress *p);

/* True once, when so many lines were left out for lack of time. */
bool progress_is_slow(struct progress *p);

#endif
