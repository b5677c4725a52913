/* What `mltrain get` and `describe` print of a job and its events, whatever the object holds: words
 * of strangers must not reach the terminal as commands. The input: [job, events]. */
#include "tests/fuzz/fuzz.h"

#include "cli/job_text.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

#define NOW_MS INT64_C(1764273600000)

static void is_plain(const char *text, bool lines)
{
    for (; *text; text++)
        REQUIRE((unsigned char)*text >= 0x20 || (lines && *text == '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_json cJSON *list = NULL;
    char cell[JOB_CELL_MAX];
    if (size > 1 << 16 || json_parse((const char *)data, size, &list, NULL) < 0)
        return 0;
    const cJSON *job = json_find(list, "[0]"), *events = json_find(list, "[1]");
    for (int column = 0; column < JOB_COLUMN_COUNT; column++) {
        job_cell(job, (enum job_column)column, NOW_MS, cell);
        REQUIRE(strlen(cell) < sizeof cell);
        is_plain(cell, false);
    }
    job_progress_line(job, NOW_MS, cell);
    is_plain(cell, false);
    job_failure_words(json_string(job, "status.failures[0].message", ""), cell);
    REQUIRE(strlen(cell) < sizeof cell);
    cleanup_text struct mlt_text page = MLT_TEXT_INIT(JOB_PAGE_MAX);
    job_page(job, events, NOW_MS, &page);
    is_plain(mlt_text_string(&page), true);
    int code = job_exit_code(job);
    REQUIRE(code >= 0 && code <= 255);
    (void)job_is_finished(job);
    return 0;
}
