/* What the coordinator hands out: a queue of outputs that own what they point to. */
#include "rendezvous/coordinator_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_MAX (RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX)

void output_release(struct output *o)
{
    free(o->bytes);
    free(o->words);
    rendezvous_message_release(&o->held);
    *o = (struct output){0};
}

static bool grow(struct coordinator *c)
{
    size_t capacity = c->outputs_capacity ? c->outputs_capacity * 2 : 64;
    struct output *outputs = calloc(capacity, sizeof *outputs);
    if (!outputs)
        return false;
    for (size_t i = 0; i < c->outputs_count; i++)
        outputs[i] = c->outputs[(c->outputs_first + i) % c->outputs_capacity];
    free(c->outputs);
    c->outputs = outputs;
    c->outputs_first = 0;
    c->outputs_capacity = capacity;
    return true;
}

struct output *output_add(struct coordinator *c, enum coordinator_output_kind kind)
{
    if (c->outputs_count == c->outputs_capacity && !grow(c)) {
        c->failed = true;
        return NULL;
    }
    struct output *o = &c->outputs[(c->outputs_first + c->outputs_count++) % c->outputs_capacity];
    *o = (struct output){.out = {.kind = kind, .attempt = c->attempt}};
    return o;
}

void output_member(struct coordinator *c, enum coordinator_output_kind kind, const struct seat *s)
{
    struct output *o = output_add(c, kind);
    if (!o)
        return;
    o->out.role = s->role;
    o->out.slot = s->slot;
    o->out.channel = s->channel;
}

void output_words(struct coordinator *c, enum coordinator_output_kind kind, uint64_t channel,
                  const char *format, ...)
{
    struct output *o = output_add(c, kind);
    if (!o)
        return;
    o->out.channel = channel;
    va_list args;
    va_start(args, format);
    if (vasprintf(&o->words, format, args) < 0)
        o->words = NULL; /* the fact matters more than its words */
    va_end(args);
}

/* When memory is short for one frame, its channel is closed: the member comes back with a HELLO,
 * which repairs whatever was lost. */
void output_send(struct coordinator *c, uint64_t channel, const struct rendezvous_message *message)
{
    if (channel == 0)
        return;
    struct mlt_text frame = MLT_TEXT_INIT(FRAME_MAX);
    rendezvous_message_write(&frame, message);
    size_t length = frame.length;
    char *bytes = mlt_text_take(&frame);
    struct output *o = output_add(c, bytes ? COORDINATOR_SEND : COORDINATOR_CLOSE);
    if (!o) {
        free(bytes);
        return;
    }
    o->out.channel = channel;
    o->bytes = bytes;
    o->out.length = bytes ? length : 0;
    if (!bytes) {
        mlt_text_release(&frame);
        if (asprintf(&o->words, "%s could not be written",
                     rendezvous_type_name((uint8_t)message->type)) < 0)
            o->words = NULL;
    }
}

bool coordinator_has_output(const struct coordinator *c)
{
    return c->outputs_count > 0;
}

bool coordinator_next(struct coordinator *c, struct coordinator_output *ret)
{
    output_release(&c->given);
    if (c->outputs_count == 0)
        return false;
    c->given = c->outputs[c->outputs_first];
    c->outputs_first = (c->outputs_first + 1) % c->outputs_capacity;
    c->outputs_count--;
    struct coordinator_output *out = &c->given.out;
    out->words = text_of(c->given.words);
    out->role = text_of(out->role);
    out->reason = text_of(out->reason);
    out->bytes = text_of(c->given.bytes);
    out->verdict.role = text_of(out->verdict.role);
    out->verdict.node = text_of(out->verdict.node);
    out->verdict.tail = text_of(out->verdict.tail);
    *ret = *out;
    return true;
}
