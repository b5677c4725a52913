/* The counters as text that Prometheus reads. */
#include "controller/metrics.h"

#include <inttypes.h>

static const struct {
    const char *name, *help;
} metric_texts[] = {
#define XX(name, metric, help) [METRIC_##name] = {metric, help},
    METRICS_MAP(XX)
#undef XX
};
_Static_assert(sizeof metric_texts / sizeof metric_texts[0] == METRIC_COUNT,
               "every counter has its text");

void metrics_write(const struct metrics *m, struct mlt_text *out)
{
    for (size_t i = 0; i < METRIC_COUNT; i++)
        mlt_text_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %" PRIu64 "\n",
                        metric_texts[i].name, metric_texts[i].help, metric_texts[i].name,
                        metric_texts[i].name, m->count[i]);
}
