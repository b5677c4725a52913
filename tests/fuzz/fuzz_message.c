/* rendezvous_message_read(): what it accepts is written and read back as the same message, and what
 * it refuses has words. First byte: the type; the rest is the payload. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rendezvous/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_back(const struct mlt_text *bytes, struct rendezvous_message *ret)
{
    struct rendezvous_frame f = {.version = RENDEZVOUS_VERSION,
                                 .type = (uint8_t)bytes->data[5],
                                 .payload =
                                     (const unsigned char *)bytes->data + RENDEZVOUS_HEADER_SIZE,
                                 .length = (uint32_t)(bytes->length - RENDEZVOUS_HEADER_SIZE)};
    if (rendezvous_message_read(&f, ret, NULL) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > RENDEZVOUS_PAYLOAD_MAX)
        return 0;
    struct rendezvous_frame f = {.version = RENDEZVOUS_VERSION,
                                 .type = data[0],
                                 .payload = data + 1,
                                 .length = (uint32_t)(size - 1)};
    struct rendezvous_message m, back;
    struct mlt_error err = {0};
    int rc = rendezvous_message_read(&f, &m, &err);
    if (rc < 0) {
        if ((rc != -EPROTO && rc != -ENOMEM) || err.text[0] == '\0')
            abort();
        return 0;
    }
    struct mlt_text first = MLT_TEXT_INIT(2 * RENDEZVOUS_PAYLOAD_MAX), second = first;
    rendezvous_message_write(&first, &m);
    rendezvous_message_release(&m);
    /* A frame's own maximum is the reader's business, not the decoder's: what is longer cannot be
     * written. */
    if (!first.failed) {
        read_back(&first, &back);
        rendezvous_message_write(&second, &back);
        if (second.failed || first.length != second.length ||
            memcmp(first.data, second.data, first.length) != 0)
            abort();
        rendezvous_message_release(&back);
    }
    mlt_text_release(&first);
    mlt_text_release(&second);
    return 0;
}
