/* Why a rank ended, from what its parent can see. Pure. */
#ifndef LAUNCHER_EXIT_CAUSE_H
#define LAUNCHER_EXIT_CAUSE_H

#include <stdbool.h>
#include <stdint.h>
#include "rendezvous/message.h"

struct exit_facts {
    int32_t code;       /* exit code; meaningless when signal is not 0 */
    int32_t signal;     /* that ended it, 0 when it exited */
    int32_t exec_errno; /* not 0: it never ran */
    bool out_of_memory; /* the cgroup has counted a kill since the last look */
    bool signalled;     /* we had sent it a signal before it ended */
    bool killed;        /* we had sent it SIGKILL */
    bool pod_ends;      /* the kubelet ends this pod */
};

/* The rules, first match wins:
 *   exec failed                                              EXEC_FAILED
 *   SIGKILL that we did not send, and the cgroup killed one  OUT_OF_MEMORY
 *   anything but exit 0 after a signal of ours               KILLED_BY_US
 *   exit 0 after a signal of ours, in a pod that is ended    KILLED_BY_US (it has saved and left: a
 *       next leader, which does not know why, must not take it for done)
 *   a signal that a program raises against itself            EXITED (abort, segmentation fault: the
 *       program's own end, as an exit code is; as a signal from outside the abort of a rank whose
 *       peer vanished would outrank the peer's own exit code in the verdict)
 *   any other signal                                         SIGNAL_OUTSIDE
 *   else                                                     EXITED */
enum rendezvous_cause exit_cause(const struct exit_facts *facts);

/* The exit code that a shell would show: 128 + n for a signal. */
int exit_cause_shell_code(int32_t code, int32_t signal);

#endif
