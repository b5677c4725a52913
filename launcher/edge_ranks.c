/* The edge's processes: starting ranks, knowing their ends, signals and the kill. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/edge_helper.h"
#include "launcher/edge_internal.h"
#include "launcher/edge_remote.h"
#include "launcher/shm_clean.h"
#include "launcher/torchrun.h"

/* ---- starting ---- */

/* Called at WELCOME: what ranks need is taken before START. */
void edge_reserve_ranks(struct edge *e)
{
    uint32_t need = supervisor_welcome(e->supervisor)->nproc;
    if (need <= e->ranks_capacity)
        return;
    struct edge_rank *ranks = realloc(e->ranks, need * sizeof *ranks);
    if (!ranks)
        return; /* edge_spawn() reports the ranks that have no place */
    memset(ranks + e->ranks_capacity, 0, (need - e->ranks_capacity) * sizeof *ranks);
    /* Streams of former attempts point to tails. */
    e->ranks = ranks;
    e->ranks_capacity = need;
    edge_output_detach(e);
}

static void make_error_folder(struct edge *e, uint32_t process, uint64_t attempt, char *file)
{
    char path[PATH_MAX - 16];
    const char *dir = e->config->dir;
    char names[2][32];
    file[0] = '\0';
    if (!dir[0])
        return;
    (void)snprintf(names[0], sizeof names[0], "%llu", (unsigned long long)attempt);
    (void)snprintf(names[1], sizeof names[1], "rank-%u",
                   supervisor_start(e->supervisor)->rank_base + process);
    const char *const steps[] = {"attempts", names[0], names[1]};
    int length = snprintf(path, sizeof path, "%s", dir);
    for (size_t i = 0; i < 3; i++) {
        length += snprintf(path + length, sizeof path - (size_t)length, "/%s", steps[i]);
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            if (!e->told_error_files)
                edge_log(e, "no error files: make folder %s: %s", path, strerror(errno));
            e->told_error_files = true;
            return;
        }
    }
    (void)snprintf(file, PATH_MAX, "%s/error.json", path);
}

static uint32_t cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (uint32_t)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

/* One's own memory may always be read, unless the container's seccomp profile refuses the call as such. */
static bool process_vm_is_refused(void)
{
    char from = 1, to = 0;
    struct iovec source = {&from, 1}, target = {&to, 1};
    return process_vm_readv(getpid(), &target, 1, &source, 1, 0) != 1;
}

struct rank_env_input edge_env_input(const struct edge *e, uint32_t process, int pmi_fd)
{
    const struct launcher_config *c = e->config;
    const struct rendezvous_welcome *welcome = supervisor_welcome(e->supervisor);
    const struct rendezvous_start *start = supervisor_start(e->supervisor);
    static const struct rendezvous_start none = {
        .master_address = "", .resume_step = RENDEZVOUS_NO_STEP, .resume_path = ""};
    return (struct rank_env_input){
        .base = (const char *const *)c->environment,
        .job = c->job,
        .job_namespace = c->job_namespace,
        .job_uid = c->job_uid,
        .role = c->role,
        .error_file = e->ranks[process].error_file,
        .socket = sdk_socket_path(e->sdk),
        .python_path = e->python_path,
        .launcher_id = e->launcher_id,
        .nccl_socket_ifname = e->nccl_socket_ifname,
        .pod_ip = c->pod_ip,
        .pmi_fd = pmi_fd,
        .pmix = edge_helper_environment(e->mpi.helper, process),
        .mpi_folder = edge_helper_folder(e->mpi.helper),
        .mpi_shared = edge_helper_shared(e->mpi.helper),
        .attempt = supervisor_attempt(e->supervisor),
        .local_rank = process,
        .cpus = cpus(),
        .no_process_vm = process_vm_is_refused(),
        .nproc_option = torchrun_nproc_option((const char *const *)c->command),
        .once_per_pod = supervisor_processes(e->supervisor) < welcome->nproc,
        .welcome = welcome,
        .start = start ? start : &none};
}

/* What is the same in each pod and each attempt: an event of the job is enough once. */
static void tell_once(struct edge *e, enum rendezvous_severity severity, const char *reason,
                      const char *words, const struct mlt_text *names)
{
    const char *list = mlt_text_string(names), *more = names->failed ? " ..." : "";
    if (names->length == 0)
        return;
    if (edge_speaks_for_all(e) && supervisor_attempt(e->supervisor) == 1)
        edge_notice(e, severity, reason, "%s: %s%s", words, list, more);
    else
        edge_log(e, "%s: %s%s", words, list, more);
}

/* Says once what of the user's environment had to give way. */
static void tell_overrides(struct edge *e)
{
    if (e->told_overrides)
        return;
    e->told_overrides = true;
    struct rank_env_input input = edge_env_input(e, 0, -1);
    struct rank_env env;
    struct rank_env_notes notes = {.overridden = MLT_TEXT_INIT(EDGE_NAMES_MAX),
                                   .removed = MLT_TEXT_INIT(EDGE_NAMES_MAX)};
    rank_env_build(&input, &env, &notes);
    tell_once(e, RENDEZVOUS_SEVERITY_WARNING, "ReservedEnvironment",
              "these names are reserved, the job's own values were overridden", &notes.overridden);
    tell_once(e, RENDEZVOUS_SEVERITY_NORMAL, "ForeignEnvironment",
              "removed from the environment, so that no rank believes that it runs under another "
              "system",
              &notes.removed);
    mlt_text_release(&notes.overridden);
    mlt_text_release(&notes.removed);
    rank_env_release(&env);
    const char *asked = input.nproc_option;
    char given[16];
    (void)snprintf(given, sizeof given, "%u", input.welcome->nproc);
    if (input.once_per_pod && asked && strcmp(asked, given) != 0)
        edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "TorchrunProcesses",
                    "the command asks torchrun for %.32s processes, nprocPerNode is %s", asked,
                    given);
}

/* One of a rank's pipes: the read end goes to the relay, the write end to the rank. */
static int make_pipe(struct edge *e, uint32_t process, int which, int *ret_write)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    (void)fcntl(ends[1], F_SETPIPE_SZ,
                OUTPUT_PIPE_SIZE); /* a user's sum is limited: then smaller */
    int rc = fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
    if (rc == 0)
        rc = edge_output_add(e, ends[0], which, process, supervisor_attempt(e->supervisor));
    if (rc < 0) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        return rc;
    }
    *ret_write = ends[1];
    return 0;
}

static int start_process(struct edge *e, uint32_t process, int status)
{
    struct edge_rank *rank = &e->ranks[process];
    struct mlt_error err = {0};
    int out = -1, errors = -1, pmi = -1;
    make_error_folder(e, process, supervisor_attempt(e->supervisor), rank->error_file);
    int rc = make_pipe(e, process, 0, &out);
    if (rc == 0)
        rc = make_pipe(e, process, 1, &errors);
    if (rc == 0 && e->mpi.is_on && e->mpi.wireup.wireup == RENDEZVOUS_WIREUP_PMI1)
        rc = edge_pmi1_add(e, process, &pmi);
    if (rc == 0) {
        char *const *keeper = edge_rsh_keeper(e);
        struct rank_env_input input = e->mpi.rsh.is_on && !keeper
                                          ? edge_rsh_environment(e, RANK_ENV_RSH_COMMAND)
                                          : edge_env_input(e, process, pmi);
        struct rank_spawn what = {.saved = e->saved,
                                  .command = keeper ? keeper : e->config->command,
                                  .env = &input,
                                  .process = process,
                                  .out = out,
                                  .err = errors,
                                  .keep = pmi,
                                  .in = -1,
                                  .status = status};
        rc = rank_spawn(&what, &rank->pid, &err);
    }
    if (out >= 0)
        (void)close(out);
    if (errors >= 0)
        (void)close(errors);
    if (pmi >= 0)
        (void)close(pmi);
    if (rc < 0)
        return rc;
    rank->running = true;
    reap_remember(&e->reap, rank->pid);
    return 0;
}

static void finish_spawn(struct edge *e);

static void status_readable(uv_poll_t *poll, int status, int events)
{
    struct edge *e = poll->data;
    (void)status;
    (void)events;
    struct rank_spawn_failure failure;
    ssize_t n = read(e->status_fd, &failure, sizeof failure);
    for (; n == (ssize_t)sizeof failure; n = read(e->status_fd, &failure, sizeof failure)) {
        if (failure.process >= e->ranks_count)
            continue;
        e->ranks[failure.process].exec_errno = failure.error;
        edge_log(e, "%s could not be started: %s", e->config->command[0], strerror(failure.error));
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    finish_spawn(e);
}

/* Every rank has exec'd, or failed. */
static void finish_spawn(struct edge *e)
{
    edge_poll_free(&e->status_poll);
    if (e->status_fd >= 0)
        (void)close(e->status_fd);
    e->status_fd = -1;
    for (uint32_t i = 0; i < e->ranks_count; i++)
        e->spawned_pids[i] = e->ranks[i].exec_errno ? 0 : (uint32_t)e->ranks[i].pid;
    struct supervisor_event event = {
        .kind = SUPERVISOR_ON_SPAWNED,
        .spawned = {.pids = e->spawned_pids,
                    .count = e->ranks_count,
                    .start_to_exec_us = (uv_hrtime() - e->spawn_began_ns) / 1000}};
    edge_post(e, &event);
    edge_deliver_exits(e);
}

static void prepare_spawn(struct edge *e)
{
    e->spawn_began_ns = uv_hrtime();
    if (e->first_start.tv_sec == 0)
        (void)clock_gettime(CLOCK_REALTIME_COARSE, &e->first_start);
    if (cgroup_memory_kills(&e->cgroup, &e->oom_kills) < 0)
        e->cgroup.file[0] = '\0'; /* then no end is blamed on memory */
    edge_output_detach(e);
    edge_save_restart(e);
    edge_help_nccl(e);
    edge_mpi_begin(e);
    uint32_t processes = supervisor_processes(e->supervisor);
    e->ranks_count = processes < e->ranks_capacity ? processes : e->ranks_capacity;
    for (uint32_t i = 0; i < e->ranks_count; i++) {
        struct edge_rank *rank = &e->ranks[i];
        rank->pid = 0;
        rank->running = rank->ended = rank->delivered = rank->left = false;
        rank->status = rank->exec_errno = 0;
        rank->heard_ms = edge_now_ms(e);
        rank->tail.at = 0;
        rank->tail.full = false;
    }
}

void edge_spawn(struct edge *e)
{
    prepare_spawn(e);
    struct rank_env_input input = edge_env_input(e, 0, -1);
    if (!edge_mpi_serve(e, &input))
        edge_spawn_ranks(e);
}

void edge_spawn_none(struct edge *e)
{
    for (uint32_t i = 0; i < e->ranks_count; i++) {
        e->ranks[i].ended = true;
        e->ranks[i].status = SIGKILL;
    }
    finish_spawn(e);
}

void edge_spawn_ranks(struct edge *e)
{
    int status[2] = {-1, -1};
    int rc = pipe2(status, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
    for (uint32_t i = 0; i < e->ranks_count; i++) {
        int failed = rc < 0 ? rc : start_process(e, i, status[1]);
        if (failed < 0) {
            e->ranks[i].ended = true;
            e->ranks[i].exec_errno = -failed;
            edge_log(e, "rank %u could not be started: %s",
                     supervisor_start(e->supervisor)->rank_base + i, strerror(-failed));
        }
    }
    if (status[1] >= 0)
        (void)close(status[1]);
    e->status_fd = status[0];
    tell_overrides(e);
    edge_watch_start(e);
    if (status[0] >= 0)
        e->status_poll = edge_poll_new(e, status[0], e);
    if (e->status_poll)
        (void)uv_poll_start(e->status_poll, UV_READABLE, status_readable);
    else
        finish_spawn(e);
}

/* ---- ends ---- */

/* The words that go with a rank's end: what it wrote into its error file, its last output, and what
 * there is to say of it here (`words`, "" for nothing): people are shown the last line first. */
static const char *tail_of(struct edge_rank *rank, const char *words)
{
    char output[OUTPUT_TAIL_SIZE + 1], message[ERROR_FILE_MESSAGE_MAX] = "";
    output_tail_text(&rank->tail, output);
    if (rank->error_file[0])
        error_file_read(rank->error_file, message);
    size_t taken = strlen(message) + strlen(words) + (message[0] ? 1 : 0) + (words[0] ? 1 : 0);
    size_t room = RENDEZVOUS_TAIL_MAX - taken, length = strlen(output);
    while (length && output[length - 1] == '\n' && words[0])
        output[--length] = '\0';
    const char *start = output + (length > room ? length - room : 0);
    while ((*start & 0xc0) == 0x80)
        start++; /* not in the middle of a character */
    (void)snprintf(rank->tail_text, sizeof rank->tail_text, "%s%s%s%s%s", message,
                   message[0] ? "\n" : "", start, words[0] && *start ? "\n" : "", words);
    return rank->tail_text;
}

static bool was_out_of_memory(struct edge *e, int status)
{
    uint64_t kills;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL ||
        cgroup_memory_kills(&e->cgroup, &kills) < 0 || kills <= e->oom_kills)
        return false;
    e->oom_kills = kills;
    return true;
}

static void deliver(struct edge *e, uint32_t process)
{
    struct edge_rank *rank = &e->ranks[process];
    rank->delivered = true;
    edge_output_drain(e, process, supervisor_attempt(e->supervisor));
    edge_watch_flush(e); /* the last step counts when the work lost is told */
    struct mpi_rank_end end = {.code = WIFEXITED(rank->status) ? WEXITSTATUS(rank->status) : 0,
                               .signal = WIFSIGNALED(rank->status) ? WTERMSIG(rank->status) : 0};
    if (!rank->exec_errno)
        edge_mpi_judge(e, process, &end);
    rank->left = !rank->exec_errno && end.code == 0 && end.signal == 0;
    struct supervisor_event event = {
        .kind = SUPERVISOR_ON_RANK_EXITED,
        .rank_exited = {.process = process,
                        .code = end.code,
                        .signal = end.signal,
                        .exec_errno = rank->exec_errno,
                        .out_of_memory = was_out_of_memory(e, rank->status),
                        .tail = tail_of(rank, end.words)}};
    edge_post(e, &event);
}

/* Ends are told after STARTED, unless the attempt is being stopped anyway. */
void edge_deliver_exits(struct edge *e)
{
    if (supervisor_state(e->supervisor) == SUPERVISOR_STARTING && e->status_fd >= 0)
        return;
    for (uint32_t i = 0; i < e->ranks_count; i++)
        if (e->ranks[i].ended && !e->ranks[i].delivered)
            deliver(e, i);
}

/* Everything that has ended, ours or adopted. */
static void reap_children(struct edge *e)
{
    int status;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
        if (edge_watch_reaped(e, pid) || edge_helper_reaped(e->mpi.helper, pid, status) ||
            edge_remote_reaped(e->mpi.rsh.remote, pid, status))
            continue;
        for (uint32_t i = 0; i < e->ranks_count; i++)
            if (e->ranks[i].running && e->ranks[i].pid == pid) {
                e->ranks[i].running = false;
                e->ranks[i].ended = true;
                e->ranks[i].status = status;
            }
    }
}

static bool some_run(const struct edge *e)
{
    for (uint32_t i = 0; i < e->ranks_count; i++)
        if (e->ranks[i].running)
            return true;
    return false;
}

static void kill_step(struct edge *e);

static void child_ended(uv_signal_t *handle, int signal)
{
    struct edge *e = handle->data;
    (void)signal;
    reap_children(e);
    edge_deliver_exits(e);
    if (e->killing && !some_run(e))
        kill_step(e);
}

/* ---- signals and the kill ---- */

void edge_signal(struct edge *e, int signal)
{
    if (e->mpi.waits)
        edge_mpi_stop(e); /* nobody is there who would understand the signal */
    if (edge_rsh_spares(e, signal))
        return;
    for (uint32_t i = 0; i < e->ranks_count; i++)
        if (e->ranks[i].running && kill(-e->ranks[i].pid, signal) < 0)
            (void)kill(e->ranks[i].pid, signal); /* forked, and not yet in a group of its own */
}

static void kill_again(uv_timer_t *timer)
{
    kill_step(timer->data);
}

/* Without /proc only the ranks and their groups can be reached. */
static int kill_groups(struct edge *e)
{
    edge_signal(e, SIGKILL);
    int left = 0;
    for (uint32_t i = 0; i < e->ranks_count; i++)
        left += e->ranks[i].running;
    return left;
}

static void kill_step(struct edge *e)
{
    if (!e->killing)
        return;
    int left = reap_kill_all(&e->reap, &e->scan_pid, e->scan_pid ? 1 : 0);
    if (left < 0)
        left = kill_groups(e);
    reap_children(e);
    edge_deliver_exits(e);
    if (left == 0 && !some_run(e)) {
        e->killing = false;
        (void)uv_timer_stop(&e->kill_timer);
        reap_forget(&e->reap);
        edge_mpi_end(e);
        if (e->status_fd >= 0) {
            edge_poll_free(&e->status_poll);
            (void)close(e->status_fd);
            e->status_fd = -1;
        }
        edge_post(e, &(struct supervisor_event){.kind = SUPERVISOR_ON_GONE});
        return;
    }
    (void)uv_timer_start(&e->kill_timer, kill_again, e->kill_wait_ms, 0);
    if (e->kill_wait_ms < EDGE_KILL_WALK_MS_MAX)
        e->kill_wait_ms *= 2;
}

void edge_kill_all(struct edge *e)
{
    edge_mpi_stop(e);
    e->killing = true;
    e->kill_wait_ms = EDGE_KILL_WALK_MS_MIN;
    uv_update_time(&e->loop);
    kill_step(e);
}

/* ---- between attempts ---- */

void edge_clean_up(struct edge *e)
{
    if (e->first_start.tv_sec && e->config->dir[0]) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s/attempts", e->config->dir) < (int)sizeof path)
            shm_clean_folder(path);
    }
    if (e->first_start.tv_sec && shm_clean_is_safe()) {
        size_t bytes = 0;
        int removed = shm_clean("/dev/shm", &e->first_start, &bytes);
        if (removed > 0)
            edge_log(e, "removed %d leftover%s of the last attempt from /dev/shm (%zu KiB)",
                     removed, removed == 1 ? "" : "s", bytes / 1024);
    }
    if (e->ranks_capacity) {
        struct rank_env_input input = edge_env_input(e, 0, -1);
        edge_mpi_prepare(e, &input);
    }
    edge_post(e, &(struct supervisor_event){.kind = SUPERVISOR_ON_CLEANED});
}

int edge_ranks_init(struct edge *e, struct mlt_error *err)
{
    reap_init(&e->reap, e->launcher_id);
    cgroup_memory_find(&e->cgroup, "/proc/self/cgroup", "/sys/fs/cgroup");
    (void)uv_timer_init(&e->loop, &e->kill_timer);
    e->kill_timer.data = e;
    int rc = uv_signal_init(&e->loop, &e->on_child);
    e->on_child.data = e;
    if (rc == 0)
        rc = uv_signal_start(&e->on_child, child_ended, SIGCHLD);
    return rc < 0 ? mlt_fail(err, -rc, "SIGCHLD cannot be watched: %s", uv_strerror(rc)) : 0;
}
