/* Members and their pods: which pod holds a slot, which has been lost and through whose fault. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

struct member *member_find(struct job *job, const char *role, uint32_t slot)
{
    if (slot < job->members_count && strcmp(job->members[slot].role, role) == 0)
        return &job->members[slot];
    return NULL;
}

const struct member *member_of_pod(const struct job *job, const struct view_pod *pod)
{
    bool known = pod->slot < job->members_count &&
                 strcmp(job->members[pod->slot].role, pod->role) == 0 &&
                 job->members[pod->slot].pod == pod;
    return known ? &job->members[pod->slot] : NULL;
}

bool member_has_pod(const struct member *m)
{
    return m->pod && !view_pod_ended(m->pod) && strcmp(m->pod->uid, m->lost_uid) != 0;
}

bool member_to_create(const struct job *job, const struct member *m)
{
    const struct controller *c = job->controller;
    if (job->let_go)
        return false; /* its launchers have been told to exit */
    if (m->occupied || (!m->pod && m->started && !m->missing))
        return false; /* an older pod is still there, or ours may only not be in our list yet */
    if (!m->node || m->create_after_ms > c->now_ms || m->creating || member_has_pod(m))
        return false;
    if (job->former_creations)
        return false; /* one of them may be for this very slot, under another name */
    if (job->creations && creations_are_untold(job, m))
        return false; /* that cannot be told while others are on their way */
    if (!node_loss_is_well(c, m->node))
        return false; /* it comes back soon, or is given up: node_loss.c */
    return !m->pod || view_pod_terminal(m->pod) || strcmp(m->pod->uid, m->lost_uid) == 0;
}

bool members_are_whole(const struct job *job)
{
    for (uint32_t i = 0; i < job->members_count; i++) {
        const struct member *m = &job->members[i];
        if (!member_has_pod(m) || m->renew || m->pod->deleting)
            return false;
    }
    return true;
}

static void set_string(char **field, const char *text)
{
    char *copy = mlt_strdup(text);
    free(*field);
    *field = copy;
}

/* The node has refused the pod or thrown it out: this job keeps away from it for a while. */
static void blame_node(struct job *job, struct member *m, const char *node)
{
    struct controller *c = job->controller;
    if (!node || !*node)
        return;
    trainingjob_avoid_node(&job->draft, node, c->wall_ms, JOB_NODE_AVOID_BASE_MS,
                           JOB_NODE_AVOID_MAX_MS);
    if (job->ledger != JOB_LEDGER_NONE)
        plan_tell_avoided(job);
    if (job->draft.phase != TRAININGJOB_PHASE_ADMITTED)
        member_unplace(job, m);
    job_lazy(job, JOB_PHASE_WRITE_MS);
}

void member_avoid_node(struct job *job, struct member *m)
{
    const char *node = m->node;
    char *copy = mlt_strdup(node ? node : "");
    blame_node(job, m, copy);
    free(copy);
}

void member_unplace(struct job *job, struct member *m)
{
    free(m->node);
    m->node = NULL;
    m->creating_elsewhere = m->creating;
    job->no_place = false;
    if (job->ledger == JOB_LEDGER_HOLDS && !job->leaves_ledger)
        job_ledger_holds(job);
}

/* A launcher leaves so when it has got SIGTERM, which is its pod's end, or when it was told to. */
#define LAUNCHER_EXIT_TERMINATED (128 + 15)

/* The container was gone when kubelet or runtime came back: the machine has started again. Nobody
 * saw it end, and its exit code is made up (pkg/kubelet/kubelet_pods.go, containerd's
 * pkg/cri/server/restart.go). */
static bool is_lost_container(const struct view_pod *pod)
{
    return strcmp(pod->reason, "ContainerStatusUnknown") == 0 ||
           strcmp(pod->reason, "Unknown") == 0;
}

/* Says how a pod ended and whether that was the job's own doing. */
static bool explain_end(const struct member *m, char *words, size_t size)
{
    const struct view_pod *p = m->pod;
    if (!p || strcmp(p->uid, m->pod_uid) != 0) {
        (void)snprintf(words, size, "pod %s was deleted", m->pod_name);
        return true;
    }
    const char *colon = *p->message ? ": " : "";
    if (p->rejected && p->blameless && !p->deleting) {
        (void)snprintf(words, size, "pod %s was stopped on node %s (%s)%s%s", p->name, p->node,
                       *p->reason ? p->reason : "no reason given", colon, p->message);
        return true;
    }
    if (p->rejected && !p->deleting) {
        (void)snprintf(words, size, "pod %s was refused or thrown out by node %s (%s)%s%s", p->name,
                       p->node, *p->reason ? p->reason : "no reason given", colon, p->message);
        return true;
    }
    if (p->deleting) {
        (void)snprintf(words, size, "pod %s was deleted", p->name);
        return true;
    }
    (void)snprintf(words, size, "pod %s on node %s ended with exit code %d (%s)%s%s", p->name,
                   p->node, (int)p->exit_code, *p->reason ? p->reason : "no reason given", colon,
                   p->message);
    return is_lost_container(p) || p->exit_code == LAUNCHER_EXIT_TERMINATED;
}

/* Whether the same node is asked again before it is blamed. One that has just lost this member's
 * pod may still be busy with its end (a pod that was deleted by force), so a few refusals pass; one
 * that shuts down or made way for somebody is never blamed. Before the first START nothing passes:
 * the gang goes elsewhere, and only a shutdown is waited for, a moment. */
static bool is_passing_rejection(struct job *job, struct member *m)
{
    int64_t now_ms = job->controller->now_ms;
    bool thrown_out = m->joined_once; /* not refused: it was at work there */
    if (job->draft.phase == TRAININGJOB_PHASE_ADMITTED) {
        if (m->pod->blameless)
            job->queue_again_ms = now_ms + JOB_UNDONE_WAIT_MS;
        return m->pod->blameless;
    }
    if (!m->pod->blameless && (thrown_out || m->rejections >= JOB_REJECTIONS_MAX))
        return false;
    unsigned doublings = m->rejections < JOB_REJECTIONS_MAX ? m->rejections : JOB_REJECTIONS_MAX;
    m->create_after_ms = now_ms + (JOB_REJECTED_WAIT_MS << doublings);
    m->rejections++;
    return true;
}

/* Somebody deletes the member's pods. The first is created again at once. Who goes on may well be
 * the garbage collector, at work on what belongs to a job that is gone: our watch may lag behind
 * by its timeout, and as many pods would come and go as the API server can take. */
static void wait_after_deletion(struct job *job, struct member *m)
{
    enum trainingjob_phase phase = job->draft.phase;
    bool together = phase == TRAININGJOB_PHASE_QUEUED || phase == TRAININGJOB_PHASE_ADMITTED;
    if (m->renew || m->silent || together)
        return; /* it is we who delete it; or the whole gang is undone, and is placed anew */
    if (m->deletions > 0)
        m->create_after_ms = job->controller->now_ms + (JOB_DELETED_WAIT_MS << (m->deletions - 1));
    if (m->deletions <= JOB_DELETED_DOUBLINGS_MAX)
        m->deletions++;
}

static void tell_lost(struct job *job, const struct member *m, const struct coordinator_loss *loss)
{
    if (job->coordinator)
        coordinator_pod_lost(job->coordinator, m->role, m->slot, loss, job->controller->now_ms);
}

/* The member's pod has ended or is gone. */
static void member_lost(struct job *job, struct member *m)
{
    char words[RENDEZVOUS_REASON_MAX];
    bool infrastructure = explain_end(m, words, sizeof words);
    bool same = m->pod && strcmp(m->pod->uid, m->pod_uid) == 0;
    bool rejected = same && m->pod->rejected;
    int32_t code = same && m->pod->exit_code > 0 ? m->pod->exit_code : 0;
    m->dead = true;
    set_string(&m->pod_uid, "");
    if (job->let_go || job_has_ended(job))
        return;
    job_log(job, MLT_LOG_WARNING, "member lost role=%s index=%u words=\"%s\"", m->role, m->slot,
            words);
    if (!m->renew) /* else it is we who replace it: the failure's event says why */
        event_record(job, true, rejected ? "PodRejected" : "PodLost", "%s", words);
    const struct coordinator_loss loss = {
        .infrastructure = infrastructure,
        .out_of_memory = same && strcmp(m->pod->reason, "OOMKilled") == 0,
        .node = m->node,
        .words = words,
        .exit_code = code,
    };
    tell_lost(job, m, &loss);
    /* Before the first START whatever ends a pod is held against its node: an image or a sandbox
     * that fails there. */
    bool undone = job->draft.phase == TRAININGJOB_PHASE_ADMITTED;
    bool early = same && !infrastructure && undone;
    if (undone)
        admit_explain_undo(job, early ? "PodFailed" : rejected ? "PodRejected" : "PodLost", words);
    if (!same || m->pod->deleting)
        wait_after_deletion(job, m);
    if (rejected && is_passing_rejection(job, m))
        return;
    if (rejected || early)
        blame_node(job, m, m->pod->node);
}

/* The status promises another node than the pod is on: it was to move, and whoever wanted that is
 * gone. It stays, and its place is where it is. */
static void follow_pod(struct job *job, struct member *m)
{
    if (!m->node || !*m->pod->node || m->renew || m->silent || m->pod->deleting ||
        job->ledger != JOB_LEDGER_HOLDS || job->leaves_ledger || strcmp(m->node, m->pod->node) == 0)
        return;
    job_log(job, MLT_LOG_WARNING, "pod is on another node role=%s index=%u node=%s placement=%s",
            m->role, m->slot, m->pod->node, m->node);
    set_string(&m->node, m->pod->node);
    job_ledger_holds(job);
    job_write_placement(job);
    job_lazy(job, JOB_PHASE_WRITE_MS);
}

static void asked_pod(struct controller *c, const struct apply_order *order,
                      const struct apply_answer *answer)
{
    struct job *job = job_find(c, order->job_uid);
    struct member *m =
        job && order->index < job->members_count ? &job->members[order->index] : NULL;
    if (!m)
        return;
    if (answer->status == 200)
        view_pod_answered(c, answer->object);
    m->missing = true; /* unless it is in the view now */
    job->members_stale = true;
    job_touch_for_member(job);
}

/* Whether the pod that the attempt was started in is surely gone. Our list may be older than the
 * job's status (its watch is slow, or was refused): what it lacks is asked for by name first. */
static bool is_missing(struct job *job, struct member *m)
{
    char name[TRAININGJOB_POD_NAME_MAX];
    if (m->missing || !m->started || m->asked)
        return m->missing || !m->started;
    m->asked = true;
    m->missing = trainingjob_pod_name(job->name, m->role, m->slot, m->started, name, NULL) < 0;
    if (m->missing)
        return true;
    apply_for_job(job, (struct apply_target){.resource = KUBE_POD, .name = name},
                  (struct apply_order){.verb = "GET", .index = m->slot, .done = asked_pod});
    return false;
}

static void member_refresh(struct job *job, struct member *m)
{
    if (member_has_pod(m)) {
        m->dead = false;
        follow_pod(job, m);
        if (strcmp(m->pod_uid, m->pod->uid) == 0)
            return;
        set_string(&m->pod_uid, m->pod->uid);
        set_string(&m->pod_name, m->pod->name);
        m->absent_since_ms = job->controller->now_ms;
        m->terminating = m->joined_once = false;
        if (job->coordinator)
            coordinator_expect_pod(job->coordinator, m->role, m->slot, m->pod->uid);
        return;
    }
    if (*m->pod_uid) {
        member_lost(job, m);
    } else if (m->pod && !m->dead && !m->creating && strcmp(m->pod->uid, m->lost_uid) != 0) {
        /* It had ended before we came: after a restart of the controller. */
        set_string(&m->pod_uid, m->pod->uid);
        set_string(&m->pod_name, m->pod->name);
        member_lost(job, m);
    } else if (!m->pod && job->adopting && !m->dead && is_missing(job, m)) {
        /* Gone while nobody led. */
        m->dead = true;
        const struct coordinator_loss loss = {
            .infrastructure = true, .node = m->node, .words = "its pod was deleted"};
        tell_lost(job, m, &loss);
    } else if (!m->pod && !job->let_go && !job_has_ended(job)) {
        (void)is_missing(job, m); /* before another is created */
    }
}

void members_leave_former(struct job *job)
{
    for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job) {
        struct member *m = member_find(job, p->role, p->slot);
        /* One that is stranded on the member's own node still has its place there. */
        bool over = view_pod_terminal(p) || (node_loss_is_stranded(job->controller, p) &&
                                             !(m && m->node && strcmp(m->node, p->node) == 0));
        if (m && over && p->creation > m->former)
            m->former = p->creation;
    }
}

void members_refresh(struct job *job)
{
    job->members_stale = false;
    finish_mark_surplus(job);
    if (!job->members)
        return;
    for (uint32_t i = 0; i < job->members_count; i++) {
        job->members[i].pod = NULL;
        job->members[i].occupied = false;
    }
    for (struct view_pod *p = job_pods(job); p; p = p->next_of_job) {
        struct member *m = member_find(job, p->role, p->slot);
        if (!m || p->creation <= 0)
            continue;
        if (p->creation > m->former && (!m->pod || p->creation > m->pod->creation))
            m->pod = p;
        if (p->creation > m->creation)
            m->creation = p->creation;
    }
    for (uint32_t i = 0; i < job->members_count; i++) {
        if (job->members[i].pod)
            job->members[i].started = 0; /* our list has it: from now on it tells of it */
        member_refresh(job, &job->members[i]);
    }
    for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job) {
        struct member *m = member_find(job, p->role, p->slot);
        if (member_of_pod(job, p) || view_pod_terminal(p))
            continue;
        /* A controller that has just come does not know which of them it has given up. */
        if (job->coordinator)
            coordinator_former_pod(job->coordinator, p->role, p->slot, p->uid);
        /* What came late, from a former controller, has to go before another comes. */
        if (m && p->creation > 0 && !node_loss_is_stranded(job->controller, p))
            m->occupied = true;
    }
}

void members_introduce(struct job *job)
{
    if (job->members_stale) /* else a pod that has just come would pass for a former one */
        members_refresh(job);
    for (uint32_t i = 0; i < job->members_count; i++) {
        const struct member *m = &job->members[i];
        if (*m->lost_uid)
            coordinator_former_pod(job->coordinator, m->role, m->slot, m->lost_uid);
        if (*m->pod_uid)
            coordinator_expect_pod(job->coordinator, m->role, m->slot, m->pod_uid);
    }
    for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job)
        if (member_find(job, p->role, p->slot) && !member_of_pod(job, p) && !view_pod_terminal(p))
            coordinator_former_pod(job->coordinator, p->role, p->slot, p->uid);
}

void members_stopping(struct job *job, bool stopping)
{
    if (stopping && !job->stopping)
        job->stopping_since_ms = job->controller->now_ms;
    job->stopping = stopping;
    if (!stopping)
        free(steal_ptr(&job->trigger_words));
}

void members_dismiss(struct job *job)
{
    if (!job->coordinator || job->adopting || coordinator_is_running(job->coordinator))
        return;
    for (uint32_t i = 0; i < job->members_count; i++) {
        struct member *m = &job->members[i];
        if (!m->terminating || !m->channel)
            continue;
        channels_send_exit(job->controller, m->channel, "the pod is being ended");
        m->terminating = false;
    }
}

static void tell_node_lost(struct job *job, const char *words)
{
    event_record(job, true, "NodeLost", "%s", words);
    if (job->draft.phase == TRAININGJOB_PHASE_ADMITTED)
        admit_explain_undo(job, "NodeLost", words);
}

/* A pod whose node is lost: its ranks are taken for dead, and it is deleted so that it ends when
 * the node comes back. */
void member_give_up_node(struct job *job, struct member *m)
{
    char *node = mlt_strdup(m->node);
    cleanup_free char *words =
        mlt_asprintf("node %s of %s %u does not come back", node, m->role, m->slot);
    m->dead = true;
    tell_node_lost(job, words);
    blame_node(job, m, node);
    free(node);
    job_touch(job);
}

void member_lost_with_node(struct job *job, struct member *m, const char *words)
{
    if (!member_has_pod(m))
        return;
    set_string(&m->lost_uid, m->pod->uid);
    set_string(&m->pod_uid, "");
    m->dead = true;
    job_log(job, MLT_LOG_WARNING, "member lost role=%s index=%u words=\"%s\"", m->role, m->slot,
            words);
    tell_node_lost(job, words);
    const struct coordinator_loss loss = {
        .infrastructure = true, .node = m->pod->node, .words = words};
    tell_lost(job, m, &loss);
    blame_node(job, m, m->pod->node);
    job_touch(job);
}
