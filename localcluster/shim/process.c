/* Process identity from /proc: a pid alone may belong to somebody else by the time it is used. */
#include "localcluster/shim/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lib/base/cleanup.h"

#define STAT_TEXT_MAX 2048
#define START_TIME_FIELD 22 /* proc(5), /proc/[pid]/stat, counted from 1 */
#define STATE_FIELD 3

uint64_t shim_process_parse_stat(const char *text)
{
    const char *at = strrchr(text, ')');
    if (!at || at[1] != ' ' || at[2] == '\0')
        return 0;
    at += 2;
    if (*at == 'Z' || *at == 'X' || *at == 'x')
        return 0;
    for (int field = STATE_FIELD; field < START_TIME_FIELD; field++) {
        at = strchr(at, ' ');
        if (!at)
            return 0;
        at++;
    }
    return strtoull(at, NULL, 10);
}

int shim_process_of(pid_t pid, struct shim_process *ret, struct mlt_error *err)
{
    char path[64], text[STAT_TEXT_MAX];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mlt_fail(err, ESRCH, "no process %d", (int)pid);
    ssize_t length = read(fd, text, sizeof text - 1);
    if (length <= 0)
        return mlt_fail(err, ESRCH, "no process %d", (int)pid);
    text[length] = '\0';
    uint64_t start = shim_process_parse_stat(text);
    if (start == 0)
        return mlt_fail(err, ESRCH, "process %d is dead", (int)pid);
    ret->pid = pid;
    ret->start_ticks = start;
    return 0;
}

bool shim_process_alive(const struct shim_process *process)
{
    struct shim_process now;
    return process->pid > 0 && shim_process_of(process->pid, &now, NULL) == 0 &&
           now.start_ticks == process->start_ticks;
}

int shim_process_signal(const struct shim_process *process, int signal_number)
{
    if (process->pid <= 0)
        return -ESRCH;
    /* The descriptor is taken first and the identity checked after it, so that the signal can only
     * reach the process that was checked. */
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (!shim_process_alive(process))
        return -ESRCH;
    if (pidfd < 0)
        return kill(process->pid, signal_number) == 0 ? 0 : -errno;
    return syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0) == 0 ? 0 : -errno;
}

void shim_boot_id(char *text)
{
    text[0] = '\0';
    cleanup_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t length = read(fd, text, SHIM_BOOT_ID_MAX - 1);
    text[length > 0 ? length : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
}
