/* Relayed lines: see log_line.h. */
#include "cli/log_line.h"

#include <string.h>

/* Reads digits up to a sane length; false when there are none. */
static bool read_number(const char **p, const char *end, int64_t *ret)
{
    int64_t number = 0;
    const char *start = *p;
    for (; *p < end && **p >= '0' && **p <= '9' && *p - start < 18; (*p)++)
        number = number * 10 + (**p - '0');
    *ret = number;
    return *p > start;
}

static bool read_word(const char **p, const char *end, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(end - *p) < length || memcmp(*p, word, length) != 0)
        return false;
    *p += length;
    return true;
}

void log_line_parse(const char *line, size_t length, struct log_line *ret)
{
    const char *p = line, *end = line + length;
    struct log_line found = {.rank = LOG_LINE_LAUNCHER};
    *ret = (struct log_line){
        .rank = LOG_LINE_LAUNCHER, .is_error = true, .text = line, .length = length};
    if (read_word(&p, end, "[launcher] ")) {
        ret->text = p;
        ret->length = (size_t)(end - p);
        return;
    }
    if (!read_word(&p, end, "[r") || !read_number(&p, end, &found.rank) ||
        !read_word(&p, end, " a") || !read_number(&p, end, &found.attempt))
        return;
    found.is_error = read_word(&p, end, "!");
    if (!read_word(&p, end, "]"))
        return;
    if (p < end && *p == ' ')
        p++;
    found.text = p;
    found.length = (size_t)(end - p);
    *ret = found;
}

bool log_line_wanted(const struct log_line *line, const struct log_line_filter *filter)
{
    if (line->rank == LOG_LINE_LAUNCHER)
        return filter->with_launcher && filter->rank == LOG_LINE_LAUNCHER;
    return (filter->rank == LOG_LINE_LAUNCHER || filter->rank == line->rank) &&
           (filter->attempt == 0 || filter->attempt == line->attempt);
}
