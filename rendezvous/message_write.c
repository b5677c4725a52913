/* Encoding of messages: see message.h. */
#include "rendezvous/message_schema.h"

#include <string.h>

#include "rendezvous/wire.h"

/* Bytes of last output that all exits of one HELLO or STOPPED share, so that 256 failed ranks fit
 * into a frame. */
#define TAILS_MAX (128u * 1024)

struct encoder {
    struct mlt_text *out;
    size_t tail_max; /* bytes, for each exit */
};

static void write_integer(struct encoder *e, const struct message_field *field, const void *from)
{
    uint64_t raw = 0;
    int64_t value = 0;
    switch (field->kind) {
    case FIELD_BOOL:
        value = *(const bool *)from;
        break;
    case FIELD_U8:
        value = *(const uint8_t *)from;
        break;
    case FIELD_U16:
        value = *(const uint16_t *)from;
        break;
    case FIELD_U32:
        value = *(const uint32_t *)from;
        break;
    case FIELD_I32:
        value = *(const int32_t *)from;
        break;
    case FIELD_U64:
        raw = *(const uint64_t *)from;
        break;
    default:
        value = *(const int64_t *)from;
    }
    if (field->kind != FIELD_U64) {
        /* What the peer would refuse is not sent. */
        if (value < field->min || value > field->max)
            e->out->failed = true;
        raw = (uint64_t)value;
    }
    wire_add_number(e->out, raw, message_field_width(field->kind));
}

static bool continues_utf8(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static void write_string(struct encoder *e, const struct message_field *field, const void *from)
{
    const char *text = *(const char *const *)from;
    text = text ? text : "";
    size_t length = strlen(text), max = (size_t)field->max;
    if (field->kind == FIELD_STRING_TAIL && max > e->tail_max)
        max = e->tail_max;
    if (length > max && field->kind == FIELD_STRING) {
        e->out->failed = true;
    } else if (length > max && field->kind == FIELD_STRING_TAIL) {
        text += length - max;
        length = max;
        for (int i = 0; i < 3 && length && continues_utf8(*text); i++, length--)
            text++;
    } else if (length > max) {
        length = max;
        for (int i = 0; i < 3 && length && continues_utf8(text[length]); i++)
            length--;
    }
    wire_add_number(e->out, length, 4);
    mlt_text_add(e->out, text, length);
}

static void write_bytes(struct encoder *e, const struct message_field *field, const char *base)
{
    uint32_t length = *(const uint32_t *)(const void *)(base + field->count_offset);
    if (length > (uint64_t)field->max) {
        e->out->failed = true;
        return;
    }
    wire_add_number(e->out, length, 4);
    if (length)
        mlt_text_add(e->out, *(const void *const *)(const void *)(base + field->offset), length);
}

static void write_fields(struct encoder *e, const struct message_schema *schema, const void *base);

static void write_list(struct encoder *e, const struct message_field *field, const char *base)
{
    uint32_t count = *(const uint32_t *)(const void *)(base + field->count_offset);
    if (count > (uint64_t)field->max) {
        e->out->failed = true;
        return;
    }
    const char *entries;
    memcpy(&entries, base + field->offset, sizeof entries);
    wire_add_number(e->out, count, 4);
    for (uint32_t i = 0; i < count; i++)
        write_fields(e, field->element, entries + i * field->element->size);
}

static void write_fields(struct encoder *e, const struct message_schema *schema, const void *base)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct message_field *field = &schema->fields[i];
        const char *from = (const char *)base + field->offset;
        if (field->kind == FIELD_LIST)
            write_list(e, field, base);
        else if (field->kind == FIELD_BYTES)
            write_bytes(e, field, base);
        else if (message_field_width(field->kind))
            write_integer(e, field, from);
        else
            write_string(e, field, from);
    }
}

static size_t tail_max(const struct rendezvous_message *m)
{
    uint32_t exits = 1;
    if (m->type == RENDEZVOUS_HELLO)
        exits = m->hello.exits_count;
    else if (m->type == RENDEZVOUS_STOPPED)
        exits = m->stopped.exits_count;
    return TAILS_MAX / (exits ? exits : 1);
}

void rendezvous_message_write(struct mlt_text *out, const struct rendezvous_message *m)
{
    const struct message_schema *schema = message_schema((uint8_t)m->type);
    if (!schema) {
        out->failed = true;
        return;
    }
    struct mlt_text payload = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    struct encoder e = {.out = &payload, .tail_max = tail_max(m)};
    write_fields(&e, schema, &m->hello);
    if (payload.failed)
        out->failed = true;
    else
        rendezvous_frame_write(out, m->type, m->attempt, mlt_text_string(&payload), payload.length);
    mlt_text_release(&payload);
}
