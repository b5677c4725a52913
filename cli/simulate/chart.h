/* A plot in SVG: a frame with axes, and lines in it. */
#ifndef CLI_SIMULATE_CHART_H
#define CLI_SIMULATE_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/base/text.h"

enum sim_axis_kind { SIM_AXIS_LINEAR, SIM_AXIS_PERCENT, SIM_AXIS_DAYS, SIM_AXIS_LOG_TIME };

struct sim_axis {
    enum sim_axis_kind kind;
    double min, max; /* LOG_TIME: seconds, above 0 */
};

struct sim_chart {
    double left, top, width, height; /* of the plot itself, in pixels */
    const char *title, *note;        /* the note stands behind the title, in grey */
    struct sim_axis x, y;
};

/* The least "round" number (1, 2 or 5 times a power of ten) that is not below `value`. */
double sim_round_up(double value);

/* Title, grid, ticks and their words. */
void sim_chart_frame(const struct sim_chart *c, struct mlt_text *out);
/* A line through points; those outside of the axes are moved to their ends. `dashes` as SVG's
 * stroke-dasharray, NULL for none. */
void sim_chart_line(const struct sim_chart *c, const double *x, const double *y, size_t count,
                    const char *colour, double thickness, const char *dashes, struct mlt_text *out);
/* The same as steps, and the area below filled lightly. */
void sim_chart_area(const struct sim_chart *c, const double *x, const double *y, size_t count,
                    const char *colour, struct mlt_text *out);

/* Text with <, > and & escaped, for XML and HTML; control characters become spaces. */
void sim_escape(const char *text, struct mlt_text *out);

#endif
