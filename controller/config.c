/* The configuration, copied. */
#include <stdlib.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"

void config_copy(struct controller_config *to, const struct controller_config *from)
{
    *to = *from;
    if (!to->node_loss_ms)
        to->node_loss_ms = CONTROLLER_NODE_LOSS_MS;
    to->identity = mlt_strdup(from->identity);
    to->lease_namespace = mlt_strdup(from->lease_namespace);
    to->channel_address = mlt_strdup(from->channel_address);
    to->channel_service = mlt_strdup(from->channel_service);
    to->pod_ip = mlt_strdup(from->pod_ip);
    to->launcher_image = mlt_strdup(from->launcher_image);
    to->launcher_command = mlt_strdup(from->launcher_command);
    to->version = mlt_strdup(from->version);
    const char **gpus = mlt_calloc(from->gpu_resources_count + 1, sizeof *gpus);
    for (uint32_t i = 0; i < from->gpu_resources_count; i++)
        gpus[i] = mlt_strdup(from->gpu_resources[i]);
    to->gpu_resources = gpus;
}

static void free_const(const void *pointer)
{
    free((void *)(uintptr_t)pointer);
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
    for (uint32_t i = 0; i < config->gpu_resources_count; i++)
        free_const(config->gpu_resources[i]);
    free_const(config->gpu_resources);
}
