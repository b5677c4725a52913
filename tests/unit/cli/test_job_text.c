/* A job in words: cells, the progress line, the page, the exit code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cli/job_text.h"
#include "lib/json/json.h"

#define NOW_MS INT64_C(1764000120000) /* 2025-11-24T16:02:00Z */

static cJSON *parse(const char *text)
{
    cJSON *node = NULL;
    struct mlt_error err = {0};
    if (json_parse(text, strlen(text), &node, &err) < 0)
        fail_msg("%s", err.text);
    return node;
}

static const char running[] =
    "{\"metadata\":{\"name\":\"llama\",\"namespace\":\"research\",\"creationTimestamp\":\"2025-11-"
    "24T16:00:00Z\"},"
    "\"spec\":{\"queue\":\"team\",\"backoffLimit\":4,\"workers\":{\"replicas\":4}},"
    "\"status\":{\"phase\":\"Running\",\"workers\":\"4/"
    "4\",\"gpus\":32,\"restarts\":1,\"restartsCharged\":1,\"attempt\":2,"
    "\"progress\":{\"step\":180,\"totalSteps\":400,\"stepsPerSecond\":12.5,"
    "\"estimatedRemainingSeconds\":18},"
    "\"checkpoint\":{\"step\":150,\"path\":\"/ckpt/150\",\"time\":\"2025-11-24T16:01:30Z\"},"
    "\"placement\":{\"workers\":\"node[001-004]\"},"
    "\"failures\":[{\"time\":\"2025-11-24T16:01:00Z\",\"attempt\":1,\"rank\":2,\"signal\":9,"
    "\"stepsLost\":7,\"cause\":\"KilledFromOutside\","
    "\"message\":\"rank 2 was killed\\nits last words\\nand more\\n\"},{\"attempt\":2,"
    "\"cause\":\"PodLost\",\"message\":\"a pod went\"}],"
    "\"recovery\":{\"skippedCheckpoints\":[160,170]}}}";

static void test_cells_say_how_a_running_job_stands(void **state)
{
    (void)state;
    cJSON *job cleanup_json = parse(running);
    static const struct {
        enum job_column column;
        const char *text;
    } rows[] = {{JOB_COLUMN_NAME, "llama"}, {JOB_COLUMN_PHASE, "Running"},
                {JOB_COLUMN_QUEUE, "team"}, {JOB_COLUMN_WORKERS, "4/4"},
                {JOB_COLUMN_GPUS, "32"},    {JOB_COLUMN_STEP, "180/400"},
                {JOB_COLUMN_SPEED, "12.5"}, {JOB_COLUMN_LEFT, "18s"},
                {JOB_COLUMN_RESTARTS, "1"}, {JOB_COLUMN_CHECKPOINT, "150"},
                {JOB_COLUMN_AGE, "2m"},     {JOB_COLUMN_NODES, "node[001-004]"},
                {JOB_COLUMN_WHY, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char cell[JOB_CELL_MAX];
        job_cell(job, rows[i].column, NOW_MS, cell);
        assert_string_equal(cell, rows[i].text);
    }
    char line[JOB_CELL_MAX];
    job_progress_line(job, NOW_MS, line);
    assert_string_equal(
        line,
        "Running  workers 4/4  step 180/400  12.5 steps/s  18s left  restarts 1  checkpoint 150");
}

static void test_a_job_that_started_early_says_on_what_condition(void **state)
{
    (void)state;
    cJSON *job cleanup_json = parse("{\"metadata\":{\"name\":\"a\"},\"spec\":{},\"status\":{"
                                    "\"phase\":\"Running\",\"preemption\":{\"revocable\":true}}}");
    struct mlt_text out cleanup_text = MLT_TEXT_INIT(1 << 20);
    job_page(job, NULL, NOW_MS, &out);
    assert_non_null(strstr(mlt_text_string(&out), "On condition:  it started before its turn, and "
                                                  "makes way when its place is needed\n"));
    struct mlt_text other cleanup_text = MLT_TEXT_INIT(1 << 20);
    json_set_integer(job, "spec.activeDeadlineSeconds", 60);
    job_page(job, NULL, NOW_MS, &other);
    assert_non_null(
        strstr(mlt_text_string(&other), "if it would not end before a reserved start\n"));
}

static void test_a_job_that_made_way_says_for_whom_and_when_it_starts_again(void **state)
{
    (void)state;
    cJSON *job cleanup_json = parse(
        "{\"metadata\":{\"name\":\"a\"},\"status\":{\"phase\":\"Queued\",\"queue\":{"
        "\"explanation\":\"1 of 2 free\",\"estimatedStartTime\":\"2025-11-24T16:12:00Z\"},"
        "\"conditions\":[{\"type\":\"Admitted\",\"status\":\"False\",\"message\":\"has made way "
        "for team/b\"},{\"type\":\"Preempted\",\"status\":\"True\",\"message\":\"makes way for "
        "team/b\"}],\"preemption\":{\"count\":2,\"by\":\"team/"
        "b\",\"reason\":\"InClusterQueue\"}}}");
    char cell[JOB_CELL_MAX];
    job_cell(job, JOB_COLUMN_WHY, NOW_MS, cell);
    assert_string_equal(cell, "1 of 2 free");
    job_cell(job, JOB_COLUMN_STARTS, NOW_MS, cell);
    assert_string_equal(cell, "in 10m");
    struct mlt_text page cleanup_text = MLT_TEXT_INIT(JOB_PAGE_MAX);
    job_page(job, NULL, NOW_MS, &page);
    assert_non_null(strstr(mlt_text_string(&page),
                           "Made way:      2 times, the last for team/b (InClusterQueue)\n"));
    json_set_string(job, "status.phase", "Preempting");
    job_cell(job, JOB_COLUMN_WHY, NOW_MS, cell);
    assert_string_equal(cell, "makes way for team/b");
}

static void test_a_waiting_job_says_why_in_numbers(void **state)
{
    (void)state;
    cJSON *job cleanup_json = parse("{\"metadata\":{\"name\":\"a\"},\"status\":{\"phase\":"
                                    "\"Queued\",\"queue\":{\"position\":2,\"reason\":"
                                    "\"Waiting\",\"explanation\":\"needs 8 GPUs; 3 of 8 free\"}}}");
    char line[JOB_CELL_MAX];
    job_progress_line(job, NOW_MS, line);
    assert_string_equal(line, "Queued  needs 8 GPUs; 3 of 8 free");
    struct mlt_text page cleanup_text = MLT_TEXT_INIT(JOB_PAGE_MAX);
    job_page(job, NULL, NOW_MS, &page);
    assert_non_null(strstr(mlt_text_string(&page), "Waits because: needs 8 GPUs; 3 of 8 free\n"));
    assert_non_null(strstr(mlt_text_string(&page), "Position:      2\n"));
    assert_null(strstr(mlt_text_string(&page), "Not used"));
}

static void test_the_page_names_failures_and_checkpoint(void **state)
{
    (void)state;
    cJSON *job cleanup_json = parse(running);
    cJSON *events cleanup_json =
        parse("{\"items\":[{\"reason\":\"Later\",\"lastTimestamp\":\"2025-11-24T16:01:59Z\"},"
              "{\"type\":\"Warning\",\"reason\":\"RankFailed\",\"message\":\"m\",\"count\":3,"
              "\"lastTimestamp\":\"2025-11-24T16:01:00Z\"}]}");
    struct mlt_text page cleanup_text = MLT_TEXT_INIT(JOB_PAGE_MAX);
    job_page(job, events, NOW_MS, &page);
    const char *text = mlt_text_string(&page);
    assert_non_null(
        strstr(text, "attempt 1, 60s ago: rank 2 was killed (KilledFromOutside, 7 steps lost)\n"
                     "      | its last words\n      | and more\n"));
    assert_non_null(strstr(text, ": a pod went (PodLost)\n"));
    assert_non_null(strstr(text, "Not used:      step 160, step 170\n"));
    assert_non_null(strstr(text, "step 150 at /ckpt/150 (30s ago)\n"));
    assert_non_null(strstr(text, "1, 1 of 4 charged; attempt 2\n"));
    assert_non_null(strstr(text, "RankFailed             m (3 times)\n"));
    assert_true(strstr(text, "RankFailed") < strstr(text, "Later"));
}

static void test_the_exit_code_is_the_culprits(void **state)
{
    (void)state;
    static const struct {
        const char *what, *job;
        int code;
    } rows[] = {
        {"a job that succeeded", "{\"status\":{\"phase\":\"Succeeded\"}}", 0},
        {"a rank that exited 3",
         "{\"status\":{\"phase\":\"Failed\",\"failures\":[{\"exitCode\":3}]}}", 3},
        {"the newest failure counts",
         "{\"status\":{\"phase\":\"Failed\",\"failures\":[{\"exitCode\":3},{\"exitCode\":4}]}}", 4},
        {"a signal", "{\"status\":{\"phase\":\"Failed\",\"failures\":[{\"signal\":9}]}}", 137},
        {"no failure on record", "{\"status\":{\"phase\":\"Failed\"}}", 1},
        {"a code out of range",
         "{\"status\":{\"phase\":\"Failed\",\"failures\":[{\"exitCode\":300}]}}", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cJSON *job cleanup_json = parse(rows[i].job);
        if (job_exit_code(job) != rows[i].code)
            fail_msg("%s: %d", rows[i].what, job_exit_code(job));
    }
}

static void test_a_terminal_is_not_commanded_by_words_of_strangers(void **state)
{
    (void)state;
    cJSON *job cleanup_json =
        parse("{\"metadata\":{\"name\":\"a\\u001b[2Jb\"},\"status\":{\"phase\":\"Failed\","
              "\"conditions\":[{\"type\":\"Failed\",\"status\":\"True\",\"message\":"
              "\"one\\ttwo\\u009b31m\\u00e9\\u0007\\nthree\"}]}}");
    cJSON *events cleanup_json =
        parse("{\"items\":[{\"reason\":\"R\",\"message\":\"x\\u001b]0;title\\u0007\\r\"}]}");
    char cell[JOB_CELL_MAX];
    job_cell(job, JOB_COLUMN_NAME, NOW_MS, cell);
    assert_string_equal(cell, "a?[2Jb");
    job_cell(job, JOB_COLUMN_WHY, NOW_MS, cell);
    assert_string_equal(cell, "one two??31m\xC3\xA9?");
    struct mlt_text page = MLT_TEXT_INIT(JOB_PAGE_MAX);
    job_page(job, events, NOW_MS, &page);
    assert_null(strpbrk(mlt_text_string(&page), "\033\007\r\t"));
    assert_non_null(strstr(mlt_text_string(&page), "x?]0;title??"));
    mlt_text_release(&page);
}

static void test_an_object_without_status_is_pending(void **state)
{
    (void)state;
    cJSON *job cleanup_json = parse("{}");
    char line[JOB_CELL_MAX];
    job_progress_line(job, NOW_MS, line);
    assert_string_equal(line, "Pending");
    assert_false(job_is_finished(job));
    assert_int_equal(job_condition(job, "Failed", NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_say_how_a_running_job_stands),
        cmocka_unit_test(test_a_job_that_started_early_says_on_what_condition),
        cmocka_unit_test(test_a_job_that_made_way_says_for_whom_and_when_it_starts_again),
        cmocka_unit_test(test_a_waiting_job_says_why_in_numbers),
        cmocka_unit_test(test_the_page_names_failures_and_checkpoint),
        cmocka_unit_test(test_the_exit_code_is_the_culprits),
        cmocka_unit_test(test_a_terminal_is_not_commanded_by_words_of_strangers),
        cmocka_unit_test(test_an_object_without_status_is_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
