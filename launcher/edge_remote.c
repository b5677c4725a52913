/* Commands that other pods ask for: see edge_remote.h. */
#include "launcher/edge_remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/remote.h"
#include "lib/base/cleanup.h"

#define KILL_AGAIN_MS 20 /* between two looks for what a command has left */
#define FRAME_MAX (RENDEZVOUS_PAYLOAD_MAX + RENDEZVOUS_HEADER_SIZE)

struct output {
    struct command *command;
    int fd; /* -1: there is no more */
    uv_poll_t *poll;
    struct remote_window window;
};

/* One connection, and what runs for it. */
struct command {
    struct edge_remote *owner; /* NULL: a free place */
    uint64_t connection;       /* 0: it is gone */
    pid_t pid;                 /* 0: none was asked for yet */
    uint64_t run_by_ms;        /* then: until when it may be */
    bool reaped;
    int status;
    struct output outputs[2];
    int in;
    uv_poll_t *in_poll;
    struct mlt_text input; /* not written yet */
    bool input_is_over;
};

struct edge_remote {
    struct edge *edge;
    struct channel_server *server;
    char identity[REMOTE_IDENTITY_MAX + 1];
    uint64_t attempt;
    bool stopped;
    uv_timer_t *kill_timer, *run_timer; /* the latter: for those without a command */
    struct command commands[REMOTE_STREAMS_MAX];
};

/* ---- saying ---- */

static void say(struct edge_remote *r, uint64_t connection, struct rendezvous_message *message)
{
    struct mlt_text frame = MLT_TEXT_INIT(FRAME_MAX);
    message->attempt = r->attempt;
    rendezvous_message_write(&frame, message);
    if (!frame.failed)
        channel_server_send(r->server, connection, frame.data, frame.length);
    else
        channel_server_close(r->server, connection);
    mlt_text_release(&frame);
}

static void say_ended(struct edge_remote *r, uint64_t connection, int status, const char *words)
{
    struct rendezvous_message m = {
        .type = RENDEZVOUS_REMOTE_ENDED,
        .remote_ended = {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
                         .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                         .words = words}};
    say(r, connection, &m);
    channel_server_close(r->server, connection);
}

static void say_taken(struct command *c, size_t bytes)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_REMOTE_TAKEN,
                                   .remote_taken = {.stream = 0, .bytes = (uint32_t)bytes}};
    if (c->connection && bytes)
        say(c->owner, c->connection, &m);
}

/* ---- the end of a command ---- */

static void close_fd(int *fd, uv_poll_t **poll)
{
    edge_poll_free(poll);
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void close_pipes(struct command *c)
{
    for (size_t i = 0; i < 2; i++)
        close_fd(&c->outputs[i].fd, &c->outputs[i].poll);
    close_fd(&c->in, &c->in_poll);
    mlt_text_release(&c->input);
}

static void free_place(struct command *c)
{
    close_pipes(c);
    c->owner = NULL;
}

/* Told when all that it has written is out. */
static void finish(struct command *c)
{
    if (!c->reaped || (c->connection && (c->outputs[0].fd >= 0 || c->outputs[1].fd >= 0)))
        return;
    if (c->connection)
        say_ended(c->owner, c->connection, c->status, "");
    free_place(c);
}

static void kill_abandoned(uv_timer_t *timer);

static void kill_soon(struct edge_remote *r, unsigned delay_ms)
{
    if (r->kill_timer)
        (void)uv_timer_start(r->kill_timer, kill_abandoned, delay_ms, 0);
}

/* What nobody waits for any more is killed with all that hangs below it, until nothing is left. */
static void kill_abandoned(uv_timer_t *timer)
{
    struct edge_remote *r = timer->data;
    bool some = false;
    for (size_t i = 0; i < REMOTE_STREAMS_MAX; i++) {
        struct command *c = &r->commands[i];
        if (c->owner && c->pid && !c->connection && !c->reaped)
            some |= reap_kill_tree(&r->edge->reap, c->pid) > 0;
    }
    if (some)
        kill_soon(r, KILL_AGAIN_MS);
}

static void abandon(struct command *c)
{
    c->connection = 0;
    close_pipes(c);
    if (c->pid && !c->reaped)
        kill_soon(c->owner, 0);
    else
        free_place(c);
}

/* ---- output ---- */

static void output_readable(uv_poll_t *poll, int status, int events);

static void watch(struct output *o)
{
    struct edge *e = o->command->owner->edge;
    if (!o->poll)
        o->poll = edge_poll_new(e, o->fd, o);
    if (!o->poll || uv_poll_start(o->poll, UV_READABLE, output_readable) < 0)
        close_fd(&o->fd, &o->poll); /* no memory: what it writes then is lost */
}

/* Passes on what is there, as far as the other side takes it. */
static void pump(struct output *o)
{
    struct command *c = o->command;
    char data[RENDEZVOUS_REMOTE_DATA_MAX];
    while (o->fd >= 0 && c->connection) {
        size_t room = remote_window_room(&o->window);
        if (room == 0) {
            edge_poll_free(&o->poll);
            return;
        }
        ssize_t n = read(o->fd, data, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN && !c->reaped) {
            watch(o);
            return;
        }
        if (n <= 0) { /* its end; or that of the command, which only somebody behind it survives */
            close_fd(&o->fd, &o->poll);
            return;
        }
        remote_window_sent(&o->window, (size_t)n);
        struct rendezvous_message m = {.type = RENDEZVOUS_REMOTE_OUTPUT,
                                       .remote_bytes = {.stream = o == &c->outputs[0] ? 1 : 2,
                                                        .data = (const unsigned char *)data,
                                                        .data_length = (uint32_t)n}};
        say(c->owner, c->connection, &m);
    }
}

static void output_readable(uv_poll_t *poll, int status, int events)
{
    struct output *o = poll->data;
    (void)status;
    (void)events;
    pump(o);
    finish(o->command);
}

bool edge_remote_reaped(struct edge_remote *r, pid_t pid, int status)
{
    for (size_t i = 0; r && i < REMOTE_STREAMS_MAX; i++) {
        struct command *c = &r->commands[i];
        if (!c->owner || c->pid != pid || c->reaped)
            continue;
        c->reaped = true;
        c->status = status;
        pump(&c->outputs[0]);
        pump(&c->outputs[1]);
        finish(c);
        edge_rsh_check(r->edge);
        return true;
    }
    return false;
}

/* ---- input ---- */

static void input_writable(uv_poll_t *poll, int status, int events);

static void write_input(struct command *c)
{
    size_t taken = 0;
    while (c->in >= 0 && c->input.length > 0) {
        ssize_t n = write(c->in, c->input.data, c->input.length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            close_fd(&c->in, &c->in_poll); /* it does not read it; others do without, too */
        else
            mlt_text_consume(&c->input, (size_t)n);
        taken += n > 0 ? (size_t)n : 0;
    }
    if (c->in < 0) {
        taken += c->input.length;
        mlt_text_clear(&c->input);
    }
    say_taken(c, taken);
    if (c->input.length == 0) {
        edge_poll_free(&c->in_poll);
        if (c->input_is_over)
            close_fd(&c->in, &c->in_poll);
    } else if (!c->in_poll) {
        c->in_poll = edge_poll_new(c->owner->edge, c->in, c);
        if (c->in_poll)
            (void)uv_poll_start(c->in_poll, UV_WRITABLE, input_writable);
    }
}

static void input_writable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    write_input(poll->data);
}

/* ---- starting ---- */

static int make_pipe(int ends[2], int ours)
{
    if (pipe2(ends, O_CLOEXEC) < 0) {
        ends[0] = ends[1] = -1;
        return -errno;
    }
    return fcntl(ends[ours], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static void start(struct command *c, const char *text)
{
    struct edge *e = c->owner->edge;
    int in[2] = {-1, -1}, out[2] = {-1, -1}, errors[2] = {-1, -1};
    struct mlt_error err = {0};
    int rc = make_pipe(in, 1);
    if (rc == 0)
        rc = make_pipe(out, 0);
    if (rc == 0)
        rc = make_pipe(errors, 0);
    if (rc < 0)
        (void)mlt_fail(&err, -rc, "no pipes: %s", strerror(-rc));
    cleanup_free char *copy = strdup(text);
    char shell[] = "/bin/sh", option[] = "-c";
    char *const command[] = {shell, option, copy, NULL};
    const struct rank_env_input env = edge_rsh_environment(e, RANK_ENV_RSH_DAEMON);
    const struct rank_spawn what = {.saved = e->saved,
                                    .command = command,
                                    .env = &env,
                                    .out = out[1],
                                    .err = errors[1],
                                    .in = in[0],
                                    .keep = -1,
                                    .status = -1,
                                    .verbatim = true};
    if (rc == 0)
        rc = copy ? rank_spawn(&what, &c->pid, &err) : mlt_fail(&err, ENOMEM, "no memory");
    uv_poll_t *none = NULL;
    close_fd(&in[0], &none);
    close_fd(&out[1], &none);
    close_fd(&errors[1], &none);
    c->in = in[1];
    c->outputs[0].fd = out[0];
    c->outputs[1].fd = errors[0];
    if (rc < 0) {
        say_ended(c->owner, c->connection, 0, err.text);
        free_place(c);
        return;
    }
    e->mpi.rsh.has_started = true;
    edge_world_daemon(e);
    reap_remember(&e->reap, c->pid);
    watch(&c->outputs[0]);
    watch(&c->outputs[1]);
}

/* ---- what the other side says ---- */

/* False for what breaks the rules. */
static bool obey(struct command *c, const struct rendezvous_message *m)
{
    if (m->type == RENDEZVOUS_REMOTE_RUN) {
        if (c->pid || !m->remote_run.command[0])
            return false;
        start(c, m->remote_run.command);
        return true;
    }
    if (!c->pid)
        return false;
    if (m->type == RENDEZVOUS_REMOTE_TAKEN) {
        uint8_t stream = m->remote_taken.stream;
        if (stream == 0 ||
            !remote_window_taken(&c->outputs[stream - 1].window, m->remote_taken.bytes))
            return false;
        pump(&c->outputs[stream - 1]);
        finish(c);
        return true;
    }
    if (m->type != RENDEZVOUS_REMOTE_INPUT || c->input_is_over)
        return false;
    c->input_is_over = m->remote_bytes.data_length == 0;
    mlt_text_add(&c->input, m->remote_bytes.data, m->remote_bytes.data_length);
    if (c->input.failed) /* more than REMOTE_WINDOW, or no memory */
        return false;
    write_input(c);
    return true;
}

static struct command *find(struct edge_remote *r, uint64_t connection)
{
    for (size_t i = 0; i < REMOTE_STREAMS_MAX; i++)
        if (r->commands[i].owner && r->commands[i].connection == connection)
            return &r->commands[i];
    return NULL;
}

static void run_times(uv_timer_t *timer);

static void watch_run_times(struct edge_remote *r)
{
    uint64_t first_ms = UINT64_MAX, now_ms = uv_now(&r->edge->loop);
    for (size_t i = 0; i < REMOTE_STREAMS_MAX; i++) {
        const struct command *c = &r->commands[i];
        if (c->owner && c->connection && !c->pid && c->run_by_ms < first_ms)
            first_ms = c->run_by_ms;
    }
    if (first_ms != UINT64_MAX)
        (void)uv_timer_start(r->run_timer, run_times, first_ms > now_ms ? first_ms - now_ms : 0, 0);
}

/* Who wants nothing gives its place to others. */
static void run_times(uv_timer_t *timer)
{
    struct edge_remote *r = timer->data;
    for (size_t i = 0; i < REMOTE_STREAMS_MAX; i++) {
        struct command *c = &r->commands[i];
        if (!c->owner || !c->connection || c->pid || c->run_by_ms > uv_now(&r->edge->loop))
            continue;
        say_ended(r, c->connection, 0, "no command was asked for in time");
        abandon(c);
    }
    watch_run_times(r);
}

static void opened(void *arg, uint64_t id, const char *identity, const char *peer)
{
    struct edge_remote *r = arg;
    struct command *c = NULL;
    (void)peer;
    for (size_t i = 0; !c && i < REMOTE_STREAMS_MAX; i++)
        if (!r->commands[i].owner)
            c = &r->commands[i];
    if (strcmp(identity, r->identity) != 0 || r->stopped || !edge_ranks_may_run(r->edge)) {
        say_ended(r, id, 0, "this attempt does not run here (any more)");
        return;
    }
    if (!c) {
        say_ended(r, id, 0, "too many commands run in this pod");
        return;
    }
    *c = (struct command){.owner = r,
                          .connection = id,
                          .run_by_ms = uv_now(&r->edge->loop) + REMOTE_RUN_MS,
                          .outputs = {{.command = c, .fd = -1}, {.command = c, .fd = -1}},
                          .in = -1,
                          .input = MLT_TEXT_INIT(REMOTE_WINDOW)};
    if (!uv_is_active((uv_handle_t *)r->run_timer))
        watch_run_times(r);
}

static void frame(void *arg, uint64_t id, const struct rendezvous_frame *f)
{
    struct edge_remote *r = arg;
    struct command *c = find(r, id);
    struct rendezvous_message m;
    struct mlt_error err = {0};
    if (!c)
        return;
    if (rendezvous_message_read(f, &m, &err) < 0) {
        say_ended(r, id, 0, err.text);
        abandon(c);
        return;
    }
    if (!obey(c, &m)) {
        say_ended(r, id, 0, "this message has no place here");
        abandon(c);
    }
    rendezvous_message_release(&m);
}

static void closed(void *arg, uint64_t id, const char *reason)
{
    struct command *c = find(arg, id);
    (void)reason;
    if (c)
        abandon(c);
}

static void refused(void *arg, const char *peer, const char *reason)
{
    struct edge_remote *r = arg;
    if (channel_server_refusals(r->server) == 1)
        edge_log(r->edge,
                 "%s wanted to run a command here and was refused: %s (others are only "
                 "counted)",
                 peer, reason);
}

/* ---- life ---- */

struct edge_remote *edge_remote_new(struct edge *e, const char *identity, struct mlt_error *err)
{
    static const struct channel_server_ops ops = {
        .opened = opened, .frame = frame, .closed = closed, .refused = refused};
    struct edge_remote *r = calloc(1, sizeof *r);
    uv_timer_t *kill = malloc(sizeof *kill), *run = malloc(sizeof *run);
    if (!r || !kill || !run) {
        (void)mlt_fail(err, ENOMEM, "no memory");
        free(r);
        free(kill);
        free(run);
        return NULL;
    }
    (void)uv_timer_init(&e->loop, kill);
    (void)uv_timer_init(&e->loop, run);
    kill->data = run->data = r;
    r->edge = e;
    r->kill_timer = kill;
    r->run_timer = run;
    r->attempt = supervisor_attempt(e->supervisor);
    (void)snprintf(r->identity, sizeof r->identity, "%s", identity);
    if (channel_server_new(&e->loop, e->config->pod_ip, 0, e->config->key, &ops, r, &r->server,
                           err) < 0) {
        edge_remote_free(r);
        return NULL;
    }
    channel_server_limit(r->server, REMOTE_CONNECTIONS_MAX);
    return r;
}

uint16_t edge_remote_port(const struct edge_remote *r)
{
    return channel_server_port(r->server);
}

uint32_t edge_remote_running(const struct edge_remote *r)
{
    uint32_t count = 0;
    for (size_t i = 0; r && i < REMOTE_STREAMS_MAX; i++)
        count += r->commands[i].owner && r->commands[i].pid && !r->commands[i].reaped;
    return count;
}

void edge_remote_stop(struct edge_remote *r)
{
    if (!r || r->stopped)
        return;
    r->stopped = true;
    for (size_t i = 0; i < REMOTE_STREAMS_MAX; i++) {
        struct command *c = &r->commands[i];
        if (!c->owner || !c->connection)
            continue;
        say_ended(r, c->connection, 0, "the attempt has ended");
        abandon(c);
    }
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void edge_remote_free(struct edge_remote *r)
{
    if (!r)
        return;
    edge_remote_stop(r);
    for (size_t i = 0; i < REMOTE_STREAMS_MAX; i++)
        if (r->commands[i].owner)
            free_place(&r->commands[i]);
    uv_close((uv_handle_t *)r->kill_timer, free_handle);
    uv_close((uv_handle_t *)r->run_timer, free_handle);
    channel_server_free(r->server, free, r); /* it may speak to us until it is closed */
    if (!r->server)
        free(r);
}
