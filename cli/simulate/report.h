/* Results for people and for programs: tables, JSON, pictures. */
#ifndef CLI_SIMULATE_REPORT_H
#define CLI_SIMULATE_REPORT_H

#include <cjson/cJSON.h>
#include <stdio.h>
#include "cli/simulate/metrics.h"
#include "lib/base/text.h"

#define SIM_REPORT_MAX ((size_t)64 << 20) /* bytes of a picture or report */

/* One or several simulations of one trace on one cluster. */
struct sim_report {
    const struct sim_trace *trace;
    const struct sim_nodes *nodes;
    const struct sim_options *options;
    const char *trace_file, *nodes_words; /* as the user gave them */
    const struct sim_result *results;
    size_t count;
};

/* "1,234" for whole seconds and the like; text of 32 bytes. */
const char *sim_number(double value, int decimals, char text[32]);
/* "2 h 05 min" or "12 s"; text of 32 bytes. */
const char *sim_duration(double ms, char text[32]);

/* Tables on `out`. */
void sim_print_tables(const struct sim_report *report, FILE *out);

/* All of it as one JSON object; the caller frees it. */
cJSON *sim_report_json(const struct sim_report *report);

/* Four pictures in one SVG file: devices in use, waiting jobs, queueing by time of submission, and
 * its distribution. Fails as mlt_text does. */
void sim_report_svg(const struct sim_report *report, struct mlt_text *ret_svg);
/* One self-contained HTML file with the pictures and the tables. */
void sim_report_html(const struct sim_report *report, struct mlt_text *ret_html);

/* One row of the main table: "mean queueing" and its values, one for each result, and for the
 * trace's own record when it has one. Rows are counted from 0; false beyond the last. */
struct sim_row {
    const char *name, *unit; /* "" for none */
    const char *section;     /* above it; NULL: as the one before */
};
bool sim_row(size_t number, struct sim_row *ret);
/* The value in words; text of 32 bytes. "" when it is not known. */
const char *sim_row_value(size_t number, const struct sim_result *result, char text[32]);

#endif
