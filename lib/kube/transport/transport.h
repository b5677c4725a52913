/* Requests to one Kubernetes API server over libcurl on a libuv loop. The only place with libcurl.
 *
 * curl's sockets sit in one private epoll set whose descriptor the loop watches (libuv aborts when
 * a watched socket was closed early). HTTP/1.1 with keep-alive or HTTP/2, whatever the server
 * offers. Programs ignore SIGPIPE. */
#ifndef KUBE_TRANSPORT_TRANSPORT_H
#define KUBE_TRANSPORT_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "lib/base/error.h"
#include "lib/kube/kubeconfig.h"

#define KUBE_CONNECT_TIMEOUT_MS (15 * 1000)  /* for name, TCP and TLS together */
#define KUBE_ANSWER_MAX (512u * 1024 * 1024) /* bytes of an answer that kube_request() keeps */
#define KUBE_REQUEST_IDLE_MS (60 * 1000)     /* silence after which kube_request() gives up */

struct kube_transport;
struct kube_call; /* one request under way */

struct kube_call_ops {
    void (*status)(void *arg, int http_status, int64_t retry_after_ms); /* once, before the body */
    void (*body)(void *arg, const char *data, size_t length);
    void (*end)(void *arg,
                const char *transport_error); /* exactly once; NULL: the answer was complete */
};

/* Reads the kubeconfig that the arguments and the environment name, by kubectl's rules: `path`
 * (NULL: $KUBECONFIG, then ~/.kube/config, then the pod's service account), `context` NULL:
 * current-context; files that it names are read too. -ENOENT when there is none. */
int kube_config_load(const char *path, const char *context, struct kube_config *ret,
                     struct mlt_error *err) MLT_MUST_USE;

/* `config` is copied. The loop must outlive the transport. */
int kube_transport_new(uv_loop_t *loop, const struct kube_config *config,
                       struct kube_transport **ret, struct mlt_error *err) MLT_MUST_USE;

/* Ends all requests without callbacks, then `closed` (may be NULL) is called from the loop. */
void kube_transport_free(struct kube_transport *t, void (*closed)(void *arg), void *arg);

/* Sends a request. `verb` is GET, POST, PUT, PATCH or DELETE; `path` begins with / and has its
 * query; `content_type` may be NULL (application/json); `body` may be NULL and is copied;
 * KUBE_CONNECT_TIMEOUT_MS bounds the connection set-up, idle_timeout_ms (0: none) the silence on an
 * open answer. Failures to start arrive in `end`, later from the loop, never from within this call.
 * The handle is valid until `end` or cancel. May be called from within the callbacks of another
 * request. */
struct kube_call *kube_transport_send(struct kube_transport *t, const char *verb, const char *path,
                                      const char *content_type, const char *body,
                                      size_t body_length, int64_t idle_timeout_ms,
                                      const struct kube_call_ops *ops, void *arg);

/* Ends a request; its callbacks are not called any more. May be called from within any callback,
 * also the request's own (from its `end` it does nothing). */
void kube_call_cancel(struct kube_call *call);

/* ---- blocking helpers for the CLI and for tools: they run the loop until the answer is there ----
 */

struct kube_answer {
    int status; /* HTTP status */
    char *body; /* NUL-terminated, owned */
    size_t length;
};

/* 0 when an answer came (whatever its status), negative with words on transport errors. */
int kube_request(struct kube_transport *t, const char *verb, const char *path,
                 const char *content_type, const char *body, struct kube_answer *ret,
                 struct mlt_error *err) MLT_MUST_USE;
void kube_answer_release(struct kube_answer *a);

/* Turns an answer with status >= 400 into an error with the server's words (Status.message):
 * -ENOENT 404, -EEXIST 409 AlreadyExists, -EAGAIN 409 Conflict, -EACCES 401/403, -EINVAL 400/422,
 * -EIO others. Returns 0 below 400. */
int kube_answer_check(const struct kube_answer *a, struct mlt_error *err) MLT_MUST_USE;

#endif
