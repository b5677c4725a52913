/* What the controller itself costs for 2,000 pods in three shapes, without an API server, network
 * and TLS: a process of its own runs controller_step() alone, and this one plays the API server, a
 * kubelet that says Running 100 ms later, and the launchers, by a clock of its own. Its answers are
 * as long as Kubernetes' (managedFields, the mount of a service account's token).
 *
 * For each shape: processor time until all pods run and are known (create), until all launchers
 * have joined and all ranks were started (join), and for a restart of every job after one rank has
 * failed (restart); of memory the peak of RssAnon until all pods are there, what the process had
 * before the first job, and what malloc had given out at the end of create.
 *
 * Prints one JSON object a line: name, value, unit, n. --only 1x2000 runs one shape, for
 * profilers: perf record build/release/bench/bench_controller --only 1x2000 */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "controller/controller.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "rendezvous/message.h"

#define NODES 200
#define GPUS 16
#define PODS 2000
#define KUBELET_MS 100
#define JOIN_MS 2        /* between two launchers */
#define WRITES_PER_S 800 /* of an API server on two cores */
#define WRITES_PER_JOB 1 /* of the controller's, between the creations of two jobs */
#define WALL_START INT64_C(1764273600000)
#define SPACE "bench"
#define STEPS_PER_SAMPLE 64

/* ---- between the two processes ---- */

struct wire_event {
    struct controller_event e; /* its pointers mean nothing here */
    bool look;                 /* no event: how much memory is it now? */
    size_t length, more;       /* bytes that follow: data or a UID; a frame */
};

struct wire_effect {
    int kind; /* -1: no more; then `usage` counts */
    uint64_t id;
    int64_t at_ms;
    bool is_watch;
    size_t verb, path, body; /* bytes that follow */
};

struct usage {
    int64_t cpu_ns, steps, rss_peak, rss, in_use;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "bench_controller: %s\n", what);
    exit(1);
}

static bool get(FILE *in, void *to, size_t length)
{
    return length == 0 || fread(to, length, 1, in) == 1;
}

static void put(FILE *out, const void *from, size_t length)
{
    must(length == 0 || fwrite(from, length, 1, out) == 1, "the other process is gone");
}

static char *get_text(FILE *in, size_t length)
{
    char *text = mlt_calloc(1, length + 1);
    must(get(in, text, length), "the other process is gone");
    return text;
}

/* ---- the controller's process ---- */

static void derive_key(void *arg, const char *job_uid, unsigned char key[CONTROLLER_KEY_SIZE])
{
    (void)arg;
    (void)job_uid;
    memset(key, 'k', CONTROLLER_KEY_SIZE);
}

static struct controller *make_controller(void)
{
    static const char *const gpus[] = {"nvidia.com/gpu"};
    const struct controller_config config = {
        .identity = "mltrain-controller-6f9c7d8b5-abcde",
        .lease_namespace = "mltrain-system",
        .channel_address = "10.96.0.77:7777",
        .channel_port = 7777,
        .launcher_image = "registry.example.com/mltrain/launcher:0.1.0",
        .launcher_command = "/mltrain-launcher",
        .version = "0.1.0",
        .gpu_resources = gpus,
        .gpu_resources_count = 1,
        .seed = 1,
        .derive_key = derive_key,
    };
    return controller_new(&config);
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t rss_anonymous(void)
{
    char line[256];
    long long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %lld", &kilobytes) == 1)
            break;
    if (file)
        (void)fclose(file);
    return kilobytes * 1024;
}

static void put_effect(FILE *out, const struct controller_effect *f)
{
    const struct wire_effect wire = {
        .kind = (int)f->kind,
        .id = f->id,
        .at_ms = f->at_ms,
        .is_watch = f->is_watch,
        .verb = f->verb ? strlen(f->verb) : 0,
        .path = f->path ? strlen(f->path) : 0,
        .body = f->body ? f->length : 0,
    };
    put(out, &wire, sizeof wire);
    put(out, f->verb, wire.verb);
    put(out, f->path, wire.path);
    put(out, f->body, wire.body);
}

static void sample(struct usage *usage)
{
    struct mallinfo2 heap = mallinfo2();
    usage->rss = rss_anonymous();
    usage->rss_peak = usage->rss > usage->rss_peak ? usage->rss : usage->rss_peak;
    usage->in_use = (int64_t)(heap.uordblks + heap.hblkhd);
}

static void run_step(struct controller *c, const struct controller_event *e, FILE *out,
                     struct usage *usage)
{
    struct controller_effect effect;
    int64_t begin = cpu_ns();
    controller_step(c, e);
    usage->cpu_ns += cpu_ns() - begin;
    for (;;) {
        begin = cpu_ns();
        bool more = controller_next_effect(c, &effect);
        usage->cpu_ns += cpu_ns() - begin;
        if (!more)
            break;
        if (effect.kind == CONTROLLER_EFFECT_LOG && effect.level == MLT_LOG_ERROR)
            (void)fprintf(stderr, "bench_controller: %s\n", effect.text);
        if (effect.kind != CONTROLLER_EFFECT_LOG)
            put_effect(out, &effect);
    }
    if (usage->steps++ % STEPS_PER_SAMPLE == 0)
        sample(usage);
}

static void controller_process(FILE *in, FILE *out)
{
    struct wire_event wire;
    struct usage usage = {0};
    (void)prctl(PR_SET_NAME, "controller");
    struct controller *c = make_controller();
    while (get(in, &wire, sizeof wire)) {
        cleanup_free char *text = get_text(in, wire.length);
        cleanup_free char *bytes = get_text(in, wire.more);
        struct rendezvous_reader reader;
        struct rendezvous_frame frame;
        wire.e.data = wire.e.job_uid = text;
        wire.e.length = wire.length;
        rendezvous_reader_init(&reader, RENDEZVOUS_UP);
        if (wire.more) {
            must(rendezvous_reader_feed(&reader, bytes, wire.more, NULL) == 0 &&
                     rendezvous_reader_next(&reader, &frame, NULL) == 1,
                 "a frame cannot be read");
            wire.e.frame = &frame;
        }
        if (wire.look)
            sample(&usage);
        else
            run_step(c, &wire.e, out, &usage);
        rendezvous_reader_release(&reader);
        const struct wire_effect none = {.kind = -1};
        put(out, &none, sizeof none);
        put(out, &usage, sizeof usage);
        (void)fflush(out);
    }
    controller_free(c);
}

/* ---- the world around it ---- */

enum watched { WATCH_NODES, WATCH_PRIORITIES, WATCH_QUEUES, WATCH_PODS, WATCH_OTHERS, WATCH_JOBS };
#define WATCHES (WATCH_JOBS + 1)

struct event {
    struct wire_event wire;
    char *data, *bytes;
    struct event *next;
};

struct pod {
    cJSON *json;
    char *job_uid, *uid;
    uint32_t slot;
    int64_t runs_at_ms;
    uint64_t channel;
    uint64_t attempt; /* its launcher is ready for or runs */
};

struct world {
    FILE *in, *out;
    int64_t now_us, timer_ms;
    uint64_t version, uids, writes, watches[WATCHES];
    struct event *first, **last;
    cJSON *jobs[PODS], *lease;
    uint32_t jobs_count, jobs_wanted, replicas;
    struct pod pods[PODS];
    uint32_t pods_count, pods_running;
    uint64_t started; /* STARTED told */
    struct usage usage;
};

static struct event *push(struct world *w, enum controller_event_kind kind, uint64_t id, char *data)
{
    struct event *e = mlt_calloc(1, sizeof *e);
    e->wire.e.kind = kind;
    e->wire.e.id = id;
    e->data = data;
    e->wire.length = data ? strlen(data) : 0;
    *w->last = e;
    w->last = &e->next;
    return e;
}

static void answer(struct world *w, uint64_t id, int status, const cJSON *json)
{
    push(w, CONTROLLER_ANSWER_STATUS, id, NULL)->wire.e.status = status;
    (void)push(w, CONTROLLER_ANSWER_BODY, id, json_print(json));
    (void)push(w, CONTROLLER_ANSWER_END, id, NULL);
}

static void tell_watch(struct world *w, enum watched what, const char *type, const cJSON *json)
{
    cleanup_free char *object = json_print(json);
    (void)push(w, CONTROLLER_ANSWER_BODY, w->watches[what],
               mlt_asprintf("{\"type\":\"%s\",\"object\":%s}\n", type, object));
}

static void bump(struct world *w, cJSON *json)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRIu64, ++w->version);
    json_set_string(json, "metadata.resourceVersion", text);
}

static const char *new_uid(struct world *w, cJSON *json)
{
    char uid[64];
    (void)snprintf(uid, sizeof uid, "4f8b2c1e-0000-4000-8000-%012" PRIu64, ++w->uids);
    json_set_string(json, "metadata.uid", uid);
    json_set_string(json, "metadata.creationTimestamp", "2026-11-28T10:00:00Z");
    return json_string(json, "metadata.uid", "");
}

/* As long as what the API server keeps of each field's writer. */
static void add_managers(cJSON *json, const char *manager)
{
    static const char fields[] =
        "{\"f:metadata\":{\"f:labels\":{\".\":{},\"f:mltrain.io/index\":{},\"f:mltrain.io/"
        "job-name\":{},\"f:mltrain.io/job-uid\":{},\"f:mltrain.io/role\":{}},"
        "\"f:ownerReferences\":{\".\":{},\"k:{\\\"uid\\\":\\\"4f8b2c1e\\\"}\":{}}},\"f:spec\":"
        "{\"f:containers\":{\"k:{\\\"name\\\":\\\"trainer\\\"}\":{\".\":{},\"f:command\":{},"
        "\"f:env\":{\".\":{},\"k:{\\\"name\\\":\\\"MLTRAIN_CHANNEL\\\"}\":{\".\":{},\"f:name\":{},"
        "\"f:value\":{}}},\"f:image\":{},\"f:imagePullPolicy\":{},\"f:name\":{},\"f:resources\":"
        "{},\"f:volumeMounts\":{}}},\"f:dnsPolicy\":{},\"f:initContainers\":{},\"f:restartPolicy\":"
        "{},\"f:terminationGracePeriodSeconds\":{},\"f:tolerations\":{},\"f:volumes\":{}}}";
    cJSON *entry = cJSON_CreateObject(), *parsed = NULL;
    must(json_parse(fields, strlen(fields), &parsed, NULL) == 0, "managedFields");
    json_set_string(entry, "manager", manager);
    json_set_string(entry, "operation", "Update");
    json_set_string(entry, "apiVersion", "v1");
    json_set_string(entry, "time", "2026-11-28T10:00:00Z");
    json_set_string(entry, "fieldsType", "FieldsV1");
    json_set(entry, "fieldsV1", parsed);
    json_append(json_set_array(json, "metadata.managedFields"), entry);
}

static cJSON *parse(const char *format, ...) MLT_PRINTF(1, 2);
static cJSON *parse(const char *format, ...)
{
    cJSON *json = NULL;
    va_list args;
    va_start(args, format);
    cleanup_free char *text = NULL;
    must(vasprintf(&text, format, args) >= 0, "memory");
    va_end(args);
    must(json_parse(text, strlen(text), &json, NULL) == 0, text);
    return json;
}

static cJSON *make_node(uint32_t number)
{
    return parse(
        "{\"metadata\":{\"name\":\"kwok-%u\",\"uid\":\"n%u\",\"resourceVersion\":\"1\",\"labels\":"
        "{\"kubernetes.io/hostname\":\"kwok-%u\",\"kubernetes.io/arch\":\"amd64\",\"type\":"
        "\"kwok\"}},\"spec\":{\"taints\":[{\"key\":\"kwok.x-k8s.io/node\",\"value\":\"fake\","
        "\"effect\":\"NoSchedule\"}]},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":"
        "\"True\"}],\"allocatable\":{\"cpu\":\"64\",\"memory\":\"512Gi\",\"pods\":\"110\","
        "\"nvidia.com/gpu\":\"%d\"}}}",
        number, number, number, GPUS);
}

/* The job of bench/kubernetes; as in a sweep, each has another command. */
static void create_job(struct world *w)
{
    cJSON *job = parse(
        "{\"apiVersion\":\"mltrain.io/v1alpha1\",\"kind\":\"TrainingJob\",\"metadata\":{\"name\":"
        "\"gang-%u\",\"namespace\":\"" SPACE "\",\"generation\":1},\"spec\":{\"framework\":"
        "\"plain\",\"workers\":{\"replicas\":%u,\"template\":{\"spec\":{\"tolerations\":[{\"key\":"
        "\"kwok.x-k8s.io/node\",\"operator\":\"Exists\"}],\"containers\":[{\"name\":\"trainer\","
        "\"image\":\"registry.example.com/trainer:1\",\"command\":[\"sleep\",\"%u\"],"
        "\"resources\":{\"requests\":{\"cpu\":\"1m\",\"memory\":\"1Mi\"},\"limits\":"
        "{\"nvidia.com/gpu\":1}}}]}}}}}",
        w->jobs_count, w->replicas, w->jobs_count);
    (void)new_uid(w, job);
    add_managers(job, "bench");
    bump(w, job);
    w->jobs[w->jobs_count++] = job;
    tell_watch(w, WATCH_JOBS, "ADDED", job);
}

/* What admission adds to a pod. */
static void default_pod(struct world *w, cJSON *pod)
{
    cJSON *container;
    (void)new_uid(w, pod);
    add_managers(pod, "mltrain-controller");
    json_set_string(pod, "spec.schedulerName", "default-scheduler");
    json_set_string(pod, "spec.dnsPolicy", "ClusterFirst");
    json_set_string(pod, "spec.serviceAccountName", "default");
    json_set_string(pod, "status.phase", "Pending");
    json_set_string(pod, "status.qosClass", "Burstable");
    json_append(json_set_array(pod, "spec.volumes"),
                parse("{\"name\":\"kube-api-access-abcde\",\"projected\":{\"sources\":["
                      "{\"serviceAccountToken\":{\"expirationSeconds\":3607,\"path\":\"token\"}},"
                      "{\"configMap\":{\"name\":\"kube-root-ca.crt\",\"items\":[{\"key\":\"ca.crt\""
                      ",\"path\":\"ca.crt\"}]}},{\"downwardAPI\":{\"items\":[{\"path\":"
                      "\"namespace\",\"fieldRef\":{\"apiVersion\":\"v1\",\"fieldPath\":"
                      "\"metadata.namespace\"}}]}}],\"defaultMode\":420}}"));
    cJSON_ArrayForEach(container, json_find(pod, "spec.containers"))
    {
        json_append(json_set_array(container, "volumeMounts"),
                    parse("{\"name\":\"kube-api-access-abcde\",\"readOnly\":true,\"mountPath\":"
                          "\"/var/run/secrets/kubernetes.io/serviceaccount\"}"));
        json_set_string(container, "terminationMessagePath", "/dev/termination-log");
        json_set_string(container, "terminationMessagePolicy", "File");
    }
}

static void run_pod(struct world *w, struct pod *p)
{
    json_set(p->json, "status.conditions",
             parse("[{\"type\":\"Initialized\",\"status\":\"True\"},{\"type\":\"Ready\",\"status\":"
                   "\"True\"},{\"type\":\"ContainersReady\",\"status\":\"True\"},{\"type\":"
                   "\"PodScheduled\",\"status\":\"True\"}]"));
    json_set(p->json, "status.containerStatuses",
             parse("[{\"name\":\"trainer\",\"image\":\"registry.example.com/trainer:1\",\"ready\":"
                   "true,\"restartCount\":0,\"started\":true,\"state\":{\"running\":{"
                   "\"startedAt\":\"2026-11-28T10:00:01Z\"}}}]"));
    json_set_string(p->json, "status.startTime", "2026-11-28T10:00:01Z");
    json_set_string(p->json, "status.podIP", "10.1.2.3");
    json_set_string(p->json, "status.phase", "Running");
    add_managers(p->json, "kwok");
    bump(w, p->json);
    tell_watch(w, WATCH_PODS, "MODIFIED", p->json);
    w->pods_running++;
}

/* ---- requests ---- */

static enum watched watched_by(const char *path)
{
    if (strstr(path, "/pods"))
        return strstr(path, "%21mltrain.io") ? WATCH_OTHERS : WATCH_PODS;
    if (strstr(path, "/nodes"))
        return WATCH_NODES;
    if (strstr(path, "/priorityclasses"))
        return WATCH_PRIORITIES;
    return strstr(path, "/trainingqueues") ? WATCH_QUEUES : WATCH_JOBS;
}

static void serve_get(struct world *w, const struct wire_effect *f, const char *path)
{
    if (f->is_watch) {
        w->watches[watched_by(path)] = f->id;
        push(w, CONTROLLER_ANSWER_STATUS, f->id, NULL)->wire.e.status = 200;
        return;
    }
    if (strstr(path, "/leases/")) {
        cleanup_json cJSON *status = parse("{\"kind\":\"Status\",\"code\":404}");
        answer(w, f->id, 404, status);
        return;
    }
    cleanup_json cJSON *list =
        parse("{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"},\"items\":[]}",
              w->version + 1);
    for (uint32_t i = 1; watched_by(path) == WATCH_NODES && i <= NODES; i++)
        json_append(json_member(list, "items"), make_node(i));
    answer(w, f->id, 200, list);
}

static void create_pod(struct world *w, uint64_t id, cJSON *json)
{
    must(w->pods_count < PODS, "more pods than members");
    struct pod *p = &w->pods[w->pods_count++];
    default_pod(w, json);
    bump(w, json);
    answer(w, id, 201, json);
    tell_watch(w, WATCH_PODS, "ADDED", json);
    p->json = json_copy(json);
    p->uid = mlt_strdup(json_string(json, "metadata.uid", ""));
    p->job_uid = mlt_strdup(json_string(json, "metadata.labels[mltrain.io/job-uid]", ""));
    p->slot = (uint32_t)atoi(json_string(json, "metadata.labels[mltrain.io/index]", ""));
    p->runs_at_ms = w->now_us / 1000 + KUBELET_MS;
}

static void serve_post(struct world *w, uint64_t id, const char *path, const char *body)
{
    cleanup_json cJSON *json = NULL;
    must(json_parse(body, strlen(body), &json, NULL) == 0, "a body is no JSON");
    if (strstr(path, "/pods?dryRun")) {
        default_pod(w, json);
        answer(w, id, 201, json);
    } else if (strstr(path, "/pods")) {
        create_pod(w, id, json);
    } else {
        (void)new_uid(w, json);
        bump(w, json);
        if (strstr(path, "/leases"))
            w->lease = json_copy(json);
        answer(w, id, 201, json);
    }
}

static void serve_patch(struct world *w, uint64_t id, const char *path, const char *body)
{
    cleanup_json cJSON *patch = NULL;
    must(json_parse(body, strlen(body), &patch, NULL) == 0, "a body is no JSON");
    const char *name = strstr(path, "/trainingjobs/gang-");
    cJSON **object = &w->lease;
    if (name)
        object = &w->jobs[atoi(name + strlen("/trainingjobs/gang-"))];
    json_merge_patch(object, patch);
    bump(w, *object);
    answer(w, id, 200, *object);
    if (name)
        tell_watch(w, WATCH_JOBS, "MODIFIED", *object);
}

static void serve(struct world *w, const struct wire_effect *f, const char *verb, const char *path,
                  const char *body)
{
    if (strcmp(verb, "GET") == 0) {
        serve_get(w, f, path);
        return;
    }
    w->now_us += 1000000 / WRITES_PER_S;
    if (strcmp(verb, "POST") == 0)
        serve_post(w, f->id, path, body);
    else if (strcmp(verb, "PATCH") == 0)
        serve_patch(w, f->id, path, body);
    if (++w->writes % WRITES_PER_JOB == 0 && w->jobs_count && w->jobs_count < w->jobs_wanted)
        create_job(w);
}

/* ---- launchers ---- */

static void say(struct world *w, const struct pod *p, const struct rendezvous_message *m)
{
    struct mlt_text text = MLT_TEXT_INIT(RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX);
    rendezvous_message_write(&text, m);
    struct event *e = push(w, CONTROLLER_CHANNEL_FRAME, p->channel, NULL);
    e->wire.more = text.length;
    e->bytes = mlt_text_take(&text);
}

static void become_ready(struct world *w, struct pod *p, uint64_t attempt)
{
    struct rendezvous_message ready = {.type = RENDEZVOUS_READY, .attempt = attempt};
    ready.ready.port = 4000;
    p->attempt = attempt;
    say(w, p, &ready);
}

static void join(struct world *w, struct pod *p, uint64_t channel)
{
    struct rendezvous_message hello = {.type = RENDEZVOUS_HELLO};
    p->channel = channel;
    (void)push(w, CONTROLLER_CHANNEL_OPENED, channel, mlt_strdup(p->job_uid));
    hello.hello = (struct rendezvous_hello){
        .pod_uid = p->uid,
        .role = "worker",
        .node = json_string(p->json, "spec.nodeName", ""),
        .address = "10.1.2.3",
        .slot = p->slot,
        .launcher_version = "0.1.0",
        .state = RENDEZVOUS_STATE_IDLE,
        .step = RENDEZVOUS_NO_STEP,
        .takes_orders = true,
    };
    say(w, p, &hello);
    become_ready(w, p, 1);
}

static void exit_of(const struct pod *p, bool failed, struct rendezvous_exit *ret)
{
    *ret = (struct rendezvous_exit){
        .rank = p->slot,
        .code = failed,
        .signal = failed ? 0 : 9,
        .cause = failed ? RENDEZVOUS_CAUSE_EXITED : RENDEZVOUS_CAUSE_KILLED_BY_US,
        .after_ms = 1000,
        .tail = "",
    };
}

static void stop(struct world *w, struct pod *p)
{
    struct rendezvous_exit end;
    struct rendezvous_message stopped = {.type = RENDEZVOUS_STOPPED, .attempt = p->attempt};
    exit_of(p, p->slot == 0, &end);
    stopped.stopped.exits = &end;
    stopped.stopped.exits_count = 1;
    say(w, p, &stopped);
    become_ready(w, p, p->attempt + 1);
}

static void fail(struct world *w, struct pod *p)
{
    struct rendezvous_message failed = {.type = RENDEZVOUS_RANK_EXIT, .attempt = p->attempt};
    exit_of(p, true, &failed.rank_exit.exit);
    say(w, p, &failed);
}

static void hear(struct world *w, struct pod *p, const struct rendezvous_frame *frame)
{
    struct rendezvous_message m, reply;
    uint32_t pid = 77;
    must(rendezvous_message_read(frame, &m, NULL) == 0, "a message cannot be read");
    if (m.type == RENDEZVOUS_PING) {
        reply = (struct rendezvous_message){.type = RENDEZVOUS_PONG, .attempt = m.attempt};
        reply.pong = (struct rendezvous_pong){.nonce = m.ping.nonce, .since_start_ms = 1};
        say(w, p, &reply);
    } else if (m.type == RENDEZVOUS_START) {
        reply = (struct rendezvous_message){.type = RENDEZVOUS_STARTED, .attempt = m.attempt};
        reply.started =
            (struct rendezvous_started){.pids = &pid, .pids_count = 1, .start_to_exec_us = 5000};
        p->attempt = m.attempt;
        w->started++;
        say(w, p, &reply);
    } else if (m.type == RENDEZVOUS_STOP) {
        stop(w, p);
    }
    rendezvous_message_release(&m);
}

static void deliver(struct world *w, uint64_t channel, const char *bytes, size_t length)
{
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    rendezvous_reader_init(&reader, RENDEZVOUS_DOWN);
    must(rendezvous_reader_feed(&reader, bytes, length, NULL) == 0, "frames cannot be read");
    while (rendezvous_reader_next(&reader, &frame, NULL) == 1)
        hear(w, &w->pods[channel - 1], &frame);
    rendezvous_reader_release(&reader);
}

/* ---- the loop ---- */

static void take_effects(struct world *w)
{
    struct wire_effect f;
    for (;;) {
        must(get(w->in, &f, sizeof f), "the controller is gone");
        if (f.kind < 0)
            break;
        cleanup_free char *verb = get_text(w->in, f.verb);
        cleanup_free char *path = get_text(w->in, f.path);
        cleanup_free char *body = get_text(w->in, f.body);
        if (f.kind == CONTROLLER_EFFECT_REQUEST)
            serve(w, &f, verb, path, body);
        else if (f.kind == CONTROLLER_EFFECT_CHANNEL_SEND)
            deliver(w, f.id, body, f.body);
        else if (f.kind == CONTROLLER_EFFECT_TIMER_SET || f.kind == CONTROLLER_EFFECT_TIMER_CLEAR)
            w->timer_ms = f.kind == CONTROLLER_EFFECT_TIMER_SET ? f.at_ms : INT64_MAX;
        must(f.kind != CONTROLLER_EFFECT_EXITED, "the controller gives up");
    }
    must(get(w->in, &w->usage, sizeof w->usage), "the controller is gone");
}

static void tell(struct world *w, struct event *e)
{
    e->wire.e.now_ms = w->now_us / 1000;
    e->wire.e.wall_ms = WALL_START + w->now_us / 1000;
    put(w->out, &e->wire, sizeof e->wire);
    put(w->out, e->data, e->wire.length);
    put(w->out, e->bytes, e->wire.more);
    (void)fflush(w->out);
    take_effects(w);
    free(e->data);
    free(e->bytes);
    free(e);
}

static struct usage look(struct world *w)
{
    struct event *e = mlt_calloc(1, sizeof *e);
    e->wire.look = true;
    tell(w, e);
    return w->usage;
}

static void run_due_pods(struct world *w)
{
    while (w->pods_running < w->pods_count &&
           w->pods[w->pods_running].runs_at_ms <= w->now_us / 1000)
        run_pod(w, &w->pods[w->pods_running]);
}

/* Whatever can happen until then. */
static void run_until(struct world *w, int64_t until_ms)
{
    for (;;) {
        run_due_pods(w);
        struct event *e = w->first;
        if (e) {
            w->first = e->next;
            if (!w->first)
                w->last = &w->first;
            tell(w, e);
            continue;
        }
        int64_t next = w->timer_ms;
        if (w->pods_running < w->pods_count && w->pods[w->pods_running].runs_at_ms < next)
            next = w->pods[w->pods_running].runs_at_ms;
        if (next > until_ms)
            break;
        if (next > w->now_us / 1000)
            w->now_us = next * 1000;
        if (w->timer_ms <= w->now_us / 1000) {
            w->timer_ms = INT64_MAX;
            (void)push(w, CONTROLLER_TIMER, 0, NULL);
        }
    }
    w->now_us = until_ms * 1000;
}

static void run_for(struct world *w, int64_t ms)
{
    run_until(w, w->now_us / 1000 + ms);
}

/* ---- results ---- */

static void report(const struct world *w, const char *what, double value, const char *unit)
{
    printf("{\"name\": \"controller.%s.%ux%u\", \"value\": %.2f, \"unit\": \"%s\", \"n\": 1}\n",
           what, w->jobs_wanted, w->replicas, value, unit);
    (void)fflush(stdout);
}

static void measure(struct world *w)
{
    struct usage before, after;
    w->timer_ms = INT64_MAX;
    (void)push(w, CONTROLLER_TIMER, 0, NULL);
    run_for(w, 1000);
    before = look(w);
    report(w, "memory_before", (double)before.rss / 1e6, "MB");
    create_job(w);
    while (w->jobs_count < w->jobs_wanted || w->pods_running < PODS)
        run_for(w, 1000);
    run_for(w, 3000);
    after = look(w);
    report(w, "create", (double)(after.cpu_ns - before.cpu_ns) / 1e9, "s");
    report(w, "memory_anonymous", (double)after.rss_peak / 1e6, "MB");
    report(w, "memory_in_use", (double)after.in_use / 1e6, "MB");
    before = look(w);
    for (uint32_t i = 0; i < PODS; i++) {
        join(w, &w->pods[i], i + 1);
        run_for(w, JOIN_MS);
    }
    run_for(w, 1000);
    must(w->started == PODS, "not every rank was started");
    after = look(w);
    report(w, "join", (double)(after.cpu_ns - before.cpu_ns) / 1e9, "s");
    before = look(w);
    for (uint32_t i = 0; i < PODS; i++)
        if (w->pods[i].slot == 0)
            fail(w, &w->pods[i]);
    run_for(w, 20000);
    must(w->started == 2 * PODS, "not every rank was started again");
    after = look(w);
    report(w, "restart", (double)(after.cpu_ns - before.cpu_ns) / 1e9, "s");
    report(w, "memory_running", (double)after.rss / 1e6, "MB");
    report(w, "memory_running_in_use", (double)after.in_use / 1e6, "MB");
}

static void world_release(struct world *w)
{
    for (uint32_t i = 0; i < w->pods_count; i++) {
        cJSON_Delete(w->pods[i].json);
        free(w->pods[i].uid);
        free(w->pods[i].job_uid);
    }
    for (uint32_t i = 0; i < w->jobs_count; i++)
        cJSON_Delete(w->jobs[i]);
    cJSON_Delete(w->lease);
    free(w);
}

static void run_shape(uint32_t jobs, uint32_t replicas)
{
    int ends[2], status = 0;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        (void)close(ends[0]);
        controller_process(fdopen(ends[1], "r"), fdopen(dup(ends[1]), "w"));
        _exit(0);
    }
    (void)close(ends[1]);
    struct world *w = mlt_calloc(1, sizeof *w);
    w->in = fdopen(ends[0], "r");
    w->out = fdopen(dup(ends[0]), "w");
    w->now_us = 1000000;
    w->last = &w->first;
    w->jobs_wanted = jobs;
    w->replicas = replicas;
    measure(w);
    (void)fclose(w->out);
    (void)shutdown(ends[0], SHUT_WR);
    (void)waitpid(child, &status, 0);
    must(status == 0, "the controller's process failed");
    (void)fclose(w->in);
    world_release(w);
}

/* In a process of its own, so that no controller begins with what is left of another shape. */
static void run_alone(uint32_t jobs, uint32_t replicas)
{
    int status = 0;
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        run_shape(jobs, replicas);
        _exit(0);
    }
    (void)waitpid(child, &status, 0);
    must(status == 0, "a shape failed");
}

int main(int argc, char **argv)
{
    static const uint32_t shapes[][2] = {{2000, 1}, {100, 20}, {1, 2000}};
    const char *only = argc == 3 && strcmp(argv[1], "--only") == 0 ? argv[2] : NULL;
    must(argc == 1 || only, "usage: bench_controller [--only 2000x1 | 100x20 | 1x2000]");
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(shapes); i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%ux%u", shapes[i][0], shapes[i][1]);
        if (!only || strcmp(only, name) == 0)
            run_alone(shapes[i][0], shapes[i][1]);
    }
    return 0;
}
