/* Options, connection and words that the subcommands share: see cli.h. */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "cli/cluster_dir.h"
#include "cli/supervise.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/name.h"
#include "lib/base/number.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

#define OPTION_KUBECONFIG 0x1001
#define OPTION_CONTEXT 0x1002
#define OPTION_CLUSTER 0x1003

static const struct argp_option target_options[] = {
    {.name = "namespace",
     .key = 'n',
     .arg = "NAME",
     .doc = "the namespace (default: the context's)"},
    {.name = "kubeconfig",
     .key = OPTION_KUBECONFIG,
     .arg = "FILE",
     .doc = "the kubeconfig file (default: $KUBECONFIG, ~/.kube/config)"},
    {.name = "context",
     .key = OPTION_CONTEXT,
     .arg = "NAME",
     .doc = "the context of the kubeconfig"},
    {.name = "cluster",
     .key = OPTION_CLUSTER,
     .arg = "NAME",
     .doc = "a one-machine cluster of this user, whatever the kubeconfig says"},
    {0}};

static error_t parse_target(int key, char *arg, struct argp_state *state)
{
    struct cli_target *target = state->input;
    switch (key) {
    case 'n':
        target->namespace_ = arg;
        return 0;
    case OPTION_KUBECONFIG:
        target->kubeconfig = arg;
        return 0;
    case OPTION_CONTEXT:
        target->context = arg;
        return 0;
    case OPTION_CLUSTER:
        target->cluster = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp cli_target_argp = {.options = target_options, .parser = parse_target};

int cli_fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fflush(stdout);
    (void)fputs("mltrain: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return code;
}

static int open_transport(struct cli *c, const char *namespace_, struct mlt_error *err)
{
    int rc = uv_loop_init(&c->loop);
    if (rc < 0)
        return mlt_fail(err, -rc, "event loop: %s", uv_strerror(rc));
    rc = kube_transport_new(&c->loop, &c->config, &c->transport, err);
    if (rc < 0) {
        (void)uv_loop_close(&c->loop);
        return rc;
    }
    c->namespace_ = namespace_ ? namespace_ : c->config.namespace_;
    return 0;
}

int cli_connect_file(struct cli *c, const char *path, const char *context, const char *namespace_,
                     struct mlt_error *err)
{
    *c = (struct cli){0};
    int rc = kube_config_load(path, context, &c->config, err);
    if (rc < 0)
        return rc;
    rc = open_transport(c, namespace_, err);
    if (rc < 0)
        kube_config_release(&c->config);
    return rc;
}

int cli_connect_cluster(struct cli *c, const char *dir, const char *namespace_,
                        struct mlt_error *err)
{
    cleanup_free char *file = cluster_file(dir, "kubeconfig");
    int rc = cluster_wait_ready(dir, SUPERVISE_READY_MS, err);
    if (rc == 0)
        rc = cli_connect_file(c, file, NULL, namespace_, err);
    if (rc == 0)
        c->cluster_dir = mlt_strdup(dir);
    return rc;
}

int cli_connect(struct cli *c, const struct cli_target *target)
{
    struct mlt_error err = {0};
    int rc;
    if (target->cluster) {
        cleanup_free char *dir = cluster_dir(target->cluster);
        if (!cluster_is_up(dir))
            return cli_fail(-ENOENT,
                            "the cluster `%s` is not up; `mltrain cluster up --name %s` starts it",
                            target->cluster, target->cluster);
        rc = cli_connect_cluster(c, dir, target->namespace_, &err);
        return rc < 0 ? cli_fail(rc, "%s", err.text) : 0;
    }
    rc = cli_connect_file(c, target->kubeconfig, target->context, target->namespace_, &err);
    if (rc == -ENOENT && !target->kubeconfig && !target->context) {
        cleanup_free char *dir = cluster_dir(CLUSTER_NAME_DEFAULT);
        if (!cluster_is_up(dir))
            return cli_fail(-ENOENT,
                            "%s, and no one-machine cluster is up; `mltrain cluster up` starts one",
                            err.text);
        rc = cli_connect_cluster(c, dir, target->namespace_, &err);
    }
    return rc < 0 ? cli_fail(rc, "%s", err.text) : 0;
}

static void stop_walk(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void cli_disconnect(struct cli *c)
{
    kube_transport_free(c->transport, NULL, NULL);
    uv_walk(&c->loop, stop_walk, NULL);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&c->loop);
    kube_config_release(&c->config);
    free(c->cluster_dir);
}

int cli_send(struct cli *c, const char *verb, const char *path, const char *content_type,
             const cJSON *body, cJSON **ret_object, struct mlt_error *err)
{
    cleanup_free char *text = body ? json_print(body) : NULL;
    struct kube_answer answer = {0};
    int rc = kube_request(c->transport, verb, path, content_type, text, &answer, err);
    if (rc < 0)
        return rc;
    rc = kube_answer_check(&answer, err);
    if (rc == 0 && ret_object)
        rc = json_parse(answer.body, answer.length, ret_object, err);
    kube_answer_release(&answer);
    return rc;
}

int cli_get(struct cli *c, const char *path, cJSON **ret_object, struct mlt_error *err)
{
    return cli_send(c, "GET", path, NULL, NULL, ret_object, err);
}

char *cli_job_path(const char *namespace_, const char *name, const char *subresource,
                   const char *query)
{
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    kube_path(&path, KUBE_TRAININGJOB, namespace_, name, subresource, query);
    char *text = mlt_text_take(&path);
    mlt_text_release(&path);
    return text ? text : mlt_strdup("/");
}

int cli_job_name(const char *argument, const char **ret_name)
{
    static const char *const prefixes[] = {"tj/", "trainingjob/", "trainingjobs/",
                                           "trainingjob.mltrain.io/"};
    *ret_name = argument;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(prefixes); i++)
        if (strncmp(argument, prefixes[i], strlen(prefixes[i])) == 0)
            *ret_name = argument + strlen(prefixes[i]);
    return mlt_is_dns_subdomain(*ret_name)
               ? 0
               : cli_fail(-EINVAL, "`%s` is not a job's name", argument);
}

int64_t cli_number(struct argp_state *state, const char *arg, int64_t min, int64_t max)
{
    struct mlt_error err = {0};
    int64_t value = min;
    if (mlt_parse_integer(arg, min, max, &value, &err) == 0)
        return value;
    /* The option as it was typed, "--nproc 0" or "--nproc=0" or "-n0": what getopt read last. */
    int at = state->next - 1;
    const char *option = at >= 1 ? state->argv[at] : "";
    if (arg == option)
        option = at >= 2 ? state->argv[at - 1] : "";
    size_t length = strlen(option);
    if (arg > option && arg <= option + length)
        length = (size_t)(arg - option) - (arg[-1] == '=');
    argp_error(state, "%.*s%s%s", (int)length, option, length ? ": " : "", err.text);
    return value;
}

error_t cli_take_job_name(int key, char *arg, struct argp_state *state, const char **ret_name)
{
    switch (key) {
    case ARGP_KEY_ARG:
        if (*ret_name)
            argp_error(state, "one job's name expected");
        *ret_name = arg;
        return 0;
    case ARGP_KEY_END:
        if (!*ret_name)
            argp_error(state, "a job's name expected");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int64_t cli_wall_ms(void)
{
    struct timeval now;
    (void)gettimeofday(&now, NULL);
    return (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000;
}

const char *cli_program_folder(void)
{
    static char folder[PATH_MAX];
    if (folder[0])
        return folder;
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (length <= 0)
        return "/usr/bin";
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    return folder;
}
