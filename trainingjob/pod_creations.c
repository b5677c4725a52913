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

/* A decimal number of at least 1 and at most `max`; 0: there is none. Moves *text behind it. */
static int64_t take_number(const char **text, int64_t max)
{
    int64_t value = 0;
    const char *p = *text;
    for (; *p >= '0' && *p <= '9'; p++) {
        int64_t digit = *p - '0';
        if (digit > max || value > (max - digit) / 10)
            return 0;
        value = value * 10 + digit;
    }
    *text = p;
    return value;
}

bool trainingjob_pod_creations_read(const char *text, int64_t *ret, uint32_t count)
{
    uint32_t filled = 0;
    while (text && filled < count) {
        int64_t value = take_number(&text, INT64_MAX / 16), run = 1;
        if (value && *text == '*') {
            text++;
            run = take_number(&text, count - filled);
        }
        if (!value || !run)
            return false;
        for (int64_t i = 0; i < run; i++)
            ret[filled++] = value;
        if (filled < count && *text++ != ',')
            return false;
    }
    return text && !*text;
}
