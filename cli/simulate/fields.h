/* Lines and fields of text tables, without a copy: pieces of the bytes that were read. Pure. Errors
 * name line, column, value and what was expected. */
#ifndef CLI_SIMULATE_FIELDS_H
#define CLI_SIMULATE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"

#define SIM_LINE_MAX 65536 /* bytes of one line */
#define SIM_COLUMNS_MAX 64 /* of one line; those beyond belong to the last one */

struct sim_piece {
    const char *at;
    size_t length;
};

struct sim_lines {
    const char *at, *end;
    uint64_t number; /* of the line that was taken last, from 1 */
};

/* The next line without its newline (and carriage return): 1, 0 at the end, -E2BIG for one that is
 * longer than SIM_LINE_MAX. */
int sim_lines_next(struct sim_lines *lines, struct sim_piece *ret_line,
                   struct mlt_error *err) MLT_MUST_USE;

/* Splits at commas (none of the formats has one between quotes), or at runs of blanks. Returns the
 * number of fields, at most SIM_COLUMNS_MAX. */
size_t sim_split_commas(struct sim_piece line, struct sim_piece *ret_fields);
size_t sim_split_blanks(struct sim_piece line, struct sim_piece *ret_fields);

bool sim_piece_is(struct sim_piece piece, const char *text);

/* Without blanks around it, and without quotes around what is left. */
struct sim_piece sim_piece_bare(struct sim_piece piece);

/* The position of each of `names` in a heading: -EINVAL naming one that is missing. "this|that" is
 * one of two names, and missing under the first; those that begin with '?' may be missing: SIZE_MAX then. */
int sim_columns(struct sim_piece heading, const char *const *names, size_t count,
                size_t *ret_columns, struct mlt_error *err) MLT_MUST_USE;

/* "1234" from min to max; -EINVAL with `name`, the value and what was expected. */
int sim_integer(struct sim_piece piece, const char *name, int64_t min, int64_t max,
                int64_t *ret_value, struct mlt_error *err) MLT_MUST_USE;

/* Seconds with an optional fraction, "66" or "66.25" or "-1", in ms: at most SIM_SECONDS_MAX. What
 * is finer than ms is cut off. */
int sim_seconds(struct sim_piece piece, const char *name, int64_t *ret_ms,
                struct mlt_error *err) MLT_MUST_USE;

/* "2017-10-09 07:01:55" (UTC) or RFC 3339, or "2017-10-09", in ms since 1970. */
int sim_time(struct sim_piece piece, const char *name, int64_t *ret_ms,
             struct mlt_error *err) MLT_MUST_USE;

#endif
