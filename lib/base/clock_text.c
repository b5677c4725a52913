/* Times as text: see clock_text.h. */
#include "lib/base/clock_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void format_seconds(int64_t seconds, char *text, size_t size)
{
    time_t t = (time_t)seconds;
    struct tm utc;
    (void)gmtime_r(&t, &utc);
    (void)strftime(text, size, "%Y-%m-%dT%H:%M:%S", &utc);
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

void mlt_time_format(int64_t wall_ms, char *text)
{
    format_seconds(floor_divide(wall_ms, 1000), text, MLT_TIME_TEXT_MAX - 1);
    (void)strcat(text, "Z");
}

void mlt_time_format_micro(int64_t wall_us, char *text)
{
    int64_t seconds = floor_divide(wall_us, 1000000);
    format_seconds(seconds, text, MLT_TIME_TEXT_MAX - 9);
    size_t length = strlen(text);
    (void)snprintf(text + length, MLT_TIME_TEXT_MAX - length, ".%06" PRId64 "Z", wall_us - seconds * 1000000);
}

int mlt_time_parse(const char *text, int64_t *ret_wall_ms, struct mlt_error *err)
{
    struct tm utc = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
    if (!rest)
        return mlt_fail(err, EINVAL, "`%.40s` is not a time such as 2026-11-24T17:09:56Z", text);
    int64_t fraction_ms = 0, scale = 100;
    if (*rest == '.')
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
            fraction_ms += (*rest - '0') * scale;
    int64_t offset = 0;
    int hours, minutes, used = 0;
    if ((*rest == '+' || *rest == '-') && sscanf(rest + 1, "%2d:%2d%n", &hours, &minutes, &used) == 2) {
        offset = (hours * 3600 + minutes * 60) * (*rest == '-' ? -1 : 1);
        rest += 1 + used;
    } else if (*rest == 'Z' || *rest == 'z') {
        rest++;
    } else {
        return mlt_fail(err, EINVAL, "`%.40s` has no time zone (such as Z)", text);
    }
    if (*rest)
        return mlt_fail(err, EINVAL, "`%.40s` is not a time such as 2026-11-24T17:09:56Z", text);
    *ret_wall_ms = ((int64_t)timegm(&utc) - offset) * 1000 + fraction_ms;
    return 0;
}

void mlt_duration_for_people(int64_t seconds, char *text)
{
    const size_t size = MLT_TIME_TEXT_MAX;
    if (seconds < 0)
        seconds = 0;
    int64_t minutes = seconds / 60, hours = seconds / 3600, days = seconds / 86400;
    if (seconds < 120)
        (void)snprintf(text, size, "%" PRId64 "s", seconds);
    else if (minutes < 10 && seconds % 60)
        (void)snprintf(text, size, "%" PRId64 "m%" PRId64 "s", minutes, seconds % 60);
    else if (hours < 3)
        (void)snprintf(text, size, "%" PRId64 "m", minutes);
    else if (hours < 8 && minutes % 60)
        (void)snprintf(text, size, "%" PRId64 "h%" PRId64 "m", hours, minutes % 60);
    else if (hours < 48)
        (void)snprintf(text, size, "%" PRId64 "h", hours);
    else if (days < 8 && hours % 24)
        (void)snprintf(text, size, "%" PRId64 "d%" PRId64 "h", days, hours % 24);
    else
        (void)snprintf(text, size, "%" PRId64 "d", days);
}
