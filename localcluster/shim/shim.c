/* The shim of one pod: a small process in a session of its own, so that containers, logs and exit
 * codes do not depend on the agent.
 *
 * The program is started once per agent and then waits: for each socket that the agent hands it, it
 * forks a shim (a fork takes a fraction of a millisecond, loading a program tens of them). A shim
 * learns over its socket whose it is, and then listens on a socket in the pod's folder: an agent
 * that comes later connects there and is told what there is. The state of the containers is also in
 * a file, written beside and renamed at each change, for an agent that finds the shim dead. It must
 * never do anything that could end a container by accident: it ends only when told to leave, and
 * its containers end with it (bubblewrap --die-with-parent). */
#include "localcluster/shim/shim.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/number.h"
#include "lib/json/json.h"
#include "localcluster/shim/channel.h"
#include "localcluster/shim/container.h"
#include "localcluster/shim/wire.h"

#define EXIT_BAD_ARGUMENTS 64
#define LOOK_MS 20000 /* between two looks at the pod's folder */

struct shim {
    uv_loop_t loop;
    uv_signal_t children;
    uv_poll_t listener;
    uv_timer_t look; /* whether the pod's folder is still there */
    int listen_fd;
    struct shim_channel *agent;
    bool named, leaving;
    struct shim_container *containers[SHIM_CONTAINERS_MAX];
    size_t container_count;
};

/* ---- what is known, told and kept ---- */

static void save(const struct shim *s)
{
    cleanup_json cJSON *object = cJSON_CreateObject();
    cJSON *list = json_set_array(object, "containers");
    for (size_t i = 0; i < s->container_count; i++)
        json_append(list, shim_report_to_json(shim_container_report(s->containers[i])));
    cleanup_free char *text = json_print(object);
    cleanup_file FILE *file = fopen(SHIM_STATUS_FILE ".tmp", "we");
    bool good = file && fputs(text, file) >= 0 && fflush(file) == 0 &&
                rename(SHIM_STATUS_FILE ".tmp", SHIM_STATUS_FILE) == 0;
    if (!good)
        mlt_log(MLT_LOG_ERROR, "cannot write %s: %s", SHIM_STATUS_FILE, strerror(errno));
}

static bool all_ended(const struct shim *s)
{
    for (size_t i = 0; i < s->container_count; i++) {
        if (shim_container_report(s->containers[i])->state != SHIM_TERMINATED)
            return false;
    }
    return true;
}

static void leave_when_empty(struct shim *s)
{
    if (s->leaving && all_ended(s))
        uv_stop(&s->loop);
}

static void changed(void *arg, struct shim_container *c)
{
    struct shim *s = arg;
    save(s);
    if (s->agent)
        shim_channel_send(s->agent, shim_report_to_json(shim_container_report(c)));
    leave_when_empty(s);
}

static struct shim_container **find(struct shim *s, const char *name)
{
    for (size_t i = 0; i < s->container_count; i++) {
        if (strcmp(shim_container_report(s->containers[i])->name, name) == 0)
            return &s->containers[i];
    }
    return NULL;
}

/* ---- requests ---- */

/* An agent that was killed may not know that it asked already: the same start again is answered
 * with what became of the first. */
static void do_start(struct shim *s, const cJSON *message)
{
    struct mlt_error err;
    struct shim_start start;
    if (shim_start_from_json(message, &start, &err) < 0) {
        mlt_log(MLT_LOG_ERROR, "bad start: %s", err.text);
        return;
    }
    struct shim_container **place = find(s, start.container);
    if (place && (shim_container_report(*place)->restart >= start.restart ||
                  shim_container_report(*place)->state != SHIM_TERMINATED)) {
        shim_channel_send(s->agent, shim_report_to_json(shim_container_report(*place)));
    } else if (!s->leaving && (place || s->container_count < SHIM_CONTAINERS_MAX)) {
        struct shim_container *started = shim_container_start(&s->loop, &start, changed, s);
        if (place)
            shim_container_free(*place);
        else
            place = &s->containers[s->container_count++];
        *place = started;
        save(s);
    }
    shim_start_release(&start);
}

static void signal_all(struct shim *s, int number)
{
    for (size_t i = 0; i < s->container_count; i++)
        shim_container_signal(s->containers[i], number);
}

static void do_signal(struct shim *s, const cJSON *message)
{
    int number = (int)json_integer(message, "signal", 0);
    const char *name = json_string(message, "container", NULL);
    struct shim_container **one = name ? find(s, name) : NULL;
    if (number <= 0 || number >= NSIG)
        mlt_log(MLT_LOG_ERROR, "signal %d is no signal", number);
    else if (!name)
        signal_all(s, number);
    else if (one)
        shim_container_signal(*one, number);
}

static void do_leave(struct shim *s)
{
    s->leaving = true;
    signal_all(s, SIGKILL);
    leave_when_empty(s);
}

static int listen_here(struct shim *s);

/* Somebody removed the cluster's folder under a pod: no agent can ever come back for it. */
static void look(uv_timer_t *timer)
{
    struct shim *s = timer->data;
    struct stat here;
    if (stat(".", &here) == 0 && here.st_nlink > 0)
        return;
    mlt_log(MLT_LOG_ERROR, "the pod's folder was removed: its containers are ended");
    do_leave(s);
}

static void do_pod(struct shim *s, const cJSON *message)
{
    const char *dir = json_string(message, "dir", "");
    if (s->named)
        return;
    s->named = true;
    if (chdir(dir) < 0 || listen_here(s) < 0) {
        mlt_log(MLT_LOG_ERROR, "cannot work in %s: %s", dir, strerror(errno));
        uv_stop(&s->loop);
    }
    (void)uv_timer_start(&s->look, look, LOOK_MS, LOOK_MS);
}

static void on_message(void *arg, const cJSON *message)
{
    struct shim *s = arg;
    const char *verb = json_string(message, "do", "");
    if (strcmp(verb, "pod") == 0)
        do_pod(s, message);
    else if (!s->named)
        mlt_log(MLT_LOG_ERROR, "`%s` before `pod`", verb);
    else if (strcmp(verb, "start") == 0)
        do_start(s, message);
    else if (strcmp(verb, "signal") == 0)
        do_signal(s, message);
    else if (strcmp(verb, "leave") == 0)
        do_leave(s);
    else
        mlt_log(MLT_LOG_ERROR, "unknown request `%s`", verb);
}

/* The agent has gone: wait for the next one. A shim that was never given a pod has no purpose. */
static void on_ended(void *arg, const char *why)
{
    struct shim *s = arg;
    (void)why;
    shim_channel_close(s->agent);
    s->agent = NULL;
    if (!s->named)
        uv_stop(&s->loop);
}

static const struct shim_channel_ops agent_ops = {.message = on_message, .ended = on_ended};

/* ---- later agents ---- */

static cJSON *hello(void)
{
    struct shim_process self = {0};
    cJSON *message = cJSON_CreateObject();
    if (shim_process_of(getpid(), &self, NULL) < 0)
        self.pid = getpid();
    json_set_bool(message, "hello", true);
    json_set_integer(message, "pid", self.pid);
    json_set_integer(message, "startTicks", (int64_t)self.start_ticks);
    return message;
}

/* The newest agent wins: an older connection belongs to an agent that was replaced. */
static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct shim *s = poll->data;
    struct mlt_error err;
    (void)status;
    (void)events;
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    shim_channel_close(s->agent);
    s->agent = NULL;
    if (shim_channel_open(&s->loop, fd, &agent_ops, s, &s->agent, &err) < 0) {
        mlt_log(MLT_LOG_ERROR, "cannot talk to the agent: %s", err.text);
        return;
    }
    shim_channel_send(s->agent, hello());
    for (size_t i = 0; i < s->container_count; i++)
        shim_channel_send(s->agent, shim_report_to_json(shim_container_report(s->containers[i])));
    cJSON *synced = cJSON_CreateObject();
    json_set_bool(synced, "synced", true);
    shim_channel_send(s->agent, synced);
}

static int listen_here(struct shim *s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SHIM_SOCKET};
    s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)unlink(SHIM_SOCKET);
    if (s->listen_fd < 0 ||
        bind(s->listen_fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(s->listen_fd, 4) < 0 || uv_poll_init(&s->loop, &s->listener, s->listen_fd) < 0)
        return -1;
    s->listener.data = s;
    return uv_poll_start(&s->listener, UV_READABLE, on_connection);
}

/* ---- main ---- */

static void on_child(uv_signal_t *handle, int number)
{
    struct shim *s = handle->data;
    (void)number;
    for (;;) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            return;
        for (size_t i = 0; i < s->container_count; i++) {
            if (shim_container_reaped(s->containers[i], pid, status))
                break;
        }
    }
}

struct arguments {
    int64_t fd;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    struct mlt_error err;
    switch (key) {
    case 'f':
        if (mlt_parse_integer(value, 3, 1023, &a->fd, &err) < 0)
            argp_error(state, "--fd: %s", err.text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int run(struct shim *s, int fd)
{
    struct mlt_error err;
    int rc = uv_loop_init(&s->loop);
    if (rc < 0) {
        mlt_log(MLT_LOG_ERROR, "no event loop: %s", uv_strerror(rc));
        return 1;
    }
    if (shim_channel_open(&s->loop, fd, &agent_ops, s, &s->agent, &err) < 0) {
        mlt_log(MLT_LOG_ERROR, "cannot talk to the agent: %s", err.text);
        return 1;
    }
    (void)uv_timer_init(&s->loop, &s->look);
    s->look.data = s;
    (void)uv_signal_init(&s->loop, &s->children);
    s->children.data = s;
    (void)uv_signal_start(&s->children, on_child, SIGCHLD);
    shim_channel_send(s->agent, hello());
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    /* Everything ends with the process: the containers have ended, the socket file is removed. */
    if (s->named)
        (void)unlink(SHIM_SOCKET);
    return 0;
}

/* Takes the next socket from the agent; -1 when the agent has gone. */
static int next_socket(int fd)
{
    char byte;
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    for (;;) {
        ssize_t length = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        if (length < 0 && errno == EINTR)
            continue;
        const struct cmsghdr *header = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;
        if (!header || header->cmsg_type != SCM_RIGHTS)
            return -1;
        int received;
        memcpy(&received, CMSG_DATA(header), sizeof received);
        return received;
    }
}

static int serve(int fd)
{
    static struct shim shim;
    (void)signal(SIGCHLD, SIG_IGN); /* shims that end are reaped by the kernel */
    for (;;) {
        int socket_of_shim = next_socket(fd);
        if (socket_of_shim < 0)
            return 0;
        pid_t pid = fork();
        if (pid == 0) {
            (void)close(fd);
            (void)setsid();
            (void)signal(SIGCHLD, SIG_DFL);
            return run(&shim, socket_of_shim);
        }
        if (pid < 0)
            mlt_log(MLT_LOG_ERROR, "cannot fork: %s", strerror(errno));
        (void)close(socket_of_shim); /* on failure the agent sees the end of it */
    }
}

int shim_main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"fd", 'f', "N", 0, "Socket of the agent (default 3)", 0}, {0}};
    static const struct argp argp = {
        options, parse_option,
        NULL,    "Holds the containers of pods. Started by the agent; of no use by hand.",
        NULL,    NULL,
        NULL};
    struct arguments arguments = {.fd = 3};
    argp_err_exit_status = EXIT_BAD_ARGUMENTS;
    if (argp_parse(&argp, argc, argv, 0, NULL, &arguments) != 0)
        return EXIT_BAD_ARGUMENTS;
    mlt_log_start("shim", MLT_LOG_INFO);
    /* Nothing of the agent may be held open by a program that outlives it. */
    (void)close_range((unsigned)arguments.fd + 1, ~0U, 0);
    (void)fcntl((int)arguments.fd, F_SETFD, FD_CLOEXEC);
    (void)setsid();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN); /* a shim leaves when told over its socket, or by SIGKILL */
    return serve((int)arguments.fd);
}
