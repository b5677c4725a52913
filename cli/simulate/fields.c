/* Lines and fields: see fields.h. */
#include "cli/simulate/fields.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/simulate/trace.h"
#include "lib/base/clock_text.h"

#define SHOWN_MAX 40 /* bytes of a wrong value in a message */

int sim_lines_next(struct sim_lines *lines, struct sim_piece *ret_line, struct mlt_error *err)
{
    if (lines->at == lines->end)
        return 0;
    size_t left = (size_t)(lines->end - lines->at);
    const char *newline = memchr(lines->at, '\n', left);
    size_t length = newline ? (size_t)(newline - lines->at) : left;
    lines->number++;
    if (length > SIM_LINE_MAX)
        return mlt_fail(err, E2BIG, "line %" PRIu64 ": %zu bytes, expected at most %d",
                        lines->number, length, SIM_LINE_MAX);
    *ret_line = (struct sim_piece){lines->at, length};
    if (length > 0 && lines->at[length - 1] == '\r')
        ret_line->length--;
    lines->at += length + (newline ? 1 : 0);
    return 1;
}

size_t sim_split_commas(struct sim_piece line, struct sim_piece *ret_fields)
{
    size_t count = 0;
    for (;;) {
        const char *comma =
            count + 1 < SIM_COLUMNS_MAX && line.length ? memchr(line.at, ',', line.length) : NULL;
        size_t length = comma ? (size_t)(comma - line.at) : line.length;
        ret_fields[count++] = (struct sim_piece){line.at, length};
        if (!comma)
            return count;
        line.at += length + 1;
        line.length -= length + 1;
    }
}

size_t sim_split_blanks(struct sim_piece line, struct sim_piece *ret_fields)
{
    size_t count = 0, at = 0;
    while (count < SIM_COLUMNS_MAX) {
        while (at < line.length && (line.at[at] == ' ' || line.at[at] == '\t'))
            at++;
        if (at == line.length)
            break;
        size_t begin = at;
        while (at < line.length && line.at[at] != ' ' && line.at[at] != '\t')
            at++;
        ret_fields[count++] = (struct sim_piece){line.at + begin, at - begin};
    }
    return count;
}

bool sim_piece_is(struct sim_piece piece, const char *text)
{
    return strlen(text) == piece.length && memcmp(piece.at, text, piece.length) == 0;
}

struct sim_piece sim_piece_bare(struct sim_piece piece)
{
    while (piece.length > 0 && (piece.at[0] == ' ' || piece.at[0] == '\t'))
        piece = (struct sim_piece){piece.at + 1, piece.length - 1};
    while (piece.length > 0 &&
           (piece.at[piece.length - 1] == ' ' || piece.at[piece.length - 1] == '\t'))
        piece.length--;
    if (piece.length >= 2 && piece.at[0] == '"' && piece.at[piece.length - 1] == '"')
        piece = (struct sim_piece){piece.at + 1, piece.length - 2};
    return piece;
}

/* Of "this|that". */
static bool is_one_of(struct sim_piece piece, const char *names)
{
    for (;; names++) {
        size_t length = strcspn(names, "|");
        if (length == piece.length && memcmp(piece.at, names, length) == 0)
            return true;
        names += length;
        if (!*names)
            return false;
    }
}

int sim_columns(struct sim_piece heading, const char *const *names, size_t count,
                size_t *ret_columns, struct mlt_error *err)
{
    struct sim_piece fields[SIM_COLUMNS_MAX];
    size_t fields_count = sim_split_commas(heading, fields);
    for (size_t i = 0; i < fields_count; i++)
        fields[i] = sim_piece_bare(fields[i]);
    for (size_t i = 0; i < count; i++) {
        bool optional = names[i][0] == '?';
        size_t column = 0;
        while (column < fields_count && !is_one_of(fields[column], names[i] + optional))
            column++;
        if (column == fields_count && !optional)
            return mlt_fail(err, EINVAL, "line 1: no column `%.*s` in the heading",
                            (int)strcspn(names[i], "|"), names[i]);
        ret_columns[i] = column == fields_count ? SIZE_MAX : column;
    }
    return 0;
}

/* A printable copy of a wrong value. */
static const char *shown(struct sim_piece piece, char *text)
{
    size_t length = piece.length < SHOWN_MAX ? piece.length : SHOWN_MAX;
    for (size_t i = 0; i < length; i++)
        text[i] = isprint((unsigned char)piece.at[i]) ? piece.at[i] : '?';
    text[length] = '\0';
    return text;
}

int sim_integer(struct sim_piece piece, const char *name, int64_t min, int64_t max,
                int64_t *ret_value, struct mlt_error *err)
{
    char text[SHOWN_MAX + 1];
    size_t at = piece.length > 0 && piece.at[0] == '-' ? 1 : 0;
    int64_t value = 0;
    bool wrong = at == piece.length || piece.length - at > 18;
    for (size_t i = at; i < piece.length && !wrong; i++) {
        wrong = piece.at[i] < '0' || piece.at[i] > '9';
        value = value * 10 + (piece.at[i] - '0');
    }
    if (at)
        value = -value;
    if (wrong || value < min || value > max)
        return mlt_fail(err, EINVAL,
                        "%s: `%s`, expected a whole number from %" PRId64 " to %" PRId64, name,
                        shown(piece, text), min, max);
    *ret_value = value;
    return 0;
}

int sim_seconds(struct sim_piece piece, const char *name, int64_t *ret_ms, struct mlt_error *err)
{
    char text[SHOWN_MAX + 1];
    bool minus = piece.length > 0 && piece.at[0] == '-', wrong = false;
    size_t at = minus ? 1 : 0, digits = 0;
    int64_t seconds = 0, ms = 0, unit = 100;
    for (; at < piece.length && piece.at[at] != '.' && !wrong; at++, digits++) {
        wrong = piece.at[at] < '0' || piece.at[at] > '9' || digits >= 12;
        seconds = seconds * 10 + (piece.at[at] - '0');
    }
    wrong = wrong || digits == 0 || seconds > SIM_SECONDS_MAX;
    for (at++; at < piece.length && !wrong; at++, unit /= 10) {
        wrong = piece.at[at] < '0' || piece.at[at] > '9';
        ms += (piece.at[at] - '0') * unit;
    }
    if (wrong)
        return mlt_fail(err, EINVAL, "%s: `%s`, expected seconds up to %" PRId64, name,
                        shown(piece, text), SIM_SECONDS_MAX);
    ms += seconds * 1000;
    *ret_ms = minus ? -ms : ms;
    return 0;
}

int sim_time(struct sim_piece piece, const char *name, int64_t *ret_ms, struct mlt_error *err)
{
    char text[SHOWN_MAX + 1], rfc[SHOWN_MAX + 16];
    if (piece.length < SHOWN_MAX) {
        (void)snprintf(rfc, sizeof rfc, "%.*s%s", (int)piece.length, piece.at,
                       piece.length == 10   ? "T00:00:00Z"
                       : piece.length == 19 ? "Z"
                                            : "");
        if (strlen(rfc) > 10 && rfc[10] == ' ')
            rfc[10] = 'T';
        if (mlt_time_parse(rfc, ret_ms, NULL) == 0)
            return 0;
    }
    return mlt_fail(err, EINVAL, "%s: `%s`, expected a time like 2017-10-09 07:01:55", name,
                    shown(piece, text));
}
