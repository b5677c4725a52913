/* The process that holds a pod's namespaces while its containers come and go: waits, buries what it inherits, ends when
 * told. Linked statically, it is all that the image of a pod's sandbox needs. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal_)
{
    (void)signal_;
    _exit(0);
}

static void bury(int signal_)
{
    (void)signal_;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

int main(void)
{
    (void)signal(SIGTERM, end);
    (void)signal(SIGINT, end);
    (void)signal(SIGCHLD, bury);
    for (;;)
        (void)pause();
}
