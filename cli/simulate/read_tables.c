/* Readers of text tables: Philly's extract, the Standard Workload Format, Alibaba's openb. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/simulate/fields.h"
#include "cli/simulate/readers.h"
#include "lib/base/alloc.h"

#define NAME_ANY "all"
#define DEVICES_MAX 1000000000         /* of one job */
#define OPENB_RUN_MS INT64_C(86400000) /* of a pod in a list without times */

/* The fields of a line under a heading. One whose column is not there is at NULL. */
struct row {
    struct sim_piece of[SIM_COLUMNS_MAX]; /* in the order of the names that were looked for */
};

static int take_row(struct sim_piece line, const size_t *columns, size_t wanted, struct row *ret,
                    struct mlt_error *err)
{
    struct sim_piece fields[SIM_COLUMNS_MAX];
    size_t count = sim_split_commas(line, fields);
    for (size_t i = 0; i < wanted; i++) {
        if (columns[i] != SIZE_MAX && columns[i] >= count)
            return mlt_fail(err, EINVAL, "%zu fields, expected at least %zu", count,
                            columns[i] + 1);
        ret->of[i] = columns[i] == SIZE_MAX ? (struct sim_piece){NULL, 0}
                                            : sim_piece_bare(fields[columns[i]]);
    }
    return 0;
}

/* Whether the first line names such a column: a list like names in fields.h. */
static bool heading_has(const char *data, size_t length, const char *name)
{
    struct sim_lines lines = {data, data + length, 0};
    struct sim_piece line = {data, 0};
    size_t column;
    return sim_lines_next(&lines, &line, NULL) > 0 &&
           sim_columns(line, &name, 1, &column, NULL) == 0;
}

typedef int row_f(const struct row *row, uint64_t line, const struct sim_read_options *options,
                  struct sim_trace *trace, struct mlt_error *err);

static int read_table(const char *data, size_t length, const char *const *names, size_t wanted,
                      row_f *take, const struct sim_read_options *options, struct sim_trace *trace,
                      struct mlt_error *err)
{
    struct sim_lines lines = {data, data + length, 0};
    struct sim_piece line = {data, 0};
    size_t columns[SIM_COLUMNS_MAX];
    int rc = sim_lines_next(&lines, &line, err);
    if (rc >= 0)
        rc = sim_columns(line, names, wanted, columns, err);
    if (rc < 0)
        return rc;
    for (;;) {
        struct row row;
        rc = sim_lines_next(&lines, &line, err);
        if (rc <= 0)
            return rc;
        if (line.length == 0)
            continue;
        rc = take_row(line, columns, wanted, &row, err);
        if (rc == 0)
            rc = take(&row, lines.number, options, trace, err);
        if (rc < 0)
            return mlt_fail_in(err, "line %" PRIu64, lines.number);
    }
}

/* ---- Philly ---- */

enum { PHILLY_TIMESTAMP, PHILLY_DURATION, PHILLY_GPUS, PHILLY_CLUSTER, PHILLY_COUNT };

/* "8.0" is 8: what programs write that read the column as fractions. */
static struct sim_piece whole(struct sim_piece piece)
{
    if (piece.length > 2 && memcmp(piece.at + piece.length - 2, ".0", 2) == 0)
        piece.length -= 2;
    return piece;
}

static int philly_row(const struct row *row, uint64_t line, const struct sim_read_options *options,
                      struct sim_trace *trace, struct mlt_error *err)
{
    struct sim_job job = {.recorded_wait_ms = -1, .number = (int64_t)line};
    int64_t devices = 0;
    int rc = sim_time(row->of[PHILLY_TIMESTAMP], "timestamp", &job.submit_ms, err);
    if (rc == 0)
        rc = sim_seconds(row->of[PHILLY_DURATION], "duration", &job.run_ms, err);
    if (rc == 0)
        rc = sim_integer(whole(row->of[PHILLY_GPUS]), "num_gpus", 0, DEVICES_MAX, &devices, err);
    if (rc < 0)
        return rc;
    if (job.run_ms <= 0 || devices == 0) {
        sim_trace_leave_out(trace, devices == 0 ? "no GPU" : "no duration");
        return 0;
    }
    struct sim_piece cluster = row->of[PHILLY_CLUSTER];
    if (!cluster.at)
        cluster = (struct sim_piece){NAME_ANY, strlen(NAME_ANY)};
    rc = sim_names_add(&trace->queues, cluster.at, cluster.length, SIM_QUEUES_MAX, &job.queue, err);
    if (rc < 0)
        return mlt_fail_in(err, "cluster");
    rc = sim_trace_shape_of_devices(trace, devices, options->pod_max, &job.shape, err);
    job.owner = job.queue;
    return rc < 0 ? mlt_fail_in(err, "num_gpus: `%" PRId64 "`", devices)
                  : sim_trace_add(trace, &job, NULL, 0, err);
}

int sim_read_philly(const char *data, size_t length, const struct sim_read_options *options,
                    struct sim_trace *trace, struct mlt_error *err)
{
    static const char *const names[PHILLY_COUNT] = {"timestamp|submit_time", "duration",
                                                    "num_gpus|num_gpu|gpu_num", "?cluster|vc"};
    trace->format = "Philly CSV";
    trace->queue_word = "virtual cluster";
    return read_table(data, length, names, PHILLY_COUNT, philly_row, options, trace, err);
}

/* ---- openb ---- */

enum {
    OPENB_NAME,
    OPENB_CPU,
    OPENB_MEMORY,
    OPENB_GPUS,
    OPENB_GPU_MILLI,
    OPENB_SPEC,
    OPENB_QOS,
    OPENB_CREATED,
    OPENB_DELETED,
    OPENB_SCHEDULED,
    OPENB_COUNT
};

/* "V100M16|V100M32": the models that a pod may use; an empty one is any. */
static int openb_models(struct sim_piece spec, struct sim_trace *trace, uint64_t *ret_models,
                        struct mlt_error *err)
{
    *ret_models = spec.length == 0 ? SIM_ANY_MODEL : 0;
    while (spec.length > 0) {
        const char *bar = memchr(spec.at, '|', spec.length);
        size_t length = bar ? (size_t)(bar - spec.at) : spec.length;
        uint32_t number;
        int rc = sim_names_add(&trace->models, spec.at, length, SIM_MODELS_MAX, &number, err);
        if (rc < 0)
            return mlt_fail_in(err, "gpu_spec");
        *ret_models |= UINT64_C(1) << number;
        length += bar ? 1 : 0;
        spec.at += length;
        spec.length -= length;
    }
    return 0;
}

/* Why a pod is left out; NULL when it is not. */
static const char *openb_left_out(const struct row *row, int64_t devices, int64_t milli)
{
    if (devices == 0)
        return "no GPU (CPU-only pods)";
    if (milli != 1000)
        return "a fraction of a GPU";
    if (row->of[OPENB_SCHEDULED].at && row->of[OPENB_SCHEDULED].length == 0)
        return "never scheduled, so without a duration";
    if (row->of[OPENB_DELETED].at && row->of[OPENB_DELETED].length == 0)
        return "never deleted, so without a duration";
    return NULL;
}

/* When it came, was placed and deleted; in a list without times a pod comes every second and stays
 * for a day. */
static int openb_times(const struct row *row, uint64_t line, struct sim_job *job,
                       struct mlt_error *err)
{
    int64_t end_ms = 0, begin_ms = 0;
    if (!row->of[OPENB_CREATED].at) {
        job->submit_ms = ((int64_t)line - 2) * 1000;
        job->run_ms = OPENB_RUN_MS;
        return 0;
    }
    int rc = sim_seconds(row->of[OPENB_CREATED], "creation_time", &job->submit_ms, err);
    if (rc == 0)
        rc = sim_seconds(row->of[OPENB_DELETED], "deletion_time", &end_ms, err);
    if (rc == 0)
        rc = sim_seconds(row->of[OPENB_SCHEDULED], "scheduled_time", &begin_ms, err);
    if (rc < 0)
        return rc;
    job->run_ms = end_ms - begin_ms;
    job->recorded_wait_ms = begin_ms > job->submit_ms ? begin_ms - job->submit_ms : 0;
    return 0;
}

static int openb_row(const struct row *row, uint64_t line, const struct sim_read_options *options,
                     struct sim_trace *trace, struct mlt_error *err)
{
    (void)options;
    struct sim_job job = {.recorded_wait_ms = -1, .number = (int64_t)line};
    struct sim_shape shape = {.roles = 1, .role = {{.pods = 1}}};
    struct sim_role *role = &shape.role[0];
    int64_t mib = 0, milli = 0;
    int rc = sim_integer(row->of[OPENB_CPU], "cpu_milli", 0, SIM_PLENTY, &role->cpu_milli, err);
    if (rc == 0)
        rc = sim_integer(row->of[OPENB_MEMORY], "memory_mib", 0, SIM_PLENTY >> 20, &mib, err);
    if (rc == 0)
        rc = sim_integer(row->of[OPENB_GPUS], "num_gpu", 0, SIM_NODE_DEVICES_MAX, &role->devices,
                         err);
    if (rc == 0)
        rc = sim_integer(row->of[OPENB_GPU_MILLI], "gpu_milli", 0, 1000, &milli, err);
    if (rc < 0)
        return rc;
    const char *why = openb_left_out(row, role->devices, milli);
    if (!why)
        rc = openb_times(row, line, &job, err);
    if (rc < 0)
        return rc;
    if (!why && job.run_ms <= 0)
        why = "no duration";
    if (why) {
        sim_trace_leave_out(trace, why);
        return 0;
    }
    role->memory = mib << 20;
    struct sim_piece qos = row->of[OPENB_QOS];
    if (!qos.at)
        qos = (struct sim_piece){NAME_ANY, strlen(NAME_ANY)};
    rc = openb_models(row->of[OPENB_SPEC], trace, &shape.models, err);
    if (rc == 0)
        rc = sim_names_add(&trace->queues, qos.at, qos.length, SIM_QUEUES_MAX, &job.queue, err);
    if (rc == 0)
        rc = sim_trace_shape(trace, &shape, &job.shape, err);
    job.owner = job.queue;
    return rc < 0 ? rc
                  : sim_trace_add(trace, &job, row->of[OPENB_NAME].at, row->of[OPENB_NAME].length,
                                  err);
}

int sim_read_openb(const char *data, size_t length, const struct sim_read_options *options,
                   struct sim_trace *trace, struct mlt_error *err)
{
    /* Some of its lists have the first five columns only: all of the times are there, or none. */
    static const char *const timed[OPENB_COUNT] = {"name",          "cpu_milli",
                                                   "memory_mib",    "num_gpu",
                                                   "gpu_milli",     "?gpu_spec",
                                                   "?qos",          "creation_time",
                                                   "deletion_time", "scheduled_time"},
                             *const bare[OPENB_COUNT] = {
                                 "name",           "cpu_milli",      "memory_mib", "num_gpu",
                                 "gpu_milli",      "?gpu_spec",      "?qos",       "?creation_time",
                                 "?deletion_time", "?scheduled_time"};
    bool times = heading_has(data, length, "creation_time") ||
                 heading_has(data, length, "deletion_time") ||
                 heading_has(data, length, "scheduled_time");
    trace->format =
        times ? "openb CSV" : "openb CSV without times (a pod a second, each for a day)";
    trace->queue_word = "QoS class";
    return read_table(data, length, times ? timed : bare, OPENB_COUNT, openb_row, options, trace,
                      err);
}

/* ---- Standard Workload Format ---- */

/* Columns of https://www.cs.huji.ac.il/labs/parallel/workload/swf.html, from 0. */
enum {
    SWF_NUMBER = 0,
    SWF_SUBMIT = 1,
    SWF_WAIT = 2,
    SWF_RUN = 3,
    SWF_ALLOCATED = 4,
    SWF_ASKED = 7,
    SWF_LIMIT = 8,
    SWF_STATUS = 10,
    SWF_USER = 11,
    SWF_GROUP = 12,
    SWF_QUEUE = 14,
    SWF_PARTITION = 15,
    SWF_FIELDS = 18
};

static int swf_queue(const struct sim_piece *fields, enum sim_queue_by by, struct sim_trace *trace,
                     uint32_t *ret_queue, struct mlt_error *err)
{
    static const int columns[] = {[SIM_QUEUE_BY_USER] = SWF_USER,
                                  [SIM_QUEUE_BY_GROUP] = SWF_GROUP,
                                  [SIM_QUEUE_BY_QUEUE] = SWF_QUEUE,
                                  [SIM_QUEUE_BY_PARTITION] = SWF_PARTITION};
    struct sim_piece name = {NAME_ANY, strlen(NAME_ANY)};
    if (by != SIM_QUEUE_BY_NONE)
        name = fields[columns[by]];
    int rc = sim_names_add(&trace->queues, name.at, name.length, SIM_QUEUES_MAX, ret_queue, err);
    return rc < 0 ? mlt_fail_in(err, "queue") : 0;
}

/* A job that was swapped out has lines of its parts (status 2, 3, 4) beside the one of the whole.
 */
static bool swf_is_part(const struct sim_piece *fields)
{
    struct sim_piece status = fields[SWF_STATUS];
    return sim_piece_is(status, "2") || sim_piece_is(status, "3") || sim_piece_is(status, "4");
}

/* ---- job numbers, each once ---- */

struct swf_number {
    int64_t number;
    uint64_t line;
};
struct swf_numbers {
    struct swf_number *of;
    size_t count, capacity;
};

static int by_number(const void *a, const void *b)
{
    const struct swf_number *x = a, *y = b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* The first line that has the number of an earlier one. */
static int swf_check_numbers(struct swf_numbers *n, struct mlt_error *err)
{
    const struct swf_number *again = NULL, *before = NULL;
    if (n->count)
        qsort(n->of, n->count, sizeof *n->of, by_number);
    for (size_t i = 1; i < n->count; i++)
        if (n->of[i].number == n->of[i - 1].number && (!again || n->of[i].line < again->line)) {
            again = &n->of[i];
            before = &n->of[i - 1];
        }
    if (!again)
        return 0;
    return mlt_fail(err, EINVAL,
                    "line %" PRIu64 ": job number: `%" PRId64
                    "`, expected one of its own: line %" PRIu64 " has it",
                    again->line, again->number, before->line);
}

static int swf_job(const struct sim_piece *fields, const struct sim_read_options *options,
                   struct sim_trace *trace, struct mlt_error *err)
{
    struct sim_job job = {.recorded_wait_ms = -1};
    int64_t allocated = 0, asked = 0;
    int rc = sim_integer(fields[SWF_NUMBER], "job number", 0, INT64_MAX / 1000, &job.number, err);
    if (rc == 0)
        rc = sim_seconds(fields[SWF_SUBMIT], "submit time", &job.submit_ms, err);
    if (rc == 0)
        rc = sim_seconds(fields[SWF_WAIT], "wait time", &job.recorded_wait_ms, err);
    if (rc == 0)
        rc = sim_seconds(fields[SWF_RUN], "run time", &job.run_ms, err);
    if (rc == 0)
        rc = sim_integer(fields[SWF_ALLOCATED], "allocated processors", -1, DEVICES_MAX, &allocated,
                         err);
    if (rc == 0)
        rc = sim_integer(fields[SWF_ASKED], "requested processors", -1, DEVICES_MAX, &asked, err);
    if (rc == 0)
        rc = sim_seconds(fields[SWF_LIMIT], "requested time", &job.limit_ms, err);
    if (rc < 0)
        return rc;
    if (allocated <= 0)
        allocated = asked;
    if (swf_is_part(fields) || job.run_ms <= 0 || allocated <= 0) {
        sim_trace_leave_out(trace, swf_is_part(fields) ? "a part of a job (status 2 to 4)"
                                   : allocated <= 0    ? "no processors"
                                                       : "no run time");
        return 0;
    }
    if (job.limit_ms < 0)
        job.limit_ms = 0;
    if (job.recorded_wait_ms < 0)
        job.recorded_wait_ms = -1;
    rc = swf_queue(fields, options->queue_by, trace, &job.queue, err);
    if (rc == 0)
        rc = sim_names_add(&trace->owners, fields[SWF_USER].at, fields[SWF_USER].length,
                           SIM_OWNERS_MAX, &job.owner, err);
    if (rc == 0)
        rc = sim_trace_shape_of_devices(trace, allocated, options->pod_max, &job.shape, err);
    return rc < 0 ? rc : sim_trace_add(trace, &job, NULL, 0, err);
}

/* "; UnixStartTime: 1272639895" says what time 0 is. */
static void swf_comment(struct sim_piece line, struct sim_trace *trace)
{
    static const char word[] = "; UnixStartTime:";
    int64_t seconds = 0;
    struct sim_piece fields[SIM_COLUMNS_MAX];
    if (line.length > strlen(word) && memcmp(line.at, word, strlen(word)) == 0 &&
        sim_split_blanks(line, fields) >= 3 &&
        sim_integer(fields[2], "UnixStartTime", 0, SIM_SECONDS_MAX, &seconds, NULL) == 0)
        trace->zero_ms = seconds * 1000;
}

static int swf_lines(struct sim_lines *lines, const struct sim_read_options *options,
                     struct sim_trace *trace, struct swf_numbers *numbers, struct mlt_error *err)
{
    struct sim_piece line, fields[SIM_COLUMNS_MAX];
    for (;;) {
        int rc = sim_lines_next(lines, &line, err);
        if (rc <= 0)
            return rc;
        size_t count = sim_split_blanks(line, fields), before = trace->count;
        if (count == 0)
            continue;
        if (fields[0].at[0] == ';') {
            swf_comment(line, trace);
            continue;
        }
        rc = count < SWF_FIELDS
                 ? mlt_fail(err, EINVAL, "%zu fields, expected %d", count, SWF_FIELDS)
                 : swf_job(fields, options, trace, err);
        if (rc < 0)
            return mlt_fail_in(err, "line %" PRIu64, lines->number);
        if (trace->count == before)
            continue;
        MLT_GROW(numbers->of, numbers->count, numbers->capacity);
        numbers->of[numbers->count++] =
            (struct swf_number){trace->jobs[before].number, lines->number};
    }
}

int sim_read_swf(const char *data, size_t length, const struct sim_read_options *options,
                 struct sim_trace *trace, struct mlt_error *err)
{
    struct sim_lines lines = {data, data + length, 0};
    struct swf_numbers numbers = {0};
    static const char *const words[] = {
#define XX(name, text) [SIM_QUEUE_BY_##name] = text,
        SIM_QUEUE_BY_MAP(XX)
#undef XX
    };
    trace->format = "Standard Workload Format";
    trace->device_word = "processor";
    trace->queue_word = words[options->queue_by];
    int rc = swf_lines(&lines, options, trace, &numbers, err);
    if (rc == 0)
        rc = swf_check_numbers(&numbers, err);
    free(numbers.of);
    return rc;
}

/* ---- which one ---- */

sim_reader_f *sim_reader_for(const char *data, size_t length)
{
    size_t at = 0;
    if (heading_has(data, length, "num_gpu") && heading_has(data, length, "gpu_milli"))
        return sim_read_openb;
    if (heading_has(data, length, "timestamp|submit_time") &&
        (heading_has(data, length, "duration") ||
         heading_has(data, length, "num_gpus|num_gpu|gpu_num")))
        return sim_read_philly;
    while (at < length &&
           (data[at] == ' ' || data[at] == '\t' || data[at] == '\r' || data[at] == '\n'))
        at++;
    if (at == length)
        return NULL;
    if (data[at] == ';' || (data[at] >= '0' && data[at] <= '9'))
        return sim_read_swf;
    return sim_read_manifests;
}
