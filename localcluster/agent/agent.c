/* The agent's main: arguments, one loop, and the parts that run on it. */
#include "localcluster/agent/agent.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/name.h"
#include "lib/base/number.h"
#include "localcluster/agent/addresses.h"
#include "localcluster/agent/internal.h"
#include "localcluster/agent/node_object.h"
#include "localcluster/agent/pod_folder.h"

#define EXIT_BAD_ARGUMENTS 64
#define LOCK_TRIES 50 /* the agent before us may be on its way out */
#define LOCK_WAIT_MS 100
#define PRUNE_FIRST_MS 30000
#define PRUNE_EVERY_MS 600000

enum option_key {
    OPTION_DIR = 256,
    OPTION_NODE,
    OPTION_RACK,
    OPTION_GPUS,
    OPTION_CPUS,
    OPTION_MEMORY,
    OPTION_READY,
    OPTION_STOP
};

static const struct argp_option option_list[] = {
    {"dir", OPTION_DIR, "DIR", 0, "The cluster's folder (required)", 0},
    {"node", OPTION_NODE, "NAME", 0, "The node's name (required)", 0},
    {"rack", OPTION_RACK, "NAME", 0, "Label the node " NODE_RACK_LABEL "=NAME (default: not)", 0},
    {"gpus", OPTION_GPUS, "N|auto", 0, "Pretend N GPUs; auto: those of this machine (default)", 0},
    {"cpus", OPTION_CPUS, "MILLI", 0, "Capacity in thousandths of a CPU (default: this machine's)",
     0},
    {"memory", OPTION_MEMORY, "BYTES", 0, "Capacity in bytes (default: this machine's)", 0},
    {"ready-fd", OPTION_READY, "N", 0, "Write a newline to this descriptor when pods can run", 0},
    {"stop-pods", OPTION_STOP, NULL, 0, "End every pod of the node and leave; no agent may run", 0},
    {0},
};

static void parse_number(struct argp_state *state, const char *name, const char *text, int64_t min,
                         int64_t max, int64_t *ret)
{
    struct mlt_error err;
    if (mlt_parse_integer(text, min, max, ret, &err) < 0)
        argp_error(state, "--%s: %s", name, err.text);
}

static void check(struct argp_state *state, const struct agent_options *o)
{
    if (!o->dir || !o->node)
        argp_error(state, "--dir and --node are required");
    else if (!mlt_is_dns_subdomain(o->node))
        argp_error(state, "--node: `%s` is not a DNS name", o->node);
    else if (o->rack && !mlt_is_dns_label(o->rack, 63))
        argp_error(state, "--rack: `%s` is not a DNS label", o->rack);
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct agent_options *o = state->input;
    int64_t fd;
    switch (key) {
    case OPTION_DIR:
        o->dir = value;
        return 0;
    case OPTION_NODE:
        o->node = value;
        return 0;
    case OPTION_RACK:
        o->rack = value;
        return 0;
    case OPTION_GPUS:
        if (strcmp(value, "auto") != 0)
            parse_number(state, "gpus", value, 0, DEVICES_MAX, &o->gpus);
        return 0;
    case OPTION_CPUS:
        parse_number(state, "cpus", value, 1, 1000000000, &o->cpu_milli);
        return 0;
    case OPTION_MEMORY:
        parse_number(state, "memory", value, 1, MLT_QUANTITY_MAX, &o->memory);
        return 0;
    case OPTION_READY:
        parse_number(state, "ready-fd", value, 3, 1023, &fd);
        o->ready_fd = (int)fd;
        return 0;
    case OPTION_STOP:
        o->stop_pods = true;
        return 0;
    case ARGP_KEY_END:
        check(state, o);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- set-up ---- */

/* One agent per node: two would both act on every pod. The lock goes with the process. */
static int lock_node(const char *node_dir, struct mlt_error *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%.4000s/agent.lock", node_dir);
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return mlt_fail(err, errno, "cannot open %s: %s", path, strerror(errno));
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return steal_fd(&fd);
        struct timespec wait = {.tv_nsec = LOCK_WAIT_MS * 1000000L};
        (void)nanosleep(&wait, NULL);
    }
    return mlt_fail(err, EBUSY, "another agent holds %s", path);
}

static int make_folders(struct agent *a, struct mlt_error *err)
{
    char path[PATH_MAX], dir[PATH_MAX];
    if (!realpath(a->options.dir, dir))
        return mlt_fail(err, errno, "%s: %s", a->options.dir, strerror(errno));
    if (snprintf(a->node_dir, sizeof a->node_dir, "%s/nodes/%s", dir, a->options.node) >
        PATH_MAX / 2)
        return mlt_fail(err, ENAMETOOLONG, "the cluster's folder has too long a path");
    (void)snprintf(path, sizeof path, "%.4000s/pods", a->node_dir);
    int rc = folder_make(path, 0700, err);
    (void)snprintf(path, sizeof path, "%.4000s/logs", a->node_dir);
    if (rc == 0)
        rc = folder_make(path, 0700, err);
    return rc;
}

static int find_devices(struct agent *a, struct mlt_error *err)
{
    if (a->options.gpus < 0)
        return devices_find(&a->devices, err);
    devices_pretend(&a->devices, (size_t)a->options.gpus);
    return 0;
}

static void find_capacity(struct agent *a)
{
    struct sysinfo info = {0};
    (void)sysinfo(&info);
    int64_t cpus = sysconf(_SC_NPROCESSORS_ONLN);
    a->allocatable = (struct node_resources){
        .cpu_milli = a->options.cpu_milli > 0 ? a->options.cpu_milli : cpus * 1000,
        .memory = a->options.memory > 0 ? a->options.memory
                                        : (int64_t)info.totalram * (int64_t)info.mem_unit,
        .pods = AGENT_PODS_DEFAULT,
        .gpus = (int64_t)a->devices.count,
    };
}

static int open_transport(struct agent *a, struct mlt_error *err)
{
    char path[PATH_MAX];
    struct kube_config config = {0};
    (void)snprintf(path, sizeof path, "%.4000s/kubeconfig", a->options.dir);
    int rc = kube_config_load(path, NULL, &config, err);
    if (rc < 0)
        return rc;
    rc = kube_transport_new(&a->loop, &config, &a->transport, err);
    kube_config_release(&config);
    return rc;
}

/* ---- running ---- */

static void stop_signal(uv_signal_t *handle, int number)
{
    struct agent *a = handle->data;
    mlt_log(MLT_LOG_INFO, "leaving signal=%d; pods go on", number);
    uv_stop(&a->loop);
}

static void prune(uv_timer_t *timer)
{
    struct agent *a = timer->data;
    char logs[PATH_MAX];
    const char **alive = NULL;
    size_t count = 0, capacity = 0;
    for (const struct pod *p = a->pods; p; p = p->next) {
        MLT_GROW(alive, count, capacity);
        alive[count++] = p->spec->uid;
    }
    (void)snprintf(logs, sizeof logs, "%.4000s/logs", a->node_dir);
    logs_prune(logs, alive, count, AGENT_LOGS_KEPT, AGENT_LOGS_KEPT_BYTES);
    free(alive);
}

static void start_parts(struct agent *a)
{
    uint64_t seed = 0;
    (void)!getrandom(&seed, sizeof seed, 0);
    mlt_random_init(&a->random, seed);
    a->forker_fd = -1;
    a->events = events_new(a);
    shim_prepare(a);
    node_start(a);
    pods_adopt(a);
    pods_watch(a);
    (void)uv_timer_init(&a->loop, &a->prune_timer);
    a->prune_timer.data = a;
    (void)uv_timer_start(&a->prune_timer, prune, PRUNE_FIRST_MS, PRUNE_EVERY_MS);
    (void)uv_signal_init(&a->loop, &a->on_term);
    (void)uv_signal_init(&a->loop, &a->on_int);
    a->on_term.data = a->on_int.data = a;
    (void)uv_signal_start(&a->on_term, stop_signal, SIGTERM);
    (void)uv_signal_start(&a->on_int, stop_signal, SIGINT);
}

static int run(struct agent *a, struct mlt_error *err)
{
    int rc = make_folders(a, err);
    if (rc < 0)
        return rc;
    cleanup_close int lock = lock_node(a->node_dir, err);
    if (lock < 0)
        return lock;
    if (a->options.stop_pods)
        return stop_pods(a->node_dir);
    rc = addresses_folder(a->claims, sizeof a->claims, err);
    if (rc == 0)
        rc = find_devices(a, err);
    if (rc < 0)
        return rc;
    addresses_sweep(a->claims);
    find_capacity(a);
    sandbox_host_find(&a->host, a->options.dir);
    a->host.devices = &a->devices;
    rc = uv_loop_init(&a->loop);
    if (rc < 0)
        return mlt_fail(err, -rc, "no event loop: %s", uv_strerror(rc));
    rc = open_transport(a, err);
    if (rc < 0)
        return rc;
    start_parts(a);
    (void)uv_run(&a->loop, UV_RUN_DEFAULT);
    return 0; /* the process ends here, and with it the loop and everything on it */
}

int agent_main(int argc, char **argv)
{
    static const struct argp argp = {
        option_list,
        parse_option,
        NULL,
        "Registers one node of a one-machine cluster and runs the pods that are bound to it.",
        NULL,
        NULL,
        NULL};
    static struct agent agent = {.options = {.gpus = -1, .ready_fd = -1}};
    struct mlt_error err = {0};
    argp_err_exit_status = EXIT_BAD_ARGUMENTS;
    if (argp_parse(&argp, argc, argv, 0, NULL, &agent.options) != 0)
        return EXIT_BAD_ARGUMENTS;
    mlt_log_start("agent", MLT_LOG_INFO);
    (void)signal(SIGPIPE, SIG_IGN);
    if (agent.options.ready_fd >= 0)
        (void)fcntl(agent.options.ready_fd, F_SETFD, FD_CLOEXEC);
    int rc = run(&agent, &err);
    if (rc < 0)
        mlt_log(MLT_LOG_ERROR, "%s", err.text);
    return rc < 0 ? 1 : rc;
}
