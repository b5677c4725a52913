/* The four pictures of a report. */
#include <string.h>

#include "cli/simulate/chart.h"
#include "cli/simulate/report.h"
#include "lib/base/cleanup.h"

#define WIDTH 1000.0
#define LEFT 76.0
#define RIGHT 24.0
#define HEAD 96.0   /* above the first plot's title */
#define PLOT 190.0  /* height of a plot */
#define PITCH 270.0 /* from one plot to the next */
#define PLOTS 4
#define POINTS_MAX 400u
#define DAY_MS 86400000.0

static const struct {
    const char *policy, *colour, *dashes;
} styles[] = {{"gang", "#0b66c3", NULL},
              {"fifo", "#8a9099", NULL},
              {"easy", "#d97706", NULL},
              {"sjf", "#7c3aed", NULL},
              {"recorded", "#1f2937", "5 3"}};

static size_t style_of(const struct sim_result *r)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(styles); i++)
        if (strcmp(styles[i].policy, r->policy) == 0)
            return i;
    return 0;
}

/* Points of a line, at most POINTS_MAX of them. */
struct points {
    double x[POINTS_MAX], y[POINTS_MAX];
    size_t count;
};

static void draw(const struct sim_chart *c, const struct points *p, const struct sim_result *r,
                 double thickness, const char *dashes, struct mlt_text *out)
{
    size_t style = style_of(r);
    sim_chart_line(c, p->x, p->y, p->count, styles[style].colour, thickness,
                   dashes ? dashes : styles[style].dashes, out);
}

/* ---- over time ---- */

enum over_time { HELD, WAITING };

/* Means over as many bins together as make at most POINTS_MAX points. */
static void points_over_time(const struct sim_report *report, const struct sim_result *r,
                             enum over_time what, struct points *ret)
{
    uint32_t bins = sim_timeline_bins(&r->timeline), together = bins / POINTS_MAX + 1;
    ret->count = 0;
    for (uint32_t i = 0; i < bins; i += together) {
        double sum = 0, width = 0;
        for (uint32_t k = i; k < i + together && k < bins; k++) {
            const struct sim_bin *bin = &r->timeline.bin[k];
            sum += what == HELD ? (double)bin->devices_ms : (double)bin->waiting_ms;
            width += (double)sim_timeline_width(&r->timeline, k);
        }
        double middle = (double)i * (double)r->timeline.bin_ms + width / 2;
        ret->x[ret->count] = middle / DAY_MS;
        ret->y[ret->count++] =
            what == HELD ? sum / width / (double)report->nodes->devices * 100 : sum / width;
    }
}

static double most(const struct points *p, double before)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->y[i] > before)
            before = p->y[i];
    return before;
}

static struct sim_chart plot(const struct sim_report *report, int number, const char *title,
                             const char *note)
{
    double last_ms = 1;
    for (size_t i = 0; i < report->count; i++)
        if ((double)report->results[i].makespan_ms > last_ms)
            last_ms = (double)report->results[i].makespan_ms;
    return (struct sim_chart){.left = LEFT,
                              .top = HEAD + 30 + PITCH * number,
                              .width = WIDTH - LEFT - RIGHT,
                              .height = PLOT,
                              .title = title,
                              .note = note,
                              .x = {SIM_AXIS_DAYS, 0, last_ms / DAY_MS}};
}

static void draw_held(const struct sim_report *report, struct mlt_text *out)
{
    struct points p;
    char note[64];
    (void)snprintf(note, sizeof note, "%ss held by jobs, share of the cluster",
                   report->trace->device_word);
    struct sim_chart c = plot(report, 0, "Allocation", note);
    c.y = (struct sim_axis){SIM_AXIS_PERCENT, 0, 100};
    sim_chart_frame(&c, out);
    for (size_t i = 0; i < report->count; i++) {
        if (report->results[i].recorded)
            continue;
        points_over_time(report, &report->results[i], HELD, &p);
        if (report->count <= 2)
            sim_chart_area(&c, p.x, p.y, p.count, styles[style_of(&report->results[i])].colour,
                           out);
        draw(&c, &p, &report->results[i], 1.4, NULL, out);
    }
}

static void draw_waiting(const struct sim_report *report, struct mlt_text *out)
{
    struct points p;
    struct sim_chart c = plot(report, 1, "Queue length", "waiting jobs");
    double highest = 1;
    for (size_t i = 0; i < report->count; i++) {
        points_over_time(report, &report->results[i], WAITING, &p);
        highest = most(&p, highest);
    }
    c.y = (struct sim_axis){SIM_AXIS_LINEAR, 0, highest * 1.05};
    sim_chart_frame(&c, out);
    for (size_t i = 0; i < report->count; i++) {
        if (report->results[i].recorded)
            continue;
        points_over_time(report, &report->results[i], WAITING, &p);
        if (report->count <= 2)
            sim_chart_area(&c, p.x, p.y, p.count, styles[style_of(&report->results[i])].colour,
                           out);
        draw(&c, &p, &report->results[i], 1.4, NULL, out);
    }
}

/* ---- waits ---- */

static double longest_wait(const struct sim_report *report)
{
    double longest = 10;
    for (size_t i = 0; i < report->count; i++)
        if ((double)report->results[i].queueing.max / 1000 > longest)
            longest = (double)report->results[i].queueing.max / 1000;
    return longest;
}

static void draw_series(const struct sim_report *report, struct mlt_text *out)
{
    struct points p;
    struct sim_chart c = plot(report, 2, "Queueing by time of submission",
                              "median solid, 90th percentile dotted; less than 1 s counts as 1 s");
    c.y = (struct sim_axis){SIM_AXIS_LOG_TIME, 1, longest_wait(report)};
    sim_chart_frame(&c, out);
    for (size_t i = 0; i < report->count; i++)
        for (int line = 1; line >= 0; line--) {
            const struct sim_result *r = &report->results[i];
            p.count = 0;
            for (uint32_t k = 0; k < r->series_count; k++) {
                if (r->series[k].jobs == 0)
                    continue;
                p.x[p.count] = ((double)k + 0.5) * (double)r->series_ms / DAY_MS;
                p.y[p.count++] = (double)(line ? r->series[k].p90 : r->series[k].p50) / 1000;
            }
            draw(&c, &p, r, line ? 1.0 : 1.8, line ? "1.5 2.5" : NULL, out);
        }
}

static void draw_distribution(const struct sim_report *report, struct mlt_text *out)
{
    struct points p;
    struct sim_chart c = plot(report, 3, "Distribution of queueing",
                              "share of jobs that queued no longer; less than 1 s counts as 1 s");
    c.x = (struct sim_axis){SIM_AXIS_LOG_TIME, 1, longest_wait(report)};
    c.y = (struct sim_axis){SIM_AXIS_PERCENT, 0, 100};
    sim_chart_frame(&c, out);
    for (size_t i = 0; i < report->count; i++) {
        const struct sim_result *r = &report->results[i];
        p.count = 0;
        if (r->queueing.count == 0)
            continue;
        for (uint32_t k = 0; k <= SIM_CDF_POINTS; k++) {
            size_t at = (size_t)((double)(r->queueing.count - 1) * k / SIM_CDF_POINTS);
            double seconds = (double)r->sorted[at] / 1000;
            p.x[p.count] = seconds > 1 ? seconds : 1;
            p.y[p.count++] = (double)(at + 1) / (double)r->queueing.count * 100;
        }
        draw(&c, &p, r, 1.8, NULL, out);
    }
}

/* ---- the page ---- */

static void legend(const struct sim_report *report, struct mlt_text *out)
{
    double x = LEFT;
    char number[32];
    for (size_t i = 0; i < report->count; i++) {
        const struct sim_result *r = &report->results[i];
        size_t style = style_of(r);
        mlt_text_printf(
            out,
            "<line x1=\"%.1f\" y1=\"66\" x2=\"%.1f\" y2=\"66\" stroke=\"%s\" "
            "stroke-width=\"3\"%s%s%s/><text class=\"key\" x=\"%.1f\" y=\"70\">%s"
            "<tspan class=\"note\" dx=\"6\">mean %s</tspan></text>\n",
            x, x + 22, styles[style].colour, styles[style].dashes ? " stroke-dasharray=\"" : "",
            styles[style].dashes ? styles[style].dashes : "", styles[style].dashes ? "\"" : "",
            x + 29, r->policy, sim_duration(r->queueing.mean, number));
        x += 180;
    }
}

void sim_report_svg(const struct sim_report *report, struct mlt_text *ret_svg)
{
    char jobs[32], devices[32];
    mlt_text_printf(ret_svg,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
                    "width=\"%.0f\" height=\"%.0f\" font-family=\"system-ui, -apple-system, "
                    "'Segoe UI', 'DejaVu Sans', sans-serif\">\n"
                    "<style>.title{font-size:15px;font-weight:600;fill:#111827}"
                    ".note{font-size:12px;font-weight:400;fill:#6b7280}"
                    ".tick{font-size:11px;fill:#6b7280}.key{font-size:13px;fill:#111827}"
                    ".grid{stroke:#e5e7eb;stroke-width:1}.axis{stroke:#9ca3af;stroke-width:1}"
                    "</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
                    WIDTH, HEAD + PITCH * PLOTS, WIDTH, HEAD + PITCH * PLOTS);
    mlt_text_printf(ret_svg,
                    "<text x=\"%.0f\" y=\"34\" font-size=\"20\" font-weight=\"600\" "
                    "fill=\"#111827\">",
                    LEFT);
    const char *slash = strrchr(report->trace_file, '/');
    sim_escape(slash ? slash + 1 : report->trace_file, ret_svg);
    mlt_text_printf(ret_svg, "<tspan class=\"note\" dx=\"12\">%s jobs on %s %ss</tspan></text>\n",
                    sim_number((double)report->trace->count, 0, jobs),
                    sim_number((double)report->nodes->devices, 0, devices),
                    report->trace->device_word);
    legend(report, ret_svg);
    draw_held(report, ret_svg);
    draw_waiting(report, ret_svg);
    draw_series(report, ret_svg);
    draw_distribution(report, ret_svg);
    mlt_text_puts(ret_svg, "</svg>\n");
}
