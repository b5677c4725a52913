/* Forms status.phase, conditions and container statuses from what is known. */
#include "localcluster/agent/pod_status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/clock_text.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

#define CONDITION_REASON_MAX 64

static const char *const phase_names[] = {
    [POD_PENDING] = "Pending",
    [POD_RUNNING] = "Running",
    [POD_SUCCEEDED] = "Succeeded",
    [POD_FAILED] = "Failed",
};

const char *pod_end_reason(const struct shim_report *report)
{
    if (report->start_error)
        return "StartError";
    if (report->out_of_memory && report->exit_code != 0)
        return "OOMKilled";
    return report->exit_code == 0 ? "Completed" : "Error";
}

static void set_time(cJSON *object, const char *name, int64_t wall_ms)
{
    char text[MLT_TIME_TEXT_MAX];
    mlt_time_format(wall_ms, text);
    json_set_string(object, name, text);
}

/* ---- containers ---- */

static void set_container_id(cJSON *object, const struct pod_spec *spec,
                             const struct shim_report *r)
{
    char id[256];
    (void)snprintf(id, sizeof id, "mltrain://%s/%s/%" PRId64, spec->uid, r->name, r->restart);
    json_set_string(object, "containerID", id);
}

static cJSON *terminated(const struct pod_spec *spec, const struct shim_report *r)
{
    cJSON *state = cJSON_CreateObject();
    cJSON *end = json_set_object(state, "terminated");
    json_set_integer(end, "exitCode", r->exit_code);
    if (r->signal > 0)
        json_set_integer(end, "signal", r->signal);
    json_set_string(end, "reason", pod_end_reason(r));
    if (r->message[0] != '\0')
        json_set_string(end, "message", r->message);
    set_time(end, "startedAt", r->started_ms);
    set_time(end, "finishedAt", r->finished_ms);
    set_container_id(end, spec, r);
    return state;
}

static cJSON *waiting(const char *reason, const char *message)
{
    cJSON *state = cJSON_CreateObject();
    cJSON *wait = json_set_object(state, "waiting");
    json_set_string(wait, "reason", reason);
    if (message && *message)
        json_set_string(wait, "message", message);
    return state;
}

static cJSON *running(const struct shim_report *r)
{
    cJSON *state = cJSON_CreateObject();
    set_time(json_set_object(state, "running"), "startedAt", r->started_ms);
    return state;
}

static bool backing_off(const struct pod_spec *spec, const struct pod_known *known, size_t i,
                        struct pod_now now)
{
    const struct pod_container_known *c = &known->containers[i];
    return c->state == POD_CONTAINER_TERMINATED && c->retry_ms > now.mono_ms && !known->failing &&
           !spec->deleting && !known->finished && pod_restarts(spec, i, &c->current);
}

static cJSON *back_off(const struct pod_spec *spec, const struct pod_container_known *c)
{
    char text[512];
    int64_t delay_ms =
        c->backoff_ms > POD_BACKOFF_FIRST_MS ? c->backoff_ms / 2 : POD_BACKOFF_FIRST_MS;
    (void)snprintf(text, sizeof text,
                   "back-off %" PRId64 "s restarting failed container=%s pod=%s_%s(%s)",
                   delay_ms / 1000, c->current.name, spec->name, spec->namespace_, spec->uid);
    return waiting("CrashLoopBackOff", text);
}

static cJSON *container_state(const struct pod_spec *spec, const struct pod_known *known, size_t i,
                              bool initialized, struct pod_now now)
{
    const struct pod_container_known *c = &known->containers[i];
    if (backing_off(spec, known, i, now))
        return back_off(spec, c);
    switch (c->state) {
    case POD_CONTAINER_RUNNING:
        return running(&c->current);
    case POD_CONTAINER_TERMINATED:
        return terminated(spec, &c->current);
    case POD_CONTAINER_WAITING:
        if (c->waiting_reason[0] != '\0')
            return waiting(c->waiting_reason, c->waiting_message);
        break;
    case POD_CONTAINER_STARTING:
        break;
    }
    return waiting(initialized || c->state == POD_CONTAINER_STARTING ? "ContainerCreating"
                                                                     : "PodInitializing",
                   NULL);
}

static bool container_ready(const struct pod_spec *spec, const struct pod_container_known *c,
                            size_t i)
{
    const struct pod_container *container = &spec->containers[i];
    if (container->init && !container->restart_always)
        return c->state == POD_CONTAINER_TERMINATED && c->current.exit_code == 0;
    return c->state == POD_CONTAINER_RUNNING;
}

static cJSON *container_status(const struct pod_spec *spec, const struct pod_known *known, size_t i,
                               bool initialized, struct pod_now now)
{
    const struct pod_container_known *c = &known->containers[i];
    bool off = backing_off(spec, known, i, now);
    cJSON *status = cJSON_CreateObject();
    json_set_string(status, "name", spec->containers[i].name);
    json_set(status, "state", container_state(spec, known, i, initialized, now));
    if (off || c->has_last)
        json_set(status, "lastState", terminated(spec, off ? &c->current : &c->last));
    else
        (void)json_set_object(status, "lastState");
    json_set_bool(status, "ready", container_ready(spec, c, i));
    json_set_bool(status, "started", c->state == POD_CONTAINER_RUNNING);
    json_set_integer(status, "restartCount", c->restarts);
    json_set_string(status, "image", spec->containers[i].image);
    json_set_string(status, "imageID", POD_IMAGE_ID);
    if (c->state == POD_CONTAINER_RUNNING || c->state == POD_CONTAINER_TERMINATED)
        set_container_id(status, spec, &c->current);
    return status;
}

/* ---- conditions ---- */

struct condition {
    const char *type;
    bool is_true;
    const char *reason;
    const char *message;
};

static const cJSON *condition_before(const cJSON *before, const char *type)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, json_member(before, "conditions"))
    {
        if (strcmp(json_string(item, "type", ""), type) == 0)
            return item;
    }
    return NULL;
}

static void add_condition(cJSON *list, const struct condition *c, const cJSON *before,
                          struct pod_now now)
{
    const cJSON *old = condition_before(before, c->type);
    const char *status = c->is_true ? "True" : "False";
    const char *since = json_string(old, "lastTransitionTime", NULL);
    cJSON *condition = cJSON_CreateObject();
    json_set_string(condition, "type", c->type);
    json_set_string(condition, "status", status);
    json_set_null(condition, "lastProbeTime");
    if (since && strcmp(json_string(old, "status", ""), status) == 0)
        json_set_string(condition, "lastTransitionTime", since);
    else
        set_time(condition, "lastTransitionTime", now.wall_ms);
    if (c->reason)
        json_set_string(condition, "reason", c->reason);
    if (c->message && *c->message)
        json_set_string(condition, "message", c->message);
    json_append(list, condition);
}

/* "containers with unready status: [a b]" */
static void unready_names(const struct pod_spec *spec, const struct pod_known *known, bool init,
                          struct mlt_text *out)
{
    size_t from = init ? 0 : spec->init_count, to = init ? spec->init_count : spec->container_count;
    for (size_t i = from; i < to; i++) {
        if (!container_ready(spec, &known->containers[i], i))
            mlt_text_printf(out, "%s%s", out->length ? " " : "", spec->containers[i].name);
    }
}

static void describe_readiness(const struct pod_spec *spec, const struct pod_known *known,
                               enum pod_phase phase, struct condition *ready, char *text,
                               size_t size)
{
    struct mlt_text names = MLT_TEXT_INIT(4096);
    unready_names(spec, known, false, &names);
    *ready = (struct condition){.is_true = names.length == 0 && phase == POD_RUNNING};
    if (phase == POD_SUCCEEDED || phase == POD_FAILED) {
        ready->reason = phase == POD_SUCCEEDED ? "PodCompleted" : "PodFailed";
    } else if (!ready->is_true) {
        ready->reason = "ContainersNotReady";
        (void)snprintf(text, size, "containers with unready status: [%s]", mlt_text_string(&names));
        ready->message = text;
    }
    mlt_text_release(&names);
}

static bool owned_condition(const char *type)
{
    static const char *const ours[] = {"PodReadyToStartContainers", "Initialized", "Ready",
                                       "ContainersReady", "PodScheduled"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (strcmp(ours[i], type) == 0)
            return true;
    }
    return false;
}

static cJSON *conditions(const struct pod_spec *spec, const struct pod_known *known,
                         const cJSON *before, bool initialized, enum pod_phase phase,
                         struct pod_now now)
{
    cJSON *list = cJSON_CreateArray();
    char unready[4200] = "", uninitialized[4200] = "";
    struct condition ready, init = {.type = "Initialized", .is_true = initialized};
    struct mlt_text names = MLT_TEXT_INIT(4096);
    unready_names(spec, known, true, &names);
    if (initialized && phase == POD_SUCCEEDED) {
        init.reason = "PodCompleted";
    } else if (!initialized) {
        init.reason = "ContainersNotInitialized";
        (void)snprintf(uninitialized, sizeof uninitialized,
                       "containers with incomplete status: [%s]", mlt_text_string(&names));
        init.message = uninitialized;
    }
    mlt_text_release(&names);
    describe_readiness(spec, known, phase, &ready, unready, sizeof unready);
    struct condition sandbox = {.type = "PodReadyToStartContainers", .is_true = known->sandbox};
    struct condition scheduled = {.type = "PodScheduled", .is_true = true};
    add_condition(list, &sandbox, before, now);
    add_condition(list, &init, before, now);
    ready.type = "Ready";
    add_condition(list, &ready, before, now);
    ready.type = "ContainersReady";
    add_condition(list, &ready, before, now);
    add_condition(list, &scheduled, before, now);
    const cJSON *item;
    cJSON_ArrayForEach(item, json_member(before, "conditions"))
    {
        if (!owned_condition(json_string(item, "type", "")))
            json_append(list, json_copy(item));
    }
    return list;
}

/* ---- all of it ---- */

static bool init_done(const struct pod_spec *spec, const struct pod_known *known)
{
    for (size_t i = 0; i < spec->init_count; i++) {
        const struct pod_container_known *c = &known->containers[i];
        bool sidecar = spec->containers[i].restart_always;
        bool ended_well = c->state == POD_CONTAINER_TERMINATED && c->current.exit_code == 0;
        bool up = sidecar && (c->state == POD_CONTAINER_RUNNING || c->has_last);
        if (!ended_well && !up)
            return false;
    }
    return true;
}

static void set_addresses(cJSON *status, const char *one, const char *many, const char *address,
                          const char *member)
{
    if (!address || *address == '\0')
        return;
    json_set_string(status, one, address);
    cJSON *entry = cJSON_CreateObject();
    json_set_string(entry, member, address);
    json_append(json_set_array(status, many), entry);
}

cJSON *pod_status_build(const struct pod_spec *spec, const struct pod_known *known,
                        const cJSON *before, const char *host_ip, struct pod_now now)
{
    enum pod_phase phase = pod_phase(spec, known);
    bool initialized = init_done(spec, known);
    cJSON *status = cJSON_CreateObject();
    json_set_string(status, "phase", phase_names[phase]);
    if (known->failing) {
        json_set_string(status, "reason", known->reason);
        json_set_string(status, "message", known->message);
    }
    json_set(status, "conditions", conditions(spec, known, before, initialized, phase, now));
    set_addresses(status, "hostIP", "hostIPs", host_ip, "ip");
    set_addresses(status, "podIP", "podIPs", known->address, "ip");
    set_time(status, "startTime", known->start_ms);
    json_set_string(status, "qosClass", pod_qos_class(spec));
    if (spec->init_count > 0) {
        cJSON *list = json_set_array(status, "initContainerStatuses");
        for (size_t i = 0; i < spec->init_count; i++)
            json_append(list, container_status(spec, known, i, true, now));
    }
    cJSON *list = json_set_array(status, "containerStatuses");
    for (size_t i = spec->init_count; i < spec->container_count; i++)
        json_append(list, container_status(spec, known, i, initialized, now));
    return status;
}
