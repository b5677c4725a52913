/* A rank's error file: see error_file.h. Format: torch/distributed/elastic/multiprocessing/errors/
 * error_handler.py. */
#include "launcher/error_file.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

struct scanner {
    const char *text;
    size_t length, at;
};

/* One line for people: control characters become spaces. */
struct line {
    char *to;
    size_t length;
};

static void add_byte(struct line *line, unsigned char byte)
{
    if (line->to && line->length < ERROR_FILE_MESSAGE_MAX - 1)
        line->to[line->length++] = (char)(byte < ' ' || byte == 127 ? ' ' : byte);
}

static void add_code_point(struct line *line, uint32_t code)
{
    if (line->length + 4 > ERROR_FILE_MESSAGE_MAX - 1)
        return; /* never half a character */
    if (code < 0x80) {
        add_byte(line, (unsigned char)code);
    } else if (code < 0x800) {
        add_byte(line, (unsigned char)(0xc0 | code >> 6));
        add_byte(line, (unsigned char)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        add_byte(line, (unsigned char)(0xe0 | code >> 12));
        add_byte(line, (unsigned char)(0x80 | (code >> 6 & 0x3f)));
        add_byte(line, (unsigned char)(0x80 | (code & 0x3f)));
    } else {
        add_byte(line, (unsigned char)(0xf0 | code >> 18));
        add_byte(line, (unsigned char)(0x80 | (code >> 12 & 0x3f)));
        add_byte(line, (unsigned char)(0x80 | (code >> 6 & 0x3f)));
        add_byte(line, (unsigned char)(0x80 | (code & 0x3f)));
    }
}

static bool read_hex(struct scanner *s, uint32_t *ret)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        if (s->at >= s->length || !isxdigit((unsigned char)s->text[s->at]))
            return false;
        char c = (char)tolower((unsigned char)s->text[s->at]);
        value = value * 16 + (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret = value;
    return true;
}

/* After the backslash. */
static bool read_escape(struct scanner *s, struct line *line)
{
    if (s->at >= s->length)
        return false;
    char c = s->text[s->at++];
    uint32_t code, low;
    switch (c) {
    case 'n':
    case 't':
    case 'r':
    case 'b':
    case 'f':
        add_byte(line, ' ');
        return true;
    case 'u':
        if (!read_hex(s, &code))
            return false;
        if (code >= 0xd800 && code < 0xdc00 && s->at + 6 <= s->length &&
            memcmp(s->text + s->at, "\\u", 2) == 0) {
            s->at += 2;
            if (!read_hex(s, &low))
                return false;
            code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
        }
        add_code_point(line, code >= 0xd800 && code < 0xe000 ? '?' : code);
        return true;
    default:
        add_byte(line, (unsigned char)c);
        return true;
    }
}

/* At the opening quote; leaves the place after the closing one. `line` may have no place to write.
 */
static bool read_string(struct scanner *s, struct line *line)
{
    for (s->at++; s->at < s->length;) {
        char c = s->text[s->at++];
        if (c == '"')
            return true;
        if (c != '\\')
            add_byte(line, (unsigned char)c);
        else if (!read_escape(s, line))
            return false;
    }
    return false;
}

static void skip_spaces(struct scanner *s)
{
    while (s->at < s->length && isspace((unsigned char)s->text[s->at]))
        s->at++;
}

void error_file_message(const char *text, size_t length, char *message)
{
    struct scanner s = {.text = text, .length = length};
    message[0] = '\0';
    while (s.at < s.length) {
        if (s.text[s.at] != '"') {
            s.at++;
            continue;
        }
        size_t start = s.at;
        struct line nowhere = {NULL, 0};
        if (!read_string(&s, &nowhere))
            return;
        bool named = s.at - start == 9 && memcmp(text + start, "\"message\"", 9) == 0;
        skip_spaces(&s);
        if (!named || s.at >= s.length || s.text[s.at] != ':')
            continue;
        s.at++;
        skip_spaces(&s);
        if (s.at >= s.length || s.text[s.at] != '"')
            continue;
        struct line line = {message, 0};
        bool whole = read_string(&s, &line);
        message[whole ? line.length : 0] = '\0';
        return;
    }
}

void error_file_read(const char *path, char *message)
{
    message[0] = '\0';
    /* Not blocking: the user may have put a FIFO there. */
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    cleanup_free char *text = malloc(ERROR_FILE_BYTES_MAX);
    if (!text)
        return;
    size_t length = 0;
    while (length < ERROR_FILE_BYTES_MAX) {
        ssize_t n = read(fd, text + length, ERROR_FILE_BYTES_MAX - length);
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    error_file_message(text, length, message);
}
