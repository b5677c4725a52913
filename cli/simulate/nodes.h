/* The cluster of a simulation: nodes with their amounts, kind and rack. */
#ifndef CLI_SIMULATE_NODES_H
#define CLI_SIMULATE_NODES_H

#include <stdint.h>
#include "cli/simulate/trace.h"
#include "lib/base/error.h"
#include "lib/json/json.h"

#define SIM_NODES_MAX 1000000     /* as GANG_NODES_MAX */
#define SIM_NODE_DEVICES_MAX 4096 /* of one node */
#define SIM_NO_RACK UINT32_MAX
#define SIM_NO_MODEL UINT32_MAX
#define SIM_PLENTY (INT64_C(1) << 50) /* of what a list of nodes does not speak of */

struct sim_node {
    int64_t devices, cpu_milli, memory; /* memory in bytes */
    uint32_t model;                     /* number in the trace's models; SIM_NO_MODEL */
    uint32_t rack;                      /* SIM_NO_RACK */
};

struct sim_nodes {
    struct sim_node *node;
    char **name;    /* NULL: nodes have numbers only */
    cJSON **object; /* Kubernetes Nodes; NULL: they are none */
    uint32_t count, capacity, racks;
    int64_t devices, largest; /* of all; of the largest node */
    uint32_t left_out;        /* nodes without a device, or not schedulable */
};

/* "72x8": 72 nodes of 8 devices. -EINVAL. */
int sim_nodes_parse(const char *text, struct sim_nodes *ret_nodes,
                    struct mlt_error *err) MLT_MUST_USE;
/* Appends one; name may be NULL (for all or none). -E2BIG. */
int sim_nodes_add(struct sim_nodes *nodes, const struct sim_node *node, const char *name,
                  struct mlt_error *err) MLT_MUST_USE;
/* Puts every `per_rack` nodes in order into a rack of their own. */
void sim_nodes_make_racks(struct sim_nodes *nodes, uint32_t per_rack);
void sim_nodes_release(struct sim_nodes *nodes);
/* "node-7" or the node's own name, in `text` of SIM_NAME_MAX bytes. */
void sim_node_name(const struct sim_nodes *nodes, uint32_t node, char *text);

#endif
