/* Jobs: what users submit and do, what their programs are like, and their checkpoint folders. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "tests/simulation/rules.h"
#include "tests/simulation/sim.h"

#define JOBS_PATH "/apis/mltrain.io/v1alpha1/namespaces/" SIM_NAMESPACE "/trainingjobs"

/* ---- checkpoint folders ---- */

const struct sim_checkpoint *checkpoint_find(const struct sim_job *job, int64_t step)
{
    for (int i = 0; i < job->folder_count; i++)
        if (job->folder[i].step == step && !job->folder[i].deleted)
            return &job->folder[i];
    return NULL;
}

void checkpoint_remove(struct sim_job *job, int64_t step)
{
    for (int i = 0; i < job->folder_count; i++)
        job->folder[i].deleted |= job->folder[i].step == step;
}

bool checkpoint_is_last(const struct sim_job *job, int64_t step)
{
    for (int i = 0; i < job->folder_count; i++)
        if (job->folder[i].step != step && !job->folder[i].deleted &&
            job->folder[i].state == CHECKPOINT_COMPLETE)
            return false;
    return true;
}

/* A step that was saved before is written anew beside the old one and takes its place at the end.
 */
int checkpoint_begin(struct sim *s, struct sim_job *job, int64_t step, uint64_t attempt)
{
    int at = job->folder_count;
    for (int i = 0; i < job->folder_count; i++)
        if (job->folder[i].step == step)
            at = i;
    if (at == job->folder_count && job->folder_count < SIM_CHECKPOINTS_MAX)
        job->folder_count++;
    else if (at == job->folder_count)
        at--;
    struct sim_checkpoint *c = &job->folder[at];
    if (c->step == step && c->state == CHECKPOINT_COMPLETE && !c->deleted)
        return at;
    *c = (struct sim_checkpoint){.step = step,
                                 .wall_ms = sim_wall_ms(s),
                                 .state = CHECKPOINT_WRITING,
                                 .attempt = attempt,
                                 .fingerprint = ++s->ids,
                                 .proves = job->proves};
    return at;
}

/* ---- looking ---- */

struct sim_job *job_of_uid(struct sim *s, const char *uid)
{
    for (int i = 0; i < s->jobs_count; i++)
        if (*uid && strcmp(s->jobs[i].uid, uid) == 0)
            return &s->jobs[i];
    return NULL;
}

const char *job_phase(struct sim *s, const struct sim_job *job)
{
    return json_string(api_object(s, "trainingjobs", job->name), "status.phase", "");
}

bool job_is_over(struct sim *s, const struct sim_job *job)
{
    if (!job->submitted)
        return false;
    if (!api_object(s, "trainingjobs", job->name))
        return true;
    const char *phase = job_phase(s, job);
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

/* ---- what users do ---- */

static char *manifest(struct sim *s, const struct sim_job *job)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    json_set_string(o, "apiVersion", "mltrain.io/v1alpha1");
    json_set_string(o, "kind", "TrainingJob");
    json_set_string(o, "metadata.name", job->name);
    json_set_string(o, "metadata.namespace", SIM_NAMESPACE);
    json_set_integer(o, "spec.nprocPerNode", job->nproc);
    json_set_integer(o, "spec.workers.replicas", job->replicas);
    json_set_integer(o, "spec.backoffLimit", job->backoff_limit);
    json_set_string(o, "spec.checkpoint.path", "/data/checkpoints");
    json_set_string(o, "spec.checkpoint.format", job->proves ? "dcp" : "pattern");
    if (!job->proves)
        json_set_string(o, "spec.checkpoint.pattern", "step-{step}");
    json_set_integer(o, "spec.checkpoint.gracePeriodSeconds", job->grace_s);
    json_set_string(o, "spec.progress.pattern", "step (?<step>\\d+)");
    if (job->deadline_s)
        json_set_integer(o, "spec.activeDeadlineSeconds", job->deadline_s);
    rules_manifest(s, job, o);
    turns_manifest(job, o);
    if (job->wish == WISH_TTL)
        json_set_integer(o, "spec.ttlSecondsAfterFinished", 20);
    cleanup_free char *pod = mlt_asprintf(
        "{\"spec\":{\"containers\":[{\"name\":\"trainer\",\"image\":\"i\",\"command\":[\"python3\","
        "\"train.py\"],\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"%d\"}},\"volumeMounts\":[{"
        "\"name\":\"data\",\"mountPath\":\"/"
        "data\"}]}],\"volumes\":[{\"name\":\"data\",\"hostPath\":{"
        "\"path\":\"/srv/data\"}}]}}",
        job->nproc);
    json_set(o, "spec.workers.template", sim_parse(pod));
    return json_print(o);
}

void job_submit(struct sim *s, struct sim_job *job)
{
    cleanup_free char *body = manifest(s, job);
    cleanup_json cJSON *answer = NULL;
    int status = api_now(s, "POST", JOBS_PATH, NULL, body, &answer);
    sim_say(s, "user", "submits %s: %d pods of %d ranks, %" PRId64 " steps", job->name,
            job->replicas, job->nproc, job->total_steps);
    if (status != 201)
        sim_violated(s, "the API server takes every job that is submitted here", "%d: %s", status,
                     json_string(answer, "message", ""));
    (void)snprintf(job->uid, sizeof job->uid, "%s", json_string(answer, "metadata.uid", ""));
    job->submitted = true;
}

void job_act(struct sim *s, struct sim_job *job, const char *what)
{
    cleanup_free char *path = mlt_asprintf(JOBS_PATH "/%s", job->name);
    cleanup_json cJSON *patch = cJSON_CreateObject();
    if (!job->submitted || !api_object(s, "trainingjobs", job->name))
        return;
    sim_say(s, "user", "%s: %s", job->name, what);
    oracle_excuse_mildly(s, job);
    oracle_stop_asked(s, job, what);
    if (strcmp(what, "delete") == 0) {
        job->deleted = true;
        (void)api_now(s, "DELETE", path, NULL, NULL, NULL);
        return;
    }
    if (strcmp(what, "suspend") == 0 || strcmp(what, "resume") == 0) {
        json_set_bool(patch, "spec.suspend", strcmp(what, "suspend") == 0);
        job->suspended_once = true;
    } else {
        json_set_string(patch, "metadata.annotations[mltrain.io/cancel]", what);
        job->cancelled = true;
    }
    (void)api_patch(s, path, patch);
}

/* ---- a seed's jobs ---- */

static void submits(struct sim *s, uint64_t index, void *data)
{
    (void)data;
    job_submit(s, &s->jobs[index]);
}

static void choose_program(struct sim *s, struct sim_job *job)
{
    job->init_ms = sim_between(s, 200, 4000);
    job->pace_ms = sim_between(s, 500, 2500);
    job->save_every = sim_between(s, 3, 8);
    job->save_ms = sim_between(s, 50, 2500);
    job->total_steps = sim_between(s, 8, 40);
    job->on_signal = (int)sim_between(s, 0, 2);
    job->proves = sim_between(s, 0, 4) > 0;
    job->reports_progress = sim_between(s, 0, 3) > 0;
    job->asks = sim_between(s, 0, 2) == 0;
}

static enum sim_wish choose_wish(struct sim *s)
{
    static const enum sim_wish wishes[] = {WISH_FINISH,   WISH_FINISH, WISH_FINISH,
                                           WISH_FINISH,   WISH_CANCEL, WISH_DELETE,
                                           WISH_DEADLINE, WISH_CRASH,  WISH_TTL};
    return wishes[sim_between(s, 0, (int64_t)MLT_ARRAY_LENGTH(wishes) - 1)];
}

/* Gangs of 1 to all GPUs of the cluster, so that some have to wait for others. */
void jobs_begin(struct sim *s)
{
    s->jobs_count = (int)sim_between(s, 1, 4);
    if (turns_are_the_theme(s))
        s->jobs_count = SIM_JOBS_MAX - 1; /* the last one is main.c's */
    int gpus_max = s->nodes[0].gpus;
    for (int i = 0; i < s->jobs_count; i++) {
        struct sim_job *job = &s->jobs[i];
        (void)snprintf(job->name, sizeof job->name, "job%d", i);
        job->nproc = (int)sim_between(s, 1, gpus_max < SIM_NPROC_MAX ? gpus_max : SIM_NPROC_MAX);
        int fit = s->nodes_count * (gpus_max / job->nproc);
        job->replicas = (int)sim_between(s, 1, fit < SIM_MEMBERS_MAX ? fit : SIM_MEMBERS_MAX);
        job->wish = choose_wish(s);
        job->backoff_limit = job->wish == WISH_CRASH ? sim_between(s, 0, 4) : 1000;
        job->deadline_s = job->wish == WISH_DEADLINE ? sim_between(s, 10, 90) : 0;
        job->grace_s = (int)sim_between(s, 0, 10);
        job->facts.started_resume = job->facts.credited_step = RENDEZVOUS_NO_STEP;
        choose_program(s, job);
        if (stops_are_the_theme(s))
            stops_choose_program(s, job);
        rules_begin(s, job);
        sim_after(s, sim_between(s, 100, 20000), submits, (uint64_t)i, NULL);
    }
}
