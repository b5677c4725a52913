/* How knowledge of a pod changes with what the shim reports, and its form on disk. */
#include "localcluster/agent/pod_known.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/json/json.h"

#define KILLED_CODE 137

void pod_known_init(struct pod_known *known, const struct pod_spec *spec, int64_t wall_ms)
{
    *known = (struct pod_known){.start_ms = wall_ms, .container_count = spec->container_count};
    (void)snprintf(known->namespace_, sizeof known->namespace_, "%s", spec->namespace_);
    (void)snprintf(known->name, sizeof known->name, "%s", spec->name);
    (void)snprintf(known->uid, sizeof known->uid, "%s", spec->uid);
    for (size_t i = 0; i < spec->container_count; i++)
        (void)snprintf(known->containers[i].current.name, SHIM_NAME_MAX, "%s",
                       spec->containers[i].name);
}

bool pod_known_running(const struct pod_known *known)
{
    for (size_t i = 0; i < known->container_count; i++) {
        enum pod_container_state state = known->containers[i].state;
        if (state == POD_CONTAINER_STARTING || state == POD_CONTAINER_RUNNING)
            return true;
    }
    return false;
}

/* The first restart is immediate, the next ones wait longer and longer; a long run starts over. */
static void plan_retry(struct pod_container_known *c, int64_t mono_ms)
{
    int64_t ran = c->current.finished_ms - c->current.started_ms;
    if (ran >= POD_BACKOFF_RESET_MS)
        c->backoff_ms = 0;
    c->retry_ms = mono_ms + c->backoff_ms;
    c->backoff_ms = c->backoff_ms == 0 ? POD_BACKOFF_FIRST_MS : c->backoff_ms * 2;
    if (c->backoff_ms > POD_BACKOFF_MAX_MS)
        c->backoff_ms = POD_BACKOFF_MAX_MS;
}

bool pod_known_report(struct pod_known *known, const struct shim_report *report, int64_t mono_ms)
{
    for (size_t i = 0; i < known->container_count; i++) {
        struct pod_container_known *c = &known->containers[i];
        if (strcmp(c->current.name, report->name) != 0)
            continue;
        if (report->restart < c->restarts || c->state == POD_CONTAINER_TERMINATED)
            return false;
        enum pod_container_state state = report->state == SHIM_TERMINATED ? POD_CONTAINER_TERMINATED
                                         : report->state == SHIM_RUNNING  ? POD_CONTAINER_RUNNING
                                                                          : POD_CONTAINER_STARTING;
        bool changed = state != c->state;
        c->state = state;
        c->restarts = report->restart;
        c->current = *report;
        c->waiting_reason[0] = c->waiting_message[0] = '\0';
        if (changed && state == POD_CONTAINER_TERMINATED)
            plan_retry(c, mono_ms);
        return changed;
    }
    return false;
}

void pod_known_synced(struct pod_known *known, const bool *known_to_shim)
{
    for (size_t i = 0; i < known->container_count; i++) {
        struct pod_container_known *c = &known->containers[i];
        if (!known_to_shim[i] &&
            (c->state == POD_CONTAINER_STARTING || c->state == POD_CONTAINER_RUNNING))
            c->state = POD_CONTAINER_WAITING;
    }
}

static void ended(struct pod_container_known *c, int code, const char *why, int64_t wall_ms,
                  int64_t mono_ms)
{
    c->state = POD_CONTAINER_TERMINATED;
    c->current.state = SHIM_TERMINATED;
    c->current.restart = c->restarts;
    c->current.exit_code = code;
    c->current.finished_ms = wall_ms;
    if (c->current.started_ms == 0)
        c->current.started_ms = wall_ms;
    (void)snprintf(c->current.message, sizeof c->current.message, "%s", why);
    c->waiting_reason[0] = c->waiting_message[0] = '\0';
    plan_retry(c, mono_ms);
}

void pod_known_lost(struct pod_known *known, const char *why, int64_t wall_ms, int64_t mono_ms)
{
    known->sandbox = false;
    for (size_t i = 0; i < known->container_count; i++) {
        struct pod_container_known *c = &known->containers[i];
        if (c->state == POD_CONTAINER_STARTING || c->state == POD_CONTAINER_RUNNING) {
            ended(c, KILLED_CODE, why, wall_ms, mono_ms);
            c->current.signal = SIGKILL;
        }
    }
}

void pod_known_starting(struct pod_known *known, size_t i)
{
    struct pod_container_known *c = &known->containers[i];
    if (c->state == POD_CONTAINER_TERMINATED) {
        c->has_last = true;
        c->last = c->current;
        c->restarts++;
    }
    struct shim_report fresh = {.restart = c->restarts};
    (void)snprintf(fresh.name, sizeof fresh.name, "%s", c->current.name);
    c->current = fresh;
    c->state = POD_CONTAINER_STARTING;
    c->waiting_reason[0] = c->waiting_message[0] = '\0';
}

void pod_known_hold(struct pod_known *known, size_t i, const char *reason, const char *message,
                    int64_t mono_ms)
{
    struct pod_container_known *c = &known->containers[i];
    c->state = POD_CONTAINER_WAITING;
    (void)snprintf(c->waiting_reason, sizeof c->waiting_reason, "%s", reason);
    (void)snprintf(c->waiting_message, sizeof c->waiting_message, "%s", message);
    c->retry_ms = mono_ms + POD_CONFIG_RETRY_MS;
}

void pod_known_cannot_run(struct pod_known *known, size_t i, const char *message, int64_t wall_ms,
                          int64_t mono_ms)
{
    struct pod_container_known *c = &known->containers[i];
    ended(c, SHIM_START_ERROR_CODE, message, wall_ms, mono_ms);
    c->current.start_error = true;
}

/* ---- on disk ---- */

static const char *const state_names[] = {
    [POD_CONTAINER_WAITING] = "waiting",
    [POD_CONTAINER_STARTING] = "starting",
    [POD_CONTAINER_RUNNING] = "running",
    [POD_CONTAINER_TERMINATED] = "terminated",
};

static cJSON *container_to_json(const struct pod_container_known *c)
{
    cJSON *object = cJSON_CreateObject();
    json_set_string(object, "state", state_names[c->state]);
    json_set_integer(object, "restarts", c->restarts);
    json_set(object, "current", shim_report_to_json(&c->current));
    if (c->has_last)
        json_set(object, "last", shim_report_to_json(&c->last));
    json_set_string(object, "waitingReason", c->waiting_reason);
    json_set_string(object, "waitingMessage", c->waiting_message);
    json_set_integer(object, "retryMs", c->retry_ms);
    json_set_integer(object, "backoffMs", c->backoff_ms);
    return object;
}

cJSON *pod_known_to_json(const struct pod_known *k)
{
    cJSON *object = cJSON_CreateObject();
    json_set_string(object, "namespace", k->namespace_);
    json_set_string(object, "name", k->name);
    json_set_string(object, "uid", k->uid);
    json_set_string(object, "address", k->address);
    json_set_string(object, "boot", k->boot);
    json_set_bool(object, "failing", k->failing);
    json_set_string(object, "reason", k->reason);
    json_set_string(object, "message", k->message);
    json_set_bool(object, "finished", k->finished);
    json_set_bool(object, "foreign", k->foreign);
    json_set_bool(object, "sandbox", k->sandbox);
    json_set_bool(object, "termSent", k->term_sent);
    json_set_bool(object, "killSent", k->kill_sent);
    json_set_integer(object, "killMs", k->kill_ms);
    json_set_integer(object, "startMs", k->start_ms);
    json_set_integer(object, "shimPid", k->shim.pid);
    json_set_integer(object, "shimStartTicks", (int64_t)k->shim.start_ticks);
    cJSON *list = json_set_array(object, "containers");
    for (size_t i = 0; i < k->container_count; i++)
        json_append(list, container_to_json(&k->containers[i]));
    cJSON *gpus = json_set_array(object, "gpus");
    for (size_t i = 0; i < k->gpu_count; i++)
        json_append(gpus, cJSON_CreateNumber(k->gpus[i]));
    return object;
}

static int copy_text(const cJSON *object, const char *name, char *ret, size_t size,
                     struct mlt_error *err)
{
    const char *text = "";
    if (json_read_string(object, "", name, size - 1, &text, err) < 0)
        return -EINVAL;
    (void)snprintf(ret, size, "%s", text);
    return 0;
}

static int container_from_json(const cJSON *object, struct pod_container_known *c,
                               struct mlt_error *err)
{
    const char *state = json_string(object, "state", "");
    bool found = false;
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++) {
        if (strcmp(state_names[i], state) == 0) {
            c->state = (enum pod_container_state)i;
            found = true;
        }
    }
    if (!found)
        return mlt_fail(err, EINVAL, "state: `%s` is unknown", state);
    const cJSON *last = json_member(object, "last");
    c->has_last = last != NULL;
    if (shim_report_from_json(json_member(object, "current"), &c->current, err) < 0 ||
        (last && shim_report_from_json(last, &c->last, err) < 0) ||
        copy_text(object, "waitingReason", c->waiting_reason, sizeof c->waiting_reason, err) < 0 ||
        copy_text(object, "waitingMessage", c->waiting_message, sizeof c->waiting_message, err) <
            0 ||
        json_read_integer(object, "", "restarts", 0, INT_MAX, &c->restarts, err) < 0 ||
        json_read_integer(object, "", "retryMs", 0, INT64_MAX, &c->retry_ms, err) < 0 ||
        json_read_integer(object, "", "backoffMs", 0, POD_BACKOFF_MAX_MS, &c->backoff_ms, err) < 0)
        return -EINVAL;
    return 0;
}

static int lists_from_json(const cJSON *object, struct pod_known *k, struct mlt_error *err)
{
    const cJSON *containers = NULL, *gpus = NULL, *item;
    if (json_read_array(object, "", "containers", POD_CONTAINERS_MAX, &containers, err) < 0 ||
        json_read_array(object, "", "gpus", POD_GPUS_MAX, &gpus, err) < 0)
        return -EINVAL;
    cJSON_ArrayForEach(item, containers)
    {
        if (container_from_json(item, &k->containers[k->container_count++], err) < 0)
            return -EINVAL;
    }
    cJSON_ArrayForEach(item, gpus)
    {
        int64_t index;
        if (!json_is_integer(item, &index) || index < 0 || index >= POD_GPUS_MAX)
            return mlt_fail(err, EINVAL, "gpus: expected indexes below %d", POD_GPUS_MAX);
        k->gpus[k->gpu_count++] = (int)index;
    }
    return 0;
}

int pod_known_from_json(const cJSON *object, struct pod_known *ret, struct mlt_error *err)
{
    struct pod_known *k = mlt_calloc(1, sizeof *k);
    int64_t pid = 0, ticks = 0;
    int rc = -EINVAL;
    if (copy_text(object, "namespace", k->namespace_, sizeof k->namespace_, err) == 0 &&
        copy_text(object, "name", k->name, sizeof k->name, err) == 0 &&
        copy_text(object, "uid", k->uid, sizeof k->uid, err) == 0 &&
        copy_text(object, "address", k->address, sizeof k->address, err) == 0 &&
        copy_text(object, "boot", k->boot, sizeof k->boot, err) == 0 &&
        copy_text(object, "reason", k->reason, sizeof k->reason, err) == 0 &&
        copy_text(object, "message", k->message, sizeof k->message, err) == 0 &&
        json_read_bool(object, "", "failing", &k->failing, err) >= 0 &&
        json_read_bool(object, "", "finished", &k->finished, err) >= 0 &&
        json_read_bool(object, "", "foreign", &k->foreign, err) >= 0 &&
        json_read_bool(object, "", "sandbox", &k->sandbox, err) >= 0 &&
        json_read_bool(object, "", "termSent", &k->term_sent, err) >= 0 &&
        json_read_bool(object, "", "killSent", &k->kill_sent, err) >= 0 &&
        json_read_integer(object, "", "killMs", 0, INT64_MAX, &k->kill_ms, err) >= 0 &&
        json_read_integer(object, "", "startMs", 0, INT64_MAX, &k->start_ms, err) >= 0 &&
        json_read_integer(object, "", "shimPid", 0, INT_MAX, &pid, err) >= 0 &&
        json_read_integer(object, "", "shimStartTicks", 0, INT64_MAX, &ticks, err) >= 0)
        rc = lists_from_json(object, k, err);
    k->shim = (struct shim_process){(pid_t)pid, (uint64_t)ticks};
    if (rc == 0)
        *ret = *k;
    free(k);
    return rc;
}
