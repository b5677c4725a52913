/* Allocation that aborts: see alloc.h. */
#include "lib/base/alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *pointer)
{
    if (pointer)
        return pointer;
    (void)fputs("out of memory\n", stderr);
    abort();
}

void *mlt_calloc(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1));
}

void *mlt_realloc(void *old, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return checked(NULL);
    size_t bytes = count * size;
    return checked(realloc(old, bytes > 0 ? bytes : 1));
}

char *mlt_strdup(const char *text)
{
    return text ? checked(strdup(text)) : NULL;
}

char *mlt_strndup(const char *text, size_t length)
{
    return checked(strndup(text, length));
}

void *mlt_memdup(const void *data, size_t size)
{
    void *copy = mlt_calloc(1, size);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

char *mlt_asprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    return length < 0 ? checked(NULL) : text;
}
