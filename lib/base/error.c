/* Error messages: see error.h. */
#include "lib/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int mlt_fail(struct mlt_error *err, int code, const char *format, ...)
{
    if (!err)
        return -code;
    va_list args;
    va_start(args, format);
    err->code = code;
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -code;
}

int mlt_fail_in(struct mlt_error *err, const char *format, ...)
{
    if (!err)
        return -EINVAL;
    char where[MLT_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(where, sizeof where - 2, format, args);
    va_end(args);
    if (length < 0)
        return err->code ? -err->code : -EINVAL;
    memcpy(where + strlen(where), ": ", 3);
    size_t prefix = strlen(where), kept = strnlen(err->text, sizeof err->text - 1 - prefix);
    memmove(err->text + prefix, err->text, kept);
    memcpy(err->text, where, prefix);
    err->text[prefix + kept] = '\0';
    return err->code ? -err->code : -EINVAL;
}
