/* Drives the real launcher: see harness.h. */
#include "tests/component/launcher/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

#define JOB_UID "6c1f2a52-0000-4000-8000-000000000001"
#define POD_UID "6c1f2a52-0000-4000-8000-0000000000aa"

int64_t harness_now_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

/* ---- the loop ---- */

static void note_tick(uv_timer_t *timer)
{
    (void)timer; /* only wakes the loop */
}

static void turn(struct harness *h, int ms)
{
    uv_timer_t timer;
    /* With a stale time the timer would fire before the poll, which then waits for ever. */
    uv_update_time(&h->loop);
    (void)uv_timer_init(&h->loop, &timer);
    (void)uv_timer_start(&timer, note_tick, (uint64_t)ms, 0);
    (void)uv_run(&h->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&h->loop, UV_RUN_NOWAIT);
}

/* ---- server ---- */

static void opened(void *arg, uint64_t id, const char *job_uid, const char *peer)
{
    struct harness *h = arg;
    (void)peer;
    assert_string_equal(job_uid, JOB_UID);
    h->connection = id;
    h->opened++;
}

static void closed(void *arg, uint64_t id, const char *reason)
{
    struct harness *h = arg;
    (void)reason;
    if (h->connection == id)
        h->connection = 0;
}

static void refused(void *arg, const char *peer, const char *reason)
{
    struct harness *h = arg;
    (void)peer;
    (void)reason;
    h->refused++;
}

static void frame_came(void *arg, uint64_t id, const struct rendezvous_frame *frame)
{
    struct harness *h = arg;
    struct rendezvous_message message;
    struct mlt_error err = {0};
    if (id != h->connection)
        return;
    if (rendezvous_message_read(frame, &message, &err) < 0)
        fail_msg("the launcher sent a broken message: %s", err.text);
    assert_true(h->count < HARNESS_MESSAGES_MAX);
    h->messages[h->count++] = message;
    if (message.type == RENDEZVOUS_HELLO && !h->silent) {
        struct rendezvous_message welcome = {.type = RENDEZVOUS_WELCOME, .welcome = h->welcome};
        harness_send(h, &welcome);
    }
}

static const struct channel_server_ops ops = {
    .opened = opened, .frame = frame_came, .closed = closed, .refused = refused};

void harness_start_server(struct harness *h)
{
    struct mlt_error err = {0};
    if (channel_server_new(&h->loop, "127.0.0.1", h->port, h->master, &ops, h, &h->server, &err) <
        0)
        fail_msg("%s", err.text);
    h->port = channel_server_port(h->server);
}

static void server_gone(void *arg)
{
    *(bool *)arg = true;
}

void harness_stop_server(struct harness *h)
{
    bool gone = false;
    channel_server_free(h->server, server_gone, &gone);
    h->server = NULL;
    h->connection = 0;
    while (!gone)
        (void)uv_run(&h->loop, UV_RUN_ONCE);
}

void harness_restart_server(struct harness *h)
{
    harness_stop_server(h);
    harness_start_server(h);
}

void harness_begin(struct harness *h)
{
    *h = (struct harness){.out = -1, .err = -1, .wait_ms = HARNESS_WAIT_MS};
    assert_int_equal(uv_loop_init(&h->loop), 0);
    (void)signal(SIGPIPE, SIG_IGN);
    h->messages = calloc(HARNESS_MESSAGES_MAX, sizeof *h->messages);
    assert_non_null(h->messages);
    (void)snprintf(h->dir, sizeof h->dir, "/tmp/mltrain-launcher-test-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    memset(h->master, 7, sizeof h->master);
    harness_start_server(h);
    h->welcome = (struct rendezvous_welcome){.lease_transitions = 1,
                                             .next_attempt = 1,
                                             .framework = "plain",
                                             .nproc = 1,
                                             .max_restarts = 6,
                                             .checkpoint_path = "",
                                             .checkpoint_format = "",
                                             .checkpoint_pattern = "",
                                             .progress_pattern = ""};
    h->start = (struct rendezvous_start){.lease_transitions = 1,
                                         .nodes = 1,
                                         .world_size = 1,
                                         .role_world_size = 1,
                                         .master_address = "127.0.0.1",
                                         .resume_step = RENDEZVOUS_NO_STEP,
                                         .resume_path = ""};
}

static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        char child[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (unlink(child) < 0)
            remove_folder(child);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

/* A launcher that is not PID 1 and is killed leaves grandchildren behind; one that is told to leave
 * does not. */
static void ask_to_leave(struct harness *h)
{
    int64_t end = harness_now_ms() + 5000;
    harness_send_exit(h, 0);
    while (h->pid && harness_now_ms() < end) {
        turn(h, 5);
        if (waitpid(h->pid, NULL, WNOHANG) == h->pid)
            h->pid = 0;
    }
}

void harness_end(struct harness *h)
{
    if (h->pid && h->server && h->connection)
        ask_to_leave(h);
    if (h->pid) {
        (void)kill(h->pid, SIGKILL);
        (void)waitpid(h->pid, NULL, 0);
    }
    if (h->server)
        harness_stop_server(h);
    for (size_t i = 0; i < h->count; i++)
        rendezvous_message_release(&h->messages[i]);
    free(h->messages);
    (void)uv_run(&h->loop, UV_RUN_NOWAIT);
    (void)uv_loop_close(&h->loop);
    remove_folder(h->dir);
}

/* ---- launcher ---- */

static void write_key(struct harness *h, const char *path)
{
    unsigned char key[CHANNEL_KEY_SIZE];
    channel_derive_key(h->master, JOB_UID, key);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(key, 1, sizeof key, file), sizeof key);
    assert_int_equal(fclose(file), 0);
}

static _Noreturn void be_launcher(struct harness *h, const char *const *command)
{
    char path[PATH_MAX], key[PATH_MAX], channel[64], file[128], dir[128];
    const char *argv[64] = {path, "run", "--"};
    const char *environment[64];
    size_t n = 0;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)snprintf(path, sizeof path, "%s/mltrain-launcher", MLTRAIN_BIN_DIR);
    (void)snprintf(key, sizeof key, "MLTRAIN_KEY_FILE=%s/key", h->dir);
    (void)snprintf(channel, sizeof channel, "MLTRAIN_CHANNEL=127.0.0.1:%u", h->port);
    (void)snprintf(dir, sizeof dir, "MLTRAIN_DIR=%s", h->dir);
    const char *const fixed[] = {key,
                                 channel,
                                 dir,
                                 "MLTRAIN_JOB=job",
                                 "MLTRAIN_NAMESPACE=default",
                                 "MLTRAIN_JOB_UID=" JOB_UID,
                                 "MLTRAIN_ROLE=worker",
                                 "MLTRAIN_SLOT=0",
                                 "MLTRAIN_POD_UID=" POD_UID,
                                 "MLTRAIN_POD_IP=127.0.0.1",
                                 "MLTRAIN_NODE=node001",
                                 "PATH=/usr/local/bin:/usr/bin:/bin"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(fixed); i++)
        environment[n++] = fixed[i];
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(h->extra_environment) && h->extra_environment[i]; i++)
        environment[n++] = h->extra_environment[i];
    environment[n] = NULL;
    for (size_t i = 0; command[i] && i < 60; i++)
        argv[3 + i] = command[i];
    (void)snprintf(file, sizeof file, "%s/out", h->dir);
    int out = h->out >= 0 ? h->out : open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)snprintf(file, sizeof file, "%s/err", h->dir);
    int err = h->err >= 0 ? h->err : open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)dup2(out, 1);
    (void)dup2(err, 2);
    int cgroup = h->cgroup ? open(h->cgroup, O_WRONLY | O_CLOEXEC) : -1;
    if (h->cgroup && (cgroup < 0 || write(cgroup, "0", 1) != 1))
        _exit(97);
    if (h->as_pid_1 && mount("proc", "/proc", "proc", 0, NULL) < 0)
        _exit(99);
    (void)execve(path, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)environment);
    _exit(98);
}

void harness_launch(struct harness *h, const char *const *command)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/key", h->dir);
    write_key(h, path);
    if (h->as_pid_1) {
        assert_int_equal(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC), 0);
        assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        assert_int_equal(mount("shm", "/dev/shm", "tmpfs", 0, "size=16m"), 0);
    }
    h->pid = fork();
    if (h->pid == 0)
        be_launcher(h, command);
    assert_true(h->pid > 0);
}

/* ---- waiting ---- */

void harness_run(struct harness *h, int ms)
{
    int64_t end = harness_now_ms() + ms;
    while (harness_now_ms() < end)
        turn(h, 10);
}

/* The index of the oldest unread message of a type, or the count. */
static size_t find(const struct harness *h, enum rendezvous_type type)
{
    size_t i = 0;
    while (i < h->count && (h->taken[i] || h->messages[i].type != type))
        i++;
    return i;
}

static bool await(struct harness *h, enum rendezvous_type type, int ms)
{
    int64_t end = harness_now_ms() + ms;
    while (find(h, type) == h->count && harness_now_ms() < end)
        turn(h, 10);
    return find(h, type) < h->count;
}

bool harness_sees(struct harness *h, enum rendezvous_type type, int ms)
{
    return await(h, type, ms);
}

struct rendezvous_message *harness_expect(struct harness *h, enum rendezvous_type type)
{
    if (!await(h, type, h->wait_ms)) {
        cleanup_free char *words = harness_file(h, "err", NULL);
        fail_msg("no %s came; the launcher said:\n%s", rendezvous_type_name((uint8_t)type), words);
    }
    size_t at = find(h, type);
    h->taken[at] = true;
    return &h->messages[at];
}

/* ---- orders ---- */

void harness_send(struct harness *h, const struct rendezvous_message *message)
{
    struct mlt_text frame = MLT_TEXT_INIT(1 << 20);
    rendezvous_message_write(&frame, message);
    assert_false(frame.failed);
    assert_true(h->connection != 0);
    channel_server_send(h->server, h->connection, frame.data, frame.length);
    mlt_text_release(&frame);
}

void harness_send_start(struct harness *h, uint64_t attempt)
{
    struct rendezvous_message message = {
        .type = RENDEZVOUS_START, .attempt = attempt, .start = h->start};
    harness_send(h, &message);
}

void harness_send_stop(struct harness *h, uint64_t attempt, uint32_t grace_ms, uint32_t signal)
{
    struct rendezvous_message message = {
        .type = RENDEZVOUS_STOP,
        .attempt = attempt,
        .stop = {.reason = "test", .grace_ms = grace_ms, .signal = signal}};
    harness_send(h, &message);
}

void harness_send_exit(struct harness *h, int code)
{
    struct rendezvous_message message = {.type = RENDEZVOUS_EXIT,
                                         .exit = {.code = code, .reason = "test"}};
    harness_send(h, &message);
}

uint64_t harness_start_ranks(struct harness *h)
{
    struct rendezvous_message *ready = harness_expect(h, RENDEZVOUS_READY);
    uint64_t attempt = ready->attempt;
    h->start.world_size = h->start.role_world_size = h->welcome.nproc;
    h->start.master_port = ready->ready.port;
    harness_send_start(h, attempt);
    struct rendezvous_message *started = harness_expect(h, RENDEZVOUS_STARTED);
    assert_int_equal(started->attempt, attempt);
    assert_int_equal(started->started.pids_count, h->welcome.nproc);
    return attempt;
}

int harness_exit_code(struct harness *h)
{
    int64_t end = harness_now_ms() + HARNESS_WAIT_MS;
    pid_t pid = 0;
    while (pid == 0 && harness_now_ms() < end) {
        turn(h, 5);
        pid = waitpid(h->pid, &h->wait_status, WNOHANG);
    }
    if (pid != h->pid)
        fail_msg("the launcher did not leave");
    h->pid = 0;
    return WIFEXITED(h->wait_status) ? WEXITSTATUS(h->wait_status) : 128 + WTERMSIG(h->wait_status);
}

/* ---- looking ---- */

char *harness_file(struct harness *h, const char *name, size_t *ret_length)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", h->dir, name);
    cleanup_file FILE *file = fopen(path, "re");
    struct stat st = {0};
    if (file)
        (void)fstat(fileno(file), &st);
    char *text = calloc(1, (size_t)st.st_size + 1);
    assert_non_null(text);
    size_t n = file ? fread(text, 1, (size_t)st.st_size, file) : 0;
    if (ret_length)
        *ret_length = n;
    return text;
}

void harness_await_text(struct harness *h, const char *name, const char *text)
{
    int64_t end = harness_now_ms() + HARNESS_WAIT_MS;
    for (;;) {
        cleanup_free char *content = harness_file(h, name, NULL);
        if (strstr(content, text))
            return;
        if (harness_now_ms() > end)
            fail_msg("`%s` did not appear in %s:\n%s", text, name, content);
        turn(h, 10);
    }
}

bool harness_is_alive(pid_t pid)
{
    char path[64], text[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    cleanup_file FILE *file = fopen(path, "re");
    if (!file || !fgets(text, sizeof text, file))
        return false;
    const char *after = strrchr(text, ')');
    return after && after[1] == ' ' && after[2] != 'Z' && after[2] != 'X';
}
