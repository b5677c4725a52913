/* Output of `run`: the ranks' lines, and below them, on a terminal, one line that shows how the job
 * stands; elsewhere that line is printed when it says something new. */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include "cli/log_line.h"
#include "lib/base/error.h"

#define SCREEN_REPEAT_MS 10000 /* between two progress lines that are not on a terminal */

struct screen {
    bool is_terminal, quiet;
    int columns;
    int64_t failures, attempt; /* that were told */
    int64_t printed_ms;
    char phase[32];
    char last[512];
    bool broken; /* standard output is, and that was said */
    bool shown;  /* the progress line stands at the bottom */
};

void screen_init(struct screen *s, bool quiet);
void screen_line(struct screen *s, const char *pod, const struct log_line *line);
/* The job changed: tells new failures and attempts, and how it stands. */
void screen_job(struct screen *s, const cJSON *job, int64_t now_ms, int64_t wall_ms);
/* A line of mltrain's own. */
void screen_say(struct screen *s, const char *format, ...) MLT_PRINTF(2, 3);
void screen_end(struct screen *s);

#endif
