/* The dry run of a job's pod: what the API server would make of it, and whether it would have it.
 * Jobs whose pods are the same share one (probe_share.h). */
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

bool probe_is_known(const struct job *job)
{
    return job->planned_text && job->probed_generation == job->tj.metadata.generation;
}

static void put_off(struct job *job)
{
    job->planned_until_ms = job->controller->now_ms + JOB_PROBE_ANEW_MS;
}

void probe_doubt(struct job *job)
{
    if (!job->planned_until_ms)
        put_off(job);
}

/* What came of a dry run for those who waited for it: */
enum told {
    TOLD_NOTHING, /* or what they find by themselves */
    TOLD_REFUSED,
    TOLD_TO_COPY, /* refused with the launcher mounted, which is only one of two ways */
};

/* Those that have waited for what somebody else asked look again; alone, when he was refused: why
 * may lie in his name, and the words have it in them. Who stands in the line stays there: if his
 * pods are refused, too, he learns it when they are to be made. */
static void wake_those_who_wait(struct controller *c, uint32_t id, enum told told)
{
    for (struct job *job = c->jobs; job; job = job->hh.next) {
        if (job->probe_waits != id)
            continue;
        job->probe_waits = 0;
        job->probing = false;
        if (told == TOLD_TO_COPY)
            delivery_failed(job, "it was refused for another job");
        else if (told == TOLD_REFUSED && job->ledger == JOB_LEDGER_WAITS)
            put_off(job);
        else
            job->probe_alone = told == TOLD_REFUSED && job->ledger == JOB_LEDGER_NONE;
        job_touch(job);
    }
}

void probe_forget(struct job *job)
{
    struct controller *c = job->controller;
    uint32_t id = job->probe_asks;
    job->probe_asks = job->probe_waits = 0;
    if (id && probe_share_drop(&c->probe_share, id))
        wake_those_who_wait(c, id, TOLD_NOTHING);
}

/* The job may be planned with this pod. What another job was told before this one came may be out
 * of date, and nothing says so to a job that waits: it is asked about again when nobody takes that
 * for known any more. All that wait so share the question, and its answer is younger than any of
 * them. */
static void accept(struct job *job, cJSON *planned, bool is_borrowed)
{
    bool changes = job_set_planned(job, planned);
    int64_t until_ms = job->controller->now_ms + PROBE_SHARE_MS;
    job->planned_until_ms = is_borrowed && !job->probe_renews ? until_ms : 0;
    job->probed_generation = job->probe_generation;
    job->mounts = job->probe_mounts;
    job->probe_again_ms = 0;
    job->probe_alone = false;
    if (job->ledger != JOB_LEDGER_WAITS)
        return;
    if (changes)
        job_ledger_none(job); /* it asks for something else now */
    else if (strcmp(job->draft.queue.reason, SUBMIT_UNSCHEDULABLE) == 0)
        probe_doubt(job);
}

/* It has got its place with what was known before, while the API server was being asked. */
static bool comes_late(const struct job *job)
{
    return job->probe_renews && (job->draft.phase != TRAININGJOB_PHASE_QUEUED || job->placed);
}

static void refused(struct job *job, const char *words)
{
    job->probe_alone = false;
    if (comes_late(job))
        return;
    cleanup_free char *told = delivery_refusal(
        job->probe_mounts ? DELIVERY_IMAGE_VOLUME : DELIVERY_INIT_CONTAINER, words);
    if (job->ledger == JOB_LEDGER_WAITS)
        put_off(job);
    else
        submit_show_refusal(job, "PodRefused", told);
}

/* NULL: the API server takes the pod, and whole. */
static const char *objection(const struct job *job, const struct apply_answer *answer)
{
    if (answer->status >= 300 || !answer->object)
        return answer->words;
    if (job->probe_mounts && !delivery_is_kept(answer->object))
        return delivery_lost_words();
    return NULL;
}

/* Whatever stands in the way of the volume (a gate, an admission policy that lists the kinds of
 * volumes) may leave an init container alone. What is wrong with the pod otherwise is refused once
 * more. A 500 is a server that has failed. */
static bool may_be_delivery(const struct job *job, const struct apply_answer *answer)
{
    return job->controller->config.delivery == DELIVERY_AUTO && job->probe_mounts &&
           answer->status < 500;
}

static void probed(struct controller *c, const struct apply_order *order,
                   const struct apply_answer *answer)
{
    struct job *job = job_find(c, order->job_uid);
    if (!job)
        return; /* those who waited have asked for themselves */
    uint32_t id = job->probe_asks;
    job->probe_asks = 0;
    job->probing = false;
    job_touch(job);
    const char *words = objection(job, answer);
    bool copies = words && may_be_delivery(job, answer);
    if (words) {
        if (id && probe_share_drop(&c->probe_share, id))
            wake_those_who_wait(c, id, copies ? TOLD_TO_COPY : TOLD_REFUSED);
        if (copies)
            delivery_failed(job, words);
        else
            refused(job, words);
        return;
    }
    cleanup_json cJSON *planned = pod_build_planned(answer->object);
    if (id && probe_share_told(&c->probe_share, id, planned, c->now_ms))
        wake_those_who_wait(c, id, TOLD_NOTHING);
    if (!comes_late(job))
        accept(job, steal_ptr(&planned), false);
}

/* A creation that no pod of this job has had, so that the dry run does not meet a pod that exists.
 */
static int64_t unused_creation(const struct job *job)
{
    int64_t highest = 0;
    for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job)
        if (p->slot == 0 && p->creation > highest)
            highest = p->creation;
    return highest + 1;
}

/* Of the pod that is asked about. */
static enum delivery delivery_of_probe(const struct job *job)
{
    return job->copies ? DELIVERY_INIT_CONTAINER : job->controller->delivery;
}

/* The pod as it would be if the job had the name and UID that all have here. */
static char *text_of_pod(struct job *job)
{
    cleanup_json cJSON *pod = NULL;
    struct mlt_error err = {0};
    struct pod_build build = admit_pod(job, 1, delivery_of_probe(job));
    struct trainingjob tj = *build.tj; /* borrows everything else */
    tj.metadata.name = "job";
    tj.metadata.uid = "0";
    build.tj = &tj;
    return pod_build(&build, &pod, &err) < 0 ? NULL : json_print(pod);
}

/* True when nothing is to be asked now. */
static bool share(struct job *job, const char *text)
{
    struct controller *c = job->controller;
    const cJSON *pod = NULL;
    uint32_t id = 0;
    switch (probe_share_find(&c->probe_share, text, c->now_ms, &id, &pod)) {
    case PROBE_SHARE_KNOWN:
        accept(job, json_copy(pod), true);
        return true;
    case PROBE_SHARE_ASKED:
        probe_share_wait(&c->probe_share, id);
        job->probing = true;
        job->probe_waits = id;
        return true;
    case PROBE_SHARE_UNKNOWN:
        break;
    }
    job->probe_asks = probe_share_ask(&c->probe_share, text, job->namespace_);
    return false;
}

void probe_send(struct job *job)
{
    cleanup_json cJSON *pod = NULL;
    struct mlt_error err = {0};
    struct pod_build build = admit_pod(job, unused_creation(job), delivery_of_probe(job));
    job->probe_generation = job->tj.metadata.generation;
    job->probe_mounts = build.delivery == DELIVERY_IMAGE_VOLUME;
    job->probe_renews = probe_is_known(job);
    if (pod_build(&build, &pod, &err) < 0) {
        submit_show_refusal(job, "PodRefused", err.text);
        return;
    }
    cleanup_free char *text = job->probe_alone ? NULL : text_of_pod(job);
    if (text && share(job, text))
        return;
    cleanup_free char *body = json_print(pod);
    job->probing = true;
    apply_for_job(
        job,
        (struct apply_target){.resource = KUBE_POD, .query = "dryRun=All&fieldValidation=Strict"},
        (struct apply_order){
            .verb = "POST",
            .body = body,
            .tells_500 = true,
            .done = probed,
        });
}
