/* The ledger's beginning and end, priority classes, and names that are kept once. */
#include "ledger/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/json/json.h"

const char *ledger_intern(struct ledger *l, const char *name)
{
    char *kept = ledger_map_find(&l->resources, name);
    if (!kept) {
        kept = mlt_strdup(name);
        ledger_map_put(&l->resources, name, kept);
    }
    return kept;
}

struct ledger *ledger_new(const struct ledger_config *config)
{
    assert(config->gpu_resources_count <= LEDGER_DEVICES_MAX);
    struct ledger *l = mlt_calloc(1, sizeof *l);
    for (uint32_t i = 0; i < config->gpu_resources_count; i++)
        l->gpu_resources[l->gpu_resources_count++] = ledger_intern(l, config->gpu_resources[i]);
    l->reservations = config->reservations;
    l->may_preempt = config->may_preempt;
    l->min_run_ms = config->min_run_ms;
    l->patience_ms = config->patience_ms;
    l->time_slice_ms = config->time_slice_ms;
    assert(l->reservations || !l->patience_ms);
    ledger_topology_init(l, config);
    l->ending_until_ms = INT64_MAX;
    l->stale = l->changed = true; /* the first sync makes the gang */
    return l;
}

void ledger_free(struct ledger *l)
{
    if (!l)
        return;
    struct ledger_job *job;
    struct ledger_pod *pod;
    struct ledger_node *node;
    struct ledger_priority *priority;
    char *name;
    LEDGER_MAP_EACH(&l->jobs, job)
    ledger_job_release(l, job);
    LEDGER_MAP_EACH(&l->pods, pod)
    ledger_pod_release(pod);
    LEDGER_MAP_EACH(&l->nodes, node)
    ledger_node_release(node);
    LEDGER_MAP_EACH(&l->priorities, priority)
    free(priority);
    LEDGER_MAP_EACH(&l->resources, name)
    free(name);
    struct ledger_queue *queue;
    LEDGER_MAP_EACH(&l->known_queues, queue)
    ledger_queue_release(queue);
    ledger_classes_clear(l);
    ledger_topology_release(l);
    struct ledger_map *maps[] = {&l->resources,  &l->nodes,       &l->pods,        &l->jobs,
                                 &l->jobs_by_id, &l->priorities,  &l->constraints, &l->keys,
                                 &l->queues,     &l->known_queues};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
        ledger_map_release(maps[i]);
    gang_free(l->gang);
    free(l->default_class);
    free(l->numbered);
    free(l->classes);
    free(l->dirty_nodes);
    free(l->dirty_jobs);
    free(l->refused);
    free(l->names);
    free(l);
}

/* ---- priority classes ---- */

/* A class that vanished leaves the jobs that named it as they were. */
static void priorities_changed(struct ledger *l)
{
    struct ledger_job *job;
    LEDGER_MAP_EACH(&l->jobs, job)
    {
        struct ledger_priority priority;
        if (job->state != LEDGER_ABSENT &&
            ledger_request_priority(l, &job->request, &priority, NULL) == 0 &&
            (priority.value != job->request.priority ||
             priority.never_preempts != job->request.never_preempts)) {
            job->request.priority = priority.value;
            job->request.never_preempts = priority.never_preempts;
            ledger_job_mark(l, job);
        }
    }
}

static void find_default(struct ledger *l, const char *name, bool is_default)
{
    if (is_default) {
        free(l->default_class);
        l->default_class = mlt_strdup(name);
    } else if (l->default_class && strcmp(l->default_class, name) == 0) {
        free(l->default_class);
        l->default_class = NULL;
    }
}

void ledger_priority_class(struct ledger *l, const cJSON *object)
{
    const char *name = json_string(object, "metadata.name", "");
    int64_t value = json_integer(object, "value", 0);
    if (name[0] == '\0' || value < INT32_MIN || value > INT32_MAX)
        return;
    struct ledger_priority *kept = ledger_map_find(&l->priorities, name);
    if (!kept) {
        kept = mlt_calloc(1, sizeof *kept);
        ledger_map_put(&l->priorities, name, kept);
    }
    kept->value = (int32_t)value;
    kept->never_preempts = strcmp(json_string(object, "preemptionPolicy", ""), "Never") == 0;
    find_default(l, name, json_bool(object, "globalDefault", false));
    priorities_changed(l);
}

void ledger_priority_class_gone(struct ledger *l, const char *name)
{
    free(ledger_map_find(&l->priorities, name));
    ledger_map_drop(&l->priorities, name);
    find_default(l, name, false);
    priorities_changed(l);
}
