/* Carries out what pod_sync() decides, keeps what is known on disk, and asks again until nothing is
 * left to do now. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "localcluster/agent/addresses.h"
#include "localcluster/agent/internal.h"
#include "localcluster/agent/pod_folder.h"

struct pod_now agent_now(const struct agent *a)
{
    struct timespec wall;
    (void)a;
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    return (struct pod_now){.mono_ms = (int64_t)(uv_hrtime() / 1000000),
                            .wall_ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000};
}

void pod_save(struct pod *p)
{
    struct mlt_error err;
    if (pod_known_save(p->folder, &p->known, &err) < 0)
        mlt_log(MLT_LOG_ERROR, "pod=%s/%s: %s", p->known.namespace_, p->known.name, err.text);
}

static void timer_fired(uv_timer_t *timer);

static void fail(struct pod *p, const char *reason, const char *message)
{
    p->known.failing = true;
    (void)snprintf(p->known.reason, sizeof p->known.reason, "%s", reason);
    (void)snprintf(p->known.message, sizeof p->known.message, "%s", message);
    events_record(p->agent, p->spec, "Warning", reason, "%s", message);
    pod_save(p);
}

/* Pretended GPUs of a pod that was deleted by force are free at once; real ones only when its
 * processes are gone, which *ret_dying tells to be a matter of moments. */
static uint64_t taken_gpus(const struct agent *a, bool *ret_dying)
{
    uint64_t taken = 0;
    *ret_dying = false;
    for (const struct pod *p = a->pods; p; p = p->next) {
        if (p->known.finished || (p->known.gone && a->devices.pretended))
            continue;
        for (size_t i = 0; i < p->known.gpu_count; i++)
            taken |= UINT64_C(1) << p->known.gpus[i];
        *ret_dying = *ret_dying || (p->known.gone && p->known.gpu_count > 0);
    }
    return taken;
}

/* -EAGAIN: they will be free when pods that are being killed are gone. */
static int take_gpus(struct pod *p, struct mlt_error *err)
{
    int64_t count = pod_request(p->spec, NODE_GPU_RESOURCE);
    if (p->agent->devices.count == 0 || p->known.gpu_count > 0 || count <= 0)
        return 0; /* a node without GPUs does not look at the request, as the kubelet does not */
    bool dying;
    uint64_t taken = taken_gpus(p->agent, &dying);
    if (count > POD_GPUS_MAX ||
        !devices_pick((int64_t)p->agent->devices.count, taken, (size_t)count, p->known.gpus))
        return mlt_fail(err, dying ? EAGAIN : ENODEV, "no %lld free GPUs on this node",
                        (long long)count);
    p->known.gpu_count = (size_t)count;
    return 0;
}

static int make_sandbox(struct pod *p, struct mlt_error *err)
{
    int rc = take_gpus(p, err);
    if (rc == 0)
        rc = address_claim(p->agent->claims, p->spec->uid, p->folder, p->known.address, err);
    if (rc == 0)
        rc = shim_take(p, err);
    if (rc < 0)
        return rc;
    shim_boot_id(p->known.boot);
    p->known.sandbox = true;
    return 0;
}

/* Whether it was made or failed; a pod that waits for GPUs is asked again when another one is
 * removed. */
static bool create_sandbox(struct pod *p)
{
    struct mlt_error err;
    int rc = make_sandbox(p, &err);
    p->waits_for_gpus = rc == -EAGAIN;
    if (p->waits_for_gpus)
        return false;
    if (rc < 0)
        fail(p, "FailedCreatePodSandBox", err.text);
    pod_save(p);
    return true;
}

static void terminate(struct pod *p, int64_t kill_ms)
{
    if (!p->known.term_sent)
        events_record(p->agent, p->spec, "Normal", "Killing", "Stopping the pod's containers");
    p->known.term_sent = true;
    p->known.kill_ms = kill_ms;
    pod_save(p);
    if (p->shim)
        shim_channel_send(p->shim, shim_signal_to_json(NULL, SIGTERM));
}

static void kill_all(struct pod *p)
{
    p->known.term_sent = p->known.kill_sent = true;
    pod_save(p);
    if (p->shim)
        shim_channel_send(p->shim, shim_signal_to_json(NULL, SIGKILL));
}

/* Memory-backed folders of a pod that has ended would hold the machine's memory for nothing. */
static void give_memory_back(const char *uid)
{
    char memory[128];
    pod_memory_folder(uid, memory, sizeof memory);
    folder_remove(memory);
}

static void leave(struct pod *p)
{
    cJSON *message = cJSON_CreateObject();
    json_set_string(message, "do", "leave");
    if (p->shim)
        shim_channel_send(p->shim, message);
    else
        cJSON_Delete(message);
    shim_channel_close(p->shim);
    p->shim = NULL;
    p->known.sandbox = false;
    give_memory_back(p->spec->uid);
    pod_save(p);
}

static void remove_pod(struct pod *p)
{
    mlt_log(MLT_LOG_INFO, "pod removed pod=%s/%s uid=%s", p->spec->namespace_, p->spec->name,
            p->spec->uid);
    address_release(p->agent->claims, p->known.address, p->folder);
    give_memory_back(p->spec->uid);
    shim_forget_cgroups(p);
    folder_remove(p->folder);
    struct agent *a = p->agent;
    pod_free(p);
    for (struct pod *other = a->pods; other; other = other->next) {
        if (other->waits_for_gpus)
            (void)uv_timer_start(&other->timer, timer_fired, 0, 0);
    }
}

/* Returns whether the pod still exists and something has changed, so that it is worth asking again.
 */
static bool carry_out(struct pod *p, const struct pod_action *action)
{
    switch (action->kind) {
    case POD_ACTION_CREATE_SANDBOX:
        return create_sandbox(p);
    case POD_ACTION_START:
        if (!p->shim || !pod_objects_ready(p))
            return false;
        pod_start_container(p, action->index);
        return true;
    case POD_ACTION_FAIL:
        fail(p, action->reason, action->message);
        return true;
    case POD_ACTION_TERMINATE:
        terminate(p, action->at_ms);
        return true;
    case POD_ACTION_KILL:
        kill_all(p);
        return true;
    case POD_ACTION_LEAVE:
        leave(p);
        return true;
    case POD_ACTION_DELETE_OBJECT:
        pod_push_deletion(p);
        return false;
    case POD_ACTION_REMOVE:
        remove_pod(p);
        return false;
    case POD_ACTION_COUNT:
        break;
    }
    return false;
}

static void note_end(struct pod *p)
{
    enum pod_phase phase = pod_phase(p->spec, &p->known);
    if (p->known.finished || (phase != POD_SUCCEEDED && phase != POD_FAILED) ||
        pod_known_running(&p->known))
        return;
    p->known.finished = true;
    give_memory_back(p->spec->uid);
    pod_save(p);
}

static void timer_fired(uv_timer_t *timer)
{
    pod_step(timer->data);
}

static void set_timer(struct pod *p, int64_t wake_ms)
{
    int64_t now = agent_now(p->agent).mono_ms;
    if (p->push_after_ms > now && p->push_after_ms < wake_ms)
        wake_ms = p->push_after_ms;
    if (wake_ms == INT64_MAX)
        (void)uv_timer_stop(&p->timer);
    else
        (void)uv_timer_start(&p->timer, timer_fired,
                             wake_ms > now ? (uint64_t)(wake_ms - now) + 1 : 0, 0);
}

void pod_step(struct pod *p)
{
    struct pod_actions actions;
    if (p->removed || p->adopting || !p->listed)
        return; /* not all is known yet: nothing may be decided */
    bool again = true;
    actions.wake_ms = INT64_MAX;
    for (int step = 0; again && step < AGENT_STEPS_MAX; step++) {
        again = false;
        note_end(p);
        pod_sync(p->spec, &p->known, agent_now(p->agent), &actions);
        for (size_t i = 0; i < actions.count; i++) {
            again = carry_out(p, &actions.list[i]) || again;
            if (actions.list[i].kind == POD_ACTION_REMOVE)
                return;
        }
    }
    set_timer(p, actions.wake_ms);
    pod_push(p);
}
