/* The bytes of one frame, written once and shared by all who send it: GATHERED goes to 2,048
 * launchers. Counted references, one thread. */
#ifndef RENDEZVOUS_FRAME_BYTES_H
#define RENDEZVOUS_FRAME_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include "rendezvous/message.h"

struct frame_bytes {
    uint32_t references;
    size_t length;
    char *data; /* owned */
};

/* With one reference; NULL when the message cannot be written or memory is exhausted. */
struct frame_bytes *frame_bytes_new(const struct rendezvous_message *m);
struct frame_bytes *frame_bytes_ref(struct frame_bytes *f); /* returns f */
void frame_bytes_unref(struct frame_bytes *f);              /* NULL is fine */

#endif
