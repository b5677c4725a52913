/* Objects as the controller sees them: anybody's nodes, pods, jobs, queues and priority classes,
 * and an API server that answers what it likes. The input is one JSON object:
 *     {"nodes": [...], "pods": [...], ..., "events": {"pods": [{"type": ..., "object": ...}]},
 *      "answers": [{"status": 201, "body": {...}}]}
 * The answers are given in turn to what the controller writes; one that is not there is 200 and the
 * body that was sent. After each step the controller's invariants hold; what it sends is JSON. */
#include "tests/fuzz/fuzz.h"

#include "controller/controller.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

#define START_MS 1000000
#define WALL_MS INT64_C(1764273600000)
#define STEPS_MAX 600 /* of one input */
#define TIMERS_MAX 40
#define QUEUE_MAX 256

struct request {
    uint64_t id;
    char *verb, *path, *body;
    bool is_watch;
};

struct world {
    struct controller *c;
    const cJSON *input;
    int64_t now_ms, timer_ms;
    struct request queue[QUEUE_MAX];
    size_t first, count;
    int answers, steps;
    bool exited;
};

static void derive_key(void *arg, const char *job_uid, unsigned char key[CONTROLLER_KEY_SIZE])
{
    (void)arg;
    memset(key, job_uid[0], CONTROLLER_KEY_SIZE);
}

static void take(struct world *w)
{
    struct controller_effect effect;
    while (controller_next_effect(w->c, &effect)) {
        if (effect.kind == CONTROLLER_EFFECT_TIMER_SET)
            w->timer_ms = effect.at_ms;
        if (effect.kind == CONTROLLER_EFFECT_TIMER_CLEAR)
            w->timer_ms = INT64_MAX;
        w->exited |= effect.kind == CONTROLLER_EFFECT_EXITED;
        if (effect.kind != CONTROLLER_EFFECT_REQUEST)
            continue;
        REQUIRE(effect.path[0] == '/' && !strpbrk(effect.path, " \r\n"));
        if (effect.body) {
            cleanup_json cJSON *body = NULL;
            REQUIRE(json_parse(effect.body, effect.length, &body, NULL) == 0);
        }
        if (w->count - w->first >= QUEUE_MAX)
            continue; /* never answered */
        w->queue[w->count++ % QUEUE_MAX] =
            (struct request){effect.id, mlt_strdup(effect.verb), mlt_strdup(effect.path),
                             mlt_strdup(effect.body), effect.is_watch};
    }
    controller_check(w->c);
}

static void step(struct world *w, struct controller_event event)
{
    if (w->exited || w->steps++ > STEPS_MAX)
        return;
    event.now_ms = w->now_ms;
    event.wall_ms = WALL_MS + w->now_ms - START_MS;
    controller_step(w->c, &event);
    take(w);
}

static void say_status(struct world *w, uint64_t id, int status)
{
    step(w,
         (struct controller_event){.kind = CONTROLLER_ANSWER_STATUS, .id = id, .status = status});
}

static void say_body(struct world *w, uint64_t id, const char *text)
{
    step(w, (struct controller_event){
                .kind = CONTROLLER_ANSWER_BODY, .id = id, .data = text, .length = strlen(text)});
}

static void answer(struct world *w, uint64_t id, int status, const char *body)
{
    say_status(w, id, status);
    say_body(w, id, body);
    step(w, (struct controller_event){.kind = CONTROLLER_ANSWER_END, .id = id});
}

/* "/apis/g/v/nodes?watch=1" gives "nodes" */
static const char *plural_of(const char *path, char *name, size_t size)
{
    size_t length = strcspn(path, "?");
    size_t start = length;
    while (start > 0 && path[start - 1] != '/')
        start--;
    (void)snprintf(name, size, "%.*s", (int)(length - start), path + start);
    return name;
}

static void serve_watch(struct world *w, const struct request *r)
{
    char name[64], where[80];
    const cJSON *event;
    (void)snprintf(where, sizeof where, "events.%s", plural_of(r->path, name, sizeof name));
    say_status(w, r->id, 200);
    cJSON_ArrayForEach(event, json_find(w->input, where))
    {
        cleanup_free char *line = json_print(event);
        say_body(w, r->id, line);
        say_body(w, r->id, "\n");
    }
}

static void serve_list(struct world *w, const struct request *r)
{
    char name[64];
    const cJSON *items = json_member(w->input, plural_of(r->path, name, sizeof name));
    cleanup_json cJSON *list = cJSON_CreateObject();
    json_set_string(list, "metadata.resourceVersion", "1");
    json_set(list, "items", cJSON_IsArray(items) ? json_copy(items) : cJSON_CreateArray());
    cleanup_free char *body = json_print(list);
    answer(w, r->id, 200, body);
}

static void serve_write(struct world *w, const struct request *r)
{
    char where[32];
    (void)snprintf(where, sizeof where, "answers[%d]", w->answers++);
    const cJSON *given = json_find(w->input, where);
    int64_t status = json_integer(given, "status", 200);
    cleanup_free char *body =
        given ? json_print(json_member(given, "body")) : mlt_strdup(r->body ? r->body : "{}");
    answer(w, r->id, status >= 100 && status <= 599 ? (int)status : 500, body ? body : "");
}

static void serve(struct world *w, const struct request *r)
{
    if (strstr(r->path, "/leases"))
        answer(w, r->id, strcmp(r->verb, "GET") == 0 ? 404 : 201, r->body ? r->body : "{}");
    else if (r->is_watch)
        serve_watch(w, r);
    else if (strcmp(r->verb, "GET") == 0)
        serve_list(w, r);
    else
        serve_write(w, r);
}

static void request_release(struct request *r)
{
    free(r->verb);
    free(r->path);
    free(r->body);
}

static void run(struct world *w)
{
    int timers = 0;
    step(w, (struct controller_event){.kind = CONTROLLER_TIMER});
    while (!w->exited && w->steps <= STEPS_MAX) {
        if (w->first < w->count) {
            struct request r = w->queue[w->first++ % QUEUE_MAX];
            serve(w, &r);
            request_release(&r);
        } else if (w->timer_ms != INT64_MAX && timers++ < TIMERS_MAX) {
            w->now_ms = w->timer_ms > w->now_ms ? w->timer_ms : w->now_ms + 1;
            step(w, (struct controller_event){.kind = CONTROLLER_TIMER});
        } else {
            break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const gpus[] = {"nvidia.com/gpu"};
    cleanup_json cJSON *input = NULL;
    if (size > 1 << 16 || json_parse((const char *)data, size, &input, NULL) < 0)
        return 0;
    const struct controller_config config = {.identity = "tester",
                                             .lease_namespace = "mltrain-system",
                                             .channel_address = "127.0.0.1:7777",
                                             .launcher_image = "launcher:1",
                                             .launcher_command = "/mltrain-launcher",
                                             .version = "1",
                                             .gpu_resources = gpus,
                                             .gpu_resources_count = 1,
                                             .seed = 1,
                                             .derive_key = derive_key};
    cleanup_free struct world *w = mlt_calloc(1, sizeof *w);
    w->c = controller_new(&config);
    w->input = input;
    w->now_ms = START_MS;
    w->timer_ms = INT64_MAX;
    run(w);
    for (; w->first < w->count; w->first++)
        request_release(&w->queue[w->first % QUEUE_MAX]);
    controller_free(w->c);
    return 0;
}
