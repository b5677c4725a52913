/* Registers the node and keeps its Lease and status fresh. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"
#include "localcluster/agent/internal.h"
#include "localcluster/agent/node_object.h"

#define MERGE_PATCH "application/merge-patch+json"
#define LEASE_NAMESPACE "kube-node-lease"
#define RETRY_MS 500 /* while the node is not registered */

/* ---- facts ---- */

struct fact_texts {
    struct utsname uts;
    char machine_id[64], boot_id[SHIM_BOOT_ID_MAX], os_image[128];
};

static void first_line(const char *path, const char *prefix, char *text, size_t size)
{
    char line[256];
    text[0] = '\0';
    cleanup_file FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        size_t skip = strlen(prefix);
        if (strncmp(line, prefix, skip) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(text, size, "%s", line + skip);
        return;
    }
}

static void gather(const struct agent *a, struct fact_texts *t, struct node_facts *f)
{
    (void)uname(&t->uts);
    first_line("/etc/machine-id", "", t->machine_id, sizeof t->machine_id);
    first_line("/etc/os-release", "PRETTY_NAME=", t->os_image, sizeof t->os_image);
    size_t length = strlen(t->os_image);
    if (length >= 2 && t->os_image[0] == '"') {
        memmove(t->os_image, t->os_image + 1, length - 2);
        t->os_image[length - 2] = '\0';
    }
    shim_boot_id(t->boot_id);
    const struct devices *d = &a->devices;
    *f = (struct node_facts){.name = a->options.node,
                             .host_name = t->uts.nodename,
                             .machine_id = t->machine_id,
                             .boot_id = t->boot_id,
                             .kernel = t->uts.release,
                             .os_image = t->os_image,
                             .gpu_model = d->count > 0 && !d->pretended ? d->list[0].model : "",
                             .rack = a->options.rack,
                             .capacity = a->allocatable};
}

/* ---- requests ---- */

static void again(struct agent *a, uint64_t ms);

static void node_send(struct agent *a, const char *verb, const char *subresource, bool named,
                      cJSON *body, api_answer_f *answer)
{
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    kube_path(&path, KUBE_NODE, NULL, named ? a->options.node : NULL, subresource, NULL);
    (void)api_send(a, verb, mlt_text_string(&path), strcmp(verb, "PATCH") == 0 ? MERGE_PATCH : NULL,
                   body, answer, a);
    cJSON_Delete(body);
    mlt_text_release(&path);
}

static void trouble(const char *what, int status, const char *body)
{
    mlt_log(MLT_LOG_WARNING, "%s status=%d: %.200s", what, status, body);
}

static void status_written(void *arg, int status, const char *body, size_t length)
{
    struct agent *a = arg;
    (void)length;
    if (status == 404)
        a->registered = false; /* somebody deleted the node: register again */
    if (status < 200 || status > 299) {
        trouble("cannot write the node's status", status, body);
        again(a, RETRY_MS);
        return;
    }
    if (!a->registered)
        mlt_log(MLT_LOG_INFO, "node registered node=%s", a->options.node);
    a->registered = true;
    node_ready_when_synced(a);
    again(a, AGENT_NODE_STATUS_MS);
}

static void write_status(struct agent *a, const char *ready_since)
{
    struct fact_texts texts;
    struct node_facts facts;
    char now[MLT_TIME_TEXT_MAX];
    gather(a, &texts, &facts);
    mlt_time_format(agent_now(a).wall_ms, now);
    node_send(a, "PATCH", "status", true,
              node_status_patch(&facts, ready_since ? ready_since : now, agent_now(a).wall_ms),
              status_written);
}

/* Answers to creation and to the patch of labels carry the node: its Ready condition keeps its
 * time. */
static const char *ready_since(const cJSON *node)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, json_find(node, "status.conditions"))
    {
        if (strcmp(json_string(item, "type", ""), "Ready") == 0 &&
            strcmp(json_string(item, "status", ""), "True") == 0)
            return json_string(item, "lastTransitionTime", NULL);
    }
    return NULL;
}

static void labels_written(void *arg, int status, const char *body, size_t length)
{
    struct agent *a = arg;
    cleanup_json cJSON *node = NULL;
    if (status < 200 || status > 299) {
        trouble("cannot label the node", status, body);
        again(a, RETRY_MS);
        return;
    }
    if (json_parse(body, length, &node, NULL) < 0)
        node = NULL;
    write_status(a, ready_since(node));
}

static void created(void *arg, int status, const char *body, size_t length)
{
    struct agent *a = arg;
    struct fact_texts texts;
    struct node_facts facts;
    (void)length;
    if (status ==
        409) { /* there is one from an earlier agent: a node keeps its taints and cordon */
        gather(a, &texts, &facts);
        node_send(a, "PATCH", NULL, true, node_labels_patch(&facts), labels_written);
    } else if (status < 200 || status > 299) {
        trouble("cannot register the node", status, body);
        again(a, RETRY_MS);
    } else {
        write_status(a, NULL);
    }
}

static void register_node(struct agent *a)
{
    struct fact_texts texts;
    struct node_facts facts;
    gather(a, &texts, &facts);
    node_send(a, "POST", NULL, false, node_object(&facts), created);
}

static void node_due(uv_timer_t *timer)
{
    register_node(timer->data);
}

static void again(struct agent *a, uint64_t ms)
{
    (void)uv_timer_start(&a->node_timer, node_due, ms, 0);
}

/* ---- the lease ---- */

static void lease_written(void *arg, int status, const char *body, size_t length)
{
    (void)arg;
    (void)length;
    if (status < 200 || status > 299)
        trouble("cannot renew the lease", status, body);
}

static void lease_send(struct agent *a, const char *verb, bool named, api_answer_f *answer)
{
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    cleanup_json cJSON *lease =
        node_lease(a->options.node, AGENT_LEASE_SECONDS, agent_now(a).wall_ms * 1000);
    kube_path(&path, KUBE_LEASE, LEASE_NAMESPACE, named ? a->options.node : NULL, NULL, NULL);
    (void)api_send(a, verb, mlt_text_string(&path), named ? MERGE_PATCH : NULL, lease, answer, a);
    mlt_text_release(&path);
}

static void namespace_made(void *arg, int status, const char *body, size_t length)
{
    if (status < 300 || status == 409)
        lease_send(arg, "POST", false, lease_written);
    else
        lease_written(arg, status, body, length);
}

/* A server that was just started may not have the namespace yet. */
static void lease_made(void *arg, int status, const char *body, size_t length)
{
    if (status != 404) {
        lease_written(arg, status, body, length);
        return;
    }
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    cleanup_json cJSON *object = cJSON_CreateObject();
    json_set_string(object, "apiVersion", "v1");
    json_set_string(object, "kind", "Namespace");
    json_set_string(object, "metadata.name", LEASE_NAMESPACE);
    kube_path(&path, KUBE_NAMESPACE, NULL, NULL, NULL, NULL);
    (void)api_send(arg, "POST", mlt_text_string(&path), NULL, object, namespace_made, arg);
    mlt_text_release(&path);
}

static void lease_renewed(void *arg, int status, const char *body, size_t length)
{
    if (status == 404)
        lease_send(arg, "POST", false, lease_made);
    else
        lease_written(arg, status, body, length);
}

static void lease_due(uv_timer_t *timer)
{
    lease_send(timer->data, "PATCH", true, lease_renewed);
}

/* ---- start ---- */

void node_ready_when_synced(struct agent *a)
{
    if (a->ready_told || !a->registered || !a->reflector || !kube_reflector_synced(a->reflector))
        return;
    a->ready_told = true;
    mlt_log(MLT_LOG_INFO, "ready node=%s", a->options.node);
    if (a->options.ready_fd >= 0) {
        (void)!write(a->options.ready_fd, "\n", 1);
        (void)close(a->options.ready_fd);
    }
}

void node_start(struct agent *a)
{
    (void)uv_timer_init(&a->loop, &a->lease_timer);
    (void)uv_timer_init(&a->loop, &a->node_timer);
    a->lease_timer.data = a->node_timer.data = a;
    register_node(a);
    (void)uv_timer_start(&a->lease_timer, lease_due, 0, AGENT_LEASE_RENEW_MS);
}
