/* The pretended cluster: its loop, and looking at it. See world.h. */
#include "world_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/api_right.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

#define WALL_START INT64_C(1764273600000)

/* ---- events for the controller ---- */

struct world_event *world_push(struct world *w, enum controller_event_kind kind, uint64_t id)
{
    struct world_event *e = mlt_calloc(1, sizeof *e);
    e->e.kind = kind;
    e->e.id = id;
    *w->last = e;
    w->last = &e->next;
    return e;
}

static void event_free(struct world_event *e)
{
    free(e->data);
    free(e->error);
    free(e->uid);
    free(e->path);
    free(e->body);
    free(e);
}

/* ---- the loop ---- */

static void close_channel(struct world *w, uint64_t id)
{
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++)
        if (w->launchers[i].used && w->launchers[i].channel == id) {
            w->launchers[i].channel = 0;
            w->launchers[i].refused = true;
        }
}

/* The chart's roles allow what stands in the table and nothing else. */
static void check_right(struct world *w, const struct controller_effect *effect)
{
    const struct api_right *right = api_right_find(effect->verb, effect->path, "mltrain-system");
    if (!right)
        fail_msg("no right for %s %s: it must stand in controller/api_right.h", effect->verb,
                 effect->path);
    w->rights_used |= UINT64_C(1) << (right - api_right_at(0));
}

static void send_request(struct world *w, const struct controller_effect *effect)
{
    struct world_event *e = world_push(w, CONTROLLER_TIMER, effect->id);
    check_right(w, effect);
    e->verb = effect->verb;
    e->path = mlt_strdup(effect->path);
    e->body = mlt_strdup(effect->body);
}

static void carry_out(struct world *w, const struct controller_effect *effect)
{
    switch (effect->kind) {
    case CONTROLLER_EFFECT_REQUEST:
        send_request(w, effect);
        break;
    case CONTROLLER_EFFECT_CANCEL:
        for (int i = 0; i < WORLD_WATCHES_MAX; i++)
            if (w->watches[i].id == effect->id)
                w->watches[i].id = 0;
        break;
    case CONTROLLER_EFFECT_CHANNEL_SEND:
        world_channel_send(w, effect);
        break;
    case CONTROLLER_EFFECT_CHANNEL_CLOSE:
        close_channel(w, effect->id);
        break;
    case CONTROLLER_EFFECT_TIMER_SET:
        w->timer_ms = effect->at_ms;
        break;
    case CONTROLLER_EFFECT_TIMER_CLEAR:
        w->timer_ms = INT64_MAX;
        break;
    case CONTROLLER_EFFECT_LOG:
        if (w->verbose)
            printf("  [%d] %s\n", (int)effect->level, effect->text);
        if (strncmp(effect->text, "launcher delivery ", 18) == 0) {
            (void)snprintf(w->delivery_told, sizeof w->delivery_told, "%s", effect->text);
            w->deliveries_told++;
        }
        if (strstr(effect->text, " job=") && !strstr(effect->text, "attempt="))
            fail_msg("a line about a job names no attempt: %s", effect->text);
        /* A line at error level is a mistake that no story here should make. */
        assert_true(effect->level != MLT_LOG_ERROR || w->refuse_status);
        break;
    case CONTROLLER_EFFECT_EXITED:
        w->exited = true;
        w->exited_lost = effect->lost;
        break;
    }
}

/* What was for the controller is lost with it; requests that it has sent arrive all the same,
 * later. */
static void forget_events(struct world *w)
{
    struct world_event *next, **late = &w->late;
    while (*late)
        late = &(*late)->next;
    for (struct world_event *e = w->first; e; e = next) {
        next = e->next;
        e->next = NULL;
        if (!e->path || strcmp(e->verb, "GET") == 0) {
            event_free(e);
            continue;
        }
        e->e.id = 0; /* nobody waits for the answer */
        *late = e;
        late = &e->next;
    }
    w->first = NULL;
    w->last = &w->first;
}

static void serve_late(struct world *w)
{
    while (w->late) {
        struct world_event *e = w->late;
        w->late = e->next;
        world_serve(w, e);
        event_free(e);
    }
}

static void derive_key(void *arg, const char *job_uid, unsigned char key[CONTROLLER_KEY_SIZE])
{
    (void)arg;
    memset(key, 'k', CONTROLLER_KEY_SIZE);
    memcpy(key, job_uid, strlen(job_uid) < CONTROLLER_KEY_SIZE ? strlen(job_uid) : 0);
}

static void new_controller(struct world *w)
{
    static const char *const gpus[] = {"nvidia.com/gpu"};
    struct controller_config config = {
        .identity = "tester",
        .lease_namespace = "mltrain-system",
        .channel_address = w->channel_address ? w->channel_address : WORLD_CHANNEL,
        .channel_service = w->has_service ? "mltrain-channel" : NULL,
        .pod_ip = w->pod_ip ? w->pod_ip : "203.0.113.5",
        .channel_port = 7777,
        .delivery = w->delivery,
        .launcher_image = "launcher:1",
        .launcher_command = w->launcher_command ? w->launcher_command : "/mltrain-launcher",
        .version = "1",
        .gpu_resources = gpus,
        .gpu_resources_count = 1,
        .seed = 42,
        .node_loss_ms = w->node_loss_ms,
        .look_gap_us = w->look_gap_us,
        .patience_ms = w->patience_ms,
        .time_slice_ms = w->time_slice_ms,
        .min_run_ms = w->min_run_ms,
        .reservations = w->strict ? 0 : CONTROLLER_RESERVATIONS,
        .derive_key = derive_key,
    };
    w->c = controller_new(&config);
    w->timer_ms = INT64_MAX;
    (void)world_push(w, CONTROLLER_TIMER, 0);
}

void world_replace_controller(struct world *w)
{
    controller_free(w->c);
    forget_events(w);
    w->late_steps = w->late_choice > 0 ? w->late_choice : (int)(w->effects % 41);
    memset(w->watches, 0, sizeof w->watches);
    w->exited = false;
    new_controller(w);
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++)
        if (w->launchers[i].used && !w->launchers[i].deaf)
            world_launcher_connects(w, &w->launchers[i]);
}

/* False when the controller was dropped in the middle. */
static bool drain(struct world *w)
{
    struct controller_effect effect;
    while (controller_next_effect(w->c, &effect)) {
        w->effects++;
        if (w->drop_after > 0 && --w->drop_after == 0) {
            world_replace_controller(w);
            w->dropped = true;
            return false;
        }
        carry_out(w, &effect);
    }
    return true;
}

static void step(struct world *w, struct world_event *e)
{
    struct controller_event event = e->e;
    event.now_ms = w->now_ms;
    event.wall_ms = w->wall_ms;
    event.data = e->data;
    event.error = e->error;
    event.job_uid = e->uid;
    event.frame = &e->frame;
    controller_step(w->c, &event);
    if (!w->exited)
        controller_check(w->c);
    (void)drain(w);
}

void world_run(struct world *w)
{
    for (int i = 0; i < 200000; i++) {
        if (w->dropped && w->stop_at_drop)
            return;
        if (w->late && (w->late_steps-- <= 0 || !w->first))
            serve_late(w);
        struct world_event *e = w->first;
        if (!e && w->timer_ms <= w->now_ms) {
            w->timer_ms = INT64_MAX;
            e = world_push(w, CONTROLLER_TIMER, 0);
        }
        if (!e)
            return;
        w->first = e->next;
        if (!w->first)
            w->last = &w->first;
        if (e->path)
            world_serve(w, e);
        else
            step(w, e);
        event_free(e);
    }
    fail_msg("the world does not come to rest");
}

static void come_back(struct world *w)
{
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++)
        if (w->launchers[i].used && w->launchers[i].refused && !w->launchers[i].deaf) {
            w->launchers[i].refused = false;
            world_launcher_connects(w, &w->launchers[i]);
        }
}

void world_stop_controller(struct world *w)
{
    (void)world_push(w, CONTROLLER_STOP, 0);
    world_run(w);
}

void world_advance(struct world *w, int64_t ms)
{
    int64_t end = w->now_ms + ms;
    world_run(w);
    while (w->now_ms < end) {
        int64_t next = w->timer_ms < end ? w->timer_ms : end;
        if (next <= w->now_ms)
            next = w->now_ms + 1;
        w->wall_ms += next - w->now_ms;
        w->now_ms = next;
        come_back(w);
        world_renew_leases(w);
        world_run(w);
    }
}
/* ---- set-up ---- */

static void add_node(struct world *w, unsigned number, unsigned gpus)
{
    char name[32], count[16];
    cJSON *node = cJSON_CreateObject();
    cJSON *condition = cJSON_CreateObject();
    (void)snprintf(name, sizeof name, "node%03u", number);
    (void)snprintf(count, sizeof count, "%u", gpus);
    json_set_string(node, "metadata.name", name);
    json_set_string(node, "metadata.labels[kubernetes.io/hostname]", name);
    json_set_string(node, "status.allocatable.cpu", "64");
    json_set_string(node, "status.allocatable.memory", "256Gi");
    json_set_string(node, "status.allocatable.pods", "110");
    json_set_string(node, "status.allocatable[nvidia.com/gpu]", count);
    json_set(node, "status.capacity", json_copy(json_find(node, "status.allocatable")));
    json_set_string(condition, "type", "Ready");
    json_set_string(condition, "status", "True");
    json_append(json_set_array(node, "status.conditions"), condition);
    cleanup_free char *key = mlt_asprintf("nodes//%s", name);
    (void)world_put_new(w, key, node);
}

void world_init(struct world *w, unsigned nodes, unsigned gpus_per_node)
{
    *w = (struct world){.now_ms = 1000, .wall_ms = WALL_START, .timer_ms = INT64_MAX};
    w->last = &w->first;
    w->verbose = getenv("WORLD_VERBOSE") != NULL; /* to see what happens when a story fails */
    for (unsigned i = 1; i <= nodes; i++)
        add_node(w, i, gpus_per_node);
    new_controller(w);
    world_run(w);
}

void world_release(struct world *w)
{
    struct world_object *o, *next;
    controller_free(w->c);
    forget_events(w);
    while (w->late) {
        struct world_event *e = w->late;
        w->late = e->next;
        event_free(e);
    }
    HASH_ITER(hh, w->objects, o, next)
    {
        HASH_DEL(w->objects, o);
        cJSON_Delete(o->json);
        free(o->key);
        free(o);
    }
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++) {
        free(w->launchers[i].pod);
        free(w->launchers[i].uid);
        free(w->launchers[i].job_uid);
    }
}

void world_priority(struct world *w, const char *name, int value, const char *preemption_policy)
{
    cleanup_free char *key = mlt_asprintf("priorityclasses//%s", name);
    cJSON *json = cJSON_CreateObject();
    json_set_string(json, "apiVersion", "scheduling.k8s.io/v1");
    json_set_string(json, "kind", "PriorityClass");
    json_set_string(json, "metadata.name", name);
    json_set_integer(json, "value", value);
    json_set_string(json, "preemptionPolicy", preemption_policy);
    (void)world_put_new(w, key, json);
}

void world_queue(struct world *w, const char *name, const char *spec)
{
    cleanup_free char *key = mlt_asprintf("trainingqueues//%s", name);
    cJSON *json = NULL, *parsed = NULL;
    assert_int_equal(json_parse(spec, strlen(spec), &parsed, NULL), 0);
    json = cJSON_CreateObject();
    json_set_string(json, "apiVersion", "mltrain.io/v1alpha1");
    json_set_string(json, "kind", "TrainingQueue");
    json_set_string(json, "metadata.name", name);
    json_set(json, "spec", parsed);
    world_put_new(w, key, json);
}

void world_put_job(struct world *w, const char *name, int replicas, const char *patch)
{
    cleanup_free char *text = mlt_asprintf(
        "{\"apiVersion\":\"mltrain.io/v1alpha1\",\"kind\":\"TrainingJob\","
        "\"metadata\":{\"name\":\"%s\",\"namespace\":\"team\"},"
        "\"spec\":{\"nprocPerNode\":1,\"workers\":{\"replicas\":%d,\"template\":{\"spec\":{"
        "\"containers\":[{\"name\":\"trainer\",\"image\":\"i\",\"command\":[\"python3\",\"t.py\"],"
        "\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"1\"}}}]}}}}}",
        name, replicas);
    cJSON *json = NULL;
    cleanup_json cJSON *more = NULL;
    assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
    if (patch) {
        assert_int_equal(json_parse(patch, strlen(patch), &more, NULL), 0);
        json_merge_patch(&json, more);
    }
    cleanup_free char *key = mlt_asprintf("trainingjobs/team/%s", name);
    (void)world_put_new(w, key, json);
}

void world_submit(struct world *w, const char *name, int replicas, const char *patch)
{
    world_put_job(w, name, replicas, patch);
    world_run(w);
}
/* ---- looking ---- */

cJSON *world_job_object(struct world *w, const char *job)
{
    cleanup_free char *key = mlt_asprintf("trainingjobs/team/%s", job);
    return world_object(w, key);
}

const char *world_phase(struct world *w, const char *job)
{
    return json_string(world_job_object(w, job), "status.phase", "");
}

const char *world_status(struct world *w, const char *job, const char *path)
{
    return json_string(json_member(world_job_object(w, job), "status"), path, "");
}

int64_t world_number(struct world *w, const char *job, const char *path)
{
    return json_integer(json_member(world_job_object(w, job), "status"), path, 0);
}

static const char *condition_field(struct world *w, const char *job, const char *type,
                                   const char *field)
{
    const cJSON *condition;
    cJSON_ArrayForEach(condition, json_find(world_job_object(w, job), "status.conditions"))
    {
        if (strcmp(json_string(condition, "type", ""), type) == 0)
            return json_string(condition, field, "");
    }
    return "";
}

const char *world_condition(struct world *w, const char *job, const char *type)
{
    return condition_field(w, job, type, "status");
}

const char *world_reason(struct world *w, const char *job, const char *type)
{
    return condition_field(w, job, type, "reason");
}

const char *world_message(struct world *w, const char *job, const char *type)
{
    return condition_field(w, job, type, "message");
}

unsigned world_count(struct world *w, const char *plural)
{
    unsigned count = 0;
    size_t length = strlen(plural);
    struct world_object *o, *next;
    HASH_ITER(hh, w->objects, o, next)
    count += strncmp(o->key, plural, length) == 0 && o->key[length] == '/';
    return count;
}

const char *world_event_message(struct world *w, const char *reason)
{
    struct world_object *o, *next;
    HASH_ITER(hh, w->objects, o, next)
    if (strncmp(o->key, "events/", 7) == 0 &&
        strcmp(json_string(o->json, "reason", ""), reason) == 0)
        return json_string(o->json, "message", "");
    return "";
}

bool world_has_event(struct world *w, const char *reason)
{
    return *world_event_message(w, reason) != 0;
}

int64_t world_events(struct world *w, const char *reason)
{
    int64_t count = 0;
    struct world_object *o, *next;
    HASH_ITER(hh, w->objects, o, next)
    if (strncmp(o->key, "events/", 7) == 0 &&
        strcmp(json_string(o->json, "reason", ""), reason) == 0)
        count += json_integer(o->json, "count", 1);
    return count;
}
