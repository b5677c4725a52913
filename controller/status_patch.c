/* The one way in which a status is written: the difference between what the API server holds and
 * the draft, with the resourceVersion that we know. Somebody else's write in between (409) means:
 * read again, decide again. */
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"

#define SAVE_RETRY_MS 5000 /* after a refusal that a second try will hardly change */

static void read_again(struct controller *c, const struct apply_order *order,
                       const struct apply_answer *answer)
{
    struct job *job = job_find(c, order->job_uid);
    if (!job)
        return;
    job->writing = false;
    job_touch(job);
    const char *uid = json_string(answer->object, "metadata.uid", "");
    if (answer->status == 200 && strcmp(uid, job->uid) == 0)
        job_seen(c, answer->object, 0);
    else if (answer->status == 200 || answer->status == 404)
        job_unknown(job);
    else
        job->save_again_ms = c->now_ms + SAVE_RETRY_MS;
}

static void ask_again(struct job *job)
{
    apply_for_job(job, (struct apply_target){.resource = KUBE_TRAININGJOB, .name = job->name},
                  (struct apply_order){
                      .verb = "GET",
                      .done = read_again,
                  });
}

static void saved(struct controller *c, const struct apply_order *order,
                  const struct apply_answer *answer)
{
    struct job *job = job_find(c, order->job_uid);
    if (!job)
        return;
    job_touch(job);
    if (answer->status == 409) {
        c->metrics.count[METRIC_CONFLICTS]++;
        if (job->write_by_ms > c->now_ms)
            job->write_by_ms = c->now_ms;
        ask_again(job);
        return;
    }
    job->writing = false;
    if (answer->status == 200) {
        job->gate_saved = job->gate_sent;
        job_seen(c, answer->object, 0);
    } else if (answer->status == 404) {
        job_unknown(job);
    } else {
        job_log(job, MLT_LOG_ERROR, "status write refused status=%d words=\"%s\"", answer->status,
                answer->words);
        job->save_again_ms = c->now_ms + SAVE_RETRY_MS;
        job->write_by_ms = job->save_again_ms;
    }
}

void status_save(struct job *job)
{
    struct controller *c = job->controller;
    if (job->has_tj) {
        /* Conditions too: they are judged anew with each write, and `kubectl wait` passes over
         * those of an earlier generation. */
        int64_t generation = job->tj.metadata.generation;
        job->draft.observed_generation = generation;
        for (size_t i = 0; i < job->draft.conditions_count; i++)
            job->draft.conditions[i].observed_generation = generation;
    }
    cleanup_json cJSON *patch =
        trainingjob_status_patch(&job->saved, &job->draft, job->resource_version);
    bool is_lazy = job->gate_saved == job->gate_seq;
    job->write_by_ms = INT64_MAX;
    job->gate_sent = job->gate_seq;
    if (!patch) {
        job->gate_saved = job->gate_seq;
        return;
    }
    job->writing = true;
    job_mark_sent(job);
    job->last_lazy_ms = c->now_ms;
    cleanup_free char *body = json_print(patch);
    cleanup_free char *key = mlt_asprintf("status/%s", job->uid);
    apply_for_job(job,
                  (struct apply_target){
                      .resource = KUBE_TRAININGJOB, .name = job->name, .subresource = "status"},
                  (struct apply_order){
                      .verb = "PATCH",
                      .content_type = "application/merge-patch+json",
                      .body = body,
                      .key = key,
                      .is_lazy = is_lazy,
                      .done = saved,
                  });
}
