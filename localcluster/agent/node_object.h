/* The Node and Lease objects of this node. Pure. */
#ifndef LOCALCLUSTER_AGENT_NODE_OBJECT_H
#define LOCALCLUSTER_AGENT_NODE_OBJECT_H

#include <cjson/cJSON.h>
#include <stdint.h>
#include "localcluster/agent/admission.h"

/* What nodeInfo says; strings are borrowed. */
#define NODE_RACK_LABEL "mltrain.io/rack"

struct node_facts {
    const char *name, *host_name; /* the machine's */
    const char *machine_id, *boot_id, *kernel, *os_image;
    const char *gpu_model; /* "" without real GPUs */
    const char *rack;      /* NULL: none */
    const char *lease_namespace;
    struct node_resources capacity;
};

/* The object for the first creation; the caller frees. */
cJSON *node_object(const struct node_facts *facts);

/* The merge patch of labels for a node that exists already. */
cJSON *node_labels_patch(const struct node_facts *facts);

/* The merge patch of the status; `ready_since` is the RFC 3339 time of the Ready condition. */
cJSON *node_status_patch(const struct node_facts *facts, const char *ready_since, int64_t wall_ms);

/* A Lease, also right as a merge patch. */
cJSON *node_lease(const char *node, int64_t seconds, int64_t wall_us);

#endif
