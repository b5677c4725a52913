/* Results on the terminal. */
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>

#include "cli/simulate/report.h"

static void print_about(const struct sim_report *r, FILE *out)
{
    char number[32], span[32];
    int64_t last_ms = r->trace->count ? r->trace->jobs[r->trace->count - 1].submit_ms : 0;
    (void)fprintf(out, "Trace    %s: %s, %s jobs in %s, %" PRIu32 " queues (by %s)\n",
                  r->trace_file, r->trace->format, sim_number((double)r->trace->count, 0, number),
                  sim_duration((double)last_ms, span), r->trace->queues.count,
                  r->trace->queue_word);
    for (uint32_t i = 0; i < r->trace->left_out_count; i++)
        (void)fprintf(out, "         left out: %s (%s)\n",
                      sim_number((double)r->trace->left_out[i].records, 0, number),
                      r->trace->left_out[i].why);
    (void)fprintf(out, "Cluster  %s: %s nodes, ", r->nodes_words,
                  sim_number(r->nodes->count, 0, number));
    (void)fprintf(out, "%s %ss", sim_number((double)r->nodes->devices, 0, number),
                  r->trace->device_word);
    if (r->nodes->racks)
        (void)fprintf(out, ", %" PRIu32 " racks", r->nodes->racks);
    if (r->nodes->left_out)
        (void)fprintf(out, "; %" PRIu32 " nodes left out (no device, or cordoned)",
                      r->nodes->left_out);
    (void)fputs("\n", out);
    for (size_t i = 0; i < r->count; i++)
        (void)fprintf(out, "%s %-8s %s\n", i == 0 ? "Policy  " : "        ", r->results[i].policy,
                      r->results[i].words);
    (void)fputs("\n", out);
}

static void print(struct libscols_table *table, FILE *out)
{
    (void)scols_table_set_stream(table, out);
    (void)scols_print_table(table);
    scols_unref_table(table);
}

static void print_main(const struct sim_report *r, FILE *out)
{
    struct libscols_table *table = scols_new_table();
    struct sim_row row;
    char text[96];
    if (!table)
        return;
    (void)scols_table_new_column(table, "METRIC", 0, 0);
    (void)scols_table_new_column(table, "UNIT", 0, 0);
    for (size_t i = 0; i < r->count; i++)
        (void)scols_table_new_column(table, r->results[i].policy, 0, SCOLS_FL_RIGHT);
    for (size_t number = 0; sim_row(number, &row); number++) {
        if (row.section) {
            struct libscols_line *heading = scols_table_new_line(table, NULL);
            (void)scols_line_set_data(heading, 0, row.section);
        }
        struct libscols_line *line = scols_table_new_line(table, NULL);
        (void)snprintf(text, sizeof text, "  %s", row.name);
        (void)scols_line_set_data(line, 0, text);
        (void)scols_line_set_data(line, 1, row.unit);
        for (size_t i = 0; i < r->count; i++)
            (void)scols_line_set_data(line, i + 2, sim_row_value(number, &r->results[i], text));
    }
    print(table, out);
}

static void print_sizes(const struct sim_report *r, FILE *out)
{
    struct libscols_table *table = scols_new_table();
    char text[64], number[32];
    if (!table)
        return;
    (void)fprintf(out, "\nQueueing by size of job (%ss), mean / p90 / longest:\n",
                  r->trace->device_word);
    (void)scols_table_new_column(table, "SIZE", 0, 0);
    (void)scols_table_new_column(table, "JOBS", 0, SCOLS_FL_RIGHT);
    for (size_t i = 0; i < r->count; i++)
        if (!r->results[i].recorded)
            (void)scols_table_new_column(table, r->results[i].policy, 0, SCOLS_FL_RIGHT);
    for (size_t size = 0; size < SIM_SIZES; size++) {
        size_t column = 2;
        struct libscols_line *line = scols_table_new_line(table, NULL);
        (void)scols_line_set_data(line, 0, sim_size_words[size]);
        (void)scols_line_set_data(line, 1,
                                  sim_number((double)r->results[0].by_size[size].count, 0, number));
        for (size_t i = 0; i < r->count; i++) {
            const struct sim_spread *s = &r->results[i].by_size[size];
            char mean[32], p90[32], longest[32];
            if (r->results[i].recorded)
                continue;
            (void)snprintf(text, sizeof text, "%s / %s / %s", sim_duration(s->mean, mean),
                           sim_duration((double)s->p90, p90),
                           sim_duration((double)s->max, longest));
            (void)scols_line_set_data(line, column++, s->count ? text : "");
        }
    }
    print(table, out);
}

static void print_queues(const struct sim_report *r, const struct sim_result *result, FILE *out)
{
    struct libscols_table *table = scols_new_table();
    char number[32];
    if (!table)
        return;
    (void)fprintf(out, "\n%s: queues with the most %s hours:\n", result->policy,
                  r->trace->device_word);
    (void)scols_table_new_column(table, "QUEUE", 0, 0);
    static const char *const headings[] = {"WEIGHT", "JOBS", "HOURS", "MEAN WAIT", "HELD WAITING"};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
        (void)scols_table_new_column(table, headings[i], 0, SCOLS_FL_RIGHT);
    for (uint32_t i = 0; i < result->queues_count; i++) {
        const struct sim_queue_result *q = &result->queues[i];
        struct libscols_line *line = scols_table_new_line(table, NULL);
        (void)scols_line_set_data(line, 0, r->trace->queues.name[q->queue]);
        (void)scols_line_set_data(line, 1, sim_number((double)q->weight, 0, number));
        (void)scols_line_set_data(line, 2, sim_number((double)q->jobs, 0, number));
        (void)scols_line_set_data(line, 3, sim_number(q->device_hours, 0, number));
        (void)scols_line_set_data(line, 4, sim_duration(q->mean_wait_ms, number));
        (void)scols_line_set_data(line, 5, sim_number(q->held, 1, number));
    }
    print(table, out);
}

void sim_print_tables(const struct sim_report *report, FILE *out)
{
    print_about(report, out);
    print_main(report, out);
    print_sizes(report, out);
    for (size_t i = 0; i < report->count; i++)
        if (!report->results[i].recorded && report->trace->queues.count > 1 && report->count <= 2)
            print_queues(report, &report->results[i], out);
}
