/* Shared bytes of a frame: see frame_bytes.h. */
#include "rendezvous/frame_bytes.h"

#include <stdlib.h>

struct frame_bytes *frame_bytes_new(const struct rendezvous_message *m)
{
    struct mlt_text frame = MLT_TEXT_INIT(RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX);
    struct frame_bytes *f = malloc(sizeof *f);
    rendezvous_message_write(&frame, m);
    if (f)
        *f = (struct frame_bytes){.references = 1, .length = frame.length};
    if (f && !frame.failed)
        f->data = mlt_text_take(&frame);
    mlt_text_release(&frame);
    if (f && f->data)
        return f;
    free(f);
    return NULL;
}

struct frame_bytes *frame_bytes_ref(struct frame_bytes *f)
{
    f->references++;
    return f;
}

void frame_bytes_unref(struct frame_bytes *f)
{
    if (!f || --f->references > 0)
        return;
    free(f->data);
    free(f);
}
