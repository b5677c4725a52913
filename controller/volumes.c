/* See volumes.h. */
#include "controller/volumes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"

#define REQUEST_KEY "claim/" /* and namespace/name: the key of a request */

enum claim_state {
    CLAIM_UNKNOWN, /* not read yet */
    CLAIM_USABLE,  /* bound; or not to be read, and then as if no volume were anywhere */
    CLAIM_LATE,    /* bound by the scheduler, with its first pod */
    CLAIM_MISSING,
    CLAIM_UNBOUND,
    CLAIM_LOST, /* what it is bound to is gone */
    CLAIM_LEAVING,
};

struct volume_claim {
    char *key;        /* namespace/name */
    const char *name; /* the same without the namespace */
    enum claim_state state;
    char *other;      /* "PersistentVolume x" or "StorageClass x": what it names; "" */
    cJSON *terms;     /* nodeSelectorTerms of its volume; NULL: any node can mount it */
    bool asking;
    bool unreadable;     /* the API server will not tell */
    unsigned references; /* jobs that mount it */
    int64_t answered_ms, ask_at_ms, wait_ms;
    UT_hash_handle hh;
};

/* The claims of one job's pods, none included: there is one for each job that waits or runs. */
struct job_volumes {
    struct volume_claim **claims;
    uint32_t count;
    int64_t generation; /* of the spec that they were read from, */
    bool effective;     /* or of its pod as the API server would complete it */
    int64_t since_ms;
    bool placed; /* the gang has a place: the scheduler binds what is bound late any moment now */
};

/* ---- claims ---- */

/* Whether it will stay as it is. */
static bool is_settled(const struct volume_claim *k)
{
    return k->state == CLAIM_USABLE && !k->unreadable;
}

static void ask_at(struct controller *c, struct volume_claim *k, int64_t at_ms)
{
    k->ask_at_ms = at_ms;
    if (at_ms < c->claims_wake_ms)
        c->claims_wake_ms = at_ms;
}

static struct volume_claim *claim_take(struct controller *c, const char *namespace_,
                                       const char *name)
{
    cleanup_free char *key = mlt_asprintf("%s/%s", namespace_, name);
    struct volume_claim *k;
    HASH_FIND_STR(c->claims, key, k);
    if (!k) {
        k = mlt_calloc(1, sizeof *k);
        k->key = steal_ptr(&key);
        k->name = strchr(k->key, '/') + 1;
        k->other = mlt_strdup("");
        k->answered_ms = INT64_MIN / 2;
        k->ask_at_ms = INT64_MAX;
        HASH_ADD_KEYPTR(hh, c->claims, k->key, strlen(k->key), k);
    }
    k->references++;
    return k;
}

static void claim_put(struct controller *c, struct volume_claim *k)
{
    if (--k->references)
        return;
    HASH_DEL(c->claims, k);
    cJSON_Delete(k->terms);
    free(k->other);
    free(k->key);
    free(k);
}

static bool mounts(const struct job *job, const struct volume_claim *k)
{
    for (uint32_t i = 0; job->volumes && i < job->volumes->count; i++)
        if (job->volumes->claims[i] == k)
            return true;
    return false;
}

/* The ledger has planned with something else. A place that is held stays: the constraint counts for
 * pods that are still to be created. */
static void plan_anew(struct job *job)
{
    if (job->ledger == JOB_LEDGER_HOLDS && job->members_count && !job->leaves_ledger)
        job_ledger_holds(job);
    else if (job->ledger == JOB_LEDGER_WAITS)
        job_ledger_none(job); /* it is handed to the ledger again, if it may */
}

static void ask_again(struct controller *c, struct volume_claim *k)
{
    bool late = k->state == CLAIM_LATE || k->unreadable;
    int64_t max_ms = late ? VOLUMES_ASK_LATE_MAX_MS : VOLUMES_ASK_MAX_MS;
    if (k->wait_ms > max_ms)
        k->wait_ms = max_ms;
    ask_at(c, k, c->now_ms + k->wait_ms);
    k->wait_ms *= 2;
}

/* `terms` is taken. */
static void settle(struct controller *c, struct volume_claim *k, enum claim_state state,
                   bool unreadable, cJSON *terms)
{
    bool same_terms = k->terms && terms ? json_equal(k->terms, terms) : !k->terms && !terms;
    bool changed = k->state != state || !same_terms;
    cJSON_Delete(k->terms);
    k->terms = terms;
    k->state = state;
    k->unreadable = unreadable;
    k->asking = false;
    k->answered_ms = c->now_ms;
    k->ask_at_ms = INT64_MAX;
    if (!is_settled(k))
        ask_again(c, k);
    for (struct job *job = c->jobs; job; job = job->hh.next)
        if (mounts(job, k)) {
            job_touch(job);
            if (changed)
                plan_anew(job);
        }
}

/* ---- requests ---- */

static void ask(struct controller *c, struct volume_claim *k, enum kube_resource resource,
                const char *name, apply_answered *done)
{
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    cleanup_free char *key = mlt_asprintf(REQUEST_KEY "%s", k->key);
    cleanup_free char *namespace_ = mlt_strndup(k->key, (size_t)(k->name - k->key) - 1);
    kube_path(&path, resource, namespace_, name, NULL, NULL);
    k->asking = true;
    apply_send(c, &(struct apply_order){
                      .verb = "GET",
                      .path = mlt_text_string(&path),
                      .key = key,
                      .done = done,
                  });
    mlt_text_release(&path);
}

/* NULL: no job mounts it any more. */
static struct volume_claim *claim_of(struct controller *c, const struct apply_order *order)
{
    struct volume_claim *k;
    HASH_FIND_STR(c->claims, order->key + strlen(REQUEST_KEY), k);
    return k;
}

static void name_other(struct volume_claim *k, const char *volume, const char *class_)
{
    free(k->other);
    k->other = *volume  ? mlt_asprintf("PersistentVolume %s", volume)
               : *class_ ? mlt_asprintf("StorageClass %s", class_)
                        : mlt_strdup("");
}

/* It must not keep the job from running: the plan does without, as the scheduler finds out. */
static void settle_unreadable(struct controller *c, struct volume_claim *k, enum claim_state state,
                              const char *words)
{
    if (!k->unreadable)
        controller_log(c, MLT_LOG_WARNING,
                       "volume cannot be looked up, gangs are placed without it claim=%s "
                       "error=\"%s\"",
                       k->key, words);
    settle(c, k, state, true, NULL);
}

static void volume_answered(struct controller *c, const struct apply_order *order,
                            const struct apply_answer *answer)
{
    struct volume_claim *k = claim_of(c, order);
    const cJSON *required = json_find(answer->object, "spec.nodeAffinity.required");
    const cJSON *terms = json_member(required, "nodeSelectorTerms");
    if (!k)
        return;
    if (answer->status == 404)
        settle(c, k, CLAIM_LOST, false, NULL);
    else if (answer->status != 200 || !answer->object)
        settle_unreadable(c, k, CLAIM_USABLE, answer->words);
    else if (json_size(terms, "") > VOLUMES_TERMS_MAX)
        settle_unreadable(c, k, CLAIM_USABLE, "too many nodeSelectorTerms");
    else /* required without a term is met by no node, and no API server takes it */
        settle(c, k, CLAIM_USABLE, false, json_copy(terms));
}

/* A class that does not exist is a name by which a claim and a volume find each other at once
 * (pkg/controller/volume/persistentvolume: IsDelayBindingMode). */
static void class_answered(struct controller *c, const struct apply_order *order,
                           const struct apply_answer *answer)
{
    struct volume_claim *k = claim_of(c, order);
    const char *mode = json_string(answer->object, "volumeBindingMode", "");
    if (!k)
        return;
    if (answer->status == 404 || (answer->status == 200 && strcmp(mode, "WaitForFirstConsumer")))
        settle(c, k, CLAIM_UNBOUND, false, NULL);
    else if (answer->status == 200)
        settle(c, k, CLAIM_LATE, false, NULL);
    else
        settle_unreadable(c, k, CLAIM_LATE, answer->words);
}

/* One that names its volume is bound to that, whatever its class says. */
static void claim_read(struct controller *c, struct volume_claim *k, const cJSON *claim)
{
    const char *phase = json_string(claim, "status.phase", "");
    const char *volume = json_string(claim, "spec.volumeName", "");
    const char *class_ = json_string(claim, "spec.storageClassName", "");
    name_other(k, volume, class_);
    if (json_find(claim, "metadata.deletionTimestamp"))
        settle(c, k, CLAIM_LEAVING, false, NULL);
    else if (strcmp(phase, "Lost") == 0)
        settle(c, k, CLAIM_LOST, false, NULL);
    else if (strcmp(phase, "Bound") == 0 && *volume)
        ask(c, k, KUBE_PERSISTENTVOLUME, volume, volume_answered);
    else if (!*volume && *class_)
        ask(c, k, KUBE_STORAGECLASS, class_, class_answered);
    else
        settle(c, k, CLAIM_UNBOUND, false, NULL);
}

static void claim_answered(struct controller *c, const struct apply_order *order,
                           const struct apply_answer *answer)
{
    struct volume_claim *k = claim_of(c, order);
    if (!k)
        return;
    if (answer->status == 404)
        settle(c, k, CLAIM_MISSING, false, NULL);
    else if (answer->status != 200 || !answer->object)
        settle_unreadable(c, k, CLAIM_USABLE, answer->words);
    else
        claim_read(c, k, answer->object);
}

int64_t volumes_pump(struct controller *c)
{
    if (c->claims_wake_ms > c->now_ms)
        return c->claims_wake_ms;
    c->claims_wake_ms = INT64_MAX;
    for (struct volume_claim *k = c->claims; k; k = k->hh.next) {
        if (k->asking)
            continue;
        if (k->ask_at_ms <= c->now_ms)
            ask(c, k, KUBE_PERSISTENTVOLUMECLAIM, k->name, claim_answered);
        else
            ask_at(c, k, k->ask_at_ms);
    }
    return c->claims_wake_ms;
}

/* ---- jobs ---- */

void volumes_forget(struct job *job)
{
    struct job_volumes *v = job->volumes;
    if (!v)
        return;
    for (uint32_t i = 0; i < v->count; i++)
        claim_put(job->controller, v->claims[i]);
    free(v->claims);
    free(v);
    job->volumes = NULL;
}

static void add_claim(struct job *job, struct job_volumes *v, const char *name)
{
    struct controller *c = job->controller;
    if (!*name || strlen(name) > VOLUMES_NAME_MAX || v->count == VOLUMES_CLAIMS_MAX)
        return;
    struct volume_claim *k = claim_take(c, job->namespace_, name);
    v->claims[v->count++] = k;
    if (k->answered_ms >= v->since_ms - VOLUMES_FRESH_MS && is_settled(k))
        return;
    k->wait_ms = VOLUMES_ASK_MS; /* a new job wants to know */
    if (!k->asking)
        ask_at(c, k, c->now_ms);
}

static void look_up(struct job *job)
{
    const cJSON *template_ = job->planned_text ? job_planned(job) : job_template(job);
    const cJSON *volumes = json_find(template_, "spec.volumes"), *volume;
    struct job_volumes *v = mlt_calloc(1, sizeof *v);
    v->generation = job->tj.metadata.generation;
    v->effective = job->planned_text != NULL;
    v->since_ms = job->controller->now_ms;
    v->placed = job->draft.phase != TRAININGJOB_PHASE_QUEUED;
    v->claims = mlt_calloc(json_size(volumes, "") + 1, sizeof(struct volume_claim *));
    cJSON_ArrayForEach(volume, volumes)
    {
        add_claim(job, v, json_string(volume, "persistentVolumeClaim.claimName", ""));
    }
    volumes_forget(job);
    job->volumes = v;
}

static void hurry(struct job *job)
{
    struct job_volumes *v = job->volumes;
    v->placed = job->draft.phase != TRAININGJOB_PHASE_QUEUED;
    for (uint32_t i = 0; v->placed && i < v->count; i++)
        if (!is_settled(v->claims[i])) {
            v->claims[i]->wait_ms = VOLUMES_ASK_MS;
            ask_at(job->controller, v->claims[i], job->controller->now_ms + VOLUMES_ASK_MS);
        }
}

/* In the queue what the API server makes of the pod comes first. */
static bool is_wanted(const struct job *job)
{
    if (!job->has_tj || job->refusal || job->deleting || job_has_ended(job) ||
        job->draft.phase == TRAININGJOB_PHASE_NONE)
        return false;
    return job->draft.phase != TRAININGJOB_PHASE_QUEUED ||
           probe_is_known(job);
}

void volumes_refresh(struct job *job)
{
    const struct job_volumes *v = job->volumes;
    if (!is_wanted(job))
        volumes_forget(job);
    else if (!v || v->generation != job->tj.metadata.generation ||
             v->effective != (job->planned_text != NULL))
        look_up(job);
    else if (v->placed != (job->draft.phase != TRAININGJOB_PHASE_QUEUED))
        hurry(job);
}

/* What keeps the job from being planned, by this claim: a condition's reason; NULL: nothing. */
static const char *obstacle(const struct job *job, const struct volume_claim *k,
                            char words[TRAININGJOB_MESSAGE_MAX])
{
    bool without_scheduler = job->tj.spec.scheduling.binding == TRAININGJOB_BINDING_NODE;
    size_t size = TRAININGJOB_MESSAGE_MAX;
    switch (k->state) {
    case CLAIM_MISSING:
        (void)snprintf(words, size, "PersistentVolumeClaim %s does not exist", k->name);
        return "VolumeMissing";
    case CLAIM_UNBOUND:
        (void)snprintf(words, size, "PersistentVolumeClaim %s is not bound to a volume yet%s%s%s",
                       k->name, *k->other ? " (" : "", k->other, *k->other ? ")" : "");
        return "VolumeNotBound";
    case CLAIM_LOST:
        (void)snprintf(words, size, "PersistentVolumeClaim %s has lost its volume (%s)", k->name,
                       k->other);
        return "VolumeLost";
    case CLAIM_LEAVING:
        (void)snprintf(words, size, "PersistentVolumeClaim %s is being deleted", k->name);
        return "VolumeMissing";
    case CLAIM_LATE:
        if (!without_scheduler)
            return NULL;
        (void)snprintf(words, size,
                       "PersistentVolumeClaim %s is bound by the scheduler (WaitForFirstConsumer), "
                       "which scheduling.binding `node` leaves out",
                       k->name);
        return "VolumeNotBound";
    case CLAIM_UNKNOWN:
    case CLAIM_USABLE:
        break;
    }
    return NULL;
}

static bool is_known(const struct job_volumes *v, const struct volume_claim *k)
{
    return k->state != CLAIM_UNKNOWN && k->answered_ms >= v->since_ms - VOLUMES_FRESH_MS;
}

/* The first one; NULL: none. */
static const char *find_obstacle(const struct job *job, char words[TRAININGJOB_MESSAGE_MAX])
{
    const struct job_volumes *v = job->volumes;
    const char *reason = NULL;
    for (uint32_t i = 0; v && !reason && i < v->count; i++)
        if (is_known(v, v->claims[i]))
            reason = obstacle(job, v->claims[i], words);
    return reason;
}

bool volumes_are_settled(const struct job *job)
{
    char words[TRAININGJOB_MESSAGE_MAX];
    const struct job_volumes *v = job->volumes;
    if (!v)
        return false;
    for (uint32_t i = 0; i < v->count; i++)
        if (!is_known(v, v->claims[i]))
            return false;
    return !find_obstacle(job, words);
}

void volumes_note(struct job *job)
{
    char words[TRAININGJOB_MESSAGE_MAX];
    struct controller *c = job->controller;
    struct trainingjob_queue_status *q = &job->draft.queue;
    if (job->draft.phase != TRAININGJOB_PHASE_QUEUED || job->ledger != JOB_LEDGER_NONE)
        return;
    const char *reason = find_obstacle(job, words);
    if (!reason || (q->explanation && strcmp(q->reason, reason) == 0 &&
                    strcmp(q->explanation, words) == 0))
        return;
    (void)snprintf(q->reason, sizeof q->reason, "%s", reason);
    trainingjob_set_text(&q->explanation, words, TRAININGJOB_MESSAGE_MAX);
    q->position = 0;
    q->estimated_start_ms = 0;
    (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_QUEUED, true, reason, words,
                                    c->wall_ms);
    event_record(job, true, reason, "%s", words);
    job_lazy(job, 0);
}

void volumes_tell_ledger(const struct job *job)
{
    cleanup_json cJSON *all = NULL;
    const struct job_volumes *v = job->volumes;
    for (uint32_t i = 0; v && i < v->count; i++) {
        if (!v->claims[i]->terms)
            continue;
        if (!all)
            all = cJSON_CreateArray();
        json_append(all, json_copy(v->claims[i]->terms));
    }
    ledger_job_volumes(job->controller->ledger, job->uid, all);
}
