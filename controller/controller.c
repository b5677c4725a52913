/* The seam: takes an event, lets the parts look at it, decides for each job that it has touched,
 * and leaves effects. Order within a step: the event itself; leadership; jobs; the plan, and the
 * jobs that it has touched; requests and the timer. See controller.h. */
#include "controller/controller.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include "controller/internal.h"
#include "controller/queues.h"
#include "lib/base/alloc.h"

#define TURNS_MAX 8 /* of jobs and plan in one step; what is left waits for the next */

struct controller *controller_new(const struct controller_config *config)
{
    struct controller *c = mlt_calloc(1, sizeof *c);
    config_copy(&c->config, config);
    mlt_random_init(&c->random, config->seed);
    effects_init(&c->effects);
    TAILQ_INIT(&c->lazy_writes);
    event_recorder_init(&c->events);
    c->exchange_budget.max = COLLECTIVE_BYTES_ALL_MAX;
    c->apply.window = (struct request_window)REQUEST_WINDOW_INIT;
    c->jobs_wake_ms = c->plan_at_ms = c->claims_wake_ms = INT64_MAX;
    c->ledger = config_ledger(&c->config);
    c->delivery = c->config.delivery;
    return c;
}

void controller_free(struct controller *c)
{
    if (!c)
        return;
    struct job *job, *next;
    HASH_ITER(hh, c->jobs, job, next)
    job_free(job);
    channels_release(c);
    view_release(&c->view);
    leader_release(&c->leader);
    apply_release(&c->apply);
    event_recorder_release(&c->events);
    probe_share_release(&c->probe_share);
    effects_release(&c->effects);
    ledger_free(c->ledger);
    config_release(&c->config);
    free(c);
}

void controller_log(struct controller *c, enum mlt_log_level level, const char *format, ...)
{
    char text[CONTROLLER_LOG_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    effects_log(&c->effects, level, text);
}

/* ---- one job ---- */

static void act(struct job *job, enum reconcile_action action)
{
    static void (*const verbs[])(struct job *) = {
        [RECONCILE_WAIT] = NULL,
        [RECONCILE_SAVE] = status_save,
        [RECONCILE_REFUSE] = submit_refuse,
        [RECONCILE_ACCEPT] = submit_accept,
        [RECONCILE_PROBE] = probe_send,
        [RECONCILE_ENQUEUE] = submit_enqueue,
        [RECONCILE_ADMIT] = admit_write,
        [RECONCILE_MAKE_KEY] = admit_make_key,
        [RECONCILE_CREATE_PODS] = admit_create_pods,
        [RECONCILE_DELETE_PODS] = finish_delete_pods,
        [RECONCILE_UNDO] = admit_undo,
        [RECONCILE_PREPARE_START] = start_prepare,
        [RECONCILE_START] = start_send,
        [RECONCILE_NOTE_RUNNING] = start_note_running,
        [RECONCILE_STOP] = stop_order,
        [RECONCILE_TAKE_STOP_BACK] = stop_take_back,
        [RECONCILE_SUSPEND] = stop_suspend,
        [RECONCILE_RESUME] = stop_resume,
        [RECONCILE_CANCEL] = stop_cancel,
        [RECONCILE_TIME_OUT] = stop_time_out,
        [RECONCILE_NOTE_RESTARTING] = restart_note,
        [RECONCILE_JUDGE] = restart_judge,
        [RECONCILE_COMPLETE] = finish_complete,
        [RECONCILE_LET_GO] = finish_let_go,
        [RECONCILE_LEAVE] = preempt_leave,
        [RECONCILE_REQUEUE] = preempt_requeue,
        [RECONCILE_DELETE_JOB] = finish_delete_job,
    };
    _Static_assert(sizeof verbs / sizeof verbs[0] == RECONCILE_DELETE_JOB + 1,
                   "every action has its verb");
    verbs[action](job);
}

/* Members and coordinator exist while pods of the gang may speak. */
static void make_gang_if_needed(struct job *job)
{
    switch (job->draft.phase) {
    case TRAININGJOB_PHASE_ADMITTED:
    case TRAININGJOB_PHASE_STARTING:
    case TRAININGJOB_PHASE_RUNNING:
    case TRAININGJOB_PHASE_RESTARTING:
    case TRAININGJOB_PHASE_PREEMPTING:
        job_make_gang(job);
        break;
    case TRAININGJOB_PHASE_SUSPENDED:
    case TRAININGJOB_PHASE_SUCCEEDED:
    case TRAININGJOB_PHASE_FAILED:
        for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job)
            if (!view_pod_terminal(p) && !job->let_go)
                job_make_gang(job);
        break;
    case TRAININGJOB_PHASE_NONE:
    case TRAININGJOB_PHASE_QUEUED:
        break;
    }
}

static void log_action(struct job *job, uint64_t facts, enum reconcile_action action)
{
    struct mlt_text text = MLT_TEXT_INIT(CONTROLLER_LOG_TEXT_MAX);
    reconcile_facts_print(facts, &text);
    job_log(job, MLT_LOG_DEBUG, "action=%s phase=%s facts=\"%s\"", reconcile_action_name(action),
            trainingjob_phase_name(job->draft.phase), mlt_text_string(&text));
    mlt_text_release(&text);
}

/* A coordinator that has lost a message for want of memory is not to be trusted, nor is anything
 * that comes after it: the next controller starts from what is stored. */
static bool has_failed(struct job *job)
{
    struct controller *c = job->controller;
    if (!job->coordinator || !coordinator_failed(job->coordinator))
        return false;
    leader_end_process(c, "memory is exhausted");
    return true;
}

static void job_reconcile(struct job *job)
{
    struct controller *c = job->controller;
    job->look = false;
    job->looked_ms = c->now_ms;
    make_gang_if_needed(job);
    if (job->coordinator && coordinator_wake_ms(job->coordinator) <= c->now_ms)
        coordinator_timer(job->coordinator, c->now_ms);
    for (int i = 0;; i++) {
        make_gang_if_needed(job);
        if (job->members_stale)
            members_refresh(job);
        volumes_refresh(job);
        node_loss_check_job(job);
        gang_drain(job);
        if (has_failed(job))
            return;
        uint64_t facts = job_facts(job);
        enum reconcile_action action = reconcile(job->draft.phase, facts);
        if (action == RECONCILE_WAIT)
            break;
        log_action(job, facts, action);
        if (i == JOB_ACTIONS_PER_TURN_MAX) {
            job_log(job, MLT_LOG_ERROR, "actions do not come to an end action=%s",
                    reconcile_action_name(action));
            job_wake_at(job, c->now_ms + 1000);
            break;
        }
        act(job, action);
    }
    gang_drain(job);
    job_leave_ledger(job);
    members_dismiss(job);
    finish_retire(job);
    channels_answer_late(job);
    if (job->draft.phase != TRAININGJOB_PHASE_NONE && counts_refresh(job))
        job_lazy(job, JOB_READY_WRITE_MS);
    job_set_alarms(job);
    volumes_note(job);
    pods_ready_note(job);
    progress_watch_note(job);
    if (job->gone && job->let_go)
        job_end(job);
}

/* What has been heard of single members: only what the coordinator makes of it is carried out, as
 * long as that says nothing of the gang. */
static void job_hear(struct job *job)
{
    gang_drain(job);
    if (job->look) {
        job_reconcile(job);
        return;
    }
    if (has_failed(job))
        return;
    job_wake_at(job, job_look_at_ms(job));
    if (job->coordinator)
        job_wake_at(job, coordinator_wake_ms(job->coordinator));
}

static bool may_act(const struct controller *c)
{
    return !c->exited && leader_leads(&c->leader) && view_synced(&c->view);
}

/* Jobs are taken in the order of their UIDs' arrival in the list, which is the order of events. */
static void jobs_run(struct controller *c)
{
    struct job *job, *reversed = NULL;
    while (c->touched) {
        job = c->touched;
        c->touched = job->next_touched;
        job->next_touched = reversed;
        reversed = job;
    }
    while (reversed) {
        job = reversed;
        reversed = job->next_touched;
        job->touched = false;
        if (c->exited)
            continue;
        if (job->look || job_look_at_ms(job) <= c->now_ms)
            job_reconcile(job);
        else
            job_hear(job);
        jobs_fold_surplus(c);
    }
}

static void wake_jobs(struct controller *c)
{
    if (c->jobs_wake_ms > c->now_ms)
        return;
    c->jobs_wake_ms = INT64_MAX;
    for (struct job *job = c->jobs; job; job = job->hh.next) {
        if (job->wake_ms <= c->now_ms)
            job_touch(job);
        else
            job_wake_at(job, job->wake_ms);
    }
}

/* ---- the step ---- */

static void take_answer(struct controller *c, const struct controller_event *e)
{
    switch (e->kind) {
    case CONTROLLER_ANSWER_STATUS:
        (void)(leader_status(c, e->id, e->status) ||
               view_status(c, e->id, e->status, e->retry_after_ms) ||
               apply_status(c, e->id, e->status, e->retry_after_ms));
        break;
    case CONTROLLER_ANSWER_BODY:
        (void)(leader_body(c, e->id, e->data, e->length) ||
               view_body(c, e->id, e->data, e->length) || apply_body(c, e->id, e->data, e->length));
        break;
    case CONTROLLER_ANSWER_END:
        (void)(leader_end(c, e->id, e->error) || view_end(c, e->id, e->error) ||
               apply_end(c, e->id, e->error));
        break;
    default:
        break;
    }
}

static void take_event(struct controller *c, const struct controller_event *e)
{
    switch (e->kind) {
    case CONTROLLER_ANSWER_STATUS:
    case CONTROLLER_ANSWER_BODY:
    case CONTROLLER_ANSWER_END:
        take_answer(c, e);
        break;
    case CONTROLLER_CHANNEL_OPENED:
        channels_opened(c, e->id, e->job_uid);
        break;
    case CONTROLLER_CHANNEL_FRAME:
        channels_frame(c, e->id, e->frame);
        break;
    case CONTROLLER_CHANNEL_CLOSED:
        channels_closed(c, e->id);
        break;
    case CONTROLLER_TIMER:
        effects_timer_came(&c->effects);
        break;
    case CONTROLLER_STOP:
        leader_give_up(c);
        break;
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void controller_step(struct controller *c, const struct controller_event *event)
{
    if (c->exited)
        return;
    c->now_ms = event->now_ms > c->now_ms || !c->started ? event->now_ms : c->now_ms;
    c->wall_ms = event->wall_ms;
    c->metrics.count[METRIC_STEPS]++;
    if (!c->started) {
        c->started = true;
        leader_start(c);
        view_start(c);
    }
    take_event(c, event);
    int64_t wake = leader_pump(c);
    channels_leave_to_leader(c);
    wake_jobs(c);
    lazy_writes_wake(c);
    if (!c->acts_since_ms && may_act(c))
        c->acts_since_ms = c->now_ms;
    if (may_act(c))
        delivery_look(c);
    for (int turn = 0; turn < TURNS_MAX && may_act(c); turn++) {
        channels_close_unknown(c);
        jobs_run(c);
        queues_restore(c);
        plan_run(c);
        if (!c->touched)
            break;
    }
    if (c->exited) {
        jobs_fold(c);
        return;
    }
    wake = earlier(wake, view_pump(c));
    if (may_act(c)) {
        wake = earlier(wake, earlier(node_loss_pump(c), volumes_pump(c)));
        wake = earlier(wake, queues_pump(c));
    }
    wake = earlier(wake, channel_service_pump(c));
    if (leader_leads(&c->leader)) { /* who gives the lease back writes nothing more */
        (void)apply_pump(c);
        event_pump(c); /* what the others have left of the window */
        wake = earlier(wake, apply_pump(c));
    }
    jobs_fold(c);
    wake = earlier(wake, c->touched && may_act(c) ? c->now_ms : c->jobs_wake_ms);
    c->plan_at_ms = ledger_next_wake_ms(c->ledger, c->now_ms);
    if (may_act(c))
        wake = earlier(wake, c->plan_at_ms);
    effects_timer(&c->effects, wake);
}

bool controller_next_effect(struct controller *c, struct controller_effect *ret)
{
    return effects_next(&c->effects, ret);
}

void controller_metrics(const struct controller *c, struct mlt_text *out)
{
    gauges_write(c, out);
    metrics_write(&c->metrics, out);
}

void controller_refused(struct controller *c)
{
    c->metrics.count[METRIC_REFUSALS]++;
}

void controller_took(struct controller *c, int64_t us)
{
    metrics_took(&c->metrics, us);
}

/* Without a look at what it points to: it may be freed. */
static bool is_known_pod(const struct job *job, const struct view_pod *pod)
{
    const struct view_pod *p = job_pods(job);
    while (pod && p && p != pod)
        p = p->next_of_job;
    return !pod || p;
}

void controller_check(const struct controller *c)
{
    assert(c->apply.in_flight_count <= CONTROLLER_IN_FLIGHT_MAX);
    for (const struct job *job = c->jobs; job; job = job->hh.next) {
        assert(job->gate_saved <= job->gate_sent && job->gate_sent <= job->gate_seq);
        assert(job->members || !job->coordinator);
        if (job->coordinator)
            coordinator_check(job->coordinator);
        /* No rank is started before its attempt stands in the status. */
        assert(!job->sent_attempt || (int64_t)job->sent_attempt <= job->saved.attempt ||
               job->gate_seq != job->gate_saved);
        unsigned creating = 0;
        for (uint32_t i = 0; i < job->members_count; i++) {
            creating += job->members[i].creating;
            assert(is_known_pod(job, job->members[i].pod));
        }
        assert(creating <= job->creations);
    }
}
