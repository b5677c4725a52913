/* What a pod is doing, in a word: see pod_summary.h. */
#include "localcluster/api/pod_summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/json/json.h"

static void set_reason(struct api_pod_summary *s, const char *text)
{
    (void)snprintf(s->reason, sizeof s->reason, "%s", text);
}

static void count_restarts(struct api_pod_summary *s, const cJSON *status)
{
    s->restarts += json_integer(status, "restartCount", 0);
    const char *ended = json_string(status, "lastState.terminated.finishedAt", "");
    if (strcmp(ended, s->last_restart) > 0)
        (void)snprintf(s->last_restart, sizeof s->last_restart, "%s", ended);
}

/* A terminated container's own words, or its signal or exit code. */
static void reason_of_end(struct api_pod_summary *s, const char *prefix, const cJSON *ended)
{
    const char *reason = json_string(ended, "reason", "");
    int64_t signal_number = json_integer(ended, "signal", 0);
    if (reason[0])
        (void)snprintf(s->reason, sizeof s->reason, "%s%s", prefix, reason);
    else if (signal_number)
        (void)snprintf(s->reason, sizeof s->reason, "%sSignal:%" PRId64, prefix, signal_number);
    else
        (void)snprintf(s->reason, sizeof s->reason, "%sExitCode:%" PRId64, prefix,
                       json_integer(ended, "exitCode", 0));
}

/* Returns whether an init container is still to be waited for. */
static bool look_at_init(const cJSON *pod, struct api_pod_summary *s)
{
    size_t index = 0;
    const cJSON *status;
    cJSON_ArrayForEach(status, json_find(pod, "status.initContainerStatuses"))
    {
        const cJSON *ended = json_find(status, "state.terminated");
        const char *waiting = json_string(status, "state.waiting.reason", "");
        count_restarts(s, status);
        if (ended && json_integer(ended, "exitCode", 0) == 0) {
            index++;
            continue;
        }
        if (ended)
            reason_of_end(s, "Init:", ended);
        else if (waiting[0] && strcmp(waiting, "PodInitializing") != 0)
            (void)snprintf(s->reason, sizeof s->reason, "Init:%s", waiting);
        else
            (void)snprintf(s->reason, sizeof s->reason, "Init:%zu/%zu", index,
                           json_size(pod, "spec.initContainers"));
        return true;
    }
    return false;
}

static void look_at_containers(const cJSON *pod, struct api_pod_summary *s)
{
    bool running = false;
    const cJSON *list = json_find(pod, "status.containerStatuses");
    /* Backwards, so that the first container's reason stands in the end. */
    for (int i = cJSON_GetArraySize(list) - 1; i >= 0; i--) {
        const cJSON *status = cJSON_GetArrayItem(list, i);
        const char *waiting = json_string(status, "state.waiting.reason", "");
        const cJSON *ended = json_find(status, "state.terminated");
        count_restarts(s, status);
        if (waiting[0])
            set_reason(s, waiting);
        else if (ended)
            reason_of_end(s, "", ended);
        else if (json_bool(status, "ready", false) && json_find(status, "state.running"))
            running = true;
        s->ready += json_bool(status, "ready", false) && json_find(status, "state.running") ? 1 : 0;
    }
    if (strcmp(s->reason, "Completed") == 0 && running)
        set_reason(s, "Running");
}

void api_pod_summarise(const cJSON *pod, struct api_pod_summary *ret)
{
    *ret = (struct api_pod_summary){.total = (int)json_size(pod, "spec.containers")};
    const char *reason = json_string(pod, "status.reason", "");
    set_reason(ret, reason[0] ? reason : json_string(pod, "status.phase", "Unknown"));
    bool initialising = look_at_init(pod, ret);
    if (!initialising)
        look_at_containers(pod, ret);
    if (json_find(pod, "metadata.deletionTimestamp"))
        set_reason(ret, strcmp(reason, "NodeLost") == 0 ? "Unknown" : "Terminating");
}
