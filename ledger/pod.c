/* Pods of the whole cluster. A pod counts on its node from when it is bound until it is terminal or
 * gone, Terminating included. A pod of ours that stands where its gang's placement says is already
 * counted there; one that does not (its gang was stopped, its member was replaced elsewhere and it
 * is still terminating) counts like anybody else's. What is deleted counts as ending for a while,
 * and so does the pod of a member that was replaced, before the API server has said so. */
#include "ledger/internal.h"

#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/json/json.h"

static void array_remove(struct ledger_pod **pods, uint32_t *count, const struct ledger_pod *pod)
{
    for (uint32_t i = 0; i < *count; i++)
        if (pods[i] == pod) {
            pods[i] = pods[--*count];
            return;
        }
}

static void stand_on(struct ledger *l, struct ledger_pod *pod, struct ledger_node *node)
{
    if (pod->node == node)
        return;
    if (pod->node) {
        array_remove(pod->node->pods, &pod->node->pods_count, pod);
        ledger_node_mark(l, pod->node);
    }
    pod->node = node;
    if (node) {
        MLT_GROW(node->pods, node->pods_count, node->pods_capacity);
        node->pods[node->pods_count++] = pod;
        ledger_node_mark(l, node);
    }
}

/* It ends from now on, which was to take so long. */
static void begin_to_end(struct ledger *l, struct ledger_pod *pod, int64_t now_ms)
{
    pod->ends_ms = now_ms + pod->grace_s * 1000 + LEDGER_ENDING_SLACK_MS;
    if (pod->ends_ms < l->ending_until_ms)
        l->ending_until_ms = pod->ends_ms;
}

/* The plan that finds a new place for a member comes before its former pod can be seen to be
 * deleted, and somebody would pass a job that needs what it leaves. */
static void set_left(struct ledger *l, struct ledger_pod *pod, bool left)
{
    if (pod->left == left)
        return;
    pod->left = left;
    if (pod->deleted) /* that counts for itself */
        return;
    pod->ends_ms = LEDGER_ENDED;
    if (left)
        begin_to_end(l, pod, l->now_ms);
    if (pod->node)
        ledger_node_mark(l, pod->node);
}

static void belong_to(struct ledger *l, struct ledger_pod *pod, struct ledger_job *job)
{
    struct ledger_job *before = pod->job;
    if (before == job)
        return;
    pod->job = job;
    if (before) {
        array_remove(before->pods, &before->pods_count, pod);
        ledger_job_mark(l, before);
        if (pod->covered && pod->node)
            ledger_node_mark(l, pod->node);
        pod->covered = false;
        set_left(l, pod, false);
    }
    if (job) {
        MLT_GROW(job->pods, job->pods_count, job->pods_capacity);
        job->pods[job->pods_count++] = pod;
        ledger_job_mark(l, job);
    }
}

void ledger_pod_release(struct ledger_pod *pod)
{
    ledger_use_release(&pod->use);
    free(pod->namespace_);
    free(pod->role);
    free(pod->key);
    free(pod);
}

/* Its UID; a pod without one is told apart by its name. */
static char *key_of(const char *namespace_, const char *name, const char *uid)
{
    return uid && uid[0] ? mlt_strdup(uid)
                         : mlt_asprintf("%s/%s", namespace_ ? namespace_ : "", name ? name : "");
}

static bool is_terminal(const cJSON *pod)
{
    const char *phase = json_string(pod, "status.phase", "");
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

static void read_use(struct ledger *l, const cJSON *object, struct ledger_pod *pod)
{
    struct pod_request request;
    struct ledger_use use;
    /* What the API server accepted is well-formed; whatever is not asks for nothing. */
    if (pod_request_read(object, &request, NULL) < 0)
        request = (struct pod_request){0};
    ledger_use_read(l, &request, &use);
    if (pod->node && !ledger_use_equal(&use, &pod->use))
        ledger_node_mark(l, pod->node);
    ledger_use_release(&pod->use);
    pod->use = use;
}

static void read_member(struct ledger *l, const cJSON *object, const char *job_uid,
                        struct ledger_pod *pod)
{
    const cJSON *labels = json_find(object, "metadata.labels");
    const char *role = json_string(json_member(labels, TRAININGJOB_LABEL_ROLE), "", "");
    const char *text = json_string(json_member(labels, TRAININGJOB_LABEL_INDEX), "", "");
    int64_t index = -1;
    if (mlt_parse_integer(text, 0, INT32_MAX, &index, NULL) < 0)
        index = -1; /* no member: nothing covers it */
    if (pod->job && (index != pod->index || strcmp(pod->role, role) != 0))
        ledger_job_mark(l, pod->job);
    pod->index = index;
    free(pod->role);
    free(steal_ptr(&pod->namespace_));
    bool ours = job_uid && job_uid[0];
    pod->role = mlt_strdup(ours ? role : "");
    if (ours)
        pod->namespace_ = mlt_strdup(json_string(object, "metadata.namespace", ""));
    belong_to(l, pod, ours ? ledger_job_get(l, job_uid) : NULL);
}

/* When it was first heard that it is deleted counts, not the clock of the API server. */
static void read_end(struct ledger *l, const cJSON *object, struct ledger_pod *pod, int64_t now_ms)
{
    bool deleted = json_string(object, "metadata.deletionTimestamp", NULL) != NULL;
    pod->grace_s = json_integer(
        object,
        deleted ? "metadata.deletionGracePeriodSeconds" : "spec.terminationGracePeriodSeconds", 30);
    if (pod->grace_s < 0 || pod->grace_s > LEDGER_ENDING_GRACE_MAX_S)
        pod->grace_s = LEDGER_ENDING_GRACE_MAX_S;
    if (deleted == pod->deleted)
        return;
    pod->deleted = deleted;
    pod->ends_ms = LEDGER_ENDED;
    if (deleted)
        begin_to_end(l, pod, now_ms > l->now_ms ? now_ms : l->now_ms);
    if (pod->node)
        ledger_node_mark(l, pod->node);
    if (pod->job)
        ledger_job_mark(l, pod->job);
}

void ledger_pods_end(struct ledger *l)
{
    struct ledger_pod *pod;
    if (l->now_ms < l->ending_until_ms)
        return;
    l->ending_until_ms = INT64_MAX;
    LEDGER_MAP_EACH(&l->pods, pod)
    {
        if (pod->ends_ms == LEDGER_ENDED)
            continue;
        if (pod->ends_ms > l->now_ms) {
            l->ending_until_ms =
                pod->ends_ms < l->ending_until_ms ? pod->ends_ms : l->ending_until_ms;
            continue;
        }
        pod->ends_ms = LEDGER_ENDED;
        if (pod->node)
            ledger_node_mark(l, pod->node);
    }
}

void ledger_pod(struct ledger *l, const cJSON *object, const char *job_uid, int64_t now_ms)
{
    char *key =
        key_of(json_string(object, "metadata.namespace", ""),
               json_string(object, "metadata.name", ""), json_string(object, "metadata.uid", ""));
    struct ledger_pod *pod = ledger_map_find(&l->pods, key);
    if (!pod) {
        pod = mlt_calloc(1, sizeof *pod);
        pod->key = mlt_strdup(key);
        pod->role = mlt_strdup("");
        pod->ends_ms = LEDGER_ENDED;
        ledger_map_put(&l->pods, key, pod);
    }
    free(key);
    const char *node = json_string(object, "spec.nodeName", "");
    struct ledger_node *before = pod->node;
    read_use(l, object, pod);
    read_member(l, object, job_uid, pod);
    stand_on(l, pod, node[0] && !is_terminal(object) ? ledger_node_get(l, node) : NULL);
    read_end(l, object, pod, now_ms);
    if (pod->job && pod->node != before)
        ledger_job_mark(l, pod->job);
}

void ledger_pod_gone(struct ledger *l, const char *namespace_, const char *name, const char *uid,
                     int64_t now_ms)
{
    (void)now_ms;
    char *key = key_of(namespace_, name, uid);
    struct ledger_pod *pod = ledger_map_find(&l->pods, key);
    if (pod) {
        stand_on(l, pod, NULL);
        belong_to(l, pod, NULL);
        ledger_map_drop(&l->pods, key);
        ledger_pod_release(pod);
    }
    free(key);
}

static bool is_in_namespace(const struct ledger_job *job, const struct ledger_pod *pod)
{
    size_t length = strlen(pod->namespace_);
    return strncmp(job->label, pod->namespace_, length) == 0 && job->label[length] == '/';
}

/* Which member's it is, wherever that one stands now. */
static uint32_t once_member_of(const struct ledger_job *job, const struct ledger_pod *pod)
{
    return job->state == LEDGER_HOLDS && pod->node && is_in_namespace(job, pod)
               ? ledger_request_pod(&job->request, pod->role, pod->index)
               : LEDGER_NO_NUMBER;
}

static uint32_t member_of(const struct ledger_job *job, const struct ledger_pod *pod)
{
    uint32_t member = once_member_of(job, pod);
    return member != LEDGER_NO_NUMBER && job->nodes[member] == pod->node ? member
                                                                         : LEDGER_NO_NUMBER;
}

/* Of two pods the one that is covered: that which stays, else the one with the smaller key, so that
 * a rebuilt ledger covers the same one in whatever order it was told. */
static bool rather(const struct ledger_pod *a, const struct ledger_pod *b)
{
    return a->deleted != b->deleted ? b->deleted : strcmp(a->key, b->key) < 0;
}

/* One pod per member is covered, where the placement says that the member stands. While a member's
 * former pod still ends there, two do. */
void ledger_job_cover(struct ledger *l, struct ledger_job *job)
{
    struct ledger_pod **chosen = mlt_calloc(job->request.pods + 1, sizeof(struct ledger_pod *));
    for (uint32_t i = 0; i < job->pods_count; i++) {
        struct ledger_pod *pod = job->pods[i];
        uint32_t member = member_of(job, pod);
        if (member != LEDGER_NO_NUMBER && (!chosen[member] || rather(pod, chosen[member])))
            chosen[member] = pod;
    }
    for (uint32_t i = 0; i < job->pods_count; i++) {
        struct ledger_pod *pod = job->pods[i];
        uint32_t member = member_of(job, pod);
        bool covered = member != LEDGER_NO_NUMBER && chosen[member] == pod;
        if (covered != pod->covered && pod->node)
            ledger_node_mark(l, pod->node);
        pod->covered = covered;
        set_left(l, pod,
                 member == LEDGER_NO_NUMBER && once_member_of(job, pod) != LEDGER_NO_NUMBER);
    }
    free(chosen);
}
