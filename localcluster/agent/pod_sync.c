/* Decides what a pod needs next. It looks only at its arguments, so it is tested as a table. */
#include "localcluster/agent/pod_sync.h"

#include <string.h>

#define SECOND_MS 1000

const char *pod_action_text(enum pod_action_kind kind)
{
    static const char *const texts[] = {
#define XX(name, text) [POD_ACTION_##name] = text,
        POD_ACTION_MAP(XX)
#undef XX
    };
    _Static_assert(sizeof texts / sizeof *texts == POD_ACTION_COUNT, "a text for each action");
    return texts[kind];
}

static struct pod_action *act(struct pod_actions *out, enum pod_action_kind kind)
{
    struct pod_action *a = &out->list[out->count++];
    *a = (struct pod_action){.kind = kind};
    return a;
}

static void wake_at(struct pod_actions *out, int64_t mono_ms)
{
    if (mono_ms < out->wake_ms)
        out->wake_ms = mono_ms;
}

bool pod_restarts(const struct pod_spec *spec, size_t index, const struct shim_report *ended)
{
    const struct pod_container *c = &spec->containers[index];
    if (c->restart_always)
        return true;
    bool failed = ended->exit_code != 0 || ended->start_error;
    if (c->init)
        return failed && spec->restart != POD_RESTART_NEVER;
    return spec->restart == POD_RESTART_ALWAYS ||
           (spec->restart == POD_RESTART_ON_FAILURE && failed);
}

/* ---- phase ---- */

static bool sidecar(const struct pod_spec *spec, size_t i)
{
    return spec->containers[i].restart_always;
}

/* Whether an init container has failed for good, or has not done its part yet. */
static void look_at_init(const struct pod_spec *spec, const struct pod_known *known,
                         bool *ret_failed, bool *ret_pending)
{
    *ret_failed = *ret_pending = false;
    for (size_t i = 0; i < spec->init_count; i++) {
        const struct pod_container_known *c = &known->containers[i];
        bool ended = c->state == POD_CONTAINER_TERMINATED;
        if (sidecar(spec, i))
            *ret_pending =
                *ret_pending || (!c->has_last && !ended && c->state != POD_CONTAINER_RUNNING);
        else if (ended && c->current.exit_code != 0 && !pod_restarts(spec, i, &c->current))
            *ret_failed = true;
        else if (!ended || c->current.exit_code != 0)
            *ret_pending = true;
    }
}

struct tally {
    size_t running, waiting, stopped, failed;
};

static struct tally count_containers(const struct pod_spec *spec, const struct pod_known *known)
{
    struct tally t = {0};
    for (size_t i = spec->init_count; i < spec->container_count; i++) {
        const struct pod_container_known *c = &known->containers[i];
        if (c->state == POD_CONTAINER_RUNNING) {
            t.running++;
        } else if (c->state == POD_CONTAINER_TERMINATED || c->has_last) {
            const struct shim_report *end =
                c->state == POD_CONTAINER_TERMINATED ? &c->current : &c->last;
            t.stopped++;
            t.failed += end->exit_code != 0;
        } else {
            t.waiting++;
        }
    }
    return t;
}

enum pod_phase pod_phase(const struct pod_spec *spec, const struct pod_known *known)
{
    bool init_failed, init_pending;
    look_at_init(spec, known, &init_failed, &init_pending);
    struct tally t = count_containers(spec, known);
    bool running = pod_known_running(known);
    if (known->failing && !running)
        return POD_FAILED;
    if ((spec->deleting || known->gone) && !running) /* as the kubelet since 1.27 */
        return t.failed > 0 || t.waiting > 0 || init_failed ? POD_FAILED : POD_SUCCEEDED;
    if (init_failed)
        return POD_FAILED;
    if (init_pending || t.waiting > 0)
        return POD_PENDING;
    if (t.running > 0)
        return POD_RUNNING;
    for (size_t i = spec->init_count; i < spec->container_count; i++) {
        const struct pod_container_known *c = &known->containers[i];
        if (c->state != POD_CONTAINER_TERMINATED || pod_restarts(spec, i, &c->current))
            return POD_RUNNING;
    }
    if (running) /* sidecars, which are ended next */
        return POD_RUNNING;
    return t.failed > 0 ? POD_FAILED : POD_SUCCEEDED;
}

/* ---- decisions ---- */

/* Starts a container that waits or has to be started again, once its time has come. */
static void start_when_due(const struct pod_known *known, size_t i, struct pod_now now,
                           struct pod_actions *out)
{
    if (known->containers[i].retry_ms > now.mono_ms)
        wake_at(out, known->containers[i].retry_ms);
    else
        act(out, POD_ACTION_START)->index = i;
}

/* Returns whether the containers behind this init container may go on. */
static bool pass_init(const struct pod_spec *spec, const struct pod_known *known, size_t i,
                      struct pod_now now, struct pod_actions *out)
{
    const struct pod_container_known *c = &known->containers[i];
    switch (c->state) {
    case POD_CONTAINER_STARTING:
        return false;
    case POD_CONTAINER_RUNNING:
        return sidecar(spec, i);
    case POD_CONTAINER_WAITING:
        start_when_due(known, i, now, out);
        return sidecar(spec, i) && c->has_last;
    case POD_CONTAINER_TERMINATED:
        if (pod_restarts(spec, i, &c->current)) {
            start_when_due(known, i, now, out);
            return sidecar(spec, i);
        }
        return c->current.exit_code == 0;
    }
    return false;
}

static void go_on(const struct pod_spec *spec, const struct pod_known *known, struct pod_now now,
                  struct pod_actions *out)
{
    for (size_t i = 0; i < spec->init_count; i++) {
        if (!pass_init(spec, known, i, now, out))
            return;
    }
    for (size_t i = spec->init_count; i < spec->container_count; i++) {
        const struct pod_container_known *c = &known->containers[i];
        if (c->state == POD_CONTAINER_WAITING ||
            (c->state == POD_CONTAINER_TERMINATED && pod_restarts(spec, i, &c->current)))
            start_when_due(known, i, now, out);
    }
}

static int64_t grace_ms(const struct pod_spec *spec, const struct pod_known *known)
{
    int64_t grace = spec->grace_seconds * SECOND_MS;
    if (spec->deleting)
        grace = spec->deletion_grace_seconds * SECOND_MS;
    if (known->gone && grace > POD_GONE_GRACE_MS)
        grace = POD_GONE_GRACE_MS;
    return grace;
}

/* SIGTERM, then SIGKILL when the grace is over. A deletion that is repeated with a shorter grace
 * shortens what is left. */
static void stop(const struct pod_spec *spec, const struct pod_known *known, struct pod_now now,
                 struct pod_actions *out)
{
    int64_t kill_ms = now.mono_ms + grace_ms(spec, known);
    if (known->term_sent && known->kill_ms < kill_ms)
        kill_ms = known->kill_ms;
    if (kill_ms <= now.mono_ms) {
        if (!known->kill_sent)
            act(out, POD_ACTION_KILL);
        return;
    }
    if (!known->term_sent || kill_ms < known->kill_ms)
        act(out, POD_ACTION_TERMINATE)->at_ms = kill_ms;
    wake_at(out, kill_ms);
}

static bool deadline_passed(const struct pod_spec *spec, const struct pod_known *known,
                            struct pod_now now, struct pod_actions *out)
{
    if (spec->active_deadline_seconds == 0 || known->failing)
        return false;
    int64_t left = known->start_ms + spec->active_deadline_seconds * SECOND_MS - now.wall_ms;
    if (left > 0)
        wake_at(out, now.mono_ms + left);
    return left <= 0;
}

/* Containers of the main kind have all ended for good; only sidecars are left. */
static bool only_sidecars_left(const struct pod_spec *spec, const struct pod_known *known)
{
    for (size_t i = spec->init_count; i < spec->container_count; i++) {
        const struct pod_container_known *c = &known->containers[i];
        if (c->state != POD_CONTAINER_TERMINATED || pod_restarts(spec, i, &c->current))
            return false;
    }
    return true;
}

static void end_of_pod(const struct pod_spec *spec, const struct pod_known *known,
                       struct pod_actions *out)
{
    if (known->sandbox)
        act(out, POD_ACTION_LEAVE);
    if (known->gone)
        act(out, POD_ACTION_REMOVE);
    else if (spec->deleting)
        act(out, POD_ACTION_DELETE_OBJECT);
}

void pod_sync(const struct pod_spec *spec, const struct pod_known *known, struct pod_now now,
              struct pod_actions *ret)
{
    ret->count = 0;
    ret->wake_ms = INT64_MAX;
    enum pod_phase phase = pod_phase(spec, known);
    bool over = known->finished || phase == POD_SUCCEEDED || phase == POD_FAILED;
    if (!over && deadline_passed(spec, known, now, ret)) {
        struct pod_action *fail = act(ret, POD_ACTION_FAIL);
        fail->reason = "DeadlineExceeded";
        fail->message = "Pod was active on the node longer than the specified deadline";
        return; /* what follows is decided with that known */
    }
    bool ending = over || spec->deleting || known->gone || known->failing;
    bool running = pod_known_running(known);
    if (ending && running)
        stop(spec, known, now, ret);
    else if (ending)
        end_of_pod(spec, known, ret);
    else if (running && only_sidecars_left(spec, known))
        stop(spec, known, now, ret);
    else if (!known->sandbox)
        act(ret, POD_ACTION_CREATE_SANDBOX);
    else
        go_on(spec, known, now, ret);
}
