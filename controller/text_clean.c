/* UTF-8, checked: see text_clean.h. PURE. */
#include "controller/text_clean.h"

#include <string.h>

#define RULER_MIN 20 /* characters; Open MPI's have 74, torchrun's 60 and mpiexec's 79 */

/* Bytes of the well-formed character at `s`; 0 when there is none. */
static size_t character(const unsigned char *s)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high;
        size_t length;
    } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    if (s[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (s[0] < forms[i].first_low || s[0] > forms[i].first_high || s[1] < forms[i].second_low ||
            s[1] > forms[i].second_high)
            continue;
        for (size_t k = 2; k < forms[i].length; k++)
            if (s[k] < 0x80 || s[k] > 0xBF)
                return 0;
        return forms[i].length;
    }
    return 0;
}

bool text_is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        size_t length = character(s);
        if (!length)
            return false;
        s += length;
    }
    return true;
}

void text_clean(char *text)
{
    unsigned char *s = (unsigned char *)text;
    while (*s) {
        size_t length = character(s);
        if (!length)
            *s = '?';
        s += length ? length : 1;
    }
}

/* Behind an escape sequence: "ESC [ parameters letter" (ECMA-48) or ESC and one character. */
static const unsigned char *skip_escape(const unsigned char *s)
{
    if (*++s != '[')
        return *s ? s + 1 : s;
    for (s++; *s >= 0x20 && *s <= 0x3F; s++)
        continue;
    return *s >= 0x40 && *s <= 0x7E ? s + 1 : s;
}

void text_plain(char *text, bool keep_lines)
{
    const unsigned char *from = (const unsigned char *)text;
    char *to = text;
    while (*from) {
        unsigned char c = *from;
        if (c == 0x1B) {
            from = skip_escape(from);
            continue;
        }
        from++;
        if (c == '\n' || c == '\r')
            *to++ = keep_lines ? '\n' : ' ';
        else if (c == '\t')
            *to++ = ' ';
        else if (c >= 0x20 && c != 0x7F)
            *to++ = (char)c;
    }
    while (to > text && (to[-1] == ' ' || to[-1] == '\n'))
        to--;
    *to = 0;
    text_clean(text);
}

static bool is_inside_character(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

const char *text_last_lines(const char *text, size_t lines, size_t bytes)
{
    size_t length = strlen(text);
    const char *from = text + length;
    while (from > text && (size_t)(text + length - from) < bytes) {
        if (from[-1] == '\n' && --lines == 0)
            break;
        from--;
    }
    while (is_inside_character(*from))
        from++;
    return from;
}

/* The beginning of the last line with this mark in it; NULL: none. */
static const char *last_line_with(const char *text, const char *mark)
{
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, mark)); at++)
        found = at;
    while (found && found > text && found[-1] != '\n')
        found--;
    return found;
}

/* A line of dashes and the like. */
static size_t ruler_length(const char *line)
{
    size_t length = *line ? strspn(line, (const char[]){*line, 0}) : 0;
    return length >= RULER_MIN && strchr("-=*#_", *line) && (line[length] == '\n' || !line[length])
               ? length
               : 0;
}

/* MPI's starters and torchrun put what they have to say between two rulers: where the text ends with
 * one, the first line behind the other tells most. Where that is not in the text any more, the last
 * line within. NULL: no ruler. */
static const char *line_in_box(const char *text)
{
    const char *end = text_last_lines(text, 1, strlen(text)), *begin = NULL, *last = NULL;
    size_t length = ruler_length(end);
    for (const char *at = text; length && at < end; at = strchr(at, '\n') + 1) {
        if (ruler_length(at) == length && *at == *end)
            begin = at + length + 1;
        else if (ruler_length(at) == 0 && *at != '\n')
            last = at;
    }
    return begin && begin < end && *begin != '\n' ? begin : last;
}

void text_telling_line(const char *text, char *ret_line, size_t size)
{
    static const char *const marks[] = {"what():", "Fatal Python error:"};
    const char *line = NULL;
    for (size_t i = 0; !line && i < sizeof marks / sizeof marks[0]; i++)
        line = last_line_with(text, marks[i]);
    if (!line)
        line = line_in_box(text);
    if (!line)
        line = text_last_lines(text, 1, size - 1);
    line += strspn(line, " ");
    size_t length = strcspn(line, "\n");
    if (length >= size)
        length = size - 1;
    while (length > 0 && is_inside_character(line[length]))
        length--;
    memcpy(ret_line, line, length);
    ret_line[length] = 0;
}

void text_cut(char *text, size_t bytes)
{
    if (strlen(text) <= bytes)
        return;
    while (bytes > 0 && is_inside_character(text[bytes]))
        bytes--;
    text[bytes] = 0;
}
