/* Finding and reading kubeconfigs, by kubectl's rules: the path that was given, else the files of
 * $KUBECONFIG, else ~/.kube/config, else the service account of the pod that this runs in.
 *
 * Source: k8s.io/client-go/tools/clientcmd/loader.go and rest/config.go (InClusterConfig). */
#include "lib/kube/transport/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

#define FILES_MAX 64                /* files of one $KUBECONFIG */
#define FILE_MAX (8u * 1024 * 1024) /* bytes of one kubeconfig or certificate */
#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

int read_whole_file(const char *path, size_t max, char **ret_text, struct mlt_error *err)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mlt_fail(err, errno, "read %s: %s", path, strerror(errno));
    cleanup_text struct mlt_text text = MLT_TEXT_INIT(max);
    char buffer[16384];
    ssize_t got = read(fd, buffer, sizeof buffer);
    while (got > 0) {
        mlt_text_add(&text, buffer, (size_t)got);
        got = read(fd, buffer, sizeof buffer);
    }
    if (got < 0)
        return mlt_fail(err, errno, "read %s: %s", path, strerror(errno));
    if (text.failed)
        return mlt_fail(err, E2BIG, "read %s: it is longer than %zu bytes", path, max);
    mlt_text_puts(&text, ""); /* an empty file is an empty text, not NULL */
    *ret_text = text.data ? mlt_text_take(&text) : mlt_strdup("");
    return 0;
}

/* ---- the files that a kubeconfig names ---- */

static int read_named(const char *path, char **data, struct mlt_error *err)
{
    return path && !*data ? read_whole_file(path, FILE_MAX, data, err) : 0;
}

int config_read_files(struct kube_config *c, struct mlt_error *err)
{
    int r = read_named(c->ca_file, &c->ca_data, err);
    if (r >= 0)
        r = read_named(c->client_certificate_file, &c->client_certificate_data, err);
    if (r >= 0)
        r = read_named(c->client_key_file, &c->client_key_data, err);
    if (r < 0 || !c->token_file || c->token)
        return r;
    r = read_named(c->token_file, &c->token, err);
    if (c->token)
        c->token[strcspn(c->token, " \t\r\n")] = '\0';
    return r;
}

/* ---- the pod's service account ---- */

int config_in_cluster(const char *folder, const char *host, const char *port,
                      struct kube_config *ret, struct mlt_error *err)
{
    struct kube_config c = {
        .context = mlt_strdup("in-cluster"),
        .server = strchr(host, ':') ? mlt_asprintf("https://[%s]:%s", host, port)
                                    : mlt_asprintf("https://%s:%s", host, port),
        .ca_file = mlt_asprintf("%s/ca.crt", folder),
        .token_file = mlt_asprintf("%s/token", folder),
    };
    cleanup_free char *namespace_file = mlt_asprintf("%s/namespace", folder);
    int r = config_read_files(&c, err);
    if (r < 0) {
        kube_config_release(&c);
        return mlt_fail_in(err, "the pod's service account");
    }
    if (read_whole_file(namespace_file, FILE_MAX, &c.namespace_, NULL) >= 0)
        c.namespace_[strcspn(c.namespace_, " \t\r\n")] = '\0';
    if (!c.namespace_ || !c.namespace_[0]) {
        free(c.namespace_);
        c.namespace_ = mlt_strdup("default");
    }
    *ret = c;
    return 0;
}

/* ---- kubeconfig files ---- */

struct documents {
    struct kube_config_source sources[FILES_MAX];
    cJSON *trees[FILES_MAX];
    char *folders[FILES_MAX];
    size_t count;
};

static void documents_release(struct documents *d)
{
    for (size_t i = 0; i < d->count; i++) {
        cJSON_Delete(d->trees[i]);
        free(d->folders[i]);
    }
}

static char *folder_of(const char *path)
{
    cleanup_free char *whole = realpath(path, NULL);
    const char *use = whole ? whole : path;
    const char *slash = strrchr(use, '/');
    return slash ? mlt_strndup(use, (size_t)(slash - use)) : mlt_strdup(".");
}

static int add_file(struct documents *d, const char *path, struct mlt_error *err)
{
    cleanup_free char *text = NULL;
    cleanup_json cJSON *stream = NULL;
    if (d->count == FILES_MAX)
        return mlt_fail(err, E2BIG, "KUBECONFIG names more than %d files", FILES_MAX);
    int r = read_whole_file(path, FILE_MAX, &text, err);
    if (r < 0)
        return r;
    r = json_parse_yaml(text, strlen(text), &stream, err);
    if (r < 0)
        return mlt_fail_in(err, "%s", path);
    cJSON *tree = cJSON_DetachItemFromArray(stream, 0);
    if (!tree)
        return 0; /* an empty file says nothing */
    if (!cJSON_IsObject(tree)) {
        cJSON_Delete(tree);
        return mlt_fail(err, EINVAL, "%s: expected a kubeconfig, which is an object", path);
    }
    d->trees[d->count] = tree;
    d->folders[d->count] = folder_of(path);
    d->sources[d->count] = (struct kube_config_source){tree, d->folders[d->count]};
    d->count++;
    return 0;
}

/* The files of a list that exist; as with kubectl, the others are passed over. */
static int add_list(struct documents *d, const char *list, struct mlt_error *err)
{
    cleanup_free char *copy = mlt_strdup(list);
    char *rest = copy;
    for (char *path = strsep(&rest, ":"); path; path = strsep(&rest, ":")) {
        if (!path[0])
            continue;
        int r = add_file(d, path, err);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

static int add_default_files(struct documents *d, struct mlt_error *err)
{
    const char *list = getenv("KUBECONFIG");
    if (list && list[0])
        return add_list(d, list, err);
    const char *home = getenv("HOME");
    if (!home || !home[0])
        return 0;
    cleanup_free char *path = mlt_asprintf("%s/.kube/config", home);
    int r = add_file(d, path, err);
    return r == -ENOENT ? 0 : r;
}

static int load_without_file(const char *context, struct kube_config *ret, struct mlt_error *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    if (context && context[0])
        return mlt_fail(err, ENOENT, "there is no kubeconfig with a context `%s`", context);
    if (host && host[0] && port && port[0])
        return config_in_cluster(SERVICE_ACCOUNT, host, port, ret, err);
    return mlt_fail(err, ENOENT,
                    "no kubeconfig was found: neither a path was given, nor is there a file of "
                    "$KUBECONFIG or ~/.kube/config, nor a pod's service account");
}

static int complete(struct kube_config *c, struct mlt_error *err)
{
    int r = config_read_files(c, err);
    if (r >= 0 && c->exec && !c->token && !c->client_certificate_data)
        r = exec_plugin_run(c, PLUGIN_TIMEOUT_MS, err);
    return r < 0 ? mlt_fail_in(err, "context `%s`", c->context) : 0;
}

int kube_config_load(const char *path, const char *context, struct kube_config *ret,
                     struct mlt_error *err)
{
    struct documents d = {.count = 0};
    struct kube_config c = {0};
    int r = path && path[0] ? add_file(&d, path, err) : add_default_files(&d, err);
    if (r >= 0 && d.count > 0)
        r = kube_config_select(d.sources, d.count, context, &c, err);
    else if (r >= 0)
        r = load_without_file(context, &c, err);
    documents_release(&d);
    if (r >= 0)
        r = complete(&c, err);
    if (r < 0) {
        kube_config_release(&c);
        return r;
    }
    *ret = c;
    return 0;
}
