/* Admission of pods against what is left of the node (pkg/kubelet/lifecycle/predicate.go). */
#include "localcluster/agent/admission.h"

#include <inttypes.h>
#include <stdio.h>

void node_resources_add(struct node_resources *used, const struct pod_spec *spec)
{
    used->cpu_milli += pod_request(spec, "cpu");
    used->memory += pod_request(spec, "memory");
    used->gpus += pod_request(spec, NODE_GPU_RESOURCE);
    used->pods += 1;
}

bool pod_admit(const struct pod_spec *spec, const struct node_resources *allocatable,
               const struct node_resources *used, char *reason, size_t reason_size, char *message,
               size_t message_size)
{
    struct node_resources need = {0};
    node_resources_add(&need, spec);
    const struct {
        const char *name;
        int64_t asked, used, capacity;
        bool counted;
    } rows[] = {
        {"pods", need.pods, used->pods, allocatable->pods, true},
        {"cpu", need.cpu_milli, used->cpu_milli, allocatable->cpu_milli, true},
        {"memory", need.memory, used->memory, allocatable->memory, true},
        {NODE_GPU_RESOURCE, need.gpus, used->gpus, allocatable->gpus, allocatable->gpus > 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rows[i].counted || rows[i].asked == 0 ||
            rows[i].asked <= rows[i].capacity - rows[i].used)
            continue;
        (void)snprintf(reason, reason_size, "OutOf%s", rows[i].name);
        (void)snprintf(message, message_size,
                       "Node didn't have enough resource: %s, requested: %" PRId64
                       ", used: %" PRId64 ", capacity: %" PRId64,
                       rows[i].name, rows[i].asked, rows[i].used, rows[i].capacity);
        return false;
    }
    return true;
}

bool devices_pick(int64_t total, uint64_t taken, size_t count, int *ret)
{
    int picked[64];
    size_t found = 0;
    for (int i = 0; i < total && i < 64 && found < count; i++) {
        if (!(taken & (UINT64_C(1) << i)))
            picked[found++] = i;
    }
    if (found < count)
        return false;
    for (size_t i = 0; i < count; i++)
        ret[i] = picked[i];
    return true;
}
