/* When a node is gone or not ready, what runs there is lost: but a launcher that still speaks over
 * its channel proves that its ranks live, whatever the node's status says (an agent that restarts,
 * an API server that is cut off). */
#include <stdio.h>
#include <string.h>
#include "controller/internal.h"

/* A member is lost with its not-ready node when its channel has been closed for so long. */
#define NODE_LOSS_ABSENT_MS 10000

/* A launcher that does not come back (its host's network, a fault of its own) would keep everybody
 * else waiting for its STOPPED: its pod is deleted, and the kubelet says when it has ended. */
#define NODE_LOSS_SILENT_MS 60000

bool node_loss_is_stranded(const struct controller *c, const struct view_pod *pod)
{
    const struct view_node *node = view_node(&c->view, pod->node);
    return pod->deleting && *pod->node && !(node && node->ready);
}

static void check_silent(struct job *job, struct member *m)
{
    struct controller *c = job->controller;
    int64_t since =
        m->absent_since_ms > job->stopping_since_ms ? m->absent_since_ms : job->stopping_since_ms;
    if (m->joined || !job->stopping || m->pod->deleting || m->pod->delete_asked ||
        !coordinator_is_running(job->coordinator))
        return;
    if (since + NODE_LOSS_SILENT_MS > c->now_ms) {
        job_wake_at(job, since + NODE_LOSS_SILENT_MS);
        return;
    }
    m->silent = true;
    event_record(job, true, "LauncherSilent",
                 "the launcher of pod %s has been out of reach for %d s while all ranks stop: the "
                 "pod is deleted",
                 m->pod->name, NODE_LOSS_SILENT_MS / 1000);
}

static void check_member(struct job *job, struct member *m)
{
    struct controller *c = job->controller;
    if (!member_has_pod(m) || !*m->pod->node)
        return;
    const struct view_node *node = view_node(&c->view, m->pod->node);
    char words[RENDEZVOUS_REASON_MAX];
    if (node && node->ready) {
        check_silent(job, m);
        return;
    }
    if (!node) {
        (void)snprintf(words, sizeof words, "node %s is gone", m->pod->node);
        member_lost_with_node(job, m, words);
        return;
    }
    if (m->joined)
        return;
    int64_t lost_at = m->absent_since_ms + NODE_LOSS_ABSENT_MS;
    if (lost_at > c->now_ms) {
        job_wake_at(job, lost_at);
        return;
    }
    (void)snprintf(words, sizeof words, "node %s is not ready and its launcher is silent",
                   m->pod->node);
    member_lost_with_node(job, m, words);
}

void node_loss_check_job(struct job *job)
{
    if (!job->coordinator || job->let_go || job_has_ended(job))
        return;
    for (uint32_t i = 0; i < job->members_count; i++)
        check_member(job, &job->members[i]);
}

void node_loss_check(struct controller *c, const char *name)
{
    for (struct job *job = c->jobs; job; job = job->hh.next)
        for (uint32_t i = 0; i < job->members_count; i++)
            if (job->members[i].pod && strcmp(job->members[i].pod->node, name) == 0) {
                job_touch(job);
                break;
            }
}
