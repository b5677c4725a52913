/* Growing text with a maximum: see text.h. */
#include "lib/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mlt_text_init(struct mlt_text *t, size_t max)
{
    *t = (struct mlt_text){.max = max};
}

void mlt_text_release(struct mlt_text *t)
{
    free(t->data);
    *t = (struct mlt_text){.max = t->max};
}

void mlt_text_clear(struct mlt_text *t)
{
    t->length = 0;
    t->failed = false;
    if (t->data)
        t->data[0] = '\0';
}

/* Room for `more` bytes and the NUL. */
static bool reserve(struct mlt_text *t, size_t more)
{
    if (t->failed || more > t->max - t->length) {
        t->failed = true;
        return false;
    }
    size_t need = t->length + more + 1;
    if (need <= t->capacity)
        return true;
    size_t capacity = t->capacity ? t->capacity : 64;
    while (capacity < need)
        capacity *= 2;
    if (capacity > t->max + 1)
        capacity = t->max + 1;
    char *data = realloc(t->data, capacity);
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->capacity = capacity;
    return true;
}

void mlt_text_add(struct mlt_text *t, const void *data, size_t length)
{
    if (!reserve(t, length))
        return;
    if (length)
        memcpy(t->data + t->length, data, length);
    t->length += length;
    t->data[t->length] = '\0';
}

void mlt_text_puts(struct mlt_text *t, const char *text)
{
    mlt_text_add(t, text, strlen(text));
}

void mlt_text_putc(struct mlt_text *t, char c)
{
    mlt_text_add(t, &c, 1);
}

void mlt_text_printf(struct mlt_text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0 || !reserve(t, (size_t)length)) {
        t->failed = true;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(t->data + t->length, (size_t)length + 1, format, args);
    va_end(args);
    t->length += (size_t)length;
}

void mlt_text_consume(struct mlt_text *t, size_t length)
{
    if (length >= t->length) {
        t->length = 0;
    } else {
        memmove(t->data, t->data + length, t->length - length);
        t->length -= length;
    }
    if (t->data)
        t->data[t->length] = '\0';
}

const char *mlt_text_string(const struct mlt_text *t)
{
    return t->data ? t->data : "";
}

char *mlt_text_take(struct mlt_text *t)
{
    if (t->failed)
        return NULL;
    if (!t->data && !reserve(t, 0))
        return NULL;
    char *data = t->data;
    data[t->length] = '\0';
    *t = (struct mlt_text){.max = t->max};
    return data;
}
