/* Text and bytes that grow up to a maximum. A buffer cannot be made without a maximum; what does not fit
 * sets a sticky failure (`failed`) that is checked once at the end, and the buffer stays as it was. */
#ifndef MLT_BASE_TEXT_H
#define MLT_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/base/error.h"

struct mlt_text {
    char *data;    /* always NUL-terminated once something was added; NULL before */
    size_t length; /* bytes, without the NUL */
    size_t capacity;
    size_t max;  /* bytes */
    bool failed; /* something did not fit, or memory was exhausted */
};

#define MLT_TEXT_INIT(maximum)                                                                              \
    {                                                                                                       \
        .max = (maximum)                                                                                    \
    }
#define cleanup_text __attribute__((cleanup(mlt_text_release)))

void mlt_text_init(struct mlt_text *t, size_t max);
void mlt_text_release(struct mlt_text *t); /* twice is fine; the buffer may be used again afterwards */
void mlt_text_clear(struct mlt_text *t);   /* empties, keeps the memory, forgets a failure */

void mlt_text_add(struct mlt_text *t, const void *data, size_t length);
void mlt_text_puts(struct mlt_text *t, const char *text);
void mlt_text_putc(struct mlt_text *t, char c);
void mlt_text_printf(struct mlt_text *t, const char *format, ...) MLT_PRINTF(2, 3);

/* Drops the first `length` bytes (parsers of streams). */
void mlt_text_consume(struct mlt_text *t, size_t length);

/* The content as a string, never NULL. Owned by the buffer. */
const char *mlt_text_string(const struct mlt_text *t);

/* Takes the content out of the buffer, which is empty afterwards; the caller frees it. Never NULL unless
 * the buffer had failed or memory is exhausted. */
char *mlt_text_take(struct mlt_text *t);

#endif
