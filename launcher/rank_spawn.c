/* Forks and execs one rank: see rank_spawn.h. */
#include "launcher/rank_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void rank_spawn_save(struct rank_spawn_saved *ret)
{
    for (int i = 0; i < (int)RLIM_NLIMITS; i++)
        if (getrlimit((__rlimit_resource_t)i, &ret->limits[i]) < 0)
            ret->limits[i] = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit files = ret->limits[RLIMIT_NOFILE];
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

/* ---- in the child ---- */

static _Noreturn void fail(const struct rank_spawn *what, int error)
{
    struct rank_spawn_failure failure = {.process = what->process, .error = error};
    ssize_t written = write(what->status, &failure, sizeof failure); /* atomic: under PIPE_BUF */
    (void)written;
    _exit(error == ENOENT ? 127 : 126);
}

static void reset_signals(void)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < NSIG; signal++)
        (void)sigaction(signal, &plain, NULL); /* SIGKILL and SIGSTOP refuse, and need not */
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void set_descriptors(const struct rank_spawn *what)
{
    int in = what->in >= 0 ? what->in : open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(what->out, STDOUT_FILENO) < 0 ||
        dup2(what->err, STDERR_FILENO) < 0)
        fail(what, errno);
    /* All of ours are CLOEXEC already; this is for what the launcher inherited itself. Kernels
     * before 5.11 lack it. */
    (void)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
    if (what->keep >= 0 && fcntl(what->keep, F_SETFD, 0) < 0)
        fail(what, errno);
}

static void restore_limits(const struct rank_spawn *what)
{
    for (int i = 0; i < (int)RLIM_NLIMITS; i++)
        (void)setrlimit((__rlimit_resource_t)i, &what->saved->limits[i]);
}

/* The command with its references expanded. Nothing is freed: exec or _exit follows. */
static char **expanded_command(const struct rank_spawn *what, const struct rank_env *env)
{
    size_t count = 0;
    while (what->command[count])
        count++;
    char **argv = calloc(count + 1, sizeof *argv);
    for (size_t i = 0; argv && i < count; i++) {
        argv[i] = !what->verbatim && strstr(what->command[i], "$(")
                      ? rank_env_expand(env, what->command[i])
                      : what->command[i];
        if (!argv[i])
            return NULL;
    }
    return argv;
}

static _Noreturn void become_rank(const struct rank_spawn *what, pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        fail(what, errno);
    if (getppid() != parent)
        _exit(126); /* the launcher died before it could take us along */
    if (setsid() < 0)
        fail(what, errno);
    reset_signals();
    set_descriptors(what);
    restore_limits(what);
    struct rank_env env;
    rank_env_build(what->env, &env, NULL);
    char **argv = env.failed ? NULL : expanded_command(what, &env);
    if (!argv)
        fail(what, ENOMEM);
    environ = env.variables; /* execvp() searches the rank's PATH, not ours */
    (void)execvp(argv[0], argv);
    fail(what, errno);
}

int rank_spawn(const struct rank_spawn *what, pid_t *ret_pid, struct mlt_error *err)
{
    /* Blocked until the child has its own dispositions: a signal in between would run the
     * launcher's handlers in the child, which share a pipe with us. */
    sigset_t all, before;
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become_rank(what, parent);
    int error = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return mlt_fail(err, error, "fork: %s", strerror(error));
    *ret_pid = pid;
    return 0;
}
