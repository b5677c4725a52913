/* Log lines: see log.h. The program's name and level are the only state; they are set once at start. */
#include "lib/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *program_name = "mltrain";
static enum mlt_log_level highest_level = MLT_LOG_INFO;

static const char *const level_names[] = {
#define XX(name, text) [MLT_LOG_##name] = text,
    MLT_LOG_LEVEL_MAP(XX)
#undef XX
};

void mlt_log_start(const char *program, enum mlt_log_level level)
{
    program_name = program;
    highest_level = level;
}

int mlt_log_level_parse(const char *name, enum mlt_log_level *ret_level, struct mlt_error *err)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++)
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum mlt_log_level)i;
            return 0;
        }
    return mlt_fail(err, EINVAL, "`%.32s` is not a log level (error, warning, info, debug)", name);
}

void mlt_log(enum mlt_log_level level, const char *format, ...)
{
    if (level > highest_level)
        return;
    int saved_errno = errno;
    char line[MLT_LOG_LINE_MAX];
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t length = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    length += (size_t)snprintf(line + length, sizeof line - length, ".%03ldZ %s %s: ", now.tv_nsec / 1000000,
                               level_names[level], program_name);
    size_t start = length;
    va_list args;
    va_start(args, format);
    int added = vsnprintf(line + length, sizeof line - length - 1, format, args);
    va_end(args);
    if (added > 0)
        length += (size_t)added < sizeof line - length - 1 ? (size_t)added : sizeof line - length - 2;
    for (size_t i = start; i < length; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 127)
            line[i] = ' ';
    line[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written;
    errno = saved_errno;
}
