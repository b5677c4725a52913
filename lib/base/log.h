/* Log lines for programs: `time level message key=value ...` on stderr. Libraries do not log.
 * Pure code never logs either: it hands out a log effect, and the edge calls mlt_log(). */
#ifndef MLT_BASE_LOG_H
#define MLT_BASE_LOG_H

#include "lib/base/error.h"

/* One macro gives enum, name and order. */
#define MLT_LOG_LEVEL_MAP(XX)                                                                               \
    XX(ERROR, "error")                                                                                      \
    XX(WARNING, "warning")                                                                                  \
    XX(INFO, "info")                                                                                        \
    XX(DEBUG, "debug")

enum mlt_log_level {
#define XX(name, text) MLT_LOG_##name,
    MLT_LOG_LEVEL_MAP(XX)
#undef XX
};

/* Names the program in each line and sets the highest level that is written. `program` is kept. */
void mlt_log_start(const char *program, enum mlt_log_level level);

/* Level from a name ("info"); -EINVAL with the choices. */
int mlt_log_level_parse(const char *name, enum mlt_log_level *ret_level, struct mlt_error *err) MLT_MUST_USE;

/* Writes one line at once (one write(2)), cut at MLT_LOG_LINE_MAX. `format` is the message, then
 * key=value pairs by habit:  mlt_log(MLT_LOG_INFO, "gang started job=%s attempt=%u", ...); control
 * characters are replaced so that one message stays one line. */
void mlt_log(enum mlt_log_level level, const char *format, ...) MLT_PRINTF(2, 3);

#define MLT_LOG_LINE_MAX 4096

#endif
