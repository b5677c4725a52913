/* What must be true after every step, and at the end. Each invariant is one function that begins
 * with its sentence. The oracle looks at the store, at the processes and at what crosses the
 * network, never into the controller. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "controller/api_right.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "tests/simulation/rules.h"
#include "tests/simulation/sim.h"

#define LATE_MS 100                /* a word that was on its way so long came late */
#define EXCUSED_MS (5 * 60 * 1000) /* so long what was disturbed may have consequences */
#define UNDO_MS (3 * 60 * 1000)    /* for the refusal's status write, under every API fault */
#define LATE_POD_MS (60 * 1000)    /* for the removal of a pod that nobody asks for any more */
/* Writes that the API server may have to take, all told; see oracle_end(). */
#define WRITES_PER_JOB 40
#define WRITES_PER_ATTEMPT_AND_POD 6
#define WRITES_PER_FAULT 4
#define WRITES_PER_MINUTE 7 /* of a job that runs: progress, and queue positions */

static const char *text(const cJSON *object, const char *path)
{
    return json_string(object, path, "");
}

static struct sim_job *job_of(struct sim *s, const cJSON *object)
{
    return job_of_uid(s, text(object, "metadata.uid"));
}

static struct sim_job *owner_of(struct sim *s, const cJSON *object)
{
    return job_of_uid(s, text(object, "metadata.labels[mltrain.io/job-uid]"));
}

static bool has_ended(const cJSON *pod)
{
    const char *phase = text(pod, "status.phase");
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

static bool has_live_rank(const struct sim_launcher *l)
{
    for (uint32_t i = 0; i < l->nproc; i++)
        if (l->ranks[i].state == RANK_ALIVE || l->ranks[i].state == RANK_HUNG)
            return true;
    return false;
}

void oracle_excuse(struct sim *s, struct sim_job *job)
{
    oracle_excuse_mildly(s, job);
    job->facts.shocks++;
}

void oracle_excuse_mildly(struct sim *s, struct sim_job *job)
{
    job->facts.excused_ms = s->now_ms;
    job->facts.excuses++;
}

void oracle_own_failure(struct sim_job *job, uint64_t attempt)
{
    /* On a node that is cut off a rank of an attempt that is long over may fail after one of the
     * newest. */
    if (attempt <= job->facts.failed_attempt)
        return;
    job->facts.failures++;
    job->facts.failed_attempt = attempt;
}

void oracle_echo(struct sim_job *job, uint64_t attempt, uint32_t rank)
{
    struct sim_facts *f = &job->facts;
    if (attempt != f->echo_attempt)
        f->echo_ranks = 0;
    f->echo_attempt = attempt;
    f->echo_ranks |= UINT64_C(1) << rank % 64;
}

/* ---- who may act ---- */

static void check_leads(struct sim *s, const struct sim_host *host, const char *what)
{
    static const char sentence[] = "who writes or starts ranks holds the lease: never two leaders";
    struct sim_object *lease = NULL;
    HASH_FIND_STR(s->objects, "leases/mltrain-system/mltrain-controller", lease);
    const char *holder = lease ? text(lease->json, "spec.holderIdentity") : "";
    if (strcmp(holder, host->identity) != 0)
        sim_violated(s, sentence, "%s: %s, while `%s` holds it", host->identity, what, holder);
}

void oracle_request(struct sim *s, const struct sim_host *host, const struct controller_effect *e)
{
    if (!api_right_find(e->verb, e->path, "mltrain-system"))
        sim_violated(s, "nothing is asked of the API server that the chart's roles do not allow",
                     "%s %s", e->verb, e->path);
    if (strcmp(e->verb, "GET") != 0 && !strstr(e->path, "/leases"))
        check_leads(s, host, e->path);
}

/* ---- START ---- */

static void check_stored(struct sim *s, const struct sim_job *job, uint64_t attempt, int64_t resume)
{
    static const char sentence[] = "no START for an attempt that the stored status does not hold";
    const cJSON *object = api_object(s, "trainingjobs", job->name);
    if (!object || strcmp(text(object, "metadata.uid"), job->uid) != 0)
        return; /* deleted: nobody can hold it */
    int64_t stored = json_integer(object, "status.attempt", 0);
    int64_t step = json_integer(object, "status.recovery.resumeStep", RENDEZVOUS_NO_STEP);
    if (stored != (int64_t)attempt || step != resume)
        sim_violated(s, sentence,
                     "%s: START of attempt %" PRIu64 " from step %" PRId64
                     ", stored are attempt %" PRId64 " and step %" PRId64,
                     job->name, attempt, resume, stored, step);
}

static void check_whole(struct sim *s, struct sim_job *job, uint64_t attempt)
{
    static const char sentence[] = "a gang starts whole: no START unless every member is ready";
    if (attempt <= job->facts.whole_attempt)
        return; /* said again to one that has not heard it */
    job->facts.whole_attempt = attempt;
    for (int i = 0; i < job->replicas; i++)
        if (job->facts.ready[i] <= job->facts.spawned[i])
            sim_violated(s, sentence,
                         "%s: START of attempt %" PRIu64 ", but member %d is not ready", job->name,
                         attempt, i);
}

void oracle_frame_down(struct sim *s, const struct sim_host *host, const struct sim_launcher *l,
                       const struct rendezvous_frame *frame)
{
    struct rendezvous_message m;
    if (!host)
        return;
    if (frame->type == RENDEZVOUS_START || frame->type == RENDEZVOUS_STOP)
        check_leads(s, host, rendezvous_type_name(frame->type));
    if (frame->type != RENDEZVOUS_START || rendezvous_message_read(frame, &m, NULL) < 0)
        return;
    check_stored(s, l->job, m.attempt, m.start.resume_step);
    check_whole(s, l->job, m.attempt);
    rendezvous_message_release(&m);
}

void oracle_frame_up(struct sim *s, const struct sim_launcher *l,
                     const struct rendezvous_frame *frame)
{
    uint64_t *ready = &l->job->facts.ready[l->slot];
    struct rendezvous_message m;
    if (frame->type == RENDEZVOUS_STOPPED && rendezvous_message_read(frame, &m, NULL) == 0) {
        if (m.stopped.unkillable)
            rules_stuck(s, l, frame->attempt);
        rendezvous_message_release(&m);
    }
    bool is_ready =
        frame->type == RENDEZVOUS_READY ||
        (frame->type == RENDEZVOUS_HELLO && supervisor_state(l->supervisor) == SUPERVISOR_READY);
    if (is_ready && frame->attempt > *ready)
        *ready = frame->attempt;
}

/* ---- ranks ---- */

static void check_one_rank_each(struct sim *s, const struct sim_launcher *l, uint64_t attempt)
{
    static const char sentence[] =
        "no two live ranks with one rank number of one job in one attempt";
    for (const struct sim_launcher *o = s->launchers; o; o = o->next)
        if (o != l && o->job == l->job && has_live_rank(o) &&
            supervisor_attempt(o->supervisor) == attempt &&
            o->rank_base < l->rank_base + l->nproc && l->rank_base < o->rank_base + o->nproc)
            sim_violated(s, sentence, "%s, attempt %" PRIu64 ": rank %u in %s and in %s",
                         l->job->name, attempt, l->rank_base, l->pod, o->pod);
}

static bool is_skipped(struct sim *s, const struct sim_job *job, int64_t step)
{
    const cJSON *skipped =
        json_find(api_object(s, "trainingjobs", job->name), "status.recovery.skippedCheckpoints");
    const cJSON *item;
    int64_t value;
    cJSON_ArrayForEach(item, skipped)
    {
        if (json_is_integer(item, &value) && value == step)
            return true;
    }
    return false;
}

static bool has_other(struct sim *s, const struct sim_job *job)
{
    for (int i = 0; i < job->folder_count; i++)
        if (job->folder[i].state == CHECKPOINT_COMPLETE && !job->folder[i].deleted &&
            !is_skipped(s, job, job->folder[i].step))
            return true;
    return false;
}

static void check_resume(struct sim *s, const struct sim_job *job, int64_t step)
{
    static const char complete[] = "ranks resume only from a complete checkpoint";
    static const char back[] = "the resume step goes back only by the poison rule, or when its "
                               "checkpoint was found damaged";
    const struct sim_checkpoint *c = step >= 0 ? checkpoint_find(job, step) : NULL;
    static const char skipped[] =
        "a checkpoint that was given up is not resumed from while there is another";
    if (step >= 0 && is_skipped(s, job, step) && has_other(s, job))
        sim_violated(s, skipped, "%s: step %" PRId64, job->name, step);
    if (!job->proves || job->facts.unverified)
        return; /* what proves nothing may deceive; a folder that hangs cannot be verified */
    if (step >= 0 && (!c || c->state != CHECKPOINT_COMPLETE))
        sim_violated(s, complete, "%s: step %" PRId64 " is %s", job->name, step,
                     c ? "torn" : "not there");
    int64_t former = job->facts.started_resume;
    const struct sim_checkpoint *f = former >= 0 ? checkpoint_find(job, former) : NULL;
    if (step < former && f && f->state == CHECKPOINT_COMPLETE && !is_skipped(s, job, former))
        sim_violated(s, back, "%s: from step %" PRId64 " to %" PRId64, job->name, former, step);
}

void oracle_spawn(struct sim *s, const struct sim_launcher *l)
{
    struct sim_facts *f = &l->job->facts;
    uint64_t attempt = supervisor_attempt(l->supervisor);
    int64_t resume = supervisor_start(l->supervisor)->resume_step;
    check_one_rank_each(s, l, attempt);
    f->spawned[l->slot] = attempt;
    rules_spawned(s, l);
    turns_spawned(s, l->job, attempt);
    f->spawn_skew_ms = attempt == f->started_attempt ? s->now_ms - f->spawned_ms : 0;
    if (attempt <= f->started_attempt)
        return;
    f->spawned_ms = s->now_ms;
    f->stop_ms = -1;
    check_resume(s, l->job, resume);
    f->started_attempt = attempt;
    f->started_resume = resume;
}

void oracle_ranks_stopped(struct sim *s, const struct sim_launcher *l)
{
    static const char sentence[] = "no failure of a controller or of the API stops ranks that run";
    const struct sim_world *w = world_find(s, l->world);
    const struct sim_job *job = l->job;
    if (!w || !w->running || w->broken || w->leaving || job->deadline_s ||
        job->facts.failed_attempt >= w->attempt)
        return;
    if (job->facts.excused_ms < 0 || job->facts.excused_ms + EXCUSED_MS < s->now_ms)
        sim_violated(s, sentence, "%s: the ranks of attempt %" PRIu64 " in %s are stopped",
                     job->name, w->attempt, l->pod);
}

/* ---- status writes ---- */

static void check_phase(struct sim *s, const struct sim_job *job, const char *from, const char *to)
{
    static const char sentence[] = "phases change only as docs/trainingjob.md draws it";
    static const char *const allowed[][2] = {
        {"", "Queued Admitted Failed Suspended"},
        {"Queued", "Admitted Suspended Failed"},
        {"Admitted", "Starting Preempting Queued Suspended Failed"},
        {"Starting", "Running Restarting Preempting Queued Suspended Succeeded Failed"},
        {"Running", "Restarting Starting Preempting Queued Suspended Succeeded Failed"},
        {"Restarting", "Starting Running Preempting Queued Suspended Succeeded Failed"},
        {"Preempting", "Queued Suspended Succeeded Failed"},
        {"Suspended", "Queued Admitted Failed"},
        {"Succeeded", ""},
        {"Failed", ""},
    };
    if (strcmp(from, to) == 0)
        return;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(allowed); i++)
        if (strcmp(allowed[i][0], from) == 0 && strstr(allowed[i][1], to))
            return;
    sim_violated(s, sentence, "%s: from `%s` to `%s`", job->name, from, to);
}

static int64_t complete_between(const struct sim_job *job, int64_t above, int64_t upto)
{
    int64_t count = 0;
    for (int i = 0; i < job->folder_count; i++) {
        const struct sim_checkpoint *c = &job->folder[i];
        bool counts = c->state == CHECKPOINT_COMPLETE || c->was_complete || !c->proves;
        count += counts && c->step > above && c->step <= upto;
    }
    return count;
}

static void check_charge(struct sim *s, struct sim_job *job, const cJSON *before, const cJSON *now)
{
    static const char charged[] = "a charge is for a failure of the job itself, once an attempt";
    static const char refilled[] =
        "a charge comes back only for a complete checkpoint newer than any before";
    struct sim_facts *f = &job->facts;
    int64_t was = json_integer(before, "status.restartsCharged", 0);
    int64_t is = json_integer(now, "status.restartsCharged", 0);
    int64_t step = json_integer(now, "status.checkpoint.step", RENDEZVOUS_NO_STEP);
    step = json_integer(now, "status.recovery.highestCheckpointStep", step); /* damaged since */
    bool late = f->late_write;
    if (json_equal(json_find(before, "status"), json_find(now, "status")))
        return; /* a user's: who leads has still not written */
    /* Who leads may have read the status before a former leader's last write came, and goes on from
     * there: what was given back by that write is taken once more, and comes back with the next
     * look. */
    if (!late) {
        f->late_charges = was;
        f->late_credited = f->credited_step;
        f->late_row = json_integer(before, "status.recovery.inPlaceFailures", 0);
    }
    f->late_write = s->asker_gone;
    if (was < f->late_charges)
        was = f->late_charges;
    int64_t above = f->late_credited;
    int64_t credit = step > above ? complete_between(job, above, step) : 0;
    if (is > was) {
        uint64_t attempt = (uint64_t)json_integer(before, "status.attempt", 0);
        if (is > was + 1 || f->failed_attempt < attempt || f->charged_attempt >= attempt)
            sim_violated(s, charged,
                         "%s: from %" PRId64 " to %" PRId64 " after attempt %" PRIu64
                         " (own failure in attempt %" PRIu64 ", charged attempt %" PRIu64 ")",
                         job->name, was, is, attempt, f->failed_attempt, f->charged_attempt);
        f->charged_attempt = attempt;
    }
    if (is < was - credit)
        sim_violated(s, refilled,
                     "%s: from %" PRId64 " to %" PRId64 " for %" PRId64
                     " new complete checkpoints up to step %" PRId64,
                     job->name, was, is, credit, step);
    if (step > f->credited_step || late)
        f->credited_step = step;
}

bool oracle_order_is_open(struct sim *s, const struct sim_job *job)
{
    for (const struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->job == job && (l->word_ms >= LATE_MS || (l->spawned && l->asked_ms >= LATE_MS)))
            return job->facts.spawn_skew_ms >= LATE_MS;
    return false;
}

static const cJSON *last_failure(const cJSON *job)
{
    const cJSON *failures = json_find(job, "status.failures");
    return cJSON_GetArrayItem(failures, cJSON_GetArraySize(failures) - 1);
}

/* However late the START of one member, or some words of another: looked at when it is first told,
 * while it is known how late they were. */
static void check_culprit(struct sim *s, const struct sim_job *job, const cJSON *before,
                          const cJSON *now)
{
    static const char sentence[] = "the culprit is never a survivor";
    const struct sim_facts *f = &job->facts;
    const cJSON *last = last_failure(now);
    if (cJSON_Compare(last, last_failure(before), true))
        return;
    int64_t rank = json_integer(last, "rank", -1);
    bool excused = f->excused_ms >= 0 && f->excused_ms + EXCUSED_MS > s->now_ms;
    if (rank >= 0 && !excused && json_integer(last, "attempt", 0) == (int64_t)f->echo_attempt &&
        f->echo_attempt == f->started_attempt && (f->echo_ranks >> rank % 64 & 1) &&
        !oracle_order_is_open(s, job))
        sim_violated(s, sentence, "%s: rank %" PRId64 " in attempt %" PRIu64, job->name, rank,
                     f->echo_attempt);
}

static void check_attempt(struct sim *s, const struct sim_job *job, const cJSON *before,
                          const cJSON *now)
{
    static const char sentence[] = "attempts only go up";
    int64_t was = json_integer(before, "status.attempt", 0);
    int64_t is = json_integer(now, "status.attempt", 0);
    if (is < was)
        sim_violated(s, sentence, "%s: from %" PRId64 " to %" PRId64, job->name, was, is);
}

static void job_changed(struct sim *s, const cJSON *before, const cJSON *now)
{
    struct sim_job *job = now ? job_of(s, now) : NULL;
    if (!now && before)
        sim_say(s, text(before, "metadata.name"), "is gone");
    if (!job)
        return;
    if (strcmp(text(before, "status.phase"), text(now, "status.phase")) != 0)
        sim_say(s, job->name, "%s -> %s", text(before, "status.phase"), text(now, "status.phase"));
    check_phase(s, job, text(before, "status.phase"), text(now, "status.phase"));
    check_attempt(s, job, before, now);
    check_charge(s, job, before, now);
    check_culprit(s, job, before, now);
    rules_job_changed(s, job, before, now);
    turns_job_changed(s, job, before, now);
    if (strcmp(text(now, "status.phase"), "Admitted") != 0)
        job->facts.forbidden_ms = 0;
}

/* ---- pods ---- */

static bool is_well(struct sim *s, const cJSON *pod)
{
    for (int i = 0; i < s->nodes_count; i++)
        if (strcmp(s->nodes[i].name, text(pod, "spec.nodeName")) == 0)
            return s->nodes[i].up && s->nodes[i].reachable && s->nodes[i].ready &&
                   (s->nodes[i].away_ms < 0 || s->nodes[i].away_ms + EXCUSED_MS < s->now_ms);
    return false;
}

/* Its gang was undone, and who did that has gone before it was deleted: for a moment it is in the
 * way of whom the place was given to, and the kubelet says so. */
static bool is_left_over(struct sim *s, const struct sim_object *pod, const struct sim_job *job)
{
    const cJSON *object = api_object(s, "trainingjobs", job->name);
    return pod->leader != api_leader(s) && strcmp(text(object, "status.phase"), "Queued") == 0;
}

static void check_nodes(struct sim *s, const cJSON *pod)
{
    static const char sentence[] = "no node is oversubscribed by us";
    const char *name = text(pod, "spec.nodeName");
    int64_t used = 0;
    if (s->asker_gone) /* its next one could not know, and removes it when it does */
        return;
    cleanup_text struct mlt_text pods = MLT_TEXT_INIT(1024);
    API_EACH(s, o, "pods")
    if (strcmp(text(o->json, "spec.nodeName"), name) == 0 && !has_ended(o->json) && !o->late) {
        const struct sim_job *job = owner_of(s, o->json);
        bool ends = json_find(o->json, "metadata.deletionTimestamp") != NULL;
        if (!job || !api_object(s, "trainingjobs", job->name) || (ends && !is_well(s, o->json)) ||
            is_left_over(s, o, job))
            continue; /* goes with its job, or was given up with its node */
        used += job->nproc;
        mlt_text_printf(&pods, " %s%s", text(o->json, "metadata.name"),
                        ends ? " (terminating)" : "");
    }
    for (int i = 0; i < s->nodes_count; i++)
        if (strcmp(s->nodes[i].name, name) == 0 && used > s->nodes[i].gpus)
            sim_violated(s, sentence, "%s has %d GPUs, its pods want %" PRId64 ":%s", name,
                         s->nodes[i].gpus, used, mlt_text_string(&pods));
}

/* Whether a pod of this name has been of this job before. */
static bool had_name(struct sim *s, const cJSON *pod)
{
    char key[256];
    struct sim_name *name;
    (void)snprintf(key, sizeof key, "%s/%s", text(pod, "metadata.labels[mltrain.io/job-uid]"),
                   text(pod, "metadata.name"));
    HASH_FIND_STR(s->pod_names, key, name);
    if (name)
        return true;
    name = mlt_calloc(1, sizeof *name + strlen(key) + 1);
    memcpy(name->text, key, strlen(key));
    HASH_ADD_KEYPTR(hh, s->pod_names, name->text, strlen(key), name);
    return false;
}

static bool may_run(struct sim *s, const cJSON *pod)
{
    return !has_ended(pod) && !json_find(pod, "metadata.deletionTimestamp") && is_well(s, pod);
}

/* Another pod of its slot that may run, or NULL. */
static const cJSON *beside(struct sim *s, const cJSON *pod)
{
    API_EACH(s, o, "pods")
    if (strcmp(text(o->json, "metadata.uid"), text(pod, "metadata.uid")) != 0 &&
        strcmp(text(o->json, "metadata.labels[mltrain.io/job-uid]"),
               text(pod, "metadata.labels[mltrain.io/job-uid]")) == 0 &&
        strcmp(text(o->json, "metadata.labels[mltrain.io/index]"),
               text(pod, "metadata.labels[mltrain.io/index]")) == 0 &&
        may_run(s, o->json))
        return o->json;
    return NULL;
}

static void check_gone(struct sim *s, uint64_t id, void *uid)
{
    static const char sentence[] = "a pod that comes late beside another one is removed";
    (void)id;
    API_EACH(s, o, "pods")
    if (strcmp(text(o->json, "metadata.uid"), uid) == 0 && may_run(s, o->json) &&
        beside(s, o->json))
        sim_violated(s, sentence, "%s", text(o->json, "metadata.name"));
}

static void check_one_pod_each(struct sim *s, const cJSON *pod, bool name_is_used)
{
    static const char sentence[] = "no slot has two pods that may run";
    const cJSON *other = beside(s, pod);
    if (!other)
        return;
    /* The next controller gave its pod the same name, as it should, but that one has gone already:
     * what is on its way meets nothing. */
    if (s->asker_gone && name_is_used)
        sim_after(s, LATE_POD_MS, check_gone, 0, mlt_strdup(text(pod, "metadata.uid")));
    else
        sim_violated(s, sentence, "%s and %s", text(other, "metadata.name"),
                     text(pod, "metadata.name"));
}

static void check_placed(struct sim *s, const cJSON *pod)
{
    static const char sentence[] = "the placement stands in the status before any pod exists";
    const struct sim_job *job = owner_of(s, pod);
    const cJSON *object = job ? api_object(s, "trainingjobs", job->name) : NULL;
    const char *phase = text(object, "status.phase");
    bool late = !object || strcmp(phase, "Queued") == 0 || strcmp(phase, "Suspended") == 0 ||
                strcmp(phase, "Failed") == 0 || strcmp(phase, "Succeeded") == 0;
    if (!late && !*text(object, "status.placement.workers"))
        sim_violated(s, sentence, "%s", text(pod, "metadata.name"));
}

void oracle_object_changed(struct sim *s, const char *key, const cJSON *before, const cJSON *now)
{
    if (strncmp(key, "trainingjobs/", 13) == 0)
        job_changed(s, before, now);
    if (strncmp(key, "pods/", 5) == 0 && now && !before) {
        check_nodes(s, now);
        check_one_pod_each(s, now, had_name(s, now));
        check_placed(s, now);
    }
}

/* ---- after every event ---- */

static void check_undone(struct sim *s, const struct sim_job *job)
{
    static const char sentence[] = "a gang of which a pod was refused before its first START is "
                                   "undone as a whole";
    const struct sim_host *host = controller_find(s, job->facts.forbidden_to);
    if (job->facts.forbidden_ms && host && !host->paused &&
        job->facts.forbidden_ms + UNDO_MS < s->now_ms && job->facts.started_attempt == 0 &&
        api_object(s, "trainingjobs", job->name)) /* not deleted meanwhile */
        sim_violated(s, sentence, "%s is still Admitted, %" PRId64 " s after the refusal",
                     job->name, (s->now_ms - job->facts.forbidden_ms) / 1000);
}

void oracle_step(struct sim *s)
{
    for (int i = 0; i < s->jobs_count; i++)
        check_undone(s, &s->jobs[i]);
}

void oracle_begin(struct sim *s)
{
    for (int i = 0; i < SIM_JOBS_MAX; i++) {
        s->jobs[i].facts.excused_ms = s->jobs[i].facts.stop_ms = -1;
        s->jobs[i].facts.started_resume = RENDEZVOUS_NO_STEP;
        s->jobs[i].facts.credited_step = RENDEZVOUS_NO_STEP;
    }
}

/* ---- at the end ---- */

static const char *condition(const cJSON *object, const char *type, const char *field)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, json_find(object, "status.conditions"))
    {
        if (strcmp(text(c, "type"), type) == 0)
            return text(c, field);
    }
    return "";
}

static void check_end(struct sim *s, const struct sim_job *job)
{
    static const char sentence[] = "every job ends as it should";
    const cJSON *object = api_object(s, "trainingjobs", job->name);
    const char *phase = text(object, "status.phase");
    bool well = strcmp(phase, "Succeeded") == 0;
    const char *reason = condition(object, "Failed", "reason");
    bool right = well;
    if (!object)
        right = job->deleted || job->wish == WISH_TTL;
    else if (!well && job->cancelled && strcmp(reason, "Cancelled") == 0)
        right = true;
    else if (!well && job->deadline_s && strcmp(reason, "DeadlineExceeded") == 0)
        right = true;
    else if (!well && rules_explain_end(s, job, reason))
        right = true;
    else if (!well && strcmp(reason, "Poisoned") == 0)
        right = true; /* check_poisoned() has looked at it */
    else if (!well && strcmp(reason, "BackoffLimitExceeded") == 0) /* and check_cost() */
        right = json_integer(object, "status.restartsCharged", 0) == job->backoff_limit;
    else if ((job->wish == WISH_CRASH && job->on_signal != 1) || job->deleted)
        right = false; /* who exits with 0 when its pod is ended may count as done: README.md */
    if (!right)
        sim_violated(s, sentence, "%s ended as `%s` (%s)", job->name, phase, reason);
    if (object && (strcmp(condition(object, "Complete", "status"), "True") == 0) != well)
        sim_violated(s, sentence, "%s: %s, but its condition Complete says otherwise", job->name,
                     phase);
    if (object && (strcmp(condition(object, "Failed", "status"), "True") == 0) == well)
        sim_violated(s, sentence, "%s: %s, but its condition Failed says otherwise", job->name,
                     phase);
    if (strcmp(condition(object, "Running", "status"), "True") == 0)
        sim_violated(s, sentence, "%s: %s, and its condition Running is True", job->name, phase);
}

static void check_budget(struct sim *s, const struct sim_job *job)
{
    static const char sentence[] =
        "a job that always fails itself fails after backoffLimit charges, neither sooner nor later";
    const cJSON *object = api_object(s, "trainingjobs", job->name);
    const struct sim_facts *f = &job->facts;
    if (job->wish != WISH_CRASH || !object ||
        strcmp(condition(object, "Failed", "reason"), "BackoffLimitExceeded") != 0)
        return;
    int64_t charged = json_integer(object, "status.restartsCharged", 0);
    if (charged != job->backoff_limit || f->failures + f->excuses < job->backoff_limit + 1 ||
        f->failures > job->backoff_limit + 1 + 2 * (f->excuses + s->faults_count))
        sim_violated(s, sentence,
                     "%s: backoffLimit %" PRId64 ", charged %" PRId64 ", failed in %u attempts",
                     job->name, job->backoff_limit, charged, f->failures);
}

static void check_nothing_left(struct sim *s)
{
    static const char left[] = "after deletion or TTL no pod and no Secret is left";
    static const char running[] = "no pod runs for a job that has ended";
    for (struct sim_object *o = s->objects, *next; o; o = next) {
        next = o->hh.next;
        bool pod = api_is(o, "pods");
        if (!pod && !api_is(o, "secrets"))
            continue;
        const struct sim_job *job = owner_of(s, o->json);
        if (!job || !api_object(s, "trainingjobs", job->name))
            sim_violated(s, left, "%s", o->key);
        if (pod && !has_ended(o->json))
            sim_violated(s, running, "%s", o->key);
    }
    for (const struct sim_launcher *l = s->launchers; l; l = l->next)
        if (has_live_rank(l))
            sim_violated(s, running, "ranks live in %s", l->pod);
}

static void check_writes(struct sim *s)
{
    static const char sentence[] = "the API server takes a bounded number of writes per fault";
    uint64_t bound = WRITES_PER_FAULT * s->faults_count;
    for (int i = 0; i < s->jobs_count; i++) {
        const struct sim_job *job = &s->jobs[i];
        uint64_t rounds = job->facts.started_attempt + job->facts.excuses + 1;
        bound += WRITES_PER_JOB + rounds * (uint64_t)job->replicas * WRITES_PER_ATTEMPT_AND_POD;
        bound += (uint64_t)(s->now_ms / 60000) * WRITES_PER_MINUTE;
    }
    if (s->writes > bound)
        sim_violated(s, sentence, "%u writes, at most %" PRIu64 " are explained by %u faults",
                     s->writes, bound, s->faults_count);
}

void oracle_end(struct sim *s)
{
    for (int i = 0; i < s->jobs_count; i++) {
        check_end(s, &s->jobs[i]);
        check_budget(s, &s->jobs[i]);
    }
    check_nothing_left(s);
    check_writes(s);
}
