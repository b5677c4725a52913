/* See suspect.h. */
#include "controller/suspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "controller/checkpoint_choice.h"
#include "controller/internal.h"
#include "controller/poison.h"

int64_t suspect_last_step(const struct job *job)
{
    return job->step_attempt == job->verdict->v.attempt ? job->draft.progress.step
                                                        : TRAININGJOB_NONE;
}

/* Whether there is another node for the culprit. That it has room is known when it is asked for: if
 * not, the job is back here soon, and the next strike decides. */
static bool can_move(const struct job *job)
{
    const struct controller *c = job->controller;
    for (const struct view_node *n = c->view.nodes; n; n = n->hh.next)
        if (strcmp(n->name, job->verdict->node) != 0 && n->ready &&
            !trainingjob_avoids(&job->draft, n->name, c->wall_ms))
            return true;
    return false;
}

static enum poison_verdict judge(struct job *job, const struct failure_decision *decision)
{
    const struct trainingjob_status *s = &job->draft;
    int64_t from = s->recovery.resume_step;
    struct poison_failure failure = {
        .charged = decision->charged,
        .out_of_memory = job->verdict->v.cause == RENDEZVOUS_CAUSE_OUT_OF_MEMORY,
        .step = suspect_last_step(job),
        .resume_step = from,
        .newest_checkpoint = s->checkpoint.step,
        .node = job->verdict->node,
        .can_move = !decision->stays && can_move(job),
        /* For a job that fails anyway there is nothing to go back to. */
        .has_older =
            !decision->fail && checkpoint_has_older(s, job->reports, job->reports_count, from),
    };
    return poison_judge(&job->draft.recovery.poison, &failure);
}

static void move(struct job *job, struct failure_decision *decision)
{
    decision->where = job->tj.spec.failure_policy.in_place ? FAILURE_NEW_NODE : FAILURE_NEW_NODES;
    event_record(job, true, "NodeSuspected",
                 "%d attempts from the checkpoint of step %" PRId64
                 " failed after their first step, each time on node %s: %s %u moves",
                 POISON_STRIKES, job->draft.recovery.resume_step, job->verdict->node,
                 job->verdict->role, job->verdict->v.slot);
}

static void go_back(struct job *job)
{
    const struct trainingjob_status *s = &job->draft;
    restart_go_back(job);
    event_record(job, true, "CheckpointPoisoned",
                 "%zu attempts from the checkpoint of step %" PRId64
                 " failed after their first step: the one of step %" PRId64
                 " is used instead, once",
                 s->recovery.poison.strikes_count, s->recovery.resume_step, s->checkpoint.step);
}

void suspect_explain(const struct job *job, const struct failure_decision *decision,
                     char message[FAILURE_MESSAGE_ROOM])
{
    char words[FAILURE_MESSAGE_ROOM];
    if (strcmp(decision->reason, TRAININGJOB_REASON_POISONED) != 0)
        return;
    (void)snprintf(words, sizeof words, "%s", message);
    (void)snprintf(message, FAILURE_MESSAGE_ROOM,
                   "data or code: from the checkpoint of step %" PRId64
                   " and from before it alike, step %" PRId64 " is the last: %.*s",
                   job->draft.recovery.poison.checkpoint_step, suspect_last_step(job),
                   FAILURE_MESSAGE_MAX, words);
}

void suspect_judge(struct job *job, struct failure_decision *decision)
{
    enum poison_verdict verdict = judge(job, decision);
    if (verdict == POISON_DATA_OR_CODE) {
        decision->fail = true;
        decision->reason = TRAININGJOB_REASON_POISONED;
    }
    if (decision->fail)
        return;
    if (verdict == POISON_MOVE)
        move(job, decision);
    if (verdict == POISON_GO_BACK)
        go_back(job);
    if (verdict == POISON_NO_OLDER)
        event_record(job, true, "CheckpointPoisoned",
                     "attempts from the checkpoint of step %" PRId64
                     " fail after their first step, again and again, and there is none before it",
                     job->draft.recovery.resume_step);
}
