/* What the coordinator of a job says, turned into effects and into facts about the job. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "controller/pod_build.h"
#include "controller/text_clean.h"
#include "lib/base/alloc.h"

#define TORN_REPORTS_TOLD 2 /* in a row */

static void keep_verdict(struct job *job, const struct coordinator_verdict *v)
{
    job_forget_verdict(job);
    job->verdict = mlt_calloc(1, sizeof *job->verdict);
    job->verdict->v = *v;
    job->verdict->role = mlt_strdup(v->role ? v->role : "");
    job->verdict->node = mlt_strdup(v->node ? v->node : "");
    job->verdict->tail = mlt_strdup(v->tail ? v->tail : "");
    text_clean(job->verdict->node);
    text_plain(job->verdict->v.words, false);
    text_plain(job->verdict->tail, true);
    job->verdict->v.role = job->verdict->role;
    job->verdict->v.node = job->verdict->node;
    job->verdict->v.tail = job->verdict->tail;
    job->adopting = false;
    job->stop_ordered = false;
    members_stopping(job, false);
    job->sent_attempt = job->execed_attempt = 0;
}

static void member_channel(struct job *job, const struct coordinator_output *out, bool joined)
{
    struct member *m = member_find(job, out->role, out->slot);
    if (!m)
        return;
    m->joined = joined;
    m->joined_once |= joined;
    m->channel = joined ? out->channel : 0;
    m->suspect = false;
    m->absent_since_ms = job->controller->now_ms;
}

static void note_suspect(struct job *job, const struct coordinator_output *out)
{
    struct member *m = member_find(job, out->role, out->slot);
    if (!m)
        return;
    m->suspect = out->kind == COORDINATOR_SUSPECT;
    job_log(job, MLT_LOG_INFO, "launcher is %s role=%s index=%u",
            m->suspect ? "silent" : "heard again", m->role, m->slot);
}

/* Remaining time by the speed of the last minute. */
static void estimate(struct trainingjob_progress *p)
{
    p->remaining_seconds = TRAININGJOB_NONE;
    if (p->total_steps > 0 && p->steps_per_second > 0 && p->step >= 0 && p->step <= p->total_steps)
        p->remaining_seconds = (int64_t)((double)(p->total_steps - p->step) / p->steps_per_second);
}

/* At once when nothing was written for a while, else with the others: one write per job in
 * JOB_LAZY_WRITE_MS. */
static void write_progress(struct job *job)
{
    int64_t next = job->last_lazy_ms + JOB_LAZY_WRITE_MS - job->controller->now_ms;
    bool last = job_finished(job) || job->draft.phase == TRAININGJOB_PHASE_SUSPENDED;
    job_lazy(job, next > 0 && !last ? next : 0);
}

static void note_progress(struct job *job, const struct coordinator_output *out)
{
    struct trainingjob_progress *p = &job->draft.progress;
    bool first = job->step_attempt != coordinator_attempt(job->coordinator);
    p->step = out->step;
    if (out->total_steps > 0)
        p->total_steps = out->total_steps;
    p->steps_per_second = (double)out->steps_per_kilosecond / 1000.0;
    estimate(p);
    job->step_attempt = coordinator_attempt(job->coordinator);
    if (first) {
        /* A step: whatever went wrong before, this attempt has got past it. */
        job->draft.recovery.in_place_failures = 0;
        job->last_lazy_ms = INT64_MIN / 2;
        progress_watch_stepped(job);
    }
    write_progress(job);
}

/* A checkpoint that is being written is torn for a moment: worth a word only when it stays so. */
static void note_torn(struct job *job, int64_t step)
{
    bool same = step != RENDEZVOUS_NO_STEP && step == job->torn_step;
    job->torn_reports = step == RENDEZVOUS_NO_STEP ? 0 : same ? job->torn_reports + 1 : 1;
    job->torn_step = step == RENDEZVOUS_NO_STEP ? TRAININGJOB_NONE : step;
    if (job->torn_reports == TORN_REPORTS_TOLD)
        job_log(job, MLT_LOG_INFO, "torn checkpoint step=%" PRId64, step);
}

static void note_checkpoints(struct job *job, const struct coordinator_output *out)
{
    job_forget_reports(job);
    if (out->checkpoints_count)
        job->reports = mlt_calloc(RENDEZVOUS_CHECKPOINTS_MAX, sizeof *job->reports);
    /* A path that is no text cannot stand in the status, nor be handed on by it. */
    for (uint32_t i = 0; i < out->checkpoints_count && i < RENDEZVOUS_CHECKPOINTS_MAX; i++)
        if (text_is_utf8(out->checkpoints[i].path))
            job->reports[job->reports_count++] = (struct trainingjob_checkpoint){
                .step = out->checkpoints[i].step,
                .path = mlt_strdup(out->checkpoints[i].path),
                .time_ms = out->checkpoints[i].wall_ms,
            };
    job->has_report = true;
    note_torn(job, out->torn_step);
    restart_refill(job);
    write_progress(job);
}

static void note_ready(struct job *job, const struct coordinator_output *out)
{
    job->ready_attempt = out->attempt;
    job->adopting = false;
}

static void note_running(struct job *job, const struct coordinator_output *out)
{
    struct controller *c = job->controller;
    job->execed_attempt = job->sent_attempt = out->attempt;
    job->ready_attempt = 0;
    job->adopting = false;
    job->waiting_since_ms = 0;
    job->running_since_ms = c->now_ms;
    for (uint32_t i = 0; i < job->members_count; i++)
        job->members[i].rejections = job->members[i].deletions = 0;
    if (out->kind == COORDINATOR_ADOPTED) {
        c->metrics.count[METRIC_ADOPTIONS]++;
        job_log(job, MLT_LOG_INFO, "adopted attempt=%" PRIu64, out->attempt);
    } else {
        job_log(job, MLT_LOG_INFO, "started attempt=%" PRIu64 " start_to_exec_us=%" PRIu64,
                out->attempt, out->start_us);
    }
}

static void note_trigger(struct job *job, const struct coordinator_output *out)
{
    job->trigger_ms = job->controller->now_ms;
    members_stopping(job, true);
    trainingjob_set_text(&job->trigger_words, out->words ? out->words : "", RENDEZVOUS_REASON_MAX);
    text_plain(job->trigger_words, false);
    job_log(job, MLT_LOG_WARNING, "failure attempt=%" PRIu64 " words=\"%s\"", out->attempt,
            out->words ? out->words : "");
}

/* Its processes do not die: only another node helps. */
static void note_unkillable(struct job *job, const struct coordinator_output *out)
{
    struct member *m = member_find(job, out->role, out->slot);
    if (!m)
        return;
    event_record(job, true, "Unkillable",
                 "processes of %s %u on node %s do not end: its pod is replaced elsewhere", m->role,
                 m->slot, m->node ? m->node : "?");
    m->renew = true;
    member_avoid_node(job, m);
}

static void note_save_ordered(struct job *job, const struct coordinator_output *out)
{
    event_record(job, false, "CheckpointNow", "all ranks save step %" PRId64 " before the stop",
                 out->step);
}

static void note_save_ended(struct job *job, const struct coordinator_output *out)
{
    job_log(job, MLT_LOG_INFO, "save ended step=%" PRId64 " words=\"%s\"", out->step,
            out->words ? out->words : "");
    (void)snprintf(job->stop_why, sizeof job->stop_why, "%s", out->words ? out->words : "");
    if (out->step == RENDEZVOUS_NO_STEP) {
        /* Of a pod that is being ended; of a stop that was ordered it is so already. What the ranks
         * have saved themselves is known when the launchers have looked again. */
        job->stop_untold = true;
        job->stop_saved = false;
        return;
    }
    job->stop_saved = true;
    event_record(job, false, "CheckpointSaved", "step %" PRId64 " is saved: the ranks are stopped",
                 out->step);
}

static void note_terminating(struct job *job, const struct coordinator_output *out)
{
    struct member *m = member_find(job, out->role, out->slot);
    job_log(job, MLT_LOG_INFO, "pod is being ended role=%s index=%u", out->role, out->slot);
    if (m)
        m->terminating = true;
}

/* A launcher's word to people. Equal ones of many pods are one event, counted. */
static void note_notice(struct job *job, const struct coordinator_output *out)
{
    char words[RENDEZVOUS_REASON_MAX + 1];
    /* What the template says itself was told when the job came: ReservedVariable. */
    if (strcmp(out->reason, "ReservedEnvironment") == 0 && pod_build_reserved(job_template(job)))
        return;
    (void)snprintf(words, sizeof words, "%s", out->words);
    text_clean(words);
    event_record(job, out->severity == RENDEZVOUS_SEVERITY_WARNING, out->reason, "%s", words);
}

static void note_refused(struct job *job, const struct coordinator_output *out)
{
    const char *words = out->words ? out->words : "";
    job->controller->metrics.count[METRIC_REFUSALS]++;
    /* A peer that comes again and again says the same: counted each time, logged once. */
    if (job->last_refusal && strcmp(job->last_refusal, words) == 0)
        return;
    trainingjob_set_text(&job->last_refusal, words, RENDEZVOUS_REASON_MAX);
    job_log(job, MLT_LOG_WARNING, "refused words=\"%s\"", words);
}

static void send_frame(struct controller *c, const struct coordinator_output *out)
{
    if (out->shared)
        effects_channel_share(&c->effects, out->channel, out->shared);
    else
        effects_channel_send(&c->effects, out->channel, out->bytes, out->length);
}

static void take(struct job *job, const struct coordinator_output *out)
{
    struct controller *c = job->controller;
    switch (out->kind) {
    case COORDINATOR_SEND:
        send_frame(c, out);
        break;
    case COORDINATOR_CLOSE:
        effects_channel_close(&c->effects, out->channel);
        channels_forget(c, out->channel);
        break;
    case COORDINATOR_REFUSED:
        note_refused(job, out);
        break;
    case COORDINATOR_MEMBER_JOINED:
        member_channel(job, out, true);
        break;
    case COORDINATOR_MEMBER_ABSENT:
        member_channel(job, out, false);
        break;
    case COORDINATOR_SUSPECT:
    case COORDINATOR_CLEARED:
        note_suspect(job, out);
        break;
    case COORDINATOR_GANG_READY:
        note_ready(job, out);
        break;
    case COORDINATOR_GANG_STARTED:
    case COORDINATOR_ADOPTED:
        note_running(job, out);
        break;
    case COORDINATOR_DIVERGED:
        job_log(job, MLT_LOG_WARNING, "members disagree after a change of controller");
        members_stopping(job, true);
        break;
    case COORDINATOR_TRIGGER:
        note_trigger(job, out);
        break;
    case COORDINATOR_VERDICT:
        keep_verdict(job, &out->verdict);
        break;
    case COORDINATOR_COMPLETED:
        job->completed = true;
        job->adopting = false;
        members_stopping(job, false);
        break;
    case COORDINATOR_PROGRESS:
        note_progress(job, out);
        break;
    case COORDINATOR_CHECKPOINT:
        note_checkpoints(job, out);
        break;
    case COORDINATOR_TERMINATING:
        note_terminating(job, out);
        break;
    case COORDINATOR_UNKILLABLE:
        note_unkillable(job, out);
        break;
    case COORDINATOR_NOTICE:
        note_notice(job, out);
        break;
    case COORDINATOR_SAVE_ORDERED:
        note_save_ordered(job, out);
        break;
    case COORDINATOR_SAVE_ENDED:
        note_save_ended(job, out);
        break;
    case COORDINATOR_EXAMINING:
        job_log(job, MLT_LOG_WARNING, "%s: the launchers are asked what their ranks do",
                out->words ? out->words : "");
        break;
    }
}

/* Whether it says something of one member, and not of the gang. */
static bool is_of_member(enum coordinator_output_kind kind)
{
    switch (kind) {
    case COORDINATOR_SEND:
    case COORDINATOR_CLOSE:
    case COORDINATOR_REFUSED:
    case COORDINATOR_MEMBER_JOINED:
    case COORDINATOR_MEMBER_ABSENT:
    case COORDINATOR_SUSPECT:
    case COORDINATOR_CLEARED:
    case COORDINATOR_TERMINATING:
    case COORDINATOR_NOTICE:
        return true;
    default:
        return false;
    }
}

void gang_drain(struct job *job)
{
    struct coordinator_output out;
    if (!job->coordinator)
        return;
    while (coordinator_next(job->coordinator, &out)) {
        job->look |= !is_of_member(out.kind);
        take(job, &out);
    }
}
