/* The supervisor of a one-machine cluster: see supervise.h. One libuv loop; children are forked by
 * hand because they must die with the supervisor (PR_SET_PDEATHSIG), which uv_spawn() cannot ask
 * for. Pods live on: their shims are sessions of their own, and the next agent adopts them. */
#include "cli/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "cli/cli.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"

#define ARGUMENTS_MAX 24
#define READY_FD 3

struct supervisor;

/* One program. The first child is the API server; the others start when it is ready. */
struct child {
    struct supervisor *owner;
    char *name;
    char *argv[ARGUMENTS_MAX];
    pid_t pid; /* 0: not running */
    int ready_fd;
    uv_poll_t ready_poll;
    bool polling, ready;
    int early_deaths; /* before it was ever ready */
    uv_timer_t timer; /* the next start, or the SIGKILL after SIGTERM */
    int64_t started_ms, delay_ms;
};

struct supervisor {
    const char *dir, *name;
    bool temporary;
    int ready_fd, lock;
    struct cluster_shape shape;
    uv_loop_t loop;
    uv_signal_t on_child, on_term, on_int;
    struct child *children;
    int count;
    int stopping; /* index of the child that is being stopped, counted down; -1: not stopping */
    bool ended;
};

static void child_start(struct child *child);

static int64_t now_ms(const struct supervisor *s)
{
    return (int64_t)uv_now(&s->loop);
}

/* ---- children ---- */

static void run_child(const struct child *child, int ready_write, int log_fd)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    int devnull = open("/dev/null", O_RDONLY);
    (void)dup2(devnull, 0);
    (void)dup2(log_fd, 1);
    (void)dup2(log_fd, 2);
    (void)dup2(ready_write, READY_FD);
    (void)close_range(READY_FD + 1, ~0u, 0);
    (void)execv(child->argv[0], child->argv);
    (void)dprintf(2, "%s: %s\n", child->argv[0], strerror(errno));
    _exit(127);
}

static void all_ready(struct supervisor *s)
{
    for (int i = 0; i < s->count; i++)
        if (!s->children[i].ready)
            return;
    if (s->ready_fd < 0)
        return;
    cluster_say_ready(s->lock);
    ssize_t written = write(s->ready_fd, "\n", 1);
    (void)written;
    (void)close(s->ready_fd);
    s->ready_fd = -1;
    mlt_log(MLT_LOG_INFO, "cluster is up name=%s nodes=%d", s->name, s->shape.nodes);
}

static void poll_closed(uv_handle_t *handle)
{
    (void)handle;
}

static void close_ready(struct child *child)
{
    if (!child->polling)
        return;
    child->polling = false;
    (void)uv_poll_stop(&child->ready_poll);
    uv_close((uv_handle_t *)&child->ready_poll, poll_closed);
    (void)close(child->ready_fd);
    child->ready_fd = -1;
}

static void ready_readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct child *child = poll->data;
    struct supervisor *s = child->owner;
    char byte;
    bool is_ready = status == 0 && read(child->ready_fd, &byte, 1) == 1;
    close_ready(child);
    if (!is_ready)
        return;
    bool first = !child->ready;
    child->ready = true;
    if (child == s->children && first && s->stopping < 0 && !s->ended)
        for (int i = 1; i < s->count; i++)
            child_start(&s->children[i]);
    all_ready(s);
}

static void child_start(struct child *child)
{
    struct supervisor *s = child->owner;
    int ready[2];
    cleanup_free char *log_name = mlt_asprintf("log/%s.log", child->name),
                      *log_path = cluster_file(s->dir, log_name);
    cleanup_close int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0 || pipe2(ready, O_CLOEXEC) < 0) {
        mlt_log(MLT_LOG_ERROR, "cannot start program=%s: %s", child->name, strerror(errno));
        return;
    }
    child->started_ms = now_ms(s);
    child->pid = fork();
    if (child->pid == 0)
        run_child(child, ready[1], log_fd);
    (void)close(ready[1]);
    if (child->pid < 0) {
        child->pid = 0;
        (void)close(ready[0]);
        mlt_log(MLT_LOG_ERROR, "cannot fork program=%s: %s", child->name, strerror(errno));
        return;
    }
    child->ready_fd = ready[0];
    (void)uv_poll_init(&s->loop, &child->ready_poll, child->ready_fd);
    child->ready_poll.data = child;
    child->polling = true;
    (void)uv_poll_start(&child->ready_poll, UV_READABLE, ready_readable);
    mlt_log(MLT_LOG_INFO, "started program=%s pid=%d", child->name, (int)child->pid);
}

static void start_again(uv_timer_t *timer)
{
    struct child *child = timer->data;
    if (child->owner->stopping < 0 && !child->pid)
        child_start(child);
}

/* ---- stopping, in the reverse order of starting ---- */

static void stop_next(struct supervisor *s);

static void kill_hard(uv_timer_t *timer)
{
    struct child *child = timer->data;
    if (child->pid)
        (void)kill(child->pid, SIGKILL);
}

/* When the agents are gone and the API server still runs: the pods, which outlive their agent, are
 * ended. */
static void stop_pods(struct supervisor *s)
{
    pid_t pids[CLUSTER_NODES_MAX];
    for (int i = 0; i < s->shape.nodes; i++) {
        cleanup_free char *node = cluster_node_name(&s->shape, i);
        char *program = s->children[0].argv[0];
        char agent[] = "agent", dir_option[] = "--dir", node_option[] = "--node",
             stop[] = "--stop-pods";
        cleanup_free char *dir = mlt_strdup(s->dir);
        char *argv[] = {program, agent, dir_option, dir, node_option, node, stop, NULL};
        pids[i] = fork();
        if (pids[i] == 0) {
            (void)execv(program, argv);
            _exit(127);
        }
    }
    for (int i = 0; i < s->shape.nodes; i++)
        if (pids[i] > 0)
            (void)waitpid(pids[i], NULL, 0);
}

static void end(struct supervisor *s)
{
    s->ended = true;
    (void)uv_signal_stop(&s->on_child);
    uv_stop(&s->loop);
}

static void stop_next(struct supervisor *s)
{
    for (; s->stopping >= 0; s->stopping--) {
        struct child *child = &s->children[s->stopping];
        if (s->stopping == 0)
            stop_pods(s);
        if (!child->pid)
            continue;
        (void)kill(child->pid, SIGTERM);
        (void)uv_timer_start(&child->timer, kill_hard, SUPERVISE_STOP_MS, 0);
        return; /* goes on when it has ended */
    }
    end(s);
}

static void terminate(uv_signal_t *handle, int signal_number)
{
    struct supervisor *s = handle->data;
    if (s->stopping >= 0 || s->ended)
        return;
    mlt_log(MLT_LOG_INFO, "stopping signal=%d", signal_number);
    for (int i = 0; i < s->count; i++)
        (void)uv_timer_stop(&s->children[i].timer);
    s->stopping = s->count - 1;
    stop_next(s);
}

/* ---- deaths ---- */

/* The last line of a program's log, which says why it ended. */
static void last_words(const struct supervisor *s, const struct child *child, char *words,
                       size_t size)
{
    cleanup_free char *name = mlt_asprintf("log/%s.log", child->name),
                      *path = cluster_file(s->dir, name);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    char tail[1024];
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)sizeof tail - 1 ? end - (off_t)sizeof tail + 1 : 0;
    ssize_t length = fd < 0 ? 0 : pread(fd, tail, sizeof tail - 1, from);
    for (; length > 0 && tail[length - 1] == '\n';)
        length--;
    tail[length > 0 ? length : 0] = '\0';
    const char *line = strrchr(tail, '\n');
    (void)snprintf(words, size, "%.60s: %.300s", child->name, line ? line + 1 : tail);
}

/* Whoever waits for the cluster is told why it will not come up. */
static void give_up(struct supervisor *s, const struct child *child)
{
    char words[SUPERVISE_WORDS_MAX];
    last_words(s, child, words, sizeof words);
    mlt_log(MLT_LOG_ERROR, "giving up %s", words);
    ssize_t written = write(s->ready_fd, words, strlen(words));
    (void)written;
    (void)close(s->ready_fd);
    s->ready_fd = -1;
    (void)raise(SIGTERM);
}

static void child_died(struct child *child, int status)
{
    struct supervisor *s = child->owner;
    child->pid = 0;
    close_ready(child);
    if (s->stopping >= 0) {
        (void)uv_timer_stop(&child->timer);
        if (child == &s->children[s->stopping]) {
            s->stopping--;
            stop_next(s);
        }
        return;
    }
    child->early_deaths += child->ready ? 0 : 1;
    if (child->early_deaths >= SUPERVISE_EARLY_DEATHS_MAX && s->ready_fd >= 0) {
        give_up(s, child);
        return;
    }
    bool steady = now_ms(s) - child->started_ms >= SUPERVISE_STEADY_MS;
    child->delay_ms = steady || !child->delay_ms ? SUPERVISE_BACKOFF_MS_MIN : child->delay_ms * 2;
    if (child->delay_ms > SUPERVISE_BACKOFF_MS_MAX)
        child->delay_ms = SUPERVISE_BACKOFF_MS_MAX;
    mlt_log(MLT_LOG_WARNING, "program ended program=%s exit=%d signal=%d again_in_ms=%" PRId64,
            child->name, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            WIFSIGNALED(status) ? WTERMSIG(status) : 0, child->delay_ms);
    (void)uv_timer_start(&child->timer, start_again, (uint64_t)child->delay_ms, 0);
}

static void reap(uv_signal_t *handle, int signal_number)
{
    (void)signal_number;
    struct supervisor *s = handle->data;
    uv_update_time(&s->loop);
    for (int i = 0; i < s->count;
         i++) { /* only our own: waitpid(-1) would take the helpers of stop_pods() */
        struct child *child = &s->children[i];
        int status;
        if (child->pid > 0 && waitpid(child->pid, &status, WNOHANG) == child->pid)
            child_died(child, status);
    }
}

/* ---- what to run ---- */

static void argument(struct child *child, char *text)
{
    for (int i = 0; i < ARGUMENTS_MAX - 1; i++)
        if (!child->argv[i]) {
            child->argv[i] = text;
            return;
        }
}

static struct child *add_child(struct supervisor *s, char *name, const char *program)
{
    struct child *child = &s->children[s->count++];
    child->owner = s;
    child->name = name;
    child->ready_fd = -1;
    (void)uv_timer_init(&s->loop, &child->timer);
    child->timer.data = child;
    argument(child, mlt_asprintf("%s/%s", cli_program_folder(), program));
    return child;
}

static void add_options(struct child *child, const char *const *options)
{
    for (; *options; options++)
        argument(child, mlt_strdup(*options));
}

static void add_programs(struct supervisor *s)
{
    s->children = mlt_calloc((size_t)s->shape.nodes + 2, sizeof *s->children);
    struct child *api = add_child(s, mlt_strdup("api"), "mltrain-localcluster");
    add_options(api, (const char *const[]){"api", "--dir", s->dir, "--name", s->name, "--ready-fd",
                                           "3", NULL});
    for (int i = 0; i < s->shape.nodes; i++) {
        char *node = cluster_node_name(&s->shape, i);
        struct child *agent = add_child(s, mlt_asprintf("agent-%s", node), "mltrain-localcluster");
        cleanup_free char *gpus = s->shape.gpus_per_node < 0
                                      ? mlt_strdup("auto")
                                      : mlt_asprintf("%d", s->shape.gpus_per_node);
        add_options(agent, (const char *const[]){"agent", "--dir", s->dir, "--node", node, "--gpus",
                                                 gpus, "--ready-fd", "3", NULL});
        if (s->shape.racks > 0) {
            cleanup_free char *rack = mlt_asprintf("rack-%d", i * s->shape.racks / s->shape.nodes);
            add_options(agent, (const char *const[]){"--rack", rack, NULL});
        }
        free(node);
    }
    cleanup_free char *kubeconfig = cluster_file(s->dir, "kubeconfig"),
                      *key = cluster_file(s->dir, "master.key"),
                      *launcher = mlt_asprintf("%s/mltrain-launcher", cli_program_folder());
    struct child *controller = add_child(s, mlt_strdup("controller"), "mltrain-controller");
    add_options(controller,
                (const char *const[]){"--kubeconfig", kubeconfig, "--listen", "127.0.0.1:0",
                                      "--advertise", "127.0.0.1", "--master-key-file", key,
                                      "--launcher-command", launcher, "--lease-namespace",
                                      "mltrain-system", "--ready-fd", "3", NULL});
    if (s->shape.racks > 0)
        add_options(controller,
                    (const char *const[]){"--topology-level", "rack=mltrain.io/rack", NULL});
}

static void free_programs(struct supervisor *s)
{
    for (int i = 0; i < s->count; i++) {
        free(s->children[i].name);
        for (int a = 0; a < ARGUMENTS_MAX; a++)
            free(s->children[i].argv[a]);
    }
    free(s->children);
}

static void watch_signal(struct supervisor *s, uv_signal_t *handle, uv_signal_cb callback,
                         int number)
{
    (void)uv_signal_init(&s->loop, handle);
    handle->data = s;
    (void)uv_signal_start(handle, callback, number);
}

int supervise_main(const char *dir, const char *name, bool temporary, int ready_fd)
{
    struct mlt_error err = {0};
    struct supervisor s = {
        .dir = dir, .name = name, .temporary = temporary, .ready_fd = ready_fd, .stopping = -1};
    mlt_log_start("mltrain-supervisor", MLT_LOG_INFO);
    cleanup_free char *log_dir = cluster_file(dir, "log");
    cleanup_close int lock = cluster_lock(dir, &err);
    s.lock = lock;
    if (lock < 0 || cluster_shape_read(dir, &s.shape, &err) < 0 ||
        cluster_make_dir(log_dir, &err) < 0) {
        mlt_log(MLT_LOG_ERROR, "%s", err.text);
        return CLI_FAILED;
    }
    if (uv_loop_init(&s.loop) < 0)
        return CLI_FAILED;
    add_programs(&s);
    watch_signal(&s, &s.on_child, reap, SIGCHLD);
    watch_signal(&s, &s.on_term, terminate, SIGTERM);
    watch_signal(&s, &s.on_int, terminate, SIGINT);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    child_start(&s.children[0]);
    while (!s.ended)
        (void)uv_run(&s.loop, UV_RUN_DEFAULT);
    mlt_log(MLT_LOG_INFO, "cluster is down name=%s", name);
    if (temporary)
        cluster_remove_dir(dir);
    free_programs(&s);
    return CLI_OK;
}

/* ---- from outside ---- */

static void exec_supervisor(const char *dir, const char *name, bool temporary, pid_t parent,
                            int ready_write)
{
    /* What ends the supervisor of a private cluster waits until it can clean up. */
    sigset_t wait;
    (void)sigemptyset(&wait);
    (void)sigaddset(&wait, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &wait, NULL);
    if (temporary)
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (temporary && getppid() != parent)
        (void)raise(SIGTERM); /* it died before we could ask to be told */
    (void)setsid();
    cleanup_free char *log_path = cluster_file(dir, "log/supervisor.log"),
                      *program = mlt_asprintf("%s/mltrain", cli_program_folder());
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600),
        devnull = open("/dev/null", O_RDONLY);
    (void)dup2(devnull, 0);
    (void)dup2(log_fd, 1);
    (void)dup2(log_fd, 2);
    (void)dup2(ready_write, READY_FD);
    (void)close_range(READY_FD + 1, ~0u, 0);
    (void)chdir("/");
    (void)execl(program, program, "cluster", "supervise", "--dir", dir, "--name", name,
                "--ready-fd", "3", temporary ? "--temporary" : (char *)NULL, (char *)NULL);
    _exit(127);
}

/* Waits for the newline that says ready; words instead of it say why not, and end of file that the
 * supervisor died. */
static int wait_ready(int fd, pid_t pid, const char *dir, struct mlt_error *err)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int rc;
    do
        rc = poll(&wait, 1, SUPERVISE_READY_MS);
    while (rc < 0 && errno == EINTR);
    char words[SUPERVISE_WORDS_MAX];
    ssize_t length = rc > 0 ? read(fd, words, sizeof words - 1) : 0;
    if (length > 0 && words[0] == '\n')
        return 0;
    if (rc == 0)
        (void)kill(pid, SIGTERM);
    words[length > 0 ? length : 0] = '\0';
    if (length > 0)
        return mlt_fail(err, EIO, "the cluster did not come up: %s (logs: %s/log)", words, dir);
    return mlt_fail(err, ETIMEDOUT, "the cluster did not come up%s; see %s/log/",
                    rc == 0 ? " in time" : "", dir);
}

pid_t supervise_start(const char *dir, const char *name, bool temporary, struct mlt_error *err)
{
    cleanup_free char *log_dir = cluster_file(dir, "log");
    int rc = cluster_make_dir(log_dir, err);
    if (rc < 0)
        return rc;
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) < 0)
        return mlt_fail(err, errno, "pipe: %s", strerror(errno));
    cleanup_close int ready_read = ready[0];
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        exec_supervisor(dir, name, temporary, parent, ready[1]);
    (void)close(ready[1]);
    if (pid < 0)
        return mlt_fail(err, errno, "fork: %s", strerror(errno));
    rc = wait_ready(ready_read, pid, dir, err);
    return rc < 0 ? rc : pid;
}

int supervise_stop(const char *dir, struct mlt_error *err)
{
    pid_t pid = cluster_supervisor(dir);
    if (pid == 0)
        return 0;
    if (kill(pid, SIGTERM) < 0)
        return mlt_fail(err, errno, "cannot end the supervisor (process %d): %s", (int)pid,
                        strerror(errno));
    for (int i = 0; i < 6000; i++) { /* the lock goes with the process, whoever its parent is */
        if (!cluster_is_up(dir))
            return 0;
        (void)waitpid(pid, NULL, WNOHANG);
        (void)usleep(10000);
    }
    return mlt_fail(err, ETIMEDOUT,
                    "the supervisor (process %d) does not end; see %s/log/supervisor.log", (int)pid,
                    dir);
}
