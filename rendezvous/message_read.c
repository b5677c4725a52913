/* Decoding of messages: see message.h. Every count and length is compared with its field's maximum
 * and with the bytes that are really there before anything is allocated. */
#include "rendezvous/message_schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rendezvous/wire.h"

/* What is being decoded. Strings are read from the frame and given out of `copy`, a second copy of
 * the payload in which the byte behind each string becomes its NUL. Bytes are given out of it, too:
 * a length stands before them, so that no string's NUL falls on them. */
struct decoder {
    struct wire_reader in;
    char *copy;
    const char *message; /* its name, for errors */
    struct mlt_error *err;
};

static int refuse(const struct decoder *d, const struct message_field *field, const char *why)
{
    return mlt_fail(d->err, EPROTO, "%s.%s: %s", d->message, field->name, why);
}

static int read_integer(struct decoder *d, const struct message_field *field, void *to)
{
    unsigned width = message_field_width(field->kind);
    uint64_t raw = wire_take_number(&d->in, width);
    if (d->in.failed)
        return refuse(d, field, "the payload ends before it");
    if (field->kind == FIELD_U64) {
        memcpy(to, &raw, sizeof raw);
        return 0;
    }
    int64_t value = field->kind == FIELD_I32 ? (int32_t)(uint32_t)raw : (int64_t)raw;
    if (value < field->min || value > field->max)
        return mlt_fail(d->err, EPROTO, "%s.%s: %" PRId64 " is not from %" PRId64 " to %" PRId64,
                        d->message, field->name, value, field->min, field->max);
    if (field->kind == FIELD_BOOL)
        *(bool *)to = value != 0;
    else if (field->kind == FIELD_U8)
        *(uint8_t *)to = (uint8_t)value;
    else if (field->kind == FIELD_U16)
        *(uint16_t *)to = (uint16_t)value;
    else if (field->kind == FIELD_U32)
        *(uint32_t *)to = (uint32_t)value;
    else if (field->kind == FIELD_I32)
        *(int32_t *)to = (int32_t)value;
    else
        *(int64_t *)to = value;
    return 0;
}

static int read_string(struct decoder *d, const struct message_field *field, void *to)
{
    uint64_t length = wire_take_number(&d->in, 4);
    if (!d->in.failed && length > (uint64_t)field->max)
        return mlt_fail(d->err, EPROTO, "%s.%s: %" PRIu64 " bytes, at most %" PRId64 " are allowed",
                        d->message, field->name, length, field->max);
    size_t start = d->in.at;
    const unsigned char *bytes = wire_take(&d->in, length);
    if (!bytes)
        return refuse(d, field, "the payload ends within it");
    if (memchr(bytes, '\0', length))
        return refuse(d, field, "it holds a NUL byte");
    d->copy[start + length] = '\0';
    *(const char **)to = d->copy + start;
    return 0;
}

/* They stay where they are in the copy. */
static int read_bytes(struct decoder *d, const struct message_field *field, char *base)
{
    uint64_t length = wire_take_number(&d->in, 4);
    if (!d->in.failed && length > (uint64_t)field->max)
        return mlt_fail(d->err, EPROTO, "%s.%s: %" PRIu64 " bytes, at most %" PRId64 " are allowed",
                        d->message, field->name, length, field->max);
    size_t start = d->in.at;
    if (!wire_take(&d->in, length))
        return refuse(d, field, "the payload ends within it");
    *(const unsigned char **)(void *)(base + field->offset) = (unsigned char *)d->copy + start;
    *(uint32_t *)(void *)(base + field->count_offset) = (uint32_t)length;
    return 0;
}

static int read_fields(struct decoder *d, const struct message_schema *schema, void *base);

static int read_list(struct decoder *d, const struct message_field *field, char *base)
{
    const struct message_schema *element = field->element;
    uint64_t count = wire_take_number(&d->in, 4);
    if (d->in.failed)
        return refuse(d, field, "the payload ends before it");
    if (count > (uint64_t)field->max)
        return mlt_fail(d->err, EPROTO,
                        "%s.%s: %" PRIu64 " entries, at most %" PRId64 " are allowed", d->message,
                        field->name, count, field->max);
    size_t least = 0;
    for (size_t i = 0; i < element->count; i++)
        least += message_field_wire_min(&element->fields[i]);
    if (count > wire_left(&d->in) / least)
        return refuse(d, field, "the payload ends within it");
    if (count == 0)
        return 0;
    char *entries = calloc(count, element->size);
    if (!entries)
        return mlt_fail(d->err, ENOMEM, "%s.%s: out of memory", d->message, field->name);
    /* Handed to the message at once: whatever fails next, releasing the message frees it. */
    memcpy(base + field->offset, &entries, sizeof entries);
    *(uint32_t *)(void *)(base + field->count_offset) = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        int rc = read_fields(d, element, entries + i * element->size);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_fields(struct decoder *d, const struct message_schema *schema, void *base)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct message_field *field = &schema->fields[i];
        char *to = (char *)base + field->offset;
        int rc;
        if (field->appended && wire_left(&d->in) == 0)
            return 0; /* an earlier release has sent this, and the rest was appended later, too */
        if (field->kind == FIELD_LIST)
            rc = read_list(d, field, base);
        else if (field->kind == FIELD_BYTES)
            rc = read_bytes(d, field, base);
        else if (message_field_width(field->kind))
            rc = read_integer(d, field, to);
        else
            rc = read_string(d, field, to);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int rendezvous_message_read(const struct rendezvous_frame *frame, struct rendezvous_message *ret,
                            struct mlt_error *err)
{
    const struct message_schema *schema = message_schema(frame->type);
    if (!schema)
        return mlt_fail(err, EPROTO, "message of unknown type %u", frame->type);
    struct rendezvous_message m = {.type = frame->type, .attempt = frame->attempt};
    m.storage = malloc((size_t)frame->length + 1);
    if (!m.storage)
        return mlt_fail(err, ENOMEM, "%s: out of memory", rendezvous_type_name(frame->type));
    if (frame->length)
        memcpy(m.storage, frame->payload, frame->length);
    struct decoder d = {.in = {.data = frame->payload, .length = frame->length},
                        .copy = m.storage,
                        .message = rendezvous_type_name(frame->type),
                        .err = err};
    int rc = read_fields(&d, schema, &m.hello);
    if (rc < 0) {
        rendezvous_message_release(&m);
        return rc;
    }
    *ret = m;
    return 0;
}

void rendezvous_message_release(struct rendezvous_message *m)
{
    const struct message_schema *schema = message_schema((uint8_t)m->type);
    for (size_t i = 0; schema && i < schema->count; i++) {
        if (schema->fields[i].kind != FIELD_LIST)
            continue;
        void *entries;
        memcpy(&entries, (char *)&m->hello + schema->fields[i].offset, sizeof entries);
        free(entries);
    }
    free(m->storage);
    *m = (struct rendezvous_message){0};
}
