/* The verb "restart": a verdict becomes a failure in the status, a charge, and a way to go on. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "controller/backoff.h"
#include "controller/checkpoint_choice.h"
#include "controller/failure_policy.h"
#include "controller/internal.h"
#include "controller/poison.h"
#include "controller/suspect.h"
#include "controller/text_clean.h"
#include "lib/json/json.h"

#define TAIL_LINES_MAX 10          /* of the culprit's last output, in the event */
#define REASON_STOPPING "Stopping" /* of Restarting: the verdict has not fallen */

static int64_t highest_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static const char *cause_word(const struct coordinator_verdict *v)
{
    if (v->diverged)
        return "ControllerChanged";
    if (v->infrastructure)
        return "Infrastructure";
    return failure_policy_cause_word(v->cause);
}

/* The exit code that people know: of what could not be executed, `code` is an errno, and a shell
 * says it so. */
static int32_t exit_code_of(const struct coordinator_verdict *v)
{
    if (v->cause != RENDEZVOUS_CAUSE_EXEC_FAILED)
        return v->code;
    return v->code == ENOENT ? 127 : 126;
}

static void record_failure(struct job *job, const struct coordinator_verdict *v, char *message)
{
    struct trainingjob_status *s = &job->draft;
    int64_t step = suspect_last_step(job);
    const struct member *culprit = member_find(job, job->verdict->role, v->slot);
    struct trainingjob_failure f = {
        .time_ms = job->controller->wall_ms,
        .attempt = (int64_t)v->attempt,
        .rank = v->rank >= 0 ? v->rank : TRAININGJOB_NONE,
        .node = job->verdict->node,
        .pod = culprit && *culprit->pod_name ? culprit->pod_name : NULL,
        .exit_code = v->signal || v->rank < 0 ? TRAININGJOB_NONE : exit_code_of(v),
        .signal = v->signal,
        .step = step,
        .steps_lost = TRAININGJOB_NONE,
        .message = message,
    };
    if (v->rank < 0 && v->code > 0)
        f.exit_code = v->code;
    if (step >= 0) {
        int64_t kept = highest_of(s->checkpoint.step, 0);
        f.steps_lost = highest_of(step - kept, 0);
    }
    (void)snprintf(f.cause, sizeof f.cause, "%s", cause_word(v));
    trainingjob_add_failure(s, &f);
}

static struct failure_decision decide(struct job *job, const struct coordinator_verdict *v)
{
    const struct trainingjob_spec *spec = &job->tj.spec;
    struct trainingjob_recovery *r = &job->draft.recovery;
    struct failure_facts facts = {
        .requested = v->requested,
        .diverged = v->diverged,
        .infrastructure = v->infrastructure,
        .code = v->signal || v->rank < 0 ? 0 : exit_code_of(v),
        .rule = trainingjob_match_rule(spec, exit_code_of(v), v->signal),
        .in_place = spec->failure_policy.in_place,
        .charged = job->draft.restarts_charged,
        .backoff_limit = spec->backoff_limit,
        /* A step or a new checkpoint has set it to 0 when it came. */
        .fruitless = (v->after_ms >= JOB_FRUITFUL_MS ? 0 : r->in_place_failures) + 1,
    };
    struct failure_decision decision = failure_policy_decide(&facts);
    if (decision.counts)
        r->in_place_failures = facts.fruitless;
    return decision;
}

static void charge(struct job *job)
{
    struct trainingjob_status *s = &job->draft;
    s->restarts_charged++;
    s->recovery.charged_at_step = s->checkpoint.step;
}

/* The status tells the checkpoint that the next attempt would resume from. */
static void keep_newest(struct job *job)
{
    struct trainingjob_checkpoint *kept = &job->draft.checkpoint;
    struct trainingjob_checkpoint newest =
        checkpoint_choose(&job->draft, job->reports, job->reports_count, job->has_report);
    if (newest.step < kept->step)
        job->lost_step = highest_of(job->lost_step, kept->step);
    if (newest.step != kept->step)
        job_log(job, MLT_LOG_INFO, "checkpoint step=%" PRId64, newest.step);
    kept->step = newest.step;
    kept->time_ms = newest.time_ms;
    trainingjob_set_text(&kept->path, newest.path, TRAININGJOB_PATH_MAX * 4);
}

/* One retry back for each checkpoint that is newer than any that was ever complete: one that is
 * torn and then written anew gives nothing. */
void restart_refill(struct job *job)
{
    struct trainingjob_status *s = &job->draft;
    struct trainingjob_recovery *r = &s->recovery;
    int64_t known = highest_of(s->checkpoint.step, r->resume_step);
    int64_t highest =
        highest_of(r->highest_checkpoint_step, highest_of(s->checkpoint.step, r->charged_at_step));
    for (unsigned i = 0; i < job->reports_count; i++) {
        int64_t step = job->reports[i].step;
        if (step > highest && s->restarts_charged > 0)
            s->restarts_charged--;
        if (step > known && !trainingjob_skips(s, step) &&
            coordinator_is_running(job->coordinator)) {
            job->step_attempt = coordinator_attempt(job->coordinator);
            r->in_place_failures = 0;
        }
    }
    if (job->reports_count) { /* the newest is the first */
        r->highest_checkpoint_step = highest_of(highest, job->reports[0].step);
        poison_note_checkpoint(&r->poison, job->reports[0].step);
    }
    keep_newest(job);
    preempt_tell_ledger(job);
}

/* The checkpoint that the failed attempts resumed from is suspected: the one before it is used. */
void restart_go_back(struct job *job)
{
    trainingjob_skip_checkpoint(&job->draft, job->draft.recovery.resume_step);
    keep_newest(job);
    job->lost_step = TRAININGJOB_NONE; /* nothing is lost that is only not used */
}

/* Neither new pods nor other nodes have helped: the checkpoint cannot be loaded. */
static void skip_unloadable(struct job *job)
{
    const struct trainingjob_status *s = &job->draft;
    int64_t step = s->recovery.resume_step;
    if (!checkpoint_has_older(s, job->reports, job->reports_count, step))
        return;
    restart_go_back(job);
    event_record(job, true, "CheckpointSkipped",
                 "the checkpoint of step %" PRId64 " is not used again: %" PRId64
                 " attempts in a row ended without a step, in new pods and elsewhere too; the job "
                 "goes on from step %" PRId64,
                 step, s->recovery.in_place_failures, s->checkpoint.step);
}

/* An event has room for more of the culprit's last words than a message of one line. */
static void tell(struct job *job, bool warning, const char *reason)
{
    const char *words = job->verdict->v.words;
    size_t length = strlen(words);
    size_t room = length + 2 < EVENT_MESSAGE_MAX ? EVENT_MESSAGE_MAX - length - 2 : 0;
    const char *tail = text_last_lines(job->verdict->tail, TAIL_LINES_MAX, room);
    event_record(job, warning, reason, "%s%s%s", words, *tail ? "\n" : "", tail);
}

/* Marks what must be replaced before the next attempt. */
static void replace_pods(struct job *job, enum failure_where where)
{
    struct member *culprit = member_find(job, job->verdict->role, job->verdict->v.slot);
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

bool restart_is_stopping(const struct job *job)
{
    const struct trainingjob_condition *c =
        trainingjob_find_condition(&job->draft, TRAININGJOB_CONDITION_RESTARTING);
    return c && strcmp(c->status, "True") == 0 && strcmp(c->reason, REASON_STOPPING) == 0;
}

static void set_restarting(struct job *job, const char *reason, const char *message)
{
    struct trainingjob_status *s = &job->draft;
    int64_t now_ms = job->controller->wall_ms;
    job_set_phase(job, TRAININGJOB_PHASE_RESTARTING);
    (void)trainingjob_set_condition(s, TRAININGJOB_CONDITION_RESTARTING, true, reason, message,
                                    now_ms);
    job_end_condition(job, TRAININGJOB_CONDITION_RUNNING, "Restarting", message);
}

/* The ranks take their time to stop (a process in the kernel, a launcher out of reach): people see
 * already why. */
void restart_note(struct job *job)
{
    set_restarting(job, REASON_STOPPING, job->trigger_words);
    job_lazy(job, 0);
}

static void go_on(struct job *job, const struct failure_decision *decision, const char *message)
{
    struct controller *c = job->controller;
    struct trainingjob_status *s = &job->draft;
    const struct coordinator_verdict *v = &job->verdict->v;
    int64_t delay = 0;
    if (decision->counts)
        delay = restart_backoff_ms(s->recovery.in_place_failures, mlt_random_next(&c->random));
    if (decision->charged)
        charge(job);
    if (decision->unloadable)
        skip_unloadable(job);
    s->restarts++;
    s->recovery.pending_stop[0] = 0;
    s->recovery.pending_stop_ms = 0;
    /* A status tells whole seconds: rounded up, so that a next controller does not come too early.
     */
    s->recovery.next_attempt_ms = delay ? (c->wall_ms + delay + 999) / 1000 * 1000 : 0;
    job->next_attempt_ms = delay ? c->now_ms + delay : 0;
    job->waiting_since_ms = c->now_ms + delay;
    set_restarting(job, cause_word(v), message);
    replace_pods(job, decision->where);
    /* In place it goes on within milliseconds, and the next START's write tells all of it. */
    bool at_once = !delay && decision->where == FAILURE_IN_PLACE && members_are_whole(job);
    job_lazy(job, at_once ? JOB_PHASE_WRITE_MS : 0);
    tell(job, !v->requested && !v->diverged, "Restarting");
}

/* A rank that could not be started: the errno alone does not say what was to be started. */
static void name_command(struct job *job)
{
    struct coordinator_verdict *v = &job->verdict->v;
    const cJSON *trainer = trainingjob_trainer(job_template(job));
    size_t length = strlen(v->words);
    if (v->cause == RENDEZVOUS_CAUSE_EXEC_FAILED)
        (void)snprintf(v->words + length, sizeof v->words - length, " (%s)",
                       json_string(trainer, "command[0]", ""));
}

/* One line: what happened, and the last that the culprit said of it. */
static void write_message(const struct coordinator_verdict *v, char message[FAILURE_MESSAGE_ROOM])
{
    char last[FAILURE_MESSAGE_MAX + 1];
    text_telling_line(v->tail, last, sizeof last);
    (void)snprintf(message, FAILURE_MESSAGE_ROOM, "%s%s%s", v->words, *last ? ": " : "", last);
    text_cut(message, FAILURE_MESSAGE_MAX);
}

/* Each attempt has one verdict. One that comes again, from a launcher's snapshot after a change of
 * controller, has been recorded and charged. */
static bool is_judged(const struct job *job, const struct coordinator_verdict *v)
{
    const struct trainingjob_status *s = &job->draft;
    return s->failures_count && s->failures[s->failures_count - 1].attempt == (int64_t)v->attempt;
}

void restart_judge(struct job *job)
{
    struct coordinator_verdict *v = &job->verdict->v;
    char message[FAILURE_MESSAGE_ROOM];
    name_command(job);
    v->diverged |= is_judged(job, v);
    write_message(v, message);
    struct failure_decision decision = decide(job, v);
    suspect_judge(job, &decision);
    if (!v->requested && !v->diverged) {
        record_failure(job, v, message);
        metrics_failure(&job->controller->metrics, cause_word(v));
    }
    if (decision.fail) {
        tell(job, true, "AttemptFailed");
        suspect_explain(job, &decision, message);
        finish_fail(job, decision.reason, message); /* it forgets the verdict */
    } else {
        go_on(job, &decision, message);
    }
    job_forget_verdict(job);
}
