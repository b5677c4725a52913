/* The edge's centre: loop, channel, timers, signals, and the effects one by one. Ranks, their
 * output and what is watched stand in edge_ranks.c, edge_output.c and edge_watch.c. */
#include "launcher/edge_uv.h"

#include <assert.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "launcher/edge_internal.h"
#include "launcher/sdk_python.h"
#include "launcher/tls_provider.h"

int64_t edge_now_ms(const struct edge *e)
{
    (void)e;
    return (int64_t)(uv_hrtime() / 1000000);
}

void edge_log(struct edge *e, const char *format, ...)
{
    char text[SUPERVISOR_WORDS_MAX + 64];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    edge_output_say(e, text);
}

void edge_notice(struct edge *e, enum rendezvous_severity severity, const char *reason,
                 const char *format, ...)
{
    char *words = e->notices[e->notices_count++ % EDGE_NOTICES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof e->notices[0], format, args);
    va_end(args);
    edge_post(e, &(struct supervisor_event){
                     .kind = SUPERVISOR_ON_NOTICED,
                     .noticed = {.severity = (uint8_t)severity, .reason = reason, .words = words}});
}

bool edge_speaks_for_all(const struct edge *e)
{
    const struct rendezvous_welcome *welcome = supervisor_welcome(e->supervisor);
    return welcome && welcome->watch_checkpoints;
}

/* ---- poll handles ---- */

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

uv_poll_t *edge_poll_new(struct edge *e, int fd, void *data)
{
    uv_poll_t *poll = malloc(sizeof *poll);
    if (!poll)
        return NULL;
    if (uv_poll_init(&e->loop, poll, fd) < 0) {
        free(poll);
        return NULL;
    }
    poll->data = data;
    return poll;
}

void edge_poll_free(uv_poll_t **poll)
{
    if (!*poll)
        return;
    (void)uv_poll_stop(*poll);
    uv_close((uv_handle_t *)*poll, free_handle);
    *poll = NULL;
}

/* ---- effects ---- */

static void timer_event(uv_timer_t *handle)
{
    static const enum supervisor_event_kind kinds[SUPERVISOR_TIMERS] = {
#define XX(name) [SUPERVISOR_TIMER_##name] = SUPERVISOR_ON_##name##_TIME,
        SUPERVISOR_TIMER_MAP(XX)
#undef XX
    };
    struct edge *e = handle->data;
    edge_post(e, &(struct supervisor_event){.kind = kinds[handle - e->timers]});
}

static void set_timer(struct edge *e, enum supervisor_timer timer, int64_t delay_ms)
{
    if (delay_ms < 0) {
        (void)uv_timer_stop(&e->timers[timer]);
        return;
    }
    uv_update_time(&e->loop);
    (void)uv_timer_start(&e->timers[timer], timer_event, (uint64_t)delay_ms, 0);
}

static void hold_port(struct edge *e)
{
    struct mlt_error err = {0};
    uint16_t port = 0;
    if (port_hold_next(&e->port, &port, &err) < 0)
        edge_log(e, "%s", err.text);
    edge_post(e, &(struct supervisor_event){.kind = SUPERVISOR_ON_PORT_HELD, .port = port});
}

static void leave(struct edge *e, int code)
{
    e->exit_code = code;
    e->leaving = true;
    edge_watch_stop(e);
    sdk_socket_remove(e->sdk);
    edge_output_leave(e);
}

static void do_effect(struct edge *e, const struct supervisor_effect *effect)
{
    switch (effect->kind) {
    case SUPERVISOR_DO_CONNECT:
        channel_client_connect(e->channel);
        break;
    case SUPERVISOR_DO_DISCONNECT:
        channel_client_disconnect(e->channel);
        break;
    case SUPERVISOR_DO_SEND:
        channel_client_send(e->channel, effect->bytes, effect->length);
        break;
    case SUPERVISOR_DO_TIMER:
        set_timer(e, effect->timer, effect->delay_ms);
        break;
    case SUPERVISOR_DO_WATCH:
        edge_reserve_ranks(e);
        edge_mpi_welcomed(e);
        edge_watch(e);
        break;
    case SUPERVISOR_DO_CLEAN_UP:
        edge_clean_up(e);
        break;
    case SUPERVISOR_DO_HOLD_PORT:
        hold_port(e);
        break;
    case SUPERVISOR_DO_RELEASE_PORT:
        port_hold_release(&e->port);
        break;
    case SUPERVISOR_DO_SCAN:
        edge_scan_fresh(e, effect->ranks_left);
        break;
    case SUPERVISOR_DO_SPAWN:
        edge_spawn(e);
        break;
    case SUPERVISOR_DO_SIGNAL:
        edge_signal(e, effect->signal);
        break;
    case SUPERVISOR_DO_SIGNAL_CATCHING:
        edge_signal_catching(e, effect->signal, effect->ranks);
        break;
    case SUPERVISOR_DO_LOOK:
        edge_look(e);
        break;
    case SUPERVISOR_DO_ANSWER:
        for (uint32_t i = 0; i < RENDEZVOUS_RANKS_PER_MEMBER_MAX; i++)
            if (effect->ranks[i / 64] >> i % 64 & 1)
                edge_answer(e, i, effect->save);
        break;
    case SUPERVISOR_DO_KILL_ALL:
        edge_kill_all(e);
        break;
    case SUPERVISOR_DO_EXCHANGED:
        edge_exchanged(e, effect->exchanged);
        break;
    case SUPERVISOR_DO_LOG:
        edge_log(e, "%s", effect->words);
        break;
    case SUPERVISOR_DO_LEAVE:
        leave(e, effect->code);
        break;
    }
}

static void do_effects(struct edge *e)
{
    struct supervisor_effect effect;
    while (supervisor_next(e->supervisor, &effect))
        do_effect(e, &effect);
}

/* Effects may report at once what came of them: such events wait until the step's effects are done.
 */
static void drain(struct edge *e)
{
    if (e->draining)
        return;
    e->draining = true;
    do_effects(e);
    while (e->events_first < e->events_count) {
        struct supervisor_event event = e->events[e->events_first++];
        supervisor_step(e->supervisor, &event);
        do_effects(e);
        if (e->events_first == e->events_count) {
            e->events_first = e->events_count = 0;
            edge_deliver_exits(e); /* may post more */
        }
    }
    e->draining = false;
}

void edge_flush(struct edge *e)
{
    drain(e);
}

void edge_post(struct edge *e, const struct supervisor_event *event)
{
    assert(e->events_count < EDGE_EVENTS_MAX);
    struct supervisor_event *place = &e->events[e->events_count++];
    *place = *event;
    place->now_ms = edge_now_ms(e);
    drain(e);
}

/* ---- channel ---- */

static void channel_opened(void *arg)
{
    edge_post(arg, &(struct supervisor_event){.kind = SUPERVISOR_ON_OPENED});
}

static void channel_closed(void *arg, const char *reason)
{
    struct edge *e = arg;
    (void)snprintf(e->closed_words, sizeof e->closed_words, "%s", reason);
    edge_post(e,
              &(struct supervisor_event){.kind = SUPERVISOR_ON_CLOSED, .words = e->closed_words});
}

static void channel_frame(void *arg, const struct rendezvous_frame *frame)
{
    struct edge *e = arg;
    assert(!e->draining);
    if (frame->type == RENDEZVOUS_CHECKPOINT_NOW)
        edge_hear_ranks(e);
    supervisor_frame(e->supervisor, frame, edge_now_ms(e));
    drain(e);
    edge_deliver_exits(e);
}

/* ---- signals ---- */

static void terminate(uv_signal_t *handle, int signal)
{
    struct edge *e = handle->data;
    edge_post(e, &(struct supervisor_event){.kind = SUPERVISOR_ON_TERMINATE, .signal = signal});
}

static int watch_signal(struct edge *e, uv_signal_t *handle, uv_signal_cb callback, int signal)
{
    int rc = uv_signal_init(&e->loop, handle);
    handle->data = e;
    return rc < 0 ? rc : uv_signal_start(handle, callback, signal);
}

/* ---- life ---- */

static int open_channel(struct edge *e, struct mlt_error *err)
{
    static const struct channel_client_ops ops = {
        .opened = channel_opened, .frame = channel_frame, .closed = channel_closed};
    _Static_assert(CONFIG_KEY_SIZE == CHANNEL_KEY_SIZE, "the key file holds the channel's key");
    /* Tables of names that nobody asks for cost 1 ms of every start, and an image's OPENSSL_CONF
     * must not reach us. What is refused here first stays refused when the channel starts OpenSSL.
     */
    (void)OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_SSL_STRINGS |
                               OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS |
                               OPENSSL_INIT_NO_ADD_ALL_CIPHERS | OPENSSL_INIT_NO_ADD_ALL_DIGESTS |
                               OPENSSL_INIT_NO_ATEXIT,
                           NULL);
    (void)tls_provider_load();
    return channel_client_new(&e->loop, e->config->channel_address, e->config->channel_port,
                              e->config->job_uid, e->config->key, &ops, e, &e->channel, err);
}

static int make_supervisor(struct edge *e, struct mlt_error *err)
{
    uint64_t random[3] = {0};
    if (getrandom(random, sizeof random, 0) != sizeof random)
        random[0] = uv_hrtime() ^ (uint64_t)getpid();
    (void)snprintf(e->launcher_id, sizeof e->launcher_id, "%016llx%016llx",
                   (unsigned long long)random[1], (unsigned long long)random[2]);
    const struct supervisor_identity identity = {.pod_uid = e->config->pod_uid,
                                                 .role = e->config->role,
                                                 .node = e->config->node,
                                                 .address = e->config->pod_ip,
                                                 .version = MLTRAIN_VERSION,
                                                 .slot = e->config->slot,
                                                 .once_per_pod = e->config->once_per_pod,
                                                 .seed = random[0]};
    e->supervisor = supervisor_new(&identity);
    return e->supervisor ? 0 : mlt_fail(err, ENOMEM, "no memory for the supervisor");
}

static int begin(struct edge *e, struct mlt_error *err)
{
    int rc = uv_loop_init(&e->loop);
    if (rc < 0)
        return mlt_fail(err, -rc, "event loop: %s", uv_strerror(rc));
    (void)signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < SUPERVISOR_TIMERS; i++) {
        (void)uv_timer_init(&e->loop, &e->timers[i]);
        e->timers[i].data = e;
    }
    port_hold_init(&e->port);
    rc = edge_output_init(e, err);
    if (rc == 0)
        rc = make_supervisor(e, err);
    if (rc == 0)
        rc = edge_ranks_init(e, err);
    if (rc < 0)
        return rc;
    sdk_python_find(e->python_path, sizeof e->python_path);
    edge_watch_init(e);
    edge_save_init(e);
    edge_mpi_init(e);
    if (watch_signal(e, &e->on_term, terminate, SIGTERM) < 0 ||
        watch_signal(e, &e->on_int, terminate, SIGINT) < 0)
        return mlt_fail(err, EIO, "signals cannot be watched");
    return open_channel(e, err);
}

static void say_what_runs(struct edge *e)
{
    if (!e->config->once_per_pod)
        return;
    edge_log(e, "the %s torchrun: it is started once per pod",
             e->config->is_shell_script ? "script calls" : "command is");
}

int edge_run(const struct launcher_config *config, const struct rank_spawn_saved *saved,
             int *ret_exit_code, struct mlt_error *err)
{
    struct edge *e = calloc(1, sizeof *e);
    if (!e)
        return mlt_fail(err, ENOMEM, "no memory for the launcher");
    e->config = config;
    e->saved = saved;
    e->status_fd = e->scan_fd = -1;
    int rc = begin(e, err);
    if (rc < 0)
        return rc; /* the program ends: what was begun ends with it */
    say_what_runs(e);
    drain(e);
    (void)uv_run(&e->loop, UV_RUN_DEFAULT);
    *ret_exit_code = e->exit_code;
    supervisor_free(e->supervisor);
    progress_free(e->progress);
    port_hold_release(&e->port);
    return 0; /* the loop and its handles end with the program */
}
