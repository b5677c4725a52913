/* Shims from the agent's side: one is always started ahead, so that a pod does not wait for a
 * program to load; reports become knowledge. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "localcluster/agent/internal.h"
#include "localcluster/agent/pod_folder.h"
#include "localcluster/shim/cgroup.h"

/* ---- reports ---- */

static size_t index_of(const struct pod *p, const char *name)
{
    size_t i = 0;
    while (i < p->known.container_count && strcmp(p->known.containers[i].current.name, name) != 0)
        i++;
    return i;
}

static void announce(struct pod *p, const struct shim_report *r)
{
    if (r->no_limit && !p->agent->limits_told) {
        p->agent->limits_told = true;
        events_record(p->agent, p->spec, "Warning", "NoMemoryLimit",
                      "This node cannot make memory cgroups: memory limits are not enforced");
    }
    if (r->state == SHIM_RUNNING)
        events_record(p->agent, p->spec, "Normal", "Started", "Started container %s", r->name);
    else if (r->start_error)
        events_record(p->agent, p->spec, "Warning", "Failed", "Error: container %s: %s", r->name,
                      r->message);
}

static void take_report(struct pod *p, const struct shim_report *report)
{
    size_t i = index_of(p, report->name);
    if (i < p->known.container_count)
        p->shim_reported[i] = true;
    if (!pod_known_report(&p->known, report, agent_now(p->agent).mono_ms))
        return;
    if (!p->adopting)
        announce(p, report);
    pod_save(p);
}

static void on_message(void *arg, const cJSON *message)
{
    struct pod *p = arg;
    struct shim_report report;
    struct mlt_error err;
    if (json_bool(message, "hello", false)) {
        p->known.shim = (struct shim_process){(pid_t)json_integer(message, "pid", 0),
                                              (uint64_t)json_integer(message, "startTicks", 0)};
        pod_save(p);
        return;
    }
    if (json_bool(message, "synced", false)) {
        p->adopting = false;
        pod_known_synced(&p->known, p->shim_reported);
        pod_save(p);
    } else if (shim_report_from_json(message, &report, &err) < 0) {
        mlt_log(MLT_LOG_ERROR, "shim of pod=%s/%s: %s", p->known.namespace_, p->known.name,
                err.text);
        return;
    } else {
        take_report(p, &report);
    }
    pod_step(p);
}

/* bubblewrap binds a container's life to the shim's only just before it executes the command; what
 * was still on its way there when the shim died is ended here. */
void shim_kill_strays(const struct pod *p)
{
    for (size_t i = 0; i < p->known.container_count; i++) {
        const struct pod_container_known *c = &p->known.containers[i];
        if (c->state == POD_CONTAINER_RUNNING)
            (void)shim_process_signal(&c->current.process, SIGKILL);
    }
}

/* The shim could not remove these any more. By now what ran in them has ended, or never will. */
void shim_forget_cgroups(const struct pod *p)
{
    char name[SHIM_CGROUP_NAME_MAX];
    for (size_t i = 0; i < p->known.container_count; i++) {
        const struct pod_resource *memory = pod_resource_find(&p->spec->containers[i], "memory");
        if (!memory || memory->limit <= 0)
            continue;
        shim_cgroup_name(p->spec->uid, p->spec->containers[i].name, p->known.containers[i].restarts,
                         name);
        shim_cgroup_forget(name);
    }
}

static void on_ended(void *arg, const char *why)
{
    struct pod *p = arg;
    char text[256];
    shim_channel_close(p->shim);
    p->shim = NULL;
    p->adopting = false;
    if (p->known.sandbox) {
        (void)snprintf(text, sizeof text,
                       "the pod's shim (process %d) ended unexpectedly, and the sandbox with it",
                       (int)p->known.shim.pid);
        mlt_log(MLT_LOG_WARNING, "pod=%s/%s: %s: %s", p->known.namespace_, p->known.name, text,
                why);
        struct pod_now now = agent_now(p->agent);
        shim_kill_strays(p);
        pod_known_lost(&p->known, text, now.wall_ms, now.mono_ms);
        pod_save(p);
    }
    pod_step(p);
}

static const struct shim_channel_ops shim_ops = {.message = on_message, .ended = on_ended};

void shim_reports_from_file(struct pod *p)
{
    char path[PATH_MAX];
    cleanup_json cJSON *object = NULL;
    (void)snprintf(path, sizeof path, "%.4000s/%s", p->folder, SHIM_STATUS_FILE);
    if (file_read_json(path, &object, NULL) < 0)
        return;
    const cJSON *item;
    cJSON_ArrayForEach(item, json_member(object, "containers"))
    {
        struct shim_report report;
        if (shim_report_from_json(item, &report, NULL) == 0)
            (void)pod_known_report(&p->known, &report, agent_now(p->agent).mono_ms);
    }
}

/* ---- processes ---- */

static void process_closed(uv_handle_t *handle)
{
    free(handle);
}

/* The exit of a shim shows as the end of its socket; here it is only reaped. */
static void process_exited(uv_process_t *process, int64_t status, int signal_number)
{
    (void)status;
    (void)signal_number;
    uv_close((uv_handle_t *)process, process_closed);
}

static int spawn(struct agent *a, struct mlt_error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return mlt_fail(err, errno, "socketpair: %s", strerror(errno));
    cleanup_close int ours = ends[0], theirs = ends[1];
    char program[] = "mltrain-localcluster", verb[] = "shim";
    char *argv[] = {program, verb, NULL};
    uv_stdio_container_t stdio[4] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = theirs},
    };
    uv_process_options_t options = {
        .file = "/proc/self/exe", /* also right when the file was replaced since */
        .args = argv,
        .exit_cb = process_exited,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = 4,
    };
    uv_process_t *process = mlt_calloc(1, sizeof *process);
    int rc = uv_spawn(&a->loop, process, &options);
    uv_unref((uv_handle_t *)process);
    if (rc < 0) {
        uv_close((uv_handle_t *)process, process_closed);
        return mlt_fail(err, -rc, "cannot start the program of shims: %s", uv_strerror(rc));
    }
    if (a->forker_fd >= 0)
        (void)close(a->forker_fd);
    a->forker_fd = steal_fd(&ours);
    return 0;
}

void shim_prepare(struct agent *a)
{
    struct mlt_error err;
    if (a->forker_fd < 0 && spawn(a, &err) < 0)
        mlt_log(MLT_LOG_ERROR, "%s", err.text);
}

/* Hands over one end of a socket: the other end speaks with a shim of its own. */
static int hand_over(int forker_fd, int fd)
{
    char byte = 's';
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(forker_fd, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int shim_take(struct pod *p, struct mlt_error *err)
{
    struct agent *a = p->agent;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return mlt_fail(err, errno, "socketpair: %s", strerror(errno));
    cleanup_close int ours = ends[0], theirs = ends[1];
    int rc = a->forker_fd >= 0 ? hand_over(a->forker_fd, theirs) : -EPIPE;
    if (rc < 0) { /* somebody killed it: start another */
        rc = spawn(a, err);
        if (rc == 0 && hand_over(a->forker_fd, theirs) < 0)
            rc = mlt_fail(err, EPIPE, "the program of shims does not take a socket");
    }
    if (rc == 0)
        rc = shim_channel_open(&a->loop, steal_fd(&ours), &shim_ops, p, &p->shim, err);
    if (rc < 0)
        return rc;
    p->known.shim = (struct shim_process){0}; /* comes with its hello */
    cJSON *pod = cJSON_CreateObject();
    json_set_string(pod, "do", "pod");
    json_set_string(pod, "dir", p->folder);
    shim_channel_send(p->shim, pod);
    return 0;
}

/* The path of a unix socket has 108 bytes; a descriptor of the folder makes any path short. */
int shim_connect(const char *pod_folder, struct mlt_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int dir = open(pod_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (dir < 0 || fd < 0)
        return mlt_fail(err, errno, "%s: %s", pod_folder, strerror(errno));
    (void)snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dir,
                   SHIM_SOCKET);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return mlt_fail(err, errno, "no shim answers in %s: %s", pod_folder, strerror(errno));
    return steal_fd(&fd);
}

int shim_adopt(struct pod *p, struct mlt_error *err)
{
    int fd = shim_connect(p->folder, err);
    if (fd < 0)
        return fd;
    p->adopting = true;
    memset(p->shim_reported, 0, sizeof p->shim_reported);
    return shim_channel_open(&p->agent->loop, fd, &shim_ops, p, &p->shim, err);
}
