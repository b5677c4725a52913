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

#include "launcher/helper/message.h"
#include "launcher/helper/server.h"

#define EXIT_BAD_USE 64

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("mltrain-helper %s\n", MLTRAIN_VERSION);
        return 0;
    }
    if (argc != 1 || fcntl(HELPER_FD, F_GETFD) < 0) {
        (void)dprintf(STDERR_FILENO, "mltrain-helper: mltrain-launcher starts this program\n");
        return EXIT_BAD_USE;
    }
    (void)fcntl(HELPER_FD, F_SETFD, FD_CLOEXEC);
    (void)signal(SIGPIPE, SIG_IGN);
    int code = server_run(HELPER_FD);
    (void)fflush(NULL);
    _exit(code); /* PMIx's destructors wait for its clients */
}
