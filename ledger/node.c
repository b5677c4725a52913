/* Nodes: what a Node object says about room and about who may use it. */
#include "ledger/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/number.h"
#include "lib/json/json.h"

/* Natural order (node2 before node10), which neighbours in racks mostly follow; never equal for two
 * names. */
int ledger_node_order(const void *a, const void *b)
{
    const struct ledger_node *const *x = a, *const *y = b;
    int order = strverscmp((*x)->name, (*y)->name);
    return order ? order : strcmp((*x)->name, (*y)->name);
}

struct ledger_node *ledger_node_get(struct ledger *l, const char *name)
{
    struct ledger_node *node = ledger_map_find(&l->nodes, name);
    if (node)
        return node;
    node = mlt_calloc(1, sizeof *node);
    node->name = mlt_strdup(name);
    node->number = LEDGER_NO_NUMBER;
    ledger_map_put(&l->nodes, name, node);
    return node;
}

static void forget_object(struct ledger_node *node)
{
    cJSON_Delete(node->labels);
    cJSON_Delete(node->taints);
    cJSON_Delete(node->allocatable);
    node->labels = node->taints = node->allocatable = NULL;
    node->known = node->schedulable = node->time_sliced = false;
}

void ledger_node_release(struct ledger_node *node)
{
    forget_object(node);
    free(node->pods);
    free(node->name);
    free(node);
}

void ledger_node_mark(struct ledger *l, struct ledger_node *node)
{
    l->changed = true;
    if (node->dirty)
        return;
    node->dirty = true;
    MLT_GROW(l->dirty_nodes, l->dirty_nodes_count, l->dirty_nodes_capacity);
    l->dirty_nodes[l->dirty_nodes_count++] = node;
}

static bool is_ready(const cJSON *node)
{
    const cJSON *condition;
    cJSON_ArrayForEach(condition, json_find(node, "status.conditions"))
    {
        if (strcmp(json_string(condition, "type", ""), "Ready") == 0)
            return strcmp(json_string(condition, "status", ""), "True") == 0;
    }
    return true; /* a node that says nothing about it */
}

static bool same_or_absent(const cJSON *a, const cJSON *b)
{
    return a && b ? json_equal(a, b) : !a && !b;
}

void ledger_node(struct ledger *l, const cJSON *object, int64_t now_ms)
{
    (void)now_ms;
    const char *name = json_string(object, "metadata.name", "");
    if (name[0] == '\0')
        return;
    struct ledger_node *node = ledger_node_get(l, name);
    const cJSON *labels = json_find(object, "metadata.labels");
    const cJSON *taints = json_find(object, "spec.taints");
    const cJSON *allocatable = json_find(object, "status.allocatable");
    bool schedulable = !json_bool(object, "spec.unschedulable", false) && is_ready(object) &&
                       json_string(object, "metadata.deletionTimestamp", NULL) == NULL;
    if (node->known && node->schedulable == schedulable && same_or_absent(node->labels, labels) &&
        same_or_absent(node->taints, taints) && same_or_absent(node->allocatable, allocatable))
        return;
    forget_object(node);
    node->known = true;
    node->schedulable = schedulable;
    node->labels = json_copy(labels);
    node->taints = json_copy(taints);
    node->allocatable = json_copy(allocatable);
    int64_t replicas = 1;
    const char *text = json_string(json_member(labels, LEDGER_GPU_REPLICAS_LABEL), "", "1");
    node->time_sliced = mlt_parse_integer(text, 0, INT64_MAX, &replicas, NULL) == 0 && replicas > 1;
    ledger_node_mark(l, node);
}

void ledger_node_lost(struct ledger *l, const char *name, bool lost)
{
    struct ledger_node *node = ledger_map_find(&l->nodes, name);
    if (!node || node->lost == lost)
        return;
    node->lost = lost;
    ledger_node_mark(l, node);
}

void ledger_node_gone(struct ledger *l, const char *name, int64_t now_ms)
{
    (void)now_ms;
    struct ledger_node *node = ledger_map_find(&l->nodes, name);
    if (!node || !node->known)
        return;
    forget_object(node);
    node->lost = false;
    node->went = true;
    ledger_jobs_forget_node(l, node); /* should it come back, then as another machine */
    ledger_node_mark(l, node);
}

/* A quantity of allocatable; -1 when it is absent, 0 when it is no quantity. */
static int64_t quantity(const struct ledger_node *node, const char *resource)
{
    const cJSON *item = json_member(node->allocatable, resource);
    int64_t value = 0;
    int rc;
    if (!item)
        return -1;
    if (json_is_integer(item, &value)) {
        char text[32];
        (void)snprintf(text, sizeof text, "%lld", (long long)value);
        rc = strcmp(resource, "cpu") == 0 ? mlt_quantity_parse_milli(text, &value, NULL)
                                          : mlt_quantity_parse(text, &value, NULL);
    } else {
        const char *text = cJSON_IsString(item) ? item->valuestring : "";
        rc = strcmp(resource, "cpu") == 0 ? mlt_quantity_parse_milli(text, &value, NULL)
                                          : mlt_quantity_parse(text, &value, NULL);
    }
    return rc < 0 ? 0 : value > GANG_AMOUNT_MAX ? GANG_AMOUNT_MAX : value;
}

static int64_t or_else(int64_t quantity_or_absent, int64_t fallback)
{
    return quantity_or_absent < 0 ? fallback : quantity_or_absent;
}

void ledger_node_capacity(const struct ledger *l, const struct ledger_node *node, gang_amounts ret)
{
    memset(ret, 0, sizeof(gang_amounts));
    ret[GANG_CPU_MILLI] = or_else(quantity(node, "cpu"), 0);
    ret[GANG_MEMORY] = or_else(quantity(node, "memory"), 0);
    ret[GANG_PODS] = or_else(quantity(node, "pods"), LEDGER_DEFAULT_PODS_PER_NODE);
    for (uint32_t i = 0; i < l->devices_count; i++) {
        /* A node that does not count storage does not limit it; a device that is not named is not
         * there. */
        bool storage = strcmp(l->devices[i], LEDGER_STORAGE) == 0;
        ret[GANG_DEVICE_0 + i] =
            or_else(quantity(node, l->devices[i]), storage ? GANG_AMOUNT_MAX : 0);
    }
}

void ledger_node_others(const struct ledger *l, const struct ledger_node *node, gang_amounts ret)
{
    memset(ret, 0, sizeof(gang_amounts));
    for (uint32_t i = 0; i < node->pods_count; i++)
        if (!node->pods[i]->covered)
            ledger_use_add(l, &node->pods[i]->use, ret);
}

void ledger_node_ending(const struct ledger *l, const struct ledger_node *node, gang_amounts ret)
{
    memset(ret, 0, sizeof(gang_amounts));
    for (uint32_t i = 0; i < node->pods_count; i++)
        if (!node->pods[i]->covered && node->pods[i]->ends_ms != LEDGER_ENDED)
            ledger_use_add(l, &node->pods[i]->use, ret);
}

bool ledger_node_is_overfull(struct ledger *l, const char *name, int64_t now_ms)
{
    struct gang_node_view view;
    if (l->changed && ledger_sync(l, now_ms, NULL) < 0)
        return false; /* the next plan says why */
    const struct ledger_node *node = ledger_map_find(&l->nodes, name);
    if (!node || !node->known || node->number == LEDGER_NO_NUMBER)
        return false;
    gang_node(l->gang, node->number, &view);
    for (uint32_t r = 0; r < GANG_RESOURCES_MAX; r++)
        if (view.used_by_gangs[r] > view.capacity[r])
            return true;
    return false;
}
