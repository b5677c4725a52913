/* TrainingJobs as a trace: when they come and how long they run is in the metadata. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/simulate/fields.h"
#include "cli/simulate/readers.h"
#include "lib/base/alloc.h"
#include "lib/json/json.h"
#include "trainingjob/pod_request.h"
#include "trainingjob/trainingjob.h"

/* Seconds, as in the tables. */
#define ANNOTATION_RUN "mltrain.io/simulate-seconds"
#define ANNOTATION_SUBMIT "mltrain.io/simulate-submit"
#define ANNOTATION_PRIORITY "mltrain.io/simulate-priority"
#define PRIORITY_MAX 1000000000 /* as Kubernetes' PriorityClass */

static int read_times(const struct trainingjob *job, struct sim_job *ret, struct mlt_error *err)
{
    const cJSON *notes = job->metadata.annotations;
    const char *run = json_string(json_member(notes, ANNOTATION_RUN), "", "");
    const char *submit = json_string(json_member(notes, ANNOTATION_SUBMIT), "", "");
    const char *priority = json_string(json_member(notes, ANNOTATION_PRIORITY), "", "");
    int64_t value = 0;
    int rc = 0;
    ret->limit_ms = job->spec.active_deadline_seconds * 1000;
    ret->run_ms = ret->limit_ms;
    ret->submit_ms = job->metadata.creation_ms;
    if (*run)
        rc = sim_seconds((struct sim_piece){run, strlen(run)}, ANNOTATION_RUN, &ret->run_ms, err);
    if (rc == 0 && *submit)
        rc = sim_seconds((struct sim_piece){submit, strlen(submit)}, ANNOTATION_SUBMIT,
                         &ret->submit_ms, err);
    if (rc == 0 && *priority)
        rc = sim_integer((struct sim_piece){priority, strlen(priority)}, ANNOTATION_PRIORITY,
                         -PRIORITY_MAX, PRIORITY_MAX, &value, err);
    if (rc < 0)
        return rc;
    ret->priority = (int32_t)value;
    if (ret->run_ms <= 0 || ret->run_ms > SIM_SECONDS_MAX * 1000)
        return mlt_fail(err, EINVAL,
                        "neither the annotation %s nor spec.activeDeadlineSeconds says how long it "
                        "runs",
                        ANNOTATION_RUN);
    return 0;
}

static int read_role(const struct trainingjob_role *from, struct sim_role *ret,
                     struct mlt_error *err)
{
    struct pod_request request;
    int rc = pod_request_read(from->template_, &request, err);
    if (rc < 0)
        return mlt_fail_in(err, "%s: template", from->name);
    *ret = (struct sim_role){.pods = (uint32_t)from->replicas,
                             .devices = pod_request_gpus(&request),
                             .cpu_milli = request.cpu_milli,
                             .memory = request.memory};
    if (ret->devices > SIM_NODE_DEVICES_MAX || ret->cpu_milli > SIM_PLENTY ||
        ret->memory > SIM_PLENTY)
        return mlt_fail(err, ERANGE, "%s: one pod asks for more than can be counted", from->name);
    return 0;
}

static int read_shape(const struct trainingjob *job, struct sim_trace *trace, uint32_t *ret_shape,
                      struct mlt_error *err)
{
    struct sim_shape shape = {.models = SIM_ANY_MODEL};
    if (job->spec.roles_count + 1 > SIM_ROLES_MAX)
        return mlt_fail(err, EINVAL, "spec.roles: %zu roles, expected at most %d",
                        job->spec.roles_count, SIM_ROLES_MAX - 1);
    for (size_t i = 0; i <= job->spec.roles_count; i++) {
        const struct trainingjob_role *from = i == 0 ? &job->spec.workers : &job->spec.roles[i - 1];
        if (from->replicas <= 0)
            continue;
        int rc = read_role(from, &shape.role[shape.roles++], err);
        if (rc < 0)
            return rc;
    }
    return sim_trace_shape(trace, &shape, ret_shape, err);
}

static int read_job(const cJSON *object, struct sim_trace *trace, struct mlt_error *err)
{
    struct trainingjob job cleanup_trainingjob = {0};
    struct sim_job ours = {.recorded_wait_ms = -1};
    int rc = trainingjob_validate(object, err);
    if (rc == 0)
        rc = trainingjob_read(object, &job, err);
    if (rc == 0)
        rc = read_times(&job, &ours, err);
    if (rc == 0)
        rc = read_shape(&job, trace, &ours.shape, err);
    if (rc < 0)
        return rc;
    const char *queue = trainingjob_queue(&job);
    rc = sim_names_add(&trace->queues, queue, strlen(queue), SIM_QUEUES_MAX, &ours.queue, err);
    if (rc < 0)
        return mlt_fail_in(err, "spec.queue");
    ours.owner = ours.queue;
    if (trace->shapes[ours.shape].devices == 0) {
        sim_trace_leave_out(trace, "no GPU");
        return 0;
    }
    MLT_GROW(trace->manifests, trace->manifests_count, trace->manifests_capacity);
    trace->manifests[trace->manifests_count++] = job;
    job = (struct trainingjob){0};
    ours.manifest = trace->manifests_count;
    const char *name = trace->manifests[ours.manifest - 1].metadata.name;
    return sim_trace_add(trace, &ours, name, strlen(name), err);
}

static int read_document(const cJSON *document, struct sim_trace *trace, struct mlt_error *err)
{
    const cJSON *item, *items = json_member(document, "items");
    const char *kind = json_string(document, "kind", "");
    if (!*kind && !cJSON_IsArray(items) && !cJSON_IsNull(document))
        return mlt_fail(
            err, EINVAL,
            "expected a Philly CSV, an openb CSV (by its heading), the Standard Workload "
            "Format or objects of Kubernetes, with a kind");
    if (strcmp(kind, TRAININGJOB_KIND) == 0) {
        int rc = read_job(document, trace, err);
        return rc < 0 ? mlt_fail_in(err, "TrainingJob %.60s",
                                    json_string(document, "metadata.name", "?"))
                      : 0;
    }
    if (strcmp(kind, "PriorityClass") == 0) {
        if (!trace->priority_classes)
            trace->priority_classes = cJSON_CreateArray();
        json_append(trace->priority_classes, json_copy(document));
        return 0;
    }
    if (!cJSON_IsArray(items)) {
        sim_trace_leave_out(trace, "not a TrainingJob");
        return 0;
    }
    cJSON_ArrayForEach(item, items)
    {
        int rc = cJSON_IsArray(json_member(item, "items"))
                     ? mlt_fail(err, EINVAL, "items: a list in a list")
                     : read_document(item, trace, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int sim_read_manifests(const char *data, size_t length, const struct sim_read_options *options,
                       struct sim_trace *trace, struct mlt_error *err)
{
    (void)options;
    cJSON *documents cleanup_json = NULL;
    int number = 0, rc = json_parse_yaml(data, length, &documents, err);
    trace->format = "TrainingJob manifests";
    const cJSON *document;
    cJSON_ArrayForEach(document, documents)
    {
        number++;
        if (rc == 0 && read_document(document, trace, err) < 0)
            rc = mlt_fail_in(err, "document %d", number);
    }
    return rc;
}
