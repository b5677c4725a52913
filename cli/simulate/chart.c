/* Plots in SVG: see chart.h. */
#include "cli/simulate/chart.h"

#include <math.h>
#include <stdio.h>

#include "cli/simulate/report.h"
#include "lib/base/cleanup.h"

#define TICKS 5 /* at most one more; twice as many along the time */

void sim_escape(const char *text, struct mlt_text *out)
{
    for (; *text; text++) {
        if (*text == '<')
            mlt_text_puts(out, "&lt;");
        else if (*text == '>')
            mlt_text_puts(out, "&gt;");
        else if (*text == '&')
            mlt_text_puts(out, "&amp;");
        else if (*text == '"')
            mlt_text_puts(out, "&quot;");
        else
            mlt_text_putc(out, (unsigned char)*text < 0x20 ? ' ' : *text);
    }
}

double sim_round_up(double value)
{
    if (value <= 0)
        return 1;
    double unit = pow(10, floor(log10(value)));
    static const double steps[] = {1, 2, 5, 10};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(steps); i++)
        if (steps[i] * unit >= value * 0.999999)
            return steps[i] * unit;
    return 10 * unit;
}

/* 0 at the axis' beginning, 1 at its end. */
static double along(const struct sim_axis *axis, double value)
{
    double low = axis->min, high = axis->max;
    if (axis->kind == SIM_AXIS_LOG_TIME) {
        low = log10(low);
        high = log10(high);
        value = value > 0 ? log10(value) : low;
    }
    double at = high > low ? (value - low) / (high - low) : 0;
    return at < 0 ? 0 : at > 1 ? 1 : at;
}

static double x_of(const struct sim_chart *c, double value)
{
    return c->left + c->width * along(&c->x, value);
}

static double y_of(const struct sim_chart *c, double value)
{
    return c->top + c->height * (1 - along(&c->y, value));
}

/* ---- ticks ---- */

static const struct {
    double seconds;
    const char *words;
} times[] = {{1, "1 s"},        {10, "10 s"},      {60, "1 min"},      {600, "10 min"},
             {3600, "1 h"},     {21600, "6 h"},    {86400, "1 d"},     {604800, "1 week"},
             {2592000, "30 d"}, {31536000, "1 y"}, {315360000, "10 y"}};

/* The tick after those that were given; false when there is none. */
static bool tick(const struct sim_axis *axis, size_t number, double *ret_value, char text[32])
{
    if (axis->kind == SIM_AXIS_LOG_TIME) {
        if (number >= MLT_ARRAY_LENGTH(times) || times[number].seconds > axis->max * 1.0001)
            return false;
        *ret_value = times[number].seconds;
        (void)snprintf(text, 32, "%s", times[number].words);
        return true;
    }
    double ticks = axis->kind == SIM_AXIS_DAYS ? 2 * TICKS : TICKS + 1;
    double step = sim_round_up((axis->max - axis->min) / ticks);
    *ret_value = axis->min + step * (double)number;
    if (*ret_value > axis->max * 1.0001)
        return false;
    if (axis->kind == SIM_AXIS_PERCENT)
        (void)snprintf(text, 32, "%.0f %%", *ret_value);
    else
        (void)sim_number(*ret_value, step < 1 ? (step < 0.1 ? 2 : 1) : 0, text);
    return true;
}

static void horizontal(const struct sim_chart *c, struct mlt_text *out)
{
    double value, last = -1000;
    char text[32];
    for (size_t i = 0; tick(&c->x, i, &value, text); i++) {
        double x = x_of(c, value);
        if (value < c->x.min || x - last < 40)
            continue;
        last = x;
        mlt_text_printf(out,
                        "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
                        "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s",
                        x, c->top, x, c->top + c->height, x, c->top + c->height + 16, text);
        mlt_text_puts(out, c->x.kind == SIM_AXIS_DAYS && i > 0 ? " d</text>\n" : "</text>\n");
    }
}

static void vertical(const struct sim_chart *c, struct mlt_text *out)
{
    double value, last = 1e9;
    char text[32];
    for (size_t i = 0; tick(&c->y, i, &value, text); i++) {
        double y = y_of(c, value);
        if (value < c->y.min || last - y < 14)
            continue;
        last = y;
        mlt_text_printf(
            out,
            "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            c->left, y, c->left + c->width, y, c->left - 8, y + 4, text);
    }
}

void sim_chart_frame(const struct sim_chart *c, struct mlt_text *out)
{
    mlt_text_printf(out, "<text class=\"title\" x=\"%.1f\" y=\"%.1f\">", c->left, c->top - 14);
    sim_escape(c->title, out);
    mlt_text_puts(out, "<tspan class=\"note\" dx=\"10\">");
    sim_escape(c->note, out);
    mlt_text_puts(out, "</tspan></text>\n");
    horizontal(c, out);
    vertical(c, out);
    mlt_text_printf(out, "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                    c->left, c->top + c->height, c->left + c->width, c->top + c->height);
}

/* ---- lines ---- */

void sim_chart_line(const struct sim_chart *c, const double *x, const double *y, size_t count,
                    const char *colour, double thickness, const char *dashes, struct mlt_text *out)
{
    if (count == 0)
        return;
    mlt_text_printf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%.1f\"", colour,
                    thickness);
    if (dashes)
        mlt_text_printf(out, " stroke-dasharray=\"%s\"", dashes);
    mlt_text_puts(out, " stroke-linejoin=\"round\" points=\"");
    for (size_t i = 0; i < count; i++)
        mlt_text_printf(out, "%s%.1f,%.1f", i ? " " : "", x_of(c, x[i]), y_of(c, y[i]));
    mlt_text_puts(out, "\"/>\n");
}

void sim_chart_area(const struct sim_chart *c, const double *x, const double *y, size_t count,
                    const char *colour, struct mlt_text *out)
{
    if (count == 0)
        return;
    double bottom = c->top + c->height;
    mlt_text_printf(out, "<path fill=\"%s\" fill-opacity=\"0.10\" stroke=\"none\" d=\"M%.1f,%.1f",
                    colour, x_of(c, x[0]), bottom);
    for (size_t i = 0; i < count; i++)
        mlt_text_printf(out, "L%.1f,%.1f", x_of(c, x[i]), y_of(c, y[i]));
    mlt_text_printf(out, "L%.1f,%.1fZ\"/>\n", x_of(c, x[count - 1]), bottom);
}
