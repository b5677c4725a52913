/* When a node is lost, what runs there is lost with it. A node is lost when a launcher there is
 * silent AND its kubelet has not renewed the node's Lease for so long by our own monotonic clock,
 * while the API server answered. Leases are asked for on suspicion only. So neither a network that
 * only the launcher has lost, nor a kubelet that has stopped beside living ranks, nor an API server
 * that nobody reaches takes a running rank for dead. Where there is no Lease to ask, the node's
 * Ready condition decides.
 *
 * And when a launcher is out of reach on a node that is well, its pod is not waited for without
 * end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"

#define LEASE_NAMESPACE "kube-node-lease"
#define LEASE_KEY "node-lease/" /* and the node: the key of a request */

/* A silence is noticed within this: the rest of the time the Lease has to stand still. */
#define NODE_LOSS_NOTICE_MS 5000

/* A launcher whose channel is closed is suspected when it has not come back by then. One whose
 * channel is open is suspected by the coordinator: COORDINATOR_CHECK_MS. */
#define NODE_LOSS_SUSPECT_MS 4500

#define NODE_LOSS_ASK_MS 5000 /* between two questions for one Lease */

/* A member is lost with its not-ready node that has no Lease when it has been silent for so long.
 */
#define NODE_LOSS_ABSENT_MS 10000

/* Beyond fenceSeconds: a last PING may reach the launcher so long after its own last word reached
 * us, and then its ranks take a moment to be killed. */
#define NODE_LOSS_FENCE_MARGIN_MS 5000

/* A launcher that does not come back (its host's network, a fault of its own) would keep everybody
 * else waiting for its STOPPED: its pod is deleted, and the kubelet says when it has ended. */
#define NODE_LOSS_SILENT_MS 60000

bool node_loss_is_well(const struct controller *c, const char *name)
{
    const struct view_node *node = view_node(&c->view, name);
    return node && node->ready && !node->lost;
}

bool node_loss_is_stranded(const struct controller *c, const struct view_pod *pod)
{
    return pod->deleting && *pod->node && !node_loss_is_well(c, pod->node);
}

/* Whether a time has come; else the job looks again then. */
static bool has_come(struct job *job, int64_t at_ms)
{
    if (at_ms <= job->controller->now_ms)
        return true;
    job_wake_at(job, at_ms);
    return false;
}

/* ---- the Lease ---- */

static int64_t unchanged_max_ms(const struct controller *c)
{
    return c->config.node_loss_ms - NODE_LOSS_NOTICE_MS;
}

static void set_lost(struct controller *c, struct view_node *n, bool lost)
{
    if (n->lost == lost)
        return;
    n->lost = lost;
    c->view.nodes_lost += lost ? 1u : -1u;
    ledger_node_lost(c->ledger, n->name, lost);
    controller_log(c, MLT_LOG_WARNING, "node is %s node=%s", lost ? "lost" : "back", n->name);
}

/* Neither a server that does not answer (the kubelet does not reach it either), nor a time in which
 * we did not ask, says anything about the node: it is counted from the next answer on. */
static bool is_counted(const struct controller *c, const struct view_lease *l)
{
    return l->counts && l->asked_ms - l->ask_at_ms <= NODE_LOSS_ASK_MS &&
           c->now_ms - l->asked_ms <= NODE_LOSS_ASK_MS;
}

static void lease_read(struct controller *c, struct view_node *n, const cJSON *object)
{
    struct view_lease *l = &n->lease;
    const char *renewed = json_string(object, "spec.renewTime", "");
    bool same = l->renewed && strcmp(l->renewed, renewed) == 0;
    l->missing = NULL;
    if (!same) {
        free(l->renewed);
        l->renewed = mlt_strdup(renewed);
        set_lost(c, n, false);
    }
    if (!same || !is_counted(c, l))
        l->since_ms = c->now_ms;
    else if (l->asked_ms - l->since_ms >= unchanged_max_ms(c))
        set_lost(c, n, true);
    l->counts = true;
}

static void lease_missing(struct controller *c, struct view_node *n, const char *words)
{
    struct view_lease *l = &n->lease;
    if (!l->missing)
        controller_log(c, MLT_LOG_WARNING,
                       "node has no Lease to ask, its Ready condition decides node=%s words=\"%s\"",
                       n->name, words);
    l->missing = words;
    free(steal_ptr(&l->renewed));
    set_lost(c, n, false);
}

static void lease_answered(struct controller *c, const struct apply_order *order,
                           const struct apply_answer *answer)
{
    struct view_node *n = view_node(&c->view, order->key + strlen(LEASE_KEY));
    if (!n)
        return;
    struct view_lease *l = &n->lease;
    if (answer->status == 200 && answer->object)
        lease_read(c, n, answer->object);
    else if (answer->status == 404)
        lease_missing(c, n, "has no Lease");
    else if (answer->status == 403)
        lease_missing(c, n, "has a Lease that this controller may not read");
    else
        l->counts = false;
    l->asking = false;
    l->ask_at_ms = c->now_ms + NODE_LOSS_ASK_MS;
    int64_t decides_ms = l->since_ms + unchanged_max_ms(c);
    if (!n->lost && decides_ms > c->now_ms && decides_ms < l->ask_at_ms)
        l->ask_at_ms = decides_ms;
    node_loss_check(c, n->name);
}

static void lease_ask(struct controller *c, struct view_node *n)
{
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    cleanup_free char *key = mlt_asprintf(LEASE_KEY "%s", n->name);
    kube_path(&path, KUBE_LEASE, LEASE_NAMESPACE, n->name, NULL, NULL);
    n->lease.asking = true;
    n->lease.asked_ms = c->now_ms;
    apply_send(c, &(struct apply_order){
                      .verb = "GET",
                      .path = mlt_text_string(&path),
                      .key = key,
                      .try_once = true,
                      .done = lease_answered,
                  });
    mlt_text_release(&path);
}

int64_t node_loss_pump(struct controller *c)
{
    int64_t wake = INT64_MAX;
    if (!c->view.nodes_lost)
        return wake;
    for (struct view_node *n = c->view.nodes; n; n = n->hh.next) {
        if (!n->lost || n->lease.asking)
            continue;
        if (n->lease.ask_at_ms <= c->now_ms)
            lease_ask(c, n);
        else if (n->lease.ask_at_ms < wake)
            wake = n->lease.ask_at_ms;
    }
    return wake;
}

/* ---- members ---- */

/* Since its last word; of one that we have never heard, since we know its pod. */
static int64_t silent_since_ms(const struct job *job, const struct member *m)
{
    return m->joined_once ? coordinator_heard_ms(job->coordinator, m->role, m->slot)
                          : m->absent_since_ms;
}

/* A pod that its node has taken note of and that has not started yet pulls an image: that takes its
 * time. */
static bool is_suspect(struct job *job, const struct member *m)
{
    if (m->joined)
        return m->suspect;
    if (!m->joined_once && m->pod->phase == VIEW_PENDING && m->pod->seen_by_node)
        return false;
    return has_come(job, silent_since_ms(job, m) + NODE_LOSS_SUSPECT_MS);
}

/* Whether its ranks have ended by their own fence, if they have one and have ever been started. */
static bool fence_is_over(struct job *job, const struct member *m)
{
    int64_t fence_ms = job->tj.spec.failure_policy.fence_seconds * 1000;
    return !fence_ms || job->draft.phase == TRAININGJOB_PHASE_ADMITTED ||
           has_come(job, silent_since_ms(job, m) + fence_ms + NODE_LOSS_FENCE_MARGIN_MS);
}

static bool is_lost_with_node(struct job *job, const struct member *m, const struct view_node *n,
                              char words[RENDEZVOUS_REASON_MAX])
{
    if (n->lost)
        (void)snprintf(words, RENDEZVOUS_REASON_MAX,
                       "node %s is lost: its launcher is silent, and its Lease was not renewed for "
                       "%d s",
                       n->name, (int)(unchanged_max_ms(job->controller) / 1000));
    else
        (void)snprintf(words, RENDEZVOUS_REASON_MAX,
                       "node %s is not ready, %s, and its launcher is silent", n->name,
                       n->lease.missing ? n->lease.missing : "");
    return n->lost || (n->lease.missing && !n->ready &&
                       has_come(job, silent_since_ms(job, m) + NODE_LOSS_ABSENT_MS));
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
    if (!m->node || m->creating || (node && node->ready && !node->lost))
        return;
    if (m->dead && job->draft.phase == TRAININGJOB_PHASE_ADMITTED)
        return; /* given up already: the gang is undone as soon as a status write is over */
    if (!node || node->lost || has_come(job, node->unready_since_ms + NODE_LOSS_ABSENT_MS))
        member_give_up_node(job, m);
}

/* Also when the job has ended: whether its pods will ever end depends on it. */
static void check_suspect(struct job *job, struct member *m, struct view_node *n, bool leads_on)
{
    char words[RENDEZVOUS_REASON_MAX];
    if (!n->lease.asking && has_come(job, n->lease.ask_at_ms))
        lease_ask(job->controller, n);
    if (leads_on && is_lost_with_node(job, m, n, words) && fence_is_over(job, m))
        member_lost_with_node(job, m, words);
}

static void check_member(struct job *job, struct member *m)
{
    char words[RENDEZVOUS_REASON_MAX];
    bool leads_on = !job->let_go && !job_has_ended(job);
    if (!member_has_pod(m)) {
        if (leads_on)
            check_empty(job, m);
        return;
    }
    if (!*m->pod->node)
        return; /* not bound yet */
    struct view_node *n = view_node(&job->controller->view, m->pod->node);
    if (!n) {
        (void)snprintf(words, sizeof words, "node %s is gone", m->pod->node);
        if (leads_on && fence_is_over(job, m))
            member_lost_with_node(job, m, words);
        return;
    }
    if (is_suspect(job, m))
        check_suspect(job, m, n, leads_on);
    if (leads_on && member_has_pod(m) && n->ready && !n->lost)
        check_silent(job, m);
}

void node_loss_check_job(struct job *job)
{
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
