/* What the controller counts, and the text that Prometheus reads. Gauges are not kept: gauges.c
 * looks at the controller when it is asked. The metrics are described in docs/metrics.md. Pure. */
#ifndef CONTROLLER_METRICS_H
#define CONTROLLER_METRICS_H

#include <stdint.h>
#include "lib/base/text.h"

#define METRICS_REQUESTS_MAX \
    96                        /* pairs of verb and code; what comes later counts as code "other" */
#define METRICS_CAUSES_MAX 24 /* causes of failures; likewise */
#define METRICS_BUCKETS 14    /* of a histogram, +Inf aside */
#define METRICS_WORD_MAX 32   /* bytes of a cause or a verb, with its NUL */
#define METRICS_TEXT_MAX (4u * 1024 * 1024) /* bytes of one answer to a scrape */

/* X(NAME, metric, help) */
#define METRICS_MAP(XX)                                                                          \
    XX(STEPS, "mltrain_controller_events_total", "Events that the controller has taken.")        \
    XX(RETRIES, "mltrain_api_retries_total", "Requests sent again after an error.")              \
    XX(CONFLICTS, "mltrain_api_conflicts_total", "Status writes that met a newer object.")       \
    XX(PLANS, "mltrain_plans_total", "Plans made over all waiting gangs.")                       \
    XX(GANGS_PLACED, "mltrain_gangs_placed_total", "Gangs that were given their nodes.")         \
    XX(GANGS_UNDONE, "mltrain_gangs_undone_total", "Gangs given back before their first start.") \
    XX(GANGS_PREEMPTED, "mltrain_gangs_preempted_total",                                         \
       "Gangs that were asked to leave for others.")                                             \
    XX(STARTS, "mltrain_starts_total", "STARTs sent to whole gangs.")                            \
    XX(ADOPTIONS, "mltrain_adoptions_total", "Running gangs adopted from a former controller.")  \
    XX(PODS_CREATED, "mltrain_pods_created_total", "Pods created.")                              \
    XX(JOBS_SUCCEEDED, "mltrain_jobs_succeeded_total", "Jobs that succeeded.")                   \
    XX(JOBS_FAILED, "mltrain_jobs_failed_total", "Jobs that failed.")                            \
    XX(REFUSALS, "mltrain_channel_refusals_total", "Messages and channels refused.")             \
    XX(EVENTS_DROPPED, "mltrain_events_dropped_total",                                           \
       "Kubernetes events not sent because there were too many.")

enum metric {
#define XX(name, metric, help) METRIC_##name,
    METRICS_MAP(XX)
#undef XX
        METRIC_COUNT
};

struct metrics_request {
    char verb[METRICS_WORD_MAX];
    int code;
    uint64_t count;
};

struct metrics_cause {
    char cause[METRICS_WORD_MAX];
    uint64_t count;
};

struct metrics_histogram {
    uint64_t buckets[METRICS_BUCKETS + 1]; /* not cumulated; the last is +Inf */
    uint64_t count;
    double sum; /* seconds */
};

struct metrics {
    uint64_t count[METRIC_COUNT];
    struct metrics_request requests[METRICS_REQUESTS_MAX];
    size_t requests_count;
    struct metrics_cause causes[METRICS_CAUSES_MAX];
    size_t causes_count;
    struct metrics_histogram wait;     /* in the queue, of gangs that were placed */
    struct metrics_histogram decision; /* computing, of steps that made a plan */
    uint64_t plans_timed;              /* METRIC_PLANS as of the last metrics_took() */
};

/* A request to the API server has been answered: Kubernetes' verb, HTTP status; 0: no answer. */
void metrics_request(struct metrics *m, const char *verb, int code);
/* An attempt has ended with a failure. */
void metrics_failure(struct metrics *m, const char *cause);
/* A gang was placed after so many milliseconds in the queue. */
void metrics_waited(struct metrics *m, int64_t ms);
/* A step has taken so many microseconds: counted when a plan was made in it. */
void metrics_took(struct metrics *m, int64_t us);

/* Appends all of that as Prometheus text (text/plain; version=0.0.4). */
void metrics_write(const struct metrics *m, struct mlt_text *out);

/* ---- for those who write metrics of their own ---- */

/* The two lines before a metric's samples; `type` is "counter", "gauge" or "histogram". */
void metrics_head(struct mlt_text *out, const char *name, const char *type, const char *help);
/* A label's value with what Prometheus wants escaped. */
void metrics_label(struct mlt_text *out, const char *value);

#endif
