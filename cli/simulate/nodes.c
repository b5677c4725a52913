/* Nodes: see nodes.h and, for those that are read, readers.h. */
#include "cli/simulate/nodes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/simulate/fields.h"
#include "cli/simulate/readers.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/json/json.h"
#include "trainingjob/pod_request.h"

#define MIB (INT64_C(1) << 20)

int sim_nodes_add(struct sim_nodes *nodes, const struct sim_node *node, const char *name,
                  struct mlt_error *err)
{
    if (nodes->count >= SIM_NODES_MAX)
        return mlt_fail(err, E2BIG, "more than %d nodes", SIM_NODES_MAX);
    uint32_t before = nodes->capacity;
    MLT_GROW(nodes->node, nodes->count, nodes->capacity);
    if (name && nodes->capacity != before)
        nodes->name = mlt_realloc(nodes->name, nodes->capacity, sizeof *nodes->name);
    if (name)
        nodes->name[nodes->count] = mlt_strdup(name);
    nodes->node[nodes->count++] = *node;
    nodes->devices += node->devices;
    if (node->devices > nodes->largest)
        nodes->largest = node->devices;
    return 0;
}

int sim_nodes_parse(const char *text, struct sim_nodes *ret_nodes, struct mlt_error *err)
{
    const char *x = strchr(text, 'x');
    int64_t count = 0, devices = 0;
    if (!x ||
        sim_integer((struct sim_piece){text, (size_t)(x - text)}, "nodes", 1, SIM_NODES_MAX, &count,
                    NULL) < 0 ||
        sim_integer((struct sim_piece){x + 1, strlen(x + 1)}, "devices", 1, SIM_NODE_DEVICES_MAX,
                    &devices, NULL) < 0)
        return mlt_fail(err, EINVAL,
                        "`%s`: expected NxM, N nodes (to %d) of M devices (to %d), or a file", text,
                        SIM_NODES_MAX, SIM_NODE_DEVICES_MAX);
    struct sim_node node = {.devices = devices,
                            .cpu_milli = SIM_PLENTY,
                            .memory = SIM_PLENTY,
                            .model = SIM_NO_MODEL,
                            .rack = SIM_NO_RACK};
    *ret_nodes = (struct sim_nodes){0};
    for (int64_t i = 0; i < count; i++) {
        int rc = sim_nodes_add(ret_nodes, &node, NULL, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void sim_nodes_make_racks(struct sim_nodes *nodes, uint32_t per_rack)
{
    for (uint32_t i = 0; i < nodes->count; i++)
        nodes->node[i].rack = i / per_rack;
    nodes->racks = (nodes->count + per_rack - 1) / per_rack;
}

void sim_nodes_release(struct sim_nodes *nodes)
{
    for (uint32_t i = 0; nodes->name && i < nodes->count; i++)
        free(nodes->name[i]);
    for (uint32_t i = 0; nodes->object && i < nodes->count; i++)
        cJSON_Delete(nodes->object[i]);
    free(nodes->object);
    free(nodes->name);
    free(nodes->node);
    *nodes = (struct sim_nodes){0};
}

void sim_node_name(const struct sim_nodes *nodes, uint32_t node, char *text)
{
    if (nodes->name)
        (void)snprintf(text, SIM_NAME_MAX, "%s", nodes->name[node]);
    else
        (void)snprintf(text, SIM_NAME_MAX, "node-%" PRIu32, node);
}

/* ---- Alibaba's list ---- */

static const char *const openb_columns[] = {"sn", "cpu_milli", "memory_mib", "gpu", "model"};
enum { OPENB_SN, OPENB_CPU, OPENB_MEMORY, OPENB_GPU, OPENB_MODEL, OPENB_COUNT };

static int openb_line(struct sim_piece line, const size_t *columns, struct sim_names *models,
                      struct sim_nodes *nodes, struct mlt_error *err)
{
    struct sim_piece fields[SIM_COLUMNS_MAX], of[OPENB_COUNT];
    size_t count = sim_split_commas(line, fields);
    for (size_t i = 0; i < OPENB_COUNT; i++) {
        if (columns[i] >= count)
            return mlt_fail(err, EINVAL, "%zu fields, expected at least %zu", count,
                            columns[i] + 1);
        of[i] = fields[columns[i]];
    }
    struct sim_node node = {.model = SIM_NO_MODEL, .rack = SIM_NO_RACK};
    int64_t mib = 0;
    int rc = sim_integer(of[OPENB_CPU], "cpu_milli", 0, SIM_PLENTY, &node.cpu_milli, err);
    if (rc == 0)
        rc = sim_integer(of[OPENB_MEMORY], "memory_mib", 0, SIM_PLENTY / MIB, &mib, err);
    if (rc == 0)
        rc = sim_integer(of[OPENB_GPU], "gpu", 0, SIM_NODE_DEVICES_MAX, &node.devices, err);
    if (rc < 0)
        return rc;
    node.memory = mib * MIB;
    if (node.devices == 0) {
        nodes->left_out++;
        return 0;
    }
    if (of[OPENB_MODEL].length > 0)
        rc = sim_names_add(models, of[OPENB_MODEL].at, of[OPENB_MODEL].length, SIM_MODELS_MAX,
                           &node.model, err);
    if (rc < 0)
        return mlt_fail_in(err, "model");
    if (of[OPENB_SN].length == 0 || of[OPENB_SN].length >= SIM_NAME_MAX)
        return mlt_fail(err, EINVAL, "sn: %zu bytes, expected 1 to %d", of[OPENB_SN].length,
                        SIM_NAME_MAX - 1);
    cleanup_free char *name = mlt_strndup(of[OPENB_SN].at, of[OPENB_SN].length);
    return sim_nodes_add(nodes, &node, name, err);
}

static int read_openb(const char *data, size_t length, struct sim_names *models,
                      struct sim_nodes *nodes, struct mlt_error *err)
{
    struct sim_lines lines = {data, data + length, 0};
    struct sim_piece line = {data, 0};
    size_t columns[OPENB_COUNT];
    int rc = sim_lines_next(&lines, &line, err);
    if (rc >= 0)
        rc = sim_columns(line, openb_columns, OPENB_COUNT, columns, err);
    while (rc >= 0) {
        rc = sim_lines_next(&lines, &line, err);
        if (rc <= 0)
            return rc;
        if (line.length == 0)
            continue;
        rc = openb_line(line, columns, models, nodes, err);
        if (rc < 0)
            return mlt_fail_in(err, "line %" PRIu64, lines.number);
    }
    return rc;
}

/* ---- Kubernetes ---- */

static int allocatable(const cJSON *node, struct sim_node *ret, struct mlt_error *err)
{
    static const char *const paths[] = {"status.allocatable[cpu]", "status.allocatable[memory]"};
    int64_t value[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        const char *text = json_string(node, paths[i], "0");
        int rc = i == 0 ? mlt_quantity_parse_milli(text, &value[i], err)
                        : mlt_quantity_parse(text, &value[i], err);
        if (rc < 0)
            return mlt_fail_in(err, "%s", paths[i]);
        if (value[i] > SIM_PLENTY)
            return mlt_fail(err, ERANGE, "%s: `%s` is too much", paths[i], text);
    }
    const cJSON *each, *all = json_find(node, "status.allocatable");
    cJSON_ArrayForEach(each, all)
    {
        int64_t devices = 0;
        if (!each->string || !pod_request_is_gpu(each->string) || !cJSON_IsString(each))
            continue;
        if (mlt_quantity_parse(each->valuestring, &devices, err) < 0)
            return mlt_fail_in(err, "status.allocatable[%s]", each->string);
        if (devices > SIM_NODE_DEVICES_MAX - ret->devices)
            return mlt_fail(err, ERANGE, "status.allocatable[%s]: `%s`, expected at most %d",
                            each->string, each->valuestring, SIM_NODE_DEVICES_MAX);
        ret->devices += devices;
    }
    ret->cpu_milli = value[0];
    ret->memory = value[1];
    return 0;
}

static int kubernetes_node(const cJSON *object, struct sim_names *models, struct sim_names *racks,
                           struct sim_nodes *nodes, struct mlt_error *err)
{
    struct sim_node node = {.model = SIM_NO_MODEL, .rack = SIM_NO_RACK};
    const char *name = json_string(object, "metadata.name", "");
    if (!*name || strlen(name) >= SIM_NAME_MAX)
        return mlt_fail(err, EINVAL, "metadata.name: expected 1 to %d bytes", SIM_NAME_MAX - 1);
    int rc = allocatable(object, &node, err);
    if (rc < 0)
        return mlt_fail_in(err, "node %s", name);
    if (node.devices == 0 || json_bool(object, "spec.unschedulable", false)) {
        nodes->left_out++;
        return 0;
    }
    const char *model = json_string(object, "metadata.labels[nvidia.com/gpu.product]", "");
    const char *rack = json_string(object, "metadata.labels[mltrain.io/rack]", "");
    if (*model)
        rc = sim_names_add(models, model, strlen(model), SIM_MODELS_MAX, &node.model, err);
    if (rc == 0 && *rack)
        rc = sim_names_add(racks, rack, strlen(rack), SIM_NODES_MAX, &node.rack, err);
    if (rc == 0)
        rc = sim_nodes_add(nodes, &node, name, err);
    if (rc < 0)
        return mlt_fail_in(err, "node %s", name);
    nodes->object = mlt_realloc(nodes->object, nodes->capacity, sizeof(cJSON *));
    nodes->object[nodes->count - 1] = json_copy(object);
    return 0;
}

static int read_kubernetes(const char *data, size_t length, struct sim_names *models,
                           struct sim_nodes *nodes, struct mlt_error *err)
{
    cJSON *documents cleanup_json = NULL;
    struct sim_names racks = {0};
    int rc = json_parse_yaml(data, length, &documents, err);
    const cJSON *document, *item;
    cJSON_ArrayForEach(document, documents)
    {
        const cJSON *items = json_member(document, "items");
        if (rc == 0 && !items && strcmp(json_string(document, "kind", ""), "Node") != 0)
            rc = mlt_fail(err, EINVAL, "kind: `%.40s`, expected Node, NodeList or List",
                          json_string(document, "kind", ""));
        if (rc == 0 && !items)
            rc = kubernetes_node(document, models, &racks, nodes, err);
        cJSON_ArrayForEach(item, items) if (rc == 0) rc =
            kubernetes_node(item, models, &racks, nodes, err);
    }
    nodes->racks = racks.count;
    sim_names_release(&racks);
    return rc;
}

int sim_nodes_read(const char *data, size_t length, struct sim_names *models,
                   struct sim_nodes *ret_nodes, struct mlt_error *err)
{
    struct sim_nodes nodes = {0};
    bool openb = length >= 3 && memcmp(data, "sn,", 3) == 0;
    int rc = openb ? read_openb(data, length, models, &nodes, err)
                   : read_kubernetes(data, length, models, &nodes, err);
    if (rc == 0 && nodes.count == 0)
        rc = mlt_fail(err, EINVAL, "no node with a GPU, expected at least one");
    if (rc < 0) {
        sim_nodes_release(&nodes);
        return rc;
    }
    *ret_nodes = nodes;
    return 0;
}
