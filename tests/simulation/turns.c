/* Histories in which it matters whose turn it is: jobs of several priorities want the same GPUs, in
 * some of them two queues share them, in some others start early where a start is reserved. Every
 * seventh seed is one. And what must be true of those that make way. */
#include <inttypes.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "tests/simulation/sim.h"
#include "trainingjob/object.h"

#define THEME_EVERY 7
#define RESERVATIONS_TRIED 4
#define CLOCK_MS 2000 /* a status tells whole seconds */
#define LEAVES_MS                                                                   \
    60000 /* from the end of the grace, in calm histories: kill, exit, a few writes \
           */

bool turns_are_the_theme(const struct sim *s)
{
    return !s->story && s->seed % THEME_EVERY == THEME_EVERY - 1;
}

/* ---- what users want ---- */

static const struct {
    const char *name, *policy;
    int value;
} classes[] = {
    {"low", "PreemptLowerPriority", -1000},
    {"high", "PreemptLowerPriority", 1000},
    {"polite", "Never", 1000},
};

static int value_of(const struct sim_job *job)
{
    for (size_t i = 0; job->priority && i < MLT_ARRAY_LENGTH(classes); i++)
        if (strcmp(classes[i].name, job->priority) == 0)
            return classes[i].value;
    return 0;
}

static bool has_queues(const struct sim *s)
{
    return s->seed / THEME_EVERY % 3 == 0;
}

static void create(struct sim *s, const char *path, cJSON *object)
{
    cleanup_free char *body = json_print(object);
    cleanup_json cJSON *answer = NULL;
    int status = api_now(s, "POST", path, NULL, body, &answer);
    cJSON_Delete(object);
    if (status != 201)
        sim_violated(s, "the API server takes what is created here", "%s: %d: %s", path, status,
                     json_string(answer, "message", ""));
}

void turns_create_classes(struct sim *s)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(classes); i++) {
        cJSON *o = cJSON_CreateObject();
        json_set_string(o, "apiVersion", "scheduling.k8s.io/v1");
        json_set_string(o, "kind", "PriorityClass");
        json_set_string(o, "metadata.name", classes[i].name);
        json_set_integer(o, "value", classes[i].value);
        json_set_string(o, "preemptionPolicy", classes[i].policy);
        create(s, "/apis/scheduling.k8s.io/v1/priorityclasses", o);
    }
}

static void create_queue(struct sim *s, const char *name, const char *parent, int gpus,
                         const char *reclaim)
{
    cJSON *o = cJSON_CreateObject();
    json_set_string(o, "apiVersion", "mltrain.io/v1alpha1");
    json_set_string(o, "kind", "TrainingQueue");
    json_set_string(o, "metadata.name", name);
    json_set_string(o, "spec.preemption.withinQueue", "LowerPriority");
    if (parent) {
        cJSON *quota = cJSON_CreateObject();
        json_set_string(o, "spec.parent", parent);
        json_set_string(quota, "resource", "nvidia.com/gpu");
        json_set_integer(quota, "nominal", gpus);
        json_append(json_set_array(o, "spec.quota"), quota);
        json_set_string(o, "spec.preemption.reclaim", reclaim);
    }
    create(s, "/apis/mltrain.io/v1alpha1/trainingqueues", o);
}

/* All GPUs are the lender's, and whoever comes into the other queue borrows them. */
static void create_queues(struct sim *s)
{
    create_queue(s, "top", NULL, 0, NULL);
    create_queue(s, "lender", "top", s->nodes_count * s->nodes[0].gpus,
                 sim_between(s, 0, 1) ? "Any" : "LowerPriority");
    create_queue(s, "borrower", "top", 0, "Never");
}

/* By the seed alone: all else in a history is as it is without. */
static void choose_patience(struct sim *s)
{
    static const int64_t patience_s[] = {20, 120, 1000}, time_slice_s[] = {5, 15, 40, 0};
    if (!s->patient)
        return;
    s->patience_ms = patience_s[s->seed % MLT_ARRAY_LENGTH(patience_s)] * 1000;
    s->time_slice_ms = time_slice_s[s->seed / 3 % MLT_ARRAY_LENGTH(time_slice_s)] * 1000;
    s->min_run_ms = 10000;
}

void turns_choose(struct sim *s)
{
    static const int64_t min_run_s[] = {10, 30, 600};
    choose_patience(s);
    s->reservations = CONTROLLER_RESERVATIONS;
    if (!turns_are_the_theme(s))
        return;
    s->min_run_ms = min_run_s[sim_between(s, 0, 2)] * 1000;
    if (sim_between(s, 0, 2) == 0)
        s->reservations = (uint32_t)sim_between(s, 1, RESERVATIONS_TRIED);
    else if (s->seed / THEME_EVERY % 2)
        s->reservations = 0;
    if (sim_between(s, 0, 1)) {
        memset(&s->rates, 0, sizeof s->rates);
        memset(s->weights, 0, sizeof s->weights);
    }
}

static void choose_turn(struct sim *s, struct sim_job *job)
{
    static const char *const priorities[] = {"low", "low", NULL, NULL, "high", "high", "polite"};
    job->priority = priorities[sim_between(s, 0, (int64_t)MLT_ARRAY_LENGTH(priorities) - 1)];
    if (has_queues(s))
        job->queue = sim_between(s, 0, 1) ? "lender" : "borrower";
    job->total_steps = sim_between(s, 20, 120);
    if (sim_between(s, 0, 3) == 0) /* much of the cluster */
        job->replicas = SIM_MEMBERS_MAX;
    int fit = s->nodes_count * (s->nodes[0].gpus / job->nproc);
    job->replicas = job->replicas < fit ? job->replicas : fit;
    /* Some know how long they may run: they start early where a start is reserved. */
    if (s->reservations && !job->deadline_s && sim_between(s, 0, 2) == 0)
        job->deadline_s = (int)sim_between(s, 60, 400);
}

void turns_begin(struct sim *s)
{
    if (!turns_are_the_theme(s))
        return;
    turns_create_classes(s);
    if (has_queues(s))
        create_queues(s);
    for (int i = 0; i < s->jobs_count; i++)
        choose_turn(s, &s->jobs[i]);
}

void turns_manifest(const struct sim_job *job, cJSON *manifest)
{
    json_set_string(manifest, "spec.priorityClassName", job->priority);
    json_set_string(manifest, "spec.queue", job->queue);
}

/* ---- what must be true ---- */

static const char *text(const cJSON *object, const char *path)
{
    return json_string(object, path, "");
}

static bool is_calm(const struct sim *s)
{
    static const struct sim_rates none;
    return memcmp(&s->rates, &none, sizeof none) == 0 && s->faults_count == 0 &&
           !stops_are_the_theme(s);
}

static bool clocks_agree(const struct sim *s)
{
    for (int i = 0; i < s->hosts_count; i++)
        if (s->hosts[i].wall_offset_ms)
            return false;
    return true;
}

static bool same_queue(const struct sim_job *a, const struct sim_job *b)
{
    return !a->queue || !b->queue ? a->queue == b->queue : strcmp(a->queue, b->queue) == 0;
}

/* A slice counts from its start, or else from when it was placed. */
static bool has_had_slice(const struct sim *s, const struct sim_job *job)
{
    bool ran = !clocks_agree(s) || s->now_ms - job->facts.placed_ms + CLOCK_MS >= s->time_slice_ms;
    return s->patience_ms && s->time_slice_ms && !job->deadline_s && ran;
}

static void check_whom(struct sim *s, const struct sim_job *job, const struct sim_job *by,
                       const char *reason)
{
    static const char sentence[] = "a job makes way only for one of higher priority in its queue, "
                                   "for a queue that wants its own back, where it was let in on "
                                   "that condition, or has had a slice and knows no limit";
    bool right = strcmp(reason, "BackfillRevoked") == 0 && (s->reservations || s->patience_ms);
    if (strcmp(reason, "TimeSlice") == 0)
        right = has_had_slice(s, job) && value_of(by) >= value_of(job);
    if (strcmp(reason, "InClusterQueue") == 0)
        right = value_of(by) > value_of(job) && same_queue(by, job);
    if (strcmp(reason, "InCohortReclamation") == 0)
        right = by->queue && job->queue && strcmp(by->queue, "lender") == 0 && !same_queue(by, job);
    if (!right)
        sim_violated(s, sentence, "%s (%s) for %s (%s): %s", job->name,
                     job->priority ? job->priority : "none", by->name,
                     by->priority ? by->priority : "none", reason);
    /* Its own reserved start is kept, and who was let in on condition knew of it. */
    if (by->priority && strcmp(by->priority, "polite") == 0 &&
        strcmp(reason, "BackfillRevoked") != 0)
        sim_violated(s, "nobody makes way for a job of a class with preemptionPolicy Never",
                     "%s for %s", job->name, by->name);
}

static bool has_saved_since(const struct sim_job *job, int64_t since_ms)
{
    for (int i = 0; i < job->folder_count; i++)
        if (job->folder[i].complete_ms >= since_ms &&
            (job->folder[i].state == CHECKPOINT_COMPLETE || job->folder[i].was_complete))
            return true;
    return false;
}

/* What lets in on condition is revoked whenever it must be. */
static void check_protection(struct sim *s, const struct sim_job *job, const char *reason,
                             int64_t count)
{
    static const char sentence[] = "who has made way once is left alone until it has run for "
                                   "min_run and saved";
    const struct sim_facts *f = &job->facts;
    int64_t min_run = s->min_run_ms ? s->min_run_ms : CONTROLLER_MIN_RUN_MS;
    if (count < 2 || strcmp(reason, "BackfillRevoked") == 0 || !clocks_agree(s))
        return;
    if (f->runs_ms < 0)
        sim_violated(s, sentence, "%s: it has not even begun", job->name);
    if (s->now_ms - f->runs_ms + CLOCK_MS < min_run || !has_saved_since(job, f->runs_ms - CLOCK_MS))
        sim_violated(s, sentence, "%s: it runs for %" PRId64 " ms, and has%s saved", job->name,
                     s->now_ms - f->runs_ms,
                     has_saved_since(job, f->runs_ms - CLOCK_MS) ? "" : " not");
}

/* It has to be stopped: as if a user had suspended it when the controller decided so. */
static void begins_to_leave(struct sim *s, struct sim_job *job, const cJSON *now)
{
    struct sim_facts *f = &job->facts;
    const char *reason = text(now, "status.preemption.reason");
    const struct sim_job *by = job_of_uid(s, text(now, "status.preemption.byUID"));
    s->preemptions++;
    f->leaves_ms = s->now_ms;
    f->leaves_ranks = *text(now, "status.recovery.pendingStop.reason") != 0;
    f->leaves_charges = json_integer(now, "status.restartsCharged", 0);
    (void)snprintf(f->left_for, sizeof f->left_for, "%s", text(now, "status.preemption.byUID"));
    oracle_excuse_mildly(s, job);
    sim_say(s, job->name, "makes way for %s: %s", by ? by->name : "one that is gone", reason);
    if (f->leaves_ranks && f->stop_ms < 0) {
        oracle_stop_asked(s, job, "preempt");
        /* It was decided before it was stored, and the whole second was rounded up. */
        int64_t asked_ms = trainingjob_time(now, "status.recovery.pendingStop.time");
        if (asked_ms - SIM_WALL_START - 1000 < f->stop_ms)
            f->stop_ms = asked_ms - SIM_WALL_START - 1000;
    }
    if (!by) /* deleted meanwhile: its write was on its way */
        return;
    check_whom(s, job, by, reason);
    check_protection(s, job, reason, json_integer(now, "status.preemption.count", 0));
}

static void check_left(struct sim *s, const struct sim_job *job, const cJSON *now)
{
    static const char charge[] = "who makes way is not charged for it";
    static const char time[] = "who makes way has left soon after its grace";
    static const char pods[] = "who has made way is queued again when its pods are gone";
    const struct sim_facts *f = &job->facts;
    if (json_integer(now, "status.restartsCharged", 0) > f->leaves_charges)
        sim_violated(s, charge, "%s", job->name);
    if (is_calm(s) && s->now_ms - f->leaves_ms > job->grace_s * 1000 + LEAVES_MS)
        sim_violated(s, time, "%s: after %" PRId64 " s, its grace is %d s", job->name,
                     (s->now_ms - f->leaves_ms) / 1000, job->grace_s);
    API_EACH(s, o, "pods")
    if (strcmp(text(o->json, "metadata.labels[mltrain.io/job-uid]"), job->uid) == 0 &&
        strcmp(text(o->json, "status.phase"), "Succeeded") != 0 &&
        strcmp(text(o->json, "status.phase"), "Failed") != 0 && is_calm(s))
        sim_violated(s, pods, "%s: %s is still there", job->name, text(o->json, "metadata.name"));
}

/* The place of those that were asked is for the job that they were asked for. Both may be admitted
 * at once, and the writes come in any order. */
static void check_came_in(struct sim *s, uint64_t index, void *data)
{
    static const char sentence[] = "who has made way comes in again only after the job that it "
                                   "made way for, as long as that one waits";
    const struct sim_job *job = &s->jobs[index], *by = job_of_uid(s, data);
    if (by && by->facts.admissions == 0 && strcmp(job_phase(s, by), "Queued") == 0)
        sim_violated(s, sentence, "%s, before %s", job->name, by->name);
}

/* When the controller decided it, by its clock; that was told maybe seconds later. */
static int64_t changed_ms(const cJSON *now, const char *type)
{
    const cJSON *condition;
    cJSON_ArrayForEach(condition, json_find(now, "status.conditions"))
    {
        if (strcmp(text(condition, "type"), type) == 0)
            return trainingjob_time(condition, "lastTransitionTime");
    }
    return 0;
}

/* Another controller goes by it. */
static void check_past(struct sim *s, const struct sim_job *job, const cJSON *before,
                       const cJSON *now)
{
    static const char had[] = "the time that a job had in a place is added up when it leaves it";
    static const char kept[] = "what a job has waited and run is never forgotten";
    static const char waited[] = "status.preemption.waitedSeconds";
    static const char attained[] = "status.preemption.attainedSeconds";
    int64_t more_s = json_integer(now, attained, 0) - json_integer(before, attained, 0);
    int64_t start_ms = trainingjob_time(before, "status.startTime");
    int64_t left_ms = changed_ms(now, "Queued");
    if (more_s < 0 || json_integer(now, waited, 0) < json_integer(before, waited, 0))
        sim_violated(s, kept, "%s", job->name);
    bool leaves = strcmp(text(now, "status.phase"), "Queued") == 0 && start_ms &&
                  !trainingjob_time(now, "status.startTime");
    int64_t ran_s = left_ms > start_ms ? (left_ms - start_ms) / 1000 : 0;
    if (leaves && more_s != (s->patience_ms ? ran_s : 0))
        sim_violated(s, had, "%s: %" PRId64 " s, it had %" PRId64 " s", job->name, more_s, ran_s);
}

/* The status tells of it later, or, while the API server is slow, not before it has to leave. */
void turns_spawned(struct sim *s, struct sim_job *job, uint64_t attempt)
{
    for (int i = 0; i < job->replicas; i++)
        if (job->facts.spawned[i] != attempt)
            return;
    if (job->facts.runs_ms < 0)
        job->facts.runs_ms = s->now_ms;
}

void turns_job_changed(struct sim *s, struct sim_job *job, const cJSON *before, const cJSON *now)
{
    struct sim_facts *f = &job->facts;
    const char *was = text(before, "status.phase"), *is = text(now, "status.phase");
    check_past(s, job, before, now);
    if (strcmp(was, is) == 0)
        return;
    if (strcmp(is, "Admitted") == 0) {
        f->runs_ms = -1;
        f->placed_ms = changed_ms(now, "Admitted") - SIM_WALL_START;
        f->admissions++;
        if (*f->left_for && !s->reservations && !s->patience_ms && !has_queues(s) && is_calm(s))
            sim_after(s, 1000, check_came_in, (uint64_t)(job - s->jobs), mlt_strdup(f->left_for));
        f->left_for[0] = '\0';
        for (int i = 0; i < s->jobs_count; i++) /* it may make way itself, or be undone, later */
            if (strcmp(s->jobs[i].facts.left_for, job->uid) == 0)
                s->jobs[i].facts.left_for[0] = '\0';
    }
    if (strcmp(is, "Preempting") == 0)
        begins_to_leave(s, job, now);
    if (strcmp(was, "Preempting") == 0 && strcmp(is, "Queued") == 0)
        check_left(s, job, now);
    if (strcmp(was, "Preempting") == 0)
        f->leaves_ms = 0;
}

void turns_end(struct sim *s)
{
    static const char sentence[] = "nobody makes way where all priorities are equal, nothing is "
                                   "shared and nobody starts early";
    if (!turns_are_the_theme(s) && !s->patience_ms && !s->reservations && s->preemptions)
        sim_violated(s, sentence, "%u times", s->preemptions);
}
