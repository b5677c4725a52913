/* Lines as the launcher relays them: "[r3 a1] text" from a rank's standard output, "[r3 a1!] text"
 * from its standard error, "[launcher] text" of its own. Pure. */
#ifndef CLI_LOG_LINE_H
#define CLI_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_LAUNCHER \
    INT64_C(-1) /* rank of the launcher's own lines, and of lines without a prefix */

struct log_line {
    int64_t rank;
    int64_t attempt;  /* 0 for the launcher's own lines */
    bool is_error;    /* from standard error */
    const char *text; /* into the line given, not terminated */
    size_t length;
};

/* Takes a line (without its newline) apart. Never fails: what has no prefix counts as the
 * launcher's. */
void log_line_parse(const char *line, size_t length, struct log_line *ret);

/* Which lines somebody wants to see. */
struct log_line_filter {
    int64_t rank;    /* LOG_LINE_LAUNCHER: all ranks */
    int64_t attempt; /* 0: all */
    bool with_launcher;
};
bool log_line_wanted(const struct log_line *line, const struct log_line_filter *filter);

#endif
