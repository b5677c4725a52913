/* Reads and validates a TrainingQueue. Source of the rules: crds/trainingqueues.yaml. */
#include <errno.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/name.h"
#include "trainingjob/object.h"
#include "trainingjob/spec_fields.h"
#include "trainingjob/trainingqueue.h"

#define XX(name, text) text,
static const char *const order_names[] = {TRAININGQUEUE_ORDER_MAP(XX) NULL};
static const char *const preemption_names[] = {TRAININGQUEUE_PREEMPTION_MAP(XX) NULL};
#undef XX

static const struct field quota_list[] = {
    {.name = "resource",
     .kind = FIELD_STRING,
     FIELD_AT(struct trainingqueue_quota, resource),
     .required = true,
     .min = 1,
     .max = 316},
    {.name = "nominal",
     .kind = FIELD_QUANTITY,
     FIELD_AT(struct trainingqueue_quota, nominal),
     .required = true},
    {.name = "borrowLimit",
     .kind = FIELD_QUANTITY,
     FIELD_AT(struct trainingqueue_quota, borrow_limit),
     .absent = TRAININGJOB_NONE},
    {.name = "lendLimit",
     .kind = FIELD_QUANTITY,
     FIELD_AT(struct trainingqueue_quota, lend_limit),
     .absent = TRAININGJOB_NONE},
};
static const struct field_table quota_fields = FIELD_TABLE(struct trainingqueue_quota, quota_list);

/* Within a queue jobs of one priority are asked to leave for nobody. */
static const uint32_t within_queue_supported =
    1u << TRAININGQUEUE_PREEMPTION_NEVER | 1u << TRAININGQUEUE_PREEMPTION_LOWER_PRIORITY;

static const struct field preemption_list[] = {
    {.name = "withinQueue",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingqueue, preemption_within),
     .names = preemption_names,
     .supported = &within_queue_supported,
     .has_default = true},
    {.name = "reclaim",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingqueue, preemption_reclaim),
     .names = preemption_names,
     .has_default = true},
};
static const struct field_table preemption_fields =
    FIELD_TABLE(struct trainingqueue, preemption_list);

static const struct field queue_list[] = {
    {.name = "parent",
     .kind = FIELD_STRING,
     FIELD_AT(struct trainingqueue, parent),
     .min = 1,
     .max = TRAININGJOB_QUEUE_NAME_MAX},
    {.name = "weight",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingqueue, weight),
     .min = 1,
     .max = TRAININGQUEUE_WEIGHT_MAX,
     .absent = 1,
     .has_default = true},
    {.name = "quota",
     .kind = FIELD_LIST,
     FIELD_AT(struct trainingqueue, quota),
     FIELD_COUNT_AT(struct trainingqueue, quota_count),
     .max = TRAININGQUEUE_QUOTA_MAX,
     .table = &quota_fields},
    {.name = "order",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingqueue, order),
     .names = order_names,
     .has_default = true},
    {.name = "preemption", .kind = FIELD_OBJECT, .table = &preemption_fields},
    {.name = "namespaceSelector",
     .kind = FIELD_TREE,
     FIELD_AT(struct trainingqueue, namespace_selector)},
    {.name = "maxRunningJobs",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingqueue, max_running_jobs),
     .min = 1,
     .max = TRAININGQUEUE_JOBS_MAX},
    {.name = "maxTimeSeconds",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingqueue, max_time_seconds),
     .min = 1,
     .max = TRAININGJOB_SECONDS_MAX},
    {.name = "nodeSelector", .kind = FIELD_TREE, FIELD_AT(struct trainingqueue, node_selector)},
};
const struct field_table trainingqueue_fields = FIELD_TABLE(struct trainingqueue, queue_list);

int trainingqueue_read(const cJSON *object, struct trainingqueue *ret_queue, struct mlt_error *err)
{
    int rc = trainingjob_check_kind(object, TRAININGQUEUE_KIND, err);
    if (rc < 0)
        return rc;
    struct trainingqueue queue = {.object = trainingjob_copy_object(object)};
    const cJSON *spec = NULL;
    fields_init(&trainingqueue_fields, &queue);
    rc = json_read_object(queue.object, "", "spec", &spec, err);
    if (rc > 0)
        rc = fields_read(&trainingqueue_fields, spec, "spec", &queue, err);
    if (rc < 0) {
        trainingqueue_release(&queue);
        return rc;
    }
    queue.name = json_string(queue.object, "metadata.name", "");
    queue.uid = json_string(queue.object, "metadata.uid", "");
    queue.resource_version = json_string(queue.object, "metadata.resourceVersion", "");
    queue.generation = json_integer(queue.object, "metadata.generation", 0);
    *ret_queue = queue;
    return 0;
}

void trainingqueue_release(struct trainingqueue *queue)
{
    if (!queue->object)
        return;
    fields_release(&trainingqueue_fields, queue);
    cJSON_Delete(queue->object);
    *queue = (struct trainingqueue){0};
}

void trainingqueue_default(cJSON *object)
{
    fields_default(&trainingqueue_fields, json_member(object, "spec"));
}

/* No labels of namespaces are known here, but their names, which this label repeats. */
static int check_namespaces(const cJSON *selector, struct mlt_error *err)
{
    static const char where[] = "spec.namespaceSelector", only[] = TRAININGQUEUE_NAMESPACE_LABEL;
    const cJSON *item;
    cJSON_ArrayForEach(item, json_member(selector, "matchLabels"))
    {
        const char *key = item->string ? item->string : ""; /* none in a list */
        if (strcmp(key, only) != 0)
            return mlt_fail(err, EINVAL, "%s.matchLabels: `%.80s`: only %s is supported yet", where,
                            key, only);
    }
    cJSON_ArrayForEach(item, json_member(selector, "matchExpressions"))
    {
        if (strcmp(json_string(item, "key", ""), only) != 0)
            return mlt_fail(err, EINVAL,
                            "%s.matchExpressions: key `%.80s`: only %s is supported yet", where,
                            json_string(item, "key", ""), only);
    }
    return 0;
}

static int check_quota(const struct trainingqueue *queue, struct mlt_error *err)
{
    for (size_t i = 0; i < queue->quota_count; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(queue->quota[i].resource, queue->quota[k].resource) == 0)
                return mlt_fail(err, EINVAL, "spec.quota[%zu].resource: `%.80s` stands twice", i,
                                queue->quota[i].resource);
    return 0;
}

int trainingqueue_validate(const cJSON *object, struct mlt_error *err)
{
    struct trainingqueue queue = {0};
    int rc = trainingqueue_read(object, &queue, err);
    if (rc < 0)
        return rc;
    const cJSON *spec = json_member(queue.object, "spec");
    rc = trainingjob_check_name(object, TRAININGQUEUE_KIND, TRAININGJOB_QUEUE_NAME_MAX, err);
    if (rc == 0)
        rc = fields_refuse_unknown(&trainingqueue_fields, spec, "spec", err);
    if (rc == 0 && queue.parent && !mlt_is_dns_label(queue.parent, TRAININGJOB_QUEUE_NAME_MAX))
        rc = mlt_fail(err, EINVAL, "spec.parent: expected the name of a TrainingQueue, got `%s`",
                      queue.parent);
    if (rc == 0 && queue.parent && strcmp(queue.parent, queue.name) == 0)
        rc = mlt_fail(err, EINVAL, "spec.parent: a TrainingQueue cannot be its own parent");
    if (rc == 0)
        rc = check_quota(&queue, err);
    if (rc == 0)
        rc = check_namespaces(queue.namespace_selector, err);
    if (rc == 0)
        rc = fields_refuse_unsupported(&trainingqueue_fields, spec, "spec", err);
    trainingqueue_release(&queue);
    return rc;
}
