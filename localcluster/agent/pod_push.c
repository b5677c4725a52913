/* The pod's status in the API: written at once when it changes, one request at a time, and again
 * with growing delays when the server does not take it. */
#include <string.h>
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"
#include "localcluster/agent/internal.h"
#include "localcluster/agent/pod_status.h"

#define MERGE_PATCH "application/merge-patch+json"

static void failed(struct pod *p, const char *what, int status, const char *body)
{
    int64_t delay = kube_backoff_next(&p->push_backoff, &p->agent->random, 0);
    p->push_after_ms = agent_now(p->agent).mono_ms + delay;
    mlt_log(MLT_LOG_WARNING, "%s pod=%s/%s status=%d retry_ms=%lld: %.200s", what,
            p->spec->namespace_, p->spec->name, status, (long long)delay, body);
}

/* The object went away under us, or another pod has taken its name. */
static bool is_gone(int status)
{
    return status == 404 || status == 409;
}

static void patched(void *arg, int status, const char *body, size_t length)
{
    struct pod *p = arg;
    (void)length;
    p->push = NULL;
    if (status >= 200 && status < 300) {
        cJSON_Delete(p->pushed);
        p->pushed = p->pushing;
        p->pushing = NULL;
        kube_backoff_reset(&p->push_backoff);
    } else {
        cJSON_Delete(p->pushing);
        p->pushing = NULL;
        if (status == 404)
            p->known.gone = true;
        else
            failed(p, "cannot write status", status, body);
    }
    pod_step(p);
}

static void send_patch(struct pod *p, cJSON *status)
{
    cleanup_json cJSON *patch = cJSON_CreateObject();
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    json_set_string(patch, "metadata.uid", p->spec->uid); /* another pod of that name refuses it */
    json_set(patch, "status", json_copy(status));
    kube_path(&path, KUBE_POD, p->spec->namespace_, p->spec->name, "status", NULL);
    p->pushing = status;
    p->push = api_send(p->agent, "PATCH", mlt_text_string(&path), MERGE_PATCH, patch, patched, p);
    mlt_text_release(&path);
}

static bool may_push(const struct pod *p)
{
    return !p->push && !p->known.gone && !p->object_deleted && !p->removed && !p->adopting &&
           p->listed && agent_now(p->agent).mono_ms >= p->push_after_ms;
}

void pod_push(struct pod *p)
{
    if (!may_push(p) || p->known.foreign)
        return;
    const cJSON *before = json_member(p->spec->object, "status");
    cJSON *status = pod_status_build(p->spec, &p->known, p->pushed ? p->pushed : before,
                                     AGENT_HOST_IP, agent_now(p->agent));
    if (json_equal(status, p->pushed ? p->pushed : before))
        cJSON_Delete(status);
    else
        send_patch(p, status);
}

static void deleted(void *arg, int status, const char *body, size_t length)
{
    struct pod *p = arg;
    (void)length;
    p->push = NULL;
    if ((status >= 200 && status < 300) || is_gone(status)) {
        p->object_deleted = true;
        p->known.gone = true;
    } else {
        failed(p, "cannot delete", status, body);
    }
    pod_step(p);
}

void pod_push_deletion(struct pod *p)
{
    pod_push(p);
    if (!may_push(p))
        return; /* the answer brings us back here */
    cleanup_json cJSON *options = cJSON_CreateObject();
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    json_set_string(options, "apiVersion", "v1");
    json_set_string(options, "kind", "DeleteOptions");
    json_set_integer(options, "gracePeriodSeconds", 0);
    json_set_string(options, "preconditions.uid", p->spec->uid);
    kube_path(&path, KUBE_POD, p->spec->namespace_, p->spec->name, NULL, NULL);
    p->push = api_send(p->agent, "DELETE", mlt_text_string(&path), NULL, options, deleted, p);
    mlt_text_release(&path);
}
