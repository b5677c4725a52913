/* mltrain run: a job to its end, on this user's one-machine cluster, on a private one, or where
 * --context says. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/cluster_dir.h"
#include "cli/follow.h"
#include "cli/job_text.h"
#include "cli/manifest.h"
#include "cli/screen.h"
#include "cli/supervise.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/name.h"
#include "lib/json/json.h"
#include "ledger/ledger.h"
#include "trainingjob/trainingjob.h"

#define SECOND_INTERRUPT_MS 2500 /* for the pods to be killed, which agents do after 2 s */

struct options {
    struct cli_target target;
    const char *file;
    struct manifest_command command;
    struct cluster_shape shape;
    bool is_command, keep, quiet;
};

struct run {
    struct options options;
    struct cli cli;
    struct screen screen;
    struct follow *follow;
    cJSON *documents, *job; /* the job as it was created */
    char *private_dir;      /* NULL: not a private cluster */
    pid_t supervisor;
    uv_signal_t on_int, on_term;
    uv_timer_t leave;
    int interrupts;
    bool is_local, gone, lost; /* lost: the cluster is */
};

enum {
    OPTION_NPROC = 0x3001,
    OPTION_NNODES,
    OPTION_NAME,
    OPTION_FRAMEWORK,
    OPTION_CHECKPOINT,
    OPTION_RESTARTS,
    OPTION_GPUS,
    OPTION_KEEP,
    OPTION_NODES,
    OPTION_GPUS_PER_NODE
};

static const struct argp_option table[] = {
    {.doc = "A command in place of a manifest (mltrain run --nproc 4 -- python3 train.py):",
     .group = 1},
    {.name = "nproc",
     .key = OPTION_NPROC,
     .arg = "N",
     .doc = "ranks per pod (default: 1)",
     .group = 1},
    {.name = "nproc-per-node", .key = OPTION_NPROC, .flags = OPTION_ALIAS, .group = 1},
    {.name = "nnodes", .key = OPTION_NNODES, .arg = "M", .doc = "pods (default: 1)", .group = 1},
    {.name = "name",
     .key = OPTION_NAME,
     .arg = "NAME",
     .doc = "the job's name (default: made from the command)",
     .group = 1},
    {.name = "framework",
     .key = OPTION_FRAMEWORK,
     .arg = "NAME",
     .doc = "pytorch (default), mpi or plain",
     .group = 1},
    {.name = "checkpoint-path",
     .key = OPTION_CHECKPOINT,
     .arg = "DIR",
     .doc = "where the program saves; watched, and told to it after a restart",
     .group = 1},
    {.name = "max-restarts",
     .key = OPTION_RESTARTS,
     .arg = "N",
     .doc = "backoffLimit (default: 3)",
     .group = 1},
    {.name = "gpus-per-pod",
     .key = OPTION_GPUS,
     .arg = "N",
     .doc = "GPUs asked for each pod (default: 0)",
     .group = 1},
    {.doc = "Output and what stays:", .group = 2},
    {.name = "quiet", .key = 'q', .doc = "only the ranks' lines", .group = 2},
    {.name = "keep",
     .key = OPTION_KEEP,
     .doc = "leave the finished job in the cluster",
     .group = 2},
    {.doc = "A private cluster, when none of this user's runs:", .group = 3},
    {.name = "nodes",
     .key = OPTION_NODES,
     .arg = "N",
     .doc = "number of nodes (default: 1)",
     .group = 3},
    {.name = "gpus-per-node",
     .key = OPTION_GPUS_PER_NODE,
     .arg = "M",
     .doc = "pretend M GPUs on each (default: this machine's own)",
     .group = 3},
    {0}};

static error_t parse_command_option(int key, char *arg, struct argp_state *state, struct options *o)
{
    switch (key) {
    case OPTION_NPROC:
        o->command.nproc = (int)cli_number(state, arg, 1, TRAININGJOB_NPROC_MAX);
        return 0;
    case OPTION_NNODES:
        o->command.nnodes = (int)cli_number(state, arg, 1, TRAININGJOB_REPLICAS_MAX);
        return 0;
    case OPTION_NAME:
        if (!mlt_is_dns_label(arg, TRAININGJOB_NAME_MAX))
            argp_error(state, "--name `%s`: expected a-z, 0-9 and -, at most %d characters", arg,
                       TRAININGJOB_NAME_MAX);
        o->command.name = arg;
        return 0;
    case OPTION_FRAMEWORK:
        o->command.framework = arg;
        return 0;
    case OPTION_CHECKPOINT:
        o->command.checkpoint_path = arg;
        return 0;
    case OPTION_RESTARTS:
        o->command.max_restarts = (int)cli_number(state, arg, 0, TRAININGJOB_BACKOFF_MAX);
        return 0;
    case OPTION_GPUS:
        o->command.gpus_per_pod = (int)cli_number(state, arg, 0, 1024);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->target;
        return 0;
    case 'q':
        o->quiet = true;
        return 0;
    case OPTION_KEEP:
        o->keep = true;
        return 0;
    case OPTION_NODES:
        o->shape.nodes = (int)cli_number(state, arg, 1, CLUSTER_NODES_MAX);
        return 0;
    case OPTION_GPUS_PER_NODE:
        o->shape.gpus_per_node = (int)cli_number(state, arg, 0, 1024);
        return 0;
    case ARGP_KEY_ARG:
        if (o->file)
            argp_error(state, "one manifest expected; a command stands after `--`");
        o->file = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->file && !o->is_command)
            argp_error(state, "a manifest or `-- COMMAND` expected");
        if (o->file && o->is_command)
            argp_error(state, "either a manifest or a command, not both");
        return 0;
    default:
        return parse_command_option(key, arg, state, o);
    }
}

/* ---- where it runs ---- */

static int start_private(struct run *r, struct mlt_error *err)
{
    char template[] = "/tmp/mltrain-run-XXXXXX";
    if (!mkdtemp(template))
        return mlt_fail(err, errno, "%s: %s", template, strerror(errno));
    r->private_dir = mlt_strdup(template);
    int rc = cluster_shape_write(r->private_dir, &r->options.shape, err);
    if (rc == 0)
        rc = supervise_start(r->private_dir, "run", true, err);
    if (rc < 0)
        return rc;
    r->supervisor = rc;
    return cli_connect_cluster(&r->cli, r->private_dir, r->options.target.namespace_, err);
}

static int connect_somewhere(struct run *r, struct mlt_error *err)
{
    struct cli_target *target = &r->options.target;
    if (target->context || target->kubeconfig)
        return cli_connect_file(&r->cli, target->kubeconfig, target->context, target->namespace_,
                                err);
    r->is_local = true;
    cleanup_free char *dir = cluster_dir(target->cluster ? target->cluster : CLUSTER_NAME_DEFAULT);
    if (cluster_is_up(dir))
        return cli_connect_cluster(&r->cli, dir, target->namespace_, err);
    if (target->cluster)
        return mlt_fail(err, ENOENT, "the cluster `%s` is not up", target->cluster);
    return start_private(r, err);
}

static void leave_cluster(struct run *r)
{
    if (r->cli.transport) {
        /* With --keep a private cluster goes all the same: nothing would be left to ask. */
        if (!r->options.keep && !r->private_dir && !r->lost && r->documents && r->job)
            manifest_delete(&r->cli, r->documents);
        cli_disconnect(&r->cli);
    }
    if (!r->private_dir)
        return;
    /* Pods outlive a supervisor that was killed; the next one adopts and ends them. */
    if (r->supervisor > 0 && waitpid(r->supervisor, NULL, WNOHANG) == r->supervisor)
        r->supervisor = supervise_start(r->private_dir, "run", true, NULL);
    if (r->supervisor > 0) {
        (void)kill(r->supervisor, SIGTERM);
        (void)waitpid(r->supervisor, NULL, 0);
    }
    cluster_remove_dir(r->private_dir);
}

/* ---- can it ever run? ---- */

static int check_fit(struct run *r, const cJSON *object, struct mlt_error *err)
{
    static const char *const gpus[] = {"nvidia.com/gpu", "amd.com/gpu"};
    struct trainingjob job cleanup_trainingjob = {0};
    cJSON *nodes cleanup_json = NULL;
    if (trainingjob_read(object, &job, err) < 0 ||
        cli_get(&r->cli, "/api/v1/nodes", &nodes, NULL) < 0)
        return 0; /* admission says what is wrong; a user may not be allowed to list nodes */
    /* Which topology levels there are only the controller knows. */
    job.spec.scheduling.topology_required = job.spec.scheduling.topology_preferred = NULL;
    struct ledger *ledger =
        ledger_new(&(struct ledger_config){.gpu_resources = gpus, .gpu_resources_count = 2});
    const cJSON *node;
    cJSON_ArrayForEach(node, json_member(nodes, "items")) ledger_node(ledger, node, 0);
    int rc = ledger_could_fit(ledger, &job, err);
    ledger_free(ledger);
    return rc;
}

/* ---- following ---- */

static void on_line(void *arg, const char *pod, const struct log_line *line)
{
    struct run *r = arg;
    if (line->rank != LOG_LINE_LAUNCHER)
        screen_line(&r->screen, pod, line);
}

static void on_job(void *arg, const cJSON *job)
{
    struct run *r = arg;
    r->gone = !job;
    if (job)
        screen_job(&r->screen, job, (int64_t)uv_now(&r->cli.loop), cli_wall_ms());
}

static void on_done(void *arg)
{
    struct run *r = arg;
    if (r->interrupts >= 2 && r->private_dir && uv_is_active((uv_handle_t *)&r->leave))
        return; /* the agent is needed a moment longer: it kills the pods */
    uv_stop(&r->cli.loop);
}

static void on_trouble(void *arg, const char *words, bool is_over)
{
    struct run *r = arg;
    r->lost = is_over;
    if (!is_over)
        screen_say(&r->screen, "%s; trying again", words);
    else if (r->private_dir)
        (void)cli_fail(0, "the private cluster is gone: %s", words);
    else
        (void)cli_fail(0, "the cluster went down; when it is up again the job goes on: %s", words);
}

static void ignore_status(void *arg, int http_status, int64_t retry_after_ms)
{
    (void)arg;
    (void)http_status;
    (void)retry_after_ms;
}

static void ignore_body(void *arg, const char *data, size_t length)
{
    (void)arg;
    (void)data;
    (void)length;
}

static void ignore_end(void *arg, const char *error)
{
    (void)arg;
    (void)error;
}

static void send_async(struct run *r, const char *verb, const char *path, const char *body)
{
    static const struct kube_call_ops ops = {
        .status = ignore_status, .body = ignore_body, .end = ignore_end};
    (void)kube_transport_send(r->cli.transport, verb, path,
                              body ? "application/merge-patch+json" : NULL, body,
                              body ? strlen(body) : 0, 0, &ops, r);
}

static void annotate_cancel(struct run *r, const char *how)
{
    const char *namespace_ = json_string(r->job, "metadata.namespace", "default"),
               *name = json_string(r->job, "metadata.name", "");
    cleanup_free char *path = cli_job_path(namespace_, name, NULL, NULL),
                      *patch = mlt_asprintf("{\"metadata\":{\"annotations\":{\"%s\":\"%s\"}}}",
                                            TRAININGJOB_ANNOTATION_CANCEL, how);
    send_async(r, "PATCH", path, patch);
}

/* The pods are killed without grace by whoever runs them. */
static void kill_pods(struct run *r)
{
    struct mlt_text path cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX),
                         query cleanup_text = MLT_TEXT_INIT(512);
    mlt_text_printf(&query, "gracePeriodSeconds=0&labelSelector=mltrain.io%%2Fjob-uid%%3D%s",
                    json_string(r->job, "metadata.uid", ""));
    kube_path(&path, KUBE_POD, json_string(r->job, "metadata.namespace", "default"), NULL, NULL,
              mlt_text_string(&query));
    send_async(r, "DELETE", mlt_text_string(&path), NULL);
}

static void leave_now(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void interrupted(uv_signal_t *handle, int signal_number)
{
    (void)signal_number;
    struct run *r = handle->data;
    r->interrupts++;
    if (r->interrupts == 1) {
        screen_say(&r->screen,
                   "cancelling with a grace of %" PRId64 " s; once more ends it at once",
                   json_integer(r->job, "spec.checkpoint.gracePeriodSeconds", 30));
        annotate_cancel(r, TRAININGJOB_CANCEL_GRACEFUL);
    } else if (r->interrupts == 2) {
        screen_say(&r->screen, "ending it now");
        annotate_cancel(r, TRAININGJOB_CANCEL_NOW);
        kill_pods(r);
        (void)uv_timer_start(&r->leave, leave_now, SECOND_INTERRUPT_MS, 0);
    } else {
        uv_stop(&r->cli.loop);
    }
}

static void watch_signal(struct run *r, uv_signal_t *handle, int signal_number)
{
    (void)uv_signal_init(&r->cli.loop, handle);
    handle->data = r;
    (void)uv_signal_start(handle, interrupted, signal_number);
}

static int follow_to_end(struct run *r)
{
    static const struct follow_ops ops = {
        .line = on_line, .job = on_job, .done = on_done, .trouble = on_trouble};
    watch_signal(r, &r->on_int, SIGINT);
    watch_signal(r, &r->on_term, SIGTERM);
    (void)uv_timer_init(&r->cli.loop, &r->leave);
    r->follow = follow_new(&r->cli, json_string(r->job, "metadata.namespace", "default"),
                           json_string(r->job, "metadata.name", ""),
                           json_string(r->job, "metadata.uid", ""), true, &ops, r);
    (void)uv_run(&r->cli.loop, UV_RUN_DEFAULT);
    screen_end(&r->screen);
    const cJSON *job = follow_job(r->follow);
    int code = CLI_FAILED;
    if (r->interrupts)
        code = CLI_INTERRUPTED;
    else if (r->lost)
        code = CLI_FAILED;
    else if (r->gone || !job)
        (void)cli_fail(CLI_FAILED, "the job was deleted");
    else
        code = job_exit_code(job);
    const char *message = "";
    if (job && job_condition(job, "Failed", &message) == 1)
        (void)cli_fail(code, "%s failed: %s", json_string(job, "metadata.name", "?"), message);
    else if (job && !r->options.quiet && job_is_finished(job))
        screen_say(&r->screen, "%s succeeded", json_string(job, "metadata.name", "?"));
    follow_free(r->follow);
    uv_close((uv_handle_t *)&r->on_int, NULL);
    uv_close((uv_handle_t *)&r->on_term, NULL);
    uv_close((uv_handle_t *)&r->leave, NULL);
    return code;
}

static int run_job(struct run *r)
{
    struct mlt_error err = {0};
    cJSON *job = NULL;
    if (manifest_job(r->documents, &job, &err) < 0)
        return cli_fail(CLI_USAGE, "%s%s%s", r->options.file ? r->options.file : "",
                        r->options.file ? ": " : "", err.text);
    if (connect_somewhere(r, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    int fit = check_fit(r, job, &err);
    if (fit == -ENOSPC && r->is_local)
        return cli_fail(CLI_FAILED, "%s can never run here: %s",
                        json_string(job, "metadata.name", "?"), err.text);
    if (fit == -ENOSPC)
        (void)cli_fail(0, "does not fit the cluster as it stands, and waits: %s", err.text);
    int rc = manifest_apply(&r->cli, r->documents, &r->job, &err);
    if (rc == -EEXIST)
        return cli_fail(CLI_FAILED, "%s; look at it with `mltrain describe %s`, or delete it first",
                        err.text, json_string(job, "metadata.name", "?"));
    if (rc < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    return follow_to_end(r);
}

/* Everything after `--` is the command. */
static int split_command(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--") == 0) {
            o->is_command = i + 1 < argc;
            o->command.argv = (const char *const *)(argv + i + 1);
            return i;
        }
    return argc;
}

int cli_run(int argc, char **argv)
{
    static const struct argp_child children[] = {
        {.argp = &cli_target_argp, .header = "Cluster:", .group = 4}, {0}};
    static const struct argp argp = {
        .options = table,
        .parser = parse,
        .children = children,
        .args_doc = "FILE\n-- COMMAND [ARGUMENTS]",
        .doc = "Runs a job to its end and exits with its code."
               "\vRuns on this user's one-machine cluster when one is up (`mltrain cluster up`), "
               "else on a private one that goes "
               "away with the job; on another cluster only with --context or --kubeconfig. The "
               "first Ctrl-C cancels the job with its "
               "grace, the second ends it at once. FILE may be - for standard input and may hold "
               "ConfigMaps and the like beside the "
               "TrainingJob."};
    struct run r = {
        .options = {.command = {.nproc = 1, .nnodes = 1, .framework = "pytorch", .max_restarts = 3},
                    .shape = {.nodes = 1, .gpus_per_node = -1}}};
    int count = split_command(argc, argv, &r.options);
    if (argp_parse(&argp, count, argv, 0, NULL, &r.options))
        return CLI_USAGE;
    struct mlt_error err = {0};
    cleanup_free char *folder = realpath(".", NULL), *checkpoints = NULL;
    if (r.options.is_command) {
        r.options.command.folder = folder ? folder : "/";
        r.options.command.environment = (const char *const *)environ;
        r.options.command.unique = (unsigned long)getpid();
        if (r.options.command.checkpoint_path && r.options.command.checkpoint_path[0] != '/')
            r.options.command.checkpoint_path = checkpoints =
                mlt_asprintf("%s/%s", r.options.command.folder, r.options.command.checkpoint_path);
        r.documents = manifest_from_command(&r.options.command);
    } else if (manifest_read(r.options.file, &r.documents, &err) < 0) {
        return cli_fail(CLI_USAGE, "%s", err.text);
    }
    screen_init(&r.screen, r.options.quiet);
    int code = run_job(&r);
    leave_cluster(&r);
    cJSON_Delete(r.documents);
    cJSON_Delete(r.job);
    free(r.private_dir);
    return code;
}
