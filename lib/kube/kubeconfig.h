/* A kubeconfig as plain data, by kubectl's rules. Pure: texts of files come in, paths to read go
 * out. */
#ifndef KUBE_KUBECONFIG_H
#define KUBE_KUBECONFIG_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"

/* Everything needed to reach one cluster. Strings are owned by the struct; NULL or "" when absent.
 * A *_data field holds decoded PEM; a *_file field is a path that the caller must read (relative
 * paths have been joined to the folder of the kubeconfig). */
struct kube_config {
    char *context;
    char *server;     /* https://host:port[/prefix] */
    char *namespace_; /* "default" when the context names none */
    char *ca_data, *ca_file;
    char *client_certificate_data, *client_certificate_file;
    char *client_key_data, *client_key_file;
    char *token, *token_file;
    char *username, *password;
    char *tls_server_name, *proxy_url;
    bool insecure_skip_tls_verify;
    cJSON *exec;             /* user.exec (a credential plugin), or NULL */
    bool exec_gave;          /* token or certificate are what it gave, and it is asked again ... */
    int64_t exec_expires_ms; /* ... when the time has come (milliseconds since 1970 UTC; 0: when
                                the server refuses them) */
};

/* Merges kubeconfig documents (each with the folder it was read from) as kubectl does: the first
 * file to set a value wins. `context` NULL: current-context. -EINVAL, -ENOENT for an unknown
 * context. */
struct kube_config_source {
    const cJSON *document;
    const char *folder;
};
int kube_config_select(const struct kube_config_source *sources, size_t count, const char *context,
                       struct kube_config *ret, struct mlt_error *err) MLT_MUST_USE;
void kube_config_release(struct kube_config *c);

/* Deep. */
void kube_config_copy(const struct kube_config *from, struct kube_config *ret);

#endif
