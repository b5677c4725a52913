/* mltrain events: what happened to a job and its pods, in order. */
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/event_text.h"
#include "cli/output.h"
#include "cli/reflect.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

struct options {
    struct cli_target target;
    struct cli_output output;
    const char *name;
    bool warnings, watch;
};

#define KEY_WARNINGS 256

static const struct argp_option events_options[] = {
    {.name = "all-namespaces", .key = 'A', .doc = "of all namespaces"},
    {.name = "warnings", .key = KEY_WARNINGS, .doc = "only events of the type Warning"},
    {.name = "watch", .key = 'w', .doc = "go on and print each that comes"},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->output;
        state->child_inputs[1] = &o->target;
        return 0;
    case 'A':
        o->target.all_namespaces = true;
        return 0;
    case KEY_WARNINGS:
        o->warnings = true;
        return 0;
    case 'w':
        o->watch = true;
        return 0;
    case ARGP_KEY_ARG:
        if (o->name)
            argp_error(state, "one job's name expected at most");
        o->name = arg;
        return 0;
    case ARGP_KEY_END:
        if (o->name && o->target.all_namespaces)
            argp_error(state, "a job is in one namespace: a name and -A exclude each other");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

struct view {
    struct cli *cli;
    const struct options *options;
    cJSON *job;     /* whose events they are; NULL: of all jobs and queues */
    cJSON *listed;  /* while a watch gets its list */
    cJSON *printed; /* by a watch: UID to resourceVersion, for when it has to list again */
    bool headed;
};

static bool is_shown(const struct view *v, const cJSON *event)
{
    return event_is_about(event, v->job) &&
           (!v->options->warnings || strcmp(json_string(event, "type", ""), "Warning") == 0);
}

/* ---- printing ---- */

/* Of a watch: its rows come one by one and are to stand below each other. */
static const double widths[EVENT_COLUMN_COUNT] = {[EVENT_COLUMN_LAST_SEEN] = 9,
                                                  [EVENT_COLUMN_TYPE] = 7,
                                                  [EVENT_COLUMN_REASON] = 16,
                                                  [EVENT_COLUMN_OBJECT] = 32};

static void print_table(struct view *v, const cJSON *const *events, size_t count)
{
    struct libscols_table *table = scols_new_table();
    if (!table)
        return;
    if (v->options->target.all_namespaces)
        (void)scols_table_new_column(table, "NAMESPACE", 0, 0);
    for (int column = 0; column < EVENT_COLUMN_COUNT; column++)
        (void)scols_table_new_column(table, event_column_heading((enum event_column)column),
                                     v->options->watch ? widths[column] : 0, 0);
    (void)scols_table_enable_noheadings(table, v->headed || v->options->output.no_headers);
    v->headed = true;
    for (size_t i = 0; i < count; i++) {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        size_t place = 0;
        if (v->options->target.all_namespaces)
            (void)scols_line_set_data(line, place++,
                                      json_string(events[i], "metadata.namespace", ""));
        for (int column = 0; column < EVENT_COLUMN_COUNT; column++) {
            char cell[EVENT_CELL_MAX];
            event_cell(events[i], (enum event_column)column, cli_wall_ms(), cell);
            (void)scols_line_set_data(line, place++, cell);
        }
    }
    (void)scols_print_table(table);
    scols_unref_table(table);
}

static void print_events(struct view *v, const cJSON *const *events, size_t count)
{
    if (v->options->output.format == CLI_FORMAT_NAME)
        for (size_t i = 0; i < count; i++)
            printf("event/%s\n", json_string(events[i], "metadata.name", "?"));
    else if (cli_output_is_object(&v->options->output))
        for (size_t i = 0; i < count; i++)
            cli_output_object(&v->options->output, events[i]);
    else if (count > 0)
        print_table(v, events, count);
    (void)fflush(stdout);
}

/* ---- watching ---- */

static void list_begin(void *arg)
{
    struct view *v = arg;
    cJSON_Delete(v->listed);
    v->listed = cJSON_CreateArray();
}

/* Whether a watch has not printed this version of it yet; it has, then. */
static bool is_news(struct view *v, const cJSON *event)
{
    const char *uid = json_string(event, "metadata.uid", ""),
               *version = json_string(event, "metadata.resourceVersion", "");
    cJSON *before = cJSON_GetObjectItemCaseSensitive(v->printed, uid);
    if (before && strcmp(before->valuestring, version) == 0)
        return false;
    cJSON_DeleteItemFromObjectCaseSensitive(v->printed, uid);
    cJSON_AddStringToObject(v->printed, uid, version);
    return true;
}

static void listed(void *arg, const cJSON *event)
{
    struct view *v = arg;
    if (is_shown(v, event) && is_news(v, event))
        json_append(v->listed, json_copy(event));
}

static void list_done(void *arg)
{
    struct view *v = arg;
    const cJSON **sorted;
    size_t count = events_sorted(v->listed, &sorted);
    print_events(v, sorted, count);
    free(sorted);
}

static void changed(void *arg, const cJSON *event)
{
    struct view *v = arg;
    if (is_shown(v, event) && is_news(v, event))
        print_events(v, &event, 1);
}

static void deleted(void *arg, const cJSON *event) /* they expire */
{
    struct view *v = arg;
    cJSON_DeleteItemFromObjectCaseSensitive(v->printed, json_string(event, "metadata.uid", ""));
}

static int watch(struct view *v, const char *path)
{
    static const struct kube_reflector_ops ops = {.list_begin = list_begin,
                                                  .listed = listed,
                                                  .list_done = list_done,
                                                  .changed = changed,
                                                  .deleted = deleted};
    v->printed = cJSON_CreateObject();
    struct reflect *r = reflect_new(v->cli, path, NULL, &ops, v);
    (void)uv_run(&v->cli->loop, UV_RUN_DEFAULT);
    reflect_free(r);
    return CLI_OK;
}

/* ---- once ---- */

/* An object is printed whole: a list of what is shown. */
static void print_list(struct view *v, const cJSON *const *events, size_t count)
{
    cJSON *list cleanup_json = cJSON_CreateObject(), *items = cJSON_CreateArray();
    json_set_string(list, "apiVersion", "v1");
    json_set_string(list, "kind", "EventList");
    for (size_t i = 0; i < count; i++)
        json_append(items, json_copy(events[i]));
    json_set(list, "items", items);
    cli_output_object(&v->options->output, list);
}

static int show(struct view *v, const char *path)
{
    struct mlt_error err = {0};
    cJSON *answer cleanup_json = NULL;
    if (cli_get(v->cli, path, &answer, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    const cJSON **sorted;
    size_t all = events_sorted(json_member(answer, "items"), &sorted), count = 0;
    for (size_t i = 0; i < all; i++)
        if (is_shown(v, sorted[i]))
            sorted[count++] = sorted[i];
    if (cli_output_is_object(&v->options->output))
        print_list(v, sorted, count);
    else if (count == 0)
        (void)fprintf(stderr, "No events found; the API server keeps them for an hour or so.\n");
    else
        print_events(v, sorted, count);
    free(sorted);
    return CLI_OK;
}

static int events(struct cli *c, const struct options *o)
{
    struct mlt_error err = {0};
    struct view v = {.cli = c, .options = o};
    struct mlt_text path cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX);
    const char *name;
    if (o->name) {
        if (cli_job_name(o->name, &name) < 0)
            return CLI_USAGE;
        cleanup_free char *job_path = cli_job_path(c->namespace_, name, NULL, NULL);
        if (cli_get(c, job_path, &v.job, &err) < 0)
            return cli_fail(CLI_FAILED, "%s", err.text);
    }
    kube_path(&path, KUBE_EVENT, o->target.all_namespaces ? NULL : c->namespace_, NULL, NULL, NULL);
    int code = o->watch ? watch(&v, mlt_text_string(&path)) : show(&v, mlt_text_string(&path));
    cJSON_Delete(v.job);
    cJSON_Delete(v.listed);
    cJSON_Delete(v.printed);
    return code;
}

int cli_events(int argc, char **argv)
{
    static const struct argp_child children[] = {
        {.argp = &cli_output_argp}, {.argp = &cli_target_argp, .header = "Cluster:"}, {0}};
    static const struct argp argp = {
        .options = events_options,
        .parser = parse,
        .children = children,
        .args_doc = "[JOB]",
        .doc = "Lists what happened to a job and its pods, oldest first; without a name, to all "
               "jobs and queues.\vThe API server forgets events after a time (an hour, as it "
               "comes). What a job's status keeps, `mltrain describe JOB` shows."};
    struct options o = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &o))
        return CLI_USAGE;
    struct cli c;
    if (cli_connect(&c, &o.target) < 0)
        return CLI_FAILED;
    int code = events(&c, &o);
    cli_disconnect(&c);
    return code;
}
