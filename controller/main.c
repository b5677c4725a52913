/* mltrain-controller: reads its arguments, opens the edge, runs the loop. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <uv.h>
#include "controller/api_right.h"
#include "controller/crd_update.h"
#include "controller/edge_uv.h"
#include "controller/options.h"
#include "controller/state_file.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/kube/transport/transport.h"

/* How long the last port is waited for: 5 s in all. */
#define PORT_RETRIES 20
#define PORT_RETRY_MS 250

static int random_bytes(void *to, size_t size, struct mlt_error *err)
{
    if (getrandom(to, size, 0) != (ssize_t)size)
        return mlt_fail(err, EIO, "no random numbers: %s", strerror(errno));
    return 0;
}

static int load_key(const struct options *a, unsigned char key[CHANNEL_KEY_SIZE],
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

static struct controller_config controller_config(const struct options *a,
                                                  const struct state_file *state, uint64_t seed)
{
    return (struct controller_config){
        .identity = a->identity ? a->identity : state->identity,
        .lease_namespace = a->lease_namespace,
        .channel_service = a->channel_service,
        .pod_ip = a->pod_ip,
        .delivery = a->delivery,
        .launcher_image = a->launcher_image,
        .launcher_command = a->launcher_command,
        .pull_secrets = a->pull_secrets,
        .pull_secrets_count = a->pull_secrets_count,
        .version = MLTRAIN_VERSION,
        .gpu_resources = a->gpu_resources,
        .gpu_resources_count = a->gpu_resources_count,
        .topology_levels = a->topology_levels,
        .topology_levels_count = a->topology_levels_count,
        .seed = seed,
        .node_loss_ms = a->node_loss_ms,
        .never_preempts = a->never_preempts,
        .min_run_ms = a->min_run_ms,
        .reservations = a->reservations,
        .patience_ms = a->patience_ms,
        .time_slice_ms = a->time_slice_ms,
    };
}

static int run(const struct options *a, struct mlt_error *err)
{
    unsigned char key[CHANNEL_KEY_SIZE];
    cleanup_free char *address = NULL, *http_address = NULL;
    struct kube_config kube = {0};
    struct state_file state = {.fd = -1};
    struct edge_config config = {
        .kube = &kube, .advertise = a->advertise, .master_key = key, .ready_fd = a->ready_fd};
    uint64_t seed;
    uv_loop_t loop;
    struct edge *edge = NULL;
    int r = options_split("--listen", a->listen, &address, &config.listen_port, err);
    if (r == 0 && a->http)
        r = options_split("--http", a->http, &http_address, &config.http_port, err);
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
    config.http_address = http_address;
    config.controller = controller_config(a, &state, seed);
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

static int update_crds(const struct options *a, struct mlt_error *err)
{
    struct kube_config kube = {0};
    int r = kube_config_load(a->kubeconfig, a->context, &kube, err);
    if (r == 0)
        r = crd_update_folder(&kube, a->update_crds, err);
    kube_config_release(&kube);
    return r;
}

/* Scope, group (core: "-"), resource, verb, "named" where the role can name the objects, reason. */
static int print_api_rights(void)
{
    const struct api_right *r;
    for (size_t i = 0; api_right_at(i); i++) {
        r = api_right_at(i);
        (void)printf("%s\t%s\t%s\t%s\t%s\t%s\n", api_scope_name(r->scope),
                     *r->group ? r->group : "-", r->resource, r->verb, r->named ? "named" : "any",
                     r->why);
    }
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct options a;
    struct mlt_error err = {0};
    enum mlt_log_level level = MLT_LOG_INFO;
    options_read(argc, argv, &a);
    if (a.print_api_rights)
        return print_api_rights();
    (void)signal(SIGPIPE, SIG_IGN);
    mlt_log_start("mltrain-controller", level);
    if (mlt_log_level_parse(a.log_level, &level, &err) < 0) {
        (void)fprintf(stderr, "mltrain-controller: --log-level: %s\n", err.text);
        return EXIT_FAILURE;
    }
    mlt_log_start("mltrain-controller", level);
    int r = a.update_crds ? update_crds(&a, &err) : run(&a, &err);
    if (r < 0)
        mlt_log(MLT_LOG_ERROR, "cannot start error=\"%s\"", err.text);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
