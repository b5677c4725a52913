/* Lines between a training program and its launcher: see socket_message.h. */
#include "sdk/socket_message.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

char *sdk_reader_space(struct sdk_reader *r, size_t *ret_room)
{
    if (r->start > 0) {
        memmove(r->data, r->data + r->start, r->length - r->start);
        r->length -= r->start;
        r->start = 0;
    }
    *ret_room = SDK_LINE_MAX - r->length;
    return r->data + r->length;
}

/* Takes a number and, unless it is the last word, the space behind it. */
static bool take_number(const char **at, bool last, int64_t *ret)
{
    const char *c = *at;
    int64_t value = 0;
    for (; *c >= '0' && *c <= '9'; c++) {
        value = value * 10 + (*c - '0');
        if (value > SDK_NUMBER_MAX)
            return false;
    }
    if (c == *at || *c != (last ? '\0' : ' '))
        return false;
    *at = last ? c : c + 1;
    *ret = value;
    return true;
}

static bool take_word(const char **at, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*at, word, length) != 0 || (*at)[length] != ' ')
        return false;
    *at += length + 1;
    return true;
}

static bool parse(const char *line, struct sdk_message *ret)
{
    const char *at = line;
    if (take_word(&at, "report")) {
        ret->kind = SDK_REPORT;
        return take_number(&at, false, &ret->step) && take_number(&at, true, &ret->total);
    }
    if (take_word(&at, "ask")) {
        ret->kind = SDK_ASK;
        return take_number(&at, true, &ret->step);
    }
    if (take_word(&at, "hello")) {
        ret->kind = SDK_HELLO;
        return take_number(&at, false, &ret->version) && take_number(&at, false, &ret->rank) &&
               take_number(&at, true, &ret->attempt);
    }
    if (take_word(&at, "committed") && take_number(&at, false, &ret->step)) {
        ret->kind = SDK_COMMITTED;
        ret->path = at;
        return *at && strlen(at) <= SDK_PATH_MAX;
    }
    return false;
}

int sdk_reader_next(struct sdk_reader *r, struct sdk_message *ret)
{
    char *line = r->data + r->start;
    size_t waiting = r->length - r->start;
    char *end = memchr(line, '\n', waiting);
    if (!end)
        return waiting >= SDK_LINE_MAX ? -EPROTO : 0;
    *end = '\0';
    r->start += (size_t)(end - line) + 1;
    struct sdk_message message = {0};
    if (strlen(line) != (size_t)(end - line) || !parse(line, &message))
        return -EPROTO;
    *ret = message;
    return 1;
}

enum sdk_answer sdk_answer_of(const char *line)
{
    if (strcmp(line, "save") == 0)
        return SDK_ANSWER_SAVE;
    if (strcmp(line, "go") == 0)
        return SDK_ANSWER_GO;
    return take_word(&line, "refused") ? SDK_ANSWER_REFUSED : SDK_ANSWER_NONE;
}

/* ---- writing ---- */

int sdk_message_write(const struct sdk_message *m, char *buffer, size_t size)
{
    int length = -1;
    const int64_t numbers[] = {m->version, m->rank, m->attempt, m->step, m->total};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i] < 0 || numbers[i] > SDK_NUMBER_MAX)
            return -EINVAL;
    if (m->kind == SDK_HELLO)
        length = snprintf(buffer, size, "hello %lld %lld %lld\n", (long long)m->version,
                          (long long)m->rank, (long long)m->attempt);
    else if (m->kind == SDK_REPORT)
        length =
            snprintf(buffer, size, "report %lld %lld\n", (long long)m->step, (long long)m->total);
    else if (m->kind == SDK_ASK)
        length = snprintf(buffer, size, "ask %lld\n", (long long)m->step);
    else if (m->kind == SDK_COMMITTED && m->path && m->path[0] && !strchr(m->path, '\n') &&
             strlen(m->path) <= SDK_PATH_MAX)
        length = snprintf(buffer, size, "committed %lld %s\n", (long long)m->step, m->path);
    if (length < 0)
        return -EINVAL;
    return (size_t)length < size ? length : -ENOBUFS;
}
