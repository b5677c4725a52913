/* The launcher's end of MLTRAIN_SOCKET: see sdk_socket.h. */
#include "launcher/sdk_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

struct connection {
    struct sdk_socket *owner;
    struct connection *next;
    uv_poll_t poll;
    int fd;
    bool closing, greeted;
    bool waits;      /* for the answer to its last question */
    uint64_t number; /* of this connection; never used again */
    bool exchanges;  /* waits for the reply to a GATHER, PUT or GET */
    char reply[SDK_ANSWER_MAX];
    struct sdk_bytes *body;         /* behind the reply; NULL: none */
    size_t reply_length, reply_out; /* of both together; what is out already */
    uint32_t rank;
    uint64_t world; /* 0: of the ranks that mltrain has started */
    bool has_report; /* to be told before anything else is, and when all that came is read */
    int64_t step, total;
    struct sdk_reader reader;
};

struct sdk_socket {
    const struct sdk_socket_ops *ops;
    void *arg;
    uv_loop_t *loop;
    int fd;
    uv_poll_t poll;
    uv_timer_t pause;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    struct connection *connections;
    uint64_t numbers; /* given to connections so far */
    uint32_t count, of_rank[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    struct connection *asker[RENDEZVOUS_RANKS_PER_MEMBER_MAX]; /* who asked last; NULL: nobody */
};

/* ---- connections ---- */

static void connection_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    (void)close(c->fd);
    sdk_bytes_unref(c->body);
    free(c);
}

/* `tell`: that the rank does not ask any more. */
static void close_connection(struct connection *c, bool tell)
{
    struct sdk_socket *s = c->owner;
    if (c->closing)
        return;
    c->closing = true;
    for (struct connection **at = &s->connections; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    s->count--;
    (void)uv_poll_stop(&c->poll);
    uv_close((uv_handle_t *)&c->poll, connection_closed);
    if (c->exchanges)
        s->ops->gone(s->arg, c->number);
    if (!c->greeted)
        return;
    s->of_rank[c->rank]--;
    if (s->asker[c->rank] != c)
        return;
    s->asker[c->rank] = NULL;
    if (tell)
        s->ops->unasked(s->arg, c->rank);
}

/* A line is taken at once or the connection is closed: nobody who waits for an answer has a full
 * buffer. */
static void say(struct connection *c, const char *line)
{
    size_t length = strlen(line);
    if (c->closing)
        return;
    if (c->reply_out < c->reply_length ||
        send(c->fd, line, length, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)length)
        close_connection(c, true);
}

static void refuse(struct connection *c, const char *words)
{
    char line[SDK_ANSWER_MAX];
    (void)snprintf(line, sizeof line, "refused %.*s\n", (int)sizeof line - 16, words);
    say(c, line);
    close_connection(c, true);
}

static void tell_report(struct connection *c)
{
    if (c->has_report && !c->closing)
        c->owner->ops->reported(c->owner->arg, c->rank, c->step, c->total);
    c->has_report = false;
}

static void greet(struct connection *c, const struct sdk_message *m)
{
    struct sdk_socket *s = c->owner;
    const char *words = NULL;
    if (m->version != SDK_VERSION)
        words = "hello: this launcher knows version 1 of this protocol";
    else
        words = s->ops->hello(s->arg, m);
    if (words) {
        refuse(c, words);
        return;
    }
    if (s->of_rank[m->rank] >= SDK_SOCKET_PER_RANK_MAX) {
        close_connection(c, true);
        return;
    }
    c->greeted = true;
    c->rank = (uint32_t)m->rank;
    c->world = m->world;
    s->of_rank[c->rank]++;
}

static void ask(struct connection *c, int64_t step)
{
    struct sdk_socket *s = c->owner;
    struct connection *before = s->asker[c->rank];
    s->asker[c->rank] = c;
    if (before && before != c && before->waits) {
        before->waits = false;
        say(before, "go\n");
    }
    c->waits = true;
    s->ops->asked(s->arg, c->rank, step);
}

/* Who runs commands in other pods does so as our user, and has to be it. */
static bool is_our_user(const struct connection *c)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void exchange(struct connection *c, const struct sdk_message *m)
{
    if (m->kind == SDK_REMOTE && !is_our_user(c)) {
        refuse(c, "remote: another user than the launcher's");
        return;
    }
    if (c->exchanges || c->reply_out < c->reply_length) {
        refuse(c, "one exchange at a time on a connection");
        return;
    }
    c->exchanges = true;
    c->owner->ops->exchange(c->owner->arg, c->number, c->world, c->rank, m);
}

static void obey(struct connection *c, const struct sdk_message *m)
{
    if (c->greeted == (m->kind == SDK_HELLO)) {
        refuse(c, c->greeted ? "a second hello" : "hello is the first line");
        return;
    }
    if (m->kind != SDK_REPORT)
        tell_report(c);
    if (c->closing)
        return;
    if (m->kind == SDK_HELLO) {
        greet(c, m);
    } else if (m->kind == SDK_REPORT) {
        c->has_report = true;
        c->step = m->step;
        c->total = m->total;
    } else if (m->kind == SDK_ASK) {
        ask(c, m->step);
    } else if (m->kind == SDK_COMMITTED) {
        c->owner->ops->committed(c->owner->arg, c->rank, m->step, m->path);
    } else {
        exchange(c, m);
    }
}

/* Whether there was anything. */
static bool read_some(struct connection *c)
{
    struct sdk_message message;
    size_t room;
    char *to = sdk_reader_space(&c->reader, &room);
    ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    c->reader.length += n > 0 ? (size_t)n : 0;
    int rc = 0;
    while (!c->closing && (rc = sdk_reader_next(&c->reader, &message)) == 1)
        obey(c, &message);
    tell_report(c);
    if (rc < 0)
        refuse(c, "this line is none of the protocol");
    if (n <= 0)
        close_connection(c, true);
    return n > 0;
}

/* ---- replies that may be long ---- */

static ssize_t send_some(struct connection *c)
{
    size_t line = c->reply_length - (c->body ? c->body->length : 0), at = c->reply_out;
    struct iovec pieces[2];
    int count = 0;
    if (at < line)
        pieces[count++] = (struct iovec){.iov_base = c->reply + at, .iov_len = line - at};
    at = at < line ? 0 : at - line;
    if (c->body && at < c->body->length)
        pieces[count++] =
            (struct iovec){.iov_base = c->body->data + at, .iov_len = c->body->length - at};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    return sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void connection_ready(uv_poll_t *poll, int status, int events);

/* Sends what the other takes. */
static void go_on_replying(struct connection *c)
{
    while (c->reply_out < c->reply_length) {
        ssize_t n = send_some(c);
        if (n < 0 && errno == EAGAIN) {
            (void)uv_poll_start(&c->poll, UV_READABLE | UV_WRITABLE, connection_ready);
            return;
        }
        if (n < 0 && errno != EINTR) {
            close_connection(c, true);
            return;
        }
        c->reply_out += n > 0 ? (size_t)n : 0;
    }
    sdk_bytes_unref(c->body);
    c->body = NULL;
    c->reply_length = c->reply_out = 0;
    (void)uv_poll_start(&c->poll, UV_READABLE, connection_ready);
}

void sdk_socket_reply(struct sdk_socket *s, uint64_t connection, const char *line,
                      struct sdk_bytes *body)
{
    struct connection *c = s ? s->connections : NULL;
    while (c && c->number != connection)
        c = c->next;
    if (!c || !c->exchanges || c->closing)
        return;
    c->exchanges = false;
    c->reply_length = strlen(line);
    memcpy(c->reply, line, c->reply_length);
    c->reply_length += body ? body->length : 0;
    c->body = sdk_bytes_ref(body);
    go_on_replying(c);
}

static void connection_ready(uv_poll_t *poll, int status, int events)
{
    struct connection *c = poll->data;
    if (status == 0 && events & UV_WRITABLE)
        go_on_replying(c);
    if (!c->closing && (status < 0 || events & UV_READABLE)) /* recv() tells what status means */
        (void)read_some(c);
}

static bool accept_one(struct sdk_socket *s);

/* Again until nothing comes: an answer that is given now may call forth the next line. */
void sdk_socket_read(struct sdk_socket *s)
{
    bool more = s != NULL;
    for (int i = 0; s && i < SDK_SOCKET_CONNECTIONS_MAX && accept_one(s);)
        i++;
    for (int pass = 0; more && pass < SDK_SOCKET_PASSES_MAX; pass++) {
        struct connection *next;
        more = false;
        for (struct connection *c = s->connections; c; c = next) {
            next = c->next; /* stays readable: what is closed is freed by the loop */
            if (!c->closing && read_some(c))
                more = true;
        }
    }
}

/* ---- the socket ---- */

/* Takes over the descriptor. */
static void add(struct sdk_socket *s, int fd)
{
    struct connection *c = s->count < SDK_SOCKET_CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c || uv_poll_init(s->loop, &c->poll, fd) < 0) {
        (void)close(fd);
        free(c);
        return;
    }
    c->owner = s;
    c->fd = fd;
    c->poll.data = c;
    c->next = s->connections;
    s->connections = c;
    s->count++;
    c->number = ++s->numbers;
    (void)uv_poll_start(&c->poll, UV_READABLE, connection_ready);
}

/* Whether there was one; else errno tells why. */
static bool accept_one(struct sdk_socket *s)
{
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        add(s, fd);
    return fd >= 0;
}

static void somebody_connects(uv_poll_t *poll, int status, int events);

static void go_on(uv_timer_t *timer)
{
    struct sdk_socket *s = timer->data;
    (void)uv_poll_start(&s->poll, UV_READABLE, somebody_connects);
}

static void somebody_connects(uv_poll_t *poll, int status, int events)
{
    struct sdk_socket *s = poll->data;
    (void)status;
    (void)events;
    if (!accept_one(s) && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        /* Who waits would keep the loop awake. */
        (void)uv_poll_stop(&s->poll);
        (void)uv_timer_start(&s->pause, go_on, SDK_SOCKET_PAUSE_MS, 0);
    }
}

static int make_socket(const char *path, struct mlt_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return mlt_fail(err, errno, "socket: %s", strerror(errno));
    (void)unlink(path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return mlt_fail(err, errno, "bind %s: %s", path, strerror(errno));
    if (chmod(path, 0666) < 0 || listen(fd, SDK_SOCKET_BACKLOG) < 0)
        return mlt_fail(err, errno, "listen on %s: %s", path, strerror(errno));
    return steal_fd(&fd);
}

int sdk_socket_new(uv_loop_t *loop, const char *dir, const struct sdk_socket_ops *ops, void *arg,
                   struct sdk_socket **ret, struct mlt_error *err)
{
    cleanup_free struct sdk_socket *s = calloc(1, sizeof *s);
    if (!s)
        return mlt_fail(err, ENOMEM, "no memory for libmltrain's socket");
    if (snprintf(s->path, sizeof s->path, "%s/" SDK_SOCKET_NAME, dir) >= (int)sizeof s->path)
        return mlt_fail(err, ENAMETOOLONG,
                        "MLTRAIN_DIR `%.80s`: at most %zu characters expected for a socket", dir,
                        sizeof s->path - sizeof SDK_SOCKET_NAME - 1);
    cleanup_close int fd = make_socket(s->path, err);
    if (fd < 0)
        return fd;
    int rc = uv_poll_init(loop, &s->poll, fd);
    if (rc < 0)
        return mlt_fail(err, -rc, "libmltrain's socket: %s", uv_strerror(rc));
    (void)uv_timer_init(loop, &s->pause);
    s->poll.data = s->pause.data = s;
    s->ops = ops;
    s->arg = arg;
    s->loop = loop;
    s->fd = steal_fd(&fd);
    (void)uv_poll_start(&s->poll, UV_READABLE, somebody_connects);
    *ret = steal_ptr(&s);
    return 0;
}

const char *sdk_socket_path(const struct sdk_socket *s)
{
    return s ? s->path : "";
}

void sdk_socket_answer(struct sdk_socket *s, uint32_t rank, bool save)
{
    struct connection *c = s && rank < RENDEZVOUS_RANKS_PER_MEMBER_MAX ? s->asker[rank] : NULL;
    if (!c || !c->waits)
        return;
    c->waits = false;
    say(c, save ? "save\n" : "go\n");
}

void sdk_socket_restart(struct sdk_socket *s)
{
    while (s && s->connections)
        close_connection(s->connections, false);
}

void sdk_socket_remove(struct sdk_socket *s)
{
    if (s)
        (void)unlink(s->path);
}
