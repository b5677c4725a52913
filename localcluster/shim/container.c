/* Runs one container: fork, memory cgroup, bubblewrap, pipes, log, exit code.
 *
 * bubblewrap writes JSON to a status pipe: "child-pid" once the sandbox's first process exists, and
 * "exit-code" at the end, but only if the command was executed. So an end without it is a start
 * error, and what bubblewrap said on stderr is the reason. */
#include "localcluster/shim/container.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "localcluster/shim/cgroup.h"
#include "localcluster/shim/cri_log.h"

#define READ_SIZE (64 * 1024)
#define READ_ROUNDS 16  /* reads of one stream per turn of the loop */
#define STATUS_MAX 4096 /* bytes of bubblewrap's status lines */

/* The descriptors that bubblewrap finds besides 0, 1 and 2. */
enum { OPTIONS_FD = 3, STATUS_FD = 4, FIRST_UNUSED_FD = 5 };

/* What the child says beside bubblewrap when the kernel does not let it into its memory cgroup
 * (version 2 asks for rights on the way there): the container runs, without the limit. */
#define NO_LIMIT_LINE "{\"no-limit\":true}\n"

enum source_name { SOURCE_STDOUT, SOURCE_STDERR, SOURCE_STATUS, SOURCE_COUNT };

struct source {
    uv_poll_t poll;
    struct shim_container *container;
    int fd; /* -1 once it has ended */
    bool polled;
};

struct shim_container {
    struct shim_report report;
    shim_container_changed_f *changed;
    void *arg;
    pid_t bwrap;
    int last_signal;
    bool reaped, executed, pid_known;
    int wait_status;
    struct source sources[SOURCE_COUNT];
    struct cri_stream streams[2];
    struct cri_log log;
    struct shim_cgroup cgroup;
    struct mlt_text status;
    uv_timer_t timer;         /* the drain after the end; also brings a failed start to the owner */
    char tail[SHIM_TEXT_MAX]; /* the last of stderr, for a start error */
    size_t tail_used;
    int open_handles;
    bool freeing;
};

static int64_t wall_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

const struct shim_report *shim_container_report(const struct shim_container *c)
{
    return &c->report;
}

/* ---- the end ---- */

static void handle_closed(uv_handle_t *handle)
{
    struct shim_container *c = handle->data;
    if (--c->open_handles == 0 && c->freeing) {
        mlt_text_release(&c->status);
        free(c);
    }
}

static void source_close(struct source *s)
{
    if (s->fd < 0)
        return;
    if (s->polled)
        uv_close((uv_handle_t *)&s->poll, handle_closed);
    (void)close(s->fd);
    s->fd = -1;
}

/* bubblewrap's own words are the last line of stderr: "bwrap: execvp x: No such file or directory".
 */
static void explain_start_error(struct shim_container *c)
{
    struct shim_report *r = &c->report;
    r->start_error = true;
    r->exit_code = SHIM_START_ERROR_CODE;
    if (r->message[0] != '\0')
        return;
    size_t length = c->tail_used;
    while (length > 0 && c->tail[length - 1] == '\n')
        length--;
    const char *line = memrchr(c->tail, '\n', length);
    const char *from = line ? line + 1 : c->tail;
    (void)snprintf(r->message, sizeof r->message, "%.*s", (int)(c->tail + length - from), from);
    if (r->message[0] == '\0')
        (void)snprintf(r->message, sizeof r->message, "the sandbox ended before the command began");
}

static void judge(struct shim_container *c)
{
    struct shim_report *r = &c->report;
    if (WIFSIGNALED(c->wait_status)) {
        r->signal = WTERMSIG(c->wait_status);
        r->exit_code = 128 + r->signal;
    } else {
        r->exit_code = WEXITSTATUS(c->wait_status);
        if (!c->executed)
            explain_start_error(c);
        else if (c->last_signal > 0 && r->exit_code == 128 + c->last_signal)
            r->signal = c->last_signal;
    }
    r->out_of_memory = shim_cgroup_oom_kills(&c->cgroup) > 0;
    shim_cgroup_remove(&c->cgroup);
}

static void finish(struct shim_container *c)
{
    if (c->report.state == SHIM_TERMINATED)
        return;
    int64_t now = wall_ns();
    struct mlt_text out = MLT_TEXT_INIT(CRI_FORMATTED_MAX);
    for (int i = 0; i < 2; i++)
        cri_stream_end(&c->streams[i], now, &out);
    cri_log_write(&c->log, mlt_text_string(&out), out.length, now);
    mlt_text_release(&out);
    for (int i = 0; i < SOURCE_COUNT; i++)
        source_close(&c->sources[i]);
    cri_log_close(&c->log);
    (void)uv_timer_stop(&c->timer);
    if (c->reaped)
        judge(c);
    c->report.state = SHIM_TERMINATED;
    c->report.finished_ms = now / 1000000;
    if (c->report.started_ms == 0)
        c->report.started_ms = c->report.finished_ms;
    c->changed(c->arg, c);
}

static void finish_when_drained(struct shim_container *c)
{
    bool open = false;
    for (int i = 0; i < SOURCE_COUNT; i++)
        open = open || c->sources[i].fd >= 0;
    if (c->reaped && !open)
        finish(c);
}

static void timer_fired(uv_timer_t *timer)
{
    finish(timer->data);
}

/* ---- output ---- */

static void status_line(struct shim_container *c, const char *line, size_t length)
{
    cleanup_json cJSON *object = NULL;
    if (json_parse(line, length, &object, NULL) < 0)
        return;
    int64_t pid = json_integer(object, "child-pid", 0);
    if (pid > 0 && !c->pid_known) {
        c->pid_known = true;
        if (shim_process_of((pid_t)pid, &c->report.process, NULL) == 0) {
            c->report.state = SHIM_RUNNING;
            c->report.started_ms = wall_ns() / 1000000;
            if (c->last_signal > 0) /* came too early for anybody to hear it */
                (void)shim_process_signal(&c->report.process, c->last_signal);
            c->changed(c->arg, c);
        }
    }
    if (json_member(object, "no-limit"))
        c->report.no_limit = true;
    if (json_member(object, "exit-code"))
        c->executed = true;
}

static void take_status(struct shim_container *c, const char *data, size_t length)
{
    mlt_text_add(&c->status, data, length);
    const char *newline;
    while (c->status.length > 0) {
        newline = memchr(c->status.data, '\n', c->status.length);
        if (!newline)
            break;
        size_t size = (size_t)(newline - c->status.data);
        status_line(c, c->status.data, size);
        mlt_text_consume(&c->status, size + 1);
    }
}

static void keep_tail(struct shim_container *c, const char *data, size_t length)
{
    size_t max = sizeof c->tail - 1;
    if (length >= max) {
        memcpy(c->tail, data + length - max, max);
        c->tail_used = max;
        return;
    }
    if (c->tail_used + length > max) {
        size_t drop = c->tail_used + length - max;
        memmove(c->tail, c->tail + drop, c->tail_used - drop);
        c->tail_used -= drop;
    }
    memcpy(c->tail + c->tail_used, data, length);
    c->tail_used += length;
}

static void take(struct shim_container *c, enum source_name name, const char *data, size_t length)
{
    if (name == SOURCE_STATUS) {
        take_status(c, data, length);
        return;
    }
    if (name == SOURCE_STDERR)
        keep_tail(c, data, length);
    int64_t now = wall_ns();
    struct mlt_text out = MLT_TEXT_INIT(CRI_FORMATTED_MAX);
    cri_stream_feed(&c->streams[name], data, length, now, &out);
    cri_log_write(&c->log, mlt_text_string(&out), out.length, now);
    mlt_text_release(&out);
}

/* Reads what is there, a bounded amount per turn so that one loud stream cannot starve the rest. */
static void source_read(struct source *s, int rounds)
{
    struct shim_container *c = s->container;
    enum source_name name = (enum source_name)(s - c->sources);
    char buffer[READ_SIZE];
    while (s->fd >= 0 && rounds-- > 0) {
        ssize_t length = read(s->fd, buffer, sizeof buffer);
        if (length > 0)
            take(c, name, buffer, (size_t)length);
        else if (length < 0 && errno == EINTR)
            continue;
        else if (length < 0 && errno == EAGAIN)
            return;
        else
            source_close(s);
    }
}

static void source_ready(uv_poll_t *poll, int status, int events)
{
    (void)status; /* an error shows in read() too */
    (void)events;
    struct source *s = (struct source *)((char *)poll - offsetof(struct source, poll));
    source_read(s, READ_ROUNDS);
    finish_when_drained(s->container);
}

bool shim_container_reaped(struct shim_container *c, pid_t pid, int wait_status)
{
    if (c->bwrap != pid || c->reaped)
        return false;
    c->reaped = true;
    c->wait_status = wait_status;
    for (int i = 0; i < SOURCE_COUNT; i++)
        source_read(&c->sources[i], INT_MAX);
    (void)uv_timer_start(&c->timer, timer_fired, SHIM_DRAIN_MS, 0);
    finish_when_drained(c);
    return true;
}

void shim_container_signal(struct shim_container *c, int signal_number)
{
    if (c->report.state == SHIM_TERMINATED)
        return;
    c->last_signal = signal_number;
    if (c->pid_known)
        (void)shim_process_signal(&c->report.process, signal_number);
    else if (signal_number == SIGKILL && c->bwrap > 0 && !c->reaped)
        (void)kill(c->bwrap, SIGKILL); /* our own child, not reaped yet: the id is still its own */
}

void shim_container_free(struct shim_container *c)
{
    if (!c)
        return;
    if (c->bwrap > 0 && !c->reaped)
        (void)kill(c->bwrap, SIGKILL);
    for (int i = 0; i < SOURCE_COUNT; i++)
        source_close(&c->sources[i]);
    cri_log_close(&c->log);
    c->freeing = true;
    uv_close((uv_handle_t *)&c->timer, handle_closed);
}

/* ---- the start ---- */

/* What the child has ready before the fork, so that it calls only async-signal-safe functions. */
struct launch {
    int out, err, options, status, cgroup, nothing;
    const char *program;
    char **argv;
};

static void reset_signals(void)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    for (int n = 1; n < NSIG; n++)
        (void)signal(n, SIG_DFL);
}

static void child_fails(const char *what)
{
    /* The words reach the log and the report the way bubblewrap's own do. */
    char text[256];
    int length = snprintf(text, sizeof text, "bwrap: %s: %s\n", what, strerrordesc_np(errno));
    if (length > 0)
        (void)!write(STDERR_FILENO, text, (size_t)length);
    _exit(SHIM_START_ERROR_CODE - 1);
}

static _Noreturn void child_main(const struct launch *l)
{
    /* Everything is moved above the places first: a source may sit on another's place. */
    int from[] = {l->nothing, l->out, l->err, l->options, l->status};
    int high[MLT_ARRAY_LENGTH(from)];
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(from); i++)
        high[i] = fcntl(from[i], F_DUPFD, 16);
    int cgroup = l->cgroup >= 0 ? fcntl(l->cgroup, F_DUPFD, 16) : -1;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(from); i++) {
        if (high[i] < 0 || dup2(high[i], (int)i) < 0)
            child_fails("cannot place a descriptor");
    }
    reset_signals();
    if (cgroup >= 0 && shim_cgroup_join(cgroup) < 0)
        (void)!write(STATUS_FD, NO_LIMIT_LINE, sizeof NO_LIMIT_LINE - 1);
    (void)close_range(FIRST_UNUSED_FD, ~0U, 0);
    (void)setpgid(0, 0);
    (void)execv(l->program, l->argv);
    child_fails(l->program);
    _exit(SHIM_START_ERROR_CODE - 1);
}

/* bubblewrap reads its options from a descriptor, NUL after each: the environment is among them,
 * and a command line can be read by everybody on the machine. */
static int options_file(char *const *options, struct mlt_error *err)
{
    struct mlt_text text = MLT_TEXT_INIT(SHIM_MESSAGE_MAX);
    for (size_t i = 0; options[i]; i++)
        mlt_text_add(&text, options[i], strlen(options[i]) + 1);
    cleanup_close int fd = memfd_create("bwrap-options", MFD_CLOEXEC);
    bool good = fd >= 0 && !text.failed &&
                write(fd, mlt_text_string(&text), text.length) == (ssize_t)text.length &&
                lseek(fd, 0, SEEK_SET) == 0;
    mlt_text_release(&text);
    if (!good)
        return mlt_fail(err, errno ? errno : EIO, "cannot hand over the sandbox's options");
    return steal_fd(&fd);
}

static int open_source(struct shim_container *c, uv_loop_t *loop, enum source_name name,
                       int *ret_write)
{
    int ends[2];
    struct source *s = &c->sources[name];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    s->fd = ends[0];
    s->container = c;
    *ret_write = ends[1];
    int rc = uv_poll_init(loop, &s->poll, s->fd);
    if (rc < 0)
        return rc;
    s->polled = true;
    s->poll.data = c;
    c->open_handles++;
    return uv_poll_start(&s->poll, UV_READABLE, source_ready);
}

static char **command_line(const struct shim_start *start)
{
    static const char *const head[] = {"bwrap", "--args", "3", "--json-status-fd", "4", "--"};
    size_t count = 0, used = 0;
    while (start->command[count])
        count++;
    char **argv = mlt_calloc(MLT_ARRAY_LENGTH(head) + count + 1, sizeof *argv);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(head); i++)
        argv[used++] = mlt_strdup(head[i]);
    for (size_t i = 0; i < count; i++)
        argv[used++] = mlt_strdup(start->command[i]);
    return argv;
}

static void free_command_line(char **argv)
{
    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
    free(argv);
}

static int spawn(struct shim_container *c, uv_loop_t *loop, const struct shim_start *start,
                 struct mlt_error *err)
{
    cleanup_close int out = -1, errors = -1, status = -1, options = -1, nothing = -1, procs = -1;
    if (open_source(c, loop, SOURCE_STDOUT, &out) < 0 ||
        open_source(c, loop, SOURCE_STDERR, &errors) < 0 ||
        open_source(c, loop, SOURCE_STATUS, &status) < 0)
        return mlt_fail(err, EMFILE, "cannot make the container's pipes");
    nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    options = options_file(start->options, err);
    if (options < 0 || nothing < 0)
        return options < 0 ? options : mlt_fail(err, errno, "cannot open /dev/null");
    procs = shim_cgroup_open_procs(&c->cgroup);
    char **argv = command_line(start);
    struct launch launch = {.out = out,
                            .err = errors,
                            .options = options,
                            .status = status,
                            .cgroup = procs,
                            .nothing = nothing,
                            .program = start->program,
                            .argv = argv};
    pid_t pid = fork();
    if (pid == 0)
        child_main(&launch);
    int code = errno;
    free_command_line(argv);
    if (pid < 0)
        return mlt_fail(err, code, "cannot fork: %s", strerror(code));
    c->bwrap = pid;
    return 0;
}

static void prepare_cgroup(struct shim_container *c, const struct shim_start *start)
{
    struct mlt_error err;
    if (!start->cgroup)
        return;
    if (shim_cgroup_create(start->cgroup, start->memory, &c->cgroup, &err) < 0 &&
        start->memory > 0) {
        mlt_log(MLT_LOG_WARNING, "no memory cgroup container=%s: %s", start->container, err.text);
        c->report.no_limit = true;
    }
}

struct shim_container *shim_container_start(uv_loop_t *loop, const struct shim_start *start,
                                            shim_container_changed_f *changed, void *arg)
{
    struct mlt_error err = {0};
    struct shim_container *c = mlt_calloc(1, sizeof *c);
    c->changed = changed;
    c->arg = arg;
    c->report.restart = start->restart;
    (void)snprintf(c->report.name, sizeof c->report.name, "%s", start->container);
    mlt_text_init(&c->status, STATUS_MAX);
    c->streams[CRI_STDERR].name = CRI_STDERR;
    c->log.fd = -1;
    for (int i = 0; i < SOURCE_COUNT; i++)
        c->sources[i].fd = -1;
    (void)uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    c->open_handles = 1;
    int rc = cri_log_open(&c->log, start->log, CRI_LOG_MAX_DEFAULT, &err);
    if (rc == 0) {
        prepare_cgroup(c, start);
        rc = spawn(c, loop, start, &err);
    }
    if (rc < 0) {
        c->report.start_error = true;
        c->report.exit_code = SHIM_START_ERROR_CODE;
        (void)snprintf(c->report.message, sizeof c->report.message, "%.*s", SHIM_TEXT_MAX - 1,
                       err.text);
        shim_cgroup_remove(&c->cgroup);
        (void)uv_timer_start(&c->timer, timer_fired, 0, 0);
    }
    return c;
}
