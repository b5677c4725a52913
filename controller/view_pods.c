/* Pods as far as the controller needs them: who they belong to, where they are, and whether they
 * can run ranks.
 *
 * Answers to our own creations come in ahead of the watch, so that no pod is created twice. A list
 * that was asked for before such an answer may not hold the pod yet: it does not make it disappear.
 */
#include "controller/view_pods.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "controller/pod_build.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/json/json.h"

#define JOB_KEY_MAX 512 /* bytes of a namespace and a UID: 63 and, from any API server, 36 */

static void pod_free(struct view_pod *p)
{
    free(p->key);
    free(p->namespace_);
    free(p->name);
    free(p->uid);
    free(p->node);
    free(p->job_uid);
    free(p->role);
    free(p->reason);
    free(p->message);
    free(p->trouble);
    free(p);
}

static struct view_job_pods *set_find(const struct view *v, const char *namespace_,
                                      const char *job_uid)
{
    char key[JOB_KEY_MAX];
    struct view_job_pods *set;
    (void)snprintf(key, sizeof key, "%s/%s", namespace_, job_uid);
    HASH_FIND_STR(v->job_pods, key, set);
    return set;
}

struct view_pod *view_pods_of(const struct view *v, const char *namespace_, const char *job_uid)
{
    const struct view_job_pods *set = set_find(v, namespace_, job_uid);
    return set ? set->first : NULL;
}

bool view_pod_terminal(const struct view_pod *pod)
{
    return pod->phase == VIEW_SUCCEEDED || pod->phase == VIEW_FAILED;
}

bool view_pod_ended(const struct view_pod *pod)
{
    return pod->trainer_ended || view_pod_terminal(pod);
}

bool view_pod_ends_soon(const struct view_pod *pod)
{
    return pod->trainer_ended && !pod->others_run && !view_pod_terminal(pod);
}

/* The job looks at its pods again at the end of the step. */
static void tell_job(struct controller *c, const char *job_uid)
{
    struct job *job = *job_uid ? job_find(c, job_uid) : NULL;
    if (!job)
        return;
    job->members_stale = true;
    job_touch_for_member(job);
}

static void job_set_add(struct view *v, struct view_pod *p)
{
    struct view_job_pods *set = set_find(v, p->namespace_, p->job_uid);
    if (!set) {
        set = mlt_calloc(1, sizeof *set);
        set->key = mlt_asprintf("%s/%s", p->namespace_, p->job_uid);
        HASH_ADD_KEYPTR(hh, v->job_pods, set->key, strlen(set->key), set);
    }
    p->next_of_job = set->first;
    if (set->first)
        set->first->previous_of_job = p;
    set->first = p;
}

static void job_set_remove(struct view *v, struct view_pod *p)
{
    struct view_job_pods *set = set_find(v, p->namespace_, p->job_uid);
    if (!set)
        return;
    if (p->next_of_job)
        p->next_of_job->previous_of_job = p->previous_of_job;
    if (p->previous_of_job)
        p->previous_of_job->next_of_job = p->next_of_job;
    else
        set->first = p->next_of_job;
    if (!set->first) {
        HASH_DEL(v->job_pods, set);
        free(set->key);
        free(set);
    }
}

/* Members are brought up to date at the end of a step, and while nobody may act not even then. */
static void forget_members(struct controller *c, const struct view_pod *p)
{
    struct job *job = *p->job_uid ? job_find(c, p->job_uid) : NULL;
    for (uint32_t i = 0; job && i < job->members_count; i++)
        if (job->members[i].pod == p)
            job->members[i].pod = NULL;
}

static void pod_gone(struct controller *c, struct view_pod *p)
{
    forget_members(c, p);
    HASH_DEL(c->view.pods, p);
    ledger_pod_gone(c->ledger, p->namespace_, p->name, p->uid, c->now_ms);
    if (*p->job_uid) {
        job_set_remove(&c->view, p);
        tell_job(c, p->job_uid);
    }
    pod_free(p);
}

/* ---- reading ---- */

static enum view_pod_phase phase_of(const char *text)
{
    if (strcmp(text, "Running") == 0)
        return VIEW_RUNNING;
    if (strcmp(text, "Succeeded") == 0)
        return VIEW_SUCCEEDED;
    if (strcmp(text, "Failed") == 0)
        return VIEW_FAILED;
    return VIEW_PENDING;
}

/* The container that holds the ranks: "trainer", else the one that we have wrapped (an admission
 * webhook may have put its own before it). */
static const char *trainer_name(const cJSON *pod)
{
    const cJSON *container;
    const char *wrapped = "";
    cJSON_ArrayForEach(container, json_find(pod, "spec.containers"))
    {
        const char *name = json_string(container, "name", "");
        if (strcmp(name, TRAININGJOB_TRAINER) == 0)
            return name;
        if (strcmp(json_string(container, "command[0]", ""), POD_BUILD_LAUNCHER) == 0)
            wrapped = name;
    }
    return wrapped;
}

static void set_why(struct view_pod *p, const char *reason, const char *message)
{
    free(p->reason);
    free(p->message);
    p->reason = mlt_strdup(reason);
    p->message = mlt_strdup(message);
}

/* The first failed container of a list of statuses; true when one was found. */
static bool read_failed(struct view_pod *p, const cJSON *statuses)
{
    const cJSON *status;
    cJSON_ArrayForEach(status, statuses)
    {
        const cJSON *end = json_find(status, "state.terminated");
        if (!end || json_integer(end, "exitCode", 0) == 0)
            continue;
        p->exit_code = (int32_t)json_integer(end, "exitCode", 0);
        set_why(p, json_string(end, "reason", "Error"), json_string(end, "message", ""));
        return true;
    }
    return false;
}

/* A shutdown of the node, somebody more important, a taint, an eviction through the API: the
 * DisruptionTarget condition says who (k8s.io/api/core/v1, PodReason...). The kubelet's own
 * evictions, for want of memory or disk, are the node's fault. */
static bool is_blameless(const struct view_pod *p, const cJSON *pod)
{
    static const char *const reasons[] = {"Terminated", "NodeShutdown", "Shutdown", "Preempting"};
    const char *reason = json_string(pod, "status.reason", "");
    const cJSON *condition;
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (strcmp(reason, reasons[i]) == 0)
            return true;
    cJSON_ArrayForEach(condition, json_find(pod, "status.conditions"))
    {
        if (strcmp(json_string(condition, "type", ""), "DisruptionTarget") == 0 &&
            strcmp(json_string(condition, "status", ""), "True") == 0 &&
            strcmp(json_string(condition, "reason", ""), "TerminationByKubelet") != 0)
            return true;
    }
    return p->deleting;
}

/* Whether its launcher was told another address than ours: the channel has moved since. */
static bool is_elsewhere(const struct controller *c, const cJSON *pod)
{
    const char *trainer = trainer_name(pod);
    const cJSON *container, *variable;
    cJSON_ArrayForEach(container, json_find(pod, "spec.containers"))
    {
        if (strcmp(json_string(container, "name", ""), trainer) != 0)
            continue;
        cJSON_ArrayForEach(variable, json_find(container, "env"))
        {
            if (strcmp(json_string(variable, "name", ""), "MLTRAIN_CHANNEL") == 0)
                return strcmp(json_string(variable, "value", ""), c->config.channel_address) != 0;
        }
    }
    return false;
}

/* How it ended, if it has. A pod that failed without any container having failed was refused by the
 * kubelet or thrown out; then the pod's own reason says why (OutOfcpu, Evicted, Shutdown ...). */
static void read_end(struct view_pod *p, const cJSON *pod)
{
    const char *trainer = trainer_name(pod);
    const cJSON *status;
    const char *reason = json_string(pod, "status.reason", "");
    p->trainer_ended = p->others_run = false;
    p->rejected = false;
    p->blameless = is_blameless(p, pod);
    p->exit_code = TRAININGJOB_NONE;
    set_why(p, reason, json_string(pod, "status.message", ""));
    cJSON_ArrayForEach(status, json_find(pod, "status.containerStatuses"))
    {
        const cJSON *end = json_find(status, "state.terminated");
        bool is_trainer = strcmp(json_string(status, "name", ""), trainer) == 0;
        p->others_run = p->others_run || (!end && !is_trainer);
        if (!end || !is_trainer)
            continue;
        p->trainer_ended = true;
        p->exit_code = (int32_t)json_integer(end, "exitCode", 0);
        if (!*reason)
            set_why(p, json_string(end, "reason", ""), json_string(end, "message", ""));
    }
    if (p->phase != VIEW_FAILED)
        return;
    if (*reason)
        p->rejected = true;
    else if (!p->trainer_ended && !read_failed(p, json_find(pod, "status.initContainerStatuses")) &&
             !read_failed(p, json_find(pod, "status.containerStatuses")))
        p->rejected = true;
}

static void read_ours(struct view_pod *p, const cJSON *pod)
{
    const cJSON *labels = json_find(pod, "metadata.labels");
    const char *job = json_string(labels, "[" TRAININGJOB_LABEL_JOB_NAME "]", "");
    int64_t slot = 0;
    if (mlt_parse_integer(json_string(labels, "[" TRAININGJOB_LABEL_INDEX "]", ""), 0,
                          TRAININGJOB_REPLICAS_MAX, &slot, NULL) < 0)
        slot = TRAININGJOB_REPLICAS_MAX; /* no member has this slot */
    p->slot = (uint32_t)slot;
    free(p->role);
    p->role = mlt_strdup(json_string(labels, "[" TRAININGJOB_LABEL_ROLE "]", ""));
    p->creation = trainingjob_pod_creation(p->name, job, p->role, slot);
    read_end(p, pod);
}

static void read_trouble(struct view_pod *p, const cJSON *pod)
{
    struct pod_trouble trouble;
    free(steal_ptr(&p->trouble));
    if (pod_trouble_find(pod, &trouble))
        p->trouble = mlt_memdup(&trouble, sizeof trouble);
}

static void pod_read(const struct controller *c, struct view_pod *p, const cJSON *pod)
{
    free(p->node);
    p->node = mlt_strdup(json_string(pod, "spec.nodeName", ""));
    p->version = view_version(pod);
    p->phase = phase_of(json_string(pod, "status.phase", "Pending"));
    p->seen_by_node = p->phase != VIEW_PENDING || json_find(pod, "status.startTime") != NULL;
    p->deleting = json_find(pod, "metadata.deletionTimestamp") != NULL;
    if (!*p->job_uid)
        return;
    read_ours(p, pod);
    read_trouble(p, pod);
    if (p->phase != VIEW_RUNNING)
        p->running_since_ms = 0;
    else if (!p->running_since_ms)
        p->running_since_ms = c->now_ms;
    p->elsewhere = is_elsewhere(c, pod);
}

/* ---- table ---- */

static char *pod_key(const char *namespace_, const char *name)
{
    return mlt_asprintf("%s/%s", namespace_, name);
}

/* Whether the pod has the Secret with the key of its job's channel, without which no launcher of it
 * can join. */
static bool has_key(const cJSON *pod, const char *job_uid)
{
    char secret[TRAININGJOB_SECRET_NAME_MAX];
    const cJSON *volume;
    trainingjob_secret_name(json_string(pod, "metadata.labels[" TRAININGJOB_LABEL_JOB_NAME "]", ""),
                            job_uid, secret);
    cJSON_ArrayForEach(volume, json_find(pod, "spec.volumes"))
    {
        if (strcmp(json_string(volume, "secret.secretName", ""), secret) == 0)
            return true;
    }
    return false;
}

/* The job that controls the pod, "" when none does. Labels and owners can be put on any pod by
 * whoever may create it: one without the job's key holds no slot, and nothing is done to it. */
static const char *owner_of(const cJSON *pod)
{
    const char *label = json_string(pod, "metadata.labels[" TRAININGJOB_LABEL_JOB_UID "]", "");
    const cJSON *owner;
    if (strlen(label) > TRAININGJOB_WORD_MAX)
        return "";
    cJSON_ArrayForEach(owner, json_find(pod, "metadata.ownerReferences"))
    {
        if (json_bool(owner, "controller", false) &&
            strcmp(json_string(owner, "uid", ""), label) == 0)
            return has_key(pod, label) ? label : "";
    }
    return "";
}

bool view_pod_is_of(const cJSON *pod, const char *job_uid)
{
    return *job_uid && strcmp(owner_of(pod), job_uid) == 0;
}

static struct view_pod *pod_new(struct view *v, const cJSON *object, const char *key)
{
    struct view_pod *p = mlt_calloc(1, sizeof *p);
    p->key = mlt_strdup(key);
    p->namespace_ = mlt_strdup(json_string(object, "metadata.namespace", ""));
    p->name = mlt_strdup(json_string(object, "metadata.name", ""));
    p->uid = mlt_strdup(json_string(object, "metadata.uid", ""));
    p->job_uid = mlt_strdup(owner_of(object));
    p->role = mlt_strdup("");
    HASH_ADD_KEYPTR(hh, v->pods, p->key, strlen(p->key), p);
    if (*p->job_uid)
        job_set_add(v, p);
    return p;
}

/* Finds or makes the entry; NULL when what we hold is newer. */
static struct view_pod *pod_take(struct controller *c, enum view_kind source, const cJSON *object)
{
    cleanup_free char *key = pod_key(json_string(object, "metadata.namespace", ""),
                                     json_string(object, "metadata.name", ""));
    struct view_pod *p;
    HASH_FIND_STR(c->view.pods, key, p);
    if (p && strcmp(p->uid, json_string(object, "metadata.uid", "")) != 0) {
        pod_gone(c, p);
        p = NULL;
    }
    if (!p)
        p = pod_new(&c->view, object, key);
    else if (view_version(object) && view_version(object) < p->version)
        return NULL;
    p->source = source;
    pod_read(c, p, object);
    ledger_pod(c->ledger, object, p->job_uid, c->now_ms);
    tell_job(c, p->job_uid);
    return p;
}

static void note_version(struct view_source *s, const cJSON *object)
{
    uint64_t version = view_version(object);
    if (version > s->version)
        s->version = version;
}

void view_pods_seen(struct view_source *s, const cJSON *object)
{
    struct controller *c = s->controller;
    note_version(s, object);
    struct view_pod *p = pod_take(c, s->kind, object);
    if (!p) {
        cleanup_free char *key = pod_key(json_string(object, "metadata.namespace", ""),
                                         json_string(object, "metadata.name", ""));
        HASH_FIND_STR(c->view.pods, key, p);
    }
    p->list_seen = s->list_round;
    p->asked_in = 0;
}

void view_pod_answered(struct controller *c, const cJSON *object)
{
    const struct view_source *s = &c->view.sources[VIEW_PODS];
    cleanup_free char *key = pod_key(json_string(object, "metadata.namespace", ""),
                                     json_string(object, "metadata.name", ""));
    struct view_pod *p;
    HASH_FIND_STR(c->view.pods, key, p);
    bool held = p && strcmp(p->uid, json_string(object, "metadata.uid", "")) == 0;
    /* The watch is past this state and does not hold the pod: it is gone, and no event will ever
     * say so again. */
    if (!held && view_version(object) && view_version(object) <= s->version)
        return;
    p = pod_take(c, VIEW_PODS, object);
    if (p && !p->list_seen)
        p->asked_in = s->lists_asked;
}

void view_pods_deleted(struct view_source *s, const cJSON *object)
{
    struct controller *c = s->controller;
    note_version(s, object);
    cleanup_free char *key = pod_key(json_string(object, "metadata.namespace", ""),
                                     json_string(object, "metadata.name", ""));
    struct view_pod *p;
    HASH_FIND_STR(c->view.pods, key, p);
    /* The answer to a creation may have put the next pod of this name there already; and a pod
     * whose label was changed by hand is in the other list now. */
    if (p && p->source == s->kind && strcmp(p->uid, json_string(object, "metadata.uid", "")) == 0)
        pod_gone(c, p);
}

void view_pod_missing(struct controller *c, const char *namespace_, const char *name)
{
    cleanup_free char *key = pod_key(namespace_, name);
    struct view_pod *p;
    HASH_FIND_STR(c->view.pods, key, p);
    if (p)
        pod_gone(c, p);
}

void view_pods_listed(struct view_source *s)
{
    struct controller *c = s->controller;
    struct view_pod *p, *next;
    HASH_ITER(hh, c->view.pods, p, next)
    {
        bool too_young = p->asked_in && p->asked_in == s->lists_asked;
        if (p->source == s->kind && p->list_seen != s->list_round && !too_young)
            pod_gone(c, p);
    }
}

void view_pods_release(struct view *v)
{
    struct view_pod *p, *next;
    HASH_ITER(hh, v->pods, p, next)
    {
        HASH_DEL(v->pods, p);
        if (*p->job_uid)
            job_set_remove(v, p);
        pod_free(p);
    }
}
