/* The API server of the pretended cluster. See world.h. */
#include "world_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "controller/view.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"

static void answer(struct world *w, uint64_t id, int status, const char *body)
{
    if (!id)
        return; /* the controller that asked is gone */
    world_push(w, CONTROLLER_ANSWER_STATUS, id)->e.status = status;
    struct world_event *e = world_push(w, CONTROLLER_ANSWER_BODY, id);
    e->data = mlt_strdup(body);
    e->e.length = strlen(body);
    (void)world_push(w, CONTROLLER_ANSWER_END, id);
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

struct world_object *world_find(struct world *w, const char *key)
{
    struct world_object *o;
    HASH_FIND_STR(w->objects, key, o);
    return o;
}

cJSON *world_object(struct world *w, const char *key)
{
    struct world_object *o = world_find(w, key);
    return o ? o->json : NULL;
}

static void bump(struct world *w, cJSON *json)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)++w->version);
    json_set_string(json, "metadata.resourceVersion", text);
}

static enum world_selected selected_by(const char *query)
{
    if (strstr(query, VIEW_OWN_PODS))
        return SELECTED_OWN;
    return strstr(query, VIEW_FOREIGN_PODS) ? SELECTED_FOREIGN : SELECTED_ALL;
}

static bool is_selected(enum world_selected selected, const cJSON *pod)
{
    const char *phase = json_string(pod, "status.phase", "Pending");
    bool own = json_find(pod, "metadata.labels[mltrain.io/job-uid]") != NULL;
    if (selected == SELECTED_FOREIGN)
        return !own && *json_string(pod, "spec.nodeName", "") && strcmp(phase, "Succeeded") != 0 &&
               strcmp(phase, "Failed") != 0;
    return own || selected == SELECTED_ALL;
}

static void notify(struct world *w, const char *key, const char *type, const cJSON *json)
{
    const char *slash = strchr(key, '/');
    cleanup_free char *object = json_print(json);
    for (int i = 0; i < WORLD_WATCHES_MAX; i++) {
        if (!w->watches[i].id || strncmp(w->watches[i].plural, key, (size_t)(slash - key)) != 0 ||
            strlen(w->watches[i].plural) != (size_t)(slash - key))
            continue;
        struct world_event *e = world_push(w, CONTROLLER_ANSWER_BODY, w->watches[i].id);
        e->data =
            mlt_asprintf("{\"type\":\"%s\",\"object\":%s}\n",
                         is_selected(w->watches[i].selected, json) ? type : "DELETED", object);
        e->e.length = strlen(e->data);
    }
}

cJSON *world_put_new(struct world *w, const char *key, cJSON *json)
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

void world_changed(struct world *w, const char *key)
{
    bump(w, world_object(w, key));
    notify(w, key, "MODIFIED", world_object(w, key));
}

static void remove_object(struct world *w, const char *key)
{
    struct world_object *o = world_find(w, key);
    if (!o)
        return;
    struct world_launcher *l = world_launcher_of_pod(w, key);
    HASH_DEL(w->objects, o);
    bump(w, o->json);
    notify(w, key, "DELETED", o->json);
    if (l)
        world_launcher_dies(w, l);
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
    if (!w->slow_garbage)
        remove_owned(w, uid);
}

void world_patch(struct world *w, const char *key, const char *patch)
{
    cleanup_json cJSON *json = NULL;
    struct world_object *o = world_find(w, key);
    assert_non_null(o);
    assert_int_equal(json_parse(patch, strlen(patch), &json, NULL), 0);
    if (json_member(json, "spec"))
        json_set_integer(o->json, "metadata.generation",
                         json_integer(o->json, "metadata.generation", 0) + 1);
    json_merge_patch(&o->json, json);
    world_changed(w, key);
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
    if (strncmp(o->key, t->plural, length) == 0 && o->key[length] == '/' &&
        is_selected(selected_by(t->query), o->json) &&
        !(w->hidden && strcmp(w->hidden, o->key) == 0))
        json_append(items, json_copy(o->json));
    struct world_event **end = w->last;
    answer_json(w, id, 200, list);
    if (!w->slow_list || strcmp(w->slow_list, t->plural) != 0)
        return;
    w->slow_list = NULL;
    w->held = *end;
    *end = NULL;
    w->last = end;
}

void world_list_arrives(struct world *w)
{
    *w->last = w->held;
    while (*w->last)
        w->last = &(*w->last)->next;
    w->held = NULL;
    world_run(w);
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
            strtoull(version, NULL, 10) <= since || !is_selected(selected_by(t->query), o->json))
            continue;
        cleanup_free char *object = json_print(o->json);
        struct world_event *e = world_push(w, CONTROLLER_ANSWER_BODY, id);
        e->data = mlt_asprintf("{\"type\":\"MODIFIED\",\"object\":%s}\n", object);
        e->e.length = strlen(e->data);
    }
}

static void serve_watch(struct world *w, uint64_t id, const struct target *t)
{
    world_push(w, CONTROLLER_ANSWER_STATUS, id)->e.status = 200;
    replay_since(w, id, t);
    for (int i = 0; i < WORLD_WATCHES_MAX; i++)
        if (!w->watches[i].id) {
            w->watches[i].id = id;
            (void)snprintf(w->watches[i].plural, sizeof w->watches[i].plural, "%s", t->plural);
            w->watches[i].selected = selected_by(t->query);
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

/* Placement stands in the status before any pod exists. */
static void check_placement(struct world *w, const cJSON *pod)
{
    const char *name = json_string(pod, "metadata.labels[mltrain.io/job-name]", "");
    const cJSON *job = world_job_object(w, name);
    assert_true(*json_string(pod, "spec.nodeName", "") != 0);
    if (job)
        assert_true(*json_string(job, "status.placement.workers", "") != 0);
}

/* Who asks for a scheduler finds one that binds where the pod requires it to. */
static void schedule(cJSON *pod)
{
    if (*json_string(pod, "spec.nodeName", "") == 0)
        json_set_string(pod, "spec.nodeName",
                        json_string(pod,
                                    "spec.affinity.nodeAffinity."
                                    "requiredDuringSchedulingIgnoredDuringExecution."
                                    "nodeSelectorTerms[0].matchFields[0].values[0]",
                                    ""));
}

static void drop_named(cJSON *list, const char *name)
{
    cJSON *next;
    for (cJSON *item = list ? list->child : NULL; item; item = next) {
        next = item->next;
        if (strcmp(json_string(item, "name", ""), name) == 0)
            cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
    }
}

/* Volumes and mounts go without a word (dropImageVolumes in pkg/api/pod/util.go). */
static void drop_image_volumes(cJSON *pod)
{
    cJSON *list = json_find(pod, "spec.volumes"), *container;
    cJSON_ArrayForEach(container, json_find(pod, "spec.containers"))
    {
        drop_named(json_member(container, "volumeMounts"), DELIVERY_VOLUME);
    }
    drop_named(list, DELIVERY_VOLUME);
}

static void serve_post(struct world *w, uint64_t id, const struct target *t, const char *body)
{
    cJSON *json = NULL;
    struct mlt_error err = {0};
    assert_int_equal(json_parse(body, strlen(body), &json, &err), 0);
    bool is_pod = strcmp(t->plural, "pods") == 0;
    bool dry = strstr(t->query, "dryRun=All") != NULL;
    if (is_pod && w->drops_image_volumes)
        drop_image_volumes(json);
    w->dry_runs += dry;
    if (strcmp(t->plural, "events") == 0 && !w->has_events)
        w->pods_at_first_event = w->pods_created;
    w->has_events |= strcmp(t->plural, "events") == 0;
    const char *refusal = is_pod ? (dry ? w->refuse_dry_run : w->refuse_pod) : NULL;
    const char *policy = is_pod && delivery_is_kept(json) ? w->refuse_mounted : NULL;
    cleanup_free char *key = key_of(t, json_string(json, "metadata.name", ""));
    w->pods_refused += refusal && !dry;
    if (refusal) {
        bool fails = dry ? w->fails_dry_run : w->fails_pod;
        answer_error(w, id, fails ? 500 : 422, fails ? "InternalError" : "Invalid", refusal);
    } else if (policy) {
        answer_error(w, id, 403, "Forbidden", policy);
    } else if (world_object(w, key)) {
        w->already_exists += is_pod && id;
        answer_error(w, id, 409, "AlreadyExists", "already exists");
    } else if (dry && w->hangs_dry_run) {
        /* no answer */
    } else if (dry) {
        json_set_string(json, "spec.containers[0].resources.requests.cpu", w->dry_run_cpu);
        answer_json(w, id, 201, json);
    } else {
        if (is_pod) {
            if (!w->no_scheduler) {
                schedule(json);
                check_placement(w, json);
            }
            json_set_string(json, "status.phase", "Pending");
            w->pods_created++;
            w->writes_at_last_pod = w->status_writes;
        }
        answer_json(w, id, 201, world_put_new(w, key, json));
        if (is_pod) {
            world_check_slots(w, json);
            world_kubelet_sees(w, key);
        }
        return;
    }
    cJSON_Delete(json);
}

static void serve_patch(struct world *w, uint64_t id, const struct target *t, const char *body)
{
    cleanup_free char *key = key_of(t, t->name);
    cleanup_json cJSON *patch = NULL;
    struct world_object *o = world_find(w, key);
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
    if (is_status && w->refuse_status) {
        answer_error(w, id, 422, "Invalid", w->refuse_status);
        return;
    }
    if (is_status && w->conflicts > 0) {
        w->conflicts--;
        world_changed(w, key);
    }
    if (*version && strcmp(version, json_string(o->json, "metadata.resourceVersion", "")) != 0) {
        answer_error(w, id, 409, "Conflict", "the object has been modified");
        return;
    }
    json_merge_patch(&o->json, patch);
    world_changed(w, key);
    answer_json(w, id, 200, o->json);
}

static void serve_delete(struct world *w, uint64_t id, const struct target *t)
{
    cleanup_free char *key = key_of(t, t->name);
    if (w->refuse_delete) {
        answer_error(w, id, 403, "Forbidden", w->refuse_delete);
        return;
    }
    w->pods_deleted += strcmp(t->plural, "pods") == 0 && world_object(w, key);
    /* Nobody on a lost node says that the pod has ended: it stays, Terminating. */
    if (strcmp(t->plural, "pods") == 0 && world_is_on_lost_node(w, world_object(w, key))) {
        json_set_string(world_object(w, key), "metadata.deletionTimestamp", "2026-01-01T00:00:00Z");
        world_changed(w, key);
        answer_json(w, id, 200, world_object(w, key));
        return;
    }
    if (!world_object(w, key)) {
        answer_error(w, id, 404, "NotFound", "not found");
        return;
    }
    answer_json(w, id, 200, world_object(w, key));
    world_delete(w, key);
}

static bool is_of_volumes(const struct target *t)
{
    return strncmp(t->plural, "persistentvolume", 16) == 0 ||
           strcmp(t->plural, "storageclasses") == 0;
}

void world_serve(struct world *w, const struct world_event *request)
{
    struct target t = parse_path(request->path);
    if (w->verbose)
        printf("    %s %s %s\n", request->verb, request->path,
               request->body && strcmp(t.plural, "trainingjobs") == 0 ? request->body : "");
    size_t length = strlen(request->path), end = w->mute ? strlen(w->mute) : 0;
    if (end && length >= end && strcmp(request->path + length - end, w->mute) == 0) {
        w->mute = NULL;
    } else if (w->unavailable > 0 && strcmp(t.plural, "leases") != 0) {
        w->unavailable--;
        answer_error(w, request->e.id, 503, "ServiceUnavailable", "try again");
    } else if (strcmp(t.namespace_, "kube-node-lease") == 0 && w->mute_leases) {
        answer_error(w, request->e.id, 503, "ServiceUnavailable", "try again");
    } else if (w->refuse_volumes && is_of_volumes(&t)) {
        answer_error(w, request->e.id, 403, "Forbidden", w->refuse_volumes);
    } else if (strcmp(request->verb, "GET") == 0) {
        w->volumes_read += is_of_volumes(&t);
        w->leases_read += strcmp(t.namespace_, "kube-node-lease") == 0;
        serve_get(w, request->e.id, &t);
    } else if (strcmp(request->verb, "POST") == 0) {
        serve_post(w, request->e.id, &t, request->body);
    } else if (strcmp(request->verb, "PATCH") == 0) {
        serve_patch(w, request->e.id, &t, request->body);
    } else {
        serve_delete(w, request->e.id, &t);
    }
}
