/* Output of `run`: see screen.h. Ranks' standard output goes to standard output, everything else to
 * standard error. */
#include "cli/screen.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/job_text.h"
#include "lib/json/json.h"

void screen_init(struct screen *s, bool quiet)
{
    *s = (struct screen){.quiet = quiet, .columns = 80};
    const char *term = getenv("TERM");
    s->is_terminal =
        isatty(STDOUT_FILENO) && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

/* Each time, for a terminal may be made narrower, and a line that wraps cannot be wiped. */
static void measure(struct screen *s)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        s->columns = size.ws_col;
}

static void wipe(struct screen *s)
{
    if (!s->shown)
        return;
    (void)fputs("\r\033[K", stderr);
    s->shown = false;
}

static void show(struct screen *s)
{
    if (!s->is_terminal || s->quiet || !s->last[0])
        return;
    measure(s);
    (void)fflush(stdout);
    (void)fprintf(stderr, "\r\033[K%.*s", s->columns - 1, s->last);
    (void)fflush(stderr);
    s->shown = true;
}

void screen_line(struct screen *s, const char *pod, const struct log_line *line)
{
    wipe(s);
    FILE *out = line->is_error ? stderr : stdout;
    if (line->rank == LOG_LINE_LAUNCHER)
        (void)fprintf(out, "[%s] ", pod);
    else
        (void)fprintf(out, "[rank %" PRId64 "] ", line->rank);
    (void)fwrite(line->text, 1, line->length, out);
    (void)fputc('\n', out);
    if (fflush(out) != 0 && out == stdout && !s->broken) {
        s->broken = true;
        screen_say(s, "standard output: %s; the job goes on, Ctrl-C cancels it", strerror(errno));
    }
    show(s);
}

void screen_say(struct screen *s, const char *format, ...)
{
    va_list args;
    wipe(s);
    (void)fflush(stdout);
    (void)fputs("mltrain: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    show(s);
}

static void tell_failures(struct screen *s, const cJSON *job)
{
    const cJSON *failures = json_find(job, "status.failures");
    int64_t count = cJSON_GetArraySize(failures),
            restarts = json_integer(job, "status.restarts", 0);
    if (count > s->failures) {
        const cJSON *failure = cJSON_GetArrayItem(failures, (int)count - 1);
        int64_t lost = json_integer(failure, "stepsLost", -1);
        char words[JOB_CELL_MAX]; /* the rank's last lines stand on the screen already */
        job_failure_words(json_string(failure, "message", "?"), words);
        if (lost >= 0)
            screen_say(s, "attempt %" PRId64 " failed: %s (%" PRId64 " steps lost)",
                       json_integer(failure, "attempt", 0), words, lost);
        else
            screen_say(s, "attempt %" PRId64 " failed: %s", json_integer(failure, "attempt", 0),
                       words);
    }
    s->failures = count;
    int64_t attempt = json_integer(job, "status.attempt", 0),
            resume = json_integer(job, "status.recovery.resumeStep", -1);
    if (attempt > s->attempt && attempt > 1) {
        if (resume >= 0)
            screen_say(s,
                       "attempt %" PRId64 " goes on from the checkpoint of step %" PRId64
                       " (restart %" PRId64 ")",
                       attempt, resume, restarts);
        else
            screen_say(s, "attempt %" PRId64 " starts from the beginning (restart %" PRId64 ")",
                       attempt, restarts);
    }
    if (attempt > s->attempt)
        s->attempt = attempt;
}

void screen_job(struct screen *s, const cJSON *job, int64_t now_ms, int64_t wall_ms)
{
    if (s->quiet)
        return;
    tell_failures(s, job);
    if (job_is_finished(job)) {
        s->last[0] = '\0'; /* the closing line says it all */
        wipe(s);
        return;
    }
    char line[JOB_CELL_MAX];
    job_progress_line(job, wall_ms, line);
    const char *phase = json_string(job, "status.phase", "Pending");
    bool is_new_phase = strcmp(phase, s->phase) != 0, is_new = strcmp(line, s->last) != 0;
    (void)snprintf(s->last, sizeof s->last, "%s", line);
    (void)snprintf(s->phase, sizeof s->phase, "%s", phase);
    if (s->is_terminal) {
        show(s);
    } else if (is_new && (is_new_phase || now_ms - s->printed_ms >= SCREEN_REPEAT_MS)) {
        s->printed_ms = now_ms;
        screen_say(s, "%s", line);
    }
}

void screen_end(struct screen *s)
{
    wipe(s);
    s->last[0] = '\0';
    (void)fflush(stdout);
}
