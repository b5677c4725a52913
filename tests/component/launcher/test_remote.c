/* The real launcher's listener for commands of other pods (launcher/edge_remote.h) and hostile
 * peers: who has no key, or that of another attempt or job; who says what has no place; who
 * connects and says nothing, a thousand times; who does not read; who replays. What breaks is the
 * connection, never the launcher, and a pod of this attempt is served all the while. */
#include "tests/component/launcher/harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/remote.h"
#include "lib/base/cleanup.h"

#define JOB_UID "6c1f2a52-0000-4000-8000-000000000001" /* the harness's */

struct scene {
    struct harness h;
    uint64_t attempt;
    uint16_t port;
};

/* A pod that wants a command here. */
struct agent {
    struct scene *scene;
    struct channel_client *channel;
    uint64_t attempt;
    bool opened, closed, ended, gone;
    bool takes; /* says that it has passed on what came */
    struct rendezvous_remote_ended end;
    char words[512], reason[256], output[256];
    size_t output_length;
};

static void scene_begin(struct scene *s)
{
    *s = (struct scene){0};
    struct harness *h = &s->h;
    harness_begin(h);
    h->welcome.framework = "mpi";
    h->welcome.wireup = RENDEZVOUS_WIREUP_RSH;
    h->welcome.takes_exchange = true;
    h->start.nodes = 2;
    h->start.node_rank = 1; /* not the one with the command: a process keeps its place */
    h->start.rank_base = 1;
    harness_launch(h, (const char *const[]){"mpirun", "true", NULL});
    s->attempt = harness_start_ranks(h);
    const struct rendezvous_message *put = harness_expect(h, RENDEZVOUS_PUT);
    char value[64];
    assert_string_equal(put->put.name, "launcher/rsh/1");
    (void)snprintf(value, sizeof value, "%.*s", (int)put->put.data_length,
                   (const char *)put->put.data);
    assert_non_null(strchr(value, ' '));
    s->port = (uint16_t)atoi(strchr(value, ' ') + 1);
}

static void run(struct scene *s)
{
    harness_run(&s->h, 10);
}

#define UNTIL(s, condition)                                     \
    do {                                                        \
        int64_t end_ms = harness_now_ms() + HARNESS_WAIT_MS;    \
        while (!(condition)) {                                  \
            if (harness_now_ms() > end_ms)                      \
                fail_msg("in vain waited for: %s", #condition); \
            run(s);                                             \
        }                                                       \
    } while (0)

static void agent_say(struct agent *a, struct rendezvous_message *m)
{
    struct mlt_text frame = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX + RENDEZVOUS_HEADER_SIZE);
    m->attempt = a->attempt;
    rendezvous_message_write(&frame, m);
    assert_false(frame.failed);
    channel_client_send(a->channel, frame.data, frame.length);
    mlt_text_release(&frame);
}

static void opened(void *arg)
{
    ((struct agent *)arg)->opened = true;
}

static void closed(void *arg, const char *reason)
{
    struct agent *a = arg;
    a->closed = true;
    (void)snprintf(a->reason, sizeof a->reason, "%s", reason);
}

static void frame(void *arg, const struct rendezvous_frame *f)
{
    struct agent *a = arg;
    struct rendezvous_message m;
    assert_int_equal(rendezvous_message_read(f, &m, NULL), 0);
    if (m.type == RENDEZVOUS_REMOTE_ENDED) {
        a->ended = true;
        a->end = m.remote_ended;
        (void)snprintf(a->words, sizeof a->words, "%s", m.remote_ended.words);
    } else if (m.type == RENDEZVOUS_REMOTE_OUTPUT) {
        size_t room = sizeof a->output - 1 - (a->output_length < 255 ? a->output_length : 255);
        size_t n = m.remote_bytes.data_length < room ? m.remote_bytes.data_length : room;
        if (n)
            memcpy(a->output + a->output_length, m.remote_bytes.data, n);
        a->output_length += m.remote_bytes.data_length;
        if (a->takes && m.remote_bytes.data_length)
            agent_say(a, &(struct rendezvous_message){
                             .type = RENDEZVOUS_REMOTE_TAKEN,
                             .remote_taken = {.stream = m.remote_bytes.stream,
                                              .bytes = m.remote_bytes.data_length}});
    }
    rendezvous_message_release(&m);
}

/* `key_of`: the identity whose key it has, of the job `job`. */
static void agent_connect(struct agent *a, struct scene *s, const char *job, const char *identity,
                          const char *key_of)
{
    static const struct channel_client_ops ops = {
        .opened = opened, .frame = frame, .closed = closed};
    unsigned char job_key[CHANNEL_KEY_SIZE], key[CHANNEL_KEY_SIZE];
    struct mlt_error err = {0};
    *a = (struct agent){.scene = s, .takes = true, .attempt = s->attempt};
    channel_derive_key(s->h.master, job, job_key);
    channel_derive_key(job_key, key_of, key);
    if (channel_client_new(&s->h.loop, "127.0.0.1", s->port, identity, key, &ops, a, &a->channel,
                           &err) < 0)
        fail_msg("%s", err.text);
    channel_client_connect(a->channel);
}

static void own_identity(const struct scene *s, char to[REMOTE_IDENTITY_MAX + 1])
{
    (void)snprintf(to, REMOTE_IDENTITY_MAX + 1, JOB_UID "/rsh/%llu",
                   (unsigned long long)s->attempt);
}

static void agent_open(struct agent *a, struct scene *s)
{
    char identity[REMOTE_IDENTITY_MAX + 1];
    own_identity(s, identity);
    agent_connect(a, s, JOB_UID, identity, identity);
    UNTIL(s, a->opened || a->closed);
    assert_true(a->opened);
}

static void agent_run(struct agent *a, const char *command)
{
    agent_say(a, &(struct rendezvous_message){.type = RENDEZVOUS_REMOTE_RUN,
                                              .remote_run = {.command = command}});
}

static void gone(void *arg)
{
    ((struct agent *)arg)->gone = true;
}

static void agent_release(struct agent *a)
{
    channel_client_free(a->channel, gone, a);
    UNTIL(a->scene, a->gone);
}

/* One of this attempt is served, and the launcher still has what it had. */
static void is_served(struct scene *s)
{
    struct agent a;
    agent_open(&a, s);
    agent_run(&a, "echo fine; exit 7");
    UNTIL(s, a.ended);
    assert_string_equal(a.words, "");
    assert_string_equal(a.output, "fine\n");
    assert_int_equal(a.end.code, 7);
    agent_release(&a);
}

static unsigned descriptors(const struct scene *s)
{
    char path[64];
    unsigned count = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)s->h.pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

static void scene_end(struct scene *s)
{
    is_served(s);
    harness_send_exit(&s->h, 0);
    assert_int_equal(harness_exit_code(&s->h), 0);
    cleanup_free char *words = harness_file(&s->h, "err", NULL);
    if (strstr(words, "Sanitizer") || strstr(words, "Assertion"))
        fail_msg("%s", words);
    harness_end(&s->h);
}

static int raw_connect(const struct scene *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(s->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* ---- keys ---- */

static const struct {
    const char *sentence, *job, *identity, *key_of, *words;
} strangers[] = {
    {"the key of another job", "another-job", JOB_UID "/rsh/1", JOB_UID "/rsh/1", NULL},
    {"another attempt's key under this one's name", JOB_UID, JOB_UID "/rsh/1", JOB_UID "/rsh/0",
     NULL},
    {"another attempt's key and name", JOB_UID, JOB_UID "/rsh/0", JOB_UID "/rsh/0",
     "this attempt does not run here (any more)"},
    {"a name that is no attempt's", JOB_UID, "nobody", "nobody",
     "this attempt does not run here (any more)"},
};

static void test_who_has_not_this_attempts_key_starts_nothing(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s);
    assert_int_equal(s.attempt, 1);
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        struct agent a;
        char command[160];
        (void)snprintf(command, sizeof command, "touch %s/started", s.h.dir);
        agent_connect(&a, &s, strangers[i].job, strangers[i].identity, strangers[i].key_of);
        UNTIL(&s, a.opened || a.closed);
        if (a.opened != (strangers[i].words != NULL))
            fail_msg("%s: %s", strangers[i].sentence, a.reason);
        if (a.opened) {
            agent_run(&a, command);
            UNTIL(&s, a.closed);
            assert_string_equal(a.words, strangers[i].words);
        } else if (!strstr(a.reason, "TLS handshake")) {
            fail_msg("%s: %s", strangers[i].sentence, a.reason);
        }
        agent_release(&a);
    }
    char path[160];
    (void)snprintf(path, sizeof path, "%s/started", s.h.dir);
    assert_int_equal(access(path, F_OK), -1);
    harness_await_text(&s.h, "out", "wanted to run a command here and was refused: TLS handshake");
    scene_end(&s);
}

/* ---- handshakes ---- */

/* Between a pod and the launcher: notes what the pod says, and cuts after so many bytes. */
struct tap {
    uv_loop_t *loop;
    int listener, up, down;
    size_t cut_after, noted;
    unsigned char bytes[8192];
};

static void tap_begin(struct tap *t, const struct scene *s, uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    *t = (struct tap){.up = -1, .down = -1, .cut_after = SIZE_MAX};
    t->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(t->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(t->listener, 1), 0);
    assert_int_equal(getsockname(t->listener, (struct sockaddr *)&address, &length), 0);
    *ret_port = ntohs(address.sin_port);
    t->up = raw_connect(s);
    assert_int_equal(fcntl(t->up, F_SETFL, O_NONBLOCK), 0);
}

static void tap_turn(struct tap *t)
{
    unsigned char data[4096];
    if (t->down < 0)
        t->down = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (t->down < 0 || t->up < 0)
        return;
    ssize_t n = recv(t->down, data, sizeof data, 0);
    if (n > 0) {
        size_t left = t->cut_after - t->noted, pass = (size_t)n < left ? (size_t)n : left;
        assert_true(t->noted + pass <= sizeof t->bytes);
        memcpy(t->bytes + t->noted, data, pass);
        t->noted += pass;
        if (pass)
            assert_int_equal(send(t->up, data, pass, MSG_NOSIGNAL), pass);
        if (pass < (size_t)n) {
            (void)close(t->up);
            t->up = -1;
            return;
        }
    }
    n = recv(t->up, data, sizeof data, 0);
    if (n > 0)
        (void)send(t->down, data, (size_t)n, MSG_NOSIGNAL);
}

static void tap_end(struct tap *t)
{
    (void)close(t->listener);
    if (t->up >= 0)
        (void)close(t->up);
    if (t->down >= 0)
        (void)close(t->down);
}

/* What a pod says over the tap until it is served, or cut. */
static void through(struct tap *t, struct scene *s, size_t cut_after)
{
    struct agent a;
    char identity[REMOTE_IDENTITY_MAX + 1];
    uint16_t real = s->port, port;
    tap_begin(t, s, &port);
    t->cut_after = cut_after;
    own_identity(s, identity);
    s->port = port;
    agent_connect(&a, s, JOB_UID, identity, identity);
    s->port = real;
    bool said = false;
    int64_t end_ms = harness_now_ms() + HARNESS_WAIT_MS;
    while (!a.ended && t->up >= 0 && harness_now_ms() < end_ms) {
        tap_turn(t);
        run(s);
        if (a.opened && !said) {
            agent_run(&a, "echo once >> $MLTRAIN_DIR/ran || true");
            said = true;
        }
    }
    assert_true(a.ended || t->up < 0);
    tap_end(t);
    agent_release(&a);
}

static void test_a_handshake_that_breaks_anywhere_leaves_nothing(void **state)
{
    (void)state;
    struct scene s;
    struct tap t;
    scene_begin(&s);
    is_served(&s);
    unsigned before = descriptors(&s);
    through(&t, &s, SIZE_MAX);
    size_t whole = t.noted;
    assert_true(whole > 300);
    for (size_t at = 0; at < whole; at += at < 8 ? 1 : whole / 12)
        through(&t, &s, at);
    UNTIL(&s, descriptors(&s) <= before);
    scene_end(&s);
}

static void test_what_was_said_once_cannot_be_said_again(void **state)
{
    (void)state;
    struct scene s;
    struct tap t;
    char reply[4096];
    scene_begin(&s);
    through(&t, &s, SIZE_MAX); /* one command has run */
    int fd = raw_connect(&s);
    assert_int_equal(send(fd, t.bytes, t.noted, MSG_NOSIGNAL), t.noted);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n = 1;
    int64_t end_ms = harness_now_ms() + HARNESS_WAIT_MS;
    while (n > 0 && harness_now_ms() < end_ms) {
        run(&s);
        if (poll(&p, 1, 0) > 0)
            n = recv(fd, reply, sizeof reply, 0);
    }
    assert_true(n <= 0); /* closed: the second half of a handshake fits one first half only */
    (void)close(fd);
    harness_await_text(&s.h, "out", "was refused: TLS");
    scene_end(&s);
}

/* ---- connections ---- */

/* Without a key, as many as somebody can open: they cost the ranks' pod neither memory nor
 * descriptors beyond a bound, and go when their time is over. */
static void test_thousands_of_connections_are_bounded(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    static int fds[MANY];
    struct scene s;
    struct rlimit limit = {.rlim_cur = MANY + 200, .rlim_max = MANY + 200}, former;
    scene_begin(&s);
    is_served(&s);
    unsigned before = descriptors(&s), most = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &former), 0);
    limit.rlim_max = former.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i < MANY; i++) {
        fds[i] = raw_connect(&s);
        if (i % 100 != 0)
            continue;
        run(&s);
        unsigned now = descriptors(&s);
        most = now > most ? now : most;
    }
    assert_true(most > before);
    if (most > before + REMOTE_CONNECTIONS_MAX + 16)
        fail_msg("%u descriptors more", most - before);
    for (int i = 0; i < MANY; i++)
        (void)close(fds[i]);
    UNTIL(&s, descriptors(&s) <= before);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &former), 0);
    harness_await_text(&s.h, "out", "was refused");
    scene_end(&s);
}

/* With the key, but without a command: its place is given to others after a while. Without the key,
 * in the middle of a handshake: its connection is closed. */
static void test_who_opens_and_says_nothing_is_let_go(void **state)
{
    (void)state;
    struct scene s;
    struct agent a[REMOTE_STREAMS_MAX], late;
    char byte;
    scene_begin(&s);
    int half = raw_connect(&s);
    assert_int_equal(send(half, "\x16\x03\x01", 3, MSG_NOSIGNAL), 3);
    for (int i = 0; i < REMOTE_STREAMS_MAX; i++)
        agent_open(&a[i], &s);
    agent_open(&late, &s);
    UNTIL(&s, late.closed);
    assert_string_equal(late.words, "too many commands run in this pod");
    agent_release(&late);
    for (int i = 0; i < REMOTE_STREAMS_MAX; i++) {
        UNTIL(&s, a[i].closed);
        assert_string_equal(a[i].words, "no command was asked for in time");
        agent_release(&a[i]);
    }
    struct pollfd p = {.fd = half, .events = POLLIN};
    UNTIL(&s, poll(&p, 1, 0) > 0);
    assert_true(recv(half, &byte, 1, 0) <= 0);
    (void)close(half);
    harness_await_text(&s.h, "out", "was refused: the handshake was not finished in time");
    scene_end(&s);
}

/* ---- what is said ---- */

static const struct rendezvous_message before_run[] = {
    {.type = RENDEZVOUS_REMOTE_INPUT, .remote_bytes = {.data_length = 0}},
    {.type = RENDEZVOUS_REMOTE_TAKEN, .remote_taken = {.stream = 1, .bytes = 1}},
};
static const struct rendezvous_message after_run[] = {
    {.type = RENDEZVOUS_REMOTE_RUN, .remote_run = {.command = "echo twice"}},
    {.type = RENDEZVOUS_REMOTE_TAKEN, .remote_taken = {.stream = 1, .bytes = 1}},
    {.type = RENDEZVOUS_REMOTE_TAKEN, .remote_taken = {.stream = 0, .bytes = 1}},
    {.type = RENDEZVOUS_PONG},
};

static void is_refused(struct scene *s, const struct rendezvous_message *m, bool after)
{
    struct agent a;
    struct rendezvous_message copy = *m;
    agent_open(&a, s);
    if (after)
        agent_run(&a, "sleep 1000");
    agent_say(&a, &copy);
    UNTIL(s, a.closed);
    assert_string_equal(a.words, "this message has no place here");
    agent_release(&a);
}

static void test_a_message_out_of_place_ends_its_connection_only(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s);
    for (size_t i = 0; i < sizeof before_run / sizeof before_run[0]; i++)
        is_refused(&s, &before_run[i], false);
    for (size_t i = 0; i < sizeof after_run / sizeof after_run[0]; i++)
        is_refused(&s, &after_run[i], true);
    scene_end(&s);
}

/* More input than the window, to a command that reads none of it. */
static void test_input_over_the_window_is_refused(void **state)
{
    (void)state;
    static const unsigned char data[RENDEZVOUS_REMOTE_DATA_MAX];
    struct scene s;
    struct agent a;
    scene_begin(&s);
    agent_open(&a, &s);
    agent_run(&a, "sleep 1000");
    for (size_t sent = 0; sent < 2 * (size_t)REMOTE_WINDOW; sent += sizeof data)
        agent_say(&a, &(struct rendezvous_message){
                          .type = RENDEZVOUS_REMOTE_INPUT,
                          .remote_bytes = {.data = data, .data_length = sizeof data}});
    UNTIL(&s, a.closed);
    assert_string_equal(a.words, "this message has no place here");
    agent_release(&a);
    scene_end(&s);
}

static void test_a_frame_over_its_size_ends_its_connection_only(void **state)
{
    (void)state;
    static const unsigned char headers[][RENDEZVOUS_HEADER_SIZE] = {
        {255, 255, 255, 255, 1, RENDEZVOUS_REMOTE_RUN},
        {0, 16, 0, 0, 1, RENDEZVOUS_REMOTE_INPUT},
        {0, 0, 0, 8, 1, RENDEZVOUS_REMOTE_OUTPUT},
    };
    struct scene s;
    scene_begin(&s);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct agent a;
        agent_open(&a, &s);
        agent_run(&a, "sleep 1000");
        channel_client_send(a.channel, headers[i], sizeof headers[i]);
        UNTIL(&s, a.closed);
        agent_release(&a);
    }
    scene_end(&s);
}

/* A command that writes without end to one who takes nothing: a window's bytes, and no more. */
static void test_who_does_not_take_gets_a_window_and_holds_nobody_up(void **state)
{
    (void)state;
    struct scene s;
    struct agent a;
    scene_begin(&s);
    agent_open(&a, &s);
    a.takes = false;
    agent_run(&a, "exec cat /dev/zero");
    UNTIL(&s, a.output_length == REMOTE_WINDOW);
    is_served(&s);
    harness_run(&s.h, 200);
    assert_int_equal(a.output_length, REMOTE_WINDOW);
    agent_release(&a); /* and its command is killed: the launcher leaves only when it is gone */
    scene_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_has_not_this_attempts_key_starts_nothing),
        cmocka_unit_test(test_a_handshake_that_breaks_anywhere_leaves_nothing),
        cmocka_unit_test(test_what_was_said_once_cannot_be_said_again),
        cmocka_unit_test(test_thousands_of_connections_are_bounded),
        cmocka_unit_test(test_who_opens_and_says_nothing_is_let_go),
        cmocka_unit_test(test_a_message_out_of_place_ends_its_connection_only),
        cmocka_unit_test(test_input_over_the_window_is_refused),
        cmocka_unit_test(test_a_frame_over_its_size_ends_its_connection_only),
        cmocka_unit_test(test_who_does_not_take_gets_a_window_and_holds_nobody_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
