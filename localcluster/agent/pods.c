/* The table of pods of this node: adopted from disk, kept up to date by a reflector. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"
#include "localcluster/agent/internal.h"
#include "localcluster/agent/pod_folder.h"

#define MERGE_PATCH "application/merge-patch+json"
#define PUSH_BACKOFF_FIRST_MS 100
#define PUSH_BACKOFF_MAX_MS 5000
#define ADOPT_TRIES 50
#define ADOPT_WAIT_MS 10

/* ---- one entry ---- */

struct pod *pod_new(struct agent *a, struct pod_spec *spec)
{
    struct pod *p = mlt_calloc(1, sizeof *p);
    p->agent = a;
    p->spec = spec;
    p->push_backoff =
        (struct kube_backoff)KUBE_BACKOFF_INIT(PUSH_BACKOFF_FIRST_MS, PUSH_BACKOFF_MAX_MS);
    (void)snprintf(p->folder, sizeof p->folder, "%.3900s/pods/%s", a->node_dir, spec->uid);
    (void)uv_timer_init(&a->loop, &p->timer);
    p->timer.data = p;
    p->next = a->pods;
    a->pods = p;
    return p;
}

static void pod_closed(uv_handle_t *handle)
{
    struct pod *p = handle->data;
    pod_spec_free(p->spec);
    cJSON_Delete(p->pushed);
    cJSON_Delete(p->pushing);
    free(p);
}

void pod_free(struct pod *p)
{
    for (struct pod **at = &p->agent->pods; *at; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            break;
        }
    }
    p->removed = true;
    api_cancel(p->push);
    p->push = NULL;
    pod_objects_release(p);
    shim_channel_close(p->shim);
    p->shim = NULL;
    uv_close((uv_handle_t *)&p->timer, pod_closed);
}

static struct pod *find_uid(const struct agent *a, const char *uid)
{
    struct pod *p = a->pods;
    while (p && strcmp(p->spec->uid, uid) != 0)
        p = p->next;
    return p;
}

/* ---- adoption ---- */

/* A shim that was forked just before the last agent ended may not listen yet: giving it up now
 * could run a container twice. It is waited for as long as it may still be on its way. */
static bool connect_to_shim(struct pod *p)
{
    struct timespec wait = {.tv_nsec = ADOPT_WAIT_MS * 1000000L};
    struct mlt_error err;
    for (int i = 0; i < ADOPT_TRIES; i++) {
        if (shim_adopt(p, &err) == 0)
            return true;
        if (p->known.shim.pid > 0 && !shim_process_alive(&p->known.shim))
            break;
        (void)nanosleep(&wait, NULL);
    }
    mlt_log(MLT_LOG_WARNING, "pod=%s/%s: %s", p->known.namespace_, p->known.name, err.text);
    return false;
}

static void adopt_shim(struct pod *p)
{
    char boot[SHIM_BOOT_ID_MAX];
    shim_boot_id(boot);
    if (!p->known.sandbox)
        return;
    bool same_boot = strcmp(boot, p->known.boot) == 0;
    if (same_boot && connect_to_shim(p))
        return;
    /* A shim that lives and does not answer must not run beside a new one. */
    if (same_boot)
        (void)shim_process_signal(&p->known.shim, SIGKILL);
    struct pod_now now = agent_now(p->agent);
    shim_reports_from_file(p);
    if (same_boot)
        shim_kill_strays(p);
    pod_known_lost(&p->known,
                   same_boot ? "the pod's shim ended while no agent was running"
                             : "the machine was started again while the container ran",
                   now.wall_ms, now.mono_ms);
    pod_save(p);
}

static int adopt_one(struct agent *a, const char *folder, struct mlt_error *err)
{
    char path[PATH_MAX];
    cJSON *object = NULL;
    struct pod_spec *spec = NULL;
    (void)snprintf(path, sizeof path, "%.4000s/object.json", folder);
    int rc = file_read_json(path, &object, err);
    if (rc < 0)
        return rc;
    rc = pod_spec_read(object, &spec, err);
    if (rc < 0) {
        cJSON_Delete(object);
        return rc;
    }
    struct pod *p = pod_new(a, spec);
    rc = pod_known_load(folder, &p->known, err);
    if (rc == 0 && p->known.container_count != spec->container_count)
        rc = mlt_fail(err, EINVAL, "%s: the number of containers does not match", folder);
    if (rc < 0) {
        pod_free(p);
        return rc;
    }
    p->volumes_made = false; /* made again where they are missing */
    mlt_log(MLT_LOG_INFO, "adopting pod=%s/%s uid=%s", spec->namespace_, spec->name, spec->uid);
    adopt_shim(p);
    return 0;
}

/* A folder that cannot be read belongs to a pod whose creation was cut short, or was damaged:
 * whatever still runs there is told to leave, and the pod is made again if its object exists. */
static void discard(const char *folder)
{
    static const char leave[] = "{\"do\":\"leave\"}\n";
    cleanup_close int fd = shim_connect(folder, NULL);
    if (fd >= 0)
        (void)!write(fd, leave, sizeof leave - 1);
    folder_remove(folder);
}

void pods_adopt(struct agent *a)
{
    char pods[PATH_MAX], folder[PATH_MAX];
    struct mlt_error err;
    (void)snprintf(pods, sizeof pods, "%.3900s/pods", a->node_dir);
    DIR *dir = opendir(pods);
    if (!dir)
        return;
    const struct dirent *entry;
    for (entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(folder, sizeof folder, "%.3800s/%.255s", pods, entry->d_name);
        if (adopt_one(a, folder, &err) < 0) {
            mlt_log(MLT_LOG_WARNING, "pod folder discarded folder=%s: %s", folder, err.text);
            discard(folder);
        }
    }
    (void)closedir(dir);
}

/* ---- new pods ---- */

static void fail_now(struct pod *p, const char *reason, const char *message)
{
    p->known.failing = true;
    (void)snprintf(p->known.reason, sizeof p->known.reason, "%s", reason);
    (void)snprintf(p->known.message, sizeof p->known.message, "%s", message);
    events_record(p->agent, p->spec, "Warning", reason, "%s", message);
}

static void admit(struct pod *p)
{
    struct node_resources used = {0};
    char reason[POD_REASON_MAX], message[POD_MESSAGE_MAX];
    for (const struct pod *other = p->agent->pods; other; other = other->next) {
        /* A pod deleted by force is being killed: the kubelet does not count it any more either. */
        if (other != p && !other->known.finished && !other->known.failing && !other->known.gone)
            node_resources_add(&used, other->spec);
    }
    if (!pod_admit(p->spec, &p->agent->allocatable, &used, reason, sizeof reason, message,
                   sizeof message))
        fail_now(p, reason, message);
}

/* A pod whose status says that it ran, of which nothing is on disk: it cannot be running here. */
static bool ran_before(const cJSON *object)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, json_find(object, "status.containerStatuses"))
    {
        if (json_find(item, "state.running") || json_find(item, "state.terminated"))
            return true;
    }
    return false;
}

/* The pods of one job are alike: one event names for all of them what is not acted on. */
static bool told_owner(struct agent *a, const char *owner)
{
    for (size_t i = 0; *owner && i < AGENT_OWNERS_TOLD; i++) {
        if (strcmp(a->owners_told[i], owner) == 0)
            return true;
    }
    (void)snprintf(a->owners_told[a->owners_next], POD_UID_MAX, "%s", owner);
    a->owners_next = (a->owners_next + 1) % AGENT_OWNERS_TOLD;
    return false;
}

static void mention(struct pod *p)
{
    struct agent *a = p->agent;
    if (p->known.failing)
        return;
    if (!a->image_told)
        events_record(
            a, p->spec, "Normal", "HostImage",
            "The host's file system, read-only, is the image of every container on this node");
    a->image_told = true;
    if (p->spec->ignored[0] != '\0' && !told_owner(a, p->spec->owner_uid))
        events_record(a, p->spec, "Warning", "FieldsIgnored",
                      "This node's agent does not act on: %s", p->spec->ignored);
}

static int write_folder(struct pod *p, struct mlt_error *err)
{
    char path[PATH_MAX];
    int rc = folder_make(p->folder, 0700, err);
    (void)snprintf(path, sizeof path, "%.4000s/object.json", p->folder);
    if (rc == 0)
        rc = file_write_json(path, p->spec->object, err);
    return rc == 0 ? pod_known_save(p->folder, &p->known, err) : rc;
}

static struct pod *add_pod(struct agent *a, struct pod_spec *spec)
{
    struct mlt_error err;
    struct pod_now now = agent_now(a);
    struct pod *p = pod_new(a, spec);
    const char *phase = json_string(spec->object, "status.phase", "");
    pod_known_init(&p->known, spec, now.wall_ms);
    if (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0) {
        p->known.finished = p->known.failing = p->known.foreign = true;
    } else if (spec->deleting) {
        p->known.failing = true; /* never started here: nothing but its object is left to remove */
    } else if (ran_before(spec->object)) {
        fail_now(p, "PodLost",
                 "this node's agent has no record of the pod that its status describes");
    } else {
        admit(p);
    }
    mention(p);
    if (write_folder(p, &err) < 0)
        fail_now(p, "FailedCreatePodSandBox", err.text);
    return p;
}

/* ---- pods that cannot be read ---- */

static void rejected(void *arg, int status, const char *body, size_t length)
{
    (void)arg;
    (void)length;
    if (status < 200 || status > 299)
        mlt_log(MLT_LOG_WARNING, "cannot reject a pod status=%d: %.200s", status, body);
}

/* A pod that this agent cannot act on at all fails with the reason, and goes when it is deleted. */
static void reject(struct agent *a, const cJSON *object, const char *why)
{
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    bool deleting = json_find(object, "metadata.deletionTimestamp") != NULL;
    cleanup_json cJSON *body = cJSON_CreateObject();
    kube_path(&path, KUBE_POD, json_string(object, "metadata.namespace", ""),
              json_string(object, "metadata.name", ""), deleting ? NULL : "status", NULL);
    if (deleting) {
        json_set_integer(body, "gracePeriodSeconds", 0);
        (void)api_send(a, "DELETE", mlt_text_string(&path), NULL, body, rejected, NULL);
    } else if (strcmp(json_string(object, "status.phase", ""), "Failed") != 0) {
        json_set_string(body, "status.phase", "Failed");
        json_set_string(body, "status.reason", "InvalidPod");
        json_set_string(body, "status.message", why);
        (void)api_send(a, "PATCH", mlt_text_string(&path), MERGE_PATCH, body, rejected, NULL);
    }
    mlt_text_release(&path);
}

/* ---- what the reflector says ---- */

static void replace_spec(struct pod *p, struct pod_spec *spec)
{
    pod_spec_free(p->spec);
    p->spec = spec;
}

static struct pod *upsert(struct agent *a, const cJSON *object)
{
    struct mlt_error err;
    struct pod_spec *spec = NULL;
    cJSON *copy = json_copy(object);
    struct pod *p = find_uid(a, json_string(object, "metadata.uid", ""));
    if (pod_spec_read(copy, &spec, &err) < 0) {
        cJSON_Delete(copy);
        mlt_log(MLT_LOG_WARNING, "pod=%s/%s: %s", json_string(object, "metadata.namespace", ""),
                json_string(object, "metadata.name", ""), err.text);
        if (!p)
            reject(a, object, err.text);
        return p;
    }
    for (struct pod *other = a->pods; other; other = other->next) {
        if (other != p && strcmp(other->spec->name, spec->name) == 0 &&
            strcmp(other->spec->namespace_, spec->namespace_) == 0)
            other->known.gone = true; /* the name belongs to another pod now */
    }
    if (p && p->known.container_count == spec->container_count)
        replace_spec(p, spec);
    else if (p)
        pod_spec_free(spec);
    else
        p = add_pod(a, spec);
    p->listed = p->seen = true;
    return p;
}

static void step_all(struct agent *a)
{
    for (struct pod *p = a->pods, *next = NULL; p; p = next) {
        next = p->next;
        pod_step(p);
    }
}

/* A list may be cut in the middle: pods go on meanwhile, and only a whole list says who is gone. */
static void list_begin(void *arg)
{
    struct agent *a = arg;
    for (struct pod *p = a->pods; p; p = p->next)
        p->seen = false;
}

static void listed(void *arg, const cJSON *object)
{
    (void)upsert(arg, object);
}

static void list_done(void *arg)
{
    struct agent *a = arg;
    for (struct pod *p = a->pods; p; p = p->next) {
        if (!p->seen)
            p->known.gone = true;
        p->listed = true;
    }
    step_all(a);
    node_ready_when_synced(a);
}

static void changed(void *arg, const cJSON *object)
{
    struct agent *a = arg;
    size_t before = 0, after = 0;
    for (const struct pod *p = a->pods; p; p = p->next)
        before += p->known.gone;
    struct pod *p = upsert(a, object);
    for (const struct pod *q = a->pods; q; q = q->next)
        after += q->known.gone;
    if (after > before)
        step_all(a);
    else if (p)
        pod_step(p);
}

static void deleted(void *arg, const cJSON *object)
{
    struct pod *p = find_uid(arg, json_string(object, "metadata.uid", ""));
    if (!p)
        return;
    p->known.gone = p->listed = true;
    pod_step(p);
}

static const struct kube_reflector_ops reflector_ops = {
    .list_begin = list_begin,
    .listed = listed,
    .list_done = list_done,
    .changed = changed,
    .deleted = deleted,
};

/* ---- the reflector's requests ---- */

static void drive(struct agent *a);

static int64_t mono_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

static void on_status(void *arg, int http_status, int64_t retry_after_ms)
{
    struct agent *a = arg;
    kube_reflector_status(a->reflector, mono_ms(), http_status, retry_after_ms);
}

static void on_body(void *arg, const char *data, size_t length)
{
    struct agent *a = arg;
    kube_reflector_body(a->reflector, mono_ms(), data, length);
}

static void on_end(void *arg, const char *transport_error)
{
    struct agent *a = arg;
    a->list_call = NULL;
    kube_reflector_end(a->reflector, mono_ms(), transport_error);
    if (kube_reflector_trouble(a->reflector)[0] != '\0')
        mlt_log(MLT_LOG_WARNING, "pods: %s", kube_reflector_trouble(a->reflector));
    drive(a);
}

static const struct kube_call_ops list_ops = {.status = on_status, .body = on_body, .end = on_end};

static void reflector_due(uv_timer_t *timer)
{
    drive(timer->data);
}

static void drive(struct agent *a)
{
    struct kube_reflector_want want;
    int64_t now = mono_ms();
    kube_reflector_poll(a->reflector, now, &want);
    if (want.cancel && a->list_call) {
        kube_call_cancel(a->list_call);
        a->list_call = NULL;
        kube_reflector_poll(a->reflector, now, &want);
    }
    if (want.send)
        a->list_call =
            kube_transport_send(a->transport, "GET", want.path, NULL, NULL, 0, 0, &list_ops, a);
    if (want.wake_ms == INT64_MAX)
        (void)uv_timer_stop(&a->reflector_timer);
    else
        (void)uv_timer_start(&a->reflector_timer, reflector_due,
                             want.wake_ms > now ? (uint64_t)(want.wake_ms - now) : 0, 0);
}

void pods_watch(struct agent *a)
{
    struct mlt_text selector = MLT_TEXT_INIT(KUBE_PATH_MAX), path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    mlt_text_puts(&selector, "fieldSelector=spec.nodeName%3D");
    kube_path_encode(&selector, a->options.node);
    kube_path(&path, KUBE_POD, NULL, NULL, NULL, NULL);
    a->reflector = kube_reflector_new(mlt_text_string(&path), mlt_text_string(&selector),
                                      &reflector_ops, a, &a->random);
    mlt_text_release(&selector);
    mlt_text_release(&path);
    (void)uv_timer_init(&a->loop, &a->reflector_timer);
    a->reflector_timer.data = a;
    drive(a);
}
