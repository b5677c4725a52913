/* A few bytes from rank to rank: see mltrain.h and exchange.h. Each call makes a connection, says
 * who it is and what it wants, and waits: closing the connection takes the question back. */
#include "sdk/exchange.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sdk/mltrain.h"
#include "sdk/place.h"
#include "sdk/socket_message.h"

#define EXPORT __attribute__((visibility("default")))
#define GRACE_MS 5000 /* the launcher asks who is missing before it says that time is over */
#define AGAIN_MS                                                                    \
    50 /* between attempts to connect to a launcher that takes nobody at the moment \
        */
#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-"

static _Thread_local char words[512];

int sdk_fail(int error, const char *format, ...)
{
    va_list args;
    char text[sizeof words]; /* an argument may be the words so far */
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(words, text, sizeof words);
    return -error;
}

int sdk_succeed(void)
{
    words[0] = '\0';
    return 0;
}

EXPORT const char *mltrain_error(void)
{
    return words;
}

int sdk_check_name(const char *name)
{
    size_t length = name ? strlen(name) : 0;
    if (length == 0 || length > MLTRAIN_NAME_MAX || strspn(name, NAME_CHARACTERS) != length)
        return sdk_fail(EINVAL, "name `%.80s`: 1 to %d of A-Z a-z 0-9 . _ / - expected",
                        name ? name : "", MLTRAIN_NAME_MAX);
    return 0;
}

int64_t sdk_until_ms(int64_t time_ms)
{
    if (time_ms < 0 || time_ms > MLTRAIN_WAIT_MS_MAX)
        return sdk_fail(EINVAL, "a time of %lld ms: 0 to %d expected", (long long)time_ms,
                        MLTRAIN_WAIT_MS_MAX);
    return sdk_now_ms() + (time_ms ? time_ms : MLTRAIN_WAIT_MS);
}

int sdk_world_find(struct sdk_world *ret)
{
    struct sdk_place place;
    sdk_place_find(&place);
    const char *path = place.socket;
    int64_t size = place.size, rank = place.rank;
    if (path && path[0]) {
        if (size < 1 || rank < 0 || rank >= size)
            return sdk_fail(ENOTCONN, "RANK and WORLD_SIZE are no place in a world, but "
                                      "MLTRAIN_SOCKET is set: was the environment changed?");
        *ret = (struct sdk_world){.rank = rank, .size = size, .served = true};
        return 0;
    }
    if (size > 1)
        return sdk_fail(ENOTCONN, "%s: the %lld ranks of WORLD_SIZE cannot be reached",
                        path ? "the launcher could not make its socket" : "not started by mltrain",
                        (long long)size);
    *ret = (struct sdk_world){.size = 1};
    return 0;
}

/* ---- one question on one connection ---- */

struct call {
    int fd;
    int64_t until_ms;
    char line[SDK_ANSWER_MAX]; /* what came, and is not taken yet */
    size_t length;
};

static int lost(const char *doing)
{
    return sdk_fail(ECONNRESET, "the launcher is gone (%s): %s", doing,
                    errno ? strerror(errno) : "it has closed the connection");
}

/* Waits for the socket; 0 or -ETIMEDOUT. */
static int await(const struct call *c, short events)
{
    struct pollfd watched = {.fd = c->fd, .events = events};
    for (;;) {
        int64_t left = c->until_ms - sdk_now_ms();
        if (left <= 0)
            return sdk_fail(ETIMEDOUT, "the launcher has not answered in time");
        if (poll(&watched, 1, left > 60000 ? 60000 : (int)left) > 0)
            return 0;
    }
}

static int reach(struct call *c, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || strlen(path) >= sizeof address.sun_path)
        return sdk_fail(ENOTCONN, "MLTRAIN_SOCKET is no path of a socket");
    memcpy(address.sun_path, path, strlen(path));
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        return sdk_fail(errno, "a socket cannot be made: %s", strerror(errno));
    while (connect(c->fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return lost("connect");
        if (sdk_now_ms() >= c->until_ms)
            return sdk_fail(ETIMEDOUT, "the launcher takes no connection");
        (void)poll(NULL, 0, AGAIN_MS);
    }
    return 0;
}

static int send_all(const struct call *c, const char *data, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = send(c->fd, data + done, length - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno == EAGAIN) {
            int rc = await(c, POLLOUT);
            if (rc < 0)
                return rc;
        } else if (n < 0 && errno != EINTR)
            return 1; /* perhaps it has said why it closes */
    }
    return 0;
}

static int say(const struct call *c, const struct sdk_message *message)
{
    char line[SDK_LINE_MAX + 1];
    int length = sdk_message_write(message, line, sizeof line);
    if (length < 0)
        return sdk_fail(-length, message->kind == SDK_HELLO
                                     ? "LOCAL_RANK and MLTRAIN_ATTEMPT are no place in a job: was "
                                       "the environment changed?"
                                     : "the question cannot be written");
    return send_all(c, line, (size_t)length);
}

/* Reads up to `room` bytes, at least one. */
static ssize_t receive(const struct call *c, void *to, size_t room)
{
    for (;;) {
        ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);
        if (n > 0)
            return n;
        if (n == 0)
            errno = 0;
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            return lost("while it was waited for");
        int rc = errno == EAGAIN ? await(c, POLLIN) : 0;
        if (rc < 0)
            return rc;
    }
}

/* A line without its newline into `line`; what came behind it stays. */
static int read_line(struct call *c, char line[SDK_ANSWER_MAX])
{
    for (;;) {
        char *end = memchr(c->line, '\n', c->length);
        if (end) {
            size_t length = (size_t)(end - c->line);
            memcpy(line, c->line, length);
            line[length] = '\0';
            c->length -= length + 1;
            memmove(c->line, end + 1, c->length);
            return 0;
        }
        if (c->length == sizeof c->line)
            return sdk_fail(EPROTO, "the launcher's answer is too long");
        ssize_t n = receive(c, c->line + c->length, sizeof c->line - c->length);
        if (n < 0)
            return (int)n;
        c->length += (size_t)n;
    }
}

static int read_body(struct call *c, const char *line, struct sdk_body *ret)
{
    struct sdk_body body;
    if (!sdk_answer_data(line, &body.sequence, &body.length))
        return sdk_fail(EPROTO, "the launcher's answer is none: `%.80s`", line);
    body.bytes = malloc(body.length + 1);
    if (!body.bytes)
        return sdk_fail(ENOMEM, "no memory for %zu bytes", body.length);
    size_t at = c->length < body.length ? c->length : body.length;
    memcpy(body.bytes, c->line, at);
    while (at < body.length) {
        ssize_t n = receive(c, body.bytes + at, body.length - at);
        if (n < 0) {
            free(body.bytes);
            return (int)n;
        }
        at += (size_t)n;
    }
    *ret = body;
    return 0;
}

static int read_answer(struct call *c, struct sdk_body *ret)
{
    char line[SDK_ANSWER_MAX];
    const char *why;
    int error, rc = read_line(c, line);
    if (rc < 0)
        return rc;
    switch (sdk_answer_of(line)) {
    case SDK_ANSWER_DONE:
        return ret ? sdk_fail(EPROTO, "the launcher has answered something else") : 0;
    case SDK_ANSWER_DATA:
        return ret ? read_body(c, line, ret)
                   : sdk_fail(EPROTO, "the launcher has answered something else");
    case SDK_ANSWER_FAILED:
        if (sdk_answer_failed(line, &error, &why))
            return sdk_fail(error, "%s", why);
        break;
    case SDK_ANSWER_REFUSED:
        /* One of a release before this question calls it a line that is none. */
        return sdk_fail(strstr(line, "none of the protocol") ? EOPNOTSUPP : ECONNREFUSED,
                        "the launcher has %s", line);
    default:
        break;
    }
    return sdk_fail(EPROTO, "the launcher's answer is none: `%.80s`", line);
}

/* `ret` NULL: the answer is `done`. */
static int ask(const struct sdk_message *message, int64_t until_ms, struct sdk_body *ret)
{
    struct call c = {.fd = -1, .until_ms = until_ms + GRACE_MS};
    struct sdk_place place;
    struct sdk_message hello;
    sdk_place_find(&place);
    sdk_place_hello(&place, &hello);
    int rc = reach(&c, place.socket);
    if (rc == 0)
        rc = say(&c, &hello);
    if (rc == 0)
        rc = say(&c, message);
    if (rc >= 0)
        rc = read_answer(&c, ret);
    if (c.fd >= 0)
        (void)close(c.fd);
    return rc;
}

static int64_t left_of(int64_t until_ms)
{
    int64_t left = until_ms - sdk_now_ms();
    return left > 0 ? left : 1;
}

int sdk_exchange_gather(const char *name, const void *data, size_t size, int64_t until_ms,
                        struct sdk_body *ret)
{
    return ask(&(struct sdk_message){.kind = SDK_GATHER,
                                     .name = name,
                                     .time_ms = left_of(until_ms),
                                     .data = data,
                                     .length = size},
               until_ms, ret);
}

int sdk_exchange_put(const char *name, const void *data, size_t size, int64_t until_ms)
{
    return ask(&(struct sdk_message){.kind = SDK_PUT, .name = name, .data = data, .length = size},
               until_ms, NULL);
}

int sdk_exchange_get(const char *name, int64_t until_ms, struct sdk_body *ret)
{
    return ask(&(struct sdk_message){.kind = SDK_GET, .name = name, .time_ms = left_of(until_ms)},
               until_ms, ret);
}

/* ---- the calls ---- */

/* The table of parts and the bytes in one piece of memory. */
struct gathered {
    struct mltrain_gathered head;
    unsigned char *bytes;
    struct mltrain_part parts[];
};

static int take_apart(const struct sdk_world *world, struct sdk_body *body,
                      struct mltrain_gathered **ret)
{
    struct gathered *g = calloc(1, sizeof *g + (size_t)world->size * sizeof(struct mltrain_part));
    struct sdk_part part = {0};
    int64_t last = -1;
    int rc = 0;
    if (!g) {
        free(body->bytes);
        return sdk_fail(ENOMEM, "no memory for what %lld ranks gave", (long long)world->size);
    }
    *g = (struct gathered){.head = {.ranks = world->size, .parts = g->parts}, .bytes = body->bytes};
    for (size_t at = 0; (rc = sdk_part_next(body->bytes, body->length, &at, last, &part)) == 1;) {
        last = part.rank;
        if (last >= world->size)
            break;
        g->parts[part.rank] = (struct mltrain_part){.data = part.data, .size = part.length};
    }
    if (rc != 0) {
        mltrain_gathered_free(&g->head);
        return sdk_fail(EPROTO, "the launcher's answer is none: no parts of ranks");
    }
    *ret = &g->head;
    return sdk_succeed();
}

EXPORT void mltrain_gathered_free(struct mltrain_gathered *gathered)
{
    struct gathered *g = (struct gathered *)gathered; /* its first member */
    if (g)
        free(g->bytes);
    free(g);
}

/* A world of one: the body that a launcher would send. */
static int gather_alone(const void *data, size_t size, struct sdk_body *ret)
{
    *ret = (struct sdk_body){.bytes = malloc(SDK_PART_HEAD + size)};
    if (!ret->bytes)
        return sdk_fail(ENOMEM, "no memory for %zu bytes", size);
    if (size == 0)
        return 0;
    sdk_part_head(ret->bytes, 0, (uint16_t)size);
    memcpy(ret->bytes + SDK_PART_HEAD, data, size);
    ret->length = SDK_PART_HEAD + size;
    return 0;
}

EXPORT int mltrain_gather(const char *name, const void *data, size_t size, int64_t time_ms,
                          struct mltrain_gathered **ret)
{
    struct sdk_world world;
    struct sdk_body body = {0};
    int64_t until_ms = sdk_until_ms(time_ms);
    int rc = until_ms < 0 ? (int)until_ms : sdk_check_name(name);
    if (rc == 0 && (size > MLTRAIN_DATA_MAX || (size && !data)))
        rc = sdk_fail(EINVAL, "%zu bytes: at most %d expected", size, MLTRAIN_DATA_MAX);
    if (rc == 0)
        rc = sdk_world_find(&world);
    if (rc == 0)
        rc = world.served ? sdk_exchange_gather(name, data, size, until_ms, &body)
                          : gather_alone(data, size, &body);
    return rc == 0 ? take_apart(&world, &body, ret) : rc;
}

EXPORT int mltrain_barrier(const char *name, int64_t time_ms)
{
    struct mltrain_gathered *gathered = NULL;
    int rc = mltrain_gather(name, NULL, 0, time_ms, &gathered);
    mltrain_gathered_free(gathered);
    return rc;
}

/* For put and get, which have nobody to ask in a world without mltrain. */
static int find_served(void)
{
    struct sdk_world world;
    int rc = sdk_world_find(&world);
    if (rc == 0 && !world.served)
        return sdk_fail(ENOTCONN, "not started by mltrain: there is nobody to keep values");
    return rc;
}

EXPORT int mltrain_put(const char *name, const void *data, size_t size)
{
    int rc = sdk_check_name(name);
    if (rc == 0 && (size > MLTRAIN_DATA_MAX || (size && !data)))
        rc = sdk_fail(EINVAL, "%zu bytes: at most %d expected", size, MLTRAIN_DATA_MAX);
    if (rc == 0)
        rc = find_served();
    if (rc == 0)
        rc = sdk_exchange_put(name, data, size, sdk_now_ms() + MLTRAIN_WAIT_MS);
    return rc == 0 ? sdk_succeed() : rc;
}

EXPORT int mltrain_get(const char *name, int64_t time_ms, void *buffer, size_t room,
                       size_t *ret_size)
{
    struct sdk_body body = {0};
    int64_t until_ms = sdk_until_ms(time_ms);
    int rc = until_ms < 0 ? (int)until_ms : sdk_check_name(name);
    if (rc == 0)
        rc = find_served();
    if (rc == 0)
        rc = sdk_exchange_get(name, until_ms, &body);
    if (rc < 0)
        return rc;
    if (body.length > room) {
        rc = sdk_fail(ENOBUFS, "the value has %zu bytes, there is room for %zu", body.length, room);
    } else {
        if (body.length > 0)
            memcpy(buffer, body.bytes, body.length);
        *ret_size = body.length;
        rc = sdk_succeed();
    }
    free(body.bytes);
    return rc;
}
