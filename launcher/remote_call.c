/* The agent that MPI's own starter calls: see remote_call.h. A process of its own: it may block
 * while it writes what has come, because nobody else waits for it. That it is killed is how the
 * other side learns that nobody wants the command any more. */
#include "launcher/remote_call.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <openssl/ssl.h>

#include "launcher/proc_look.h"
#include "launcher/remote.h"
#include "launcher/tls_provider.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "rendezvous/channel/channel.h"
#include "sdk/socket_message.h"

#define ASK_AGAIN_MS 50     /* the launcher takes few questions at a time */
#define ASK_MS 120000       /* for an answer at all */
#define STARTER_ABOVE_MAX 8 /* processes between MPI's starter and us, at most */
#define CONNECT_TRIES_MAX 5 /* a pod that was there a moment ago answers at the first */
#define FRAME_MAX (RENDEZVOUS_PAYLOAD_MAX + RENDEZVOUS_HEADER_SIZE)

struct call {
    uv_loop_t loop;
    struct remote_call what;
    struct remote_ticket ticket;
    uint64_t attempt;
    struct channel_client *channel;
    bool opened, done;
    unsigned tries;
    int exit_code;
    uv_poll_t in_poll;
    bool in_polls, in_is_over; /* can be polled; nothing comes any more */
    uv_idle_t in_idle;         /* for a file, which cannot */
    struct remote_window in;
};

/* ---- the launcher of this pod ---- */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    return steal_fd(&fd);
}

static int say(int fd, const struct sdk_message *message)
{
    char line[SDK_LINE_MAX + 1];
    int length = sdk_message_write(message, line, sizeof line);
    if (length < 0)
        return length;
    return send(fd, line, (size_t)length, MSG_NOSIGNAL) == length ? 0 : -EPIPE;
}

/* A line and what follows it; 0 when the launcher has closed without a word. */
static ssize_t hear(int fd, char *to, size_t size)
{
    size_t at = 0;
    while (at + 1 < size) {
        ssize_t n = recv(fd, to + at, size - 1 - at, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        at += (size_t)n;
        to[at] = '\0';
        char *end = strchr(to, '\n');
        uint64_t sequence;
        size_t body = 0;
        if (!end)
            continue;
        *end = '\0';
        bool more = sdk_answer_data(to, &sequence, &body) && at - (size_t)(end + 1 - to) < body;
        if (!more)
            return (ssize_t)at;
        *end = '\n';
    }
    return -EMSGSIZE;
}

/* 1 with a ticket, 0 to ask again, or negative in words. */
static int ask_once(struct call *c, const char *path, struct mlt_error *err)
{
    char reply[SDK_ANSWER_MAX + REMOTE_TICKET_MAX + 2];
    cleanup_close int fd = connect_to(path);
    if (fd == -EAGAIN)
        return 0;
    if (fd < 0)
        return mlt_fail(err, -fd, "the launcher of this pod cannot be reached (%s): %s", path,
                        strerror(-fd));
    const struct sdk_message hello = {
        .kind = SDK_HELLO, .version = SDK_VERSION, .attempt = (int64_t)c->attempt};
    const struct sdk_message remote = {.kind = SDK_REMOTE, .name = c->what.host};
    if (!sdk_name_is_valid(c->what.host))
        return mlt_fail(err, EINVAL, "that is no host of this job");
    if (say(fd, &hello) < 0 || say(fd, &remote) < 0)
        (void)0; /* a refusal may be there to be read */
    ssize_t length = hear(fd, reply, sizeof reply);
    int error;
    const char *words;
    switch (length > 0 ? sdk_answer_of(reply) : SDK_ANSWER_NONE) {
    case SDK_ANSWER_DATA:
        if (remote_ticket_read(reply + strlen(reply) + 1, &c->ticket))
            return 1;
        return mlt_fail(err, EPROTO, "the launcher's answer is none");
    case SDK_ANSWER_FAILED:
        if (!sdk_answer_failed(reply, &error, &words))
            return mlt_fail(err, EPROTO, "the launcher's answer is none");
        return mlt_fail(err, error, "%s", words);
    case SDK_ANSWER_REFUSED:
        return mlt_fail(err, EPERM, "%s", reply + strlen("refused "));
    default:
        return length == 0 || length == -ECONNRESET
                   ? 0
                   : mlt_fail(err, EPROTO, "the launcher's answer is none");
    }
}

static int ask(struct call *c, struct mlt_error *err)
{
    const char *pods = getenv("MLTRAIN_POD_SOCKET"), *attempt = getenv("MLTRAIN_ATTEMPT");
    const char *path = pods && pods[0] ? pods : getenv("MLTRAIN_SOCKET");
    int64_t number;
    int rc = 0;
    if (!path || !path[0] || !attempt ||
        mlt_parse_integer(attempt, 0, SDK_NUMBER_MAX, &number, NULL) < 0)
        return mlt_fail(err, EINVAL,
                        "this works only in a job of mltrain: MLTRAIN_SOCKET and MLTRAIN_ATTEMPT "
                        "are not set");
    c->attempt = (uint64_t)number;
    for (int waited = 0; waited < ASK_MS && (rc = ask_once(c, path, err)) == 0;
         waited += ASK_AGAIN_MS)
        (void)poll(NULL, 0, ASK_AGAIN_MS);
    return rc != 0 ? rc : mlt_fail(err, ETIMEDOUT, "the launcher of this pod does not answer");
}

/* ---- ends ---- */

static void end(struct call *c, int code)
{
    if (c->done)
        return;
    c->done = true;
    c->exit_code = code;
    uv_stop(&c->loop);
}

static void fail(struct call *c, const char *words)
{
    if (!c->done)
        (void)fprintf(stderr, REMOTE_PROGRAM ": %s: %s\n", c->what.host, words);
    end(c, REMOTE_EXIT_FAILED);
}

static void send_on(struct call *c, struct rendezvous_message *m)
{
    struct mlt_text frame = MLT_TEXT_INIT(FRAME_MAX);
    m->attempt = c->attempt;
    rendezvous_message_write(&frame, m);
    if (frame.failed)
        fail(c, "no memory");
    else
        channel_client_send(c->channel, frame.data, frame.length);
    mlt_text_release(&frame);
}

/* ---- standard input ---- */

static void in_readable(uv_poll_t *poll, int status, int events);
static void in_idle(uv_idle_t *idle);

static void watch_input(struct call *c, bool on)
{
    on = on && !c->in_is_over && remote_window_room(&c->in) > 0;
    if (c->in_polls && on)
        (void)uv_poll_start(&c->in_poll, UV_READABLE, in_readable);
    else if (c->in_polls)
        (void)uv_poll_stop(&c->in_poll);
    else if (on)
        (void)uv_idle_start(&c->in_idle, in_idle);
    else
        (void)uv_idle_stop(&c->in_idle);
}

static void read_input(struct call *c)
{
    char data[RENDEZVOUS_REMOTE_DATA_MAX];
    size_t room = remote_window_room(&c->in);
    ssize_t n = room ? read(STDIN_FILENO, data, room) : -1;
    if (room == 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) {
        watch_input(c, room > 0);
        return;
    }
    c->in_is_over = n <= 0;
    struct rendezvous_message m = {.type = RENDEZVOUS_REMOTE_INPUT,
                                   .remote_bytes = {.data = (const unsigned char *)data,
                                                    .data_length = n > 0 ? (uint32_t)n : 0}};
    remote_window_sent(&c->in, n > 0 ? (size_t)n : 0);
    send_on(c, &m);
    watch_input(c, true);
}

static void in_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    read_input(poll->data);
}

static void in_idle(uv_idle_t *idle)
{
    read_input(idle->data);
}

/* ---- what comes ---- */

/* All of it, even if our reader is slow. False when nobody reads it any more. */
static bool write_out(int fd, const unsigned char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            (void)poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            data += n;
            length -= (size_t)n;
        }
    }
    return true;
}

static void take(struct call *c, const struct rendezvous_message *m)
{
    const struct rendezvous_remote_ended *ended = &m->remote_ended;
    if (m->type == RENDEZVOUS_REMOTE_OUTPUT) {
        const struct rendezvous_remote_bytes *bytes = &m->remote_bytes;
        (void)write_out(bytes->stream == 1 ? STDOUT_FILENO : STDERR_FILENO, bytes->data,
                        bytes->data_length);
        if (bytes->data_length == 0)
            return;
        struct rendezvous_message taken = {
            .type = RENDEZVOUS_REMOTE_TAKEN,
            .remote_taken = {.stream = bytes->stream, .bytes = bytes->data_length}};
        send_on(c, &taken);
    } else if (m->type == RENDEZVOUS_REMOTE_TAKEN) {
        if (m->remote_taken.stream != 0 || !remote_window_taken(&c->in, m->remote_taken.bytes))
            fail(c, "the other launcher breaks the protocol");
        else
            watch_input(c, true);
    } else if (m->type == RENDEZVOUS_REMOTE_ENDED && ended->words[0]) {
        fail(c, ended->words);
    } else if (m->type == RENDEZVOUS_REMOTE_ENDED) {
        end(c, remote_exit_code(ended->code, ended->signal));
    }
}

static void channel_frame(void *arg, const struct rendezvous_frame *frame)
{
    struct call *c = arg;
    struct rendezvous_message m;
    struct mlt_error err = {0};
    if (c->done)
        return;
    if (rendezvous_message_read(frame, &m, &err) < 0) {
        fail(c, err.text);
        return;
    }
    take(c, &m);
    rendezvous_message_release(&m);
}

static void channel_opened(void *arg)
{
    struct call *c = arg;
    c->opened = true;
    struct rendezvous_message m = {.type = RENDEZVOUS_REMOTE_RUN,
                                   .remote_run = {.command = c->what.command}};
    send_on(c, &m);
    watch_input(c, true);
}

static void channel_closed(void *arg, const char *reason)
{
    struct call *c = arg;
    char words[320];
    if (c->done)
        return;
    if (!c->opened && ++c->tries < CONNECT_TRIES_MAX) {
        channel_client_connect(c->channel);
        return;
    }
    (void)snprintf(words, sizeof words, "%s: %.200s",
                   c->opened ? "the connection is lost" : "its launcher does not let us in",
                   reason);
    fail(c, words);
}

/* ---- life ---- */

static int begin(struct call *c, struct mlt_error *err)
{
    static const struct channel_client_ops ops = {
        .opened = channel_opened, .frame = channel_frame, .closed = channel_closed};
    int rc = uv_loop_init(&c->loop);
    if (rc < 0)
        return mlt_fail(err, -rc, "event loop: %s", uv_strerror(rc));
    (void)signal(SIGPIPE, SIG_IGN);
    (void)OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    (void)tls_provider_load();
    (void)uv_idle_init(&c->loop, &c->in_idle);
    c->in_idle.data = c->in_poll.data = c;
    c->in_polls = uv_poll_init(&c->loop, &c->in_poll, STDIN_FILENO) == 0;
    c->in_poll.data = c;
    rc = channel_client_new(&c->loop, c->ticket.address, c->ticket.port, c->ticket.identity,
                            c->ticket.key, &ops, c, &c->channel, err);
    if (rc == 0)
        channel_client_connect(c->channel);
    return rc;
}

/* Which run of MPI's own starter calls: that of the daemon that hands it on, or a new one. */
static void find_world(char world[REMOTE_WORLD_MAX + 1])
{
    const char *given = getenv(REMOTE_WORLD_VARIABLE);
    char host[HOST_NAME_MAX + 1] = "";
    struct proc_look_process p = {0}, begun = {.pid = getppid()};
    bool found = proc_look_one(getppid(), &begun);
    if (found && given && remote_world_is_valid(given) && remote_is_daemon(begun.name)) {
        (void)snprintf(world, REMOTE_WORLD_MAX + 1, "%s", given);
        return;
    }
    /* There may be a shell in between. */
    p = begun;
    for (int i = 0; found && i < STARTER_ABOVE_MAX && !remote_is_starter(p.name) && p.parent > 1;
         i++)
        found = proc_look_one(p.parent, &p);
    if (found && remote_is_starter(p.name))
        begun = p;
    (void)gethostname(host, sizeof host - 1);
    remote_world_write(host, begun.pid, begun.start, world);
}

int remote_call(char *const *argv)
{
    static struct call c;
    struct mlt_error err = {0};
    char world[REMOTE_WORLD_MAX + 1];
    find_world(world);
    int rc = remote_call_parse(argv, world, &c.what, &err);
    if (rc < 0) {
        (void)fprintf(stderr, REMOTE_PROGRAM ": %s\n", err.text);
        return REMOTE_EXIT_FAILED;
    }
    rc = ask(&c, &err);
    if (rc > 0)
        rc = begin(&c, &err);
    if (rc < 0) {
        fail(&c, err.text);
        return REMOTE_EXIT_FAILED;
    }
    (void)uv_run(&c.loop, UV_RUN_DEFAULT);
    return c.exit_code; /* handles and memory end with the program */
}

int remote_keep(void)
{
    for (;;)
        (void)pause();
}
