/* Results as JSON. Times are seconds, shares between 0 and 1. */
#include <math.h>

#include "cli/simulate/report.h"
#include "lib/json/json.h"

/* Three decimals are plenty, and the same on all machines. */
static void set_number(cJSON *root, const char *path, double value)
{
    json_set(root, path, cJSON_CreateNumber(round(value * 1000) / 1000));
}

static cJSON *spread(const struct sim_spread *s)
{
    cJSON *to = cJSON_CreateObject();
    json_set_integer(to, "jobs", (int64_t)s->count);
    set_number(to, "mean", s->mean / 1000);
    set_number(to, "p50", (double)s->p50 / 1000);
    set_number(to, "p90", (double)s->p90 / 1000);
    set_number(to, "p99", (double)s->p99 / 1000);
    set_number(to, "p999", (double)s->p999 / 1000);
    set_number(to, "max", (double)s->max / 1000);
    return to;
}

static cJSON *queues(const struct sim_report *report, const struct sim_result *r)
{
    cJSON *to = cJSON_CreateArray();
    for (uint32_t i = 0; i < r->queues_count; i++) {
        const struct sim_queue_result *q = &r->queues[i];
        cJSON *one = cJSON_CreateObject();
        json_set_string(one, "name", report->trace->queues.name[q->queue]);
        json_set_integer(one, "weight", q->weight);
        json_set_integer(one, "jobs", (int64_t)q->jobs);
        set_number(one, "deviceHours", q->device_hours);
        set_number(one, "meanQueueingSeconds", q->mean_wait_ms / 1000);
        set_number(one, "backloggedHours", q->backlogged_hours);
        set_number(one, "devicesWhileBacklogged", q->held);
        json_append(to, one);
    }
    return to;
}

static cJSON *over_time(const struct sim_report *report, const struct sim_result *r)
{
    cJSON *to = cJSON_CreateObject(), *held = json_set_array(to, "allocated");
    cJSON *waiting = json_set_array(to, "waitingJobs"), *asked = json_set_array(to, "askedDevices");
    set_number(to, "binSeconds", (double)r->timeline.bin_ms / 1000);
    for (uint32_t i = 0; i < sim_timeline_bins(&r->timeline); i++) {
        double width = (double)sim_timeline_width(&r->timeline, i);
        const struct sim_bin *bin = &r->timeline.bin[i];
        double share = (double)bin->devices_ms / width / (double)report->nodes->devices;
        json_append(held, cJSON_CreateNumber(round(share * 10000) / 10000));
        json_append(waiting,
                    cJSON_CreateNumber(round((double)bin->waiting_ms / width * 100) / 100));
        json_append(asked, cJSON_CreateNumber(round((double)bin->asked_ms / width * 100) / 100));
    }
    return to;
}

static cJSON *result(const struct sim_report *report, const struct sim_result *r)
{
    cJSON *to = cJSON_CreateObject();
    json_set_string(to, "policy", r->policy);
    json_set_string(to, "description", r->words);
    json_set_integer(to, "jobs", (int64_t)r->jobs);
    json_set(to, "queueingSeconds", spread(&r->queueing));
    set_number(to, "boundedSlowdown", r->slowdown);
    if (r->recorded)
        return to;
    json_set_integer(to, "largerThanTheCluster", (int64_t)r->not_played);
    cJSON *sizes = json_set_object(to, "queueingSecondsBySize");
    for (uint32_t i = 0; i < SIM_SIZES; i++)
        if (r->by_size[i].count)
            json_set(sizes, sim_size_words[i], spread(&r->by_size[i]));
    json_set(to, "firstStartSeconds", spread(&r->first_start));
    json_set(to, "completionSeconds", spread(&r->completion));
    set_number(to, "makespanSeconds", (double)r->makespan_ms / 1000);
    set_number(to, "allocation", r->allocation);
    set_number(to, "allocationUntilLastSubmission", r->allocation_arriving);
    set_number(to, "nodesPartlyUsed", r->fragmentation);
    if (r->nodes_ratio > 0)
        set_number(to, "nodesSpannedPerFewest", r->nodes_ratio);
    if (r->racks_ratio > 0) {
        set_number(to, "racksSpannedPerFewest", r->racks_ratio);
        set_number(to, "startsInFewestRacks", r->racks_best);
    }
    if (r->queues_waited > 0)
        set_number(to, "fairnessJain", r->jain);
    json_set_integer(to, "starts", (int64_t)r->starts);
    json_set_integer(to, "askedToLeave", (int64_t)r->asked);
    set_number(to, "lostDeviceHours", r->lost_hours);
    set_number(to, "usefulDeviceHours", r->useful_hours);
    json_set_integer(to, "events", (int64_t)r->events);
    json_set_integer(to, "decisions", (int64_t)r->decisions);
    set_number(to, "cpuSeconds", r->cpu_seconds);
    json_set(to, "queues", queues(report, r));
    json_set(to, "overTime", over_time(report, r));
    return to;
}

cJSON *sim_report_json(const struct sim_report *report)
{
    const struct sim_trace *t = report->trace;
    cJSON *to = cJSON_CreateObject(), *trace = json_set_object(to, "trace");
    json_set_string(trace, "file", report->trace_file);
    json_set_string(trace, "format", t->format);
    json_set_integer(trace, "jobs", (int64_t)t->count);
    json_set_integer(trace, "queues", t->queues.count);
    cJSON *left_out = json_set_array(trace, "leftOut");
    for (uint32_t i = 0; i < t->left_out_count; i++) {
        cJSON *one = cJSON_CreateObject();
        json_set_string(one, "why", t->left_out[i].why);
        json_set_integer(one, "records", (int64_t)t->left_out[i].records);
        json_append(left_out, one);
    }
    json_set_string(to, "cluster.nodesFrom", report->nodes_words);
    json_set_integer(to, "cluster.nodes", report->nodes->count);
    json_set_integer(to, "cluster.devices", report->nodes->devices);
    json_set_integer(to, "cluster.racks", report->nodes->racks);
    cJSON *results = json_set_array(to, "results");
    for (size_t i = 0; i < report->count; i++)
        json_append(results, result(report, &report->results[i]));
    return to;
}
