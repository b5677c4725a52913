/* One request, one answer: collects the body and calls back. */
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "localcluster/agent/internal.h"

struct api_request {
    struct kube_call *call;
    api_answer_f *answer;
    void *arg;
    int status;
    struct mlt_text body;
};

static void release(struct api_request *r)
{
    mlt_text_release(&r->body);
    free(r);
}

static void on_status(void *arg, int http_status, int64_t retry_after_ms)
{
    struct api_request *r = arg;
    (void)retry_after_ms;
    r->status = http_status;
}

static void on_body(void *arg, const char *data, size_t length)
{
    struct api_request *r = arg;
    mlt_text_add(&r->body, data, length);
}

static void on_end(void *arg, const char *transport_error)
{
    struct api_request *r = arg;
    if (transport_error)
        r->answer(r->arg, 0, transport_error, strlen(transport_error));
    else if (r->body.failed)
        r->answer(r->arg, 0, "the answer is too long", strlen("the answer is too long"));
    else
        r->answer(r->arg, r->status, mlt_text_string(&r->body), r->body.length);
    release(r);
}

static const struct kube_call_ops call_ops = {.status = on_status, .body = on_body, .end = on_end};

struct api_request *api_send(struct agent *a, const char *verb, const char *path,
                             const char *content_type, const cJSON *body, api_answer_f *answer,
                             void *arg)
{
    struct api_request *r = mlt_calloc(1, sizeof *r);
    r->answer = answer;
    r->arg = arg;
    mlt_text_init(&r->body, AGENT_ANSWER_MAX);
    cleanup_free char *text = body ? json_print(body) : NULL;
    r->call = kube_transport_send(a->transport, verb, path, content_type, text,
                                  text ? strlen(text) : 0, KUBE_LIST_TIMEOUT_MS, &call_ops, r);
    return r;
}

void api_cancel(struct api_request *r)
{
    if (!r)
        return;
    kube_call_cancel(r->call);
    release(r);
}
