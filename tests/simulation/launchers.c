/* Launchers: the product's supervisor, and below it what launcher/edge_uv.c is in the product. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "tests/simulation/sim.h"

#define CONNECT_MS 1500 /* to an address that swallows everything */
#define HANDSHAKE_MS 10000
#define KEEPALIVE_MS 60000 /* until the kernel gives up a peer that is silent */

struct sim_launcher *launcher_find(struct sim *s, uint64_t id)
{
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->id == id)
            return l;
    return NULL;
}

struct sim_launcher *launcher_of_pod(struct sim *s, const char *uid)
{
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (strcmp(l->uid, uid) == 0)
            return l;
    return NULL;
}

/* ---- connections ---- */

struct wire_frame {
    int64_t sent_ms;
    struct rendezvous_frame frame;
    unsigned char payload[];
};

static struct sim_connection *connection_find(struct sim *s, uint64_t id)
{
    for (struct sim_connection *c = s->connections; c; c = c->next)
        if (c->id == id)
            return c;
    return NULL;
}

/* Goes when neither side has it any more. */
static void connection_drop(struct sim *s, struct sim_connection *c)
{
    struct sim_connection **p = &s->connections;
    if (c->launcher || c->controller)
        return;
    while (*p != c)
        p = &(*p)->next;
    *p = c->next;
    free(c);
}

static void closed_at_launcher(struct sim *s, uint64_t id, void *data)
{
    struct sim_connection *c = connection_find(s, id);
    (void)data;
    if (!c || !c->launcher)
        return;
    struct sim_launcher *l = launcher_find(s, c->launcher);
    c->launcher = 0;
    connection_drop(s, c);
    if (!l || l->connection != id)
        return;
    l->connection = 0;
    launcher_post(s, l,
                  &(struct supervisor_event){.kind = SUPERVISOR_ON_CLOSED, .words = "closed"});
}

static void closed_at_controller(struct sim *s, uint64_t id, void *data)
{
    struct sim_connection *c = connection_find(s, id);
    (void)data;
    if (!c || !c->controller)
        return;
    uint64_t controller = c->controller;
    c->controller = 0;
    connection_drop(s, c);
    controller_tell(s, controller,
                    &(struct controller_event){
                        .kind = CONTROLLER_CHANNEL_CLOSED, .id = id, .error = "connection reset"});
}

static int64_t frame_delay_ms(struct sim *s)
{
    if (sim_chance(s, s->rates.channel_slow))
        return sim_between(s, 200, 6000);
    return sim_between(s, 0, 3);
}

static void hear_ranks(struct sim *s, struct sim_launcher *l);

/* A word says that START was no later than so long ago. That it was no sooner is only known from
 * how long START itself, or a PING that is answered before STOPPED, was on its way at most. */
static void note_asked(struct sim_launcher *l, const struct rendezvous_frame *frame, int64_t way_ms)
{
    enum supervisor_state state = supervisor_state(l->supervisor);
    bool in_time = state >= SUPERVISOR_STARTING && state <= SUPERVISOR_KILLING;
    if (frame->type == RENDEZVOUS_START ||
        (frame->type == RENDEZVOUS_PING && in_time && way_ms < l->asked_ms))
        l->asked_ms = way_ms;
}

static void frame_down(struct sim *s, uint64_t id, void *data)
{
    struct sim_connection *c = connection_find(s, id);
    const struct wire_frame *f = data;
    struct sim_launcher *l = c ? launcher_find(s, c->launcher) : NULL;
    if (!l || l->left || l->connection != id || c->cut)
        return;
    struct rendezvous_frame frame = f->frame;
    frame.payload = f->payload;
    if (launcher_sleeps(s, l, frame_down, id, f, sizeof *f + frame.length + 1))
        return;
    if (frame.type == RENDEZVOUS_CHECKPOINT_NOW)
        hear_ranks(s, l); /* as edge_uv.c does */
    if (frame.type != RENDEZVOUS_PING)
        sim_say(s, l->pod, "<- %s attempt %" PRIu64, rendezvous_type_name(frame.type),
                frame.attempt);
    oracle_save_frame_came(s, l, &frame);
    note_asked(l, &frame, s->now_ms - f->sent_ms);
    supervisor_frame(l->supervisor, &frame, s->now_ms);
    launcher_post(s, l, NULL);
}

static void frame_up(struct sim *s, uint64_t id, void *data)
{
    struct sim_connection *c = connection_find(s, id);
    const struct wire_frame *f = data;
    if (!c || !c->controller || c->cut)
        return;
    struct rendezvous_frame frame = f->frame;
    frame.payload = f->payload;
    const struct sim_launcher *l = launcher_find(s, c->launcher);
    if (l)
        oracle_save_answer_came(s, l, &frame);
    bool dull = frame.type == RENDEZVOUS_PONG || frame.type == RENDEZVOUS_PROGRESS ||
                frame.type == RENDEZVOUS_CHECKPOINT;
    if (l && !dull)
        sim_say(s, l->pod, "-> %s attempt %" PRIu64, rendezvous_type_name(frame.type),
                frame.attempt);
    controller_tell(
        s, c->controller,
        &(struct controller_event){.kind = CONTROLLER_CHANNEL_FRAME, .id = id, .frame = &frame});
}

/* Words that say how long ago START came. */
static bool tells_time(const struct rendezvous_frame *frame)
{
    return frame->type == RENDEZVOUS_HELLO || frame->type == RENDEZVOUS_STARTED ||
           frame->type == RENDEZVOUS_PONG || frame->type == RENDEZVOUS_RANK_EXIT ||
           frame->type == RENDEZVOUS_STOPPED;
}

/* Takes bytes apart and sends each frame on its way, in order. */
static void send_frames(struct sim *s, struct sim_connection *c, enum rendezvous_direction way,
                        const void *data, size_t length)
{
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    int64_t *last = way == RENDEZVOUS_UP ? &c->up_ms : &c->down_ms;
    uint64_t id = c->id;
    rendezvous_reader_init(&reader, way);
    if (rendezvous_reader_feed(&reader, data, length, NULL) == 0)
        while (rendezvous_reader_next(&reader, &frame, NULL) == 1) {
            struct wire_frame *f = mlt_calloc(1, sizeof *f + frame.length + 1);
            f->frame = frame;
            memcpy(f->payload, frame.payload, frame.length);
            f->sent_ms = s->now_ms;
            int64_t at = s->now_ms + frame_delay_ms(s);
            *last = at > *last ? at : *last;
            struct sim_launcher *l = launcher_find(s, c->launcher);
            const struct sim_host *host = controller_find(s, c->controller);
            if (l && way == RENDEZVOUS_UP && tells_time(&frame) && *last - s->now_ms < l->word_ms)
                l->word_ms = *last - s->now_ms;
            if (l && way == RENDEZVOUS_UP) {
                oracle_frame_up(s, l, &frame);
                oracle_save_answer(s, l, &frame);
            } else if (l && host) {
                oracle_frame_down(s, host, l, &frame);
                oracle_save_frame(s, host, l, &frame);
            }
            sim_after(s, *last - s->now_ms, way == RENDEZVOUS_UP ? frame_up : frame_down, id, f);
        }
    rendezvous_reader_release(&reader);
    if (sim_chance(s, s->rates.channel_cut))
        connection_cut(s, id, sim_chance(s, 300));
}

void connection_send_down(struct sim *s, uint64_t connection, const void *data, size_t length)
{
    struct sim_connection *c = connection_find(s, connection);
    if (c && c->launcher)
        send_frames(s, c, RENDEZVOUS_DOWN, data, length);
}

void connection_close_by_controller(struct sim *s, uint64_t connection)
{
    struct sim_connection *c = connection_find(s, connection);
    if (!c)
        return;
    c->controller = 0;
    if (!c->launcher)
        connection_drop(s, c);
    else if (!c->cut) /* after what was queued */
        sim_after(s, (c->down_ms > s->now_ms ? c->down_ms - s->now_ms : 0) + 1, closed_at_launcher,
                  connection, NULL);
}

void connection_controller_died(struct sim *s, uint64_t controller)
{
    struct sim_connection *next;
    for (struct sim_connection *c = s->connections; c; c = next) {
        next = c->next;
        if (c->controller == controller)
            connection_close_by_controller(s, c->id);
    }
}

bool connection_stands(struct sim *s, uint64_t connection, uint64_t controller)
{
    const struct sim_connection *c = connection_find(s, connection);
    return c && c->launcher && c->controller == controller && !c->cut;
}

void connection_cut(struct sim *s, uint64_t connection, bool silently)
{
    struct sim_connection *c = connection_find(s, connection);
    if (!c || c->cut)
        return;
    const struct sim_launcher *l = launcher_find(s, c->launcher);
    sim_say(s, "network", "the channel of %s is cut%s", l ? l->pod : "?",
            silently ? " and nobody notices" : "");
    if (l)
        oracle_excuse_mildly(s, l->job);
    if (l)
        oracle_disturb(s, l->job, silently ? KEEPALIVE_MS + SIM_BACK_MS : SIM_BACK_MS);
    s->faults_count++;
    c->cut = true;
    sim_after(s, silently ? KEEPALIVE_MS : 1, closed_at_launcher, connection, NULL);
    if (!silently)
        sim_after(s, 1, closed_at_controller, connection, NULL);
}

/* ---- connecting ---- */

static void connect_fails(struct sim *s, uint64_t id, void *data)
{
    struct sim_launcher *l = launcher_find(s, id);
    (void)data;
    if (l && !l->left && !l->connection)
        launcher_post(
            s, l,
            &(struct supervisor_event){.kind = SUPERVISOR_ON_CLOSED, .words = "cannot connect"});
}

static void connects(struct sim *s, uint64_t id, void *data)
{
    struct sim_launcher *l = launcher_find(s, id);
    (void)data;
    if (!l || l->left || l->connection)
        return;
    struct sim_host *host = controller_for_launcher(s);
    if (!s->nodes[l->node].reachable || (host && host->paused)) {
        int64_t wait_ms = s->nodes[l->node].reachable ? HANDSHAKE_MS : CONNECT_MS;
        sim_after(s, wait_ms, connect_fails, id, NULL);
        return;
    }
    if (!host) {
        connect_fails(s, id, NULL);
        return;
    }
    struct sim_connection *c = mlt_calloc(1, sizeof *c);
    c->id = ++s->ids;
    c->launcher = id;
    c->controller = host->id;
    c->next = s->connections;
    s->connections = c;
    l->connection = c->id;
    if (l->asked_by != host->id)
        l->asked_ms = INT64_MAX; /* a next one knows nothing of when START was sent */
    l->asked_by = host->id;
    uint64_t connection = c->id, controller = host->id;
    controller_tell(s, controller,
                    &(struct controller_event){.kind = CONTROLLER_CHANNEL_OPENED,
                                               .id = connection,
                                               .job_uid = l->job->uid});
    if (l->connection == connection)
        launcher_post(s, l, &(struct supervisor_event){.kind = SUPERVISOR_ON_OPENED});
}

static void disconnect(struct sim *s, struct sim_launcher *l, bool silently)
{
    struct sim_connection *c = connection_find(s, l->connection);
    l->connection = 0;
    if (!c)
        return;
    c->launcher = 0;
    if (!c->controller)
        connection_drop(s, c);
    else if (!silently && !c->cut)
        sim_after(s, (c->up_ms > s->now_ms ? c->up_ms - s->now_ms : 0) + 1, closed_at_controller,
                  c->id, NULL);
}

/* ---- effects ---- */

struct timer_data {
    enum supervisor_timer timer;
    uint64_t generation;
};

static void timer_fires(struct sim *s, uint64_t id, void *data)
{
    static const enum supervisor_event_kind kinds[SUPERVISOR_TIMERS] = {
#define XX(name) [SUPERVISOR_TIMER_##name] = SUPERVISOR_ON_##name##_TIME,
        SUPERVISOR_TIMER_MAP(XX)
#undef XX
    };
    const struct timer_data *t = data;
    struct sim_launcher *l = launcher_find(s, id);
    if (l && !l->left && l->timers[t->timer] == t->generation &&
        !launcher_sleeps(s, l, timer_fires, id, t, sizeof *t))
        launcher_post(s, l, &(struct supervisor_event){.kind = kinds[t->timer]});
}

static void set_timer(struct sim *s, struct sim_launcher *l, const struct supervisor_effect *e)
{
    struct timer_data data = {.timer = e->timer, .generation = ++l->timers[e->timer]};
    if (e->delay_ms >= 0)
        sim_after(s, e->delay_ms, timer_fires, l->id, mlt_memdup(&data, sizeof data));
}

static void is_cleaned(struct sim *s, uint64_t id, void *data)
{
    struct sim_launcher *l = launcher_find(s, id);
    (void)data;
    if (l && !l->left)
        launcher_post(s, l, &(struct supervisor_event){.kind = SUPERVISOR_ON_CLEANED});
}

static void holds_port(struct sim *s, uint64_t id, void *data)
{
    struct sim_launcher *l = launcher_find(s, id);
    (void)data;
    if (l && !l->left)
        launcher_post(s, l,
                      &(struct supervisor_event){.kind = SUPERVISOR_ON_PORT_HELD,
                                                 .port = (uint16_t)sim_between(s, 30000, 60000)});
}

static void launcher_free(struct sim *s, uint64_t id, void *data)
{
    (void)data;
    for (struct sim_launcher **p = &s->launchers; *p; p = &(*p)->next)
        if ((*p)->id == id) {
            struct sim_launcher *l = *p;
            *p = l->next;
            supervisor_free(l->supervisor);
            free(l->pod);
            free(l->uid);
            free(l->held);
            free(l);
            return;
        }
}

static void leaves(struct sim *s, struct sim_launcher *l, int code)
{
    sim_say(s, l->pod, "launcher exits with %d", code);
    l->left = true;
    ranks_vanish(s, l);
    disconnect(s, l, false);
    kubelet_container_ended(s, l->uid, code);
    sim_after(s, 0, launcher_free, l->id, NULL);
}

static void look_afresh(struct sim *s, struct sim_launcher *l, bool ranks_left)
{
    l->ranks_left = ranks_left;
    l->fresh_wanted = true;
    ranks_look_at_folder(s, l, true);
}

static void do_effect(struct sim *s, struct sim_launcher *l, const struct supervisor_effect *e)
{
    struct sim_connection *c;
    switch (e->kind) {
    case SUPERVISOR_DO_CONNECT:
        sim_after(s, sim_between(s, 1, 20), connects, l->id, NULL);
        break;
    case SUPERVISOR_DO_DISCONNECT:
        disconnect(s, l, false);
        break;
    case SUPERVISOR_DO_SEND:
        c = connection_find(s, l->connection);
        if (c)
            send_frames(s, c, RENDEZVOUS_UP, e->bytes, e->length);
        break;
    case SUPERVISOR_DO_TIMER:
        set_timer(s, l, e);
        break;
    case SUPERVISOR_DO_WATCH:
        l->watching = supervisor_welcome(l->supervisor)->watch_checkpoints;
        ranks_look_on(s, l);
        break;
    case SUPERVISOR_DO_CLEAN_UP:
        sim_after(s, sim_between(s, 1, 30), is_cleaned, l->id, NULL);
        break;
    case SUPERVISOR_DO_HOLD_PORT:
        sim_after(s, 0, holds_port, l->id, NULL);
        break;
    case SUPERVISOR_DO_RELEASE_PORT:
        break;
    case SUPERVISOR_DO_SCAN:
        look_afresh(s, l, e->ranks_left);
        break;
    case SUPERVISOR_DO_SPAWN:
        ranks_spawn(s, l);
        break;
    case SUPERVISOR_DO_SIGNAL:
        ranks_signal(s, l, e->signal);
        break;
    case SUPERVISOR_DO_SIGNAL_CATCHING:
        ranks_catch(s, l, e->signal, e->ranks);
        break;
    case SUPERVISOR_DO_LOOK:
        ranks_look_at_themselves(s, l);
        break;
    case SUPERVISOR_DO_ANSWER:
        ranks_are_answered(s, l, e->ranks, e->save);
        break;
    case SUPERVISOR_DO_KILL_ALL:
        ranks_kill_all(s, l);
        break;
    case SUPERVISOR_DO_EXCHANGED:
        exchanges_told(s, l, e->exchanged);
        break;
    case SUPERVISOR_DO_LOG:
        sim_say(s, l->pod, "%s", e->words);
        break;
    case SUPERVISOR_DO_LEAVE:
        leaves(s, l, e->code);
        break;
    }
}

static void do_effects(struct sim *s, struct sim_launcher *l)
{
    struct supervisor_effect effect;
    while (!l->left && supervisor_next(l->supervisor, &effect))
        do_effect(s, l, &effect);
}

/* ---- SIGSTOP ---- */

bool launcher_sleeps(struct sim *s, const struct sim_launcher *l, sim_run_f *run, uint64_t id,
                     const void *data, size_t size)
{
    if (s->now_ms >= l->frozen_until_ms)
        return false;
    sim_after(s, l->frozen_until_ms - s->now_ms, run, id, size ? mlt_memdup(data, size) : NULL);
    return true;
}

static void hear_ranks(struct sim *s, struct sim_launcher *l)
{
    struct supervisor_event *held = l->held;
    size_t count = l->held_count;
    l->held = NULL;
    l->held_count = l->held_capacity = 0;
    for (size_t i = 0; i < count && !l->left; i++) {
        if (held[i].kind == SUPERVISOR_ON_ASKED)
            held[i].asked.age_ms = s->now_ms - l->frozen_ms;
        launcher_post(s, l, &held[i]);
    }
    free(held);
}

static void wakes(struct sim *s, uint64_t id, void *data)
{
    struct sim_launcher *l = launcher_find(s, id);
    (void)data;
    if (l && !l->left && s->now_ms >= l->frozen_until_ms)
        hear_ranks(s, l);
}

/* What became readable is read channel by channel: either its ranks or the controller first. */
void launcher_freeze(struct sim *s, struct sim_launcher *l, int64_t ms)
{
    if (l->frozen_until_ms > s->now_ms)
        return;
    sim_say(s, l->pod, "its launcher is frozen for %" PRId64 " ms", ms);
    oracle_excuse_mildly(s, l->job);
    oracle_disturb(s, l->job, ms + SIM_BACK_MS);
    s->faults_count++;
    l->frozen_ms = s->now_ms;
    l->frozen_until_ms = s->now_ms + ms;
    sim_after(s, ms + sim_between(s, 0, 1), wakes, l->id, NULL);
}

/* `event` NULL: only the effects of a frame. What effects report at once waits for its turn. */
void launcher_post(struct sim *s, struct sim_launcher *l, const struct supervisor_event *event)
{
    if (event && s->now_ms < l->frozen_until_ms) {
        MLT_GROW(l->held, l->held_count, l->held_capacity);
        l->held[l->held_count++] = *event;
        return;
    }
    if (event && l->posted_count < sizeof l->posted / sizeof l->posted[0]) {
        l->posted[l->posted_count] = *event;
        l->posted[l->posted_count++].now_ms = s->now_ms;
    }
    if (l->busy)
        return;
    l->busy = true;
    do_effects(s, l);
    for (size_t i = 0; i < l->posted_count && !l->left; i++) {
        struct supervisor_event next = l->posted[i];
        supervisor_step(l->supervisor, &next);
        do_effects(s, l);
    }
    l->posted_count = 0;
    l->busy = false;
    if (!l->left)
        supervisor_check(l->supervisor);
}

/* ---- life ---- */

void launcher_begin(struct sim *s, const char *pod, const char *uid, int node, struct sim_job *job,
                    uint32_t slot)
{
    struct sim_launcher *l = mlt_calloc(1, sizeof *l);
    l->id = ++s->ids;
    l->pod = mlt_strdup(pod);
    l->uid = mlt_strdup(uid);
    l->node = node;
    l->job = job;
    l->slot = slot;
    job->facts.ready[slot] = job->facts.spawned[slot] = 0;
    const struct supervisor_identity identity = {
        .pod_uid = l->uid,
        .role = "worker",
        .node = s->nodes[node].name,
        .address = "10.0.0.1",
        .version = "1",
        .slot = slot,
        .seed = mlt_random_next(&s->random),
    };
    l->supervisor = supervisor_new(&identity);
    l->next = s->launchers;
    s->launchers = l;
    sim_say(s, pod, "launcher starts on %s", s->nodes[node].name);
    launcher_post(s, l, NULL);
}

void launcher_terminate(struct sim *s, struct sim_launcher *l)
{
    if (l->left)
        return;
    sim_say(s, l->pod, "SIGTERM from the kubelet");
    launcher_post(s, l,
                  &(struct supervisor_event){.kind = SUPERVISOR_ON_TERMINATE, .signal = SIGTERM});
}

void launcher_die(struct sim *s, struct sim_launcher *l, bool silently)
{
    if (!l->left) {
        sim_say(s, l->pod, "launcher and ranks are gone%s", silently ? " with the machine" : "");
        l->left = true;
        ranks_vanish(s, l);
        disconnect(s, l, silently);
    }
    sim_after(s, 0, launcher_free, l->id, NULL);
}
