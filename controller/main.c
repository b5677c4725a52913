/* mltrain-controller: reads its arguments, opens the edge, runs the loop. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <uv.h>
#include "controller/edge_uv.h"
#include "controller/state_file.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/number.h"
#include "lib/kube/transport/transport.h"

/* How long the last port is waited for: 5 s in all. */
#define PORT_RETRIES 20
#define PORT_RETRY_MS 250

struct arguments {
    const char *kubeconfig, *context;
    const char *listen, *advertise;
    const char *master_key_file;
    const char *launcher_image, *launcher_command;
    const char *lease_namespace, *identity;
    const char *log_level;
    int ready_fd;
    int64_t node_loss_ms;
};

enum option_key {
    OPTION_KUBECONFIG = 256,
    OPTION_CONTEXT,
    OPTION_LISTEN,
    OPTION_ADVERTISE,
    OPTION_MASTER_KEY_FILE,
    OPTION_LAUNCHER_IMAGE,
    OPTION_LAUNCHER_COMMAND,
    OPTION_LEASE_NAMESPACE,
    OPTION_IDENTITY,
    OPTION_READY_FD,
    OPTION_NODE_LOSS_TIMEOUT,
    OPTION_LOG_LEVEL,
};

static const struct argp_option options[] = {
    {"kubeconfig", OPTION_KUBECONFIG, "FILE", 0,
     "How to reach the API server (default: by kubectl's rules, then the pod's service account)",
     0},
    {"context", OPTION_CONTEXT, "NAME", 0, "Context of the kubeconfig", 0},
    {"listen", OPTION_LISTEN, "IP:PORT", 0,
     "Where launchers connect to (default 127.0.0.1:0; port 0: the one used last, else any)", 0},
    {"advertise", OPTION_ADVERTISE, "IP", 0,
     "Address that pods are told (default: that of --listen)", 0},
    {"master-key-file", OPTION_MASTER_KEY_FILE, "FILE", 0,
     "32 bytes from which the keys of all jobs are derived; made when it is missing", 0},
    {"launcher-image", OPTION_LAUNCHER_IMAGE, "IMAGE", 0,
     "Image of the init container that brings the launcher", 0},
    {"launcher-command", OPTION_LAUNCHER_COMMAND, "PATH", 0,
     "The launcher in that image (default /mltrain-launcher)", 0},
    {"lease-namespace", OPTION_LEASE_NAMESPACE, "NAMESPACE", 0,
     "Where the Lease mltrain-controller lives (default mltrain-system)", 0},
    {"identity", OPTION_IDENTITY, "NAME", 0,
     "This process in the lease; must differ between controllers (default: made up)", 0},
    {"node-loss-timeout", OPTION_NODE_LOSS_TIMEOUT, "SECONDS", 0,
     "From the last word of a launcher to the loss of its node, while the node's Lease is not "
     "renewed (16 to 3600, default 20)",
     0},
    {"ready-fd", OPTION_READY_FD, "N", 0, "Gets a newline when the channel is open", 0},
    {"log-level", OPTION_LOG_LEVEL, "LEVEL", 0, "error, warning, info (default) or debug", 0},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    struct mlt_error err = {0};
    int64_t number;
    switch (key) {
    case OPTION_KUBECONFIG:
        a->kubeconfig = value;
        break;
    case OPTION_CONTEXT:
        a->context = value;
        break;
    case OPTION_LISTEN:
        a->listen = value;
        break;
    case OPTION_ADVERTISE:
        a->advertise = value;
        break;
    case OPTION_MASTER_KEY_FILE:
        a->master_key_file = value;
        break;
    case OPTION_LAUNCHER_IMAGE:
        a->launcher_image = value;
        break;
    case OPTION_LAUNCHER_COMMAND:
        a->launcher_command = value;
        break;
    case OPTION_LEASE_NAMESPACE:
        a->lease_namespace = value;
        break;
    case OPTION_IDENTITY:
        a->identity = value;
        break;
    case OPTION_LOG_LEVEL:
        a->log_level = value;
        break;
    case OPTION_NODE_LOSS_TIMEOUT:
        if (mlt_parse_integer(value, CONTROLLER_NODE_LOSS_MS_MIN / 1000,
                              CONTROLLER_NODE_LOSS_MS_MAX / 1000, &number, &err) < 0)
            argp_error(state, "--node-loss-timeout: %s", err.text);
        a->node_loss_ms = number * 1000;
        break;
    case OPTION_READY_FD:
        if (mlt_parse_integer(value, 0, 1 << 20, &number, &err) < 0)
            argp_error(state, "--ready-fd: %s", err.text);
        a->ready_fd = (int)number;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    (void)fprintf(stream, "mltrain-controller %s\n", MLTRAIN_VERSION);
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .doc = "Runs TrainingJobs: plans gangs, creates their pods, starts and restarts their ranks.",
};

/* "127.0.0.1:0" or "[::1]:0". */
static int split_listen(const char *text, char **ret_address, uint16_t *ret_port,
                        struct mlt_error *err)
{
    const char *colon = strrchr(text, ':');
    int64_t port;
    if (!colon || colon == text)
        return mlt_fail(err, EINVAL, "--listen: `%s` is not IP:PORT", text);
    if (mlt_parse_integer(colon + 1, 0, 65535, &port, err) < 0)
        return mlt_fail_in(err, "--listen");
    size_t length = (size_t)(colon - text);
    bool brackets = text[0] == '[' && text[length - 1] == ']' && length > 2;
    *ret_address = brackets ? mlt_strndup(text + 1, length - 2) : mlt_strndup(text, length);
    *ret_port = (uint16_t)port;
    return 0;
}

static int random_bytes(void *to, size_t size, struct mlt_error *err)
{
    if (getrandom(to, size, 0) != (ssize_t)size)
        return mlt_fail(err, EIO, "no random numbers: %s", strerror(errno));
    return 0;
}

static int load_key(const struct arguments *a, unsigned char key[CHANNEL_KEY_SIZE],
                    struct mlt_error *err)
{
    if (a->master_key_file)
        return master_key_load(a->master_key_file, key, err);
    /* Good for as long as this process lives: launchers will not know the next one. */
    mlt_log(MLT_LOG_WARNING, "no --master-key-file: running jobs will not outlive this controller");
    return random_bytes(key, CHANNEL_KEY_SIZE, err);
}

/* Running pods know this port for life: whoever holds it may let it go again soon. */
static int open_last_port(uv_loop_t *loop, struct edge_config *config, uint16_t port,
                          struct edge **ret, struct mlt_error *err)
{
    const struct timespec pause = {.tv_nsec = PORT_RETRY_MS * 1000000L};
    int r = -EADDRINUSE;
    config->listen_port = port;
    for (int i = 0; i < PORT_RETRIES && r == -EADDRINUSE; i++) {
        if (i)
            (void)nanosleep(&pause, NULL);
        r = edge_new(loop, config, ret, err);
    }
    return r;
}

/* The port that running pods know, if it can be had; another one otherwise. */
static int open_edge(uv_loop_t *loop, struct edge_config *config, struct state_file *state,
                     struct edge **ret, struct mlt_error *err)
{
    int r = -EADDRINUSE;
    if (config->listen_port)
        return edge_new(loop, config, ret, err);
    if (state->port) {
        r = open_last_port(loop, config, state->port, ret, err);
        if (r == -EADDRINUSE)
            mlt_log(MLT_LOG_ERROR,
                    "the port that running pods know is taken by another program: their launchers "
                    "cannot come back, their jobs restart in new pods port=%u",
                    state->port);
    }
    config->listen_port = r == -EADDRINUSE ? 0 : config->listen_port;
    if (r == -EADDRINUSE)
        r = edge_new(loop, config, ret, err);
    return r < 0 ? r : state_file_keep(state, edge_port(*ret), err);
}

static int run(const struct arguments *a, struct mlt_error *err)
{
    static const char *const gpus[] = {"nvidia.com/gpu", "amd.com/gpu", "nvidia.com/gpu.shared"};
    unsigned char key[CHANNEL_KEY_SIZE];
    cleanup_free char *address = NULL;
    struct kube_config kube = {0};
    struct state_file state = {.fd = -1};
    struct edge_config config = {
        .kube = &kube, .advertise = a->advertise, .master_key = key, .ready_fd = a->ready_fd};
    uint64_t seed;
    uv_loop_t loop;
    struct edge *edge = NULL;
    int r = split_listen(a->listen, &address, &config.listen_port, err);
    if (r == 0)
        r = load_key(a, key, err);
    if (r == 0)
        r = state_file_open(a->master_key_file, &state, err);
    if (r == 0)
        r = random_bytes(&seed, sizeof seed, err);
    if (r == 0)
        r = kube_config_load(a->kubeconfig, a->context, &kube, err);
    if (r < 0)
        return r;
    config.listen_address = address;
    config.controller = (struct controller_config){
        .identity = a->identity ? a->identity : state.identity,
        .lease_namespace = a->lease_namespace,
        .launcher_image = a->launcher_image,
        .launcher_command = a->launcher_command,
        .version = MLTRAIN_VERSION,
        .gpu_resources = gpus,
        .gpu_resources_count = MLT_ARRAY_LENGTH(gpus),
        .seed = seed,
        .node_loss_ms = a->node_loss_ms,
    };
    (void)uv_loop_init(&loop);
    r = open_edge(&loop, &config, &state, &edge, err);
    explicit_bzero(key, sizeof key);
    if (r == 0) {
        mlt_log(MLT_LOG_INFO, "started version=%s port=%u seed=%llu server=%s", MLTRAIN_VERSION,
                edge_port(edge), (unsigned long long)seed, kube.server);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        r = edge_exit_status(edge);
        edge_free(edge);
    }
    (void)uv_loop_close(&loop);
    kube_config_release(&kube);
    return r;
}

int main(int argc, char **argv)
{
    struct arguments a = {
        .listen = "127.0.0.1:0",
        .launcher_image = "mltrain/launcher:" MLTRAIN_VERSION,
        .launcher_command = "/mltrain-launcher",
        .lease_namespace = "mltrain-system",
        .log_level = "info",
        .ready_fd = -1,
    };
    struct mlt_error err = {0};
    enum mlt_log_level level = MLT_LOG_INFO;
    argp_program_version_hook = print_version;
    error_t bad = argp_parse(&parser, argc, argv, 0, NULL, &a);
    if (bad)
        return EXIT_FAILURE;
    (void)signal(SIGPIPE, SIG_IGN);
    mlt_log_start("mltrain-controller", level);
    if (mlt_log_level_parse(a.log_level, &level, &err) < 0) {
        (void)fprintf(stderr, "mltrain-controller: --log-level: %s\n", err.text);
        return EXIT_FAILURE;
    }
    mlt_log_start("mltrain-controller", level);
    int r = run(&a, &err);
    if (r < 0)
        mlt_log(MLT_LOG_ERROR, "cannot start error=\"%s\"", err.text);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
