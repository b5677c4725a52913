/* Preloaded into the programs of a cluster by test_hard_clock.sh: the wall clock of each is off by
 * as many seconds as the file $CLOCK_FOLDER/NAME says, where NAME is api, agent, mltrain-controller
 * or mltrain. The monotonic clock is true, as it is when a machine's clock is set. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static char path[4096];

__attribute__((constructor)) static void find_path(void)
{
    char words[4096] = "";
    const char *folder = getenv("CLOCK_FOLDER"), *name = program_invocation_short_name;
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, words, sizeof words - 1);
    (void)close(fd);
    if (strcmp(name, "mltrain-localcluster") == 0 && length > 0)
        name = words + strlen(words) + 1;
    if (folder)
        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
}

static long offset(void)
{
    char text[32] = "";
    int saved = errno, fd = path[0] ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) < 0)
            text[0] = '\0';
        (void)close(fd);
    }
    errno = saved;
    return strtol(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(clock, ret);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        ret->tv_sec += offset();
    return rc;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    *ret = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}
