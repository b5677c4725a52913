/* mltrain-helper: the PMIx server of a pod, for MPI programs. mltrain-launcher starts one for each
 * attempt, beside the ranks; this file is its command line.
 *
 * It is a program of its own because the launcher is static, and PMIx is a shared library of the
 * image with threads, a memory of its own and bugs of its own: what happens to it here ends an
 * attempt and not the pod. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/helper/server.h"

#define EXIT_BAD_USE 64

/* The descriptor that the launcher has left open; -1 for what is none. */
static int descriptor(const char *text)
{
    int fd = 0;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9' || fd > 100000)
            return -1;
        fd = fd * 10 + (*c - '0');
    }
    return *text && fcntl(fd, F_GETFD) >= 0 ? fd : -1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("mltrain-helper %s\n", MLTRAIN_VERSION);
        return 0;
    }
    int fd = argc == 3 ? descriptor(argv[1]) : -1;
    if (fd < 0) {
        (void)dprintf(STDERR_FILENO, "mltrain-helper: mltrain-launcher starts this program\n");
        return EXIT_BAD_USE;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)signal(SIGPIPE, SIG_IGN);
    int code = server_run(fd, argv[2]);
    (void)fflush(NULL);
    _exit(code); /* PMIx's destructors wait for its clients */
}
