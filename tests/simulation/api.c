/* The API server, and the network between it and the controllers. See sim.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/crd_files.h"
#include "tests/simulation/sim.h"

#define WATCH_BYTES (64u * 1024)
#define TIMEOUT_MS 30000 /* of a request whose answer is lost: the edge's idle limit */
#define MERGE_PATCH "application/merge-patch+json"

static const char *const mirrored[] = {
    "/apis/mltrain.io/v1alpha1/trainingjobs",
    "/api/v1/pods",
    "/api/v1/secrets",
    "/api/v1/nodes",
    "/apis/coordination.k8s.io/v1/namespaces/mltrain-system/leases",
};

/* ---- the server ---- */

void api_prepare(struct sim *s)
{
    struct mlt_error err = {0};
    mlt_random_init(&s->server_random, 1);
    s->store = store_memory_new();
    struct api_server_config config = {.store = s->store, .random = &s->server_random};
    config.crds_yaml = api_crd_files(&config.crds_yaml_length);
    if (api_server_new(&config, SIM_WALL_START, &s->server, &err) < 0) {
        (void)fprintf(stderr, "api server: %s\n", err.text);
        exit(2);
    }
}

cJSON *sim_parse(const char *text)
{
    cJSON *json = NULL;
    return text && json_parse(text, strlen(text), &json, NULL) == 0 ? json : NULL;
}

static void serve(struct sim *s, const char *verb, const char *path, const char *type,
                  const char *body, struct api_answer *ret)
{
    const struct api_request request = {
        .method = verb,
        .target = path,
        .accept = "application/json",
        .content_type = body ? (type ? type : "application/json") : NULL,
        .body = body ? body : "",
        .body_length = body ? strlen(body) : 0,
        .now_ms = sim_wall_ms(s),
    };
    if (strcmp(verb, "GET") == 0 && strstr(path, "kube-node-lease"))
        kubelet_renew_leases(s);
    api_request(s->server, &request, ret);
}

int api_now(struct sim *s, const char *verb, const char *path, const char *type, const char *body,
            cJSON **ret)
{
    struct api_answer answer;
    serve(s, verb, path, type, body, &answer);
    int status = answer.status;
    if (ret)
        *ret = sim_parse(mlt_text_string(&answer.body));
    api_answer_release(&answer);
    return status;
}

int api_patch(struct sim *s, const char *path, const cJSON *patch)
{
    cleanup_free char *body = json_print(patch);
    return api_now(s, "PATCH", path, MERGE_PATCH, body, NULL);
}

static void work(struct sim *s, uint64_t id, void *data)
{
    (void)id;
    (void)data;
    s->work_scheduled = false;
    if (api_server_work(s->server, sim_wall_ms(s))) {
        s->work_scheduled = true;
        sim_after(s, 5, work, 0, NULL);
    }
}

/* ---- the mirror ---- */

bool api_is(const struct sim_object *o, const char *plural)
{
    size_t length = strlen(plural);
    return strncmp(o->key, plural, length) == 0 && o->key[length] == '/';
}

static struct sim_object *object_find(struct sim *s, const char *key)
{
    struct sim_object *o;
    HASH_FIND_STR(s->objects, key, o);
    return o;
}

cJSON *api_object(struct sim *s, const char *plural, const char *name)
{
    char key[256];
    (void)snprintf(key, sizeof key, "%s/%s/%s", plural,
                   strcmp(plural, "nodes") == 0 ? "" : SIM_NAMESPACE, name);
    struct sim_object *o = object_find(s, key);
    return o ? o->json : NULL;
}

int64_t api_leader(struct sim *s)
{
    const struct sim_object *lease = object_find(s, "leases/mltrain-system/mltrain-controller");
    return lease ? json_integer(lease->json, "spec.leaseTransitions", 0) : -1;
}

static void mirror_event(struct sim *s, const char *plural, cJSON *event)
{
    char key[256];
    const char *type = json_string(event, "type", "");
    cJSON *json = cJSON_DetachItemFromObjectCaseSensitive(event, "object");
    if (strcmp(type, "BOOKMARK") == 0 || strcmp(type, "ERROR") == 0) {
        cJSON_Delete(json);
        return;
    }
    (void)snprintf(key, sizeof key, "%s/%s/%s", plural, json_string(json, "metadata.namespace", ""),
                   json_string(json, "metadata.name", ""));
    bool deleted = strcmp(type, "DELETED") == 0;
    struct sim_object *o = object_find(s, key);
    cJSON *before = o ? o->json : NULL;
    if (!o) {
        o = mlt_calloc(1, sizeof *o);
        o->key = mlt_strdup(key);
        HASH_ADD_KEYPTR(hh, s->objects, o->key, strlen(o->key), o);
        o->late = s->asker_gone;
        o->leader = api_leader(s);
    }
    o->json = deleted ? NULL : json;
    if (deleted) {
        HASH_DEL(s->objects, o);
        free(o->key);
        free(o);
    }
    if (strcmp(plural, "pods") == 0)
        kubelet_pod_changed(s, json, deleted);
    oracle_object_changed(s, key, before, deleted ? NULL : json);
    cJSON_Delete(before);
    if (deleted)
        cJSON_Delete(json);
}

static void mirror_lines(struct sim *s, const char *collection, struct mlt_text *text)
{
    const char *plural = strrchr(collection, '/') + 1;
    for (char *line = text->data, *end; line && *line; line = end + 1) {
        cleanup_json cJSON *event = NULL;
        end = strchr(line, '\n');
        if (!end)
            return;
        if (json_parse(line, (size_t)(end - line), &event, NULL) == 0)
            mirror_event(s, plural, event);
    }
}

static struct api_watch *watch_open(struct sim *s, const char *path)
{
    struct api_answer answer;
    serve(s, "GET", path, NULL, NULL, &answer);
    struct api_watch *watch = answer.kind == API_ANSWER_WATCH ? steal_ptr(&answer.watch) : NULL;
    api_answer_release(&answer);
    return watch;
}

static void mirror_open(struct sim *s, size_t i, uint64_t from)
{
    cleanup_free char *path =
        mlt_asprintf("%s?watch=1&resourceVersion=%" PRIu64, mirrored[i], from);
    api_watch_free(s->mirror[i]);
    s->mirror[i] = watch_open(s, path);
}

static void mirror_read(struct sim *s)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(mirrored); i++) {
        struct mlt_text text = MLT_TEXT_INIT(64u << 20);
        bool more = s->mirror[i] && api_watch_read(s->mirror[i], sim_wall_ms(s), 32u << 20, &text);
        mirror_lines(s, mirrored[i], &text);
        mlt_text_release(&text);
        if (!more) /* it lasts an hour at most */
            mirror_open(s, i, s->revision);
    }
}

/* ---- calls ---- */

static struct sim_call *call_find(struct sim *s, uint64_t id)
{
    for (struct sim_call *c = s->calls; c; c = c->next)
        if (c->id == id)
            return c;
    return NULL;
}

static void call_free(struct sim *s, struct sim_call *call)
{
    struct sim_call **p = &s->calls;
    while (*p != call)
        p = &(*p)->next;
    *p = call->next;
    free(call->verb);
    free(call->path);
    free(call->type);
    free(call->body);
    free(call);
}

struct reply {
    int status;
    int64_t retry_after_ms;
    const char *error; /* static text */
    size_t length;
    char body[];
};

static void tell_body(struct sim *s, uint64_t controller, uint64_t request, const char *data,
                      size_t length)
{
    if (length)
        controller_tell(
            s, controller,
            &(struct controller_event){
                .kind = CONTROLLER_ANSWER_BODY, .id = request, .data = data, .length = length});
}

static void call_ends(struct sim *s, uint64_t id, void *data)
{
    const struct reply *reply = data;
    struct sim_call *call = call_find(s, id);
    if (!call)
        return;
    uint64_t controller = call->controller, request = call->request;
    if (reply->status == 403 && strstr(call->path, "/pods") && controller) {
        cleanup_json cJSON *pod = sim_parse(call->body);
        struct sim_job *job =
            job_of_uid(s, json_string(pod, "metadata.labels[mltrain.io/job-uid]", ""));
        if (job) {
            job->facts.forbidden_ms = s->now_ms;
            job->facts.forbidden_to = controller;
        }
    }
    call_free(s, call);
    if (!controller)
        return;
    if (reply->status)
        controller_tell(s, controller,
                        &(struct controller_event){.kind = CONTROLLER_ANSWER_STATUS,
                                                   .id = request,
                                                   .status = reply->status,
                                                   .retry_after_ms = reply->retry_after_ms});
    size_t half = reply->length / 2;
    tell_body(s, controller, request, reply->body, half);
    tell_body(s, controller, request, reply->body + half, reply->length - half);
    controller_tell(s, controller,
                    &(struct controller_event){
                        .kind = CONTROLLER_ANSWER_END, .id = request, .error = reply->error});
}

static struct reply *reply_new(int status, const char *body, size_t length)
{
    struct reply *reply = mlt_calloc(1, sizeof *reply + length + 1);
    reply->status = status;
    reply->length = length;
    if (length)
        memcpy(reply->body, body, length);
    return reply;
}

static struct reply *error_reply(int status, const char *reason, const char *message)
{
    cleanup_free char *body =
        mlt_asprintf("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\","
                     "\"message\":\"%s\",\"reason\":\"%s\",\"code\":%d}",
                     message, reason, status);
    return reply_new(status, body, strlen(body));
}

static int64_t latency_ms(struct sim *s)
{
    if (sim_chance(s, s->rates.slow))
        return sim_between(s, 500, 12000);
    return sim_between(s, 1, 8);
}

/* ---- watches of controllers ---- */

static struct sim_watch *watch_find(struct sim *s, uint64_t id)
{
    for (struct sim_watch *w = s->watches; w; w = w->next)
        if (w->id == id)
            return w;
    return NULL;
}

static void watch_free(struct sim *s, struct sim_watch *watch)
{
    struct sim_watch **p = &s->watches;
    while (*p != watch)
        p = &(*p)->next;
    *p = watch->next;
    api_watch_free(watch->watch);
    free(watch->last);
    free(watch);
}

static void watch_ends(struct sim *s, struct sim_watch *w, const char *error)
{
    uint64_t controller = w->controller, request = w->request;
    watch_free(s, w);
    controller_tell(
        s, controller,
        &(struct controller_event){.kind = CONTROLLER_ANSWER_END, .id = request, .error = error});
}

static void keep_last(struct sim_watch *w, const struct mlt_text *text)
{
    const char *end = text->data + text->length, *begin = end - 1;
    while (begin > text->data && begin[-1] != '\n')
        begin--;
    free(w->last);
    w->last = mlt_strndup(begin, (size_t)(end - begin));
}

static void watch_wakes(struct sim *s, uint64_t id, void *data)
{
    (void)data;
    struct sim_watch *w = watch_find(s, id);
    if (!w)
        return;
    w->scheduled = false;
    cleanup_text struct mlt_text text = MLT_TEXT_INIT(64u << 20);
    bool more = api_watch_read(w->watch, sim_wall_ms(s), WATCH_BYTES, &text);
    uint64_t controller = w->controller, request = w->request;
    size_t told = text.length;
    bool cut = text.length && sim_chance(s, s->rates.watch_cut);
    if (cut) {
        told = (size_t)sim_between(s, 0, (int64_t)text.length);
        sim_say(s, "network", "a watch is cut after %zu of %zu bytes", told, text.length);
    }
    if (!cut && w->last && sim_chance(s, s->rates.watch_twice)) {
        sim_say(s, "network", "a watch says its last event again");
        tell_body(s, controller, request, w->last, strlen(w->last));
    }
    tell_body(s, controller, request, text.data, told);
    w = watch_find(s, id); /* the controller may have cancelled it */
    if (!w)
        return;
    if (text.length)
        keep_last(w, &text);
    if (text.length && !cut && sim_chance(s, s->rates.watch_gone)) {
        static const char gone[] = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":"
                                   "410,\"message\":\"too old resource version\"}}\n";
        sim_say(s, "network", "a watch says 410");
        tell_body(s, controller, request, gone, strlen(gone));
        more = false;
        w = watch_find(s, id);
    }
    if (w && (cut || !more))
        watch_ends(s, w, cut ? "connection reset" : NULL);
}

static void watch_bookmark(struct sim *s, uint64_t id, void *data)
{
    (void)data;
    struct sim_watch *w = watch_find(s, id);
    if (!w)
        return;
    if (!w->scheduled)
        watch_wakes(s, id, NULL);
    sim_after(s, 60000, watch_bookmark, id, NULL);
}

static void watch_begin(struct sim *s, struct sim_call *call, struct api_watch *watch)
{
    struct sim_watch *w = mlt_calloc(1, sizeof *w);
    uint64_t controller = call->controller, request = call->request;
    w->id = ++s->ids;
    w->controller = controller;
    w->request = request;
    w->watch = watch;
    w->lag_ms = sim_chance(s, s->rates.slow * 3) ? sim_between(s, 100, 5000) : sim_between(s, 1, 6);
    w->next = s->watches;
    s->watches = w;
    call_free(s, call);
    w->scheduled = true;
    sim_after(s, w->lag_ms, watch_wakes, w->id, NULL);
    sim_after(s, 60000, watch_bookmark, w->id, NULL);
    controller_tell(
        s, controller,
        &(struct controller_event){.kind = CONTROLLER_ANSWER_STATUS, .id = request, .status = 200});
}

/* ---- a call arrives ---- */

static bool is_lease(const struct sim_call *call)
{
    return strstr(call->path, "/leases") != NULL;
}

static bool is_job_status(const struct sim_call *call)
{
    return strcmp(call->verb, "PATCH") == 0 && strstr(call->path, "/trainingjobs/");
}

static bool is_pod_creation(const struct sim_call *call)
{
    return strcmp(call->verb, "POST") == 0 && strstr(call->path, "/pods") &&
           !strstr(call->path, "dryRun");
}

/* Somebody else writes the job: its resourceVersion moves on. */
static void meddle(struct sim *s, const struct sim_call *call)
{
    cleanup_free char *path = mlt_strdup(call->path);
    cleanup_json cJSON *patch = cJSON_CreateObject();
    char *status = strstr(path, "/status"), text[24];
    if (!status)
        return;
    *status = 0;
    (void)snprintf(text, sizeof text, "%" PRIu64, ++s->ids);
    json_set_string(patch, "metadata.annotations.meddler", text);
    sim_say(s, "user", "annotates %s", path);
    s->faults_count++;
    (void)api_patch(s, path, patch);
}

/* What the server says instead of doing its work; NULL: it does it. */
static struct reply *refusal(struct sim *s, struct sim_call *call)
{
    static const struct {
        int status;
        const char *reason;
    } kinds[] = {{429, "TooManyRequests"},
                 {500, "InternalError"},
                 {503, "ServiceUnavailable"},
                 {504, "Timeout"}};
    if (is_pod_creation(call) && sim_chance(s, s->rates.forbidden)) {
        sim_say(s, "api", "403 for %s %s", call->verb, call->path);
        s->faults_count++;
        return error_reply(403, "Forbidden", "exceeded quota: team");
    }
    if (!sim_chance(s, s->rates.refused))
        return NULL;
    size_t kind = (size_t)sim_between(s, 0, 3);
    struct reply *reply = error_reply(kinds[kind].status, kinds[kind].reason, "try again");
    if (kind == 0)
        reply->retry_after_ms = sim_between(s, 1, 5) * 1000;
    s->faults_count++;
    sim_say(s, "api", "%d for %s %.120s", reply->status, call->verb, call->path);
    return reply;
}

/* A list that travels for seconds shows the past when it comes: answers to writes and even events
 * have told newer things meanwhile. Older than its question it cannot be, for it is asked for
 * without a resourceVersion. */
static bool is_stale(struct sim *s, const struct sim_call *call, const struct reply *reply)
{
    bool is_list = strcmp(call->verb, "GET") == 0 && reply->status == 200 &&
                   strstr(reply->body, "List\"") && !is_lease(call);
    if (!is_list || !sim_chance(s, s->rates.stale_list))
        return false;
    sim_say(s, "api", "that list will come late");
    s->faults_count++;
    return true;
}

static void count_write(struct sim *s, const struct sim_call *call, int status)
{
    if (strcmp(call->verb, "GET") != 0 && !is_lease(call) && !strstr(call->path, "/events") &&
        !strstr(call->path, "dryRun") && status < 300)
        s->writes++;
}

static void call_arrives(struct sim *s, uint64_t id, void *data)
{
    (void)data;
    struct sim_call *call = call_find(s, id);
    struct api_answer answer;
    if (!call)
        return;
    struct reply *reply = refusal(s, call);
    bool stale = false;
    s->asker_gone = call->controller == 0;
    if (!reply) {
        if (is_job_status(call) && sim_chance(s, s->rates.conflict))
            meddle(s, call);
        serve(s, call->verb, call->path, call->type, call->body, &answer);
        if (answer.kind == API_ANSWER_WATCH) {
            struct api_watch *watch = steal_ptr(&answer.watch);
            api_answer_release(&answer);
            if (call->controller)
                watch_begin(s, call, watch);
            else
                api_watch_free(watch);
            return;
        }
        if (!is_lease(call))
            sim_say(s, "api", "%s %.140s: %d", call->verb, call->path, answer.status);
        count_write(s, call, answer.status);
        reply = reply_new(answer.status, mlt_text_string(&answer.body), answer.body.length);
        api_answer_release(&answer);
        stale = is_stale(s, call, reply);
        if (sim_chance(s, s->rates.lost / 2)) {
            sim_say(s, "network", "that answer is lost");
            s->faults_count++;
            free(reply);
            reply = reply_new(0, NULL, 0);
            reply->error = "connection reset";
            sim_after(s, sim_chance(s, 300) ? TIMEOUT_MS : latency_ms(s), call_ends, id, reply);
            return;
        }
    }
    sim_after(s, stale ? sim_between(s, 1000, 15000) : latency_ms(s), call_ends, id, reply);
}

void api_send(struct sim *s, uint64_t controller, const struct controller_effect *effect)
{
    struct sim_call *call = mlt_calloc(1, sizeof *call);
    call->id = ++s->ids;
    call->controller = controller;
    call->request = effect->id;
    call->verb = mlt_strdup(effect->verb);
    call->path = mlt_strdup(effect->path);
    call->type = mlt_strdup(effect->content_type);
    call->body = mlt_strdup(effect->body);
    call->sent_ms = s->now_ms;
    call->next = s->calls;
    s->calls = call;
    if (sim_chance(s, s->rates.lost / 2)) {
        struct reply *reply = reply_new(0, NULL, 0);
        reply->error = "connection timed out";
        sim_say(s, "network", "lost: %s %.140s", call->verb, call->path);
        s->faults_count++;
        sim_after(s, sim_chance(s, 300) ? TIMEOUT_MS : 50, call_ends, call->id, reply);
        return;
    }
    sim_after(s, latency_ms(s), call_arrives, call->id, NULL);
}

void api_cancel(struct sim *s, uint64_t controller, uint64_t request)
{
    for (struct sim_call *c = s->calls; c; c = c->next)
        if (c->controller == controller && c->request == request)
            c->controller = 0; /* it may be on its way, and takes effect all the same */
    for (struct sim_watch *w = s->watches; w; w = w->next)
        if (w->controller == controller && w->request == request) {
            watch_free(s, w);
            return;
        }
}

void api_forget_controller(struct sim *s, uint64_t controller)
{
    struct sim_watch *next;
    for (struct sim_call *c = s->calls; c; c = c->next)
        if (c->controller == controller)
            c->controller = 0;
    for (struct sim_watch *w = s->watches; w; w = next) {
        next = w->next;
        if (w->controller == controller)
            watch_free(s, w);
    }
}

/* ---- after each event ---- */

void api_settle(struct sim *s)
{
    while (s->revision != api_server_revision(s->server)) {
        uint64_t revision = api_server_revision(s->server);
        mirror_read(s);
        s->revision = revision;
        for (struct sim_watch *w = s->watches; w; w = w->next)
            if (!w->scheduled) {
                w->scheduled = true;
                sim_after(s, w->lag_ms, watch_wakes, w->id, NULL);
            }
        if (!s->work_scheduled) {
            s->work_scheduled = true;
            sim_after(s, s->faults ? sim_between(s, 1, 2000) : 5, work, 0, NULL);
        }
    }
}

void api_begin(struct sim *s)
{
    s->revision = api_server_revision(s->server);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(mirrored); i++)
        mirror_open(s, i, s->revision);
}
