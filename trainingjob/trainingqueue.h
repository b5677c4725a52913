/* A TrainingQueue as plain C data. Pure; the rules are those of crds/trainingqueues.yaml, and of
 * spec.namespaceSelector only TRAININGQUEUE_NAMESPACE_LABEL is supported yet. */
#ifndef TRAININGJOB_TRAININGQUEUE_H
#define TRAININGJOB_TRAININGQUEUE_H

#include <stdint.h>
#include "lib/base/error.h"
#include "lib/json/json.h"
#include "trainingjob/trainingjob.h"

#define TRAININGQUEUE_KIND "TrainingQueue"
#define TRAININGQUEUE_QUOTA_MAX 32
#define TRAININGQUEUE_NAMESPACE_LABEL "kubernetes.io/metadata.name" /* every namespace has it */
#define TRAININGQUEUE_WEIGHT_MAX 1000000
#define TRAININGQUEUE_JOBS_MAX 1000000

#define TRAININGQUEUE_ORDER_MAP(XX) \
    XX(FIFO, "FIFO")                \
    XX(FAIR_SHARE, "FairShare")
enum trainingqueue_order {
#define XX(name, text) TRAININGQUEUE_ORDER_##name,
    TRAININGQUEUE_ORDER_MAP(XX)
#undef XX
};

#define TRAININGQUEUE_PREEMPTION_MAP(XX) \
    XX(NEVER, "Never")                   \
    XX(LOWER_PRIORITY, "LowerPriority")  \
    XX(ANY, "Any")
enum trainingqueue_preemption {
#define XX(name, text) TRAININGQUEUE_PREEMPTION_##name,
    TRAININGQUEUE_PREEMPTION_MAP(XX)
#undef XX
};

struct trainingqueue_quota {
    const char *resource;
    int64_t nominal, borrow_limit, lend_limit; /* thousandths; TRAININGJOB_NONE: no limit */
};

struct trainingqueue {
    cJSON *object; /* owned copy without status and managedFields */
    const char *name, *uid, *resource_version;
    int64_t generation;
    const char *parent; /* NULL: none */
    int64_t weight;
    struct trainingqueue_quota *quota; /* owned */
    size_t quota_count;
    int order;                                       /* enum trainingqueue_order */
    int preemption_within, preemption_reclaim;       /* enum trainingqueue_preemption */
    int64_t max_running_jobs;                        /* 0: no limit */
    int64_t max_time_seconds;                        /* 0: no limit */
    const cJSON *namespace_selector, *node_selector; /* NULL: all */
};

int trainingqueue_read(const cJSON *object, struct trainingqueue *ret_queue,
                       struct mlt_error *err) MLT_MUST_USE;
void trainingqueue_release(struct trainingqueue *queue); /* twice is fine */

void trainingqueue_default(cJSON *object);
int trainingqueue_validate(const cJSON *object, struct mlt_error *err) MLT_MUST_USE;

#endif
