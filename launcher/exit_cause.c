/* Why a rank ended: see exit_cause.h. */
#include "launcher/exit_cause.h"

#include <signal.h>

/* What the kernel or the C library raises for a program's own deeds. */
static bool is_own_fault(int signal)
{
    switch (signal) {
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGSEGV:
    case SIGSYS:
    case SIGTRAP:
    case SIGPIPE:
    case SIGXCPU:
    case SIGXFSZ:
        return true;
    default:
        return false;
    }
}

enum rendezvous_cause exit_cause(const struct exit_facts *facts)
{
    if (facts->exec_errno)
        return RENDEZVOUS_CAUSE_EXEC_FAILED;
    if (facts->signal == SIGKILL && !facts->killed && facts->out_of_memory)
        return RENDEZVOUS_CAUSE_OUT_OF_MEMORY;
    if (facts->signalled && (facts->signal || facts->code || facts->pod_ends))
        return RENDEZVOUS_CAUSE_KILLED_BY_US;
    if (facts->signal && !is_own_fault(facts->signal))
        return RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE;
    return RENDEZVOUS_CAUSE_EXITED;
}

int exit_cause_shell_code(int32_t code, int32_t signal)
{
    return signal ? 128 + signal : code;
}
