/* Kubelets, and the controllers of Kubernetes that watch over nodes. See sim.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "tests/simulation/sim.h"

#define LEASE_EVERY_MS 10000
#define NODE_MONITOR_GRACE_MS 40000 /* then the node is not ready */
#define TAINT_EVICTION_MS 300000    /* then its pods are deleted */
#define FORCED_GRACE_MS 2000        /* for a pod whose object is gone */

enum pod_state { POD_STARTING, POD_RUNNING, POD_ENDED };

struct sim_pod {
    char *name, *uid;
    enum pod_state state;
    bool terminating, told; /* told: its end is in the API */
    int code;
    const char *reason; /* of its end; static text */
    int64_t gpus;
    struct sim_pod *next;
};

/* ---- looking ---- */

static cJSON *object_of(struct sim *s, const char *uid)
{
    API_EACH(s, o, "pods")
    if (strcmp(json_string(o->json, "metadata.uid", ""), uid) == 0)
        return o->json;
    return NULL;
}

static struct sim_pod *pod_find(struct sim *s, const char *uid, int *ret_node)
{
    for (int i = 0; i < s->nodes_count; i++)
        for (struct sim_pod *p = s->nodes[i].pods; p; p = p->next)
            if (strcmp(p->uid, uid) == 0) {
                *ret_node = i;
                return p;
            }
    return NULL;
}

static int node_of(const struct sim *s, const char *name)
{
    for (int i = 0; i < s->nodes_count; i++)
        if (strcmp(s->nodes[i].name, name) == 0)
            return i;
    return -1;
}

static bool can_speak(const struct sim *s, int node)
{
    return s->nodes[node].up && s->nodes[node].reachable;
}

static void pod_forget(struct sim *s, int node, struct sim_pod *pod)
{
    struct sim_pod **p = &s->nodes[node].pods;
    while (*p != pod)
        p = &(*p)->next;
    *p = pod->next;
    free(pod->name);
    free(pod->uid);
    free(pod);
}

/* ---- writing ---- */

static char *pod_path(const char *name, const char *rest)
{
    return mlt_asprintf("/api/v1/namespaces/" SIM_NAMESPACE "/pods/%s%s", name, rest);
}

/* A kubelet names the UID in what it tells of a pod: another one that has the name by now is none
 * of its business. */
static bool is_still_there(struct sim *s, const struct sim_pod *p)
{
    return object_of(s, p->uid) != NULL;
}

static void write_running(struct sim *s, const struct sim_pod *p)
{
    if (!is_still_there(s, p))
        return;
    cleanup_free char *path = pod_path(p->name, "/status");
    cleanup_free char *body = mlt_asprintf(
        "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"containerStatuses\":[{"
        "\"name\":\"trainer\",\"image\":\"i\",\"imageID\":\"i\",\"ready\":true,\"restartCount\":0,"
        "\"state\":{\"running\":{}}}]}}");
    (void)api_now(s, "PATCH", path, "application/merge-patch+json", body, NULL);
}

static void delete_object(struct sim *s, const struct sim_pod *p)
{
    cleanup_free char *path = pod_path(p->name, "");
    cleanup_free char *body =
        mlt_asprintf("{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"gracePeriodSeconds\":0,"
                     "\"preconditions\":{\"uid\":\"%s\"}}",
                     p->uid);
    (void)api_now(s, "DELETE", path, NULL, body, NULL);
}

/* `reason` "": a container that ended by itself; else the kubelet's own word about the pod. */
static void write_end(struct sim *s, const struct sim_pod *p, const char *reason,
                      bool had_container)
{
    if (!is_still_there(s, p))
        return;
    cleanup_free char *path = pod_path(p->name, "/status");
    cleanup_json cJSON *patch = cJSON_CreateObject();
    json_set_string(patch, "status.phase", p->code == 0 && !*reason ? "Succeeded" : "Failed");
    if (*reason) {
        json_set_string(patch, "status.reason", reason);
        json_set_string(patch, "status.message", "said by the kubelet");
    }
    cJSON *list = json_set_array(patch, "status.containerStatuses");
    if (had_container) {
        cJSON *status = cJSON_CreateObject();
        json_set_string(status, "name", "trainer");
        json_set_string(status, "image", "i");
        json_set_string(status, "imageID", "i");
        json_set_bool(status, "ready", false);
        json_set_integer(status, "restartCount", 0);
        json_set_integer(status, "state.terminated.exitCode", p->code);
        json_set_string(status, "state.terminated.reason",
                        p->reason ? p->reason
                        : p->code ? "Error"
                                  : "Completed");
        json_append(list, status);
    }
    (void)api_patch(s, path, patch);
}

/* ---- a pod's life ---- */

static void sync_pod(struct sim *s, uint64_t node, void *data);

static void sync_soon(struct sim *s, int node, const char *uid, int64_t delay_ms)
{
    sim_after(s, delay_ms, sync_pod, (uint64_t)node, mlt_strdup(uid));
}

static bool has_secret(struct sim *s, const cJSON *pod)
{
    const char *job = json_string(pod, "metadata.labels[mltrain.io/job-uid]", "");
    API_EACH(s, o, "secrets")
    if (strcmp(json_string(o->json, "metadata.labels[mltrain.io/job-uid]", ""), job) == 0)
        return true;
    return false;
}

static void pod_starts(struct sim *s, uint64_t node, void *data)
{
    const char *uid = data;
    int at = -1;
    struct sim_pod *p = pod_find(s, uid, &at);
    const cJSON *object = object_of(s, uid);
    if (!p || at != (int)node || p->state != POD_STARTING || p->terminating || !object ||
        !can_speak(s, at))
        return;
    struct sim_job *job =
        job_of_uid(s, json_string(object, "metadata.labels[mltrain.io/job-uid]", ""));
    if (!job || !has_secret(s, object)) {
        sim_after(s, 1000, pod_starts, node, mlt_strdup(uid));
        return;
    }
    p->state = POD_RUNNING;
    int64_t slot = strtoll(json_string(object, "metadata.labels[mltrain.io/index]", "0"), NULL, 10);
    launcher_begin(s, p->name, p->uid, at, job, (uint32_t)slot);
    write_running(s, p);
}

static void reject(struct sim *s, struct sim_pod *p, const char *reason)
{
    sim_say(s, p->name, "is refused by its kubelet: %s", reason);
    p->state = POD_ENDED;
    p->told = true;
    p->code = 1;
    write_end(s, p, reason, false);
}

static int64_t gpus_of(const cJSON *object)
{
    return strtoll(json_string(object, "spec.containers[0].resources.limits[nvidia.com/gpu]", "0"),
                   NULL, 10);
}

static int64_t gpus_used(const struct sim_node *node)
{
    int64_t used = 0;
    for (const struct sim_pod *p = node->pods; p; p = p->next)
        used += p->state != POD_ENDED ? p->gpus : 0;
    return used;
}

static void admit(struct sim *s, int node, const cJSON *object)
{
    struct sim_pod *p = mlt_calloc(1, sizeof *p);
    int64_t used = gpus_used(&s->nodes[node]);
    p->name = mlt_strdup(json_string(object, "metadata.name", ""));
    p->uid = mlt_strdup(json_string(object, "metadata.uid", ""));
    p->gpus = gpus_of(object);
    p->next = s->nodes[node].pods;
    s->nodes[node].pods = p;
    struct sim_job *job =
        job_of_uid(s, json_string(object, "metadata.labels[mltrain.io/job-uid]", ""));
    if (used + p->gpus > s->nodes[node].gpus) {
        if (job)
            oracle_excuse(s, job);
        reject(s, p, "OutOfnvidia.com/gpu");
    } else if (s->reject_next || sim_chance(s, s->rates.pod_rejected)) {
        s->reject_next = false;
        s->faults_count++;
        if (job)
            oracle_excuse(s, job);
        reject(s, p, sim_chance(s, 500) ? "UnexpectedAdmissionError" : "OutOfcpu");
    } else {
        sim_after(s, sim_between(s, 100, s->story ? 300 : 3000), pod_starts, (uint64_t)node,
                  mlt_strdup(p->uid));
    }
}

static void grace_over(struct sim *s, uint64_t id, void *data)
{
    (void)data;
    struct sim_launcher *l = launcher_find(s, id);
    if (!l || l->left)
        return;
    cleanup_free char *uid = mlt_strdup(l->uid);
    launcher_die(s, l, false);
    kubelet_container_ended(s, uid, 137);
}

static void terminate(struct sim *s, int node, struct sim_pod *p, int64_t grace_ms)
{
    struct sim_launcher *l = launcher_of_pod(s, p->uid);
    p->terminating = true;
    if (l && !l->left) {
        oracle_excuse(s, l->job);
        launcher_terminate(s, l);
        sim_after(s, grace_ms, grace_over, l->id, NULL);
    } else if (p->state != POD_ENDED) {
        p->state = POD_ENDED;
        sync_soon(s, node, p->uid, 10);
    }
}

/* What there is to say of a pod that has ended. */
static void tell_end(struct sim *s, int node, struct sim_pod *p)
{
    if (s->hold_ends && p->terminating) {
        sync_soon(s, node, p->uid, 5000);
        return;
    }
    if (!p->told)
        write_end(s, p, "", true);
    p->told = true;
    if (p->terminating) {
        delete_object(s, p);
        pod_forget(s, node, p);
    }
}

static void sync_pod(struct sim *s, uint64_t node_number, void *data)
{
    int node = (int)node_number, at = -1;
    const char *uid = data;
    if (!can_speak(s, node))
        return;
    struct sim_pod *p = pod_find(s, uid, &at);
    const cJSON *object = object_of(s, uid);
    if (!object) {
        if (p && p->state == POD_RUNNING && !p->terminating)
            terminate(s, node, p, FORCED_GRACE_MS);
        else if (p && p->state != POD_RUNNING)
            pod_forget(s, node, p);
        return;
    }
    const char *phase = json_string(object, "status.phase", "");
    bool terminal = strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
    if (!p && !terminal && !json_find(object, "metadata.deletionTimestamp")) {
        admit(s, node, object);
        return;
    }
    if (!p) {
        if (json_find(object, "metadata.deletionTimestamp")) {
            struct sim_pod gone = {.name = mlt_strdup(json_string(object, "metadata.name", "")),
                                   .uid = mlt_strdup(uid)};
            delete_object(s, &gone);
            free(gone.name);
            free(gone.uid);
        }
        return;
    }
    if (json_find(object, "metadata.deletionTimestamp") && !p->terminating)
        terminate(s, node, p,
                  json_integer(object, "metadata.deletionGracePeriodSeconds", 30) * 1000);
    else if (p->state == POD_ENDED)
        tell_end(s, node, p);
}

void kubelet_pod_changed(struct sim *s, const cJSON *pod, bool deleted)
{
    int node = node_of(s, json_string(pod, "spec.nodeName", ""));
    (void)deleted;
    if (node >= 0)
        sync_soon(s, node, json_string(pod, "metadata.uid", ""), sim_between(s, 1, 50));
}

void kubelet_container_ended(struct sim *s, const char *uid, int code)
{
    int node = -1;
    struct sim_pod *p = pod_find(s, uid, &node);
    if (!p)
        return;
    p->state = POD_ENDED;
    p->code = code;
    sync_soon(s, node, uid, sim_between(s, 10, 500));
}

bool kubelet_evict(struct sim *s, struct sim_launcher *l)
{
    int node = -1;
    struct sim_pod *p = pod_find(s, l->uid, &node);
    if (!p || p->state != POD_RUNNING || !can_speak(s, node))
        return false;
    sim_say(s, p->name, "is evicted");
    oracle_excuse(s, l->job);
    launcher_die(s, l, false);
    p->state = POD_ENDED;
    p->told = true;
    p->code = 137;
    write_end(s, p, "Evicted", true);
    return true;
}

void kubelet_hold_ends(struct sim *s, bool hold)
{
    s->hold_ends = hold;
}

/* ---- nodes ---- */

void node_say_ready(struct sim *s, int node, bool ready)
{
    char now[MLT_TIME_TEXT_MAX];
    mlt_time_format(sim_wall_ms(s), now);
    cleanup_free char *path = mlt_asprintf("/api/v1/nodes/%s/status", s->nodes[node].name);
    cleanup_free char *body = mlt_asprintf(
        "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\",\"reason\":\"x\","
        "\"message\":\"\",\"lastHeartbeatTime\":\"%s\",\"lastTransitionTime\":\"%s\"}]}}",
        ready ? "True" : "Unknown", now, now);
    s->nodes[node].ready = ready;
    sim_say(s, s->nodes[node].name, "is %s", ready ? "ready" : "not ready");
    (void)api_now(s, "PATCH", path, "application/merge-patch+json", body, NULL);
}

static void evict_by_taint(struct sim *s, uint64_t node, void *data)
{
    const int64_t *since = data;
    struct sim_node *n = &s->nodes[node];
    if (n->ready || n->away_ms != *since)
        return;
    API_EACH(s, o, "pods")
    {
        if (strcmp(json_string(o->json, "spec.nodeName", ""), n->name) != 0 ||
            json_find(o->json, "metadata.deletionTimestamp"))
            continue;
        cleanup_free char *path = pod_path(json_string(o->json, "metadata.name", ""), "");
        (void)api_now(s, "DELETE", path, NULL, NULL, NULL);
    }
}

static void grace_of_node_over(struct sim *s, uint64_t node, void *data)
{
    const int64_t *since = data;
    struct sim_node *n = &s->nodes[node];
    if (n->away_ms != *since || can_speak(s, (int)node) || !n->ready)
        return;
    node_say_ready(s, (int)node, false);
    sim_after(s, TAINT_EVICTION_MS, evict_by_taint, node, mlt_memdup(since, sizeof *since));
}

static void excuse_node(struct sim *s, int node)
{
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->node == node)
            oracle_excuse(s, l->job);
}

static void goes_away(struct sim *s, int node)
{
    struct sim_node *n = &s->nodes[node];
    kubelet_renew_leases(s);
    n->away_ms = s->now_ms;
    excuse_node(s, node);
    sim_after(s, NODE_MONITOR_GRACE_MS, grace_of_node_over, (uint64_t)node,
              mlt_memdup(&n->away_ms, sizeof n->away_ms));
}

void node_power_off(struct sim *s, int node)
{
    struct sim_node *n = &s->nodes[node];
    if (!n->up || !n->reachable)
        return;
    sim_say(s, n->name, "vanishes");
    goes_away(s, node);
    n->up = n->reachable = false;
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->node == node)
            launcher_die(s, l, true);
    for (struct sim_pod *p = n->pods; p; p = p->next)
        if (p->state != POD_ENDED) {
            p->state = POD_ENDED;
            p->code = 137;
            p->reason = "ContainerStatusUnknown";
        }
}

void node_cut(struct sim *s, int node)
{
    struct sim_node *n = &s->nodes[node];
    if (!n->up || !n->reachable)
        return;
    sim_say(s, n->name, "is cut off");
    goes_away(s, node);
    n->reachable = false;
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->node == node && l->connection)
            connection_cut(s, l->connection, true);
}

void node_back(struct sim *s, int node)
{
    struct sim_node *n = &s->nodes[node];
    if (n->up && n->reachable)
        return;
    sim_say(s, n->name, "comes back%s", n->up ? "" : " after a reboot");
    n->up = n->reachable = true;
    if (!n->ready)
        node_say_ready(s, node, true);
    for (struct sim_pod *p = n->pods; p; p = p->next)
        sync_soon(s, node, p->uid, sim_between(s, 1, 500));
    API_EACH(s, o, "pods")
    if (strcmp(json_string(o->json, "spec.nodeName", ""), n->name) == 0)
        sync_soon(s, node, json_string(o->json, "metadata.uid", ""), sim_between(s, 1, 500));
}

/* Kubelets renew every 10 s; nobody sees it but who reads, so that it is written then. */
void kubelet_renew_leases(struct sim *s)
{
    for (int i = 0; i < s->nodes_count; i++) {
        struct sim_node *n = &s->nodes[i];
        int64_t at = can_speak(s, i) ? s->now_ms : n->away_ms;
        char text[MLT_TIME_TEXT_MAX];
        at -= at % LEASE_EVERY_MS;
        if (at == n->lease_ms)
            continue;
        n->lease_ms = at;
        mlt_time_format_micro((SIM_WALL_START + at) * 1000, text);
        cleanup_free char *path = mlt_asprintf(
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/%s", n->name);
        cleanup_free char *body = mlt_asprintf("{\"spec\":{\"renewTime\":\"%s\"}}", text);
        (void)api_now(s, "PATCH", path, "application/merge-patch+json", body, NULL);
    }
}

/* In every fourth history one node is too old for the launcher to be mounted there. */
static void create_node(struct sim *s, struct sim_node *n)
{
    bool is_old = n == s->nodes && s->seed / DELIVERY_COUNT % 4 == 0;
    cleanup_free char *path = mlt_asprintf("/api/v1/nodes/%s/status", n->name);
    cleanup_free char *body = mlt_asprintf(
        "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
        "\"kubernetes.io/hostname\":\"%s\"}},\"spec\":{}}",
        n->name, n->name);
    cleanup_free char *status = mlt_asprintf(
        "{\"status\":{\"allocatable\":{\"cpu\":\"64\",\"memory\":\"256Gi\",\"pods\":\"110\","
        "\"nvidia.com/gpu\":\"%d\"},\"capacity\":{\"cpu\":\"64\",\"memory\":\"256Gi\",\"pods\":"
        "\"110\",\"nvidia.com/gpu\":\"%d\"},\"nodeInfo\":{\"kubeletVersion\":\"v1.%d.0\","
        "\"containerRuntimeVersion\":\"containerd://2.1.4\"}}}",
        n->gpus, n->gpus, is_old ? 34 : 35);
    cleanup_free char *lease = mlt_asprintf(
        "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":"
        "\"%s\",\"namespace\":\"kube-node-lease\"},\"spec\":{\"holderIdentity\":\"%s\","
        "\"leaseDurationSeconds\":40,\"renewTime\":\"2026-01-01T00:00:00.000000Z\"}}",
        n->name, n->name);
    (void)api_now(s, "POST", "/api/v1/nodes", NULL, body, NULL);
    (void)api_now(s, "PATCH", path, "application/merge-patch+json", status, NULL);
    cleanup_json cJSON *answer = NULL;
    if (api_now(s, "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", NULL,
                lease, &answer) != 201)
        sim_violated(s, "the API server takes a node's lease", "%s",
                     json_string(answer, "message", ""));
}

void kubelets_begin(struct sim *s)
{
    (void)api_now(s, "POST", "/api/v1/namespaces", NULL,
                  "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":"
                  "\"kube-node-lease\"}}",
                  NULL);
    for (int i = 0; i < s->nodes_count; i++) {
        struct sim_node *n = &s->nodes[i];
        (void)snprintf(n->name, sizeof n->name, "node%d", i);
        n->up = n->reachable = true;
        n->away_ms = -1;
        create_node(s, n);
        node_say_ready(s, i, true);
    }
}
