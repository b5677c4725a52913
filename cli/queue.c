/* mltrain queue: TrainingQueues as a table, or as objects. */
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/queue_text.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

struct options {
    struct cli_target target;
    struct cli_output output;
    const char *name;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->output;
        state->child_inputs[1] = &o->target;
        return 0;
    case ARGP_KEY_ARG:
        if (o->name)
            argp_error(state, "one queue's name expected at most");
        o->name = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_table(const struct options *o, const cJSON *queues)
{
    struct queue_row *rows = NULL;
    size_t count = queue_rows(queues, o->output.format == CLI_FORMAT_WIDE, &rows);
    struct libscols_table *table = scols_new_table();
    for (int column = 0; table && column < QUEUE_COLUMN_COUNT; column++)
        (void)scols_table_new_column(table, queue_column_heading((enum queue_column)column), 0, 0);
    for (size_t i = 0; table && i < count; i++) {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        for (int column = 0; column < QUEUE_COLUMN_COUNT; column++) {
            char cell[QUEUE_CELL_MAX];
            queue_cell(&rows[i], (enum queue_column)column, cli_wall_ms(), cell);
            (void)scols_line_set_data(line, (size_t)column, cell);
        }
    }
    if (table) {
        (void)scols_table_enable_noheadings(table, o->output.no_headers);
        (void)scols_print_table(table);
        scols_unref_table(table);
    }
    free(rows);
}

static int show(struct cli *c, const struct options *o)
{
    struct mlt_error err = {0};
    struct mlt_text path cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX);
    cJSON *answer cleanup_json = NULL, *one cleanup_json = cJSON_CreateArray();
    kube_path(&path, KUBE_TRAININGQUEUE, NULL, o->name, NULL, NULL);
    if (cli_get(c, mlt_text_string(&path), &answer, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    if (o->name)
        json_append(one, json_copy(answer));
    const cJSON *queues = o->name ? one : json_member(answer, "items"), *queue;
    if (cli_output_is_object(&o->output))
        cli_output_object(&o->output, answer);
    else if (o->output.format == CLI_FORMAT_NAME)
        cJSON_ArrayForEach(queue, queues)
            printf("trainingqueue.mltrain.io/%s\n", json_string(queue, "metadata.name", "?"));
    else if (cJSON_GetArraySize(queues) == 0)
        (void)fprintf(stderr, "No TrainingQueues found: each name is a queue without limits.\n");
    else
        print_table(o, queues);
    return CLI_OK;
}

int cli_queue(int argc, char **argv)
{
    static const struct argp_child children[] = {
        {.argp = &cli_output_argp}, {.argp = &cli_target_argp, .header = "Cluster:"}, {0}};
    static const struct argp argp = {
        .parser = parse,
        .children = children,
        .args_doc = "[QUEUE]",
        .doc = "Lists queues: for each kind of GPU the nominal quota, what is used, borrowed and "
               "lent, and what waiting jobs ask for; jobs that run and wait, and the longest wait."
               "\vThe controller renews these figures at most once a minute. -o wide shows "
               "cpu and memory, too."};
    struct options o = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &o))
        return CLI_USAGE;
    struct cli c;
    if (cli_connect(&c, &o.target) < 0)
        return CLI_FAILED;
    int code = show(&c, &o);
    cli_disconnect(&c);
    return code;
}
