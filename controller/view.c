/* The reflectors of the collections and what becomes of their objects. Pods: view_pods.c. */
#include "controller/view.h"

#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "controller/queues.h"
#include "controller/view_pods.h"
#include "lib/base/alloc.h"
#include "lib/base/number.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"

#define VIEW_POLLS_MAX 4 /* wants of one reflector in one pump: a cancel and a request */

static const enum kube_resource view_resources[] = {
#define XX(name, resource, selector) [VIEW_##name] = resource,
    VIEW_MAP(XX)
#undef XX
};

static const char *const view_selectors[] = {
#define XX(name, resource, selector) [VIEW_##name] = selector,
    VIEW_MAP(XX)
#undef XX
};

uint64_t view_version(const cJSON *object)
{
    const char *text = json_string(object, "metadata.resourceVersion", "");
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    return *text && !*end ? (uint64_t)value : 0;
}

/* ---- nodes ---- */

/* A node without a Ready condition has not been heard of yet: it is not ready. */
static bool node_is_ready(const cJSON *node)
{
    const cJSON *condition;
    cJSON_ArrayForEach(condition, json_find(node, "status.conditions"))
    {
        if (strcmp(json_string(condition, "type", ""), "Ready") == 0)
            return strcmp(json_string(condition, "status", ""), "True") == 0;
    }
    return false;
}

static int64_t node_gpus(const struct controller *c, const cJSON *node)
{
    const cJSON *allocatable = json_find(node, "status.allocatable");
    int64_t sum = 0, count;
    for (uint32_t i = 0; i < c->config.gpu_resources_count; i++) {
        const cJSON *value = json_member(allocatable, c->config.gpu_resources[i]);
        if (cJSON_IsString(value) && mlt_quantity_parse(value->valuestring, &count, NULL) == 0)
            sum += count;
    }
    return sum;
}

static void node_seen(struct view_source *s, const cJSON *object)
{
    struct controller *c = s->controller;
    const char *name = json_string(object, "metadata.name", "");
    struct view_node *n;
    HASH_FIND_STR(c->view.nodes, name, n);
    if (!n) {
        n = mlt_calloc(1, sizeof *n);
        n->name = mlt_strdup(name);
        HASH_ADD_KEYPTR(hh, c->view.nodes, n->name, strlen(n->name), n);
        c->delivery_stale = true;
    }
    n->list_seen = s->list_round;
    bool ready = node_is_ready(object), changed = ready != n->ready;
    if (!ready && (changed || !n->unready_since_ms))
        n->unready_since_ms = c->now_ms;
    n->ready = ready;
    n->gpus = node_gpus(c, object);
    delivery_note_node(c, n, object);
    ledger_node(c->ledger, object, c->now_ms);
    if (changed || !ready)
        node_loss_check(c, name);
}

static void node_free(struct view *v, struct view_node *n)
{
    HASH_DEL(v->nodes, n);
    free(n->lease.renewed);
    free(n->name);
    free(n);
}

static void node_gone(struct controller *c, struct view_node *n)
{
    ledger_node_gone(c->ledger, n->name, c->now_ms);
    node_loss_check(c, n->name);
    c->view.nodes_lost -= n->lost;
    c->delivery_stale = true;
    node_free(&c->view, n);
}

struct view_node *view_node(const struct view *v, const char *name)
{
    struct view_node *n;
    HASH_FIND_STR(v->nodes, name, n);
    return n;
}

/* ---- priority classes ---- */

static void priority_seen(struct view_source *s, const cJSON *object)
{
    struct controller *c = s->controller;
    const char *name = json_string(object, "metadata.name", "");
    struct view_name *n;
    HASH_FIND_STR(c->view.priorities, name, n);
    if (!n) {
        n = mlt_calloc(1, sizeof *n);
        n->name = mlt_strdup(name);
        HASH_ADD_KEYPTR(hh, c->view.priorities, n->name, strlen(n->name), n);
    }
    n->list_seen = s->list_round;
    ledger_priority_class(c->ledger, object);
    /* A job that names a class which has only now come can be queued now. */
    for (struct job *job = c->jobs; job; job = job->hh.next)
        if (job->draft.phase == TRAININGJOB_PHASE_QUEUED)
            job_touch(job);
}

static void priority_gone(struct controller *c, struct view_name *n)
{
    HASH_DEL(c->view.priorities, n);
    ledger_priority_class_gone(c->ledger, n->name);
    free(n->name);
    free(n);
}

/* ---- what the reflectors tell ---- */

static void on_list_begin(void *arg)
{
    struct view_source *s = arg;
    s->list_round++;
}

static void on_object(void *arg, const cJSON *object)
{
    struct view_source *s = arg;
    switch (s->kind) {
    case VIEW_NODES:
        node_seen(s, object);
        break;
    case VIEW_PRIORITIES:
        priority_seen(s, object);
        break;
    case VIEW_QUEUES:
        queue_seen(s, object);
        break;
    case VIEW_PODS:
    case VIEW_OTHER_PODS:
        view_pods_seen(s, object);
        break;
    case VIEW_JOBS:
        job_seen(s->controller, object, s->list_round);
        break;
    case VIEW_COUNT:
        break;
    }
}

static void on_deleted(void *arg, const cJSON *object)
{
    struct view_source *s = arg;
    struct controller *c = s->controller;
    const char *name = json_string(object, "metadata.name", "");
    struct view_node *node;
    struct view_name *priority;
    struct job *job;
    switch (s->kind) {
    case VIEW_NODES:
        HASH_FIND_STR(c->view.nodes, name, node);
        if (node)
            node_gone(c, node);
        break;
    case VIEW_PRIORITIES:
        HASH_FIND_STR(c->view.priorities, name, priority);
        if (priority)
            priority_gone(c, priority);
        break;
    case VIEW_QUEUES:
        queue_deleted(c, name);
        break;
    case VIEW_PODS:
    case VIEW_OTHER_PODS:
        view_pods_deleted(s, object);
        break;
    case VIEW_JOBS:
        job = job_find(c, json_string(object, "metadata.uid", ""));
        if (job)
            job_gone(c, job);
        break;
    case VIEW_COUNT:
        break;
    }
}

static void on_list_done(void *arg)
{
    struct view_source *s = arg;
    struct controller *c = s->controller;
    struct view_node *node, *next_node;
    struct view_name *priority, *next_priority;
    struct job *job, *next_job;
    switch (s->kind) {
    case VIEW_NODES:
        HASH_ITER(hh, c->view.nodes, node, next_node)
        if (node->list_seen != s->list_round)
            node_gone(c, node);
        break;
    case VIEW_PRIORITIES:
        HASH_ITER(hh, c->view.priorities, priority, next_priority)
        if (priority->list_seen != s->list_round)
            priority_gone(c, priority);
        break;
    case VIEW_PODS:
    case VIEW_OTHER_PODS:
        view_pods_listed(s);
        break;
    case VIEW_JOBS:
        HASH_ITER(hh, c->jobs, job, next_job)
        if (job->list_seen != s->list_round)
            job_gone(c, job);
        break;
    case VIEW_QUEUES:
        queues_listed(s);
        break;
    case VIEW_COUNT:
        break;
    }
}

static const struct kube_reflector_ops view_ops = {
    .list_begin = on_list_begin,
    .listed = on_object,
    .list_done = on_list_done,
    .changed = on_object,
    .deleted = on_deleted,
};

static void source_begin(struct controller *c, enum view_kind kind)
{
    struct view_source *s = &c->view.sources[kind];
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    kube_path(&path, view_resources[kind], NULL, NULL, NULL, NULL);
    s->controller = c;
    s->kind = kind;
    s->reflector =
        kube_reflector_new(mlt_text_string(&path), view_selectors[kind], &view_ops, s, &c->random);
    mlt_text_release(&path);
}

void view_start(struct controller *c)
{
    for (int kind = 0; kind < VIEW_COUNT; kind++)
        source_begin(c, (enum view_kind)kind);
}

void view_leads(struct controller *c)
{
    struct view_source *s = &c->view.sources[VIEW_JOBS];
    if (!s->reflector || kube_reflector_synced(s->reflector))
        return;
    if (s->request)
        effects_cancel(&c->effects, s->request);
    s->request = 0;
    kube_reflector_free(s->reflector);
    source_begin(c, VIEW_JOBS);
}

void view_release(struct view *v)
{
    struct view_node *node, *next_node;
    struct view_name *priority, *next_priority;
    for (int kind = 0; kind < VIEW_COUNT; kind++)
        if (v->sources[kind].reflector)
            kube_reflector_free(v->sources[kind].reflector);
    HASH_ITER(hh, v->nodes, node, next_node)
    node_free(v, node);
    HASH_ITER(hh, v->priorities, priority, next_priority)
    {
        HASH_DEL(v->priorities, priority);
        free(priority->name);
        free(priority);
    }
    view_pods_release(v);
    queues_release(v);
    *v = (struct view){0};
}

/* ---- requests and answers ---- */

static int64_t source_pump(struct view_source *s)
{
    struct controller *c = s->controller;
    struct kube_reflector_want want = {.wake_ms = INT64_MAX};
    for (int i = 0; i < VIEW_POLLS_MAX; i++) {
        kube_reflector_poll(s->reflector, c->now_ms, &want);
        if (want.cancel && s->request) {
            effects_cancel(&c->effects, s->request);
            s->request = 0;
        }
        if (want.send) {
            s->request = ++c->next_id;
            s->verb = api_verb("GET", want.path);
            s->status = 0;
            if (!want.is_watch && !want.goes_on)
                s->lists_asked++;
            effects_request(&c->effects, s->request, "GET", want.path, NULL, NULL, want.is_watch);
        }
        if (!want.send && !want.cancel)
            break;
    }
    return want.wake_ms;
}

int64_t view_pump(struct controller *c)
{
    int64_t wake = INT64_MAX;
    for (int kind = 0; kind < VIEW_COUNT; kind++) {
        int64_t at = source_pump(&c->view.sources[kind]);
        if (at < wake)
            wake = at;
    }
    return wake;
}

static struct view_source *source_of(struct controller *c, uint64_t id)
{
    for (int kind = 0; kind < VIEW_COUNT; kind++)
        if (c->view.sources[kind].request == id)
            return &c->view.sources[kind];
    return NULL;
}

/* Trouble is logged when it begins; the reflector tries again by itself. */
static void note_trouble(struct view_source *s)
{
    const char *trouble = kube_reflector_trouble(s->reflector);
    if (*trouble)
        controller_log(s->controller, MLT_LOG_WARNING, "watch trouble kind=%s error=\"%s\"",
                       kube_resource_info(view_resources[s->kind])->plural, trouble);
}

bool view_status(struct controller *c, uint64_t id, int status, int64_t retry_after_ms)
{
    struct view_source *s = source_of(c, id);
    if (!s)
        return false;
    s->status = status;
    metrics_request(&c->metrics, s->verb, status);
    kube_reflector_status(s->reflector, c->now_ms, status, retry_after_ms);
    return true;
}

bool view_body(struct controller *c, uint64_t id, const char *data, size_t length)
{
    struct view_source *s = source_of(c, id);
    if (!s)
        return false;
    kube_reflector_body(s->reflector, c->now_ms, data, length);
    return true;
}

bool view_end(struct controller *c, uint64_t id, const char *error)
{
    struct view_source *s = source_of(c, id);
    if (!s)
        return false;
    s->request = 0;
    if (!s->status)
        metrics_request(&c->metrics, s->verb, 0);
    kube_reflector_end(s->reflector, c->now_ms, error);
    note_trouble(s);
    if (!s->was_synced && kube_reflector_synced(s->reflector)) {
        s->was_synced = true;
        /* What had to wait for the whole picture may go on now. */
        if (view_synced(&c->view))
            for (struct job *job = c->jobs; job; job = job->hh.next)
                job_touch(job);
    }
    return true;
}

const char *view_source_name(enum view_kind kind)
{
    return kube_resource_info(view_resources[kind])->plural;
}

bool view_source_synced(const struct view *v, enum view_kind kind)
{
    return v->sources[kind].reflector && kube_reflector_synced(v->sources[kind].reflector);
}

const char *view_source_trouble(const struct view *v, enum view_kind kind)
{
    const char *trouble =
        v->sources[kind].reflector ? kube_reflector_trouble(v->sources[kind].reflector) : "";
    return *trouble ? trouble : "has not been listed yet";
}

bool view_synced(const struct view *v)
{
    for (int kind = 0; kind < VIEW_COUNT; kind++)
        if (!view_source_synced(v, (enum view_kind)kind))
            return false;
    return true;
}
