/* mltrain-launcher: PID 1 of a training container. This file is its command line. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/config.h"
#include "launcher/edge_uv.h"
#include "launcher/rank_spawn.h"
#include "launcher/remote.h"
#include "launcher/remote_call.h"
#include "launcher/self_copy.h"

#define EXIT_BAD_USE 64 /* design section 5: bad specification */

static const char help[] =
    "Usage: mltrain-launcher run -- COMMAND [ARGUMENT...]\n"
    "       mltrain-launcher copy DIR\n"
    "       mltrain-launcher rsh HOST COMMAND [ARGUMENT...]\n"
    "       mltrain-launcher --version | --help\n"
    "\n"
    "Starts and watches the ranks of a training job. It is PID 1 of each training container; "
    "mltrain's\n"
    "controller puts it there and sets its environment (MLTRAIN_CHANNEL and others).\n"
    "\n"
    "  run    join the job's gang and run COMMAND, once for each rank, whenever the controller "
    "says so\n"
    "  copy   copy this program to DIR/mltrain-launcher, libmltrain's Python module to "
    "DIR/python,\n"
    "         and mltrain-helper, which serves MPI ranks, if it lies beside this program\n"
    "         (an init container does this)\n"
    "  rsh    run COMMAND by a shell in pod HOST (pod-0, pod-1 ...) of the same job, with our\n"
    "         standard input and output; for mpirun and mpiexec within a job\n"
    "\n"
    "Exit codes of `run`: the job's own code for its ranks; 64 bad specification; 69 no controller "
    "for\n"
    "10 minutes before the first start; 128+n after signal n. Of `rsh`: COMMAND's code; 255 it "
    "could not be run.\n";

/* A closed stdin, stdout or stderr would hand its number to the next file that is opened. */
static void fill_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR); /* not CLOEXEC: ranks replace all three */
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        (void)close(fd);
}

static int complain(const char *about, const char *what)
{
    (void)fprintf(stderr, "mltrain-launcher: %s%s\nTry `mltrain-launcher --help`.\n", about, what);
    return EXIT_BAD_USE;
}

static int run(char **command)
{
    struct launcher_config config;
    struct rank_spawn_saved saved;
    struct mlt_error err = {0};
    int exit_code = 0;
    if (launcher_config_read(environ, command, &config, &err) < 0 || !command[0]) {
        (void)fprintf(stderr, "[launcher] %s\n", err.text);
        return EXIT_BAD_USE;
    }
    rank_spawn_save(&saved);
    if (edge_run(&config, &saved, &exit_code, &err) < 0) {
        (void)fprintf(stderr, "[launcher] %s\n", err.text);
        return EXIT_BAD_USE;
    }
    return exit_code;
}

static int copy(const char *dir)
{
    struct mlt_error err = {0};
    if (self_copy(dir, &err) == 0)
        return 0;
    (void)fprintf(stderr, "mltrain-launcher: %s\n", err.text);
    return 1;
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    if (argc > 0 && strcmp(slash ? slash + 1 : argv[0], REMOTE_PROGRAM) == 0)
        return remote_call(argv + 1);
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(help, stdout);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("mltrain-launcher %s\n", MLTRAIN_VERSION);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "copy") == 0)
        return copy(argv[2]);
    if (argc > 2 && strcmp(argv[1], "rsh") == 0 && strcmp(argv[2], "--keep") == 0)
        return remote_keep(); /* started by the launcher itself */
    if (argc >= 2 && strcmp(argv[1], "rsh") == 0)
        return remote_call(argv + 2);
    if (argc < 2)
        return complain("", "a command is missing: run, copy, rsh");
    if (strcmp(argv[1], "copy") == 0)
        return complain("copy: ", "one folder expected");
    if (strcmp(argv[1], "run") != 0)
        return complain("not a command (run, copy, rsh): ", argv[1]);
    int first = argc > 2 && strcmp(argv[2], "--") == 0 ? 3 : 2;
    if (first >= argc)
        return complain("run: ", "a command is missing after `--`");
    return run(argv + first);
}
