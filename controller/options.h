/* The arguments of mltrain-controller. Part of the edge. */
#ifndef CONTROLLER_OPTIONS_H
#define CONTROLLER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include "controller/delivery.h"
#include "lib/base/error.h"

#define OPTIONS_GPU_RESOURCES_MAX 32
#define OPTIONS_PULL_SECRETS_MAX 8
#define OPTIONS_TOPOLOGY_LEVELS_MAX 8
#define OPTIONS_MIN_RUN_MAX (7 * 24 * 60 * 60)    /* seconds */
#define OPTIONS_PATIENCE_MAX 8760                 /* hours: a year */
#define OPTIONS_TIME_SLICE_MAX (7 * 24 * 60 * 60) /* seconds */

struct options {
    const char *kubeconfig, *context;
    const char *listen, *advertise;
    const char *http; /* NULL: no HTTP server */
    const char *channel_service, *pod_ip;
    const char *master_key_file;
    const char *launcher_image, *launcher_command;
    enum delivery delivery;
    const char *pull_secrets[OPTIONS_PULL_SECRETS_MAX + 1];
    uint32_t pull_secrets_count;
    const char *gpu_resources[OPTIONS_GPU_RESOURCES_MAX + 1];
    uint32_t gpu_resources_count;
    const char *topology_levels[OPTIONS_TOPOLOGY_LEVELS_MAX + 1]; /* NAME=LABEL, wide to narrow */
    uint32_t topology_levels_count;
    const char *lease_namespace, *identity;
    const char *log_level;
    int ready_fd;
    int64_t node_loss_ms;
    bool never_preempts;
    int64_t min_run_ms; /* 0: the default */
    uint32_t reservations;
    int64_t patience_ms, time_slice_ms;
    bool print_api_rights;   /* print them and exit */
    const char *update_crds; /* a folder: update them and exit; NULL: no */
};

/* Reads the arguments and fills in defaults; ends the process on --help, --version and mistakes.
 * Strings point into argv. */
void options_read(int argc, char **argv, struct options *ret);

/* "127.0.0.1:0" or "[::1]:0" into a numeric address, which the caller frees, and a port. `option`
 * names the argument in errors. */
int options_split(const char *option, const char *text, char **ret_address, uint16_t *ret_port,
                  struct mlt_error *err) MLT_MUST_USE;

#endif
