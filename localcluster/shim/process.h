/* The identity of a process: its id and its start time, so that a reused id is never taken for it.
 */
#ifndef LOCALCLUSTER_SHIM_PROCESS_H
#define LOCALCLUSTER_SHIM_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/base/error.h"

struct shim_process {
    pid_t pid;            /* 0: no process */
    uint64_t start_ticks; /* field 22 of /proc/PID/stat: clock ticks since boot */
};

#define SHIM_BOOT_ID_MAX 64

/* Reads the identity of a living process. -ESRCH when there is none (a zombie is none). */
int shim_process_of(pid_t pid, struct shim_process *ret, struct mlt_error *err) MLT_MUST_USE;

/* Whether the very same process is still there. A process with pid 0 is not. */
bool shim_process_alive(const struct shim_process *process);

/* Sends a signal to the very same process, by pidfd where the kernel has it. -ESRCH when it is
 * gone. */
int shim_process_signal(const struct shim_process *process, int signal_number);

/* The start time from the text of /proc/PID/stat; 0 when it cannot be read or the process is dead.
 * The name in parentheses may hold anything, parentheses and spaces included. Pure. */
uint64_t shim_process_parse_stat(const char *text);

/* The kernel's random id of this boot; "" where it has none. `text` holds SHIM_BOOT_ID_MAX bytes.
 */
void shim_boot_id(char *text);

#endif
