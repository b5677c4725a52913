/* The verb "restart": a verdict becomes a failure in the status, a charge, and a way to go on. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "controller/backoff.h"
#include "controller/failure_policy.h"
#include "controller/internal.h"
#include "controller/text_clean.h"
#include "lib/json/json.h"

#define TAIL_SHOWN_MAX 600 /* bytes of the culprit's last output in the failure's message */

static const char *cause_word(const struct coordinator_verdict *v)
{
    static const char *const words[] = {
        [RENDEZVOUS_CAUSE_EXITED] = "Exited",
        [RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE] = "KilledFromOutside",
        [RENDEZVOUS_CAUSE_KILLED_BY_US] = "Stopped",
        [RENDEZVOUS_CAUSE_OUT_OF_MEMORY] = "OutOfMemory",
        [RENDEZVOUS_CAUSE_EXEC_FAILED] = "ExecFailed",
        [RENDEZVOUS_CAUSE_LAUNCHER_LOST] = "PodLost",
    };
    if (v->diverged)
        return "ControllerChanged";
    if (v->infrastructure)
        return "Infrastructure";
    return v->cause < sizeof words / sizeof words[0] && words[v->cause] ? words[v->cause]
                                                                        : "Unknown";
}

/* The exit code that people know: of what could not be executed, `code` is an errno, and a shell
 * says it so. */
static int32_t exit_code_of(const struct coordinator_verdict *v)
{
    if (v->cause != RENDEZVOUS_CAUSE_EXEC_FAILED)
        return v->code;
    return v->code == ENOENT ? 127 : 126;
}

static bool made_progress(const struct job *job, const struct coordinator_verdict *v)
{
    return job->step_attempt == v->attempt || v->after_ms >= JOB_FRUITFUL_MS;
}

static void record_failure(struct job *job, const struct coordinator_verdict *v)
{
    struct trainingjob_status *s = &job->draft;
    bool stepped = job->step_attempt == v->attempt && s->progress.step >= 0;
    size_t tail_length = strlen(v->tail);
    const char *tail =
        tail_length > TAIL_SHOWN_MAX ? v->tail + tail_length - TAIL_SHOWN_MAX : v->tail;
    char message[RENDEZVOUS_REASON_MAX + TAIL_SHOWN_MAX + 16];
    (void)snprintf(message, sizeof message, "%s%s%s", v->words, *tail ? ": " : "", tail);
    text_clean(message); /* the tail is whatever the rank wrote, and is cut anywhere */
    struct trainingjob_failure f = {
        .time_ms = job->controller->wall_ms,
        .attempt = (int64_t)v->attempt,
        .rank = v->rank >= 0 ? v->rank : TRAININGJOB_NONE,
        .node = job->verdict.node,
        .exit_code = v->signal || v->rank < 0 ? TRAININGJOB_NONE : exit_code_of(v),
        .signal = v->signal,
        .step = stepped ? s->progress.step : TRAININGJOB_NONE,
        .steps_lost = TRAININGJOB_NONE,
        .message = message,
    };
    if (v->rank < 0 && v->code > 0)
        f.exit_code = v->code;
    if (stepped) {
        int64_t kept = s->checkpoint.step >= 0 ? s->checkpoint.step : 0;
        f.steps_lost = f.step > kept ? f.step - kept : 0;
    }
    (void)snprintf(f.cause, sizeof f.cause, "%s", cause_word(v));
    trainingjob_add_failure(s, &f);
}

static struct failure_decision decide(struct job *job, const struct coordinator_verdict *v)
{
    const struct trainingjob_spec *spec = &job->tj.spec;
    struct failure_facts facts = {
        .requested = v->requested,
        .diverged = v->diverged,
        .infrastructure = v->infrastructure,
        .code = v->signal || v->rank < 0 ? 0 : exit_code_of(v),
        .rule = trainingjob_match_rule(spec, exit_code_of(v), v->signal),
        .in_place = spec->failure_policy.in_place,
        .charged = job->draft.restarts_charged,
        .backoff_limit = spec->backoff_limit,
        .fruitless = (made_progress(job, v) ? 0 : job->draft.recovery.in_place_failures) + 1,
    };
    struct failure_decision decision = failure_policy_decide(&facts);
    if (decision.counts)
        job->draft.recovery.in_place_failures = facts.fruitless;
    return decision;
}

static void charge(struct job *job)
{
    struct trainingjob_status *s = &job->draft;
    s->restarts_charged++;
    s->recovery.charged_at_step = s->checkpoint.step;
}

/* Gives one retry back for each checkpoint that is newer than the last charge and than what we
 * knew. */
void restart_refill(struct job *job)
{
    struct trainingjob_status *s = &job->draft;
    int64_t known = s->checkpoint.step;
    if (s->recovery.charged_at_step > known)
        known = s->recovery.charged_at_step;
    for (unsigned i = 0; i < job->reports_count; i++) {
        if (job->reports[i].step <= known)
            continue;
        if (s->restarts_charged > 0)
            s->restarts_charged--;
        if (coordinator_is_running(job->coordinator)) {
            job->step_attempt = coordinator_attempt(job->coordinator);
            s->recovery.in_place_failures = 0;
        }
    }
    if (!job->reports_count)
        return;
    if (job->reports[0].step != s->checkpoint.step)
        job_log(job, MLT_LOG_INFO, "checkpoint step=%" PRId64, job->reports[0].step);
    s->checkpoint.step = job->reports[0].step;
    s->checkpoint.time_ms = job->reports[0].time_ms;
    trainingjob_set_text(&s->checkpoint.path, job->reports[0].path, TRAININGJOB_PATH_MAX * 4);
}

/* The resume step has now failed again and again without a step: the next older checkpoint is
 * tried. */
static void skip_checkpoint(struct job *job)
{
    int64_t step = job->draft.recovery.resume_step;
    if (step < 0)
        return;
    trainingjob_skip_checkpoint(&job->draft, step);
    event_record(job, true, "CheckpointSkipped",
                 "the checkpoint of step %" PRId64
                 " is not used again: %d attempts from it ended without a step",
                 step, FAILURE_POISONED_AFTER);
}

/* Marks what must be replaced before the next attempt. */
static void replace_pods(struct job *job, enum failure_where where)
{
    struct member *culprit = member_find(job, job->verdict.role, job->verdict.v.slot);
    bool others = HASH_COUNT(job->controller->view.nodes) > 1;
    if (where == FAILURE_NEW_PODS || where == FAILURE_NEW_NODES)
        for (uint32_t i = 0; i < job->members_count; i++)
            job->members[i].renew = true;
    if ((where == FAILURE_NEW_NODE || where == FAILURE_NEW_NODES) && culprit) {
        culprit->renew = true;
        if (others)
            member_avoid_node(job, culprit);
    }
}

static void go_on(struct job *job, const struct failure_decision *decision)
{
    struct controller *c = job->controller;
    struct trainingjob_status *s = &job->draft;
    const struct coordinator_verdict *v = &job->verdict.v;
    int64_t delay = decision->counts ? restart_backoff_ms(s->recovery.in_place_failures) : 0;
    if (decision->charged)
        charge(job);
    if (decision->skip)
        skip_checkpoint(job);
    s->restarts++;
    s->recovery.pending_stop[0] = 0;
    s->recovery.pending_stop_ms = 0;
    s->recovery.next_attempt_ms = delay ? c->wall_ms + delay : 0;
    job->next_attempt_ms = delay ? c->now_ms + delay : 0;
    job->waiting_since_ms = c->now_ms + delay;
    job_set_phase(job, TRAININGJOB_PHASE_RESTARTING);
    (void)trainingjob_set_condition(s, TRAININGJOB_CONDITION_RESTARTING, true, cause_word(v),
                                    v->words, c->wall_ms);
    (void)trainingjob_set_condition(s, TRAININGJOB_CONDITION_RUNNING, false, "Restarting", v->words,
                                    c->wall_ms);
    replace_pods(job, decision->where);
    /* In place it goes on within milliseconds, and the next START's write tells all of it. */
    bool at_once = !delay && decision->where == FAILURE_IN_PLACE && members_are_whole(job);
    job_lazy(job, at_once ? JOB_PHASE_WRITE_MS : 0);
    event_record(job, !v->requested && !v->diverged, "Restarting", "%s", v->words);
}

/* A rank that could not be started: the errno alone does not say what was to be started. */
static void name_command(struct job *job)
{
    struct coordinator_verdict *v = &job->verdict.v;
    const cJSON *trainer = trainingjob_trainer(job->tj.spec.workers.template_);
    size_t length = strlen(v->words);
    if (v->cause == RENDEZVOUS_CAUSE_EXEC_FAILED)
        (void)snprintf(v->words + length, sizeof v->words - length, " (%s)",
                       json_string(trainer, "command[0]", ""));
}

void restart_judge(struct job *job)
{
    const struct coordinator_verdict *v = &job->verdict.v;
    char words[RENDEZVOUS_REASON_MAX];
    name_command(job);
    (void)snprintf(words, sizeof words, "%s", v->words);
    struct failure_decision decision = decide(job, v);
    if (!v->requested && !v->diverged) {
        record_failure(job, v);
        job->controller->metrics.count[METRIC_FAILURES]++;
    }
    if (decision.fail)
        finish_fail(job, decision.reason, words); /* it forgets the verdict */
    else
        go_on(job, &decision);
    job_forget_verdict(job);
}
