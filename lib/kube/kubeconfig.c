/* Kubeconfigs: merging several documents, choosing a context, and reading what it names.
 *
 * Rules: k8s.io/client-go/tools/clientcmd (loader.go, client_config.go). The first document that
 * has a cluster, user or context of a name gives all of it; embedded data goes before a file. */
#include "lib/kube/kubeconfig.h"

#include <errno.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/kube/base64.h"

#define STRING_MAX (1024u * 1024) /* bytes of one value; certificates are the longest */
#define WHERE_MAX 320

/* One entry ("clusters", "users" or "contexts") and where it was found. */
struct entry {
    const cJSON *value; /* what stands under "cluster", "user" or "context" */
    const char *folder;
    char where[WHERE_MAX];
};

/* Finds the entry of a name in the first document that has it. 1 found, 0 not found, negative
 * errors. */
static int find_entry(const struct kube_config_source *sources, size_t count, const char *list,
                      const char *member, const char *name, struct entry *ret,
                      struct mlt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const cJSON *item;
        cJSON_ArrayForEach(item, json_member(sources[i].document, list))
        {
            if (strcmp(json_string(item, "name", ""), name) != 0)
                continue;
            *ret = (struct entry){.folder = sources[i].folder};
            (void)snprintf(ret->where, sizeof ret->where, "%s[%s].%s", list, name, member);
            ret->value = json_member(item, member);
            if (ret->value && !cJSON_IsNull(ret->value) && !cJSON_IsObject(ret->value))
                return mlt_fail(err, EINVAL, "%s: expected an object", ret->where);
            return 1;
        }
    }
    return 0;
}

/* ---- values ---- */

static int read_text(const struct entry *e, const char *name, char **ret, struct mlt_error *err)
{
    const char *value = NULL;
    int r = json_read_string(e->value, e->where, name, STRING_MAX, &value, err);
    if (r < 0)
        return r;
    if (value && value[0])
        *ret = mlt_strdup(value);
    return 0;
}

static char *join(const char *folder, const char *path)
{
    return path[0] == '/' || !folder || !folder[0] ? mlt_strdup(path)
                                                   : mlt_asprintf("%s/%s", folder, path);
}

static int read_path(const struct entry *e, const char *name, char **ret, struct mlt_error *err)
{
    cleanup_free char *path = NULL;
    int r = read_text(e, name, &path, err);
    if (r < 0)
        return r;
    if (path)
        *ret = join(e->folder, path);
    return 0;
}

static int read_data(const struct entry *e, const char *name, char **ret, struct mlt_error *err)
{
    cleanup_free char *text = NULL;
    int r = read_text(e, name, &text, err);
    if (r < 0 || !text)
        return r;
    cleanup_free char *data = NULL;
    size_t length = 0;
    r = kube_base64_decode(text, &data, &length, err);
    if (r < 0)
        return mlt_fail_in(err, "%s.%s", e->where, name);
    if (strlen(data) != length)
        return mlt_fail(err, EINVAL, "%s.%s: expected PEM text, it holds a NUL byte", e->where,
                        name);
    *ret = steal_ptr(&data);
    return 0;
}

enum value_form { TEXT, PATH, DATA };

struct value {
    const char *name;
    enum value_form form;
    size_t offset; /* of a char * in struct kube_config */
};

static int read_values(const struct entry *e, const struct value *values, size_t count,
                       struct kube_config *c, struct mlt_error *err)
{
    static int (*const readers[])(const struct entry *, const char *, char **,
                                  struct mlt_error *) = {
        [TEXT] = read_text, [PATH] = read_path, [DATA] = read_data};
    for (size_t i = 0; i < count; i++) {
        char **field = (char **)((char *)c + values[i].offset);
        int r = readers[values[i].form](e, values[i].name, field, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Embedded data wins over a file of the same thing. */
static void drop_file(const char *data, char **file)
{
    if (data)
        free(steal_ptr(file));
}

/* ---- cluster, user, context ---- */

static int check_server(const struct entry *e, char *server, struct mlt_error *err)
{
    if (!server)
        return mlt_fail(err, EINVAL, "%s.server: is missing", e->where);
    if (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0)
        return mlt_fail(err, EINVAL,
                        "%s.server: `%s` is not a URL that begins with https:// or http://",
                        e->where, server);
    for (size_t length = strlen(server); length > 0 && server[length - 1] == '/'; length--)
        server[length - 1] = '\0';
    return 0;
}

static int read_cluster(const struct entry *e, struct kube_config *c, struct mlt_error *err)
{
    static const struct value values[] = {
        {"server", TEXT, offsetof(struct kube_config, server)},
        {"certificate-authority", PATH, offsetof(struct kube_config, ca_file)},
        {"certificate-authority-data", DATA, offsetof(struct kube_config, ca_data)},
        {"tls-server-name", TEXT, offsetof(struct kube_config, tls_server_name)},
        {"proxy-url", TEXT, offsetof(struct kube_config, proxy_url)},
    };
    int r = read_values(e, values, MLT_ARRAY_LENGTH(values), c, err);
    if (r >= 0)
        r = json_read_bool(e->value, e->where, "insecure-skip-tls-verify",
                           &c->insecure_skip_tls_verify, err);
    if (r >= 0)
        r = check_server(e, c->server, err);
    drop_file(c->ca_data, &c->ca_file);
    return r;
}

/* A command with a slash is relative to the kubeconfig's folder; one without is looked for in
 * $PATH. */
static int read_exec(const struct entry *e, struct kube_config *c, struct mlt_error *err)
{
    const cJSON *exec = NULL;
    int r = json_read_object(e->value, e->where, "exec", &exec, err);
    if (r < 0 || !exec)
        return r;
    const char *command = json_string(exec, "command", "");
    if (!command[0])
        return mlt_fail(err, EINVAL, "%s.exec.command: is missing", e->where);
    c->exec = json_copy(exec);
    if (strchr(command, '/')) {
        cleanup_free char *path = join(e->folder, command);
        json_set_string(c->exec, "command", path);
    }
    return 0;
}

static int read_user(const struct entry *e, struct kube_config *c, struct mlt_error *err)
{
    static const struct value values[] = {
        {"client-certificate", PATH, offsetof(struct kube_config, client_certificate_file)},
        {"client-certificate-data", DATA, offsetof(struct kube_config, client_certificate_data)},
        {"client-key", PATH, offsetof(struct kube_config, client_key_file)},
        {"client-key-data", DATA, offsetof(struct kube_config, client_key_data)},
        {"token", TEXT, offsetof(struct kube_config, token)},
        {"tokenFile", PATH, offsetof(struct kube_config, token_file)},
        {"username", TEXT, offsetof(struct kube_config, username)},
        {"password", TEXT, offsetof(struct kube_config, password)},
    };
    if (json_member(e->value, "auth-provider"))
        return mlt_fail(err, EINVAL,
                        "%s.auth-provider: is not supported (Kubernetes 1.26 removed it); use exec",
                        e->where);
    int r = read_values(e, values, MLT_ARRAY_LENGTH(values), c, err);
    if (r >= 0)
        r = read_exec(e, c, err);
    drop_file(c->client_certificate_data, &c->client_certificate_file);
    drop_file(c->client_key_data, &c->client_key_file);
    return r;
}

static const char *current_context(const struct kube_config_source *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string(sources[i].document, "current-context", "");
        if (name[0])
            return name;
    }
    return NULL;
}

/* Follows a context to the cluster and the user that it names. */
static int follow(const struct kube_config_source *sources, size_t count,
                  const struct entry *context, struct kube_config *c, struct mlt_error *err)
{
    cleanup_free char *cluster = NULL, *user = NULL;
    int r = read_text(context, "cluster", &cluster, err);
    if (r >= 0)
        r = read_text(context, "user", &user, err);
    if (r >= 0)
        r = read_text(context, "namespace", &c->namespace_, err);
    if (r < 0)
        return r;
    if (!c->namespace_)
        c->namespace_ = mlt_strdup("default");
    if (!cluster)
        return mlt_fail(err, EINVAL, "%s.cluster: is missing", context->where);
    struct entry entry;
    r = find_entry(sources, count, "clusters", "cluster", cluster, &entry, err);
    if (r == 0)
        return mlt_fail(err, EINVAL, "%s.cluster: there is no cluster `%s`", context->where,
                        cluster);
    if (r > 0)
        r = read_cluster(&entry, c, err);
    if (r < 0 || !user)
        return r;
    r = find_entry(sources, count, "users", "user", user, &entry, err);
    if (r == 0)
        return mlt_fail(err, EINVAL, "%s.user: there is no user `%s`", context->where, user);
    return r < 0 ? r : read_user(&entry, c, err);
}

int kube_config_select(const struct kube_config_source *sources, size_t count, const char *context,
                       struct kube_config *ret, struct mlt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!cJSON_IsObject(sources[i].document))
            return mlt_fail(err, EINVAL, "a kubeconfig must be an object");
    }
    const char *name = context && context[0] ? context : current_context(sources, count);
    if (!name)
        return mlt_fail(err, ENOENT, "the kubeconfig names no current-context");
    struct entry entry;
    int r = find_entry(sources, count, "contexts", "context", name, &entry, err);
    if (r == 0)
        return mlt_fail(err, ENOENT, "the kubeconfig has no context `%s`", name);
    if (r < 0)
        return r;
    struct kube_config c = {.context = mlt_strdup(name)};
    r = follow(sources, count, &entry, &c, err);
    if (r < 0) {
        kube_config_release(&c);
        return r;
    }
    *ret = c;
    return 0;
}

/* ---- ownership ---- */

/* Every string of struct kube_config. */
#define STRING_MAP(XX)          \
    XX(context)                 \
    XX(server)                  \
    XX(namespace_)              \
    XX(ca_data)                 \
    XX(ca_file)                 \
    XX(client_certificate_data) \
    XX(client_certificate_file) \
    XX(client_key_data)         \
    XX(client_key_file)         \
    XX(token)                   \
    XX(token_file)              \
    XX(username)                \
    XX(password)                \
    XX(tls_server_name)         \
    XX(proxy_url)

void kube_config_release(struct kube_config *c)
{
#define XX(field) free(c->field);
    STRING_MAP(XX)
#undef XX
    cJSON_Delete(c->exec);
    *c = (struct kube_config){0};
}

void kube_config_copy(const struct kube_config *from, struct kube_config *ret)
{
    *ret = (struct kube_config){
#define XX(field) .field = mlt_strdup(from->field),
        STRING_MAP(XX)
#undef XX
            .insecure_skip_tls_verify = from->insecure_skip_tls_verify,
        .exec = json_copy(from->exec),
        .exec_gave = from->exec_gave,
        .exec_expires_ms = from->exec_expires_ms,
    };
}
