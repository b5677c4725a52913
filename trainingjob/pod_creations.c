/* See pod_creations.h. PURE. */
#include "trainingjob/pod_creations.h"

#include <inttypes.h>
#include <stdlib.h>

void trainingjob_pod_creations_write(const int64_t *creations, uint32_t count, struct mlt_text *out)
{
    for (uint32_t i = 0, run; i < count; i += run) {
        for (run = 1; i + run < count && creations[i + run] == creations[i];)
            run++;
        mlt_text_printf(out, "%s%" PRId64, i ? "," : "", creations[i]);
        if (run > 1)
            mlt_text_printf(out, "*%" PRIu32, run);
    }
}

/* A decimal number of at most `max`; -1: there is none. Moves *text behind it. */
static int64_t take_number(const char **text, int64_t max)
{
    int64_t value = 0;
    const char *p = *text;
    if (*p < '0' || *p > '9')
        return -1;
    for (; *p >= '0' && *p <= '9'; p++) {
        int64_t digit = *p - '0';
        if (digit > max || value > (max - digit) / 10)
            return -1;
        value = value * 10 + digit;
    }
    *text = p;
    return value;
}

uint32_t trainingjob_pod_creations_read(const char *text, int64_t *ret, uint32_t capacity)
{
    int64_t count = 0;
    while (text) {
        int64_t value = take_number(&text, INT64_MAX / 16), run = 1;
        if (value >= 0 && *text == '*') {
            text++;
            run = take_number(&text, UINT32_MAX);
        }
        if (value < 0 || run < 1 || count + run > UINT32_MAX)
            return 0;
        for (int64_t i = count; i < count + run && i < capacity; i++)
            ret[i] = value;
        count += run;
        if (!*text)
            return (uint32_t)count;
        if (*text++ != ',')
            return 0;
    }
    return 0;
}
