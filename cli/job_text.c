/* A TrainingJob in words: see job_text.h. */
#include "cli/job_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cell_text.h"
#include "cli/event_text.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/json/json.h"

static const struct {
    const char *heading;
    bool wide;
} columns[] = {
#define XX(name, heading, wide) [JOB_COLUMN_##name] = {heading, wide},
    JOB_COLUMN_MAP(XX)
#undef XX
};
_Static_assert(MLT_ARRAY_LENGTH(columns) == JOB_COLUMN_COUNT, "each column has a heading");

const char *job_column_heading(enum job_column column)
{
    return columns[column].heading;
}

bool job_column_is_wide(enum job_column column)
{
    return columns[column].wide;
}

#define TAIL_LINES_MAX 12 /* of a rank's last output, for each failure */

/* ---- pieces ---- */

static const char *phase_of(const cJSON *job)
{
    return json_string(job, "status.phase", "Pending");
}

static bool is_waiting(const cJSON *job)
{
    const char *phase = phase_of(job);
    return strcmp(phase, "Queued") == 0 || strcmp(phase, "Pending") == 0;
}

int job_condition(const cJSON *job, const char *type, const char **ret_message)
{
    const cJSON *condition;
    cJSON_ArrayForEach(condition, json_find(job, "status.conditions"))
    {
        if (strcmp(json_string(condition, "type", ""), type) != 0)
            continue;
        if (ret_message)
            *ret_message = json_string(condition, "message", "");
        return strcmp(json_string(condition, "status", ""), "True") == 0 ? 1 : 0;
    }
    return -1;
}

static bool has_final_phase(const cJSON *object)
{
    const char *phase = json_string(object, "status.phase", "");
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

bool job_is_finished(const cJSON *job)
{
    return has_final_phase(job);
}

bool pod_has_ended(const cJSON *pod)
{
    return has_final_phase(pod);
}

static const cJSON *last_failure(const cJSON *job)
{
    const cJSON *failures = json_find(job, "status.failures");
    int count = cJSON_GetArraySize(failures);
    return count > 0 ? cJSON_GetArrayItem(failures, count - 1) : NULL;
}

int job_exit_code(const cJSON *job)
{
    if (strcmp(phase_of(job), "Succeeded") == 0)
        return 0;
    const cJSON *failure = last_failure(job);
    int64_t code = json_integer(failure, "exitCode", 0),
            signal = json_integer(failure, "signal", 0);
    if (signal > 0 && signal < 128)
        return (int)(128 + signal);
    return code > 0 && code < 256 ? (int)code : 1;
}

/* Why it waits, or what went wrong last: one sentence. */
static const char *why(const cJSON *job)
{
    const char *message = "";
    if (is_waiting(job)) {
        if (job_condition(job, "Admitted", &message) == 0 && *message &&
            job_condition(job, "Preempted", NULL) != 1)
            return message;
        return json_string(job, "status.queue.explanation",
                           json_string(job, "status.queue.reason", ""));
    }
    if (strcmp(phase_of(job), "Failed") == 0 && job_condition(job, "Failed", &message) == 1)
        return message;
    if (strcmp(phase_of(job), "Preempting") == 0 && job_condition(job, "Preempted", &message) == 1)
        return message;
    if (strcmp(phase_of(job), "Restarting") == 0)
        return json_string(last_failure(job), "message", "");
    return "";
}

static void step_text(const cJSON *job, char *cell)
{
    int64_t step = json_integer(job, "status.progress.step", -1),
            total = json_integer(job, "status.progress.totalSteps", 0);
    if (!total)
        total = json_integer(job, "spec.progress.totalSteps", 0);
    if (step < 0)
        cell[0] = '\0';
    else if (total > 0)
        (void)snprintf(cell, JOB_CELL_MAX, "%" PRId64 "/%" PRId64, step, total);
    else
        (void)snprintf(cell, JOB_CELL_MAX, "%" PRId64, step);
}

/* The API holds a number or a decimal in a string ("12.5"). */
static double speed_of(const cJSON *job)
{
    const char *text = json_string(job, "status.progress.stepsPerSecond", NULL);
    double speed = json_number(job, "status.progress.stepsPerSecond", 0);
    if (text && sscanf(text, "%lf", &speed) != 1)
        speed = 0;
    return speed;
}

static void copy(const char *text, char *cell)
{
    (void)snprintf(cell, JOB_CELL_MAX, "%.*s", (int)strcspn(text, "\n"), text);
    cell_make_harmless(cell);
}

static void left_text(const cJSON *job, char *cell)
{
    int64_t seconds = json_integer(job, "status.progress.estimatedRemainingSeconds", -1);
    if (seconds < 0 || job_is_finished(job))
        cell[0] = '\0';
    else
        mlt_duration_for_people(seconds, cell);
}

/* The start that is reserved for it, as far as that can be known. */
static void starts_text(const cJSON *job, int64_t now_ms, char *cell)
{
    int64_t starts_ms = cell_time(job, "status.queue.estimatedStartTime");
    char text[JOB_CELL_MAX / 2];
    cell[0] = '\0';
    if (!starts_ms || !is_waiting(job))
        return;
    mlt_duration_for_people(starts_ms > now_ms ? (starts_ms - now_ms) / 1000 : 0, text);
    (void)snprintf(cell, JOB_CELL_MAX, "in %s", text);
}

static void number_cell(const cJSON *job, const char *path, char *cell)
{
    int64_t value = json_integer(job, path, -1);
    if (value < 0)
        cell[0] = '\0';
    else
        (void)snprintf(cell, JOB_CELL_MAX, "%" PRId64, value);
}

void job_cell(const cJSON *job, enum job_column column, int64_t now_ms, char *cell)
{
    cell[0] = '\0';
    switch (column) {
    case JOB_COLUMN_NAME:
        copy(json_string(job, "metadata.name", ""), cell);
        break;
    case JOB_COLUMN_PHASE:
        copy(phase_of(job), cell);
        break;
    case JOB_COLUMN_QUEUE:
        copy(json_string(job, "spec.queue", "default"), cell);
        break;
    case JOB_COLUMN_WORKERS:
        copy(json_string(job, "status.workers", ""), cell);
        break;
    case JOB_COLUMN_GPUS:
        number_cell(job, "status.gpus", cell);
        break;
    case JOB_COLUMN_STEP:
        step_text(job, cell);
        break;
    case JOB_COLUMN_SPEED:
        if (speed_of(job) > 0 && !job_is_finished(job))
            (void)snprintf(cell, JOB_CELL_MAX, "%.3g", speed_of(job));
        break;
    case JOB_COLUMN_LEFT:
        left_text(job, cell);
        break;
    case JOB_COLUMN_STARTS:
        starts_text(job, now_ms, cell);
        break;
    case JOB_COLUMN_RESTARTS:
        (void)snprintf(cell, JOB_CELL_MAX, "%" PRId64, json_integer(job, "status.restarts", 0));
        break;
    case JOB_COLUMN_CHECKPOINT:
        number_cell(job, "status.checkpoint.step", cell);
        break;
    case JOB_COLUMN_AGE:
        cell_age(cell_time(job, "metadata.creationTimestamp"), now_ms, cell);
        break;
    case JOB_COLUMN_NODES:
        copy(json_string(job, "status.placement.workers", ""), cell);
        break;
    case JOB_COLUMN_WHY:
        copy(why(job), cell);
        break;
    case JOB_COLUMN_COUNT:
        break;
    }
}

void job_progress_line(const cJSON *job, int64_t now_ms, char *line)
{
    static const struct {
        enum job_column column;
        const char *before, *after;
    } parts[] = {{JOB_COLUMN_PHASE, "", ""},
                 {JOB_COLUMN_WORKERS, "  workers ", ""},
                 {JOB_COLUMN_STEP, "  step ", ""},
                 {JOB_COLUMN_SPEED, "  ", " steps/s"},
                 {JOB_COLUMN_LEFT, "  ", " left"},
                 {JOB_COLUMN_RESTARTS, "  restarts ", ""},
                 {JOB_COLUMN_CHECKPOINT, "  checkpoint ", ""},
                 {JOB_COLUMN_WHY, "  ", ""}};
    size_t used = 0;
    line[0] = '\0';
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(parts) && used < JOB_CELL_MAX - 1; i++) {
        char cell[JOB_CELL_MAX];
        job_cell(job, parts[i].column, now_ms, cell);
        bool is_zero_restarts = parts[i].column == JOB_COLUMN_RESTARTS && strcmp(cell, "0") == 0;
        if (!cell[0] || is_zero_restarts)
            continue;
        int added = snprintf(line + used, JOB_CELL_MAX - used, "%s%s%s", parts[i].before, cell,
                             parts[i].after);
        used += added > 0 ? (size_t)added : 0;
    }
}

/* ---- the page ---- */

static void field(struct mlt_text *out, const char *name, const char *value)
{
    if (value && *value)
        mlt_text_printf(out, "%-14s %s\n", name, value);
}

static void cell_field(struct mlt_text *out, const char *name, const cJSON *job,
                       enum job_column column, int64_t now_ms)
{
    char cell[JOB_CELL_MAX];
    job_cell(job, column, now_ms, cell);
    field(out, name, cell);
}

static void placement_fields(struct mlt_text *out, const cJSON *job)
{
    char text[JOB_CELL_MAX];
    int64_t replicas = json_integer(job, "spec.workers.replicas", 1);
    const char *framework = json_string(job, "spec.framework", "pytorch");
    (void)snprintf(text, sizeof text, "%" PRId64 " pod%s, framework %s", replicas,
                   replicas == 1 ? "" : "s", framework);
    field(out, "Gang:", text);
    field(out, "Nodes:", json_string(job, "status.placement.workers", ""));
}

static void checkpoint_field(struct mlt_text *out, const cJSON *job, int64_t now_ms)
{
    int64_t step = json_integer(job, "status.checkpoint.step", -1);
    if (step < 0) {
        if (json_find(job, "spec.checkpoint.path"))
            mlt_text_printf(out, "%-14s none yet in %s\n",
                            "Checkpoint:", json_string(job, "spec.checkpoint.path", ""));
        return;
    }
    char age[MLT_TIME_TEXT_MAX];
    cell_age(cell_time(job, "status.checkpoint.time"), now_ms, age);
    mlt_text_printf(out, "%-14s step %" PRId64 " at %s%s%s%s\n", "Checkpoint:", step,
                    json_string(job, "status.checkpoint.path", "?"), *age ? " (" : "", age,
                    *age ? " ago)" : "");
}

/* Checkpoints that are complete and not resumed from. */
static void skipped_field(struct mlt_text *out, const cJSON *job)
{
    const cJSON *step, *all = json_find(job, "status.recovery.skippedCheckpoints");
    if (cJSON_GetArraySize(all) == 0)
        return;
    mlt_text_printf(out, "%-14s", "Not used:");
    cJSON_ArrayForEach(step, all)
    {
        int64_t number;
        if (json_is_integer(step, &number))
            mlt_text_printf(out, "%s step %" PRId64, step == all->child ? "" : ",", number);
    }
    mlt_text_putc(out, '\n');
}

static void restarts_field(struct mlt_text *out, const cJSON *job)
{
    mlt_text_printf(
        out, "%-14s %" PRId64 ", %" PRId64 " of %" PRId64 " charged; attempt %" PRId64 "\n",
        "Restarts:", json_integer(job, "status.restarts", 0),
        json_integer(job, "status.restartsCharged", 0), json_integer(job, "spec.backoffLimit", 6),
        json_integer(job, "status.attempt", 0));
}

static void conditions(struct mlt_text *out, const cJSON *job, int64_t now_ms)
{
    const cJSON *condition, *all = json_find(job, "status.conditions");
    if (cJSON_GetArraySize(all) > 0)
        mlt_text_puts(out, "Conditions:\n");
    cJSON_ArrayForEach(condition, all)
    {
        char age[MLT_TIME_TEXT_MAX];
        cell_age(cell_time(condition, "lastTransitionTime"), now_ms, age);
        mlt_text_printf(out, "  %-12s %-6s %-8s %s%s%s\n", json_string(condition, "type", "?"),
                        json_string(condition, "status", "?"), age,
                        json_string(condition, "reason", ""),
                        *json_string(condition, "message", "") ? ": " : "",
                        json_string(condition, "message", ""));
    }
}

void job_failure_words(const char *message, char *line)
{
    copy(message, line);
}

/* The rest of a failure's message, the end of it, each line behind a bar. */
static void failure_tail(struct mlt_text *out, const char *message)
{
    const char *line = strchr(message, '\n');
    int64_t lines = 0;
    for (const char *p = line; p && p[1]; p = strchr(p + 1, '\n'))
        lines++;
    for (; lines > TAIL_LINES_MAX; lines--)
        line = strchr(line + 1, '\n');
    while (line && line[1]) {
        const char *end = strchr(line + 1, '\n');
        mlt_text_puts(out, "      | ");
        mlt_text_add(out, line + 1, end ? (size_t)(end - line - 1) : strlen(line + 1));
        mlt_text_putc(out, '\n');
        line = end;
    }
}

static void failures(struct mlt_text *out, const cJSON *job, int64_t now_ms)
{
    const cJSON *failure, *all = json_find(job, "status.failures");
    if (cJSON_GetArraySize(all) > 0)
        mlt_text_puts(out, "Failures (the last 20):\n");
    cJSON_ArrayForEach(failure, all)
    {
        char age[MLT_TIME_TEXT_MAX], words[JOB_CELL_MAX];
        const char *message = json_string(failure, "message", json_string(failure, "cause", "?"));
        cell_age(cell_time(failure, "time"), now_ms, age);
        job_failure_words(message, words);
        mlt_text_printf(out, "  attempt %" PRId64 ", %s ago: %s",
                        json_integer(failure, "attempt", 0), age, words);
        const char *cause = json_string(failure, "cause", "?");
        int64_t lost = json_integer(failure, "stepsLost", -1);
        if (lost >= 0)
            mlt_text_printf(out, " (%s, %" PRId64 " steps lost)\n", cause, lost);
        else
            mlt_text_printf(out, " (%s)\n", cause);
        failure_tail(out, message);
    }
}

static void event_lines(struct mlt_text *out, const cJSON *events, int64_t now_ms)
{
    const cJSON **sorted;
    size_t count = events_sorted(json_member(events, "items"), &sorted);
    if (count > 0)
        mlt_text_puts(out, "Events:\n");
    for (size_t i = 0; i < count; i++) {
        static const enum event_column columns_shown[] = {
            EVENT_COLUMN_LAST_SEEN, EVENT_COLUMN_TYPE, EVENT_COLUMN_REASON, EVENT_COLUMN_MESSAGE};
        static const int widths[] = {8, 8, 22, 0};
        for (size_t k = 0; k < MLT_ARRAY_LENGTH(columns_shown); k++) {
            char cell[EVENT_CELL_MAX];
            event_cell(sorted[i], columns_shown[k], now_ms, cell);
            mlt_text_printf(out, "%s%-*s", k ? " " : "  ", widths[k], cell);
        }
        mlt_text_putc(out, '\n');
    }
    free(sorted);
}

static void made_way_field(struct mlt_text *out, const cJSON *job)
{
    int64_t count = json_integer(job, "status.preemption.count", 0);
    if (count > 0)
        mlt_text_printf(out, "%-14s %" PRId64 " time%s, the last for %s (%s)\n", "Made way:", count,
                        count == 1 ? "" : "s", json_string(job, "status.preemption.by", "?"),
                        json_string(job, "status.preemption.reason", "?"));
}

/* It has a place that it may have to give up. */
static void condition_field(struct mlt_text *out, const cJSON *job)
{
    bool limited = json_integer(job, "spec.activeDeadlineSeconds", 0) > 0;
    if (!json_bool(job, "status.preemption.revocable", false) ||
        strcmp(json_string(job, "status.phase", ""), "Preempting") == 0)
        return;
    mlt_text_printf(out, "%-14s it started before its turn, and makes way %s\n", "On condition:",
                    limited ? "if it would not end before a reserved start"
                            : "when its place is needed");
}

void job_page(const cJSON *job, const cJSON *events, int64_t now_ms, struct mlt_text *out)
{
    field(out, "Name:", json_string(job, "metadata.name", ""));
    field(out, "Namespace:", json_string(job, "metadata.namespace", ""));
    cell_field(out, "Queue:", job, JOB_COLUMN_QUEUE, now_ms);
    cell_field(out, "Phase:", job, JOB_COLUMN_PHASE, now_ms);
    cell_field(out, is_waiting(job) ? "Waits because:" : "Why:", job, JOB_COLUMN_WHY, now_ms);
    if (is_waiting(job) && json_integer(job, "status.queue.position", 0) > 0)
        mlt_text_printf(out, "%-14s %" PRId64 "\n",
                        "Position:", json_integer(job, "status.queue.position", 0));
    cell_field(out, "Starts:", job, JOB_COLUMN_STARTS, now_ms);
    placement_fields(out, job);
    cell_field(out, "Workers:", job, JOB_COLUMN_WORKERS, now_ms);
    cell_field(out, "GPUs:", job, JOB_COLUMN_GPUS, now_ms);
    cell_field(out, "Step:", job, JOB_COLUMN_STEP, now_ms);
    cell_field(out, "Steps/s:", job, JOB_COLUMN_SPEED, now_ms);
    cell_field(out, "Time left:", job, JOB_COLUMN_LEFT, now_ms);
    checkpoint_field(out, job, now_ms);
    skipped_field(out, job);
    restarts_field(out, job);
    made_way_field(out, job);
    condition_field(out, job);
    cell_field(out, "Age:", job, JOB_COLUMN_AGE, now_ms);
    conditions(out, job, now_ms);
    failures(out, job, now_ms);
    event_lines(out, events, now_ms);
    if (out->data)
        cell_make_harmless(out->data);
}
