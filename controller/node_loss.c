/* When a node is gone or not ready, what runs there is lost: but a launcher that still speaks over
 * its channel proves that its ranks live, whatever the node's status says (an agent that restarts,
 * an API server that is cut off). And when a launcher is out of reach on a node that is well, its
 * pod is not waited for without end. */
#include <stdio.h>
#include <string.h>
#include "controller/internal.h"

/* A member is lost with its not-ready node when its channel has been closed for so long. */
#define NODE_LOSS_ABSENT_MS 10000

/* A launcher that does not come back (its host's network, a fault of its own) would keep everybody
 * else waiting for its STOPPED: its pod is deleted, and the kubelet says when it has ended. */
#define NODE_LOSS_SILENT_MS 60000

static bool is_well(const struct controller *c, const char *name)
{
    const struct view_node *node = view_node(&c->view, name);
    return node && node->ready;
}

bool node_loss_is_stranded(const struct controller *c, const struct view_pod *pod)
{
    return pod->deleting && *pod->node && !is_well(c, pod->node);
}

/* Whether a time has come; else the job looks again then. */
static bool has_come(struct job *job, int64_t at_ms)
{
    if (at_ms <= job->controller->now_ms)
        return true;
    job_wake_at(job, at_ms);
    return false;
}

static void send_away(struct job *job, struct member *m, const char *why)
{
    m->silent = true;
    event_record(job, true, "LauncherSilent", "the launcher of pod %s %s: the pod is deleted",
                 m->pod->name, why);
}

static void check_silent(struct job *job, struct member *m)
{
    int64_t since =
        m->absent_since_ms > job->stopping_since_ms ? m->absent_since_ms : job->stopping_since_ms;
    if (m->joined || m->silent || m->pod->deleting || m->pod->delete_asked)
        return;
    if (m->pod->elsewhere) {
        if (has_come(job, m->absent_since_ms + NODE_LOSS_ABSENT_MS))
            send_away(job, m, "knows another channel than this controller's");
        return;
    }
    if (job->stopping && coordinator_is_running(job->coordinator) &&
        has_come(job, since + NODE_LOSS_SILENT_MS))
        send_away(job, m, "has been out of reach for a minute while all ranks stop");
}

/* A member without a pod waits for its node, as long as it would be waited for with one. */
static void check_empty(struct job *job, struct member *m)
{
    const struct view_node *node = m->node ? view_node(&job->controller->view, m->node) : NULL;
    if (!m->node || m->creating || (node && node->ready))
        return;
    if (!node || has_come(job, node->unready_since_ms + NODE_LOSS_ABSENT_MS))
        member_give_up_node(job, m);
}

static void check_member(struct job *job, struct member *m)
{
    const struct controller *c = job->controller;
    char words[RENDEZVOUS_REASON_MAX];
    if (!member_has_pod(m)) {
        check_empty(job, m);
    } else if (!*m->pod->node) {
        return; /* not bound yet */
    } else if (!view_node(&c->view, m->pod->node)) {
        (void)snprintf(words, sizeof words, "node %s is gone", m->pod->node);
        member_lost_with_node(job, m, words);
    } else if (is_well(c, m->pod->node)) {
        check_silent(job, m);
    } else if (!m->joined && has_come(job, m->absent_since_ms + NODE_LOSS_ABSENT_MS)) {
        (void)snprintf(words, sizeof words, "node %s is not ready and its launcher is silent",
                       m->pod->node);
        member_lost_with_node(job, m, words);
    }
}

void node_loss_check_job(struct job *job)
{
    if (!job->coordinator || job->let_go || job_has_ended(job))
        return;
    for (uint32_t i = 0; i < job->members_count; i++)
        check_member(job, &job->members[i]);
}

static bool is_at(const struct member *m, const char *node)
{
    return (m->pod && strcmp(m->pod->node, node) == 0) || (m->node && strcmp(m->node, node) == 0);
}

void node_loss_check(struct controller *c, const char *name)
{
    for (struct job *job = c->jobs; job; job = job->hh.next)
        for (uint32_t i = 0; i < job->members_count; i++)
            if (is_at(&job->members[i], name)) {
                job_touch(job);
                break;
            }
}
