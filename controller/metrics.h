/* What the controller counts. */
#ifndef CONTROLLER_METRICS_H
#define CONTROLLER_METRICS_H

#include <stdint.h>
#include "lib/base/text.h"

/* X(NAME, metric, help) */
#define METRICS_MAP(XX)                                                                          \
    XX(STEPS, "mltrain_controller_events_total", "Events that the controller has taken")         \
    XX(REQUESTS, "mltrain_api_requests_total", "Requests sent to the API server, watches aside") \
    XX(RETRIES, "mltrain_api_retries_total", "Requests sent again after an error")               \
    XX(CONFLICTS, "mltrain_api_conflicts_total", "Status writes that met a newer object")        \
    XX(PLANS, "mltrain_plans_total", "Plans made over all waiting gangs")                        \
    XX(GANGS_PLACED, "mltrain_gangs_placed_total", "Gangs that were given their nodes")          \
    XX(GANGS_UNDONE, "mltrain_gangs_undone_total", "Gangs given back before their first start")  \
    XX(STARTS, "mltrain_starts_total", "STARTs sent to whole gangs")                             \
    XX(ADOPTIONS, "mltrain_adoptions_total", "Running gangs adopted from a former controller")   \
    XX(FAILURES, "mltrain_failures_total", "Attempts that ended with a failure")                 \
    XX(PODS_CREATED, "mltrain_pods_created_total", "Pods created")                               \
    XX(JOBS_SUCCEEDED, "mltrain_jobs_succeeded_total", "Jobs that succeeded")                    \
    XX(JOBS_FAILED, "mltrain_jobs_failed_total", "Jobs that failed")                             \
    XX(REFUSALS, "mltrain_channel_refusals_total", "Messages and channels refused")              \
    XX(EVENTS_DROPPED, "mltrain_events_dropped_total", "Kubernetes events not sent: over the rate")

enum metric {
#define XX(name, metric, help) METRIC_##name,
    METRICS_MAP(XX)
#undef XX
        METRIC_COUNT
};

struct metrics {
    uint64_t count[METRIC_COUNT];
};

/* Appends the counters as Prometheus text (text/plain; version=0.0.4). */
void metrics_write(const struct metrics *m, struct mlt_text *out);

#endif
