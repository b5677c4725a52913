/* The layout of every message, private to rendezvous/: one table that reading, writing and
 * releasing walk, so that they cannot disagree. Fields stand on the wire in the table's order,
 * without tags; a later release may only append (APPENDED: not there in what an earlier one sends).
 *
 *     integers and booleans   big-endian, in the width of their kind; a boolean is one byte, 0 or 1
 *     strings                 u32 length, bytes without NUL
 *     bytes                   u32 length, bytes
 *     lists                   u32 count, elements */
#ifndef RENDEZVOUS_MESSAGE_SCHEMA_H
#define RENDEZVOUS_MESSAGE_SCHEMA_H

#include "rendezvous/message.h"

enum field_kind {
    FIELD_BOOL,
    FIELD_U8,
    FIELD_U16,
    FIELD_U32,
    FIELD_U64,
    FIELD_I32,
    FIELD_I64,
    FIELD_STRING,      /* over its maximum: writing fails */
    FIELD_STRING_HEAD, /* over its maximum: the beginning is sent */
    FIELD_STRING_TAIL, /* over its maximum: the end is sent */
    FIELD_BYTES,       /* a pointer and a length; any bytes */
    FIELD_LIST,
};

struct message_schema;

struct message_field {
    const char *name;
    enum field_kind kind;
    size_t offset;    /* in the message's own struct, or in the element */
    int64_t min, max; /* integers but U64: the allowed range; strings, bytes: max bytes; lists: max
                         elements */
    bool appended;    /* stays 0 when the payload ends before it; strings, bytes cannot be */
    size_t count_offset; /* lists, bytes: where the uint32_t count is */
    const struct message_schema *element;
};

struct message_schema {
    const struct message_field *fields;
    size_t count;
    size_t size; /* of the struct */
};

/* NULL for a type without a payload we know. The struct lies in the union of struct
 * rendezvous_message. */
const struct message_schema *message_schema(uint8_t type);

/* Bytes that a field takes on the wire at least. */
size_t message_field_wire_min(const struct message_field *field);

/* Width on the wire of an integer or boolean; 0 for other kinds. */
unsigned message_field_width(enum field_kind kind);

#endif
