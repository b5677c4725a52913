/* Queues: what TrainingQueues say, told to the gang by numbers; and which jobs may not use the
 * queue that they name.
 *
 * Known queues are numbered in the order of their names before any other, so that ties between
 * siblings come out the same after a restart. A change of one makes the gang anew: past use, which
 * no object holds, is taken over. */
#include "ledger/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/kube/selector.h"

/* ---- records ---- */

static void forget_object(struct ledger_queue *q)
{
    trainingqueue_release(&q->spec);
    kube_selector_free(q->namespaces);
    cJSON_Delete(q->source);
    free(q->refusal);
    q->namespaces = NULL;
    q->source = NULL;
    q->refusal = NULL;
}

void ledger_queue_release(struct ledger_queue *q)
{
    forget_object(q);
    free(q->name);
    free(q);
}

static int check_node_selector(const cJSON *selector, struct mlt_error *err)
{
    const cJSON *value;
    cJSON_ArrayForEach(value, selector)
    {
        if (!value->string || !cJSON_IsString(value))
            return mlt_fail(err, EINVAL, "spec.nodeSelector: expected texts");
    }
    return 0;
}

static int read_queue(struct ledger_queue *q, const cJSON *object, struct mlt_error *err)
{
    int rc = trainingqueue_read(object, &q->spec, err);
    if (rc == 0)
        rc = trainingqueue_validate(object, err);
    if (rc == 0)
        rc = check_node_selector(q->spec.node_selector, err);
    if (rc == 0 && q->spec.namespace_selector &&
        kube_selector_from_object(q->spec.namespace_selector, &q->namespaces, err) < 0)
        rc = mlt_fail_in(err, "spec.namespaceSelector");
    return rc;
}

static const cJSON *node_selector(const struct ledger_queue *q)
{
    return q && !q->refusal ? q->spec.node_selector : NULL;
}

const cJSON *ledger_queue_node_selector(const struct ledger *l, const char *name)
{
    return node_selector(ledger_map_find(&l->known_queues, name));
}

/* Its jobs may use other nodes than before. */
static void select_nodes(struct ledger *l, const char *name, const cJSON *selector)
{
    struct ledger_job *job;
    LEDGER_MAP_EACH(&l->jobs, job)
    {
        if (job->state == LEDGER_ABSENT || strcmp(job->request.queue, name) != 0)
            continue;
        for (uint32_t i = 0; i < job->request.roles_count; i++)
            ledger_constraints_change_queue(l, &job->request.roles[i].constraints, selector);
        ledger_job_mark(l, job);
    }
}

void ledger_queue(struct ledger *l, const cJSON *object)
{
    const char *name = json_string(object, "metadata.name", "");
    const cJSON *spec = json_member(object, "spec");
    struct ledger_queue *q = ledger_map_find(&l->known_queues, name);
    if (name[0] == '\0')
        return;
    if (q && (spec && q->source ? json_equal(spec, q->source) : !spec && !q->source))
        return;
    if (!q) {
        q = mlt_calloc(1, sizeof *q);
        q->name = mlt_strdup(name);
        ledger_map_put(&l->known_queues, name, q);
    }
    struct mlt_error err = {0};
    bool selected = node_selector(q) != NULL;
    forget_object(q);
    q->source = json_copy(spec);
    if (read_queue(q, object, &err) < 0)
        q->refusal = mlt_strdup(err.text);
    if (selected || node_selector(q))
        select_nodes(l, name, node_selector(q));
    l->stale = l->changed = true;
}

void ledger_queue_gone(struct ledger *l, const char *name)
{
    struct ledger_queue *q = ledger_map_find(&l->known_queues, name);
    if (!q)
        return;
    ledger_map_drop(&l->known_queues, name);
    if (node_selector(q))
        select_nodes(l, name, NULL);
    l->stale = l->changed = true;
    ledger_queue_release(q);
}

/* ---- who may not use a queue ---- */

static bool refuse(char text[GANG_REASON_MAX], const char *format, ...) MLT_PRINTF(2, 3);

static bool refuse(char text[GANG_REASON_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, GANG_REASON_MAX, format, args);
    va_end(args);
    return true;
}

/* Whether nobody may use it, and why. */
static bool is_unusable(const struct ledger *l, const struct ledger_queue *q,
                        char text[GANG_REASON_MAX])
{
    const struct ledger_queue *at = q;
    for (int depth = 1; depth <= GANG_QUEUE_DEPTH_MAX; depth++) {
        if (at->refusal)
            return refuse(text, "TrainingQueue %s: %s", at->name, at->refusal);
        if (!at->spec.parent)
            return false;
        const struct ledger_queue *above = ledger_map_find(&l->known_queues, at->spec.parent);
        if (!above)
            return refuse(text, "TrainingQueue %s: spec.parent: there is no TrainingQueue %s",
                          at->name, at->spec.parent);
        at = above;
    }
    return refuse(text,
                  "TrainingQueue %s: spec.parent: more than %d queues one above the other, or a "
                  "circle",
                  q->name, GANG_QUEUE_DEPTH_MAX);
}

/* As long as there is none but the default one, names of queues are only names. */
static bool names_are_free(const struct ledger *l)
{
    bool has_default = ledger_map_find(&l->known_queues, TRAININGJOB_DEFAULT_QUEUE) != NULL;
    return l->known_queues.count == (has_default ? 1 : 0);
}

static bool admits(const struct ledger_queue *q, const char *namespace_)
{
    if (!q->namespaces)
        return true;
    cleanup_json cJSON *labels = cJSON_CreateObject();
    cJSON_AddStringToObject(labels, TRAININGQUEUE_NAMESPACE_LABEL, namespace_);
    return kube_selector_matches(q->namespaces, labels);
}

bool ledger_queue_refuses(const struct ledger *l, const struct ledger_job *job,
                          char text[GANG_REASON_MAX])
{
    const char *name = job->request.queue;
    const struct ledger_queue *q = ledger_map_find(&l->known_queues, name);
    if (!q)
        return !names_are_free(l) && strcmp(name, TRAININGJOB_DEFAULT_QUEUE) != 0 &&
               refuse(text, "there is no TrainingQueue %s", name);
    if (is_unusable(l, q, text))
        return true;
    cleanup_free char *namespace_ = mlt_strndup(job->label, strcspn(job->label, "/"));
    return !admits(q, namespace_) &&
           refuse(text, "TrainingQueue %s: spec.namespaceSelector: not for jobs of namespace %s",
                  name, namespace_);
}

/* ---- telling the gang ---- */

static int64_t gang_amount(uint32_t resource, int64_t thousandths)
{
    if (thousandths == TRAININGJOB_NONE)
        return GANG_UNLIMITED;
    int64_t amount = resource == GANG_CPU_MILLI ? thousandths : thousandths / 1000;
    return amount < LEDGER_QUOTA_MAX ? amount : LEDGER_QUOTA_MAX;
}

/* The gang's number of a resource; GANG_RESOURCES_MAX when nobody asks for it. */
static uint32_t resource_of(const struct ledger *l, const char *name)
{
    static const char *const names[GANG_DEVICE_0] = {"cpu", "memory", "pods"};
    for (uint32_t i = 0; i < GANG_DEVICE_0; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    for (uint32_t i = 0; i < l->devices_count; i++)
        if (strcmp(name, l->devices[i]) == 0)
            return GANG_DEVICE_0 + i;
    return GANG_RESOURCES_MAX;
}

/* Of what only queues below it have a quota, it has nothing of its own; of what none has, there is
 * no limit. */
static void fill_quota(const struct ledger *l, const struct ledger_queue *q,
                       struct gang_queue_config *to)
{
    for (uint32_t r = 0; r < GANG_RESOURCES_MAX; r++) {
        to->nominal[r] = q->named >> r & 1 ? 0 : GANG_UNLIMITED;
        to->borrow_limit[r] = to->lend_limit[r] = GANG_UNLIMITED;
    }
    for (size_t i = 0; i < q->spec.quota_count; i++) {
        const struct trainingqueue_quota *quota = &q->spec.quota[i];
        uint32_t r = resource_of(l, quota->resource);
        if (r == GANG_RESOURCES_MAX)
            continue;
        to->nominal[r] = gang_amount(r, quota->nominal);
        to->borrow_limit[r] = gang_amount(r, quota->borrow_limit);
        to->lend_limit[r] = gang_amount(r, quota->lend_limit);
    }
}

/* Into `named` of the queue and of those above it. */
static void note_named(struct ledger *l, const struct ledger_queue *q)
{
    uint32_t named = 0;
    for (size_t i = 0; i < q->spec.quota_count; i++) {
        uint32_t r = resource_of(l, q->spec.quota[i].resource);
        named |= r < GANG_RESOURCES_MAX ? 1u << r : 0;
    }
    struct ledger_queue *at = ledger_map_find(&l->known_queues, q->name);
    for (int depth = 1; at && depth <= GANG_QUEUE_DEPTH_MAX; depth++) {
        at->named |= named;
        at = at->spec.parent ? ledger_map_find(&l->known_queues, at->spec.parent) : NULL;
    }
}

/* Whose jobs are asked to leave for nobody of their own queue are not sliced either. */
static int64_t slice_of(const struct ledger *l, const struct gang_queue_config *config)
{
    bool leave = l->may_preempt && config->within_queue == GANG_PREEMPTION_LOWER_PRIORITY;
    return leave ? l->time_slice_ms : 0;
}

/* A queue that nobody may use stands alone: what jobs hold in it is still counted. */
static struct gang_queue_config config_of(const struct ledger *l, const struct ledger_queue *q)
{
    static const enum gang_queue_preemption preemption[] = {
        [TRAININGQUEUE_PREEMPTION_NEVER] = GANG_PREEMPTION_NEVER,
        [TRAININGQUEUE_PREEMPTION_LOWER_PRIORITY] = GANG_PREEMPTION_LOWER_PRIORITY,
        [TRAININGQUEUE_PREEMPTION_ANY] = GANG_PREEMPTION_ANY,
    };
    char text[GANG_REASON_MAX];
    struct gang_queue_config config = {.parent = GANG_NO_QUEUE, .weight = 1};
    const struct ledger_queue *parent = NULL;
    fill_quota(l, q, &config);
    if (q->refusal)
        return config;
    if (q->spec.parent && !is_unusable(l, q, text))
        parent = ledger_map_find(&l->known_queues, q->spec.parent);
    if (parent)
        config.parent = parent->number;
    config.weight = (uint32_t)q->spec.weight;
    config.order =
        q->spec.order == TRAININGQUEUE_ORDER_FAIR_SHARE ? GANG_ORDER_FAIR_SHARE : GANG_ORDER_FIFO;
    config.within_queue = preemption[q->spec.preemption_within];
    config.reclaim = preemption[q->spec.preemption_reclaim];
    config.running_jobs_max = (uint32_t)q->spec.max_running_jobs;
    config.time_limit_max_ms = q->spec.max_time_seconds * 1000;
    config.time_slice_ms = slice_of(l, &config);
    return config;
}

struct gang_queue_config ledger_queue_of_name(const struct ledger *l)
{
    struct gang_queue_config config = {.parent = GANG_NO_QUEUE, .weight = 1};
    for (uint32_t r = 0; r < GANG_RESOURCES_MAX; r++)
        config.nominal[r] = config.borrow_limit[r] = config.lend_limit[r] = GANG_UNLIMITED;
    if (l->may_preempt)
        config.within_queue = GANG_PREEMPTION_LOWER_PRIORITY;
    config.time_slice_ms = slice_of(l, &config);
    return config;
}

static int tell_queue(struct ledger *l, struct ledger_queue *q, int64_t now_ms,
                      struct mlt_error *err)
{
    if (q->in_gang)
        return 0;
    const struct gang_queue_config config = config_of(l, q);
    int rc = 0;
    if (config.parent != GANG_NO_QUEUE)
        rc = tell_queue(l, ledger_map_find(&l->known_queues, q->spec.parent), now_ms, err);
    if (rc < 0)
        return rc;
    const struct gang_event set = {
        .kind = GANG_QUEUE_SET, .queue = q->number, .queue_config = &config};
    if (gang_event(l->gang, &set, now_ms, err) < 0)
        return mlt_fail_in(err, "TrainingQueue %s", q->name);
    q->in_gang = true;
    if (q->usage == 0)
        return 0;
    const struct gang_event usage = {
        .kind = GANG_QUEUE_USAGE, .queue = q->number, .usage = q->usage};
    return gang_event(l->gang, &usage, now_ms, err);
}

static int queue_order(const void *a, const void *b)
{
    const struct ledger_queue *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

void ledger_queues_keep_usage(struct ledger *l, int64_t now_ms)
{
    struct ledger_queue *q;
    LEDGER_MAP_EACH(&l->known_queues, q)
    {
        struct gang_queue_view view;
        if (q->in_gang && gang_queue(l->gang, q->number, now_ms, &view))
            q->usage = view.usage;
        q->in_gang = false;
    }
}

int ledger_queues_tell(struct ledger *l, int64_t now_ms, struct mlt_error *err)
{
    uint32_t count = 0;
    struct ledger_queue *q;
    cleanup_free struct ledger_queue **all = mlt_calloc(l->known_queues.count + 1, sizeof *all);
    LEDGER_MAP_EACH(&l->known_queues, q)
    all[count++] = q;
    if (count > GANG_QUEUES_MAX)
        return mlt_fail(err, E2BIG, "more than %d TrainingQueues", GANG_QUEUES_MAX);
    qsort(all, count, sizeof(struct ledger_queue *), queue_order);
    for (uint32_t i = 0; i < count; i++)
        all[i]->named = 0;
    for (uint32_t i = 0; i < count; i++)
        note_named(l, all[i]);
    for (uint32_t i = 0; i < count; i++) {
        all[i]->number = i;
        ledger_map_put(&l->queues, all[i]->name, (void *)(uintptr_t)(i + 1));
    }
    l->queues_count = count;
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = tell_queue(l, all[i], now_ms, err);
    return rc;
}

const char *ledger_queue_name(const struct ledger *l, uint32_t number)
{
    const struct ledger_queue *q;
    LEDGER_MAP_EACH(&l->known_queues, q)
    {
        if (q->in_gang && q->number == number)
            return q->name;
    }
    return NULL;
}

/* ---- usage ---- */

void ledger_queue_usage(struct ledger *l, const char *name, int64_t usage)
{
    struct ledger_queue *q = ledger_map_find(&l->known_queues, name);
    if (!q)
        return;
    q->usage = usage;
    q->in_gang = false; /* or what the gang says now would be taken over */
    l->stale = l->changed = true;
}

int64_t ledger_usage_aged(int64_t usage, int64_t age_ms)
{
    /* 2^32 x 2^(-i/16); between them straight lines, at most 0.03 % too much. */
    static const uint64_t steps[] = {4294967296, 4112874773, 3938502376, 3771522796, 3611622603,
                                     3458501653, 3311872529, 3171459999, 3037000500, 2908241642,
                                     2784941738, 2666869345, 2553802834, 2445529972, 2341847524,
                                     2242560872, 2147483648};
    const uint64_t parts = MLT_ARRAY_LENGTH(steps) - 1;
    if (usage <= 0 || age_ms <= 0)
        return usage;
    uint64_t halvings = (uint64_t)(age_ms / LEDGER_USAGE_HALF_LIFE_MS);
    uint64_t rest = (uint64_t)(age_ms % LEDGER_USAGE_HALF_LIFE_MS) * parts;
    uint64_t at = rest / (uint64_t)LEDGER_USAGE_HALF_LIFE_MS;
    uint64_t into = rest % (uint64_t)LEDGER_USAGE_HALF_LIFE_MS;
    if (halvings > 62)
        return 0;
    uint64_t factor =
        steps[at] - (steps[at] - steps[at + 1]) * into / (uint64_t)LEDGER_USAGE_HALF_LIFE_MS;
    uint64_t left = (uint64_t)usage >> halvings;
    return (int64_t)((left >> 32) * factor + ((left & UINT32_MAX) * factor >> 32));
}

/* ---- looking ---- */

static bool shares(const struct ledger *l, const struct ledger_queue *q)
{
    const struct ledger_queue *parent =
        q->spec.parent ? ledger_map_find(&l->known_queues, q->spec.parent) : NULL;
    return parent && parent->spec.order == TRAININGQUEUE_ORDER_FAIR_SHARE;
}

bool ledger_queue_look(const struct ledger *l, const char *name, int64_t now_ms,
                       struct ledger_queue_view *ret)
{
    static const char *const names[GANG_DEVICE_0] = {"cpu", "memory", "pods"};
    const struct ledger_queue *q = ledger_map_find(&l->known_queues, name);
    *ret = (struct ledger_queue_view){.resources = GANG_DEVICE_0 + l->devices_count};
    if (!q || !q->in_gang || !gang_queue(l->gang, q->number, now_ms, &ret->sums))
        return false;
    memcpy(ret->names, names, sizeof names);
    memcpy(ret->names + GANG_DEVICE_0, l->devices, l->devices_count * sizeof l->devices[0]);
    ret->shares = shares(l, q);
    char text[GANG_REASON_MAX];
    const struct ledger_job *job;
    LEDGER_MAP_EACH(&l->jobs, job)
    {
        if (job->state == LEDGER_WAITS && strcmp(job->request.queue, name) == 0)
            ret->refused_jobs += ledger_queue_refuses(l, job, text);
    }
    return true;
}
