/* What the tables and pages of objects share: times, ages, and words of strangers on a terminal.
 * Pure: the time comes in. */
#ifndef CLI_CELL_TEXT_H
#define CLI_CELL_TEXT_H

#include <cjson/cJSON.h>
#include <stdint.h>

/* The time (RFC 3339) at `path` of an object, in ms since 1970; 0 when there is none. */
int64_t cell_time(const cJSON *object, const char *path);

/* How long ago `since_ms` was, "" for 0; `text` holds MLT_TIME_TEXT_MAX bytes. */
void cell_age(int64_t since_ms, int64_t now_ms, char *text);

/* Words of a status or an event may be anybody's: a terminal must not obey them. A tab becomes a
 * blank, another control character but the end of a line `?`, also one of C1 (U+0080 to U+009F:
 * bytes C2 80 to C2 9F). */
void cell_make_harmless(char *text);

#endif
