/* Jobs: how they come, change and go. What is decided about them stands in reconcile.c, what is
 * done in the verbs. */
#include "controller/job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/backoff.h"
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/hostlist.h"
#include "lib/base/number.h"
#include "lib/json/json.h"

struct job *job_find(struct controller *c, const char *uid)
{
    struct job *job;
    HASH_FIND_STR(c->jobs, uid, job);
    return job;
}

struct view_pod *job_pods(const struct job *job)
{
    return view_pods_of(&job->controller->view, job->namespace_, job->uid);
}

void job_touch_for_member(struct job *job)
{
    if (job->touched)
        return;
    job->touched = true;
    job->next_touched = job->controller->touched;
    job->controller->touched = job;
}

void job_touch(struct job *job)
{
    job->look = true;
    job_touch_for_member(job);
}

int64_t job_look_at_ms(const struct job *job)
{
    int64_t gap_us = job->controller->config.look_gap_us;
    return job->looked_ms + job->members_count * gap_us / 1000;
}

void job_wake_at(struct job *job, int64_t at_ms)
{
    if (at_ms < job->wake_ms)
        job->wake_ms = at_ms;
    if (at_ms < job->controller->jobs_wake_ms)
        job->controller->jobs_wake_ms = at_ms;
}

void job_log(struct job *job, int level, const char *format, ...)
{
    char text[CONTROLLER_LOG_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* A line about another attempt than the status' has said so itself. */
    char attempt[32] = "";
    if (!strstr(text, "attempt="))
        (void)snprintf(attempt, sizeof attempt, " attempt=%" PRId64, job->draft.attempt);
    controller_log(job->controller, (enum mlt_log_level)level, "%s job=%s/%s%s", text,
                   job->namespace_, job->name, attempt);
}

/* ---- objects ---- */

static struct job *job_new(struct controller *c, const cJSON *object)
{
    struct job *job = mlt_calloc(1, sizeof *job);
    job->controller = c;
    job->uid = mlt_strdup(json_string(object, "metadata.uid", ""));
    job->namespace_ = mlt_strdup(json_string(object, "metadata.namespace", ""));
    job->name = mlt_strdup(json_string(object, "metadata.name", ""));
    job->torn_step = job->lost_step = TRAININGJOB_NONE;
    job->write_by_ms = INT64_MAX;
    job->wake_ms = INT64_MAX;
    job->last_lazy_ms = job->looked_ms = INT64_MIN / 2;
    trainingjob_status_init(&job->saved);
    trainingjob_status_init(&job->draft);
    HASH_ADD_KEYPTR(hh, c->jobs, job->uid, strlen(job->uid), job);
    return job;
}

/* What the metadata say that the spec's generation does not count. */
#define CANCEL_PATH "metadata.annotations[" TRAININGJOB_ANNOTATION_CANCEL "]"
#define QUEUE_PATH "metadata.labels[" TRAININGJOB_LABEL_KUEUE_QUEUE "]"

static bool same_member(const cJSON *a, const cJSON *b, const char *path)
{
    const cJSON *x = json_find(a, path), *y = json_find(b, path);
    return x && y ? json_equal(x, y) : !x && !y;
}

/* The spec, when it has changed; a spec that cannot be accepted leaves the last good one in place.
 */
static void read_spec(struct job *job, const cJSON *object)
{
    struct trainingjob tj;
    struct mlt_error err = {0};
    bool same = job->has_tj && !job->refusal &&
                json_integer(object, "metadata.generation", -1) == job->tj.metadata.generation;
    if (same && same_member(object, job->tj.object, CANCEL_PATH) &&
        same_member(object, job->tj.object, QUEUE_PATH))
        return; /* only the status has changed, or what nobody looks at */
    free(steal_ptr(&job->refusal));
    if ((!same && trainingjob_validate(object, &err) < 0) ||
        trainingjob_read_spec(object, &tj, &err) < 0) {
        job->refusal = mlt_strdup(err.text);
        return;
    }
    job_set_spec(job, &tj);
    /* A job that waits asks for something else now. */
    if (!same && job->draft.phase == TRAININGJOB_PHASE_QUEUED)
        job_ledger_none(job);
}

static struct job_mark mark_of(const struct trainingjob_status *s)
{
    return (struct job_mark){s->phase, s->attempt, s->restarts};
}

static bool mark_equal(const struct job_mark *a, const struct job_mark *b)
{
    return a->phase == b->phase && a->attempt == b->attempt && a->restarts == b->restarts;
}

void job_mark_sent(struct job *job)
{
    job->sent = mark_of(&job->draft);
}

/* Another controller has written since we last looked: our memory is worth nothing. What we have
 * sent comes back to us, by the watch or after an answer that was lost. */
static bool is_foreign(const struct job *job, const struct trainingjob_status *stored)
{
    struct job_mark now = mark_of(stored), saved = mark_of(&job->saved);
    return !mark_equal(&now, &saved) && !mark_equal(&now, &job->sent);
}

static void read_status(struct job *job, const cJSON *object, bool is_new)
{
    struct trainingjob_status stored;
    trainingjob_status_read(json_member(object, "status"), &stored);
    /* Who has not led yet has nothing of his own to write: he only follows. */
    bool follows = is_new || !job->controller->leader.has_led;
    if (follows || is_foreign(job, &stored)) {
        if (!follows) {
            job_log(job, MLT_LOG_WARNING, "status was written by somebody else: starting anew");
            job_drop_gang(job);
            job_ledger_none(job);
        }
        trainingjob_status_release(&job->draft);
        trainingjob_status_copy(&stored, &job->draft);
        job->gate_seq = job->gate_saved = job->gate_sent = 0;
        job_mark_sent(job);
    }
    trainingjob_status_release(&job->saved);
    job->saved = stored;
}

/* It was only missing in a list. */
static void come_back(struct job *job)
{
    job->gone = false;
    job_ledger_holds(job);
}

void job_unknown(struct job *job)
{
    job->deleting = true;
    job->unknown_since_list = job->controller->view.sources[VIEW_JOBS].lists_asked;
    job_touch(job);
}

/* Whether the object is being deleted, or is gone. */
static bool is_deleting(struct job *job, const cJSON *object)
{
    unsigned asked = job->controller->view.sources[VIEW_JOBS].lists_asked;
    if (job->unknown_since_list && job->unknown_since_list == asked)
        return true; /* the list, or the watch that goes on from it, is older than that answer */
    job->unknown_since_list = 0;
    return json_find(object, "metadata.deletionTimestamp") != NULL;
}

/* Its launchers have been told to exit because it was taken for gone, and it is not: what is stored
 * is gone on from, as by a next controller. */
static void start_anew(struct job *job)
{
    job_log(job, MLT_LOG_WARNING, "is there after all: starting anew");
    job_drop_gang(job);
    job_ledger_none(job);
}

void job_seen(struct controller *c, const cJSON *object, unsigned list_round)
{
    struct job *job = job_find(c, json_string(object, "metadata.uid", ""));
    bool is_new = !job;
    if (job && job->gone && !list_round)
        return; /* the answer to a write from before the deletion */
    if (is_new)
        job = job_new(c, object);
    else if (job->gone)
        come_back(job);
    if (list_round)
        job->list_seen = list_round;
    uint64_t version = view_version(object);
    if (version && version < job->version)
        return;
    job->version = version;
    free(job->resource_version);
    job->resource_version = mlt_strdup(json_string(object, "metadata.resourceVersion", ""));
    bool was_deleting = job->deleting;
    job->deleting = is_deleting(job, object);
    bool is_back = was_deleting && !job->deleting && job->let_go;
    if (is_back)
        start_anew(job);
    read_spec(job, object);
    read_status(job, object, is_new || is_back);
    job->members_stale = true;
    job_touch(job);
}

void job_free(struct job *job)
{
    probe_forget(job);
    lazy_writes_forget(job);
    job_drop_gang(job);
    for (struct job **at = &job->controller->touched; *at; at = &(*at)->next_touched)
        if (*at == job) {
            *at = job->next_touched;
            break;
        }
    HASH_DEL(job->controller->jobs, job);
    job_folded_release(job);
    if (job->has_tj)
        trainingjob_release(&job->tj);
    trainingjob_status_release(&job->saved);
    trainingjob_status_release(&job->draft);
    volumes_forget(job);
    free(job->uid);
    free(job->namespace_);
    free(job->name);
    free(job->refusal);
    free(job->undo_words);
    free(job->taken_back_for);
    free(job->last_refusal);
    free(job->resource_version);
    free(job);
}

static void leave_ledger(struct job *job)
{
    if (job->ledger != JOB_LEDGER_NONE)
        ledger_job_gone(job->controller->ledger, job->uid, job->controller->now_ms);
    job->ledger = JOB_LEDGER_NONE;
    job->leaves_ledger = false;
}

void job_end(struct job *job)
{
    struct controller *c = job->controller;
    if (!job->let_go)
        finish_let_go(job);
    channels_orphan(c, job->uid);
    leave_ledger(job);
    job_free(job);
}

void job_gone(struct controller *c, struct job *job)
{
    if (job->gone)
        return;
    job_log(job, MLT_LOG_INFO, "job is gone");
    leave_ledger(job);
    apply_drop_job(c, job->uid);
    probe_forget(job);
    if (!job->coordinator || !coordinator_is_running(job->coordinator)) {
        job_end(job);
        return;
    }
    /* Deleted from under its ranks: they are stopped as those of a job that is being deleted. */
    job->gone = job->deleting = true;
    job_touch(job);
}

/* ---- the gang ---- */

static void make_members(struct job *job)
{
    char **names = NULL;
    size_t count = 0;
    struct mlt_error err = {0};
    job->members_count = (uint32_t)job->tj.spec.workers.replicas;
    job->members = mlt_calloc(job->members_count, sizeof *job->members);
    if (job->draft.placement && mlt_hostlist_expand(job->draft.placement, TRAININGJOB_REPLICAS_MAX,
                                                    &names, &count, &err) < 0)
        job_log(job, MLT_LOG_ERROR, "placement cannot be read error=\"%s\"", err.text);
    for (uint32_t i = 0; i < job->members_count; i++) {
        struct member *m = &job->members[i];
        m->role = TRAININGJOB_ROLE_WORKER;
        m->slot = i;
        m->node = mlt_strdup(names && i < count && *names[i] ? names[i] : NULL);
        m->pod_uid = mlt_strdup("");
        m->pod_name = mlt_strdup("");
        m->lost_uid = mlt_strdup("");
        m->absent_since_ms = job->controller->now_ms;
    }
    if (names)
        mlt_hostlist_free(names);
}

/* CPU limit of the ranks' container, for OMP_NUM_THREADS. */
static int64_t cpu_limit_milli(struct job *job)
{
    const cJSON *trainer = trainingjob_trainer(job_template(job));
    const cJSON *limit = json_find(trainer, "resources.limits.cpu");
    cleanup_free char *text = NULL;
    int64_t milli = 0;
    if (cJSON_IsString(limit))
        text = mlt_strdup(limit->valuestring);
    else if (limit)
        text = json_print(limit);
    if (!text || mlt_quantity_parse_milli(text, &milli, NULL) < 0)
        return 0;
    return milli;
}

/* One by one, as neither numbering is the other's business. */
static enum rendezvous_wireup wireup_of(enum trainingjob_wireup wireup)
{
    switch (wireup) {
    case TRAININGJOB_WIREUP_PMIX:
        return RENDEZVOUS_WIREUP_PMIX;
    case TRAININGJOB_WIREUP_PMI1:
        return RENDEZVOUS_WIREUP_PMI1;
    case TRAININGJOB_WIREUP_RSH:
        return RENDEZVOUS_WIREUP_RSH;
    case TRAININGJOB_WIREUP_AUTO:
        break;
    }
    return RENDEZVOUS_WIREUP_AUTO;
}

static void set_welcome(struct job *job)
{
    const struct trainingjob_spec *spec = &job->tj.spec;
    struct rendezvous_welcome welcome = {
        .framework = trainingjob_framework_name(spec->framework),
        .max_restarts = (uint32_t)spec->backoff_limit,
        .cpu_limit_milli = cpu_limit_milli(job),
        .checkpoint_path = spec->checkpoint.path ? spec->checkpoint.path : "",
        .checkpoint_format =
            spec->checkpoint.path ? trainingjob_format_name(spec->checkpoint.format) : "",
        .checkpoint_pattern = spec->checkpoint.pattern ? spec->checkpoint.pattern : "",
        .progress_pattern = spec->progress.pattern ? spec->progress.pattern : "",
        .total_steps = spec->progress.total_steps,
        .fence_ms = (uint32_t)(spec->failure_policy.fence_seconds * 1000),
        .checkpoint_repair = spec->checkpoint.repair,
        .wireup = wireup_of(spec->mpi_wireup),
    };
    /* The validator's limits are those of the messages (a test compares them). */
    if (!coordinator_set_welcome(job->coordinator, &welcome))
        job_log(job, MLT_LOG_ERROR, "the launchers cannot be told what to run: over a maximum");
}

/* What is left of the wait for the next attempt. The clock of who wrote its end may have been ahead
 * of ours: it is no longer than that clock found it, from the failure on. */
static void wait_for_next_attempt(struct job *job)
{
    const struct trainingjob_status *s = &job->draft;
    int64_t end_ms = s->recovery.next_attempt_ms, left_ms = end_ms - job->controller->wall_ms;
    int64_t whole_ms =
        s->failures_count ? end_ms - s->failures[s->failures_count - 1].time_ms : left_ms;
    left_ms = left_ms < whole_ms ? left_ms : whole_ms;
    left_ms = left_ms < RESTART_BACKOFF_MAX_MS ? left_ms : RESTART_BACKOFF_MAX_MS;
    if (end_ms && left_ms > 0)
        job->next_attempt_ms = job->waiting_since_ms = job->controller->now_ms + left_ms;
}

/* Of complete checkpoints, those that are not used any more as well: what a launcher tells of them
 * is no news. */
static int64_t newest_known(const struct trainingjob_status *s)
{
    int64_t newest = s->checkpoint.step;
    for (size_t i = 0; i < s->recovery.skipped_count; i++)
        if (s->recovery.skipped[i] > newest)
            newest = s->recovery.skipped[i];
    return newest;
}

static void make_coordinator(struct job *job)
{
    struct controller *c = job->controller;
    enum trainingjob_phase phase = job->draft.phase;
    struct coordinator_member *members = mlt_calloc(job->members_count + 1u, sizeof *members);
    cleanup_free char *name = mlt_asprintf("%s/%s", job->namespace_, job->name);
    (void)job_template(job); /* says how many ranks */
    for (uint32_t i = 0; i < job->members_count; i++)
        members[i] = (struct coordinator_member){
            .role = job->members[i].role,
            .slot = job->members[i].slot,
            .nproc = (uint32_t)trainingjob_nproc(&job->tj),
        };
    /* In these phases ranks may run that a former controller has started. In Restarting they have
     * ended, and how they ended has been judged already, unless they were still being stopped. */
    bool adopt = job->draft.attempt > 0 &&
                 (phase == TRAININGJOB_PHASE_STARTING || phase == TRAININGJOB_PHASE_RUNNING ||
                  (phase == TRAININGJOB_PHASE_RESTARTING && restart_is_stopping(job)) ||
                  (phase == TRAININGJOB_PHASE_PREEMPTING && !preempt_has_stopped(job)));
    struct coordinator_config config = {
        .job = name,
        .lease_transitions = leader_transitions(&c->leader),
        .members = members,
        .members_count = job->members_count,
        .attempt = (uint64_t)job->draft.attempt,
        .adopt = adopt,
        .rejoin_ms = c->config.rejoin_ms ? c->config.rejoin_ms : COORDINATOR_REJOIN_MS_DEFAULT,
        .stop_grace_ms = (uint32_t)(job->tj.spec.checkpoint.grace_period_seconds * 1000),
        .stop_signal = (uint32_t)job->tj.spec.checkpoint.signal,
        .has_checkpoints = job->tj.spec.checkpoint.path != NULL,
        .stall_ms = job->tj.spec.progress.stall_timeout_seconds * 1000,
        .startup_ms = job->tj.spec.progress.startup_timeout_seconds * 1000,
        .exchange_budget = &c->exchange_budget,
        .rank0_decides = job->tj.spec.success_policy == TRAININGJOB_SUCCESS_RANK0,
        .was_stopping = adopt && *job->draft.recovery.pending_stop,
        .newest_checkpoint = newest_known(&job->draft),
        .saves_from = job->draft.recovery.skipped_count ? 0 : job->draft.checkpoint.step,
    };
    job->coordinator = coordinator_new(&config, c->now_ms);
    free(members);
    if (!job->coordinator)
        abort(); /* no memory: as lib/base/alloc.h does */
    job->adopting = adopt;
    set_welcome(job);
    if (config.was_stopping)
        stop_order(job); /* before a launcher tells how its ranks have ended */
}

struct coordinator *job_coordinator(struct job *job)
{
    if (!job->coordinator) {
        make_coordinator(job);
        members_introduce(job);
    }
    return job->coordinator;
}

bool job_finished(const struct job *job)
{
    return job->draft.phase == TRAININGJOB_PHASE_SUCCEEDED ||
           job->draft.phase == TRAININGJOB_PHASE_FAILED;
}

bool job_has_ended(const struct job *job)
{
    return job_finished(job) || job->draft.phase == TRAININGJOB_PHASE_SUSPENDED ||
           preempt_has_stopped(job);
}

void job_make_gang(struct job *job)
{
    if (job->members || !job->has_tj)
        return;
    make_members(job);
    creations_take_up(job);
    if (job->draft.phase == TRAININGJOB_PHASE_ADMITTED)
        members_leave_former(job);
    job->waiting_since_ms = job->controller->now_ms;
    wait_for_next_attempt(job);
    /* Before the first START there is nothing to coordinate until a launcher comes, and thousands
     * of jobs may wait for theirs. */
    if (job->draft.phase != TRAININGJOB_PHASE_ADMITTED)
        make_coordinator(job);
    if (!job_has_ended(job) || preempt_has_stopped(job))
        job_ledger_holds(job);
    /* A HELLO from a pod that the coordinator does not expect would be refused. */
    members_refresh(job);
    channels_replay(job);
}

void job_forget_verdict(struct job *job)
{
    if (!job->verdict)
        return;
    free(job->verdict->role);
    free(job->verdict->node);
    free(job->verdict->tail);
    free(steal_ptr(&job->verdict));
}

void job_forget_reports(struct job *job)
{
    for (unsigned i = 0; i < job->reports_count; i++)
        free(job->reports[i].path);
    free(steal_ptr(&job->reports));
    job->reports_count = 0;
}

void job_drop_gang(struct job *job)
{
    for (uint32_t i = 0; i < job->members_count; i++) {
        free(job->members[i].node);
        free(job->members[i].pod_uid);
        free(job->members[i].pod_name);
        free(job->members[i].lost_uid);
        free(job->members[i].creating_words);
    }
    free(steal_ptr(&job->members));
    job->members_count = 0;
    job->former_creations |= job->creations > 0;
    if (job->coordinator)
        coordinator_free(job->coordinator);
    job->coordinator = NULL;
    job_forget_reports(job);
    job->has_report = false;
    job->torn_step = TRAININGJOB_NONE;
    job->torn_reports = 0;
    job_forget_verdict(job);
    free(steal_ptr(&job->undo_words));
    job->undo_reason = NULL;
    job->has_key = false; /* it may be deleted by then: asked for with the next gang */
    job->stopping = false;
    free(steal_ptr(&job->trigger_words));
    job->placed = job->no_place = job->adopting = job->completed = false;
    job->stop_ordered = job->let_go = false;
    job->ready_attempt = job->sent_attempt = job->execed_attempt = job->step_attempt = 0;
    job->next_attempt_ms = job->waiting_since_ms = job->running_since_ms = 0;
}

/* ---- the draft ---- */

void job_gate(struct job *job)
{
    job->gate_seq++;
    job_touch(job);
}

void job_lazy(struct job *job, int64_t within_ms)
{
    int64_t by = job->controller->now_ms + within_ms;
    if (by < job->write_by_ms)
        job->write_by_ms = by;
    job_wake_at(job, by);
    job_touch(job);
}

void job_set_phase(struct job *job, enum trainingjob_phase phase)
{
    if (job->draft.phase != phase)
        job_log(job, MLT_LOG_INFO, "phase=%s was=%s", trainingjob_phase_name(phase),
                trainingjob_phase_name(job->draft.phase));
    job->draft.phase = phase;
}

const char **job_nodes(const struct job *job)
{
    const char **nodes = mlt_calloc(job->members_count + 1u, sizeof *nodes);
    for (uint32_t i = 0; i < job->members_count; i++)
        nodes[i] = job->members[i].node;
    return nodes;
}

void job_tell_placed(struct job *job)
{
    (void)trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_ADMITTED, true, "Placed",
                                    job->draft.placement, job->controller->wall_ms);
}

void job_write_placement(struct job *job)
{
    struct mlt_text list = MLT_TEXT_INIT(TRAININGJOB_PLACEMENT_MAX);
    for (uint32_t i = 0; i < job->members_count; i++)
        if (!job->members[i].node)
            return; /* the last whole placement stays until the member has its new node */
    const char **nodes = job_nodes(job);
    mlt_hostlist_compress(nodes, job->members_count, &list);
    trainingjob_set_text(&job->draft.placement, mlt_text_string(&list), TRAININGJOB_PLACEMENT_MAX);
    if (trainingjob_condition_is_true(&job->draft, TRAININGJOB_CONDITION_ADMITTED))
        job_tell_placed(job); /* a member has moved */
    mlt_text_release(&list);
    free(nodes);
}

void job_end_condition(struct job *job, enum trainingjob_condition_type type, const char *reason,
                       const char *words)
{
    if (trainingjob_condition_is_true(&job->draft, type))
        (void)trainingjob_set_condition(&job->draft, type, false, reason, words,
                                        job->controller->wall_ms);
}

void job_give_back(struct job *job, const char *reason, const char *words)
{
    struct trainingjob_status *s = &job->draft;
    job_end_condition(job, TRAININGJOB_CONDITION_RUNNING, reason, words);
    job_end_condition(job, TRAININGJOB_CONDITION_RESTARTING, reason, words);
    trainingjob_set_text(&s->placement, NULL, TRAININGJOB_PLACEMENT_MAX);
    s->preemption.revocable = false;
    patience_run_ends(job);
    s->start_ms = 0; /* the deadline counts running time only, as batch/v1 counts it */
    job_ledger_none(job);
}

/* ---- the ledger ---- */

void job_ledger_holds(struct job *job)
{
    struct controller *c = job->controller;
    struct mlt_error err = {0};
    const char **nodes = job_nodes(job);
    volumes_tell_ledger(job);
    (void)job_template(job);
    if (ledger_job_holds(c->ledger, &job->tj, job_planned(job), nodes, job->members_count,
                         c->now_ms, &err) < 0)
        job_log(job, MLT_LOG_ERROR, "ledger refused a placement error=\"%s\"", err.text);
    job->ledger = JOB_LEDGER_HOLDS;
    job->leaves_ledger = false;
    preempt_tell_ledger(job);
    free(nodes);
}

void job_ledger_none(struct job *job)
{
    job->placed = job->no_place = false;
    job->leaves_ledger = job->ledger == JOB_LEDGER_HOLDS;
    if (!job->leaves_ledger)
        leave_ledger(job);
}

/* Pods that are on their way to its nodes need their place until they can be seen there. And as
 * long as the status says that it has a place, a next controller takes it for taken. Until its pods
 * are gone the place is still its own: a job that comes first in order and waits for it would
 * otherwise seem to wait for pods of others, for which nothing is kept, and somebody behind it
 * would take what is free; or the ledger would ask somebody else to leave. */
void job_leave_ledger(struct job *job)
{
    bool waits = job_has_pods(job) &&
                 (!job->let_go || job->controller->now_ms - job->let_go_ms < JOB_LEAVES_MS);
    if (job->leaves_ledger && !job->creations && job->gate_seq == job->gate_saved && !waits)
        leave_ledger(job);
}

int32_t job_exit_code(const struct job *job)
{
    if (job->draft.phase == TRAININGJOB_PHASE_SUCCEEDED)
        return 0;
    const struct trainingjob_condition *failed =
        trainingjob_find_condition(&job->draft, TRAININGJOB_CONDITION_FAILED);
    bool stopped = job->draft.phase != TRAININGJOB_PHASE_FAILED ||
                   (failed && (strcmp(failed->reason, TRAININGJOB_REASON_CANCELLED) == 0 ||
                               strcmp(failed->reason, TRAININGJOB_REASON_DEADLINE) == 0));
    if (stopped || !job->draft.failures_count)
        return 128 + 15; /* as a process that SIGTERM has ended */
    const struct trainingjob_failure *last = &job->draft.failures[job->draft.failures_count - 1];
    if (last->signal > 0)
        return (int32_t)(128 + last->signal);
    return last->exit_code > 0 && last->exit_code < 256 ? (int32_t)last->exit_code : 1;
}
