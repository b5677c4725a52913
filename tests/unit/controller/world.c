/* The pretended cluster: see world.h. */
#include "world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "trainingjob/trainingjob.h"

#define WALL_START INT64_C(1764273600000)

/* ---- events for the controller ---- */

static struct world_event *push(struct world *w, enum controller_event_kind kind, uint64_t id)
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
    free(e);
}

static void answer(struct world *w, uint64_t id, int status, const char *body)
{
    push(w, CONTROLLER_ANSWER_STATUS, id)->e.status = status;
    struct world_event *e = push(w, CONTROLLER_ANSWER_BODY, id);
    e->data = mlt_strdup(body);
    e->e.length = strlen(body);
    (void)push(w, CONTROLLER_ANSWER_END, id);
}

static void answer_json(struct world *w, uint64_t id, int status, const cJSON *json)
{
    cleanup_free char *body = json_print(json);
    answer(w, id, status, body);
}

static void answer_error(struct world *w, uint64_t id, int status, const char *reason,
                         const char *message)
{
    cleanup_json cJSON *json = cJSON_CreateObject();
    json_set_string(json, "kind", "Status");
    json_set_string(json, "status", "Failure");
    json_set_string(json, "reason", reason);
    json_set_string(json, "message", message);
    json_set_integer(json, "code", status);
    answer_json(w, id, status, json);
}

/* ---- store ---- */

static struct world_object *find(struct world *w, const char *key)
{
    struct world_object *o;
    HASH_FIND_STR(w->objects, key, o);
    return o;
}

cJSON *world_object(struct world *w, const char *key)
{
    struct world_object *o = find(w, key);
    return o ? o->json : NULL;
}

static void bump(struct world *w, cJSON *json)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)++w->version);
    json_set_string(json, "metadata.resourceVersion", text);
}

static void notify(struct world *w, const char *key, const char *type, const cJSON *json)
{
    const char *slash = strchr(key, '/');
    cleanup_free char *object = json_print(json);
    for (int i = 0; i < WORLD_WATCHES_MAX; i++) {
        if (!w->watches[i].id || strncmp(w->watches[i].plural, key, (size_t)(slash - key)) != 0 ||
            strlen(w->watches[i].plural) != (size_t)(slash - key))
            continue;
        struct world_event *e = push(w, CONTROLLER_ANSWER_BODY, w->watches[i].id);
        e->data = mlt_asprintf("{\"type\":\"%s\",\"object\":%s}\n", type, object);
        e->e.length = strlen(e->data);
    }
}

static cJSON *put_new(struct world *w, const char *key, cJSON *json)
{
    char uid[64], time[MLT_TIME_TEXT_MAX];
    struct world_object *o = mlt_calloc(1, sizeof *o);
    (void)snprintf(uid, sizeof uid, "uid-%06llu", (unsigned long long)++w->uids);
    mlt_time_format(w->wall_ms, time);
    json_set_string(json, "metadata.uid", uid);
    json_set_string(json, "metadata.creationTimestamp", time);
    json_set_integer(json, "metadata.generation", 1);
    bump(w, json);
    o->key = mlt_strdup(key);
    o->json = json;
    HASH_ADD_KEYPTR(hh, w->objects, o->key, strlen(o->key), o);
    notify(w, key, "ADDED", json);
    return json;
}

static void changed(struct world *w, const char *key)
{
    bump(w, world_object(w, key));
    notify(w, key, "MODIFIED", world_object(w, key));
}

static void launcher_dies(struct world *w, struct world_launcher *l)
{
    if (l->channel)
        push(w, CONTROLLER_CHANNEL_CLOSED, l->channel)->error = mlt_strdup("connection reset");
    free(l->pod);
    free(l->uid);
    free(l->job_uid);
    *l = (struct world_launcher){0};
}

static struct world_launcher *launcher_of_pod(struct world *w, const char *key)
{
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++)
        if (w->launchers[i].used && strcmp(w->launchers[i].pod, key) == 0)
            return &w->launchers[i];
    return NULL;
}

static void remove_object(struct world *w, const char *key)
{
    struct world_object *o = find(w, key);
    if (!o)
        return;
    struct world_launcher *l = launcher_of_pod(w, key);
    HASH_DEL(w->objects, o);
    bump(w, o->json);
    notify(w, key, "DELETED", o->json);
    if (l)
        launcher_dies(w, l);
    cJSON_Delete(o->json);
    free(o->key);
    free(o);
}

/* The garbage collector. */
static void remove_owned(struct world *w, const char *uid)
{
    struct world_object *o, *next;
    HASH_ITER(hh, w->objects, o, next)
    if (strcmp(json_string(o->json, "metadata.ownerReferences[0].uid", ""), uid) == 0) {
        cleanup_free char *key = mlt_strdup(o->key);
        remove_object(w, key);
    }
}

void world_delete(struct world *w, const char *key)
{
    cleanup_free char *uid = mlt_strdup(json_string(world_object(w, key), "metadata.uid", "-"));
    cleanup_free char *copy = mlt_strdup(key);
    remove_object(w, copy);
    remove_owned(w, uid);
}

void world_patch(struct world *w, const char *key, const char *patch)
{
    cleanup_json cJSON *json = NULL;
    struct world_object *o = find(w, key);
    assert_non_null(o);
    assert_int_equal(json_parse(patch, strlen(patch), &json, NULL), 0);
    if (json_member(json, "spec"))
        json_set_integer(o->json, "metadata.generation",
                         json_integer(o->json, "metadata.generation", 0) + 1);
    json_merge_patch(&o->json, json);
    changed(w, key);
}

/* ---- the kubelet and the launchers ---- */

static void say(struct world *w, struct world_launcher *l, struct rendezvous_message *m)
{
    struct mlt_text text = MLT_TEXT_INIT(RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX);
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    if (!l->channel)
        return;
    rendezvous_message_write(&text, m);
    assert_false(text.failed);
    rendezvous_reader_init(&reader, RENDEZVOUS_UP);
    assert_int_equal(rendezvous_reader_feed(&reader, text.data, text.length, NULL), 0);
    assert_int_equal(rendezvous_reader_next(&reader, &frame, NULL), 1);
    struct world_event *e = push(w, CONTROLLER_CHANNEL_FRAME, l->channel);
    e->data = mlt_memdup(frame.payload, frame.length + 1u);
    e->frame = frame;
    e->frame.payload = (const unsigned char *)e->data;
    rendezvous_reader_release(&reader);
    mlt_text_release(&text);
}

static uint32_t running(const struct world_launcher *l)
{
    return l->state == LAUNCHER_RUNNING ? l->nproc - l->exits_count : 0;
}

static void say_hello(struct world *w, struct world_launcher *l)
{
    static const uint32_t states[] = {
        [LAUNCHER_AWAY] = RENDEZVOUS_STATE_IDLE,
        [LAUNCHER_READY] = RENDEZVOUS_STATE_READY,
        [LAUNCHER_RUNNING] = RENDEZVOUS_STATE_RUNNING,
        [LAUNCHER_STOPPED] = RENDEZVOUS_STATE_STOPPED,
    };
    struct rendezvous_message m = {.type = RENDEZVOUS_HELLO};
    m.attempt = l->state == LAUNCHER_READY ? l->ready_attempt : l->attempt;
    m.hello = (struct rendezvous_hello){
        .pod_uid = l->uid,
        .role = "worker",
        .node = json_string(world_object(w, l->pod), "spec.nodeName", ""),
        .address = "127.0.1.1",
        .slot = l->slot,
        .launcher_version = "test",
        .state = states[l->state],
        .start_digest = l->digest,
        .start_attempt = l->attempt,
        .port = l->state == LAUNCHER_READY ? 4000 : 0,
        .running = running(l),
        .exits = l->exits,
        .exits_count = l->exits_count,
        .checkpoints = l->checkpoints,
        .checkpoints_count = l->checkpoints_count,
        .step = RENDEZVOUS_NO_STEP,
    };
    if (l->stopping)
        m.hello.state = RENDEZVOUS_STATE_STOPPING;
    say(w, l, &m);
}

void world_launcher_connects(struct world *w, struct world_launcher *l)
{
    l->channel = ++w->channels;
    push(w, CONTROLLER_CHANNEL_OPENED, l->channel)->uid = mlt_strdup(l->job_uid);
    say_hello(w, l);
}

static void become_ready(struct world *w, struct world_launcher *l, uint64_t attempt)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_READY, .attempt = attempt};
    m.ready.port = 4000;
    l->state = LAUNCHER_READY;
    l->ready_attempt = attempt;
    say(w, l, &m);
}

void world_stopped(struct world *w, struct world_launcher *l)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_STOPPED, .attempt = l->attempt};
    bool gone[8] = {false};
    if (l->state != LAUNCHER_RUNNING)
        return;
    for (uint32_t i = 0; i < l->exits_count; i++)
        gone[l->exits[i].local_rank] = true;
    for (uint32_t i = 0; i < l->nproc; i++)
        if (!gone[i])
            l->exits[l->exits_count++] =
                (struct rendezvous_exit){.rank = l->rank_base + i,
                                         .local_rank = i,
                                         .signal = 9,
                                         .cause = RENDEZVOUS_CAUSE_KILLED_BY_US,
                                         .after_ms = 100000,
                                         .tail = ""};
    m.stopped.exits = l->exits;
    m.stopped.exits_count = l->exits_count;
    l->state = LAUNCHER_STOPPED;
    l->stopping = false;
    say(w, l, &m);
    become_ready(w, l, l->attempt + 1);
}

static void obey_start(struct world *w, struct world_launcher *l,
                       const struct rendezvous_message *m)
{
    /* No START before its attempt stands in the status: the server is asked, not the controller. */
    struct world_object *o, *next;
    HASH_ITER(hh, w->objects, o, next)
    if (strcmp(json_string(o->json, "metadata.uid", ""), l->job_uid) == 0)
        assert_true(json_integer(o->json, "status.attempt", 0) >= (int64_t)m->attempt);
    if (l->state == LAUNCHER_RUNNING && l->attempt == m->attempt)
        return;
    assert_int_equal(l->state, LAUNCHER_READY);
    l->state = LAUNCHER_RUNNING;
    l->attempt = m->attempt;
    l->digest = rendezvous_start_digest(m->attempt, &m->start);
    l->rank_base = m->start.rank_base;
    l->world_size = m->start.world_size;
    l->resume_step = m->start.resume_step;
    l->exits_count = 0;
    w->starts++;
    uint32_t pids[8] = {101, 102, 103, 104, 105, 106, 107, 108};
    struct rendezvous_message started = {.type = RENDEZVOUS_STARTED, .attempt = l->attempt};
    started.started.pids = pids;
    started.started.pids_count = l->nproc;
    started.started.start_to_exec_us = 900;
    say(w, l, &started);
}

static void set_trainer(struct world *w, const char *key, const char *phase, int code)
{
    struct world_object *o = find(w, key);
    cJSON *statuses = cJSON_CreateArray();
    cJSON *status = cJSON_CreateObject();
    json_set_string(status, "name", "trainer");
    if (code < 0) {
        (void)json_set_object(status, "state.running");
    } else {
        json_set_integer(status, "state.terminated.exitCode", code);
        json_set_string(status, "state.terminated.reason", code ? "Error" : "Completed");
    }
    json_append(statuses, status);
    json_set_string(o->json, "status.phase", phase);
    json_set(o->json, "status.containerStatuses", statuses);
    changed(w, key);
}

void world_pod_ends(struct world *w, struct world_launcher *l, int code)
{
    cleanup_free char *key = mlt_strdup(l->pod);
    launcher_dies(w, l);
    set_trainer(w, key, code ? "Failed" : "Succeeded", code);
}

static void hear(struct world *w, struct world_launcher *l, const struct rendezvous_message *m)
{
    switch (m->type) {
    case RENDEZVOUS_WELCOME:
        if (l->state == LAUNCHER_AWAY ||
            (l->state == LAUNCHER_READY && l->ready_attempt < m->welcome.next_attempt))
            become_ready(w, l, m->welcome.next_attempt);
        break;
    case RENDEZVOUS_START:
        obey_start(w, l, m);
        break;
    case RENDEZVOUS_STOP:
        if (l->attempt == m->attempt && l->state == LAUNCHER_RUNNING) {
            l->stopping = true;
            if (!l->hold_stop || m->stop.grace_ms == 0)
                world_stopped(w, l);
        }
        break;
    case RENDEZVOUS_EXIT:
        l->exit_code = m->exit.code;
        world_pod_ends(w, l, m->exit.code);
        break;
    case RENDEZVOUS_PING:
        say(w, l,
            &(struct rendezvous_message){
                .type = RENDEZVOUS_PONG, .attempt = m->attempt, .ping = m->ping});
        break;
    case RENDEZVOUS_REFUSED:
        if (w->verbose)
            printf("    refused: %s\n", m->refused.reason);
        break;
    default:
        break;
    }
}

static void channel_send(struct world *w, const struct controller_effect *effect)
{
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    struct world_launcher *l = NULL;
    rendezvous_reader_init(&reader, RENDEZVOUS_DOWN);
    assert_int_equal(rendezvous_reader_feed(&reader, effect->body, effect->length, NULL), 0);
    while (rendezvous_reader_next(&reader, &frame, NULL) == 1) {
        struct rendezvous_message m;
        l = NULL;
        for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++)
            if (w->launchers[i].used && w->launchers[i].channel == effect->id)
                l = &w->launchers[i];
        assert_int_equal(rendezvous_message_read(&frame, &m, NULL), 0);
        if (w->verbose)
            printf("    -> %llu %s attempt %llu\n", (unsigned long long)effect->id,
                   rendezvous_type_name(frame.type), (unsigned long long)frame.attempt);
        if (l)
            hear(w, l, &m);
        rendezvous_message_release(&m);
    }
    rendezvous_reader_release(&reader);
}

static struct world_launcher *launcher_new(struct world *w, const char *key, const cJSON *pod)
{
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++) {
        struct world_launcher *l = &w->launchers[i];
        if (l->used)
            continue;
        *l = (struct world_launcher){.used = true, .exit_code = -1, .nproc = 1};
        l->pod = mlt_strdup(key);
        l->uid = mlt_strdup(json_string(pod, "metadata.uid", ""));
        l->job_uid = mlt_strdup(json_string(pod, "metadata.labels[mltrain.io/job-uid]", ""));
        l->slot =
            (uint32_t)strtoul(json_string(pod, "metadata.labels[mltrain.io/index]", "0"), NULL, 10);
        return l;
    }
    fail_msg("too many launchers");
    return NULL;
}

/* No two living pods of one slot. */
static void check_slots(struct world *w, const cJSON *pod)
{
    struct world_object *o, *next;
    unsigned alive = 0;
    HASH_ITER(hh, w->objects, o, next)
    {
        const char *phase = json_string(o->json, "status.phase", "");
        if (strncmp(o->key, "pods/", 5) != 0 || strcmp(phase, "Failed") == 0 ||
            strcmp(phase, "Succeeded") == 0)
            continue;
        alive += strcmp(json_string(o->json, "metadata.labels[mltrain.io/job-uid]", "-"),
                        json_string(pod, "metadata.labels[mltrain.io/job-uid]", "")) == 0 &&
                 strcmp(json_string(o->json, "metadata.labels[mltrain.io/index]", "-"),
                        json_string(pod, "metadata.labels[mltrain.io/index]", "")) == 0 &&
                 json_bool(o->json, "lost", false) == false;
    }
    assert_int_equal(alive, 1);
}

static void kubelet_sees(struct world *w, const char *key)
{
    struct world_object *o = find(w, key);
    const char *node = json_string(o->json, "spec.nodeName", "");
    if (w->reject_on && strcmp(node, w->reject_on) == 0) {
        json_set_string(o->json, "status.phase", "Failed");
        json_set_string(o->json, "status.reason", "OutOfnvidia.com/gpu");
        json_set_string(o->json, "status.message", "Node didn't have enough resource");
        changed(w, key);
        return;
    }
    if (w->no_kubelet)
        return;
    set_trainer(w, key, "Running", -1);
    world_launcher_connects(w, launcher_new(w, key, o->json));
}

/* ---- the API server ---- */

struct target {
    char plural[64], namespace_[64], name[128], subresource[32];
    char query[512];
};

static struct target parse_path(const char *path)
{
    struct target t = {0};
    char copy[2048];
    char *parts[12];
    int count = 0, at;
    (void)snprintf(copy, sizeof copy, "%s", path);
    char *question = strchr(copy, '?');
    if (question) {
        (void)snprintf(t.query, sizeof t.query, "%s", question + 1);
        *question = 0;
    }
    for (char *s = copy; s && count < 12; count++) {
        char *slash = strchr(s + 1, '/');
        parts[count] = s + 1;
        if (slash)
            *slash = 0;
        s = slash;
    }
    at = strcmp(parts[0], "api") == 0 ? 2 : 3;
    if (strcmp(parts[at], "namespaces") == 0 && count > at + 2) {
        (void)snprintf(t.namespace_, sizeof t.namespace_, "%s", parts[at + 1]);
        at += 2;
    }
    (void)snprintf(t.plural, sizeof t.plural, "%s", parts[at]);
    if (count > at + 1)
        (void)snprintf(t.name, sizeof t.name, "%s", parts[at + 1]);
    if (count > at + 2)
        (void)snprintf(t.subresource, sizeof t.subresource, "%s", parts[at + 2]);
    return t;
}

static char *key_of(const struct target *t, const char *name)
{
    return mlt_asprintf("%s/%s/%s", t->plural, t->namespace_, name);
}

static void serve_list(struct world *w, uint64_t id, const struct target *t)
{
    cleanup_json cJSON *list = cJSON_CreateObject();
    char version[32];
    struct world_object *o, *next;
    size_t length = strlen(t->plural);
    (void)snprintf(version, sizeof version, "%llu", (unsigned long long)w->version);
    json_set_string(list, "apiVersion", "v1");
    json_set_string(list, "kind", "List");
    json_set_string(list, "metadata.resourceVersion", version);
    cJSON *items = json_set_array(list, "items");
    HASH_ITER(hh, w->objects, o, next)
    if (strncmp(o->key, t->plural, length) == 0 && o->key[length] == '/')
        json_append(items, json_copy(o->json));
    answer_json(w, id, 200, list);
}

/* What changed since the list is told first; what was deleted in between is lost, and no story
 * deletes there. */
static void replay_since(struct world *w, uint64_t id, const struct target *t)
{
    const char *asked = strstr(t->query, "resourceVersion=");
    uint64_t since = asked ? strtoull(asked + strlen("resourceVersion="), NULL, 10) : 0;
    size_t length = strlen(t->plural);
    struct world_object *o, *next;
    HASH_ITER(hh, w->objects, o, next)
    {
        const char *version = json_string(o->json, "metadata.resourceVersion", "0");
        if (strncmp(o->key, t->plural, length) != 0 || o->key[length] != '/' ||
            strtoull(version, NULL, 10) <= since)
            continue;
        cleanup_free char *object = json_print(o->json);
        struct world_event *e = push(w, CONTROLLER_ANSWER_BODY, id);
        e->data = mlt_asprintf("{\"type\":\"MODIFIED\",\"object\":%s}\n", object);
        e->e.length = strlen(e->data);
    }
}

static void serve_watch(struct world *w, uint64_t id, const struct target *t)
{
    push(w, CONTROLLER_ANSWER_STATUS, id)->e.status = 200;
    replay_since(w, id, t);
    for (int i = 0; i < WORLD_WATCHES_MAX; i++)
        if (!w->watches[i].id) {
            w->watches[i].id = id;
            (void)snprintf(w->watches[i].plural, sizeof w->watches[i].plural, "%s", t->plural);
            return;
        }
    fail_msg("too many watches");
}

static void serve_get(struct world *w, uint64_t id, const struct target *t)
{
    cleanup_free char *key = key_of(t, t->name);
    if (!*t->name && strstr(t->query, "watch=1")) {
        serve_watch(w, id, t);
    } else if (!*t->name) {
        serve_list(w, id, t);
    } else if (world_object(w, key)) {
        w->secrets_read += strcmp(t->plural, "secrets") == 0;
        answer_json(w, id, 200, world_object(w, key));
    } else {
        answer_error(w, id, 404, "NotFound", "not found");
    }
}

static void serve_post(struct world *w, uint64_t id, const struct target *t, const char *body)
{
    cJSON *json = NULL;
    struct mlt_error err = {0};
    assert_int_equal(json_parse(body, strlen(body), &json, &err), 0);
    bool is_pod = strcmp(t->plural, "pods") == 0;
    bool dry = strstr(t->query, "dryRun=All") != NULL;
    const char *refusal = is_pod ? (dry ? w->refuse_dry_run : w->refuse_pod) : NULL;
    cleanup_free char *key = key_of(t, json_string(json, "metadata.name", ""));
    if (refusal) {
        answer_error(w, id, 422, "Invalid", refusal);
    } else if (world_object(w, key)) {
        answer_error(w, id, 409, "AlreadyExists", "already exists");
    } else if (dry) {
        answer_json(w, id, 201, json);
    } else {
        if (is_pod) {
            /* Placement is written before any pod exists. */
            assert_true(*json_string(json, "spec.nodeName", "") != 0);
            json_set_string(json, "status.phase", "Pending");
            w->pods_created++;
        }
        answer_json(w, id, 201, put_new(w, key, json));
        if (is_pod) {
            check_slots(w, json);
            kubelet_sees(w, key);
        }
        return;
    }
    cJSON_Delete(json);
}

static void serve_patch(struct world *w, uint64_t id, const struct target *t, const char *body)
{
    cleanup_free char *key = key_of(t, t->name);
    cleanup_json cJSON *patch = NULL;
    struct world_object *o = find(w, key);
    bool is_status = strcmp(t->subresource, "status") == 0;
    assert_int_equal(json_parse(body, strlen(body), &patch, NULL), 0);
    const char *version = json_string(patch, "metadata.resourceVersion", "");
    if (is_status) {
        w->status_writes++;
        assert_true(*version != 0);
    }
    if (!o) {
        answer_error(w, id, 404, "NotFound", "not found");
        return;
    }
    if (is_status && w->conflicts > 0) {
        w->conflicts--;
        changed(w, key);
    }
    if (*version && strcmp(version, json_string(o->json, "metadata.resourceVersion", "")) != 0) {
        answer_error(w, id, 409, "Conflict", "the object has been modified");
        return;
    }
    json_merge_patch(&o->json, patch);
    changed(w, key);
    answer_json(w, id, 200, o->json);
}

static void serve_delete(struct world *w, uint64_t id, const struct target *t)
{
    cleanup_free char *key = key_of(t, t->name);
    if (!world_object(w, key)) {
        answer_error(w, id, 404, "NotFound", "not found");
        return;
    }
    w->pods_deleted += strcmp(t->plural, "pods") == 0;
    answer_json(w, id, 200, world_object(w, key));
    world_delete(w, key);
}

static void serve(struct world *w, const struct controller_effect *effect)
{
    struct target t = parse_path(effect->path);
    if (w->verbose)
        printf("    %s %s %s\n", effect->verb, effect->path,
               effect->body && strcmp(t.plural, "trainingjobs") == 0 ? effect->body : "");
    if (w->unavailable > 0 && strcmp(t.plural, "leases") != 0) {
        w->unavailable--;
        answer_error(w, effect->id, 503, "ServiceUnavailable", "try again");
    } else if (strcmp(effect->verb, "GET") == 0) {
        serve_get(w, effect->id, &t);
    } else if (strcmp(effect->verb, "POST") == 0) {
        serve_post(w, effect->id, &t, effect->body);
    } else if (strcmp(effect->verb, "PATCH") == 0) {
        serve_patch(w, effect->id, &t, effect->body);
    } else {
        serve_delete(w, effect->id, &t);
    }
}

/* ---- the loop ---- */

static void close_channel(struct world *w, uint64_t id)
{
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++)
        if (w->launchers[i].used && w->launchers[i].channel == id)
            w->launchers[i].channel = 0;
}

static void carry_out(struct world *w, const struct controller_effect *effect)
{
    switch (effect->kind) {
    case CONTROLLER_EFFECT_REQUEST:
        serve(w, effect);
        break;
    case CONTROLLER_EFFECT_CANCEL:
        for (int i = 0; i < WORLD_WATCHES_MAX; i++)
            if (w->watches[i].id == effect->id)
                w->watches[i].id = 0;
        break;
    case CONTROLLER_EFFECT_CHANNEL_SEND:
        channel_send(w, effect);
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
        /* A line at error level is a mistake that no story here should make. */
        assert_true(effect->level != MLT_LOG_ERROR);
        break;
    case CONTROLLER_EFFECT_EXITED:
        w->exited = true;
        w->exited_lost = effect->lost;
        break;
    }
}

static void forget_events(struct world *w)
{
    struct world_event *next;
    for (struct world_event *e = w->first; e; e = next) {
        next = e->next;
        event_free(e);
    }
    w->first = NULL;
    w->last = &w->first;
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
        .channel_address = "127.0.0.1:7777",
        .launcher_image = "launcher:1",
        .launcher_command = "/mltrain-launcher",
        .version = "1",
        .gpu_resources = gpus,
        .gpu_resources_count = 1,
        .seed = 42,
        .derive_key = derive_key,
    };
    w->c = controller_new(&config);
    w->timer_ms = INT64_MAX;
    (void)push(w, CONTROLLER_TIMER, 0);
}

void world_replace_controller(struct world *w)
{
    controller_free(w->c);
    forget_events(w);
    memset(w->watches, 0, sizeof w->watches);
    w->exited = w->dropped = false;
    new_controller(w);
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++)
        if (w->launchers[i].used)
            world_launcher_connects(w, &w->launchers[i]);
}

/* False when the controller was dropped in the middle. */
static bool drain(struct world *w)
{
    struct controller_effect effect;
    while (controller_next_effect(w->c, &effect)) {
        w->effects++;
        if (w->drop_after > 0 && --w->drop_after == 0) {
            w->dropped = true;
            world_replace_controller(w);
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
        struct world_event *e = w->first;
        if (!e && w->timer_ms <= w->now_ms) {
            w->timer_ms = INT64_MAX;
            e = push(w, CONTROLLER_TIMER, 0);
        }
        if (!e)
            return;
        w->first = e->next;
        if (!w->first)
            w->last = &w->first;
        step(w, e);
        event_free(e);
    }
    fail_msg("the world does not come to rest");
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
    (void)put_new(w, key, node);
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

void world_submit(struct world *w, const char *name, int replicas, const char *patch)
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
    (void)put_new(w, key, json);
    world_run(w);
}

/* ---- looking ---- */

static cJSON *job_object(struct world *w, const char *job)
{
    cleanup_free char *key = mlt_asprintf("trainingjobs/team/%s", job);
    return world_object(w, key);
}

const char *world_phase(struct world *w, const char *job)
{
    return json_string(job_object(w, job), "status.phase", "");
}

const char *world_status(struct world *w, const char *job, const char *path)
{
    return json_string(json_member(job_object(w, job), "status"), path, "");
}

int64_t world_number(struct world *w, const char *job, const char *path)
{
    return json_integer(json_member(job_object(w, job), "status"), path, 0);
}

static const char *condition_field(struct world *w, const char *job, const char *type,
                                   const char *field)
{
    const cJSON *condition;
    cJSON_ArrayForEach(condition, json_find(job_object(w, job), "status.conditions"))
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

unsigned world_count(struct world *w, const char *plural)
{
    unsigned count = 0;
    size_t length = strlen(plural);
    struct world_object *o, *next;
    HASH_ITER(hh, w->objects, o, next)
    count += strncmp(o->key, plural, length) == 0 && o->key[length] == '/';
    return count;
}

bool world_has_event(struct world *w, const char *reason)
{
    struct world_object *o, *next;
    HASH_ITER(hh, w->objects, o, next)
    if (strncmp(o->key, "events/", 7) == 0 &&
        strcmp(json_string(o->json, "reason", ""), reason) == 0)
        return true;
    return false;
}

/* ---- what launchers tell ---- */

struct world_launcher *world_launcher(struct world *w, const char *job, uint32_t slot)
{
    const char *uid = json_string(job_object(w, job), "metadata.uid", "-");
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++)
        if (w->launchers[i].used && w->launchers[i].slot == slot &&
            strcmp(w->launchers[i].job_uid, uid) == 0)
            return &w->launchers[i];
    return NULL;
}

void world_rank_exits(struct world *w, struct world_launcher *l, uint32_t local_rank, int code,
                      int signal, uint64_t after_ms)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_RANK_EXIT, .attempt = l->attempt};
    m.rank_exit.exit = (struct rendezvous_exit){
        .rank = l->rank_base + local_rank,
        .local_rank = local_rank,
        .code = code,
        .signal = signal,
        .cause = signal ? RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE : RENDEZVOUS_CAUSE_EXITED,
        .after_ms = after_ms,
        .tail = code ? "Traceback: boom" : "",
    };
    l->exits[l->exits_count++] = m.rank_exit.exit;
    say(w, l, &m);
    world_run(w);
}

void world_job_ends_well(struct world *w, const char *job)
{
    for (uint32_t slot = 0; slot < WORLD_LAUNCHERS_MAX; slot++) {
        struct world_launcher *l = world_launcher(w, job, slot);
        if (l && l->state == LAUNCHER_RUNNING)
            world_rank_exits(w, l, 0, 0, 0, 5000);
    }
}

void world_progress(struct world *w, struct world_launcher *l, int64_t step_number, int64_t total)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_PROGRESS, .attempt = l->attempt};
    m.progress.step = step_number;
    m.progress.total_steps = total;
    m.progress.steps_per_kilosecond = 2000;
    say(w, l, &m);
    world_run(w);
}

void world_checkpoint(struct world *w, struct world_launcher *l, int64_t step_number, int64_t torn)
{
    static const char *const path = "/checkpoints/c";
    struct rendezvous_message m = {.type = RENDEZVOUS_CHECKPOINT, .attempt = l->attempt};
    if (step_number >= 0) {
        if (l->checkpoints_count == 4)
            l->checkpoints_count = 3;
        memmove(&l->checkpoints[1], &l->checkpoints[0],
                l->checkpoints_count * sizeof l->checkpoints[0]);
        l->checkpoints[0] = (struct rendezvous_checkpoint){
            .step = step_number, .path = path, .wall_ms = w->wall_ms};
        l->checkpoints_count++;
    }
    m.checkpoint.checkpoints = l->checkpoints;
    m.checkpoint.checkpoints_count = l->checkpoints_count;
    m.checkpoint.torn_step = torn;
    say(w, l, &m);
    world_run(w);
}

void world_node_ready(struct world *w, const char *node, bool ready)
{
    cleanup_free char *key = mlt_asprintf("nodes//%s", node);
    cJSON *json = world_object(w, key);
    json_set_string(json_find(json, "status.conditions[0]"), "status", ready ? "True" : "Unknown");
    changed(w, key);
    world_run(w);
}

void world_channel_breaks(struct world *w, struct world_launcher *l)
{
    push(w, CONTROLLER_CHANNEL_CLOSED, l->channel)->error = mlt_strdup("connection reset");
    l->channel = 0;
    world_run(w);
}
