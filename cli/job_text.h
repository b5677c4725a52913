/* A TrainingJob object in words: the columns of `get`, the progress line of `run`, the page of
 * `describe`. Pure: the time comes in. Reads the JSON as it is, so that an object of another
 * version is shown too. Control characters in it are shown as `?`: a terminal would obey them. */
#ifndef CLI_JOB_TEXT_H
#define CLI_JOB_TEXT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/text.h"

#define JOB_CELL_MAX 512
#define JOB_PAGE_MAX (1024u * 1024)

/* XX(NAME, heading, only with -o wide) */
#define JOB_COLUMN_MAP(XX)              \
    XX(NAME, "NAME", false)             \
    XX(PHASE, "PHASE", false)           \
    XX(QUEUE, "QUEUE", true)            \
    XX(WORKERS, "WORKERS", false)       \
    XX(GPUS, "GPUS", false)             \
    XX(STEP, "STEP", false)             \
    XX(SPEED, "STEPS/S", false)         \
    XX(LEFT, "LEFT", false)             \
    XX(STARTS, "STARTS", true)          \
    XX(RESTARTS, "RESTARTS", false)     \
    XX(CHECKPOINT, "CHECKPOINT", false) \
    XX(AGE, "AGE", false)               \
    XX(NODES, "NODES", true)            \
    XX(WHY, "WHY", false)

enum job_column {
#define XX(name, heading, wide) JOB_COLUMN_##name,
    JOB_COLUMN_MAP(XX)
#undef XX
        JOB_COLUMN_COUNT
};

const char *job_column_heading(enum job_column column);
bool job_column_is_wide(enum job_column column);

/* The text of one cell, "" where there is nothing to say; `cell` holds JOB_CELL_MAX bytes. */
void job_cell(const cJSON *job, enum job_column column, int64_t now_ms, char *cell);

/* "Running  workers 4/4  step 180/400  12.5 steps/s  18s left  restarts 1  checkpoint 150" or,
 * while it waits, why. `line` holds JOB_CELL_MAX bytes. */
void job_progress_line(const cJSON *job, int64_t now_ms, char *line);

/* What happened, from a failure's message: its first line. What follows is the end of the rank's
 * own output. `line` holds JOB_CELL_MAX bytes. */
void job_failure_words(const char *message, char *line);

/* The page of `describe`; `events` is an EventList or NULL. */
void job_page(const cJSON *job, const cJSON *events, int64_t now_ms, struct mlt_text *out);

/* The status of a condition: 1 True, 0 False, -1 absent; its message in *ret_message (may be NULL).
 */
int job_condition(const cJSON *job, const char *type, const char **ret_message);
bool job_is_finished(const cJSON *job);
bool pod_has_ended(const cJSON *pod); /* its phase is final: no container of it starts any more */

/* The exit code of a finished job for a shell: 0, the culprit's code, 128 + its signal, else 1. */
int job_exit_code(const cJSON *job);

#endif
