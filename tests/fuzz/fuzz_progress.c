/* A job's progress pattern, a newline, and lines of output. Whatever the pattern: it is compiled
 * and searched within limits, and steps only grow. */
#include "tests/fuzz/fuzz.h"

#include "launcher/progress.h"
#include "lib/base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct progress *p = NULL;
    struct mlt_error err = {0};
    if (size > 1 << 14)
        return 0;
    cleanup_free char *text = fuzz_text(data, size);
    char *rest = text, *pattern = strsep(&rest, "\n");
    if (strlen(pattern) > RENDEZVOUS_PATTERN_MAX)
        return 0; /* refused with the message that would bring it */
    int rc = progress_new(pattern, 0, &p, &err);
    if (rc < 0) {
        REQUIRE(err.text[0]);
        return 0;
    }
    int64_t last = RENDEZVOUS_NO_STEP, now_ms = 0;
    while (rest) {
        struct rendezvous_progress report;
        char *line = strsep(&rest, "\n");
        progress_line(p, line, strlen(line));
        now_ms += PROGRESS_INTERVAL_MS;
        if (!progress_report(p, now_ms, false, &report))
            continue;
        REQUIRE(report.step > last && report.total_steps >= 0);
        last = report.step;
    }
    (void)progress_gave_up(p);
    progress_free(p);
    return 0;
}
