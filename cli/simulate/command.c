/* mltrain simulate: reads a trace and a cluster, plays one or several policies, and reports. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/simulate/command.h"
#include "cli/simulate/metrics.h"
#include "cli/simulate/report.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

static double cpu_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- reading ---- */

static int read_nodes(const struct sim_command *c, struct sim_names *models,
                      struct sim_nodes *ret_nodes, struct mlt_error *err)
{
    cleanup_free char *data = NULL;
    size_t length = 0;
    int rc = sim_nodes_parse(c->nodes, ret_nodes, err);
    if (rc < 0 && strpbrk(c->nodes, "./-")) {
        rc = sim_file_read(c->nodes, &data, &length, err);
        if (rc == 0 && sim_nodes_read(data, length, models, ret_nodes, err) < 0)
            rc = mlt_fail_in(err, "%s", c->nodes);
    }
    if (rc == 0 && c->rack_nodes)
        sim_nodes_make_racks(ret_nodes, c->rack_nodes);
    return rc < 0 ? mlt_fail_in(err, "--nodes") : 0;
}

static int nothing_left(const struct sim_command *c, const struct sim_trace *trace,
                        struct mlt_error *err)
{
    if (trace->left_out_count)
        return mlt_fail(err, EINVAL,
                        "--trace: %s: no job is left to play; left out: %" PRIu64 " (%s%s)",
                        c->trace, trace->left_out[0].records, trace->left_out[0].why,
                        trace->left_out_count > 1 ? "), others (for other reasons" : "");
    return mlt_fail(err, EINVAL, "--trace: %s: no job is left to play", c->trace);
}

static int read_trace(const struct sim_command *c, int64_t node_devices, struct sim_trace *trace,
                      struct mlt_error *err)
{
    cleanup_free char *data = NULL;
    size_t length = 0;
    int rc = sim_file_read(c->trace, &data, &length, err);
    if (rc < 0)
        return mlt_fail_in(err, "--trace");
    sim_reader_f *reader = sim_reader_for(data, length);
    struct sim_read_options options = {.pod_max = c->pod_max, .queue_by = c->queue_by};
    if (options.pod_max == 0)
        options.pod_max = reader == sim_read_swf ? 1 : node_devices;
    if (!reader)
        return mlt_fail(err, EINVAL, "--trace: %s: empty", c->trace);
    rc = reader(data, length, &options, trace, err);
    if (rc < 0)
        return mlt_fail_in(err, "--trace: %s", c->trace);
    sim_trace_finish(trace, c->from_ms, c->until_ms);
    return trace->count == 0 ? nothing_left(c, trace, err) : 0;
}

/* ---- placements ---- */

struct placements {
    FILE *file;
    uint64_t *devices; /* of the attempt at hand, by node */
};

static void print_time(FILE *file, int64_t ms)
{
    if (ms % 1000)
        (void)fprintf(file, ",%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
    else
        (void)fprintf(file, ",%" PRId64, ms / 1000);
}

/* One line for each node of an attempt, in the order of its pods. */
static void write_attempt(void *arg, const struct sim *sim, uint32_t job)
{
    struct placements *p = arg;
    const struct sim_shape *shape = sim_shape_of(sim, job);
    const uint32_t *pod_nodes = sim_pod_nodes(sim, job);
    char name[SIM_NAME_MAX], node[SIM_NAME_MAX];
    uint32_t pod = 0;
    sim_trace_job_name(sim->trace, job, name);
    for (uint32_t i = 0; i < shape->roles; i++)
        for (uint32_t k = 0; k < shape->role[i].pods; k++)
            p->devices[pod_nodes[pod++]] += (uint64_t)shape->role[i].devices;
    for (pod = 0; pod < shape->pods; pod++) {
        uint32_t n = pod_nodes[pod];
        if (p->devices[n] == 0)
            continue;
        sim_node_name(sim->nodes, n, node);
        (void)fprintf(p->file, "%s,%" PRIu32, name, sim->state[job].attempts);
        print_time(p->file, sim->state[job].start_ms);
        print_time(p->file, sim->now_ms);
        (void)fprintf(p->file, ",%s,%" PRIu64 "\n", node, p->devices[n]);
        p->devices[n] = 0;
    }
}

static int play(const struct sim_command *c, const struct sim_trace *trace,
                const struct sim_nodes *nodes, const struct sim_policy *policy,
                struct sim_result *ret_result, struct mlt_error *err)
{
    struct sim sim;
    struct placements placements = {0};
    cleanup_free uint64_t *devices = mlt_calloc(nodes->count, sizeof *devices);
    double begin = cpu_seconds();
    int rc = sim_init(&sim, trace, nodes, &c->options, policy, err);
    if (rc < 0)
        return rc;
    if (c->placements) {
        placements = (struct placements){fopen(c->placements, "we"), devices};
        sim.attempt = write_attempt;
        sim.attempt_arg = &placements;
        if (!placements.file)
            rc = mlt_fail(err, errno, "%s: %s", c->placements, strerror(errno));
        else
            (void)fputs("job,attempt,start,end,node,devices\n", placements.file);
    }
    if (rc == 0)
        rc = sim_run(&sim, err);
    if (rc == 0)
        sim_measure(&sim, cpu_seconds() - begin, ret_result);
    if (placements.file) {
        bool failed = ferror(placements.file) != 0;
        if ((fclose(placements.file) != 0 || failed) && rc == 0) {
            sim_result_release(ret_result);
            rc = mlt_fail(err, EIO, "%s: not everything could be written", c->placements);
        }
    }
    sim_release(&sim);
    return rc;
}

/* ---- reporting ---- */

static int write_report(const struct sim_command *c, const struct sim_report *report,
                        struct mlt_error *err)
{
    struct mlt_text text cleanup_text = MLT_TEXT_INIT(SIM_REPORT_MAX);
    const char *dot = strrchr(c->report, '.');
    if (dot && strcmp(dot, ".html") == 0)
        sim_report_html(report, &text);
    else
        sim_report_svg(report, &text);
    if (text.failed)
        return mlt_fail(err, E2BIG, "%s: more than %zu bytes", c->report, SIM_REPORT_MAX);
    FILE *file = fopen(c->report, "we");
    if (!file)
        return mlt_fail(err, errno, "%s: %s", c->report, strerror(errno));
    bool failed = fwrite(mlt_text_string(&text), 1, text.length, file) != text.length;
    if (fclose(file) != 0 || failed)
        return mlt_fail(err, EIO, "%s: not everything could be written", c->report);
    return 0;
}

static int report(const struct sim_command *c, const struct sim_report *r, struct mlt_error *err)
{
    if (c->json) {
        cJSON *object cleanup_json = sim_report_json(r);
        cleanup_free char *text = json_print_indented(object);
        printf("%s\n", text);
    } else {
        sim_print_tables(r, stdout);
    }
    return c->report ? write_report(c, r, err) : 0;
}

static int simulate(struct sim_command *c, struct sim_trace *trace, struct sim_nodes *nodes,
                    struct mlt_error *err)
{
    struct sim_result results[SIM_POLICIES + 1];
    struct sim_report r = {.trace = trace,
                           .nodes = nodes,
                           .options = &c->options,
                           .trace_file = c->trace,
                           .nodes_words = c->nodes,
                           .results = results};
    cleanup_free int64_t *weights = NULL;
    int rc = read_nodes(c, &trace->models, nodes, err);
    if (rc == 0)
        rc = read_trace(c, nodes->largest, trace, err);
    if (rc == 0 && c->weights) {
        weights = mlt_calloc(trace->queues.count, sizeof *weights);
        rc = sim_parse_weights(c->weights, &trace->queues, weights, err);
        c->options.weights = weights;
    }
    for (size_t i = 0; rc == 0 && i < c->policies_count; i++) {
        rc = play(c, trace, nodes, c->policies[i], &results[r.count], err);
        r.count += rc == 0;
    }
    if (rc == 0 && sim_measure_recorded(trace, &results[r.count]))
        r.count++;
    if (rc == 0)
        rc = report(c, &r, err);
    for (size_t i = 0; i < r.count; i++)
        sim_result_release(&results[i]);
    c->options.weights = NULL;
    return rc;
}

int cli_simulate(int argc, char **argv)
{
    struct sim_command c;
    struct sim_trace trace;
    struct sim_nodes nodes = {0};
    struct mlt_error err = {0};
    sim_command_init(&c);
    if (argp_parse(&sim_argp, argc, argv, 0, NULL, &c))
        return CLI_USAGE;
    sim_trace_init(&trace);
    int rc = simulate(&c, &trace, &nodes, &err);
    sim_trace_release(&trace);
    sim_nodes_release(&nodes);
    if (rc < 0)
        return cli_fail(rc == -EINVAL ? CLI_USAGE : CLI_FAILED, "%s", err.text);
    return CLI_OK;
}
