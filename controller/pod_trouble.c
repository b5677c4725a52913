/* See pod_trouble.h. PURE. */
#include "controller/pod_trouble.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "controller/delivery.h"
#include "controller/pod_build.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

/* On the way: nothing is wrong (pkg/kubelet/kubelet_pods.go). */
static const char *const usual[] = {"", "ContainerCreating", "PodInitializing"};

static bool is_usual(const char *reason)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(usual); i++)
        if (strcmp(reason, usual[i]) == 0)
            return true;
    return false;
}

/* A condition's reason is one word of a certain form (metav1.Condition). */
static void set_reason(struct pod_trouble *t, const char *reason)
{
    bool fits = isalpha((unsigned char)reason[0]) && strlen(reason) < sizeof t->reason;
    for (const char *p = reason; *p; p++)
        fits = fits && isalnum((unsigned char)*p);
    (void)snprintf(t->reason, sizeof t->reason, "%s", fits ? reason : "Waiting");
}

/* Its own image is the platform's business, not the job's author's: it is named as such. */
static const char *what_is(const char *container)
{
    return strcmp(container, POD_BUILD_INIT) == 0 ? "mltrain's own init container" : "container";
}

/* The kubelet says it of the container that mounts the image, whose own image stands beside it. */
static void tell_waiting(const cJSON *pod, const cJSON *status, struct pod_trouble *ret)
{
    const cJSON *waiting = json_find(status, "state.waiting");
    const char *reason = json_string(waiting, "reason", "");
    const char *message = json_string(waiting, "message", "");
    const char *name = json_string(status, "name", "");
    const char *image = delivery_blamed_image(pod, message);
    if (image)
        (void)snprintf(ret->words, sizeof ret->words,
                       "mltrain's own image volume " DELIVERY_VOLUME " (image %s): %s: %s", image,
                       reason, message);
    else if (delivery_is_unknown(pod, message))
        (void)snprintf(ret->words, sizeof ret->words,
                       "the node's container runtime cannot mount an image, which brings mltrain's "
                       "launcher (--launcher-delivery initContainer does without): %s: %s",
                       reason, message);
    else
        (void)snprintf(ret->words, sizeof ret->words, "%s %s (image %s): %s%s%s", what_is(name),
                       name, json_string(status, "image", "?"), reason, *message ? ": " : "",
                       message);
}

static bool find_waiting(const cJSON *pod, const cJSON *statuses, struct pod_trouble *ret)
{
    const cJSON *status;
    cJSON_ArrayForEach(status, statuses)
    {
        const char *reason = json_string(status, "state.waiting.reason", "");
        if (is_usual(reason))
            continue;
        set_reason(ret, reason);
        tell_waiting(pod, status, ret);
        return true;
    }
    return false;
}

static bool find_unschedulable(const cJSON *pod, struct pod_trouble *ret)
{
    const cJSON *condition;
    cJSON_ArrayForEach(condition, json_find(pod, "status.conditions"))
    {
        if (strcmp(json_string(condition, "type", ""), "PodScheduled") != 0 ||
            strcmp(json_string(condition, "status", ""), "False") != 0)
            continue;
        set_reason(ret, json_string(condition, "reason", ""));
        (void)snprintf(ret->words, sizeof ret->words, "no node takes it: %s",
                       json_string(condition, "message", ""));
        return true;
    }
    return false;
}

bool pod_trouble_find(const cJSON *pod, struct pod_trouble *ret)
{
    return find_waiting(pod, json_find(pod, "status.initContainerStatuses"), ret) ||
           find_waiting(pod, json_find(pod, "status.containerStatuses"), ret) ||
           find_unschedulable(pod, ret);
}
