/* The verb "admit": a place becomes a placement in the status, then a Secret, then pods that are
 * already bound; or all of it is given back. */
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "controller/job_key.h"
#include "controller/pod_build.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"

#define LAUNCHER_EXIT_BAD 64 /* design section 5 */

void admit_write(struct job *job)
{
    struct controller *c = job->controller;
    struct trainingjob_status *s = &job->draft;
    job_set_phase(job, TRAININGJOB_PHASE_ADMITTED);
    patience_wait_ends(job);
    (void)trainingjob_set_condition(s, TRAININGJOB_CONDITION_QUEUED, false, "Admitted",
                                    "has a place", c->wall_ms);
    job_tell_placed(job);
    preempt_end_conditions(job, "Admitted", "has a place again");
    trainingjob_forget_queue(s);
    creations_tell_former(job);
    job->placed = false;
    c->metrics.count[METRIC_GANGS_PLACED]++;
    event_record(job, false, "Admitted", "placed on %s", s->placement);
    job_gate(job);
}

/* ---- the Secret ---- */

static void key_made(struct controller *c, const struct apply_order *order,
                     const struct apply_answer *answer)
{
    struct job *job = job_find(c, order->job_uid);
    if (!job)
        return;
    job->key_asked = false;
    job_touch(job);
    /* 409: it is there, from a former controller or from the time before a suspension. */
    if (answer->status == 201 || answer->status == 200 || answer->status == 409) {
        job->has_key = true;
        return;
    }
    event_record(job, true, "SecretRefused", "%s", answer->words);
    job->key_again_ms = c->now_ms + JOB_PROBE_RETRY_MS;
}

static char *write_key(struct controller *c, const struct apply_order *order, struct mlt_error *err)
{
    const struct job *job = job_find(c, order->job_uid);
    unsigned char key[CONTROLLER_KEY_SIZE];
    (void)err;
    if (!job)
        return NULL;
    c->config.derive_key(c->config.derive_arg, job->uid, key);
    cleanup_json cJSON *secret = job_key_secret(&job->tj, key);
    explicit_bzero(key, sizeof key);
    return json_print(secret);
}

void admit_make_key(struct job *job)
{
    job->key_asked = true;
    apply_for_job(job, (struct apply_target){.resource = KUBE_SECRET},
                  (struct apply_order){
                      .verb = "POST",
                      .write = write_key,
                      .done = key_made,
                  });
}

/* ---- pods ---- */

static void creation_ended(struct job *job, struct member *m)
{
    job->creations--;
    job->former_creations &= job->creations > 0;
    job->members_stale = true;
    job_touch_for_member(job);
    if (!m)
        return;
    m->creating = m->creating_elsewhere = false;
    free(steal_ptr(&m->creating_words));
}

/* A webhook that fails, mostly. It is tried again until it works or the gang's time is over. */
static void creation_failing(struct controller *c, const struct apply_order *order,
                             const struct apply_answer *answer)
{
    struct job *job = job_find(c, order->job_uid);
    if (!job || job->former_creations || order->index >= job->members_count)
        return;
    trainingjob_set_text(&job->members[order->index].creating_words, answer->words,
                         APPLY_WORDS_MAX);
    job_touch_for_member(job);
}

/* The name is taken: by our own earlier try, whose answer was lost, or by somebody else's pod. */
static void taken_read(struct controller *c, const struct apply_order *order,
                       const struct apply_answer *answer)
{
    struct job *job = job_find(c, order->job_uid);
    if (!job)
        return;
    struct member *m = order->index < job->members_count ? &job->members[order->index] : NULL;
    bool ours = view_pod_is_of(answer->object, job->uid) &&
                !json_find(answer->object, "metadata.deletionTimestamp");
    if (m && answer->status == 200 && ours)
        view_pod_answered(c, answer->object);
    else if (m && answer->status == 200)
        m->creation = m->tried;
    /* else gone again: the next creation takes the same name */
    creation_ended(job, m);
}

static void read_taken(struct job *job, struct member *m)
{
    char name[TRAININGJOB_POD_NAME_MAX];
    if (trainingjob_pod_name(job->name, m->role, m->slot, m->tried, name, NULL) < 0) {
        creation_ended(job, m); /* cannot be: the pod was made with this name */
        return;
    }
    apply_for_job(job, (struct apply_target){.resource = KUBE_POD, .name = name},
                  (struct apply_order){
                      .verb = "GET",
                      .index = m->slot,
                      .done = taken_read,
                  });
}

static void pod_created(struct controller *c, const struct apply_order *order,
                        const struct apply_answer *answer)
{
    struct job *job = job_find(c, order->job_uid);
    if (!job)
        return;
    struct member *m = order->index < job->members_count ? &job->members[order->index] : NULL;
    bool former = job->former_creations; /* then all of them are: the members are others by now */
    bool taken = answer->status == 409 && strcmp(answer->reason, "AlreadyExists") == 0;
    if (taken && m && !former) {
        read_taken(job, m);
        return;
    }
    bool created = answer->status == 201 || answer->status == 200;
    if (created) {
        c->metrics.count[METRIC_PODS_CREATED]++;
        view_pod_answered(c, answer->object);
    }
    creation_ended(job, m);
    if (created || former || (answer->status == APPLY_UNSENT && !*answer->words))
        return;
    /* Quota, admission: the API server will not have it. The gang cannot be whole here and now. */
    probe_share_distrust(&c->probe_share, job->namespace_);
    cleanup_free char *words =
        delivery_refusal(delivery_of_pod(job, m ? m->node : NULL), answer->words);
    event_record(job, true, "PodRefused", "%s", words);
    admit_explain_undo(job, "PodRefused", words);
    if (m)
        m->dead = true;
    job->no_place = true;
    job->probe_again_ms = c->now_ms + JOB_PROBE_RETRY_MS;
}

struct pod_build admit_pod(struct job *job, int64_t creation, enum delivery delivery)
{
    const struct controller_config *config = &job->controller->config;
    (void)job_template(job);
    return (struct pod_build){
        .tj = &job->tj,
        .role = &job->tj.spec.workers,
        .creation = creation,
        .channel_address = config->channel_address,
        .delivery = delivery,
        .launcher_image = config->launcher_image,
        .launcher_command = config->launcher_command,
        .pull_secrets = config->pull_secrets,
        .pull_secrets_count = config->pull_secrets_count,
    };
}

/* The gang may have given up by now, and its place may be another one: then whoever asked for it asks
 * again, if it is still wanted. */
static char *write_pod(struct controller *c, const struct apply_order *order, struct mlt_error *err)
{
    struct job *job = job_find(c, order->job_uid);
    cleanup_json cJSON *pod = NULL;
    if (!job || job->former_creations || job->let_go || order->index >= job->members_count)
        return NULL;
    const struct member *m = &job->members[order->index];
    if (m->creating_elsewhere)
        return NULL;
    struct pod_build build = admit_pod(job, m->tried, delivery_of_pod(job, m->node));
    build.index = m->slot;
    build.node = m->node;
    build.binding = pod_build_binding(&job->tj, job_planned(job));
    char *body = pod_build(&build, &pod, err) < 0 ? NULL : json_print(pod);
    jobs_fold_surplus(c);
    return body;
}

static void create_pod(struct job *job, struct member *m)
{
    char name[TRAININGJOB_POD_NAME_MAX];
    struct mlt_error err = {0};
    m->tried = creations_next(job, m);
    m->creating = true;
    m->renew = false; /* the watch may show the new pod before the answer does */
    job->creations++;
    if (trainingjob_pod_name(job->name, m->role, m->slot, m->tried, name, &err) < 0) {
        pod_created(job->controller, &(struct apply_order){.job_uid = job->uid, .index = m->slot},
                    &(struct apply_answer){.status = APPLY_UNSENT, .words = err.text, .reason = ""});
        return;
    }
    cleanup_free char *key = mlt_asprintf("pod/%s/%s", job->namespace_, name);
    apply_for_job(job, (struct apply_target){.resource = KUBE_POD},
                  (struct apply_order){
                      .verb = "POST",
                      .write = write_pod,
                      .key = key,
                      .index = m->slot,
                      .done = pod_created,
                      .failing = creation_failing,
                  });
}

void admit_explain_undo(struct job *job, const char *reason, const char *words)
{
    if (job->undo_reason)
        return; /* what came first has led to the rest */
    job->undo_reason = reason;
    trainingjob_set_text(&job->undo_words, words, TRAININGJOB_MESSAGE_MAX);
}

/* The member cannot have its pod there: it looks for another place, or, before the first START, the
 * whole gang does. */
static void leave_node(struct job *job, struct member *m, const char *why)
{
    job_log(job, MLT_LOG_WARNING, "place is left role=%s index=%u node=%s words=\"%s\"", m->role,
            m->slot, m->node, why);
    if (job->draft.phase != TRAININGJOB_PHASE_ADMITTED) {
        member_unplace(job, m);
        return;
    }
    cleanup_free char *words = mlt_asprintf("node %s: %s", m->node, why);
    admit_explain_undo(job, "NoPlace", words);
    m->dead = true;
}

static bool is_untold(const struct job *job)
{
    for (uint32_t i = 0; i < job->members_count; i++)
        if (member_to_create(job, &job->members[i]) && creations_are_untold(job, &job->members[i]))
            return true;
    return false;
}

void admit_create_pods(struct job *job)
{
    struct controller *c = job->controller;
    if (is_untold(job)) {
        creations_tell(job);
        job_gate(job);
        return;
    }
    for (uint32_t i = 0; i < job->members_count; i++) {
        struct member *m = &job->members[i];
        if (!member_to_create(job, m))
            continue;
        /* Two statuses may promise one place: the write that gave it back was never stored, and a
         * next controller finds both. Who comes first for a pod there makes room. */
        if (ledger_node_is_overfull(c->ledger, m->node, c->now_ms))
            leave_node(job, m, "other gangs hold it");
        else if (!ledger_node_takes(c->ledger, job->uid, m->role, m->node))
            leave_node(job, m, "it takes no new pods of this job (cordon, taint, labels)");
        else
            create_pod(job, m);
    }
}

/* ---- back ---- */

static const char *late_words(struct job *job)
{
    _Static_assert(JOB_UNBOUND_MS == 60000, "the words below say so");
    const char *late = job_waits_for_scheduler(job)
                           ? "no scheduler bound every pod within 60 s"
                           : "not every pod was ready within startTimeoutSeconds";
    const struct trainingjob_condition *ready =
        trainingjob_find_condition(&job->draft, TRAININGJOB_CONDITION_PODS_READY);
    if (!ready || strcmp(ready->status, "False") != 0 || !*ready->message)
        return late;
    cleanup_free char *words = mlt_asprintf("%s: %s", late, ready->message);
    trainingjob_set_text(&job->undo_words, words, TRAININGJOB_MESSAGE_MAX);
    return job->undo_words;
}

/* Why the gang is given back, in a word and in a sentence. */
static const char *undo_reason(struct job *job, const char **ret_words)
{
    uint64_t facts = job_facts(job);
    if (job->undo_reason) {
        *ret_words = job->undo_words ? job->undo_words : "";
        return job->undo_reason;
    }
    if (facts & RECONCILE_BIT(NO_PLACE)) {
        *ret_words = "no node has room for a member that was lost";
        return "NoPlace";
    }
    if (facts & RECONCILE_BIT(LATE)) {
        *ret_words = late_words(job);
        return "StartTimeout";
    }
    *ret_words = "a pod ended before the gang could start";
    return "PodLost";
}

/* Whether the gang was made, or was to be made, and its pods did not come to run. */
static bool has_not_come_to_run(const char *reason)
{
    return strcmp(reason, "StartTimeout") == 0 || strcmp(reason, "PodFailed") == 0 ||
           strcmp(reason, "PodRefused") == 0;
}

/* The nodes of members that never came are tried last next time. */
static void avoid_late_nodes(struct job *job)
{
    for (uint32_t i = 0; i < job->members_count; i++)
        if (!job->members[i].joined && job->members[i].node)
            trainingjob_avoid_node(&job->draft, job->members[i].node, job->controller->wall_ms,
                                   JOB_NODE_AVOID_BASE_MS, JOB_NODE_AVOID_MAX_MS);
}

/* A launcher that says that it can never work ends the job. */
static bool is_bad_specification(const struct job *job)
{
    for (uint32_t i = 0; i < job->members_count; i++)
        if (job->members[i].pod && job->members[i].pod->exit_code == LAUNCHER_EXIT_BAD)
            return true;
    return false;
}

void admit_undo(struct job *job)
{
    struct controller *c = job->controller;
    const char *words;
    const char *reason = undo_reason(job, &words);
    if (is_bad_specification(job)) {
        finish_fail(job, "InvalidSpec", words);
        return;
    }
    if (strcmp(reason, "StartTimeout") == 0)
        avoid_late_nodes(job);
    if (has_not_come_to_run(reason))
        delivery_failed(job, words);
    event_record(job, true, "Requeued", "the gang gives its nodes back and waits again: %s", words);
    job_set_phase(job, TRAININGJOB_PHASE_QUEUED);
    (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_ADMITTED, false, reason,
                                    words, c->wall_ms);
    (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_QUEUED, true, reason, words,
                                    c->wall_ms);
    job_give_back(job, reason, words);
    volumes_forget(job); /* a claim may have been bound meanwhile */
    free(steal_ptr(&job->undo_words));
    job->undo_reason = NULL;
    job->planned_until_ms = c->now_ms; /* what was made of the pods may not be what was planned */
    finish_let_go(job);                /* the gang is forgotten when its pods have ended */
    job->no_place = job->adopting = false;
    job_forget_verdict(job);
    c->metrics.count[METRIC_GANGS_UNDONE]++;
    job_gate(job);
}
