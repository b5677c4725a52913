/* The report as one HTML file: pictures and tables, nothing from elsewhere. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/simulate/chart.h"
#include "cli/simulate/report.h"

static const char style[] =
    "body{font:15px/1.5 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;color:#111827;"
    "background:#fff;max-width:1040px;margin:32px auto;padding:0 20px}"
    "h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:36px 0 8px}"
    "p{color:#4b5563;margin:4px 0}svg{max-width:100%;height:auto;margin:16px 0 0}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:4px 14px 4px 0;text-align:right;border-bottom:1px solid #e5e7eb}"
    "th:first-child,td:first-child{text-align:left}th{font-weight:600}"
    "tr.section td{font-weight:600;padding-top:16px;border-bottom:1px solid #9ca3af}"
    "td.unit{color:#6b7280}";

static void cell(const char *tag, const char *text, struct mlt_text *out)
{
    mlt_text_printf(out, "<%s>", tag);
    sim_escape(text, out);
    mlt_text_printf(out, "</%s>", tag);
}

static void heading(const struct sim_report *r, const char *first, const char *second,
                    bool recorded, struct mlt_text *out)
{
    mlt_text_puts(out, "<table>\n<tr>");
    cell("th", first, out);
    cell("th", second, out);
    for (size_t i = 0; i < r->count; i++)
        if (recorded || !r->results[i].recorded)
            cell("th", r->results[i].policy, out);
    mlt_text_puts(out, "</tr>\n");
}

static void main_table(const struct sim_report *r, struct mlt_text *out)
{
    struct sim_row row;
    char text[32];
    heading(r, "", "", true, out);
    for (size_t number = 0; sim_row(number, &row); number++) {
        if (row.section) {
            mlt_text_printf(out, "<tr class=\"section\"><td colspan=\"%zu\">", r->count + 2);
            sim_escape(row.section, out);
            mlt_text_puts(out, "</td></tr>\n");
        }
        mlt_text_puts(out, "<tr>");
        cell("td", row.name, out);
        mlt_text_printf(out, "<td class=\"unit\">%s</td>", row.unit);
        for (size_t i = 0; i < r->count; i++)
            cell("td", sim_row_value(number, &r->results[i], text), out);
        mlt_text_puts(out, "</tr>\n");
    }
    mlt_text_puts(out, "</table>\n");
}

static void sizes_table(const struct sim_report *r, struct mlt_text *out)
{
    char text[128], a[32], b[32], c[32];
    heading(r, r->trace->device_word, "jobs", false, out);
    for (size_t size = 0; size < SIM_SIZES; size++) {
        mlt_text_puts(out, "<tr>");
        cell("td", sim_size_words[size], out);
        cell("td", sim_number((double)r->results[0].by_size[size].count, 0, a), out);
        for (size_t i = 0; i < r->count; i++) {
            const struct sim_spread *s = &r->results[i].by_size[size];
            if (r->results[i].recorded)
                continue;
            (void)snprintf(text, sizeof text, "%s / %s / %s", sim_duration(s->mean, a),
                           sim_duration((double)s->p90, b), sim_duration((double)s->max, c));
            cell("td", s->count ? text : "", out);
        }
        mlt_text_puts(out, "</tr>\n");
    }
    mlt_text_puts(out, "</table>\n");
}

static void queues_table(const struct sim_report *r, const struct sim_result *result,
                         struct mlt_text *out)
{
    char text[32];
    static const char *const names[] = {"queue",        "weight",    "jobs",
                                        "device hours", "mean wait", "held while waiting"};
    mlt_text_puts(out, "<table>\n<tr>");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cell("th", names[i], out);
    mlt_text_puts(out, "</tr>\n");
    for (uint32_t i = 0; i < result->queues_count; i++) {
        const struct sim_queue_result *q = &result->queues[i];
        mlt_text_puts(out, "<tr>");
        cell("td", r->trace->queues.name[q->queue], out);
        cell("td", sim_number((double)q->weight, 0, text), out);
        cell("td", sim_number((double)q->jobs, 0, text), out);
        cell("td", sim_number(q->device_hours, 0, text), out);
        cell("td", sim_duration(q->mean_wait_ms, text), out);
        cell("td", sim_number(q->held, 1, text), out);
        mlt_text_puts(out, "</tr>\n");
    }
    mlt_text_puts(out, "</table>\n");
}

static void about(const struct sim_report *r, struct mlt_text *out)
{
    char text[32];
    mlt_text_puts(out, "<h1>mltrain simulate</h1>\n<p>");
    sim_escape(r->trace_file, out);
    mlt_text_printf(out, " (%s), %s jobs, on ", r->trace->format,
                    sim_number((double)r->trace->count, 0, text));
    sim_escape(r->nodes_words, out);
    mlt_text_printf(out, ": %" PRIu32 " nodes, %s %ss</p>\n", r->nodes->count,
                    sim_number((double)r->nodes->devices, 0, text), r->trace->device_word);
    for (uint32_t i = 0; i < r->trace->left_out_count; i++)
        mlt_text_printf(out, "<p>Left out: %s records (%s)</p>\n",
                        sim_number((double)r->trace->left_out[i].records, 0, text),
                        r->trace->left_out[i].why);
    for (size_t i = 0; i < r->count; i++) {
        mlt_text_printf(out, "<p><b>%s</b>: ", r->results[i].policy);
        sim_escape(r->results[i].words, out);
        mlt_text_puts(out, "</p>\n");
    }
}

void sim_report_html(const struct sim_report *report, struct mlt_text *ret_html)
{
    mlt_text_printf(ret_html,
                    "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                    "<title>mltrain simulate</title><style>%s</style></head>\n<body>\n",
                    style);
    about(report, ret_html);
    sim_report_svg(report, ret_html);
    mlt_text_puts(ret_html, "<h2>Metrics</h2>\n");
    main_table(report, ret_html);
    mlt_text_puts(ret_html, "<h2>Queueing by size of job: mean / p90 / longest</h2>\n");
    sizes_table(report, ret_html);
    for (size_t i = 0; i < report->count; i++)
        if (!report->results[i].recorded && report->trace->queues.count > 1) {
            mlt_text_printf(ret_html, "<h2>Queues under %s</h2>\n", report->results[i].policy);
            queues_table(report, &report->results[i], ret_html);
        }
    mlt_text_puts(ret_html, "</body>\n</html>\n");
}
