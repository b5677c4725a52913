/* The counters, and their text for Prometheus. */
#include "controller/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OTHER_CODE (-1)

static const struct {
    const char *name, *help;
} metric_texts[] = {
#define XX(name, metric, help) [METRIC_##name] = {metric, help},
    METRICS_MAP(XX)
#undef XX
};
_Static_assert(sizeof metric_texts / sizeof metric_texts[0] == METRIC_COUNT,
               "every counter has its text");

/* Upper bounds in seconds. */
static const double wait_bounds[METRICS_BUCKETS] = {1,    5,    15,   30,    60,    300,   900,
                                                    1800, 3600, 7200, 14400, 43200, 86400, 604800};
static const double decision_bounds[METRICS_BUCKETS] = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5};

/* ---- counting ---- */

void metrics_request(struct metrics *m, const char *verb, int code)
{
    struct metrics_request *r = m->requests, *end = r + m->requests_count;
    while (r < end && (r->code != code || strcmp(r->verb, verb) != 0))
        r++;
    if (r == end && m->requests_count + 1 >= METRICS_REQUESTS_MAX && code != OTHER_CODE) {
        metrics_request(m, verb, OTHER_CODE);
        return;
    }
    if (r == m->requests + METRICS_REQUESTS_MAX)
        return;
    if (r == end) {
        (void)snprintf(r->verb, sizeof r->verb, "%s", verb);
        r->code = code;
        m->requests_count++;
    }
    r->count++;
}

void metrics_failure(struct metrics *m, const char *cause)
{
    struct metrics_cause *c = m->causes, *end = c + m->causes_count;
    bool is_full = m->causes_count == METRICS_CAUSES_MAX;
    while (c < end && strncmp(c->cause, cause, sizeof c->cause - 1) != 0)
        c++;
    if (c == end && is_full)
        c--;
    else if (c == end) {
        bool is_last = m->causes_count + 1 == METRICS_CAUSES_MAX;
        (void)snprintf(c->cause, sizeof c->cause, "%s", is_last ? "other" : cause);
        m->causes_count++;
    }
    c->count++;
}

static void observe(struct metrics_histogram *h, const double bounds[METRICS_BUCKETS],
                    double seconds)
{
    size_t i = 0;
    while (i < METRICS_BUCKETS && seconds > bounds[i])
        i++;
    h->buckets[i]++;
    h->count++;
    h->sum += seconds;
}

void metrics_waited(struct metrics *m, int64_t ms)
{
    observe(&m->wait, wait_bounds, ms > 0 ? (double)ms / 1e3 : 0);
}

void metrics_took(struct metrics *m, int64_t us)
{
    if (m->plans_timed == m->count[METRIC_PLANS])
        return;
    m->plans_timed = m->count[METRIC_PLANS];
    observe(&m->decision, decision_bounds, us > 0 ? (double)us / 1e6 : 0);
}

/* ---- text ---- */

void metrics_head(struct mlt_text *out, const char *name, const char *type, const char *help)
{
    mlt_text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_label(struct mlt_text *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            mlt_text_putc(out, '\\');
        if (*value == '\n')
            mlt_text_puts(out, "\\n");
        else
            mlt_text_putc(out, *value);
    }
}

static void write_histogram(struct mlt_text *out, const char *name, const char *help,
                            const struct metrics_histogram *h, const double bounds[METRICS_BUCKETS])
{
    uint64_t below = 0;
    metrics_head(out, name, "histogram", help);
    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        below += h->buckets[i];
        mlt_text_printf(out, "%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", name, bounds[i], below);
    }
    mlt_text_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9g\n%s_count %" PRIu64 "\n",
                    name, h->count, name, h->sum, name, h->count);
}

static void write_requests(const struct metrics *m, struct mlt_text *out)
{
    metrics_head(out, "mltrain_api_requests_total", "counter",
                 "Answers of the API server by Kubernetes' verb and HTTP code; code 0: none came.");
    for (size_t i = 0; i < m->requests_count; i++) {
        const struct metrics_request *r = &m->requests[i];
        char code[16] = "other";
        if (r->code != OTHER_CODE)
            (void)snprintf(code, sizeof code, "%d", r->code);
        mlt_text_printf(out, "mltrain_api_requests_total{verb=\"%s\",code=\"%s\"} %" PRIu64 "\n",
                        r->verb, code, r->count);
    }
}

static void write_failures(const struct metrics *m, struct mlt_text *out)
{
    metrics_head(out, "mltrain_failures_total", "counter",
                 "Attempts that ended with a failure, by the cause that stands in the status.");
    for (size_t i = 0; i < m->causes_count; i++) {
        mlt_text_puts(out, "mltrain_failures_total{cause=\"");
        metrics_label(out, m->causes[i].cause);
        mlt_text_printf(out, "\"} %" PRIu64 "\n", m->causes[i].count);
    }
}

void metrics_write(const struct metrics *m, struct mlt_text *out)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        metrics_head(out, metric_texts[i].name, "counter", metric_texts[i].help);
        mlt_text_printf(out, "%s %" PRIu64 "\n", metric_texts[i].name, m->count[i]);
    }
    write_requests(m, out);
    write_failures(m, out);
    write_histogram(out, "mltrain_queue_wait_seconds",
                    "Time that gangs spent in the queue before they were placed.", &m->wait,
                    wait_bounds);
    write_histogram(out, "mltrain_decision_seconds",
                    "Computing time of the controller's steps in which it made a plan.",
                    &m->decision, decision_bounds);
}
