/* Frames between a launcher and its helper: see message.h. */
#include "launcher/helper/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_SIZE 4
#define READ_SIZE 16384u /* the least room that is offered */

struct kind {
    enum helper_kind kind;
    const char *name, *fields;
};

static const struct kind kinds[] = {
#define XX(name, number, fields) {HELPER_##name, #name, fields},
    HELPER_MESSAGE_MAP(XX)
#undef XX
};

static const struct kind *find(enum helper_kind kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].kind == kind)
            return &kinds[i];
    return NULL;
}

const char *helper_kind_name(enum helper_kind kind)
{
    const struct kind *found = find(kind);
    return found ? found->name : NULL;
}

/* ---- numbers ---- */

static void put(unsigned char *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get(const unsigned char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

uint32_t helper_list_at(const unsigned char *list, uint32_t index)
{
    return (uint32_t)get(list + (size_t)index * 4, 4);
}

void helper_list_set(unsigned char *list, uint32_t index, uint32_t value)
{
    put(list + (size_t)index * 4, value, 4);
}

/* ---- writing ---- */

static size_t text_size(const char *text)
{
    return (text ? strlen(text) : 0) + 1;
}

int helper_message_size(const struct helper_message *m)
{
    const struct kind *kind = find(m->kind);
    if (!kind || text_size(m->name) > HELPER_NAME_MAX + 1 ||
        text_size(m->words) > HELPER_WORDS_MAX + 1 || m->list_count > HELPER_LIST_MAX ||
        m->data_length > HELPER_DATA_MAX)
        return -EINVAL;
    size_t size = LENGTH_SIZE + 1;
    for (const char *field = kind->fields; *field; field++)
        switch (*field) {
        case 'I':
        case 'C':
            size += 8;
            break;
        case 'N':
            size += 2 + text_size(m->name);
            break;
        case 'W':
            size += 2 + text_size(m->words);
            break;
        case 'L':
            size += 4 + (size_t)m->list_count * 4;
            break;
        case 'D':
            size += 4 + m->data_length;
            break;
        default:
            size += 4;
        }
    return (int)size;
}

static unsigned char *put_text(unsigned char *at, const char *text)
{
    size_t size = text_size(text);
    put(at, size, 2);
    memcpy(at + 2, text ? text : "", size);
    return at + 2 + size;
}

static unsigned char *put_bytes(unsigned char *at, uint32_t count, const void *bytes, size_t length)
{
    put(at, count, 4);
    if (length)
        memcpy(at + 4, bytes, length);
    return at + 4 + length;
}

static unsigned char *put_field(const struct helper_message *m, char field, unsigned char *at)
{
    switch (field) {
    case 'I':
        put(at, m->id, 8);
        return at + 8;
    case 'C':
        put(at, m->context, 8);
        return at + 8;
    case 'R':
        put(at, m->rank, 4);
        return at + 4;
    case 'S':
        put(at, (uint32_t)m->status, 4);
        return at + 4;
    case 'F':
        put(at, m->flags, 4);
        return at + 4;
    case 'N':
        return put_text(at, m->name);
    case 'W':
        return put_text(at, m->words);
    case 'L':
        return put_bytes(at, m->list_count, m->list, (size_t)m->list_count * 4);
    default:
        return put_bytes(at, (uint32_t)m->data_length, m->data, m->data_length);
    }
}

void helper_message_write(const struct helper_message *m, unsigned char *buffer)
{
    int size = helper_message_size(m);
    if (size < 0)
        return;
    put(buffer, (uint64_t)size - LENGTH_SIZE, LENGTH_SIZE);
    buffer[LENGTH_SIZE] = (unsigned char)m->kind;
    unsigned char *at = buffer + LENGTH_SIZE + 1;
    for (const char *field = find(m->kind)->fields; *field; field++)
        at = put_field(m, *field, at);
}

/* ---- reading ---- */

unsigned char *helper_reader_space(struct helper_reader *r, size_t *ret_room)
{
    if (r->start > 0) {
        memmove(r->data, r->data + r->start, r->length - r->start);
        r->length -= r->start;
        r->start = 0;
    }
    if (r->capacity - r->length < READ_SIZE) {
        size_t capacity = r->capacity ? r->capacity * 2 : 2 * READ_SIZE;
        unsigned char *data = realloc(r->data, capacity);
        if (!data)
            return NULL;
        r->data = data;
        r->capacity = capacity;
    }
    *ret_room = r->capacity - r->length;
    return r->data + r->length;
}

void helper_reader_release(struct helper_reader *r)
{
    free(r->data);
    *r = (struct helper_reader){0};
}

struct cursor {
    const unsigned char *at, *end;
    bool failed;
};

static uint64_t take(struct cursor *c, size_t bytes)
{
    if (c->failed || (size_t)(c->end - c->at) < bytes) {
        c->failed = true;
        return 0;
    }
    c->at += bytes;
    return get(c->at - bytes, bytes);
}

static const unsigned char *take_bytes(struct cursor *c, size_t length)
{
    if (c->failed || (size_t)(c->end - c->at) < length) {
        c->failed = true;
        return NULL;
    }
    c->at += length;
    return c->at - length;
}

static const char *take_text(struct cursor *c, size_t max)
{
    size_t size = (size_t)take(c, 2);
    const unsigned char *text = take_bytes(c, size);
    if (c->failed || size == 0 || size > max + 1 || memchr(text, '\0', size) != text + size - 1) {
        c->failed = true;
        return "";
    }
    return (const char *)text;
}

static void take_field(struct cursor *c, char field, struct helper_message *m)
{
    switch (field) {
    case 'I':
        m->id = take(c, 8);
        break;
    case 'C':
        m->context = take(c, 8);
        break;
    case 'R':
        m->rank = (uint32_t)take(c, 4);
        break;
    case 'S':
        m->status = (int32_t)(uint32_t)take(c, 4);
        break;
    case 'F':
        m->flags = (uint32_t)take(c, 4);
        break;
    case 'N':
        m->name = take_text(c, HELPER_NAME_MAX);
        break;
    case 'W':
        m->words = take_text(c, HELPER_WORDS_MAX);
        break;
    case 'L':
        m->list_count = (uint32_t)take(c, 4);
        c->failed = c->failed || m->list_count > HELPER_LIST_MAX;
        m->list = take_bytes(c, (size_t)m->list_count * 4);
        break;
    default:
        m->data_length = (size_t)take(c, 4);
        c->failed = c->failed || m->data_length > HELPER_DATA_MAX;
        m->data = take_bytes(c, m->data_length);
    }
}

int helper_reader_next(struct helper_reader *r, struct helper_message *ret)
{
    size_t waiting = r->length - r->start;
    if (waiting < LENGTH_SIZE)
        return 0;
    const unsigned char *frame = r->data + r->start;
    size_t length = (size_t)get(frame, LENGTH_SIZE);
    if (length < 1 || length > HELPER_FRAME_MAX - LENGTH_SIZE)
        return -EPROTO;
    if (waiting - LENGTH_SIZE < length)
        return 0;
    struct cursor c = {.at = frame + LENGTH_SIZE + 1, .end = frame + LENGTH_SIZE + length};
    struct helper_message m = {.kind = (enum helper_kind)frame[LENGTH_SIZE]};
    const struct kind *kind = find(m.kind);
    if (!kind)
        return -EPROTO;
    for (const char *field = kind->fields; *field; field++)
        take_field(&c, *field, &m);
    if (c.failed || c.at != c.end)
        return -EPROTO;
    r->start += LENGTH_SIZE + length;
    *ret = m;
    return 1;
}

/* ---- the environment in READY ---- */

const char *helper_environment(const void *data, size_t length, uint32_t ranks, uint32_t local)
{
    const char *at = data, *end = at + length, *found = NULL;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        if (rank == local)
            found = at;
        for (;;) {
            const char *nul = at == end ? NULL : memchr(at, '\0', (size_t)(end - at));
            if (!nul)
                return NULL;
            bool last = nul == at;
            if (!last && (*at == '=' || !strchr(at, '=')))
                return NULL;
            at = nul + 1;
            if (last)
                break;
        }
    }
    return at == end ? found : NULL;
}
