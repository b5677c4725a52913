/* The verb "finish": success and failure, the launchers are let go, pods are cleaned up, the job
 * object is deleted when its time to live is over. The end is written first: a launcher that exits
 * could not be asked again. */
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"

/* What was true of a running or waiting job is no longer. */
static void end_conditions(struct job *job, const char *reason)
{
    struct trainingjob_status *s = &job->draft;
    for (int type = TRAININGJOB_CONDITION_QUEUED; type <= TRAININGJOB_CONDITION_SUSPENDED; type++)
        job_end_condition(job, (enum trainingjob_condition_type)type, reason, "the job has ended");
    preempt_end_conditions(job, reason, "the job has ended");
    s->completion_ms = job->controller->wall_ms;
    trainingjob_forget_queue(s);
    s->recovery.pending_stop[0] = 0;
    s->recovery.pending_stop_ms = 0;
    s->recovery.next_attempt_ms = 0;
    s->progress.remaining_seconds = TRAININGJOB_NONE;
    job->settle_until_ms = job->controller->now_ms + JOB_SETTLE_MS;
    job_forget_verdict(job);
    job_ledger_none(job);
    job_gate(job);
}

void finish_complete(struct job *job)
{
    struct controller *c = job->controller;
    job_set_phase(job, TRAININGJOB_PHASE_SUCCEEDED);
    end_conditions(job, "Completed");
    (void)trainingjob_set_condition(
        &job->draft, TRAININGJOB_CONDITION_SUCCESS_CRITERIA_MET, true,
        job->tj.spec.success_policy == TRAININGJOB_SUCCESS_RANK0 ? "Rank0" : "AllRanks",
        "what successPolicy asks for has come true", c->wall_ms);
    (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_COMPLETE, true, "Completed",
                                    "the ranks have ended with success", c->wall_ms);
    c->metrics.count[METRIC_JOBS_SUCCEEDED]++;
    event_record(job, false, "Completed", "the job has succeeded");
}

void finish_fail(struct job *job, const char *reason, const char *message)
{
    struct controller *c = job->controller;
    job_set_phase(job, TRAININGJOB_PHASE_FAILED);
    end_conditions(job, reason);
    (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_FAILED, true, reason,
                                    message, c->wall_ms);
    c->metrics.count[METRIC_JOBS_FAILED]++;
    event_record(job, true, reason, "%s", message);
}

void finish_let_go(struct job *job)
{
    stop_tell_saved(job);
    job->let_go = true;
    job->let_go_ms = job->controller->now_ms;
    if (!job->coordinator)
        return;
    coordinator_exit(job->coordinator, job_exit_code(job),
                     trainingjob_phase_name(job->draft.phase));
    gang_drain(job);
}

/* ---- pods ---- */

static bool waited_long_enough(const struct job *job)
{
    return job->let_go && job->controller->now_ms - job->let_go_ms >= JOB_EXIT_WAIT_MS;
}

/* Launchers that were told to exit end their pods by themselves, and the logs stay. Deleted is what
 * does not end in time, and what no launcher answers from (an image that is still being pulled). */
static bool has_had_its_time(const struct job *job, const struct view_pod *pod)
{
    const struct member *m = member_of_pod(job, pod);
    bool waited = waited_long_enough(job);
    bool comes = m && (m->joined_once || pod->phase == VIEW_RUNNING); /* or comes again */
    bool answers = comes && strcmp(m->lost_uid, pod->uid) != 0;
    return view_pod_ended(pod) || waited || !job->members || !answers;
}

static bool finished_pod_is_to_go(const struct job *job, const struct view_pod *pod)
{
    bool ended = has_had_its_time(job, pod);
    int policy = job->has_tj ? job->tj.spec.clean_pod_policy : TRAININGJOB_CLEAN_RUNNING;
    if (policy == TRAININGJOB_CLEAN_ALL)
        return ended;
    if (policy == TRAININGJOB_CLEAN_RUNNING)
        return ended && !view_pod_terminal(pod);
    return false;
}

/* A pod of a former gang, or of no member: it came late, from a former controller. */
static bool is_stray(const struct job *job, const struct view_pod *pod)
{
    return job->members && !view_pod_terminal(pod) && !member_of_pod(job, pod);
}

static bool member_pod_is_to_go(const struct job *job, const struct view_pod *pod)
{
    const struct member *m = member_of_pod(job, pod);
    if (!m)
        return is_stray(job, pod);
    return !view_pod_terminal(pod) &&
           (m->renew || m->silent || pod->trainer_ended || strcmp(m->lost_uid, pod->uid) == 0);
}

static bool member_is_silent(const struct job *job, const struct view_pod *pod)
{
    const struct member *m = member_of_pod(job, pod);
    return m && m->silent && !view_pod_terminal(pod);
}

bool finish_pod_is_to_go(const struct job *job, const struct view_pod *pod)
{
    if (pod->delete_asked || pod->deleting || pod->delete_again_ms > job->controller->now_ms)
        return false;
    if (pod->surplus)
        return true;
    /* Deleted now, it would take its logs along. */
    if (view_pod_ends_soon(pod) && !waited_long_enough(job))
        return false;
    switch (job->draft.phase) {
    case TRAININGJOB_PHASE_QUEUED:
    case TRAININGJOB_PHASE_SUSPENDED:
        return !view_pod_terminal(pod) && has_had_its_time(job, pod);
    case TRAININGJOB_PHASE_SUCCEEDED:
    case TRAININGJOB_PHASE_FAILED:
        return finished_pod_is_to_go(job, pod);
    case TRAININGJOB_PHASE_STARTING:
    case TRAININGJOB_PHASE_RUNNING:
    case TRAININGJOB_PHASE_RESTARTING:
        return member_pod_is_to_go(job, pod);
    case TRAININGJOB_PHASE_PREEMPTING:
        return job->let_go ? !view_pod_terminal(pod) && has_had_its_time(job, pod)
                           : member_pod_is_to_go(job, pod);
    case TRAININGJOB_PHASE_ADMITTED:
        return member_is_silent(job, pod) || is_stray(job, pod);
    case TRAININGJOB_PHASE_NONE:
        break;
    }
    return false;
}

/* A webhook or a missing right: perhaps it will be allowed later. */
static void deletion_refused(struct job *job, const char *name, const char *words)
{
    for (struct view_pod *p = job_pods(job); p; p = p->next_of_job)
        if (strcmp(p->name, name) == 0) {
            p->delete_asked = false;
            p->delete_again_ms = job->controller->now_ms + JOB_DELETE_AGAIN_MS;
        }
    event_record(job, true, "DeletionRefused", "pod %s: %s", name, words);
}

/* By member, the newest first. */
static int by_member(const void *a, const void *b)
{
    const struct view_pod *x = *(struct view_pod *const *)a, *y = *(struct view_pod *const *)b;
    int role = strcmp(x->role, y->role);
    if (role || x->slot != y->slot)
        return role ? role : x->slot < y->slot ? -1 : 1;
    return x->creation > y->creation ? -1 : x->creation < y->creation;
}

/* Whether any slot has too many of them: nearly never, so that nothing needs to be sorted. */
static bool has_surplus(struct view_pod *const *ended, size_t count)
{
    uint32_t *of_slot = mlt_calloc(TRAININGJOB_REPLICAS_MAX + 1, sizeof *of_slot);
    bool found = false;
    for (size_t i = 0; i < count && !found; i++)
        found = ++of_slot[ended[i]->slot] > JOB_ENDED_PODS_MAX;
    free(of_slot);
    return found;
}

static void mark_surplus(struct view_pod **ended, size_t count)
{
    size_t of_member = 0;
    qsort(ended, count, sizeof(struct view_pod *), by_member);
    for (size_t i = 0; i < count; i++) {
        bool same = i && ended[i]->slot == ended[i - 1]->slot &&
                    strcmp(ended[i]->role, ended[i - 1]->role) == 0;
        of_member = same ? of_member + 1 : 1;
        ended[i]->surplus = of_member > JOB_ENDED_PODS_MAX;
    }
}

void finish_mark_surplus(struct job *job)
{
    struct view_pod **ended = NULL;
    size_t count = 0, capacity = 0;
    for (struct view_pod *p = job_pods(job); p; p = p->next_of_job) {
        p->surplus = false;
        if (!view_pod_terminal(p))
            continue;
        MLT_GROW(ended, count, capacity);
        ended[count++] = p;
    }
    if (count > JOB_ENDED_PODS_MAX && has_surplus(ended, count))
        mark_surplus(ended, count);
    free(ended);
}

static void pod_deleted(struct controller *c, const struct apply_order *order,
                        const struct apply_answer *answer)
{
    struct job *job = job_find(c, order->job_uid);
    const char *slash = strchr(order->key + strlen("pod/"), '/');
    cleanup_free char *namespace_ =
        mlt_strndup(order->key + strlen("pod/"), (size_t)(slash - order->key) - strlen("pod/"));
    if (answer->status == 404)
        view_pod_missing(c, namespace_, slash + 1);
    else if (answer->status < 300 && strcmp(json_string(answer->object, "kind", ""), "Pod") == 0)
        view_pod_answered(c, answer->object);
    if (!job)
        return;
    if (answer->status >= 400 && answer->status != 404 && answer->status != 409)
        deletion_refused(job, slash + 1, answer->words);
    job_touch_for_member(job);
}

/* This object and no other of its name; what it owns goes after it. */
static char *delete_options(const char *uid)
{
    cleanup_json cJSON *options = cJSON_CreateObject();
    json_set_string(options, "kind", "DeleteOptions");
    json_set_string(options, "apiVersion", "v1");
    json_set_string(options, "propagationPolicy", "Background");
    json_set_string(options, "preconditions.uid", uid);
    return json_print(options);
}

static void delete_pod(struct job *job, struct view_pod *pod)
{
    cleanup_free char *body = delete_options(pod->uid);
    cleanup_free char *key = mlt_asprintf("pod/%s/%s", pod->namespace_, pod->name);
    pod->delete_asked = true;
    apply_for_job(job, (struct apply_target){.resource = KUBE_POD, .name = pod->name},
                  (struct apply_order){
                      .verb = "DELETE",
                      .body = body,
                      .key = key,
                      .done = pod_deleted,
                  });
}

void finish_delete_pods(struct job *job)
{
    for (struct view_pod *p = job_pods(job); p; p = p->next_of_job)
        if (finish_pod_is_to_go(job, p))
            delete_pod(job, p);
    for (uint32_t i = 0; i < job->members_count; i++)
        job->members[i].silent = false;
}

void finish_retire(struct job *job)
{
    int64_t let_go_ms = job->let_go_ms;
    if (!job->members || !job->let_go || !job_finished(job) || job->creations)
        return;
    for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job)
        if (!view_pod_terminal(p))
            return;
    job_drop_gang(job);
    job->let_go = true;
    job->let_go_ms = let_go_ms;
}

/* ---- the object ---- */

static void job_deleted(struct controller *c, const struct apply_order *order,
                        const struct apply_answer *answer)
{
    struct job *job = job_find(c, order->job_uid);
    if (!job || answer->status < 300 || answer->status == 404)
        return;
    job_log(job, MLT_LOG_WARNING, "time to live is over, but deletion failed words=\"%s\"",
            answer->words);
    job->deleting_job = false;
    job->delete_again_ms = c->now_ms + JOB_DELETE_AGAIN_MS;
    job_touch(job);
}

void finish_delete_job(struct job *job)
{
    cleanup_free char *body = delete_options(job->uid);
    job->deleting_job = true;
    apply_for_job(job, (struct apply_target){.resource = KUBE_TRAININGJOB, .name = job->name},
                  (struct apply_order){
                      .verb = "DELETE",
                      .body = body,
                      .done = job_deleted,
                  });
}
