/* Small questions that every part asks about a job. */
#include <string.h>

#include "trainingjob/pod_request.h"
#include "trainingjob/trainingjob.h"

const cJSON *trainingjob_trainer(const cJSON *template_)
{
    const cJSON *containers = json_find(template_, "spec.containers"), *item;
    cJSON_ArrayForEach(item, containers)
    {
        if (strcmp(json_string(item, "name", ""), TRAININGJOB_TRAINER) == 0)
            return item;
    }
    return json_find(template_, "spec.containers[0]");
}

int64_t trainingjob_nproc(const struct trainingjob *job)
{
    struct pod_request request;
    const cJSON *trainer = trainingjob_trainer(job->spec.workers.template_);
    if (job->spec.nproc_per_node > 0)
        return job->spec.nproc_per_node;
    if (!trainer || pod_request_container(trainer, "", &request, NULL) < 0)
        return 1;
    int64_t gpus = pod_request_gpus(&request);
    if (gpus > TRAININGJOB_NPROC_MAX)
        return TRAININGJOB_NPROC_MAX;
    return gpus > 0 ? gpus : 1;
}

int64_t trainingjob_world_size(const struct trainingjob *job)
{
    return job->spec.workers.replicas * trainingjob_nproc(job);
}

int64_t trainingjob_gpus_per_pod(const struct trainingjob *job)
{
    struct pod_request request;
    if (pod_request_read(job->spec.workers.template_, &request, NULL) < 0)
        return 0;
    return pod_request_gpus(&request);
}

int64_t trainingjob_gpus(const struct trainingjob *job)
{
    return job->spec.workers.replicas * trainingjob_gpus_per_pod(job);
}

const char *trainingjob_queue(const struct trainingjob *job)
{
    if (job->spec.queue)
        return job->spec.queue;
    const cJSON *label = json_member(job->metadata.labels, TRAININGJOB_LABEL_KUEUE_QUEUE);
    return cJSON_IsString(label) && label->valuestring[0] ? label->valuestring
                                                          : TRAININGJOB_DEFAULT_QUEUE;
}

bool trainingjob_finished(const struct trainingjob *job)
{
    return job->status && (job->status->phase == TRAININGJOB_PHASE_SUCCEEDED ||
                           job->status->phase == TRAININGJOB_PHASE_FAILED);
}

const char *trainingjob_cancel(const struct trainingjob *job)
{
    const cJSON *value = json_member(job->metadata.annotations, TRAININGJOB_ANNOTATION_CANCEL);
    if (!cJSON_IsString(value))
        return NULL;
    return strcmp(value->valuestring, TRAININGJOB_CANCEL_NOW) == 0 ? TRAININGJOB_CANCEL_NOW
                                                                   : TRAININGJOB_CANCEL_GRACEFUL;
}

static bool in_list(const int *values, size_t count, int value)
{
    for (size_t i = 0; i < count; i++) {
        if (values[i] == value)
            return true;
    }
    return false;
}

static bool rule_matches(const struct trainingjob_rule *rule, int exit_code, int signal)
{
    if (signal > 0)
        return rule->signals_count > 0 && in_list(rule->signals, rule->signals_count, signal) ==
                                              (rule->signals_operator == TRAININGJOB_OPERATOR_IN);
    return exit_code != 0 && rule->exit_codes_count > 0 &&
           in_list(rule->exit_codes, rule->exit_codes_count, exit_code) ==
               (rule->exit_codes_operator == TRAININGJOB_OPERATOR_IN);
}

int trainingjob_match_rule(const struct trainingjob_spec *spec, int exit_code, int signal)
{
    for (size_t i = 0; i < spec->failure_policy.rules_count; i++) {
        const struct trainingjob_rule *rule = &spec->failure_policy.rules[i];
        if (rule_matches(rule, exit_code, signal))
            return rule->action;
    }
    return TRAININGJOB_NONE;
}
