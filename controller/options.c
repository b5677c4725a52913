/* Arguments: their table, their defaults, and what is wrong with them. See options.h. */
#include "controller/options.h"

#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/controller.h"
#include "controller/pod_build.h"
#include "gang/gang.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"

enum option_key {
    OPTION_KUBECONFIG = 256,
    OPTION_CONTEXT,
    OPTION_LISTEN,
    OPTION_ADVERTISE,
    OPTION_HTTP,
    OPTION_CHANNEL_SERVICE,
    OPTION_POD_IP,
    OPTION_MASTER_KEY_FILE,
    OPTION_LAUNCHER_IMAGE,
    OPTION_LAUNCHER_COMMAND,
    OPTION_LAUNCHER_DELIVERY,
    OPTION_LAUNCHER_PULL_SECRET,
    OPTION_GPU_RESOURCE,
    OPTION_TOPOLOGY_LEVEL,
    OPTION_LEASE_NAMESPACE,
    OPTION_IDENTITY,
    OPTION_READY_FD,
    OPTION_NODE_LOSS_TIMEOUT,
    OPTION_NO_PREEMPTION,
    OPTION_PREEMPTION_MIN_RUN,
    OPTION_RESERVATIONS,
    OPTION_PATIENCE,
    OPTION_TIME_SLICE,
    OPTION_LOG_LEVEL,
    OPTION_PRINT_API_RIGHTS,
    OPTION_UPDATE_CRDS,
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
    {"http", OPTION_HTTP, "IP:PORT", 0,
     "Where /metrics, /healthz and /readyz are served (default: nowhere)", 0},
    {"channel-service", OPTION_CHANNEL_SERVICE, "NAME", 0,
     "Service without a selector in --lease-namespace whose address is that of --advertise: the "
     "leader makes it lead to --pod-ip (default: none)",
     0},
    {"pod-ip", OPTION_POD_IP, "IP", 0, "Address of this pod, for --channel-service", 0},
    {"master-key-file", OPTION_MASTER_KEY_FILE, "FILE", 0,
     "32 bytes from which the keys of all jobs are derived; made when it is missing", 0},
    {"launcher-image", OPTION_LAUNCHER_IMAGE, "IMAGE", 0,
     "Image that brings the launcher into the pods of jobs", 0},
    {"launcher-delivery", OPTION_LAUNCHER_DELIVERY, "HOW", 0,
     "imageVolume: that image is mounted, which is faster and needs Kubernetes' feature gate "
     "ImageVolume and a container runtime that can; initContainer: one copies it into the pod; "
     "auto (default): it is mounted when every node tells Kubernetes 1.35 and containerd 2.1 or "
     "newer, and copied when not, or when mounting it has failed",
     0},
    {"launcher-command", OPTION_LAUNCHER_COMMAND, "PATH", 0,
     "The launcher in that image (default " POD_BUILD_IMAGE_LAUNCHER
     "; only that one can be mounted)",
     0},
    {"launcher-pull-secret", OPTION_LAUNCHER_PULL_SECRET, "NAME", 0,
     "Secret in the job's namespace with which that image is pulled; may be given several times",
     0},
    {"gpu-resource", OPTION_GPU_RESOURCE, "NAME", 0,
     "Extended resource that counts as GPUs; may be given several times (default nvidia.com/gpu, "
     "amd.com/gpu and nvidia.com/gpu.shared)",
     0},
    {"topology-level", OPTION_TOPOLOGY_LEVEL, "NAME=LABEL", 0,
     "Level of the network and the node label that tells its domains; may be given several times, "
     "from wide to narrow",
     0},
    {"lease-namespace", OPTION_LEASE_NAMESPACE, "NAMESPACE", 0,
     "Where the Lease mltrain-controller lives (default mltrain-system)", 0},
    {"identity", OPTION_IDENTITY, "NAME", 0,
     "This process in the lease; must differ between controllers (default: made up)", 0},
    {"node-loss-timeout", OPTION_NODE_LOSS_TIMEOUT, "SECONDS", 0,
     "From the last word of a launcher to the loss of its node, while the node's Lease is not "
     "renewed (16 to 3600, default 20)",
     0},
    {"no-preemption", OPTION_NO_PREEMPTION, NULL, 0,
     "Ask no job to make way for another, whatever PriorityClasses and TrainingQueues say", 0},
    {"preemption-min-run", OPTION_PREEMPTION_MIN_RUN, "SECONDS", 0,
     "Leave a job that has made way alone for so long in its next place, and until it has saved "
     "once "
     "(1 to 604800, default 600)",
     0},
    {"reservations", OPTION_RESERVATIONS, "N", 0,
     "Reserve the start of so many jobs that wait for room, and let others start before it; those "
     "without a time limit make way when it comes (0 to 32, default 1; 0: strict order)",
     0},
    {"patience", OPTION_PATIENCE, "HOURS", 0,
     "Start jobs in the order of least expected work, and reserve a start for those that have "
     "waited "
     "so long (0 to 8760, default 0: no)",
     0},
    {"time-slice", OPTION_TIME_SLICE, "SECONDS", 0,
     "With --patience: ask a job without a time limit that has run so long to make way for one "
     "that "
     "has run at most half as long (0 to 604800, default 0: no)",
     0},
    {"ready-fd", OPTION_READY_FD, "N", 0, "Gets a newline when the channel is open", 0},
    {"log-level", OPTION_LOG_LEVEL, "LEVEL", 0, "error, warning, info (default) or debug", 0},
    {"print-api-rights", OPTION_PRINT_API_RIGHTS, NULL, 0,
     "Print what it asks of the API server, a line for each verb, and exit", 0},
    {"update-crds", OPTION_UPDATE_CRDS, "FOLDER", 0,
     "Bring the CustomResourceDefinitions of the cluster up to those in FOLDER, never back, and "
     "exit",
     0},
    {0},
};

static void add(const char **list, uint32_t *count, uint32_t max, char *value,
                struct argp_state *state)
{
    if (*count == max)
        argp_error(state, "more than %u of one kind: `%s`", max, value);
    list[(*count)++] = value;
}

/* Options whose value is kept as it is. */
static const char **text_option(struct options *o, int key)
{
    switch (key) {
    case OPTION_KUBECONFIG:
        return &o->kubeconfig;
    case OPTION_CONTEXT:
        return &o->context;
    case OPTION_LISTEN:
        return &o->listen;
    case OPTION_ADVERTISE:
        return &o->advertise;
    case OPTION_HTTP:
        return &o->http;
    case OPTION_CHANNEL_SERVICE:
        return &o->channel_service;
    case OPTION_POD_IP:
        return &o->pod_ip;
    case OPTION_MASTER_KEY_FILE:
        return &o->master_key_file;
    case OPTION_LAUNCHER_IMAGE:
        return &o->launcher_image;
    case OPTION_LAUNCHER_COMMAND:
        return &o->launcher_command;
    case OPTION_LEASE_NAMESPACE:
        return &o->lease_namespace;
    case OPTION_UPDATE_CRDS:
        return &o->update_crds;
    case OPTION_IDENTITY:
        return &o->identity;
    case OPTION_LOG_LEVEL:
        return &o->log_level;
    default:
        return NULL;
    }
}

static bool is_ip(const char *text)
{
    unsigned char binary[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, text, binary) == 1 || inet_pton(AF_INET6, text, binary) == 1;
}

/* "$(NAME)" is what a pod gets in place of a variable that was not there when it started. */
static void check_addresses(const struct options *o, struct argp_state *state)
{
    if (o->advertise && !is_ip(o->advertise))
        argp_failure(state, EXIT_FAILURE, 0, "--advertise: `%s` is not an IP address%s",
                     o->advertise,
                     strncmp(o->advertise, "$(", 2) == 0
                         ? ": the node does not know the Service of the channel yet; started "
                           "again, this controller will find it"
                         : "");
    if (o->pod_ip && !is_ip(o->pod_ip))
        argp_error(state, "--pod-ip: `%s` is not an IP address", o->pod_ip);
    if (o->channel_service && !o->pod_ip)
        argp_error(state, "--channel-service needs --pod-ip");
}

/* Two levels of one name, or of one label, could not be told apart. */
static void check_level(const struct options *o, const char *value, struct argp_state *state)
{
    size_t length = strcspn(value, "=");
    if (length == 0 || !value[length] || !value[length + 1])
        argp_error(state, "--topology-level: `%s` is not NAME=LABEL", value);
    for (uint32_t i = 0; i < o->topology_levels_count; i++) {
        const char *other = o->topology_levels[i];
        if (strncmp(other, value, length + 1) == 0 ||
            strcmp(strchr(other, '='), value + length) == 0)
            argp_error(state, "--topology-level: `%s` and `%s` have one name or one label", other,
                       value);
    }
}

static void check_delivery(const struct options *o, struct argp_state *state)
{
    if (o->delivery == DELIVERY_IMAGE_VOLUME &&
        strcmp(o->launcher_command, POD_BUILD_IMAGE_LAUNCHER) != 0)
        argp_error(state,
                   "--launcher-delivery imageVolume needs the launcher at " POD_BUILD_IMAGE_LAUNCHER
                   " of its image, not --launcher-command %s",
                   o->launcher_command);
}

static void parse_delivery(struct options *o, const char *value, struct argp_state *state)
{
    struct mlt_error err = {0};
    if (delivery_read(value, &o->delivery, &err) < 0)
        argp_error(state, "--launcher-delivery: %s", err.text);
}

static void check_policy(const struct options *o, struct argp_state *state)
{
    if (o->time_slice_ms && !o->patience_ms)
        argp_error(state, "--time-slice needs --patience");
}

/* A whole number from an option's argument; ends the program with words when it is none. */
static int64_t whole_number(struct argp_state *state, const char *name, const char *value,
                            int64_t min, int64_t max)
{
    struct mlt_error err = {0};
    int64_t number = min;
    if (mlt_parse_integer(value, min, max, &number, &err) < 0)
        argp_error(state, "%s: %s", name, err.text);
    return number;
}

/* Options of who starts and who makes way; false: it is none of them. */
static bool parse_policy(struct options *o, int key, const char *value, struct argp_state *state)
{
    switch (key) {
    case OPTION_NO_PREEMPTION:
        o->never_preempts = true;
        return true;
    case OPTION_PREEMPTION_MIN_RUN:
        o->min_run_ms =
            whole_number(state, "--preemption-min-run", value, 1, OPTIONS_MIN_RUN_MAX) * 1000;
        return true;
    case OPTION_RESERVATIONS:
        o->reservations =
            (uint32_t)whole_number(state, "--reservations", value, 0, GANG_RESERVATIONS_MAX);
        return true;
    case OPTION_PATIENCE:
        o->patience_ms =
            whole_number(state, "--patience", value, 0, OPTIONS_PATIENCE_MAX) * 60 * 60 * 1000;
        return true;
    case OPTION_TIME_SLICE:
        o->time_slice_ms =
            whole_number(state, "--time-slice", value, 0, OPTIONS_TIME_SLICE_MAX) * 1000;
        return true;
    default:
        return false;
    }
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct options *o = state->input;
    const char **text = text_option(o, key);
    if (text) {
        *text = value;
        return 0;
    }
    if (parse_policy(o, key, value, state))
        return 0;
    switch (key) {
    case OPTION_NODE_LOSS_TIMEOUT:
        o->node_loss_ms =
            whole_number(state, "--node-loss-timeout", value, CONTROLLER_NODE_LOSS_MS_MIN / 1000,
                         CONTROLLER_NODE_LOSS_MS_MAX / 1000) *
            1000;
        break;
    case OPTION_READY_FD:
        o->ready_fd = (int)whole_number(state, "--ready-fd", value, 0, 1 << 20);
        break;
    case OPTION_LAUNCHER_DELIVERY:
        parse_delivery(o, value, state);
        break;
    case OPTION_LAUNCHER_PULL_SECRET:
        add(o->pull_secrets, &o->pull_secrets_count, OPTIONS_PULL_SECRETS_MAX, value, state);
        break;
    case OPTION_GPU_RESOURCE:
        add(o->gpu_resources, &o->gpu_resources_count, OPTIONS_GPU_RESOURCES_MAX, value, state);
        break;
    case OPTION_TOPOLOGY_LEVEL:
        check_level(o, value, state);
        add(o->topology_levels, &o->topology_levels_count, OPTIONS_TOPOLOGY_LEVELS_MAX, value,
            state);
        break;
    case OPTION_PRINT_API_RIGHTS:
        o->print_api_rights = true;
        break;
    case ARGP_KEY_END:
        check_addresses(o, state);
        check_policy(o, state);
        check_delivery(o, state);
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

void options_read(int argc, char **argv, struct options *ret)
{
    static const char *const gpus[] = {"nvidia.com/gpu", "amd.com/gpu", "nvidia.com/gpu.shared"};
    struct options o = {
        .listen = "127.0.0.1:0",
        .launcher_image = "mltrain/launcher:" MLTRAIN_VERSION,
        .launcher_command = POD_BUILD_IMAGE_LAUNCHER,
        .delivery = DELIVERY_AUTO,
        .lease_namespace = "mltrain-system",
        .log_level = "info",
        .reservations = CONTROLLER_RESERVATIONS,
        .ready_fd = -1,
    };
    argp_program_version_hook = print_version;
    if (argp_parse(&parser, argc, argv, 0, NULL, &o))
        exit(EXIT_FAILURE);
    if (!o.gpu_resources_count) {
        memcpy(o.gpu_resources, gpus, sizeof gpus);
        o.gpu_resources_count = MLT_ARRAY_LENGTH(gpus);
    }
    *ret = o;
}

int options_split(const char *option, const char *text, char **ret_address, uint16_t *ret_port,
                  struct mlt_error *err)
{
    const char *colon = strrchr(text, ':');
    int64_t port;
    if (!colon || colon == text)
        return mlt_fail(err, EINVAL, "%s: `%s` is not IP:PORT", option, text);
    if (mlt_parse_integer(colon + 1, 0, 65535, &port, err) < 0)
        return mlt_fail_in(err, "%s", option);
    size_t length = (size_t)(colon - text);
    bool brackets = text[0] == '[' && text[length - 1] == ']' && length > 2;
    *ret_address = brackets ? mlt_strndup(text + 1, length - 2) : mlt_strndup(text, length);
    *ret_port = (uint16_t)port;
    return 0;
}
