/* The calls of libmltrain and their connection to the launcher: see mltrain.h. */
#include "sdk/mltrain.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sdk/commit_record.h"
#include "sdk/place.h"
#include "sdk/socket_message.h"

#define EXPORT __attribute__((visibility("default")))

/* One for the process. */
static struct {
    int fd; /* -1: not connected */
    int64_t come_back_ms;
    int64_t step;                /* reported last, or MLTRAIN_LAST_STEP */
    bool refused;                /* the launcher wants to hear no more of us */
    bool late;                   /* an answer that we no longer wait for is still to come */
    char answer[SDK_ANSWER_MAX]; /* what came of a line so far */
    size_t answer_length;
} client = {.fd = -1, .step = MLTRAIN_LAST_STEP};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void close_for(int64_t wait_ms)
{
    if (client.fd >= 0)
        (void)close(client.fd);
    client.fd = -1;
    client.late = false;
    client.answer_length = 0;
    client.come_back_ms = sdk_now_ms() + wait_ms;
}

/* Another thread may have held the lock when the child was made; the connection is the parent's. */
static void begin_as_child(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    close_for(0);
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, begin_as_child);
}

static void take_lock(void)
{
    (void)pthread_once(&once, watch_forks);
    (void)pthread_mutex_lock(&lock);
}

static void let_lock(void)
{
    (void)pthread_mutex_unlock(&lock);
}

/* ---- the connection ---- */

/* Reads what is there. True with a whole line, without its newline, in client.answer. */
static bool read_answer(void)
{
    for (;;) {
        char *end = memchr(client.answer, '\n', client.answer_length);
        if (end) {
            *end = '\0';
            client.answer_length = 0; /* one answer is on its way at a time */
            return true;
        }
        size_t room = sizeof client.answer - client.answer_length;
        ssize_t n =
            room ? recv(client.fd, client.answer + client.answer_length, room, MSG_DONTWAIT) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n <= 0) {
            close_for(MLTRAIN_COME_BACK_MS);
            return false;
        }
        client.answer_length += (size_t)n;
    }
}

static void note_refusal(void)
{
    client.refused = true;
    close_for(0);
    (void)fprintf(stderr, "mltrain: the launcher has %s\n", client.answer);
}

/* A line is sent whole or not at all: what the launcher does not take at once is not worth waiting
 * for. */
static bool send_line(const struct sdk_message *message)
{
    char line[SDK_LINE_MAX + 1];
    int length = sdk_message_write(message, line, sizeof line);
    if (length < 0)
        return false;
    ssize_t n;
    do
        n = send(client.fd, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n == length)
        return true;
    if (n < 0 && errno == EAGAIN)
        return false;
    if (read_answer() && sdk_answer_of(client.answer) == SDK_ANSWER_REFUSED)
        note_refusal();
    else
        close_for(MLTRAIN_COME_BACK_MS);
    return false;
}

static bool be_connected(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct sdk_place place;
    struct sdk_message hello;
    if (client.fd >= 0)
        return true;
    sdk_place_find(&place);
    const char *path = place.socket;
    if (!path || !path[0] || strlen(path) >= sizeof address.sun_path || client.refused ||
        sdk_now_ms() < client.come_back_ms)
        return false;
    memcpy(address.sun_path, path, strlen(path));
    client.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sdk_place_hello(&place, &hello);
    if (client.fd >= 0 &&
        connect(client.fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        send_line(&hello))
        return true;
    close_for(MLTRAIN_COME_BACK_MS);
    return false;
}

/* ---- calls ---- */

EXPORT void mltrain_report(int64_t step, int64_t total)
{
    struct sdk_message message = {.kind = SDK_REPORT,
                                  .step = step,
                                  .total = total > 0 && total <= MLTRAIN_STEP_MAX ? total : 0};
    if (step < 0 || step > MLTRAIN_STEP_MAX)
        return;
    take_lock();
    client.step = step;
    if (be_connected())
        (void)send_line(&message);
    let_lock();
}

/* The answer that came. */
static bool take_answer(void)
{
    enum sdk_answer answer = sdk_answer_of(client.answer);
    client.late = false;
    if (answer == SDK_ANSWER_REFUSED)
        note_refusal();
    return answer == SDK_ANSWER_SAVE;
}

/* A launcher that has not answered in time is asked nothing until it has: nobody waits for it a
 * second time, and as soon as it runs again this rank takes part in what the others save. */
static bool may_ask(void)
{
    if (client.late && read_answer())
        (void)take_answer(); /* to a step that was left long ago */
    return client.fd >= 0 && !client.late;
}

/* The answer to an `ask` that was sent. */
static bool await_answer(void)
{
    int64_t until = sdk_now_ms() + MLTRAIN_ASK_MS;
    while (client.fd >= 0 && !client.late) {
        if (read_answer())
            return take_answer();
        int64_t left = until - sdk_now_ms();
        struct pollfd watched = {.fd = client.fd, .events = POLLIN};
        if (client.fd >= 0 && left <= 0)
            client.late = true;
        else if (client.fd >= 0)
            (void)poll(&watched, 1, (int)left);
    }
    return false;
}

EXPORT bool mltrain_should_save(int64_t step)
{
    take_lock();
    struct sdk_message message = {.kind = SDK_ASK,
                                  .step = step == MLTRAIN_LAST_STEP ? client.step : step};
    bool save = message.step >= 0 && message.step <= MLTRAIN_STEP_MAX && be_connected() &&
                may_ask() && send_line(&message) && await_answer();
    let_lock();
    return save;
}

EXPORT int mltrain_checkpoint_committed(int64_t step, const char *path)
{
    const char *folder = getenv("MLTRAIN_CHECKPOINT_DIR");
    char relative[MLTRAIN_COMMIT_NAME_MAX + 1];
    if (step < 0 || step > MLTRAIN_STEP_MAX || !path)
        return -EINVAL;
    if (!getenv("MLTRAIN_SOCKET") || !folder || !folder[0])
        return 0;
    int rc = commit_record_write(folder, step, path, relative, sizeof relative);
    if (rc < 0)
        return rc;
    struct sdk_message message = {.kind = SDK_COMMITTED, .step = step, .path = relative};
    take_lock();
    if (be_connected())
        (void)send_line(&message); /* else the launcher's next look finds the record */
    let_lock();
    return 0;
}

EXPORT bool mltrain_resume(int64_t *ret_step, const char **ret_path)
{
    const char *path = getenv("MLTRAIN_RESUME_PATH");
    int64_t step = sdk_number_of("MLTRAIN_RESUME_STEP");
    if (!path || !path[0] || step < 0)
        return false;
    if (ret_step)
        *ret_step = step;
    if (ret_path)
        *ret_path = path;
    return true;
}

EXPORT int64_t mltrain_attempt(void)
{
    int64_t attempt = sdk_number_of("MLTRAIN_ATTEMPT");
    return attempt > 0 ? attempt : 0;
}
