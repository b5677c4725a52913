/* The configuration, copied, and the ledger that it asks for. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"

static const char *const *copy_list(const char *const *from, uint32_t count)
{
    const char **to = mlt_calloc(count + 1u, sizeof *to);
    for (uint32_t i = 0; i < count; i++)
        to[i] = mlt_strdup(from[i]);
    return to;
}

void config_copy(struct controller_config *to, const struct controller_config *from)
{
    *to = *from;
    if (!to->node_loss_ms)
        to->node_loss_ms = CONTROLLER_NODE_LOSS_MS;
    if (!to->look_gap_us)
        to->look_gap_us = CONTROLLER_LOOK_GAP_US;
    if (!to->min_run_ms)
        to->min_run_ms = CONTROLLER_MIN_RUN_MS;
    if (to->delivery == DELIVERY_AUTO &&
        strcmp(from->launcher_command, POD_BUILD_IMAGE_LAUNCHER) != 0)
        to->delivery = DELIVERY_INIT_CONTAINER; /* that image is another one */
    to->identity = mlt_strdup(from->identity);
    to->lease_namespace = mlt_strdup(from->lease_namespace);
    to->channel_address = mlt_strdup(from->channel_address);
    to->channel_service = mlt_strdup(from->channel_service);
    to->pod_ip = mlt_strdup(from->pod_ip);
    to->launcher_image = mlt_strdup(from->launcher_image);
    to->launcher_command = mlt_strdup(from->launcher_command);
    to->version = mlt_strdup(from->version);
    to->gpu_resources = copy_list(from->gpu_resources, from->gpu_resources_count);
    to->topology_levels = copy_list(from->topology_levels, from->topology_levels_count);
    to->pull_secrets = copy_list(from->pull_secrets, from->pull_secrets_count);
}

static void free_const(const void *pointer)
{
    free((void *)(uintptr_t)pointer);
}

static void free_list(const char *const *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free_const(list[i]);
    free_const(list);
}

void config_release(struct controller_config *config)
{
    free_const(config->identity);
    free_const(config->lease_namespace);
    free_const(config->channel_address);
    free_const(config->channel_service);
    free_const(config->pod_ip);
    free_const(config->launcher_image);
    free_const(config->launcher_command);
    free_const(config->version);
    free_list(config->gpu_resources, config->gpu_resources_count);
    free_list(config->topology_levels, config->topology_levels_count);
    free_list(config->pull_secrets, config->pull_secrets_count);
}

struct ledger *config_ledger(const struct controller_config *config)
{
    struct ledger_topology_level levels[GANG_LEVELS_MAX] = {0};
    uint32_t count = config->topology_levels_count;
    assert(count <= GANG_LEVELS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const char *text = config->topology_levels[i];
        size_t length = strcspn(text, "=");
        levels[i].name = mlt_strndup(text, length);
        levels[i].label = text[length] ? text + length + 1 : "";
    }
    struct ledger *l = ledger_new(&(struct ledger_config){
        .gpu_resources = config->gpu_resources,
        .gpu_resources_count = config->gpu_resources_count,
        .levels = levels,
        .levels_count = count,
        .reservations =
            config->patience_ms && !config->reservations ? 1 : config->reservations,
        .patience_ms = config->patience_ms,
        .time_slice_ms = config->patience_ms ? config->time_slice_ms : 0,
        .may_preempt = !config->never_preempts,
        .min_run_ms = config->min_run_ms,
    });
    for (uint32_t i = 0; i < count; i++)
        free_const(levels[i].name);
    return l;
}
