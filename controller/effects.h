/* The queue of effects between the controller and its edge. */
#ifndef CONTROLLER_EFFECTS_H
#define CONTROLLER_EFFECTS_H

#include "controller/controller.h"

struct frame_bytes; /* rendezvous/frame_bytes.h */
struct effect;      /* one queued effect, with the memory it points to */

struct effects {
    struct effect *first, **last;
    struct effect *handed_out; /* what the last effects_next() gave; freed by the next */
    int64_t timer_ms;          /* what the edge's timer stands at; INT64_MAX: none */
};

void effects_init(struct effects *q);
void effects_release(struct effects *q);

/* All strings and bytes are copied. */
void effects_request(struct effects *q, uint64_t id, const char *verb, const char *path,
                     const char *content_type, const char *body, bool is_watch);
void effects_cancel(struct effects *q, uint64_t id);
void effects_channel_send(struct effects *q, uint64_t id, const void *bytes, size_t length);
/* The same of a frame that goes to many: a reference is taken, nothing is copied. */
void effects_channel_share(struct effects *q, uint64_t id, struct frame_bytes *frame);
void effects_channel_close(struct effects *q, uint64_t id);
/* Sets the one timer (INT64_MAX: clears it); nothing is queued when it stands there already. */
void effects_timer(struct effects *q, int64_t at_ms);
/* The edge's timer has fired, perhaps a moment too early: it stands nowhere now, and the same time
 * has to be set again. */
void effects_timer_came(struct effects *q);
void effects_log(struct effects *q, enum mlt_log_level level, const char *text);
void effects_exited(struct effects *q, bool lost, const char *text);

bool effects_next(struct effects *q, struct controller_effect *ret);

#endif
