/* Requests for programs that have nothing else to do: they run the loop until the answer is there.
 */
#include "lib/kube/transport/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

struct wait {
    uv_loop_t *loop;
    int status;
    struct mlt_text body;
    bool done, failed;
    struct mlt_error error;
};

static void on_status(void *arg, int http_status, int64_t retry_after_ms)
{
    (void)retry_after_ms;
    struct wait *w = arg;
    w->status = http_status;
}

static void on_body(void *arg, const char *data, size_t length)
{
    struct wait *w = arg;
    mlt_text_add(&w->body, data, length);
}

static void on_end(void *arg, const char *transport_error)
{
    struct wait *w = arg;
    w->done = true;
    /* When all of it happened among the timers, uv_run(ONCE) would go on to sleep until something else does. */
    uv_stop(w->loop);
    if (transport_error) {
        w->failed = true;
        (void)mlt_fail(&w->error, EIO, "%s", transport_error);
    }
}

int kube_request(struct kube_transport *t, const char *verb, const char *path,
                 const char *content_type, const char *body, struct kube_answer *ret,
                 struct mlt_error *err)
{
    static const struct kube_call_ops ops = {.status = on_status, .body = on_body, .end = on_end};
    struct wait w = {.loop = t->loop, .body = MLT_TEXT_INIT(KUBE_ANSWER_MAX)};
    struct kube_call *call = kube_transport_send(
        t, verb, path, content_type, body, body ? strlen(body) : 0, KUBE_REQUEST_IDLE_MS, &ops, &w);
    /* The loop has at least this request, so it ends only when somebody stops it. */
    while (!w.done && uv_run(t->loop, UV_RUN_ONCE) != 0) {
    }
    if (!w.done) {
        kube_call_cancel(call);
        mlt_text_release(&w.body);
        return mlt_fail(err, ECANCELED, "%s %s: the loop was stopped", verb, path);
    }
    if (w.failed || w.body.failed) {
        mlt_text_release(&w.body);
        return w.failed
                   ? mlt_fail(err, EIO, "%s %s%s: %s", verb, t->config.server, path, w.error.text)
                   : mlt_fail(err, E2BIG, "%s %s: the answer is longer than %u bytes", verb, path,
                              KUBE_ANSWER_MAX);
    }
    ret->status = w.status;
    ret->length = w.body.length;
    ret->body = w.body.data ? mlt_text_take(&w.body) : mlt_strdup("");
    return 0;
}

void kube_answer_release(struct kube_answer *a)
{
    free(a->body);
    *a = (struct kube_answer){0};
}

static int code_for(int status, const char *reason)
{
    switch (status) {
    case 404:
        return ENOENT;
    case 409:
        return strcmp(reason, "AlreadyExists") == 0 ? EEXIST : EAGAIN;
    case 401:
    case 403:
        return EACCES;
    case 400:
    case 422:
        return EINVAL;
    default:
        return EIO;
    }
}

int kube_answer_check(const struct kube_answer *a, struct mlt_error *err)
{
    if (a->status < 400)
        return 0;
    cleanup_json cJSON *status = NULL;
    if (json_parse(a->body, a->length, &status, NULL) < 0)
        status = NULL;
    int code = code_for(a->status, json_string(status, "reason", ""));
    const char *message = json_string(status, "message", "");
    if (message[0])
        return mlt_fail(err, code, "%s", message);
    cleanup_free char *line = mlt_strndup(a->body, strcspn(a->body, "\r\n"));
    return mlt_fail(err, code, "the server answered with HTTP status %d%s%s", a->status,
                    line[0] ? ": " : "", line);
}
