/* The launcher alone, with a controller of a hundred lines and ranks that do nothing.
 *
 * launcher.exec: from fork and exec of the launcher over TLS, HELLO, WELCOME, READY, START, fork
 * and exec of its rank, until the controller reads that the rank was exec'd.
 *
 * launcher.restart_8: from SIGKILL to one of 8 ranks, until the controller reads that the next 8
 * were exec'd.
 *
 * launcher.idle: resident memory when READY. launcher.pmix: that of the launcher and of its
 * mltrain-helper, pod 0 of 2 and of 2,048 with 8 ranks each, when the ranks run (Debian's libpmix;
 * left out where there is none). launcher.relay: one rank's output through the
 * launcher, in lines of 100 bytes and of 1 MB. launcher.size: the executable. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "lib/base/cleanup.h"
#include "rendezvous/channel/channel.h"
#include "rendezvous/message.h"

#define JOB_UID "bench"
#define RUNS_EXEC 41
#define RUNS_RESTART 21
#define RANKS 8
#define RELAY_BYTES (256ull << 20)
#define WAIT_MS 60000

struct bench {
    uv_loop_t loop;
    uv_timer_t guard;
    struct channel_server *server;
    unsigned char master[CHANNEL_KEY_SIZE];
    uint64_t connection, attempt;
    int64_t started_ns;
    uint32_t nproc, nodes, running;
    bool auto_start, ready, stopped, exited;
    uint32_t pids[RANKS];
    pid_t launcher;
    int out; /* read end of the launcher's stdout */
    char dir[64], path[512];
};

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_launcher: %s\n", what);
    exit(1);
}

/* ---- ranks ---- */

static _Noreturn void be_rank(void)
{
    for (;;)
        (void)pause();
}

static int be_writer(size_t line)
{
    size_t block = line > 65536 ? line : 65536 / line * line;
    char *data = malloc(block);
    if (!data)
        return 1;
    memset(data, 'x', block);
    for (size_t at = line - 1; at < block; at += line)
        data[at] = '\n';
    for (uint64_t done = 0; done < RELAY_BYTES; done += block)
        for (size_t at = 0; at < block;) {
            ssize_t n = write(STDOUT_FILENO, data + at, block - at);
            if (n < 0)
                return 1;
            at += (size_t)n;
        }
    free(data);
    return 0;
}

/* ---- controller ---- */

static void send_message(struct bench *b, const struct rendezvous_message *message)
{
    struct mlt_text frame = MLT_TEXT_INIT(1 << 20);
    rendezvous_message_write(&frame, message);
    if (frame.failed)
        die("a message does not fit");
    channel_server_send(b->server, b->connection, frame.data, frame.length);
    mlt_text_release(&frame);
}

static void send_start(struct bench *b, uint16_t port)
{
    struct rendezvous_message start = {.type = RENDEZVOUS_START,
                                       .attempt = b->attempt,
                                       .start = {.lease_transitions = 1,
                                                 .nodes = b->nodes,
                                                 .world_size = b->nodes * b->nproc,
                                                 .role_world_size = b->nodes * b->nproc,
                                                 .master_address = "127.0.0.1",
                                                 .master_port = port,
                                                 .resume_step = RENDEZVOUS_NO_STEP,
                                                 .resume_path = ""}};
    send_message(b, &start);
}

static void handle(struct bench *b, const struct rendezvous_message *m)
{
    struct rendezvous_message answer = {.attempt = b->attempt};
    switch (m->type) {
    case RENDEZVOUS_HELLO:
        answer.type = RENDEZVOUS_WELCOME;
        answer.welcome = (struct rendezvous_welcome){.lease_transitions = 1,
                                                     .next_attempt = 1,
                                                     .framework = b->nodes > 1 ? "mpi" : "plain",
                                                     .wireup = RENDEZVOUS_WIREUP_PMIX,
                                                     .nproc = b->nproc,
                                                     .checkpoint_path = "",
                                                     .checkpoint_format = "",
                                                     .checkpoint_pattern = "",
                                                     .progress_pattern = ""};
        send_message(b, &answer);
        break;
    case RENDEZVOUS_READY:
        b->attempt = m->attempt;
        b->ready = true;
        if (b->auto_start)
            send_start(b, m->ready.port);
        break;
    case RENDEZVOUS_STARTED:
        for (uint32_t i = 0; i < m->started.pids_count && i < RANKS; i++)
            b->pids[i] = m->started.pids[i];
        b->running = m->started.pids_count;
        b->started_ns = now_ns();
        break;
    case RENDEZVOUS_RANK_EXIT:
        b->exited = true;
        answer.type = RENDEZVOUS_STOP; /* the trigger */
        answer.stop.reason = "bench";
        send_message(b, &answer);
        break;
    case RENDEZVOUS_STOPPED:
        b->stopped = true;
        break;
    default:
        break;
    }
}

static void frame_came(void *arg, uint64_t id, const struct rendezvous_frame *frame)
{
    struct bench *b = arg;
    struct rendezvous_message m;
    (void)id;
    if (rendezvous_message_read(frame, &m, NULL) < 0)
        die("a message is broken");
    handle(b, &m);
    rendezvous_message_release(&m);
}

static void opened(void *arg, uint64_t id, const char *job_uid, const char *peer)
{
    struct bench *b = arg;
    (void)job_uid;
    (void)peer;
    b->connection = id;
}

static void closed(void *arg, uint64_t id, const char *reason)
{
    (void)arg;
    (void)id;
    (void)reason;
}

static void refused(void *arg, const char *peer, const char *reason)
{
    (void)arg;
    (void)peer;
    die(reason);
}

static void too_long(uv_timer_t *timer)
{
    (void)timer;
    die("nothing happens");
}

/* ---- launcher ---- */

static void write_key(struct bench *b)
{
    unsigned char key[CHANNEL_KEY_SIZE];
    char path[128];
    (void)snprintf(path, sizeof path, "%s/key", b->dir);
    channel_derive_key(b->master, JOB_UID, key);
    FILE *file = fopen(path, "we");
    if (!file || fwrite(key, 1, sizeof key, file) != sizeof key || fclose(file) != 0)
        die("the key file cannot be written");
}

static _Noreturn void be_launcher(struct bench *b, const char *self, const char *mode, int out)
{
    char channel[64], key[128];
    (void)snprintf(channel, sizeof channel, "MLTRAIN_CHANNEL=127.0.0.1:%u",
                   channel_server_port(b->server));
    (void)snprintf(key, sizeof key, "MLTRAIN_KEY_FILE=%s/key", b->dir);
    const char *argv[] = {b->path, "run", "--", self, mode, NULL};
    const char *environment[] = {channel,
                                 key,
                                 "MLTRAIN_JOB=bench",
                                 "MLTRAIN_NAMESPACE=default",
                                 "MLTRAIN_JOB_UID=" JOB_UID,
                                 "MLTRAIN_ROLE=worker",
                                 "MLTRAIN_SLOT=0",
                                 "MLTRAIN_POD_UID=pod",
                                 NULL};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(out, STDOUT_FILENO);
    (void)execve(b->path, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)environment);
    _exit(127);
}

/* Gives the time of the fork. */
static int64_t launch(struct bench *b, const char *self, const char *mode)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        die("pipe");
    (void)fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    b->out = ends[0];
    b->ready = b->stopped = b->exited = false;
    b->running = 0;
    int64_t begun = now_ns();
    b->launcher = fork();
    if (b->launcher == 0)
        be_launcher(b, self, mode, ends[1]);
    (void)close(ends[1]);
    return begun;
}

static void end_launcher(struct bench *b)
{
    (void)kill(b->launcher, SIGKILL);
    (void)waitpid(b->launcher, NULL, 0);
    (void)close(b->out);
    (void)uv_run(&b->loop, UV_RUN_NOWAIT);
}

/* Turns the loop; the guard keeps it from waiting for ever. */
static void turn(struct bench *b)
{
    uv_update_time(&b->loop);
    (void)uv_timer_start(&b->guard, too_long, WAIT_MS, 0);
    (void)uv_run(&b->loop, UV_RUN_ONCE);
}

/* ---- results ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *name, double *values, int n, const char *unit)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    (void)printf("{\"name\": \"%s\", \"value\": %.3f, \"unit\": \"%s\", \"n\": %d}\n", name,
                 values[n / 2], unit, n);
    (void)fflush(stdout);
    /* On a machine that others use, the least says more about the program than the median. */
    (void)fprintf(stderr, "%s: %.3f to %.3f %s\n", name, values[0], values[n - 1], unit);
}

static void bench_exec(struct bench *b, const char *self)
{
    double ms[RUNS_EXEC];
    b->nproc = 1;
    b->auto_start = true;
    for (int i = 0; i < RUNS_EXEC; i++) {
        int64_t begun = launch(b, self, "--rank");
        while (b->running == 0)
            turn(b);
        ms[i] = (double)(b->started_ns - begun) / 1e6;
        end_launcher(b);
    }
    report("launcher.exec", ms, RUNS_EXEC, "ms");
}

static void bench_restart(struct bench *b, const char *self)
{
    double ms[RUNS_RESTART];
    b->nproc = RANKS;
    b->auto_start = true;
    (void)launch(b, self, "--rank");
    while (b->running == 0)
        turn(b);
    for (int i = 0; i < RUNS_RESTART; i++) {
        b->running = 0;
        int64_t begun = now_ns();
        (void)kill((pid_t)b->pids[3], SIGKILL);
        while (b->running == 0)
            turn(b);
        ms[i] = (double)(b->started_ns - begun) / 1e6;
    }
    end_launcher(b);
    report("launcher.restart_8", ms, RUNS_RESTART, "ms");
}

static double resident_mib(pid_t pid)
{
    char path[64], line[256];
    double mib = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    cleanup_file FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0)
            mib = (double)strtol(line + 6, NULL, 10) / 1024;
    return mib;
}

/* The launcher's first child of that name; 0: none. */
static pid_t child_named(pid_t parent, const char *name)
{
    char path[64], comm[64];
    int pid, found = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    cleanup_file FILE *children = fopen(path, "re");
    while (!found && children && fscanf(children, "%d", &pid) == 1) {
        (void)snprintf(path, sizeof path, "/proc/%d/comm", pid);
        cleanup_file FILE *file = fopen(path, "re");
        if (file && fscanf(file, "%63s", comm) == 1 && strcmp(comm, name) == 0)
            found = pid;
    }
    return found;
}

static void bench_pmix(struct bench *b, const char *self, uint32_t nodes)
{
    char name[64];
    b->nproc = RANKS;
    b->nodes = nodes;
    b->auto_start = true;
    (void)launch(b, self, "--rank");
    while (b->running == 0 && !b->exited)
        turn(b);
    pid_t helper = child_named(b->launcher, "mltrain-helper");
    double launcher = resident_mib(b->launcher), its = resident_mib(helper);
    bool failed = b->exited || !helper;
    b->nodes = 1;
    end_launcher(b);
    if (failed) {
        (void)fprintf(stderr, "launcher.pmix: skipped, no PMIx here\n");
        return;
    }
    (void)snprintf(name, sizeof name, "launcher.pmix.%u_pods.launcher", nodes);
    report(name, &launcher, 1, "MiB");
    (void)snprintf(name, sizeof name, "launcher.pmix.%u_pods.helper", nodes);
    report(name, &its, 1, "MiB");
}

static void bench_idle(struct bench *b, const char *self)
{
    double mib = 0;
    b->nproc = RANKS;
    b->auto_start = false;
    (void)launch(b, self, "--rank");
    while (!b->ready)
        turn(b);
    mib = resident_mib(b->launcher);
    end_launcher(b);
    report("launcher.idle", &mib, 1, "MiB");
}

static void bench_relay(struct bench *b, const char *self, const char *mode, const char *name)
{
    static char block[1 << 20];
    uint64_t bytes = 0;
    b->nproc = 1;
    b->auto_start = true;
    (void)launch(b, self, mode);
    while (b->running == 0)
        turn(b);
    int64_t begun = now_ns();
    while (bytes < RELAY_BYTES) {
        ssize_t n = read(b->out, block, sizeof block);
        if (n > 0)
            bytes += (uint64_t)n;
        else if (n < 0 && errno == EAGAIN)
            (void)usleep(50);
        else
            die("the launcher has ended");
    }
    double rate = (double)bytes / ((double)(now_ns() - begun) / 1e9) / 1e6;
    end_launcher(b);
    report(name, &rate, 1, "MB/s");
}

static void begin(struct bench *b)
{
    static const struct channel_server_ops ops = {
        .opened = opened, .frame = frame_came, .closed = closed, .refused = refused};
    struct mlt_error err = {0};
    const char *bin = getenv("MLTRAIN_BIN_DIR");
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(b->path, sizeof b->path, "%s/mltrain-launcher", bin ? bin : MLTRAIN_BIN_DIR);
    (void)snprintf(b->dir, sizeof b->dir, "/tmp/mltrain-bench-XXXXXX");
    memset(b->master, 7, sizeof b->master);
    if (!mkdtemp(b->dir) || uv_loop_init(&b->loop) < 0 || uv_timer_init(&b->loop, &b->guard) < 0)
        die("no folder or no loop");
    if (channel_server_new(&b->loop, "127.0.0.1", 0, b->master, &ops, b, &b->server, &err) < 0)
        die(err.text);
    write_key(b);
}

int main(int argc, char **argv)
{
    static struct bench b;
    if (argc > 1 && strcmp(argv[1], "--rank") == 0)
        be_rank();
    if (argc > 1 && strcmp(argv[1], "--short-lines") == 0)
        return be_writer(100);
    if (argc > 1 && strcmp(argv[1], "--long-lines") == 0)
        return be_writer(1000000);
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        die("/proc/self/exe");
    self[n] = '\0';
    b.nodes = 1;
    begin(&b);
    bench_exec(&b, self);
    bench_restart(&b, self);
    bench_idle(&b, self);
    bench_pmix(&b, self, 2);
    bench_pmix(&b, self, 2048);
    bench_relay(&b, self, "--short-lines", "launcher.relay.short_lines");
    bench_relay(&b, self, "--long-lines", "launcher.relay.long_lines");
    struct stat st;
    double mib = stat(b.path, &st) == 0 ? (double)st.st_size / (1 << 20) : 0;
    report("launcher.size", &mib, 1, "MiB");
    char key[128];
    (void)snprintf(key, sizeof key, "%s/key", b.dir);
    (void)unlink(key);
    (void)rmdir(b.dir);
    return 0;
}
