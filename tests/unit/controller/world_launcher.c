/* The kubelet and the launchers of the pretended cluster. See world.h. */
#include "world_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"

/* ---- the kubelet and the launchers ---- */

void world_launcher_dies(struct world *w, struct world_launcher *l)
{
    if (l->channel)
        world_push(w, CONTROLLER_CHANNEL_CLOSED, l->channel)->error =
            mlt_strdup("connection reset");
    free(l->pod);
    free(l->uid);
    free(l->job_uid);
    *l = (struct world_launcher){0};
}

struct world_launcher *world_launcher_of_pod(struct world *w, const char *key)
{
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++)
        if (w->launchers[i].used && strcmp(w->launchers[i].pod, key) == 0)
            return &w->launchers[i];
    return NULL;
}

static void say(struct world *w, struct world_launcher *l, struct rendezvous_message *m)
{
    struct mlt_text text = MLT_TEXT_INIT(RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX);
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    if (!l->channel || l->deaf)
        return;
    rendezvous_message_write(&text, m);
    assert_false(text.failed);
    rendezvous_reader_init(&reader, RENDEZVOUS_UP);
    assert_int_equal(rendezvous_reader_feed(&reader, text.data, text.length, NULL), 0);
    assert_int_equal(rendezvous_reader_next(&reader, &frame, NULL), 1);
    struct world_event *e = world_push(w, CONTROLLER_CHANNEL_FRAME, l->channel);
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
        .lease_transitions = l->lease_transitions,
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
        .takes_orders = w->takes_orders,
    };
    if (l->stopping)
        m.hello.state = RENDEZVOUS_STATE_STOPPING;
    say(w, l, &m);
}

/* Pods know the channel's address for life. */
static bool knows_channel(struct world *w, const struct world_launcher *l)
{
    const char *address = w->channel_address ? w->channel_address : WORLD_CHANNEL;
    const cJSON *variable;
    cJSON_ArrayForEach(variable, json_find(world_object(w, l->pod), "spec.containers[0].env"))
    {
        if (strcmp(json_string(variable, "name", ""), "MLTRAIN_CHANNEL") == 0)
            return strcmp(json_string(variable, "value", ""), address) == 0;
    }
    return false;
}

void world_launcher_connects(struct world *w, struct world_launcher *l)
{
    if (!knows_channel(w, l)) {
        l->channel = 0;
        return;
    }
    if (l->channel) /* a launcher leaves the channel that it had */
        world_push(w, CONTROLLER_CHANNEL_CLOSED, l->channel)->error = mlt_strdup("left");
    l->channel = ++w->channels;
    world_push(w, CONTROLLER_CHANNEL_OPENED, l->channel)->uid = mlt_strdup(l->job_uid);
    say_hello(w, l);
}

static void tell_checkpoints(struct world *w, struct world_launcher *l, int64_t step_number,
                             int64_t torn);

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
    if (l->late_checkpoint)
        tell_checkpoints(w, l, l->late_checkpoint, RENDEZVOUS_NO_STEP);
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

static void obey_save(struct world *w, struct world_launcher *l, const struct rendezvous_message *m)
{
    struct rendezvous_message answer = {.type = RENDEZVOUS_SAVE_STEP, .attempt = l->attempt};
    answer.save_step = (struct rendezvous_save_step){.proposed = m->checkpoint_now.step,
                                                     .reached = RENDEZVOUS_NO_STEP,
                                                     .asking = w->asking,
                                                     .caught = w->caught};
    if (m->attempt != l->attempt || l->state != LAUNCHER_RUNNING)
        return;
    if (m->checkpoint_now.confirmed)
        l->saves = m->checkpoint_now.step;
    else
        say(w, l, &answer);
}

static void obey_examine(struct world *w, struct world_launcher *l)
{
    struct rendezvous_evidence rank = {.state = 'S', .wait_channel = "", .step = 0};
    struct rendezvous_message m = {.type = RENDEZVOUS_EVIDENCE, .attempt = l->attempt};
    if (w->evidence_state && l->slot == 0)
        rank.state = (uint8_t)w->evidence_state;
    m.evidence.ranks = &rank;
    m.evidence.ranks_count = 1;
    say(w, l, &m);
}

void world_terminating(struct world *w, struct world_launcher *l)
{
    say(w, l,
        &(struct rendezvous_message){
            .type = RENDEZVOUS_TERMINATING, .attempt = l->attempt, .terminating = {.signal = 15}});
    world_run(w);
}

static void set_trainer(struct world *w, const char *key, const char *phase, int code)
{
    struct world_object *o = world_find(w, key);
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
    world_changed(w, key);
}

void world_pod_ends(struct world *w, struct world_launcher *l, int code)
{
    cleanup_free char *key = mlt_strdup(l->pod);
    world_launcher_dies(w, l);
    set_trainer(w, key, w->late_phase ? "Running" : code ? "Failed" : "Succeeded", code);
}

void world_pod_stopped(struct world *w, struct world_launcher *l, const char *reason)
{
    json_set_string(world_object(w, l->pod), "status.reason", reason);
    world_pod_ends(w, l, 143);
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
            l->stop_grace_ms = m->stop.grace_ms;
            if (!l->hold_stop || m->stop.grace_ms == 0)
                world_stopped(w, l);
        }
        break;
    case RENDEZVOUS_CHECKPOINT_NOW:
        obey_save(w, l, m);
        break;
    case RENDEZVOUS_EXAMINE:
        obey_examine(w, l);
        break;
    case RENDEZVOUS_EXIT:
        l->exit_code = m->exit.code;
        if (l->ignores_exit)
            break;
        world_pod_ends(w, l, m->exit.code);
        break;
    case RENDEZVOUS_PING:
        say(w, l,
            &(struct rendezvous_message){
                .type = RENDEZVOUS_PONG, .attempt = m->attempt, .pong = {.nonce = m->ping.nonce}});
        break;
    case RENDEZVOUS_REFUSED:
        l->refused = !m->refused.final;
        if (w->verbose)
            printf("    refused: %s\n", m->refused.reason);
        l->told_gone = m->refused.gone && l->state == LAUNCHER_RUNNING;
        if (m->refused.final && !l->told_gone && world_object(w, l->pod))
            world_pod_ends(w, l, 128 + 15);
        break;
    default:
        break;
    }
}

void world_channel_send(struct world *w, const struct controller_effect *effect)
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
        if (l && !l->deaf)
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

/* What runs on a node that nobody hears of is taken for dead. */
bool world_is_on_lost_node(struct world *w, const cJSON *pod)
{
    const char *node = json_string(pod, "spec.nodeName", "");
    cleanup_free char *key = mlt_asprintf("nodes//%s", node);
    if (w->dead_kubelets && strstr(w->dead_kubelets, node))
        return true;
    return strcmp(json_string(world_object(w, key), "status.conditions[0].status", "True"),
                  "True") != 0;
}

/* No two living pods of one slot. */
void world_check_slots(struct world *w, const cJSON *pod)
{
    struct world_object *o, *next;
    unsigned alive = 0;
    HASH_ITER(hh, w->objects, o, next)
    {
        const char *phase = json_string(o->json, "status.phase", "");
        if (strncmp(o->key, "pods/", 5) != 0 || strcmp(phase, "Failed") == 0 ||
            strcmp(phase, "Succeeded") == 0)
            continue;
        alive += strcmp(json_string(o->json, "metadata.ownerReferences[0].uid", "-"),
                        json_string(pod, "metadata.ownerReferences[0].uid", "")) == 0 &&
                 strcmp(json_string(o->json, "metadata.labels[mltrain.io/index]", "-"),
                        json_string(pod, "metadata.labels[mltrain.io/index]", "")) == 0 &&
                 json_bool(o->json, "lost", false) == false && !world_is_on_lost_node(w, o->json);
    }
    assert_int_equal(alive, world_is_on_lost_node(w, pod) ? 0 : 1);
}

void world_kubelet_sees(struct world *w, const char *key)
{
    struct world_object *o = world_find(w, key);
    const char *node = json_string(o->json, "spec.nodeName", "");
    if (w->reject_on && strcmp(node, w->reject_on) == 0) {
        json_set_string(o->json, "status.phase", "Failed");
        json_set_string(o->json, "status.reason", "OutOfnvidia.com/gpu");
        json_set_string(o->json, "status.message", "Node didn't have enough resource");
        world_changed(w, key);
        return;
    }
    bool waits_for_volume = w->mounts_nothing && delivery_is_kept(o->json);
    if (w->no_kubelet || waits_for_volume || world_is_on_lost_node(w, o->json))
        return;
    set_trainer(w, key, "Running", -1);
    world_launcher_connects(w, launcher_new(w, key, o->json));
}
/* ---- what launchers tell ---- */

struct world_launcher *world_launcher(struct world *w, const char *job, uint32_t slot)
{
    const char *uid = json_string(world_job_object(w, job), "metadata.uid", "-");
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
        .cause = w->cause ? w->cause
                 : signal ? RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE
                          : RENDEZVOUS_CAUSE_EXITED,
        .after_ms = after_ms,
        .tail = !code     ? ""
                : w->tail ? w->tail
                          : "Traceback: boom",
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

static void tell_checkpoints(struct world *w, struct world_launcher *l, int64_t step_number,
                             int64_t torn)
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
}

void world_checkpoint(struct world *w, struct world_launcher *l, int64_t step_number, int64_t torn)
{
    tell_checkpoints(w, l, step_number, torn);
    world_run(w);
}

/* The kubelet is back: what was to end has ended. */
static void end_terminating(struct world *w, const char *node)
{
    struct world_object *o, *next;
    HASH_ITER(hh, w->objects, o, next)
    if (json_find(o->json, "metadata.deletionTimestamp") && strncmp(o->key, "pods/", 5) == 0 &&
        strcmp(json_string(o->json, "spec.nodeName", ""), node) == 0)
        world_delete(w, o->key);
}

void world_node_ready(struct world *w, const char *node, bool ready)
{
    cleanup_free char *key = mlt_asprintf("nodes//%s", node);
    cJSON *json = world_object(w, key);
    json_set_string(json_find(json, "status.conditions[0]"), "status", ready ? "True" : "Unknown");
    if (ready)
        end_terminating(w, node);
    world_changed(w, key);
    world_run(w);
}

void world_kubelets_die(struct world *w, const char *nodes)
{
    const char *were = w->dead_kubelets;
    w->dead_kubelets = nodes;
    w->renewed_ms = 0; /* who comes back renews at once */
    for (unsigned i = 1; were && i <= world_count(w, "nodes"); i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "node%03u", i);
        if (strstr(were, name) && (!nodes || !strstr(nodes, name)))
            end_terminating(w, name);
    }
    world_run(w);
}

/* Kubelets renew every 10 s; the time in their Leases is theirs, and wrong by an hour. */
void world_renew_leases(struct world *w)
{
    struct world_object *o, *next;
    char time[MLT_TIME_TEXT_MAX];
    if (!w->leases || (w->renewed_ms && w->now_ms - w->renewed_ms < 10000))
        return;
    w->renewed_ms = w->now_ms;
    mlt_time_format(w->wall_ms - INT64_C(3600000), time);
    HASH_ITER(hh, w->objects, o, next)
    {
        const char *node = o->key + strlen("nodes//");
        cleanup_free char *key = NULL;
        if (strncmp(o->key, "nodes//", strlen("nodes//")) != 0 ||
            (w->dead_kubelets && strstr(w->dead_kubelets, node)))
            continue;
        key = mlt_asprintf("leases/kube-node-lease/%s", node);
        if (!world_object(w, key))
            (void)world_put_new(w, key, cJSON_CreateObject());
        json_set_string(world_object(w, key), "spec.renewTime", time);
        world_changed(w, key);
    }
}

void world_launcher_hears(struct world *w, struct world_launcher *l)
{
    l->deaf = false;
    if (!l->channel)
        world_launcher_connects(w, l);
    world_run(w);
}

void world_channel_breaks(struct world *w, struct world_launcher *l)
{
    world_push(w, CONTROLLER_CHANNEL_CLOSED, l->channel)->error = mlt_strdup("connection reset");
    l->channel = 0;
    world_run(w);
}
