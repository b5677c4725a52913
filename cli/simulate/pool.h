/* What is free on each node: the simulator's own account, beside that of any policy. It refuses to
 * give away what is not there, whoever decided so, and places pods for the policies that have no
 * placement of their own. */
#ifndef CLI_SIMULATE_POOL_H
#define CLI_SIMULATE_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include "cli/simulate/nodes.h"
#include "cli/simulate/trace.h"
#include "lib/base/error.h"

struct sim_pool {
    const struct sim_nodes *nodes;
    int64_t *devices, *cpu_milli, *memory; /* free, by node */
    uint32_t *next, *prev;                 /* nodes with equally many free devices */
    uint32_t *head;                        /* of these lists, by free devices */
    int64_t free;                          /* devices of all nodes */
    uint32_t partly; /* nodes of which some devices are free, and some are not */
};

void sim_pool_init(struct sim_pool *pool, const struct sim_nodes *nodes);
void sim_pool_release(struct sim_pool *pool);

/* Takes the places of a job: the nodes of its pods in order. -EBADMSG, and nothing is taken, when
 * something of it is not free or not allowed. */
int sim_pool_take(struct sim_pool *pool, const struct sim_shape *shape, const uint32_t *pod_nodes,
                  struct mlt_error *err) MLT_MUST_USE;
void sim_pool_give(struct sim_pool *pool, const struct sim_shape *shape, const uint32_t *pod_nodes);

/* Best fit: each pod on a node with the fewest free devices that can hold it. Writes the pods'
 * nodes and takes nothing; false when there is no room so. Role by role: with several roles, a
 * placement that exists may be missed. */
bool sim_pool_find(struct sim_pool *pool, const struct sim_shape *shape, uint32_t *ret_pod_nodes);

#endif
