/* The place of this process in its job: see place.h. */
#include "sdk/place.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

int64_t sdk_number_of(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (!text || text[0] < '0' || text[0] > '9')
        return -1;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return errno || *end ? -1 : (int64_t)value;
}

int64_t sdk_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
