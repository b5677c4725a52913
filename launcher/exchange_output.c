/* What the exchange hands out, and the requests whose results it owes: see exchange_internal.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/exchange_internal.h"

struct pending_output *exchange_output_new(enum exchange_output_kind kind)
{
    struct pending_output *o = calloc(1, sizeof *o);
    if (o)
        o->out = (struct exchange_output){.kind = kind, .words = "", .name = ""};
    return o;
}

void exchange_output_free(struct pending_output *o)
{
    if (!o)
        return;
    free(o->bytes);
    free(o->words);
    free(o->entries);
    if (o->held.type)
        rendezvous_message_release(&o->held);
    free(o);
}

void exchange_output_add(struct exchange *x, struct pending_output *o)
{
    STAILQ_INSERT_TAIL(&x->outputs, o, next);
}

void exchange_send(struct exchange *x, const struct rendezvous_message *m)
{
    struct mlt_text frame = MLT_TEXT_INIT(RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX);
    if (!x->connected || !x->supported)
        return;
    struct pending_output *o = exchange_output_new(EXCHANGE_DO_SEND);
    rendezvous_message_write(&frame, m);
    if (o && !frame.failed) {
        o->out.length = frame.length;
        o->bytes = mlt_text_take(&frame);
    }
    mlt_text_release(&frame);
    if (!o || !o->bytes) {
        exchange_output_free(o);
        return;
    }
    o->out.data = (unsigned char *)o->bytes;
    exchange_output_add(x, o);
}

/* ---- requests ---- */

static void watch(struct exchange *x, const struct request *r)
{
    if (r->until_ms < x->timer_ms)
        x->timer_ms = r->until_ms;
}

int exchange_request_init(struct exchange *x, struct request *r,
                          const struct exchange_request *from, struct mlt_error *err)
{
    int64_t time_ms = from->time_ms > 0 ? from->time_ms : EXCHANGE_TIME_MS_DEFAULT;
    if (time_ms > EXCHANGE_TIME_MS_MAX)
        time_ms = EXCHANGE_TIME_MS_MAX;
    struct pending_output *done = exchange_output_new(EXCHANGE_DO_DONE);
    if (!done)
        return mlt_fail(err, ENOMEM, "no memory for an exchange");
    done->out.user = from->user;
    done->out.tag = from->tag;
    *r = (struct request){.done = done, .until_ms = x->now_ms + time_ms};
    watch(x, r);
    return 0;
}

void exchange_request_done(struct exchange *x, struct request *r, enum exchange_outcome outcome,
                           const char *words)
{
    struct pending_output *o = r->done;
    r->done = NULL;
    if (!o)
        return;
    o->out.outcome = outcome;
    if (outcome != EXCHANGE_OK) {
        o->words = strdup(words); /* NULL: the fact matters more than its words */
        o->out.words = o->words ? o->words : "";
    }
    exchange_output_add(x, o);
}

void exchange_request_release(struct request *r)
{
    exchange_output_free(r->done);
    r->done = NULL;
}

int exchange_request_expired(struct exchange *x, struct request *r)
{
    if (r->until_ms > x->now_ms) {
        watch(x, r);
        return 0;
    }
    if (r->last_word || !x->connected)
        return 2;
    r->last_word = true;
    r->until_ms = x->now_ms + EXCHANGE_LAST_WORD_MS;
    watch(x, r);
    return 1;
}

/* ---- out ---- */

static bool next_timer(struct exchange *x, struct exchange_output *ret)
{
    if (x->timer_ms == x->timer_told_ms)
        return false;
    x->timer_told_ms = x->timer_ms;
    int64_t delay_ms = x->timer_ms > x->now_ms ? x->timer_ms - x->now_ms : 0;
    *ret = (struct exchange_output){.kind = EXCHANGE_DO_TIMER,
                                    .delay_ms = x->timer_ms == INT64_MAX ? -1 : delay_ms,
                                    .words = "",
                                    .name = ""};
    return true;
}

bool exchange_next(struct exchange *x, struct exchange_output *ret)
{
    exchange_output_free(x->given);
    x->given = NULL;
    if (next_timer(x, ret))
        return true;
    x->given = STAILQ_FIRST(&x->outputs);
    if (!x->given)
        return false;
    STAILQ_REMOVE_HEAD(&x->outputs, next);
    *ret = x->given->out;
    return true;
}
