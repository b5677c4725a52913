/* A first-in first-out queue of effects. Each owns what it points to, so that an effect stays whole
 * while the controller goes on. */
#include "controller/effects.h"

#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "rendezvous/frame_bytes.h"

struct effect {
    struct effect *next;
    struct controller_effect effect;
    char *path, *body, *text;
    struct frame_bytes *shared; /* owned: one reference */
};

void effects_init(struct effects *q)
{
    *q = (struct effects){.timer_ms = INT64_MAX};
    q->last = &q->first;
}

static void effect_free(struct effect *e)
{
    if (!e)
        return;
    free(e->path);
    free(e->body);
    free(e->text);
    frame_bytes_unref(e->shared);
    free(e);
}

void effects_release(struct effects *q)
{
    struct effect *next;
    for (struct effect *e = q->first; e; e = next) {
        next = e->next;
        effect_free(e);
    }
    effect_free(q->handed_out);
    effects_init(q);
}

static struct effect *effects_add(struct effects *q, enum controller_effect_kind kind)
{
    struct effect *e = mlt_calloc(1, sizeof *e);
    e->effect.kind = kind;
    *q->last = e;
    q->last = &e->next;
    return e;
}

void effects_request(struct effects *q, uint64_t id, const char *verb, const char *path,
                     const char *content_type, const char *body, bool is_watch)
{
    struct effect *e = effects_add(q, CONTROLLER_EFFECT_REQUEST);
    e->path = mlt_strdup(path);
    e->body = mlt_strdup(body);
    e->effect.id = id;
    e->effect.verb = verb;
    e->effect.path = e->path;
    e->effect.content_type = content_type;
    e->effect.body = e->body;
    e->effect.length = body ? strlen(body) : 0;
    e->effect.is_watch = is_watch;
}

void effects_cancel(struct effects *q, uint64_t id)
{
    effects_add(q, CONTROLLER_EFFECT_CANCEL)->effect.id = id;
}

void effects_channel_send(struct effects *q, uint64_t id, const void *bytes, size_t length)
{
    struct effect *e = effects_add(q, CONTROLLER_EFFECT_CHANNEL_SEND);
    e->body = mlt_memdup(bytes, length);
    e->effect.id = id;
    e->effect.body = e->body;
    e->effect.length = length;
}

void effects_channel_share(struct effects *q, uint64_t id, struct frame_bytes *frame)
{
    struct effect *e = effects_add(q, CONTROLLER_EFFECT_CHANNEL_SEND);
    e->shared = frame_bytes_ref(frame);
    e->effect.id = id;
    e->effect.body = frame->data;
    e->effect.length = frame->length;
}

void effects_channel_close(struct effects *q, uint64_t id)
{
    effects_add(q, CONTROLLER_EFFECT_CHANNEL_CLOSE)->effect.id = id;
}

void effects_timer(struct effects *q, int64_t at_ms)
{
    if (at_ms == q->timer_ms)
        return;
    q->timer_ms = at_ms;
    if (at_ms == INT64_MAX)
        (void)effects_add(q, CONTROLLER_EFFECT_TIMER_CLEAR);
    else
        effects_add(q, CONTROLLER_EFFECT_TIMER_SET)->effect.at_ms = at_ms;
}

void effects_timer_came(struct effects *q)
{
    q->timer_ms = INT64_MAX;
}

void effects_log(struct effects *q, enum mlt_log_level level, const char *text)
{
    struct effect *e = effects_add(q, CONTROLLER_EFFECT_LOG);
    e->text = mlt_strdup(text);
    e->effect.level = level;
    e->effect.text = e->text;
}

void effects_exited(struct effects *q, bool lost, const char *text)
{
    struct effect *e = effects_add(q, CONTROLLER_EFFECT_EXITED);
    e->text = mlt_strdup(text);
    e->effect.text = e->text;
    e->effect.lost = lost;
}

bool effects_next(struct effects *q, struct controller_effect *ret)
{
    effect_free(q->handed_out);
    q->handed_out = q->first;
    if (!q->first)
        return false;
    q->first = q->first->next;
    if (!q->first)
        q->last = &q->first;
    *ret = q->handed_out->effect;
    return true;
}
