/* What the files of lib/kube/transport share. Private to the folder. */
#ifndef KUBE_TRANSPORT_INTERNAL_H
#define KUBE_TRANSPORT_INTERNAL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <sys/queue.h>
#include "lib/kube/transport/transport.h"

LIST_HEAD(call_list, kube_call);

struct kube_transport {
    uv_loop_t *loop;
    CURLM *multi;
    int epoll_fd;          /* all of curl's sockets */
    uv_poll_t poll;        /* watches epoll_fd */
    uv_timer_t curl_timer; /* curl's own timeouts, retries and connects */
    uv_timer_t idle_timer; /* the earliest idle timeout of a call */
    uv_timer_t wake_timer; /* call_settle() in the loop's next turn */
    unsigned handles;      /* initialised and not yet closed */
    unsigned depth;        /* > 0: inside curl, which must not be entered again */
    bool marked;           /* some call waits to be started or ended */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;

    struct kube_config config;
    bool loopback;            /* the server is this machine: no proxy */
    char *connect_to;         /* tls_server_name: "name:port:host:port", or NULL */
    char *base_url;           /* with the name that the certificate must have */
    char *host_header;        /* tls_server_name: "Host: host:port", or NULL */
    int64_t token_checked_ms; /* loop time at which token_file was last looked at */
    struct timespec token_time;

    bool credential_refused; /* the server has answered 401 */
    int64_t exec_ran_ms;     /* monotonic, when a request last caused a run; 0: never */
    char exec_error[MLT_ERROR_TEXT_MAX];

    struct call_list calls; /* all, in no order */
};

enum call_place {
    CALL_WAITING, /* to be given to curl as soon as curl may be entered */
    CALL_RUNNING, /* with curl */
    CALL_DONE,    /* taken from curl; will be freed */
};

struct kube_call {
    LIST_ENTRY(kube_call) link;
    struct kube_transport *t;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    enum call_place place;
    bool cancelled; /* no callbacks any more */
    bool status_told;
    int64_t retry_after_ms;
    int64_t idle_timeout_ms, active_ms; /* loop time of the last byte */
    const char *early_error;            /* why it could not even start; owned by the transport */
    struct kube_call_ops ops;
    void *arg;
    char error[CURL_ERROR_SIZE];
};

/* call.c */
void call_fail_idle(struct kube_transport *t);
void call_settle(
    struct kube_transport *t); /* starts, ends and frees what curl's callbacks left to do */
void call_free(struct kube_call *call);

/* multi.c */
void transport_wake(struct kube_transport *t);
int transport_start(struct kube_transport *t, struct mlt_error *err);
void transport_idle_arm(struct kube_transport *t, int64_t due_ms);

/* token.c */
void token_refresh(struct kube_transport *t);

/* exec_plugin.c: runs a credential plugin and puts what it answers into *c. */
#define PLUGIN_TIMEOUT_MS (60 * 1000) /* it may ask a server in turn */
int exec_plugin_run(struct kube_config *c, int timeout_ms, struct mlt_error *err) MLT_MUST_USE;
/* Before a request: runs it again when what it gave has expired or was refused. Blocks as long as
 * it runs. NULL: go on; else why there is no credential, valid until the next call. */
const char *exec_plugin_refresh(struct kube_transport *t);

/* config_load.c: what a pod finds in the folder of its service account; `host` and `port` from the
 * environment. */
int config_in_cluster(const char *folder, const char *host, const char *port,
                      struct kube_config *ret, struct mlt_error *err) MLT_MUST_USE;
int config_read_files(struct kube_config *c, struct mlt_error *err) MLT_MUST_USE;
int read_whole_file(const char *path, size_t max, char **ret_text,
                    struct mlt_error *err) MLT_MUST_USE;

#endif
