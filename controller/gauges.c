/* Gauges and build info: what the controller is and holds at the moment of a scrape. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"

#define QUEUES_MAX 256 /* told by name; jobs of further ones count for the queue "(others)" */

#define XX(name, text) +1
enum { PHASES = TRAININGJOB_PHASE_MAP(XX) };
#undef XX

struct queue_gauge {
    const char *name; /* owned by a job */
    uint64_t jobs;
    int64_t gpus;
    int64_t oldest_ms; /* wall time since which its oldest job waits */
};

/* Since when a queued job waits, in wall time. */
static int64_t queued_since(const struct job *job)
{
    const struct trainingjob_condition *queued =
        trainingjob_find_condition(&job->draft, TRAININGJOB_CONDITION_QUEUED);
    if (queued && strcmp(queued->status, "True") == 0 && queued->last_transition_ms)
        return queued->last_transition_ms;
    return job->tj.metadata.creation_ms;
}

int64_t job_now_of(const struct controller *c, int64_t wall_ms)
{
    return c->now_ms - (wall_ms < c->wall_ms ? c->wall_ms - wall_ms : 0);
}

int64_t job_waited_ms(const struct job *job)
{
    int64_t since = queued_since(job), now = job->controller->wall_ms;
    return since && since < now ? now - since : 0;
}

static struct queue_gauge *queue_of(struct queue_gauge *queues, size_t *count, const char *name)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(queues[i].name, name) == 0)
            return &queues[i];
    if (*count == QUEUES_MAX)
        return &queues[QUEUES_MAX - 1];
    queues[*count] = (struct queue_gauge){.name = *count == QUEUES_MAX - 1 ? "(others)" : name,
                                          .oldest_ms = INT64_MAX};
    return &queues[(*count)++];
}

static void write_queue_values(struct mlt_text *out, const char *metric, const char *help,
                               const struct queue_gauge *queues, size_t count,
                               int64_t (*value)(const struct queue_gauge *, int64_t now),
                               int64_t now)
{
    metrics_head(out, metric, "gauge", help);
    for (size_t i = 0; i < count; i++) {
        mlt_text_printf(out, "%s{queue=\"", metric);
        metrics_label(out, queues[i].name);
        mlt_text_printf(out, "\"} %" PRId64 "\n", value(&queues[i], now));
    }
}

static int64_t value_jobs(const struct queue_gauge *q, int64_t now)
{
    (void)now;
    return (int64_t)q->jobs;
}

static int64_t value_gpus(const struct queue_gauge *q, int64_t now)
{
    (void)now;
    return q->gpus;
}

static int64_t value_oldest(const struct queue_gauge *q, int64_t now)
{
    return q->oldest_ms < now ? (now - q->oldest_ms) / 1000 : 0;
}

static void write_queues(const struct controller *c, struct mlt_text *out)
{
    struct queue_gauge *queues = mlt_calloc(QUEUES_MAX, sizeof *queues);
    size_t count = 0;
    for (struct job *job = c->jobs; job; job = job->hh.next) {
        if (job->draft.phase != TRAININGJOB_PHASE_QUEUED || !job->has_tj)
            continue;
        struct queue_gauge *q = queue_of(queues, &count, trainingjob_queue(&job->tj));
        int64_t since = queued_since(job);
        q->jobs++;
        q->gpus += job_gpus(job);
        if (since && since < q->oldest_ms)
            q->oldest_ms = since;
    }
    write_queue_values(out, "mltrain_queue_jobs", "Jobs that wait, by queue.", queues, count,
                       value_jobs, 0);
    write_queue_values(out, "mltrain_queue_gpus", "GPUs that waiting jobs ask for, by queue.",
                       queues, count, value_gpus, 0);
    write_queue_values(out, "mltrain_queue_oldest_wait_seconds",
                       "How long the job that waits longest has waited, by queue.", queues, count,
                       value_oldest, c->wall_ms);
    free(queues);
}

static void write_phases(const struct controller *c, struct mlt_text *out)
{
    uint64_t jobs[PHASES] = {0};
    for (const struct job *job = c->jobs; job; job = job->hh.next)
        jobs[job->draft.phase]++;
    metrics_head(out, "mltrain_jobs", "gauge", "Jobs by phase.");
    for (int phase = 0; phase < PHASES; phase++) {
        const char *name = trainingjob_phase_name((enum trainingjob_phase)phase);
        if (phase != TRAININGJOB_PHASE_NONE)
            mlt_text_printf(out, "mltrain_jobs{phase=\"%s\"} %" PRIu64 "\n", name, jobs[phase]);
    }
}

static void gauge(struct mlt_text *out, const char *name, const char *help, int64_t value)
{
    metrics_head(out, name, "gauge", help);
    mlt_text_printf(out, "%s %" PRId64 "\n", name, value);
}

void gauges_write(const struct controller *c, struct mlt_text *out)
{
    int64_t gangs = 0, gpus = 0, nodes = 0, ready = 0, there = 0;
    for (const struct job *job = c->jobs; job; job = job->hh.next)
        if (job->ledger == JOB_LEDGER_HOLDS && job->has_tj) {
            gangs++;
            gpus += job_gpus(job);
        }
    for (const struct view_node *n = c->view.nodes; n; n = n->hh.next) {
        nodes++;
        ready += n->ready;
        there += n->ready ? n->gpus : 0;
    }
    metrics_head(out, "mltrain_build_info", "gauge", "Always 1; the version is in the label.");
    mlt_text_puts(out, "mltrain_build_info{version=\"");
    metrics_label(out, c->config.version);
    mlt_text_puts(out, "\"} 1\n");
    gauge(out, "mltrain_leader", "1 in the controller that leads, 0 in one that stands by.",
          leader_leads(&c->leader));
    gauge(out, "mltrain_ready", "1 when all collections have been listed.", view_synced(&c->view));
    gauge(out, "mltrain_gangs", "Gangs that hold nodes.", gangs);
    gauge(out, "mltrain_gpus_allocated", "GPUs that gangs hold.", gpus);
    gauge(out, "mltrain_gpus_allocatable", "GPUs of nodes that are ready.", there);
    gauge(out, "mltrain_nodes", "Nodes.", nodes);
    gauge(out, "mltrain_nodes_ready", "Nodes that are ready.", ready);
    gauge(out, "mltrain_nodes_lost", "Nodes whose Lease is not renewed while a member is silent.",
          (int64_t)c->view.nodes_lost);
    gauge(out, "mltrain_channel_connections", "Open channels to launchers.",
          (int64_t)HASH_COUNT(c->channels));
    gauge(out, "mltrain_channel_service_ok",
          "1 when the channel's EndpointSlice leads here, or none is wanted; 0 in a standby.",
          channel_service_ok(c));
    gauge(out, "mltrain_api_requests_in_flight", "Requests under way, watches and lists aside.",
          (int64_t)c->apply.in_flight_count);
    gauge(out, "mltrain_api_requests_waiting", "Requests that wait for others or for their time.",
          (int64_t)c->apply.waiting_count);
    write_phases(c, out);
    write_queues(c, out);
}
