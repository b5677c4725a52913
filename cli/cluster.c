/* mltrain cluster up | down | status | kubeconfig: the one-machine cluster. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/cluster_dir.h"
#include "cli/supervise.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/name.h"
#include "lib/json/json.h"

struct options {
    const char *verb, *name, *dir; /* dir: only for the hidden `supervise` */
    struct cluster_shape shape;
    bool shape_given, temporary, delete_all;
    int ready_fd;
};

enum {
    OPTION_NODES = 0x2001,
    OPTION_GPUS,
    OPTION_RACKS,
    OPTION_DIR,
    OPTION_READY_FD,
    OPTION_TEMPORARY,
    OPTION_DELETE
};

static const struct argp_option table[] = {
    {.name = "name", .key = 'N', .arg = "NAME", .doc = "the cluster's name (default: default)"},
    {.name = "nodes",
     .key = OPTION_NODES,
     .arg = "N",
     .doc = "up: number of nodes, each an agent (default: 1)"},
    {.name = "gpus-per-node",
     .key = OPTION_GPUS,
     .arg = "M",
     .doc = "up: pretend M GPUs on each node (default: this machine's own)"},
    {.name = "racks",
     .key = OPTION_RACKS,
     .arg = "K",
     .doc = "up: label the nodes as standing in K racks, and make them the topology level rack "
            "(default: 0, none)"},
    {.name = "delete", .key = OPTION_DELETE, .doc = "down: remove the store and the logs too"},
    {.name = "dir", .key = OPTION_DIR, .arg = "DIR", .flags = OPTION_HIDDEN},
    {.name = "ready-fd", .key = OPTION_READY_FD, .arg = "FD", .flags = OPTION_HIDDEN},
    {.name = "temporary", .key = OPTION_TEMPORARY, .flags = OPTION_HIDDEN},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'N':
        if (!mlt_is_dns_label(arg, CLUSTER_NAME_LENGTH_MAX))
            argp_error(state, "`%s` is not a name of a-z, 0-9 and -, at most %d characters", arg,
                       CLUSTER_NAME_LENGTH_MAX);
        o->name = arg;
        return 0;
    case OPTION_NODES:
        o->shape.nodes = (int)cli_number(state, arg, 1, CLUSTER_NODES_MAX);
        o->shape_given = true;
        return 0;
    case OPTION_GPUS:
        o->shape.gpus_per_node = (int)cli_number(state, arg, 0, 1024);
        o->shape_given = true;
        return 0;
    case OPTION_RACKS:
        o->shape.racks = (int)cli_number(state, arg, 0, CLUSTER_NODES_MAX);
        o->shape_given = true;
        return 0;
    case OPTION_DELETE:
        o->delete_all = true;
        return 0;
    case OPTION_DIR:
        o->dir = arg;
        return 0;
    case OPTION_READY_FD:
        o->ready_fd = (int)cli_number(state, arg, 3, 1024);
        return 0;
    case OPTION_TEMPORARY:
        o->temporary = true;
        return 0;
    case ARGP_KEY_ARG:
        if (o->verb)
            argp_error(state, "one of up, down, status or kubeconfig expected");
        o->verb = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The shape of an existing cluster stays unless it is asked to change. */
static int settle_shape(const char *dir, struct options *o, struct mlt_error *err)
{
    struct cluster_shape stored;
    int rc = cluster_shape_read(dir, &stored, err);
    if (rc == 0 && !o->shape_given) {
        o->shape = stored;
        return 0;
    }
    if (rc < 0 && rc != -ENOENT)
        return rc;
    return cluster_shape_write(dir, &o->shape, err);
}

static int up_already(const struct options *o, const char *dir)
{
    struct mlt_error err = {0};
    struct cluster_shape shape;
    if (cluster_wait_ready(dir, SUPERVISE_READY_MS, &err) < 0 ||
        cluster_shape_read(dir, &shape, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    bool differs = shape.nodes != o->shape.nodes || shape.racks != o->shape.racks ||
                   shape.gpus_per_node != o->shape.gpus_per_node;
    if (o->shape_given && differs)
        return cli_fail(
            CLI_FAILED,
            "cluster %s is up with %d node%s; `mltrain cluster down` first, then --nodes, "
            "--gpus-per-node and --racks take effect",
            o->name, shape.nodes, shape.nodes == 1 ? "" : "s");
    printf("cluster %s is up already (%s)\n", o->name, dir);
    return CLI_OK;
}

static int up(struct options *o)
{
    struct mlt_error err = {0};
    cleanup_free char *dir = cluster_dir(o->name);
    if (cluster_is_up(dir))
        return up_already(o, dir);
    double begin = seconds_now();
    if (cluster_make_dir(dir, &err) < 0 || settle_shape(dir, o, &err) < 0 ||
        supervise_start(dir, o->name, false, &err) < 0) {
        if (cluster_is_up(dir)) /* somebody else started it at the same moment */
            return up_already(o, dir);
        return cli_fail(CLI_FAILED, "%s", err.text);
    }
    printf("cluster %s is up after %.2f s: %d node%s\n", o->name, seconds_now() - begin,
           o->shape.nodes, o->shape.nodes > 1 ? "s" : "");
    printf("  export KUBECONFIG=%s/kubeconfig\n  mltrain submit job.yaml, or kubectl apply -f "
           "job.yaml\n",
           dir);
    return CLI_OK;
}

static int down(const struct options *o)
{
    struct mlt_error err = {0};
    cleanup_free char *dir = cluster_dir(o->name);
    bool was_up = cluster_is_up(dir);
    if (supervise_stop(dir, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    if (o->delete_all)
        cluster_remove_dir(dir);
    printf("cluster %s is down%s\n", o->name,
           o->delete_all ? "; its store and logs are removed"
           : was_up      ? "; its store and logs are kept"
                         : " already");
    return CLI_OK;
}

static void print_nodes(struct cli *c)
{
    struct mlt_error err = {0};
    cJSON *nodes cleanup_json = NULL;
    if (cli_get(c, "/api/v1/nodes", &nodes, &err) < 0) {
        printf("  API server: %s\n", err.text);
        return;
    }
    const cJSON *node;
    cJSON_ArrayForEach(node, json_member(nodes, "items"))
    {
        const char *ready = "unknown";
        const cJSON *condition;
        cJSON_ArrayForEach(
            condition,
            json_find(node, "status.conditions")) if (strcmp(json_string(condition, "type", ""),
                                                             "Ready") == 0) ready =
            strcmp(json_string(condition, "status", ""), "True") == 0 ? "ready" : "not ready";
        printf("  node %s: %s, %s CPUs, %s memory, %s GPUs\n",
               json_string(node, "metadata.name", "?"), ready,
               json_string(node, "status.allocatable.cpu", "?"),
               json_string(node, "status.allocatable.memory", "?"),
               json_string(node, "status.allocatable[nvidia.com/gpu]", "0"));
    }
}

static int status(const struct options *o)
{
    struct mlt_error err = {0};
    cleanup_free char *dir = cluster_dir(o->name), *kubeconfig = cluster_file(dir, "kubeconfig");
    pid_t pid = cluster_supervisor(dir);
    struct stat there;
    if (!pid) {
        printf("cluster %s is down%s\n", o->name,
               stat(dir, &there) == 0 ? "" : " and was never up");
        return CLI_FAILED;
    }
    printf("cluster %s is up: supervisor %d, folder %s\n", o->name, (int)pid, dir);
    struct cli c;
    if (cli_connect_cluster(&c, dir, NULL, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    printf("  API server %s\n  kubeconfig %s\n", c.config.server, kubeconfig);
    print_nodes(&c);
    cli_disconnect(&c);
    return CLI_OK;
}

static int kubeconfig(const struct options *o)
{
    cleanup_free char *dir = cluster_dir(o->name);
    printf("%s/kubeconfig\n", dir);
    return CLI_OK;
}

int cli_cluster(int argc, char **argv)
{
    static const struct argp argp = {
        .options = table,
        .parser = parse,
        .args_doc = "up | down | status | kubeconfig",
        .doc = "The one-machine cluster: a Kubernetes-compatible API server, node agents and the "
               "controller, "
               "for this user.\v`up` starts it or goes on from where `down` left it, `down` ends "
               "it and keeps its store and logs, "
               "`kubeconfig` prints the path of its kubeconfig."};
    struct options o = {
        .name = CLUSTER_NAME_DEFAULT, .shape = {.nodes = 1, .gpus_per_node = -1}, .ready_fd = -1};
    if (argp_parse(&argp, argc, argv, 0, NULL, &o))
        return CLI_USAGE;
    const char *verb = o.verb ? o.verb : "";
    if (strcmp(verb, "up") == 0)
        return up(&o);
    if (strcmp(verb, "down") == 0)
        return down(&o);
    if (strcmp(verb, "status") == 0)
        return status(&o);
    if (strcmp(verb, "kubeconfig") == 0)
        return kubeconfig(&o);
    if (strcmp(verb, "supervise") == 0 && o.dir)
        return supervise_main(o.dir, o.name, o.temporary, o.ready_fd);
    return cli_fail(CLI_USAGE, "expected one of up, down, status or kubeconfig, got `%s`", verb);
}
