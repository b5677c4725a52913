/* Lines between a training program and its launcher: see socket_message.h. */
#include "sdk/socket_message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WORLD_DIGITS 16

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

/* Takes a word that another one follows. */
static bool take_name(char **at, const char **ret)
{
    char *end = strchr(*at, ' ');
    if (!end)
        return false;
    *end = '\0';
    *ret = *at;
    *at = end + 1;
    return sdk_name_is_valid(*ret);
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes the rest of the line, over which the bytes are written. */
static bool take_data(char *at, struct sdk_message *ret)
{
    unsigned char *to = (unsigned char *)at;
    size_t length = strlen(at);
    ret->data = to;
    if (strcmp(at, "-") == 0)
        return true;
    if (length == 0 || length % 2 || length / 2 > SDK_DATA_MAX)
        return false;
    for (size_t i = 0; i < length; i += 2) {
        int high = digit_of(at[i]), low = digit_of(at[i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i / 2] = (unsigned char)(high << 4 | low);
    }
    ret->length = length / 2;
    return true;
}

static bool take_time(const char **at, bool last, int64_t *ret)
{
    return take_number(at, last, ret) && *ret > 0 && *ret <= SDK_TIME_MS_MAX;
}

static bool take_world(const char **at, uint64_t *ret)
{
    uint64_t value = 0;
    for (int i = 0; i < WORLD_DIGITS; i++) {
        int digit = digit_of((*at)[i]);
        if (digit < 0)
            return false;
        value = value << 4 | (unsigned)digit;
    }
    if ((*at)[WORLD_DIGITS] != ' ' || value == 0)
        return false;
    *at += WORLD_DIGITS + 1;
    *ret = value;
    return true;
}

static bool is_place(const struct sdk_message *m)
{
    return m->world_size <= SDK_WORLD_MAX && m->world_rank < m->world_size &&
           m->local_size <= m->world_size && m->rank < m->local_size;
}

static bool parse_hello(const char *at, struct sdk_message *ret)
{
    if (!take_number(&at, false, &ret->version) || !take_number(&at, false, &ret->rank))
        return false;
    const char *attempt = at;
    if (take_number(&at, true, &ret->attempt))
        return true;
    at = attempt;
    return take_number(&at, false, &ret->attempt) && take_world(&at, &ret->world) &&
           take_number(&at, false, &ret->world_rank) && take_number(&at, false, &ret->world_size) &&
           take_number(&at, true, &ret->local_size) && is_place(ret);
}

/* What is exchanged with the other ranks. */
static bool parse_exchange(char *line, struct sdk_message *ret)
{
    char *space = strchr(line, ' ');
    if (!space)
        return false;
    const char *at = line;
    ret->kind = take_word(&at, "gather") ? SDK_GATHER
                : take_word(&at, "put")  ? SDK_PUT
                : take_word(&at, "get")  ? SDK_GET
                                         : 0;
    char *rest = space + 1;
    if (!ret->kind)
        return false;
    if (!take_name(&rest, &ret->name))
        return false;
    at = rest;
    if (ret->kind != SDK_PUT && !take_time(&at, ret->kind == SDK_GET, &ret->time_ms))
        return false;
    return ret->kind == SDK_GET || take_data(rest + (at - rest), ret);
}

static bool parse(char *line, struct sdk_message *ret)
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
        return parse_hello(at, ret);
    }
    if (take_word(&at, "committed") && take_number(&at, false, &ret->step)) {
        ret->kind = SDK_COMMITTED;
        ret->path = at;
        return *at && strlen(at) <= SDK_PATH_MAX;
    }
    if (take_word(&at, "remote")) {
        ret->kind = SDK_REMOTE;
        ret->name = at;
        return sdk_name_is_valid(at);
    }
    return parse_exchange(line, ret);
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
    if (strcmp(line, "done") == 0)
        return SDK_ANSWER_DONE;
    if (take_word(&line, "data"))
        return SDK_ANSWER_DATA;
    if (take_word(&line, "failed"))
        return SDK_ANSWER_FAILED;
    return take_word(&line, "refused") ? SDK_ANSWER_REFUSED : SDK_ANSWER_NONE;
}

bool sdk_answer_data(const char *line, uint64_t *ret_sequence, size_t *ret_length)
{
    int64_t sequence, length;
    if (!take_word(&line, "data") || !take_number(&line, false, &sequence) ||
        !take_number(&line, true, &length) || length > (int64_t)SDK_BODY_MAX)
        return false;
    *ret_sequence = (uint64_t)sequence;
    *ret_length = (size_t)length;
    return true;
}

bool sdk_answer_failed(const char *line, int *ret_error, const char **ret_words)
{
    int64_t error;
    if (!take_word(&line, "failed") || !take_number(&line, false, &error) || error < 1 ||
        error > 4095)
        return false;
    *ret_error = (int)error;
    *ret_words = line;
    return true;
}

bool sdk_name_is_valid(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return length > 0 && length <= SDK_NAME_MAX;
}

/* ---- the parts of a gather ---- */

int sdk_part_next(const unsigned char *bytes, size_t length, size_t *at, int64_t after,
                  struct sdk_part *ret)
{
    if (*at == length)
        return 0;
    if (length - *at < SDK_PART_HEAD)
        return -EPROTO;
    const unsigned char *p = bytes + *at;
    struct sdk_part part = {.rank = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
                                    (uint32_t)p[2] << 8 | p[3],
                            .length = (uint16_t)(p[4] << 8 | p[5]),
                            .data = p + SDK_PART_HEAD};
    if (part.rank <= after || part.length == 0 || part.length > SDK_DATA_MAX ||
        length - *at - SDK_PART_HEAD < part.length)
        return -EPROTO;
    *at += SDK_PART_HEAD + (size_t)part.length;
    *ret = part;
    return 1;
}

void sdk_part_head(unsigned char head[SDK_PART_HEAD], uint32_t rank, uint16_t length)
{
    head[0] = (unsigned char)(rank >> 24);
    head[1] = (unsigned char)(rank >> 16);
    head[2] = (unsigned char)(rank >> 8);
    head[3] = (unsigned char)rank;
    head[4] = (unsigned char)(length >> 8);
    head[5] = (unsigned char)length;
}

/* ---- writing ---- */

static int write_exchange(const struct sdk_message *m, char *buffer, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    int length;
    if (!m->name || !sdk_name_is_valid(m->name) || m->length > SDK_DATA_MAX ||
        (m->kind != SDK_PUT && (m->time_ms < 1 || m->time_ms > SDK_TIME_MS_MAX)))
        return -EINVAL;
    if (m->kind == SDK_GET)
        return snprintf(buffer, size, "get %s %lld\n", m->name, (long long)m->time_ms);
    if (m->kind == SDK_PUT)
        length = snprintf(buffer, size, "put %s ", m->name);
    else
        length = snprintf(buffer, size, "gather %s %lld ", m->name, (long long)m->time_ms);
    size_t at = (size_t)length, digits_count = m->length ? 2 * m->length : 1;
    if (at + digits_count + 2 > size)
        return -ENOBUFS;
    buffer[at] = '-';
    for (size_t i = 0; i < m->length; i++) {
        buffer[at + 2 * i] = digits[m->data[i] >> 4];
        buffer[at + 2 * i + 1] = digits[m->data[i] & 15];
    }
    at += digits_count;
    buffer[at++] = '\n';
    buffer[at] = '\0';
    return (int)at;
}

int sdk_message_write(const struct sdk_message *m, char *buffer, size_t size)
{
    int length = -1;
    const int64_t numbers[] = {m->version, m->rank, m->attempt, m->step, m->total};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i] < 0 || numbers[i] > SDK_NUMBER_MAX)
            return -EINVAL;
    if (m->kind == SDK_HELLO && m->world && m->world_rank >= 0 && is_place(m))
        length =
            snprintf(buffer, size, "hello %lld %lld %lld %016" PRIx64 " %lld %lld %lld\n",
                     (long long)m->version, (long long)m->rank, (long long)m->attempt, m->world,
                     (long long)m->world_rank, (long long)m->world_size, (long long)m->local_size);
    else if (m->kind == SDK_HELLO && !m->world)
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
    else if (m->kind == SDK_REMOTE && m->name && sdk_name_is_valid(m->name))
        length = snprintf(buffer, size, "remote %s\n", m->name);
    else if (m->kind == SDK_GATHER || m->kind == SDK_PUT || m->kind == SDK_GET)
        length = write_exchange(m, buffer, size);
    if (length < 0)
        return length == -ENOBUFS ? length : -EINVAL;
    return (size_t)length < size ? length : -ENOBUFS;
}
