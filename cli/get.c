/* mltrain get: jobs as a table, or as objects. */
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/job_text.h"
#include "cli/output.h"
#include "cli/reflect.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

struct options {
    struct cli_target target;
    struct cli_output output;
    const char *name, *selector;
    bool watch;
};

static const struct argp_option table_options[] = {
    {.name = "selector",
     .key = 'l',
     .arg = "LABELS",
     .doc = "only jobs with these labels (a=b,c!=d)"},
    {.name = "all-namespaces", .key = 'A', .doc = "jobs of all namespaces"},
    {.name = "watch", .key = 'w', .doc = "go on and print each change"},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->output;
        state->child_inputs[1] = &o->target;
        return 0;
    case 'l':
        o->selector = arg;
        return 0;
    case 'A':
        o->target.all_namespaces = true;
        return 0;
    case 'w':
        o->watch = true;
        return 0;
    case ARGP_KEY_ARG:
        if (o->name)
            argp_error(state, "one job's name expected at most");
        o->name = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- the table ---- */

static void add_columns(struct libscols_table *table, const struct options *o)
{
    if (o->target.all_namespaces)
        (void)scols_table_new_column(table, "NAMESPACE", 0, 0);
    for (int column = 0; column < JOB_COLUMN_COUNT; column++)
        if (!job_column_is_wide((enum job_column)column) || o->output.format == CLI_FORMAT_WIDE)
            (void)scols_table_new_column(
                table, job_column_heading((enum job_column)column), 0,
                column == JOB_COLUMN_WHY && o->output.format != CLI_FORMAT_WIDE ? SCOLS_FL_TRUNC
                                                                                : 0);
}

static void add_row(struct libscols_table *table, const struct options *o, const cJSON *job)
{
    struct libscols_line *line = scols_table_new_line(table, NULL);
    size_t place = 0;
    char cell[JOB_CELL_MAX];
    if (o->target.all_namespaces)
        (void)scols_line_set_data(line, place++, json_string(job, "metadata.namespace", ""));
    for (int column = 0; column < JOB_COLUMN_COUNT; column++) {
        if (job_column_is_wide((enum job_column)column) && o->output.format != CLI_FORMAT_WIDE)
            continue;
        job_cell(job, (enum job_column)column, cli_wall_ms(), cell);
        (void)scols_line_set_data(line, place++, cell);
    }
}

static void print_table(const struct options *o, const cJSON *jobs, bool with_headings)
{
    struct libscols_table *table = scols_new_table();
    if (!table)
        return;
    add_columns(table, o);
    (void)scols_table_enable_noheadings(table, !with_headings || o->output.no_headers);
    const cJSON *job;
    cJSON_ArrayForEach(job, jobs) add_row(table, o, job);
    (void)scols_print_table(table);
    scols_unref_table(table);
    (void)fflush(stdout);
}

static void print_job(const struct options *o, const cJSON *job, bool with_headings)
{
    if (o->output.format == CLI_FORMAT_NAME) {
        printf("trainingjob.mltrain.io/%s\n", json_string(job, "metadata.name", "?"));
    } else if (cli_output_is_object(&o->output)) {
        cli_output_object(&o->output, job);
    } else {
        cJSON *one cleanup_json = cJSON_CreateArray();
        json_append(one, json_copy(job));
        print_table(o, one, with_headings);
    }
}

/* ---- watching ---- */

struct watch {
    const struct options *options;
    bool printed;
};

static void changed(void *arg, const cJSON *job)
{
    struct watch *w = arg;
    if (w->options->name && strcmp(json_string(job, "metadata.name", ""), w->options->name) != 0)
        return;
    print_job(w->options, job, !w->printed);
    w->printed = true;
}

static void ignore(void *arg)
{
    (void)arg;
}

static void deleted(void *arg, const cJSON *job)
{
    (void)arg;
    (void)job;
}

static char *query_of(const struct options *o)
{
    struct mlt_text query = MLT_TEXT_INIT(KUBE_PATH_MAX);
    if (o->selector) {
        mlt_text_puts(&query, "labelSelector=");
        kube_path_encode(&query, o->selector);
    }
    return mlt_text_take(&query);
}

static int watch(struct cli *c, const struct options *o)
{
    static const struct kube_reflector_ops ops = {.list_begin = ignore,
                                                  .listed = changed,
                                                  .list_done = ignore,
                                                  .changed = changed,
                                                  .deleted = deleted};
    struct watch w = {.options = o};
    struct mlt_text path cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX);
    cleanup_free char *query = query_of(o);
    kube_path(&path, KUBE_TRAININGJOB, o->target.all_namespaces ? NULL : c->namespace_, NULL, NULL,
              NULL);
    struct reflect *r =
        reflect_new(c, mlt_text_string(&path), query && *query ? query : NULL, &ops, &w);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    reflect_free(r);
    return CLI_OK;
}

static int get(struct cli *c, const struct options *o)
{
    struct mlt_error err = {0};
    struct mlt_text path cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX);
    cleanup_free char *query = query_of(o);
    cJSON *answer cleanup_json = NULL;
    kube_path(&path, KUBE_TRAININGJOB, o->target.all_namespaces ? NULL : c->namespace_, o->name,
              NULL, !o->name && query && *query ? query : NULL);
    if (cli_get(c, mlt_text_string(&path), &answer, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    if (o->name) {
        print_job(o, answer, true);
        return CLI_OK;
    }
    const cJSON *jobs = json_member(answer, "items"), *job;
    if (cli_output_is_object(&o->output))
        cli_output_object(&o->output, answer);
    else if (o->output.format == CLI_FORMAT_NAME)
        cJSON_ArrayForEach(job, jobs) print_job(o, job, false);
    else if (cJSON_GetArraySize(jobs) == 0)
        (void)fprintf(stderr, "No jobs found%s%s.\n",
                      o->target.all_namespaces ? "" : " in namespace ",
                      o->target.all_namespaces ? "" : c->namespace_);
    else
        print_table(o, jobs, true);
    return CLI_OK;
}

int cli_get_command(int argc, char **argv)
{
    static const struct argp_child children[] = {
        {.argp = &cli_output_argp}, {.argp = &cli_target_argp, .header = "Cluster:"}, {0}};
    static const struct argp argp = {
        .options = table_options,
        .parser = parse,
        .children = children,
        .args_doc = "[JOB]",
        .doc = "Lists jobs: phase, workers, step of total, speed, time left, restarts, last "
               "checkpoint, and why a job waits."};
    struct options o = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &o))
        return CLI_USAGE;
    struct cli c;
    if (cli_connect(&c, &o.target) < 0)
        return CLI_FAILED;
    int code = o.watch ? watch(&c, &o) : get(&c, &o);
    cli_disconnect(&c);
    return code;
}
