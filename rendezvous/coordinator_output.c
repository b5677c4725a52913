/* What the coordinator hands out: a queue of outputs that own what they point to. */
#include "rendezvous/coordinator_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_MAX (RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX)

void output_free(struct output *o)
{
    if (!o)
        return;
    free(o->bytes);
    free(o->words);
    free(o->to);
    frame_bytes_unref(o->shared);
    rendezvous_message_release(&o->held);
    free(o);
}

struct output *output_add(struct coordinator *c, enum coordinator_output_kind kind)
{
    struct output *o = calloc(1, sizeof *o);
    if (!o) {
        c->failed = true;
        return NULL;
    }
    o->out.kind = kind;
    o->out.attempt = c->attempt;
    if (c->outputs)
        c->outputs_last->next = o;
    else
        c->outputs = o;
    c->outputs_last = o;
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

void output_send_all(struct coordinator *c, uint64_t *channels, uint32_t count,
                     struct frame_bytes *frame)
{
    struct output *o = count > 0 ? output_add(c, COORDINATOR_SEND) : NULL;
    if (!o) {
        free(channels);
        return;
    }
    o->to = channels;
    o->to_count = count;
    o->shared = frame_bytes_ref(frame);
    o->out.length = frame->length;
}

static bool has_more(const struct output *o)
{
    return o && o->to_at < o->to_count;
}

bool coordinator_has_output(const struct coordinator *c)
{
    return c->outputs != NULL || has_more(c->given);
}

bool coordinator_next(struct coordinator *c, struct coordinator_output *ret)
{
    if (!has_more(c->given)) {
        output_free(c->given);
        c->given = c->outputs;
        if (!c->given)
            return false;
        c->outputs = c->given->next;
    }
    struct coordinator_output *out = &c->given->out;
    if (has_more(c->given))
        out->channel = c->given->to[c->given->to_at++];
    out->words = text_of(c->given->words);
    out->role = text_of(out->role);
    out->reason = text_of(out->reason);
    out->shared = c->given->shared;
    out->bytes = c->given->shared ? c->given->shared->data : text_of(c->given->bytes);
    out->verdict.role = text_of(out->verdict.role);
    out->verdict.node = text_of(out->verdict.node);
    out->verdict.tail = text_of(out->verdict.tail);
    *ret = *out;
    return true;
}
